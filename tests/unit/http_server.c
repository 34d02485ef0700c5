/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server seen from its socket: raw bytes in, raw bytes out. */
#include <stdio.h>

#include "net/http_int.h"
#include "tests/lib/net.h"

struct world {
	struct loop *l;
	struct http_routes routes;
	struct http_server *server;
	struct peer *peer;

	struct http_req *held;      /* by /hold and /stream */
	int gone, drained, pieces, ends;
	size_t piece_bytes;
	bool full;
};

static struct world *world_of(struct http_req *r) { return r->arg; }

static void hello(struct http_req *r) { http_reply_text(r, 200, "hello"); }
static void echo(struct http_req *r) { http_reply(r, 200, "text/plain", r->body); }
static void show_path(struct http_req *r) { http_reply(r, 200, "text/plain", r->path); }

static void on_gone(struct http_req *r)
{
	world_of(r)->gone++;
	world_of(r)->held = NULL;
}

static void on_drained(struct http_req *r) { world_of(r)->drained++; }

static void hold(struct http_req *r)
{
	world_of(r)->held = r;
	r->gone = on_gone;
}

static void hold_carelessly(struct http_req *r) { world_of(r)->held = r; }

static void stream(struct http_req *r)
{
	hold(r);
	r->drained = on_drained;
	http_stream_start(r, 200, "text/plain", -1);
	http_stream_write(r, "one", 3);
}

static void stream_known(struct http_req *r)
{
	http_stream_start(r, 200, "text/plain", 6);
	http_stream_write(r, "abc", 3);
	http_stream_write(r, "defghi", 6);
	http_stream_end(r);
}

static void events(struct http_req *r)
{
	http_stream_start(r, 200, "text/event-stream", -1);
	http_sse_send(r, "added", STR("a\nb"), "7");
	http_stream_end(r);
}

static void on_piece(struct http_req *r, struct str piece)
{
	world_of(r)->pieces++;
	world_of(r)->piece_bytes += piece.len;
}

static void on_end(struct http_req *r)
{
	world_of(r)->ends++;
	http_reply_text(r, 200, "%zu bytes", world_of(r)->piece_bytes);
}

static void upload(struct http_req *r)
{
	hold(r);
	http_body_start(r, on_piece, on_end);
}

static void ignore_upload(struct http_req *r) { http_reply_text(r, 403, "no"); }

static void headers(struct http_req *r)
{
	http_set_header(r, "X-Bad", "a\r\nX-Injected: %d", 1);
	http_set_header(r, "Content-Type", "text/x");
	http_reply(r, 200, "text/plain", STR(""));
}

static const struct route table[] = {
	{ GET,  "/hello",       hello,           NULL, 0,                "" },
	{ POST, "/echo",        echo,            NULL, 10,               "" },
	{ POST, "/echo-large",  echo,            NULL, 4 * MIB,          "" },
	{ GET,  "/hold",        hold,            NULL, 0,                "" },
	{ GET,  "/careless",    hold_carelessly, NULL, 0,                "" },
	{ GET,  "/stream",      stream,          NULL, 0,                "" },
	{ GET,  "/known",       stream_known,    NULL, 0,                "" },
	{ GET,  "/events",      events,          NULL, 0,                "" },
	{ POST, "/upload",      upload,          NULL, HTTP_BODY_STREAM, "" },
	{ POST, "/ignore",      ignore_upload,   NULL, HTTP_BODY_STREAM, "" },
	{ GET,  "/headers",     headers,         NULL, 0,                "" },
	{ GET,  "/path/{*all}", show_path,       NULL, 0,                "" },
	ROUTE_END,
};

static struct world *start(void)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct sock_addr a = net_local(0);
	struct err e = { 0 };
	w->l = loop_new();
	http_routes_add(&w->routes, table, w);
	if (http_listen(w->l, &a, NULL, &w->routes, &w->server, &e) != 0)
		FAIL("%s", e.text);
	w->peer = peer_new(w->l, http_server_port(w->server));
	return w;
}

