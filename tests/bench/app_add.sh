#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# POST of an app until its task is listed as running, on a cluster that idles.
. tests/lib/e2e.sh
. tests/lib/bench.sh

start_cluster >&2 || exit
e2e_cluster=1
build/musl/bench/app_add http://192.168.65.90 1 0.01 20 >"$WORK/times" 2>"$WORK/error" || e2e_report 'an app runs' "$WORK/error"
figure 'app add to running' "$(median <"$WORK/times")" ms - - '<= 20'
