/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent offers when it is told nothing, something, or nonsense. */
#include "roles/agent/agent_int.h"
#include "tests/lib/test.h"

static const mesos_v1_Resource *find(const mesos_v1_Resource *rows, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	FAIL("no %s", name);
}

TEST(agent_detect, mesos_keeps_a_gigabyte_and_five_of_disk)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct agent_config c = { .isolate = true };
	mesos_v1_Resource *r;
	size_t n;
	struct err e = { 0 };
	EQ_INT(detect_resources(&a, &c, 4, 8 * GIB, 100 * GIB, &r, &n, &e), 0);
	NEAR(find(r, n, "cpus")->scalar->value, 4, 0);
	NEAR(find(r, n, "mem")->scalar->value, 7168, 0);
	NEAR(find(r, n, "disk")->scalar->value, 97280, 0);
	EQ_INT(find(r, n, "ports")->ranges->range[0].begin, 1025);
	EQ_STR((const char *)find(r, n, "cpus")->role, "*");
}

TEST(agent_detect, small_machines_keep_half)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct agent_config c = { .isolate = true };
	mesos_v1_Resource *r;
	size_t n;
	struct err e = { 0 };
	EQ_INT(detect_resources(&a, &c, 1, 1 * GIB, 4 * GIB, &r, &n, &e), 0);
	NEAR(find(r, n, "mem")->scalar->value, 512, 0);
	NEAR(find(r, n, "disk")->scalar->value, 2048, 0);
}

TEST(agent_detect, what_the_flag_names_is_not_detected)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct agent_config c = { .isolate = true, .resources = "cpus:0.5;ports:[31000-31001]" };
	mesos_v1_Resource *r;
	size_t n;
	struct err e = { 0 };
	EQ_INT(detect_resources(&a, &c, 4, 8 * GIB, 100 * GIB, &r, &n, &e), 0);
	EQ_INT(n, 4);
	NEAR(find(r, n, "cpus")->scalar->value, 0.5, 0);
	EQ_INT(find(r, n, "ports")->ranges->range[0].end, 31001);
}

TEST(agent_detect, a_public_agent_gives_low_ports_to_its_own_role)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct agent_config c = { .isolate = true, .public = true };
	mesos_v1_Resource *r;
	size_t n;
	struct err e = { 0 };
	EQ_INT(detect_resources(&a, &c, 4, 8 * GIB, 100 * GIB, &r, &n, &e), 0);
	EQ_STR((const char *)find(r, n, "cpus")->role, "slave_public");
	EQ_INT(find(r, n, "ports")->ranges->range[0].begin, 1);
}

TEST(agent_detect, attributes_are_numbers_ranges_or_text)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	mesos_v1_Attribute *at;
	size_t n;
	struct err e = { 0 };
	EQ_INT(detect_attributes(&a, "rack:abc;level:10; keys:[1000-1500,2000-2100];public_ip:true", &at, &n, &e), 0);
	EQ_INT(n, 4);
	EQ_STR((const char *)at[0].text->value, "abc");
	NEAR(at[1].scalar->value, 10, 0);
	EQ_INT(at[2].ranges->range_count, 2);
	EQ_INT(at[2].ranges->range[1].begin, 2000);
	EQ_STR((const char *)at[3].text->value, "true");
	EQ_INT(detect_attributes(&a, NULL, &at, &n, &e), 0);
	EQ_INT(n, 0);
}

TEST(agent_detect, nonsense_is_named)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	mesos_v1_Attribute *at;
	size_t n;
	struct err e = { 0 };
	EQ_INT(detect_attributes(&a, "rack", &at, &n, &e), E_USAGE);
	HAS(e.text, "rack");
	EQ_INT(detect_attributes(&a, "x:[5-1]", &at, &n, &e), E_USAGE);
}

TEST(agent_detect, a_process_is_known_by_pid_and_start)
{
	int64_t mine, again;
	EQ_INT(launch_start_ticks(getpid(), &mine), 0);
	EQ_INT(launch_start_ticks(getpid(), &again), 0);
	TRUE(mine > 0 && mine == again);
	EQ_INT(launch_start_ticks(0x3fffffff, &again), E_NOTFOUND);
}
