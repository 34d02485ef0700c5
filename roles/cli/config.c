/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ~/.dcos/clusters/<id>/dcos.toml (0600) and an empty file `attached` beside it. Of TOML we read and write what the dcos CLI
 * does: sections and `key = value` with strings, booleans and numbers.
 */
#include "roles/cli/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "roles/cli/cli.h"
#include "roles/node.h"

#define FILE_BYTES_MAX (256 * 1024)

static int config_dir(char **out, struct err *e)
{
	const char *dir = getenv("DCOS_DIR"), *home = getenv("HOME");
	if (!dir && !home)
		return err_set(e, E_USAGE, "HOME is not set; set DCOS_DIR to where the dcos command keeps its clusters");
	*out = dir ? xstrdup(dir) : xasprintf("%s/.dcos", home);
	return 0;
}

/* ---- a file as lines ---- */

struct setting {
	char *key;         /* "core.dcos_url" */
	char *value;       /* without quotes */
	bool quoted;
};

struct settings {
	struct setting rows[64];
	size_t count;
};

static void settings_fini(struct settings *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->rows[i].key);
		free(s->rows[i].value);
	}
	s->count = 0;
}
#define AUTO_SETTINGS __attribute__((cleanup(settings_fini)))

static struct setting *settings_find(struct settings *s, const char *key)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->rows[i].key, key) == 0)
			return &s->rows[i];
	return NULL;
}

static int settings_put(struct settings *s, const char *key, struct str value, bool quoted, struct err *e)
{
	struct setting *row = settings_find(s, key);
	if (!row && s->count == ARRAY_LEN(s->rows))
		return err_set(e, E_TOOBIG, "more than %zu settings", ARRAY_LEN(s->rows));
	if (!row) {
		row = &s->rows[s->count++];
		*row = (struct setting){ .key = xstrdup(key) };
	}
	free(row->value);
	row->value = str_dup(value);
	row->quoted = quoted;
	return 0;
}

