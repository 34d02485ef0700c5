/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of a loop: a binary heap by due time. Lazy timers are rounded up to common instants, so that a process with many of
 * them wakes rarely. Invariant: at[t->heap_at] == t for every running timer; heap_at 0 means not running.
 */
#include "net/loop_int.h"

#define DELAY_MAX_US (100 * 365 * DAY)          /* further away counts as never */

static bool timer_before(const struct loop_timer *a, const struct loop_timer *b) { return a->due_us < b->due_us; }

static void timer_put_at(struct timer_heap *h, struct loop_timer *t, size_t i)
{
	h->at[i] = t;
	t->heap_at = i;
}

static void timer_sift_up(struct timer_heap *h, struct loop_timer *t, size_t i)
{
	while (i > 1 && timer_before(t, h->at[i / 2])) {
		timer_put_at(h, h->at[i / 2], i);
		i /= 2;
	}
	timer_put_at(h, t, i);
}

static void timer_sift_down(struct timer_heap *h, struct loop_timer *t, size_t i)
{
	for (size_t child; (child = 2 * i) <= h->count; i = child) {
		if (child < h->count && timer_before(h->at[child + 1], h->at[child]))
			child++;
		if (!timer_before(h->at[child], t))
			break;
		timer_put_at(h, h->at[child], i);
	}
	timer_put_at(h, t, i);
}

static void timer_insert(struct timer_heap *h, struct loop_timer *t)
{
	if (h->count + 1 >= h->cap) {
		h->cap = h->cap ? h->cap * 2 : 16;
		h->at = xrealloc(h->at, h->cap * sizeof(struct loop_timer *));
	}
	timer_sift_up(h, t, ++h->count);
}

static void timer_start(struct loop *l, struct loop_timer *t, int64_t due_us, void (*fn)(struct loop_timer *t))
{
	loop_timer_stop(t);
	t->loop = l;
	t->fn = fn;
	t->due_us = due_us;
	timer_insert(&l->timers, t);
}

/* At least 1 us, so that a timer that restarts itself never keeps its turn from ending. */
static int64_t timer_delay(int64_t delay_us) { return MIN(MAX(delay_us, 1), DELAY_MAX_US); }

void loop_timer_start(struct loop *l, struct loop_timer *t, int64_t delay_us, void (*fn)(struct loop_timer *t))
{
	t->lazy = false;
	timer_start(l, t, l->now_us + timer_delay(delay_us), fn);
}

void loop_timer_start_lazy(struct loop *l, struct loop_timer *t, int64_t delay_us, void (*fn)(struct loop_timer *t))
{
	int64_t delay = timer_delay(delay_us);
	int64_t due = l->now_us + delay;
	int64_t step = SEC;
	while (step > 1 && step > delay / 4)
		step /= 2;
	int64_t past = (due - l->timers.lazy_phase_us % step) % step;
	t->lazy = true;
	timer_start(l, t, past ? due + step - past : due, fn);
}

void loop_timer_stop(struct loop_timer *t)
{
	if (!t->heap_at)
		return;
	struct timer_heap *h = &t->loop->timers;
	size_t i = t->heap_at;
	assert(i <= h->count);
	assert(h->at[i] == t);
	struct loop_timer *last = h->at[h->count--];
	t->heap_at = 0;
	if (last == t)
		return;
	if (i > 1 && timer_before(last, h->at[i / 2]))
		timer_sift_up(h, last, i);
	else
		timer_sift_down(h, last, i);
}

void timer_run_due(struct loop *l)
{
	struct timer_heap *h = &l->timers;
	while (h->count > 0 && h->at[1]->due_us <= l->now_us) {
		struct loop_timer *t = h->at[1];
		void (*fn)(struct loop_timer *t) = t->fn;
		loop_timer_stop(t);
		fn(t);                          /* may free t */
		loop_ran(l, (const void *)fn);
	}
}

void timer_heap_fini(struct timer_heap *h)
{
	for (size_t i = 1; i <= h->count; i++)
		h->at[i]->heap_at = 0;
	free(h->at);
	*h = (struct timer_heap){ 0 };
}
