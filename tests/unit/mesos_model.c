/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master's model with a fake store, agent and scheduler: acts are read from the outbox and answered at once. Time is the
 * test's. What the store is asked to do it has done as soon as `turn` comes to it.
 */
#include <stdio.h>

#include "roles/master/mesos/model.h"
#include "tests/lib/test.h"

#define EVENTS_MAX 64

struct world {
	struct model m;
	struct arena arena;                    /* decoded events and messages; lives as long as the test */
	struct conn conn;                      /* of the agent */
	struct sched *sched;
	mesos_v1_scheduler_Event events[EVENTS_MAX];
	size_t event_count, event_at;
	struct { int method; struct str payload; } sent[EVENTS_MAX];     /* to the agent */
	size_t sent_count, sent_at;
	dcos_AgentRegistered registered;
	struct err refused;
	uint64_t counters[2];
	size_t proposals, puts;
	bool store_fails, dropped, closed, intents_before_launch, intents_seen;
	char framework_id[256], agent_id[128];
};

static void no_event(void *arg, const mesos_v1_scheduler_Event *ev) { (void)arg; (void)ev; }
static void no_close(void *arg, const char *reason) { (void)arg; (void)reason; }

static void propose(struct world *w, const struct act *act)
{
	AUTO_BUF struct buf reply = BUF_INIT;
	struct err e = { 0 };
	w->proposals++;
	if (act->number == rec_Op_OP_INTENTS)
		w->intents_seen = true;
	if (!act->pending)
		return;
	if (w->store_fails)
		err_set(&e, E_NOSPACE, "disk full");
	if (act->number == rec_Op_OP_COUNTER) {
		rec_Counter c;
		EQ_INT(pb_read(&w->arena, rec_Counter_fields, act->payload, &c, &e), 0);
		rec_CounterValue v = { true, ++w->counters[c.name[0] == 'a'] };
		EQ_INT(pb_write(rec_CounterValue_fields, &v, &reply, &e), 0);
	}
	model_proposed(act->pending, buf_view(&reply), &e);
}

static void take(struct world *w, const struct act *act)
{
	struct err e = { 0 };
	switch (act->kind) {
	case ACT_EVENT:
		TRUE(w->event_count < EVENTS_MAX);
		EQ_INT(pb_read(&w->arena, mesos_v1_scheduler_Event_fields, act->payload, &w->events[w->event_count++], &e), 0);
		return;
	case ACT_SEND:
		TRUE(w->sent_count < EVENTS_MAX);
		w->sent[w->sent_count].method = act->number;
		w->sent[w->sent_count++].payload = str_n(arena_str(&w->arena, act->payload), act->payload.len);
		if (act->number == dcos_Method_TASK_LAUNCH)
			w->intents_before_launch = w->intents_seen;
		return;
	case ACT_REPLY:
		EQ_INT(pb_read(&w->arena, dcos_AgentRegistered_fields, act->payload, &w->registered, &e), 0);
		return;
	case ACT_FAIL:
		w->refused.code = act->number;
		(void)str_put(w->refused.text, sizeof(w->refused.text), act->payload);
		return;
	case ACT_PROPOSE:
		propose(w, act);
		return;
	case ACT_CLOSE:
		w->closed = true;
		return;
	case ACT_DROP:
		w->dropped = true;
		return;
	case ACT_VIEW_PUT:
		w->puts++;
		return;
	default:
		return;
	}
}

/* Ends a turn, and those it leads to, until nothing is left to do. */
static void turn(struct world *w)
{
	for (int i = 0; i < 20; i++) {
		model_tick(&w->m);
		model_flush(&w->m);
		struct outbox out = w->m.out;
		w->m.out = (struct outbox)OUTBOX_INIT;
		for (size_t k = 0; k < out.count; k++)
			take(w, &out.v[k]);
		bool idle = out.count == 0;
		outbox_fini(&out);
		if (idle)
			return;
	}
	FAIL("the model does not come to rest");
}

static void pass(struct world *w, int64_t us)
{
	w->m.now_us += us;
	w->m.unix_us += us;
	turn(w);
}

static void world_init(struct world *w)
{
	static const struct model_config config = {
		.master_id = "m", .ip = "192.0.2.1", .hostname = "192.0.2.1", .version = "1", .port = 5050,
		.ping_timeout_us = 15 * SEC, .ping_misses_max = 5, .offer_timeout_us = 120 * SEC,
	};
	*w = (struct world){ .arena = ARENA_INIT };
	model_init(&w->m, &config);
	w->m.now_us = 1000 * SEC;
	w->m.unix_us = 1700000000LL * SEC;
}

static void world_fini(struct world *w)
{
	if (w->sched) {
		blob_fini(&w->sched->info);
		free(w->sched->suppressed);
		free(w->sched);
	}
	model_fini(&w->m);
	arena_fini(&w->arena);
}

/* The next event; its type must be that. */
static const mesos_v1_scheduler_Event *event(struct world *w, mesos_v1_scheduler_Event_Type type)
{
	if (w->event_at == w->event_count)
		FAIL("no event, but type %d was expected", (int)type);
	const mesos_v1_scheduler_Event *ev = &w->events[w->event_at++];
	EQ_INT(ev->type, type);
	return ev;
}

