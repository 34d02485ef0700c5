/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master role: opens the store, the cluster RPC and the HTTP listeners, and tells its subsystems when this master leads.
 * What a subsystem does stands in its folder.
 */
#include "roles/master/master.h"

#include <stdio.h>

#include "net/base/log.h"
#include "proto/cluster.pb.h"
#include "roles/master/adminrouter/adminrouter.h"
#include "roles/master/backup.h"
#include "roles/master/lead.h"
#include "roles/master/kv/keyval.h"
#include "roles/master/marathon/marathon.h"
#include "roles/master/mesos/mesos.h"
#include "roles/master/restore.h"
#include "roles/master/quorum.h"
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
	quorum_peer_closed(m->quorum, p);
	mesos_agent_gone(m->mesos, p);
	backups_gone(m->backups, p);
	keyval_peer_gone(m->keyval, p);
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
	keyval_lead(m->keyval, leads);
	lead_set(m->lead, leads);      /* last: who was held finds the subsystems ready */
	if (leads)
		node_ready(&m->node);
}

/* ---- start ---- */

static int open_store(struct master *m, struct err *e)
{
	AUTO_FREE char *dir = node_path(&m->node, "master");
	struct store_config c = { .dir = dir, .address = m->node.identity.fingerprint, .join = !identity_founds(&m->node),
				  .net = quorum_net(m->quorum) };
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
	size_t mesos = own + mesos_rpc_method_count, quorum = mesos + quorum_rpc_method_count, count = quorum + keyval_rpc_method_count;
	assert(count <= METHODS_MAX);
	memcpy(ls->methods, master_methods, sizeof(master_methods));
	memcpy(ls->methods + own, mesos_rpc_methods, mesos_rpc_method_count * sizeof(*mesos_rpc_methods));
	memcpy(ls->methods + mesos, quorum_rpc_methods, quorum_rpc_method_count * sizeof(*quorum_rpc_methods));
	memcpy(ls->methods + quorum, keyval_rpc_methods, keyval_rpc_method_count * sizeof(*keyval_rpc_methods));
	ls->handlers = (struct rpc_handlers){
		.methods = ls->methods, .count = count, .closed = on_rpc_closed, .refused = quorum_peer_refused,
	};
	int rc = sock_addr_parse(&a, m->node.ip, m->config.rpc_port, e);
	return rc != 0 ? rc : rpc_listen(m->node.loop, &a, m->node.identity.server, &ls->handlers, m, &ls->rpc, e);
}

static int listen_all(struct master *m, struct listeners *ls, struct err *e)
{
	http_routes_add(&ls->mesos_routes, mesos_routes, m->mesos);
	http_routes_add(&ls->mesos_routes, keyval_routes, m->keyval);
	marathon_routes_add(&ls->marathon_routes, m->marathon);
	http_routes_add(&ls->adminrouter_routes, adminrouter_routes, m->adminrouter);
	http_routes_add(&ls->adminrouter_routes, keyval_routes, m->keyval);
	int rc = listen_http(m, m->config.mesos_port, &ls->mesos_routes, &ls->mesos, e);
	if (rc == 0)
		rc = listen_http(m, m->config.marathon_port, &ls->marathon_routes, &ls->marathon, e);
	if (rc == 0)
		rc = listen_http(m, m->config.adminrouter_port, &ls->adminrouter_routes, &ls->adminrouter, e);
	return rc == 0 ? listen_rpc(m, ls, e) : rc;
}

/* Ends the process, or begins it anew: a state that cannot be trusted is fetched from the other masters, if there are any. */
static int start_store(struct master *m, struct err *e)
{
	AUTO_FREE char *dir = node_path(&m->node, "master");
	int rc = store_start(m->store, e);
	if (rc == E_CORRUPT) {
		store_close(MOVE(m->store));
		rc = quorum_forget(m, dir, e);
		if (rc == 0 && execv("/proc/self/exe", m->argv) != 0)
			rc = err_sys(e, "start again");
	}
	if (rc == 0)
		identity_founded(&m->node);
	return rc;
}

static int start(struct master *m, struct listeners *ls, struct err *e)
{
	int rc = node_open_view(&m->node, e);
	if (rc == 0)
		rc = view_claim(m->node.view, e);
	rnd_uuid4(m->id);
	m->quorum = quorum_new(m);
	if (rc == 0)
		rc = open_store(m, e);
	if (rc != 0)
		return rc;
	quorum_attach(m->quorum);
	m->lead = lead_new(m);
	m->mesos = mesos_new(m);
	m->marathon = marathon_new(m);
	m->keyval = keyval_new(m);
	m->adminrouter = adminrouter_new(m);
	m->backups = backups_new(m);
	store_on_role(m->store, on_role, m);
	rc = listen_all(m, ls, e);
	if (rc == 0)
		rc = start_store(m, e);
	if (rc == 0) {
		quorum_start(m->quorum);
		lead_start(m->lead);
	}
	return rc;
}

