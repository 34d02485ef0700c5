/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replicated state: commands are proposed to Raft, logged with one fdatasync a batch on a majority of the members, applied in one
 * LMDB transaction together with their index, then answered. Subsystems register the rows of their commands and tables before
 * store_start. Everything runs on the loop's thread.
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

/*
 * Frames between members. The store's frames name members by id; which connection leads to whom is the owner's business.
 * Losing, delaying, doubling and reordering frames costs time and nothing else.
 */
struct store_net {
	void *ctx;
	/* address: the member's key fingerprint. frame is borrowed. Called on the loop, often several times a turn. */
	void (*send)(void *ctx, uint64_t member, const char *address, struct str frame);
	/* So much is unsent that what can wait should; may be NULL. */
	bool (*full)(void *ctx, uint64_t member, const char *address);
};

struct store_config {
	const char *dir;         /* log, snapshots and LMDB live below */
	uint64_t member_id;      /* 0: as the directory says; drawn when it is made */
	const char *address;     /* member's key fingerprint, hex; members are known by it, network addresses live outside */
	bool join;               /* an empty directory waits for a leader that adds it, instead of founding a cluster */
	const struct store_net *net; /* borrowed; NULL: this member stays alone */
	void (*trace)(void *ctx, const char *line);  /* what consensus does, a line a step; NULL: DEBUG log */
	void *trace_ctx;
	const struct disk *disk; /* of log, vote and checkpoints; NULL: the real one */
	size_t segment_bytes;    /* of the log; 0: 8 MiB */
	uint64_t checkpoint_bytes;   /* a checkpoint is due after so much log; 0: 64 MiB */
	unsigned trailing;           /* entries kept behind a checkpoint for members that lag; 0: 8192 */
	unsigned election_ms, heartbeat_ms;  /* 0: 1000 and 100 */
};

/*
 * Open and lock the directory (made when missing), check the format. E_BUSY: another process has it. E_NEWER, E_CORRUPT,
 * E_NOSPACE.
 */
int store_open(struct loop *l, const struct store_config *c, struct store **out, struct err *e);
void store_register(struct store *s, const struct kv_table *const *tables, const struct op_row *ops, size_t op_count, void *arg);
/*
 * Replay and begin. With one voter it leads at once (within one turn or two). After an error only store_close. E_CORRUPT: what is
 * on disk cannot be trusted; a member of several is wiped and joins again (store_forget), a single one needs a backup.
 */
int store_start(struct store *s, struct err *e);
/* NULL ok. Waits for writes under way; what was proposed and not answered is forgotten, its done never runs. */
void store_close(struct store *s);

bool store_leads(const struct store *s);             /* leader and everything before its term applied */
uint64_t store_term(const struct store *s);
uint64_t store_applied(const struct store *s);       /* index */
const char *store_cluster_id(struct store *s);       /* "" before the first leader wrote it */
/* Commands above this level are E_UNSUPPORTED; the lowest level of all members' versions. At first: this build's own. */
void store_feature_level(struct store *s, uint32_t lowest);
uint64_t store_member_id(const struct store *s);
uint64_t store_leader(const struct store *s);        /* member that leads as far as we know; 0: none */
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
/*
 * As store_propose, exactly once: a client (a random number of its own) counts its commands up and may send one again, here or to
 * a later leader, until it is answered; a repeated one gets the first one's answer. One command of a client is under way at a
 * time. E_CONFLICT: a later command of this client was done already.
 */
void store_propose_once(struct store *s, uint32_t op, struct str payload, uint64_t client, uint64_t serial, int64_t timeout_us,
			struct propose *p, void (*done)(struct propose *p, struct str reply, const struct err *e));
/* As store_propose for commands nobody waits for; a failure is logged. */
void store_propose_forget(struct store *s, uint32_t op, struct str payload);

/* Snapshot of applied state, which on a follower may lag; end with kv_abort. */
int store_read(struct store *s, struct kv_txn **out, struct err *e);
/* Called after each applied batch (once a turn), on the loop. */
void store_on_applied(struct store *s, void (*fn)(void *arg, uint64_t index), void *arg);

/*
 * Linearizable reading (Raft dissertation 6.4, read index): when done runs with e->code 0, store_read shows every change that was
 * acknowledged to anybody before the call. On any member; followers ask the leader. E_NOTLEADER: no leader is known or it lost its
 * lead; E_TIMEOUT. done never runs inside the call.
 */
struct store_fresh {
	struct list link;
	struct loop_timer timer;
	struct store *store;         /* NULL: answered */
	uint64_t index, round;
	void (*done)(struct store_fresh *f, const struct err *e);
};
void store_freshen(struct store *s, int64_t timeout_us, struct store_fresh *f,
		   void (*done)(struct store_fresh *f, const struct err *e));
