/* SPDX-License-Identifier: Apache-2.0 */
/* What schedulers may send: the sentences are those clients of Mesos know. */
#include "net/pb_json.h"
#include "roles/master/mesos/model.h"
#include "tests/lib/test.h"

static void id_refused(const char *id, const char *why)
{
	struct err e = { 0 };
	FALSE(validate_id(id, &e));
	EQ_STR(e.text, why);
}

TEST(mesos_validate, ids)
{
	struct err e = { 0 };
	char longest[257];
	memset(longest, 'a', 256);
	longest[256] = '\0';
	id_refused(longest, "ID must not be greater than 255 characters");
	longest[255] = '\0';
	TRUE(validate_id(longest, &e));
	TRUE(validate_id("sise.0b1c-9", &e));
	id_refused("", "ID must not be empty");
	id_refused("..", "'..' is disallowed");
	id_refused("a/b", "'a/b' contains invalid characters");
	id_refused("a\\b", "'a\\b' contains invalid characters");
	id_refused("a\nb", "'a\nb' contains invalid characters");
}

TEST(mesos_validate, roles)
{
	const char *good[] = { "*", "slave_public", "eng/dev", "a.b" };
	const char *bad[] = { "", "/a", "a/", "a//b", "a/../b", "-a", "a/*", "a b", "." };
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		TRUE(validate_role(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		FALSE(validate_role(bad[i]));
}

static void framework_refused(const char *json, const char *why)
{
	struct arena a = ARENA_INIT;
	struct err e = { 0 };
	mesos_v1_FrameworkInfo info;
	EQ_INT(pb_json_parse(&a, &mesos_v1_FrameworkInfo_json, json, strlen(json), &info, &e), 0);
	EQ_INT(validate_framework(&info, &e), E_INVALID);
	EQ_STR(e.text, why);
	arena_fini(&a);
}

#define WHO "\"user\":\"root\",\"name\":\"f\""
#define MULTI "\"capabilities\":[{\"type\":\"MULTI_ROLE\"}]"

TEST(mesos_validate, frameworks)
{
	framework_refused("{" WHO "," MULTI ",\"role\":\"x\"}",
			  "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable");
	framework_refused("{" WHO ",\"roles\":[\"x\"]}",
			  "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable");
	framework_refused("{" WHO "," MULTI ",\"roles\":[\"x\",\"x\"]}", "'FrameworkInfo.roles' contains duplicate items: x");
	framework_refused("{" WHO "," MULTI ",\"roles\":[\"/x\"]}", "'FrameworkInfo.roles' contains invalid role: /x");
	framework_refused("{" WHO ",\"role\":\"/x\"}", "'FrameworkInfo.role' is not a valid role: /x");
	framework_refused("{" WHO ",\"failover_timeout\":-1}", "The framework failover_timeout (-1) is invalid");
	framework_refused("{" WHO ",\"failover_timeout\":1e300}", "The framework failover_timeout (1e+300) is invalid");
}

static void task_refused(const char *members, const char *why)
{
	struct arena a = ARENA_INIT;
	struct err e = { 0 };
	mesos_v1_TaskInfo t;
	const char *json = arena_printf(&a, "{\"name\":\"t\",%s}", members);
	pb_json_parse(&a, &mesos_v1_TaskInfo_json, json, strlen(json), &t, &e);
	EQ_STR(e.text, "");
	(void)validate_task(&t, "fw", "S0", &e);
	EQ_STR(e.text, why);
	arena_fini(&a);
}

#define ID "\"task_id\":{\"value\":\"t\"}"
#define ON "\"agent_id\":{\"value\":\"S0\"}"
#define CPU "\"resources\":[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1}}]"
#define CMD "\"command\":{\"value\":\"true\"}"

TEST(mesos_validate, tasks)
{
	task_refused(ID "," ON "," CPU "," CMD, "");
	task_refused("\"task_id\":{\"value\":\"a/b\"}," ON "," CPU "," CMD, "Task has an invalid TaskID: 'a/b' contains invalid characters");
	task_refused(ID ",\"agent_id\":{\"value\":\"S1\"}," CPU "," CMD, "Task uses invalid agent S1 while agent S0 is expected");
	task_refused(ID "," ON "," CMD, "Task uses no resources");
	task_refused(ID "," ON "," CPU, "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present");
	task_refused(ID "," ON "," CPU "," CMD ",\"executor\":{\"executor_id\":{\"value\":\"e\"}," CMD "}",
		     "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present");
	task_refused(ID "," ON "," CPU "," CMD ",\"kill_policy\":{\"grace_period\":{\"nanoseconds\":-1}}",
		     "Task's 'kill_policy.grace_period' must be non-negative");
	task_refused(ID "," ON "," CPU "," CMD ",\"health_check\":{\"type\":\"HTTP\"}",
		     "Task uses invalid health check: Expecting 'http' to be set for HTTP health check");
	task_refused(ID "," ON "," CPU "," CMD ",\"container\":{\"type\":\"DOCKER\"}",
		     "Task's `ContainerInfo` is invalid: DockerInfo 'docker' is not set for DOCKER typed ContainerInfo");
	task_refused(ID "," ON "," CPU ",\"command\":{\"value\":\"true\",\"environment\":{\"variables\":[{\"name\":\"A\"}]}}",
		     "Task's `CommandInfo` is invalid: Environment variable 'A' of type 'VALUE' must have a value set");
	task_refused(ID "," ON "," CPU ",\"executor\":{\"executor_id\":{\"value\":\"e\"}}",
		     "'ExecutorInfo.command' must be set for 'CUSTOM' executor");
}

static void call_refused(const char *json, const char *why)
{
	struct arena a = ARENA_INIT;
	struct err e = { 0 };
	mesos_v1_scheduler_Call c;
	pb_json_parse(&a, &mesos_v1_scheduler_Call_json, json, strlen(json), &c, &e);
	EQ_STR(e.text, "");
	(void)validate_call(&c, &e);
	EQ_STR(e.text, why);
	arena_fini(&a);
}

TEST(mesos_validate, calls)
{
	call_refused("{}", "Expecting 'type' to be present");
	call_refused("{\"type\":\"REVIVE\"}", "Expecting 'framework_id' to be present");
	call_refused("{\"type\":\"ACCEPT\",\"framework_id\":{\"value\":\"f\"}}", "Expecting 'accept' to be present");
	call_refused("{\"type\":\"SUBSCRIBE\",\"framework_id\":{\"value\":\"f\"},\"subscribe\":{\"framework_info\":{" WHO "}}}",
		     "'framework_id' differs from 'subscribe.framework_info.id'");
	call_refused("{\"type\":\"ACKNOWLEDGE\",\"framework_id\":{\"value\":\"f\"},\"acknowledge\":{\"agent_id\":{\"value\":\"S0\"},"
		     "\"task_id\":{\"value\":\"t\"},\"uuid\":\"YWJj\"}}", "Not a valid UUID");
	call_refused("{\"type\":\"REVIVE\",\"framework_id\":{\"value\":\"f\"}}", "");
}