static const mesos_v1_TaskStatus *update(struct world *w, mesos_v1_TaskState state)
{
	const mesos_v1_TaskStatus *s = event(w, mesos_v1_scheduler_Event_Type_UPDATE)->update->status;
	EQ_STR(task_state_name(s->state), task_state_name(state));
	return s;
}

static struct str sent(struct world *w, dcos_Method method)
{
	if (w->sent_at == w->sent_count)
		FAIL("nothing was sent to the agent, but method %d was expected", (int)method);
	EQ_INT(w->sent[w->sent_at].method, method);
	return w->sent[w->sent_at++].payload;
}

static void quiet(struct world *w)
{
	EQ_INT(w->event_at, w->event_count);
	EQ_INT(w->sent_at, w->sent_count);
}

/* ---- the fake agent ---- */

/* By list, or when digest is not NULL by that. */
static void register_by(struct world *w, const char *id, const dcos_AgentTask *tasks, size_t count, const struct task_digest *digest)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	struct resources r = { .cpus_milli = 4000, .mem_milli = 1024000 };
	mesos_v1_AgentInfo info = mesos_v1_AgentInfo_init_zero;
	mesos_v1_AgentID aid = { (char *)id };
	dcos_AgentRegister reg = { .info = &info, .ip = "192.0.2.9", .has_port = true, .port = 5051, .node = "a1" };
	size_t rows;
	info.hostname = "192.0.2.9";
	info.resources = resources_to_v1(&w->arena, &r, "*", NULL, &rows);
	info.resources_count = (pb_size_t)rows;
	info.id = id ? &aid : NULL;
	reg.tasks = (dcos_AgentTask *)tasks;
	reg.tasks_count = (pb_size_t)count;
	if (digest) {
		reg.digest = pb_bytes_put(&w->arena, str_n((const char *)digest->sum, sizeof(digest->sum)));
		reg.has_task_count = true;
		reg.task_count = digest->count;
	}
	EQ_INT(pb_write(dcos_AgentRegister_fields, &reg, &out, &e), 0);
	w->registered = (dcos_AgentRegistered)dcos_AgentRegistered_init_zero;
	w->refused = (struct err){ 0 };
	agents_register(&w->m, &w->conn, w, buf_view(&out));
	turn(w);
	if (w->registered.agent_id)
		(void)str_put(w->agent_id, sizeof(w->agent_id), str_of(w->registered.agent_id));
}

static void register_agent(struct world *w, const char *id, const dcos_AgentTask *tasks, size_t count)
{
	register_by(w, id, tasks, count, NULL);
}

static void agent_update(struct world *w, const char *task_id, mesos_v1_TaskState state, char uuid_byte)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	char uuid[16];
	memset(uuid, uuid_byte, sizeof(uuid));
	mesos_v1_TaskID tid = { (char *)task_id };
	mesos_v1_TaskStatus s = mesos_v1_TaskStatus_init_zero;
	s.task_id = &tid;
	s.state = state;
	s.uuid = pb_bytes_put(&w->arena, str_n(uuid, sizeof(uuid)));
	dcos_TaskUpdate u = { .framework_id = w->framework_id, .status = &s };
	EQ_INT(pb_write(dcos_TaskUpdate_fields, &u, &out, &e), 0);
	tasks_update(&w->m, w->conn.agent, buf_view(&out));
	turn(w);
}

/* ---- the fake scheduler ---- */

static void subscribe(struct world *w, const char *id, bool partition_aware, double failover_timeout)
{
	mesos_v1_FrameworkInfo_Capability cap = { true, mesos_v1_FrameworkInfo_Capability_Type_PARTITION_AWARE };
	mesos_v1_FrameworkID fid = { (char *)id };
	mesos_v1_FrameworkInfo info = mesos_v1_FrameworkInfo_init_zero;
	struct err e = { 0 };
	info.user = "root";
	info.name = "f";
	info.id = id ? &fid : NULL;
	info.capabilities = &cap;
	info.capabilities_count = partition_aware;
	info.has_failover_timeout = true;
	info.failover_timeout = failover_timeout;
	w->sched = frameworks_subscribe(&w->m, &info, NULL, 0, (struct sched_sink){ no_event, no_close, NULL }, &e);
	EQ_STR(e.text, "");
	turn(w);
	(void)str_put(w->framework_id, sizeof(w->framework_id), str_of(w->sched->framework_id));
}

static void call(struct world *w, mesos_v1_scheduler_Call *c)
{
	mesos_v1_FrameworkID fid = { w->framework_id };
	struct err e = { 0 };
	c->framework_id = &fid;
	c->has_type = true;
	EQ_INT(frameworks_call(&w->m, w->sched, c, &e), 0);
	c->framework_id = NULL;
	turn(w);
}

