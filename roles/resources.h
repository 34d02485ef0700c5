/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on Mesos resources: scalars in thousandths, ranges, sets. Pure. Understands the v1 messages (with old role/reservation
 * fields) at the edge; inside everything is struct resources.
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/base/rnd.h"
#include "proto/mesos.pb.h"

struct range { uint64_t begin, end; };           /* inclusive */

/* A set of resources as the built-in services need them: totals by name over all roles the holder may use. */
struct resources {
	int64_t cpus_milli, mem_milli, disk_milli, gpus_milli;   /* thousandths of a CPU, MB, MB, GPU */
	struct range *ports;                                     /* sorted, disjoint; heap, owned */
	size_t port_count;
};
void resources_fini(struct resources *r);
void resources_copy(struct resources *dst, const struct resources *src);
int resources_from_v1(struct resources *out, const mesos_v1_Resource *rows, size_t count, struct err *e);
void resources_add(struct resources *a, const struct resources *b);
bool resources_contains(const struct resources *a, const struct resources *b);
void resources_sub(struct resources *a, const struct resources *b);      /* asserts contains */
void resources_sub_part(struct resources *a, const struct resources *b); /* what a has of b; never below nothing */
bool resources_empty(const struct resources *r);
uint64_t resources_port_count(const struct resources *r);
/* As v1 rows in the arena, all for `role` ("*"), allocation_info.role when alloc_role is not NULL. */
mesos_v1_Resource *resources_to_v1(struct arena *a, const struct resources *r, const char *role, const char *alloc_role, size_t *out_count);
/* "cpus:4;mem:2048;ports:[31000-32000]" (Mesos --resources text form) or JSON. */
int resources_parse(struct arena *a, const char *text, const char *default_role, mesos_v1_Resource **out, size_t *out_count, struct err *e);
