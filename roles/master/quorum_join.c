/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JOIN, of nodes and of masters. A node's is answered from what lies on this master. A master's token is spent in the replicated
 * state first, on the fingerprint of the key that is to be signed, and only then does the certificate leave: an answer that
 * got lost can be asked for again with the same key, and with no other.
 */
#include "roles/master/quorum_int.h"

#include <stdio.h>

#include "net/base/log.h"

#define JOIN_TIMEOUT_US (4 * SEC)
#define JOINS_MAX 16
#define TOKEN_LIFE_US DAY

/* A master being let in. */
struct join_op {
	struct list link;
	struct quorum *q;
	struct rpc_peer *peer;           /* NULL: gone meanwhile */
	struct rpc_req *req;
	struct join_token token;
	char node[64];
	char *cert_pem;
	struct propose propose;
};

static void join_op_free(struct join_op *op)
{
	propose_cancel(&op->propose);
	list_remove(&op->link);
	op->q->join_count--;
	free(op->cert_pem);
	free(op);
}

/* ---- the founder's offer: identity/master-token always holds a token, until that was unused for a day ---- */

static void on_offered(struct propose *p, struct str reply, const struct err *e)
{
	struct quorum *q = container_of(p, struct quorum, token);
	struct err failure = *e;
	(void)reply;
	if (failure.code == 0)
		(void)identity_offer_token(&q->m->node, &q->token_new, &failure);
	if (failure.code != 0) {
		LOG(WARN, "no token for a further master", "reason=%s", failure.text);
		return;
	}
	AUTO_FREE char *path = node_path(&q->m->node, "identity");
	LOG(INFO, "tokens to join with", "nodes=%s/token masters=%s/master-token", path, path);
	if (isatty(STDOUT_FILENO))
		(void)dprintf(STDOUT_FILENO, "To add a master, within a day: put the next line into a file there, and run\n"
			      "  dcos-node master --join FILE %s\n%s\n", q->m->node.ip, q->token_new.text);
}

static void offer(struct quorum *q)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct err e = { 0 };
	if (q->token.command)
		return;
	if (identity_new_master_token(&q->m->node, &q->token_new, &e) != 0) {
		LOG(WARN, "no token for a further master", "reason=%s", e.text);
		return;
	}
	book_write_token(q->token_new.digest, loop_unix_us(q->m->node.loop) + TOKEN_LIFE_US, &b);
	store_propose(q->m->store, rec_Op_OP_MASTERS, buf_view(&b), JOIN_TIMEOUT_US, &q->token, on_offered);
}

void join_offer_first(struct quorum *q)
{
	struct join_token t;
	struct err e;
	struct store_member all[STORE_MEMBERS_MAX];
	if (identity_offered_token(&q->m->node, &t, &e) == E_NOTFOUND && store_members(q->m->store, all) == 1)
		offer(q);
}

static void offer_again(struct quorum *q, const struct join_token *spent)
{
	struct join_token t;
	struct err e;
	if (identity_offered_token(&q->m->node, &t, &e) == 0 && strcmp(t.digest, spent->digest) == 0)
		offer(q);
}

/* ---- letting a master in ---- */

static void on_admitted(struct propose *p, struct str reply, const struct err *e)
{
	struct join_op *op = container_of(p, struct join_op, propose);
	struct quorum *q = op->q;
	dcos_JoinRequest in = { .node = op->node, .has_master = true, .master = true };
	(void)reply;
	if (!op->peer)
		rpc_fail(op->req, e);
	else if (e->code != 0)
		identity_refuse_join(op->req, op->peer, &in, e);
	else
		identity_accept_join(&q->m->node, op->req, op->peer, &in, op->cert_pem);
	if (e->code == 0)
		offer_again(q, &op->token);
	join_op_free(op);
}

/* Only the leader can spend a token: say who that is. */
static void send_to_leader(struct quorum *q, struct rpc_req *req, struct rpc_peer *p, const dcos_JoinRequest *in)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct master_row leader;
	struct err e = { 0 };
	bool self = false;
	int rc = quorum_leader(q, &leader, &self, &e);
	dcos_MasterAddress to = { .ip = leader.ip, .has_rpc_port = true, .rpc_port = leader.rpc_port };
	dcos_JoinReply reply = { .leader = &to };
	if (rc == 0)
		rc = pb_write(dcos_JoinReply_fields, &reply, &out, &e);
	if (rc != 0)
		identity_refuse_join(req, p, in, &e);
	else
		rpc_reply(req, buf_view(&out));
}

