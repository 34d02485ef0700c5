/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O half of the Mesos master: events from agents (RPC), schedulers and the store go into the model; once a turn, after the
 * callbacks, its acts are carried out in order. Nothing of the model survives the loss of leadership.
 */
#include "roles/master/mesos/mesos.h"

#include "gen/version.h"
#include "net/base/log.h"
#include "roles/master/mesos/mesos_int.h"
#include "roles/master/mesos/registry.h"
#include "roles/master/quorum.h"

#define PROPOSE_TIMEOUT_US (20 * SEC)      /* Mesos' registry_store_timeout */

struct agent_conn {
	struct conn conn;                  /* first */
	struct mesos *ms;
	struct rpc_peer *peer;             /* NULL: closed */
	struct rpc_call ping;
	bool pinging;
	struct list link;
};

struct proposal {
	struct propose p;
	struct mesos *ms;
	struct pending *pending;
	struct list link;
};

/* ---- turns ---- */

static void on_flush(struct loop_defer *d);
static void on_timer(struct loop_timer *t);

struct model *mesos_enter(struct mesos *ms)
{
	assert(ms->model);
	ms->model->now_us = loop_now_us(ms->loop);
	ms->model->unix_us = loop_unix_us(ms->loop);
	loop_defer(ms->loop, &ms->flush, on_flush);
	return ms->model;
}

static void set_timer(struct mesos *ms)
{
	int64_t due_us = model_due_us(ms->model);
	if (due_us == INT64_MAX)
		loop_timer_stop(&ms->timer);
	else
		loop_timer_start_lazy(ms->loop, &ms->timer, MAX(due_us - loop_now_us(ms->loop), (int64_t)0), on_timer);
}

static void on_timer(struct loop_timer *t) { (void)mesos_enter(container_of(t, struct mesos, timer)); }

/* ---- carrying out ---- */

static void on_proposed(struct propose *p, struct str reply, const struct err *e)
{
	struct proposal *pr = container_of(p, struct proposal, p);
	(void)mesos_enter(pr->ms);
	list_remove(&pr->link);
	model_proposed(pr->pending, reply, e);
	free(pr);
}

static void do_propose(struct mesos *ms, const struct act *act)
{
	if (!act->pending) {
		store_propose_forget(ms->master->store, (uint32_t)act->number, act->payload);
		return;
	}
	struct proposal *pr = xcalloc(1, sizeof(*pr));
	pr->ms = ms;
	pr->pending = act->pending;
	list_push(&ms->proposals, &pr->link);
	store_propose(ms->master->store, (uint32_t)act->number, act->payload, PROPOSE_TIMEOUT_US, &pr->p, on_proposed);
}

static void do_event(struct sched *s, struct str payload)
{
	struct arena arena = ARENA_INIT;
	mesos_v1_scheduler_Event ev;
	struct err e = { 0 };
	if (s->ended)
		return;
	int rc = pb_read(&arena, mesos_v1_scheduler_Event_fields, payload, &ev, &e);
	assert(rc == 0);
	s->sink.event(s->sink.arg, &ev);
	arena_fini(&arena);
}

static void sched_end(struct mesos *ms, struct sched *s)
{
	s->ended = true;
	list_remove(&s->link);
	list_push(&ms->dead_scheds, &s->link);
	loop_defer(ms->loop, &ms->flush, on_flush);
}

static void do_close(struct mesos *ms, struct sched *s, struct str reason)
{
	AUTO_FREE char *text = str_dup(reason);
	if (s->ended)
		return;
	sched_end(ms, s);
	s->sink.closed(s->sink.arg, text);
}

static void on_pong(struct rpc_call *c, struct str reply, const struct err *e)
{
	struct agent_conn *ac = container_of(c, struct agent_conn, ping);
	(void)reply;
	ac->pinging = false;
	if (ac->ms->model && ac->conn.agent)
		agents_pong(mesos_enter(ac->ms), ac->conn.agent, e->code == 0);
}

