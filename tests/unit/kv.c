/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "net/base/rnd.h"
#include "store/kv.h"
#include "tests/lib/test.h"

static const struct kv_table fruit = { .name = "fruit", .version = 1 }, fruit_v2 = { .name = "fruit", .version = 2 }, tool = { .name = "tool", .version = 1 };
static const struct kv_table *const tables[] = { &fruit, &tool, NULL };

static struct kv *opened(size_t map_bytes)
{
	struct kv_options o = { .map_bytes = map_bytes, .tables = tables };
	struct kv *kv;
	struct err e;
	if (kv_open(test_dir(), &o, &kv, &e) != 0)
		FAIL("%s", e.text);
	return kv;
}

static struct kv_txn *begun(struct kv *kv, bool write)
{
	struct kv_txn *txn;
	struct err e;
	if (kv_begin(kv, write, &txn, &e) != 0)
		FAIL("%s", e.text);
	return txn;
}

static void put(struct kv *kv, const struct kv_table *t, const char *key, const char *value)
{
	struct err e;
	struct kv_txn *txn = begun(kv, true);
	EQ_INT(kv_put(txn, t, str_of(key), str_of(value), &e), 0);
	EQ_INT(kv_commit(txn, &e), 0);
}

TEST(kv, crc32c_gives_the_vectors_of_rfc_3720)
{
	uint8_t bytes[32];
	memset(bytes, 0, sizeof(bytes));
	EQ_INT(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	EQ_INT(crc32c(0, bytes, 32), 0x62a8ab43);
	for (size_t i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	EQ_INT(crc32c(0, bytes, 32), 0x46dd794e);
	EQ_INT(crc32c_portable(0, bytes, 32), 0x46dd794e);
	EQ_INT(crc32c(crc32c(0, bytes, 13), bytes + 13, 19), 0x46dd794e);
}

TEST(kv, values_come_back_after_reopening)
{
	struct err e;
	struct str v;
	struct kv *kv = opened(0);
	put(kv, &fruit, "apple", "red");
	put(kv, &fruit, "void", "");
	kv_close(kv);
	kv = opened(0);
	struct kv_txn *txn = begun(kv, false);
	EQ_INT(kv_get(txn, &fruit, STR("apple"), &v, &e), 0);
	EQ_STR(v, "red");
	EQ_INT(kv_get(txn, &fruit, STR("void"), &v, &e), 0);
	EQ_INT(v.len, 0);
	EQ_INT(kv_get(txn, &tool, STR("apple"), &v, &e), E_NOTFOUND);
	EQ_INT(kv_count(txn, &fruit), 2);
	kv_abort(txn);
	kv_close(kv);
}

static bool join(void *arg, struct str key, struct str value)
{
	(void)buf_printf(arg, STR_FMT "=" STR_FMT " ", STR_ARG(key), STR_ARG(value));
	return !str_eq_c(key, "d");
}

TEST(kv, each_goes_in_order_from_a_key_until_told_to_stop)
{
	struct err e;
	AUTO_BUF struct buf b = BUF_INIT;
	struct kv *kv = opened(0);
	put(kv, &fruit, "d", "4");
	put(kv, &fruit, "b", "2");
	put(kv, &fruit, "e", "5");
	put(kv, &fruit, "a", "1");
	struct kv_txn *txn = begun(kv, false);
	EQ_INT(kv_each(txn, &fruit, STR("aa"), join, &b, &e), 0);
	EQ_STR(buf_cstr(&b), "b=2 d=4 ");
	kv_abort(txn);
	kv_close(kv);
}

TEST(kv, a_nested_transaction_that_ends_leaves_nothing)
{
	struct err e;
	struct str v;
	struct kv_txn *nested;
	struct kv *kv = opened(0);
	struct kv_txn *txn = begun(kv, true);
	EQ_INT(kv_nest(txn, &nested, &e), 0);
	EQ_INT(kv_put(nested, &fruit, STR("kept"), STR("1"), &e), 0);
	EQ_INT(kv_commit(nested, &e), 0);
	EQ_INT(kv_nest(txn, &nested, &e), 0);
	EQ_INT(kv_put(nested, &fruit, STR("gone"), STR("1"), &e), 0);
	EQ_INT(kv_del(nested, &fruit, STR("kept"), &e), 0);
	kv_abort(nested);
	EQ_INT(kv_commit(txn, &e), 0);
	txn = begun(kv, false);
	EQ_INT(kv_get(txn, &fruit, STR("kept"), &v, &e), 0);
	EQ_INT(kv_get(txn, &fruit, STR("gone"), &v, &e), E_NOTFOUND);
	kv_abort(txn);
	kv_close(kv);
}

static int put_many(struct kv_txn *txn, void *arg, struct err *e)
{
	static char value[4000];
	int *runs = arg, rc = 0;
	uint8_t key[8];
	(*runs)++;
	for (uint64_t i = 0; rc == 0 && i < 2000; i++)
		rc = kv_put(txn, &fruit, kv_key_u64(i, key), str_n(value, sizeof(value)), e);
	return rc;
}

TEST(kv, a_full_map_grows_and_the_update_runs_again)
{
	struct err e;
	int runs = 0;
	struct kv *kv = opened(256 * KIB);
	EQ_INT(kv_update(kv, put_many, &runs, &e), 0);
	TRUE(runs > 1);
	struct kv_txn *txn = begun(kv, false);
	EQ_INT(kv_count(txn, &fruit), 2000);
	kv_abort(txn);
	kv_close(kv);
}

TEST(kv, a_newer_value_is_refused)
{
	static const struct kv_table *const newer[] = { &fruit_v2, NULL };
	struct kv_options o = { .tables = newer };
	struct kv *kv;
	struct err e;
	struct str v;
	EQ_INT(kv_open(test_dir(), &o, &kv, &e), 0);
	put(kv, &fruit_v2, "apple", "red");
	kv_close(kv);
	kv = opened(0);
	struct kv_txn *txn = begun(kv, false);
	EQ_INT(kv_get(txn, &fruit, STR("apple"), &v, &e), E_NEWER);
	HAS(e.text, "version 2, this dcos-node reads up to 1");
	kv_abort(txn);
	kv_close(kv);
}

TEST(kv, a_flipped_bit_in_a_value_is_damage)
{
	struct err e;
	struct str v;
	AUTO_FREE char *path = xasprintf("%s/data.mdb", test_dir());
	struct kv *kv = opened(0);
	put(kv, &fruit, "apple", "a value to find in the file");
	kv_close(kv);
	AUTO_FD int fd = open(path, O_RDWR);
	static char bytes[1 << 20];
	ssize_t len = pread(fd, bytes, sizeof(bytes), 0);
	int found = 0;
	for (ssize_t at = 0; at + 27 <= len; at++)
		if (memcmp(bytes + at, "a value to find in the file", 27) == 0) {
			EQ_INT(pwrite(fd, "A", 1, at), 1);
			found++;
		}
	TRUE(found > 0);
	kv = opened(0);
	struct kv_txn *txn = begun(kv, false);
	EQ_INT(kv_get(txn, &fruit, STR("apple"), &v, &e), E_CORRUPT);
	HAS(e.text, "wrong checksum");
	kv_abort(txn);
	kv_close(kv);
}

TEST(kv, a_file_of_garbage_is_damage_in_one_sentence)
{
	struct kv_options o = { .tables = tables };
	struct kv *kv;
	struct err e;
	AUTO_FREE char *path = xasprintf("%s/data.mdb", test_dir());
	AUTO_FD int fd = open(path, O_RDWR | O_CREAT, 0600);
	static const char garbage[65536] = "this is no database";
	EQ_INT(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
	EQ_INT(kv_open(test_dir(), &o, &kv, &e), E_CORRUPT);
	HAS(e.text, "data.mdb' is damaged");
}

TEST(kv, a_file_that_was_cut_short_is_an_error_and_not_a_signal)
{
	struct kv_options o = { .tables = tables };
	struct err e;
	int runs = 0;
	AUTO_FREE char *path = xasprintf("%s/data.mdb", test_dir());
	struct kv *kv = opened(0);
	EQ_INT(kv_update(kv, put_many, &runs, &e), 0);
	kv_close(kv);
	EQ_INT(truncate(path, 65536), 0);
	int rc = kv_open(test_dir(), &o, &kv, &e);
	if (rc == 0) {
		struct kv_txn *txn = begun(kv, false);
		AUTO_BUF struct buf b = BUF_INIT;
		rc = kv_each(txn, &fruit, STR(""), join, &b, &e);
		kv_abort(txn);
		kv_close(kv);
	}
	EQ_INT(rc, E_CORRUPT);
}

TEST(kv, a_copy_is_a_database_of_its_own)
{
	struct err e;
	struct str v;
	AUTO_FREE char *dir = xasprintf("%s/copy", test_dir());
	AUTO_FREE char *path = xasprintf("%s/copy/data.mdb", test_dir());
	struct kv *kv = opened(0);
	put(kv, &fruit, "apple", "red");
	EQ_INT(mkdir(dir, 0700), 0);
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT, 0600);
	EQ_INT(kv_copy(kv, fd, &e), 0);
	put(kv, &fruit, "apple", "green");
	kv_close(kv);
	struct kv_options o = { .tables = tables };
	EQ_INT(kv_open(dir, &o, &kv, &e), 0);
	struct kv_txn *txn = begun(kv, false);
	EQ_INT(kv_get(txn, &fruit, STR("apple"), &v, &e), 0);
	EQ_STR(v, "red");
	kv_abort(txn);
	kv_close(kv);
}

TEST(kv, a_writer_that_dies_in_its_transaction_blocks_nobody)
{
	struct err e;
	struct str v;
	pid_t pid = fork();
	if (pid == 0) {
		struct kv *kv = opened(0);
		put(kv, &fruit, "apple", "red");
		struct kv_txn *txn = begun(kv, true);
		(void)kv_put(txn, &fruit, STR("apple"), STR("blue"), &e);
		(void)raise(SIGKILL);
	}
	EQ_INT(waitpid(pid, NULL, 0), pid);
	struct kv *kv = opened(0);
	put(kv, &fruit, "pear", "green");
	struct kv_txn *txn = begun(kv, false);
	EQ_INT(kv_get(txn, &fruit, STR("apple"), &v, &e), 0);
	EQ_STR(v, "red");
	EQ_INT(kv_get(txn, &fruit, STR("pear"), &v, &e), 0);
	kv_abort(txn);
	kv_close(kv);
}

TEST(kv, a_writer_that_dies_while_another_process_has_it_open_blocks_nobody)
{
	struct err e;
	int fds[2];
	char c;
	EQ_INT(pipe(fds), 0);
	(void)test_dir();
	pid_t pid = fork();
	if (pid == 0) {
		struct kv *kv = opened(0);
		put(kv, &tool, "hammer", "heavy");
		struct kv_txn *txn = begun(kv, true);
		(void)kv_put(txn, &fruit, STR("apple"), STR("blue"), &e);
		(void)!write(fds[1], "w", 1);
		for (;;)
			(void)pause();
	}
	EQ_INT(read(fds[0], &c, 1), 1);
	struct kv *kv = opened(0);               /* does not wait for the writer */
	EQ_INT(kill(pid, SIGKILL), 0);
	EQ_INT(waitpid(pid, NULL, 0), pid);
	put(kv, &fruit, "pear", "green");
	struct kv_txn *txn = begun(kv, false);
	EQ_INT(kv_count(txn, &fruit), 1);
	kv_abort(txn);
	kv_close(kv);
}
