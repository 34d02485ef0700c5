/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct err_row {
	int code, http, exit;
	const char *meaning;
};

#define ERR_ROW(code, value, http, exit, meaning) { value, http, exit, meaning },
static const struct err_row rows[] = { ERR_TABLE(ERR_ROW) };

static const struct err_row *row_of(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].code == code)
			return &rows[i];
	return &rows[0];
}

const char *err_meaning(int code) { return row_of(code)->meaning; }
int err_http(int code) { return row_of(code)->http; }
int err_exit(int code) { return code == 0 ? 0 : row_of(code)->exit; }

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	if (!e)
		return code;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);   /* a longer sentence is cut */
	va_end(ap);
	e->code = code;
	return code;
}

static int code_of_errno(int no)
{
	switch (no) {
	case ENOSPC:
	case EDQUOT:
		return E_NOSPACE;
	case ENOENT:
		return E_NOTFOUND;
	case EACCES:
	case EPERM:
		return E_DENIED;
	case EADDRINUSE:
		return E_BUSY;
	default:
		return E_IO;
	}
}

int err_sys(struct err *e, const char *fmt, ...)
{
	int no = errno;
	int code = code_of_errno(no);
	va_list ap;
	if (!e)
		return code;
	va_start(ap, fmt);
	int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->text))
		(void)snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", strerror(no));
	e->code = code;
	return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->text)];
	va_list ap;
	if (!e)
		return E_IO;
	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->text))
		(void)snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", old);
	return e->code;
}
