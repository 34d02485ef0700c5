/* SPDX-License-Identifier: Apache-2.0 */
/* Resources by the role they are reserved to: arithmetic pool by pool on roles/resources.c. */
#include "roles/master/mesos/pools.h"

#include <inttypes.h>

#include "net/limits.h"

void pools_fini(struct pools *p)
{
	for (size_t i = 0; i < p->count; i++) {
		free(p->v[i].role);
		resources_fini(&p->v[i].r);
	}
	free(p->v);
	*p = (struct pools){ 0 };
}

static struct pool *pool_find(const struct pools *p, const char *role)
{
	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->v[i].role, role) == 0)
			return &p->v[i];
	return NULL;
}

static struct pool *pool_get(struct pools *p, const char *role)
{
	struct pool *found = pool_find(p, role);
	if (found)
		return found;
	p->v = xrealloc(p->v, (p->count + 1) * sizeof(*p->v));
	p->v[p->count] = (struct pool){ .role = xstrdup(role) };
	return &p->v[p->count++];
}

const struct resources *pools_find(const struct pools *p, const char *role)
{
	const struct pool *found = pool_find(p, role);
	return found ? &found->r : NULL;
}

void pools_put(struct pools *p, const char *role, const struct resources *r) { resources_add(&pool_get(p, role)->r, r); }

void pools_copy(struct pools *dst, const struct pools *src)
{
	*dst = (struct pools){ 0 };
	pools_add(dst, src);
}

void pools_add(struct pools *a, const struct pools *b)
{
	for (size_t i = 0; i < b->count; i++)
		pools_put(a, b->v[i].role, &b->v[i].r);
}

bool pools_contains(const struct pools *a, const struct pools *b)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct pool *mine = pool_find(a, b->v[i].role);
		if (mine ? !resources_contains(&mine->r, &b->v[i].r) : !resources_empty(&b->v[i].r))
			return false;
	}
	return true;
}

void pools_sub(struct pools *a, const struct pools *b)
{
	for (size_t i = 0; i < b->count; i++)
		if (!resources_empty(&b->v[i].r))
			resources_sub(&pool_get(a, b->v[i].role)->r, &b->v[i].r);
}

void pools_sub_part(struct pools *a, const struct pools *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct pool *mine = pool_find(a, b->v[i].role);
		if (mine)
			resources_sub_part(&mine->r, &b->v[i].r);
	}
}

static struct resources without_ports(const struct resources *r)
{
	struct resources out = *r;
	out.ports = NULL;
	out.port_count = 0;
	return out;
}

void pools_add_scalars(struct pools *a, const struct pools *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct resources r = without_ports(&b->v[i].r);
		pools_put(a, b->v[i].role, &r);
	}
}

void pools_sub_scalars(struct pools *a, const struct pools *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct resources r = without_ports(&b->v[i].r);
		resources_sub(&pool_get(a, b->v[i].role)->r, &r);
	}
}

bool pools_empty(const struct pools *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (!resources_empty(&p->v[i].r))
			return false;
	return true;
}

void pools_total(const struct pools *p, struct resources *out)
{
	for (size_t i = 0; i < p->count; i++)
		resources_add(out, &p->v[i].r);
}

/* ---- v1 messages ---- */

static const char *row_role(const mesos_v1_Resource *row)
{
	const char *role = row->role;
	if (row->reservations_count > 0)
		role = row->reservations[row->reservations_count - 1].role;
	return role && role[0] ? role : "*";
}

int pools_from_v1(struct pools *out, const mesos_v1_Resource *rows, size_t count, struct err *e)
{
	struct pools sum = { 0 };
	if (count > LIMIT_RESOURCE_ROWS)
		return err_set(e, E_TOOBIG, "more than %d resources in one message", LIMIT_RESOURCE_ROWS);
	for (size_t i = 0; i < count; i++) {
		struct resources one = { 0 };
		int rc = resources_from_v1(&one, &rows[i], 1, e);
		if (rc != 0) {
			pools_fini(&sum);
			return rc;
		}
		pools_put(&sum, row_role(&rows[i]), &one);
		resources_fini(&one);
	}
	*out = sum;
	return 0;
}

static void refine(struct arena *a, mesos_v1_Resource *row)
{
	if (strcmp(row->role, "*") != 0) {
		row->reservations = arena_new(a, mesos_v1_Resource_ReservationInfo);
		row->reservations_count = 1;
		row->reservations->has_type = true;
		row->reservations->type = mesos_v1_Resource_ReservationInfo_Type_STATIC;
		row->reservations->role = row->role;
	}
	row->role = NULL;
}

mesos_v1_Resource *pools_to_v1(struct arena *a, const struct pools *p, const char *alloc_role, bool refined, size_t *out_count)
{
	mesos_v1_Resource *rows = NULL;
	size_t n = 0;
	for (size_t i = 0; i < p->count; i++) {
		size_t more;
		mesos_v1_Resource *part = resources_to_v1(a, &p->v[i].r, p->v[i].role, alloc_role, &more);
		if (more == 0)
			continue;
		for (size_t k = 0; refined && k < more; k++)
			refine(a, &part[k]);
		mesos_v1_Resource *all = arena_array(a, mesos_v1_Resource, n + more);
		if (n > 0)
			memcpy(all, rows, n * sizeof(*rows));
		memcpy(all + n, part, more * sizeof(*part));
		rows = all;
		n += more;
	}
	*out_count = n;
	return rows;
}

static void value_text(struct buf *out, const mesos_v1_Resource *row)
{
	if (row->scalar) {
		buf_printf(out, "%g", row->scalar->value);
		return;
	}
	buf_puts(out, "[");
	for (size_t i = 0; row->ranges && i < row->ranges->range_count; i++)
		buf_printf(out, "%s%" PRIu64 "-%" PRIu64, i > 0 ? ", " : "", row->ranges->range[i].begin, row->ranges->range[i].end);
	buf_puts(out, "]");
}

const char *pools_text(struct arena *a, const struct pools *p)
{
	AUTO_BUF struct buf out = BUF_INIT;
	size_t count;
	const mesos_v1_Resource *rows = pools_to_v1(a, p, NULL, false, &count);
	for (size_t i = 0; i < count; i++) {
		buf_printf(&out, "%s%s", i > 0 ? "; " : "", rows[i].name);
		if (strcmp(rows[i].role, "*") != 0)
			buf_printf(&out, "(%s)", rows[i].role);
		buf_puts(&out, ":");
		value_text(&out, &rows[i]);
	}
	return arena_str(a, buf_view(&out));
}
