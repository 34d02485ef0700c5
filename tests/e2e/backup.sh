#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A backup of a cluster that runs an app; everything is destroyed; restored on one bare node, the app runs again on an agent that
# still has its certificate, and on a new one that joins with the old token. What is wrong with a file is said in one sentence.
needs_static=1
. tests/lib/e2e.sh

MARATHON=http://127.0.0.1:8080
said() { grep -F "$1" "$WORK/said"; }
refused() { not "$@" 2>"$WORK/said" && [ "$(wc -l <"$WORK/said")" = 1 ]; }
spawn() {                                    # NAME COMMAND...
	"${@:2}" >>"$WORK/$1.log" 2>&1 9>&- &
	echo $! >"$WORK/$1.pid"
}
end() {                                      # NAME SIGNAL
	local pid
	pid=$(cat "$WORK/$1.pid")
	kill -"$2" "$pid"
	eventually 10 not kill -0 "$pid"
}
start_master() {                             # STATE-DIR
	spawn master dcos-node master --state-dir "$1" --ip 127.0.0.1 --node m1 --adminrouter-port 8000
	eventually 20 curl -sSf -o "$WORK/body" $MARATHON/v2/apps
}
start_agent() {                              # NAME
	spawn "$1" dcos-node agent --state-dir "$WORK/$1" --ip 127.0.0.1 --node "$1" --masters 127.0.0.1 --join-token-file "$WORK/token" \
		--no-isolate
}
running() { [ "$(curl -sS -m 5 $MARATHON/v2/apps//sleeper | jq .app.tasksRunning)" = "$1" ]; }

test_case 'a cluster with an app' '
	start_master "$WORK/m1"
	eventually 5 test -s "$WORK/m1/identity/token"
	cp "$WORK/m1/identity/token" "$WORK/token"
	start_agent a1
	expect 201 POST $MARATHON/v2/apps "{\"id\": \"/sleeper\", \"cmd\": \"sleep 1000\", \"cpus\": 0.1, \"mem\": 32}"
	eventually 20 running 1
'

test_case 'backup FILE writes its state, with the keys sealed' '
	echo "correct horse" >"$WORK/passphrase"
	dcos-node backup --state-dir "$WORK/m1" --passphrase-file "$WORK/passphrase" "$WORK/full"
	[ "$(stat -c %a "$WORK/full")" = 600 ]
	not grep -q "PRIVATE KEY" "$WORK/full"
	dcos-node backup --verify --json --passphrase-file "$WORK/passphrase" "$WORK/full" | tee "$WORK/body"
	json ".cluster_id != \"\" and .format == 2 and .index > 0 and .rows > 3 and .keys"
'

test_case 'without a passphrase the keys are left out, and it says so' '
	dcos-node backup --state-dir "$WORK/m1" "$WORK/keyless" </dev/null 2>"$WORK/said"
	said "so the cluster'\''s keys are left out"
	dcos-node backup --verify "$WORK/keyless" | grep "keys *none"
'

test_case 'what cannot be asked or written is said in one sentence, and leaves no file' '
	refused dcos-node backup --no-keys --state-dir "$WORK/m1" "$WORK/nowhere/file"
	said "create '\''$WORK/nowhere/file.partial'\'': No such file or directory"
	refused dcos-node backup --no-keys --state-dir "$WORK/none" "$WORK/file"
	said "act as the master whose --state-dir is '\''$WORK/none'\''"
	refused dcos-node backup --no-keys --state-dir "$WORK/a1" "$WORK/file"
	said "only masters may take a backup"
	refused dcos-node backup --no-keys --state-dir "$WORK/m1" --masters 127.0.0.1:1 "$WORK/file"
	said "127.0.0.1:1"
	mkdir "$WORK/full-disk"
	mount -t tmpfs -o size=4k tmpfs "$WORK/full-disk"
	refused dcos-node backup --no-keys --state-dir "$WORK/m1" "$WORK/full-disk/file"
	said "No space left on device"
	[ ! -e "$WORK/file" ] && [ ! -e "$WORK/file.partial" ] && [ -z "$(ls "$WORK/full-disk")" ]
	umount "$WORK/full-disk"
'

