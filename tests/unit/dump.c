/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/buf.h"
#include "net/base/rnd.h"
#include "net/limits.h"
#include "store/dump.h"
#include "tests/lib/test.h"

static const struct kv_table fruit = { .name = "fruit", .version = 1 }, fruit_v2 = { .name = "fruit", .version = 2 };
static const struct kv_table tool = { .name = "tool", .version = 1 }, void_table = { .name = "void", .version = 1 };
static const struct kv_table *const tables[] = { &tool, &fruit, &void_table, NULL };
static const struct kv_table *const same_in_another_order[] = { &void_table, &fruit, &tool, NULL };
static const struct dump_head head = { .format = 2, .index = 812, .term = 3 };

static struct kv *opened(const char *name, const struct kv_table *const *of, size_t map_bytes)
{
	AUTO_FREE char *dir = xasprintf("%s/%s", test_dir(), name);
	struct kv_options o = { .tables = of, .map_bytes = map_bytes };
	struct kv *kv;
	struct err e;
	if (kv_open(dir, &o, &kv, &e) != 0)
		FAIL("%s", e.text);
	return kv;
}

static void put(struct kv *kv, const struct kv_table *t, const char *key, struct str value)
{
	struct err e;
	struct kv_txn *txn;
	EQ_INT(kv_begin(kv, true, &txn, &e), 0);
	EQ_INT(kv_put(txn, t, str_of(key), value, &e), 0);
	EQ_INT(kv_commit(txn, &e), 0);
}

static int append(void *arg, const void *data, size_t len, struct err *e)
{
	return buf_append(arg, data, len) ? 0 : err_set(e, E_TOOBIG, "too much for the test");
}

static void dump(struct kv *kv, const struct kv_table *const *of, struct buf *out)
{
	struct err e;
	struct kv_txn *txn;
	EQ_INT(kv_begin(kv, false, &txn, &e), 0);
	if (dump_write(txn, of, &head, append, out, &e) != 0)
		FAIL("%s", e.text);
	kv_abort(txn);
}

/* Bytes as a source, which ends before `len`. */
struct bytes {
	const uint8_t *p;
	size_t len, at;
	int rewound;
};

static ssize_t bytes_read(void *arg, void *out, size_t len, struct err *e)
{
	struct bytes *b = arg;
	size_t n = MIN(len, b->len - b->at);
	(void)e;
	if (n > 0)
		memcpy(out, b->p + b->at, n);
	b->at += n;
	return (ssize_t)n;
}

static int bytes_rewind(void *arg, struct err *e)
{
	struct bytes *b = arg;
	(void)e;
	b->at = 0;
	b->rewound++;
	return 0;
}

static int check(const void *p, size_t len, uint64_t *rows, struct err *e)
{
	struct bytes b = { p, len, 0, 0 };
	struct dump_source from = { bytes_read, bytes_rewind, &b };
	return dump_check(&from, NULL, rows, e);
}

static int load(const void *p, size_t len, struct kv *kv, const struct kv_table *const *of, struct dump_head *out, struct err *e)
{
	struct bytes b = { p, len, 0, 0 };
	struct dump_source from = { bytes_read, bytes_rewind, &b };
	return dump_load(&from, kv, of, out, e);
}

static void fill(struct kv *kv)
{
	static char big[100000];
	put(kv, &tool, "hammer", STR("heavy"));
	put(kv, &fruit, "pear", STR(""));
	put(kv, &fruit, "apple", STR("red"));
	for (int i = 0; i < 9; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "box %d", i);
		memset(big, 'a' + i, sizeof(big));
		put(kv, &tool, key, str_n(big, sizeof(big)));
	}
}

TEST(dump, what_is_loaded_is_what_was_dumped)
{
	AUTO_BUF struct buf one = BUF_INIT, two = BUF_INIT;
	struct dump_head got;
	struct err e;
	uint64_t rows;
	struct kv *a = opened("a", tables, 0), *b = opened("b", tables, 0);
	fill(a);
	put(b, &tool, "saw", STR("gone after the load"));
	put(b, &void_table, "row", STR("gone too"));
	dump(a, tables, &one);
	EQ_INT(check(one.data, one.len, &rows, &e), 0);
	EQ_INT(rows, 12);
	EQ_INT(load(one.data, one.len, b, tables, &got, &e), 0);
	EQ_INT(got.format, 2);
	EQ_INT(got.index, 812);
	EQ_INT(got.term, 3);
	dump(b, tables, &two);
	EQ_INT(two.len, one.len);
	EQ_MEM(two.data, one.data, one.len);
	struct kv_txn *txn;
	struct str v;
	EQ_INT(kv_begin(b, false, &txn, &e), 0);
	EQ_INT(kv_get(txn, &fruit, STR("apple"), &v, &e), 0);
	EQ_STR(v, "red");
	EQ_INT(kv_get(txn, &tool, STR("saw"), &v, &e), E_NOTFOUND);
	kv_abort(txn);
	kv_close(a);
	kv_close(b);
}

