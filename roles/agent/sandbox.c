/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes: where tasks find their files and leave their output. Layout as in Mesos, below the work directory:
 *   slaves/AGENT/frameworks/FRAMEWORK/executors/EXECUTOR/runs/CONTAINER/{stdout,stderr}, runs/latest -> CONTAINER
 * and provisioner/containers/CONTAINER for what a container with an image writes to its root.
 */
#include "roles/agent/agent_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

#define TREE_DEPTH_MAX 512

char *sandbox_path(const struct agent *a, const char *framework_id, const char *executor_id, const char *container_id)
{
	return xasprintf("%s/slaves/%s/frameworks/%s/executors/%s/runs/%s", a->config.work_dir,
			 a->info.id ? a->info.id->value : "unregistered", framework_id, executor_id, container_id);
}

char *sandbox_writable(const struct agent *a, const char *container_id)
{
	return xasprintf("%s/provisioner/containers/%s", a->config.work_dir, container_id);
}

/* Ids become directory names. */
static bool usable_name(const char *id)
{
	return id[0] && strcmp(id, ".") != 0 && strcmp(id, "..") != 0 && !strchr(id, '/') && strlen(id) < 255;
}

/* The task's user owns its sandbox. A user that only the image knows owns nothing here: root's container may write anyway. */
static void give_to_user(struct task *t, int dir_fd, int file_fd)
{
	const char *user = t->info->command && t->info->command->user ? t->info->command->user : t->framework->user;
	struct passwd *pw = user && user[0] ? getpwnam(user) : NULL;
	if (!pw || geteuid() != 0)
		return;
	(void)!fchown(dir_fd, pw->pw_uid, pw->pw_gid);
	(void)!fchown(file_fd, pw->pw_uid, pw->pw_gid);
}

int sandbox_make(struct task *t, struct err *e)
{
	static const char *const logs[] = { "stdout", "stderr" };
	if (!usable_name(t->task_id) || !usable_name(t->framework_id))
		return err_set(e, E_INVALID, "task id '%s' cannot be a directory's name", t->task_id);
	int rc = node_mkdirs(t->sandbox, 0755, e);
	if (rc != 0)
		return rc;
	AUTO_FD int dir = open(t->sandbox, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "open sandbox '%s'", t->sandbox);
	for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
		AUTO_FD int fd = openat(dir, logs[i], O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (fd < 0)
			return err_sys(e, "create '%s' in '%s'", logs[i], t->sandbox);
		give_to_user(t, dir, fd);
	}
	AUTO_FREE char *latest = xasprintf("%s/../latest", t->sandbox);
	(void)unlink(latest);
	if (symlink(t->container_id, latest) != 0)
		return err_sys(e, "create symlink '%s'", latest);
	return 0;
}

/* Remove what is in the directory at fd (taken), but nothing on another file system. */
static int empty_dir(int fd, dev_t dev, int depth, struct err *e)
{
	DIR *d = fdopendir(fd);
	struct dirent *de;
	int rc = 0;
	if (!d) {
		(void)close(fd);
		return err_sys(e, "read a directory");
	}
	while (rc == 0 && (de = readdir(d))) {
		struct stat st;
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			int sub = openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (sub < 0 || st.st_dev != dev || depth >= TREE_DEPTH_MAX) {
				rc = err_set(e, E_BUSY, "directory '%s' is a mount, or nested too deep", de->d_name);
				if (sub >= 0)
					(void)close(sub);
			} else {
				rc = empty_dir(sub, dev, depth + 1, e);
			}
		}
		if (rc == 0 && unlinkat(dirfd(d), de->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) != 0 && errno != ENOENT)
			rc = err_sys(e, "remove '%s'", de->d_name);
	}
	(void)closedir(d);
	return rc;
}

int sandbox_remove_tree(const char *path, struct err *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open '%s'", path);
	if (fstat(fd, &st) != 0) {
		(void)close(fd);
		return err_sys(e, "look at '%s'", path);
	}
	int rc = empty_dir(fd, st.st_dev, 0, e);
	if (rc == 0 && rmdir(path) != 0 && errno != ENOENT)
		rc = err_sys(e, "remove '%s'", path);
	return rc;
}
