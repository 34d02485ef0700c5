/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the agent share. One struct agent a process; everything hangs off it. A task is here from TASK_LAUNCH until
 * its terminal update was acknowledged and its row removed from the checkpoint.
 */
#pragma once

#include "net/base/list.h"
#include "net/base/map.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "proto/records.pb.h"
#include "roles/agent/cgroup.h"
#include "roles/agent/image.h"
#include "roles/leader.h"
#include "roles/node.h"
#include "roles/task.h"
#include "store/kv.h"

struct agent_config {
	struct node_config common;
	uint16_t port;
	char *work_dir, *run_dir, *image_dir, *store_dir;
	char *attributes, *resources, *default_role;
	char *dns;                       /* FLAG_LIST of nameservers for containers */
	bool public, isolate, cfs;
	int64_t registration_timeout_us, reregistration_timeout_us, recovery_timeout_us;
	int64_t gc_delay_us, disk_watch_us;
};
extern const struct flag agent_flags[];

#define AGENT_METRICS(X) \
	/* type    name                            field                  unit       meaning */ \
	X(GAUGE,   "slave/registered",             registered,            "",        "1: a master knows this agent") \
	X(GAUGE,   "slave/uptime_secs",            uptime_secs,           "s",       "since this process started") \
	X(GAUGE,   "slave/tasks_staging",          tasks_staging,         "tasks",   "being made ready") \
	X(GAUGE,   "slave/tasks_starting",         tasks_starting,        "tasks",   "in TASK_STARTING") \
	X(GAUGE,   "slave/tasks_running",          tasks_running,         "tasks",   "in TASK_RUNNING") \
	X(GAUGE,   "slave/executors_running",      executors_running,     "",        "executors connected") \
	X(GAUGE,   "slave/frameworks_active",      frameworks_active,     "",        "frameworks with a task here") \
	X(GAUGE,   "slave/cpus_total",             cpus_total,            "cpus",    "offered to the cluster") \
	X(GAUGE,   "slave/cpus_used",              cpus_used,             "cpus",    "held by tasks") \
	X(GAUGE,   "slave/mem_total",              mem_total,             "MB",      "offered to the cluster") \
	X(GAUGE,   "slave/mem_used",               mem_used,              "MB",      "held by tasks") \
	X(GAUGE,   "slave/disk_total",             disk_total,            "MB",      "offered to the cluster") \
	X(COUNTER, "slave/tasks_failed",           tasks_failed,          "tasks",   "ended as TASK_FAILED") \
	X(COUNTER, "slave/tasks_finished",         tasks_finished,        "tasks",   "ended as TASK_FINISHED") \
	X(COUNTER, "slave/tasks_killed",           tasks_killed,          "tasks",   "ended as TASK_KILLED") \
	X(COUNTER, "slave/tasks_lost",             tasks_lost,            "tasks",   "ended as TASK_LOST, GONE or DROPPED") \
	X(COUNTER, "slave/executors_terminated",   executors_terminated,  "",        "executors that ended") \
	X(COUNTER, "slave/container_launch_errors", launch_errors,        "",        "containers that could not be started") \
	X(COUNTER, "slave/recovery_errors",        recovery_errors,       "",        "rows of the checkpoint that could not be used") \
	X(COUNTER, "slave/valid_status_updates",   valid_updates,         "",        "updates of executors taken") \
	X(COUNTER, "slave/invalid_status_updates", invalid_updates,       "",        "updates of executors not understood") \
	X(GAUGE,   "gc/path_removals_pending",     gc_pending,            "paths",   "sandboxes that wait for their age") \
	X(COUNTER, "gc/path_removals_succeeded",   gc_succeeded,          "paths",   "sandboxes deleted") \
	X(COUNTER, "gc/path_removals_failed",      gc_failed,             "paths",   "sandboxes that could not be deleted")
struct agent_metrics { AGENT_METRICS(METRIC_FIELD) };

struct checkpoint;
struct image_job;
struct gc;
struct files;

struct agent {
	struct agent_config config;
	struct node node;
	struct agent_metrics metrics;
	struct arena arena;              /* info */
	mesos_v1_AgentInfo info;         /* id NULL until a master gave one */
	char boot_id[64];
	char *self;                      /* path of this executable */
	struct cgroup_host cgroups;
	struct checkpoint *checkpoint;
	struct gc *gc;
	struct files *files;             /* followers of growing files; made by the first */

