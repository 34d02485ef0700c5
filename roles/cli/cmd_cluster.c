/* SPDX-License-Identifier: Apache-2.0 */
/* dcos cluster: which clusters this user knows, and which one commands go to. */
#include <stdio.h>

#include "roles/cli/cli.h"
#include "roles/cli/config.h"

struct listing {
	struct cli *cli;
	struct table *table;
	struct buf json;
	struct jw w;
	bool attached_only;
	size_t shown;
};

static char *setting_of(const char *dir, const char *key)
{
	/* dcos.toml is small and ours: the line `key = "value"` */
	AUTO_FREE char *path = xasprintf("%s/dcos.toml", dir);
	AUTO_FREE char *want = xasprintf("%s = \"", key);
	char line[1024];
	char *found = NULL;
	FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		if (cstr_starts(line, want))
			found = xstrndup(line + strlen(want), strcspn(line + strlen(want), "\"\n"));
	if (f)
		(void)fclose(f);
	return found ? found : xstrdup("");
}

static bool list_one(void *arg, const char *id, const char *dir, bool attached)
{
	struct listing *l = arg;
	AUTO_FREE char *name = setting_of(dir, "name");
	AUTO_FREE char *url = setting_of(dir, "dcos_url");
	AUTO_ANSWER struct answer a = { 0 };
	struct err e = { 0 };
	if (l->attached_only && !attached)
		return true;
	free(l->cli->url);
	l->cli->url = xstrdup(url);
	bool up = client_get(l->cli, "/dcos-metadata/dcos-version.json", &a, &e) == 0;
	const char *version = json_str(up && a.doc ? yyjson_doc_get_root(a.doc) : NULL, "version", "UNKNOWN");
	const char *status = up ? "AVAILABLE" : "UNAVAILABLE";
	l->shown++;
	table_add(l->table, (const char *[]){ attached ? "*" : " ", name, id, status, version, url });
	jw_obj(&l->w, NULL);
	jw_bool(&l->w, "attached", attached);
	jw_str(&l->w, "cluster_id", id);
	jw_str(&l->w, "name", name);
	jw_str(&l->w, "status", status);
	jw_str(&l->w, "url", url);
	jw_str(&l->w, "version", version);
	jw_end(&l->w);
	return true;
}

static int cmd_list(struct cli *c, struct err *e)
{
	struct listing l = { .cli = c, .table = table_new("< |<NAME|<ID|<STATUS|<VERSION|<URL"), .json = BUF_INIT, .attached_only = c->flags.attached };
	l.w = jw_start(&l.json);
	jw_arr(&l.w, NULL);
	int rc = cluster_each(list_one, &l, e);
	jw_end(&l.w);
	if (rc == 0 && l.attached_only && l.shown == 0)
		rc = err_set(e, E_NOTFOUND, "no cluster is attached. Please run `dcos cluster attach <cluster-name>`");
	table_sort(l.table, 1);
	if (rc == 0 && c->flags.json)
		puts(buf_cstr(&l.json));
	else if (rc == 0)
		table_print(l.table);
	table_free(l.table);
	buf_fini(&l.json);
	return rc;
}

struct search {
	const char *what;
	char *id;
	size_t count;
};

static bool match_one(void *arg, const char *id, const char *dir, bool attached)
{
	struct search *s = arg;
	AUTO_FREE char *name = setting_of(dir, "name");
	(void)attached;
	if (strcmp(name, s->what) != 0 && !cstr_starts(id, s->what))
		return true;
	s->count++;
	free(s->id);
	s->id = xstrdup(id);
	return true;
}

static int cmd_attach(struct cli *c, struct err *e)
{
	struct search s = { .what = c->args[0] };
	int rc = cluster_each(match_one, &s, e);
	if (rc == 0 && s.count == 0)
		rc = err_set(e, E_NOTFOUND, "no match found");
	else if (rc == 0 && s.count > 1)
		rc = err_set(e, E_CONFLICT, "multiple matches found");
	else if (rc == 0)
		rc = config_attach(s.id, e);
	free(s.id);
	return rc;
}

/* What a genuine `dcos cluster setup` asks for: the id, the display name. */
static int cmd_setup(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer metadata = { 0 };
	AUTO_ANSWER struct answer summary = { 0 };
	struct url u;
	const char *arg = c->args[0];
	c->url = strstr(arg, "://") ? xstrdup(arg) : xasprintf("http://%s", arg);
	if (!url_parse(c->url, &u))
		return err_set(e, E_INVALID, "'%s' is not a cluster's URL, such as http://192.168.65.90", arg);
	int rc = client_get(c, "/metadata", &metadata, e);
	if (rc == 0)
		rc = client_get(c, "/mesos/state-summary", &summary, e);
	if (rc != 0)
		return rc;
	const char *id = json_str(metadata.doc ? yyjson_doc_get_root(metadata.doc) : NULL, "CLUSTER_ID", "");
	const char *name = json_str(summary.doc ? yyjson_doc_get_root(summary.doc) : NULL, "cluster", "dcos");
	if (!id[0] || strpbrk(id, "/."))
		return err_set(e, E_MALFORMED, "%s does not answer as a cluster does", c->url);
	return config_register(id, name, c->url, e);
}

static const struct flag list_flags[] = {
	FLAG_JSON,
	{ "attached", FLAG_BOOL, FLAG_AT(attached), "false", 0, 0, NULL, "only the attached one" },
	FLAG_END,
};
const struct command cluster_commands[] = {
	/* words            args          min max flags       fn          help */
	{ "cluster attach", "<name|id>",  1,  1,  NULL,       cmd_attach, "Send commands to this cluster from now on" },
	{ "cluster list",   "",           0,  0,  list_flags, cmd_list,   "Clusters that are set up" },
	{ "cluster setup",  "<url>",      1,  1,  NULL,       cmd_setup,  "Set up a cluster by its URL and attach it" },
	CMD_END,
};
