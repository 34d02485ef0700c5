/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing over indices into a dense entry array: small, cache-friendly, keeps insertion order. */
#include "net/base/map.h"

uint32_t map_hash(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = 0xcbf29ce484222325ull ^ len;   /* FNV-1a with a final mix */
	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(h ^ h >> 32);
}

static bool same(const struct map_entry *e, uint32_t hash, struct str key)
{
	return e->key && e->hash == hash && e->key_len == key.len && memcmp(e->key, key.p, key.len) == 0;
}

/* Slot that holds key, or the empty slot that ends its probe. Slots of removed entries stay taken until the next rebuild. */
static uint32_t slot_of(const struct map *m, uint32_t hash, struct str key, bool *found)
{
	uint32_t mask = m->slot_count - 1;
	for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
		*found = m->slots[i] != 0 && same(&m->entries[m->slots[i] - 1], hash, key);
		if (*found || m->slots[i] == 0)
			return i;
	}
}

static void rebuild(struct map *m)
{
	uint32_t cap = m->count < 6 ? 8 : m->count * 2;
	uint32_t slots = 16;
	while (slots < cap * 2)
		slots *= 2;
	struct map_entry *entries = xmalloc(cap * sizeof(*entries));
	uint32_t n = 0;
	for (uint32_t i = 0; i < m->used; i++)
		if (m->entries[i].key)
			entries[n++] = m->entries[i];
	free(m->entries);
	free(m->slots);
	m->entries = entries;
	m->entry_cap = cap;
	m->used = n;
	m->slot_count = slots;
	m->slots = xcalloc(slots, sizeof(*m->slots));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = entries[i].hash & (slots - 1);
		while (m->slots[at] != 0)
			at = (at + 1) & (slots - 1);
		m->slots[at] = i + 1;
	}
}

void map_fini(struct map *m)
{
	map_clear(m);
	free(m->entries);
	free(m->slots);
	*m = (struct map){ 0 };
}

void map_clear(struct map *m)
{
	for (uint32_t i = 0; i < m->used; i++)
		free(m->entries[i].key);
	if (m->slots)
		memset(m->slots, 0, m->slot_count * sizeof(*m->slots));
	m->used = m->count = 0;
}

void *map_find(const struct map *m, struct str key)
{
	bool found;
	if (m->count == 0)
		return NULL;
	uint32_t at = slot_of(m, map_hash(key.p, key.len), key, &found);
	return found ? m->entries[m->slots[at] - 1].value : NULL;
}

void *map_put(struct map *m, struct str key, void *value)
{
	bool found;
	uint32_t hash = map_hash(key.p, key.len);
	assert(key.len <= UINT32_MAX);
	if (m->used == m->entry_cap)
		rebuild(m);
	uint32_t at = slot_of(m, hash, key, &found);
	if (found) {
		void *old = m->entries[m->slots[at] - 1].value;
		m->entries[m->slots[at] - 1].value = value;
		return old;
	}
	m->entries[m->used] = (struct map_entry){
		.key = str_dup(key), .key_len = (uint32_t)key.len, .hash = hash, .value = value,
	};
	m->slots[at] = ++m->used;
	m->count++;
	return NULL;
}

void *map_remove(struct map *m, struct str key)
{
	bool found;
	if (m->count == 0)
		return NULL;
	uint32_t at = slot_of(m, map_hash(key.p, key.len), key, &found);
	if (!found)
		return NULL;
	struct map_entry *e = &m->entries[m->slots[at] - 1];
	void *value = e->value;
	free(e->key);
	e->key = NULL;
	e->value = NULL;
	m->count--;
	return value;
}

void *map_find_c(const struct map *m, const char *key) { return map_find(m, str_of(key)); }
void *map_put_c(struct map *m, const char *key, void *value) { return map_put(m, str_of(key), value); }
void *map_remove_c(struct map *m, const char *key) { return map_remove(m, str_of(key)); }
