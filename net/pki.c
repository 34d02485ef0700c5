/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster's certificate authority: EC P-256 keys, a self-signed root, requests and the certificates signed for them.
 * X.509 by mbedTLS (RFC 5280). Names come from outside, so they are escaped before mbedTLS parses them (RFC 4514).
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <mbedtls/x509_csr.h>

#include "net/base/rnd.h"
#include "net/base/str.h"
#include "net/base/time.h"
#include "net/tls.h"

#define PEM_BYTES ((size_t)(16 * KIB))
#define NAME_BYTES 128
#define ALT_NAMES_MAX 32
#define CA_DAYS (20 * 365)
#define SKEW_US DAY                 /* other nodes' clocks may be behind ours */

static int pki_random(void *arg UNUSED, unsigned char *out, size_t len)
{
	rnd_bytes(out, len);
	return 0;
}

static int pki_err(struct err *e, int code, int rc, const char *what)
{
	char text[160];
	mbedtls_strerror(rc, text, sizeof text);
	return err_set(e, code, "%s: %s", what, text);
}

static size_t pem_size(const char *pem) { return strlen(pem) + 1; }

/* "CN=<name>" with everything but letters and digits as hexadecimal pairs. */
static int pki_subject(const char *name, char out[NAME_BYTES * 3 + 4], struct err *e)
{
	size_t len = strlen(name);
	if (len == 0 || len >= NAME_BYTES)
		return err_set(e, E_INVALID, "a certificate's name has 1 to %d characters, this has %zu", NAME_BYTES - 1, len);
	char *at = out + snprintf(out, 4, "CN=");
	for (const char *p = name; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
		if (plain)
			*at++ = *p;
		else
			at += snprintf(at, 4, "\\%02X", (unsigned)(uint8_t)*p);
	}
	*at = '\0';
	return 0;
}

static int pki_key_make(mbedtls_pk_context *key, struct err *e)
{
	int rc = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
	if (rc == 0)
		rc = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), pki_random, NULL);
	return rc == 0 ? 0 : pki_err(e, E_IO, rc, "make a key");
}

static int pki_key_parse(mbedtls_pk_context *key, const char *pem, struct err *e)
{
	int rc = mbedtls_pk_parse_key(key, (const uint8_t *)pem, pem_size(pem), NULL, 0, pki_random, NULL);
	return rc == 0 ? 0 : pki_err(e, E_CORRUPT, rc, "read a key");
}

static int pki_key_write(mbedtls_pk_context *key, char **out_pem, struct err *e)
{
	AUTO_FREE char *pem = xmalloc(PEM_BYTES);
	int rc = mbedtls_pk_write_key_pem(key, (uint8_t *)pem, PEM_BYTES);
	if (rc != 0)
		return pki_err(e, E_IO, rc, "write a key");
	*out_pem = MOVE(pem);
	return 0;
}

int pki_key_new(char **out_key_pem, struct err *e)
{
	mbedtls_pk_context key;
	mbedtls_pk_init(&key);
	int rc = pki_key_make(&key, e);
	if (rc == 0)
		rc = pki_key_write(&key, out_key_pem, e);
	mbedtls_pk_free(&key);
	return rc;
}

/* ---- Certificates ---- */

static void pki_time(int64_t unix_us, char out[16])
{
	time_t seconds = (time_t)(unix_us / SEC);
	struct tm tm;
	(void)gmtime_r(&seconds, &tm);
	(void)strftime(out, 16, "%Y%m%d%H%M%S", &tm);
}

/* What a root and a leaf have in common. */
static int pki_begin(mbedtls_x509write_cert *w, const char *subject, const char *issuer, mbedtls_pk_context *subject_key,
		     mbedtls_pk_context *issuer_key, int days)
{
	char from[16], to[16];
	uint8_t serial[16];
	int64_t now = time_unix_us();
	pki_time(now - SKEW_US, from);
	pki_time(now + days * DAY, to);
	rnd_bytes(serial, sizeof serial);
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);      /* positive, and never shorter */

	mbedtls_x509write_crt_set_version(w, MBEDTLS_X509_CRT_VERSION_3);
	mbedtls_x509write_crt_set_md_alg(w, MBEDTLS_MD_SHA256);
	mbedtls_x509write_crt_set_subject_key(w, subject_key);
	mbedtls_x509write_crt_set_issuer_key(w, issuer_key);
	int rc = mbedtls_x509write_crt_set_serial_raw(w, serial, sizeof serial);
	if (rc == 0)
		rc = mbedtls_x509write_crt_set_validity(w, from, to);
	if (rc == 0)
		rc = mbedtls_x509write_crt_set_subject_name(w, subject);
	if (rc == 0)
		rc = mbedtls_x509write_crt_set_issuer_name(w, issuer);
	if (rc == 0)
		rc = mbedtls_x509write_crt_set_subject_key_identifier(w);
	if (rc == 0)
		rc = mbedtls_x509write_crt_set_authority_key_identifier(w);
	return rc;
}

