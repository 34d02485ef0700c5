#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Without root: 127.0.65.x, high ports, no isolation, no virtual IPs, and status says so; apps run all the same.
. tests/lib/e2e.sh

chmod 755 "$WORK"
mkdir -p "$WORK/nobody" && chown nobody "$WORK/nobody"
as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$WORK/nobody" PATH="$PATH" "$@"; }

test_case 'up works as an ordinary user and says what is missing' '
	as_nobody dcos-node up --detach --agents 1 --public-agents 0 | tee "$WORK/words"
	grep -q "no virtual IPs" "$WORK/words"
	as_nobody dcos-node status | grep -q "no VIPs"
	as_nobody dcos config show core.dcos_url | grep -q "http://127.0.65.90:8000"
'

test_case 'an app runs and its log can be read' '
	echo "{\"id\": \"/hello\", \"cmd\": \"echo hello from \$MARATHON_APP_ID; exec sleep 100000\", \"cpus\": 0.01, \"mem\": 32}" | as_nobody dcos marathon app add
	runs() { as_nobody dcos marathon app list | grep "/hello .* 1/1"; }
	eventually 10 runs
	as_nobody dcos task log hello | grep "hello from /hello"
	dig +short -p 5353 @127.0.65.1 hello.marathon.mesos | grep 127.0.65.111
'

test_case 'the built-in image runs too' '
	as_nobody dcos marathon app add tests/data/example-service.json
	port() { as_nobody dcos marathon app show sise | jq -e ".tasks[0].ports[0]"; }
	answers() { curl -sS -m 3 "http://127.0.65.111:$(port)/endpoint0" | grep "all is well"; }
	eventually 10 answers
'

test_case 'down ends it all' '
	as_nobody dcos-node down
	not pgrep -f "dcos-node|simpleservice"
	not pgrep -x sleep
'
