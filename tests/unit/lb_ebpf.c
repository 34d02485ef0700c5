/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The eBPF data plane on the real kernel: connects to VIPs from a cgroup of the test's own, in a network namespace of its own.
 * Without root the tests say that they were left out.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "net/netlink.h"
#include "roles/lb/l4.h"
#include "tests/lib/test.h"

#define VIP 0x0b35098bu      /* 11.53.9.139 */

struct world {
	char cgroup[256], bpf[256];
	struct loop *loop;
	struct l4 *l4;
};

/* Own network and mounts, own cgroup with this process in it, a bpffs. False: not root; as root each step has to work. */
static bool world_open(struct world *w)
{
	struct err e = { 0 };
	const char *root = access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
	char procs[300];
	if (geteuid() != 0) {
		printf("left out, needs root\n");
		return false;
	}
	EQ_INT(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	EQ_INT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	EQ_INT(nl_link_up("lo", &e), 0);
	EQ_INT(nl_route_unreachable(0x0b000000, 8, true, &e), 0);
	(void)snprintf(w->cgroup, sizeof(w->cgroup), "%s/dcos-unit-%d", root, (int)getpid());
	(void)snprintf(w->bpf, sizeof(w->bpf), "%s/bpf", test_dir());
	(void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", w->cgroup);
	EQ_INT(mkdir(w->cgroup, 0755), 0);
	int fd = open(procs, O_WRONLY | O_CLOEXEC);
	TRUE(fd >= 0 && write(fd, "0", 1) == 1 && close(fd) == 0);
	(void)mkdir(w->bpf, 0700);
	EQ_INT(mount("bpf", w->bpf, "bpf", 0, NULL), 0);
	w->loop = loop_new();
	return true;
}

static void world_close(struct world *w)
{
	char procs[300];
	loop_free(w->loop);
	(void)umount2(w->bpf, MNT_DETACH);
	(void)snprintf(procs, sizeof(procs), "%.*s/cgroup.procs", (int)(strrchr(w->cgroup, '/') - w->cgroup), w->cgroup);
	int fd = open(procs, O_WRONLY | O_CLOEXEC);
	(void)!write(fd, "0", 1);
	(void)close(fd);
	EQ_INT(rmdir(w->cgroup), 0);
}

static void l4_start(struct world *w)
{
	struct l4_config c = { .cgroup_dir = w->cgroup, .pin_dir = w->bpf };
	struct err e = { 0 };
	EQ_INT(l4_ebpf.open(w->loop, &c, &w->l4, &e), 0);
}

/* The table with one VIP of port 80 and these backend ports on loopback (0 ends them). */
static void apply(struct world *w, bool udp, const uint16_t *ports)
{
	struct vips v;
	struct err e = { 0 };
	vips_init(&v);
	struct vip *vip = arena_new(&v.arena, struct vip);
	*vip = (struct vip){ .ip4 = VIP, .port = 80, .udp = udp };
	for (; ports && *ports; ports++) {
		struct vip_backend *b = arena_new(&v.arena, struct vip_backend);
		*b = (struct vip_backend){ .ip4 = INADDR_LOOPBACK, .port = *ports, .next = vip->backends };
		vip->backends = b;
		vip->backend_count++;
	}
	v.first = ports ? vip : NULL;
	EQ_INT(l4_ebpf.apply(w->l4, &v, &e), 0);
	vips_fini(&v);
}

static int server(int type, uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	TRUE(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	TRUE(type == SOCK_DGRAM || listen(fd, 64) == 0);
	TRUE(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static struct sockaddr_in vip_addr(void)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(VIP) };
}

/* errno of a connect to the VIP, 0 when it worked; *out_fd the socket. */
static int dial(int *out_fd)
{
	struct sockaddr_in a = vip_addr();
	*out_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return connect(*out_fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? 0 : errno;
}

TEST(lb_ebpf, a_connection_to_the_vip_reaches_a_backend_that_sees_the_client_itself)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t port;
	int listener = server(SOCK_STREAM, &port), fd;
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	l4_start(&w);
	apply(&w, false, (uint16_t[]){ port, 0 });
	EQ_INT(dial(&fd), 0);
	TRUE(getpeername(fd, (struct sockaddr *)&peer, &len) == 0);
	EQ_INT(ntohl(peer.sin_addr.s_addr), VIP);
	EQ_INT(ntohs(peer.sin_port), 80);
	len = sizeof(peer);
	int accepted = accept(listener, (struct sockaddr *)&peer, &len);
	TRUE(accepted >= 0);
	EQ_INT(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
	(void)close(accepted);
	(void)close(fd);
	(void)close(listener);
	l4_ebpf.close(w.l4);
	world_close(&w);
}

TEST(lb_ebpf, a_vip_without_backends_refuses_and_one_that_is_gone_leads_nowhere)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	int fd;
	l4_start(&w);
	apply(&w, false, (uint16_t[]){ 0 });
	EQ_INT(dial(&fd), ECONNREFUSED);
	(void)close(fd);
	apply(&w, false, NULL);
	int no = dial(&fd);
	TRUE(no == EHOSTUNREACH || no == ENETUNREACH);
	(void)close(fd);
	l4_ebpf.close(w.l4);
	world_close(&w);
}

TEST(lb_ebpf, connections_spread_over_the_backends)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t ports[4] = { 0 };
	int listeners[3], hits[3] = { 0 };
	for (int i = 0; i < 3; i++)
		listeners[i] = server(SOCK_STREAM, &ports[i]);
	l4_start(&w);
	apply(&w, false, ports);
	for (int i = 0; i < 60; i++) {
		int fd;
		EQ_INT(dial(&fd), 0);
		(void)close(fd);
	}
	for (int i = 0; i < 3; i++) {
		(void)fcntl(listeners[i], F_SETFL, O_NONBLOCK);
		for (int fd; (fd = accept(listeners[i], NULL, NULL)) >= 0; hits[i]++)
			(void)close(fd);
	}
	EQ_INT(hits[0] + hits[1] + hits[2], 60);
	for (int i = 0; i < 3; i++)
		TRUE(hits[i] > 0);     /* missed by 60 draws of three: less than once in 10^10 runs */
	l4_ebpf.close(w.l4);
	world_close(&w);
}

TEST(lb_ebpf, pinned_programs_work_on_without_lb_and_a_new_lb_takes_them_over)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t one, two;
	int fd, first = server(SOCK_STREAM, &one), second = server(SOCK_STREAM, &two);
	l4_start(&w);
	apply(&w, false, (uint16_t[]){ one, 0 });
	l4_ebpf.close(w.l4);
	EQ_INT(dial(&fd), 0);
	(void)close(fd);
	l4_start(&w);
	EQ_INT(dial(&fd), 0);          /* the old programs, until the new table is in */
	(void)close(fd);
	apply(&w, false, (uint16_t[]){ two, 0 });
	EQ_INT(dial(&fd), 0);
	TRUE(accept(second, NULL, NULL) >= 0);
	(void)close(fd);
	(void)close(first);
	l4_ebpf.close(w.l4);
	world_close(&w);
}

TEST(lb_ebpf, datagrams_go_there_and_come_back_from_the_vip)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t port;
	int backend = server(SOCK_DGRAM, &port), fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = vip_addr(), from;
	socklen_t len = sizeof(from);
	char text[8];
	l4_start(&w);
	apply(&w, true, (uint16_t[]){ port, 0 });
	TRUE(sendto(fd, "ping", 4, 0, (struct sockaddr *)&to, sizeof(to)) == 4);
	TRUE(recvfrom(backend, text, sizeof(text), 0, (struct sockaddr *)&from, &len) == 4);
	TRUE(sendto(backend, "pong", 4, 0, (struct sockaddr *)&from, len) == 4);
	len = sizeof(from);
	TRUE(recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &len) == 4);
	EQ_INT(ntohl(from.sin_addr.s_addr), VIP);
	EQ_INT(ntohs(from.sin_port), 80);
	(void)close(fd);
	(void)close(backend);
	l4_ebpf.close(w.l4);
	world_close(&w);
}

