/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row a path. Rows whose service lives in this process re-dispatch into its route table with the prefix taken off;
 * agents and the name server are proxied to. Paths and answers: nginx.master.conf of DC/OS 1.13.
 */
#include "roles/master/adminrouter/adminrouter.h"

#include <stdio.h>

#include "gen/version.h"
#include "net/json.h"
#include "roles/master/lead.h"
#include "roles/master/marathon/marathon.h"
#include "roles/master/mesos/mesos.h"
#include "roles/master/quorum.h"

#define MESOS_DNS_PORT 8123
#define NET_PORT 62080
#define EXHIBITOR_DOWN 1
#define EXHIBITOR_NOT_SERVING 2
#define EXHIBITOR_SERVING 3
#define FORWARDED "DCOS-Forwarded"     /* on what one master sends to another */

struct adminrouter {
	struct master *master;
	struct http_routes mesos, marathon;
};

struct adminrouter *adminrouter_new(struct master *m)
{
	struct adminrouter *ar = xcalloc(1, sizeof(*ar));
	ar->master = m;
	http_routes_add(&ar->mesos, mesos_routes, m->mesos);
	marathon_routes_add(&ar->marathon, m->marathon);
	return ar;
}

void adminrouter_free(struct adminrouter *ar) { free(ar); }

/* The path behind the prefix, always beginning with '/'. */
static struct str rest_path(struct http_req *r, struct str rest)
{
	return str_of(arena_printf(&r->arena, "/" STR_FMT, STR_ARG(rest)));
}

static void serve_below(struct http_req *r, const struct http_routes *routes)
{
	r->path = rest_path(r, r->params[0]);
	http_routes_serve(routes, r);
}

/* Raw rest of the target after `segments` path segments: what a proxied service sees, percent-coding untouched. */
static const char *raw_rest(struct http_req *r, int segments)
{
	struct str t = r->target;
	size_t at = 0;
	for (int i = 0; i < segments && at < t.len && t.p[at] != '?'; i++)
		for (at++; at < t.len && t.p[at] != '/' && t.p[at] != '?'; at++)
			;
	struct str rest = str_from(t, at);
	const char *slash = rest.len > 0 && rest.p[0] == '/' ? "" : "/";
	return arena_printf(&r->arena, "%s" STR_FMT, slash, STR_ARG(rest));
}

static void no_mesos_leader(struct http_req *r)
{
	http_set_header(r, "Retry-After", "1");
	http_reply_text(r, 503, "503 Service Unavailable: mesos leader is unknown.");
}

/* To the leader's, as DC/OS' does by the name leader.mesos; who comes in the middle of an election waits for its end. */
static void to_mesos(struct http_req *r)
{
	struct adminrouter *ar = r->arg;
	struct lead *lead = ar->master->lead;
	struct lead_facts f;
	if (!lead_now(lead, &f)) {
		lead_wait(lead, r, to_mesos, no_mesos_leader);
	} else if (f.self) {
		serve_below(r, &ar->mesos);
	} else if (str_eq(http_req_header(r, FORWARDED), STR("true"))) {
		no_mesos_leader(r);          /* each of us believes that the other leads */
	} else {
		static const char *const headers[] = { FORWARDED ": true", NULL };
		struct lead_service to = { LEAD_MESOS, raw_rest(r, 1), headers, to_mesos, no_mesos_leader };
		lead_proxy(lead, r, &to);
	}
}

static void to_marathon(struct http_req *r)
{
	struct adminrouter *ar = r->arg;
	serve_below(r, &ar->marathon);
}

/* /mesos -> /mesos/, query kept; the Location is relative, as Admin Router's are. */
static void add_slash(struct http_req *r)
{
	const char *to = r->query.len > 0 ? arena_printf(&r->arena, STR_FMT "/?" STR_FMT, STR_ARG(r->path), STR_ARG(r->query))
					  : arena_printf(&r->arena, STR_FMT "/", STR_ARG(r->path));
	http_redirect(r, str_eq(r->path, STR("/marathon")) ? 307 : 301, to);
}

static void to_agent(struct http_req *r)
{
	struct adminrouter *ar = r->arg;
	struct sock_addr to;
	char id[128];
	if (!str_put(id, sizeof(id), r->params[0]) || !mesos_agent_addr(ar->master->mesos, id, &to)) {
		http_reply_text(r, 404, "404 Not Found: agent `" STR_FMT "` unknown.", STR_ARG(r->params[0]));
		return;
	}
	struct proxy_spec spec = { .to = &to, .path_and_query = raw_rest(r, 2) };
	http_proxy(r, &spec);
}

static void to_local(struct http_req *r, uint16_t port)
{
	struct adminrouter *ar = r->arg;
	struct sock_addr to;
	struct err e = { 0 };
	if (sock_addr_parse(&to, ar->master->node.ip, port, &e) != 0) {
		http_reply_err(r, &e);
		return;
	}
	struct proxy_spec spec = { .to = &to, .path_and_query = raw_rest(r, 1) };
	http_proxy(r, &spec);
}

