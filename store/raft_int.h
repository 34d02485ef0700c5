/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files that drive the Raft library, a core without I/O: raft_step(event) says what to do, we do it and report back.
 *
 *   raft_io.c       steps, and what an update asks for: vote, entries, messages, commit index, timer
 *   raft_jobs.c     the log's writes and reads, in order, on a worker
 *   raft_net.c      frames out and in
 *   raft_members.c  members added, promoted, removed; the lead handed over
 *   raft_fresh.c    linearizable reads
 *   snap_net.c      snapshots sent and taken in
 */
#pragma once

#include <pthread.h>
#include <raft.h>

#include "net/limits.h"
#include "proto/raft.pb.h"
#include "store/raft_wire.h"
#include "store/state_int.h"

enum job_kind {
	JOB_APPEND,              /* entries */
	JOB_TRUNCATE,            /* from `index` on */
	JOB_PREPARE,             /* room for what waits */
	JOB_READ,                /* records from `index` on, up to `upto` or `bytes` */
	JOB_INSTALL,             /* the snapshot that was taken in becomes the state, the log begins anew behind it */
};

struct log_job {
	struct list link;
	enum job_kind kind;
	struct command **entries;        /* owned, each a reference */
	size_t count, bytes;
	uint64_t index, upto;
	uint64_t report;                 /* APPEND: last index the library still waits for; 0: none of it */
	struct buf out;                  /* READ */
	raft_Frame *frame;               /* READ: owned; the message these records are for. NULL: to be applied */
	int rc;                          /* of READ and INSTALL, which fail alone */
	struct err err;
};

/* A worker's turn at the log. Owned by raft_io until it is done, by itself after raft_io_close. */
struct log_run {
	struct work work;
	struct raft_io *io;              /* borrowed; NULL: closed meanwhile */
	struct raft_log *log;            /* borrowed */
	struct list jobs;                /* of one kind; one job unless they are appends */
	uint64_t cut;                    /* remove what lies before and at this index; 0: nothing */
	int rc;
	struct err err, cut_err;
	pthread_mutex_t lock;            /* guards finished */
	pthread_cond_t changed;
	bool finished;
};

struct peer {
	uint64_t id;
	int64_t heard_us;
	uint64_t round;                  /* last one it confirmed, of this term */
};

struct member_change {
	struct list link;
	bool remove;
	uint64_t id;
	char address[80];
	struct command *command;         /* whose proposer waits; owned */
	uint64_t index;                  /* of the configuration it waits for; 0: not submitted */
};

struct fresh_ask;
struct snap_send;
struct snap_take;

struct raft_io {
	struct store *store;             /* borrowed */
	struct raft raft;
	struct raft_tracer tracer;
	struct raft_log *log;            /* owned; the run's while there is one */
	struct raft_vote vote;
	struct list jobs;                /* struct log_job, in order */
	struct log_run *run;             /* owned; NULL: none under way */
	size_t room, claimed;            /* bytes that surely fit into the log; of appends not finished */
	struct loop_timer timeout, retry;
	int64_t skip_ms;                 /* added to the time the library is told */
	raft_time asked_ms, ask_again_ms;    /* library's time: a candidate's last round, and its next */
	uint64_t persisted;              /* index of the last entry on disk */
	bool barrier_due;                /* leads, and no entry of its term says so */
	uint64_t lead_from;              /* applied index at which a new leader has caught up */
	uint64_t cut;                    /* for the next run */
	uint64_t written;                /* bytes of log: found at the start, and written since */
	uint64_t snapshot_index;         /* of the snapshot the library knows of */
	bool bootstrapped;               /* by this start: its term has had no leader */
	bool initialised;                /* raft_close has to be called */
	bool reading;                    /* a READ for applying is under way */
	uint64_t told_leader;            /* what watchers of the members were told */
	uint64_t told_config;

