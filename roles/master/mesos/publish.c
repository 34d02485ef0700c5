/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model as rows of the view: what changed in a turn is written once at its end. Names leave the view when their task ends;
 * tasks and frameworks stay as long as their history is kept.
 */
#include "roles/master/mesos/model.h"

void publish_agent(struct model *m, struct agent *a)
{
	if (!list_linked(&a->dirty_link))
		list_push(&m->dirty_agents, &a->dirty_link);
}

void publish_framework(struct model *m, struct framework *f)
{
	if (!list_linked(&f->dirty_link))
		list_push(&m->dirty_frameworks, &f->dirty_link);
}

void publish_task(struct model *m, struct task *t)
{
	if (!list_linked(&t->dirty_link))
		list_push(&m->dirty_tasks, &t->dirty_link);
}

/* ---- acts ---- */

static void put(struct model *m, dcos_ViewTable table, const char *key, const pb_msgdesc_t *fields, const void *row)
{
	outbox_put(&m->out, (struct act){ .kind = ACT_VIEW_PUT, .number = table, .key = outbox_text(&m->out, key),
					  .payload = outbox_encode(&m->out, fields, row) });
}

static void del(struct model *m, dcos_ViewTable table, const char *key)
{
	outbox_put(&m->out, (struct act){ .kind = ACT_VIEW_DEL, .number = table, .key = outbox_text(&m->out, key) });
}

void publish_agent_gone(struct model *m, const struct agent *a) { del(m, dcos_ViewTable_VIEW_AGENT, a->id); }
void publish_framework_gone(struct model *m, const struct framework *f) { del(m, dcos_ViewTable_VIEW_FRAMEWORK, f->id); }

static char *task_key(const struct task *t) { return xasprintf("%s/%s", t->framework->id, t->id); }

void publish_task_gone(struct model *m, const struct task *t)
{
	AUTO_FREE char *key = task_key(t);
	del(m, dcos_ViewTable_VIEW_TASK, key);
}

/* ---- rows ---- */

static mesos_v1_Resource *rows_of(struct arena *arena, const struct pools *p, pb_size_t *out_count)
{
	size_t count;
	mesos_v1_Resource *rows = pools_to_v1(arena, p, NULL, false, &count);
	*out_count = (pb_size_t)count;
	return rows;
}

static void write_agent(struct model *m, const struct agent *a)
{
	struct arena arena = ARENA_INIT;
	struct pools used = { 0 };
	if (a->sm.state == AGENT_UNREACHABLE) {
		publish_agent_gone(m, a);
		return;
	}
	dcos_ViewAgent row = {
		.info = a->info, .ip = (char *)a->ip, .has_port = true, .port = a->port,
		.has_active = true, .active = a->sm.state == AGENT_ACTIVE,
		.has_registered_us = a->registered_us != 0, .registered_us = a->registered_us,
		.has_reregistered_us = a->reregistered_us != 0, .reregistered_us = a->reregistered_us,
		.node = (char *)a->node, .version = (char *)a->version,
	};
	agents_used(a, &used);
	row.used = rows_of(&arena, &used, &row.used_count);
	row.offered = rows_of(&arena, &a->offered, &row.offered_count);
	put(m, dcos_ViewTable_VIEW_AGENT, a->id, dcos_ViewAgent_fields, &row);
	pools_fini(&used);
	arena_fini(&arena);
}

static void write_framework(struct model *m, const struct framework *f)
{
	struct arena arena = ARENA_INIT;
	dcos_ViewFramework row = {
		.info = f->info, .has_active = true, .active = f->sm.state == FRAMEWORK_ACTIVE,
		.has_connected = true, .connected = f->session != NULL,
		.has_registered_us = true, .registered_us = f->registered_us,
		.has_reregistered_us = f->reregistered_us != 0, .reregistered_us = f->reregistered_us,
		.has_unregistered_us = f->unregistered_us != 0, .unregistered_us = f->unregistered_us,
	};
	row.used = rows_of(&arena, &f->used, &row.used_count);
	row.offered = rows_of(&arena, &f->offered, &row.offered_count);
	put(m, dcos_ViewTable_VIEW_FRAMEWORK, f->id, dcos_ViewFramework_fields, &row);
	arena_fini(&arena);
}

static void write_name(struct model *m, const struct task *t, const char *key, struct arena *arena, const mesos_v1_TaskInfo *info,
		       const mesos_v1_TaskStatus *latest)
{
	dcos_ViewName row;
	if (t->completed || task_state_terminal(t->state)) {
		del(m, dcos_ViewTable_VIEW_NAME, key);
		return;
	}
	if (!t->agent || (!latest && t->agent->sm.state == AGENT_RECOVERED))
		return;      /* not known yet whether it runs: leave what the view has from before */
	task_view_name(arena, info, t->framework->info->name, t->agent->ip, latest, t->draining, &row);
	row.state = (int32_t)t->state;
	put(m, dcos_ViewTable_VIEW_NAME, key, dcos_ViewName_fields, &row);
}

