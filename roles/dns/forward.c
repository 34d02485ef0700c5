/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/dns/forward.h"

#include <errno.h>
#include <sys/socket.h>

#include "net/base/list.h"
#include "net/dns_wire.h"
#include "net/limits.h"
#include "net/stream.h"

#define FORWARD_TIMEOUT_US (5 * SEC)
#define RACE 2
#define TC_BYTE 2
#define TC_BIT 0x02

struct upstream {
	struct sock_addr addr;
	unsigned failures;       /* lately; an answer forgives them */
};

struct forwarder {
	struct loop *loop;
	struct upstream upstreams[FORWARD_UPSTREAMS_MAX];
	size_t count, next;
	struct list running;
	size_t running_count;
};

/* One way to one upstream. */
struct attempt {
	struct forward *owner;
	struct upstream *upstream;
	int fd;                          /* UDP */
	struct loop_fd *watch;
	struct stream *stream;           /* TCP */
};

struct forward {
	struct list link;
	struct forwarder *f;
	struct loop_timer timer;
	struct attempt attempts[RACE];
	size_t attempt_count;
	uint8_t *query;
	size_t query_len;
	uint8_t id[2];                   /* the asker's; upstream sees a random one */
	void (*done)(void *arg, const uint8_t *answer, size_t len);
	void *arg;
};

struct forwarder *forwarder_new(struct loop *l)
{
	struct forwarder *f = xcalloc(1, sizeof(*f));
	f->loop = l;
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

static void attempt_close(struct attempt *a)
{
	loop_fd_free(MOVE(a->watch));
	stream_free(MOVE(a->stream));
	if (a->fd >= 0)
		(void)close(a->fd);
	a->fd = -1;
}

static void forward_free(struct forward *w)
{
	for (size_t i = 0; i < w->attempt_count; i++)
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

static void finish(struct forward *w, uint8_t *answer, size_t len)
{
	void (*done)(void *, const uint8_t *, size_t) = w->done;
	void *arg = w->arg;
	if (answer)
		memcpy(answer, w->id, sizeof(w->id));
	forward_free(w);
	done(arg, answer, len);
}

static void on_timeout(struct loop_timer *t)
{
	struct forward *w = container_of(t, struct forward, timer);
	for (size_t i = 0; i < w->attempt_count; i++)
		w->attempts[i].upstream->failures++;
	finish(w, NULL, 0);
}

/* Is this an answer to what we asked? Someone else's bytes must not become a cached truth. */
static bool is_answer(const struct forward *w, const uint8_t *msg, size_t len)
{
	struct dns_query asked, got;
	if (dns_query_parse(w->query, w->query_len, &asked, NULL) != 0 || dns_query_parse(msg, len, &got, NULL) != 0)
		return false;
	return got.response && got.id == asked.id && got.type == asked.type && strcmp(got.name.text, asked.name.text) == 0;
}

/* ---- TCP ---- */

static void tcp_opened(struct stream *s)
{
	struct attempt *a = stream_arg(s);
	uint8_t len[2] = { (uint8_t)(a->owner->query_len >> 8), (uint8_t)a->owner->query_len };
	stream_write(s, len, sizeof(len));
	stream_write(s, a->owner->query, a->owner->query_len);
}

static void tcp_data(struct stream *s)
{
	struct attempt *a = stream_arg(s);
	struct buf *in = stream_in(s);
	if (in->len < 2)
		return;
	size_t len = (size_t)in->data[0] << 8 | in->data[1];
	if (in->len - 2 < len || !is_answer(a->owner, in->data + 2, len))
		return;
	AUTO_FREE uint8_t *copy = xmalloc(len);
	memcpy(copy, in->data + 2, len);
	a->upstream->failures = 0;
	finish(a->owner, copy, len);
}

static void tcp_closed(struct stream *s, const struct err *e)
{
	struct attempt *a = stream_arg(s);
	(void)e;
	a->upstream->failures++;
	attempt_close(a);
}

static void ask_tcp(struct attempt *a)
{
	static const struct stream_events ev = { .opened = tcp_opened, .data = tcp_data, .closed = tcp_closed };
	attempt_close(a);
	a->stream = stream_connect(a->owner->f->loop, &a->upstream->addr, NULL, NULL, FORWARD_TIMEOUT_US, &ev, a);
}

/* ---- UDP ---- */

static void on_udp(struct loop_fd *watch, int events)
{
	struct attempt *a = loop_fd_arg(watch);
	uint8_t msg[DNS_UDP_MAX];
	(void)events;
	ssize_t n = recv(a->fd, msg, sizeof(msg), 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		a->upstream->failures++;        /* port unreachable: the other one may answer */
		attempt_close(a);
		return;
	}
	if (!is_answer(a->owner, msg, (size_t)n))
		return;
	a->upstream->failures = 0;
	if (msg[TC_BYTE] & TC_BIT)
		ask_tcp(a);
	else
		finish(a->owner, msg, (size_t)n);
}

static void ask_udp(struct attempt *a)
{
	struct sock_addr *to = &a->upstream->addr;
	a->fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool sent = a->fd >= 0 && connect(a->fd, &to->sa, to->len) == 0 &&
		    send(a->fd, a->owner->query, a->owner->query_len, 0) == (ssize_t)a->owner->query_len;
	if (!sent) {
		a->upstream->failures++;
		attempt_close(a);
		return;
	}
	a->watch = loop_fd_new(a->owner->f->loop, a->fd, LOOP_READ, on_udp, a);
}

/* The upstream with the fewest failures that is not asked yet; equals take turns. */
static struct upstream *pick(struct forward *w)
{
	struct forwarder *f = w->f;
	struct upstream *best = NULL;
	for (size_t i = 0; i < f->count; i++) {
		struct upstream *u = &f->upstreams[(f->next + i) % f->count];
		bool asked = false;
		for (size_t j = 0; j < w->attempt_count; j++)
			asked |= w->attempts[j].upstream == u;
		if (!asked && (!best || u->failures < best->failures))
			best = u;
	}
	return best;
}

struct forward *forward_start(struct forwarder *f, const uint8_t *query, size_t len, bool tcp,
			      void (*done)(void *arg, const uint8_t *answer, size_t len), void *arg)
{
	struct forward *w = xcalloc(1, sizeof(*w));
	uint16_t id = (uint16_t)rnd_u64(loop_rnd(f->loop));
	assert(len >= 12);
	*w = (struct forward){ .f = f, .query = xmalloc(len), .query_len = len, .id = { query[0], query[1] }, .done = done, .arg = arg };
	memcpy(w->query, query, len);
	w->query[0] = (uint8_t)(id >> 8);
	w->query[1] = (uint8_t)id;
	list_push(&f->running, &w->link);
	bool overload = ++f->running_count > LIMIT_DNS_FORWARDS;
	struct upstream *u;
	while (!overload && w->attempt_count < RACE && (u = pick(w))) {
		struct attempt *a = &w->attempts[w->attempt_count++];
		*a = (struct attempt){ .owner = w, .upstream = u, .fd = -1 };
		if (tcp)
			ask_tcp(a);
		else
			ask_udp(a);
	}
	f->next = f->count > 0 ? (f->next + 1) % f->count : 0;
	loop_timer_start(f->loop, &w->timer, w->attempt_count > 0 ? FORWARD_TIMEOUT_US : 0, on_timeout);
	return w;
}
