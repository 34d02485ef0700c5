/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the key-value service: call.c runs calls, lease.c ends keys in time, watch.c follows changes, api.c is HTTP. */
#pragma once

#include "roles/master/kv/keyval.h"
#include "roles/master/kv/table.h"

struct keyval {
	struct master *master;           /* borrowed */
	struct loop *loop;               /* borrowed */
	struct list calls;               /* struct call */
	size_t call_count;
	struct list watches;             /* struct watch */
	size_t watch_count;
	struct loop_defer pump;
	struct loop_timer beat, again, more;     /* of the watches */
	struct leases *leases;           /* owned; NULL: this master does not lead */
};

/* ---- call.c ---- */

/* One call under way: decoded from whatever it came by into `arena`, answered through done. */
struct call {
	struct list link;
	struct keyval *kv;
	struct arena arena;
	keyval_Call in;                  /* filled by the maker, in the arena */
	struct propose propose;
	struct store_fresh fresh;
	struct rpc_call forward;
	void (*done)(struct call *c, const keyval_Answer *a, const struct err *e);   /* a: when e->code is 0; c is freed after it returns */
	void *user;                      /* the maker's */
};
struct call *call_new(struct keyval *kv);
/* Run it; done may be called before this returns. */
void call_start(struct call *c);
void call_cancel(struct call *c);        /* NULL ok; done is not called; what was proposed may happen all the same */

/* ---- watch.c ---- */

struct watch_sink {
	bool (*send)(void *arg, const keyval_Events *ev);    /* false: full, watch_go_on when it is not */
	void (*ended)(void *arg, const struct err *e);       /* the watch is gone */
	bool (*full)(void *arg);                             /* asked now and then of a full one */
	void *arg;
};
struct watch;
/* E_NOTFOUND: changes since then are not kept any more. E_INVALID, E_BUSY. since NULL: from now on. */
int watch_new(struct keyval *kv, struct str prefix, const uint64_t *since, struct watch_sink sink, struct watch **out, struct err *e);
void watch_free(struct watch *w);        /* NULL ok; nothing is called any more */
void watch_go_on(struct watch *w);
uint64_t watch_index(const struct watch *w);     /* told up to here */
void watch_start(struct keyval *kv);
void watch_stop(struct keyval *kv);      /* all end */
void watch_rpc(struct rpc_peer *p, struct rpc_req *req, struct str payload);

/* ---- lease.c ---- */

void leases_start(struct keyval *kv);
void leases_lead(struct keyval *kv, bool leads);
