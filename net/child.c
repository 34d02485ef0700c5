/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes. Exits are heard through a pidfd per process and only that pid is reaped, so libraries and tests may have
 * children of their own, and several loops may live in one process. Between fork and exec the child calls nothing that
 * allocates; what fails there comes back over a close-on-exec pipe and becomes child_start's error.
 */
#include "net/loop_int.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

/* Outlives its struct child when that forgets a process which is ours to reap. */
struct child_watch {
	struct list link;            /* loop's child_watches */
	struct child *child;         /* borrowed; NULL once forgotten */
	struct loop_fd *fd_watch;
	int pid_fd;
	pid_t pid;
	bool ours;                   /* our child: reap it */
};

static void child_watch_free(struct child_watch *w)
{
	if (!w)
		return;
	list_remove(&w->link);
	loop_fd_free(w->fd_watch);
	(void)close(w->pid_fd);
	free(w);
}

static void child_on_exit(struct loop_fd *fd_watch, int events UNUSED)
{
	struct child_watch *w = loop_fd_arg(fd_watch);
	struct child *c = w->child;
	int status = -1;
	if (w->ours) {
		pid_t got = waitpid(w->pid, &status, WNOHANG);
		if (got == 0 || (got == -1 && errno == EINTR))
			return;
		if (got == -1)
			status = -1;                    /* somebody else has reaped it */
	}
	child_watch_free(w);
	if (!c)
		return;
	c->pid = 0;
	c->watch = NULL;
	c->exited(c, status);
}

static int child_watch_start(struct loop *l, struct child *c, pid_t pid, bool ours,
			     void (*exited)(struct child *c, int wait_status), struct err *e)
{
	int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);      /* close-on-exec by itself */
	if (pid_fd == -1)
		return errno == ESRCH ? err_set(e, E_NOTFOUND, "watch process %d: it does not exist", pid)
				      : err_sys(e, "watch process %d", pid);
	struct child_watch *w = xcalloc(1, sizeof *w);
	w->child = c;
	w->pid_fd = pid_fd;
	w->pid = pid;
	w->ours = ours;
	w->fd_watch = loop_fd_new(l, pid_fd, LOOP_READ, child_on_exit, w);
	list_push(&l->child_watches, &w->link);
	c->pid = pid;
	c->loop = l;
	c->exited = exited;
	c->watch = w;
	return 0;
}

int child_adopt(struct loop *l, struct child *c, pid_t pid, void (*exited)(struct child *c, int wait_status), struct err *e)
{
	return child_watch_start(l, c, pid, true, exited, e);
}

int child_watch(struct loop *l, struct child *c, pid_t pid, void (*exited)(struct child *c, int wait_status), struct err *e)
{
	return child_watch_start(l, c, pid, false, exited, e);
}

void child_forget(struct child *c)
{
	struct child_watch *w = c->watch;
	if (!w)
		return;
	c->watch = NULL;
	c->pid = 0;
	w->child = NULL;
	if (!w->ours)
		child_watch_free(w);
}

void child_watches_free(struct loop *l)
{
	list_each_safe(&l->child_watches, it) {
		struct child_watch *w = list_entry(it, struct child_watch, link);
		if (w->child) {
			w->child->watch = NULL;
			w->child->pid = 0;
		}
		child_watch_free(w);
	}
}

/* ---- From fork to exec ---- */

enum child_step { STEP_CGROUP, STEP_NETNS, STEP_MNTNS, STEP_STDIO, STEP_KEEP, STEP_EXEC };
struct child_failure { int step, error; size_t index; };

static _Noreturn void child_fail(int report_fd, enum child_step step, size_t index)
{
	struct child_failure f = { .step = (int)step, .error = errno, .index = index };
	(void)!write(report_fd, &f, sizeof f);       /* nobody left to tell when that fails */
	_exit(127);
}

