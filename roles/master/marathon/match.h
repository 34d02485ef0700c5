/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does an offer (or an agent) suit an app, and if not, why: roles, resources, constraints, ports. Pure.
 * Order and names of the reasons: Marathon's ResourceMatcher and /v2/queue.
 */
#pragma once

#include "roles/master/marathon/reconcile.h"
#include "roles/resources.h"

#define REJECT_TABLE(X) \
	X(REJECT_ROLE,        "UnfulfilledRole",                  "resources of an accepted role") \
	X(REJECT_CONSTRAINT,  "UnfulfilledConstraint",            "constraints") \
	X(REJECT_RESERVATION, "NoCorrespondingReservationFound",  "a reservation") \
	X(REJECT_MAINTENANCE, "AgentMaintenance",                 "maintenance") \
	X(REJECT_CPUS,        "InsufficientCpus",                 "cpus") \
	X(REJECT_MEM,         "InsufficientMemory",               "mem") \
	X(REJECT_DISK,        "InsufficientDisk",                 "disk") \
	X(REJECT_GPUS,        "InsufficientGpus",                 "gpus") \
	X(REJECT_PORTS,       "InsufficientPorts",                "ports") \
	X(REJECT_SCARCE,      "DeclinedScarceResources",          "scarce resources")
#define REJECT_ENUM(name, wire, words) name,
enum reject { REJECT_TABLE(REJECT_ENUM) REJECT_COUNT };
const char *reject_name(enum reject r);       /* "InsufficientCpus" */

/* Where a task would run. */
struct place {
	const char *hostname;
	const mesos_v1_Attribute *attributes;
	size_t attribute_count;
};

/* What is left of an offer while tasks are cut from it. Rows in the arena. */
struct pool {
	struct arena *arena;
	struct pool_row *rows;
	size_t count;
};
struct pool pool_of_offer(struct arena *a, const mesos_v1_Offer *offer);

/* What one task takes. In the pool's arena. */
struct taken {
	mesos_v1_Resource *resources;   /* rows of the offer, with their roles and reservations, reduced to what is taken */
	size_t resource_count;
	uint32_t *ports;                /* one for each portDefinition */
	size_t port_count;
};

/* The app's instances that constraints compare with. */
struct placed {
	struct instance *const *instances;
	size_t count;
};

/* 0: *out was taken from the pool. Else a mask of 1 << enum reject, nothing was taken. */
unsigned match_offer(const struct spec *s, struct placed placed, struct place at, struct pool *p, struct rnd *r, struct taken *out);
/* The same question about an agent and what is free there. */
unsigned match_agent(const struct spec *s, struct placed placed, const mesos_v1_AgentInfo *info, const struct resources *free_);
/* Value of a constraint's field in the arena; NULL: the agent has no such attribute. */
const char *place_value(struct arena *a, struct place at, const char *field);
bool constraint_holds(const struct constraint *c, const struct spec *s, struct placed placed, struct place at);
