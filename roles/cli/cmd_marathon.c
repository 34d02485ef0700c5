/* SPDX-License-Identifier: Apache-2.0 */
/* dcos marathon, all but apps and groups: deployments, the launch queue, tasks, the service itself. */
#include <stdio.h>
#include <time.h>

#include "roles/cli/marathon.h"

#define DEPLOYMENTS "/v2/deployments"

static int print_answer(struct cli *c, const char *path, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	int rc = client_get(c, path, &a, e);
	if (rc == 0 && answer_json(&a))
		print_json(answer_json(&a));
	return rc;
}

/* ---- the service ---- */

static int cmd_about(struct cli *c, struct err *e) { return print_answer(c, MARATHON "/v2/info", e); }

static int cmd_ping(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	int rc = client_get(c, MARATHON "/ping", &a, e);
	if (rc != 0)
		return rc;
	struct str word = str_trim(str_n(a.body, a.len));
	if (word.len > 0 && word.p[0] == '"')
		word = str_n(word.p + 1, word.len - 2);
	printf("Marathon ping response[1x]: \"" STR_FMT "\"\n", STR_ARG(word));
	return 0;
}

static int cmd_leader(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	int rc = client_get(c, MARATHON "/v2/leader", &a, e);
	if (rc == 0 && c->flags.json)
		print_json(answer_json(&a));
	else if (rc == 0)
		puts(json_str(answer_json(&a), "leader", ""));
	return rc;
}

/* ---- deployments ---- */

static bool concerns(yyjson_val *deployment, const char *app_id)
{
	yyjson_arr_iter it;
	yyjson_val *id;
	if (!app_id)
		return true;
	yyjson_arr_iter_init(json_at(deployment, "affectedApps"), &it);
	while ((id = yyjson_arr_iter_next(&it)))
		if (yyjson_is_str(id) && strcmp(yyjson_get_str(id) + 1, app_id + (app_id[0] == '/')) == 0)
			return true;
	return false;
}

static void join(yyjson_val *list, const char *field, struct buf *out)
{
	yyjson_arr_iter it;
	yyjson_val *v;
	yyjson_arr_iter_init(list, &it);
	while ((v = yyjson_arr_iter_next(&it))) {
		const char *text = field ? action_word(json_str(v, field, "")) : yyjson_get_str(v);
		buf_printf(out, "%s%s", out->len > 0 ? ", " : "", text ? text : "");
	}
}

static void add_deployment(struct table *t, yyjson_val *d)
{
	AUTO_BUF struct buf apps = BUF_INIT, pods = BUF_INIT, actions = BUF_INIT, progress = BUF_INIT;
	yyjson_val *steps = json_at(d, "steps");
	join(json_at(d, "affectedApps"), NULL, &apps);
	join(json_at(d, "affectedPods"), NULL, &pods);
	join(json_at(d, "currentActions"), "action", &actions);
	buf_printf(&progress, "%lld/%lld", (long long)json_int(d, "currentStep", 1) - 1,
		   (long long)json_int(d, "totalSteps", (int64_t)yyjson_arr_size(steps)));
	table_add(t, (const char *[]){ apps.len ? buf_cstr(&apps) : "-", pods.len ? buf_cstr(&pods) : "-", buf_cstr(&actions),
				       buf_cstr(&progress), json_str(d, "id", "") });
}

static void print_ids(yyjson_val *list)
{
	yyjson_arr_iter it;
	yyjson_val *v;
	yyjson_arr_iter_init(list, &it);
	while ((v = yyjson_arr_iter_next(&it)))
		puts(json_str(v, "id", ""));
}

