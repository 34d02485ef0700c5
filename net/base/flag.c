/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/flag.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/time.h"

#define CONFIG_FILE_BYTES_MAX (1 << 20)

/* --state_dir and --state-dir are the same flag. */
static bool name_eq(struct str a, const char *b)
{
	if (a.len != strlen(b))
		return false;
	for (size_t i = 0; i < a.len; i++) {
		char x = a.p[i] == '_' ? '-' : a.p[i];
		char y = b[i] == '_' ? '-' : b[i];
		if (x != y)
			return false;
	}
	return true;
}

static const struct flag *flag_find(const struct flag *const tables[], struct str name)
{
	for (size_t t = 0; tables[t]; t++)
		for (const struct flag *f = tables[t]; f->name; f++)
			if (name_eq(name, f->name))
				return f;
	return NULL;
}

/* Number of single-character edits between two short names (Levenshtein, two rows). */
static size_t edit_distance(struct str a, const char *b)
{
	size_t row[64], bn = strlen(b);
	if (bn >= ARRAY_LEN(row))
		return SIZE_MAX;
	for (size_t j = 0; j <= bn; j++)
		row[j] = j;
	for (size_t i = 0; i < a.len; i++) {
		size_t diagonal = row[0];
		row[0] = i + 1;
		for (size_t j = 0; j < bn; j++) {
			size_t swap = diagonal + (a.p[i] != b[j]);
			diagonal = row[j + 1];
			size_t indel = MIN(row[j], row[j + 1]) + 1;
			row[j + 1] = MIN(indel, swap);
		}
	}
	return row[bn];
}

static const char *nearest(const struct flag *const tables[], struct str name)
{
	const char *best = NULL;
	size_t best_distance = 3;
	for (size_t t = 0; tables[t]; t++)
		for (const struct flag *f = tables[t]; f->name; f++) {
			size_t d = edit_distance(name, f->name);
			if (d < best_distance) {
				best_distance = d;
				best = f->name;
			}
		}
	return best;
}

