/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replicated state machine: takes committed log entries to the rows that apply them. All entries of a call share one LMDB
 * transaction together with the index they bring the state to. A command that is refused must leave nothing behind; so when one
 * is, the transaction begins again with a nested one for each command (they cost LMDB 2 MiB of page list each, which is why the
 * first try goes without). Whether a command is refused may depend only on the state and the command: errors of this machine
 * (disk, damage, a newer format) are not answers, they end the call.
 *
 * Envelope: version u8 | op u32 | unix_us i64 | client u64 | serial u64 | payload, little-endian.
 */
#include "store/state_int.h"

#include "net/pb_util.h"
#include "store/migrate.h"
#include "proto/records.pb.h"

#define ENVELOPE_VERSION 1
#define REPLY_MAX ((size_t)(1 * MIB))

static const struct kv_table fsm_meta_table = { "meta", 1, false };
const struct kv_table *const fsm_tables[] = { &fsm_meta_table, &once_table, &once_age_table, &feed_table, NULL };

#define META_FORMAT STR("format")
#define META_APPLIED STR("applied")
#define META_CONFIG STR("config")
#define META_CLUSTER_ID STR("cluster_id")

struct applied {
	uint64_t index, term;
};

/* ---- envelope ---- */

void envelope_write(const struct envelope *v, uint8_t out[ENVELOPE_BYTES])
{
	out[0] = ENVELOPE_VERSION;
	memcpy(out + 1, &v->op, sizeof(v->op));
	memcpy(out + 5, &v->unix_us, sizeof(v->unix_us));
	memcpy(out + 13, &v->client, sizeof(v->client));
	memcpy(out + 21, &v->serial, sizeof(v->serial));
}

int envelope_read(struct str data, struct envelope *out, struct err *e)
{
	if (data.len < ENVELOPE_BYTES)
		return err_set(e, E_MALFORMED, "a command of %zu bytes is too short", data.len);
	if ((uint8_t)data.p[0] > ENVELOPE_VERSION)
		return err_set(e, E_NEWER, "the log holds a command of version %u, this dcos-node reads up to %u; start the newer one",
			       (uint8_t)data.p[0], ENVELOPE_VERSION);
	memcpy(&out->op, data.p + 1, sizeof(out->op));
	memcpy(&out->unix_us, data.p + 5, sizeof(out->unix_us));
	memcpy(&out->client, data.p + 13, sizeof(out->client));
	memcpy(&out->serial, data.p + 21, sizeof(out->serial));
	out->payload = str_from(data, ENVELOPE_BYTES);
	return 0;
}

/* ---- meta table ---- */

/* E_NOTFOUND is fine: a state that has nothing yet. */
static int get_meta(struct kv_txn *txn, struct str key, struct str *out, struct err *e)
{
	int rc = kv_get(txn, &fsm_meta_table, key, out, e);
	if (rc != E_NOTFOUND)
		return rc;
	*out = STR("");
	return 0;
}

int fsm_read_meta(struct kv_txn *txn, struct fsm_meta *out, struct err *e)
{
	struct str v;
	uint32_t format = STATE_FORMAT;
	struct applied applied = { 0, 0 };
	int rc = get_meta(txn, META_FORMAT, &v, e);
	if (rc == 0 && v.len == sizeof(format))
		memcpy(&format, v.p, sizeof(format));
	if (rc == 0 && format == 0)
		return err_set(e, E_CORRUPT, "the replicated state says that it is of format 0; restore the state directory from a backup");
	if (rc == 0 && format > STATE_FORMAT)
		return err_set(e, E_NEWER, "the replicated state was written by a newer dcos-node (format %u, this one reads %u); "
			       "start the newer one", format, STATE_FORMAT);
	if (rc == 0)
		rc = get_meta(txn, META_APPLIED, &v, e);
	if (rc == 0 && v.len == sizeof(applied))
		memcpy(&applied, v.p, sizeof(applied));
	out->format = format;
	out->index = applied.index;
	out->term = applied.term;
	if (rc == 0)
		rc = get_meta(txn, META_CONFIG, &v, e);
	buf_reset(&out->config);
	out->config_index = 0;
	if (rc == 0 && v.len > sizeof(out->config_index)) {
		memcpy(&out->config_index, v.p, sizeof(out->config_index));
		(void)buf_str(&out->config, str_from(v, sizeof(out->config_index)));
	}
	if (rc == 0)
		rc = get_meta(txn, META_CLUSTER_ID, &v, e);
	if (rc == 0)
		(void)str_put(out->cluster_id, sizeof(out->cluster_id), v);     /* meta_init has checked its length */
	return rc;
}

