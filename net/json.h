/* SPDX-License-Identifier: Apache-2.0 */
/* yyjson behind our bounds: parsing of outside text with a depth limit and one-sentence errors; small read helpers. */
#pragma once

#include <yyjson.h>

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/err.h"

#define AUTO_JSON __attribute__((cleanup(json_doc_free_)))
static inline void json_doc_free_(yyjson_doc **d) { yyjson_doc_free(*d); }

/* Parse strict JSON, depth ≤ LIMIT_JSON_DEPTH. Caller frees *out with yyjson_doc_free. E_MALFORMED names line and column. */
int json_parse(const char *text, size_t len, yyjson_doc **out, struct err *e);
/* Value at "a.b.0.c" below v, or NULL. */
yyjson_val *json_at(yyjson_val *v, const char *path);
/* Scalars below v at path with a fallback. Strings are borrowed from the document. */
const char *json_str(yyjson_val *v, const char *path, const char *fallback);
int64_t json_int(yyjson_val *v, const char *path, int64_t fallback);
double json_num(yyjson_val *v, const char *path, double fallback);
bool json_bool(yyjson_val *v, const char *path, bool fallback);
/* Append v as text; pretty: two-space indent. */
void json_write(struct buf *out, const yyjson_val *v, bool pretty);

/*
 * Streaming writer into a buf: commas and quotes by itself.
 *   struct jw w = jw_start(out); jw_obj(&w, NULL); jw_str(&w, "id", "/sise"); jw_int(&w, "n", 3); jw_end(&w);
 * `key` is NULL inside arrays and at the top.
 */
struct jw {
	struct buf *out;
	uint64_t arrays;       /* bit d: the container at depth d is an array */
	uint64_t nonempty;
	int depth;
};
struct jw jw_start(struct buf *out);
void jw_obj(struct jw *w, const char *key);
void jw_arr(struct jw *w, const char *key);
void jw_end(struct jw *w);
void jw_str(struct jw *w, const char *key, const char *value);      /* NULL writes null */
void jw_strn(struct jw *w, const char *key, struct str value);
void jw_int(struct jw *w, const char *key, int64_t value);
void jw_num(struct jw *w, const char *key, double value);
void jw_bool(struct jw *w, const char *key, bool value);
void jw_null(struct jw *w, const char *key);
void jw_raw(struct jw *w, const char *key, struct str json);        /* ready JSON text */
void jw_time(struct jw *w, const char *key, int64_t unix_us);       /* ISO 8601 with milliseconds and Z */
