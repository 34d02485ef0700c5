/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random agents, schedulers and a store that answers late, against the master's model. After each turn what the model says of
 * itself must add up: resources of agents, frameworks and offers, gauges, and nobody is written to who is not there.
 */
#include <stdio.h>

#include "net/base/log.h"
#include "net/base/rnd.h"
#include "roles/master/mesos/model.h"
#include "tests/lib/test.h"

#define AGENTS 4
#define SCHEDS 3
#define QUEUE 512

struct sim_task { bool used, terminal; char framework[64], id[64]; uint8_t uuid[16]; struct blob info; };

struct sim_agent {
	struct conn *conn;                 /* NULL: away. Old ones stay allocated, so that writes to them are noticed */
	char id[64];
	struct sim_task tasks[32];
};

struct sim_sched {
	struct sched *sched;
	bool connected;
	char id[64], offers[64][64];
	size_t offer_count;
};

struct sim {
	struct model m;
	struct rnd rnd;
	struct sim_agent agents[AGENTS];
	struct sim_sched scheds[SCHEDS];
	struct conn *conns[QUEUE];
	size_t conn_count;
	struct sched *dead[QUEUE];
	size_t dead_count;
	struct { struct pending *p; int op; } queue[QUEUE];     /* proposals in order; NULL: nobody waits */
	size_t queued;
	uint64_t counters[2];
	int next_task;
};

static uint64_t below(struct sim *s, uint64_t n) { return rnd_below(&s->rnd, n); }

/* ---- the fake agent ---- */

static struct sim_agent *agent_of(struct sim *s, const void *conn)
{
	for (size_t i = 0; i < AGENTS; i++)
		if (s->agents[i].conn == conn)
			return &s->agents[i];
	FAIL("a message to a connection that has ended");
}

static struct sim_task *task_find(struct sim_agent *a, const char *framework, const char *id)
{
	for (size_t i = 0; i < ARRAY_LEN(a->tasks); i++)
		if (a->tasks[i].used && strcmp(a->tasks[i].framework, framework) == 0 && strcmp(a->tasks[i].id, id) == 0)
			return &a->tasks[i];
	return NULL;
}

static void task_drop(struct sim_task *t)
{
	blob_fini(&t->info);
	*t = (struct sim_task){ 0 };
}

static void agent_launch(struct sim_agent *a, struct str payload)
{
	struct arena arena = ARENA_INIT;
	dcos_TaskLaunch l;
	struct err e = { 0 };
	EQ_INT(pb_read(&arena, dcos_TaskLaunch_fields, payload, &l, &e), 0);
	FALSE(task_find(a, l.framework->id->value, l.task->task_id->value));
	for (size_t i = 0; i < ARRAY_LEN(a->tasks); i++) {
		struct sim_task *t = &a->tasks[i];
		if (t->used)
			continue;
		t->used = true;
		(void)str_put(t->framework, sizeof(t->framework), str_of(l.framework->id->value));
		(void)str_put(t->id, sizeof(t->id), str_of(l.task->task_id->value));
		EQ_INT(blob_pack(&t->info, mesos_v1_TaskInfo_fields, l.task, &e), 0);
		break;
	}
	arena_fini(&arena);
}

static void agent_acknowledged(struct sim_agent *a, struct str payload)
{
	struct arena arena = ARENA_INIT;
	dcos_TaskUpdateAck ack;
	struct err e = { 0 };
	EQ_INT(pb_read(&arena, dcos_TaskUpdateAck_fields, payload, &ack, &e), 0);
	struct sim_task *t = task_find(a, ack.framework_id, ack.task_id);
	if (t && t->terminal && memcmp(t->uuid, ack.uuid->bytes, 16) == 0)
		task_drop(t);
	arena_fini(&arena);
}

