/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "net/base/time.h"

/* The one mutable global of the project: the log's level and name. */
static enum log_level level_now = LOG_INFO;
static const char *name_now = "dcos-node";

static const char *const level_names[] = { "ERROR", "WARN", "INFO", "DEBUG" };

void log_set_level(enum log_level level) { level_now = level; }
enum log_level log_get_level(void) { return level_now; }
void log_set_name(const char *name) { name_now = name; }

bool log_level_parse(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcasecmp(text, level_names[i]) != 0)
			continue;
		*out = (enum log_level)i;
		return true;
	}
	return false;
}

void log_write(enum log_level level, const char *what, const char *fmt, ...)
{
	char line[2048], when[32];
	va_list ap;
	time_iso(time_unix_us(), when);
	int n = snprintf(line, sizeof(line), "%s %-5s %s: %s ", when, level_names[level], name_now, what);
	va_start(ap, fmt);
	int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	size_t len = MIN((size_t)n + (size_t)(m < 0 ? 0 : m), sizeof(line) - 2);
	for (size_t i = 0; i < len; i++)
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';     /* one line an event, whatever a value contains */
	line[len] = '\n';
	(void)!write(STDERR_FILENO, line, len + 1);   /* one write: lines of several processes do not mix */
}
