/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor: one small process per task, outside of the container. It is started by the agent in a session of its own,
 * registers over the agent's unix socket, is told what to run, and from then on needs the agent no more: it waits for the
 * program, carries out kills, and keeps what it has to report until an agent has written it down.
 *
 *   IDLE --launch--> STARTING --runs--> RUNNING --kill--> TERM --grace over--> KILL
 *     |                  |   |             |  |             |                  ^ |
 *     |                  |   '-- late -----|--'-- no memory-|------------------' |
 *     '-- nothing to run-|-----------------|----------------|-----------------> '|
 *                        '--failed, exited-+--- exited -----+--------------------'
 *                                          v
 *                                     EMPTYING --nothing left--> DONE --acknowledged--> process ends
 *
 * It keeps little memory: no TLS, no database, no archive code; the launch message is dropped once the program runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "net/base/flag.h"
#include "net/base/log.h"
#include "net/base/time.h"
#include "net/pb_util.h"
#include "net/rpc.h"
#include "proto/cluster.pb.h"
#include "roles/agent/cgroup.h"
#include "roles/agent/container.h"
#include "roles/agent/outcome.h"
#include "roles/roles.h"
#include "roles/task.h"

#define RETRY_MIN_US (20 * MSEC)
#define RETRY_MAX_US (2 * SEC)
#define REGISTER_TIMEOUT_US (10 * SEC)
#define UPDATE_RETRY_US (10 * SEC)
#define START_DEADLINE_US (60 * SEC)         /* mounting an image takes milliseconds */
#define LOOK_MIN_US (2 * MSEC)
#define MOVE_DELAY_US (100 * MSEC)
#define LOOK_MAX_US (500 * MSEC)
#define EMPTY_DEADLINE_US (60 * SEC)         /* Mesos' cgroups_destroy_timeout */
#define UPDATES_MAX 4                        /* RUNNING, KILLING and one terminal */
#define PROC_STATUS_MAX 4096

enum executor_state { EX_IDLE, EX_STARTING, EX_RUNNING, EX_TERM, EX_KILL, EX_EMPTYING, EX_DONE };

struct executor_config {
	char *socket, *container_id, *cgroup, *own_cgroup, *log_level;
	int64_t launch_timeout_us, recovery_timeout_us;
};

#define AT(field) offsetof(struct executor_config, field)
static const struct flag executor_flags[] = {
	/* name              type           field                     default  min max           env   help */
	{ "socket",          FLAG_STRING,   AT(socket),               NULL,    0, 0,             NULL, "the agent's socket for executors" },
	{ "container-id",    FLAG_STRING,   AT(container_id),         NULL,    0, 0,             NULL, "id of the container to supervise" },
	{ "cgroup",          FLAG_STRING,   AT(cgroup),               NULL,    0, 0,             NULL, "the container's cgroup; without: no isolation" },
	{ "own-cgroup",      FLAG_STRING,   AT(own_cgroup),           NULL,    0, 0,             NULL, "cgroup of the executor itself" },
	{ "launch-timeout",  FLAG_DURATION, AT(launch_timeout_us),    "1mins", SEC, DAY,         NULL, "ends when it is told nothing to run for so long" },
	{ "recovery-timeout", FLAG_DURATION, AT(recovery_timeout_us), "24hrs", SEC, 52 * WEEK,   NULL, "kills its task when no agent comes back for so long" },
	{ "log-level",       FLAG_STRING,   AT(log_level),            "info",  0, 0,             NULL, "error, warn, info or debug" },
	FLAG_END,
};
static const struct flag *const executor_tables[] = { executor_flags, NULL };

struct update {
	uint8_t uuid[16];
	mesos_v1_TaskState state;
	struct buf bytes;                    /* dcos.TaskUpdate */
};

struct executor {
	struct executor_config config;
	struct loop *loop;
	struct cgroup_host cgroups;
	enum executor_state state;

