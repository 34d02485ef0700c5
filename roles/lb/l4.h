/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the VIP table takes effect. Two data planes behind one face: eBPF programs on a cgroup (l4_ebpf.c), and where those are
 * not to be had a proxy that listens on the VIP addresses (l4_proxy.c).
 */
#pragma once

#include "net/base/err.h"
#include "net/loop.h"
#include "roles/vips.h"

struct l4;

struct l4_config {
	const char *cgroup_dir;   /* absolute path of the cgroup2 directory whose programs may use VIPs */
	const char *pin_dir;      /* on a bpffs; links pinned there go on working when lb ends */
};

struct l4_type {
	const char *name;         /* shown by `status`: "eBPF" */
	/* Ready to take tables, nothing in effect yet. E_UNSUPPORTED: try the next type. */
	int (*open)(struct loop *l, const struct l4_config *c, struct l4 **out, struct err *e);
	/* Make the table what is in effect. Services that no longer exist vanish, changed ones change at once. */
	int (*apply)(struct l4 *l4, const struct vips *v, struct err *e);
	/* Ends lb's part; pinned programs stay. */
	void (*close)(struct l4 *l4);
};
extern const struct l4_type l4_ebpf, l4_proxy;
