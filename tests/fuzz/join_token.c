/* SPDX-License-Identifier: Apache-2.0 */
/* A token file, whatever stands in it: refused with a sentence, or a token that reads the same again. */
#include "roles/join_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum join_kind kinds[] = { JOIN_NODE, JOIN_MASTER };
	struct join_token once, twice;
	struct err e = { 0 };
	for (size_t i = 0; i < 2; i++) {
		int rc = join_token_read(str_n((const char *)data, size), kinds[i], &once, &e);
		assert(rc == 0 || (e.code == rc && e.text[0]));
		if (rc != 0)
			continue;
		rc = join_token_read(str_of(once.text), kinds[i], &twice, &e);
		assert(rc == 0 && memcmp(&once, &twice, sizeof(once)) == 0);
	}
	return 0;
}
