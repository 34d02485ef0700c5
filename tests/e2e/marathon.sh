#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Marathon's API on a running cluster: deployments of every kind, locks, kills, the queue's reasons, groups, events, versions,
# and what a new leader finds.
. tests/lib/e2e.sh

M=/service/marathon
show() { expect 200 GET "$M/v2/apps/$1"; }
running() { show "$1" && json ".app.tasksRunning == $2"; }
idle() { expect 200 GET "$M/v2/deployments" && json '. == []'; }
task_ids() { expect 200 GET "$M/v2/apps/$1/tasks" && jq -r '.tasks[].id' <"$WORK/body"; }
app() { echo "{\"id\": \"$1\", \"cmd\": \"sleep 1000\", \"cpus\": 0.01, \"mem\": 32${2:-}}"; }

test_case 'a cluster' 'start_cluster --agents 2 --public-agents 1'
e2e_cluster=1

test_case 'an app is created, deployed and listed before the answer' '
	expect 201 POST $M/v2/apps "$(app /web)"
	json ".deployments | length == 1"
	json ".portDefinitions[0].port == 10000 and .tasksRunning == 0"
	eventually 10 running web 1
	eventually 10 idle
'

test_case 'its id is taken' '
	expect 409 POST $M/v2/apps "$(app /web)"
	json ".message == \"An app with id [/web] already exists.\" and (has(\"deployments\") | not)"
'

test_case 'scaling keeps the tasks that run' '
	before=$(task_ids web)
	expect 200 PUT $M/v2/apps/web "{\"instances\": 3}"
	eventually 10 running web 3
	eventually 10 idle
	task_ids web | grep -qx "$before"
'

test_case 'a changed configuration replaces all tasks, never fewer than upgradeStrategy says' '
	task_ids web | sort >"$WORK/old"
	expect 200 PUT $M/v2/apps/web "{\"env\": {\"A\": \"1\"}, \"upgradeStrategy\": {\"minimumHealthCapacity\": 1, \"maximumOverCapacity\": 0}}"
	never_fewer() { show web && json ".app.tasksRunning >= 3" && idle; }
	until never_fewer >/dev/null; do show web && json ".app.tasksRunning >= 3"; done
	task_ids web | sort >"$WORK/new"
	[ "$(comm -12 "$WORK/old" "$WORK/new")" = "" ] && [ "$(wc -l <"$WORK/new")" = 3 ]
'

test_case 'what changes nothing restarts nothing' '
	expect 200 PUT $M/v2/apps/web "{}"
	expect 200 PUT $M/v2/apps/web "{\"env\": {\"A\": \"1\"}}"
	idle
	task_ids web | sort | cmp - "$WORK/new"
'

test_case 'restart replaces all tasks' '
	expect 200 POST $M/v2/apps/web/restart
	eventually 20 idle
	[ "$(task_ids web | sort | comm -12 - "$WORK/new")" = "" ]
	running web 3
'

test_case 'a killed task is replaced' '
	victim=$(task_ids web | head -1)
	expect 200 DELETE $M/v2/apps/web/tasks/$victim
	json ".task.id == \"$victim\""
	replaced() { ! task_ids web | grep -q "$victim" && running web 3; }
	eventually 10 replaced
'

test_case 'killed with scale, it is not' '
	victim=$(task_ids web | head -1)
	expect 200 POST "$M/v2/tasks/delete?scale=true" "{\"ids\": [\"$victim\"]}"
	eventually 10 idle
	running web 2
	json ".app.instances == 2"
	not grep "$victim" <(task_ids web)
	expect 400 POST "$M/v2/tasks/delete?scale=true&wipe=true" "{\"ids\": [\"$victim\"]}"
	expect 404 DELETE $M/v2/apps/web/tasks/web.nosuch
'

test_case 'an app that no agent can hold says what is short, and locks' '
	expect 201 POST $M/v2/apps "$(app /big ", \"instances\": 1" | sed "s/0.01/1000/")"
	why() { show big && json ".app.waitingFor | test(\"1000 cpus needed, at most .* free on 2 of 3 agents\")"; }
	eventually 5 why
	expect 200 GET "$M/v2/queue?embed=lastUnusedOffers"
	json ".queue[0].processedOffersSummary.rejectSummaryLastOffers | any(.reason == \"InsufficientCpus\" and .declined == 2)"
	json ".queue[0].lastUnusedOffers | length == 3"
	expect 409 PUT $M/v2/apps/big "{\"cpus\": 0.01}"
	json "(.message | startswith(\"App is locked\")) and (.deployments | length == 1)"
	expect 200 PUT "$M/v2/apps/big?force=true" "{\"cpus\": 0.01}"
	eventually 10 running big 1
	eventually 10 idle
'

