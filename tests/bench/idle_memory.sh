#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the roles of a node cost while nothing happens, and how often each wakes up. Memory is the proportional set size, as
# it would be were the node alone on its machine: here all nodes share the pages of one executable, so these are left out
# and the executable is added once, whole.
. tests/lib/e2e.sh
. tests/lib/bench.sh

SECONDS_IDLE=20

start_cluster >&2 || exit
e2e_cluster=1
pss() {                                      # PID: kB, without the executable's own pages
	awk '/^[0-9a-f]+-[0-9a-f]+ / { ours = $NF ~ /dcos-node$/ } /^Pss:/ && !ours { kb += $2 } END { print kb + 0 }' "/proc/$1/smaps"
}
memory() {                                   # NODE: MB
	local sum role pid kb
	sum=$(($(stat -L -c %s "$E2E_BIN") / 1024))
	while read -r role pid; do
		kb=$(pss "$pid")
		echo "$1 $role: $kb kB" >&2
		sum=$((sum + kb))
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
figure 'idle memory of an agent node' "$(memory a1)" MB - - '<= 10'
figure 'idle memory of a master node' "$(memory m1)" MB - - -
figure 'idle wake-ups of a role, the most' "$rate" 1/s - - '<= 2'
