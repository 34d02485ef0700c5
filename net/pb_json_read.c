/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON to protobuf messages: from yyjson's values into structs in the arena, asking the object for each field nanopb's iterator
 * gives. Recursion follows submessages only and ends at LIMIT_JSON_DEPTH.
 */
#include <math.h>
#include <pb_common.h>
#include <yyjson.h>

#include "net/base/base64.h"
#include "net/json.h"
#include "net/limits.h"
#include "net/pb_json_int.h"

static bool is_required(const pb_field_iter_t *it) { return PB_HTYPE(it->type) == PB_HTYPE_REQUIRED; }

/* Where in the input we are, for errors: a member, or an element when name is NULL; the outermost has no `up`. */
struct place {
	const struct place *up;
	struct str name;
	size_t index;
};

struct reader {
	struct arena *arena;
	struct err *e;
};

enum { UNSET = 1 };    /* besides 0 and errors: there is a value, but none we know */

static int read_message(struct reader *r, const struct place *at, const struct pb_json_type *type, yyjson_val *in, void *msg, int depth);

static void place_write(struct buf *out, const struct place *at)
{
	if (!at->up)
		return;
	place_write(out, at->up);
	if (at->name.p)
		buf_printf(out, out->len ? "." STR_FMT : STR_FMT, STR_ARG(at->name));
	else
		buf_printf(out, "[%zu]", at->index);
}

/* "'path' must be ..." */
static int wrong(struct reader *r, const struct place *at, int code, const char *what)
{
	AUTO_BUF struct buf path = BUF_INIT;
	place_write(&path, at);
	if (!at->up)
		return err_set(r->e, code, "JSON message %s", what);
	return err_set(r->e, code, "'%.300s' %s", buf_cstr(&path), what);
}

static int missing(struct reader *r, const struct place *at)
{
	AUTO_BUF struct buf path = BUF_INIT;
	place_write(&path, at);
	return err_set(r->e, E_MALFORMED, "Missing required field '%.300s'", buf_cstr(&path));
}

/* Zeroed memory for n values; NULL after reporting E_TOOBIG. */
static void *alloc(struct reader *r, const struct place *at, size_t n, size_t size)
{
	size_t bytes;
	void *p = __builtin_mul_overflow(n, size, &bytes) ? NULL : arena_try(r->arena, bytes);
	if (!p)
		(void)wrong(r, at, E_TOOBIG, "needs more memory than a request may use");
	return p;
}

static struct str text_of(yyjson_val *v) { return str_n(yyjson_get_str(v), yyjson_get_len(v)); }

static int read_bool(struct reader *r, const struct place *at, yyjson_val *in, bool *out)
{
	bool yes = yyjson_is_true(in) || (yyjson_is_str(in) && str_eq_c(text_of(in), "true"));
	bool no = yyjson_is_false(in) || (yyjson_is_str(in) && str_eq_c(text_of(in), "false"));
	if (!yes && !no)
		return wrong(r, at, E_MALFORMED, "must be true or false");
	*out = yes;
	return 0;
}

static bool double_of(yyjson_val *in, double *out)
{
	if (!yyjson_is_str(in)) {
		*out = yyjson_get_num(in);
		return yyjson_is_num(in);
	}
	struct str s = text_of(in);
	bool minus = str_starts(s, STR("-"));
	struct str word = str_from(s, minus ? 1 : 0);
	if (str_eq_c(word, "Infinity"))
		*out = minus ? -INFINITY : INFINITY;
	else if (str_eq_c(s, "NaN"))
		*out = NAN;
	else
		return word.len > 0 && word.p[0] >= '0' && word.p[0] <= '9' && str_f64(s, out);
	return true;
}

/* Whole numbers of either sign: a number, the text of one, or one written with a fraction of zero. */
static bool int_of(yyjson_val *in, int64_t *out)
{
	double d;
	if (yyjson_is_sint(in) || (yyjson_is_uint(in) && yyjson_get_uint(in) <= INT64_MAX)) {
		*out = yyjson_get_sint(in);
		return true;
	}
	if (yyjson_is_str(in) && str_i64(text_of(in), out))
		return true;
	if (yyjson_is_uint(in) || !double_of(in, &d) || d != trunc(d) || d < -0x1p63 || d >= 0x1p63)
		return false;
	*out = (int64_t)d;
	return true;
}

static bool uint_of(yyjson_val *in, uint64_t *out)
{
	int64_t v;
	if (yyjson_is_uint(in)) {
		*out = yyjson_get_uint(in);
		return true;
	}
	if (yyjson_is_str(in) && str_u64(text_of(in), out))
		return true;
	if (!int_of(in, &v) || v < 0)
		return false;
	*out = (uint64_t)v;
	return true;
}

static void store(void *at, size_t size, uint64_t v)
{
	switch (size) {
	case 1: *(uint8_t *)at = (uint8_t)v; break;
	case 2: *(uint16_t *)at = (uint16_t)v; break;
	case 4: *(uint32_t *)at = (uint32_t)v; break;
	default: *(uint64_t *)at = v; break;
	}
}

