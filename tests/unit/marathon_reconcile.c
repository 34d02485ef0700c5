/* SPDX-License-Identifier: Apache-2.0 */
/* The rule that scales, replaces and removes: single decisions, then whole changes in a small world with bad luck. */
#include <stdio.h>

#include "net/base/rnd.h"
#include "roles/master/marathon/reconcile.h"
#include "tests/lib/test.h"

#define V1 "2026-01-01T00:00:00.000Z"
#define V2 "2026-01-02T00:00:00.000Z"
#define MANY 64

static struct spec wanted(int64_t instances, double health_min, double over_max)
{
	return (struct spec){ .id = "/x", .version = V2, .last_config_change_at = V2, .instances = instances,
			      .health_min = health_min, .over_max = over_max };
}

/* A small world: instances as letters. r: running, s: staging, k: being killed, u: unreachable; capitals are of the old version. */
struct world {
	struct instance all[MANY], *list[MANY];
	char ids[MANY][8];
	size_t count;
	struct instance *kill[MANY], *expunge[MANY];
	struct reconcile_out out;
};

static void add(struct world *w, char c)
{
	static const struct { char c; mesos_v1_TaskState state; } states[] = {
		{ 'r', mesos_v1_TaskState_TASK_RUNNING }, { 's', mesos_v1_TaskState_TASK_STAGING }, { 'k', mesos_v1_TaskState_TASK_RUNNING },
		{ 'u', mesos_v1_TaskState_TASK_UNREACHABLE },
	};
	bool old = c < 'a';
	char low = (char)(c | 0x20);
	struct instance *i = &w->all[w->count];
	(void)snprintf(w->ids[w->count], sizeof(w->ids[0]), "t%02zu", w->count);
	*i = (struct instance){ .task_id = w->ids[w->count], .version = old ? V1 : V2, .staged_us = (int64_t)w->count + 1, .killing = low == 'k' };
	for (size_t k = 0; k < ARRAY_LEN(states); k++)
		if (states[k].c == low)
			i->state = states[k].state;
	w->list[w->count++] = i;
}

static struct world *world(const char *letters)
{
	struct world *w = xcalloc(1, sizeof(*w));
	for (; *letters; letters++)
		add(w, *letters);
	return w;
}

static void ask(struct world *w, const struct spec *s, int64_t now)
{
	struct reconcile_in in = { .spec = s, .instances = w->list, .count = w->count, .unix_us = now };
	w->out = (struct reconcile_out){ .kill = w->kill, .expunge = w->expunge };
	reconcile(&in, &w->out);
}

struct decision {
	const char *there;
	int64_t instances;
	double health_min, over_max;
	int64_t launch, kill;
	bool done;
};

TEST(marathon_reconcile, decides)
{
	static const struct decision table[] = {
		/* there       n  min  over  launch kill done */
		{ "",          1, 1,   1,    1,     0,   false },
		{ "s",         1, 1,   1,    0,     0,   false },
		{ "r",         1, 1,   1,    0,     0,   true },
		{ "rr",        1, 1,   1,    0,     1,   false },
		{ "rk",        1, 1,   1,    0,     0,   false },
		{ "k",         1, 1,   1,    1,     0,   false },     /* killed to be replaced: over-capacity allows both */
		{ "k",         1, 0,   0,    0,     0,   false },     /* no over-capacity: after it has ended */
		{ "r",         0, 1,   1,    0,     1,   false },
		{ "",          0, 1,   1,    0,     0,   true },
		{ "RRR",       3, 1,   1,    3,     0,   false },     /* Marathon: kill 0, start 3 */
		{ "RRRrss",    3, 1,   1,    0,     1,   false },     /* then one for one */
		{ "RRRR",      4, 0.5, 0,    0,     2,   false },
		{ "RRKK",      4, 0.5, 0,    0,     0,   false },
		{ "RR",        4, 0.5, 0,    2,     0,   false },
		{ "R",         1, 0,   0,    0,     1,   false },
		{ "RRR",       3, 1,   0,    1,     0,   false },     /* over-capacity of one is used */
		{ "RRRs",      3, 1,   0,    0,     0,   false },
		{ "RRRr",      3, 1,   0,    0,     1,   false },
		{ "SSS",       3, 1,   1,    3,     3,   false },     /* old ones that do not run help nobody */
		{ "U",         1, 1,   1,    1,     0,   false },     /* unreachable: replaced at once by default */
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct decision *d = &table[i];
		struct spec s = wanted(d->instances, d->health_min, d->over_max);
		AUTO_FREE struct world *w = world(d->there);
		ask(w, &s, 1000);
		if (w->out.launch != d->launch || (int64_t)w->out.kill_count != d->kill || w->out.done != d->done)
			FAIL("row %zu '%s': launch %lld, kill %zu, done %d", i, d->there, (long long)w->out.launch, w->out.kill_count, w->out.done);
	}
}

TEST(marathon_reconcile, youngest_goes_first_unless_told_otherwise)
{
	struct spec s = wanted(1, 1, 1);
	AUTO_FREE struct world *w = world("rrr");
	ask(w, &s, 1);
	EQ_INT(w->out.kill_count, 2);
	EQ_STR(w->out.kill[0]->task_id, "t02");
	s.oldest_first = true;
	ask(w, &s, 1);
	EQ_STR(w->out.kill[0]->task_id, "t00");
}

