/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line an event on stderr: time, level, constant text, key=value. Rate and content rules: style of the project.
 *   LOG(INFO, "agent registered", "id=%s host=%s", id, host);
 */
#pragma once

#include "net/base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
bool log_level_parse(const char *text, enum log_level *out);     /* "error" "warn" "info" "debug" */
void log_set_name(const char *name);                             /* role name put in each line; borrowed */
void log_write(enum log_level level, const char *what, const char *fmt, ...) PRINTF(3, 4);

#define LOG(level, what, ...) \
	do { \
		if (LOG_##level <= log_get_level()) \
			log_write(LOG_##level, what, __VA_ARGS__); \
	} while (0)
