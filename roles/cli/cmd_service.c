/* SPDX-License-Identifier: Apache-2.0 */
/* dcos service: the frameworks of the cluster. */
#include <stdio.h>

#include "roles/cli/cli.h"

static size_t running_tasks(yyjson_val *framework)
{
	yyjson_arr_iter it;
	yyjson_val *task;
	size_t n = 0;
	yyjson_arr_iter_init(json_at(framework, "tasks"), &it);
	while ((task = yyjson_arr_iter_next(&it)))
		n += strcmp(json_str(task, "state", ""), "TASK_RUNNING") == 0;
	return n;
}

static void add_row(struct table *t, yyjson_val *framework)
{
	AUTO_FREE char *tasks = xasprintf("%zu", running_tasks(framework));
	AUTO_FREE char *cpus = xasprintf("%.10g", json_num(framework, "resources.cpus", 0));
	AUTO_FREE char *mem = xasprintf("%.10g", json_num(framework, "resources.mem", 0));
	AUTO_FREE char *disk = xasprintf("%.10g", json_num(framework, "resources.disk", 0));
	table_add(t, (const char *[]){ json_str(framework, "name", ""), json_str(framework, "hostname", NULL),
				       json_bool(framework, "active", false) ? "True" : "False", tasks, cpus, mem, disk,
				       json_str(framework, "id", "") });
}

static int cmd_list(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer state = { 0 };
	struct json_list json = JSON_LIST_INIT;
	yyjson_arr_iter it;
	yyjson_val *framework;
	int rc = client_get(c, "/mesos/state", &state, e);
	if (rc != 0)
		return rc;
	const char *list = c->flags.completed ? "completed_frameworks" : "frameworks";
	struct table *t = table_new("<NAME|<HOST|ACTIVE|TASKS|CPU|MEM|DISK|<ID");
	yyjson_arr_iter_init(json_at(answer_json(&state), list), &it);
	while ((framework = yyjson_arr_iter_next(&it))) {
		if (c->flags.inactive && json_bool(framework, "active", false))
			continue;
		if (c->flags.quiet)
			puts(json_str(framework, "id", ""));
		json_list_add(&json, framework);
		add_row(t, framework);
	}
	table_sort(t, 0);
	if (c->flags.json)
		json_list_print(&json);
	else if (!c->flags.quiet)
		table_print(t);
	table_free(t);
	buf_fini(&json.out);
	return 0;
}

static const struct flag list_flags[] = {
	FLAG_JSON,
	FLAG_QUIET,
	{ "completed", FLAG_BOOL, FLAG_AT(completed), "false", 0, 0, NULL, "those that have ended" },
	{ "inactive", FLAG_BOOL, FLAG_AT(inactive), "false", 0, 0, NULL, "those whose scheduler is away" },
	FLAG_END,
};
const struct command service_commands[] = {
	/* words          args  min max flags       fn        help */
	{ "service",      "",   0,  0,  list_flags, cmd_list, "Services of the cluster" },
	{ "service list", "",   0,  0,  list_flags, cmd_list, "Services of the cluster" },
	CMD_END,
};
