/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a joining node sends: a request for a certificate and the names to put into it, apart by a NUL. It is refused with a
 * sentence, or signed; a signed certificate is one that our own TLS takes.
 */
#include "net/base/arena.h"
#include "net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *ca, *ca_key, *key;
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_FREE char *cert = NULL;
	struct err e = { 0 };
	if (!ca && (pki_ca_new("ca", &ca, &ca_key, &e) != 0 || pki_key_new(&key, &e) != 0))
		abort();
	struct str rest = str_n((const char *)data, size);
	const char *csr = arena_str(&a, str_cut(&rest, '\0'));
	AUTO_FREE char *ours = NULL;
	if (csr[0] == '+') {                     /* a good request, so that the names are looked at */
		if (pki_csr_new(key, "x", &ours, &e) != 0)
			abort();
		csr = ours;
	}
	int rc = pki_sign(ca, ca_key, csr, "node/x", rest.p ? arena_str(&a, rest) : NULL, 30, &cert, &e);
	assert(rc == 0 ? cert != NULL : e.code == rc && e.text[0]);
	if (rc == 0) {
		uint8_t sum[32];
		rc = pki_cert_sha256(cert, sum, &e);
		assert(rc == 0);
	}
	return 0;
}
