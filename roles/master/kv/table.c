/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying: all comparisons are made against the state before the command, then all changes are written. A comparison that fails
 * is an answer, not an error, so that a repeated command gets the same one again.
 */
#include "roles/master/kv/table.h"

#include "net/limits.h"
#include "net/pb_util.h"
#include "proto/records.pb.h"

#define LIST_DEFAULT 1000                /* keys and directories of an answer, when the client sets no limit */

const struct kv_table keyval_rows = { "kv", 1, true };
const struct kv_table keyval_leases = { "kv.leases", 1, false };
static const struct kv_table *const tables[] = { &keyval_rows, &keyval_leases, NULL };

/* ---- what may be asked for ---- */

int table_check_key(const char *key, struct err *e)
{
	size_t len = key ? strlen(key) : 0;
	if (len == 0)
		return err_set(e, E_INVALID, "a key is missing; it is a path such as a/b/c");
	if (len > LIMIT_KV_KEY_BYTES)
		return err_set(e, E_INVALID, "a key of %zu bytes is over the limit of %d", len, LIMIT_KV_KEY_BYTES);
	for (size_t i = 0; i < len; i++)
		if (key[i] <= ' ' || key[i] > '~')
			return err_set(e, E_INVALID, "byte %zu of the key is no printable ASCII character", i + 1);
	struct str rest = str_of(key);
	while (rest.p) {
		struct str name = str_cut(&rest, '/');
		if (name.len == 0 || str_eq(name, STR(".")) || str_eq(name, STR("..")))
			return err_set(e, E_INVALID, "key '%s': between '/' stand names, none empty, '.' or '..'", key);
	}
	return 0;
}

