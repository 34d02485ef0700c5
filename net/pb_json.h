/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any message of proto/ <-> JSON, driven by what nanopb knows of its fields and the names of proto/json_names.h.
 *
 * The mapping is that of Mesos' own APIs (proto2, not the canonical mapping of proto3): keys are field names verbatim, enums
 * are member names, bytes base64, 64-bit integers plain numbers. Written is what is set, and what is not set but has a default
 * in the .proto; repeated fields and maps when not empty. Infinity and NaN are written as strings, so that the text stays JSON.
 * Read is leniently, as Mesos does: unknown members are ignored, null is absent, numbers and booleans may be strings, a single
 * value may stand for a list of one, an enum member nobody knows leaves an optional field unset; an enum may be its number.
 */
#pragma once

#include <pb.h>

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/err.h"
#include "proto/json_names.h"

struct yyjson_val;

/* Which message: &mesos_v1_TaskInfo_json for a mesos_v1_TaskInfo. */
struct pb_json_type;
#define PB_JSON_DECLARE(M) extern const struct pb_json_type M##_json;
JSON_MESSAGES(PB_JSON_DECLARE, PB_JSON_DECLARE)

/* Append *msg as one line of JSON. On failure `out` is as before. Errors: E_TOOBIG (past the ceiling of `out`, or LIMIT_JSON_DEPTH). */
int pb_json_write(struct buf *out, const struct pb_json_type *type, const void *msg);

/*
 * Fill *out_msg, which need not be initialised, from a parsed object. All it points at is copied into the arena.
 * On failure the content of *out_msg means nothing. Errors name the path, as "Missing required field 'a.b[0].c'":
 * E_MALFORMED, E_TOOBIG (the arena's ceiling, LIMIT_JSON_DEPTH).
 */
int pb_json_read(struct arena *a, const struct pb_json_type *type, struct yyjson_val *in, void *out_msg, struct err *e);

/* The same from text. */
int pb_json_parse(struct arena *a, const struct pb_json_type *type, const char *text, size_t len, void *out_msg, struct err *e);
