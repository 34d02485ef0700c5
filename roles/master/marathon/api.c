/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes, what all handlers share, and the small resources: deployments, queue, info, leader, plugins, ping. */
#include <stdio.h>

#include "gen/version.h"
#include "net/base/time.h"
#include "roles/master/marathon/marathon_int.h"

#define ABDICATE_US (10 * SEC)

/* ---- shared ---- */

static const char *own_address(const struct marathon *ma, struct arena *a)
{
	return arena_printf(a, "%s:%u", ma->master->node.ip, ma->master->config.marathon_port);
}

struct marathon *api_begin(struct http_req *r)
{
	struct marathon *ma = r->arg;
	struct err e;
	if (!ma->leads || !ma->loaded) {
		(void)err_set(&e, E_NOTLEADER, "Could not determine the current leader");
		http_set_header(r, "Retry-After", "1");
		http_reply_err(r, &e);
		return NULL;
	}
	http_set_header(r, "X-Marathon-Leader", "http://%s", own_address(ma, &r->arena));
	http_set_header(r, "Cache-Control", "no-cache, no-store, must-revalidate");
	http_set_header(r, "Pragma", "no-cache");
	http_set_header(r, "Expires", "0");
	return ma;
}

static void reply_message(struct http_req *r, int status, const char *text)
{
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "message", text);
	jw_end(&w);
	http_reply_json(r, status, &out);
}

void api_app_missing(struct http_req *r, const char *id)
{
	reply_message(r, 404, arena_printf(&r->arena, "App '%s' does not exist", id));
}

void api_locked(struct http_req *r, const struct buf *deployments)
{
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "message", "App is locked by one or more deployments. Override with the option '?force=true'. "
	       "View details at '/v2/deployments/<DEPLOYMENT_ID>'.");
	jw_raw(&w, "deployments", buf_view(deployments));
	jw_end(&w);
	http_reply_json(r, 409, &out);
}

char *api_app_id(struct http_req *r, struct str rest) { return path_resolve(&r->arena, "/", arena_str(&r->arena, rest)); }

static void reply_bad_json(struct http_req *r, const char *message, const char *details)
{
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "message", message);
	jw_str(&w, "details", details);
	jw_end(&w);
	http_reply_json(r, 400, &out);
}

yyjson_mut_val *api_body(struct http_req *r, yyjson_mut_doc **out_doc)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	struct err e = { 0 };
	if (json_parse(r->body.p, r->body.len, &doc, &e) != 0) {
		reply_bad_json(r, "Invalid JSON", e.text);
		return NULL;
	}
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (!yyjson_is_obj(root) && !yyjson_is_arr(root)) {
		reply_bad_json(r, "Please specify data in JSON format", "an object or an array is expected");
		return NULL;
	}
	yyjson_mut_doc *m = yyjson_mut_doc_new(NULL);
	*out_doc = m;
	return yyjson_val_mut_copy(m, root);
}

void api_faults(struct http_req *r, const struct faults *f)
{
	struct buf out = BUF_INIT;
	faults_write(f, &out);
	http_reply_json(r, 422, &out);
}

void api_deployed(struct change *c, const struct err *e)
{
	struct http_req *r = c->req;
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	if (!r)
		return;
	if (e->code != 0) {
		http_reply_err(r, e);
		return;
	}
	jw_obj(&w, NULL);
	jw_str(&w, "version", c->version);
	jw_str(&w, "deploymentId", c->deployment_id);
	jw_end(&w);
	http_set_header(r, "Marathon-Deployment-Id", "%s", c->deployment_id);
	http_reply_json(r, c->created ? 201 : 200, &out);
}

/* The app whose dependencies would lead back to itself, were the change made; NULL: none. Looked for only when it has some. */
static const char *cycle(struct change *c)
{
	struct app_change *all = xcalloc(map_count(&c->ma->apps) + c->count + 1, sizeof(*all));
	struct map changed = { 0 };
	const char *found = NULL;
	size_t n = 0, dependencies = 0;
	for (size_t i = 0; i < c->count; i++) {
		dependencies += c->rows[i].after ? c->rows[i].after->dependency_count : 0;
		all[n++] = (struct app_change){ .id = c->rows[i].id, .after = c->rows[i].after };
		(void)map_put_c(&changed, c->rows[i].id, c);
	}
	map_each(&c->ma->apps, entry) {
		const struct app *app = entry->value;
		if (dependencies > 0 && app->spec && !map_find_c(&changed, app->id))
			all[n++] = (struct app_change){ .id = app->id, .after = app->spec };
	}
	if (dependencies > 0)
		found = plan_cycle(all, n);
	map_fini(&changed);
	free(all);
	return found;
}

