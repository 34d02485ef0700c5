/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client against our own server and against raw sockets, and the proxy between a raw client and our server. */
#include <stdio.h>

#include "net/http.h"
#include "net/tls.h"
#include "tests/lib/net.h"

struct world {
	struct loop *l;
	struct http_routes routes, front;
	struct http_server *server, *proxy;
	struct sock_addr addr;          /* of server */
	struct peer *peer;              /* of proxy */
	int64_t proxy_timeout_us;

	struct http_req *held;
	int gone, drained;
	size_t got_bytes;               /* by /count */
	uint16_t client_port;           /* of the last request */
};

/* What became of a call. */
struct outcome {
	struct http_call *call;
	int heads, done, drained, code, status;
	bool sent;
	char text[512];
	struct buf body;
	char header[64];                /* X-Test */
	size_t pause_at;                /* pause once so many bytes have come; 0: never */
	bool cancel_at_head, cancel_at_piece;
};

/* ---- Server side ---- */

static struct world *world_of(struct http_req *r)
{
	struct world *w = r->arg;
	w->client_port = sock_addr_port(&r->peer);
	return w;
}

static void hello(struct http_req *r)
{
	(void)world_of(r);
	http_set_header(r, "X-Test", "here");
	http_reply_text(r, 200, "hello");
}

static void echo(struct http_req *r)
{
	(void)world_of(r);
	http_reply(r, 200, "text/plain", r->body);
}

static void on_gone(struct http_req *r)
{
	struct world *w = r->arg;
	w->gone++;
	w->held = NULL;
}

static void on_drained(struct http_req *r) { ((struct world *)r->arg)->drained++; }

static void hold(struct http_req *r)
{
	world_of(r)->held = r;
	r->gone = on_gone;
	r->drained = on_drained;
}

static void stream(struct http_req *r)
{
	hold(r);
	http_stream_start(r, 200, "text/plain", -1);
}

static void on_piece(struct http_req *r, struct str piece) { ((struct world *)r->arg)->got_bytes += piece.len; }
static void on_end(struct http_req *r) { http_reply_text(r, 200, "%zu", ((struct world *)r->arg)->got_bytes); }

static void count(struct http_req *r)
{
	hold(r);
	http_body_start(r, on_piece, on_end);
}

static void show_headers(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	(void)world_of(r);
	buf_printf(&out, "%s " STR_FMT "\n", http_method_name(r->method), STR_ARG(r->target));
	for (size_t i = 0; i < r->headers.count; i++)
		buf_printf(&out, STR_FMT ": " STR_FMT "\n", STR_ARG(r->headers.rows[i].name), STR_ARG(r->headers.rows[i].value));
	http_set_header(r, "X-Test", "passed");
	http_set_header(r, "Connection", "X-Private");
	http_set_header(r, "X-Private", "secret");
	http_reply(r, 200, "text/plain", buf_view(&out));
}

static void redirect(struct http_req *r) { http_redirect(r, 302, "/behind/there?x=1"); }

/* An upgrade that says what it hears, in capitals. */
static void shout_data(struct stream *s)
{
	struct buf *in = stream_in(s);
	for (size_t i = 0; i < in->len; i++)
		in->data[i] = (uint8_t)(in->data[i] - 0x20);
	stream_write(s, in->data, in->len);
	buf_drop(in, in->len);
}

static void shout_eof(struct stream *s) { stream_close_after_flush(s); }
static void shout_closed(struct stream *s, const struct err *e UNUSED) { stream_free(s); }
static const struct stream_events shout_events = { .data = shout_data, .eof = shout_eof, .closed = shout_closed };

static void shout(struct http_req *r)
{
	http_set_header(r, "Upgrade", "shout");
	struct stream *s = http_switch_protocols(r);
	stream_set(s, &shout_events, NULL);
	stream_write(s, "hi ", 3);
}

