#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Three masters on loopback with real syncs: writes one after the other and 256 in flight, linearizable reads, CPU and memory.
# One client process on one connection; 256-byte values.
. tests/lib/e2e.sh
. tests/lib/bench.sh
# shellcheck disable=SC2034
quorum_loopback=1
. tests/lib/quorum.sh

load() { timeout 100 build/musl/bench/quorum_load "$WORK/m1" "$quorum_rpc" "$@" | tail -1; }
field() { awk -v n="$2" '{ print $n }' <<<"$1"; }          # of "seconds per-second p50-us p99-us"
cpu_us() { for m in m1 m2 m3; do awk '{ print $14 + $15 }' "/proc/$(cat "$WORK/$m.pid")/stat"; done | awk -v hz="$(getconf CLK_TCK)" '{ s += $1 } END { print s * 1000000 / hz }'; }
rss_mb() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$(cat "$WORK/m1.pid")/status"; }

quorum_start >&2 || exit
idle=$(rss_mb)
serial=$(load write 3000 1 256)
before=$(cpu_us)
many=$(load write 100000 256 256)
after=$(cpu_us)
reads=$(load read 100000 256)
figure 'serial write, three masters, p50' "$(field "$serial" 3)" us - - '<= 350'
figure 'serial write, three masters, p99' "$(field "$serial" 4)" us - - -
figure 'writes, 256 in flight' "$(field "$many" 2)" /s - - '>= 50000'
figure 'CPU of the ensemble per write' "$(awk -v a="$before" -v b="$after" 'BEGIN { printf "%.1f", (b - a) / 100000 }')" us - - -
figure 'linearizable reads, 256 in flight' "$(field "$reads" 2)" /s - - -
figure 'memory of a master, idle' "$idle" MB - - -
figure 'memory of a master after 100,000 writes' "$(rss_mb)" MB - - -
quorum_end
