/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/buf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void buf_init(struct buf *b, size_t max) { *b = (struct buf){ .max = max }; }

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max = b->max };
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

uint8_t *buf_room(struct buf *b, size_t len)
{
	size_t want;
	if (b->failed || __builtin_add_overflow(b->len, len, &want) || want > b->max) {
		b->failed = true;
		return NULL;
	}
	if (want > b->cap) {
		size_t cap = b->cap < 64 ? 64 : b->cap + b->cap / 2;
		b->cap = MIN(MAX(cap, want), b->max);
		b->data = xrealloc(b->data, b->cap);
	}
	return b->data + b->len;
}

void buf_grew(struct buf *b, size_t len)
{
	assert(len <= b->cap - b->len);
	b->len += len;
}

bool buf_append(struct buf *b, const void *data, size_t len)
{
	if (len == 0)
		return buf_ok(b);
	uint8_t *at = buf_room(b, len);
	if (!at)
		return false;
	memcpy(at, data, len);
	b->len += len;
	return true;
}

bool buf_puts(struct buf *b, const char *s) { return buf_append(b, s, strlen(s)); }
bool buf_str(struct buf *b, struct str s) { return buf_append(b, s.p, s.len); }
bool buf_putc(struct buf *b, char c) { return buf_append(b, &c, 1); }

bool buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	uint8_t *at = n < 0 ? NULL : buf_room(b, (size_t)n + 1);
	if (at) {
		(void)vsnprintf((char *)at, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
	return at != NULL;
}

void buf_drop(struct buf *b, size_t len)
{
	assert(len <= b->len);
	if (len == 0)
		return;
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
}

const char *buf_cstr(struct buf *b)
{
	bool failed = b->failed;
	b->failed = false;
	size_t max = b->max;
	b->max = MAX(max, b->len + 1);
	uint8_t *at = buf_room(b, 1);
	b->max = max;
	b->failed = failed;
	*at = '\0';
	return (const char *)b->data;
}

char *buf_take(struct buf *b)
{
	(void)buf_cstr(b);
	char *text = (char *)b->data;
	*b = (struct buf){ .max = b->max };
	return text;
}

bool buf_json_str(struct buf *b, struct str s)
{
	static const char escapes[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	const uint8_t *p = (const uint8_t *)s.p;
	size_t start = 0;
	buf_putc(b, '"');
	for (size_t i = 0; i < s.len;) {
		size_t len = str_utf8_len(str_from(s, i));
		if (len > 0 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
			i += len;
			continue;
		}
		buf_append(b, p + start, i - start);
		const char *esc = NULL;
		for (const char *e = escapes; *e && !esc; e += 2)
			if (p[i] == (uint8_t)*e)
				esc = e + 1;
		if (len == 0)
			buf_puts(b, "\xef\xbf\xbd");
		else if (esc)
			buf_printf(b, "\\%c", *esc);
		else
			buf_printf(b, "\\u%04x", p[i]);
		start = ++i;
	}
	if (s.len > start)
		buf_append(b, p + start, s.len - start);
	return buf_putc(b, '"');
}

bool buf_json_cstr(struct buf *b, const char *s) { return s ? buf_json_str(b, str_of(s)) : buf_puts(b, "null"); }

bool buf_json_num(struct buf *b, double v)
{
	char text[40];
	if (isnan(v) || isinf(v))
		return buf_puts(b, "null");     /* JSON has no such number */
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_puts(b, text);
	return strpbrk(text, ".eE") ? buf_ok(b) : buf_puts(b, ".0");
}
