/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of an RPC connection, as bytes; all numbers little-endian:
 *
 *     u32 length of what follows | u8 kind | u64 id | u32 method | payload
 *
 * CALL and its REPLY or ERROR carry the same id, chosen by the caller and never 0; ONEWAY and PING have id 0. The payload of an
 * ERROR is i32 code and a sentence; a PING has none and only shows that its sender lives.
 */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/base/str.h"

enum rpc_kind { RPC_CALL = 1, RPC_REPLY, RPC_ERROR, RPC_ONEWAY, RPC_PING };

#define RPC_LENGTH_BYTES 4
#define RPC_HEAD_BYTES 13                /* kind, id, method */

struct rpc_frame {
	enum rpc_kind kind;
	uint64_t id;
	uint32_t method;
	struct str payload;              /* borrowed from the input */
};

/*
 * Read the frame that bytes begin with. frame_max bounds its length field.
 * Returns the bytes it takes; 0: more are needed; or E_MALFORMED, E_TOOBIG.
 */
ssize_t rpc_frame_read(struct str bytes, size_t frame_max, struct rpc_frame *out, struct err *e);

/* Append a frame; false when the payload does not fit in LIMIT_RPC_FRAME_BYTES (then nothing is appended). */
bool rpc_frame_write(struct buf *out, enum rpc_kind kind, uint64_t id, uint32_t method, struct str payload);

/* An ERROR's payload into *out (its code is never 0), and back. */
void rpc_error_read(struct str payload, struct err *out);
void rpc_error_write(struct buf *out, uint64_t id, uint32_t method, const struct err *e);
