#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# POST of an app with 50 instances of 0.01 cpus until all are listed as running, on the default cluster.
# The peer's 16 s are `docker service create --replicas 50` on such a machine, until all 50 are running.
. tests/lib/e2e.sh
. tests/lib/bench.sh

start_cluster >&2 || exit
e2e_cluster=1
build/musl/bench/app_add http://192.168.65.90 50 0.01 5 >"$WORK/times" 2>"$WORK/error" || e2e_report '50 instances run' "$WORK/error"
figure '50 instances to running' "$(awk '{ print $1 / 1000 }' "$WORK/times" | median)" s 'Docker Swarm' 16 '<= 0.5'
