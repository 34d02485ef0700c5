/* SPDX-License-Identifier: Apache-2.0 */
/* /v2/groups: a group is the prefix of its apps' ids; it exists as long as it has some. One request is one deployment. */
#include <math.h>

#include "net/base/time.h"
#include "roles/master/marathon/marathon_int.h"

#define GROUP_DEPTH_MAX 32

/* ---- reading ---- */

struct tree {
	struct arena *arena;
	struct jw *w;
	unsigned embed;
	const char *version;
};

static void group_begin(struct tree *t, const char *id)
{
	jw_obj(t->w, NULL);
	jw_str(t->w, "id", id);
	jw_str(t->w, "version", t->version);
	jw_arr(t->w, "dependencies");
	jw_end(t->w);
	jw_arr(t->w, "pods");
	jw_end(t->w);
}

/* The group one level below `group` that leads to `id`; NULL: the app is right in the group. */
static char *next_group(struct arena *a, const char *group, const char *id)
{
	size_t from = strcmp(group, "/") == 0 ? 1 : strlen(group) + 1;
	const char *slash = strchr(id + from, '/');
	return slash ? arena_str(a, str_n(id, (size_t)(slash - id))) : NULL;
}

/* apps: those below the group, in the order of path_compare. */
static void write_group(struct tree *t, const char *group, struct app **apps, size_t count)
{
	group_begin(t, group);
	jw_arr(t->w, "apps");
	for (size_t i = 0; i < count; i++)
		if (!next_group(t->arena, group, apps[i]->id))
			out_app(t->w, NULL, apps[i], t->embed);
	jw_end(t->w);
	jw_arr(t->w, "groups");
	for (size_t i = 0, n; i < count; i += n) {
		char *sub = next_group(t->arena, group, apps[i]->id);
		n = 1;
		if (!sub)
			continue;
		while (i + n < count && path_within(apps[i + n]->id, sub))
			n++;
		write_group(t, sub, apps + i, n);
	}
	jw_end(t->w);
	jw_end(t->w);
}

static void group_missing(struct http_req *r, const char *id)
{
	struct err e;
	(void)err_set(&e, E_NOTFOUND, "Group '%s' does not exist", id);
	http_reply_err(r, &e);
}

/* Latest version among the apps: what the tree last changed. */
static const char *tree_version(struct http_req *r, struct app **apps, size_t count)
{
	const char *latest = NULL;
	for (size_t i = 0; i < count; i++)
		if (!latest || strcmp(apps[i]->spec->version, latest) > 0)
			latest = apps[i]->spec->version;
	if (latest)
		return latest;
	struct marathon *ma = r->arg;
	char *now = arena_array(&r->arena, char, 32);
	time_iso(ma->master->elected_unix_us, now);
	return now;
}

void api_group_get(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	size_t count;
	if (!ma)
		return;
	const char *id = api_app_id(r, r->params[0]);
	struct app **apps = api_apps_within(ma, &r->arena, id, &count);
	struct app *same = app_find(ma, id);
	if ((count == 0 && strcmp(id, "/") != 0) || (same && same->spec)) {
		group_missing(r, id);
		return;
	}
	struct tree t = { .arena = &r->arena, .w = &w, .embed = api_embed(r, EMBED_COUNTS | EMBED_DEPLOYMENTS), .version = tree_version(r, apps, count) };
	write_group(&t, id, apps, count);
	http_reply_json(r, 200, &out);
}

