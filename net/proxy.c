/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reverse proxy: one request of a client of ours becomes one call to a server behind us. Bodies flow both ways a piece at a
 * time; whoever is slow stops the other side's reading. After 101 both connections become a tunnel (WebSocket).
 * Headers: RFC 9110 7.6.1 (hop-by-hop), X-Forwarded-* as nginx sets them.
 */
#include "net/http_util.h"

/* A server behind us may think for long: Marathon's event stream, `?wait` queries, big reports. */
#define PROXY_HEAD_TIMEOUT_US (10 * MINUTE)

struct proxy {
	struct http_req *r;             /* the client; NULL once answered or gone */
	struct http_call *call;         /* the server; NULL once over */
	char *rewrite_from, *rewrite_to;
	void (*failed)(struct http_req *r, void *failed_arg, bool sent, const struct err *e);
	void *failed_arg;
	bool answered;                  /* the head has been passed on */
};

struct tunnel {
	struct stream *ends[2];         /* owned */
	bool ended[2];                  /* that end sends no more */
};

/* ---- Tunnel ---- */

static size_t tunnel_index(const struct tunnel *t, const struct stream *s) { return s == t->ends[1]; }

static void tunnel_free(struct tunnel *t, bool flush)
{
	for (size_t i = 0; i < 2; i++) {
		if (flush)
			stream_close_after_flush(t->ends[i]);
		else
			stream_free(t->ends[i]);
	}
	free(t);
}

/* Everything that came from end `from` goes to the other. */
static void tunnel_pump(struct tunnel *t, size_t from)
{
	struct stream *in = t->ends[from], *out = t->ends[1 - from];
	struct buf *bytes = stream_in(in);
	stream_write(out, bytes->data, bytes->len);
	buf_drop(bytes, bytes->len);
	stream_pause(in, stream_full(out));
}

static void tunnel_on_data(struct stream *s)
{
	struct tunnel *t = stream_arg(s);
	tunnel_pump(t, tunnel_index(t, s));
}

static void tunnel_on_drained(struct stream *s)
{
	struct tunnel *t = stream_arg(s);
	tunnel_pump(t, 1 - tunnel_index(t, s));
}

static void tunnel_on_eof(struct stream *s)
{
	struct tunnel *t = stream_arg(s);
	size_t from = tunnel_index(t, s);
	tunnel_pump(t, from);
	t->ended[from] = true;
	if (t->ended[1 - from])
		tunnel_free(t, true);
	else
		stream_shutdown(t->ends[1 - from]);
}

static void tunnel_on_closed(struct stream *s, const struct err *e)
{
	struct tunnel *t = stream_arg(s);
	size_t broken = tunnel_index(t, s);
	(void)e;   /* the other end learns it by being closed */
	stream_free(t->ends[broken]);
	stream_close_after_flush(t->ends[1 - broken]);
	free(t);
}

static const struct stream_events tunnel_events = {
	.data = tunnel_on_data, .drained = tunnel_on_drained, .eof = tunnel_on_eof, .closed = tunnel_on_closed,
};

static void tunnel_start(struct stream *client, struct stream *server)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));
	t->ends[0] = client;
	t->ends[1] = server;
	for (size_t i = 0; i < 2; i++)
		stream_set(t->ends[i], &tunnel_events, t);
	for (size_t i = 0; i < 2; i++)
		tunnel_pump(t, i);      /* what came together with the heads */
}

/* ---- Heads ---- */

static bool hop_by_hop(const struct http_headers *h, struct str name)
{
	static const char *const names[] = {
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer",
		"Transfer-Encoding", "Upgrade",
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieq(name, str_of(names[i])))
			return true;
	for (size_t i = 0; i < h->count; i++) {
		if (!str_ieq(h->rows[i].name, STR("Connection")))
			continue;
		for (struct str rest = h->rows[i].value; rest.p;)
			if (str_ieq(str_trim(str_cut(&rest, ',')), name))
				return true;
	}
	return false;
}

static bool named_in(const char *const *headers, struct str name)
{
	for (; headers && *headers; headers++) {
		struct str rest = str_of(*headers);
		if (str_ieq(str_cut(&rest, ':'), name))
			return true;
	}
	return false;
}

