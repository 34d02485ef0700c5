/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap of pointers that know their place, so that any of them can be moved or removed. */
#include "roles/master/mesos/deadline.h"

void deadlines_fini(struct deadlines *ds)
{
	free(ds->v);
	*ds = (struct deadlines){ 0 };
}

static void put_at(struct deadlines *ds, size_t at, struct deadline *d)
{
	ds->v[at] = d;
	d->at = at + 1;
}

static void sift_up(struct deadlines *ds, size_t at, struct deadline *d)
{
	for (; at > 0 && ds->v[(at - 1) / 2]->due_us > d->due_us; at = (at - 1) / 2)
		put_at(ds, at, ds->v[(at - 1) / 2]);
	put_at(ds, at, d);
}

static void sift_down(struct deadlines *ds, size_t at, struct deadline *d)
{
	for (size_t child; (child = 2 * at + 1) < ds->count; at = child) {
		if (child + 1 < ds->count && ds->v[child + 1]->due_us < ds->v[child]->due_us)
			child++;
		if (ds->v[child]->due_us >= d->due_us)
			break;
		put_at(ds, at, ds->v[child]);
	}
	put_at(ds, at, d);
}

void deadline_clear(struct deadlines *ds, struct deadline *d)
{
	if (d->at == 0)
		return;
	size_t at = d->at - 1;
	struct deadline *last = ds->v[--ds->count];
	d->at = 0;
	if (last == d)
		return;
	sift_up(ds, at, last);
	sift_down(ds, last->at - 1, last);
}

void deadline_set(struct deadlines *ds, struct deadline *d, int64_t due_us, void (*fn)(struct deadline *d, void *arg))
{
	deadline_clear(ds, d);
	d->due_us = due_us;
	d->fn = fn;
	if (ds->count == ds->cap) {
		ds->cap = MAX(2 * ds->cap, (size_t)32);
		ds->v = xrealloc(ds->v, ds->cap * sizeof(*ds->v));
	}
	sift_up(ds, ds->count++, d);
}

int64_t deadlines_due_us(const struct deadlines *ds) { return ds->count > 0 ? ds->v[0]->due_us : INT64_MAX; }

void deadlines_run(struct deadlines *ds, int64_t now_us, void *arg)
{
	while (ds->count > 0 && ds->v[0]->due_us <= now_us) {
		struct deadline *d = ds->v[0];
		deadline_clear(ds, d);
		d->fn(d, arg);
	}
}
