/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view over RPC: a served view pushes what changes to those who subscribed; a following view applies it.
 *
 * Server, for each subscriber; `at` is the version of the served view its messages have brought it to:
 *
 *   SNAPSHOT --all rows sent--> TAIL --changes since sent, and settled: snapshot_end--> LIVE
 *      ^---- the change log does not reach back to `at`, or a new term ----------------'
 *
 * A snapshot is sent in pieces over many turns, each from the rows of that moment; the changes since its beginning, sent in
 * TAIL, make it whole. Its end is held back until the served view is settled (view_sweep in its term), because the end is what
 * lets a follower forget. A subscriber whose connection is full is left alone; the change log keeps its place, nothing is
 * queued here.
 *
 * A version counts in the view that gave it: who comes from another master is given a snapshot.
 *
 * Follower: applies in order; rows it has and a snapshot did not name go at snapshot_end. It notes the served version only
 * outside of snapshots, so that an interrupted one begins again.
 */
#include "store/view_int.h"

#include "net/base/log.h"
#include "net/limits.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"

#define PIECE_ROWS 256                   /* rows or changes in one message */
#define PIECE_BYTES ((size_t)(64 * KIB)) /* after which a message is closed */
#define PUMP_US (20 * MSEC)              /* how soon a full connection is looked at again */
#define SKIP_MAX 16384                   /* changes not meant for a subscriber after which it hears of the version all the same */

enum subscriber_state { SUB_SNAPSHOT, SUB_TAIL, SUB_LIVE };

struct subscriber {
	struct list link;
	struct rpc_peer *peer;           /* borrowed until view_serve_closed */
	bool all;
	enum subscriber_state state;
	struct view_version at, told;    /* told: the last version a message named */
	bool begun;                      /* snapshot_begin has been sent */
	int table;                       /* SNAPSHOT: continue here */
	struct buf key;                  /* … after this key; empty: from the start */
};

/* One message being put together. */
struct piece {
	struct subscriber *sub;
	uint64_t origin;
	struct arena arena;
	dcos_ViewChange rows[PIECE_ROWS];
	dcos_ViewDelta delta;
	size_t bytes;
	bool full;
};

static void piece_init(struct piece *p, struct subscriber *sub)
{
	memset(&p->delta, 0, sizeof(p->delta));
	p->sub = sub;
	p->delta.changes = p->rows;
	p->bytes = 0;
	p->full = false;
	arena_init(&p->arena, ARENA_MAX_DEFAULT);
}

static bool wanted(const struct subscriber *sub, int table)
{
	return sub->all || table == dcos_ViewTable_VIEW_MASTER || table == dcos_ViewTable_VIEW_AGENT ||
		table == dcos_ViewTable_VIEW_NAME;
}

static void piece_add(struct piece *p, int table, struct str key, struct str value)
{
	p->rows[p->delta.changes_count++] = (dcos_ViewChange){
		.has_table = true, .table = (dcos_ViewTable)table, .key = pb_bytes_put(&p->arena, key),
		.value = value.p ? pb_bytes_put(&p->arena, value) : NULL,
	};
	p->bytes += key.len + value.len;
	p->full = p->delta.changes_count == PIECE_ROWS || p->bytes >= PIECE_BYTES;
}

static void piece_send(struct piece *p, struct view_version now)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct err e = { 0 };
	p->delta.has_term = p->delta.has_seq = p->delta.has_origin = true;
	p->delta.origin = p->origin;
	p->delta.term = now.term;
	p->delta.seq = now.seq;
	p->sub->told = now;
	if (pb_write(dcos_ViewDelta_fields, &p->delta, &b, &e) == 0)
		rpc_send(p->sub->peer, dcos_Method_VIEW_DELTA, buf_view(&b));
	else
		LOG(ERROR, "view not sent", "error=\"%s\"", e.text);
}

/* ---- serving ---- */

static bool add_snapshot_row(void *arg, struct str key, struct str value)
{
	struct piece *p = arg;
	struct subscriber *sub = p->sub;
	if (sub->key.len > 0 && str_eq(buf_view(&sub->key), key))
		return true;             /* the one that closed the piece before */
	piece_add(p, sub->table, key, value);
	buf_reset(&sub->key);
	(void)buf_str(&sub->key, key);
	return !p->full;
}

static void restart(struct subscriber *sub)
{
	sub->state = SUB_SNAPSHOT;
	sub->begun = false;
	sub->table = 1;
	buf_reset(&sub->key);
}

static int fill_snapshot(struct piece *p, struct kv_txn *txn, const struct view_meta *m, struct err *e)
{
	struct subscriber *sub = p->sub;
	int rc = 0;
	if (!sub->begun) {
		sub->begun = p->delta.has_snapshot_begin = p->delta.snapshot_begin = true;
		sub->at = (struct view_version){ m->term, m->seq };
	}
	while (rc == 0 && !p->full && sub->table < VIEW_TABLES) {
		if (wanted(sub, sub->table))
			rc = view_each_from(txn, sub->table, buf_view(&sub->key), add_snapshot_row, p, e);
		if (p->full)
			break;
		sub->table++;
		buf_reset(&sub->key);
	}
	if (sub->table == VIEW_TABLES)
		sub->state = SUB_TAIL;
	return rc;
}

