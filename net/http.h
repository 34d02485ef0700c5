/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 server, client, routes, server-sent events, reverse proxy. Parsing is llhttp, strict.
 * One request lives in one arena; handlers answer at once or keep the struct http_req and answer later.
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/base/map.h"
#include "net/limits.h"
#include "net/loop.h"
#include "net/sock.h"
#include "net/stream.h"

enum http_method { GET = 1, HEAD = 2, POST = 4, PUT = 8, DELETE = 16, PATCH = 32, OPTIONS = 64, CONNECT = 128, TRACE = 256 };
const char *http_method_name(enum http_method m);
const char *http_status_text(int status);

struct http_header {
	struct str name;       /* as sent; compared case-insensitively */
	struct str value;
};

struct http_headers {
	struct http_header *rows;  /* in the request's arena */
	size_t count;
};
/* Value of the first such header, or p = NULL. */
struct str http_header_get(const struct http_headers *h, const char *name);

struct http_server;
struct http_conn;
struct route;

/* A request being handled. Alive until answered (http_reply*, or http_stream_end) or the client went away (`gone`). */
struct http_req {
	struct arena arena;
	struct loop *loop;
	enum http_method method;
	struct str target;             /* as sent, "/v2/apps?id=x" */
	struct str path;               /* percent-decoded, before '?', dot segments removed, always begins with '/' */
	struct str query;              /* after '?', raw */
	struct http_headers headers;
	struct str body;               /* whole body, unless the route streams it */
	struct sock_addr peer;
	bool tls;
	bool head;                     /* HEAD: answered as GET without body */
	const struct route *route;     /* the row that matched */
	struct str params[4];          /* path parameters in order of the pattern */
	void *arg;                     /* of the route table */
	void *user;                    /* handler's own */
	void (*gone)(struct http_req *r);   /* the client left before the answer ended; drop your pointers. r is freed after it returns */
	void (*drained)(struct http_req *r);/* streaming answer: write on */
	struct http_conn *conn;
};
/*
 * Who keeps r beyond the handler sets `gone`, or answers in any case: an answer to a client that left is dropped.
 * A client that has only closed its sending side counts as gone when `gone` is set or the answer is being streamed.
 */

/* Decoded query parameter (first one), in the request's arena; p = NULL if absent, len 0 if empty. */
struct str http_query(struct http_req *r, const char *name);
/* n-th occurrence (from 0), for repeated parameters. */
struct str http_query_n(struct http_req *r, const char *name, size_t n);
bool http_query_bool(struct http_req *r, const char *name, bool fallback);
struct str http_req_header(const struct http_req *r, const char *name);
/* Accept header allows `type` ("application/json"); absent header allows everything. */
bool http_accepts(const struct http_req *r, const char *type);

/* Answers. Extra headers are added before the reply is sent. Body is copied. r is dead after the call. */
void http_set_header(struct http_req *r, const char *name, const char *fmt, ...) PRINTF(3, 4);
void http_reply(struct http_req *r, int status, const char *content_type, struct str body);
void http_reply_json(struct http_req *r, int status, struct buf *json);            /* takes the buffer's contents */
void http_reply_text(struct http_req *r, int status, const char *fmt, ...) PRINTF(3, 4);
void http_reply_err(struct http_req *r, const struct err *e);                      /* {"message": text} with err_http(code) */
void http_reply_message(struct http_req *r, int status, const char *fmt, ...) PRINTF(3, 4);   /* {"message": …} with any status */
void http_redirect(struct http_req *r, int status, const char *location);

/* Streaming answers (chunked; content_length >= 0 sends that length instead). Then write until http_stream_end. */
void http_stream_start(struct http_req *r, int status, const char *content_type, int64_t content_length);
bool http_stream_write(struct http_req *r, const void *data, size_t len);  /* false: full, wait for drained (the data was taken) */
size_t http_stream_backlog(const struct http_req *r);
void http_stream_end(struct http_req *r);                                  /* r is dead */
void http_stream_abort(struct http_req *r);                                /* cut the connection; r is dead */


/*
 * Read the body of a HTTP_BODY_STREAM route: piece() as it arrives, then end() once. Without this call the body waits;
 * if r is answered first it is thrown away. http_body_pause stops and goes on (back-pressure).
 */
void http_body_start(struct http_req *r, void (*piece)(struct http_req *r, struct str piece), void (*end)(struct http_req *r));
void http_body_pause(struct http_req *r, bool paused);
int64_t http_body_length(const struct http_req *r);      /* 0: none; -1: chunked, not known yet */
/* Answer 101 with the headers set so far; the caller owns the connection from now on (early bytes stand
 * in stream_in), and calls stream_set first. NULL when the client has left. r is dead. */
struct stream *http_switch_protocols(struct http_req *r);

/* Server-sent event: "event: …\ndata: …\n\n" ("id:" when id is given); multi-line data is split. */
bool http_sse_send(struct http_req *r, const char *event, struct str data, const char *id);
/* RecordIO: "<length>\n<bytes>" */
bool http_record_send(struct http_req *r, struct str record);

/* Routes: a table of rows; the first row that matches path and method answers. 404 / 405 with Allow by itself. */
struct route {
	unsigned methods;              /* GET | POST … */
	const char *path;              /* "/v2/apps/{id}" one segment; "/v2/apps/{*id}" the rest, may be empty; literal otherwise */
	void (*fn)(struct http_req *r);
	const char *permission;        /* "marathon:read" …; NULL: none */
	size_t body_max;               /* bytes; larger bodies get 413 */
	const char *help;
};
#define ROUTE_END { .path = NULL }
#define HTTP_BODY_STREAM SIZE_MAX  /* as body_max: fn is called at the head and reads the body with http_body_start (or hands r to http_proxy) */

