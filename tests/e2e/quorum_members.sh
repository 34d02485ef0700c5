#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Masters join, are promoted, leave, are replaced, move and recover; who has no business among them is refused with the reason in
# the log. Three and more real masters, each in a network namespace of its own.
. tests/lib/e2e.sh

ip_of() { echo "10.9.0.${1#m}"; }
log_of() { echo "$WORK/$1.log"; }
ms() { dcos-node master "$1" --state-dir "$WORK/m1" "${@:2}"; }       # asked from m1's identity
members() { dcos-node master members --json --state-dir "${from:-$WORK/m1}"; }
logged() { grep -q -- "$2" "$(log_of "$1")"; }                             # MASTER TEXT

add_net() {                                  # NAME [ADDRESS]
	ip netns add "$1"
	ip link add "v-$1" type veth peer name eth0 netns "$1"
	ip link set "v-$1" master br0 up
	ip -n "$1" link set lo up
	ip -n "$1" addr add "${2:-$(ip_of "$1")}/24" dev eth0
	ip -n "$1" link set eth0 up
}
start() {                                    # NAME [FLAG...]: IP=… another address, DIR=… another state directory
	local n=$1 ip=${IP:-$(ip_of "$1")}
	shift
	ip netns exec "$n" dcos-node master --state-dir "${DIR:-$WORK/$n}" --ip "$ip" --node "${NAME:-$n}" "$@" >>"$(log_of "$n")" 2>&1 9>&- &
	echo $! >"$WORK/$n.pid"
}
end() { kill -"${2:-TERM}" "$(cat "$WORK/$1.pid")"; eventually 10 not kill -0 "$(cat "$WORK/$1.pid")" 2>/dev/null; }
state_is() { members | jq -e --arg n "$1" --arg s "$2" '.members[] | select(.name == $n) | .state == $s'; }
leader() { members | jq -re '.members[] | select(.state == "leader") | .name'; }
voters() { [ "$(members | jq '[.members[] | select(.role == "voter")] | length')" = "$1" ]; }
caught_up() { members | jq -e '[.members[] | select(.lag != 0)] | length == 0'; }
leads() { [ "$(leader)" = "$1" ]; }
join_file() { dcos-node master token --state-dir "${2:-$WORK/m1}" >"$1"; }

test_case 'a first master founds a cluster and leaves tokens of both kinds, for root alone' '
	ip link add br0 type bridge
	ip addr add 10.9.0.100/24 dev br0
	ip link set br0 up
	for m in m1 m2 m3 m4 m5 m6 m7; do add_net $m; done
	start m1
	eventually 10 leads m1
	eventually 5 test -s "$WORK/m1/identity/master-token"
	[ "$(stat -c %a "$WORK/m1/identity/master-token" "$WORK/m1/identity/ca.key" | sort -u)" = 600 ]
	grep -q "^dcosm1\." "$WORK/m1/identity/master-token"
	grep -q "^dcos1\." "$WORK/m1/identity/token"
'

test_case 'a second one waits as a learner, with the third both are promoted: never an even number for long' '
	cp "$WORK/m1/identity/master-token" "$WORK/t2"
	start m2 --join "$WORK/t2" 10.9.0.1
	eventually 10 state_is m2 follower
	voters 1
	join_file "$WORK/t3"
	start m3 --join "$WORK/t3" 10.9.0.1
	eventually 15 voters 3
	eventually 5 caught_up
	members | jq -e ".warnings == []"
	[ "$(stat -c %a "$WORK/m2/identity/ca.key")" = 600 ]
	cmp "$WORK/m1/identity/ca.key" "$WORK/m2/identity/ca.key"
'

test_case 'a token that was used, is of nodes, is damaged or has expired makes no master' '
	for case in used nodes damaged unknown; do
		case $case in
		used) cp "$WORK/t2" "$WORK/bad" ;;
		nodes) cp "$WORK/m1/identity/token" "$WORK/bad" ;;
		damaged) head -c 40 "$WORK/t3" >"$WORK/bad" ;;
		unknown) sed "s/......$/abcdef/" "$WORK/t3" >"$WORK/bad" ;;
		esac
		rm -rf "$WORK/m4" "$(log_of m4)"
		start m4 --join "$WORK/bad" 10.9.0.1
		case $case in
		used) eventually 5 logged m4 "used by another master already"; logged m1 "join refused node=m4 from=10.9.0.4.*used by another" ;;
		nodes) eventually 5 logged m4 "no join token of masters" ;;
		damaged) eventually 5 logged m4 "the join token of masters is damaged" ;;
		unknown) eventually 5 logged m4 "is not one of this cluster" ;;
		esac
		[ ! -e "$WORK/m4/identity/cert.pem" ]
		end m4
	done
	not dcos-node master token --expires 1secs --state-dir "$WORK/m1"
	voters 3
'

test_case 'without a token a master with others in its flags founds nothing' '
	rm -rf "$WORK/m4" "$(log_of m4)"
	start m4 --masters 10.9.0.1
	eventually 5 logged m4 "belongs to no cluster yet"
	[ ! -e "$WORK/m4/identity/cert.pem" ]
'

