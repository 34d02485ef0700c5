/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marathon's tables in the replicated store and the commands that change them. Keys: app id; app id, NUL, version; task id;
 * deployment id. The last VERSIONS_MAX versions of an app are kept; those of a removed app until the deployment that removes it
 * has ended, so that it can be rolled back.
 */
#include "net/base/log.h"
#include "roles/master/marathon/marathon_int.h"

#define VERSIONS_MAX 50      /* --zk_max_versions */

static const struct kv_table meta_table = { .name = "marathon", .version = 1 };
static const struct kv_table app_table = { .name = "marathon_apps", .version = 1 };
static const struct kv_table version_table = { .name = "marathon_app_versions", .version = 1 };
static const struct kv_table instance_table = { .name = "marathon_instances", .version = 1 };
static const struct kv_table failure_table = { .name = "marathon_failures", .version = 1 };
static const struct kv_table deployment_table = { .name = "marathon_deployments", .version = 1 };
const struct kv_table *const marathon_tables[] = {
	&meta_table, &app_table, &version_table, &instance_table, &failure_table, &deployment_table, NULL,
};

static int put_row(struct kv_txn *txn, const struct kv_table *t, struct str key, const pb_msgdesc_t *desc, const void *row, struct err *e)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	int rc = pb_write(desc, row, &bytes, e);
	return rc == 0 ? kv_put(txn, t, key, buf_view(&bytes), e) : rc;
}

/* ---- versions ---- */

static struct str version_key(struct arena *a, const char *id, const char *version)
{
	size_t n = strlen(id);
	char *key = arena_printf(a, "%s.%s", id, version);
	key[n] = '\0';
	return str_n(key, n + 1 + strlen(version));
}

struct version_scan {
	struct arena *arena;
	struct str prefix;
	struct str keys[VERSIONS_MAX * 2];      /* oldest first */
	size_t count;
};

static bool on_version(void *arg, struct str key, struct str value)
{
	struct version_scan *s = arg;
	(void)value;
	if (!str_starts(key, s->prefix) || s->count == ARRAY_LEN(s->keys))
		return false;
	s->keys[s->count++] = str_n(arena_str(s->arena, key), key.len);
	return true;
}

static int scan_versions(struct kv_txn *txn, struct arena *a, const char *id, struct version_scan *s, struct err *e)
{
	*s = (struct version_scan){ .arena = a, .prefix = version_key(a, id, "") };
	return kv_each(txn, &version_table, s->prefix, on_version, s, e);
}

/* Leave the newest `keep`. */
static int prune_versions(struct kv_txn *txn, struct arena *a, const char *id, size_t keep, struct err *e)
{
	struct version_scan *s = arena_new(a, struct version_scan);
	int rc = scan_versions(txn, a, id, s, e);
	for (size_t i = 0; rc == 0 && i + keep < s->count; i++)
		rc = kv_del(txn, &version_table, s->keys[i], e);
	return rc;
}

/* ---- commands ---- */

static int put_app(struct kv_txn *txn, struct arena *a, const rec_App *app, struct err *e)
{
	int rc = put_row(txn, &app_table, str_of(app->id), rec_App_fields, app, e);
	if (rc == 0)
		rc = put_row(txn, &version_table, version_key(a, app->id, app->version), rec_App_fields, app, e);
	return rc == 0 ? prune_versions(txn, a, app->id, VERSIONS_MAX, e) : rc;
}

/* An app that no longer exists leaves nothing behind. */
static int forget_removed(struct kv_txn *txn, struct arena *a, const char *id, struct err *e)
{
	struct str bytes;
	int rc = kv_get(txn, &app_table, str_of(id), &bytes, e);
	if (rc != E_NOTFOUND)
		return rc;
	rc = prune_versions(txn, a, id, 0, e);
	return rc == 0 ? kv_del(txn, &failure_table, str_of(id), e) : rc;
}

static int end_deployment(struct kv_txn *txn, struct arena *a, const char *id, struct err *e)
{
	struct str bytes;
	rec_Deployment d;
	int rc = kv_get(txn, &deployment_table, str_of(id), &bytes, e);
	if (rc == E_NOTFOUND)
		return 0;
	if (rc == 0)
		rc = pb_read(a, rec_Deployment_fields, bytes, &d, e);
	if (rc == 0)
		rc = kv_del(txn, &deployment_table, str_of(id), e);
	for (size_t i = 0; rc == 0 && i < d.originals_count; i++)
		rc = forget_removed(txn, a, d.originals[i].id, e);
	return rc;
}

static int apply_apps(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	rec_AppsChange c;
	int rc = pb_read(ctx->arena, rec_AppsChange_fields, payload, &c, e);
	(void)reply;
	for (size_t i = 0; rc == 0 && i < c.put_count; i++)
		rc = put_app(txn, ctx->arena, &c.put[i], e);
	for (size_t i = 0; rc == 0 && i < c.removed_count; i++)
		rc = kv_del(txn, &app_table, str_of(c.removed[i]), e);
	for (size_t i = 0; rc == 0 && i < c.ended_count; i++)
		rc = end_deployment(txn, ctx->arena, c.ended[i], e);
	if (rc == 0 && c.started)
		rc = put_row(txn, &deployment_table, str_of(c.started->id), rec_Deployment_fields, c.started, e);
	return rc;
}

static int apply_instances(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	rec_Instances c;
	int rc = pb_read(ctx->arena, rec_Instances_fields, payload, &c, e);
	(void)reply;
	for (size_t i = 0; rc == 0 && i < c.put_count; i++)
		rc = put_row(txn, &instance_table, str_of(c.put[i].task_id), rec_Instance_fields, &c.put[i], e);
	for (size_t i = 0; rc == 0 && i < c.removed_count; i++)
		rc = kv_del(txn, &instance_table, str_of(c.removed[i]), e);
	for (size_t i = 0; rc == 0 && i < c.failures_count; i++)
		rc = put_row(txn, &failure_table, str_of(c.failures[i].app_id), rec_TaskFailure_fields, &c.failures[i], e);
	return rc;
}

