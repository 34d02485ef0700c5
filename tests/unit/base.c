/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: buffers, slices, maps, arenas, flags, durations. */
#include <stdio.h>

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/flag.h"
#include "net/base/map.h"
#include "net/base/rnd.h"
#include "net/base/time.h"
#include "tests/lib/test.h"

TEST(buf, past_its_ceiling_it_keeps_what_it_has_and_says_so)
{
	struct buf b;
	buf_init(&b, 4);
	TRUE(buf_puts(&b, "abc"));
	FALSE(buf_puts(&b, "de"));
	FALSE(buf_ok(&b));
	EQ_STR(buf_view(&b), "abc");
	FALSE(buf_puts(&b, "d"));
	buf_reset(&b);
	TRUE(buf_puts(&b, "abcd"));
	EQ_STR(buf_cstr(&b), "abcd");
	buf_fini(&b);
}

TEST(buf, json_strings_are_escaped_and_invalid_utf8_is_replaced)
{
	static const struct { const char *in, *out; } rows[] = {
		{ "plain", "\"plain\"" }, { "a\"b\\c", "\"a\\\"b\\\\c\"" }, { "\n\t\x01", "\"\\n\\t\\u0001\"" },
		{ "\xc3\xa4", "\"\xc3\xa4\"" }, { "\xff", "\"\xef\xbf\xbd\"" }, { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" }, { "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF struct buf b = BUF_INIT;
		size_t n = strlen(rows[i].in);
		buf_json_str(&b, str_n(test_edge(rows[i].in, n), n));
		EQ_STR(buf_cstr(&b), rows[i].out);
	}
}

TEST(buf, json_numbers_are_the_shortest_that_read_back)
{
	static const struct { double in; const char *out; } rows[] = {
		{ 0.1, "0.1" }, { 1, "1.0" }, { 0, "0.0" }, { 1e22, "1e+22" }, { 1.0 / 3, "0.3333333333333333" }, { -2.5, "-2.5" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF struct buf b = BUF_INIT;
		buf_json_num(&b, rows[i].in);
		EQ_STR(buf_cstr(&b), rows[i].out);
	}
}

TEST(map, behaves_like_a_plain_list_of_pairs)
{
	struct map m = { 0 };
	struct rnd r;
	int values[64], *model[64] = { 0 };
	rnd_seed(&r, test_seed());
	for (size_t i = 0; i < test_rounds(20000); i++) {
		size_t k = rnd_below(&r, 64);
		char key[16];
		(void)snprintf(key, sizeof(key), "key-%zu", k);
		if (rnd_below(&r, 3) == 0) {
			TRUE(map_remove_c(&m, key) == model[k]);
			model[k] = NULL;
		} else {
			int *v = &values[rnd_below(&r, 64)];
			TRUE(map_put_c(&m, key, v) == model[k]);
			model[k] = v;
		}
		size_t live = 0;
		for (size_t j = 0; j < 64; j++)
			live += model[j] != NULL;
		EQ_INT(map_count(&m), live);
		k = rnd_below(&r, 64);
		(void)snprintf(key, sizeof(key), "key-%zu", k);
		TRUE(map_find_c(&m, key) == model[k]);
	}
	map_fini(&m);
}

TEST(map, keys_may_hold_any_bytes)
{
	struct map m = { 0 };
	int values[256];
	for (uint32_t i = 0; i < 256; i++) {
		uint64_t key = (uint64_t)i << 32 | 0x50;
		(void)map_put(&m, str_n((const char *)&key, sizeof(key)), &values[i]);
	}
	for (uint32_t i = 0; i < 256; i++) {
		uint64_t key = (uint64_t)i << 32 | 0x50;
		TRUE(map_remove(&m, str_n(test_edge(&key, sizeof(key)), sizeof(key))) == &values[i]);
	}
	EQ_INT(map_count(&m), 0);
	map_fini(&m);
}

TEST(map, entries_may_be_removed_while_walking)
{
	struct map m = { 0 };
	int v, seen = 0;
	for (int i = 0; i < 100; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "%d", i);
		(void)map_put_c(&m, key, &v);
	}
	map_each(&m, e) {
		seen++;
		if (e->key[0] % 2)
			(void)map_remove(&m, str_n(e->key, e->key_len));
	}
	EQ_INT(seen, 100);
	TRUE(map_find_c(&m, "2") == &v);
	TRUE(map_find_c(&m, "3") == NULL);
	map_fini(&m);
}

TEST(arena, gives_zeroed_memory_up_to_its_ceiling)
{
	struct arena a;
	arena_init(&a, 4096);
	uint8_t *p = arena_try(&a, 4000);
	TRUE(p != NULL);
	for (int i = 0; i < 4000; i++)
		EQ_INT(p[i], 0);
	TRUE(arena_try(&a, 200) == NULL);
	TRUE(arena_try(&a, SIZE_MAX) == NULL);
	arena_fini(&a);
}

TEST(arena, a_grown_block_keeps_its_bytes)
{
	struct arena a = ARENA_INIT;
	char *p = arena_grow(&a, NULL, 0, 8);
	memcpy(p, "1234567", 8);
	for (size_t n = 8; n < 100000; n *= 2) {
		p = arena_grow(&a, p, n, n * 2);
		if (n == 64)
			(void)arena_alloc(&a, 1);     /* no longer the newest */
	}
	EQ_STR(p, "1234567");
	arena_fini(&a);
}

TEST(str, numbers_are_whole_and_in_range_or_not_numbers)
{
	uint64_t u;
	int64_t i;
	TRUE(str_u64(STR("18446744073709551615"), &u));
	TRUE(u == UINT64_MAX);
	FALSE(str_u64(STR("18446744073709551616"), &u));
	FALSE(str_u64(STR(""), &u));
	FALSE(str_u64(STR("1x"), &u));
	TRUE(str_i64(STR("-9223372036854775808"), &i));
	TRUE(i == INT64_MIN);
	FALSE(str_i64(STR("9223372036854775808"), &i));
	FALSE(str_i64(STR("-"), &i));
}

TEST(str, cutting_takes_part_by_part)
{
	struct str rest = STR("a,,b");
	EQ_STR(str_cut(&rest, ','), "a");
	EQ_STR(str_cut(&rest, ','), "");
	EQ_STR(str_cut(&rest, ','), "b");
	TRUE(rest.p == NULL);
}

TEST(time, durations_of_mesos_and_go)
{
	static const struct { const char *in; int64_t us; } rows[] = {
		{ "15secs", 15 * SEC }, { "1.5mins", 90 * SEC }, { "100ms", 100 * MSEC }, { "2weeks", 2 * WEEK }, { "5", 5 * SEC },
		{ "1h", HOUR }, { "10 secs", 10 * SEC },
	};
	int64_t us;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		TRUE(time_parse_duration(str_of(rows[i].in), &us));
		EQ_INT(us, rows[i].us);
	}
	FALSE(time_parse_duration(STR("secs"), &us));
	FALSE(time_parse_duration(STR("5 parsecs"), &us));
	FALSE(time_parse_duration(STR("-5secs"), &us));
}

