/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop itself, on libev. One turn: callbacks of descriptors, signals and other threads; due timers; defers until none is
 * left; hooks; sleep. libev gives the sleep and the descriptors, the rest is here, so the order is what this file says.
 * timer.c, work.c, child.c and loop_virtual.c hold the rest of net/loop.h.
 */
#include "net/loop_int.h"

#include <errno.h>

#include "net/base/log.h"
#include "net/base/time.h"

#define SLOW_TURN_US (10 * MSEC)

struct loop_fd {
	ev_io io;
	struct loop *loop;           /* borrowed */
	void (*fn)(struct loop_fd *w, int events);
	void *arg;                   /* borrowed */
};

struct loop_signal {
	ev_signal ev;
	struct loop *loop;
	void (*fn)(struct loop *l, int signo, void *arg);
	void *arg;
};

struct loop_posted {
	struct list link;
	void (*fn)(void *arg);
	void *arg;
};

void loop_ran(struct loop *l, const void *fn)
{
	if (l->virtual)
		return;
	int64_t now = time_now_us();
	int64_t took = now - l->mark_us;
	l->mark_us = now;
	if (took > l->longest_us) {
		l->longest_us = took;
		l->longest_fn = fn;
	}
}

static void loop_take_time(struct loop *l)
{
	l->now_us = time_now_us();
	l->unix_us = time_unix_us();
	l->turn_start_us = l->mark_us = l->now_us;
	l->longest_us = 0;
}

static void loop_on_turn(struct ev_loop *ev, ev_check *w, int revents UNUSED)
{
	(void)w;
	loop_take_time(ev_userdata(ev));
}

/* The wake timer only ends the sleep; what is due runs at the end of the turn. */
static void loop_on_wake(struct ev_loop *ev, ev_timer *w, int revents UNUSED)
{
	struct loop *l = ev_userdata(ev);
	ev_timer_stop(ev, w);
	l->wake_us = 0;
}

void loop_run_posts(struct loop *l)
{
	struct list posts;
	list_init(&posts);
	pthread_mutex_lock(&l->post_lock);
	for (struct list *n; (n = list_pop(&l->posts));)
		list_push(&posts, n);
	pthread_mutex_unlock(&l->post_lock);
	for (struct list *n; (n = list_pop(&posts));) {
		struct loop_posted *p = list_entry(n, struct loop_posted, link);
		p->fn(p->arg);
		loop_ran(l, (const void *)p->fn);
		free(p);
	}
}

static void loop_on_async(struct ev_loop *ev, ev_async *w, int revents UNUSED)
{
	struct loop *l = ev_userdata(ev);
	(void)w;
	loop_run_posts(l);
	if (l->pool)
		work_run_done(l);
}

void loop_init(struct loop *l)
{
	l->timers.lazy_phase_us = (int64_t)rnd_below(&l->rnd, SEC);
	list_init(&l->defers);
	list_init(&l->hooks);
	list_init(&l->child_watches);
	list_init(&l->ends);
	list_init(&l->posts);
	pthread_mutex_init(&l->post_lock, NULL);
}

struct loop *loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof *l);
	l->ev = ev_loop_new(EVFLAG_NOENV | EVFLAG_NOSIGMASK | EVBACKEND_EPOLL);
	if (!l->ev) {
		LOG(ERROR, "no event loop", "reason=%s next=raise the limit of open files", strerror(errno));
		exit(1);
	}
	ev_set_userdata(l->ev, l);
	rnd_seed_os(&l->rnd);
	loop_init(l);
	(void)signal(SIGPIPE, SIG_IGN);         /* a broken connection is EPIPE where it is written to */

	ev_check_init(&l->turn, loop_on_turn);
	ev_set_priority(&l->turn, EV_MAXPRI);
	ev_check_start(l->ev, &l->turn);
	ev_init(&l->wake, loop_on_wake);
	ev_async_init(&l->async, loop_on_async);
	ev_async_start(l->ev, &l->async);
	loop_take_time(l);
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	for (struct list *n; (n = list_pop(&l->ends));) {
		struct loop_end *end = list_entry(n, struct loop_end, link);
		end->fn(end);
	}
	work_pool_free(MOVE(l->pool));
	for (size_t i = 0; i < LOOP_SLOTS; i++)
		if (l->slots[i].value)
			l->slots[i].free_fn(MOVE(l->slots[i].value));
	child_watches_free(l);
	for (size_t i = 0; i < ARRAY_LEN(l->signals); i++)
		if (l->signals[i]) {
			ev_signal_stop(l->ev, &l->signals[i]->ev);
			free(l->signals[i]);
		}
	for (struct list *n; (n = list_pop(&l->posts));)
		free(list_entry(n, struct loop_posted, link));
	while (list_pop(&l->defers)) { }
	while (list_pop(&l->hooks)) { }
	timer_heap_fini(&l->timers);
	if (l->ev)
		ev_loop_destroy(l->ev);
	pthread_mutex_destroy(&l->post_lock);
	free(l);
}