	/* what we supervise */
	char *task_id, *framework_id;
	const char *cgroup;                          /* NULL: no isolation */
	struct container_seed seed;
	int64_t grace_us, cpus_milli, mem_bytes;
	bool cfs;
	struct child program;
	pid_t pid;                                   /* 0: none yet, or gone */
	struct loop_fd *report_watch, *oom_watch;
	int oom_fd;
	struct buf report;                           /* why it could not start */

	/* facts, recorded by callbacks, judged by executor_step */
	bool runs, exited, out_of_memory, kill_wanted, overdue, told_to_end;
	int wait_status;
	struct outcome final;                        /* judged when the program has ended, reported when nothing is left of it */
	struct loop_timer deadline, look;
	int64_t look_us;

	/* the agent */
	struct rpc_peer *agent;
	bool registered;
	struct rpc_call call;
	struct loop_timer retry, resend;
	int64_t retry_us, alone_since_us;
	struct update updates[UPDATES_MAX];
	size_t update_count;
};

static void executor_step(struct executor *x);
static void connect_agent(struct executor *x);

static void set_state(struct executor *x, enum executor_state next)
{
	static const char *const names[] = { "idle", "starting", "running", "term", "kill", "emptying", "done" };
	LOG(DEBUG, "executor", "container=%s from=%s to=%s", x->config.container_id, names[x->state], names[next]);
	x->state = next;
}

/* ---- updates: kept until the agent has them on disk ---- */

static void send_update(struct executor *x, const struct update *u)
{
	if (x->registered)
		rpc_send(x->agent, dcos_Method_EXECUTOR_UPDATE, buf_view(&u->bytes));
}

static void on_resend(struct loop_timer *t)
{
	struct executor *x = container_of(t, struct executor, resend);
	for (size_t i = 0; i < x->update_count; i++)
		send_update(x, &x->updates[i]);
	if (x->update_count > 0)
		loop_timer_start_lazy(x->loop, &x->resend, UPDATE_RETRY_US, on_resend);
}

static void report_state(struct executor *x, struct outcome *o)
{
	const char *message = buf_cstr(&o->message);
	struct { pb_size_t size; uint8_t bytes[16]; } uuid = { .size = 16 };
	mesos_v1_TaskID task_id = { .value = x->task_id };
	mesos_v1_TaskStatus status = {
		.task_id = &task_id, .state = o->state, .message = message[0] ? (char *)message : NULL,
		.has_timestamp = true, .timestamp = (double)loop_unix_us(x->loop) / 1e6,
		.has_source = true, .source = mesos_v1_TaskStatus_Source_SOURCE_EXECUTOR,
		.has_reason = o->has_reason, .reason = o->reason, .uuid = (pb_bytes_array_t *)&uuid,
	};
	dcos_TaskUpdate msg = { .framework_id = x->framework_id, .status = &status, .has_latest_state = true,
				.latest_state = (int32_t)o->state, .container_id = x->config.container_id };
	struct err e = { 0 };
	assert(x->update_count < UPDATES_MAX);
	struct update *u = &x->updates[x->update_count++];
	*u = (struct update){ .state = o->state, .bytes = BUF_INIT };
	rnd_bytes(uuid.bytes, sizeof(uuid.bytes));
	memcpy(u->uuid, uuid.bytes, sizeof(u->uuid));
	if (pb_write(dcos_TaskUpdate_fields, &msg, &u->bytes, &e) != 0)
		LOG(ERROR, "update cannot be written", "container=%s reason=%s", x->config.container_id, e.text);
	LOG(INFO, "task state", "task=%s state=%s", x->task_id, task_state_name(o->state));
	send_update(x, u);
	loop_timer_start_lazy(x->loop, &x->resend, UPDATE_RETRY_US, on_resend);
}

