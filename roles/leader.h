/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follow the leading master: keeps one RPC connection to it, over failures and moves, with backoff and jitter.
 * Also subscribes the node's view over that connection when this process is the view's writer (node->view open and lock free).
 */
#pragma once

#include "net/rpc.h"
#include "proto/cluster.pb.h"
#include "roles/node.h"

struct leader;

struct leader_events {
	void (*up)(void *arg, struct rpc_peer *p);      /* connected to a master that leads */
	void (*down)(void *arg);                        /* connection lost; reconnecting by itself */
};

/* methods: what we answer on that connection (agents: TASK_LAUNCH …). VIEW_DELTA is handled here. Needs node->identity. */
struct leader *leader_start(struct node *n, const struct rpc_method *methods, size_t count, const struct leader_events *ev, void *arg);
/* A master that does not lead: follows for the whole view, and does not dial `own`, its own RPC address. */
struct leader *leader_start_master(struct node *n, const struct sock_addr *own, const struct leader_events *ev, void *arg);
/* That one leads, says who knows: follow it at once. */
void leader_point(struct leader *l, const struct sock_addr *to);
/* What the leader said of itself, until it is no longer followed; NULL while there is none. */
const dcos_Leader *leader_facts(const struct leader *l);
void leader_stop(struct leader *l);                     /* NULL ok */
struct rpc_peer *leader_peer(struct leader *l);         /* NULL while there is none */
void *leader_arg(struct rpc_peer *p);                   /* the arg above, inside a method's fn */

/*
 * For roles that only read the view (dns, lb): join the cluster and follow the leader as soon as, and as long as, no other process
 * of this node writes the view. Masters' nodes need it not: there the master writes; start it only when --masters is given.
 * Needs node->view.
 */
void view_follower_start(struct node *n);
void view_follower_stop(struct node *n);                /* never started: fine */