static void launch(struct world *w, const char *offer_id, const char *task_id, double cpus, double refuse_seconds)
{
	struct resources r = { .cpus_milli = (int64_t)(cpus * 1000), .mem_milli = 32000 };
	mesos_v1_OfferID oid = { (char *)offer_id };
	mesos_v1_TaskID tid = { (char *)task_id };
	mesos_v1_AgentID aid = { w->agent_id };
	mesos_v1_CommandInfo command = mesos_v1_CommandInfo_init_zero;
	mesos_v1_TaskInfo task = mesos_v1_TaskInfo_init_zero;
	mesos_v1_Offer_Operation_Launch op_launch = { 1, &task };
	mesos_v1_Offer_Operation op = mesos_v1_Offer_Operation_init_zero;
	mesos_v1_Filters filters = { true, refuse_seconds };
	mesos_v1_scheduler_Call_Accept accept = { 1, &oid, 1, &op, &filters };
	mesos_v1_scheduler_Call c = mesos_v1_scheduler_Call_init_zero;
	size_t rows;
	task.name = "t";
	task.task_id = &tid;
	task.agent_id = &aid;
	task.command = &command;
	command.value = "sleep 1";
	task.resources = resources_to_v1(&w->arena, &r, "*", NULL, &rows);
	task.resources_count = (pb_size_t)rows;
	op.type = mesos_v1_Offer_Operation_Type_LAUNCH;
	op.has_type = true;
	op.launch = &op_launch;
	c.type = mesos_v1_scheduler_Call_Type_ACCEPT;
	c.accept = &accept;
	call(w, &c);
}

static void decline(struct world *w, const char *offer_id, double refuse_seconds)
{
	mesos_v1_OfferID oid = { (char *)offer_id };
	mesos_v1_Filters filters = { true, refuse_seconds };
	mesos_v1_scheduler_Call_Decline d = { 1, &oid, &filters };
	mesos_v1_scheduler_Call c = mesos_v1_scheduler_Call_init_zero;
	c.type = mesos_v1_scheduler_Call_Type_DECLINE;
	c.decline = &d;
	call(w, &c);
}

static void acknowledge(struct world *w, const char *task_id, char uuid_byte)
{
	char uuid[16];
	memset(uuid, uuid_byte, sizeof(uuid));
	mesos_v1_TaskID tid = { (char *)task_id };
	mesos_v1_AgentID aid = { w->agent_id };
	mesos_v1_scheduler_Call_Acknowledge a = { &aid, &tid, pb_bytes_put(&w->arena, str_n(uuid, sizeof(uuid))) };
	mesos_v1_scheduler_Call c = mesos_v1_scheduler_Call_init_zero;
	c.type = mesos_v1_scheduler_Call_Type_ACKNOWLEDGE;
	c.acknowledge = &a;
	call(w, &c);
}

static void kill_task(struct world *w, const char *task_id)
{
	mesos_v1_TaskID tid = { (char *)task_id };
	mesos_v1_scheduler_Call_Kill k = { &tid, NULL, NULL };
	mesos_v1_scheduler_Call c = mesos_v1_scheduler_Call_init_zero;
	c.type = mesos_v1_scheduler_Call_Type_KILL;
	c.kill = &k;
	call(w, &c);
}

static void simple_call(struct world *w, mesos_v1_scheduler_Call_Type type)
{
	mesos_v1_scheduler_Call_Reconcile r = mesos_v1_scheduler_Call_Reconcile_init_zero;
	mesos_v1_scheduler_Call c = mesos_v1_scheduler_Call_init_zero;
	c.type = type;
	c.reconcile = &r;
	call(w, &c);
}

static const mesos_v1_Offer *offer(struct world *w)
{
	const mesos_v1_scheduler_Event *ev = event(w, mesos_v1_scheduler_Event_Type_OFFERS);
	EQ_INT(ev->offers->offers_count, 1);
	return &ev->offers->offers[0];
}

/* An agent, a framework, and a task that runs; its updates have been acknowledged, the rest of the agent is refused for long. */
static void world_running(struct world *w, bool partition_aware)
{
	world_init(w);
	register_agent(w, NULL, NULL, 0);
	subscribe(w, NULL, partition_aware, 60);
	event(w, mesos_v1_scheduler_Event_Type_SUBSCRIBED);
	launch(w, offer(w)->id->value, "t1", 1, 1000000);
	sent(w, dcos_Method_TASK_LAUNCH);
	agent_update(w, "t1", mesos_v1_TaskState_TASK_RUNNING, 1);
	update(w, mesos_v1_TaskState_TASK_RUNNING);
	acknowledge(w, "t1", 1);
	sent(w, dcos_Method_TASK_UPDATE_ACK);
	quiet(w);
}

static int64_t free_cpus(struct world *w)
{
	struct pools p;
	allocator_agent_free(w->m.alloc, w->conn.agent->slot, &p);
	int64_t cpus = pools_find(&p, "*")->cpus_milli;
	pools_fini(&p);
	return cpus;
}

/* ---- agents ---- */

TEST(mesos_agents, a_new_agent_gets_the_next_id)
{
	struct world w;
	world_init(&w);
	register_agent(&w, NULL, NULL, 0);
	EQ_STR(w.registered.agent_id, "m-S0");
	EQ_INT(w.registered.ping_timeout_us, 75 * SEC);
	EQ_INT(w.m.metrics.slave_registrations, 1);
	world_fini(&w);
}

TEST(mesos_agents, a_known_agent_keeps_its_id_without_another_write)
{
	struct world w;
	world_init(&w);
	register_agent(&w, NULL, NULL, 0);
	size_t before = w.proposals;
	agents_gone(&w.m, &w.conn);
	register_agent(&w, "m-S0", NULL, 0);
	EQ_STR(w.registered.agent_id, "m-S0");
	EQ_INT(w.proposals, before);
	EQ_INT(w.conn.agent->sm.state, AGENT_ACTIVE);
	world_fini(&w);
}

