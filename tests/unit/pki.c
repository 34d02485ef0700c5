/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, certificates, digests. What a TLS peer makes of the certificates is in stream.c. */
#include <stdio.h>

#include <mbedtls/x509_crt.h>

#include "net/tls.h"
#include "tests/lib/test.h"

static struct err e;

static void text_of(const char *cert_pem, char *out, size_t size)
{
	mbedtls_x509_crt crt;
	mbedtls_x509_crt_init(&crt);
	EQ_INT(mbedtls_x509_crt_parse(&crt, (const uint8_t *)cert_pem, strlen(cert_pem) + 1), 0);
	TRUE(mbedtls_x509_crt_info(out, size, "", &crt) > 0);
	mbedtls_x509_crt_free(&crt);
}

TEST(digest, sha_digests_of_abc_are_those_of_fips_180)
{
	uint8_t out[32];
	char hex[65];
	sha256("abc", 3, out);
	hex_encode(out, 32, hex);
	EQ_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha1("abc", 3, out);
	hex_encode(out, 20, hex);
	EQ_STR(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(digest, hex_takes_exactly_the_digits_it_needs)
{
	uint8_t out[2];
	TRUE(hex_decode("0aFf", out, 2));
	EQ_MEM(out, ((uint8_t[]){ 0x0a, 0xff }), 2);
	FALSE(hex_decode("0aF", out, 2));
	FALSE(hex_decode("0aFf0", out, 2));
	FALSE(hex_decode("0axf", out, 2));
	FALSE(hex_decode("", out, 2));
}

TEST(pki, a_certificate_has_the_name_and_the_alternative_names_it_was_signed_with)
{
	char *ca = NULL, *ca_key = NULL, *key = NULL, *csr = NULL, *cert = NULL;
	char text[4096];
	EQ_INT(pki_ca_new("dcos cluster, one", &ca, &ca_key, &e), 0);
	EQ_INT(pki_key_new(&key, &e), 0);
	EQ_INT(pki_csr_new(key, "whatever", &csr, &e), 0);
	EQ_INT(pki_sign(ca, ca_key, csr, "a1", "192.168.65.111,a1.example,fd00::1", 365, &cert, &e), 0);
	text_of(cert, text, sizeof text);
	HAS(text, "subject name      : CN=a1\n");
	HAS(text, "192.168.65.111");
	HAS(text, "dNSName : a1.example");
	HAS(text, "EC key size       : 256 bits");
	HAS(text, "TLS Web Server Authentication, TLS Web Client Authentication");
	HAS(text, "basic constraints : CA=false");
	text_of(ca, text, sizeof text);
	HAS(text, "basic constraints : CA=true, max_pathlen=0");
	HAS(text, "CN=dcos cluster\\, one");
	free(ca); free(ca_key); free(key); free(csr); free(cert);
}

TEST(pki, a_name_cannot_smuggle_in_further_attributes)
{
	char *ca = NULL, *ca_key = NULL;
	char text[4096];
	EQ_INT(pki_ca_new("x,O=evil+OU=\"y\"", &ca, &ca_key, &e), 0);
	text_of(ca, text, sizeof text);
	HAS(text, "subject name      : CN=x\\,O\\=evil\\+OU\\=\\\"y\\\"\n");
	free(ca); free(ca_key);
}

TEST(pki, a_name_is_bounded)
{
	char name[200], *ca = NULL, *ca_key = NULL;
	memset(name, 'a', sizeof name);
	name[127] = '\0';
	EQ_INT(pki_ca_new(name, &ca, &ca_key, &e), 0);
	free(ca); free(ca_key);
	name[127] = 'a';
	name[128] = '\0';
	EQ_INT(pki_ca_new(name, &ca, &ca_key, &e), E_INVALID);
	EQ_STR(e.text, "a certificate's name has 1 to 127 characters, this has 128");
	EQ_INT(pki_ca_new("", &ca, &ca_key, &e), E_INVALID);
}

TEST(pki, what_is_no_request_is_not_signed)
{
	char *ca = NULL, *ca_key = NULL, *cert = NULL;
	EQ_INT(pki_ca_new("ca", &ca, &ca_key, &e), 0);
	EQ_INT(pki_sign(ca, ca_key, "-----BEGIN NONSENSE-----", "a1", NULL, 1, &cert, &e), E_MALFORMED);
	HAS(e.text, "read a certificate request: ");
	TRUE(cert == NULL);
	free(ca); free(ca_key);
}

TEST(pki, more_than_32_alternative_names_are_refused)
{
	char *ca = NULL, *ca_key = NULL, *key = NULL, *csr = NULL, *cert = NULL, names[33 * 3 + 1] = "";
	for (int i = 0; i < 33; i++)
		(void)snprintf(names + 3 * i, sizeof(names) - 3 * (size_t)i, "n1,");
	EQ_INT(pki_ca_new("ca", &ca, &ca_key, &e), 0);
	EQ_INT(pki_key_new(&key, &e), 0);
	EQ_INT(pki_csr_new(key, "n", &csr, &e), 0);
	EQ_INT(pki_sign(ca, ca_key, csr, "n", names, 1, &cert, &e), E_TOOBIG);
	names[32 * 3] = '\0';
	EQ_INT(pki_sign(ca, ca_key, csr, "n", names, 1, &cert, &e), 0);
	free(ca); free(ca_key); free(key); free(csr); free(cert);
}

TEST(pki, each_certificate_has_a_digest_of_its_own)
{
	char *one = NULL, *two = NULL, *key = NULL;
	uint8_t a[32], b[32];
	EQ_INT(pki_ca_new("ca", &one, &key, &e), 0);
	free(key);
	EQ_INT(pki_ca_new("ca", &two, &key, &e), 0);
	EQ_INT(pki_cert_sha256(one, a, &e), 0);
	EQ_INT(pki_cert_sha256(two, b, &e), 0);
	TRUE(memcmp(a, b, 32) != 0);
	EQ_INT(pki_cert_sha256("nothing", a, &e), E_MALFORMED);
	free(one); free(two); free(key);
}
