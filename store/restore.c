/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replicated state as a whole, out of a running store and into a directory that becomes one. A restored directory holds a
 * checkpoint and a vote, and no log: its first start takes the checkpoint, and the log begins behind it. The tables are those
 * of the dump; whether this executable knows them all is found when it starts.
 */
#include "store/state_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "net/base/rnd.h"
#include "store/dump.h"

#define RESTORED_TABLES_MAX 256

int store_dump(struct store *s, int (*write)(void *arg, const void *data, size_t len, struct err *e), void *arg,
	       struct dump_head *out, struct err *e)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	struct fsm_meta meta = { .config = { .max = CONFIG_MAX } };
	int rc = kv_begin(s->fsm.kv, false, &txn, e);
	if (rc == 0)
		rc = fsm_read_meta(txn, &meta, e);
	buf_fini(&meta.config);
	*out = (struct dump_head){ STATE_FORMAT, meta.index, meta.term };
	return rc == 0 ? dump_write(txn, s->tables, out, write, arg, e) : rc;
}

/* ---- into a new directory ---- */

struct restored {
	const char *dir, *kv_dir;                        /* borrowed */
	const struct dump_source *from;                  /* borrowed */
	struct dump_head head;
	struct kv_table rows[RESTORED_TABLES_MAX];       /* names are owned */
	const struct kv_table *tables[RESTORED_TABLES_MAX + 1];  /* the store's own, then rows; NULL-terminated */
	size_t count, own;
	uint64_t member_id;
	struct buf config;
};

/* Rows come table by table. */
static int note_table(void *arg, struct str table, struct str key, struct str stored, struct err *e)
{
	struct restored *r = arg;
	(void)key, (void)stored;
	for (size_t i = 0; i < r->count; i++)
		if (str_eq_c(table, r->tables[i]->name))
			return 0;
	if (r->count == RESTORED_TABLES_MAX)
		return err_set(e, E_TOOBIG, "the dump holds rows of more than %d tables", RESTORED_TABLES_MAX);
	r->rows[r->count] = (struct kv_table){ .name = str_dup(table), .version = UINT8_MAX };
	r->tables[r->count] = &r->rows[r->count];
	r->count++;
	return 0;
}

static int be_the_only_voter(struct kv_txn *txn, void *arg, struct err *e)
{
	struct restored *r = arg;
	struct log_entry entry = { r->head.index, r->head.term, ENTRY_CHANGE, buf_view(&r->config) };
	return fsm_put_config(txn, &entry, e);
}

static int load(struct restored *r, struct err *e)
{
	struct fsm f = { 0 };
	struct snap_head snap = { .config = BUF_INIT };
	int rc = fsm_open(&f, r->kv_dir, r->tables, e);
	if (rc == 0)
		rc = dump_load(r->from, f.kv, r->tables, NULL, e);
	if (rc == 0)
		rc = kv_update(f.kv, be_the_only_voter, r, e);
	if (rc == 0)
		rc = fsm_reload(&f, e);
	if (rc == 0 && (f.meta.index != r->head.index || f.meta.term != r->head.term))
		rc = err_set(e, E_CORRUPT, "the dump's head and its rows are of different states");
	if (rc == 0)
		rc = snap_write(&disk_real, f.kv, r->tables, r->dir, &snap, e);
	buf_fini(&snap.config);
	fsm_close(&f);
	return rc;
}

/* As one that another member sent: what the log holds, nothing, is void before it. */
static int mark_installed(const struct restored *r, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/checkpoint", r->dir);
	AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = fd < 0 ? err_sys(e, "open '%s'", path) : snap_head_mark_installed(&disk_real, fd, path, e);
	return rc == 0 && fsync(fd) != 0 ? err_sys(e, "sync '%s'", path) : rc;
}

static int remove_kv(const struct restored *r, struct err *e)
{
	AUTO_FREE char *data = xasprintf("%s/data.mdb", r->kv_dir);
	AUTO_FREE char *lock = xasprintf("%s/lock.mdb", r->kv_dir);
	if (unlink(data) != 0 || unlink(lock) != 0 || rmdir(r->kv_dir) != 0)
		return err_sys(e, "remove '%s'", r->kv_dir);
	return 0;
}

static int write_member(const struct restored *r, struct err *e)
{
	struct raft_vote vote = { .term = r->head.term };
	int rc = state_write_member_id(&disk_real, r->dir, r->member_id, e);
	return rc == 0 ? raft_vote_store(&disk_real, r->dir, &vote, e) : rc;
}

static int restore(struct restored *r, const char *address, struct err *e)
{
	int rc = dump_each(r->from, &r->head, note_table, r, e);
	if (rc == 0 && r->head.format > STATE_FORMAT)
		rc = err_set(e, E_NEWER, "the state was written by a newer dcos-node (format %u, this one reads %u); use the newer one",
			     r->head.format, STATE_FORMAT);
	if (rc == 0 && r->head.index == 0)
		rc = err_set(e, E_INVALID, "the dump is of a cluster that has no state yet");
	if (rc == 0)
		rc = r->from->rewind(r->from->arg, e);
	if (rc == 0)
		rc = raft_io_one_voter(r->member_id, address, &r->config, e);
	if (rc == 0 && disk_real.make_dir(NULL, r->dir) != 0)
		rc = errno == EEXIST ? err_set(e, E_CONFLICT, "'%s' exists; restore into an empty state directory", r->dir)
				     : err_sys(e, "make directory '%s'", r->dir);
	if (rc == 0)
		rc = state_write_format(&disk_real, r->dir, STATE_DIR_FORMAT, e);
	if (rc == 0)
		rc = load(r, e);
	if (rc == 0)
		rc = mark_installed(r, e);
	if (rc == 0)
		rc = remove_kv(r, e);
	return rc == 0 ? write_member(r, e) : rc;
}

int store_restore(const char *dir, const struct dump_source *from, const char *address, struct dump_head *out, struct err *e)
{
	struct restored *r = xcalloc(1, sizeof(*r));
	AUTO_FREE char *kv_dir = xasprintf("%s/restored", dir);
	r->dir = dir;
	r->kv_dir = kv_dir;
	r->from = from;
	for (; fsm_tables[r->own]; r->own++)
		r->tables[r->own] = fsm_tables[r->own];
	r->count = r->own;
	rnd_bytes(&r->member_id, sizeof(r->member_id));
	r->member_id = r->member_id >> 1 | 1;            /* as a member draws it that joins */
	buf_init(&r->config, CONFIG_MAX);
	int rc = restore(r, address, e);
	if (rc == 0)
		*out = r->head;
	for (size_t i = r->own; i < r->count; i++)
		free((void *)(uintptr_t)r->rows[i].name);
	buf_fini(&r->config);
	free(r);
	return rc;
}