test_case 'the lead is handed over, and from any master' '
	dcos-node master transfer m2 --state-dir "$WORK/m3" | grep "m2 leads"
	eventually 5 leads m2
	dcos-node master transfer --state-dir "$WORK/m1"
	eventually 5 not leads m2
	dcos-node master transfer m1 --state-dir "$WORK/m1" || leads m1
	eventually 5 leads m1
'

test_case 'the leader killed: another leads, and it comes back as a follower' '
	end m1 KILL
	from=$WORK/m2 eventually 10 leader
	from=$WORK/m2 state_is m1 down
	from=$WORK/m2 members | jq -e ".warnings[] | select(test(\"m1 is down.*remove m1\"))"
	start m1
	eventually 10 state_is m1 follower
	eventually 5 caught_up
'

test_case 'a master with a new address is the same master' '
	end m3
	ip -n m3 addr flush dev eth0
	ip -n m3 addr add 10.9.0.33/24 dev eth0
	IP=10.9.0.33 start m3
	moved() { members | jq -e ".members[] | select(.name == \"m3\") | .ip == \"10.9.0.33\" and .state != \"down\""; }
	eventually 10 moved
	eventually 5 voters 3
	[ "$(members | jq ".members | length")" = 3 ]
	grep -h "a master has moved name=m3 from=10.9.0.3 to=10.9.0.33" "$(log_of m1)" "$(log_of m2)"
'

test_case 'a copy of a master on another machine is refused with the reason' '
	cp -r "$WORK/m3" "$WORK/copy"
	rm -f "$WORK/copy/master/lock"
	DIR=$WORK/copy NAME=m3 start m4
	eventually 5 logged m4 "two machines must not share an identity"
	eventually 5 sh -c "grep -qh \"two machines must not share an identity\" $(log_of m1) $(log_of m2)"
	state_is m3 follower || leads m3
	end m4
	voters 3
'

test_case 'a master of another cluster gets in nowhere' '
	rm -rf "$WORK/m5"
	start m5
	from=$WORK/m5 eventually 10 leads m5
	end m5
	rm -f "$(log_of m5)"
	start m5 --masters 10.9.0.1
	eventually 5 logged m5 "certificate is not accepted"
	voters 3
	end m5
'

test_case 'a dead one is replaced: a new one joins under another name, the dead one is removed, the new one votes' '
	[ "$(leader)" != m3 ] || ms transfer m1
	end m3 KILL
	join_file "$WORK/t6"
	start m6 --join "$WORK/t6" 10.9.0.1 10.9.0.2
	eventually 10 state_is m6 follower
	not ms remove m3 </dev/null
	ms remove m3 --yes
	eventually 10 voters 3
	members | jq -e "[.members[].name] | sort == [\"m1\", \"m2\", \"m6\"]"
	members | jq -e ".warnings == []"
'

test_case 'the removed one is shut out when it comes back, and says so' '
	rm -f "$(log_of m3)"
	IP=10.9.0.33 start m3
	eventually 5 logged m3 "was removed, or never let in"
	[ "$(members | jq ".members | length")" = 3 ]
	end m3
'

test_case 'a member whose state is damaged fetches it from the others under a new id' '
	[ "$(leader)" != m6 ] || ms transfer m1
	old=$(members | jq -r ".members[] | select(.name == \"m6\") | .id")
	end m6
	for f in "$WORK"/m6/master/log/*; do printf damage | dd of="$f" bs=1 seek=200 conv=notrunc 2>/dev/null; done
	start m6
	anew() { members | jq -e --arg o "$old" ".members[] | select(.name == \"m6\") | .id != \$o and .state == \"follower\" and .role == \"voter\""; }
	eventually 15 anew
	logged m6 "state is damaged"
	voters 3
'

test_case 'leaving hands the lead on first' '
	[ "$(leader)" = m2 ] || ms transfer m2
	eventually 5 leads m2
	dcos-node master leave --yes --state-dir "$WORK/m2"
	eventually 10 not leads m2
	members | jq -e "[.members[].name] | sort == [\"m1\", \"m6\"]"
	members | jq -e ".warnings[] | select(test(\"2 voters: an even number\"))"
	dcos-node master members --state-dir "$WORK/m1" 2>&1 | grep "warning: 2 voters"
	end m2
'

test_case 'the quorum lost for ever: recover makes a cluster of the survivor, and the lost ones stay out' '
	end m6 KILL
	eventually 10 sh -c "dcos-node master members --state-dir $WORK/m1 2>&1 | grep \"no master leads\""
	not dcos-node master recover --yes --state-dir "$WORK/m1"
	end m1 KILL
	not dcos-node master recover --state-dir "$WORK/m1" </dev/null
	dcos-node master recover --yes --state-dir "$WORK/m1" | grep "it leads alone from entry"
	start m1
	eventually 10 leads m1
	[ "$(members | jq ".members | length")" = 1 ]
	rm -f "$(log_of m6)"
	start m6
	eventually 5 logged m6 "was removed, or never let in"
	end m6
	join_file "$WORK/t7"
	start m7 --join "$WORK/t7" 10.9.0.1
	eventually 10 state_is m7 follower
'

test_case 'everything ends when told to' '
	for m in m1 m7; do end $m; done
	for m in m1 m2 m3 m4 m5 m6 m7; do ip netns del $m; done
	ip link del br0
	umount /run/netns
'
