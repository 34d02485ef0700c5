/* SPDX-License-Identifier: Apache-2.0 */
/* Resource arithmetic, its text forms, and random sums against port-by-port sets. */
#include "roles/resources.h"

#include "net/base/rnd.h"
#include "net/limits.h"
#include "tests/lib/test.h"

static struct resources parsed(const char *text)
{
	struct arena arena = ARENA_INIT;
	struct resources r = { 0 };
	struct err e = { 0 };
	mesos_v1_Resource *rows;
	size_t count;
	EQ_INT(resources_parse(&arena, text, "*", &rows, &count, &e), 0);
	EQ_INT(resources_from_v1(&r, rows, count, &e), 0);
	arena_fini(&arena);
	return r;
}

static void refused(const char *text, int code, const char *part)
{
	struct arena arena = ARENA_INIT;
	struct err e = { 0 };
	mesos_v1_Resource *rows;
	size_t count;
	EQ_INT(resources_parse(&arena, text, "*", &rows, &count, &e), code);
	HAS(e.text, part);
	arena_fini(&arena);
}

TEST(resources, text_is_read_as_thousandths_and_ranges)
{
	struct resources r = parsed("cpus:0.1;mem:32; ports:[31000-31001, 31005-31005] ");
	EQ_INT(r.cpus_milli, 100);
	EQ_INT(r.mem_milli, 32000);
	EQ_INT(r.port_count, 2);
	EQ_INT(resources_port_count(&r), 3);
	resources_fini(&r);
}

TEST(resources, text_names_the_role_of_a_reservation)
{
	struct arena arena = ARENA_INIT;
	struct err e = { 0 };
	mesos_v1_Resource *rows;
	size_t count;
	EQ_INT(resources_parse(&arena, "cpus(slave_public):2;mem:1", "eng", &rows, &count, &e), 0);
	EQ_INT(count, 2);
	EQ_STR(rows[0].role, "slave_public");
	EQ_STR(rows[1].role, "eng");
	arena_fini(&arena);
}

TEST(resources, json_is_read_too)
{
	struct resources r = parsed("[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1.5}}]");
	EQ_INT(r.cpus_milli, 1500);
	resources_fini(&r);
}

TEST(resources, what_is_not_understood_is_refused_with_its_name)
{
	refused("cpus", E_MALFORMED, "name:value");
	refused("cpus:many", E_MALFORMED, "many");
	refused("cpus:-1", E_INVALID, "impossible amount");
	refused("cpus:1e300", E_INVALID, "impossible amount");
	refused("ports:[5-1]", E_MALFORMED, "[5-1]");
	refused("ports:7", E_INVALID, "must be ranges");
	refused("bugs:{a,b}", E_MALFORMED, "{a,b}");
	refused("bugs:1", E_UNSUPPORTED, "'bugs' is unknown");
	refused("[{]", E_MALFORMED, "JSON");
}

TEST(resources, touching_ranges_become_one)
{
	struct resources r = parsed("ports:[5-9,1-4,20-30,25-40]");
	EQ_INT(r.port_count, 2);
	EQ_INT(r.ports[0].begin, 1);
	EQ_INT(r.ports[0].end, 9);
	EQ_INT(r.ports[1].end, 40);
	resources_fini(&r);
}

TEST(resources, sums_of_tenths_are_exact)
{
	struct resources sum = { 0 }, tenth = parsed("cpus:0.1"), one = parsed("cpus:1");
	for (int i = 0; i < 10; i++)
		resources_add(&sum, &tenth);
	TRUE(resources_contains(&one, &sum));
	TRUE(resources_contains(&sum, &one));
	resources_sub(&sum, &one);
	TRUE(resources_empty(&sum));
}

TEST(resources, the_last_port_of_all_can_be_taken)
{
	struct resources a = { 0 }, b = { 0 };
	struct range all = { 0, UINT64_MAX }, last = { UINT64_MAX, UINT64_MAX };
	struct resources whole = { .ports = &all, .port_count = 1 }, end = { .ports = &last, .port_count = 1 };
	resources_copy(&a, &whole);
	resources_copy(&b, &end);
	resources_sub(&a, &b);
	EQ_INT(a.port_count, 1);
	TRUE(a.ports[0].end == UINT64_MAX - 1);
	resources_fini(&a);
	resources_fini(&b);
}

TEST(resources, as_many_ranges_as_the_limit_and_no_more)
{
	mesos_v1_Value_Range *v = xcalloc(LIMIT_RESOURCE_RANGES + 1, sizeof(*v));
	mesos_v1_Value_Ranges ranges = { LIMIT_RESOURCE_RANGES, v };
	mesos_v1_Resource row = mesos_v1_Resource_init_zero;
	struct resources r = { 0 };
	struct err e = { 0 };
	for (uint64_t i = 0; i <= LIMIT_RESOURCE_RANGES; i++)
		v[i] = (mesos_v1_Value_Range){ 4 * i, 4 * i + 1 };
	row.name = "ports";
	row.type = mesos_v1_Value_Type_RANGES;
	row.ranges = &ranges;
	EQ_INT(resources_from_v1(&r, &row, 1, &e), 0);
	EQ_INT(r.port_count, LIMIT_RESOURCE_RANGES);
	resources_fini(&r);
	ranges.range_count++;
	EQ_INT(resources_from_v1(&r, &row, 1, &e), E_TOOBIG);
	free(v);
}

#define PORTS 64

static struct resources random_ports(struct rnd *rnd, bool set[PORTS])
{
	struct range v[4];
	struct resources tmp = { .ports = v }, out = { 0 };
	memset(set, 0, PORTS);
	for (uint64_t n = rnd_below(rnd, 4); n > 0; n--) {
		uint64_t begin = rnd_below(rnd, PORTS), end = MIN(begin + rnd_below(rnd, 9), (uint64_t)PORTS - 1);
		v[tmp.port_count++] = (struct range){ begin, end };
		for (uint64_t i = begin; i <= end; i++)
			set[i] = true;
	}
	resources_add(&out, &tmp);
	return out;
}

static void same(const struct resources *r, const bool set[PORTS])
{
	for (size_t i = 0; i + 1 < r->port_count; i++)
		TRUE(r->ports[i].end + 1 < r->ports[i + 1].begin);
	for (uint64_t p = 0; p < PORTS; p++) {
		bool in = false;
		for (size_t i = 0; i < r->port_count; i++)
			in |= r->ports[i].begin <= p && p <= r->ports[i].end;
		EQ_INT(in, set[p]);
	}
}

TEST(resources, random_ranges_agree_with_sets_of_ports)
{
	struct rnd rnd;
	rnd_seed(&rnd, test_seed());
	for (size_t round = 0; round < test_rounds(2000); round++) {
		bool x[PORTS], y[PORTS];
		struct resources a = random_ports(&rnd, x), b = random_ports(&rnd, y);
		bool contains = true;
		for (size_t i = 0; i < PORTS; i++)
			contains &= x[i] || !y[i];
		EQ_INT(resources_contains(&a, &b), contains);
		resources_sub_part(&a, &b);
		for (size_t i = 0; i < PORTS; i++)
			x[i] = x[i] && !y[i];
		same(&a, x);
		resources_add(&a, &b);
		for (size_t i = 0; i < PORTS; i++)
			x[i] = x[i] || y[i];
		same(&a, x);
		resources_fini(&a);
		resources_fini(&b);
	}
}
