/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks and their status updates (states: agent_int.h). Each task has one stream of updates: the oldest one goes to the master,
 * repeated with growing pauses, until the scheduler has acknowledged it; then the next. An update is acknowledged to the
 * executor, and sent to the master, only when it is on disk. All that is decided in task_step.
 */
#include "roles/agent/agent_int.h"

#include "net/base/log.h"

#define RESEND_MIN_US (10 * SEC)             /* Mesos': 10 s, doubled up to 10 min */
#define RESEND_MAX_US (10 * MINUTE)

/* ---- making and finding ---- */

struct task *task_find(struct agent *a, const char *framework_id, const char *task_id)
{
	AUTO_FREE char *key = xasprintf("%s/%s", framework_id ? framework_id : "", task_id ? task_id : "");
	return map_find_c(&a->by_key, key);
}

struct task *task_new(struct agent *a, const mesos_v1_FrameworkInfo *framework, const mesos_v1_TaskInfo *info, const char *container_id,
		      struct err *e)
{
	if (!framework || !framework->id || !info || !info->task_id) {
		(void)err_set(e, E_MALFORMED, "a launch names no framework or no task");
		return NULL;
	}
	struct task *t = xcalloc(1, sizeof(*t));
	t->agent = a;
	arena_init(&t->arena, ARENA_MAX_DEFAULT);
	arena_init(&t->spec_arena, ARENA_MAX_DEFAULT);
	t->framework = PB_DUP(&t->arena, mesos_v1_FrameworkInfo, framework, e);
	t->info = PB_DUP(&t->arena, mesos_v1_TaskInfo, info, e);
	if (!t->framework || !t->info) {
		arena_fini(&t->arena);
		free(t);
		return NULL;
	}
	t->framework_id = t->framework->id->value;
	t->task_id = t->info->task_id->value;
	t->key = arena_printf(&t->arena, "%s/%s", t->framework_id, t->task_id);
	t->container_id = arena_strdup(&t->arena, container_id);
	AUTO_FREE char *sandbox = sandbox_path(a, t->framework_id, t->task_id, container_id);
	t->sandbox = arena_strdup(&t->arena, sandbox);
	t->state = mesos_v1_TaskState_TASK_STAGING;
	t->resend_us = RESEND_MIN_US;
	t->created_unix_us = loop_unix_us(a->node.loop);
	t->latest = (struct buf)BUF_INIT;
	list_init(&t->updates);
	list_push(&a->tasks, &t->link);
	(void)map_put_c(&a->by_key, t->key, t);
	(void)map_put_c(&a->by_container, t->container_id, t);
	return t;
}

static void update_free(struct status_update *u)
{
	list_remove(&u->link);
	buf_fini(&u->status);
	free(u);
}

void task_free(struct task *t)
{
	while (!list_empty(&t->updates))
		update_free(list_entry(list_pop(&t->updates), struct status_update, link));
	image_job_cancel(t->image);
	destroy_cancel(&t->destroy);
	child_forget(&t->executor);
	loop_timer_stop(&t->deadline);
	loop_timer_stop(&t->resend);
	if (t->peer)
		rpc_peer_set_user(t->peer, NULL);
	(void)map_remove_c(&t->agent->by_key, t->key);
	(void)map_remove_c(&t->agent->by_container, t->container_id);
	list_remove(&t->link);
	buf_fini(&t->latest);
	arena_fini(&t->spec_arena);
	arena_fini(&t->arena);
	free(t);
}

void tasks_used(const struct agent *a, double *cpus, double *mem)
{
	*cpus = *mem = 0;
	list_each(&a->tasks, it) {
		const struct task *t = list_entry(it, struct task, link);
		for (size_t i = 0; !t->terminal && i < t->info->resources_count; i++) {
			const mesos_v1_Resource *r = &t->info->resources[i];
			double v = r->scalar ? r->scalar->value : 0;
			*cpus += cstr_eq(r->name, "cpus") ? v : 0;
			*mem += cstr_eq(r->name, "mem") ? v : 0;
		}
	}
}

/* ---- the row on disk ---- */

