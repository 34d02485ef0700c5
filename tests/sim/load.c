/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that read, write and compare-and-set a few registers, and followers of the feed of their changes. Every operation is
 * written into a history with its call and return; whether all of it can be explained is checked at the end, with the members'
 * tables: the checker of tests/lib/linear.h, each operation's effect counted once, followers complete, members alike.
 */
#include "tests/sim/sim.h"

#include <stdio.h>

#include "store/state_int.h"

#define TRIES_MAX 30
#define STEPS_MAX 2000000
#define OPS_MAX 20000
#define OP_REGISTER 1000
#define PADDING_MAX 3000

const struct kv_table sim_registers = { "registers", 1, true }, sim_effects = { "effects", 1, false };
const struct kv_table *const sim_tables[] = { &sim_registers, &sim_effects, NULL };

/* ---- the command ---- */

struct register_op {
	uint64_t number;                 /* of the operation, in the history */
	int64_t value, expect;
	uint32_t key, cas;
};

static int apply(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	struct register_op op;
	int64_t value = LINEAR_ABSENT;
	uint64_t effects = 0;
	uint8_t key[8], number[8];
	struct str old;
	(void)ctx;
	assert(payload.len >= sizeof(op));       /* padding follows, which fills the log */
	memcpy(&op, payload.p, sizeof(op));
	int rc = kv_get(txn, &sim_registers, kv_key_u64(op.key, key), &old, e);
	if (rc == 0)
		memcpy(&value, old.p, sizeof(value));
	if (rc != 0 && rc != E_NOTFOUND)
		return rc;
	rc = kv_put(txn, &sim_registers, kv_key_u64(op.key, key), str_n((const char *)&op.value, sizeof(op.value)), e);
	if (rc == 0)
		rc = kv_get(txn, &sim_effects, kv_key_u64(op.number, number), &old, e);
	if (rc == 0)
		memcpy(&effects, old.p, sizeof(effects));
	if (rc != 0 && rc != E_NOTFOUND)
		return rc;
	effects++;
	rc = kv_put(txn, &sim_effects, kv_key_u64(op.number, number), str_n((const char *)&effects, sizeof(effects)), e);
	if (rc != 0)
		return rc;
	(void)buf_append(reply, &op.number, sizeof(op.number));
	if (op.cas && value != op.expect)        /* last, so that what was written has to be taken back */
		return err_set(e, E_INVALID, "register %u holds another value", op.key);
	return 0;
}

const struct op_row sim_ops[1] = {
	{ OP_REGISTER, "REGISTER", 1, apply },
};

/* ---- the history ---- */

enum outcome { OUTCOME_OPEN, OUTCOME_DONE, OUTCOME_MISSED, OUTCOME_NOTHING, OUTCOME_UNKNOWN };

struct operation {
	struct linear_op op;
	enum outcome outcome;
	uint64_t index;                  /* in the log, when it was answered at its first try */
};

struct client {
	struct sim *sim;
	int n;
	bool busy;                       /* an operation is not finished */
	struct member *at;               /* whose answer it waits for; NULL: none */
	struct propose p;
	struct store_fresh fresh;
	size_t number;                   /* of its operation */
	bool once, unsure;               /* may send it again; an earlier try may have been done */
	unsigned tries;
	uint64_t id, serial;
	int64_t timeout_us;
};

struct follower {
	struct sim *sim;
	int n;
	struct member *at;
	uint64_t after;
	uint64_t *seen;                  /* owned: indexes of changes, in order */
	size_t seen_count, seen_cap;
	int64_t mirror[SIM_KEYS];
};

struct sim_load {
	struct operation *operations;    /* owned, OPS_MAX */
	size_t count;
	int64_t clock;                   /* counts calls and returns */
	bool stopped;
	struct client clients[SIM_CLIENTS];
	struct follower followers[SIM_FOLLOWERS];
};

static struct operation *current(struct client *c) { return &c->sim->load->operations[c->number]; }

static void client_next(struct sim *s, struct sim_event *ev);
static void client_try(struct sim *s, struct sim_event *ev);