static void do_ping(struct mesos *ms, struct agent_conn *ac)
{
	if (!ac->peer || ac->pinging)
		return;
	ac->pinging = true;
	rpc_call_start(ac->peer, &ac->ping, dcos_Method_AGENT_PING, STR(""), ms->master->config.agent_ping_timeout_us, on_pong);
}

static void conn_end(struct mesos *ms, struct agent_conn *ac)
{
	if (ac->pinging)
		rpc_call_cancel(&ac->ping);
	ac->pinging = false;
	rpc_peer_set_user(ac->peer, NULL);
	ac->peer = NULL;
	list_remove(&ac->link);
	list_push(&ms->dead_conns, &ac->link);
	loop_defer(ms->loop, &ms->flush, on_flush);
}

static void do_drop(struct mesos *ms, struct agent_conn *ac)
{
	struct rpc_peer *peer = ac->peer;
	if (!peer)
		return;
	conn_end(ms, ac);
	view_serve_closed(ms->master->node.view, peer);
	rpc_peer_close(peer);
}

static void do_fail(void *req, int code, struct str text)
{
	struct err e = { .code = code };
	(void)str_put(e.text, sizeof(e.text), text);
	rpc_fail(req, &e);
}

static void carry_out(struct mesos *ms, const struct act *act)
{
	struct view *view = ms->master->node.view;
	struct agent_conn *ac = act->to;
	switch (act->kind) {
	case ACT_EVENT:
		do_event(act->to, act->payload);
		return;
	case ACT_CLOSE:
		do_close(ms, act->to, act->payload);
		return;
	case ACT_SEND:
		if (ac->peer)
			rpc_send(ac->peer, (uint32_t)act->number, act->payload);
		return;
	case ACT_PING:
		do_ping(ms, ac);
		return;
	case ACT_DROP:
		do_drop(ms, ac);
		return;
	case ACT_REPLY:
		rpc_reply(act->to, act->payload);
		return;
	case ACT_FAIL:
		do_fail(act->to, act->number, act->payload);
		return;
	case ACT_PROPOSE:
		do_propose(ms, act);
		return;
	case ACT_VIEW_PUT:
		view_put(view, act->number, act->key, act->payload);
		return;
	case ACT_VIEW_DEL:
		view_del(view, act->number, act->key);
		return;
	case ACT_VIEW_SWEEP:
		view_sweep(view, act->number);
		return;
	}
}

static void sched_free(struct sched *s)
{
	for (size_t i = 0; i < s->suppressed_count; i++)
		free(s->suppressed[i]);
	free(s->suppressed);
	blob_fini(&s->info);
	free(s);
}

static void free_dead(struct mesos *ms)
{
	for (struct list *it; (it = list_pop(&ms->dead_scheds)); )
		sched_free(list_entry(it, struct sched, link));
	for (struct list *it; (it = list_pop(&ms->dead_conns)); )
		free(list_entry(it, struct agent_conn, link));
}

static void on_flush(struct loop_defer *d)
{
	struct mesos *ms = container_of(d, struct mesos, flush);
	struct model *m = ms->model;
	if (!m) {
		free_dead(ms);
		return;
	}
	m->now_us = loop_now_us(ms->loop);
	m->unix_us = loop_unix_us(ms->loop);
	model_tick(m);
	model_flush(m);
	struct outbox out = m->out;
	m->out = (struct outbox)OUTBOX_INIT;
	for (size_t i = 0; i < out.count; i++)
		carry_out(ms, &out.v[i]);
	outbox_fini(&out);
	if (m->out.count == 0)
		free_dead(ms);       /* else the next flush, which is due already, still names them */
	set_timer(ms);
}

/* ---- agents ---- */

struct mesos *mesos_of_peer(struct rpc_peer *p) { return ((struct master *)rpc_peer_arg(p))->mesos; }

static struct agent_conn *conn_of(struct rpc_peer *p)
{
	struct agent_conn *ac = rpc_peer_user(p);
	if (ac)
		return ac;
	ac = xcalloc(1, sizeof(*ac));
	ac->ms = mesos_of_peer(p);
	ac->peer = p;
	list_push(&ac->ms->conns, &ac->link);
	rpc_peer_set_user(p, ac);
	return ac;
}

