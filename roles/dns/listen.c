/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions by UDP and TCP. What is in a zone of the cluster is answered at once, the rest when an upstream has answered.
 * A TCP connection (RFC 7766: two length bytes before each message) may hold many questions; they are answered in their order,
 * one forwarded at a time, and reading stops while the asker does not take its answers.
 */
#include <errno.h>
#include <sys/socket.h>

#include "net/dns_wire.h"
#include "roles/dns/dns.h"
#include "roles/dns/forward.h"

#define UDP_PER_TURN 64

enum verdict { VERDICT_ANSWER, VERDICT_FORWARD, VERDICT_SILENCE };

/* The answer, or the refusal, is in d->out[0 … *out_len). */
static enum verdict answer_here(struct dns *d, const uint8_t *msg, size_t len, bool tcp, bool only_ours, size_t *out_len)
{
	struct dns_query q;
	if (dns_is_response(msg, len))
		return VERDICT_SILENCE;      /* two servers must not answer each other's answers for ever */
	if (dns_query_parse(msg, len, &q, NULL) != 0)
		*out_len = dns_error_write(d->out, sizeof(d->out), msg, len, DNS_FORMERR);
	else if (q.opcode != 0 || q.question_count != 1)
		*out_len = dns_error_write(d->out, sizeof(d->out), msg, len, DNS_NOTIMP);
	else if (records_ours(q.name.text))
		*out_len = records_answer(&d->records, &q, d->rotate++, only_ours ? UINT32_MAX : RECORDS_TTL_OUTWARD, d->out,
					  tcp ? sizeof(d->out) : q.udp_size);
	else if (only_ours)
		*out_len = dns_error_write(d->out, sizeof(d->out), msg, len, DNS_REFUSED);
	else
		return VERDICT_FORWARD;
	return VERDICT_ANSWER;
}

/* ---- UDP ---- */

/* A question on its way upstream; owned by the listener's list. */
struct udp_asker {
	struct dns_listener *listener;
	struct sock_addr from;
	struct forward *forward;
	struct list link;
	size_t query_len;
	uint8_t query[];
};

static void udp_send(struct dns_listener *l, const uint8_t *msg, size_t len, const struct sock_addr *to)
{
	(void)sendto(l->udp_fd, msg, len, 0, &to->sa, to->len);   /* UDP may be lost: the asker asks again */
}

static void udp_asker_free(struct udp_asker *u)
{
	list_remove(&u->link);
	free(u);
}

static void udp_forwarded(void *arg, const uint8_t *answer, size_t len)
{
	struct udp_asker *u = arg;
	uint8_t failure[DNS_UDP_MIN];
	if (!answer) {
		len = dns_error_write(failure, sizeof(failure), u->query, u->query_len, DNS_SERVFAIL);
		answer = failure;
	}
	udp_send(u->listener, answer, len, &u->from);
	udp_asker_free(u);
}

static void udp_forward(struct dns_listener *l, const uint8_t *msg, size_t len, const struct sock_addr *from)
{
	struct udp_asker *u = xmalloc(sizeof(*u) + len);
	*u = (struct udp_asker){ .listener = l, .from = *from, .query_len = len };
	memcpy(u->query, msg, len);
	list_push(&l->udp_askers, &u->link);
	u->forward = forward_start(l->dns->forwarder, msg, len, false, udp_forwarded, u);
}

static void udp_ready(struct loop_fd *watch, int events)
{
	struct dns_listener *l = loop_fd_arg(watch);
	struct dns *d = l->dns;
	struct sock_addr from;
	(void)events;
	for (int i = 0; i < UDP_PER_TURN; i++) {
		size_t len = 0;
		from.len = sizeof(from.storage);
		ssize_t n = recvfrom(l->udp_fd, d->in, sizeof(d->in), 0, &from.sa, &from.len);
		if (n < 0)
			return;
		if (n < DNS_HEADER)
			continue;
		enum verdict v = answer_here(d, d->in, (size_t)n, false, l->only_ours, &len);
		if (v == VERDICT_ANSWER)
			udp_send(l, d->out, len, &from);
		else if (v == VERDICT_FORWARD)
			udp_forward(l, d->in, (size_t)n, &from);
	}
}

/* ---- TCP ---- */

/* A connection; owned by the listener's list. The question being forwarded stands first in the stream until it is answered. */
struct tcp_asker {
	struct dns_listener *listener;
	struct stream *stream;
	struct forward *forward;     /* NULL: none */
	bool ended;                  /* no more questions will come */
	struct loop_timer idle;
	struct list link;
};

static void tcp_free(struct tcp_asker *t)
{
	if (t->forward)
		forward_cancel(t->forward);
	loop_timer_stop(&t->idle);
	stream_free(t->stream);
	list_remove(&t->link);
	t->listener->tcp_count--;
	free(t);
}

static void tcp_on_idle(struct loop_timer *timer) { tcp_free(container_of(timer, struct tcp_asker, idle)); }

static void tcp_reply(struct tcp_asker *t, const uint8_t *msg, size_t len)
{
	uint8_t prefix[2] = { (uint8_t)(len >> 8), (uint8_t)len };
	stream_write(t->stream, prefix, sizeof(prefix));
	stream_write(t->stream, msg, len);
}

/* The first question in the stream; false: it is not there as a whole. */
static bool tcp_first(const struct tcp_asker *t, const uint8_t **out_msg, size_t *out_len)
{
	const struct buf *in = stream_in(t->stream);
	size_t len = in->len < 2 ? 0 : (size_t)in->data[0] << 8 | in->data[1];
	if (in->len < 2 || in->len - 2 < len)
		return false;
	*out_msg = in->data + 2;
	*out_len = len;
	return true;
}