static bool parse_bytes(struct str s, int64_t *out)
{
	static const struct { const char *unit; int64_t bytes; } units[] = {
		{ "TB", 1024 * GIB }, { "GB", GIB }, { "MB", MIB }, { "KB", KIB }, { "B", 1 }, { "", 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		struct str unit = str_of(units[i].unit);
		double v;
		if (!str_ends(s, unit))
			continue;
		if (!str_f64(str_head(s, s.len - unit.len), &v) || v < 0 || v * (double)units[i].bytes > 9e18)
			return false;
		*out = llround(v * (double)units[i].bytes);
		return true;
	}
	return false;
}

static int parse_int(const struct flag *f, struct str v, int64_t *out, struct err *e)
{
	bool ok = f->type == FLAG_DURATION ? time_parse_duration(v, out)
		: f->type == FLAG_BYTES    ? parse_bytes(v, out)
					   : str_i64(v, out);
	static const char *const wants[] = {
		[FLAG_INT] = "a whole number", [FLAG_PORT] = "a port number", [FLAG_BYTES] = "a size such as 64MB",
		[FLAG_DURATION] = "a duration such as 10secs",
	};
	if (!ok)
		return err_set(e, E_USAGE, "--%s wants %s, not '" STR_FMT "'", f->name, wants[f->type], STR_ARG(v));
	int64_t min = f->min, max = f->max;
	if (f->type == FLAG_PORT && max == 0)
		max = 65535;
	if ((min != 0 || max != 0) && (*out < min || *out > max))
		return err_set(e, E_USAGE, "--%s wants a value from %lld to %lld, not '" STR_FMT "'", f->name, (long long)min,
			       (long long)max, STR_ARG(v));
	return 0;
}

static int parse_bool(const struct flag *f, struct str v, bool *out, struct err *e)
{
	static const struct { const char *text; bool value; } words[] = {
		{ "true", true }, { "1", true }, { "yes", true }, { "false", false }, { "0", false }, { "no", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_c(v, words[i].text)) {
			*out = words[i].value;
			return 0;
		}
	return err_set(e, E_USAGE, "--%s wants true or false, not '" STR_FMT "'", f->name, STR_ARG(v));
}

/* A repeated FLAG_LIST adds a line; `fresh` replaces what a lower-ranking source said. */
static void set_text(const struct flag *f, char **field, struct str v, bool fresh)
{
	char *old = *field;
	if (f->type == FLAG_LIST && old && !fresh)
		*field = xasprintf("%s\n" STR_FMT, old, STR_ARG(v));
	else
		*field = str_dup(v);
	free(old);
}

static int flag_set(const struct flag *f, void *config, struct str v, bool fresh, struct err *e)
{
	void *field = (char *)config + f->offset;
	int64_t n;
	int rc;
	switch (f->type) {
	case FLAG_BOOL:
		return parse_bool(f, v, field, e);
	case FLAG_INT:
	case FLAG_DURATION:
	case FLAG_BYTES:
		rc = parse_int(f, v, &n, e);
		if (rc == 0)
			memcpy(field, &n, sizeof(n));
		return rc;
	case FLAG_PORT:
		rc = parse_int(f, v, &n, e);
		if (rc == 0)
			*(uint16_t *)field = (uint16_t)n;
		return rc;
	case FLAG_DOUBLE:
		if (!str_f64(v, field))
			return err_set(e, E_USAGE, "--%s wants a number, not '" STR_FMT "'", f->name, STR_ARG(v));
		return 0;
	case FLAG_STRING:
	case FLAG_LIST:
		set_text(f, field, v, fresh);
		return 0;
	}
	return 0;
}

static int set_defaults(const struct flag *const tables[], void *config, struct err *e)
{
	for (size_t t = 0; tables[t]; t++)
		for (const struct flag *f = tables[t]; f->name; f++) {
			int rc = f->def ? flag_set(f, config, str_of(f->def), true, e) : 0;
			if (rc != 0)
				return rc;
		}
	return 0;
}

static int set_environment(const struct flag *const tables[], void *config, struct err *e)
{
	for (size_t t = 0; tables[t]; t++)
		for (const struct flag *f = tables[t]; f->name; f++) {
			const char *v = f->env ? getenv(f->env) : NULL;
			int rc = v ? flag_set(f, config, str_of(v), true, e) : 0;
			if (rc != 0)
				return err_wrap(e, "environment variable %s", f->env);
		}
	return 0;
}

/* One line of a config file: "name = value", "name: value"; empty lines and '#' comments are skipped. */
static int set_line(const struct flag *const tables[], void *config, struct str line, struct err *e)
{
	line = str_trim(line);
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	if (line.len == 0 || line.p[0] == '#')
		return 0;
	ssize_t eq = str_find(line, '='), colon = str_find(line, ':');
	ssize_t at = eq >= 0 && (colon < 0 || eq < colon) ? eq : colon;
	if (at < 0)
		return err_set(e, E_USAGE, "a line wants 'name = value', not '" STR_FMT "'", STR_ARG(line));
	struct str name = str_trim(str_head(line, (size_t)at));
	struct str value = str_trim(str_from(line, (size_t)at + 1));
	const struct flag *f = flag_find(tables, name);
	if (!f)
		return err_set(e, E_USAGE, "unknown setting '" STR_FMT "'", STR_ARG(name));
	return flag_set(f, config, value, f->type != FLAG_LIST, e);
}

static int set_file(const struct flag *const tables[], void *config, const char *path, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0)
		return err_sys(e, "read config file '%s'", path);
	if (st.st_size > CONFIG_FILE_BYTES_MAX)
		return err_set(e, E_TOOBIG, "config file '%s' is larger than 1 MiB", path);
	AUTO_FREE char *text = xmalloc((size_t)st.st_size);
	ssize_t n = read(fd, text, (size_t)st.st_size);
	if (n < 0)
		return err_sys(e, "read config file '%s'", path);
	struct str rest = str_n(text, (size_t)n);
	for (int line = 1; rest.p && rest.len > 0; line++) {
		int rc = set_line(tables, config, str_cut(&rest, '\n'), e);
		if (rc != 0)
			return err_wrap(e, "config file '%s' line %d", path, line);
	}
	return 0;
}

struct argv_walk {
	const struct flag *const *tables;
	int argc, at;
	char **argv;
	void *config;        /* NULL: only look for --config */
	const char *config_path;
	const struct flag *lists[32];   /* FLAG_LIST flags this command line has given already */
	size_t list_count;
};

static int unknown_flag(const struct flag *const tables[], struct str name, struct err *e)
{
	const char *near = nearest(tables, name);
	if (near)
		return err_set(e, E_USAGE, "unknown flag --" STR_FMT ", did you mean --%s?", STR_ARG(name), near);
	return err_set(e, E_USAGE, "unknown flag --" STR_FMT "; --help lists what there is", STR_ARG(name));
}

/* The first mention of a list replaces what the environment or a file said; later ones add to it. */
static bool is_first(struct argv_walk *w, const struct flag *f)
{
	for (size_t i = 0; i < w->list_count; i++)
		if (w->lists[i] == f)
			return false;
	if (w->list_count < ARRAY_LEN(w->lists))
		w->lists[w->list_count++] = f;
	return true;
}

/* The flag at argv[at]; advances at past it and its value. */
static int walk_flag(struct argv_walk *w, struct err *e)
{
	struct str word = str_of(w->argv[w->at++]);
	struct str rest = str_from(word, word.len > 1 && word.p[1] == '-' ? 2 : 1);
	struct str name = str_cut(&rest, '=');
	struct str value = rest;
	const struct flag *f = flag_find(w->tables, name);
	bool negated = false;
	if (!f && str_starts(name, STR("no-"))) {
		f = flag_find(w->tables, str_from(name, 3));
		negated = f && f->type == FLAG_BOOL;
		if (!negated)
			f = NULL;
	}
	if (!f)
		return unknown_flag(w->tables, name, e);
	if (!value.p && f->type == FLAG_BOOL)
		value = negated ? STR("false") : STR("true");
	if (!value.p) {
		if (w->at >= w->argc)
			return err_set(e, E_USAGE, "--%s wants a value", f->name);
		value = str_of(w->argv[w->at++]);
	}
	if (!w->config) {
		if (cstr_eq(f->name, "config"))
			w->config_path = value.p;
		return 0;
	}
	return flag_set(f, w->config, value, f->type != FLAG_LIST || is_first(w, f), e);
}

static bool is_flag(const char *word) { return word[0] == '-' && word[1] != '\0'; }

static int walk(struct argv_walk *w, bool permute, int *out_argi, struct err *e)
{
	int words = 0;
	AUTO_FREE char **later = xcalloc((size_t)w->argc + 1, sizeof(*later));
	w->at = 0;
	while (w->at < w->argc) {
		char *word = w->argv[w->at];
		if (strcmp(word, "--") == 0) {
			w->at++;
			break;
		}
		if (is_flag(word)) {
			int rc = walk_flag(w, e);
			if (rc != 0)
				return rc;
			continue;
		}
		if (!permute)
			break;
		later[words++] = w->argv[w->at++];
	}
	while (w->at < w->argc && words > 0)
		later[words++] = w->argv[w->at++];
	if (!w->config)
		return 0;       /* argv is put in order by the second walk */
	*out_argi = w->at - words;
	for (int i = 0; i < words; i++)
		w->argv[*out_argi + i] = later[i];
	return 0;
}

int flag_parse(const struct flag *const tables[], void *config, int argc, char **argv, bool permute, int *out_argi, struct err *e)
{
	struct argv_walk look = { .tables = tables, .argc = argc, .argv = argv };
	struct argv_walk set = { .tables = tables, .argc = argc, .argv = argv, .config = config };
	int argi = argc;
	int rc = set_defaults(tables, config, e);
	if (rc == 0)
		rc = walk(&look, permute, &argi, e);
	if (rc == 0 && look.config_path)
		rc = set_file(tables, config, look.config_path, e);
	if (rc == 0)
		rc = set_environment(tables, config, e);
	if (rc == 0)
		rc = walk(&set, permute, &argi, e);
	if (rc == 0)
		*out_argi = argi;
	return rc;
}

static const char *const value_words[] = {
	[FLAG_BOOL] = "", [FLAG_INT] = " N", [FLAG_PORT] = " PORT", [FLAG_DURATION] = " TIME", [FLAG_BYTES] = " SIZE",
	[FLAG_DOUBLE] = " N", [FLAG_STRING] = " VALUE", [FLAG_LIST] = " VALUE",
};

void flag_help(const struct flag *const tables[], struct buf *out)
{
	for (size_t t = 0; tables[t]; t++) {
		for (const struct flag *f = tables[t]; f->name; f++) {
			char left[64];
			(void)snprintf(left, sizeof(left), "--%s%s", f->name, value_words[f->type]);
			buf_printf(out, "  %-34s %s", left, f->help);
			if (f->def && f->type != FLAG_BOOL)
				buf_printf(out, " (default %s)", f->def);
			if (f->def && f->type == FLAG_BOOL && strcmp(f->def, "true") == 0)
				buf_printf(out, " (on; --no-%s)", f->name);
			if (f->env)
				buf_printf(out, " [%s]", f->env);
			buf_putc(out, '\n');
		}
		if (tables[t + 1] && tables[t + 1]->name)
			buf_putc(out, '\n');
	}
}

void flag_free(const struct flag *const tables[], void *config)
{
	for (size_t t = 0; tables[t]; t++)
		for (const struct flag *f = tables[t]; f->name; f++) {
			if (f->type != FLAG_STRING && f->type != FLAG_LIST)
				continue;
			char **field = (char **)((char *)config + f->offset);
			free(*field);
			*field = NULL;
		}
}

void flag_value_text(const struct flag *f, const void *config, struct buf *out)
{
	const void *field = (const char *)config + f->offset;
	int64_t n;
	double d;
	const char *text;
	switch (f->type) {
	case FLAG_BOOL:
		buf_puts(out, *(const bool *)field ? "true" : "false");
		return;
	case FLAG_INT:
	case FLAG_BYTES:
		memcpy(&n, field, sizeof(n));
		buf_printf(out, "%lld", (long long)n);
		return;
	case FLAG_DURATION:
		memcpy(&n, field, sizeof(n));
		if (n % SEC == 0)
			buf_printf(out, "%lldsecs", (long long)(n / SEC));
		else
			buf_printf(out, "%lldms", (long long)(n / MSEC));
		return;
	case FLAG_PORT:
		buf_printf(out, "%u", *(const uint16_t *)field);
		return;
	case FLAG_DOUBLE:
		memcpy(&d, field, sizeof(d));
		buf_json_num(out, d);
		return;
	case FLAG_STRING:
	case FLAG_LIST:
		memcpy(&text, field, sizeof(text));
		buf_puts(out, text ? text : "");
		return;
	}
}
