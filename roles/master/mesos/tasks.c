/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks: launched, known again after a change of leaders, lost with their agent, ended.
 *
 *   accepted (launching list) -> intent proposed -> recorded: TASK_LAUNCH sent -> updates -> terminal -> acknowledged: completed
 *
 * The intent is at a majority before the agent hears of the task, so neither a lost nor a doubled task comes of a failover.
 * A task's resources count from its offer on and go back as soon as its newest state is terminal; the task itself stays until
 * the scheduler has acknowledged the end.
 */
#include "roles/master/mesos/model.h"

#include "net/limits.h"

#define INTENTS_BYTES (1024 * 1024)       /* of launches in one proposal; far below LIMIT_OP_BYTES with the keys */

struct task *tasks_find(const struct framework *f, const char *id) { return map_find_c(&f->tasks, id); }

/* ---- counting ---- */

static double *state_gauge(struct model *m, mesos_v1_TaskState s)
{
	switch (s) {
	case mesos_v1_TaskState_TASK_STAGING:     return &m->metrics.tasks_staging;
	case mesos_v1_TaskState_TASK_STARTING:    return &m->metrics.tasks_starting;
	case mesos_v1_TaskState_TASK_RUNNING:     return &m->metrics.tasks_running;
	case mesos_v1_TaskState_TASK_KILLING:     return &m->metrics.tasks_killing;
	case mesos_v1_TaskState_TASK_UNREACHABLE: return &m->metrics.tasks_unreachable;
	default:                                  return NULL;
	}
}

static double *state_counter(struct model *m, mesos_v1_TaskState s)
{
	switch (s) {
	case mesos_v1_TaskState_TASK_FINISHED:         return &m->metrics.tasks_finished;
	case mesos_v1_TaskState_TASK_FAILED:           return &m->metrics.tasks_failed;
	case mesos_v1_TaskState_TASK_KILLED:           return &m->metrics.tasks_killed;
	case mesos_v1_TaskState_TASK_LOST:             return &m->metrics.tasks_lost;
	case mesos_v1_TaskState_TASK_ERROR:            return &m->metrics.tasks_error;
	case mesos_v1_TaskState_TASK_DROPPED:          return &m->metrics.tasks_dropped;
	case mesos_v1_TaskState_TASK_GONE:             return &m->metrics.tasks_gone;
	case mesos_v1_TaskState_TASK_GONE_BY_OPERATOR: return &m->metrics.tasks_gone_by_operator;
	default:                                       return NULL;
	}
}

static void gauge_move(struct model *m, mesos_v1_TaskState s, double by)
{
	double *g = state_gauge(m, s);
	if (g)
		*g += by;
}

void tasks_set_state(struct model *m, struct task *t, mesos_v1_TaskState state)
{
	double *ended = state_counter(m, state);
	if (t->state == state)
		return;
	gauge_move(m, t->state, -1);
	gauge_move(m, state, 1);
	if (ended)
		*ended += 1;
	t->state = state;
}

/* ---- statuses ---- */

void tasks_add_status(struct task *t, const mesos_v1_TaskStatus *status)
{
	struct arena arena = ARENA_INIT;
	mesos_v1_TaskStatus last = mesos_v1_TaskStatus_init_zero, kept = *status;
	struct err e = { 0 };
	kept.data = NULL;
	if (t->status_count > 0)
		blob_unpack(&t->statuses[t->status_count - 1], &arena, mesos_v1_TaskStatus_fields, &last);
	bool new_state = t->status_count == 0 || last.state != status->state;
	if (new_state && t->status_count == LIMIT_STATUSES) {
		blob_fini(&t->statuses[0]);
		memmove(&t->statuses[0], &t->statuses[1], (LIMIT_STATUSES - 1) * sizeof(*t->statuses));
		t->statuses[LIMIT_STATUSES - 1] = (struct blob){ 0 };
	} else if (new_state) {
		t->statuses = xrealloc(t->statuses, (t->status_count + 1) * sizeof(*t->statuses));
		t->statuses[t->status_count++] = (struct blob){ 0 };
	}
	int rc = blob_pack(&t->statuses[t->status_count - 1], mesos_v1_TaskStatus_fields, &kept, &e);
	assert(rc == 0);
	arena_fini(&arena);
}

