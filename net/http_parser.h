/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/1 message out of a byte stream: llhttp, strict, turned from callbacks into events the caller asks for one at a
 * time, so that nothing of the caller's runs inside the parser. Memory is held only while a head is being read.
 */
#pragma once

#include <llhttp.h>

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/http.h"

enum http_parsed {
	PARSED_MORE,      /* all bytes taken, more are needed */
	PARSED_HEAD,      /* start line and headers are complete: http_parser_head */
	PARSED_BODY,      /* a piece of the body: p->piece, inside the bytes given */
	PARSED_END,       /* the message is complete; start the next with http_parser_init */
	PARSED_BROKEN,    /* http_parser_refusal */
};

struct http_parser {
	llhttp_t ll;
	struct buf text;            /* target, then name and value of each header, each with a NUL */
	struct buf rows;            /* struct http_row */
	size_t target_len;          /* without NUL */
	size_t quiet_bytes;         /* taken since the last piece of body: head, chunk extensions, trailers */
	int status;                 /* of a refusal of ours; 0: llhttp refused, or nobody */
	const char *why;            /* static; with status */
	bool head_done, value_open; /* value_open: the last row's value is being read */
	bool no_body, body_skipped;
	bool head_pending, body_pending, end_pending;   /* told by the last callback, not yet handed to the caller */
	struct str piece;
};

struct http_head {
	struct str target;          /* requests */
	struct http_headers headers;
};

/* answer: a response is read; no_body: it is the answer to HEAD. */
void http_parser_init(struct http_parser *p, bool answer, bool no_body);
void http_parser_fini(struct http_parser *p);      /* a zeroed one is fine */
/* Take bytes up to the next event; *out_taken of them are dealt with. */
enum http_parsed http_parser_step(struct http_parser *p, const uint8_t *data, size_t len, size_t *out_taken);
/* The peer will send no more: PARSED_END if that ends the message, else PARSED_BROKEN. */
enum http_parsed http_parser_eof(struct http_parser *p);
/* Copy of the head in the arena; texts are NUL-terminated. Once, after PARSED_HEAD. */
void http_parser_head(struct http_parser *p, struct arena *a, struct http_head *out);
/* After PARSED_BROKEN: status for the client (400, 414, 431) and why. */
int http_parser_refusal(const struct http_parser *p, const char **out_why);
/* After PARSED_HEAD. -1: not known (chunked, or until the end of the connection). */
int64_t http_parser_body_length(const struct http_parser *p);
bool http_parser_keep_alive(const struct http_parser *p);
static inline bool http_parser_idle(const struct http_parser *p) { return p->quiet_bytes == 0 && !p->head_done; }
