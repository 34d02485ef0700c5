/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent at its master: registers on each connection to a leading master, with a digest of the tasks it has, or with the list
 * where the master knows others; carries out launches and kills, answers pings. A master that falls silent is given up for a new connection.
 */
#include "roles/agent/agent_int.h"

#include "gen/version.h"
#include "net/base/log.h"
#include "roles/task_digest.h"

#define REGISTER_TIMEOUT_US (30 * SEC)
#define COME_IN_MAX_US (5 * MINUTE)    /* a master asks for more only by mistake */
#define RETRY_US (500 * MSEC)
#define SILENCE_DEFAULT_US (75 * SEC)
#define ENDING_LOOK_US (100 * MSEC)
#define ENDING_MAX_US (60 * SEC)

static void register_now(struct agent *a);
static void follow(struct agent *a);

/* ---- who we are ---- */

void register_save_agent(struct agent *a)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	rec_CheckpointAgent row = { .agent_id = a->info.id ? a->info.id->value : NULL, .info = &a->info, .boot_id = a->boot_id };
	if (pb_write(rec_CheckpointAgent_fields, &row, &out, &e) != 0)
		LOG(ERROR, "row of the agent cannot be made", "reason=%s", e.text);
	else
		(void)checkpoint_write(a->checkpoint, &checkpoint_agent_table, "agent", &out, NULL, NULL);
}

/* ---- registration ---- */

static void fill_task(struct arena *arena, struct task *t, dcos_AgentTask *out)
{
	struct err e = { 0 };
	*out = (dcos_AgentTask){ .task = (mesos_v1_TaskInfo *)t->info, .framework_id = t->framework_id,
				 .container_id = t->container_id, .sandbox = t->sandbox };
	if (t->latest.len == 0)
		return;
	out->status = arena_new(arena, mesos_v1_TaskStatus);
	if (pb_read(arena, mesos_v1_TaskStatus_fields, buf_view(&t->latest), out->status, &e) != 0)
		out->status = NULL;
}

/* Each framework once. */
static void fill_frameworks(struct agent *a, struct arena *arena, dcos_AgentRegister *msg)
{
	struct map seen = { 0 };
	msg->frameworks = arena_array(arena, mesos_v1_FrameworkInfo, map_count(&a->by_key) + 1);
	list_each(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, link);
		if (!map_put_c(&seen, t->framework_id, t))
			msg->frameworks[msg->frameworks_count++] = *t->framework;
	}
	map_fini(&seen);
}

static void fill_digest(struct agent *a, struct arena *arena, dcos_AgentRegister *msg)
{
	struct task_digest d = { .count = 0 };
	list_each(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, link);
		dcos_AgentTask row;
		fill_task(arena, t, &row);
		task_digest_add(&d, t->framework_id, t->task_id, t->container_id, row.status);
	}
	msg->digest = pb_bytes_put(arena, str_n((const char *)d.sum, sizeof(d.sum)));
	msg->has_task_count = true;
	msg->task_count = d.count;
}

static void fill(struct agent *a, struct arena *arena, dcos_AgentRegister *msg)
{
	*msg = (dcos_AgentRegister){
		.info = &a->info, .version = DCOS_NODE_VERSION, .ip = a->node.ip, .has_port = true, .port = a->config.port,
		.boot_id = a->boot_id, .node = a->node.name,
	};
	if (!a->by_list) {
		fill_digest(a, arena, msg);
		return;
	}
	msg->tasks = arena_array(arena, dcos_AgentTask, map_count(&a->by_key) + 1);
	msg->executor_ids = arena_array(arena, char *, map_count(&a->by_key) + 1);
	list_each(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, link);
		fill_task(arena, t, &msg->tasks[msg->tasks_count++]);
		if (!t->terminal)
			msg->executor_ids[msg->executor_ids_count++] = t->task_id;
	}
	fill_frameworks(a, arena, msg);
}

static void on_retry(struct loop_timer *t) { register_now(container_of(t, struct agent, register_retry)); }

static void on_silence(struct loop_timer *t)
{
	struct agent *a = container_of(t, struct agent, ping_silence);
	LOG(WARN, "the master fell silent, looking for it again", "after_s=%lld", (long long)(a->ping_timeout_us / SEC));
	rpc_call_cancel(&a->register_call);
	a->registered = false;
	leader_stop(a->leader);
	follow(a);
}

static void heard_master(struct agent *a)
{
	loop_timer_start_lazy(a->node.loop, &a->ping_silence, a->ping_timeout_us, on_silence);
}

static void accept_id(struct agent *a, const char *id)
{
	if (a->info.id)
		return;
	a->info.id = arena_new(&a->arena, mesos_v1_AgentID);
	a->info.id->value = arena_strdup(&a->arena, id);
	register_save_agent(a);
}

