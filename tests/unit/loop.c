/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: order of a turn, timers, worker threads, signals, child processes. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "net/loop.h"
#include "net/sock.h"
#include "tests/lib/test.h"

#define PATIENCE (10 * SEC)

static struct loop *the_loop;
static char trace[256];

static void note(const char *what)
{
	strncat(trace, what, sizeof trace - strlen(trace) - 1);
}

static void on_patience(struct loop_timer *t UNUSED) { FAIL("the loop was still waiting after 10 s; seen: '%s'", trace); }

/* Run until loop_stop; fails when that does not come. */
static void run(void)
{
	struct loop_timer patience = { 0 };
	loop_timer_start(the_loop, &patience, PATIENCE, on_patience);
	loop_run(the_loop);
	loop_timer_stop(&patience);
}

static void begin(void) { the_loop = loop_new(); }
static void on_stop_timer(struct loop_timer *t UNUSED) { loop_stop(the_loop); }

/* ---- Order of a turn ---- */

static struct loop_defer defer_one, defer_two;
static void on_defer_two(struct loop_defer *d UNUSED) { note(" defer2"); }

static void on_defer_one(struct loop_defer *d UNUSED)
{
	note(" defer1");
	loop_defer(the_loop, &defer_two, on_defer_two);
}

static void on_hook(struct loop_hook *h)
{
	note(" hook");
	loop_hook_remove(h);
	loop_stop(the_loop);
}

static void on_zero_timer(struct loop_timer *t UNUSED) { note(" timer"); }

static void on_readable(struct loop_fd *w, int events)
{
	static struct loop_hook hook;
	static struct loop_timer zero;
	EQ_INT(events, LOOP_READ);
	note("fd");
	loop_hook_add(the_loop, &hook, on_hook);
	loop_defer(the_loop, &defer_one, on_defer_one);
	loop_defer(the_loop, &defer_one, on_defer_one);         /* waits already */
	loop_timer_start(the_loop, &zero, 0, on_zero_timer);    /* not before the next turn */
	loop_fd_free(w);
}

TEST(loop, a_turn_runs_descriptors_then_defers_until_none_is_left_then_hooks)
{
	int pair[2];
	begin();
	EQ_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	EQ_INT(write(pair[1], "x", 1), 1);
	(void)loop_fd_new(the_loop, pair[0], LOOP_READ, on_readable, NULL);
	run();
	EQ_STR(trace, "fd defer1 defer2 hook");
	loop_free(the_loop);
}

TEST(loop, a_cancelled_defer_does_not_run)
{
	struct loop_timer stop = { 0 };
	begin();
	loop_defer(the_loop, &defer_two, on_defer_two);
	loop_defer_cancel(&defer_two);
	loop_timer_start(the_loop, &stop, MSEC, on_stop_timer);
	run();
	EQ_STR(trace, "");
	loop_free(the_loop);
}

static struct loop_hook hooks[3];
static void on_hook_b(struct loop_hook *h UNUSED) { note("b"); }
static void on_hook_c(struct loop_hook *h UNUSED) { note("c"); }

static void on_hook_a(struct loop_hook *h)
{
	note("a");
	loop_hook_remove(h);
	loop_hook_remove(&hooks[1]);
}

TEST(loop, a_hook_may_remove_itself_and_the_next_one)
{
	struct loop_timer stop = { 0 };
	begin();
	loop_hook_add(the_loop, &hooks[0], on_hook_a);
	loop_hook_add(the_loop, &hooks[1], on_hook_b);
	loop_hook_add(the_loop, &hooks[2], on_hook_c);
	loop_stop(the_loop);
	run();                                  /* one turn */
	EQ_STR(trace, "ac");
	loop_timer_start(the_loop, &stop, 0, on_stop_timer);
	loop_free(the_loop);                    /* stops the timer */
	FALSE(loop_timer_active(&stop));
}

