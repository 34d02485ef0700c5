/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a dcos.toml: read or refused without harm, and what was read can be written. */
#include "roles/cli/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	if (settings_parse(&s, str_n((const char *)data, size), "dcos.toml", &e) != 0) {
		assert(e.text[0]);
		return 0;
	}
	settings_sort(&s);
	settings_text(&s, &out);
	assert(s.count == 0 || out.len > 0);
	return 0;
}
