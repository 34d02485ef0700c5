/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first process of a container from fork to exec, see container.h. A step that fails is one sentence on the report pipe.
 */
#include "roles/agent/container.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "net/base/str.h"
#include "net/pb_util.h"

#define GROUPS_MAX 64
#define SPEC_PIECE_BYTES 4096
#define NAMESPACES (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC)

/* What an unprivileged container with an image may do: the set Docker grants. */
static const uint8_t granted[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID, CAP_FOWNER, CAP_MKNOD, CAP_NET_RAW, CAP_SETGID, CAP_SETUID, CAP_SETFCAP,
	CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL, CAP_AUDIT_WRITE,
};

struct who {
	uid_t uid;
	gid_t gid;
	gid_t groups[GROUPS_MAX];
	int group_count;
	bool change;
};

/* ---- who runs it ---- */

static int find_group(const char *text, gid_t *out, struct err *e)
{
	uint64_t n;
	struct group *g = getgrnam(text);
	if (g)
		*out = g->gr_gid;
	else if (str_u64(str_of(text), &n) && n <= INT32_MAX)
		*out = (gid_t)n;
	else
		return err_set(e, E_INVALID, "there is no group '%s'", text);
	return 0;
}

/* "name", "uid", "name:group", "uid:gid", looked up in the root file system we see now. */
static int find_user(const char *text, struct who *out, struct err *e)
{
	uint64_t n;
	if (!text || !text[0] || strcmp(text, "root") == 0)
		return 0;
	AUTO_FREE char *copy = xstrdup(text);
	char *colon = strchr(copy, ':');
	if (colon)
		*colon = '\0';
	bool numeric = str_u64(str_of(copy), &n) && n <= INT32_MAX;
	struct passwd *pw = numeric ? getpwuid((uid_t)n) : getpwnam(copy);
	if (!pw && !numeric)
		return err_set(e, E_INVALID, "there is no user '%s'", copy);
	out->uid = pw ? pw->pw_uid : (uid_t)n;
	out->gid = pw ? pw->pw_gid : 0;
	out->change = true;
	out->group_count = GROUPS_MAX;
	if (!pw || getgrouplist(pw->pw_name, pw->pw_gid, out->groups, &out->group_count) < 0)
		out->group_count = 0;
	return colon ? find_group(colon + 1, &out->gid, e) : 0;
}

static int become(const struct who *who, struct err *e)
{
	if (!who->change)
		return 0;
	if (setgroups((size_t)who->group_count, who->groups) != 0 || setgid(who->gid) != 0 || setuid(who->uid) != 0)
		return err_sys(e, "become user %u", (unsigned)who->uid);
	return 0;
}

static int drop_bounding(struct err *e)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		bool keep = memchr(granted, cap, sizeof(granted)) != NULL;
		if (!keep && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			return err_sys(e, "drop capability %d", cap);
	}
	return 0;
}

/* What root keeps inside; for other users setuid has cleared everything already. */
static int limit_capabilities(struct err *e)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	for (size_t i = 0; i < sizeof(granted); i++)
		data[granted[i] / 32].permitted |= 1u << (granted[i] % 32);
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted;
	return syscall(SYS_capset, &header, data) != 0 ? err_sys(e, "limit capabilities") : 0;
}

static int drop_privileges(const dcos_ContainerSpec *s, const struct who *who, struct err *e)
{
	bool limited = s->cgroup && s->layers_count > 0 && !s->privileged;
	int rc = limited ? drop_bounding(e) : 0;
	if (rc == 0)
		rc = become(who, e);
	return rc == 0 && limited && !who->change ? limit_capabilities(e) : rc;
}

/* ---- small steps ---- */

static void reset_signals(void)
{
	sigset_t none;
	(void)sigemptyset(&none);
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);     /* those that cannot be set are at their default */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int open_log(int sandbox_fd, const char *name, int as_fd, struct err *e)
{
	AUTO_FD int fd = openat(sandbox_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || dup2(fd, as_fd) < 0)
		return err_sys(e, "open '%s' of the sandbox", name);
	return 0;
}

static int set_stdio(const dcos_ContainerSpec *s, struct err *e)
{
	AUTO_FD int dir = open(s->sandbox, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "open sandbox '%s'", s->sandbox);
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
		return err_sys(e, "open '/dev/null'");
	int rc = open_log(dir, "stdout", STDOUT_FILENO, e);
	return rc != 0 ? rc : open_log(dir, "stderr", STDERR_FILENO, e);
}

static int enter_workdir(const char *dir, struct err *e)
{
	if (chdir(dir) == 0)
		return 0;
	if (errno != ENOENT || mkdir(dir, 0755) != 0 || chdir(dir) != 0)
		return err_sys(e, "enter working directory '%s'", dir);
	return 0;
}

