/* SPDX-License-Identifier: Apache-2.0 */
/* SHA digests, of bytes in memory and of what comes in pieces, and hexadecimal text. */
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>

#include "net/tls.h"

void sha256(const void *data, size_t len, uint8_t out[32])
{
	int rc = mbedtls_sha256(data, len, out, 0);
	assert(rc == 0);
	(void)rc;
}

void sha1(const void *data, size_t len, uint8_t out[20])
{
	int rc = mbedtls_sha1(data, len, out);
	assert(rc == 0);
	(void)rc;
}

struct digest {
	mbedtls_sha256_context sha;
};

struct digest *digest_new(void)
{
	struct digest *d = xcalloc(1, sizeof(*d));
	mbedtls_sha256_init(&d->sha);
	(void)mbedtls_sha256_starts(&d->sha, 0);     /* software only: cannot fail */
	return d;
}

void digest_add(struct digest *d, const void *data, size_t len)
{
	(void)mbedtls_sha256_update(&d->sha, data, len);
}

void digest_end(struct digest *d, uint8_t out[32])
{
	(void)mbedtls_sha256_finish(&d->sha, out);
	digest_free(d);
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	mbedtls_sha256_free(&d->sha);
	free(d);
}

void hex_encode(const uint8_t *in, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
	out[2 * len] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hex_decode(const char *in, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int high = hex_value(in[2 * i]);
		int low = high < 0 ? -1 : hex_value(in[2 * i + 1]);     /* never past a terminator */
		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return in[2 * len] == '\0';
}