/* ---- who we are, first ---- */

static void start_or_die(struct master *m)
{
	struct err e = { 0 };
	if (start(m, m->listeners, &e) != 0)
		exit(node_die("master", &e));    /* half-started subsystems: the kernel cleans up better than we could */
}

static void on_joined(struct node *n)
{
	struct master *m = container_of(n, struct master, node);
	LOG(INFO, "joined", "node=%s key=%s", n->name, n->identity.fingerprint);
	start_or_die(m);
}

/* Addresses of others and no certificate: founding a second cluster beside theirs would be the worst of mistakes. */
static int check_founds(struct master *m, struct err *e)
{
	struct sock_addr a;
	char host[SOCK_ADDR_TEXT];
	for (size_t i = 0; i < node_master_count(&m->node); i++) {
		int rc = node_master_addr(&m->node, i, &a, e);
		if (rc != 0)
			return rc;
		sock_addr_host(&a, host);
		if (strcmp(host, m->node.ip) != 0 || sock_addr_port(&a) != m->config.rpc_port)
			return err_set(e, E_USAGE, "this master belongs to no cluster yet: give --join TOKEN-FILE HOST to join that of %s, or "
				       "leave --masters out to found a new one", host);
	}
	return 0;
}

static void begin(struct master *m)
{
	struct err e = { 0 };
	bool member = identity_exists(&m->node);
	int rc = restore_check(&m->node, &e);
	if (rc == 0 && !member && m->config.common.join_token_file) {
		identity_start_master(&m->node, on_joined);
		return;
	}
	if (rc == 0 && !member)
		rc = check_founds(m, &e);
	if (rc == 0)
		rc = identity_master(&m->node, &e);
	if (rc != 0)
		exit(node_die("master", &e));
	start_or_die(m);
}

static void stop(struct master *m, struct listeners *ls)
{
	if (!m->store)
		return;                          /* still joining */
	marathon_lead(m->marathon, false);
	mesos_lead(m->mesos, false);
	http_server_free(ls->adminrouter);
	http_server_free(ls->marathon);
	http_server_free(ls->mesos);
	rpc_server_free(ls->rpc);
	lead_free(m->lead);
	backups_free(m->backups);
	adminrouter_free(m->adminrouter);
	keyval_free(m->keyval);
	marathon_free(m->marathon);
	mesos_free(m->mesos);
	store_close(m->store);
	quorum_free(m->quorum);
}

/*
 * "--join TOKEN-FILE HOST…" in the words of the flags: --join-token-file=TOKEN-FILE --masters=HOST… The words are the new
 * array's, which lives as long as the process.
 */
static char **expand_join(int *argc, char **argv)
{
	char **out = xcalloc((size_t)*argc + 1, sizeof(*out));
	int n = 0;
	for (int i = 0; i < *argc; i++) {
		if (strcmp(argv[i], "--join") != 0 || i + 1 >= *argc) {
			out[n++] = argv[i];
			continue;
		}
		out[n++] = xasprintf("--join-token-file=%s", argv[++i]);
		while (i + 1 < *argc && argv[i + 1][0] != '-')
			out[n++] = xasprintf("--masters=%s", argv[++i]);
	}
	*argc = n;
	return out;
}

int master_main(int argc, char **argv)
{
	AUTO_BUF struct buf intro = BUF_INIT;
	int code;
	if (quorum_command(argc, argv, &code))
		return code;
	struct master *m = xcalloc(1, sizeof(*m));
	struct listeners *ls = xcalloc(1, sizeof(*ls));
	m->argv = argv;
	m->listeners = ls;
	argv = expand_join(&argc, argv);
	buf_puts(&intro, "Schedules tasks, keeps the cluster's state and serves its APIs. The first master makes a cluster; a further one\n"
		 "joins it with --join TOKEN-FILE HOST (the same as --join-token-file TOKEN-FILE --masters HOST).\n\n");
	quorum_command_help(&intro);
	if (!node_init(&m->node, "master", flag_tables, &m->config, argc, argv, buf_cstr(&intro), &code)) {
		flag_free(flag_tables, &m->config);
		free(ls);
		free(m);
		return code;
	}
	begin(m);
	code = node_run(&m->node);
	stop(m, ls);
	node_fini(&m->node);
	flag_free(flag_tables, &m->config);
	free(ls);
	free(m);
	return code;
}
