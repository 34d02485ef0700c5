/* SPDX-License-Identifier: Apache-2.0 */
/* Offers against apps: resources, roles, ports, constraints; and the task that is made of a match. */
#include <stdio.h>

#include "roles/master/marathon/task.h"
#include "tests/lib/test.h"

#define V1 "2026-01-01T00:00:00.000Z"

static struct arena arena = ARENA_INIT;      /* each test is a process of its own */

static struct spec *app(const char *json)
{
	struct spec *s = NULL;
	struct err e = { 0 };
	rec_App r = { .id = "/shop/web", .version = V1, .json = (char *)json, .last_scaling_at = V1, .last_config_change_at = V1 };
	if (spec_new(&r, &s, &e) != 0)
		FAIL("%s", e.text);
	return s;
}

static mesos_v1_Resource scalar(const char *name, double v, const char *role)
{
	mesos_v1_Resource r = { .name = (char *)name, .type = mesos_v1_Value_Type_SCALAR, .role = (char *)role };
	r.scalar = arena_new(&arena, mesos_v1_Value_Scalar);
	r.scalar->value = v;
	return r;
}

static mesos_v1_Resource ports(uint64_t begin, uint64_t end, const char *role)
{
	mesos_v1_Resource r = { .name = "ports", .type = mesos_v1_Value_Type_RANGES, .role = (char *)role };
	r.ranges = arena_new(&arena, mesos_v1_Value_Ranges);
	r.ranges->range = arena_new(&arena, mesos_v1_Value_Range);
	r.ranges->range_count = 1;
	r.ranges->range[0] = (mesos_v1_Value_Range){ .begin = begin, .end = end };
	return r;
}

static mesos_v1_Offer *offer(double cpus, double mem, uint64_t begin, uint64_t end, const char *role)
{
	mesos_v1_Offer *o = arena_new(&arena, mesos_v1_Offer);
	o->resources = arena_array(&arena, mesos_v1_Resource, 4);
	o->resources[0] = scalar("cpus", cpus, role);
	o->resources[1] = scalar("mem", mem, role);
	o->resources[2] = scalar("disk", 1000, role);
	o->resources[3] = ports(begin, end, role);
	o->resources_count = 4;
	return o;
}

static unsigned match(const struct spec *s, const mesos_v1_Offer *o, struct taken *t)
{
	struct pool p = pool_of_offer(&arena, o);
	struct rnd r;
	rnd_seed(&r, 7);
	return match_offer(s, (struct placed){ 0 }, (struct place){ .hostname = "10.0.0.1" }, &p, &r, t);
}

#define TWO_PORTS "\"portDefinitions\":[{\"port\":10000},{\"port\":10001}]"

TEST(marathon_match, takes_what_the_app_needs_and_no_more)
{
	struct spec *s = app("{\"cpus\":0.1,\"mem\":32," TWO_PORTS "}");
	struct taken t;
	EQ_INT(match(s, offer(1, 64, 31000, 31001, "*"), &t), 0);
	EQ_INT(t.port_count, 2);
	TRUE(t.ports[0] != t.ports[1]);
	EQ_INT(t.ports[0] + t.ports[1], 62001);
	EQ_INT(t.resource_count, 3);
	NEAR(t.resources[0].scalar->value, 0.1, 1e-9);
	NEAR(t.resources[1].scalar->value, 32, 1e-9);
	EQ_INT(t.resources[2].ranges->range_count, 2);
	spec_free(s);
}

TEST(marathon_match, names_every_scalar_that_is_short)
{
	struct spec *s = app("{\"cpus\":2,\"mem\":128," TWO_PORTS "}");
	struct taken t;
	EQ_INT(match(s, offer(1, 64, 31000, 31001, "*"), &t), 1 << REJECT_CPUS | 1 << REJECT_MEM);
	EQ_INT(match(s, offer(2, 128, 31000, 31000, "*"), &t), 1 << REJECT_PORTS);
	EQ_INT(match(s, offer(2, 128, 31000, 31001, "slave_public"), &t), 1 << REJECT_ROLE);
	spec_free(s);
}