static void on_ack(struct rpc_peer *p, struct rpc_req *req UNUSED, struct str payload)
{
	struct executor *x = rpc_peer_arg(p);
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_TaskUpdateAck ack;
	struct err e = { 0 };
	if (pb_read(&a, dcos_TaskUpdateAck_fields, payload, &ack, &e) != 0 || !ack.uuid || ack.uuid->size != 16)
		return;
	for (size_t i = 0; i < x->update_count; i++) {
		if (memcmp(x->updates[i].uuid, ack.uuid->bytes, 16) != 0)
			continue;
		buf_fini(&x->updates[i].bytes);
		x->update_count--;
		memmove(&x->updates[i], &x->updates[i + 1], (x->update_count - i) * sizeof(x->updates[0]));
		break;
	}
	executor_step(x);
}

/* ---- the program ---- */

static void on_exit_of_program(struct child *c, int wait_status)
{
	struct executor *x = container_of(c, struct executor, program);
	x->exited = true;
	x->wait_status = wait_status;
	executor_step(x);
}

/* The report pipe: text when a step failed, its end when exec has happened (or the child is gone). */
static void on_report(struct loop_fd *w, int events UNUSED)
{
	struct executor *x = loop_fd_arg(w);
	uint8_t *room = buf_room(&x->report, 512);
	ssize_t n = room ? read(x->seed.report_fd, room, 512) : 0;
	if (n > 0) {
		buf_grew(&x->report, (size_t)n);
		return;
	}
	loop_fd_free(MOVE(x->report_watch));
	(void)close(MOVE_FD(x->seed.report_fd));
	x->runs = x->report.len == 0;
	if (x->runs)
		buf_fini(&x->report);
	executor_step(x);
}

static void on_oom(struct loop_fd *w, int events UNUSED)
{
	struct executor *x = loop_fd_arg(w);
	uint8_t drop[512];
	(void)!read(x->oom_fd, drop, sizeof(drop));    /* only empties the descriptor */
	if (cgroup_oom_kills(&x->cgroups, x->cgroup) == 0)
		return;
	x->out_of_memory = true;
	executor_step(x);
}

static void on_deadline(struct loop_timer *t)
{
	struct executor *x = container_of(t, struct executor, deadline);
	x->overdue = true;
	executor_step(x);
}

static void on_look(struct loop_timer *t) { executor_step(container_of(t, struct executor, look)); }

/* Look again soon, less often the longer it takes. */
static void look_again(struct executor *x)
{
	loop_timer_start(x->loop, &x->look, x->look_us, on_look);
	x->look_us = MIN(x->look_us * 2, LOOK_MAX_US);
}

static void keep_of_spec(struct executor *x, const dcos_ContainerSpec *s)
{
	x->task_id = xstrdup(s->task_id ? s->task_id : "");
	x->framework_id = xstrdup(s->framework_id ? s->framework_id : "");
	x->grace_us = s->grace_us;
	x->cpus_milli = s->cpus_milli;
	x->mem_bytes = s->mem_bytes;
	x->cfs = s->cfs;
}

static void watch_memory(struct executor *x)
{
	x->oom_fd = x->cgroup ? cgroup_watch_oom(&x->cgroups, x->cgroup) : -1;
	if (x->oom_fd >= 0)
		x->oom_watch = loop_fd_new(x->loop, x->oom_fd, LOOP_READ, on_oom, x);
}

/* The container's first process, before anybody says what to run: see container_seed. */
static int prepare(struct executor *x, struct err *e)
{
	int rc = 0;
	x->cgroup = x->config.cgroup;
	if (x->cgroup)
		rc = cgroup_detect("/proc/self/mountinfo", &x->cgroups, e);
	if (rc == 0 && x->cgroup)
		rc = cgroup_create(&x->cgroups, x->cgroup, e);
	if (rc == 0)
		rc = container_seed(&x->cgroups, x->cgroup, &x->seed, e);
	if (rc == 0)
		rc = child_adopt(x->loop, &x->program, x->seed.pid, on_exit_of_program, e);
	if (rc != 0)
		return rc;
	x->pid = x->seed.pid;
	x->report_watch = loop_fd_new(x->loop, x->seed.report_fd, LOOP_READ, on_report, x);
	return 0;
}

