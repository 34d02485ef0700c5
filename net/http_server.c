/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server's connections: accept, read a head, let the routes choose, bring the body where it is wanted, and
 * when the answer has ended begin again. States: struct http_conn in http_int.h. One request at a time; pipelined ones
 * wait unread. All reading goes through conn_step; callbacks record what happened and call it. Spec: RFC 9110, RFC 9112.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "net/http_int.h"
#include "net/http_util.h"

#define ACCEPTS_PER_TURN 64
#define ACCEPT_RETRY_US (100 * MSEC)

struct http_server {
	struct loop *loop;                 /* borrowed */
	struct tls_ctx *tls;               /* borrowed; NULL: plain */
	const struct http_routes *routes;  /* borrowed */
	struct http_patience patience;
	int fd;                            /* owned */
	struct loop_fd *watch;
	struct loop_timer accept_retry;
	struct list conns;                 /* those with a stream */
	size_t conn_count;
	bool accept_paused;
	int64_t date_s;                    /* second that `date` shows */
	char date[32];
};

static void conn_step(struct http_conn *c);
static void conn_on_timer(struct loop_timer *t);
static void server_accept_on(struct http_server *s);

/* ---- The life of a connection ---- */

static void req_free(struct http_conn *c)
{
	struct http_req *r = MOVE(c->req);
	if (!r)
		return;
	arena_fini(&r->arena);
	free(r);
	buf_fini(&c->body);
	buf_fini(&c->headers);
	c->collected = NULL;
	c->piece = NULL;
	c->end = NULL;
	c->started = c->chunked = c->no_body = c->has_content_type = c->with_handler = c->body_paused = false;
}

static void conn_enter(struct http_conn *c) { c->depth++; }

static void conn_leave(struct http_conn *c)
{
	assert(c->depth > 0);
	if (--c->depth > 0 || c->stream || c->req)
		return;
	loop_timer_stop(&c->timer);
	loop_defer_cancel(&c->defer);
	http_parser_fini(&c->parser);
	free(c);
}

/* The connection has no stream any more. Between conn_enter and conn_leave. */
static void conn_unlink(struct http_conn *c)
{
	struct http_server *s = MOVE(c->server);
	loop_timer_stop(&c->timer);
	http_parser_fini(&c->parser);
	list_remove(&c->link);
	s->conn_count--;
	server_accept_on(s);
}

static void conn_cut(struct http_conn *c)
{
	stream_free(MOVE(c->stream));
	conn_unlink(c);
}

static void conn_close_flushed(struct http_conn *c)
{
	stream_close_after_flush(MOVE(c->stream));
	conn_unlink(c);
}

/* The client left. A handler that cannot be told keeps the request until it answers. */
static void conn_lost(struct http_conn *c)
{
	struct http_req *r = c->req;
	conn_cut(c);
	if (r && c->with_handler && !r->gone)
		return;
	if (r && c->with_handler)
		r->gone(r);
	req_free(c);
}

static void conn_on_defer(struct loop_defer *d)
{
	struct http_conn *c = container_of(d, struct http_conn, defer);
	conn_enter(c);
	if (c->stream && c->doomed)
		conn_lost(c);
	else
		conn_step(c);
	conn_leave(c);
}

void http_conn_doom(struct http_conn *c)
{
	c->doomed = true;
	loop_defer(c->loop, &c->defer, conn_on_defer);
}

void http_conn_abort(struct http_conn *c)
{
	conn_enter(c);
	req_free(c);
	if (c->stream)
		conn_cut(c);
	conn_leave(c);
}

struct stream *http_conn_detach(struct http_conn *c)
{
	struct stream *s = MOVE(c->stream);
	conn_enter(c);
	req_free(c);
	if (s)
		conn_unlink(c);
	conn_leave(c);
	return s;
}

/* Say no more, but read on for a while: a connection closed over unread bytes takes the answer down with it. */
static void conn_linger(struct http_conn *c)
{
	c->input = INPUT_LINGER;
	c->discarded_bytes = 0;
	c->flushed_seen_bytes = UINT64_MAX;   /* whatever the first look finds is progress */
	stream_pause(c->stream, false);
	stream_shutdown(c->stream);
	loop_timer_start(c->loop, &c->timer, c->server->patience.linger_us, conn_on_timer);
}

