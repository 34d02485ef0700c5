/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dcos-node: finds the role by argv[0] or the first word and hands over. A symlink named after a role or one of its aliases
 * is that role, as in busybox.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "gen/version.h"
#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/base/str.h"
#include "roles/roles.h"

extern const char *const licenses_text[];

static const struct role *role_find(const char *name)
{
	for (const struct role *r = roles; r->name; r++) {
		if (strcmp(r->name, name) == 0)
			return r;
		for (size_t i = 0; i < ARRAY_LEN(r->aliases) && r->aliases[i]; i++)
			if (strcmp(r->aliases[i], name) == 0)
				return r;
	}
	return NULL;
}

static int version_main(void)
{
	printf("dcos-node %s\n", DCOS_NODE_VERSION);
	return 0;
}

static int licenses_main(void)
{
	for (size_t i = 0; licenses_text[i]; i++)
		(void)fputs(licenses_text[i], stdout);
	return 0;
}

static int usage_main(FILE *out)
{
	(void)fprintf(out, "dcos-node %s: DC/OS in one file.\n\n"
		"Try first:\n"
		"  dcos-node up                 a whole cluster on this machine, no configuration\n"
		"  dcos marathon app add F      run the app described in F (dcos: see install-links)\n\n"
		"Usage: dcos-node ROLE [FLAG…]   or a symlink named after a role\n\n", DCOS_NODE_VERSION);
	for (const struct role *r = roles; r->name; r++)
		if (!r->hidden)
			(void)fprintf(out, "  %-14s %s\n", r->name, r->help);
	(void)fprintf(out, "  %-14s %s\n", "install-links", "DIR: put a symlink for each role name into DIR");
	(void)fprintf(out, "  %-14s %s\n", "licenses", "print the licences of the libraries inside");
	(void)fputs("\ndcos-node ROLE --help tells more. --version prints the version.\n", out);
	return out == stdout ? 0 : 2;
}

static int link_one(const char *dir, const char *name, const char *target, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
	struct stat st;
	if (lstat(path, &st) == 0) {
		if (!S_ISLNK(st.st_mode))
			return err_set(e, E_CONFLICT, "'%s' exists and is no symlink; move it away first", path);
		(void)unlink(path);   /* symlink reports what goes wrong */
	}
	if (symlink(target, path) != 0)
		return err_sys(e, "create symlink '%s'", path);
	printf("%s -> %s\n", path, target);
	return 0;
}

static int install_links_main(int argc, char **argv)
{
	struct err e = { 0 };
	char self[4096];
	if (argc != 2 || argv[1][0] == '-') {
		(void)fputs("usage: dcos-node install-links DIR\n", stderr);
		return 2;
	}
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n < 0 ? 0 : n] = '\0';
	int rc = n < 0 ? err_sys(&e, "find this executable through /proc/self/exe") : 0;
	for (const struct role *r = roles; r->name && rc == 0; r++)
		for (size_t i = 0; i < ARRAY_LEN(r->aliases) && r->aliases[i] && rc == 0; i++)
			rc = r->hidden ? 0 : link_one(argv[1], r->aliases[i], self, &e);
	if (rc != 0)
		(void)fprintf(stderr, "dcos-node install-links: %s\n", e.text);
	return err_exit(rc);
}

static int unknown_main(const char *word)
{
	(void)fprintf(stderr, "dcos-node: no role '%s'; `dcos-node` alone lists them\n", word);
	return 2;
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const struct role *r = role_find(slash ? slash + 1 : argv[0]);
	if (r)
		return r->main(argc, argv);
	if (argc < 2)
		return usage_main(stdout);
	const char *word = argv[1];
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
		return usage_main(stdout);
	if (strcmp(word, "--version") == 0)
		return version_main();
	if (strcmp(word, "licenses") == 0)
		return licenses_main();
	if (strcmp(word, "install-links") == 0)
		return install_links_main(argc - 1, argv + 1);
	r = role_find(word);
	return r ? r->main(argc - 1, argv + 1) : unknown_main(word);
}
