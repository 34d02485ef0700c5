/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a restart: what the checkpoint says, what still lives, what is left over. Executors that live come back by themselves
 * over the socket; those that do not within the time are ended. Containers nobody knows are ended and removed.
 */
#include "roles/agent/agent_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/log.h"

/* ---- the agent itself ---- */

static bool read_agent(void *arg, struct str key UNUSED, struct str value)
{
	struct agent *a = arg;
	AUTO_ARENA struct arena arena = ARENA_INIT;
	rec_CheckpointAgent row;
	struct err e = { 0 };
	if (pb_read(&arena, rec_CheckpointAgent_fields, value, &row, &e) != 0) {
		LOG(ERROR, "row of the agent cannot be read", "reason=%s", e.text);
		a->metrics.recovery_errors++;
		return false;
	}
	if (row.agent_id && row.agent_id[0]) {
		a->info.id = arena_new(&a->arena, mesos_v1_AgentID);
		a->info.id->value = arena_strdup(&a->arena, row.agent_id);
	}
	return false;
}

static void read_boot_id(struct agent *a)
{
	AUTO_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, a->boot_id, sizeof(a->boot_id) - 1) : 0;
	a->boot_id[n > 0 ? n : 0] = '\0';
	a->boot_id[strcspn(a->boot_id, "\n")] = '\0';
}

/* ---- tasks ---- */

static void on_gone(struct child *c, int status UNUSED)
{
	struct task *t = container_of(c, struct task, executor);
	t->agent->metrics.executors_terminated++;
	if (!t->terminal)
		task_executor_lost(t, mesos_v1_TaskStatus_Reason_REASON_EXECUTOR_TERMINATED, "Executor terminated");
}

/* The same process as when the row was written, not one that got its number. */
static bool executor_lives(const struct task *t)
{
	int64_t ticks;
	return t->executor_pid > 0 && launch_start_ticks(t->executor_pid, &ticks) == 0 && ticks == t->executor_ticks;
}

static void watch_executor(struct task *t)
{
	struct agent *a = t->agent;
	struct err e = { 0 };
	if (!executor_lives(t) || child_watch(a->node.loop, &t->executor, t->executor_pid, on_gone, &e) != 0) {
		task_executor_lost(t, mesos_v1_TaskStatus_Reason_REASON_EXECUTOR_TERMINATED, "Executor terminated while the agent was away");
		return;
	}
	executor_api_expect(t);
}

static int restore_update(struct task *t, const mesos_v1_TaskStatus *s, struct err *e)
{
	if (!s->uuid || s->uuid->size != 16)
		return err_set(e, E_CORRUPT, "an update has no uuid");
	struct status_update *u = xcalloc(1, sizeof(*u));
	*u = (struct status_update){ .state = s->state, .status = BUF_INIT, .told_executor = true,
				     .from_executor = s->has_source && s->source == mesos_v1_TaskStatus_Source_SOURCE_EXECUTOR };
	memcpy(u->uuid, s->uuid->bytes, sizeof(u->uuid));
	list_push(&t->updates, &u->link);
	return pb_write(mesos_v1_TaskStatus_fields, s, &u->status, e);
}

static int restore_task(struct agent *a, const rec_CheckpointTask *row, struct err *e)
{
	struct task *t = task_new(a, row->framework, row->task, row->container_id ? row->container_id : "", e);
	int rc = 0;
	if (!t)
		return e->code;
	t->recovered = t->told = true;
	if (row->sandbox)
		t->sandbox = arena_strdup(&t->arena, row->sandbox);
	t->executor_pid = row->executor_pid;
	t->executor_ticks = row->executor_start_ticks;
	t->task_pid = row->task_pid;
	t->kill_wanted = row->kill_requested;
	t->terminal = row->terminal;
	t->created_unix_us = row->unix_us;
	t->phase = t->terminal ? PHASE_ENDED : PHASE_LAUNCHED;
	if (row->latest) {
		t->state = row->latest->state;
		rc = pb_write(mesos_v1_TaskStatus_fields, row->latest, &t->latest, e);
	}
	for (size_t i = 0; i < row->unacknowledged_count && rc == 0; i++)
		rc = restore_update(t, &row->unacknowledged[i], e);
	return rc;
}

