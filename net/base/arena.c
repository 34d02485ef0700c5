/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#define ARENA_ALIGN 16
#define ARENA_BLOCK_FIRST 1024
#define ARENA_BLOCK_MAX (256 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	_Alignas(ARENA_ALIGN) uint8_t data[];
};

void arena_init(struct arena *a, size_t max) { *a = (struct arena){ .max = max }; }

void arena_fini(struct arena *a)
{
	while (a->head) {
		struct arena_block *next = a->head->next;
		free(a->head);
		a->head = next;
	}
	a->used = 0;
}

static bool round_up(size_t size, size_t *out)
{
	size_t n;
	if (__builtin_add_overflow(size, (size_t)ARENA_ALIGN - 1, &n))
		return false;
	*out = n & ~(size_t)(ARENA_ALIGN - 1);
	return true;
}

static struct arena_block *block_new(struct arena *a, size_t at_least)
{
	size_t size = a->head ? MIN(a->head->size * 2, (size_t)ARENA_BLOCK_MAX) : (size_t)ARENA_BLOCK_FIRST;
	size = MAX(size, at_least);
	struct arena_block *b = xmalloc(sizeof(*b) + size);
	*b = (struct arena_block){ .next = a->head, .size = size };
	a->head = b;
	return b;
}

void *arena_try(struct arena *a, size_t size)
{
	size_t n;
	struct arena_block *b = a->head;
	if (!round_up(MAX(size, (size_t)1), &n) || n > a->max || a->used > a->max - n)
		return NULL;
	if (!b || b->size - b->used < n)
		b = block_new(a, n);
	void *p = b->data + b->used;
	b->used += n;
	a->used += n;
	return memset(p, 0, n);
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *p = arena_try(a, size);
	if (!p)
		abort();   /* sizes an outsider chose go through arena_try */
	return p;
}

void *arena_grow(struct arena *a, void *p, size_t old_size, size_t new_size)
{
	size_t old_n, new_n;
	struct arena_block *b = a->head;
	if (!p)
		return arena_try(a, new_size);
	if (!round_up(MAX(old_size, (size_t)1), &old_n) || !round_up(MAX(new_size, (size_t)1), &new_n))
		return NULL;
	if (new_n <= old_n)
		return p;
	bool newest = b && (uint8_t *)p + old_n == b->data + b->used;
	if (newest && new_n - old_n <= b->size - b->used && new_n - old_n <= a->max - a->used) {
		memset((uint8_t *)p + old_size, 0, new_n - old_size);
		b->used += new_n - old_n;
		a->used += new_n - old_n;
		return p;
	}
	void *q = arena_try(a, new_size);
	if (q)
		memcpy(q, p, old_size);
	return q;
}

char *arena_str(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 1);
	if (s.len)
		memcpy(p, s.p, s.len);
	return p;
}

char *arena_strdup(struct arena *a, const char *s) { return s ? arena_str(a, str_of(s)) : NULL; }

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	char *p = arena_alloc(a, (size_t)n + 1);
	(void)vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}
