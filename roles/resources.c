/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on Mesos resources. Scalars are int64 thousandths from decoding on, so sums and comparisons are exact; ports are
 * kept sorted, disjoint and coalesced. Known names are cpus, mem, disk, gpus and ports; anything else is refused where it
 * comes in, so that nothing is silently lost. Pure.
 * Specification: Mesos' Resources class (three decimals, inclusive ranges merged on addition).
 */
#include "roles/resources.h"

#include <math.h>

#include "net/limits.h"

#define MILLI_MAX 1e15                 /* of one scalar: sums of a million of them still fit in int64 */

/* Scalars by name: one row for reading, writing and comparing. */
static const struct scalar_row { const char *name; size_t offset; } scalar_rows[] = {
	{ "cpus", offsetof(struct resources, cpus_milli) },
	{ "mem",  offsetof(struct resources, mem_milli) },
	{ "disk", offsetof(struct resources, disk_milli) },
	{ "gpus", offsetof(struct resources, gpus_milli) },
};

static int64_t *scalar_at(struct resources *r, size_t i) { return (int64_t *)((char *)r + scalar_rows[i].offset); }

static int64_t scalar_of(const struct resources *r, size_t i)
{
	return *(const int64_t *)((const char *)r + scalar_rows[i].offset);
}

void resources_fini(struct resources *r)
{
	free(r->ports);
	*r = (struct resources){ 0 };
}

void resources_copy(struct resources *dst, const struct resources *src)
{
	*dst = *src;
	dst->ports = NULL;
	if (src->port_count > 0) {
		dst->ports = xcalloc(src->port_count, sizeof(*dst->ports));
		memcpy(dst->ports, src->ports, src->port_count * sizeof(*dst->ports));
	}
}

/* ---- ranges ---- */

