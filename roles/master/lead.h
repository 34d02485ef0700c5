/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who leads, as this master knows it, and following it: a master that does not lead keeps the whole of the leader's view and
 * sends on what only the leader can answer. Requests that come while nobody leads may wait a moment here.
 */
#pragma once

#include "net/http.h"
#include "roles/master/master.h"

struct lead;

/* The leading master, maybe this one. Strings live until the loop's turn ends. */
struct lead_facts {
	bool self;
	const char *ip, *hostname, *id;
	uint16_t rpc_port, mesos_port, marathon_port, adminrouter_port;
};

struct lead *lead_new(struct master *m);
void lead_free(struct lead *l);
/* The store can be read and identity is there: begin to follow, unless this master leads already. */
void lead_start(struct lead *l);
/* From store_on_role, before (leads: after) the subsystems hear of it. */
void lead_set(struct lead *l, bool leads);
/* The store says that the master there leads. */
void lead_changed(struct lead *l, const struct sock_addr *to);

/* There are other masters than before: those who follow the leader hear where. */
void lead_masters_changed(struct lead *l);

/* False: nobody is known to lead. */
bool lead_now(const struct lead *l, struct lead_facts *out);
/* The connection to it; NULL: there is none, or it is this master. */
struct rpc_peer *lead_peer(const struct lead *l);
/* Hold r until somebody is known to lead: then fn(r); or for LEAD_WAIT_US: then late(r). r->user is ours meanwhile. */
#define LEAD_WAIT_US (2500 * MSEC)           /* Marathon's ten looks */
void lead_wait(struct lead *l, struct http_req *r, void (*fn)(struct http_req *r), void (*late)(struct http_req *r));
/*
 * Send r to a service of the leader, another master, as lead_now said. When that one dies in the middle, what can be repeated
 * without harm is sent to the next one: then, if that is us, `local`; if there is none in time, `late`.
 * path_and_query, headers (as in struct proxy_spec) and their strings: in r's arena.
 */
struct lead_service {
	enum { LEAD_MESOS, LEAD_MARATHON } port;
	const char *path_and_query;
	const char *const *headers;
	void (*local)(struct http_req *r), (*late)(struct http_req *r);
};
void lead_proxy(struct lead *l, struct http_req *r, const struct lead_service *to);

/* RPC: WHO_LEADS, and the end of a connection. */
void lead_serve(struct lead *l, struct rpc_peer *p, struct rpc_req *req, struct str payload);
void lead_peer_closed(struct lead *l, const struct rpc_peer *p);
