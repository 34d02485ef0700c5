/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nanopb behind our arena and errors. nanopb grows a repeated field by one element at a time, asking for a longer block each
 * time; blocks here keep their capacity in front of them and grow by half, so that reading n elements costs O(n) memory.
 * nanopb recurses per submessage without a bound, so a walk over the bytes refuses what is nested too deep beforehand.
 */
#include <pb_common.h>
#include <pb_decode.h>
#include <pb_encode.h>

#include "net/pb_util.h"

#include "net/limits.h"

_Thread_local struct arena *pb_arena;

struct pb_block {
	_Alignas(16) size_t cap;
	_Alignas(16) uint8_t data[];
};

void *arena_pb_realloc(void *p, size_t size)
{
	struct pb_block *old = p ? container_of(p, struct pb_block, data) : NULL;
	size_t cap = size, bytes;
	if (!pb_arena)
		return NULL;
	if (old && size <= old->cap)
		return p;
	if (old && size < old->cap + old->cap / 2)
		cap = old->cap + old->cap / 2;
	if (__builtin_add_overflow(cap, sizeof(struct pb_block), &bytes))
		return NULL;
	struct pb_block *b = old ? arena_grow(pb_arena, old, sizeof(*old) + old->cap, bytes) : arena_try(pb_arena, bytes);
	if (!b)
		return NULL;
	b->cap = cap;
	return b->data;
}

void arena_pb_free(void *p) { (void)p; }

/*
 * Skip over a message, going into submessages; false when it is nested deeper than `depth`. A level costs two bytes at least, so
 * short messages need no look. Broken bytes are pb_decode's to report.
 */
static bool depth_within(pb_istream_t *s, const pb_msgdesc_t *desc, int depth)
{
	pb_field_iter_t it;
	pb_wire_type_t wire;
	uint32_t tag;
	bool eof;
	if (depth == 0)
		return false;
	if (s->bytes_left < 2 * (size_t)depth)
		return true;
	(void)pb_field_iter_begin(&it, desc, NULL);
	while (pb_decode_tag(s, &wire, &tag, &eof)) {
		pb_istream_t sub;
		bool nested = wire == PB_WT_STRING && pb_field_iter_find(&it, tag) && PB_LTYPE_IS_SUBMSG(it.type);
		if (!nested) {
			if (!pb_skip_field(s, wire))
				return true;
			continue;
		}
		if (!pb_make_string_substream(s, &sub))
			return true;
		if (!depth_within(&sub, it.submsg_desc, depth - 1))
			return false;
		if (!pb_close_string_substream(s, &sub))
			return true;
	}
	return true;
}

int pb_read(struct arena *a, const pb_msgdesc_t *desc, struct str bytes, void *out_msg, struct err *e)
{
	pb_istream_t walk = pb_istream_from_buffer((const pb_byte_t *)bytes.p, bytes.len);
	pb_istream_t s = walk;
	if (!depth_within(&walk, desc, LIMIT_PB_DEPTH))
		return err_set(e, E_TOOBIG, "protobuf message is nested more than %d levels deep", LIMIT_PB_DEPTH);
	struct arena *outer = pb_arena;
	pb_arena = a;
	bool ok = pb_decode(&s, desc, out_msg);
	pb_arena = outer;
	if (ok)
		return 0;
	if (cstr_eq(PB_GET_ERROR(&s), "realloc failed"))
		return err_set(e, E_TOOBIG, "protobuf message of %zu bytes needs more than the %zu bytes of memory a request may use", bytes.len, a->max);
	return err_set(e, E_MALFORMED, "protobuf message of %zu bytes cannot be decoded: %s", bytes.len, PB_GET_ERROR(&s));
}

static bool write_to_buf(pb_ostream_t *s, const pb_byte_t *bytes, size_t len)
{
	return buf_append(s->state, bytes, len);
}

int pb_write(const pb_msgdesc_t *desc, const void *msg, struct buf *out, struct err *e)
{
	pb_ostream_t s = { .callback = write_to_buf, .state = out, .max_size = SIZE_MAX };
	size_t before = out->len;
	if (pb_encode(&s, desc, msg))
		return 0;
	out->len = before;
	if (!buf_ok(out))
		return err_set(e, E_TOOBIG, "protobuf message does not fit into %zu bytes", out->max);
	return err_set(e, E_MALFORMED, "protobuf message cannot be encoded: %s", PB_GET_ERROR(&s));
}

void *pb_dup(struct arena *a, const pb_msgdesc_t *desc, size_t size, const void *msg, struct err *e)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	if (pb_write(desc, msg, &bytes, e) != 0)
		return NULL;
	void *copy = arena_try(a, size);
	if (!copy) {
		(void)err_set(e, E_TOOBIG, "copy of a protobuf message passes the %zu bytes of memory a request may use", a->max);
		return NULL;
	}
	return pb_read(a, desc, buf_view(&bytes), copy, e) == 0 ? copy : NULL;
}

pb_bytes_array_t *pb_bytes_put(struct arena *a, struct str bytes)
{
	pb_bytes_array_t *b = arena_alloc(a, PB_BYTES_ARRAY_T_ALLOCSIZE(bytes.len));
	b->size = (pb_size_t)bytes.len;
	if (bytes.len)
		memcpy(b->bytes, bytes.p, bytes.len);
	return b;
}

bool pb_equal(const pb_msgdesc_t *desc, const void *a, const void *b)
{
	AUTO_BUF struct buf x = BUF_INIT;
	AUTO_BUF struct buf y = BUF_INIT;
	return pb_write(desc, a, &x, NULL) == 0 && pb_write(desc, b, &y, NULL) == 0 && str_eq(buf_view(&x), buf_view(&y));
}
