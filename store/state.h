/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replicated state: commands are proposed to Raft, logged with one fdatasync a batch, applied in one LMDB transaction together
 * with their index, then answered. Subsystems register the rows of their commands and tables before store_start.
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/base/list.h"
#include "net/loop.h"
#include "store/kv.h"

struct store;

/* Facts of the command being applied. Apply uses only these and its payload: no clock, no randomness. */
struct op_ctx {
	uint64_t index;          /* log index */
	int64_t unix_us;         /* proposer's wall clock */
	void *arg;               /* the row's registrant */
	struct arena *arena;     /* of this command, for decoding */
};

/* One command. Returns 0, or an error that is answered to the proposer; then nothing of it is kept. */
struct op_row {
	uint32_t number;         /* rec.Op */
	const char *name;
	uint32_t feature_level;  /* lowest among members that lets it be proposed */
	int (*apply)(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e);
};

struct store_config {
	const char *dir;         /* log, snapshots and LMDB live below */
	uint64_t member_id;      /* 1 for a single master */
	const char *address;     /* member's key fingerprint, hex */
};

/* Open and lock the directory, check the format. E_BUSY: another process has it. E_NEWER, E_CORRUPT. */
int store_open(struct loop *l, const struct store_config *c, struct store **out, struct err *e);
void store_register(struct store *s, const struct kv_table *const *tables, const struct op_row *ops, size_t op_count, void *arg);
/* Replay and begin. With one voter it leads at once (within one turn or two). */
int store_start(struct store *s, struct err *e);
void store_close(struct store *s);

bool store_leads(const struct store *s);             /* leader and everything before its term applied */
uint64_t store_term(const struct store *s);
uint64_t store_applied(const struct store *s);       /* index */
const char *store_cluster_id(struct store *s);       /* "" before the first leader wrote it */
/* Leadership gained or lost; called on the loop. */
void store_on_role(struct store *s, void (*fn)(void *arg, bool leads), void *arg);

/*
 * Start replicating. When done runs with e->code 0 the command is on disk at a majority and applied here; `reply` is what its
 * apply wrote. payload is copied. done never runs inside store_propose. E_NOTLEADER, E_TOOBIG, E_NOSPACE, E_TIMEOUT
 * (outcome unknown).
 */
struct propose {
	struct list link;
	struct loop_timer timer;
	uint64_t index;
	struct store *store;
	void (*done)(struct propose *p, struct str reply, const struct err *e);
};
void store_propose(struct store *s, uint32_t op, struct str payload, int64_t timeout_us, struct propose *p,
		   void (*done)(struct propose *p, struct str reply, const struct err *e));
void propose_cancel(struct propose *p);              /* forgets the answer, not the command */
/* As store_propose for commands nobody waits for; a failure is logged. */
void store_propose_forget(struct store *s, uint32_t op, struct str payload);

/* Snapshot of applied state; end with kv_abort. */
int store_read(struct store *s, struct kv_txn **out, struct err *e);
/* Called after each applied batch (once a turn), on the loop. */
void store_on_applied(struct store *s, void (*fn)(void *arg, uint64_t index), void *arg);