int fsm_put_format(struct kv_txn *txn, uint32_t format, struct err *e)
{
	return kv_put(txn, &fsm_meta_table, META_FORMAT, str_n((const char *)&format, sizeof(format)), e);
}

static int bring_up(struct kv_txn *txn, void *arg, struct err *e)
{
	const struct fsm_meta *meta = arg;
	int rc = migrate_up(txn, meta->format, e);
	return rc == 0 ? fsm_put_format(txn, STATE_FORMAT, e) : rc;
}

int fsm_reload(struct fsm *f, struct err *e)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	int rc = kv_begin(f->kv, false, &txn, e);
	if (rc == 0)
		rc = fsm_read_meta(txn, &f->meta, e);
	if (rc != 0 || f->meta.format == STATE_FORMAT)
		return rc;
	kv_abort(MOVE(txn));
	rc = kv_update(f->kv, bring_up, &f->meta, e);
	if (rc == 0)
		f->meta.format = STATE_FORMAT;
	return rc;
}

static int begin_empty(struct kv_txn *txn, void *arg, struct err *e)
{
	(void)arg;
	return fsm_put_format(txn, STATE_FORMAT, e);
}


int fsm_open(struct fsm *f, const char *dir, const struct kv_table *const *tables, struct err *e)
{
	struct kv_options o = { .durable = false, .map_bytes = (size_t)GIB, .tables = tables };
	int rc = kv_open(dir, &o, &f->kv, e);
	if (rc != 0)
		return rc;
	buf_init(&f->meta.config, CONFIG_MAX);
	rc = fsm_reload(f, e);
	return rc == 0 && f->meta.index == 0 ? kv_update(f->kv, begin_empty, NULL, e) : rc;
}

void fsm_close(struct fsm *f)
{
	kv_close(MOVE(f->kv));
	buf_fini(&f->meta.config);
}

/* OP_META_INIT: the first leader names the cluster; later ones change nothing. */
static int meta_init(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	rec_MetaInit m = rec_MetaInit_init_zero;
	struct str old;
	int rc = pb_read(ctx->arena, rec_MetaInit_fields, payload, &m, e);
	if (rc != 0)
		return rc;
	if (!m.cluster_id || !m.cluster_id[0] || strlen(m.cluster_id) >= sizeof(((struct fsm_meta *)0)->cluster_id))
		return err_set(e, E_INVALID, "a cluster id has 1 to 63 characters");
	(void)reply;
	rc = kv_get(txn, &fsm_meta_table, META_CLUSTER_ID, &old, e);
	return rc == E_NOTFOUND ? kv_put(txn, &fsm_meta_table, META_CLUSTER_ID, str_of(m.cluster_id), e) : rc;
}

const struct op_row fsm_ops[1] = {
	/* number            name         level  apply */
	{ rec_Op_OP_META_INIT, "META_INIT", 1,     meta_init },
};

/* ---- applying ---- */

#define APPLY_NESTED 1                   /* no error: a command was refused, begin again with nested transactions */

struct fsm_batch {
	const struct fsm *fsm;
	struct fsm_item *items;
	size_t count;
	bool nest;
};

static const struct op_slot *find_op(const struct fsm *f, uint32_t number)
{
	for (size_t i = 0; i < f->op_count; i++)
		if (f->ops[i].row->number == number)
			return &f->ops[i];
	return NULL;
}

/* An error of this machine, not an answer to the command. */
static bool is_local(int code)
{
	return code == E_IO || code == E_CORRUPT || code == E_NEWER || code == E_NOSPACE;
}

