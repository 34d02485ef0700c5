/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offers by dominant resource fairness. State: agents (total, allocated, filters), frameworks and their roles (allocated,
 * suppressed), roles (allocated). A run walks the agents that changed ("dirty") and gives each one's free part away, one
 * offer after another, each to the eligible client that holds least.
 * Invariant: free = total - allocated on every agent; a client's and a role's allocated sums are those of its agents.
 * Source: Mesos' hierarchical allocator (order, filters, reservations); quota and weights are not part of it.
 */
#include "roles/master/mesos/allocator.h"

#include "net/base/map.h"

/* A refusal: the client wants nothing contained in `r` from this agent until then. One for each (framework, role). */
struct filter {
	uint32_t fw, role;
	int64_t until_us;
	struct pools r;
};

struct alloc_agent {
	bool used, active, dirty;
	struct pools total, allocated;
	struct filter *filters;
	size_t filter_count;
};

struct client {                    /* a framework in one of its roles */
	uint32_t role;
	bool subscribed, suppressed;   /* not subscribed: only kept while it holds something */
	struct resources held;
	uint64_t rounds;               /* offers made to it */
};

struct alloc_framework {
	bool used, active, wants_gpus;
	char *name;
	struct client *clients;
	size_t client_count;
};

struct alloc_role {
	char *name;
	struct resources held;
	uint64_t rounds;
};

struct wake { int64_t due_us; uint32_t agent; };   /* a filter there may have ended */

struct allocator {
	struct alloc_agent *agents;
	struct alloc_framework *frameworks;
	struct alloc_role *roles;
	size_t agent_count, agent_cap, framework_count, role_count;
	uint32_t agent_hint;             /* no unused slot below */
	struct map role_ids;             /* name -> index + 1 */
	struct resources total;          /* of all agents */
	uint32_t *dirty;                 /* agents to look at */
	size_t dirty_count, dirty_cap;
	bool all_dirty;
	struct wake *wakes;              /* binary heap by due_us */
	size_t wake_count, wake_cap, filter_count;
	struct alloc_offer *out;
	size_t out_count, out_cap, out_at;
};

struct allocator *allocator_new(void) { return xcalloc(1, sizeof(struct allocator)); }

/* ---- scalars of struct resources without ports: what clients and roles hold ---- */

static void held_add(struct resources *a, const struct pools *p, int sign)
{
	for (size_t i = 0; i < p->count; i++) {
		a->cpus_milli += sign * p->v[i].r.cpus_milli;
		a->mem_milli += sign * p->v[i].r.mem_milli;
		a->disk_milli += sign * p->v[i].r.disk_milli;
		a->gpus_milli += sign * p->v[i].r.gpus_milli;
	}
}

static double part(int64_t held, int64_t total) { return total > 0 ? (double)held / (double)total : 0; }

static double share(const struct allocator *a, const struct resources *held)
{
	double s = part(held->cpus_milli, a->total.cpus_milli);
	s = MAX(s, part(held->mem_milli, a->total.mem_milli));
	s = MAX(s, part(held->disk_milli, a->total.disk_milli));
	return MAX(s, part(held->gpus_milli, a->total.gpus_milli));
}

/* ---- what to look at ---- */

static void mark(struct allocator *a, uint32_t agent)
{
	if (a->agents[agent].dirty)
		return;
	a->agents[agent].dirty = true;
	if (a->dirty_count == a->dirty_cap) {
		a->dirty_cap = MAX(2 * a->dirty_cap, (size_t)64);
		a->dirty = xrealloc(a->dirty, a->dirty_cap * sizeof(*a->dirty));
	}
	a->dirty[a->dirty_count++] = agent;
}

/* ---- wakes: a heap; entries of filters that are gone are found harmless when they come up ---- */

static void wake_push(struct allocator *a, struct wake w)
{
	size_t at = a->wake_count++;
	if (a->wake_count > a->wake_cap) {
		a->wake_cap = MAX(2 * a->wake_cap, (size_t)64);
		a->wakes = xrealloc(a->wakes, a->wake_cap * sizeof(*a->wakes));
	}
	for (; at > 0 && a->wakes[(at - 1) / 2].due_us > w.due_us; at = (at - 1) / 2)
		a->wakes[at] = a->wakes[(at - 1) / 2];
	a->wakes[at] = w;
}

