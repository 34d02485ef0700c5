/* SPDX-License-Identifier: Apache-2.0 */
/* Which tasks of the cluster a command is about, and where their sandboxes are. */
#pragma once

#include "roles/cli/cli.h"

struct task_ref {
	yyjson_val *task, *framework;
	const char *id, *agent_id;
	const char *host;            /* agent's host name, or NULL */
};

struct tasks {
	struct answer state;         /* the rows borrow from it */
	struct task_ref *rows;       /* by name, then id */
	size_t count;
	size_t completed_matches;    /* matched, but left out because completed */
};
void tasks_fini(struct tasks *t);
#define AUTO_TASKS __attribute__((cleanup(tasks_fini)))

/* Tasks whose id contains filter, or all of whose id it matches as a shell pattern; NULL: all. --all and --completed count. */
int tasks_load(struct cli *c, const char *filter, struct tasks *out, struct err *e);
/* As tasks_load; E_NOTFOUND when there is none, with the sentence of `task log` and `task ls`. */
int tasks_require(struct cli *c, const char *filter, struct tasks *out, struct err *e);
bool task_matches(const char *filter, const char *id);
/* "R" of TASK_RUNNING, as the dcos CLI of 1.8 prints it. */
void task_state_letter(const char *state, char out[2]);
/* What the agent's files API calls a file in the task's sandbox; heap. */
char *task_sandbox_path(const struct task_ref *t, const char *file);
/* "/slave/<agent>/files/<verb>?path=<path, encoded>"; heap. */
char *task_files_url(const struct task_ref *t, const char *verb, const char *path);