void http_conn_answered(struct http_conn *c)
{
	conn_enter(c);
	req_free(c);
	if (!c->stream) {
		conn_leave(c);
		return;
	}
	stream_kick(c->stream);
	c->sink = BODY_DISCARD;
	c->discarded_bytes = 0;
	if (c->keep_alive)
		loop_defer(c->loop, &c->defer, conn_on_defer);
	else if (c->eof)
		conn_close_flushed(c);
	else
		conn_linger(c);
	conn_leave(c);
}

/* ---- Requests ---- */

static struct http_req *req_new(struct http_conn *c)
{
	struct http_req *r = xcalloc(1, sizeof(*r));
	arena_init(&r->arena, ARENA_MAX_DEFAULT);
	r->loop = c->loop;
	r->peer = c->peer;
	r->tls = c->server->tls != NULL;
	r->conn = c;
	r->method = GET;
	r->path = STR("/");
	return r;
}

/* Answer what never reached a handler, then close. */
static void conn_refuse(struct http_conn *c, int status, const char *fmt, ...) PRINTF(3, 4);
static void conn_refuse(struct http_conn *c, int status, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);   /* a longer sentence is cut */
	va_end(ap);
	assert(!c->with_handler);
	c->keep_alive = false;
	if (!c->req)
		c->req = req_new(c);
	http_reply_message(c->req, status, "%s", text);
}

static void call_handler(struct http_req *r, void (*fn)(struct http_req *r))
{
	r->conn->with_handler = true;
	fn(r);
}

static void give_continue(struct http_conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	if (c->expects_continue)
		stream_write(c->stream, text, sizeof(text) - 1);
	c->expects_continue = false;
}

static void refuse_large(struct http_req *r, size_t body_max)
{
	http_reply_message(r, 413, "The request body is larger than the %zu bytes allowed for %s " STR_FMT, body_max,
			   http_method_name(r->method), STR_ARG(r->path));
}

void http_req_dispatch(struct http_req *r, size_t body_max, void (*fn)(struct http_req *r))
{
	struct http_conn *c = r->conn;
	int64_t length = c->stream && c->input == INPUT_BODY ? http_parser_body_length(&c->parser) : 0;
	bool unread = c->input == INPUT_BODY && c->sink == BODY_HELD && length != 0;
	r->gone = NULL;
	r->drained = NULL;
	c->with_handler = false;
	if (!c->stream) {
		http_conn_answered(c);           /* re-dispatched after the client left */
	} else if (body_max == HTTP_BODY_STREAM || (!unread && r->body.len <= body_max)) {
		call_handler(r, fn);
	} else if (!unread || length > (int64_t)MIN(body_max, (size_t)INT64_MAX)) {
		refuse_large(r, body_max);
	} else {
		buf_init(&c->body, body_max);
		c->collected = fn;
		c->sink = BODY_COLLECT;
		give_continue(c);
		loop_defer(c->loop, &c->defer, conn_on_defer);
	}
}

int64_t http_body_length(const struct http_req *r)
{
	struct http_conn *c = r->conn;
	return c->input == INPUT_BODY && c->stream ? http_parser_body_length(&c->parser) : (int64_t)r->body.len;
}

void http_body_start(struct http_req *r, void (*piece)(struct http_req *r, struct str piece),
		     void (*end)(struct http_req *r))
{
	struct http_conn *c = r->conn;
	assert(!c->end);
	c->piece = piece;
	c->end = end;
	if (c->input == INPUT_BODY)
		c->sink = BODY_PIECES;
	if (c->stream)
		give_continue(c);
	loop_defer(c->loop, &c->defer, conn_on_defer);
}

void http_body_pause(struct http_req *r, bool paused)
{
	struct http_conn *c = r->conn;
	c->body_paused = paused;
	if (!paused)
		loop_defer(c->loop, &c->defer, conn_on_defer);
}

static size_t host_count(const struct http_headers *h)
{
	size_t n = 0;
	for (size_t i = 0; i < h->count; i++)
		n += str_ieq(h->rows[i].name, STR("Host"));
	return n;
}

static void skip_empty_body(struct http_conn *c)
{
	size_t taken;
	if (http_parser_body_length(&c->parser) != 0)
		return;
	enum http_parsed ev = http_parser_step(&c->parser, stream_in(c->stream)->data, 0, &taken);
	assert(ev == PARSED_END);
	c->input = INPUT_DONE;
}

