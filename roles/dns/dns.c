/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dns role: answers for the zones of the cluster from this node's view, forwards the rest. UDP and TCP on port 53 of
 * 198.51.100.1 to .3 (Spartan's place) or where --listen says; on masters also on their own address, where programs outside
 * the cluster ask, on 61053, and Mesos-DNS' HTTP API on 8123.
 */
#include "net/base/log.h"
#include "net/netlink.h"
#include "roles/dns/dns.h"
#include "roles/dns/forward.h"
#include "roles/leader.h"
#include "roles/records_view.h"
#include "roles/roles.h"

#define AT(field) offsetof(struct dns_config, field)
static const struct flag dns_flags[] = {
	/* name             type        field               default min  max    env                      help */
	{ "port",           FLAG_PORT,  AT(port),           "53",   1,   65535, "DCOS_DNS_PORT",         "UDP and TCP port" },
	{ "listen",         FLAG_LIST,  AT(listen),         NULL,   0,   0,     "DCOS_DNS_LISTEN",       "address to answer on; repeatable (default 198.51.100.1, .2, .3)" },
	{ "upstream",       FLAG_LIST,  AT(upstream),       NULL,   0,   0,     "DCOS_DNS_UPSTREAM",     "resolver for other names, IP[:PORT]; repeatable" },
	{ "mesos-dns",      FLAG_BOOL,  AT(mesos_dns),      "false", 0,  0,     NULL,                    "serve Mesos-DNS' own ports too (masters)" },
	{ "mesos-dns-port", FLAG_PORT,  AT(mesos_dns_port), "61053", 1,  65535, "DCOS_MESOS_DNS_PORT",   "UDP and TCP port of Mesos-DNS" },
	{ "http-port",      FLAG_PORT,  AT(http_port),      "8123", 1,   65535, "DCOS_MESOS_DNS_HTTP_PORT", "HTTP API of Mesos-DNS" },
	FLAG_END,
};
static const struct flag *const flag_tables[] = { node_flags, dns_flags, NULL };

static const char default_listen[] = "198.51.100.1\n198.51.100.2\n198.51.100.3";

static void check_ready(struct dns *d)
{
	if (d->ready || d->records.leader_ip4 == 0)
		return;
	d->ready = true;
	node_ready(&d->node);
}

static size_t on_view(struct view_reload *r)
{
	struct dns *d = container_of(r, struct dns, reload);
	struct records fresh;
	struct err e = { 0 };
	if (records_from_view(&d->node, &fresh, &e) != 0) {
		LOG(WARN, "cannot read the view, old names stay", "reason=%s", e.text);
		return 0;
	}
	records_fini(&d->records);
	d->records = fresh;
	check_ready(d);
	return fresh.rows;
}

/* ---- start ---- */

/* 198.51.100.1-3 stand on a dummy interface "spartan" as on DC/OS, on lo where the kernel has no dummy interfaces. */
static int add_spartan_addresses(struct err *e)
{
	const char *dev = "spartan";
	struct err ignored = { 0 };
	if (nl_dummy_add(dev, &ignored) != 0 || nl_link_up(dev, &ignored) != 0)
		dev = "lo";
	int rc = nl_link_up(dev, e);
	for (uint32_t i = 1; i <= 3 && rc == 0; i++)
		rc = nl_addr_add(dev, 0xc6336400u + i, 32, e);
	return rc == 0 ? 0 : err_wrap(e, "put 198.51.100.1-3 on '%s'", dev);
}

static int each_line(struct dns *d, const char *lines, int (*fn)(struct dns *d, const char *line, struct err *e), struct err *e)
{
	struct str rest = str_of(lines ? lines : "");
	int rc = 0;
	while (rest.p && rest.len > 0 && rc == 0) {
		AUTO_FREE char *line = str_dup(str_cut(&rest, '\n'));
		rc = fn(d, line, e);
	}
	return rc;
}

static int add_listener(struct dns *d, const char *ip, struct err *e) { return dns_listen(d, ip, d->config.port, false, e); }
static int add_upstream(struct dns *d, const char *text, struct err *e) { return forwarder_add(d->forwarder, text, e); }

static int start_mesos_dns(struct dns *d, struct err *e)
{
	struct sock_addr a;
	int rc = d->config.listen ? 0 : dns_listen(d, d->node.ip, d->config.port, false, e);
	if (rc == 0)
		rc = dns_listen(d, d->node.ip, d->config.mesos_dns_port, true, e);
	if (rc == 0)
		rc = sock_addr_parse(&a, d->node.ip, d->config.http_port, e);
	http_routes_add(&d->routes, mesos_dns_routes, d);
	return rc == 0 ? http_listen(d->node.loop, &a, NULL, &d->routes, &d->http, e) : rc;
}

static int start(struct dns *d, struct err *e)
{
	const char *listen = d->config.listen ? d->config.listen : default_listen;
	d->forwarder = forwarder_new(d->node.loop, FORWARD_TIMEOUT_US);
	records_init(&d->records, d->node.ip4, 0);
	int rc = node_open_view(&d->node, e);
	if (rc == 0 && !d->config.listen)
		rc = add_spartan_addresses(e);
	if (rc == 0)
		rc = each_line(d, d->config.upstream, add_upstream, e);
	if (rc == 0)
		rc = each_line(d, listen, add_listener, e);
	if (rc == 0 && d->config.mesos_dns)
		rc = start_mesos_dns(d, e);
	if (rc != 0)
		return rc;
	view_reload_start(d->node.loop, d->node.view, &d->reload, on_view);
	if (node_master_count(&d->node) > 0)
		view_follower_start(&d->node);
	return 0;
}

static void stop(struct dns *d)
{
	view_reload_stop(&d->reload);
	view_follower_stop(&d->node);
	http_server_free(d->http);
	dns_listeners_close(d);
	forwarder_free(d->forwarder);
	records_fini(&d->records);
}

int dns_main(int argc, char **argv)
{
	struct dns *d = xcalloc(1, sizeof(*d));
	struct err e = { 0 };
	int code;
	if (node_init(&d->node, "dns", flag_tables, &d->config, argc, argv,
		      "Answers names of tasks, virtual IPs and nodes on this node and forwards the rest.", &code)) {
		if (start(d, &e) != 0)
			exit(node_die("dns", &e));
		code = node_run(&d->node);
		stop(d);
		node_fini(&d->node);
	}
	flag_free(flag_tables, &d->config);
	free(d);
	return code;
}
