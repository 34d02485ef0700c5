/* SPDX-License-Identifier: Apache-2.0 */
/* The TaskInfo of an instance: command, container, environment, discovery. Pure. Marathon's TaskBuilder and EnvironmentHelper. */
#pragma once

#include "roles/master/marathon/match.h"

/*
 * Everything in the arena or borrowed from the arguments. `in` has its id, agent, host and ports.
 * Errors: E_CORRUPT when the stored definition cannot be read.
 */
int task_build(struct arena *a, const struct spec *s, const struct instance *in, const struct taken *taken, mesos_v1_TaskInfo *out,
	       struct err *e);
