/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replicated log and the vote on disk. Blocking calls: the store makes them before its loop runs, and afterwards from one
 * worker at a time. What an append returned 0 for survives a power cut; what it did not may be there or not, as a prefix.
 */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/base/str.h"
#include "store/disk.h"

enum { ENTRY_COMMAND = 1, ENTRY_BARRIER = 2, ENTRY_CHANGE = 3 };      /* as the library numbers them */

struct log_entry {
	uint64_t index, term;
	uint8_t type;
	struct str data;         /* borrowed */
};

#define LOG_SEGMENT_BYTES ((size_t)(8 * MIB))
#define LOG_SEGMENT_HEAD 64
#define LOG_RECORD_HEAD 40
/* What an entry of `bytes` takes in a segment. */
static inline size_t log_entry_bytes(size_t bytes)
{
	return LOG_RECORD_HEAD + ((bytes + 7) & ~(size_t)7);
}

struct raft_log;

/*
 * Read and check every segment in `dir` (made when missing), cut the torn end of an append that was never acknowledged.
 * segment_bytes 0: LOG_SEGMENT_BYTES. E_CORRUPT names file and offset; E_NEWER; E_NOSPACE.
 */
int raft_log_open(const struct disk *d, const char *dir, size_t segment_bytes, struct raft_log **out, struct err *e);
void raft_log_close(struct raft_log *log);            /* NULL ok */
uint64_t raft_log_first(const struct raft_log *log);  /* index of the first entry kept; last + 1 when there is none */
uint64_t raft_log_last(const struct raft_log *log);   /* 0 before anything was written */
uint64_t raft_log_bytes(const struct raft_log *log);  /* of all entries kept */

/* Entries from index `from` to the end; fn returns 0, LOG_STOP or an error, which end the reading and are returned. */
#define LOG_STOP 1
int raft_log_read(struct raft_log *log, uint64_t from, int (*fn)(void *arg, const struct log_entry *entry, struct err *e),
		  void *arg, struct err *e);

/* The term of the entry at `index`. E_NOTFOUND: not in the log. */
int raft_log_term(struct raft_log *log, uint64_t index, uint64_t *term, struct err *e);

/*
 * Entries travel between members as the records they are on disk, checksums and all. put appends one; next takes one off the
 * front of *rest: false at the end, or when what is there is not a whole record (then rest->len is not 0).
 */
void log_record_put(struct buf *b, const struct log_entry *entry, uint64_t batch);
bool log_record_next(struct str *rest, struct log_entry *out);
/* Bytes (log_entry_bytes summed) that surely fit into what is reserved on the disk, in one append or several; raft_log_prepare makes more. */
size_t raft_log_room(const struct raft_log *log);
bool raft_log_wants_prepare(const struct raft_log *log);     /* the reserve runs low */
/* Reserve the next segment. E_NOSPACE leaves everything as it was. */
int raft_log_prepare(struct raft_log *log, struct err *e);
/*
 * Write a batch that fits, with one sync. Indexes continue the log's. E_NOSPACE (a disk that does not keep its reservations):
 * nothing is acknowledged, the same batch may be tried again. After E_IO the log takes nothing any more: what a failed sync
 * left on the medium cannot be known.
 */
int raft_log_append(struct raft_log *log, const struct log_entry *entries, size_t count, struct err *e);
/* Remove segments that hold nothing after `index`; the newest one stays. */
int raft_log_cut(struct raft_log *log, uint64_t index, struct err *e);
/*
 * Remove the entries from `index` on: a new leader has others. Done whole or, after a crash in the middle, by the next open:
 * the file `truncate` says from where on nothing counts.
 */
int raft_log_truncate(struct raft_log *log, uint64_t index, struct err *e);
/* Remove everything; the next entry is `index`, the first after an installed snapshot. */
int raft_log_reset(struct raft_log *log, uint64_t index, struct err *e);

/* ---- term and vote: two files written in turn, so that a torn write leaves the other ---- */
struct raft_vote {
	uint64_t count;          /* how often it was written; 0: never */
	uint64_t term, voted_for;
};
int raft_vote_load(const struct disk *d, const char *dir, struct raft_vote *out, struct err *e);
int raft_vote_store(const struct disk *d, const char *dir, struct raft_vote *v, struct err *e);     /* counts up v->count */
