/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of apps: decided against the model, written as one command (new versions, removals, the deployment that carries them
 * out, deployments it cancels), then made in the model and answered. Between start and answer its apps are `changing`: other
 * requests for them are parked and decided again afterwards.
 */
#include "net/base/log.h"
#include "net/base/time.h"
#include "roles/master/marathon/marathon_int.h"

struct change *change_new(struct marathon *ma, struct http_req *r)
{
	struct change *c = xcalloc(1, sizeof(*c));
	c->ma = ma;
	c->req = r;
	list_init(&c->link);
	rnd_uuid4(c->deployment_id);
	return c;
}

void change_free(struct change *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++) {
		service_ports_count(c->ma, c->rows[i].after, -1);
		spec_free(c->rows[i].after);
		free(c->rows[i].id);
	}
	for (size_t i = 0; i < c->ended_count; i++)
		free(c->ended[i]);
	for (size_t i = 0; i < c->kill_count; i++)
		free(c->kill[i]);
	deployment_free(c->deployment);
	free(c->kill);
	free(c->ended);
	free(c->rows);
	free(c);
}

static void add_row(struct change *c, const char *id, struct spec *after)
{
	if (c->count == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 4;
		c->rows = xrealloc(c->rows, c->cap * sizeof(*c->rows));
	}
	c->rows[c->count++] = (struct change_row){ xstrdup(id), after };
	service_ports_count(c->ma, after, 1);     /* taken from now on: no other request gets the same */
}

void change_put(struct change *c, struct spec *after) { add_row(c, after->id, after); }
void change_remove(struct change *c, const char *id) { add_row(c, id, NULL); }

void change_kill(struct change *c, const char *task_id)
{
	c->kill = xrealloc(c->kill, (c->kill_count + 1) * sizeof(*c->kill));
	c->kill[c->kill_count++] = xstrdup(task_id);
}

bool change_must_wait(const struct change *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct app *app = app_find(c->ma, c->rows[i].id);
		if (app && app->changing)
			return true;
	}
	return false;
}

/* Mark the deployments that have an app of the change; how many. */
static size_t mark_conflicting(const struct change *c)
{
	size_t n = 0;
	list_each(&c->ma->deployments, it)
		list_entry(it, struct deployment, link)->marked = false;
	for (size_t i = 0; i < c->count; i++) {
		const struct app *app = app_find(c->ma, c->rows[i].id);
		if (!app || !app->deployment || app->deployment->marked)
			continue;
		app->deployment->marked = true;
		n++;
	}
	return n;
}

bool change_conflicts(const struct change *c, struct buf *out)
{
	struct jw w = jw_start(out);
	size_t n = mark_conflicting(c);
	jw_arr(&w, NULL);
	list_each(&c->ma->deployments, it) {
		const struct deployment *d = list_entry(it, struct deployment, link);
		if (!d->marked)
			continue;
		jw_obj(&w, NULL);
		jw_str(&w, "id", d->id);
		jw_end(&w);
	}
	jw_end(&w);
	return n > 0;
}

/* ---- what is written ---- */

static const struct spec *spec_before(const struct change *c, size_t i)
{
	const struct app *app = app_find(c->ma, c->rows[i].id);
	return app ? app->spec : NULL;
}

/* The deployment's version is that of the apps it makes; removals alone have one of their own. */
static void set_version(struct change *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->rows[i].after && strcmp(c->rows[i].after->version, c->version) > 0)
			(void)str_put(c->version, sizeof(c->version), str_of(c->rows[i].after->version));
	if (!*c->version)
		time_iso(version_now_us(c->ma), c->version);
}

