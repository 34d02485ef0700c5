# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For tests/bench/*.sh, after `. tests/lib/e2e.sh`: rows of the table that tests/bench/run prints.
#
#   figure NAME OURS UNIT PEER PEERS-FIGURE AIM     one row; the ratio is computed; "-" stands for what there is not
#   median NUMBER...                                also from stdin, one a line
#   now_ms                                          wall clock, milliseconds
#   pids_of NODE                                    "role pid" of each role process of a node
#   peer NAME PACKAGE...                            unpack Debian packages into $PEERS/NAME once; nothing is installed. Needs a
#                                                   network, so before e2e.sh: [ -n "${E2E_INSIDE:-}" ] || peer …

PEERS=$PWD/build/deps/peers

figure() {
	local ratio=-
	case $5 in -) ;; *) ratio=$(awk -v a="$2" -v b="$5" 'BEGIN { if (b > 0) printf "%.3g", a / b; else printf "-" }') ;; esac
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" "$ratio" "$6"
}

median() {
	{ [ $# = 0 ] && cat || printf '%s\n' "$@"; } | sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

now_ms() { date +%s%3N; }

pids_of() {
	dcos-node status --json --state-dir "$WORK/state" | jq -r ".processes[] | select(.node == \"$1\" and .pid > 0) | \"\(.role) \(.pid)\""
}

peer() {
	local dir=$PEERS/$1
	shift
	[ ! -e "$dir" ] || return 0
	rm -rf "$dir.new"
	mkdir -p "$dir.new/deb"
	(cd "$dir.new/deb" && apt-get -qq download "$@" >&2) || { echo "no packages to compare with: $*" >&2; return 1; }
	for deb in "$dir.new"/deb/*.deb; do dpkg-deb -x "$deb" "$dir.new" || return 1; done
	rm -r "$dir.new/deb"
	mv "$dir.new" "$dir"
}