static int start(struct executor *x, const dcos_ContainerSpec *s, struct err *e)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	if (x->report.len > 0)
		return err_set(e, E_IO, "%s", buf_cstr(&x->report));
	int rc = x->cgroup ? cgroup_limit_memory(&x->cgroups, x->cgroup, s->mem_bytes, e) : 0;
	if (rc == 0)
		rc = pb_write(dcos_ContainerSpec_fields, s, &bytes, e);
	if (rc == 0)
		rc = container_run(&x->seed, buf_view(&bytes), e);
	if (rc == 0)
		watch_memory(x);
	return rc;
}

static void on_launch(struct rpc_peer *p, struct rpc_req *req UNUSED, struct str payload)
{
	struct executor *x = rpc_peer_arg(p);
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_ExecutorLaunch msg;
	struct err e = { 0 };
	if (x->state != EX_IDLE)
		return;        /* told twice: the agent was restarted between two steps */
	if (pb_read(&a, dcos_ExecutorLaunch_fields, payload, &msg, &e) != 0 || !msg.spec) {
		LOG(ERROR, "launch message cannot be read", "container=%s reason=%s", x->config.container_id, e.text);
		return;
	}
	loop_timer_stop(&x->deadline);
	keep_of_spec(x, msg.spec);
	set_state(x, EX_STARTING);
	loop_timer_start(x->loop, &x->deadline, START_DEADLINE_US, on_deadline);
	if (start(x, msg.spec, &e) != 0) {
		if (x->report.len == 0)
			buf_puts(&x->report, e.text);
		if (x->seed.spec_fd >= 0)
			(void)close(MOVE_FD(x->seed.spec_fd));     /* the waiting process ends */
		x->exited = x->exited || x->pid == 0;
	}
	executor_step(x);
}

/* ---- ending it ---- */

/* SIGTERM for every process of the container, as Mesos' command executor does. */
static void signal_tree(struct executor *x, int signo)
{
	AUTO_FREE pid_t *pids = NULL;
	size_t n = x->cgroup ? cgroup_pids(&x->cgroups, x->cgroup, &pids) : 0;
	for (size_t i = 0; i < n; i++)
		(void)kill(pids[i], signo);        /* gone already is as good */
	if (!x->cgroup && x->pid > 0)
		(void)kill(-x->pid, signo);
}

/*
 * The first process of a pid namespace never dies of a signal it does not handle. One that would have died of SIGTERM
 * anywhere else, and has no other process left that could still be tidying up, need not sit out the grace period.
 */
static bool deaf_to_term(struct executor *x)
{
	AUTO_FREE pid_t *pids = NULL;
	char path[64], text[PROC_STATUS_MAX];
	if (!x->cgroup || x->pid <= 0 || cgroup_pids(&x->cgroups, x->cgroup, &pids) > 1)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)x->pid);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	return n > 0 && outcome_dies_of_term(str_n(text, (size_t)n));
}

static void kill_all(struct executor *x)
{
	if (x->cgroup)
		cgroup_kill(&x->cgroups, x->cgroup);
	if (x->pid > 0)
		(void)kill(x->cgroup ? x->pid : -x->pid, SIGKILL);     /* it may not have joined its group yet */
}

static void begin_term(struct executor *x)
{
	set_state(x, EX_TERM);
	x->overdue = false;
	x->look_us = LOOK_MIN_US;
	loop_timer_start(x->loop, &x->deadline, x->grace_us, on_deadline);
	signal_tree(x, SIGTERM);
}

static void begin_kill(struct executor *x)
{
	set_state(x, EX_KILL);
	x->look_us = LOOK_MIN_US;
	loop_timer_stop(&x->deadline);
	kill_all(x);
}

