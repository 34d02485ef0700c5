/* SPDX-License-Identifier: Apache-2.0 */
/* clusters/<id>/dcos.toml, beside it an empty file `attached` and the masters' URLs in `masters`; see config.h. */
#include "roles/cli/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/time.h"
#include "roles/cli/cli.h"
#include "roles/node.h"

#define TIMEOUT_SECONDS_MAX 86400
#define MASTERS_BYTES_MAX 4096
#define MASTERS_AGE_US HOUR              /* then the cluster is asked again which masters it has */

static int clusters_dir(char **out, struct err *e)
{
	const char *dir = getenv("DCOS_DIR"), *home = getenv("HOME");
	if (!dir && !home)
		return err_set(e, E_USAGE, "HOME is not set; set DCOS_DIR to where the dcos command keeps its clusters");
	*out = dir ? xasprintf("%s/clusters", dir) : xasprintf("%s/.dcos/clusters", home);
	return 0;
}

int cluster_each(bool (*fn)(void *arg, struct cluster *cl), void *arg, struct err *e)
{
	AUTO_FREE char *clusters = NULL;
	int rc = clusters_dir(&clusters, e);
	if (rc != 0)
		return rc;
	DIR *d = opendir(clusters);
	bool more = true;
	for (struct dirent *entry; d && more && (entry = readdir(d));) {
		if (entry->d_name[0] == '.')
			continue;
		AUTO_FREE char *dir = xasprintf("%s/%s", clusters, entry->d_name);
		AUTO_FREE char *mark = xasprintf("%s/attached", dir);
		AUTO_FREE char *toml = xasprintf("%s/dcos.toml", dir);
		struct cluster *cl = xcalloc(1, sizeof(*cl));
		struct err unreadable = { 0 };
		*cl = (struct cluster){ .id = entry->d_name, .dir = dir, .attached = access(mark, F_OK) == 0 };
		(void)settings_load(&cl->settings, toml, &unreadable);   /* `config show` says what is wrong with it */
		more = fn(arg, cl);
		settings_fini(&cl->settings);
		free(cl);
	}
	if (d)
		(void)closedir(d);
	return 0;
}

/* ---- the attached one ---- */

struct choice {
	const char *wanted;      /* $DCOS_CLUSTER or NULL */
	char *first, *chosen;    /* directories */
	size_t count, attached;
};

static bool choose(void *arg, struct cluster *cl)
{
	struct choice *c = arg;
	bool match = c->wanted ? strcmp(cl->id, c->wanted) == 0 || strcmp(settings_get(&cl->settings, "cluster.name", ""), c->wanted) == 0
			       : cl->attached;
	if (c->count++ == 0)
		c->first = xstrdup(cl->dir);
	if (match && c->attached++ == 0)
		c->chosen = xstrdup(cl->dir);
	return true;
}

int config_path(char **out, struct err *e)
{
	struct choice c = { .wanted = getenv("DCOS_CLUSTER") };
	int rc = cluster_each(choose, &c, e);
	AUTO_FREE char *first = c.first;
	AUTO_FREE char *chosen = c.chosen;
	if (rc != 0)
		return rc;
	if (c.attached > 1)
		return err_set(e, E_CONFLICT, c.wanted ? "multiple clusters are named '%s'" : "multiple clusters are attached", c.wanted);
	const char *dir = chosen ? chosen : !c.wanted && c.count == 1 ? first : NULL;
	if (!dir && c.wanted)
		return err_set(e, E_NOTFOUND, "no cluster is named '%s'; `dcos cluster list` shows those that are set up", c.wanted);
	if (!dir)
		return err_set(e, E_NOTFOUND, "no cluster is attached. Please run `dcos cluster attach <cluster-name>`, "
			       "or start one with `dcos-node up`");
	*out = xasprintf("%s/dcos.toml", dir);
	return 0;
}

/* ---- the masters' URLs ---- */

/* Without a slash at the end. */
static void add_url(struct cli *c, struct str url)
{
	while (url.len > 0 && url.p[url.len - 1] == '/')
		url.len--;
	if (url.len > 0 && c->url_count < CLI_URLS_MAX)
		c->urls[c->url_count++] = str_dup(url);
}

static void forget_urls(struct cli *c)
{
	for (size_t i = 0; i < c->url_count; i++)
		free(c->urls[i]);
	c->url_count = 0;
}

static bool has_url(const struct cli *c, const char *url)
{
	for (size_t i = 0; i < c->url_count; i++)
		if (strcmp(c->urls[i], url) == 0)
			return true;
	return false;
}

/* The remembered ones are those of this cluster only when its own URL is among them: that one may have been changed by hand. */
static void load_masters(struct cli *c, const char *toml)
{
	AUTO_FREE char *dir = xstrdup(toml);
	*strrchr(dir, '/') = '\0';
	AUTO_FREE char *path = xasprintf("%s/masters", dir);
	char text[MASTERS_BYTES_MAX];
	struct stat st;
	AUTO_FREE char *own = MOVE(c->urls[0]);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 && fstat(fd, &st) == 0 ? read(fd, text, sizeof(text)) : -1;
	c->url_count = 0;
	struct str rest = str_n(text, n > 0 ? (size_t)n : 0);
	while (rest.p && rest.len > 0)
		add_url(c, str_trim(str_cut(&rest, '\n')));
	if (n > 0 && has_url(c, own)) {
		c->dir = MOVE(dir);
		c->own_url = MOVE(own);
		c->urls_old = time_unix_us() - st.st_mtim.tv_sec * SEC > MASTERS_AGE_US;
		return;
	}
	forget_urls(c);
	add_url(c, str_of(own));
}

