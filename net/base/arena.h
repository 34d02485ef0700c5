/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocator with one owner: a request's memory, freed in one call. Not thread-safe. */
#pragma once

#include "net/base/base.h"
#include "net/base/str.h"

struct arena_block;
struct arena {
	struct arena_block *head;  /* newest block; owned */
	size_t used;               /* bytes handed out */
	size_t max;                /* ceiling in bytes; allocation past it returns NULL from arena_try, ends the process in arena_alloc */
};

#define ARENA_MAX_DEFAULT ((size_t)(512 * MIB))
#define AUTO_ARENA __attribute__((cleanup(arena_fini)))
#define ARENA_INIT { .max = ARENA_MAX_DEFAULT }

void arena_init(struct arena *a, size_t max);
void arena_fini(struct arena *a);
void *arena_try(struct arena *a, size_t size);       /* zeroed, 16-aligned; NULL past the ceiling */
void *arena_alloc(struct arena *a, size_t size);     /* as arena_try, never NULL */
void *arena_grow(struct arena *a, void *p, size_t old_size, size_t new_size);  /* in place when newest; NULL past the ceiling */
char *arena_strdup(struct arena *a, const char *s);  /* NULL gives NULL */
char *arena_str(struct arena *a, struct str s);      /* NUL-terminated copy */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);
#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (size_t)(n)))