static void on_registered(struct rpc_call *c, struct str reply, const struct err *failure)
{
	struct agent *a = container_of(c, struct agent, register_call);
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_AgentRegistered msg = { .agent_id = NULL };
	struct err e = *failure;
	if (e.code == 0)
		(void)pb_read(&arena, dcos_AgentRegistered_fields, reply, &msg, &e);
	if (e.code == 0 && (!msg.agent_id || !msg.agent_id[0]))
		(void)err_set(&e, E_MALFORMED, "the master gave no agent id");
	if (e.code != 0) {
		LOG(WARN, "not registered yet", "reason=%s", e.text);
		loop_timer_start(a->node.loop, &a->register_retry, RETRY_US, on_retry);
		return;
	}
	if (a->info.id && !cstr_eq(a->info.id->value, msg.agent_id)) {
		LOG(ERROR, "the master knows this agent by another id", "own=%s master=%s", a->info.id->value, msg.agent_id);
		loop_stop(a->node.loop);
		return;
	}
	accept_id(a, msg.agent_id);
	if (msg.want_tasks || msg.come_in_us > 0) {
		int64_t wait_us = MIN(MAX(msg.come_in_us, (int64_t)0), COME_IN_MAX_US);
		a->by_list |= msg.want_tasks;
		wait_us += (int64_t)rnd_below(loop_rnd(a->node.loop), (uint64_t)wait_us / 8 + 1);     /* clocks and hints are alike */
		loop_timer_start(a->node.loop, &a->register_retry, wait_us, on_retry);
		return;
	}
	LOG(INFO, "registered", "agent=%s tasks=%zu", msg.agent_id, map_count(&a->by_key));
	a->registered = true;
	a->ping_timeout_us = msg.has_ping_timeout_us && msg.ping_timeout_us > 0 ? msg.ping_timeout_us : SILENCE_DEFAULT_US;
	heard_master(a);
	if (!a->ready_told)
		node_ready(&a->node);
	a->ready_told = true;
	for (size_t i = 0; i < msg.unknown_tasks_count; i++) {
		struct task *t = task_find(a, msg.unknown_tasks[i].framework_id, msg.unknown_tasks[i].task_id);
		if (t)
			task_kill(t, NULL);
	}
	tasks_resend_all(a);
}

static void register_now(struct agent *a)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	dcos_AgentRegister msg;
	struct err e = { 0 };
	struct rpc_peer *p = leader_peer(a->leader);
	if (!p)
		return;
	fill(a, &arena, &msg);
	if (pb_write(dcos_AgentRegister_fields, &msg, &out, &e) != 0) {
		LOG(ERROR, "registration cannot be made", "reason=%s", e.text);
		return;
	}
	rpc_call_start(p, &a->register_call, dcos_Method_AGENT_REGISTER, buf_view(&out), REGISTER_TIMEOUT_US, on_registered);
}

static void on_up(void *arg, struct rpc_peer *p UNUSED)
{
	struct agent *a = arg;
	a->registered = false;
	a->by_list = !a->info.id;
	loop_timer_stop(&a->register_retry);
	register_now(a);
}

static void on_down(void *arg)
{
	struct agent *a = arg;
	a->registered = false;
	rpc_call_cancel(&a->register_call);
	loop_timer_stop(&a->register_retry);
	loop_timer_stop(&a->ping_silence);
}

/* ---- the master's calls ---- */

static void on_ping(struct rpc_peer *p, struct rpc_req *req, struct str payload UNUSED)
{
	heard_master(leader_arg(p));
	if (req)
		rpc_reply(req, STR(""));
}

static void on_launch(struct rpc_peer *p, struct rpc_req *req UNUSED, struct str payload)
{
	struct agent *a = leader_arg(p);
	if (a->registered)
		launch_task(a, payload);
	else
		LOG(WARN, "launch before registration ignored", "bytes=%zu", payload.len);
}

/* A kill for a task we do not have: say so, else its scheduler waits for ever. */
static void report_unknown(struct rpc_peer *p, const dcos_TaskKill *kill)
{
	struct agent *a = leader_arg(p);
	AUTO_ARENA struct arena arena = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	uint8_t uuid[16];
	struct err e = { 0 };
	mesos_v1_TaskID id = { .value = kill->task_id };
	rnd_bytes(uuid, sizeof(uuid));
	mesos_v1_TaskStatus s = {
		.task_id = &id, .state = mesos_v1_TaskState_TASK_LOST, .message = "Attempted to kill an unknown task",
		.agent_id = a->info.id, .has_source = true, .source = mesos_v1_TaskStatus_Source_SOURCE_AGENT, .has_reason = true,
		.reason = mesos_v1_TaskStatus_Reason_REASON_EXECUTOR_TERMINATED, .has_timestamp = true,
		.timestamp = (double)loop_unix_us(a->node.loop) / 1e6, .uuid = pb_bytes_put(&arena, str_n((const char *)uuid, 16)),
	};
	dcos_TaskUpdate msg = { .framework_id = kill->framework_id, .status = &s };
	if (pb_write(dcos_TaskUpdate_fields, &msg, &out, &e) == 0)
		rpc_send(p, dcos_Method_TASK_UPDATE, buf_view(&out));
}

