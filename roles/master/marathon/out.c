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

/* The stored definition is an object's text: its members are taken over as they are. */
static void spec_members(struct jw *w, const struct spec *s)
{
	struct str json = str_of(s->json);
	assert(json.len > 2 && json.p[0] == '{' && json.p[json.len - 1] == '}');
	/* jw writes the first member; the rest follows behind its comma. */
	jw_str(w, "version", s->version);
	jw_obj(w, "versionInfo");
	jw_str(w, "lastScalingAt", s->last_scaling_at);
	jw_str(w, "lastConfigChangeAt", s->last_config_change_at);
	jw_end(w);
	buf_putc(w->out, ',');
	buf_str(w->out, str_n(json.p + 1, json.len - 2));
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
	if (out_waiting(&waiting, app))
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

/* ---- why an app waits ---- */

/* What all agents say about one more instance. */
struct survey {
	const struct app *app;
	int64_t agents, suitable, rejected[REJECT_COUNT], passed[REJECT_COUNT];
	int64_t most_cpus, most_mem, most_disk;      /* free on one agent of an accepted role */
};

static bool survey_agent(void *arg, const mesos_v1_AgentInfo *info, const struct resources *total, const struct resources *free_)
{
	struct survey *s = arg;
	struct placed placed = { s->app->instances, s->app->instance_count };
	unsigned why = match_agent(s->app->spec, placed, info, free_);
	bool role = !(why & 1u << REJECT_ROLE), still = true;
	(void)total;
	s->agents++;
	s->suitable += why == 0;
	for (unsigned r = 0; r < REJECT_COUNT; r++) {
		/* Marathon's funnel: a stage looks at what the stages before it let pass. */
		s->passed[r] += still;
		s->rejected[r] += still && (why >> r & 1);
		still &= !(why >> r & 1);
	}
	s->most_cpus = role ? MAX(s->most_cpus, free_->cpus_milli) : s->most_cpus;
	s->most_mem = role ? MAX(s->most_mem, free_->mem_milli) : s->most_mem;
	s->most_disk = role ? MAX(s->most_disk, free_->disk_milli) : s->most_disk;
	return true;
}

static struct survey survey(const struct app *app)
{
	struct survey s = { .app = app };
	mesos_each_agent(app->ma->master->mesos, survey_agent, &s);
	return s;
}

static void amount(struct buf *out, int64_t milli)
{
	if (milli % 1000 == 0)
		buf_printf(out, "%lld", (long long)(milli / 1000));
	else
		buf_json_num(out, (double)milli / 1000);
}

static void shortage(struct buf *out, const struct survey *s, enum reject r)
{
	const struct spec *spec = s->app->spec;
	const struct { enum reject r; const char *name; int64_t needs, most; } scalars[] = {
		{ REJECT_CPUS, "cpus", spec->cpus_milli, s->most_cpus }, { REJECT_MEM, "MB of mem", spec->mem_milli, s->most_mem },
		{ REJECT_DISK, "MB of disk", spec->disk_milli, s->most_disk },
	};
	static const char *const clauses[REJECT_COUNT] = {
		[REJECT_ROLE] = "resources of another role", [REJECT_CONSTRAINT] = "constraints not fulfilled", [REJECT_PORTS] = "no suitable free ports",
	};
	for (size_t i = 0; i < ARRAY_LEN(scalars); i++) {
		if (scalars[i].r != r)
			continue;
		amount(out, scalars[i].needs);
		buf_printf(out, " %s needed, at most ", scalars[i].name);
		amount(out, scalars[i].most);
		buf_puts(out, " free");
		break;
	}
	if (clauses[r])
		buf_puts(out, clauses[r]);
	buf_printf(out, " on %lld of %lld agents", (long long)s->rejected[r], (long long)s->agents);
}

bool out_waiting(struct buf *out, const struct app *app)
{
	int64_t now = loop_unix_us(app->ma->loop);
	const char *comma = ": ";
	if (!app->spec || app->to_launch == 0)
		return false;
	buf_printf(out, "%lld instance%s waiting", (long long)app->to_launch, app->to_launch == 1 ? " is" : "s are");
	if (app->delay_until_us > now) {
		buf_printf(out, " for %.1f s, since the last launch failed", (double)(app->delay_until_us - now) / (double)SEC);
		return true;
	}
	struct survey s = survey(app);
	if (s.agents == 0) {
		buf_puts(out, ": there are no agents");
		return true;
	}
	if (s.suitable > 0) {
		buf_printf(out, " for an offer: %lld of %lld agents have room", (long long)s.suitable, (long long)s.agents);
		return true;
	}
	for (unsigned r = 0; r < REJECT_COUNT; r++) {
		if (s.rejected[r] == 0)
			continue;
		buf_puts(out, comma);
		shortage(out, &s, (enum reject)r);
		comma = ", ";
	}
	return true;
}

static void reject_summary(struct jw *w, const char *key, const int64_t *declined, const int64_t *processed, int64_t all)
{
	jw_arr(w, key);
	for (unsigned r = 0; r < REJECT_COUNT; r++) {
		jw_obj(w, NULL);
		jw_str(w, "reason", reject_name((enum reject)r));
		jw_int(w, "declined", declined[r]);
		jw_int(w, "processed", processed ? processed[r] : all);
		jw_end(w);
	}
	jw_end(w);
}

static void offers_summary(struct jw *w, const struct app *app)
{
	const struct launch_stats *st = &app->stats;
	struct survey s = survey(app);
	jw_obj(w, "processedOffersSummary");
	jw_int(w, "processedOffersCount", st->processed);
	jw_int(w, "unusedOffersCount", st->unused);
	if (st->last_unused_us)
		jw_time(w, "lastUnusedOfferAt", st->last_unused_us);
	if (st->last_used_us)
		jw_time(w, "lastUsedOfferAt", st->last_used_us);
	reject_summary(w, "rejectSummaryLastOffers", s.rejected, s.passed, 0);
	reject_summary(w, "rejectSummaryLaunchAttempt", st->rejected, NULL, st->processed);
	jw_end(w);
}

/* ---- /v2/queue?embed=lastUnusedOffers: the agents that do not suit, as offers of what is free there ---- */

struct unused {
	struct jw *w;
	const struct app *app;
};

static void scalar_resource(struct jw *w, const char *name, int64_t milli)
{
	jw_obj(w, NULL);
	jw_str(w, "name", name);
	jw_str(w, "role", "*");
	jw_num(w, "scalar", (double)milli / 1000);
	jw_end(w);
}

static void port_resource(struct jw *w, const struct resources *r)
{
	jw_obj(w, NULL);
	jw_str(w, "name", "ports");
	jw_str(w, "role", "*");
	jw_arr(w, "ranges");
	for (size_t i = 0; i < r->port_count; i++) {
		jw_obj(w, NULL);
		jw_int(w, "begin", (int64_t)r->ports[i].begin);
		jw_int(w, "end", (int64_t)r->ports[i].end);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
}

static void unused_offer(struct jw *w, const mesos_v1_AgentInfo *info, const struct resources *free_)
{
	const char *id = info->id ? info->id->value : "";
	jw_obj(w, "offer");
	jw_str(w, "id", id);
	jw_str(w, "agentId", id);
	jw_str(w, "hostname", info->hostname);
	jw_arr(w, "resources");
	scalar_resource(w, "cpus", free_->cpus_milli);
	scalar_resource(w, "mem", free_->mem_milli);
	scalar_resource(w, "disk", free_->disk_milli);
	port_resource(w, free_);
	jw_end(w);
	jw_arr(w, "attributes");
	for (size_t i = 0; i < info->attributes_count; i++) {
		const mesos_v1_Attribute *a = &info->attributes[i];
		jw_obj(w, NULL);
		jw_str(w, "name", a->name);
		if (a->text)
			jw_str(w, "text", a->text->value);
		if (a->scalar)
			jw_num(w, "scalar", a->scalar->value);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
}

static bool unused_agent(void *arg, const mesos_v1_AgentInfo *info, const struct resources *total, const struct resources *free_)
{
	struct unused *u = arg;
	struct placed placed = { u->app->instances, u->app->instance_count };
	unsigned why = match_agent(u->app->spec, placed, info, free_);
	(void)total;
	if (!why)
		return true;
	jw_obj(u->w, NULL);
	unused_offer(u->w, info, free_);
	jw_arr(u->w, "reason");
	for (unsigned r = 0; r < REJECT_COUNT; r++)
		if (why >> r & 1)
			jw_str(u->w, NULL, reject_name((enum reject)r));
	jw_end(u->w);
	jw_time(u->w, "timestamp", loop_unix_us(u->app->ma->loop));
	jw_end(u->w);
	return true;
}

static void queue_entry(struct jw *w, const struct app *app, bool last_offers)
{
	int64_t left = MAX(app->delay_until_us - loop_unix_us(app->ma->loop), (int64_t)0);
	AUTO_BUF struct buf why = BUF_INIT;
	jw_obj(w, NULL);
	jw_int(w, "count", app->to_launch);
	jw_str(w, "role", APP_ROLE);
	jw_obj(w, "delay");
	jw_int(w, "timeLeftSeconds", (left + SEC - 1) / SEC);
	jw_bool(w, "overdue", left == 0);
	jw_end(w);
	jw_time(w, "since", app->stats.since_us);
	offers_summary(w, app);
	if (out_waiting(&why, app))
		jw_strn(w, "waitingFor", buf_view(&why));
	if (last_offers) {
		struct unused u = { w, app };
		jw_arr(w, "lastUnusedOffers");
		mesos_each_agent(app->ma->master->mesos, unused_agent, &u);
		jw_end(w);
	}
	out_spec(w, "app", app->spec);
	jw_end(w);
}

void out_queue(struct jw *w, struct marathon *ma, bool last_offers)
{
	jw_obj(w, NULL);
	jw_arr(w, "queue");
	list_each(&ma->queue, it) {
		const struct app *app = list_entry(it, struct app, queued);
		if (app->spec)
			queue_entry(w, app, last_offers);
	}
	jw_end(w);
	jw_end(w);
}
