/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the leading master knows: agents, frameworks, offers, tasks, and how they hang together. Pure: events go in by the
 * functions of agents.c, frameworks.c, offers.c and tasks.c, acts come out in `out`; now_us and unix_us are set by the caller
 * before each event. mesos.c is the I/O half. Private to this folder.
 *
 * Ownership: the model owns agents, frameworks and sessions; a framework owns its tasks; offers are owned by the model's map.
 * A task is in its agent's list for as long as both exist. Replicated first, then seen: agents, framework ids and launches wait
 * as `struct pending` for the store's answer.
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/list.h"
#include "net/base/map.h"
#include "net/base/sm.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "proto/mesos.pb.h"
#include "proto/mesos_scheduler.pb.h"
#include "proto/records.pb.h"
#include "roles/master/mesos/allocator.h"
#include "roles/master/mesos/deadline.h"
#include "roles/master/mesos/mesos.h"
#include "roles/master/mesos/metrics.h"
#include "roles/master/mesos/outbox.h"
#include "roles/master/mesos/pools.h"
#include "roles/task.h"
#include "roles/task_digest.h"

#define FRAMEWORKS_COMPLETED_MAX 50            /* kept to refuse their ids and to show them, as Mesos */
#define TASKS_COMPLETED_MAX 1000               /* of one framework */
#define AGENT_REREGISTER_TIMEOUT_US (10 * MINUTE)
#define REGISTRY_GC_US (15 * MINUTE)           /* how often unreachable agents are looked through */
#define REGISTRY_AGENT_AGE_US (2 * WEEK)       /* unreachable for so long: forgotten, as Mesos' registry_max_agent_age */
#define HEARTBEAT_US (15 * SEC)
#define REFUSE_DEFAULT_US (5 * SEC)
#define REFUSE_FLOOR_US (100 * MSEC)           /* a decline without a filter: keeps eager schedulers from spinning */

struct model;

/* Heap bytes of one encoded message. */
struct blob {
	uint8_t *p;
	size_t len;
};
void blob_fini(struct blob *b);
int blob_pack(struct blob *out, const pb_msgdesc_t *fields, const void *msg, struct err *e);   /* replaces; E_MALFORMED: incomplete */
void blob_put(struct blob *out, struct str bytes);
/* Decode what we encoded ourselves. */
void blob_unpack(const struct blob *b, struct arena *a, const pb_msgdesc_t *fields, void *out_msg);
static inline struct str blob_view(const struct blob *b) { return str_n((const char *)b->p, b->len); }

/* A proposal that somebody waits for. `done` frees it. */
struct pending {
	struct list link;                      /* in model.pending */
	struct model *model;
	void (*done)(struct pending *p, struct str reply, const struct err *e);
	void (*drop)(struct pending *p);       /* the model ends: refuse who waits, free */
};

/* An agent's connection, the model's part of it; mesos.c embeds it. */
struct conn {
	struct agent *agent;                   /* who registered over it; NULL: nobody */
};

enum agent_state {
	AGENT_RECOVERED,       /* known from the registry, not back yet */
	AGENT_ACTIVE,
	AGENT_DISCONNECTED,    /* its connection broke; it has until `due` to come back */
	AGENT_UNREACHABLE,     /* given up: its tasks are UNREACHABLE or LOST until it returns */
};

struct agent {
	struct sm sm;                          /* enum agent_state */
	struct list link;                      /* model.agent_list */
	char *id;
	struct arena arena;                    /* of `info` and the strings below */
	mesos_v1_AgentInfo *info;              /* with id */
	const char *ip, *node, *version;
	uint32_t port;
	uint32_t slot;                         /* allocator's handle; ALLOC_NONE while RECOVERED or UNREACHABLE */
	struct conn *conn;                     /* set while ACTIVE */
	struct list tasks, offers;             /* task.agent_link, offer.agent_link */
	struct pools offered;
	int64_t registered_us, reregistered_us, unreachable_us;    /* wall clock; 0: never */
	struct deadline due;                   /* next ping, or the end of patience */
	int64_t missed_pings;
	bool changing;                         /* a proposal about it is under way */
	int64_t turn_us;                       /* when it is taken back, of many that come at once; 0: not drawn */
	struct list dirty_link;
};

