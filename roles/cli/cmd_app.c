/* SPDX-License-Identifier: Apache-2.0 */
/* dcos marathon app: definitions to Marathon and back, with the columns and sentences of the dcos CLI. */
#include <stdio.h>

#include "roles/cli/marathon.h"

#define APPS "/v2/apps"
#define CMD_CHARS 35              /* of a command in the list; then "..." */

/* ---- one app ---- */

static int app_get(struct cli *c, struct answer *a, struct err *e)
{
	AUTO_FREE char *path = marathon_path(APPS, c->args[0], "");
	int rc = client_get(c, path, a, e);
	if (rc == 0 && !json_at(answer_json(a), "app"))
		rc = err_set(e, E_NOTFOUND, "App '/%s' does not exist", c->args[0] + (c->args[0][0] == '/'));
	return rc;
}

/* Send a change and tell its deployment. */
static int app_change(struct cli *c, enum http_method method, const char *rest, const char *body, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE char *path = marathon_path(APPS, c->args[0], rest);
	int rc = client_call(c, method, path, body, NULL, &a, e);
	if (rc == 0)
		print_deployment(&a);
	return rc;
}

static int cmd_add(struct cli *c, struct err *e)
{
	static const int allow[] = { 409, 0 };
	AUTO_DEFINITION struct definition d = { 0 };
	AUTO_ANSWER struct answer a = { 0 };
	int rc = definition_read(c, c->argc == 1 ? c->args[0] : NULL, "application", &d, e);
	if (rc == 0)
		rc = client_call(c, POST, MARATHON APPS, d.text, allow, &a, e);
	if (rc != 0)
		return rc;
	yyjson_val *answer = answer_json(&a);
	if (a.status == 409 && json_at(answer, "deployments"))
		return err_set(e, E_CONFLICT, "%s", json_str(answer, "message", "The app is locked by a deployment"));
	if (a.status == 409) {
		const char *id = json_str(yyjson_doc_get_root(d.doc), "id", "");
		return err_set(e, E_CONFLICT, "Application '/%s' already exists", id + (id[0] == '/'));
	}
	print_deployment(&a);
	return 0;
}

static int cmd_remove(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE char *path = marathon_path(APPS, c->args[0], c->flags.force ? "?force=true" : "?force=false");
	return client_call(c, DELETE, path, NULL, NULL, &a, e);
}

static int set_instances(struct cli *c, int64_t count, struct err *e)
{
	AUTO_FREE char *body = xasprintf("{\"instances\": %lld}", (long long)count);
	return app_change(c, PUT, marathon_force(c), body, e);
}

static int instances_of(struct cli *c, int64_t *out_count, char **out_id, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	int rc = app_get(c, &a, e);
	if (rc != 0)
		return rc;
	*out_count = json_int(answer_json(&a), "app.instances", 0);
	*out_id = xstrdup(json_str(answer_json(&a), "app.id", c->args[0]));
	return 0;
}

static int cmd_start(struct cli *c, struct err *e)
{
	AUTO_FREE char *id = NULL;
	int64_t now = 0, wanted = 1;
	if (c->argc > 1 && (!str_i64(str_of(c->args[1]), &wanted) || wanted <= 0))
		return err_set(e, E_USAGE, "the number of instances wants to be 1 or more, not '%s'", c->args[1]);
	int rc = instances_of(c, &now, &id, e);
	if (rc == 0 && now > 0)
		rc = err_set(e, E_CONFLICT, "Application '%s' already started: %lld instances.", id, (long long)now);
	return rc == 0 ? set_instances(c, wanted, e) : rc;
}

static int cmd_stop(struct cli *c, struct err *e)
{
	AUTO_FREE char *id = NULL;
	int64_t now = 0;
	int rc = instances_of(c, &now, &id, e);
	if (rc == 0 && now == 0)
		rc = err_set(e, E_CONFLICT, "Application '%s' already stopped: 0 instances.", id);
	return rc == 0 ? set_instances(c, 0, e) : rc;
}

static int cmd_restart(struct cli *c, struct err *e)
{
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *rest = xasprintf("/restart%s", marathon_force(c));
	int64_t now = 0;
	int rc = instances_of(c, &now, &id, e);
	if (rc == 0 && now == 0)
		rc = err_set(e, E_CONFLICT, "Unable to perform rolling restart of application \"%s\" because it has no running tasks", id);
	return rc == 0 ? app_change(c, POST, rest, NULL, e) : rc;
}