static void finish(struct client *c, enum outcome outcome)
{
	struct sim *s = c->sim;
	struct operation *o = current(c);
	o->outcome = outcome;
	o->op.done = outcome == OUTCOME_DONE;
	o->op.end = outcome == OUTCOME_UNKNOWN ? LINEAR_UNKNOWN : s->load->clock++;
	if (outcome == OUTCOME_UNKNOWN)
		c->id = 0;                       /* one command of a client at a time: that one is still out there */
	c->at = NULL;
	c->busy = false;
	sim_after(s, (int64_t)rnd_below(&s->rnd, 20 * MSEC), client_next, c);
}

/* No answer that says what happened: again, or leave it at that. */
static void try_again(struct client *c, bool unsure)
{
	struct sim *s = c->sim;
	c->at = NULL;
	c->unsure |= unsure;
	bool again = current(c)->op.kind == LINEAR_READ || c->once || !c->unsure;
	if (again && ++c->tries < TRIES_MAX && !(s->load->stopped && c->tries > 3))
		sim_after(s, (int64_t)rnd_below(&s->rnd, 200 * MSEC), client_try, c);
	else
		finish(c, c->unsure ? OUTCOME_UNKNOWN : OUTCOME_NOTHING);
}

static void proposed(struct propose *p, struct str reply, const struct err *e)
{
	struct client *c = container_of(p, struct client, p);
	uint64_t number = 0;
	if (e->code == E_TIMEOUT) {
		try_again(c, true);
	} else if (e->code == E_INVALID) {
		finish(c, OUTCOME_MISSED);
	} else if (e->code == E_CONFLICT || e->code == E_CORRUPT || e->code == E_MALFORMED) {
		sim_fail(c->sim, "client %d: operation %zu: %s", c->n, c->number, e->text);
	} else if (e->code != 0) {
		try_again(c, false);
	} else {
		if (reply.len != sizeof(number) || (memcpy(&number, reply.p, sizeof(number)), number != c->number))
			sim_fail(c->sim, "client %d: the answer to operation %zu is that of %llu", c->n, c->number, (unsigned long long)number);
		if (c->tries == 0)
			current(c)->index = p->index;
		finish(c, OUTCOME_DONE);
	}
}

static int read_register(struct member *m, uint32_t key, int64_t *out, struct err *e)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	uint8_t room[8];
	struct str value;
	int rc = store_read(m->store, &txn, e);
	if (rc == 0)
		rc = kv_get(txn, &sim_registers, kv_key_u64(key, room), &value, e);
	*out = LINEAR_ABSENT;
	if (rc == 0)
		memcpy(out, value.p, sizeof(*out));
	return rc == E_NOTFOUND ? 0 : rc;
}

static void freshened(struct store_fresh *f, const struct err *e)
{
	struct client *c = container_of(f, struct client, fresh);
	struct err local = { 0 };
	if (e->code != 0) {
		try_again(c, false);
		return;
	}
	if (read_register(c->at, current(c)->op.key, &current(c)->op.value, &local) != 0)
		sim_fail(c->sim, "client %d: read from %d: %s", c->n, c->at->n, local.text);
	finish(c, OUTCOME_DONE);
}

static void send(void *arg)
{
	struct client *c = arg;
	const struct linear_op *op = &current(c)->op;
	struct register_op r = { .number = c->number, .value = op->value, .expect = op->expect, .key = op->key,
		.cas = op->kind == LINEAR_CAS };
	char bytes[sizeof(r) + PADDING_MAX] = "";
	memcpy(bytes, &r, sizeof(r));
	struct str payload = str_n(bytes, sizeof(r) + c->number * 7919 % PADDING_MAX);
	if (op->kind == LINEAR_READ)
		store_freshen(c->at->store, c->timeout_us, &c->fresh, freshened);
	else if (c->once)
		store_propose_once(c->at->store, OP_REGISTER, payload, c->id, c->serial, c->timeout_us, &c->p, proposed);
	else
		store_propose(c->at->store, OP_REGISTER, payload, c->timeout_us, &c->p, proposed);
}