static void plan(struct change *c)
{
	struct app_change *changes = xcalloc(c->count + 1, sizeof(*changes));
	struct action *actions = xcalloc(2 * c->count + 1, sizeof(*actions));
	struct deployment *d = xcalloc(1, sizeof(*d));
	for (size_t i = 0; i < c->count; i++)
		changes[i] = (struct app_change){ c->rows[i].id, spec_before(c, i), c->rows[i].after };
	d->action_count = plan_make(changes, c->count, actions, &d->step_count);
	d->actions = actions;
	d->originals = xcalloc(c->count + 1, sizeof(*d->originals));
	for (size_t i = 0; i < d->action_count; i++)
		actions[i].app = xstrdup(actions[i].app);
	for (size_t i = 0; i < c->count; i++) {
		const struct spec *before = changes[i].before;
		d->originals[d->original_count++] = (struct original){ xstrdup(c->rows[i].id), before ? xstrdup(before->version) : NULL };
	}
	list_init(&d->link);
	d->unix_us = loop_unix_us(c->ma->loop);
	set_version(c);
	d->id = xstrdup(c->deployment_id);
	d->version = xstrdup(c->version);
	c->deployment = d;
	free(changes);
}

/* Deployments that this change gets in the way of end with it. */
static void cancel_conflicting(struct change *c)
{
	(void)mark_conflicting(c);
	list_each(&c->ma->deployments, it) {
		const struct deployment *d = list_entry(it, struct deployment, link);
		if (!d->marked)
			continue;
		c->ended = xrealloc(c->ended, (c->ended_count + 1) * sizeof(*c->ended));
		c->ended[c->ended_count++] = xstrdup(d->id);
	}
}

static rec_Deployment *deployment_record(struct arena *a, const struct deployment *d)
{
	rec_Deployment *r = arena_new(a, rec_Deployment);
	r->id = d->id;
	r->version = d->version;
	r->has_unix_us = true;
	r->unix_us = d->unix_us;
	r->actions = arena_array(a, rec_DeploymentAction, d->action_count + 1);
	for (size_t i = 0; i < d->action_count; i++)
		r->actions[r->actions_count++] = (rec_DeploymentAction){
			.app = d->actions[i].app, .has_kind = true, .kind = d->actions[i].kind, .has_step = true, .step = d->actions[i].step,
		};
	r->originals = arena_array(a, rec_AppVersion, d->original_count + 1);
	for (size_t i = 0; i < d->original_count; i++)
		r->originals[r->originals_count++] = (rec_AppVersion){ .id = d->originals[i].id, .version = d->originals[i].version };
	return r;
}

static int encode(const struct change *c, struct buf *out, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	rec_AppsChange r = { .put = arena_array(&a, rec_App, c->count + 1), .removed = arena_array(&a, char *, c->count + 1) };
	for (size_t i = 0; i < c->count; i++) {
		if (c->rows[i].after)
			r.put[r.put_count++] = spec_record(c->rows[i].after);
		else
			r.removed[r.removed_count++] = c->rows[i].id;
	}
	if (c->deployment)
		r.started = deployment_record(&a, c->deployment);
	r.ended = c->ended;
	r.ended_count = (pb_size_t)c->ended_count;
	return pb_write(rec_AppsChange_fields, &r, out, e);
}

/* ---- stored ---- */

static void set_changing(struct change *c, bool changing)
{
	for (size_t i = 0; i < c->count; i++) {
		struct app *app = app_get_or_new(c->ma, c->rows[i].id);
		app->changing = changing;
		if (!changing)
			app_release(app);
	}
}

static void end_deployments(struct change *c)
{
	for (size_t i = 0; i < c->ended_count; i++) {
		struct deployment *d = deployment_find(c->ma, c->ended[i]);
		if (!d)
			continue;
		event_deployment(c->ma, d->step < d->step_count ? "deployment_failed" : "deployment_success", d, false);
		LOG(INFO, d->step < d->step_count ? "deployment cancelled" : "deployment done", "id=%s", d->id);
		deployment_drop(c->ma, d);
	}
}

static void make_in_model(struct change *c)
{
	end_deployments(c);
	for (size_t i = 0; i < c->count; i++) {
		struct spec *after = MOVE(c->rows[i].after);
		service_ports_count(c->ma, after, -1);     /* app_set_spec counts them again */
		app_set_spec(app_get_or_new(c->ma, c->rows[i].id), after);
	}
	for (size_t i = 0; i < c->kill_count; i++) {
		struct instance *in = map_find_c(&c->ma->instances, c->kill[i]);
		if (in)
			session_kill(in);
	}
	if (c->deployment) {
		LOG(INFO, "deployment started", "id=%s apps=%zu steps=%u", c->deployment->id, c->count, c->deployment->step_count);
		c->ma->metrics.deployments_begun++;
		deployment_add(c->ma, MOVE(c->deployment));
	}
}

