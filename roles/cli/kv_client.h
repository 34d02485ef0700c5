/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the key-value service over cluster RPC that knows all masters: one connection, one request at a time. An attempt that
 * fails goes on at the next master until the request's time is over; a change only when it has a client and a serial number, as
 * nobody could tell otherwise whether it happens twice.
 */
#pragma once

#include "net/rpc.h"
#include "net/tls.h"
#include "proto/keyval.pb.h"

struct kv_client;

struct kv_client_config {
	struct loop *loop;
	struct tls_ctx *tls;             /* borrowed; of a node of the cluster */
	const struct sock_addr *masters; /* borrowed */
	size_t count, first;             /* how many; which one to begin with */
	int64_t attempt_us;              /* a master that is silent for so long is given up; 0: 2 s */
	/* Changes of the watch; NULL: none is used. */
	void (*events)(void *arg, const keyval_Events *ev);
	void *arg;
};

struct kv_client *kv_client_new(const struct kv_client_config *c);
void kv_client_free(struct kv_client *c);            /* NULL ok; done is not called any more */

/*
 * done: e->code 0 and the answer; else unknown tells whether a change may have happened, or happen yet, all the same. `a` lives until
 * done returns; the client may be freed in it or take the next request.
 */
void kv_client_call(struct kv_client *c, const keyval_Call *call, int64_t timeout_us,
		    void (*done)(void *arg, const keyval_Answer *a, const struct err *e, bool unknown), void *arg);
/* Watch until the connection ends; `ended` is called then, or when the watch is refused. */
void kv_client_watch(struct kv_client *c, const keyval_Watch *watch, int64_t timeout_us,
		     void (*ended)(void *arg, const struct err *e), void *arg);

/* TLS of the node whose state directory this is. E_NOTFOUND: it has not joined a cluster. */
int kv_client_identity(const char *state_dir, struct tls_ctx **out, struct err *e);