static void loop_run_defers(struct loop *l)
{
	for (struct list *n; (n = list_pop(&l->defers));) {
		struct loop_defer *d = list_entry(n, struct loop_defer, link);
		void (*fn)(struct loop_defer *d) = d->fn;
		fn(d);                          /* may free d */
		loop_ran(l, (const void *)fn);
	}
}

static void loop_run_hooks(struct loop *l)
{
	struct list *n = l->hooks.next;
	while (n != &l->hooks) {
		struct loop_hook *h = list_entry(n, struct loop_hook, link);
		void (*fn)(struct loop_hook *h) = h->fn;
		l->hook_next = list_entry(n->next, struct loop_hook, link);     /* loop_hook_remove keeps it right */
		fn(h);                          /* may remove and free h */
		loop_ran(l, (const void *)fn);
		n = &l->hook_next->link;
	}
	l->hook_next = NULL;
}

void loop_end_turn(struct loop *l)
{
	timer_run_due(l);
	loop_run_defers(l);
	loop_run_hooks(l);

	int64_t busy = l->mark_us - l->turn_start_us;
	if (busy > SLOW_TURN_US) {
		l->slow_turns++;
		LOG(DEBUG, "slow turn", "ms=%lld longest_ms=%lld fn=%p", (long long)(busy / MSEC),
		    (long long)(l->longest_us / MSEC), l->longest_fn);
	}
}

/* Set the one libev timer to the heap's first timer. */
static void loop_set_wake(struct loop *l)
{
	int64_t due = l->timers.count ? l->timers.at[1]->due_us : 0;
	if (due == l->wake_us)
		return;
	l->wake_us = due;
	if (!due) {
		ev_timer_stop(l->ev, &l->wake);
		return;
	}
	ev_now_update(l->ev);
	l->wake.repeat = (double)MAX(due - time_now_us(), 1) / (double)SEC;
	ev_timer_again(l->ev, &l->wake);
}

void loop_run(struct loop *l)
{
	loop_take_time(l);
	loop_end_turn(l);
	while (!l->stopped) {
		bool more = !list_empty(&l->defers);            /* a hook left some */
		loop_set_wake(l);
		ev_run(l->ev, more ? EVRUN_NOWAIT : EVRUN_ONCE);
		loop_end_turn(l);
	}
	l->stopped = false;
}

void loop_stop(struct loop *l) { l->stopped = true; }
int64_t loop_now_us(struct loop *l) { return l->now_us; }
int64_t loop_unix_us(struct loop *l) { return l->unix_us; }
struct rnd *loop_rnd(struct loop *l) { return &l->rnd; }
uint64_t loop_slow_turns(const struct loop *l) { return l->slow_turns; }

static int loop_to_ev(int events) { return (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0); }
static int loop_from_ev(int events) { return (events & EV_READ ? LOOP_READ : 0) | (events & EV_WRITE ? LOOP_WRITE : 0); }

static void loop_on_fd(struct ev_loop *ev, ev_io *io, int revents)
{
	struct loop *l = ev_userdata(ev);
	struct loop_fd *w = container_of(io, struct loop_fd, io);
	void (*fn)(struct loop_fd *w, int events) = w->fn;
	fn(w, loop_from_ev(revents));           /* may free w */
	loop_ran(l, (const void *)fn);
}

