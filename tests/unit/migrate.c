/* SPDX-License-Identifier: Apache-2.0 */
/* A state directory as a whole: dumped and restored, taken one step back and up again. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/buf.h"
#include "store/dump.h"
#include "store/state.h"
#include "store/state_int.h"
#include "tests/lib/test.h"

/* One table that the version before had, one that it did not. */
static const struct kv_table apps = { .name = "marathon_apps", .version = 1 }, fresh = { .name = "fresh", .version = 1 };
static const struct kv_table *const tables[] = { &apps, &fresh, NULL };
enum { OP_PUT_APP = 1000, OP_PUT_FRESH };

static int put_app(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	(void)ctx, (void)reply;
	return kv_put(txn, &apps, payload, STR("an app"), e);
}

static int put_fresh(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	(void)ctx, (void)reply;
	return kv_put(txn, &fresh, payload, STR("new"), e);
}

static const struct op_row ops[] = { { OP_PUT_APP, "PUT_APP", 1, put_app }, { OP_PUT_FRESH, "PUT_FRESH", 1, put_fresh } };

static struct loop *loop;

static void stop_when_leading(void *arg, bool leads)
{
	(void)arg;
	if (leads)
		loop_stop(loop);
}

static int start(const char *dir, uint64_t id, struct store **out, struct err *e)
{
	struct store_config c = { .dir = dir, .member_id = id, .address = "ab12" };
	if (!loop)
		loop = loop_new();
	int rc = store_open(loop, &c, out, e);
	if (rc != 0)
		return rc;
	store_register(*out, tables, ops, ARRAY_LEN(ops), NULL);
	rc = store_start(*out, e);
	if (rc != 0)
		store_close(MOVE(*out));
	return rc;
}

static struct store *started(const char *dir, uint64_t id)
{
	struct store *s;
	struct err e;
	if (start(dir, id, &s, &e) != 0)
		FAIL("%s", e.text);
	store_on_role(s, stop_when_leading, NULL);
	loop_run(loop);
	return s;
}

static void done(struct propose *p, struct str reply, const struct err *e)
{
	(void)p, (void)reply;
	if (e->code != 0)
		FAIL("%s", e->text);
	loop_stop(loop);
}

static void put(struct store *s, uint32_t op, const char *key)
{
	struct propose p = { 0 };
	store_propose(s, op, str_of(key), 10 * SEC, &p, done);
	loop_run(loop);
}

static bool has(struct store *s, const struct kv_table *t, const char *key)
{
	struct kv_txn *txn;
	struct str v;
	struct err e;
	EQ_INT(store_read(s, &txn, &e), 0);
	int rc = kv_get(txn, t, str_of(key), &v, &e);
	kv_abort(txn);
	return rc == 0;
}

static bool there(const char *dir, const char *name)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void dir_format(const char *dir, char out[64])
{
	AUTO_FREE char *path = xasprintf("%s/format", dir);
	AUTO_FD int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, out, 63);
	out[n > 0 ? n : 0] = '\0';
}

TEST(migrate, one_step_back_leaves_what_the_version_before_reads_and_nothing_else)
{
	AUTO_FREE char *dir = xasprintf("%s/m", test_dir());
	char format[64];
	struct err e;
	struct store *s = started(dir, 0);
	put(s, OP_PUT_APP, "/a");
	put(s, OP_PUT_FRESH, "x");
	store_close(s);
	if (store_downgrade(loop, dir, &e) != 0)
		FAIL("%s", e.text);
	dir_format(dir, format);
	EQ_STR(format, "dcos-node state 1\n");
	TRUE(there(dir, "clean"));
	TRUE(there(dir, "checkpoint.mdb"));
	FALSE(there(dir, "checkpoint"));
	FALSE(there(dir, "member"));

	AUTO_FREE char *kv_dir = xasprintf("%s/kv", dir);
	const struct kv_table *of[8] = { &apps, &fresh };
	for (size_t i = 0; fsm_tables[i]; i++)
		of[2 + i] = fsm_tables[i];
	struct kv_options o = { .tables = of, .read_only = true };
	struct kv *kv;
	struct kv_txn *txn;
	struct str v;
	EQ_INT(kv_open(kv_dir, &o, &kv, &e), 0);
	EQ_INT(kv_begin(kv, false, &txn, &e), 0);
	EQ_INT(kv_count(txn, &apps), 1);
	EQ_INT(kv_count(txn, &fresh), 0);
	for (size_t i = 1; fsm_tables[i]; i++)
		EQ_INT(kv_count(txn, fsm_tables[i]), 0);
	EQ_INT(kv_get(txn, fsm_tables[0], STR("format"), &v, &e), 0);
	EQ_MEM(v.p, "\1\0\0\0", 4);
	kv_abort(txn);
	kv_close(kv);

	EQ_INT(store_downgrade(loop, dir, &e), E_CONFLICT);
	s = started(dir, 0);
	EQ_INT(store_member_id(s), 1);
	TRUE(has(s, &apps, "/a"));
	FALSE(has(s, &fresh, "x"));
	put(s, OP_PUT_FRESH, "y");
	store_close(s);
	dir_format(dir, format);
	EQ_STR(format, "dcos-node state 2\n");
}