static bool add_change(void *arg, int table, struct str key, struct str value)
{
	struct piece *p = arg;
	if (wanted(p->sub, table))
		piece_add(p, table, key, value);
	return !p->full;
}

static int fill_changes(struct piece *p, struct kv_txn *txn, const struct view_meta *m, struct err *e)
{
	struct subscriber *sub = p->sub;
	int rc = view_changes_until(txn, sub->at, add_change, p, &sub->at, e);
	if (rc != 0 || sub->state == SUB_LIVE || sub->at.seq != m->seq || m->settled != m->mark)
		return rc;
	sub->state = SUB_LIVE;
	p->delta.has_snapshot_end = p->delta.snapshot_end = true;
	return 0;
}

/* Send the next message; false when there is nothing to say at this time. */
static bool pump_piece(struct subscriber *sub, struct kv_txn *txn, const struct view_meta *m, struct piece *p)
{
	struct err e = { 0 };
	bool again = true, snapshot = sub->state == SUB_SNAPSHOT;
	piece_init(p, sub);
	p->origin = m->id;
	int rc = snapshot ? fill_snapshot(p, txn, m, &e) : fill_changes(p, txn, m, &e);
	if (rc == E_NOTFOUND)
		restart(sub);
	else if (rc != 0)
		again = false;
	else if (p->delta.changes_count > 0 || p->delta.snapshot_begin || p->delta.snapshot_end ||
		 sub->at.seq - sub->told.seq > SKIP_MAX)
		piece_send(p, sub->at);
	else
		again = snapshot;
	if (rc != 0 && rc != E_NOTFOUND)
		LOG(WARN, "view not served", "error=\"%s\"", e.text);
	arena_fini(&p->arena);
	return again;
}

static void pump_timer(struct loop_timer *t)
{
	view_sync_pump(container_of(t, struct view, pump));
}

static void pump(struct view *v, struct subscriber *sub, struct kv_txn *txn, const struct view_meta *m, struct piece *p)
{
	for (;;) {
		if (rpc_peer_full(sub->peer)) {
			loop_timer_start(v->loop, &v->pump, PUMP_US, pump_timer);
			return;
		}
		if (!pump_piece(sub, txn, m, p))
			return;
	}
}

void view_sync_pump(struct view *v)
{
	struct kv_txn *txn;
	struct view_meta m;
	struct err e = { 0 };
	if (list_empty(&v->subscribers))
		return;
	if (view_begin(v, &txn, &e) != 0) {
		LOG(WARN, "view not served", "error=\"%s\"", e.text);
		return;
	}
	if (view_meta_read(txn, &m, &e) == 0) {
		struct piece *p = xmalloc(sizeof(*p));
		list_each_safe(&v->subscribers, link)
			pump(v, list_entry(link, struct subscriber, link), txn, &m, p);
		free(p);
	}
	kv_abort(txn);
}

static void subscriber_free(struct subscriber *sub)
{
	list_remove(&sub->link);
	buf_fini(&sub->key);
	free(sub);
}

static void drop_subscriber(struct view *v, const struct rpc_peer *p)
{
	list_each_safe(&v->subscribers, link) {
		struct subscriber *sub = list_entry(link, struct subscriber, link);
		if (sub->peer == p)
			subscriber_free(sub);
	}
}

static uint64_t own_id(struct view *v)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	struct view_meta m = { 0 };
	struct err e;
	return view_begin(v, &txn, &e) == 0 && view_meta_read(txn, &m, &e) == 0 ? m.id : 0;
}

void view_serve(struct view *v, struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_ViewSubscribe m = dcos_ViewSubscribe_init_zero;
	struct err e = { 0 };
	if (!req)
		return;
	if (pb_read(&arena, dcos_ViewSubscribe_fields, payload, &m, &e) != 0) {
		rpc_fail(req, &e);
		return;
	}
	drop_subscriber(v, p);
	struct subscriber *sub = xcalloc(1, sizeof(*sub));
	sub->peer = p;
	sub->all = m.all;
	buf_init(&sub->key, KV_KEY_MAX);
	restart(sub);
	if (m.term > 0 && m.origin == own_id(v)) {
		sub->state = SUB_LIVE;           /* becomes SNAPSHOT when the log does not reach back so far */
		sub->at = sub->told = (struct view_version){ m.term, m.seq };
	}
	list_push(&v->subscribers, &sub->link);
	LOG(INFO, "view subscribed", "node=%s role=%s all=%d", m.node ? m.node : "", m.role ? m.role : "", m.all);
	rpc_reply(req, STR(""));
	loop_timer_start(v->loop, &v->pump, 0, pump_timer);
}

