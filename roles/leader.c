/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   CONNECT --open, it is a master--> ASK --"I lead"-----------> UP --"another one leads"--> CONNECT there
 *      ^                               `-- "that one leads" --> CONNECT there
 *      `------ retry timer (backoff, jitter) <-- any failure, any closed connection, "nobody leads"
 *
 * A master that knows no leader holds the question back until it does, for a while; the one that leads until it no longer does.
 * So a change of leaders is heard of without asking again and again. Where many would come at once, the answer spreads them.
 */
#include "roles/leader.h"

#include <stdio.h>

#include "net/base/log.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "roles/known_masters.h"

#define BACKOFF_MIN_US (5 * MSEC)
#define BACKOFF_MAX_US SEC
#define ASK_TIMEOUT_US (5 * SEC)      /* masters hold a question for less */
#define DIAL_US (2 * SEC)             /* then the next master's turn comes */
#define SPREAD_MAX_US MINUTE
#define METHODS_MAX 32

struct leader {
	struct node *node;
	struct rpc_method methods[METHODS_MAX];
	struct rpc_handlers handlers;
	struct leader_events ev;
	void *arg;
	struct loop_timer retry;
	int64_t backoff_us;
	size_t next_master;
	struct sock_addr target;
	bool redirected;             /* target came from a master's answer */
	bool is_up;
	struct rpc_peer *peer;
	struct rpc_call ask;         /* while UP: the question whether it still leads */
	bool complained;
	bool all;                    /* a master: subscribe to every table */
	struct sock_addr own;        /* a master: not to be dialled */
	struct arena arena;          /* of facts */
	dcos_Leader facts;           /* what the leader said of itself, while UP */
};

static void connect_now(struct leader *l);
static void ask(struct leader *l);

static void on_retry(struct loop_timer *t) { connect_now(container_of(t, struct leader, retry)); }
static void on_late(struct loop_timer *t);

static void disconnect(struct leader *l)
{
	bool was_up = l->is_up;
	rpc_call_cancel(&l->ask);
	if (l->peer && l->node->view)
		view_serve_closed(l->node->view, l->peer);
	rpc_peer_close(MOVE(l->peer));
	l->is_up = false;
	if (was_up && l->ev.down)
		l->ev.down(l->arg);
}

/* Drop the connection and try again after the backoff, with up to half of it as jitter. */
static void again(struct leader *l, const struct err *e)
{
	if (e && e->code != 0 && !l->complained) {
		LOG(WARN, "no leading master yet", "reason=%s", e->text);
		l->complained = true;
	}
	disconnect(l);
	l->redirected = false;
	int64_t jitter = (int64_t)rnd_below(loop_rnd(l->node->loop), (uint64_t)l->backoff_us / 2 + 1);
	loop_timer_start(l->node->loop, &l->retry, l->backoff_us + jitter, on_retry);
	l->backoff_us = MIN(l->backoff_us * 2, BACKOFF_MAX_US);
}

static void keep_facts(struct leader *l, const dcos_Leader *answer)
{
	struct arena *a = &l->arena;
	arena_fini(a);
	arena_init(a, ARENA_MAX_DEFAULT);
	l->facts = *answer;
	l->facts.ip = arena_strdup(a, answer->ip ? answer->ip : "");
	l->facts.hostname = arena_strdup(a, answer->hostname ? answer->hostname : l->facts.ip);
	l->facts.id = arena_strdup(a, answer->id ? answer->id : "");
}

/* For the next start, when the masters of our flags may be dead. */
static void remember(struct leader *l, const dcos_Leader *answer)
{
	struct sock_addr all[KNOWN_MASTERS_MAX];
	struct err e;
	size_t count = 0;
	for (size_t i = 0; i < answer->masters_count && count < KNOWN_MASTERS_MAX; i++) {
		const dcos_MasterAddress *m = &answer->masters[i];
		if (m->ip && m->rpc_port <= UINT16_MAX && sock_addr_parse(&all[count], m->ip, (uint16_t)m->rpc_port, &e) == 0)
			count++;
	}
	known_masters_write(l->node, all, count);
}

