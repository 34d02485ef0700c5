#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# POST of an app with 50 instances of 0.01 cpus until all are listed as running, on the default cluster; beside it Docker
# Swarm's `docker service create --replicas 50` of a program that sleeps, on a swarm of this machine alone.
. tests/lib/bench.sh
[ -n "${E2E_INSIDE:-}" ] || peer docker docker.io containerd runc
. tests/lib/e2e.sh

docker_up() {
	mkdir -p /run/peer/image
	ip addr add 10.9.9.1/24 dev lo
	dockerd --data-root /run/peer/data --exec-root /run/peer/exec -H unix:///run/docker.sock -p /run/peer/pid \
		--storage-driver vfs --iptables=false --ip-masq=false >"$WORK/dockerd.log" 2>&1 &
	eventually 20 docker info >"$WORK/error" || return 1
	echo 'int main(void) { for (;;) pause(); }' | musl-gcc -static -w -include unistd.h -x c - -o /run/peer/image/sleeper &&
		tar -C /run/peer/image -c . | docker import -c 'CMD ["/sleeper"]' - sleeper &&
		docker swarm init --advertise-addr 10.9.9.1
}
docker_down() {
	docker service rm sleepers
	timeout 30 docker swarm leave --force
	kill "$(cat /run/peer/pid)"
	wait
	umount /run/peer/exec/netns/*
	ip link del docker0
	ip link del docker_gwbridge
	ip addr del 10.9.9.1/24 dev lo
	find /sys/fs/cgroup/*/docker -depth -type d -exec rmdir {} +
}
all_run() { [ "$(docker service ls --format '{{.Replicas}}')" = 50/50 ]; }
swarm() {                                    # milliseconds
	local begin
	begin=$(now_ms)
	docker service create -q --name sleepers --replicas 50 --network host --no-resolve-image --limit-cpu 0.01 --detach sleeper >&2 &&
		eventually 120 all_run >"$WORK/error" && echo $(($(now_ms) - begin))
}

start_cluster >&2 || exit
e2e_cluster=1
build/musl/bench/app_add http://192.168.65.90 50 0.01 5 >"$WORK/times" 2>"$WORK/error" || e2e_report '50 instances run' "$WORK/error"
stop_cluster >&2
e2e_cluster=
theirs=-
if [ -d "$PEERS/docker" ]; then
	PATH=$PEERS/docker/usr/bin:$PEERS/docker/usr/sbin:$PATH
	docker_up >&2 && theirs=$(swarm | awk '{ print $1 / 1000 }')
	docker_down >"$WORK/docker_down" 2>&1
fi
figure '50 instances to running' "$(awk '{ print $1 / 1000 }' "$WORK/times" | median)" s 'Docker Swarm' "${theirs:--}" '<= 0.5'
