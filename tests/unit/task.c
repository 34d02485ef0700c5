/* SPDX-License-Identifier: Apache-2.0 */
/* Task states, and the row of a task for names and VIPs. */
#include "roles/task.h"

#include "net/pb_json.h"
#include "tests/lib/test.h"

static mesos_v1_TaskInfo task(struct arena *a, const char *json)
{
	mesos_v1_TaskInfo t;
	struct err e = { 0 };
	pb_json_parse(a, &mesos_v1_TaskInfo_json, json, strlen(json), &t, &e);
	EQ_STR(e.text, "");
	return t;
}

#define COMMON "\"name\":\"b.a\",\"task_id\":{\"value\":\"b_a.1\"},\"agent_id\":{\"value\":\"m-S0\"}"

TEST(task, states_have_names_and_some_are_the_end)
{
	EQ_STR(task_state_name(mesos_v1_TaskState_TASK_RUNNING), "TASK_RUNNING");
	EQ_STR(task_state_name(mesos_v1_TaskState_TASK_GONE_BY_OPERATOR), "TASK_GONE_BY_OPERATOR");
	FALSE(task_state_terminal(mesos_v1_TaskState_TASK_UNREACHABLE));
	FALSE(task_state_terminal(mesos_v1_TaskState_TASK_KILLING));
	TRUE(task_state_terminal(mesos_v1_TaskState_TASK_LOST));
	TRUE(task_state_terminal(mesos_v1_TaskState_TASK_FINISHED));
}

TEST(task, a_vip_label_of_a_discovery_port_is_its_vip)
{
	struct arena a = ARENA_INIT;
	mesos_v1_TaskInfo t = task(&a, "{" COMMON ",\"discovery\":{\"visibility\":\"FRAMEWORK\",\"name\":\"sise\",\"ports\":{\"ports\":["
		"{\"number\":31005,\"name\":\"http\",\"protocol\":\"tcp\",\"labels\":{\"labels\":["
		"{\"key\":\"VIP_0\",\"value\":\"/sise:80\"},{\"key\":\"other\",\"value\":\"x\"}]}}]}}}");
	mesos_v1_TaskStatus s = mesos_v1_TaskStatus_init_zero;
	dcos_ViewName n;
	s.state = mesos_v1_TaskState_TASK_RUNNING;
	task_view_name(&a, &t, "marathon", "192.0.2.9", &s, false, &n);
	EQ_STR(n.name, "sise");
	TRUE(n.has_discovery);
	EQ_INT(n.ports_count, 1);
	EQ_INT(n.ports[0].number, 31005);
	EQ_INT(n.ports[0].vips_count, 1);
	EQ_STR(n.ports[0].vips[0], "/sise:80");
	EQ_INT(n.state, mesos_v1_TaskState_TASK_RUNNING);
	FALSE(n.has_healthy);
	arena_fini(&a);
}

TEST(task, without_discovery_the_ports_are_those_of_its_resources)
{
	struct arena a = ARENA_INIT;
	mesos_v1_TaskInfo t = task(&a, "{" COMMON ",\"resources\":[{\"name\":\"ports\",\"type\":\"RANGES\",\"ranges\":{\"range\":["
		"{\"begin\":31000,\"end\":31001}]}}],\"labels\":{\"labels\":[{\"key\":\"vip_PORT1\",\"value\":\"udp://1.2.3.4:5000\"}]}}");
	dcos_ViewName n;
	task_view_name(&a, &t, "f", "192.0.2.9", NULL, true, &n);
	EQ_STR(n.name, "b.a");
	FALSE(n.has_discovery);
	EQ_INT(n.ports_count, 2);
	EQ_INT(n.ports[1].number, 31001);
	EQ_STR(n.ports[1].vips[0], "1.2.3.4:5000");
	EQ_STR(n.ports[1].protocol, "udp");
	EQ_INT(n.state, mesos_v1_TaskState_TASK_STAGING);
	TRUE(n.draining);
	arena_fini(&a);
}

TEST(task, a_mapped_port_knows_its_container_port_and_the_status_the_addresses)
{
	struct arena a = ARENA_INIT;
	mesos_v1_TaskInfo t = task(&a, "{" COMMON ",\"container\":{\"type\":\"DOCKER\",\"docker\":{\"image\":\"i\",\"port_mappings\":["
		"{\"host_port\":31005,\"container_port\":80}]}},\"resources\":[{\"name\":\"ports\",\"type\":\"RANGES\",\"ranges\":{\"range\":["
		"{\"begin\":31005,\"end\":31005}]}}]}");
	mesos_v1_TaskStatus s;
	const char *status = "{\"task_id\":{\"value\":\"b_a.1\"},\"state\":\"TASK_RUNNING\",\"healthy\":false,\"container_status\":"
		"{\"network_infos\":[{\"ip_addresses\":[{\"ip_address\":\"9.0.1.2\"}]}]}}";
	struct err e = { 0 };
	dcos_ViewName n;
	EQ_INT(pb_json_parse(&a, &mesos_v1_TaskStatus_json, status, strlen(status), &s, &e), 0);
	task_view_name(&a, &t, "f", "192.0.2.9", &s, false, &n);
	EQ_INT(n.ports[0].container_port, 80);
	EQ_INT(n.container_ips_count, 1);
	EQ_STR(n.container_ips[0], "9.0.1.2");
	TRUE(n.has_healthy);
	FALSE(n.healthy);
	arena_fini(&a);
}
