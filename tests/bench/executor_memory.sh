#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Memory that belongs to one executor alone, while its task sleeps.
. tests/lib/e2e.sh
. tests/lib/bench.sh

TASKS=5

start_cluster >&2 || exit
e2e_cluster=1
curl -sSf -m 5 -o "$WORK/body" -H 'Content-Type: application/json' \
	-d "{\"id\": \"/sleeper\", \"cmd\": \"exec sleep 1000\", \"cpus\": 0.01, \"mem\": 4, \"instances\": $TASKS}" \
	http://192.168.65.90/service/marathon/v2/apps || exit
executors() {
	local dir
	for dir in /proc/[0-9]*; do
		case $(tr '\0' ' ' <"$dir/cmdline" 2>/dev/null) in *'dcos-node executor '*) echo "${dir#/proc/}" ;; esac
	done
}
all_run() { [ "$(curl -sS http://192.168.65.90/service/marathon/v2/apps/sleeper | jq .app.tasksRunning)" = $TASKS ]; }
eventually 20 all_run || { e2e_report 'tasks run' "$WORK/body"; exit; }
for pid in $(executors); do
	awk '/^Private_(Clean|Dirty):/ { kb += $2 } END { print kb }' "/proc/$pid/smaps_rollup"
done >"$WORK/private"
figure 'private memory of an executor' "$(median <"$WORK/private")" kB - - '<= 200'
