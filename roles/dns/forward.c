/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/dns/forward.h"

#include <errno.h>
#include <sys/socket.h>

#include "net/base/list.h"
#include "net/dns_wire.h"
#include "net/limits.h"
#include "net/stream.h"

#define RACE 2
#define FORGIVEN_US (60 * SEC)

struct upstream {
	struct sock_addr addr;
	unsigned failures;               /* in a row */
	int64_t failed_us;               /* the last of them */
};

struct forwarder {
	struct loop *loop;
	int64_t timeout_us;
	struct upstream upstreams[FORWARD_UPSTREAMS_MAX];
	size_t count, next;
	struct list running;
	size_t running_count;
	uint8_t answer[DNS_TCP_MAX];     /* the one being handed over */
};

/* One upstream being asked. */
struct attempt {
	struct forward *owner;           /* borrowed */
	struct upstream *upstream;       /* borrowed; NULL: this place in the race is free */
	int fd;                          /* UDP; -1: none */
	struct loop_fd *watch;
	struct stream *stream;           /* TCP */
};

/*
 * One question.  RACING --answer, no upstream left, or timeout--> over (freed, then done)
 * Owned by the forwarder's list until then.
 */
struct forward {
	struct list link;
	struct forwarder *f;
	struct loop_timer timer;
	struct attempt attempts[RACE];
	uint32_t asked;                  /* bit per upstream */
	bool tcp;
	uint8_t *query;
	size_t query_len;
	uint8_t id[2];                   /* the asker's; upstreams see a random one */
	void (*done)(void *arg, const uint8_t *answer, size_t len);
	void *arg;
};
static_assert(FORWARD_UPSTREAMS_MAX <= 32, "a bit per upstream");

struct forwarder *forwarder_new(struct loop *l, int64_t timeout_us)
{
	struct forwarder *f = xcalloc(1, sizeof(*f));
	f->loop = l;
	f->timeout_us = timeout_us;
	list_init(&f->running);
	return f;
}

int forwarder_add(struct forwarder *f, const char *upstream, struct err *e)
{
	if (f->count == FORWARD_UPSTREAMS_MAX)
		return err_set(e, E_TOOBIG, "more than %d upstream resolvers", FORWARD_UPSTREAMS_MAX);
	int rc = sock_addr_parse_hostport(&f->upstreams[f->count].addr, upstream, 53, e);
	if (rc == 0)
		f->count++;
	return rc;
}

/* ---- the end of an attempt, and of the whole ---- */

static void attempt_close(struct attempt *a)
{
	loop_fd_free(MOVE(a->watch));
	stream_free(MOVE(a->stream));
	if (a->fd >= 0)
		(void)close(MOVE_FD(a->fd));
	a->upstream = NULL;
}

static void forward_free(struct forward *w)
{
	for (size_t i = 0; i < RACE; i++)
		attempt_close(&w->attempts[i]);
	loop_timer_stop(&w->timer);
	list_remove(&w->link);
	w->f->running_count--;
	free(w->query);
	free(w);
}

void forward_cancel(struct forward *w) { forward_free(w); }

void forwarder_free(struct forwarder *f)
{
	if (!f)
		return;
	list_each_safe(&f->running, it)
		forward_free(list_entry(it, struct forward, link));
	free(f);
}

/* answer: f->answer, or NULL. */
static void forward_finish(struct forward *w, uint8_t *answer, size_t len)
{
	void (*done)(void *, const uint8_t *, size_t) = w->done;
	void *arg = w->arg;
	if (answer)
		memcpy(answer, w->id, sizeof(w->id));
	forward_free(w);
	done(arg, answer, len);
}

static void forward_answered(struct attempt *a, size_t len)
{
	struct forwarder *f = a->owner->f;
	a->upstream->failures = 0;
	forward_finish(a->owner, f->answer, len);
}

static void upstream_blame(struct forwarder *f, struct upstream *u)
{
	u->failures++;
	u->failed_us = loop_now_us(f->loop);
}

static void forward_on_timeout(struct loop_timer *t)
{
	struct forward *w = container_of(t, struct forward, timer);
	for (size_t i = 0; i < RACE; i++)
		if (w->attempts[i].upstream)
			upstream_blame(w->f, w->attempts[i].upstream);
	forward_finish(w, NULL, 0);
}

static bool forward_race(struct forward *w);

/* This upstream will not answer: the next one takes its place in the race. */
static void attempt_failed(struct attempt *a)
{
	struct forward *w = a->owner;
	upstream_blame(w->f, a->upstream);
	attempt_close(a);
	if (!forward_race(w))
		forward_finish(w, NULL, 0);
}

/* ---- TCP ---- */

static void tcp_opened(struct stream *s)
{
	const struct forward *w = ((struct attempt *)stream_arg(s))->owner;
	uint8_t len[2] = { (uint8_t)(w->query_len >> 8), (uint8_t)w->query_len };
	stream_write(s, len, sizeof(len));
	stream_write(s, w->query, w->query_len);
}

