/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which nodes a local cluster has, at which addresses, and the command line of each process. Pure.
 *
 *   host   the machine itself: names and VIPs for its own programs, forwards names for the others
 *   m1 …   masters     192.168.65.90 …    with isolation each node has the real ports to itself;
 *   a1 …   agents      192.168.65.111 …   without, 127.0.65.x and high ports where root would be needed
 *   p1 …   public      192.168.65.60 …    (the addresses DC/OS' Vagrant clusters use)
 *
 * m1 founds the cluster, the other masters join it; every other node is told of all of them.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "roles/cli/up.h"

#define HOST_PART_BRIDGE 1
#define HOST_PART_MASTER 90
#define HOST_PART_AGENT 111
#define HOST_PART_PUBLIC 60
#define HIGH_HTTP_PORT 8000
#define HIGH_DNS_PORT 5353

static void add_arg(struct plan_proc *p, const char *word)
{
	size_t i = 0;
	while (p->argv[i])
		i++;
	assert(i + 1 < PLAN_ARGS_MAX);
	p->argv[i] = word;
}

static void add_flag(struct arena *a, struct plan_proc *p, const char *name, const char *value)
{
	if (value)
		add_arg(p, arena_printf(a, "--%s=%s", name, value));
}

static void add_list(struct arena *a, struct plan_proc *p, const char *name, const char *lines)
{
	struct str rest = str_of(lines ? lines : "");
	while (rest.p && rest.len > 0) {
		struct str line = str_cut(&rest, '\n');
		add_arg(p, arena_printf(a, "--%s=" STR_FMT, name, STR_ARG(line)));
	}
}

static const char *ip_text(struct arena *a, uint32_t ip4)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr in = { htonl(ip4) };
	return arena_strdup(a, inet_ntop(AF_INET, &in, text, sizeof(text)));
}

static void add_masters(struct arena *a, const struct plan *p, struct plan_proc *proc, const struct plan_node *except)
{
	for (size_t i = 0; i < p->master_count; i++)
		if (&p->masters[i] != except)
			add_flag(a, proc, "masters", p->masters[i].ip);
}

static const char *node_cgroup(struct arena *a, const struct plan *p, const struct plan_node *n)
{
	return arena_printf(a, "%s/%s", p->config->cgroup, n->name);
}

/* A process with the flags that every role takes. */
static struct plan_proc *add_proc(struct arena *a, const struct plan *p, struct plan_node *n, const char *role)
{
	assert(n->proc_count < PLAN_PROCS_MAX);
	struct plan_proc *proc = &n->procs[n->proc_count++];
	proc->role = role;
	add_arg(proc, "dcos-node");
	add_arg(proc, role);
	add_flag(a, proc, "state-dir", n->dir);
	add_flag(a, proc, "ip", n->ip);
	add_flag(a, proc, "node", n->name);
	add_flag(a, proc, "cluster", p->config->cluster);
	add_flag(a, proc, "cgroup", node_cgroup(a, p, n));
	add_flag(a, proc, "log-level", p->config->log_level);
	if (n->kind != NODE_MASTER) {
		add_masters(a, p, proc, NULL);
		add_flag(a, proc, "join-token-file", p->token_file);
	}
	return proc;
}

static void add_master(struct arena *a, const struct plan *p, struct plan_node *n)
{
	struct plan_proc *proc = add_proc(a, p, n, "master");
	if (n != p->masters) {
		add_masters(a, p, proc, n);
		add_flag(a, proc, "join-token-file", p->master_token_file);
	}
	if (!p->config->isolate)
		add_flag(a, proc, "adminrouter-port", arena_printf(a, "%d", HIGH_HTTP_PORT));
}

static void add_agent(struct arena *a, const struct plan *p, struct plan_node *n)
{
	struct plan_proc *proc = add_proc(a, p, n, "agent");
	add_flag(a, proc, "work-dir", arena_printf(a, "%s/slave", n->dir));
	add_flag(a, proc, "image-dir", p->config->image_dir);
	if (n->kind == NODE_PUBLIC_AGENT)
		add_arg(proc, "--public");
	if (!p->config->isolate)
		add_arg(proc, "--no-isolate");
}

static void add_dns(struct arena *a, const struct plan *p, struct plan_node *n)
{
	struct plan_proc *proc = add_proc(a, p, n, "dns");
	if (!p->config->isolate) {
		add_flag(a, proc, "port", arena_printf(a, "%d", HIGH_DNS_PORT));
		add_flag(a, proc, "listen", n->ip);
	}
	if (p->config->isolate && n->kind == NODE_HOST)
		add_flag(a, proc, "listen", n->ip);
	if (n->kind == NODE_MASTER)
		add_arg(proc, "--mesos-dns");
	if (n->kind == NODE_HOST || !p->config->isolate)
		add_list(a, proc, "upstream", p->config->upstream);
	else
		add_flag(a, proc, "upstream", ip_text(a, p->bridge4));   /* a node's network has no way out; the host's has */
}