test_case 'a deployment is rolled back' '
	expect 200 PUT $M/v2/apps/big "{\"cpus\": 1000}"
	id=$(jq -r .deploymentId <"$WORK/body")
	expect 200 DELETE $M/v2/deployments/$id
	eventually 10 idle
	running big 1
	json ".app.cpus == 0.01"
'

test_case 'versions are kept and can be gone back to' '
	expect 200 GET $M/v2/apps/web/versions
	oldest=$(jq -r ".versions | sort | .[0]" <"$WORK/body")
	expect 200 GET $M/v2/apps/web/versions/$oldest
	json ".env == null and .instances == 1"
	expect 200 PUT $M/v2/apps/web "{\"version\": \"$oldest\"}"
	eventually 20 idle
	running web 1
	expect 404 GET $M/v2/apps/web/versions/2000-01-01T00:00:00.000Z
'

test_case 'a task that fails is retried with back-off, and its failure is told' '
	expect 201 POST $M/v2/apps "$(app /crash | sed "s/sleep 1000/exit 3/")"
	told() { show crash && json ".app.lastTaskFailure.state == \"TASK_FAILED\" and (.app.waitingFor | test(\"last launch failed\"))"; }
	eventually 10 told
	expect 204 DELETE $M/v2/queue/crash/delay
	expect 200 DELETE $M/v2/apps/crash
	eventually 10 idle
	expect 404 GET $M/v2/apps/crash
	json ".message == \"App '"'/crash'"' does not exist\""
'

test_case 'constraints and roles choose the agent' '
	expect 201 POST $M/v2/apps "$(app /edge ", \"acceptedResourceRoles\": [\"slave_public\"]")"
	expect 201 POST $M/v2/apps "$(app /spread ", \"instances\": 2, \"constraints\": [[\"hostname\", \"UNIQUE\"]]")"
	eventually 10 running edge 1
	json ".app.tasks[0].host == \"192.168.65.60\""
	eventually 10 running spread 2
	json ".app.tasks | map(.host) | unique | length == 2"
'

test_case 'a group is one deployment in the order of dependencies' '
	expect 201 PUT $M/v2/apps/prod/old "$(app /prod/old)"
	eventually 10 running prod/old 1
	eventually 10 idle
	expect 200 PUT $M/v2/groups/prod "{\"apps\": [$(app api ", \"dependencies\": [\"../db\"]"), $(app db)]}"
	expect 200 GET $M/v2/deployments
	eventually 10 running prod/api 1
	eventually 10 running prod/db 1
	expect 404 GET $M/v2/apps/prod/old
	expect 200 GET $M/v2/groups/prod
	json ".id == \"/prod\" and ([.apps[].id] == [\"/prod/api\", \"/prod/db\"])"
	eventually 10 idle
	expect 422 PUT $M/v2/groups/prod "{\"apps\": [$(app api ", \"dependencies\": [\"../db\"]"), $(app db ", \"dependencies\": [\"../api\"]")]}"
	expect 422 PUT $M/v2/groups/prod "{\"apps\": [$(app db), $(app db)]}"
	json ".details[0].errors[0] == \"app '"'/prod/db'"' is named twice\""
	expect 200 DELETE $M/v2/groups/prod
	eventually 10 idle
	expect 404 GET $M/v2/groups/prod
'

test_case 'events are streamed' '
	url=$(dcos config show core.dcos_url)$M/v2/events
	curl -sSN -H "Accept: text/event-stream" "$url" >"$WORK/events" &
	stream=$!
	eventually 5 grep -q event_stream_attached "$WORK/events"
	expect 200 PUT $M/v2/apps/big "{\"instances\": 2}"
	for type in api_post_event deployment_info status_update_event deployment_step_success deployment_success; do
		eventually 10 grep -q "^event: $type" "$WORK/events"
	done
	kill $stream
	expect 405 GET $M/v2/events
'

test_case 'a new leader finds everything as it was' '
	for a in web big edge spread; do task_ids $a; done | sort >"$WORK/before"
	pid=$(dcos-node status --json --state-dir "$WORK/state" | jq -r ".processes[] | select(.role == \"master\") | .pid")
	kill -9 "$pid"
	back() { expect 200 GET $M/v2/info && for a in web big edge spread; do task_ids $a; done | sort | cmp - "$WORK/before"; }
	eventually 20 back
	expect 200 PUT $M/v2/apps/web "{\"instances\": 2}"
	eventually 20 running web 2
	eventually 10 idle
	for a in web big edge spread; do task_ids $a; done | sort | comm -13 - "$WORK/before" | { ! grep .; }
'

test_case 'destroyed apps leave no task' '
	for a in web big edge spread; do expect 200 DELETE $M/v2/apps/$a; done
	eventually 20 idle
	expect 200 GET $M/v2/tasks
	json ".tasks == []"
	expect 200 GET $M/v2/apps
	json ".apps == []"
'