static int cmd_deployment_list(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	const char *app = c->argc == 1 ? c->args[0] : NULL;
	yyjson_arr_iter it;
	yyjson_val *d;
	int rc = client_get(c, MARATHON DEPLOYMENTS, &a, e);
	if (rc != 0)
		return rc;
	struct table *t = table_new("<APP|POD|ACTION|PROGRESS|<ID");
	struct json_list list = JSON_LIST_INIT;
	yyjson_arr_iter_init(answer_json(&a), &it);
	while ((d = yyjson_arr_iter_next(&it))) {
		if (!concerns(d, app))
			continue;
		if (c->flags.quiet)
			puts(json_str(d, "id", ""));
		json_list_add(&list, d);
		add_deployment(t, d);
	}
	if (c->flags.json)
		json_list_print(&list);
	else if (list.count == 0)
		rc = err_set(e, E_NOTFOUND, app ? "There are no deployments for '%s'" : "There are no deployments", app);
	else if (!c->flags.quiet)
		table_print(t);
	table_free(t);
	buf_fini(&list.out);
	return rc;
}

static int cmd_deployment_rollback(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE char *path = marathon_path(DEPLOYMENTS, c->args[0], "");
	int rc = client_call(c, DELETE, path, NULL, NULL, &a, e);
	if (rc == 0 && answer_json(&a))
		print_json(answer_json(&a));
	return rc;
}

static int cmd_deployment_stop(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE char *path = marathon_path(DEPLOYMENTS, c->args[0], "?force=true");
	return client_call(c, DELETE, path, NULL, NULL, &a, e);
}

/* Print it once; *out_over when it is no longer listed. */
static int watch_once(struct cli *c, bool *out_over, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	yyjson_arr_iter it;
	yyjson_val *d;
	char when[64];
	time_t now = time(NULL);
	int rc = client_get(c, MARATHON DEPLOYMENTS, &a, e);
	if (rc != 0)
		return rc;
	yyjson_arr_iter_init(answer_json(&a), &it);
	while ((d = yyjson_arr_iter_next(&it)))
		if (strcmp(json_str(d, "id", ""), c->args[0]) == 0)
			break;
	*out_over = d == NULL;
	if (!d)
		return 0;
	(void)strftime(when, sizeof(when), "%a %b %e %H:%M:%S %Y", localtime(&now));
	printf("Deployment update time: %s \n", when);
	print_json(d);
	(void)fflush(stdout);
	return 0;
}

static int cmd_deployment_watch(struct cli *c, struct err *e)
{
	bool over = false;
	client_catch_interrupt(c);
	for (int64_t n = 0; !c->interrupted && (c->flags.max_count == 0 || n < c->flags.max_count); n++) {
		int rc = watch_once(c, &over, e);
		if (c->interrupted)
			return 0;
		if (rc != 0 || over)
			return rc;
		client_pause(c, c->flags.interval_us);
	}
	return 0;
}

/* ---- the launch queue ---- */

static int cmd_delay_reset(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE char *path = marathon_path("/v2/queue", c->args[0], "/delay");
	return client_call(c, DELETE, path, NULL, NULL, &a, e);
}

static void add_waiting(struct table *t, yyjson_val *entry)
{
	yyjson_val *offers = json_at(entry, "processedOffersSummary");
	AUTO_FREE char *count = xasprintf("%lld", (long long)json_int(entry, "count", 0));
	AUTO_FREE char *processed = xasprintf("%lld", (long long)json_int(offers, "processedOffersCount", 0));
	AUTO_FREE char *unused = xasprintf("%lld", (long long)json_int(offers, "unusedOffersCount", 0));
	table_add(t, (const char *[]){ json_str(entry, "app.id", json_str(entry, "pod.id", "")), json_str(entry, "since", ""), count,
				       json_bool(entry, "delay.overdue", false) ? "True" : "False", processed, unused,
				       json_str(offers, "lastUnusedOfferAt", ""), json_str(offers, "lastUsedOfferAt", "") });
}

