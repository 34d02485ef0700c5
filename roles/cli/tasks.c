/* SPDX-License-Identifier: Apache-2.0 */
/* See tasks.h. Everything is read from the leading master's /state. */
#include "roles/cli/tasks.h"

#include <fnmatch.h>

void cli_tasks_fini(struct tasks *t)
{
	answer_fini(&t->state);
	map_fini(&t->hosts);
	free(t->rows);
	*t = (struct tasks){ 0 };
}

bool cli_task_matches(const char *filter, const char *id)
{
	return !filter || strstr(id, filter) || fnmatch(filter, id, 0) == 0;
}

void cli_task_state_letter(const char *state, char out[2])
{
	const char *last = strrchr(state, '_');
	out[0] = last ? last[1] : state[0];
	out[1] = '\0';
}

/* Agents' host names by their ids, borrowed from the state. */
static void load_hosts(struct tasks *t)
{
	yyjson_arr_iter it;
	yyjson_val *agent;
	yyjson_arr_iter_init(json_at(answer_json(&t->state), "slaves"), &it);
	while ((agent = yyjson_arr_iter_next(&it)))
		(void)map_put_c(&t->hosts, json_str(agent, "id", ""), (void *)(uintptr_t)json_str(agent, "hostname", NULL));
}

static void add_list(struct tasks *t, yyjson_val *framework, bool completed, bool wanted, const char *filter)
{
	yyjson_arr_iter it;
	yyjson_val *task;
	yyjson_val *list = json_at(framework, completed ? "completed_tasks" : "tasks");
	if (wanted)
		t->rows = xrealloc(t->rows, (t->count + yyjson_arr_size(list) + 1) * sizeof(*t->rows));
	yyjson_arr_iter_init(list, &it);
	while ((task = yyjson_arr_iter_next(&it))) {
		const char *id = json_str(task, "id", ""), *agent_id = json_str(task, "slave_id", "");
		if (!cli_task_matches(filter, id))
			continue;
		if (!wanted) {
			t->completed_matches += completed;
			continue;
		}
		t->rows[t->count++] = (struct task_ref){
			.task = task, .framework = framework, .id = id, .agent_id = agent_id, .host = map_find_c(&t->hosts, agent_id),
		};
	}
}

static int by_name(const void *a, const void *b)
{
	const struct task_ref *x = a, *y = b;
	int c = strcmp(json_str(x->task, "name", ""), json_str(y->task, "name", ""));
	return c != 0 ? c : strcmp(x->id, y->id);
}

int cli_tasks_load(struct cli *c, const char *filter, struct tasks *t, struct err *e)
{
	static const char *const framework_lists[] = { "frameworks", "completed_frameworks" };
	bool completed = c->flags.completed || c->flags.all, running = !c->flags.completed || c->flags.all;
	int rc = client_get(c, "/mesos/state", &t->state, e);
	if (rc != 0)
		return rc;
	load_hosts(t);
	for (size_t i = 0; i < ARRAY_LEN(framework_lists); i++) {
		yyjson_arr_iter it;
		yyjson_val *framework;
		yyjson_arr_iter_init(json_at(answer_json(&t->state), framework_lists[i]), &it);
		while ((framework = yyjson_arr_iter_next(&it))) {
			add_list(t, framework, false, running, filter);
			add_list(t, framework, true, completed, filter);
		}
	}
	if (t->count > 0)
		qsort(t->rows, t->count, sizeof(*t->rows), by_name);
	return 0;
}

int cli_tasks_require(struct cli *c, const char *filter, struct tasks *t, struct err *e)
{
	int rc = cli_tasks_load(c, filter, t, e);
	size_t n = t->completed_matches;
	if (rc != 0 || t->count > 0)
		return rc;
	if (n == 0 || !filter)
		return err_set(e, E_NOTFOUND, "No matching tasks. Exiting.");
	return err_set(e, E_NOTFOUND, "No running tasks match ID [%s]; however, there %s %zu matching completed task%s. "
		       "Run with --completed to see these logs.", filter, n == 1 ? "is" : "are", n, n == 1 ? "" : "s");
}

char *cli_task_sandbox_path(const struct task_ref *t, const char *file)
{
	const char *executor = json_str(t->task, "executor_id", "");
	return xasprintf("/frameworks/%s/executors/%s/runs/latest/%s", json_str(t->task, "framework_id", ""),
			 executor[0] ? executor : t->id, file);
}

char *cli_task_files_url(const struct task_ref *t, const char *verb, const char *path)
{
	AUTO_BUF struct buf url = BUF_INIT;
	buf_printf(&url, "/slave/%s/files/%s?path=", t->agent_id, verb);
	url_encode(&url, str_of(path));
	return buf_take(&url);
}
