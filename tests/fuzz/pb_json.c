/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf and JSON of scheduler calls: the first byte says which, the rest is the message. What is taken must survive the way
 * through the other form.
 */
#include "net/pb_json.h"
#include "net/pb_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA struct arena a = { .max = 64 * MIB };
	AUTO_BUF struct buf json = BUF_INIT;
	AUTO_BUF struct buf bytes = BUF_INIT;
	mesos_v1_scheduler_Call call, back;
	struct err e;
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	int rc = data[0] & 1 ? pb_read(&a, mesos_v1_scheduler_Call_fields, str_n(text, size - 1), &call, &e)
			     : pb_json_parse(&a, &mesos_v1_scheduler_Call_json, text, size - 1, &call, &e);
	if (rc != 0) {
		assert(e.code == rc && e.text[0]);
		return 0;
	}
	rc = pb_json_write(&json, &mesos_v1_scheduler_Call_json, &call);
	assert(rc == 0);
	rc = pb_write(mesos_v1_scheduler_Call_fields, &call, &bytes, &e);
	assert(rc == 0);
	rc = pb_read(&a, mesos_v1_scheduler_Call_fields, buf_view(&bytes), &back, &e);
	assert(rc == 0 || rc == E_TOOBIG);
	rc = pb_json_parse(&a, &mesos_v1_scheduler_Call_json, (const char *)json.data, json.len, &back, &e);
	assert(rc == 0 || rc == E_TOOBIG || strstr(e.text, "is no member of its enum"));   /* which is written as a number */
	return 0;
}
