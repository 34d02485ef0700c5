/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed: which rows of tables marked `feed` each command changed, so that whoever followed up to an index can go on from there,
 * on any member and after any failover. kv.c adds a row for every put and removal while a command is applied:
 *
 *   feed      index u64, number within the command u32 (both big-endian) -> table name | 0 | key
 */
#include "store/state_int.h"

const struct kv_table feed_table = { "feed", 1, false };

#define FEED_KEY_BYTES 12

struct oldest {
	uint64_t index;
	uint8_t key[FEED_KEY_BYTES];
	bool any;
};

static bool take_first(void *arg, struct str key, struct str value)
{
	struct oldest *o = arg;
	(void)value;
	if (key.len != FEED_KEY_BYTES)
		return false;
	o->any = true;
	o->index = kv_u64_of_key(str_n(key.p, 8));
	memcpy(o->key, key.p, sizeof(o->key));
	return false;
}

static int first_row(struct kv_txn *txn, struct oldest *out, struct err *e)
{
	out->any = false;
	return kv_each(txn, &feed_table, STR(""), take_first, out, e);
}

int feed_trim(struct kv_txn *txn, uint64_t index, struct err *e)
{
	struct oldest o;
	if (kv_fed(txn) == 0 || index <= FEED_ENTRIES)
		return 0;
	for (;;) {
		int rc = first_row(txn, &o, e);
		if (rc != 0 || !o.any || o.index > index - FEED_ENTRIES)
			return rc;
		rc = kv_del(txn, &feed_table, str_n((const char *)o.key, sizeof(o.key)), e);
		if (rc != 0)
			return rc;
	}
}

/* ---- reading ---- */

struct reader {
	struct kv_txn *txn;
	bool (*fn)(void *arg, const struct feed_change *c);
	void *arg;
	uint64_t reached, current;   /* last command that was told of whole; the one being told */
	bool stopped;
	struct err *e;
	int rc;
};

static bool read_row(void *arg, struct str key, struct str value)
{
	struct reader *r = arg;
	const char *zero = value.len > 0 ? memchr(value.p, 0, value.len) : NULL;
	if (key.len != FEED_KEY_BYTES || !zero) {
		r->rc = err_set(r->e, E_CORRUPT, "a row of the feed is damaged");
		return false;
	}
	struct feed_change c = { .index = kv_u64_of_key(str_n(key.p, 8)) };
	if (c.index != r->current)
		r->reached = r->current;
	r->current = c.index;
	c.table = str_n(value.p, (size_t)(zero - value.p));
	c.key = str_from(value, c.table.len + 1);
	int rc = kv_get_named(r->txn, c.table, c.key, &c.value, r->e);
	if (rc == E_NOTFOUND)
		c.value = str_n(NULL, 0);
	else if (rc != 0)
		r->rc = rc;
	r->stopped = r->rc != 0 || !r->fn(r->arg, &c);
	return !r->stopped;
}

int store_feed(struct kv_txn *txn, uint64_t after, bool (*fn)(void *arg, const struct feed_change *c), void *arg, uint64_t *reached,
	       struct err *e)
{
	struct oldest o;
	uint8_t from[8];
	struct fsm_meta meta = { .config = BUF_INIT };
	int rc = fsm_read_meta(txn, &meta, e);
	buf_fini(&meta.config);
	if (rc == 0)
		rc = first_row(txn, &o, e);
	if (rc != 0)
		return rc;
	if (meta.index > FEED_ENTRIES && after + FEED_ENTRIES < meta.index && (!o.any || o.index > after))
		return err_set(e, E_NOTFOUND, "changes as old as index %llu are no longer kept; read the table and follow from its index",
			       (unsigned long long)after);
	struct reader r = { txn, fn, arg, after, after, false, e, 0 };
	e->code = 0;
	rc = kv_each(txn, &feed_table, kv_key_u64(after + 1, from), read_row, &r, e);
	*reached = r.stopped ? r.reached : r.current;
	return rc == 0 ? r.rc : rc;
}