static int begin(struct quorum *q, struct join_op *op, struct rpc_peer *p, const dcos_JoinRequest *in, struct err *e)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	uint8_t digest[32];
	char fingerprint[RPC_FINGERPRINT];
	AUTO_BUF struct buf b = BUF_INIT;
	int rc = join_token_read(str_of(in->token ? in->token : ""), JOIN_MASTER, &op->token, e);
	if (rc == 0)
		rc = identity_sign(&q->m->node, p, "master/", in, &op->cert_pem, e);
	if (rc == 0)
		rc = pki_cert_key_sha256(op->cert_pem, digest, e);
	if (rc != 0)
		return rc;
	hex_encode(digest, sizeof(digest), fingerprint);
	rc = store_read(q->m->store, &txn, e);
	if (rc == 0)
		rc = book_check_token(txn, op->token.digest, fingerprint, loop_unix_us(q->m->node.loop), e);
	if (rc != 0)
		return rc;
	(void)str_put(op->node, sizeof(op->node), str_of(in->node));
	book_write_admission(op->token.digest, fingerprint, in->node, &b);
	store_propose(q->m->store, rec_Op_OP_MASTERS, buf_view(&b), JOIN_TIMEOUT_US, &op->propose, on_admitted);
	return 0;
}

static void serve_master(struct quorum *q, struct rpc_req *req, struct rpc_peer *p, const dcos_JoinRequest *in)
{
	struct err e = { 0 };
	if (q->join_count == JOINS_MAX) {
		(void)err_set(&e, E_BUSY, "%d masters are being let in at this moment", JOINS_MAX);
		identity_refuse_join(req, p, in, &e);
		return;
	}
	struct join_op *op = xcalloc(1, sizeof(*op));
	*op = (struct join_op){ .q = q, .peer = p, .req = req };
	list_push(&q->joins, &op->link);
	q->join_count++;
	if (begin(q, op, p, in, &e) == 0)
		return;
	join_op_free(op);
	identity_refuse_join(req, p, in, &e);
}

void join_serve(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct quorum *q = quorum_of(p);
	AUTO_ARENA struct arena a = { .max = 4 * LIMIT_RPC_ANONYMOUS_BYTES };
	dcos_JoinRequest in = { 0 };
	struct err e = { 0 };
	if (!req)
		return;
	if (pb_read(&a, dcos_JoinRequest_fields, payload, &in, &e) != 0)
		identity_refuse_join(req, p, &in, &e);
	else if (!in.master)
		identity_serve_join(&q->m->node, p, req, &in);
	else if (store_leads(q->m->store))
		serve_master(q, req, p, &in);
	else
		send_to_leader(q, req, p, &in);
}

void join_serve_secrets(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct quorum *q = quorum_of(p);
	char name[128], fingerprint[RPC_FINGERPRINT];
	struct err e = { 0 };
	(void)payload;
	if (!req)
		return;
	const struct master_row *row = rpc_peer_fingerprint(p, fingerprint) ? book_find(quorum_book(q), fingerprint) : NULL;
	if (row && !row->leaving && rpc_peer_name(p, name, sizeof(name)) && cstr_starts(name, "master/")) {
		LOG(INFO, "the CA's key goes to a new master", "name=%s key=%s", row->name, fingerprint);
		identity_serve_secrets(&q->m->node, req);
		return;
	}
	(void)err_set(&e, E_DENIED, "the CA's key is only for masters of this cluster");
	rpc_fail(req, &e);
	quorum_peer_refused(p, &e);
}

void join_closed(struct quorum *q, struct rpc_peer *p)
{
	list_each(&q->joins, it) {
		struct join_op *op = list_entry(it, struct join_op, link);
		if (op->peer == p)
			op->peer = NULL;
	}
}

void join_fini(struct quorum *q)
{
	propose_cancel(&q->token);
	list_each_safe(&q->joins, it)
		join_op_free(list_entry(it, struct join_op, link));
}
