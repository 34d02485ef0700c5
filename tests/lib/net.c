/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/net.h"

#include <errno.h>
#include <poll.h>

#define TURN_US (2 * MSEC)

static void turn_over(struct loop_timer *t) { loop_stop(t->loop); }

void net_turn(struct loop *l)
{
	struct loop_timer t = { 0 };
	loop_timer_start(l, &t, TURN_US, turn_over);
	loop_run(l);
	loop_timer_stop(&t);
}

struct sock_addr net_local(uint16_t port)
{
	struct sock_addr a;
	EQ_INT(sock_addr_parse(&a, "127.0.0.1", port, NULL), 0);
	return a;
}

static void peer_on_ready(struct loop_fd *w, int events)
{
	struct peer *p = loop_fd_arg(w);
	uint8_t *room = buf_room(&p->got, 65536);
	ssize_t n = recv(p->fd, room, 65536, 0);
	(void)events;
	if (n > 0)
		buf_grew(&p->got, (size_t)n);
	else if (n == 0 || errno != EAGAIN) {
		p->ended = true;
		loop_fd_set(w, 0);
	}
}

struct peer *peer_new(struct loop *l, uint16_t port)
{
	struct peer *p = xcalloc(1, sizeof(*p));
	struct sock_addr a = net_local(port);
	buf_init(&p->got, BUF_MAX_DEFAULT);
	p->loop = l;
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	TRUE(p->fd >= 0);
	EQ_INT(connect(p->fd, &a.sa, a.len), 0);
	p->watch = loop_fd_new(l, p->fd, LOOP_READ, peer_on_ready, p);
	return p;
}

void peer_send_n(struct peer *p, const void *data, size_t len)
{
	int64_t end_us = time_now_us() + 10 * SEC;
	for (size_t at = 0; at < len;) {
		ssize_t n = send(p->fd, (const char *)data + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			at += (size_t)n;
		else if (errno != EAGAIN || time_now_us() > end_us)
			return;              /* the other side may close early: that is for the test to see */
		else
			net_turn(p->loop);
	}
}

void peer_send(struct peer *p, const char *text) { peer_send_n(p, text, strlen(text)); }
void peer_read(struct peer *p, bool on) { loop_fd_set(p->watch, on ? LOOP_READ : 0); }
const char *peer_got(struct peer *p) { return buf_cstr(&p->got); }

size_t peer_count(struct peer *p, const char *part)
{
	size_t n = 0;
	for (const char *at = peer_got(p); (at = strstr(at, part)); at += strlen(part))
		n++;
	return n;
}

void peer_free(struct peer *p)
{
	loop_fd_free(p->watch);
	(void)close(p->fd);
	buf_fini(&p->got);
	free(p);
}
