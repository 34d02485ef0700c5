# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For tests/e2e/*.sh, whose first line of code is `. tests/lib/e2e.sh`. The file then runs a second time in a small machine
# of its own: namespaces for processes, network (only lo, no uplink), mounts, hostname and cgroups, its own /etc, /run,
# bpffs and $HOME, a directory $WORK (build/e2e/NAME) kept afterwards, and `dcos`, `dcos-node` on PATH.
# Nothing of it can collide with another test or stay behind; what the program itself leaves is found and counted as a failure.
#
#   test_case NAME SCRIPT            run SCRIPT (bash, stops at the first failing command), print `ok NAME` or `not ok NAME` and its output
#   eventually SECONDS COMMAND...    try COMMAND until it succeeds; fails with its last output
#   expect STATUS METHOD PATH [BODY] one request to the cluster's entry (or to a whole URL); BODY may be @FILE; answer in $WORK/body
#   json FILTER                      jq over the last answer: is FILTER true of it?
#   not COMMAND...                   fails when COMMAND succeeds (a bare `!` would not stop the script)
#   start_cluster [FLAG...]          dcos-node up --detach; ended and checked for leaks when the file ends
#   stop_cluster
#
# A file that sets needs_static=1 first runs the executable where there is no libc for it, in an empty root or as the built-in
# image: it is skipped, saying so, with an executable that is not static (make san). Reports of the sanitizers are failures.
set -u
name=$(basename "$0" .sh)

# ---- First time: outside. Make a cgroup per hierarchy, run ourselves in namespaces, look what is left. ----
if [ -z "${E2E_INSIDE:-}" ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "not ok $name: end-to-end tests make namespaces and cgroups and need root"
		exit 1
	fi
	export E2E_TOP=$PWD E2E_BIN=${DCOS_NODE:-$PWD/dist/dcos-node} WORK=$PWD/build/e2e/$name
	[ -x "$E2E_BIN" ] || { echo "not ok $name: $E2E_BIN is not built: run make"; exit 1; }
	if [ -n "${needs_static:-}" ] && readelf -lW "$E2E_BIN" | grep -qw INTERP; then
		echo "skip $name: runs the executable where there is no libc, and $E2E_BIN is not static"
		exit 0
	fi
	mkdir -p "${WORK%/*}"
	exec 9>"$WORK.lock"
	flock 9                              # the same test run twice at a time: one after the other
	rm -rf "$WORK"
	mkdir -p "$WORK/bin" "$WORK/home" "$WORK/tmp"
	ln -s "$E2E_BIN" "$WORK/bin/dcos-node"
	ln -s "$E2E_BIN" "$WORK/bin/dcos"

	cgroups=
	while read -r _ _ _ _ at _ rest; do
		case $rest in *'- cgroup'*) ;; *) continue ;; esac
		group=$at/dcos-e2e-$name-$$
		[ "$(cat "$at/cgroup.procs" 2>/dev/null | head -c1)" ] && mkdir "$group" 2>/dev/null || continue
		for file in cpuset.cpus cpuset.mems; do
			[ ! -f "$group/$file" ] || [ -s "$group/cgroup.controllers" ] || cat "$at/$file" >"$group/$file"
		done
		[ ! -f "$group/cpu.shares" ] || echo "${E2E_CPU_SHARES:-1024}" >"$group/cpu.shares"
		echo $$ >"$group/cgroup.procs" 2>/dev/null && cgroups="$cgroups $group" || rmdir "$group"
	done </proc/self/mountinfo

	trap 'kill "$inner" 2>/dev/null' TERM INT
	E2E_INSIDE=1 unshare --net --mount --pid --fork --kill-child --mount-proc --cgroup --uts --ipc bash "$0" "$@" 9>&- &
	inner=$!
	wait "$inner"
	status=$?
	trap - TERM INT
	while kill -0 "$inner" 2>/dev/null; do wait "$inner"; done

	left=
	for group in $cgroups; do
		echo $$ >"${group%/*}/cgroup.procs"
		[ ! -d "$group/e2e" ] || rmdir "$group/e2e"
		below=$(find "$group" -mindepth 1 -depth -type d)
		left=$left$below
		for dir in $below $group; do
			deadline=$((SECONDS + 5))
			until rmdir "$dir" 2>/dev/null || [ $SECONDS -ge $deadline ]; do sleep 0.05; done
		done
	done
	if [ -n "$left" ]; then
		printf 'not ok %s: cgroups left behind\n%s\n' "$name" "$left"
		status=1
	fi
	exit $status
fi

# ---- Second time: inside. Lay out the small machine. ----
cd "$E2E_TOP" || exit 1
export HOME=$WORK/home TMPDIR=$WORK/tmp PATH=$WORK/bin:$PATH
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY no_proxy NO_PROXY
# Leaks are looked for by the unit tests: a role that ends leaves its memory to the kernel.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0:log_path=$WORK/sanitizer
export UBSAN_OPTIONS=print_stacktrace=1:log_path=$WORK/sanitizer
e2e_failed=0 e2e_cluster=