TEST(marathon_reconcile, staging_goes_before_running)
{
	struct spec s = wanted(1, 1, 1);
	AUTO_FREE struct world *w = world("sr");
	ask(w, &s, 1);
	EQ_INT(w->out.kill_count, 1);
	EQ_STR(w->out.kill[0]->task_id, "t00");
}

TEST(marathon_reconcile, removed_app_loses_all_and_is_done_when_none_is_left)
{
	AUTO_FREE struct world *w = world("rSku");
	ask(w, NULL, 1);
	EQ_INT(w->out.kill_count, 2);
	EQ_INT(w->out.expunge_count, 1);
	FALSE(w->out.done);
	AUTO_FREE struct world *none = world("");
	ask(none, NULL, 1);
	TRUE(none->out.done);
}

TEST(marathon_reconcile, unreachable_is_kept_as_long_as_its_strategy_says)
{
	struct spec s = wanted(1, 1, 1);
	AUTO_FREE struct world *w = world("u");
	s.inactive_after_us = 10 * SEC;
	s.expunge_after_us = 20 * SEC;
	ask(w, &s, 5 * SEC);
	EQ_INT(w->out.launch, 0);
	EQ_INT(w->out.wake_us, 10 * SEC);
	ask(w, &s, 10 * SEC);
	EQ_INT(w->out.launch, 1);
	EQ_INT(w->out.wake_us, 20 * SEC);
	ask(w, &s, 20 * SEC);
	EQ_INT(w->out.expunge_count, 1);
	s.unreachable_kept = true;
	ask(w, &s, 100 * SEC);
	EQ_INT(w->out.launch, 0);
	EQ_INT(w->out.expunge_count, 0);
}

TEST(marathon_reconcile, held_app_is_left_as_it_is)
{
	struct spec s = wanted(3, 1, 1);
	AUTO_FREE struct world *w = world("R");
	struct reconcile_in in = { .spec = &s, .instances = w->list, .count = 1, .hold = true };
	w->out = (struct reconcile_out){ .kill = w->kill, .expunge = w->expunge };
	reconcile(&in, &w->out);
	EQ_INT(w->out.launch, 0);
	EQ_INT(w->out.kill_count, 0);
	FALSE(w->out.done);
}

/* ---- whole changes ---- */

static void drop(struct world *w, size_t at)
{
	w->list[at] = w->list[--w->count];
}

static bool fresh_slot(struct world *w, struct instance **out)
{
	for (size_t k = 0; k < MANY; k++) {
		bool used = false;
		for (size_t m = 0; m < w->count; m++)
			used |= w->list[m] == &w->all[k];
		if (!used) {
			*out = &w->all[k];
			return true;
		}
	}
	return false;
}

static void carry_out(struct world *w)
{
	struct instance *i;
	for (size_t k = 0; k < w->out.kill_count; k++) {
		FALSE(w->out.kill[k]->killing);
		w->out.kill[k]->killing = true;
	}
	for (int64_t k = 0; k < w->out.launch && fresh_slot(w, &i); k++) {
		(void)snprintf(w->ids[i - w->all], sizeof(w->ids[0]), "t%02zu", (size_t)(i - w->all));
		*i = (struct instance){ .task_id = w->ids[i - w->all], .version = V2, .state = mesos_v1_TaskState_TASK_STAGING };
		w->list[w->count++] = i;
	}
}

/* Something happens to one instance: it gets on, ends, or (bad luck) fails. */
static void something_happens(struct world *w, struct rnd *r)
{
	if (w->count == 0)
		return;
	size_t at = (size_t)rnd_below(r, w->count);
	struct instance *i = w->list[at];
	if (i->killing || rnd_below(r, 10) == 0)
		drop(w, at);
	else
		i->state = mesos_v1_TaskState_TASK_RUNNING;
}

static int64_t ready(const struct world *w)
{
	int64_t n = 0;
	for (size_t k = 0; k < w->count; k++)
		n += instance_ready(w->list[k]);
	return n;
}

static void one_change(struct rnd *r)
{
	static const double shares[] = { 0, 0.25, 0.5, 1 };
	struct spec s = wanted((int64_t)rnd_below(r, 8), shares[rnd_below(r, 4)], shares[rnd_below(r, 4)]);
	AUTO_FREE struct world *w = world("");
	for (uint64_t n = rnd_below(r, 12); n > 0; n--)
		add(w, "RRRRSKrs"[rnd_below(r, 8)]);
	int64_t most = MAX((int64_t)w->count, reconcile_ceiling(&s)), rounds = 0;
	for (ask(w, &s, 1); !w->out.done; ask(w, &s, 1)) {
		int64_t before = ready(w);
		carry_out(w);
		TRUE((int64_t)w->count <= most);
		TRUE(ready(w) >= MIN(before, reconcile_health_floor(&s)));
		if (++rounds > 5000)
			FAIL("does not converge: n=%lld min=%g over=%g", (long long)s.instances, s.health_min, s.over_max);
		something_happens(w, r);
	}
	EQ_INT(w->count, s.instances);
	EQ_INT(w->out.launch + (int64_t)w->out.kill_count, 0);
}

TEST(marathon_reconcile, any_change_converges_within_its_bounds)
{
	struct rnd r;
	rnd_seed(&r, test_seed());
	for (size_t n = test_rounds(2000); n > 0; n--)
		one_change(&r);
}
