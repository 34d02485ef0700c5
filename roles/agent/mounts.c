/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system of a container, made by its first process before it runs the program (see container.h). The list of mounts,
 * masked and read-only paths is that of Mesos' filesystem/linux isolator. Paths inside an image are resolved with the image as
 * their root (openat2), so that a symlink in an image never leads to the host.
 */
#include "roles/agent/container.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "net/base/buf.h"
#include "net/base/str.h"

#define OVERLAY_OPTIONS_MAX 4000     /* mount(2) takes one page */
#define ETC_FILE_MAX (64 * KIB)

static int fd_path(int fd, char out[32]) { return snprintf(out, 32, "/proc/self/fd/%d", fd); }

static int do_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data, struct err *e)
{
	if (mount(source, target, type, flags, data) != 0)
		return err_sys(e, "mount %s on '%s'", source ? source : "again with other options", target);
	return 0;
}

/* ---- paths inside the image ---- */

static int open_in(int root_fd, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

/* Directory `path` of the image, made where it is missing. */
static int make_dir_in(int root_fd, const char *path, int *out_fd, struct err *e)
{
	AUTO_FREE char *part = xstrdup(path);
	AUTO_FD int at = open_in(root_fd, "/", O_PATH | O_DIRECTORY);
	for (char *next = part; at >= 0 && *next; ) {
		next += strspn(next, "/");
		char *name = next;
		next += strcspn(next, "/");
		char c = *next;
		*next = '\0';
		if (*name) {
			if (mkdirat(at, name, 0755) != 0 && errno != EEXIST)
				return err_sys(e, "create '%s' in the image", part);
			int fd = open_in(root_fd, part, O_PATH | O_DIRECTORY);
			(void)close(at);
			at = fd;
		}
		*next = c;
	}
	if (at < 0)
		return err_sys(e, "open '%s' in the image", path);
	*out_fd = MOVE_FD(at);
	return 0;
}

/* A new regular file in place of whatever the image has at `path`, whose directory is made. */
static int make_file_in(int root_fd, const char *path, const char *text, size_t len, struct err *e)
{
	AUTO_FREE char *dir = xstrdup(path);
	AUTO_FREE char *base = xstrdup(path);
	AUTO_FD int dir_fd = -1;
	int rc = make_dir_in(root_fd, dirname(dir), &dir_fd, e);
	if (rc != 0)
		return rc;
	const char *name = basename(base);
	(void)unlinkat(dir_fd, name, 0);    /* a symlink there must not be followed; usually there is nothing */
	AUTO_FD int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		return err_sys(e, "write '%s' in the image", path);
	return 0;
}

/* Where a bind mount of `source` goes: a directory or a file at `path`, made where it is missing. */
static int make_target_in(int root_fd, const char *path, bool is_dir, int *out_fd, struct err *e)
{
	if (is_dir)
		return make_dir_in(root_fd, path, out_fd, e);
	*out_fd = open_in(root_fd, path, O_PATH);
	if (*out_fd >= 0)
		return 0;
	int rc = make_file_in(root_fd, path, "", 0, e);
	if (rc != 0)
		return rc;
	*out_fd = open_in(root_fd, path, O_PATH);
	return *out_fd < 0 ? err_sys(e, "open '%s' in the image", path) : 0;
}

static int bind(const char *source, const char *target, bool read_only, struct err *e)
{
	int rc = do_mount(source, target, NULL, MS_BIND | MS_REC, NULL, e);
	if (rc != 0 || !read_only)
		return rc;
	return do_mount(source, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL, e);
}

static int bind_in(int root_fd, const char *source, const char *path, bool read_only, struct err *e)
{
	struct stat st;
	char target[32];
	AUTO_FD int fd = -1;
	if (stat(source, &st) != 0)
		return err_sys(e, "mount '%s' on '%s'", source, path);
	int rc = make_target_in(root_fd, path, S_ISDIR(st.st_mode), &fd, e);
	if (rc != 0)
		return rc;
	/* The magic link names the mount's root only after it is looked up anew: bind and remount by two descriptors. */
	(void)fd_path(fd, target);
	rc = bind(source, target, false, e);
	if (rc != 0 || !read_only)
		return rc;
	AUTO_FD int top = open_in(root_fd, path, O_PATH);
	(void)fd_path(top, target);
	return do_mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL, e);
}

