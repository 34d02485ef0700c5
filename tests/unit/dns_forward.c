/* SPDX-License-Identifier: Apache-2.0 */
/* Names that are not ours, over real sockets: upstreams that answer, fail, lie and keep silent; askers by UDP and TCP. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "net/dns_wire.h"
#include "net/limits.h"
#include "roles/dns/dns.h"
#include "roles/dns/forward.h"
#include "tests/lib/net.h"

/* ---- an upstream resolver, played by the test ---- */

struct upstream {
	int udp, tcp;              /* one port, both */
	uint16_t port;
	char text[32];             /* "127.0.0.1:port" */
};

static bool upstream_try(struct upstream *u)
{
	struct sock_addr a = net_local(0);
	EQ_INT(sock_listen(&a, SOCK_DGRAM, &u->udp, NULL), 0);
	EQ_INT(sock_local_addr(u->udp, &a, NULL), 0);
	u->port = sock_addr_port(&a);
	return sock_listen(&a, SOCK_STREAM, &u->tcp, NULL) == 0;
}

static void upstream_open(struct upstream *u)
{
	while (!upstream_try(u))
		(void)close(u->udp);           /* that port's TCP half was taken */
	(void)snprintf(u->text, sizeof(u->text), "127.0.0.1:%u", u->port);
}

static void upstream_close(struct upstream *u)
{
	(void)close(u->udp);
	(void)close(u->tcp);
}

/* The next question over UDP, turning the loop until it is there. */
static size_t upstream_question(struct loop *l, struct upstream *u, uint8_t msg[DNS_UDP_MAX], struct sock_addr *from)
{
	ssize_t n = -1;
	from->len = sizeof(from->storage);
	UNTIL(l, (n = recvfrom(u->udp, msg, DNS_UDP_MAX, 0, &from->sa, &from->len)) > 0);
	return (size_t)n;
}

static bool upstream_asked(struct upstream *u)
{
	uint8_t byte;
	return recv(u->udp, &byte, 1, MSG_PEEK) > 0;
}

/* What answers `question`: the question itself, QR set, and `flags` in its third byte. */
static void upstream_answer(struct upstream *u, const uint8_t *question, size_t len, const struct sock_addr *to, uint8_t flags)
{
	uint8_t msg[DNS_UDP_MAX];
	memcpy(msg, question, len);
	msg[2] |= 0x80 | flags;
	EQ_INT(sendto(u->udp, msg, len, 0, &to->sa, to->len), len);
}

/* ---- forwarder alone ---- */

struct asked {
	int calls;
	bool answered;
	size_t len;
	uint8_t answer[DNS_UDP_MAX];
};

static void on_done(void *arg, const uint8_t *answer, size_t len)
{
	struct asked *a = arg;
	a->calls++;
	a->answered = answer != NULL;
	a->len = len;
	if (answer)
		memcpy(a->answer, answer, MIN(len, sizeof(a->answer)));
}

static size_t question(uint8_t out[300], const char *name) { return dns_query_write(out, 300, 0x1234, name, DNS_A); }

TEST(dns_forward, two_upstreams_race_and_the_first_answer_counts)
{
	struct loop *l = loop_new();
	struct forwarder *f = forwarder_new(l, FORWARD_TIMEOUT_US);
	struct upstream u[2];
	struct asked a = { 0 };
	uint8_t q[300], seen[2][DNS_UDP_MAX];
	struct sock_addr from[2];
	size_t n = question(q, "example.com");
	for (int i = 0; i < 2; i++) {
		upstream_open(&u[i]);
		EQ_INT(forwarder_add(f, u[i].text, NULL), 0);
	}
	(void)forward_start(f, q, n, false, on_done, &a);
	for (int i = 0; i < 2; i++)
		EQ_INT(upstream_question(l, &u[i], seen[i], &from[i]), n);
	EQ_INT(a.calls, 0);
	upstream_answer(&u[1], seen[1], n, &from[1], 0);
	UNTIL(l, a.calls == 1);
	TRUE(a.answered);
	EQ_INT(a.answer[0] << 8 | a.answer[1], 0x1234);
	upstream_answer(&u[0], seen[0], n, &from[0], 0);
	net_turn(l);
	EQ_INT(a.calls, 1);
	forwarder_free(f);
	for (int i = 0; i < 2; i++)
		upstream_close(&u[i]);
	loop_free(l);
}