/* What we say ourselves instead of passing it on. */
static bool ours(struct str name)
{
	static const char *const names[] = {
		"Host", "Content-Length", "Expect", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP",
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieq(name, str_of(names[i])))
			return true;
	return false;
}

/* The request's headers as the server behind us gets them; NULL-terminated, in the request's arena. */
static const char *const *forward_headers(struct http_req *r, const struct proxy_spec *spec)
{
	size_t n = 0, extra = 0;
	char peer[SOCK_ADDR_TEXT];
	struct arena *a = &r->arena;
	struct str seen_by = http_req_header(r, "X-Forwarded-For");
	struct str host = http_req_header(r, "Host");
	struct str upgrade = http_req_header(r, "Upgrade");
	while (spec->headers && spec->headers[extra])
		extra++;
	const char **out = arena_array(a, const char *, r->headers.count + extra + 8);
	for (size_t i = 0; i < r->headers.count; i++) {
		struct http_header *h = &r->headers.rows[i];
		if (!hop_by_hop(&r->headers, h->name) && !ours(h->name) && !named_in(spec->headers, h->name))
			out[n++] = arena_printf(a, STR_FMT ": " STR_FMT, STR_ARG(h->name), STR_ARG(h->value));
	}
	sock_addr_host(&r->peer, peer);
	out[n++] = spec->host_header ? arena_printf(a, "Host: %s", spec->host_header)
				     : arena_printf(a, "Host: " STR_FMT, STR_ARG(host));
	out[n++] = seen_by.p ? arena_printf(a, "X-Forwarded-For: " STR_FMT ", %s", STR_ARG(seen_by), peer)
			     : arena_printf(a, "X-Forwarded-For: %s", peer);
	out[n++] = arena_printf(a, "X-Real-IP: %s", peer);
	out[n++] = arena_printf(a, "X-Forwarded-Proto: %s", r->tls ? "https" : "http");
	out[n++] = arena_printf(a, "X-Forwarded-Host: " STR_FMT, STR_ARG(host));
	if (upgrade.p && http_header_lists(&r->headers, "Connection", "upgrade")) {
		out[n++] = "Connection: Upgrade";
		out[n++] = arena_printf(a, "Upgrade: " STR_FMT, STR_ARG(upgrade));
	}
	for (size_t i = 0; i < extra; i++)
		out[n++] = spec->headers[i];
	return out;
}

static void pass_location(struct proxy *p, struct str to)
{
	struct str from = str_of(p->rewrite_from);
	if (from.p && str_starts(to, from))
		http_set_header(p->r, "Location", "%s" STR_FMT, p->rewrite_to, STR_ARG(str_from(to, from.len)));
	else
		http_set_header(p->r, "Location", STR_FMT, STR_ARG(to));
}

static void pass_headers(struct proxy *p, const struct http_answer *a)
{
	for (size_t i = 0; i < a->headers.count; i++) {
		struct http_header *h = &a->headers.rows[i];
		if (str_ieq(h->name, STR("Location")))
			pass_location(p, h->value);
		else if (!hop_by_hop(&a->headers, h->name) && !str_ieq(h->name, STR("Content-Length")) &&
			 !str_ieq(h->name, STR("Date")))
			http_set_header(p->r, arena_str(&p->r->arena, h->name), STR_FMT, STR_ARG(h->value));
	}
}

/* ---- Life ---- */

static void proxy_free(struct proxy *p)
{
	http_call_cancel(p->call);
	free(p->rewrite_from);
	free(p->rewrite_to);
	free(p);
}

static void proxy_on_gone(struct http_req *r) { proxy_free(r->user); }

/* ---- Client to server ---- */

static void proxy_on_piece(struct http_req *r, struct str piece)
{
	struct proxy *p = r->user;
	if (!http_call_write(p->call, piece.p, piece.len))
		http_body_pause(r, true);
}

static void proxy_on_end(struct http_req *r)
{
	struct proxy *p = r->user;
	http_call_end(p->call);
}

