/* SPDX-License-Identifier: Apache-2.0 */
/* dcos.toml as the dcos CLI writes it, and back. */
#include "roles/cli/settings.h"
#include "tests/lib/test.h"

static int parse(struct settings *s, const char *text, struct err *e) { return settings_parse(s, str_of(text), "dcos.toml", e); }

TEST(cli_settings, sections_become_parts_of_keys)
{
	AUTO_SETTINGS struct settings s = { 0 };
	struct err e = { 0 };
	EQ_INT(parse(&s, "x = 1\n# note\n[core]\r\ndcos_url = \"http://m1\"\r\n  timeout = 5\n\n[cluster]\nname = 'a b'", &e), 0);
	EQ_STR(settings_get(&s, "x", NULL), "1");
	EQ_STR(settings_get(&s, "core.dcos_url", NULL), "http://m1");
	EQ_STR(settings_get(&s, "core.timeout", NULL), "5");
	EQ_STR(settings_get(&s, "cluster.name", NULL), "a b");
	EQ_STR(settings_get(&s, "name", NULL), NULL);
}

TEST(cli_settings, what_is_written_is_read_again)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	EQ_INT(parse(&s, "[core]\ndcos_url = \"u\"\n[cluster]\nname = \"n\"\n[core]\ntimeout = 5\nssl_verify = \"false\"\n", &e), 0);
	EQ_INT(settings_put(&s, "top", STR("t"), true, &e), 0);
	settings_text(&s, &out);
	EQ_STR(buf_cstr(&out),
	       "top = \"t\"\n\n[core]\ndcos_url = \"u\"\ntimeout = 5\nssl_verify = \"false\"\n\n[cluster]\nname = \"n\"\n");
}

TEST(cli_settings, a_line_that_is_no_setting_is_named)
{
	AUTO_SETTINGS struct settings s = { 0 };
	struct err e = { 0 };
	EQ_INT(parse(&s, "[core]\n\nwhat\n", &e), E_MALFORMED);
	EQ_STR(e.text, "'dcos.toml' line 3 wants key = value");
	EQ_INT(parse(&s, "= 3", &e), E_MALFORMED);
}

TEST(cli_settings, a_nul_byte_is_no_text)
{
	AUTO_SETTINGS struct settings s = { 0 };
	struct err e = { 0 };
	EQ_INT(settings_parse(&s, str_n("[a]\nb\0c = 1\n", 13), "dcos.toml", &e), E_MALFORMED);
	HAS(e.text, "NUL");
}

TEST(cli_settings, there_is_a_bound_on_their_number)
{
	AUTO_SETTINGS struct settings s = { 0 };
	struct err e = { 0 };
	for (int i = 0; i < SETTINGS_MAX; i++) {
		AUTO_FREE char *key = xasprintf("a.k%d", i);
		EQ_INT(settings_put(&s, key, STR("v"), true, &e), 0);
	}
	EQ_INT(settings_put(&s, "a.k0", STR("w"), true, &e), 0);
	EQ_INT(settings_put(&s, "a.more", STR("v"), true, &e), E_TOOBIG);
}

TEST(cli_settings, removing_one_leaves_the_others_in_order)
{
	AUTO_SETTINGS struct settings s = { 0 };
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	EQ_INT(parse(&s, "[c]\na = 1\nb = 2\nc = 3\n", &e), 0);
	TRUE(settings_remove(&s, "c.b"));
	FALSE(settings_remove(&s, "c.b"));
	settings_text(&s, &out);
	EQ_STR(buf_cstr(&out), "[c]\na = 1\nc = 3\n");
}

TEST(cli_settings, saved_files_are_private_and_load_again)
{
	AUTO_SETTINGS struct settings s = { 0 }, again = { 0 };
	AUTO_FREE char *path = xasprintf("%s/dcos.toml", test_dir());
	struct err e = { 0 };
	EQ_INT(settings_load(&s, path, &e), 0);
	EQ_INT(s.count, 0);
	EQ_INT(settings_put(&s, "core.dcos_acs_token", STR("secret"), true, &e), 0);
	EQ_INT(settings_save(&s, path, &e), 0);
	EQ_INT(settings_load(&again, path, &e), 0);
	EQ_STR(settings_get(&again, "core.dcos_acs_token", NULL), "secret");
	TRUE(access(path, R_OK) == 0);
}
