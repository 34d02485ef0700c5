/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master role: opens the store, the cluster RPC and the HTTP listeners, and tells its subsystems when this master leads.
 * What a subsystem does stands in its folder.
 */
#include "roles/master/master.h"

#include <stdio.h>

#include "net/base/log.h"
#include "net/limits.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "roles/master/adminrouter/adminrouter.h"
#include "roles/master/backup.h"
#include "roles/master/lead.h"
#include "roles/master/marathon/marathon.h"
#include "roles/master/mesos/mesos.h"
#include "roles/master/restore.h"
#include "roles/roles.h"

#define AT(field) offsetof(struct master_config, field)
static const struct flag master_flags[] = {
	/* name                       type           field                        default   min  max    env                                help */
	{ "port",                     FLAG_PORT,     AT(mesos_port),              "5050",   1,   65535, "MESOS_PORT",                      "Mesos API" },
	{ "marathon-port",            FLAG_PORT,     AT(marathon_port),           "8080",   1,   65535, "DCOS_MARATHON_PORT",              "Marathon API" },
	{ "adminrouter-port",         FLAG_PORT,     AT(adminrouter_port),        "80",     1,   65535, "DCOS_ADMINROUTER_PORT",           "Admin Router, the front door" },
	{ "rpc-port",                 FLAG_PORT,     AT(rpc_port),                "5060",   1,   65535, "DCOS_RPC_PORT",                   "cluster RPC (mutual TLS)" },
	{ "agent-ping-timeout",       FLAG_DURATION, AT(agent_ping_timeout_us),   "15secs", SEC, HOUR,  "MESOS_AGENT_PING_TIMEOUT",        "an agent answers a ping within this" },
	{ "max-agent-ping-timeouts",  FLAG_INT,      AT(max_agent_ping_timeouts), "20",     1,   1000,  "MESOS_MAX_AGENT_PING_TIMEOUTS",   "missed pings until an agent is unreachable" },
	{ "agent-reregister-rate",    FLAG_INT,      AT(agent_reregister_rate),   "1000",   1,   1000000, "DCOS_AGENT_REREGISTER_RATE",    "agents a second that a new leader takes back" },
	{ "offer-timeout",            FLAG_DURATION, AT(offer_timeout_us),        "2mins",  SEC, DAY,   "MESOS_OFFER_TIMEOUT",             "an offer that is neither accepted nor declined is rescinded" },
	FLAG_END,
};
static const struct flag *const flag_tables[] = { node_flags, master_flags, NULL };

#define METHODS_MAX 32

struct listeners {
	struct http_routes mesos_routes, marathon_routes, adminrouter_routes;
	struct http_server *mesos, *marathon, *adminrouter;
	struct rpc_method methods[METHODS_MAX];
	struct rpc_handlers handlers;
	struct rpc_server *rpc;
};

/* ---- RPC that is nobody's in particular ---- */

static void on_join(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct master *m = rpc_peer_arg(p);
	AUTO_ARENA struct arena a = { .max = 4 * LIMIT_RPC_ANONYMOUS_BYTES };
	dcos_JoinRequest in = { 0 };
	struct err e = { 0 };
	if (!req)
		return;
	if (pb_read(&a, dcos_JoinRequest_fields, payload, &in, &e) != 0)
		identity_refuse_join(req, p, &in, &e);
	else
		identity_serve_join(&m->node, p, req, &in);
}

static void on_view_subscribe(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct master *m = rpc_peer_arg(p);
	view_serve(m->node.view, p, req, payload);
}

static void on_who_leads(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct master *m = rpc_peer_arg(p);
	lead_serve(m->lead, p, req, payload);
}

static const struct rpc_method master_methods[] = {
	{ dcos_Method_JOIN,           "join",           on_join,           true },
	{ dcos_Method_VIEW_SUBSCRIBE, "view-subscribe", on_view_subscribe, false },
	{ dcos_Method_WHO_LEADS,      "who-leads",      on_who_leads,      false },
	{ dcos_Method_BACKUP,         "backup",         backups_serve,     false },
};

static void on_rpc_closed(struct rpc_peer *p, const struct err *e)
{
	struct master *m = rpc_peer_arg(p);
	(void)e;
	view_serve_closed(m->node.view, p);
	lead_peer_closed(m->lead, p);
	mesos_agent_gone(m->mesos, p);
	backups_gone(m->backups, p);
}

/* ---- leading ---- */

static void on_role(void *arg, bool leads)
{
	struct master *m = arg;
	if (m->leads == leads)
		return;
	m->leads = leads;
	LOG(INFO, leads ? "leading" : "no longer leading", "master=%s ip=%s term=%llu", m->id, m->node.ip,
	    (unsigned long long)store_term(m->store));
	if (leads) {
		m->elected_unix_us = loop_unix_us(m->node.loop);
		view_new_term(m->node.view, store_term(m->store));
	}
	if (!leads)
		marathon_lead(m->marathon, false);
	mesos_lead(m->mesos, leads);
	if (leads)
		marathon_lead(m->marathon, true);
	lead_set(m->lead, leads);      /* last: who was held finds the subsystems ready */
	if (leads)
		node_ready(&m->node);
}

