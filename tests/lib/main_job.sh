# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
#
# The main job, step by step, for the e2e files that run it: on one master, on several with the leading one lost between the
# steps. After tests/lib/e2e.sh.
#
#   main_job [BETWEEN]      every step as a test_case; BETWEEN, a function, is called with the step's name before each but the first
#   leader, masters, pid_of NODE ROLE, marathon_tasks, answers, running N    what the steps look with
#   job_prefix              in front of the names of the steps, for a file that does the job twice
#   UP_FLAGS                of start_cluster

URL=http://sise.marathon.l4lb.thisdcos.directory:80/endpoint0
WANT='{"host": "sise.marathon.l4lb.thisdcos.directory", "version": "0.3.0", "result": "all is well"}'
UP_FLAGS=(--resolv-conf) job_prefix=

answers() { [ "$(curl -sS -m 3 "$URL")" = "$WANT" ]; }
running() {                                  # N: exactly N tasks of the app run
	[ "$(dcos marathon app show sise | jq .tasksRunning)" = "$1" ]
}
cluster_status() { dcos-node status --json --state-dir "$WORK/state"; }
leader() { cluster_status | jq -er '.leader | select(. != "")'; }           # its address
masters() { cluster_status | jq -r '.masters[].ip'; }
pid_of() { cluster_status | jq -r ".processes[] | select(.node == \"$1\" and .role == \"$2\") | .pid"; }
marathon_tasks() { curl -sS -m 5 "http://$(leader)/service/marathon/v2/tasks"; }
task_ids() { marathon_tasks | jq -er '[.tasks[] | select(.appId == "/sise") | .id] | sort | .[]'; }

job_step() {                                 # NAME SCRIPT
	[ -z "$job_between" ] || [ -z "$job_begun" ] || "$job_between" "$1"
	job_begun=1
	test_case "$job_prefix$1" "$2"
	e2e_cluster=1
}

main_job() {                                 # [BETWEEN]
	job_between=${1-} job_begun=

	job_step 'up starts a cluster that serves' '
		start_cluster "${UP_FLAGS[@]}"
		dcos-node status --state-dir "$WORK/state"
	'

	job_step 'dcos marathon app add runs the app' '
		dcos marathon app add tests/data/example-service.json
		eventually 10 running 1
		dcos marathon app list
		dcos task | grep sise
	'

	job_step 'it answers at its virtual IP, from the host' '
		eventually 5 answers
		[ "$(dig +short sise.marathon.l4lb.thisdcos.directory)" = 11.53.9.139 ]
	'

	job_step 'names lead to it' '
		agent=$(marathon_tasks | jq -r .tasks[0].host)
		port=$(marathon_tasks | jq -r .tasks[0].ports[0])
		[ "$(dig +short sise.marathon.mesos)" = "$agent" ]
		dig +short SRV _sise._tcp.marathon.mesos | grep " $port "
		names_of_nodes() {
			[ "$(dig +short leader.mesos)" = "$(leader)" ] &&
			[ "$(dig +short master.mesos | sort)" = "$(masters | sort)" ] &&
			[ "$(dig +short slave.mesos | wc -l)" = 3 ]
		}
		eventually 5 names_of_nodes
		[ "$(dig +tcp +short sise.marathon.mesos)" = "$agent" ]
	'

	job_step 'it answers from inside another task' '
		cat >"$WORK/client.json" <<-END
			{"id": "/client", "cmd": "curl -sS -m 3 $URL && sleep 1000", "cpus": 0.1, "mem": 32}
		END
		dcos marathon app add "$WORK/client.json"
		eventually 10 sh -c "dcos task log client | grep all.is.well"
		dcos marathon app remove client
	'

	job_step 'dcos task log shows the request' '
		dcos task log sise stderr | grep endpoint0
		timeout 10 dcos task log --follow sise stderr >"$WORK/follow" &
		follower=$!
		eventually 5 answers
		eventually 5 grep -q endpoint0 "$WORK/follow"
		kill $follower
	'

	job_step 'scaled to three, requests spread' '
		dcos marathon app update sise instances=3
		eventually 15 running 3
		spread() {
			answers
			for task in $(task_ids); do dcos task log --lines=1000 "$task" stderr | grep -q endpoint0 || return 1; done
		}
		eventually 15 spread
	'

	job_step 'an agent restarted: its tasks never notice' '
		before=$(task_ids)
		host=$(marathon_tasks | jq -r ".tasks[0].host")
		node=$(cluster_status | jq -r ".processes[] | select(.ip == \"$host\" and .role == \"agent\") | .node")
		old=$(pid_of "$node" agent)
		kill -9 "$old"
		restarted() { new=$(pid_of "$node" agent); [ "$new" != "$old" ] && [ "$new" != 0 ]; }
		eventually 10 restarted
		for i in 1 2 3 4 5 6 7 8 9 10; do answers; done
		eventually 10 running 3
		[ "$(task_ids)" = "$before" ]
	'

	job_step 'lb restarted: virtual IPs work on' '
		old=$(pid_of host lb)
		kill -9 "$old"
		for i in 1 2 3 4 5; do answers; done
	'

	job_step 'everything killed with SIGKILL, up again: it answers again, once each' '
		pkill -9 -f dcos-node || true
		none_left() { ! pgrep -f "dcos-node|simpleservice" >/dev/null; }
		eventually 10 none_left
		not curl -sS -m 2 "$URL"
		start_cluster "${UP_FLAGS[@]}"
		eventually 20 answers
		eventually 20 running 3
		[ "$(pgrep -cx simpleservice)" = 3 ]
	'

	job_step 'removed: nothing answers any more' '
		dcos marathon app remove sise
		eventually 10 sh -c "! pgrep -x simpleservice"
		eventually 5 sh -c "! curl -sS -m 2 $URL"
	'
}
