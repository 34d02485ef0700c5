/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data plane for kernels without eBPF cgroup hooks: each VIP's address stands on lo and this process listens on it, passing
 * bytes to a backend and back (datagrams: l4_proxy_udp.c). A VIP without backends is not listened on: its address refuses.
 *
 * A TCP connection ends side by side: the end of what one side sends is passed on behind its bytes, and the other direction lives
 * on. A side that breaks takes the other with it, by a reset, as without a proxy.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "net/base/log.h"
#include "net/limits.h"
#include "net/netlink.h"
#include "net/stream.h"
#include "roles/lb/l4.h"
#include "roles/lb/l4_proxy_udp.h"

#define DEVICE "lo"
#define CONNECT_TIMEOUT_US (2 * SEC)
#define TRIES 3
#define KEEPALIVE_S 60          /* a peer that vanished is looked for after so long a silence */

/* A VIP; owned by the map of fronts. */
struct front {
	struct l4 *l4;
	uint32_t ip4;
	uint16_t port;
	bool udp;
	int fd;                         /* TCP; -1: no backends, not listening */
	struct loop_fd *watch;
	struct udp_relay *relay;        /* UDP; owned; NULL: no backends, not listening */
	struct vip_backend *backends;   /* owned array */
	size_t backend_count, next;
	bool has_address;               /* ip4 stands on lo */
	bool seen;                      /* in the table being applied */
};

/*
 * One connection through.  CONNECTING --a backend took it--> PASSING --one side has ended both ways--> ENDING --the other too--> gone
 * Owned by the list of passes.
 */
struct pass {
	struct list link;
	struct l4 *l4;
	struct stream *client, *backend; /* owned; NULL: that side is over */
	uint32_t vip_ip4;               /* to find the front again for another try */
	uint16_t vip_port;
	int tries;
	bool connected;                 /* until then nothing is read from the client */
};

struct l4 {
	struct loop *loop;
	struct map fronts;              /* struct front_key bytes -> struct front */
	struct list passes;
	size_t pass_count, flow_count;
};

struct front_key {
	uint32_t ip4;
	uint16_t port, udp;
};

static struct front *front_find(struct l4 *l4, uint32_t ip4, uint16_t port, bool udp)
{
	struct front_key key = { ip4, port, udp };
	return map_find(&l4->fronts, str_n((const char *)&key, sizeof(key)));
}

/* ---- bytes ---- */

/* Unlike an end, a reset tells the peer that its connection failed. */
static void stream_reset(struct stream *s)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	if (s && stream_fd(s) >= 0)
		(void)setsockopt(stream_fd(s), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	stream_free(s);
}

static void pass_free(struct pass *p)
{
	stream_reset(p->client);
	stream_reset(p->backend);
	list_remove(&p->link);
	p->l4->pass_count--;
	free(p);
}

static struct stream *other(const struct pass *p, const struct stream *s) { return s == p->client ? p->backend : p->client; }

static void move_bytes(struct stream *from, struct stream *to)
{
	struct buf *in = stream_in(from);
	stream_write(to, in->data, in->len);
	buf_drop(in, in->len);
}

static void pass_on_data(struct stream *s)
{
	struct stream *to = other(stream_arg(s), s);
	assert(to);                     /* a side is over only when both directions are */
	move_bytes(s, to);
	stream_pause(s, stream_full(to));
}

static void pass_on_drained(struct stream *s)
{
	struct stream *from = other(stream_arg(s), s);
	if (from)
		stream_pause(from, false);
}

static void pass_on_eof(struct stream *s)
{
	struct stream *to = other(stream_arg(s), s);
	assert(to);
	stream_shutdown(to);
}

static void pass_on_opened(struct stream *s)
{
	struct pass *p = stream_arg(s);
	p->connected = true;
	stream_pause(p->client, false);
}

static bool connect_backend(struct pass *p);

/* This side has ended both ways: what it still held goes to the other, which then ends by itself. */
static void pass_side_over(struct pass *p, struct stream *s)
{
	struct stream *to = other(p, s);
	if (!to) {
		stream_free(s == p->client ? MOVE(p->client) : MOVE(p->backend));
		pass_free(p);
		return;
	}
	move_bytes(s, to);
	stream_shutdown(to);
	stream_free(s == p->client ? MOVE(p->client) : MOVE(p->backend));
}

static void pass_on_closed(struct stream *s, const struct err *e)
{
	struct pass *p = stream_arg(s);
	if (p->connected && e->code == 0) {
		pass_side_over(p, s);
		return;
	}
	if (s == p->backend && !p->connected && ++p->tries < TRIES) {
		stream_free(MOVE(p->backend));
		if (connect_backend(p))
			return;
	}
	pass_free(p);
}

static const struct stream_events pass_events = {
	.opened = pass_on_opened, .data = pass_on_data, .drained = pass_on_drained, .eof = pass_on_eof, .closed = pass_on_closed,
};

static void keep_alive(const struct stream *s)
{
	const int on = 1, idle_s = KEEPALIVE_S;
	(void)setsockopt(stream_fd(s), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));          /* both cannot fail on TCP */
	(void)setsockopt(stream_fd(s), IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
}

/* The VIP's backends in turn. False: it has none any more. */
static bool connect_backend(struct pass *p)
{
	struct front *f = front_find(p->l4, p->vip_ip4, p->vip_port, false);
	struct sock_addr to = { .len = sizeof(to.in) };
	if (!f || f->backend_count == 0)
		return false;
	const struct vip_backend *b = &f->backends[f->next++ % f->backend_count];
	to.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(b->port), .sin_addr.s_addr = htonl(b->ip4) };
	p->backend = stream_connect(p->l4->loop, &to, NULL, NULL, CONNECT_TIMEOUT_US, &pass_events, p);
	keep_alive(p->backend);
	return true;
}

