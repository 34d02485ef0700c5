#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Virtual IPs: from the host, from a node, from inside a task; TCP and UDP; while lb is killed; and all of it by the proxy.
needs_static=1
. tests/lib/e2e.sh

URL=http://sise.marathon.l4lb.thisdcos.directory:80/endpoint0
answers() { curl -sS -m 3 "${1:-$URL}" | grep -q "all is well"; }
running() { [ "$(dcos marathon app show "$1" | jq .tasksRunning)" = "$2" ]; }
pid_of() { dcos-node status --json --state-dir "$WORK/state" | jq -r ".processes[] | select(.node == \"$1\" and .role == \"$2\") | .pid"; }
plane_is() { dcos-node status --json --state-dir "$WORK/state" | jq -e "[.processes[] | select(.role == \"lb\").note] | all(. == \"VIPs by $1\")"; }
backends() {                                 # VIP COUNT: as lb of the host sees it
	expect 200 GET http://192.168.65.1:62080/v1/vips && json "any(.vip == \"$1\" and (.backend | length) == $2)"
}
kill_lb() {                                  # NODE: with SIGKILL, until another one runs
	old=$(pid_of "$1" lb)
	kill -9 "$old"
	another() { new=$(pid_of "$1" lb) && [ "$new" != "$old" ] && [ "$new" != 0 ]; }
	${2:-true}
	eventually 10 another "$1"
}
at_once() {                                  # COMMAND...: fails, but in less than a second
	local before
	before=$(date +%s%3N)
	not "$@" && [ $(($(date +%s%3N) - before)) -lt 1000 ]
}

add_sise() {
	jq ".portDefinitions[0].labels.VIP_1 = \"1.2.3.4:5000\"" tests/data/example-service.json >"$WORK/sise.json"
	dcos marathon app add "$WORK/sise.json"
	eventually 15 running sise 1
	eventually 5 answers
}

udp() {
	cat >"$WORK/echo.json" <<-END
		{"id": "/echo", "cmd": "exec python3 $PWD/tests/data/vip-echo.py", "cpus": 0.1, "mem": 32, "instances": 2,
		 "portDefinitions": [{"port": 0, "protocol": "udp", "labels": {"VIP_0": "/echo:9999"}}]}
	END
	dcos marathon app add "$WORK/echo.json"
	eventually 15 backends echo.marathon.l4lb.thisdcos.directory:9999 2
	cat >"$WORK/ask.py" <<-END
		import socket
		vip = (socket.gethostbyname("echo.marathon.l4lb.thisdcos.directory"), 9999)
		seen = set()
		for i in range(30):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    s.settimeout(3)
		    ports = set()
		    for j in range(3):
		        s.sendto(b"%d" % j, vip)
		        data, sender = s.recvfrom(100)
		        assert sender == vip and data.split()[1] == b"%d" % j, (sender, data)
		        ports.add(data.split()[0])
		    assert len(ports) == 1, ports
		    seen |= ports
		assert len(seen) == 2, seen
	END
	eventually 5 python3 "$WORK/ask.py"
	dcos marathon app remove echo
}

from_inside_a_task() {
	cat >"$WORK/client.json" <<-END
		{"id": "/client", "cmd": "curl -sS -m 3 $URL && sleep 1000", "cpus": 0.1, "mem": 32}
	END
	dcos marathon app add "$WORK/client.json"
	eventually 15 sh -c "dcos task log client | grep all.is.well"
	dcos marathon app remove client
}

test_case 'virtual IPs are by eBPF where the kernel can' '
	start_cluster --resolv-conf
	plane_is eBPF
'
e2e_cluster=1

test_case 'from the host, by name and by address' '
	add_sise
	backends sise.marathon.l4lb.thisdcos.directory:80 1
	answers http://11.53.9.139/endpoint0
	answers http://1.2.3.4:5000/endpoint0
	[ "$(curl -sS -o /dev/null -w "%{remote_ip}:%{remote_port}" "$URL")" = 11.53.9.139:80 ]
'

test_case 'from inside a task' from_inside_a_task

test_case 'from an IPv6 socket, as the Java runtime connects' '
	python3 -c "import socket; s = socket.socket(socket.AF_INET6); s.settimeout(3); s.connect((\"::ffff:11.53.9.139\", 80)); print(s.getpeername())" |
		grep ::ffff:11.53.9.139
'

test_case 'a port nobody announced fails at once' '
	at_once curl -sS -m 3 http://11.53.9.139:81/
	at_once curl -sS -m 3 http://11.0.0.1/
'

test_case 'UDP: the answer comes from the virtual IP, one socket stays with one task' udp

test_case 'lb killed: virtual IPs work on, and the next lb follows changes' '
	ten() { for i in 1 2 3 4 5 6 7 8 9 10; do answers; done; }
	kill_lb host ten
	ten
	dcos marathon app update sise instances=2
	eventually 15 running sise 2
	eventually 5 backends sise.marathon.l4lb.thisdcos.directory:80 2
'

test_case 'the last task gone: fails at once' '
	dcos marathon app update sise instances=0
	eventually 15 running sise 0
	eventually 5 at_once answers
'

test_case 'that cluster ends' 'stop_cluster'

test_case 'without eBPF the proxy takes over' '
	start_cluster --resolv-conf --data-plane=proxy
	plane_is proxy
'

test_case 'by the proxy: from the host and from inside a task' '
	dcos marathon app remove sise || true
	eventually 10 not running sise 0
	add_sise
	answers http://1.2.3.4:5000/endpoint0
	from_inside_a_task
'

test_case 'by the proxy: UDP' udp

test_case 'by the proxy: a hundred requests' '
	for i in $(seq 100); do echo "url = \"$URL\""; done >"$WORK/many"
	[ "$(curl -sS -m 20 -K "$WORK/many" | grep -o "all is well" | wc -l)" = 100 ]
'

test_case 'by the proxy: lb killed, the next one serves' '
	kill_lb host
	eventually 5 answers
'

test_case 'by the proxy: addresses of virtual IPs that are no more do not stay' '
	ip -4 addr show lo | grep 11.53.9.139
	ip addr add 11.7.7.7/32 dev lo               # as if left by one that was killed
	kill_lb host
	eventually 5 answers
	not sh -c "ip -4 addr show lo | grep 11.7.7.7"
'

test_case 'by the proxy: the last task gone: fails at once' '
	dcos marathon app update sise instances=0
	eventually 15 running sise 0
	eventually 5 at_once answers
'