/* ---- resources ---- */

static struct task *executor_heir(const struct agent *a, const struct framework *f, const char *executor_id, const struct task *except)
{
	list_each(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, agent_link);
		if (t != except && t->framework == f && t->holds && executor_id[0] && strcmp(t->executor_id, executor_id) == 0)
			return t;
	}
	return NULL;
}

bool tasks_executor_live(const struct agent *a, const struct framework *f, const char *executor_id, const struct task *except)
{
	return executor_heir(a, f, executor_id, except) != NULL;
}

static void hold(struct model *m, struct task *t)
{
	assert(!t->holds);
	t->holds = true;
	pools_add_scalars(&t->framework->used, &t->used);
	pools_add_scalars(&t->framework->used, &t->executor_used);
	publish_agent(m, t->agent);
	publish_framework(m, t->framework);
}

void tasks_release(struct model *m, struct task *t)
{
	struct pools r = { 0 };
	if (!t->holds)
		return;
	struct task *heir = t->agent ? executor_heir(t->agent, t->framework, t->executor_id, t) : NULL;
	if (heir && !pools_empty(&t->executor_used)) {      /* the executor lives on: its resources go with it */
		pools_add(&heir->executor_used, &t->executor_used);
		pools_fini(&t->executor_used);
	}
	pools_add(&r, &t->used);
	pools_add(&r, &t->executor_used);
	pools_sub_scalars(&t->framework->used, &r);
	if (t->agent && t->agent->slot != ALLOC_NONE)
		allocator_recover(m->alloc, t->framework->slot, t->role, t->agent->slot, &r, 0, m->now_us);
	t->holds = false;
	if (t->agent)
		publish_agent(m, t->agent);
	publish_framework(m, t->framework);
	pools_fini(&r);
}

/* ---- beginning ---- */

static const char *role_of(const struct framework *f, const mesos_v1_TaskInfo *info)
{
	for (size_t i = 0; i < info->resources_count; i++)
		if (info->resources[i].allocation_info && info->resources[i].allocation_info->role)
			return info->resources[i].allocation_info->role;
	return f->role_count > 0 ? f->roles[0] : "*";
}

/* Forget a completed task of that id: ids may be used again, and a row of the view is named by it. */
static void forget_completed(struct model *m, struct framework *f, const char *id)
{
	list_each_safe(&f->completed, it) {
		struct task *t = list_entry(it, struct task, completed_link);
		if (strcmp(t->id, id) != 0)
			continue;
		f->completed_count--;
		tasks_free(m, t);
	}
}

static struct task *task_new(struct model *m, struct framework *f, struct agent *a, const char *role, const mesos_v1_TaskInfo *info,
			     mesos_v1_TaskState state, struct err *e)
{
	struct blob packed = { 0 };
	if (blob_pack(&packed, mesos_v1_TaskInfo_fields, info, e) != 0)
		return NULL;
	if (packed.len > LIMIT_TASK_INFO_BYTES) {
		err_set(e, E_TOOBIG, "Task is larger than %d bytes", LIMIT_TASK_INFO_BYTES);
		blob_fini(&packed);
		return NULL;
	}
	forget_completed(m, f, info->task_id->value);
	struct task *t = xcalloc(1, sizeof(*t));
	*t = (struct task){
		.id = xstrdup(info->task_id->value), .framework = f, .agent = a, .agent_id = xstrdup(info->agent_id->value),
		.executor_id = xstrdup(info->executor ? info->executor->executor_id->value : ""), .role = xstrdup(role),
		.info = packed, .state = state, .kill_grace_us = -1, .updated_us = m->unix_us,
	};
	gauge_move(m, state, 1);
	map_put_c(&f->tasks, t->id, t);
	if (a)
		list_push(&a->tasks, &t->agent_link);
	publish_task(m, t);
	return t;
}

