/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From TASK_LAUNCH to a running executor: sandbox, image, what to run, the executor's process. Images that are not built in are
 * found and unpacked by a child process of this executable, which prints one JSON object.
 */
#include "roles/agent/agent_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "net/base/log.h"
#include "net/limits.h"
#include "roles/agent/command.h"

#define IMAGE_TIMEOUT_US (10 * MINUTE)
#define SANDBOX_IN_IMAGE "/mnt/mesos/sandbox"

/* A child that unpacks an image: its answer on stdout, why not on stderr. */
struct image_job {
	struct task *task;               /* NULL: cancelled, waits for its child to end */
	struct child child;
	struct loop_timer timeout;
	struct loop_fd *out_watch, *err_watch;
	int out_fd, err_fd;
	struct buf out, err;
	bool exited, late;
	int status;
};

static void executor_start(struct task *t, const struct image *image);

/* ---- images ---- */

static void image_job_free(struct image_job *j)
{
	child_forget(&j->child);
	loop_timer_stop(&j->timeout);
	loop_fd_free(j->out_watch);
	loop_fd_free(j->err_watch);
	if (j->out_fd >= 0)
		(void)close(j->out_fd);
	if (j->err_fd >= 0)
		(void)close(j->err_fd);
	buf_fini(&j->out);
	buf_fini(&j->err);
	free(j);
}

void image_job_cancel(struct image_job *j)
{
	if (!j)
		return;
	if (j->child.pid > 0)
		(void)kill(j->child.pid, SIGKILL);
	image_job_free(j);
}

static void image_job_step(struct image_job *j)
{
	struct task *t = j->task;
	struct image image;
	struct err e = { 0 };
	if (!j->exited || j->out_watch || j->err_watch)
		return;
	if (j->late)
		(void)err_set(&e, E_TIMEOUT, "unpacking the image took longer than 10 minutes");
	else if (j->status != 0 && j->err.len == 0)
		(void)err_set(&e, E_IO, "the process that unpacks images died (wait status %d)", j->status);
	else if (j->status != 0)
		(void)err_set(&e, E_NOTFOUND, STR_FMT, STR_ARG(str_trim(buf_view(&j->err))));
	else
		(void)image_read(&t->spec_arena, buf_view(&j->out), &image, &e);
	t->image = NULL;
	image_job_free(j);
	if (e.code != 0)
		task_fail_launch(t, &e);
	else
		executor_start(t, &image);
}

static void on_image_timeout(struct loop_timer *timer)
{
	struct image_job *j = container_of(timer, struct image_job, timeout);
	j->late = true;
	if (j->child.pid > 0)
		(void)kill(j->child.pid, SIGKILL);
}

static void on_image_exit(struct child *c, int status)
{
	struct image_job *j = container_of(c, struct image_job, child);
	j->exited = true;
	j->status = status;
	image_job_step(j);
}