TEST(dump, equal_rows_make_equal_bytes_however_they_got_there)
{
	AUTO_BUF struct buf one = BUF_INIT, two = BUF_INIT;
	struct err e;
	struct kv *a = opened("a", tables, 0), *b = opened("b", same_in_another_order, 0);
	put(a, &fruit, "apple", STR("red"));
	put(a, &tool, "saw", STR("sharp"));
	put(b, &tool, "saw", STR("blunt"));
	put(b, &fruit, "zucchini", STR("none"));
	put(b, &tool, "saw", STR("sharp"));
	put(b, &fruit, "apple", STR("red"));
	struct kv_txn *txn;
	EQ_INT(kv_begin(b, true, &txn, &e), 0);
	EQ_INT(kv_del(txn, &fruit, STR("zucchini"), &e), 0);
	EQ_INT(kv_commit(txn, &e), 0);
	dump(a, tables, &one);
	dump(b, same_in_another_order, &two);
	EQ_INT(two.len, one.len);
	EQ_MEM(two.data, one.data, one.len);
	kv_close(a);
	kv_close(b);
}

TEST(dump, an_empty_state_has_a_dump_of_a_head_and_an_end)
{
	AUTO_BUF struct buf one = BUF_INIT;
	struct err e;
	uint64_t rows = 1;
	struct kv *a = opened("a", tables, 0);
	dump(a, tables, &one);
	EQ_INT(one.len, 36 + 12 + 16);
	EQ_INT(check(one.data, one.len, &rows, &e), 0);
	EQ_INT(rows, 0);
	put(a, &fruit, "apple", STR("red"));
	EQ_INT(load(one.data, one.len, a, tables, NULL, &e), 0);
	struct kv_txn *txn;
	EQ_INT(kv_begin(a, false, &txn, &e), 0);
	EQ_INT(kv_count(txn, &fruit), 0);
	kv_abort(txn);
	kv_close(a);
}

/* Where the block at `at` ends. */
static size_t block_end(const struct buf *b, size_t at)
{
	uint32_t bytes;
	memcpy(&bytes, b->data + at + 4, sizeof(bytes));
	return at + 12 + bytes;
}

TEST(dump, one_that_was_cut_is_damaged_and_changes_nothing)
{
	AUTO_BUF struct buf one = BUF_INIT, before = BUF_INIT, after = BUF_INIT;
	struct err e;
	int boundaries = 0;
	struct kv *a = opened("a", tables, 0), *b = opened("b", tables, 0);
	fill(a);
	put(b, &fruit, "fig", STR("kept"));
	dump(a, tables, &one);
	dump(b, tables, &before);
	for (size_t at = 36; at < one.len; at = block_end(&one, at), boundaries++)
		for (size_t cut = at - 1; cut <= at + 40 && cut < one.len; cut++) {
			EQ_INT(check(one.data, cut, NULL, &e), E_CORRUPT);
			EQ_INT(load(one.data, cut, b, tables, NULL, &e), E_CORRUPT);
			HAS(e.text, "damaged at byte");
		}
	EQ_INT(boundaries, 6);           /* fruit, four of tools, the end */
	EQ_INT(check(one.data, one.len / 2, NULL, &e), E_CORRUPT);
	EQ_INT(check(one.data, 0, NULL, &e), E_CORRUPT);
	HAS(e.text, "it ends here, too early");
	dump(b, tables, &after);
	EQ_INT(after.len, before.len);
	EQ_MEM(after.data, before.data, before.len);
	kv_close(a);
	kv_close(b);
}