/* Routes of one server: several tables, each with its own arg, tried in order. */
struct http_routes {
	struct { const struct route *table; void *arg; } rows[16];
	size_t count;
	void (*fallback)(struct http_req *r);  /* NULL: 404 {"message": …} */
	void *fallback_arg;
	size_t fallback_body_max;              /* as route.body_max */
	/* Asked first, at the head: a row takes the request in place of its own, with gate_arg as arg; NULL goes on. May be NULL. */
	const struct route *(*gate)(void *gate_arg, const struct http_req *r);
	void *gate_arg;
};
void http_routes_add(struct http_routes *rs, const struct route *table, void *arg);
/* Dispatch r (used by the server; a front door may re-dispatch with a changed r->path). */
void http_routes_serve(const struct http_routes *rs, struct http_req *r);

/* Listen; routes are borrowed. tls may be NULL. E_BUSY when the port is taken. */
int http_listen(struct loop *l, const struct sock_addr *a, struct tls_ctx *tls, const struct http_routes *routes,
		struct http_server **out, struct err *e);
void http_server_free(struct http_server *s);
uint16_t http_server_port(const struct http_server *s);

/* Client. One request, one struct; connections are pooled per (address, tls) in the loop's pool. */
struct http_call;
struct http_call_spec {
	enum http_method method;
	const char *url;               /* "http://host:port/path?query"; "http+unix:" is not needed: use `addr` */
	const struct sock_addr *addr;  /* connect here instead of looking the host up; NULL: look up */
	const char *const *headers;    /* "Name: value", NULL-terminated; may be NULL */
	struct str body;               /* copied */
	struct tls_ctx *tls;           /* for https URLs; NULL: no verification */
	int64_t timeout_us;            /* whole call, or to the head when streaming; 0: 30 s */
	int64_t connect_timeout_us;    /* 0: 10 s */
	size_t body_max;               /* buffered answers; 0: 64 MiB */
	bool streaming;                /* body() gets pieces; else done() gets the whole */
	bool body_streaming;           /* the request's body comes by http_call_write and http_call_end */
	int64_t body_length;           /* of a streaming body; -1: chunked */
};
struct http_answer {
	int status;
	struct http_headers headers;
	struct str body;               /* whole body unless streaming */
	bool sent;                     /* of a failed call: the server may have seen the request */
};
struct http_call_events {
	void (*head)(struct http_call *c, const struct http_answer *a);             /* streaming only; may be NULL */
	void (*body)(struct http_call *c, struct str piece);                        /* streaming only */
	void (*done)(struct http_call *c, const struct http_answer *a, const struct err *e); /* once; e->code != 0: failed. c is freed after it returns */
	void (*drained)(struct http_call *c);                                       /* body_streaming: write on; may be NULL */
};
struct http_call *http_call_start(struct loop *l, const struct http_call_spec *spec, const struct http_call_events *ev, void *arg);
void http_call_cancel(struct http_call *c);      /* NULL ok; no callback any more */
void *http_call_arg(const struct http_call *c);
void http_call_pause(struct http_call *c, bool paused);   /* back-pressure while streaming */
bool http_call_write(struct http_call *c, const void *data, size_t len);  /* false: full, wait for drained (the data was taken) */
void http_call_end(struct http_call *c);                  /* the request's body is complete */
/* In head() of a 101 answer: the caller owns the connection from now on, the call is over (no done()). */
struct stream *http_call_take_stream(struct http_call *c);

/* Reverse proxy: send r on to `to` with path `path_and_query`, stream both ways, WebSocket upgrades included. r is dead to the caller. */
struct proxy_spec {
	const struct sock_addr *to;
	const char *host_header;       /* NULL: keep the client's */
	const char *path_and_query;
	const char *rewrite_from, *rewrite_to;  /* Location prefix rewriting; may be NULL */
	const char *const *headers;    /* "Name: value" to add or to put in place of the client's, NULL-terminated; may be NULL */
	int64_t timeout_us;            /* to the head of the answer; 0: 10 minutes */
	int64_t connect_timeout_us;    /* 0: 10 s */
	/*
	 * Instead of the 502 or 504: no answer came, and the request has no body.
	 * r is to be answered or sent again. sent: the server may have seen it. NULL: answer.
	 */
	void (*failed)(struct http_req *r, void *failed_arg, bool sent, const struct err *e);
	void *failed_arg;
};
void http_proxy_answer_failure(struct http_req *r, bool sent, const struct err *e);
/* Header of a proxy's 502 or 504 when the server behind it cannot have seen the request: it may be sent again, whatever it does. */
#define HTTP_NOT_SENT "Dcos-Not-Sent"
void http_proxy(struct http_req *r, const struct proxy_spec *spec);

/* Percent coding. */
bool url_decode(struct arena *a, struct str in, bool plus_is_space, struct str *out);
void url_encode(struct buf *out, struct str in);
/* Split "http://host:port/path?query". False when malformed. Slices of the input. */
struct url { bool tls; struct str host; uint16_t port; struct str path_query; };
bool url_parse(const char *text, struct url *out);
