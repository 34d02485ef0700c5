/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's side of its executors: a unix socket below the state directory, open to root only. An executor that comes (again)
 * names its container; a peer's user pointer is its task.
 */
#include "roles/agent/agent_int.h"

#include <signal.h>
#include <sys/stat.h>

#include "net/base/log.h"

static void on_not_back(struct loop_timer *timer)
{
	struct task *t = container_of(timer, struct task, deadline);
	if (t->peer || t->terminal)
		return;
	LOG(WARN, "executor did not come back", "container=%s pid=%d", t->container_id, (int)t->executor_pid);
	(void)kill(t->executor_pid, SIGKILL);
	task_executor_lost(t, mesos_v1_TaskStatus_Reason_REASON_EXECUTOR_REREGISTRATION_TIMEOUT,
			   "Executor did not come back in time");
}

/* It lives and is to connect (again): give it some time. */
void executor_api_expect(struct task *t)
{
	struct agent *a = t->agent;
	loop_timer_start(a->node.loop, &t->deadline, a->config.reregistration_timeout_us, on_not_back);
}

static void bind_peer(struct task *t, struct rpc_peer *p)
{
	if (t->peer && t->peer != p)
		rpc_peer_set_user(t->peer, NULL);    /* an old connection that has not noticed yet */
	t->peer = p;
	rpc_peer_set_user(p, t);
	loop_timer_stop(&t->deadline);
}

/* Whose executor may come: one of a task that is not over, and whose launch has not been given up. */
static struct task *expected(struct agent *a, const dcos_ExecutorRegister *msg)
{
	struct task *t = msg->container_id ? map_find_c(&a->by_container, msg->container_id) : NULL;
	if (!t || t->phase == PHASE_PREPARING || t->phase == PHASE_DESTROYING || (t->phase == PHASE_ENDED && !t->terminal))
		return NULL;
	return t;
}

static void on_register(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct agent *a = rpc_peer_arg(p);
	AUTO_ARENA struct arena arena = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	dcos_ExecutorRegister msg;
	struct err e = { 0 };
	if (!req)
		return;
	if (pb_read(&arena, dcos_ExecutorRegister_fields, payload, &msg, &e) != 0) {
		rpc_fail(req, &e);
		return;
	}
	struct task *t = expected(a, &msg);
	dcos_ExecutorRegistered reply = { .has_known = true, .known = t != NULL };
	(void)pb_write(dcos_ExecutorRegistered_fields, &reply, &out, &e);    /* one bool: cannot fail */
	if (!t)
		LOG(WARN, "executor is not known", "container=%s", msg.container_id ? msg.container_id : "");
	else
		bind_peer(t, p);
	rpc_reply(req, buf_view(&out));
	if (!t)
		return;
	if (msg.task_pid > 0)            /* -1: it has come and gone */
		t->task_pid = msg.task_pid;
	/* Recovered before it was told what to run: nobody remembers the rest, so it is launched no more. */
	if (t->recovered && msg.task_pid == 0 && t->state == mesos_v1_TaskState_TASK_STARTING && !t->terminal) {
		rpc_send(p, dcos_Method_EXECUTOR_SHUTDOWN, STR(""));
		task_executor_lost(t, mesos_v1_TaskStatus_Reason_REASON_AGENT_RESTARTED, "Task launched during agent restart");
		return;
	}
	if (t->kill_wanted && t->phase == PHASE_LAUNCHED)
		task_kill(t, NULL);          /* the word to kill may have been lost with a former connection */
	list_each(&t->updates, it)
		list_entry(it, struct status_update, link)->told_executor = false;
	task_step(t);
}

static void on_update(struct rpc_peer *p, struct rpc_req *req UNUSED, struct str payload)
{
	struct task *t = rpc_peer_user(p);
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_TaskUpdate msg;
	struct err e = { 0 };
	int rc = pb_read(&arena, dcos_TaskUpdate_fields, payload, &msg, &e);
	if (rc == 0 && t)
		rc = task_take_update(t, &msg, &e);
	if (rc != 0)
		LOG(WARN, "update of an executor not taken", "reason=%s", e.text);
}

/* Its connection is gone; its process may live, and then comes back by itself. */
static void on_closed(struct rpc_peer *p, const struct err *e UNUSED)
{
	struct task *t = rpc_peer_user(p);
	if (!t || t->peer != p)
		return;
	t->peer = NULL;
	if (t->phase == PHASE_LAUNCHED && !t->terminal)
		executor_api_expect(t);
}

static const struct rpc_method methods[] = {
	{ .number = dcos_Method_EXECUTOR_REGISTER, .name = "executor-register", .fn = on_register, .anonymous = true },
	{ .number = dcos_Method_EXECUTOR_UPDATE,   .name = "executor-update",   .fn = on_update,   .anonymous = true },
};
static const struct rpc_handlers handlers = { .methods = methods, .count = ARRAY_LEN(methods), .closed = on_closed };

int executor_api_listen(struct agent *a, struct err *e)
{
	struct sock_addr at;
	int rc = node_mkdirs(a->config.run_dir, 0700, e);
	a->executor_socket = xasprintf("%s/executors.sock", a->config.run_dir);
	if (rc == 0)
		rc = sock_addr_parse(&at, a->executor_socket, 0, e);
	if (rc == 0)
		rc = rpc_listen(a->node.loop, &at, NULL, &handlers, a, &a->executors, e);
	if (rc == 0 && chmod(a->executor_socket, 0600) != 0)
		rc = err_sys(e, "protect '%s'", a->executor_socket);
	return rc != 0 ? err_wrap(e, "listen for executors") : 0;
}
