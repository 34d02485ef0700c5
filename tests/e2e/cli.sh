#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The dcos command against a cluster: what it prints, where, and how it exits.
. tests/lib/e2e.sh

fails() {                                    # TEXT COMMAND...: exit code 1, nothing on stdout, TEXT on stderr
	local text=$1 out status=0
	shift
	out=$("$@" 2>"$WORK/stderr" </dev/null) || status=$?
	printf '%s: stdout [%s] stderr [%s]\n' "$status" "$out" "$(cat "$WORK/stderr")"
	[ "$status" = 1 ] && [ -z "$out" ] && grep -Fq -- "$text" "$WORK/stderr"
}
header() { head -1 | tr -s ' ' | sed 's/ $//'; }
running() { [ "$(dcos marathon app show "$1" | jq .tasksRunning)" = "$2" ]; }
settled() { ! dcos marathon deployment list >/dev/null 2>&1; }
ids_of() { dcos marathon task list -q "$1"; }
app() {                                      # ID CMD INSTANCES
	printf '{"id": "%s", "cmd": "%s", "cpus": 0.05, "mem": 16, "instances": %s}' "$1" "$2" "$3"
}

test_case 'without a cluster it says how to get one' '
	fails "no cluster is attached" dcos task
	fails "no cluster is attached" dcos config show core.dcos_url
	dcos --version | grep -qx "dcoscli.version=.*"
'
test_case 'help lists commands; unknown ones fail' '
	dcos help | grep -q "dcos marathon app add"
	dcos marathon app add --help | grep -q "Usage: dcos marathon app add"
	dcos task log --help | grep -q -- --follow
	dcos marathon --help | grep -q "marathon ping"
	fails "unknown command nosuch" dcos nosuch
	fails "unknown flag --folow, did you mean --follow" dcos task log --folow
'

test_case 'the shell completes words of commands' '
	eval "$(dcos completion bash)"
	COMP_WORDS=(dcos marathon app "") COMP_CWORD=3
	_dcos
	[ "${COMPREPLY[*]}" = "add kill list remove restart show start stop update version" ]
	COMP_WORDS=(dcos mar) COMP_CWORD=1
	_dcos
	[ "$(printf "%s\n" "${COMPREPLY[@]}" | sort -u)" = marathon ]
	fails "there is completion for bash and zsh" dcos completion fish
'

test_case 'a cluster for the rest' 'start_cluster'
e2e_cluster=1

