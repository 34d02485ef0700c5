/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/rnd.h"

#include <stdio.h>
#include <sys/random.h>

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

void rnd_seed(struct rnd *r, uint64_t seed)
{
	for (size_t i = 0; i < 4; i++)
		r->s[i] = splitmix64(&seed);
}

void rnd_seed_os(struct rnd *r) { rnd_bytes(r, sizeof(*r)); }

uint64_t rnd_u64(struct rnd *r)
{
	uint64_t *s = r->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t rnd_below(struct rnd *r, uint64_t n)
{
	assert(n > 0);
	uint64_t limit = UINT64_MAX - UINT64_MAX % n;   /* a multiple of n: no bias */
	uint64_t v;
	do {
		v = rnd_u64(r);
	} while (v >= limit);
	return v % n;
}

void rnd_bytes(void *out, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = getrandom((uint8_t *)out + got, len - got, 0);
		if (n > 0)
			got += (size_t)n;
	}
}

void rnd_uuid4(char out[37])
{
	uint8_t b[16];
	rnd_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
		       b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}
