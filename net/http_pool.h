/* SPDX-License-Identifier: Apache-2.0 */
/* Idle keep-alive connections of the HTTP client, one pool a loop. Only http_client.c uses it. */
#pragma once

#include "net/sock.h"
#include "net/stream.h"
#include "net/tls.h"

/* Connections are alike when address, TLS settings and name of the server are. */
struct http_pool_key {
	struct sock_addr addr;
	struct tls_ctx *tls;     /* NULL: plain; borrowed, and kept alive by the connection: no other gets its address */
	char host[256];          /* for TLS: whose certificate was verified; else "" */
};

/* The youngest connection that has idled at most max_idle_us, or NULL. The caller owns it and calls stream_set. */
struct stream *http_pool_take(struct loop *l, const struct http_pool_key *key, int64_t max_idle_us);
/* Takes s, which must be between two messages. */
void http_pool_put(struct loop *l, const struct http_pool_key *key, struct stream *s);
/* TLS without verification, for URLs whose caller has no settings. Borrowed. */
int http_pool_tls_unverified(struct loop *l, struct tls_ctx **out, struct err *e);
