/* SPDX-License-Identifier: Apache-2.0 */
/* Acts in order, with their bytes in one arena. */
#include "roles/master/mesos/outbox.h"

#include "net/pb_util.h"

void outbox_fini(struct outbox *o)
{
	arena_fini(&o->arena);
	free(o->v);
	*o = (struct outbox)OUTBOX_INIT;
}

void outbox_put(struct outbox *o, struct act act)
{
	if (o->count == o->cap) {
		o->cap = MAX(2 * o->cap, (size_t)32);
		o->v = xrealloc(o->v, o->cap * sizeof(*o->v));
	}
	o->v[o->count++] = act;
}

struct str outbox_encode(struct outbox *o, const pb_msgdesc_t *fields, const void *msg)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	struct err e = { 0 };
	int rc = pb_write(fields, msg, &bytes, &e);
	assert(rc == 0);
	return str_n(arena_str(&o->arena, buf_view(&bytes)), bytes.len);
}

struct str outbox_text(struct outbox *o, const char *text) { return str_of(arena_strdup(&o->arena, text)); }
