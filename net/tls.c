/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS by mbedTLS over a non-blocking descriptor that stream.c owns. A tls_ctx is shared by its connections and lives until the
 * last of them is gone. Servers send their leaf with the CA behind it, so that a joining node, which knows only the CA's
 * digest, can check the chain (pin_ca_sha256).
 */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#include "net/base/log.h"
#include "net/base/rnd.h"
#include "net/base/str.h"
#include "net/tls_int.h"

struct tls_ctx {
	unsigned refs;                   /* the owner's and one a connection */
	enum tls_verify verify;
	bool pinned;
	uint8_t pin[32];
	mbedtls_ssl_config conf;
	mbedtls_x509_crt ca, own;
	mbedtls_pk_context key;
};

struct tls_conn {
	struct tls_ctx *ctx;             /* a reference */
	int fd;                          /* borrowed */
	size_t write_len;                /* of a write that mbedTLS has half done: it must be repeated with this length; 0: none */
	mbedtls_ssl_context ssl;
};

static void tls_init_psa(void)
{
	if (psa_crypto_init() != PSA_SUCCESS) {
		LOG(ERROR, "no cryptography", "reason=%s", "the library cannot start: no source of randomness");
		exit(1);
	}
}

static int tls_random(void *arg UNUSED, unsigned char *out, size_t len)
{
	rnd_bytes(out, len);
	return 0;
}

static int tls_err(struct err *e, int code, int rc, const char *what)
{
	char text[160];
	mbedtls_strerror(rc, text, sizeof text);
	return err_set(e, code, "%s: %s", what, text);
}

/* ---- Contexts ---- */

/*
 * Called for each certificate of the peer's chain, root first. With no trusted roots mbedTLS has checked every signature of the
 * chain and marks only its top as not trusted; the pinned root loses that mark.
 */
static int tls_on_verify(void *arg, mbedtls_x509_crt *crt, int depth UNUSED, uint32_t *flags)
{
	const struct tls_ctx *t = arg;
	uint8_t digest[32];
	sha256(crt->raw.p, crt->raw.len, digest);
	if (mbedtls_x509_crt_get_ca_istrue(crt) == 1 && !memcmp(digest, t->pin, sizeof digest))
		*flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_NOT_TRUSTED;
	return 0;
}

static int tls_load_own(struct tls_ctx *t, const struct tls_config *c, struct err *e)
{
	int rc = mbedtls_x509_crt_parse(&t->own, (const uint8_t *)c->cert_pem, strlen(c->cert_pem) + 1);
	if (rc != 0)
		return tls_err(e, E_CORRUPT, rc, "read our own certificate");
	rc = mbedtls_pk_parse_key(&t->key, (const uint8_t *)c->key_pem, strlen(c->key_pem) + 1, NULL, 0, tls_random, NULL);
	if (rc != 0)
		return tls_err(e, E_CORRUPT, rc, "read our own key");
	if (mbedtls_pk_check_pair(&t->own.pk, &t->key, tls_random, NULL) != 0)
		return err_set(e, E_CORRUPT, "our own certificate and key do not belong together");
	if (c->server && c->ca_pem && !t->own.next) {
		rc = mbedtls_x509_crt_parse(&t->own, (const uint8_t *)c->ca_pem, strlen(c->ca_pem) + 1);
		if (rc != 0)
			return tls_err(e, E_CORRUPT, rc, "read the CA certificate");
	}
	rc = mbedtls_ssl_conf_own_cert(&t->conf, &t->own, &t->key);
	return rc == 0 ? 0 : tls_err(e, E_IO, rc, "use our own certificate");
}

static int tls_authmode(const struct tls_config *c)
{
	if (c->pin_ca_sha256)
		return MBEDTLS_SSL_VERIFY_OPTIONAL;      /* decided by tls_handshake: mbedTLS wants a root for REQUIRED */
	switch (c->verify) {
	case TLS_VERIFY_REQUIRED:
		return MBEDTLS_SSL_VERIFY_REQUIRED;
	case TLS_VERIFY_OPTIONAL:
		return MBEDTLS_SSL_VERIFY_OPTIONAL;
	case TLS_VERIFY_NONE:
		break;
	}
	return MBEDTLS_SSL_VERIFY_NONE;
}

