/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the registered tests, one child process each, under cmocka, which turns a failed check or a signal into a result.
 * What a test prints is shown only when it fails (-v: always). Ends with `N passed, N failed`; exit status 1 if any failed.
 */
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/lib/test.h"

enum {
	TEST_SECONDS_MAX = 60,           /* a test that takes longer hangs; times TEST_SCALE */
	TEST_OUTPUT_BYTES_MAX = 1 << 16  /* shown of a failed test: the last bytes of what it printed */
};

static struct test *tests;
static uint64_t seed;
static char dir[64];

/* Called by constructors, whose order is the linker's; kept sorted by suite, then file order. */
void test_register(struct test *t)
{
	struct test **at = &tests;
	while (*at && strcmp((*at)->suite, t->suite) <= 0)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	print_error("%s:%d: %s\n", file, line, text);
	_fail(file, line);
	abort();             /* not reached: _fail jumps to cmocka */
}

void test_eq_int(long long got, long long want, const char *expr, const char *file, int line)
{
	if (got != want)
		test_fail(file, line, "%s is %lld, expected %lld", expr, got, want);
}

void test_eq_str(const char *got, const char *want, const char *expr, const char *file, int line)
{
	if (got == want || (got && want && !strcmp(got, want)))
		return;
	test_fail(file, line, "%s is\n  %s\nexpected\n  %s", expr, got ? got : "(null)", want ? want : "(null)");
}

void test_eq_slice(struct str got, const char *want, const char *expr, const char *file, int line)
{
	if (got.len != strlen(want) || (got.len && memcmp(got.p, want, got.len)))
		test_fail(file, line, "%s is\n  " STR_FMT "\nexpected\n  %s", expr, STR_ARG(got), want);
}

void test_eq_mem(const void *got, const void *want, size_t n, const char *expr, const char *file, int line)
{
	const uint8_t *g = got, *w = want;
	for (size_t i = 0; i < n; i++)
		if (g[i] != w[i])
			test_fail(file, line, "byte %zu of %zu of %s is 0x%02x, expected 0x%02x", i, n, expr, g[i], w[i]);
}

void test_near(double got, double want, double eps, const char *expr, const char *file, int line)
{
	if (!(fabs(got - want) <= eps))
		test_fail(file, line, "%s is %.9g, expected %.9g within %.9g", expr, got, want, eps);
}

void test_true(bool holds, const char *expr, const char *file, int line)
{
	if (!holds)
		test_fail(file, line, "%s does not hold", expr);
}

void test_has(const char *got, const char *part, const char *expr, const char *file, int line)
{
	if (!got || !strstr(got, part))
		test_fail(file, line, "%s is\n  %s\nwhich does not contain\n  %s", expr, got ? got : "(null)", part);
}

void *test_edge(const void *bytes, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t room = (n + page - 1) / page * page;
	uint8_t *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED || mprotect(map + room, page, PROT_NONE))
		FAIL("no memory for a guard page: %s", strerror(errno));
	uint8_t *copy = map + room - n;
	if (n)
		memcpy(copy, bytes, n);
	return copy;
}

const char *test_dir(void)
{
	if (mkdir(dir, 0700) && errno != EEXIST)
		FAIL("create '%s': %s", dir, strerror(errno));
	return dir;
}

uint64_t test_seed(void)
{
	const char *given = getenv("TEST_SEED");
	if (!seed && given)
		seed = strtoull(given, NULL, 0);
	if (!seed && getrandom(&seed, sizeof seed, 0) != sizeof seed)
		FAIL("getrandom: %s", strerror(errno));
	print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

size_t test_rounds(size_t n)
{
	const char *scale = getenv("TEST_SCALE");
	return scale ? n * strtoull(scale, NULL, 10) : n;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void call(void **state)
{
	const struct test *t = *state;
	t->fn();
}

/* In the child: the one test, as a cmocka group of one. */
static _Noreturn void run_child(struct test *t, int out)
{
	setpgid(0, 0);
	snprintf(dir, sizeof dir, "/tmp/dcos-test.%d", getpid());
	if (dup2(out, STDOUT_FILENO) == -1 || dup2(out, STDERR_FILENO) == -1)
		_exit(1);
	close(out);
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm((unsigned)test_rounds(TEST_SECONDS_MAX));
	const struct CMUnitTest one = { t->name, call, NULL, NULL, t };
	exit(_cmocka_run_group_tests(t->suite, &one, 1, NULL, NULL) == 0 ? 0 : 1);
}

/* Print the end of what a test wrote to fd, indented, without cmocka's frame around it. */
static void show_output(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	FILE *f = fdopen(fd, "r");
	char text[1024];
	fseek(f, size > TEST_OUTPUT_BYTES_MAX ? (long)(size - TEST_OUTPUT_BYTES_MAX) : 0, SEEK_SET);
	while (fgets(text, sizeof text, f)) {
		const char *exception = strstr(text, "Test failed with exception");
		if (exception)
			printf("    %s", exception);
		else if (strncmp(text, "[ ", 2) != 0 && strncmp(text, "[=", 2) != 0 && text[0] != '\n' && !strstr(text, " FAILED TEST(S)"))
			printf("    %s", text);
	}
	fclose(f);
}

static bool run(struct test *t, bool verbose)
{
	int out = memfd_create("test-output", 0), status = 0;
	fflush(NULL);
	pid_t pid = out < 0 ? -1 : fork();
	if (pid < 0) {
		fprintf(stderr, "cannot start test %s.%s: %s\n", t->suite, t->name, strerror(errno));
		exit(1);
	}
	if (pid == 0)
		run_child(t, out);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)kill(-pid, SIGKILL);               /* what the test left running; ESRCH is the usual answer */
	snprintf(dir, sizeof dir, "/tmp/dcos-test.%d", pid);
	(void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);   /* ENOENT when the test used none */

	bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (!ok || verbose)
		printf("%s %s.%s\n", ok ? "ok" : "not ok", t->suite, t->name);
	if (WIFSIGNALED(status))
		printf("    %s: ended by signal %d (%s)\n", t->file, WTERMSIG(status),
		       WTERMSIG(status) == SIGALRM ? "it took too long" : strsignal(WTERMSIG(status)));
	if (!ok || verbose)
		show_output(out);
	else
		close(out);
	return ok;
}

/* Is the test asked for? `filters` are the arguments: suites, suite.name, or how its file begins. None asks for all. */
static bool wanted(const struct test *t, char **filters)
{
	char whole[256];
	bool any = false;
	snprintf(whole, sizeof whole, "%s.%s", t->suite, t->name);
	for (; *filters; filters++) {
		if ((*filters)[0] == '-')
			continue;
		any = true;
		if (!strcmp(*filters, t->suite) || !strcmp(*filters, whole) ||
		    (strchr(*filters, '/') && !strncmp(*filters, t->file, strlen(*filters))))
			return true;
	}
	return !any;
}

int main(int argc, char **argv)
{
	bool verbose = argc > 1 && !strcmp(argv[1], "-v");
	size_t passed = 0, failed = 0;
	for (struct test *t = tests; t; t = t->next) {
		if (!wanted(t, argv + 1))
			continue;
		if (run(t, verbose))
			passed++;
		else
			failed++;
	}
	printf("%zu passed, %zu failed\n", passed, failed);
	return failed || !passed;
}