struct loop_fd *loop_fd_new(struct loop *l, int fd, int events, void (*fn)(struct loop_fd *w, int events), void *arg)
{
	struct loop_fd *w = xcalloc(1, sizeof *w);
	w->loop = l;
	w->fn = fn;
	w->arg = arg;
	ev_io_init(&w->io, loop_on_fd, fd, loop_to_ev(events));
	if (events)
		ev_io_start(l->ev, &w->io);
	return w;
}

void loop_fd_set(struct loop_fd *w, int events)
{
	int want = loop_to_ev(events);
	if (want == (ev_is_active(&w->io) ? w->io.events & (EV_READ | EV_WRITE) : 0))
		return;
	ev_io_stop(w->loop->ev, &w->io);
	ev_io_set(&w->io, w->io.fd, want);
	if (want)
		ev_io_start(w->loop->ev, &w->io);
}

void loop_fd_free(struct loop_fd *w)
{
	if (!w)
		return;
	ev_io_stop(w->loop->ev, &w->io);
	free(w);
}

void *loop_fd_arg(const struct loop_fd *w) { return w->arg; }

void loop_defer(struct loop *l, struct loop_defer *d, void (*fn)(struct loop_defer *d))
{
	if (list_linked(&d->link))
		return;
	d->fn = fn;
	list_push(&l->defers, &d->link);
}

void loop_defer_cancel(struct loop_defer *d) { list_remove(&d->link); }

void loop_hook_add(struct loop *l, struct loop_hook *h, void (*fn)(struct loop_hook *h))
{
	assert(!list_linked(&h->link));
	h->fn = fn;
	h->loop = l;
	list_push(&l->hooks, &h->link);
	if (l->hook_next && &l->hook_next->link == &l->hooks)
		l->hook_next = h;       /* the last hook is running: what it adds still has its turn before the loop sleeps */
}

void loop_hook_remove(struct loop_hook *h)
{
	if (!list_linked(&h->link))
		return;
	if (h->loop->hook_next == h)
		h->loop->hook_next = list_entry(h->link.next, struct loop_hook, link);
	list_remove(&h->link);
}

void loop_end_add(struct loop *l, struct loop_end *end, void (*fn)(struct loop_end *end))
{
	end->fn = fn;
	list_push(&l->ends, &end->link);
}

void loop_end_remove(struct loop_end *end) { list_remove(&end->link); }

static void loop_on_signal(struct ev_loop *ev, ev_signal *w, int revents UNUSED)
{
	struct loop_signal *s = container_of(w, struct loop_signal, ev);
	struct loop *l = ev_userdata(ev);
	s->fn(l, w->signum, s->arg);
	loop_ran(l, (const void *)s->fn);
}

void loop_signal(struct loop *l, int signo, void (*fn)(struct loop *l, int signo, void *arg), void *arg)
{
	assert(signo > 0 && signo < NSIG);
	struct loop_signal *s = l->signals[signo];
	if (!s) {
		s = l->signals[signo] = xcalloc(1, sizeof *s);
		ev_signal_init(&s->ev, loop_on_signal, signo);
		ev_signal_start(l->ev, &s->ev);
	}
	s->loop = l;
	s->fn = fn;
	s->arg = arg;
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct loop_posted *p = xcalloc(1, sizeof *p);
	p->fn = fn;
	p->arg = arg;
	pthread_mutex_lock(&l->post_lock);
	list_push(&l->posts, &p->link);
	pthread_mutex_unlock(&l->post_lock);
	if (l->ev)
		ev_async_send(l->ev, &l->async);
}

void *loop_slot_get(struct loop *l, enum loop_slot slot) { return l->slots[slot].value; }

void loop_slot_set(struct loop *l, enum loop_slot slot, void *value, void (*free_fn)(void *value))
{
	assert(!l->slots[slot].value);
	l->slots[slot].value = value;
	l->slots[slot].free_fn = free_fn;
}