static void front_on_accept(struct loop_fd *watch, int events)
{
	struct front *f = loop_fd_arg(watch);
	struct l4 *l4 = f->l4;
	(void)events;
	int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (l4->pass_count >= LIMIT_VIP_CONNECTIONS) {
		(void)close(fd);
		return;
	}
	struct pass *p = xcalloc(1, sizeof(*p));
	*p = (struct pass){ .l4 = l4, .vip_ip4 = f->ip4, .vip_port = f->port };
	list_push(&l4->passes, &p->link);
	l4->pass_count++;
	p->client = stream_accepted(l4->loop, fd, NULL, &pass_events, p);
	stream_pause(p->client, true);
	keep_alive(p->client);
	if (!connect_backend(p))
		pass_free(p);
}

/* ---- the table ---- */

static void front_unlisten(struct front *f)
{
	udp_relay_free(MOVE(f->relay));
	loop_fd_free(MOVE(f->watch));
	if (f->fd >= 0)
		(void)close(MOVE_FD(f->fd));
}

static int front_listen(struct front *f, struct err *e)
{
	struct sock_addr a = { .len = sizeof(a.in) };
	AUTO_FD int fd = -1;
	a.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr.s_addr = htonl(f->ip4) };
	int rc = sock_listen(&a, f->udp ? SOCK_DGRAM : SOCK_STREAM, &fd, e);
	if (rc != 0)
		return rc;
	if (f->udp) {
		f->relay = udp_relay_new(f->l4->loop, MOVE_FD(fd), &f->l4->flow_count);
		return 0;
	}
	f->fd = MOVE_FD(fd);
	f->watch = loop_fd_new(f->l4->loop, f->fd, LOOP_READ, front_on_accept, f);
	return 0;
}

static struct front *front_for(struct l4 *l4, const struct vip *v)
{
	struct front_key key = { v->ip4, v->port, v->udp };
	struct front *f = front_find(l4, v->ip4, v->port, v->udp);
	if (f)
		return f;
	f = xcalloc(1, sizeof(*f));
	*f = (struct front){ .l4 = l4, .ip4 = v->ip4, .port = v->port, .udp = v->udp, .fd = -1 };
	(void)map_put(&l4->fronts, str_n((const char *)&key, sizeof(key)), f);
	return f;
}

static int apply_one(struct l4 *l4, const struct vip *v, struct err *e)
{
	struct front *f = front_for(l4, v);
	f->seen = true;
	free(f->backends);
	f->backends = xcalloc(v->backend_count, sizeof(*f->backends));
	f->backend_count = 0;
	for (const struct vip_backend *b = v->backends; b; b = b->next)
		f->backends[f->backend_count++] = (struct vip_backend){ .ip4 = b->ip4, .port = b->port };
	if (f->backend_count == 0)
		front_unlisten(f);
	int rc = f->has_address ? 0 : nl_addr_add(DEVICE, f->ip4, 32, e);
	f->has_address = rc == 0;
	if (rc == 0 && f->backend_count > 0 && f->fd < 0 && !f->relay)
		rc = front_listen(f, e);
	if (f->relay)
		udp_relay_set(f->relay, f->backends, f->backend_count);
	return rc;
}

/* The address stays while another port of it is in use. */
static void drop_address(struct l4 *l4, uint32_t ip4)
{
	struct err e = { 0 };
	map_each(&l4->fronts, entry) {
		struct front *f = entry->value;
		if (f->ip4 == ip4)
			return;
	}
	if (nl_addr_del(DEVICE, ip4, 32, &e) != 0)
		LOG(WARN, "a VIP's address stays behind", "reason=%s", e.text);
}

static void front_free(struct front *f)
{
	front_unlisten(f);
	free(f->backends);
	free(f);
}

static void front_remove(struct l4 *l4, const struct map_entry *entry)
{
	struct front *f = entry->value;
	uint32_t ip4 = f->ip4;
	(void)map_remove(&l4->fronts, str_n(entry->key, entry->key_len));
	front_free(f);
	drop_address(l4, ip4);
}

/* One VIP that cannot be had must not take the others with it: all are tried, the first failure is told. */
static int proxy_apply(struct l4 *l4, const struct vips *v, struct err *e)
{
	int failure = 0;
	for (const struct vip *vip = v->first; vip; vip = vip->next) {
		int rc = apply_one(l4, vip, failure == 0 ? e : NULL);
		if (failure == 0)
			failure = rc;
	}
	map_each(&l4->fronts, entry) {
		struct front *f = entry->value;
		if (!f->seen)
			front_remove(l4, entry);
		else
			f->seen = false;
	}
	return failure;
}

static int proxy_open(struct loop *l, const struct l4_config *c, struct l4 **out, struct err *e)
{
	(void)c;
	if (geteuid() != 0)
		return err_set(e, E_UNSUPPORTED, "virtual IPs need root");
	int rc = nl_addr_del_within(DEVICE, VIP_NAMED_FIRST, VIP_NAMED_PREFIX, e);    /* of one that was killed */
	if (rc != 0)
		return rc;
	struct l4 *l4 = xcalloc(1, sizeof(*l4));
	l4->loop = l;
	list_init(&l4->passes);
	*out = l4;
	return 0;
}

static void proxy_close(struct l4 *l4)
{
	list_each_safe(&l4->passes, it)
		pass_free(list_entry(it, struct pass, link));
	map_each(&l4->fronts, entry)
		front_remove(l4, entry);
	map_fini(&l4->fronts);
	free(l4);
}

const struct l4_type l4_proxy = { "proxy", proxy_open, proxy_apply, proxy_close };
