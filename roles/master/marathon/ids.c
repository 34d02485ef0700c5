/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/master/marathon/ids.h"

#include <stdio.h>

#include "net/limits.h"

static_assert(LIMIT_APP_ID_BYTES == 200, "the sentence below says so");
static const char SEGMENT_FAULT[] = "must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*"
	"([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'";

char *path_resolve(struct arena *a, const char *base, const char *id)
{
	const char *joined = *id == '/' ? id : arena_printf(a, "%s/%s", base, id);
	char *out = arena_array(a, char, strlen(joined) + 2);
	struct str rest = str_of(joined);
	size_t len = 0;
	while (rest.p) {
		struct str part = str_cut(&rest, '/');
		if (part.len == 0 || str_eq(part, STR(".")))
			continue;
		if (str_eq(part, STR(".."))) {
			while (len > 0 && out[--len] != '/')
				;
			continue;
		}
		out[len++] = '/';
		memcpy(out + len, part.p, part.len);
		len += part.len;
	}
	if (len == 0)
		out[len++] = '/';
	out[len] = '\0';
	return out;
}

static bool letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/* Labels of lower-case letters, digits and inner hyphens, joined by dots. */
static bool segment_ok(struct str s)
{
	while (s.p) {
		struct str label = str_cut(&s, '.');
		if (label.len == 0 || label.p[0] == '-' || label.p[label.len - 1] == '-')
			return false;
		for (size_t i = 0; i < label.len; i++)
			if (!letter_or_digit(label.p[i]) && label.p[i] != '-')
				return false;
	}
	return true;
}

const char *path_fault(const char *path)
{
	static const char *const reserved[] = { "restart", "tasks", "versions" };
	struct str rest = str_of(path), last = { 0 };
	(void)str_cut(&rest, '/');
	if (!rest.p || rest.len == 0)
		return "Path must contain at least one path element";
	if (strlen(path) > LIMIT_APP_ID_BYTES)
		return "must be 200 characters or less";
	while (rest.p) {
		last = str_cut(&rest, '/');
		if (!segment_ok(last))
			return SEGMENT_FAULT;
	}
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		if (str_eq_c(last, reserved[i]))
			return "must not end with any of the following reserved keywords: restart, tasks, versions, ., ..";
	return NULL;
}

char *path_safe(struct arena *a, const char *path)
{
	char *out = arena_strdup(a, path + (*path == '/'));
	for (char *p = out; *p; p++)
		if (*p == '/')
			*p = '_';
	return out;
}

char *path_hostname(struct arena *a, const char *path)
{
	size_t len = strlen(path), end = len;
	char *out = arena_array(a, char, len + 1), *to = out;
	for (size_t i = len; i-- > 0;) {
		if (path[i] != '/')
			continue;
		if (to != out)
			*to++ = '.';
		memcpy(to, path + i + 1, end - i - 1);
		to += end - i - 1;
		end = i;
	}
	*to = '\0';
	return out;
}

char *path_parent(struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash != path ? arena_str(a, str_n(path, (size_t)(slash - path))) : arena_strdup(a, "/");
}

int path_compare(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	/* '/' goes before everything: "/a/x" stands with "/a", not behind "/a-b". */
	int x = *a == '/' ? 1 : (unsigned char)*a, y = *b == '/' ? 1 : (unsigned char)*b;
	return x - y;
}

bool path_within(const char *path, const char *group)
{
	size_t n = strlen(group);
	return strcmp(group, "/") == 0 || (strncmp(path, group, n) == 0 && (path[n] == '\0' || path[n] == '/'));
}

#define UUID_EPOCH_TICKS 0x01B21DD213814000ULL     /* 1582-10-15 to 1970-01-01 in units of 100 ns */

void uuid1_init(struct uuid1 *u, struct rnd *r)
{
	uint64_t bits = rnd_u64(r);
	memcpy(u->node, &bits, sizeof(u->node));
	u->node[0] |= 1;      /* multicast: no real card's address */
	u->clock_seq = (uint16_t)(bits >> 48) & 0x3fff;
	u->last_ticks = 0;
}

void uuid1_next(struct uuid1 *u, int64_t unix_us, char out[37])
{
	uint64_t t = (uint64_t)unix_us * 10 + UUID_EPOCH_TICKS;
	if (t <= u->last_ticks)
		t = u->last_ticks + 1;
	u->last_ticks = t;
	(void)snprintf(out, 37, "%08x-%04x-%04x-%04x-%02x%02x%02x%02x%02x%02x", (unsigned)(t & 0xffffffff), (unsigned)(t >> 32 & 0xffff),
		       0x1000u | (unsigned)(t >> 48 & 0x0fff), 0x8000u | u->clock_seq, u->node[0], u->node[1], u->node[2], u->node[3],
		       u->node[4], u->node[5]);
}
