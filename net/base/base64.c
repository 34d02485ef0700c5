/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/base64.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct buf *out, struct str bytes, const char *alphabet, bool pad)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t n = MIN(bytes.len - i, (size_t)3);
		uint32_t w = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0u);
		char quad[4] = { alphabet[w >> 18], alphabet[w >> 12 & 63], n > 1 ? alphabet[w >> 6 & 63] : '=', n > 2 ? alphabet[w & 63] : '=' };
		buf_append(out, quad, pad ? 4 : n + 1);
	}
}

void base64_write(struct buf *out, struct str bytes) { encode(out, bytes, standard, true); }
void base64url_write(struct buf *out, struct str bytes) { encode(out, bytes, url_safe, false); }

/* Value of a character of either alphabet, or -1. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

bool base64_read(struct str text, uint8_t *dst, size_t *out_len)
{
	size_t n = 0;
	uint32_t w = 0;
	int bits = 0;
	if (text.len % 4 == 0)
		for (int i = 0; i < 2 && text.len > 0 && text.p[text.len - 1] == '='; i++)
			text.len--;
	if (text.len % 4 == 1)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		int v = value_of(text.p[i]);
		if (v < 0)
			return false;
		w = (w << 6 | (uint32_t)v) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			dst[n++] = (uint8_t)(w >> bits);
		}
	}
	if ((w & ((1u << bits) - 1)) != 0)
		return false;
	*out_len = n;
	return true;
}