test_case 'everything is destroyed' '
	end a1 KILL
	end master KILL
	for pid in $(pgrep -x dcos-node; pgrep -x sleep); do kill -9 "$pid"; done 2>/dev/null
	rm -rf "$WORK/m1"
'

restore() { dcos-node restore --ip 127.0.0.1 --node m1 --state-dir "$WORK/new" "$@"; }
test_case 'a file that is not whole is not restored, and nothing of it' '
	size=$(stat -c %s "$WORK/full")
	for cut in 0 7 15 40 $((size / 2)) $((size - 33)) $((size - 1)); do
		head -c $cut "$WORK/full" >"$WORK/cut"
		refused restore --passphrase-file "$WORK/passphrase" "$WORK/cut"
		said "damaged"
	done
	for at in 3 30 200 $((size / 2)) $((size - 60)) $((size - 5)); do
		python3 -c "import sys; b = bytearray(open(sys.argv[1], \"rb\").read()); b[int(sys.argv[3])] ^= 4; open(sys.argv[2], \"wb\").write(b)" \
			"$WORK/full" "$WORK/flipped" $at
		refused restore --passphrase-file "$WORK/passphrase" "$WORK/flipped"
		said "damaged"
	done
	python3 -c "import sys; b = bytearray(open(sys.argv[1], \"rb\").read()); b[8] = 2; open(sys.argv[2], \"wb\").write(b)" "$WORK/full" "$WORK/newer"
	refused restore "$WORK/newer"
	said "was written by a newer dcos-node (layout 2, this one reads 1); use the newer one"
	echo wrong >"$WORK/wrong"
	refused restore --passphrase-file "$WORK/wrong" "$WORK/full"
	said "the passphrase is not the one it was sealed with"
	refused restore "$WORK/full" </dev/null
	said "give --passphrase-file or DCOS_BACKUP_PASSPHRASE, or --no-keys"
	[ ! -e "$WORK/new" ]
'

test_case 'a full disk leaves nothing half restored' '
	mkdir "$WORK/small"
	for size in 8k 16k 24k 32k 40k 48k 64k; do
		mount -t tmpfs -o size=$size tmpfs "$WORK/small"
		not dcos-node restore --ip 127.0.0.1 --state-dir "$WORK/small" --passphrase-file "$WORK/passphrase" "$WORK/full" 2>"$WORK/said"
		cat "$WORK/said"
		grep -i "no space left on" "$WORK/said"
		[ -z "$(ls -A "$WORK/small")" ]
		umount "$WORK/small"
	done
'

test_case 'restored on a bare node, its app runs again on the agent that knew it' '
	restore --passphrase-file "$WORK/passphrase" "$WORK/full"
	refused restore --passphrase-file "$WORK/passphrase" "$WORK/full"
	said "is not empty"
	start_master "$WORK/new"
	start_agent a1
	eventually 30 running 1
'

test_case 'a new agent joins with the old token' '
	end a1 TERM
	start_agent a2
	eventually 20 grep -q "registered" "$WORK/a2.log"
	end a2 TERM
'

test_case 'a restore that was interrupted is not started on' '
	end master TERM
	mkdir "$WORK/new/restore.partial"
	refused dcos-node master --state-dir "$WORK/new" --ip 127.0.0.1 --node m1
	said "was interrupted; empty that directory and restore again"
	for pid in $(pgrep -x dcos-node; pgrep -x sleep); do kill -9 "$pid"; done 2>/dev/null || true
'

test_case 'a follower of three masters gives one too, with all that was acknowledged' '
	start_cluster --masters 3 --agents 1 --public-agents 0
	for n in 1 2 3 4 5; do dcos marathon app add <<<"{\"id\": \"/last-$n\", \"cmd\": \"sleep 1\", \"instances\": 0}"; done
	dcos-node status --json --state-dir "$WORK/state" | jq -r ".masters[] | select(.role == \"follower\") | .node + \" \" + .ip" >"$WORK/followers"
	read -r node ip <"$WORK/followers"
	dcos-node backup --passphrase-file "$WORK/passphrase" --state-dir "$WORK/state/$node" --masters "$ip" "$WORK/three"
	for n in 1 2 3 4 5; do grep -q "/last-$n" "$WORK/three"; done
'
[ ! -d "$WORK/state" ] || e2e_cluster=1