TEST(dump, one_that_goes_on_behind_its_end_is_damaged)
{
	AUTO_BUF struct buf one = BUF_INIT;
	struct err e;
	struct kv *a = opened("a", tables, 0);
	put(a, &fruit, "apple", STR("red"));
	dump(a, tables, &one);
	(void)buf_putc(&one, 0);
	EQ_INT(check(one.data, one.len, NULL, &e), E_CORRUPT);
	HAS(e.text, "goes on behind its end");
	kv_close(a);
}

TEST(dump, any_flipped_bit_is_seen)
{
	AUTO_BUF struct buf one = BUF_INIT;
	struct err e;
	struct kv *a = opened("a", tables, 0);
	put(a, &fruit, "apple", STR("red"));
	put(a, &fruit, "pear", STR("green"));
	put(a, &tool, "saw", STR("sharp"));
	dump(a, tables, &one);
	for (size_t bit = 0; bit < one.len * 8; bit++) {
		one.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (check(one.data, one.len, NULL, &e) != E_CORRUPT)
			FAIL("bit %zu flips unseen", bit);
		one.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	EQ_INT(check(one.data, one.len, NULL, &e), 0);
	kv_close(a);
}

TEST(dump, a_block_that_is_missing_doubled_or_moved_is_seen)
{
	AUTO_BUF struct buf one = BUF_INIT, changed = BUF_INIT;
	struct err e;
	struct kv *a = opened("a", tables, 0);
	fill(a);
	dump(a, tables, &one);
	size_t first = 36, second = block_end(&one, first), third = block_end(&one, second), rest = block_end(&one, third);
	const size_t order[][4] = { { second, third, rest, 0 }, { first, third, rest, 0 }, { first, second, second, third }, { first, third, second, rest } };
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		buf_reset(&changed);
		(void)buf_append(&changed, one.data, first);
		for (size_t k = 0; k < 4 && order[i][k]; k++) {
			size_t from = order[i][k], to = from == rest ? one.len : block_end(&one, from);
			(void)buf_append(&changed, one.data + from, to - from);
		}
		EQ_INT(check(changed.data, changed.len, NULL, &e), E_CORRUPT);
		HAS(e.text, "checksum");
	}
	kv_close(a);
}

TEST(dump, a_newer_layout_is_refused_with_a_sentence)
{
	AUTO_BUF struct buf one = BUF_INIT;
	struct dump_head got;
	struct err e;
	struct kv *a = opened("a", tables, 0);
	dump(a, tables, &one);
	one.data[8]++;
	uint32_t crc = crc32c(0, one.data, 32);
	memcpy(one.data + 32, &crc, sizeof(crc));
	struct bytes b = { one.data, one.len, 0, 0 };
	struct dump_source from = { bytes_read, bytes_rewind, &b };
	EQ_INT(dump_read_head(&from, &got, &e), E_NEWER);
	EQ_STR(e.text, "the dump was written by a newer dcos-node (layout 2, this one reads 1); use the newer one");
	EQ_INT(check(one.data, one.len, NULL, &e), E_NEWER);
	kv_close(a);
}

TEST(dump, tables_and_values_of_a_newer_executable_are_refused)
{
	static const struct kv_table *const newer[] = { &fruit_v2, NULL }, *const fewer[] = { &fruit, NULL };
	AUTO_BUF struct buf one = BUF_INIT, two = BUF_INIT;
	struct err e;
	struct kv *a = opened("a", tables, 0), *b = opened("b", fewer, 0), *c = opened("c", newer, 0);
	put(a, &tool, "saw", STR("sharp"));
	dump(a, tables, &one);
	EQ_INT(load(one.data, one.len, b, fewer, NULL, &e), E_NEWER);
	HAS(e.text, "a table 'tool', which this dcos-node does not know");
	put(c, &fruit_v2, "apple", STR("red"));
	dump(c, newer, &two);
	EQ_INT(load(two.data, two.len, a, tables, NULL, &e), E_NEWER);
	HAS(e.text, "version 2, this dcos-node reads up to 1");
	EQ_INT(load(one.data, one.len, a, tables, NULL, &e), 0);
	kv_close(a);
	kv_close(b);
	kv_close(c);
}

