/* SPDX-License-Identifier: Apache-2.0 */
/* The v0 building blocks, letter by letter: clients of Mesos read these names and forms. */
#include "net/pb_json.h"
#include "roles/master/mesos/state_json.h"
#include "tests/lib/test.h"

static void parse(struct arena *a, const struct pb_json_type *type, const char *json, void *out)
{
	struct err e = { 0 };
	pb_json_parse(a, type, json, strlen(json), out, &e);
	EQ_STR(e.text, "");
}

TEST(mesos_state_json, a_task)
{
	struct arena a = ARENA_INIT;
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	mesos_v1_TaskInfo info;
	mesos_v1_TaskStatus status;
	parse(&a, &mesos_v1_TaskInfo_json, "{\"name\":\"web\",\"task_id\":{\"value\":\"web.1\"},\"agent_id\":{\"value\":\"m-S0\"},\"resources\":["
		"{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":0.2},\"allocation_info\":{\"role\":\"slave_public\"}},"
		"{\"name\":\"ports\",\"type\":\"RANGES\",\"ranges\":{\"range\":[{\"begin\":31005,\"end\":31005}]}}],"
		"\"command\":{\"value\":\"x\",\"user\":\"nobody\"},\"labels\":{\"labels\":[{\"key\":\"k\",\"value\":\"v\"}]},"
		"\"discovery\":{\"visibility\":\"FRAMEWORK\",\"name\":\"web\"}}", &info);
	parse(&a, &mesos_v1_TaskStatus_json, "{\"task_id\":{\"value\":\"web.1\"},\"state\":\"TASK_RUNNING\",\"timestamp\":1560000010.9,\"healthy\":true,"
		"\"container_status\":{\"container_id\":{\"value\":\"c\"},\"network_infos\":[{\"ip_addresses\":[{\"ip_address\":\"10.0.0.2\"}]}]}}", &status);
	dcos_ViewTask t = { .info = &info, .framework_id = "m-0000", .has_state = true, .state = mesos_v1_TaskState_TASK_RUNNING,
			    .statuses = &status, .statuses_count = 1 };
	state_json_task(&w, &t);
	EQ_STR(buf_cstr(&out), "{\"id\":\"web.1\",\"name\":\"web\",\"framework_id\":\"m-0000\",\"executor_id\":\"\",\"slave_id\":\"m-S0\","
		"\"state\":\"TASK_RUNNING\",\"resources\":{\"cpus\":0.2,\"gpus\":0.0,\"mem\":0.0,\"disk\":0.0,\"ports\":\"[31005-31005]\"},"
		"\"role\":\"slave_public\",\"statuses\":[{\"state\":\"TASK_RUNNING\",\"timestamp\":1560000010.9,\"container_status\":"
		"{\"network_infos\":[{\"ip_addresses\":[{\"protocol\":\"IPv4\",\"ip_address\":\"10.0.0.2\"}]}],\"container_id\":{\"value\":\"c\"}},"
		"\"healthy\":true}],\"user\":\"nobody\",\"labels\":[{\"key\":\"k\",\"value\":\"v\"}],"
		"\"discovery\":{\"visibility\":\"FRAMEWORK\",\"name\":\"web\"}}");
	buf_fini(&out);
	arena_fini(&a);
}