int config_save_masters(const char *dir, const char *const *urls, size_t count, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/masters", dir);
	AUTO_FREE char *tmp = xasprintf("%s/masters.tmp", dir);
	AUTO_BUF struct buf text = BUF_INIT;
	for (size_t i = 0; i < count; i++)
		buf_printf(&text, "%s\n", urls[i]);
	AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		return err_sys(e, "write '%s'", tmp);
	return rename(tmp, path) == 0 ? 0 : err_sys(e, "rename '%s' to '%s'", tmp, path);
}

/* ---- where requests go ---- */

/* Environment beats file; a token of the file is for the file's cluster only. */
static int load_cluster(struct cli *c, struct err *e)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_FREE char *path = NULL;
	const char *env_url = getenv("DCOS_URL"), *env_token = getenv("DCOS_ACS_TOKEN"), *env_timeout = getenv("DCOS_TIMEOUT");
	int64_t seconds;
	int rc = env_url ? 0 : config_path(&path, e);
	if (rc == 0 && path)
		rc = settings_load(&s, path, e);
	if (rc != 0)
		return rc;
	const char *url = env_url ? env_url : settings_get(&s, "core.dcos_url", NULL);
	const char *token = env_token ? env_token : settings_get(&s, "core.dcos_acs_token", NULL);
	const char *timeout = env_timeout ? env_timeout : settings_get(&s, "core.timeout", NULL);
	if (!url || !url[0])
		return err_set(e, E_NOTFOUND, "'%s' has no core.dcos_url; `dcos config set core.dcos_url http://…` sets it", path ? path : "DCOS_URL");
	if (timeout && (!str_i64(str_of(timeout), &seconds) || seconds < 1 || seconds > TIMEOUT_SECONDS_MAX))
		return err_set(e, E_INVALID, "the timeout wants 1 to %d seconds, not '%s'", TIMEOUT_SECONDS_MAX, timeout);
	add_url(c, str_of(url));
	if (path && c->url_count > 0)
		load_masters(c, path);
	c->token = token ? xstrdup(token) : NULL;
	if (timeout)
		c->timeout_us = seconds * SEC;
	return c->url_count > 0 ? 0 : err_set(e, E_INVALID, "'%s' is no URL of a cluster", url);
}

int cli_url(struct cli *c, const char **out, struct err *e)
{
	int rc = c->url_count > 0 ? 0 : load_cluster(c, e);
	if (rc == 0)
		*out = c->urls[0];
	return rc;
}

void cli_use_url(struct cli *c, const char *url)
{
	forget_urls(c);
	free(MOVE(c->dir));
	free(MOVE(c->own_url));
	add_url(c, str_of(url));
}

void cli_prefer_url(struct cli *c, size_t index)
{
	char *url = c->urls[index];
	memmove(&c->urls[1], &c->urls[0], index * sizeof(c->urls[0]));
	c->urls[0] = url;
}

int cli_set_urls(struct cli *c, const char *const *urls, size_t count, struct err *e)
{
	assert(count > 0);
	forget_urls(c);
	for (size_t i = 0; i < count; i++)
		add_url(c, str_of(urls[i]));
	if (!c->dir)
		return 0;
	if (!has_url(c, c->own_url))
		add_url(c, str_of(c->own_url));     /* see load_masters */
	return config_save_masters(c->dir, (const char *const *)c->urls, c->url_count, e);
}

void cli_fini(struct cli *c)
{
	forget_urls(c);
	free(c->dir);
	free(c->own_url);
	free(c->token);
}

/* ---- changes ---- */

static bool detach(void *arg, struct cluster *cl)
{
	AUTO_FREE char *mark = xasprintf("%s/attached", cl->dir);
	(void)arg;
	if (cl->attached)
		(void)unlink(mark);    /* absent by now: as wanted */
	return true;
}

int config_attach(const char *cluster_id, struct err *e)
{
	AUTO_FREE char *clusters = NULL;
	int rc = cluster_each(detach, NULL, e);
	if (rc == 0)
		rc = clusters_dir(&clusters, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *mark = xasprintf("%s/%s/attached", clusters, cluster_id);
	AUTO_FD int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd >= 0 ? 0 : err_sys(e, "create '%s'", mark);
}

int config_register(const char *cluster_id, const char *name, const char *const *urls, size_t count, struct err *e)
{
	AUTO_FREE char *clusters = NULL;
	AUTO_SETTINGS struct settings s = { 0 };
	int rc = clusters_dir(&clusters, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *dir = xasprintf("%s/%s", clusters, cluster_id);
	AUTO_FREE char *toml = xasprintf("%s/dcos.toml", dir);
	rc = node_mkdirs(dir, 0700, e);
	if (rc == 0)
		rc = settings_load(&s, toml, e);
	if (rc == 0)
		rc = settings_put(&s, "core.dcos_url", str_of(urls[0]), true, e);
	if (rc == 0)
		rc = settings_put(&s, "cluster.name", str_of(name), true, e);
	if (rc == 0)
		rc = settings_save(&s, toml, e);
	if (rc == 0)
		rc = config_save_masters(dir, urls, count, e);
	return rc == 0 ? config_attach(cluster_id, e) : rc;
}

int cluster_remove(const char *cluster_id, struct err *e)
{
	static const char *const files[] = { "attached", "dcos.toml", "dcos_ca.crt", "masters" };
	AUTO_FREE char *clusters = NULL;
	int rc = clusters_dir(&clusters, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *dir = xasprintf("%s/%s", clusters, cluster_id);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", dir, files[i]);
		if (unlink(path) != 0 && errno != ENOENT)
			return err_sys(e, "remove '%s'", path);
	}
	return rmdir(dir) == 0 ? 0 : err_sys(e, "remove '%s', which holds more than this command put there", dir);
}