/* Read what is there; at the end (or past the bound) forget the watch. */
static void take(int fd, struct buf *into, struct loop_fd **watch)
{
	uint8_t *room = buf_room(into, 4096);
	ssize_t n = room ? read(fd, room, 4096) : 0;
	if (n > 0)
		buf_grew(into, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		loop_fd_free(MOVE(*watch));
}

static void on_image_out(struct loop_fd *w, int events UNUSED)
{
	struct image_job *j = loop_fd_arg(w);
	take(j->out_fd, &j->out, &j->out_watch);
	image_job_step(j);
}

static void on_image_err(struct loop_fd *w, int events UNUSED)
{
	struct image_job *j = loop_fd_arg(w);
	take(j->err_fd, &j->err, &j->err_watch);
	image_job_step(j);
}

static int image_job_start(struct task *t, const char *ref, struct err *e)
{
	struct agent *a = t->agent;
	char *argv[] = { "dcos-node", "agent-image", "--store", a->config.store_dir, "--image", (char *)ref, "--dirs",
			 a->config.image_dir ? a->config.image_dir : "", NULL };
	struct child_spec spec = CHILD_SPEC_INIT;
	int out[2], err[2];
	if (pipe2(out, O_CLOEXEC | O_NONBLOCK) != 0)
		return err_sys(e, "open a pipe");
	if (pipe2(err, O_CLOEXEC | O_NONBLOCK) != 0) {
		(void)close(out[0]);
		(void)close(out[1]);
		return err_sys(e, "open a pipe");
	}
	struct image_job *j = xcalloc(1, sizeof(*j));
	*j = (struct image_job){ .task = t, .out_fd = out[0], .err_fd = err[0],
				 .out = { .max = LIMIT_IMAGE_JSON_BYTES }, .err = { .max = 4096 } };
	spec.argv = argv;
	spec.stdout_fd = out[1];
	spec.stderr_fd = err[1];
	spec.pdeathsig = SIGKILL;
	int rc = child_start(a->node.loop, &j->child, &spec, on_image_exit, e);
	(void)close(out[1]);
	(void)close(err[1]);
	if (rc != 0) {
		image_job_free(j);
		return rc;
	}
	j->out_watch = loop_fd_new(a->node.loop, j->out_fd, LOOP_READ, on_image_out, j);
	j->err_watch = loop_fd_new(a->node.loop, j->err_fd, LOOP_READ, on_image_err, j);
	loop_timer_start(a->node.loop, &j->timeout, IMAGE_TIMEOUT_US, on_image_timeout);
	t->image = j;
	return 0;
}

/* ---- what the executor is told ---- */

static int add_mount(struct task *t, const mesos_v1_Volume *v, dcos_ContainerSpec *s, struct err *e)
{
	struct arena *a = &t->spec_arena;
	dcos_ContainerMount *m = &s->mounts[s->mounts_count];
	if (!v->container_path || !v->container_path[0] || (v->source && !v->host_path))
		return err_set(e, E_UNSUPPORTED, "a volume of the task is not a path of the host or sandbox; others are not built in yet");
	const char *host = v->host_path ? v->host_path : v->container_path;
	if (host[0] != '/' && strstr(host, ".."))
		return err_set(e, E_INVALID, "volume path '%s' leaves the sandbox", host);
	m->source = host[0] == '/' ? arena_strdup(a, host) : arena_printf(a, "%s/%s", t->sandbox, host);
	m->target = v->container_path[0] == '/' ? arena_strdup(a, v->container_path)
						 : arena_printf(a, "%s/%s", s->sandbox_in, v->container_path);
	m->has_read_only = true;
	m->read_only = v->mode == mesos_v1_Volume_Mode_RO;
	s->mounts_count++;
	return host[0] == '/' ? 0 : node_mkdirs(m->source, 0755, e);
}

static void set_limits(const struct task *t, dcos_ContainerSpec *s)
{
	double cpus = 0, mem = 0;
	for (size_t i = 0; i < t->info->resources_count; i++) {
		const mesos_v1_Resource *r = &t->info->resources[i];
		double v = r->scalar ? r->scalar->value : 0;
		cpus += cstr_eq(r->name, "cpus") ? v : 0;
		mem += cstr_eq(r->name, "mem") ? v : 0;
	}
	s->has_cpus_milli = s->has_mem_bytes = s->has_cfs = true;
	s->cpus_milli = (int64_t)(cpus * 1000.0 + 0.5);
	s->mem_bytes = MAX((int64_t)(mem * (double)MIB), (int64_t)CGROUP_MEM_MIN);
	s->cfs = t->agent->config.cfs && s->cpus_milli > 0;
}

static void set_nameservers(struct task *t, dcos_ContainerSpec *s)
{
	struct str rest = str_of(t->agent->config.dns ? t->agent->config.dns : "");
	s->nameservers = arena_array(&t->spec_arena, char *, rest.len + 1);
	while (rest.p && rest.len > 0) {
		struct str one = str_trim(str_cut(&rest, '\n'));
		if (one.len > 0)
			s->nameservers[s->nameservers_count++] = arena_str(&t->spec_arena, one);
	}
}

static void set_image(struct task *t, const struct image *image, dcos_ContainerSpec *s)
{
	AUTO_FREE char *writable = sandbox_writable(t->agent, t->container_id);
	s->layers = image->layers.rows;
	s->layers_count = (pb_size_t)image->layers.count;
	s->writable = arena_strdup(&t->spec_arena, writable);
	s->program = image->program;
}

static int build_spec(struct task *t, const struct image *image, struct err *e)
{
	struct agent *a = t->agent;
	const mesos_v1_ContainerInfo *c = t->info->container;
	struct arena *arena = &t->spec_arena;
	dcos_ContainerSpec *s = arena_new(arena, dcos_ContainerSpec);
	AUTO_FREE char *cgroup = agent_container_cgroup(a, t->container_id);
	s->container_id = t->container_id;
	s->framework_id = t->framework_id;
	s->task_id = t->task_id;
	s->cgroup = arena_strdup(arena, cgroup);
	s->sandbox = t->sandbox;
	s->sandbox_in = image && cgroup ? SANDBOX_IN_IMAGE : t->sandbox;
	s->has_grace_us = s->has_privileged = true;
	s->grace_us = command_grace_us(t->info);
	s->privileged = c && c->docker && c->docker->privileged;
	set_limits(t, s);
	set_nameservers(t, s);
	if (image)
		set_image(t, image, s);
	s->mounts = arena_array(arena, dcos_ContainerMount, (c ? c->volumes_count : 0) + 1u);
	for (size_t i = 0; c && i < c->volumes_count; i++) {
		int rc = add_mount(t, &c->volumes[i], s, e);
		if (rc != 0)
			return rc;
	}
	struct command_input in = {
		.task = t->info, .image = image, .framework_id = t->framework_id, .framework_user = t->framework->user,
		.agent_id = a->info.id->value, .ip = a->node.ip, .hostname = a->node.hostname, .port = a->config.port,
		.container_id = t->container_id, .sandbox_in = s->sandbox_in, .self = a->self, .home = getenv("HOME"),
	};
	t->spec = s;
	return command_build(arena, &in, s, e);
}

void launch_told_executor(struct task *t)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	dcos_ExecutorLaunch msg = { .spec = t->spec };
	assert(t->spec);
	if (pb_write(dcos_ExecutorLaunch_fields, &msg, &out, &e) != 0) {
		task_fail_launch(t, &e);
		return;
	}
	rpc_send(t->peer, dcos_Method_EXECUTOR_LAUNCH, buf_view(&out));
	t->told = true;
	t->spec = NULL;
	arena_fini(&t->spec_arena);
}

