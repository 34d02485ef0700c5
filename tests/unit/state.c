/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "net/base/rnd.h"
#include "net/base/time.h"
#include "store/state.h"
#include "tests/lib/test.h"
#include "tests/sim/disk.h"

/* A table of counters, and commands: add to one; add and then refuse; put a whole row. */
static const struct kv_table counters = { .name = "counters", .version = 1 };
static const struct kv_table *const tables[] = { &counters, NULL };
enum { OP_ADD = 1000, OP_REFUSE, OP_PUT };

static int add(struct kv_txn *txn, struct str key, uint64_t *out, struct err *e)
{
	struct str v;
	uint64_t n = 0;
	int rc = kv_get(txn, &counters, key, &v, e);
	if (rc == 0)
		memcpy(&n, v.p, sizeof(n));
	else if (rc != E_NOTFOUND)
		return rc;
	*out = n + 1;
	return kv_put(txn, &counters, key, str_n((const char *)out, sizeof(*out)), e);
}

static int apply_add(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	uint64_t n = 0;
	int rc = add(txn, payload, &n, e);
	(void)ctx;
	(void)buf_printf(reply, "%llu", (unsigned long long)n);
	return rc;
}

static int apply_refuse(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	uint64_t n;
	(void)ctx;
	(void)reply;
	(void)add(txn, payload, &n, e);
	return err_set(e, E_CONFLICT, "no");
}

static int apply_put(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	uint8_t key[8];
	(void)reply;
	return kv_put(txn, &counters, kv_key_u64(ctx->index, key), payload, e);
}

static const struct op_row ops[] = {
	{ OP_ADD, "ADD", 1, apply_add },
	{ OP_REFUSE, "REFUSE", 1, apply_refuse },
	{ OP_PUT, "PUT", 1, apply_put },
};

static struct loop *loop;
static struct store_config config;

static int open_store(struct store **out, struct err *e)
{
	config.dir = test_dir();
	config.member_id = 1;
	config.address = "ab12";
	int rc = store_open(loop, &config, out, e);
	if (rc != 0)
		return rc;
	store_register(*out, tables, ops, ARRAY_LEN(ops), NULL);
	rc = store_start(*out, e);
	if (rc != 0)
		store_close(MOVE(*out));
	return rc;
}

static void stop_when_leading(void *arg, bool leads)
{
	(void)arg;
	if (leads)
		loop_stop(loop);
}

static struct store *opened(void)
{
	struct store *s;
	struct err e;
	if (!loop)
		loop = loop_new();
	if (open_store(&s, &e) != 0)
		FAIL("%s", e.text);
	store_on_role(s, stop_when_leading, NULL);
	loop_run(loop);
	return s;
}

struct answer {
	struct propose p;
	struct err err;
	char reply[64];
	int *waiting;
};

static void answered(struct propose *p, struct str reply, const struct err *e)
{
	struct answer *a = container_of(p, struct answer, p);
	a->err = *e;
	(void)str_put(a->reply, sizeof(a->reply), reply);
	if (--*a->waiting == 0)
		loop_stop(loop);
}

/* Propose and wait. */
static struct answer ask(struct store *s, uint32_t op, struct str payload)
{
	int waiting = 1;
	struct answer a = { .waiting = &waiting };
	store_propose(s, op, payload, 10 * SEC, &a.p, answered);
	EQ_INT(waiting, 1);              /* done never runs inside */
	loop_run(loop);
	return a;
}

static uint64_t counter(struct store *s, const char *key)
{
	struct kv_txn *txn;
	struct err e;
	struct str v;
	uint64_t n = 0;
	EQ_INT(store_read(s, &txn, &e), 0);
	if (kv_get(txn, &counters, str_of(key), &v, &e) == 0)
		memcpy(&n, v.p, sizeof(n));
	kv_abort(txn);
	return n;
}