	struct leader *leader;
	struct rpc_call register_call;
	struct loop_timer register_retry, ping_silence, ending;
	int64_t ending_us;               /* when waiting for the last tasks ends, after AGENT_SHUTDOWN */
	int64_t ping_timeout_us;
	bool by_list;                    /* register with all tasks: the master asked for it, or we have no id */
	bool registered;                 /* with the master we are connected to */
	bool ready_told;

	struct rpc_server *executors;    /* unix socket */
	char *executor_socket;
	struct http_server *http;
	struct http_routes routes;

	struct list tasks;               /* struct task by link */
	struct map by_key;               /* "framework id/task id" -> struct task */
	struct map by_container;
	struct list completed;           /* struct done_task, newest last */
	size_t completed_count;
	int orphans_ending;              /* destroy operations of orphans under way */
};

/* ---- checkpoint.c: durable rows, one commit a turn, on a worker thread ---- */
struct checkpoint_op {
	struct list link;
	const struct kv_table *table;
	struct buf key, value;           /* value.data NULL: remove */
	void (*done)(void *arg, uint64_t seq);
	void *arg;
	uint64_t seq;
};
extern const struct kv_table checkpoint_agent_table, checkpoint_task_table;
int checkpoint_open(struct loop *l, const char *dir, struct checkpoint **out, struct err *e);
/* Writes what waits. NULL ok. After the loop is gone: no worker writes any more. */
void checkpoint_close(struct checkpoint *c);
/*
 * Write (value.len > 0, taken) or remove a row. Returns its number; done(arg, number) runs on the loop once it is on disk. A
 * full disk is tried again until it works: what is not on disk is acknowledged to nobody.
 */
uint64_t checkpoint_write(struct checkpoint *c, const struct kv_table *t, const char *key, struct buf *value,
			  void (*done)(void *arg, uint64_t seq), void *arg);
/* At start only. */
int checkpoint_each(struct checkpoint *c, const struct kv_table *t, bool (*fn)(void *arg, struct str key, struct str value),
		    void *arg, struct err *e);

/* ---- tasks.c ---- */
enum task_phase { PHASE_PREPARING, PHASE_STARTING, PHASE_LAUNCHED, PHASE_DESTROYING, PHASE_ENDED };

struct status_update {
	struct list link;
	uint8_t uuid[16];
	mesos_v1_TaskState state;
	struct buf status;               /* mesos.v1.TaskStatus */
	uint64_t seq;                    /* of the checkpoint's write that holds it */
	bool from_executor, told_executor, sent;
	bool acknowledged;               /* by the master, before it was on disk */
};

/* Ending a container whose executor cannot: kill, wait, remove. One at a time per container. */
struct destroy_op {
	struct agent *agent;
	char *container_id;
	char *cgroup;
	struct loop_timer look;
	int64_t look_us, give_up_us;
	void (*done)(struct destroy_op *op);   /* last; op's owner frees */
	void *owner;
};

/*
 *   PREPARING --image there, executor started--> STARTING --on disk and connected--> LAUNCHED --terminal update--> ENDED
 *       |                                           |  executor dead  |                                              ^
 *       |                                           '--> DESTROYING <-'--nothing left-------------------------------'|
 *       '--not to be had, killed-------------------------------------------------------------------------------------'
 */
struct task {
	struct list link;
	struct agent *agent;
	struct arena arena;              /* framework, info and the strings below */
	const mesos_v1_FrameworkInfo *framework;
	const mesos_v1_TaskInfo *info;
	char *key, *framework_id, *task_id, *container_id, *sandbox;
	enum task_phase phase;
	int64_t created_unix_us;

	struct image_job *image;         /* while PREPARING */
	struct arena spec_arena;
	dcos_ContainerSpec *spec;        /* until the executor was told */
	struct child executor;
	pid_t executor_pid;
	int64_t executor_ticks;
	int32_t task_pid;
	struct rpc_peer *peer;           /* the executor's connection */
	struct loop_timer deadline;      /* (re)registration of the executor */
	bool told;                       /* EXECUTOR_LAUNCH was sent */
	bool recovered;                  /* from the checkpoint of a former run */
	bool kill_wanted, kill_has_grace;
	int64_t kill_grace_us;
	struct destroy_op destroy;
	const char *end_message;         /* of the terminal update once DESTROYING is over */
	mesos_v1_TaskStatus_Reason end_reason;

