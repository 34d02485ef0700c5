/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nanopb includes instead of its usual headers (PB_SYSTEM_HEADER): all memory of decoded messages comes from the arena
 * that pb_read (net/pb_util.h) names for the time of one decoding. Others include net/pb_util.h.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The arena of the decoding under way on this thread, or NULL; set by pb_read only. */
struct arena;
extern _Thread_local struct arena *pb_arena;

/* NULL past the arena's ceiling, and outside of pb_read. `p` is NULL or what this function returned before. */
void *arena_pb_realloc(void *p, size_t size);
void arena_pb_free(void *p);               /* nothing: memory goes with the arena */
#define pb_realloc(p, size) arena_pb_realloc((p), (size))
#define pb_free(p) arena_pb_free(p)

/* nanopb has functions on its streams by these names; here they are those of net/pb_util.h. */
#define pb_read nanopb_stream_read
#define pb_write nanopb_stream_write

/* Lists of numbers as proto2 writes them: a tag before each. */
#define PB_ENCODE_ARRAYS_UNPACKED 1