static struct member *choose(struct sim *s, bool leader)
{
	struct member *m = leader && rnd_below(&s->rnd, 8) ? sim_leader(s) : NULL;
	if (!m)
		m = sim_running(s, rnd_below(&s->rnd, SIM_MEMBERS));
	return m && m->paused_us <= s->now_us ? m : NULL;
}

static void client_try(struct sim *s, struct sim_event *ev)
{
	struct client *c = ev->arg;
	c->timeout_us = 200 * MSEC + (int64_t)rnd_below(&s->rnd, SEC);
	c->at = choose(s, current(c)->op.kind != LINEAR_READ);
	if (c->at)
		sim_in_turn(c->at, send, c);
	else
		try_again(c, false);
}

static void client_next(struct sim *s, struct sim_event *ev)
{
	struct client *c = ev->arg;
	struct sim_load *load = s->load;
	if (load->stopped || load->count == OPS_MAX - SIM_KEYS)
		return;
	c->number = load->count++;
	c->busy = true;
	c->unsure = false;
	c->tries = 0;
	c->once = rnd_below(&s->rnd, 2);
	if (c->id == 0) {
		c->id = rnd_u64(&s->rnd) | 1;
		c->serial = 0;
	}
	c->serial += c->once;
	struct linear_op *op = &current(c)->op;
	op->kind = (enum linear_kind)rnd_below(&s->rnd, 3);
	op->client = (uint32_t)c->n;
	op->key = (uint32_t)rnd_below(&s->rnd, SIM_KEYS);
	op->value = (int64_t)c->number;
	op->start = load->clock++;
	op->end = LINEAR_UNKNOWN;
	struct member *m = sim_running(s, rnd_below(&s->rnd, SIM_MEMBERS));
	struct err e;
	if (op->kind == LINEAR_CAS && (!m || read_register(m, op->key, &op->expect, &e) != 0))
		op->expect = LINEAR_ABSENT;
	client_try(s, ev);
}

void load_member_gone(struct member *m)
{
	struct sim_load *load = m->sim->load;
	m->admin.command = NULL;
	for (size_t i = 0; i < SIM_CLIENTS; i++) {
		struct client *c = &load->clients[i];
		if (c->at != m)
			continue;
		store_fresh_cancel(&c->fresh);
		try_again(c, current(c)->op.kind != LINEAR_READ);
	}
	for (size_t i = 0; i < SIM_FOLLOWERS; i++)
		if (load->followers[i].at == m)
			load->followers[i].at = NULL;
}

/* ---- followers ---- */

static bool follow_change(void *arg, const struct feed_change *ch)
{
	struct follower *f = arg;
	uint64_t key = kv_u64_of_key(ch->key), last = f->seen_count > 0 ? f->seen[f->seen_count - 1] : 0;
	if (!str_eq_c(ch->table, sim_registers.name) || key >= SIM_KEYS || ch->value.len != sizeof(int64_t))
		sim_fail(f->sim, "follower %d: change %llu is none of a register", f->n, (unsigned long long)ch->index);
	if (ch->index <= last || ch->index <= f->after)
		sim_fail(f->sim, "follower %d: change %llu comes after %llu", f->n, (unsigned long long)ch->index,
			 (unsigned long long)MAX(last, f->after));
	if (!f->sim->load->stopped && rnd_below(&f->sim->rnd, 50) == 0)
		return false;                    /* a follower that has to stop is told of this command again */
	if (f->seen_count == f->seen_cap) {
		f->seen_cap = f->seen_cap ? 2 * f->seen_cap : 256;
		f->seen = xrealloc(f->seen, f->seen_cap * sizeof(*f->seen));
	}
	f->seen[f->seen_count++] = ch->index;
	memcpy(&f->mirror[key], ch->value.p, sizeof(int64_t));
	return true;
}

static void follow_turn(struct follower *f)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	struct err e = { 0 };
	int rc = store_read(f->at->store, &txn, &e);
	if (rc == 0)
		rc = store_feed(txn, f->after, follow_change, f, &f->after, &e);
	if (rc != 0)
		sim_fail(f->sim, "follower %d: feed of %d after %llu: %s", f->n, f->at->n, (unsigned long long)f->after, e.text);
}