static void on_hook_adds(struct loop_hook *h)
{
	note("a");
	loop_hook_remove(h);
	loop_hook_add(the_loop, &hooks[1], on_hook_b);
}

TEST(loop, what_the_last_hook_adds_runs_in_the_same_turn)
{
	begin();
	loop_hook_add(the_loop, &hooks[0], on_hook_adds);
	loop_stop(the_loop);
	run();                                  /* one turn */
	EQ_STR(trace, "ab");
	loop_free(the_loop);
}

/* ---- Timers ---- */

struct numbered { struct loop_timer t; int64_t delay_us; bool stopped; };
static struct numbered many[500];
static int64_t last_due_us;
static size_t fired;

static void on_numbered(struct loop_timer *t)
{
	const struct numbered *n = container_of(t, struct numbered, t);
	FALSE(n->stopped);
	FALSE(loop_timer_active(t));
	TRUE(t->due_us >= last_due_us);
	TRUE(loop_now_us(the_loop) >= t->due_us);
	last_due_us = t->due_us;
	fired++;
}

TEST(loop, timers_fire_in_order_and_stopped_ones_never)
{
	struct rnd rnd;
	struct loop_timer stop = { 0 };
	size_t expected = 0;
	begin();
	rnd_seed(&rnd, test_seed());
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		loop_timer_start(the_loop, &many[i].t, (int64_t)rnd_below(&rnd, 50 * MSEC), on_numbered);
	for (size_t i = 0; i < ARRAY_LEN(many); i += 3)         /* move some */
		loop_timer_start(the_loop, &many[i].t, (int64_t)rnd_below(&rnd, 50 * MSEC), on_numbered);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		many[i].stopped = rnd_below(&rnd, 2) == 0;
		if (many[i].stopped)
			loop_timer_stop(&many[i].t);
		else
			expected++;
	}
	loop_timer_start(the_loop, &stop, 60 * MSEC, on_stop_timer);
	run();
	EQ_INT(fired, expected);
	loop_free(the_loop);
}

static void on_again(struct loop_timer *t)
{
	fired++;
	loop_timer_start(the_loop, t, 0, on_again);
}

TEST(loop, a_timer_that_restarts_itself_without_delay_does_not_hold_the_loop)
{
	struct loop_timer stop = { 0 }, again = { 0 };
	begin();
	loop_timer_start(the_loop, &again, 0, on_again);
	loop_timer_start(the_loop, &stop, 5 * MSEC, on_stop_timer);
	run();
	TRUE(fired > 1);
	loop_free(the_loop);
}

TEST(loop, lazy_timers_started_at_different_times_fall_due_together_and_not_too_late)
{
	struct loop_timer a = { 0 }, b = { 0 }, stop = { 0 };
	begin();
	int64_t start = loop_now_us(the_loop);
	loop_timer_start_lazy(the_loop, &a, 8 * SEC, on_numbered);
	loop_timer_start(the_loop, &stop, 3 * MSEC, on_stop_timer);
	run();
	loop_timer_start_lazy(the_loop, &b, 8 * SEC, on_numbered);
	TRUE(a.due_us >= start + 8 * SEC && a.due_us <= start + 9 * SEC);
	TRUE((b.due_us - a.due_us) % SEC == 0);
	loop_timer_start_lazy(the_loop, &a, 100 * MSEC, on_numbered);
	TRUE(a.due_us <= loop_now_us(the_loop) + 125 * MSEC);
	loop_free(the_loop);
}

/* ---- Other threads and signals ---- */

static pthread_t loop_thread;

static void on_work(struct work *w UNUSED) { FALSE(pthread_equal(pthread_self(), loop_thread)); }

static void on_work_done(struct work *w UNUSED)
{
	TRUE(pthread_equal(pthread_self(), loop_thread));
	if (++fired == 20)
		loop_stop(the_loop);
}

