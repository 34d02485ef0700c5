/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agents: admission, health, coming and going.
 *
 *   (registry) -> RECOVERED --back---.
 *                    |               v      connection lost
 *   first register ------------> ACTIVE <=================> DISCONNECTED
 *                    |            |  ^          back            |
 *        10 min over |   no pongs |  | back                     | patience over
 *                    `----------> UNREACHABLE <-----------------'
 *
 * An id, and the step into and out of UNREACHABLE, is in the registry before anybody sees it: `changing` marks the wait, during
 * which the agent is asked to come again. Source: Mesos' master (registration table, observer, reconciliation).
 */
#include <inttypes.h>
#include <pb_encode.h>
#include <stdio.h>

#include "net/base/log.h"
#include "net/limits.h"
#include "roles/master/mesos/model.h"

#define TURNS_AT_ONCE 100                      /* agents taken back without a pause between them */

static const char *const agent_states[] = { "recovered", "active", "disconnected", "unreachable" };
static const struct sm_move_row agent_moves[] = {
	{ AGENT_RECOVERED, AGENT_ACTIVE },     { AGENT_RECOVERED, AGENT_UNREACHABLE },
	{ AGENT_ACTIVE, AGENT_DISCONNECTED },  { AGENT_ACTIVE, AGENT_UNREACHABLE },
	{ AGENT_DISCONNECTED, AGENT_ACTIVE },  { AGENT_DISCONNECTED, AGENT_UNREACHABLE },
	{ AGENT_UNREACHABLE, AGENT_ACTIVE },
};
static const struct sm_type agent_type = { "agent", agent_states, agent_moves, ARRAY_LEN(agent_moves) };

static void on_due(struct deadline *d, void *arg);

struct agent *agents_find(const struct model *m, const char *id) { return map_find_c(&m->agents, id); }

mesos_v1_AgentID *agents_id(struct arena *a, const char *id)
{
	mesos_v1_AgentID *out = arena_new(a, mesos_v1_AgentID);
	out->value = arena_strdup(a, id);
	return out;
}

void agents_used(const struct agent *a, struct pools *out)
{
	list_each(&a->tasks, it) {
		const struct task *t = list_entry(it, struct task, agent_link);
		if (!t->holds)
			continue;
		pools_add(out, &t->used);
		pools_add(out, &t->executor_used);
	}
}

/* ---- state and address: the indexes that follow them ---- */

static void address_drop(struct model *m, struct agent *a)
{
	AUTO_FREE char *key = xasprintf("%s:%u", a->ip ? a->ip : "", a->port);
	if (map_find_c(&m->agents_at, key) == a)
		map_remove_c(&m->agents_at, key);
}

static void address_put(struct model *m, struct agent *a)
{
	AUTO_FREE char *key = xasprintf("%s:%u", a->ip, a->port);
	if (a->sm.state != AGENT_UNREACHABLE)
		map_put_c(&m->agents_at, key, a);
}

static void agent_move(struct model *m, struct agent *a, enum agent_state to)
{
	m->recovered_count -= a->sm.state == AGENT_RECOVERED;
	sm_move(&a->sm, (uint8_t)to);
	if (to == AGENT_UNREACHABLE)
		address_drop(m, a);
	else
		address_put(m, a);
}

static struct agent *agent_new(struct model *m, const char *id, enum agent_state state)
{
	struct agent *a = xcalloc(1, sizeof(*a));
	*a = (struct agent){ .id = xstrdup(id), .arena = ARENA_INIT, .slot = ALLOC_NONE };
	a->sm = (struct sm){ &agent_type, a->id, (uint8_t)state };
	list_init(&a->tasks);
	list_init(&a->offers);
	m->recovered_count += state == AGENT_RECOVERED;
	list_push(&m->agent_list, &a->link);
	map_put_c(&m->agents, a->id, a);
	return a;
}

/* Facts of an agent as the registry and the agent itself tell them. */
struct facts {
	const mesos_v1_AgentInfo *info;
	const char *id, *ip, *node, *version;
	uint32_t port;
};

static void agent_set_facts(struct model *m, struct agent *a, const struct facts *f)
{
	struct arena arena = ARENA_INIT, old = a->arena;
	struct err e = { 0 };
	mesos_v1_AgentInfo *info = PB_DUP(&arena, mesos_v1_AgentInfo, f->info, &e);
	assert(info);
	info->id = agents_id(&arena, a->id);
	address_drop(m, a);
	a->ip = arena_strdup(&arena, f->ip ? f->ip : "");
	a->node = arena_strdup(&arena, f->node ? f->node : "");
	a->version = arena_strdup(&arena, f->version ? f->version : "");
	a->port = f->port;
	a->info = info;
	a->arena = arena;
	address_put(m, a);
	arena_fini(&old);
}

static void slot_put(struct model *m, struct agent *a, const struct pools *total)
{
	if (a->slot != ALLOC_NONE) {
		allocator_agent_resize(m->alloc, a->slot, total);
		return;
	}
	a->slot = allocator_agent_add(m->alloc, total);
	if (a->slot >= m->agent_of_count) {
		size_t count = MAX(2 * m->agent_of_count, (size_t)a->slot + 16);
		m->agent_of = xrealloc(m->agent_of, count * sizeof(struct agent *));
		m->agent_of_count = count;
	}
	m->agent_of[a->slot] = a;
}

static void slot_drop(struct model *m, struct agent *a)
{
	if (a->slot == ALLOC_NONE)
		return;
	allocator_agent_remove(m->alloc, a->slot);
	m->agent_of[a->slot] = NULL;
	a->slot = ALLOC_NONE;
}

void agents_free(struct model *m, struct agent *a)
{
	list_each_safe(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, agent_link);
		list_remove(&t->agent_link);
		t->agent = NULL;
	}
	deadline_clear(&m->deadlines, &a->due);
	list_remove(&a->link);
	list_remove(&a->dirty_link);
	m->recovered_count -= a->sm.state == AGENT_RECOVERED;
	address_drop(m, a);
	map_remove_c(&m->agents, a->id);
	pools_fini(&a->offered);
	arena_fini(&a->arena);
	free(a->id);
	free(a);
}

/* ---- registry ---- */

static void propose_put(struct model *m, const struct facts *f, int64_t registered_us, int64_t unreachable_us, struct pending *p)
{
	struct arena arena = ARENA_INIT;
	struct err e = { 0 };
	mesos_v1_AgentInfo *info = PB_DUP(&arena, mesos_v1_AgentInfo, f->info, &e);
	assert(info);
	info->id = agents_id(&arena, f->id);
	rec_Agent row = {
		.id = (char *)f->id, .info = info, .ip = (char *)f->ip, .has_port = true, .port = f->port,
		.has_registered_us = true, .registered_us = registered_us, .node = (char *)f->node,
		.has_unreachable_us = unreachable_us != 0, .unreachable_us = unreachable_us,
	};
	model_propose(m, rec_Op_OP_AGENT_PUT, rec_Agent_fields, &row, p);
	arena_fini(&arena);
}

void agents_load(struct model *m, const rec_Agent *row)
{
	if (!row->id || !row->info || agents_find(m, row->id))
		return;
	struct agent *a = agent_new(m, row->id, row->has_unreachable_us ? AGENT_UNREACHABLE : AGENT_RECOVERED);
	agent_set_facts(m, a, &(struct facts){ row->info, row->id, row->ip, row->node, NULL, row->port });
	a->registered_us = row->registered_us;
	a->unreachable_us = row->has_unreachable_us ? row->unreachable_us : 0;
	publish_agent(m, a);
}

static void recovery_check(struct model *m)
{
	if (!m->recovering || m->recovered_count > 0)
		return;
	m->recovering = false;
	deadline_clear(&m->deadlines, &m->recovery);
	LOG(INFO, "recovery ended", "agents=%zu frameworks=%zu", map_count(&m->agents), map_count(&m->frameworks));
	const int tables[] = { dcos_ViewTable_VIEW_AGENT, dcos_ViewTable_VIEW_NAME, dcos_ViewTable_VIEW_FRAMEWORK, dcos_ViewTable_VIEW_TASK };
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		outbox_put(&m->out, (struct act){ .kind = ACT_VIEW_SWEEP, .number = tables[i] });
}

static void on_recovery_due(struct deadline *d, void *arg)
{
	(void)d;
	recovery_check(arg);      /* the agents' own deadlines, which end then too, have moved them on by now or soon will */
}

static void on_gc_due(struct deadline *d, void *arg);

void agents_recovery_start(struct model *m)
{
	m->recovering = true;
	deadline_set(&m->deadlines, &m->gc, m->now_us + REGISTRY_GC_US, on_gc_due);
	list_each(&m->agent_list, it) {
		struct agent *a = list_entry(it, struct agent, link);
		if (a->sm.state == AGENT_RECOVERED)
			deadline_set(&m->deadlines, &a->due, m->now_us + AGENT_REREGISTER_TIMEOUT_US, on_due);
	}
	deadline_set(&m->deadlines, &m->recovery, m->now_us, on_recovery_due);
}

/* ---- registration ---- */

/* One AGENT_REGISTER that waits for the store: first for a number, then for the row. */
struct registration {
	struct pending p;
	struct conn *conn;          /* NULL: it ended meanwhile */
	void *req;
	struct agent *agent;        /* marked `changing` by us; NULL: new */
	struct blob msg;            /* dcos.AgentRegister */
	char *id;                   /* once there is a number */
};

static void registration_free(struct pending *p)
{
	struct registration *r = container_of(p, struct registration, p);
	blob_fini(&r->msg);
	free(r->id);
	free(r);
}

static void registration_drop(struct pending *p)
{
	model_fail(p->model, container_of(p, struct registration, p)->req,
		   &(struct err){ .code = E_NOTLEADER, .text = "this master no longer leads" });
	registration_free(p);
}

static void registration_refuse(struct model *m, struct registration *r, const struct err *e)
{
	if (r->agent)
		r->agent->changing = false;
	model_fail(m, r->req, e);
	registration_free(&r->p);
}

static struct facts facts_of(const dcos_AgentRegister *reg, const char *id)
{
	return (struct facts){ reg->info, id, reg->ip, reg->node, reg->version, reg->port };
}

/* It has no connection any more; the peer hears that by losing it, and comes again. */
static void drop_conn(struct model *m, struct agent *a)
{
	if (!a->conn)
		return;
	outbox_put(&m->out, (struct act){ .kind = ACT_DROP, .to = a->conn });
	a->conn->agent = NULL;
	a->conn = NULL;
}

static int64_t patience_us(const struct model *m)
{
	return MIN(AGENT_REREGISTER_TIMEOUT_US, m->config.ping_timeout_us * m->config.ping_misses_max);
}

static void admit(struct model *m, struct agent *a, struct conn *conn, void *req, const dcos_AgentRegister *reg)
{
	struct arena arena = ARENA_INIT;
	struct facts f = facts_of(reg, a->id);
	struct pools total = { 0 };
	struct err e = { 0 };
	bool first = a->registered_us == 0, again = a->conn == conn;
	int rc = pools_from_v1(&total, reg->info->resources, reg->info->resources_count, &e);
	assert(rc == 0);       /* looked at when it came */
	agent_set_facts(m, a, &f);
	if (a->conn != conn)
		drop_conn(m, a);
	a->conn = conn;
	conn->agent = a;
	a->missed_pings = 0;
	a->changing = false;
	a->unreachable_us = 0;
	*(first ? &a->registered_us : &a->reregistered_us) = m->unix_us;
	*(first ? &m->metrics.slave_registrations : &m->metrics.slave_reregistrations) += 1;
	slot_put(m, a, &total);
	allocator_agent_activate(m->alloc, a->slot, true);
	dcos_AgentRegistered reply = {
		.agent_id = a->id, .has_ping_timeout_us = true,
		.ping_timeout_us = m->config.ping_timeout_us * m->config.ping_misses_max,
	};
	a->turn_us = 0;
	if (reg->digest)
		tasks_confirmed(m, a, &reply, &arena);
	else
		tasks_reported(m, a, reg, again, &reply, &arena);     /* sees whether the agent was unreachable */
	if (a->sm.state != AGENT_ACTIVE)
		agent_move(m, a, AGENT_ACTIVE);
	model_reply(m, req, dcos_AgentRegistered_fields, &reply);
	deadline_set(&m->deadlines, &a->due, m->now_us + m->config.ping_timeout_us, on_due);
	publish_agent(m, a);
	LOG(INFO, first ? "agent registered" : "agent re-registered", "id=%s ip=%s node=%s tasks=%u by=%s", a->id, a->ip, a->node,
	    (unsigned)(reg->digest ? reg->task_count : reg->tasks_count), reg->digest ? "digest" : "list");
	recovery_check(m);
	pools_fini(&total);
	arena_fini(&arena);
}

static void on_recorded(struct pending *p, struct str reply, const struct err *e)
{
	struct registration *r = container_of(p, struct registration, p);
	struct model *m = p->model;
	struct arena arena = ARENA_INIT;
	dcos_AgentRegister reg;
	(void)reply;
	if (e->code != 0) {
		registration_refuse(m, r, e);
		return;
	}
	blob_unpack(&r->msg, &arena, dcos_AgentRegister_fields, &reg);
	struct agent *a = r->agent ? r->agent : agent_new(m, r->id, AGENT_DISCONNECTED);
	a->changing = false;
	if (r->conn) {
		admit(m, a, r->conn, r->req, &reg);
	} else {
		struct facts f = facts_of(&reg, a->id);
		agent_set_facts(m, a, &f);
		if (a->sm.state == AGENT_DISCONNECTED)
			deadline_set(&m->deadlines, &a->due, m->now_us + patience_us(m), on_due);
		model_fail(m, r->req, &(struct err){ .code = E_CLOSED, .text = "the agent's connection ended" });
	}
	registration_free(p);
	arena_fini(&arena);
}

static void on_numbered(struct pending *p, struct str reply, const struct err *e)
{
	struct registration *r = container_of(p, struct registration, p);
	struct model *m = p->model;
	struct arena arena = ARENA_INIT;
	dcos_AgentRegister reg;
	rec_CounterValue n = rec_CounterValue_init_zero;
	struct err why = *e;
	if (e->code != 0 || pb_read(&arena, rec_CounterValue_fields, reply, &n, &why) != 0) {
		registration_refuse(m, r, &why);
		arena_fini(&arena);
		return;
	}
	blob_unpack(&r->msg, &arena, dcos_AgentRegister_fields, &reg);
	r->id = xasprintf("%s-S%" PRIu64, m->config.master_id, n.value - 1);
	r->p.done = on_recorded;
	struct facts f = facts_of(&reg, r->id);
	propose_put(m, &f, m->unix_us, 0, &r->p);
	arena_fini(&arena);
}

static struct registration *registration_new(struct conn *conn, void *req, struct str payload, struct agent *a)
{
	struct registration *r = xcalloc(1, sizeof(*r));
	*r = (struct registration){ .p.drop = registration_drop, .conn = conn, .req = req, .agent = a };
	blob_put(&r->msg, payload);
	if (a)
		a->changing = true;
	return r;
}

static struct agent *agent_at(const struct model *m, const char *ip, uint32_t port)
{
	AUTO_FREE char *key = xasprintf("%s:%u", ip, port);
	return map_find_c(&m->agents_at, key);
}

static void tell_failure(struct model *m, struct agent *a)
{
	struct arena arena = ARENA_INIT;
	mesos_v1_scheduler_Event_Failure failure = { .agent_id = agents_id(&arena, a->id) };
	mesos_v1_scheduler_Event ev = { .has_type = true, .type = mesos_v1_scheduler_Event_Type_FAILURE, .failure = &failure };
	list_each(&m->framework_list, it)
		model_event(m, list_entry(it, struct framework, link), &ev);
	arena_fini(&arena);
}

/* For good: another agent stands at its address now, or nobody has seen it for long. */
static void agent_remove(struct model *m, struct agent *a, const char *message)
{
	rec_Key key = { a->id };
	LOG(WARN, "agent removed", "id=%s ip=%s reason=%s", a->id, a->ip, message);
	model_propose(m, rec_Op_OP_AGENT_REMOVE, rec_Key_fields, &key, NULL);
	tasks_agent_removed(m, a, message);
	offers_rescind_of_agent(m, a);
	tell_failure(m, a);
	slot_drop(m, a);
	drop_conn(m, a);
	publish_agent_gone(m, a);
	m->metrics.slave_removals++;
	agents_free(m, a);
}

static void on_gc_due(struct deadline *d, void *arg)
{
	struct model *m = arg;
	list_each_safe(&m->agent_list, it) {
		struct agent *a = list_entry(it, struct agent, link);
		if (a->sm.state == AGENT_UNREACHABLE && !a->changing && a->unreachable_us < m->unix_us - REGISTRY_AGENT_AGE_US)
			agent_remove(m, a, "unreachable for two weeks");
	}
	deadline_set(&m->deadlines, d, m->now_us + REGISTRY_GC_US, on_gc_due);
}

static struct registration *registration_over(const struct model *m, const struct conn *conn)
{
	list_each(&m->pending, it) {
		struct pending *p = list_entry(it, struct pending, link);
		struct registration *r = container_of(p, struct registration, p);
		if (p->drop == registration_drop && r->conn == conn)
			return r;
	}
	return NULL;
}

static void register_new(struct model *m, struct conn *conn, void *req, const dcos_AgentRegister *reg, struct str payload)
{
	struct agent *old = agent_at(m, reg->ip, reg->port);
	rec_Counter counter = { "agents" };
	m->metrics.messages_register_slave++;
	if (old && old->conn == conn) {          /* our answer got lost */
		admit(m, old, conn, req, reg);
		return;
	}
	if (old && old->changing) {
		model_fail(m, req, &(struct err){ .code = E_BUSY, .text = "an agent at this address is changing, try again" });
		return;
	}
	if (old) {
		m->metrics.slave_removals_registered++;
		agent_remove(m, old, "a new agent registered at the same address");
	}
	struct registration *r = registration_new(conn, req, payload, NULL);
	r->p.done = on_numbered;
	model_propose(m, rec_Op_OP_COUNTER, rec_Counter_fields, &counter, &r->p);
}

static bool info_differs(const struct agent *a, const dcos_AgentRegister *reg)
{
	return !pb_equal(mesos_v1_AgentInfo_fields, a->info, reg->info) || a->port != reg->port ||
	       strcmp(a->ip, reg->ip) != 0 || !cstr_eq(a->node, reg->node ? reg->node : "");
}

/*
 * When a leader is new, agents come all at once: each gets a turn, so many a second, the first ones at once. 0: now.
 */
static int64_t turn_in_us(struct model *m, struct agent *a)
{
	if (m->config.reregister_rate == 0 || a->sm.state == AGENT_ACTIVE)
		return 0;
	int64_t pause_us = SEC / m->config.reregister_rate;
	if (a->turn_us == 0)
		m->last_turn_us = a->turn_us = MAX(m->last_turn_us, m->now_us - TURNS_AT_ONCE * pause_us) + pause_us;
	return MAX(a->turn_us - m->now_us, (int64_t)0);
}

static bool digest_equal(const struct agent *a, const dcos_AgentRegister *reg)
{
	struct task_digest known;
	tasks_digest(a, &known);
	return reg->task_count == known.count && str_eq(pb_bytes_view(reg->digest), str_n((const char *)known.sum, sizeof(known.sum)));
}

static void come_again(struct model *m, void *req, const char *id, bool want_tasks, int64_t in_us)
{
	dcos_AgentRegistered reply = {
		.agent_id = (char *)id, .has_want_tasks = want_tasks, .want_tasks = want_tasks, .has_come_in_us = !want_tasks, .come_in_us = in_us,
	};
	model_reply(m, req, dcos_AgentRegistered_fields, &reply);
}

static void register_known(struct model *m, struct conn *conn, void *req, const dcos_AgentRegister *reg, struct str payload)
{
	const char *id = reg->info->id->value;
	struct agent *a = agents_find(m, id);
	m->metrics.messages_reregister_slave++;
	if (a && a->changing) {
		model_fail(m, req, &(struct err){ .code = E_BUSY, .text = "this agent is changing in the registry, try again" });
		return;
	}
	int64_t wait_us = a ? turn_in_us(m, a) : 0;
	bool as_known = a && a->sm.state != AGENT_UNREACHABLE && !info_differs(a, reg);
	if (wait_us > 0) {
		come_again(m, req, id, false, wait_us);
		return;
	}
	if (reg->digest && !(as_known && digest_equal(a, reg))) {
		come_again(m, req, id, true, 0);
		return;
	}
	if (as_known) {
		admit(m, a, conn, req, reg);
		return;
	}
	struct registration *r = registration_new(conn, req, payload, a);
	r->id = xstrdup(id);
	r->p.done = on_recorded;
	struct facts f = facts_of(reg, r->id);
	propose_put(m, &f, a && a->registered_us ? a->registered_us : m->unix_us, 0, &r->p);
}

static int check_info(const mesos_v1_AgentInfo *info, struct err *e)
{
	struct pools total = { 0 };
	size_t size;
	if (!pb_get_encoded_size(&size, mesos_v1_AgentInfo_fields, info) || size > LIMIT_AGENT_INFO_BYTES)
		return err_set(e, E_TOOBIG, "an agent's info must not be larger than %d bytes", LIMIT_AGENT_INFO_BYTES);
	int rc = pools_from_v1(&total, info->resources, info->resources_count, e);
	pools_fini(&total);
	return rc;
}

static int check_register(struct model *m, struct arena *arena, struct str payload, dcos_AgentRegister *reg, struct err *e)
{
	int rc = pb_read(arena, dcos_AgentRegister_fields, payload, reg, e);
	if (rc == 0 && (!reg->info || !reg->ip || !reg->has_port))
		rc = err_set(e, E_MALFORMED, "a registration needs info, ip and port");
	if (rc == 0)
		rc = check_info(reg->info, e);
	if (rc == 0 && reg->info->id && (!validate_id(reg->info->id->value, e)))
		rc = err_wrap(e, "the agent's id");
	if (rc != 0)
		m->metrics.dropped_messages++;
	return rc;
}

void agents_register(struct model *m, struct conn *conn, void *req, struct str payload)
{
	struct arena arena = ARENA_INIT;
	dcos_AgentRegister reg;
	struct err e = { 0 };
	int rc = check_register(m, &arena, payload, &reg, &e);
	if (rc == 0 && registration_over(m, conn))
		rc = err_set(&e, E_BUSY, "this agent's registration is under way already");
	if (rc != 0)
		model_fail(m, req, &e);
	else if (reg.info->id)
		register_known(m, conn, req, &reg, payload);
	else
		register_new(m, conn, req, &reg, payload);
	arena_fini(&arena);
}

void agents_resources(struct model *m, struct agent *a, struct str payload)
{
	struct arena arena = ARENA_INIT;
	dcos_AgentResources msg;
	mesos_v1_AgentInfo info = *a->info;
	struct pools total = { 0 };
	struct err e = { 0 };
	int rc = pb_read(&arena, dcos_AgentResources_fields, payload, &msg, &e);
	if (rc == 0) {
		info.resources = msg.resources;
		info.resources_count = msg.resources_count;
		rc = check_info(&info, &e);
	}
	if (rc == 0)
		rc = pools_from_v1(&total, info.resources, info.resources_count, &e);
	if (rc == 0) {
		offers_rescind_of_agent(m, a);
		agent_set_facts(m, a, &(struct facts){ &info, a->id, a->ip, a->node, a->version, a->port });
		slot_put(m, a, &total);
		publish_agent(m, a);
	} else {
		m->metrics.dropped_messages++;
		LOG(WARN, "agent's resources ignored", "id=%s error=%s", a->id, e.text);
	}
	pools_fini(&total);
	arena_fini(&arena);
}

/* ---- health ---- */

static void on_unreachable(struct pending *p, struct str reply, const struct err *e);

/* The step to UNREACHABLE while the registry writes it. */
struct marking {
	struct pending p;
	struct agent *agent;
	int64_t since_us;
};

static void marking_free(struct pending *p) { free(container_of(p, struct marking, p)); }

static void mark_unreachable(struct model *m, struct agent *a)
{
	struct marking *k = xcalloc(1, sizeof(*k));
	struct facts f = { a->info, a->id, a->ip, a->node, a->version, a->port };
	*k = (struct marking){ .p = { .done = on_unreachable, .drop = marking_free }, .agent = a, .since_us = m->unix_us };
	a->changing = true;
	deadline_clear(&m->deadlines, &a->due);
	m->metrics.slave_unreachable_scheduled++;
	propose_put(m, &f, a->registered_us, m->unix_us, &k->p);
}

static void on_unreachable(struct pending *p, struct str reply, const struct err *e)
{
	struct marking *k = container_of(p, struct marking, p);
	struct model *m = p->model;
	struct agent *a = k->agent;
	(void)reply;
	a->changing = false;
	if (e->code != 0) {
		LOG(WARN, "agent could not be marked unreachable", "id=%s error=%s", a->id, e->text);
		deadline_set(&m->deadlines, &a->due, m->now_us + m->config.ping_timeout_us, on_due);
		marking_free(p);
		return;
	}
	LOG(WARN, "agent unreachable", "id=%s ip=%s state=%s missed_pings=%lld", a->id, a->ip, sm_name(&a->sm), (long long)a->missed_pings);
	*(a->sm.state == AGENT_RECOVERED ? &m->metrics.recovery_slave_removals : &m->metrics.slave_removals_unhealthy) += 1;
	m->metrics.slave_removals++;
	m->metrics.slave_unreachable_completed++;
	a->unreachable_us = k->since_us;
	agent_move(m, a, AGENT_UNREACHABLE);
	tasks_agent_unreachable(m, a);
	offers_rescind_of_agent(m, a);
	tell_failure(m, a);
	slot_drop(m, a);
	drop_conn(m, a);
	publish_agent(m, a);
	recovery_check(m);
	marking_free(p);
}

static void on_due(struct deadline *d, void *arg)
{
	struct agent *a = container_of(d, struct agent, due);
	struct model *m = arg;
	if (a->sm.state == AGENT_ACTIVE)
		outbox_put(&m->out, (struct act){ .kind = ACT_PING, .to = a->conn });
	else
		mark_unreachable(m, a);
}

void agents_pong(struct model *m, struct agent *a, bool answered)
{
	if (a->sm.state != AGENT_ACTIVE || a->changing)
		return;
	a->missed_pings = answered ? 0 : a->missed_pings + 1;
	if (a->missed_pings >= m->config.ping_misses_max)
		mark_unreachable(m, a);
	else      /* a missed one has waited its time already */
		deadline_set(&m->deadlines, &a->due, m->now_us + (answered ? m->config.ping_timeout_us : 0), on_due);
}

void agents_gone(struct model *m, struct conn *conn)
{
	struct agent *a = conn->agent;
	struct registration *r = registration_over(m, conn);
	if (r)
		r->conn = NULL;
	if (!a)
		return;
	LOG(WARN, "agent disconnected", "id=%s ip=%s", a->id, a->ip);
	a->conn = NULL;
	conn->agent = NULL;
	agent_move(m, a, AGENT_DISCONNECTED);
	allocator_agent_activate(m->alloc, a->slot, false);
	offers_rescind_of_agent(m, a);
	if (!a->changing)
		deadline_set(&m->deadlines, &a->due, m->now_us + patience_us(m), on_due);
	publish_agent(m, a);
}