static int copy_status(struct arena *a, const struct buf *bytes, mesos_v1_TaskStatus *out, struct err *e)
{
	return pb_read(a, mesos_v1_TaskStatus_fields, buf_view(bytes), out, e);
}

static void on_saved(void *arg, uint64_t seq)
{
	struct task *t = arg;
	t->on_disk = seq;
	task_step(t);
}

void task_save(struct task *t)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	size_t n = 0, count = 0;
	if (t->removing)
		return;
	list_each(&t->updates, it)
		count++;
	rec_CheckpointTask row = {
		.framework_id = t->framework_id, .framework = (mesos_v1_FrameworkInfo *)t->framework,
		.task = (mesos_v1_TaskInfo *)t->info, .container_id = t->container_id, .sandbox = t->sandbox,
		.has_executor_pid = true, .executor_pid = (int32_t)t->executor_pid,
		.has_executor_start_ticks = true, .executor_start_ticks = t->executor_ticks,
		.has_task_pid = true, .task_pid = t->task_pid, .has_kill_requested = true, .kill_requested = t->kill_wanted,
		.has_unix_us = true, .unix_us = t->created_unix_us, .has_terminal = true, .terminal = t->terminal,
		.unacknowledged = arena_array(&a, mesos_v1_TaskStatus, count + 1),
	};
	int rc = 0;
	list_each(&t->updates, it)
		if (rc == 0)
			rc = copy_status(&a, &list_entry(it, struct status_update, link)->status, &row.unacknowledged[n++], &e);
	row.unacknowledged_count = (pb_size_t)n;
	if (rc == 0 && t->latest.len > 0) {
		row.latest = arena_new(&a, mesos_v1_TaskStatus);
		rc = copy_status(&a, &t->latest, row.latest, &e);
	}
	if (rc == 0)
		rc = pb_write(rec_CheckpointTask_fields, &row, &out, &e);
	if (rc != 0) {
		LOG(ERROR, "row of a task cannot be made", "task=%s reason=%s", t->task_id, e.text);
		return;
	}
	uint64_t seq = checkpoint_write(t->agent->checkpoint, &checkpoint_task_table, t->container_id, &out, on_saved, t);
	list_each(&t->updates, it) {
		struct status_update *u = list_entry(it, struct status_update, link);
		u->seq = u->seq ? u->seq : seq;
	}
}

/* ---- queueing updates ---- */

static void count_end(struct agent *a, mesos_v1_TaskState s)
{
	switch (s) {
	case mesos_v1_TaskState_TASK_FAILED: a->metrics.tasks_failed++; break;
	case mesos_v1_TaskState_TASK_FINISHED: a->metrics.tasks_finished++; break;
	case mesos_v1_TaskState_TASK_KILLED: a->metrics.tasks_killed++; break;
	default: a->metrics.tasks_lost++; break;
	}
}

/* What only the agent knows: who, where, in which container. */
static void complete(struct task *t, struct arena *a, mesos_v1_TaskStatus *s)
{
	const struct agent *ag = t->agent;
	mesos_v1_NetworkInfo_IPAddress *ip = arena_new(a, mesos_v1_NetworkInfo_IPAddress);
	mesos_v1_NetworkInfo *net = arena_new(a, mesos_v1_NetworkInfo);
	*ip = (mesos_v1_NetworkInfo_IPAddress){ .has_protocol = true, .protocol = mesos_v1_NetworkInfo_Protocol_IPv4,
						.ip_address = (char *)ag->node.ip };
	net->ip_addresses = ip;
	net->ip_addresses_count = 1;
	s->agent_id = ag->info.id;
	s->executor_id = arena_new(a, mesos_v1_ExecutorID);
	s->executor_id->value = t->task_id;
	s->container_status = arena_new(a, mesos_v1_ContainerStatus);
	s->container_status->container_id = arena_new(a, mesos_v1_ContainerID);
	s->container_status->container_id->value = t->container_id;
	s->container_status->network_infos = net;
	s->container_status->network_infos_count = 1;
	s->container_status->has_executor_pid = t->executor_pid > 0;
	s->container_status->executor_pid = (uint32_t)t->executor_pid;
}