TEST(loop, work_runs_on_another_thread_and_is_done_on_the_loop)
{
	struct work w[20];
	begin();
	loop_thread = pthread_self();
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		work_submit(the_loop, &w[i], on_work, on_work_done);
	run();
	EQ_INT(fired, 20);
	loop_free(the_loop);
}

static int gate[2];

static void on_gated_work(struct work *w UNUSED)
{
	char c;
	EQ_INT(read(gate[0], &c, 1), 1);
}

static void on_gated_done(struct work *w)
{
	note(w->cancelled ? "cancelled " : "done ");
	if (++fired == 2)
		loop_stop(the_loop);
}

TEST(loop, cancelled_work_that_has_not_begun_never_runs)
{
	struct work running[2], queued;
	begin();
	EQ_INT(pipe(gate), 0);
	work_submit(the_loop, &running[0], on_gated_work, on_gated_done);
	work_submit(the_loop, &running[1], on_gated_work, on_gated_done);
	work_submit(the_loop, &queued, on_gated_work, on_gated_done);
	struct timespec nap = { .tv_nsec = 1000000 };
	for (int i = 0; i < 5000 && __atomic_load_n(&running[1].queued, __ATOMIC_ACQUIRE); i++)
		nanosleep(&nap, NULL);          /* until both threads are taken */
	TRUE(work_cancel(&queued));
	FALSE(work_cancel(&running[0]));
	EQ_INT(write(gate[1], "xx", 2), 2);
	run();
	HAS(trace, "cancelled ");
	HAS(trace, "done ");
	loop_free(the_loop);
}

TEST(loop, cancelled_work_that_runs_is_released_by_loop_free)
{
	struct work w;
	begin();
	EQ_INT(pipe(gate), 0);
	work_submit(the_loop, &w, on_gated_work, on_gated_done);
	struct timespec nap = { .tv_nsec = 1000000 };
	for (int i = 0; i < 5000 && __atomic_load_n(&w.queued, __ATOMIC_ACQUIRE); i++)
		nanosleep(&nap, NULL);
	FALSE(work_cancel(&w));
	EQ_INT(write(gate[1], "x", 1), 1);
	loop_free(the_loop);
	EQ_STR(trace, "cancelled ");
}

static void on_post(void *arg)
{
	TRUE(pthread_equal(pthread_self(), loop_thread));
	note(arg);
	loop_stop(the_loop);
}

static void *posting_thread(void *arg)
{
	loop_post(the_loop, on_post, arg);
	return NULL;
}

TEST(loop, a_post_from_another_thread_wakes_the_loop)
{
	pthread_t other;
	begin();
	loop_thread = pthread_self();
	EQ_INT(pthread_create(&other, NULL, posting_thread, (void *)"posted"), 0);
	run();
	pthread_join(other, NULL);
	EQ_STR(trace, "posted");
	loop_free(the_loop);
}

static void on_signal(struct loop *l, int signo, void *arg)
{
	EQ_INT(signo, SIGUSR1);
	note(arg);
	loop_stop(l);
}

TEST(loop, a_signal_reaches_its_handler_on_the_loop)
{
	begin();
	loop_signal(the_loop, SIGUSR1, on_signal, (void *)"usr1");
	EQ_INT(raise(SIGUSR1), 0);
	EQ_STR(trace, "");
	run();
	EQ_STR(trace, "usr1");
	loop_free(the_loop);
}

/* ---- Child processes ---- */

static int last_status;

static void on_exited(struct child *c, int wait_status)
{
	EQ_INT(c->pid, 0);
	last_status = wait_status;
	if (++fired == 1)
		loop_stop(the_loop);
}

static struct child_spec shell(char *argv[4], const char *script)
{
	struct child_spec spec = CHILD_SPEC_INIT;
	argv[0] = (char *)"sh";
	argv[1] = (char *)"-c";
	argv[2] = (char *)script;
	argv[3] = NULL;
	spec.path = "/bin/sh";
	spec.argv = argv;
	return spec;
}

