/* SPDX-License-Identifier: Apache-2.0 */
/* The real disk, and the few sequences of calls that have to be right everywhere: whole writes, atomic replacement. */
#include "store/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static int real_open(void *ctx, const char *path, int flags)
{
	(void)ctx;
	return open(path, flags | O_CLOEXEC, 0600);
}

static void real_close(void *ctx, int fd)
{
	(void)ctx;
	(void)close(fd);      /* what matters was synced before */
}

static ssize_t real_pread(void *ctx, int fd, void *out, size_t len, off_t at)
{
	(void)ctx;
	return pread(fd, out, len, at);
}

static ssize_t real_pwrite(void *ctx, int fd, const void *data, size_t len, off_t at)
{
	(void)ctx;
	return pwrite(fd, data, len, at);
}

static int real_sync(void *ctx, int fd)
{
	(void)ctx;
	return fdatasync(fd);
}

static int real_allocate(void *ctx, int fd, off_t bytes)
{
	(void)ctx;
	return fallocate(fd, 0, 0, bytes);
}

static off_t real_size(void *ctx, int fd)
{
	struct stat st;
	(void)ctx;
	return fstat(fd, &st) == 0 ? st.st_size : -1;
}

static int real_make_dir(void *ctx, const char *path)
{
	(void)ctx;
	return mkdir(path, 0700);
}

static int real_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return rename(from, to);
}

static int real_remove(void *ctx, const char *path)
{
	(void)ctx;
	return unlink(path);
}

static int real_sync_dir(void *ctx, const char *path)
{
	(void)ctx;
	AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && fsync(fd) == 0 ? 0 : -1;
}

static int64_t real_room(void *ctx, const char *path)
{
	struct statvfs fs;
	(void)ctx;
	return statvfs(path, &fs) == 0 ? (int64_t)((uint64_t)fs.f_bavail * fs.f_frsize) : -1;
}

static int real_list(void *ctx, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
	(void)ctx;
	DIR *dir = opendir(path);
	if (!dir)
		return -1;
	for (struct dirent *entry; (entry = readdir(dir));)
		if (entry->d_name[0] != '.')
			fn(arg, entry->d_name);
	(void)closedir(dir);
	return 0;
}

const struct disk disk_real = {
	.open = real_open,
	.close = real_close,
	.pread = real_pread,
	.pwrite = real_pwrite,
	.sync = real_sync,
	.allocate = real_allocate,
	.size = real_size,
	.make_dir = real_make_dir,
	.rename = real_rename,
	.remove = real_remove,
	.sync_dir = real_sync_dir,
	.room = real_room,
	.list = real_list,
};

int disk_write(const struct disk *d, int fd, const char *path, const void *data, size_t len, off_t at, struct err *e)
{
	const uint8_t *p = data;
	while (len > 0) {
		ssize_t n = d->pwrite(d->ctx, fd, p, len, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "write '%s'", path);
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t disk_read(const struct disk *d, int fd, void *out, size_t len, off_t at)
{
	size_t got = 0;
	while (got < len) {
		ssize_t n = d->pread(d->ctx, fd, (uint8_t *)out + got, len - got, at + (off_t)got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

int disk_read_file(const struct disk *d, const char *path, size_t bytes_max, struct buf *out, struct err *e)
{
	int fd = d->open(d->ctx, path, O_RDONLY);
	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	off_t size = d->size(d->ctx, fd);
	size_t len = size < 0 ? 0 : MIN((size_t)size, bytes_max);
	uint8_t *room = buf_room(out, len + 1);
	ssize_t n = size < 0 ? -1 : room ? disk_read(d, fd, room, len, 0) : 0;
	int rc = 0;
	if (n < 0)
		rc = err_sys(e, "read '%s'", path);
	else if (!room)
		rc = err_set(e, E_TOOBIG, "read '%s': larger than %zu bytes", path, out->max);
	else
		buf_grew(out, (size_t)n);
	d->close(d->ctx, fd);
	return rc;
}

int disk_write_file(const struct disk *d, const char *dir, const char *path, const void *data, size_t len, struct err *e)
{
	AUTO_FREE char *tmp = xasprintf("%s.tmp", path);
	int fd = d->open(d->ctx, tmp, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0)
		return err_sys(e, "create '%s'", tmp);
	int rc = disk_write(d, fd, tmp, data, len, 0, e);
	if (rc == 0 && d->sync(d->ctx, fd) != 0)
		rc = err_sys(e, "sync '%s'", tmp);
	d->close(d->ctx, fd);
	if (rc == 0 && d->rename(d->ctx, tmp, path) != 0)
		rc = err_sys(e, "rename '%s'", tmp);
	if (rc == 0 && d->sync_dir(d->ctx, dir) != 0)
		rc = err_sys(e, "sync directory '%s'", dir);
	return rc;
}
