/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who leads: this master, when its store says so; else the one that roles/leader.c has found and whose connection stands. Two
 * kinds of askers are held until that changes: processes that ask WHO_LEADS with `wait`, and HTTP requests. Everybody hears of
 * a change in the turn in which we do; agents, which are many, are told to spread.
 *
 *   FOLLOWING <--store_on_role--> LEADING
 *     (leader: NULL while LEADING, and before identity is there; none for a cluster of one)
 */
#include "roles/master/lead.h"

#include <stdio.h>

#include "net/base/log.h"
#include "net/pb_util.h"
#include "roles/leader.h"
#include "roles/master/quorum.h"

#define CONNECT_TIMEOUT_US SEC               /* to the leader's ports: one that is cut off soon leads no longer */
#define RESEND_US (20 * MSEC)                /* between tries of one HTTP request */
#define CONNECT_US (2 * SEC)
#define HOLD_US SEC                          /* an asking process tries another master then */

struct lead {
	struct master *master;               /* borrowed */
	struct leader *leader;               /* owned; NULL: see above */
	bool started, leads;
	struct list asks, requests;          /* struct held_ask, struct held_request: owned, by their request */
	struct map by_peer;                  /* peer -> struct held_ask: one a connection */
};

/* A WHO_LEADS that is answered when something else than ip:port leads. */
struct held_ask {
	struct list link;
	struct lead *lead;
	struct rpc_peer *peer;
	struct rpc_req *req;
	struct loop_timer late;              /* while nobody leads */
	char ip[64];                         /* whom the other side follows; "": nobody */
	uint32_t port;
};

struct held_request {                        /* in the request's arena */
	struct list link;
	struct http_req *req;
	struct loop_timer timer;
	void (*fn)(struct http_req *r), (*late)(struct http_req *r);
	void *user;                          /* r->user for them */
};

/* ---- facts ---- */

bool lead_now(const struct lead *l, struct lead_facts *out)
{
	const struct master *m = l->master;
	const dcos_Leader *f = leader_facts(l->leader);
	if (l->leads)
		*out = (struct lead_facts){ true, m->node.ip, m->node.hostname, m->id, m->config.rpc_port, m->config.mesos_port,
					    m->config.marathon_port, m->config.adminrouter_port };
	else if (f)
		*out = (struct lead_facts){ false, f->ip, f->hostname, f->id, (uint16_t)f->rpc_port, (uint16_t)f->mesos_port,
					    (uint16_t)f->marathon_port, (uint16_t)f->adminrouter_port };
	return l->leads || f;
}

/* ---- WHO_LEADS ---- */

static bool count_row(void *arg, struct str key, struct str value)
{
	(void)key;
	(void)value;
	++*(int64_t *)arg;
	return true;
}

/* Over what time so many agents come, at the rate we take them. */
static int64_t spread_us(const struct master *m)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	struct err e;
	int64_t agents = 0;
	if (view_begin(m->node.view, &txn, &e) != 0 || view_each(txn, dcos_ViewTable_VIEW_AGENT, count_row, &agents, &e) != 0)
		return 0;
	return agents * SEC / m->config.agent_reregister_rate;
}

static void answer(const struct lead *l, struct rpc_req *req, int64_t spread)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	struct lead_facts f;
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_Leader a = { .has_self = true, .self = l->leads, .has_term = true, .term = store_term(l->master->store) };
	if (lead_now(l, &f)) {
		quorum_addresses(l->master->quorum, &arena, &a);
		a.ip = (char *)f.ip;
		a.hostname = (char *)f.hostname;
		a.id = (char *)f.id;
		a.has_rpc_port = a.has_mesos_port = a.has_marathon_port = a.has_adminrouter_port = true;
		a.rpc_port = f.rpc_port;
		a.mesos_port = f.mesos_port;
		a.marathon_port = f.marathon_port;
		a.adminrouter_port = f.adminrouter_port;
		a.has_spread_us = spread > 0;
		a.spread_us = spread;
	}
	if (pb_write(dcos_Leader_fields, &a, &out, &e) != 0)
		rpc_fail(req, &e);
	else
		rpc_reply(req, buf_view(&out));
}

static struct str peer_key(struct rpc_peer *const *p) { return str_n((const char *)p, sizeof(*p)); }

static void ask_free(struct held_ask *a)
{
	loop_timer_stop(&a->late);
	list_remove(&a->link);
	(void)map_remove(&a->lead->by_peer, peer_key(&a->peer));
	free(a);
}

