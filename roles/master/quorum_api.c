/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RPC methods of the quorum: those between masters stand in quorum_link.c and quorum_join.c, those of `dcos-node master VERB`
 * here. The latter are for whoever has a master's certificate: root on a master's machine.
 */
#include "roles/master/quorum_int.h"

#include <stdio.h>

#include "net/base/log.h"

#define TRANSFER_TIMEOUT_US (5 * SEC)
#define TOKEN_TIMEOUT_US (5 * SEC)
#define TOKEN_LIFE_MIN_US MINUTE
#define TOKEN_LIFE_MAX_US (30 * DAY)
#define ALIVE_US (5 * SEC)           /* heard of within this time: counts as alive */
#define ASKS_MAX 64

/* A request whose answer waits for the store. */
struct api_op {
	struct list link;
	struct quorum *q;
	struct rpc_req *req;
	struct propose propose;
	struct join_token token;
	int64_t expires_us;
};

static void op_free(struct api_op *op)
{
	propose_cancel(&op->propose);
	list_remove(&op->link);
	op->q->ask_count--;
	free(op);
}

/* NULL: refused. */
static struct api_op *op_new(struct quorum *q, struct rpc_req *req)
{
	struct err e = { 0 };
	if (q->ask_count == ASKS_MAX) {
		(void)err_set(&e, E_BUSY, "%d requests wait for the masters already", ASKS_MAX);
		rpc_fail(req, &e);
		return NULL;
	}
	struct api_op *op = xcalloc(1, sizeof(*op));
	*op = (struct api_op){ .q = q, .req = req };
	list_push(&q->asks, &op->link);
	q->ask_count++;
	return op;
}

static void reply_message(struct rpc_req *req, const pb_msgdesc_t *desc, const void *msg)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	if (pb_write(desc, msg, &out, &e) != 0)
		rpc_fail(req, &e);
	else
		rpc_reply(req, buf_view(&out));
}

static int check_master(struct rpc_peer *p, struct err *e)
{
	char name[128];
	if (rpc_peer_name(p, name, sizeof(name)) && cstr_starts(name, "master/"))
		return 0;
	return err_set(e, E_DENIED, "only masters may ask this; run the command as root on a master");
}

/* May this be asked here and now? */
static int check_leads(struct rpc_peer *p, struct err *e)
{
	struct quorum *q = quorum_of(p);
	int rc = check_master(p, e);
	if (rc == 0 && !store_leads(q->m->store))
		rc = err_set(e, E_NOTLEADER, "this master does not lead");
	return rc;
}

/* ---- members ---- */

static void fill_member(struct quorum *q, const struct store_member *m, uint64_t last, struct arena *a, dcos_MasterMember *out)
{
	const struct master_row *row = book_find(quorum_book(q), m->address);
	struct link *l = links_find(q, m->address);
	struct master_row self;
	quorum_self(q, &self);
	const struct master_row *is = m->self ? &self : l ? &l->is : row;
	int64_t now = loop_now_us(q->m->node.loop);
	*out = (dcos_MasterMember){
		.has_id = true, .id = m->id, .fingerprint = arena_strdup(a, m->address), .name = is ? arena_strdup(a, is->name) : NULL,
		.ip = is ? arena_strdup(a, is->ip) : NULL, .version = is ? arena_strdup(a, is->version) : NULL,
		.has_rpc_port = is != NULL, .rpc_port = is ? is->rpc_port : 0, .has_voter = true, .voter = m->voter,
		.has_leads = true, .leads = m->leads, .has_self = true, .self = m->self,
		.has_connected = true, .connected = m->self || l,
		.has_lag = store_leads(q->m->store), .lag = last > m->matched ? (int64_t)(last - m->matched) : 0,
		.has_heard_us = m->heard_us != 0, .heard_us = now - m->heard_us,
	};
}

/* Let in, and not a member yet: says so with id 0. */
static void fill_row(const struct master_row *row, struct quorum *q, struct arena *a, dcos_MasterMember *out)
{
	*out = (dcos_MasterMember){
		.fingerprint = arena_strdup(a, row->fingerprint), .name = arena_strdup(a, row->name), .ip = arena_strdup(a, row->ip),
		.version = arena_strdup(a, row->version), .has_connected = true, .connected = links_find(q, row->fingerprint) != NULL,
	};
}

