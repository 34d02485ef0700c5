/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is taken can be written, and reads back as what was written. */
#include "net/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO_BUF struct buf first = BUF_INIT, second = BUF_INIT;
	AUTO_JSON yyjson_doc *doc = NULL;
	AUTO_JSON yyjson_doc *again = NULL;
	struct err e = { 0 };
	if (json_parse((const char *)data, len, &doc, &e) != 0) {
		assert(e.code != 0 && e.text[0]);
		return 0;
	}
	yyjson_val *root = yyjson_doc_get_root(doc);
	(void)json_int(root, "a.0", 0);
	(void)json_str(root, "0.a", "");
	json_write(&first, root, false);
	int rc = json_parse((const char *)first.data, first.len, &again, &e);
	assert(rc == 0);
	json_write(&second, yyjson_doc_get_root(again), false);
	assert(str_eq(buf_view(&first), buf_view(&second)));
	return 0;
}