static void ask_answer(struct held_ask *a, int64_t spread)
{
	answer(a->lead, a->req, spread);
	ask_free(a);
}

static void on_ask_late(struct loop_timer *t) { ask_answer(container_of(t, struct held_ask, late), 0); }

/* Known already to who asks? While nobody leads, those who follow somebody hear of it. */
static bool may_wait(const struct lead *l, const char *ip, uint32_t port)
{
	struct lead_facts f;
	return lead_now(l, &f) ? strcmp(f.ip, ip) == 0 && f.rpc_port == port : ip[0] == '\0';
}

static void hold(struct lead *l, struct rpc_peer *p, struct rpc_req *req, const dcos_LeaderAsk *q)
{
	struct held_ask *a = xcalloc(1, sizeof(*a));
	struct lead_facts f;
	*a = (struct held_ask){ .lead = l, .peer = p, .req = req, .port = q->rpc_port };
	(void)str_put(a->ip, sizeof(a->ip), str_of(q->ip ? q->ip : ""));
	list_push(&l->asks, &a->link);
	map_put(&l->by_peer, peer_key(&a->peer), a);
	if (!lead_now(l, &f))
		loop_timer_start(l->master->node.loop, &a->late, HOLD_US, on_ask_late);
}

void lead_serve(struct lead *l, struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	dcos_LeaderAsk q = { 0 };
	struct err e = { 0 };
	if (!req)
		return;
	if (pb_read(&arena, dcos_LeaderAsk_fields, payload, &q, &e) != 0) {
		rpc_fail(req, &e);
		return;
	}
	lead_peer_closed(l, p);              /* a former question of the same side */
	if (q.wait && may_wait(l, q.ip ? q.ip : "", q.rpc_port))
		hold(l, p, req, &q);
	else
		answer(l, req, l->leads ? 0 : spread_us(l->master));
}

void lead_peer_closed(struct lead *l, const struct rpc_peer *p)
{
	struct rpc_peer *key = (struct rpc_peer *)p;
	struct held_ask *a = map_find(&l->by_peer, peer_key(&key));
	if (a)
		ask_answer(a, 0);            /* into the void when the connection is gone: it frees the request */
}

/* ---- HTTP requests ---- */

static void request_go(struct held_request *h, void (*fn)(struct http_req *r))
{
	struct http_req *r = h->req;
	loop_timer_stop(&h->timer);
	list_remove(&h->link);
	r->gone = NULL;
	r->user = h->user;
	fn(r);
}

static void on_request_late(struct loop_timer *t)
{
	struct held_request *h = container_of(t, struct held_request, timer);
	request_go(h, h->late);
}

static void on_request_gone(struct http_req *r)
{
	struct held_request *h = r->user;
	loop_timer_stop(&h->timer);
	list_remove(&h->link);
}

/* Until somebody leads: fn; but no longer than wait_us: late. fn NULL: for wait_us in any case. */
static void hold_request(struct lead *l, struct http_req *r, void (*fn)(struct http_req *r), void (*late)(struct http_req *r),
			 void *user, int64_t wait_us)
{
	struct held_request *h = arena_new(&r->arena, struct held_request);
	*h = (struct held_request){ .req = r, .fn = fn, .late = late, .user = user };
	list_init(&h->link);
	r->user = h;
	r->gone = on_request_gone;
	if (fn)
		list_push(&l->requests, &h->link);
	loop_timer_start(l->master->node.loop, &h->timer, wait_us, on_request_late);
}

void lead_wait(struct lead *l, struct http_req *r, void (*fn)(struct http_req *r), void (*late)(struct http_req *r))
{
	hold_request(l, r, fn, late, NULL, LEAD_WAIT_US);
}

/* ---- to the leader ---- */

/* A request on its way, in its arena. */
struct errand {
	struct lead *lead;
	struct lead_service to;
	int64_t until_us;                    /* it is sent again until then; 0: it has not failed yet */
};

static void errand_go(struct http_req *r);

static void errand_on_pause(struct http_req *r)
{
	struct errand *e = r->user;
	struct lead_facts f;
	if (lead_now(e->lead, &f))
		errand_go(r);
	else
		hold_request(e->lead, r, errand_go, e->to.late, e, MAX(e->until_us - loop_now_us(r->loop), (int64_t)0));
}

