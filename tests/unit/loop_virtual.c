/* SPDX-License-Identifier: Apache-2.0 */
/* Loops on virtual time: when a turn is due, what it runs, and jobs that run when the test says. */
#include <stdio.h>

#include "net/loop.h"
#include "tests/lib/test.h"

static struct loop *the_loop;
static char trace[256];
static struct work *submitted, *withdrawn;

static void note(const char *what) { strncat(trace, what, sizeof trace - strlen(trace) - 1); }
static void on_work(struct loop_virtual *v UNUSED, struct work *w) { submitted = w; }
static void on_work_cancelled(struct loop_virtual *v UNUSED, struct work *w) { withdrawn = w; }

static struct loop_virtual virtual = { .now_us = 100 * MSEC, .unix_us = SEC, .work = on_work, .work_cancelled = on_work_cancelled };

static void on_timer(struct loop_timer *t UNUSED)
{
	char text[64];
	snprintf(text, sizeof text, " timer@%lld/%lld", (long long)(loop_now_us(the_loop) / MSEC),
		 (long long)(loop_unix_us(the_loop) / MSEC));
	note(text);
}

static void on_post(void *arg UNUSED) { note(" post"); }
static void on_hook(struct loop_hook *h UNUSED) { note(" hook"); }

static void on_defer(struct loop_defer *d UNUSED) { note(" defer"); }

TEST(loop_virtual, a_turn_is_due_with_the_first_timer_and_sees_the_time_it_is_told)
{
	struct loop_timer early = { 0 }, late = { 0 };
	struct loop_hook hook = { 0 };
	the_loop = loop_new_virtual(&virtual, 1);
	EQ_INT(loop_now_us(the_loop), 100 * MSEC);
	EQ_INT(loop_virtual_next(the_loop), INT64_MAX);
	loop_hook_add(the_loop, &hook, on_hook);
	loop_timer_start(the_loop, &late, 30 * MSEC, on_timer);
	loop_timer_start(the_loop, &early, 10 * MSEC, on_timer);
	EQ_INT(loop_virtual_next(the_loop), 110 * MSEC);
	virtual.now_us = 112 * MSEC;            /* the machine was slow */
	virtual.unix_us = 7 * SEC;              /* and its clock was set */
	EQ_INT(loop_virtual_next(the_loop), 112 * MSEC);
	loop_virtual_turn(the_loop);
	EQ_STR(trace, " timer@112/7000 hook");
	EQ_INT(loop_virtual_next(the_loop), 130 * MSEC);
	loop_free(the_loop);
	FALSE(loop_timer_active(&late));
}

TEST(loop_virtual, what_waits_makes_a_turn_due_now)
{
	struct loop_defer defer = { 0 };
	the_loop = loop_new_virtual(&virtual, 1);
	loop_post(the_loop, on_post, NULL);
	EQ_INT(loop_virtual_next(the_loop), virtual.now_us);
	loop_defer(the_loop, &defer, on_defer);
	loop_virtual_turn(the_loop);
	EQ_STR(trace, " post defer");
	EQ_INT(loop_virtual_next(the_loop), INT64_MAX);
	loop_defer(the_loop, &defer, on_defer);
	EQ_INT(loop_virtual_next(the_loop), virtual.now_us);
	loop_free(the_loop);
}

TEST(loop_virtual, the_seed_is_all_there_is_of_chance)
{
	struct loop *a = loop_new_virtual(&virtual, 42), *b = loop_new_virtual(&virtual, 42), *c = loop_new_virtual(&virtual, 43);
	uint64_t n = rnd_u64(loop_rnd(a));
	TRUE(rnd_u64(loop_rnd(b)) == n);
	TRUE(rnd_u64(loop_rnd(c)) != n);
	loop_free(a);
	loop_free(b);
	loop_free(c);
}

static void job_fn(struct work *w UNUSED) { note(" fn"); }
static void job_done(struct work *w) { note(w->cancelled ? " released" : " done"); }

TEST(loop_virtual, a_job_runs_and_ends_when_the_owner_says)
{
	struct work w;
	struct loop_hook hook = { 0 };
	the_loop = loop_new_virtual(&virtual, 1);
	loop_hook_add(the_loop, &hook, on_hook);
	work_submit(the_loop, &w, job_fn, job_done);
	TRUE(submitted == &w);
	loop_virtual_turn(the_loop);
	loop_virtual_work_run(&w);
	loop_virtual_turn(the_loop);
	loop_virtual_work_done(&w);
	EQ_STR(trace, " hook fn hook done hook");
	loop_free(the_loop);
}

TEST(loop_virtual, a_job_cancelled_before_it_ran_is_withdrawn_and_one_that_ran_is_released_by_done)
{
	struct work w;
	the_loop = loop_new_virtual(&virtual, 1);
	work_submit(the_loop, &w, job_fn, job_done);
	TRUE(work_cancel(&w));
	TRUE(withdrawn == &w);
	work_submit(the_loop, &w, job_fn, job_done);
	withdrawn = NULL;
	loop_virtual_work_run(&w);
	FALSE(work_cancel(&w));
	TRUE(withdrawn == NULL);
	loop_virtual_work_done(&w);
	EQ_STR(trace, " fn released");
	loop_free(the_loop);
}
