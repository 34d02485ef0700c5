/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lb role: turns the tasks of this node's view into virtual IPs and keeps the data plane equal to them. The data plane is
 * eBPF where the kernel has it, else the proxy, chosen at start and told to `status`.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

#include "gen/version.h"
#include "net/base/log.h"
#include "net/json.h"
#include "net/pb_util.h"
#include "roles/lb/l4.h"
#include "roles/leader.h"
#include "roles/records_api.h"
#include "roles/records_view.h"
#include "roles/roles.h"
#include "roles/view_reload.h"

struct lb_config {
	struct node_config common;      /* first */
	uint16_t http_port;
	char *pin_dir, *vip_cgroup, *data_plane;
	bool vips;
};

#define AT(field) offsetof(struct lb_config, field)
static const struct flag lb_flags[] = {
	/* name         type         field            default              min max    env                 help */
	{ "http-port",  FLAG_PORT,   AT(http_port),   "62080",             1,  65535, "DCOS_LB_HTTP_PORT", "HTTP API" },
	{ "vips",       FLAG_BOOL,   AT(vips),        "true",              0,  0,     NULL,               "put virtual IPs into effect on this node" },
	{ "pin-dir",    FLAG_STRING, AT(pin_dir),     "/sys/fs/bpf/dcos",  0,  0,     "DCOS_LB_PIN_DIR",  "bpffs directory for what must outlive this process" },
	{ "vip-cgroup", FLAG_STRING, AT(vip_cgroup),  "/",                 0,  0,     "DCOS_LB_VIP_CGROUP", "cgroup2 path whose programs may use virtual IPs" },
	{ "data-plane", FLAG_STRING, AT(data_plane),  NULL,                0,  0,     "DCOS_LB_DATA_PLANE", "eBPF or proxy; chosen by itself when not given" },
	FLAG_END,
};
static const struct flag *const flag_tables[] = { node_flags, lb_flags, NULL };

static const struct l4_type *const planes[] = { &l4_ebpf, &l4_proxy };

struct lb {
	struct node node;
	struct lb_config config;
	struct vips vips;
	struct view_reload reload;
	const struct l4_type *plane;    /* NULL: none */
	struct l4 *l4;
	struct http_routes routes;
	struct http_server *http;
	bool ready;
};

/* ---- the table ---- */

struct load {
	struct vips *vips;
	size_t rows;
};

static bool add_task(void *arg, struct str key, struct str value)
{
	struct load *l = arg;
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct err e = { 0 };
	dcos_ViewName t;
	l->rows++;
	if (pb_read(&a, dcos_ViewName_fields, value, &t, &e) == 0)
		vips_add(l->vips, &t);
	else
		LOG(WARN, "row of the view left out", "task=" STR_FMT " reason=%s", STR_ARG(key), e.text);
	return true;
}

static bool saw_row(void *arg, struct str key, struct str value)
{
	(void)key;
	(void)value;
	*(bool *)arg = true;
	return false;
}

/* known: the view has heard of a master; before that, what a former lb pinned stays as it is. */
static int load(struct lb *lb, struct load *out, bool *known, struct err *e)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	int rc = view_begin(lb->node.view, &txn, e);
	if (rc == 0)
		rc = view_each(txn, dcos_ViewTable_VIEW_MASTER, saw_row, known, e);
	return rc == 0 ? view_each(txn, dcos_ViewTable_VIEW_NAME, add_task, out, e) : rc;
}

static void tell_ready(struct lb *lb)
{
	AUTO_FREE char *note = lb->plane ? xasprintf("VIPs by %s", lb->plane->name) : xstrdup("no VIPs");
	if (lb->ready)
		return;
	lb->ready = true;
	node_ready_note(&lb->node, note);
}

static size_t on_view(struct view_reload *r)
{
	struct lb *lb = container_of(r, struct lb, reload);
	struct vips fresh;
	struct load l = { .vips = &fresh };
	struct err e = { 0 };
	bool known = false;
	vips_init(&fresh);
	int rc = load(lb, &l, &known, &e);
	if (rc != 0 || !known) {
		if (rc != 0)
			LOG(WARN, "cannot read the view, old VIPs stay", "reason=%s", e.text);
		vips_fini(&fresh);
		return l.rows;
	}
	vips_finish(&fresh);
	vips_fini(&lb->vips);
	lb->vips = fresh;
	if (lb->plane && lb->plane->apply(lb->l4, &lb->vips, &e) != 0)
		LOG(ERROR, "virtual IPs are not as they should be", "reason=%s", e.text);
	else
		tell_ready(lb);
	return l.rows;
}

