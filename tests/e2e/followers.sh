#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Three masters: what those that do not lead answer, and what clients, names and tasks see when the leading one dies.
. tests/lib/e2e.sh
. tests/lib/main_job.sh

follower() { masters | grep -vx "$(leader)" | head -1; }
node_of() { cluster_status | jq -r ".processes[] | select(.role == \"master\" and .ip == \"$1\") | .node" | head -1; }
settled_on() {                               # a leader that is not $1 has the agent and the task
	local now
	now=$(leader) && [ "$now" != "$1" ] || return 1
	curl -sS -m 2 "http://$now:5050/slaves" | jq -e '[.slaves[] | select(.active)] | length == 1'
}
three_voters() { cluster_status | jq -e ".voters == 3"; }
names() { dig +short +time=1 +tries=1 sise.marathon.mesos; }
status_of() { curl -sS -m 10 -o "$WORK/body" -D "$WORK/head" -w '%{http_code}' "$@"; }
header() { tr -d '\r' <"$WORK/head" | sed -n "s/^$1: //Ip"; }

test_case 'a cluster of three masters runs an app' '
	start_cluster --masters 3 --agents 1 --public-agents 0 "${UP_FLAGS[@]}"
	[ "$(masters | wc -l)" = 3 ]
	eventually 20 three_voters
	dcos marathon app add tests/data/example-service.json
	eventually 20 running 1
	eventually 5 names
'
e2e_cluster=1

