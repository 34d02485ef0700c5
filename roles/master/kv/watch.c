/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches: whoever watches a prefix gets its changes in order, revision by revision, from this master's own applied state.
 * All that are not held up share one reading of the feed, a bounded number of changes at a time. A key that changes again before it
 * is read is told with its newest value only. Every BEAT_US a watch hears how far it has come, so that it can be resumed from there.
 */
#include "net/limits.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "roles/master/kv/keyval_int.h"

#define BATCH 512                        /* changes read at a time; one command's stay together */
#define BATCH_MAX (BATCH + LIMIT_KV_OPS + 1000)
#define BEAT_US (10 * SEC)
#define AGAIN_US (20 * MSEC)             /* a watcher that is full is asked again */

struct watch {
	struct list link;
	struct keyval *kv;
	char *prefix;                    /* owned */
	uint64_t after;                  /* told up to this index */
	bool full;
	struct watch_sink sink;
};

/* ---- telling ---- */

struct change {
	uint64_t index;
	keyval_Event event;
};

struct batch {
	struct arena arena;
	struct change *changes;
	keyval_Item *items;
	size_t count;
	uint64_t upto;                   /* everything up to here is in it */
	int rc;                          /* of a row that could not be read */
	struct err err;
};

static void end_watch(struct watch *w, const struct err *e)
{
	struct watch_sink sink = w->sink;
	watch_free(w);
	sink.ended(sink.arg, e);
}

/* One after the other, until the sink is full. */
static void tell(struct watch *w, const struct batch *b)
{
	keyval_Event *events = NULL;
	size_t i = 0;
	while (i < b->count && !w->full) {
		uint64_t index = b->changes[i].index;
		size_t n = 0, end = i;
		while (end < b->count && b->changes[end].index == index)
			end++;
		if (index > w->after) {
			events = events ? events : xcalloc(b->count, sizeof(*events));
			for (; i < end; i++)
				if (cstr_starts(b->changes[i].event.item->key, w->prefix))
					events[n++] = b->changes[i].event;
			keyval_Events ev = { .has_revision = true, .revision = index, .changes_count = (pb_size_t)n, .changes = events };
			w->full = n > 0 && !w->sink.send(w->sink.arg, &ev);
			w->after = index;
		}
		i = end;
	}
	if (i == b->count)
		w->after = MAX(w->after, b->upto);
	free(events);
}

static bool read_change(void *arg, const struct feed_change *c)
{
	struct batch *b = arg;
	if (b->count >= BATCH && c->index != b->changes[b->count - 1].index)
		return false;
	b->upto = c->index;
	if (!str_eq_c(c->table, keyval_rows.name) || b->count == BATCH_MAX)
		return true;
	struct change *change = &b->changes[b->count];
	keyval_Item *item = &b->items[b->count];
	*item = (keyval_Item){ .key = arena_str(&b->arena, c->key) };
	if (c->value.p)
		b->rc = table_item(&b->arena, c->key, c->value, item, &b->err);
	if (b->rc != 0)
		return false;
	if (c->value.p && item->revision != c->index)
		return true;                     /* it changed again: told there */
	*change = (struct change){ c->index, { .has_kind = true, .kind = c->value.p ? keyval_OpKind_PUT : keyval_OpKind_DELETE, .item = item } };
	b->count++;
	return true;
}

static int read_batch(struct keyval *kv, uint64_t after, struct batch *b)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	uint64_t reached = after;
	int rc = store_read(kv->master->store, &txn, &b->err);
	if (rc != 0)
		return rc;
	b->changes = arena_array(&b->arena, struct change, BATCH_MAX);
	b->items = arena_array(&b->arena, keyval_Item, BATCH_MAX);
	rc = store_feed(txn, after, read_change, b, &reached, &b->err);
	b->upto = reached;
	return rc != 0 ? rc : b->rc;
}

