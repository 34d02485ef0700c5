#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Failover: the leader of three is killed FAILOVERS (10) times, each time from a steady state. From the kill to the first write that
# is acknowledged to a client which knows all masters; prints the percentiles in milliseconds and, with FAILOVER_ROWS, the table's rows.
. tests/lib/e2e.sh
. tests/lib/bench.sh
. tests/lib/quorum.sh

kills=${FAILOVERS:-10}

outage() {                                   # KILLED-AT-US: milliseconds until the first write was acknowledged after the kill
	awk -v t="$1" '$2 > t + 1000 { printf "%.1f\n", ($2 - t) / 1000; found = 1; exit } END { exit !found }' "$WORK/probe"
}

kill_leader() {
	local leader pid at
	leader=$(quorum_leader) || return 1
	pid=$(cat "$WORK/$leader.pid")
	kill -KILL "$pid"
	at=${EPOCHREALTIME/./}               # what is on its way to the client is there within a millisecond
	eventually 20 outage "$at" >>"$WORK/outages" || return 1
	eventually 5 not kill -0 "$pid" 2>/dev/null
	master_start "$leader"
	eventually 30 quorum_steady >/dev/null
}

quorum_steady() { quorum_members "$(quorum_leader)" | jq -e '[.members[] | select(.state == "unreachable" or .lag > 100)] == []'; }

percentile() { sort -g "$WORK/outages" | awk -v p="$1" '{ v[NR] = $1 } END { i = int((NR * p + 99) / 100); print v[i < 1 ? 1 : i] }'; }

test_case 'three masters agree' 'quorum_start'

test_case "the leader is killed $kills times and writes go on" '
	build/musl/bench/quorum_load "$WORK/m1" "$quorum_rpc" probe >"$WORK/probe" 2>"$WORK/probe.err" 9>&- &
	client=$!
	for i in $(seq "$kills"); do kill_leader; done
	kill -0 $client
	kill $client
	[ "$(wc -l <"$WORK/outages")" = "$kills" ]
'
if [ -s "$WORK/outages" ] && [ -n "${FAILOVER_ROWS:-}" ]; then
	figure "failover, $kills kills of the leader, p50" "$(percentile 50)" ms - - -
	figure "failover, $kills kills of the leader, p99" "$(percentile 99)" ms - - '<= 300'
elif [ -s "$WORK/outages" ]; then
	echo "# failover, ms: p50 $(percentile 50) p90 $(percentile 90) p99 $(percentile 99) max $(percentile 100)"
fi
test_case 'no failover takes longer than 5 s' 'awk "\$1 > 5000 { exit 1 }" "$WORK/outages"'
test_case 'the masters end' 'quorum_end'
