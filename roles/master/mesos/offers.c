/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offers: made from what the allocator gives, taken by ACCEPT, refused by DECLINE, rescinded when their agent or framework goes
 * or nobody answers. While an offer stands its resources count as the framework's; what a launch takes stays allocated, the rest
 * goes back with the call's filter. Source: Mesos' master (accept, validation of offers).
 */
#include <inttypes.h>

#include "roles/master/mesos/model.h"

/* ---- making ---- */

static mesos_v1_URL *agent_url(struct arena *arena, const struct agent *a)
{
	mesos_v1_URL *url = arena_new(arena, mesos_v1_URL);
	url->scheme = "http";
	url->address = arena_new(arena, mesos_v1_Address);
	url->address->hostname = a->info->hostname;
	url->address->ip = arena_strdup(arena, a->ip);
	url->address->port = (int32_t)a->port;
	url->path = "/slave(1)";
	return url;
}

/* Executors of the framework that run there, so that it may send them more tasks. */
static void set_executors(struct arena *arena, const struct offer *o, mesos_v1_Offer *out)
{
	size_t max = 0;
	list_each(&o->agent->tasks, it)
		max++;
	out->executor_ids = arena_array(arena, mesos_v1_ExecutorID, max);
	list_each(&o->agent->tasks, it) {
		const struct task *t = list_entry(it, struct task, agent_link);
		if (t->framework == o->framework && t->executor_id[0] && !pools_empty(&t->executor_used))
			out->executor_ids[out->executor_ids_count++].value = arena_strdup(arena, t->executor_id);
	}
}

static void offer_to_v1(struct arena *arena, const struct offer *o, mesos_v1_Offer *out)
{
	const struct framework *f = o->framework;
	bool multi = framework_can(f, mesos_v1_FrameworkInfo_Capability_Type_MULTI_ROLE);
	size_t count;
	*out = (mesos_v1_Offer)mesos_v1_Offer_init_zero;
	out->id = arena_new(arena, mesos_v1_OfferID);
	out->id->value = o->id;
	out->framework_id = arena_new(arena, mesos_v1_FrameworkID);
	out->framework_id->value = f->id;
	out->agent_id = o->agent->info->id;
	out->hostname = o->agent->info->hostname;
	out->resources = pools_to_v1(arena, &o->r, multi ? o->role : NULL,
				     framework_can(f, mesos_v1_FrameworkInfo_Capability_Type_RESERVATION_REFINEMENT), &count);
	out->resources_count = (pb_size_t)count;
	out->attributes = o->agent->info->attributes;
	out->attributes_count = o->agent->info->attributes_count;
	out->domain = o->agent->info->domain;
	out->url = agent_url(arena, o->agent);
	set_executors(arena, o, out);
	if (multi) {
		out->allocation_info = arena_new(arena, mesos_v1_Resource_AllocationInfo);
		out->allocation_info->role = o->role;
	}
}

static void on_timeout(struct deadline *d, void *arg) { offers_rescind(arg, container_of(d, struct offer, timeout)); }

static struct offer *offer_new(struct model *m, struct alloc_offer *from)
{
	struct offer *o = xcalloc(1, sizeof(*o));
	*o = (struct offer){
		.id = xasprintf("%s-O%" PRIu64, m->config.master_id, m->offers_made++),
		.framework = m->framework_of[from->framework], .agent = m->agent_of[from->agent],
		.role = xstrdup(from->role), .r = pools_move(&from->r),
	};
	list_push(&o->framework->offers, &o->framework_link);
	list_push(&o->agent->offers, &o->agent_link);
	pools_add_scalars(&o->framework->offered, &o->r);
	pools_add(&o->agent->offered, &o->r);
	map_put_c(&m->offers, o->id, o);
	deadline_set(&m->deadlines, &o->timeout, m->now_us + m->config.offer_timeout_us, on_timeout);
	publish_agent(m, o->agent);
	publish_framework(m, o->framework);
	return o;
}

