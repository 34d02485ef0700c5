/* SPDX-License-Identifier: Apache-2.0 */
/* The model in memory: apps, their instances, deployments. Changes of it only; what to change is decided elsewhere. */
#include "net/base/log.h"
#include "net/base/time.h"
#include "roles/master/marathon/marathon_int.h"
#include "roles/task.h"

bool task_ended(mesos_v1_TaskState s) { return task_state_terminal(s) || s == mesos_v1_TaskState_TASK_UNKNOWN; }

int64_t version_now_us(struct marathon *ma)
{
	int64_t ms = loop_unix_us(ma->loop) / MSEC;
	ma->last_version_us = MAX(ms, ma->last_version_us / MSEC + 1) * MSEC;
	return ma->last_version_us;
}

/* ---- apps ---- */

struct app *app_find(struct marathon *ma, const char *id) { return map_find_c(&ma->apps, id); }

struct app *app_get_or_new(struct marathon *ma, const char *id)
{
	struct app *app = app_find(ma, id);
	if (app)
		return app;
	app = xcalloc(1, sizeof(*app));
	app->ma = ma;
	app->id = xstrdup(id);
	list_init(&app->dirty);
	list_init(&app->queued);
	(void)map_put_c(&ma->apps, id, app);
	return app;
}

void service_ports_count(struct marathon *ma, const struct spec *s, int by)
{
	for (size_t i = 0; s && i < s->port_count; i++)
		if (s->ports[i] >= SERVICE_PORT_MIN && s->ports[i] < SERVICE_PORT_MAX)
			ma->service_ports[s->ports[i] - SERVICE_PORT_MIN] = (uint16_t)(ma->service_ports[s->ports[i] - SERVICE_PORT_MIN] + by);
}

void app_set_spec(struct app *app, struct spec *s)
{
	bool config = !app->spec || !s || strcmp(app->spec->last_config_change_at, s->last_config_change_at) != 0;
	service_ports_count(app->ma, app->spec, -1);
	service_ports_count(app->ma, s, 1);
	if (config) {
		app->delay_us = app->delay_until_us = 0;
		app->stats = (struct launch_stats){ 0 };
		app->ma->revive = true;      /* offers that were declined may suit now */
	}
	if (s)
		app->ma->last_version_us = MAX(app->ma->last_version_us, s->unix_us);
	spec_free(app->spec);
	app->spec = s;
	app_touch(app);
}

void app_touch(struct app *app)
{
	if (!list_linked(&app->dirty))
		list_push(&app->ma->dirty, &app->dirty);
	step_soon(app->ma);
}

static void failure_clear(struct failure *f)
{
	free(f->task_id);
	free(f->host);
	free(f->agent_id);
	free(f->message);
	free(f->version);
	*f = (struct failure){ 0 };
}

static void app_free(struct app *app)
{
	assert(app->instance_count == 0);
	list_remove(&app->dirty);
	list_remove(&app->queued);
	loop_timer_stop(&app->wake);
	service_ports_count(app->ma, app->spec, -1);
	spec_free(app->spec);
	failure_clear(&app->failure);
	free(app->instances);
	free(app->id);
	free(app);
}

void app_release(struct app *app)
{
	if (app->spec || app->instance_count > 0 || app->deployment || app->changing)
		return;
	(void)map_remove_c(&app->ma->apps, app->id);
	app_free(app);
}

/* Marathon's RateLimiter: backoffSeconds first, then times the factor, up to the maximum; forgotten after a quiet maximum. */
void app_delay(struct app *app)
{
	const struct spec *s = app->spec;
	int64_t now = loop_now_us(app->ma->loop);
	if (!s)
		return;
	if (app->delay_us == 0 || now > app->delay_until_us + s->backoff_max_us)
		app->delay_us = s->backoff_us;
	else
		app->delay_us = (int64_t)((double)app->delay_us * s->backoff_factor);
	app->delay_us = MIN(app->delay_us, s->backoff_max_us);
	app->delay_until_us = now + app->delay_us;
}

void app_delay_reset(struct app *app)
{
	app->delay_us = app->delay_until_us = 0;
	app->ma->revive = true;
	app_touch(app);
}

static char *dup_or_null(const char *s) { return s ? xstrdup(s) : NULL; }

void app_set_failure(struct app *app, const rec_TaskFailure *f)
{
	failure_clear(&app->failure);
	app->failure = (struct failure){
		.task_id = dup_or_null(f->task_id), .host = dup_or_null(f->host), .agent_id = dup_or_null(f->agent_id),
		.message = dup_or_null(f->message), .version = dup_or_null(f->version), .state = f->state, .unix_us = f->unix_us,
	};
}

/* ---- instances ---- */

