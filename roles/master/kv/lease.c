/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys with a time to live. The leader alone measures: for each lease it remembers when, on its own monotonic clock, it first saw
 * the last renewal; when the time to live has passed since, it proposes to delete the key unless it was renewed meanwhile. No wall
 * clock is compared with another, so clocks may jump; a new leader gives every lease its full time again: a key may live longer
 * than it asked for, never shorter.
 */
#include "net/limits.h"
#include "net/base/log.h"
#include "net/pb_util.h"
#include "proto/records.pb.h"
#include "roles/master/kv/keyval_int.h"

#define LOOK_US (100 * MSEC)
#define EXPIRE_BATCH 1000

struct lease {
	uint64_t renewed;
	int64_t seen_us;         /* loop time at which that was first seen */
	uint64_t round;          /* of the last look that found the row */
};

struct leases {
	struct keyval *kv;
	struct map keys;         /* key -> struct lease, owned */
	struct loop_timer timer;
	uint64_t round;
};

struct look {
	struct leases *ls;
	struct arena arena;
	int64_t now_us;
	keyval_Expire due;
	struct err err;
};

static bool look_at(void *arg, struct str key, struct str value)
{
	struct look *k = arg;
	keyval_Lease row;
	if (pb_read(&k->arena, keyval_Lease_fields, value, &row, &k->err) != 0)
		return false;
	struct lease *l = map_find(&k->ls->keys, key);
	if (!l) {
		l = xcalloc(1, sizeof(*l));
		map_put(&k->ls->keys, key, l);
	}
	l->round = k->ls->round;
	if (l->renewed != row.renewed) {
		l->renewed = row.renewed;
		l->seen_us = k->now_us;
	}
	if (k->now_us - l->seen_us < row.ttl_us || k->due.keys_count == EXPIRE_BATCH)
		return true;
	keyval_Expired *x = &k->due.keys[k->due.keys_count++];
	*x = (keyval_Expired){ .key = arena_str(&k->arena, key), .has_renewed = true, .renewed = row.renewed };
	return true;
}

static void forget_ended(struct leases *ls)
{
	map_each(&ls->keys, entry) {
		struct lease *l = entry->value;
		if (l->round == ls->round)
			continue;
		map_remove(&ls->keys, str_of(entry->key));
		free(l);
	}
}

static int look(struct leases *ls, struct look *k)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	AUTO_BUF struct buf out = BUF_INIT;
	struct store *s = ls->kv->master->store;
	int rc = store_read(s, &txn, &k->err);
	if (rc != 0)
		return rc;
	if (kv_count(txn, &keyval_leases) == 0 && map_count(&ls->keys) == 0)
		return 0;
	ls->round++;
	k->due.keys = arena_array(&k->arena, keyval_Expired, EXPIRE_BATCH);
	rc = kv_each(txn, &keyval_leases, STR(""), look_at, k, &k->err);
	if (rc != 0 || k->err.code != 0)
		return k->err.code;
	forget_ended(ls);
	if (k->due.keys_count == 0)
		return 0;
	rc = pb_write(keyval_Expire_fields, &k->due, &out, &k->err);
	if (rc == 0)
		store_propose_forget(s, rec_Op_OP_KV_EXPIRE, buf_view(&out));
	return rc;
}

static void on_look(struct loop_timer *t)
{
	struct leases *ls = container_of(t, struct leases, timer);
	struct look k = { .ls = ls, .arena = ARENA_INIT, .now_us = loop_now_us(ls->kv->loop) };
	if (look(ls, &k) != 0)
		LOG(WARN, "leases not looked at", "error=\"%s\"", k.err.text);
	arena_fini(&k.arena);
	if (map_count(&ls->keys) > 0)
		loop_timer_start_lazy(ls->kv->loop, t, LOOK_US, on_look);
}

/* After each applied batch: the timer runs only while there are leases. */
static void on_applied(void *arg, uint64_t index)
{
	struct keyval *kv = arg;
	struct leases *ls = kv->leases;
	AUTO_TXN struct kv_txn *txn = NULL;
	struct err e = { 0 };
	(void)index;
	if (!ls || loop_timer_active(&ls->timer) || store_read(kv->master->store, &txn, &e) != 0)
		return;
	if (kv_count(txn, &keyval_leases) > 0)
		loop_timer_start(kv->loop, &ls->timer, 0, on_look);
}

void leases_start(struct keyval *kv) { store_on_applied(kv->master->store, on_applied, kv); }

void leases_lead(struct keyval *kv, bool leads)
{
	struct leases *ls = kv->leases;
	if (leads == (ls != NULL))
		return;
	if (leads) {
		ls = xcalloc(1, sizeof(*ls));
		ls->kv = kv;
		kv->leases = ls;
		loop_timer_start(kv->loop, &ls->timer, 0, on_look);
		return;
	}
	loop_timer_stop(&ls->timer);
	map_each(&ls->keys, entry)
		free(entry->value);
	map_fini(&ls->keys);
	free(ls);
	kv->leases = NULL;
}