static struct wake wake_pop(struct allocator *a)
{
	struct wake top = a->wakes[0], last = a->wakes[--a->wake_count];
	size_t at = 0;
	for (size_t child; (child = 2 * at + 1) < a->wake_count; at = child) {
		if (child + 1 < a->wake_count && a->wakes[child + 1].due_us < a->wakes[child].due_us)
			child++;
		if (a->wakes[child].due_us >= last.due_us)
			break;
		a->wakes[at] = a->wakes[child];
	}
	a->wakes[at] = last;
	return top;
}

/* Long refusals that were revived leave entries behind: start afresh when most are such. */
static void wakes_compact(struct allocator *a)
{
	if (a->wake_count < 2 * a->filter_count + 1024)
		return;
	a->wake_count = 0;
	for (uint32_t i = 0; i < a->agent_count; i++)
		for (size_t k = 0; k < a->agents[i].filter_count; k++)
			wake_push(a, (struct wake){ a->agents[i].filters[k].until_us, i });
}

/* ---- filters ---- */

static void filter_drop(struct allocator *a, struct alloc_agent *ag, size_t at)
{
	pools_fini(&ag->filters[at].r);
	ag->filters[at] = ag->filters[--ag->filter_count];
	a->filter_count--;
}

/* role ALLOC_NONE: all of them. */
static void filters_drop(struct allocator *a, uint32_t fw, uint32_t role)
{
	for (size_t i = 0; i < a->agent_count; i++) {
		struct alloc_agent *ag = &a->agents[i];
		for (size_t k = ag->filter_count; k-- > 0; )
			if (ag->filters[k].fw == fw && (role == ALLOC_NONE || ag->filters[k].role == role))
				filter_drop(a, ag, k);
	}
}

static void filter_put(struct allocator *a, uint32_t fw, uint32_t role, uint32_t agent, const struct pools *r, int64_t until_us)
{
	struct alloc_agent *ag = &a->agents[agent];
	size_t at = 0;
	while (at < ag->filter_count && (ag->filters[at].fw != fw || ag->filters[at].role != role))
		at++;
	if (at == ag->filter_count) {
		ag->filters = xrealloc(ag->filters, (at + 1) * sizeof(*ag->filters));
		ag->filter_count++;
		a->filter_count++;
	} else {
		pools_fini(&ag->filters[at].r);
	}
	ag->filters[at] = (struct filter){ .fw = fw, .role = role, .until_us = until_us };
	pools_copy(&ag->filters[at].r, r);
	wake_push(a, (struct wake){ until_us, agent });
	wakes_compact(a);
}

static bool filtered(const struct alloc_agent *ag, uint32_t fw, uint32_t role, const struct pools *r)
{
	for (size_t i = 0; i < ag->filter_count; i++)
		if (ag->filters[i].fw == fw && ag->filters[i].role == role)
			return pools_contains(&ag->filters[i].r, r);
	return false;
}

static void filters_expire(struct allocator *a, int64_t now_us)
{
	while (a->wake_count > 0 && a->wakes[0].due_us <= now_us) {
		uint32_t agent = wake_pop(a).agent;
		struct alloc_agent *ag = &a->agents[agent];
		for (size_t k = ag->filter_count; k-- > 0; ) {
			if (ag->filters[k].until_us > now_us)
				continue;
			filter_drop(a, ag, k);
			mark(a, agent);
		}
	}
}

/* ---- agents ---- */

static struct alloc_agent *agent_get(const struct allocator *a, uint32_t agent)
{
	assert(agent < a->agent_count);
	assert(a->agents[agent].used);
	return &a->agents[agent];
}

uint32_t allocator_agent_add(struct allocator *a, const struct pools *total)
{
	uint32_t at = a->agent_hint;
	while (at < a->agent_count && a->agents[at].used)
		at++;
	if (at == a->agent_cap) {
		a->agent_cap = MAX(2 * a->agent_cap, (size_t)16);
		a->agents = xrealloc(a->agents, a->agent_cap * sizeof(*a->agents));
	}
	if (at == a->agent_count)
		a->agents[a->agent_count++] = (struct alloc_agent){ 0 };
	a->agent_hint = at + 1;
	a->agents[at].used = a->agents[at].active = true;
	pools_copy(&a->agents[at].total, total);
	held_add(&a->total, total, 1);
	mark(a, at);
	return at;
}

void allocator_agent_resize(struct allocator *a, uint32_t agent, const struct pools *total)
{
	struct alloc_agent *ag = agent_get(a, agent);
	struct pools copy;
	pools_copy(&copy, total);
	held_add(&a->total, &ag->total, -1);
	held_add(&a->total, &copy, 1);
	pools_fini(&ag->total);
	ag->total = copy;
	mark(a, agent);
}

