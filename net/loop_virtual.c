/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops for simulators: the same turn as a real loop's, but time is what the owner says, nothing sleeps, and jobs run when and
 * where the owner has them run. Descriptors, signals and children are not there; the seed is the only randomness.
 */
#include "net/loop_int.h"

static void take_time(struct loop *l)
{
	assert(l->virtual->now_us >= l->now_us);        /* monotonic; the wall clock may jump */
	l->now_us = l->virtual->now_us;
	l->unix_us = l->virtual->unix_us;
}

struct loop *loop_new_virtual(struct loop_virtual *v, uint64_t seed)
{
	struct loop *l = xcalloc(1, sizeof *l);
	l->virtual = v;
	rnd_seed(&l->rnd, seed);
	loop_init(l);
	take_time(l);
	return l;
}

int64_t loop_virtual_next(struct loop *l)
{
	if (!list_empty(&l->posts) || !list_empty(&l->defers))
		return l->virtual->now_us;
	return l->timers.count > 0 ? MAX(l->timers.at[1]->due_us, l->virtual->now_us) : INT64_MAX;
}

void loop_virtual_turn(struct loop *l)
{
	take_time(l);
	loop_run_posts(l);
	loop_end_turn(l);
}

void loop_virtual_work_run(struct work *w)
{
	assert(w->queued);
	w->queued = false;
	w->fn(w);
}

void loop_virtual_work_done(struct work *w)
{
	struct loop *l = w->loop;
	assert(!w->queued);
	take_time(l);
	w->done(w);                             /* may free w */
	loop_end_turn(l);
}

bool loop_virtual_work_cancel(struct work *w)
{
	bool queued = w->queued;
	w->queued = false;
	w->cancelled = true;
	if (queued)
		w->loop->virtual->work_cancelled(w->loop->virtual, w);
	return queued;
}
