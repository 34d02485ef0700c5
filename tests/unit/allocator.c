/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator: order, filters, reservations, and random events against a slow model. */
#include "roles/master/mesos/allocator.h"

#include "net/base/rnd.h"
#include "tests/lib/test.h"

static struct pools pools_of(const char *role, int64_t cpus, int64_t mem)
{
	struct pools p = { 0 };
	struct resources r = { .cpus_milli = cpus * 1000, .mem_milli = mem * 1000 };
	pools_put(&p, role, &r);
	return p;
}

static uint32_t add_agent(struct allocator *a, int64_t cpus, int64_t mem)
{
	struct pools p = pools_of("*", cpus, mem);
	uint32_t id = allocator_agent_add(a, &p);
	pools_fini(&p);
	return id;
}

static uint32_t add_framework(struct allocator *a, const char *name, const char *role)
{
	uint32_t fw = allocator_framework_add(a, name, false);
	allocator_framework_roles(a, fw, &role, 1);
	allocator_framework_activate(a, fw, true);
	return fw;
}

/* Run, and take the only offer there must be. */
static struct alloc_offer one_offer(struct allocator *a, int64_t now_us)
{
	struct alloc_offer o, more;
	allocator_run(a, now_us);
	TRUE(allocator_next(a, &o));
	FALSE(allocator_next(a, &more));
	return o;
}

static void no_offer(struct allocator *a, int64_t now_us)
{
	struct alloc_offer o;
	allocator_run(a, now_us);
	FALSE(allocator_next(a, &o));
}

static void give_back(struct allocator *a, struct alloc_offer *o, int64_t refuse_us, int64_t now_us)
{
	allocator_recover(a, o->framework, o->role, o->agent, &o->r, refuse_us, now_us);
	pools_fini(&o->r);
}

TEST(allocator, one_framework_gets_a_whole_agent_in_one_offer)
{
	struct allocator *a = allocator_new();
	add_agent(a, 4, 2048);
	add_framework(a, "f", "*");
	struct alloc_offer o = one_offer(a, 0);
	EQ_INT(pools_find(&o.r, "*")->cpus_milli, 4000);
	EQ_INT(pools_find(&o.r, "*")->mem_milli, 2048000);
	give_back(a, &o, 0, 0);
	allocator_free(a);
}

TEST(allocator, two_roles_alternate_by_dominant_share)
{
	struct allocator *a = allocator_new();
	struct alloc_offer o;
	int got[2] = { 0 };
	for (int i = 0; i < 6; i++)
		add_agent(a, 4, 2048);
	uint32_t f = add_framework(a, "f", "one");
	add_framework(a, "g", "two");
	allocator_run(a, 0);
	for (int i = 0; allocator_next(a, &o); i++) {
		got[o.framework == f ? 0 : 1]++;
		pools_fini(&o.r);
	}
	EQ_INT(got[0], 3);
	EQ_INT(got[1], 3);
	allocator_free(a);
}

TEST(allocator, a_declined_agent_comes_again_when_the_filter_ends_and_not_before)
{
	struct allocator *a = allocator_new();
	add_agent(a, 4, 2048);
	add_framework(a, "f", "*");
	struct alloc_offer o = one_offer(a, 0);
	give_back(a, &o, 5 * SEC, 0);
	no_offer(a, 4 * SEC);
	EQ_INT(allocator_due_us(a), 5 * SEC);
	o = one_offer(a, 5 * SEC);
	give_back(a, &o, 0, 5 * SEC);
	allocator_free(a);
}

TEST(allocator, a_filter_of_one_framework_leaves_the_agent_to_another)
{
	struct allocator *a = allocator_new();
	add_agent(a, 4, 2048);
	uint32_t f = add_framework(a, "f", "*"), g = add_framework(a, "g", "*");
	struct alloc_offer o = one_offer(a, 0);
	EQ_INT(o.framework, f);
	give_back(a, &o, 5 * SEC, 0);
	o = one_offer(a, 0);
	EQ_INT(o.framework, g);
	give_back(a, &o, 0, 0);
	allocator_free(a);
}

