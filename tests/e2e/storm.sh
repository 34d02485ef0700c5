#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Storm: 8 clients read, write and compare-and-set for STORM_SECONDS (20) while a random master is killed, paused or cut off again and
# again. What they saw must be linearizable, and afterwards all three masters have the same. STORM_SEED repeats the order of blows
# and of the clients' choices (not their timing).
. tests/lib/e2e.sh
. tests/lib/quorum.sh

seconds=${STORM_SECONDS:-20} seed=${STORM_SEED:-$((RANDOM * 32768 + RANDOM))}
echo "# STORM_SECONDS=$seconds STORM_SEED=$seed bash tests/e2e/storm.sh"

storm() {                                    # one blow after the other until the time is over; says what it did
	local end=$((SECONDS + seconds)) m how
	RANDOM=$((seed % 32768))
	while [ $SECONDS -lt $end ]; do
		m=m$((RANDOM % 3 + 1)) how=$((RANDOM % 3))
		local pause
		pause=$(printf '%d.%03d' $((RANDOM % 2)) $((RANDOM % 1000)))
		echo "$(date +%T.%3N) $m $(echo kill pause cut | cut -d' ' -f$((how + 1))) for $pause s"
		case $how in
		0) master_signal $m KILL; eventually 5 not master_signal $m 0 2>/dev/null; sleep "$pause"; master_start $m ;;
		1) master_signal $m STOP; sleep "$pause"; master_signal $m CONT ;;
		2) master_cut $m; sleep "$pause"; master_mend $m ;;
		esac
		sleep "0.$((RANDOM % 900 + 100))"    # a while of peace; the masters need not have come together
	done
}

test_case 'three masters agree' 'quorum_start'

test_case "clients go on for $seconds s while masters are killed, paused and cut off (seed $seed)" '
	build/musl/e2e/storm_client "$WORK/m1" "$quorum_rpc" "$seconds" "$seed" "$WORK/history" >"$WORK/clients" 2>&1 9>&- &
	client=$!
	storm >"$WORK/blows"
	wait $client || { cat "$WORK/clients"; tail -3 "$WORK"/m?.log; exit 1; }
	cat "$WORK/clients"
	[ "$(sed "s/ .*//" "$WORK/clients")" -gt $((seconds * 20)) ]
'
[ ! -s "$WORK/clients" ] || sed 's/^/# /' "$WORK/clients"

test_case 'what they saw is linearizable' 'build/musl/linear "$WORK/history"'

test_case 'the masters come together again' 'eventually 30 quorum_whole; quorum_end'