TEST(dns_forward, answers_of_others_are_not_believed)
{
	struct loop *l = loop_new();
	struct forwarder *f = forwarder_new(l, FORWARD_TIMEOUT_US);
	struct upstream u;
	struct asked a = { 0 };
	uint8_t q[300], seen[DNS_UDP_MAX];
	struct sock_addr from;
	size_t n = question(q, "example.com");
	upstream_open(&u);
	EQ_INT(forwarder_add(f, u.text, NULL), 0);
	(void)forward_start(f, q, n, false, on_done, &a);
	EQ_INT(upstream_question(l, &u, seen, &from), n);
	seen[1]++;                                  /* another id */
	upstream_answer(&u, seen, n, &from, 0);
	seen[1]--;
	seen[13]++;                                 /* another name */
	upstream_answer(&u, seen, n, &from, 0);
	seen[13]--;
	net_turn(l);
	EQ_INT(a.calls, 0);
	upstream_answer(&u, seen, n, &from, 0);
	UNTIL(l, a.calls == 1);
	forwarder_free(f);
	upstream_close(&u);
	loop_free(l);
}

TEST(dns_forward, an_upstream_that_refuses_makes_way_for_the_next_at_once)
{
	struct loop *l = loop_new();
	struct forwarder *f = forwarder_new(l, FORWARD_TIMEOUT_US);
	struct upstream u[3];
	struct asked a = { 0 };
	uint8_t q[300], seen[DNS_UDP_MAX];
	struct sock_addr from;
	size_t n = question(q, "example.com");
	for (int i = 0; i < 3; i++) {
		upstream_open(&u[i]);
		EQ_INT(forwarder_add(f, u[i].text, NULL), 0);
	}
	upstream_close(&u[0]);
	upstream_close(&u[1]);
	(void)forward_start(f, q, n, false, on_done, &a);
	EQ_INT(upstream_question(l, &u[2], seen, &from), n);
	upstream_answer(&u[2], seen, n, &from, 0);
	UNTIL(l, a.calls == 1);
	TRUE(a.answered);
	forwarder_free(f);
	upstream_close(&u[2]);
	loop_free(l);
}

TEST(dns_forward, upstreams_that_failed_lately_are_asked_last)
{
	struct loop *l = loop_new();
	struct forwarder *f = forwarder_new(l, 20 * MSEC);
	struct upstream u[4];
	struct asked a = { 0 };
	uint8_t q[300];
	size_t n = question(q, "example.com");
	for (int i = 0; i < 4; i++) {
		upstream_open(&u[i]);
		EQ_INT(forwarder_add(f, u[i].text, NULL), 0);
	}
	(void)forward_start(f, q, n, false, on_done, &a);
	UNTIL(l, a.calls == 1);                     /* nobody answers */
	FALSE(a.answered);
	TRUE(upstream_asked(&u[0]) && upstream_asked(&u[1]));
	FALSE(upstream_asked(&u[2]) || upstream_asked(&u[3]));
	struct forward *w = forward_start(f, q, n, false, on_done, &a);
	UNTIL(l, upstream_asked(&u[2]) && upstream_asked(&u[3]));
	forward_cancel(w);
	EQ_INT(a.calls, 1);
	forwarder_free(f);
	for (int i = 0; i < 4; i++)
		upstream_close(&u[i]);
	loop_free(l);
}

TEST(dns_forward, without_upstreams_and_over_the_limit_there_is_no_answer_in_the_next_turn)
{
	struct loop *l = loop_new();
	struct forwarder *f = forwarder_new(l, FORWARD_TIMEOUT_US);
	struct upstream u;
	struct asked a = { 0 }, waiting = { 0 };
	uint8_t q[300];
	size_t n = question(q, "example.com");
	(void)forward_start(f, q, n, false, on_done, &a);
	EQ_INT(a.calls, 0);
	UNTIL(l, a.calls == 1);
	FALSE(a.answered);
	upstream_open(&u);
	EQ_INT(forwarder_add(f, u.text, NULL), 0);
	for (int i = 0; i < LIMIT_DNS_FORWARDS; i++)
		(void)forward_start(f, q, n, false, on_done, &waiting);
	(void)forward_start(f, q, n, false, on_done, &a);
	UNTIL(l, a.calls == 2);
	FALSE(a.answered);
	EQ_INT(waiting.calls, 0);
	forwarder_free(f);
	upstream_close(&u);
	loop_free(l);
}

/* ---- a listener in front of it ---- */

struct server {
	struct loop *loop;
	struct dns dns;
	struct upstream upstream;
	uint16_t port;
};