static const struct route table[] = {
	{ GET,        "/hello",      hello,        NULL, 0,                "" },
	{ POST | PUT, "/echo",       echo,         NULL, 4 * MIB,          "" },
	{ GET | POST, "/hold",       hold,         NULL, 100,              "" },
	{ GET,        "/stream",     stream,       NULL, 0,                "" },
	{ POST,       "/count",      count,        NULL, HTTP_BODY_STREAM, "" },
	{ GET | POST, "/headers",    show_headers, NULL, 100,              "" },
	{ GET,        "/redirect",   redirect,     NULL, 0,                "" },
	{ GET,        "/shout",      shout,        NULL, 0,                "" },
	ROUTE_END,
};

static void to_server(struct http_req *r)
{
	struct world *w = r->arg;
	const char *to = arena_printf(&r->arena, "/" STR_FMT "%s" STR_FMT, STR_ARG(r->params[0]), r->query.len ? "?" : "", STR_ARG(r->query));
	struct proxy_spec spec = {
		.to = &w->addr, .path_and_query = to, .rewrite_from = "/behind", .rewrite_to = "/front", .timeout_us = w->proxy_timeout_us,
	};
	http_proxy(r, &spec);
}

static void to_nowhere(struct http_req *r)
{
	struct sock_addr a = net_local(1);
	struct proxy_spec spec = { .to = &a, .path_and_query = "/" };
	http_proxy(r, &spec);
}

static const struct route proxy_table[] = {
	{ GET | POST | PUT, "/to/{*rest}",       to_server,  NULL, HTTP_BODY_STREAM, "" },
	{ GET | POST,       "/buffered/{*rest}", to_server,  NULL, 1 * MIB,          "" },
	{ GET | POST,       "/nowhere",          to_nowhere, NULL, HTTP_BODY_STREAM, "" },
	ROUTE_END,
};

static struct http_server *listen_at(struct world *w, uint16_t port, struct tls_ctx *tls, const struct http_routes *routes)
{
	struct sock_addr a = net_local(port);
	struct http_server *s = NULL;
	struct err e = { 0 };
	if (http_listen(w->l, &a, tls, routes, &s, &e) != 0)
		FAIL("%s", e.text);
	return s;
}

static struct world *start(void)
{
	struct world *w = xcalloc(1, sizeof(*w));
	w->l = loop_new();
	http_routes_add(&w->routes, table, w);
	http_routes_add(&w->front, proxy_table, w);
	w->server = listen_at(w, 0, NULL, &w->routes);
	w->proxy = listen_at(w, 0, NULL, &w->front);
	w->addr = net_local(http_server_port(w->server));
	w->peer = peer_new(w->l, http_server_port(w->proxy));
	return w;
}

static void stop(struct world *w)
{
	if (w->peer)
		peer_free(w->peer);
	http_server_free(w->proxy);
	for (int i = 0; i < 5; i++)
		net_turn(w->l);
	http_server_free(w->server);
	for (int i = 0; i < 5; i++)
		net_turn(w->l);
	loop_free(w->l);
	free(w);
}

/* ---- Client side ---- */

static void note_header(struct outcome *o, const struct http_answer *a)
{
	str_put(o->header, sizeof(o->header), http_header_get(&a->headers, "x-test"));
	o->status = a->status;
}

static void on_head(struct http_call *c, const struct http_answer *a)
{
	struct outcome *o = http_call_arg(c);
	o->heads++;
	note_header(o, a);
	if (o->cancel_at_head)
		http_call_cancel(MOVE(o->call));
}

static void on_body(struct http_call *c, struct str piece)
{
	struct outcome *o = http_call_arg(c);
	buf_str(&o->body, piece);
	if (o->pause_at > 0 && o->body.len >= o->pause_at)
		http_call_pause(c, true);
	if (o->cancel_at_piece)
		http_call_cancel(MOVE(o->call));
}

static void on_done(struct http_call *c, const struct http_answer *a, const struct err *e)
{
	struct outcome *o = http_call_arg(c);
	o->done++;
	o->code = e->code;
	o->sent = a->sent;
	o->call = NULL;
	str_put(o->text, sizeof(o->text), str_of(e->text));
	if (e->code != 0)
		return;
	note_header(o, a);
	if (a->body.p)
		buf_str(&o->body, a->body);
}

static void on_call_drained(struct http_call *c) { ((struct outcome *)http_call_arg(c))->drained++; }

static const struct http_call_events events = { .head = on_head, .body = on_body, .done = on_done, .drained = on_call_drained };

