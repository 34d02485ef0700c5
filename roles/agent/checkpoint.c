/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's durable rows. All writes of a turn are one transaction, committed (and synced) on a worker thread while the loop
 * goes on; writes that come meanwhile form the next one. Order is kept. A commit that fails is tried again with the same rows.
 */
#include "roles/agent/agent_int.h"

#include "net/base/log.h"

#define RETRY_US (1 * SEC)

const struct kv_table checkpoint_agent_table = { .name = "agent", .version = 1 };
const struct kv_table checkpoint_task_table = { .name = "tasks", .version = 1 };
static const struct kv_table *const tables[] = { &checkpoint_agent_table, &checkpoint_task_table, NULL };

struct checkpoint {
	struct loop *loop;
	struct kv *kv;
	struct list waiting, writing;    /* struct checkpoint_op */
	struct loop_hook hook;
	struct loop_timer retry;
	struct work work;
	struct err err;                  /* of the last commit */
	uint64_t seq;
	bool busy;
};

static void submit(struct checkpoint *c);

static int write_rows(struct kv_txn *txn, void *arg, struct err *e)
{
	struct checkpoint *c = arg;
	list_each(&c->writing, it) {
		struct checkpoint_op *op = list_entry(it, struct checkpoint_op, link);
		int rc = op->value.len > 0 ? kv_put(txn, op->table, buf_view(&op->key), buf_view(&op->value), e)
					   : kv_del(txn, op->table, buf_view(&op->key), e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* On a worker: the loop leaves `writing` alone meanwhile. */
static void commit_on_worker(struct work *w)
{
	struct checkpoint *c = container_of(w, struct checkpoint, work);
	c->err = (struct err){ 0 };
	(void)kv_update(c->kv, write_rows, c, &c->err);
}

static void op_free(struct checkpoint_op *op)
{
	buf_fini(&op->key);
	buf_fini(&op->value);
	free(op);
}

static void on_retry(struct loop_timer *t) { submit(container_of(t, struct checkpoint, retry)); }

static void on_committed(struct work *w)
{
	struct checkpoint *c = container_of(w, struct checkpoint, work);
	struct list done;
	c->busy = false;
	if (c->err.code != 0) {
		LOG(ERROR, "checkpoint cannot be written, trying again", "reason=%s", c->err.text);
		c->busy = true;
		loop_timer_start(c->loop, &c->retry, RETRY_US, on_retry);
		return;
	}
	list_init(&done);
	while (!list_empty(&c->writing))
		list_push(&done, list_pop(&c->writing));
	while (!list_empty(&done)) {
		struct checkpoint_op *op = list_entry(list_pop(&done), struct checkpoint_op, link);
		if (op->done)
			op->done(op->arg, op->seq);
		op_free(op);
	}
}

static void submit(struct checkpoint *c)
{
	c->busy = true;
	work_submit(c->loop, &c->work, commit_on_worker, on_committed);
}

static void on_turn_end(struct loop_hook *h)
{
	struct checkpoint *c = container_of(h, struct checkpoint, hook);
	if (c->busy || list_empty(&c->waiting))
		return;
	while (!list_empty(&c->waiting))
		list_push(&c->writing, list_pop(&c->waiting));
	submit(c);
}

int checkpoint_open(struct loop *l, const char *dir, struct checkpoint **out, struct err *e)
{
	/* What a power cut takes back, it has ended as well: the tasks. The agent's death takes nothing back. */
	struct kv_options o = { .durable = true, .one_sync = true, .tables = tables };
	struct kv *kv;
	int rc = kv_open(dir, &o, &kv, e);
	if (rc != 0)
		return rc;
	struct checkpoint *c = xcalloc(1, sizeof(*c));
	*c = (struct checkpoint){ .loop = l, .kv = kv };
	list_init(&c->waiting);
	list_init(&c->writing);
	loop_hook_add(l, &c->hook, on_turn_end);
	*out = c;
	return 0;
}

void checkpoint_close(struct checkpoint *c)
{
	struct err e = { 0 };
	if (!c)
		return;
	while (!list_empty(&c->waiting))
		list_push(&c->writing, list_pop(&c->waiting));
	if (!list_empty(&c->writing) && kv_update(c->kv, write_rows, c, &e) != 0)
		LOG(ERROR, "checkpoint cannot be written", "reason=%s", e.text);
	while (!list_empty(&c->writing))
		op_free(list_entry(list_pop(&c->writing), struct checkpoint_op, link));
	kv_close(c->kv);
	free(c);
}

uint64_t checkpoint_write(struct checkpoint *c, const struct kv_table *t, const char *key, struct buf *value,
			  void (*done)(void *arg, uint64_t seq), void *arg)
{
	struct checkpoint_op *op = xcalloc(1, sizeof(*op));
	*op = (struct checkpoint_op){ .table = t, .key = BUF_INIT, .value = BUF_INIT, .done = done, .arg = arg, .seq = ++c->seq };
	buf_puts(&op->key, key);
	if (value) {
		op->value = *value;
		*value = (struct buf)BUF_INIT;
	}
	list_push(&c->waiting, &op->link);
	return op->seq;
}

int checkpoint_each(struct checkpoint *c, const struct kv_table *t, bool (*fn)(void *arg, struct str key, struct str value),
		    void *arg, struct err *e)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	int rc = kv_begin(c->kv, false, &txn, e);
	return rc != 0 ? rc : kv_each(txn, t, STR(""), fn, arg, e);
}