static void write_task(struct model *m, const struct task *t)
{
	struct arena arena = ARENA_INIT;
	AUTO_FREE char *key = task_key(t);
	mesos_v1_TaskInfo info;
	mesos_v1_TaskStatus *statuses = arena_array(&arena, mesos_v1_TaskStatus, t->status_count);
	blob_unpack(&t->info, &arena, mesos_v1_TaskInfo_fields, &info);
	info.data = NULL;          /* for executors only, and large */
	if (info.executor)
		info.executor->data = NULL;
	for (size_t i = 0; i < t->status_count; i++)
		blob_unpack(&t->statuses[i], &arena, mesos_v1_TaskStatus_fields, &statuses[i]);
	dcos_ViewTask row = {
		.info = &info, .framework_id = t->framework->id, .has_state = true, .state = (int32_t)t->state,
		.statuses = statuses, .statuses_count = (pb_size_t)t->status_count,
		.container_id = t->container_id, .sandbox = t->sandbox, .has_completed = t->completed, .completed = t->completed,
		.has_status_update_us = true, .status_update_us = t->updated_us,
	};
	put(m, dcos_ViewTable_VIEW_TASK, key, dcos_ViewTask_fields, &row);
	write_name(m, t, key, &arena, &info, t->status_count > 0 ? &statuses[t->status_count - 1] : NULL);
	arena_fini(&arena);
}

void publish_flush(struct model *m)
{
	for (struct list *it; (it = list_pop(&m->dirty_agents)); )
		write_agent(m, list_entry(it, struct agent, dirty_link));
	for (struct list *it; (it = list_pop(&m->dirty_frameworks)); )
		write_framework(m, list_entry(it, struct framework, dirty_link));
	for (struct list *it; (it = list_pop(&m->dirty_tasks)); )
		write_task(m, list_entry(it, struct task, dirty_link));
}

/* ---- metrics ---- */

#define ROW(type, name, field, unit, help) { METRIC_##type, name, offsetof(struct master_metrics, field), unit, help },
const struct metric master_metric_rows[] = { MASTER_METRICS(ROW) };
const size_t master_metric_count = ARRAY_LEN(master_metric_rows);
static_assert(sizeof(struct master_metrics) == ARRAY_LEN(master_metric_rows) * sizeof(double), "one value a row");

static void set_amount(double *total, double *used, double *percent, int64_t total_milli, int64_t used_milli)
{
	*total = (double)total_milli / 1000.0;
	*used = (double)used_milli / 1000.0;
	*percent = total_milli > 0 ? (double)used_milli / (double)total_milli : 0;
}

static void count_agents(struct model *m, struct resources *total)
{
	struct master_metrics *x = &m->metrics;
	x->slaves_active = x->slaves_inactive = x->slaves_connected = x->slaves_disconnected = x->slaves_unreachable = 0;
	list_each(&m->agent_list, it) {
		const struct agent *a = list_entry(it, struct agent, link);
		bool active = a->sm.state == AGENT_ACTIVE;
		if (active)
			pools_total(allocator_agent_total(m->alloc, a->slot), total);
		x->slaves_active += active;
		x->slaves_connected += active;
		x->slaves_inactive += a->sm.state == AGENT_DISCONNECTED;
		x->slaves_disconnected += a->sm.state == AGENT_DISCONNECTED;
		x->slaves_unreachable += a->sm.state == AGENT_UNREACHABLE;
	}
}

static void count_frameworks(struct model *m, struct resources *used)
{
	struct master_metrics *x = &m->metrics;
	x->frameworks_active = x->frameworks_inactive = x->frameworks_connected = x->frameworks_disconnected = 0;
	list_each(&m->framework_list, it) {
		const struct framework *f = list_entry(it, struct framework, link);
		bool active = f->sm.state == FRAMEWORK_ACTIVE;
		pools_total(&f->used, used);
		x->frameworks_active += active;
		x->frameworks_inactive += !active;
		x->frameworks_connected += f->session != NULL;
		x->frameworks_disconnected += f->session == NULL;
	}
}

void publish_metrics(struct model *m)
{
	struct resources total = { 0 }, used = { 0 };
	struct master_metrics *x = &m->metrics;
	count_agents(m, &total);
	count_frameworks(m, &used);
	set_amount(&x->cpus_total, &x->cpus_used, &x->cpus_percent, total.cpus_milli, used.cpus_milli);
	set_amount(&x->mem_total, &x->mem_used, &x->mem_percent, total.mem_milli, used.mem_milli);
	set_amount(&x->disk_total, &x->disk_used, &x->disk_percent, total.disk_milli, used.disk_milli);
	set_amount(&x->gpus_total, &x->gpus_used, &x->gpus_percent, total.gpus_milli, used.gpus_milli);
	x->outstanding_offers = (double)map_count(&m->offers);
	x->offer_filters = (double)allocator_filter_count(m->alloc);
	resources_fini(&total);
	resources_fini(&used);
}
