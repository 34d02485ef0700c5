#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A state directory of format 1, with two apps in it, as the version before the quorum wrote it (tests/data/state-format-1.tar.xz):
# it is brought up to this version, whatever way that one ended, and back again. What only a newer one can have written is refused.
. tests/lib/e2e.sh

MARATHON=http://127.0.0.1:8080
STATE=$WORK/old/state
unpack() { rm -rf "$WORK/old" && mkdir "$WORK/old" && tar -C "$WORK/old" -xJf tests/data/state-format-1.tar.xz; }
start_master() {
	dcos-node master --state-dir "$STATE" --ip 127.0.0.1 --node m1 --adminrouter-port 8000 >>"$WORK/master.log" 2>&1 9>&- &
	echo $! >"$WORK/master.pid"
	eventually 10 curl -sSf -o "$WORK/body" $MARATHON/v2/apps
}
stop_master() {                              # SIGNAL
	local pid
	pid=$(cat "$WORK/master.pid")
	kill -"$1" "$pid"
	eventually 10 not kill -0 "$pid"
}
has_apps() {                                 # IDS as JSON
	expect 200 GET $MARATHON/v2/apps
	json "[.apps[].id] | sort == $1"
	json '[.apps[] | select(.env.OF == "format 1") | .cmd] == ["sleep 1000", "sleep 1000"]'
}

test_case 'a directory of format 1 that was left in order starts with its apps' '
	unpack
	[ "$(cat "$STATE/master/format")" = "dcos-node state 1" ]
	start_master
	has_apps "[\"/a\", \"/group/b\"]"
	[ "$(cat "$STATE/master/format")" = "dcos-node state 2" ]
	expect 201 POST $MARATHON/v2/apps "{\"id\": \"/new\", \"cmd\": \"sleep 1\"}"
'

test_case 'while it runs there is no way back' '
	not dcos-node downgrade --state-dir "$STATE" 2>"$WORK/said"
	grep "is in use by process" "$WORK/said"
'

test_case 'it starts again after its master was killed' '
	stop_master KILL
	not dcos-node downgrade --state-dir "$STATE" 2>"$WORK/said"
	grep "was not stopped in order" "$WORK/said"
	start_master
	has_apps "[\"/a\", \"/group/b\", \"/new\"]"
	stop_master TERM
'

test_case 'it goes back to what the version before reads' '
	dcos-node downgrade --state-dir "$STATE"
	[ "$(cat "$STATE/master/format")" = "dcos-node state 1" ]
	[ -s "$STATE/master/checkpoint.mdb" ] && [ -e "$STATE/master/clean" ]
	[ ! -e "$STATE/master/checkpoint" ] && [ ! -e "$STATE/master/member" ]
	grep -q mesos.frameworks "$STATE/master/checkpoint.mdb"
	not dcos-node downgrade --state-dir "$STATE" 2>"$WORK/said"
	grep "is of the format before already" "$WORK/said"
'

test_case 'and up again, with everything' '
	start_master
	has_apps "[\"/a\", \"/group/b\", \"/new\"]"
	stop_master TERM
'

test_case 'the same from a format 1 that was not left in order: the log is replayed' '
	unpack
	rm "$STATE/master/clean"
	start_master
	has_apps "[\"/a\", \"/group/b\"]"
	stop_master TERM
'

test_case 'and from its checkpoint' '
	unpack
	rm "$STATE/master/clean"
	mv "$STATE/master/kv/data.mdb" "$STATE/master/checkpoint.mdb"
	start_master
	has_apps "[\"/a\", \"/group/b\"]"
	stop_master KILL
	start_master
	has_apps "[\"/a\", \"/group/b\"]"
	stop_master TERM
'

test_case 'a directory of a newer version is refused with a sentence, and left alone' '
	echo "dcos-node state 3" >"$STATE/master/format"
	not dcos-node master --state-dir "$STATE" --ip 127.0.0.1 --node m1 2>"$WORK/said"
	grep "was written by a newer dcos-node (format 3, this one reads 2); start the newer one" "$WORK/said"
	[ "$(cat "$STATE/master/format")" = "dcos-node state 3" ]
'