TEST(lb_ebpf, a_mapped_address_of_an_ipv6_socket_works_too)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t port;
	int listener = server(SOCK_STREAM, &port), fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(80) }, peer;
	socklen_t len = sizeof(peer);
	EQ_INT(inet_pton(AF_INET6, "::ffff:11.53.9.139", &to.sin6_addr), 1);
	l4_start(&w);
	apply(&w, false, (uint16_t[]){ port, 0 });
	EQ_INT(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	TRUE(getpeername(fd, (struct sockaddr *)&peer, &len) == 0);
	EQ_MEM(&peer.sin6_addr, &to.sin6_addr, sizeof(to.sin6_addr));
	EQ_INT(ntohs(peer.sin6_port), 80);
	(void)close(fd);
	(void)close(listener);
	l4_ebpf.close(w.l4);
	world_close(&w);
}

TEST(lb_ebpf, datagrams_of_one_socket_stay_with_one_backend)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t ports[3] = { 0 };
	int backends[2], fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), got[2] = { 0 };
	struct sockaddr_in to = vip_addr();
	char text[8];
	for (int i = 0; i < 2; i++)
		backends[i] = server(SOCK_DGRAM, &ports[i]);
	l4_start(&w);
	apply(&w, true, ports);
	for (int i = 0; i < 20; i++)
		TRUE(sendto(fd, "ping", 4, 0, (struct sockaddr *)&to, sizeof(to)) == 4);
	for (int i = 0; i < 2; i++)
		while (recv(backends[i], text, sizeof(text), MSG_DONTWAIT) == 4)
			got[i]++;
	EQ_INT(got[0] + got[1], 20);
	TRUE(got[0] == 0 || got[1] == 0);
	(void)close(fd);
	l4_ebpf.close(w.l4);
	world_close(&w);
}

TEST(lb_ebpf, a_connected_datagram_socket_hears_the_vip)
{
	struct world w = { 0 };
	if (!world_open(&w))
		return;
	uint16_t port;
	int backend = server(SOCK_DGRAM, &port), fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = vip_addr(), from;
	socklen_t len = sizeof(from);
	char text[8];
	l4_start(&w);
	apply(&w, true, (uint16_t[]){ port, 0 });
	EQ_INT(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	TRUE(send(fd, "ping", 4, 0) == 4);
	TRUE(recvfrom(backend, text, sizeof(text), 0, (struct sockaddr *)&from, &len) == 4);
	TRUE(sendto(backend, "pong", 4, 0, (struct sockaddr *)&from, len) == 4);
	len = sizeof(from);
	TRUE(recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &len) == 4);
	EQ_INT(ntohl(from.sin_addr.s_addr), VIP);
	(void)close(fd);
	(void)close(backend);
	l4_ebpf.close(w.l4);
	world_close(&w);
}
