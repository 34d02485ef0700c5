/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Once a turn, when something happened: every touched app is reconciled and its kills are sent, deployments get on as far as
 * their apps allow, offers are asked for or not. What comes by time alone has the app's timer.
 */
#include "net/base/log.h"
#include "roles/master/marathon/marathon_int.h"

#define KILL_RETRY_US (30 * SEC)      /* --kill_retry_timeout */

/* The app's own action has its turn later. */
static bool on_hold(const struct app *app) { return app->deployment && app->deployment_step > app->deployment->step; }

static void on_wake(struct loop_timer *t) { app_touch(container_of(t, struct app, wake)); }

/* Reconcile no later than then. */
static void wake_at(struct app *app, int64_t unix_us)
{
	struct loop *l = app->ma->loop;
	int64_t delay = MAX(unix_us - loop_unix_us(l), (int64_t)MSEC);
	if (!loop_timer_active(&app->wake) || app->wake.due_us > loop_now_us(l) + delay)
		loop_timer_start(l, &app->wake, delay, on_wake);
}

static void kill_again(struct app *app)
{
	int64_t now = loop_now_us(app->ma->loop), unix_us = loop_unix_us(app->ma->loop);
	for (size_t k = 0; k < app->instance_count; k++) {
		struct instance *i = app->instances[k];
		if (!i->killing || i->state == mesos_v1_TaskState_TASK_UNREACHABLE)
			continue;
		if (i->kill_sent_us == 0 || now - i->kill_sent_us >= KILL_RETRY_US)
			session_kill(i);
		wake_at(app, unix_us + KILL_RETRY_US - (now - i->kill_sent_us));
	}
}

static void expunge(struct instance *i)
{
	LOG(INFO, "unreachable instance forgotten", "task=%s agent=%s", i->task_id, i->agent_id);
	records_remove_instance(i->app->ma, i->task_id);
	instance_remove(i);
}

static void note_demand(struct app *app, int64_t launch, int64_t unix_us)
{
	int64_t delay = app->delay_until_us - loop_now_us(app->ma->loop);
	bool delayed = launch > 0 && delay > 0;
	if (launch > app->to_launch || (app->delayed && !delayed))
		app->ma->revive = true;
	app->delayed = delayed;
	app->to_launch = launch;
	if (launch == 0)
		list_remove(&app->queued);
	else if (!list_linked(&app->queued))
		list_push(&app->ma->queue, &app->queued);
	if (launch == 0)
		app->stats.since_us = 0;
	else if (app->stats.since_us == 0)
		app->stats = (struct launch_stats){ .since_us = unix_us };
	if (delayed)
		wake_at(app, unix_us + delay);
}

static void step_app(struct app *app)
{
	int64_t unix_us = loop_unix_us(app->ma->loop);
	size_t room = app->instance_count + 1;
	struct instance **victims = xcalloc(2 * room, sizeof(struct instance *));
	struct reconcile_in in = {
		.spec = app->spec, .instances = app->instances, .count = app->instance_count, .hold = on_hold(app), .unix_us = unix_us,
	};
	struct reconcile_out out = { .kill = victims, .expunge = victims + room };
	reconcile(&in, &out);
	loop_timer_stop(&app->wake);
	if (out.wake_us)
		wake_at(app, out.wake_us);
	app->done = out.done;
	app->waits_for = out.waits_for;
	for (size_t i = 0; i < out.kill_count; i++)
		session_kill(out.kill[i]);
	for (size_t i = 0; i < out.expunge_count; i++)
		expunge(out.expunge[i]);
	free(victims);
	kill_again(app);
	note_demand(app, out.launch, unix_us);
	app_release(app);
}

/* ---- deployments ---- */

static bool action_done(struct marathon *ma, const struct action *act)
{
	const struct app *app = app_find(ma, act->app);
	return act->kind == ACTION_START || !app || app->done;
}

static bool step_done(struct marathon *ma, const struct deployment *d)
{
	for (size_t i = 0; i < d->action_count; i++)
		if (d->actions[i].step == d->step && !action_done(ma, &d->actions[i]))
			return false;
	return true;
}

static void touch_apps(struct marathon *ma, const struct deployment *d)
{
	for (size_t i = 0; i < d->action_count; i++) {
		struct app *app = app_find(ma, d->actions[i].app);
		if (app)
			app_touch(app);
	}
}

static void step_deployment(struct marathon *ma, struct deployment *d)
{
	while (d->step < d->step_count) {
		if (!d->announced)
			event_deployment(ma, "deployment_info", d, true);
		d->announced = true;
		if (!step_done(ma, d))
			return;
		event_deployment(ma, "deployment_step_success", d, true);
		d->step++;
		d->announced = false;
		if (d->step < d->step_count) {
			touch_apps(ma, d);     /* those that were on hold */
			return;
		}
	}
	if (!d->ending)
		change_end_deployment(ma, d);
}

/* ---- the turn ---- */

static void on_step(struct loop_defer *d)
{
	struct marathon *ma = container_of(d, struct marathon, step);
	struct list *it;
	if (!ma->loaded)
		return;
	while ((it = list_pop(&ma->dirty)))
		step_app(list_entry(it, struct app, dirty));
	for (struct list *at = ma->deployments.next, *next; at != &ma->deployments; at = next) {
		next = at->next;
		step_deployment(ma, list_entry(at, struct deployment, link));
	}
	if (!list_empty(&ma->dirty)) {
		step_soon(ma);
		return;
	}
	offers_demand(ma);
}

void step_soon(struct marathon *ma) { loop_defer(ma->loop, &ma->step, on_step); }

void step_cancel(struct marathon *ma) { loop_defer_cancel(&ma->step); }