/* ---- HTTP: dcos-net's API ---- */

static const char *ip_text(uint32_t ip4, char out[INET_ADDRSTRLEN])
{
	struct in_addr in = { htonl(ip4) };
	return inet_ntop(AF_INET, &in, out, INET_ADDRSTRLEN);
}

static void get_vips(struct http_req *r)
{
	struct lb *lb = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	char ip[INET_ADDRSTRLEN];
	jw_arr(&w, NULL);
	for (const struct vip *v = lb->vips.first; v; v = v->next) {
		jw_obj(&w, NULL);
		jw_str(&w, "vip", v->name ? arena_printf(&r->arena, "%s.l4lb.thisdcos.directory:%u", v->name, v->port)
					  : arena_printf(&r->arena, "%s:%u", ip_text(v->ip4, ip), v->port));
		jw_str(&w, "protocol", v->udp ? "udp" : "tcp");
		jw_arr(&w, "backend");
		for (const struct vip_backend *b = v->backends; b; b = b->next) {
			jw_obj(&w, NULL);
			jw_str(&w, "ip", ip_text(b->ip4, ip));
			jw_int(&w, "port", b->port);
			jw_end(&w);
		}
		jw_end(&w);
		jw_end(&w);
	}
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void get_version(struct http_req *r)
{
	struct lb *lb = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "Service", "dcos-net");
	jw_str(&w, "Version", DCOS_NODE_VERSION);
	jw_str(&w, "DataPlane", lb->plane ? lb->plane->name : "none");
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

/* Names are read when asked for: this role needs them for nothing else. */
static void reply_names(struct http_req *r, void (*reply)(struct http_req *r, const struct records *rec))
{
	struct lb *lb = r->arg;
	struct records rec;
	struct err e = { 0 };
	if (records_from_view(&lb->node, &rec, &e) != 0) {
		http_reply_err(r, &e);
		return;
	}
	reply(r, &rec);
	records_fini(&rec);
}

static void reply_hosts(struct http_req *r, const struct records *rec) { records_reply_hosts(r, rec, RECORDS_DCOS_NET); }
static void reply_services(struct http_req *r, const struct records *rec) { records_reply_services(r, rec, RECORDS_DCOS_NET); }

static void reply_records(struct http_req *r, const struct records *rec)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_arr(&w, NULL);
	map_each(&rec->names, entry) {
		const struct record_set *set = entry->value;
		for (const struct record *one = set->first; one; one = one->next) {
			jw_obj(&w, NULL);
			jw_str(&w, "name", arena_printf(&r->arena, "%s.", set->name));
			jw_str(&w, "host", record_text(&r->arena, one));
			jw_str(&w, "rtype", one->type == DNS_A ? "A" : "SRV");
			jw_end(&w);
		}
	}
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void get_hosts(struct http_req *r) { reply_names(r, reply_hosts); }
static void get_services(struct http_req *r) { reply_names(r, reply_services); }
static void get_records(struct http_req *r) { reply_names(r, reply_records); }

/* ---- HTTP: nodes ---- */

struct nodes {
	struct jw *w;
	int64_t updated_us;
	int table;
};

static void put_node(struct nodes *n, const char *ip, const char *hostname)
{
	if (!ip)
		return;
	jw_obj(n->w, NULL);
	jw_str(n->w, "private_ip", ip);
	jw_arr(n->w, "public_ips");
	jw_end(n->w);
	jw_str(n->w, "hostname", hostname ? hostname : ip);
	jw_time(n->w, "updated", n->updated_us);
	jw_end(n->w);
}

static bool put_node_row(void *arg, struct str key, struct str value)
{
	struct nodes *n = arg;
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_ViewMaster m;
	dcos_ViewAgent g;
	(void)key;
	if (n->table == dcos_ViewTable_VIEW_MASTER && pb_read(&a, dcos_ViewMaster_fields, value, &m, NULL) == 0)
		put_node(n, m.ip, m.hostname);
	else if (n->table == dcos_ViewTable_VIEW_AGENT && pb_read(&a, dcos_ViewAgent_fields, value, &g, NULL) == 0)
		put_node(n, g.ip, g.info ? g.info->hostname : NULL);
	return true;
}

static int put_nodes(struct lb *lb, struct jw *w, struct err *e)
{
	static const int tables[] = { dcos_ViewTable_VIEW_MASTER, dcos_ViewTable_VIEW_AGENT };
	AUTO_TXN struct kv_txn *txn = NULL;
	int rc = view_begin(lb->node.view, &txn, e);
	for (size_t i = 0; i < ARRAY_LEN(tables) && rc == 0; i++) {
		struct nodes n = { .w = w, .updated_us = loop_unix_us(lb->node.loop), .table = tables[i] };
		rc = view_each(txn, tables[i], put_node_row, &n, e);
	}
	return rc;
}

static void get_nodes(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	struct err e = { 0 };
	jw_arr(&w, NULL);
	int rc = put_nodes(r->arg, &w, &e);
	jw_end(&w);
	if (rc == 0)
		http_reply_json(r, 200, &out);
	else
		http_reply_err(r, &e);
}

static const struct route lb_routes[] = {
	/* method path                    handler       permission body help */
	{ GET, "/v1/vips",                get_vips,     NULL,      0,   "Virtual IPs and their backends" },
	{ GET, "/v1/hosts/{host}",        get_hosts,    NULL,      0,   "Addresses of a name" },
	{ GET, "/v1/services/{service}",  get_services, NULL,      0,   "SRV records of a name, with addresses" },
	{ GET, "/v1/records",             get_records,  NULL,      0,   "All names of the cluster" },
	{ GET, "/v1/nodes",               get_nodes,    NULL,      0,   "Nodes of the cluster" },
	{ GET, "/v1/version",             get_version,  NULL,      0,   "Service, version, data plane" },
	ROUTE_END,
};

/* ---- start ---- */

/* The directory of a cgroup2 path: /sys/fs/cgroup/unified where v1 has the controllers, /sys/fs/cgroup where v2 has. */
static char *cgroup_dir(const char *path)
{
	const char *root = access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
	return xasprintf("%s%s", root, strcmp(path, "/") == 0 ? "" : path);
}

static int open_plane(struct lb *lb, struct err *e)
{
	AUTO_FREE char *dir = cgroup_dir(lb->config.vip_cgroup);
	struct l4_config c = { .cgroup_dir = dir, .pin_dir = lb->config.pin_dir };
	const char *want = lb->config.data_plane;
	for (size_t i = 0; i < ARRAY_LEN(planes); i++) {
		if (want && strcasecmp(want, planes[i]->name) != 0)
			continue;
		int rc = planes[i]->open(lb->node.loop, &c, &lb->l4, e);
		if (rc == 0) {
			lb->plane = planes[i];
			LOG(INFO, "data plane", "type=%s cgroup=%s", lb->plane->name, dir);
			return 0;
		}
		if (rc != E_UNSUPPORTED || want)
			return rc;
		LOG(WARN, "data plane not usable", "type=%s reason=%s", planes[i]->name, e->text);
	}
	return want ? err_set(e, E_USAGE, "--data-plane wants eBPF or proxy, not '%s'", want) : 0;
}

static int start(struct lb *lb, struct err *e)
{
	struct sock_addr a;
	vips_init(&lb->vips);
	int rc = node_open_view(&lb->node, e);
	if (rc == 0 && lb->config.vips)
		rc = open_plane(lb, e);
	if (rc == 0)
		rc = sock_addr_parse(&a, lb->node.ip, lb->config.http_port, e);
	http_routes_add(&lb->routes, lb_routes, lb);
	if (rc == 0)
		rc = http_listen(lb->node.loop, &a, NULL, &lb->routes, &lb->http, e);
	if (rc != 0)
		return rc;
	view_reload_start(lb->node.loop, lb->node.view, &lb->reload, on_view);
	if (node_master_count(&lb->node) > 0)
		view_follower_start(&lb->node);
	return 0;
}

static void stop(struct lb *lb)
{
	view_reload_stop(&lb->reload);
	view_follower_stop(&lb->node);
	http_server_free(lb->http);
	if (lb->plane)
		lb->plane->close(lb->l4);
	vips_fini(&lb->vips);
}

int lb_main(int argc, char **argv)
{
	struct lb *lb = xcalloc(1, sizeof(*lb));
	struct err e = { 0 };
	int code;
	if (node_init(&lb->node, "lb", flag_tables, &lb->config, argc, argv,
		      "Balances virtual IPs over the tasks that announce them, for the programs of this node.", &code)) {
		if (start(lb, &e) != 0)
			exit(node_die("lb", &e));
		code = node_run(&lb->node);
		stop(lb);
		node_fini(&lb->node);
	}
	flag_free(flag_tables, &lb->config);
	free(lb);
	return code;
}