static void proxy_on_call_drained(struct http_call *c)
{
	struct proxy *p = http_call_arg(c);
	http_body_pause(p->r, false);
}

/* ---- Server to client ---- */

static int64_t content_length(const struct http_answer *a)
{
	int64_t length;
	return str_i64(http_header_get(&a->headers, "Content-Length"), &length) && length >= 0 ? length : -1;
}

static void proxy_upgrade(struct proxy *p, const struct http_answer *a)
{
	struct str protocol = http_header_get(&a->headers, "Upgrade");
	pass_headers(p, a);
	http_set_header(p->r, "Upgrade", STR_FMT, STR_ARG(protocol));
	struct stream *server = http_call_take_stream(MOVE(p->call));
	struct stream *client = http_switch_protocols(MOVE(p->r));
	if (client)
		tunnel_start(client, server);
	else
		stream_free(server);    /* the client had left before the call began */
	proxy_free(p);
}

static void proxy_on_head(struct http_call *c, const struct http_answer *a)
{
	struct proxy *p = http_call_arg(c);
	if (a->status == 101) {
		proxy_upgrade(p, a);
		return;
	}
	p->answered = true;
	pass_headers(p, a);
	http_stream_start(p->r, a->status, NULL, content_length(a));
}

static void proxy_on_body(struct http_call *c, struct str piece)
{
	struct proxy *p = http_call_arg(c);
	if (!http_stream_write(p->r, piece.p, piece.len))
		http_call_pause(c, true);
}

static void proxy_on_drained(struct http_req *r)
{
	struct proxy *p = r->user;
	http_call_pause(p->call, false);
}

void http_proxy_answer_failure(struct http_req *r, bool sent, const struct err *e)
{
	if (!sent)
		http_set_header(r, HTTP_NOT_SENT, "true");
	http_reply_message(r, e->code == E_TIMEOUT ? 504 : 502, "%s", e->text);
}

static void proxy_on_done(struct http_call *c, const struct http_answer *a, const struct err *e)
{
	struct proxy *p = http_call_arg(c);
	struct http_req *r = MOVE(p->r);
	p->call = NULL;    /* freed by the client */
	if (e->code == 0) {
		http_stream_end(r);
	} else if (p->answered) {
		http_stream_abort(r);
	} else if (p->failed) {
		r->gone = NULL;
		r->drained = NULL;
		p->failed(r, p->failed_arg, a->sent, e);
	} else {
		http_proxy_answer_failure(r, a->sent, e);
	}
	proxy_free(p);
}

static const struct http_call_events proxy_events = {
	.head = proxy_on_head, .body = proxy_on_body, .done = proxy_on_done, .drained = proxy_on_call_drained,
};

void http_proxy(struct http_req *r, const struct proxy_spec *spec)
{
	struct proxy *p = xcalloc(1, sizeof(*p));
	char to[SOCK_ADDR_TEXT];
	int64_t length = http_body_length(r);
	p->r = r;
	p->rewrite_from = spec->rewrite_from ? xstrdup(spec->rewrite_from) : NULL;
	p->rewrite_to = spec->rewrite_from ? xstrdup(spec->rewrite_to) : NULL;
	p->failed = length == 0 ? spec->failed : NULL;
	p->failed_arg = spec->failed_arg;
	sock_addr_text(spec->to, to);
	bool local = spec->to->sa.sa_family == AF_UNIX;
	struct http_call_spec call = {
		.method = r->head ? HEAD : r->method, .addr = spec->to, .headers = forward_headers(r, spec),
		.url = arena_printf(&r->arena, "http://%s%s", local ? "localhost" : to, spec->path_and_query),
		.timeout_us = spec->timeout_us ? spec->timeout_us : PROXY_HEAD_TIMEOUT_US, .streaming = true,
		.connect_timeout_us = spec->connect_timeout_us,
		.body_streaming = length != 0, .body_length = length,
	};
	r->user = p;
	r->gone = proxy_on_gone;
	r->drained = proxy_on_drained;
	p->call = http_call_start(r->loop, &call, &proxy_events, p);
	if (length != 0)
		http_body_start(r, proxy_on_piece, proxy_on_end);
}
