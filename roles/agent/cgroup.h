/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups of containers: v1, hybrid (v1 controllers beside an empty cgroup2 tree) and v2. Every call takes the
 * container's path ("/dcos/c1/a1/<container id>"), which is the same below each mounted hierarchy. In a hybrid the
 * container sits in all v1 hierarchies we use and in cgroup2, where eBPF programs look for it.
 * Blocking file I/O on kernel file systems only; no state besides struct cgroup_host.
 */
#pragma once

#include <sys/types.h>

#include "net/base/buf.h"
#include "net/base/err.h"

enum cgroup_ctl { CGROUP_CPU, CGROUP_CPUACCT, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_FREEZER, CGROUP_CTL_COUNT };

/* What the machine offers: mount points, "" where there is none. */
struct cgroup_host {
	char v1[CGROUP_CTL_COUNT][256];
	char v2[256];
	bool v2_has[CGROUP_CTL_COUNT];      /* cgroup2 carries this controller */
};

#define CGROUP_MEM_MIN (32 * MIB)           /* as Mesos */

struct cgroup_usage {
	double user_secs, system_secs, throttled_secs;
	int64_t periods, throttled;
	int64_t mem_bytes, mem_limit_bytes, mem_max_bytes, rss_bytes, cache_bytes, mapped_bytes;
	int64_t processes;
};

/* Read a mountinfo file ("/proc/self/mountinfo") and look at the hierarchies it names. */
int cgroup_detect(const char *mountinfo_path, struct cgroup_host *out, struct err *e);
bool cgroup_present(const struct cgroup_host *h);            /* containers can be confined and found */

/* Make the group, and those above it, in every hierarchy; without limits. Exists: fine. */
int cgroup_create(const struct cgroup_host *h, const char *path, struct err *e);
/* Hard limit of memory; at least CGROUP_MEM_MIN is granted. Before the program starts. */
int cgroup_limit_memory(const struct cgroup_host *h, const char *path, int64_t bytes, struct err *e);
/* Share of CPU, and with cfs a hard cap. Once the program runs, so that mounting and exec are not held up. */
int cgroup_limit_cpu(const struct cgroup_host *h, const char *path, int64_t cpus_milli, bool cfs, struct err *e);
/*
 * Move this process into the group, in every hierarchy. Takes some 10 ms when nobody else has moved lately: the kernel waits for
 * all CPUs to notice.
 */
int cgroup_join(const struct cgroup_host *h, const char *path, struct err *e);

/* Processes in the group itself: heap, caller frees. An absent group has none. */
size_t cgroup_pids(const struct cgroup_host *h, const char *path, pid_t **out);
/* SIGKILL everything in the group and below, once; nothing that is forked meanwhile escapes. Then wait and look again. */
void cgroup_kill(const struct cgroup_host *h, const char *path);
bool cgroup_empty(const struct cgroup_host *h, const char *path);      /* no process in it or below; absent: true */
/* Remove the group and those below it from every hierarchy. Absent: fine. E_BUSY: something still runs in it. */
int cgroup_remove(const struct cgroup_host *h, const char *path, struct err *e);
/* Kill, wait and remove, for programs without a loop. E_TIMEOUT names the group. */
int cgroup_destroy(const struct cgroup_host *h, const char *path, int64_t timeout_us, struct err *e);
/* Names of the groups directly below `path` in any hierarchy, each once. */
void cgroup_each_child(const struct cgroup_host *h, const char *path, void (*fn)(void *arg, const char *name), void *arg);

/* A descriptor that becomes readable when the group meets its memory limit; -1 where that cannot be watched. */
int cgroup_watch_oom(const struct cgroup_host *h, const char *path);
int64_t cgroup_oom_kills(const struct cgroup_host *h, const char *path);
void cgroup_read_usage(const struct cgroup_host *h, const char *path, struct cgroup_usage *out);
/* The text of memory.stat, for the message of a task over its limit. */
void cgroup_memory_stat(const struct cgroup_host *h, const char *path, struct buf *out);

/* The figures written for an amount of CPU (Mesos' rules); pure. */
int64_t cgroup_cpu_shares(int64_t cpus_milli);
int64_t cgroup_cpu_quota_us(int64_t cpus_milli);             /* of each CGROUP_CPU_PERIOD_US */
int64_t cgroup_cpu_weight(int64_t cpus_milli);               /* cgroup v2's scale, 1 to 10000 */
#define CGROUP_CPU_PERIOD_US 100000