TEST(child, the_exit_status_is_told)
{
	struct child c = { 0 };
	struct err e = { 0 };
	char *argv[4];
	begin();
	struct child_spec spec = shell(argv, "exit 7");
	EQ_INT(child_start(the_loop, &c, &spec, on_exited, &e), 0);
	TRUE(c.pid > 0);
	run();
	EQ_INT(WEXITSTATUS(last_status), 7);
	loop_free(the_loop);
}

TEST(child, a_program_that_is_not_there_is_an_error_with_its_name_and_leaves_no_process)
{
	struct child c = { 0 };
	struct err e = { 0 };
	char *argv[] = { (char *)"nope", NULL };
	struct child_spec spec = CHILD_SPEC_INIT;
	begin();
	spec.path = "/does/not/exist";
	spec.argv = argv;
	EQ_INT(child_start(the_loop, &c, &spec, on_exited, &e), E_NOTFOUND);
	EQ_STR(e.text, "start '/does/not/exist': No such file or directory");
	EQ_INT(c.pid, 0);
	EQ_INT(waitpid(-1, NULL, WNOHANG), -1);
	loop_free(the_loop);
}

TEST(child, a_cgroup_that_is_not_there_is_an_error_with_its_name)
{
	struct child c = { 0 };
	struct err e = { 0 };
	char *argv[4];
	begin();
	struct child_spec spec = shell(argv, "exit 0");
	spec.cgroup_procs[0] = "/does/not/exist/cgroup.procs";
	EQ_INT(child_start(the_loop, &c, &spec, on_exited, &e), E_NOTFOUND);
	EQ_STR(e.text, "start '/bin/sh': join the cgroup of '/does/not/exist/cgroup.procs': No such file or directory");
	loop_free(the_loop);
}

/* What the child writes to `out` while the loop runs until its exit. */
static void run_shell(const char *script, struct child_spec *spec, char *argv[4], char *out, size_t out_size)
{
	int pipe_fds[2];
	struct child c = { 0 };
	struct err e = { 0 };
	struct child_spec filled = shell(argv, script);
	EQ_INT(pipe2(pipe_fds, O_CLOEXEC), 0);
	spec->path = filled.path;
	spec->argv = argv;
	spec->stdout_fd = pipe_fds[1];
	int rc = child_start(the_loop, &c, spec, on_exited, &e);
	if (rc != 0)
		FAIL("%s", e.text);
	(void)close(pipe_fds[1]);
	run();
	ssize_t n = read(pipe_fds[0], out, out_size - 1);
	TRUE(n >= 0);
	out[n] = '\0';
	(void)close(pipe_fds[0]);
}

TEST(child, only_the_descriptors_that_were_asked_for_stay_open)
{
	char out[256], keep_text[64];
	char *argv[4];
	struct child_spec spec = CHILD_SPEC_INIT;
	begin();
	int leak = open("/dev/zero", O_RDONLY);         /* not close-on-exec */
	int keep = fcntl(leak, F_DUPFD_CLOEXEC, 50);
	EQ_INT(keep, 50);
	spec.keep_fds = &keep;
	spec.keep_fd_count = 1;
	run_shell("cd /proc/$$/fd && echo *", &spec, argv, out, sizeof out);
	(void)snprintf(keep_text, sizeof keep_text, "0 1 2 %d\n", keep);
	/* the shell itself may hold one more while it globs */
	HAS(out, "0 1 2");
	HAS(out, "50");
	(void)snprintf(keep_text, sizeof keep_text, " %d ", leak);
	TRUE(strstr(out, keep_text) == NULL);
	loop_free(the_loop);
}

TEST(child, standard_descriptors_may_be_swapped)
{
	char out[64];
	char *argv[4];
	struct child_spec spec = CHILD_SPEC_INIT;
	begin();
	int pair[2];
	EQ_INT(pipe2(pair, O_CLOEXEC), 0);
	EQ_INT(write(pair[1], "hello\n", 6), 6);
	(void)close(pair[1]);
	spec.stdin_fd = pair[0];
	run_shell("read word; echo got $word", &spec, argv, out, sizeof out);
	EQ_STR(out, "got hello\n");
	loop_free(the_loop);
}

