/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Mesos master: agents, frameworks, offers, tasks. One scheduler interface for everybody: the built-in Marathon subscribes
 * with a sink and makes calls exactly as a framework does over /api/v1/scheduler.
 */
#pragma once

#include "net/http.h"
#include "net/rpc.h"
#include "proto/mesos.pb.h"
#include "proto/mesos_scheduler.pb.h"
#include "roles/master/master.h"
#include "roles/resources.h"

struct mesos;
struct sched;       /* one subscribed scheduler connection */

/*
 * Where a scheduler's events go. The event is borrowed. `closed`: the session ended (failover by another, teardown, master steps
 * down); struct sched is dead when it returns, as after mesos_disconnect.
 */
struct sched_sink {
	void (*event)(void *arg, const mesos_v1_scheduler_Event *ev);
	void (*closed)(void *arg, const char *reason);
	void *arg;
};

extern const struct kv_table *const mesos_tables[];        /* of the replicated state */
/* Registers its tables and commands with m->store; call before store_start. */
struct mesos *mesos_new(struct master *m);
void mesos_free(struct mesos *ms);
/* Leadership gained (recover agents, frameworks, intents from the store, then serve) or lost (drop sessions). */
void mesos_lead(struct mesos *ms, bool leads);
/* Masters came, went or moved: their rows in the view, if this one leads. */
void mesos_masters_changed(struct mesos *ms);

/*
 * Subscribe. info->id NULL: a new framework gets an id. Events (SUBSCRIBED first) follow in later turns, never inside.
 * Returns NULL with E_INVALID / E_NOTLEADER and a sentence.
 */
struct sched *mesos_subscribe(struct mesos *ms, const mesos_v1_FrameworkInfo *info, bool force, struct sched_sink sink, struct err *e);
/* The connection went away; the framework stays for its failover_timeout. */
void mesos_disconnect(struct sched *s);
const char *sched_framework_id(const struct sched *s);
/* Any call but SUBSCRIBE. call->framework_id must be the session's. */
int mesos_call(struct mesos *ms, struct sched *s, const mesos_v1_scheduler_Call *call, struct err *e);

/* RPC methods of agents: AGENT_REGISTER, TASK_UPDATE … and the connection's end. */
extern const struct rpc_method mesos_rpc_methods[];
extern const size_t mesos_rpc_method_count;
struct mesos *mesos_of_peer(struct rpc_peer *p);   /* rpc arg is struct master * */
void mesos_agent_gone(struct mesos *ms, struct rpc_peer *p);

/* Routes: /api/v1/scheduler, /state, /tasks, /slaves, /frameworks, /version, /health, /redirect, /metrics/snapshot … served on 5050 and behind /mesos. */
extern const struct route mesos_routes[];          /* arg: struct mesos * */

/* For explanations ("which resource is short on how many agents"): calls fn for each active agent with what is free there. */
void mesos_each_agent(struct mesos *ms, bool (*fn)(void *arg, const mesos_v1_AgentInfo *info, const struct resources *total,
						     const struct resources *free), void *arg);
/* Address of an agent's API for proxies; false when unknown. */
bool mesos_agent_addr(struct mesos *ms, const char *agent_id, struct sock_addr *out);