int tasks_launch(struct model *m, struct framework *f, struct agent *a, const char *role, const mesos_v1_TaskInfo *info,
		 struct pools *used, struct pools *executor_used, struct err *e)
{
	struct task *t = task_new(m, f, a, role, info, mesos_v1_TaskState_TASK_STAGING, e);
	if (!t)
		return e->code;
	t->used = *used;
	t->executor_used = *executor_used;
	pools_copy(used, &t->used);                /* the caller still subtracts them from its offer */
	pools_copy(executor_used, &t->executor_used);
	hold(m, t);
	list_push(&m->launching, &t->launch_link);
	return 0;
}

/* ---- intents ---- */

struct launches {
	struct pending p;
	struct list tasks;         /* task.launch_link; a task that ends meanwhile leaves it */
};

static void launches_free(struct pending *p)
{
	struct launches *l = container_of(p, struct launches, p);
	list_each_safe(&l->tasks, it)
		list_remove(it);
	free(l);
}

static void send_launch(struct model *m, struct task *t)
{
	struct arena arena = ARENA_INIT;
	mesos_v1_TaskInfo info;
	blob_unpack(&t->info, &arena, mesos_v1_TaskInfo_fields, &info);
	dcos_TaskLaunch msg = { .framework = t->framework->info, .task = &info, .executor = info.executor };
	model_send(m, t->agent, dcos_Method_TASK_LAUNCH, dcos_TaskLaunch_fields, &msg);
	t->launched = true;
	arena_fini(&arena);
}

static void end_early(struct model *m, struct task *t, struct task_report r)
{
	tasks_report(m, t, r);
	tasks_complete(m, t);
}

static void launch_recorded(struct model *m, struct task *t, const struct err *e)
{
	struct framework *f = t->framework;
	mesos_v1_TaskState dropped = tasks_state_for(f, mesos_v1_TaskState_TASK_DROPPED);
	if (e->code != 0) {
		struct err why = *e;
		err_wrap(&why, "Task could not be recorded");
		end_early(m, t, (struct task_report){ dropped, mesos_v1_TaskStatus_Reason_REASON_MASTER_DISCONNECTED, why.text });
	} else if (t->kill_requested) {
		end_early(m, t, (struct task_report){ mesos_v1_TaskState_TASK_KILLED,
			mesos_v1_TaskStatus_Reason_REASON_TASK_KILLED_DURING_LAUNCH, "Task killed before delivery to the agent" });
	} else if (!t->agent || !t->agent->conn) {
		end_early(m, t, (struct task_report){ dropped, mesos_v1_TaskStatus_Reason_REASON_AGENT_DISCONNECTED, "Agent is disconnected" });
	} else {
		send_launch(m, t);
	}
}

static void on_recorded(struct pending *p, struct str reply, const struct err *e)
{
	struct launches *l = container_of(p, struct launches, p);
	(void)reply;
	for (struct list *it; (it = list_pop(&l->tasks)); )
		launch_recorded(p->model, list_entry(it, struct task, launch_link), e);
	launches_free(p);
}

static void add_intent(const struct task *t, struct arena *arena, rec_Intent *out, int64_t unix_us)
{
	mesos_v1_TaskInfo *info = arena_new(arena, mesos_v1_TaskInfo);
	blob_unpack(&t->info, arena, mesos_v1_TaskInfo_fields, info);
	*out = (rec_Intent){ t->id, t->framework->id, t->agent_id, info, true, unix_us };
}

/* One proposal with as many launches as fit, and all the ends. */
static void propose_some(struct model *m)
{
	struct arena arena = ARENA_INIT;
	struct launches *l = xcalloc(1, sizeof(*l));
	rec_Intents msg = { .ended = m->ended, .ended_count = (pb_size_t)m->ended_count };
	size_t bytes = 0, max = 0;
	*l = (struct launches){ .p = { .done = on_recorded, .drop = launches_free } };
	list_init(&l->tasks);
	list_each(&m->launching, it)
		max++;
	msg.launched = arena_array(&arena, rec_Intent, max);
	while (!list_empty(&m->launching) && bytes < INTENTS_BYTES) {
		struct task *t = list_entry(list_pop(&m->launching), struct task, launch_link);
		list_push(&l->tasks, &t->launch_link);
		add_intent(t, &arena, &msg.launched[msg.launched_count++], m->unix_us);
		bytes += t->info.len;
	}
	model_propose(m, rec_Op_OP_INTENTS, rec_Intents_fields, &msg, &l->p);
	for (size_t i = 0; i < m->ended_count; i++)
		free(m->ended[i]);
	m->ended_count = 0;
	arena_fini(&arena);
}

