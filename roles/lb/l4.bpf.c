/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual IPs without a proxy and without NAT: when a program below the cgroup connects (or sends) to a VIP, the address is
 * replaced by a backend's before the socket goes anywhere. getpeername and recvmsg give the VIP back. IPv4, also where it comes
 * mapped through an IPv6 socket (::ffff:a.b.c.d), as the Java runtime's does.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "roles/lb/l4_maps.h"

#define ECONNREFUSED 111
#define PASS 1
#define REFUSE 0

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, L4_SERVICES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct l4_vip);
	__type(value, struct l4_service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, L4_BACKENDS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct l4_slot);
	__type(value, struct l4_addr);
} backends SEC(".maps");

/* Storage that goes with its socket (BPF_MAP_TYPE_SK_STORAGE) costs 2 us a connection, this 0.1. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, L4_PEERS);
	__type(key, __u32);
	__type(value, struct l4_peer);
} peers SEC(".maps");

/* An unconnected socket may send to many VIPs. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, L4_SENDERS_MAX);
	__type(key, struct l4_sender);
	__type(value, struct l4_addr);
} senders SEC(".maps");

/* Replaces *to by a backend when it is a VIP. PASS with *moved as it was: not one. */
static __always_inline int choose(struct l4_addr *to, __u16 proto, __u32 draw, bool *moved)
{
	struct l4_vip vip = { .ip = to->ip, .port = to->port, .proto = proto };
	struct l4_service *service = bpf_map_lookup_elem(&services, &vip);
	if (!service)
		return PASS;
	struct l4_slot slot = { .set = service->set };
	__u32 count = service->count;
	struct l4_addr *backend = NULL;
	if (count != 0) {
		slot.index = draw % count;
		backend = bpf_map_lookup_elem(&backends, &slot);
	}
	if (!backend) {
		bpf_set_retval(-ECONNREFUSED);
		return REFUSE;
	}
	*to = *backend;
	*moved = true;
	return PASS;
}

static __always_inline struct l4_peer *peer_of(__u64 cookie)
{
	__u32 at = cookie % L4_PEERS;
	return bpf_map_lookup_elem(&peers, &at);
}

static __always_inline bool equal(struct l4_addr a, struct l4_addr b) { return a.ip == b.ip && a.port == b.port; }

static __always_inline int connect_to(struct bpf_sock_addr *ctx, struct l4_addr *to)
{
	struct l4_addr vip = *to;
	bool moved = false;
	__u16 proto = ctx->protocol == IPPROTO_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	int verdict = choose(to, proto, bpf_get_prandom_u32(), &moved);
	if (!moved)
		return verdict;
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct l4_peer *peer = peer_of(cookie);
	if (peer)
		*peer = (struct l4_peer){ .cookie = cookie, .vip = vip, .backend = *to };
	return verdict;
}

/* A socket's datagrams to one VIP go to one backend as long as its backends stay the same. */
static __always_inline int send_to(struct bpf_sock_addr *ctx, struct l4_addr *to)
{
	struct l4_addr vip = *to;
	struct l4_sender sender = { .cookie = bpf_get_socket_cookie(ctx) };
	bool moved = false;
	__u32 draw = (sender.cookie * 0x9e3779b97f4a7c15ull) >> 32;
	int verdict = choose(to, IPPROTO_UDP, draw, &moved);
	if (!moved)
		return verdict;
	sender.backend = *to;
	struct l4_addr *known = bpf_map_lookup_elem(&senders, &sender);
	if (!known || !equal(*known, vip))
		bpf_map_update_elem(&senders, &sender, &vip, BPF_ANY);
	return verdict;
}

static __always_inline void show_peer(struct bpf_sock_addr *ctx, struct l4_addr *from)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct l4_peer *peer = peer_of(cookie);
	if (peer && peer->cookie == cookie && equal(peer->backend, *from))
		*from = peer->vip;
}

static __always_inline void show_sender(struct bpf_sock_addr *ctx, struct l4_addr *from)
{
	struct l4_sender sender = { .cookie = bpf_get_socket_cookie(ctx), .backend = *from };
	struct l4_addr *vip = bpf_map_lookup_elem(&senders, &sender);
	if (vip)
		*from = *vip;
	else
		show_peer(ctx, from);
}

/* ---- IPv4 sockets ---- */

static __always_inline struct l4_addr addr4(struct bpf_sock_addr *ctx)
{
	return (struct l4_addr){ .ip = ctx->user_ip4, .port = (__u16)ctx->user_port };
}

static __always_inline void set_addr4(struct bpf_sock_addr *ctx, struct l4_addr a)
{
	ctx->user_ip4 = a.ip;
	ctx->user_port = a.port;
}

SEC("cgroup/connect4")
int vip_connect4(struct bpf_sock_addr *ctx)
{
	struct l4_addr a = addr4(ctx);
	int verdict = connect_to(ctx, &a);
	set_addr4(ctx, a);
	return verdict;
}

SEC("cgroup/sendmsg4")
int vip_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct l4_addr a = addr4(ctx);
	int verdict = send_to(ctx, &a);
	set_addr4(ctx, a);
	return verdict;
}

SEC("cgroup/recvmsg4")
int vip_recvmsg4(struct bpf_sock_addr *ctx)
{
	struct l4_addr a = addr4(ctx);
	show_sender(ctx, &a);
	set_addr4(ctx, a);
	return PASS;
}

SEC("cgroup/getpeername4")
int vip_getpeername4(struct bpf_sock_addr *ctx)
{
	struct l4_addr a = addr4(ctx);
	show_peer(ctx, &a);
	set_addr4(ctx, a);
	return PASS;
}

/* ---- IPv6 sockets with a mapped IPv4 address; their sends to one come by sendmsg4 ---- */

static __always_inline bool is_mapped(struct bpf_sock_addr *ctx)
{
	return ctx->user_ip6[0] == 0 && ctx->user_ip6[1] == 0 && ctx->user_ip6[2] == bpf_htonl(0xffff);
}

static __always_inline struct l4_addr addr6(struct bpf_sock_addr *ctx)
{
	return (struct l4_addr){ .ip = ctx->user_ip6[3], .port = (__u16)ctx->user_port };
}

static __always_inline void set_addr6(struct bpf_sock_addr *ctx, struct l4_addr a)
{
	ctx->user_ip6[3] = a.ip;
	ctx->user_port = a.port;
}

SEC("cgroup/connect6")
int vip_connect6(struct bpf_sock_addr *ctx)
{
	if (!is_mapped(ctx))
		return PASS;
	struct l4_addr a = addr6(ctx);
	int verdict = connect_to(ctx, &a);
	set_addr6(ctx, a);
	return verdict;
}

SEC("cgroup/recvmsg6")
int vip_recvmsg6(struct bpf_sock_addr *ctx)
{
	if (!is_mapped(ctx))
		return PASS;
	struct l4_addr a = addr6(ctx);
	show_sender(ctx, &a);
	set_addr6(ctx, a);
	return PASS;
}

SEC("cgroup/getpeername6")
int vip_getpeername6(struct bpf_sock_addr *ctx)
{
	if (!is_mapped(ctx))
		return PASS;
	struct l4_addr a = addr6(ctx);
	show_peer(ctx, &a);
	set_addr6(ctx, a);
	return PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