static void add_lb(struct arena *a, const struct plan *p, struct plan_node *n)
{
	struct plan_proc *proc = add_proc(a, p, n, "lb");
	add_flag(a, proc, "pin-dir", arena_printf(a, "%s/%s", p->bpf_dir, n->name));
	add_flag(a, proc, "vip-cgroup", n->kind == NODE_HOST ? p->config->vip_cgroup : node_cgroup(a, p, n));
	add_flag(a, proc, "data-plane", p->config->data_plane);
	if (!p->config->isolate)
		add_arg(proc, "--no-vips");
}

static void add_procs(struct arena *a, const struct plan *p, struct plan_node *n)
{
	if (n->kind == NODE_MASTER)
		add_master(a, p, n);
	if (n->kind == NODE_AGENT || n->kind == NODE_PUBLIC_AGENT)
		add_agent(a, p, n);
	add_dns(a, p, n);
	add_lb(a, p, n);
	if (n->kind != NODE_HOST)
		(void)add_proc(a, p, n, "log");
}

static void add_node(struct arena *a, struct plan *p, enum node_kind kind, const char *name, uint32_t host_part)
{
	struct plan_node *n = &p->nodes[p->node_count++];
	bool own_netns = p->config->isolate && kind != NODE_HOST;
	n->kind = kind;
	n->name = name;
	n->ip4 = p->net4 + host_part;
	n->ip = ip_text(a, n->ip4);
	n->dir = arena_printf(a, "%s/%s", p->config->state_dir, name);
	n->netns = own_netns ? arena_printf(a, "%s/netns", n->dir) : NULL;
	n->veth = own_netns ? arena_printf(a, "%s-%s", p->config->bridge, name) : NULL;
	if (kind == NODE_MASTER)
		n->url = p->config->isolate ? arena_printf(a, "http://%s", n->ip) : arena_printf(a, "http://%s:%d", n->ip, HIGH_HTTP_PORT);
}

static int parse_subnet(struct plan *p, struct err *e)
{
	struct str rest = str_of(p->config->isolate ? p->config->subnet : "127.0.65.0/24");
	char host[INET_ADDRSTRLEN];
	struct in_addr in;
	bool ok = str_put(host, sizeof(host), str_cut(&rest, '/')) && inet_pton(AF_INET, host, &in) == 1;
	if (!ok || !str_eq(rest, STR("24")))
		return err_set(e, E_USAGE, "--subnet wants a network such as 192.168.65.0/24, not '%s'", p->config->subnet);
	p->net4 = ntohl(in.s_addr) & 0xffffff00u;
	p->prefix = 24;
	p->bridge4 = p->net4 + HOST_PART_BRIDGE;
	return 0;
}

/* A majority decides, so a second of two, a fourth of four adds nothing but one more that can fail. */
static int check_masters(int64_t masters, struct err *e)
{
	if (masters >= 1 && masters <= PLAN_MASTERS_MAX && masters % 2 == 1)
		return 0;
	return err_set(e, E_USAGE, "--masters wants 1, 3, 5 or 7, not %lld: a majority decides, so an even number survives no more failures "
		       "than one master less", (long long)masters);
}

int cluster_plan_make(struct arena *a, const struct up_config *c, struct plan *out, struct err *e)
{
	struct plan p = { .config = c };
	int rc = parse_subnet(&p, e);
	if (rc != 0)
		return rc;
	rc = check_masters(c->masters, e);
	if (rc != 0)
		return rc;
	if (strlen(c->bridge) > 9)
		return err_set(e, E_USAGE, "--bridge wants at most 9 characters, not '%s'", c->bridge);
	p.nodes = arena_array(a, struct plan_node, 1 + c->masters + c->agents + c->public_agents);
	p.bpf_dir = arena_printf(a, "%s/bpf", c->state_dir);
	add_node(a, &p, NODE_HOST, "host", HOST_PART_BRIDGE);
	p.masters = &p.nodes[p.node_count];
	p.master_count = (size_t)c->masters;
	for (int i = 0; i < c->masters; i++)
		add_node(a, &p, NODE_MASTER, arena_printf(a, "m%d", i + 1), HOST_PART_MASTER + (uint32_t)i);
	for (int i = 0; i < c->agents; i++)
		add_node(a, &p, NODE_AGENT, arena_printf(a, "a%d", i + 1), HOST_PART_AGENT + (uint32_t)i);
	for (int i = 0; i < c->public_agents; i++)
		add_node(a, &p, NODE_PUBLIC_AGENT, arena_printf(a, "p%d", i + 1), HOST_PART_PUBLIC + (uint32_t)i);
	p.token_file = arena_printf(a, "%s/identity/token", p.masters[0].dir);
	p.master_token_file = arena_printf(a, "%s/identity/master-token", p.masters[0].dir);
	for (size_t i = 0; i < p.node_count; i++)
		add_procs(a, &p, &p.nodes[i]);
	*out = p;
	return 0;
}
