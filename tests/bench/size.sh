#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The executable beside what Debian's Docker, which does a part of the work, is made of: docker, dockerd, containerd, its
# shim and runc. The packages are unpacked under build/deps/peers and not installed.
set -eu
. tests/lib/bench.sh

peers=build/deps/peers/docker
if [ ! -f "$peers/unpacked" ]; then
	mkdir -p "$peers/deb" && (cd "$peers/deb" && apt-get -qq download docker.io containerd runc >&2) || echo 'no packages to compare with' >&2
	for deb in "$peers"/deb/*.deb; do [ ! -f "$deb" ] || dpkg-deb -x "$deb" "$peers/root" || exit 1; done
	[ ! -d "$peers/root" ] || touch "$peers/unpacked"
fi
megabytes() { stat -L -c %s "$@" | awk '{ sum += $1 } END { printf "%.2f", sum / 1e6 }'; }
theirs=-
if [ -d "$peers/root" ]; then
	theirs=$(megabytes "$peers"/root/usr/bin/{docker,containerd,containerd-shim-runc-v2} "$peers"/root/usr/sbin/{dockerd,runc})
fi
[ -f dist/dcos-node ]
figure executable "$(megabytes dist/dcos-node)" MB "Docker's executables" "$theirs" '<= 4'
