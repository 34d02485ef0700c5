/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy data plane with real sockets, in a network namespace of the test's own. Needs root; left out elsewhere. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>

#include "net/limits.h"
#include "net/netlink.h"
#include "roles/lb/l4.h"
#include "roles/lb/l4_proxy_udp.h"
#include "tests/lib/net.h"

#define VIP 0x0b35098bu      /* 11.53.9.139 */

struct world {
	struct loop *loop;
	struct l4 *l4;
};

static bool world_open(struct world *w)
{
	struct err e = { 0 };
	struct l4_config c = { 0 };
	if (geteuid() != 0) {
		printf("left out, needs root\n");
		return false;
	}
	EQ_INT(unshare(CLONE_NEWNET), 0);
	EQ_INT(nl_link_up("lo", &e), 0);
	w->loop = loop_new();
	EQ_INT(l4_proxy.open(w->loop, &c, &w->l4, &e), 0);
	return true;
}

static void world_close(struct world *w)
{
	l4_proxy.close(w->l4);
	loop_free(w->loop);
}

/* The table with one VIP of port 80 and these backend ports on loopback (0 ends them); NULL: an empty table. */
static void apply_proto(struct world *w, bool udp, const uint16_t *ports)
{
	struct vips v;
	struct err e = { 0 };
	vips_init(&v);
	struct vip *vip = arena_new(&v.arena, struct vip);
	*vip = (struct vip){ .ip4 = VIP, .port = 80, .udp = udp };
	struct vip_backend **at = &vip->backends;
	for (; ports && *ports; ports++) {
		*at = arena_new(&v.arena, struct vip_backend);
		**at = (struct vip_backend){ .ip4 = INADDR_LOOPBACK, .port = *ports };
		at = &(*at)->next;
		vip->backend_count++;
	}
	v.first = ports ? vip : NULL;
	EQ_INT(l4_proxy.apply(w->l4, &v, &e), 0);
	vips_fini(&v);
}

static void apply(struct world *w, const uint16_t *ports) { apply_proto(w, false, ports); }

static int server_of(int type, uint16_t *port)
{
	struct sock_addr a = net_local(0);
	int fd;
	EQ_INT(sock_listen(&a, type, &fd, NULL), 0);
	EQ_INT(sock_local_addr(fd, &a, NULL), 0);
	*port = sock_addr_port(&a);
	return fd;
}

static int server(uint16_t *port) { return server_of(SOCK_STREAM, port); }

/* A connection to the VIP; *out_errno 0, or why there is none. */
static int dial(int *out_errno)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(VIP) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*out_errno = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? 0 : errno;
	return fd;
}