void view_serve_closed(struct view *v, struct rpc_peer *p)
{
	drop_subscriber(v, p);
	if (v->up != p)
		return;
	rpc_call_cancel(&v->call);
	v->calling = false;
	v->up = NULL;
}

/* ---- following ---- */

static void subscribed(struct rpc_call *c, struct str reply, const struct err *e)
{
	struct view *v = container_of(c, struct view, call);
	(void)reply;
	v->calling = false;
	if (e->code != 0)
		LOG(WARN, "view not followed", "error=\"%s\"", e->text);     /* the connection's owner makes a new one */
}

static void subscribe(struct view *v)
{
	AUTO_BUF struct buf b = BUF_INIT;
	AUTO_TXN struct kv_txn *txn = NULL;
	struct view_meta m = { 0 };
	struct err e = { 0 };
	dcos_ViewSubscribe s = { .has_term = true, .has_seq = true, .has_all = true, .all = v->all, .node = v->node, .role = v->role };
	if (v->calling)
		rpc_call_cancel(&v->call);
	if (view_begin(v, &txn, &e) == 0 && view_meta_read(txn, &m, &e) == 0) {
		s.has_origin = true;
		s.origin = m.up_id;
		s.term = m.up_term;
		s.seq = m.up_seq;
	}
	v->in_snapshot = false;
	v->calling = pb_write(dcos_ViewSubscribe_fields, &s, &b, &e) == 0;
	if (v->calling)
		rpc_call_start(v->up, &v->call, dcos_Method_VIEW_SUBSCRIBE, buf_view(&b), 10 * SEC, subscribed);
}

void view_subscribe(struct view *v, struct rpc_peer *p, bool all, const char *node, const char *role)
{
	if (v->calling)
		rpc_call_cancel(&v->call);
	v->calling = false;
	v->up = p;
	v->all = all;
	free(v->node);
	free(v->role);
	v->node = xstrdup(node ? node : "");
	v->role = xstrdup(role ? role : "");
	if (view_try_lock(v))
		subscribe(v);
}

void view_sync_locked(struct view *v)
{
	if (v->up)
		subscribe(v);
}

void view_sync_lost(struct view *v)
{
	if (v->calling)
		rpc_call_cancel(&v->call);
	v->calling = false;
}

/* Is every change one that view_put takes? Checked before any is staged. */
static bool delta_valid(const struct view *v, const dcos_ViewDelta *d)
{
	for (size_t i = 0; i < d->changes_count; i++) {
		struct str key = pb_bytes_view(d->changes[i].key), value = pb_bytes_view(d->changes[i].value);
		if (!view_table_valid((int64_t)d->changes[i].table) || key.len == 0 || key.len > KV_KEY_MAX)
			return false;
		if (value.len > LIMIT_VIEW_ENTRY_BYTES)
			return false;
	}
	return d->has_term && d->has_seq && (!d->snapshot_end || v->in_snapshot || d->snapshot_begin);
}

static void apply_delta(struct view *v, const dcos_ViewDelta *d)
{
	if (d->snapshot_begin) {
		v->in_snapshot = true;
		view_begin_mark(v, d->term);
		view_set_up(v, (struct view_up){ 0 });
	}
	for (size_t i = 0; i < d->changes_count; i++) {
		const dcos_ViewChange *c = &d->changes[i];
		if (c->value)
			view_put(v, (int)c->table, pb_bytes_view(c->key), pb_bytes_view(c->value));
		else
			view_del(v, (int)c->table, pb_bytes_view(c->key));
	}
	if (d->snapshot_end) {
		v->in_snapshot = false;
		for (int table = 1; table < VIEW_TABLES; table++)
			view_sweep(v, table);
	}
	if (!v->in_snapshot)
		view_set_up(v, (struct view_up){ d->origin, { d->term, d->seq } });
}

void view_on_delta(struct view *v, struct rpc_peer *p, struct str payload)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_ViewDelta d = dcos_ViewDelta_init_zero;
	struct err e = { 0 };
	if (p != v->up || !view_writes(v))
		return;
	if (pb_read(&arena, dcos_ViewDelta_fields, payload, &d, &e) != 0)
		LOG(WARN, "view delta not understood", "error=\"%s\"", e.text);
	else if (!delta_valid(v, &d))
		LOG(WARN, "view delta not allowed", "term=%llu seq=%llu", (unsigned long long)d.term, (unsigned long long)d.seq);
	else
		apply_delta(v, &d);
}

void view_sync_close(struct view *v)
{
	if (v->calling)
		rpc_call_cancel(&v->call);
	loop_timer_stop(&v->pump);
	for (struct list *link; (link = list_pop(&v->subscribers));)
		subscriber_free(list_entry(link, struct subscriber, link));
}
