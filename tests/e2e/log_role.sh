#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The log role by itself: last lines of a node's components over HTTP, logs rotated before they fill the disk.
. tests/lib/e2e.sh

URL=http://127.0.0.1:1050/v2/component
last() { curl -sS -m 5 "$URL/$1"; }          # NAME[?skip=-N]
mkdir "$WORK/node"
seq 5000 >"$WORK/node/agent.log"
seq 100000 | sed 's/^/a rather long line of a log: /' >"$WORK/node/dns.log"
: >"$WORK/node/lb.log"
dcos-node log --state-dir "$WORK/node" --ip 127.0.0.1 --node n --rotate-bytes=100MB --rotate-every=1secs >"$WORK/log.out" 2>&1 &
role=$!

test_case 'components are listed' '
	eventually 5 expect 200 GET $URL
	json "sort == [\"agent\", \"dns\", \"lb\"]"
'

test_case 'the last lines of one' '
	[ "$(last "agent" | paste -sd" ")" = "$(seq 4991 5000 | paste -sd" ")" ]
	[ "$(last "agent?skip=-1")" = 5000 ]
	[ "$(last "agent?skip=-5000" | wc -l)" = 5000 ]
	[ "$(last "agent?skip=-9223372036854775808" | wc -l)" = 5000 ]
	[ "$(last "dns?skip=-90000" | head -1)" = "a rather long line of a log: 10001" ]
	[ "$(last "lb")" = "" ]
'

test_case 'other names are refused' '
	expect 404 GET $URL/nobody
	expect 404 GET $URL/..%2fnode%2fagent
	expect 400 GET $URL/Agent
	expect 400 GET $URL/x%2f..%2fagent.log%00
'
kill $role
wait $role

test_case 'a log over the size is set aside, once, and goes on' '
	dcos-node log --state-dir "$WORK/node" --ip 127.0.0.1 --node n --rotate-bytes=64KB --rotate-every=1secs >"$WORK/log.out" 2>&1 &
	role=$!
	rotated() { [ ! -s "$WORK/node/dns.log" ] && [ "$(wc -l <"$WORK/node/dns.log.1")" = 100000 ]; }
	eventually 5 rotated
	[ "$(wc -l <"$WORK/node/agent.log")" = 5000 ]
	echo more >>"$WORK/node/dns.log"
	[ "$(last "dns")" = more ]
	kill $role
	wait $role
'
