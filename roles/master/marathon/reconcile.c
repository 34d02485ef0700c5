/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scaling, rolling replacement and removal by one rule (Marathon's TaskReplaceActor and scale checks, without their memory):
 *
 *     fresh = instances of the present configuration, old = the others, dying = asked to end, counted until they have
 *     launch  while fresh < wanted and all < ceiling
 *     kill    old ones as long as ready ones stay >= floor; surplus fresh ones when no old one is left
 *
 * Ready means running: this version runs no health checks.
 */
#include "roles/master/marathon/reconcile.h"

#include <math.h>

int64_t reconcile_health_floor(const struct spec *s) { return (int64_t)ceil((double)s->instances * s->health_min - 1e-9); }

int64_t reconcile_ceiling(const struct spec *s)
{
	int64_t most = (int64_t)floor((double)s->instances * (1 + s->over_max) + 1e-9);
	/* Without room on either side nothing could move: Marathon allows one more. */
	return most == reconcile_health_floor(s) && s->instances > 0 ? most + 1 : most;
}

struct census {
	int64_t fresh, fresh_ready;     /* of the present configuration, not being killed */
	int64_t old, old_ready;
	int64_t dying;
};

static void wake_at(struct reconcile_out *out, int64_t when)
{
	if (out->wake_us == 0 || when < out->wake_us)
		out->wake_us = when;
}

/* Unreachable for so long that it no longer counts. */
static bool given_up(const struct reconcile_in *in, const struct instance *i)
{
	if (i->state != mesos_v1_TaskState_TASK_UNREACHABLE)
		return false;
	return !in->spec || (!in->spec->unreachable_kept && in->unix_us >= i->since_us + in->spec->inactive_after_us);
}

/* And for so long that it is forgotten; else note when to look again. */
static void expunge_or_wait(const struct reconcile_in *in, struct instance *i, struct reconcile_out *out)
{
	const struct spec *s = in->spec;
	if (i->state != mesos_v1_TaskState_TASK_UNREACHABLE || (s && s->unreachable_kept))
		return;
	if (!s || in->unix_us >= i->since_us + s->expunge_after_us)
		out->expunge[out->expunge_count++] = i;
	else
		wake_at(out, i->since_us + (given_up(in, i) ? s->expunge_after_us : s->inactive_after_us));
}

static bool is_old(const struct reconcile_in *in, const struct instance *i) { return !in->spec || !spec_current(in->spec, i->version); }

/* Smaller goes first. */
static int kill_class(const struct instance *i)
{
	switch (i->state) {
	case mesos_v1_TaskState_TASK_UNREACHABLE:
		return 0;
	case mesos_v1_TaskState_TASK_STAGING:
		return 1;
	case mesos_v1_TaskState_TASK_STARTING:
		return 2;
	default:
		return 3;
	}
}

static int64_t active_since(const struct instance *i) { return i->started_us ? i->started_us : i->staged_us; }

static bool goes_before(const struct spec *s, const struct instance *a, const struct instance *b)
{
	if (kill_class(a) != kill_class(b))
		return kill_class(a) < kill_class(b);
	if (active_since(a) != active_since(b))
		return (active_since(a) > active_since(b)) != (s && s->oldest_first);
	return strcmp(a->task_id, b->task_id) > 0;
}

static int compare_victims(const void *a, const void *b, void *spec)
{
	return goes_before(spec, *(struct instance *const *)a, *(struct instance *const *)b) ? -1 : 1;
}

/* The n most expendable of the old (or the new) ones. */
static void kill_some(const struct reconcile_in *in, struct reconcile_out *out, bool old, int64_t n)
{
	struct instance **candidates = out->kill + out->kill_count;
	int64_t found = 0;
	if (n <= 0)
		return;
	for (size_t k = 0; k < in->count; k++) {
		struct instance *i = in->instances[k];
		if (!i->killing && is_old(in, i) == old && !given_up(in, i))
			candidates[found++] = i;
	}
	if (found > n)
		qsort_r(candidates, (size_t)found, sizeof(*candidates), compare_victims, (void *)in->spec);
	out->kill_count += (size_t)MIN(found, n);
}

static struct census take_census(const struct reconcile_in *in, struct reconcile_out *out)
{
	struct census c = { 0 };
	for (size_t k = 0; k < in->count; k++) {
		struct instance *i = in->instances[k];
		expunge_or_wait(in, i, out);
		if (given_up(in, i))
			continue;
		if (i->killing) {
			c.dying++;
			continue;
		}
		bool ready = instance_ready(i), old = is_old(in, i);
		*(old ? &c.old : &c.fresh) += 1;
		*(old ? &c.old_ready : &c.fresh_ready) += ready;
	}
	return c;
}

static const char *clause(const struct spec *s, const struct census *c, const struct reconcile_out *out)
{
	if (out->launch > 0)
		return "instances have to be launched";
	if (s && c->fresh_ready < s->instances && c->fresh >= s->instances)
		return "launched instances have to become running";
	if (c->old > 0)
		return "instances of the previous version have to be replaced";
	return c->dying > 0 || out->kill_count > 0 ? "instances have to end" : NULL;
}

static void replace_old(const struct reconcile_in *in, const struct census *c, struct reconcile_out *out)
{
	int64_t spare = MAX(c->fresh_ready + c->old_ready - reconcile_health_floor(in->spec), (int64_t)0);
	/* Old ones that are not ready help nobody, and are the most expendable. */
	kill_some(in, out, true, c->old - c->old_ready + MIN(spare, c->old_ready));
	kill_some(in, out, false, MIN(c->fresh - in->spec->instances, spare - c->old_ready));
}

void reconcile(const struct reconcile_in *in, struct reconcile_out *out)
{
	const struct spec *s = in->spec;
	out->kill_count = out->expunge_count = 0;
	out->launch = out->wake_us = 0;
	out->done = false;
	out->waits_for = "its turn in the deployment";
	struct census c = take_census(in, out);
	if (in->hold)
		return;
	if (!s)
		kill_some(in, out, true, c.old);
	else if (c.old > 0)
		replace_old(in, &c, out);
	else
		kill_some(in, out, false, c.fresh - s->instances);
	if (s)
		out->launch = MAX(MIN(s->instances - c.fresh, reconcile_ceiling(s) - c.fresh - c.old - c.dying), (int64_t)0);
	out->done = c.old == 0 && c.dying == 0 && out->kill_count == 0 &&
		    (s ? c.fresh == s->instances && c.fresh_ready == s->instances : c.fresh == 0);
	out->waits_for = out->done ? NULL : clause(s, &c, out);
}
