/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request of ours and its answer.
 *
 *   LOOKUP --address--> CONNECT --open--> ANSWER --head--> BODY --end--> DONE
 *        `--idle connection to that address----^
 *
 * Any failure leads to DONE, except that a connection from the pool that proves dead before the first byte of the answer
 * leads back to CONNECT, once, when the request may be repeated. `done` never runs inside http_call_start.
 */
#include <stdio.h>

#include "net/http_parser.h"
#include "net/http_pool.h"
#include "net/http_util.h"

#define TIMEOUT_DEFAULT_US (30 * SEC)
#define CONNECT_TIMEOUT_US (10 * SEC)
/* A request that must not be repeated takes only connections used a moment ago: no server gives up so soon. */
#define FRESH_US (2 * SEC)

#define NO_ANSWER "the connection ended without an answer"
#define CUT_SHORT "the connection ended in the middle of the answer"

enum call_state { CALL_LOOKUP, CALL_CONNECT, CALL_ANSWER, CALL_BODY, CALL_DONE };

struct http_call {
	struct loop *loop;                  /* borrowed */
	struct http_call_events ev;
	void *arg;
	struct arena arena;                 /* heads of answers */
	enum call_state state;

	char *url_text;                     /* owned; url points into it */
	struct url url;
	enum http_method method;
	struct buf request;                 /* head and body, kept for a second try */
	struct http_pool_key key;
	int64_t timeout_us, connect_timeout_us;
	bool streaming;

	bool body_streaming, body_chunked, body_ended, body_full;
	struct buf waiting;                 /* streamed body written before the connection was open */

	struct sock_lookup lookup;
	struct stream *stream;              /* owned */
	bool pooled;                        /* the stream had been used before */
	bool eof, paused, interim;          /* interim: a 1xx answer is being read */
	struct http_parser parser;
	struct http_answer answer;
	struct buf body;
	struct err err;
	struct loop_timer timer;
	struct loop_defer defer;
	int depth;                          /* running callbacks; freed only at 0 */
};

static void call_read(struct http_call *c);
static void call_connect(struct http_call *c);

/* ---- Life ---- */

static void call_release(struct http_call *c)
{
	loop_timer_stop(&c->timer);
	loop_defer_cancel(&c->defer);
	sock_lookup_cancel(&c->lookup);
	stream_free(MOVE(c->stream));
	c->state = CALL_DONE;
}

static void call_enter(struct http_call *c) { c->depth++; }

static void call_leave(struct http_call *c)
{
	if (--c->depth > 0 || c->state != CALL_DONE)
		return;
	http_parser_fini(&c->parser);
	arena_fini(&c->arena);
	buf_fini(&c->request);
	buf_fini(&c->waiting);
	buf_fini(&c->body);
	free(c->url_text);
	free(c);
}

void http_call_cancel(struct http_call *c)
{
	if (!c)
		return;
	call_enter(c);
	call_release(c);
	call_leave(c);
}

void *http_call_arg(const struct http_call *c) { return c->arg; }

/* c->err tells how it ended. */
static void call_finish(struct http_call *c)
{
	call_release(c);
	if (c->err.code == 0 && !c->streaming)
		c->answer.body = str_n(buf_cstr(&c->body), c->body.len);
	c->ev.done(c, &c->answer, &c->err);
}

static void call_fail(struct http_call *c, int code, const char *what)
{
	(void)err_set(&c->err, code, "%s %s: %s", http_method_name(c->method), c->url_text, what);
	call_finish(c);
}

/* The answer is complete. */
static void call_complete(struct http_call *c)
{
	bool reusable = http_parser_keep_alive(&c->parser) && !c->eof && stream_in(c->stream)->len == 0 &&
			(!c->body_streaming || c->body_ended) && stream_backlog(c->stream) == 0;
	if (reusable)
		http_pool_put(c->loop, &c->key, MOVE(c->stream));
	call_finish(c);
}

/* ---- Sending ---- */

static bool may_repeat(const struct http_call *c)
{
	return (c->method & (GET | HEAD | PUT | DELETE | OPTIONS)) && !c->body_streaming;
}

/* The connection is there: send what we have. */
static void call_send(struct http_call *c)
{
	c->state = CALL_ANSWER;
	c->answer.sent = true;
	c->eof = false;
	http_parser_init(&c->parser, true, c->method == HEAD);
	stream_write(c->stream, c->request.data, c->request.len);
	stream_write(c->stream, c->waiting.data, c->waiting.len);
	buf_fini(&c->waiting);
	if (c->body_full && !stream_full(c->stream) && c->ev.drained) {
		c->body_full = false;
		c->ev.drained(c);
	}
}

static void call_give(struct http_call *c, struct str bytes)
{
	if (c->state < CALL_ANSWER)
		(void)buf_str(&c->waiting, bytes);   /* bounded by `false` from http_call_write */
	else if (c->stream)
		stream_write(c->stream, bytes.p, bytes.len);
}

bool http_call_write(struct http_call *c, const void *data, size_t len)
{
	assert(c->body_streaming);
	assert(!c->body_ended);
	if (c->state == CALL_DONE || len == 0)
		return true;
	if (c->body_chunked) {
		char size[24];
		int n = snprintf(size, sizeof(size), "%zx\r\n", len);
		call_give(c, str_n(size, (size_t)n));
	}
	call_give(c, str_n(data, len));
	if (c->body_chunked)
		call_give(c, STR("\r\n"));
	c->body_full = c->state < CALL_ANSWER ? c->waiting.len > LIMIT_STREAM_HIGH_BYTES : stream_full(c->stream);
	return !c->body_full;
}

void http_call_end(struct http_call *c)
{
	assert(c->body_streaming);
	if (c->state != CALL_DONE && c->body_chunked)
		call_give(c, STR("0\r\n\r\n"));
	c->body_ended = true;
}

/* ---- Reading ---- */

static void call_head(struct http_call *c)
{
	struct http_head head;
	int status = c->parser.ll.status_code;
	http_parser_head(&c->parser, &c->arena, &head);
	c->interim = status >= 100 && status < 200 && status != 101;
	if (c->interim)
		return;
	if (status < 100) {
		call_fail(c, E_MALFORMED, "malformed answer: its status is below 100");
		return;
	}
	c->answer = (struct http_answer){ .status = status, .headers = head.headers, .sent = true };
	c->state = CALL_BODY;
	if (c->streaming) {
		loop_timer_stop(&c->timer);
		if (c->stream)
			sock_keepalive(stream_fd(c->stream));    /* for nothing else tells that the server is cut off */
		if (c->ev.head)
			c->ev.head(c, &c->answer);
	}
	if (status == 101 && c->stream)
		call_fail(c, E_MALFORMED, "the server changed the protocol unasked");
}

static void call_piece(struct http_call *c)
{
	if (c->streaming)
		c->ev.body(c, c->parser.piece);
	else if (!buf_append(&c->body, c->parser.piece.p, c->parser.piece.len))
		call_fail(c, E_TOOBIG, "the answer is larger than expected");
}

static void call_end(struct http_call *c)
{
	if (c->interim)
		http_parser_init(&c->parser, true, c->method == HEAD);
	else
		call_complete(c);
}

static bool died_unused(const struct http_call *c)
{
	return c->pooled && http_parser_idle(&c->parser) && may_repeat(c);
}

static void call_broken(struct http_call *c)
{
	const char *why;
	if (!c->eof) {
		(void)http_parser_refusal(&c->parser, &why);
		char text[128];
		(void)snprintf(text, sizeof(text), "malformed answer: %s", why);
		call_fail(c, E_MALFORMED, text);
	} else if (died_unused(c)) {
		stream_free(MOVE(c->stream));
		call_connect(c);
	} else {
		call_fail(c, E_CLOSED, c->state == CALL_BODY ? CUT_SHORT : NO_ANSWER);
	}
}

/* Bodies are handed on where they stand in the stream's buffer; it is moved up once, afterwards. */
static void call_read_events(struct http_call *c)
{
	size_t at = 0, taken;
	enum http_parsed ev = PARSED_HEAD;
	while (c->stream && c->state != CALL_DONE && !c->paused && ev != PARSED_MORE && ev != PARSED_BROKEN) {
		struct buf *in = stream_in(c->stream);
		ev = http_parser_step(&c->parser, at < in->len ? in->data + at : NULL, in->len - at, &taken);
		at += taken;
		if (ev == PARSED_MORE && c->eof)
			ev = http_parser_eof(&c->parser);
		if (ev == PARSED_BODY) {
			call_piece(c);
			continue;
		}
		buf_drop(in, at);
		at = 0;
		if (ev == PARSED_HEAD)
			call_head(c);
		else if (ev == PARSED_END)
			call_end(c);
		else if (ev == PARSED_BROKEN)
			call_broken(c);
	}
	if (c->stream && at > 0)
		buf_drop(stream_in(c->stream), at);
}

static void call_read(struct http_call *c)
{
	if (c->state == CALL_ANSWER || c->state == CALL_BODY)
		call_read_events(c);
	if (c->stream && c->state == CALL_BODY)
		stream_pause(c->stream, c->paused);
}

struct stream *http_call_take_stream(struct http_call *c)
{
	struct stream *s = MOVE(c->stream);
	assert(s);
	assert(c->answer.status == 101);
	call_enter(c);
	call_release(c);
	call_leave(c);
	return s;
}

static void call_on_defer(struct loop_defer *d)
{
	struct http_call *c = container_of(d, struct http_call, defer);
	call_enter(c);
	if (c->err.code != 0)
		call_finish(c);
	else
		call_read(c);
	call_leave(c);
}

void http_call_pause(struct http_call *c, bool paused)
{
	c->paused = paused;
	if (!paused)
		loop_defer(c->loop, &c->defer, call_on_defer);
}

/* ---- What happens to the connection ---- */

static void call_on_opened(struct stream *s)
{
	struct http_call *c = stream_arg(s);
	call_enter(c);
	call_send(c);
	call_leave(c);
}

static void call_on_data(struct stream *s)
{
	struct http_call *c = stream_arg(s);
	call_enter(c);
	call_read(c);
	call_leave(c);
}

static void call_on_drained(struct stream *s)
{
	struct http_call *c = stream_arg(s);
	call_enter(c);
	c->body_full = false;
	if (c->ev.drained && c->body_streaming && !c->body_ended)
		c->ev.drained(c);
	call_leave(c);
}

static void call_on_eof(struct stream *s)
{
	struct http_call *c = stream_arg(s);
	call_enter(c);
	c->eof = true;
	call_read(c);
	call_leave(c);
}

static void call_on_closed(struct stream *s, const struct err *e)
{
	struct http_call *c = stream_arg(s);
	(void)s;
	call_enter(c);
	if (c->state == CALL_ANSWER && died_unused(c)) {
		stream_free(MOVE(c->stream));
		call_connect(c);
	} else {
		call_fail(c, e->code ? e->code : E_CLOSED, e->code ? e->text : NO_ANSWER);
	}
	call_leave(c);
}

static const struct stream_events call_events = {
	.opened = call_on_opened, .data = call_on_data, .drained = call_on_drained, .eof = call_on_eof,
	.closed = call_on_closed,
};

static void call_on_timeout(struct loop_timer *t)
{
	struct http_call *c = container_of(t, struct http_call, timer);
	char text[64];
	call_enter(c);
	(void)snprintf(text, sizeof(text), "no answer within %.3g s", (double)c->timeout_us / SEC);
	call_fail(c, E_TIMEOUT, text);
	call_leave(c);
}

/* ---- Starting ---- */

static void call_connect(struct http_call *c)
{
	c->state = CALL_CONNECT;
	c->pooled = false;
	c->stream = stream_connect(c->loop, &c->key.addr, c->key.tls, c->key.host[0] ? c->key.host : NULL,
				   MIN(c->timeout_us, c->connect_timeout_us), &call_events, c);
}

static void call_begin(struct http_call *c)
{
	c->stream = http_pool_take(c->loop, &c->key, may_repeat(c) ? LIMIT_HTTP_POOL_IDLE_US : FRESH_US);
	if (!c->stream) {
		call_connect(c);
		return;
	}
	c->pooled = true;
	stream_set(c->stream, &call_events, c);
	call_send(c);
}

static void call_on_lookup(struct sock_lookup *l)
{
	struct http_call *c = container_of(l, struct http_call, lookup);
	call_enter(c);
	if (l->err.code != 0) {
		call_fail(c, l->err.code, l->err.text);
	} else {
		c->key.addr = l->addr;
		call_begin(c);
	}
	call_leave(c);
}

static bool has_header(const char *const *headers, const char *name)
{
	for (; headers && *headers; headers++) {
		struct str rest = str_of(*headers);
		if (str_ieq(str_cut(&rest, ':'), str_of(name)))
			return true;
	}
	return false;
}

static void build_request(struct http_call *c, const struct http_call_spec *spec)
{
	struct buf *out = &c->request;
	struct str pq = c->url.path_query;
	bool no_slash = pq.len == 0 || pq.p[0] != '/';
	(void)buf_printf(out, "%s %s" STR_FMT " HTTP/1.1\r\n", http_method_name(c->method), no_slash ? "/" : "",
			 STR_ARG(pq));
	if (!has_header(spec->headers, "Host") && c->url.port == (c->url.tls ? 443 : 80))
		(void)buf_printf(out, "Host: " STR_FMT "\r\n", STR_ARG(c->url.host));
	else if (!has_header(spec->headers, "Host"))
		(void)buf_printf(out, "Host: " STR_FMT ":%u\r\n", STR_ARG(c->url.host), c->url.port);
	if (!has_header(spec->headers, "User-Agent"))
		(void)buf_puts(out, "User-Agent: dcos-node\r\n");
	for (const char *const *h = spec->headers; h && *h; h++) {
		struct str value = str_of(*h);
		struct str name = str_cut(&value, ':');
		http_head_add(out, name, str_trim(value));
	}
	bool wants_body = c->method & (POST | PUT | PATCH);
	int64_t length = c->body_streaming ? spec->body_length : (int64_t)spec->body.len;
	c->body_chunked = length < 0;
	if (c->body_chunked)
		(void)buf_puts(out, "Transfer-Encoding: chunked\r\n");
	else if (length > 0 || wants_body)
		(void)buf_printf(out, "Content-Length: %lld\r\n", (long long)length);
	(void)buf_puts(out, "\r\n");
	if (!c->body_streaming)
		(void)buf_str(out, spec->body);
}

/* URL and TLS settings into the call. The text names no method or URL: call_fail does. */
static int call_prepare(struct http_call *c, const struct http_call_spec *spec, struct err *e)
{
	if (!url_parse(c->url_text, &c->url))
		return err_set(e, E_INVALID, "not a valid http or https URL");
	if (!str_put(c->lookup.host, sizeof(c->lookup.host), c->url.host))
		return err_set(e, E_INVALID, "the host name is too long");
	c->key.tls = spec->tls;
	if (!c->url.tls)
		c->key.tls = NULL;
	else if (!spec->tls && http_pool_tls_unverified(c->loop, &c->key.tls, e) != 0)
		return e->code;
	if (c->url.tls)
		(void)str_put(c->key.host, sizeof(c->key.host), c->url.host);   /* as long as lookup.host */
	build_request(c, spec);
	return buf_ok(&c->request) ? 0 : err_set(e, E_TOOBIG, "the request is too large");
}

struct http_call *http_call_start(struct loop *l, const struct http_call_spec *spec,
				  const struct http_call_events *ev, void *arg)
{
	struct http_call *c = xcalloc(1, sizeof(*c));
	struct err e = { 0 };
	char host[sizeof(c->lookup.host)];
	c->loop = l;
	c->ev = *ev;
	c->arg = arg;
	c->method = spec->method;
	c->timeout_us = spec->timeout_us > 0 ? spec->timeout_us : TIMEOUT_DEFAULT_US;
	c->connect_timeout_us = spec->connect_timeout_us > 0 ? spec->connect_timeout_us : CONNECT_TIMEOUT_US;
	c->streaming = spec->streaming;
	c->body_streaming = spec->body_streaming;
	c->url_text = xstrdup(spec->url);
	arena_init(&c->arena, ARENA_MAX_DEFAULT);
	buf_init(&c->request, BUF_MAX_DEFAULT);
	buf_init(&c->waiting, BUF_MAX_DEFAULT);
	buf_init(&c->body, spec->body_max ? spec->body_max : LIMIT_HTTP_BODY_BYTES);
	if (call_prepare(c, spec, &e) != 0) {
		(void)err_set(&c->err, e.code, "%s %s: %s", http_method_name(c->method), c->url_text, e.text);
		loop_defer(l, &c->defer, call_on_defer);
		return c;
	}
	loop_timer_start(l, &c->timer, c->timeout_us, call_on_timeout);
	if (spec->addr) {
		c->key.addr = *spec->addr;
		call_begin(c);
	} else {
		memcpy(host, c->lookup.host, sizeof(host));
		sock_lookup_start(l, &c->lookup, host, c->url.port, call_on_lookup);
	}
	return c;
}
