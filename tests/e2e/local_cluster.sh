#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The executable by itself, and what up, status and down promise.
. tests/lib/e2e.sh

test_case 'alone it prints one screen that names every role' '
	dcos-node >"$WORK/screen"
	[ "$(wc -l <"$WORK/screen")" -le 24 ]
	for role in up status down master agent dns lb log cli install-links licenses; do grep -q "^  $role " "$WORK/screen"; done
'

test_case 'each role has a help of its flags, in busybox way too' '
	mkdir "$WORK/links"
	dcos-node install-links "$WORK/links"
	for role in up status down master agent dns lb log; do dcos-node $role --help | grep -q -- --state-dir; done
	"$WORK/links/dcos-master" --help | grep -q -- --port
	"$WORK/links/mesos-slave" --help | grep -q -- --attributes
	"$WORK/links/dcos" help | grep -q "dcos marathon app add"
	dcos-node --version | grep -q "^dcos-node [0-9]"
	dcos-node licenses | grep -qi lmdb
	not dcos-node install-links /nonexistent/directory
'

test_case 'a number of masters that is no quorum is refused with the reason' '
	for n in 2 4 6; do
		not start_cluster --masters $n 2>"$WORK/words"
		grep "wants 1, 3, 5 or 7, not $n: a majority decides, so an even number survives no more failures" "$WORK/words"
	done
	not start_cluster --masters 9
	[ ! -e "$WORK/state/m1" ]
'

test_case 'masters with state are not left out, nor is a second cluster founded beside them' '
	mkdir -p "$WORK/state/m1/master" "$WORK/state/m3/master"
	not start_cluster --masters 1 2>"$WORK/words"
	grep "has 3 masters; start it with --masters 3" "$WORK/words"
	rm -r "$WORK/state/m1"
	not start_cluster 2>"$WORK/words"
	grep "the state of the first master, .*/m1., is gone" "$WORK/words"
	rm -r "$WORK/state"
'

test_case 'up and down leave nothing, twice' '
	for round in 1 2; do
		start_cluster --agents 1 --public-agents 0
		[ -e "$WORK/state/m1/netns" ]
		stop_cluster
		[ -z "$(ip -o link show dcos0 2>/dev/null)" ]
		[ -z "$(find /sys/fs/cgroup -name dcos -type d)" ]
		not grep -q "$WORK/state" /proc/self/mountinfo
		not grep -q "^unreachable 11.0.0.0/8" <(ip route show table all)
	done
'

test_case 'resolv.conf is pointed at the cluster where asked, and given back' '
	printf "nameserver 127.0.0.1\nsearch example.org\n" >/etc/resolv.conf
	cp /etc/resolv.conf "$WORK/before"
	start_cluster --agents 0 --public-agents 0 --resolv-conf
	grep -q "^nameserver 192.168.65.1$" /etc/resolv.conf
	eventually 5 dig +short +tries=1 leader.mesos
	stop_cluster
	cmp /etc/resolv.conf "$WORK/before"
	start_cluster --agents 0 --public-agents 0
	cmp /etc/resolv.conf "$WORK/before"
	stop_cluster
'

test_case 'status shows every process, for people and for machines' '
	start_cluster
	dcos-node status --state-dir "$WORK/state" | grep -q "18 of 18 ready"
	dcos-node status --state-dir "$WORK/state" --json >"$WORK/body"
	json "(.processes | length) == 18 and all(.processes[]; .pid > 0 and .state == \"ready\")"
	json "[.processes[].role] | unique == [\"agent\", \"dns\", \"lb\", \"log\", \"master\"]"
	json ".leader == \"192.168.65.90\" and .voters == 1 and .warnings == []"
	json ".masters == [{node: \"m1\", ip: \"192.168.65.90\", url: \"http://192.168.65.90\", role: \"leader\", voter: true}]"
	dcos-node status --state-dir "$WORK/state" | grep "^m1 *master .* leader$"
'
e2e_cluster=1

test_case 'a role that dies is started again' '
	old=$(dcos-node status --json --state-dir "$WORK/state" | jq -r ".processes[] | select(.node == \"a2\" and .role == \"dns\") | .pid")
	kill -9 "$old"
	again() { dcos-node status --json --state-dir "$WORK/state" | jq -e ".processes[] | select(.node == \"a2\" and .role == \"dns\") | .pid > 0 and .pid != $old and .state == \"ready\" and .restarts == 1"; }
	eventually 10 again
'

test_case 'down --node kills the roles, executors and tasks of one node' '
	echo "{\"id\": \"/four\", \"cmd\": \"exec sleep 100000\", \"cpus\": 0.01, \"mem\": 32, \"instances\": 4}" | dcos marathon app add
	four() { [ "$(pgrep -cx sleep)" = 4 ]; }
	eventually 15 four
	dcos-node down --state-dir "$WORK/state" --node a1
	dcos-node status --json --state-dir "$WORK/state" >"$WORK/body"
	json "all(.processes[] | select(.node == \"a1\"); .state == \"stopped\")"
	json "all(.processes[] | select(.node != \"a1\"); .state == \"ready\")"
	[ -z "$(find /sys/fs/cgroup -path "*/a1/*" -name cgroup.procs -exec cat {} +)" ]
	[ "$(pgrep -cx sleep)" -lt 4 ] || [ "$(dcos task | grep -c 192.168.65.111)" = 0 ]
	not dcos-node down --state-dir "$WORK/state" --node nosuch
'

test_case 'down cleans up after a supervisor that was killed' '
	pkill -9 -f "dcos-node up" || true
	gone() { ! pgrep -f "dcos-node (master|dns)" >/dev/null; }
	eventually 10 gone
	pgrep -x sleep >/dev/null
	dcos-node down --state-dir "$WORK/state"
	not pgrep -x sleep
	not grep -q "$WORK/state" /proc/self/mountinfo
'
