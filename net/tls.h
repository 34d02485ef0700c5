/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.2/1.3 by mbedTLS under a stream, and the small certificate authority a cluster lives on.
 * Cluster RPC is TLS 1.3 with client certificates; HTTPS takes 1.2 too.
 */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"

enum tls_verify { TLS_VERIFY_NONE, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRED };

struct tls_config {
	bool server;
	bool tls13_only;
	enum tls_verify verify;         /* of the peer's certificate */
	const char *ca_pem;             /* trusted roots; NULL: none (then pin or VERIFY_NONE) */
	const char *cert_pem, *key_pem; /* own chain and key; NULL: none (clients) */
	const uint8_t *pin_ca_sha256;   /* client: accept any chain whose root certificate has this SHA-256 (joining); 32 bytes or NULL */
};
struct tls_ctx;
int tls_ctx_new(const struct tls_config *c, struct tls_ctx **out, struct err *e);
void tls_ctx_free(struct tls_ctx *t);

struct tls_conn;
/* Common name of the peer's verified certificate; false when it gave none or it was not verified. */
bool tls_peer_name(const struct tls_conn *c, char *out, size_t out_size);
/* SHA-256 of the peer's public key, the member's identity. */
bool tls_peer_key_sha256(const struct tls_conn *c, uint8_t out[32]);

/* Certificates: EC P-256. All outputs are heap PEM strings owned by the caller. */
int pki_key_new(char **out_key_pem, struct err *e);
int pki_ca_new(const char *name, char **out_cert_pem, char **out_key_pem, struct err *e);
int pki_csr_new(const char *key_pem, const char *common_name, char **out_csr_pem, struct err *e);
/* alt_names: comma-separated DNS names and IPs, may be NULL. days: validity. */
int pki_sign(const char *ca_cert_pem, const char *ca_key_pem, const char *csr_pem, const char *common_name,
	     const char *alt_names, int days, char **out_cert_pem, struct err *e);
int pki_cert_sha256(const char *cert_pem, uint8_t out[32], struct err *e);
/* SHA-256 of the certificate's public key (SubjectPublicKeyInfo): what tls_peer_key_sha256 says at the other end. */
int pki_cert_key_sha256(const char *cert_pem, uint8_t out[32], struct err *e);

/* Digests (hex is lower case, NUL-terminated). */
void sha256(const void *data, size_t len, uint8_t out[32]);
void sha1(const void *data, size_t len, uint8_t out[20]);
/* SHA-256 of what comes in pieces. */
struct digest;
struct digest *digest_new(void);
void digest_add(struct digest *d, const void *data, size_t len);
void digest_end(struct digest *d, uint8_t out[32]);      /* frees d */
void digest_free(struct digest *d);                      /* NULL ok */
void hex_encode(const uint8_t *in, size_t len, char *out);
bool hex_decode(const char *in, uint8_t *out, size_t len);     /* exactly 2 * len digits */