TEST(allocator, more_than_was_declined_passes_the_filter)
{
	struct allocator *a = allocator_new();
	uint32_t agent = add_agent(a, 4, 2048);
	uint32_t f = add_framework(a, "f", "*");
	struct pools task = pools_of("*", 1, 128), rest;
	struct alloc_offer o = one_offer(a, 0);
	pools_copy(&rest, &o.r);
	pools_sub(&rest, &task);
	allocator_recover(a, f, "*", agent, &rest, 100 * SEC, 0);
	no_offer(a, 1);
	allocator_recover(a, f, "*", agent, &task, 0, 2);
	struct alloc_offer all = one_offer(a, 2);
	EQ_INT(pools_find(&all.r, "*")->cpus_milli, 4000);
	give_back(a, &all, 0, 2);
	pools_fini(&o.r);
	pools_fini(&rest);
	pools_fini(&task);
	allocator_free(a);
}

TEST(allocator, revive_clears_filters_and_suppression)
{
	struct allocator *a = allocator_new();
	add_agent(a, 4, 2048);
	uint32_t f = add_framework(a, "f", "*");
	struct alloc_offer o = one_offer(a, 0);
	give_back(a, &o, DAY, 0);
	allocator_suppress(a, f, NULL);
	no_offer(a, 1);
	allocator_revive(a, f, NULL);
	EQ_INT(allocator_filter_count(a), 0);
	o = one_offer(a, 1);
	give_back(a, &o, 0, 1);
	allocator_free(a);
}

TEST(allocator, reservations_go_only_to_their_role_and_the_roles_below)
{
	struct allocator *a = allocator_new();
	struct pools p = pools_of("slave_public", 4, 2048);
	allocator_agent_add(a, &p);
	add_framework(a, "f", "*");
	no_offer(a, 0);
	uint32_t g = add_framework(a, "g", "slave_public/web");
	struct alloc_offer o = one_offer(a, 0);
	EQ_INT(o.framework, g);
	EQ_INT(pools_find(&o.r, "slave_public")->cpus_milli, 4000);
	give_back(a, &o, 0, 0);
	pools_fini(&p);
	allocator_free(a);
}

TEST(allocator, slivers_below_the_minimum_are_not_offered)
{
	struct allocator *a = allocator_new();
	struct pools p = { 0 };
	struct resources r = { .cpus_milli = 9, .mem_milli = 31999, .disk_milli = 1000000 };
	pools_put(&p, "*", &r);
	uint32_t agent = allocator_agent_add(a, &p);
	add_framework(a, "f", "*");
	no_offer(a, 0);
	r = (struct resources){ .cpus_milli = 1 };
	pools_put(&p, "*", &r);
	allocator_agent_resize(a, agent, &p);
	struct alloc_offer o = one_offer(a, 0);
	give_back(a, &o, 0, 0);
	pools_fini(&p);
	allocator_free(a);
}

TEST(allocator, inactive_agents_are_not_offered)
{
	struct allocator *a = allocator_new();
	uint32_t agent = add_agent(a, 4, 2048);
	add_framework(a, "f", "*");
	allocator_agent_activate(a, agent, false);
	no_offer(a, 0);
	allocator_agent_activate(a, agent, true);
	struct alloc_offer o = one_offer(a, 0);
	give_back(a, &o, 0, 0);
	allocator_free(a);
}

/* ---- random events against a slow model ---- */

#define AGENTS 6
#define FRAMEWORKS 4
#define OFFERS 512

static const char *const random_roles[] = { "*", "eng", "eng/dev", "slave_public" };

