/* SPDX-License-Identifier: Apache-2.0 */
/* /v2/apps. */
#include <strings.h>

#include "roles/master/marathon/labels.h"
#include "roles/master/marathon/marathon_int.h"

/* ---- reading ---- */

unsigned api_embed(struct http_req *r, unsigned embed)
{
	static const struct { const char *word; unsigned bits; } words[] = {
		{ "tasks", EMBED_TASKS | EMBED_DEPLOYMENTS }, { "counts", EMBED_COUNTS }, { "deployments", EMBED_DEPLOYMENTS },
		{ "lastTaskFailure", EMBED_FAILURE }, { "failures", EMBED_TASKS | EMBED_FAILURE | EMBED_DEPLOYMENTS },
		{ "taskStats", EMBED_STATS },
	};
	struct str word;
	for (size_t i = 0; (word = http_query_n(r, "embed", i)).p; i++) {
		ssize_t dot = str_rfind(word, '.');
		if (dot >= 0)
			word = str_from(word, (size_t)dot + 1);
		for (size_t k = 0; k < ARRAY_LEN(words); k++)
			if (str_eq_c(word, words[k].word))
				embed |= words[k].bits;
	}
	return embed;
}

/* Case-insensitive; an absent wish is met. */
static bool contains(const char *text, struct str part)
{
	size_t n = strlen(text);
	for (size_t i = 0; part.p && i + part.len <= n; i++)
		if (strncasecmp(text + i, part.p, part.len) == 0)
			return true;
	return !part.p;
}

static bool has_command(const struct spec *s, struct str part)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	if (!part.p)
		return true;
	return json_parse(s->json, strlen(s->json), &doc, NULL) == 0 && contains(json_str(yyjson_doc_get_root(doc), "cmd", ""), part);
}

static int compare_ids(const void *a, const void *b)
{
	return path_compare((*(struct app *const *)a)->id, (*(struct app *const *)b)->id);
}

struct app **api_apps_within(struct marathon *ma, struct arena *a, const char *group, size_t *out_count)
{
	struct app **out = arena_array(a, struct app *, map_count(&ma->apps) + 1);
	size_t n = 0;
	map_each(&ma->apps, entry) {
		struct app *app = entry->value;
		if (app->spec && path_within(app->id, group))
			out[n++] = app;
	}
	qsort(out, n, sizeof(struct app *), compare_ids);
	*out_count = n;
	return out;
}