static int serve(struct world *w, int listener)
{
	int fd = -1;
	UNTIL(w->loop, (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
	return fd;
}

/* What recv says once it says something. */
static ssize_t receive(struct world *w, int fd, void *out, size_t max)
{
	ssize_t n = -1;
	UNTIL(w->loop, (n = recv(fd, out, max, MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
	return n;
}

TEST(lb_proxy, an_end_is_passed_on_and_the_other_direction_lives_on)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t port;
	int listener = server(&port), no;
	static uint8_t chunk[65536];
	size_t total = 8 * MIB, sent = 0, got = 0;
	apply(&w, (uint16_t[]){ port, 0 });
	int client = dial(&no);
	EQ_INT(no, 0);
	EQ_INT(send(client, "hello", 5, 0), 5);
	TRUE(shutdown(client, SHUT_WR) == 0);
	int backend = serve(&w, listener);
	EQ_INT(receive(&w, backend, chunk, sizeof(chunk)), 5);
	EQ_INT(receive(&w, backend, chunk, sizeof(chunk)), 0);
	/* The answer is far larger than all buffers on the way, and its end comes right behind it. */
	while (got < total) {
		ssize_t n = sent < total ? send(backend, chunk, MIN(sizeof(chunk), total - sent), MSG_DONTWAIT) : -1;
		sent += n > 0 ? (size_t)n : 0;
		if (n > 0 && sent == total)
			(void)close(backend);
		net_turn(w.loop);
		n = recv(client, chunk, sizeof(chunk), MSG_DONTWAIT);
		TRUE(n != 0);
		got += n > 0 ? (size_t)n : 0;
	}
	EQ_INT(got, total);
	EQ_INT(receive(&w, client, chunk, sizeof(chunk)), 0);
	(void)close(client);
	(void)close(listener);
	world_close(&w);
}

TEST(lb_proxy, a_vip_without_backends_refuses_and_one_that_is_gone_has_no_address)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t port;
	int listener = server(&port), no;
	apply(&w, (uint16_t[]){ port, 0 });
	(void)close(dial(&no));
	EQ_INT(no, 0);
	apply(&w, (uint16_t[]){ 0 });
	(void)close(dial(&no));
	EQ_INT(no, ECONNREFUSED);
	apply(&w, (uint16_t[]){ port, 0 });
	(void)close(dial(&no));
	EQ_INT(no, 0);
	apply(&w, NULL);
	(void)close(dial(&no));
	EQ_INT(no, ENETUNREACH);
	(void)close(listener);
	world_close(&w);
}

TEST(lb_proxy, a_dead_backend_is_passed_over)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t dead, alive;
	char byte;
	(void)close(server(&dead));
	int listener = server(&alive), no;
	apply(&w, (uint16_t[]){ dead, alive, 0 });
	for (int i = 0; i < 2; i++) {
		int client = dial(&no);
		EQ_INT(no, 0);
		EQ_INT(send(client, "x", 1, 0), 1);
		int backend = serve(&w, listener);
		EQ_INT(receive(&w, backend, &byte, 1), 1);
		(void)close(backend);
		(void)close(client);
	}
	(void)close(listener);
	world_close(&w);
}

TEST(lb_proxy, a_broken_side_breaks_the_other)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t dead, alive;
	char byte;
	const struct linger at_once = { .l_onoff = 1 };
	(void)close(server(&dead));
	int listener = server(&alive), no;
	apply(&w, (uint16_t[]){ dead, 0 });
	int client = dial(&no);
	EQ_INT(no, 0);
	EQ_INT(receive(&w, client, &byte, 1), -1);
	EQ_INT(errno, ECONNRESET);
	(void)close(client);
	apply(&w, (uint16_t[]){ alive, 0 });
	client = dial(&no);
	int backend = serve(&w, listener);
	TRUE(setsockopt(backend, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0);
	(void)close(backend);
	EQ_INT(receive(&w, client, &byte, 1), -1);
	EQ_INT(errno, ECONNRESET);
	(void)close(client);
	(void)close(listener);
	world_close(&w);
}

TEST(lb_proxy, connections_outlive_the_vip_they_came_by)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t port;
	char byte;
	int listener = server(&port), no;
	apply(&w, (uint16_t[]){ port, 0 });
	int client = dial(&no), backend = serve(&w, listener);
	apply(&w, (uint16_t[]){ 0 });
	EQ_INT(send(client, "x", 1, 0), 1);
	EQ_INT(receive(&w, backend, &byte, 1), 1);
	(void)close(backend);
	EQ_INT(receive(&w, client, &byte, 1), 0);
	(void)close(client);
	(void)close(listener);
	world_close(&w);
}

/* ---- UDP ---- */

/* A connected datagram socket: a refusal shows as an error. */
static int udp_client(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(VIP) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	TRUE(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	return fd;
}

/* The backend gets a datagram and answers it. */
static void udp_echo(struct world *w, int backend)
{
	char text[16];
	struct sock_addr from = { .len = sizeof(from.storage) };
	ssize_t n = -1;
	UNTIL(w->loop, (n = recvfrom(backend, text, sizeof(text), 0, &from.sa, &from.len)) > 0);
	EQ_INT(sendto(backend, text, (size_t)n, 0, &from.sa, from.len), n);
}

TEST(lb_proxy, datagrams_go_to_one_backend_and_answers_find_back)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t ports[3] = { 0 };
	int backends[2], clients[2];
	char text[16];
	for (int i = 0; i < 2; i++)
		backends[i] = server_of(SOCK_DGRAM, &ports[i]);
	apply_proto(&w, true, ports);
	for (int i = 0; i < 2; i++) {
		clients[i] = udp_client();
		for (int j = 0; j < 3; j++) {
			EQ_INT(send(clients[i], "ping", 4, 0), 4);
			udp_echo(&w, backends[i]);           /* in turn: the i-th client is the i-th backend's, each time */
			EQ_INT(receive(&w, clients[i], text, sizeof(text)), 4);
		}
	}
	apply_proto(&w, true, (uint16_t[]){ ports[1], 0 });
	EQ_INT(send(clients[0], "ping", 4, 0), 4);
	udp_echo(&w, backends[1]);                           /* its backend is gone: another one */
	EQ_INT(receive(&w, clients[0], text, sizeof(text)), 4);
	for (int i = 0; i < 2; i++) {
		(void)close(clients[i]);
		(void)close(backends[i]);
	}
	world_close(&w);
}

TEST(lb_proxy, datagrams_to_a_vip_without_backends_are_refused)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	char byte;
	apply_proto(&w, true, (uint16_t[]){ 0 });
	int client = udp_client();
	EQ_INT(send(client, "x", 1, 0), 1);
	EQ_INT(receive(&w, client, &byte, 1), -1);
	EQ_INT(errno, ECONNREFUSED);
	(void)close(client);
	world_close(&w);
}

TEST(lb_proxy, of_too_many_datagram_clients_the_longest_silent_one_is_forgotten)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	struct vip_backend b = { .ip4 = INADDR_LOOPBACK };
	struct sock_addr vip = net_local(0);
	size_t flows = LIMIT_VIP_FLOWS - 1;                  /* others of the process have the rest */
	int fd, backend = server_of(SOCK_DGRAM, &b.port), clients[2];
	EQ_INT(sock_listen(&vip, SOCK_DGRAM, &fd, NULL), 0);
	EQ_INT(sock_local_addr(fd, &vip, NULL), 0);
	struct udp_relay *r = udp_relay_new(w.loop, fd, &flows);
	udp_relay_set(r, &b, 1);
	for (int i = 0; i < 2; i++) {
		char text[16];
		clients[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		TRUE(connect(clients[i], &vip.sa, vip.len) == 0);
		EQ_INT(send(clients[i], "ping", 4, 0), 4);
		udp_echo(&w, backend);
		EQ_INT(receive(&w, clients[i], text, sizeof(text)), 4);
		EQ_INT(flows, LIMIT_VIP_FLOWS);
	}
	udp_relay_free(r);
	EQ_INT(flows, LIMIT_VIP_FLOWS - 1);
	for (int i = 0; i < 2; i++)
		(void)close(clients[i]);
	(void)close(backend);
	world_close(&w);
}
