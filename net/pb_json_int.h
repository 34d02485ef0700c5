/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the JSON codec knows of a message besides nanopb's descriptor, and the macros that make it from the field list in the
 * header nanopb generates. The fields stand in the order of nanopb's iterator, so its index finds the row.
 * Only our conventions compile: strings, bytes and submessages are pointers, enums have names (enum_to_string) and no negative
 * members.
 */
#pragma once

#include "net/base/str.h"
#include "net/pb_json.h"

enum pb_json_kind {
	PB_JSON_BOOL,
	PB_JSON_INT,
	PB_JSON_UINT,
	PB_JSON_DOUBLE,
	PB_JSON_FLOAT,
	PB_JSON_STRING,
	PB_JSON_BYTES,
	PB_JSON_ENUM,
	PB_JSON_MESSAGE,
};

struct pb_json_field {
	const char *key;                           /* as it is written: "name": */
	size_t key_len;
	enum pb_json_kind kind;
	const struct pb_json_type *message;        /* of PB_JSON_MESSAGE */
	const char *(*enum_name)(unsigned value);  /* of PB_JSON_ENUM; "unknown" for a number without a member */
	unsigned enum_min, enum_max;
};

struct pb_json_type {
	const pb_msgdesc_t *desc;
	const struct pb_json_field *fields;
	const void *defaults;                      /* a message with nothing set */
	size_t size;
	bool map_entry;
};

static inline bool pb_json_enum_known(const struct pb_json_field *f, uint64_t v)
{
	return v >= f->enum_min && v <= f->enum_max && !cstr_eq(f->enum_name((unsigned)v), "unknown");
}

static inline bool pb_json_repeated(const pb_field_iter_t *it) { return PB_HTYPE(it->type) == PB_HTYPE_REPEATED; }

#define PB_JSON_MESSAGE_TYPE(M) PB_JSON_TYPE(M, false)
#define PB_JSON_MAP_TYPE(M) PB_JSON_TYPE(M, true)
#define PB_JSON_TYPE(M, map) \
	static const struct pb_json_field M##_json_fields[] = { M##_FIELDLIST(PB_JSON_FIELD, M) { .key = NULL } }; \
	static const M M##_json_defaults = M##_init_default; \
	const struct pb_json_type M##_json = { &M##_msg, M##_json_fields, &M##_json_defaults, sizeof(M), map };

#define PB_JSON_FIELD(M, at, rule, type, name, tag) \
	{ PB_JSON_KEY(PB_JSON_NAME_##rule(name)), PB_JSON_AS_##type(M, at, PB_JSON_PATH_##rule(name)) },
#define PB_JSON_KEY(name) PB_JSON_KEY_TEXT(name)
#define PB_JSON_KEY_TEXT(name) .key = "\"" #name "\":", .key_len = sizeof(#name) + 2

/* Name of the field, and how nanopb's macros about it are called: M_PATH_MSGTYPE. */
#define PB_JSON_NAME_REQUIRED(name) name
#define PB_JSON_NAME_OPTIONAL(name) name
#define PB_JSON_NAME_SINGULAR(name) name
#define PB_JSON_NAME_REPEATED(name) name
#define PB_JSON_NAME_ONEOF(name) PB_ONEOF_NAME(MEMBER, name)
#define PB_JSON_PATH_REQUIRED(name) name
#define PB_JSON_PATH_OPTIONAL(name) name
#define PB_JSON_PATH_SINGULAR(name) name
#define PB_JSON_PATH_REPEATED(name) name
#define PB_JSON_PATH_ONEOF(name) PB_JSON_JOIN(PB_ONEOF_NAME(UNION, name), PB_ONEOF_NAME(MEMBER, name))
#define PB_JSON_JOIN(a, b) PB_JSON_JOIN_(a, b)
#define PB_JSON_JOIN_(a, b) a##_##b

#define PB_JSON_AS_BOOL(M, at, path) .kind = PB_JSON_BOOL
#define PB_JSON_AS_INT32(M, at, path) .kind = PB_JSON_INT
#define PB_JSON_AS_INT64(M, at, path) .kind = PB_JSON_INT
#define PB_JSON_AS_SINT32(M, at, path) .kind = PB_JSON_INT
#define PB_JSON_AS_SINT64(M, at, path) .kind = PB_JSON_INT
#define PB_JSON_AS_SFIXED32(M, at, path) .kind = PB_JSON_INT
#define PB_JSON_AS_SFIXED64(M, at, path) .kind = PB_JSON_INT
#define PB_JSON_AS_UINT32(M, at, path) .kind = PB_JSON_UINT
#define PB_JSON_AS_UINT64(M, at, path) .kind = PB_JSON_UINT
#define PB_JSON_AS_FIXED32(M, at, path) .kind = PB_JSON_UINT
#define PB_JSON_AS_FIXED64(M, at, path) .kind = PB_JSON_UINT
#define PB_JSON_AS_DOUBLE(M, at, path) .kind = PB_JSON_DOUBLE
#define PB_JSON_AS_FLOAT(M, at, path) .kind = PB_JSON_FLOAT
#define PB_JSON_AS_STRING(M, at, path) .kind = PB_JSON_STRING PB_JSON_MUST_BE_##at
#define PB_JSON_AS_BYTES(M, at, path) .kind = PB_JSON_BYTES PB_JSON_MUST_BE_##at
#define PB_JSON_AS_MESSAGE(M, at, path) \
	.kind = PB_JSON_MESSAGE PB_JSON_MUST_BE_##at, .message = &PB_JSON_OF_TYPE(M, path, MSGTYPE, , _json)
#define PB_JSON_AS_UENUM(M, at, path) \
	.kind = PB_JSON_ENUM, .enum_name = (const char *(*)(unsigned))PB_JSON_OF_TYPE(M, path, ENUMTYPE, , _name), \
	.enum_min = PB_JSON_OF_TYPE(M, path, ENUMTYPE, _, _MIN), .enum_max = PB_JSON_OF_TYPE(M, path, ENUMTYPE, _, _MAX)
#define PB_JSON_MUST_BE_POINTER

/* The name of a field's type, looked up in nanopb's macro M_PATH_WHAT, between `before` and `after`. */
#define PB_JSON_OF_TYPE(M, path, what, before, after) PB_JSON_PASTE(before, M##_##path##_##what, after)
#define PB_JSON_PASTE(before, type, after) PB_JSON_PASTE_(before, type, after)
#define PB_JSON_PASTE_(before, type, after) before##type##after
