/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the replicated state. state.c is the outside: commands come in, answers go out. raft_*.c drive the Raft
 * library (store/raft_int.h); snap*.c make, send, take in and find checkpoints; fsm.c applies what was committed.
 *
 * A command is queued -> (submitted to Raft: in the window, its log write and its copies to others under way) -> committed ->
 * applied and answered. On followers the entries come from the leader and nobody waits for them.
 */
#pragma once

#include "store/disk.h"
#include "store/raft_log.h"
#include "store/state.h"
#include "store/window.h"

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

/* What the meta table says. */
struct fsm_meta {
	uint32_t format;
	uint64_t index, term;            /* last applied */
	uint64_t config_index;
	struct buf config;               /* members as the library encodes them, as of config_index */
	char cluster_id[64];
};

struct fsm {
	struct kv *kv;                   /* owned */
	const struct op_slot *ops;       /* borrowed from the store */
	size_t op_count;
	struct fsm_meta meta;
};

struct fsm_item {
	struct log_entry entry;
	struct buf reply;                /* what apply wrote; owned by the caller */
	struct err err;                  /* code 0, or the answer of a command that was refused */
};

#define STATE_FORMAT 2                   /* of what stands in the tables */
#define STATE_DIR_FORMAT 2               /* of what files stand in the directory, and what they are called */
#define CONFIG_MAX ((size_t)(64 * KIB))

/* Open the environment in `dir`. tables: NULL-terminated, with the fsm's own among them. */
int fsm_open(struct fsm *f, const char *dir, const struct kv_table *const *tables, struct err *e);
void fsm_close(struct fsm *f);
/* What txn sees; config has to be initialised. */
int fsm_read_meta(struct kv_txn *txn, struct fsm_meta *out, struct err *e);
/* After the tables were replaced as a whole; brings an older format up. */
int fsm_reload(struct fsm *f, struct err *e);
/*
 * Apply consecutive entries in one transaction. An error means none was applied: E_NOSPACE and E_BUSY may be tried again, others mean
 * that this node cannot follow its log.
 */
int fsm_apply(struct fsm *f, struct fsm_item *items, size_t count, struct err *e);
extern const struct kv_table *const fsm_tables[];    /* NULL-terminated */
/* These are the members from now on. */
int fsm_put_format(struct kv_txn *txn, uint32_t format, struct err *e);
int fsm_put_config(struct kv_txn *txn, const struct log_entry *entry, struct err *e);
extern const struct op_row fsm_ops[1];       /* the store's own commands */

/* ---- once.c: commands of clients that may send them again ---- */

extern const struct kv_table once_table, once_age_table;
/*
 * Was this command done before? E_NOTFOUND: no. 0: *reply and *answer are what was said then. ONCE_LATER: a later one was, which
 * *answer says.
 */
#define ONCE_LATER 2
int once_find(struct kv_txn *txn, const struct envelope *v, struct buf *reply, struct err *answer, struct err *e);
/* Remember the answer (answer->code 0: it was done); forgets the client that was silent longest when there are too many. */
int once_note(struct kv_txn *txn, const struct envelope *v, uint64_t index, struct str reply, const struct err *answer,
	      struct err *e);

/* ---- feed.c ---- */

extern const struct kv_table feed_table;
int feed_trim(struct kv_txn *txn, uint64_t index, struct err *e);    /* after a command that may have added rows */

/* ---- snap.c: checkpoints ---- */

/*
 * Make dir/kv trustworthy: as the last clean shutdown left it, else the last checkpoint, else empty. Then open the fsm.
 * From here on the directory counts as unclean.
 */
int snap_boot(struct store *s, struct err *e);
int snap_mark_clean(struct store *s, struct err *e);
/* A checkpoint of what kv holds, in dir; blocks, any thread. head->config becomes the caller's. */
struct snap_head;
int snap_write(const struct disk *d, struct kv *kv, const struct kv_table *const *tables, const char *dir, struct snap_head *head,
	       struct err *e);
struct snap_job;
void snap_turn(struct store *s);             /* begin a checkpoint when the log has grown enough */
void snap_close(struct store *s);            /* waits for a checkpoint under way */

/* The head of a checkpoint's file; a dump follows it. */
struct snap_head {
	uint64_t index, term, config_index;
	bool installed;                      /* came from another member: the log may have to go */
	struct buf config;
};
#define SNAP_HEAD_MAX (CONFIG_MAX + 128)
int snap_head_read(const struct disk *d, int fd, const char *path, struct snap_head *out, size_t *bytes, struct err *e);
int snap_head_mark_installed(const struct disk *d, int fd, const char *path, struct err *e);
/* The dump behind the head, as a source. */
struct snap_file {
	const struct disk *disk;             /* borrowed */
	int fd;
	const char *path;                    /* borrowed, for sentences */
	off_t at, begin;
};
int snap_file_rewind(void *file, struct err *e);
ssize_t snap_file_read(void *file, void *out, size_t len, struct err *e);

