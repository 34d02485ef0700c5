/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 of RFC 4648: the standard alphabet of section 4 with padding, and the URL-safe one of section 5 without. */
#pragma once

#include "net/base/base.h"
#include "net/base/buf.h"
#include "net/base/str.h"

void base64_write(struct buf *out, struct str bytes);
void base64url_write(struct buf *out, struct str bytes);

/* Bytes that `len` characters can stand for at most: the room base64_read needs. */
static inline size_t base64_room(size_t len) { return len / 4 * 3 + 3; }

/*
 * Decode text of either alphabet, padded or not, into `dst`, which has base64_room(text.len) bytes.
 * False when a character does not belong, the length is impossible, or unused bits at the end are not zero.
 */
bool base64_read(struct str text, uint8_t *dst, size_t *out_len);