static int mount_in(int root_fd, const char *path, const char *type, unsigned long flags, const char *data, struct err *e)
{
	char target[32];
	AUTO_FD int fd = -1;
	int rc = make_dir_in(root_fd, path, &fd, e);
	if (rc != 0)
		return rc;
	(void)fd_path(fd, target);
	return mount(type, target, type, flags, data) != 0 ? err_sys(e, "mount %s on '%s'", type, path) : 0;
}

/* ---- the root ---- */

/* Options of the overlay, layers relative to their common directory when they have one: the list must fit one page. */
static int overlay_options(const dcos_ContainerSpec *s, struct buf *out, struct err *e)
{
	AUTO_FREE char *parent = xstrdup(s->layers[0]);
	const char *dir = dirname(parent);
	size_t len = strlen(dir);
	if (chdir(dir) != 0)
		return err_sys(e, "enter '%s'", dir);
	buf_puts(out, "lowerdir=");
	for (size_t i = s->layers_count; i-- > 0; ) {
		const char *layer = s->layers[i];
		bool below = strncmp(layer, dir, len) == 0 && layer[len] == '/';
		buf_printf(out, "%s%s", below ? layer + len + 1 : layer, i ? ":" : "");
	}
	buf_printf(out, ",upperdir=%s/upper,workdir=%s/work", s->writable, s->writable);
	if (out->len > OVERLAY_OPTIONS_MAX)
		return err_set(e, E_TOOBIG, "the image has %u layers, too many to mount; squash it", (unsigned)s->layers_count);
	return 0;
}

static int mount_overlay(const dcos_ContainerSpec *s, int *out_root_fd, struct err *e)
{
	static const char *const dirs[] = { "", "/upper", "/work", "/root" };
	AUTO_BUF struct buf options = BUF_INIT;
	AUTO_FREE char *root = xasprintf("%s/root", s->writable);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		AUTO_FREE char *dir = xasprintf("%s%s", s->writable, dirs[i]);
		if (mkdir(dir, 0755) != 0 && errno != EEXIST)
			return err_sys(e, "create '%s'", dir);
	}
	int rc = overlay_options(s, &options, e);
	if (rc != 0)
		return rc;
	if (mount("overlay", root, "overlay", 0, buf_cstr(&options)) != 0)
		return err_sys(e, "mount the image's layers on '%s' (overlayfs)", root);
	*out_root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *out_root_fd < 0 ? err_sys(e, "open '%s'", root) : 0;
}

int mounts_root(const dcos_ContainerSpec *spec, int *out_root_fd, struct err *e)
{
	*out_root_fd = -1;
	int rc = do_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL, e);
	return rc == 0 && spec->layers_count > 0 ? mount_overlay(spec, out_root_fd, e) : rc;
}

/* ---- /proc, /sys, /dev ---- */

