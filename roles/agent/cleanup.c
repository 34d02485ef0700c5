/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `dcos-node agent-cleanup --state-dir DIR [--cgroup PATH]`: ends what an agent that is gone left running. Executors are found by
 * its checkpoint; with --cgroup everything below that is killed and the group removed.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "net/base/time.h"
#include "roles/agent/agent_int.h"
#include "roles/roles.h"

#define CGROUP_TIMEOUT_US (30 * SEC)
#define EXECUTOR_TIMEOUT_US (5 * SEC)

struct cleanup_config {
	char *state_dir, *cgroup;
};
#define AT(field) offsetof(struct cleanup_config, field)
static const struct flag cleanup_flags[] = {
	/* name        type         field          default           min max env   help */
	{ "state-dir", FLAG_STRING, AT(state_dir), "/var/lib/dcos",  0, 0,   NULL, "state directory of the agent" },
	{ "cgroup",    FLAG_STRING, AT(cgroup),    NULL,             0, 0,   NULL, "its part of each cgroup hierarchy, to be emptied and removed" },
	FLAG_END,
};

struct executor_pids {
	pid_t *rows;
	size_t count;
};

static bool lives(const rec_CheckpointTask *row)
{
	int64_t ticks;
	return row->executor_pid > 0 && launch_start_ticks(row->executor_pid, &ticks) == 0 && ticks == row->executor_start_ticks;
}

/* SIGTERM has an executor kill its task without grace and end. */
static bool end_executor(void *arg, struct str key UNUSED, struct str value)
{
	struct executor_pids *p = arg;
	AUTO_ARENA struct arena arena = ARENA_INIT;
	rec_CheckpointTask row;
	struct err e = { 0 };
	if (pb_read(&arena, rec_CheckpointTask_fields, value, &row, &e) != 0 || !lives(&row) || kill(row.executor_pid, SIGTERM) != 0)
		return true;
	p->rows = xrealloc(p->rows, (p->count + 1) * sizeof(*p->rows));
	p->rows[p->count++] = row.executor_pid;
	return true;
}

/* One that does not end takes its program with it when it is killed. */
static void wait_for(const struct executor_pids *p)
{
	int64_t end = time_now_us() + EXECUTOR_TIMEOUT_US;
	for (size_t i = 0; i < p->count; i++) {
		while (kill(p->rows[i], 0) == 0 && time_now_us() < end)
			(void)nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		(void)kill(p->rows[i], SIGKILL);
	}
}

static int end_executors(const char *state_dir, struct err *e)
{
	static const struct kv_table *const tables[] = { &checkpoint_agent_table, &checkpoint_task_table, NULL };
	struct kv_options o = { .read_only = true, .tables = tables };
	AUTO_FREE char *dir = xasprintf("%s/checkpoint", state_dir);
	struct executor_pids pids = { NULL, 0 };
	struct kv *kv;
	if (access(dir, F_OK) != 0)
		return 0;
	int rc = kv_open(dir, &o, &kv, e);
	if (rc != 0)
		return rc;
	struct kv_txn *txn = NULL;
	rc = kv_begin(kv, false, &txn, e);
	if (rc == 0)
		rc = kv_each(txn, &checkpoint_task_table, STR(""), end_executor, &pids, e);
	kv_abort(txn);
	kv_close(kv);
	wait_for(&pids);
	free(pids.rows);
	return rc;
}

int agent_cleanup_main(int argc, char **argv)
{
	static const struct flag *const tables[] = { cleanup_flags, NULL };
	struct cleanup_config c = { NULL, NULL };
	struct cgroup_host h;
	struct err e = { 0 };
	int argi;
	int rc = flag_parse(tables, &c, argc - 1, argv + 1, false, &argi, &e);
	if (rc == 0)
		rc = end_executors(c.state_dir, &e);
	if (rc == 0 && c.cgroup)
		rc = cgroup_detect("/proc/self/mountinfo", &h, &e);
	if (rc == 0 && c.cgroup)
		rc = cgroup_destroy(&h, c.cgroup, CGROUP_TIMEOUT_US, &e);
	if (rc != 0)
		return node_die("agent-cleanup", &e);
	return 0;
}