TEST(mesos_agents, a_store_that_fails_refuses_the_agent_with_its_reason)
{
	struct world w;
	world_init(&w);
	w.store_fails = true;
	register_agent(&w, NULL, NULL, 0);
	EQ_INT(w.refused.code, E_NOSPACE);
	EQ_STR(w.refused.text, "disk full");
	EQ_INT(map_count(&w.m.agents), 0);
	world_fini(&w);
}

TEST(mesos_agents, unanswered_pings_make_it_unreachable_and_its_tasks_too)
{
	struct world w;
	world_running(&w, true);
	for (int i = 0; i < 5; i++) {
		struct agent *a = w.conn.agent;
		pass(&w, 15 * SEC);
		agents_pong(&w.m, a, false);
	}
	turn(&w);
	const mesos_v1_TaskStatus *s = update(&w, mesos_v1_TaskState_TASK_UNREACHABLE);
	EQ_INT(s->reason, mesos_v1_TaskStatus_Reason_REASON_AGENT_REMOVED);
	TRUE(s->unreachable_time);
	FALSE(s->uuid);
	EQ_STR(event(&w, mesos_v1_scheduler_Event_Type_FAILURE)->failure->agent_id->value, "m-S0");
	TRUE(w.dropped);
	world_fini(&w);
}

TEST(mesos_agents, tasks_of_a_lost_agent_are_lost_to_old_frameworks_and_come_back_with_it)
{
	struct world w;
	world_running(&w, false);
	agents_gone(&w.m, &w.conn);
	turn(&w);
	pass(&w, 75 * SEC);
	update(&w, mesos_v1_TaskState_TASK_LOST);
	event(&w, mesos_v1_scheduler_Event_Type_FAILURE);
	mesos_v1_TaskInfo info;
	mesos_v1_TaskStatus s = mesos_v1_TaskStatus_init_zero;
	struct task *t = tasks_find(frameworks_find(&w.m, w.framework_id), "t1");
	blob_unpack(&t->info, &w.arena, mesos_v1_TaskInfo_fields, &info);
	s.task_id = info.task_id;
	s.state = mesos_v1_TaskState_TASK_RUNNING;
	register_agent(&w, "m-S0", &(dcos_AgentTask){ .task = &info, .framework_id = w.framework_id, .status = &s }, 1);
	EQ_INT(update(&w, mesos_v1_TaskState_TASK_RUNNING)->reason, mesos_v1_TaskStatus_Reason_REASON_AGENT_REREGISTERED);
	EQ_INT(free_cpus(&w), 0);       /* 1 for the task, 3 in an offer */
	offer(&w);
	world_fini(&w);
}

TEST(mesos_agents, a_task_the_agent_no_longer_has_is_reported_gone)
{
	struct world w;
	world_running(&w, true);
	agents_gone(&w.m, &w.conn);
	register_agent(&w, "m-S0", NULL, 0);
	EQ_INT(update(&w, mesos_v1_TaskState_TASK_GONE)->reason, mesos_v1_TaskStatus_Reason_REASON_RECONCILIATION);
	EQ_INT(map_count(&frameworks_find(&w.m, w.framework_id)->tasks), 0);
	world_fini(&w);
}

TEST(mesos_agents, a_task_of_a_framework_that_is_gone_must_end)
{
	struct world w;
	world_running(&w, true);
	mesos_v1_TaskInfo info;
	struct task *t = tasks_find(frameworks_find(&w.m, w.framework_id), "t1");
	blob_unpack(&t->info, &w.arena, mesos_v1_TaskInfo_fields, &info);
	agents_gone(&w.m, &w.conn);
	simple_call(&w, mesos_v1_scheduler_Call_Type_TEARDOWN);
	register_agent(&w, "m-S0", &(dcos_AgentTask){ .task = &info, .framework_id = w.framework_id }, 1);
	EQ_INT(w.registered.unknown_tasks_count, 1);
	EQ_STR(w.registered.unknown_tasks[0].task_id, "t1");
	world_fini(&w);
}

TEST(mesos_agents, another_agent_at_the_address_of_one_that_is_away_replaces_it)
{
	struct world w;
	world_running(&w, true);
	agents_gone(&w.m, &w.conn);
	register_agent(&w, NULL, NULL, 0);
	EQ_STR(w.registered.agent_id, "m-S1");
	EQ_INT(update(&w, mesos_v1_TaskState_TASK_LOST)->reason, mesos_v1_TaskStatus_Reason_REASON_AGENT_REMOVED);
	FALSE(agents_find(&w.m, "m-S0"));
	world_fini(&w);
}

/* ---- frameworks ---- */

