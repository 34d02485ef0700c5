/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map from a byte slice to a pointer. Keys are copied; values are borrowed.
 * Iteration order is insertion order as long as nothing was removed. Removal inside map_each of the current entry is allowed.
 */
#pragma once

#include "net/base/base.h"
#include "net/base/str.h"

struct map_entry {
	char *key;         /* owned by the map, NUL-terminated; NULL marks a removed entry */
	uint32_t key_len;
	uint32_t hash;
	void *value;
};

struct map {
	struct map_entry *entries;
	uint32_t *slots;           /* index + 1 into entries, 0 empty */
	uint32_t count;            /* live entries */
	uint32_t used, entry_cap;  /* entries written (live and removed) */
	uint32_t slot_count;       /* power of two */
};

void map_fini(struct map *m);                            /* a zeroed struct map is an empty map */
void *map_find(const struct map *m, struct str key);     /* value or NULL */
void *map_find_c(const struct map *m, const char *key);
/* Insert or replace; returns the value that was there before, or NULL. */
void *map_put(struct map *m, struct str key, void *value);
void *map_put_c(struct map *m, const char *key, void *value);
void *map_remove(struct map *m, struct str key);         /* the removed value, or NULL */
void *map_remove_c(struct map *m, const char *key);
void map_clear(struct map *m);
static inline size_t map_count(const struct map *m) { return m->count; }
uint32_t map_hash(const void *data, size_t len);

#define map_each(m, entry) \
	for (struct map_entry *entry = (m)->entries; entry && entry < (m)->entries + (m)->used; entry++) \
		if (!entry->key) { } else
