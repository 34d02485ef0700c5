/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/lb/l4_proxy_udp.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "net/base/list.h"
#include "net/base/map.h"
#include "net/limits.h"

#define FLOW_IDLE_US (60 * SEC)
#define LOOK_US (15 * SEC)          /* how often idle flows are looked for, while there are any */
#define DATAGRAM_MAX 65536
#define PER_TURN 64

/* One client; owned by the relay's list. */
struct flow {
	struct list link;                /* oldest use first */
	struct udp_relay *relay;
	struct sockaddr_in client;
	struct vip_backend backend;
	int fd;                          /* connected to the backend */
	struct loop_fd *watch;
	int64_t used_us;
};

struct udp_relay {
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	struct vip_backend *backends;    /* owned array */
	size_t backend_count, next;
	struct map by_client;            /* struct sockaddr_in bytes -> struct flow */
	struct list flows;
	size_t *flow_count;
	struct loop_timer idle;
	uint8_t datagram[DATAGRAM_MAX];
};

/* ---- flows ---- */

static struct str client_key(const struct sockaddr_in *client) { return str_n((const char *)client, sizeof(*client)); }

static void flow_free(struct flow *f)
{
	(void)map_remove(&f->relay->by_client, client_key(&f->client));
	list_remove(&f->link);
	loop_fd_free(f->watch);
	(void)close(f->fd);
	(*f->relay->flow_count)--;
	free(f);
}

static void flow_used(struct flow *f)
{
	f->used_us = loop_now_us(f->relay->loop);
	list_remove(&f->link);
	list_push(&f->relay->flows, &f->link);
}

static void relay_on_idle(struct loop_timer *t)
{
	struct udp_relay *r = container_of(t, struct udp_relay, idle);
	int64_t now = loop_now_us(r->loop);
	list_each_safe(&r->flows, it) {
		struct flow *f = list_entry(it, struct flow, link);
		if (now - f->used_us < FLOW_IDLE_US)
			break;
		flow_free(f);
	}
	if (!list_empty(&r->flows))
		loop_timer_start_lazy(r->loop, t, LOOK_US, relay_on_idle);
}

/* Backend to client. */
static void flow_ready(struct loop_fd *watch, int events)
{
	struct flow *f = loop_fd_arg(watch);
	struct udp_relay *r = f->relay;
	(void)events;
	for (int i = 0; i < PER_TURN; i++) {
		ssize_t n = recv(f->fd, r->datagram, sizeof(r->datagram), 0);
		if (n < 0)
			return;            /* none is left, or the backend refused: the client hears no answer, as from any host */
		flow_used(f);
		(void)sendto(r->fd, r->datagram, (size_t)n, 0, (const struct sockaddr *)&f->client, sizeof(f->client));
	}
}

static int connect_to(const struct vip_backend *b)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(b->port), .sin_addr.s_addr = htonl(b->ip4) };
	AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 ? MOVE_FD(fd) : -1;
}

/* A new client; when there are too many, the one that was silent for longest makes room. NULL: not possible. */
static struct flow *flow_new(struct udp_relay *r, const struct sockaddr_in *client)
{
	if (*r->flow_count >= LIMIT_VIP_FLOWS && !list_empty(&r->flows))
		flow_free(list_entry(r->flows.next, struct flow, link));
	if (*r->flow_count >= LIMIT_VIP_FLOWS)
		return NULL;
	struct vip_backend backend = r->backends[r->next++ % r->backend_count];
	int fd = connect_to(&backend);
	if (fd < 0)
		return NULL;
	struct flow *f = xcalloc(1, sizeof(*f));
	*f = (struct flow){ .relay = r, .client = *client, .backend = backend, .fd = fd };
	f->watch = loop_fd_new(r->loop, fd, LOOP_READ, flow_ready, f);
	list_push(&r->flows, &f->link);
	(void)map_put(&r->by_client, client_key(client), f);
	(*r->flow_count)++;
	if (!loop_timer_active(&r->idle))
		loop_timer_start_lazy(r->loop, &r->idle, LOOK_US, relay_on_idle);
	return f;
}

/* Client to backend. */
static void relay_ready(struct loop_fd *watch, int events)
{
	struct udp_relay *r = loop_fd_arg(watch);
	(void)events;
	for (int i = 0; i < PER_TURN; i++) {
		struct sockaddr_in client = { 0 };
		socklen_t len = sizeof(client);
		ssize_t n = recvfrom(r->fd, r->datagram, sizeof(r->datagram), 0, (struct sockaddr *)&client, &len);
		if (n < 0)
			return;
		struct flow *f = map_find(&r->by_client, client_key(&client));
		if (!f)
			f = flow_new(r, &client);
		if (!f)
			continue;
		flow_used(f);
		(void)send(f->fd, r->datagram, (size_t)n, 0);      /* UDP may be lost */
	}
}

/* ---- the relay ---- */

struct udp_relay *udp_relay_new(struct loop *l, int fd, size_t *flow_count)
{
	struct udp_relay *r = xcalloc(1, sizeof(*r));
	r->loop = l;
	r->fd = fd;
	r->flow_count = flow_count;
	list_init(&r->flows);
	r->watch = loop_fd_new(l, fd, LOOP_READ, relay_ready, r);
	return r;
}

static bool has_backend(const struct udp_relay *r, const struct vip_backend *b)
{
	for (size_t i = 0; i < r->backend_count; i++)
		if (r->backends[i].ip4 == b->ip4 && r->backends[i].port == b->port)
			return true;
	return false;
}

void udp_relay_set(struct udp_relay *r, const struct vip_backend *backends, size_t count)
{
	assert(count > 0);
	free(r->backends);
	r->backends = xcalloc(count, sizeof(*backends));
	memcpy(r->backends, backends, count * sizeof(*backends));
	r->backend_count = count;
	list_each_safe(&r->flows, it) {
		struct flow *f = list_entry(it, struct flow, link);
		if (!has_backend(r, &f->backend))
			flow_free(f);
	}
}

void udp_relay_free(struct udp_relay *r)
{
	if (!r)
		return;
	list_each_safe(&r->flows, it)
		flow_free(list_entry(it, struct flow, link));
	map_fini(&r->by_client);
	loop_timer_stop(&r->idle);
	loop_fd_free(r->watch);
	(void)close(r->fd);
	free(r->backends);
	free(r);
}