/* Once terminal, nothing more is said about a task. Returns false when that is so. */
static bool queue(struct task *t, struct arena *a, mesos_v1_TaskStatus *s, bool from_executor, struct err *e)
{
	if (t->terminal)
		return false;
	struct status_update *u = xcalloc(1, sizeof(*u));
	*u = (struct status_update){ .state = s->state, .status = BUF_INIT, .from_executor = from_executor };
	memcpy(u->uuid, s->uuid->bytes, sizeof(u->uuid));
	complete(t, a, s);
	if (pb_write(mesos_v1_TaskStatus_fields, s, &u->status, e) != 0) {
		buf_fini(&u->status);
		free(u);
		return false;
	}
	list_push(&t->updates, &u->link);
	buf_reset(&t->latest);
	buf_str(&t->latest, buf_view(&u->status));
	t->state = s->state;
	t->terminal = task_state_terminal(s->state);
	if (t->terminal)
		count_end(t->agent, s->state);
	LOG(INFO, "task state", "task=%s state=%s%s%.*s", t->task_id, task_state_name(s->state), s->message ? " message=" : "",
	    s->message ? (int)strcspn(s->message, "\n") : 0, s->message ? s->message : "");
	return true;
}

void task_report(struct task *t, mesos_v1_TaskState state, bool has_reason, mesos_v1_TaskStatus_Reason reason, const char *message)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	uint8_t uuid[16];
	struct err e = { 0 };
	mesos_v1_TaskID id = { .value = t->task_id };
	rnd_bytes(uuid, sizeof(uuid));
	mesos_v1_TaskStatus s = {
		.task_id = &id, .state = state, .message = (char *)message, .has_source = true,
		.source = mesos_v1_TaskStatus_Source_SOURCE_AGENT, .has_reason = has_reason, .reason = reason,
		.has_timestamp = true, .timestamp = (double)loop_unix_us(t->agent->node.loop) / 1e6,
		.uuid = pb_bytes_put(&a, str_n((const char *)uuid, sizeof(uuid))),
	};
	if (queue(t, &a, &s, false, &e))
		task_save(t);
	else if (e.code != 0)
		LOG(ERROR, "update cannot be made", "task=%s reason=%s", t->task_id, e.text);
}

static struct status_update *find_update(struct task *t, const uint8_t *uuid, size_t len)
{
	list_each(&t->updates, it) {
		struct status_update *u = list_entry(it, struct status_update, link);
		if (len == sizeof(u->uuid) && memcmp(u->uuid, uuid, len) == 0)
			return u;
	}
	return NULL;
}

static void tell_executor(struct task *t, const uint8_t *uuid)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	dcos_TaskUpdateAck ack = { .framework_id = t->framework_id, .task_id = t->task_id,
				   .uuid = pb_bytes_put(&a, str_n((const char *)uuid, 16)) };
	if (pb_write(dcos_TaskUpdateAck_fields, &ack, &out, &e) == 0)
		rpc_send(t->peer, dcos_Method_EXECUTOR_UPDATE_ACK, buf_view(&out));
}

int task_take_update(struct task *t, const dcos_TaskUpdate *u, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	const mesos_v1_TaskStatus *s = u->status;
	if (!s || !s->uuid || s->uuid->size != 16 || !s->task_id || !cstr_eq(s->task_id->value, t->task_id)) {
		t->agent->metrics.invalid_updates++;
		return err_set(e, E_MALFORMED, "an executor's update is not one of its task");
	}
	struct status_update *known = find_update(t, s->uuid->bytes, s->uuid->size);
	if (known) {
		known->told_executor = false;    /* it asks again: our answer got lost */
		task_step(t);
		return 0;
	}
	mesos_v1_TaskStatus copy = *s;
	t->agent->metrics.valid_updates++;
	if (queue(t, &a, &copy, true, e)) {
		task_save(t);
		task_step(t);
	} else {
		tell_executor(t, s->uuid->bytes);    /* late word about a task that is over, or one acknowledged long ago */
	}
	return 0;
}