static void conn_begin(struct http_conn *c)
{
	struct http_req *r = c->req = req_new(c);
	struct http_head head;
	struct str method = str_of(llhttp_method_name(c->parser.ll.method));
	http_parser_head(&c->parser, &r->arena, &head);
	r->headers = head.headers;
	r->target = head.target;
	c->input = INPUT_BODY;
	c->sink = BODY_HELD;
	c->http10 = c->parser.ll.http_minor == 0;
	c->keep_alive = http_parser_keep_alive(&c->parser);
	loop_timer_start_lazy(c->loop, &c->timer, c->server->patience.stall_us, conn_on_timer);

	struct str expect = http_req_header(r, "Expect");
	c->expects_continue = expect.p && !c->http10 && str_ieq(expect, STR("100-continue"));
	if (c->parser.ll.http_major != 1)
		conn_refuse(c, 505, "Only HTTP/1.0 and HTTP/1.1 are served here");
	else if (!http_method_parse(method, &r->method) || (r->method & (CONNECT | TRACE)))
		conn_refuse(c, 501, "Method " STR_FMT " is not served here", STR_ARG(method));
	else if (host_count(&r->headers) > 1 || (host_count(&r->headers) == 0 && !c->http10))
		conn_refuse(c, 400, "Malformed request: exactly one Host header is needed");
	else if (!http_target_split(&r->arena, r->target, &r->path, &r->query))
		conn_refuse(c, 400, "Malformed request: the target is not a path with valid percent-coding");
	else if (expect.p && !c->expects_continue && !c->http10)
		conn_refuse(c, 417, "Only the expectation 100-continue is known here");
	if (c->req != r)
		return;
	r->head = r->method == HEAD;
	if (r->head)
		r->method = GET;
	skip_empty_body(c);
	http_routes_serve(c->server->routes, r);
}

/* ---- Reading ---- */

static enum http_parsed parse(struct http_conn *c, size_t at, size_t *out_taken)
{
	struct buf *in = stream_in(c->stream);
	enum http_parsed ev = http_parser_step(&c->parser, at < in->len ? in->data + at : NULL, in->len - at, out_taken);
	c->taken_bytes += *out_taken;
	return ev;
}

/* True when there is progress to go on from, as with read_body. */
static bool read_head(struct http_conn *c)
{
	struct buf *in = stream_in(c->stream);
	size_t taken;
	const char *why;
	if (in->len == 0 && c->eof) {
		conn_close_flushed(c);
		return false;
	}
	if (in->len == 0)
		return false;
	if (http_parser_idle(&c->parser))
		loop_timer_start(c->loop, &c->timer, c->server->patience.head_us, conn_on_timer);
	enum http_parsed ev = parse(c, 0, &taken);
	buf_drop(in, taken);
	if (ev == PARSED_HEAD) {
		conn_begin(c);
		return true;
	}
	if (ev == PARSED_BROKEN) {
		int status = http_parser_refusal(&c->parser, &why);
		conn_refuse(c, status, "Malformed request: %s", why);
		return true;
	}
	return in->len > 0 || c->eof;
}

static void take_piece(struct http_conn *c, struct str piece)
{
	if (c->sink == BODY_PIECES) {
		c->piece(c->req, piece);
		return;
	}
	if (c->sink == BODY_COLLECT) {
		if (!buf_append(&c->body, piece.p, piece.len))
			refuse_large(c->req, c->body.max);
		return;
	}
	assert(c->sink == BODY_DISCARD);
	c->discarded_bytes += piece.len;
	if (c->discarded_bytes > LIMIT_HTTP_LINGER_BYTES)
		conn_linger(c);
}

static void body_ended(struct http_conn *c)
{
	c->input = INPUT_DONE;
	if (c->sink == BODY_COLLECT) {
		struct http_req *r = c->req;
		r->body = str_n(buf_cstr(&c->body), c->body.len);
		call_handler(r, c->collected);
	} else if (c->sink == BODY_PIECES) {
		void (*end)(struct http_req *r) = MOVE(c->end);
		end(c->req);
	}
}

/* The body turned out to be malformed, or the client left in the middle of it. */
static void body_broken(struct http_conn *c)
{
	const char *why = "the client left in the middle of the body";
	if (!c->eof)
		(void)http_parser_refusal(&c->parser, &why);
	if (c->sink == BODY_COLLECT && !c->eof)
		conn_refuse(c, 400, "Malformed request body: %s", why);
	else
		conn_lost(c);
}

static bool body_wanted(const struct http_conn *c)
{
	return c->stream && c->input == INPUT_BODY && c->sink != BODY_HELD && !(c->sink == BODY_PIECES && c->body_paused);
}