static void reset(struct outcome *o)
{
	buf_fini(&o->body);
	*o = (struct outcome){ .body = BUF_INIT };
}

static void call_spec(struct world *w, struct outcome *o, const char *path, struct http_call_spec spec)
{
	AUTO_FREE char *url = xasprintf("http://127.0.0.1:%u%s", sock_addr_port(&w->addr), path);
	if (!spec.url)
		spec.url = url;
	if (spec.method == 0)
		spec.method = GET;
	o->call = http_call_start(w->l, &spec, &events, o);
	EQ_INT(o->done, 0);
}

/* GET, until it is over. */
static void get(struct world *w, struct outcome *o, const char *path)
{
	reset(o);
	call_spec(w, o, path, (struct http_call_spec){ 0 });
	UNTIL(w->l, o->done);
}

TEST(http_client, gets_a_whole_answer)
{
	struct world *w = start();
	struct outcome o = { 0 };
	get(w, &o, "/hello");
	EQ_INT(o.code, 0);
	EQ_INT(o.status, 200);
	EQ_STR(o.header, "here");
	EQ_STR(buf_cstr(&o.body), "hello");
	get(w, &o, "/none");
	EQ_INT(o.status, 404);
	EQ_STR(buf_cstr(&o.body), "{\"message\":\"No such route: GET /none\"}");
	reset(&o);
	call_spec(w, &o, "/hello", (struct http_call_spec){ .method = HEAD });
	UNTIL(w->l, o.done);
	EQ_INT(o.status, 200);
	EQ_INT(o.body.len, 0);
	get(w, &o, "/hello");     /* the connection HEAD left behind is still in step */
	EQ_STR(buf_cstr(&o.body), "hello");
	reset(&o);
	stop(w);
}

TEST(http_client, sends_method_headers_and_body)
{
	struct world *w = start();
	struct outcome o = { .body = BUF_INIT };
	const char *const headers[] = { "X-One: 1", "User-Agent: me", "X-Bad: a\r\nInjected: b", NULL };
	call_spec(w, &o, "/headers?a=%20", (struct http_call_spec){ .method = POST, .headers = headers, .body = STR("xyz") });
	UNTIL(w->l, o.done);
	HAS(buf_cstr(&o.body), "POST /headers?a=%20\nHost: 127.0.0.1:");
	HAS(buf_cstr(&o.body), "\nX-One: 1\nUser-Agent: me\nX-Bad: a  Injected: b\nContent-Length: 3\n");
	reset(&o);
	call_spec(w, &o, "/echo", (struct http_call_spec){ .method = PUT, .body = STR("the body") });
	UNTIL(w->l, o.done);
	EQ_STR(buf_cstr(&o.body), "the body");
	reset(&o);
	stop(w);
}

TEST(http_client, uses_a_connection_again)
{
	struct world *w = start();
	struct outcome o = { 0 };
	get(w, &o, "/hello");
	uint16_t port = w->client_port;
	get(w, &o, "/hello");
	EQ_INT(w->client_port, port);
	reset(&o);
	stop(w);
}

TEST(http_client, tries_again_when_an_idle_connection_had_died)
{
	struct world *w = start();
	struct outcome o = { 0 };
	uint16_t port = sock_addr_port(&w->addr);
	get(w, &o, "/hello");
	http_server_free(w->server);
	w->server = listen_at(w, port, NULL, &w->routes);    /* the client has not noticed yet */
	get(w, &o, "/hello");
	EQ_INT(o.code, 0);
	EQ_STR(buf_cstr(&o.body), "hello");
	reset(&o);
	stop(w);
}

TEST(http_client, streams_an_answer_and_pauses)
{
	struct world *w = start();
	static char piece[64 * 1024];
	struct outcome o = { .body = BUF_INIT, .pause_at = 1 };
	call_spec(w, &o, "/stream", (struct http_call_spec){ .streaming = true });
	UNTIL(w->l, o.heads == 1);
	memset(piece, 'p', sizeof(piece));
	size_t sent = 0;
	while (sent < 64 * MIB && http_stream_write(w->held, piece, sizeof(piece))) {
		sent += sizeof(piece);
		net_turn(w->l);
	}
	sent += sizeof(piece);
	TRUE(sent < 64 * MIB);               /* a paused client stops the server */
	TRUE(o.body.len < 1 * MIB);
	o.pause_at = 0;
	http_call_pause(o.call, false);
	UNTIL(w->l, w->drained == 1);
	http_stream_end(w->held);
	UNTIL(w->l, o.done);
	EQ_INT(o.code, 0);
	EQ_INT(o.body.len, sent);
	reset(&o);
	stop(w);
}

