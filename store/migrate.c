/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats of the replicated state. A row says what changed after a format and how to undo it; a start runs the rows it needs in
 * one transaction with the note of the new format, so a state is of one format or of the other, never between. Steps may look
 * at the tables only: every member takes them by itself and must arrive at the same rows.
 *
 * Going back is for the operator who finds the new version unfit: offline, one step, on the only master of a cluster. Format 1
 * knows one master, which it calls 1, and has a copy of LMDB's file for a checkpoint; the log's form is the same.
 */
#include "store/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "store/raft_int.h"

struct migration {
	uint32_t from;                                           /* brings a state of this format to the next */
	const char *name;
	int (*up)(struct kv_txn *txn, struct err *e);            /* NULL: new tables begin empty, and nothing else changed */
	int (*down)(struct kv_txn *txn, struct err *e);
};

static int forget_clients_and_feed(struct kv_txn *txn, struct err *e)
{
	int rc = 0;
	for (size_t i = 1; rc == 0 && fsm_tables[i]; i++)        /* all but meta */
		rc = kv_clear(txn, fsm_tables[i], e);
	return rc;
}

static const struct migration migrations[] = {
	/* from  name                                        up    down */
	{ 1,     "answers to repeated commands, change feed", NULL, forget_clients_and_feed },
};
static_assert(ARRAY_LEN(migrations) == STATE_FORMAT - 1, "a row for each step");

int migrate_up(struct kv_txn *txn, uint32_t from, struct err *e)
{
	assert(from >= 1);
	for (size_t i = from - 1; i < ARRAY_LEN(migrations); i++) {
		const struct migration *m = &migrations[i];
		assert(m->from == i + 1);
		if (m->up && m->up(txn, e) != 0)
			return err_wrap(e, "bring the replicated state from format %u to %u (%s)", m->from, m->from + 1, m->name);
	}
	return 0;
}

int migrate_down(struct kv_txn *txn, struct err *e)
{
	const struct migration *m = &migrations[STATE_FORMAT - 2];
	return m->down(txn, e) == 0 ? 0 : err_wrap(e, "bring the replicated state back to format %u (%s)", m->from, m->name);
}

/* ---- one step back ---- */

#define FORMER_MEMBER 1

/* What the former format has beside meta; everything else goes. */
static const struct kv_table former_tables[] = {
	{ .name = "mesos.agents", .version = 1 },
	{ .name = "mesos.frameworks", .version = 1 },
	{ .name = "mesos.intents", .version = 1 },
	{ .name = "mesos.counters", .version = 1 },
	{ .name = "marathon", .version = 1 },
	{ .name = "marathon_apps", .version = 1 },
	{ .name = "marathon_app_versions", .version = 1 },
	{ .name = "marathon_instances", .version = 1 },
	{ .name = "marathon_failures", .version = 1 },
	{ .name = "marathon_deployments", .version = 1 },
};
#define OWN_TABLES_MAX 8

struct back {
	struct store *store;             /* owned; opened, not started */
	const char *dir;
	struct fsm fsm;                  /* owned */
	const struct kv_table *tables[ARRAY_LEN(former_tables) + OWN_TABLES_MAX + 1];
	struct buf config;
};

/* A value of a version that the former executable may not read stops it. */
static bool readable(void *arg, struct str key, struct str value)
{
	(void)arg, (void)key, (void)value;
	return true;
}

static int change_tables(struct kv_txn *txn, void *arg, struct err *e)
{
	struct back *b = arg;
	struct log_entry config = { b->fsm.meta.config_index, b->fsm.meta.term, ENTRY_CHANGE, buf_view(&b->config) };
	int rc = migrate_down(txn, e);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(former_tables); i++)
		rc = kv_each(txn, &former_tables[i], STR(""), readable, NULL, e);
	if (rc == 0)
		rc = kv_drop_others(txn, e);
	if (rc == 0)
		rc = fsm_put_config(txn, &config, e);
	return rc == 0 ? fsm_put_format(txn, STATE_FORMAT - 1, e) : rc;
}

static int check_alone(struct back *b, struct err *e)
{
	struct raft_configuration conf;
	int rc = raft_io_decode_config(buf_view(&b->fsm.meta.config), &conf, e);
	if (rc != 0)
		return rc;
	unsigned members = conf.n;
	AUTO_FREE char *address = xstrdup(members > 0 ? conf.servers[0].address : "");
	raft_configuration_close(&conf);
	if (members != 1)
		return err_set(e, E_INVALID, "the cluster has %u masters, and the version before knows one; remove the others first", members);
	return raft_io_one_voter(FORMER_MEMBER, address, &b->config, e);
}