TEST(time, iso_there_and_back)
{
	char text[32];
	int64_t us;
	time_iso(1706702400123456, text);
	EQ_STR(text, "2024-01-31T12:00:00.123Z");
	TRUE(time_parse_iso(str_of(text), &us));
	EQ_INT(us, 1706702400123000);
	FALSE(time_parse_iso(STR("2024-01-31"), &us));
}

struct config {
	char *file, *name, *list;
	bool on;
	int64_t count, wait_us, size;
	uint16_t port;
};

#define AT(field) offsetof(struct config, field)
static const struct flag flags[] = {
	{ "config", FLAG_STRING, AT(file), NULL, 0, 0, NULL, "file" },
	{ "name", FLAG_STRING, AT(name), "nobody", 0, 0, "TEST_FLAG_NAME", "a name" },
	{ "list", FLAG_LIST, AT(list), NULL, 0, 0, NULL, "several" },
	{ "on", FLAG_BOOL, AT(on), "false", 0, 0, NULL, "a switch" },
	{ "count", FLAG_INT, AT(count), "3", 1, 10, NULL, "a number" },
	{ "wait-time", FLAG_DURATION, AT(wait_us), "1secs", 0, 0, NULL, "a time" },
	{ "size", FLAG_BYTES, AT(size), "1KB", 0, 0, NULL, "bytes" },
	{ "port", FLAG_PORT, AT(port), "80", 1, 65535, NULL, "a port" },
	FLAG_END,
};
static const struct flag *const tables[] = { flags, NULL };