static int cmd_kill(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_BUF struct buf rest = BUF_INIT;
	buf_printf(&rest, "/tasks?scale=%s", c->flags.scale ? "true" : "false");
	if (c->flags.host) {
		buf_puts(&rest, "&host=");
		url_encode(&rest, str_of(c->flags.host));
	}
	AUTO_FREE char *path = marathon_path(APPS, c->args[0], buf_cstr(&rest));
	int rc = client_call(c, DELETE, path, NULL, NULL, &a, e);
	if (rc != 0)
		return rc;
	print_killed(&a);
	yyjson_val *tasks = json_at(answer_json(&a), "tasks");
	if (tasks && yyjson_arr_size(tasks) == 0)
		return err_set(e, E_NOTFOUND, "no task of '%s' was running%s%s", c->args[0], c->flags.host ? " on " : "",
			       c->flags.host ? c->flags.host : "");
	return 0;
}

/* ---- update ---- */

static int cmd_update(struct cli *c, struct err *e)
{
	AUTO_DEFINITION struct definition d = { 0 };
	AUTO_ANSWER struct answer before = { 0 };
	AUTO_BUF struct buf body = BUF_INIT;
	int rc = c->argc > 1 ? object_of_pairs(c->args + 1, c->argc - 1, &body, e) : definition_read(c, NULL, "application", &d, e);
	if (rc == 0)
		rc = app_get(c, &before, e);    /* Marathon would create an app that is absent */
	return rc == 0 ? app_change(c, PUT, marathon_force(c), d.text ? d.text : buf_cstr(&body), e) : rc;
}

/* ---- versions, show ---- */

static int newest_first(const void *a, const void *b) { return strcmp(*(char *const *)b, *(char *const *)a); }

/* Versions of the app, newest first, borrowed from a's document. */
static int load_versions(struct cli *c, struct answer *a, const char ***out, size_t *out_count, struct err *e)
{
	AUTO_FREE char *path = marathon_path(APPS, c->args[0], "/versions");
	yyjson_arr_iter it;
	yyjson_val *v;
	size_t n = 0;
	int rc = client_get(c, path, a, e);
	if (rc != 0)
		return rc;
	yyjson_val *list = json_at(answer_json(a), "versions");
	const char **versions = xcalloc(yyjson_arr_size(list) + 1, sizeof(*versions));
	yyjson_arr_iter_init(list, &it);
	while ((v = yyjson_arr_iter_next(&it)))
		if (yyjson_is_str(v))
			versions[n++] = yyjson_get_str(v);
	qsort(versions, n, sizeof(*versions), newest_first);
	*out = versions;
	*out_count = n;
	return 0;
}

static int cmd_version_list(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE const char **versions = NULL;
	AUTO_BUF struct buf out = BUF_INIT;
	size_t count;
	int rc = load_versions(c, &a, &versions, &count, e);
	if (rc != 0)
		return rc;
	if (c->flags.max_count > 0)
		count = MIN(count, (size_t)c->flags.max_count);
	buf_puts(&out, "[");
	for (size_t i = 0; i < count; i++) {
		buf_puts(&out, i > 0 ? ",\n  " : "\n  ");
		buf_json_cstr(&out, versions[i]);
	}
	printf("%s%s]\n", buf_cstr(&out), count > 0 ? "\n" : "");
	return 0;
}

/* --app-version: a timestamp, or how many versions back ("-1"). */
static int find_version(struct cli *c, char **out, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE const char **versions = NULL;
	int64_t back;
	size_t count;
	if (!str_i64(str_of(c->flags.app_version), &back)) {
		*out = xstrdup(c->flags.app_version);
		return 0;
	}
	if (back > 0)
		return err_set(e, E_USAGE, "Relative versions must be negative: %lld", (long long)back);
	int rc = load_versions(c, &a, &versions, &count, e);
	if (rc != 0)
		return rc;
	if (back <= -(int64_t)count)
		return err_set(e, E_NOTFOUND, "Application '%s' only has %zu version(s).", c->args[0], count);
	*out = xstrdup(versions[-back]);
	return 0;
}

/* On stderr, so that stdout stays what programs read. */
static void tell_reason(yyjson_val *queue, const char *app_id)
{
	AUTO_BUF struct buf why = BUF_INIT;
	yyjson_val *entry = queue_find(queue, app_id);
	if (entry)
		queue_reason(entry, &why);
	if (why.len > 0)
		(void)fprintf(stderr, "%s\n", buf_cstr(&why));
}

