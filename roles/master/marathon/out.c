/* SPDX-License-Identifier: Apache-2.0 */
/* The model as Marathon's JSON (the dialect of ≥ 1.5): apps with counts and embeds, tasks, deployments, the queue with its reasons. */
#include "net/base/time.h"
#include "roles/master/marathon/marathon_int.h"
#include "roles/task.h"

static bool staged(const struct instance *i)
{
	return i->state == mesos_v1_TaskState_TASK_STAGING || i->state == mesos_v1_TaskState_TASK_STARTING;
}

static bool running(const struct instance *i) { return i->state == mesos_v1_TaskState_TASK_RUNNING || i->state == mesos_v1_TaskState_TASK_KILLING; }

/* ---- apps ---- */

/* The stored definition's members, as they are, and the version. */
static void spec_members(struct jw *w, const struct spec *s)
{
	size_t first = strlen("{\"id\":\"\"") + strlen(s->id);     /* ids need no escaping */
	struct str json = str_of(s->json);
	assert(json.len > first && json.p[json.len - 1] == '}');
	jw_str(w, "id", s->id);
	buf_str(w->out, str_n(json.p + first, json.len - first - 1));
	jw_str(w, "version", s->version);
	jw_obj(w, "versionInfo");
	jw_str(w, "lastScalingAt", s->last_scaling_at);
	jw_str(w, "lastConfigChangeAt", s->last_config_change_at);
	jw_end(w);
}

void out_spec(struct jw *w, const char *key, const struct spec *s)
{
	jw_obj(w, key);
	spec_members(w, s);
	jw_end(w);
}

void out_task(struct jw *w, const char *key, const struct instance *i)
{
	const struct spec *s = i->app->spec;
	jw_obj(w, key);
	jw_str(w, "id", i->task_id);
	jw_str(w, "appId", i->app->id);
	jw_str(w, "host", i->host);
	jw_arr(w, "ipAddresses");
	jw_obj(w, NULL);
	jw_str(w, "ipAddress", i->agent_ip);
	jw_str(w, "protocol", "IPv4");
	jw_end(w);
	jw_end(w);
	jw_arr(w, "ports");
	for (size_t k = 0; k < i->port_count; k++)
		jw_int(w, NULL, i->ports[k]);
	jw_end(w);
	jw_arr(w, "servicePorts");
	for (size_t k = 0; s && k < s->port_count; k++)
		jw_int(w, NULL, s->ports[k]);
	jw_end(w);
	jw_str(w, "slaveId", i->agent_id);
	jw_str(w, "state", i->killing && running(i) ? "TASK_KILLING" : task_state_name(i->state));
	jw_time(w, "stagedAt", i->staged_us);
	if (i->started_us)
		jw_time(w, "startedAt", i->started_us);
	jw_str(w, "version", i->version);
	jw_arr(w, "healthCheckResults");
	jw_end(w);
	jw_arr(w, "localVolumes");
	jw_end(w);
	jw_end(w);
}

struct life { int64_t *seconds; size_t count; };