/* ---- raft_io.c; the rest of it in store/raft_int.h ---- */

struct raft_io;
int raft_io_start(struct store *s, struct err *e);   /* log, vote, library; applies what is committed */
void raft_io_turn(struct store *s);                  /* submit what was queued, begin what is due */
void raft_io_close(struct store *s);                 /* waits for a write under way */
/* A configuration of one voter, as it stands in the log. */
int raft_io_one_voter(uint64_t id, const char *address, struct buf *out, struct err *e);
bool raft_io_leads(const struct store *s);           /* elected, and everything before its term applied */
uint64_t raft_io_term(const struct store *s);
uint64_t raft_io_written(const struct store *s);     /* bytes of log: found at the start, and written since */
void raft_io_read(struct store *s, uint64_t from, uint64_t upto);    /* from the log, for state_apply_records */
void raft_io_told(struct store *s);                  /* watchers know of what was applied: reads that waited may be answered */
void raft_io_applied(struct store *s, uint64_t index, uint8_t type);         /* tells the library of members that were committed */
bool raft_io_installing(const struct store *s);      /* a snapshot is becoming the state: nothing is applied, no checkpoint begun */
void raft_io_checkpointed(struct store *s, const struct snap_head *head);    /* the log up to it may go, but for the trailing part */

/* ---- state.c ---- */

struct store {
	struct loop *loop;                   /* borrowed */
	const struct disk *disk;             /* borrowed */
	char *dir, *address;                 /* owned */
	int lock_fd;
	unsigned dir_format;                 /* as it was found */
	uint64_t member_id;
	bool join;
	const struct store_net *net;         /* borrowed; NULL: alone */
	void (*trace)(void *ctx, const char *line);
	void *trace_ctx;
	size_t segment_bytes;
	uint64_t checkpoint_bytes;           /* log written since the last checkpoint that calls for the next */
	unsigned trailing;
	unsigned election_ms, heartbeat_ms;
	uint32_t feature_level;              /* the lowest of all members */

	const struct kv_table **tables;      /* owned array of borrowed rows, NULL-terminated */
	size_t table_count;
	struct op_slot *ops;                 /* owned */
	size_t op_count;

	struct fsm fsm;
	struct raft_io *raft;                /* owned */
	struct snap_job *snap;               /* owned; NULL: no checkpoint under way */
	uint64_t snap_due;                   /* raft_io_written at which the next checkpoint is due */
	uint64_t snap_index;                 /* of the checkpoint on disk; 0: none */
	uint64_t snap_installed;             /* the same, when it came from another member */
	bool snap_wanted;                    /* a member needs one */

	struct list queue, refused;          /* struct command */
	struct window window;                /* what was submitted or received; not applied from fsm.meta.index + 1 on */
	struct loop_defer refuse, again;
	struct loop_hook hook;
	struct loop_timer retry;             /* of an apply that met a full disk */
	struct propose init;                 /* of OP_META_INIT */
	bool started, leads, init_proposed, applying;
	struct err stopped;                  /* code 0: running; else why it stopped for good */
	struct err full;                     /* code 0: fine; E_NOSPACE, E_BUSY: no new commands until that has passed */
	uint64_t commit;                     /* apply up to here */
	int64_t room, room_us;               /* on the disk, as of this turn of the loop */

	struct store_watch *watches;         /* owned */
	size_t watch_count;
};

/* Take its proposer off, tell it, let go of the caller's reference. */
void command_answer(struct command *c, struct str reply, const struct err *e);
/* As command_answer with an error, later in this turn. Takes over the reference of a command that stands in no window. */
void state_refuse(struct store *s, struct command *c, const struct err *e);
/* Its proposer, if any, is told later in this turn that the outcome is unknown; the command stays where it is. */
void state_unknown(struct store *s, struct command *c, const char *why);
/* Apply what is committed and in the window, or ask for it to be read, and answer. */
void state_apply(struct store *s);
/* Apply these records from the log; they begin right after what was applied. */
void state_apply_records(struct store *s, struct str records);
int state_write_member_id(const struct disk *d, const char *dir, uint64_t id, struct err *e);
int state_write_format(const struct disk *d, const char *dir, unsigned format, struct err *e);       /* the first file of a state directory */
/* No way on: refuse everything from now on; logged once. */
void state_stop(struct store *s, const struct err *e);
void state_refuse_queue(struct store *s, const struct err *e);
void state_tell_members(struct store *s);
void state_tell_applied(struct store *s);
void state_come_again(struct store *s);      /* another turn is wanted, before the loop sleeps */
/* p waits for c to be answered, or for its time. */
void state_await(struct store *s, struct command *c, int64_t timeout_us, struct propose *p,
		 void (*done)(struct propose *p, struct str reply, const struct err *e));