static void on_register(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct mesos *ms = mesos_of_peer(p);
	struct err e = { .code = E_NOTLEADER, .text = "this master does not lead" };
	if (!req)
		return;
	if (!ms->model)
		rpc_fail(req, &e);
	else
		agents_register(mesos_enter(ms), &conn_of(p)->conn, req, payload);
}

/* The agent that registered over p, or NULL: the message is dropped, the agent repeats what matters once it is registered. */
static struct agent *agent_of(struct rpc_peer *p)
{
	struct agent_conn *ac = rpc_peer_user(p);
	struct mesos *ms = mesos_of_peer(p);
	if (!ms->model)
		return NULL;
	if (!ac || !ac->conn.agent)
		ms->model->metrics.dropped_messages++;
	return ac ? ac->conn.agent : NULL;
}

static void on_task_update(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct agent *a = agent_of(p);
	(void)req;
	if (a)
		tasks_update(mesos_enter(mesos_of_peer(p)), a, payload);
}

static void on_resources(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct agent *a = agent_of(p);
	(void)req;
	if (a)
		agents_resources(mesos_enter(mesos_of_peer(p)), a, payload);
}

static void on_framework_message(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct agent *a = agent_of(p);
	(void)req;
	if (a)
		frameworks_message(mesos_enter(mesos_of_peer(p)), a, payload);
}

const struct rpc_method mesos_rpc_methods[] = {
	{ dcos_Method_AGENT_REGISTER,    "agent-register",    on_register,          false },
	{ dcos_Method_TASK_UPDATE,       "task-update",       on_task_update,       false },
	{ dcos_Method_AGENT_RESOURCES,   "agent-resources",   on_resources,         false },
	{ dcos_Method_FRAMEWORK_MESSAGE, "framework-message", on_framework_message, false },
};
const size_t mesos_rpc_method_count = ARRAY_LEN(mesos_rpc_methods);

void mesos_agent_gone(struct mesos *ms, struct rpc_peer *p)
{
	struct agent_conn *ac = rpc_peer_user(p);
	if (!ac)
		return;
	conn_end(ms, ac);
	if (ms->model)
		agents_gone(mesos_enter(ms), &ac->conn);
}

/* ---- schedulers ---- */

struct sched *mesos_subscribe_roles(struct mesos *ms, const mesos_v1_FrameworkInfo *info, char *const *suppressed, size_t count,
				    struct sched_sink sink, struct err *e)
{
	if (!ms->model) {
		err_set(e, E_NOTLEADER, "this master does not lead");
		return NULL;
	}
	struct sched *s = frameworks_subscribe(mesos_enter(ms), info, suppressed, count, sink, e);
	if (!s)
		return NULL;
	s->owner = ms;
	list_push(&ms->scheds, &s->link);
	return s;
}

struct sched *mesos_subscribe(struct mesos *ms, const mesos_v1_FrameworkInfo *info, bool force, struct sched_sink sink, struct err *e)
{
	const char *id = info->id && info->id->value ? info->id->value : "";
	const struct framework *f = ms->model ? frameworks_find(ms->model, id) : NULL;
	if (f && f->session && !force) {
		err_set(e, E_INVALID, "Framework failed over");
		return NULL;
	}
	return mesos_subscribe_roles(ms, info, NULL, 0, sink, e);
}

void mesos_disconnect(struct sched *s)
{
	struct mesos *ms = s->owner;
	if (s->ended)
		return;
	sched_end(ms, s);
	frameworks_disconnect(mesos_enter(ms), s);
}

const char *sched_framework_id(const struct sched *s) { return s->framework_id; }

int mesos_call(struct mesos *ms, struct sched *s, const mesos_v1_scheduler_Call *call, struct err *e)
{
	if (!ms->model || s->ended)
		return err_set(e, E_NOTLEADER, "the session has ended");
	return frameworks_call(mesos_enter(ms), s, call, e);
}

