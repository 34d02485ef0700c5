/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said about tasks: updates of agents passed on and acknowledged through, updates the master makes itself (without uuid:
 * nobody acknowledges those), kills, and reconciliation. Source: Mesos' master and its reconciliation rules.
 */
#include "roles/master/mesos/model.h"

#include "net/base/log.h"

mesos_v1_TaskState tasks_state_for(const struct framework *f, mesos_v1_TaskState state)
{
	return framework_partition_aware(f) ? state : mesos_v1_TaskState_TASK_LOST;
}

static double seconds(int64_t us) { return (double)us / 1e6; }

static void tell(struct model *m, struct framework *f, mesos_v1_TaskStatus *status)
{
	mesos_v1_scheduler_Event_Update update = { status };
	mesos_v1_scheduler_Event ev = { .has_type = true, .type = mesos_v1_scheduler_Event_Type_UPDATE, .update = &update };
	model_event(m, f, &ev);
}

/* ---- master-made updates ---- */

static mesos_v1_TaskStatus *status_new(const struct model *m, struct arena *arena, const char *task_id, const char *agent_id,
				       struct task_report r)
{
	mesos_v1_TaskStatus *s = arena_new(arena, mesos_v1_TaskStatus);
	s->task_id = arena_new(arena, mesos_v1_TaskID);
	s->task_id->value = (char *)task_id;
	s->agent_id = agent_id ? agents_id(arena, agent_id) : NULL;
	s->state = r.state;
	s->message = (char *)r.message;
	s->has_timestamp = true;
	s->timestamp = seconds(m->unix_us);
	s->has_source = true;
	s->source = mesos_v1_TaskStatus_Source_SOURCE_MASTER;
	s->has_reason = true;
	s->reason = r.reason;
	return s;
}

void tasks_tell(struct model *m, struct framework *f, const mesos_v1_TaskInfo *info, struct task_report r)
{
	struct arena arena = ARENA_INIT;
	if (info->task_id && info->task_id->value)
		tell(m, f, status_new(m, &arena, info->task_id->value, info->agent_id ? info->agent_id->value : NULL, r));
	*(r.state == mesos_v1_TaskState_TASK_ERROR ? &m->metrics.tasks_error :
	  r.state == mesos_v1_TaskState_TASK_DROPPED ? &m->metrics.tasks_dropped : &m->metrics.tasks_lost) += 1;
	arena_fini(&arena);
}

static void set_executor(struct arena *arena, const struct task *t, mesos_v1_TaskStatus *s)
{
	if (!t->executor_id[0])
		return;
	s->executor_id = arena_new(arena, mesos_v1_ExecutorID);
	s->executor_id->value = t->executor_id;
}

static void set_unreachable_time(struct arena *arena, const struct task *t, mesos_v1_TaskStatus *s)
{
	if (!t->agent || t->agent->unreachable_us == 0)
		return;
	s->unreachable_time = arena_new(arena, mesos_v1_TimeInfo);
	s->unreachable_time->nanoseconds = t->agent->unreachable_us * 1000;
}

void tasks_report(struct model *m, struct task *t, struct task_report r)
{
	struct arena arena = ARENA_INIT;
	mesos_v1_TaskStatus *s = status_new(m, &arena, t->id, t->agent_id, r);
	mesos_v1_TaskStatus last;
	set_executor(&arena, t, s);
	set_unreachable_time(&arena, t, s);
	if (t->status_count > 0) {        /* where it runs is still true, if it runs */
		blob_unpack(&t->statuses[t->status_count - 1], &arena, mesos_v1_TaskStatus_fields, &last);
		if (!task_state_terminal(r.state))
			s->container_status = last.container_status;
	}
	tasks_set_state(m, t, r.state);
	tasks_add_status(t, s);
	t->has_uuid = t->terminal_forwarded = false;
	t->updated_us = m->unix_us;
	publish_task(m, t);
	tell(m, t->framework, s);
	arena_fini(&arena);
}

/* ---- updates of agents ---- */

static void acknowledge_to(struct model *m, struct agent *a, const dcos_TaskUpdate *u)
{
	dcos_TaskUpdateAck ack = { .framework_id = u->framework_id, .task_id = u->status->task_id->value, .uuid = u->status->uuid };
	model_send(m, a, dcos_Method_TASK_UPDATE_ACK, dcos_TaskUpdateAck_fields, &ack);
}