static int range_cmp(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Sort and merge what overlaps or touches. Returns the new count. */
static size_t ranges_coalesce(struct range *v, size_t count)
{
	size_t n = 0;
	if (count == 0)
		return 0;
	qsort(v, count, sizeof(*v), range_cmp);
	for (size_t i = 1; i < count; i++) {
		if (v[n].end == UINT64_MAX || v[i].begin <= v[n].end + 1)
			v[n].end = MAX(v[n].end, v[i].end);
		else
			v[++n] = v[i];
	}
	return n + 1;
}

static void ranges_add(struct resources *r, const struct range *v, size_t count)
{
	if (count == 0)
		return;
	r->ports = xrealloc(r->ports, (r->port_count + count) * sizeof(*v));
	memcpy(r->ports + r->port_count, v, count * sizeof(*v));
	r->port_count = ranges_coalesce(r->ports, r->port_count + count);
}

static bool ranges_contain(const struct resources *r, const struct range *v, size_t count)
{
	size_t at = 0;
	for (size_t i = 0; i < count; i++) {
		while (at < r->port_count && r->ports[at].end < v[i].begin)
			at++;
		if (at == r->port_count || v[i].begin < r->ports[at].begin || v[i].end > r->ports[at].end)
			return false;
	}
	return true;
}

/* Both sorted and disjoint. A cut in the middle makes two of one. */
static void ranges_sub(struct resources *r, const struct range *v, size_t count)
{
	struct range *out;
	size_t n = 0, cut = 0;
	if (count == 0 || r->port_count == 0)
		return;
	out = xcalloc(r->port_count + count, sizeof(*out));
	for (size_t i = 0; i < r->port_count; i++) {
		uint64_t begin = r->ports[i].begin, end = r->ports[i].end;
		bool rest = true;
		while (cut < count && v[cut].end < begin)
			cut++;
		for (size_t k = cut; k < count && v[k].begin <= end && rest; k++) {
			if (v[k].begin > begin)
				out[n++] = (struct range){ begin, v[k].begin - 1 };
			rest = v[k].end < end;
			begin = rest ? v[k].end + 1 : begin;
		}
		if (rest)
			out[n++] = (struct range){ begin, end };
	}
	free(r->ports);
	r->ports = n > 0 ? out : NULL;
	r->port_count = n;
	if (n == 0)
		free(out);
}

/* ---- sets of resources ---- */

void resources_add(struct resources *a, const struct resources *b)
{
	for (size_t i = 0; i < ARRAY_LEN(scalar_rows); i++)
		*scalar_at(a, i) += scalar_of(b, i);
	ranges_add(a, b->ports, b->port_count);
}

bool resources_contains(const struct resources *a, const struct resources *b)
{
	for (size_t i = 0; i < ARRAY_LEN(scalar_rows); i++)
		if (scalar_of(a, i) < scalar_of(b, i))
			return false;
	return ranges_contain(a, b->ports, b->port_count);
}

void resources_sub(struct resources *a, const struct resources *b)
{
	assert(resources_contains(a, b));
	for (size_t i = 0; i < ARRAY_LEN(scalar_rows); i++)
		*scalar_at(a, i) -= scalar_of(b, i);
	ranges_sub(a, b->ports, b->port_count);
}

void resources_sub_part(struct resources *a, const struct resources *b)
{
	for (size_t i = 0; i < ARRAY_LEN(scalar_rows); i++)
		*scalar_at(a, i) = MAX(scalar_of(a, i) - scalar_of(b, i), 0);
	ranges_sub(a, b->ports, b->port_count);
}

bool resources_empty(const struct resources *r)
{
	for (size_t i = 0; i < ARRAY_LEN(scalar_rows); i++)
		if (scalar_of(r, i) != 0)
			return false;
	return r->port_count == 0;
}

uint64_t resources_port_count(const struct resources *r)
{
	uint64_t n = 0;
	for (size_t i = 0; i < r->port_count; i++)
		n += r->ports[i].end - r->ports[i].begin + 1;
	return n;
}

/* ---- v1 messages ---- */

static int scalar_from_v1(const mesos_v1_Resource *row, int64_t *out, struct err *e)
{
	if (row->type != mesos_v1_Value_Type_SCALAR || !row->scalar)
		return err_set(e, E_INVALID, "resource '%s' must be a scalar", row->name);
	double milli = row->scalar->value * 1000.0;
	if (!(milli >= 0 && milli <= MILLI_MAX))
		return err_set(e, E_INVALID, "resource '%s' has an impossible amount (%g)", row->name, row->scalar->value);
	*out = llround(milli);
	return 0;
}

static int ports_from_v1(struct resources *out, const mesos_v1_Resource *row, struct err *e)
{
	if (row->type != mesos_v1_Value_Type_RANGES || !row->ranges)
		return err_set(e, E_INVALID, "resource '%s' must be ranges", row->name);
	size_t count = row->ranges->range_count;
	if (count > LIMIT_RESOURCE_RANGES)
		return err_set(e, E_TOOBIG, "resource '%s' has more than %d ranges", row->name, LIMIT_RESOURCE_RANGES);
	AUTO_FREE struct range *v = xcalloc(count, sizeof(*v));
	for (size_t i = 0; i < count; i++) {
		v[i] = (struct range){ row->ranges->range[i].begin, row->ranges->range[i].end };
		if (v[i].begin > v[i].end)
			return err_set(e, E_INVALID, "resource '%s' has an inverted range", row->name);
	}
	ranges_add(out, v, count);
	return 0;
}

static int row_from_v1(struct resources *out, const mesos_v1_Resource *row, struct err *e)
{
	if (!row->name || !row->name[0])
		return err_set(e, E_INVALID, "a resource needs a name");
	if (row->revocable || row->shared || (row->disk && (row->disk->persistence || row->disk->source)))
		return err_set(e, E_UNSUPPORTED, "resource '%s': volumes, disk sources and revocable resources are not supported",
			       row->name);
	if (strcmp(row->name, "ports") == 0)
		return ports_from_v1(out, row, e);
	for (size_t i = 0; i < ARRAY_LEN(scalar_rows); i++) {
		int64_t milli = 0;
		if (strcmp(row->name, scalar_rows[i].name) != 0)
			continue;
		int rc = scalar_from_v1(row, &milli, e);
		*scalar_at(out, i) += milli;
		return rc;
	}
	return err_set(e, E_UNSUPPORTED, "resource '%s' is unknown; known are cpus, mem, disk, gpus and ports", row->name);
}

int resources_from_v1(struct resources *out, const mesos_v1_Resource *rows, size_t count, struct err *e)
{
	struct resources sum = { 0 };
	if (count > LIMIT_RESOURCE_ROWS)
		return err_set(e, E_TOOBIG, "more than %d resources in one message", LIMIT_RESOURCE_ROWS);
	for (size_t i = 0; i < count; i++) {
		int rc = row_from_v1(&sum, &rows[i], e);
		if (rc != 0) {
			resources_fini(&sum);
			return rc;
		}
	}
	*out = sum;
	return 0;
}

static void row_init(struct arena *a, mesos_v1_Resource *row, const char *name, const char *role, const char *alloc_role)
{
	row->name = arena_strdup(a, name);
	row->role = arena_strdup(a, role);
	if (alloc_role) {
		row->allocation_info = arena_new(a, mesos_v1_Resource_AllocationInfo);
		row->allocation_info->role = arena_strdup(a, alloc_role);
	}
}

static void ranges_to_v1(struct arena *a, const struct resources *r, mesos_v1_Resource *row)
{
	mesos_v1_Value_Ranges *ranges = arena_new(a, mesos_v1_Value_Ranges);
	ranges->range_count = (pb_size_t)r->port_count;
	ranges->range = arena_array(a, mesos_v1_Value_Range, r->port_count);
	for (size_t i = 0; i < r->port_count; i++) {
		ranges->range[i].begin = r->ports[i].begin;
		ranges->range[i].end = r->ports[i].end;
	}
	row->type = mesos_v1_Value_Type_RANGES;
	row->ranges = ranges;
}

mesos_v1_Resource *resources_to_v1(struct arena *a, const struct resources *r, const char *role, const char *alloc_role, size_t *out_count)
{
	mesos_v1_Resource *rows = arena_array(a, mesos_v1_Resource, ARRAY_LEN(scalar_rows) + 1);
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(scalar_rows); i++) {
		if (scalar_of(r, i) == 0)
			continue;
		row_init(a, &rows[n], scalar_rows[i].name, role, alloc_role);
		rows[n].type = mesos_v1_Value_Type_SCALAR;
		rows[n].scalar = arena_new(a, mesos_v1_Value_Scalar);
		rows[n++].scalar->value = (double)scalar_of(r, i) / 1000.0;
	}
	if (r->port_count > 0) {
		row_init(a, &rows[n], "ports", role, alloc_role);
		ranges_to_v1(a, r, &rows[n++]);
	}
	*out_count = n;
	return rows;
}
