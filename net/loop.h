/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of a process: descriptors, timers, signals, the turn hook. A thin typed layer over libev, so that a
 * simulator can stand in for it. Everything here runs on the loop's own thread, except loop_post.
 */
#pragma once

#include "net/base/base.h"
#include "net/base/list.h"
#include "net/base/err.h"
#include "net/base/rnd.h"

struct loop;
struct work;

struct loop *loop_new(void);            /* ends the process when the kernel gives no descriptors */
void loop_free(struct loop *l);
void loop_run(struct loop *l);          /* until loop_stop */
void loop_stop(struct loop *l);
int64_t loop_now_us(struct loop *l);    /* monotonic, as of this turn's start */
int64_t loop_unix_us(struct loop *l);   /* wall clock, as of this turn's start */
struct rnd *loop_rnd(struct loop *l);
uint64_t loop_slow_turns(const struct loop *l);  /* turns over 10 ms so far; each is logged at DEBUG with its longest callback */

/*
 * For simulators: a loop whose time is told to it, that touches no descriptor and starts no thread. Not for loop_run, loop_fd_*,
 * loop_signal and child_*. Everything a virtual loop does is decided by its owner and the seed.
 */
struct loop_virtual {
	int64_t now_us, unix_us;     /* taken over at the begin of every turn */
	/* A job was submitted: run loop_virtual_work_run later, then, on another turn, loop_virtual_work_done. */
	void (*work)(struct loop_virtual *v, struct work *w);
	void (*work_cancelled)(struct loop_virtual *v, struct work *w);  /* it will not run; *w is its owner's again: forget it */
};
struct loop *loop_new_virtual(struct loop_virtual *v, uint64_t seed);    /* v stays the caller's; freed by loop_free */
int64_t loop_virtual_next(struct loop *l);       /* when a turn is due: a timer's time, now_us when something waits, INT64_MAX */
void loop_virtual_turn(struct loop *l);          /* posts, timers that are due, defers, hooks; once */
void loop_virtual_work_run(struct work *w);      /* the worker's part; only when not cancelled before */
void loop_virtual_work_done(struct work *w);     /* the loop's part: a turn that begins with it; every job that ran needs it */

/* Timers: caller's storage, zero before first use; starting a running timer moves it. */
struct loop_timer {
	size_t heap_at;                          /* 0: not running */
	int64_t due_us;
	void (*fn)(struct loop_timer *t);
	struct loop *loop;
	bool lazy;                               /* may fire up to a quarter of its delay (max 1 s) late, so wake-ups share */
};
void loop_timer_start(struct loop *l, struct loop_timer *t, int64_t delay_us, void (*fn)(struct loop_timer *t));
void loop_timer_start_lazy(struct loop *l, struct loop_timer *t, int64_t delay_us, void (*fn)(struct loop_timer *t));
void loop_timer_stop(struct loop_timer *t);      /* harmless when not running */
static inline bool loop_timer_active(const struct loop_timer *t) { return t->heap_at != 0; }

/* Descriptors. */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_fd;
struct loop_fd *loop_fd_new(struct loop *l, int fd, int events, void (*fn)(struct loop_fd *w, int events), void *arg);
void loop_fd_set(struct loop_fd *w, int events); /* 0 pauses */
void loop_fd_free(struct loop_fd *w);            /* NULL ok; does not close the descriptor; safe inside its callback */
void *loop_fd_arg(const struct loop_fd *w);

/* Run fn later in this turn, after the callbacks that are running now; once per start. */
struct loop_defer {
	struct list link;
	void (*fn)(struct loop_defer *d);
};
void loop_defer(struct loop *l, struct loop_defer *d, void (*fn)(struct loop_defer *d));  /* no-op when already waiting */
void loop_defer_cancel(struct loop_defer *d);

/* Called once a turn, after all callbacks and defers, before the loop sleeps: where work of a turn is flushed together. */
struct loop_hook {
	struct list link;
	struct loop *loop;
	void (*fn)(struct loop_hook *h);
};
void loop_hook_add(struct loop *l, struct loop_hook *h, void (*fn)(struct loop_hook *h));
void loop_hook_remove(struct loop_hook *h);

/* For what nobody owns any more but the loop: loop_free calls fn, which frees it. */
struct loop_end {
	struct list link;
	void (*fn)(struct loop_end *end);
};
void loop_end_add(struct loop *l, struct loop_end *end, void (*fn)(struct loop_end *end));
void loop_end_remove(struct loop_end *end);      /* harmless when not added */

/* Signals; one handler each. */
void loop_signal(struct loop *l, int signo, void (*fn)(struct loop *l, int signo, void *arg), void *arg);

/* What one module keeps for a loop, such as the HTTP client's idle connections: NULL at first, given to free_fn by loop_free. */
enum loop_slot { LOOP_SLOT_HTTP_POOL, LOOP_SLOTS };
void *loop_slot_get(struct loop *l, enum loop_slot slot);
void loop_slot_set(struct loop *l, enum loop_slot slot, void *value, void (*free_fn)(void *value));

/* From any thread: wake the loop and run fn(arg) on it. */
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);

/* Worker threads for what would block: fn runs on a worker, then done on the loop. *w is the caller's and stays until done. */
struct work {
	void (*fn)(struct work *w);
	void (*done)(struct work *w);
	struct list link;
	struct loop *loop;
	bool cancelled, queued;
};
void work_submit(struct loop *l, struct work *w, void (*fn)(struct work *w), void (*done)(struct work *w));
/*
 * true: it had not begun, will not, and *w is free. false: fn is running or has run; done is still called and finds
 * w->cancelled set: release what belongs to *w there.
 */
bool work_cancel(struct work *w);

/* Child processes. */
struct child {
	pid_t pid;                                            /* 0: none */
	struct child_watch *watch;                            /* owned by child.c; NULL: not watched */
	void (*exited)(struct child *c, int wait_status);     /* on the loop, after the pid has been reaped */
	struct loop *loop;
};
struct child_spec {
	const char *path;           /* executable; NULL: this executable (/proc/self/exe) */
	char *const *argv;
	char *const *envp;          /* NULL: ours */
	int stdin_fd, stdout_fd, stderr_fd;   /* -1: /dev/null; the child gets duplicates, caller keeps its own */
	const int *keep_fds;        /* further descriptors that stay open in the child under their own numbers */
	size_t keep_fd_count;
	int pdeathsig;              /* 0: none */
	bool new_session;           /* setsid */
	int netns_fd, mntns_fd;     /* join these namespaces first; -1: stay */
	const char *cgroup_procs[16]; /* files the child writes "0" to before exec; NULL-terminated */
};
#define CHILD_SPEC_INIT { .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .netns_fd = -1, .mntns_fd = -1 }
int child_start(struct loop *l, struct child *c, const struct child_spec *spec,
		void (*exited)(struct child *c, int wait_status), struct err *e);
/* Watch a pid that is our child already. */
int child_adopt(struct loop *l, struct child *c, pid_t pid, void (*exited)(struct child *c, int wait_status), struct err *e);
void child_forget(struct child *c);                           /* no callback any more; the process goes on and is reaped */
/* Watch any process (not our child) by pidfd; *exited gets -1 as status. */
int child_watch(struct loop *l, struct child *c, pid_t pid, void (*exited)(struct child *c, int wait_status), struct err *e);
