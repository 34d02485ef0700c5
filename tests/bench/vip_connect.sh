#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Connect and one request through a virtual IP beside the same to the backend itself, in turn in one run.
. tests/lib/e2e.sh
. tests/lib/bench.sh

NAME=sise.marathon.l4lb.thisdcos.directory

start_cluster --resolv-conf >&2 || exit
e2e_cluster=1
dcos marathon app add tests/data/example-service.json >&2 || exit
answers() { curl -sf -m 1 -o "$WORK/body" "http://$NAME/endpoint0"; }
eventually 20 answers || { e2e_report 'it answers at its virtual IP' "$WORK/body"; exit; }
task=$(curl -sS -H 'Accept: application/json' http://192.168.65.90/service/marathon/v2/tasks | jq -r '.tasks[0] | "\(.host) \(.ports[0])"')
# shellcheck disable=SC2086
build/musl/bench/vip_connect "$(dig +short "$NAME")" 80 $task 5000 >"$WORK/times" 2>"$WORK/error" || e2e_report 'requests are answered' "$WORK/error"
read -r vip direct more <"$WORK/times"
figure 'connect and request by a virtual IP' "$vip" us direct "$direct" -
figure 'a virtual IP costs' "$more" us - - '<= 5'
