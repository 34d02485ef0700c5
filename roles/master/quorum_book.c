/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replicated address book: table "masters" has a row for each key that may take part, with where it was last; the table
 * "master_tokens" the digests of tokens that make one more. A row comes with a token and goes with `master remove`; what lies
 * between are updates by the leader, who hears them from the master itself.
 */
#include "roles/master/quorum_int.h"

static const struct kv_table masters_table = { "masters", 1, false };
static const struct kv_table tokens_table = { "master_tokens", 1, false };
const struct kv_table *const book_tables[] = { &masters_table, &tokens_table, NULL };

static bool fingerprint_ok(const char *text)
{
	uint8_t digest[32];
	return text && hex_decode(text, digest, sizeof(digest));
}

/* ---- rows ---- */

static bool port_put(uint16_t *out, uint32_t port)
{
	*out = (uint16_t)port;
	return port <= UINT16_MAX;
}

static bool row_of(const rec_Master *m, struct master_row *out)
{
	*out = (struct master_row){ .member_id = m->member_id, .feature_level = m->feature_level, .leaving = m->leaving };
	return fingerprint_ok(m->fingerprint) && str_put(out->fingerprint, sizeof(out->fingerprint), str_of(m->fingerprint)) &&
	       identity_name_ok(m->name) && str_put(out->name, sizeof(out->name), str_of(m->name)) &&
	       str_put(out->ip, sizeof(out->ip), str_of(m->ip)) && port_put(&out->rpc_port, m->rpc_port) &&
	       port_put(&out->mesos_port, m->mesos_port) && port_put(&out->marathon_port, m->marathon_port) &&
	       port_put(&out->adminrouter_port, m->adminrouter_port) &&
	       str_put(out->version, sizeof(out->version), str_of(m->version));
}

static rec_Master master_of(const struct master_row *r)
{
	return (rec_Master){
		.fingerprint = (char *)r->fingerprint, .name = (char *)r->name, .ip = r->ip[0] ? (char *)r->ip : NULL,
		.has_rpc_port = true, .rpc_port = r->rpc_port, .has_mesos_port = true, .mesos_port = r->mesos_port,
		.has_marathon_port = true, .marathon_port = r->marathon_port,
		.has_adminrouter_port = true, .adminrouter_port = r->adminrouter_port,
		.has_member_id = r->member_id != 0, .member_id = r->member_id, .version = r->version[0] ? (char *)r->version : NULL,
		.has_feature_level = true, .feature_level = r->feature_level, .has_leaving = r->leaving, .leaving = r->leaving,
	};
}

bool book_row_eq(const struct master_row *a, const struct master_row *b)
{
	rec_Master x = master_of(a), y = master_of(b);
	return pb_equal(rec_Master_fields, &x, &y);
}

const struct master_row *book_find(const struct book *b, const char *fingerprint)
{
	for (size_t i = 0; i < b->count; i++)
		if (strcmp(b->rows[i].fingerprint, fingerprint) == 0)
			return &b->rows[i];
	return NULL;
}

const struct master_row *book_find_id(const struct book *b, uint64_t member_id)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->rows[i].member_id == member_id && member_id != 0)
			return &b->rows[i];
	return NULL;
}

const struct master_row *book_find_name(const struct book *b, const char *name)
{
	for (size_t i = 0; i < b->count; i++)
		if (strcmp(b->rows[i].name, name) == 0)
			return &b->rows[i];
	return NULL;
}

static bool add_row(void *arg, struct str key, struct str value)
{
	struct book *b = arg;
	AUTO_ARENA struct arena a = ARENA_INIT;
	rec_Master m;
	(void)key;
	if (pb_read(&a, rec_Master_fields, value, &m, NULL) == 0 && row_of(&m, &b->rows[b->count]))
		b->count++;
	return b->count < LIMIT_MASTERS;
}

int book_read(struct kv_txn *txn, struct book *out, struct err *e)
{
	struct book b = { .count = 0 };
	int rc = kv_each(txn, &masters_table, STR(""), add_row, &b, e);
	if (rc == 0)
		*out = b;
	return rc;
}

/* ---- commands ---- */

static void write_change(const rec_MastersChange *c, struct buf *out)
{
	struct err e = { 0 };
	int rc = pb_write(rec_MastersChange_fields, c, out, &e);
	assert(rc == 0);        /* a few hundred bytes of our own */
	(void)rc;
}

void book_write_row(const struct master_row *row, struct buf *out)
{
	rec_Master m = master_of(row);
	write_change(&(rec_MastersChange){ .put = &m }, out);
}

void book_write_removed(const char *fingerprint, struct buf *out)
{
	write_change(&(rec_MastersChange){ .removed = (char *)fingerprint }, out);
}

void book_write_token(const char *digest, int64_t expires_us, struct buf *out)
{
	rec_MasterToken t = { .digest = (char *)digest, .has_expires_us = true, .expires_us = expires_us };
	write_change(&(rec_MastersChange){ .token = &t }, out);
}

void book_write_admission(const char *digest, const char *fingerprint, const char *name, struct buf *out)
{
	rec_MasterAdmission a = { .digest = (char *)digest, .fingerprint = (char *)fingerprint, .name = (char *)name };
	write_change(&(rec_MastersChange){ .admitted = &a }, out);
}

static int put_message(struct kv_txn *txn, const struct kv_table *t, const char *key, const pb_msgdesc_t *desc, const void *msg,
		       struct err *e)
{
	AUTO_BUF struct buf b = BUF_INIT;
	int rc = pb_write(desc, msg, &b, e);
	return rc == 0 ? kv_put(txn, t, str_of(key), buf_view(&b), e) : rc;
}