static bool read_task(void *arg, struct str key, struct str value)
{
	struct agent *a = arg;
	AUTO_ARENA struct arena arena = ARENA_INIT;
	rec_CheckpointTask row;
	struct err e = { 0 };
	if (pb_read(&arena, rec_CheckpointTask_fields, value, &row, &e) != 0 || restore_task(a, &row, &e) != 0) {
		LOG(ERROR, "row of a task cannot be used", "container=" STR_FMT " reason=%s", STR_ARG(key), e.text);
		a->metrics.recovery_errors++;
	}
	return true;
}

/* ---- what nobody knows ---- */

static bool is_uuid(const char *name)
{
	return strlen(name) == 36 && strspn(name, "0123456789abcdef-") == 36;
}

static void on_orphan_gone(struct destroy_op *op)
{
	op->agent->orphans_ending--;
	free(op);
}

static void end_orphan(void *arg, const char *name)
{
	struct agent *a = arg;
	struct task *t = map_find_c(&a->by_container, name);
	if (!is_uuid(name) || (t && !t->terminal))
		return;
	LOG(WARN, "ending a container that belongs to no task", "container=%s", name);
	struct destroy_op *op = xcalloc(1, sizeof(*op));
	a->orphans_ending++;
	destroy_start(op, a, name, on_orphan_gone);
}

/* Roots of containers that are gone. */
static void remove_old_roots(struct agent *a)
{
	AUTO_FREE char *dir = xasprintf("%s/provisioner/containers", a->config.work_dir);
	DIR *d = opendir(dir);
	struct dirent *de;
	while (d && (de = readdir(d))) {
		AUTO_FREE char *path = xasprintf("%s/%s", dir, de->d_name);
		if (is_uuid(de->d_name) && !map_find_c(&a->by_container, de->d_name))
			gc_now(a->gc, path);
	}
	if (d)
		(void)closedir(d);
}

/* Every run below executors/ that no task of ours uses waits for its age. */
static void age_old_sandboxes(struct agent *a, const char *dir, int depth)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	while (d && (de = readdir(d))) {
		AUTO_FREE char *path = xasprintf("%s/%s", dir, de->d_name);
		if (de->d_name[0] == '.' || de->d_type != DT_DIR)
			continue;
		if (depth == 6 && !map_find_c(&a->by_container, de->d_name))
			gc_later(a->gc, path);
		else if (depth < 6)
			age_old_sandboxes(a, path, depth + 1);
	}
	if (d)
		(void)closedir(d);
}

int recover_all(struct agent *a, struct err *e)
{
	read_boot_id(a);
	int rc = checkpoint_each(a->checkpoint, &checkpoint_agent_table, read_agent, a, e);
	if (rc == 0)
		rc = checkpoint_each(a->checkpoint, &checkpoint_task_table, read_task, a, e);
	if (rc != 0)
		return err_wrap(e, "read the checkpoint");
	list_each_safe(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, link);
		if (!t->terminal)
			watch_executor(t);
		else
			task_step(t);
	}
	if (a->config.isolate)
		cgroup_each_child(&a->cgroups, a->config.common.cgroup, end_orphan, a);
	remove_old_roots(a);
	/* slaves/AGENT/frameworks/FRAMEWORK/executors/EXECUTOR/runs/CONTAINER */
	AUTO_FREE char *slaves = xasprintf("%s/slaves", a->config.work_dir);
	age_old_sandboxes(a, slaves, 0);
	register_save_agent(a);
	LOG(INFO, "recovered", "agent=%s tasks=%zu orphans=%d", a->info.id ? a->info.id->value : "new", map_count(&a->by_key),
	    a->orphans_ending);
	return 0;
}