static void tcp_drop_first(struct tcp_asker *t, size_t len) { buf_drop(stream_in(t->stream), 2 + len); }

static void tcp_step(struct tcp_asker *t);

static void tcp_forwarded(void *arg, const uint8_t *answer, size_t len)
{
	struct tcp_asker *t = arg;
	const uint8_t *query = NULL;
	size_t query_len = 0;
	uint8_t failure[DNS_UDP_MIN];
	bool there = tcp_first(t, &query, &query_len);
	assert(there);
	t->forward = NULL;
	if (!answer) {
		len = dns_error_write(failure, sizeof(failure), query, query_len, DNS_SERVFAIL);
		answer = failure;
	}
	tcp_reply(t, answer, len);
	tcp_drop_first(t, query_len);
	tcp_step(t);
}

/* Go on as far as one can; may free t. */
static void tcp_step(struct tcp_asker *t)
{
	struct dns *d = t->listener->dns;
	const uint8_t *msg = NULL;
	size_t n = 0, len = 0;
	bool whole;
	while ((whole = tcp_first(t, &msg, &n)) && !t->forward && !stream_full(t->stream)) {
		if (n < DNS_HEADER) {
			tcp_free(t);
			return;
		}
		enum verdict v = answer_here(d, msg, n, true, t->listener->only_ours, &len);
		if (v == VERDICT_FORWARD) {
			t->forward = forward_start(d->forwarder, msg, n, true, tcp_forwarded, t);
			continue;
		}
		if (v == VERDICT_ANSWER)
			tcp_reply(t, d->out, len);
		tcp_drop_first(t, n);
	}
	if (t->ended && !whole) {
		stream_close_after_flush(MOVE(t->stream));
		tcp_free(t);
		return;
	}
	stream_pause(t->stream, stream_in(t->stream)->len > LIMIT_DNS_TCP_BYTES);
}

static void tcp_data(struct stream *s)
{
	struct tcp_asker *t = stream_arg(s);
	loop_timer_start_lazy(stream_loop(s), &t->idle, LIMIT_DNS_TCP_IDLE_US, tcp_on_idle);
	tcp_step(t);
}

static void tcp_drained(struct stream *s) { tcp_step(stream_arg(s)); }

static void tcp_eof(struct stream *s)
{
	struct tcp_asker *t = stream_arg(s);
	t->ended = true;
	tcp_step(t);
}

static void tcp_closed(struct stream *s, const struct err *e)
{
	(void)e;
	tcp_free(stream_arg(s));
}

static void tcp_ready(struct loop_fd *watch, int events)
{
	static const struct stream_events ev = { .data = tcp_data, .drained = tcp_drained, .eof = tcp_eof, .closed = tcp_closed };
	struct dns_listener *l = loop_fd_arg(watch);
	struct loop *loop = l->dns->node.loop;
	(void)events;
	int fd = accept4(l->tcp_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (l->tcp_count >= LIMIT_DNS_TCP_CONNECTIONS) {
		(void)close(fd);
		return;
	}
	struct tcp_asker *t = xcalloc(1, sizeof(*t));
	t->listener = l;
	t->stream = stream_accepted(loop, fd, NULL, &ev, t);
	list_push(&l->tcp_askers, &t->link);
	l->tcp_count++;
	loop_timer_start_lazy(loop, &t->idle, LIMIT_DNS_TCP_IDLE_US, tcp_on_idle);
}

/* ---- listening ---- */

int dns_listen(struct dns *d, const char *ip, uint16_t port, bool only_ours, struct err *e)
{
	struct sock_addr a;
	AUTO_FD int udp_fd = -1;
	AUTO_FD int tcp_fd = -1;
	if (d->listener_count == ARRAY_LEN(d->listeners))
		return err_set(e, E_TOOBIG, "more than %zu addresses to listen on", ARRAY_LEN(d->listeners));
	int rc = sock_addr_parse(&a, ip, port, e);
	if (rc == 0)
		rc = sock_listen(&a, SOCK_DGRAM, &udp_fd, e);
	if (rc == 0)
		rc = sock_listen(&a, SOCK_STREAM, &tcp_fd, e);
	if (rc != 0)
		return rc;
	struct dns_listener *l = &d->listeners[d->listener_count++];
	*l = (struct dns_listener){ .dns = d, .udp_fd = MOVE_FD(udp_fd), .tcp_fd = MOVE_FD(tcp_fd), .only_ours = only_ours };
	list_init(&l->udp_askers);
	list_init(&l->tcp_askers);
	l->udp_watch = loop_fd_new(d->node.loop, l->udp_fd, LOOP_READ, udp_ready, l);
	l->tcp_watch = loop_fd_new(d->node.loop, l->tcp_fd, LOOP_READ, tcp_ready, l);
	return 0;
}

static void listener_close(struct dns_listener *l)
{
	list_each_safe(&l->udp_askers, it) {
		struct udp_asker *u = list_entry(it, struct udp_asker, link);
		forward_cancel(u->forward);
		udp_asker_free(u);
	}
	list_each_safe(&l->tcp_askers, it)
		tcp_free(list_entry(it, struct tcp_asker, link));
	loop_fd_free(l->udp_watch);
	loop_fd_free(l->tcp_watch);
	(void)close(l->udp_fd);
	(void)close(l->tcp_fd);
}

void dns_listeners_close(struct dns *d)
{
	for (size_t i = 0; i < d->listener_count; i++)
		listener_close(&d->listeners[i]);
	d->listener_count = 0;
}