static void agent_update(struct sim *s, struct sim_agent *a, struct sim_task *t, mesos_v1_TaskState state)
{
	struct arena arena = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	mesos_v1_TaskID tid = { t->id };
	mesos_v1_TaskStatus st = mesos_v1_TaskStatus_init_zero;
	if (!t->terminal) {                     /* an end is repeated as it is */
		for (size_t i = 0; i < 16; i++)
			t->uuid[i] = (uint8_t)below(s, 256);
		t->terminal = task_state_terminal(state);
	} else {
		state = mesos_v1_TaskState_TASK_FINISHED;
	}
	st.task_id = &tid;
	st.state = state;
	st.uuid = pb_bytes_put(&arena, str_n((const char *)t->uuid, 16));
	dcos_TaskUpdate u = { .framework_id = t->framework, .status = &st };
	EQ_INT(pb_write(dcos_TaskUpdate_fields, &u, &out, &e), 0);
	if (a->conn->agent)
		tasks_update(&s->m, a->conn->agent, buf_view(&out));
	arena_fini(&arena);
}

static void agent_register(struct sim *s, struct sim_agent *a)
{
	struct arena arena = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	struct range ports = { 31000, 31009 };
	struct resources r = { .cpus_milli = 4000, .mem_milli = 1024000, .ports = &ports, .port_count = 1 };
	mesos_v1_AgentInfo info = mesos_v1_AgentInfo_init_zero;
	mesos_v1_AgentID aid = { a->id };
	dcos_AgentTask tasks[ARRAY_LEN(a->tasks)] = { 0 };
	dcos_AgentRegister reg = { .info = &info, .ip = "192.0.2.9", .has_port = true, .port = (uint32_t)(a - s->agents), .tasks = tasks };
	size_t rows;
	info.hostname = "h";
	info.resources = resources_to_v1(&arena, &r, a == s->agents ? "slave_public" : "*", NULL, &rows);
	info.resources_count = (pb_size_t)rows;
	info.id = a->id[0] ? &aid : NULL;
	for (size_t i = 0; i < ARRAY_LEN(a->tasks); i++) {
		struct sim_task *t = &a->tasks[i];
		if (!t->used)
			continue;
		dcos_AgentTask *at = &tasks[reg.tasks_count++];
		at->task = arena_new(&arena, mesos_v1_TaskInfo);
		blob_unpack(&t->info, &arena, mesos_v1_TaskInfo_fields, at->task);
		at->framework_id = t->framework;
		at->status = arena_new(&arena, mesos_v1_TaskStatus);
		at->status->task_id = at->task->task_id;
		at->status->state = t->terminal ? mesos_v1_TaskState_TASK_FINISHED : mesos_v1_TaskState_TASK_RUNNING;
	}
	EQ_INT(pb_write(dcos_AgentRegister_fields, &reg, &out, &e), 0);
	agents_register(&s->m, a->conn, a, buf_view(&out));
	arena_fini(&arena);
}

static void agent_connect(struct sim *s, struct sim_agent *a)
{
	if (s->conn_count == QUEUE)
		return;
	a->conn = s->conns[s->conn_count++] = xcalloc(1, sizeof(struct conn));
	agent_register(s, a);
}

static void agent_registered(struct sim *s, struct sim_agent *a, struct str payload)
{
	struct arena arena = ARENA_INIT;
	dcos_AgentRegistered reply;
	struct err e = { 0 };
	EQ_INT(pb_read(&arena, dcos_AgentRegistered_fields, payload, &reply, &e), 0);
	if (a->conn)
		(void)str_put(a->id, sizeof(a->id), str_of(reply.agent_id));
	for (size_t i = 0; a->conn && i < reply.unknown_tasks_count; i++) {
		struct sim_task *t = task_find(a, reply.unknown_tasks[i].framework_id, reply.unknown_tasks[i].task_id);
		if (t)
			agent_update(s, a, t, mesos_v1_TaskState_TASK_KILLED);
	}
	arena_fini(&arena);
}

/* ---- the fake scheduler ---- */

static void no_event(void *arg, const mesos_v1_scheduler_Event *ev) { (void)arg; (void)ev; }
static void no_close(void *arg, const char *reason) { (void)arg; (void)reason; }

static struct sim_sched *sched_of(struct sim *s, const void *sched)
{
	for (size_t i = 0; i < SCHEDS; i++)
		if (s->scheds[i].connected && s->scheds[i].sched == sched)
			return &s->scheds[i];
	return NULL;
}