static int read_int(struct reader *r, const struct place *at, yyjson_val *in, void *out, size_t size)
{
	int64_t v;
	int64_t max = (int64_t)(UINT64_MAX >> (65 - 8 * size));
	if (!int_of(in, &v))
		return wrong(r, at, E_MALFORMED, "must be a whole number");
	if (v > max || v < -max - 1)
		return wrong(r, at, E_MALFORMED, "is out of range");
	store(out, size, (uint64_t)v);
	return 0;
}

static int read_uint(struct reader *r, const struct place *at, yyjson_val *in, void *out, size_t size)
{
	uint64_t v;
	if (!uint_of(in, &v))
		return wrong(r, at, E_MALFORMED, "must be a whole number that is not negative");
	if (v > UINT64_MAX >> (64 - 8 * size))
		return wrong(r, at, E_MALFORMED, "is out of range");
	store(out, size, v);
	return 0;
}

static bool enum_find(const struct pb_json_field *f, struct str name, uint64_t *out)
{
	if (str_eq_c(name, "unknown"))      /* what enum_name says of numbers without a member */
		return false;
	for (uint64_t v = f->enum_min; v <= f->enum_max; v++)
		if (str_eq_c(name, f->enum_name((unsigned)v))) {
			*out = v;
			return true;
		}
	return false;
}

static int read_enum(struct reader *r, const struct place *at, const struct pb_json_field *f, yyjson_val *in, void *out, size_t size)
{
	uint64_t v;
	if (!yyjson_is_str(in) && !yyjson_is_uint(in))
		return wrong(r, at, E_MALFORMED, "must be the name of an enum's member");
	bool known = yyjson_is_str(in) ? enum_find(f, text_of(in), &v) : pb_json_enum_known(f, v = yyjson_get_uint(in));
	if (!known)
		return UNSET;
	store(out, size, v);
	return 0;
}

static int read_string(struct reader *r, const struct place *at, yyjson_val *in, char **out)
{
	struct str s = text_of(in);
	if (!yyjson_is_str(in))
		return wrong(r, at, E_MALFORMED, "must be a string");
	if (memchr(s.p, '\0', s.len))
		return wrong(r, at, E_MALFORMED, "must not contain a NUL character");
	*out = alloc(r, at, s.len + 1, 1);
	if (!*out)
		return E_TOOBIG;
	memcpy(*out, s.p, s.len);
	return 0;
}

static int read_bytes(struct reader *r, const struct place *at, yyjson_val *in, pb_bytes_array_t **out)
{
	size_t len;
	if (!yyjson_is_str(in))
		return wrong(r, at, E_MALFORMED, "must be a string of base64");
	pb_bytes_array_t *b = alloc(r, at, PB_BYTES_ARRAY_T_ALLOCSIZE(base64_room(yyjson_get_len(in))), 1);
	if (!b)
		return E_TOOBIG;
	if (!base64_read(text_of(in), b->bytes, &len))
		return wrong(r, at, E_MALFORMED, "is not base64");
	b->size = (pb_size_t)len;
	*out = b;
	return 0;
}

/* Read one value into its place: the scalar, the pointer to characters or bytes, the struct of a submessage. */
static int read_value(struct reader *r, const struct place *at, const struct pb_json_field *f, yyjson_val *in, void *out, size_t size,
		      int depth)
{
	double d;
	switch (f->kind) {
	case PB_JSON_BOOL:    return read_bool(r, at, in, out);
	case PB_JSON_INT:     return read_int(r, at, in, out, size);
	case PB_JSON_UINT:    return read_uint(r, at, in, out, size);
	case PB_JSON_STRING:  return read_string(r, at, in, out);
	case PB_JSON_BYTES:   return read_bytes(r, at, in, out);
	case PB_JSON_ENUM:    return read_enum(r, at, f, in, out, size);
	case PB_JSON_MESSAGE: return read_message(r, at, f->message, in, out, depth - 1);
	case PB_JSON_DOUBLE:
	case PB_JSON_FLOAT:
		if (!double_of(in, &d))
			return wrong(r, at, E_MALFORMED, "must be a number");
		if (f->kind == PB_JSON_DOUBLE)
			*(double *)out = d;
		else
			*(float *)out = (float)d;
		return 0;
	}
	return E_MALFORMED;
}

/* A list, or a single value that stands for a list of one. */
static int read_list(struct reader *r, const struct place *at, const struct pb_json_field *f, const pb_field_iter_t *it, yyjson_val *in,
		     int depth)
{
	bool many = yyjson_is_arr(in);
	size_t n = many ? yyjson_arr_size(in) : 1;
	yyjson_val *v = many ? yyjson_arr_get_first(in) : in;
	pb_size_t *count = it->pSize;
	if (n == 0)
		return 0;
	if (n > PB_SIZE_MAX)
		return wrong(r, at, E_TOOBIG, "has too many elements");
	char *items = alloc(r, at, n, it->data_size);
	if (!items)
		return E_TOOBIG;
	*(void **)it->pField = items;
	for (size_t i = 0; i < n; i++, v = unsafe_yyjson_get_next(v)) {
		struct place element = { .up = at, .index = i };
		if (yyjson_is_null(v))
			return wrong(r, &element, E_MALFORMED, "must not be null");
		int rc = read_value(r, &element, f, v, items + *count * it->data_size, it->data_size, depth);
		if (rc < 0)
			return rc;
		if (rc == 0)
			++*count;
	}
	return 0;
}