/* One event with all the framework's new offers: the last of its list. */
static void tell_offers(struct model *m, struct framework *f)
{
	struct arena arena = ARENA_INIT;
	mesos_v1_scheduler_Event_Offers offers = { .offers = arena_array(&arena, mesos_v1_Offer, f->fresh_offers) };
	mesos_v1_scheduler_Event ev = { .has_type = true, .type = mesos_v1_scheduler_Event_Type_OFFERS, .offers = &offers };
	for (struct list *it = f->offers.prev; f->fresh_offers > 0; it = it->prev, f->fresh_offers--)
		offer_to_v1(&arena, list_entry(it, struct offer, framework_link), &offers.offers[offers.offers_count++]);
	model_event(m, f, &ev);
	arena_fini(&arena);
}

void offers_make(struct model *m)
{
	struct alloc_offer from;
	allocator_run(m->alloc, m->now_us);
	m->metrics.allocation_runs++;
	while (allocator_next(m->alloc, &from))
		offer_new(m, &from)->framework->fresh_offers++;
	list_each(&m->framework_list, it)
		if (list_entry(it, struct framework, link)->fresh_offers > 0)
			tell_offers(m, list_entry(it, struct framework, link));
}

/* ---- ending ---- */

/* The offer ends; its resources stay allocated until the caller recovers or keeps them. */
static void offer_end(struct model *m, struct offer *o)
{
	deadline_clear(&m->deadlines, &o->timeout);
	list_remove(&o->framework_link);
	list_remove(&o->agent_link);
	map_remove_c(&m->offers, o->id);
	pools_sub_scalars(&o->framework->offered, &o->r);
	pools_sub(&o->agent->offered, &o->r);
	publish_agent(m, o->agent);
	publish_framework(m, o->framework);
	pools_fini(&o->r);
	free(o->role);
	free(o->id);
	free(o);
}

static void offer_discard(struct model *m, struct offer *o, int64_t refuse_us)
{
	allocator_recover(m->alloc, o->framework->slot, o->role, o->agent->slot, &o->r, refuse_us, m->now_us);
	offer_end(m, o);
}

void offers_rescind(struct model *m, struct offer *o)
{
	mesos_v1_OfferID id = { o->id };
	mesos_v1_scheduler_Event_Rescind rescind = { &id };
	mesos_v1_scheduler_Event ev = { .has_type = true, .type = mesos_v1_scheduler_Event_Type_RESCIND, .rescind = &rescind };
	model_event(m, o->framework, &ev);
	offer_discard(m, o, 0);
}

void offers_drop_of_framework(struct model *m, struct framework *f)
{
	list_each_safe(&f->offers, it)
		offer_discard(m, list_entry(it, struct offer, framework_link), 0);
}

void offers_rescind_of_agent(struct model *m, struct agent *a)
{
	list_each_safe(&a->offers, it)
		offers_rescind(m, list_entry(it, struct offer, agent_link));
}

/* ---- calls ---- */

static int64_t refuse_us_of(const mesos_v1_Filters *f)
{
	if (!f || !f->has_refuse_seconds || !(f->refuse_seconds >= 0))
		return REFUSE_DEFAULT_US;
	double us = f->refuse_seconds * 1e6;
	return us >= (double)ALLOC_REFUSE_MAX_US ? ALLOC_REFUSE_MAX_US : (int64_t)us;
}

void offers_decline(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Decline *call)
{
	int64_t refuse_us = MAX(refuse_us_of(call->filters), REFUSE_FLOOR_US);
	m->metrics.messages_decline++;
	for (size_t i = 0; i < call->offer_ids_count; i++) {
		struct offer *o = map_find_c(&m->offers, call->offer_ids[i].value);
		if (o && o->framework == f)
			offer_discard(m, o, refuse_us);
	}
}

/* What an ACCEPT works on: offers of one agent and role together. */
struct accepting {
	struct framework *framework;
	struct agent *agent;
	const char *role;
	struct pools left;
	size_t launched;
};

