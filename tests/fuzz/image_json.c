/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the documents of an image archive: refused or understood; what is understood stays inside the archive. */
#include "roles/agent/image.h"

static void inside(const struct image_blob *b)
{
	struct str rest = str_of(b->path);
	assert(rest.len > 0 && rest.p[0] != '/');
	while (rest.p)
		assert(!str_eq_c(str_cut(&rest, '/'), ".."));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct str text = str_n((const char *)data, size);
	struct image_config config;
	struct image_manifest m;
	struct image_blob blob;
	struct image image;
	struct err e;
	char *ref;
	(void)image_parse_config(&a, text, &config, &e);
	(void)image_read(&a, text, &image, &e);
	if (image_parse_index(&a, text, NULL, &blob, &e) == 0)
		inside(&blob);
	if (image_parse_manifest(&a, text, &m, &e) == 0)
		inside(&m.config);
	if (image_parse_docker(&a, text, "docker.io/library/x:1", &m, &e) == 0)
		for (size_t i = 0; i < m.layer_count; i++)
			inside(&m.layers[i]);
	if (image_ref_normalize(&a, text, &ref, &e) == 0)
		assert(strchr(ref, '/'));
	return 0;
}
