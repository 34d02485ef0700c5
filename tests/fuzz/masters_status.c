/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What masters say of each other, one answer a line, as `status`, `up` and the dcos command read it: no answer makes more masters
 * than there is room for, nor two leaders, and the warnings count what the rows say.
 */
#include "roles/cli/masters.h"

#define ANSWERS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const asked[ANSWERS] = { "10.0.0.1", "10.0.0.2", "10.0.0.3" };
	struct str rest = str_n((const char *)data, size);
	yyjson_doc *docs[ANSWERS] = { NULL };
	yyjson_val *answers[ANSWERS] = { NULL };
	AUTO_BUF struct buf warnings = BUF_INIT;
	char hosts[MASTERS_MAX][64];
	struct masters m;
	struct err e = { 0 };
	for (size_t i = 0; i < ANSWERS && rest.p; i++) {
		struct str line = str_cut(&rest, '\n');
		if (json_parse(line.p, line.len, &docs[i], &e) != 0)
			continue;
		answers[i] = yyjson_doc_get_root(docs[i]);
		assert(masters_hosts(answers[i], hosts) <= MASTERS_MAX);
	}
	masters_merge(&m, asked, answers, ANSWERS);
	assert(m.count >= ANSWERS);
	assert(m.count <= MASTERS_MAX);
	for (size_t i = 0; i < m.count; i++)
		assert(masters_role(&m.rows[i])[0]);
	assert(masters_voters(&m) <= m.count);
	masters_warnings(&m, &warnings);
	assert(buf_ok(&warnings));
	assert(masters_voters(&m) > 0 || warnings.len > 0);
	for (size_t i = 0; i < ANSWERS; i++)
		yyjson_doc_free(docs[i]);
	return 0;
}