/* Nobody will ever acknowledge it: have the agent forget the update and end what is left of the framework. */
static void update_of_nobody(struct model *m, struct agent *a, const dcos_TaskUpdate *u)
{
	dcos_FrameworkShutdown msg = { u->framework_id };
	m->metrics.invalid_status_updates++;
	acknowledge_to(m, a, u);
	model_send(m, a, dcos_Method_FRAMEWORK_SHUTDOWN, dcos_FrameworkShutdown_fields, &msg);
}

static void replace(char **at, const char *with)
{
	if (!with)
		return;
	free(*at);
	*at = xstrdup(with);
}

static void update_task(struct model *m, struct task *t, const dcos_TaskUpdate *u)
{
	const mesos_v1_TaskStatus *s = u->status;
	mesos_v1_TaskState latest = u->has_latest_state ? (mesos_v1_TaskState)u->latest_state : s->state;
	replace(&t->container_id, u->container_id);
	replace(&t->sandbox, u->sandbox);
	if (!task_state_terminal(t->state) || t->state == mesos_v1_TaskState_TASK_LOST || task_state_terminal(latest))
		tasks_set_state(m, t, latest);
	tasks_add_status(t, s);
	t->has_uuid = s->uuid && s->uuid->size == sizeof(t->uuid);
	if (t->has_uuid)
		memcpy(t->uuid, s->uuid->bytes, sizeof(t->uuid));
	t->terminal_forwarded = task_state_terminal(s->state);
	t->updated_us = m->unix_us;
	if (task_state_terminal(t->state))
		tasks_release(m, t);
	publish_task(m, t);
	if (t->terminal_forwarded && !t->has_uuid)
		tasks_complete(m, t);
}

static int read_update(struct arena *arena, struct str payload, dcos_TaskUpdate *u, struct err *e)
{
	int rc = pb_read(arena, dcos_TaskUpdate_fields, payload, u, e);
	if (rc == 0 && (!u->framework_id || !u->status || !u->status->task_id || !u->status->task_id->value))
		rc = err_set(e, E_MALFORMED, "an update needs a framework, a status and a task");
	return rc;
}

void tasks_update(struct model *m, struct agent *a, struct str payload)
{
	struct arena arena = ARENA_INIT;
	dcos_TaskUpdate u;
	struct err e = { 0 };
	m->metrics.messages_status_update++;
	if (read_update(&arena, payload, &u, &e) != 0) {
		LOG(WARN, "status update ignored", "agent=%s error=%s", a->id, e.text);
		m->metrics.dropped_messages++;
		arena_fini(&arena);
		return;
	}
	struct framework *f = frameworks_find(m, u.framework_id);
	if (!f) {
		update_of_nobody(m, a, &u);
	} else {
		struct task *t = tasks_find(f, u.status->task_id->value);
		m->metrics.valid_status_updates++;
		if (!u.status->agent_id)
			u.status->agent_id = agents_id(&arena, a->id);
		if (t)
			update_task(m, t, &u);
		tell(m, f, u.status);      /* without a session it waits: the agent repeats it */
	}
	arena_fini(&arena);
}

void tasks_acknowledge(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Acknowledge *call)
{
	struct agent *a = agents_find(m, call->agent_id->value);
	struct task *t = tasks_find(f, call->task_id->value);
	dcos_TaskUpdateAck ack = { .framework_id = f->id, .task_id = call->task_id->value, .uuid = call->uuid };
	m->metrics.messages_acknowledge++;
	if (!a || !a->conn) {
		m->metrics.invalid_acknowledgements++;
		return;
	}
	m->metrics.valid_acknowledgements++;
	model_send(m, a, dcos_Method_TASK_UPDATE_ACK, dcos_TaskUpdateAck_fields, &ack);
	if (t && t->terminal_forwarded && t->has_uuid && memcmp(t->uuid, call->uuid->bytes, sizeof(t->uuid)) == 0)
		tasks_complete(m, t);
}

/* ---- kills ---- */

static void kill_one(struct model *m, struct task *t, int64_t grace_us)
{
	dcos_TaskKill msg = {
		.framework_id = t->framework->id, .task_id = t->id, .has_grace_us = grace_us >= 0, .grace_us = grace_us,
	};
	t->kill_requested = true;
	t->kill_grace_us = grace_us;
	if (!t->launched || task_state_terminal(t->state))
		return;
	t->draining = true;
	publish_task(m, t);
	if (t->agent)
		model_send(m, t->agent, dcos_Method_TASK_KILL, dcos_TaskKill_fields, &msg);    /* away: told when it comes back */
}

