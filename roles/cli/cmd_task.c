/* SPDX-License-Identifier: Apache-2.0 */
/* dcos task: what runs, and the files in sandboxes. Logs are in cmd_log.c. */
#include <stdio.h>
#include <time.h>

#include "roles/cli/tasks.h"

/* ---- task, task list ---- */

static void print_table(const struct tasks *t)
{
	struct table *table = table_new("<NAME|<HOST|USER|STATE|<ID");
	for (size_t i = 0; i < t->count; i++) {
		const struct task_ref *r = &t->rows[i];
		char letter[2];
		cli_task_state_letter(json_str(r->task, "state", "?"), letter);
		table_add(table, (const char *[]){ json_str(r->task, "name", ""), r->host, json_str(r->framework, "user", NULL), letter, r->id });
	}
	table_print(table);
	table_free(table);
}

static int cmd_list(struct cli *c, struct err *e)
{
	AUTO_TASKS struct tasks t = { 0 };
	const char *filter = c->argc == 1 ? c->args[0] : NULL;
	int rc = cli_tasks_load(c, filter, &t, e);
	if (rc != 0)
		return rc;
	if (t.count == 0 && filter && !c->flags.json)
		return err_set(e, E_NOTFOUND, "Cannot find a task with ID containing \"%s\"", filter);
	if (!c->flags.json && !c->flags.quiet) {
		print_table(&t);
		return 0;
	}
	struct json_list list = JSON_LIST_INIT;
	for (size_t i = 0; i < t.count; i++) {
		if (c->flags.json)
			json_list_add(&list, t.rows[i].task);
		else
			puts(t.rows[i].id);
	}
	if (c->flags.json)
		json_list_print(&list);
	buf_fini(&list.out);
	return 0;
}

/* ---- task ls ---- */

/* "Sep 23 14:12" */
static void date_text(double unix_seconds, char out[32])
{
	time_t when = (time_t)unix_seconds;
	struct tm tm;
	if (!localtime_r(&when, &tm) || strftime(out, 32, "%b %d %H:%M", &tm) == 0)
		out[0] = '\0';
}

static void print_long(yyjson_val *entry, const char *name)
{
	char date[32];
	date_text(json_num(entry, "mtime", 0), date);
	printf("%s %3lld %s %s %9lld %s %s\n", json_str(entry, "mode", ""), (long long)json_int(entry, "nlink", 0), json_str(entry, "uid", ""),
	       json_str(entry, "gid", ""), (long long)json_int(entry, "size", 0), date, name);
}

static int list_sandbox(struct cli *c, const struct task_ref *t, const char *below, bool header, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE char *dir = cli_task_sandbox_path(t, below);
	AUTO_FREE char *url = cli_task_files_url(t, "browse", dir);
	yyjson_arr_iter it;
	yyjson_val *entry;
	bool first = true;
	int rc = client_get(c, url, &a, e);
	if (rc == E_NOTFOUND)
		return err_set(e, E_NOTFOUND, "Cannot access [%s]: No such file or directory", below[0] ? below : ".");
	if (rc != 0)
		return rc;
	if (header)
		printf("===> %s <===\n", t->id);
	yyjson_arr_iter_init(answer_json(&a), &it);
	while ((entry = yyjson_arr_iter_next(&it))) {
		const char *full = json_str(entry, "path", ""), *slash = strrchr(full, '/');
		const char *name = slash ? slash + 1 : full;
		if (c->flags.long_form)
			print_long(entry, name);
		else
			printf("%s%s", first ? "" : "  ", name);
		first = false;
	}
	if (!c->flags.long_form)
		puts("");
	return 0;
}

static int cmd_ls(struct cli *c, struct err *e)
{
	AUTO_TASKS struct tasks t = { 0 };
	int rc = cli_tasks_require(c, c->argc > 0 ? c->args[0] : NULL, &t, e);
	for (size_t i = 0; i < t.count && rc == 0; i++)
		rc = list_sandbox(c, &t.rows[i], c->argc > 1 ? c->args[1] : "", t.count > 1, e);
	return rc;
}

static const struct flag list_flags[] = { FLAG_JSON, FLAG_QUIET, FLAG_ALL, FLAG_COMPLETED, FLAG_END };
static const struct flag ls_flags[] = {
	FLAG_ALL,
	FLAG_COMPLETED,
	{ "long", FLAG_BOOL, FLAG_AT(long_form), "false", 0, 0, NULL, "mode, links, owner, size" },
	FLAG_END,
};
const struct command task_commands[] = {
	/* words       args                 min max flags       fn        help */
	{ "task",      "[<filter>]",        0,  1,  list_flags, cmd_list, "Tasks of the cluster" },
	{ "task list", "[<filter>]",        0,  1,  list_flags, cmd_list, "Tasks of the cluster" },
	{ "task ls",   "[<task>] [<path>]", 0,  2,  ls_flags,   cmd_ls,   "Files in a task's sandbox" },
	CMD_END,
};
