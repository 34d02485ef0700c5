/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `dcos-node restore FILE`: makes an empty --state-dir that of a master of the cluster in the backup: the state with one voter,
 * and the cluster's authority and join token, so that its agents trust the master as before. It is built in
 * <state dir>/restore.partial and moved out of there; while that folder exists, no master starts on the directory.
 */
#include "roles/master/restore.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>

#include "roles/master/backup_cmd.h"
#include "roles/roles.h"
#include "store/disk.h"
#include "store/state.h"

#define PARTIAL "restore.partial"

struct restore_config {
	struct node_config common;       /* first */
	char *passphrase_file;
	bool no_keys, json;
};
#define AT(field) offsetof(struct restore_config, field)
static const struct flag restore_flags[] = {
	/* name              type         field                 default          min max env                 help */
	{ "state-dir",       FLAG_STRING, AT(common.state_dir), "/var/lib/dcos", 0,  0,  "DCOS_STATE_DIR",   "made, or empty: becomes the new master's" },
	{ "ip",              FLAG_STRING, AT(common.ip),        NULL,            0,  0,  "DCOS_IP",          "own IPv4 address; found by itself when not given" },
	{ "node",            FLAG_STRING, AT(common.node),      NULL,            0,  0,  "DCOS_NODE",        "name of this node in the cluster (default: the host's name)" },
	{ "passphrase-file", FLAG_STRING, AT(passphrase_file),  NULL,            0,  0,  NULL,               "its first line opens the keys (else DCOS_BACKUP_PASSPHRASE, else asked for)" },
	{ "no-keys",         FLAG_BOOL,   AT(no_keys),          "false",         0,  0,  NULL,               "make new keys: agents have to join anew" },
	{ "json",            FLAG_BOOL,   AT(json),             "false",         0,  0,  NULL,               "for machines" },
	FLAG_END,
};
static const struct flag *const flag_tables[] = { restore_flags, NULL };

int restore_check(const struct node *n, struct err *e)
{
	AUTO_FREE char *partial = node_path(n, PARTIAL);
	if (access(partial, F_OK) != 0)
		return 0;
	return err_set(e, E_CORRUPT, "a restore into '%s' was interrupted; empty that directory and restore again", n->config->state_dir);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	(void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);    /* what stays is named by the next attempt */
}

/* A fresh filesystem has lost+found. */
static int check_empty(const char *dir, struct err *e)
{
	DIR *d = opendir(dir);
	char found[256] = "";
	if (!d)
		return errno == ENOENT ? 0 : err_sys(e, "open directory '%s'", dir);
	for (struct dirent *entry; (entry = readdir(d));)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && strcmp(entry->d_name, "lost+found") != 0)
			(void)str_put(found, sizeof(found), str_of(entry->d_name));
	(void)closedir(d);
	if (!found[0])
		return 0;
	return err_set(e, E_CONFLICT, "state directory '%s' is not empty (it has '%s'); restore into an empty one, so that nothing is lost", dir,
		       found);
}

static int find_keys(const struct restore_config *c, const struct backup_file *f, struct arena *a, backup_Keys *out, bool *have,
		     struct err *e)
{
	char *passphrase = NULL;
	*have = false;
	if (c->no_keys)
		return 0;
	if (!f->head.keys) {
		(void)fputs("dcos-node restore: the backup holds no keys, so the master makes new ones when it starts: agents have to join anew\n",
			    stderr);
		return 0;
	}
	int rc = passphrase_get(c->passphrase_file, false, &passphrase, e);
	if (rc == 0 && !passphrase)
		rc = err_set(e, E_USAGE, "the keys in '%s' are sealed: give --passphrase-file or DCOS_BACKUP_PASSPHRASE, or --no-keys to have "
			     "agents join anew", f->path);
	if (rc == 0)
		rc = backup_file_keys(f, str_of(passphrase), a, out, e);
	*have = rc == 0;
	passphrase_free(passphrase);
	return rc;
}