TEST(child, signals_are_neither_blocked_nor_ignored_in_the_child)
{
	char out[256];
	char *argv[4];
	struct child_spec spec = CHILD_SPEC_INIT;
	begin();
	run_shell("grep -E 'SigBlk|SigIgn' /proc/self/status", &spec, argv, out, sizeof out);
	EQ_STR(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	loop_free(the_loop);
}

TEST(child, a_new_session_is_led_by_the_child)
{
	char out[64];
	char *argv[4];
	struct child_spec spec = CHILD_SPEC_INIT;
	begin();
	spec.new_session = true;
	run_shell("read pid comm state ppid pgrp session rest < /proc/$$/stat; test $session = $$ && echo leads", &spec, argv, out,
		  sizeof out);
	EQ_STR(out, "leads\n");
	loop_free(the_loop);
}

TEST(child, a_forgotten_child_goes_on_and_is_reaped_silently)
{
	struct child forgotten = { 0 }, other = { 0 };
	struct err e = { 0 };
	char *argv[4];
	begin();
	struct child_spec spec = shell(argv, "exit 3");
	EQ_INT(child_start(the_loop, &forgotten, &spec, on_exited, &e), 0);
	pid_t pid = forgotten.pid;
	child_forget(&forgotten);
	spec = shell(argv, "while kill -0 $0 2>/dev/null; do sleep 0.01; done; exit 4");
	char pid_text[16];
	(void)snprintf(pid_text, sizeof pid_text, "%d", pid);
	char *argv_wait[] = { argv[0], argv[1], argv[2], pid_text, NULL };
	spec.argv = argv_wait;                          /* ends when the first one is gone, zombie and all */
	EQ_INT(child_start(the_loop, &other, &spec, on_exited, &e), 0);
	run();
	EQ_INT(WEXITSTATUS(last_status), 4);
	EQ_INT(fired, 1);
	loop_free(the_loop);
}

TEST(child, another_processes_end_is_noticed_without_its_status)
{
	struct child c = { 0 };
	struct err e = { 0 };
	begin();
	/* a grandchild: not ours to reap */
	int pair[2];
	EQ_INT(pipe(pair), 0);
	pid_t between = fork();
	if (between == 0) {
		pid_t pid = fork();
		if (pid == 0) {
			(void)usleep(50000);
			_exit(0);
		}
		(void)!write(pair[1], &pid, sizeof pid);
		(void)waitpid(pid, NULL, 0);
		_exit(0);
	}
	pid_t grandchild;
	EQ_INT(read(pair[0], &grandchild, sizeof grandchild), sizeof grandchild);
	EQ_INT(child_watch(the_loop, &c, grandchild, on_exited, &e), 0);
	run();
	EQ_INT(last_status, -1);
	EQ_INT(waitpid(between, NULL, 0), between);     /* nobody took it from us */
	EQ_INT(child_watch(the_loop, &c, between, on_exited, &e), E_NOTFOUND);
	loop_free(the_loop);
}

TEST(child, a_child_whose_parent_must_live_dies_with_it)
{
	int pair[2];
	EQ_INT(pipe(pair), 0);
	pid_t parent = fork();
	if (parent == 0) {
		struct child c = { 0 };
		struct err e = { 0 };
		char *argv[4];
		begin();
		struct child_spec spec = shell(argv, "exec sleep 100");
		spec.pdeathsig = SIGKILL;
		spec.stdout_fd = pair[1];               /* held until it dies */
		(void)child_start(the_loop, &c, &spec, on_exited, &e);
		_exit(0);
	}
	char c;
	(void)close(pair[1]);
	EQ_INT(read(pair[0], &c, 1), 0);
	EQ_INT(waitpid(parent, NULL, 0), parent);
}
