/* SPDX-License-Identifier: Apache-2.0 */
/* RecordIO. Spec: Mesos' scheduler HTTP API, "RecordIO response format". */
#include "net/recordio.h"

#include <stdio.h>

#include "net/http.h"
#include "net/limits.h"

#define LENGTH_DIGITS_MAX 20

bool http_record_send(struct http_req *r, struct str record)
{
	char head[LENGTH_DIGITS_MAX + 2];
	int n = snprintf(head, sizeof(head), "%zu\n", record.len);
	(void)http_stream_write(r, head, (size_t)n);   /* the second one tells whether to wait */
	return http_stream_write(r, record.p, record.len);
}

void record_reader_init(struct record_reader *r)
{
	*r = (struct record_reader){ 0 };
	buf_init(&r->in, LIMIT_RECORD_BYTES + LIMIT_HTTP_BODY_BYTES);   /* one record and whatever came with its end */
}

void record_reader_fini(struct record_reader *r) { buf_fini(&r->in); }

void record_reader_push(struct record_reader *r, struct str bytes)
{
	buf_drop(&r->in, r->at);
	r->at = 0;
	(void)buf_str(&r->in, bytes);   /* record_reader_next reports the overflow */
}

int record_reader_next(struct record_reader *r, struct str *out, struct err *e)
{
	struct str rest = str_from(buf_view(&r->in), r->at);
	uint64_t len;
	if (!buf_ok(&r->in))
		return err_set(e, E_TOOBIG, "more than %zu bytes of records wait unread", r->in.max);
	ssize_t newline = str_find(str_head(rest, MIN(rest.len, (size_t)LENGTH_DIGITS_MAX + 1)), '\n');
	if (newline < 0 && rest.len <= LENGTH_DIGITS_MAX)
		return 0;
	if (newline < 0 || !str_u64(str_head(rest, (size_t)newline), &len))
		return err_set(e, E_MALFORMED, "a record does not begin with its length in decimal");
	if (len > LIMIT_RECORD_BYTES)
		return err_set(e, E_TOOBIG, "a record of %llu bytes is larger than the %d allowed", (unsigned long long)len,
			       LIMIT_RECORD_BYTES);
	rest = str_from(rest, (size_t)newline + 1);
	if (rest.len < len)
		return 0;
	*out = str_head(rest, (size_t)len);
	r->at += (size_t)newline + 1 + (size_t)len;
	return 1;
}
