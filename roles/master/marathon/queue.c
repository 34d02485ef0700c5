/* SPDX-License-Identifier: Apache-2.0 */
/* Why an app waits: asked of every agent at the time of the question, as a sentence and as Marathon's /v2/queue. */
#include "roles/master/marathon/marathon_int.h"

/* ---- why an app waits ---- */

/* What all agents say about one more instance. */
struct survey {
	const struct app *app;
	int64_t agents, suitable, short_of[REJECT_COUNT];
	int64_t rejected[REJECT_COUNT], passed[REJECT_COUNT];      /* Marathon's funnel: a stage sees what those before it let pass */
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
		s->short_of[r] += why >> r & 1;
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
	buf_printf(out, " on %lld of %lld agents", (long long)s->short_of[r], (long long)s->agents);
}

bool out_waiting(struct buf *out, const struct app *app)
{
	int64_t now = loop_now_us(app->ma->loop);
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
		if (s.short_of[r] == 0)
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
	int64_t left = MAX(app->delay_until_us - loop_now_us(app->ma->loop), (int64_t)0);
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
