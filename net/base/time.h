/* SPDX-License-Identifier: Apache-2.0 */
/* Microseconds inside, text only at the edge. */
#pragma once

#include "net/base/base.h"
#include "net/base/str.h"

int64_t time_now_us(void);      /* monotonic; only net/loop.c and programs without a loop call it */
int64_t time_unix_us(void);     /* wall clock */

/* "15secs", "1.5mins", "100ms", "2weeks", "5" (seconds): stout's Duration grammar plus Go's single letters (s, m, h, d, w). */
bool time_parse_duration(struct str s, int64_t *out_us);
/* ISO 8601 "2024-01-31T12:00:00.123Z" of a wall-clock time; out holds at least 32 bytes. */
void time_iso(int64_t unix_us, char out[32]);
bool time_parse_iso(struct str s, int64_t *out_unix_us);
