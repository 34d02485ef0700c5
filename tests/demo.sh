#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make run`: a local cluster with the first app on it, every step shown; the cluster is left up.
set -eu
cd "$(dirname "$0")/.."
export DCOS_UP_STATE_DIR=${DCOS_UP_STATE_DIR:-/var/lib/dcos/up}
bin=$PWD/build/bin
mkdir -p "$bin"
dist/dcos-node install-links "$bin" >/dev/null
ln -sf "$PWD/dist/dcos-node" "$bin/dcos-node"
PATH=$bin:$PATH

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold="" plain=""; fi
step() { printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"; "$@"; }
until_true() {                               # COMMAND...: up to 15 s
	local deadline=$((SECONDS + 15))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || { echo "gave up waiting for: $*" >&2; return 1; }
		sleep 0.05
	done
}
runs() { [ "$(dcos marathon app show sise | jq .tasksRunning)" = "$1" ]; }
sise=http://sise.marathon.l4lb.thisdcos.directory:80/endpoint0
# The name is asked of the cluster itself, so that this machine's resolv.conf stays as it is.
ask() { curl -sS -m 5 --resolve "sise.marathon.l4lb.thisdcos.directory:80:$(dig +short @192.168.65.1 sise.marathon.l4lb.thisdcos.directory)" "$sise"; echo; }

dcos-node down >/dev/null 2>&1 || true
step dcos-node up --detach --masters 3
step dcos-node status
step cat tests/data/example-service.json
step dcos marathon app add tests/data/example-service.json
until_true runs 1
step dcos marathon app list
step dcos task
printf '\n%s$ curl %s%s\n' "$bold" "$sise" "$plain"
until_true ask
ask
step dcos task log sise stderr
step dcos marathon app update sise instances=3
until_true runs 3
step dcos task
printf '\n%s$ curl %s   (six times)%s\n' "$bold" "$sise" "$plain"
for _ in 1 2 3 4 5 6; do ask; done
step dcos node

say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }
pid_of() { dcos-node status --json | jq -r ".processes[] | select(.node == \"$1\" and .role == \"$2\") | .pid"; }
leader() { dcos-node status --json | jq -er '.leader | select(. != "")'; }
tasks() { curl -sS -m 5 "http://$(leader)/service/marathon/v2/tasks" | jq -r '.tasks[].id' | sort; }

say 'from inside another task'
echo '{"id": "/client", "cpus": 0.1, "mem": 32, "cmd": "curl -sS -m 3 http://sise.marathon.l4lb.thisdcos.directory:80/endpoint0 && sleep 1000"}' >"$bin/client.json"
step dcos marathon app add "$bin/client.json"
asked() { dcos task log client stdout | grep 'all is well'; }
until_true asked
step dcos task log client stdout
step dcos marathon app remove client

host=$(curl -sS -m 5 "http://$(leader)/service/marathon/v2/tasks" | jq -r '.tasks[0].host')
node=$(dcos-node status --json | jq -r ".processes[] | select(.ip == \"$host\" and .role == \"agent\") | .node")
say "the agent of $node killed: its tasks never notice"
before=$(tasks) old=$(pid_of "$node" agent)
step kill -9 "$old"
again() { new=$(pid_of "$node" agent); [ "$new" != "$old" ] && [ "$new" != 0 ] && dcos-node status --json | jq -e '.ready == .total'; }
until_true again
ask
[ "$(tasks)" = "$before" ] && echo "the same tasks as before"

old=$(leader)
say "the leading master, $old, killed: another leads, its tasks never notice, and nobody who asks them"
before=$(tasks)
step kill -9 "$(pid_of "$(dcos-node status --json | jq -r ".masters[] | select(.ip == \"$old\") | .node")" master)"
ask
step dcos task
another_leads() { [ "$(leader)" != "$old" ] && dcos-node status --json | jq -e '.warnings == []'; }
until_true another_leads
step dcos-node status
[ "$(tasks)" = "$before" ] && echo "the same tasks as before"

say 'everything of it killed with SIGKILL, then up again'
{ dcos-node status --json | jq '.supervisor_pid, .processes[].pid'
  find /sys/fs/cgroup -path '*/dcos/dcos/*' -name cgroup.procs -exec cat {} +; } 2>/dev/null | sort -u | grep -vx 0 | xargs kill -9 2>/dev/null || true
step dcos-node up --detach
until_true ask
until_true runs 3
ask
step dcos task
cat <<END

The cluster stays up. Look at
  http://192.168.65.90/                      the front door
  http://192.168.65.90/service/marathon/v2/apps
  http://192.168.65.90/mesos/state
End it with: $bin/dcos-node down
END
