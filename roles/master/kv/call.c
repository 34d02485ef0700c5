/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of a client: checked, then
 *
 *   a change, here the leader          proposed ---------------------------> answered
 *   a change, elsewhere                sent on to the leader by RPC -------> answered with its answer
 *   a read                             fresh enough (or `local`) --> read -> answered
 *
 * A call that was sent on is not sent on again. When the connection to the leader breaks, whether the change happens is unknown:
 * the client repeats it with its client and serial number.
 */
#include "net/limits.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "proto/records.pb.h"
#include "roles/master/kv/keyval_int.h"
#include "roles/master/lead.h"

#define CALL_TIMEOUT_US (10 * SEC)

/* ---- the life of a call ---- */

struct call *call_new(struct keyval *kv)
{
	struct call *c = xcalloc(1, sizeof(*c));
	c->kv = kv;
	arena_init(&c->arena, ARENA_MAX_DEFAULT);
	list_push(&kv->calls, &c->link);
	kv->call_count++;
	return c;
}

void call_cancel(struct call *c)
{
	if (!c)
		return;
	propose_cancel(&c->propose);
	store_fresh_cancel(&c->fresh);
	rpc_call_cancel(&c->forward);
	list_remove(&c->link);
	c->kv->call_count--;
	arena_fini(&c->arena);
	free(c);
}

static void answer(struct call *c, const keyval_Answer *a)
{
	c->done(c, a, &(struct err){ 0 });
	call_cancel(c);
}

static void fail(struct call *c, const struct err *e)
{
	c->done(c, NULL, e);
	call_cancel(c);
}

static int64_t timeout_of(const struct call *c)
{
	return c->in.has_timeout_us && c->in.timeout_us > 0 ? MIN(c->in.timeout_us, (int64_t)LIMIT_KV_TIMEOUT_US) : CALL_TIMEOUT_US;
}

/* ---- reading ---- */

static int read_answer(struct call *c, keyval_Answer *a, struct err *e)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	int rc = store_read(c->kv->master->store, &txn, e);
	if (rc != 0)
		return rc;
	a->has_index = true;
	a->index = store_applied(c->kv->master->store);
	if (c->in.list)
		return table_list(txn, &c->arena, c->in.list, a, e);
	a->items = arena_new(&c->arena, keyval_Item);
	rc = table_get(txn, &c->arena, c->in.get, a->items, e);
	a->items_count = rc == 0;
	return rc == E_NOTFOUND ? 0 : rc;
}

static void read_now(struct call *c)
{
	keyval_Answer a = keyval_Answer_init_zero;
	struct err e = { 0 };
	if (read_answer(c, &a, &e) != 0)
		fail(c, &e);
	else
		answer(c, &a);
}

static void on_fresh(struct store_fresh *f, const struct err *e)
{
	struct call *c = container_of(f, struct call, fresh);
	if (e->code != 0)
		fail(c, e);
	else
		read_now(c);
}

/* ---- changing ---- */

static void on_proposed(struct propose *p, struct str reply, const struct err *failure)
{
	struct call *c = container_of(p, struct call, propose);
	keyval_Changed changed;
	struct err e = *failure;
	if (e.code != 0 || pb_read(&c->arena, keyval_Changed_fields, reply, &changed, &e) != 0) {
		fail(c, &e);
		return;
	}
	answer(c, &(keyval_Answer){ .has_index = true, .index = changed.revision, .changed = &changed });
}

static void propose_change(struct call *c)
{
	AUTO_BUF struct buf payload = BUF_INIT;
	struct store *s = c->kv->master->store;
	struct err e = { 0 };
	if (pb_write(keyval_Change_fields, c->in.change, &payload, &e) != 0)
		fail(c, &e);
	else if (c->in.client != 0)
		store_propose_once(s, rec_Op_OP_KV, buf_view(&payload), c->in.client, c->in.serial, timeout_of(c), &c->propose, on_proposed);
	else
		store_propose(s, rec_Op_OP_KV, buf_view(&payload), timeout_of(c), &c->propose, on_proposed);
}

static void on_forwarded(struct rpc_call *r, struct str reply, const struct err *failure)
{
	struct call *c = container_of(r, struct call, forward);
	keyval_Answer a;
	struct err e = *failure;
	if (e.code == E_CLOSED)
		(void)err_set(&e, E_TIMEOUT, "the connection to the leading master broke; whether the change happens is unknown");
	if (e.code != 0 || pb_read(&c->arena, keyval_Answer_fields, reply, &a, &e) != 0)
		fail(c, &e);
	else
		answer(c, &a);
}