/* Everything below <state dir>/restore.partial, as it shall stand in the state directory. */
static int build(struct node *n, struct backup_file *f, const backup_Keys *keys, struct err *e)
{
	AUTO_FREE char *dir = node_path(n, "master");
	struct dump_source from = backup_file_dump(f);
	struct dump_head head;
	int rc = keys ? identity_adopt(n, keys->ca_pem, keys->ca_key_pem, keys->token, e) : identity_master(n, e);
	if (rc != 0)
		return rc;
	identity_founded(n);             /* it has a state: nothing is founded */
	return store_restore(dir, &from, n->identity.fingerprint, &head, e);
}

static int move_out(const struct node *n, const char *partial, const char *name, struct err *e)
{
	AUTO_FREE char *from = xasprintf("%s/%s", partial, name);
	AUTO_FREE char *to = node_path(n, "%s", name);
	return rename(from, to) == 0 || errno == ENOENT ? 0 : err_sys(e, "rename '%s'", from);
}

static int restore_into(struct node *n, struct backup_file *f, const backup_Keys *keys, struct err *e)
{
	char *state_dir = n->config->state_dir;
	AUTO_FREE char *partial = node_path(n, PARTIAL);
	bool made = access(state_dir, F_OK) != 0;
	int rc = node_mkdirs(state_dir, 0755, e);
	if (rc == 0)
		rc = node_mkdirs(partial, 0700, e);
	n->config->state_dir = partial;
	if (rc == 0)
		rc = build(n, f, keys, e);
	n->config->state_dir = state_dir;
	if (rc == 0)
		rc = move_out(n, partial, "identity", e);
	if (rc == 0)
		rc = move_out(n, partial, "master", e);
	if (rc == 0 && disk_real.sync_dir(NULL, state_dir) != 0)
		rc = err_sys(e, "sync directory '%s'", state_dir);
	if (rc == 0 && (rmdir(partial) != 0 || disk_real.sync_dir(NULL, state_dir) != 0))
		rc = err_sys(e, "remove directory '%s'", partial);
	if (rc == 0)
		return 0;
	remove_tree(partial);
	if (made)
		(void)rmdir(state_dir);          /* as it was: not there */
	return rc;
}

static int restore(struct node *n, const struct restore_config *c, const char *path, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct backup_file f;
	backup_Keys keys = { 0 };
	bool have = false;
	uint64_t rows = 0;
	int rc = check_empty(c->common.state_dir, e);
	if (rc == 0)
		rc = node_find_names(n, e);
	if (rc != 0)
		return rc;
	rc = backup_file_open(&f, path, &rows, e);
	if (rc == 0)
		rc = find_keys(c, &f, &a, &keys, &have, e);
	if (rc == 0)
		rc = restore_into(n, &f, have ? &keys : NULL, e);
	if (rc == 0 && c->json)
		backup_show(&f, rows, true);
	else if (rc == 0)
		printf("%s: cluster %s at index %llu is restored in %s; `dcos-node master --state-dir %s` starts it\n", path, f.head.cluster_id,
		       (unsigned long long)f.head.index, c->common.state_dir, c->common.state_dir);
	backup_file_close(&f);
	return rc;
}

int restore_main(int argc, char **argv)
{
	struct node *n = xcalloc(1, sizeof(*n));
	struct restore_config *c = xcalloc(1, sizeof(*c));
	struct err e = { 0 };
	int code, argi;
	if (node_command_init(n, "restore", flag_tables, c, argc, argv, "FILE",
			      "Makes a bare node the one master of the cluster in FILE, which `dcos-node backup` wrote. Its agents find their\n"
			      "tasks' owner again when the master starts under an address they know.\n"
			      "Example: dcos-node restore --passphrase-file secret /backup/dcos-2026-01-01", &argi, &code)) {
		int rc = argc - argi == 1 ? restore(n, c, argv[argi], &e)
					  : err_set(&e, E_USAGE, "give one FILE; `dcos-node restore --help` tells more");
		code = rc == 0 ? 0 : node_die("restore", &e);
	}
	node_fini(n);
	flag_free(flag_tables, c);
	free(c);
	free(n);
	return code;
}
