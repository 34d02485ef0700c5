/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marathon as a framework: subscribes with its stored id, takes offers and updates, kills, reconciles. An update is acknowledged
 * when what it says is stored (TASK_STARTING at once: it is not); one that cannot be stored comes again.
 *
 *   away --subscribe--> SUBSCRIBED event --id stored--> registered --closed--> away (again in RETRY_US)
 */
#include "net/base/log.h"
#include "net/base/time.h"
#include "roles/master/marathon/marathon_int.h"
#include "roles/task.h"

#define RETRY_US SEC
#define RECONCILE_FIRST_US (15 * SEC)        /* --reconciliation_initial_delay */
#define RECONCILE_US (600 * SEC)             /* --reconciliation_interval */

int session_call(struct marathon *ma, mesos_v1_scheduler_Call *call)
{
	mesos_v1_FrameworkID id = { .value = ma->framework_id };
	struct err e = { 0 };
	call->framework_id = &id;
	int rc = ma->sched ? mesos_call(ma->master->mesos, ma->sched, call, &e) : err_set(&e, E_CLOSED, "not subscribed");
	call->framework_id = NULL;
	if (rc != 0)
		LOG(WARN, "call refused by the master", "type=%s error=\"%s\"", mesos_v1_scheduler_Call_Type_name(call->type), e.text);
	return rc;
}

/* ---- kills ---- */

void session_kill_task(struct marathon *ma, const char *task_id, const char *agent_id)
{
	mesos_v1_TaskID id = { .value = (char *)task_id };
	mesos_v1_AgentID agent = { .value = (char *)agent_id };
	mesos_v1_scheduler_Call_Kill k = { .task_id = &id, .agent_id = agent_id ? &agent : NULL };
	mesos_v1_scheduler_Call call = { .has_type = true, .type = mesos_v1_scheduler_Call_Type_KILL, .kill = &k };
	if (ma->registered)
		(void)session_call(ma, &call);     /* logged; repeated by step.c until the task has ended */
}

void session_kill(struct instance *i)
{
	struct marathon *ma = i->app->ma;
	if (!i->killing) {
		LOG(INFO, "killing task", "task=%s agent=%s", i->task_id, i->agent_id);
		i->killing = true;
		records_put_instance(ma, i);
		app_touch(i->app);
	}
	i->kill_sent_us = loop_now_us(ma->loop);
	session_kill_task(ma, i->task_id, i->agent_id);
}

/* ---- acknowledgements ---- */

struct ack {
	struct list link;
	struct marathon *ma;
	struct propose propose;
	struct arena arena;
	mesos_v1_scheduler_Call_Acknowledge ack;
	bool wanted;            /* the update has a uuid */
};

static void ack_free(struct ack *a)
{
	list_remove(&a->link);
	arena_fini(&a->arena);
	free(a);
}

static void ack_send(struct ack *a)
{
	mesos_v1_scheduler_Call call = { .has_type = true, .type = mesos_v1_scheduler_Call_Type_ACKNOWLEDGE, .acknowledge = &a->ack };
	if (a->wanted)
		(void)session_call(a->ma, &call);     /* logged; the update comes again */
}

static void on_stored(struct propose *p, struct str reply, const struct err *e)
{
	struct ack *a = container_of(p, struct ack, propose);
	(void)reply;
	if (e->code == 0)
		ack_send(a);
	else
		LOG(WARN, "task update not recorded, not acknowledged", "task=%s error=\"%s\"", a->ack.task_id->value, e->text);
	ack_free(a);
}

static struct ack *ack_new(struct marathon *ma, const mesos_v1_TaskStatus *s)
{
	struct ack *a = xcalloc(1, sizeof(*a));
	struct str uuid = pb_bytes_view(s->uuid);
	a->ma = ma;
	arena_init(&a->arena, ARENA_MAX_DEFAULT);
	list_push(&ma->acks, &a->link);
	a->wanted = uuid.len > 0 && s->agent_id;
	a->ack.task_id = arena_new(&a->arena, mesos_v1_TaskID);
	a->ack.task_id->value = arena_strdup(&a->arena, s->task_id->value);
	a->ack.agent_id = arena_new(&a->arena, mesos_v1_AgentID);
	a->ack.agent_id->value = arena_strdup(&a->arena, s->agent_id ? s->agent_id->value : "");
	a->ack.uuid = pb_bytes_put(&a->arena, uuid);
	return a;
}