TEST(mesos_frameworks, a_new_framework_gets_an_id_and_then_offers)
{
	struct world w;
	world_init(&w);
	register_agent(&w, NULL, NULL, 0);
	subscribe(&w, NULL, true, 0);
	const mesos_v1_scheduler_Event *ev = event(&w, mesos_v1_scheduler_Event_Type_SUBSCRIBED);
	EQ_STR(ev->subscribed->framework_id->value, "m-0000");
	EQ_INT(ev->subscribed->heartbeat_interval_seconds, 15);
	EQ_STR(ev->subscribed->master_info->pid, "master@192.0.2.1:5050");
	const mesos_v1_Offer *o = offer(&w);
	EQ_STR(o->id->value, "m-O0");
	EQ_STR(o->agent_id->value, "m-S0");
	EQ_STR(o->url->path, "/slave(1)");
	EQ_INT(o->resources_count, 2);
	FALSE(o->allocation_info);
	world_fini(&w);
}

TEST(mesos_frameworks, a_declined_offer_comes_again_after_the_filter)
{
	struct world w;
	world_init(&w);
	register_agent(&w, NULL, NULL, 0);
	subscribe(&w, NULL, true, 0);
	event(&w, mesos_v1_scheduler_Event_Type_SUBSCRIBED);
	decline(&w, offer(&w)->id->value, 5);
	quiet(&w);
	pass(&w, 4 * SEC);
	quiet(&w);
	pass(&w, SEC);
	offer(&w);
	world_fini(&w);
}

TEST(mesos_frameworks, an_offer_nobody_answers_is_rescinded)
{
	struct world w;
	world_init(&w);
	register_agent(&w, NULL, NULL, 0);
	subscribe(&w, NULL, true, 0);
	event(&w, mesos_v1_scheduler_Event_Type_SUBSCRIBED);
	const char *id = offer(&w)->id->value;
	simple_call(&w, mesos_v1_scheduler_Call_Type_SUPPRESS);
	pass(&w, 120 * SEC);
	EQ_STR(event(&w, mesos_v1_scheduler_Event_Type_RESCIND)->rescind->offer_id->value, id);
	quiet(&w);
	simple_call(&w, mesos_v1_scheduler_Call_Type_REVIVE);
	offer(&w);
	world_fini(&w);
}

TEST(mesos_frameworks, offers_of_an_agent_that_goes_are_rescinded)
{
	struct world w;
	world_init(&w);
	register_agent(&w, NULL, NULL, 0);
	subscribe(&w, NULL, true, 0);
	event(&w, mesos_v1_scheduler_Event_Type_SUBSCRIBED);
	offer(&w);
	agents_gone(&w.m, &w.conn);
	turn(&w);
	event(&w, mesos_v1_scheduler_Event_Type_RESCIND);
	quiet(&w);
	world_fini(&w);
}

TEST(mesos_frameworks, a_framework_that_does_not_come_back_in_time_is_removed)
{
	struct world w;
	world_running(&w, true);
	frameworks_disconnect(&w.m, w.sched);
	pass(&w, 59 * SEC);
	TRUE(frameworks_find(&w.m, w.framework_id));
	quiet(&w);
	pass(&w, SEC);
	FALSE(frameworks_find(&w.m, w.framework_id));
	TRUE(frameworks_completed(&w.m, w.framework_id));
	sent(&w, dcos_Method_FRAMEWORK_SHUTDOWN);
	EQ_INT(free_cpus(&w), 4000);
	world_fini(&w);
}

TEST(mesos_frameworks, a_newer_session_ends_the_older)
{
	struct world w;
	world_running(&w, true);
	struct sched *old = w.sched;
	char id[256];
	memcpy(id, w.framework_id, sizeof(id));
	subscribe(&w, id, true, 60);
	EQ_STR(event(&w, mesos_v1_scheduler_Event_Type_ERROR)->error->message, "Framework failed over");
	TRUE(w.closed);
	event(&w, mesos_v1_scheduler_Event_Type_SUBSCRIBED);
	EQ_STR(w.framework_id, id);
	blob_fini(&old->info);
	free(old->suppressed);
	free(old);
	world_fini(&w);
}

TEST(mesos_frameworks, a_removed_framework_may_not_subscribe_again)
{
	struct world w;
	mesos_v1_FrameworkID fid;
	mesos_v1_FrameworkInfo info = mesos_v1_FrameworkInfo_init_zero;
	struct err e = { 0 };
	world_running(&w, true);
	simple_call(&w, mesos_v1_scheduler_Call_Type_TEARDOWN);
	TRUE(w.closed);
	fid.value = w.framework_id;
	info.user = info.name = "f";
	info.id = &fid;
	FALSE(frameworks_subscribe(&w.m, &info, NULL, 0, (struct sched_sink){ no_event, no_close, NULL }, &e));
	EQ_STR(e.text, "Framework has been removed");
	world_fini(&w);
}

/* ---- tasks ---- */

TEST(mesos_tasks, a_launch_is_recorded_before_the_agent_hears_of_it)
{
	struct world w;
	world_running(&w, true);
	TRUE(w.intents_before_launch);
	EQ_INT(free_cpus(&w), 3000);
	world_fini(&w);
}

TEST(mesos_tasks, a_launch_that_cannot_be_recorded_is_dropped)
{
	struct world w;
	world_init(&w);
	register_agent(&w, NULL, NULL, 0);
	subscribe(&w, NULL, true, 60);
	event(&w, mesos_v1_scheduler_Event_Type_SUBSCRIBED);
	w.store_fails = true;
	launch(&w, offer(&w)->id->value, "t1", 1, 1000);
	HAS(update(&w, mesos_v1_TaskState_TASK_DROPPED)->message, "disk full");
	EQ_INT(w.sent_count, 0);
	world_fini(&w);
}

