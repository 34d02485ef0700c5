/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between members: proto/raft.proto, and what must hold of one before the Raft library, which asserts where it could
 * refuse, gets to see it. Pure; any thread.
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/err.h"
#include "proto/raft.pb.h"

#define WIRE_ENTRIES_MAX 4096                        /* of one APPEND */
#define WIRE_RECORDS_BYTES ((size_t)(1 * MIB))       /* of one APPEND, unless a single entry is longer */
#define WIRE_CHUNK_BYTES ((size_t)(256 * KIB))       /* of a snapshot */

/* Decode and check. Everything it points at lives in the arena. E_MALFORMED says what is wrong. */
int wire_read(struct arena *a, struct str bytes, raft_Frame *out, struct err *e);
/* Append the encoding to out; frames are built by us, so this fails only past the buffer's bound. */
int wire_write(const raft_Frame *f, struct buf *out, struct err *e);
const char *wire_name(raft_Kind kind);
