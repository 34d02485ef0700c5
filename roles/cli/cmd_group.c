/* SPDX-License-Identifier: Apache-2.0 */
/* dcos marathon group: trees of apps. */
#include <stdio.h>

#include "roles/cli/marathon.h"

#define GROUPS "/v2/groups"

static void add_rows(struct table *t, yyjson_val *parent)
{
	yyjson_arr_iter it;
	yyjson_val *group;
	yyjson_arr_iter_init(json_at(parent, "groups"), &it);
	while ((group = yyjson_arr_iter_next(&it))) {
		AUTO_FREE char *apps = xasprintf("%zu", yyjson_arr_size(json_at(group, "apps")));
		table_add(t, (const char *[]){ json_str(group, "id", ""), apps });
		add_rows(t, group);
	}
}

static int cmd_list(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	int rc = client_get(c, MARATHON GROUPS, &a, e);
	if (rc != 0)
		return rc;
	if (c->flags.json) {
		print_json(json_at(answer_json(&a), "groups"));
		return 0;
	}
	struct table *t = table_new("<ID|APPS");
	add_rows(t, answer_json(&a));
	table_sort(t, 0);
	table_print(t);
	table_free(t);
	return 0;
}

static int cmd_show(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE char *path = marathon_path(GROUPS, c->args[0], "");
	int rc = client_get(c, path, &a, e);
	if (rc == 0)
		print_json(answer_json(&a));
	return rc;
}

static int cmd_add(struct cli *c, struct err *e)
{
	static const int allow[] = { 409, 0 };
	AUTO_DEFINITION struct definition d = { 0 };
	AUTO_ANSWER struct answer a = { 0 };
	int rc = definition_read(c, c->argc == 1 ? c->args[0] : NULL, "group", &d, e);
	if (rc == 0)
		rc = client_call(c, POST, MARATHON GROUPS, d.text, allow, &a, e);
	if (rc != 0)
		return rc;
	if (a.status == 409 && json_at(answer_json(&a), "deployments"))
		return err_set(e, E_CONFLICT, "%s", json_str(answer_json(&a), "message", "The group is locked by a deployment"));
	if (a.status == 409) {
		const char *id = json_str(yyjson_doc_get_root(d.doc), "id", "");
		return err_set(e, E_CONFLICT, "Group '/%s' already exists", id + (id[0] == '/'));
	}
	print_deployment(&a);
	return 0;
}

static int change(struct cli *c, enum http_method method, const char *body, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE char *path = marathon_path(GROUPS, c->args[0], c->flags.force ? "?force=true" : "?force=false");
	int rc = client_call(c, method, path, body, NULL, &a, e);
	if (rc == 0 && method != DELETE)
		print_deployment(&a);
	return rc;
}

static int cmd_remove(struct cli *c, struct err *e) { return change(c, DELETE, NULL, e); }

static int cmd_scale(struct cli *c, struct err *e)
{
	double factor;
	if (!str_f64(str_of(c->args[1]), &factor) || factor < 0)
		return err_set(e, E_USAGE, "the factor wants to be a number such as 1.5, not '%s'", c->args[1]);
	AUTO_BUF struct buf body = BUF_INIT;
	buf_puts(&body, "{\"scaleBy\": ");
	buf_json_num(&body, factor);
	buf_puts(&body, "}");
	return change(c, PUT, buf_cstr(&body), e);
}

static int cmd_update(struct cli *c, struct err *e)
{
	AUTO_DEFINITION struct definition d = { 0 };
	AUTO_ANSWER struct answer before = { 0 };
	AUTO_BUF struct buf body = BUF_INIT;
	AUTO_FREE char *path = marathon_path(GROUPS, c->args[0], "");
	int rc = c->argc > 1 ? object_of_pairs(c->args + 1, c->argc - 1, &body, e) : definition_read(c, NULL, "group", &d, e);
	if (rc == 0)
		rc = client_get(c, path, &before, e);    /* Marathon would create a group that is absent */
	return rc == 0 ? change(c, PUT, d.text ? d.text : buf_cstr(&body), e) : rc;
}

static const struct flag force_flags[] = { FLAG_FORCE, FLAG_END };
static const struct flag list_flags[] = { FLAG_JSON, FLAG_END };
const struct command group_commands[] = {
	/* words                    args                          min max  flags        fn          help */
	{ "marathon group add",     "[<file|url>]",               0,  1,   NULL,        cmd_add,    "Create a group of a file, a URL or stdin" },
	{ "marathon group list",    "",                           0,  0,   list_flags,  cmd_list,   "Groups, and how many apps they hold" },
	{ "marathon group remove",  "<group-id>",                 1,  1,   force_flags, cmd_remove, "Destroy a group with its apps" },
	{ "marathon group scale",   "<group-id> <factor>",        2,  2,   force_flags, cmd_scale,  "Multiply the instances of its apps" },
	{ "marathon group show",    "<group-id>",                 1,  1,   NULL,        cmd_show,   "A group as JSON" },
	{ "marathon group update",  "<group-id> [<name=value>...]", 1, 256, force_flags, cmd_update, "Change a group; without properties reads JSON from stdin" },
	CMD_END,
};
