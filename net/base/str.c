/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/str.h"

#include <errno.h>
#include <strings.h>

bool str_eq(struct str a, struct str b) { return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0); }
bool str_eq_c(struct str a, const char *b) { return str_eq(a, str_of(b)); }
bool str_ieq(struct str a, struct str b) { return a.len == b.len && (a.len == 0 || strncasecmp(a.p, b.p, a.len) == 0); }

int str_cmp(struct str a, struct str b)
{
	size_t n = MIN(a.len, b.len);
	int c = n ? memcmp(a.p, b.p, n) : 0;
	if (c != 0)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

bool str_starts(struct str s, struct str prefix) { return s.len >= prefix.len && str_eq(str_head(s, prefix.len), prefix); }
bool str_ends(struct str s, struct str suffix) { return s.len >= suffix.len && str_eq(str_from(s, s.len - suffix.len), suffix); }

ssize_t str_find(struct str s, char c)
{
	const char *at = s.len ? memchr(s.p, c, s.len) : NULL;
	return at ? at - s.p : -1;
}

ssize_t str_rfind(struct str s, char c)
{
	for (size_t i = s.len; i > 0; i--)
		if (s.p[i - 1] == c)
			return (ssize_t)i - 1;
	return -1;
}

struct str str_trim(struct str s)
{
	while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = str_from(s, 1);
	while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

struct str str_cut(struct str *rest, char sep)
{
	ssize_t at = str_find(*rest, sep);
	struct str part = *rest;
	if (at < 0) {
		*rest = (struct str){ NULL, 0 };
		return part;
	}
	part.len = (size_t)at;
	*rest = str_from(*rest, (size_t)at + 1);
	return part;
}

bool str_u64(struct str s, uint64_t *out)
{
	uint64_t n = 0;
	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(s.p[i] - '0'), &n))
			return false;
	}
	*out = n;
	return true;
}

bool str_i64(struct str s, int64_t *out)
{
	uint64_t n;
	bool minus = s.len > 0 && s.p[0] == '-';
	if (!str_u64(minus ? str_from(s, 1) : s, &n))
		return false;
	if (n > (uint64_t)INT64_MAX + (minus ? 1 : 0))
		return false;
	*out = minus ? (int64_t)(0 - n) : (int64_t)n;
	return true;
}

bool str_f64(struct str s, double *out)
{
	char text[64];
	char *end;
	if (s.len == 0 || s.len >= sizeof(text) || s.p[0] == ' ')
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	errno = 0;
	double v = strtod(text, &end);
	if (*end != '\0' || errno == ERANGE)
		return false;
	*out = v;
	return true;
}

/* Slices may hold NUL bytes, as keys of maps do: no strndup. */
char *str_dup(struct str s)
{
	char *p = xmalloc(s.len + 1);
	if (s.len)
		memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return p;
}

bool str_put(char *dst, size_t dst_size, struct str s)
{
	size_t n = MIN(s.len, dst_size - 1);
	assert(dst_size > 0);
	if (n)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
	return n == s.len;
}

size_t str_utf8_len(struct str s)
{
	static const struct { uint8_t mask, lead, len; uint32_t min; } forms[] = {
		{ 0x80, 0x00, 1, 0 }, { 0xe0, 0xc0, 2, 0x80 }, { 0xf0, 0xe0, 3, 0x800 }, { 0xf8, 0xf0, 4, 0x10000 },
	};
	const uint8_t *p = (const uint8_t *)s.p;
	for (size_t f = 0; f < ARRAY_LEN(forms) && s.len > 0; f++) {
		if ((p[0] & forms[f].mask) != forms[f].lead)
			continue;
		if (forms[f].len > s.len)
			return 0;
		uint32_t c = p[0] & (uint32_t)(uint8_t)~forms[f].mask;
		for (size_t i = 1; i < forms[f].len; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (p[i] & 0x3fu);
		}
		bool ok = c >= forms[f].min && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
		return ok ? forms[f].len : 0;
	}
	return 0;
}

bool str_is_text(struct str s)
{
	for (size_t i = 0, len; i < s.len; i += len) {
		len = str_utf8_len(str_from(s, i));
		if (len == 0 || s.p[i] == '\0')
			return false;
	}
	return true;
}

bool cstr_eq(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }
bool cstr_starts(const char *s, const char *prefix) { return s && strncmp(s, prefix, strlen(prefix)) == 0; }