test_case 'Mesos on a follower redirects, and answers what is about itself' '
	f=$(follower) l=$(leader)
	[ "$(status_of "http://$f:5050/master/state?x=1")" = 307 ]
	[ "$(header location)" = "//$l:5050/master/state?x=1" ]
	[ "$(status_of -X POST -d {} "http://$f:5050/api/v1/scheduler")" = 307 ]
	[ "$(status_of "http://$f:5050/redirect")" = 307 ]
	[ "$(header location)" = "//$l:5050" ]
	[ "$(status_of "http://$l:5050/redirect")" = 307 ]
	[ "$(header location)" = "//$l:5050" ]
	for path in /health /version /flags; do [ "$(status_of "http://$f:5050$path")" = 200 ]; done
	curl -sS "http://$f:5050/metrics/snapshot" | jq -e ".\"master/elected\" == 0"
	curl -sS "http://$l:5050/metrics/snapshot" | jq -e ".\"master/elected\" == 1"
	curl -sSL "http://$f:5050/slaves" | jq -e ".slaves | length == 1"
'

test_case 'Marathon on a follower passes requests to the leader and says so' '
	f=$(follower) l=$(leader)
	[ "$(status_of "http://$f:8080/v2/apps//sise")" = 200 ]
	[ "$(header x-marathon-leader)" = "http://$l:8080" ]
	[ "$(header x-marathon-via)" = "1.1 $f:8080" ]
	[ "$(status_of "http://$f:8080/v2/leader")" = 200 ]
	[ "$(cat "$WORK/body")" = "{\"leader\":\"$l:8080\"}" ]
	[ "$(status_of "http://$f:8080/ping")" = 200 ]
	[ "$(status_of -H "X-Marathon-Via: 1.1 $f:8080" "http://$f:8080/v2/apps")" = 502 ]
	grep -q "Detected proxying loop" "$WORK/body"
	[ "$(status_of "http://$f:8080/v2/apps//nope")" = 404 ]
'

test_case 'everything works through the Admin Router of a follower, streams too' '
	f=$(follower)
	curl -sS -N -m 20 -H "Accept: text/event-stream" "http://$f/service/marathon/v2/events" >"$WORK/events" &
	stream=$!
	eventually 5 grep -q event_stream_attached "$WORK/events"
	echo "{\"id\": \"/via\", \"cmd\": \"sleep 1000\", \"cpus\": 0.01, \"mem\": 32}" >"$WORK/via.json"
	expect 201 POST "http://$f/service/marathon/v2/apps" "@$WORK/via.json"
	eventually 10 grep -q "/via.*TASK_RUNNING\|TASK_RUNNING.*/via" "$WORK/events"
	expect 200 DELETE "http://$f/service/marathon/v2/apps//via"
	kill $stream
	expect 200 GET "http://$f/mesos/state-summary"
	json ".slaves | length == 1"
	id=$(jq -r ".slaves[0].id" "$WORK/body")
	expect 200 GET "http://$f/agent/$id/state"
	json ".id == \"$id\""
'

# What clients see of a dead leader: reads of an app through a follower's Admin Router and through the name, and names, all the while.
watch_clients() {                            # SECONDS FOLLOWER
	local end=$(($(date +%s%3N) + $1 * 1000))
	while [ "$(date +%s%3N)" -lt "$end" ]; do
		curl -sS -m 10 -o /dev/null -w '%{http_code} %{time_total}\n' "http://$2/service/marathon/v2/apps//sise" 2>&1
	done >"$WORK/reads" &
	while [ "$(date +%s%3N)" -lt "$end" ]; do
		[ -n "$(names)" ] && [ -n "$(dig +short +time=1 +tries=1 leader.mesos)" ] && echo there || echo gone
		answers && echo there || echo gone
	done >"$WORK/names" &
	wait
}

test_case 'kill -9 of the leader: reads wait and succeed, names and the virtual IP stay, the task is not disturbed' '
	f=$(follower) l=$(leader)
	ids=$(task_ids)
	pid=$(pid_of "$(node_of "$l")" master)
	watch_clients 8 "$f" &
	clients=$!
	sleep 1                              # some reads before it
	kill -9 "$pid"
	wait $clients
	[ "$(cut -d" " -f1 "$WORK/reads" | sort -u)" = 200 ] || { sort "$WORK/reads" | uniq -c | sort -n | tail; false; }
	echo "the longest read: $(cut -d" " -f2 "$WORK/reads" | sort -n | tail -1) s"
	not grep -q gone "$WORK/names"
	eventually 20 settled_on "$l"
	[ "$(task_ids)" = "$ids" ]
	running 1
	eventually 10 sh -c "[ \"\$(dig +short leader.mesos)\" = $(leader) ]"
	[ "$(dig +short master.mesos | wc -l)" = 3 ]
	cat "$WORK"/state/m?/master.log | grep "agent re-registered" | tail -1 | grep "by=digest"
'

test_case 'a framework finds the new leader by itself, its task goes on' '
	l=$(leader)
	[ "$(curl -sS "http://$l:5050/frameworks" | jq -r ".frameworks[] | select(.name == \"marathon\") | .active")" = true ]
	dcos marathon app update sise instances=2
	eventually 15 running 2
	dcos marathon app update sise instances=1
	eventually 15 running 1
'

test_case 'DELETE /v2/leader hands the lead over, and who was connected to it as the leader is cut off' '
	l=$(leader)
	curl -sS -N -m 30 -H "Accept: text/event-stream" "http://$l:8080/v2/events" >"$WORK/events" &
	events=$!
	echo "{\"type\": \"SUBSCRIBE\", \"subscribe\": {\"framework_info\": {\"user\": \"root\", \"name\": \"outside\"}}}" >"$WORK/subscribe.json"
	curl -sS -N -m 30 -H "Content-Type: application/json" -d "@$WORK/subscribe.json" "http://$l:5050/api/v1/scheduler" >"$WORK/outside" &
	outside=$!
	eventually 5 grep -q event_stream_attached "$WORK/events"
	eventually 5 grep -q SUBSCRIBED "$WORK/outside"
	expect 200 DELETE "http://$l:8080/v2/leader"
	json ".message == \"Leadership abdicated\""
	eventually 5 not kill -0 $events
	eventually 5 not kill -0 $outside
	eventually 15 settled_on "$l"
	running 1
	[ "$(status_of "http://$l:5050/state")" = 307 ]
'

test_case 'with every master dead names and the virtual IP still answer, and they come back as they were' '
	ids=$(task_ids)
	sise=$(names)
	for m in m1 m2 m3; do pid_of $m master; done | xargs kill -9
	for _ in $(seq 20); do [ "$(names)" = "$sise" ]; answers; done
	eventually 30 settled_on nobody
	for _ in $(seq 20); do [ "$(names)" = "$sise" ]; answers; done
	[ "$(task_ids)" = "$ids" ]
	running 1
'
