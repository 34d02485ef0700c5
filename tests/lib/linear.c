/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker is Wing and Gong's search (Testing and Verifying Concurrent Objects, 1993) as Lowe improved it (Testing for
 * Linearizability, 2017): depth first, take an operation whose call precedes every return not yet taken, go back where that leads
 * nowhere, and never look twice at the same (set of taken operations, value). Each register by itself, as linearizability is local.
 *
 * What makes thousands of operations of unknown outcome bearable, without missing an order:
 * - What only observes (a read; a compare-and-set that found something else) and fits the value at hand is taken at once: it
 *   could not be in the way of anything later.
 * - An operation of unknown outcome is taken only when its value is observed right after it; else leaving it out, which is
 *   allowed, explains the same.
 *
 * A set is remembered as the sum of a 128-bit random number for each of its members, so that a step costs the same in long
 * histories; two sets that share a number would have to meet for a wrong verdict.
 */
#include "tests/lib/linear.h"

#include "net/base/err.h"

/* The calls and returns of one register in order of time, as a list that operations are taken out of. */
struct event {
	size_t op;                       /* index among all operations */
	struct event *pair;              /* of a call: its return, NULL when it never returned; of a return: its call */
	struct event *prev, *next;
	bool is_return;
};

struct sum {
	uint64_t a, b;
};

struct taken {
	struct event *call;
	int64_t value;                   /* before it was taken */
	bool due, observer;              /* was an observer due before; was this one */
};

struct search {
	const struct linear_op *ops;     /* borrowed */
	struct event *events;            /* owned; [0] is the list's head */
	size_t left;                     /* operations with a return, not yet taken */
	struct taken *stack;             /* owned */
	size_t depth;
	struct sum *seen;                /* owned hash set; { 0, 0 } is free */
	size_t seen_count, seen_cap;
	struct sum set;                  /* what is taken */
	int64_t value;
	bool due;                        /* the last one taken was of unknown outcome: its value must be observed now */
};

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static void add_to_set(struct search *s, size_t op, bool add)
{
	uint64_t a = mix(2 * op), b = mix(2 * op + 1);
	s->set.a += add ? a : -a;
	s->set.b += add ? b : -b;
}

/* ---- what was looked at ---- */

static bool seen_put(struct sum *seen, size_t cap, struct sum key)
{
	size_t i = key.a & (cap - 1);
	for (; seen[i].a || seen[i].b; i = (i + 1) & (cap - 1))
		if (seen[i].a == key.a && seen[i].b == key.b)
			return false;
	seen[i] = key;
	return true;
}

static void seen_grow(struct search *s)
{
	size_t cap = s->seen_cap ? s->seen_cap * 2 : 1024;
	struct sum *grown = xcalloc(cap, sizeof(*grown));
	for (size_t i = 0; i < s->seen_cap; i++)
		if (s->seen[i].a || s->seen[i].b)
			(void)seen_put(grown, cap, s->seen[i]);
	free(s->seen);
	s->seen = grown;
	s->seen_cap = cap;
}

/* Remember where the search is; false: it has been here. */
static bool first_visit(struct search *s)
{
	uint64_t here = mix((uint64_t)s->value * 2 + s->due);
	struct sum key = { s->set.a ^ here, s->set.b ^ mix(here) };
	if (2 * (s->seen_count + 1) > s->seen_cap)
		seen_grow(s);
	bool first = seen_put(s->seen, s->seen_cap, key);
	s->seen_count += first;
	return first;
}

/* ---- one register ---- */

static int by_time(const void *a, const void *b, void *ops)
{
	const struct event *x = a, *y = b;
	const struct linear_op *of_x = (const struct linear_op *)ops + x->op, *of_y = (const struct linear_op *)ops + y->op;
	int64_t at_x = x->is_return ? of_x->end : of_x->start, at_y = y->is_return ? of_y->end : of_y->start;
	if (at_x != at_y)
		return at_x < at_y ? -1 : 1;
	if (x->is_return != y->is_return)
		return x->is_return ? 1 : -1;
	return x->op < y->op ? -1 : x->op > y->op;
}