void tasks_propose(struct model *m)
{
	while (!list_empty(&m->launching) || m->ended_count > 0)
		propose_some(m);
}

static void end_intent(struct model *m, const char *framework_id, const char *task_id)
{
	if (m->ended_count == m->ended_cap) {
		m->ended_cap = MAX(2 * m->ended_cap, (size_t)16);
		m->ended = xrealloc(m->ended, m->ended_cap * sizeof(char *));
	}
	m->ended[m->ended_count++] = xasprintf("%s/%s", framework_id, task_id);
}

/* ---- the end ---- */

static void unlink_agent(struct task *t)
{
	list_remove(&t->agent_link);
	t->agent = NULL;
}

void tasks_free(struct model *m, struct task *t)
{
	if (!t->completed) {
		map_remove_c(&t->framework->tasks, t->id);
		gauge_move(m, t->state, -1);
	}
	unlink_agent(t);
	list_remove(&t->completed_link);
	list_remove(&t->launch_link);
	list_remove(&t->dirty_link);
	for (size_t i = 0; i < t->status_count; i++)
		blob_fini(&t->statuses[i]);
	free(t->statuses);
	blob_fini(&t->info);
	pools_fini(&t->used);
	pools_fini(&t->executor_used);
	free(t->container_id);
	free(t->sandbox);
	free(t->role);
	free(t->executor_id);
	free(t->agent_id);
	free(t->id);
	free(t);
}

void tasks_complete(struct model *m, struct task *t)
{
	struct framework *f = t->framework;
	tasks_release(m, t);
	list_remove(&t->launch_link);
	unlink_agent(t);
	end_intent(m, f->id, t->id);
	map_remove_c(&f->tasks, t->id);
	gauge_move(m, t->state, -1);
	t->completed = true;
	list_push(&f->completed, &t->completed_link);
	f->completed_count++;
	publish_task(m, t);
	while (f->completed_count > TASKS_COMPLETED_MAX) {
		struct task *oldest = list_entry(f->completed.next, struct task, completed_link);
		publish_task_gone(m, oldest);
		tasks_free(m, oldest);
		f->completed_count--;
	}
}

/* ---- agents come and go ---- */

void tasks_agent_unreachable(struct model *m, struct agent *a)
{
	list_each_safe(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, agent_link);
		tasks_release(m, t);
		if (list_linked(&t->launch_link))       /* not sent: ends when its intent is recorded */
			continue;
		if (task_state_terminal(t->state))
			tasks_complete(m, t);           /* its acknowledgement has nowhere to go */
		else
			tasks_report(m, t, (struct task_report){
				tasks_state_for(t->framework, mesos_v1_TaskState_TASK_UNREACHABLE),
				mesos_v1_TaskStatus_Reason_REASON_AGENT_REMOVED, "Agent is unreachable" });
	}
}

void tasks_agent_removed(struct model *m, struct agent *a, const char *message)
{
	AUTO_FREE char *text = xasprintf("Agent %s removed: %s", a->info->hostname, message);
	list_each_safe(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, agent_link);
		if (!task_state_terminal(t->state))
			tasks_report(m, t, (struct task_report){ mesos_v1_TaskState_TASK_LOST,
				mesos_v1_TaskStatus_Reason_REASON_AGENT_REMOVED, text });
		tasks_complete(m, t);
	}
}

void tasks_framework_removed(struct model *m, struct framework *f)
{
	dcos_FrameworkShutdown msg = { f->id };
	list_each(&m->agent_list, it)
		model_send(m, list_entry(it, struct agent, link), dcos_Method_FRAMEWORK_SHUTDOWN, dcos_FrameworkShutdown_fields, &msg);
	map_each(&f->tasks, entry) {
		struct task *t = entry->value;
		if (!task_state_terminal(t->state))
			tasks_set_state(m, t, mesos_v1_TaskState_TASK_KILLED);
		tasks_complete(m, t);
	}
}