static void forward_change(struct call *c)
{
	AUTO_BUF struct buf payload = BUF_INIT;
	struct err e = { 0 };
	struct rpc_peer *leader = c->in.forwarded ? NULL : lead_peer(c->kv->master->lead);
	if (!leader) {
		(void)err_set(&e, E_NOTLEADER, "this master does not lead and has no connection to one that does; try again");
		fail(c, &e);
		return;
	}
	c->in.has_forwarded = c->in.forwarded = true;
	if (pb_write(keyval_Call_fields, &c->in, &payload, &e) != 0)
		fail(c, &e);
	else
		rpc_call_start(leader, &c->forward, dcos_Method_KV_CALL, buf_view(&payload), timeout_of(c), on_forwarded);
}

/* ---- begin ---- */

/* Values that were written as text become bytes, as they are kept. */
static void take_text(struct call *c)
{
	keyval_Change *change = c->in.change;
	for (size_t i = 0; i < change->ops_count; i++) {
		keyval_Op *op = &change->ops[i];
		if (op->text && !op->value)
			op->value = pb_bytes_put(&c->arena, str_of(op->text));
		op->text = NULL;
	}
}

static int check(struct call *c, struct err *e)
{
	const keyval_Call *in = &c->in;
	if ((in->change != NULL) + (in->get != NULL) + (in->list != NULL) != 1)
		return err_set(e, E_INVALID, "a call is one of change, get and list");
	if (c->kv->call_count > LIMIT_KV_CALLS)
		return err_set(e, E_BUSY, "this master has %d calls under way already; try again", LIMIT_KV_CALLS);
	if ((in->client == 0) != (in->serial == 0))
		return err_set(e, E_INVALID, "client and serial belong together, and neither is 0");
	if (in->get)
		return table_check_key(in->get, e);
	if (!in->change)
		return 0;
	take_text(c);
	return table_check(in->change, e);
}

void call_start(struct call *c)
{
	struct err e = { 0 };
	if (check(c, &e) != 0)
		fail(c, &e);
	else if (c->in.change && store_leads(c->kv->master->store))
		propose_change(c);
	else if (c->in.change)
		forward_change(c);
	else if (c->in.local)
		read_now(c);
	else
		store_freshen(c->kv->master->store, timeout_of(c), &c->fresh, on_fresh);
}

/* ---- by RPC ---- */

static void rpc_done(struct call *c, const keyval_Answer *a, const struct err *failure)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct rpc_req *req = c->user;
	struct err e = *failure;
	if (e.code == 0)
		(void)pb_write(keyval_Answer_fields, a, &out, &e);
	if (e.code != 0)
		rpc_fail(req, &e);
	else
		rpc_reply(req, buf_view(&out));
}

static void on_call(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct master *m = rpc_peer_arg(p);
	struct err e = { 0 };
	if (!req)
		return;
	struct call *c = call_new(m->keyval);
	c->user = req;
	c->done = rpc_done;
	if (pb_read(&c->arena, keyval_Call_fields, payload, &c->in, &e) != 0)
		fail(c, &e);
	else
		call_start(c);
}

const struct rpc_method keyval_rpc_methods[] = {
	{ dcos_Method_KV_CALL,  "kv-call",  on_call,   false },
	{ dcos_Method_KV_WATCH, "kv-watch", watch_rpc, false },
};
const size_t keyval_rpc_method_count = ARRAY_LEN(keyval_rpc_methods);

/* ---- the service ---- */

struct keyval *keyval_new(struct master *m)
{
	struct keyval *kv = xcalloc(1, sizeof(*kv));
	kv->master = m;
	kv->loop = m->node.loop;
	list_init(&kv->calls);
	list_init(&kv->watches);
	table_register(m->store);
	watch_start(kv);
	leases_start(kv);
	return kv;
}

void keyval_free(struct keyval *kv)
{
	if (!kv)
		return;
	leases_lead(kv, false);
	watch_stop(kv);
	list_each_safe(&kv->calls, it)
		call_cancel(list_entry(it, struct call, link));
	free(kv);
}

void keyval_lead(struct keyval *kv, bool leads) { leases_lead(kv, leads); }