TEST(marathon_match, accepted_role_opens_public_agents)
{
	struct spec *s = app("{\"cpus\":1,\"mem\":32,\"acceptedResourceRoles\":[\"slave_public\"]}");
	struct taken t;
	EQ_INT(match(s, offer(1, 64, 1, 10, "slave_public"), &t), 0);
	EQ_STR(t.resources[0].role, "slave_public");
	EQ_INT(match(s, offer(1, 64, 1, 10, "*"), &t), 1 << REJECT_ROLE);
	spec_free(s);
}

TEST(marathon_match, required_ports_are_these_and_no_others)
{
	struct spec *s = app("{\"cpus\":1,\"requirePorts\":true," TWO_PORTS "}");
	struct taken t;
	EQ_INT(match(s, offer(1, 64, 10000, 10001, "*"), &t), 0);
	EQ_INT(t.ports[0], 10000);
	EQ_INT(t.ports[1], 10001);
	EQ_INT(match(s, offer(1, 64, 31000, 32000, "*"), &t), 1 << REJECT_PORTS);
	spec_free(s);
}

TEST(marathon_match, one_offer_feeds_tasks_until_it_is_used_up)
{
	struct spec *s = app("{\"cpus\":0.5,\"mem\":10," TWO_PORTS "}");
	struct pool p = pool_of_offer(&arena, offer(2, 64, 31000, 31009, "*"));
	bool seen[10] = { false };
	struct taken t;
	struct rnd r;
	size_t n = 0;
	rnd_seed(&r, test_seed());
	while (match_offer(s, (struct placed){ 0 }, (struct place){ .hostname = "h" }, &p, &r, &t) == 0) {
		for (size_t i = 0; i < t.port_count; i++) {
			FALSE(seen[t.ports[i] - 31000]);
			seen[t.ports[i] - 31000] = true;
		}
		n++;
	}
	EQ_INT(n, 4);
	spec_free(s);
}

/* ---- constraints: field and value of what is placed, then of the offer ---- */

struct constraint_case {
	const char *constraint;
	const char *placed[4];
	const char *offered;
	bool holds;
};

TEST(marathon_match, constraints_hold)
{
	static const struct constraint_case table[] = {
		{ "[\"hostname\",\"UNIQUE\"]",            { "a" },           "b", true },
		{ "[\"hostname\",\"UNIQUE\"]",            { "a" },           "a", false },
		{ "[\"hostname\",\"CLUSTER\",\"a\"]",     { 0 },             "b", false },
		{ "[\"hostname\",\"CLUSTER\"]",           { 0 },             "b", true },
		{ "[\"hostname\",\"CLUSTER\"]",           { "a" },           "b", false },
		{ "[\"hostname\",\"LIKE\",\"a.*\"]",      { 0 },             "abc", true },
		{ "[\"hostname\",\"LIKE\",\"a\"]",        { 0 },             "abc", false },     /* the whole string */
		{ "[\"hostname\",\"UNLIKE\",\"a\"]",      { 0 },             "abc", true },
		{ "[\"rack\",\"UNLIKE\",\"a\"]",          { 0 },             "a", true },        /* no such attribute */
		{ "[\"rack\",\"LIKE\",\"a\"]",            { 0 },             "a", false },
		{ "[\"hostname\",\"MAX_PER\",\"2\"]",     { "a", "a" },      "a", false },
		{ "[\"hostname\",\"MAX_PER\",\"2\"]",     { "a", "b" },      "a", true },
		{ "[\"hostname\",\"GROUP_BY\"]",          { "a" },           "b", true },
		{ "[\"hostname\",\"GROUP_BY\"]",          { "a", "b", "b" }, "a", true },
		{ "[\"hostname\",\"GROUP_BY\"]",          { "a", "b", "b" }, "b", false },
		{ "[\"hostname\",\"GROUP_BY\",\"3\"]",    { "a", "b" },      "a", false },       /* a third group is wanted first */
		{ "[\"hostname\",\"IS\",\"1.50\"]",       { 0 },             "1.5", true },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct constraint_case *c = &table[i];
		struct spec *s = app(arena_printf(&arena, "{\"constraints\":[%s]}", c->constraint));
		struct instance there[4] = { 0 }, *list[4];
		size_t n = 0;
		for (; n < 4 && c->placed[n]; n++) {
			there[n] = (struct instance){ .host = (char *)c->placed[n], .version = V1 };
			list[n] = &there[n];
		}
		if (constraint_holds(&s->constraints[0], s, (struct placed){ list, n }, (struct place){ .hostname = c->offered }) != c->holds)
			FAIL("row %zu: %s with %s", i, c->constraint, c->offered);
		spec_free(s);
	}
}

