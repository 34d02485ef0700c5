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

struct command;
struct disk;
struct store;

/* Facts of the command being applied. Apply uses only these and its payload: no clock, no randomness. */
struct op_ctx {
	uint64_t index;          /* log index */
	int64_t unix_us;         /* proposer's wall clock */
	void *arg;               /* the row's registrant */
	struct arena *arena;     /* of this command, for decoding */
};

/*
 * One command. apply returns 0, or an error that is answered to the proposer; then nothing of it is kept. Whether it refuses may
 * depend on the state and the command only: E_IO, E_CORRUPT, E_NEWER and E_NOSPACE are troubles of this machine, which end the
 * applying instead. apply may run again from the start of its transaction.
 */
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
	const struct disk *disk; /* of the log; NULL: the real one */
	size_t segment_bytes;    /* of the log; 0: 8 MiB */
	uint64_t checkpoint_bytes;   /* a checkpoint is due after so much log; 0: 64 MiB */
};

/*
 * Open and lock the directory (made when missing), check the format. E_BUSY: another process has it. E_NEWER, E_CORRUPT,
 * E_NOSPACE.
 */
int store_open(struct loop *l, const struct store_config *c, struct store **out, struct err *e);
void store_register(struct store *s, const struct kv_table *const *tables, const struct op_row *ops, size_t op_count, void *arg);
/* Replay and begin. With one voter it leads at once (within one turn or two). After an error only store_close. */
int store_start(struct store *s, struct err *e);
/* NULL ok. Waits for writes under way; what was proposed and not answered is forgotten, its done never runs. */
void store_close(struct store *s);

bool store_leads(const struct store *s);             /* leader and everything before its term applied */
uint64_t store_term(const struct store *s);
uint64_t store_applied(const struct store *s);       /* index */
const char *store_cluster_id(struct store *s);       /* "" before the first leader wrote it */
/* NULL: all is well. Else why commands fail: the disk is full (passes by itself) or the store has stopped (until a restart). */
const struct err *store_trouble(const struct store *s);
/* Leadership gained or lost; called on the loop, once soon after it was asked for when this node leads already. */
void store_on_role(struct store *s, void (*fn)(void *arg, bool leads), void *arg);

/*
 * Start replicating. When done runs with e->code 0 the command is on disk at a majority and applied here; `reply` is what its
 * apply wrote. payload is copied. done never runs inside store_propose; p may be reused inside it. Errors: what apply refused
 * with; E_TIMEOUT, outcome unknown; and, with the command certainly not done, E_NOTLEADER, E_TOOBIG (over LIMIT_OP_BYTES),
 * E_UNSUPPORTED (a member is too old), E_NOSPACE, E_BUSY, E_IO (the store has stopped).
 */
struct propose {
	struct command *command;     /* NULL: answered */
	struct loop_timer timer;
	uint64_t index;              /* in the log, when done runs; 0: it did not get there */
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