static int check_offers(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Accept *call, struct err *e)
{
	const struct offer *first = NULL;
	if (call->offer_ids_count == 0)
		return err_set(e, E_INVALID, "No offers specified");
	for (size_t i = 0; i < call->offer_ids_count; i++) {
		const char *id = call->offer_ids[i].value;
		const struct offer *o = map_find_c(&m->offers, id);
		for (size_t k = 0; k < i; k++)
			if (strcmp(id, call->offer_ids[k].value) == 0)
				return err_set(e, E_INVALID, "Duplicate offer %s in offer list", id);
		if (!o)
			return err_set(e, E_INVALID, "Offer %s is no longer valid", id);
		if (o->framework != f)
			return err_set(e, E_INVALID, "Offer %s has invalid framework %s while framework %s is expected", id,
				       o->framework->id, f->id);
		first = first ? first : o;
		if (strcmp(o->role, first->role) != 0)
			return err_set(e, E_INVALID, "Aggregated offers must be allocated to the same role. Offer %s uses role '%s' "
				       "but another is using role '%s'", id, o->role, first->role);
		if (o->agent != first->agent)
			return err_set(e, E_INVALID, "Aggregated offers must belong to one single agent. Offer %s uses agent %s and agent %s",
				       id, o->agent->id, first->agent->id);
	}
	return 0;
}

/* Tell each task of the operations the same. */
static void report_launches(struct model *m, struct framework *f, const mesos_v1_Offer_Operation *ops, size_t count, struct task_report r)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; ops[i].launch && k < ops[i].launch->task_infos_count; k++)
			tasks_tell(m, f, &ops[i].launch->task_infos[k], r);
		const mesos_v1_TaskGroupInfo *group = ops[i].launch_group ? ops[i].launch_group->task_group : NULL;
		for (size_t k = 0; group && k < group->tasks_count; k++)
			tasks_tell(m, f, &group->tasks[k], r);
	}
}

static void refuse_accept(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Accept *call, const struct err *why)
{
	struct err text;
	for (size_t i = 0; i < call->offer_ids_count; i++) {
		struct offer *o = map_find_c(&m->offers, call->offer_ids[i].value);
		if (o && o->framework == f)
			offer_discard(m, o, 0);
	}
	err_set(&text, E_INVALID, "Task launched with invalid offers: %s", why->text);
	report_launches(m, f, call->operations, call->operations_count, (struct task_report){
		tasks_state_for(f, mesos_v1_TaskState_TASK_DROPPED), mesos_v1_TaskStatus_Reason_REASON_INVALID_OFFERS, text.text });
}

/* Resources of the task, and of its executor when that does not run there yet. */
static int needed(struct accepting *x, const mesos_v1_TaskInfo *info, struct pools *used, struct pools *executor_used, struct err *e)
{
	struct err why;
	if (pools_from_v1(used, info->resources, info->resources_count, &why) != 0)
		return err_set(e, E_INVALID, "Task uses invalid resources: %s", why.text);
	if (pools_empty(used))
		return err_set(e, E_INVALID, "Task uses no resources");
	const mesos_v1_ExecutorInfo *ex = info->executor;
	if (ex && !tasks_executor_live(x->agent, x->framework, ex->executor_id->value, NULL) &&
	    pools_from_v1(executor_used, ex->resources, ex->resources_count, &why) != 0)
		return err_set(e, E_INVALID, "Executor uses invalid resources: %s", why.text);
	return 0;
}

static int launch_one(struct model *m, struct accepting *x, const mesos_v1_TaskInfo *info, struct err *e)
{
	struct pools used = { 0 }, executor_used = { 0 }, both = { 0 };
	int rc = validate_task(info, x->framework->id, x->agent->id, e);
	if (rc == 0 && tasks_find(x->framework, info->task_id->value))
		rc = err_set(e, E_INVALID, "Task has duplicate ID: %s", info->task_id->value);
	if (rc == 0)
		rc = needed(x, info, &used, &executor_used, e);
	pools_add(&both, &used);
	pools_add(&both, &executor_used);
	if (rc == 0 && !pools_contains(&x->left, &both)) {
		struct arena arena = ARENA_INIT;
		rc = err_set(e, E_INVALID, "Total resources %s required by task and its executor is more than available %s",
			     pools_text(&arena, &both), pools_text(&arena, &x->left));
		arena_fini(&arena);
	}
	if (rc == 0)
		rc = tasks_launch(m, x->framework, x->agent, x->role, info, &used, &executor_used, e);
	if (rc == 0) {
		pools_sub(&x->left, &both);
		x->launched++;
	}
	pools_fini(&used);
	pools_fini(&executor_used);
	pools_fini(&both);
	return rc;
}

