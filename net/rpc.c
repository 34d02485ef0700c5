/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RPC connections: calls and their answers, one-way messages, heartbeats. Frames: rpc_frame.h.
 * A peer belongs to whoever made it (a server owns those it accepted). It ends in one of two ways: peer_fail, which tells every
 * call and then the owner, or rpc_peer_close, which tells nobody. Both leave the memory to the outermost callback (busy).
 */
#include "net/rpc.h"

#include <errno.h>
#include <fcntl.h>

#include "net/base/log.h"
#include "net/limits.h"
#include "net/rpc_frame.h"
#include "net/tls.h"

#define CONNECT_US (10 * SEC)
#define BEAT_US (5 * SEC)                /* something is sent at least that often */
#define SILENCE_US (15 * SEC)            /* a peer not heard of for so long is dead */
#define ACCEPTS_A_TURN 64
#define ACCEPT_RETRY_US (200 * MSEC)     /* when descriptors have run out */

struct rpc_peer {
	struct loop *loop;               /* borrowed */
	struct stream *stream;           /* owned; NULL once closed */
	const struct rpc_handlers *handlers;     /* borrowed */
	void *arg, *user;                /* borrowed */
	struct list link;                /* server's peers; unlinked when we connected or adopted */
	struct list calls;               /* ours, unanswered, oldest first: answers come about in order */
	struct list reqs;                /* theirs, unanswered */
	size_t call_count, req_count;
	uint64_t next_id;
	struct loop_timer beat;
	struct loop_defer ready;         /* plain accepted: tell `opened` */
	int64_t heard_us;
	unsigned busy;
	struct sock_addr addr;           /* of the other end; len 0: unknown */
	bool opened;
	bool said;                       /* something was sent since the last beat */
	bool trusted;                    /* verified certificate, or a socket only we can reach */
	bool broken;                     /* peer_fail is running */
	bool closing;                    /* rpc_peer_close was called; freed when not busy */
};

struct rpc_req {
	struct rpc_peer *peer;           /* borrowed; NULL when the connection is gone */
	struct list link;
	uint64_t id;
	uint32_t method;
};

struct rpc_server {
	struct loop *loop;               /* borrowed */
	int fd;                          /* owned */
	struct loop_fd *watch;
	struct loop_timer retry;
	struct tls_ctx *tls;             /* borrowed; NULL: plain */
	const struct rpc_handlers *handlers;
	void *arg;
	struct list peers;
};

/* ---- The end of a peer ---- */

static void peer_leave(struct rpc_peer *p)
{
	assert(p->busy > 0);
	if (--p->busy == 0 && p->closing)
		free(p);
}

/* Off everything that could call back. Answers already given still leave. */
static void peer_detach(struct rpc_peer *p)
{
	loop_timer_stop(&p->beat);
	loop_defer_cancel(&p->ready);
	list_remove(&p->link);
	struct stream *s = MOVE(p->stream);
	if (s && stream_backlog(s) > 0)
		stream_close_after_flush(s);
	else
		stream_free(s);
	for (struct list *n; (n = list_pop(&p->reqs));)
		list_entry(n, struct rpc_req, link)->peer = NULL;
}

/* Take a call off its peer; its callback may then start it anew. */
static void call_remove(struct rpc_call *c)
{
	loop_timer_stop(&c->timer);
	if (!c->peer)
		return;
	list_remove(&c->link);
	c->peer->call_count--;
	c->peer = NULL;
}

static void call_done(struct rpc_call *c, const struct err *e)
{
	call_remove(c);
	c->done(c, str_n(NULL, 0), e);
}

static void peer_fail(struct rpc_peer *p, const struct err *why)
{
	list_remove(&p->link);                   /* `closed` may stop the server */
	if (p->broken)
		return;
	struct err e = *why;
	if (e.code == 0)
		e.code = E_CLOSED;
	if (p->opened) {                         /* before, the stream's error names the other end */
		char text[SOCK_ADDR_TEXT];
		sock_addr_text(&p->addr, text);
		(void)err_wrap(&e, "RPC with %s", text);
	}

	p->busy++;
	p->broken = true;
	while (!list_empty(&p->calls))
		call_done(list_entry(p->calls.next, struct rpc_call, link), &e);
	if (!p->closing && p->handlers->closed)
		p->handlers->closed(p, &e);
	peer_detach(p);
	p->closing = true;
	peer_leave(p);
}

void rpc_peer_close(struct rpc_peer *p)
{
	if (!p || p->closing)
		return;
	p->closing = true;
	if (p->broken)
		return;                          /* peer_fail goes on to free it */
	while (!list_empty(&p->calls))
		call_remove(list_entry(p->calls.next, struct rpc_call, link));
	peer_detach(p);
	if (!p->busy)
		free(p);
}

