/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the roles of a plan running.
 *
 *   DOWN --start--> STARTING --"ready" on its pipe--> READY
 *     ^ backoff timer   `--exit--> BACKOFF <--exit-----'
 *     `--------------------------------'
 *   any --stop--> STOPPING (SIGTERM, after a grace SIGKILL) --exit--> STOPPED
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "net/base/log.h"
#include "net/json.h"
#include "roles/cli/up.h"
#include "roles/node.h"

#define BACKOFF_MIN_US (100 * MSEC)
#define BACKOFF_MAX_US (10 * SEC)
#define STABLE_US (10 * SEC)          /* running so long resets the backoff */
#define STOP_GRACE_US (5 * SEC)
#define GIVE_UP_RESTARTS 5

enum proc_state { PROC_DOWN, PROC_STARTING, PROC_READY, PROC_BACKOFF, PROC_STOPPING, PROC_STOPPED };
static const char *const state_names[] = { "down", "starting", "ready", "backoff", "stopping", "stopped" };

struct proc {
	struct supervisor *s;
	const struct plan_node *node;
	const struct plan_proc *plan;
	enum proc_state state;
	struct child child;
	struct loop_timer timer;       /* backoff, or the stop grace */
	struct loop_fd *ready_watch;
	int ready_fd;
	int64_t started_us, started_unix_us, backoff_us;
	unsigned restarts;
	char note[128];
};

struct supervisor {
	struct loop *loop;
	const struct plan *plan;
	struct proc *procs;
	size_t count;
	bool was_ready;
	void (*ready)(void *arg);
	void *ready_arg;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

static void proc_start(struct proc *p);

static void drop_ready_pipe(struct proc *p)
{
	loop_fd_free(MOVE(p->ready_watch));
	if (p->ready_fd >= 0)
		(void)close(p->ready_fd);
	p->ready_fd = -1;
}

/* A master that ends again and again is not waited for: the others are enough when they are a majority. */
static bool is_given_up(const struct proc *p)
{
	return p->node->kind == NODE_MASTER && strcmp(p->plan->role, "master") == 0 && p->restarts >= GIVE_UP_RESTARTS;
}

static void check_all_ready(struct supervisor *s)
{
	size_t given_up = 0;
	if (s->was_ready)
		return;
	for (size_t i = 0; i < s->count; i++) {
		if (s->procs[i].state == PROC_READY)
			continue;
		if (!is_given_up(&s->procs[i]))
			return;
		given_up++;
	}
	if (given_up > (s->plan->master_count - 1) / 2)
		return;
	s->was_ready = true;
	s->ready(s->ready_arg);
}

static void check_all_stopped(struct supervisor *s)
{
	if (!s->stopped)
		return;
	for (size_t i = 0; i < s->count; i++)
		if (s->procs[i].state != PROC_STOPPED)
			return;
	void (*stopped)(void *) = s->stopped;
	s->stopped = NULL;
	stopped(s->stopped_arg);
}

static void on_ready(struct loop_fd *w, int events)
{
	struct proc *p = loop_fd_arg(w);
	char line[sizeof(p->note) + 16];
	(void)events;
	ssize_t n = read(p->ready_fd, line, sizeof(line) - 1);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0 && p->state == PROC_STARTING) {
		struct str text = str_n(line, (size_t)n);
		text = str_cut(&text, '\n');
		if (str_starts(text, STR("ready")))
			(void)str_put(p->note, sizeof(p->note), str_trim(str_from(text, 5)));
		p->state = PROC_READY;
	}
	drop_ready_pipe(p);
	check_all_ready(p->s);
}

static void on_backoff(struct loop_timer *t) { proc_start(container_of(t, struct proc, timer)); }

static void proc_retry(struct proc *p)
{
	bool stable = loop_now_us(p->s->loop) - p->started_us > STABLE_US;
	p->state = PROC_BACKOFF;
	p->restarts++;
	loop_timer_start(p->s->loop, &p->timer, stable ? BACKOFF_MIN_US : p->backoff_us, on_backoff);
	p->backoff_us = stable ? BACKOFF_MIN_US : MIN(p->backoff_us * 2, BACKOFF_MAX_US);
	check_all_ready(p->s);
}

