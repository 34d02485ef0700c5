/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offers become instances. Those of one OFFERS event are one launch: instances are made in the model and proposed as one command,
 * then the offers are accepted in the same turn. The master's launch intents come behind them in the same log, and a launch leaves
 * only once its intent is applied: so the rows are durable by then, and both share one sync. Whoever leads afterwards knows of
 * every task that may run. Offers that suit nobody are declined for
 * long; REVIVE asks for them again when there is new demand, SUPPRESS stops them when there is none.
 */
#include "net/base/log.h"
#include "roles/master/marathon/marathon_int.h"
#include "roles/master/marathon/task.h"

#define REFUSE_SECONDS 300.0          /* --decline_offer_duration of DC/OS */
#define INSTANCES_PER_OFFER 100       /* --max_instances_per_offer of DC/OS */

struct launch_offer {
	const mesos_v1_Offer *offer;          /* in the launch's arena */
	mesos_v1_TaskInfo *tasks;
	size_t task_count, task_cap;
};

/* On its way to the store; in ma->launches. */
struct launch {
	struct list link;
	struct marathon *ma;
	struct propose propose;
	struct arena arena;
	struct launch_offer *offers;
	size_t offer_count;
};

bool app_wants_offers(const struct app *app)
{
	return app->spec && app->to_launch > 0 && app->delay_until_us <= loop_now_us(app->ma->loop);
}

static void decline(struct marathon *ma, const mesos_v1_OfferID *ids, size_t count)
{
	mesos_v1_Filters filters = { .has_refuse_seconds = true, .refuse_seconds = REFUSE_SECONDS };
	mesos_v1_scheduler_Call_Decline d = { .offer_ids = (mesos_v1_OfferID *)ids, .offer_ids_count = (pb_size_t)count, .filters = &filters };
	mesos_v1_scheduler_Call call = { .has_type = true, .type = mesos_v1_scheduler_Call_Type_DECLINE, .decline = &d };
	ma->metrics.offers_declined += (double)count;
	(void)session_call(ma, &call);     /* logged; the offer times out */
}

/* ---- cutting tasks from an offer ---- */

static struct instance *new_instance(struct app *app, const mesos_v1_Offer *offer, const struct taken *taken)
{
	struct marathon *ma = app->ma;
	AUTO_ARENA struct arena a = ARENA_INIT;
	char uuid[37];
	int64_t now = loop_unix_us(ma->loop);
	uuid1_next(&ma->uuid, now, uuid);
	rec_Instance r = {
		.task_id = arena_printf(&a, "%s.%s", path_safe(&a, app->id), uuid), .app_id = app->id, .app_version = (char *)app->spec->version,
		.agent_id = offer->agent_id->value, .host = offer->hostname, .ports = taken->ports, .ports_count = (pb_size_t)taken->port_count,
		.staged_us = now, .since_us = now, .state = (int32_t)mesos_v1_TaskState_TASK_STAGING,
		.agent_ip = offer->url && offer->url->address && offer->url->address->ip ? offer->url->address->ip : offer->hostname,
		.attributes = offer->attributes, .attributes_count = offer->attributes_count,
	};
	return instance_new(app, &r);
}

static void add_task(struct launch *l, struct launch_offer *lo, const struct spec *s, struct instance *i, const struct taken *taken)
{
	struct err e = { 0 };
	if (lo->task_count == lo->task_cap) {
		size_t cap = lo->task_cap ? lo->task_cap * 2 : 4;
		mesos_v1_TaskInfo *tasks = arena_array(&l->arena, mesos_v1_TaskInfo, cap);
		if (lo->task_count > 0)
			memcpy(tasks, lo->tasks, lo->task_count * sizeof(*tasks));
		lo->tasks = tasks;
		lo->task_cap = cap;
	}
	if (task_build(&l->arena, s, i, taken, &lo->tasks[lo->task_count], &e) == 0) {
		lo->task_count++;
		return;
	}
	LOG(ERROR, "task not built", "app=%s error=\"%s\"", s->id, e.text);
	app_delay(i->app);
	instance_remove(i);
}

