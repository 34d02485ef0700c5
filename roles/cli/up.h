/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole cluster on this machine, for the files of `up`, `status` and `down` only: the plan (pure), the isolation it
 * stands in, the supervisor that keeps its processes running.
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/err.h"
#include "net/base/flag.h"
#include "net/http.h"
#include "net/loop.h"

struct up_config {
	char *config;
	char *state_dir;
	char *cluster;
	char *subnet;          /* "192.168.65.0/24" */
	char *bridge;
	char *cgroup;          /* our part of each hierarchy */
	char *vip_cgroup;      /* cgroup2 path under which the machine itself uses VIPs */
	char *data_plane;      /* of every lb; NULL: each chooses by itself */
	char *image_dir;
	char *upstream;        /* FLAG_LIST: resolvers for names that are not ours; none: those of /etc/resolv.conf */
	char *log_level;
	int64_t masters, agents, public_agents;   /* masters 0: as many as the cluster has, 1 for a new one */
	bool detach;
	bool resolv_conf;
	bool isolate;          /* false without root: no namespaces, no VIPs */
};
extern const struct flag up_flags[];
extern const struct flag *const up_flag_tables[];
/* What depends on other flags and on who runs us; makes state_dir absolute. */
int up_fill_defaults(struct up_config *c, struct err *e);
void up_config_free(struct up_config *c);

#define PLAN_MASTERS_MAX 7
#define PLAN_PROCS_MAX 5
#define PLAN_ARGS_MAX 32

enum node_kind { NODE_HOST, NODE_MASTER, NODE_AGENT, NODE_PUBLIC_AGENT };

/* One process of a node, as it will be started. */
struct plan_proc {
	const char *role;                 /* "agent" */
	const char *argv[PLAN_ARGS_MAX];  /* NULL-terminated */
};

struct plan_node {
	enum node_kind kind;
	const char *name;                 /* "m1" "a1" "p1" "host" */
	const char *dir;                  /* its state directory */
	uint32_t ip4;                     /* host byte order */
	const char *ip;
	const char *netns;                /* path of its pinned network namespace; NULL: the caller's */
	const char *veth;                 /* our end of its link */
	const char *url;                  /* a master's Admin Router */
	struct plan_proc procs[PLAN_PROCS_MAX];
	size_t proc_count;
};

struct plan {
	const struct up_config *config;
	struct plan_node *nodes;
	size_t node_count;
	uint32_t net4, bridge4;           /* host byte order */
	int prefix;
	const char *bpf_dir;              /* bpffs of this cluster */
	const struct plan_node *masters;  /* those of `nodes`; the first founds the cluster */
	size_t master_count;
	const char *token_file, *master_token_file;
};

/* Nodes, addresses and command lines. Pure; memory in the arena, strings of config borrowed. E_USAGE, E_INVALID. */
int cluster_plan_make(struct arena *a, const struct up_config *c, struct plan *out, struct err *e);

/* ---- isolation (isolate.c): idempotent, so a cluster that was killed is taken over as it stands ---- */
int isolate_up(const struct plan *p, struct err *e);
/* Everything isolate_up made and everything that still runs inside: processes, cgroups, namespaces, links, routes, bpffs. */
int isolate_down(const struct plan *p, struct err *e);
/* One node's processes and tasks. */
int isolate_kill_node(const struct plan *p, const struct plan_node *n, struct err *e);
/* Files a process of this node writes "0" to, to enter its cgroups; NULL-terminated, in the arena. */
void isolate_cgroup_files(struct arena *a, const struct plan *p, const struct plan_node *n, const char **out, size_t max);
int resolv_conf_point(const struct plan *p, struct err *e);      /* remember the old file, write ours */
int resolv_conf_restore(const struct plan *p, struct err *e);    /* nothing to restore: fine */

/* ---- supervisor (supervise.c) ---- */
struct supervisor;
/* ready: every role is, but for masters that cannot be started while a majority of them can. */
struct supervisor *supervisor_start(struct loop *l, const struct plan *p, void (*ready)(void *arg), void *arg);
/* SIGTERM to all roles, SIGKILL after a grace; done when all are gone. Tasks go on. */
void supervisor_stop(struct supervisor *s, void (*done)(void *arg), void *arg);
/* As supervisor_stop for one node's roles; they are not started again. E_NOTFOUND. */
int supervisor_stop_node(struct supervisor *s, const char *node, struct err *e);
void supervisor_free(struct supervisor *s);
/*
 * {"cluster","url","isolated","ready","total","supervisor_pid","masters":[{"node","ip","url"}…],
 *  "processes":[{"node","role","ip","pid","state","restarts","note","since"}…]}
 */
void supervisor_status(struct supervisor *s, struct buf *out);
/* Waiting for what, as one line for people; "" when all is ready. */
void supervisor_waiting_for(struct supervisor *s, struct buf *out);
size_t supervisor_ready_count(const struct supervisor *s, size_t *out_total);

/* ---- control (control.c): a unix socket in the state directory ---- */
#define CONTROL_SOCKET "control"
struct control_events {
	void (*down)(void *arg);                                             /* end the cluster */
	int (*node_down)(void *arg, const char *node, struct err *e);        /* kill one node */
};
int control_listen(struct loop *l, const char *state_dir, struct supervisor *s, const struct control_events *ev, void *arg,
		   struct http_server **out, struct err *e);
/* Blocking request to it from another process; *out_body heap. E_NOTFOUND: no cluster runs from that directory. */
int control_request(const char *state_dir, enum http_method method, const char *path, char **out_body, struct err *e);