test_case 'up attaches its cluster' '
	[ "$(dcos config show core.dcos_url)" = http://192.168.65.90 ]
	dcos cluster list --attached --json | jq -e ".[0].attached and .[0].status == \"AVAILABLE\""
	[ "$(dcos cluster list | header)" = " NAME ID STATUS VERSION URL" ]
	dcos --version | grep -q "^dcos.version=[0-9]"
'
test_case 'setup attaches a cluster by its URL' '
	dcos cluster setup 192.168.65.90
	dcos cluster list --attached --json | jq -e "length == 1 and .[0].url == \"http://192.168.65.90\""
	fails "does not answer as a cluster does" dcos cluster setup http://192.168.65.90:8080
	fails "no match found" dcos cluster attach nosuch
	dcos cluster attach dcos
'
test_case 'config set, show, unset' '
	[ "$(dcos config set core.timeout 7)" = "[core.timeout]: set to '"'7'"'" ]
	[ "$(dcos config set core.timeout 8)" = "[core.timeout]: changed from '"'7' to '8'"'" ]
	[ "$(dcos config show core.timeout)" = 8 ]
	dcos node >/dev/null
	DCOS_TIMEOUT=soon fails "the timeout wants 1 to 86400 seconds" dcos node
	[ "$(dcos config unset core.timeout)" = "Removed [core.timeout]" ]
	fails "Property '"'core.timeout'"'" dcos config show core.timeout
	dcos config validate
'
test_case 'nodes' '
	[ "$(dcos node | header)" = "HOSTNAME IP ID TYPE REGION ZONE" ]
	[ "$(dcos node | grep -c agent)" = 3 ]
	dcos node | grep -q "192.168.65.60 .*agent (public)"
	dcos node | grep -q "192.168.65.90 .*master (leader)"
	dcos node list --json | jq -e "length == 3"
'
test_case 'services' '
	dcos service | grep -q "^marathon .*True"
	dcos service list --json | jq -e ".[0].name == \"marathon\""
'
test_case 'marathon about, ping, leader' '
	dcos marathon about | jq -e ".name == \"marathon\""
	[ "$(dcos marathon ping)" = "Marathon ping response[1x]: \"pong\"" ]
	dcos marathon leader show | grep -q :
'

test_case 'apps of a file, of stdin, of no JSON' '
	app /file "echo hello; exec sleep 1000" 1 >"$WORK/file.json"
	dcos marathon app add "$WORK/file.json" | grep -Eqx "Created deployment [0-9a-f-]{36}"
	app stdin "echo out; echo err >&2; exec sleep 1000" 2 | dcos marathon app add | grep -q "Created deployment"
	fails "Application '"'/file'"' already exists" dcos marathon app add "$WORK/file.json"
	echo "{\"id\": " >"$WORK/bad.json"
	fails "bad.json" dcos marathon app add "$WORK/bad.json"
	fails "line 2 column 1" dcos marathon app add "$WORK/bad.json"
	fails "No such file" dcos marathon app add "$WORK/absent.json"
	echo "{\"id\": \"/bad\", \"cmd\": \"true\", \"cpus\": -1}" >"$WORK/bad.json"
	fails "/cpus" dcos marathon app add "$WORK/bad.json"
	eventually 10 running file 1
	eventually 10 running /stdin 2
'
test_case 'the list of apps' '
	eventually 5 settled
	[ "$(dcos marathon app list | header)" = "ID MEM CPUS TASKS HEALTH DEPLOYMENT WAITING CONTAINER CMD" ]
	dcos marathon app list | tr -s " " | grep -qx "/stdin 16 0.05 2/2 --- --- False mesos echo out; echo err >&2; exec sleep ..."
	[ "$(dcos marathon app list -q | paste -sd,)" = /file,/stdin ]
	dcos marathon app list --json | jq -e "length == 2"
'
test_case 'update: JSON values, strings, stdin; an absent app stays absent' '
	dcos marathon app update file instances=2 "labels={\"a\": \"b\"}" user=root | grep -q "Created deployment"
	eventually 10 running file 2
	eventually 10 settled
	dcos marathon app show file | jq -e ".labels.a == \"b\" and .user == \"root\" and .id == \"/file\""
	echo "{\"instances\": 1}" | dcos marathon app update /file | grep -q "Created deployment"
	eventually 10 running file 1
	fails "App '"'/absent'"' does not exist" dcos marathon app update absent instances=1
	fails "no property" dcos marathon app update file instances
	fails "App '"'/absent'"' does not exist" dcos marathon app show absent
'
test_case 'versions' '
	eventually 10 settled
	[ "$(dcos marathon app version list file | jq length)" -ge 3 ]
	[ "$(dcos marathon app version list --max-count 1 file | jq length)" = 1 ]
	[ "$(dcos marathon app show --app-version=-1 file | jq .instances)" = 2 ]
	fails "only has" dcos marathon app show --app-version=-99 file
	fails "Relative versions must be negative" dcos marathon app show --app-version=2 file
'
test_case 'stop, start, restart' '
	dcos marathon app stop file | grep -q "Created deployment"
	eventually 10 running file 0
	eventually 10 settled
	fails "Application '"'/file'"' already stopped: 0 instances." dcos marathon app stop file
	fails "because it has no running tasks" dcos marathon app restart file
	dcos marathon app start file | grep -q "Created deployment"
	eventually 10 running file 1
	eventually 10 settled
	fails "Application '"'/file'"' already started: 1 instances." dcos marathon app start file
	before=$(ids_of file)
	dcos marathon app restart file | grep -q "Created deployment"
	replaced() { [ "$(ids_of file | wc -l)" = 1 ] && [ "$(ids_of file)" != "$before" ]; }
	eventually 15 replaced
	eventually 10 settled
'
test_case 'deployments: none is exit code 1' '
	fails "There are no deployments" dcos marathon deployment list
	[ "$(dcos marathon deployment list --json)" = "[]" ]
'
test_case 'an app that waits says why' '
	app /huge true 1 | sed "s/0.05/1000/" | dcos marathon app add
	why() { dcos marathon app list 2>&1 >/dev/null | grep -q "/huge.* waits: .*not enough cpus on [123] of 3 agents"; }
	eventually 10 why
	dcos marathon app list | grep "^/huge" | grep -q True
	dcos marathon app show huge 2>&1 >/dev/null | grep -q "not enough cpus"
	[ "$(dcos marathon deployment list | header)" = "APP POD ACTION PROGRESS ID" ]
	dcos marathon deployment list /huge | grep -q "^/huge .*scale"
	dcos marathon debug list | grep -q "^/huge .*True"
	deployment=$(dcos marathon deployment list -q huge)
	dcos marathon deployment watch --max-count 1 "$deployment" | grep -q "Deployment update time"
	dcos marathon deployment stop "$deployment"
	dcos marathon app remove huge
	eventually 10 settled
'
test_case 'tasks' '
	[ "$(dcos task | header)" = "NAME HOST USER STATE ID" ]
	[ "$(dcos task | grep -c " R ")" = 3 ]
	[ "$(dcos task list -q stdin | wc -l)" = 2 ]
	dcos task --json "file*" | jq -e "length == 1"
	fails "Cannot find a task with ID containing \"nosuch\"" dcos task nosuch
	[ "$(dcos task --json nosuch)" = "[]" ]
	dcos task --completed | grep -q "^file "
	[ "$(dcos marathon task list | header)" = "APP HEALTHY STARTED HOST ID" ]
	dcos marathon task show "$(ids_of file)" | jq -e ".appId == \"/file\""
	fails "Task '"'nosuch'"' does not exist" dcos marathon task show nosuch
'
test_case 'files in sandboxes' '
	dcos task ls file | grep -q "stderr  stdout"
	dcos task ls --long file | grep -Eq "^-rw-r--r-- .* stdout$"
	dcos task ls stdin | grep -q "===> stdin.*<==="
	fails "Cannot access [nosuch]: No such file or directory" dcos task ls file nosuch
	fails "No matching tasks. Exiting." dcos task ls nosuch
'
test_case 'logs' '
	[ "$(dcos task log file)" = hello ]
	[ "$(dcos task log --lines=1 stdin stderr | grep -c "^===> task:stdin.*:stderr <===$")" = 2 ]
	fails "Error parsing string as int" dcos task log --lines=bogus file
	fails "No files exist. Exiting." dcos task log file nosuch
	fails "No matching tasks. Exiting." dcos task log nosuch
	[ "$(dcos task log --lines=1000000 file)" = hello ]
'
test_case 'logs followed side by side, with a header where the source changes; Ctrl-C ends it' '
	cmd="for i in 1 2 3 4 5 6 7 8 9; do echo \$i; sleep 0.3; done; exec sleep 1000"
	app /many "$cmd" 2 | dcos marathon app add
	eventually 10 running many 2
	cat >"$WORK/follow.sh" <<-END
		trap - INT
		exec dcos task log --follow many
	END
	setsid bash "$WORK/follow.sh" >"$WORK/follow" 2>"$WORK/follow.err" &
	follower=$!
	both() { [ "$(grep -c "^9$" "$WORK/follow")" = 2 ]; }
	eventually 15 both
	[ "$(grep -c "^===> task:many.*:stdout <===$" "$WORK/follow")" -ge 3 ]
	kill -INT $follower
	wait $follower
	[ ! -s "$WORK/follow.err" ]
	dcos marathon app remove many
'
test_case 'kill' '
	old=$(ids_of file)
	dcos marathon app kill file | grep -qxF "Killed tasks: ['"'"'$old'"'"']"
	replaced() { [ "$(ids_of file | wc -l)" = 1 ] && [ "$(ids_of file)" != "$old" ] && running file 1; }
	eventually 15 replaced
	dcos marathon task stop "$(ids_of file)" | jq -e ".appId == \"/file\""
	eventually 15 running file 1
	dcos marathon task kill --scale "$(ids_of stdin | head -1)" | grep -q "Started deployment"
	eventually 15 running stdin 1
	fails "no such task runs" dcos marathon task kill nosuch.instance-1
'
test_case 'groups' '
	printf "{\"id\": \"/g\", \"apps\": [%s]}" "$(app x "exec sleep 1000" 1)" | dcos marathon group add | grep -q "Created deployment"
	eventually 10 running g/x 1
	eventually 10 settled
	dcos marathon group list | tr -s " " | grep -qx "/g 1"
	dcos marathon group show g | jq -e ".apps[0].id == \"/g/x\""
	dcos marathon group remove g
	eventually 10 sh -c "! dcos marathon app show g/x"
'
test_case 'remove is silent' '
	[ -z "$(dcos marathon app remove file)" ]
	eventually 10 settled
	dcos marathon app remove --force stdin
	fails "App '"'/file'"' does not exist" dcos marathon app remove file
'
test_case 'a master that does not answer is left for the next, which is asked first from then on' '
	list=$(dirname "$(ls "$HOME"/.dcos/clusters/*/attached)")/masters
	[ "$(cat "$list")" = http://192.168.65.90 ]
	printf "http://192.168.65.90:9\nhttp://192.168.65.90\n" >"$list"
	dcos marathon app list
	[ "$(cat "$list")" = http://192.168.65.90 ]
	printf "http://192.168.65.90:9\nhttp://192.168.65.90\n" >"$list"
	echo "{\"id\": \"/elsewhere\", \"cmd\": \"sleep 1000\", \"instances\": 0}" | dcos marathon app add
	dcos marathon app remove elsewhere
	printf "http://192.168.65.90:9\n" >"$list"
	dcos marathon app list
	dcos cluster setup 192.168.65.90
	[ "$(cat "$list")" = http://192.168.65.90 ]
'

test_case 'a cluster that is not there' '
	DCOS_URL=http://192.168.65.91 fails "is the cluster at http://192.168.65.91 up?" timeout 20 dcos task
	DCOS_URL=http://192.168.65.90:81 fails "is the cluster at http://192.168.65.90:81 up?" dcos task
'