static void note_processed(struct app *app, unsigned why, int64_t now)
{
	app->stats.processed++;
	if (why) {
		app->stats.unused++;
		app->stats.last_unused_us = now;
	} else {
		app->stats.last_used_us = now;
	}
	for (unsigned r = 0; r < REJECT_COUNT; r++)
		app->stats.rejected[r] += why >> r & 1;
}

/* One more instance of the app from what is left of the offer. */
static bool cut_one(struct launch *l, struct launch_offer *lo, struct pool *pool, struct app *app)
{
	struct placed placed = { app->instances, app->instance_count };
	struct place at = { lo->offer->hostname, lo->offer->attributes, lo->offer->attributes_count };
	int64_t now = loop_unix_us(l->ma->loop);
	struct taken taken;
	unsigned why = match_offer(app->spec, placed, at, pool, loop_rnd(l->ma->loop), &taken);
	note_processed(app, why, now);
	if (why)
		return false;
	app->to_launch--;
	add_task(l, lo, app->spec, new_instance(app, lo->offer, &taken), &taken);
	return true;
}

/* Round after round, one instance an app, until nothing fits. */
static void use_offer(struct launch *l, struct launch_offer *lo)
{
	struct marathon *ma = l->ma;
	struct pool pool = pool_of_offer(&l->arena, lo->offer);
	bool moved = true;
	while (moved && lo->task_count < INSTANCES_PER_OFFER) {
		moved = false;
		list_each(&ma->queue, it) {
			struct app *app = list_entry(it, struct app, queued);
			if (lo->task_count < INSTANCES_PER_OFFER && app_wants_offers(app))
				moved |= cut_one(l, lo, &pool, app);
		}
	}
}

/* ---- from the store to the agents ---- */

static void launch_free(struct launch *l)
{
	list_remove(&l->link);
	arena_fini(&l->arena);
	free(l);
}

static void take_back(struct launch *l, struct launch_offer *lo)
{
	for (size_t k = 0; k < lo->task_count; k++) {
		struct instance *i = map_find_c(&l->ma->instances, lo->tasks[k].task_id->value);
		if (!i)
			continue;
		app_delay(i->app);
		records_remove_instance(l->ma, i->task_id);
		instance_remove(i);
	}
}

static int accept_offer(struct launch *l, struct launch_offer *lo)
{
	mesos_v1_Offer_Operation_Launch tasks = { .task_infos = lo->tasks, .task_infos_count = (pb_size_t)lo->task_count };
	mesos_v1_Offer_Operation op = { .has_type = true, .type = mesos_v1_Offer_Operation_Type_LAUNCH, .launch = &tasks };
	mesos_v1_Filters filters = { .has_refuse_seconds = true, .refuse_seconds = 0 };
	mesos_v1_scheduler_Call_Accept a = {
		.offer_ids = lo->offer->id, .offer_ids_count = 1, .operations = &op, .operations_count = 1, .filters = &filters,
	};
	mesos_v1_scheduler_Call call = { .has_type = true, .type = mesos_v1_scheduler_Call_Type_ACCEPT, .accept = &a };
	l->ma->metrics.launched += (double)lo->task_count;
	for (size_t k = 0; k < lo->task_count; k++)
		LOG(INFO, "task launched", "task=%s agent=%s host=%s", lo->tasks[k].task_id->value, lo->offer->agent_id->value, lo->offer->hostname);
	return session_call(l->ma, &call);
}