static int apply_marathon(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	(void)ctx;
	(void)reply;
	return kv_put(txn, &meta_table, STR("marathon"), payload, e);
}

static const struct op_row ops[] = {
	{ rec_Op_OP_APPS,      "marathon apps",      1, apply_apps },
	{ rec_Op_OP_INSTANCES, "marathon instances", 1, apply_instances },
	{ rec_Op_OP_MARATHON,  "marathon",           1, apply_marathon },
};

void records_register(struct marathon *ma) { store_register(ma->store, marathon_tables, ops, ARRAY_LEN(ops), ma); }

static void propose_instances(struct marathon *ma, const rec_Instances *c)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	struct err e = { 0 };
	if (pb_write(rec_Instances_fields, c, &bytes, &e) == 0)
		store_propose_forget(ma->store, rec_Op_OP_INSTANCES, buf_view(&bytes));
	else
		LOG(ERROR, "instance not recorded", "error=\"%s\"", e.text);
}

void records_put_instance(struct marathon *ma, const struct instance *i)
{
	rec_Instance row = instance_record(i);
	propose_instances(ma, &(rec_Instances){ .put = &row, .put_count = 1 });
}

void records_remove_instance(struct marathon *ma, const char *task_id)
{
	char *ids[] = { (char *)task_id };
	propose_instances(ma, &(rec_Instances){ .removed = ids, .removed_count = 1 });
}

/* ---- loading ---- */

struct loading {
	struct marathon *ma;
	struct arena arena;
	struct err err;       /* first trouble */
};

static bool load_row(struct loading *l, const pb_msgdesc_t *desc, struct str value, void *out)
{
	return l->err.code == 0 && pb_read(&l->arena, desc, value, out, &l->err) == 0;
}

static bool load_app(void *arg, struct str key, struct str value)
{
	struct loading *l = arg;
	rec_App r;
	struct spec *s = NULL;
	(void)key;
	if (!load_row(l, rec_App_fields, value, &r) || spec_new(&r, &s, &l->err) != 0)
		return false;
	app_set_spec(app_get_or_new(l->ma, r.id), s);
	return true;
}

static bool load_instance(void *arg, struct str key, struct str value)
{
	struct loading *l = arg;
	rec_Instance r;
	(void)key;
	if (!load_row(l, rec_Instance_fields, value, &r))
		return false;
	app_touch(instance_new(app_get_or_new(l->ma, r.app_id), &r)->app);
	return true;
}

static bool load_failure(void *arg, struct str key, struct str value)
{
	struct loading *l = arg;
	rec_TaskFailure r;
	(void)key;
	if (!load_row(l, rec_TaskFailure_fields, value, &r))
		return false;
	struct app *app = app_find(l->ma, r.app_id);
	if (app)
		app_set_failure(app, &r);
	return true;
}

static bool load_deployment(void *arg, struct str key, struct str value)
{
	struct loading *l = arg;
	rec_Deployment r;
	(void)key;
	if (!load_row(l, rec_Deployment_fields, value, &r))
		return false;
	deployment_add(l->ma, deployment_new(&r));
	return true;
}

static bool load_meta(void *arg, struct str key, struct str value)
{
	struct loading *l = arg;
	rec_Marathon r;
	(void)key;
	if (!load_row(l, rec_Marathon_fields, value, &r))
		return false;
	free(l->ma->framework_id);
	l->ma->framework_id = r.framework_id ? xstrdup(r.framework_id) : NULL;
	return true;
}

int records_load(struct marathon *ma, struct err *e)
{
	static const struct { const struct kv_table *table; bool (*fn)(void *arg, struct str key, struct str value); } steps[] = {
		{ &meta_table, load_meta }, { &app_table, load_app }, { &instance_table, load_instance },
		{ &failure_table, load_failure }, { &deployment_table, load_deployment },
	};
	struct loading l = { .ma = ma, .arena = ARENA_INIT };
	AUTO_TXN struct kv_txn *txn = NULL;
	int rc = store_read(ma->store, &txn, e);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(steps); i++) {
		rc = kv_each(txn, steps[i].table, str_n("", 0), steps[i].fn, &l, e);
		if (rc == 0 && l.err.code != 0) {
			rc = l.err.code;
			*e = l.err;
		}
	}
	arena_fini(&l.arena);
	return rc;
}

int records_version(struct marathon *ma, const char *id, const char *version, struct spec **out, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_TXN struct kv_txn *txn = NULL;
	struct str bytes;
	rec_App r;
	int rc = store_read(ma->store, &txn, e);
	if (rc == 0)
		rc = kv_get(txn, &version_table, version_key(&a, id, version), &bytes, e);
	if (rc == 0)
		rc = pb_read(&a, rec_App_fields, bytes, &r, e);
	return rc == 0 ? spec_new(&r, out, e) : rc;
}

int records_versions(struct marathon *ma, struct arena *a, const char *id, char ***out, size_t *out_count, struct err *e)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	struct version_scan *s = arena_new(a, struct version_scan);
	int rc = store_read(ma->store, &txn, e);
	if (rc == 0)
		rc = scan_versions(txn, a, id, s, e);
	if (rc != 0)
		return rc;
	*out = arena_array(a, char *, s->count + 1);
	*out_count = s->count;
	for (size_t i = 0; i < s->count; i++)
		(*out)[i] = (char *)s->keys[s->count - 1 - i].p + s->prefix.len;
	return 0;
}