/* The model remembers each offer and each refusal whole, and derives everything from them by walking all of it. */
struct slow {
	struct allocator *a;
	struct rnd rnd;
	int64_t now_us;
	uint32_t agents[AGENTS], frameworks[FRAMEWORKS];
	struct pools total[AGENTS];
	bool agent_on[AGENTS], active[FRAMEWORKS], suppressed[FRAMEWORKS];
	const char *role[FRAMEWORKS];
	struct held { bool used; size_t fw, agent; struct pools r; } held[OFFERS];
	struct refusal { bool used; size_t fw, agent; int64_t until_us; struct pools r; } refused[FRAMEWORKS * AGENTS];
};

static struct pools random_pools(struct slow *s)
{
	struct pools p = { 0 };
	for (size_t i = 0; i <= rnd_below(&s->rnd, 2); i++) {
		uint64_t port = 31000 + rnd_below(&s->rnd, 50);
		struct range ports[] = { { port, port + rnd_below(&s->rnd, 9) } };
		struct resources r = {
			.cpus_milli = (int64_t)rnd_below(&s->rnd, 4000), .mem_milli = (int64_t)rnd_below(&s->rnd, 100000),
			.ports = ports, .port_count = 1,
		};
		pools_put(&p, random_roles[rnd_below(&s->rnd, ARRAY_LEN(random_roles))], &r);
	}
	return p;
}

static struct refusal *refusal_of(struct slow *s, size_t fw, size_t agent) { return &s->refused[fw * AGENTS + agent]; }

static void slow_free_part(struct slow *s, size_t agent, struct pools *out)
{
	pools_copy(out, &s->total[agent]);
	for (size_t i = 0; i < OFFERS; i++)
		if (s->held[i].used && s->held[i].agent == agent)
			pools_sub(out, &s->held[i].r);
}

static bool slow_may(const char *reserved, const char *role)
{
	size_t n = strlen(reserved);
	return strcmp(reserved, "*") == 0 || strcmp(reserved, role) == 0 || (strncmp(reserved, role, n) == 0 && role[n] == '/');
}

/* Could this framework still be offered something there? */
static bool slow_wants(struct slow *s, size_t fw, size_t agent)
{
	struct pools left, mine = { 0 };
	struct resources sum = { 0 };
	bool wants = s->agent_on[agent] && s->active[fw] && !s->suppressed[fw];
	slow_free_part(s, agent, &left);
	for (size_t i = 0; i < left.count; i++)
		if (slow_may(left.v[i].role, s->role[fw]))
			pools_put(&mine, left.v[i].role, &left.v[i].r);
	pools_total(&mine, &sum);
	wants = wants && (sum.cpus_milli >= 10 || sum.mem_milli >= 32000);
	struct refusal *f = refusal_of(s, fw, agent);
	if (f->used && f->until_us > s->now_us && pools_contains(&f->r, &mine))
		wants = false;
	resources_fini(&sum);
	pools_fini(&left);
	pools_fini(&mine);
	return wants;
}

static void refusals_drop(struct slow *s, size_t fw)
{
	for (size_t i = 0; i < AGENTS; i++) {
		pools_fini(&refusal_of(s, fw, i)->r);
		refusal_of(s, fw, i)->used = false;
	}
}

/* Take all offers; each must fit the agent, be for a framework that wanted it, and contain only what its role may have. */
static void slow_collect(struct slow *s)
{
	struct alloc_offer o;
	while (allocator_next(s->a, &o)) {
		size_t fw = 0, agent = 0, at = 0;
		struct pools left;
		while (s->frameworks[fw] != o.framework)
			fw++;
		while (s->agents[agent] != o.agent)
			agent++;
		TRUE(slow_wants(s, fw, agent));
		slow_free_part(s, agent, &left);
		TRUE(pools_contains(&left, &o.r));
		pools_fini(&left);
		for (size_t i = 0; i < o.r.count; i++)
			TRUE(slow_may(o.r.v[i].role, s->role[fw]));
		while (s->held[at].used)
			TRUE(++at < OFFERS);
		s->held[at] = (struct held){ true, fw, agent, o.r };
	}
}

