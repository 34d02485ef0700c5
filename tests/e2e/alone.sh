#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The executable copied alone into an empty root directory: a whole cluster runs there, so it calls no other program.
needs_static=1
. tests/lib/e2e.sh

root=$WORK/root
in_root() { chroot "$root" /dcos-node "$@"; }

test_case 'an empty root with nothing but the executable and the kernel file systems' '
	mkdir -p "$root"
	mount --bind "$root" "$root"
	mkdir -p "$root"/proc "$root"/sys "$root"/dev "$root"/etc "$root"/tmp "$root"/root
	cp "$(readlink -f "$(command -v dcos-node)")" "$root/dcos-node"
	not grep -q "=>" <(ldd "$root/dcos-node" 2>/dev/null)
	mount --rbind /proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
'

test_case 'a cluster, an app and its answer from in there' '
	export HOME=/root
	in_root up --detach --state-dir /state --agents 1 --public-agents 0
	cp tests/data/example-service.json "$root/tmp/"
	in_root cli marathon app add /tmp/example-service.json
	answers() { curl -sS -m 3 --resolve sise.marathon.l4lb.thisdcos.directory:80:11.53.9.139 http://sise.marathon.l4lb.thisdcos.directory:80/endpoint0 | grep "all is well"; }
	eventually 10 answers
	in_root cli task log sise stderr | grep endpoint0
	in_root cli marathon app remove sise
	in_root down --state-dir /state
'

test_case 'and it is unmounted again' '
	umount -R "$root"
'