e2e_mounts() {
	mount --make-rprivate / &&
	mount -t tmpfs -o mode=755 tmpfs /run &&
	mkdir -p /run/etc/up /run/etc/work /run/lib/up /run/lib/work &&
	mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/up,workdir=/run/etc/work overlay /etc &&
	mount -t overlay -o lowerdir=/var/lib,upperdir=/run/lib/up,workdir=/run/lib/work overlay /var/lib &&
	rm -f /etc/resolv.conf && echo 'nameserver 127.0.0.1' >/etc/resolv.conf || return 1
	# Mounted anew in this cgroup namespace, every hierarchy shows our own cgroup as its root.
	local at kind options
	while read -r _ _ _ _ at _ rest; do
		case $rest in *'- cgroup'*) ;; *) continue ;; esac
		set -- ${rest##*- }
		kind=$1 options=$(printf %s "$3" | tr , '\n' | grep -vx -e rw -e nsdelegate -e memory_recursiveprot -e xattr | paste -sd,)
		umount "$at" && mount -t "$kind" ${options:+-o "$options"} "$kind" "$at" || return 1
		# cgroup v2 gives no controllers to children of a cgroup that holds processes itself.
		if [ "$kind" = cgroup2 ] && [ -s "$at/cgroup.controllers" ]; then
			mkdir "$at/e2e" && echo $$ >"$at/e2e/cgroup.procs" || return 1
		fi
	done <<-END
		$(cat /proc/self/mountinfo)
	END
	if [ -d /sys/fs/bpf ]; then mount -t bpf bpf /sys/fs/bpf; fi
}
e2e_mounts && ip link set lo up || { echo "not ok $name: cannot lay out namespaces for the test"; exit 1; }

# What a machine holds, apart from what every machine holds: compared before and after.
e2e_world() {
	grep -v ' - overlay overlay ' /proc/self/mountinfo | cut -d' ' -f5 | sort | sed 's/^/mount /'
	ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/interface \1/' | sort
	ip route show table all | sed 's/^/route /' | grep -v -e ' dev lo ' -e 'fe80'
	ip -o addr | awk '{ print "address", $2, $4 }'
	ls /run/netns 2>/dev/null | sed 's/^/netns /'
	find /sys/fs/bpf -mindepth 1 2>/dev/null | sed 's/^/pinned /'
	local dir comm
	for dir in /proc/[0-9]*; do
		comm=$(tr '\0' ' ' <"$dir/cmdline" 2>/dev/null) || continue
		case $dir in "/proc/$$" | "/proc/$BASHPID") continue ;; esac
		# Our own shells for $( ) have the test's command line; kernel threads and zombies have none.
		case $comm in '' | "bash $0"*) continue ;; esac
		echo "process $comm"
	done
}
e2e_world >"$WORK/world.before"

e2e_end() {
	[ -z "$e2e_cluster" ] || stop_cluster >"$WORK/down.log" 2>&1 || e2e_report "the cluster ends" "$WORK/down.log"
	if ! eventually 10 e2e_clean >/dev/null; then
		diff "$WORK/world.before" "$WORK/world.after" >"$WORK/leaks"
		e2e_report "nothing is left behind" "$WORK/leaks"
	else
		echo "ok $name: nothing is left behind"
	fi
	for report in "$WORK"/sanitizer.*; do
		[ ! -e "$report" ] || e2e_report "the sanitizers have nothing to say" "$report"
	done
	[ "$e2e_failed" = 0 ]
	exit
}
trap e2e_end EXIT

e2e_clean() { e2e_world >"$WORK/world.after" && cmp -s "$WORK/world.before" "$WORK/world.after"; }

e2e_report() {                               # WHAT LOG: count a failure and show the end of its log
	echo "not ok $name: $1"
	tail -n "${E2E_TAIL:-40}" "$2" | sed 's/^/    /'
	e2e_failed=$((e2e_failed + 1))
}

test_case() {                                # NAME SCRIPT
	local log status
	log=$WORK/$(printf %s "$1" | tr -c 'A-Za-z0-9\n' _).log
	(set -eu; eval "$2") >"$log" 2>&1
	status=$?
	if [ $status = 0 ]; then
		echo "ok $name: $1"
	else
		[ -z "$e2e_cluster$(ls "$WORK/state" 2>/dev/null)" ] || dcos-node status --state-dir "$WORK/state" >>"$log" 2>&1
		e2e_report "$1" "$log"
	fi
}

eventually() {                               # SECONDS COMMAND...
	local deadline out status
	deadline=$(($(date +%s%3N) + $1 * 1000))
	shift
	while out=$("$@" 2>&1); status=$?; [ $status != 0 ]; do
		if [ "$(date +%s%3N)" -ge "$deadline" ]; then
			printf 'still fails (%s): %s\n%s\n' "$status" "$*" "$out"
			return 1
		fi
		sleep 0.05                   # between two looks at the condition
	done
	[ -z "$out" ] || printf '%s\n' "$out"
}

not() { ! "$@"; }                            # unlike a bare `!`, which `set -e` overlooks, this fails the test

expect() {                                   # STATUS METHOD PATH-OR-URL [BODY]
	local url=$3 got
	case $url in http*) ;; *) url=${DCOS_URL:-$(dcos config show core.dcos_url)}$url ;; esac
	got=$(curl -sS -m 30 -o "$WORK/body" -w '%{http_code}' -X "$2" -H 'Content-Type: application/json' \
		${CURL_FLAGS:-} ${4+--data-binary "$4"} "$url") || return 1
	if [ "$got" != "$1" ]; then
		printf '%s %s answered %s, expected %s:\n' "$2" "$url" "$got" "$1"
		head -c 2000 "$WORK/body"
		echo
		return 1
	fi
}

json() {                                     # FILTER
	jq -e "$1" <"$WORK/body" >/dev/null && return
	printf 'not so: %s\nin: ' "$1"
	head -c 2000 "$WORK/body"
	echo
	return 1
}

start_cluster() {                            # [FLAG...]
	dcos-node up --detach --state-dir "$WORK/state" "$@"
}

stop_cluster() {
	dcos-node down --state-dir "$WORK/state"
}
