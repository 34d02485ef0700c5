/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What JSON of a fixed shape may hold, as tables: types, ranges, defaults, order of output. Pure. Violations are collected, with
 * Marathon's paths and texts, so that one answer names them all.
 */
#pragma once

#include <yyjson.h>

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/err.h"

/* What is wrong with a document. Zero is empty; memory in the arena. */
struct faults {
	struct arena *arena;                           /* borrowed */
	struct fault { const char *path, *text; } *rows;
	size_t count, cap;
	bool types;                                    /* some value has the wrong type: nothing further was looked at */
};
/* `path` as Marathon writes it: "/container/portMappings(0)/name", "/" for the whole object. */
void fault_add(struct faults *f, const char *path, const char *fmt, ...) PRINTF(3, 4);
/* The body of a 422: {"message":…,"details":[{"path":…,"errors":[…]}]}, errors of one path together. */
void faults_write(const struct faults *f, struct buf *out);

enum schema_kind {
	SCHEMA_STRING,
	SCHEMA_BOOL,
	SCHEMA_INT,
	SCHEMA_NUM,
	SCHEMA_OBJECT,          /* `of`: rows of its members, ended by .name = NULL; other members are dropped, as Marathon does */
	SCHEMA_LIST,            /* `of`: one row, the elements */
	SCHEMA_MAP,             /* `of`: one row, the values */
	SCHEMA_STRING_OR,       /* a string, or what the row `of` says */
};

enum {
	SCHEMA_REQUIRED = 1,
	SCHEMA_HIDE_EMPTY = 2,  /* an empty list or object is not written */
	SCHEMA_OLD = 4,         /* accepted, migrated away, never written */
	SCHEMA_RANGE = 8,       /* lo ≤ value ≤ hi; hi INFINITY: no upper bound */
	SCHEMA_NONEMPTY = 16,
};

struct schema {
	const char *name;
	enum schema_kind kind;
	const struct schema *of;
	const char *def;        /* JSON put where the member is absent; NULL: it stays absent */
	unsigned flags;
	double lo, hi;
	const char *words;      /* strings: allowed values, separated by '|' */
};
#define SCHEMA_END { .name = NULL }

struct schema_pass {
	yyjson_mut_doc *doc;    /* where the result lives */
	struct faults *faults;
	bool canonical;         /* fill top-level defaults, drop old members and hidden empties */
};
/*
 * A copy of `in` with members in the tables' order, nested defaults filled, null and unknown members left out.
 * path: of `in`, "" for the root. NULL when the type is wrong; look at the faults.
 */
yyjson_mut_val *schema_object(const struct schema_pass *p, const struct schema *rows, yyjson_mut_val *in, const char *path);
