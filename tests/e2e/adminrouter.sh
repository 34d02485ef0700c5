#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One entry port leads to every service: prefixes, redirects, agents by id, what it says about itself.
. tests/lib/e2e.sh

test_case 'a cluster' 'start_cluster --agents 1 --public-agents 0'
e2e_cluster=1

location() { curl -sS -o /dev/null -D - "$(dcos config show core.dcos_url)$1" | tr -d '\r' | awk 'NR == 1 { print $2 } tolower($1) == "location:" { print $2 }' | paste -sd' '; }

test_case 'Mesos and Marathon stand below their prefixes' '
	expect 200 GET /mesos/version
	json ".version"
	expect 200 GET /mesos/master/state
	json ".activated_slaves == 1"
	expect 200 GET /marathon/v2/info
	json ".name == \"marathon\""
	expect 200 GET /service/marathon/v2/apps
	json ".apps == []"
	expect 200 GET /service/marathon/ping
	[ "$(cat "$WORK/body")" = pong ]
'

test_case 'prefixes without a slash redirect with a relative Location' '
	[ "$(location /mesos)" = "301 /mesos/" ]
	[ "$(location "/marathon?x=1")" = "307 /marathon/?x=1" ]
	[ "$(location /service/marathon)" = "301 /service/marathon/" ]
'

test_case 'agents answer by their id, unknown ones do not' '
	id=$(curl -sS "$(dcos config show core.dcos_url)/mesos/slaves" | jq -r ".slaves[0].id")
	expect 200 GET "/agent/$id/state"
	json ".id == \"$id\""
	expect 200 GET "/slave/$id/version"
	expect 404 GET /agent/nosuch-S0/state
	grep -q "agent .nosuch-S0. unknown" "$WORK/body"
'

test_case 'names and virtual IPs' '
	expect 200 GET /mesos_dns/v1/hosts/leader.mesos
	json ".[0].ip == \"192.168.65.90\""
	expect 200 GET /net/v1/vips
	json ". == []"
'

test_case 'it says which cluster and version this is' '
	expect 200 GET /dcos-metadata/dcos-version.json
	json ".version and .\"dcos-variant\" == \"open\""
	expect 200 GET /metadata
	json ".CLUSTER_ID | test(\"^[0-9a-f-]{36}$\")"
	expect 404 GET /nosuch
	expect 405 POST /dcos-metadata/dcos-version.json "{}"
'
