/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's view: what runs now, in an undurable LMDB file that every process of a node maps. One process holds the writer's
 * lock: on the leading master its own loop, elsewhere the first role that took it and subscribes to the leader.
 * Tables are dcos.ViewTable, values the messages of proto/cluster.proto. A bounded change log makes deltas resumable;
 * (term, seq) is the view's version. Readers are woken across processes by inotify. On a node with a master that process is
 * the writer: it claims the view, and whoever wrote before lets go.
 */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/loop.h"
#include "net/rpc.h"
#include "store/kv.h"

struct view;
struct view_version { uint64_t term, seq; };

/* Makes the directory when missing; starts an empty view when the old one is damaged, of another format or from before a boot. */
int view_open(struct loop *l, const char *dir, struct view **out, struct err *e);
void view_close(struct view *v);                      /* NULL ok; staged changes are flushed */

/* ---- reading ---- */
struct view_version view_version(struct view *v);
/* A snapshot; end with kv_abort. */
int view_begin(struct view *v, struct kv_txn **out, struct err *e);
int view_get(struct kv_txn *txn, int table, struct str key, struct str *out, struct err *e);
int view_each(struct kv_txn *txn, int table, bool (*fn)(void *arg, struct str key, struct str value), void *arg, struct err *e);
/* fn runs on the loop when the view has moved on (and once soon after the watch began). */
struct view_watch { struct list link; void (*fn)(struct view_watch *w); };
void view_watch(struct view *v, struct view_watch *w, void (*fn)(struct view_watch *w));
void view_watch_stop(struct view_watch *w);
/*
 * Changes after `from`, in order; value.p NULL: removed. *out_now is the version reached. E_NOTFOUND when the log does not reach
 * back so far or the term differs: read everything with view_each instead.
 */
int view_changes(struct kv_txn *txn, struct view_version from,
		 void (*fn)(void *arg, int table, struct str key, struct str value), void *arg,
		 struct view_version *out_now, struct err *e);

/* ---- writing (holder of the lock only) ---- */
bool view_try_lock(struct view *v);                   /* false: another process writes; taken as soon as that one ends */
/* The master's way to take the lock: other processes of this node give it up. Until they have, changes stay staged. E_BUSY. */
int view_claim(struct view *v, struct err *e);
bool view_writes(const struct view *v);               /* this process holds the lock */
/* fn runs on the loop whenever the lock is gained after view_try_lock returned false; NULL: nobody asks. One at a time. */
void view_on_lock(struct view *v, void (*fn)(void *arg), void *arg);
/*
 * Begin a new term: nothing is removed yet; rows not put again may be removed with view_sweep once recovery has ended. Followers
 * of this view keep the rows it does not have until the first view_sweep of the term.
 */
void view_new_term(struct view *v, uint64_t term);
void view_put(struct view *v, int table, struct str key, struct str value);   /* staged; equal to what is there: no change */
void view_del(struct view *v, int table, struct str key);
void view_sweep(struct view *v, int table);           /* remove what was not put in this term */
/* Staged changes become visible in one transaction at the end of the loop's turn, by itself. view_flush does it now. */
int view_flush(struct view *v, struct err *e);

/* ---- over RPC ---- */
/* Master side: serve VIEW_SUBSCRIBE; call from the method's handler. Deltas follow each flush. */
void view_serve(struct view *v, struct rpc_peer *p, struct rpc_req *req, struct str payload);
void view_serve_closed(struct view *v, struct rpc_peer *p);      /* from the handlers' closed(), on either side */
/*
 * Follower side: subscribe over p (call again on each new connection; a former p is forgotten); handles VIEW_DELTA payloads.
 * While another process of the node holds the lock nothing is asked for; when that one ends, this one goes on over p.
 */
void view_subscribe(struct view *v, struct rpc_peer *p, bool all, const char *node, const char *role);
void view_on_delta(struct view *v, struct rpc_peer *p, struct str payload);
