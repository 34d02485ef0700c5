/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the key-value service is replicated: rows, leases, and the commands on them. Pure: transaction and command in, rows out.
 * A revision is the log index of a command.
 */
#pragma once

#include "proto/keyval.pb.h"
#include "store/state.h"

extern const struct kv_table keyval_rows;        /* key -> keyval.Row */
extern const struct kv_table keyval_leases;      /* key with a time to live -> keyval.Lease */

void table_register(struct store *s);            /* before store_start */

/* 1 to LIMIT_KV_KEY_BYTES printable characters, names separated by '/': "a/b/c". E_INVALID. */
int table_check_key(const char *key, struct err *e);
/* What a client may ask for, before it is proposed; applying checks the same. E_INVALID, E_TOOBIG. */
int table_check(const keyval_Change *c, struct err *e);

/* Read one row into *out, its value borrowed from the arena. E_NOTFOUND. */
int table_get(struct kv_txn *txn, struct arena *a, const char *key, keyval_Item *out, struct err *e);
int table_item(struct arena *a, struct str key, struct str row, keyval_Item *out, struct err *e);
/* Items, directories and next of *out. */
int table_list(struct kv_txn *txn, struct arena *a, const keyval_List *list, keyval_Answer *out, struct err *e);