static int cmd_debug_list(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	yyjson_arr_iter it;
	yyjson_val *entry;
	int rc = client_get(c, MARATHON "/v2/queue", &a, e);
	if (rc != 0)
		return rc;
	yyjson_val *queue = json_at(answer_json(&a), "queue");
	if (c->flags.json) {
		print_json(queue);
		return 0;
	}
	struct table *t = table_new("<ID|<SINCE|INSTANCES TO LAUNCH|<WAITING|PROCESSED OFFERS|UNUSED OFFERS|<LAST UNUSED OFFER|<LAST USED OFFER");
	yyjson_arr_iter_init(queue, &it);
	while ((entry = yyjson_arr_iter_next(&it)))
		add_waiting(t, entry);
	table_sort(t, 0);
	table_print(t);
	table_free(t);
	return 0;
}

/* ---- tasks ---- */

static bool healthy(yyjson_val *task)
{
	yyjson_arr_iter it;
	yyjson_val *result;
	yyjson_arr_iter_init(json_at(task, "healthCheckResults"), &it);
	while ((result = yyjson_arr_iter_next(&it)))
		if (!json_bool(result, "alive", false))
			return false;
	return true;
}

static int cmd_task_list(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE char *path = c->argc == 1 ? marathon_path("/v2/apps", c->args[0], "/tasks") : xstrdup(MARATHON "/v2/tasks");
	yyjson_arr_iter it;
	yyjson_val *task;
	int rc = client_get(c, path, &a, e);
	if (rc != 0)
		return rc;
	yyjson_val *tasks = json_at(answer_json(&a), "tasks");
	if (c->flags.json || c->flags.quiet) {
		if (c->flags.json)
			print_json(tasks);
		else
			print_ids(tasks);
		return 0;
	}
	struct table *t = table_new("<APP|HEALTHY|STARTED|HOST|<ID");
	yyjson_arr_iter_init(tasks, &it);
	while ((task = yyjson_arr_iter_next(&it)))
		table_add(t, (const char *[]){ json_str(task, "appId", ""), healthy(task) ? "True" : "False",
					       json_str(task, "startedAt", NULL), json_str(task, "host", NULL), json_str(task, "id", "") });
	table_sort(t, 0);
	table_print(t);
	table_free(t);
	return 0;
}

/* The task of that id in a's document. E_NOTFOUND. */
static int find_task(struct cli *c, struct answer *a, yyjson_val **out, struct err *e)
{
	yyjson_arr_iter it;
	yyjson_val *task;
	int rc = client_get(c, MARATHON "/v2/tasks", a, e);
	if (rc != 0)
		return rc;
	yyjson_arr_iter_init(json_at(answer_json(a), "tasks"), &it);
	while ((task = yyjson_arr_iter_next(&it)))
		if (strcmp(json_str(task, "id", ""), c->args[0]) == 0) {
			*out = task;
			return 0;
		}
	return err_set(e, E_NOTFOUND, "Task '%s' does not exist", c->args[0]);
}

static int cmd_task_show(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	yyjson_val *task;
	int rc = find_task(c, &a, &task, e);
	if (rc == 0)
		print_json(task);
	return rc;
}

static int cmd_task_stop(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer tasks = { 0 };
	AUTO_ANSWER struct answer a = { 0 };
	yyjson_val *task;
	int rc = find_task(c, &tasks, &task, e);
	if (rc != 0)
		return rc;
	AUTO_BUF struct buf rest = BUF_INIT;
	buf_puts(&rest, "/tasks/");
	url_encode(&rest, str_of(c->args[0]));
	buf_puts(&rest, c->flags.wipe ? "?wipe=true" : "");
	AUTO_FREE char *path = marathon_path("/v2/apps", json_str(task, "appId", ""), buf_cstr(&rest));
	rc = client_call(c, DELETE, path, NULL, NULL, &a, e);
	if (rc != 0)
		return rc;
	yyjson_val *root = answer_json(&a), *stopped = json_at(root, "task");
	print_json(stopped ? stopped : root);
	return 0;
}