TEST(marathon_match, instances_of_an_older_configuration_do_not_count_for_constraints)
{
	struct spec *s = app("{\"constraints\":[[\"hostname\",\"UNIQUE\"]]}");
	struct instance old = { .host = "a", .version = "2025-01-01T00:00:00.000Z" }, *list[] = { &old };
	TRUE(constraint_holds(&s->constraints[0], s, (struct placed){ list, 1 }, (struct place){ .hostname = "a" }));
	spec_free(s);
}

TEST(marathon_match, attributes_read_as_marathon_prints_them)
{
	mesos_v1_Value_Scalar half = { .value = 0.5004 };
	mesos_v1_Value_Text rack = { .value = "r1" };
	char *items[] = { "a", "b" };
	mesos_v1_Value_Set set = { .item = items, .item_count = 2 };
	mesos_v1_Attribute rows[] = {
		{ .name = "load", .type = mesos_v1_Value_Type_SCALAR, .scalar = &half }, { .name = "rack", .type = mesos_v1_Value_Type_TEXT, .text = &rack },
		{ .name = "zones", .type = mesos_v1_Value_Type_SET, .set = &set },
	};
	struct place at = { .hostname = "h", .attributes = rows, .attribute_count = 3 };
	EQ_STR(place_value(&arena, at, "load"), "0.5");
	EQ_STR(place_value(&arena, at, "rack"), "r1");
	EQ_STR(place_value(&arena, at, "zones"), "{a,b}");
	EQ_STR(place_value(&arena, at, "@hostname"), "h");
	TRUE(!place_value(&arena, at, "none"));
}

TEST(marathon_match, agent_that_is_short_says_of_what)
{
	struct spec *s = app("{\"cpus\":8,\"mem\":32}");
	mesos_v1_Resource rows[] = { scalar("cpus", 4, "*") };
	mesos_v1_AgentInfo info = { .hostname = "h", .resources = rows, .resources_count = 1 };
	struct resources free_ = { .cpus_milli = 4000, .mem_milli = 64000 };
	EQ_INT(match_agent(s, (struct placed){ 0 }, &info, &free_), 1 << REJECT_CPUS);
	rows[0].role = "slave_public";
	EQ_INT(match_agent(s, (struct placed){ 0 }, &info, &free_), 1 << REJECT_ROLE);
	spec_free(s);
}

/* ---- the task ---- */

static const char *variable(const mesos_v1_TaskInfo *t, const char *name)
{
	const mesos_v1_Environment *env = t->command->environment;
	for (size_t i = 0; i < env->variables_count; i++)
		if (strcmp(env->variables[i].name, name) == 0)
			return env->variables[i].value;
	return NULL;
}