static void sched_ended(struct sim *s, struct sim_sched *c)
{
	TRUE(s->dead_count < QUEUE);
	s->dead[s->dead_count++] = c->sched;
	c->connected = false;
	c->offer_count = 0;
}

static void sched_subscribe(struct sim *s, struct sim_sched *c, size_t at)
{
	mesos_v1_FrameworkInfo_Capability cap = { true, mesos_v1_FrameworkInfo_Capability_Type_PARTITION_AWARE };
	mesos_v1_FrameworkID fid = { c->id };
	mesos_v1_FrameworkInfo info = mesos_v1_FrameworkInfo_init_zero;
	struct err e = { 0 };
	info.user = "root";
	info.name = "f";
	info.role = at == 0 ? "slave_public" : at == 1 ? "eng" : "*";
	info.id = c->id[0] ? &fid : NULL;
	info.capabilities = &cap;
	info.capabilities_count = at == 1;
	info.has_failover_timeout = true;
	info.failover_timeout = 100;
	c->sched = frameworks_subscribe(&s->m, &info, NULL, 0, (struct sched_sink){ no_event, no_close, NULL }, &e);
	c->connected = c->sched != NULL;
	if (!c->sched)                      /* removed: begin as a new one */
		c->id[0] = '\0';
}

static void sched_call(struct sim *s, struct sim_sched *c, mesos_v1_scheduler_Call *call)
{
	mesos_v1_FrameworkID fid = { c->sched->framework_id };
	struct err e = { 0 };
	call->framework_id = &fid;
	call->has_type = true;
	(void)frameworks_call(&s->m, c->sched, call, &e);      /* "not subscribed" is a fine answer too */
	call->framework_id = NULL;
}

static void sched_accept(struct sim *s, struct sim_sched *c)
{
	struct arena arena = ARENA_INIT;
	size_t at = (size_t)below(s, c->offer_count), rows;
	mesos_v1_OfferID oid = { c->offers[at] };
	const struct offer *o = map_find_c(&s->m.offers, oid.value);
	struct range ports = { 31000 + below(s, 10), 0 };
	struct resources r = { .cpus_milli = (int64_t)below(s, 3000), .mem_milli = 32000, .ports = &ports, .port_count = below(s, 2) };
	mesos_v1_TaskID tid = { arena_printf(&arena, "t%d", s->next_task++ % 64) };
	mesos_v1_AgentID aid = { o ? o->agent->id : "gone" };
	mesos_v1_CommandInfo command = mesos_v1_CommandInfo_init_zero;
	mesos_v1_TaskInfo task = mesos_v1_TaskInfo_init_zero;
	mesos_v1_Offer_Operation_Launch launch = { 1, &task };
	mesos_v1_Offer_Operation op = mesos_v1_Offer_Operation_init_zero;
	mesos_v1_Filters filters = { true, (double)below(s, 10) };
	mesos_v1_scheduler_Call_Accept accept = { 1, &oid, 1, &op, &filters };
	mesos_v1_scheduler_Call call = mesos_v1_scheduler_Call_init_zero;
	ports.end = ports.begin;
	task.name = "t";
	task.task_id = &tid;
	task.agent_id = &aid;
	task.command = &command;
	task.resources = resources_to_v1(&arena, &r, o && o->r.count > 0 ? o->r.v[0].role : "*", NULL, &rows);
	task.resources_count = (pb_size_t)rows;
	op.has_type = true;
	op.type = mesos_v1_Offer_Operation_Type_LAUNCH;
	op.launch = &launch;
	call.type = mesos_v1_scheduler_Call_Type_ACCEPT;
	call.accept = &accept;
	memmove(c->offers[at], c->offers[--c->offer_count], sizeof(c->offers[at]));
	sched_call(s, c, &call);
	arena_fini(&arena);
}

static void sched_acknowledge(struct sim *s, struct sim_sched *c, const mesos_v1_TaskStatus *st)
{
	mesos_v1_scheduler_Call_Acknowledge a = { st->agent_id, st->task_id, st->uuid };
	mesos_v1_scheduler_Call call = mesos_v1_scheduler_Call_init_zero;
	call.type = mesos_v1_scheduler_Call_Type_ACKNOWLEDGE;
	call.acknowledge = &a;
	sched_call(s, c, &call);
}

