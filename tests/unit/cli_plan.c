/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes, addresses and command lines of a local cluster. */
#include "roles/cli/up.h"
#include "tests/lib/test.h"

static struct up_config config(void)
{
	return (struct up_config){
		.state_dir = "/s", .cluster = "dcos", .subnet = "192.168.65.0/24", .bridge = "dcos0", .cgroup = "/dcos/dcos", .vip_cgroup = "/",
		.log_level = "info", .masters = 1, .agents = 2, .public_agents = 1, .isolate = true,
	};
}

static const struct plan_node *node(const struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->node_count; i++)
		if (strcmp(p->nodes[i].name, name) == 0)
			return &p->nodes[i];
	FAIL("no node %s", name);
}

/* The command line of that role's process; "" when the node has none. */
static const char *line_of(struct arena *a, const struct plan_node *n, const char *role)
{
	const char *line = "";
	for (size_t i = 0; i < n->proc_count; i++)
		for (size_t j = 0; strcmp(n->procs[i].role, role) == 0 && n->procs[i].argv[j]; j++)
			line = arena_printf(a, "%s%s%s", line, j > 0 ? " " : "", n->procs[i].argv[j]);
	return line;
}

TEST(cli_plan, nodes_have_the_addresses_of_dcos_vagrant)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct up_config c = config();
	struct plan p;
	struct err e = { 0 };
	EQ_INT(cluster_plan_make(&a, &c, &p, &e), 0);
	EQ_INT(p.node_count, 5);
	EQ_STR(node(&p, "host")->ip, "192.168.65.1");
	EQ_STR(node(&p, "m1")->ip, "192.168.65.90");
	EQ_STR(node(&p, "a1")->ip, "192.168.65.111");
	EQ_STR(node(&p, "a2")->ip, "192.168.65.112");
	EQ_STR(node(&p, "p1")->ip, "192.168.65.60");
	EQ_STR(p.masters[0].url, "http://192.168.65.90");
}

TEST(cli_plan, every_node_has_dns_and_lb_and_the_machine_itself_no_more)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct up_config c = config();
	struct plan p;
	struct err e = { 0 };
	EQ_INT(cluster_plan_make(&a, &c, &p, &e), 0);
	for (size_t i = 0; i < p.node_count; i++) {
		TRUE(line_of(&a, &p.nodes[i], "dns")[0]);
		TRUE(line_of(&a, &p.nodes[i], "lb")[0]);
	}
	EQ_INT(node(&p, "host")->proc_count, 2);
	EQ_INT(node(&p, "m1")->proc_count, 4);
	EQ_INT(node(&p, "p1")->proc_count, 4);
	TRUE(node(&p, "host")->netns == NULL);
	EQ_STR(node(&p, "a1")->netns, "/s/a1/netns");
}

TEST(cli_plan, an_agent_is_told_where_the_master_is_and_what_it_may_use)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct up_config c = config();
	struct plan p;
	struct err e = { 0 };
	EQ_INT(cluster_plan_make(&a, &c, &p, &e), 0);
	EQ_STR(line_of(&a, node(&p, "a1"), "agent"),
	       "dcos-node agent --state-dir=/s/a1 --ip=192.168.65.111 --node=a1 --cluster=dcos --cgroup=/dcos/dcos/a1 --log-level=info "
	       "--masters=192.168.65.90 --join-token-file=/s/m1/identity/token --work-dir=/s/a1/slave");
	HAS(line_of(&a, node(&p, "p1"), "agent"), " --public");
	HAS(line_of(&a, node(&p, "m1"), "master"), "dcos-node master --state-dir=/s/m1 --ip=192.168.65.90 --node=m1");
}

