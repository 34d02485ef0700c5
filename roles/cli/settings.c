/* SPDX-License-Identifier: Apache-2.0 */
/* See settings.h. */
#include "roles/cli/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define FILE_BYTES_MAX (256 * 1024)
#define SECTION_CHARS_MAX 64

void settings_fini(struct settings *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->rows[i].key);
		free(s->rows[i].value);
	}
	s->count = 0;
}

struct setting *settings_find(struct settings *s, const char *key)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->rows[i].key, key) == 0)
			return &s->rows[i];
	return NULL;
}

const char *settings_get(struct settings *s, const char *key, const char *fallback)
{
	const struct setting *row = settings_find(s, key);
	return row ? row->value : fallback;
}

int settings_put(struct settings *s, const char *key, struct str value, bool quoted, struct err *e)
{
	struct setting *row = settings_find(s, key);
	if (!row && s->count == SETTINGS_MAX)
		return err_set(e, E_TOOBIG, "more than %d settings", SETTINGS_MAX);
	if (!row) {
		row = &s->rows[s->count++];
		*row = (struct setting){ .key = xstrdup(key) };
	}
	free(row->value);
	row->value = str_dup(value);
	row->quoted = quoted;
	return 0;
}

bool settings_remove(struct settings *s, const char *key)
{
	struct setting *row = settings_find(s, key);
	if (!row)
		return false;
	free(row->key);
	free(row->value);
	size_t behind = s->count - (size_t)(row - s->rows) - 1;
	memmove(row, row + 1, behind * sizeof(*row));
	s->count--;
	return true;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct setting *)a)->key, ((const struct setting *)b)->key);
}

void settings_sort(struct settings *s) { qsort(s->rows, s->count, sizeof(s->rows[0]), by_key); }

/* ---- text ---- */

static bool is_between(struct str s, char open, char close) { return s.len >= 2 && s.p[0] == open && s.p[s.len - 1] == close; }

int settings_parse(struct settings *s, struct str text, const char *path, struct err *e)
{
	char section[SECTION_CHARS_MAX] = "";
	if (str_find(text, '\0') >= 0)
		return err_set(e, E_MALFORMED, "'%s' is no text file: it holds a NUL byte", path);
	for (int n = 1; text.p && text.len > 0; n++) {
		struct str line = str_trim(str_cut(&text, '\n'));
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0 || line.p[0] == '#')
			continue;
		if (is_between(line, '[', ']')) {
			if (!str_put(section, sizeof(section), str_head(str_from(line, 1), line.len - 2)))
				return err_set(e, E_TOOBIG, "'%s' line %d: a section's name has up to %d characters", path, n,
					       SECTION_CHARS_MAX - 1);
			continue;
		}
		ssize_t eq = str_find(line, '=');
		if (eq <= 0)
			return err_set(e, E_MALFORMED, "'%s' line %d wants key = value", path, n);
		struct str key = str_trim(str_head(line, (size_t)eq)), value = str_trim(str_from(line, (size_t)eq + 1));
		bool quoted = is_between(value, '"', '"') || is_between(value, '\'', '\'');
		if (quoted)
			value = str_head(str_from(value, 1), value.len - 2);
		AUTO_FREE char *name = xasprintf("%s%s" STR_FMT, section, section[0] ? "." : "", STR_ARG(key));
		int rc = settings_put(s, name, value, quoted, e);
		if (rc != 0)
			return err_wrap(e, "'%s'", path);
	}
	return 0;
}

/* "core" of "core.dcos_url"; empty for a key outside of sections. */
static struct str section_of(const struct setting *row)
{
	struct str key = str_of(row->key);
	ssize_t dot = str_find(key, '.');
	return str_head(key, dot > 0 ? (size_t)dot : 0);
}

static void write_section(const struct settings *s, struct str section, struct buf *out)
{
	if (section.len > 0)
		buf_printf(out, "%s[" STR_FMT "]\n", out->len > 0 ? "\n" : "", STR_ARG(section));
	for (size_t i = 0; i < s->count; i++) {
		const struct setting *row = &s->rows[i];
		const char *quote = row->quoted ? "\"" : "";
		if (str_eq(section_of(row), section))
			buf_printf(out, "%s = %s%s%s\n", row->key + section.len + (section.len > 0), quote, row->value, quote);
	}
}

void settings_text(const struct settings *s, struct buf *out)
{
	write_section(s, STR(""), out);
	for (size_t i = 0; i < s->count; i++) {
		struct str section = section_of(&s->rows[i]);
		bool seen = section.len == 0;
		for (size_t j = 0; j < i && !seen; j++)
			seen = str_eq(section_of(&s->rows[j]), section);
		if (!seen)
			write_section(s, section, out);
	}
}

/* ---- files ---- */

int settings_load(struct settings *s, const char *path, struct err *e)
{
	AUTO_FREE char *text = xmalloc(FILE_BYTES_MAX);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	ssize_t n = fd < 0 ? -1 : read(fd, text, FILE_BYTES_MAX);
	if (n < 0)
		return err_sys(e, "read '%s'", path);
	if (n == FILE_BYTES_MAX)
		return err_set(e, E_TOOBIG, "'%s' is larger than %d KiB", path, FILE_BYTES_MAX / 1024);
	return settings_parse(s, str_n(text, (size_t)n), path, e);
}

int settings_save(const struct settings *s, const char *path, struct err *e)
{
	AUTO_BUF struct buf text = BUF_INIT;
	AUTO_FREE char *tmp = xasprintf("%s.tmp", path);
	settings_text(s, &text);
	AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		return err_sys(e, "write '%s'", tmp);
	return rename(tmp, path) == 0 ? 0 : err_sys(e, "rename '%s' to '%s'", tmp, path);
}