void allocator_agent_activate(struct allocator *a, uint32_t agent, bool active)
{
	agent_get(a, agent)->active = active;
	if (active)
		mark(a, agent);
}

void allocator_agent_remove(struct allocator *a, uint32_t agent)
{
	struct alloc_agent *ag = agent_get(a, agent);
	assert(pools_empty(&ag->allocated));
	held_add(&a->total, &ag->total, -1);
	while (ag->filter_count > 0)
		filter_drop(a, ag, ag->filter_count - 1);
	free(ag->filters);
	pools_fini(&ag->total);
	pools_fini(&ag->allocated);
	*ag = (struct alloc_agent){ .dirty = ag->dirty };    /* may still stand in the list */
	a->agent_hint = MIN(a->agent_hint, agent);
}

const struct pools *allocator_agent_total(const struct allocator *a, uint32_t agent) { return &agent_get(a, agent)->total; }

void allocator_agent_free(const struct allocator *a, uint32_t agent, struct pools *out)
{
	const struct alloc_agent *ag = agent_get(a, agent);
	pools_copy(out, &ag->total);
	pools_sub_part(out, &ag->allocated);
}

/* ---- frameworks ---- */

static struct alloc_framework *framework_get(const struct allocator *a, uint32_t fw)
{
	assert(fw < a->framework_count);
	assert(a->frameworks[fw].used);
	return &a->frameworks[fw];
}

static uint32_t role_find(const struct allocator *a, const char *name)
{
	return (uint32_t)(uintptr_t)map_find_c(&a->role_ids, name) - 1;      /* ALLOC_NONE when unknown */
}

static uint32_t role_get(struct allocator *a, const char *name)
{
	uint32_t at = role_find(a, name);
	if (at != ALLOC_NONE)
		return at;
	at = (uint32_t)a->role_count++;
	a->roles = xrealloc(a->roles, a->role_count * sizeof(*a->roles));
	a->roles[at] = (struct alloc_role){ .name = xstrdup(name) };
	map_put_c(&a->role_ids, name, (void *)(uintptr_t)(at + 1));
	return at;
}

static struct client *client_find(const struct alloc_framework *f, uint32_t role)
{
	for (size_t i = 0; i < f->client_count; i++)
		if (f->clients[i].role == role)
			return &f->clients[i];
	return NULL;
}

static struct client *client_get(struct alloc_framework *f, uint32_t role)
{
	struct client *c = client_find(f, role);
	if (c)
		return c;
	f->clients = xrealloc(f->clients, (f->client_count + 1) * sizeof(*f->clients));
	f->clients[f->client_count] = (struct client){ .role = role };
	return &f->clients[f->client_count++];
}

uint32_t allocator_framework_add(struct allocator *a, const char *name, bool wants_gpus)
{
	uint32_t at = 0;
	while (at < a->framework_count && a->frameworks[at].used)
		at++;
	if (at == a->framework_count)
		a->frameworks = xrealloc(a->frameworks, (++a->framework_count) * sizeof(*a->frameworks));
	a->frameworks[at] = (struct alloc_framework){ .used = true, .wants_gpus = wants_gpus, .name = xstrdup(name) };
	return at;
}

void allocator_framework_roles(struct allocator *a, uint32_t fw, const char *const *roles, size_t count)
{
	struct alloc_framework *f = framework_get(a, fw);
	bool *keep = xcalloc(f->client_count + count, sizeof(*keep));
	for (size_t i = 0; i < count; i++) {
		struct client *c = client_get(f, role_get(a, roles[i]));
		keep[c - f->clients] = c->subscribed = true;
	}
	for (size_t i = 0; i < f->client_count; i++) {
		if (keep[i])
			continue;
		f->clients[i].subscribed = false;
		filters_drop(a, fw, f->clients[i].role);
	}
	free(keep);
	a->all_dirty = true;
}

void allocator_framework_activate(struct allocator *a, uint32_t fw, bool active)
{
	framework_get(a, fw)->active = active;
	if (active)
		a->all_dirty = true;
	else
		filters_drop(a, fw, ALLOC_NONE);
}

void allocator_framework_remove(struct allocator *a, uint32_t fw)
{
	struct alloc_framework *f = framework_get(a, fw);
	filters_drop(a, fw, ALLOC_NONE);
	free(f->name);
	free(f->clients);
	*f = (struct alloc_framework){ 0 };
}

