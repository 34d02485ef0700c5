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
#include "proto/records.pb.h"

#define ENVELOPE_VERSION 1
#define STATE_FORMAT 1
#define REPLY_MAX ((size_t)(1 * MIB))
#define CONFIG_MAX ((size_t)(64 * KIB))

const struct kv_table fsm_meta_table = { "meta", 1 };

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

static int read_meta(struct kv_txn *txn, struct fsm *f, struct err *e)
{
	struct str v;
	uint32_t format = STATE_FORMAT;
	int rc = kv_get(txn, &fsm_meta_table, META_FORMAT, &v, e);
	if (rc == 0 && v.len == sizeof(format))
		memcpy(&format, v.p, sizeof(format));
	if (rc == 0 && format > STATE_FORMAT)
		return err_set(e, E_NEWER, "the replicated state was written by a newer dcos-node (format %u, this one reads %u); "
			       "start the newer one", format, STATE_FORMAT);
	struct applied applied = { 0, 0 };
	if (rc == 0 || rc == E_NOTFOUND)
		rc = kv_get(txn, &fsm_meta_table, META_APPLIED, &v, e);
	if (rc == 0 && v.len == sizeof(applied))
		memcpy(&applied, v.p, sizeof(applied));
	f->index = applied.index;
	f->term = applied.term;
	if (rc == 0 || rc == E_NOTFOUND)
		rc = kv_get(txn, &fsm_meta_table, META_CONFIG, &v, e);
	if (rc == 0 && v.len > sizeof(f->config_index)) {
		memcpy(&f->config_index, v.p, sizeof(f->config_index));
		buf_reset(&f->config);
		(void)buf_str(&f->config, str_from(v, sizeof(f->config_index)));
	}
	if (rc == 0 || rc == E_NOTFOUND)
		rc = kv_get(txn, &fsm_meta_table, META_CLUSTER_ID, &v, e);
	if (rc == 0)
		(void)str_put(f->cluster_id, sizeof(f->cluster_id), v);     /* meta_init has checked its length */
	return rc == E_NOTFOUND ? 0 : rc;
}

static int put_format(struct kv_txn *txn, void *arg, struct err *e)
{
	uint32_t format = STATE_FORMAT;
	(void)arg;
	return kv_put(txn, &fsm_meta_table, META_FORMAT, str_n((const char *)&format, sizeof(format)), e);
}

int fsm_open(struct fsm *f, const char *dir, const struct kv_table *const *tables, struct err *e)
{
	struct kv_options o = { .durable = false, .map_bytes = (size_t)GIB, .tables = tables };
	int rc = kv_open(dir, &o, &f->kv, e);
	if (rc != 0)
		return rc;
	buf_init(&f->config, CONFIG_MAX);
	AUTO_TXN struct kv_txn *txn = NULL;
	rc = kv_begin(f->kv, false, &txn, e);
	if (rc == 0)
		rc = read_meta(txn, f, e);
	if (rc != 0)
		return rc;
	kv_abort(MOVE(txn));
	return f->index == 0 ? kv_update(f->kv, put_format, NULL, e) : 0;
}

void fsm_close(struct fsm *f)
{
	kv_close(MOVE(f->kv));
	buf_fini(&f->config);
}

/* OP_META_INIT: the first leader names the cluster; later ones change nothing. */
static int meta_init(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	rec_MetaInit m = rec_MetaInit_init_zero;
	struct str old;
	int rc = pb_read(ctx->arena, rec_MetaInit_fields, payload, &m, e);
	if (rc != 0)
		return rc;
	if (!m.cluster_id || !m.cluster_id[0] || strlen(m.cluster_id) >= sizeof(((struct fsm *)0)->cluster_id))
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
	AUTO_ARENA struct arena arena = ARENA_INIT;
	struct op_ctx ctx = { item->entry.index, env.unix_us, slot->arg, &arena };
	rc = slot->row->apply(nested ? nested : txn, env.payload, &ctx, &item->reply, &item->err);
	if (kv_map_full(nested ? nested : txn))
		rc = E_NOSPACE;
	if (rc == 0) {
		item->err.code = 0;         /* a row that was not there on the way is no failure */
		return nested ? kv_commit(nested, e) : 0;
	}
	kv_abort(nested);
	buf_reset(&item->reply);
	if (!is_local(rc))
		return b->nest ? 0 : APPLY_NESTED;
	*e = item->err;
	(void)err_wrap(e, "apply %s, entry %llu", slot->row->name, (unsigned long long)item->entry.index);
	return rc;
}

static int put_config(struct kv_txn *txn, const struct log_entry *entry, struct err *e)
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
			rc = put_config(txn, &item->entry, e);
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
	assert(items[0].entry.index == f->index + 1);
	for (size_t i = 0; i < count; i++)
		items[i].reply.max = REPLY_MAX;
	int rc = kv_update(f->kv, apply_batch, &batch, e);
	batch.nest = rc == APPLY_NESTED;
	if (batch.nest)
		rc = kv_update(f->kv, apply_batch, &batch, e);
	if (rc != 0)
		return rc;
	AUTO_TXN struct kv_txn *txn = NULL;
	rc = kv_begin(f->kv, false, &txn, e);
	if (rc == 0)
		rc = read_meta(txn, f, e);
	assert(rc != 0 || f->index == items[count - 1].entry.index);
	return rc;
}
