/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer with a ceiling. Errors stick: after an append failed, buf_ok is false and appends do nothing. */
#pragma once

#include "net/base/base.h"
#include "net/base/str.h"

struct buf {
	uint8_t *data;   /* owned; NULL while empty */
	size_t len, cap;
	size_t max;      /* ceiling in bytes */
	bool failed;     /* an append would have passed the ceiling */
};

#define BUF_MAX_DEFAULT ((size_t)(256 * MIB))
#define BUF_INIT { .max = BUF_MAX_DEFAULT }
#define AUTO_BUF __attribute__((cleanup(buf_fini)))

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
void buf_reset(struct buf *b);                       /* empty, keep the memory, clear `failed` */
static inline bool buf_ok(const struct buf *b) { return !b->failed; }
bool buf_append(struct buf *b, const void *data, size_t len);
bool buf_puts(struct buf *b, const char *s);
bool buf_str(struct buf *b, struct str s);
bool buf_putc(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Room for `len` more bytes at the end, to be filled and then claimed with buf_grew; NULL past the ceiling. */
uint8_t *buf_room(struct buf *b, size_t len);
void buf_grew(struct buf *b, size_t len);
void buf_drop(struct buf *b, size_t len);            /* remove from the front */
const char *buf_cstr(struct buf *b);                 /* terminated (the NUL is not counted); "" when empty */
static inline struct str buf_view(const struct buf *b) { return str_n((const char *)b->data, b->len); }
/* JSON string with quotes and escapes; invalid UTF-8 becomes U+FFFD. */
bool buf_json_str(struct buf *b, struct str s);
bool buf_json_cstr(struct buf *b, const char *s);    /* NULL becomes null */
/* Shortest decimal that reads back as the same double; always with a fraction or exponent ("1.0"). */
bool buf_json_num(struct buf *b, double v);
/* Heap pointer with the contents plus a NUL; the buffer is empty afterwards. */
char *buf_take(struct buf *b);
