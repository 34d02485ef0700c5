/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: a negative code from one table, and words for a person in a caller-owned struct.
 * Lower layers report and never log; whoever decides what happens next logs, once.
 */
#pragma once

#include "net/base/base.h"

#define ERR_TABLE(X) \
	/* code           value  http  exit  meaning */ \
	X(E_IO,              -1,  500,    1, "input/output error") \
	X(E_MALFORMED,       -2,  400,    1, "message cannot be decoded") \
	X(E_TOOBIG,          -3,  413,    1, "over a limit") \
	X(E_NOTLEADER,       -4,  503,    1, "this master does not lead") \
	X(E_NOTFOUND,        -5,  404,    1, "no such thing") \
	X(E_CONFLICT,        -6,  409,    1, "conflicts with what exists") \
	X(E_INVALID,         -7,  422,    1, "value not allowed") \
	X(E_USAGE,           -8,  400,    2, "wrong usage") \
	X(E_DENIED,          -9,  403,    1, "not permitted") \
	X(E_UNAUTHORIZED,   -10,  401,    1, "not authenticated") \
	X(E_TIMEOUT,        -11,  504,    1, "took too long") \
	X(E_CLOSED,         -12,  503,    1, "connection closed") \
	X(E_NOSPACE,        -13,  507,    1, "no space left") \
	X(E_CORRUPT,        -14,  500,    1, "stored data is damaged") \
	X(E_NEWER,          -15,  500,    1, "stored data is from a newer version") \
	X(E_BUSY,           -16,  503,    1, "busy or locked") \
	X(E_UNSUPPORTED,    -17,  501,    1, "not supported here") \
	X(E_METHOD,         -18,  405,    1, "method not allowed") \
	X(E_BADGATEWAY,     -19,  502,    1, "the server behind this one did not answer rightly")

#define ERR_ENUM(code, value, http, exit, meaning) code = value,
enum err_code { ERR_TABLE(ERR_ENUM) };

struct err {
	int code;        /* 0 or an enum err_code */
	char text[512];  /* one sentence, no trailing period or newline */
};

/* Store the code and the formatted sentence in e (may be NULL); returns code, so `return err_set(...)`. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);

/* As err_set with ": strerror(errno)" appended; maps ENOSPC/EDQUOT to E_NOSPACE, ENOENT to E_NOTFOUND, others to E_IO. */
int err_sys(struct err *e, const char *fmt, ...) PRINTF(2, 3);

/* Put "context: " in front of e's text; returns e->code. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF(2, 3);

/* Facts of a code. Unknown codes read as E_IO. */
const char *err_meaning(int code);
int err_http(int code);
int err_exit(int code);
