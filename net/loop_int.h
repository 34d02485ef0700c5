/* SPDX-License-Identifier: Apache-2.0 */
/* What loop.c, loop_virtual.c, timer.c, work.c and child.c share: the loop's own state. Nobody else includes this. */
#pragma once

#include <ev.h>
#include <pthread.h>
#include <signal.h>

#include "net/loop.h"

struct timer_heap {
	struct loop_timer **at;       /* binary heap by due_us, from index 1; owned array of borrowed timers */
	size_t count, cap;
	int64_t lazy_phase_us;        /* where this loop's lazy timers fall within a second */
};

struct work_pool;
struct child_watch;

struct loop {
	struct ev_loop *ev;           /* NULL: a virtual loop */
	struct loop_virtual *virtual; /* borrowed; NULL: a real one */
	ev_check turn;                /* first callback after the sleep: takes the time */
	ev_timer wake;                /* due with the first timer of the heap */
	int64_t wake_us;              /* what `wake` is set to; 0: not set */
	ev_async async;               /* rung by other threads */
	bool stopped;

	int64_t now_us, unix_us;
	struct rnd rnd;

	struct timer_heap timers;
	struct list defers, hooks;
	struct loop_hook *hook_next;  /* while hooks run: the one after the running one */
	struct list child_watches, ends;
	struct loop_signal *signals[NSIG];
	struct { void *value; void (*free_fn)(void *value); } slots[LOOP_SLOTS];
	struct work_pool *pool;       /* NULL until the first work_submit; owned */

	pthread_mutex_t post_lock;    /* guards posts */
	struct list posts;

	int64_t mark_us;              /* when the last callback returned */
	int64_t longest_us;           /* of this turn */
	const void *longest_fn;
	int64_t turn_start_us;
	uint64_t slow_turns;
};

/* What real and virtual loops have in common; l->rnd is seeded. */
void loop_init(struct loop *l);
/* The parts of a turn: what other threads sent; timers, defers and hooks. */
void loop_run_posts(struct loop *l);
void loop_end_turn(struct loop *l);

/* A callback has returned: note how long it took, and whose it was. */
void loop_ran(struct loop *l, const void *fn);

/* timer.c */
void timer_run_due(struct loop *l);
void timer_heap_fini(struct timer_heap *h);

/* work.c: run the done callbacks of finished work; stop the threads. */
void work_run_done(struct loop *l);
void work_pool_free(struct work_pool *p);

/* loop_virtual.c: work_cancel of a virtual loop's job. */
bool loop_virtual_work_cancel(struct work *w);

/* child.c */
void child_watches_free(struct loop *l);
