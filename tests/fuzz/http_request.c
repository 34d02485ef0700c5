/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP message parser: what it makes of a stream must not depend on how the bytes arrive. The first byte chooses between
 * requests and answers and the size of the steps; the rest is parsed twice, at once and in steps, and the two are compared.
 */
#include "net/http_parser.h"
#include "net/http_util.h"

/* All messages of the stream as text: heads, bodies, ends. */
static void transcript(const uint8_t *data, size_t len, size_t step, bool answer, struct buf *out)
{
	struct http_parser p = { 0 };
	enum http_parsed ev = PARSED_MORE;
	size_t at = 0, given = 0;
	http_parser_init(&p, answer, false);
	while (ev != PARSED_BROKEN) {
		size_t taken;
		if (ev == PARSED_MORE && given == len)
			break;
		if (ev == PARSED_MORE)
			given = MIN(len, given + step);
		ev = http_parser_step(&p, data + at, given - at, &taken);
		assert(taken <= given - at || ev == PARSED_BROKEN);
		if (ev == PARSED_BROKEN)
			break;
		at += taken;
		if (ev == PARSED_HEAD) {
			AUTO_ARENA struct arena a = ARENA_INIT;
			struct http_head head;
			struct str path, query;
			http_parser_head(&p, &a, &head);
			buf_str(out, head.target);
			if (!answer && http_target_split(&a, head.target, &path, &query))
				assert(path.len > 0 && (path.p[0] == '/' || str_eq_c(path, "*")));
			for (size_t i = 0; i < head.headers.count; i++) {
				buf_str(out, head.headers.rows[i].name);
				buf_putc(out, ':');
				buf_str(out, head.headers.rows[i].value);
				buf_putc(out, '\n');
			}
			buf_printf(out, "[%lld]", http_parser_body_length(&p) < 0 ? -1LL : (long long)http_parser_body_length(&p));
		} else if (ev == PARSED_BODY) {
			assert(p.piece.p >= (const char *)data && p.piece.p + p.piece.len <= (const char *)data + given);
			buf_str(out, p.piece);
		} else if (ev == PARSED_END) {
			buf_puts(out, "(end)");
			http_parser_init(&p, answer, false);
		}
	}
	if (ev == PARSED_BROKEN) {
		const char *why;
		(void)http_parser_refusal(&p, &why);
		assert(why);
		buf_puts(out, "(broken)");
	}
	http_parser_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO_BUF struct buf whole = BUF_INIT, steps = BUF_INIT;
	if (len < 1)
		return 0;
	bool answer = data[0] & 1;
	size_t step = 1 + (data[0] >> 1) % 7;
	transcript(data + 1, len - 1, len, answer, &whole);
	transcript(data + 1, len - 1, step, answer, &steps);
	assert(str_eq(buf_view(&whole), buf_view(&steps)));
	return 0;
}
