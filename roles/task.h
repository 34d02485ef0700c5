/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about task states shared by master, agent, Marathon, names and VIPs. Pure. */
#pragma once

#include "net/base/arena.h"
#include "proto/cluster.pb.h"
#include "proto/mesos.pb.h"

const char *task_state_name(mesos_v1_TaskState s);        /* "TASK_RUNNING" */
bool task_state_terminal(mesos_v1_TaskState s);
/* The name-and-VIP row of a task; memory in the arena, strings borrowed from the inputs. */
void task_view_name(struct arena *a, const mesos_v1_TaskInfo *task, const char *framework_name, const char *agent_ip,
		    const mesos_v1_TaskStatus *latest, bool draining, dcos_ViewName *out);
