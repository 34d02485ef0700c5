/* SPDX-License-Identifier: Apache-2.0 */
/* What of the Mesos master is replicated: tables of agents, frameworks, launch intents and counters, and the commands on them. */
#pragma once

#include "store/state.h"

extern const struct kv_table registry_agents;       /* id -> rec.Agent */
extern const struct kv_table registry_frameworks;   /* id -> rec.Framework */
extern const struct kv_table registry_intents;      /* "framework id/task id" -> rec.Intent */

/* Before store_start. */
void registry_register(struct store *s);