static int parse(struct config *c, char **argv, bool permute, int *argi, struct err *e)
{
	int argc = 0;
	while (argv[argc])
		argc++;
	*c = (struct config){ 0 };
	*e = (struct err){ 0 };
	return flag_parse(tables, c, argc, argv, permute, argi, e);
}

TEST(flag, command_line_before_environment_before_file_before_default)
{
	struct config c;
	struct err e;
	int argi;
	char *path = xasprintf("%s/config", test_dir());
	FILE *f = fopen(path, "we");
	(void)fputs("# comment\nname = file\ncount: 5\nlist = a\nlist = b\n", f);
	(void)fclose(f);
	char *config_flag = xasprintf("--config=%s", path);
	EQ_INT(parse(&c, (char *[]){ config_flag, "--wait_time", "2secs", "--on", "--size=2MB", NULL }, false, &argi, &e), 0);
	EQ_STR(c.name, "file");
	EQ_STR(c.list, "a\nb");
	EQ_INT(c.count, 5);
	EQ_INT(c.wait_us, 2 * SEC);
	EQ_INT(c.size, 2 * MIB);
	TRUE(c.on);
	EQ_INT(c.port, 80);
	flag_free(tables, &c);
	(void)setenv("TEST_FLAG_NAME", "environment", 1);
	EQ_INT(parse(&c, (char *[]){ config_flag, "--list=c", NULL }, false, &argi, &e), 0);
	EQ_STR(c.name, "environment");
	EQ_STR(c.list, "c");
	flag_free(tables, &c);
	EQ_INT(parse(&c, (char *[]){ config_flag, "--name=line", NULL }, false, &argi, &e), 0);
	EQ_STR(c.name, "line");
	flag_free(tables, &c);
	free(config_flag);
	free(path);
}

TEST(flag, what_cannot_be_is_said_in_one_sentence)
{
	static const struct { char *word; const char *sentence; } rows[] = {
		{ "--nmae=x", "unknown flag --nmae, did you mean --name?" }, { "--count=11", "--count wants a value from 1 to 10, not '11'" },
		{ "--count=x", "--count wants a whole number, not 'x'" }, { "--port=0", "--port wants a value from 1 to 65535, not '0'" },
		{ "--name", "--name wants a value" }, { "--on=perhaps", "--on wants true or false, not 'perhaps'" },
		{ "--no-count", "unknown flag --no-count" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config c;
		struct err e;
		int argi;
		EQ_INT(parse(&c, (char *[]){ rows[i].word, NULL }, false, &argi, &e), E_USAGE);
		HAS(e.text, rows[i].sentence);
		flag_free(tables, &c);
	}
}

TEST(flag, words_may_stand_among_flags_when_asked)
{
	struct config c;
	struct err e;
	int argi;
	char *argv[] = { "one", "--count=4", "two", "--", "--three", NULL };
	EQ_INT(parse(&c, argv, true, &argi, &e), 0);
	EQ_INT(c.count, 4);
	EQ_STR(argv[argi], "one");
	EQ_STR(argv[argi + 1], "two");
	EQ_STR(argv[argi + 2], "--three");
	EQ_INT(argi + 3, 5);
	flag_free(tables, &c);
}