TEST(state, a_command_is_applied_and_answered)
{
	struct store *s = opened();
	TRUE(store_leads(s));
	EQ_INT(strlen(store_cluster_id(s)), 36);
	struct answer a = ask(s, OP_ADD, STR("x"));
	EQ_INT(a.err.code, 0);
	EQ_STR(a.reply, "1");
	TRUE(a.p.index > 0);
	EQ_STR(ask(s, OP_ADD, STR("x")).reply, "2");
	EQ_INT(counter(s, "x"), 2);
	store_close(s);
}

TEST(state, a_refused_command_leaves_nothing)
{
	struct store *s = opened();
	struct answer a = ask(s, OP_REFUSE, STR("x"));
	EQ_INT(a.err.code, E_CONFLICT);
	EQ_STR(a.err.text, "no");
	EQ_INT(counter(s, "x"), 0);
	EQ_STR(ask(s, OP_ADD, STR("x")).reply, "1");
	store_close(s);
}

TEST(state, a_turn_s_commands_are_one_batch_in_order)
{
	struct store *s = opened();
	struct answer a[100];
	int waiting = ARRAY_LEN(a);
	memset(a, 0, sizeof(a));
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		a[i].waiting = &waiting;
		store_propose(s, OP_ADD, STR("x"), 10 * SEC, &a[i].p, answered);
	}
	loop_run(loop);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		EQ_INT(atoi(a[i].reply), i + 1);
	store_close(s);
}

TEST(state, a_clean_restart_keeps_state_and_cluster_and_counts_the_term_up)
{
	struct store *s = opened();
	char id[64];
	uint64_t term = store_term(s);
	(void)snprintf(id, sizeof(id), "%s", store_cluster_id(s));
	(void)ask(s, OP_ADD, STR("x"));
	store_close(s);
	s = opened();
	EQ_INT(counter(s, "x"), 1);
	EQ_STR(store_cluster_id(s), id);
	EQ_INT(store_term(s), term + 1);
	store_close(s);
}

TEST(state, a_start_that_is_not_clean_replays_the_log)
{
	struct store *s = opened();
	AUTO_FREE char *mark = xasprintf("%s/clean", test_dir());
	AUTO_FREE char *data = xasprintf("%s/kv/data.mdb", test_dir());
	for (int i = 0; i < 5; i++)
		(void)ask(s, OP_ADD, STR("x"));
	store_close(s);
	EQ_INT(unlink(mark), 0);
	EQ_INT(truncate(data, 5000), 0);         /* as a crash of the machine may leave it */
	s = opened();
	EQ_INT(counter(s, "x"), 5);
	store_close(s);
}

TEST(state, checkpoints_let_the_log_be_cut)
{
	static char big[100000];
	AUTO_FREE char *first = xasprintf("%s/log/0000000000000001.log", test_dir());
	AUTO_FREE char *mark = xasprintf("%s/clean", test_dir());
	config.trailing = 1;
	config.segment_bytes = MIB;
	config.checkpoint_bytes = 2 * MIB;
	struct store *s = opened();
	(void)ask(s, OP_ADD, STR("x"));
	for (int i = 0; i < 400 && access(first, F_OK) == 0; i++)
		EQ_INT(ask(s, OP_PUT, str_n(big, sizeof(big))).err.code, 0);
	EQ_INT(access(first, F_OK), -1);
	(void)ask(s, OP_ADD, STR("x"));
	store_close(s);
	EQ_INT(unlink(mark), 0);
	s = opened();
	EQ_INT(counter(s, "x"), 2);
	EQ_STR(ask(s, OP_ADD, STR("x")).reply, "3");
	store_close(s);
	s = opened();
	EQ_INT(counter(s, "x"), 3);
	store_close(s);
}

TEST(state, a_second_process_is_told_which_one_has_the_directory)
{
	struct store *s = opened(), *other;
	struct err e;
	AUTO_FREE char *want = xasprintf("' is in use by process %d; stop that one first", (int)getpid());
	EQ_INT(open_store(&other, &e), E_BUSY);
	HAS(e.text, want);
	store_close(s);
}