static int pki_finish(mbedtls_x509write_cert *w, char **out_pem)
{
	AUTO_FREE char *pem = xmalloc(PEM_BYTES);
	int rc = mbedtls_x509write_crt_pem(w, (uint8_t *)pem, PEM_BYTES, pki_random, NULL);
	if (rc == 0)
		*out_pem = MOVE(pem);
	return rc;
}

int pki_ca_new(const char *name, char **out_cert_pem, char **out_key_pem, struct err *e)
{
	AUTO_FREE char *key_pem = NULL;
	char subject[NAME_BYTES * 3 + 4];
	int code = pki_subject(name, subject, e);
	if (code != 0)
		return code;

	mbedtls_pk_context key;
	mbedtls_x509write_cert w;
	mbedtls_pk_init(&key);
	mbedtls_x509write_crt_init(&w);
	code = pki_key_make(&key, e);
	if (code == 0)
		code = pki_key_write(&key, &key_pem, e);
	if (code == 0) {
		int rc = pki_begin(&w, subject, subject, &key, &key, CA_DAYS);
		if (rc == 0)
			rc = mbedtls_x509write_crt_set_basic_constraints(&w, 1, 0);
		if (rc == 0)
			rc = mbedtls_x509write_crt_set_key_usage(&w, MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN);
		if (rc == 0)
			rc = pki_finish(&w, out_cert_pem);
		if (rc != 0)
			code = pki_err(e, E_IO, rc, "make the CA certificate");
	}
	if (code == 0)
		*out_key_pem = MOVE(key_pem);
	mbedtls_x509write_crt_free(&w);
	mbedtls_pk_free(&key);
	return code;
}

int pki_csr_new(const char *key_pem, const char *common_name, char **out_csr_pem, struct err *e)
{
	char subject[NAME_BYTES * 3 + 4];
	int code = pki_subject(common_name, subject, e);
	if (code != 0)
		return code;

	AUTO_FREE char *pem = xmalloc(PEM_BYTES);
	mbedtls_pk_context key;
	mbedtls_x509write_csr w;
	mbedtls_pk_init(&key);
	mbedtls_x509write_csr_init(&w);
	code = pki_key_parse(&key, key_pem, e);
	if (code == 0) {
		mbedtls_x509write_csr_set_md_alg(&w, MBEDTLS_MD_SHA256);
		mbedtls_x509write_csr_set_key(&w, &key);
		int rc = mbedtls_x509write_csr_set_subject_name(&w, subject);
		if (rc == 0)
			rc = mbedtls_x509write_csr_pem(&w, (uint8_t *)pem, PEM_BYTES, pki_random, NULL);
		if (rc != 0)
			code = pki_err(e, E_IO, rc, "make a certificate request");
	}
	if (code == 0)
		*out_csr_pem = MOVE(pem);
	mbedtls_x509write_csr_free(&w);
	mbedtls_pk_free(&key);
	return code;
}

/* The comma-separated names as mbedTLS wants them, in `text` and `ips`, which the list points into. */
struct alt_names {
	mbedtls_x509_san_list nodes[ALT_NAMES_MAX];
	uint8_t ips[ALT_NAMES_MAX][16];
	size_t count;
};

static int alt_names_parse(struct alt_names *a, char *text, struct err *e)
{
	char *rest = text;
	for (char *name; (name = strsep(&rest, ","));) {
		if (!*name)
			continue;
		if (a->count == ALT_NAMES_MAX)
			return err_set(e, E_TOOBIG, "a certificate carries at most %d alternative names", ALT_NAMES_MAX);
		mbedtls_x509_san_list *n = &a->nodes[a->count];
		uint8_t *ip = a->ips[a->count];
		mbedtls_x509_buf *value = &n->node.san.unstructured_name;
		n->node.type = MBEDTLS_X509_SAN_IP_ADDRESS;
		value->p = ip;
		if (inet_pton(AF_INET, name, ip) == 1) {
			value->len = 4;
		} else if (inet_pton(AF_INET6, name, ip) == 1) {
			value->len = 16;
		} else {
			n->node.type = MBEDTLS_X509_SAN_DNS_NAME;
			value->p = (uint8_t *)name;
			value->len = strlen(name);
		}
		if (a->count > 0)
			a->nodes[a->count - 1].next = n;
		a->count++;
	}
	return 0;
}

/* What is read before a signature is made; all set up by init, all released by fini. */
struct signing {
	mbedtls_x509_crt ca;
	mbedtls_pk_context ca_key;
	mbedtls_x509_csr csr;
	mbedtls_x509write_cert w;
	struct alt_names alt;
	char issuer[1024];
};