static void on_kill(struct rpc_peer *p, struct rpc_req *req UNUSED, struct str payload)
{
	struct agent *a = leader_arg(p);
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_TaskKill msg;
	struct err e = { 0 };
	if (pb_read(&arena, dcos_TaskKill_fields, payload, &msg, &e) != 0 || !msg.task_id || !msg.framework_id) {
		LOG(WARN, "kill cannot be read", "reason=%s", e.text);
		return;
	}
	struct task *t = task_find(a, msg.framework_id, msg.task_id);
	LOG(INFO, "kill", "task=%s reason=%s known=%d", msg.task_id, msg.reason ? msg.reason : "", t != NULL);
	if (t)
		task_kill(t, msg.has_grace_us ? &msg.grace_us : NULL);
	else
		report_unknown(p, &msg);
}

static void on_ack(struct rpc_peer *p, struct rpc_req *req UNUSED, struct str payload)
{
	struct agent *a = leader_arg(p);
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_TaskUpdateAck msg;
	struct err e = { 0 };
	if (pb_read(&arena, dcos_TaskUpdateAck_fields, payload, &msg, &e) != 0 || !msg.uuid)
		return;
	struct task *t = task_find(a, msg.framework_id, msg.task_id);
	if (t)
		task_acknowledged(t, msg.uuid->bytes, msg.uuid->size);
}

static void on_framework_shutdown(struct rpc_peer *p, struct rpc_req *req UNUSED, struct str payload)
{
	struct agent *a = leader_arg(p);
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_FrameworkShutdown msg;
	struct err e = { 0 };
	if (pb_read(&arena, dcos_FrameworkShutdown_fields, payload, &msg, &e) != 0 || !msg.framework_id)
		return;
	list_each_safe(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, link);
		if (cstr_eq(t->framework_id, msg.framework_id))
			task_kill(t, NULL);
	}
}

/* The agent ends with its last task, or when they take too long. */
static void on_ending(struct loop_timer *t)
{
	struct agent *a = container_of(t, struct agent, ending);
	size_t left = 0;
	list_each(&a->tasks, it)
		left += !list_entry(it, struct task, link)->terminal;
	if (left == 0 || loop_now_us(a->node.loop) >= a->ending_us)
		loop_stop(a->node.loop);
	else
		loop_timer_start(a->node.loop, &a->ending, ENDING_LOOK_US, on_ending);
}

static void on_agent_shutdown(struct rpc_peer *p, struct rpc_req *req UNUSED, struct str payload)
{
	struct agent *a = leader_arg(p);
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_AgentShutdown msg;
	struct err e = { 0 };
	if (pb_read(&arena, dcos_AgentShutdown_fields, payload, &msg, &e) != 0)
		return;
	LOG(ERROR, "the master ends this agent", "message=%s", msg.message ? msg.message : "");
	list_each_safe(&a->tasks, it)
		task_kill(list_entry(it, struct task, link), NULL);
	a->ending_us = loop_now_us(a->node.loop) + ENDING_MAX_US;
	loop_timer_start(a->node.loop, &a->ending, ENDING_LOOK_US, on_ending);
}

static const struct rpc_method methods[] = {
	{ .number = dcos_Method_AGENT_PING,         .name = "agent-ping",         .fn = on_ping },
	{ .number = dcos_Method_TASK_LAUNCH,        .name = "task-launch",        .fn = on_launch },
	{ .number = dcos_Method_TASK_KILL,          .name = "task-kill",          .fn = on_kill },
	{ .number = dcos_Method_TASK_UPDATE_ACK,    .name = "task-update-ack",    .fn = on_ack },
	{ .number = dcos_Method_FRAMEWORK_SHUTDOWN, .name = "framework-shutdown", .fn = on_framework_shutdown },
	{ .number = dcos_Method_AGENT_SHUTDOWN,     .name = "agent-shutdown",     .fn = on_agent_shutdown },
};

static void follow(struct agent *a)
{
	static const struct leader_events events = { .up = on_up, .down = on_down };
	a->leader = leader_start(&a->node, methods, ARRAY_LEN(methods), &events, a);
}

void register_start(struct agent *a)
{
	a->ping_timeout_us = SILENCE_DEFAULT_US;
	follow(a);
}