TEST(http_client, streams_a_request_body_with_back_pressure)
{
	struct world *w = start();
	static char piece[64 * 1024];
	struct outcome o = { .body = BUF_INIT };
	call_spec(w, &o, "/count", (struct http_call_spec){ .method = POST, .body_streaming = true, .body_length = -1 });
	size_t sent = 0;
	while (http_call_write(o.call, piece, sizeof(piece)))    /* before the connection is there, too */
		sent += sizeof(piece);
	sent += sizeof(piece);
	TRUE(sent < 1 * MIB);
	UNTIL(w->l, o.drained == 1);
	UNTIL(w->l, w->held);
	http_body_pause(w->held, true);
	while (sent < 64 * MIB && http_call_write(o.call, piece, sizeof(piece))) {
		sent += sizeof(piece);
		net_turn(w->l);
	}
	sent += sizeof(piece);
	TRUE(sent < 64 * MIB);
	http_body_pause(w->held, false);
	UNTIL(w->l, o.drained == 2);
	http_call_end(o.call);
	UNTIL(w->l, o.done);
	AUTO_FREE char *expected = xasprintf("%zu", sent);
	EQ_STR(buf_cstr(&o.body), expected);
	reset(&o);
	stop(w);
}

TEST(http_client, says_why_a_call_failed)
{
	struct world *w = start();
	struct outcome o = { .body = BUF_INIT };
	call_spec(w, &o, "", (struct http_call_spec){ .url = "http://127.0.0.1:1/x" });
	UNTIL(w->l, o.done);
	TRUE(o.code != 0);
	HAS(o.text, "GET http://127.0.0.1:1/x: connect to 127.0.0.1:1: Connection refused");
	reset(&o);
	call_spec(w, &o, "", (struct http_call_spec){ .url = "gopher://x" });
	UNTIL(w->l, o.done);
	EQ_INT(o.code, E_INVALID);
	EQ_STR(o.text, "GET gopher://x: not a valid http or https URL");
	reset(&o);
	call_spec(w, &o, "/hold", (struct http_call_spec){ .timeout_us = 50 * MSEC });
	UNTIL(w->l, o.done);
	EQ_INT(o.code, E_TIMEOUT);
	HAS(o.text, "no answer within 0.05 s");
	UNTIL(w->l, w->gone == 1);
	reset(&o);
	call_spec(w, &o, "/echo", (struct http_call_spec){ .method = POST, .body = STR("too long"), .body_max = 7 });
	UNTIL(w->l, o.done);
	EQ_INT(o.code, E_TOOBIG);
	reset(&o);
	stop(w);
}

TEST(http_client, a_failed_call_tells_whether_the_server_may_have_seen_it)
{
	struct world *w = start();
	struct outcome o = { .body = BUF_INIT };
	call_spec(w, &o, "", (struct http_call_spec){ .url = "http://127.0.0.1:1/x", .method = POST });
	UNTIL(w->l, o.done);
	TRUE(o.code != 0);
	FALSE(o.sent);
	reset(&o);
	call_spec(w, &o, "/hold", (struct http_call_spec){ .timeout_us = 50 * MSEC });
	UNTIL(w->l, o.done);
	EQ_INT(o.code, E_TIMEOUT);
	TRUE(o.sent);
	UNTIL(w->l, w->gone == 1);
	reset(&o);
	stop(w);
}

