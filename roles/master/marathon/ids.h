/* SPDX-License-Identifier: Apache-2.0 */
/* Names of things in Marathon: app paths, task ids, versions. Pure. Texts: validation of PathId in Marathon 1.5. */
#pragma once

#include "net/base/arena.h"
#include "net/base/rnd.h"

/* "x", "./x", "../x", "/a/x/" below `base` ("/" or "/group") as an absolute path without trailing slash; "/" for the root. */
char *path_resolve(struct arena *a, const char *base, const char *id);
/* NULL, or what is wrong with the (resolved) path as the id of an app. */
const char *path_fault(const char *path);
char *path_safe(struct arena *a, const char *path);       /* "/a/b" -> "a_b" */
char *path_hostname(struct arena *a, const char *path);   /* "/a/b" -> "b.a" */
char *path_parent(struct arena *a, const char *path);     /* "/a/b" -> "/a"; "/a" -> "/" */
int path_compare(const char *a, const char *b);           /* order in which each group's members stand together */
bool path_within(const char *path, const char *group);    /* in the group or below */

/* Version 1 UUIDs (RFC 9562 5.1): time, a sequence that moves when time stands still, a random node. */
struct uuid1 {
	uint64_t last_ticks;
	uint16_t clock_seq;
	uint8_t node[6];
};
void uuid1_init(struct uuid1 *u, struct rnd *r);
void uuid1_next(struct uuid1 *u, int64_t unix_us, char out[37]);
