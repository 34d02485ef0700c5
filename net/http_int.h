/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by http_server.c (connections, requests), http_reply.c (answers) and route.c; nobody else includes it. */
#pragma once

#include "net/http.h"
#include "net/http_parser.h"

/* Where the body of the request at hand goes. */
enum body_sink {
	BODY_HELD,      /* nobody has asked for it yet: it waits in the socket */
	BODY_COLLECT,   /* into conn.body, then the handler is called */
	BODY_PIECES,    /* to the handler as it comes */
	BODY_DISCARD,   /* answered already: thrown away, up to a bound */
};

enum input_state {
	INPUT_HEAD,     /* between requests, or in a head */
	INPUT_BODY,
	INPUT_DONE,     /* request complete; what follows is the next one and waits */
	INPUT_LINGER,   /* refused: reading on only so that the client sees why */
};

/*
 * One connection. Input and answer move on their own:
 *
 *   input   HEAD --head--> BODY --end--> DONE --answer ended--> HEAD
 *             `--not HTTP, too large--> LINGER --> closed
 *   answer  none --http_stream_start--> started --http_stream_end--> none
 *
 * It lives until it has neither stream nor request and none of its callbacks runs.
 */
struct http_conn {
	struct list link;               /* in the server's list; unlinked once the stream is gone */
	struct http_server *server;     /* borrowed; NULL once the stream is gone */
	struct loop *loop;
	struct stream *stream;          /* owned; NULL: the client is gone */
	struct http_req *req;           /* owned; NULL between requests */
	struct sock_addr peer;
	struct http_parser parser;

	enum input_state input;
	enum body_sink sink;
	struct buf body;                /* collected */
	void (*collected)(struct http_req *r);
	void (*piece)(struct http_req *r, struct str piece);
	void (*end)(struct http_req *r);
	size_t discarded_bytes;         /* of an unwanted body */
	bool body_paused;
	bool expects_continue;          /* 100 Continue is owed before the body is read */
	bool with_handler;              /* the request has been given to a handler and not been answered */

	struct buf headers;             /* set by the handler for the answer */
	bool started, chunked, no_body; /* of the answer */
	bool keep_alive, http10, has_content_type;
	int64_t left;                   /* bytes the answer's declared length still lacks; -1: not declared */

	uint64_t taken_bytes, given_bytes;          /* by the parser, to the stream */
	uint64_t taken_seen_bytes, flushed_seen_bytes;  /* at the last look of the timer */
	bool eof;                       /* the client will send no more */
	bool doomed;                    /* broken or too far behind: dropped at the end of the turn */
	int depth;                      /* running callbacks; freed only at 0 */
	struct loop_timer timer;
	struct loop_defer defer;
};

/* ---- http_server.c ---- */

/* Times a client may take; http_listen sets those of net/limits.h, tests shorter ones. */
struct http_patience {
	int64_t head_us, idle_us, stall_us, linger_us;
};
void http_server_set_patience(struct http_server *s, const struct http_patience *p);
/* "Wed, 25 Nov 2026 08:50:07 GMT" */
const char *http_server_date(struct http_server *s);
/* Have the request's body in r->body (413 when larger than body_max), or leave it unread for HTTP_BODY_STREAM; then fn. */
void http_req_dispatch(struct http_req *r, size_t body_max, void (*fn)(struct http_req *r));
/* The answer has been written whole, or the handler gave up an orphan: free the request, go on with the next. */
void http_conn_answered(struct http_conn *c);
/* Cut the connection; the request is dead to its handler. */
void http_conn_abort(struct http_conn *c);
/* Cut the connection when this turn's callbacks are through, telling the handler by `gone`. */
void http_conn_doom(struct http_conn *c);
/* Give the stream to the caller; the request is freed. */
struct stream *http_conn_detach(struct http_conn *c);
