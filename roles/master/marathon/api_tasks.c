/* SPDX-License-Identifier: Apache-2.0 */
/* /v2/tasks and the tasks below an app: listing, killing with and without scaling down. */
#include "roles/master/marathon/marathon_int.h"

/* ---- listing ---- */

static bool wanted_status(struct http_req *r, const struct instance *i)
{
	struct str word;
	bool any = false, running = i->state == mesos_v1_TaskState_TASK_RUNNING, staging = i->started_us == 0;
	static const char *const names[] = { "status", "status[]" };
	for (size_t k = 0; k < ARRAY_LEN(names); k++) {
		for (size_t n = 0; (word = http_query_n(r, names[k], n)).p; n++) {
			any = true;
			if ((str_eq_c(word, "running") && running) || (str_eq_c(word, "staging") && staging))
				return true;
		}
	}
	return !any;
}

static void list_json(struct http_req *r, struct app **apps, size_t count)
{
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_arr(&w, "tasks");
	for (size_t a = 0; a < count; a++)
		for (size_t k = 0; k < apps[a]->instance_count; k++)
			if (wanted_status(r, apps[a]->instances[k]))
				out_task(&w, NULL, apps[a]->instances[k]);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

/* One line an app and service port: id, port and the addresses of its running tasks, each followed by a tab. */
static void text_lines(struct buf *out, struct arena *a, const struct app *app)
{
	for (size_t p = 0; p < MAX(app->spec->port_count, (size_t)1); p++) {
		bool port = p < app->spec->port_count;
		buf_printf(out, port ? "%s\t%u\t" : "%s\t \t", path_safe(a, app->id), port ? app->spec->ports[p] : 0);
		for (size_t k = 0; k < app->instance_count; k++) {
			const struct instance *i = app->instances[k];
			if (!instance_ready(i))
				continue;
			if (port && p < i->port_count)
				buf_printf(out, "%s:%u\t", i->host, i->ports[p]);
			else
				buf_printf(out, "%s\t", i->host);
		}
		buf_putc(out, '\n');
	}
}

static void list_text(struct http_req *r, struct app **apps, size_t count)
{
	AUTO_BUF struct buf out = BUF_INIT;
	for (size_t a = 0; a < count; a++)
		text_lines(&out, &r->arena, apps[a]);
	http_reply(r, 200, "text/plain", buf_view(&out));
}

void api_tasks_list(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	size_t count;
	if (!ma)
		return;
	struct app **apps = api_apps_within(ma, &r->arena, "/", &count);
	if (http_accepts(r, "application/json"))
		list_json(r, apps, count);
	else
		list_text(r, apps, count);
}

void api_app_tasks(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct str path = r->params[0];
	size_t count;
	if (!ma)
		return;
	if (str_eq(path, STR("*")) || str_ends(path, STR("/*"))) {
		struct app **apps = api_apps_within(ma, &r->arena, api_app_id(r, str_head(path, path.len - 1)), &count);
		list_json(r, apps, count);
		return;
	}
	struct app *app = app_find(ma, api_app_id(r, path));
	if (app && app->spec)
		list_json(r, &app, 1);
	else
		api_app_missing(r, api_app_id(r, path));
}

/* ---- killing ---- */

struct victims {
	struct instance **list;      /* in the request's arena */
	size_t count;
	bool single;                 /* answer {"task":…} instead of {"tasks":[…]} */
};

static void reply_killed(struct http_req *r, const struct victims *v)
{
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	for (size_t i = 0; i < v->count; i++)
		session_kill(v->list[i]);
	jw_obj(&w, NULL);
	if (v->single) {
		out_task(&w, "task", v->list[0]);
	} else {
		jw_arr(&w, "tasks");
		for (size_t i = 0; i < v->count; i++)
			out_task(&w, NULL, v->list[i]);
		jw_end(&w);
	}
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static int64_t victims_of(const struct victims *v, const struct app *app)
{
	int64_t n = 0;
	for (size_t i = 0; i < v->count; i++)
		n += v->list[i]->app == app && !v->list[i]->killing;
	return n;
}

static bool seen_before(const struct victims *v, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (v->list[i]->app == v->list[at]->app)
			return true;
	return false;
}

/* Fewer instances, and those killed are the ones named. */
static void scale_down(struct http_req *r, const struct victims *v)
{
	struct marathon *ma = r->arg;
	struct change *c = change_new(ma, r);
	for (size_t i = 0; i < v->count; i++) {
		const struct app *app = v->list[i]->app;
		change_kill(c, v->list[i]->task_id);
		if (app->spec && !seen_before(v, i))
			change_put(c, api_spec_again(ma, app->spec, MAX(app->spec->instances - victims_of(v, app), (int64_t)0), false));
	}
	api_change(c, http_query_bool(r, "force", false), api_deployed);
}

static void kill_victims(struct http_req *r, const struct victims *v)
{
	bool scale = http_query_bool(r, "scale", false);
	if (scale && http_query_bool(r, "wipe", false)) {
		struct err e;
		(void)err_set(&e, E_MALFORMED, "You cannot use scale and wipe at the same time.");
		http_reply_err(r, &e);
	} else if (scale && v->count > 0) {
		scale_down(r, v);
	} else {
		reply_killed(r, v);
	}
}

void api_app_tasks_delete(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	if (!ma)
		return;
	const char *id = api_app_id(r, r->params[0]);
	struct app *app = app_find(ma, id);
	struct str host = http_query(r, "host");
	struct victims v = { 0 };
	if (!app || !app->spec) {
		api_app_missing(r, id);
		return;
	}
	v.list = arena_array(&r->arena, struct instance *, app->instance_count + 1);
	for (size_t i = 0; i < app->instance_count; i++)
		if (!host.p || str_eq(host, STR("*")) || str_eq_c(host, app->instances[i]->host))
			v.list[v.count++] = app->instances[i];
	kill_victims(r, &v);
}

void api_app_task_delete(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	if (!ma)
		return;
	const char *id = api_app_id(r, r->params[0]);
	struct app *app = app_find(ma, id);
	if (!app || !app->spec) {
		api_app_missing(r, id);
		return;
	}
	struct instance *i = map_find(&ma->instances, r->params[1]);
	if (!i || i->app != app) {
		struct err e;
		(void)err_set(&e, E_NOTFOUND, "Task '" STR_FMT "' does not exist", STR_ARG(r->params[1]));
		http_reply_err(r, &e);
		return;
	}
	kill_victims(r, &(struct victims){ .list = &i, .count = 1, .single = true });
}

/* Task ids are <safe path>.<uuid> in all forms Marathon ever had. */
static bool id_plausible(const char *id)
{
	const char *dot = id ? strrchr(id, '.') : NULL;
	return dot && dot != id && dot[1];
}

void api_tasks_delete(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	yyjson_mut_doc *doc = NULL;
	yyjson_mut_val *body = ma ? api_body(r, &doc) : NULL, *ids = yyjson_mut_obj_get(body, "ids"), *element;
	struct victims v = { 0 };
	struct err e = { 0 };
	size_t k, n;
	if (!body)
		return;
	if (!yyjson_mut_is_arr(ids))
		(void)err_set(&e, E_MALFORMED, "a list of task ids is expected: {\"ids\":[\"app.uuid\"]}");
	v.list = arena_array(&r->arena, struct instance *, yyjson_mut_arr_size(ids) + 1);
	yyjson_mut_arr_foreach(ids, k, n, element) {
		const char *id = yyjson_mut_get_str(element);
		struct instance *i = id ? map_find_c(&ma->instances, id) : NULL;
		if (!id_plausible(id))
			(void)err_set(&e, E_MALFORMED, "Invalid task id '%s'. Expected <app>.<uuid>", id ? id : "");
		if (i)
			v.list[v.count++] = i;
	}
	yyjson_mut_doc_free(doc);
	if (e.code != 0)
		http_reply_err(r, &e);
	else
		kill_victims(r, &v);
}