static int put_row(struct kv_txn *txn, const rec_Master *m, struct err *e)
{
	struct master_row row;
	struct book b;
	if (!row_of(m, &row))
		return err_set(e, E_INVALID, "a master's row is malformed");
	int rc = book_read(txn, &b, e);
	if (rc != 0)
		return rc;
	if (!book_find(&b, row.fingerprint) && b.count == LIMIT_MASTERS)
		return err_set(e, E_TOOBIG, "there are %d masters already; remove one first", LIMIT_MASTERS);
	return put_message(txn, &masters_table, row.fingerprint, rec_Master_fields, m, e);
}

struct expired {
	struct kv_txn *txn;
	int64_t now_us;
	size_t left, gone_count;
	char gone[LIMIT_MASTER_TOKENS][65];
};

static bool look_at_token(void *arg, struct str key, struct str value)
{
	struct expired *x = arg;
	AUTO_ARENA struct arena a = ARENA_INIT;
	rec_MasterToken t;
	bool live = pb_read(&a, rec_MasterToken_fields, value, &t, NULL) == 0 && t.expires_us > x->now_us;
	x->left += live;
	if (!live && x->gone_count < LIMIT_MASTER_TOKENS)
		x->gone_count += str_put(x->gone[x->gone_count], sizeof(x->gone[0]), key);
	return true;
}

static int put_token(struct kv_txn *txn, const rec_MasterToken *t, int64_t now_us, struct err *e)
{
	struct expired x = { .txn = txn, .now_us = now_us };
	if (!fingerprint_ok(t->digest) || t->used_by)
		return err_set(e, E_INVALID, "a master's token is malformed");
	int rc = kv_each(txn, &tokens_table, STR(""), look_at_token, &x, e);
	for (size_t i = 0; i < x.gone_count && rc == 0; i++)
		rc = kv_del(txn, &tokens_table, str_of(x.gone[i]), e);
	if (rc == 0 && x.left >= LIMIT_MASTER_TOKENS)
		rc = err_set(e, E_TOOBIG, "%d tokens for masters are out already; wait until one expires", LIMIT_MASTER_TOKENS);
	return rc == 0 ? put_message(txn, &tokens_table, t->digest, rec_MasterToken_fields, t, e) : rc;
}

static int get_token(struct kv_txn *txn, struct arena *a, const char *digest, const char *fingerprint, int64_t unix_us,
		     rec_MasterToken *out, struct err *e)
{
	struct str v;
	int rc = kv_get(txn, &tokens_table, str_of(digest), &v, e);
	if (rc == E_NOTFOUND)
		return err_set(e, E_DENIED, "the join token is not one of this cluster's for masters, or expired long ago; "
			       "`dcos-node master token` makes a new one");
	if (rc == 0)
		rc = pb_read(a, rec_MasterToken_fields, v, out, e);
	if (rc != 0)
		return rc;
	if (out->used_by && strcmp(out->used_by, fingerprint) != 0)
		return err_set(e, E_DENIED, "the join token was used by another master already; `dcos-node master token` makes a "
			       "new one");
	if (out->expires_us <= unix_us)
		return err_set(e, E_DENIED, "the join token has expired; `dcos-node master token` makes a new one");
	return 0;
}

int book_check_token(struct kv_txn *txn, const char *digest, const char *fingerprint, int64_t unix_us, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	rec_MasterToken t;
	return get_token(txn, &a, digest, fingerprint, unix_us, &t, e);
}

static int admit(struct kv_txn *txn, const rec_MasterAdmission *in, const struct op_ctx *ctx, struct err *e)
{
	rec_MasterToken t;
	struct book b;
	if (!fingerprint_ok(in->digest) || !fingerprint_ok(in->fingerprint) || !identity_name_ok(in->name))
		return err_set(e, E_INVALID, "an admission is malformed");
	int rc = get_token(txn, ctx->arena, in->digest, in->fingerprint, ctx->unix_us, &t, e);
	if (rc == 0)
		rc = book_read(txn, &b, e);
	if (rc != 0)
		return rc;
	const struct master_row *same_name = book_find_name(&b, in->name);
	if (same_name && strcmp(same_name->fingerprint, in->fingerprint) != 0)
		return err_set(e, E_CONFLICT, "a master named '%s' is a member already; remove it first (dcos-node master remove %s) or "
			       "give this one another name with --node", in->name, in->name);
	if (!book_find(&b, in->fingerprint))
		rc = put_row(txn, &(rec_Master){ .fingerprint = in->fingerprint, .name = in->name }, e);
	t.used_by = in->fingerprint;
	return rc == 0 ? put_message(txn, &tokens_table, in->digest, rec_MasterToken_fields, &t, e) : rc;
}

static int apply_masters(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	struct quorum *q = ctx->arg;
	rec_MastersChange c;
	(void)reply;
	int rc = pb_read(ctx->arena, rec_MastersChange_fields, payload, &c, e);
	if (rc != 0)
		return rc;
	q->book_stale = true;           /* only a hint: the transaction decides */
	if (c.put)
		return put_row(txn, c.put, e);
	if (c.removed)
		return kv_del(txn, &masters_table, str_of(c.removed), e);
	if (c.token)
		return put_token(txn, c.token, ctx->unix_us, e);
	return c.admitted ? admit(txn, c.admitted, ctx, e) : err_set(e, E_INVALID, "a change of masters changes nothing");
}

const struct op_row book_ops[1] = {
	/* number              name       level  apply */
	{ rec_Op_OP_MASTERS, "MASTERS", 1,     apply_masters },
};