TEST(dump, a_row_that_is_damaged_in_the_database_is_not_dumped)
{
	AUTO_BUF struct buf one = BUF_INIT;
	AUTO_FREE char *path = xasprintf("%s/a/data.mdb", test_dir());
	static char bytes[1 << 20];
	struct err e;
	struct kv_txn *txn;
	struct kv *a = opened("a", tables, 0);
	put(a, &fruit, "apple", STR("a value to find in the file"));
	kv_close(a);
	FILE *f = fopen(path, "r+");
	size_t len = fread(bytes, 1, sizeof(bytes), f);
	char *at = memmem(bytes, len, "a value to find", 15);
	TRUE(at);
	*at = 'A';
	rewind(f);
	EQ_INT(fwrite(bytes, 1, len, f), len);
	EQ_INT(fclose(f), 0);
	a = opened("a", tables, 0);
	EQ_INT(kv_begin(a, false, &txn, &e), 0);
	EQ_INT(dump_write(txn, tables, &head, append, &one, &e), E_CORRUPT);
	HAS(e.text, "wrong checksum");
	kv_abort(txn);
	kv_close(a);
}

static int refuse_after(void *arg, const void *data, size_t len, struct err *e)
{
	int *left = arg;
	(void)data, (void)len;
	return (*left)-- > 0 ? 0 : err_set(e, E_NOSPACE, "no space for the test");
}

TEST(dump, a_writer_that_fails_ends_it)
{
	struct err e;
	struct kv_txn *txn;
	struct kv *a = opened("a", tables, 0);
	fill(a);
	EQ_INT(kv_begin(a, false, &txn, &e), 0);
	for (int i = 0, left; i < 20; i++) {
		left = i;
		EQ_INT(dump_write(txn, tables, &head, refuse_after, &left, &e), E_NOSPACE);
		EQ_INT(left, -1);
		EQ_STR(e.text, "no space for the test");
	}
	kv_abort(txn);
	kv_close(a);
}

TEST(dump, a_map_that_is_too_small_grows_and_the_source_is_read_again)
{
	AUTO_BUF struct buf one = BUF_INIT;
	struct err e;
	struct kv *a = opened("a", tables, 0), *b = opened("b", tables, 256 * KIB);
	fill(a);
	dump(a, tables, &one);
	struct bytes bytes = { one.data, one.len, 0, 0 };
	struct dump_source from = { bytes_read, bytes_rewind, &bytes };
	EQ_INT(dump_load(&from, b, tables, NULL, &e), 0);
	TRUE(bytes.rewound > 0);
	AUTO_BUF struct buf two = BUF_INIT;
	dump(b, tables, &two);
	EQ_INT(two.len, one.len);
	EQ_MEM(two.data, one.data, one.len);
	kv_close(a);
	kv_close(b);
}

/* A stream of one block as given, with right checksums. */
static void forge(struct buf *out, uint32_t kind, uint32_t bytes, struct str payload)
{
	uint32_t layout = 1, block[2] = { kind, bytes };
	uint8_t zeros[20] = { 0 };
	buf_reset(out);
	(void)buf_puts(out, "dcosdump");
	(void)buf_append(out, &layout, sizeof(layout));
	(void)buf_append(out, zeros, sizeof(zeros));
	uint32_t crc = crc32c(0, out->data, out->len);
	(void)buf_append(out, &crc, sizeof(crc));
	crc = crc32c(crc, block, sizeof(block));
	crc = crc32c(crc, payload.p, payload.len);
	(void)buf_append(out, block, sizeof(block));
	(void)buf_append(out, &crc, sizeof(crc));
	(void)buf_str(out, payload);
}

TEST(dump, blocks_with_right_checksums_and_wrong_contents_are_damaged)
{
#define ROW(key) "\x01\0\x05\0\0\0" key "12345"
	static const struct { uint32_t kind; struct str payload; const char *says; } rows[] = {
		{ 1, { "", 0 },                                          "has no table" },
		{ 1, { "\0", 1 },                                        "has no table" },
		{ 1, { "\5tool", 5 },                                    "has no table" },
		{ 1, { "\4to\0l", 5 },                                   "has no table" },
		{ 1, { "\4tool\1", 6 },                                  "broken row" },
		{ 1, { "\4tool\0\0\0\0\0\0", 11 },                       "broken row" },
		{ 1, { "\4tool\xff\xff\0\0\0\0", 11 },                   "broken row" },
		{ 1, { "\4tool\1\0\xff\xff\xff\xff" "a", 12 },           "broken row" },
		{ 1, { "\4tool" ROW("b") ROW("a"), 29 },                 "out of order" },
		{ 1, { "\4tool" ROW("a") ROW("a"), 29 },                 "out of order" },
		{ 3, { "later", 5 },                                     "of no known kind" },
		{ 2, { "short", 5 },                                     "wrong length" },
		{ 2, { "\1\0\0\0\0\0\0\0\x24\0\0\0\0\0\0\0", 16 },       "counts other rows" },
		{ 2, { "\0\0\0\0\0\0\0\0\x25\0\0\0\0\0\0\0", 16 },       "counts other rows" },
	};
	AUTO_BUF struct buf b = BUF_INIT;
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		forge(&b, rows[i].kind, (uint32_t)rows[i].payload.len, rows[i].payload);
		EQ_INT(check(test_edge(b.data, b.len), b.len, NULL, &e), E_CORRUPT);
		HAS(e.text, rows[i].says);
	}
	forge(&b, 2, 16, str_n("\0\0\0\0\0\0\0\0\x24\0\0\0\0\0\0\0", 16));
	EQ_INT(check(b.data, b.len, NULL, &e), 0);
}

