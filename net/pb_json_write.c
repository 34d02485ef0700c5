/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf messages to JSON: straight from the struct into the buffer, field after field as nanopb's iterator gives them. */
#include <inttypes.h>
#include <math.h>
#include <pb_common.h>
#include <pb_decode.h>

#include "net/base/base64.h"
#include "net/limits.h"
#include "net/pb_json_int.h"
#include "net/pb_util.h"

static bool is_pointer(const pb_field_iter_t *it) { return PB_ATYPE(it->type) == PB_ATYPE_POINTER; }

static bool write_message(struct buf *out, const struct pb_json_type *type, const void *msg, int depth);

static uint64_t load_uint(const void *at, size_t size)
{
	switch (size) {
	case 1: return *(const uint8_t *)at;
	case 2: return *(const uint16_t *)at;
	case 4: return *(const uint32_t *)at;
	default: return *(const uint64_t *)at;
	}
}

static int64_t load_int(const void *at, size_t size)
{
	switch (size) {
	case 1: return *(const int8_t *)at;
	case 2: return *(const int16_t *)at;
	case 4: return *(const int32_t *)at;
	default: return *(const int64_t *)at;
	}
}

/* Stock Mesos prints bare Infinity, which no JSON parser takes; the string is what it and others read. */
static void write_double(struct buf *out, double v)
{
	if (isnan(v))
		buf_puts(out, "\"NaN\"");
	else if (isinf(v))
		buf_puts(out, v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	else
		buf_json_num(out, v);
}

static void write_enum(struct buf *out, const struct pb_json_field *f, uint64_t v)
{
	if (pb_json_enum_known(f, v))
		buf_printf(out, "\"%s\"", f->enum_name((unsigned)v));
	else
		buf_printf(out, "%" PRIu64, v);
}

static void write_base64(struct buf *out, struct str bytes)
{
	buf_putc(out, '"');
	base64_write(out, bytes);
	buf_putc(out, '"');
}

/* Write one value. `at` points at the scalar, the characters, the bytes array or the submessage. */
static bool write_value(struct buf *out, const struct pb_json_field *f, const void *at, size_t size, int depth)
{
	switch (f->kind) {
	case PB_JSON_BOOL:    buf_puts(out, *(const bool *)at ? "true" : "false"); break;
	case PB_JSON_INT:     buf_printf(out, "%" PRId64, load_int(at, size)); break;
	case PB_JSON_UINT:    buf_printf(out, "%" PRIu64, load_uint(at, size)); break;
	case PB_JSON_DOUBLE:  write_double(out, *(const double *)at); break;
	case PB_JSON_FLOAT:   write_double(out, (double)*(const float *)at); break;
	case PB_JSON_STRING:  buf_json_str(out, str_of(at)); break;
	case PB_JSON_BYTES:   write_base64(out, pb_bytes_view(at)); break;
	case PB_JSON_ENUM:    write_enum(out, f, load_uint(at, size)); break;
	case PB_JSON_MESSAGE: return write_message(out, f->message, at, depth - 1);
	}
	return true;
}

/* Where the i-th value of a field stands; strings and bytes of a list are pointers to follow. */
static const void *value_at(const pb_field_iter_t *it, const struct pb_json_field *f, size_t i)
{
	const char *at = (const char *)it->pData + i * it->data_size;
	bool follow = pb_json_repeated(it) && (f->kind == PB_JSON_STRING || f->kind == PB_JSON_BYTES);
	return follow ? *(const void *const *)(const void *)at : at;
}

static bool write_list(struct buf *out, const struct pb_json_field *f, const pb_field_iter_t *it, int depth)
{
	size_t n = *(const pb_size_t *)it->pSize;
	for (size_t i = 0; i < n; i++) {
		buf_putc(out, i == 0 ? '[' : ',');
		if (!write_value(out, f, value_at(it, f, i), it->data_size, depth))
			return false;
	}
	return buf_putc(out, ']');
}

static bool write_map(struct buf *out, const struct pb_json_field *f, const pb_field_iter_t *it, int depth)
{
	size_t n = *(const pb_size_t *)it->pSize;
	for (size_t i = 0; i < n; i++) {
		pb_field_iter_t entry;
		const struct pb_json_field *fields = f->message->fields;
		(void)pb_field_iter_begin_const(&entry, f->message->desc, value_at(it, f, i));
		buf_putc(out, i == 0 ? '{' : ',');
		buf_json_str(out, str_of(entry.pData));
		buf_putc(out, ':');
		(void)pb_field_iter_next(&entry);
		assert(entry.pData);
		if (!write_value(out, &fields[1], value_at(&entry, &fields[1], 0), entry.data_size, depth))
			return false;
	}
	return buf_putc(out, '}');
}

/* Does the .proto say a default for this field? nanopb keeps such fields as an encoded message that ends with a zero tag. */
static bool has_default(const pb_msgdesc_t *desc, uint32_t wanted)
{
	pb_wire_type_t wire;
	uint32_t tag;
	bool eof;
	if (!desc->default_value)
		return false;
	pb_istream_t s = pb_istream_from_buffer(desc->default_value, SIZE_MAX);
	while (pb_decode_tag(&s, &wire, &tag, &eof) && tag != 0) {
		if (tag == wanted)
			return true;
		if (!pb_skip_field(&s, wire))
			return false;
	}
	return false;
}

static bool is_set(const pb_field_iter_t *it)
{
	switch (PB_HTYPE(it->type)) {
	case PB_HTYPE_REPEATED: return *(const pb_size_t *)it->pSize > 0;
	case PB_HTYPE_ONEOF:    return *(const pb_size_t *)it->pSize == it->tag && it->pData;
	default:                return is_pointer(it) ? it->pData != NULL : !it->pSize || *(const bool *)it->pSize;
	}
}

static bool write_field(struct buf *out, const struct pb_json_type *type, const pb_field_iter_t *it, const void *msg, int depth)
{
	const struct pb_json_field *f = &type->fields[it->index];
	if (!is_set(it)) {
		size_t offset = (size_t)((const char *)it->pField - (const char *)msg);
		return write_value(out, f, (const char *)type->defaults + offset, it->data_size, depth);
	}
	if (!pb_json_repeated(it))
		return write_value(out, f, value_at(it, f, 0), it->data_size, depth);
	return f->message && f->message->map_entry ? write_map(out, f, it, depth) : write_list(out, f, it, depth);
}

static bool write_message(struct buf *out, const struct pb_json_type *type, const void *msg, int depth)
{
	pb_field_iter_t it;
	bool first = true;
	if (depth == 0)
		return false;
	buf_putc(out, '{');
	for (bool more = pb_field_iter_begin_const(&it, type->desc, msg); more; more = pb_field_iter_next(&it)) {
		const struct pb_json_field *f = &type->fields[it.index];
		if (!is_set(&it) && (is_pointer(&it) || !has_default(type->desc, it.tag)))
			continue;
		if (!first)
			buf_putc(out, ',');
		first = false;
		buf_append(out, f->key, f->key_len);
		if (!write_field(out, type, &it, msg, depth))
			return false;
	}
	return buf_putc(out, '}');
}

int pb_json_write(struct buf *out, const struct pb_json_type *type, const void *msg)
{
	size_t before = out->len;
	if (write_message(out, type, msg, LIMIT_JSON_DEPTH) && buf_ok(out))
		return 0;
	out->len = before;
	return E_TOOBIG;
}
