/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small key-value service on the replicated state: configuration, locks and leader election for scripts and services.
 * By RPC (KV_CALL, KV_WATCH) and HTTP (/kv/v1/…) on every master: reads are answered there, changes go to the leader.
 */
#pragma once

#include "net/http.h"
#include "net/rpc.h"
#include "roles/master/master.h"

struct keyval;

struct keyval *keyval_new(struct master *m);         /* before store_start */
void keyval_free(struct keyval *kv);                 /* NULL ok; while the listeners' requests are gone and the store is open */
void keyval_lead(struct keyval *kv, bool leads);
void keyval_peer_gone(struct keyval *kv, struct rpc_peer *p);    /* its watches end */

extern const struct rpc_method keyval_rpc_methods[];
extern const size_t keyval_rpc_method_count;
extern const struct route keyval_routes[];           /* arg: struct keyval */
