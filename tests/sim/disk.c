/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define SECTOR 512

static struct disk_sim_name *find_name(struct disk_sim *d, const char *path)
{
	for (size_t i = 0; i < DISK_SIM_NAMES; i++)
		if (strcmp(d->names[i].path, path) == 0)
			return &d->names[i];
	return NULL;
}

struct disk_sim_file *disk_sim_find(struct disk_sim *d, const char *path)
{
	struct disk_sim_name *n = find_name(d, path);
	return n ? &d->files[n->file] : NULL;
}

/* The directory is about to change: remember how it was. */
static void note_past(struct disk_sim *d)
{
	d->past = xrealloc(d->past, (d->past_count + 1) * sizeof(*d->past));
	memcpy(d->past[d->past_count++], d->names, sizeof(d->names));
}

static int fail(int no)
{
	errno = no;
	return -1;
}

/* The machine has stopped, or does so in this call. */
static bool dead(struct disk_sim *d, bool changes)
{
	if (changes && d->calls_until_dead >= 0 && d->calls_until_dead-- == 0)
		d->dead = true;
	return d->dead;
}

/* A call that changes something begins: does it fail? errno is set. */
static bool fails(struct disk_sim *d)
{
	errno = EIO;
	if (dead(d, true))
		return true;
	return d->calls_until_error >= 0 && d->calls_until_error-- == 0;
}

static bool used(const struct disk_sim *d, int file)
{
	for (size_t i = 0; i < DISK_SIM_NAMES; i++) {
		if (d->names[i].path[0] && d->names[i].file == file)
			return true;
		for (size_t k = 0; k < d->past_count; k++)
			if (d->past[k][i].path[0] && d->past[k][i].file == file)
				return true;
	}
	for (size_t i = 0; i < DISK_SIM_OPEN; i++)
		if (d->open[i] == file)
			return true;
	return false;
}

static int new_file(struct disk_sim *d)
{
	if (d->file_count < DISK_SIM_FILES)
		return (int)d->file_count++;
	int file = 0;
	while (used(d, file))
		assert(++file < DISK_SIM_FILES);
	free(d->files[file].now);
	free(d->files[file].medium);
	d->files[file] = (struct disk_sim_file){ 0 };
	return file;
}

static void resize(struct disk_sim_file *f, size_t len)
{
	if (len > f->cap) {
		size_t cap = MAX(len, f->cap * 2);
		f->now = xrealloc(f->now, cap);
		f->medium = xrealloc(f->medium, cap);
		memset(f->now + f->cap, 0, cap - f->cap);
		memset(f->medium + f->cap, 0, cap - f->cap);
		f->cap = cap;
	}
	if (len < f->len)
		memset(f->now + len, 0, f->len - len);
	f->len = len;
}

static int sim_open(void *ctx, const char *path, int flags)
{
	struct disk_sim *d = ctx;
	struct disk_sim_name *n = find_name(d, path);
	int fd = 0;
	if ((!n && (flags & O_CREAT)) || flags & O_TRUNC ? fails(d) : dead(d, false))
		return fail(EIO);
	if (!n && !(flags & O_CREAT))
		return fail(ENOENT);
	if (!n) {
		note_past(d);
		n = find_name(d, "");
		assert(n);
		(void)snprintf(n->path, sizeof(n->path), "%s", path);
		n->file = new_file(d);
	}
	if (flags & O_TRUNC)
		resize(&d->files[n->file], 0);
	while (d->open[fd] >= 0)
		assert(++fd < DISK_SIM_OPEN);
	d->open[fd] = n->file;
	return fd;
}

static void sim_close(void *ctx, int fd)
{
	((struct disk_sim *)ctx)->open[fd] = -1;
}

static struct disk_sim_file *file_of(struct disk_sim *d, int fd)
{
	assert(d->open[fd] >= 0);
	return &d->files[d->open[fd]];
}

static ssize_t sim_pread(void *ctx, int fd, void *out, size_t len, off_t at)
{
	struct disk_sim_file *f = file_of(ctx, fd);
	if (dead(ctx, false))
		return fail(EIO);
	if ((size_t)at >= f->len)
		return 0;
	len = MIN(len, f->len - (size_t)at);
	memcpy(out, f->now + at, len);
	return (ssize_t)len;
}

static int grow(struct disk_sim *d, struct disk_sim_file *f, size_t end)
{
	size_t more = end > f->len ? end - f->len : 0;
	if (more > d->space || (d->thin && d->space == 0))
		return fail(ENOSPC);
	d->space -= more;
	if (end > f->len)
		resize(f, end);
	return 0;
}

static ssize_t sim_pwrite(void *ctx, int fd, const void *data, size_t len, off_t at)
{
	struct disk_sim_file *f = file_of(ctx, fd);
	if (fails(ctx))
		return -1;
	len = MIN(len, (size_t)1 + rnd_below(&((struct disk_sim *)ctx)->rnd, 100000));       /* short writes happen */
	if (grow(ctx, f, (size_t)at + len) != 0)
		return -1;
	memcpy(f->now + at, data, len);
	return (ssize_t)len;
}