static bool read_body(struct http_conn *c)
{
	enum http_parsed ev = PARSED_BODY;
	size_t at = 0, taken;
	while (ev == PARSED_BODY && body_wanted(c)) {
		ev = parse(c, at, &taken);
		at += taken;
		if (ev == PARSED_BODY)
			take_piece(c, c->parser.piece);
	}
	if (!c->stream)
		return false;
	buf_drop(stream_in(c->stream), at);
	if (ev == PARSED_END)
		body_ended(c);
	else if (ev == PARSED_BROKEN || (ev == PARSED_MORE && c->eof))
		body_broken(c);
	return ev == PARSED_END || c->input == INPUT_LINGER;
}

/* A body collected before the handler asked for it by pieces. */
static bool give_collected(struct http_conn *c)
{
	struct http_req *r = c->req;
	if (!r || !c->end || c->body_paused)
		return false;
	void (*end)(struct http_req *r) = MOVE(c->end);
	if (r->body.len > 0)
		c->piece(r, r->body);
	if (c->req == r)
		end(r);
	return true;
}

static void read_linger(struct http_conn *c)
{
	struct buf *in = stream_in(c->stream);
	c->discarded_bytes += in->len;
	buf_drop(in, in->len);
	if (c->eof || c->discarded_bytes > LIMIT_HTTP_LINGER_BYTES)
		conn_cut(c);
}

static void next_request(struct http_conn *c)
{
	http_parser_init(&c->parser, false, false);
	c->input = INPUT_HEAD;
	loop_timer_start_lazy(c->loop, &c->timer, c->server->patience.idle_us, conn_on_timer);
}

static bool step_once(struct http_conn *c)
{
	switch (c->input) {
	case INPUT_HEAD:
		return !stream_full(c->stream) && read_head(c);   /* answers nobody reads do not pile up */
	case INPUT_BODY:
		return body_wanted(c) && read_body(c);
	case INPUT_DONE:
		if (c->req)
			return give_collected(c);
		next_request(c);
		return true;
	case INPUT_LINGER:
		read_linger(c);
		return false;
	}
	return false;
}

static void conn_step(struct http_conn *c)
{
	while (c->stream && !c->doomed && step_once(c))
		;
	/* what is not wanted yet waits in the socket; a little is read ahead, to notice when the client leaves */
	if (c->stream)
		stream_pause(c->stream, stream_in(c->stream)->len > LIMIT_HTTP_PIPELINE_BYTES);
}

/* ---- What happens to a connection ---- */

static void conn_on_data(struct stream *s)
{
	struct http_conn *c = stream_arg(s);
	conn_enter(c);
	conn_step(c);
	conn_leave(c);
}

static void conn_on_drained(struct stream *s)
{
	struct http_conn *c = stream_arg(s);
	conn_enter(c);
	if (c->req && c->started && c->req->drained)
		c->req->drained(c->req);
	else
		conn_step(c);
	conn_leave(c);
}

static void conn_on_eof(struct stream *s)
{
	struct http_conn *c = stream_arg(s);
	conn_enter(c);
	c->eof = true;
	/* It may still wait for the answer; but who asked to hear of leavers takes it for one, as nginx does. */
	if (c->with_handler && (c->started || c->req->gone))
		conn_lost(c);
	else
		conn_step(c);
	conn_leave(c);
}

static void conn_on_closed(struct stream *s, const struct err *e)
{
	struct http_conn *c = stream_arg(s);
	(void)e;   /* clients come and go */
	conn_enter(c);
	conn_lost(c);
	conn_leave(c);
}

static const struct stream_events conn_events = {
	.data = conn_on_data, .drained = conn_on_drained, .eof = conn_on_eof, .closed = conn_on_closed,
};

/* Something is due from the client, and nothing moved since the last look. */
static bool conn_stalled(struct http_conn *c)
{
	size_t backlog = stream_backlog(c->stream);
	uint64_t flushed = c->given_bytes - MIN((uint64_t)backlog, c->given_bytes);
	bool in_stuck = body_wanted(c) && c->taken_bytes == c->taken_seen_bytes;
	bool out_stuck = backlog > 0 && flushed == c->flushed_seen_bytes;
	c->taken_seen_bytes = c->taken_bytes;
	c->flushed_seen_bytes = flushed;
	return in_stuck || out_stuck;
}