/* Store the change, then acknowledge. */
static void store_and_ack(struct marathon *ma, const rec_Instances *c, const mesos_v1_TaskStatus *s)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	struct err e = { 0 };
	struct ack *a = ack_new(ma, s);
	if (pb_write(rec_Instances_fields, c, &bytes, &e) != 0)
		on_stored(&a->propose, str_n(NULL, 0), &e);
	else
		store_propose(ma->store, rec_Op_OP_INSTANCES, buf_view(&bytes), STORE_TIMEOUT_US, &a->propose, on_stored);
}

static void ack_at_once(struct marathon *ma, const mesos_v1_TaskStatus *s)
{
	struct ack *a = ack_new(ma, s);
	ack_send(a);
	ack_free(a);
}

/* ---- updates ---- */

static bool is_failure(mesos_v1_TaskState s)
{
	return s != mesos_v1_TaskState_TASK_FINISHED && s != mesos_v1_TaskState_TASK_KILLED;
}

static void on_ended(struct instance *i, const mesos_v1_TaskStatus *s)
{
	struct app *app = i->app;
	struct marathon *ma = app->ma;
	char *ids[] = { s->task_id->value };
	rec_Instances c = { .removed = ids, .removed_count = 1 };
	rec_TaskFailure f = {
		.app_id = app->id, .task_id = i->task_id, .host = i->host, .agent_id = i->agent_id, .has_state = true, .state = (int32_t)s->state,
		.message = s->message, .version = i->version, .has_unix_us = true, .unix_us = loop_unix_us(ma->loop),
	};
	LOG(INFO, "task ended", "task=%s state=%s message=\"%s\"", i->task_id, task_state_name(s->state), s->message ? s->message : "");
	if (is_failure(s->state) && app->spec) {
		c.failures = &f;
		c.failures_count = 1;
		app_set_failure(app, &f);
	}
	if (!i->killing && s->state != mesos_v1_TaskState_TASK_KILLED)
		app_delay(app);
	store_and_ack(ma, &c, s);
	instance_remove(i);
	if (!app->spec && app->instance_count == 0) {
		struct event ev;
		event_begin(&ev, ma, "app_terminated_event");
		jw_str(&ev.w, "appId", app->id);
		event_end(&ev);
	}
}

static void on_progress(struct instance *i, const mesos_v1_TaskStatus *s)
{
	struct marathon *ma = i->app->ma;
	int64_t now = loop_unix_us(ma->loop);
	if (i->state != s->state) {
		LOG(INFO, "task update", "task=%s state=%s", i->task_id, task_state_name(s->state));
		i->since_us = now;
	}
	i->state = s->state;
	if (s->state == mesos_v1_TaskState_TASK_RUNNING && i->started_us == 0)
		i->started_us = now;
	app_touch(i->app);
	if (s->state == mesos_v1_TaskState_TASK_STARTING) {
		ack_at_once(ma, s);      /* nothing to remember, and TASK_RUNNING waits behind it */
		return;
	}
	rec_Instance row = instance_record(i);
	store_and_ack(ma, &(rec_Instances){ .put = &row, .put_count = 1 }, s);
}

/* A task we do not know: it must not run, and its end is nothing new. */
static void on_stranger(struct marathon *ma, const mesos_v1_TaskStatus *s)
{
	char *ids[] = { s->task_id->value };
	LOG(INFO, "update of an unknown task", "task=%s state=%s", s->task_id->value, task_state_name(s->state));
	if (!task_ended(s->state))
		session_kill_task(ma, s->task_id->value, s->agent_id ? s->agent_id->value : NULL);
	store_and_ack(ma, &(rec_Instances){ .removed = ids, .removed_count = 1 }, s);
}