void store_fresh_cancel(struct store_fresh *f);

/* ---- members ---- */

/*
 * A frame that came in from the member whose certificate has this key fingerprint. An error means that the sender is not one of
 * us, or that its bytes are wrong: nothing was done with them; say so in the log and close the connection. E_MALFORMED, E_DENIED.
 */
int store_receive(struct store *s, const char *address, struct str bytes, struct err *e);
/* The connection to this member broke: when it led, an election need not wait for a timeout. */
void store_peer_lost(struct store *s, const char *address);

struct store_member {
	uint64_t id;
	char address[80];        /* key fingerprint */
	bool voter;              /* false: a learner, promoted as soon as it has caught up and the voters' number stays odd */
	bool leads, self;
	uint64_t matched;        /* index it has on disk; on the leader only */
	int64_t heard_us;        /* loop time of its last frame; 0: never */
};
#define STORE_MEMBERS_MAX 15
/* As the latest configuration says. Returns how many. */
size_t store_members(const struct store *s, struct store_member out[STORE_MEMBERS_MAX]);
void store_on_members(struct store *s, void (*fn)(void *arg), void *arg);    /* configuration or leader changed */

/*
 * On the leader; one change at a time (E_BUSY). Adding takes a member as learner; one with the same address under another id is
 * its former self and removed first. The leader does not remove itself: E_INVALID, transfer first.
 */
void store_member_add(struct store *s, uint64_t id, const char *address, int64_t timeout_us, struct propose *p,
		      void (*done)(struct propose *p, struct str reply, const struct err *e));
void store_member_remove(struct store *s, uint64_t id, int64_t timeout_us, struct propose *p,
			 void (*done)(struct propose *p, struct str reply, const struct err *e));
/* Hand the lead to a voter; 0: to the one that has most. done when another leads. E_NOTLEADER, E_NOTFOUND, E_TIMEOUT. */
void store_transfer(struct store *s, uint64_t id, int64_t timeout_us, struct propose *p,
		    void (*done)(struct propose *p, struct str reply, const struct err *e));

/* ---- without a running store: the directory is locked meanwhile (E_BUSY). tables: all that subsystems register ---- */

struct store_facts {
	uint64_t member_id, last_index, last_term, term;
	char cluster_id[64];
	struct store_member members[STORE_MEMBERS_MAX];
	size_t member_count;
};
int store_inspect(struct loop *l, const char *dir, const struct kv_table *const *tables, struct store_facts *out, struct err *e);
/*
 * The quorum is lost for ever: make this member the only voter, with all that its log holds, in a new term. What the lost members
 * had acknowledged beyond out->last_index is gone.
 */
int store_recover(struct loop *l, const char *dir, const char *address, const struct kv_table *const *tables,
		  struct store_facts *out, struct err *e);
/* Move everything aside into dir/damaged-<unix seconds>, so that the member can join again under a new id. The store is closed. */
int store_forget(const char *dir, struct err *e);

/*
 * One step back: the only master's directory as the version before reads it. It was stopped in order. E_INVALID says what is in
 * the way; E_CONFLICT: it is of the format before already.
 */
int store_downgrade(struct loop *l, const char *dir, struct err *e);

/* ---- the whole of it ---- */

struct dump_head;
struct dump_source;
/* The state as it is applied here. Blocks; from a worker, while the store is open. As dump_write. */
int store_dump(struct store *s, int (*write)(void *arg, const void *data, size_t len, struct err *e), void *arg,
	       struct dump_head *out, struct err *e);
/*
 * Make `dir`, which must not exist, the state directory of a cluster with one voter, known by `address`, whose log begins behind
 * the dump. On an error the directory is as far as it came: remove it. E_CONFLICT, E_CORRUPT, E_NEWER, E_NOSPACE.
 */
int store_restore(const char *dir, const struct dump_source *from, const char *address, struct dump_head *out, struct err *e);

/* ---- feed: changes of tables that are marked `feed`, by log index ---- */

/*
 * Changes after index `after`, in order; value.p NULL: removed, else the value as it is now. fn returns false to stop.
 * *reached: pass it as `after` next time. E_NOTFOUND: older than what is kept (FEED_ENTRIES commands); read the table instead.
 */
#define FEED_ENTRIES 65536
struct feed_change {
	uint64_t index;
	struct str table, key, value;
};
int store_feed(struct kv_txn *txn, uint64_t after, bool (*fn)(void *arg, const struct feed_change *c), void *arg,
	       uint64_t *reached, struct err *e);
