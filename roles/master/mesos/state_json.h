/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mesos' v0 JSON building blocks, made of view rows: resources, tasks, agents, frameworks. Pure; runs on worker threads.
 * Field names and forms: the v0 endpoints of Mesos 1.8.
 */
#pragma once

#include "net/base/arena.h"
#include "net/json.h"
#include "proto/cluster.pb.h"

/* How many tasks are in which state, and in how many different places. */
#define STATE_COUNTS(X) \
	X(TASK_STAGING) X(TASK_STARTING) X(TASK_RUNNING) X(TASK_KILLING) X(TASK_FINISHED) X(TASK_KILLED) X(TASK_FAILED) \
	X(TASK_LOST) X(TASK_ERROR) X(TASK_UNREACHABLE)
#define STATE_COUNT_FIELD(s) int64_t s;
struct state_counts { STATE_COUNTS(STATE_COUNT_FIELD) };
void state_counts_add(struct state_counts *c, int32_t state);
void state_counts_write(struct jw *w, const struct state_counts *c);

/* {"cpus":1.0,"gpus":0.0,"mem":128.0,"disk":0.0,"ports":"[31000-31001]"} summed over all roles. */
void state_json_resources(struct jw *w, const char *key, const mesos_v1_Resource *rows, size_t count);
void state_json_task(struct jw *w, const dcos_ViewTask *t);
/* An agent's object up to and without its end, so that callers add their own members. `full`: with the *_full members of /slaves. */
void state_json_agent_open(struct jw *w, const dcos_ViewAgent *a, bool full);
/* A framework's members that /state, /frameworks and /state-summary share; the object stays open. */
void state_json_framework_open(struct jw *w, const dcos_ViewFramework *f);
/* The members that only the full form has. */
void state_json_framework_full(struct jw *w, const dcos_ViewFramework *f);