static void tcp_data(struct stream *s)
{
	struct attempt *a = stream_arg(s);
	const struct buf *in = stream_in(s);
	if (in->len < 2)
		return;
	size_t len = (size_t)in->data[0] << 8 | in->data[1];
	if (in->len - 2 < len)
		return;
	if (!dns_answers(in->data + 2, len, a->owner->query, a->owner->query_len)) {
		attempt_failed(a);
		return;
	}
	memcpy(a->owner->f->answer, in->data + 2, len);
	forward_answered(a, len);
}

static void tcp_closed(struct stream *s, const struct err *e)
{
	(void)e;
	attempt_failed(stream_arg(s));
}

static bool ask_tcp(struct attempt *a)
{
	static const struct stream_events ev = { .opened = tcp_opened, .data = tcp_data, .closed = tcp_closed };
	struct forwarder *f = a->owner->f;
	a->stream = stream_connect(f->loop, &a->upstream->addr, NULL, NULL, f->timeout_us, &ev, a);
	return true;
}

/* ---- UDP: a socket of its own for each attempt, so that the port is as hard to guess as the id ---- */

static void udp_ready(struct loop_fd *watch, int events)
{
	struct attempt *a = loop_fd_arg(watch);
	const struct forward *w = a->owner;
	(void)events;
	ssize_t n = recv(a->fd, w->f->answer, sizeof(w->f->answer), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		attempt_failed(a);        /* nobody listens there */
	else if (dns_answers(w->f->answer, (size_t)n, w->query, w->query_len))
		forward_answered(a, (size_t)n);
	/* else: someone else's bytes; the true answer may still come */
}

static bool ask_udp(struct attempt *a)
{
	const struct forward *w = a->owner;
	const struct sock_addr *to = &a->upstream->addr;
	a->fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0 || connect(a->fd, &to->sa, to->len) != 0 || send(a->fd, w->query, w->query_len, 0) != (ssize_t)w->query_len)
		return false;
	a->watch = loop_fd_new(w->f->loop, a->fd, LOOP_READ, udp_ready, a);
	return true;
}

/* ---- the race ---- */

static unsigned recent_failures(const struct forwarder *f, const struct upstream *u)
{
	return loop_now_us(f->loop) - u->failed_us > FORGIVEN_US ? 0 : u->failures;
}

/* The upstream with the fewest failures that was not asked yet, marked as asked; equals take turns. */
static struct upstream *pick(struct forward *w)
{
	struct forwarder *f = w->f;
	size_t best = SIZE_MAX;
	for (size_t i = 0; i < f->count; i++) {
		size_t at = (f->next + i) % f->count;
		if (w->asked & 1u << at)
			continue;
		if (best == SIZE_MAX || recent_failures(f, &f->upstreams[at]) < recent_failures(f, &f->upstreams[best]))
			best = at;
	}
	if (best == SIZE_MAX)
		return NULL;
	w->asked |= 1u << best;
	return &f->upstreams[best];
}

static void attempt_start(struct attempt *a)
{
	struct forward *w = a->owner;
	while (!a->upstream && (a->upstream = pick(w))) {
		if (w->tcp ? ask_tcp(a) : ask_udp(a))
			return;
		upstream_blame(w->f, a->upstream);
		attempt_close(a);
	}
}

/* Fill the free places of the race. False: nobody is being asked, and nobody is left. */
static bool forward_race(struct forward *w)
{
	bool racing = false;
	for (size_t i = 0; i < RACE; i++) {
		attempt_start(&w->attempts[i]);
		racing |= w->attempts[i].upstream != NULL;
	}
	return racing;
}

struct forward *forward_start(struct forwarder *f, const uint8_t *query, size_t len, bool tcp,
			      void (*done)(void *arg, const uint8_t *answer, size_t len), void *arg)
{
	struct forward *w = xcalloc(1, sizeof(*w));
	assert(len >= DNS_HEADER);
	assert(len <= DNS_TCP_MAX);
	*w = (struct forward){ .f = f, .tcp = tcp, .query = xmalloc(len), .query_len = len, .done = done, .arg = arg };
	memcpy(w->id, query, sizeof(w->id));
	memcpy(w->query, query, len);
	rnd_bytes(w->query, sizeof(w->id));      /* not to be guessed by who would answer in an upstream's place */
	for (size_t i = 0; i < RACE; i++)
		w->attempts[i] = (struct attempt){ .owner = w, .fd = -1 };
	list_push(&f->running, &w->link);
	bool overload = ++f->running_count > LIMIT_DNS_FORWARDS;
	bool racing = !overload && forward_race(w);
	f->next = f->count > 0 ? (f->next + 1) % f->count : 0;
	loop_timer_start(f->loop, &w->timer, racing ? f->timeout_us : 0, forward_on_timeout);
	return w;
}