static void overwrite(const char *name, const char *text)
{
	AUTO_FREE char *path = xasprintf("%s/%s", test_dir(), name);
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	EQ_INT(write(fd, text, strlen(text)), strlen(text));
}

TEST(state, a_directory_of_a_newer_version_is_refused)
{
	struct store *s = opened(), *again;
	struct err e;
	store_close(s);
	overwrite("format", "dcos-node state 3\n");
	EQ_INT(open_store(&again, &e), E_NEWER);
	HAS(e.text, "was written by a newer dcos-node (format 3, this one reads 2); start the newer one");
	overwrite("format", "garbage");
	EQ_INT(open_store(&again, &e), E_CORRUPT);
	HAS(e.text, "format' is damaged");
}

TEST(state, a_damaged_log_is_refused_with_file_and_offset)
{
	struct store *s = opened(), *again;
	struct err e;
	AUTO_FREE char *path = xasprintf("%s/log/0000000000000001.log", test_dir());
	(void)ask(s, OP_ADD, STR("a counter with a long name"));
	(void)ask(s, OP_ADD, STR("y"));
	store_close(s);
	AUTO_FD int fd = open(path, O_RDWR);
	char bytes[4096];
	EQ_INT(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	char *at = memmem(bytes, sizeof(bytes), "counter", 7);
	TRUE(at);
	EQ_INT(pwrite(fd, "C", 1, at - bytes), 1);
	EQ_INT(open_store(&again, &e), E_CORRUPT);
	HAS(e.text, "0000000000000001.log' is damaged at byte ");
}

TEST(state, a_command_over_the_limit_is_refused)
{
	static char big[4 * 1024 * 1024 + 1];
	struct store *s = opened();
	EQ_INT(ask(s, OP_PUT, str_n(big, sizeof(big))).err.code, E_TOOBIG);
	EQ_INT(ask(s, OP_PUT, str_n(big, sizeof(big) - 1)).err.code, 0);
	store_close(s);
}

/* ---- the disk seam over the real disk: no space, and syncs that fail ---- */

static struct {
	bool full, broken;
} trouble;

static int trouble_allocate(void *ctx, int fd, off_t bytes)
{
	if (trouble.full) {
		errno = ENOSPC;
		return -1;
	}
	return disk_real.allocate(ctx, fd, bytes);
}

static ssize_t trouble_pwrite(void *ctx, int fd, const void *data, size_t len, off_t at)
{
	if (trouble.full) {
		errno = ENOSPC;
		return -1;
	}
	return disk_real.pwrite(ctx, fd, data, len, at);
}

static int trouble_sync(void *ctx, int fd)
{
	if (trouble.broken) {
		errno = EIO;
		return -1;
	}
	return disk_real.sync(ctx, fd);
}

static struct disk troubled(void)
{
	struct disk d = disk_real;
	d.allocate = trouble_allocate;
	d.pwrite = trouble_pwrite;
	d.sync = trouble_sync;
	return d;
}

static void end_run(struct loop_timer *t)
{
	(void)t;
	loop_stop(loop);
}

static void run_for(int64_t us)
{
	struct loop_timer t = { 0 };
	loop_timer_start(loop, &t, us, end_run);
	loop_run(loop);
	loop_timer_stop(&t);
}

TEST(state, a_full_disk_refuses_changes_and_serves_reads_until_space_returns)
{
	struct disk d = troubled();
	config.disk = &d;
	struct store *s = opened();
	(void)ask(s, OP_ADD, STR("x"));
	trouble.full = true;
	int waiting = 1;
	struct answer first = { .waiting = &waiting };
	store_propose(s, OP_ADD, STR("x"), 30 * SEC, &first.p, answered);        /* is written as soon as there is space */
	while (!store_trouble(s))
		run_for(10 * MSEC);
	EQ_INT(store_trouble(s)->code, E_NOSPACE);
	EQ_INT(ask(s, OP_ADD, STR("x")).err.code, E_NOSPACE);
	EQ_INT(counter(s, "x"), 1);
	trouble.full = false;
	while (waiting > 0)
		loop_run(loop);
	EQ_STR(first.reply, "2");
	EQ_STR(ask(s, OP_ADD, STR("x")).reply, "3");
	TRUE(!store_trouble(s));
	store_close(s);
}

TEST(state, a_failed_sync_stops_the_store_for_good)
{
	struct disk d = troubled();
	config.disk = &d;
	struct store *s = opened();
	trouble.broken = true;
	struct answer a = ask(s, OP_ADD, STR("x"));
	EQ_INT(a.err.code, E_TIMEOUT);           /* it may be there after a restart */
	trouble.broken = false;
	EQ_INT(ask(s, OP_ADD, STR("x")).err.code, E_IO);
	FALSE(store_leads(s));
	store_close(s);
}

TEST(state, a_cancelled_proposal_is_not_answered_but_done)
{
	struct store *s = opened();
	int waiting = 1;
	struct answer a = { .waiting = &waiting };
	store_propose(s, OP_ADD, STR("x"), SEC, &a.p, answered);
	propose_cancel(&a.p);
	EQ_STR(ask(s, OP_ADD, STR("x")).reply, "2");
	EQ_INT(waiting, 1);
	store_close(s);
}

/* ---- killed at random moments ---- */

struct writer {
	struct answer a;
	struct store *store;
	int fd;
};

static void writer_next(struct propose *p, struct str reply, const struct err *e)
{
	struct writer *w = container_of(p, struct writer, a.p);
	uint64_t n = 0;
	if (e->code != 0)
		_exit(2);
	if (reply.len > 0) {
		(void)!str_u64(reply, &n);
		if (write(w->fd, &n, sizeof(n)) != sizeof(n))
			_exit(3);
	}
	store_propose(w->store, OP_ADD, STR("x"), 10 * SEC, p, writer_next);
}

/* Counts for ever, telling each number that was acknowledged. */
static void count_for_ever(int fd)
{
	static struct writer w[4];
	struct err none = { 0 };
	loop = loop_new();
	struct store *s = opened();
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		w[i].store = s;
		w[i].fd = fd;
		writer_next(&w[i].a.p, STR(""), &none);
	}
	loop_run(loop);
}

