/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that ends the process instead of failing: for small fixed objects. */
#include "net/base/base.h"

#include <stdarg.h>
#include <stdio.h>

static void *or_die(void *p)
{
	static const char text[] = "dcos-node: out of memory\n";
	if (p)
		return p;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

void *xmalloc(size_t size) { return or_die(malloc(size ? size : 1)); }
void *xcalloc(size_t count, size_t size) { return or_die(calloc(count ? count : 1, size ? size : 1)); }
void *xrealloc(void *p, size_t size) { return or_die(realloc(p, size ? size : 1)); }
char *xstrdup(const char *s) { return or_die(strdup(s)); }
char *xstrndup(const char *s, size_t len) { return or_die(strndup(s, len)); }

char *xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return or_die(n < 0 ? NULL : text);
}
