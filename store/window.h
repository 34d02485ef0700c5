/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest entries of the log in memory, without gaps: those not applied yet, which proposers wait for, and some before them,
 * which members that are a little behind are sent without reading the disk. An entry is shared by the window and the log jobs
 * that write it, so it counts its owners. Loop thread, but for the immutable part of an entry.
 */
#pragma once

#include "net/base/base.h"
#include "net/base/err.h"
#include "net/base/list.h"
#include "net/base/str.h"

struct propose;

struct command {
	struct list link;        /* in the store's queue, or refused */
	unsigned refs;
	struct propose *p;       /* borrowed; NULL: nobody waits (any more) */
	bool forget;             /* nobody ever waited: a failure is logged */
	struct err *refusal;     /* owned; of refused ones */
	uint64_t index, term;    /* once submitted */
	uint8_t type;            /* ENTRY_… */
	size_t len;
	uint8_t data[];          /* the entry as it stands in the log; never changes once submitted */
};

struct command *command_new(struct str data, uint8_t type);     /* one owner: the caller */
struct command *command_with_room(size_t len, uint8_t type);     /* the same, data to be filled in */
struct command *command_ref(struct command *c);
void command_unref(struct command *c);                           /* NULL ok */

struct window {
	struct command **slots;  /* owned ring; each holds a reference */
	size_t cap;              /* a power of two, or 0 */
	uint64_t first;          /* index of the oldest entry held */
	size_t count;
	size_t bytes;            /* of all of them */
};

void window_fini(struct window *w);
/* Index after the newest entry, or `first` of an empty window. */
static inline uint64_t window_end(const struct window *w) { return w->first + w->count; }
void window_restart(struct window *w, uint64_t next);            /* drop all; the next entry has this index */
void window_push(struct window *w, struct command *c);           /* takes over the caller's reference; c->index is window_end */
struct command *window_at(const struct window *w, uint64_t index);   /* borrowed; NULL: not held */
struct command *window_pop(struct window *w);                    /* the newest; the caller's reference */
/* Let go of the oldest while they are before `index` and more than `bytes` are held. */
void window_trim(struct window *w, uint64_t index, size_t bytes);