void api_group_apps(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	size_t count;
	if (!ma)
		return;
	struct app **apps = api_apps_within(ma, &r->arena, api_app_id(r, r->params[0]), &count);
	jw_obj(&w, NULL);
	jw_arr(&w, "apps");
	for (size_t i = 0; i < count; i++)
		out_app(&w, NULL, apps[i], api_embed(r, EMBED_COUNTS | EMBED_DEPLOYMENTS));
	jw_end(&w);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

/* ---- writing ---- */

struct group_put {
	struct http_req *req;
	struct marathon *ma;
	yyjson_mut_doc *doc;
	struct change *change;
	struct map named;        /* ids of apps in the body; keys only */
	bool answered;           /* req is gone */
};

static void refuse(struct group_put *p, const char *path, const char *text)
{
	struct faults f = { .arena = &p->req->arena };
	if (p->answered)
		return;
	p->answered = true;
	fault_add(&f, path, "%s", text);
	api_faults(p->req, &f);
}

static void put_app(struct group_put *p, yyjson_mut_val *in, const char *group)
{
	struct arena *a = &p->req->arena;
	const char *given = yyjson_mut_get_str(yyjson_mut_obj_get(in, "id"));
	const char *id = given ? path_resolve(a, group, given) : "";
	struct app *app = app_find(p->ma, id);
	const struct spec *before = app ? app->spec : NULL;
	if (given && !path_within(id, group)) {
		refuse(p, "/id", arena_printf(a, "Identifier is not child of '%s'", group));
		return;
	}
	struct spec *s = api_spec(p->req, p->doc, in, group, before, true);
	if (!s) {
		p->answered = true;
		return;
	}
	if (map_put_c(&p->named, s->id, p)) {
		refuse(p, "/apps", arena_printf(a, "app '%s' is named twice", s->id));
		spec_free(s);
	} else if (before && strcmp(before->version, s->version) == 0) {
		spec_free(s);
	} else {
		change_put(p->change, s);
	}
}

/* What Marathon knows about groups and this version does not. */
static void refuse_group_members(struct group_put *p, yyjson_mut_val *body)
{
	if (yyjson_mut_arr_size(yyjson_mut_obj_get(body, "pods")) > 0)
		refuse(p, "/pods", "this version has no pods; leave them out");
	if (yyjson_mut_arr_size(yyjson_mut_obj_get(body, "dependencies")) > 0)
		refuse(p, "/dependencies", "this version knows dependencies between apps only; name them in the apps");
}

static void put_group(struct group_put *p, yyjson_mut_val *body, const char *group, int depth)
{
	yyjson_mut_val *apps = yyjson_mut_obj_get(body, "apps"), *groups = yyjson_mut_obj_get(body, "groups"), *element;
	size_t i, n;
	refuse_group_members(p, body);
	if (depth > GROUP_DEPTH_MAX)
		refuse(p, "/groups", "groups are nested too deeply");
	if ((apps && !yyjson_mut_is_arr(apps)) || (groups && !yyjson_mut_is_arr(groups)))
		refuse(p, "/", "apps and groups are lists");
	yyjson_mut_arr_foreach(apps, i, n, element)
		if (!p->answered)
			put_app(p, element, group);
	yyjson_mut_arr_foreach(groups, i, n, element) {
		const char *id = yyjson_mut_get_str(yyjson_mut_obj_get(element, "id"));
		if (!id)
			refuse(p, "/groups", "each group needs an id");
		if (!p->answered)
			put_group(p, element, path_resolve(&p->req->arena, group, id), depth + 1);
	}
}

static void scale_by(struct group_put *p, const char *group, double factor)
{
	size_t count;
	struct app **apps = api_apps_within(p->ma, &p->req->arena, group, &count);
	if (!(factor >= 0) || factor > 1e6) {
		refuse(p, "/scaleBy", "a factor from 0 on is expected");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		int64_t n = (int64_t)ceil((double)MIN(apps[i]->spec->instances, (int64_t)1000000000) * factor);
		if (n != apps[i]->spec->instances)
			change_put(p->change, api_spec_again(p->ma, apps[i]->spec, n, false));
	}
}

static void remove_unnamed(struct group_put *p, const char *group)
{
	size_t count;
	struct app **apps = api_apps_within(p->ma, &p->req->arena, group, &count);
	for (size_t i = 0; i < count; i++)
		if (!map_find_c(&p->named, apps[i]->id))
			change_remove(p->change, apps[i]->id);
}

static void reply_dry_run(struct group_put *p)
{
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	struct app_change *changes = arena_array(&p->req->arena, struct app_change, p->change->count + 1);
	struct action *actions = arena_array(&p->req->arena, struct action, 2 * p->change->count + 1);
	uint32_t steps;
	for (size_t i = 0; i < p->change->count; i++) {
		const struct app *app = app_find(p->ma, p->change->rows[i].id);
		changes[i] = (struct app_change){ p->change->rows[i].id, app ? app->spec : NULL, p->change->rows[i].after };
	}
	size_t n = plan_make(changes, p->change->count, actions, &steps);
	jw_obj(&w, NULL);
	jw_arr(&w, "steps");
	for (uint32_t s = 0; s < steps; s++)
		plan_write_step(&w, NULL, actions, n, s);
	jw_end(&w);
	jw_end(&w);
	change_free(p->change);
	http_reply_json(p->req, 200, &out);
}

/* POST creates: the group must not exist yet. */
static bool refuse_existing(struct http_req *r, const char *id)
{
	struct marathon *ma = r->arg;
	struct app *same = app_find(ma, id);
	size_t count;
	struct err e;
	(void)api_apps_within(ma, &r->arena, id, &count);
	if (same && same->spec)
		(void)err_set(&e, E_CONFLICT, "An app with the path %s already exists.", id);
	else if (count > 0 && r->method == POST && strcmp(id, "/") != 0)
		(void)err_set(&e, E_CONFLICT, "Group %s is already created. Use PUT to change this group.", id);
	else
		return false;
	http_reply_err(r, &e);
	return true;
}

static void read_body(struct group_put *p, yyjson_mut_val *body, const char *group)
{
	yyjson_mut_val *factor = yyjson_mut_obj_get(body, "scaleBy");
	if (!yyjson_mut_is_obj(body))
		refuse(p, "/", "error.expected.jsobject");
	else if (factor && yyjson_mut_obj_size(body) > 1)
		refuse(p, "/scaleBy", "not allowed in conjunction with other properties.");
	else if (factor)
		scale_by(p, group, yyjson_mut_get_num(factor));
	else if (yyjson_mut_obj_get(body, "version") && !yyjson_mut_obj_get(body, "apps") && !yyjson_mut_obj_get(body, "groups"))
		refuse(p, "/version", "this version keeps versions of apps, not of groups; put the apps back one by one");
	else
		put_group(p, body, group, 0);
	if (!p->answered && !factor && p->req->method == PUT)
		remove_unnamed(p, group);
}

void api_group_put(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	yyjson_mut_doc *doc = NULL;
	yyjson_mut_val *body = ma ? api_body(r, &doc) : NULL;
	if (!body)
		return;
	const char *given = yyjson_mut_get_str(yyjson_mut_obj_get(body, "id"));
	const char *base = api_app_id(r, r->params[0]);
	const char *group = given ? path_resolve(&r->arena, r->method == POST ? base : "/", given) : base;
	if (r->method == PUT && strcmp(base, "/") != 0)
		group = base;
	if (refuse_existing(r, group)) {
		yyjson_mut_doc_free(doc);
		return;
	}
	struct group_put p = { .req = r, .ma = ma, .doc = doc, .change = change_new(ma, r) };
	p.change->created = r->method == POST;
	read_body(&p, body, group);
	map_fini(&p.named);
	yyjson_mut_doc_free(doc);
	if (p.answered)
		change_free(p.change);
	else if (http_query_bool(r, "dryRun", false))
		reply_dry_run(&p);
	else
		api_change(p.change, http_query_bool(r, "force", false), api_deployed);
}

void api_group_delete(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	size_t count;
	if (!ma)
		return;
	const char *id = api_app_id(r, r->params[0]);
	struct app **apps = api_apps_within(ma, &r->arena, id, &count);
	struct app *same = app_find(ma, id);
	if ((count == 0 && strcmp(id, "/") != 0) || (same && same->spec)) {
		group_missing(r, id);
		return;
	}
	struct change *c = change_new(ma, r);
	for (size_t i = 0; i < count; i++)
		change_remove(c, apps[i]->id);
	api_change(c, http_query_bool(r, "force", false), api_deployed);
}