/* The index from which somebody wants to be told; false: all are, or are full. */
static bool lowest(struct keyval *kv, uint64_t *out)
{
	*out = store_applied(kv->master->store);
	bool any = false;
	list_each(&kv->watches, it) {
		struct watch *w = list_entry(it, struct watch, link);
		if (w->full || w->after >= *out)
			continue;
		*out = w->after;
		any = true;
	}
	return any;
}

static void on_again(struct loop_timer *t)
{
	struct keyval *kv = container_of(t, struct keyval, again);
	list_each(&kv->watches, it) {
		struct watch *w = list_entry(it, struct watch, link);
		if (w->full && !w->sink.full(w->sink.arg))
			watch_go_on(w);
		else if (w->full)
			loop_timer_start(kv->loop, t, AGAIN_US, on_again);
	}
}

/* End those that stand at `after`: what follows it cannot be read. */
static void end_at(struct keyval *kv, uint64_t after, const struct err *e)
{
	list_each_safe(&kv->watches, it) {
		struct watch *w = list_entry(it, struct watch, link);
		if (w->after == after && !w->full)
			end_watch(w, e);
	}
}

static void on_more(struct loop_timer *t);

/* One batch for all; on_pump comes again while there is more. */
static void on_pump(struct loop_defer *d)
{
	struct keyval *kv = container_of(d, struct keyval, pump);
	struct batch b = { .arena = ARENA_INIT };
	uint64_t after;
	if (!lowest(kv, &after))
		return;
	int rc = read_batch(kv, after, &b);
	if (rc != 0) {
		end_at(kv, after, &b.err);
	} else {
		list_each_safe(&kv->watches, it) {
			struct watch *w = list_entry(it, struct watch, link);
			if (!w->full && w->after < b.upto)
				tell(w, &b);
			if (w->full && !loop_timer_active(&kv->again))
				loop_timer_start(kv->loop, &kv->again, AGAIN_US, on_again);
		}
	}
	arena_fini(&b.arena);
	if (lowest(kv, &after))
		loop_timer_start(kv->loop, &kv->more, 0, on_more);
}

/* On the next turn, so that a long way to catch up does not hold up everybody else. */
static void on_more(struct loop_timer *t)
{
	struct keyval *kv = container_of(t, struct keyval, more);
	loop_defer(kv->loop, &kv->pump, on_pump);
}

static void on_applied(void *arg, uint64_t index)
{
	struct keyval *kv = arg;
	(void)index;
	if (!list_empty(&kv->watches))
		loop_defer(kv->loop, &kv->pump, on_pump);
}

static void on_beat(struct loop_timer *t)
{
	struct keyval *kv = container_of(t, struct keyval, beat);
	list_each_safe(&kv->watches, it) {
		struct watch *w = list_entry(it, struct watch, link);
		keyval_Events ev = { .has_revision = true, .revision = w->after };
		if (!w->full)
			w->full = !w->sink.send(w->sink.arg, &ev);
	}
	if (!list_empty(&kv->watches))
		loop_timer_start_lazy(kv->loop, t, BEAT_US, on_beat);
}

/* ---- watches ---- */

static bool look_only(void *arg, const struct feed_change *c)
{
	(void)arg;
	(void)c;
	return false;
}

/* Are the changes since then kept? */
static int check_since(struct keyval *kv, uint64_t since, struct err *e)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	uint64_t reached;
	int rc = store_read(kv->master->store, &txn, e);
	if (rc == 0)
		rc = store_feed(txn, since, look_only, NULL, &reached, e);
	if (rc == E_NOTFOUND)
		(void)err_set(e, rc, "the changes since revision %llu are not kept any more; list the keys and watch from the index of that "
			      "answer", (unsigned long long)since);
	return rc;
}