TEST(marathon_task, carries_command_container_environment_and_discovery)
{
	struct spec *s = app("{\"cpus\":0.1,\"mem\":32,\"disk\":0,\"args\":[\"-v\"],\"env\":{\"HOST\":\"mine\",\"X\":\"1\"},"
			     "\"labels\":{\"HAPROXY_GROUP\":\"external\",\"a.b\":\"c\"},\"taskKillGracePeriodSeconds\":7,"
			     "\"container\":{\"type\":\"DOCKER\",\"docker\":{\"image\":\"example/web:1\",\"forcePullImage\":true},"
			     "\"volumes\":[{\"containerPath\":\"/d\",\"hostPath\":\"/tmp\",\"mode\":\"RO\"}]},"
			     "\"portDefinitions\":[{\"port\":10000,\"name\":\"api\",\"protocol\":\"udp,tcp\",\"labels\":{\"VIP_0\":\"/web:80\"}}]}");
	uint32_t port = 31005;
	struct instance in = { .task_id = "shop_web.1", .agent_id = "S0", .host = "10.0.0.1", .ports = &port, .port_count = 1 };
	struct taken taken = { 0 };
	mesos_v1_TaskInfo t;
	struct err e = { 0 };
	EQ_INT(task_build(&arena, s, &in, &taken, &t, &e), 0);
	EQ_STR(t.name, "web.shop");
	FALSE(t.command->shell);
	EQ_STR(t.command->arguments[0], "-v");
	EQ_STR(t.container->docker->image, "example/web:1");
	TRUE(t.container->docker->force_pull_image);
	EQ_INT(t.container->volumes[0].mode, mesos_v1_Volume_Mode_RO);
	EQ_INT(t.kill_policy->grace_period->nanoseconds, 7000000000);
	EQ_STR(variable(&t, "PORT0"), "31005");
	EQ_STR(variable(&t, "PORT"), "31005");
	EQ_STR(variable(&t, "PORTS"), "31005");
	EQ_STR(variable(&t, "PORT_10000"), "31005");
	EQ_STR(variable(&t, "PORT_API"), "31005");
	EQ_STR(variable(&t, "HOST"), "mine");                     /* the user's own wins */
	EQ_STR(variable(&t, "MARATHON_APP_ID"), "/shop/web");
	EQ_STR(variable(&t, "MARATHON_APP_VERSION"), V1);
	EQ_STR(variable(&t, "MARATHON_APP_DOCKER_IMAGE"), "example/web:1");
	EQ_STR(variable(&t, "MARATHON_APP_RESOURCE_CPUS"), "0.1");
	EQ_STR(variable(&t, "MARATHON_APP_RESOURCE_MEM"), "32.0");
	EQ_STR(variable(&t, "MARATHON_APP_RESOURCE_GPUS"), "0");
	EQ_STR(variable(&t, "MARATHON_APP_LABELS"), "HAPROXY_GROUP A_B");
	EQ_STR(variable(&t, "MARATHON_APP_LABEL_A_B"), "c");
	EQ_STR(variable(&t, "MESOS_TASK_ID"), "shop_web.1");
	EQ_INT(t.discovery->ports->ports_count, 2);
	EQ_STR(t.discovery->ports->ports[0].protocol, "udp");
	EQ_STR(t.discovery->ports->ports[1].protocol, "tcp");
	EQ_STR(t.discovery->ports->ports[0].labels->labels[0].key, "VIP_0");
	EQ_STR(t.discovery->ports->ports[0].labels->labels[1].key, "network-scope");
	spec_free(s);
}

TEST(marathon_task, command_line_runs_in_a_shell)
{
	struct spec *s = app("{\"cmd\":\"sleep 1\",\"labels\":{}}");
	struct instance in = { .task_id = "x.1", .agent_id = "S0", .host = "h" };
	struct taken taken = { 0 };
	mesos_v1_TaskInfo t;
	EQ_INT(task_build(&arena, s, &in, &taken, &t, NULL), 0);
	TRUE(t.command->shell);
	EQ_STR(t.command->value, "sleep 1");
	TRUE(!t.container);
	EQ_STR(variable(&t, "MARATHON_APP_LABELS"), "");
	TRUE(!variable(&t, "PORT"));
	spec_free(s);
}