TEST(state, no_acknowledged_command_is_lost_when_killed)
{
	struct rnd rnd;
	uint64_t acked = 0, n;
	rnd_seed(&rnd, test_seed());
	config.segment_bytes = 64 * KIB;
	config.checkpoint_bytes = 100 * KIB;
	(void)test_dir();
	for (size_t round = test_rounds(12); round > 0; round--) {
		int fds[2];
		EQ_INT(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			(void)close(fds[0]);
			count_for_ever(fds[1]);
			_exit(1);
		}
		(void)close(fds[1]);
		usleep((useconds_t)(1000 + rnd_below(&rnd, 250000)));
		EQ_INT(kill(pid, SIGKILL), 0);
		int status;
		EQ_INT(waitpid(pid, &status, 0), pid);
		TRUE(WIFSIGNALED(status));
		uint64_t before = acked;
		while (read(fds[0], &n, sizeof(n)) == sizeof(n))
			acked = MAX(acked, n);
		(void)close(fds[0]);
		loop = NULL;
		struct store *s = opened();
		n = counter(s, "x");
		printf("acknowledged %llu, found %llu\n", (unsigned long long)acked, (unsigned long long)n);
		TRUE(n >= acked);
		TRUE(n <= acked + ARRAY_LEN(((struct writer[4]){ { .fd = 0 } })));
		TRUE(acked >= before);
		acked = n;
		store_close(s);
		loop_free(MOVE(loop));
	}
}