/* ---- start ---- */

static int open_store(struct master *m, struct err *e)
{
	AUTO_FREE char *dir = node_path(&m->node, "master");
	struct store_config c = { .dir = dir, .address = m->node.identity.name };
	int rc = node_mkdirs(dir, 0700, e);
	return rc != 0 ? rc : store_open(m->node.loop, &c, &m->store, e);
}

static int listen_http(struct master *m, uint16_t port, const struct http_routes *routes, struct http_server **out, struct err *e)
{
	struct sock_addr a;
	int rc = sock_addr_parse(&a, m->node.config->ip ? m->node.ip : "0.0.0.0", port, e);
	return rc != 0 ? rc : http_listen(m->node.loop, &a, NULL, routes, out, e);
}

static int listen_rpc(struct master *m, struct listeners *ls, struct err *e)
{
	struct sock_addr a;
	size_t own = ARRAY_LEN(master_methods);
	assert(own + mesos_rpc_method_count <= METHODS_MAX);
	memcpy(ls->methods, master_methods, sizeof(master_methods));
	memcpy(ls->methods + own, mesos_rpc_methods, mesos_rpc_method_count * sizeof(*mesos_rpc_methods));
	ls->handlers = (struct rpc_handlers){
		.methods = ls->methods, .count = own + mesos_rpc_method_count, .closed = on_rpc_closed,
	};
	int rc = sock_addr_parse(&a, m->node.ip, m->config.rpc_port, e);
	return rc != 0 ? rc : rpc_listen(m->node.loop, &a, m->node.identity.server, &ls->handlers, m, &ls->rpc, e);
}

static int listen_all(struct master *m, struct listeners *ls, struct err *e)
{
	http_routes_add(&ls->mesos_routes, mesos_routes, m->mesos);
	marathon_routes_add(&ls->marathon_routes, m->marathon);
	http_routes_add(&ls->adminrouter_routes, adminrouter_routes, m->adminrouter);
	int rc = listen_http(m, m->config.mesos_port, &ls->mesos_routes, &ls->mesos, e);
	if (rc == 0)
		rc = listen_http(m, m->config.marathon_port, &ls->marathon_routes, &ls->marathon, e);
	if (rc == 0)
		rc = listen_http(m, m->config.adminrouter_port, &ls->adminrouter_routes, &ls->adminrouter, e);
	return rc == 0 ? listen_rpc(m, ls, e) : rc;
}

static int start(struct master *m, struct listeners *ls, struct err *e)
{
	int rc = restore_check(&m->node, e);
	if (rc == 0)
		rc = identity_master(&m->node, e);
	if (rc == 0)
		rc = node_open_view(&m->node, e);
	if (rc == 0)
		rc = view_claim(m->node.view, e);
	if (rc == 0)
		rc = open_store(m, e);
	if (rc != 0)
		return rc;
	rnd_uuid4(m->id);
	m->lead = lead_new(m);
	m->mesos = mesos_new(m);
	m->marathon = marathon_new(m);
	m->adminrouter = adminrouter_new(m);
	m->backups = backups_new(m);
	store_on_role(m->store, on_role, m);
	rc = listen_all(m, ls, e);
	if (rc == 0)
		rc = store_start(m->store, e);
	if (rc == 0)
		lead_start(m->lead);
	return rc;
}

static void stop(struct master *m, struct listeners *ls)
{
	marathon_lead(m->marathon, false);
	mesos_lead(m->mesos, false);
	http_server_free(ls->adminrouter);
	http_server_free(ls->marathon);
	http_server_free(ls->mesos);
	rpc_server_free(ls->rpc);
	lead_free(m->lead);
	backups_free(m->backups);
	adminrouter_free(m->adminrouter);
	marathon_free(m->marathon);
	mesos_free(m->mesos);
	store_close(m->store);
}

int master_main(int argc, char **argv)
{
	struct master *m = xcalloc(1, sizeof(*m));
	struct listeners *ls = xcalloc(1, sizeof(*ls));
	struct err e = { 0 };
	int code;
	if (!node_init(&m->node, "master", flag_tables, &m->config, argc, argv,
		       "Schedules tasks, keeps the cluster's state and serves its APIs.", &code)) {
		flag_free(flag_tables, &m->config);
		free(ls);
		free(m);
		return code;
	}
	if (start(m, ls, &e) != 0) {
		code = node_die("master", &e);
		exit(code);    /* half-started subsystems: the kernel cleans up better than we could */
	}
	code = node_run(&m->node);
	stop(m, ls);
	node_fini(&m->node);
	flag_free(flag_tables, &m->config);
	free(ls);
	free(m);
	return code;
}
