/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a local cluster stands in, made and unmade: a bridge, a network namespace and a link for each node, an unreachable
 * route for virtual IPs, a cgroup for each node in every hierarchy, a bpffs for pinned programs. Each step finds what is
 * there already, so that a cluster which was killed is taken over, and undoing half of it works.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "net/base/log.h"
#include "net/base/time.h"
#include "net/netlink.h"
#include "roles/cli/up.h"
#include "roles/node.h"

#define VIP_NET 0x0b000000u             /* 11.0.0.0/8 */
#define VIP_PREFIX 8
#define CGROUP_ROOT "/sys/fs/cgroup"
#define BPF_FS_MAGIC 0xcafe4a11
#define NSFS_MAGIC 0x6e736673
#define KILL_TIMEOUT_US (10 * SEC)
#define PAUSE_US (2 * MSEC)
#define RESOLV_CONF "/etc/resolv.conf"

/* ---- cgroups ---- */

/* Mounted hierarchies we use, as directories; the unified one first. Returns the count. */
static size_t hierarchies(const char *out[8])
{
	static const char *const dirs[] = {
		CGROUP_ROOT "/unified", CGROUP_ROOT "/cpu", CGROUP_ROOT "/cpuacct", CGROUP_ROOT "/memory", CGROUP_ROOT "/pids",
		CGROUP_ROOT "/freezer",
	};
	size_t n = 0;
	if (access(CGROUP_ROOT "/cgroup.controllers", F_OK) == 0)
		out[n++] = CGROUP_ROOT;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		AUTO_FREE char *procs = xasprintf("%s/cgroup.procs", dirs[i]);
		if (access(procs, F_OK) == 0)
			out[n++] = dirs[i];
	}
	return n;
}

/* Roles stand in a leaf of their own: where controllers are on, inner cgroups of v2 hold no processes. */
void isolate_cgroup_files(struct arena *a, const struct plan *p, const struct plan_node *n, const char **out, size_t max)
{
	const char *dirs[8];
	size_t count = p->config->isolate ? hierarchies(dirs) : 0;
	assert(count < max);
	for (size_t i = 0; i < count; i++)
		out[i] = arena_printf(a, "%s%s/%s/roles/cgroup.procs", dirs[i], p->config->cgroup, n->name);
	out[count] = NULL;
}

static int make_cgroups(const struct plan *p, struct err *e)
{
	const char *dirs[8];
	size_t count = hierarchies(dirs);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < p->node_count; j++) {
			AUTO_FREE char *dir = xasprintf("%s%s/%s/roles", dirs[i], p->config->cgroup, p->nodes[j].name);
			int rc = node_mkdirs(dir, 0755, e);
			if (rc != 0)
				return rc;
		}
	return 0;
}

/* SIGKILL every process below a cgroup directory; returns how many there were. */
static size_t kill_below(const char *dir)
{
	AUTO_FREE char *procs = xasprintf("%s/cgroup.procs", dir);
	size_t killed = 0;
	FILE *f = fopen(procs, "re");
	int pid;
	while (f && fscanf(f, "%d", &pid) == 1)
		killed += pid > 0 && kill(pid, SIGKILL) == 0;
	if (f)
		(void)fclose(f);
	DIR *d = opendir(dir);
	for (struct dirent *entry; d && (entry = readdir(d));) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		AUTO_FREE char *below = xasprintf("%s/%s", dir, entry->d_name);
		killed += kill_below(below);
	}
	if (d)
		(void)closedir(d);
	return killed;
}

static void remove_below(const char *dir)
{
	DIR *d = opendir(dir);
	for (struct dirent *entry; d && (entry = readdir(d));) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		AUTO_FREE char *below = xasprintf("%s/%s", dir, entry->d_name);
		remove_below(below);
	}
	if (d)
		(void)closedir(d);
	(void)rmdir(dir);      /* the caller looks whether it is gone */
}

static void thaw_below(const char *dir)
{
	AUTO_FREE char *state = xasprintf("%s/freezer.state", dir);
	AUTO_FD int fd = open(state, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, "THAWED", 6);     /* a frozen process cannot die */
}