TEST(cli_plan, the_first_master_founds_and_the_others_join_it)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct up_config c = config();
	struct plan p;
	struct err e = { 0 };
	c.masters = 3;
	EQ_INT(cluster_plan_make(&a, &c, &p, &e), 0);
	EQ_INT(p.master_count, 3);
	EQ_INT(p.node_count, 7);
	EQ_STR(node(&p, "m3")->ip, "192.168.65.92");
	EQ_STR(node(&p, "m3")->url, "http://192.168.65.92");
	EQ_STR(line_of(&a, node(&p, "m1"), "master"),
	       "dcos-node master --state-dir=/s/m1 --ip=192.168.65.90 --node=m1 --cluster=dcos --cgroup=/dcos/dcos/m1 --log-level=info");
	HAS(line_of(&a, node(&p, "m2"), "master"),
	    " --masters=192.168.65.90 --masters=192.168.65.92 --join-token-file=/s/m1/identity/master-token");
	TRUE(!strstr(line_of(&a, node(&p, "m2"), "dns"), "--masters"));    /* the node's master writes its view */
}

TEST(cli_plan, every_other_node_is_told_of_all_masters)
{
	static const char *const lines[][2] = { { "host", "dns" }, { "host", "lb" }, { "a1", "agent" }, { "a2", "log" }, { "p1", "lb" } };
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct up_config c = config();
	struct plan p;
	struct err e = { 0 };
	c.masters = 3;
	EQ_INT(cluster_plan_make(&a, &c, &p, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		HAS(line_of(&a, node(&p, lines[i][0]), lines[i][1]),
		    " --masters=192.168.65.90 --masters=192.168.65.91 --masters=192.168.65.92 --join-token-file=/s/m1/identity/token");
}

TEST(cli_plan, a_number_of_masters_that_is_no_quorum_is_refused_with_the_reason)
{
	static const int64_t bad[] = { -1, 0, 2, 4, 6, 8, 9 };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_ARENA struct arena a = ARENA_INIT;
		struct up_config c = config();
		struct plan p;
		struct err e = { 0 };
		c.masters = bad[i];
		EQ_INT(cluster_plan_make(&a, &c, &p, &e), E_USAGE);
		HAS(e.text, "--masters wants 1, 3, 5 or 7");
		HAS(e.text, "an even number survives no more failures");
	}
}

TEST(cli_plan, without_root_nodes_are_loopback_addresses_with_high_ports)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct up_config c = config();
	struct plan p;
	struct err e = { 0 };
	c.isolate = false;
	EQ_INT(cluster_plan_make(&a, &c, &p, &e), 0);
	EQ_STR(node(&p, "m1")->ip, "127.0.65.90");
	EQ_STR(p.masters[0].url, "http://127.0.65.90:8000");
	TRUE(node(&p, "a1")->netns == NULL);
	HAS(line_of(&a, node(&p, "a1"), "agent"), " --no-isolate");
	HAS(line_of(&a, node(&p, "a1"), "lb"), " --no-vips");
	HAS(line_of(&a, node(&p, "a1"), "dns"), " --port=5353 --listen=127.0.65.111");
}

TEST(cli_plan, resolvers_given_to_up_are_those_of_the_machine_whom_the_nodes_ask)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct up_config c = config();
	struct plan p;
	struct err e = { 0 };
	c.upstream = "9.9.9.9\n1.1.1.1:5353";
	EQ_INT(cluster_plan_make(&a, &c, &p, &e), 0);
	HAS(line_of(&a, node(&p, "host"), "dns"), " --upstream=9.9.9.9 --upstream=1.1.1.1:5353");
	HAS(line_of(&a, node(&p, "a1"), "dns"), " --upstream=192.168.65.1");
}

TEST(cli_plan, a_subnet_that_is_none_is_refused)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct up_config c = config();
	struct plan p;
	struct err e = { 0 };
	static char *const bad[] = { "192.168.65.0", "192.168.65.0/16", "x/24", "" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		c.subnet = bad[i];
		EQ_INT(cluster_plan_make(&a, &c, &p, &e), E_USAGE);
		HAS(e.text, "--subnet wants a network such as 192.168.65.0/24");
	}
	c = config();
	c.bridge = "longer-than9";
	EQ_INT(cluster_plan_make(&a, &c, &p, &e), E_USAGE);
}
