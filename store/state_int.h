/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the replicated state. state.c is the outside: commands come in, answers go out. raft_io.c drives the
 * Raft library and the log; raft_snap.c makes and finds checkpoints; fsm.c applies what was committed.
 *
 * A command is queued -> (submitted to Raft, its log write under way) pending -> applied and answered. Pending commands are all
 * entries after the last applied one, in order of index; they are the only entries kept in memory.
 */
#pragma once

#include "store/disk.h"
#include "store/raft_log.h"
#include "store/state.h"

struct command {
	struct list link;        /* in store's queue, pending or refused; owned by that list */
	struct propose *p;       /* borrowed; NULL: nobody waits (any more) */
	bool forget;             /* nobody ever waited: a failure is logged */
	uint64_t index, term;    /* once submitted */
	uint8_t type;            /* ENTRY_… */
	struct err *refusal;     /* owned; of refused ones */
	size_t len;
	uint8_t data[];          /* the entry as it stands in the log */
};

struct op_slot {
	const struct op_row *row;    /* borrowed */
	void *arg;
};

/* ---- fsm.c ---- */

/* The envelope of a command in the log. */
struct envelope {
	uint32_t op;
	int64_t unix_us;
	uint64_t client, serial;     /* of a client that repeats its commands; 0: it does not */
	struct str payload;
};
#define ENVELOPE_BYTES 29
void envelope_write(const struct envelope *v, uint8_t out[ENVELOPE_BYTES]);       /* the payload follows it */
int envelope_read(struct str data, struct envelope *out, struct err *e);          /* E_MALFORMED, E_NEWER */

struct fsm {
	struct kv *kv;                   /* owned */
	const struct op_slot *ops;       /* borrowed from the store */
	size_t op_count;
	uint64_t index, term;            /* last applied */
	uint64_t config_index;
	struct buf config;               /* members as the library encodes them, as of config_index */
	char cluster_id[64];
};

struct fsm_item {
	struct log_entry entry;
	struct buf reply;                /* what apply wrote; owned by the caller */
	struct err err;                  /* code 0, or the answer of a command that was refused */
};

/* Open the environment in `dir`. tables: NULL-terminated, with &fsm_meta_table among them. */
int fsm_open(struct fsm *f, const char *dir, const struct kv_table *const *tables, struct err *e);
void fsm_close(struct fsm *f);
/*
 * Apply consecutive entries in one transaction. An error means none was applied: E_NOSPACE and E_BUSY may be tried again, others mean
 * that this node cannot follow its log.
 */
int fsm_apply(struct fsm *f, struct fsm_item *items, size_t count, struct err *e);
extern const struct kv_table fsm_meta_table;
extern const struct op_row fsm_ops[1];       /* the store's own commands */

/* ---- raft_snap.c ---- */

/*
 * Make dir/kv trustworthy: as the last clean shutdown left it, else the last checkpoint, else empty. Then open the fsm.
 * From here on the directory counts as unclean.
 */
int snap_boot(struct store *s, struct err *e);
int snap_mark_clean(struct store *s, struct err *e);
struct snap_job;
void snap_turn(struct store *s);             /* begin a checkpoint when the log has grown enough */
void snap_close(struct store *s);            /* waits for a checkpoint under way */

/* ---- raft_io.c ---- */

struct raft_io;
int raft_io_start(struct store *s, struct err *e);   /* log, vote, library; applies what is committed */
void raft_io_turn(struct store *s);                  /* submit and write what was queued */
void raft_io_close(struct store *s);                 /* waits for a write under way */
bool raft_io_leads(const struct store *s);           /* elected, and everything before its term applied */
uint64_t raft_io_term(const struct store *s);
void raft_io_applied(struct store *s, const struct command *c);   /* tells the library of members that were committed */
void raft_io_checkpointed(struct store *s, uint64_t index, uint64_t term);   /* the log up to index may go */
uint64_t raft_io_written(const struct store *s);     /* bytes of log: found at the start, and written since */

/* ---- state.c ---- */

struct store {
	struct loop *loop;                   /* borrowed */
	const struct disk *disk;             /* borrowed */
	char *dir, *address;                 /* owned */
	int lock_fd;
	uint64_t member_id;
	size_t segment_bytes;
	uint64_t checkpoint_bytes;           /* log written since the last checkpoint that calls for the next */

	const struct kv_table **tables;      /* owned array of borrowed rows, NULL-terminated */
	size_t table_count;
	struct op_slot *ops;                 /* owned */
	size_t op_count;

	struct fsm fsm;
	struct raft_io *raft;                /* owned */
	struct snap_job *snap;               /* owned; NULL: no checkpoint under way */
	uint64_t snap_due;                   /* raft_io_written at which the next checkpoint is due */

	struct list queue, pending, refused; /* struct command */
	struct loop_defer refuse, again;
	struct loop_hook hook;
	struct loop_timer retry;             /* of an apply that met a full disk */
	struct propose init;                 /* of OP_META_INIT */
	bool started, leads, init_proposed;
	struct err stopped;                  /* code 0: running; else why it stopped for good */
	struct err full;                     /* code 0: fine; E_NOSPACE, E_BUSY: no new commands until that has passed */
	uint64_t commit;                     /* apply up to here */

	struct store_watch *watches;         /* owned */
	size_t watch_count;
};

struct command *command_new(struct str data, uint8_t type);
void command_free(struct command *c);
/* Unlink, tell who waits, free. */
void command_answer(struct command *c, struct str reply, const struct err *e);
/* Apply pending commands up to s->commit, and answer them. */
void state_apply(struct store *s);
/* No way on: refuse everything from now on; logged once. */
void state_stop(struct store *s, const struct err *e);
void state_refuse_queue(struct store *s, const struct err *e);
