/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual IPs without a proxy and without NAT: when a program below the cgroup connects (or sends) to a VIP, the address is
 * replaced by a backend's before the socket goes anywhere. getpeername and recvmsg give the VIP back.
 */
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
	__type(key, __u32);
	__type(value, struct l4_backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);                 /* socket cookie */
	__type(value, struct l4_origin);
} origins SEC(".maps");

static __always_inline int redirect(struct bpf_sock_addr *ctx, __u16 proto)
{
	struct l4_vip vip = { .ip = ctx->user_ip4, .port = (__u16)ctx->user_port, .proto = proto };
	struct l4_service *service = bpf_map_lookup_elem(&services, &vip);
	if (!service)
		return PASS;
	__u32 count = service->count;
	if (count == 0)
		goto refuse;
	__u32 slot = service->first + bpf_get_prandom_u32() % count;
	struct l4_backend *backend = bpf_map_lookup_elem(&backends, &slot);
	if (!backend)
		goto refuse;
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct l4_origin origin = { .ip = vip.ip, .port = vip.port, .backend_ip = backend->ip, .backend_port = backend->port };
	bpf_map_update_elem(&origins, &cookie, &origin, BPF_ANY);
	ctx->user_ip4 = backend->ip;
	ctx->user_port = backend->port;
	return PASS;
refuse:
	bpf_set_retval(-ECONNREFUSED);
	return REFUSE;
}

static __always_inline int restore(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct l4_origin *origin = bpf_map_lookup_elem(&origins, &cookie);
	if (origin && origin->backend_ip == ctx->user_ip4 && origin->backend_port == (__u16)ctx->user_port) {
		ctx->user_ip4 = origin->ip;
		ctx->user_port = origin->port;
	}
	return PASS;
}

SEC("cgroup/connect4")
int vip_connect4(struct bpf_sock_addr *ctx)
{
	return redirect(ctx, ctx->protocol == IPPROTO_UDP ? IPPROTO_UDP : IPPROTO_TCP);
}

SEC("cgroup/sendmsg4")
int vip_sendmsg4(struct bpf_sock_addr *ctx)
{
	return redirect(ctx, IPPROTO_UDP);
}

SEC("cgroup/recvmsg4")
int vip_recvmsg4(struct bpf_sock_addr *ctx)
{
	return restore(ctx);
}

SEC("cgroup/getpeername4")
int vip_getpeername4(struct bpf_sock_addr *ctx)
{
	return restore(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
