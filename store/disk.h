/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk as the replicated log sees it: a handful of calls behind a struct, so that tests can stand in a disk that is full,
 * tears writes, loses what was not synced, or fails. Calls return as their system calls do: -1 and errno. Any thread.
 */
#pragma once

#include <sys/types.h>

#include "net/base/buf.h"
#include "net/base/err.h"

struct disk {
	void *ctx;                                     /* passed to every call; the implementation's own */
	int (*open)(void *ctx, const char *path, int flags);   /* files are made with mode 0600 */
	void (*close)(void *ctx, int fd);
	ssize_t (*pread)(void *ctx, int fd, void *out, size_t len, off_t at);
	ssize_t (*pwrite)(void *ctx, int fd, const void *data, size_t len, off_t at);
	int (*sync)(void *ctx, int fd);                /* data and size are on the medium when it returns 0 */
	int (*allocate)(void *ctx, int fd, off_t bytes);       /* reserve zeroed space; EOPNOTSUPP where there is no such call */
	off_t (*size)(void *ctx, int fd);
	int (*make_dir)(void *ctx, const char *path);  /* EEXIST when it is there */
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*remove)(void *ctx, const char *path);
	int (*sync_dir)(void *ctx, const char *path);  /* names made, renamed and removed in it are on the medium */
	int64_t (*room)(void *ctx, const char *path);  /* bytes that may still be written; -1: cannot be told */
	int (*list)(void *ctx, const char *path, void (*fn)(void *arg, const char *name), void *arg);
};

extern const struct disk disk_real;

/* All of `data`, whatever the number of calls. Errors: E_NOSPACE, E_IO. `path` is for the sentence only. */
int disk_write(const struct disk *d, int fd, const char *path, const void *data, size_t len, off_t at, struct err *e);
/* A file, its first `bytes_max` at most, appended to `out`. E_NOTFOUND; E_TOOBIG past out->max. */
int disk_read_file(const struct disk *d, const char *path, size_t bytes_max, struct buf *out, struct err *e);
/* Up to `len` bytes, fewer only at the end of the file. */
ssize_t disk_read(const struct disk *d, int fd, void *out, size_t len, off_t at);
/* Replace a file by new contents such that after a crash there is the old or the new; `dir` is the folder of `path`. */
int disk_write_file(const struct disk *d, const char *dir, const char *path, const void *data, size_t len, struct err *e);
