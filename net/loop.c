/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One turn of the loop: descriptors, timers, signals and posts call back; then what was deferred runs until nothing is deferred;
 * then the turn hooks flush; then it sleeps. libev waits; timers are our own heap, so that lazy ones can share a wake-up.
 */
#include "net/loop.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "net/base/log.h"
#include "net/base/time.h"
#include "net/loop_int.h"

#define SLOW_TURN_US (20 * MSEC)
#define SIGNALS_MAX 8

struct loop_fd {
	ev_io io;
	struct loop *loop;
	void (*fn)(struct loop_fd *w, int events);
	void *arg;
	int events;
};

struct signal_row {
	ev_signal watcher;
	struct loop *loop;
	void (*fn)(struct loop *l, int signo, void *arg);
	void *arg;
};

struct post {
	struct post *next;
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	struct ev_loop *ev;
	struct rnd rnd;
	int64_t now_us, unix_us;
	bool stopped;
	struct loop_timer **heap;          /* 1-based binary heap by due_us */
	size_t timers, heap_cap;
	ev_timer wake;                     /* the heap's top */
	int64_t wake_due_us;               /* 0: not set */
	ev_prepare prepare;
	ev_check check;
	struct list defers, hooks;
	struct signal_row signals[SIGNALS_MAX];
	size_t signal_count;
	ev_async posted;
	struct post *posts;                /* newest first; guarded by atomics */
	struct loop_workers *workers;
	struct list children;
	struct {
		void *value;
		void (*free_fn)(void *value);
	} slots[LOOP_SLOTS];
};

/* ---- time ---- */

static void refresh_time(struct loop *l)
{
	l->now_us = time_now_us();
	l->unix_us = time_unix_us();
}

int64_t loop_now_us(struct loop *l) { return l->now_us; }
int64_t loop_unix_us(struct loop *l) { return l->unix_us; }
struct rnd *loop_rnd(struct loop *l) { return &l->rnd; }

/* ---- timers ---- */

static void heap_set(struct loop *l, size_t at, struct loop_timer *t)
{
	l->heap[at] = t;
	t->heap_at = at;
}

static void heap_up(struct loop *l, size_t at)
{
	struct loop_timer *t = l->heap[at];
	for (; at > 1 && l->heap[at / 2]->due_us > t->due_us; at /= 2)
		heap_set(l, at, l->heap[at / 2]);
	heap_set(l, at, t);
}

static void heap_down(struct loop *l, size_t at)
{
	struct loop_timer *t = l->heap[at];
	for (size_t child; (child = at * 2) <= l->timers; at = child) {
		if (child < l->timers && l->heap[child + 1]->due_us < l->heap[child]->due_us)
			child++;
		if (l->heap[child]->due_us >= t->due_us)
			break;
		heap_set(l, at, l->heap[child]);
	}
	heap_set(l, at, t);
}

void loop_timer_stop(struct loop_timer *t)
{
	size_t at = t->heap_at;
	struct loop *l = t->loop;
	if (at == 0)
		return;
	struct loop_timer *last = l->heap[l->timers--];
	t->heap_at = 0;
	if (last == t)
		return;
	heap_set(l, at, last);
	heap_up(l, at);
	heap_down(l, last->heap_at);
}

static void timer_start(struct loop *l, struct loop_timer *t, int64_t due_us, void (*fn)(struct loop_timer *t))
{
	loop_timer_stop(t);
	t->loop = l;
	t->fn = fn;
	t->due_us = due_us;
	if (l->timers + 1 >= l->heap_cap) {
		l->heap_cap = l->heap_cap ? l->heap_cap * 2 : 32;
		l->heap = xrealloc(l->heap, l->heap_cap * sizeof(struct loop_timer *));
	}
	l->timers++;
	heap_set(l, l->timers, t);
	heap_up(l, l->timers);
}

void loop_timer_start(struct loop *l, struct loop_timer *t, int64_t delay_us, void (*fn)(struct loop_timer *t))
{
	t->lazy = false;
	timer_start(l, t, l->now_us + MAX(delay_us, (int64_t)0), fn);
}

