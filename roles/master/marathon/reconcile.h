/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be done about one app now: a pure function of what is wanted and what is there. It keeps nothing between calls, so
 * it may be asked at any time, after any loss; asked again with its answer carried out, it wants nothing more.
 */
#pragma once

#include "proto/mesos.pb.h"
#include "roles/master/marathon/spec.h"

struct app;

/* A task that was decided on: on its way, running, or not known to have ended. Strings owned. */
struct instance {
	struct app *app;               /* borrowed, outlives it */
	char *task_id, *version, *agent_id, *host, *agent_ip;
	uint32_t *ports;
	size_t port_count;
	mesos_v1_Attribute *attributes;    /* of the agent, for constraints; in `arena` */
	size_t attribute_count;
	struct arena arena;
	mesos_v1_TaskState state;
	int64_t staged_us, started_us, since_us;   /* wall clock; started 0: never ran; since: in `state` */
	bool killing;                  /* we want it gone */
	int64_t kill_sent_us;          /* loop time; 0: not yet in this master's life */
};

struct reconcile_in {
	const struct spec *spec;               /* NULL: the app is to go */
	struct instance *const *instances;     /* all of the app's */
	size_t count;
	bool hold;                             /* its deployment step has not come: leave things as they are */
	int64_t unix_us;
};

struct reconcile_out {
	struct instance **kill;        /* room for `count` of the input, caller's */
	size_t kill_count;
	struct instance **expunge;     /* unreachable for too long: forget; room as above */
	size_t expunge_count;
	int64_t launch;                /* instances to be launched, those waiting for offers included */
	bool done;                     /* exactly what is wanted runs, and nothing else */
	int64_t wake_us;               /* ask again then (wall clock) even if nothing happens; 0: no need */
	const char *waits_for;         /* one clause for people when not done: "2 instances to start" …; static text */
};

void reconcile(const struct reconcile_in *in, struct reconcile_out *out);

/* Bounds of a rolling change over `instances`: healthy ones not undershot, all ones not overshot. */
int64_t reconcile_health_floor(const struct spec *s);
int64_t reconcile_ceiling(const struct spec *s);

static inline bool instance_ready(const struct instance *i) { return i->state == mesos_v1_TaskState_TASK_RUNNING && !i->killing; }