/* Facts of the cgroup are read before it is removed. */
static void judge(struct executor *x)
{
	struct outcome_facts f = {
		.start_error = x->report.len > 0 ? buf_cstr(&x->report) : NULL,
		.kill_wanted = x->kill_wanted, .wait_status = x->wait_status, .mem_bytes = x->mem_bytes,
	};
	AUTO_BUF struct buf stat = BUF_INIT;
	struct cgroup_usage u = { 0 };
	if (x->cgroup && !f.start_error && (x->out_of_memory || cgroup_oom_kills(&x->cgroups, x->cgroup) > 0)) {
		cgroup_read_usage(&x->cgroups, x->cgroup, &u);
		cgroup_memory_stat(&x->cgroups, x->cgroup, &stat);
		f.out_of_memory = true;
		f.mem_max_bytes = u.mem_max_bytes;
		f.memory_stat = buf_cstr(&stat);
	}
	outcome_of(&f, &x->final);
}

static void begin_emptying(struct executor *x)
{
	judge(x);
	set_state(x, EX_EMPTYING);
	if (!x->cgroup && x->pid > 0)
		(void)kill(-x->pid, SIGKILL);          /* what it left behind in its session's group */
	x->pid = 0;
	x->overdue = false;
	x->look_us = LOOK_MIN_US;
	loop_timer_start(x->loop, &x->deadline, EMPTY_DEADLINE_US, on_deadline);
}

/* True when nothing of the container is left. */
static bool emptied(struct executor *x)
{
	struct err e = { 0 };
	if (!x->cgroup)
		return true;
	if (!cgroup_empty(&x->cgroups, x->cgroup)) {
		cgroup_kill(&x->cgroups, x->cgroup);
		return false;
	}
	return cgroup_remove(&x->cgroups, x->cgroup, &e) == 0;
}

static void quit(struct executor *x, const char *why)
{
	LOG(INFO, "executor ends", "container=%s because=%s", x->config.container_id, why);
	loop_stop(x->loop);
}

/* Out of the agent's cgroup, whose end may be the end of all in it. Not urgent, and slow: after the task's start is reported. */
static void on_move(struct loop_timer *t)
{
	struct executor *x = container_of(t, struct executor, look);
	struct err e = { 0 };
	if (x->config.own_cgroup && cgroup_join(&x->cgroups, x->config.own_cgroup, &e) != 0)
		LOG(WARN, "executor stays in its agent's cgroup", "container=%s reason=%s", x->config.container_id, e.text);
}

static void on_running(struct executor *x)
{
	struct err e = { 0 };
	struct outcome running = { .state = mesos_v1_TaskState_TASK_RUNNING, .message = BUF_INIT };
	loop_timer_stop(&x->deadline);
	if (x->cgroup && cgroup_limit_cpu(&x->cgroups, x->cgroup, x->cpus_milli, x->cfs, &e) != 0)
		LOG(WARN, "task runs without its CPU limit", "container=%s reason=%s", x->config.container_id, e.text);
	report_state(x, &running);
	set_state(x, EX_RUNNING);
	loop_timer_start(x->loop, &x->look, MOVE_DELAY_US, on_move);
}

