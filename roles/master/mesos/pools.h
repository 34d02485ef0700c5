/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources by reservation: one pool for each role that some of them are reserved to, and one for what is free to everybody
 * ("*"). What an agent has, what an offer holds, what a task takes. Pure.
 */
#pragma once

#include "roles/resources.h"

struct pool {
	char *role;              /* owned; "*": unreserved */
	struct resources r;
};

struct pools {
	struct pool *v;          /* owned; few, unordered */
	size_t count;
};

void pools_fini(struct pools *p);
/* The contents; *p is empty afterwards. */
static inline struct pools pools_move(struct pools *p)
{
	struct pools moved = *p;
	*p = (struct pools){ 0 };
	return moved;
}
void pools_copy(struct pools *dst, const struct pools *src);
/* The pool of a role, or NULL. */
const struct resources *pools_find(const struct pools *p, const char *role);
void pools_put(struct pools *p, const char *role, const struct resources *r);   /* add to the role's pool */
void pools_add(struct pools *a, const struct pools *b);
bool pools_contains(const struct pools *a, const struct pools *b);
void pools_sub(struct pools *a, const struct pools *b);                         /* asserts contains */
void pools_sub_part(struct pools *a, const struct pools *b);                    /* what a has of b */
/* Sums over several agents are of scalars only: the same port stands for something else on each. */
void pools_add_scalars(struct pools *a, const struct pools *b);
void pools_sub_scalars(struct pools *a, const struct pools *b);                 /* asserts contains */
bool pools_empty(const struct pools *p);
/* Sum over all roles into *out, which the caller has zeroed and finishes. */
void pools_total(const struct pools *p, struct resources *out);
/* The role of each row is its last reservation's, else its `role`, else "*". */
int pools_from_v1(struct pools *out, const mesos_v1_Resource *rows, size_t count, struct err *e);
/*
 * As v1 rows in the arena. alloc_role: allocation_info of each row, NULL for none. refined: reservations as a list instead of
 * `role` (for schedulers with RESERVATION_REFINEMENT).
 */
mesos_v1_Resource *pools_to_v1(struct arena *a, const struct pools *p, const char *alloc_role, bool refined, size_t *out_count);
/* "cpus:1; mem:128; ports(slave_public):[80-80]", as Mesos prints resources in messages to people. Arena. */
const char *pools_text(struct arena *a, const struct pools *p);