static int cmd_show(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_ANSWER struct answer queue = { 0 };
	AUTO_FREE char *version = NULL;
	struct err ignored = { 0 };
	int rc = c->flags.app_version ? find_version(c, &version, e) : 0;
	if (rc == 0 && !version)
		rc = app_get(c, &a, e);
	if (rc == 0 && version) {
		AUTO_FREE char *rest = xasprintf("/versions/%s", version);
		AUTO_FREE char *path = marathon_path(APPS, c->args[0], rest);
		rc = client_get(c, path, &a, e);
	}
	if (rc != 0)
		return rc;
	yyjson_val *root = answer_json(&a), *app = json_at(root, "app");
	print_json(app ? app : root);
	(void)fflush(stdout);
	if (app && json_int(app, "tasksRunning", 0) < json_int(app, "instances", 0) &&
	    client_get(c, MARATHON "/v2/queue", &queue, &ignored) == 0)
		tell_reason(answer_json(&queue), json_str(app, "id", ""));
	return 0;
}

/* ---- list ---- */

/* What the list joins: apps, their deployments, the launch queue. */
struct listing {
	yyjson_val *deployments, *queue;
};

/* "scale", or "(start, scale)" when several actions concern the app now. */
static void deployment_text(const struct listing *l, const char *app_id, struct buf *out)
{
	yyjson_arr_iter it, actions;
	yyjson_val *deployment, *action;
	size_t n = 0;
	AUTO_BUF struct buf words = BUF_INIT;
	yyjson_arr_iter_init(l->deployments, &it);
	while ((deployment = yyjson_arr_iter_next(&it))) {
		yyjson_arr_iter_init(json_at(deployment, "currentActions"), &actions);
		while ((action = yyjson_arr_iter_next(&actions)))
			if (strcmp(json_str(action, "app", ""), app_id) == 0)
				buf_printf(&words, "%s%s", n++ > 0 ? ", " : "", action_word(json_str(action, "action", "")));
	}
	buf_printf(out, n > 1 ? "(%s)" : "%s", buf_cstr(&words));
}

static void health_text(yyjson_val *app, struct buf *out)
{
	if (yyjson_arr_size(json_at(app, "healthChecks")) > 0)
		buf_printf(out, "%lld/%lld", (long long)json_int(app, "tasksHealthy", 0), (long long)json_int(app, "tasksRunning", 0));
}

static void command_text(yyjson_val *app, struct buf *out)
{
	yyjson_val *args = json_at(app, "args");
	const char *cmd = json_str(app, "cmd", NULL);
	AUTO_BUF struct buf text = BUF_INIT;
	if (cmd)
		buf_puts(&text, cmd);
	else if (yyjson_arr_size(args) > 0)
		json_write(&text, args, false);
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < ' ')
			text.data[i] = ' ';       /* a command of several lines stays in its row */
	size_t cut = 0, chars = 0;
	while (cut < text.len && chars < CMD_CHARS) {
		cut++;
		while (cut < text.len && (text.data[cut] & 0xc0) == 0x80)
			cut++;
		chars++;
	}
	buf_str(out, str_n((const char *)text.data, cut));
	if (cut < text.len)
		buf_puts(out, "...");
}

static void add_row(struct table *t, const struct listing *l, yyjson_val *app)
{
	AUTO_BUF struct buf mem = BUF_INIT, cpus = BUF_INIT, tasks = BUF_INIT, health = BUF_INIT, deployment = BUF_INIT, cmd = BUF_INIT;
	const char *id = json_str(app, "id", "");
	buf_printf(&mem, "%.10g", json_num(app, "mem", 0));
	buf_printf(&cpus, "%.10g", json_num(app, "cpus", 0));
	buf_printf(&tasks, "%lld/%lld", (long long)json_int(app, "tasksRunning", 0), (long long)json_int(app, "instances", 0));
	health_text(app, &health);
	deployment_text(l, id, &deployment);
	command_text(app, &cmd);
	const char *waiting = json_bool(queue_find(l->queue, id), "delay.overdue", false) ? "True" : "False";
	table_add(t, (const char *[]){ id, buf_cstr(&mem), buf_cstr(&cpus), buf_cstr(&tasks), buf_cstr(&health), buf_cstr(&deployment),
				       waiting, json_str(app, "container.type", "mesos"), buf_cstr(&cmd) });
}