TEST(http_client, never_calls_back_after_cancel)
{
	struct world *w = start();
	struct outcome o = { .body = BUF_INIT };
	call_spec(w, &o, "/hello", (struct http_call_spec){ 0 });
	http_call_cancel(o.call);
	call_spec(w, &o, "/hold", (struct http_call_spec){ 0 });
	UNTIL(w->l, w->held);
	http_call_cancel(o.call);
	o.cancel_at_head = true;
	call_spec(w, &o, "/stream", (struct http_call_spec){ .streaming = true });
	UNTIL(w->l, o.heads == 1);
	o = (struct outcome){ .body = o.body, .cancel_at_piece = true };
	call_spec(w, &o, "/echo", (struct http_call_spec){ .streaming = true, .method = POST, .body = STR("x") });
	UNTIL(w->l, o.body.len == 1);
	call_spec(w, &o, "", (struct http_call_spec){ .url = "bad" });
	http_call_cancel(o.call);
	http_call_cancel(NULL);
	for (int i = 0; i < 20; i++)
		net_turn(w->l);
	EQ_INT(o.done, 0);
	EQ_INT(o.body.len, 1);
	reset(&o);
	stop(w);
}

/* ---- A server that is not ours ---- */

struct raw {
	int listener, fd;
	uint16_t port;
};

static struct raw raw_listen(void)
{
	struct raw r = { .fd = -1 };
	struct sock_addr a = net_local(0);
	EQ_INT(sock_listen(&a, SOCK_STREAM, &r.listener, NULL), 0);
	EQ_INT(sock_local_addr(r.listener, &a, NULL), 0);
	r.port = sock_addr_port(&a);
	return r;
}

/* Answer the next connection with these bytes and close it. */
static void raw_answer(struct world *w, struct outcome *o, const char *bytes, enum http_method method)
{
	struct raw r = raw_listen();
	AUTO_FREE char *url = xasprintf("http://127.0.0.1:%u/", r.port);
	reset(o);
	call_spec(w, o, "", (struct http_call_spec){ .url = url, .method = method });
	UNTIL(w->l, (r.fd = accept(r.listener, NULL, NULL)) >= 0);
	(void)close(r.listener);
	char request[4096];
	UNTIL(w->l, recv(r.fd, request, sizeof(request), MSG_DONTWAIT) > 0);
	for (const char *at = bytes; *at; at++) {
		(void)send(r.fd, at, 1, MSG_NOSIGNAL);     /* the client may have seen enough */
		net_turn(w->l);
	}
	(void)close(r.fd);
	UNTIL(w->l, o->done);
}