static int read_singular(struct reader *r, const struct place *at, const struct pb_json_field *f, const pb_field_iter_t *it,
			 yyjson_val *in, int depth)
{
	void *out = it->pField;
	if (f->kind == PB_JSON_MESSAGE)
		out = alloc(r, at, 1, f->message->size);
	if (!out)
		return E_TOOBIG;
	int rc = read_value(r, at, f, in, out, it->data_size, depth);
	if (rc != 0)
		return rc;
	if (f->kind == PB_JSON_MESSAGE)
		*(void **)it->pField = out;
	if (PB_HTYPE(it->type) == PB_HTYPE_ONEOF)
		*(pb_size_t *)it->pSize = it->tag;
	else if (it->pSize)
		*(bool *)it->pSize = true;
	return 0;
}

/* A member of a map: its entry's two fields are the key and the value. */
static int read_entry(struct reader *r, const struct place *at, const struct pb_json_type *type, yyjson_val *key, yyjson_val *in,
		      void *entry, int depth)
{
	pb_field_iter_t it;
	memcpy(entry, type->defaults, type->size);
	(void)pb_field_iter_begin(&it, type->desc, entry);
	int rc = read_singular(r, at, &type->fields[0], &it, key, depth);
	if (rc != 0)
		return rc;
	(void)pb_field_iter_next(&it);
	return read_singular(r, at, &type->fields[1], &it, in, depth);
}

static int read_map(struct reader *r, const struct place *at, const struct pb_json_type *type, const pb_field_iter_t *it, yyjson_val *in,
		    int depth)
{
	pb_size_t *count = it->pSize;
	yyjson_val *key;
	if (!yyjson_is_obj(in))
		return wrong(r, at, E_MALFORMED, "must be an object");
	if (yyjson_obj_size(in) == 0)
		return 0;
	char *items = alloc(r, at, yyjson_obj_size(in), type->size);
	if (!items)
		return E_TOOBIG;
	*(void **)it->pField = items;
	yyjson_obj_iter members = yyjson_obj_iter_with(in);
	while ((key = yyjson_obj_iter_next(&members))) {
		struct place member = { .up = at, .name = text_of(key) };
		yyjson_val *v = yyjson_obj_iter_get_val(key);
		int rc = yyjson_is_null(v) ? UNSET : read_entry(r, &member, type, key, v, items + *count * type->size, depth);
		if (rc < 0)
			return rc;
		if (rc == 0)
			++*count;
	}
	return 0;
}

static int read_field(struct reader *r, const struct place *at, const struct pb_json_field *f, const pb_field_iter_t *it, yyjson_val *in,
		      int depth)
{
	if (!pb_json_repeated(it))
		return read_singular(r, at, f, it, in, depth);
	if (f->message && f->message->map_entry)
		return read_map(r, at, f->message, it, in, depth);
	return read_list(r, at, f, it, in, depth);
}

static int read_message(struct reader *r, const struct place *at, const struct pb_json_type *type, yyjson_val *in, void *msg, int depth)
{
	pb_field_iter_t it;
	if (depth == 0)
		return wrong(r, at, E_TOOBIG, "is nested too deep");
	if (!yyjson_is_obj(in))
		return wrong(r, at, E_MALFORMED, "must be an object");
	memcpy(msg, type->defaults, type->size);
	yyjson_obj_iter members = yyjson_obj_iter_with(in);
	for (bool more = pb_field_iter_begin(&it, type->desc, msg); more; more = pb_field_iter_next(&it)) {
		const struct pb_json_field *f = &type->fields[it.index];
		struct place member = { .up = at, .name = { f->key + 1, f->key_len - 3 } };
		yyjson_val *v = yyjson_obj_iter_getn(&members, member.name.p, member.name.len);
		bool given = v && !yyjson_is_null(v);
		int rc = given ? read_field(r, &member, f, &it, v, depth) : UNSET;
		if (rc < 0)
			return rc;
		if (rc == UNSET && is_required(&it))
			return given ? wrong(r, &member, E_MALFORMED, "is no member of its enum") : missing(r, &member);
	}
	return 0;
}

int pb_json_read(struct arena *a, const struct pb_json_type *type, struct yyjson_val *in, void *out_msg, struct err *e)
{
	struct reader r = { a, e };
	struct place top = { .up = NULL };
	return read_message(&r, &top, type, in, out_msg, LIMIT_JSON_DEPTH);
}

int pb_json_parse(struct arena *a, const struct pb_json_type *type, const char *text, size_t len, void *out_msg, struct err *e)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	int rc = json_parse(text, len, &doc, e);
	return rc != 0 ? rc : pb_json_read(a, type, yyjson_doc_get_root(doc), out_msg, e);
}