static void launch_all(struct model *m, struct accepting *x, const mesos_v1_Offer_Operation_Launch *launch)
{
	for (size_t i = 0; launch && i < launch->task_infos_count; i++) {
		struct err e = { 0 };
		if (launch_one(m, x, &launch->task_infos[i], &e) != 0)
			tasks_tell(m, x->framework, &launch->task_infos[i], (struct task_report){
				mesos_v1_TaskState_TASK_ERROR, mesos_v1_TaskStatus_Reason_REASON_TASK_INVALID, e.text });
	}
}

static void tell_operation_error(struct model *m, struct framework *f, const mesos_v1_Offer_Operation *op, const char *why)
{
	mesos_v1_OperationStatus status = {
		.operation_id = op->id, .state = mesos_v1_OperationState_OPERATION_ERROR, .message = (char *)why,
	};
	mesos_v1_scheduler_Event_UpdateOperationStatus update = { &status };
	mesos_v1_scheduler_Event ev = {
		.has_type = true, .type = mesos_v1_scheduler_Event_Type_UPDATE_OPERATION_STATUS, .update_operation_status = &update,
	};
	if (op->id)
		model_event(m, f, &ev);
}

static void apply(struct model *m, struct accepting *x, const mesos_v1_Offer_Operation *op)
{
	switch (op->type) {
	case mesos_v1_Offer_Operation_Type_LAUNCH:
		if (op->id)
			report_launches(m, x->framework, op, 1, (struct task_report){
				mesos_v1_TaskState_TASK_ERROR, mesos_v1_TaskStatus_Reason_REASON_TASK_INVALID,
				"The 'id' field cannot be set for LAUNCH operations" });
		else
			launch_all(m, x, op->launch);
		return;
	case mesos_v1_Offer_Operation_Type_LAUNCH_GROUP:
		report_launches(m, x->framework, op, 1, (struct task_report){
			mesos_v1_TaskState_TASK_ERROR, mesos_v1_TaskStatus_Reason_REASON_TASK_GROUP_INVALID,
			"Task groups are not supported by this cluster's agents" });
		return;
	default:
		tell_operation_error(m, x->framework, op, "Operations on reservations and volumes are not supported by this cluster's agents");
		return;
	}
}

void offers_accept(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Accept *call)
{
	struct accepting x = { .framework = f };
	struct err e = { 0 };
	m->metrics.messages_accept++;
	if (check_offers(m, f, call, &e) != 0) {
		refuse_accept(m, f, call, &e);
		return;
	}
	for (size_t i = 0; i < call->offer_ids_count; i++) {
		struct offer *o = map_find_c(&m->offers, call->offer_ids[i].value);
		x.agent = o->agent;
		if (!x.role)
			x.role = xstrdup(o->role);
		pools_add(&x.left, &o->r);
		offer_end(m, o);
	}
	assert(x.agent);      /* check_offers saw to it that there is an offer */
	for (size_t i = 0; i < call->operations_count; i++)
		apply(m, &x, &call->operations[i]);
	if (x.launched == 0)
		m->metrics.messages_decline++;
	int64_t refuse_us = refuse_us_of(call->filters);
	allocator_recover(m->alloc, f->slot, x.role, x.agent->slot, &x.left, x.launched > 0 ? refuse_us : MAX(refuse_us, REFUSE_FLOOR_US),
			  m->now_us);
	pools_fini(&x.left);
	free((char *)x.role);
}