/* ---- the executor's process ---- */

int launch_start_ticks(pid_t pid, int64_t *out)
{
	char path[64], text[1024];
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	ssize_t close_paren = n > 0 ? str_rfind(str_n(text, (size_t)n), ')') : -1;
	if (close_paren < 0)
		return E_NOTFOUND;
	struct str rest = str_from(str_n(text, (size_t)n), (size_t)close_paren + 2);   /* field 3 begins here */
	struct str field = { NULL, 0 };
	for (int i = 3; i <= 22; i++)
		field = str_cut(&rest, ' ');
	return str_i64(field, out) ? 0 : E_NOTFOUND;
}

static void on_executor_exit(struct child *c, int status UNUSED)
{
	struct task *t = container_of(c, struct task, executor);
	t->agent->metrics.executors_terminated++;
	if (t->terminal)
		return;
	task_executor_lost(t, mesos_v1_TaskStatus_Reason_REASON_EXECUTOR_TERMINATED, "Abnormal executor termination: it ended without a word about its task");
}

static void on_registration_due(struct loop_timer *timer)
{
	struct task *t = container_of(timer, struct task, deadline);
	if (t->peer || t->phase != PHASE_STARTING)
		return;
	if (t->executor_pid > 0)
		(void)kill(t->executor_pid, SIGKILL);
	task_executor_lost(t, mesos_v1_TaskStatus_Reason_REASON_EXECUTOR_REGISTRATION_TIMEOUT, "Executor did not register in time");
}

static int executor_spawn(struct task *t, struct err *e)
{
	struct agent *a = t->agent;
	AUTO_FREE char *recovery = xasprintf("%llds", (long long)(a->config.recovery_timeout_us / SEC));
	AUTO_FREE char *own_cgroup = xasprintf("%s/executors", a->config.common.cgroup);
	char *argv[16] = { "dcos-node", "executor", "--socket", a->executor_socket, "--container-id", t->container_id,
			   "--recovery-timeout", recovery, "--log-level", a->config.common.log_level };
	char *env[] = { NULL };
	struct child_spec spec = CHILD_SPEC_INIT;
	size_t n = 10;
	if (t->spec->cgroup) {
		argv[n++] = "--cgroup";
		argv[n++] = t->spec->cgroup;
		argv[n++] = "--own-cgroup";
		argv[n++] = own_cgroup;
	}
	spec.argv = argv;
	spec.envp = env;
	spec.stderr_fd = STDERR_FILENO;
	spec.new_session = true;
	int rc = child_start(a->node.loop, &t->executor, &spec, on_executor_exit, e);
	if (rc != 0)
		return rc;
	t->executor_pid = t->executor.pid;
	(void)launch_start_ticks(t->executor_pid, &t->executor_ticks);    /* gone already: its exit will be heard */
	return 0;
}

