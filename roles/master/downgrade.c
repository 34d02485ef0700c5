/* SPDX-License-Identifier: Apache-2.0 */
/* `dcos-node downgrade`: one step back, for the operator who finds a new version unfit (store/migrate.c). */
#include <stdio.h>

#include "roles/node.h"
#include "roles/roles.h"
#include "store/state.h"

#define AT(field) offsetof(struct node_config, field)
static const struct flag downgrade_flags[] = {
	/* name        type         field          default          min max env               help */
	{ "state-dir", FLAG_STRING, AT(state_dir), "/var/lib/dcos", 0,  0,  "DCOS_STATE_DIR", "of the master, which is stopped" },
	FLAG_END,
};
static const struct flag *const flag_tables[] = { downgrade_flags, NULL };

static int downgrade(struct node *n, struct err *e)
{
	AUTO_FREE char *dir = node_path(n, "master");
	n->loop = loop_new();
	int rc = store_downgrade(n->loop, dir, e);
	if (rc == 0)
		printf("%s: now of the format before; start the version that wrote it\n", dir);
	return rc;
}

int downgrade_main(int argc, char **argv)
{
	struct node n;
	struct node_config c = { .config = NULL };
	struct err e = { 0 };
	int code, argi;
	if (node_command_init(&n, "downgrade", flag_tables, &c, argc, argv, "",
			      "Brings the state of a cluster's only master, which is stopped, back to the format of the version before.\n"
			      "Take a backup first: what only the new version knows is dropped.", &argi, &code)) {
		int rc = argi == argc ? downgrade(&n, &e) : err_set(&e, E_USAGE, "'%s' is no flag; `dcos-node downgrade --help` lists them", argv[argi]);
		code = rc == 0 ? 0 : node_die("downgrade", &e);
	}
	node_fini(&n);
	flag_free(flag_tables, &c);
	return code;
}
