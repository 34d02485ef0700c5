/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole of an environment as an ordered, checksummed stream: what checkpoints, snapshots sent to other members and backups
 * are made of. Two environments with equal rows have equal dumps. Layout: dump.c. Any thread.
 */
#pragma once

#include "net/base/err.h"
#include "net/base/str.h"
#include "store/kv.h"

#define DUMP_BLOCK_BYTES ((size_t)(256 * KIB))   /* a block before its checksum is at most so long, plus one row */

struct dump_head {
	uint32_t format;             /* of the replicated state */
	uint64_t index, term;        /* what the rows are the state of; 0: says nothing */
};

/* Every row of `tables` (NULL-terminated) as txn sees them. write returns 0 or an error, which ends the dump and is returned. */
int dump_write(struct kv_txn *txn, const struct kv_table *const *tables, const struct dump_head *head,
	       int (*write)(void *arg, const void *data, size_t len, struct err *e), void *arg, struct err *e);

/* Where a dump comes from. */
struct dump_source {
	ssize_t (*read)(void *arg, void *out, size_t len, struct err *e);    /* fewer than len bytes only at the end; or an error's code */
	int (*rewind)(void *arg, struct err *e);     /* back to the dump's first byte; only dump_load asks for it */
	void *arg;
};
/* Only the head. E_CORRUPT, E_NEWER (of the stream's layout). */
int dump_read_head(const struct dump_source *from, struct dump_head *out, struct err *e);
/* Check every checksum, and that the end is there; count and bytes of rows may be NULL. E_CORRUPT says at which byte. */
int dump_check(const struct dump_source *from, struct dump_head *out, uint64_t *rows, struct err *e);
/* As dump_check, with a look at each row; fn returns 0 or an error, which ends it. What it is given is borrowed until it returns. */
int dump_each(const struct dump_source *from, struct dump_head *out,
	      int (*fn)(void *arg, struct str table, struct str key, struct str stored, struct err *e), void *arg, struct err *e);
/*
 * Replace all rows of `tables` by the dump's, in one transaction: all or nothing. Rows of tables that are not in `tables` are
 * E_NEWER. The source is checked on the way, and read again from its start each time the map turns out too small.
 */
int dump_load(const struct dump_source *from, struct kv *kv, const struct kv_table *const *tables, struct dump_head *out,
	      struct err *e);