static void sched_event(struct sim *s, struct sim_sched *c, struct str payload)
{
	struct arena arena = ARENA_INIT;
	mesos_v1_scheduler_Event ev;
	struct err e = { 0 };
	EQ_INT(pb_read(&arena, mesos_v1_scheduler_Event_fields, payload, &ev, &e), 0);
	if (ev.type == mesos_v1_scheduler_Event_Type_SUBSCRIBED)
		(void)str_put(c->id, sizeof(c->id), str_of(ev.subscribed->framework_id->value));
	for (size_t i = 0; ev.offers && i < ev.offers->offers_count && c->offer_count < ARRAY_LEN(c->offers); i++)
		(void)str_put(c->offers[c->offer_count++], sizeof(c->offers[0]), str_of(ev.offers->offers[i].id->value));
	if (ev.update && ev.update->status->uuid && below(s, 4) > 0)
		sched_acknowledge(s, c, ev.update->status);
	arena_fini(&arena);
}

static void sched_random_call(struct sim *s, struct sim_sched *c)
{
	static const mesos_v1_scheduler_Call_Type types[] = {
		mesos_v1_scheduler_Call_Type_REVIVE, mesos_v1_scheduler_Call_Type_REVIVE, mesos_v1_scheduler_Call_Type_SUPPRESS,
		mesos_v1_scheduler_Call_Type_RECONCILE, mesos_v1_scheduler_Call_Type_KILL, mesos_v1_scheduler_Call_Type_KILL,
		mesos_v1_scheduler_Call_Type_TEARDOWN,
	};
	mesos_v1_scheduler_Call_Reconcile all = mesos_v1_scheduler_Call_Reconcile_init_zero;
	char id[16];
	mesos_v1_TaskID tid = { id };
	mesos_v1_scheduler_Call_Kill kill = { &tid, NULL, NULL };
	mesos_v1_scheduler_Call call = mesos_v1_scheduler_Call_init_zero;
	(void)snprintf(id, sizeof(id), "t%d", (int)below(s, 64));
	call.type = types[below(s, below(s, 10) == 0 ? ARRAY_LEN(types) : ARRAY_LEN(types) - 1)];
	call.kill = &kill;
	call.reconcile = &all;
	sched_call(s, c, &call);
}

/* ---- carrying out ---- */

static void answer_one(struct sim *s)
{
	AUTO_BUF struct buf reply = BUF_INIT;
	struct err e = { 0 };
	struct pending *p = s->queue[0].p;
	int op = s->queue[0].op;
	memmove(&s->queue[0], &s->queue[1], --s->queued * sizeof(s->queue[0]));
	if (!p)
		return;
	if (below(s, 50) == 0)
		err_set(&e, E_TIMEOUT, "too slow");
	if (op <= 1) {                     /* a counter */
		rec_CounterValue v = { true, ++s->counters[op] };
		EQ_INT(pb_write(rec_CounterValue_fields, &v, &reply, NULL), 0);
	}
	model_proposed(p, buf_view(&reply), &e);
}

static void propose(struct sim *s, const struct act *act)
{
	int op = 2;
	if (act->number == rec_Op_OP_COUNTER)
		op = memchr(act->payload.p, 'g', act->payload.len) ? 1 : 0;      /* "agents" */
	TRUE(s->queued < QUEUE);
	s->queue[s->queued].p = act->pending;
	s->queue[s->queued++].op = op;
}