static int signing_read(struct signing *s, const char *ca_cert_pem, const char *ca_key_pem, const char *csr_pem, struct err *e)
{
	int rc = mbedtls_x509_crt_parse(&s->ca, (const uint8_t *)ca_cert_pem, pem_size(ca_cert_pem));
	if (rc != 0)
		return pki_err(e, E_CORRUPT, rc, "read the CA certificate");
	if (pki_key_parse(&s->ca_key, ca_key_pem, e) != 0)
		return err_wrap(e, "CA");
	/* That the requester has the key is proved by each TLS handshake, so the request's own signature tells nothing new. */
	rc = mbedtls_x509_csr_parse(&s->csr, (const uint8_t *)csr_pem, pem_size(csr_pem));
	if (rc != 0)
		return pki_err(e, E_MALFORMED, rc, "read a certificate request");
	if (mbedtls_pk_get_type(&s->csr.pk) != MBEDTLS_PK_ECKEY || mbedtls_pk_get_bitlen(&s->csr.pk) != 256)
		return err_set(e, E_INVALID, "a certificate request must have an EC P-256 key");
	rc = mbedtls_x509_dn_gets(s->issuer, sizeof s->issuer, &s->ca.subject);
	return rc > 0 ? 0 : pki_err(e, E_CORRUPT, rc, "read the CA's name");
}

static int signing_sign(struct signing *s, const char *subject, int days, char **out_pem)
{
	mbedtls_asn1_sequence client = { .buf = { MBEDTLS_ASN1_OID, MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH),
						  (unsigned char *)MBEDTLS_OID_CLIENT_AUTH } };
	mbedtls_asn1_sequence server = { .buf = { MBEDTLS_ASN1_OID, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH),
						  (unsigned char *)MBEDTLS_OID_SERVER_AUTH }, .next = &client };
	int rc = pki_begin(&s->w, subject, s->issuer, &s->csr.pk, &s->ca_key, days);
	if (rc == 0)
		rc = mbedtls_x509write_crt_set_basic_constraints(&s->w, 0, -1);
	if (rc == 0)
		rc = mbedtls_x509write_crt_set_key_usage(&s->w, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
	if (rc == 0)
		rc = mbedtls_x509write_crt_set_ext_key_usage(&s->w, &server);
	if (rc == 0 && s->alt.count)
		rc = mbedtls_x509write_crt_set_subject_alternative_name(&s->w, s->alt.nodes);
	return rc == 0 ? pki_finish(&s->w, out_pem) : rc;
}

int pki_sign(const char *ca_cert_pem, const char *ca_key_pem, const char *csr_pem, const char *common_name,
	     const char *alt_names, int days, char **out_cert_pem, struct err *e)
{
	char subject[NAME_BYTES * 3 + 4];
	AUTO_FREE char *alt_text = alt_names ? xstrdup(alt_names) : NULL;
	int code = pki_subject(common_name, subject, e);
	if (code != 0)
		return code;

	struct signing *s = xcalloc(1, sizeof *s);
	mbedtls_x509_crt_init(&s->ca);
	mbedtls_pk_init(&s->ca_key);
	mbedtls_x509_csr_init(&s->csr);
	mbedtls_x509write_crt_init(&s->w);
	code = signing_read(s, ca_cert_pem, ca_key_pem, csr_pem, e);
	if (code == 0 && alt_text)
		code = alt_names_parse(&s->alt, alt_text, e);
	if (code == 0) {
		int rc = signing_sign(s, subject, days, out_cert_pem);
		if (rc != 0)
			code = pki_err(e, E_IO, rc, "sign a certificate");
	}
	mbedtls_x509write_crt_free(&s->w);
	mbedtls_x509_csr_free(&s->csr);
	mbedtls_pk_free(&s->ca_key);
	mbedtls_x509_crt_free(&s->ca);
	free(s);
	return code;
}

int pki_cert_sha256(const char *cert_pem, uint8_t out[32], struct err *e)
{
	mbedtls_x509_crt crt;
	mbedtls_x509_crt_init(&crt);
	int rc = mbedtls_x509_crt_parse(&crt, (const uint8_t *)cert_pem, pem_size(cert_pem));
	if (rc == 0)
		sha256(crt.raw.p, crt.raw.len, out);
	mbedtls_x509_crt_free(&crt);
	return rc == 0 ? 0 : pki_err(e, E_MALFORMED, rc, "read a certificate");
}

int pki_cert_key_sha256(const char *cert_pem, uint8_t out[32], struct err *e)
{
	mbedtls_x509_crt crt;
	mbedtls_x509_crt_init(&crt);
	int rc = mbedtls_x509_crt_parse(&crt, (const uint8_t *)cert_pem, pem_size(cert_pem));
	if (rc == 0)
		sha256(crt.pk_raw.p, crt.pk_raw.len, out);
	mbedtls_x509_crt_free(&crt);
	return rc == 0 ? 0 : pki_err(e, E_MALFORMED, rc, "read a certificate");
}