/* Kill what runs below <hierarchy><path> everywhere until nothing does, then remove the directories. */
static int clear_cgroup(const char *path, struct err *e)
{
	const char *dirs[8];
	size_t count = hierarchies(dirs);
	int64_t deadline = time_now_us() + KILL_TIMEOUT_US;
	for (;;) {
		size_t left = 0;
		for (size_t i = 0; i < count; i++) {
			AUTO_FREE char *dir = xasprintf("%s%s", dirs[i], path);
			thaw_below(dir);
			left += kill_below(dir);
			if (left == 0)
				remove_below(dir);
			left += access(dir, F_OK) == 0;
		}
		if (left == 0)
			return 0;
		if (time_now_us() > deadline)
			return err_set(e, E_TIMEOUT, "processes in cgroup '%s' cannot be killed", path);
		(void)usleep((useconds_t)PAUSE_US);
	}
}

/* Parents of our part that hold nothing else: "/dcos" of "/dcos/<cluster>". */
static void remove_parents(const char *path)
{
	const char *dirs[8];
	size_t count = hierarchies(dirs);
	AUTO_FREE char *parent = xstrdup(path);
	for (char *slash; (slash = strrchr(parent, '/')) && slash != parent;) {
		*slash = '\0';
		for (size_t i = 0; i < count; i++) {
			AUTO_FREE char *dir = xasprintf("%s%s", dirs[i], parent);
			(void)rmdir(dir);       /* in use by others: stays */
		}
	}
}

/* ---- network ---- */

static bool is_fs(const char *path, long magic)
{
	struct statfs fs;
	return statfs(path, &fs) == 0 && (long)fs.f_type == magic;
}

struct node_net {
	const struct plan *plan;
	const struct plan_node *node;
};

/* Inside the node's namespace: its end of the link, its address, the way to the bridge, no way out for VIPs. */
static int set_up_inside(void *arg, struct err *e)
{
	const struct node_net *nn = arg;
	int rc = nl_link_up("lo", e);
	if (rc == 0)
		rc = nl_addr_add("eth0", nn->node->ip4, nn->plan->prefix, e);
	if (rc == 0)
		rc = nl_link_up("eth0", e);
	if (rc == 0)
		rc = nl_route_unreachable(VIP_NET, VIP_PREFIX, true, e);
	return rc;
}