/* execvp searches the PATH of the environment it is given. */
static int run(const dcos_ContainerSpec *s, struct err *e)
{
	char **argv = xcalloc(s->argv_count + 1u, sizeof(*argv));
	char **env = xcalloc(s->env_count + 1u, sizeof(*env));
	for (size_t i = 0; i < s->argv_count; i++)
		argv[i] = s->argv[i];
	for (size_t i = 0; i < s->env_count; i++)
		env[i] = s->env[i];
	environ = env;
	(void)execvp(argv[0], argv);
	return err_sys(e, "run '%s'", argv[0]);
}

/* ---- the child ---- */

static int set_up_root(const dcos_ContainerSpec *s, struct err *e)
{
	int root_fd;
	int rc = mounts_root(s, &root_fd, e);
	if (rc == 0 && s->hostname && sethostname(s->hostname, strlen(s->hostname)) != 0)
		rc = err_sys(e, "set host name '%s'", s->hostname);
	if (rc != 0)
		return rc;
	return root_fd >= 0 ? mounts_image(s, root_fd, e) : mounts_host(s, e);
}

/* Until the end; none at all: there is nothing to run. */
static int read_spec(int fd, struct buf *out, struct err *e)
{
	ssize_t n = 1;
	while (n > 0) {
		uint8_t *room = buf_room(out, SPEC_PIECE_BYTES);
		if (!room)
			return err_set(e, E_TOOBIG, "the description of the container is too long");
		n = read(fd, room, SPEC_PIECE_BYTES);
		buf_grew(out, n > 0 ? (size_t)n : 0);
	}
	if (n < 0)
		return err_sys(e, "read the description of the container");
	if (out->len == 0)
		_exit(0);
	return 0;
}

static int child_steps(const dcos_ContainerSpec *s, struct err *e)
{
	struct who who = { 0 };
	int rc = set_stdio(s, e);
	if (rc == 0 && s->cgroup)
		rc = set_up_root(s, e);
	if (rc == 0)
		rc = find_user(s->user, &who, e);
	if (rc == 0)
		rc = enter_workdir(s->workdir, e);
	if (rc == 0)
		rc = drop_privileges(s, &who, e);
	if (rc == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)    /* after setuid, which clears it */
		rc = err_sys(e, "tie the container to its executor");
	if (rc == 0)
		(void)syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
	return rc != 0 ? rc : run(s, e);
}

static _Noreturn void child_main(const struct cgroup_host *h, const char *cgroup, int spec_fd, int report_fd)
{
	struct err e = { 0 };
	struct arena a = ARENA_INIT;
	struct buf bytes = BUF_INIT;
	dcos_ContainerSpec spec;
	reset_signals();
	(void)setsid();
	(void)umask(022);
	int rc = cgroup ? cgroup_join(h, cgroup, &e) : 0;
	if (rc == 0)
		rc = read_spec(spec_fd, &bytes, &e);
	if (rc == 0)
		rc = pb_read(&a, dcos_ContainerSpec_fields, buf_view(&bytes), &spec, &e);
	if (rc == 0)
		(void)child_steps(&spec, &e);
	(void)!write(report_fd, e.text, strlen(e.text));    /* nobody left to tell when that fails */
	_exit(127);
}

/* As fork, into new namespaces. */
static pid_t fork_into(unsigned long namespaces)
{
	return (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, NULL, NULL, NULL, 0);
}

int container_seed(const struct cgroup_host *h, const char *cgroup, struct container_seed *out, struct err *e)
{
	int spec[2], report[2];
	if (pipe2(spec, O_CLOEXEC) != 0)
		return err_sys(e, "open a pipe");
	if (pipe2(report, O_CLOEXEC) != 0) {
		(void)close(spec[0]);
		(void)close(spec[1]);
		return err_sys(e, "open a pipe");
	}
	pid_t pid = fork_into(cgroup ? NAMESPACES : 0);
	if (pid == 0) {
		(void)close(spec[1]);        /* else it would wait for itself */
		child_main(h, cgroup, spec[0], report[1]);
	}
	int rc = pid < 0 ? err_sys(e, "create the container's namespaces") : 0;
	(void)close(spec[0]);
	(void)close(report[1]);
	*out = (struct container_seed){ .pid = pid, .spec_fd = spec[1], .report_fd = report[0] };
	if (rc != 0) {
		(void)close(spec[1]);
		(void)close(report[0]);
	}
	return rc;
}

int container_run(struct container_seed *seed, struct str spec, struct err *e)
{
	int rc = 0;
	while (spec.len > 0 && rc == 0) {
		ssize_t n = write(seed->spec_fd, spec.p, spec.len);
		if (n < 0 && errno != EINTR)
			rc = err_sys(e, "describe the container to its first process");
		if (n > 0)
			spec = str_from(spec, (size_t)n);
	}
	(void)close(seed->spec_fd);
	seed->spec_fd = -1;
	return rc;
}