static void conn_late(struct http_conn *c)
{
	bool in_head = c->input == INPUT_HEAD;
	if (in_head && !http_parser_idle(&c->parser)) {
		conn_refuse(c, 408, "The request head did not arrive in time");
		return;
	}
	bool at_work = c->input == INPUT_BODY || c->input == INPUT_DONE;
	bool waits = at_work || stream_backlog(c->stream) > 0;
	if (waits && !conn_stalled(c))
		loop_timer_start_lazy(c->loop, &c->timer, c->server->patience.stall_us, conn_on_timer);
	else if (c->input == INPUT_BODY && c->sink == BODY_COLLECT)
		conn_refuse(c, 408, "The request body did not arrive in time");
	else
		conn_lost(c);
}

static void conn_on_timer(struct loop_timer *t)
{
	struct http_conn *c = container_of(t, struct http_conn, timer);
	conn_enter(c);
	conn_late(c);
	conn_leave(c);
}

/* ---- The server ---- */

static void conn_new(struct http_server *s, int fd, const struct sock_addr *peer)
{
	struct http_conn *c = xcalloc(1, sizeof(*c));
	int on = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));   /* a unix socket has none */
	c->server = s;
	c->loop = s->loop;
	c->peer = *peer;
	buf_init(&c->headers, LIMIT_HTTP_HEAD_BYTES);
	list_push(&s->conns, &c->link);
	s->conn_count++;
	c->stream = stream_accepted(s->loop, fd, s->tls, &conn_events, c);
	next_request(c);
}

static void server_accept_off(struct http_server *s)
{
	s->accept_paused = true;
	loop_fd_set(s->watch, 0);
}

static void server_accept_on(struct http_server *s)
{
	if (!s->accept_paused || s->conn_count >= LIMIT_HTTP_CONNECTIONS || loop_timer_active(&s->accept_retry))
		return;
	s->accept_paused = false;
	loop_fd_set(s->watch, LOOP_READ);
}

static void server_on_retry(struct loop_timer *t)
{
	server_accept_on(container_of(t, struct http_server, accept_retry));
}

static void server_on_ready(struct loop_fd *w, int events)
{
	struct http_server *s = loop_fd_arg(w);
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sock_addr peer = { .len = sizeof(peer.storage) };
		if (s->conn_count >= LIMIT_HTTP_CONNECTIONS) {
			server_accept_off(s);
			return;
		}
		int fd = accept4(s->fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			conn_new(s, fd, &peer);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			loop_timer_start(s->loop, &s->accept_retry, ACCEPT_RETRY_US, server_on_retry);
			server_accept_off(s);
			return;
		} else if (errno == EAGAIN) {
			return;
		}   /* others concern the one connection that was given up by its client */
	}
}

void http_server_set_patience(struct http_server *s, const struct http_patience *p) { s->patience = *p; }

const char *http_server_date(struct http_server *s)
{
	time_t now_s = (time_t)(loop_unix_us(s->loop) / SEC);
	struct tm tm;
	if (now_s != s->date_s || !s->date[0]) {
		/* always 29 characters */
		(void)strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now_s, &tm));
		s->date_s = now_s;
	}
	return s->date;
}

int http_listen(struct loop *l, const struct sock_addr *a, struct tls_ctx *tls, const struct http_routes *routes,
		struct http_server **out, struct err *e)
{
	int fd;
	int rc = sock_listen(a, SOCK_STREAM, &fd, e);
	if (rc != 0)
		return rc;
	struct http_server *s = xcalloc(1, sizeof(*s));
	*s = (struct http_server){
		.loop = l, .tls = tls, .routes = routes, .fd = fd,
		.patience = {
			.head_us = LIMIT_HTTP_HEAD_US, .idle_us = LIMIT_HTTP_IDLE_US, .stall_us = LIMIT_HTTP_STALL_US,
			.linger_us = LIMIT_HTTP_LINGER_US,
		},
	};
	list_init(&s->conns);
	s->watch = loop_fd_new(l, fd, LOOP_READ, server_on_ready, s);
	*out = s;
	return 0;
}

uint16_t http_server_port(const struct http_server *s)
{
	struct sock_addr a;
	return sock_local_addr(s->fd, &a, NULL) == 0 ? sock_addr_port(&a) : 0;
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	s->accept_paused = false;      /* connections that end do not bring it back */
	loop_timer_stop(&s->accept_retry);
	loop_fd_free(MOVE(s->watch));
	(void)close(s->fd);
	for (struct list *at; (at = list_pop(&s->conns));) {   /* not list_each: `gone` may end others */
		struct http_conn *c = list_entry(at, struct http_conn, link);
		conn_enter(c);
		if (c->req)
			conn_lost(c);
		else
			conn_close_flushed(c);   /* an answer on its way arrives */
		conn_leave(c);
	}
	free(s);
}
