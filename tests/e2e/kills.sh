#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of any of it, at moments drawn from a seed ($TEST_SEED; printed): the same apps run again, once each.
. tests/lib/e2e.sh

seed=${TEST_SEED:-$RANDOM}
rounds=$((4 * ${TEST_SCALE:-1}))
RANDOM=$seed
echo "# seed $seed, $rounds rounds"

# One `sleep 3NN` a task: as many processes as instances, each of a live task, tell that none is lost or doubled.
settled() {
	local apps tasks
	apps=$(curl -sS -m 5 "$(dcos config show core.dcos_url)/service/marathon/v2/apps") || return 1
	[ "$(jq '[.apps[] | select(.tasksRunning == .instances and .tasksStaged == 0)] | length' <<<"$apps")" = 2 ] || return 1
	tasks=$(pgrep -cx sleep)
	[ "$tasks" = 5 ] || { echo "$tasks processes"; return 1; }
}
roles() { dcos-node status --json --state-dir "$WORK/state" | jq -r '.processes[] | select(.pid > 0) | .pid'; }
all_ready() { dcos-node status --json --state-dir "$WORK/state" | jq -e '.ready == .total'; }

test_case 'a cluster with two apps of five tasks' '
	start_cluster --public-agents 0
	echo "{\"id\": \"/two\", \"cmd\": \"exec sleep 100000\", \"cpus\": 0.01, \"mem\": 32, \"instances\": 2}" | dcos marathon app add
	echo "{\"id\": \"/three\", \"cmd\": \"exec sleep 100000\", \"cpus\": 0.01, \"mem\": 32, \"instances\": 3}" | dcos marathon app add
	eventually 20 settled
'
e2e_cluster=1

for round in $(seq "$rounds"); do
	case $((RANDOM % 4)) in
	0) what='some roles' ;;
	1) what='an agent and the master' ;;
	2) what='a task' ;;
	3) what=everything ;;
	esac
	# shellcheck disable=SC2034           # the script below uses it
	draws="$RANDOM $RANDOM $RANDOM"
	test_case "round $round (seed $seed): $what killed" '
		set -- $draws
		case $what in
		"some roles") for draw in $draws; do roles | shuf -n 1 --random-source=<(yes "$draw") | xargs -r kill -9 || true; done ;;
		"an agent and the master") dcos-node status --json --state-dir "$WORK/state" |
			jq -r ".processes[] | select(.pid > 0 and (.node == \"a1\" or .node == \"m1\") and (.role == \"agent\" or .role == \"master\")) | .pid" |
			xargs -r kill -9 || true ;;
		"a task") pgrep -x sleep | shuf -n 1 --random-source=<(yes "$1") | xargs -r kill -9 || true ;;
		everything) pkill -9 -x dcos-node || true
			if [ $((RANDOM % 2)) = 0 ]; then pkill -9 -x sleep || true; fi
			start_cluster --public-agents 0 ;;
		esac
		eventually 30 all_ready
		eventually 30 settled
	'
done

test_case 'the agent restarted in the middle of launches loses and doubles none' '
	dcos marathon app update two instances=1
	dcos marathon app update three instances=4
	dcos-node status --json --state-dir "$WORK/state" | jq -r ".processes[] | select(.role == \"agent\") | .pid" | xargs kill -9
	eventually 30 settled
'