static int compare_seconds(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void life_time(struct jw *w, struct life *life)
{
	int64_t sum = 0;
	if (life->count == 0)
		return;
	qsort(life->seconds, life->count, sizeof(*life->seconds), compare_seconds);
	for (size_t i = 0; i < life->count; i++)
		sum += life->seconds[i];
	int64_t mid = life->seconds[life->count / 2], before = life->seconds[(life->count - 1) / 2];
	jw_obj(w, "lifeTime");
	jw_num(w, "averageSeconds", (double)sum / (double)life->count);
	jw_num(w, "medianSeconds", (double)(mid + before) / 2);
	jw_end(w);
}

enum section { AFTER_SCALING, LATEST_CONFIG, OUTDATED_CONFIG, TOTAL };

static bool in_section(const struct instance *i, enum section which)
{
	const struct spec *s = i->app->spec;
	switch (which) {
	case AFTER_SCALING:
		return strcmp(i->version, s->last_scaling_at) >= 0;
	case LATEST_CONFIG:
		return spec_current(s, i->version);
	case OUTDATED_CONFIG:
		return !spec_current(s, i->version);
	case TOTAL:
		return true;
	}
	return false;
}

static void stats_section(struct jw *w, const struct app *app, const char *name, enum section which)
{
	int64_t staged_count = 0, running_count = 0, now = loop_unix_us(app->ma->loop);
	struct life life = { .seconds = xcalloc(app->instance_count + 1, sizeof(int64_t)) };
	size_t all = 0;
	for (size_t k = 0; k < app->instance_count; k++) {
		const struct instance *i = app->instances[k];
		if (!in_section(i, which))
			continue;
		all++;
		staged_count += staged(i);
		running_count += running(i);
		if (running(i))
			life.seconds[life.count++] = (now - i->started_us) / SEC;
	}
	if (all > 0) {
		jw_obj(w, name);
		jw_obj(w, "stats");
		jw_obj(w, "counts");
		jw_int(w, "staged", staged_count);
		jw_int(w, "running", running_count);
		jw_int(w, "healthy", 0);
		jw_int(w, "unhealthy", 0);
		jw_end(w);
		life_time(w, &life);
		jw_end(w);
		jw_end(w);
	}
	free(life.seconds);
}

static void task_stats(struct jw *w, const struct app *app)
{
	jw_obj(w, "taskStats");
	stats_section(w, app, "startedAfterLastScaling", AFTER_SCALING);
	stats_section(w, app, "withLatestConfig", LATEST_CONFIG);
	stats_section(w, app, "withOutdatedConfig", OUTDATED_CONFIG);
	stats_section(w, app, "totalSummary", TOTAL);
	jw_end(w);
}

static void counts(struct jw *w, const struct app *app)
{
	int64_t staged_count = 0, running_count = 0;
	for (size_t k = 0; k < app->instance_count; k++) {
		staged_count += staged(app->instances[k]);
		running_count += running(app->instances[k]);
	}
	jw_int(w, "tasksStaged", staged_count);
	jw_int(w, "tasksRunning", running_count);
	jw_int(w, "tasksHealthy", 0);      /* only tasks with health results count, and this version has none */
	jw_int(w, "tasksUnhealthy", 0);
}

static void last_failure(struct jw *w, const struct app *app)
{
	const struct failure *f = &app->failure;
	if (!f->task_id)
		return;
	jw_obj(w, "lastTaskFailure");
	jw_str(w, "appId", app->id);
	jw_str(w, "host", f->host ? f->host : "");
	jw_str(w, "message", f->message ? f->message : "");
	jw_str(w, "state", task_state_name((mesos_v1_TaskState)f->state));
	jw_str(w, "taskId", f->task_id);
	jw_time(w, "timestamp", f->unix_us);
	jw_str(w, "version", f->version ? f->version : "");
	jw_str(w, "slaveId", f->agent_id ? f->agent_id : "");
	jw_end(w);
}

void out_app(struct jw *w, const char *key, const struct app *app, unsigned embed)
{
	AUTO_BUF struct buf waiting = BUF_INIT;
	jw_obj(w, key);
	spec_members(w, app->spec);
	if (embed & EMBED_COUNTS)
		counts(w, app);
	if (embed & EMBED_DEPLOYMENTS) {
		jw_arr(w, "deployments");
		if (app->deployment) {
			jw_obj(w, NULL);
			jw_str(w, "id", app->deployment->id);
			jw_end(w);
		}
		jw_end(w);
	}
	if (embed & EMBED_TASKS) {
		jw_arr(w, "tasks");
		for (size_t k = 0; k < app->instance_count; k++)
			out_task(w, NULL, app->instances[k]);
		jw_end(w);
	}
	if (embed & EMBED_FAILURE)
		last_failure(w, app);
	if (embed & EMBED_STATS)
		task_stats(w, app);
	if ((embed & EMBED_WAITING) && out_waiting(&waiting, app))
		jw_strn(w, "waitingFor", buf_view(&waiting));
	jw_end(w);
}

/* ---- deployments ---- */

static void affected(struct jw *w, const struct deployment *d)
{
	jw_arr(w, "affectedApps");
	for (size_t i = 0; i < d->original_count; i++)
		jw_str(w, NULL, d->originals[i].id);
	jw_end(w);
	jw_arr(w, "affectedPods");
	jw_end(w);
}

static void plan_members(struct jw *w, const struct deployment *d)
{
	jw_str(w, "id", d->id);
	jw_str(w, "version", d->version);
	affected(w, d);
	jw_arr(w, "steps");
	for (uint32_t s = 0; s < d->step_count; s++)
		plan_write_step(w, NULL, d->actions, d->action_count, s);
	jw_end(w);
}

void out_plan(struct jw *w, const char *key, const struct deployment *d)
{
	jw_obj(w, key);
	plan_members(w, d);
	jw_end(w);
}

static void current_actions(struct jw *w, struct marathon *ma, const struct deployment *d)
{
	jw_arr(w, "currentActions");
	for (size_t i = 0; i < d->action_count; i++) {
		const struct action *a = &d->actions[i];
		const struct app *app = app_find(ma, a->app);
		AUTO_BUF struct buf why = BUF_INIT;
		if (a->step != d->step)
			continue;
		jw_obj(w, NULL);
		jw_str(w, "action", action_name(a->kind));
		jw_str(w, "app", a->app);
		jw_arr(w, "readinessCheckResults");
		jw_end(w);
		if (app && out_waiting(&why, app))
			jw_strn(w, "waitingFor", buf_view(&why));
		else if (app && app->waits_for)
			jw_str(w, "waitingFor", app->waits_for);
		jw_end(w);
	}
	jw_end(w);
}

void out_deployment(struct jw *w, const char *key, struct marathon *ma, const struct deployment *d)
{
	jw_obj(w, key);
	plan_members(w, d);
	current_actions(w, ma, d);
	jw_int(w, "currentStep", MIN(d->step + 1, d->step_count));
	jw_int(w, "totalSteps", d->step_count);
	jw_end(w);
}
