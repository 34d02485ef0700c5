#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Names, asked where programs ask: at 198.51.100.1 inside a node, at a master from outside, by UDP and TCP, over HTTP.
needs_static=1
. tests/lib/e2e.sh

UPSTREAM=127.0.0.1
in_node() { local node=$1; shift; nsenter --net="$WORK/state/$node/netns" "$@"; }
ask() { in_node a1 dig +time=2 +tries=1 @198.51.100.1 "$@"; }
# NAME TYPE ANSWER [FLAG...]: the short answer, sorted
says() {
	local name=$1 type=$2 want=$3 got
	shift 3
	got=$(ask +short "$@" "$name" "$type" | sort | paste -sd' ')
	[ "$got" = "$want" ] || { echo "$name $type: '$got', not '$want'"; return 1; }
}
# NAME TYPE STATUS [FLAG...]
status_is() {
	local name=$1 type=$2 want=$3
	shift 3
	ask "$@" "$name" "$type" | grep "status: $want,"
}
asked_upstream() { grep -q "$1" "$WORK/resolver.log"; }
running() { [ "$(dcos marathon app show sise | jq .tasksRunning)" = "$1" ]; }
task() { curl -sS -m 5 "$(dcos config show core.dcos_url)/service/marathon/v2/tasks" | jq -r ".tasks[0].$1"; }

python3 tests/lib/resolver.py 5301 $UPSTREAM >"$WORK/resolver.log" 2>&1 &
resolver=$!

test_case 'a cluster with an app' '
	start_cluster --upstream $UPSTREAM:5301
	dcos marathon app add tests/data/example-service.json
	eventually 15 running 1
	eventually 5 says sise.marathon.mesos A "$(task host)"
'
e2e_cluster=1

test_case 'masters and agents' '
	says leader.mesos A 192.168.65.90
	says master.mesos A 192.168.65.90
	says master0.mesos A 192.168.65.90
	says slave.mesos A "192.168.65.111 192.168.65.112 192.168.65.60"
	says _leader._tcp.mesos SRV "0 1 5050 leader.mesos."
	says marathon.mesos A 192.168.65.90
	says leader.dcos.thisdcos.directory A 192.168.65.90
	says leader.mesos.thisdcos.directory A 192.168.65.90
	says zk-1.zk A 192.168.65.90
	says thisnode.thisdcos.directory A 192.168.65.111
	says ready.spartan A 127.0.0.1
'

test_case 'a task: its agent, its port, its virtual IP' '
	host=$(task host) port=$(task ports[0])
	for tcp in +notcp +tcp; do
		says sise.marathon.mesos A "$host" $tcp
		says SISE.Marathon.Mesos A "$host" $tcp
		says sise.marathon.slave.mesos A "$host" $tcp
		says sise.marathon.agentip.dcos.thisdcos.directory A "$host" $tcp
		says sise.marathon.autoip.dcos.thisdcos.directory A "$host" $tcp
		says sise.marathon.l4lb.thisdcos.directory A 11.53.9.139 $tcp
		says sise.marathon.dclb.thisdcos.global A 11.53.9.139 $tcp
	done
	target=$(ask +short _sise._tcp.marathon.mesos SRV | cut -d" " -f4)
	says _sise._tcp.marathon.mesos SRV "0 1 $port $target"
	says "$target" A "$host"
	ask _sise._tcp.marathon.mesos SRV | grep -A2 "ADDITIONAL SECTION" | grep "$host"
'

test_case 'names that do not exist' '
	status_is nobody.marathon.mesos A NXDOMAIN
	status_is nobody.marathon.mesos A NXDOMAIN +tcp
	status_is leader.mesos AAAA NOERROR
	status_is _nobody._tcp.marathon.mesos SRV NOERROR
	status_is nobody.marathon.l4lb.thisdcos.directory A NXDOMAIN
	not asked_upstream "mesos\|thisdcos"
'

test_case 'other names are forwarded, UDP as UDP and TCP as TCP' '
	says example.com A 192.0.2.1
	asked_upstream "^udp example.com 1"
	not asked_upstream "^tcp example.com 1"
	says example.com A 192.0.2.1 +tcp
	asked_upstream "^tcp example.com 1"
	status_is nobody.example.com A NXDOMAIN
	ask +ignore big.example.com A | grep "flags:.* tc "
	[ "$(ask +short big.example.com A | wc -l)" = 60 ]
