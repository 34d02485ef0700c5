#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From nothing to the first task: `up` on an empty directory, one app posted, its answer at its virtual IP by its name.
# The peer is Nomad's dev agent with one job: 1.3 s where its fingerprinting finds nothing to wait for, up to 7 s.
. tests/lib/e2e.sh
. tests/lib/bench.sh

ROUNDS=5
URL=http://sise.marathon.l4lb.thisdcos.directory/endpoint0

round() {
	local begin serving
	begin=$(now_ms)
	start_cluster --resolv-conf >&2 || return 1
	serving=$(now_ms)
	curl -sSf -m 5 -o "$WORK/body" -H 'Content-Type: application/json' -d @tests/data/example-service.json \
		http://192.168.65.90/service/marathon/v2/apps || return 1
	eventually 20 curl -sf -m 1 -o "$WORK/body" "$URL" || return 1
	echo "$(($(now_ms) - begin)) $((serving - begin))"
	stop_cluster >&2
	rm -rf "$WORK/state"
}

for ((i = 0; i < ROUNDS; i++)); do
	round >>"$WORK/times" || { e2e_cluster=1; e2e_report "round $i" "$WORK/body"; exit; }
done
seconds() { awk -v column="$1" '{ print $column / 1000 }' "$WORK/times" | median; }
figure 'up to first task' "$(seconds 1)" s 'Nomad dev agent' 1.3 '<= 0.3'
figure 'up to serving' "$(seconds 2)" s - - -