TEST(migrate, a_step_back_is_refused_on_a_directory_that_is_in_use_not_left_in_order_or_none)
{
	AUTO_FREE char *dir = xasprintf("%s/m", test_dir()), *clean = xasprintf("%s/m/clean", test_dir());
	struct err e;
	struct store *s = started(dir, 0);
	put(s, OP_PUT_APP, "/a");
	EQ_INT(store_downgrade(loop, dir, &e), E_BUSY);
	store_close(s);
	EQ_INT(unlink(clean), 0);
	EQ_INT(store_downgrade(loop, dir, &e), E_INVALID);
	HAS(e.text, "was not stopped in order; start it once more");
	EQ_INT(store_downgrade(loop, "/nonexistent", &e), E_NOTFOUND);
	s = started(dir, 0);
	TRUE(has(s, &apps, "/a"));
	store_close(s);
}

/* ---- dumped and restored ---- */

struct memory {
	struct buf b;
	size_t at;
};

static int memory_write(void *arg, const void *data, size_t len, struct err *e)
{
	struct memory *m = arg;
	(void)e;
	(void)buf_append(&m->b, data, len);
	return 0;
}

static ssize_t memory_read(void *arg, void *out, size_t len, struct err *e)
{
	struct memory *m = arg;
	size_t n = MIN(len, m->b.len - m->at);
	(void)e;
	if (n > 0)
		memcpy(out, m->b.data + m->at, n);
	m->at += n;
	return (ssize_t)n;
}

static int memory_rewind(void *arg, struct err *e)
{
	struct memory *m = arg;
	(void)e;
	m->at = 0;
	return 0;
}

TEST(migrate, a_restored_directory_goes_on_where_the_dump_was_taken)
{
	AUTO_FREE char *dir = xasprintf("%s/m", test_dir()), *to = xasprintf("%s/new", test_dir());
	struct memory m = { .b = BUF_INIT };
	struct dump_source from = { memory_read, memory_rewind, &m };
	struct dump_head head, got;
	struct err e;
	struct store *s = started(dir, 0);
	put(s, OP_PUT_APP, "/a");
	EQ_INT(store_dump(s, memory_write, &m, &head, &e), 0);
	put(s, OP_PUT_APP, "/later");
	char cluster[64];
	(void)snprintf(cluster, sizeof(cluster), "%s", store_cluster_id(s));
	uint64_t id = store_member_id(s);
	store_close(s);
	if (store_restore(to, &from, "cd34", &got, &e) != 0)
		FAIL("%s", e.text);
	EQ_INT(got.index, head.index);
	EQ_INT(store_restore(to, &from, "cd34", &got, &e), E_CORRUPT);   /* the source stands at its end */
	m.at = 0;
	EQ_INT(store_restore(to, &from, "cd34", &got, &e), E_CONFLICT);
	s = started(to, 0);
	EQ_STR(store_cluster_id(s), cluster);
	TRUE(store_member_id(s) != id);
	TRUE(store_term(s) > head.term);
	TRUE(has(s, &apps, "/a"));
	FALSE(has(s, &apps, "/later"));
	put(s, OP_PUT_APP, "/b");
	TRUE(has(s, &apps, "/b"));
	store_close(s);
	s = started(to, 0);
	TRUE(has(s, &apps, "/a") && has(s, &apps, "/b"));
	store_close(s);
	buf_fini(&m.b);
}