static int print_list(struct cli *c, yyjson_val *apps, struct err *e)
{
	AUTO_ANSWER struct answer deployments = { 0 };
	AUTO_ANSWER struct answer queue = { 0 };
	yyjson_arr_iter it;
	yyjson_val *app;
	int rc = client_get(c, MARATHON "/v2/deployments", &deployments, e);
	if (rc == 0)
		rc = client_get(c, MARATHON "/v2/queue", &queue, e);
	if (rc != 0)
		return rc;
	struct listing l = { .deployments = answer_json(&deployments), .queue = answer_json(&queue) };
	struct table *t = table_new("<ID|MEM|CPUS|TASKS|HEALTH|DEPLOYMENT|WAITING|CONTAINER|<CMD");
	yyjson_arr_iter_init(apps, &it);
	while ((app = yyjson_arr_iter_next(&it)))
		add_row(t, &l, app);
	table_sort(t, 0);
	table_print(t);
	table_free(t);
	(void)fflush(stdout);
	yyjson_arr_iter_init(apps, &it);
	while ((app = yyjson_arr_iter_next(&it)))
		tell_reason(l.queue, json_str(app, "id", ""));
	return 0;
}

static int cmd_list(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	yyjson_arr_iter it;
	yyjson_val *app;
	int rc = client_get(c, MARATHON APPS, &a, e);
	if (rc != 0)
		return rc;
	yyjson_val *apps = json_at(answer_json(&a), "apps");
	if (c->flags.json) {
		print_json(apps);
		return 0;
	}
	if (!c->flags.quiet)
		return print_list(c, apps, e);
	yyjson_arr_iter_init(apps, &it);
	while ((app = yyjson_arr_iter_next(&it)))
		puts(json_str(app, "id", ""));
	return 0;
}

static const struct flag force_flags[] = { FLAG_FORCE, FLAG_END };
static const struct flag kill_flags[] = {
	{ "scale", FLAG_BOOL, FLAG_AT(scale), "false", 0, 0, NULL, "also lower the number of instances" },
	{ "host", FLAG_STRING, FLAG_AT(host), NULL, 0, 0, NULL, "only tasks on this host" },
	FLAG_END,
};
static const struct flag list_flags[] = { FLAG_JSON, FLAG_QUIET, FLAG_END };
static const struct flag show_flags[] = {
	{ "app-version", FLAG_STRING, FLAG_AT(app_version), NULL, 0, 0, NULL, "a version's timestamp, or how many back: -1" },
	FLAG_END,
};
static const struct flag version_flags[] = {
	{ "max-count", FLAG_INT, FLAG_AT(max_count), NULL, 1, 1000000, NULL, "at most so many, the newest" },
	FLAG_END,
};
const struct command app_commands[] = {
	/* words                       args                     min max  flags          fn                help */
	{ "marathon app add",          "[<file|url>]",          0,  1,   NULL,          cmd_add,          "Create an app of a file, a URL or stdin" },
	{ "marathon app kill",         "<app-id>",              1,  1,   kill_flags,    cmd_kill,         "Kill its tasks; they are replaced unless --scale" },
	{ "marathon app list",         "",                      0,  0,   list_flags,    cmd_list,         "Apps, and how many of their tasks run" },
	{ "marathon app remove",       "<app-id>",              1,  1,   force_flags,   cmd_remove,       "Destroy an app and its tasks" },
	{ "marathon app restart",      "<app-id>",              1,  1,   force_flags,   cmd_restart,      "Replace its tasks one after the other" },
	{ "marathon app show",         "<app-id>",              1,  1,   show_flags,    cmd_show,         "An app as JSON" },
	{ "marathon app start",        "<app-id> [<instances>]", 1, 2,   force_flags,   cmd_start,        "Start a stopped app" },
	{ "marathon app stop",         "<app-id>",              1,  1,   force_flags,   cmd_stop,         "Scale it to 0" },
	{ "marathon app update",       "<app-id> [<name=value>...]", 1, 256, force_flags, cmd_update,     "Change properties; without any reads JSON from stdin" },
	{ "marathon app version list", "<app-id>",              1,  1,   version_flags, cmd_version_list, "Versions, newest first" },
	CMD_END,
};