static void set_suppressed(struct allocator *a, uint32_t fw, const char *role, bool suppressed)
{
	struct alloc_framework *f = framework_get(a, fw);
	uint32_t only = role ? role_find(a, role) : ALLOC_NONE;
	for (size_t i = 0; i < f->client_count; i++)
		if (!role || f->clients[i].role == only)
			f->clients[i].suppressed = suppressed;
	if (!suppressed) {
		filters_drop(a, fw, only);
		a->all_dirty = true;
	}
}

void allocator_suppress(struct allocator *a, uint32_t fw, const char *role) { set_suppressed(a, fw, role, true); }
void allocator_revive(struct allocator *a, uint32_t fw, const char *role) { set_suppressed(a, fw, role, false); }

bool allocator_has_role(const struct allocator *a, uint32_t fw, const char *role)
{
	const struct client *c = client_find(framework_get(a, fw), role_find(a, role));
	return c && c->subscribed;
}

bool allocator_suppressed(const struct allocator *a, uint32_t fw, const char *role)
{
	const struct client *c = client_find(framework_get(a, fw), role_find(a, role));
	return c && c->suppressed;
}

/* ---- resources ---- */

void allocator_take(struct allocator *a, uint32_t fw, const char *role, uint32_t agent, const struct pools *r)
{
	uint32_t at = role_get(a, role);
	pools_add(&agent_get(a, agent)->allocated, r);
	held_add(&client_get(framework_get(a, fw), at)->held, r, 1);
	held_add(&a->roles[at].held, r, 1);
}

void allocator_recover(struct allocator *a, uint32_t fw, const char *role, uint32_t agent, const struct pools *r,
		       int64_t refuse_us, int64_t now_us)
{
	uint32_t at = role_get(a, role);
	pools_sub_part(&agent_get(a, agent)->allocated, r);
	held_add(&a->roles[at].held, r, -1);
	if (fw != ALLOC_NONE) {
		held_add(&client_get(framework_get(a, fw), at)->held, r, -1);
		if (refuse_us > 0)
			filter_put(a, fw, at, agent, r, now_us + MIN(refuse_us, ALLOC_REFUSE_MAX_US));
	}
	mark(a, agent);
}

/* ---- running ---- */

/* Reservations of a role are open to itself and to the roles below it: "eng" to "eng/dev". */
static bool role_may_have(const char *reserved, const char *role)
{
	size_t n = strlen(reserved);
	if (strcmp(reserved, "*") == 0)
		return true;
	return strncmp(reserved, role, n) == 0 && (role[n] == '\0' || role[n] == '/');
}

static void open_to(const struct pools *free_part, const char *role, struct pools *out)
{
	for (size_t i = 0; i < free_part->count; i++)
		if (!resources_empty(&free_part->v[i].r) && role_may_have(free_part->v[i].role, role))
			pools_put(out, free_part->v[i].role, &free_part->v[i].r);
}

static bool worth_offering(const struct pools *p)
{
	struct resources sum = { 0 };
	held_add(&sum, p, 1);
	return sum.cpus_milli >= ALLOC_MIN_CPUS_MILLI || sum.mem_milli >= ALLOC_MIN_MEM_MILLI;
}

/* GPUs are scarce: agents with some are kept for frameworks that say they use them. */
static bool gpus_forbid(const struct alloc_framework *f, const struct alloc_agent *ag)
{
	struct resources sum = { 0 };
	held_add(&sum, &ag->total, 1);
	return sum.gpus_milli > 0 && !f->wants_gpus;
}

/* Who comes first: less share of the role, then of the framework in it; then fewer offers so far; then the name. */
static bool before(const struct allocator *a, const struct alloc_framework *f, const struct client *c,
		   const struct alloc_framework *g, const struct client *d)
{
	const struct alloc_role *r = &a->roles[c->role], *q = &a->roles[d->role];
	if (r != q) {
		double x = share(a, &r->held), y = share(a, &q->held);
		return x < y || (x <= y && (r->rounds < q->rounds || (r->rounds == q->rounds && strcmp(r->name, q->name) < 0)));
	}
	double x = share(a, &c->held), y = share(a, &d->held);
	return x < y || (x <= y && (c->rounds < d->rounds || (c->rounds == d->rounds && strcmp(f->name, g->name) < 0)));
}