/* Moved to the next multiple of a quarter of the delay: lazy timers of all processes of a machine fire together. */
void loop_timer_start_lazy(struct loop *l, struct loop_timer *t, int64_t delay_us, void (*fn)(struct loop_timer *t))
{
	int64_t step = MIN(MAX(delay_us / 4, (int64_t)1), SEC);
	int64_t due = l->now_us + MAX(delay_us, (int64_t)0);
	t->lazy = true;
	timer_start(l, t, (due + step - 1) / step * step, fn);
}

/* Timers that are due now, in order; one that starts itself again at once waits for the next turn. */
static void run_timers(struct loop *l)
{
	int64_t now = l->now_us;
	size_t budget = l->timers;
	while (budget-- > 0 && l->timers > 0 && l->heap[1]->due_us <= now && !l->stopped) {
		struct loop_timer *t = l->heap[1];
		loop_timer_stop(t);
		t->fn(t);
	}
}

static void on_wake(struct ev_loop *ev, ev_timer *w, int events)
{
	struct loop *l = w->data;
	(void)ev;
	(void)events;
	l->wake_due_us = 0;     /* run_timers follows in on_check's half of the turn */
}

static void set_wake(struct loop *l)
{
	int64_t due = l->timers > 0 ? l->heap[1]->due_us : 0;
	if (due == l->wake_due_us && (due == 0 || ev_is_active(&l->wake)))
		return;
	ev_timer_stop(l->ev, &l->wake);
	l->wake_due_us = due;
	if (due == 0)
		return;
	ev_now_update(l->ev);
	double delay = (double)(due - time_now_us()) / 1e6;
	ev_timer_set(&l->wake, delay > 0 ? delay : 0, 0);
	ev_timer_start(l->ev, &l->wake);
}

/* ---- descriptors ---- */

static int to_ev(int events) { return (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0); }

static void on_io(struct ev_loop *ev, ev_io *io, int events)
{
	struct loop_fd *w = container_of(io, struct loop_fd, io);
	(void)ev;
	w->fn(w, (events & EV_READ ? LOOP_READ : 0) | (events & EV_WRITE ? LOOP_WRITE : 0));
}

struct loop_fd *loop_fd_new(struct loop *l, int fd, int events, void (*fn)(struct loop_fd *w, int events), void *arg)
{
	struct loop_fd *w = xcalloc(1, sizeof(*w));
	w->loop = l;
	w->fn = fn;
	w->arg = arg;
	ev_io_init(&w->io, on_io, fd, to_ev(events));
	loop_fd_set(w, events);
	return w;
}

void loop_fd_set(struct loop_fd *w, int events)
{
	if (w->events == events)
		return;
	ev_io_stop(w->loop->ev, &w->io);
	w->events = events;
	if (events == 0)
		return;
	ev_io_set(&w->io, w->io.fd, to_ev(events));
	ev_io_start(w->loop->ev, &w->io);
}

void loop_fd_free(struct loop_fd *w)
{
	if (!w)
		return;
	ev_io_stop(w->loop->ev, &w->io);     /* pending events are dropped too */
	free(w);
}

void *loop_fd_arg(const struct loop_fd *w) { return w->arg; }

/* ---- defers and hooks ---- */

void loop_defer(struct loop *l, struct loop_defer *d, void (*fn)(struct loop_defer *d))
{
	d->fn = fn;
	if (!list_linked(&d->link))
		list_push(&l->defers, &d->link);
}

void loop_defer_cancel(struct loop_defer *d) { list_remove(&d->link); }

void loop_hook_add(struct loop *l, struct loop_hook *h, void (*fn)(struct loop_hook *h))
{
	h->fn = fn;
	if (!list_linked(&h->link))
		list_push(&l->hooks, &h->link);
}

void loop_hook_remove(struct loop_hook *h) { list_remove(&h->link); }

static void run_defers(struct loop *l)
{
	for (struct list *it; (it = list_pop(&l->defers));) {
		struct loop_defer *d = list_entry(it, struct loop_defer, link);
		d->fn(d);
	}
}

/* A hook may defer more, whose effects the hooks then see: until it is quiet. */
static void end_turn(struct loop *l)
{
	run_timers(l);
	do {
		run_defers(l);
		list_each_safe(&l->hooks, it) {
			struct loop_hook *h = list_entry(it, struct loop_hook, link);
			h->fn(h);
		}
	} while (!list_empty(&l->defers));
}

