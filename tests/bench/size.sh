#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The executable beside what Debian's Docker, which does a part of the work, is made of: docker, dockerd, containerd, its
# shim and runc.
set -u
. tests/lib/bench.sh

megabytes() { stat -L -c %s "$@" | awk '{ sum += $1 } END { printf "%.2f", sum / 1e6 }'; }

[ -x dist/dcos-node ] || { echo 'dist/dcos-node is not built: run make' >&2; exit 1; }
theirs=-
root=$PEERS/docker
if peer docker docker.io containerd runc; then
	theirs=$(megabytes "$root"/usr/bin/{docker,containerd,containerd-shim-runc-v2} "$root"/usr/sbin/{dockerd,runc})
fi
figure executable "$(megabytes dist/dcos-node)" MB "Docker's executables" "$theirs" '<= 4'