/* Answers on a port of its own, forwards to one upstream. */
static struct server *server_new(int64_t timeout_us, bool only_ours)
{
	struct server *s = xcalloc(1, sizeof(*s));
	struct sock_addr a = net_local(0);
	dcos_ViewMaster m = { .ip = "10.0.0.1", .has_leader = true, .leader = true };
	s->loop = s->dns.node.loop = loop_new();
	upstream_open(&s->upstream);
	s->dns.forwarder = forwarder_new(s->loop, timeout_us);
	EQ_INT(forwarder_add(s->dns.forwarder, s->upstream.text, NULL), 0);
	records_init(&s->dns.records, 0x0a000001, 1);
	records_add_master(&s->dns.records, &m);
	records_finish(&s->dns.records);
	do {                                        /* a port free for UDP and TCP */
		int fd;
		EQ_INT(sock_listen(&a, SOCK_STREAM, &fd, NULL), 0);
		struct sock_addr got;
		EQ_INT(sock_local_addr(fd, &got, NULL), 0);
		s->port = sock_addr_port(&got);
		(void)close(fd);
	} while (dns_listen(&s->dns, "127.0.0.1", s->port, only_ours, NULL) != 0);
	return s;
}

static void server_free(struct server *s)
{
	dns_listeners_close(&s->dns);
	forwarder_free(s->dns.forwarder);
	records_fini(&s->dns.records);
	upstream_close(&s->upstream);
	loop_free(s->loop);
	free(s);
}

