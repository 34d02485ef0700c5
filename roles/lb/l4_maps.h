/* SPDX-License-Identifier: Apache-2.0 */
/* What the eBPF programs and lb share: keys and values of their maps. Addresses and ports in network byte order. */
#pragma once

#include <linux/types.h>

#define L4_SERVICES_MAX 16384
#define L4_BACKENDS_MAX 262144
#define L4_LAYOUT 1               /* raised when a key or value below changes: pinned maps of another layout are replaced */

struct l4_vip {
	__u32 ip;
	__u16 port;
	__u16 proto;              /* IPPROTO_TCP, IPPROTO_UDP */
};

/* A service's backends stand in slots first … first + count - 1 of the backend map. */
struct l4_service {
	__u32 first;
	__u32 count;              /* 0: known, but nothing runs: connections are refused */
};

struct l4_backend {
	__u32 ip;
	__u16 port;
	__u16 pad;
};

/* Where a socket was told to go before we redirected it, so that getpeername and recvmsg show the VIP. */
struct l4_origin {
	__u32 ip;
	__u16 port;
	__u16 pad;
	__u32 backend_ip;
	__u16 backend_port;
	__u16 pad2;
};
