/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events, read: http_sse_send (net/http.h) writes them. */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"

struct sse_event {
	struct str event;   /* "message" when the stream names none */
	struct str data;    /* lines joined by '\n' */
	struct str id;      /* last id seen in the stream; empty: none */
};

struct sse_reader {
	struct buf in;
	size_t at;          /* bytes of `in` already read */
	size_t scanned;     /* bytes from there without the end of a line */
	bool skip_newline;  /* the last line ended in '\r': a '\n' that follows belongs to it */
	bool has_data;
	struct buf event, data, id;
	bool given;         /* event and data were handed out: empty them before going on */
};

void sse_reader_init(struct sse_reader *r);
void sse_reader_fini(struct sse_reader *r);
void sse_reader_push(struct sse_reader *r, struct str bytes);
/* 1: *out is the next event, valid until the next call; 0: more bytes are needed; E_TOOBIG: the stream is broken for good. */
int sse_reader_next(struct sse_reader *r, struct sse_event *out, struct err *e);
