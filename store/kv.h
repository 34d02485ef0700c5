/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB behind typed tables and scoped transactions. Values carry a version byte and a CRC-32C over version, key and value,
 * checked on every read. Opened with NOTLS; stale readers are cleared; the map grows by itself (a write that meets a full map
 * grows it and is retried by the transaction's owner through kv_update).
 */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/base/str.h"

struct kv;
struct kv_txn;

/* One table of an environment. Rows stand with their subsystem as `const struct kv_table x`; registered at open. */
struct kv_table {
	const char *name;
	uint8_t version;        /* of the value's encoding; a value with a newer one is E_NEWER */
	bool feed;              /* replicated state: changes can be followed (store_feed) */
};

struct kv_options {
	bool durable;                        /* false: no fsync at commit (state, view); true: checkpoint */
	bool one_sync;                       /* durable with one sync a commit: a power cut may take the last commits back, whole */
	bool read_only;                      /* tables that do not exist yet read as empty */
	size_t map_bytes;                    /* first size; 0: 64 MiB */
	const struct kv_table *const *tables;/* NULL-terminated; the rows are borrowed until kv_close */
};

#define KV_KEY_MAX 511                       /* bytes of a key; at least one */

/* Makes `dir` when it is missing. E_CORRUPT: not one of our files. E_NOSPACE. */
int kv_open(const char *dir, const struct kv_options *o, struct kv **out, struct err *e);
void kv_close(struct kv *kv);                        /* NULL ok; no transaction may be open */
int kv_sync(struct kv *kv, struct err *e);           /* fsync what was committed; any thread */
/* Write a consistent copy of what is committed to fd, and fsync it; any thread; writers go on meanwhile. */
int kv_copy(struct kv *kv, int fd, struct err *e);
size_t kv_bytes(struct kv *kv);                      /* used part of the file */

/* Read transactions see one snapshot and must end within a second. One write transaction at a time. */
int kv_begin(struct kv *kv, bool write, struct kv_txn **out, struct err *e);
/* A write transaction inside `parent`: its abort leaves the parent as it was. The parent rests meanwhile. */
int kv_nest(struct kv_txn *parent, struct kv_txn **out, struct err *e);
int kv_commit(struct kv_txn *txn, struct err *e);    /* ends it, whatever the result */
void kv_abort(struct kv_txn *txn);                   /* NULL ok */
static inline void kv_abort_auto_(struct kv_txn **t) { kv_abort(*t); }
#define AUTO_TXN __attribute__((cleanup(kv_abort_auto_)))

/*
 * Run fn in a write transaction and commit; when the map is full, grow and run again (so fn must be repeatable). fn's own
 * error aborts and is returned.
 */
int kv_update(struct kv *kv, int (*fn)(struct kv_txn *txn, void *arg, struct err *e), void *arg, struct err *e);
/* This write failed because the map is full: end it and let kv_update run it again. Nested transactions tell their parents. */
bool kv_map_full(const struct kv_txn *txn);

/* *out is borrowed until the transaction ends (or writes). E_NOTFOUND, E_CORRUPT, E_NEWER. */
int kv_get(struct kv_txn *txn, const struct kv_table *t, struct str key, struct str *out, struct err *e);
int kv_put(struct kv_txn *txn, const struct kv_table *t, struct str key, struct str value, struct err *e);
int kv_del(struct kv_txn *txn, const struct kv_table *t, struct str key, struct err *e);   /* absent: fine */
/* As kv_get, of a table that is named; E_NOTFOUND also when there is no such table. */
int kv_get_named(struct kv_txn *txn, struct str table, struct str key, struct str *out, struct err *e);
/* From here on puts and removals in tables marked `feed` add rows to `feed`, under this index (store/feed.c); a nested one inherits nothing. */
void kv_feed(struct kv_txn *txn, const struct kv_table *feed, uint64_t index);
uint32_t kv_fed(const struct kv_txn *txn);           /* rows added since */
size_t kv_count(struct kv_txn *txn, const struct kv_table *t);

/* In key order from the first key >= `from`; fn returns false to stop. Damaged values stop with E_CORRUPT. */
int kv_each(struct kv_txn *txn, const struct kv_table *t, struct str from,
	    bool (*fn)(void *arg, struct str key, struct str value), void *arg, struct err *e);

/*
 * Rows as they are stored, with the version and checksum of their values: what dumps carry from one environment to another.
 * Reading checks the checksums and takes any version; fn returns 0 or an error, which ends it and is returned. Appending wants
 * keys in ascending order, behind all there are (else E_CORRUPT), and checks both: E_CORRUPT, E_NEWER.
 */
int kv_each_stored(struct kv_txn *txn, const struct kv_table *t, int (*fn)(void *arg, struct str key, struct str stored,
									  struct err *e), void *arg, struct err *e);
int kv_append_stored(struct kv_txn *txn, const struct kv_table *t, struct str key, struct str stored, struct err *e);
int kv_drop_others(struct kv_txn *txn, struct err *e);       /* tables that are not among those it was opened with */
int kv_clear(struct kv_txn *txn, const struct kv_table *t, struct err *e);      /* all rows of a table */

/* Big-endian numbers as keys sort as numbers. */
static inline struct str kv_key_u64(uint64_t n, uint8_t out[8])
{
	for (int i = 7; i >= 0; i--, n >>= 8)
		out[i] = (uint8_t)n;
	return str_n((const char *)out, 8);
}
uint64_t kv_u64_of_key(struct str key);              /* 0 when it is not eight bytes */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);   /* what processors without the instruction run */