static int sim_sync(void *ctx, int fd)
{
	struct disk_sim *d = ctx;
	struct disk_sim_file *f = file_of(d, fd);
	if (fails(d))
		return -1;
	if (d->syncs_until_error == 0)
		return fail(EIO);
	if (d->syncs_until_error > 0)
		d->syncs_until_error--;
	if (f->len > 0)
		memcpy(f->medium, f->now, f->len);
	f->medium_len = f->len;
	return 0;
}

static int sim_allocate(void *ctx, int fd, off_t bytes)
{
	struct disk_sim *d = ctx;
	if (fails(d))
		return -1;
	return d->no_allocate ? fail(EOPNOTSUPP) : grow(d, file_of(d, fd), (size_t)bytes);
}

static off_t sim_size(void *ctx, int fd)
{
	return (off_t)file_of(ctx, fd)->len;
}

static int sim_make_dir(void *ctx, const char *path)
{
	(void)ctx;
	(void)path;
	return 0;
}

static int sim_remove(void *ctx, const char *path)
{
	struct disk_sim *d = ctx;
	struct disk_sim_name *n = find_name(d, path);
	if (fails(d))
		return -1;
	if (!n)
		return fail(ENOENT);
	note_past(d);
	d->space += d->files[n->file].len;
	n->path[0] = '\0';
	return 0;
}

static int sim_rename(void *ctx, const char *from, const char *to)
{
	struct disk_sim *d = ctx;
	struct disk_sim_name *n = find_name(d, from), *old = find_name(d, to);
	if (fails(d))
		return -1;
	if (!n)
		return fail(ENOENT);
	note_past(d);
	if (old)
		old->path[0] = '\0';
	(void)snprintf(n->path, sizeof(n->path), "%s", to);
	return 0;
}

static int sim_sync_dir(void *ctx, const char *path)
{
	(void)path;
	if (fails(ctx))
		return -1;
	((struct disk_sim *)ctx)->past_count = 0;
	return 0;
}

static int64_t sim_room(void *ctx, const char *path)
{
	(void)path;
	return (int64_t)((struct disk_sim *)ctx)->space;
}

static int sim_list(void *ctx, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
	struct disk_sim *d = ctx;
	size_t len = strlen(path);
	if (dead(d, false))
		return fail(EIO);
	for (size_t i = 0; i < DISK_SIM_NAMES; i++)
		if (strncmp(d->names[i].path, path, len) == 0 && d->names[i].path[len] == '/')
			fn(arg, d->names[i].path + len + 1);
	return 0;
}

void disk_sim_init(struct disk_sim *d, uint64_t seed)
{
	memset(d, 0, sizeof(*d));
	d->disk = (struct disk){ d, sim_open, sim_close, sim_pread, sim_pwrite, sim_sync, sim_allocate, sim_size, sim_make_dir,
		sim_rename, sim_remove, sim_sync_dir, sim_room, sim_list };
	rnd_seed(&d->rnd, seed);
	for (size_t i = 0; i < DISK_SIM_OPEN; i++)
		d->open[i] = -1;
	d->space = (size_t)GIB;
	d->syncs_until_error = d->calls_until_error = d->calls_until_dead = -1;
}

void disk_sim_fini(struct disk_sim *d)
{
	for (size_t i = 0; i < d->file_count; i++) {
		free(d->files[i].now);
		free(d->files[i].medium);
	}
	free(d->past);
}

static void cut_file(struct disk_sim *d, struct disk_sim_file *f)
{
	size_t len = rnd_below(&d->rnd, 2) ? f->len : f->medium_len;
	for (size_t at = 0; at < f->len; at += SECTOR)
		if (rnd_below(&d->rnd, 2))
			memcpy(f->medium + at, f->now + at, MIN((size_t)SECTOR, f->len - at));
	if (len < f->cap)
		memset(f->medium + len, 0, f->cap - len);
	if (f->cap > 0)
		memcpy(f->now, f->medium, f->cap);
	f->len = f->medium_len = len;
}

void disk_sim_power_cut(struct disk_sim *d)
{
	for (size_t i = 0; i < d->file_count; i++)
		cut_file(d, &d->files[i]);
	size_t kept = rnd_below(&d->rnd, d->past_count + 1);
	if (kept < d->past_count)
		memcpy(d->names, d->past[kept], sizeof(d->names));
	d->past_count = 0;
	disk_sim_kill(d);
}

void disk_sim_kill(struct disk_sim *d)
{
	for (size_t i = 0; i < DISK_SIM_OPEN; i++)
		d->open[i] = -1;
	d->dead = false;
	d->syncs_until_error = d->calls_until_error = d->calls_until_dead = -1;
}

void disk_sim_wipe(struct disk_sim *d)
{
	for (size_t i = 0; i < DISK_SIM_NAMES; i++) {
		if (d->names[i].path[0])
			d->space += d->files[d->names[i].file].len;
		d->names[i].path[0] = '\0';
	}
	d->past_count = 0;
}

bool disk_sim_flip(struct disk_sim *d, const char *path)
{
	struct disk_sim_file *f = disk_sim_find(d, path);
	if (!f || f->medium_len == 0)
		return false;
	size_t at = rnd_below(&d->rnd, f->medium_len);
	f->medium[at] ^= (uint8_t)(1U << rnd_below(&d->rnd, 8));
	f->now[at] = f->medium[at];
	return true;
}
