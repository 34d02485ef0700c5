/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of rpc_frame.h: pure functions over bytes. */
#include "net/rpc_frame.h"

#include "net/limits.h"

static uint32_t get_u32(const char *p)
{
	const uint8_t *b = (const uint8_t *)p;
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint64_t get_u64(const char *p) { return get_u32(p) | (uint64_t)get_u32(p + 4) << 32; }

static void put_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void put_u64(uint8_t *p, uint64_t v)
{
	put_u32(p, (uint32_t)v);
	put_u32(p + 4, (uint32_t)(v >> 32));
}

static const char *rpc_frame_flaw(const struct rpc_frame *f)
{
	switch (f->kind) {
	case RPC_CALL:
	case RPC_REPLY:
		return f->id ? NULL : "a call without an id";
	case RPC_ERROR:
		return !f->id ? "an error without an id" : f->payload.len < 4 ? "an error without a code" : NULL;
	case RPC_ONEWAY:
		return f->id ? "a one-way message with an id" : NULL;
	case RPC_PING:
		return f->id || f->payload.len ? "a ping that carries something" : NULL;
	}
	return "an unknown kind of frame";
}

ssize_t rpc_frame_read(struct str bytes, size_t frame_max, struct rpc_frame *out, struct err *e)
{
	if (bytes.len < RPC_LENGTH_BYTES)
		return 0;
	size_t len = get_u32(bytes.p);
	if (len < RPC_HEAD_BYTES)
		return err_set(e, E_MALFORMED, "RPC frame of %zu bytes is shorter than its head", len);
	if (len > frame_max)
		return err_set(e, E_TOOBIG, "RPC frame of %zu bytes: at most %zu are allowed", len, frame_max);
	if (bytes.len - RPC_LENGTH_BYTES < len)
		return 0;

	const char *p = bytes.p + RPC_LENGTH_BYTES;
	struct rpc_frame f = {
		.kind = (enum rpc_kind)(uint8_t)p[0],
		.id = get_u64(p + 1),
		.method = get_u32(p + 9),
		.payload = str_n(p + RPC_HEAD_BYTES, len - RPC_HEAD_BYTES),
	};
	const char *flaw = rpc_frame_flaw(&f);
	if (flaw)
		return err_set(e, E_MALFORMED, "RPC: %s", flaw);
	*out = f;
	return (ssize_t)(RPC_LENGTH_BYTES + len);
}

/* Room for a frame with payload_len bytes behind its head, which is filled in; NULL: too big. */
static uint8_t *rpc_frame_begin(struct buf *out, enum rpc_kind kind, uint64_t id, uint32_t method, size_t payload_len)
{
	if (payload_len > LIMIT_RPC_FRAME_BYTES - RPC_HEAD_BYTES)
		return NULL;
	size_t len = RPC_HEAD_BYTES + payload_len;
	uint8_t *at = buf_room(out, RPC_LENGTH_BYTES + len);
	if (!at)
		return NULL;
	put_u32(at, (uint32_t)len);
	at[4] = (uint8_t)kind;
	put_u64(at + 5, id);
	put_u32(at + 13, method);
	buf_grew(out, RPC_LENGTH_BYTES + len);
	return at + RPC_LENGTH_BYTES + RPC_HEAD_BYTES;
}

bool rpc_frame_write(struct buf *out, enum rpc_kind kind, uint64_t id, uint32_t method, struct str payload)
{
	uint8_t *at = rpc_frame_begin(out, kind, id, method, payload.len);
	if (at && payload.len)
		memcpy(at, payload.p, payload.len);
	return at != NULL;
}

void rpc_error_write(struct buf *out, uint64_t id, uint32_t method, const struct err *e)
{
	size_t text_len = strnlen(e->text, sizeof e->text);
	uint8_t *at = rpc_frame_begin(out, RPC_ERROR, id, method, 4 + text_len);
	if (!at)
		return;                          /* the buffer is over its ceiling, which the stream reports */
	put_u32(at, (uint32_t)e->code);
	memcpy(at + 4, e->text, text_len);
}

void rpc_error_read(struct str payload, struct err *out)
{
	assert(payload.len >= 4);
	int code = (int32_t)get_u32(payload.p);
	struct str text = str_from(payload, 4);
	out->code = code < 0 ? code : E_IO;
	(void)str_put(out->text, sizeof out->text, text);      /* a longer sentence is cut */
}