void api_serve_members(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct quorum *q = quorum_of(p);
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct store_member all[STORE_MEMBERS_MAX];
	struct err e = { 0 };
	(void)payload;
	if (!req)
		return;
	if (check_master(p, &e) != 0) {
		rpc_fail(req, &e);
		return;
	}
	const struct book *b = quorum_book(q);
	size_t count = store_members(q->m->store, all);
	uint64_t last = 0;
	for (size_t i = 0; i < count; i++)
		last = MAX(last, all[i].matched);
	dcos_MasterMembers out = { .has_term = true, .term = store_term(q->m->store), .answered_by = q->m->node.name,
				   .has_leads = true, .leads = store_leads(q->m->store) };
	out.members = arena_array(&a, dcos_MasterMember, count + b->count);
	for (size_t i = 0; i < count; i++)
		fill_member(q, &all[i], last, &a, &out.members[out.members_count++]);
	for (size_t i = 0; i < b->count; i++)
		if (!quorum_member(all, count, 0, b->rows[i].fingerprint))
			fill_row(&b->rows[i], q, &a, &out.members[out.members_count++]);
	reply_message(req, dcos_MasterMembers_fields, &out);
}

/* ---- remove ---- */

/* The master that is meant: by name or member id. */
static int find_target(struct quorum *q, struct str payload, struct master_row *out, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct store_member all[STORE_MEMBERS_MAX];
	dcos_MasterName in = { 0 };
	uint64_t id = 0;
	int rc = pb_read(&a, dcos_MasterName_fields, payload, &in, e);
	if (rc != 0)
		return rc;
	const struct book *b = quorum_book(q);
	const struct master_row *row = in.name ? book_find_name(b, in.name) : NULL;
	size_t count = store_members(q->m->store, all);
	if (in.name)
		(void)str_u64(str_of(in.name), &id);
	const struct store_member *m = quorum_member(all, count, row ? 0 : id, row ? row->fingerprint : NULL);
	if (!row && m)
		row = book_find(b, m->address);
	if (!row && !m)
		return err_set(e, E_NOTFOUND, "there is no master '%s'; `dcos-node master members` lists them",
			       identity_name_ok(in.name) ? in.name : "?");
	*out = row ? *row : (struct master_row){ .name = "?" };
	out->member_id = m ? m->id : 0;
	return 0;
}

/* Is there a majority of living voters afterwards? */
static int check_majority(struct quorum *q, uint64_t without, struct err *e)
{
	struct store_member all[STORE_MEMBERS_MAX];
	size_t count = store_members(q->m->store, all), voters = 0, alive = 0;
	int64_t now = loop_now_us(q->m->node.loop);
	for (size_t i = 0; i < count; i++) {
		if (!all[i].voter || all[i].id == without)
			continue;
		voters++;
		alive += all[i].self || (links_find(q, all[i].address) && all[i].heard_us != 0 && now - all[i].heard_us < ALIVE_US);
	}
	if (alive * 2 > voters)
		return 0;
	return err_set(e, E_INVALID, "without it only %zu of %zu voters would live, which is no majority; bring a dead one back or "
		       "replace it first", alive, voters);
}

static int begin_removal(struct quorum *q, struct rpc_req *req, const struct master_row *t, struct err *e)
{
	struct store_member all[STORE_MEMBERS_MAX];
	size_t count = store_members(q->m->store, all);
	const struct store_member *m = quorum_member(all, count, t->member_id, NULL);
	int rc = 0;
	if (q->removal.req)
		rc = err_set(e, E_BUSY, "another master is being removed; try again in a moment");
	else if (strcmp(t->fingerprint, q->m->node.identity.fingerprint) == 0)
		rc = err_set(e, E_INVALID, "'%s' leads, and the leader does not remove itself; transfer the lead first "
			     "(dcos-node master transfer)", t->name);
	else if (m && m->voter)
		rc = check_majority(q, m->id, e);
	if (rc != 0)
		return rc;
	q->removal = (struct removal){ .req = req, .id = t->member_id };
	(void)str_put(q->removal.fingerprint, sizeof(q->removal.fingerprint), str_of(t->fingerprint));
	quorum_step(q);
	return 0;
}

void api_serve_remove(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct quorum *q = quorum_of(p);
	struct master_row target;
	struct err e = { 0 };
	if (!req)
		return;
	int rc = check_leads(p, &e);
	if (rc == 0)
		rc = find_target(q, payload, &target, &e);
	if (rc == 0)
		rc = begin_removal(q, req, &target, &e);
	if (rc != 0)
		rpc_fail(req, &e);
}

