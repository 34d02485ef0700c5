/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups on a fake tree: v1, hybrid and v2 as a mountinfo file describes them, plain directories standing for them. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "roles/agent/cgroup.h"
#include "tests/lib/test.h"

static void put(const char *path, const char *text)
{
	AUTO_FREE char *full = xasprintf("%s/%s", test_dir(), path);
	for (char *at = full + strlen(test_dir()) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		(void)mkdir(full, 0755);
		*at = '/';
	}
	AUTO_FD int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	TRUE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static const char *get(const char *path)
{
	static char text[256];
	AUTO_FREE char *full = xasprintf("%s/%s", test_dir(), path);
	AUTO_FD int fd = open(full, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void detect(struct cgroup_host *h, const char *mountinfo)
{
	struct err e = { 0 };
	AUTO_FREE char *path = xasprintf("%s/mountinfo", test_dir());
	put("mountinfo", mountinfo);
	EQ_INT(cgroup_detect(path, h, &e), 0);
}

static void hybrid(struct cgroup_host *h)
{
	AUTO_FREE char *lines = xasprintf(
		"30 20 0:26 / /proc rw - proc proc rw\n"
		"31 20 0:27 / %1$s/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
		"32 20 0:28 / %1$s/memory rw shared:6 master:1 - cgroup cgroup rw,memory\n"
		"33 20 0:29 / %1$s/freezer rw - cgroup cgroup rw,freezer\n"
		"34 20 0:30 /docker/x %1$s/pids rw - cgroup cgroup rw,pids\n"
		"35 20 0:31 / %1$s/unified rw - cgroup2 cgroup2 rw\n", test_dir());
	put("unified/cgroup.controllers", "");
	put("cpu/x", "");
	put("memory/x", "");
	put("freezer/x", "");
	detect(h, lines);
}

static void v2(struct cgroup_host *h)
{
	AUTO_FREE char *lines = xasprintf("35 20 0:31 / %s/fs\\040cgroup rw - cgroup2 cgroup2 rw\n", test_dir());
	put("fs cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
	put("fs cgroup/cgroup.subtree_control", "");
	detect(h, lines);
}

TEST(agent_cgroup, a_hybrid_has_v1_controllers_and_a_bare_cgroup2)
{
	struct cgroup_host h;
	AUTO_FREE char *cpu = xasprintf("%s/cpu", test_dir());
	AUTO_FREE char *unified = xasprintf("%s/unified", test_dir());
	hybrid(&h);
	EQ_STR((const char *)h.v1[CGROUP_CPU], cpu);
	EQ_STR((const char *)h.v1[CGROUP_CPUACCT], cpu);
	EQ_STR((const char *)h.v2, unified);
	EQ_STR((const char *)h.v1[CGROUP_PIDS], "");      /* only part of that hierarchy is mounted */
	FALSE(h.v2_has[CGROUP_MEMORY]);
	TRUE(cgroup_present(&h));
}

TEST(agent_cgroup, v2_alone_has_its_controllers_and_a_path_with_a_space)
{
	struct cgroup_host h;
	v2(&h);
	TRUE(h.v2_has[CGROUP_CPU] && h.v2_has[CGROUP_MEMORY] && h.v2_has[CGROUP_PIDS]);
	FALSE(h.v2_has[CGROUP_FREEZER]);
	EQ_STR((const char *)h.v1[CGROUP_CPU], "");
}

TEST(agent_cgroup, without_any_mount_nothing_is_present)
{
	struct cgroup_host h;
	detect(&h, "30 20 0:26 / /proc rw - proc proc rw\n31 broken\n\n");
	FALSE(cgroup_present(&h));
	TRUE(cgroup_empty(&h, "/dcos/x"));
}

TEST(agent_cgroup, in_a_hybrid_limits_go_to_v1_and_the_group_is_in_both)
{
	struct cgroup_host h;
	struct err e = { 0 };
	hybrid(&h);
	put("cpu/dcos/c/cpu.shares", "1024");
	put("cpu/dcos/c/cpu.cfs_period_us", "");
	put("cpu/dcos/c/cpu.cfs_quota_us", "-1");
	put("memory/dcos/c/memory.limit_in_bytes", "");
	put("memory/dcos/c/memory.soft_limit_in_bytes", "");
	EQ_INT(cgroup_create(&h, "/dcos/c", &e), 0);
	EQ_INT(cgroup_limit_memory(&h, "/dcos/c", 64 * MIB, &e), 0);
	EQ_STR(get("memory/dcos/c/memory.limit_in_bytes"), "67108864");
	EQ_INT(cgroup_limit_cpu(&h, "/dcos/c", 100, false, &e), 0);
	EQ_STR(get("cpu/dcos/c/cpu.shares"), "102");
	EQ_STR(get("cpu/dcos/c/cpu.cfs_quota_us"), "-1");
	EQ_INT(cgroup_limit_cpu(&h, "/dcos/c", 100, true, &e), 0);
	EQ_STR(get("cpu/dcos/c/cpu.cfs_quota_us"), "10000");
}

TEST(agent_cgroup, joining_writes_to_each_hierarchy_once)
{
	struct cgroup_host h;
	struct err e = { 0 };
	hybrid(&h);
	put("cpu/dcos/c/cgroup.procs", "");
	put("memory/dcos/c/cgroup.procs", "");
	put("freezer/dcos/c/cgroup.procs", "");
	put("unified/dcos/c/cgroup.procs", "");
	EQ_INT(cgroup_join(&h, "/dcos/c", &e), 0);
	EQ_STR(get("unified/dcos/c/cgroup.procs"), "0");
	EQ_STR(get("freezer/dcos/c/cgroup.procs"), "0");
	TRUE(cgroup_join(&h, "/dcos/none", &e) != 0);
	HAS(e.text, "/dcos/none/cgroup.procs");
}

TEST(agent_cgroup, v2_hands_controllers_down_and_has_weight_and_max)
{
	struct cgroup_host h;
	struct err e = { 0 };
	v2(&h);
	put("fs cgroup/dcos/cgroup.subtree_control", "");
	put("fs cgroup/dcos/c/cpu.weight", "");
	put("fs cgroup/dcos/c/cpu.max", "");
	put("fs cgroup/dcos/c/memory.max", "");
	EQ_INT(cgroup_create(&h, "/dcos/c", &e), 0);
	EQ_STR(get("fs cgroup/dcos/cgroup.subtree_control"), "+pids");     /* the last of +cpu, +memory, +pids */
	EQ_INT(cgroup_limit_memory(&h, "/dcos/c", 1, &e), 0);
	EQ_STR(get("fs cgroup/dcos/c/memory.max"), "33554432");            /* never less than 32 MB */
	EQ_INT(cgroup_limit_cpu(&h, "/dcos/c", 2500, true, &e), 0);
	EQ_STR(get("fs cgroup/dcos/c/cpu.weight"), "98");
	EQ_STR(get("fs cgroup/dcos/c/cpu.max"), "250000 100000");
}

TEST(agent_cgroup, a_limit_that_cannot_be_written_is_an_error_that_names_the_file)
{
	struct cgroup_host h;
	struct err e = { 0 };
	hybrid(&h);
	TRUE(cgroup_limit_cpu(&h, "/dcos/c", 100, true, &e) != 0);
	HAS(e.text, "cpu.shares");
}

TEST(agent_cgroup, figures_are_mesos)
{
	EQ_INT(cgroup_cpu_shares(1000), 1024);
	EQ_INT(cgroup_cpu_shares(1), 2);
	EQ_INT(cgroup_cpu_quota_us(1000), 100000);
	EQ_INT(cgroup_cpu_quota_us(1), 1000);
	EQ_INT(cgroup_cpu_weight(1), 1);
	EQ_INT(cgroup_cpu_weight(256000), 10000);
	EQ_INT(cgroup_cpu_weight(1000000), 10000);
}

TEST(agent_cgroup, pids_are_read_and_foreign_zeros_left_out)
{
	struct cgroup_host h;
	pid_t *pids = NULL;
	hybrid(&h);
	put("unified/dcos/c/cgroup.procs", "12\n0\n345\n");
	EQ_INT(cgroup_pids(&h, "/dcos/c", &pids), 2);
	EQ_INT(pids[1], 345);
	free(pids);
	FALSE(cgroup_empty(&h, "/dcos"));                 /* groups below count */
	EQ_INT(cgroup_pids(&h, "/dcos/none", &pids), 0);
	free(pids);
}

static void count_name(void *arg, const char *name)
{
	*(int *)arg += strcmp(name, "a") == 0 ? 1 : 100;
}

TEST(agent_cgroup, children_of_all_hierarchies_are_listed_once)
{
	struct cgroup_host h;
	int n = 0;
	hybrid(&h);
	put("unified/dcos/a/cgroup.procs", "");
	put("cpu/dcos/a/cgroup.procs", "");
	put("memory/dcos/b/cgroup.procs", "");
	cgroup_each_child(&h, "/dcos", count_name, &n);
	EQ_INT(n, 101);
}

TEST(agent_cgroup, removing_takes_every_hierarchy_and_what_is_below)
{
	struct cgroup_host h;
	struct err e = { 0 };
	hybrid(&h);
	EQ_INT(cgroup_create(&h, "/dcos/c/inner", &e), 0);
	EQ_INT(cgroup_remove(&h, "/dcos/c", &e), 0);
	AUTO_FREE char *gone = xasprintf("%s/memory/dcos/c", test_dir());
	TRUE(access(gone, F_OK) != 0);
	EQ_INT(cgroup_remove(&h, "/dcos/c", &e), 0);      /* absent: fine */
}

TEST(agent_cgroup, usage_of_v1_is_read_from_its_files)
{
	struct cgroup_host h;
	struct cgroup_usage u;
	hybrid(&h);
	put("cpu/dcos/c/cpuacct.stat", "user 150\nsystem 50\n");
	put("cpu/dcos/c/cpu.stat", "nr_periods 7\nnr_throttled 2\nthrottled_time 1500000000\n");
	put("memory/dcos/c/memory.usage_in_bytes", "4096\n");
	put("memory/dcos/c/memory.stat", "cache 1\ntotal_cache 2\ntotal_rss 3\n");
	put("memory/dcos/c/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
	cgroup_read_usage(&h, "/dcos/c", &u);
	NEAR(u.user_secs, 1.5, 1e-9);
	NEAR(u.throttled_secs, 1.5, 1e-9);
	EQ_INT(u.periods, 7);
	EQ_INT(u.mem_bytes, 4096);
	EQ_INT(u.rss_bytes, 3);
	EQ_INT(cgroup_oom_kills(&h, "/dcos/c"), 1);
}
