/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups, see cgroup.h. Processes are found and killed in one hierarchy, which holds all of them: cgroup2 where it is
 * mounted, else the v1 freezer, else any other. Killing is final: with cgroup.kill or a frozen group no fork escapes.
 */
#include "roles/agent/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>

#include "net/base/time.h"

#define FILE_MAX_BYTES (1 * MIB)     /* cgroup.procs of a group at the pid limit */
#define MOUNTINFO_MAX_BYTES (4 * MIB)
#define FREEZE_SPINS 100
#define HIERARCHIES_MAX (CGROUP_CTL_COUNT + 1)

static const char *const ctl_names[CGROUP_CTL_COUNT] = { "cpu", "cpuacct", "memory", "pids", "freezer" };

/* ---- small files ---- */

/* Append the file; false when it cannot be read. */
static bool read_file(const char *path, size_t max, struct buf *out)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	out->max = max;
	while (fd >= 0) {
		uint8_t *room = buf_room(out, 4096);
		ssize_t n = room ? read(fd, room, 4096) : -1;
		if (n <= 0)
			return n == 0;
		buf_grew(out, (size_t)n);
	}
	return false;
}

static int write_file(const char *path, const char *text, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	if (write(fd, text, strlen(text)) < 0)
		return err_sys(e, "write '%s' to '%s'", text, path);
	return 0;
}

/* First number in <mount><path>/<file>, or fallback. */
static int64_t read_number(const char *mount, const char *path, const char *file, int64_t fallback)
{
	AUTO_FREE char *name = xasprintf("%s%s/%s", mount, path, file);
	AUTO_BUF struct buf text = BUF_INIT;
	int64_t v;
	if (!mount[0] || !read_file(name, FILE_MAX_BYTES, &text))
		return fallback;
	struct str rest = buf_view(&text);
	return str_i64(str_cut(&rest, '\n'), &v) ? v : fallback;
}

/* Value of the line "<key> <number>" in a file of such lines, or fallback. */
static int64_t find_number(struct str text, const char *key, int64_t fallback)
{
	int64_t v;
	while (text.p && text.len > 0) {
		struct str line = str_cut(&text, '\n');
		struct str word = str_cut(&line, ' ');
		if (str_eq_c(word, key) && str_i64(str_trim(line), &v))
			return v;
	}
	return fallback;
}

static int64_t read_keyed(const char *mount, const char *path, const char *file, const char *key, int64_t fallback)
{
	AUTO_FREE char *name = xasprintf("%s%s/%s", mount, path, file);
	AUTO_BUF struct buf text = BUF_INIT;
	if (!mount[0] || !read_file(name, FILE_MAX_BYTES, &text))
		return fallback;
	return find_number(buf_view(&text), key, fallback);
}

static int write_number(const char *mount, const char *path, const char *file, int64_t v, struct err *e)
{
	AUTO_FREE char *name = xasprintf("%s%s/%s", mount, path, file);
	char text[32];
	(void)snprintf(text, sizeof(text), "%lld", (long long)v);
	return write_file(name, text, e);
}

/* ---- what the machine offers ---- */

