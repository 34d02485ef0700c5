/* SPDX-License-Identifier: Apache-2.0 */
/* Older formats of the replicated state become this one, and one step back. */
#pragma once

#include "store/kv.h"

/* Take the tables from format `from` to STATE_FORMAT; in the caller's transaction, which also notes the new format. */
int migrate_up(struct kv_txn *txn, uint32_t from, struct err *e);
/* Take them from STATE_FORMAT to the one before, so that no table holds what that one does not know. */
int migrate_down(struct kv_txn *txn, struct err *e);
