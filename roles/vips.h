/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of virtual IPs that follows from the tasks of the view: the same on every node, whoever computes it. Pure.
 * dns needs it for names below l4lb.thisdcos.directory, lb for backends.
 * Source: DC/OS 1.13, dcos_l4lb (label grammar, named address derivation).
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/map.h"
#include "net/base/str.h"
#include "proto/cluster.pb.h"

#define VIP_NAMED_FIRST 0x0b000000u    /* 11.0.0.0 */
#define VIP_NAME_MAX 253               /* longer ones could not be asked for */
#define VIP_NAMED_PREFIX 8
#define VIP_NAMED_COUNT 0x00ffffffu    /* N = max - min of the shipped range */

struct vip_backend {
	uint32_t ip4;                  /* host byte order */
	uint16_t port;
	struct vip_backend *next;
};

struct vip {
	const char *name;              /* "sise.marathon"; NULL: the label gave an address */
	uint32_t ip4;                  /* host byte order */
	uint16_t port;
	bool udp;
	struct vip_backend *backends;  /* those that take new connections */
	size_t backend_count;
	struct vip *next;
};

struct vips {
	struct arena arena;
	struct vip *first;             /* sorted by (name, address, port, protocol) after vips_finish */
	size_t count;
	struct map by_key;             /* "tcp name:port" -> struct vip */
	struct map names;              /* "sise.marathon" -> address + 1 as pointer */
};

void vips_init(struct vips *v);
void vips_fini(struct vips *v);
/* Add what one task says. Damaged labels are left out. */
void vips_add(struct vips *v, const dcos_ViewName *task);
/* Give the names their addresses and sort. */
void vips_finish(struct vips *v);
/* Address of a name ("sise.marathon"), 0 when no task names it. */
uint32_t vips_address(const struct vips *v, struct str name);

/* A name part as DC/OS writes it: lower case, [a-z0-9-], at most 63; `text` may hold dots, each part is treated by itself. */
void dcos_name(struct buf *out, struct str text);
/* Erlang's phash2 of a binary, before the modulo. */
uint32_t phash2(const void *data, size_t len);