/* ---- Sending ---- */

static bool peer_write(struct rpc_peer *p, enum rpc_kind kind, uint64_t id, uint32_t method, struct str payload)
{
	if (!p->stream)
		return true;
	p->said = true;
	bool fits = rpc_frame_write(stream_out(p->stream), kind, id, method, payload);
	stream_kick(p->stream);
	return fits;
}

void rpc_send(struct rpc_peer *p, uint32_t method, struct str payload)
{
	if (!p->broken && !peer_write(p, RPC_ONEWAY, 0, method, payload))
		LOG(ERROR, "message not sent", "method=%u bytes=%zu limit=%lld", method, payload.len, (long long)LIMIT_RPC_FRAME_BYTES);
}

static void req_free(struct rpc_req *req)
{
	if (req->peer) {
		list_remove(&req->link);
		req->peer->req_count--;
	}
	free(req);
}

void rpc_reply(struct rpc_req *req, struct str payload)
{
	struct rpc_peer *p = req->peer;
	if (p && !peer_write(p, RPC_REPLY, req->id, req->method, payload)) {
		struct err e;
		(void)err_set(&e, E_TOOBIG, "the answer has %zu bytes, at most %lld are allowed", payload.len,
			      (long long)LIMIT_RPC_FRAME_BYTES);
		rpc_fail(req, &e);
		return;
	}
	req_free(req);
}

static void peer_write_error(struct rpc_peer *p, uint64_t id, uint32_t method, const struct err *e)
{
	if (!p->stream)
		return;
	p->said = true;
	rpc_error_write(stream_out(p->stream), id, method, e);
	stream_kick(p->stream);
}

void rpc_fail(struct rpc_req *req, const struct err *e)
{
	if (req->peer)
		peer_write_error(req->peer, req->id, req->method, e);
	req_free(req);
}

/* ---- Calls ---- */

static void call_on_timer(struct loop_timer *t)
{
	struct rpc_call *c = container_of(t, struct rpc_call, timer);
	struct err e;
	char text[SOCK_ADDR_TEXT] = "a closed connection";
	if (c->peer)
		sock_addr_text(&c->peer->addr, text);
	switch (c->refused) {
	case E_BUSY:
		(void)err_set(&e, E_BUSY, "call to %s: %d calls wait for an answer already", text, LIMIT_RPC_CALLS);
		break;
	case E_TOOBIG:
		(void)err_set(&e, E_TOOBIG, "call to %s: the message is over %lld bytes", text, (long long)LIMIT_RPC_FRAME_BYTES);
		break;
	case E_CLOSED:
		(void)err_set(&e, E_CLOSED, "call: the connection is closed");
		break;
	default:
		(void)err_set(&e, E_TIMEOUT, "call to %s: no answer in time", text);
	}
	call_done(c, &e);
}

void rpc_call_start(struct rpc_peer *p, struct rpc_call *c, uint32_t method, struct str payload, int64_t timeout_us,
		    void (*done)(struct rpc_call *c, struct str reply, const struct err *e))
{
	*c = (struct rpc_call){ .done = done };
	if (p->broken || p->closing) {
		c->refused = E_CLOSED;
	} else {
		c->peer = p;
		c->id = ++p->next_id;
		list_push(&p->calls, &c->link);
		if (++p->call_count > LIMIT_RPC_CALLS)
			c->refused = E_BUSY;
		else if (!peer_write(p, RPC_CALL, c->id, method, payload))
			c->refused = E_TOOBIG;
	}
	if (c->refused)
		loop_timer_start(p->loop, &c->timer, 0, call_on_timer);
	else if (timeout_us > 0)
		loop_timer_start(p->loop, &c->timer, timeout_us, call_on_timer);
}

void rpc_call_cancel(struct rpc_call *c) { call_remove(c); }

static void peer_on_answer(struct rpc_peer *p, const struct rpc_frame *f)
{
	list_each(&p->calls, it) {
		struct rpc_call *c = list_entry(it, struct rpc_call, link);
		if (c->id != f->id)
			continue;
		struct err e = { 0 };
		if (f->kind == RPC_ERROR)
			rpc_error_read(f->payload, &e);
		call_remove(c);
		c->done(c, e.code ? str_n(NULL, 0) : f->payload, &e);
		return;
	}
	/* not found: timed out or cancelled meanwhile */
}

/* ---- Being called ---- */

static const struct rpc_method *peer_method(const struct rpc_peer *p, uint32_t number)
{
	for (size_t i = 0; i < p->handlers->count; i++)
		if (p->handlers->methods[i].number == number)
			return &p->handlers->methods[i];
	return NULL;
}