enum framework_state {
	FRAMEWORK_RECOVERED,   /* known from the registry or from an agent, not subscribed yet */
	FRAMEWORK_ACTIVE,
	FRAMEWORK_DISCONNECTED,
	FRAMEWORK_COMPLETED,
};

struct framework {
	struct sm sm;                          /* enum framework_state */
	struct list link;                      /* model.framework_list or model.completed_list */
	char *id;
	struct arena arena;                    /* of `info` and `roles` */
	mesos_v1_FrameworkInfo *info;          /* with id */
	const char **roles;
	size_t role_count;
	uint32_t capabilities;                 /* bits: 1 << mesos.v1.FrameworkInfo.Capability.Type */
	uint32_t slot;                         /* allocator's handle; ALLOC_NONE when completed */
	struct sched *session;                 /* NULL: not connected */
	struct map tasks;                      /* id -> struct task: live, terminal but not acknowledged, unreachable */
	struct list completed;                 /* task.completed_link, oldest first */
	size_t completed_count;
	struct list offers;                    /* offer.framework_link */
	size_t fresh_offers;                   /* at the end of `offers`: not told yet */
	struct pools used, offered;            /* scalars only, over all agents */
	int64_t registered_us, reregistered_us, unregistered_us;
	struct deadline failover;
	struct list dirty_link;
};

static inline bool framework_can(const struct framework *f, mesos_v1_FrameworkInfo_Capability_Type c)
{
	return (f->capabilities & (1u << c)) != 0;
}
static inline bool framework_partition_aware(const struct framework *f)
{
	return framework_can(f, mesos_v1_FrameworkInfo_Capability_Type_PARTITION_AWARE);
}

struct offer {
	char *id;
	struct framework *framework;
	struct agent *agent;
	char *role;
	struct pools r;
	struct list framework_link, agent_link;
	struct deadline timeout;
};

struct task {
	char *id;
	struct framework *framework;           /* owner */
	struct agent *agent;                   /* NULL: removed since */
	char *agent_id, *executor_id;          /* executor_id "" for command tasks */
	char *role;                            /* what its resources are allocated to */
	struct blob info;                      /* mesos.v1.TaskInfo */
	struct blob *statuses;                 /* mesos.v1.TaskStatus, the last of each run of one state, without data */
	size_t status_count;
	mesos_v1_TaskState state;              /* newest known, maybe ahead of the last status forwarded */
	uint8_t uuid[16];                      /* of the last update that wants an acknowledgement */
	bool has_uuid;
	bool terminal_forwarded;               /* the last update was terminal: its acknowledgement ends the task */
	struct pools used, executor_used;      /* what it holds; executor_used on one task of each executor */
	bool holds;                            /* used + executor_used are allocated */
	bool launched;                         /* recorded and sent */
	bool kill_requested, draining;
	int64_t kill_grace_us;                 /* -1: the task's own */
	bool completed;
	uint64_t seen;                         /* number of the last registration that reported it */
	char *container_id, *sandbox;
	int64_t updated_us;                    /* wall clock */
	struct list agent_link, completed_link, launch_link, dirty_link;
};

/* A scheduler's session; made by frameworks_subscribe, freed by mesos.c after frameworks_disconnect or its ACT_CLOSE. */
struct sched {
	struct model *model;
	struct framework *framework;           /* NULL until subscribed */
	struct pending *pending;               /* subscription under way */
	struct sched_sink sink;
	char framework_id[256];                /* "" until known */
	struct blob info;                      /* mesos.v1.FrameworkInfo as sent */
	char **suppressed;
	size_t suppressed_count;
	struct mesos *owner;                   /* mesos.c's */
	bool ended;                            /* no event any more */
	struct list link;                      /* mesos.c's */
};

struct model_config {
	const char *master_id, *ip, *hostname, *version;    /* borrowed */
	uint16_t port;
	int64_t ping_timeout_us, ping_misses_max, offer_timeout_us;
	int64_t reregister_rate;               /* agents taken back in a second; 0: any number */
};

