/* SPDX-License-Identifier: Apache-2.0 */
/* Marathon's commands on a real store: what is kept of an app, what goes with it, and what a new leader loads. */
#include <stdio.h>

#include "roles/master/marathon/marathon_int.h"
#include "tests/lib/test.h"

static struct master m;
static struct marathon *ma;
static struct arena arena = ARENA_INIT;

static void stop_when_leading(void *arg, bool leads)
{
	(void)arg;
	if (leads)
		loop_stop(m.node.loop);
}

static void open_marathon(void)
{
	struct store_config c = { .dir = test_dir(), .member_id = 1, .address = "ab12" };
	struct err e;
	m.node.loop = m.node.loop ? m.node.loop : loop_new();
	m.node.metrics.count = 0;
	if (store_open(m.node.loop, &c, &m.store, &e) != 0)
		FAIL("%s", e.text);
	ma = marathon_new(&m);
	if (store_start(m.store, &e) != 0)
		FAIL("%s", e.text);
	store_on_role(m.store, stop_when_leading, NULL);
	loop_run(m.node.loop);
}

static void close_marathon(void)
{
	model_clear(ma);
	step_cancel(ma);
	marathon_free(ma);
	store_close(m.store);
}

static void on_stored(struct propose *p, struct str reply, const struct err *e)
{
	(void)p;
	(void)reply;
	if (e->code != 0)
		FAIL("%s", e->text);
	loop_stop(m.node.loop);
}

static void propose(uint32_t op, const pb_msgdesc_t *desc, const void *msg)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	struct propose p = { 0 };
	EQ_INT(pb_write(desc, msg, &bytes, NULL), 0);
	store_propose(m.store, op, buf_view(&bytes), 10 * SEC, &p, on_stored);
	loop_run(m.node.loop);
}

static const char *version(int n) { return arena_printf(&arena, "2026-01-01T00:00:00.%03dZ", n); }

static rec_App app(const char *id, int n)
{
	return (rec_App){
		.id = (char *)id, .version = (char *)version(n), .json = arena_printf(&arena, "{\"id\":\"%s\",\"instances\":1}", id),
		.last_scaling_at = (char *)version(n), .last_config_change_at = (char *)version(n), .has_unix_us = true, .unix_us = n,
	};
}

static void put_app(const char *id, int n)
{
	rec_App row = app(id, n);
	propose(rec_Op_OP_APPS, rec_AppsChange_fields, &(rec_AppsChange){ .put = &row, .put_count = 1 });
}

static size_t versions(const char *id, char ***out)
{
	size_t count;
	struct err e;
	if (records_versions(ma, &arena, id, out, &count, &e) != 0)
		FAIL("%s", e.text);
	return count;
}

TEST(marathon_records, fifty_versions_are_kept_newest_first)
{
	char **list;
	open_marathon();
	for (int n = 0; n < 53; n++)
		put_app("/x", n);
	put_app("/x-y", 0);       /* a neighbour in the table */
	EQ_INT(versions("/x", &list), 50);
	EQ_STR(list[0], version(52));
	EQ_STR(list[49], version(3));
	EQ_INT(versions("/x-y", &list), 1);
	close_marathon();
}

TEST(marathon_records, versions_of_a_removed_app_stay_until_its_deployment_has_ended)
{
	rec_AppVersion original = { .id = "/x", .version = (char *)version(1) };
	rec_DeploymentAction stop = { .app = "/x", .has_kind = true, .kind = ACTION_STOP };
	rec_Deployment d = { .id = "d1", .version = (char *)version(2), .actions = &stop, .actions_count = 1, .originals = &original, .originals_count = 1 };
	char *removed[] = { "/x" }, *ended[] = { "d1" }, **list;
	struct spec *s = NULL;
	open_marathon();
	put_app("/x", 1);
	propose(rec_Op_OP_APPS, rec_AppsChange_fields, &(rec_AppsChange){ .removed = removed, .removed_count = 1, .started = &d });
	EQ_INT(records_version(ma, "/x", version(1), &s, NULL), 0);
	spec_free(s);
	propose(rec_Op_OP_APPS, rec_AppsChange_fields, &(rec_AppsChange){ .ended = ended, .ended_count = 1 });
	EQ_INT(versions("/x", &list), 0);
	close_marathon();
}

TEST(marathon_records, new_leader_loads_apps_instances_failures_and_locks)
{
	uint32_t port = 31000;
	rec_AppVersion original = { .id = "/x" };
	rec_DeploymentAction scale = { .app = "/x", .has_kind = true, .kind = ACTION_SCALE, .has_step = true, .step = 1 };
	rec_Deployment d = { .id = "d1", .version = (char *)version(1), .actions = &scale, .actions_count = 1, .originals = &original, .originals_count = 1 };
	rec_App row = app("/x", 1);
	rec_Instance in = { .task_id = "x.1", .app_id = "/x", .app_version = (char *)version(1), .agent_id = "S0", .host = "h", .agent_ip = "10.0.0.1",
			    .ports = &port, .ports_count = 1, .has_state = true, .state = mesos_v1_TaskState_TASK_RUNNING,
			    .has_killing = true, .killing = true };
	rec_Instance stray = { .task_id = "gone.1", .app_id = "/gone", .app_version = (char *)version(1), .agent_id = "S0", .host = "h", .agent_ip = "h" };
	rec_TaskFailure f = { .app_id = "/x", .task_id = "x.0", .has_state = true, .state = mesos_v1_TaskState_TASK_FAILED, .message = "it fell" };
	struct err e;
	open_marathon();
	propose(rec_Op_OP_MARATHON, rec_Marathon_fields, &(rec_Marathon){ .framework_id = "f-0000" });
	propose(rec_Op_OP_APPS, rec_AppsChange_fields, &(rec_AppsChange){ .put = &row, .put_count = 1, .started = &d });
	propose(rec_Op_OP_INSTANCES, rec_Instances_fields, &(rec_Instances){ .put = &in, .put_count = 1, .failures = &f, .failures_count = 1 });
	propose(rec_Op_OP_INSTANCES, rec_Instances_fields, &(rec_Instances){ .put = &stray, .put_count = 1 });
	close_marathon();

	open_marathon();
	EQ_INT(records_load(ma, &e), 0);
	struct app *x = app_find(ma, "/x"), *gone = app_find(ma, "/gone");
	EQ_STR(ma->framework_id, "f-0000");
	EQ_INT(x->instance_count, 1);
	EQ_STR(x->instances[0]->task_id, "x.1");
	EQ_INT(x->instances[0]->ports[0], 31000);
	TRUE(x->instances[0]->killing);
	EQ_STR(x->failure.message, "it fell");
	EQ_STR(x->deployment->id, "d1");
	EQ_INT(x->deployment->step_count, 2);
	TRUE(!gone->spec);                /* its instance is to be ended */
	EQ_INT(gone->instance_count, 1);
	close_marathon();
}