static void proc_on_exit(struct child *c, int status)
{
	struct proc *p = container_of(c, struct proc, child);
	drop_ready_pipe(p);
	loop_timer_stop(&p->timer);
	if (p->state == PROC_STOPPING) {
		p->state = PROC_STOPPED;
		check_all_stopped(p->s);
		return;
	}
	if (WIFSIGNALED(status))
		LOG(WARN, "role ended", "node=%s role=%s signal=%d", p->node->name, p->plan->role, WTERMSIG(status));
	else
		LOG(WARN, "role ended", "node=%s role=%s exit=%d log=%s/%s.log", p->node->name, p->plan->role,
		    WEXITSTATUS(status), p->node->dir, p->plan->role);
	proc_retry(p);
}

/* Environment of a role: ours without leftovers, plus the ready pipe. */
static char **proc_env(struct arena *a, int ready_fd)
{
	size_t n = 0, k = 0;
	while (environ[n])
		n++;
	char **env = arena_array(a, char *, n + 2);
	for (size_t i = 0; i < n; i++)
		if (!cstr_starts(environ[i], "DCOS_") && !cstr_starts(environ[i], "MESOS_"))
			env[k++] = environ[i];
	env[k++] = arena_printf(a, "DCOS_READY_FD=%d", ready_fd);
	return env;
}

static int proc_spawn(struct proc *p, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_FD int log_fd = -1;
	AUTO_FD int ready_write = -1;
	AUTO_FD int netns_fd = -1;
	int pipe_fds[2];
	int rc = node_mkdirs(p->node->dir, 0755, e);
	if (rc != 0)
		return rc;
	char *log_path = arena_printf(&a, "%s/%s.log", p->node->dir, p->plan->role);
	log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (log_fd < 0)
		return err_sys(e, "open log file '%s'", log_path);
	if (p->node->netns) {
		netns_fd = open(p->node->netns, O_RDONLY | O_CLOEXEC);
		if (netns_fd < 0)
			return err_sys(e, "open network namespace '%s'", p->node->netns);
	}
	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return err_sys(e, "create a pipe");
	p->ready_fd = pipe_fds[0];
	ready_write = pipe_fds[1];
	(void)fcntl(p->ready_fd, F_SETFL, O_NONBLOCK);
	p->ready_watch = loop_fd_new(p->s->loop, p->ready_fd, LOOP_READ, on_ready, p);
	struct child_spec spec = CHILD_SPEC_INIT;
	spec.argv = (char *const *)p->plan->argv;
	spec.envp = proc_env(&a, ready_write);
	spec.stdout_fd = spec.stderr_fd = log_fd;
	spec.keep_fds = &ready_write;
	spec.keep_fd_count = 1;
	spec.pdeathsig = SIGTERM;
	spec.netns_fd = netns_fd;
	isolate_cgroup_files(&a, p->s->plan, p->node, spec.cgroup_procs, ARRAY_LEN(spec.cgroup_procs));
	return child_start(p->s->loop, &p->child, &spec, proc_on_exit, e);
}

static void proc_start(struct proc *p)
{
	struct err e = { 0 };
	p->state = PROC_STARTING;
	p->started_us = loop_now_us(p->s->loop);
	p->started_unix_us = loop_unix_us(p->s->loop);
	p->note[0] = '\0';
	if (proc_spawn(p, &e) == 0)
		return;
	LOG(ERROR, "cannot start role", "node=%s role=%s reason=%s", p->node->name, p->plan->role, e.text);
	drop_ready_pipe(p);
	proc_retry(p);
}

static void on_grace_over(struct loop_timer *t)
{
	struct proc *p = container_of(t, struct proc, timer);
	if (p->child.pid > 0)
		(void)kill(p->child.pid, SIGKILL);    /* gone already: fine */
}

static void proc_stop(struct proc *p)
{
	if (p->state == PROC_STOPPING || p->state == PROC_STOPPED)
		return;
	bool runs = p->child.pid > 0 && (p->state == PROC_STARTING || p->state == PROC_READY);
	loop_timer_stop(&p->timer);
	p->state = runs ? PROC_STOPPING : PROC_STOPPED;
	if (!runs)
		return;
	(void)kill(p->child.pid, SIGTERM);
	loop_timer_start(p->s->loop, &p->timer, STOP_GRACE_US, on_grace_over);
}