void api_removed(struct quorum *q, const struct err *e)
{
	struct rpc_req *req = q->removal.req;
	q->removal = (struct removal){ .req = NULL };
	if (req && e->code == 0)
		rpc_reply(req, STR(""));
	else if (req)
		rpc_fail(req, e);
}

/* ---- transfer ---- */

static void on_transferred(struct propose *p, struct str reply, const struct err *e)
{
	struct api_op *op = container_of(p, struct api_op, propose);
	struct master_row leader;
	struct err ignored;
	bool self;
	(void)reply;
	if (e->code != 0) {
		rpc_fail(op->req, e);
	} else {
		(void)quorum_leader(op->q, &leader, &self, &ignored);      /* not known yet: answered without a name */
		reply_message(op->req, dcos_MasterName_fields, &(dcos_MasterName){ .name = leader.name });
	}
	op_free(op);
}

void api_serve_transfer(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct quorum *q = quorum_of(p);
	struct master_row target = { .member_id = 0 };
	struct err e = { 0 };
	if (!req)
		return;
	int rc = check_leads(p, &e);
	if (rc == 0 && payload.len > 0)
		rc = find_target(q, payload, &target, &e);
	if (rc == 0 && payload.len > 0 && target.member_id == store_member_id(q->m->store))
		rc = err_set(&e, E_CONFLICT, "'%s' leads already", target.name);
	struct api_op *op = rc == 0 ? op_new(q, req) : NULL;
	if (rc != 0)
		rpc_fail(req, &e);
	else if (op)
		store_transfer(q->m->store, target.member_id, TRANSFER_TIMEOUT_US, &op->propose, on_transferred);
}

/* ---- token ---- */

static void on_token(struct propose *p, struct str reply, const struct err *e)
{
	struct api_op *op = container_of(p, struct api_op, propose);
	(void)reply;
	if (e->code != 0)
		rpc_fail(op->req, e);
	else
		reply_message(op->req, dcos_MasterTokenReply_fields,
			      &(dcos_MasterTokenReply){ .token = op->token.text, .has_expires_unix_us = true,
							.expires_unix_us = op->expires_us });
	op_free(op);
}

static int begin_token(struct api_op *op, struct str payload, struct err *e)
{
	struct quorum *q = op->q;
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf b = BUF_INIT;
	dcos_MasterTokenRequest in = { 0 };
	int rc = pb_read(&a, dcos_MasterTokenRequest_fields, payload, &in, e);
	if (rc == 0 && (in.expires_us < TOKEN_LIFE_MIN_US || in.expires_us > TOKEN_LIFE_MAX_US))
		rc = err_set(e, E_INVALID, "a token for a master lives between a minute and 30 days");
	if (rc == 0)
		rc = identity_new_master_token(&q->m->node, &op->token, e);
	if (rc != 0)
		return rc;
	op->expires_us = loop_unix_us(q->m->node.loop) + in.expires_us;
	book_write_token(op->token.digest, op->expires_us, &b);
	store_propose(q->m->store, rec_Op_OP_MASTERS, buf_view(&b), TOKEN_TIMEOUT_US, &op->propose, on_token);
	return 0;
}

void api_serve_token(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct quorum *q = quorum_of(p);
	struct err e = { 0 };
	if (!req)
		return;
	if (check_leads(p, &e) != 0) {
		rpc_fail(req, &e);
		return;
	}
	struct api_op *op = op_new(q, req);
	if (op && begin_token(op, payload, &e) != 0) {
		rpc_fail(req, &e);
		op_free(op);
	}
}

void api_fini(struct quorum *q)
{
	list_each_safe(&q->asks, it)
		op_free(list_entry(it, struct api_op, link));
}

const struct rpc_method quorum_rpc_methods[] = {
	{ dcos_Method_JOIN,            "join",            join_serve,         true },
	{ dcos_Method_MASTER_HELLO,    "master-hello",    links_serve_hello,  false },
	{ dcos_Method_MASTER_FRAME,    "master-frame",    links_serve_frame,  false },
	{ dcos_Method_MASTER_SECRETS,  "master-secrets",  join_serve_secrets, false },
	{ dcos_Method_MASTER_MEMBERS,  "master-members",  api_serve_members,  false },
	{ dcos_Method_MASTER_REMOVE,   "master-remove",   api_serve_remove,   false },
	{ dcos_Method_MASTER_TRANSFER, "master-transfer", api_serve_transfer, false },
	{ dcos_Method_MASTER_TOKEN,    "master-token",    api_serve_token,    false },
};
const size_t quorum_rpc_method_count = ARRAY_LEN(quorum_rpc_methods);