TEST(mesos_tasks, a_terminal_update_frees_the_resources_at_once_and_its_acknowledgement_ends_the_task)
{
	struct world w;
	world_running(&w, true);
	agent_update(&w, "t1", mesos_v1_TaskState_TASK_FINISHED, 2);
	TRUE(update(&w, mesos_v1_TaskState_TASK_FINISHED)->uuid);
	struct framework *f = frameworks_find(&w.m, w.framework_id);
	FALSE(tasks_find(f, "t1")->holds);
	EQ_INT(pools_find(&f->used, "*")->cpus_milli, 0);
	offer(&w);                        /* four cpus are more than the three that were refused */
	acknowledge(&w, "t1", 2);
	sent(&w, dcos_Method_TASK_UPDATE_ACK);
	FALSE(tasks_find(f, "t1"));
	EQ_INT(f->completed_count, 1);
	EQ_INT(w.m.metrics.tasks_finished, 1);
	EQ_INT(w.m.metrics.tasks_running, 0);
	world_fini(&w);
}

TEST(mesos_tasks, an_acknowledgement_of_another_update_does_not_end_the_task)
{
	struct world w;
	world_running(&w, true);
	agent_update(&w, "t1", mesos_v1_TaskState_TASK_FAILED, 2);
	acknowledge(&w, "t1", 1);
	TRUE(tasks_find(frameworks_find(&w.m, w.framework_id), "t1"));
	world_fini(&w);
}

TEST(mesos_tasks, more_than_the_offer_holds_is_an_error_and_the_rest_is_offered_again)
{
	struct world w;
	world_init(&w);
	register_agent(&w, NULL, NULL, 0);
	subscribe(&w, NULL, true, 60);
	event(&w, mesos_v1_scheduler_Event_Type_SUBSCRIBED);
	launch(&w, offer(&w)->id->value, "t1", 5, 0);
	const mesos_v1_TaskStatus *s = update(&w, mesos_v1_TaskState_TASK_ERROR);
	EQ_STR(s->message, "Total resources cpus:5; mem:32 required by task and its executor is more than available cpus:4; mem:1024");
	EQ_INT(s->reason, mesos_v1_TaskStatus_Reason_REASON_TASK_INVALID);
	pass(&w, SEC);
	offer(&w);
	world_fini(&w);
}

TEST(mesos_tasks, an_offer_that_is_no_longer_valid_drops_the_task)
{
	struct world w;
	world_running(&w, true);
	launch(&w, "m-O0", "t2", 1, 5);
	const mesos_v1_TaskStatus *s = update(&w, mesos_v1_TaskState_TASK_DROPPED);
	EQ_STR(s->message, "Task launched with invalid offers: Offer m-O0 is no longer valid");
	EQ_INT(s->reason, mesos_v1_TaskStatus_Reason_REASON_INVALID_OFFERS);
	world_fini(&w);
}

TEST(mesos_tasks, a_live_task_id_cannot_be_used_again)
{
	struct world w;
	world_running(&w, true);
	simple_call(&w, mesos_v1_scheduler_Call_Type_REVIVE);
	launch(&w, offer(&w)->id->value, "t1", 1, 5);
	EQ_STR(update(&w, mesos_v1_TaskState_TASK_ERROR)->message, "Task has duplicate ID: t1");
	world_fini(&w);
}

TEST(mesos_tasks, a_kill_goes_to_the_agent_and_is_repeated_when_it_was_away)
{
	struct world w;
	world_running(&w, true);
	mesos_v1_TaskInfo info;
	struct task *t = tasks_find(frameworks_find(&w.m, w.framework_id), "t1");
	blob_unpack(&t->info, &w.arena, mesos_v1_TaskInfo_fields, &info);
	kill_task(&w, "t1");
	sent(&w, dcos_Method_TASK_KILL);
	agents_gone(&w.m, &w.conn);
	register_agent(&w, "m-S0", &(dcos_AgentTask){ .task = &info, .framework_id = w.framework_id }, 1);
	EQ_INT(w.registered.unknown_tasks_count, 1);
	world_fini(&w);
}

TEST(mesos_tasks, killing_an_unknown_task_is_answered_as_reconciliation)
{
	struct world w;
	world_running(&w, true);
	kill_task(&w, "nobody");
	EQ_INT(update(&w, mesos_v1_TaskState_TASK_UNKNOWN)->reason, mesos_v1_TaskStatus_Reason_REASON_RECONCILIATION);
	world_fini(&w);
}

TEST(mesos_tasks, implicit_reconciliation_tells_the_latest_state_of_each)
{
	struct world w;
	world_running(&w, true);
	simple_call(&w, mesos_v1_scheduler_Call_Type_RECONCILE);
	const mesos_v1_TaskStatus *s = update(&w, mesos_v1_TaskState_TASK_RUNNING);
	EQ_STR(s->message, "Reconciliation: Latest task state");
	FALSE(s->uuid);
	quiet(&w);
	world_fini(&w);
}

