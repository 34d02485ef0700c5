/* SPDX-License-Identifier: Apache-2.0 */
/* What the eBPF programs and lb share: keys and values of their maps. Addresses and ports in network byte order. */
#pragma once

#include <linux/types.h>

#define L4_SERVICES_MAX 16384
#define L4_BACKENDS_MAX 262144
#define L4_PEERS 65536
#define L4_SENDERS_MAX 16384

struct l4_vip {
	__u32 ip;
	__u16 port;
	__u16 proto;              /* IPPROTO_TCP, IPPROTO_UDP */
};

/* A service's backends stand at 0 … count - 1 of its set; a changed service gets a new set, numbers are never used again. */
struct l4_service {
	__u64 set;
	__u32 count;              /* 0: known, but nothing runs: connections are refused */
	__u32 pad;
};

struct l4_slot {
	__u64 set;
	__u32 index;
	__u32 pad;
};

struct l4_addr {
	__u32 ip;
	__u16 port;
	__u16 pad;
};

/*
 * What a socket connected to: getpeername shows the VIP. In an array, at cookie % L4_PEERS. Cookies are given in sequence, so only
 * a socket with L4_PEERS younger ones that connected to VIPs is forgotten; it then sees its backend.
 */
struct l4_peer {
	__u64 cookie;             /* of the socket */
	struct l4_addr vip, backend;
};

/* Whose datagrams to an unconnected socket come from where: recvfrom shows the VIP. */
struct l4_sender {
	__u64 cookie;             /* of the socket */
	struct l4_addr backend;
};