static void executor_step(struct executor *x)
{
	for (;;) switch (x->state) {
	case EX_IDLE:
		if (!x->kill_wanted && !x->overdue)
			return;
		begin_kill(x);
		continue;
	case EX_STARTING:
		if (x->exited && !x->report_watch) {
			begin_emptying(x);
			continue;
		}
		if (x->overdue)
			buf_puts(&x->report, "the container's file system took too long to make");
		if (x->overdue || x->kill_wanted) {
			begin_kill(x);
			continue;
		}
		if (!x->runs)
			return;
		on_running(x);
		continue;
	case EX_RUNNING:
		if (x->exited)
			begin_emptying(x);
		else if (x->out_of_memory)
			begin_kill(x);
		else if (x->kill_wanted)
			begin_term(x);
		else
			return;
		continue;
	case EX_TERM:
		if (x->exited) {
			begin_emptying(x);
			continue;
		}
		if (x->overdue || deaf_to_term(x)) {
			begin_kill(x);
			continue;
		}
		look_again(x);
		return;
	case EX_KILL:
		if (!x->exited)
			return;
		begin_emptying(x);
		continue;
	case EX_EMPTYING:
		if (!emptied(x) && !x->overdue) {
			look_again(x);
			return;
		}
		if (x->overdue)
			LOG(WARN, "something of the container is left", "container=%s cgroup=%s", x->config.container_id, x->cgroup);
		loop_timer_stop(&x->deadline);
		loop_timer_stop(&x->look);
		if (!x->task_id) {
			quit(x, "it was told nothing to run");
			return;
		}
		set_state(x, EX_DONE);
		report_state(x, &x->final);
		continue;
	case EX_DONE:
		if (x->update_count == 0 || x->told_to_end)
			quit(x, x->told_to_end ? "it was told to end" : "everything is reported");
		return;
	}
}

/* ---- the agent's calls ---- */

static void want_kill(struct executor *x, const int64_t *grace_us)
{
	if (grace_us && (!x->kill_wanted || *grace_us < x->grace_us))
		x->grace_us = *grace_us;
	if (x->state == EX_TERM && grace_us)             /* a second kill may only shorten the wait */
		loop_timer_start(x->loop, &x->deadline, x->grace_us, on_deadline);
	x->kill_wanted = true;
	executor_step(x);
}

/* The node goes down for good (agent-cleanup): end the task at once and go, whether or not somebody hears of it. */
static void on_sigterm(struct loop *l UNUSED, int signo UNUSED, void *arg)
{
	struct executor *x = arg;
	int64_t no_grace = 0;
	x->told_to_end = true;
	want_kill(x, &no_grace);
}

static void on_kill(struct rpc_peer *p, struct rpc_req *req UNUSED, struct str payload)
{
	struct executor *x = rpc_peer_arg(p);
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_TaskKill msg;
	struct err e = { 0 };
	if (pb_read(&a, dcos_TaskKill_fields, payload, &msg, &e) == 0)
		want_kill(x, msg.has_grace_us ? &msg.grace_us : NULL);
}

static void on_shutdown(struct rpc_peer *p, struct rpc_req *req UNUSED, struct str payload UNUSED)
{
	want_kill(rpc_peer_arg(p), NULL);
}

static const struct rpc_method methods[] = {
	{ .number = dcos_Method_EXECUTOR_LAUNCH,     .name = "launch",   .fn = on_launch },
	{ .number = dcos_Method_EXECUTOR_KILL,       .name = "kill",     .fn = on_kill },
	{ .number = dcos_Method_EXECUTOR_UPDATE_ACK, .name = "ack",      .fn = on_ack },
	{ .number = dcos_Method_EXECUTOR_SHUTDOWN,   .name = "shutdown", .fn = on_shutdown },
};

static void on_retry(struct loop_timer *t) { connect_agent(container_of(t, struct executor, retry)); }

/* Without an agent: try again, and after a day give the task up, since nobody could. */
static void lost_agent(struct executor *x)
{
	int64_t now = loop_now_us(x->loop);
	rpc_call_cancel(&x->call);
	rpc_peer_close(MOVE(x->agent));
	x->registered = false;
	if (x->alone_since_us == 0)
		x->alone_since_us = now;
	if (now - x->alone_since_us > x->config.recovery_timeout_us) {
		if (x->state == EX_DONE || x->state == EX_IDLE) {
			quit(x, "no agent came back");
			return;
		}
		want_kill(x, NULL);
	}
	loop_timer_start_lazy(x->loop, &x->retry, x->retry_us, on_retry);
	x->retry_us = MIN(x->retry_us * 2, RETRY_MAX_US);
}