static int peer_may_call(const struct rpc_peer *p, const struct rpc_method *m, uint32_t number, struct err *e)
{
	if (!m)
		return err_set(e, E_UNSUPPORTED, "RPC method %u is not known here; are both of the same version?", number);
	if (!p->trusted && !m->anonymous)
		return err_set(e, E_UNAUTHORIZED, "RPC method %s needs a certificate of this cluster; join it first", m->name);
	if (p->req_count >= LIMIT_RPC_CALLS)
		return err_set(e, E_BUSY, "RPC method %s: %d calls of this connection wait for an answer already", m->name,
			       LIMIT_RPC_CALLS);
	return 0;
}

static void peer_on_call(struct rpc_peer *p, const struct rpc_frame *f)
{
	struct err e;
	const struct rpc_method *m = peer_method(p, f->method);
	if (peer_may_call(p, m, f->method, &e) != 0) {
		if (f->kind == RPC_CALL)
			peer_write_error(p, f->id, f->method, &e);
		if (e.code == E_UNAUTHORIZED && p->handlers->refused)
			p->handlers->refused(p, &e);
		return;
	}
	struct rpc_req *req = NULL;
	if (f->kind == RPC_CALL) {
		req = xcalloc(1, sizeof *req);
		req->peer = p;
		req->id = f->id;
		req->method = f->method;
		list_push(&p->reqs, &req->link);
		p->req_count++;
	}
	m->fn(p, req, f->payload);
}

static void peer_on_frame(struct rpc_peer *p, const struct rpc_frame *f)
{
	switch (f->kind) {
	case RPC_CALL:
	case RPC_ONEWAY:
		peer_on_call(p, f);
		return;
	case RPC_REPLY:
	case RPC_ERROR:
		peer_on_answer(p, f);
		return;
	case RPC_PING:
		return;
	}
}

static void peer_on_data(struct stream *s)
{
	struct rpc_peer *p = stream_arg(s);
	struct err e;
	ssize_t n = 0;
	size_t used = 0;
	p->heard_us = loop_now_us(p->loop);
	p->busy++;
	while (!p->closing) {
		struct rpc_frame f;
		size_t frame_max = p->trusted ? LIMIT_RPC_FRAME_BYTES : LIMIT_RPC_ANONYMOUS_BYTES;
		if (!p->trusted && stream_full(s)) {
			stream_pause(s, true);          /* until it takes its answers: peer_on_drained */
			break;
		}
		n = rpc_frame_read(str_from(buf_view(stream_in(s)), used), frame_max, &f, &e);
		if (n <= 0)
			break;
		used += (size_t)n;
		peer_on_frame(p, &f);
	}
	if (!p->closing)
		buf_drop(stream_in(s), used);
	if (!p->closing && n < 0)
		peer_fail(p, &e);
	peer_leave(p);
}

static void peer_on_drained(struct stream *s) { stream_pause(s, false); }

static void peer_on_closed(struct stream *s, const struct err *e) { peer_fail(stream_arg(s), e); }

/* ---- Being there ---- */

static void peer_on_beat(struct loop_timer *t)
{
	struct rpc_peer *p = container_of(t, struct rpc_peer, beat);
	if (loop_now_us(p->loop) - p->heard_us > SILENCE_US) {
		struct err e;
		(void)err_set(&e, E_TIMEOUT, "not a sign of life for %lld s", (long long)(SILENCE_US / SEC));
		peer_fail(p, &e);
		return;
	}
	if (!p->said)
		(void)peer_write(p, RPC_PING, 0, 0, str_n(NULL, 0));    /* a ping always fits */
	p->said = false;
	loop_timer_start_lazy(p->loop, t, BEAT_US, peer_on_beat);
}

static bool peer_is_trusted(const struct rpc_peer *p)
{
	char name[256];
	struct sock_addr a;
	struct err e;
	const struct tls_conn *tls = stream_tls(p->stream);
	if (tls)
		return tls_peer_name(tls, name, sizeof name);
	return sock_local_addr(stream_fd(p->stream), &a, &e) == 0 && a.sa.sa_family == AF_UNIX;
}

static void peer_opened(struct rpc_peer *p)
{
	p->opened = true;
	p->trusted = peer_is_trusted(p);
	p->heard_us = loop_now_us(p->loop);
	loop_timer_start_lazy(p->loop, &p->beat, BEAT_US, peer_on_beat);
	p->busy++;
	if (p->handlers->opened)
		p->handlers->opened(p);
	peer_leave(p);
}

static void peer_on_opened(struct stream *s) { peer_opened(stream_arg(s)); }
static void peer_on_ready(struct loop_defer *d) { peer_opened(container_of(d, struct rpc_peer, ready)); }

static const struct stream_events peer_events = {
	.opened = peer_on_opened, .data = peer_on_data, .drained = peer_on_drained, .closed = peer_on_closed,
};