static void to_mesos_dns(struct http_req *r) { to_local(r, MESOS_DNS_PORT); }
static void to_net(struct http_req *r) { to_local(r, NET_PORT); }

static void dcos_version(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "version", "1.13.0");            /* what clients that ask may rely on */
	jw_str(&w, "dcos-variant", "open");
	jw_str(&w, "dcos-image-commit", DCOS_NODE_VERSION);
	jw_str(&w, "bootstrap-id", DCOS_NODE_VERSION);
	jw_end(&w);
	http_set_header(r, "Cache-Control", "no-cache");
	http_reply_json(r, 200, &out);
}

/* Section 7 of the reference: who this cluster is, seen from this master. */
static void metadata(struct http_req *r)
{
	struct adminrouter *ar = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "PUBLIC_IPV4", ar->master->node.ip);
	jw_str(&w, "CLUSTER_ID", store_cluster_id(ar->master->store));
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

/* Exhibitor's list of the ensemble, which programs of DC/OS ask for the number of masters; `voter` is ours. */
static void ensemble_status(struct http_req *r)
{
	struct adminrouter *ar = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct quorum_master all[STORE_MEMBERS_MAX];
	size_t count = quorum_masters(ar->master->quorum, all);
	bool led = false;
	for (size_t i = 0; i < count; i++)
		led = led || all[i].leads;
	struct jw w = jw_start(&out);
	jw_arr(&w, NULL);
	for (size_t i = 0; i < count; i++) {
		int code = !all[i].connected ? EXHIBITOR_DOWN : led ? EXHIBITOR_SERVING : EXHIBITOR_NOT_SERVING;
		jw_obj(&w, NULL);
		jw_int(&w, "code", code);
		jw_str(&w, "description", code == EXHIBITOR_DOWN ? "down" : code == EXHIBITOR_SERVING ? "serving" : "not serving");
		jw_str(&w, "hostname", all[i].host);
		jw_bool(&w, "isLeader", all[i].leads);
		jw_bool(&w, "voter", all[i].voter);
		jw_end(&w);
	}
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void root(struct http_req *r)
{
	struct adminrouter *ar = r->arg;
	http_reply_text(r, 200, "dcos-node %s, cluster %s\n\n  /mesos/     Mesos\n  /marathon/  Marathon\n"
		"  /agent/ID/  an agent's API\n  /mesos_dns/ names\n  /net/       virtual IPs\n", DCOS_NODE_VERSION,
		ar->master->node.config->cluster);
}

#define ANY_METHOD (GET | POST | PUT | DELETE | PATCH | OPTIONS)
const struct route adminrouter_routes[] = {
	/* method     path                                 handler       permission                             body max              help */
	{ GET,        "/",                                 root,         NULL,                                  0,                    "What is here" },
	{ GET,        "/mesos",                            add_slash,    NULL,                                  0,                    "To /mesos/" },
	{ ANY_METHOD, "/mesos/{*rest}",                    to_mesos,     "dcos:adminrouter:ops:mesos",          HTTP_BODY_STREAM,     "Mesos master" },
	{ GET,        "/marathon",                         add_slash,    NULL,                                  0,                    "To /marathon/" },
	{ ANY_METHOD, "/marathon/{*rest}",                 to_marathon,  "dcos:adminrouter:service:marathon",   HTTP_BODY_STREAM,     "Marathon, old path" },
	{ GET,        "/service/marathon",                 add_slash,    NULL,                                  0,                    "To /service/marathon/" },
	{ ANY_METHOD, "/service/marathon/{*rest}",         to_marathon,  "dcos:adminrouter:service:marathon",   HTTP_BODY_STREAM,     "Marathon" },
	{ ANY_METHOD, "/agent/{id}/{*rest}",               to_agent,     "dcos:adminrouter:ops:slave",          HTTP_BODY_STREAM,     "An agent's API" },
	{ ANY_METHOD, "/slave/{id}/{*rest}",               to_agent,     "dcos:adminrouter:ops:slave",          HTTP_BODY_STREAM,     "An agent's API, old path" },
	{ GET,        "/mesos_dns",                        add_slash,    NULL,                                  0,                    "To /mesos_dns/" },
	{ ANY_METHOD, "/mesos_dns/{*rest}",                to_mesos_dns, "dcos:adminrouter:ops:mesos-dns",      HTTP_BODY_STREAM,     "Mesos-DNS" },
	{ GET,        "/net",                              add_slash,    NULL,                                  0,                    "To /net/" },
	{ ANY_METHOD, "/net/{*rest}",                      to_net,       "dcos:adminrouter:ops:net",            HTTP_BODY_STREAM,     "Names and virtual IPs" },
	{ GET,        "/exhibitor/exhibitor/v1/cluster/status", ensemble_status, NULL,                             0,                    "The masters, and which one leads" },
	{ GET,        "/dcos-metadata/dcos-version.json",  dcos_version, NULL,                                  0,                    "Version of the cluster" },
	{ GET,        "/metadata",                         metadata,     "dcos:adminrouter:ops:metadata",       0,                    "Address and cluster id" },
	ROUTE_END,
};