/* ---- the master's side of the stream ---- */

static void on_resend(struct loop_timer *timer)
{
	struct task *t = container_of(timer, struct task, resend);
	if (!list_empty(&t->updates))
		list_entry(t->updates.next, struct status_update, link)->sent = false;
	t->resend_us = MIN(t->resend_us * 2, RESEND_MAX_US);
	task_step(t);
}

static void send_head(struct task *t, struct status_update *u)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	mesos_v1_TaskStatus status;
	struct rpc_peer *master = leader_peer(t->agent->leader);
	dcos_TaskUpdate msg = { .framework_id = t->framework_id, .status = &status, .has_latest_state = true,
				.latest_state = (int32_t)t->state, .container_id = t->container_id, .sandbox = t->sandbox };
	if (copy_status(&a, &u->status, &status, &e) != 0 || pb_write(dcos_TaskUpdate_fields, &msg, &out, &e) != 0) {
		LOG(ERROR, "update cannot be sent", "task=%s reason=%s", t->task_id, e.text);
		return;
	}
	rpc_send(master, dcos_Method_TASK_UPDATE, buf_view(&out));
	u->sent = true;
	loop_timer_start_lazy(t->agent->node.loop, &t->resend, t->resend_us, on_resend);
}

void tasks_resend_all(struct agent *a)
{
	list_each_safe(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, link);
		list_each(&t->updates, u)
			list_entry(u, struct status_update, link)->sent = false;
		t->resend_us = RESEND_MIN_US;
		task_step(t);
	}
}

void task_acknowledged(struct task *t, const uint8_t *uuid, size_t len)
{
	struct status_update *u = find_update(t, uuid, len);
	if (!u || t->updates.next != &u->link) {
		LOG(DEBUG, "acknowledgement of no update that waits", "task=%s", t->task_id);
		return;
	}
	if (u->seq > t->on_disk) {
		u->acknowledged = true;      /* went ahead of the disk: see may_send; task_step goes on from here */
		return;
	}
	update_free(u);
	t->resend_us = RESEND_MIN_US;
	loop_timer_stop(&t->resend);
	if (!(t->terminal && list_empty(&t->updates)))
		task_save(t);
	task_step(t);
}

/* ---- the end ---- */

/* The history takes over the task's memory; t's own strings stay valid for task_free. */
static void remember(struct task *t)
{
	struct agent *a = t->agent;
	struct done_task *d = xcalloc(1, sizeof(*d));
	*d = (struct done_task){ .arena = t->arena, .framework = t->framework, .info = t->info, .framework_id = t->framework_id,
				 .task_id = t->task_id, .container_id = t->container_id, .sandbox = t->sandbox,
				 .state = t->state, .latest = t->latest };
	t->latest = (struct buf)BUF_INIT;
	arena_init(&t->arena, ARENA_MAX_DEFAULT);
	list_push(&a->completed, &d->link);
	if (++a->completed_count <= COMPLETED_MAX)
		return;
	struct done_task *old = list_entry(list_pop(&a->completed), struct done_task, link);
	a->completed_count--;
	buf_fini(&old->latest);
	arena_fini(&old->arena);
	free(old);
}

static void on_removed(void *arg, uint64_t seq UNUSED)
{
	struct task *t = arg;
	AUTO_FREE char *writable = sandbox_writable(t->agent, t->container_id);
	gc_now(t->agent->gc, writable);
	gc_later(t->agent->gc, t->sandbox);
	remember(t);
	task_free(t);
}

static void on_destroyed(struct destroy_op *op)
{
	struct task *t = op->owner;
	t->phase = PHASE_ENDED;
	mesos_v1_TaskState state = t->kill_wanted ? mesos_v1_TaskState_TASK_KILLED : mesos_v1_TaskState_TASK_FAILED;
	task_report(t, state, true, t->end_reason, t->end_message);
}