	struct list updates;             /* not acknowledged by the scheduler, oldest first */
	struct buf latest;               /* newest status, encoded */
	mesos_v1_TaskState state;        /* of the newest */
	uint64_t on_disk;                /* newest write known to be on disk */
	struct loop_timer resend;
	int64_t resend_us;
	bool terminal, removing;
};

struct done_task {
	struct list link;
	struct arena arena;
	const mesos_v1_FrameworkInfo *framework;
	const mesos_v1_TaskInfo *info;
	char *framework_id, *task_id, *container_id, *sandbox;
	mesos_v1_TaskState state;
	struct buf latest;
};
#define COMPLETED_MAX 200                /* executors kept for /state, as Mesos keeps 150 a framework */

/* Copies what it is given. NULL: E_MALFORMED, E_TOOBIG. */
struct task *task_new(struct agent *a, const mesos_v1_FrameworkInfo *framework, const mesos_v1_TaskInfo *info, const char *container_id,
		      struct err *e);
void task_free(struct task *t);
struct task *task_find(struct agent *a, const char *framework_id, const char *task_id);
void task_step(struct task *t);          /* carry on with what the facts allow */
void task_save(struct task *t);          /* write its row; task_step follows when it is on disk */
/* Queue an update made by the agent itself. */
void task_report(struct task *t, mesos_v1_TaskState state, bool has_reason, mesos_v1_TaskStatus_Reason reason, const char *message);
/* Queue an update of the executor; duplicates are dropped. E_MALFORMED. */
int task_take_update(struct task *t, const dcos_TaskUpdate *u, struct err *e);
void task_acknowledged(struct task *t, const uint8_t *uuid, size_t len);
void task_kill(struct task *t, const int64_t *grace_us);
/* The executor is gone: end what is left of the container, then report FAILED with these. message is a literal. */
void task_executor_lost(struct task *t, mesos_v1_TaskStatus_Reason reason, const char *message);
void task_fail_launch(struct task *t, const struct err *e);
void tasks_resend_all(struct agent *a);  /* a master is there (again) */
void tasks_used(const struct agent *a, double *cpus, double *mem);

/* ---- launch.c: from TASK_LAUNCH to a running executor ---- */
void launch_task(struct agent *a, struct str payload);
void launch_told_executor(struct task *t);       /* send EXECUTOR_LAUNCH */
void image_job_cancel(struct image_job *j);      /* NULL ok */
int launch_start_ticks(pid_t pid, int64_t *out); /* field 22 of /proc/PID/stat; 0 when it lives */

/* ---- the other files ---- */
int detect_info(struct agent *a, struct err *e);                  /* detect.c: resources and attributes */
int detect_attributes(struct arena *a, const char *text, mesos_v1_Attribute **out, size_t *out_count, struct err *e);
int detect_resources(struct arena *a, const struct agent_config *c, int64_t cpus, int64_t mem_bytes, int64_t disk_bytes,
		     mesos_v1_Resource **out, size_t *out_count, struct err *e);
int recover_all(struct agent *a, struct err *e);                  /* recover.c */
void register_start(struct agent *a);                             /* register.c */
void register_save_agent(struct agent *a);
int executor_api_listen(struct agent *a, struct err *e);          /* executor_api.c */
void executor_api_expect(struct task *t);
void destroy_start(struct destroy_op *op, struct agent *a, const char *container_id, void (*done)(struct destroy_op *op));
void destroy_cancel(struct destroy_op *op);                       /* destroy.c */
char *agent_container_cgroup(const struct agent *a, const char *container_id);  /* heap; NULL without isolation */
int sandbox_make(struct task *t, struct err *e);                  /* sandbox.c */
char *sandbox_path(const struct agent *a, const char *framework_id, const char *executor_id, const char *container_id);
char *sandbox_writable(const struct agent *a, const char *container_id);        /* heap: what the container writes to its root */
int sandbox_remove_tree(const char *path, struct err *e);         /* never follows symlinks nor crosses mounts */
struct gc *gc_start(struct agent *a);                             /* gc.c */
void gc_stop(struct gc *g);
void gc_later(struct gc *g, const char *path);                    /* delete once it is gc_delay old */
void gc_now(struct gc *g, const char *path);
extern const struct route files_routes[], agent_routes[];         /* files.c, http_api.c */
