/* SPDX-License-Identifier: Apache-2.0 */
/* --resources in both forms: what is accepted has sorted, disjoint ranges and survives the way through messages. */
#include "roles/resources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = ARENA_INIT;
	struct resources a = { 0 }, b = { 0 };
	struct err e = { 0 };
	mesos_v1_Resource *rows;
	size_t count;
	char *text = arena_str(&arena, str_n((const char *)data, size));
	if (resources_parse(&arena, text, "*", &rows, &count, &e) == 0) {
		assert(resources_from_v1(&a, rows, count, &e) == 0);
		for (size_t i = 0; i + 1 < a.port_count; i++)
			assert(a.ports[i].end + 1 < a.ports[i + 1].begin);
		rows = resources_to_v1(&arena, &a, "*", NULL, &count);
		assert(resources_from_v1(&b, rows, count, &e) == 0);
		assert(resources_contains(&a, &b) && resources_contains(&b, &a));
		resources_sub(&a, &b);
		assert(resources_empty(&a));
	}
	resources_fini(&a);
	resources_fini(&b);
	arena_fini(&arena);
	return 0;
}