static struct rpc_peer *peer_new(struct loop *l, const struct rpc_handlers *h, void *arg)
{
	struct rpc_peer *p = xcalloc(1, sizeof *p);
	p->loop = l;
	p->handlers = h;
	p->arg = arg;
	list_init(&p->calls);
	list_init(&p->reqs);
	return p;
}

static struct rpc_peer *peer_accepted(struct loop *l, int fd, struct tls_ctx *tls, const struct rpc_handlers *h, void *arg)
{
	struct rpc_peer *p = peer_new(l, h, arg);
	struct err e;
	(void)sock_peer_addr(fd, &p->addr, &e);  /* gone already: stays unknown */
	p->stream = stream_accepted(l, fd, tls, &peer_events, p);
	if (!tls)
		loop_defer(l, &p->ready, peer_on_ready);
	return p;
}

struct rpc_peer *rpc_connect(struct loop *l, const struct sock_addr *a, struct tls_ctx *tls, const struct rpc_handlers *h, void *arg)
{
	struct rpc_peer *p = peer_new(l, h, arg);
	p->addr = *a;
	p->stream = stream_connect(l, a, tls, NULL, CONNECT_US, &peer_events, p);
	return p;
}

struct rpc_peer *rpc_adopt(struct loop *l, int fd, const struct rpc_handlers *h, void *arg)
{
	int flags = fcntl(fd, F_GETFL);
	(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);    /* cannot fail on a socket of ours */
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	return peer_accepted(l, fd, NULL, h, arg);
}

/* ---- Servers ---- */

static void server_on_retry(struct loop_timer *t)
{
	struct rpc_server *s = container_of(t, struct rpc_server, retry);
	loop_fd_set(s->watch, LOOP_READ);
}

static void server_on_fd(struct loop_fd *w, int events UNUSED)
{
	struct rpc_server *s = loop_fd_arg(w);
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1 && errno == ECONNABORTED)
			continue;
		if (fd == -1) {
			if (errno != EAGAIN) {          /* out of descriptors or memory: later, not in a busy loop */
				loop_fd_set(s->watch, 0);
				loop_timer_start(s->loop, &s->retry, ACCEPT_RETRY_US, server_on_retry);
			}
			return;
		}
		struct rpc_peer *p = peer_accepted(s->loop, fd, s->tls, s->handlers, s->arg);
		list_push(&s->peers, &p->link);
	}
}

int rpc_listen(struct loop *l, const struct sock_addr *a, struct tls_ctx *tls, const struct rpc_handlers *h, void *arg,
	       struct rpc_server **out, struct err *e)
{
	int fd;
	int rc = sock_listen(a, SOCK_STREAM, &fd, e);
	if (rc != 0)
		return rc;
	struct rpc_server *s = xcalloc(1, sizeof *s);
	s->loop = l;
	s->fd = fd;
	s->tls = tls;
	s->handlers = h;
	s->arg = arg;
	list_init(&s->peers);
	s->watch = loop_fd_new(l, fd, LOOP_READ, server_on_fd, s);
	*out = s;
	return 0;
}

void rpc_server_free(struct rpc_server *s)
{
	if (!s)
		return;
	struct err e;
	(void)err_set(&e, E_CLOSED, "this server stops");
	while (!list_empty(&s->peers))
		peer_fail(list_entry(s->peers.next, struct rpc_peer, link), &e);
	loop_timer_stop(&s->retry);
	loop_fd_free(s->watch);
	(void)close(s->fd);
	free(s);
}

uint16_t rpc_server_port(const struct rpc_server *s)
{
	struct sock_addr a;
	struct err e;
	return sock_local_addr(s->fd, &a, &e) == 0 ? sock_addr_port(&a) : 0;
}

/* ---- Questions about a peer ---- */

void *rpc_peer_arg(const struct rpc_peer *p) { return p->arg; }
void *rpc_peer_user(const struct rpc_peer *p) { return p->user; }
void rpc_peer_set_user(struct rpc_peer *p, void *user) { p->user = user; }
bool rpc_peer_full(const struct rpc_peer *p) { return p->stream && stream_full(p->stream); }

bool rpc_peer_name(const struct rpc_peer *p, char *out, size_t size)
{
	const struct tls_conn *tls = p->stream ? stream_tls(p->stream) : NULL;
	return tls && tls_peer_name(tls, out, size);
}

bool rpc_peer_fingerprint(const struct rpc_peer *p, char out[RPC_FINGERPRINT])
{
	const struct tls_conn *tls = p->stream ? stream_tls(p->stream) : NULL;
	uint8_t digest[32];
	if (!tls || !tls_peer_key_sha256(tls, digest))
		return false;
	hex_encode(digest, sizeof digest, out);
	return true;
}

void rpc_peer_addr(const struct rpc_peer *p, struct sock_addr *out) { *out = p->addr; }
