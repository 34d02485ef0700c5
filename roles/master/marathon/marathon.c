/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in Marathon as a part of the master: made once, working while this master leads. */
#include "net/base/log.h"
#include "roles/master/marathon/marathon_int.h"

#define ROW(type, name, field, unit, help) { type, name, offsetof(struct marathon_metrics, field), unit, help },
static const struct metric metric_rows[] = { MARATHON_METRICS(ROW) };

static void refresh_metrics(void *arg)
{
	struct marathon *ma = arg;
	struct marathon_metrics *m = &ma->metrics;
	m->apps = m->deployments = m->running = m->staged = m->killing = 0;
	map_each(&ma->apps, entry)
		m->apps += ((const struct app *)entry->value)->spec != NULL;
	list_each(&ma->deployments, it)
		m->deployments++;
	map_each(&ma->instances, entry) {
		const struct instance *i = entry->value;
		m->running += i->state == mesos_v1_TaskState_TASK_RUNNING;
		m->staged += i->started_us == 0;
		m->killing += i->killing;
	}
}

struct marathon *marathon_new(struct master *m)
{
	struct marathon *ma = xcalloc(1, sizeof(*ma));
	ma->master = m;
	ma->loop = m->node.loop;
	ma->store = m->store;
	list_init(&ma->deployments);
	list_init(&ma->dirty);
	list_init(&ma->queue);
	list_init(&ma->changes);
	list_init(&ma->launches);
	list_init(&ma->acks);
	list_init(&ma->parked);
	list_init(&ma->subscribers);
	uuid1_init(&ma->uuid, loop_rnd(ma->loop));
	records_register(ma);
	metrics_add(&m->node.metrics, (struct metric_set){
		.rows = metric_rows, .count = ARRAY_LEN(metric_rows), .values = &ma->metrics, .refresh = refresh_metrics, .arg = ma,
	});
	return ma;
}

static void begin(struct marathon *ma)
{
	struct err e = { 0 };
	if (records_load(ma, &e) != 0) {
		/* Going on would launch everything a second time. */
		LOG(ERROR, "marathon's records cannot be read, it does not start", "error=\"%s\"", e.text);
		model_clear(ma);
		return;
	}
	ma->loaded = true;
	LOG(INFO, "marathon loaded", "apps=%zu instances=%zu", map_count(&ma->apps), map_count(&ma->instances));
	session_start(ma);
	step_soon(ma);
}

static void end(struct marathon *ma)
{
	step_cancel(ma);
	session_stop(ma);
	offers_cancel(ma);
	changes_cancel(ma);
	ma->loaded = false;
	requests_unpark(ma);     /* they are told that nobody leads here */
	events_stop(ma);
	model_clear(ma);
	free(MOVE(ma->framework_id));     /* maybe never stored */
}

void marathon_lead(struct marathon *ma, bool leads)
{
	if (ma->leads == leads)
		return;
	ma->leads = leads;
	if (leads)
		begin(ma);
	else
		end(ma);
}

void marathon_free(struct marathon *ma)
{
	if (!ma)
		return;
	marathon_lead(ma, false);
	map_fini(&ma->apps);
	map_fini(&ma->instances);
	free(ma->framework_id);
	free(ma);
}
