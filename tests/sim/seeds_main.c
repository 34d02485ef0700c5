/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim [-v] [FROM-TO]: runs of simulated clusters (tests/sim/sim.h), one process a seed, two at a time. Prints the stories of those
 * that fail, then how much happened in all. $SIM_SEEDS, else 1-1000, when nothing is said.
 */
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "net/base/log.h"
#include "net/base/time.h"
#include "tests/sim/sim.h"

#define SEED_SECONDS_MAX 120
#define WORKERS 2

struct worker {
	pid_t pid;
	uint64_t seed;
	int out;
};

static struct chaos_figures *figures;    /* shared, one a worker */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

/* What the process `pid` keeps on disk, or a killed one of the same number has left. */
static void clear_dirs(pid_t pid)
{
	char dir[64];
	for (int i = 0; i < 2; i++) {
		(void)snprintf(dir, sizeof(dir), "%s/dcos-sim.%d", i ? "/tmp" : "/dev/shm", (int)pid);
		(void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);       /* ENOENT: it was the other one */
	}
}

static void begin(struct worker *w, size_t slot, uint64_t seed)
{
	w->seed = seed;
	w->out = memfd_create("sim-output", 0);
	fflush(NULL);
	w->pid = fork();
	if (w->pid != 0)
		return;
	(void)dup2(w->out, STDOUT_FILENO);
	if (!getenv("SIM_VERBOSE"))
		(void)dup2(w->out, STDERR_FILENO);
	log_set_level(LOG_ERROR);
	(void)alarm(SEED_SECONDS_MAX);
	clear_dirs(getpid());
	chaos_run(seed, &figures[slot]);
	_exit(0);
}

static void show(int fd)
{
	char chunk[4096];
	off_t at = 0;
	for (ssize_t n; (n = pread(fd, chunk, sizeof(chunk), at)) > 0; at += n)
		(void)fwrite(chunk, 1, (size_t)n, stdout);
}

/* Did it end well? */
static bool end(struct worker *w, int status)
{
	bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (!ok) {
		show(w->out);
		if (WIFSIGNALED(status))
			printf("seed %llu: ended by signal %d (%s)\nreplay: make sim SEEDS=%llu-%llu V=1\n", (unsigned long long)w->seed,
			       WTERMSIG(status), WTERMSIG(status) == SIGALRM ? "it took too long" : strsignal(WTERMSIG(status)),
			       (unsigned long long)w->seed, (unsigned long long)w->seed);
	}
	(void)close(w->out);
	clear_dirs(w->pid);
	w->pid = 0;
	return ok;
}

int main(int argc, char **argv)
{
	struct worker workers[WORKERS] = { 0 };
	unsigned long long from = 1, to = 1000, next;
	uint64_t running = 0, failed = 0, done = 0;
	struct chaos_figures sum = { 0 };
	int64_t start = time_now_us();
	const char *seeds = getenv("SIM_SEEDS");
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "-v") != 0)
			seeds = argv[i];
	if (seeds && seeds[0] && (sscanf(seeds, "%llu-%llu", &from, &to) != 2 || from > to)) {
		fprintf(stderr, "usage: sim [-v] [FROM-TO]\n");
		return 2;
	}
	figures = mmap(NULL, sizeof(*figures) * WORKERS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (next = from; next <= to || running > 0;) {
		for (size_t i = 0; i < WORKERS; i++)
			if (!workers[i].pid && next <= to) {
				begin(&workers[i], i, next++);
				running++;
			}
		int status;
		pid_t pid = wait(&status);
		for (size_t i = 0; i < WORKERS; i++) {
			if (workers[i].pid != pid)
				continue;
			bool ok = end(&workers[i], status);
			running--;
			done++;
			failed += !ok;
			sum.events += ok ? figures[i].events : 0;
			sum.operations += ok ? figures[i].operations : 0;
			sum.crashes += ok ? figures[i].crashes : 0;
			sum.leaders += ok ? figures[i].leaders : 0;
		}
	}
	printf("%s sim.seeds_%llu_to_%llu\n", failed ? "not ok" : "ok", from, to);
	printf("    %llu runs in %lld s: %llu events, %llu operations, %llu restarts, %llu terms; %llu failed\n", (unsigned long long)done,
	       (long long)((time_now_us() - start) / SEC), (unsigned long long)sum.events, (unsigned long long)sum.operations,
	       (unsigned long long)sum.crashes, (unsigned long long)sum.leaders, (unsigned long long)failed);
	printf("%d passed, %d failed\n", !failed, failed > 0);
	return failed > 0;
}