struct model {
	struct model_config config;
	int64_t now_us, unix_us;               /* of the event that is being handled */
	struct outbox out;
	struct allocator *alloc;
	struct deadlines deadlines;
	struct map agents, frameworks, offers; /* by id */
	struct map agents_at;                  /* "ip:port" -> agent that is not UNREACHABLE */
	struct list agent_list, framework_list, completed_list;
	size_t completed_count;
	struct agent **agent_of;               /* allocator's handle -> agent */
	struct framework **framework_of;
	size_t agent_of_count, framework_of_count;
	struct list pending;                   /* struct pending */
	struct list launching;                 /* task.launch_link: accepted this turn, not yet proposed */
	char **ended;                          /* keys of intents to end with the next proposal */
	size_t ended_count, ended_cap;
	uint64_t offers_made, registrations;
	struct list dirty_agents, dirty_frameworks, dirty_tasks;   /* rows of the view to write */
	struct deadline recovery, gc;
	int64_t last_turn_us;                  /* the latest agent.turn_us given */
	bool recovering;                       /* agents of the registry may still come back */
	size_t recovered_count;                /* agents in AGENT_RECOVERED */
	struct master_metrics metrics;
};

/* ---- model.c ---- */
void model_init(struct model *m, const struct model_config *config);
/* Drop all proposals; who waits for them gets ACT_FAIL. */
void model_stop(struct model *m);
void model_fini(struct model *m);
/* Propose; `done` runs later through model_proposed. */
void model_propose(struct model *m, rec_Op op, const pb_msgdesc_t *fields, const void *msg, struct pending *p);
void model_proposed(struct pending *p, struct str reply, const struct err *e);
void model_send(struct model *m, struct agent *a, dcos_Method method, const pb_msgdesc_t *fields, const void *msg);   /* no-op unless connected */
void model_event(struct model *m, struct framework *f, const mesos_v1_scheduler_Event *ev);                    /* no-op unless connected */
void model_reply(struct model *m, void *req, const pb_msgdesc_t *fields, const void *msg);    /* req may be NULL */
void model_fail(struct model *m, void *req, const struct err *e);
/* Time passes: run what is due. */
void model_tick(struct model *m);
int64_t model_due_us(const struct model *m);
/* The end of a turn: make offers, propose launches, write the view's rows. Acts are complete afterwards. */
void model_flush(struct model *m);

/* ---- agents.c ---- */
void agents_load(struct model *m, const rec_Agent *row);                          /* from the registry, while recovering */
void agents_register(struct model *m, struct conn *conn, void *req, struct str payload); /* dcos.AgentRegister */
void agents_resources(struct model *m, struct agent *a, struct str payload);      /* dcos.AgentResources */
void agents_pong(struct model *m, struct agent *a, bool answered);
void agents_gone(struct model *m, struct conn *conn);                             /* the connection ended */
void agents_recovery_start(struct model *m);
struct agent *agents_find(const struct model *m, const char *id);
void agents_free(struct model *m, struct agent *a);
void agents_used(const struct agent *a, struct pools *out);                       /* by its tasks */
mesos_v1_AgentID *agents_id(struct arena *a, const char *id);

/* ---- frameworks.c ---- */
void frameworks_load(struct model *m, const rec_Framework *row);
/* Known, or recovered from what an agent tells about it; NULL when it is completed. */
struct framework *frameworks_learn(struct model *m, const mesos_v1_FrameworkInfo *info);
struct sched *frameworks_subscribe(struct model *m, const mesos_v1_FrameworkInfo *info, char *const *suppressed, size_t suppressed_count,
				   struct sched_sink sink, struct err *e);
int frameworks_update(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_UpdateFramework *call, struct err *e);
void frameworks_disconnect(struct model *m, struct sched *s);
void frameworks_remove(struct model *m, struct framework *f);                     /* TEARDOWN, failover timeout */
/* Known and not completed. */
struct framework *frameworks_find(const struct model *m, const char *id);
bool frameworks_completed(const struct model *m, const char *id);
void frameworks_free(struct model *m, struct framework *f);
void frameworks_close(struct model *m, struct sched *s, const char *error);       /* ERROR event, then the end */
void frameworks_message(struct model *m, struct agent *a, struct str payload);    /* dcos.FrameworkMessage of an executor */
int frameworks_call(struct model *m, struct sched *s, const mesos_v1_scheduler_Call *call, struct err *e);

/* ---- offers.c ---- */
void offers_make(struct model *m);                                                /* what the allocator gives */
void offers_accept(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Accept *call);
void offers_decline(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Decline *call);
void offers_drop_of_framework(struct model *m, struct framework *f);              /* silently */
void offers_rescind(struct model *m, struct offer *o);
void offers_rescind_of_agent(struct model *m, struct agent *a);