static int settings_parse(struct settings *s, struct str text, const char *path, struct err *e)
{
	char section[64] = "";
	for (int n = 1; text.p && text.len > 0; n++) {
		struct str line = str_trim(str_cut(&text, '\n'));
		if (line.len == 0 || line.p[0] == '#')
			continue;
		if (line.p[0] == '[' && line.p[line.len - 1] == ']') {
			(void)str_put(section, sizeof(section), str_head(str_from(line, 1), line.len - 2));
			continue;
		}
		ssize_t eq = str_find(line, '=');
		if (eq < 0)
			return err_set(e, E_MALFORMED, "'%s' line %d wants key = value", path, n);
		struct str key = str_trim(str_head(line, (size_t)eq)), value = str_trim(str_from(line, (size_t)eq + 1));
		bool quoted = value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"';
		if (quoted)
			value = str_head(str_from(value, 1), value.len - 2);
		AUTO_FREE char *name = xasprintf("%s%s" STR_FMT, section, section[0] ? "." : "", STR_ARG(key));
		int rc = settings_put(s, name, value, quoted, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int settings_load(struct settings *s, const char *path, struct err *e)
{
	AUTO_FREE char *text = xmalloc(FILE_BYTES_MAX);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	ssize_t n = fd < 0 ? -1 : read(fd, text, FILE_BYTES_MAX);
	if (n < 0)
		return err_sys(e, "read '%s'", path);
	return settings_parse(s, str_n(text, (size_t)n), path, e);
}

/* Sections in the order of their first key. */
static void settings_text(const struct settings *s, struct buf *out)
{
	for (size_t i = 0; i < s->count; i++) {
		struct str section = str_of(s->rows[i].key);
		section = str_cut(&section, '.');
		bool seen = false;
		for (size_t j = 0; j < i; j++)
			seen |= str_starts(str_of(s->rows[j].key), section) && s->rows[j].key[section.len] == '.';
		if (seen)
			continue;
		buf_printf(out, "%s[" STR_FMT "]\n", i > 0 ? "\n" : "", STR_ARG(section));
		for (size_t j = i; j < s->count; j++) {
			const struct setting *row = &s->rows[j];
			if (!str_starts(str_of(row->key), section) || row->key[section.len] != '.')
				continue;
			const char *quote = row->quoted ? "\"" : "";
			buf_printf(out, "%s = %s%s%s\n", row->key + section.len + 1, quote, row->value, quote);
		}
	}
}

static int settings_save(const struct settings *s, const char *path, struct err *e)
{
	AUTO_BUF struct buf text = BUF_INIT;
	AUTO_FREE char *tmp = xasprintf("%s.tmp", path);
	settings_text(s, &text);
	AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		return err_sys(e, "write '%s'", tmp);
	return rename(tmp, path) == 0 ? 0 : err_sys(e, "rename '%s' to '%s'", tmp, path);
}

/* ---- clusters ---- */

/* Directory of the attached cluster: the one with a file `attached`, or the only one. DCOS_CLUSTER names it by id or name. */
static int attached_dir(char **out, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	const char *wanted = getenv("DCOS_CLUSTER");
	size_t count = 0, attached = 0;
	char *only = NULL, *found = NULL;
	int rc = config_dir(&dir, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *clusters = xasprintf("%s/clusters", dir);
	DIR *d = opendir(clusters);
	for (struct dirent *entry; d && (entry = readdir(d));) {
		if (entry->d_name[0] == '.')
			continue;
		char *path = xasprintf("%s/%s", clusters, entry->d_name);
		AUTO_FREE char *mark = xasprintf("%s/attached", path);
		AUTO_FREE char *toml = xasprintf("%s/dcos.toml", path);
		AUTO_SETTINGS struct settings s = { 0 };
		struct err ignored = { 0 };
		(void)settings_load(&s, toml, &ignored);
		struct setting *name = settings_find(&s, "cluster.name");
		bool match = wanted ? strcmp(entry->d_name, wanted) == 0 || (name && strcmp(name->value, wanted) == 0)
				    : access(mark, F_OK) == 0;
		count++;
		free(only);
		only = xstrdup(path);
		if (match && attached++ == 0)
			found = MOVE(path);
		free(path);
	}
	if (d)
		(void)closedir(d);
	if (!found && !wanted && count == 1)
		found = MOVE(only);
	free(only);
	if (attached > 1) {
		free(found);
		return err_set(e, E_CONFLICT, "multiple clusters are attached");
	}
	if (!found)
		return err_set(e, E_NOTFOUND, wanted ? "no cluster is named '%s'" : "no cluster is attached. Please run `dcos cluster attach "
			       "<cluster-name>`, or start one with `dcos-node up`", wanted);
	*out = found;
	return 0;
}

int cluster_each(bool (*fn)(void *arg, const char *id, const char *dir, bool attached), void *arg, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	int rc = config_dir(&dir, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *clusters = xasprintf("%s/clusters", dir);
	DIR *d = opendir(clusters);
	bool more = true;
	for (struct dirent *entry; d && more && (entry = readdir(d));) {
		if (entry->d_name[0] == '.')
			continue;
		AUTO_FREE char *path = xasprintf("%s/%s", clusters, entry->d_name);
		AUTO_FREE char *mark = xasprintf("%s/attached", path);
		more = fn(arg, entry->d_name, path, access(mark, F_OK) == 0);
	}
	if (d)
		(void)closedir(d);
	return 0;
}

static bool detach(void *arg, const char *id, const char *dir, bool attached)
{
	AUTO_FREE char *mark = xasprintf("%s/attached", dir);
	(void)arg;
	(void)id;
	if (attached)
		(void)unlink(mark);    /* absent by now: as wanted */
	return true;
}

int config_attach(const char *cluster_id, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	int rc = cluster_each(detach, NULL, e);
	if (rc == 0)
		rc = config_dir(&dir, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *mark = xasprintf("%s/clusters/%s/attached", dir, cluster_id);
	AUTO_FD int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd >= 0 ? 0 : err_sys(e, "create '%s'", mark);
}

int config_register(const char *cluster_id, const char *name, const char *url, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	AUTO_SETTINGS struct settings s = { 0 };
	int rc = config_dir(&dir, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *cluster = xasprintf("%s/clusters/%s", dir, cluster_id);
	AUTO_FREE char *toml = xasprintf("%s/dcos.toml", cluster);
	rc = node_mkdirs(cluster, 0700, e);
	if (rc == 0)
		rc = settings_load(&s, toml, e);
	if (rc == 0)
		rc = settings_put(&s, "core.dcos_url", str_of(url), true, e);
	if (rc == 0)
		rc = settings_put(&s, "cluster.name", str_of(name), true, e);
	if (rc == 0)
		rc = settings_save(&s, toml, e);
	return rc == 0 ? config_attach(cluster_id, e) : rc;
}

int config_get(const char *key, char **out, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	AUTO_SETTINGS struct settings s = { 0 };
	int rc = attached_dir(&dir, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *toml = xasprintf("%s/dcos.toml", dir);
	rc = settings_load(&s, toml, e);
	if (rc != 0)
		return rc;
	struct setting *row = settings_find(&s, key);
	if (!row)
		return err_set(e, E_NOTFOUND, "Property '%s' doesn't exist", key);
	*out = xstrdup(row->value);
	return 0;
}

int cli_url(struct cli *c, const char **out, struct err *e)
{
	const char *env = getenv("DCOS_URL");
	if (!c->url && env)
		c->url = xstrdup(env);
	int rc = c->url ? 0 : config_get("core.dcos_url", &c->url, e);
	if (rc != 0)
		return rc;
	size_t len = strlen(c->url);
	while (len > 0 && c->url[len - 1] == '/')
		c->url[--len] = '\0';
	*out = c->url;
	return 0;
}

/* ---- commands ---- */

/* Settings of the attached cluster for a change; *toml is its file. */
static int open_settings(struct settings *s, char **toml, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	int rc = attached_dir(&dir, e);
	if (rc != 0)
		return rc;
	*toml = xasprintf("%s/dcos.toml", dir);
	return settings_load(s, *toml, e);
}

static int cmd_show(struct cli *c, struct err *e)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_FREE char *toml = NULL;
	int rc = open_settings(&s, &toml, e);
	if (rc != 0)
		return rc;
	if (c->argc == 1) {
		struct setting *row = settings_find(&s, c->args[0]);
		if (!row)
			return err_set(e, E_NOTFOUND, "Property '%s' doesn't exist", c->args[0]);
		puts(row->value);
		return 0;
	}
	for (size_t i = 0; i < s.count; i++)
		for (size_t j = i + 1; j < s.count; j++)
			if (strcmp(s.rows[j].key, s.rows[i].key) < 0) {
				struct setting swap = s.rows[i];
				s.rows[i] = s.rows[j];
				s.rows[j] = swap;
			}
	for (size_t i = 0; i < s.count; i++)
		printf("%s %s\n", s.rows[i].key, strcmp(s.rows[i].key, "core.dcos_acs_token") == 0 ? "********" : s.rows[i].value);
	return 0;
}

static int cmd_set(struct cli *c, struct err *e)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_FREE char *toml = NULL;
	const char *key = c->args[0], *value = c->args[1];
	if (!strchr(key, '.') || strpbrk(value, "\"\n"))
		return err_set(e, E_INVALID, "a setting is SECTION.KEY, its value without quotes and line ends");
	int rc = open_settings(&s, &toml, e);
	struct setting *old = rc == 0 ? settings_find(&s, key) : NULL;
	AUTO_FREE char *before = old ? xstrdup(old->value) : NULL;
	if (rc == 0)
		rc = settings_put(&s, key, str_of(value), true, e);
	if (rc == 0)
		rc = settings_save(&s, toml, e);
	if (rc != 0)
		return rc;
	if (!before)
		printf("[%s]: set to '%s'\n", key, value);
	else if (strcmp(before, value) == 0)
		printf("[%s]: already set to '%s'\n", key, value);
	else
		printf("[%s]: changed from '%s' to '%s'\n", key, before, value);
	return 0;
}

static int cmd_unset(struct cli *c, struct err *e)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_FREE char *toml = NULL;
	int rc = open_settings(&s, &toml, e);
	if (rc != 0)
		return rc;
	struct setting *row = settings_find(&s, c->args[0]);
	if (!row)
		return err_set(e, E_NOTFOUND, "Property '%s' doesn't exist", c->args[0]);
	free(row->key);
	free(row->value);
	*row = s.rows[--s.count];
	rc = settings_save(&s, toml, e);
	if (rc == 0)
		printf("Removed [%s]\n", c->args[0]);
	return rc;
}

const struct command config_commands[] = {
	/* words           args                min max flags  fn         help */
	{ "config show",   "[<name>]",         0,  1,  NULL,  cmd_show,  "Settings of the attached cluster" },
	{ "config set",    "<name> <value>",   2,  2,  NULL,  cmd_set,   "Change one" },
	{ "config unset",  "<name>",           1,  1,  NULL,  cmd_unset, "Remove one" },
	CMD_END,
};
