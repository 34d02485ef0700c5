/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data plane for kernels without eBPF cgroup hooks: each VIP's address stands on lo and this process listens on it, passing
 * bytes to a backend and back. TCP only; a VIP without backends refuses by not listening.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "net/base/log.h"
#include "net/limits.h"
#include "net/netlink.h"
#include "net/stream.h"
#include "roles/lb/l4.h"

#define DEVICE "lo"
#define CONNECT_TIMEOUT_US (2 * SEC)
#define TRIES 3

struct front {
	struct l4 *l4;
	uint32_t ip4;
	uint16_t port;
	int fd;
	struct loop_fd *watch;
	struct vip_backend *backends;   /* array */
	size_t backend_count, next;
	bool seen;
};

/* One connection through: two streams, each feeding the other. */
struct pass {
	struct list link;
	struct l4 *l4;
	struct stream *client, *backend;
	uint32_t vip_ip4;               /* to find the front again for another try */
	uint16_t vip_port;
	int tries;
	bool connected;
};

struct l4 {
	struct loop *loop;
	struct map fronts;              /* (ip4, port) bytes -> struct front */
	struct list passes;
	size_t pass_count;
};

struct front_key {
	uint32_t ip4;
	uint32_t port;
};

static struct front *front_find(struct l4 *l4, uint32_t ip4, uint16_t port)
{
	struct front_key key = { ip4, port };
	return map_find(&l4->fronts, str_n((const char *)&key, sizeof(key)));
}

/* ---- bytes ---- */

static void pass_free(struct pass *p)
{
	stream_free(p->client);
	stream_free(p->backend);
	list_remove(&p->link);
	p->l4->pass_count--;
	free(p);
}

static void move_bytes(struct stream *from, struct stream *to)
{
	struct buf *in = stream_in(from);
	stream_write(to, in->data, in->len);
	buf_drop(in, in->len);
	stream_pause(from, stream_full(to));
}

static struct stream *other(struct pass *p, struct stream *s) { return s == p->client ? p->backend : p->client; }

static void on_data(struct stream *s)
{
	struct pass *p = stream_arg(s);
	if (p->connected)
		move_bytes(s, other(p, s));
	else
		stream_pause(s, true);
}

static void on_drained(struct stream *s)
{
	struct pass *p = stream_arg(s);
	stream_pause(other(p, s), false);
}

static void on_eof(struct stream *s)
{
	struct pass *p = stream_arg(s);
	if (other(p, s))
		stream_shutdown(other(p, s));
}

static int connect_backend(struct pass *p);

static void on_closed(struct stream *s, const struct err *e)
{
	struct pass *p = stream_arg(s);
	(void)e;
	if (s == p->backend && !p->connected && ++p->tries < TRIES) {
		stream_free(MOVE(p->backend));
		if (connect_backend(p) == 0)
			return;
	}
	pass_free(p);
}

static void on_opened(struct stream *s)
{
	struct pass *p = stream_arg(s);
	p->connected = true;
	move_bytes(p->client, s);
	stream_pause(p->client, false);
}

static const struct stream_events pass_events = {
	.opened = on_opened, .data = on_data, .drained = on_drained, .eof = on_eof, .closed = on_closed,
};

static int connect_backend(struct pass *p)
{
	struct front *f = front_find(p->l4, p->vip_ip4, p->vip_port);
	struct sock_addr to = { .len = sizeof(to.in) };
	if (!f || f->backend_count == 0)
		return E_NOTFOUND;
	const struct vip_backend *b = &f->backends[f->next++ % f->backend_count];
	to.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(b->port), .sin_addr.s_addr = htonl(b->ip4) };
	p->backend = stream_connect(p->l4->loop, &to, NULL, NULL, CONNECT_TIMEOUT_US, &pass_events, p);
	return 0;
}

static void on_accept(struct loop_fd *watch, int events)
{
	struct front *f = loop_fd_arg(watch);
	(void)events;
	int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (f->l4->pass_count >= LIMIT_VIP_CONNECTIONS) {
		(void)close(fd);
		return;
	}
	struct pass *p = xcalloc(1, sizeof(*p));
	*p = (struct pass){ .l4 = f->l4, .vip_ip4 = f->ip4, .vip_port = f->port };
	list_push(&f->l4->passes, &p->link);
	f->l4->pass_count++;
	p->client = stream_accepted(f->l4->loop, fd, NULL, &pass_events, p);
	if (connect_backend(p) != 0)
		pass_free(p);
}

/* ---- the table ---- */

static void front_unlisten(struct front *f)
{
	loop_fd_free(MOVE(f->watch));
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
}

static int front_listen(struct front *f, struct err *e)
{
	struct sock_addr a = { .len = sizeof(a.in) };
	a.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr.s_addr = htonl(f->ip4) };
	int rc = nl_addr_add(DEVICE, f->ip4, 32, e);
	if (rc == 0)
		rc = sock_listen(&a, SOCK_STREAM, &f->fd, e);
	if (rc == 0)
		f->watch = loop_fd_new(f->l4->loop, f->fd, LOOP_READ, on_accept, f);
	return rc;
}

static int apply_one(struct l4 *l4, const struct vip *v, struct err *e)
{
	struct front_key key = { v->ip4, v->port };
	struct front *f = front_find(l4, v->ip4, v->port);
	if (!f) {
		f = xcalloc(1, sizeof(*f));
		*f = (struct front){ .l4 = l4, .ip4 = v->ip4, .port = v->port, .fd = -1 };
		(void)map_put(&l4->fronts, str_n((const char *)&key, sizeof(key)), f);
	}
	f->seen = true;
	free(f->backends);
	f->backends = xcalloc(v->backend_count, sizeof(*f->backends));
	f->backend_count = 0;
	for (const struct vip_backend *b = v->backends; b; b = b->next)
		f->backends[f->backend_count++] = *b;
	if (f->backend_count == 0)
		front_unlisten(f);
	return f->backend_count > 0 && f->fd < 0 ? front_listen(f, e) : 0;
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

static int proxy_apply(struct l4 *l4, const struct vips *v, struct err *e)
{
	int rc = 0;
	for (const struct vip *vip = v->first; vip && rc == 0; vip = vip->next)
		rc = vip->udp ? 0 : apply_one(l4, vip, e);
	map_each(&l4->fronts, entry) {
		struct front *f = entry->value;
		bool seen = f->seen;
		f->seen = false;
		if (seen || rc != 0)
			continue;
		uint32_t ip4 = f->ip4;
		(void)map_remove(&l4->fronts, str_n(entry->key, entry->key_len));
		front_free(f);
		drop_address(l4, ip4);
	}
	return rc;
}

static int proxy_open(struct loop *l, const struct l4_config *c, struct l4 **out, struct err *e)
{
	(void)c;
	if (geteuid() != 0)
		return err_set(e, E_UNSUPPORTED, "virtual IPs need root");
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
	map_each(&l4->fronts, entry) {
		struct front *f = entry->value;
		uint32_t ip4 = f->ip4;
		(void)map_remove(&l4->fronts, str_n(entry->key, entry->key_len));
		front_free(f);
		drop_address(l4, ip4);
	}
	map_fini(&l4->fronts);
	free(l4);
}

const struct l4_type l4_proxy = { "proxy", proxy_open, proxy_apply, proxy_close };
