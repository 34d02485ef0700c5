/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `dcos-node backup FILE`: asks masters in turn over the cluster RPC, as the node whose --state-dir is given, and writes what
 * comes into FILE, which has its name only when it is whole and on the disk. `--verify` reads a file instead.
 *
 *   CONNECT --opened--> BEGIN --head, keys--> PIECES --all have come--> done
 *      `-- not the leading one, not there: the next master; anything else, and no master left: failed
 */
#include "roles/master/backup_cmd.h"

#include <stdio.h>

#include "net/limits.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "roles/identity_int.h"
#include "roles/roles.h"

#define BEGIN_TIMEOUT_US (10 * MINUTE)       /* the master writes its whole state aside */
#define PIECE_TIMEOUT_US MINUTE

struct backup_config {
	struct node_config common;       /* first: its state_dir, masters, ip */
	char *passphrase_file;
	bool no_keys, verify, json;
};
#define AT(field) offsetof(struct backup_config, field)
static const struct flag backup_flags[] = {
	/* name              type         field                 default          min max env                 help */
	{ "state-dir",       FLAG_STRING, AT(common.state_dir), "/var/lib/dcos", 0,  0,  "DCOS_STATE_DIR",   "of a master on this machine: whose identity is used" },
	{ "masters",         FLAG_LIST,   AT(common.masters),   NULL,            0,  0,  "DCOS_MASTERS",     "IP[:PORT] of a master's RPC port; repeat for each master (default: this machine)" },
	{ "passphrase-file", FLAG_STRING, AT(passphrase_file),  NULL,            0,  0,  NULL,               "its first line seals the keys (else DCOS_BACKUP_PASSPHRASE, else asked for)" },
	{ "no-keys",         FLAG_BOOL,   AT(no_keys),          "false",         0,  0,  NULL,               "leave the cluster's keys out: agents have to join anew after a restore" },
	{ "verify",          FLAG_BOOL,   AT(verify),           "false",         0,  0,  NULL,               "check FILE and say what is in it, instead of writing it" },
	{ "json",            FLAG_BOOL,   AT(json),             "false",         0,  0,  NULL,               "for machines" },
	FLAG_END,
};
static const struct flag *const flag_tables[] = { backup_flags, NULL };

struct backup {
	struct node node;
	struct backup_config config;
	const char *path;
	char *passphrase;                /* owned; NULL: no keys */
	struct rpc_peer *peer;
	struct rpc_call call;
	struct loop_defer next;          /* connect to the next master */
	size_t tried;
	struct backup_writer writer;
	struct arena arena;              /* of head and keys */
	backup_Piece begun;
	uint64_t got;
	struct progress progress;
	struct err err;                  /* of the last thing that failed */
};

static void ask_piece(struct backup *b);

/* The end, good or bad. */
static void end(struct backup *b)
{
	rpc_call_cancel(&b->call);
	rpc_peer_close(MOVE(b->peer));
	loop_stop(b->node.loop);
}

/* What another master may do better. */
static bool worth_another(int code)
{
	return code == E_NOTLEADER || code == E_IO || code == E_CLOSED || code == E_TIMEOUT || code == E_BUSY;
}

static void connect_next(struct loop_defer *d);

static void failed(struct backup *b, const struct err *e)
{
	b->err = *e;
	rpc_call_cancel(&b->call);
	rpc_peer_close(MOVE(b->peer));
	if (b->begun.head == NULL && worth_another(e->code) && b->tried < MAX(node_master_count(&b->node), (size_t)1))
		loop_defer(b->node.loop, &b->next, connect_next);
	else
		end(b);
}

static int write_end(struct backup *b, struct err *e)
{
	const backup_Keys *keys = b->begun.head->keys ? b->begun.keys : NULL;
	return backup_writer_end(&b->writer, keys, str_of(b->passphrase ? b->passphrase : ""), e);
}

static void on_piece(struct rpc_call *c, struct str payload, const struct err *failure)
{
	struct backup *b = container_of(c, struct backup, call);
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct err e = *failure;
	backup_Piece piece = { 0 };
	int rc = e.code;
	if (rc == 0)
		rc = pb_read(&a, backup_Piece_fields, payload, &piece, &e);
	if (rc == 0)
		rc = backup_writer_add(&b->writer, pb_bytes_view(piece.data), &e);
	if (rc == 0) {
		b->got += pb_bytes_view(piece.data).len;
		progress_show(&b->progress, b->got);
		ask_piece(b);
		return;
	}
	(void)err_wrap(&e, "after %llu of %llu bytes", (unsigned long long)b->got, (unsigned long long)b->begun.head->dump_bytes);
	failed(b, &e);
}

static void ask(struct backup *b, const backup_Read *in, int64_t timeout_us,
		void (*done)(struct rpc_call *c, struct str reply, const struct err *e))
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	if (pb_write(backup_Read_fields, in, &out, &e) != 0)
		failed(b, &e);
	else
		rpc_call_start(b->peer, &b->call, dcos_Method_BACKUP, buf_view(&out), timeout_us, done);
}

static void ask_piece(struct backup *b)
{
	struct err e = { 0 };
	backup_Read in = { .has_offset = true, .offset = b->got };
	if (b->got < b->begun.head->dump_bytes) {
		ask(b, &in, PIECE_TIMEOUT_US, on_piece);
		return;
	}
	if (write_end(b, &e) != 0)
		failed(b, &e);
	else
		end(b);
}

static int check_begun(struct backup *b, struct err *e)
{
	const backup_Piece *p = &b->begun;
	bool keys = b->passphrase != NULL;
	if (!p->head || !p->head->cluster_id || p->head->keys != keys || (keys && (!p->keys || !p->keys->ca_pem || !p->keys->ca_key_pem || !p->keys->token)))
		return err_set(e, E_MALFORMED, "the master's answer is not complete");
	return backup_writer_head(&b->writer, p->head, e);
}

static void on_begun(struct rpc_call *c, struct str payload, const struct err *failure)
{
	struct backup *b = container_of(c, struct backup, call);
	struct err e = *failure;
	int rc = e.code;
	if (rc == 0)
		rc = pb_read(&b->arena, backup_Piece_fields, payload, &b->begun, &e);
	if (rc == 0)
		rc = check_begun(b, &e);
	if (rc != 0) {
		failed(b, &e);
		return;
	}
	b->err.code = 0;
	b->progress = (struct progress){ .verb = "backing up", .total = b->begun.head->dump_bytes };
	ask_piece(b);
}

static void on_open(struct rpc_peer *p)
{
	struct backup *b = rpc_peer_arg(p);
	backup_Read in = { .has_begin = true, .begin = true, .has_keys = true, .keys = b->passphrase != NULL };
	ask(b, &in, BEGIN_TIMEOUT_US, on_begun);
}

static void on_close(struct rpc_peer *p, const struct err *e)
{
	struct backup *b = rpc_peer_arg(p);
	b->peer = NULL;
	if (b->err.code == 0 || b->call.peer)
		failed(b, e);
}

static const struct rpc_handlers handlers = { .opened = on_open, .closed = on_close };

static void connect_next(struct loop_defer *d)
{
	struct backup *b = container_of(d, struct backup, next);
	struct sock_addr to;
	struct err e = { 0 };
	int rc = node_master_count(&b->node) > 0 ? node_master_addr(&b->node, b->tried, &to, &e)
						 : sock_addr_parse(&to, "127.0.0.1", RPC_PORT_MASTER, &e);
	b->tried++;
	b->err.code = 0;
	if (rc != 0)
		failed(b, &e);
	else
		b->peer = rpc_connect(b->node.loop, &to, b->node.identity.client, &handlers, b);
}

/* ---- the command ---- */

static int find_passphrase(struct backup *b, struct err *e)
{
	if (b->config.no_keys && b->config.passphrase_file)
		return err_set(e, E_USAGE, "--no-keys leaves out what --passphrase-file would seal; give one of them");
	if (b->config.no_keys)
		return 0;
	int rc = passphrase_get(b->config.passphrase_file, true, &b->passphrase, e);
	if (rc == 0 && !b->passphrase)
		(void)fputs("dcos-node backup: no passphrase (--passphrase-file, DCOS_BACKUP_PASSPHRASE), so the cluster's keys are left out: "
			    "agents have to join anew after a restore\n", stderr);
	return rc;
}

static int take(struct backup *b, struct err *e)
{
	int rc = find_passphrase(b, e);
	if (rc == 0)
		rc = backup_writer_open(&b->writer, b->path, e);
	if (rc != 0)
		return rc;
	rc = identity_load(&b->node, "master/", e);
	if (rc != 0)
		return err_wrap(e, "act as the master whose --state-dir is '%s'", b->config.common.state_dir);
	b->node.loop = loop_new();
	loop_defer(b->node.loop, &b->next, connect_next);
	loop_run(b->node.loop);
	progress_end(&b->progress);
	*e = b->err;
	return b->err.code;
}

static int verify(struct backup *b, struct err *e)
{
	struct backup_file f;
	AUTO_ARENA struct arena a = ARENA_INIT;
	backup_Keys keys;
	uint64_t rows = 0;
	int rc = backup_file_open(&f, b->path, &rows, e);
	if (rc == 0 && f.head.keys && b->config.passphrase_file)
		rc = passphrase_get(b->config.passphrase_file, false, &b->passphrase, e);
	if (rc == 0 && b->passphrase)
		rc = backup_file_keys(&f, str_of(b->passphrase), &a, &keys, e);
	if (rc == 0)
		backup_show(&f, rows, b->config.json);
	backup_file_close(&f);
	return rc;
}

static int taken(struct backup *b, struct err *e)
{
	int rc = take(b, e);
	backup_writer_close(&b->writer);
	if (rc != 0)
		return rc;
	if (b->config.json)
		return verify(b, e);
	printf("%s: cluster %s at index %llu, %llu bytes of state, keys %s\n", b->path, b->begun.head->cluster_id,
	       (unsigned long long)b->begun.head->index, (unsigned long long)b->got, b->passphrase ? "sealed" : "left out");
	return 0;
}

int backup_main(int argc, char **argv)
{
	struct backup *b = xcalloc(1, sizeof(*b));
	struct err e = { 0 };
	int code, argi;
	bool go = node_command_init(&b->node, "backup", flag_tables, &b->config, argc, argv, "FILE",
				    "Writes the cluster's state, and its keys sealed with a passphrase, into FILE.\n"
				    "Example: dcos-node backup --passphrase-file secret /backup/dcos-$(date +%F)", &argi, &code);
	arena_init(&b->arena, ARENA_MAX_DEFAULT);
	b->writer.fd = -1;
	if (go) {
		b->path = argi < argc ? argv[argi] : NULL;
		int rc = argc - argi == 1 ? b->config.verify ? verify(b, &e) : taken(b, &e)
					  : err_set(&e, E_USAGE, "give one FILE; `dcos-node backup --help` tells more");
		code = rc == 0 ? 0 : node_die("backup", &e);
	}
	passphrase_free(b->passphrase);
	node_fini(&b->node);
	flag_free(flag_tables, &b->config);
	arena_fini(&b->arena);
	free(b);
	return code;
}