static void follow(struct sim *s, struct sim_event *ev)
{
	struct follower *f = ev->arg;
	if (!f->at || rnd_below(&s->rnd, 20) == 0)
		f->at = sim_running(s, rnd_below(&s->rnd, SIM_MEMBERS));
	if (f->at)
		follow_turn(f);
	if (!s->load->stopped)
		sim_after(s, (int64_t)rnd_below(&s->rnd, 50 * MSEC), follow, f);
}

/* ---- the whole load ---- */

void load_new(struct sim *s)
{
	struct sim_load *load = s->load = xcalloc(1, sizeof(*load));
	load->operations = xcalloc(OPS_MAX, sizeof(*load->operations));
	for (int i = 0; i < SIM_CLIENTS; i++) {
		load->clients[i].sim = s;
		load->clients[i].n = i + 1;
	}
	for (int i = 0; i < SIM_FOLLOWERS; i++) {
		load->followers[i].sim = s;
		load->followers[i].n = i + 1;
		for (size_t k = 0; k < SIM_KEYS; k++)
			load->followers[i].mirror[k] = LINEAR_ABSENT;
	}
}

void load_free(struct sim *s)
{
	for (int i = 0; i < SIM_FOLLOWERS; i++)
		free(s->load->followers[i].seen);
	free(s->load->operations);
	free(MOVE(s->load));
}

void load_start(struct sim *s)
{
	s->load->stopped = false;
	for (int i = 0; i < SIM_CLIENTS; i++)
		sim_after(s, (int64_t)rnd_below(&s->rnd, 20 * MSEC), client_next, &s->load->clients[i]);
	for (int i = 0; i < SIM_FOLLOWERS; i++)
		sim_after(s, (int64_t)rnd_below(&s->rnd, 20 * MSEC), follow, &s->load->followers[i]);
}

void load_stop(struct sim *s) { s->load->stopped = true; }

bool load_idle(struct sim *s)
{
	for (int i = 0; i < SIM_CLIENTS; i++)
		if (s->load->clients[i].busy)
			return false;
	return true;
}

size_t load_count(const struct sim *s) { return s->load->count; }

/* ---- was it right? ---- */

static void print_history(const struct sim_load *load, uint32_t key)
{
	static const char *const kinds[] = { "read", "write", "cas" };
	static const char *const outcomes[] = { "open", "done", "missed", "nothing", "unknown" };
	for (size_t i = 0; i < load->count; i++) {
		const struct operation *o = &load->operations[i];
		if (o->op.key == key)
			printf("  operation %zu, client %u: %s %lld -> %lld %s, %lld to %lld, index %llu\n", i, o->op.client,
			       kinds[o->op.kind], o->op.kind == LINEAR_CAS ? (long long)o->op.expect : 0, (long long)o->op.value,
			       outcomes[o->outcome], (long long)o->op.start, (long long)o->op.end, (unsigned long long)o->index);
	}
}

static void check_history(struct sim *s)
{
	struct sim_load *load = s->load;
	AUTO_FREE struct linear_op *ops = xcalloc(load->count + 1, sizeof(*ops));
	AUTO_FREE size_t *numbers = xcalloc(load->count + 1, sizeof(*numbers));
	struct linear_fault fault;
	size_t n = 0;
	for (size_t i = 0; i < load->count; i++) {
		assert(load->operations[i].outcome != OUTCOME_OPEN);
		if (load->operations[i].outcome == OUTCOME_NOTHING)
			continue;
		numbers[n] = i;
		ops[n++] = load->operations[i].op;
	}
	int rc = linear_check(ops, n, STEPS_MAX, &fault);
	if (rc == 0)
		return;
	print_history(load, fault.key);
	sim_fail(s, "%s: register %u: after %zu operations it holds %lld, which does not go with operation %zu",
		 rc == E_TOOBIG ? "no explanation found in time" : "not linearizable", fault.key, fault.explained,
		 (long long)fault.value, numbers[fault.op]);
}