static void on_registered(struct rpc_call *c, struct str reply, const struct err *failure)
{
	struct executor *x = container_of(c, struct executor, call);
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_ExecutorRegistered msg;
	struct err e = *failure;
	if (e.code != 0 || pb_read(&a, dcos_ExecutorRegistered_fields, reply, &msg, &e) != 0) {
		lost_agent(x);
		return;
	}
	x->registered = true;
	x->alone_since_us = 0;
	x->retry_us = RETRY_MIN_US;
	if (msg.known) {
		on_resend(&x->resend);
		return;
	}
	LOG(WARN, "the agent does not know this executor", "container=%s", x->config.container_id);
	if (x->state == EX_DONE)
		quit(x, "nobody waits for its report");
	else
		want_kill(x, NULL);
}

static void on_open(struct rpc_peer *p)
{
	struct executor *x = rpc_peer_arg(p);
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	dcos_ExecutorRegister msg = { .container_id = x->config.container_id, .has_pid = true, .pid = (int32_t)getpid(),
				      .has_task_pid = true, .task_pid = x->state == EX_IDLE ? 0 : x->pid > 0 ? (int32_t)x->pid : -1 };
	(void)pb_write(dcos_ExecutorRegister_fields, &msg, &out, &e);     /* three small fields: cannot fail */
	rpc_call_start(p, &x->call, dcos_Method_EXECUTOR_REGISTER, buf_view(&out), REGISTER_TIMEOUT_US, on_registered);
}

static void on_closed(struct rpc_peer *p, const struct err *e UNUSED)
{
	struct executor *x = rpc_peer_arg(p);
	x->agent = NULL;
	lost_agent(x);
}

static const struct rpc_handlers handlers = {
	.methods = methods, .count = ARRAY_LEN(methods), .opened = on_open, .closed = on_closed,
};

static void connect_agent(struct executor *x)
{
	struct sock_addr to;
	struct err e = { 0 };
	if (sock_addr_parse(&to, x->config.socket, 0, &e) != 0) {
		LOG(ERROR, "the agent's socket has no usable name", "reason=%s", e.text);
		quit(x, "it cannot reach its agent");
		return;
	}
	x->agent = rpc_connect(x->loop, &to, NULL, &handlers, x);
}

/* ---- the process ---- */

static int parse_config(struct executor_config *c, int argc, char **argv)
{
	struct err e = { 0 };
	enum log_level level;
	int argi;
	if (flag_parse(executor_tables, c, argc - 1, argv + 1, false, &argi, &e) == 0 && (!c->socket || !c->container_id))
		(void)err_set(&e, E_USAGE, "--socket and --container-id are needed; agents start executors, people do not");
	if (e.code == 0 && !log_level_parse(c->log_level, &level))
		(void)err_set(&e, E_USAGE, "--log-level wants error, warn, info or debug, not '%s'", c->log_level);
	if (e.code != 0) {
		(void)fprintf(stderr, "dcos-node executor: %s\n", e.text);
		return err_exit(e.code);
	}
	log_set_level(level);
	log_set_name("executor");
	return 0;
}

int executor_main(int argc, char **argv)
{
	struct executor x = { .seed = { .spec_fd = -1, .report_fd = -1 }, .oom_fd = -1, .retry_us = RETRY_MIN_US, .wait_status = -1,
			      .report = BUF_INIT, .final = { .message = BUF_INIT } };
	struct err e = { 0 };
	int rc = parse_config(&x.config, argc, argv);
	if (rc != 0)
		return rc;
	(void)signal(SIGPIPE, SIG_IGN);
	x.loop = loop_new();
	loop_signal(x.loop, SIGTERM, on_sigterm, &x);
	loop_timer_start(x.loop, &x.deadline, x.config.launch_timeout_us, on_deadline);
	if (prepare(&x, &e) != 0) {
		buf_puts(&x.report, e.text);         /* told when there is a task to tell it of */
		x.exited = x.pid == 0;
	}
	connect_agent(&x);
	loop_run(x.loop);
	kill_all(&x);                                /* the waiting process, when it never was launched */
	rpc_peer_close(x.agent);
	return 0;
}