static void errand_failed(struct http_req *r, void *arg, bool sent, const struct err *why)
{
	struct errand *e = arg;
	int64_t now_us = loop_now_us(r->loop);
	if (e->until_us == 0)
		e->until_us = now_us + LEAD_WAIT_US;
	if ((sent && r->method != GET) || now_us >= e->until_us) {
		http_proxy_answer_failure(r, sent, why);
		return;
	}
	/* We may not know yet that it is dead. */
	hold_request(e->lead, r, NULL, errand_on_pause, e, RESEND_US);
}

static void errand_go(struct http_req *r)
{
	struct errand *e = r->user;
	struct lead_facts f;
	struct sock_addr addr;
	struct err why = { 0 };
	bool known = lead_now(e->lead, &f);
	if (known && f.self) {
		e->to.local(r);
	} else if (!known) {
		hold_request(e->lead, r, errand_go, e->to.late, e, LEAD_WAIT_US);
	} else if (sock_addr_parse(&addr, f.ip, e->to.port == LEAD_MESOS ? f.mesos_port : f.marathon_port, &why) != 0) {
		http_reply_err(r, &why);
	} else {
		struct proxy_spec spec = {
			.to = &addr, .path_and_query = e->to.path_and_query, .headers = e->to.headers, .failed = errand_failed,
			.failed_arg = e, .connect_timeout_us = CONNECT_US,
		};
		http_proxy(r, &spec);
	}
}

void lead_proxy(struct lead *l, struct http_req *r, const struct lead_service *to)
{
	struct errand *e = arena_new(&r->arena, struct errand);
	*e = (struct errand){ .lead = l, .to = *to };
	r->user = e;
	errand_go(r);
}

/* ---- change ---- */

/* Those who wait for what is so now. New ones may come meanwhile: they see the new state. */
static void tell(struct lead *l)
{
	struct list requests;
	struct lead_facts f;
	bool known = lead_now(l, &f);
	int64_t spread = known && !l->leads ? spread_us(l->master) : 0;
	list_each_safe(&l->asks, it) {
		struct held_ask *a = list_entry(it, struct held_ask, link);
		if (!may_wait(l, a->ip, a->port))
			ask_answer(a, spread);
	}
	if (!known)
		return;
	list_init(&requests);
	for (struct list *it; (it = list_pop(&l->requests)); )
		list_push(&requests, it);
	while (!list_empty(&requests)) {
		struct held_request *h = list_entry(requests.next, struct held_request, link);
		request_go(h, h->fn);
	}
}

static void on_up(void *arg, struct rpc_peer *p)
{
	struct lead *l = arg;
	(void)p;
	tell(l);
	node_ready(&l->master->node);
}

static void on_down(void *arg) { tell(arg); }

static void follow(struct lead *l)
{
	static const struct leader_events events = { .up = on_up, .down = on_down };
	struct master *m = l->master;
	struct sock_addr own;
	struct err e = { 0 };
	if (l->leader)
		return;
	if (sock_addr_parse(&own, m->node.ip, m->config.rpc_port, &e) != 0)
		LOG(ERROR, "this master cannot follow", "reason=%s", e.text);
	else
		l->leader = leader_start_master(&m->node, &own, &events, l);
}

struct rpc_peer *lead_peer(const struct lead *l) { return l->leader ? leader_peer(l->leader) : NULL; }

void lead_start(struct lead *l)
{
	l->started = true;
	if (!l->leads)
		follow(l);
}

void lead_set(struct lead *l, bool leads)
{
	if (l->leads == leads)
		return;
	leader_stop(MOVE(l->leader));
	l->leads = leads;
	if (!leads && l->started)
		follow(l);
	tell(l);
}

void lead_changed(struct lead *l, const struct sock_addr *to)
{
	if (l->leader)
		leader_point(l->leader, to);
}

void lead_masters_changed(struct lead *l)
{
	struct lead_facts f;
	list_each_safe(&l->asks, it)
		if (lead_now(l, &f))
			ask_answer(list_entry(it, struct held_ask, link), 0);
}

/* ---- life ---- */

struct lead *lead_new(struct master *m)
{
	struct lead *l = xcalloc(1, sizeof(*l));
	l->master = m;
	list_init(&l->asks);
	list_init(&l->requests);
	return l;
}

void lead_free(struct lead *l)
{
	if (!l)
		return;
	leader_stop(l->leader);
	list_each_safe(&l->asks, it)
		ask_answer(list_entry(it, struct held_ask, link), 0);
	map_fini(&l->by_peer);
	free(l);
}