static void on_update(struct marathon *ma, const mesos_v1_TaskStatus *s)
{
	struct instance *i = s->task_id ? map_find_c(&ma->instances, s->task_id->value) : NULL;
	if (!s->task_id)
		return;
	if (!i) {
		on_stranger(ma, s);
		return;
	}
	event_status(ma, i, s);
	if (task_ended(s->state))
		on_ended(i, s);
	else
		on_progress(i, s);
}

/* ---- reconciliation ---- */

static void reconcile_tasks(struct marathon *ma)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	mesos_v1_scheduler_Call_Reconcile r = { .tasks = arena_array(&a, mesos_v1_scheduler_Call_Reconcile_Task, map_count(&ma->instances) + 1) };
	mesos_v1_scheduler_Call call = { .has_type = true, .type = mesos_v1_scheduler_Call_Type_RECONCILE, .reconcile = &r };
	map_each(&ma->instances, entry) {
		const struct instance *i = entry->value;
		mesos_v1_scheduler_Call_Reconcile_Task *t = &r.tasks[r.tasks_count++];
		t->task_id = arena_new(&a, mesos_v1_TaskID);
		t->task_id->value = i->task_id;
		t->agent_id = arena_new(&a, mesos_v1_AgentID);
		t->agent_id->value = i->agent_id;
	}
	if (r.tasks_count > 0)
		(void)session_call(ma, &call);     /* logged; the next round repeats it */
	r.tasks_count = 0;
	(void)session_call(ma, &call);     /* implicit: tasks that we do not know of */
}

static void on_reconcile(struct loop_timer *t)
{
	struct marathon *ma = container_of(t, struct marathon, reconcile);
	if (ma->registered && list_empty(&ma->launches))     /* a task being launched is not known there yet */
		reconcile_tasks(ma);
	map_each(&ma->apps, entry)
		app_touch(entry->value);     /* a safety net: every app is looked at */
	loop_timer_start_lazy(ma->loop, t, RECONCILE_US, on_reconcile);
}

/* ---- the session ---- */

static void on_registered(struct marathon *ma)
{
	struct event ev;
	ma->registered = true;
	ma->suppressed = false;
	ma->revive = true;
	LOG(INFO, "marathon subscribed", "framework=%s apps=%zu instances=%zu", ma->framework_id, map_count(&ma->apps), map_count(&ma->instances));
	event_begin(&ev, ma, "scheduler_registered_event");
	jw_str(&ev.w, "frameworkId", ma->framework_id);
	jw_str(&ev.w, "master", ma->master->node.ip);
	event_end(&ev);
	if (list_empty(&ma->launches))
		reconcile_tasks(ma);
	loop_timer_start(ma->loop, &ma->reconcile, RECONCILE_FIRST_US, on_reconcile);
	map_each(&ma->apps, entry)
		app_touch(entry->value);
	step_soon(ma);
}

static void on_id_stored(struct propose *p, struct str reply, const struct err *e)
{
	struct marathon *ma = container_of(p, struct marathon, id_propose);
	(void)reply;
	if (e->code == 0) {
		on_registered(ma);
		return;
	}
	LOG(ERROR, "framework id of marathon not recorded", "error=\"%s\"", e->text);
	session_stop(ma);
	session_start(ma);
}

static void on_subscribed(struct marathon *ma, const mesos_v1_scheduler_Event_Subscribed *s)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	struct err e = { 0 };
	if (!s || !s->framework_id)
		return;
	if (cstr_eq(ma->framework_id, s->framework_id->value)) {
		on_registered(ma);
		return;
	}
	free(ma->framework_id);
	ma->framework_id = xstrdup(s->framework_id->value);
	rec_Marathon r = { .framework_id = ma->framework_id };
	if (pb_write(rec_Marathon_fields, &r, &bytes, &e) != 0)
		on_id_stored(&ma->id_propose, str_n(NULL, 0), &e);
	else
		store_propose(ma->store, rec_Op_OP_MARATHON, buf_view(&bytes), STORE_TIMEOUT_US, &ma->id_propose, on_id_stored);
}