TEST(dump, a_block_at_the_limit_is_read_and_one_byte_more_is_not)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct err e;
	forge(&b, 1, LIMIT_DUMP_BLOCK_BYTES, STR("and then nothing"));
	EQ_INT(check(b.data, b.len, NULL, &e), E_CORRUPT);
	HAS(e.text, "ends here, too early");
	forge(&b, 1, LIMIT_DUMP_BLOCK_BYTES + 1, STR("and then nothing"));
	EQ_INT(check(b.data, b.len, NULL, &e), E_CORRUPT);
	HAS(e.text, "a block is too long");
}

TEST(dump, a_value_at_the_limit_is_dumped_and_one_byte_more_is_not)
{
	AUTO_BUF struct buf one = BUF_INIT;
	AUTO_FREE char *big = xcalloc(1, LIMIT_DUMP_ROW_BYTES);
	struct err e;
	struct kv_txn *txn;
	struct kv *a = opened("a", tables, 256 * MIB), *b = opened("b", tables, 256 * MIB);
	put(a, &tool, "anvil", str_n(big, DUMP_BLOCK_BYTES - 40));
	put(a, &tool, "boat", str_n(big, LIMIT_DUMP_ROW_BYTES - 5));     /* stored with version and checksum */
	dump(a, tables, &one);
	EQ_INT(load(one.data, one.len, b, tables, NULL, &e), 0);
	put(a, &tool, "boat", str_n(big, LIMIT_DUMP_ROW_BYTES - 4));
	EQ_INT(kv_begin(a, false, &txn, &e), 0);
	EQ_INT(dump_write(txn, tables, &head, append, &one, &e), E_TOOBIG);
	HAS(e.text, "which no dump takes");
	kv_abort(txn);
	kv_close(a);
	kv_close(b);
}

static void draw(struct rnd *r, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)rnd_u64(r);
}

TEST(dump, random_rows_survive_the_way_there_and_back)
{
	struct rnd r;
	struct err e;
	rnd_seed(&r, test_seed());
	for (size_t round = 0; round < test_rounds(5); round++) {
		AUTO_BUF struct buf one = BUF_INIT, two = BUF_INIT;
		AUTO_FREE char *from = xasprintf("from%zu", round), *to = xasprintf("to%zu", round);
		struct kv *a = opened(from, tables, 0), *b = opened(to, tables, 0);
		struct kv_txn *txn;
		uint8_t key[KV_KEY_MAX], value[5000];
		draw(&r, value, sizeof(value));
		EQ_INT(kv_begin(a, true, &txn, &e), 0);
		for (uint64_t i = rnd_below(&r, 2000); i > 0; i--) {
			size_t key_len = 1 + rnd_below(&r, rnd_below(&r, 4) ? 8 : KV_KEY_MAX), len = rnd_below(&r, sizeof(value));
			draw(&r, key, key_len);
			EQ_INT(kv_put(txn, tables[rnd_below(&r, 3)], str_n((const char *)key, key_len), str_n((const char *)value, len), &e), 0);
		}
		EQ_INT(kv_commit(txn, &e), 0);
		dump(a, tables, &one);
		EQ_INT(load(one.data, one.len, b, tables, NULL, &e), 0);
		dump(b, tables, &two);
		EQ_INT(two.len, one.len);
		EQ_MEM(two.data, one.data, one.len);
		kv_close(a);
		kv_close(b);
	}
}