void api_change(struct change *c, bool force, void (*done)(struct change *c, const struct err *e))
{
	struct http_req *r = c->req;
	struct marathon *ma = c->ma;
	AUTO_BUF struct buf deployments = BUF_INIT;
	if (change_must_wait(c)) {
		change_free(c);
		request_park(ma, r);
	} else if (!force && change_conflicts(c, &deployments)) {
		change_free(c);
		api_locked(r, &deployments);
	} else if (cycle(c)) {
		struct faults f = { .arena = &r->arena };
		change_free(c);
		fault_add(&f, "/", "Dependency graph has cyclic dependencies.");
		api_faults(r, &f);
	} else {
		change_start(c, done);
	}
}

/* ---- deployments ---- */

static void deployments_list(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	if (!ma)
		return;
	jw_arr(&w, NULL);
	list_each(&ma->deployments, it)
		out_deployment(&w, NULL, ma, list_entry(it, struct deployment, link));
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

/* Put every app of the deployment back to what it was. */
static int add_originals(struct change *c, const struct deployment *d, struct err *e)
{
	for (size_t i = 0; i < d->original_count; i++) {
		const struct original *o = &d->originals[i];
		struct spec *s = NULL;
		if (!o->version) {
			change_remove(c, o->id);
			continue;
		}
		if (records_version(c->ma, o->id, o->version, &s, e) != 0)
			return err_wrap(e, "version %s of app '%s'", o->version, o->id);
		const struct app *app = app_find(c->ma, o->id);
		bool config = !app || !app->spec || strcmp(app->spec->last_config_change_at, s->last_config_change_at) != 0;
		change_put(c, api_spec_again(c->ma, s, s->instances, config));
		spec_free(s);
	}
	return 0;
}

static void reply_cancelled(struct change *c, const struct err *e)
{
	if (c->req && e->code != 0)
		http_reply_err(c->req, e);
	else if (c->req)
		http_reply(c->req, 202, "application/json", str_n("", 0));
}

static void deployment_delete(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct err e = { 0 };
	if (!ma)
		return;
	const char *id = arena_str(&r->arena, r->params[0]);
	struct deployment *d = deployment_find(ma, id);
	if (!d || d->ending) {
		reply_message(r, 404, arena_printf(&r->arena, "DeploymentPlan %s does not exist", id));
		return;
	}
	if (http_query_bool(r, "force", false)) {
		change_cancel_deployment(ma, d, r, reply_cancelled);
		return;
	}
	struct change *c = change_new(ma, r);
	if (add_originals(c, d, &e) != 0) {
		change_free(c);
		http_reply_err(r, &e);
		return;
	}
	api_change(c, true, api_deployed);
}

/* ---- queue ---- */

static void queue_list(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	if (!ma)
		return;
	out_queue(&w, ma, str_eq(http_query(r, "embed"), STR("lastUnusedOffers")));
	http_reply_json(r, 200, &out);
}

/* DELETE /v2/queue/{id}/delay */
static void queue_delay(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	if (!ma)
		return;
	const char *id = api_app_id(r, r->params[0]);
	struct app *app = app_find(ma, id);
	if (!app || app->to_launch == 0) {
		reply_message(r, 404, arena_printf(&r->arena, "Application %s not found in tasks queue.", id));
		return;
	}
	app_delay_reset(app);
	http_reply(r, 204, "application/json", str_n("", 0));
}

/* ---- info ---- */

static void info_config(struct jw *w, const struct marathon *ma, struct arena *a)
{
	jw_obj(w, "marathon_config");
	jw_bool(w, "checkpoint", true);
	jw_int(w, "decline_offer_duration", 300000);
	jw_str(w, "executor", "//cmd");
	jw_int(w, "failover_timeout", 604800);
	jw_arr(w, "features");
	jw_str(w, NULL, "vips");
	jw_str(w, NULL, "task_killing");
	jw_end(w);
	jw_str(w, "framework_name", "marathon");
	jw_bool(w, "ha", true);
	jw_str(w, "hostname", ma->master->node.ip);
	jw_int(w, "local_port_min", SERVICE_PORT_MIN);
	jw_int(w, "local_port_max", SERVICE_PORT_MAX);
	jw_str(w, "master", arena_printf(a, "http://%s:%u", ma->master->node.ip, ma->master->config.mesos_port));
	jw_int(w, "max_instances_per_offer", 100);
	jw_str(w, "mesos_leader_ui_url", "/mesos");
	jw_str(w, "mesos_role", APP_ROLE);
	jw_str(w, "mesos_user", "root");
	jw_int(w, "reconciliation_initial_delay", 15000);
	jw_int(w, "reconciliation_interval", 600000);
	jw_str(w, "webui_url", arena_printf(a, "http://%s", own_address(ma, a)));
	jw_end(w);
}

static void info_get(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	if (!ma)
		return;
	jw_obj(&w, NULL);
	jw_str(&w, "name", "marathon");
	jw_str(&w, "version", "1.8.180");      /* the API's version: clients choose by it what they send */
	jw_str(&w, "buildref", "dcos-node " DCOS_NODE_VERSION);
	jw_bool(&w, "elected", true);
	jw_str(&w, "leader", own_address(ma, &r->arena));
	jw_str(&w, "frameworkId", ma->framework_id);
	info_config(&w, ma, &r->arena);
	jw_obj(&w, "zookeeper_config");
	jw_str(&w, "zk", arena_printf(&r->arena, "zk://%s:2181/marathon", ma->master->node.ip));
	jw_end(&w);
	jw_obj(&w, "http_config");
	jw_int(&w, "http_port", ma->master->config.marathon_port);
	jw_int(&w, "https_port", 8443);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void leader_get(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	if (!ma)
		return;
	jw_obj(&w, NULL);
	jw_str(&w, "leader", own_address(ma, &r->arena));
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

struct abdication {
	struct propose p;
	struct http_req *req;     /* NULL: the client left */
};

static void on_abdicated(struct propose *p, struct str reply, const struct err *e)
{
	struct abdication *a = container_of(p, struct abdication, p);
	(void)reply;
	if (a->req) {
		a->req->gone = NULL;
		if (e->code != 0)
			http_reply_err(a->req, e);
		else
			reply_message(a->req, 200, "Leadership abdicated");
	}
	free(a);
}

static void abdication_gone(struct http_req *r) { ((struct abdication *)r->user)->req = NULL; }

/* DELETE /v2/leader: hand the lead to the master that is best up to date. */
static void leader_delete(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	if (!ma)
		return;
	struct abdication *a = xcalloc(1, sizeof(*a));
	a->req = r;
	r->user = a;
	r->gone = abdication_gone;
	store_transfer(ma->store, 0, ABDICATE_US, &a->p, on_abdicated);
}

static void plugins_list(struct http_req *r)
{
	if (api_begin(r))
		http_reply(r, 200, "application/json", STR("{\"plugins\":[]}"));
}

static void ping(struct http_req *r) { http_reply(r, 200, "text/plain", STR("pong")); }

static void metrics_get(struct http_req *r)
{
	struct marathon *ma = r->arg;
	struct buf out = BUF_INIT;
	metrics_json(&ma->master->node.metrics, &out);
	http_reply_json(r, 200, &out);
}

static void help(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	for (const struct route *row = marathon_routes; row->path; row++) {
		for (unsigned m = GET; m <= PATCH; m <<= 1)
			if (row->methods & m)
				buf_printf(&out, "%s ", http_method_name((enum http_method)m));
		buf_printf(&out, "%s\n    %s\n", row->path, row->help);
	}
	http_reply(r, 200, "text/plain", buf_view(&out));
}

#define BODY_MAX (4 * MIB)      /* a group of many apps */

const struct route marathon_routes[] = {
	/* method      path                                 handler               permission         body max  help */
	{ GET,         "/v2/apps",                          api_apps_list,        "marathon:read",   0,        "List apps. ?id= ?cmd= ?label= ?embed=" },
	{ POST,        "/v2/apps",                          api_apps_create,      "marathon:create", BODY_MAX, "Create an app; 409 if the id is taken. ?force=" },
	{ PUT | PATCH, "/v2/apps",                          api_apps_put,         "marathon:update", BODY_MAX, "Create or change several apps in one deployment. ?force=" },
	{ GET,         "/v2/apps/{*id}/tasks",              api_app_tasks,        "marathon:read",   0,        "Tasks of an app, or with /* of a group" },
	{ DELETE,      "/v2/apps/{*id}/tasks",              api_app_tasks_delete, "marathon:update", 0,        "Kill tasks; they are replaced. ?host= ?scale= ?force=" },
	{ DELETE,      "/v2/apps/{*id}/tasks/{task}",       api_app_task_delete,  "marathon:update", 0,        "Kill one task; it is replaced. ?scale= ?force=" },
	{ GET,         "/v2/apps/{*id}/versions",           api_app_versions,     "marathon:read",   0,        "Versions of an app, newest first" },
	{ GET,         "/v2/apps/{*id}/versions/{version}", api_app_version,      "marathon:read",   0,        "An app as it was" },
	{ POST,        "/v2/apps/{*id}/restart",            api_app_restart,      "marathon:update", BODY_MAX, "Replace all instances. ?force=" },
	{ GET,         "/v2/apps/{*id}",                    api_app_get,          "marathon:read",   0,        "An app. ?embed=" },
	{ PUT | PATCH, "/v2/apps/{*id}",                    api_app_put,          "marathon:update", BODY_MAX, "Create or change an app. ?force= ?partialUpdate=" },
	{ DELETE,      "/v2/apps/{*id}",                    api_app_delete,       "marathon:delete", 0,        "Destroy an app. ?force=" },
	{ GET,         "/v2/tasks",                         api_tasks_list,       "marathon:read",   0,        "List tasks; as text with Accept: text/plain. ?status=" },
	{ POST,        "/v2/tasks/delete",                  api_tasks_delete,     "marathon:update", BODY_MAX, "Kill the tasks {\"ids\":[…]}. ?scale= ?force=" },
	{ GET,         "/v2/groups",                        api_group_get,        "marathon:read",   0,        "All apps as a tree of groups. ?embed=" },
	{ PUT | POST,  "/v2/groups",                        api_group_put,        "marathon:update", BODY_MAX, "Create or replace a group in one deployment. ?force= ?dryRun=" },
	{ DELETE,      "/v2/groups",                        api_group_delete,     "marathon:delete", 0,        "Destroy all apps. ?force=" },
	{ GET,         "/v2/groups/{*id}/apps",             api_group_apps,       "marathon:read",   0,        "Apps of a group and of those in it" },
	{ GET,         "/v2/groups/{*id}",                  api_group_get,        "marathon:read",   0,        "A group. ?embed=" },
	{ PUT | POST,  "/v2/groups/{*id}",                  api_group_put,        "marathon:update", BODY_MAX, "Create or replace a group, or {\"scaleBy\":…}" },
	{ DELETE,      "/v2/groups/{*id}",                  api_group_delete,     "marathon:delete", 0,        "Destroy a group with its apps. ?force=" },
	{ GET,         "/v2/deployments",                   deployments_list,     "marathon:read",   0,        "What is being carried out" },
	{ DELETE,      "/v2/deployments/{id}",              deployment_delete,    "marathon:update", 0,        "Roll back; ?force=true: only stop" },
	{ GET,         "/v2/queue",                         queue_list,           "marathon:read",   0,        "Apps that wait for offers, and why. ?embed=lastUnusedOffers" },
	{ DELETE,      "/v2/queue/{*id}/delay",             queue_delay,          "marathon:update", 0,        "Launch again at once" },
	{ GET,         "/v2/info",                          info_get,             "marathon:read",   0,        "Version and configuration" },
	{ GET,         "/v2/leader",                        leader_get,           "marathon:read",   0,        "Address of the leading master's Marathon" },
	{ DELETE,      "/v2/leader",                        leader_delete,        "marathon:update", 0,        "Hand the lead to another master" },
	{ GET,         "/v2/plugins",                       plugins_list,         "marathon:read",   0,        "There are none" },
	{ GET,         "/v2/events",                        events_subscribe,     "marathon:read",   0,        "Server-sent events. ?event_type=" },
	{ GET,         "/ping",                             ping,                 NULL,              0,        "pong" },
	{ GET,         "/metrics",                          metrics_get,          "marathon:read",   0,        "Metrics as JSON" },
	{ GET,         "/help",                             help,                 NULL,              0,        "This list" },
	ROUTE_END,
};
