/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frameworks and their sessions.
 *
 *   (registry, agent's word) -> RECOVERED --subscribe--> ACTIVE <--subscribe-- DISCONNECTED --failover_timeout--> COMPLETED
 *                                   `---failover_timeout----.   `--session ends-->  ^                                ^
 *                                                            `-----------------------+------------TEARDOWN----------'
 *
 * A framework's id and info are in the registry before its scheduler sees SUBSCRIBED. One session a framework: a newer one ends
 * the older. Source: Mesos' master (subscribe, teardown, failover) and its v1 scheduler API.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <pb_encode.h>
#include <stdio.h>

#include "net/base/log.h"
#include "net/limits.h"
#include "roles/master/mesos/model.h"

#define FAILOVER_LEFT_US MINUTE

static const char *const framework_states[] = { "recovered", "active", "disconnected", "completed" };
static const struct sm_move_row framework_moves[] = {
	{ FRAMEWORK_RECOVERED, FRAMEWORK_ACTIVE },     { FRAMEWORK_RECOVERED, FRAMEWORK_COMPLETED },
	{ FRAMEWORK_ACTIVE, FRAMEWORK_ACTIVE },        { FRAMEWORK_ACTIVE, FRAMEWORK_DISCONNECTED },
	{ FRAMEWORK_ACTIVE, FRAMEWORK_COMPLETED },
	{ FRAMEWORK_DISCONNECTED, FRAMEWORK_ACTIVE },  { FRAMEWORK_DISCONNECTED, FRAMEWORK_COMPLETED },
};
static const struct sm_type framework_type = { "framework", framework_states, framework_moves, ARRAY_LEN(framework_moves) };

static struct framework *find_any(const struct model *m, const char *id) { return map_find_c(&m->frameworks, id); }

struct framework *frameworks_find(const struct model *m, const char *id)
{
	struct framework *f = find_any(m, id);
	return f && f->sm.state != FRAMEWORK_COMPLETED ? f : NULL;
}

bool frameworks_completed(const struct model *m, const char *id)
{
	const struct framework *f = find_any(m, id);
	return f && f->sm.state == FRAMEWORK_COMPLETED;
}

/* ---- what it says of itself ---- */

static void set_roles(struct framework *f, struct arena *arena)
{
	const mesos_v1_FrameworkInfo *info = f->info;
	f->capabilities = 0;
	for (size_t i = 0; i < info->capabilities_count; i++)
		if (info->capabilities[i].has_type && (unsigned)info->capabilities[i].type < 32)
			f->capabilities |= 1u << info->capabilities[i].type;
	bool multi = framework_can(f, mesos_v1_FrameworkInfo_Capability_Type_MULTI_ROLE);
	f->role_count = multi ? info->roles_count : 1;
	f->roles = arena_array(arena, const char *, f->role_count);
	for (size_t i = 0; i < f->role_count; i++)
		f->roles[i] = multi ? info->roles[i] : info->role ? info->role : "*";
}

/* Offers of roles it gave up go; frameworks keep user, principal and checkpoint as first subscribed. */
static void set_info(struct model *m, struct framework *f, const mesos_v1_FrameworkInfo *from)
{
	struct arena arena = ARENA_INIT, old = f->arena;
	struct err e = { 0 };
	mesos_v1_FrameworkInfo *info = PB_DUP(&arena, mesos_v1_FrameworkInfo, from, &e);
	assert(info);
	if (f->info) {
		info->user = arena_strdup(&arena, f->info->user);
		info->has_checkpoint = f->info->has_checkpoint;
		info->checkpoint = f->info->checkpoint;
	}
	info->id = arena_new(&arena, mesos_v1_FrameworkID);
	info->id->value = f->id;
	f->info = info;
	f->arena = arena;
	set_roles(f, &f->arena);
	allocator_framework_roles(m->alloc, f->slot, f->roles, f->role_count);
	list_each_safe(&f->offers, it) {
		struct offer *o = list_entry(it, struct offer, framework_link);
		if (!allocator_has_role(m->alloc, f->slot, o->role))
			offers_rescind(m, o);
	}
	arena_fini(&old);
}

static void slot_put(struct model *m, struct framework *f, const mesos_v1_FrameworkInfo *info)
{
	bool gpus = false;
	for (size_t i = 0; i < info->capabilities_count; i++)
		gpus |= info->capabilities[i].type == mesos_v1_FrameworkInfo_Capability_Type_GPU_RESOURCES;
	f->slot = allocator_framework_add(m->alloc, f->id, gpus);
	if (f->slot >= m->framework_of_count) {
		m->framework_of_count = MAX(2 * m->framework_of_count, (size_t)f->slot + 16);
		m->framework_of = xrealloc(m->framework_of, m->framework_of_count * sizeof(struct framework *));
	}
	m->framework_of[f->slot] = f;
}

static struct framework *framework_new(struct model *m, const char *id, const mesos_v1_FrameworkInfo *info, enum framework_state state)
{
	struct framework *f = xcalloc(1, sizeof(*f));
	*f = (struct framework){ .id = xstrdup(id), .arena = ARENA_INIT };
	f->sm = (struct sm){ &framework_type, f->id, (uint8_t)state };
	list_init(&f->completed);
	list_init(&f->offers);
	list_push(&m->framework_list, &f->link);
	map_put_c(&m->frameworks, f->id, f);
	slot_put(m, f, info);
	set_info(m, f, info);
	publish_framework(m, f);
	return f;
}

void frameworks_free(struct model *m, struct framework *f)
{
	map_each(&f->tasks, entry)
		tasks_free(m, entry->value);
	list_each_safe(&f->completed, it)
		tasks_free(m, list_entry(it, struct task, completed_link));
	deadline_clear(&m->deadlines, &f->failover);
	list_remove(&f->link);
	list_remove(&f->dirty_link);
	map_remove_c(&m->frameworks, f->id);
	map_fini(&f->tasks);
	pools_fini(&f->used);
	pools_fini(&f->offered);
	arena_fini(&f->arena);
	free(f->id);
	free(f);
}

/* ---- registry ---- */

static void propose_put(struct model *m, const char *id, const mesos_v1_FrameworkInfo *from, int64_t registered_us, int64_t disconnected_us,
			struct pending *p)
{
	mesos_v1_FrameworkID fid = { (char *)id };
	mesos_v1_FrameworkInfo info = *from;
	info.id = &fid;
	rec_Framework row = { .id = (char *)id, .info = &info, .has_registered_us = true, .registered_us = registered_us,
			      .has_disconnected_us = disconnected_us != 0, .disconnected_us = disconnected_us };
	model_propose(m, rec_Op_OP_FRAMEWORK_PUT, rec_Framework_fields, &row, p);
}

/* ---- the end ---- */

static void on_failover_due(struct deadline *d, void *arg)
{
	struct framework *f = container_of(d, struct framework, failover);
	LOG(INFO, "framework did not come back", "id=%s name=%s", f->id, f->info->name);
	frameworks_remove(arg, f);
}

static int64_t failover_timeout_us(const struct framework *f)
{
	return f->info->has_failover_timeout ? (int64_t)(f->info->failover_timeout * 1e6) : 0;
}

static void failover_start(struct model *m, struct framework *f)
{
	deadline_set(&m->deadlines, &f->failover, m->now_us + failover_timeout_us(f), on_failover_due);
}

/* After a change of leaders the time goes on that ran before; some is left in any case, as there was nobody to come back to. */
static void failover_resume(struct model *m, struct framework *f, int64_t disconnected_us)
{
	int64_t whole_us = failover_timeout_us(f), gone_us = MAX(m->unix_us - disconnected_us, (int64_t)0);
	int64_t left_us = MAX(whole_us - gone_us, MIN(whole_us, FAILOVER_LEFT_US));
	deadline_set(&m->deadlines, &f->failover, m->now_us + left_us, on_failover_due);
}

static void end_session(struct model *m, struct sched *s, const char *reason)
{
	outbox_put(&m->out, (struct act){ .kind = ACT_CLOSE, .to = s, .payload = outbox_text(&m->out, reason) });
	if (s->framework)
		s->framework->session = NULL;
	s->framework = NULL;
}

void frameworks_close(struct model *m, struct sched *s, const char *error)
{
	mesos_v1_scheduler_Event_Error text = { (char *)error };
	mesos_v1_scheduler_Event ev = { .has_type = true, .type = mesos_v1_scheduler_Event_Type_ERROR, .error = &text };
	outbox_put(&m->out, (struct act){ .kind = ACT_EVENT, .to = s, .payload = outbox_encode(&m->out, mesos_v1_scheduler_Event_fields, &ev) });
	end_session(m, s, error);
}

static void completed_trim(struct model *m)
{
	while (m->completed_count > FRAMEWORKS_COMPLETED_MAX) {
		struct framework *oldest = list_entry(m->completed_list.next, struct framework, link);
		list_each(&oldest->completed, it)
			publish_task_gone(m, list_entry(it, struct task, completed_link));
		publish_framework_gone(m, oldest);
		frameworks_free(m, oldest);
		m->completed_count--;
	}
}

void frameworks_remove(struct model *m, struct framework *f)
{
	rec_Key key = { f->id };
	LOG(INFO, "framework removed", "id=%s name=%s tasks=%zu", f->id, f->info->name, map_count(&f->tasks));
	model_propose(m, rec_Op_OP_FRAMEWORK_REMOVE, rec_Key_fields, &key, NULL);
	deadline_clear(&m->deadlines, &f->failover);
	offers_drop_of_framework(m, f);
	tasks_framework_removed(m, f);
	if (f->session)
		end_session(m, f->session, "the framework was removed");
	allocator_framework_remove(m->alloc, f->slot);
	m->framework_of[f->slot] = NULL;
	f->slot = ALLOC_NONE;
	f->unregistered_us = m->unix_us;
	sm_move(&f->sm, FRAMEWORK_COMPLETED);
	list_remove(&f->link);
	list_push(&m->completed_list, &f->link);
	m->completed_count++;
	publish_framework(m, f);
	completed_trim(m);
}

/* A SUBSCRIBE that waits for the store: first for a number, then for the row. */
struct subscription {
	struct pending p;
	struct sched *sched;        /* NULL: it went away */
};

void frameworks_disconnect(struct model *m, struct sched *s)
{
	struct framework *f = s->framework;
	if (s->pending)
		container_of(s->pending, struct subscription, p)->sched = NULL;
	s->framework = NULL;
	if (!f || f->session != s)
		return;
	f->session = NULL;
	LOG(INFO, "framework disconnected", "id=%s name=%s", f->id, f->info->name);
	sm_move(&f->sm, FRAMEWORK_DISCONNECTED);
	offers_drop_of_framework(m, f);
	allocator_framework_activate(m->alloc, f->slot, false);
	failover_start(m, f);
	propose_put(m, f->id, f->info, f->registered_us, m->unix_us, NULL);
	publish_framework(m, f);
}

/* ---- recovery ---- */

void frameworks_load(struct model *m, const rec_Framework *row)
{
	if (!row->id || !row->info || find_any(m, row->id))
		return;
	struct framework *f = framework_new(m, row->id, row->info, FRAMEWORK_RECOVERED);
	f->registered_us = row->has_registered_us ? row->registered_us : m->unix_us;
	if (row->has_disconnected_us)
		failover_resume(m, f, row->disconnected_us);
	else
		failover_start(m, f);
}

struct framework *frameworks_learn(struct model *m, const mesos_v1_FrameworkInfo *info)
{
	struct framework *f = find_any(m, info->id->value);
	if (f)
		return f->sm.state == FRAMEWORK_COMPLETED ? NULL : f;
	f = framework_new(m, info->id->value, info, FRAMEWORK_RECOVERED);
	f->registered_us = m->unix_us;
	propose_put(m, f->id, info, f->registered_us, 0, NULL);
	failover_start(m, f);
	LOG(INFO, "framework learned from an agent", "id=%s name=%s", f->id, info->name);
	return f;
}

/* ---- subscribing ---- */

static void subscription_free(struct pending *p) { free(container_of(p, struct subscription, p)); }

static mesos_v1_MasterInfo *master_info(const struct model *m, struct arena *a)
{
	const struct model_config *c = &m->config;
	mesos_v1_MasterInfo *info = arena_new(a, mesos_v1_MasterInfo);
	mesos_v1_Address *addr = arena_new(a, mesos_v1_Address);
	struct in_addr in = { 0 };
	(void)inet_pton(AF_INET, c->ip, &in);       /* our own address, parsed at start */
	addr->hostname = arena_strdup(a, c->hostname);
	addr->ip = arena_strdup(a, c->ip);
	addr->port = c->port;
	info->id = arena_strdup(a, c->master_id);
	info->ip = in.s_addr;                       /* network order, as Mesos has it */
	info->port = c->port;
	info->pid = arena_printf(a, "master@%s:%u", c->ip, c->port);
	info->hostname = addr->hostname;
	info->version = arena_strdup(a, c->version);
	info->address = addr;
	return info;
}

static void tell_subscribed(struct model *m, struct framework *f)
{
	struct arena arena = ARENA_INIT;
	mesos_v1_scheduler_Event_Subscribed sub = {
		.framework_id = f->info->id, .has_heartbeat_interval_seconds = true,
		.heartbeat_interval_seconds = (double)HEARTBEAT_US / 1e6, .master_info = master_info(m, &arena),
	};
	mesos_v1_scheduler_Event ev = { .has_type = true, .type = mesos_v1_scheduler_Event_Type_SUBSCRIBED, .subscribed = &sub };
	model_event(m, f, &ev);
	arena_fini(&arena);
}

static void set_suppressed(struct model *m, struct framework *f, char *const *roles, size_t count)
{
	allocator_revive(m->alloc, f->slot, NULL);
	for (size_t i = 0; i < count; i++)
		allocator_suppress(m->alloc, f->slot, roles[i]);
}

static void subscribed(struct model *m, struct sched *s, const mesos_v1_FrameworkInfo *info)
{
	struct framework *f = frameworks_find(m, s->framework_id);
	bool first = !f;
	if (f && f->session)
		frameworks_close(m, f->session, "Framework failed over");
	if (f) {
		offers_drop_of_framework(m, f);
		set_info(m, f, info);
		f->reregistered_us = m->unix_us;
		sm_move(&f->sm, FRAMEWORK_ACTIVE);
	} else {
		f = framework_new(m, s->framework_id, info, FRAMEWORK_ACTIVE);
		f->registered_us = m->unix_us;
	}
	f->session = s;
	s->framework = f;
	deadline_clear(&m->deadlines, &f->failover);
	allocator_framework_activate(m->alloc, f->slot, true);
	set_suppressed(m, f, s->suppressed, s->suppressed_count);
	tell_subscribed(m, f);
	publish_framework(m, f);
	LOG(INFO, first ? "framework subscribed" : "framework re-subscribed", "id=%s name=%s", f->id, info->name);
}

static void on_recorded(struct pending *p, struct str reply, const struct err *e)
{
	struct subscription *sub = container_of(p, struct subscription, p);
	struct sched *s = sub->sched;
	struct arena arena = ARENA_INIT;
	mesos_v1_FrameworkInfo info;
	(void)reply;
	if (s)
		s->pending = NULL;
	if (s && e->code == 0 && frameworks_completed(p->model, s->framework_id)) {
		frameworks_close(p->model, s, "Framework has been removed");
	} else if (s && e->code == 0) {
		blob_unpack(&s->info, &arena, mesos_v1_FrameworkInfo_fields, &info);
		subscribed(p->model, s, &info);
	} else if (s) {
		frameworks_close(p->model, s, e->text);
	}
	subscription_free(p);
	arena_fini(&arena);
}

static void record(struct model *m, struct sched *s, struct pending *p)
{
	const struct framework *f = frameworks_find(m, s->framework_id);
	struct arena arena = ARENA_INIT;
	mesos_v1_FrameworkInfo info;
	blob_unpack(&s->info, &arena, mesos_v1_FrameworkInfo_fields, &info);
	p->done = on_recorded;
	propose_put(m, s->framework_id, &info, f ? f->registered_us : m->unix_us, 0, p);
	arena_fini(&arena);
}

static void on_numbered(struct pending *p, struct str reply, const struct err *e)
{
	struct subscription *sub = container_of(p, struct subscription, p);
	struct sched *s = sub->sched;
	struct arena arena = ARENA_INIT;
	rec_CounterValue n = rec_CounterValue_init_zero;
	struct err why = *e;
	if (!s || why.code != 0 || pb_read(&arena, rec_CounterValue_fields, reply, &n, &why) != 0) {
		on_recorded(p, reply, &why);
	} else {
		(void)snprintf(s->framework_id, sizeof(s->framework_id), "%s-%04" PRIu64, p->model->config.master_id, n.value - 1);
		record(p->model, s, p);
	}
	arena_fini(&arena);
}

/* What a known framework may not change, and whether its roles fit. */
static int check_subscribe(struct model *m, const mesos_v1_FrameworkInfo *info, char *const *suppressed, size_t suppressed_count,
			   struct err *e)
{
	const char *id = info->id && info->id->value ? info->id->value : "";
	const struct framework *f = find_any(m, id);
	if (validate_framework(info, e) != 0)
		return e->code;
	if (f && f->sm.state == FRAMEWORK_COMPLETED)
		return err_set(e, E_INVALID, "Framework has been removed");
	if (f && !cstr_eq(f->info->principal, info->principal) && f->info->principal)
		return err_set(e, E_INVALID, "Changing framework's principal is not allowed.");
	for (size_t i = 0; i < suppressed_count; i++) {
		bool found = info->roles_count == 0 && strcmp(suppressed[i], info->role ? info->role : "*") == 0;
		for (size_t k = 0; k < info->roles_count; k++)
			found |= strcmp(suppressed[i], info->roles[k]) == 0;
		if (!found)
			return err_set(e, E_INVALID, "Suppressed roles %s are not contained in the set of roles", suppressed[i]);
	}
	return 0;
}

struct sched *frameworks_subscribe(struct model *m, const mesos_v1_FrameworkInfo *info, char *const *suppressed, size_t suppressed_count,
				   struct sched_sink sink, struct err *e)
{
	const char *id = info->id && info->id->value ? info->id->value : "";
	struct blob packed = { 0 };
	*(id[0] ? &m->metrics.messages_reregister_framework : &m->metrics.messages_register_framework) += 1;
	if (check_subscribe(m, info, suppressed, suppressed_count, e) != 0 || blob_pack(&packed, mesos_v1_FrameworkInfo_fields, info, e) != 0)
		return NULL;
	if (packed.len > LIMIT_FRAMEWORK_INFO_BYTES) {
		err_set(e, E_TOOBIG, "FrameworkInfo is larger than %d bytes", LIMIT_FRAMEWORK_INFO_BYTES);
		blob_fini(&packed);
		return NULL;
	}
	struct sched *s = xcalloc(1, sizeof(*s));
	struct subscription *sub = xcalloc(1, sizeof(*sub));
	*s = (struct sched){ .model = m, .pending = &sub->p, .sink = sink, .info = packed, .suppressed_count = suppressed_count };
	*sub = (struct subscription){ .p = { .drop = subscription_free }, .sched = s };
	s->suppressed = xcalloc(suppressed_count, sizeof(char *));
	for (size_t i = 0; i < suppressed_count; i++)
		s->suppressed[i] = xstrdup(suppressed[i]);
	if (id[0]) {
		(void)str_put(s->framework_id, sizeof(s->framework_id), str_of(id));
		record(m, s, &sub->p);
	} else {
		rec_Counter counter = { "frameworks" };
		sub->p.done = on_numbered;
		model_propose(m, rec_Op_OP_COUNTER, rec_Counter_fields, &counter, &sub->p);
	}
	return s;
}

int frameworks_update(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_UpdateFramework *call, struct err *e)
{
	const mesos_v1_FrameworkInfo *info = call->framework_info;
	size_t size;
	if (check_subscribe(m, info, call->suppressed_roles, call->suppressed_roles_count, e) != 0)
		return e->code;
	if (!pb_get_encoded_size(&size, mesos_v1_FrameworkInfo_fields, info) || size > LIMIT_FRAMEWORK_INFO_BYTES)
		return err_set(e, E_TOOBIG, "FrameworkInfo is larger than %d bytes", LIMIT_FRAMEWORK_INFO_BYTES);
	if (!cstr_eq(info->user, f->info->user))
		return err_set(e, E_USAGE, "Updating 'FrameworkInfo.user' is unsupported; attempted to update from '%s' to '%s'",
			       f->info->user, info->user);
	if (info->checkpoint != f->info->checkpoint)
		return err_set(e, E_USAGE, "Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from '%s' to '%s'",
			       f->info->checkpoint ? "true" : "false", info->checkpoint ? "true" : "false");
	propose_put(m, f->id, info, f->registered_us, 0, NULL);
	set_info(m, f, info);
	set_suppressed(m, f, call->suppressed_roles, call->suppressed_roles_count);
	publish_framework(m, f);
	return 0;
}

/* ---- calls ---- */

static bool roles_known(const struct model *m, const struct framework *f, char *const *roles, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!allocator_has_role(m->alloc, f->slot, roles[i]))
			return false;
	return true;
}

/* Any unknown role: the whole call is dropped, as Mesos does. */
static void revive_or_suppress(struct model *m, struct framework *f, char *const *roles, size_t count, bool revive)
{
	void (*fn)(struct allocator *a, uint32_t fw, const char *role) = revive ? allocator_revive : allocator_suppress;
	if (!roles_known(m, f, roles, count))
		return;
	if (count == 0)
		fn(m->alloc, f->slot, NULL);
	for (size_t i = 0; i < count; i++)
		fn(m->alloc, f->slot, roles[i]);
}

static void send_message(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Message *call)
{
	struct agent *a = agents_find(m, call->agent_id->value);
	dcos_FrameworkMessage msg = {
		.framework_id = f->id, .agent_id = call->agent_id->value, .executor_id = call->executor_id->value, .data = call->data,
	};
	m->metrics.messages_message++;
	*(a && a->conn ? &m->metrics.valid_messages : &m->metrics.invalid_messages) += 1;
	if (a)
		model_send(m, a, dcos_Method_FRAMEWORK_MESSAGE, dcos_FrameworkMessage_fields, &msg);
}

void frameworks_message(struct model *m, struct agent *a, struct str payload)
{
	struct arena arena = ARENA_INIT;
	dcos_FrameworkMessage msg;
	struct err e = { 0 };
	m->metrics.messages_from_executors++;
	int rc = pb_read(&arena, dcos_FrameworkMessage_fields, payload, &msg, &e);
	struct framework *f = rc == 0 && msg.framework_id ? frameworks_find(m, msg.framework_id) : NULL;
	if (f && msg.executor_id) {
		mesos_v1_ExecutorID executor = { msg.executor_id };
		mesos_v1_scheduler_Event_Message text = {
			agents_id(&arena, a->id), &executor, msg.data ? msg.data : pb_bytes_put(&arena, STR("")),
		};
		mesos_v1_scheduler_Event ev = { .has_type = true, .type = mesos_v1_scheduler_Event_Type_MESSAGE, .message = &text };
		model_event(m, f, &ev);
	} else {
		m->metrics.dropped_messages++;
	}
	arena_fini(&arena);
}

int frameworks_call(struct model *m, struct sched *s, const mesos_v1_scheduler_Call *call, struct err *e)
{
	struct framework *f = s->framework;
	if (validate_call(call, e) != 0)
		return e->code;
	if (!f)
		return err_set(e, E_DENIED, "Framework is not subscribed");
	if (strcmp(call->framework_id->value, f->id) != 0)
		return err_set(e, E_USAGE, "Framework cannot be found");
	switch (call->type) {
	case mesos_v1_scheduler_Call_Type_TEARDOWN:
		m->metrics.messages_teardown++;
		frameworks_remove(m, f);
		return 0;
	case mesos_v1_scheduler_Call_Type_ACCEPT:
		offers_accept(m, f, call->accept);
		return 0;
	case mesos_v1_scheduler_Call_Type_DECLINE:
		offers_decline(m, f, call->decline);
		return 0;
	case mesos_v1_scheduler_Call_Type_REVIVE:
		m->metrics.messages_revive++;
		revive_or_suppress(m, f, call->revive ? call->revive->roles : NULL, call->revive ? call->revive->roles_count : 0, true);
		return 0;
	case mesos_v1_scheduler_Call_Type_SUPPRESS:
		m->metrics.messages_suppress++;
		revive_or_suppress(m, f, call->suppress ? call->suppress->roles : NULL, call->suppress ? call->suppress->roles_count : 0, false);
		return 0;
	case mesos_v1_scheduler_Call_Type_KILL:
		tasks_kill(m, f, call->kill);
		return 0;
	case mesos_v1_scheduler_Call_Type_SHUTDOWN:
		tasks_shutdown_executor(m, f, call->shutdown);
		return 0;
	case mesos_v1_scheduler_Call_Type_ACKNOWLEDGE:
		tasks_acknowledge(m, f, call->acknowledge);
		return 0;
	case mesos_v1_scheduler_Call_Type_RECONCILE:
		tasks_reconcile(m, f, call->reconcile);
		return 0;
	case mesos_v1_scheduler_Call_Type_MESSAGE:
		send_message(m, f, call->message);
		return 0;
	case mesos_v1_scheduler_Call_Type_UPDATE_FRAMEWORK:
		return frameworks_update(m, f, call->update_framework, e);
	case mesos_v1_scheduler_Call_Type_REQUEST:
		m->metrics.messages_request++;
		return 0;
	case mesos_v1_scheduler_Call_Type_ACCEPT_INVERSE_OFFERS:
	case mesos_v1_scheduler_Call_Type_DECLINE_INVERSE_OFFERS:
	case mesos_v1_scheduler_Call_Type_ACKNOWLEDGE_OPERATION_STATUS:
	case mesos_v1_scheduler_Call_Type_RECONCILE_OPERATIONS:
		return 0;        /* there are neither inverse offers nor operations: nothing to say, as to unknown ids */
	default:
		return err_set(e, E_UNSUPPORTED, "call type %d is unknown", (int)call->type);
	}
}