static void take(struct sim *s, const struct act *act)
{
	struct sim_sched *c = act->kind == ACT_EVENT || act->kind == ACT_CLOSE ? sched_of(s, act->to) : NULL;
	struct arena arena = ARENA_INIT;
	dcos_TaskKill kill;
	struct err e = { 0 };
	switch (act->kind) {
	case ACT_EVENT:
		if (c)
			sched_event(s, c, act->payload);
		break;
	case ACT_CLOSE:
		if (c)
			sched_ended(s, c);
		break;
	case ACT_SEND: {
		bool away = true;                          /* it ended in this very turn */
		for (size_t i = 0; i < AGENTS; i++)
			away &= s->agents[i].conn != act->to;
		if (away)
			break;
		struct sim_agent *a = agent_of(s, act->to);
		if (act->number == dcos_Method_TASK_LAUNCH)
			agent_launch(a, act->payload);
		if (act->number == dcos_Method_TASK_UPDATE_ACK)
			agent_acknowledged(a, act->payload);
		if (act->number == dcos_Method_TASK_KILL && below(s, 3) > 0) {
			EQ_INT(pb_read(&arena, dcos_TaskKill_fields, act->payload, &kill, &e), 0);
			struct sim_task *t = task_find(a, kill.framework_id, kill.task_id);
			if (t)
				agent_update(s, a, t, mesos_v1_TaskState_TASK_KILLED);
		}
		break;
	}
	case ACT_REPLY:
		agent_registered(s, act->to, act->payload);
		break;
	case ACT_DROP:
		for (size_t i = 0; i < AGENTS; i++)
			if (s->agents[i].conn == act->to)
				s->agents[i].conn = NULL;
		break;
	case ACT_PROPOSE:
		propose(s, act);
		break;
	default:
		break;
	}
	arena_fini(&arena);
}

static void turn(struct sim *s)
{
	for (int i = 0; i < 50; i++) {
		model_tick(&s->m);
		model_flush(&s->m);
		struct outbox out = s->m.out;
		s->m.out = (struct outbox)OUTBOX_INIT;
		for (size_t k = 0; k < out.count; k++)
			take(s, &out.v[k]);
		bool idle = out.count == 0;
		outbox_fini(&out);
		if (idle)
			return;
	}
	FAIL("the model does not come to rest");
}

/* ---- what must hold ---- */

static void same_pools(const struct pools *a, const struct pools *b)
{
	TRUE(pools_contains(a, b));
	TRUE(pools_contains(b, a));
}

static void check_agent(struct sim *s, const struct agent *a)
{
	struct pools held = { 0 }, offered = { 0 }, left, expect;
	if (a->slot == ALLOC_NONE) {
		TRUE(list_empty(&a->offers));
		return;
	}
	agents_used(a, &held);
	list_each(&a->offers, it)
		pools_add(&offered, &list_entry(it, struct offer, agent_link)->r);
	same_pools(&offered, &a->offered);
	pools_add(&held, &offered);
	pools_copy(&expect, allocator_agent_total(s->m.alloc, a->slot));
	TRUE(pools_contains(&expect, &held));
	pools_sub(&expect, &held);
	allocator_agent_free(s->m.alloc, a->slot, &left);
	same_pools(&expect, &left);
	if (a->sm.state != AGENT_ACTIVE)
		TRUE(list_empty(&a->offers));
	EQ_INT(a->conn != NULL, a->sm.state == AGENT_ACTIVE);
	if (a->conn)
		TRUE(a->conn->agent == a);
	pools_fini(&held);
	pools_fini(&offered);
	pools_fini(&left);
	pools_fini(&expect);
}

static void check_framework(const struct framework *f, int64_t *running)
{
	struct pools used = { 0 }, offered = { 0 };
	map_each(&f->tasks, entry) {
		const struct task *t = entry->value;
		FALSE(t->completed);
		TRUE(t->agent);
		*running += t->state == mesos_v1_TaskState_TASK_RUNNING;
		if (t->holds) {
			FALSE(task_state_terminal(t->state));
			pools_add_scalars(&used, &t->used);
		}
	}
	list_each(&f->offers, it)
		pools_add_scalars(&offered, &list_entry(it, struct offer, framework_link)->r);
	same_pools(&used, &f->used);
	same_pools(&offered, &f->offered);
	EQ_INT(f->session != NULL, f->sm.state == FRAMEWORK_ACTIVE);
	pools_fini(&used);
	pools_fini(&offered);
}

