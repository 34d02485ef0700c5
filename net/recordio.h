/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RecordIO, the framing of Mesos' streaming APIs: "<length in decimal>\n<that many bytes>", again and again.
 * http_record_send (net/http.h) writes it; this reads it.
 */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"

struct record_reader {
	struct buf in;
	size_t at;          /* bytes of `in` already handed out */
};

void record_reader_init(struct record_reader *r);
void record_reader_fini(struct record_reader *r);
/* Add bytes as they came. */
void record_reader_push(struct record_reader *r, struct str bytes);
/*
 * 1: *out is the next record, valid until the next push; 0: more bytes are needed; E_MALFORMED, E_TOOBIG: the stream is
 * broken for good.
 */
int record_reader_next(struct record_reader *r, struct str *out, struct err *e);