/* Its own row's apply, unless the same command of the same client was done before. */
static int apply_row(const struct op_slot *slot, struct kv_txn *txn, const struct envelope *env, struct fsm_item *item, struct err *e)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	struct op_ctx ctx = { item->entry.index, env->unix_us, slot->arg, &arena };
	int rc = env->client != 0 ? once_find(txn, env, &item->reply, &item->err, e) : E_NOTFOUND;
	if (rc != E_NOTFOUND)
		return rc;
	e->code = 0;
	kv_feed(txn, &feed_table, item->entry.index);
	rc = slot->row->apply(txn, env->payload, &ctx, &item->reply, &item->err);
	if (kv_map_full(txn))
		return err_set(e, E_NOSPACE, "the map is full");
	if (rc == 0)
		item->err.code = 0;         /* a row that was not there on the way is no failure */
	else if (is_local(rc))
		*e = item->err;
	if (rc == 0)
		rc = feed_trim(txn, item->entry.index, e);
	if (rc == 0 && env->client != 0)
		rc = once_note(txn, env, item->entry.index, buf_view(&item->reply), &item->err, e);
	return rc;
}

static int apply_command(const struct fsm_batch *b, struct kv_txn *txn, struct fsm_item *item, struct err *e)
{
	struct envelope env;
	int rc = envelope_read(item->entry.data, &env, e);
	if (rc == E_NEWER)
		return rc;
	if (rc != 0) {
		item->err = *e;         /* the same on every member: refused, not fatal */
		return 0;
	}
	const struct op_slot *slot = find_op(b->fsm, env.op);
	if (!slot)
		return err_set(e, E_NEWER, "the log holds command %u (entry %llu), which this dcos-node does not know; start the newer one",
			       env.op, (unsigned long long)item->entry.index);
	struct kv_txn *nested = NULL;
	if (b->nest && kv_nest(txn, &nested, e) != 0)
		return e->code;
	rc = apply_row(slot, nested ? nested : txn, &env, item, e);
	if (rc == 0)
		return nested ? kv_commit(nested, e) : 0;
	kv_abort(nested);
	buf_reset(&item->reply);
	if (is_local(rc)) {
		(void)err_wrap(e, "apply %s, entry %llu", slot->row->name, (unsigned long long)item->entry.index);
		return rc;
	}
	if (!b->nest)
		return APPLY_NESTED;
	return env.client != 0 && rc != ONCE_LATER ? once_note(txn, &env, item->entry.index, STR(""), &item->err, e) : 0;
}

int fsm_put_config(struct kv_txn *txn, const struct log_entry *entry, struct err *e)
{
	AUTO_BUF struct buf b = BUF_INIT;
	(void)buf_append(&b, &entry->index, sizeof(entry->index));
	(void)buf_str(&b, entry->data);
	return kv_put(txn, &fsm_meta_table, META_CONFIG, buf_view(&b), e);
}

static int apply_batch(struct kv_txn *txn, void *arg, struct err *e)
{
	struct fsm_batch *b = arg;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < b->count; i++) {
		struct fsm_item *item = &b->items[i];
		buf_reset(&item->reply);
		item->err.code = 0;
		if (item->entry.type == ENTRY_COMMAND)
			rc = apply_command(b, txn, item, e);
		else if (item->entry.type == ENTRY_CHANGE)
			rc = fsm_put_config(txn, &item->entry, e);
	}
	if (rc != 0)
		return rc;
	const struct log_entry *last = &b->items[b->count - 1].entry;
	struct applied applied = { last->index, last->term };
	return kv_put(txn, &fsm_meta_table, META_APPLIED, str_n((const char *)&applied, sizeof(applied)), e);
}

int fsm_apply(struct fsm *f, struct fsm_item *items, size_t count, struct err *e)
{
	struct fsm_batch batch = { .fsm = f, .items = items, .count = count };
	assert(count > 0);
	assert(items[0].entry.index == f->meta.index + 1);
	for (size_t i = 0; i < count; i++)
		items[i].reply.max = REPLY_MAX;
	int rc = kv_update(f->kv, apply_batch, &batch, e);
	batch.nest = rc == APPLY_NESTED;
	if (batch.nest)
		rc = kv_update(f->kv, apply_batch, &batch, e);
	if (rc != 0)
		return rc;
	rc = fsm_reload(f, e);
	assert(rc != 0 || f->meta.index == items[count - 1].entry.index);
	return rc;
}