static size_t find_index(const size_t *sorted, size_t count, size_t op)
{
	size_t low = 0, high = count;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if (sorted[middle] <= op)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The events of operations[0…count), which are of one register. */
static void make_list(struct search *s, const size_t *operations, size_t count)
{
	size_t n = 1;
	struct event **call_of = xcalloc(count, sizeof(*call_of));
	s->events = xcalloc(2 * count + 1, sizeof(*s->events));
	for (size_t i = 0; i < count; i++) {
		const struct linear_op *op = &s->ops[operations[i]];
		s->events[n++] = (struct event){ .op = operations[i] };
		if (op->end == LINEAR_UNKNOWN)
			continue;
		s->events[n++] = (struct event){ .op = operations[i], .is_return = true };
		s->left++;
	}
	qsort_r(s->events + 1, n - 1, sizeof(*s->events), by_time, (void *)s->ops);
	for (size_t i = 1; i < n; i++) {
		struct event *ev = &s->events[i];
		ev->prev = ev - 1;
		ev->prev->next = ev;
		size_t at = find_index(operations, count, ev->op);
		if (ev->is_return) {
			ev->pair = call_of[at];
			ev->pair->pair = ev;
		} else {
			call_of[at] = ev;
		}
	}
	free(call_of);
	s->stack = xcalloc(count + 1, sizeof(*s->stack));
	s->value = LINEAR_ABSENT;
}

static void unlink_event(struct event *ev)
{
	ev->prev->next = ev->next;
	if (ev->next)
		ev->next->prev = ev->prev;
}

static void relink_event(struct event *ev)
{
	ev->prev->next = ev;
	if (ev->next)
		ev->next->prev = ev;
}

static void take(struct search *s, struct event *call, bool observer)
{
	const struct linear_op *op = &s->ops[call->op];
	s->stack[s->depth++] = (struct taken){ call, s->value, s->due, observer };
	s->due = !call->pair;
	if (!observer)
		s->value = op->value;
	unlink_event(call);
	if (call->pair) {
		unlink_event(call->pair);
		s->left--;
	}
	add_to_set(s, call->op, true);
}

static struct taken untake(struct search *s)
{
	struct taken t = s->stack[--s->depth];
	if (t.call->pair) {
		relink_event(t.call->pair);
		s->left++;
	}
	relink_event(t.call);
	add_to_set(s, t.call->op, false);
	s->value = t.value;
	s->due = t.due;
	return t;
}

/* Returned, fits the value at hand, and leaves it as it is. */
static bool observes(const struct search *s, const struct event *call)
{
	const struct linear_op *op = &s->ops[call->op];
	if (!call->pair)
		return false;
	if (op->kind == LINEAR_READ)
		return op->value == s->value;
	return op->kind == LINEAR_CAS && !op->done && op->expect != s->value;
}

static bool can_write(const struct search *s, const struct event *call)
{
	const struct linear_op *op = &s->ops[call->op];
	if (op->kind == LINEAR_READ)
		return false;
	if (op->kind == LINEAR_CAS)
		return (op->done || !call->pair) && op->expect == s->value;
	return !s->due;
}

static struct event *find_observer(const struct search *s)
{
	struct event *ev = s->events[0].next;
	while (ev && !ev->is_return && !observes(s, ev))
		ev = ev->next;
	return ev && !ev->is_return ? ev : NULL;
}

/* The next choice after `last`, which was the last one tried here (NULL: none): known outcomes first. */
static struct event *find_writer(const struct search *s, struct event *last)
{
	struct event *ev = last ? last->next : s->events[0].next;
	bool known = !last || last->pair;
	for (;;) {
		for (; ev && !ev->is_return; ev = ev->next)
			if ((ev->pair != NULL) == known && can_write(s, ev))
				return ev;
		if (!known)
			return NULL;
		known = false;
		ev = s->events[0].next;
	}
}

static void note_longest(const struct search *s, struct linear_fault *out)
{
	const struct event *ev = s->events[0].next;
	if (s->depth < out->explained || s->left == 0)
		return;
	while (!ev->is_return)
		ev = ev->next;
	out->explained = s->depth;
	out->op = ev->op;
	out->value = s->value;
}

static int search(struct search *s, uint64_t steps_max, struct linear_fault *out)
{
	struct event *tried = NULL, *next;
	for (uint64_t steps = 0; s->left > 0; steps++) {
		if (steps > steps_max)
			return E_TOOBIG;
		if (!tried && (next = find_observer(s))) {
			take(s, next, true);
			continue;
		}
		if (!tried)
			note_longest(s, out);
		next = find_writer(s, tried);
		if (next) {
			take(s, next, false);
			tried = NULL;
			if (!first_visit(s))
				tried = untake(s).call;
			continue;
		}
		struct taken t;
		do {
			if (s->depth == 0)
				return E_CONFLICT;
			t = untake(s);
		} while (t.observer);
		tried = t.call;
	}
	return 0;
}

static int check_register(const struct linear_op *ops, const size_t *operations, size_t count, uint64_t steps_max,
			  struct linear_fault *out)
{
	struct search s = { .ops = ops };
	*out = (struct linear_fault){ .key = ops[operations[0]].key, .op = operations[0], .value = LINEAR_ABSENT };
	make_list(&s, operations, count);
	int rc = search(&s, steps_max, out);
	free(s.events);
	free(s.stack);
	free(s.seen);
	return rc;
}

static int by_key(const void *a, const void *b, void *ops)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	uint32_t of_x = ((const struct linear_op *)ops)[x].key, of_y = ((const struct linear_op *)ops)[y].key;
	if (of_x != of_y)
		return of_x < of_y ? -1 : 1;
	return x < y ? -1 : x > y;
}

int linear_check(const struct linear_op *ops, size_t count, uint64_t steps_max, struct linear_fault *out)
{
	AUTO_FREE size_t *order = xcalloc(count + 1, sizeof(*order));
	size_t n = 0;
	int rc = 0;
	for (size_t i = 0; i < count; i++)
		if (ops[i].kind != LINEAR_READ || ops[i].end != LINEAR_UNKNOWN)
			order[n++] = i;
	qsort_r(order, n, sizeof(*order), by_key, (void *)ops);
	for (size_t first = 0, end; rc == 0 && first < n; first = end) {
		for (end = first + 1; end < n && ops[order[end]].key == ops[order[first]].key;)
			end++;
		rc = check_register(ops, order + first, end - first, steps_max, out);
	}
	return rc;
}
