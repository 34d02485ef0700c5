/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/buf.h"
#include "roles/vips.h"
#include "tests/lib/test.h"

TEST(vips, phash2_gives_the_vectors_of_dcos_l4lb)
{
	EQ_INT(phash2("foo.bar", 7) % 254, 37);
	EQ_INT(phash2("baz.qux", 7) % 254, 39);
	EQ_INT(phash2("sise.marathon", 13), 0xf4350897u);
}

static dcos_ViewName task_on(const char *agent_ip, const char *label, dcos_ViewPort *port, char **labels)
{
	labels[0] = (char *)label;
	*port = (dcos_ViewPort){ .has_number = true, .number = 31000, .protocol = "tcp", .vips_count = 1, .vips = labels };
	return (dcos_ViewName){
		.task_id = "t", .name = "sise", .framework = "marathon", .agent_ip = (char *)agent_ip, .ports_count = 1, .ports = port,
		.has_state = true, .state = mesos_v1_TaskState_TASK_RUNNING,
	};
}

TEST(vips, a_named_vip_gets_the_address_of_its_name)
{
	struct vips v;
	dcos_ViewPort port;
	char *labels[1];
	dcos_ViewName t = task_on("10.0.0.1", "/sise:80", &port, labels);
	vips_init(&v);
	vips_add(&v, &t);
	vips_finish(&v);
	EQ_INT(vips_address(&v, STR("sise.marathon")), 0x0b35098b);   /* 11.53.9.139 */
	EQ_INT(v.count, 1);
	EQ_INT(v.first->port, 80);
	EQ_INT(v.first->backend_count, 1);
	EQ_INT(v.first->backends->ip4, 0x0a000001);
	EQ_INT(v.first->backends->port, 31000);
	vips_fini(&v);
}

TEST(vips, draining_unhealthy_and_starting_tasks_take_no_connections_but_keep_the_vip)
{
	for (int i = 0; i < 3; i++) {
		struct vips v;
		dcos_ViewPort port;
		char *labels[1];
		dcos_ViewName t = task_on("10.0.0.1", "1.2.3.4:5000", &port, labels);
		if (i == 0)
			t.has_draining = t.draining = true;
		if (i == 1)
			t.has_healthy = true;
		if (i == 2)
			t.state = mesos_v1_TaskState_TASK_STAGING;
		vips_init(&v);
		vips_add(&v, &t);
		vips_finish(&v);
		EQ_INT(v.count, 1);
		EQ_INT(v.first->ip4, 0x01020304);
		EQ_INT(v.first->backend_count, 0);
		vips_fini(&v);
	}
}

TEST(vips, damaged_labels_are_left_out)
{
	static const char *const bad[] = { "", ":80", "sise", "sise:", "sise:0", "sise:65536", "sise:8a", "//:80", "fd01::1:80" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct vips v;
		dcos_ViewPort port;
		char *labels[1];
		dcos_ViewName t = task_on("10.0.0.1", bad[i], &port, labels);
		vips_init(&v);
		vips_add(&v, &t);
		vips_finish(&v);
		EQ_INT(v.count, 0);
		vips_fini(&v);
	}
}

TEST(vips, a_label_of_the_task_names_one_of_its_ports)
{
	struct vips v;
	dcos_ViewPort ports[2] = { { .has_number = true, .number = 31000 }, { .has_number = true, .number = 31001 } };
	mesos_v1_Label labels[] = {
		{ .key = "VIP_PORT1", .value = "udp://1.2.3.4:5000" }, { .key = "vip_port2", .value = "tcp://1.2.3.4:5000" },
		{ .key = "vip_port0", .value = "sctp://1.2.3.4:5000" }, { .key = "vip_port0" }, { .key = "vip_port" },
	};
	dcos_ViewName t = {
		.framework = "marathon", .agent_ip = "10.0.0.1", .ports_count = 2, .ports = ports, .labels_count = ARRAY_LEN(labels),
		.labels = labels, .has_state = true, .state = mesos_v1_TaskState_TASK_RUNNING,
	};
	vips_init(&v);
	vips_add(&v, &t);
	vips_finish(&v);
	EQ_INT(v.count, 1);
	TRUE(v.first->udp);
	EQ_INT(v.first->ip4, 0x01020304);
	EQ_INT(v.first->backends->port, 31001);
	vips_fini(&v);
}

TEST(vips, names_are_normalised_as_dcos_does)
{
	static const struct { const char *in, *out; } rows[] = {
		{ "/sise", "sise" }, { "/foo/bar", "foobar" }, { "Foo_Bar", "foo-bar" }, { "a..b", "a.b" }, { "-x-", "x" },
		{ "app.group", "app.group" }, { "", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF struct buf out = BUF_INIT;
		dcos_name(&out, str_of(rows[i].in));
		EQ_STR(buf_cstr(&out), rows[i].out);
	}
}