static void reconcile_one(struct model *m, struct framework *f, const char *task_id, const char *agent_id);

void tasks_kill(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Kill *call)
{
	struct task *t = tasks_find(f, call->task_id->value);
	const char *agent_id = call->agent_id ? call->agent_id->value : NULL;
	const mesos_v1_DurationInfo *grace = call->kill_policy ? call->kill_policy->grace_period : NULL;
	m->metrics.messages_kill++;
	if (!t)
		reconcile_one(m, f, call->task_id->value, agent_id);
	else if (!agent_id || strcmp(agent_id, t->agent_id) == 0)
		kill_one(m, t, grace ? MAX(grace->nanoseconds / 1000, (int64_t)0) : -1);
}

/* An executor ends with its tasks; a command task's executor has the task's id. */
void tasks_shutdown_executor(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Shutdown *call)
{
	const struct agent *a = agents_find(m, call->agent_id->value);
	const char *id = call->executor_id->value;
	if (!a)
		return;
	list_each_safe(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, agent_link);
		if (t->framework == f && strcmp(t->executor_id[0] ? t->executor_id : t->id, id) == 0)
			kill_one(m, t, -1);
	}
}

/* ---- reconciliation ---- */

/* The last thing the framework was told, else what is known. */
static void tell_latest(struct model *m, struct task *t)
{
	struct arena arena = ARENA_INIT;
	struct task_report r = { t->state, mesos_v1_TaskStatus_Reason_REASON_RECONCILIATION, "Reconciliation: Latest task state" };
	mesos_v1_TaskStatus last = mesos_v1_TaskStatus_init_zero;
	if (t->status_count > 0) {
		blob_unpack(&t->statuses[t->status_count - 1], &arena, mesos_v1_TaskStatus_fields, &last);
		r.state = last.state;
	}
	mesos_v1_TaskStatus *s = status_new(m, &arena, t->id, t->agent_id, r);
	set_executor(&arena, t, s);
	set_unreachable_time(&arena, t, s);
	s->has_healthy = last.has_healthy;
	s->healthy = last.healthy;
	s->check_status = last.check_status;
	s->container_status = last.container_status;
	tell(m, t->framework, s);
	arena_fini(&arena);
}

/* Agents that may still come back may bring the task: then nothing can be said yet. */
static bool undecided(const struct model *m, const struct agent *a, bool agent_given)
{
	if (agent_given)
		return a && a->sm.state == AGENT_RECOVERED;
	return m->recovered_count > 0;
}

static void reconcile_one(struct model *m, struct framework *f, const char *task_id, const char *agent_id)
{
	struct arena arena = ARENA_INIT;
	struct task *t = tasks_find(f, task_id);
	const struct agent *a = agent_id ? agents_find(m, agent_id) : NULL;
	struct task_report r = { mesos_v1_TaskState_TASK_UNKNOWN, mesos_v1_TaskStatus_Reason_REASON_RECONCILIATION,
				 "Reconciliation: Task is unknown" };
	if (t) {
		tell_latest(m, t);
		return;
	}
	if (undecided(m, a, agent_id != NULL))
		return;
	if (a && a->sm.state == AGENT_UNREACHABLE) {
		r.state = mesos_v1_TaskState_TASK_UNREACHABLE;
		r.message = "Reconciliation: Task is unreachable";
	} else if (a) {
		r.state = mesos_v1_TaskState_TASK_GONE;
		r.message = "Reconciliation: Task is unknown to the agent";
	}
	r.state = tasks_state_for(f, r.state);
	mesos_v1_TaskStatus *s = status_new(m, &arena, task_id, agent_id, r);
	if (a && a->sm.state == AGENT_UNREACHABLE) {
		s->unreachable_time = arena_new(&arena, mesos_v1_TimeInfo);
		s->unreachable_time->nanoseconds = a->unreachable_us * 1000;
	}
	tell(m, f, s);
	arena_fini(&arena);
}

void tasks_reconcile(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Reconcile *call)
{
	m->metrics.messages_reconcile++;
	if (call->tasks_count == 0) {
		map_each(&f->tasks, entry)
			tell_latest(m, entry->value);
	}
	for (size_t i = 0; i < call->tasks_count; i++)
		reconcile_one(m, f, call->tasks[i].task_id->value, call->tasks[i].agent_id ? call->tasks[i].agent_id->value : NULL);
}