static void on_event(void *arg, const mesos_v1_scheduler_Event *ev)
{
	struct marathon *ma = arg;
	switch (ev->type) {
	case mesos_v1_scheduler_Event_Type_SUBSCRIBED:
		on_subscribed(ma, ev->subscribed);
		break;
	case mesos_v1_scheduler_Event_Type_OFFERS:
		if (ev->offers)
			offers_take(ma, ev->offers->offers, ev->offers->offers_count);
		break;
	case mesos_v1_scheduler_Event_Type_UPDATE:
		if (ev->update && ev->update->status)
			on_update(ma, ev->update->status);
		break;
	case mesos_v1_scheduler_Event_Type_ERROR:
		LOG(ERROR, "error from the master", "message=\"%s\"", ev->error ? ev->error->message : "");
		break;
	default:
		break;     /* rescinded offers: accepting them gives TASK_LOST updates; heartbeats; messages of executors we have none of */
	}
}

static void on_retry(struct loop_timer *t) { session_start(container_of(t, struct marathon, retry)); }

static void on_closed(void *arg, const char *reason)
{
	struct marathon *ma = arg;
	struct event ev;
	LOG(WARN, "marathon's session closed", "reason=\"%s\"", reason ? reason : "");
	ma->sched = NULL;
	ma->registered = false;
	propose_cancel(&ma->id_propose);
	event_begin(&ev, ma, "scheduler_disconnected_event");
	event_end(&ev);
	if (ma->leads)
		loop_timer_start(ma->loop, &ma->retry, RETRY_US, on_retry);
}

static mesos_v1_FrameworkInfo *framework_info(struct marathon *ma, struct arena *a)
{
	static const mesos_v1_FrameworkInfo_Capability_Type capabilities[] = {
		mesos_v1_FrameworkInfo_Capability_Type_TASK_KILLING_STATE, mesos_v1_FrameworkInfo_Capability_Type_PARTITION_AWARE,
		mesos_v1_FrameworkInfo_Capability_Type_MULTI_ROLE, mesos_v1_FrameworkInfo_Capability_Type_RESERVATION_REFINEMENT,
		mesos_v1_FrameworkInfo_Capability_Type_REGION_AWARE,
	};
	mesos_v1_FrameworkInfo *f = arena_new(a, mesos_v1_FrameworkInfo);
	f->user = arena_strdup(a, "root");
	f->name = arena_strdup(a, "marathon");
	f->has_failover_timeout = f->has_checkpoint = f->checkpoint = true;
	f->failover_timeout = 604800;
	f->roles = arena_array(a, char *, 1);
	f->roles[f->roles_count++] = arena_strdup(a, APP_ROLE);
	f->hostname = arena_strdup(a, ma->master->node.hostname);
	f->principal = arena_strdup(a, "dcos_marathon");
	f->webui_url = arena_printf(a, "http://%s:%u", ma->master->node.ip, ma->master->config.marathon_port);
	f->capabilities = arena_array(a, mesos_v1_FrameworkInfo_Capability, ARRAY_LEN(capabilities));
	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++)
		f->capabilities[f->capabilities_count++] = (mesos_v1_FrameworkInfo_Capability){ true, capabilities[i] };
	if (ma->framework_id) {
		f->id = arena_new(a, mesos_v1_FrameworkID);
		f->id->value = arena_strdup(a, ma->framework_id);
	}
	return f;
}

void session_start(struct marathon *ma)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct sched_sink sink = { .event = on_event, .closed = on_closed, .arg = ma };
	struct err e = { 0 };
	loop_timer_stop(&ma->retry);
	if (ma->sched)
		return;
	ma->sched = mesos_subscribe(ma->master->mesos, framework_info(ma, &a), true, sink, &e);
	if (ma->sched)
		return;
	LOG(WARN, "marathon cannot subscribe, trying again", "error=\"%s\"", e.text);
	loop_timer_start(ma->loop, &ma->retry, RETRY_US, on_retry);
}

void session_stop(struct marathon *ma)
{
	loop_timer_stop(&ma->retry);
	loop_timer_stop(&ma->reconcile);
	propose_cancel(&ma->id_propose);
	list_each_safe(&ma->acks, it) {
		struct ack *a = list_entry(it, struct ack, link);
		propose_cancel(&a->propose);
		ack_free(a);
	}
	if (ma->sched)
		mesos_disconnect(ma->sched);
	ma->sched = NULL;
	ma->registered = false;
}
