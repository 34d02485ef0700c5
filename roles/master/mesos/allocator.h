/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is offered what. Pure: told of agents, frameworks and what comes and goes, it leaves offers to make in an outbox.
 * Event driven: only agents on which something changed are looked at, as soon as allocator_run is called (once a loop turn);
 * there is no allocation interval. Order is dominant resource fairness: among roles, then among the frameworks of a role.
 * An agent's free part goes as a whole to the first in order that may have it and has no filter on it (coarse grained, as Mesos).
 *
 * Handles are dense numbers given by the _add functions and reused after _remove.
 */
#pragma once

#include "roles/master/mesos/pools.h"

#define ALLOC_NONE UINT32_MAX
#define ALLOC_REFUSE_MAX_US (365 * DAY)        /* longer filters are cut to this, as in Mesos */

/* Smallest offer: this much of either, so that slivers do not keep schedulers busy (Mesos' min_allocatable_resources). */
#define ALLOC_MIN_CPUS_MILLI 10
#define ALLOC_MIN_MEM_MILLI 32000

struct allocator;

struct allocator *allocator_new(void);
void allocator_free(struct allocator *a);

/* ---- agents ---- */
uint32_t allocator_agent_add(struct allocator *a, const struct pools *total);
void allocator_agent_resize(struct allocator *a, uint32_t agent, const struct pools *total);
/* Inactive agents are not offered; what is allocated there still counts. A new agent is active. */
void allocator_agent_activate(struct allocator *a, uint32_t agent, bool active);
/* Everything that was allocated there is forgotten. */
void allocator_agent_remove(struct allocator *a, uint32_t agent);
/* Borrowed until the next change. */
const struct pools *allocator_agent_total(const struct allocator *a, uint32_t agent);
/* Total less what is offered or allocated; the caller finishes *out. */
void allocator_agent_free(const struct allocator *a, uint32_t agent, struct pools *out);

/* ---- frameworks ---- */
/* `name` breaks ties (the framework's id); copied. A new framework is inactive and has no role. */
uint32_t allocator_framework_add(struct allocator *a, const char *name, bool wants_gpus);
/* Exactly these roles from now on; a role it had keeps its state. */
void allocator_framework_roles(struct allocator *a, uint32_t fw, const char *const *roles, size_t count);
/* Deactivating drops its filters; what it holds still counts. */
void allocator_framework_activate(struct allocator *a, uint32_t fw, bool active);
/* What it held must have been recovered. */
void allocator_framework_remove(struct allocator *a, uint32_t fw);
/* role NULL: all its roles. Reviving clears its filters of the role. */
void allocator_suppress(struct allocator *a, uint32_t fw, const char *role);
void allocator_revive(struct allocator *a, uint32_t fw, const char *role);
bool allocator_has_role(const struct allocator *a, uint32_t fw, const char *role);
bool allocator_suppressed(const struct allocator *a, uint32_t fw, const char *role);

/* ---- resources ---- */
/* A framework holds these there (tasks that an agent reports). May be more than is free. */
void allocator_take(struct allocator *a, uint32_t fw, const char *role, uint32_t agent, const struct pools *r);
/*
 * It no longer does. refuse_us > 0: and it wants nothing that is contained in this from there again, for that long.
 * fw may be ALLOC_NONE when the framework is gone.
 */
void allocator_recover(struct allocator *a, uint32_t fw, const char *role, uint32_t agent, const struct pools *r,
		       int64_t refuse_us, int64_t now_us);

/* ---- running ---- */
struct alloc_offer {
	uint32_t framework, agent;
	const char *role;            /* borrowed from the allocator */
	struct pools r;              /* counts as allocated from now on */
};
/* Allocate what can be. Then take the offers one by one; the caller owns out->r. False: no more. */
void allocator_run(struct allocator *a, int64_t now_us);
bool allocator_next(struct allocator *a, struct alloc_offer *out);
/* When to run again although nothing happens: the next filter's end; INT64_MAX: never. */
int64_t allocator_due_us(const struct allocator *a);
/* Scalars that a role's frameworks are offered or hold; nothing for unknown roles. */
struct resources allocator_role_held(const struct allocator *a, const char *role);
/* Part of the cluster that a role's frameworks hold of their dominant resource, 0 to 1. */
double allocator_role_share(const struct allocator *a, const char *role);
size_t allocator_filter_count(const struct allocator *a);