static int cmd_task_kill(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_BUF struct buf body = BUF_INIT;
	AUTO_FREE char *path = xasprintf(MARATHON "/v2/tasks/delete?scale=%s&wipe=%s", c->flags.scale ? "true" : "false",
					 c->flags.wipe ? "true" : "false");
	struct jw w = jw_start(&body);
	jw_obj(&w, NULL);
	jw_arr(&w, "ids");
	for (int i = 0; i < c->argc; i++)
		jw_str(&w, NULL, c->args[i]);
	jw_end(&w);
	jw_end(&w);
	int rc = client_call(c, POST, path, buf_cstr(&body), NULL, &a, e);
	if (rc != 0)
		return rc;
	yyjson_val *tasks = json_at(answer_json(&a), "tasks");
	if (tasks && yyjson_arr_size(tasks) == 0)
		return err_set(e, E_NOTFOUND, "no such task runs; `dcos marathon task list` shows those that do");
	if (c->flags.json)
		print_json(answer_json(&a));
	else
		print_killed(&a);
	return 0;
}

static const struct flag deployment_flags[] = { FLAG_JSON, FLAG_QUIET, FLAG_END };
static const struct flag json_flags[] = { FLAG_JSON, FLAG_END };
static const struct flag watch_flags[] = {
	{ "max-count", FLAG_INT, FLAG_AT(max_count), NULL, 1, 1000000, NULL, "look at most so often" },
	{ "interval", FLAG_DURATION, FLAG_AT(interval_us), "1", 1000, DAY, NULL, "seconds between two looks" },
	FLAG_END,
};
static const struct flag stop_flags[] = {
	{ "wipe", FLAG_BOOL, FLAG_AT(wipe), "false", 0, 0, NULL, "also give up its reservations and volumes" },
	FLAG_END,
};
static const struct flag kill_flags[] = {
	FLAG_JSON,
	{ "scale", FLAG_BOOL, FLAG_AT(scale), "false", 0, 0, NULL, "also lower the number of instances" },
	{ "wipe", FLAG_BOOL, FLAG_AT(wipe), "false", 0, 0, NULL, "also give up their reservations and volumes" },
	FLAG_END,
};
const struct command marathon_commands[] = {
	/* words                          args             min max  flags             fn                       help */
	{ "marathon about",               "",              0,  0,   NULL,             cmd_about,               "Marathon's version and settings" },
	{ "marathon debug list",          "",              0,  0,   json_flags,       cmd_debug_list,          "Apps that wait, and the offers they saw" },
	{ "marathon delay reset",         "<app-id>",      1,  1,   NULL,             cmd_delay_reset,         "Launch again at once after failures" },
	{ "marathon deployment list",     "[<app-id>]",    0,  1,   deployment_flags, cmd_deployment_list,     "Deployments under way" },
	{ "marathon deployment rollback", "<id>",          1,  1,   NULL,             cmd_deployment_rollback, "Undo a deployment by a new one" },
	{ "marathon deployment stop",     "<id>",          1,  1,   NULL,             cmd_deployment_stop,     "Leave a deployment as it stands" },
	{ "marathon deployment watch",    "<id>",          1,  1,   watch_flags,      cmd_deployment_watch,    "Show a deployment until it ends" },
	{ "marathon leader show",         "",              0,  0,   json_flags,       cmd_leader,              "Who leads" },
	{ "marathon ping",                "",              0,  0,   NULL,             cmd_ping,                "Ask whether Marathon answers" },
	{ "marathon task kill",           "<task-id>...",  1,  256, kill_flags,       cmd_task_kill,           "Kill tasks of any apps" },
	{ "marathon task list",           "[<app-id>]",    0,  1,   deployment_flags, cmd_task_list,           "Tasks of apps" },
	{ "marathon task show",           "<task-id>",     1,  1,   NULL,             cmd_task_show,           "A task as JSON" },
	{ "marathon task stop",           "<task-id>",     1,  1,   stop_flags,       cmd_task_stop,           "Kill a task" },
	CMD_END,
};
