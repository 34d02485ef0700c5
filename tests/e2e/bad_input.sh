#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What people get wrong: one clear sentence, a non-zero exit, nothing lost.
. tests/lib/e2e.sh

says() {                                     # EXIT-CODE PATTERN COMMAND...: fails so, with exactly one line (but the log's) that matches
	local code=$1 pattern=$2 out status=0
	shift 2
	out=$("$@" 2>&1 >/dev/null | grep -v "^20[0-9-]*T[0-9:.]*Z "; exit "${PIPESTATUS[0]}") || status=$?
	printf '%s: %s\n' "$status" "$out"
	[ "$status" = "$code" ] && [ "$(printf '%s\n' "$out" | wc -l)" = 1 ] && printf '%s' "$out" | grep -Eq "$pattern"
}

test_case 'unknown flags and roles are named' '
	says 2 "unknown flag --agnets, did you mean --agents" dcos-node up --agnets 3
	says 2 "no role .nosuch" dcos-node nosuch
	says 2 "wants a port number, not .http" dcos-node master --port http
	says 2 "wants a value from 0 to 100" dcos-node up --agents 1000
'

test_case 'a cluster for the rest' 'start_cluster --agents 1 --public-agents 0'
e2e_cluster=1

test_case 'a second up on the same directory' '
	says 1 "runs from .* already \(pid [0-9]+\)" dcos-node up --state-dir "$WORK/state"
	dcos-node status --json --state-dir "$WORK/state" | jq -e ".ready == .total"
'

test_case 'malformed JSON' '
	expect 400 POST /service/marathon/v2/apps "{\"id\": "
	echo "{\"id\": " >"$WORK/bad.json"
	says 1 . dcos marathon app add "$WORK/bad.json"
'

test_case 'bad fields get 422 with details' '
	expect 422 POST /service/marathon/v2/apps "{\"id\": \"/bad\", \"cmd\": \"true\", \"cpus\": -1}"
	json ".message == \"Object is not valid\" and (.details | length > 0)"
'

test_case 'an app that no agent can hold says which resource is short' '
	expect 201 POST /service/marathon/v2/apps "{\"id\": \"/huge\", \"cmd\": \"sleep 1000\", \"cpus\": 10000}"
	short() { expect 200 GET /service/marathon/v2/queue && json "[.. | strings] | any(test(\"cpus\"))"; }
	eventually 5 short
	expect 200 DELETE /service/marathon/v2/apps/huge?force=true
'

test_case 'an image that is not there' '
	expect 201 POST /service/marathon/v2/apps "{\"id\": \"/noimage\", \"cpus\": 0.1, \"mem\": 32, \"container\": {\"type\": \"DOCKER\", \"docker\": {\"image\": \"no/such:1\", \"network\": \"HOST\"}}}"
	told() { expect 200 GET /service/marathon/v2/apps/noimage?embed=app.lastTaskFailure && json "[.. | strings] | any(test(\"no/such:1\"))"; }
	eventually 10 told
	expect 200 DELETE /service/marathon/v2/apps/noimage?force=true
'

test_case 'a port in use' '
	dir=$WORK/second
	says 1 "in use" nsenter --net="$WORK/state/m1/netns" dcos-node master --state-dir "$dir" --ip 192.168.65.90
'

test_case 'a state directory of a newer version' '
	stop_cluster
	cp -a "$WORK/state" "$WORK/newer"
	format=$(find "$WORK/newer/m1/master" -name format)
	[ -n "$format" ]
	echo "dcos-node state 99" >"$format"
	says 1 "newer" dcos-node master --state-dir "$WORK/newer/m1" --ip 127.0.0.1
'

test_case 'a corrupt state directory' '
	cp -a "$WORK/state" "$WORK/corrupt"
	segment=$(find "$WORK/corrupt/m1/master" -name "*log*" -type f | head -1)
	[ -n "$segment" ]
	printf "\377\377\377\377" | dd of="$segment" bs=1 seek=24 conv=notrunc status=none
	says 1 "damaged|corrupt|checksum" dcos-node master --state-dir "$WORK/corrupt/m1" --ip 127.0.0.1
'

test_case 'a full disk refuses writes and loses nothing' '
	mkdir -p "$WORK/full"
	mount -t tmpfs -o size=64m tmpfs "$WORK/full"
	start_cluster_full() { dcos-node up --detach --state-dir "$WORK/full/state" --agents 1 --public-agents 0; }
	start_cluster_full
	expect 201 POST /service/marathon/v2/apps "{\"id\": \"/kept\", \"cmd\": \"sleep 1000\", \"cpus\": 0.01, \"mem\": 32}"
	dd if=/dev/zero of="$WORK/full/ballast" bs=64k status=none || true
	printf "{\"cmd\": \"sleep 1\", \"instances\": 0, \"labels\": {\"x\": \"%s\"}}" "$(head -c 500000 /dev/zero | tr "\0" x)" >"$WORK/large.json"
	refused() { expect 507 PUT "/service/marathon/v2/apps/refused$RANDOM" "@$WORK/large.json"; }
	eventually 20 refused
	expect 200 GET /service/marathon/v2/apps/kept
	rm "$WORK/full/ballast"
	dcos-node down --state-dir "$WORK/full/state"
	umount "$WORK/full"
'
