#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A scheduler made of curl: subscribe, take an offer, run a task, acknowledge, kill, tear down, all over /api/v1/scheduler.
. tests/lib/e2e.sh

# What the stream has brought so far, one event a line (RecordIO: the length of the next record ends each line).
events() { sed -n 's/^\({.*}\)[0-9]*$/\1/p' "$WORK/stream"; }
event() { events | jq -e -s "[.[] | select($1)] | last | select(. != null)"; }
api=
call() {                                     # STATUS JSON; framework and stream id are put in
	CURL_FLAGS="-H Mesos-Stream-Id:$(stream_id)" expect "$1" POST "$api/api/v1/scheduler" \
		"$(jq -c --arg id "$(framework)" '{framework_id: {value: $id}} + .' <<<"$2")"
}
stream_id() { sed -n 's/^Mesos-Stream-Id: \([0-9a-f-]*\).*/\1/p' "$WORK/head"; }
framework() { event '.type == "SUBSCRIBED"' | jq -r .subscribed.framework_id.value; }
update() { event ".type == \"UPDATE\" and .update.status.state == \"$1\""; }
acknowledge() {                              # the update of that state
	call 202 "$(update "$1" | jq '.update.status | {type: "ACKNOWLEDGE", acknowledge: {agent_id, task_id, uuid}}')"
}
task() { curl -sS "$api/tasks?task_id=curl-1" | jq -e "$1"; }

test_case 'a cluster' 'start_cluster --agents 1 --public-agents 0'
e2e_cluster=1
api=http://$(curl -sS "$(dcos config show core.dcos_url)/mesos/state" | jq -r '.leader | ltrimstr("master@")')

subscribe() {                                # [FRAMEWORK ID]: a new stream
	rm -f "$WORK/stream" "$WORK/head"
	curl -sSN -D "$WORK/head" -o "$WORK/stream" "$api/api/v1/scheduler" -H 'Content-Type: application/json' -d "$(jq -nc \
		--arg id "${1:-}" '(if $id == "" then {} else {id: {value: $id}} end) as $own | $own.id as $fid |
		{type: "SUBSCRIBE", subscribe: {framework_info: ({user: "root", name: "curl", failover_timeout: 60} + $own)}} +
		if $fid then {framework_id: $fid} else {} end')" &
}

test_case 'SUBSCRIBE is answered by a stream that begins with SUBSCRIBED, HEARTBEAT and offers' '
	subscribe
	eventually 5 event ".type == \"SUBSCRIBED\""
	eventually 5 event ".type == \"HEARTBEAT\""
	eventually 10 event ".type == \"OFFERS\""
	[ -n "$(stream_id)" ]
'

