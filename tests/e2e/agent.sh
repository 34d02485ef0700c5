#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What agents do with tasks: how ends are called, images from archives, limits, sandboxes, dead executors, nothing left.
needs_static=1
. tests/lib/e2e.sh

AGENT=192.168.65.111
add() { dcos marathon app add <<<"$1"; }
tasks() { curl -sS -m 5 "http://$AGENT:5051/state"; }
log_has() { cat "$WORK"/state/a1/agent.log | grep -qE "$1"; }       # what a1 said about its tasks
running() { [ "$(dcos marathon app show "$1" | jq .tasksRunning)" = "$2" ]; }
run_of() { tasks | jq -r ".frameworks[].executors[] | select(.id | startswith(\"$1.\")) | .container"; }
path_of() { tasks | jq -r ".frameworks[].executors[] | select(.id | startswith(\"$1.\")) | .directory"; }

# An image as `docker save` writes it, its only program being ours: TAG
save_image() {
	local dir=$WORK/image layer config
	mkdir -p "$dir/root/usr/bin" "$dir/save/l" "$WORK/images"
	cp "$(readlink -f "$(command -v dcos-node)")" "$dir/root/usr/bin/simpleservice"
	tar -C "$dir/root" -cf "$dir/save/l/layer.tar" .
	layer=$(sha256sum <"$dir/save/l/layer.tar" | cut -c1-64)
	echo "{\"config\":{\"Cmd\":[\"simpleservice\"],\"Env\":[\"SIMPLE_SERVICE_VERSION=9\"],\"User\":\"65534\"},
		\"rootfs\":{\"diff_ids\":[\"sha256:$layer\"]}}" >"$dir/config"
	config=$(sha256sum <"$dir/config" | cut -c1-64)
	cp "$dir/config" "$dir/save/$config.json"
	echo "[{\"Config\":\"$config.json\",\"RepoTags\":[\"$1\"],\"Layers\":[\"l/layer.tar\"]}]" >"$dir/save/manifest.json"
	tar -C "$dir/save" -czf "$WORK/images/image.tar.gz" .
}

test_case 'a cluster of one agent' '
	save_image test/mine:1
	start_cluster --agents 1 --public-agents 0 --image-dir "$WORK/images"
'
e2e_cluster=1

test_case 'the end of a task is called as in Mesos' '
	add "{\"id\": \"/three\", \"cmd\": \"exit 3\", \"cpus\": 0.1, \"mem\": 32}"
	add "{\"id\": \"/hungry\", \"cmd\": \"exec tail /dev/zero\", \"cpus\": 0.5, \"mem\": 32}"
	eventually 15 log_has "task=three.*TASK_FAILED message=Command exited with status 3"
	eventually 15 log_has "task=hungry.*TASK_FAILED message=Memory limit exceeded: Requested: 32MB"
	dcos marathon app remove --force three
	dcos marathon app remove --force hungry
'

test_case 'an image that is nowhere is said to be nowhere' '
	add "{\"id\": \"/nowhere\", \"cpus\": 0.1, \"mem\": 32, \"container\": {\"type\": \"DOCKER\", \"docker\": {\"image\": \"nginx\", \"network\": \"HOST\"}}}"
	eventually 15 log_has "task=nowhere.*docker.io/library/nginx:latest. is neither built in nor in .*/images. \(1 archives"
	dcos marathon app remove --force nowhere
'

test_case 'an image from an archive runs, as its user' '
	add "{\"id\": \"/mine\", \"cpus\": 0.1, \"mem\": 32, \"container\": {\"type\": \"DOCKER\", \"docker\": {\"image\": \"test/mine:1\", \"network\": \"HOST\", \"forcePullImage\": true}}}"
	eventually 15 running mine 1
	port=$(curl -sS -m 5 "$(dcos config show core.dcos_url)/service/marathon/v2/tasks" | jq -r ".tasks[] | select(.appId == \"/mine\").ports[0]")
	eventually 5 sh -c "curl -sS -m 3 http://$AGENT:$port/endpoint0 | grep \"version.: .9\""
	[ "$(stat -c %u /proc/$(pgrep -x simpleservice))" = 65534 ]
'

test_case 'its executor is small' '
	pid=$(pgrep -f "dcos-node executor.*$(run_of mine)")
	kb=$(awk "/^Private_Dirty|^Private_Clean/ { sum += \$2 } END { print sum }" "/proc/$pid/smaps_rollup")
	echo "$kb KB"
	[ "$kb" -le 200 ]
'

test_case 'no path leads out of a sandbox' '
	dir=$(path_of mine)
	ln -s /etc/passwd "$dir/link"
	ln -s .. "$dir/up"
	expect 200 GET "http://$AGENT:5051/files/read?path=$dir/stderr&offset=0"
	expect 200 GET "http://$AGENT:5051/files/browse?path=$dir"
	for bad in "$dir/link" "$dir/../../../../../../../etc/passwd" "$dir/up/up" /etc/passwd "${dir%/*}/latest/../../x" /slaves; do
		expect 404 GET "http://$AGENT:5051/files/read?path=$bad&offset=0"
	done
	expect 400 GET "http://$AGENT:5051/files/read?path=$dir/stderr&offset=-2"
	expect 400 GET "http://$AGENT:5051/files/read?path=$dir&offset=0"
'

test_case 'an executor killed takes its task along, and a new one comes' '
	old=$(run_of mine)
	kill -9 $(pgrep -f "dcos-node executor.*$old")
	renewed() { new=$(run_of mine); [ -n "$new" ] && [ "$new" != "$old" ] && running mine 1; }
	eventually 15 renewed
	log_has "task=mine.*TASK_FAILED message=Abnormal executor termination"
	[ -z "$(find /sys/fs/cgroup -name "$old")" ]
	[ "$(pgrep -cx simpleservice)" = 1 ]
'

test_case 'a task that handles SIGTERM gets its grace, one that cannot does not need it' '
	add "{\"id\": \"/tidy\", \"cmd\": \"trap \\\"sleep 1; echo tidied; exit 0\\\" TERM; while true; do sleep 0.1; done\", \"cpus\": 0.1, \"mem\": 32}"
	add "{\"id\": \"/deaf\", \"cmd\": \"exec sleep 100000\", \"cpus\": 0.1, \"mem\": 32}"
	eventually 15 running tidy 1
	eventually 15 running deaf 1
	tidy=$(path_of tidy)
	dcos marathon app remove tidy
	dcos marathon app remove deaf
	eventually 2 sh -c "! pgrep -x sleep -f \"sleep 100000\""
	eventually 5 grep tidied "$tidy/stdout"
	eventually 5 log_has "task=tidy.*TASK_KILLED message=Command exited with status 0"
'

test_case 'what is over leaves no cgroup, mount or root behind' '
	dcos marathon app remove mine
	gone() {
		[ -z "$(find /sys/fs/cgroup -path "*/a1/*-*-*-*-*" -name "????????-????-*")" ] &&
		[ -z "$(ls "$WORK/state/a1/slave/provisioner/containers")" ] &&
		not pgrep -f "dcos-node executor"
	}
	eventually 10 gone
'