static bool eligible(const struct allocator *a, uint32_t fw, const struct client *c, const struct alloc_agent *ag,
		     const struct pools *free_part, struct pools *out)
{
	open_to(free_part, a->roles[c->role].name, out);
	if (worth_offering(out) && !gpus_forbid(&a->frameworks[fw], ag) && !filtered(ag, fw, c->role, out))
		return true;
	pools_fini(out);
	return false;
}

static bool pick(struct allocator *a, const struct alloc_agent *ag, const struct pools *free_part, uint32_t *out_fw,
		 struct client **out_client, struct pools *out)
{
	struct client *best = NULL;
	for (uint32_t i = 0; i < a->framework_count; i++) {
		struct alloc_framework *f = &a->frameworks[i];
		for (size_t k = 0; f->used && f->active && k < f->client_count; k++) {
			struct client *c = &f->clients[k];
			struct pools want = { 0 };
			if (!c->subscribed || c->suppressed || (best && !before(a, f, c, &a->frameworks[*out_fw], best)))
				continue;
			if (!eligible(a, i, c, ag, free_part, &want))
				continue;
			pools_fini(out);
			*out = want;
			*out_fw = i;
			best = c;
		}
	}
	*out_client = best;
	return best != NULL;
}

static void emit(struct allocator *a, uint32_t fw, struct client *c, uint32_t agent, struct pools *r)
{
	if (a->out_count == a->out_cap) {
		a->out_cap = MAX(2 * a->out_cap, (size_t)16);
		a->out = xrealloc(a->out, a->out_cap * sizeof(*a->out));
	}
	c->rounds++;
	a->roles[c->role].rounds++;
	allocator_take(a, fw, a->roles[c->role].name, agent, r);
	a->out[a->out_count++] = (struct alloc_offer){ fw, agent, a->roles[c->role].name, pools_move(r) };
}

static void allocate_agent(struct allocator *a, uint32_t agent)
{
	struct alloc_agent *ag = &a->agents[agent];
	struct client *c;
	uint32_t fw = ALLOC_NONE;
	ag->dirty = false;
	while (ag->used && ag->active) {
		struct pools free_part, r = { 0 };
		allocator_agent_free(a, agent, &free_part);
		bool found = pick(a, ag, &free_part, &fw, &c, &r);
		pools_fini(&free_part);
		if (!found)
			return;
		emit(a, fw, c, agent, &r);
	}
}

void allocator_run(struct allocator *a, int64_t now_us)
{
	filters_expire(a, now_us);
	for (uint32_t i = 0; a->all_dirty && i < a->agent_count; i++)
		mark(a, i);
	a->all_dirty = false;
	for (size_t i = 0; i < a->dirty_count; i++)
		allocate_agent(a, a->dirty[i]);
	a->dirty_count = 0;
}

bool allocator_next(struct allocator *a, struct alloc_offer *out)
{
	if (a->out_at == a->out_count) {
		a->out_at = a->out_count = 0;
		return false;
	}
	*out = a->out[a->out_at++];
	return true;
}

int64_t allocator_due_us(const struct allocator *a) { return a->wake_count > 0 ? a->wakes[0].due_us : INT64_MAX; }

struct resources allocator_role_held(const struct allocator *a, const char *role)
{
	uint32_t at = role_find(a, role);
	return at == ALLOC_NONE ? (struct resources){ 0 } : a->roles[at].held;
}

double allocator_role_share(const struct allocator *a, const char *role)
{
	uint32_t at = role_find(a, role);
	return at == ALLOC_NONE ? 0 : share(a, &a->roles[at].held);
}

size_t allocator_filter_count(const struct allocator *a) { return a->filter_count; }

void allocator_free(struct allocator *a)
{
	struct alloc_offer o;
	if (!a)
		return;
	while (allocator_next(a, &o))
		pools_fini(&o.r);
	for (size_t i = 0; i < a->agent_count; i++) {
		while (a->agents[i].filter_count > 0)
			filter_drop(a, &a->agents[i], a->agents[i].filter_count - 1);
		free(a->agents[i].filters);
		pools_fini(&a->agents[i].total);
		pools_fini(&a->agents[i].allocated);
	}
	for (size_t i = 0; i < a->framework_count; i++) {
		free(a->frameworks[i].name);
		free(a->frameworks[i].clients);
	}
	for (size_t i = 0; i < a->role_count; i++)
		free(a->roles[i].name);
	map_fini(&a->role_ids);
	free(a->agents);
	free(a->frameworks);
	free(a->roles);
	free(a->dirty);
	free(a->wakes);
	free(a->out);
	free(a);
}
