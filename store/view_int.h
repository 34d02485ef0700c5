/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the view. view.c: the file, its rows, change log and staged writes; view_wake.c: who writes, and waking
 * readers across processes; view_sync.c: subscriptions over RPC.
 */
#pragma once

#include "net/base/map.h"
#include "store/view.h"

#define VIEW_TABLES 6                    /* dcos.ViewTable: 1 … 5 */
#define VIEW_LOG_MAX 65536               /* changes kept for those who resume */

/* The one row of the meta table. */
struct view_meta {
	uint64_t term, seq;              /* version of this file */
	uint64_t first;                  /* lowest sequence in the change log */
	uint64_t mark;                   /* rows put since the last new term or snapshot carry it */
	uint64_t id;                     /* random: whose term and seq these are */
	uint64_t up_id, up_term, up_seq; /* the served view and the version of it that this one equals; 0: none */
	uint64_t settled;                /* mark for which what is missing may be taken as gone */
};

struct view_up { uint64_t id; struct view_version version; };

struct view {
	struct loop *loop;               /* borrowed */
	char *dir;                       /* owned */
	struct kv *kv;                   /* owned */
	struct list watches, fresh;      /* view_watch: told before; not yet */
	struct view_version told;
	struct loop_defer tell;

	/* view.c: staged until the end of the turn */
	struct map staged;               /* table byte and key -> owned struct staged */
	uint32_t sweeps;                 /* bit per table */
	bool staged_term, staged_settled;
	uint64_t new_term;
	struct view_up *staged_up;       /* owned; NULL: unchanged */
	struct loop_hook hook;
	struct loop_defer again;
	struct loop_timer retry;

	/* view_wake.c */
	int lock_fd, claim_fd, wake_fd;  /* -1: not held */
	bool wants_lock;
	void (*on_lock)(void *arg);
	void *on_lock_arg;
	int inotify_fd;
	int wake_wd, lock_wd, claim_wd;
	struct loop_fd *inotify;         /* owned */
	struct loop_timer poll;          /* where there is no inotify left, and before a lock is tried again */

	/* view_sync.c: serving */
	struct list subscribers;         /* owned struct subscriber */
	struct loop_timer pump;
	/* view_sync.c: following */
	struct rpc_peer *up;             /* borrowed; NULL: none */
	struct rpc_call call;
	bool calling, all, in_snapshot;
	char *node, *role;               /* owned */
};

extern const struct kv_table *const view_tables[];       /* NULL-terminated; by dcos.ViewTable from 1 on */

int view_meta_read(struct kv_txn *txn, struct view_meta *out, struct err *e);
bool view_table_valid(int64_t table);
/*
 * As view_changes, but fn returns false to stop after a change; *out_now is then the version of that change. A value is NULL
 * when the row is gone by now.
 */
int view_changes_until(struct kv_txn *txn, struct view_version from,
		       bool (*fn)(void *arg, int table, struct str key, struct str value), void *arg,
		       struct view_version *out_now, struct err *e);
/* Rows of a table from key on, without their mark. */
int view_each_from(struct kv_txn *txn, int table, struct str from,
		   bool (*fn)(void *arg, struct str key, struct str value), void *arg, struct err *e);
void view_begin_mark(struct view *v, uint64_t term);     /* rows put from now on are of a new generation */
void view_set_up(struct view *v, struct view_up up);             /* staged with the rest */
void view_drop_staged(struct view *v);
void view_tell(struct view *v);                          /* run watches, soon, if the version has moved */

void view_wake_listen(struct view *v);                   /* hear of other processes' changes and locks */
void view_wake_others(struct view *v);
void view_wake_close(struct view *v);

void view_sync_pump(struct view *v);                     /* after a flush */
void view_sync_locked(struct view *v);                   /* the lock has been gained */
void view_sync_lost(struct view *v);                     /* the lock has been given up */
void view_sync_close(struct view *v);