static int client_udp(const struct server *s, const uint8_t *q, size_t n)
{
	struct sock_addr to = net_local(s->port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	TRUE(connect(fd, &to.sa, to.len) == 0);
	EQ_INT(send(fd, q, n, 0), n);
	return fd;
}

TEST(dns_listen, names_of_the_cluster_are_answered_others_forwarded_over_udp)
{
	struct server *s = server_new(FORWARD_TIMEOUT_US, false);
	uint8_t q[300], msg[DNS_UDP_MAX];
	struct sock_addr from;
	ssize_t got = -1;
	int fd = client_udp(s, q, question(q, "leader.mesos"));
	UNTIL(s->loop, (got = recv(fd, msg, sizeof(msg), 0)) > 0);
	EQ_INT(msg[7], 1);
	EQ_INT(msg[3] & 15, DNS_NOERROR);
	EQ_MEM(msg + got - 4, ((uint8_t[]){ 10, 0, 0, 1 }), 4);
	FALSE(upstream_asked(&s->upstream));
	size_t n = question(q, "example.com");
	EQ_INT(send(fd, q, n, 0), n);
	EQ_INT(upstream_question(s->loop, &s->upstream, msg, &from), n);
	upstream_answer(&s->upstream, msg, n, &from, 0x02);                  /* cut: passed on, the client comes again by TCP */
	UNTIL(s->loop, recv(fd, msg, sizeof(msg), 0) > 0);
	TRUE(dns_is_cut(msg, n));
	EQ_INT(msg[0] << 8 | msg[1], 0x1234);
	(void)close(fd);
	server_free(s);
}

TEST(dns_listen, no_answer_in_time_is_servfail)
{
	struct server *s = server_new(20 * MSEC, false);
	uint8_t q[300], msg[DNS_UDP_MAX];
	int fd = client_udp(s, q, question(q, "example.com"));
	UNTIL(s->loop, recv(fd, msg, sizeof(msg), 0) > 0);
	EQ_INT(msg[3] & 15, DNS_SERVFAIL);
	(void)close(fd);
	server_free(s);
}

TEST(dns_listen, mesos_dns_refuses_what_is_not_its_own)
{
	struct server *s = server_new(FORWARD_TIMEOUT_US, true);
	uint8_t q[300], msg[DNS_UDP_MAX];
	int fd = client_udp(s, q, question(q, "example.com"));
	UNTIL(s->loop, recv(fd, msg, sizeof(msg), 0) > 0);
	EQ_INT(msg[3] & 15, DNS_REFUSED);
	FALSE(upstream_asked(&s->upstream));
	(void)close(fd);
	server_free(s);
}

TEST(dns_listen, an_answer_gets_no_answer)
{
	struct server *s = server_new(FORWARD_TIMEOUT_US, false);
	uint8_t q[300], msg[DNS_UDP_MAX];
	size_t n = question(q, "leader.mesos");
	q[2] |= 0x80;
	int fd = client_udp(s, q, n);
	q[2] &= 0x7f;
	EQ_INT(send(fd, q, n, 0), n);
	UNTIL(s->loop, recv(fd, msg, sizeof(msg), 0) > 0);
	net_turn(s->loop);
	EQ_INT(recv(fd, msg, sizeof(msg), 0), -1);
	(void)close(fd);
	server_free(s);
}

/* ---- TCP ---- */

static void tcp_send(struct peer *p, const char *name)
{
	uint8_t q[302];
	size_t n = question(q + 2, name);
	q[0] = (uint8_t)(n >> 8);
	q[1] = (uint8_t)n;
	peer_send_n(p, q, n + 2);
}

/* The i-th message that came: its rcode, or -1 when it is not there yet. */
static int tcp_rcode(const struct peer *p, int i)
{
	size_t at = 0;
	for (;; i--) {
		if (p->got.len - at < 2)
			return -1;
		size_t n = (size_t)p->got.data[at] << 8 | p->got.data[at + 1];
		if (p->got.len - at - 2 < n)
			return -1;
		if (i == 0)
			return p->got.data[at + 2 + 3] & 15;
		at += 2 + n;
	}
}

/* The upstream takes the connection that the forwarder makes, and answers its question. */
static void upstream_serve_tcp(struct server *s)
{
	uint8_t msg[512];
	int fd = -1;
	ssize_t n = -1;
	UNTIL(s->loop, (fd = accept4(s->upstream.tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	UNTIL(s->loop, (n = recv(fd, msg, sizeof(msg), 0)) > 0);
	msg[4] |= 0x80;
	EQ_INT(send(fd, msg, (size_t)n, 0), n);
	(void)close(fd);
}

TEST(dns_listen, questions_of_one_connection_are_answered_in_their_order)
{
	struct server *s = server_new(FORWARD_TIMEOUT_US, false);
	struct peer *p = peer_new(s->loop, s->port);
	tcp_send(p, "nobody.mesos");
	tcp_send(p, "example.com");
	tcp_send(p, "leader.mesos");
	UNTIL(s->loop, tcp_rcode(p, 0) == DNS_NXDOMAIN);
	net_turn(s->loop);
	EQ_INT(tcp_rcode(p, 1), -1);                /* waits for upstream, and the third for it */
	upstream_serve_tcp(s);
	UNTIL(s->loop, tcp_rcode(p, 2) == DNS_NOERROR);
	EQ_INT(tcp_rcode(p, 1), DNS_NOERROR);
	peer_free(p);
	server_free(s);
}

TEST(dns_listen, who_ends_its_side_after_asking_gets_the_answers)
{
	struct server *s = server_new(FORWARD_TIMEOUT_US, false);
	struct peer *p = peer_new(s->loop, s->port);
	tcp_send(p, "leader.mesos");
	tcp_send(p, "example.com");
	TRUE(shutdown(p->fd, SHUT_WR) == 0);
	upstream_serve_tcp(s);
	UNTIL(s->loop, p->ended);
	EQ_INT(tcp_rcode(p, 0), DNS_NOERROR);
	EQ_INT(tcp_rcode(p, 1), DNS_NOERROR);
	peer_free(p);
	server_free(s);
}

TEST(dns_listen, an_asker_that_leaves_while_upstream_thinks_leaves_nothing_behind)
{
	struct server *s = server_new(FORWARD_TIMEOUT_US, false);
	struct peer *p = peer_new(s->loop, s->port);
	struct linger at_once = { .l_onoff = 1 };
	int fd = -1;
	tcp_send(p, "example.com");
	UNTIL(s->loop, (fd = accept4(s->upstream.tcp, NULL, NULL, SOCK_CLOEXEC)) >= 0);
	TRUE(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0);
	peer_free(p);
	UNTIL(s->loop, s->dns.listeners[0].tcp_count == 0);
	(void)close(fd);
	server_free(s);
}

TEST(dns_listen, who_takes_no_answers_is_not_read_from_without_end)
{
	struct server *s = server_new(FORWARD_TIMEOUT_US, false);
	struct peer *p = peer_new(s->loop, s->port);
	static uint8_t batch[8192];
	size_t len = 0, sent = 0;
	while (len + 302 < sizeof(batch)) {
		size_t n = question(batch + len + 2, "_leader._tcp.mesos");
		batch[len + 1] = (uint8_t)n;
		len += n + 2;
	}
	peer_read(p, false);
	for (size_t idle = 0, at = 0; idle < 20 && sent < 64 * MIB;) {
		ssize_t n = send(p->fd, batch + at, len - at, MSG_DONTWAIT);
		idle = n > 0 ? 0 : idle + 1;
		at = n > 0 ? (at + (size_t)n) % len : at;
		sent += n > 0 ? (size_t)n : 0;
		net_turn(s->loop);
	}
	TRUE(sent < 64 * MIB);
	peer_free(p);
	server_free(s);
}

TEST(dns_listen, a_message_shorter_than_a_header_ends_the_connection)
{
	struct server *s = server_new(FORWARD_TIMEOUT_US, false);
	struct peer *p = peer_new(s->loop, s->port);
	peer_send_n(p, "\0\3abc", 5);
	UNTIL(s->loop, p->ended);
	EQ_INT(p->got.len, 0);
	peer_free(p);
	server_free(s);
}
