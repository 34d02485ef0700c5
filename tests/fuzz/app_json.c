/* SPDX-License-Identifier: Apache-2.0 */
/* App definitions from outside: whatever is accepted is its own canonical form, and can be read back as a version. */
#include <stdio.h>

#include "net/json.h"
#include "roles/master/marathon/app.h"
#include "roles/master/marathon/spec.h"

#define NOW "2026-01-01T00:00:00.000Z"

/* The canonical form, to be freed; NULL when refused. */
static char *normalise(struct arena *a, const char *text, size_t len)
{
	struct faults f = { .arena = a };
	AUTO_JSON yyjson_doc *doc = NULL;
	char *out = NULL;
	struct err e;
	if (json_parse(text, len, &doc, &e) != 0)
		return NULL;
	yyjson_mut_doc *m = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *app = app_read(m, yyjson_val_mut_copy(m, yyjson_doc_get_root(doc)), "/", &f);
	if (app)
		app = app_complete(m, app, &f);
	if (app && !f.types)
		app_check(app, &f);
	if (app && f.count == 0)
		out = yyjson_mut_val_write(app, 0, NULL);
	yyjson_mut_doc_free(m);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_FREE char *once = normalise(&a, (const char *)data, size);
	if (!once)
		return 0;
	AUTO_FREE char *twice = normalise(&a, once, strlen(once));
	assert(twice && strcmp(once, twice) == 0);
	rec_App record = { .id = "/x", .version = NOW, .json = once, .last_scaling_at = NOW, .last_config_change_at = NOW };
	struct spec *s = NULL;
	assert(spec_new(&record, &s, NULL) == 0);
	assert(s->instances >= 0 && s->cpus_milli >= 0);
	spec_free(s);
	return 0;
}
