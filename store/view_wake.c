/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the processes of a node that share a view: who writes, and waking the others. Three files of the directory, one
 * inotify descriptor a process:
 *
 *   wake    the writer changes it after each commit                         -> IN_MODIFY: readers look at the version
 *   writer  the writer holds a lock on it and the only writable descriptor  -> IN_CLOSE_WRITE: it has gone, try to follow it
 *   claim   the node's master holds a lock on it and writes to it once      -> IN_MODIFY: a writer that is not the master goes
 *
 * Locks are those of open file descriptions (F_OFD_*): they end with the process, and others can ask without taking. One asks
 * over a read-only descriptor first, because closing a writable one wakes everybody who waits. The kernel tells of a closed
 * file a moment before it lets go of its lock, so a try follows the news by a little. Where the system has no inotify instance
 * left, a slow timer does both.
 */
#include "store/view_int.h"

#include <fcntl.h>
#include <sys/inotify.h>

#include "net/base/log.h"

#define LOCK_DELAY_US (10 * MSEC)
#define POLL_US (500 * MSEC)

static int open_file(const struct view *v, const char *name, int flags)
{
	AUTO_FREE char *path = xasprintf("%s/%s", v->dir, name);
	return open(path, flags | O_CREAT | O_CLOEXEC, 0600);
}

static bool lock_is_free(const struct view *v, const char *name)
{
	struct flock f = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	AUTO_FD int fd = open_file(v, name, O_RDONLY);
	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &f) == 0 && f.l_type == F_UNLCK;
}

static bool lock_file(int fd)
{
	struct flock f = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	return fcntl(fd, F_OFD_SETLK, &f) == 0;
}

bool view_writes(const struct view *v)
{
	return v->lock_fd >= 0;
}

static bool take_lock(struct view *v)
{
	if (v->lock_fd >= 0)
		return true;
	if (!v->wants_lock || (v->claim_fd < 0 && !lock_is_free(v, "claim")) || !lock_is_free(v, "writer"))
		return false;
	AUTO_FD int fd = open_file(v, "writer", O_WRONLY);
	if (fd < 0 || !lock_file(fd))
		return false;
	v->lock_fd = MOVE_FD(fd);
	v->wake_fd = open_file(v, "wake", O_WRONLY);
	LOG(INFO, "writing the view", "dir=%s", v->dir);
	return true;
}

static void give_lock(struct view *v)
{
	LOG(INFO, "the master of this node writes the view", "dir=%s", v->dir);
	(void)close(MOVE_FD(v->wake_fd));
	(void)close(MOVE_FD(v->lock_fd));
	view_drop_staged(v);
	view_sync_lost(v);
}

static void lock_gained(struct view *v)
{
	view_sync_locked(v);
	if (v->on_lock)
		v->on_lock(v->on_lock_arg);
}

static void wake_poll(struct loop_timer *t)
{
	struct view *v = container_of(t, struct view, poll);
	if (v->lock_fd >= 0 && v->claim_fd < 0 && !lock_is_free(v, "claim"))
		give_lock(v);
	else if (v->wants_lock && v->lock_fd < 0 && take_lock(v))
		lock_gained(v);
	if (v->inotify)
		return;
	view_tell(v);
	loop_timer_start_lazy(v->loop, &v->poll, POLL_US, wake_poll);
}

static void wake_event(struct view *v, const struct inotify_event *ev)
{
	if (ev->wd == v->wake_wd || (ev->mask & IN_Q_OVERFLOW))
		view_tell(v);
	if (ev->wd != v->wake_wd)
		loop_timer_start(v->loop, &v->poll, LOCK_DELAY_US, wake_poll);
}

static void wake_readable(struct loop_fd *w, int events)
{
	struct view *v = loop_fd_arg(w);
	_Alignas(struct inotify_event) char bytes[2048];
	ssize_t len;
	(void)events;
	while ((len = read(v->inotify_fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t at = 0; at < len;) {
			const struct inotify_event *ev = (const struct inotify_event *)(bytes + at);
			wake_event(v, ev);
			at += (ssize_t)(sizeof(*ev) + ev->len);
		}
}

static int watch_file(struct view *v, const char *name, uint32_t mask)
{
	AUTO_FREE char *path = xasprintf("%s/%s", v->dir, name);
	AUTO_FD int fd = open_file(v, name, O_RDONLY);
	return fd < 0 ? -1 : inotify_add_watch(v->inotify_fd, path, mask);
}

void view_wake_listen(struct view *v)
{
	if (v->inotify || loop_timer_active(&v->poll))
		return;
	v->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (v->inotify_fd >= 0) {
		v->wake_wd = watch_file(v, "wake", IN_MODIFY);
		v->lock_wd = watch_file(v, "writer", IN_CLOSE_WRITE);
		v->claim_wd = watch_file(v, "claim", IN_MODIFY);
		if (v->wake_wd >= 0 && v->lock_wd >= 0 && v->claim_wd >= 0) {
			v->inotify = loop_fd_new(v->loop, v->inotify_fd, LOOP_READ, wake_readable, v);
			return;
		}
		(void)close(MOVE_FD(v->inotify_fd));
	}
	LOG(WARN, "no inotify left, the view is polled", "next=%s", "raise fs.inotify.max_user_instances");
	loop_timer_start_lazy(v->loop, &v->poll, POLL_US, wake_poll);
}

bool view_try_lock(struct view *v)
{
	v->wants_lock = true;
	view_wake_listen(v);
	return take_lock(v);
}

void view_on_lock(struct view *v, void (*fn)(void *arg), void *arg)
{
	v->on_lock = fn;
	v->on_lock_arg = arg;
}

int view_claim(struct view *v, struct err *e)
{
	if (v->claim_fd < 0) {
		AUTO_FD int fd = open_file(v, "claim", O_WRONLY);
		if (fd < 0)
			return err_sys(e, "open '%s/claim'", v->dir);
		if (!lock_file(fd))
			return err_set(e, E_BUSY, "another master already writes the view in '%s'; stop it first", v->dir);
		v->claim_fd = MOVE_FD(fd);
	}
	(void)!pwrite(v->claim_fd, "m", 1, 0);       /* only to be heard: without it the other lets go when it looks next */
	(void)view_try_lock(v);
	return 0;
}

void view_wake_others(struct view *v)
{
	(void)!pwrite(v->wake_fd, "w", 1, 0);        /* a full disk does not matter: the byte is there already */
}

void view_wake_close(struct view *v)
{
	loop_timer_stop(&v->poll);
	loop_fd_free(MOVE(v->inotify));
	int *fds[] = { &v->inotify_fd, &v->wake_fd, &v->lock_fd, &v->claim_fd };
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (*fds[i] >= 0)
			(void)close(MOVE_FD(*fds[i]));
}
