/* SPDX-License-Identifier: Apache-2.0 */
/* How the end of a task is called: state, reason and message as Mesos' command executor and isolators give them. Pure. */
#pragma once

#include "net/base/buf.h"
#include "proto/mesos.pb.h"

struct outcome {
	mesos_v1_TaskState state;
	bool has_reason;
	mesos_v1_TaskStatus_Reason reason;
	struct buf message;
};

struct outcome_facts {
	const char *start_error;       /* why the program could not be started, or NULL */
	bool kill_wanted;              /* somebody asked for the end */
	int wait_status;               /* as waitpid gives it; -1: not known */
	bool out_of_memory;
	int64_t mem_bytes, mem_max_bytes;
	const char *memory_stat;
};

void outcome_of(const struct outcome_facts *f, struct outcome *out);

/* By the text of /proc/PID/status: would SIGTERM end the process if it were not the first of its pid namespace? */
bool outcome_dies_of_term(struct str proc_status);
