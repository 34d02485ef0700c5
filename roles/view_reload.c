/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/view_reload.h"

#define PAUSE_US (10 * MSEC)        /* a task goes through its first states faster than that: one run for all of them */
#define PAUSE_ROW_US 20             /* about ten times what a row costs */

static void reload_run(struct view_reload *r)
{
	size_t rows = r->fn(r);
	r->earliest_us = loop_now_us(r->loop) + PAUSE_US + (int64_t)rows * PAUSE_ROW_US;
}

static void reload_on_timer(struct loop_timer *t) { reload_run(container_of(t, struct view_reload, timer)); }

static void reload_on_view(struct view_watch *w)
{
	struct view_reload *r = container_of(w, struct view_reload, watch);
	int64_t wait_us = r->earliest_us - loop_now_us(r->loop);
	if (loop_timer_active(&r->timer))
		return;
	if (wait_us <= 0)
		reload_run(r);
	else
		loop_timer_start(r->loop, &r->timer, wait_us, reload_on_timer);
}

void view_reload_start(struct loop *l, struct view *v, struct view_reload *r, size_t (*fn)(struct view_reload *r))
{
	*r = (struct view_reload){ .loop = l, .fn = fn };
	view_watch(v, &r->watch, reload_on_view);
}

void view_reload_stop(struct view_reload *r)
{
	view_watch_stop(&r->watch);
	loop_timer_stop(&r->timer);
}
