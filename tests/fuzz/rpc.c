/* SPDX-License-Identifier: Apache-2.0 */
/* RPC frames: whatever is read as a frame is written back as the same bytes. */
#include "net/limits.h"
#include "net/rpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size);
	struct buf out = BUF_INIT;
	for (;;) {
		struct rpc_frame f;
		struct err e;
		ssize_t n = rpc_frame_read(rest, LIMIT_RPC_FRAME_BYTES, &f, &e);
		if (n <= 0)
			break;
		assert((size_t)n <= rest.len);
		if (f.kind == RPC_ERROR) {
			rpc_error_read(f.payload, &e);
			assert(e.code != 0);
		}
		buf_reset(&out);
		assert(rpc_frame_write(&out, f.kind, f.id, f.method, f.payload));
		assert(out.len == (size_t)n && memcmp(out.data, rest.p, out.len) == 0);
		rest = str_from(rest, (size_t)n);
	}
	buf_fini(&out);
	return 0;
}
