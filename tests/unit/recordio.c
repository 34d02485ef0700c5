/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of event streams: RecordIO and server-sent events, whole and byte by byte. */
#include "net/recordio.h"

#include <stdio.h>

#include "net/limits.h"
#include "net/sse.h"
#include "tests/lib/test.h"

/* All records of text, each followed by '|', given to the reader `step` bytes at a time; what ended it in *out_rc. */
static void read_records(const char *text, size_t step, struct buf *out, int *out_rc)
{
	struct record_reader r;
	struct str record;
	size_t len = strlen(text);
	*out_rc = 0;
	record_reader_init(&r);
	for (size_t at = 0; at < len && *out_rc == 0; at += step) {
		record_reader_push(&r, str_n(text + at, MIN(step, len - at)));
		while ((*out_rc = record_reader_next(&r, &record, NULL)) == 1) {
			buf_str(out, record);
			buf_putc(out, '|');
		}
	}
	record_reader_fini(&r);
}

TEST(recordio, reads_records_however_they_arrive)
{
	for (size_t step = 1; step < 20; step++) {
		AUTO_BUF struct buf got = BUF_INIT;
		int rc;
		read_records("3\nabc0\n10\n0123456789", step, &got, &rc);
		EQ_INT(rc, 0);
		EQ_STR(buf_cstr(&got), "abc||0123456789|");
	}
}

TEST(recordio, refuses_what_is_no_length)
{
	const char *const bad[] = { "x\n", "-1\na", "\n", " 3\nabc", "123456789012345678901", "18446744073709551616\n", "0x3\nabc" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_BUF struct buf got = BUF_INIT;
		int rc;
		read_records(bad[i], 100, &got, &rc);
		EQ_INT(rc, E_MALFORMED);
	}
}

TEST(recordio, bounds_a_record)
{
	AUTO_BUF struct buf got = BUF_INIT;
	int rc;
	AUTO_FREE char *just = xasprintf("%d\n", LIMIT_RECORD_BYTES);
	AUTO_FREE char *more = xasprintf("%d\n", LIMIT_RECORD_BYTES + 1);
	read_records(just, 100, &got, &rc);
	EQ_INT(rc, 0);
	read_records(more, 100, &got, &rc);
	EQ_INT(rc, E_TOOBIG);
}

static void read_events(const char *text, size_t step, struct buf *out)
{
	struct sse_reader r;
	struct sse_event ev;
	size_t len = strlen(text);
	sse_reader_init(&r);
	for (size_t at = 0; at < len; at += step) {
		sse_reader_push(&r, str_n(text + at, MIN(step, len - at)));
		while (sse_reader_next(&r, &ev, NULL) == 1)
			buf_printf(out, STR_FMT "(" STR_FMT ")" STR_FMT "|", STR_ARG(ev.event), STR_ARG(ev.data), STR_ARG(ev.id));
	}
	sse_reader_fini(&r);
}

TEST(sse, reads_events_however_they_arrive)
{
	for (size_t step = 1; step < 40; step++) {
		AUTO_BUF struct buf got = BUF_INIT;
		read_events(": comment\n\nevent: added\nid: 7\ndata: a\ndata:b\n\ndata\n\nevent: unused\n\r\n"
			    "data: x\r\nretry: 5\r\nevent: e\r\n\r\ndata: mac\r\rdata: cut", step, &got);
		EQ_STR(buf_cstr(&got), "added(a\nb)7|message()7|e(x)7|message(mac)7|");
	}
}

TEST(sse, bounds_an_event)
{
	struct sse_reader r;
	struct sse_event ev;
	static char line[1 << 20] = "data: ";
	int rc = 0;
	memset(line + 6, 'd', sizeof(line) - 7);
	line[sizeof(line) - 1] = '\n';
	sse_reader_init(&r);
	for (size_t i = 0; i < LIMIT_RECORD_BYTES / sizeof(line) + 2 && rc == 0; i++) {
		sse_reader_push(&r, str_n(line, sizeof(line)));
		rc = sse_reader_next(&r, &ev, NULL);
	}
	EQ_INT(rc, E_TOOBIG);
	sse_reader_fini(&r);
}
