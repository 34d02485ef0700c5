#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a task finds around itself: images, namespaces, limits, environment, sandbox, and how it ends.
. tests/lib/e2e.sh

test_case 'a cluster with two images at hand' '
	mkdir -p "$WORK/images"
	python3 tests/lib/mkimage.py docker "$WORK/images/saved.tar" example/saved:1
	python3 tests/lib/mkimage.py oci "$WORK/images/layout" example/layout:1
	start_cluster --agents 1 --public-agents 0 --image-dir "$WORK/images"
'
e2e_cluster=1

# app NAME JSON: add an app with cpus 0.1, mem 32 and these fields more; wait until it runs.
app() {
	jq -n --argjson more "$2" --arg id "/$1" '{id: $id, cpus: 0.1, mem: 32} + $more' >"$WORK/$1.json"
	dcos marathon app add "$WORK/$1.json"
	eventually 15 runs "$1"
}
runs() { [ "$(dcos marathon app show "$1" | jq .tasksRunning)" = 1 ]; }
out() { dcos task log --lines=1000 "$1" stdout; }
says() { out "$1" | grep -Eq "$2"; }
image() { printf '"container": {"type": "%s", "docker": {"image": "%s"}}' "$1" "$2"; }

test_case 'an image of a docker save archive: layers, whiteouts, env, working directory, cmd' '
	app saved "{$(image DOCKER example/saved:1)}"
	eventually 5 says saved "^cmd of the image$"
	app inside "{$(image DOCKER example/saved:1), \"cmd\": \"cat /layer; ls /removed; echo \$FROM_IMAGE; pwd; id -u; exec sleep 100000\"}"
	eventually 5 says inside "^0$"
	says inside "^upper$" && says inside "^yes$" && says inside "^/data$"
	not says inside hidden
	dcos task log --lines=100 inside stderr | grep "/removed: No such file"
'

test_case 'an image of an OCI layout, by type MESOS' '
	app layout "{$(image MESOS example/layout:1), \"cmd\": \"cat /layer; exec sleep 100000\"}"
	eventually 5 says layout "^upper$"
'

test_case 'the container is process 1 of its own world' '
	app world "{$(image DOCKER example/saved:1), \"cmd\": \"echo pid \$\$; ps; hostname; cat /proc/self/mountinfo | grep -c /work; exec sleep 100000\"}"
	eventually 5 says world "pid 1$"
	out world
	[ "$(out world | grep -cE "^ +[0-9]+ ")" -le 3 ]
	pid=$(pgrep -xn sleep)
	for ns in pid mnt uts ipc; do echo "$ns $(readlink /proc/$pid/ns/$ns)"; [ "$(readlink /proc/$pid/ns/$ns)" != "$(readlink /proc/self/ns/$ns)" ]; done
	nsenter --net="$WORK/state/a1/netns" readlink /proc/self/ns/net | grep -F "$(readlink /proc/$pid/ns/net)"
'

test_case 'the environment of Mesos and Marathon' '
	app env "{\"cmd\": \"env; exec sleep 100000\", \"portDefinitions\": [{\"port\": 0, \"name\": \"web\"}, {\"port\": 0}], \"labels\": {\"color\": \"blue\"}, \"env\": {\"MINE\": \"1\"}}"
	eventually 5 says env "^MESOS_TASK_ID=env\."
	ports=$(dcos marathon app show env | jq -r ".tasks[0].ports | join(\",\")")
	for line in "MARATHON_APP_ID=/env" "PORT0=${ports%,*}" "PORT1=${ports#*,}" "PORT=${ports%,*}" "PORTS=$ports" "PORT_WEB=${ports%,*}" "HOST=192.168.65.111" \
		"MINE=1" "MARATHON_APP_LABEL_COLOR=blue" "MARATHON_APP_RESOURCE_CPUS=0.1" "MARATHON_APP_RESOURCE_MEM=32.0"; do
		says env "^$line$" || { echo "missing: $line"; out env; exit 1; }
	done
'

test_case 'names of the cluster resolve inside' '
	app resolv "{$(image DOCKER example/saved:1), \"cmd\": \"cat /etc/resolv.conf; exec sleep 100000\"}"
	eventually 5 says resolv "^nameserver 198.51.100.1$"
'

test_case 'cpu and memory limits stand in the cgroup' '
	pid=$(pgrep -xn sleep)
	cat /proc/$pid/cgroup
	memory=$(awk -F: "/:memory:/ { print \$3 }" /proc/$pid/cgroup)
	cpu=$(awk -F: "\$2 ~ /(^|,)cpu(,|\$)/ { print \$3 }" /proc/$pid/cgroup)
	[ "$(cat "/sys/fs/cgroup/memory$memory/memory.limit_in_bytes")" = $((32 << 20)) ]
	[ "$(cat "/sys/fs/cgroup/cpu$cpu/cpu.cfs_quota_us")" -gt 0 ]
'

test_case 'one that takes more memory than it may is killed, and the reason is told' '
	jq -n "{id: \"/greedy\", cpus: 0.1, mem: 32, cmd: \"python3 -c \\\"x = bytearray(300 << 20)\\\"; exit 1\"}" | dcos marathon app add
	told() { expect 200 GET "/service/marathon/v2/apps/greedy?embed=apps.lastTaskFailure" && json ".app.lastTaskFailure.message | test(\"[Mm]emory\")"; }
	eventually 20 told
	dcos marathon app remove --force greedy
'

test_case 'killed: SIGTERM first, then SIGKILL after the grace, and nothing stays' '
	app polite "{\"cmd\": \"trap \\\"echo terminated; exit 0\\\" TERM; while true; do sleep 0.05; done\"}"
	app stubborn "{\"cmd\": \"trap \\\"\\\" TERM; while true; do sleep 0.05; done\", \"taskKillGracePeriodSeconds\": 1}"
	dcos marathon app remove polite
	dcos marathon app remove stubborn
	none() { [ "$(dcos task | grep -cE "polite|stubborn")" = 0 ]; }
	eventually 10 none
	dcos task log --completed --lines=10 polite stdout | grep terminated
'

test_case 'a task that ends is started again, and says how it ended' '
	jq -n "{id: \"/failing\", cpus: 0.1, mem: 32, cmd: \"sleep 0.1; exit 7\"}" | dcos marathon app add
	told() { expect 200 GET "/service/marathon/v2/apps/failing?embed=apps.lastTaskFailure" && json ".app.lastTaskFailure.message | test(\"exited with status 7\")"; }
	eventually 20 told
	dcos marathon app remove --force failing
'

test_case 'an archive whose layer is damaged is refused with a sentence' '
	python3 tests/lib/mkimage.py oci "$WORK/images/broken" example/broken:1
	blob=$(find "$WORK/images/broken/blobs" -type f -size +100k)
	printf XXXX | dd of="$blob" bs=1 seek=1000 conv=notrunc status=none
	jq -n "{id: \"/broken\", cpus: 0.1, mem: 32, container: {type: \"DOCKER\", docker: {image: \"example/broken:1\"}}}" | dcos marathon app add
	told() { expect 200 GET "/service/marathon/v2/apps/broken?embed=apps.lastTaskFailure" && json ".app.lastTaskFailure.message | test(\"broken\")"; }
	eventually 20 told
	jq -r .app.lastTaskFailure.message "$WORK/body"
	dcos marathon app remove --force broken
'