static void set_where(struct task *t, const dcos_AgentTask *from)
{
	if (from->container_id) {
		free(t->container_id);
		t->container_id = xstrdup(from->container_id);
	}
	if (from->sandbox) {
		free(t->sandbox);
		t->sandbox = xstrdup(from->sandbox);
	}
}

/* The task is on this agent: have it count there. */
static void take_resources(struct model *m, struct agent *a, struct task *t, const mesos_v1_TaskInfo *info)
{
	struct err e = { 0 };
	struct pools sum = { 0 };
	if (t->holds || task_state_terminal(t->state))
		return;
	pools_fini(&t->used);
	pools_fini(&t->executor_used);
	(void)pools_from_v1(&t->used, info->resources, info->resources_count, &e);      /* was checked when it was launched */
	if (info->executor && !tasks_executor_live(a, t->framework, t->executor_id, t))
		(void)pools_from_v1(&t->executor_used, info->executor->resources, info->executor->resources_count, &e);
	pools_add(&sum, &t->used);
	pools_add(&sum, &t->executor_used);
	allocator_take(m->alloc, t->framework->slot, t->role, a->slot, &sum);
	hold(m, t);
	pools_fini(&sum);
}

static void report_one(struct model *m, struct agent *a, struct framework *f, const dcos_AgentTask *from, bool was_unreachable)
{
	const mesos_v1_TaskInfo *info = from->task;
	mesos_v1_TaskState state = from->status ? from->status->state : mesos_v1_TaskState_TASK_STAGING;
	struct task *t = tasks_find(f, info->task_id->value);
	struct err e = { 0 };
	if (!t)
		t = task_new(m, f, a, role_of(f, info), info, state, &e);
	if (!t)
		return;
	t->seen = m->registrations;
	t->launched = true;
	if (t->agent != a) {
		unlink_agent(t);
		t->agent = a;
		list_push(&a->tasks, &t->agent_link);
	}
	set_where(t, from);
	tasks_set_state(m, t, state);
	if (from->status)
		tasks_add_status(t, from->status);
	if (task_state_terminal(state))
		tasks_release(m, t);
	take_resources(m, a, t, info);
	publish_task(m, t);
	if (was_unreachable)
		tasks_report(m, t, (struct task_report){ state, mesos_v1_TaskStatus_Reason_REASON_AGENT_REREGISTERED,
			"Unreachable agent re-reregistered" });
}

static void ask_to_end(dcos_AgentRegistered *reply, const char *framework_id, const char *task_id, int64_t grace_us, const char *reason)
{
	reply->unknown_tasks[reply->unknown_tasks_count++] = (dcos_TaskKill){
		.framework_id = (char *)framework_id, .task_id = (char *)task_id,
		.has_grace_us = grace_us >= 0, .grace_us = grace_us, .reason = (char *)reason,
	};
}

/* What it had and does not report: never started there, or gone with a crash. */
static void end_missing(struct model *m, struct agent *a)
{
	list_each_safe(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, agent_link);
		if (t->seen == m->registrations || !t->launched)
			continue;
		mesos_v1_TaskState state = t->status_count > 0 ? mesos_v1_TaskState_TASK_GONE : mesos_v1_TaskState_TASK_DROPPED;
		if (!task_state_terminal(t->state) || t->state == mesos_v1_TaskState_TASK_LOST)
			tasks_report(m, t, (struct task_report){ tasks_state_for(t->framework, state),
				mesos_v1_TaskStatus_Reason_REASON_RECONCILIATION, "Task is unknown to the agent" });
		tasks_complete(m, t);
	}
}

