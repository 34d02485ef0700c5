# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For tests with three masters m1 m2 m3, after `. tests/lib/e2e.sh`. Each has a network namespace of its own on the bridge br0 and
# the address 10.9.0.N; with quorum_loopback=1 all are in this namespace, on 127.0.9.N.
#
#   quorum_start             found the cluster with m1, let the others join, wait until all are voters and caught up
#   quorum_end               end all, remove the namespaces
#   master_start M           start it (again) as it was; its pid is in $WORK/M.pid
#   master_signal M SIG
#   master_cut M, master_mend M     take its cable out, put it back
#   quorum_leader            name of the one that leads
#   $quorum_rpc              IP:PORT,IP:PORT,IP:PORT

quorum_prefix=10.9.0
[ -z "${quorum_loopback:-}" ] || quorum_prefix=127.0.9
export quorum_rpc=$quorum_prefix.1:5060,$quorum_prefix.2:5060,$quorum_prefix.3:5060

quorum_net() {
	ip link add br0 type bridge && ip addr add 10.9.0.100/24 dev br0 && ip link set br0 up || return 1
	for m in m1 m2 m3; do
		ip netns add $m && ip link add v-$m type veth peer name eth0 netns $m && ip link set v-$m master br0 up &&
			ip -n $m link set lo up && ip -n $m addr add "10.9.0.${m#m}/24" dev eth0 && ip -n $m link set eth0 up || return 1
	done
}

master_start() {
	local enter=()
	[ -n "${quorum_loopback:-}" ] || enter=(ip netns exec "$1")
	"${enter[@]}" dcos-node master --state-dir "$WORK/$1" --ip "$quorum_prefix.${1#m}" --node "$1" --cgroup "/e2e-$1" "${@:2}" \
		>>"$WORK/$1.log" 2>&1 9>&- &
	echo $! >"$WORK/$1.pid"
}

master_signal() { kill "-$2" "$(cat "$WORK/$1.pid")"; }
master_cut() { ip link set "v-$1" down; }
master_mend() { ip link set "v-$1" up; }
quorum_members() { dcos-node master members --json --state-dir "$WORK/${1:-m1}"; }
quorum_leader() {
	local m
	for m in m1 m2 m3; do
		quorum_members $m 2>/dev/null | jq -re '.members[] | select(.state == "leader") | .name' && return
	done
	return 1
}
quorum_whole() { quorum_members | jq -e '([.members[] | select(.role == "voter")] | length == 3) and ([.members[] | select(.lag != 0)] == [])'; }

quorum_start() {
	[ -n "${quorum_loopback:-}" ] || quorum_net || return 1
	master_start m1
	eventually 20 quorum_leader >/dev/null || return 1
	for m in m2 m3; do
		eventually 5 eval "dcos-node master token --state-dir '$WORK/m1' >'$WORK/$m.token'" || return 1
		master_start $m --join "$WORK/$m.token" "$quorum_prefix.1"
	done
	eventually 30 quorum_whole >/dev/null
}

quorum_end() {
	local m
	for m in m1 m2 m3; do
		kill -CONT "$(cat "$WORK/$m.pid")" 2>/dev/null
		kill -TERM "$(cat "$WORK/$m.pid")" 2>/dev/null
	done
	for m in m1 m2 m3; do
		eventually 10 not kill -0 "$(cat "$WORK/$m.pid")" 2>/dev/null
		[ -n "${quorum_loopback:-}" ] || ip netns del $m
	done
	[ -n "${quorum_loopback:-}" ] || { ip link del br0; umount /run/netns; }
}
