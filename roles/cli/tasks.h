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
	struct map hosts;            /* agent id -> host name */
	struct task_ref *rows;       /* by name, then id */
	size_t count;
	size_t completed_matches;    /* matched, but left out because completed */
};
void cli_tasks_fini(struct tasks *t);
#define AUTO_TASKS __attribute__((cleanup(cli_tasks_fini)))

/* Tasks whose id contains filter, or all of whose id it matches as a shell pattern; NULL: all. --all and --completed count. */
int cli_tasks_load(struct cli *c, const char *filter, struct tasks *out, struct err *e);
/* As cli_tasks_load; E_NOTFOUND when there is none, with the sentence of `task log` and `task ls`. */
int cli_tasks_require(struct cli *c, const char *filter, struct tasks *out, struct err *e);
bool cli_task_matches(const char *filter, const char *id);
/* "R" of TASK_RUNNING, as the dcos CLI of 1.8 prints it. */
void cli_task_state_letter(const char *state, char out[2]);
/* What the agent's files API calls a file in the task's sandbox; heap. */
char *cli_task_sandbox_path(const struct task_ref *t, const char *file);
/* "/slave/<agent>/files/<verb>?path=<path, encoded>"; heap. */
char *cli_task_files_url(const struct task_ref *t, const char *verb, const char *path);
