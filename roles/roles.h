/* SPDX-License-Identifier: Apache-2.0 */
/* The table of roles: what main.c dispatches on. */
#pragma once

#include "net/base/base.h"

struct role {
	const char *name;                        /* "master" */
	const char *aliases[6];                  /* further argv[0] names */
	int (*main)(int argc, char **argv);      /* argv[0] is the role's name; returns the exit code */
	const char *help;                        /* one line */
	bool hidden;                             /* internal: not listed (executor, container init …) */
};

extern const struct role roles[];            /* ends with .name = NULL */

int master_main(int argc, char **argv);      /* roles/master */
int backup_main(int argc, char **argv);      /* roles/master: a cluster's state into a file */
int restore_main(int argc, char **argv);     /* roles/master: and back */
int downgrade_main(int argc, char **argv);   /* roles/master: one step back */
int agent_main(int argc, char **argv);       /* roles/agent */
int executor_main(int argc, char **argv);    /* roles/agent: supervises one container, started by the agent */
int agent_image_main(int argc, char **argv); /* roles/agent: finds and unpacks one image, started by the agent */
int agent_cleanup_main(int argc, char **argv); /* roles/agent: ends what an agent that is gone left running */
int simpleservice_main(int argc, char **argv); /* roles/agent: the built-in image's program */
int dns_main(int argc, char **argv);         /* roles/dns */
int lb_main(int argc, char **argv);          /* roles/lb */
int log_main(int argc, char **argv);         /* roles/log */
int cli_main(int argc, char **argv);         /* roles/cli: `dcos` and `dcos-node cli` */
int up_main(int argc, char **argv);          /* roles/cli/up.c: `dcos-node up` */
int down_main(int argc, char **argv);
int status_main(int argc, char **argv);
