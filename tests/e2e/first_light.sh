#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job: a cluster from one executable, an app by `dcos marathon app add`, its answer at its virtual IP, its log,
# scaling, an agent's restart, and everything killed and started again.
needs_static=1
. tests/lib/e2e.sh

URL=http://sise.marathon.l4lb.thisdcos.directory:80/endpoint0
WANT='{"host": "sise.marathon.l4lb.thisdcos.directory", "version": "0.3.0", "result": "all is well"}'

answers() { [ "$(curl -sS -m 3 "$URL")" = "$WANT" ]; }
running() {                                  # N: exactly N tasks of the app run
	[ "$(dcos marathon app show sise | jq .tasksRunning)" = "$1" ]
}
marathon_tasks() { curl -sS -m 5 "$(dcos config show core.dcos_url)/service/marathon/v2/tasks"; }
pid_of() { dcos-node status --json --state-dir "$WORK/state" | jq -r ".processes[] | select(.node == \"$1\" and .role == \"$2\") | .pid"; }

test_case 'up starts a cluster that serves' '
	start_cluster --resolv-conf
	dcos-node status --state-dir "$WORK/state"
'
e2e_cluster=1

test_case 'dcos marathon app add runs the app' '
	dcos marathon app add tests/data/example-service.json
	eventually 10 running 1
	dcos marathon app list
	dcos task | grep sise
'

test_case 'it answers at its virtual IP, from the host' '
	eventually 5 answers
	[ "$(dig +short sise.marathon.l4lb.thisdcos.directory)" = 11.53.9.139 ]
'

test_case 'names lead to it' '
	agent=$(marathon_tasks | jq -r .tasks[0].host)
	port=$(marathon_tasks | jq -r .tasks[0].ports[0])
	[ "$(dig +short sise.marathon.mesos)" = "$agent" ]
	dig +short SRV _sise._tcp.marathon.mesos | grep " $port "
	[ "$(dig +short leader.mesos)" = 192.168.65.90 ]
	[ "$(dig +short master.mesos)" = 192.168.65.90 ]
	[ "$(dig +short slave.mesos | wc -l)" = 3 ]
	[ "$(dig +tcp +short sise.marathon.mesos)" = "$agent" ]
'

test_case 'it answers from inside another task' '
	cat >"$WORK/client.json" <<-END
		{"id": "/client", "cmd": "curl -sS -m 3 $URL && sleep 1000", "cpus": 0.1, "mem": 32}
	END
	dcos marathon app add "$WORK/client.json"
	eventually 10 sh -c "dcos task log client | grep all.is.well"
	dcos marathon app remove client
'

test_case 'dcos task log shows the request' '
	dcos task log sise stderr | grep endpoint0
	timeout 10 dcos task log --follow sise stderr >"$WORK/follow" &
	follower=$!
	eventually 5 answers
	eventually 5 grep -q endpoint0 "$WORK/follow"
	kill $follower
'

test_case 'scaled to three, requests spread' '
	dcos marathon app update sise instances=3
	eventually 15 running 3
	spread() {
		answers
		for task in $(marathon_tasks | jq -r ".tasks[].id"); do dcos task log --lines=1000 "$task" stderr | grep -q endpoint0 || return 1; done
	}
	eventually 15 spread
'

test_case 'an agent restarted: its tasks never notice' '
	before=$(marathon_tasks | jq -r ".tasks[].id" | sort)
	host=$(marathon_tasks | jq -r ".tasks[0].host")
	node=$(dcos-node status --json --state-dir "$WORK/state" | jq -r ".processes[] | select(.ip == \"$host\" and .role == \"agent\") | .node")
	old=$(pid_of "$node" agent)
	kill -9 "$old"
	restarted() { new=$(pid_of "$node" agent); [ "$new" != "$old" ] && [ "$new" != 0 ]; }
	eventually 10 restarted
	for i in 1 2 3 4 5 6 7 8 9 10; do answers; done
	eventually 10 running 3
	[ "$(marathon_tasks | jq -r ".tasks[].id" | sort)" = "$before" ]
'

test_case 'lb restarted: virtual IPs work on' '
	old=$(pid_of host lb)
	kill -9 "$old"
	for i in 1 2 3 4 5; do answers; done
'

test_case 'everything killed with SIGKILL, up again: it answers again, once each' '
	pkill -9 -f dcos-node || true
	none_left() { ! pgrep -f "dcos-node|simpleservice" >/dev/null; }
	eventually 10 none_left
	not curl -sS -m 2 "$URL"
	start_cluster --resolv-conf
	eventually 20 answers
	eventually 20 running 3
	[ "$(pgrep -cx simpleservice)" = 3 ]
'

test_case 'removed: nothing answers any more' '
	dcos marathon app remove sise
	eventually 10 sh -c "! pgrep -x simpleservice"
	eventually 5 sh -c "! curl -sS -m 2 $URL"
'