TEST(mesos_state_json, an_agent_with_a_reservation)
{
	struct arena a = ARENA_INIT;
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	mesos_v1_AgentInfo info;
	parse(&a, &mesos_v1_AgentInfo_json, "{\"hostname\":\"10.0.0.2\",\"id\":{\"value\":\"m-S0\"},\"attributes\":["
		"{\"name\":\"rack\",\"type\":\"TEXT\",\"text\":{\"value\":\"r1\"}},{\"name\":\"n\",\"type\":\"SCALAR\",\"scalar\":{\"value\":3}}],"
		"\"resources\":[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":4},\"role\":\"*\"},"
		"{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":64},\"role\":\"slave_public\"}]}", &info);
	dcos_ViewAgent v = { .info = &info, .ip = "10.0.0.2", .has_port = true, .port = 5051, .has_active = true, .active = true,
			     .has_registered_us = true, .registered_us = 1560000003200000, .version = "1.8.1" };
	state_json_agent_open(&w, &v, false);
	jw_end(&w);
	EQ_STR(buf_cstr(&out), "{\"id\":\"m-S0\",\"hostname\":\"10.0.0.2\",\"port\":5051,\"attributes\":{\"rack\":\"r1\",\"n\":3.0},"
		"\"pid\":\"slave(1)@10.0.0.2:5051\",\"registered_time\":1560000003.2,"
		"\"resources\":{\"cpus\":4.0,\"gpus\":0.0,\"mem\":64.0,\"disk\":0.0},"
		"\"used_resources\":{\"cpus\":0.0,\"gpus\":0.0,\"mem\":0.0,\"disk\":0.0},"
		"\"offered_resources\":{\"cpus\":0.0,\"gpus\":0.0,\"mem\":0.0,\"disk\":0.0},"
		"\"reserved_resources\":{\"slave_public\":{\"cpus\":0.0,\"gpus\":0.0,\"mem\":64.0,\"disk\":0.0}},"
		"\"unreserved_resources\":{\"cpus\":4.0,\"gpus\":0.0,\"mem\":0.0,\"disk\":0.0},"
		"\"active\":true,\"deactivated\":false,\"version\":\"1.8.1\","
		"\"capabilities\":[\"MULTI_ROLE\",\"HIERARCHICAL_ROLE\",\"RESERVATION_REFINEMENT\"]}");
	buf_fini(&out);
	arena_fini(&a);
}

TEST(mesos_state_json, a_framework_over_http_has_no_pid)
{
	struct arena a = ARENA_INIT;
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	mesos_v1_FrameworkInfo info;
	parse(&a, &mesos_v1_FrameworkInfo_json, "{\"user\":\"root\",\"name\":\"f\",\"id\":{\"value\":\"m-0000\"},\"failover_timeout\":60,\"role\":\"eng\","
		"\"capabilities\":[{\"type\":\"PARTITION_AWARE\"}]}", &info);
	dcos_ViewFramework v = { .info = &info, .has_active = true, .active = true, .has_connected = true, .connected = true,
				 .has_registered_us = true, .registered_us = 1560000004000000 };
	state_json_framework_open(&w, &v);
	state_json_framework_full(&w, &v);
	jw_end(&w);
	EQ_STR(buf_cstr(&out), "{\"id\":\"m-0000\",\"name\":\"f\",\"used_resources\":{\"cpus\":0.0,\"gpus\":0.0,\"mem\":0.0,\"disk\":0.0},"
		"\"offered_resources\":{\"cpus\":0.0,\"gpus\":0.0,\"mem\":0.0,\"disk\":0.0},\"capabilities\":[\"PARTITION_AWARE\"],"
		"\"hostname\":\"\",\"webui_url\":\"\",\"active\":true,\"connected\":true,\"recovered\":false,\"user\":\"root\","
		"\"failover_timeout\":60.0,\"checkpoint\":false,\"registered_time\":1560000004.0,\"unregistered_time\":0.0,"
		"\"resources\":{\"cpus\":0.0,\"gpus\":0.0,\"mem\":0.0,\"disk\":0.0},\"role\":\"eng\"}");
	buf_fini(&out);
	arena_fini(&a);
}

TEST(mesos_state_json, states_are_counted)
{
	struct state_counts c = { 0 };
	state_counts_add(&c, mesos_v1_TaskState_TASK_RUNNING);
	state_counts_add(&c, mesos_v1_TaskState_TASK_RUNNING);
	state_counts_add(&c, mesos_v1_TaskState_TASK_GONE);
	EQ_INT(c.TASK_RUNNING, 2);
	EQ_INT(c.TASK_LOST, 1);
}