static void check(struct sim *s)
{
	int64_t running = 0;
	list_each(&s->m.agent_list, it)
		check_agent(s, list_entry(it, struct agent, link));
	list_each(&s->m.framework_list, it)
		check_framework(list_entry(it, struct framework, link), &running);
	EQ_INT(s->m.metrics.tasks_running, running);
}

/* ---- events ---- */

static void agent_step(struct sim *s, struct sim_agent *a)
{
	struct sim_task *t = &a->tasks[below(s, ARRAY_LEN(a->tasks))];
	if (!a->conn) {
		agent_connect(s, a);
		return;
	}
	switch (below(s, 12)) {
	case 0: {
		struct conn *old = a->conn;
		a->conn = NULL;
		agents_gone(&s->m, old);
		return;
	}
	case 1:
		agent_register(s, a);          /* a repeated registration */
		return;
	case 2:
		if (t->used && below(s, 4) == 0)
			task_drop(t);          /* lost in a crash; the master learns when the agent comes back */
		return;
	case 3:
		if (a->conn->agent)
			agents_pong(&s->m, a->conn->agent, below(s, 2) == 0);
		return;
	default:
		for (size_t i = 0; i < ARRAY_LEN(a->tasks) && !t->used; i++)
			t = &a->tasks[i];
		if (t->used)
			agent_update(s, a, t, below(s, 2) ? mesos_v1_TaskState_TASK_RUNNING : mesos_v1_TaskState_TASK_FINISHED);
		return;
	}
}

static void sched_step(struct sim *s, size_t at)
{
	struct sim_sched *c = &s->scheds[at];
	if (!c->connected) {
		sched_subscribe(s, c, at);
		return;
	}
	if (below(s, 30) == 0) {
		frameworks_disconnect(&s->m, c->sched);
		sched_ended(s, c);
	} else if (c->offer_count > 0 && below(s, 3) > 0) {
		sched_accept(s, c);
	} else {
		sched_random_call(s, c);
	}
}

static void step(struct sim *s)
{
	switch (below(s, 10)) {
	case 0:
		s->m.now_us += (int64_t)below(s, 20 * SEC);
		s->m.unix_us = s->m.now_us;
		return;
	case 1:
	case 2:
	case 3:
		if (s->queued > 0)
			answer_one(s);
		return;
	case 4:
	case 5:
	case 6:
		agent_step(s, &s->agents[below(s, AGENTS)]);
		return;
	default:
		sched_step(s, (size_t)below(s, SCHEDS));
		return;
	}
}

static void sched_free(struct sched *x)
{
	blob_fini(&x->info);
	free(x->suppressed);
	free(x);
}

static void sim_fini(struct sim *s)
{
	model_fini(&s->m);
	for (size_t i = 0; i < AGENTS; i++)
		for (size_t k = 0; k < ARRAY_LEN(s->agents[i].tasks); k++)
			task_drop(&s->agents[i].tasks[k]);
	for (size_t i = 0; i < SCHEDS; i++)
		if (s->scheds[i].connected)
			sched_free(s->scheds[i].sched);
	for (size_t i = 0; i < s->dead_count; i++)
		sched_free(s->dead[i]);
	for (size_t i = 0; i < s->conn_count; i++)
		free(s->conns[i]);
}

TEST(mesos_random, the_model_adds_up_whatever_happens)
{
	static const struct model_config config = {
		.master_id = "m", .ip = "192.0.2.1", .hostname = "192.0.2.1", .version = "1", .port = 5050,
		.ping_timeout_us = 15 * SEC, .ping_misses_max = 5, .offer_timeout_us = 120 * SEC,
	};
	uint64_t seed = test_seed();
	struct sim *s = xcalloc(1, sizeof(*s));
	log_set_level(LOG_ERROR);
	for (size_t round = 0; round < test_rounds(20); round++) {
		*s = (struct sim){ 0 };
		rnd_seed(&s->rnd, seed + round);
		model_init(&s->m, &config);
		s->m.now_us = s->m.unix_us = 1000 * SEC;
		for (int i = 0; i < 600; i++) {
			step(s);
			turn(s);
			check(s);
		}
		sim_fini(s);
	}
	free(s);
}