void api_apps_list(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct err e = { 0 };
	if (!ma)
		return;
	struct label_selector *sel = NULL;
	struct str label = http_query(r, "label"), id = http_query(r, "id"), cmd = http_query(r, "cmd");
	if (label.p && label_selector_parse(&r->arena, label, &sel, &e) != 0) {
		http_reply_err(r, &e);
		return;
	}
	unsigned embed = api_embed(r, EMBED_COUNTS | EMBED_DEPLOYMENTS);
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	size_t count;
	struct app **apps = api_apps_within(ma, &r->arena, "/", &count);
	jw_obj(&w, NULL);
	jw_arr(&w, "apps");
	for (size_t i = 0; i < count; i++)
		if (contains(apps[i]->id, id) && has_command(apps[i]->spec, cmd) && (!sel || label_selector_matches(sel, apps[i]->spec->json)))
			out_app(&w, NULL, apps[i], embed);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

/* The app of the path, or NULL: answered 404. */
static struct app *app_of_path(struct http_req *r)
{
	struct marathon *ma = r->arg;
	const char *id = api_app_id(r, r->params[0]);
	struct app *app = app_find(ma, id);
	if (app && app->spec)
		return app;
	api_app_missing(r, id);
	return NULL;
}

/* GET of a group's id with a star behind it: {"*":[apps of the group]} */
static void get_group(struct http_req *r, struct str path)
{
	struct marathon *ma = r->arg;
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	size_t count;
	struct app **apps = api_apps_within(ma, &r->arena, api_app_id(r, path), &count);
	jw_obj(&w, NULL);
	jw_arr(&w, "*");
	for (size_t i = 0; i < count; i++)
		out_app(&w, NULL, apps[i], api_embed(r, EMBED_COUNTS | EMBED_DEPLOYMENTS));
	jw_end(&w);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

void api_app_get(struct http_req *r)
{
	struct str path = r->params[0];
	if (!api_begin(r))
		return;
	if (str_eq(path, STR("*")) || str_ends(path, STR("/*"))) {
		get_group(r, str_head(path, path.len - 1));
		return;
	}
	struct app *app = app_of_path(r);
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	if (!app)
		return;
	jw_obj(&w, NULL);
	out_app(&w, "app", app, api_embed(r, EMBED_COUNTS | EMBED_TASKS | EMBED_FAILURE | EMBED_DEPLOYMENTS | EMBED_WAITING));
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

void api_app_versions(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct app *app = ma ? app_of_path(r) : NULL;
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	struct err e = { 0 };
	char **versions;
	size_t count;
	if (!app)
		return;
	if (records_versions(ma, &r->arena, app->id, &versions, &count, &e) != 0) {
		http_reply_err(r, &e);
		return;
	}
	jw_obj(&w, NULL);
	jw_arr(&w, "versions");
	for (size_t i = 0; i < count; i++)
		jw_str(&w, NULL, versions[i]);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void version_missing(struct http_req *r, const char *id, const char *version)
{
	struct err e;
	(void)err_set(&e, E_NOTFOUND, "App '%s' does not exist in version %s", id, version);
	http_reply_err(r, &e);
}

void api_app_version(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct app *app = ma ? app_of_path(r) : NULL;
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	struct spec *s = NULL;
	if (!app)
		return;
	const char *version = arena_str(&r->arena, r->params[1]);
	if (records_version(ma, app->id, version, &s, NULL) != 0) {
		version_missing(r, app->id, version);
		return;
	}
	out_spec(&w, NULL, s);
	spec_free(s);
	http_reply_json(r, 200, &out);
}

/* ---- creating ---- */

static void reply_created(struct change *c, const struct err *e)
{
	struct http_req *r = c->req;
	struct app *app = app_find(c->ma, c->rows[0].id);
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	if (e->code == 0 && r && app)
		event_api_post(c->ma, r, app);
	if (!r)
		return;
	if (e->code != 0 || !app || !app->spec) {
		http_reply_err(r, e);
		return;
	}
	out_app(&w, NULL, app, EMBED_COUNTS | EMBED_DEPLOYMENTS | EMBED_TASKS);
	http_set_header(r, "Location", "%s", app->id);
	http_set_header(r, "Marathon-Deployment-Id", "%s", c->deployment_id);
	http_reply_json(r, 201, &out);
}

static void reply_put(struct change *c, const struct err *e)
{
	struct app *app = app_find(c->ma, c->rows[0].id);
	if (e->code == 0 && c->req && app)
		event_api_post(c->ma, c->req, app);
	api_deployed(c, e);
}

/* PUT of an app that did not exist. */
static void reply_put_created(struct change *c, const struct err *e)
{
	if (e->code == 0 && c->req)
		http_set_header(c->req, "Location", "%s", c->rows[0].id);
	c->created = true;
	reply_put(c, e);
}

static void app_exists(struct http_req *r, const char *id)
{
	struct err e;
	(void)err_set(&e, E_CONFLICT, "An app with id [%s] already exists.", id);
	http_reply_err(r, &e);
}

void api_apps_create(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	yyjson_mut_doc *doc = NULL;
	yyjson_mut_val *body = ma ? api_body(r, &doc) : NULL;
	struct spec *s = body ? api_spec(r, doc, body, "/", NULL, true) : NULL;
	struct app *app = s ? app_find(ma, s->id) : NULL;
	yyjson_mut_doc_free(doc);
	if (!s)
		return;
	if (app && app->spec) {
		app_exists(r, s->id);
		spec_free(s);
		return;
	}
	struct change *c = change_new(ma, r);
	change_put(c, s);
	api_change(c, http_query_bool(r, "force", false), reply_created);
}

/* ---- changing ---- */

/* Nothing differs: Marathon makes a deployment without steps, which ends at once. */
static void reply_unchanged(struct http_req *r, const struct spec *s)
{
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	char id[37];
	rnd_uuid4(id);
	jw_obj(&w, NULL);
	jw_str(&w, "version", s->version);
	jw_str(&w, "deploymentId", id);
	jw_end(&w);
	http_set_header(r, "Marathon-Deployment-Id", "%s", id);
	http_reply_json(r, 200, &out);
}

/* {"version": …} asks for an older version. 1: it is that, *out is the spec. 0: it is not. -1: answered. */
static int older_version(struct http_req *r, yyjson_mut_val *body, const struct spec *before, struct spec **out)
{
	struct marathon *ma = r->arg;
	const char *version = yyjson_mut_get_str(yyjson_mut_obj_get(body, "version"));
	size_t members = yyjson_mut_obj_size(body), other = yyjson_mut_obj_get(body, "id") ? 2 : 1;
	struct faults f = { .arena = &r->arena };
	struct spec *old = NULL;
	if (!version || !before)
		return 0;
	if (members > other) {
		/* What GET answers may be sent back: its version is no wish then. */
		if (yyjson_mut_obj_get(body, "versionInfo"))
			return 0;
		fault_add(&f, "/", "The 'version' field may only be combined with the 'id' field.");
		api_faults(r, &f);
		return -1;
	}
	if (records_version(ma, before->id, version, &old, NULL) != 0) {
		version_missing(r, before->id, version);
		return -1;
	}
	*out = api_spec_again(ma, old, old->instances, strcmp(old->last_config_change_at, before->last_config_change_at) != 0);
	spec_free(old);
	return 1;
}

/* The spec that a PUT's element asks for. NULL: answered. */
static struct spec *updated(struct http_req *r, yyjson_mut_doc *doc, yyjson_mut_val *in, const char *id)
{
	struct marathon *ma = r->arg;
	struct app *app = app_find(ma, id);
	const struct spec *before = app ? app->spec : NULL;
	struct spec *s = NULL;
	if (!before && r->method == PATCH) {
		api_app_missing(r, id);
		return NULL;
	}
	int older = older_version(r, in, before, &s);
	if (older != 0)
		return s;
	yyjson_mut_obj_put(in, yyjson_mut_str(doc, "id"), yyjson_mut_strcpy(doc, id));
	return api_spec(r, doc, in, "/", before, r->method == PUT && !http_query_bool(r, "partialUpdate", true));
}

void api_app_put(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	yyjson_mut_doc *doc = NULL;
	yyjson_mut_val *body = ma ? api_body(r, &doc) : NULL;
	const char *id = body ? api_app_id(r, r->params[0]) : NULL;
	struct app *app = id ? app_find(ma, id) : NULL;
	bool created = !app || !app->spec;
	struct spec *s = body ? updated(r, doc, body, id) : NULL;
	yyjson_mut_doc_free(doc);
	if (!s)
		return;
	if (!created && strcmp(s->version, app->spec->version) == 0) {
		reply_unchanged(r, s);
		spec_free(s);
		return;
	}
	struct change *c = change_new(ma, r);
	change_put(c, s);
	api_change(c, http_query_bool(r, "force", false), created ? reply_put_created : reply_put);
}

/* Each element of the array into the change. False: answered. */
static bool put_elements(struct http_req *r, yyjson_mut_doc *doc, yyjson_mut_val *list, struct change *c)
{
	struct marathon *ma = r->arg;
	yyjson_mut_val *element;
	size_t i, n;
	yyjson_mut_arr_foreach(list, i, n, element) {
		const char *id = yyjson_mut_get_str(yyjson_mut_obj_get(element, "id"));
		struct faults f = { .arena = &r->arena };
		if (!id) {
			fault_add(&f, arena_printf(&r->arena, "(%zu)", i), "App Update must have app id set");
			api_faults(r, &f);
			return false;
		}
		struct spec *s = updated(r, doc, element, path_resolve(&r->arena, "/", id));
		const struct app *app = s ? app_find(ma, s->id) : NULL;
		if (!s)
			return false;
		if (app && app->spec && strcmp(app->spec->version, s->version) == 0)
			spec_free(s);
		else
			change_put(c, s);
	}
	return true;
}

void api_apps_put(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	yyjson_mut_doc *doc = NULL;
	yyjson_mut_val *body = ma ? api_body(r, &doc) : NULL;
	if (!body)
		return;
	if (!yyjson_mut_is_arr(body)) {
		struct err e;
		(void)err_set(&e, E_MALFORMED, "an array of apps is expected; a single app is PUT to /v2/apps/{id}");
		yyjson_mut_doc_free(doc);
		http_reply_err(r, &e);
		return;
	}
	struct change *c = change_new(ma, r);
	bool ok = put_elements(r, doc, body, c);
	yyjson_mut_doc_free(doc);
	if (ok)
		api_change(c, http_query_bool(r, "force", false), api_deployed);
	else
		change_free(c);
}

void api_app_restart(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct app *app = ma ? app_of_path(r) : NULL;
	if (!app)
		return;
	struct change *c = change_new(ma, r);
	change_put(c, api_spec_again(ma, app->spec, app->spec->instances, true));
	api_change(c, http_query_bool(r, "force", false), api_deployed);
}

void api_app_delete(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct app *app = ma ? app_of_path(r) : NULL;
	if (!app)
		return;
	struct change *c = change_new(ma, r);
	change_remove(c, app->id);
	api_change(c, http_query_bool(r, "force", true), api_deployed);
}
