/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests: TEST(suite, behaviour_in_words) { ... } in any file of tests/unit or tests/conformance registers itself.
 * Each test runs in a child process of its own (tests/lib/test.c), so a crash, a failed assert or a hang is one failed
 * test. The first check that does not hold ends its test, saying file, line, and what was found.
 *
 *     build/musl/unit [-v] [SUITE | SUITE.NAME | START/OF/FILE]...
 */
#pragma once

#include "net/base/base.h"
#include "net/base/str.h"

struct test {
	const char *suite, *name, *file;
	void (*fn)(void);
	struct test *next;
};
void test_register(struct test *t);

#define TEST(suite_, name_) \
	static void suite_##__##name_(void); \
	__attribute__((constructor)) static void suite_##__##name_##_register(void) \
	{ \
		static struct test t = { #suite_, #name_, __FILE__, suite_##__##name_, NULL }; \
		test_register(&t); \
	} \
	static void suite_##__##name_(void)

/* What was found comes first, what is expected second. */
#define EQ_INT(got, want)     test_eq_int((long long)(got), (long long)(want), #got, __FILE__, __LINE__)
#define EQ_STR(got, want)     _Generic((got), struct str: test_eq_slice, default: test_eq_str)((got), (want), #got, __FILE__, __LINE__)
#define EQ_MEM(got, want, n)  test_eq_mem((got), (want), (n), #got, __FILE__, __LINE__)
#define NEAR(got, want, eps)  test_near((double)(got), (double)(want), (double)(eps), #got, __FILE__, __LINE__)
#define TRUE(expr)            test_true((expr) ? true : false, #expr, __FILE__, __LINE__)
#define FALSE(expr)           test_true((expr) ? false : true, "!(" #expr ")", __FILE__, __LINE__)
#define HAS(got, part)        test_has((got), (part), #got, __FILE__, __LINE__)   /* the text contains part */
#define FAIL(...)             test_fail(__FILE__, __LINE__, __VA_ARGS__)

void test_eq_int(long long got, long long want, const char *expr, const char *file, int line);
void test_eq_str(const char *got, const char *want, const char *expr, const char *file, int line);   /* NULL equals NULL only */
void test_eq_slice(struct str got, const char *want, const char *expr, const char *file, int line);
void test_eq_mem(const void *got, const void *want, size_t n, const char *expr, const char *file, int line);
void test_near(double got, double want, double eps, const char *expr, const char *file, int line);
void test_true(bool holds, const char *expr, const char *file, int line);
void test_has(const char *got, const char *part, const char *expr, const char *file, int line);
_Noreturn void test_fail(const char *file, int line, const char *fmt, ...) PRINTF(3, 4);

/* A copy of n bytes that ends where an unmapped page begins: reading one byte too far ends the test. Lives as long as the test. */
void *test_edge(const void *bytes, size_t n);
/* An empty directory of this test's own; removed after the test. The same one at each call. */
const char *test_dir(void);
/* Seed for this test's randomness: $TEST_SEED, or a new one; printed when the test fails. */
uint64_t test_seed(void);
/* How often a random test goes round: n, times $TEST_SCALE (make soak). */
size_t test_rounds(size_t n);