static int link_node(const struct plan *p, const struct plan_node *n, struct err *e)
{
	AUTO_FD int fd = open(n->netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open '%s'", n->netns);
	int rc = nl_veth_add(n->veth, "eth0", fd, "eth0", e);
	if (rc == 0)
		rc = nl_link_master(n->veth, p->config->bridge, e);
	if (rc == 0)
		rc = nl_link_up(n->veth, e);
	return rc;
}

static int make_node_net(const struct plan *p, const struct plan_node *n, struct err *e)
{
	struct node_net nn = { .plan = p, .node = n };
	int rc = node_mkdirs(n->dir, 0755, e);
	if (rc == 0 && !is_fs(n->netns, NSFS_MAGIC)) {
		rc = nl_link_del(n->veth, e);     /* its other end went with an earlier namespace, or soon will */
		if (rc == 0)
			rc = netns_create(n->netns, e);
	}
	if (rc == 0 && if_nametoindex(n->veth) == 0)
		rc = link_node(p, n, e);
	if (rc == 0)
		rc = netns_run(n->netns, set_up_inside, &nn, e);
	return rc == 0 ? 0 : err_wrap(e, "network of node %s", n->name);
}

static int make_network(const struct plan *p, struct err *e)
{
	int rc = nl_link_up("lo", e);
	if (rc == 0)
		rc = nl_bridge_add(p->config->bridge, e);
	if (rc == 0)
		rc = nl_addr_add(p->config->bridge, p->bridge4, p->prefix, e);
	if (rc == 0)
		rc = nl_link_up(p->config->bridge, e);
	if (rc == 0)
		rc = nl_route_unreachable(VIP_NET, VIP_PREFIX, true, e);
	for (size_t i = 0; i < p->node_count && rc == 0; i++)
		if (p->nodes[i].netns)
			rc = make_node_net(p, &p->nodes[i], e);
	return rc;
}

/* ---- bpffs ---- */

static int make_bpffs(const struct plan *p, struct err *e)
{
	int rc = node_mkdirs(p->bpf_dir, 0700, e);
	if (rc != 0 || is_fs(p->bpf_dir, BPF_FS_MAGIC))
		return rc;
	if (mount("bpf", p->bpf_dir, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
		LOG(WARN, "no bpffs, virtual IPs will not outlive lb", "dir=%s reason=%s", p->bpf_dir, strerror(errno));
	return 0;
}

static void unmount_all(const char *path, long magic)
{
	while (is_fs(path, magic) && umount2(path, MNT_DETACH) == 0)
		;
}

/* ---- the whole ---- */

int isolate_up(const struct plan *p, struct err *e)
{
	int rc = p->config->isolate ? make_network(p, e) : 0;
	if (rc == 0 && p->config->isolate)
		rc = make_cgroups(p, e);
	return rc == 0 && p->config->isolate ? make_bpffs(p, e) : rc;
}

/* Without cgroups only the agent's checkpoint knows what its executors are; the agent's own program reads it. */
static int end_executors(const struct plan_node *n, struct err *e)
{
	AUTO_FREE char *state_dir = xasprintf("--state-dir=%s", n->dir);
	char *argv[] = { "dcos-node", "agent-cleanup", state_dir, NULL };
	int status;
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(e, "fork");
	if (pid == 0) {
		(void)execv("/proc/self/exe", argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return err_set(e, E_IO, "the tasks of node %s could not be ended", n->name);
	return 0;
}

int isolate_kill_node(const struct plan *p, const struct plan_node *n, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", p->config->cgroup, n->name);
	bool has_tasks = n->kind == NODE_AGENT || n->kind == NODE_PUBLIC_AGENT;
	if (p->config->isolate)
		return clear_cgroup(path, e);
	return has_tasks ? end_executors(n, e) : 0;
}

int isolate_down(const struct plan *p, struct err *e)
{
	int rc = 0;
	if (!p->config->isolate) {
		for (size_t i = 0; i < p->node_count && rc == 0; i++)
			rc = isolate_kill_node(p, &p->nodes[i], e);
		return rc;
	}
	unmount_all(p->bpf_dir, BPF_FS_MAGIC);
	rc = clear_cgroup(p->config->cgroup, e);
	if (rc == 0)
		remove_parents(p->config->cgroup);
	for (size_t i = 0; i < p->node_count && rc == 0; i++) {
		const struct plan_node *n = &p->nodes[i];
		if (!n->netns)
			continue;
		rc = nl_link_del(n->veth, e);
		if (rc == 0 && access(n->netns, F_OK) == 0)
			rc = netns_delete(n->netns, e);
	}
	if (rc == 0)
		rc = nl_link_del(p->config->bridge, e);
	if (rc == 0)
		rc = nl_route_unreachable(VIP_NET, VIP_PREFIX, false, e);
	if (rc == 0)
		rc = nl_addr_del_within("lo", VIP_NET, VIP_PREFIX, e);      /* of a proxy that was killed */
	return rc;
}

/* ---- /etc/resolv.conf of the machine ---- */

static int copy_file(const char *from, const char *to, struct err *e)
{
	char text[4000];                  /* a resolver's file is short */
	AUTO_FD int in = open(from, O_RDONLY | O_CLOEXEC);
	ssize_t n = in < 0 ? -1 : read(in, text, sizeof(text));
	if (n < 0)
		return err_sys(e, "read '%s'", from);
	if (n == sizeof(text))
		return err_set(e, E_TOOBIG, "'%s' is too large to be set aside", from);
	AUTO_FD int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (out < 0 || write(out, text, (size_t)n) != n)
		return err_sys(e, "write '%s'", to);
	return 0;
}

/* The content is rewritten in place: in containers and namespaces the file is a mount and cannot be renamed over. */
int resolv_conf_point(const struct plan *p, struct err *e)
{
	AUTO_FREE char *saved = xasprintf("%s/resolv.conf.before", p->config->state_dir);
	int rc = access(saved, F_OK) == 0 ? 0 : copy_file(RESOLV_CONF, saved, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *text = xasprintf("# dcos-node up --resolv-conf; `dcos-node down` brings the old file back\n"
					 "options timeout:1 attempts:3\nnameserver %s\n", p->nodes[0].ip);
	AUTO_FD int fd = open(RESOLV_CONF, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return err_sys(e, "write '%s'", RESOLV_CONF);
	return 0;
}

int resolv_conf_restore(const struct plan *p, struct err *e)
{
	AUTO_FREE char *saved = xasprintf("%s/resolv.conf.before", p->config->state_dir);
	if (access(saved, F_OK) != 0)
		return 0;
	int rc = copy_file(saved, RESOLV_CONF, e);
	if (rc == 0)
		(void)unlink(saved);
	return rc;
}
