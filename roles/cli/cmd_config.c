/* SPDX-License-Identifier: Apache-2.0 */
/* dcos config: settings of the attached cluster. */
#include <stdio.h>

#include "roles/cli/cli.h"
#include "roles/cli/config.h"

#define KEY_TOKEN "core.dcos_acs_token"
#define KEY_URL "core.dcos_url"

static int open_settings(struct settings *s, char **out_path, struct err *e)
{
	int rc = config_path(out_path, e);
	return rc == 0 ? settings_load(s, *out_path, e) : rc;
}

static int no_property(const char *key, struct err *e) { return err_set(e, E_NOTFOUND, "Property '%s' doesn't exist", key); }

static int cmd_show(struct cli *c, struct err *e)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_FREE char *path = NULL;
	int rc = open_settings(&s, &path, e);
	if (rc != 0)
		return rc;
	if (c->argc == 1) {
		const char *value = settings_get(&s, c->args[0], NULL);
		if (!value)
			return no_property(c->args[0], e);
		puts(value);
		return 0;
	}
	settings_sort(&s);
	for (size_t i = 0; i < s.count; i++)
		printf("%s %s\n", s.rows[i].key, strcmp(s.rows[i].key, KEY_TOKEN) == 0 ? "********" : s.rows[i].value);
	return 0;
}

static int cmd_set(struct cli *c, struct err *e)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_FREE char *path = NULL;
	const char *key = c->args[0], *value = c->args[1];
	if (!strchr(key, '.') || key[0] == '.' || strpbrk(key, "=[]\"\n ") || strpbrk(value, "\"\n"))
		return err_set(e, E_INVALID, "a setting is SECTION.KEY, its value without quotes and line ends");
	int rc = open_settings(&s, &path, e);
	const char *old = rc == 0 ? settings_get(&s, key, NULL) : NULL;
	AUTO_FREE char *before = old ? xstrdup(old) : NULL;
	bool new_url = strcmp(key, KEY_URL) == 0 && !cstr_eq(before, value);
	if (rc == 0)
		rc = settings_put(&s, key, str_of(value), true, e);
	bool logged_out = rc == 0 && new_url && settings_remove(&s, KEY_TOKEN);    /* a token is good for one cluster only */
	if (rc == 0)
		rc = settings_save(&s, path, e);
	if (rc != 0)
		return rc;
	if (!before)
		printf("[%s]: set to '%s'\n", key, value);
	else if (strcmp(before, value) == 0)
		printf("[%s]: already set to '%s'\n", key, value);
	else
		printf("[%s]: changed from '%s' to '%s'\n", key, before, value);
	if (logged_out)
		puts("Please log in again with `dcos auth login`.");
	return 0;
}

static int cmd_unset(struct cli *c, struct err *e)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_FREE char *path = NULL;
	int rc = open_settings(&s, &path, e);
	if (rc != 0)
		return rc;
	if (!settings_remove(&s, c->args[0]))
		return no_property(c->args[0], e);
	rc = settings_save(&s, path, e);
	if (rc == 0)
		printf("Removed [%s]\n", c->args[0]);
	return rc;
}

static int cmd_validate(struct cli *c, struct err *e)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_FREE char *path = NULL;
	struct url u;
	(void)c;
	int rc = open_settings(&s, &path, e);
	if (rc != 0)
		return rc;
	const char *url = settings_get(&s, KEY_URL, NULL);
	if (!url || !url_parse(url, &u))
		return err_set(e, E_INVALID, "'%s': " KEY_URL " wants a URL such as http://192.168.65.90", path);
	puts("Congratulations, your configuration is valid!");
	return 0;
}

const struct command config_commands[] = {
	/* words             args              min max flags  fn             help */
	{ "config set",      "<name> <value>", 2,  2,  NULL,  cmd_set,       "Change a setting" },
	{ "config show",     "[<name>]",       0,  1,  NULL,  cmd_show,      "Settings of the attached cluster" },
	{ "config unset",    "<name>",         1,  1,  NULL,  cmd_unset,     "Remove a setting" },
	{ "config validate", "",               0,  0,  NULL,  cmd_validate,  "Check the configuration" },
	CMD_END,
};