static void executor_start(struct task *t, const struct image *image)
{
	struct err e = { 0 };
	if (build_spec(t, image, &e) != 0 || executor_spawn(t, &e) != 0) {
		task_fail_launch(t, &e);
		return;
	}
	t->phase = PHASE_STARTING;
	loop_timer_start(t->agent->node.loop, &t->deadline, t->agent->config.registration_timeout_us, on_registration_due);
	/* The executor's first word, and what makes the launch durable: nothing runs before this row is on disk. */
	task_report(t, mesos_v1_TaskState_TASK_STARTING, false, mesos_v1_TaskStatus_Reason_REASON_COMMAND_EXECUTOR_FAILED, NULL);
}

/* ---- TASK_LAUNCH ---- */

/* What this agent cannot do is said, not silently left out. */
static int check(const mesos_v1_TaskInfo *info, struct err *e)
{
	const mesos_v1_ContainerInfo *c = info->container;
	if (info->executor)
		return err_set(e, E_UNSUPPORTED, "the task brings an executor of its own; this agent runs commands only");
	if (info->command && info->command->uris_count > 0)
		return err_set(e, E_UNSUPPORTED, "the task wants URIs fetched, which this agent does not do yet");
	if (c && c->docker && c->docker->has_network && c->docker->network != mesos_v1_ContainerInfo_DockerInfo_Network_HOST)
		return err_set(e, E_UNSUPPORTED, "the task wants a network of its own; this agent runs containers on the host's network only");
	return 0;
}

/* Built in, or from an archive by a child process. */
static int prepare_image(struct task *t, const char *name, struct err *e)
{
	struct agent *a = t->agent;
	struct image image;
	struct err why = { 0 };
	char *ref;
	int rc = image_ref_normalize(&t->spec_arena, str_of(name), &ref, e);
	if (rc != 0)
		return rc;
	rc = image_builtin(&t->spec_arena, a->config.store_dir, ref, &image, &why);
	if (rc == 0) {
		executor_start(t, &image);
		return 0;
	}
	if (rc != E_NOTFOUND)
		return err_set(e, why.code, "%s", why.text);
	if (!a->config.isolate)
		return err_set(e, E_UNSUPPORTED, "image '%s' is not built in, and other images need an agent that runs as root", name);
	return image_job_start(t, ref, e);
}

static void launch(struct task *t)
{
	struct err e = { 0 };
	bool docker;
	const char *image = command_image(t->info, &docker);
	int rc = check(t->info, &e);
	if (rc == 0)
		rc = sandbox_make(t, &e);
	if (rc == 0 && image)
		rc = prepare_image(t, image, &e);
	if (rc != 0)
		task_fail_launch(t, &e);
	else if (!image)
		executor_start(t, NULL);
}

void launch_task(struct agent *a, struct str payload)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_TaskLaunch msg;
	struct err e = { 0 };
	char container_id[37];
	if (pb_read(&arena, dcos_TaskLaunch_fields, payload, &msg, &e) != 0) {
		LOG(ERROR, "launch cannot be read", "reason=%s", e.text);
		return;
	}
	if (msg.framework && msg.framework->id && msg.task && msg.task->task_id &&
	    task_find(a, msg.framework->id->value, msg.task->task_id->value))
		return;      /* told twice: a master that was not sure */
	rnd_uuid4(container_id);
	struct task *t = task_new(a, msg.framework, msg.task, container_id, &e);
	if (!t) {
		LOG(ERROR, "launch cannot be used", "reason=%s", e.text);
		return;
	}
	LOG(INFO, "task launched", "task=%s framework=%s container=%s", t->task_id, t->framework_id, t->container_id);
	launch(t);
}