/* mountinfo escapes space, tab, newline and backslash as \ooo. */
static bool unescape_path(struct str in, char *out, size_t out_size)
{
	size_t n = 0;
	for (size_t i = 0; i < in.len; i++) {
		char c = in.p[i];
		if (c == '\\' && i + 3 < in.len) {
			c = (char)((in.p[i + 1] - '0') << 6 | (in.p[i + 2] - '0') << 3 | (in.p[i + 3] - '0'));
			i += 3;
		}
		if (n + 1 >= out_size)
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

static void note_v1(struct cgroup_host *out, const char *mount, struct str options)
{
	while (options.p && options.len > 0) {
		struct str word = str_cut(&options, ',');
		for (int c = 0; c < CGROUP_CTL_COUNT; c++)
			if (str_eq_c(word, ctl_names[c]) && !out->v1[c][0])
				(void)str_put(out->v1[c], sizeof(out->v1[c]), str_of(mount));
	}
}

/* One line: id parent dev root mountpoint options [fields] - fstype source superoptions. Only whole hierarchies (root "/"). */
static void note_mount(struct cgroup_host *out, struct str line)
{
	struct str field[6] = { { NULL, 0 } };
	char mount[256];
	for (int i = 0; i < 6; i++)
		field[i] = str_cut(&line, ' ');
	while (line.p && !str_eq_c(str_cut(&line, ' '), "-"))
		;
	if (!line.p || !str_eq_c(field[3], "/") || !unescape_path(field[4], mount, sizeof(mount)))
		return;
	struct str type = str_cut(&line, ' ');
	(void)str_cut(&line, ' ');
	if (str_eq_c(type, "cgroup"))
		note_v1(out, mount, line);
	else if (str_eq_c(type, "cgroup2") && !out->v2[0])
		(void)str_put(out->v2, sizeof(out->v2), str_of(mount));
}

static void note_v2_controllers(struct cgroup_host *out)
{
	AUTO_FREE char *name = xasprintf("%s/cgroup.controllers", out->v2);
	AUTO_BUF struct buf text = BUF_INIT;
	if (!out->v2[0] || !read_file(name, FILE_MAX_BYTES, &text))
		return;
	struct str rest = buf_view(&text);
	struct str line = str_cut(&rest, '\n');
	while (line.p && line.len > 0) {
		struct str word = str_cut(&line, ' ');
		for (int c = 0; c < CGROUP_CTL_COUNT; c++)
			if (str_eq_c(word, ctl_names[c]))
				out->v2_has[c] = true;
	}
}

int cgroup_detect(const char *mountinfo_path, struct cgroup_host *out, struct err *e)
{
	AUTO_BUF struct buf text = BUF_INIT;
	if (!read_file(mountinfo_path, MOUNTINFO_MAX_BYTES, &text))
		return err_sys(e, "read '%s'", mountinfo_path);
	*out = (struct cgroup_host){ 0 };
	struct str rest = buf_view(&text);
	while (rest.p && rest.len > 0)
		note_mount(out, str_cut(&rest, '\n'));
	note_v2_controllers(out);
	return 0;
}

/* The hierarchies in use, each once: a v1 mount may carry several controllers. */
static size_t hierarchies(const struct cgroup_host *h, const char *out[HIERARCHIES_MAX])
{
	size_t n = 0;
	for (int c = 0; c < CGROUP_CTL_COUNT; c++) {
		bool seen = !h->v1[c][0];
		for (size_t i = 0; i < n && !seen; i++)
			seen = strcmp(out[i], h->v1[c]) == 0;
		if (!seen)
			out[n++] = h->v1[c];
	}
	if (h->v2[0])
		out[n++] = h->v2;
	return n;
}

/* The one hierarchy in which processes are found and killed. */
static const char *kill_mount(const struct cgroup_host *h)
{
	const char *all[HIERARCHIES_MAX];
	if (h->v2[0])
		return h->v2;
	if (h->v1[CGROUP_FREEZER][0])
		return h->v1[CGROUP_FREEZER];
	return hierarchies(h, all) > 0 ? all[0] : "";
}

bool cgroup_present(const struct cgroup_host *h) { return kill_mount(h)[0] != '\0'; }

/* ---- making ---- */

int64_t cgroup_cpu_shares(int64_t cpus_milli) { return MAX((int64_t)2, 1024 * cpus_milli / 1000); }
int64_t cgroup_cpu_quota_us(int64_t cpus_milli) { return MAX((int64_t)1000, cpus_milli * CGROUP_CPU_PERIOD_US / 1000); }
int64_t cgroup_cpu_weight(int64_t cpus_milli)
{
	int64_t shares = MIN(cgroup_cpu_shares(cpus_milli), (int64_t)262144);
	return 1 + (shares - 2) * 9999 / 262142;
}

/* Let the children of <v2><dir> use our controllers. A group that holds processes refuses; then limits report it. */
static void enable_v2(const struct cgroup_host *h, const char *dir)
{
	AUTO_FREE char *name = xasprintf("%s%s/cgroup.subtree_control", h->v2, dir);
	struct err ignored = { 0 };
	for (int c = 0; c < CGROUP_CTL_COUNT; c++) {
		char word[16];
		(void)snprintf(word, sizeof(word), "+%s", ctl_names[c]);
		if (h->v2_has[c])
			(void)write_file(name, word, &ignored);
	}
}

/* mkdir -p below the mount; in cgroup2 each level hands the controllers down. */
static int make_dirs(const struct cgroup_host *h, const char *mount, const char *path, struct err *e)
{
	AUTO_FREE char *part = xstrdup(path);
	assert(path[0] == '/');
	for (char *at = part; ; at++) {
		char c = *at;
		if (at == part || (c != '/' && c != '\0'))
			continue;
		*at = '\0';
		AUTO_FREE char *dir = xasprintf("%s%s", mount, part);
		if (mkdir(dir, 0755) != 0 && errno != EEXIST)
			return err_sys(e, "create cgroup '%s'", dir);
		if (c == '\0')
			return 0;
		if (mount == h->v2)
			enable_v2(h, part);
		*at = c;
	}
}

int cgroup_create(const struct cgroup_host *h, const char *path, struct err *e)
{
	const char *mounts[HIERARCHIES_MAX];
	size_t n = hierarchies(h, mounts);
	if (h->v2[0])
		enable_v2(h, "");
	for (size_t i = 0; i < n; i++) {
		int rc = make_dirs(h, mounts[i], path, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int cgroup_limit_memory(const struct cgroup_host *h, const char *path, int64_t bytes, struct err *e)
{
	bytes = MAX(bytes, (int64_t)CGROUP_MEM_MIN);
	if (h->v1[CGROUP_MEMORY][0]) {
		int rc = write_number(h->v1[CGROUP_MEMORY], path, "memory.limit_in_bytes", bytes, e);
		return rc != 0 ? rc : write_number(h->v1[CGROUP_MEMORY], path, "memory.soft_limit_in_bytes", bytes, e);
	}
	return h->v2_has[CGROUP_MEMORY] ? write_number(h->v2, path, "memory.max", bytes, e) : 0;
}

static int limit_cpu_v1(const struct cgroup_host *h, const char *path, int64_t cpus_milli, bool cfs, struct err *e)
{
	int rc = write_number(h->v1[CGROUP_CPU], path, "cpu.shares", cgroup_cpu_shares(cpus_milli), e);
	if (rc == 0 && cfs)
		rc = write_number(h->v1[CGROUP_CPU], path, "cpu.cfs_period_us", CGROUP_CPU_PERIOD_US, e);
	if (rc == 0 && cfs)
		rc = write_number(h->v1[CGROUP_CPU], path, "cpu.cfs_quota_us", cgroup_cpu_quota_us(cpus_milli), e);
	return rc;
}

int cgroup_limit_cpu(const struct cgroup_host *h, const char *path, int64_t cpus_milli, bool cfs, struct err *e)
{
	if (h->v1[CGROUP_CPU][0])
		return limit_cpu_v1(h, path, cpus_milli, cfs, e);
	if (!h->v2_has[CGROUP_CPU])
		return 0;
	int rc = write_number(h->v2, path, "cpu.weight", cgroup_cpu_weight(cpus_milli), e);
	if (rc != 0 || !cfs)
		return rc;
	AUTO_FREE char *name = xasprintf("%s%s/cpu.max", h->v2, path);
	char text[64];
	(void)snprintf(text, sizeof(text), "%lld %d", (long long)cgroup_cpu_quota_us(cpus_milli), CGROUP_CPU_PERIOD_US);
	return write_file(name, text, e);
}

int cgroup_join(const struct cgroup_host *h, const char *path, struct err *e)
{
	const char *mounts[HIERARCHIES_MAX];
	size_t n = hierarchies(h, mounts);
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *name = xasprintf("%s%s/cgroup.procs", mounts[i], path);
		int rc = write_file(name, "0", e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- finding and killing ---- */

size_t cgroup_pids(const struct cgroup_host *h, const char *path, pid_t **out)
{
	AUTO_FREE char *name = xasprintf("%s%s/cgroup.procs", kill_mount(h), path);
	AUTO_BUF struct buf text = BUF_INIT;
	size_t n = 0, cap = 0;
	pid_t *pids = NULL;
	(void)read_file(name, FILE_MAX_BYTES, &text);    /* absent: nothing runs there */
	struct str rest = buf_view(&text);
	while (rest.p && rest.len > 0) {
		uint64_t pid;
		if (!str_u64(str_cut(&rest, '\n'), &pid) || pid == 0)
			continue;      /* 0: a process outside our pid namespace */
		if (n == cap)
			pids = xrealloc(pids, (cap = cap ? 2 * cap : 16) * sizeof(*pids));
		pids[n++] = (pid_t)pid;
	}
	*out = pids;
	return n;
}

/* Call fn with each subdirectory's name of <mount><path>. */
static void each_subdir(const char *mount, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
	AUTO_FREE char *dir = xasprintf("%s%s", mount, path);
	DIR *d = opendir(dir);
	struct dirent *de;
	while (d && (de = readdir(d)))
		if (de->d_type == DT_DIR && de->d_name[0] != '.')
			fn(arg, de->d_name);
	if (d)
		(void)closedir(d);
}

struct names {
	char **rows;
	size_t count;
};

static void names_add(void *arg, const char *name)
{
	struct names *n = arg;
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->rows[i], name) == 0)
			return;
	n->rows = xrealloc(n->rows, (n->count + 1) * sizeof(*n->rows));
	n->rows[n->count++] = xstrdup(name);
}

void cgroup_each_child(const struct cgroup_host *h, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
	const char *mounts[HIERARCHIES_MAX];
	struct names names = { NULL, 0 };
	size_t n = hierarchies(h, mounts);
	for (size_t i = 0; i < n; i++)
		each_subdir(mounts[i], path, names_add, &names);
	for (size_t i = 0; i < names.count; i++) {
		fn(arg, names.rows[i]);
		free(names.rows[i]);
	}
	free(names.rows);
}

struct walk {
	const struct cgroup_host *host;
	const char *path;
	void (*fn)(const struct cgroup_host *h, const char *path, void *arg);
	void *arg;
	int depth;
};

static void walk_child(void *arg, const char *name);

/* fn for every group below, children first, then for `path` itself. Nesting deeper than 16 is nobody's. */
static void walk(const struct walk *w)
{
	if (w->depth < 16)
		cgroup_each_child(w->host, w->path, walk_child, (void *)w);
	w->fn(w->host, w->path, w->arg);
}

static void walk_child(void *arg, const char *name)
{
	const struct walk *up = arg;
	AUTO_FREE char *path = xasprintf("%s/%s", up->path, name);
	struct walk w = *up;
	w.path = path;
	w.depth++;
	walk(&w);
}

static void signal_all(const struct cgroup_host *h, const char *path, int signo)
{
	AUTO_FREE pid_t *pids = NULL;
	size_t n = cgroup_pids(h, path, &pids);
	for (size_t i = 0; i < n; i++)
		(void)kill(pids[i], signo);    /* gone already is as good */
}

static void freezer_set(const struct cgroup_host *h, const char *path, const char *state)
{
	AUTO_FREE char *name = xasprintf("%s%s/freezer.state", h->v1[CGROUP_FREEZER], path);
	AUTO_BUF struct buf now = BUF_INIT;
	struct err ignored = { 0 };
	if (!h->v1[CGROUP_FREEZER][0] || write_file(name, state, &ignored) != 0)
		return;
	for (int i = 0; i < FREEZE_SPINS && strcmp(state, "FROZEN") == 0; i++) {
		buf_reset(&now);
		if (!read_file(name, FILE_MAX_BYTES, &now) || str_starts(buf_view(&now), STR("FROZEN")))
			return;
		(void)nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
}

static void kill_one(const struct cgroup_host *h, const char *path, void *arg UNUSED)
{
	AUTO_FREE char *name = xasprintf("%s%s/cgroup.kill", h->v2, path);
	struct err ignored = { 0 };
	if (h->v2[0] && write_file(name, "1", &ignored) == 0)
		return;
	freezer_set(h, path, "FROZEN");
	signal_all(h, path, SIGKILL);
	freezer_set(h, path, "THAWED");
}

void cgroup_kill(const struct cgroup_host *h, const char *path)
{
	struct walk w = { .host = h, .path = path, .fn = kill_one };
	if (cgroup_present(h))
		walk(&w);
}

static void count_one(const struct cgroup_host *h, const char *path, void *arg)
{
	AUTO_FREE pid_t *pids = NULL;
	*(size_t *)arg += cgroup_pids(h, path, &pids);
}

bool cgroup_empty(const struct cgroup_host *h, const char *path)
{
	size_t count = 0;
	struct walk w = { .host = h, .path = path, .fn = count_one, .arg = &count };
	if (cgroup_present(h))
		walk(&w);
	return count == 0;
}

static void remove_one(const struct cgroup_host *h, const char *path, void *arg)
{
	const char *mounts[HIERARCHIES_MAX];
	size_t n = hierarchies(h, mounts);
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *dir = xasprintf("%s%s", mounts[i], path);
		if (rmdir(dir) != 0 && errno != ENOENT)
			*(int *)arg = errno;
	}
}

int cgroup_remove(const struct cgroup_host *h, const char *path, struct err *e)
{
	int failed = 0;
	struct walk w = { .host = h, .path = path, .fn = remove_one, .arg = &failed };
	if (cgroup_present(h))
		walk(&w);
	if (failed == EBUSY)
		return err_set(e, E_BUSY, "processes still run in cgroup '%s'", path);
	errno = failed;
	return failed ? err_sys(e, "remove cgroup '%s'", path) : 0;
}

int cgroup_destroy(const struct cgroup_host *h, const char *path, int64_t timeout_us, struct err *e)
{
	int64_t end = time_now_us() + timeout_us;
	for (;;) {
		cgroup_kill(h, path);
		int rc = cgroup_empty(h, path) ? cgroup_remove(h, path, e) : E_BUSY;
		if (rc != E_BUSY)
			return rc;
		if (time_now_us() >= end)
			return err_set(e, E_TIMEOUT, "processes in cgroup '%s' do not die; look at them with ps", path);
		(void)nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
}

/* ---- memory and figures ---- */

static const char *memory_mount(const struct cgroup_host *h)
{
	return h->v1[CGROUP_MEMORY][0] ? h->v1[CGROUP_MEMORY] : h->v2_has[CGROUP_MEMORY] ? h->v2 : "";
}

/* v1: an eventfd registered with the group. */
static int watch_oom_v1(const struct cgroup_host *h, const char *path)
{
	AUTO_FREE char *control = xasprintf("%s%s/memory.oom_control", h->v1[CGROUP_MEMORY], path);
	AUTO_FREE char *events = xasprintf("%s%s/cgroup.event_control", h->v1[CGROUP_MEMORY], path);
	struct err ignored = { 0 };
	char line[64];
	AUTO_FD int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	AUTO_FD int control_fd = open(control, O_RDONLY | O_CLOEXEC);
	(void)snprintf(line, sizeof(line), "%d %d", event_fd, control_fd);
	if (event_fd < 0 || control_fd < 0 || write_file(events, line, &ignored) != 0)
		return -1;
	return MOVE_FD(event_fd);
}

int cgroup_watch_oom(const struct cgroup_host *h, const char *path)
{
	if (h->v1[CGROUP_MEMORY][0])
		return watch_oom_v1(h, path);
	if (!h->v2_has[CGROUP_MEMORY])
		return -1;
	AUTO_FREE char *name = xasprintf("%s%s/memory.events", h->v2, path);
	AUTO_FD int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd < 0 || inotify_add_watch(fd, name, IN_MODIFY) < 0)
		return -1;
	return MOVE_FD(fd);
}

int64_t cgroup_oom_kills(const struct cgroup_host *h, const char *path)
{
	const char *file = h->v1[CGROUP_MEMORY][0] ? "memory.oom_control" : "memory.events";
	return read_keyed(memory_mount(h), path, file, "oom_kill", 0);
}

void cgroup_memory_stat(const struct cgroup_host *h, const char *path, struct buf *out)
{
	AUTO_FREE char *name = xasprintf("%s%s/memory.stat", memory_mount(h), path);
	size_t max = out->max;
	(void)read_file(name, MIN(max, (size_t)FILE_MAX_BYTES), out);
	out->max = max;
}

static void usage_cpu(const struct cgroup_host *h, const char *path, struct cgroup_usage *u)
{
	double ticks = (double)sysconf(_SC_CLK_TCK);
	if (h->v1[CGROUP_CPUACCT][0]) {
		u->user_secs = (double)read_keyed(h->v1[CGROUP_CPUACCT], path, "cpuacct.stat", "user", 0) / ticks;
		u->system_secs = (double)read_keyed(h->v1[CGROUP_CPUACCT], path, "cpuacct.stat", "system", 0) / ticks;
	} else {
		u->user_secs = (double)read_keyed(h->v2, path, "cpu.stat", "user_usec", 0) / (double)SEC;
		u->system_secs = (double)read_keyed(h->v2, path, "cpu.stat", "system_usec", 0) / (double)SEC;
	}
	const char *mount = h->v1[CGROUP_CPU][0] ? h->v1[CGROUP_CPU] : h->v2;
	u->periods = read_keyed(mount, path, "cpu.stat", "nr_periods", 0);
	u->throttled = read_keyed(mount, path, "cpu.stat", "nr_throttled", 0);
	u->throttled_secs = h->v1[CGROUP_CPU][0] ? (double)read_keyed(mount, path, "cpu.stat", "throttled_time", 0) / 1e9
						 : (double)read_keyed(mount, path, "cpu.stat", "throttled_usec", 0) / 1e6;
}

static void usage_memory(const struct cgroup_host *h, const char *path, struct cgroup_usage *u)
{
	bool v1 = h->v1[CGROUP_MEMORY][0] != '\0';
	const char *mount = memory_mount(h);
	u->mem_bytes = read_number(mount, path, v1 ? "memory.usage_in_bytes" : "memory.current", 0);
	u->mem_limit_bytes = read_number(mount, path, v1 ? "memory.limit_in_bytes" : "memory.max", 0);
	u->mem_max_bytes = read_number(mount, path, v1 ? "memory.max_usage_in_bytes" : "memory.peak", u->mem_bytes);
	u->rss_bytes = read_keyed(mount, path, "memory.stat", v1 ? "total_rss" : "anon", 0);
	u->cache_bytes = read_keyed(mount, path, "memory.stat", v1 ? "total_cache" : "file", 0);
	u->mapped_bytes = read_keyed(mount, path, "memory.stat", v1 ? "total_mapped_file" : "file_mapped", 0);
}

void cgroup_read_usage(const struct cgroup_host *h, const char *path, struct cgroup_usage *out)
{
	size_t processes = 0;
	*out = (struct cgroup_usage){ 0 };
	usage_cpu(h, path, out);
	usage_memory(h, path, out);
	struct walk w = { .host = h, .path = path, .fn = count_one, .arg = &processes };
	if (cgroup_present(h))
		walk(&w);
	out->processes = (int64_t)processes;
}
