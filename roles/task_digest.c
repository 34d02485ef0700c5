/* SPDX-License-Identifier: Apache-2.0 */
/* The sum is XOR of SHA-256: each task is there once, and who reports is authenticated, so nothing stronger is needed. */
#include "roles/task_digest.h"

#include "net/base/buf.h"
#include "net/tls.h"

/* With its end, so that two strings are not another two. */
static void add_text(struct buf *out, const char *s)
{
	(void)buf_append(out, s ? s : "", (s ? strlen(s) : 0) + 1);
}

void task_digest_add(struct task_digest *d, const char *framework_id, const char *task_id, const char *container_id,
		     const mesos_v1_TaskStatus *latest)
{
	AUTO_BUF struct buf b = BUF_INIT;
	uint8_t hash[TASK_DIGEST_BYTES];
	add_text(&b, framework_id);
	add_text(&b, task_id);
	add_text(&b, container_id);
	if (latest) {
		buf_printf(&b, "%d ", (int)latest->state);
		if (latest->uuid)
			(void)buf_append(&b, latest->uuid->bytes, latest->uuid->size);
	}
	sha256(b.data, b.len, hash);
	for (size_t i = 0; i < sizeof(hash); i++)
		d->sum[i] ^= hash[i];
	d->count++;
}