/* Everything in the log is in the state: the former executable does not know every command. */
static int check_log(struct back *b, struct err *e)
{
	AUTO_FREE char *dir = xasprintf("%s/log", b->dir);
	struct raft_log *log = NULL;
	int rc = raft_log_open(&disk_real, dir, 0, &log, e);
	if (rc == 0 && raft_log_last(log) != b->fsm.meta.index)
		rc = err_set(e, E_INVALID, "the log in '%s' goes on behind the state; start the master once more, wait until it leads, and stop it",
			     b->dir);
	raft_log_close(log);
	return rc;
}

static int open_state(struct back *b, struct err *e)
{
	AUTO_FREE char *kv = xasprintf("%s/kv", b->dir);
	AUTO_FREE char *clean = xasprintf("%s/clean", b->dir);
	size_t n = 0;
	for (; fsm_tables[n]; n++) {
		assert(n < OWN_TABLES_MAX);
		b->tables[n] = fsm_tables[n];
	}
	for (size_t i = 0; i < ARRAY_LEN(former_tables); i++)
		b->tables[n++] = &former_tables[i];
	if (access(clean, F_OK) != 0)
		return err_set(e, E_INVALID, "the master of '%s' was not stopped in order; start it once more and stop it with SIGTERM", b->dir);
	int rc = fsm_open(&b->fsm, kv, b->tables, e);
	if (rc == 0)
		rc = check_alone(b, e);
	return rc == 0 ? check_log(b, e) : rc;
}

static int copy_state(struct back *b, struct err *e)
{
	AUTO_FREE char *tmp = xasprintf("%s/checkpoint.tmp", b->dir);
	AUTO_FREE char *path = xasprintf("%s/checkpoint.mdb", b->dir);
	AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "create '%s'", tmp);
	int rc = kv_copy(b->fsm.kv, fd, e);
	if (rc == 0 && rename(tmp, path) != 0)
		rc = err_sys(e, "rename '%s'", tmp);
	if (rc == 0 && disk_real.sync_dir(NULL, b->dir) != 0)
		rc = err_sys(e, "sync directory '%s'", b->dir);
	return rc;
}

static int drop(const struct back *b, const char *name, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", b->dir, name);
	if (unlink(path) != 0 && errno != ENOENT)
		return err_sys(e, "remove '%s'", path);
	return disk_real.sync_dir(NULL, b->dir) == 0 ? 0 : err_sys(e, "sync directory '%s'", b->dir);
}

/* In this order a crash leaves what one of the two executables starts on. */
static int step_back(struct back *b, struct err *e)
{
	int rc = open_state(b, e);
	if (rc == 0)
		rc = drop(b, "clean", e);
	if (rc == 0)
		rc = kv_update(b->fsm.kv, change_tables, b, e);
	if (rc == 0)
		rc = copy_state(b, e);
	if (rc == 0)
		rc = state_write_format(&disk_real, b->dir, STATE_DIR_FORMAT - 1, e);
	if (rc == 0)
		rc = drop(b, "checkpoint", e);
	if (rc == 0)
		rc = drop(b, "member", e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *clean = xasprintf("%s/clean", b->dir);
	rc = kv_sync(b->fsm.kv, e);
	return rc == 0 ? disk_write_file(&disk_real, b->dir, clean, "", 0, e) : rc;
}

int store_downgrade(struct loop *l, const char *dir, struct err *e)
{
	AUTO_FREE char *format = xasprintf("%s/format", dir);
	struct store_config c = { .dir = dir, .address = "" };
	struct back *b = xcalloc(1, sizeof(*b));
	b->dir = dir;
	buf_init(&b->config, CONFIG_MAX);
	int rc = access(format, F_OK) == 0 ? 0 : err_set(e, E_NOTFOUND, "'%s' is not the state directory of a master", dir);
	if (rc == 0)
		rc = store_open(l, &c, &b->store, e);
	if (rc == 0 && b->store->dir_format < STATE_DIR_FORMAT)
		rc = err_set(e, E_CONFLICT, "'%s' is of the format before already", dir);
	if (rc == 0)
		rc = step_back(b, e);
	fsm_close(&b->fsm);
	store_close(b->store);
	buf_fini(&b->config);
	free(b);
	return rc;
}