/* ---- leading ---- */

/* What the store's callbacks need. An unreadable row stops the load: leading with half a registry would lose tasks. */
struct load {
	struct model *model;
	struct kv_txn *view;
	struct arena arena;          /* of one row */
	struct err err;
};

static bool load_framework(void *arg, struct str key, struct str value)
{
	struct load *l = arg;
	rec_Framework row;
	if (pb_read(&l->arena, rec_Framework_fields, value, &row, &l->err) == 0)
		frameworks_load(l->model, &row);
	else
		err_wrap(&l->err, "framework '" STR_FMT "'", STR_ARG(key));
	arena_fini(&l->arena);
	return l->err.code == 0;
}

static bool load_agent(void *arg, struct str key, struct str value)
{
	struct load *l = arg;
	rec_Agent row;
	if (pb_read(&l->arena, rec_Agent_fields, value, &row, &l->err) == 0)
		agents_load(l->model, &row);
	else
		err_wrap(&l->err, "agent '" STR_FMT "'", STR_ARG(key));
	arena_fini(&l->arena);
	return l->err.code == 0;
}

/* The view may still know the state from before; when it does not, the agent tells. */
static bool load_intent(void *arg, struct str key, struct str value)
{
	struct load *l = arg;
	rec_Intent row;
	dcos_ViewTask last;
	struct str seen;
	struct err none = { 0 };
	if (pb_read(&l->arena, rec_Intent_fields, value, &row, &l->err) == 0) {
		bool known = view_get(l->view, dcos_ViewTable_VIEW_TASK, key, &seen, &none) == 0 &&
			     pb_read(&l->arena, dcos_ViewTask_fields, seen, &last, &none) == 0;
		tasks_load(l->model, &row, known ? &last : NULL);
	} else {
		err_wrap(&l->err, "launch '" STR_FMT "'", STR_ARG(key));
	}
	arena_fini(&l->arena);
	return l->err.code == 0;
}

static int load_all(struct mesos *ms, struct err *e)
{
	AUTO_TXN struct kv_txn *state = NULL;
	AUTO_TXN struct kv_txn *view = NULL;
	struct load l = { .model = ms->model, .arena = ARENA_INIT };
	int rc = store_read(ms->master->store, &state, e);
	if (rc == 0)
		rc = view_begin(ms->master->node.view, &view, e);
	l.view = view;
	if (rc == 0)
		rc = kv_each(state, &registry_frameworks, STR(""), load_framework, &l, e);
	if (rc == 0 && l.err.code == 0)
		rc = kv_each(state, &registry_agents, STR(""), load_agent, &l, e);
	if (rc == 0 && l.err.code == 0)
		rc = kv_each(state, &registry_intents, STR(""), load_intent, &l, e);
	if (rc == 0 && l.err.code != 0)
		*e = l.err;
	return rc == 0 ? l.err.code : rc;
}

static void put_master(struct view *view, const dcos_ViewMaster *v)
{
	AUTO_BUF struct buf row = BUF_INIT;
	struct err e = { 0 };
	if (pb_write(dcos_ViewMaster_fields, v, &row, &e) == 0)
		view_put(view, dcos_ViewTable_VIEW_MASTER, str_of(v->ip), buf_view(&row));
}

/* Rows of other masters: they do not lead, and those that are masters no more go. */
struct other_masters {
	struct mesos *ms;
	const dcos_Leader *all;        /* its masters; none: not known yet */
	struct map have;               /* by ip */
};

static bool is_master(const dcos_Leader *all, struct str ip)
{
	for (size_t i = 0; i < all->masters_count; i++)
		if (str_eq_c(ip, all->masters[i].ip))
			return true;
	return all->masters_count == 0;
}

