/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every file leans on: fixed-width types, sizes, ownership macros. No functions beyond inlines.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB 1024LL
#define MIB (1024LL * KIB)
#define GIB (1024LL * MIB)

/* Time inside the program is int64_t microseconds. */
#define MSEC 1000LL
#define SEC (1000LL * MSEC)
#define MINUTE (60LL * SEC)
#define HOUR (60LL * MINUTE)
#define DAY (24LL * HOUR)
#define WEEK (7LL * DAY)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))

#define MIN(a, b) ({ __typeof__(a) min_a_ = (a); __typeof__(b) min_b_ = (b); min_a_ < min_b_ ? min_a_ : min_b_; })
#define MAX(a, b) ({ __typeof__(a) max_a_ = (a); __typeof__(b) max_b_ = (b); max_a_ > max_b_ ? max_a_ : max_b_; })

static inline void auto_free_(void *p) { free(*(void **)p); }
static inline void auto_fd_(int *fd) { if (*fd >= 0) (void)close(*fd); }

/* A local that owns: released when it goes out of scope, unless moved out. */
#define AUTO_FREE __attribute__((cleanup(auto_free_)))
#define AUTO_FD __attribute__((cleanup(auto_fd_)))
#define MOVE(p) ({ __typeof__(p) moved_ = (p); (p) = NULL; moved_; })
#define MOVE_FD(fd) ({ int moved_ = (fd); (fd) = -1; moved_; })

/* malloc that never returns NULL: for small fixed objects; out of memory ends the process. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);
char *xasprintf(const char *fmt, ...) PRINTF(1, 2);