static int tls_ctx_fill(struct tls_ctx *t, const struct tls_config *c, struct err *e)
{
	int rc = mbedtls_ssl_config_defaults(&t->conf, c->server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
					     MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
	if (rc != 0)
		return tls_err(e, E_IO, rc, "set TLS up");
	mbedtls_ssl_conf_rng(&t->conf, tls_random, NULL);
	mbedtls_ssl_conf_min_tls_version(&t->conf, c->tls13_only ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_authmode(&t->conf, tls_authmode(c));
	if (c->pin_ca_sha256) {
		t->pinned = true;
		memcpy(t->pin, c->pin_ca_sha256, sizeof t->pin);
		mbedtls_ssl_conf_verify(&t->conf, tls_on_verify, t);
	}
	if (c->ca_pem && !c->pin_ca_sha256) {
		rc = mbedtls_x509_crt_parse(&t->ca, (const uint8_t *)c->ca_pem, strlen(c->ca_pem) + 1);
		if (rc != 0)
			return tls_err(e, E_CORRUPT, rc, "read the CA certificate");
		mbedtls_ssl_conf_ca_chain(&t->conf, &t->ca, NULL);
	}
	return c->cert_pem ? tls_load_own(t, c, e) : 0;
}

int tls_ctx_new(const struct tls_config *c, struct tls_ctx **out, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	assert(!c->cert_pem == !c->key_pem);
	assert(!c->server || c->cert_pem);
	pthread_once(&once, tls_init_psa);
	struct tls_ctx *t = xcalloc(1, sizeof *t);
	t->refs = 1;
	t->verify = c->verify;
	mbedtls_ssl_config_init(&t->conf);
	mbedtls_x509_crt_init(&t->ca);
	mbedtls_x509_crt_init(&t->own);
	mbedtls_pk_init(&t->key);
	int rc = tls_ctx_fill(t, c, e);
	if (rc != 0) {
		tls_ctx_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

void tls_ctx_free(struct tls_ctx *t)
{
	if (!t || --t->refs > 0)
		return;
	mbedtls_ssl_config_free(&t->conf);
	mbedtls_x509_crt_free(&t->ca);
	mbedtls_x509_crt_free(&t->own);
	mbedtls_pk_free(&t->key);
	free(t);
}

/* ---- Connections ---- */

static int tls_on_send(void *arg, const unsigned char *data, size_t len)
{
	const struct tls_conn *c = arg;
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
	if (n >= 0)
		return (int)n;
	if (errno == EAGAIN || errno == EINTR)
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	return errno == EPIPE || errno == ECONNRESET ? MBEDTLS_ERR_NET_CONN_RESET : MBEDTLS_ERR_NET_SEND_FAILED;
}

static int tls_on_recv(void *arg, unsigned char *data, size_t size)
{
	const struct tls_conn *c = arg;
	ssize_t n = recv(c->fd, data, size, 0);
	if (n >= 0)
		return (int)n;
	if (errno == EAGAIN || errno == EINTR)
		return MBEDTLS_ERR_SSL_WANT_READ;
	return errno == ECONNRESET ? MBEDTLS_ERR_NET_CONN_RESET : MBEDTLS_ERR_NET_RECV_FAILED;
}

struct tls_conn *tls_conn_new(struct tls_ctx *ctx, int fd, const char *server_name, struct err *e)
{
	struct tls_conn *c = xcalloc(1, sizeof *c);
	mbedtls_ssl_init(&c->ssl);
	c->fd = fd;
	c->ctx = ctx;
	ctx->refs++;
	int rc = mbedtls_ssl_setup(&c->ssl, &ctx->conf);
	if (rc == 0)
		rc = mbedtls_ssl_set_hostname(&c->ssl, server_name);
	if (rc != 0) {
		(void)tls_err(e, E_INVALID, rc, "begin TLS");
		tls_conn_free(c);
		return NULL;
	}
	mbedtls_ssl_set_bio(&c->ssl, c, tls_on_send, tls_on_recv, NULL);
	return c;
}

void tls_conn_free(struct tls_conn *c)
{
	if (!c)
		return;
	mbedtls_ssl_free(&c->ssl);
	tls_ctx_free(c->ctx);
	free(c);
}

static int tls_verify_failed(const struct tls_conn *c, struct err *e)
{
	uint32_t flags = mbedtls_ssl_get_verify_result(&c->ssl);
	char text[256] = "";
	(void)mbedtls_x509_crt_verify_info(text, sizeof text, "", flags);
	struct str first = str_of(text);
	first = str_cut(&first, '\n');
	return err_set(e, E_DENIED, "the peer's certificate is not accepted: " STR_FMT, STR_ARG(first));
}

static enum tls_io tls_result(const struct tls_conn *c, int rc, struct err *e)
{
	switch (rc) {
	case MBEDTLS_ERR_SSL_WANT_READ:
		return TLS_WANT_READ;
	case MBEDTLS_ERR_SSL_WANT_WRITE:
		return TLS_WANT_WRITE;
	case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
		(void)err_set(e, E_CLOSED, "the peer has ended the connection");
		return TLS_EOF;
	case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
		(void)tls_verify_failed(c, e);
		break;
	case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
		(void)err_set(e, E_DENIED, "the peer refused with a TLS alert; look into its log");
		break;
	case MBEDTLS_ERR_SSL_CONN_EOF:
	case MBEDTLS_ERR_NET_CONN_RESET:
		(void)err_set(e, E_CLOSED, "the peer has dropped the connection");
		break;
	default:
		(void)tls_err(e, E_IO, rc, "TLS");
	}
	return TLS_FAILED;
}

enum tls_io tls_handshake(struct tls_conn *c, struct err *e)
{
	int rc = mbedtls_ssl_handshake(&c->ssl);
	if (rc != 0)
		return tls_result(c, rc, e);
	if (c->ctx->pinned && mbedtls_ssl_get_verify_result(&c->ssl) != 0) {
		(void)tls_verify_failed(c, e);
		return TLS_FAILED;
	}
	return TLS_OK;
}

enum tls_io tls_read(struct tls_conn *c, void *data, size_t size, size_t *out_len, struct err *e)
{
	int rc;
	do
		rc = mbedtls_ssl_read(&c->ssl, data, size);
	while (rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET);      /* we resume no sessions */
	if (rc == 0)
		rc = MBEDTLS_ERR_SSL_CONN_EOF;
	if (rc < 0)
		return tls_result(c, rc, e);
	*out_len = (size_t)rc;
	return TLS_OK;
}

enum tls_io tls_write(struct tls_conn *c, const void *data, size_t len, size_t *out_len, struct err *e)
{
	if (c->write_len) {
		assert(len >= c->write_len);
		len = c->write_len;
	}
	int rc = mbedtls_ssl_write(&c->ssl, data, len);
	c->write_len = rc == MBEDTLS_ERR_SSL_WANT_WRITE || rc == MBEDTLS_ERR_SSL_WANT_READ ? len : 0;
	if (rc < 0)
		return tls_result(c, rc, e);
	*out_len = (size_t)rc;
	return TLS_OK;
}

enum tls_io tls_close_notify(struct tls_conn *c)
{
	struct err e;
	int rc = mbedtls_ssl_close_notify(&c->ssl);
	return rc == 0 ? TLS_OK : tls_result(c, rc, &e);
}

bool tls_pending(const struct tls_conn *c) { return mbedtls_ssl_check_pending(&c->ssl) != 0; }

/* ---- Who the peer is ---- */

static const mbedtls_x509_crt *tls_verified_cert(const struct tls_conn *c)
{
	if (c->ctx->verify == TLS_VERIFY_NONE && !c->ctx->pinned)
		return NULL;
	return mbedtls_ssl_get_verify_result(&c->ssl) == 0 ? mbedtls_ssl_get_peer_cert(&c->ssl) : NULL;
}

bool tls_peer_name(const struct tls_conn *c, char *out, size_t out_size)
{
	const mbedtls_x509_crt *crt = tls_verified_cert(c);
	if (!crt)
		return false;
	for (const mbedtls_x509_name *n = &crt->subject; n; n = n->next) {
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &n->oid) != 0)
			continue;
		struct str name = str_n((const char *)n->val.p, n->val.len);
		return str_find(name, '\0') < 0 && str_put(out, out_size, name);
	}
	return false;
}

bool tls_peer_key_sha256(const struct tls_conn *c, uint8_t out[32])
{
	const mbedtls_x509_crt *crt = tls_verified_cert(c);
	if (!crt)
		return false;
	sha256(crt->pk_raw.p, crt->pk_raw.len, out);
	return true;
}