static int check_op(const keyval_Op *op, struct err *e)
{
	size_t len = pb_bytes_view(op->value).len;
	int rc = table_check_key(op->key, e);
	if (rc != 0)
		return rc;
	if (op->kind < keyval_OpKind_PUT || op->kind > keyval_OpKind_RENEW)
		return err_set(e, E_INVALID, "key '%s': there is no operation %d", op->key, (int)op->kind);
	if (op->kind != keyval_OpKind_PUT && (op->value || op->has_ttl_us))
		return err_set(e, E_INVALID, "key '%s': only PUT takes a value or a time to live", op->key);
	if (len > LIMIT_KV_VALUE_BYTES)
		return err_set(e, E_TOOBIG, "key '%s': a value of %zu bytes is over the limit of %d", op->key, len, LIMIT_KV_VALUE_BYTES);
	if (op->has_ttl_us && (op->ttl_us < LIMIT_KV_TTL_MIN_US || op->ttl_us > LIMIT_KV_TTL_MAX_US))
		return err_set(e, E_INVALID, "key '%s': a time to live is 1 second to 7 days", op->key);
	if (op->kind == keyval_OpKind_CHECK && !op->has_if_revision)
		return err_set(e, E_INVALID, "key '%s': CHECK needs if_revision", op->key);
	if (op->kind == keyval_OpKind_RENEW && (!op->has_if_revision || op->if_revision == 0))
		return err_set(e, E_INVALID, "key '%s': RENEW needs the if_revision that the key was put with", op->key);
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int table_check(const keyval_Change *c, struct err *e)
{
	const char *keys[LIMIT_KV_OPS];
	if (c->ops_count == 0 || c->ops_count > LIMIT_KV_OPS)
		return err_set(e, E_INVALID, "a change has 1 to %d operations, not %u", LIMIT_KV_OPS, (unsigned)c->ops_count);
	for (size_t i = 0; i < c->ops_count; i++) {
		int rc = check_op(&c->ops[i], e);
		if (rc != 0)
			return rc;
		keys[i] = c->ops[i].key;
	}
	if (c->ops_count > 1)
		qsort(keys, c->ops_count, sizeof(keys[0]), compare_keys);
	for (size_t i = 1; i < c->ops_count; i++)
		if (strcmp(keys[i - 1], keys[i]) == 0)
			return err_set(e, E_INVALID, "key '%s' is named twice in one change", keys[i]);
	return 0;
}

/* ---- applying ---- */

static int put_message(struct kv_txn *txn, const struct kv_table *t, const char *key, const pb_msgdesc_t *fields, const void *msg,
		       struct err *e)
{
	AUTO_BUF struct buf b = BUF_INIT;
	int rc = pb_write(fields, msg, &b, e);
	return rc == 0 ? kv_put(txn, t, str_of(key), buf_view(&b), e) : rc;
}

/* The row as it is now without its value; all zero where there is none. */
static int read_head(struct kv_txn *txn, struct arena *a, const char *key, keyval_RowHead *out, struct err *e)
{
	struct str row;
	*out = (keyval_RowHead)keyval_RowHead_init_zero;
	int rc = kv_get(txn, &keyval_rows, str_of(key), &row, e);
	if (rc == E_NOTFOUND)
		return 0;
	return rc == 0 ? pb_read(a, keyval_RowHead_fields, row, out, e) : rc;
}

static int put_lease(struct kv_txn *txn, const char *key, int64_t ttl_us, const struct op_ctx *ctx, struct err *e)
{
	keyval_Lease lease = { .has_renewed = true, .renewed = ctx->index, .has_ttl_us = true, .ttl_us = ttl_us };
	return put_message(txn, &keyval_leases, key, keyval_Lease_fields, &lease, e);
}

static int put(struct kv_txn *txn, const keyval_Op *op, const keyval_RowHead *old, const struct op_ctx *ctx, struct err *e)
{
	keyval_Row row = {
		.has_revision = true, .revision = ctx->index, .has_created = true, .created = old->revision ? old->created : ctx->index,
		.has_ttl_us = op->has_ttl_us, .ttl_us = op->ttl_us, .value = op->value,
	};
	int rc = put_message(txn, &keyval_rows, op->key, keyval_Row_fields, &row, e);
	if (rc == 0 && op->has_ttl_us)
		return put_lease(txn, op->key, op->ttl_us, ctx, e);
	return rc == 0 && old->has_ttl_us ? kv_del(txn, &keyval_leases, str_of(op->key), e) : rc;
}

static int remove_key(struct kv_txn *txn, const char *key, const keyval_RowHead *old, struct err *e)
{
	int rc = old->revision ? kv_del(txn, &keyval_rows, str_of(key), e) : 0;
	return rc == 0 && old->has_ttl_us ? kv_del(txn, &keyval_leases, str_of(key), e) : rc;
}

static int write_op(struct kv_txn *txn, const keyval_Op *op, const keyval_RowHead *old, const struct op_ctx *ctx, struct err *e)
{
	switch (op->kind) {
	case keyval_OpKind_PUT:
		return put(txn, op, old, ctx, e);
	case keyval_OpKind_DELETE:
		return remove_key(txn, op->key, old, e);
	case keyval_OpKind_RENEW:
		return old->has_ttl_us ? put_lease(txn, op->key, old->ttl_us, ctx, e) : 0;
	case keyval_OpKind_CHECK:
		return 0;
	}
	return 0;
}

/* The table of leases is looked through again and again: it has a bound. */
static int check_leases(struct kv_txn *txn, const keyval_Change *c, struct err *e)
{
	size_t n = 0;
	for (size_t i = 0; i < c->ops_count; i++)
		n += c->ops[i].has_ttl_us;
	if (n > 0 && kv_count(txn, &keyval_leases) + n > LIMIT_KV_LEASES)
		return err_set(e, E_TOOBIG, "there are %d keys with a time to live already", LIMIT_KV_LEASES);
	return 0;
}

static int apply_change(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	keyval_Change change;
	keyval_Changed out = { .has_done = true, .done = true, .has_revision = true, .revision = ctx->index };
	int rc = pb_read(ctx->arena, keyval_Change_fields, payload, &change, e);
	if (rc == 0)
		rc = table_check(&change, e);
	if (rc == 0)
		rc = check_leases(txn, &change, e);
	if (rc != 0)
		return rc;
	keyval_RowHead *old = arena_array(ctx->arena, keyval_RowHead, change.ops_count);
	out.before = arena_array(ctx->arena, uint64_t, change.ops_count);
	out.before_count = change.ops_count;
	for (size_t i = 0; rc == 0 && i < change.ops_count; i++) {
		const keyval_Op *op = &change.ops[i];
		rc = read_head(txn, ctx->arena, op->key, &old[i], e);
		out.before[i] = old[i].revision;
		if (!out.done || !op->has_if_revision || op->if_revision == old[i].revision)
			continue;
		out.done = false;
		out.has_refused_by = true;
		out.refused_by = (uint32_t)i;
	}
	for (size_t i = 0; rc == 0 && out.done && i < change.ops_count; i++)
		rc = write_op(txn, &change.ops[i], &old[i], ctx, e);
	return rc == 0 ? pb_write(keyval_Changed_fields, &out, reply, e) : rc;
}

static int expire_key(struct kv_txn *txn, const keyval_Expired *x, const struct op_ctx *ctx, struct err *e)
{
	struct str value;
	keyval_Lease lease;
	if (!x->key)
		return err_set(e, E_MALFORMED, "an expiry names no key");
	int rc = kv_get(txn, &keyval_leases, str_of(x->key), &value, e);
	if (rc == E_NOTFOUND)
		return 0;
	if (rc == 0)
		rc = pb_read(ctx->arena, keyval_Lease_fields, value, &lease, e);
	if (rc != 0 || lease.renewed != x->renewed)
		return rc;
	rc = kv_del(txn, &keyval_leases, str_of(x->key), e);
	return rc == 0 ? kv_del(txn, &keyval_rows, str_of(x->key), e) : rc;
}

static int apply_expire(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	keyval_Expire msg;
	(void)reply;
	int rc = pb_read(ctx->arena, keyval_Expire_fields, payload, &msg, e);
	for (size_t i = 0; rc == 0 && i < msg.keys_count; i++)
		rc = expire_key(txn, &msg.keys[i], ctx, e);
	return rc;
}

static const struct op_row ops[] = {
	/* number               name           level  apply */
	{ rec_Op_OP_KV,         "change keys", 1,     apply_change },
	{ rec_Op_OP_KV_EXPIRE,  "expire keys", 1,     apply_expire },
};

void table_register(struct store *s) { store_register(s, tables, ops, ARRAY_LEN(ops), NULL); }

/* ---- reading ---- */

int table_item(struct arena *a, struct str key, struct str row, keyval_Item *out, struct err *e)
{
	keyval_Row r;
	int rc = pb_read(a, keyval_Row_fields, row, &r, e);
	if (rc != 0)
		return rc;
	*out = (keyval_Item){
		.key = arena_str(a, key), .has_revision = true, .revision = r.revision, .has_created = true, .created = r.created,
		.has_ttl_us = r.has_ttl_us, .ttl_us = r.ttl_us, .value = r.value ? r.value : pb_bytes_put(a, STR("")),
	};
	return 0;
}

int table_get(struct kv_txn *txn, struct arena *a, const char *key, keyval_Item *out, struct err *e)
{
	struct str row;
	int rc = kv_get(txn, &keyval_rows, str_of(key), &row, e);
	return rc == 0 ? table_item(a, str_of(key), row, out, e) : rc;
}

struct listing {
	struct arena *arena;
	const keyval_List *list;
	struct str prefix;
	keyval_Answer *out;
	size_t bytes, limit;
	char *jump;              /* go on from here: the keys of a directory are passed over */
	bool full;
	int rc;
	struct err *e;
};

static bool list_directory(struct listing *l, struct str name)
{
	keyval_Answer *out = l->out;
	char *copy = arena_str(l->arena, name);
	out->directories[out->directories_count++] = copy;
	out->next = copy;
	l->bytes += name.len;
	l->jump = arena_str(l->arena, name);
	l->jump[name.len - 1]++;         /* '/' + 1 is above all names in it */
	return false;
}

static bool list_row(void *arg, struct str key, struct str value)
{
	struct listing *l = arg;
	keyval_Answer *out = l->out;
	if (!str_starts(key, l->prefix))
		return false;
	l->full = out->items_count + out->directories_count == l->limit || l->bytes >= LIMIT_KV_LIST_BYTES;
	if (l->full)
		return false;
	ssize_t slash = l->list->recurse ? -1 : str_find(str_from(key, l->prefix.len), '/');
	if (slash >= 0)
		return list_directory(l, str_head(key, l->prefix.len + (size_t)slash + 1));
	keyval_Item *item = &out->items[out->items_count++];
	l->rc = table_item(l->arena, key, value, item, l->e);
	out->next = item->key;
	l->bytes += key.len + (l->list->values ? value.len : 0);
	if (!l->list->values)
		item->value = NULL;
	return l->rc == 0;
}

int table_list(struct kv_txn *txn, struct arena *a, const keyval_List *list, keyval_Answer *out, struct err *e)
{
	struct listing l = { .arena = a, .list = list, .prefix = str_of(list->prefix ? list->prefix : ""), .out = out, .e = e };
	struct str from = l.prefix;
	if (l.prefix.len > LIMIT_KV_KEY_BYTES || (list->after && strlen(list->after) > LIMIT_KV_KEY_BYTES))
		return err_set(e, E_INVALID, "a prefix or `after` has at most %d bytes", LIMIT_KV_KEY_BYTES);
	l.limit = list->has_limit && list->limit > 0 ? MIN((size_t)list->limit, (size_t)LIMIT_KV_LIST) : LIST_DEFAULT;
	out->items = arena_array(a, keyval_Item, l.limit);
	out->directories = arena_array(a, char *, l.limit);
	if (list->after && strcmp(list->after, from.p) >= 0) {
		/* Behind a key comes the key with the least byte added, behind a directory what follows its '/'. */
		char *next = arena_printf(a, "%s\x01", list->after);
		size_t len = strlen(list->after);
		if (len > 0 && next[len - 1] == '/') {
			next[len - 1]++;
			next[len] = '\0';
		}
		from = str_of(next);
	}
	int rc;
	do {
		l.jump = NULL;
		rc = kv_each(txn, &keyval_rows, from.len > 0 ? from : STR("!"), list_row, &l, e);
		from = str_of(l.jump);
	} while (rc == 0 && l.rc == 0 && l.jump);
	if (!l.full)
		out->next = NULL;
	return rc != 0 ? rc : l.rc;
}
