/* SPDX-License-Identifier: Apache-2.0 */
/* dcos cluster: which clusters this user knows, and which one commands go to. */
#include <stdio.h>

#include "net/base/log.h"
#include "roles/cli/cli.h"
#include "roles/cli/config.h"

#define ASK_US (3 * SEC)          /* `list` does not wait long for a cluster that is down */

struct listing {
	struct cli *cli;
	struct table *table;
	struct buf json;
	struct jw w;
	size_t shown;
};

static bool list_one(void *arg, struct cluster *cl)
{
	struct listing *l = arg;
	const char *name = settings_get(&cl->settings, "cluster.name", "");
	const char *url = settings_get(&cl->settings, "core.dcos_url", "");
	AUTO_ANSWER struct answer a = { 0 };
	struct err e = { 0 };
	if (l->cli->flags.attached && !cl->attached)
		return true;
	cli_use_url(l->cli, url);
	bool up = client_get(l->cli, "/dcos-metadata/dcos-version.json", &a, &e) == 0;
	const char *version = json_str(answer_json(&a), "version", "UNKNOWN");
	const char *status = up ? "AVAILABLE" : "UNAVAILABLE";
	l->shown++;
	table_add(l->table, (const char *[]){ cl->attached ? "*" : " ", name, cl->id, status, version, url });
	jw_obj(&l->w, NULL);
	jw_bool(&l->w, "attached", cl->attached);
	jw_str(&l->w, "cluster_id", cl->id);
	jw_str(&l->w, "name", name);
	jw_str(&l->w, "status", status);
	jw_str(&l->w, "url", url);
	jw_str(&l->w, "version", version);
	jw_end(&l->w);
	return true;
}

static int cmd_list(struct cli *c, struct err *e)
{
	struct listing l = { .cli = c, .table = table_new("< |<NAME|<ID|<STATUS|<VERSION|<URL"), .json = BUF_INIT };
	l.w = jw_start(&l.json);
	jw_arr(&l.w, NULL);
	c->timeout_us = ASK_US;
	int rc = cluster_each(list_one, &l, e);
	jw_end(&l.w);
	if (rc == 0 && c->flags.attached && l.shown == 0)
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

/* ---- by name or the beginning of the id ---- */

struct search {
	const char *what;
	char *id;
	size_t count;
};

static bool match_one(void *arg, struct cluster *cl)
{
	struct search *s = arg;
	if (strcmp(settings_get(&cl->settings, "cluster.name", ""), s->what) != 0 && !cstr_starts(cl->id, s->what))
		return true;
	s->count++;
	free(s->id);
	s->id = xstrdup(cl->id);
	return true;
}

static int find_cluster(const char *what, char **out_id, struct err *e)
{
	struct search s = { .what = what };
	int rc = cluster_each(match_one, &s, e);
	if (rc == 0 && s.count == 0)
		rc = err_set(e, E_NOTFOUND, "no match found");
	else if (rc == 0 && s.count > 1)
		rc = err_set(e, E_CONFLICT, "multiple matches found");
	if (rc == 0)
		*out_id = s.id;
	else
		free(s.id);
	return rc;
}

static int cmd_attach(struct cli *c, struct err *e)
{
	AUTO_FREE char *id = NULL;
	int rc = find_cluster(c->args[0], &id, e);
	return rc == 0 ? config_attach(id, e) : rc;
}

static int cmd_remove(struct cli *c, struct err *e)
{
	AUTO_FREE char *id = NULL;
	int rc = find_cluster(c->args[0], &id, e);
	return rc == 0 ? cluster_remove(id, e) : rc;
}

/* What a genuine `dcos cluster setup` asks for: the id, the display name. */
static int cmd_setup(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer metadata = { 0 };
	AUTO_ANSWER struct answer summary = { 0 };
	struct url u;
	const char *arg = c->args[0];
	AUTO_FREE char *url = strstr(arg, "://") ? xstrdup(arg) : xasprintf("http://%s", arg);
	cli_use_url(c, url);
	if (!url_parse(url, &u))
		return err_set(e, E_INVALID, "'%s' is not a cluster's URL, such as http://192.168.65.90", arg);
	int rc = client_get(c, "/metadata", &metadata, e);
	if (rc == 0)
		rc = client_get(c, "/mesos/state-summary", &summary, e);
	if (rc == E_NOTFOUND)
		return err_set(e, E_NOTFOUND, "%s does not answer as a cluster does; give its front door, such as http://192.168.65.90", url);
	if (rc != 0)
		return rc;
	const char *id = json_str(answer_json(&metadata), "CLUSTER_ID", "");
	const char *name = json_str(answer_json(&summary), "cluster", "dcos");
	if (!id[0] || strpbrk(id, "/.") || strpbrk(name, "\"\n"))
		return err_set(e, E_MALFORMED, "%s does not answer as a cluster does", url);
	if (client_learn_masters(c, e) != 0)
		LOG(INFO, "the cluster does not tell its masters", "reason=%s", e->text);    /* then it has the one we know */
	return config_register(id, name, (const char *const *)c->urls, c->url_count, e);
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
	{ "cluster remove", "<name|id>",  1,  1,  NULL,       cmd_remove, "Forget a cluster" },
	{ "cluster setup",  "<url>",      1,  1,  NULL,       cmd_setup,  "Set up a cluster by its URL and attach it" },
	CMD_END,
};
