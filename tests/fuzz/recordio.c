/* SPDX-License-Identifier: Apache-2.0 */
/* RecordIO and server-sent events: what is read must not depend on how the bytes arrive. The first byte sizes the steps. */
#include "net/recordio.h"
#include "net/sse.h"

static void records(const uint8_t *data, size_t len, size_t step, struct buf *out)
{
	struct record_reader r;
	struct str record;
	int rc = 0;
	record_reader_init(&r);
	for (size_t at = 0; at < len && rc >= 0; at += step) {
		record_reader_push(&r, str_n((const char *)data + at, MIN(step, len - at)));
		while ((rc = record_reader_next(&r, &record, NULL)) == 1) {
			buf_str(out, record);
			buf_putc(out, '|');
		}
	}
	buf_puts(out, rc < 0 ? "broken" : "");
	record_reader_fini(&r);
}

static void events(const uint8_t *data, size_t len, size_t step, struct buf *out)
{
	struct sse_reader r;
	struct sse_event ev;
	int rc = 0;
	sse_reader_init(&r);
	for (size_t at = 0; at < len && rc >= 0; at += step) {
		sse_reader_push(&r, str_n((const char *)data + at, MIN(step, len - at)));
		while ((rc = sse_reader_next(&r, &ev, NULL)) == 1)
			buf_printf(out, STR_FMT "(" STR_FMT ")" STR_FMT "|", STR_ARG(ev.event), STR_ARG(ev.data), STR_ARG(ev.id));
	}
	sse_reader_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO_BUF struct buf whole = BUF_INIT, steps = BUF_INIT;
	if (len < 2)
		return 0;
	size_t step = 1 + data[0] % 9;
	records(data + 1, len - 1, len, &whole);
	records(data + 1, len - 1, step, &steps);
	events(data + 1, len - 1, len, &whole);
	events(data + 1, len - 1, step, &steps);
	assert(str_eq(buf_view(&whole), buf_view(&steps)));
	return 0;
}
