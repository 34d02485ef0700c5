#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job on three masters, with the leading one lost between any two of its steps: killed, in a second run cut off from
# the network. What runs is not disturbed: tasks keep their processes, and while another master comes to lead, names and the
# virtual IP answer all the time; in the end with every master down.
# shellcheck disable=SC2034
needs_static=1
. tests/lib/e2e.sh
. tests/lib/main_job.sh

UP_FLAGS=(--resolv-conf --masters 3)

# ---- Asking all the time: each failure is a line in $WORK/missed ----
probe() {
	while [ -e "$WORK/probing" ]; do
		answers || echo "$(date +%T.%3N) the virtual IP does not answer"
		[ -n "$(dig +short +tries=1 +time=2 sise.marathon.mesos)" ] || echo "$(date +%T.%3N) sise.marathon.mesos has no address"
		echo >>"$WORK/looks"
		sleep 0.05                   # twenty looks a second are enough
	done >>"$WORK/missed" 2>&1
}
probe_start() {
	touch "$WORK/probing"
	probe &
	prober=$!
}
probe_stop() {
	[ -e "$WORK/probing" ] || return 0
	rm "$WORK/probing"
	wait "$prober"
}
none_missed() {
	echo "the prober has looked $(wc -l <"$WORK/looks") times"
	cat "$WORK/missed" && [ ! -s "$WORK/missed" ]
}
all_probed() { [ "$(wc -l <"$WORK/looks")" -gt 30 ] && none_missed; }

# ---- Losing the leading master ----
node_of() { cluster_status | jq -r ".masters[] | select(.ip == \"$1\") | .node"; }
quorum_is_whole() { cluster_status | jq -e '.voters == 3 and .leader != "" and .warnings == []'; }
another_leads() { local now; now=$(leader) && [ "$now" != "$1" ]; }
service_pids() { pgrep -x simpleservice | sort -n | tr '\n' ' '; }

lose_by_kill() { kill -9 "$(pid_of "$1" master)"; }
lose_by_cut() { ip link set "dcos0-$1" down; }
back_from_kill() { :; }                      # its supervisor has started it again
back_from_cut() { ip link set "dcos0-$1" up; }

lose_leader() {                              # NEXT-STEP
	case $1 in 'names lead to it' | 'removed'*) probe_start ;; esac      # the app answers, since the step before
	test_case "${job_prefix}the leading master lost before: $1" '
		eventually 20 quorum_is_whole
		old=$(leader) node=$(node_of "$(leader)") pids=$(service_pids)
		lose_by_$way "$node"
		eventually 10 another_leads "$old"
		echo "$old led, $(leader) leads"
		back_from_$way "$node"
		[ "$(service_pids)" = "$pids" ]
		none_missed
	'
	case $1 in
	'scaled to three'*) log_goes_on ;;
	'everything killed'*) every_master_down && probe_stop ;;
	'removed'*)
		probe_stop
		test_case "${job_prefix}names and the virtual IP answered all the time" all_probed
		;;
	esac
}

# Through the leading master, which then goes: what the command printed is the file from its beginning, nothing lost or doubled.
log_goes_on() {
	test_case "${job_prefix}dcos task log --follow goes on when its master is lost" '
		eventually 20 quorum_is_whole
		old=$(leader) node=$(node_of "$(leader)")
		list=$(dirname "$(ls "$HOME"/.dcos/clusters/*/attached)")/masters
		{ echo "http://$old"; masters | grep -vx "$old" | sed "s,^,http://,"; } >"$list"
		dcos task log --follow --lines=1000000 sise stderr >"$WORK/follow" &
		follower=$!
		eventually 5 test -s "$WORK/follow"
		lose_by_$way "$node"
		eventually 10 another_leads "$old"
		had=$(stat -c %s "$WORK/follow")
		more() { answers; [ "$(stat -c %s "$WORK/follow")" -gt "$had" ]; }
		eventually 60 more
		back_from_$way "$node"
		kill "$follower"
		file=$(echo "$WORK"/state/*/slave/slaves/*/frameworks/*/executors/sise.*/runs/latest/stderr)
		head -c "$(stat -c %s "$WORK/follow")" "$file" | cmp - "$WORK/follow"
		none_missed
	'
}

every_master_down() {
	[ "$way" = kill ] || return 0
	test_case "${job_prefix}with every master down names and the virtual IP answer" '
		pids=$(service_pids)
		for m in m1 m2 m3; do dcos-node down --state-dir "$WORK/state" --node $m; done
		dcos-node status --state-dir "$WORK/state" | grep "no master answers"
		for i in $(seq 20); do
			answers
			[ -n "$(dig +short sise.marathon.mesos)" ]
			sleep 0.1                # two seconds of it
		done
		[ "$(service_pids)" = "$pids" ]
		none_missed
	'
}

for way in kill cut; do
	job_prefix="$way: "
	: >"$WORK/missed"
	: >"$WORK/looks"
	main_job lose_leader
	stop_cluster
	rm -rf "$WORK/state"
	e2e_cluster=
done