void tasks_reported(struct model *m, struct agent *a, const dcos_AgentRegister *reg, bool again, dcos_AgentRegistered *reply,
		    struct arena *arena)
{
	bool was_unreachable = a->sm.state == AGENT_UNREACHABLE;
	m->registrations++;
	reply->unknown_tasks = arena_array(arena, dcos_TaskKill, reg->tasks_count);
	for (size_t i = 0; i < reg->frameworks_count; i++) {
		const mesos_v1_FrameworkInfo *info = &reg->frameworks[i];
		struct err e = { 0 };
		if (info->id && info->id->value && validate_framework(info, &e) == 0)
			(void)frameworks_learn(m, info);       /* NULL: completed, then its tasks end below */
	}
	for (size_t i = 0; i < reg->tasks_count; i++) {
		const dcos_AgentTask *from = &reg->tasks[i];
		if (!from->task || !from->framework_id || !from->task->task_id || !from->task->agent_id)
			continue;
		struct framework *f = frameworks_find(m, from->framework_id);
		if (!f) {
			ask_to_end(reply, from->framework_id, from->task->task_id->value, -1, "the framework is gone");
			continue;
		}
		report_one(m, a, f, from, was_unreachable);
		const struct task *t = tasks_find(f, from->task->task_id->value);
		if (t && t->kill_requested && !task_state_terminal(t->state))
			ask_to_end(reply, f->id, t->id, t->kill_grace_us, "killed while the agent was away");
	}
	if (!again)
		end_missing(m, a);
}

/* ---- reported by a digest ---- */

void tasks_digest(const struct agent *a, struct task_digest *out)
{
	*out = (struct task_digest){ .count = 0 };
	list_each(&a->tasks, it) {
		const struct task *t = list_entry(it, struct task, agent_link);
		struct arena arena = ARENA_INIT;
		mesos_v1_TaskStatus latest = mesos_v1_TaskStatus_init_zero;
		if (t->status_count > 0)
			blob_unpack(&t->statuses[t->status_count - 1], &arena, mesos_v1_TaskStatus_fields, &latest);
		if (t->launched)
			task_digest_add(out, t->framework->id, t->id, t->container_id, t->status_count > 0 ? &latest : NULL);
		arena_fini(&arena);
	}
}

void tasks_confirmed(struct model *m, struct agent *a, dcos_AgentRegistered *reply, struct arena *arena)
{
	struct task_digest known;
	m->registrations++;
	tasks_digest(a, &known);
	reply->unknown_tasks = arena_array(arena, dcos_TaskKill, known.count);
	list_each(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, agent_link);
		struct arena one = ARENA_INIT;
		mesos_v1_TaskInfo info;
		if (!t->launched)
			continue;
		t->seen = m->registrations;
		blob_unpack(&t->info, &one, mesos_v1_TaskInfo_fields, &info);
		take_resources(m, a, t, &info);
		publish_task(m, t);
		if (t->kill_requested && !task_state_terminal(t->state))
			ask_to_end(reply, t->framework->id, t->id, t->kill_grace_us, "killed while the agent was away");
		arena_fini(&one);
	}
}

/* ---- recovery ---- */

static void load_last_known(struct model *m, struct task *t, const dcos_ViewTask *last)
{
	if (last->has_state)
		tasks_set_state(m, t, (mesos_v1_TaskState)last->state);
	for (size_t i = 0; i < last->statuses_count; i++)
		tasks_add_status(t, &last->statuses[i]);
	set_where(t, &(dcos_AgentTask){ .container_id = last->container_id, .sandbox = last->sandbox });
	if (last->has_status_update_us)
		t->updated_us = last->status_update_us;
}

void tasks_load(struct model *m, const rec_Intent *row, const dcos_ViewTask *last_known)
{
	struct framework *f = row->framework_id ? frameworks_find(m, row->framework_id) : NULL;
	struct agent *a = row->agent_id ? agents_find(m, row->agent_id) : NULL;
	struct err e = { 0 };
	if (!f || !a || !row->task || tasks_find(f, row->task_id)) {
		if (row->framework_id && row->task_id)
			end_intent(m, row->framework_id, row->task_id);
		return;
	}
	struct task *t = task_new(m, f, a, role_of(f, row->task), row->task, mesos_v1_TaskState_TASK_STAGING, &e);
	if (!t)
		return;
	t->launched = true;
	if (last_known && !last_known->completed)
		load_last_known(m, t, last_known);
	if (a->sm.state == AGENT_UNREACHABLE)
		tasks_set_state(m, t, tasks_state_for(f, mesos_v1_TaskState_TASK_UNREACHABLE));
}