int watch_new(struct keyval *kv, struct str prefix, const uint64_t *since, struct watch_sink sink, struct watch **out, struct err *e)
{
	if (prefix.len > LIMIT_KV_KEY_BYTES)
		return err_set(e, E_INVALID, "a prefix of %zu bytes is over the limit of %d", prefix.len, LIMIT_KV_KEY_BYTES);
	if (kv->watch_count >= LIMIT_KV_WATCHES)
		return err_set(e, E_BUSY, "this master has %d watches already; use another one", LIMIT_KV_WATCHES);
	int rc = since ? check_since(kv, *since, e) : 0;
	if (rc != 0)
		return rc;
	struct watch *w = xcalloc(1, sizeof(*w));
	w->kv = kv;
	w->prefix = str_dup(prefix);
	w->after = since ? *since : store_applied(kv->master->store);
	w->sink = sink;
	list_push(&kv->watches, &w->link);
	kv->watch_count++;
	if (!loop_timer_active(&kv->beat))
		loop_timer_start_lazy(kv->loop, &kv->beat, BEAT_US, on_beat);
	loop_defer(kv->loop, &kv->pump, on_pump);
	*out = w;
	return 0;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	list_remove(&w->link);
	w->kv->watch_count--;
	free(w->prefix);
	free(w);
}

void watch_go_on(struct watch *w)
{
	w->full = false;
	loop_defer(w->kv->loop, &w->kv->pump, on_pump);
}

uint64_t watch_index(const struct watch *w) { return w->after; }

void watch_start(struct keyval *kv) { store_on_applied(kv->master->store, on_applied, kv); }

void watch_stop(struct keyval *kv)
{
	struct err e = { 0 };
	(void)err_set(&e, E_CLOSED, "this master stops; watch on at another one");
	while (!list_empty(&kv->watches))
		end_watch(list_entry(kv->watches.next, struct watch, link), &e);
	loop_timer_stop(&kv->beat);
	loop_timer_stop(&kv->again);
	loop_timer_stop(&kv->more);
	loop_defer_cancel(&kv->pump);
}

/* ---- by RPC ---- */

struct rpc_watch {
	struct rpc_peer *peer;           /* borrowed; keyval_peer_gone */
	struct watch *watch;
	uint64_t id;
};

static void rpc_events(struct rpc_watch *rw, keyval_Events ev)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	ev.has_id = true;
	ev.id = rw->id;
	if (pb_write(keyval_Events_fields, &ev, &out, &e) == 0)
		rpc_send(rw->peer, dcos_Method_KV_EVENTS, buf_view(&out));
}

static bool rpc_send_events(void *arg, const keyval_Events *ev)
{
	struct rpc_watch *rw = arg;
	rpc_events(rw, *ev);
	return !rpc_peer_full(rw->peer);
}

static void rpc_ended(void *arg, const struct err *e)
{
	char text[sizeof(e->text)];
	(void)str_put(text, sizeof(text), str_of(e->text));
	rpc_events(arg, (keyval_Events){ .error = text });
	free(arg);
}

static bool rpc_full(void *arg)
{
	struct rpc_watch *rw = arg;
	return rpc_peer_full(rw->peer);
}

void watch_rpc(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct master *m = rpc_peer_arg(p);
	AUTO_ARENA struct arena a = ARENA_INIT;
	keyval_Watch in;
	struct err e = { 0 };
	if (!req)
		return;
	struct rpc_watch *rw = xcalloc(1, sizeof(*rw));
	rw->peer = p;
	int rc = pb_read(&a, keyval_Watch_fields, payload, &in, &e);
	if (rc == 0) {
		rw->id = in.id;
		rc = watch_new(m->keyval, str_of(in.prefix ? in.prefix : ""), in.has_since ? &in.since : NULL,
			       (struct watch_sink){ rpc_send_events, rpc_ended, rpc_full, rw }, &rw->watch, &e);
	}
	if (rc == 0) {
		rpc_reply(req, STR(""));
		return;
	}
	rpc_fail(req, &e);
	free(rw);
}

void keyval_peer_gone(struct keyval *kv, struct rpc_peer *p)
{
	list_each_safe(&kv->watches, it) {
		struct watch *w = list_entry(it, struct watch, link);
		struct rpc_watch *rw = w->sink.arg;
		if (w->sink.send != rpc_send_events || rw->peer != p)
			continue;
		watch_free(w);
		free(rw);
	}
}