void task_executor_lost(struct task *t, mesos_v1_TaskStatus_Reason reason, const char *message)
{
	if (t->phase == PHASE_DESTROYING || t->phase == PHASE_ENDED)
		return;
	loop_timer_stop(&t->deadline);
	t->phase = PHASE_DESTROYING;
	t->end_reason = reason;
	t->end_message = message;
	t->destroy.owner = t;
	destroy_start(&t->destroy, t->agent, t->container_id, on_destroyed);
}

void task_fail_launch(struct task *t, const struct err *e)
{
	AUTO_FREE char *message = xasprintf("Failed to launch container: %s", e->text);
	t->agent->metrics.launch_errors++;
	t->phase = PHASE_ENDED;
	task_report(t, mesos_v1_TaskState_TASK_FAILED, true, mesos_v1_TaskStatus_Reason_REASON_CONTAINER_LAUNCH_FAILED, message);
}

void task_kill(struct task *t, const int64_t *grace_us)
{
	bool first = !t->kill_wanted;
	t->kill_wanted = true;
	if (grace_us) {
		t->kill_has_grace = true;
		t->kill_grace_us = *grace_us;
	}
	if (t->phase == PHASE_PREPARING) {
		image_job_cancel(MOVE(t->image));
		t->phase = PHASE_ENDED;
		task_report(t, mesos_v1_TaskState_TASK_KILLED, true, mesos_v1_TaskStatus_Reason_REASON_TASK_KILLED_DURING_LAUNCH,
			    "Killed before it was launched");
		return;
	}
	if (first)
		task_save(t);
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	dcos_TaskKill msg = { .framework_id = t->framework_id, .task_id = t->task_id,
			      .has_grace_us = t->kill_has_grace, .grace_us = t->kill_grace_us };
	if (t->peer && t->told && pb_write(dcos_TaskKill_fields, &msg, &out, &e) == 0)
		rpc_send(t->peer, dcos_Method_EXECUTOR_KILL, buf_view(&out));
	else
		task_step(t);        /* told as soon as the executor is connected */
}

/* The executor is connected and the task is on disk: tell it what to run, or that it is over before it began. */
static void step_launch(struct task *t)
{
	if (t->phase != PHASE_STARTING || !t->peer || t->on_disk == 0)
		return;
	t->phase = PHASE_LAUNCHED;
	if (!t->kill_wanted) {
		launch_told_executor(t);
		return;
	}
	rpc_send(t->peer, dcos_Method_EXECUTOR_SHUTDOWN, STR(""));
	t->phase = PHASE_ENDED;
	task_report(t, mesos_v1_TaskState_TASK_KILLED, true, mesos_v1_TaskStatus_Reason_REASON_TASK_KILLED_DURING_LAUNCH,
		    "Killed before it was launched");
}

static void step_executor_acks(struct task *t)
{
	list_each(&t->updates, it) {
		struct status_update *u = list_entry(it, struct status_update, link);
		if (!t->peer || !u->from_executor || u->told_executor || u->seq > t->on_disk)
			continue;
		tell_executor(t, u->uuid);
		u->told_executor = true;
	}
}

/*
 * An update leaves when it is on disk. One that says nothing final may go ahead: its executor keeps it until it is on disk and
 * says it again to a restarted agent, so a lost disk write loses nothing.
 */
static bool may_send(const struct task *t, const struct status_update *u)
{
	bool kept_elsewhere = u->from_executor && !task_state_terminal(u->state);
	return !u->sent && !u->acknowledged && (u->seq <= t->on_disk || kept_elsewhere) && t->agent->registered && leader_peer(t->agent->leader);
}

void task_step(struct task *t)
{
	step_launch(t);
	step_executor_acks(t);
	if (!list_empty(&t->updates)) {
		struct status_update *head = list_entry(t->updates.next, struct status_update, link);
		if (head->acknowledged && head->seq <= t->on_disk)
			task_acknowledged(t, head->uuid, sizeof(head->uuid));
		else if (may_send(t, head))
			send_head(t, head);
		return;
	}
	if (t->terminal && !t->removing && t->phase != PHASE_DESTROYING) {
		t->removing = true;
		(void)checkpoint_write(t->agent->checkpoint, &checkpoint_task_table, t->container_id, NULL, on_removed, t);
	}
}