	struct peer peers[LIMIT_QUORUM_MEMBERS];
	size_t peer_count;
	struct loop_timer lost;          /* the leader's connection broke: time for an election */

	/* raft_members.c */
	struct list changes;             /* struct member_change, in order */
	struct command *transfer;        /* whose proposer waits for another leader; owned; NULL: none */
	bool transferring;

	/* raft_fresh.c */
	struct list fresh;               /* struct store_fresh */
	struct list asks;                /* struct fresh_ask: followers that wait for our answer */
	uint64_t round;                  /* leader: last one begun. follower: last question sent */
	bool round_open;
	struct loop_timer round_timer;

	/* snap_net.c */
	struct list sends;               /* struct snap_send */
	struct snap_take *take;          /* owned; NULL: none coming in */
	bool installing, install_begun;
	struct raft_configuration install_config;        /* owned while installing */
	struct loop_timer snap_timer;
};

/* ---- raft_io.c ---- */

/* cmds: the entries the event brings, which the library may want written; first: index of cmds[0]. NULL: none. 1: it wants some. */
int raft_io_step(struct raft_io *io, struct raft_event *event, struct command **cmds, uint64_t first);
int raft_io_failed(struct raft_io *io, int rc, const char *what, struct err *e);
int raft_io_decode_config(struct str bytes, struct raft_configuration *out, struct err *e);
/* Submit one entry right now; on the leader, with room in the log. The caller's reference stays the caller's. */
void raft_io_submit(struct raft_io *io, struct command *c);
void raft_io_commit(struct raft_io *io);                     /* apply as far as committed and persisted */
bool raft_io_room(struct raft_io *io, size_t bytes);         /* surely fits; if not, room is being made */
static inline bool raft_io_is_leader(const struct raft_io *io) { return io->raft.state == RAFT_LEADER; }

/* ---- raft_jobs.c ---- */

struct log_job *job_new(struct raft_io *io, enum job_kind kind);     /* queued; fill it in before the loop's turn ends */
void jobs_go(struct raft_io *io);                    /* start the next run when none is under way */
void jobs_close(struct raft_io *io);
void jobs_clamp(struct raft_io *io, uint64_t index); /* entries from `index` on are no longer waited for */

/* ---- raft_net.c ---- */

void net_send(struct raft_io *io, raft_Frame *f);    /* fills in from and the cluster */
void net_send_to(struct raft_io *io, raft_Frame *f, const char *address);    /* also to one that is not a member as far as we know */
void net_send_messages(struct raft_io *io, const struct raft_message *messages, unsigned count);
void net_records_read(struct raft_io *io, struct log_job *job);      /* records of a message that was not in the window */
struct peer *net_peer(struct raft_io *io, uint64_t id);      /* NULL: no room for more */
const char *net_address(const struct raft_io *io, uint64_t id);      /* NULL: not a member */

/* ---- raft_members.c ---- */

void members_turn(struct raft_io *io);
void members_close(struct raft_io *io);

/* ---- raft_fresh.c ---- */

void fresh_turn(struct raft_io *io);
void fresh_receive(struct raft_io *io, const raft_Frame *f);
void fresh_changed(struct raft_io *io);              /* another state of the library: nothing asked before counts */
void fresh_applied(struct raft_io *io);
void fresh_close(struct raft_io *io);

/* ---- snap_net.c ---- */

void snap_send_start(struct raft_io *io, uint64_t member, uint64_t at_least);
void snap_send_got(struct raft_io *io, const raft_Frame *f);
void snap_take_chunk(struct raft_io *io, const raft_Frame *f, const char *address);
/* The library wants the snapshot taken in to become the state. */
void snap_install(struct raft_io *io, const struct raft_snapshot_metadata *m);
int snap_install_run(struct raft_io *io, struct raft_log *log, struct err *e);       /* on the worker */
void snap_install_done(struct raft_io *io, const struct log_job *job);
void snap_net_turn(struct raft_io *io);
void snap_net_close(struct raft_io *io);
