/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/time.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static int64_t clock_us(clockid_t id)
{
	struct timespec ts;
	(void)clock_gettime(id, &ts);     /* these clocks always exist */
	return (int64_t)ts.tv_sec * SEC + ts.tv_nsec / 1000;
}

int64_t time_now_us(void) { return clock_us(CLOCK_MONOTONIC); }
int64_t time_unix_us(void) { return clock_us(CLOCK_REALTIME); }

bool time_parse_duration(struct str s, int64_t *out_us)
{
	static const struct { const char *name; double us; } units[] = {
		{ "ns", 0.001 }, { "us", 1 }, { "ms", 1e3 }, { "secs", 1e6 }, { "mins", 60e6 }, { "hrs", 3600e6 },
		{ "days", 86400e6 }, { "weeks", 604800e6 }, { "sec", 1e6 }, { "min", 60e6 }, { "hr", 3600e6 },
		{ "day", 86400e6 }, { "week", 604800e6 }, { "s", 1e6 }, { "m", 60e6 }, { "h", 3600e6 }, { "d", 86400e6 },
		{ "w", 604800e6 }, { "", 1e6 },
	};
	double value;
	size_t digits = 0;
	s = str_trim(s);
	while (digits < s.len && ((s.p[digits] >= '0' && s.p[digits] <= '9') || s.p[digits] == '.'))
		digits++;
	if (!str_f64(str_head(s, digits), &value))
		return false;
	struct str unit = str_trim(str_from(s, digits));
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (!str_eq_c(unit, units[i].name))
			continue;
		double us = value * units[i].us;
		if (us > 9e18)
			return false;
		*out_us = llround(us);
		return true;
	}
	return false;
}

void time_iso(int64_t unix_us, char out[32])
{
	struct tm tm;
	time_t sec = (time_t)(unix_us / SEC);
	int ms = (int)(unix_us % SEC / 1000);
	(void)gmtime_r(&sec, &tm);
	size_t n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + n, 32 - n, ".%03dZ", ms);
}

bool time_parse_iso(struct str s, int64_t *out_unix_us)
{
	char text[40];
	struct tm tm = { 0 };
	if (!str_put(text, sizeof(text), s))
		return false;
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return false;
	int64_t us = 0;
	if (*rest == '.') {
		int64_t unit = 100000;
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			us += (*rest - '0') * unit;
	}
	if (strcmp(rest, "Z") != 0 && strcmp(rest, "+00:00") != 0)
		return false;
	*out_unix_us = (int64_t)timegm(&tm) * SEC + us;
	return true;
}