TEST(mesos_tasks, updates_wait_for_a_framework_that_is_away)
{
	struct world w;
	world_running(&w, true);
	frameworks_disconnect(&w.m, w.sched);
	agent_update(&w, "t1", mesos_v1_TaskState_TASK_FAILED, 2);
	quiet(&w);
	EQ_STR(task_state_name(tasks_find(frameworks_find(&w.m, w.framework_id), "t1")->state), "TASK_FAILED");
	world_fini(&w);
}

/* ---- after a change of leaders ---- */

TEST(mesos_recovery, tasks_of_the_registry_live_on_when_their_agent_reports_them)
{
	struct world w, old;
	mesos_v1_TaskInfo info;
	mesos_v1_TaskStatus s = mesos_v1_TaskStatus_init_zero;
	world_running(&old, true);
	struct framework *f = frameworks_find(&old.m, old.framework_id);
	blob_unpack(&tasks_find(f, "t1")->info, &old.arena, mesos_v1_TaskInfo_fields, &info);
	world_init(&w);
	frameworks_load(&w.m, &(rec_Framework){ .id = f->id, .info = f->info });
	agents_load(&w.m, &(rec_Agent){ .id = "m-S0", .info = old.conn.agent->info, .ip = "192.0.2.9", .has_port = true, .port = 5051,
					.has_registered_us = true, .registered_us = 5, .node = "a1" });
	tasks_load(&w.m, &(rec_Intent){ "t1", f->id, "m-S0", &info, false, 0 }, NULL);
	agents_recovery_start(&w.m);
	turn(&w);
	TRUE(w.m.recovering);
	subscribe(&w, f->id, true, 60);
	event(&w, mesos_v1_scheduler_Event_Type_SUBSCRIBED);
	s.task_id = info.task_id;
	s.state = mesos_v1_TaskState_TASK_RUNNING;
	register_agent(&w, "m-S0", &(dcos_AgentTask){ .task = &info, .framework_id = f->id, .status = &s }, 1);
	FALSE(w.m.recovering);
	EQ_STR(task_state_name(tasks_find(frameworks_find(&w.m, f->id), "t1")->state), "TASK_RUNNING");
	EQ_INT(offer(&w)->resources[0].scalar->value, 3);
	quiet(&w);
	world_fini(&w);
	world_fini(&old);
}

/* A new leader after `old`: it knows its agent, its framework, and of the task what the view had last. */
static void world_after(struct world *w, struct world *old)
{
	const struct framework *f = frameworks_find(&old->m, old->framework_id);
	const struct task *t = tasks_find(f, "t1");
	mesos_v1_TaskInfo info;
	mesos_v1_TaskStatus last;
	blob_unpack(&t->info, &old->arena, mesos_v1_TaskInfo_fields, &info);
	blob_unpack(&t->statuses[0], &old->arena, mesos_v1_TaskStatus_fields, &last);
	dcos_ViewTask seen = { .info = &info, .framework_id = f->id, .has_state = true, .state = (int32_t)t->state, .statuses = &last,
			       .statuses_count = 1 };
	world_init(w);
	frameworks_load(&w->m, &(rec_Framework){ .id = f->id, .info = f->info });
	agents_load(&w->m, &(rec_Agent){ .id = "m-S0", .info = old->conn.agent->info, .ip = "192.0.2.9", .has_port = true, .port = 5051,
					 .has_registered_us = true, .registered_us = 5, .node = "a1" });
	tasks_load(&w->m, &(rec_Intent){ "t1", f->id, "m-S0", &info, false, 0 }, &seen);
	agents_recovery_start(&w->m);
	turn(w);
	subscribe(w, f->id, true, 60);
	event(w, mesos_v1_scheduler_Event_Type_SUBSCRIBED);
}

/* The digest of t1 in that state, its newest update made of uuid_byte. */
static struct task_digest digest_of(struct world *w, mesos_v1_TaskState state, char uuid_byte)
{
	struct task_digest d = { .count = 0 };
	char uuid[16];
	memset(uuid, uuid_byte, sizeof(uuid));
	mesos_v1_TaskStatus s = mesos_v1_TaskStatus_init_zero;
	s.state = state;
	s.uuid = pb_bytes_put(&w->arena, str_n(uuid, sizeof(uuid)));
	task_digest_add(&d, w->framework_id, "t1", NULL, &s);
	return d;
}

TEST(mesos_recovery, an_agent_whose_digest_is_right_is_taken_back_without_a_list)
{
	struct world w, old;
	world_running(&old, true);
	world_after(&w, &old);
	struct task_digest d = digest_of(&w, mesos_v1_TaskState_TASK_RUNNING, 1);
	register_by(&w, "m-S0", NULL, 0, &d);
	EQ_STR(w.registered.agent_id, "m-S0");
	FALSE(w.registered.want_tasks);
	FALSE(w.m.recovering);
	EQ_STR(task_state_name(tasks_find(frameworks_find(&w.m, w.framework_id), "t1")->state), "TASK_RUNNING");
	EQ_INT(offer(&w)->resources[0].scalar->value, 3);
	quiet(&w);
	world_fini(&w);
	world_fini(&old);
}