/* ---- tasks.c: life ---- */
struct task_report {                    /* what a master-made update says */
	mesos_v1_TaskState state;
	mesos_v1_TaskStatus_Reason reason;
	const char *message;
};
struct task *tasks_find(const struct framework *f, const char *id);
void tasks_load(struct model *m, const rec_Intent *row, const dcos_ViewTask *last_known);   /* last_known may be NULL */
/* Accept a launch whose resources are allocated already: `used` and `executor_used` are taken over. */
int tasks_launch(struct model *m, struct framework *f, struct agent *a, const char *role, const mesos_v1_TaskInfo *info,
		 struct pools *used, struct pools *executor_used, struct err *e);
void tasks_propose(struct model *m);                                              /* launches and ends of this turn */
/*
 * An agent (re-)registered with these tasks: know them, and end what it no longer has (unless `again`: a repeated registration,
 * which may have crossed a launch). Adds to reply->unknown_tasks what the agent has to end.
 */
void tasks_reported(struct model *m, struct agent *a, const dcos_AgentRegister *reg, bool again, dcos_AgentRegistered *reply,
		    struct arena *arena);
/* As tasks_reported, when the agent has exactly the tasks we know of (tasks_digest says so). */
void tasks_confirmed(struct model *m, struct agent *a, dcos_AgentRegistered *reply, struct arena *arena);
void tasks_digest(const struct agent *a, struct task_digest *out);                /* of those that were sent to it */
void tasks_agent_unreachable(struct model *m, struct agent *a);
void tasks_agent_removed(struct model *m, struct agent *a, const char *message);
void tasks_framework_removed(struct model *m, struct framework *f);
void tasks_free(struct model *m, struct task *t);
bool tasks_executor_live(const struct agent *a, const struct framework *f, const char *executor_id, const struct task *except);
void tasks_set_state(struct model *m, struct task *t, mesos_v1_TaskState state);
void tasks_add_status(struct task *t, const mesos_v1_TaskStatus *status);
void tasks_release(struct model *m, struct task *t);                              /* its resources; harmless twice */
void tasks_complete(struct model *m, struct task *t);                             /* it is history now */

/* ---- tasks_status.c: updates, acknowledgements, kills, reconciliation ---- */
/* PARTITION_AWARE frameworks get `state`, others TASK_LOST. */
mesos_v1_TaskState tasks_state_for(const struct framework *f, mesos_v1_TaskState state);
/* Tell a framework about a task that never came to be. */
void tasks_tell(struct model *m, struct framework *f, const mesos_v1_TaskInfo *info, struct task_report r);
/* A master-made update: it becomes the task's status and goes to the framework, without uuid. */
void tasks_report(struct model *m, struct task *t, struct task_report r);
void tasks_update(struct model *m, struct agent *a, struct str payload);          /* dcos.TaskUpdate */
void tasks_acknowledge(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Acknowledge *call);
void tasks_kill(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Kill *call);
void tasks_shutdown_executor(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Shutdown *call);
void tasks_reconcile(struct model *m, struct framework *f, const mesos_v1_scheduler_Call_Reconcile *call);

/* ---- validate.c ---- */
bool validate_id(const char *id, struct err *e);                                  /* "ID must not be empty" … */
bool validate_role(const char *role);
int validate_framework(const mesos_v1_FrameworkInfo *info, struct err *e);
/* Checks of a launch that need only the message, in Mesos' order. */
int validate_task(const mesos_v1_TaskInfo *task, const char *framework_id, const char *agent_id, struct err *e);
int validate_call(const mesos_v1_scheduler_Call *call, struct err *e);

/* ---- publish.c ---- */
void publish_agent(struct model *m, struct agent *a);          /* its row is stale */
void publish_framework(struct model *m, struct framework *f);
void publish_task(struct model *m, struct task *t);
void publish_agent_gone(struct model *m, const struct agent *a);
void publish_framework_gone(struct model *m, const struct framework *f);
void publish_task_gone(struct model *m, const struct task *t);
void publish_flush(struct model *m);                           /* encode the stale rows */
void publish_metrics(struct model *m);                         /* set the gauges */