static void stop(struct world *w)
{
	if (w->peer)
		peer_free(w->peer);
	http_server_free(w->server);
	for (int i = 0; i < 5; i++)
		net_turn(w->l);     /* connections that are being closed end */
	loop_free(w->l);
	free(w);
}

static void again(struct world *w)
{
	peer_free(w->peer);
	w->peer = peer_new(w->l, http_server_port(w->server));
}

/* Send, wait until the server has closed, and look for `status` at the start of what came. */
static void refused(struct world *w, const char *request, const char *status, const char *message)
{
	again(w);
	peer_send(w->peer, request);
	UNTIL(w->l, w->peer->ended);
	if (strncmp(peer_got(w->peer), status, strlen(status)) != 0)
		FAIL("to %s came %s", request, peer_got(w->peer));
	HAS(peer_got(w->peer), message);
	HAS(peer_got(w->peer), "Connection: close\r\n");
	EQ_INT(peer_count(w->peer, "Date: "), 1);
}

static void patience(struct world *w, int64_t head_us, int64_t idle_us, int64_t stall_us)
{
	http_server_set_patience(w->server, &(struct http_patience){ head_us, idle_us, stall_us, 100 * MSEC });
}

TEST(http_server, answers_and_keeps_the_connection)
{
	struct world *w = start();
	for (size_t i = 1; i <= 3; i++) {
		peer_send(w->peer, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
		UNTIL(w->l, peer_count(w->peer, "hello") == i);
	}
	HAS(peer_got(w->peer), "HTTP/1.1 200 OK\r\nDate: ");
	HAS(peer_got(w->peer), " GMT\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello");
	FALSE(w->peer->ended);
	stop(w);
}

TEST(http_server, takes_a_head_and_a_chunked_body_byte_by_byte)
{
	struct world *w = start();
	const char *text = "\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nTransfer-Encoding: chunked\r\n\r\n"
			   "3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nTrailer: t\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
	for (const char *at = text; *at; at++) {
		peer_send_n(w->peer, at, 1);
		net_turn(w->l);
	}
	UNTIL(w->l, peer_count(w->peer, "hello") == 1);
	HAS(peer_got(w->peer), "Content-Length: 7\r\n\r\nabcdefgHTTP/1.1 200 OK");
	stop(w);
}

TEST(http_server, answers_pipelined_requests_in_order)
{
	struct world *w = start();
	peer_send(w->peer, "GET /path/1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\ntwo"
			   "GET /path/3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /path/4 HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->peer->ended);
	const char *got = peer_got(w->peer);
	TRUE(strstr(got, "/path/1") < strstr(got, "two"));
	TRUE(strstr(got, "two") < strstr(got, "/path/3"));
	EQ_INT(peer_count(w->peer, "HTTP/1.1 200"), 3);
	stop(w);
}

TEST(http_server, a_pipelined_request_waits_for_a_late_answer)
{
	struct world *w = start();
	peer_send(w->peer, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->held);
	net_turn(w->l);
	EQ_STR(peer_got(w->peer), "");
	http_reply_text(w->held, 200, "late");
	UNTIL(w->l, peer_count(w->peer, "hello") == 1);
	TRUE(strstr(peer_got(w->peer), "late") < strstr(peer_got(w->peer), "hello"));
	EQ_INT(w->gone, 0);
	stop(w);
}

TEST(http_server, refuses_what_is_not_http)
{
	struct world *w = start();
	refused(w, "\x16\x03\x01\x02garbage\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "{\"message\":\"Malformed request: ");
	refused(w, "GET /hello\r\n\r\n", "HTTP/1.1 505", "HTTP/1.1 are served");
	refused(w, "GET /hello HTTP/2.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505", "HTTP/1.1 are served");
	refused(w, "BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400", "Malformed");
	refused(w, "PROPFIND /hello HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 501", "PROPFIND");
	refused(w, "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 501", "CONNECT");
	refused(w, "GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "Host");
	refused(w, "GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "HTTP/1.1 400", "Host");
	refused(w, "GET /path/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400", "percent");
	refused(w, "GET /path/%00 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400", "percent");
	refused(w, "GET /hello HTTP/1.1\r\nHost: x\r\nX: a\r\n folded\r\n\r\n", "HTTP/1.1 400", "Malformed");
	refused(w, "GET /hello HTTP/1.1\nHost: x\n\n", "HTTP/1.1 400", "Malformed");
	refused(w, "GET /hello HTTP/1.1\r\nHost : x\r\n\r\n", "HTTP/1.1 400", "Malformed");
	refused(w, "GET /hello HTTP/1.1\r\nHost: x\r\nExpect: 200-maybe\r\n\r\n", "HTTP/1.1 417", "100-continue");
	stop(w);
}

TEST(http_server, refuses_two_opinions_of_the_body_length)
{
	struct world *w = start();
	refused(w, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400", "Malformed");
	refused(w, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "HTTP/1.1 400", "Malformed");
	refused(w, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "HTTP/1.1 400", "Malformed");
	refused(w, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nabc", "HTTP/1.1 400", "Malformed");
	refused(w, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 400", "Malformed");
	refused(w, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400", "Malformed");
	refused(w, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "HTTP/1.1 400", "Malformed");
	stop(w);
}

TEST(http_server, refuses_bad_chunks)
{
	struct world *w = start();
	const char *head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
	const char *const bad[] = { "x\r\n", "-1\r\nabc", "3\r\nabcd\r\n", "3 \r\nabc\r\n", "fffffffffffffffff\r\n", "0x3\r\nabc\r\n" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_FREE char *text = xasprintf("%s%s", head, bad[i]);
		refused(w, text, "HTTP/1.1 400", "Malformed request body: ");
	}
	stop(w);
}

static char *long_text(const char *before, char fill, size_t n, const char *after)
{
	struct buf b = BUF_INIT;
	buf_puts(&b, before);
	memset(buf_room(&b, n), fill, n);
	buf_grew(&b, n);
	buf_puts(&b, after);
	return buf_take(&b);
}

TEST(http_server, bounds_the_head)
{
	struct world *w = start();
	AUTO_FREE char *target = long_text("GET /path/", 'a', LIMIT_HTTP_TARGET_BYTES - 6, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	AUTO_FREE char *target_more = long_text("GET /path/", 'a', LIMIT_HTTP_TARGET_BYTES - 5, " HTTP/1.1\r\nHost: x\r\n\r\n");
	AUTO_FREE char *header = long_text("GET /hello HTTP/1.1\r\nHost: x\r\nX: ", 'a', LIMIT_HTTP_HEAD_BYTES, "\r\n\r\n");
	AUTO_FREE char *spaces = long_text("GET /hello HTTP/1.1\r\nHost: x\r\nX:", ' ', LIMIT_HTTP_HEAD_BYTES, "");
	refused(w, target, "HTTP/1.1 200", "aaa");
	refused(w, target_more, "HTTP/1.1 414", "target is too long");
	refused(w, header, "HTTP/1.1 431", "head is too large");
	refused(w, spaces, "HTTP/1.1 431", "head is too large");
	AUTO_BUF struct buf many = BUF_INIT;
	buf_puts(&many, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
	for (int i = 2; i < LIMIT_HTTP_HEADERS; i++)
		buf_printf(&many, "X-%d: y\r\n", i);
	AUTO_FREE char *just = xasprintf("%s\r\n", buf_cstr(&many));
	AUTO_FREE char *more = xasprintf("%sX: y\r\n\r\n", buf_cstr(&many));
	refused(w, just, "HTTP/1.1 200", "hello");
	refused(w, more, "HTTP/1.1 431", "too many headers");
	stop(w);
}

TEST(http_server, bounds_the_body_by_its_route)
{
	struct world *w = start();
	peer_send(w->peer, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789");
	UNTIL(w->l, peer_count(w->peer, "0123456789") == 1);
	peer_send(w->peer, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n0123456789aGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "hello") == 1);     /* a little too much is skipped */
	HAS(peer_got(w->peer), "HTTP/1.1 413 Content Too Large");
	HAS(peer_got(w->peer), "larger than the 10 bytes allowed for POST /echo");
	peer_send(w->peer, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "HTTP/1.1 413") == 2);
	refused(w, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc", "HTTP/1.1 413", "larger than the 10 bytes");
	stop(w);
}

TEST(http_server, skips_the_body_of_an_early_answer_up_to_a_bound)
{
	struct world *w = start();
	size_t n = 2 * LIMIT_HTTP_LINGER_BYTES;
	AUTO_FREE char *body = long_text("", 'x', n, "");
	AUTO_FREE char *chunk = xasprintf("POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n", n);
	peer_send(w->peer, chunk);
	peer_send_n(w->peer, body, n);
	UNTIL(w->l, w->peer->ended);
	HAS(peer_got(w->peer), "HTTP/1.1 404");
	again(w);
	peer_send(w->peer, "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbodyGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "hello") == 1);
	stop(w);
}

TEST(http_server, says_which_routes_there_are)
{
	struct world *w = start();
	peer_send(w->peer, "GET /x HTTP/1.1\r\nHost: x\r\n\r\nPUT /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "HTTP/1.1") == 2);
	HAS(peer_got(w->peer), "HTTP/1.1 404 Not Found\r\n");
	HAS(peer_got(w->peer), "\r\n\r\n{\"message\":\"No such route: GET /x\"}");
	HAS(peer_got(w->peer), "HTTP/1.1 405 Method Not Allowed\r\n");
	HAS(peer_got(w->peer), "\r\nAllow: GET, HEAD\r\n");
	stop(w);
}

TEST(http_server, sends_continue_only_when_the_body_is_wanted)
{
	struct world *w = start();
	peer_send(w->peer, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "HTTP/1.1 100 Continue\r\n\r\n") == 1);
	peer_send(w->peer, "body");
	UNTIL(w->l, peer_count(w->peer, "\r\n\r\nbody") == 1);
	again(w);
	refused(w, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 413", "larger");
	refused(w, "POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 403", "no");
	stop(w);
}

TEST(http_server, answers_head_like_get_without_the_body)
{
	struct world *w = start();
	peer_send(w->peer, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\nHEAD /known HTTP/1.1\r\nHost: x\r\n\r\nHEAD /events HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "HTTP/1.1 200") == 3);
	HAS(peer_got(w->peer), "Content-Length: 5\r\n\r\nHTTP/1.1 200");
	HAS(peer_got(w->peer), "Content-Length: 6\r\n\r\nHTTP/1.1 200");
	EQ_INT(peer_count(w->peer, "hello"), 0);
	EQ_INT(peer_count(w->peer, "data"), 0);
	stop(w);
}

TEST(http_server, speaks_http_1_0)
{
	struct world *w = start();
	peer_send(w->peer, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "hello") == 1);
	HAS(peer_got(w->peer), "Connection: keep-alive\r\n");
	peer_send(w->peer, "GET /events HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	UNTIL(w->l, w->peer->ended);
	HAS(peer_got(w->peer), "Connection: close\r\n\r\nevent: added\nid: 7\ndata: a\ndata: b\n\n");
	EQ_INT(peer_count(w->peer, "chunked"), 0);
	stop(w);
}

TEST(http_server, never_sends_more_than_the_declared_length)
{
	struct world *w = start();
	peer_send(w->peer, "GET /known HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "hello") == 1);
	HAS(peer_got(w->peer), "\r\n\r\nabcdefHTTP/1.1 200 OK");
	stop(w);
}

TEST(http_server, keeps_line_breaks_out_of_headers)
{
	struct world *w = start();
	peer_send(w->peer, "GET /headers HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "\r\n\r\n") == 1);
	HAS(peer_got(w->peer), "X-Bad: a  X-Injected: 1\r\n");
	EQ_INT(peer_count(w->peer, "Content-Type"), 1);
	stop(w);
}

TEST(http_server, resolves_paths)
{
	struct world *w = start();
	peer_send(w->peer, "GET http://a/path/x/%2e%2e/y//z%20%C3%A9/./?q=../.. HTTP/1.1\r\nHost: x\r\n\r\n"
			   "GET /path/../../../hello HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "HTTP/1.1 200") == 2 && peer_count(w->peer, "hello") == 1);
	HAS(peer_got(w->peer), "\r\n\r\n/path/y//z \xc3\xa9/HTTP/1.1");
	stop(w);
}

TEST(http_server, streams_in_chunks_and_tells_when_the_client_leaves)
{
	struct world *w = start();
	peer_send(w->peer, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "3\r\none\r\n") == 1);
	HAS(peer_got(w->peer), "Transfer-Encoding: chunked\r\n");
	http_record_send(w->held, STR("{}"));
	UNTIL(w->l, peer_count(w->peer, "2\r\n2\n\r\n2\r\n{}\r\n") == 1);
	peer_free(w->peer);
	w->peer = NULL;
	UNTIL(w->l, w->gone == 1);
	net_turn(w->l);
	EQ_INT(w->gone, 1);
	stop(w);
}

TEST(http_server, a_slow_reader_holds_the_producer_and_is_then_drained)
{
	struct world *w = start();
	AUTO_FREE char *piece = long_text("", 'p', 64 * KIB, "");
	peer_read(w->peer, false);
	peer_send(w->peer, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->held);
	size_t sent = 3;
	while (sent < 64 * MIB && http_stream_write(w->held, piece, 64 * KIB)) {
		sent += 64 * KIB;
		net_turn(w->l);
	}
	sent += 64 * KIB;
	TRUE(sent < 64 * MIB);
	TRUE(http_stream_backlog(w->held) < 2 * LIMIT_STREAM_HIGH_BYTES);
	EQ_INT(w->drained, 0);
	peer_read(w->peer, true);
	UNTIL(w->l, w->drained == 1);
	http_stream_end(w->held);
	UNTIL(w->l, str_ends(buf_view(&w->peer->got), STR("\r\n0\r\n\r\n")));
	TRUE(w->peer->got.len > sent);
	EQ_INT(w->gone, 0);
	stop(w);
}

TEST(http_server, cuts_a_subscriber_who_is_too_far_behind)
{
	struct world *w = start();
	AUTO_FREE char *piece = long_text("", 'p', 1 * MIB, "");
	peer_read(w->peer, false);
	peer_send(w->peer, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->held);
	for (int i = 0; i < 100 && w->held; i++) {
		http_sse_send(w->held, NULL, str_n(piece, 1 * MIB), NULL);
		net_turn(w->l);
	}
	EQ_INT(w->gone, 1);
	stop(w);
}

TEST(http_server, answers_nobody_reads_do_not_pile_up)
{
	struct world *w = start();
	AUTO_FREE char *body = long_text("POST /echo-large HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n", 'b', 1 * MIB, "");
	peer_read(w->peer, false);
	for (size_t sent = 0, n = strlen(body); sent < 64 * n;) {
		ssize_t k = send(w->peer->fd, body + sent % n, n - sent % n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (k > 0) {
			sent += (size_t)k;
			continue;
		}
		bool stuck = true;
		for (int i = 0; i < 50 && stuck; i++) {
			net_turn(w->l);
			stuck = send(w->peer->fd, body + sent % n, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0;
		}
		if (stuck)
			break;           /* the server stopped reading: what it holds is bounded by what the kernel took */
		sent++;
		TRUE(sent < 32 * n);
	}
	peer_read(w->peer, true);
	UNTIL(w->l, peer_count(w->peer, "HTTP/1.1 200") >= 1);
	stop(w);
}

TEST(http_server, hands_a_large_body_on_in_pieces)
{
	struct world *w = start();
	AUTO_FREE char *body = long_text("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3145728\r\n\r\n", 'u', 3 * MIB, "");
	peer_send(w->peer, body);
	UNTIL(w->l, peer_count(w->peer, "3145728 bytes") == 1);
	TRUE(w->pieces > 10);
	EQ_INT(w->ends, 1);
	peer_send(w->peer, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "hello") == 1);
	stop(w);
}

TEST(http_server, a_paused_body_stays_with_the_client)
{
	struct world *w = start();
	AUTO_FREE char *part = long_text("", 'u', 64 * KIB, "");
	peer_send(w->peer, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 67108864\r\n\r\n");
	UNTIL(w->l, w->held);
	http_body_pause(w->held, true);
	size_t sent = 0, idle = 0;
	while (idle < 20 && sent < 64 * MIB) {
		ssize_t n = send(w->peer->fd, part, 64 * KIB, MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
		net_turn(w->l);
	}
	TRUE(sent < 64 * MIB);
	EQ_INT(w->piece_bytes, 0);
	http_body_pause(w->held, false);
	UNTIL(w->l, w->piece_bytes == sent);
	stop(w);
}

TEST(http_server, tells_when_the_client_leaves_in_the_middle_of_a_body)
{
	struct world *w = start();
	peer_send(w->peer, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
	UNTIL(w->l, w->pieces == 1);
	peer_free(w->peer);
	w->peer = NULL;
	UNTIL(w->l, w->gone == 1);
	EQ_INT(w->ends, 0);
	stop(w);
}

TEST(http_server, drops_the_answer_to_a_client_that_left)
{
	struct world *w = start();
	peer_send(w->peer, "GET /careless HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->held);
	struct linger hard = { .l_onoff = 1 };
	EQ_INT(setsockopt(w->peer->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	peer_free(w->peer);
	w->peer = NULL;
	for (int i = 0; i < 5; i++)
		net_turn(w->l);
	http_stream_start(w->held, 200, "text/plain", -1);
	TRUE(http_stream_write(w->held, "x", 1));
	http_stream_end(w->held);
	stop(w);
}

TEST(http_server, answers_a_client_that_only_closed_its_side)
{
	struct world *w = start();
	peer_send(w->peer, "GET /careless HTTP/1.1\r\nHost: x\r\n\r\n");
	EQ_INT(shutdown(w->peer->fd, SHUT_WR), 0);
	UNTIL(w->l, w->held);
	net_turn(w->l);
	http_reply_text(w->held, 200, "late");
	UNTIL(w->l, w->peer->ended);
	HAS(peer_got(w->peer), "late");
	EQ_INT(w->gone, 0);
	stop(w);
}

TEST(http_server, cuts_off_dribblers_and_idlers)
{
	struct world *w = start();
	patience(w, 50 * MSEC, 100 * MSEC, 100 * MSEC);
	again(w);
	peer_send(w->peer, "GET /hello HTTP/1.1\r\nHo");
	UNTIL(w->l, w->peer->ended);
	HAS(peer_got(w->peer), "HTTP/1.1 408 Request Timeout");
	again(w);
	peer_send(w->peer, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc");
	UNTIL(w->l, w->peer->ended);
	HAS(peer_got(w->peer), "request body did not arrive in time");
	again(w);
	UNTIL(w->l, w->peer->ended);
	EQ_STR(peer_got(w->peer), "");
	again(w);
	peer_send(w->peer, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->held);
	for (int64_t end_us = time_now_us() + 400 * MSEC; time_now_us() < end_us;)
		net_turn(w->l);
	EQ_INT(w->gone, 0);      /* waiting for us is no fault of the client */
	http_reply_text(w->held, 200, "late");
	UNTIL(w->l, peer_count(w->peer, "late") == 1);
	stop(w);
}

TEST(http_server, cuts_off_a_client_that_takes_nothing)
{
	struct world *w = start();
	AUTO_FREE char *piece = long_text("", 'p', 64 * KIB, "");
	patience(w, SEC, SEC, 100 * MSEC);
	again(w);
	peer_read(w->peer, false);
	peer_send(w->peer, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->held);
	while (http_stream_write(w->held, piece, 64 * KIB))
		net_turn(w->l);
	UNTIL(w->l, w->gone == 1);
	stop(w);
}

TEST(http_server, ends_with_answers_in_flight)
{
	struct world *w = start();
	peer_send(w->peer, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(w->l, w->held);
	http_server_free(w->server);
	w->server = NULL;
	EQ_INT(w->gone, 1);
	UNTIL(w->l, w->peer->ended);
	stop(w);
}

TEST(http_server, says_that_the_port_is_taken)
{
	struct world *w = start();
	struct sock_addr a = net_local(http_server_port(w->server));
	struct http_server *second = NULL;
	struct err e = { 0 };
	EQ_INT(http_listen(w->l, &a, NULL, &w->routes, &second, &e), E_BUSY);
	stop(w);
}
