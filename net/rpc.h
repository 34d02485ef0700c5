/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RPC between our own processes: length-prefixed frames with nanopb payloads over a stream (mutual TLS between nodes, a plain
 * unix socket inside one). Both sides may call on one connection. Frame layout: rpc.c.
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/err.h"
#include "net/loop.h"
#include "net/stream.h"

struct rpc_peer;
struct rpc_req;

/* What one side answers. Methods are numbers of proto/cluster.proto's enum. */
struct rpc_method {
	uint32_t number;
	const char *name;
	/*
	 * A call or (req == NULL) a one-way message. The payload is borrowed until return. Answer with rpc_reply/rpc_fail, now or
	 * later; a req whose connection died is answered into the void.
	 */
	void (*fn)(struct rpc_peer *p, struct rpc_req *req, struct str payload);
	bool anonymous;    /* allowed without a client certificate (joining) */
};

struct rpc_handlers {
	const struct rpc_method *methods;
	size_t count;
	void (*opened)(struct rpc_peer *p);                          /* ready (TLS done); may be NULL */
	void (*closed)(struct rpc_peer *p, const struct err *e);     /* p is freed after it returns; all calls have failed before */
	/* Something was refused because the peer has no certificate of this cluster: say so, close it. May be NULL. */
	void (*refused)(struct rpc_peer *p, const struct err *e);
};

struct rpc_server;
int rpc_listen(struct loop *l, const struct sock_addr *a, struct tls_ctx *tls, const struct rpc_handlers *h, void *arg,
	       struct rpc_server **out, struct err *e);
void rpc_server_free(struct rpc_server *s);        /* NULL ok; its connections end as if broken: closed() is called */
uint16_t rpc_server_port(const struct rpc_server *s);

/* Connect once. On failure closed() is called; reconnecting with backoff is the caller's (roles/leader.c). */
struct rpc_peer *rpc_connect(struct loop *l, const struct sock_addr *a, struct tls_ctx *tls, const struct rpc_handlers *h, void *arg);
/* Wrap an existing connected descriptor (socketpair, accepted unix socket); fd is taken. */
struct rpc_peer *rpc_adopt(struct loop *l, int fd, const struct rpc_handlers *h, void *arg);
void rpc_peer_close(struct rpc_peer *p);           /* NULL ok; closed() is not called; pending calls are dropped */
void *rpc_peer_arg(const struct rpc_peer *p);      /* listen's/connect's arg */
void *rpc_peer_user(const struct rpc_peer *p);     /* per-connection pointer of the owner */
void rpc_peer_set_user(struct rpc_peer *p, void *user);
bool rpc_peer_name(const struct rpc_peer *p, char *out, size_t size);   /* certificate's common name */
/* SHA-256 of the public key in the peer's verified certificate, in hex: who it is, whatever its address. */
#define RPC_FINGERPRINT 65
bool rpc_peer_fingerprint(const struct rpc_peer *p, char out[RPC_FINGERPRINT]);
void rpc_peer_addr(const struct rpc_peer *p, struct sock_addr *out);
bool rpc_peer_full(const struct rpc_peer *p);      /* too much unsent: leave out what can wait */

/* One-way message. */
void rpc_send(struct rpc_peer *p, uint32_t method, struct str payload);
/* A call: done runs once with the reply (e->code 0) or an error, unless cancelled. timeout_us 0: as long as the connection. */
struct rpc_call {
	struct list link;
	uint64_t id;
	struct loop_timer timer;
	struct rpc_peer *peer;       /* NULL: not waiting */
	int refused;                 /* code that done is about to get: the call never left */
	void (*done)(struct rpc_call *c, struct str reply, const struct err *e);
};
void rpc_call_start(struct rpc_peer *p, struct rpc_call *c, uint32_t method, struct str payload, int64_t timeout_us,
		    void (*done)(struct rpc_call *c, struct str reply, const struct err *e));
void rpc_call_cancel(struct rpc_call *c);
void rpc_reply(struct rpc_req *req, struct str payload);
void rpc_fail(struct rpc_req *req, const struct err *e);
