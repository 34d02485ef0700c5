/* SPDX-License-Identifier: Apache-2.0 */
/* Label selectors of /v2/apps?label=: the first line is the selector, the rest the app's JSON. */
#include "roles/master/marathon/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct str rest = str_n((const char *)data, size);
	struct str text = str_cut(&rest, '\n');
	struct label_selector *s = NULL;
	struct err e;
	if (label_selector_parse(&a, text, &s, &e) == 0)
		(void)label_selector_matches(s, arena_str(&a, rest.p ? rest : STR("{}")));
	return 0;
}
