/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked circular list. A head is a struct list whose links point at itself when empty. */
#pragma once

#include "net/base/base.h"

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l) { l->prev = l->next = l; }
static inline bool list_empty(const struct list *l) { return l->next == l || !l->next; }
static inline bool list_linked(const struct list *l) { return l->next && l->next != l; }

static inline void list_insert_before(struct list *at, struct list *n)
{
	n->prev = at->prev;
	n->next = at;
	at->prev->next = n;
	at->prev = n;
}

static inline void list_push(struct list *head, struct list *n) { list_insert_before(head, n); }          /* at the tail */
static inline void list_push_front(struct list *head, struct list *n) { list_insert_before(head->next, n); }

/* Unlink; harmless on a node that is not linked. */
static inline void list_remove(struct list *n)
{
	if (!n->next)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->prev = n->next = n;
}

static inline struct list *list_pop(struct list *head)
{
	struct list *n = head->next;
	if (list_empty(head))
		return NULL;
	head->next = n->next;            /* list_remove in other words: these the analyzer can follow when n is freed */
	n->next->prev = head;
	n->prev = n->next = n;
	return n;
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_each(head, it) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The current node may be removed inside the loop. */
#define list_each_safe(head, it) \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)
