#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the roles of a node cost while nothing happens: their proportional set size together (shared pages count by how many
# share them), and how often each wakes up.
. tests/lib/e2e.sh
. tests/lib/bench.sh

SECONDS_IDLE=20

start_cluster >&2 || exit
e2e_cluster=1
pss() {                                      # NODE
	local sum=0 role pid
	while read -r role pid; do
		sum=$((sum + $(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup")))
		echo "$1 $role: $(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup") kB" >&2
	done < <(pids_of "$1")
	awk -v kb="$sum" 'BEGIN { printf "%.1f", kb / 1024 }'
}
switches() {                                 # PID: of all its threads
	cat "/proc/$1"/task/*/status | awk '/^voluntary_ctxt_switches:/ { sum += $2 } END { print sum }'
}
wakeups() {                                  # the most of any role, a second
	local node role pid line
	for node in m1 a1 p1; do pids_of "$node" | sed "s/^/$node /"; done >"$WORK/roles"
	while read -r node role pid; do echo "$node $role $pid $(switches "$pid")"; done <"$WORK/roles" >"$WORK/switches"
	sleep "$SECONDS_IDLE"                    # the measurement itself
	while read -r node role pid line; do
		echo "$node $role $(awk -v n="$(($(switches "$pid") - line))" -v s="$SECONDS_IDLE" 'BEGIN { print n / s }')"
	done <"$WORK/switches" | tee /dev/stderr | sort -k3g | awk '{ most = $3 } END { print most }'
}
rate=$(wakeups)
figure 'idle memory of an agent node' "$(pss a1)" MB - - '<= 10'
figure 'idle memory of a master node' "$(pss m1)" MB - - -
figure 'idle wake-ups of a role, the most' "$rate" 1/s - - '<= 2'