'

test_case 'an upstream that is silent or gone: SERVFAIL, and our own names as ever' '
	ask +time=8 silent.example.com A | grep "status: SERVFAIL"
	kill $resolver
	ask gone.example.com A | grep "status: SERVFAIL"
	says leader.mesos A 192.168.65.90
'
wait $resolver

test_case 'many questions at once' '
	for i in $(seq 200); do echo "sise.marathon.mesos A"; done >"$WORK/questions"
	[ "$(ask +short -f "$WORK/questions" | sort -u)" = "$(task host)" ]
	[ "$(ask +tcp +keepopen +short -f "$WORK/questions" | sort | uniq -c | tr -s " ")" = " 200 $(task host)" ]
'

test_case 'a master answers programs outside the cluster, and as Mesos-DNS' '
	[ "$(dig +short @192.168.65.90 leader.mesos)" = 192.168.65.90 ]
	[ "$(dig +short -p 61053 @192.168.65.90 sise.marathon.mesos)" = "$(task host)" ]
	dig -p 61053 @192.168.65.90 example.com | grep "status: REFUSED"
	dig -p 61053 @192.168.65.90 leader.mesos | grep "^leader.mesos.*[[:space:]]60[[:space:]]IN"
	ask leader.mesos | grep "^leader.mesos.*[[:space:]]5[[:space:]]IN"
'

test_case 'Mesos-DNS over HTTP' '
	expect 200 GET /mesos_dns/v1/version && json ".Service == \"Mesos-DNS\""
	expect 200 GET /mesos_dns/v1/config && json ".Domain == \"mesos\" and .Port == 61053"
	expect 200 GET /mesos_dns/v1/hosts/leader.mesos && json ". == [{host: \"leader.mesos.\", ip: \"192.168.65.90\"}]"
	expect 200 GET /mesos_dns/v1/hosts/nobody.mesos && json ". == [{host: \"\", ip: \"\"}]"
	expect 200 GET /mesos_dns/v1/services/_sise._tcp.marathon.mesos
	json ".[0].service == \"_sise._tcp.marathon.mesos.\" and .[0].ip == \"$(task host)\" and .[0].port == \"$(task ports[0])\""
	expect 200 GET /mesos_dns/v1/services/_nobody._tcp.marathon.mesos
	json ". == [{service: \"\", host: \"\", ip: \"\", port: \"\"}]"
	expect 200 GET /mesos_dns/v1/enumerate
	json ".frameworks[0].name == \"marathon\" and .frameworks[0].tasks[0].name == \"sise\""
	json ".frameworks[0].tasks[0].records | any(.name == \"sise.marathon.mesos.\" and .rtype == \"A\")"
	expect 200 GET /mesos_dns/v1/axfr
	json ".Records.As[\"leader.mesos.\"] == [\"192.168.65.90\"] and .Records.SRVs[\"_leader._tcp.mesos.\"] == [\"leader.mesos.:5050\"]"
	expect 501 GET /mesos_dns/v1/hosts/leader.mesos/ports
'

test_case 'dcos-net over HTTP' '
	expect 200 GET /net/v1/version && json ".DataPlane == \"eBPF\" or .DataPlane == \"proxy\""
	expect 200 GET /net/v1/hosts/leader.mesos && json ".[0].ip == \"192.168.65.90\""
	expect 200 GET /net/v1/services/_leader._tcp.mesos && json ".[0].port == 5050"
	expect 200 GET /net/v1/records && json "any(.name == \"sise.marathon.l4lb.thisdcos.directory.\" and .host == \"11.53.9.139\")"
	expect 200 GET /net/v1/nodes && json "map(.private_ip) | sort == [\"192.168.65.111\", \"192.168.65.112\", \"192.168.65.60\", \"192.168.65.90\"]"
	expect 200 GET /net/v1/vips && json ".[0].vip == \"sise.marathon.l4lb.thisdcos.directory:80\""
'

test_case 'a removed app has no names any more' '
	dcos marathon app remove sise
	eventually 10 says sise.marathon.mesos A ""
	eventually 5 says sise.marathon.l4lb.thisdcos.directory A ""
	status_is sise.marathon.mesos A NXDOMAIN
'
