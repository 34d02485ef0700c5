/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the quorum: quorum.c decides, quorum_book.c is the replicated table, quorum_link.c the connections,
 * quorum_api.c answers RPC, quorum_join.c lets masters in, quorum_cmd.c is the other end of it all.
 */
#pragma once

#include "net/limits.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "proto/records.pb.h"
#include "roles/join_token.h"
#include "roles/master/quorum.h"

#define MASTER_VERSION_BYTES 64
#define FEATURE_LEVEL 1

/* ---- quorum_book.c: who may take part ---- */

struct master_row {
	char fingerprint[RPC_FINGERPRINT];
	char name[64];
	char ip[64];             /* "": has not come yet */
	uint16_t rpc_port, mesos_port, marathon_port, adminrouter_port;
	uint64_t member_id;      /* 0: has not come yet */
	char version[MASTER_VERSION_BYTES];
	uint32_t feature_level;
	bool leaving;
};

struct book {
	struct master_row rows[LIMIT_MASTERS];
	size_t count;
};

extern const struct kv_table *const book_tables[];
extern const struct op_row book_ops[1];
int book_read(struct kv_txn *txn, struct book *out, struct err *e);
const struct master_row *book_find(const struct book *b, const char *fingerprint);
const struct master_row *book_find_id(const struct book *b, uint64_t member_id);
const struct master_row *book_find_name(const struct book *b, const char *name);
bool book_row_eq(const struct master_row *a, const struct master_row *b);
void book_write_row(const struct master_row *row, struct buf *out);                 /* MastersChange that puts it */
void book_write_removed(const char *fingerprint, struct buf *out);
void book_write_token(const char *digest, int64_t expires_us, struct buf *out);
void book_write_admission(const char *digest, const char *fingerprint, const char *name, struct buf *out);
/* Would this token let that key in? E_DENIED with the reason. */
int book_check_token(struct kv_txn *txn, const char *digest, const char *fingerprint, int64_t unix_us, struct err *e);

/* ---- quorum_link.c: connections ---- */

/* Another master that has said hello, connected now. */
struct link {
	struct list link;
	struct master_row is;        /* as it says itself; `leaving` unused */
	char life[40];
	struct rpc_peer *peer;
	bool dialled;                /* by us, so the connection is ours to close; else the listener's */
};

struct links {
	struct list links, dials;
	struct rpc_handlers handlers;    /* of connections we make */
	uint32_t kept;                   /* hash of the addresses that were written down */
};
void links_init(struct quorum *q);
void links_fini(struct quorum *q);
void links_refresh(struct quorum *q);        /* addresses may have changed: dial what is not connected */
struct link *links_find(struct quorum *q, const char *fingerprint);
struct link *links_find_id(struct quorum *q, uint64_t member_id);
struct link *links_find_peer(struct quorum *q, const struct rpc_peer *p);
void links_closed(struct quorum *q, struct rpc_peer *p);
void links_drop(struct quorum *q, const char *fingerprint);
void links_serve_hello(struct rpc_peer *p, struct rpc_req *req, struct str payload);
void links_serve_frame(struct rpc_peer *p, struct rpc_req *req, struct str payload);
void links_send(void *ctx, uint64_t member, const char *address, struct str frame);
bool links_full(void *ctx, uint64_t member, const char *address);

/* ---- quorum_join.c ---- */

void join_serve(struct rpc_peer *p, struct rpc_req *req, struct str payload);
void join_serve_secrets(struct rpc_peer *p, struct rpc_req *req, struct str payload);
void join_closed(struct quorum *q, struct rpc_peer *p);
void join_fini(struct quorum *q);
void join_offer_first(struct quorum *q);     /* the founder, leading: see to it that there is a token for a second master */

/* ---- quorum_api.c ---- */

void api_serve_members(struct rpc_peer *p, struct rpc_req *req, struct str payload);
void api_serve_remove(struct rpc_peer *p, struct rpc_req *req, struct str payload);
void api_serve_transfer(struct rpc_peer *p, struct rpc_req *req, struct str payload);
void api_serve_token(struct rpc_peer *p, struct rpc_req *req, struct str payload);
/* Removing is done: tell who asked. e->code 0: well. */
void api_removed(struct quorum *q, const struct err *e);
void api_fini(struct quorum *q);

/* ---- quorum_text.c ---- */

void text_members(const dcos_MasterMembers *all, struct buf *out);
void text_members_json(const dcos_MasterMembers *all, struct buf *out);
void text_warnings(const dcos_MasterMembers *all, struct buf *out);      /* a line each; none: nothing is wrong */

/* ---- quorum.c ---- */

/* Left by `master recover`: fingerprints of the masters that were lost, a line each, in <state dir>. */
#define RECOVERED_FILE "recovered"


struct removal {
	struct rpc_req *req;         /* who asked; NULL: nothing under way */
	char fingerprint[RPC_FINGERPRINT];   /* "": a member without a row */
	uint64_t id;                 /* 0: let in, but no member yet */
};

#define COMPLAINTS 32

struct quorum {
	struct master *m;            /* borrowed */
	struct store_net net;
	struct book book;
	bool book_stale;
	int64_t book_us;             /* when it was read */
	struct links links;
	struct list joins;           /* join_op */
	struct list asks;            /* api_op */
	size_t join_count, ask_count;
	struct removal removal;
	struct propose change;       /* of book or members: one at a time */
	bool changing;
	struct loop_timer retry;     /* of a change that did not work */
	struct loop_defer again;
	struct propose token;        /* the founder's offer */
	struct join_token token_new;
	struct { uint32_t hash; int64_t us; } complaints[COMPLAINTS];
	size_t next_complaint;
	bool started, shut_out, recovered;
};

static inline struct quorum *quorum_of(struct rpc_peer *p)
{
	struct master *m = rpc_peer_arg(p);
	return m->quorum;
}
/* What this master says of itself. */
void quorum_self(const struct quorum *q, struct master_row *out);
/* What has changed may need something done, if this master leads. Cheap; later in this turn. */
void quorum_step(struct quorum *q);
const struct book *quorum_book(struct quorum *q);    /* read again when it is stale */
/* The member, or NULL. */
const struct store_member *quorum_member(const struct store_member *all, size_t count, uint64_t id, const char *fingerprint);
/* The leading master: 0 and "this one" in *self, E_NOTLEADER when none is known. */
int quorum_leader(struct quorum *q, struct master_row *out, bool *self, struct err *e);
/* Say so at WARN, but the same about the same one only once a minute. */
void quorum_complain(struct quorum *q, const char *what, const char *who, const char *reason);