struct supervisor *supervisor_start(struct loop *l, const struct plan *plan, void (*ready)(void *arg), void *arg)
{
	struct supervisor *s = xcalloc(1, sizeof(*s));
	*s = (struct supervisor){ .loop = l, .plan = plan, .ready = ready, .ready_arg = arg };
	for (size_t i = 0; i < plan->node_count; i++)
		s->count += plan->nodes[i].proc_count;
	s->procs = xcalloc(s->count, sizeof(*s->procs));
	struct proc *p = s->procs;
	for (size_t i = 0; i < plan->node_count; i++)
		for (size_t j = 0; j < plan->nodes[i].proc_count; j++, p++)
			*p = (struct proc){
				.s = s, .node = &plan->nodes[i], .plan = &plan->nodes[i].procs[j], .ready_fd = -1,
				.backoff_us = BACKOFF_MIN_US,
			};
	for (size_t i = 0; i < s->count; i++)
		proc_start(&s->procs[i]);
	return s;
}

void supervisor_stop(struct supervisor *s, void (*done)(void *arg), void *arg)
{
	s->stopped = done;
	s->stopped_arg = arg;
	s->was_ready = true;
	for (size_t i = 0; i < s->count; i++)
		proc_stop(&s->procs[i]);
	check_all_stopped(s);
}

int supervisor_stop_node(struct supervisor *s, const char *node, struct err *e)
{
	bool found = false;
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->procs[i].node->name, node) != 0)
			continue;
		found = true;
		proc_stop(&s->procs[i]);
	}
	return found ? 0 : err_set(e, E_NOTFOUND, "no node '%s'; `dcos-node status` lists them", node);
}

void supervisor_free(struct supervisor *s)
{
	for (size_t i = 0; i < s->count; i++) {
		loop_timer_stop(&s->procs[i].timer);
		drop_ready_pipe(&s->procs[i]);
		child_forget(&s->procs[i].child);
	}
	free(s->procs);
	free(s);
}

size_t supervisor_ready_count(const struct supervisor *s, size_t *out_total)
{
	size_t n = 0;
	for (size_t i = 0; i < s->count; i++)
		n += s->procs[i].state == PROC_READY;
	*out_total = s->count;
	return n;
}

void supervisor_waiting_for(struct supervisor *s, struct buf *out)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct proc *p = &s->procs[i];
		if (p->state == PROC_READY)
			continue;
		buf_printf(out, "%s%s/%s", out->len > 0 ? " " : "", p->node->name, p->plan->role);
		if (p->restarts > 0)
			buf_printf(out, " (restarted %u times, see %s/%s.log)", p->restarts, p->node->dir, p->plan->role);
	}
}

static void status_master(struct jw *w, const struct plan_node *n)
{
	jw_obj(w, NULL);
	jw_str(w, "node", n->name);
	jw_str(w, "ip", n->ip);
	jw_str(w, "url", n->url);
	jw_end(w);
}

static void status_process(struct jw *w, const struct proc *p)
{
	jw_obj(w, NULL);
	jw_str(w, "node", p->node->name);
	jw_str(w, "role", p->plan->role);
	jw_str(w, "ip", p->node->ip);
	jw_int(w, "pid", p->child.pid);
	jw_str(w, "state", state_names[p->state]);
	jw_int(w, "restarts", p->restarts);
	jw_str(w, "note", p->note);
	jw_time(w, "since", p->started_unix_us);
	jw_end(w);
}

void supervisor_status(struct supervisor *s, struct buf *out)
{
	size_t total, ready = supervisor_ready_count(s, &total);
	struct jw w = jw_start(out);
	jw_obj(&w, NULL);
	jw_str(&w, "cluster", s->plan->config->cluster);
	jw_str(&w, "url", s->plan->masters[0].url);
	jw_bool(&w, "isolated", s->plan->config->isolate);
	jw_int(&w, "ready", (int64_t)ready);
	jw_int(&w, "total", (int64_t)total);
	jw_int(&w, "supervisor_pid", getpid());
	jw_arr(&w, "masters");
	for (size_t i = 0; i < s->plan->master_count; i++)
		status_master(&w, &s->plan->masters[i]);
	jw_end(&w);
	jw_arr(&w, "processes");
	for (size_t i = 0; i < s->count; i++)
		status_process(&w, &s->procs[i]);
	jw_end(&w);
	jw_end(&w);
}
