/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent's tasks come to, so that a new leader need not be told of each: the sum of a hash a task, in any order. Equal
 * digests mean the same tasks in the same containers with the same latest status updates. Pure.
 */
#pragma once

#include "proto/mesos.pb.h"

#define TASK_DIGEST_BYTES 32

struct task_digest {
	uint8_t sum[TASK_DIGEST_BYTES];
	uint32_t count;
};

/* latest: the newest status update; NULL: none yet. container_id may be NULL. */
void task_digest_add(struct task_digest *d, const char *framework_id, const char *task_id, const char *container_id,
		     const mesos_v1_TaskStatus *latest);
