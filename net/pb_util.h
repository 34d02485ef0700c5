/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of proto/ <-> protobuf bytes. A message is a plain struct: scalars inline with has_X, strings and bytes and
 * submessages as pointers (NULL: absent), repeated fields as X_count and X. Everything it points at lives in one arena, or
 * wherever its maker keeps it; there is nothing to free.
 *
 *   mesos_v1_TaskInfo task;
 *   if (pb_read(&arena, mesos_v1_TaskInfo_fields, bytes, &task, e) != 0) ...
 *   if (pb_write(mesos_v1_TaskInfo_fields, &task, &out, e) != 0) ...
 *
 * A file that needs nanopb's own <pb_decode.h> or <pb_encode.h> includes them before this header.
 */
#pragma once

#include <pb.h>

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/err.h"

#undef pb_read
#undef pb_write

/*
 * Decode `bytes` into *out_msg, which need not be initialised; on failure its content means nothing.
 * Unknown fields are skipped, missing optional ones get the defaults of the .proto with has_X false.
 * Errors: E_MALFORMED (also: a required field is missing), E_TOOBIG (past the arena's ceiling or LIMIT_PB_DEPTH).
 */
int pb_read(struct arena *a, const pb_msgdesc_t *desc, struct str bytes, void *out_msg, struct err *e);

/* Append the encoding of *msg to `out`; on failure `out` is as before. Errors: E_MALFORMED (a required field is missing), E_TOOBIG. */
int pb_write(const pb_msgdesc_t *desc, const void *msg, struct buf *out, struct err *e);

/* A copy of *msg in arena `a` that shares nothing with it; NULL with the errors of pb_read and pb_write. PB_DUP(a, mesos_v1_TaskInfo, t, e) */
void *pb_dup(struct arena *a, const pb_msgdesc_t *desc, size_t size, const void *msg, struct err *e);
#define PB_DUP(a, M, msg, e) ((M *)pb_dup((a), M##_fields, sizeof(M), (msg), (e)))

/* Bytes field: a copy of `bytes` in the arena, and a view of one (empty when NULL). */
pb_bytes_array_t *pb_bytes_put(struct arena *a, struct str bytes);
static inline struct str pb_bytes_view(const pb_bytes_array_t *b)
{
	return b ? str_n((const char *)b->bytes, b->size) : str_n(NULL, 0);
}

/* True when a and b have the same fields with the same values. */
bool pb_equal(const pb_msgdesc_t *desc, const void *a, const void *b);
