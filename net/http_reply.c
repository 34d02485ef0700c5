/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of the HTTP server: heads, whole bodies, streamed bodies. Everything is written into the connection's stream and
 * leaves at the end of the turn. A connection without a stream is one whose client left: its answers go nowhere.
 */
#include <stdarg.h>
#include <stdio.h>

#include "net/http_int.h"
#include "net/http_util.h"
#include "net/json.h"

static void give(struct http_conn *c, struct str bytes)
{
	stream_write(c->stream, bytes.p, bytes.len);
	c->given_bytes += bytes.len;
}

void http_set_header(struct http_req *r, const char *name, const char *fmt, ...)
{
	char small[256];
	AUTO_FREE char *large = NULL;
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	assert(n >= 0);
	if ((size_t)n >= sizeof(small)) {
		large = xmalloc((size_t)n + 1);
		(void)vsnprintf(large, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	struct str value = { large ? large : small, (size_t)n };
	r->conn->has_content_type |= str_ieq(str_of(name), STR("Content-Type"));
	http_head_add(&r->conn->headers, str_of(name), value);
}

/* A request whose body is still to come cannot always be followed by another on the same connection. */
static bool body_can_be_skipped(const struct http_conn *c)
{
	if (c->input != INPUT_BODY)
		return true;
	int64_t rest = http_parser_body_length(&c->parser);
	return rest == 0 || (!c->expects_continue && rest <= LIMIT_HTTP_LINGER_BYTES);
}

/* length: of the body, -1: none is declared. */
static void give_head(struct http_conn *c, int status, const char *content_type, int64_t length)
{
	AUTO_BUF struct buf out;
	bool bodyless = status == 204 || status == 304;
	buf_init(&out, c->headers.len + 1024);   /* our own lines fit */
	(void)buf_printf(&out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http_status_text(status), http_server_date(c->server));
	if (content_type && !c->has_content_type && !bodyless)
		(void)buf_printf(&out, "Content-Type: %s\r\n", content_type);
	if (!body_can_be_skipped(c))
		c->keep_alive = false;
	c->no_body = c->req->head || bodyless;
	c->chunked = length < 0 && !bodyless && !c->http10;
	if (length < 0 && !c->chunked && !c->no_body)
		c->keep_alive = false;           /* the end of the connection ends the body */
	c->left = c->no_body ? 0 : length;
	if (length >= 0 && !bodyless)
		(void)buf_printf(&out, "Content-Length: %lld\r\n", (long long)length);
	if (c->chunked)
		(void)buf_puts(&out, "Transfer-Encoding: chunked\r\n");
	if (!c->keep_alive)
		(void)buf_puts(&out, "Connection: close\r\n");
	else if (c->http10)
		(void)buf_puts(&out, "Connection: keep-alive\r\n");
	(void)buf_str(&out, buf_view(&c->headers));
	(void)buf_puts(&out, "\r\n");
	assert(buf_ok(&out));
	give(c, buf_view(&out));
	buf_fini(&c->headers);
}

void http_reply(struct http_req *r, int status, const char *content_type, struct str body)
{
	struct http_conn *c = r->conn;
	assert(!c->started);
	if (c->stream) {
		give_head(c, status, content_type, (int64_t)body.len);
		if (!c->no_body)
			give(c, body);
	}
	http_conn_answered(c);
}

void http_reply_json(struct http_req *r, int status, struct buf *json)
{
	if (buf_ok(json))
		http_reply(r, status, "application/json", buf_view(json));
	else
		http_reply_message(r, 500, "The answer is larger than %zu bytes; ask for less of it", json->max);
	buf_fini(json);
}

void http_reply_text(struct http_req *r, int status, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	AUTO_FREE char *owned = n < 0 ? NULL : text;
	http_reply(r, status, "text/plain; charset=utf-8", str_of(owned ? owned : ""));
}

static void reply_message(struct http_req *r, int status, const char *text)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "message", text);
	jw_end(&w);
	http_reply_json(r, status, &out);
}

void http_reply_message(struct http_req *r, int status, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);   /* a longer sentence is cut */
	va_end(ap);
	reply_message(r, status, text);
}

void http_reply_err(struct http_req *r, const struct err *e)
{
	reply_message(r, err_http(e->code), e->text[0] ? e->text : err_meaning(e->code));
}

void http_redirect(struct http_req *r, int status, const char *location)
{
	http_set_header(r, "Location", "%s", location);
	http_reply(r, status, NULL, STR(""));
}

/* ---- Streamed ---- */

void http_stream_start(struct http_req *r, int status, const char *content_type, int64_t content_length)
{
	struct http_conn *c = r->conn;
	assert(!c->started);
	c->started = true;
	if (c->stream)
		give_head(c, status, content_type, content_length);
}

size_t http_stream_backlog(const struct http_req *r) { return r->conn->stream ? stream_backlog(r->conn->stream) : 0; }

bool http_stream_write(struct http_req *r, const void *data, size_t len)
{
	struct http_conn *c = r->conn;
	assert(c->started);
	if (!c->stream || c->no_body || len == 0)
		return true;
	if (c->doomed || stream_backlog(c->stream) > LIMIT_SSE_BACKLOG_BYTES) {
		http_conn_doom(c);
		return false;
	}
	if (c->left >= 0) {
		len = (size_t)MIN((int64_t)len, c->left);   /* more than was declared would be taken for the next answer */
		c->left -= (int64_t)len;
	}
	if (c->chunked) {
		char size[24];
		int n = snprintf(size, sizeof(size), "%zx\r\n", len);
		give(c, str_n(size, (size_t)n));
	}
	give(c, str_n(data, len));
	if (c->chunked)
		give(c, STR("\r\n"));
	return !stream_full(c->stream);
}

void http_stream_end(struct http_req *r)
{
	struct http_conn *c = r->conn;
	assert(c->started);
	if (c->stream && c->left > 0) {
		http_conn_abort(c);   /* less than was declared: only a cut tells the client */
		return;
	}
	if (c->stream && c->chunked && !c->no_body)
		give(c, STR("0\r\n\r\n"));
	http_conn_answered(c);
}

void http_stream_abort(struct http_req *r) { http_conn_abort(r->conn); }

struct stream *http_switch_protocols(struct http_req *r)
{
	struct http_conn *c = r->conn;
	assert(!c->started);
	if (c->stream) {
		give(c, STR("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"));
		give(c, buf_view(&c->headers));
		give(c, STR("\r\n"));
		stream_kick(c->stream);
	}
	return http_conn_detach(c);
}