static void on_prepare(struct ev_loop *ev, ev_prepare *w, int events)
{
	struct loop *l = w->data;
	int64_t began = l->now_us;
	(void)ev;
	(void)events;
	end_turn(l);
	int64_t took = time_now_us() - began;
	if (took > SLOW_TURN_US)
		LOG(DEBUG, "slow turn", "us=%lld", (long long)took);
	if (l->stopped)
		ev_break(l->ev, EVBREAK_ALL);
	else
		set_wake(l);
}

static void on_check(struct ev_loop *ev, ev_check *w, int events)
{
	(void)ev;
	(void)events;
	refresh_time(w->data);
}

/* ---- signals, posts ---- */

static void on_signal(struct ev_loop *ev, ev_signal *w, int events)
{
	struct signal_row *row = container_of(w, struct signal_row, watcher);
	(void)ev;
	(void)events;
	row->fn(row->loop, w->signum, row->arg);
}

void loop_signal(struct loop *l, int signo, void (*fn)(struct loop *l, int signo, void *arg), void *arg)
{
	assert(l->signal_count < SIGNALS_MAX);
	struct signal_row *row = &l->signals[l->signal_count++];
	*row = (struct signal_row){ .loop = l, .fn = fn, .arg = arg };
	ev_signal_init(&row->watcher, on_signal, signo);
	ev_signal_start(l->ev, &row->watcher);
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct post *p = xmalloc(sizeof(*p));
	*p = (struct post){ .fn = fn, .arg = arg };
	p->next = __atomic_load_n(&l->posts, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&l->posts, &p->next, p, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	ev_async_send(l->ev, &l->posted);
}

static void on_posted(struct ev_loop *ev, ev_async *w, int events)
{
	struct loop *l = w->data;
	struct post *list = __atomic_exchange_n(&l->posts, NULL, __ATOMIC_ACQUIRE), *in_order = NULL;
	(void)ev;
	(void)events;
	while (list) {
		struct post *next = list->next;
		list->next = in_order;
		in_order = list;
		list = next;
	}
	while (in_order) {
		struct post *next = in_order->next;
		in_order->fn(in_order->arg);
		free(in_order);
		in_order = next;
	}
}

/* ---- slots ---- */

void *loop_slot_get(struct loop *l, enum loop_slot slot) { return l->slots[slot].value; }

void loop_slot_set(struct loop *l, enum loop_slot slot, void *value, void (*free_fn)(void *value))
{
	assert(!l->slots[slot].value);
	l->slots[slot].value = value;
	l->slots[slot].free_fn = free_fn;
}

/* ---- life ---- */

struct loop *loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	l->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	if (!l->ev) {
		LOG(ERROR, "no event loop", "errno=%d", errno);
		abort();
	}
	rnd_seed_os(&l->rnd);
	list_init(&l->defers);
	list_init(&l->hooks);
	list_init(&l->children);
	refresh_time(l);
	ev_timer_init(&l->wake, on_wake, 0, 0);
	ev_prepare_init(&l->prepare, on_prepare);
	ev_check_init(&l->check, on_check);
	ev_async_init(&l->posted, on_posted);
	ev_set_priority(&l->check, EV_MAXPRI);    /* the time is fresh before any callback of the turn */
	l->wake.data = l->prepare.data = l->check.data = l->posted.data = l;
	ev_prepare_start(l->ev, &l->prepare);
	ev_check_start(l->ev, &l->check);
	ev_async_start(l->ev, &l->posted);
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < LOOP_SLOTS; i++)
		if (l->slots[i].value)
			l->slots[i].free_fn(MOVE(l->slots[i].value));
	loop_workers_free(l->workers);
	on_posted(l->ev, &l->posted, 0);          /* what workers finished last */
	for (size_t i = 0; i < l->signal_count; i++)
		ev_signal_stop(l->ev, &l->signals[i].watcher);
	ev_loop_destroy(l->ev);
	free(l->heap);
	free(l);
}

void loop_run(struct loop *l)
{
	l->stopped = false;
	refresh_time(l);
	ev_run(l->ev, 0);
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
	ev_break(l->ev, EVBREAK_ALL);
}

struct loop_workers **loop_workers_of(struct loop *l) { return &l->workers; }
struct list *loop_children_of(struct loop *l) { return &l->children; }
