/* SPDX-License-Identifier: Apache-2.0 */
/* Slices of text: (pointer, length), borrowed, not NUL-terminated. */
#pragma once

#include "net/base/base.h"

struct str {
	const char *p;
	size_t len;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).len, (s).p

static inline struct str str_of(const char *s) { return (struct str){ s, s ? strlen(s) : 0 }; }
static inline struct str str_n(const char *s, size_t len) { return (struct str){ s, len }; }
static inline struct str str_from(struct str s, size_t at) { return (struct str){ s.p + at, s.len - at }; }
static inline struct str str_head(struct str s, size_t len) { return (struct str){ s.p, len }; }

bool str_eq(struct str a, struct str b);
bool str_eq_c(struct str a, const char *b);
bool str_ieq(struct str a, struct str b);            /* ASCII case folded */
int str_cmp(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Index of the first (last) c, or -1. */
ssize_t str_find(struct str s, char c);
ssize_t str_rfind(struct str s, char c);
struct str str_trim(struct str s);                   /* without spaces and tabs at both ends */
/* Cut the part before the first `sep` off *rest and return it; *rest becomes what follows (p = NULL at the end). */
struct str str_cut(struct str *rest, char sep);
/* Whole slice as a number; false when empty, has other characters or overflows. */
bool str_u64(struct str s, uint64_t *out);
bool str_i64(struct str s, int64_t *out);
bool str_f64(struct str s, double *out);
char *str_dup(struct str s);                         /* heap, NUL-terminated, caller owns */
/* Copy into a fixed array, always terminated; false when it was cut. */
bool str_put(char *dst, size_t dst_size, struct str s);
/* Bytes of the UTF-8 sequence s begins with (RFC 3629); 0: it is not valid, or s is empty. */
size_t str_utf8_len(struct str s);
bool str_is_text(struct str s);                      /* valid UTF-8 without a NUL */
bool cstr_eq(const char *a, const char *b);          /* NULL-safe */
bool cstr_starts(const char *s, const char *prefix);
