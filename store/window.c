/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of references, by log index. */
#include "store/window.h"

#include <stdlib.h>

#define WINDOW_CAP_FIRST 64

struct command *command_with_room(size_t len, uint8_t type)
{
	struct command *c = xcalloc(1, sizeof(*c) + len);
	c->refs = 1;
	c->type = type;
	c->len = len;
	return c;
}

struct command *command_new(struct str data, uint8_t type)
{
	struct command *c = command_with_room(data.len, type);
	if (data.len > 0)
		memcpy(c->data, data.p, data.len);
	return c;
}

struct command *command_ref(struct command *c)
{
	c->refs++;
	return c;
}

void command_unref(struct command *c)
{
	if (!c || --c->refs > 0)
		return;
	list_remove(&c->link);
	free(c->refusal);
	free(c);
}

static struct command **slot(const struct window *w, uint64_t index)
{
	return &w->slots[index & (w->cap - 1)];
}

void window_fini(struct window *w)
{
	window_restart(w, 0);
	free(w->slots);
	*w = (struct window){ 0 };
}

void window_restart(struct window *w, uint64_t next)
{
	while (w->count > 0)
		command_unref(window_pop(w));
	w->first = next;
}

static void grow(struct window *w)
{
	size_t cap = w->cap ? w->cap * 2 : WINDOW_CAP_FIRST;
	struct command **slots = xcalloc(cap, sizeof(struct command *));
	for (uint64_t i = w->first; i < window_end(w); i++)
		slots[i & (cap - 1)] = *slot(w, i);
	free(w->slots);
	w->slots = slots;
	w->cap = cap;
}

void window_push(struct window *w, struct command *c)
{
	assert(c->index == window_end(w));
	if (w->count == w->cap)
		grow(w);
	*slot(w, c->index) = c;
	w->count++;
	w->bytes += sizeof(*c) + c->len;
}

struct command *window_at(const struct window *w, uint64_t index)
{
	return index >= w->first && index < window_end(w) ? *slot(w, index) : NULL;
}

struct command *window_pop(struct window *w)
{
	assert(w->count > 0);
	struct command *c = *slot(w, window_end(w) - 1);
	w->count--;
	w->bytes -= sizeof(*c) + c->len;
	return c;
}

void window_trim(struct window *w, uint64_t index, size_t bytes)
{
	while (w->count > 0 && w->first < index && w->bytes > bytes) {
		struct command *c = *slot(w, w->first);
		w->bytes -= sizeof(*c) + c->len;
		w->first++;
		w->count--;
		command_unref(c);
	}
}