static void go_up(struct leader *l, const dcos_Leader *answer)
{
	char where[SOCK_ADDR_TEXT];
	keep_facts(l, answer);
	remember(l, answer);
	sock_addr_text(&l->target, where);
	LOG(INFO, "following the leading master", "at=%s", where);
	l->is_up = true;
	l->complained = false;
	l->backoff_us = BACKOFF_MIN_US;
	if (l->node->view)
		view_subscribe(l->node->view, l->peer, l->all, l->node->name, l->node->role);
	ask(l);
	if (l->ev.up)
		l->ev.up(l->arg, l->peer);
}

static bool is_own(const struct leader *l, const struct sock_addr *to)
{
	return l->all && sock_addr_ip4(&l->own) == sock_addr_ip4(to) && sock_addr_port(&l->own) == sock_addr_port(to);
}

/* Another master leads: connect there at once. */
static void follow(struct leader *l, const dcos_Leader *answer)
{
	struct err e = { 0 };
	struct sock_addr to;
	if (!answer->ip || !answer->ip[0]) {
		(void)err_set(&e, E_NOTLEADER, "the masters have no leader at this moment");
		again(l, &e);
		return;
	}
	bool was_up = l->is_up;
	if (sock_addr_parse(&to, answer->ip, (uint16_t)answer->rpc_port, &e) != 0 || is_own(l, &to) || (l->redirected && !was_up)) {
		again(l, &e);
		return;
	}
	disconnect(l);
	l->target = to;
	l->redirected = true;
	int64_t spread_us = !was_up && answer->has_spread_us ? MAX(MIN(answer->spread_us, SPREAD_MAX_US), (int64_t)0) : 0;
	int64_t wait_us = (int64_t)rnd_below(loop_rnd(l->node->loop), (uint64_t)spread_us + 1);
	loop_timer_start(l->node->loop, &l->retry, wait_us, on_retry);
}

/* It leads still; there may be other masters beside it now. */
static void go_on(struct leader *l, const dcos_Leader *answer)
{
	remember(l, answer);
	ask(l);
}

static void on_answer(struct rpc_call *c, struct str reply, const struct err *failure)
{
	struct leader *l = container_of(c, struct leader, ask);
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct err e = *failure;
	dcos_Leader answer = { 0 };
	if (e.code != 0 || pb_read(&a, dcos_Leader_fields, reply, &answer, &e) != 0)
		again(l, &e);
	else if (!answer.self)
		follow(l, &answer);
	else if (l->is_up)
		go_on(l, &answer);
	else
		go_up(l, &answer);
}

static void ask(struct leader *l)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	dcos_LeaderAsk q = { .has_wait = true, .wait = true, .ip = l->is_up ? l->facts.ip : NULL, .has_rpc_port = l->is_up,
			     .rpc_port = l->facts.rpc_port };
	if (pb_write(dcos_LeaderAsk_fields, &q, &out, &e) != 0)
		again(l, &e);
	else
		rpc_call_start(l->peer, &l->ask, dcos_Method_WHO_LEADS, buf_view(&out), l->is_up ? 0 : ASK_TIMEOUT_US, on_answer);
}

/* A master whose machine is off does not even refuse: another may answer meanwhile. */
static void on_late(struct loop_timer *t)
{
	struct leader *l = container_of(t, struct leader, retry);
	char where[SOCK_ADDR_TEXT];
	struct err e = { 0 };
	sock_addr_text(&l->target, where);
	(void)err_set(&e, E_TIMEOUT, "%s does not answer", where);
	again(l, &e);
}

static void on_open(struct rpc_peer *p)
{
	struct leader *l = rpc_peer_arg(p);
	loop_timer_stop(&l->retry);
	char name[128];
	struct err e = { 0 };
	if (!rpc_peer_name(p, name, sizeof(name)) || !cstr_starts(name, "master/")) {
		(void)err_set(&e, E_DENIED, "the peer's certificate is not a master's");
		again(l, &e);
		return;
	}
	ask(l);
}

static void on_close(struct rpc_peer *p, const struct err *e)
{
	struct leader *l = rpc_peer_arg(p);
	if (l->node->view)
		view_serve_closed(l->node->view, p);
	l->peer = NULL;
	again(l, e);
}

static void on_delta(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct leader *l = rpc_peer_arg(p);
	if (!req && l->node->view)
		view_on_delta(l->node->view, p, payload);
}

/* The next one of all that we were told of, now or in an earlier life. */
static int pick_master(struct leader *l, struct err *e)
{
	struct sock_addr all[KNOWN_MASTERS_MAX];
	size_t count = known_masters_read(l->node, all);
	for (size_t i = 0; i < count; i++) {
		l->target = all[l->next_master++ % count];
		if (!is_own(l, &l->target))
			return 0;
	}
	return err_set(e, E_USAGE, "no master is known; give one with --masters");
}