/* Rows that could not be written: their tasks must not run, should the launch have come through all the same. */
static void on_stored(struct propose *p, struct str reply, const struct err *e)
{
	struct launch *l = container_of(p, struct launch, propose);
	(void)reply;
	if (e->code != 0)
		LOG(WARN, "launch not recorded, tasks go back", "error=\"%s\"", e->text);
	for (size_t i = 0; e->code != 0 && i < l->offer_count; i++) {
		for (size_t k = 0; k < l->offers[i].task_count; k++)
			session_kill_task(l->ma, l->offers[i].tasks[k].task_id->value, l->offers[i].offer->agent_id->value);
		take_back(l, &l->offers[i]);
	}
	launch_free(l);
}

static void store_launch(struct launch *l)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	struct err e = { 0 };
	rec_Instances c = { 0 };
	size_t n = 0;
	for (size_t i = 0; i < l->offer_count; i++)
		n += l->offers[i].task_count;
	c.put = arena_array(&l->arena, rec_Instance, n + 1);
	for (size_t i = 0; i < l->offer_count; i++)
		for (size_t k = 0; k < l->offers[i].task_count; k++)
			c.put[c.put_count++] = instance_record(map_find_c(&l->ma->instances, l->offers[i].tasks[k].task_id->value));
	list_push(&l->ma->launches, &l->link);
	if (pb_write(rec_Instances_fields, &c, &bytes, &e) != 0) {
		on_stored(&l->propose, str_n(NULL, 0), &e);
		return;
	}
	store_propose(l->ma->store, rec_Op_OP_INSTANCES, buf_view(&bytes), STORE_TIMEOUT_US, &l->propose, on_stored);
	for (size_t i = 0; i < l->offer_count; i++)
		if (accept_offer(l, &l->offers[i]) != 0)
			take_back(l, &l->offers[i]);
}

void offers_take(struct marathon *ma, const mesos_v1_Offer *offers, size_t count)
{
	struct launch *l = xcalloc(1, sizeof(*l));
	ma->metrics.offers += (double)count;
	l->ma = ma;
	list_init(&l->link);
	arena_init(&l->arena, ARENA_MAX_DEFAULT);
	l->offers = arena_array(&l->arena, struct launch_offer, count + 1);
	mesos_v1_OfferID *unused = arena_array(&l->arena, mesos_v1_OfferID, count + 1);
	size_t unused_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct launch_offer *lo = &l->offers[l->offer_count];
		*lo = (struct launch_offer){ .offer = PB_DUP(&l->arena, mesos_v1_Offer, &offers[i], NULL) };
		if (lo->offer && ma->registered && ma->loaded)
			use_offer(l, lo);
		if (lo->task_count > 0)
			l->offer_count++;
		else
			unused[unused_count++] = *offers[i].id;
	}
	if (unused_count > 0)
		decline(ma, unused, unused_count);
	if (l->offer_count > 0)
		store_launch(l);
	else
		launch_free(l);
}

void offers_cancel(struct marathon *ma)
{
	list_each_safe(&ma->launches, it) {
		struct launch *l = list_entry(it, struct launch, link);
		propose_cancel(&l->propose);
		launch_free(l);
	}
}

void offers_demand(struct marathon *ma)
{
	mesos_v1_scheduler_Call_Revive revive = { 0 };
	mesos_v1_scheduler_Call_Suppress suppress = { 0 };
	mesos_v1_scheduler_Call call = { .has_type = true };
	bool wanted = false;
	if (!ma->registered)
		return;
	list_each(&ma->queue, it)
		wanted |= app_wants_offers(list_entry(it, struct app, queued));
	if (wanted && (ma->revive || ma->suppressed)) {
		call.type = mesos_v1_scheduler_Call_Type_REVIVE;
		call.revive = &revive;
		ma->suppressed = session_call(ma, &call) == 0 ? false : ma->suppressed;
		ma->metrics.revives++;
		ma->revive = false;
	} else if (!wanted && !ma->suppressed) {
		call.type = mesos_v1_scheduler_Call_Type_SUPPRESS;
		call.suppress = &suppress;
		ma->suppressed = session_call(ma, &call) == 0;
		ma->metrics.suppresses++;
		ma->revive = false;
	}
}
