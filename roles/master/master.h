/* SPDX-License-Identifier: Apache-2.0 */
/* The master process: what its subsystems share. Each subsystem stands in its own folder behind one small header. */
#pragma once

#include "roles/node.h"
#include "store/state.h"

struct mesos;
struct marathon;
struct adminrouter;
struct backups;
struct lead;
struct quorum;
struct listeners;
struct keyval;

struct master_config {
	struct node_config common;     /* first */
	uint16_t mesos_port, marathon_port, adminrouter_port, rpc_port;
	int64_t agent_ping_timeout_us;
	int64_t max_agent_ping_timeouts;
	int64_t offer_timeout_us;
	int64_t agent_reregister_rate;
};

struct master {
	struct node node;
	struct master_config config;
	struct store *store;
	struct mesos *mesos;
	struct marathon *marathon;
	struct adminrouter *adminrouter;
	struct lead *lead;
	struct backups *backups;
	struct quorum *quorum;
	struct keyval *keyval;
	char id[37];                   /* uuid of this master's life, prefix of agent and framework ids */
	bool leads;
	int64_t elected_unix_us;
	char **argv;                   /* as it was started; borrowed */
	struct listeners *listeners;   /* master.c */
};