static void connect_now(struct leader *l)
{
	struct err e = { 0 };
	int rc = l->redirected ? 0 : pick_master(l, &e);
	if (rc != 0 || is_own(l, &l->target)) {
		again(l, &e);
		return;
	}
	l->peer = rpc_connect(l->node->loop, &l->target, l->node->identity.client, &l->handlers, l);
	loop_timer_start(l->node->loop, &l->retry, DIAL_US, on_late);
}

static struct leader *leader_new(struct node *n, const struct rpc_method *methods, size_t count, const struct leader_events *ev, void *arg)
{
	struct leader *l = xcalloc(1, sizeof(*l));
	assert(count < METHODS_MAX);
	arena_init(&l->arena, ARENA_MAX_DEFAULT);
	l->node = n;
	l->arg = arg;
	l->backoff_us = BACKOFF_MIN_US;
	if (ev)
		l->ev = *ev;
	for (size_t i = 0; i < count; i++)
		l->methods[i] = methods[i];
	l->methods[count] = (struct rpc_method){ .number = dcos_Method_VIEW_DELTA, .name = "view-delta", .fn = on_delta };
	l->handlers = (struct rpc_handlers){ .methods = l->methods, .count = count + 1, .opened = on_open, .closed = on_close };
	loop_timer_start(n->loop, &l->retry, 0, on_retry);
	return l;
}

struct leader *leader_start(struct node *n, const struct rpc_method *methods, size_t count, const struct leader_events *ev, void *arg)
{
	return leader_new(n, methods, count, ev, arg);
}

struct leader *leader_start_master(struct node *n, const struct sock_addr *own, const struct leader_events *ev, void *arg)
{
	struct leader *l = leader_new(n, NULL, 0, ev, arg);
	l->all = true;
	l->own = *own;
	return l;
}

void leader_stop(struct leader *l)
{
	if (!l)
		return;
	rpc_call_cancel(&l->ask);
	if (l->peer && l->node->view)
		view_serve_closed(l->node->view, l->peer);
	rpc_peer_close(l->peer);
	loop_timer_stop(&l->retry);
	arena_fini(&l->arena);
	free(l);
}

const dcos_Leader *leader_facts(const struct leader *l) { return l && l->is_up ? &l->facts : NULL; }

void leader_point(struct leader *l, const struct sock_addr *to)
{
	char now[SOCK_ADDR_TEXT], next[SOCK_ADDR_TEXT];
	sock_addr_text(&l->target, now);
	sock_addr_text(to, next);
	if (is_own(l, to) || (l->peer && strcmp(now, next) == 0))
		return;
	disconnect(l);
	l->target = *to;
	l->redirected = true;
	l->backoff_us = BACKOFF_MIN_US;
	loop_timer_start(l->node->loop, &l->retry, 0, on_retry);
}

struct rpc_peer *leader_peer(struct leader *l) { return l->is_up ? l->peer : NULL; }

void *leader_arg(struct rpc_peer *p)
{
	struct leader *l = rpc_peer_arg(p);
	return l->arg;
}

/* ---- following for the view's sake ---- */

struct view_follower {
	struct node *node;
	struct leader *leader;       /* NULL: another process of the node does it, or we join yet */
	bool joining;
};

static void follower_joined(struct node *n)
{
	struct view_follower *f = n->follower;
	f->joining = false;
	f->leader = leader_start(n, NULL, 0, NULL, f);
}

/* Only the holder of the lock needs a certificate and a connection. */
static void follower_go(void *arg)
{
	struct view_follower *f = arg;
	if (f->leader || f->joining)
		return;
	f->joining = true;
	identity_start(f->node, follower_joined);
}

void view_follower_start(struct node *n)
{
	struct view_follower *f = xcalloc(1, sizeof(*f));
	f->node = n;
	n->follower = f;
	view_on_lock(n->view, follower_go, f);
	if (view_try_lock(n->view))
		follower_go(f);
}

void view_follower_stop(struct node *n)
{
	struct view_follower *f = n->follower;
	if (!f)
		return;
	n->follower = NULL;
	view_on_lock(n->view, NULL, NULL);
	leader_stop(f->leader);
	free(f);
}