static bool child_join_cgroup(const char *procs_path)
{
	int fd = open(procs_path, O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	bool ok = write(fd, "0", 1) == 1;
	int error = errno;
	(void)close(fd);
	errno = error;
	return ok;
}

/* 0, 1 and 2 may be among the sources themselves: copy all out of the way before putting any in place. */
static bool child_set_stdio(const struct child_spec *spec)
{
	const int from[3] = { spec->stdin_fd, spec->stdout_fd, spec->stderr_fd };
	int copy[3];
	for (int i = 0; i < 3; i++) {
		int null_fd = from[i] >= 0 ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
		copy[i] = fcntl(from[i] >= 0 ? from[i] : null_fd, F_DUPFD_CLOEXEC, 3);
		if (copy[i] == -1)
			return false;
	}
	for (int i = 0; i < 3; i++)
		if (dup2(copy[i], i) == -1)
			return false;
	return true;
}

static _Noreturn void child_run(const struct child_spec *spec, char *const *envp, pid_t parent, int exe_fd, int report_fd)
{
	/* By system call, since libc keeps some signals to itself and our parent may have ignored those too. An all-zero action is
	   SIG_DFL; SIGKILL and SIGSTOP are refused, as they should be. */
	static const struct { unsigned long words[4]; } by_default;
	for (int signo = 1; signo < NSIG; signo++)
		(void)syscall(SYS_rt_sigaction, signo, &by_default, NULL, 8);
	sigset_t none;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);

	if (spec->new_session)
		(void)setsid();                      /* a fresh child leads no group: cannot fail */
	for (size_t i = 0; i < ARRAY_LEN(spec->cgroup_procs) && spec->cgroup_procs[i]; i++)
		if (!child_join_cgroup(spec->cgroup_procs[i]))
			child_fail(report_fd, STEP_CGROUP, i);
	if (spec->netns_fd >= 0 && setns(spec->netns_fd, CLONE_NEWNET) == -1)
		child_fail(report_fd, STEP_NETNS, 0);
	if (!child_set_stdio(spec))                  /* /dev/null is the caller's: before another mount namespace */
		child_fail(report_fd, STEP_STDIO, 0);
	if (spec->mntns_fd >= 0 && setns(spec->mntns_fd, CLONE_NEWNS) == -1)
		child_fail(report_fd, STEP_MNTNS, 0);

	/* Old kernels lack the flag; then what stays open is only what somebody opened without O_CLOEXEC. */
	(void)syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < spec->keep_fd_count; i++)
		if (fcntl(spec->keep_fds[i], F_SETFD, 0) == -1)
			child_fail(report_fd, STEP_KEEP, i);
	if (spec->pdeathsig) {
		(void)prctl(PR_SET_PDEATHSIG, spec->pdeathsig, 0, 0, 0);
		if (getppid() != parent)
			_exit(127);                  /* the parent died before the signal was asked for */
	}
	if (exe_fd >= 0)
		(void)syscall(SYS_execveat, exe_fd, "", spec->argv, envp, AT_EMPTY_PATH);
	else
		(void)execve(spec->path, spec->argv, envp);
	child_fail(report_fd, STEP_EXEC, 0);
}

static int child_failed(const struct child_spec *spec, const struct child_failure *f, struct err *e)
{
	const char *program = spec->path ? spec->path : spec->argv[0];
	errno = f->error;
	switch (f->step) {
	case STEP_CGROUP:
		return err_sys(e, "start '%s': join the cgroup of '%s'", program, spec->cgroup_procs[f->index]);
	case STEP_NETNS:
		return err_sys(e, "start '%s': enter the network namespace", program);
	case STEP_MNTNS:
		return err_sys(e, "start '%s': enter the mount namespace", program);
	case STEP_STDIO:
		return err_sys(e, "start '%s': set up standard input and output", program);
	case STEP_KEEP:
		return err_sys(e, "start '%s': keep descriptor %d open", program, spec->keep_fds[f->index]);
	default:
		return err_sys(e, "start '%s'", program);
	}
}

/* Blocks until the child has become the program or failed: the time of an exec. */
static int child_await_exec(const struct child_spec *spec, int report_fd, struct err *e)
{
	struct child_failure f;
	ssize_t n;
	do
		n = read(report_fd, &f, sizeof f);
	while (n == -1 && errno == EINTR);
	return n == (ssize_t)sizeof f ? child_failed(spec, &f, e) : 0;
}

int child_start(struct loop *l, struct child *c, const struct child_spec *spec,
		void (*exited)(struct child *c, int wait_status), struct err *e)
{
	AUTO_FD int exe_fd = -1;
	AUTO_FD int report_in = -1;
	AUTO_FD int report_out = -1;
	int report[2];
	assert(!c->watch);
	assert(spec->argv && spec->argv[0]);
	if (!spec->path && (exe_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC)) == -1)
		return err_sys(e, "open this program's own executable, /proc/self/exe");
	if (pipe2(report, O_CLOEXEC) == -1)
		return err_sys(e, "start '%s': make a pipe", spec->argv[0]);
	report_in = report[0];
	report_out = report[1];

	/* Until the child has put its handlers back, a signal there would ring this process' loop. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid == 0)
		child_run(spec, spec->envp ? spec->envp : environ, parent, exe_fd, report_out);
	int fork_error = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid == -1) {
		errno = fork_error;
		return err_sys(e, "start '%s': fork", spec->argv[0]);
	}

	(void)close(MOVE_FD(report_out));
	int rc = child_await_exec(spec, report_in, e);
	if (rc == 0)
		rc = child_watch_start(l, c, pid, true, exited, e);
	if (rc != 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	return rc;
}