static bool look_at_other(void *arg, struct str key, struct str value)
{
	struct other_masters *o = arg;
	struct view *view = o->ms->master->node.view;
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_ViewMaster v;
	struct err e;
	if (str_eq_c(key, o->ms->master->node.ip))
		return true;
	if (pb_read(&arena, dcos_ViewMaster_fields, value, &v, &e) != 0 || !v.ip || !is_master(o->all, key)) {
		view_del(view, dcos_ViewTable_VIEW_MASTER, key);
		return true;
	}
	v.leader = v.has_elected_us = false;
	put_master(view, &v);
	(void)map_put(&o->have, key, o);
	return true;
}

static void add_other(struct other_masters *o, const dcos_MasterAddress *a)
{
	struct master *m = o->ms->master;
	dcos_ViewMaster v = { .ip = a->ip, .has_leader = true, .has_rpc_port = true, .rpc_port = a->rpc_port, .hostname = a->ip,
			      .cluster = m->node.config->cluster };
	if (a->ip && strcmp(a->ip, m->node.ip) != 0 && !map_find_c(&o->have, a->ip))
		put_master(m->node.view, &v);
}

static void publish_self(struct master *m)
{
	dcos_ViewMaster v = {
		.ip = m->node.ip, .id = m->id, .has_leader = true, .leader = true, .has_port = true, .port = m->config.mesos_port,
		.node = m->node.name, .hostname = m->node.hostname, .cluster = m->node.config->cluster,
		.has_start_us = true, .start_us = m->node.started_unix_us, .has_elected_us = true, .elected_us = m->elected_unix_us,
		.has_rpc_port = true, .rpc_port = m->config.rpc_port,
	};
	put_master(m->node.view, &v);
}

/* In one transaction, so that there is one leader at any time. */
void mesos_masters_changed(struct mesos *ms)
{
	struct master *m = ms->master;
	AUTO_ARENA struct arena arena = ARENA_INIT;
	AUTO_TXN struct kv_txn *txn = NULL;
	dcos_Leader all = { 0 };
	struct other_masters o = { .ms = ms, .all = &all };
	struct err e = { 0 };
	if (!ms->model)
		return;
	quorum_addresses(m->quorum, &arena, &all);
	if (view_begin(m->node.view, &txn, &e) != 0 || view_each(txn, dcos_ViewTable_VIEW_MASTER, look_at_other, &o, &e) != 0)
		LOG(WARN, "the masters of before are not known", "reason=%s", e.text);
	for (size_t i = 0; i < all.masters_count; i++)
		add_other(&o, &all.masters[i]);
	publish_self(m);
	map_fini(&o.have);
}

static void lead_start(struct mesos *ms)
{
	struct master *m = ms->master;
	struct err e = { 0 };
	struct model_config c = {
		.master_id = m->id, .ip = m->node.ip, .hostname = m->node.hostname, .version = DCOS_MESOS_VERSION,
		.port = m->config.mesos_port, .ping_timeout_us = m->config.agent_ping_timeout_us,
		.ping_misses_max = m->config.max_agent_ping_timeouts, .offer_timeout_us = m->config.offer_timeout_us,
		.reregister_rate = m->config.agent_reregister_rate,
	};
	ms->model = xcalloc(1, sizeof(*ms->model));
	model_init(ms->model, &c);
	(void)mesos_enter(ms);
	if (load_all(ms, &e) != 0) {
		err_wrap(&e, "read the registry in '%s'", m->node.config->state_dir);
		exit(node_die("master", &e));      /* another master may lead better; this one must not */
	}
	agents_recovery_start(ms->model);
	mesos_masters_changed(ms);
}

static void lead_stop(struct mesos *ms)
{
	for (struct list *it; (it = list_pop(&ms->proposals)); ) {
		struct proposal *pr = list_entry(it, struct proposal, link);
		propose_cancel(&pr->p);
		free(pr);
	}
	while (!list_empty(&ms->scheds))
		do_close(ms, list_entry(ms->scheds.next, struct sched, link), STR("this master no longer leads"));
	list_each_safe(&ms->conns, it)
		do_drop(ms, list_entry(it, struct agent_conn, link));
	model_stop(ms->model);
	for (size_t i = 0; i < ms->model->out.count; i++)     /* who waits for an answer gets one */
		if (ms->model->out.v[i].kind == ACT_REPLY || ms->model->out.v[i].kind == ACT_FAIL)
			do_fail(ms->model->out.v[i].to, E_NOTLEADER, STR("this master no longer leads"));
	model_fini(ms->model);
	free(ms->model);
	ms->model = NULL;
	loop_timer_stop(&ms->timer);
	loop_defer_cancel(&ms->flush);
	free_dead(ms);
}