static void finish(struct change *c, const struct err *e)
{
	struct marathon *ma = c->ma;
	list_remove(&c->link);
	if (c->req)
		c->req->gone = NULL;
	if (e->code == 0)
		make_in_model(c);
	set_changing(c, false);
	if (c->done)
		c->done(c, e);
	change_free(c);
	step_soon(ma);
	requests_unpark(ma);
}

static void on_stored(struct propose *p, struct str reply, const struct err *e)
{
	(void)reply;
	finish(container_of(p, struct change, propose), e);
}

static void on_client_gone(struct http_req *r)
{
	struct change *c = r->user;
	c->req = NULL;
}

static void submit(struct change *c)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	struct err e = { 0 };
	list_push(&c->ma->changes, &c->link);
	set_changing(c, true);
	if (c->req) {
		c->req->user = c;
		c->req->gone = on_client_gone;
	}
	if (encode(c, &bytes, &e) != 0)
		finish(c, &e);
	else
		store_propose(c->ma->store, rec_Op_OP_APPS, buf_view(&bytes), STORE_TIMEOUT_US, &c->propose, on_stored);
}

void change_start(struct change *c, void (*done)(struct change *c, const struct err *e))
{
	assert(!change_must_wait(c));
	c->done = done;
	plan(c);
	cancel_conflicting(c);
	submit(c);
}

static void on_end_retry(struct loop_timer *t)
{
	struct marathon *ma = container_of(t, struct marathon, end_retry);
	list_each(&ma->deployments, it)
		list_entry(it, struct deployment, link)->ending = false;
	step_soon(ma);
}

static void on_ended(struct change *c, const struct err *e)
{
	if (e->code == 0)
		return;
	LOG(WARN, "end of a deployment not recorded, trying again", "id=%s error=\"%s\"", c->ended[0], e->text);
	loop_timer_start(c->ma->loop, &c->ma->end_retry, SEC, on_end_retry);
}

void change_cancel_deployment(struct marathon *ma, struct deployment *d, struct http_req *r, void (*done)(struct change *c, const struct err *e))
{
	struct change *c = change_new(ma, r);
	c->ended = xcalloc(1, sizeof(*c->ended));
	c->ended[c->ended_count++] = xstrdup(d->id);
	c->done = done;
	submit(c);
}

void change_end_deployment(struct marathon *ma, struct deployment *d)
{
	d->ending = true;
	change_cancel_deployment(ma, d, NULL, on_ended);
}

void changes_cancel(struct marathon *ma)
{
	struct err e;
	loop_timer_stop(&ma->end_retry);
	(void)err_set(&e, E_NOTLEADER, "this master stopped leading while the change was under way; look whether it was made");
	list_each_safe(&ma->changes, it) {
		struct change *c = list_entry(it, struct change, link);
		list_remove(&c->link);
		propose_cancel(&c->propose);
		if (c->req) {
			c->req->gone = NULL;
			http_reply_err(c->req, &e);
		}
		change_free(c);
	}
}

/* ---- parked requests ---- */

struct parked {                 /* in the request's arena */
	struct list link;
	struct http_req *req;
};

static void on_parked_gone(struct http_req *r) { list_remove(&((struct parked *)r->user)->link); }

void request_park(struct marathon *ma, struct http_req *r)
{
	struct parked *p = arena_new(&r->arena, struct parked);
	p->req = r;
	r->user = p;
	r->gone = on_parked_gone;
	list_push(&ma->parked, &p->link);
}

void requests_unpark(struct marathon *ma)
{
	size_t n = 0;
	list_each(&ma->parked, it)
		n++;
	/* Those that must wait again park again, behind the ones that are taken here. */
	for (; n > 0 && !list_empty(&ma->parked); n--) {
		struct http_req *r = list_entry(list_pop(&ma->parked), struct parked, link)->req;
		r->user = NULL;
		r->gone = NULL;
		r->route->fn(r);
	}
}
