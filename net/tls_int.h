/* SPDX-License-Identifier: Apache-2.0 */
/* What stream.c needs of tls.c: one TLS connection over a non-blocking descriptor. Nobody else includes this. */
#pragma once

#include "net/tls.h"

enum tls_io {
	TLS_OK,
	TLS_WANT_READ,       /* again when the descriptor is readable */
	TLS_WANT_WRITE,
	TLS_EOF,             /* the peer said close_notify */
	TLS_FAILED           /* e tells */
};

/* fd is borrowed. server_name: SNI and the name the certificate must carry; NULL for none. Keeps ctx alive. */
struct tls_conn *tls_conn_new(struct tls_ctx *ctx, int fd, const char *server_name, struct err *e);
void tls_conn_free(struct tls_conn *c);
enum tls_io tls_handshake(struct tls_conn *c, struct err *e);
enum tls_io tls_read(struct tls_conn *c, void *data, size_t size, size_t *out_len, struct err *e);
/* After TLS_WANT_* the same bytes must come again (more may follow them). */
enum tls_io tls_write(struct tls_conn *c, const void *data, size_t len, size_t *out_len, struct err *e);
enum tls_io tls_close_notify(struct tls_conn *c);
/* Decrypted bytes wait inside: the descriptor may stay silent though there is something to read. */
bool tls_pending(const struct tls_conn *c);
