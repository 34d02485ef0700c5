/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A member's directory without a running store: look at it, make it the only voter when the others are lost for ever, or set it
 * aside so that the member joins anew. The directory is locked as a running store locks it.
 */
#include "store/raft_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "net/base/time.h"

static int take_change(void *arg, const struct log_entry *entry, struct err *e)
{
	struct buf *config = arg;
	(void)e;
	if (entry->type == ENTRY_CHANGE) {
		buf_reset(config);
		(void)buf_str(config, entry->data);
	}
	return 0;
}

struct offline {
	struct store *store;             /* owned; opened, not started */
	struct raft_log *log;            /* owned */
	struct raft_vote vote;
	struct buf config;               /* the latest, committed or not */
};

static void offline_close(struct offline *o)
{
	struct err ignored;
	if (o->store && o->store->fsm.kv)
		(void)snap_mark_clean(o->store, &ignored);      /* without it the next start replays */
	raft_log_close(o->log);
	store_close(o->store);
	buf_fini(&o->config);
}

static int offline_open(struct loop *l, const char *dir, const char *address, const struct kv_table *const *tables,
			struct offline *o, struct err *e)
{
	AUTO_FREE char *log = xasprintf("%s/log", dir);
	AUTO_FREE char *format = xasprintf("%s/format", dir);
	struct store_config c = { .dir = dir, .address = address ? address : "" };
	*o = (struct offline){ .config = BUF_INIT };
	if (access(format, F_OK) != 0)
		return err_set(e, E_NOTFOUND, "'%s' is not the state directory of a master", dir);
	int rc = store_open(l, &c, &o->store, e);
	if (rc == 0)
		store_register(o->store, tables, NULL, 0, NULL);
	if (rc == 0)
		rc = snap_boot(o->store, e);
	if (rc == 0)
		rc = raft_vote_load(o->store->disk, dir, &o->vote, e);
	if (rc == 0)
		rc = raft_log_open(o->store->disk, log, 0, &o->log, e);
	if (rc == 0)
		(void)buf_str(&o->config, buf_view(&o->store->fsm.meta.config));
	return rc == 0 ? raft_log_read(o->log, raft_log_first(o->log), take_change, &o->config, e) : rc;
}

static int facts_of(const struct offline *o, struct store_facts *out, struct err *e)
{
	const struct fsm_meta *meta = &o->store->fsm.meta;
	struct raft_configuration conf;
	*out = (struct store_facts){ .member_id = o->store->member_id, .term = o->vote.term,
				     .last_index = MAX(raft_log_last(o->log), meta->index), .last_term = meta->term };
	(void)snprintf(out->cluster_id, sizeof(out->cluster_id), "%s", meta->cluster_id);
	if (raft_log_last(o->log) > meta->index && raft_log_term(o->log, raft_log_last(o->log), &out->last_term, e) != 0)
		return e->code;
	if (o->config.len == 0)
		return 0;
	int rc = raft_io_decode_config(buf_view(&o->config), &conf, e);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < conf.n && i < STORE_MEMBERS_MAX; i++) {
		struct store_member *m = &out->members[out->member_count++];
		m->id = conf.servers[i].id;
		m->voter = conf.servers[i].role == RAFT_VOTER;
		m->self = m->id == out->member_id;
		(void)snprintf(m->address, sizeof(m->address), "%s", conf.servers[i].address);
	}
	raft_configuration_close(&conf);
	return 0;
}

int store_inspect(struct loop *l, const char *dir, const struct kv_table *const *tables, struct store_facts *out, struct err *e)
{
	struct offline o;
	int rc = offline_open(l, dir, NULL, tables, &o, e);
	if (rc == 0)
		rc = facts_of(&o, out, e);
	offline_close(&o);
	return rc;
}

/* A configuration with this member alone, as the next entry of the log, in a term of its own. */
static int append_alone(struct offline *o, const char *address, const struct store_facts *facts, struct err *e)
{
	AUTO_BUF struct buf conf = BUF_INIT;
	int rc = raft_io_one_voter(facts->member_id, address, &conf, e);
	if (rc != 0)
		return rc;
	o->vote.term = MAX(o->vote.term, facts->last_term) + 1;
	o->vote.voted_for = facts->member_id;
	struct log_entry entry = { facts->last_index + 1, o->vote.term, ENTRY_CHANGE, buf_view(&conf) };
	rc = raft_vote_store(o->store->disk, o->store->dir, &o->vote, e);
	if (rc == 0 && raft_log_last(o->log) + 1 != entry.index)
		rc = raft_log_reset(o->log, entry.index, e);
	if (rc == 0 && raft_log_room(o->log) < log_entry_bytes(conf.len))
		rc = raft_log_prepare(o->log, e);
	if (rc == 0)
		rc = raft_log_append(o->log, &entry, 1, e);
	return rc;
}

int store_recover(struct loop *l, const char *dir, const char *address, const struct kv_table *const *tables,
		  struct store_facts *out, struct err *e)
{
	struct offline o;
	int rc = offline_open(l, dir, address, tables, &o, e);
	if (rc == 0)
		rc = facts_of(&o, out, e);
	if (rc == 0)
		rc = append_alone(&o, address, out, e);
	offline_close(&o);
	return rc;
}

/* ---- setting aside ---- */

static const char *const parts[] = { "log", "kv", "checkpoint", "checkpoint.mdb", "clean", "vote.0", "vote.1", "member", "format" };

int store_forget(const char *dir, struct err *e)
{
	AUTO_FREE char *aside = xasprintf("%s/damaged-%lld", dir, (long long)time(NULL));
	if (disk_real.make_dir(NULL, aside) != 0 && errno != EEXIST)
		return err_sys(e, "make directory '%s'", aside);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		AUTO_FREE char *from = xasprintf("%s/%s", dir, parts[i]);
		AUTO_FREE char *to = xasprintf("%s/%s", aside, parts[i]);
		if (disk_real.rename(NULL, from, to) != 0 && errno != ENOENT)
			return err_sys(e, "move '%s' to '%s'", from, aside);
	}
	return disk_real.sync_dir(NULL, dir) == 0 ? 0 : err_sys(e, "sync directory '%s'", dir);
}