test_case 'a task launched by ACCEPT runs' '
	offer=$(event ".type == \"OFFERS\"" | jq -c ".offers.offers[0]")
	jq -r .id.value <<<"$offer" >"$WORK/first_offer"
	jq "[.resources[] | select(.name == \"cpus\")][0].scalar.value" <<<"$offer" >"$WORK/first_cpus"
	call 202 "$(jq -c "{type: \"ACCEPT\", accept: {offer_ids: [.id], filters: {refuse_seconds: 1}, operations: [{type: \"LAUNCH\", launch:
		{task_infos: [{name: \"curl\", task_id: {value: \"curl-1\"}, agent_id: .agent_id, command: {value: \"exec sleep 100000\"}, resources:
		[{name: \"cpus\", type: \"SCALAR\", scalar: {value: 0.1}}, {name: \"mem\", type: \"SCALAR\", scalar: {value: 32}}]}]}}]}}" <<<"$offer")"
	if eventually 10 update TASK_STARTING; then acknowledge TASK_STARTING; fi
	eventually 10 update TASK_RUNNING
	acknowledge TASK_RUNNING
	eventually 5 task ".tasks[0].state == \"TASK_RUNNING\" and .tasks[0].resources.cpus == 0.1"
'

test_case 'what is left of the agent is offered again' '
	another() { event ".type == \"OFFERS\" and .offers.offers[0].id.value != \"$(cat "$WORK/first_offer")\""; }
	eventually 10 another | jq -e "[.offers.offers[0].resources[] | select(.name == \"cpus\")][0].scalar.value < $(cat "$WORK/first_cpus")"
'

test_case 'RECONCILE tells the state again, without a uuid' '
	call 202 "{\"type\": \"RECONCILE\", \"reconcile\": {}}"
	eventually 5 event ".update.status.reason == \"REASON_RECONCILIATION\" and .update.status.state == \"TASK_RUNNING\" and (.update.status | has(\"uuid\") | not)"
'

test_case 'calls without the stream id, or with another, are refused' '
	id=$(framework)
	expect 400 POST "$api/api/v1/scheduler" "{\"type\": \"REVIVE\", \"framework_id\": {\"value\": \"$id\"}}"
	grep "All non-subscribe calls should include" "$WORK/body"
	CURL_FLAGS="-H Mesos-Stream-Id:other" expect 400 POST "$api/api/v1/scheduler" "{\"type\": \"REVIVE\", \"framework_id\": {\"value\": \"$id\"}}"
	grep "match the stream ID currently associated with framework ID $id" "$WORK/body"
	expect 400 POST "$api/api/v1/scheduler" "{\"type\": \"REVIVE\", \"framework_id\": {\"value\": \"nobody\"}}"
	expect 405 GET "$api/api/v1/scheduler"
'

test_case 'a task with a bad id is an error, an old offer drops its task' '
	offer=$(event ".type == \"OFFERS\"" | jq -c ".offers.offers[0]")
	call 202 "$(jq -c "{type: \"ACCEPT\", accept: {offer_ids: [.id], operations: [{type: \"LAUNCH\", launch: {task_infos: [{name: \"bad\",
		task_id: {value: \"a/b\"}, agent_id: .agent_id, command: {value: \"true\"}, resources: []}]}}]}}" <<<"$offer")"
	eventually 5 event ".update.status.reason == \"REASON_TASK_INVALID\""
	call 202 "$(jq -c "{type: \"ACCEPT\", accept: {offer_ids: [.id], operations: [{type: \"LAUNCH\", launch: {task_infos: [{name: \"late\",
		task_id: {value: \"late\"}, agent_id: .agent_id, command: {value: \"true\"}, resources: []}]}}]}}" <<<"$offer")"
	eventually 5 event ".update.status.reason == \"REASON_INVALID_OFFERS\" and .update.status.state == \"TASK_LOST\""
'

test_case 'the state tells of the agent, the framework and the task' '
	expect 200 GET "$api/master/state"
	json ".slaves | length == 1 and .[0].active and .[0].used_resources.cpus == 0.1"
	json "[.frameworks[] | select(.name == \"curl\")][0] | .connected and (has(\"pid\") | not) and .used_resources.cpus == 0.1
		and .tasks[0].id == \"curl-1\" and .tasks[0].statuses[-1].container_status.network_infos[0].ip_addresses[0].ip_address"
	expect 200 GET "$api/state-summary"
	json ".slaves[0].TASK_RUNNING == 1 and (.slaves[0].framework_ids | length == 1)"
	expect 200 GET "$api/metrics/snapshot"
	json ".\"master/tasks_running\" == 1 and .\"master/slaves_active\" == 1 and .\"master/frameworks_connected\" == 2"
	expect 200 GET "$api/roles"
	json "[.roles[] | select(.name == \"*\")][0].allocated.cpus == 0.1"
'

test_case 'protobuf is spoken too, and nothing else' '
	printf "\020\001\032\014\012\012\012\004root\022\002pb" >"$WORK/subscribe.pb"
	curl -sSN -m 2 -D "$WORK/head.pb" -o "$WORK/stream.pb" "$api/api/v1/scheduler" -H "Content-Type: application/x-protobuf" \
		-H "Accept: application/x-protobuf" --data-binary @"$WORK/subscribe.pb" || [ $? = 28 ]
	grep -i "^content-type: application/x-protobuf" "$WORK/head.pb"
	[ "$(sed -n 2p "$WORK/stream.pb" | head -c 3 | od -An -tx1 | tr -d " ")" = 080112 ]
	subscribe="{\"type\": \"SUBSCRIBE\", \"subscribe\": {\"framework_info\": {\"user\": \"root\", \"name\": \"x\"}}}"
	CURL_FLAGS="-H Accept:text/html" expect 406 POST "$api/api/v1/scheduler" "$subscribe"
	CURL_FLAGS="-H Mesos-Stream-Id:x" expect 400 POST "$api/api/v1/scheduler" "$subscribe"
	[ "$(curl -sS -m 5 -o "$WORK/body" -w "%{http_code}" "$api/api/v1/scheduler" -H Content-Type:text/plain -d "$subscribe")" = 415 ]
	expect 400 POST "$api/api/v1/scheduler" "{\"type\": \"SUBSCRIBE\""
	grep "Failed to parse body into JSON" "$WORK/body"
'

test_case 'a new master finds agent, framework and task again' '
	id=$(framework)
	pid=$(dcos-node status --json --state-dir "$WORK/state" | jq ".processes[] | select(.role == \"master\") | .pid")
	kill -9 "$pid"
	wait
	serves() { curl -sS -m 1 "$api/health"; }
	eventually 10 serves
	subscribe "$id"
	eventually 10 event ".type == \"SUBSCRIBED\""
	[ "$(framework)" = "$id" ]
	eventually 10 task ".tasks[0].state == \"TASK_RUNNING\""
	back() { curl -sS "$api/slaves" | jq -e ".slaves[0].active and .slaves[0].used_resources.cpus == 0.1"; }
	eventually 15 back
	call 202 "{\"type\": \"RECONCILE\", \"reconcile\": {\"tasks\": [{\"task_id\": {\"value\": \"curl-1\"}}]}}"
	eventually 5 event ".update.status.reason == \"REASON_RECONCILIATION\" and .update.status.state == \"TASK_RUNNING\""
'

test_case 'KILL ends the task' '
	call 202 "{\"type\": \"KILL\", \"kill\": {\"task_id\": {\"value\": \"curl-1\"}}}"
	eventually 15 update TASK_KILLED
	acknowledge TASK_KILLED
	eventually 5 task ".tasks[0].state == \"TASK_KILLED\""
'

test_case 'TEARDOWN ends the stream and the framework is remembered as completed' '
	id=$(framework)
	call 202 "{\"type\": \"TEARDOWN\"}"
	gone() { curl -sS "$api/frameworks" | jq -e --arg id "$id" "[.completed_frameworks[].id] | index(\$id)"; }
	eventually 5 gone
'