void mesos_lead(struct mesos *ms, bool leads)
{
	if (leads == (ms->model != NULL))
		return;
	if (leads)
		lead_start(ms);
	else
		lead_stop(ms);
}

/* ---- life ---- */

static void refresh_metrics(void *arg)
{
	struct mesos *ms = arg;
	if (ms->model) {
		publish_metrics(ms->model);
		ms->metrics = ms->model->metrics;
	}
	ms->metrics.elected = ms->model != NULL;
	ms->metrics.uptime_secs = (double)(loop_unix_us(ms->loop) - ms->master->node.started_unix_us) / 1e6;
}

struct mesos *mesos_new(struct master *m)
{
	struct mesos *ms = xcalloc(1, sizeof(*ms));
	ms->master = m;
	ms->loop = m->node.loop;
	list_init(&ms->conns);
	list_init(&ms->scheds);
	list_init(&ms->dead_conns);
	list_init(&ms->dead_scheds);
	list_init(&ms->proposals);
	registry_register(m->store);
	metrics_add(&m->node.metrics, (struct metric_set){ master_metric_rows, master_metric_count, &ms->metrics, refresh_metrics, ms });
	return ms;
}

void mesos_free(struct mesos *ms)
{
	if (!ms)
		return;
	mesos_lead(ms, false);
	list_each_safe(&ms->conns, it)
		free(list_entry(it, struct agent_conn, link));
	loop_defer_cancel(&ms->flush);
	free_dead(ms);
	free(ms);
}

/* ---- questions ---- */

void mesos_each_agent(struct mesos *ms, bool (*fn)(void *arg, const mesos_v1_AgentInfo *info, const struct resources *total,
						     const struct resources *free), void *arg)
{
	bool more = true;
	if (!ms->model)
		return;
	list_each(&ms->model->agent_list, it) {
		const struct agent *a = list_entry(it, struct agent, link);
		struct pools used = { 0 };
		struct resources total = { 0 }, free_part = { 0 }, taken = { 0 };
		if (a->sm.state != AGENT_ACTIVE || !more)
			continue;
		agents_used(a, &used);
		pools_total(&used, &taken);
		pools_total(allocator_agent_total(ms->model->alloc, a->slot), &total);
		resources_copy(&free_part, &total);
		resources_sub_part(&free_part, &taken);
		more = fn(arg, a->info, &total, &free_part);
		pools_fini(&used);
		resources_fini(&total);
		resources_fini(&free_part);
		resources_fini(&taken);
	}
}

/* On a master that does not lead, as the view has it. */
static bool agent_addr_of_view(struct mesos *ms, const char *agent_id, struct sock_addr *out)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	AUTO_TXN struct kv_txn *txn = NULL;
	dcos_ViewAgent row;
	struct str value;
	struct err e;
	return agent_id[0] && view_begin(ms->master->node.view, &txn, &e) == 0 &&
	       view_get(txn, dcos_ViewTable_VIEW_AGENT, str_of(agent_id), &value, &e) == 0 &&
	       pb_read(&arena, dcos_ViewAgent_fields, value, &row, &e) == 0 && row.ip && row.port <= UINT16_MAX &&
	       sock_addr_parse(out, row.ip, (uint16_t)row.port, &e) == 0;
}

bool mesos_agent_addr(struct mesos *ms, const char *agent_id, struct sock_addr *out)
{
	struct err e;
	if (!ms->model)
		return agent_addr_of_view(ms, agent_id, out);
	const struct agent *a = agents_find(ms->model, agent_id);
	return a && a->port <= UINT16_MAX && sock_addr_parse(out, a->ip, (uint16_t)a->port, &e) == 0;
}