TEST(mesos_recovery, an_agent_that_knows_more_is_asked_for_its_list)
{
	struct world w, old;
	world_running(&old, true);
	world_after(&w, &old);
	struct task_digest d = digest_of(&w, mesos_v1_TaskState_TASK_RUNNING, 2), none = { .count = 0 };
	register_by(&w, "m-S0", NULL, 0, &d);
	TRUE(w.registered.want_tasks);
	register_by(&w, "m-S0", NULL, 0, &none);
	TRUE(w.registered.want_tasks);
	EQ_INT(agents_find(&w.m, "m-S0")->sm.state, AGENT_RECOVERED);
	register_agent(&w, "m-S0", NULL, 0);
	EQ_INT(agents_find(&w.m, "m-S0")->sm.state, AGENT_ACTIVE);
	update(&w, mesos_v1_TaskState_TASK_GONE);
	world_fini(&w);
	world_fini(&old);
}

TEST(mesos_recovery, agents_that_come_all_at_once_get_a_turn_each)
{
	struct world w, old;
	struct conn conns[102] = { 0 };
	struct task_digest none = { .count = 0 };
	char id[16], ip[32];
	world_running(&old, true);
	world_init(&w);
	w.m.config.reregister_rate = 1;
	mesos_v1_AgentInfo info = *old.conn.agent->info;
	for (int i = 0; i < 102; i++) {
		(void)snprintf(id, sizeof(id), "m-S%d", i);
		(void)snprintf(ip, sizeof(ip), "192.0.2.%d", i);
		agents_load(&w.m, &(rec_Agent){ .id = id, .info = &info, .ip = ip, .has_port = true, .port = 5051, .node = "a1" });
	}
	agents_recovery_start(&w.m);
	for (int i = 0; i < 102; i++) {
		struct conn *c = &conns[i];
		AUTO_BUF struct buf out = BUF_INIT;
		struct err e = { 0 };
		(void)snprintf(id, sizeof(id), "m-S%d", i);
		(void)snprintf(ip, sizeof(ip), "192.0.2.%d", i);
		info.id = agents_id(&w.arena, id);
		dcos_AgentRegister reg = { .info = &info, .ip = ip, .has_port = true, .port = 5051, .node = "a1",
					   .digest = pb_bytes_put(&w.arena, str_n((const char *)none.sum, sizeof(none.sum))) };
		EQ_INT(pb_write(dcos_AgentRegister_fields, &reg, &out, &e), 0);
		agents_register(&w.m, c, &w, buf_view(&out));
		turn(&w);
		EQ_INT(w.registered.come_in_us, i < 100 ? 0 : (i - 99) * SEC);
		if (i < 101)
			continue;
		pass(&w, 2 * SEC);
		agents_register(&w.m, c, &w, buf_view(&out));
		turn(&w);
		EQ_INT(w.registered.come_in_us, 0);
		EQ_INT(agents_find(&w.m, "m-S101")->sm.state, AGENT_ACTIVE);
		EQ_INT(agents_find(&w.m, "m-S100")->sm.state, AGENT_RECOVERED);
	}
	world_fini(&w);
	world_fini(&old);
}

static void load_away(struct world *w, double failover_timeout, int64_t away_us)
{
	mesos_v1_FrameworkInfo info = mesos_v1_FrameworkInfo_init_zero;
	info.user = "root";
	info.name = "f";
	info.has_failover_timeout = true;
	info.failover_timeout = failover_timeout;
	world_init(w);
	frameworks_load(&w->m, &(rec_Framework){ .id = "f", .info = &info, .has_disconnected_us = true,
						 .disconnected_us = w->m.unix_us - away_us });
	turn(w);
}

TEST(mesos_recovery, the_failover_time_of_a_framework_that_is_away_goes_on)
{
	struct world w;
	load_away(&w, 600, 100 * SEC);
	pass(&w, 499 * SEC);
	TRUE(frameworks_find(&w.m, "f"));
	pass(&w, SEC);
	FALSE(frameworks_find(&w.m, "f"));
	world_fini(&w);
}

TEST(mesos_recovery, a_framework_whose_time_ran_out_without_a_master_has_a_minute)
{
	struct world w;
	load_away(&w, 600, 1000 * SEC);
	pass(&w, 59 * SEC);
	TRUE(frameworks_find(&w.m, "f"));
	pass(&w, SEC);
	FALSE(frameworks_find(&w.m, "f"));
	world_fini(&w);
	load_away(&w, 5, 1000 * SEC);
	pass(&w, 5 * SEC);
	FALSE(frameworks_find(&w.m, "f"));
	world_fini(&w);
}

TEST(mesos_recovery, an_agent_that_does_not_come_back_in_ten_minutes_is_unreachable)
{
	struct world w, old;
	world_running(&old, true);
	world_init(&w);
	agents_load(&w.m, &(rec_Agent){ .id = "m-S0", .info = old.conn.agent->info, .ip = "192.0.2.9", .has_port = true, .port = 5051,
					.has_registered_us = true, .registered_us = 5, .node = "a1" });
	agents_recovery_start(&w.m);
	turn(&w);
	pass(&w, 599 * SEC);
	EQ_INT(agents_find(&w.m, "m-S0")->sm.state, AGENT_RECOVERED);
	pass(&w, SEC);
	EQ_INT(agents_find(&w.m, "m-S0")->sm.state, AGENT_UNREACHABLE);
	FALSE(w.m.recovering);
	world_fini(&w);
	world_fini(&old);
}