TEST(http_client, understands_other_servers)
{
	struct world *w = start();
	struct outcome o = { 0 };
	raw_answer(w, &o, "HTTP/1.0 200 OK\r\n\r\nuntil the end", GET);
	EQ_STR(buf_cstr(&o.body), "until the end");
	raw_answer(w, &o, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", POST);
	EQ_INT(o.status, 201);
	EQ_STR(buf_cstr(&o.body), "abc");
	raw_answer(w, &o, "HTTP/1.1 204 No Content\r\n\r\n", GET);
	EQ_INT(o.status, 204);
	EQ_INT(o.code, 0);
	raw_answer(w, &o, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", GET);
	EQ_INT(o.code, E_CLOSED);
	HAS(o.text, "the connection ended in the middle of the answer");
	raw_answer(w, &o, "", GET);
	EQ_INT(o.code, E_CLOSED);
	HAS(o.text, "the connection ended without an answer");
	raw_answer(w, &o, "SSH-2.0-x\r\n", GET);
	EQ_INT(o.code, E_MALFORMED);
	HAS(o.text, "malformed answer: ");
	raw_answer(w, &o, "HTTP/1.1 042 Hm\r\nContent-Length: 0\r\n\r\n", GET);
	EQ_INT(o.code, E_MALFORMED);
	HAS(o.text, "its status is below 100");
	raw_answer(w, &o, "HTTP/1.1 101 Hm\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", GET);
	EQ_INT(o.code, E_MALFORMED);
	reset(&o);
	stop(w);
}

TEST(http_client, speaks_https)
{
	struct world *w = start();
	struct outcome o = { .body = BUF_INIT };
	struct err e = { 0 };
	char *ca, *ca_key, *key, *csr, *cert;
	struct tls_ctx *server, *knows_ca, *other;
	if (pki_ca_new("test", &ca, &ca_key, &e) || pki_key_new(&key, &e) || pki_csr_new(key, "server", &csr, &e) ||
	    pki_sign(ca, ca_key, csr, "server", "127.0.0.1", 1, &cert, &e) ||
	    tls_ctx_new(&(struct tls_config){ .server = true, .cert_pem = cert, .key_pem = key }, &server, &e) ||
	    tls_ctx_new(&(struct tls_config){ .verify = TLS_VERIFY_REQUIRED, .ca_pem = ca }, &knows_ca, &e))
		FAIL("%s", e.text);
	char *ca2, *ca2_key;
	if (pki_ca_new("other", &ca2, &ca2_key, &e) || tls_ctx_new(&(struct tls_config){ .verify = TLS_VERIFY_REQUIRED, .ca_pem = ca2 }, &other, &e))
		FAIL("%s", e.text);
	struct http_server *https = listen_at(w, 0, server, &w->routes);
	AUTO_FREE char *url = xasprintf("https://127.0.0.1:%u/hello", http_server_port(https));
	struct tls_ctx *const contexts[] = { NULL, knows_ca, knows_ca };
	for (size_t i = 0; i < ARRAY_LEN(contexts); i++) {
		reset(&o);
		call_spec(w, &o, "", (struct http_call_spec){ .url = url, .tls = contexts[i] });
		UNTIL(w->l, o.done);
		EQ_STR(o.text, "");
		EQ_STR(buf_cstr(&o.body), "hello");
	}
	reset(&o);
	call_spec(w, &o, "", (struct http_call_spec){ .url = url, .tls = other });
	UNTIL(w->l, o.done);
	TRUE(o.code != 0);
	reset(&o);
	http_server_free(https);
	stop(w);
	tls_ctx_free(server);
	tls_ctx_free(knows_ca);
	tls_ctx_free(other);
	char *const texts[] = { ca, ca_key, key, csr, cert, ca2, ca2_key };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
}

/* ---- Proxy ---- */

TEST(proxy, passes_requests_and_answers)
{
	struct world *w = start();
	peer_send(w->peer, "POST /to/headers?q=1 HTTP/1.1\r\nHost: front\r\nX-One: 1\r\nX-Drop: 2\r\nConnection: keep-alive, x-drop\r\n"
			   "X-Forwarded-For: 9.9.9.9\r\nTE: trailers\r\nContent-Length: 3\r\n\r\nabc");
	UNTIL(w->l, peer_count(w->peer, "Content-Length: 3\n") == 1);
	const char *got = peer_got(w->peer);
	HAS(got, "HTTP/1.1 200 OK\r\n");
	HAS(got, "X-Test: passed\r\n");
	HAS(got, "POST /headers?q=1\nUser-Agent: dcos-node\nX-One: 1\nHost: front\nX-Forwarded-For: 9.9.9.9, 127.0.0.1\nX-Real-IP: 127.0.0.1\n"
		 "X-Forwarded-Proto: http\nX-Forwarded-Host: front\n");
	EQ_INT(peer_count(w->peer, "X-Drop"), 0);
	EQ_INT(peer_count(w->peer, "secret"), 0);
	EQ_INT(peer_count(w->peer, "TE:"), 0);
	EQ_INT(peer_count(w->peer, "Date: "), 1);
	buf_reset(&w->peer->got);
	peer_send(w->peer, "GET /to/redirect HTTP/1.1\r\nHost: front\r\n\r\nHEAD /to/hello HTTP/1.1\r\nHost: x\r\n\r\n"
			   "GET /to/hello HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "hello") == 1);
	HAS(peer_got(w->peer), "Location: /front/there?x=1\r\n");
	HAS(peer_got(w->peer), "Content-Length: 5\r\n");
	buf_reset(&w->peer->got);
	peer_send(w->peer, "POST /buffered/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nbuffered");
	UNTIL(w->l, peer_count(w->peer, "\r\n\r\nbuffered") == 1);
	stop(w);
}

TEST(proxy, says_bad_gateway_and_gateway_timeout)
{
	struct world *w = start();
	peer_send(w->peer, "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
	UNTIL(w->l, peer_count(w->peer, "refused\"}") == 1);
	HAS(peer_got(w->peer), "HTTP/1.1 502 Bad Gateway\r\n");
	EQ_INT(peer_count(w->peer, HTTP_NOT_SENT ": true\r\n"), 1);
	HAS(peer_got(w->peer), "{\"message\":\"POST http://127.0.0.1:1/: connect to 127.0.0.1:1: Connection refused\"}");
	w->proxy_timeout_us = 50 * MSEC;
	peer_send(w->peer, "GET /to/hold HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "HTTP/1.1 504 Gateway Timeout\r\n") == 1);
	UNTIL(w->l, peer_count(w->peer, "no answer within 0.05 s") == 1);
	EQ_INT(peer_count(w->peer, HTTP_NOT_SENT), 1);
	stop(w);
}

TEST(proxy, streams_a_large_body_up)
{
	struct world *w = start();
	static char part[64 * 1024];
	size_t n = 24 * MIB, sent = 0;
	AUTO_FREE char *head = xasprintf("POST /to/count HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %zu\r\n\r\n", n);
	peer_send(w->peer, head);
	UNTIL(w->l, peer_count(w->peer, "100 Continue") == 1);
	UNTIL(w->l, w->held);
	http_body_pause(w->held, true);
	for (int idle = 0; idle < 50 && sent < n;) {
		ssize_t k = send(w->peer->fd, part, MIN(sizeof(part), n - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += k > 0 ? (size_t)k : 0;
		idle = k > 0 ? 0 : idle + 1;
		net_turn(w->l);
	}
	TRUE(sent < n);                      /* the pause behind the proxy reaches the client */
	http_body_pause(w->held, false);
	while (sent < n) {
		size_t k = MIN(sizeof(part), n - sent);
		peer_send_n(w->peer, part, k);
		sent += k;
	}
	AUTO_FREE char *total = xasprintf("\r\n\r\n%zu", n);
	UNTIL(w->l, peer_count(w->peer, total) == 1);
	stop(w);
}

TEST(proxy, a_slow_client_holds_the_server_behind)
{
	struct world *w = start();
	static char part[64 * 1024];
	peer_read(w->peer, false);
	peer_send(w->peer, "GET /to/stream HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->held);
	size_t sent = 0;
	while (sent < 64 * MIB && http_stream_write(w->held, part, sizeof(part))) {
		sent += sizeof(part);
		net_turn(w->l);
	}
	TRUE(sent < 64 * MIB);
	peer_read(w->peer, true);
	UNTIL(w->l, w->drained == 1);
	http_stream_end(w->held);
	UNTIL(w->l, str_ends(buf_view(&w->peer->got), STR("\r\n0\r\n\r\n")));
	TRUE(w->peer->got.len > sent);
	stop(w);
}

TEST(proxy, each_side_learns_that_the_other_left)
{
	struct world *w = start();
	peer_send(w->peer, "GET /to/stream HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->held && peer_count(w->peer, "chunked") == 1);
	peer_free(w->peer);
	UNTIL(w->l, w->gone == 1);
	w->peer = peer_new(w->l, http_server_port(w->proxy));
	peer_send(w->peer, "GET /to/stream HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->held);
	http_stream_write(w->held, "abc", 3);
	UNTIL(w->l, peer_count(w->peer, "abc") == 1);
	http_stream_abort(w->held);
	UNTIL(w->l, w->peer->ended);
	EQ_INT(peer_count(w->peer, "\r\n0\r\n\r\n"), 0);
	stop(w);
}

TEST(proxy, becomes_a_tunnel_after_an_upgrade)
{
	struct world *w = start();
	peer_send(w->peer, "GET /to/shout HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nearly");
	UNTIL(w->l, peer_count(w->peer, "EARLY") == 1);
	HAS(peer_got(w->peer), "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
	HAS(peer_got(w->peer), "Upgrade: shout\r\n");
	HAS(peer_got(w->peer), "\r\n\r\nhi EARLY");
	peer_send(w->peer, "later");
	UNTIL(w->l, peer_count(w->peer, "LATER") == 1);
	EQ_INT(shutdown(w->peer->fd, SHUT_WR), 0);
	UNTIL(w->l, w->peer->ended);
	stop(w);
}