static void slow_give_back(struct slow *s)
{
	struct held *h = &s->held[rnd_below(&s->rnd, OFFERS)];
	int64_t refuse_us = (int64_t)rnd_below(&s->rnd, 3) * SEC;
	for (size_t i = 0; i < OFFERS && !h->used; i++)
		h = &s->held[i];
	if (!h->used)
		return;
	allocator_recover(s->a, s->frameworks[h->fw], s->role[h->fw], s->agents[h->agent], &h->r, refuse_us, s->now_us);
	if (refuse_us > 0) {
		struct refusal *f = refusal_of(s, h->fw, h->agent);
		pools_fini(&f->r);
		*f = (struct refusal){ true, h->fw, h->agent, s->now_us + refuse_us, h->r };
	} else {
		pools_fini(&h->r);
	}
	*h = (struct held){ 0 };
}

static void slow_event(struct slow *s)
{
	size_t fw = rnd_below(&s->rnd, FRAMEWORKS), agent = rnd_below(&s->rnd, AGENTS);
	switch (rnd_below(&s->rnd, 8)) {
	case 0:
		s->active[fw] = !s->active[fw];
		allocator_framework_activate(s->a, s->frameworks[fw], s->active[fw]);
		if (!s->active[fw])
			refusals_drop(s, fw);
		return;
	case 1:
		s->suppressed[fw] = true;
		allocator_suppress(s->a, s->frameworks[fw], s->role[fw]);
		return;
	case 2:
		s->suppressed[fw] = false;
		allocator_revive(s->a, s->frameworks[fw], NULL);
		refusals_drop(s, fw);
		return;
	case 3:
		s->agent_on[agent] = !s->agent_on[agent];
		allocator_agent_activate(s->a, s->agents[agent], s->agent_on[agent]);
		return;
	case 4:
		s->now_us += (int64_t)rnd_below(&s->rnd, SEC);
		return;
	default:
		slow_give_back(s);
		return;
	}
}

static void slow_check(struct slow *s)
{
	for (size_t agent = 0; agent < AGENTS; agent++) {
		struct pools left, theirs;
		slow_free_part(s, agent, &left);
		allocator_agent_free(s->a, s->agents[agent], &theirs);
		TRUE(pools_contains(&left, &theirs));
		TRUE(pools_contains(&theirs, &left));
		pools_fini(&left);
		pools_fini(&theirs);
		for (size_t fw = 0; fw < FRAMEWORKS; fw++)
			FALSE(slow_wants(s, fw, agent));
	}
}

static void slow_init(struct slow *s, uint64_t seed)
{
	*s = (struct slow){ .a = allocator_new() };
	rnd_seed(&s->rnd, seed);
	for (size_t i = 0; i < AGENTS; i++) {
		s->total[i] = random_pools(s);
		s->agents[i] = allocator_agent_add(s->a, &s->total[i]);
		s->agent_on[i] = true;
	}
	for (size_t i = 0; i < FRAMEWORKS; i++) {
		char name[] = { (char)('a' + i), '\0' };
		s->role[i] = random_roles[i % ARRAY_LEN(random_roles)];
		s->frameworks[i] = add_framework(s->a, name, s->role[i]);
		s->active[i] = true;
	}
}

static void slow_fini(struct slow *s)
{
	for (size_t i = 0; i < OFFERS; i++)
		pools_fini(&s->held[i].r);
	for (size_t i = 0; i < FRAMEWORKS; i++)
		refusals_drop(s, i);
	for (size_t i = 0; i < AGENTS; i++)
		pools_fini(&s->total[i]);
	allocator_free(s->a);
}

TEST(allocator, random_events_leave_nothing_unoffered_and_nothing_offered_twice)
{
	uint64_t seed = test_seed();
	for (size_t round = 0; round < test_rounds(20); round++) {
		struct slow s;
		slow_init(&s, seed + round);
		for (int i = 0; i < 300; i++) {
			slow_event(&s);
			allocator_run(s.a, s.now_us);
			slow_collect(&s);
			slow_check(&s);
		}
		slow_fini(&s);
	}
}