struct instance *instance_new(struct app *app, const rec_Instance *r)
{
	struct instance *i = xcalloc(1, sizeof(*i));
	struct arena *a = &i->arena;
	arena_init(a, ARENA_MAX_DEFAULT);
	i->app = app;
	i->task_id = arena_strdup(a, r->task_id);
	i->version = arena_strdup(a, r->app_version);
	i->agent_id = arena_strdup(a, r->agent_id);
	i->host = arena_strdup(a, r->host);
	i->agent_ip = arena_strdup(a, r->agent_ip);
	i->port_count = r->ports_count;
	i->ports = arena_array(a, uint32_t, r->ports_count + 1);
	if (r->ports_count > 0)
		memcpy(i->ports, r->ports, r->ports_count * sizeof(*i->ports));
	i->attributes = arena_array(a, mesos_v1_Attribute, r->attributes_count + 1);
	for (size_t k = 0; k < r->attributes_count; k++) {
		mesos_v1_Attribute *copy = PB_DUP(a, mesos_v1_Attribute, &r->attributes[k], NULL);
		if (copy)
			i->attributes[i->attribute_count++] = *copy;
	}
	i->state = (mesos_v1_TaskState)r->state;
	i->staged_us = r->staged_us;
	i->started_us = r->started_us;
	i->since_us = r->since_us;
	i->killing = r->killing;
	if (app->instance_count == app->instance_cap) {
		app->instance_cap = app->instance_cap ? app->instance_cap * 2 : 4;
		app->instances = xrealloc(app->instances, app->instance_cap * sizeof(*app->instances));
	}
	app->instances[app->instance_count++] = i;
	(void)map_put_c(&app->ma->instances, i->task_id, i);
	return i;
}

void instance_remove(struct instance *i)
{
	struct app *app = i->app;
	size_t at = 0;
	while (app->instances[at] != i)
		at++;
	memmove(&app->instances[at], &app->instances[at + 1], (--app->instance_count - at) * sizeof(*app->instances));
	(void)map_remove_c(&app->ma->instances, i->task_id);
	arena_fini(&i->arena);
	free(i);
	app_touch(app);
}

rec_Instance instance_record(const struct instance *i)
{
	return (rec_Instance){
		.task_id = i->task_id, .app_id = i->app->id, .app_version = i->version, .agent_id = i->agent_id, .host = i->host,
		.agent_ip = i->agent_ip, .ports = i->ports, .ports_count = (pb_size_t)i->port_count,
		.attributes = i->attributes, .attributes_count = (pb_size_t)i->attribute_count,
		.has_staged_us = true, .staged_us = i->staged_us, .has_started_us = i->started_us != 0, .started_us = i->started_us,
		.has_state = true, .state = (int32_t)i->state, .has_killing = true, .killing = i->killing,
		.has_since_us = true, .since_us = i->since_us,
	};
}

/* ---- deployments ---- */

struct deployment *deployment_new(const rec_Deployment *r)
{
	struct deployment *d = xcalloc(1, sizeof(*d));
	list_init(&d->link);
	d->id = xstrdup(r->id);
	d->version = xstrdup(r->version ? r->version : "");
	d->unix_us = r->unix_us;
	d->actions = xcalloc(r->actions_count + 1, sizeof(*d->actions));
	d->originals = xcalloc(r->originals_count + 1, sizeof(*d->originals));
	for (size_t i = 0; i < r->actions_count; i++) {
		d->actions[d->action_count++] = (struct action){ xstrdup(r->actions[i].app), r->actions[i].kind, r->actions[i].step };
		d->step_count = MAX(d->step_count, r->actions[i].step + 1);
	}
	for (size_t i = 0; i < r->originals_count; i++)
		d->originals[d->original_count++] = (struct original){ xstrdup(r->originals[i].id), dup_or_null(r->originals[i].version) };
	return d;
}

void deployment_free(struct deployment *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->action_count; i++)
		free(d->actions[i].app);
	for (size_t i = 0; i < d->original_count; i++) {
		free(d->originals[i].id);
		free(d->originals[i].version);
	}
	free(d->actions);
	free(d->originals);
	free(d->id);
	free(d->version);
	free(d);
}

void deployment_add(struct marathon *ma, struct deployment *d)
{
	list_push(&ma->deployments, &d->link);
	for (size_t i = 0; i < d->action_count; i++) {
		struct app *app = app_get_or_new(ma, d->actions[i].app);
		app->deployment = d;
		app->deployment_step = d->actions[i].step;
		app_touch(app);
	}
	step_soon(ma);
}

void deployment_drop(struct marathon *ma, struct deployment *d)
{
	list_remove(&d->link);
	for (size_t i = 0; i < d->action_count; i++) {
		struct app *app = app_find(ma, d->actions[i].app);
		if (!app || app->deployment != d)
			continue;
		app->deployment = NULL;
		app_touch(app);
		app_release(app);
	}
	deployment_free(d);
	step_soon(ma);
}

struct deployment *deployment_find(struct marathon *ma, const char *id)
{
	list_each(&ma->deployments, it) {
		struct deployment *d = list_entry(it, struct deployment, link);
		if (strcmp(d->id, id) == 0)
			return d;
	}
	return NULL;
}

void model_clear(struct marathon *ma)
{
	list_each_safe(&ma->deployments, it)
		deployment_free(list_entry(it, struct deployment, link));
	list_init(&ma->deployments);
	map_each(&ma->instances, entry) {
		struct instance *i = entry->value;
		i->app->instance_count = 0;
		arena_fini(&i->arena);
		free(i);
	}
	map_clear(&ma->instances);
	map_each(&ma->apps, entry)
		app_free(entry->value);
	map_clear(&ma->apps);
	list_init(&ma->dirty);
	memset(ma->service_ports, 0, sizeof(ma->service_ports));
}