static int mount_kernel(int root_fd, struct err *e)
{
	const unsigned long quiet = MS_NOSUID | MS_NOEXEC | MS_NODEV;
	const struct { const char *path, *type; unsigned long flags; const char *data; } rows[] = {
		{ "/proc",          "proc",   quiet,                                 NULL },
		{ "/sys",           "sysfs",  quiet | MS_RDONLY,                     NULL },
		{ "/sys/fs/cgroup", "tmpfs",  quiet | MS_RDONLY,                     "mode=755,size=64k" },
		{ "/dev",           "tmpfs",  MS_NOSUID | MS_NOEXEC | MS_STRICTATIME, "mode=755,size=64k" },
		{ "/dev/pts",       "devpts", MS_NOSUID | MS_NOEXEC,                 "newinstance,ptmxmode=0666,mode=0620,gid=5" },
		{ "/dev/shm",       "tmpfs",  MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=1777,size=64m" },
		{ "/dev/mqueue",    "mqueue", quiet,                                 NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int rc = mount_in(root_fd, rows[i].path, rows[i].type, rows[i].flags, rows[i].data, e);
		if (rc != 0 && strcmp(rows[i].type, "mqueue") != 0)    /* kernels without POSIX queues do without */
			return rc;
	}
	return 0;
}

static int make_devices(int root_fd, struct err *e)
{
	static const struct { const char *name; unsigned major, minor; } nodes[] = {
		{ "full", 1, 7 }, { "null", 1, 3 }, { "random", 1, 8 }, { "tty", 5, 0 }, { "urandom", 1, 9 }, { "zero", 1, 5 },
	};
	static const struct { const char *name, *to; } links[] = {
		{ "fd", "/proc/self/fd" }, { "ptmx", "pts/ptmx" }, { "stderr", "/proc/self/fd/2" },
		{ "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
	};
	AUTO_FD int dev_fd = open_in(root_fd, "/dev", O_PATH | O_DIRECTORY);
	mode_t mask = umask(0);
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(nodes) && rc == 0; i++)
		if (mknodat(dev_fd, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) != 0)
			rc = err_sys(e, "create device '%s'", nodes[i].name);
	for (size_t i = 0; i < ARRAY_LEN(links) && rc == 0; i++)
		if (symlinkat(links[i].to, dev_fd, links[i].name) != 0)
			rc = err_sys(e, "create symlink '/dev/%s'", links[i].name);
	(void)umask(mask);
	return rc;
}

/* Read-only copies of themselves; an absent one is fine. */
static int protect(int root_fd, struct err *e)
{
	static const char *const paths[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char target[32];
		AUTO_FD int fd = open_in(root_fd, paths[i], O_PATH);
		if (fd < 0)
			continue;
		(void)fd_path(fd, target);
		int rc = do_mount(target, target, NULL, MS_BIND | MS_REC, NULL, e);
		if (rc != 0)
			return rc;
		AUTO_FD int top = open_in(root_fd, paths[i], O_PATH);
		(void)fd_path(top, target);
		rc = do_mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int mask(int root_fd, struct err *e)
{
	static const char *const paths[] = {
		"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware",
	};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char target[32];
		struct stat st;
		AUTO_FD int fd = open_in(root_fd, paths[i], O_PATH);
		if (fd < 0 || fstat(fd, &st) != 0)
			continue;
		(void)fd_path(fd, target);
		int rc = S_ISDIR(st.st_mode) ? do_mount("tmpfs", target, "tmpfs", MS_RDONLY, "size=0k", e)
					     : do_mount("/dev/null", target, NULL, MS_BIND, NULL, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- name service ---- */

static void read_host_file(const char *path, struct buf *out)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	out->max = ETC_FILE_MAX;
	for (;;) {
		uint8_t *room = fd >= 0 ? buf_room(out, 4096) : NULL;
		ssize_t n = room ? read(fd, room, 4096) : 0;
		if (n <= 0)
			return;
		buf_grew(out, (size_t)n);
	}
}

static void resolv_conf(const dcos_ContainerSpec *s, struct buf *out)
{
	if (s->nameservers_count == 0)
		read_host_file("/etc/resolv.conf", out);
	for (size_t i = 0; i < s->nameservers_count; i++)
		buf_printf(out, "nameserver %s\n", s->nameservers[i]);
}

static int write_etc(const dcos_ContainerSpec *s, int root_fd, struct err *e)
{
	AUTO_BUF struct buf resolv = BUF_INIT, hosts = BUF_INIT;
	char host[256] = "", name[260];
	resolv_conf(s, &resolv);
	read_host_file("/etc/hosts", &hosts);
	if (hosts.len == 0)
		buf_puts(&hosts, "127.0.0.1 localhost\n");
	if (gethostname(host, sizeof(host) - 1) != 0)
		return err_sys(e, "read the host's name");
	(void)snprintf(name, sizeof(name), "%s\n", host);
	int rc = make_file_in(root_fd, "/etc/resolv.conf", buf_cstr(&resolv), resolv.len, e);
	if (rc == 0)
		rc = make_file_in(root_fd, "/etc/hosts", buf_cstr(&hosts), hosts.len, e);
	return rc != 0 ? rc : make_file_in(root_fd, "/etc/hostname", name, strlen(name), e);
}

/* ---- both kinds ---- */

static int change_root(int root_fd, struct err *e)
{
	if (fchdir(root_fd) != 0 || syscall(SYS_pivot_root, ".", ".") != 0)
		return err_sys(e, "make the image the root");
	if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
		return err_sys(e, "leave the host's root");
	return 0;
}

static int copy_program(int root_fd, const char *path, struct err *e)
{
	char block[4096];
	ssize_t n;
	AUTO_FD int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int rc = make_file_in(root_fd, path, "", 0, e);
	if (rc != 0)
		return rc;
	AUTO_FD int to = open_in(root_fd, path, O_WRONLY);
	while (from >= 0 && to >= 0 && (n = read(from, block, sizeof(block))) > 0)
		if (write(to, block, (size_t)n) != n)
			return err_sys(e, "copy this executable to '%s' of the image", path);
	return from < 0 || to < 0 || fchmod(to, 0755) != 0 ? err_sys(e, "copy this executable to '%s' of the image", path) : 0;
}

/*
 * Our own executable as a file of the image. By its name, since /proc/self/exe leads to the mount namespace we came from; a
 * copy when another file has that name by now, after an upgrade.
 */
static int place_program(int root_fd, const char *path, struct err *e)
{
	char self[4096];
	struct stat running, named;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n < 0 ? 0 : n] = '\0';
	if (stat("/proc/self/exe", &running) == 0 && stat(self, &named) == 0 && running.st_dev == named.st_dev &&
	    running.st_ino == named.st_ino)
		return bind_in(root_fd, self, path, true, e);
	return copy_program(root_fd, path, e);
}

int mounts_image(const dcos_ContainerSpec *spec, int root_fd, struct err *e)
{
	int rc = mount_kernel(root_fd, e);
	if (rc == 0)
		rc = make_devices(root_fd, e);
	if (rc == 0 && !spec->privileged)
		rc = protect(root_fd, e);
	if (rc == 0 && !spec->privileged)
		rc = mask(root_fd, e);
	if (rc == 0)
		rc = bind_in(root_fd, spec->sandbox, spec->sandbox_in, false, e);
	if (rc == 0 && spec->program)
		rc = place_program(root_fd, spec->program, e);
	for (size_t i = 0; i < spec->mounts_count && rc == 0; i++)
		rc = bind_in(root_fd, spec->mounts[i].source, spec->mounts[i].target, spec->mounts[i].read_only, e);
	if (rc == 0)
		rc = write_etc(spec, root_fd, e);
	return rc != 0 ? rc : change_root(root_fd, e);
}

/* The container's own resolv.conf over the host's: from a file on its fresh /dev/shm, which keeps no name. */
static int cover_resolv_conf(const dcos_ContainerSpec *s, struct err *e)
{
	static const char *const temp = "/dev/shm/.resolv.conf";
	AUTO_BUF struct buf text = BUF_INIT;
	if (s->nameservers_count == 0 || access("/etc/resolv.conf", F_OK) != 0)
		return 0;
	resolv_conf(s, &text);
	AUTO_FD int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		return err_sys(e, "write the container's resolv.conf");
	int rc = do_mount(temp, "/etc/resolv.conf", NULL, MS_BIND, NULL, e);
	(void)unlink(temp);
	return rc;
}

int mounts_host(const dcos_ContainerSpec *spec, struct err *e)
{
	int rc = do_mount("proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL, e);
	if (rc == 0)
		rc = do_mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=1777,size=64m", e);
	if (rc == 0)
		rc = cover_resolv_conf(spec, e);
	for (size_t i = 0; i < spec->mounts_count && rc == 0; i++)
		rc = bind(spec->mounts[i].source, spec->mounts[i].target, spec->mounts[i].read_only, e);
	return rc;
}