static void check_effects(struct sim *s, struct kv_txn *txn)
{
	for (size_t i = 0; i < s->load->count; i++) {
		const struct operation *o = &s->load->operations[i];
		uint64_t effects = 0;
		uint8_t room[8];
		struct str value;
		struct err e;
		if (kv_get(txn, &sim_effects, kv_key_u64(i, room), &value, &e) == 0)
			memcpy(&effects, value.p, sizeof(effects));
		bool did = o->outcome == OUTCOME_DONE && o->op.kind != LINEAR_READ;
		if (effects > 1 || (o->outcome != OUTCOME_UNKNOWN && effects != did)) {
			print_history(s->load, o->op.key);
			sim_fail(s, "operation %zu was done %llu times", i, (unsigned long long)effects);
		}
	}
}

static void check_follower(struct sim *s, struct follower *f, struct member *leader)
{
	f->at = leader;
	follow_turn(f);
	for (uint32_t key = 0; key < SIM_KEYS; key++) {
		int64_t value;
		struct err e = { 0 };
		if (read_register(leader, key, &value, &e) != 0 || value != f->mirror[key])
			sim_fail(s, "follower %d: register %u is %lld, the feed said %lld %s", f->n, key, (long long)value,
				 (long long)f->mirror[key], e.text);
	}
	for (size_t i = 0; i < s->load->count; i++) {
		const struct operation *o = &s->load->operations[i];
		if (o->outcome != OUTCOME_DONE || o->op.kind == LINEAR_READ || o->index == 0)
			continue;
		size_t low = 0, high = f->seen_count;
		while (low < high) {
			size_t middle = (low + high) / 2;
			if (f->seen[middle] < o->index)
				low = middle + 1;
			else
				high = middle;
		}
		if (low == f->seen_count || f->seen[low] != o->index)
			sim_fail(s, "follower %d: the feed never told of operation %zu at index %llu", f->n, i, (unsigned long long)o->index);
	}
}

static bool dump_row(void *arg, struct str key, struct str value)
{
	struct buf *b = arg;
	return buf_append(b, &key.len, sizeof(key.len)) && buf_str(b, key) && buf_append(b, &value.len, sizeof(value.len)) &&
		buf_str(b, value);
}

static void dump(struct member *m, const struct kv_table *t, struct buf *out)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	struct err e = { 0 };
	int rc = store_read(m->store, &txn, &e);
	if (rc == 0)
		rc = kv_each(txn, t, STR(""), dump_row, out, &e);
	if (rc != 0)
		sim_fail(m->sim, "%d: table %s: %s", m->n, t->name, e.text);
}

static void check_alike(struct sim *s, struct member *leader)
{
	for (size_t k = 0; leader->store->tables[k]; k++) {
		const struct kv_table *t = leader->store->tables[k];
		AUTO_BUF struct buf want = BUF_INIT;
		dump(leader, t, &want);
		for (size_t i = 0; i < s->member_count; i++) {
			struct member *m = &s->members[i];
			AUTO_BUF struct buf got = BUF_INIT;
			if (!m->wanted || m == leader)
				continue;
			dump(m, t, &got);
			if (got.len != want.len || (got.len > 0 && memcmp(got.data, want.data, got.len) != 0))
				sim_fail(s, "table %s of %d (%zu bytes) is not that of %d (%zu bytes)", t->name, m->n, got.len, leader->n,
					 want.len);
		}
	}
}

void load_check(struct sim *s)
{
	struct member *leader = sim_leader(s);
	struct err e = { 0 };
	AUTO_TXN struct kv_txn *txn = NULL;
	check_alike(s, leader);
	for (uint32_t key = 0; key < SIM_KEYS; key++) {
		struct operation *o = &s->load->operations[s->load->count++];
		*o = (struct operation){ { .kind = LINEAR_READ, .key = key, .start = s->load->clock++ }, OUTCOME_DONE, 0 };
		if (read_register(leader, key, &o->op.value, &e) != 0)
			sim_fail(s, "read from %d: %s", leader->n, e.text);
		o->op.end = s->load->clock++;
	}
	check_history(s);
	for (int i = 0; i < SIM_FOLLOWERS; i++)
		check_follower(s, &s->load->followers[i], leader);
	if (store_read(leader->store, &txn, &e) != 0)
		sim_fail(s, "read from %d: %s", leader->n, e.text);
	check_effects(s, txn);
}
