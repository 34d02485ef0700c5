/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/roles.h"

const struct role roles[] = {
	/* name            argv[0]                                       main                help */
	{ "up",            { NULL },                                     up_main,            "start a whole cluster on this machine", false },
	{ "status",        { NULL },                                     status_main,        "show the cluster that `up` started", false },
	{ "down",          { NULL },                                     down_main,          "end it, or one of its nodes", false },
	{ "master",        { "dcos-master", "mesos-master" },            master_main,        "schedule, store, serve the cluster's APIs", false },
	{ "agent",         { "dcos-agent", "mesos-agent", "mesos-slave" }, agent_main,       "run tasks in containers on this machine", false },
	{ "dns",           { "dcos-dns", "mesos-dns", "spartan" },       dns_main,           "answer names of tasks and nodes, forward the rest", false },
	{ "lb",            { "dcos-lb", "minuteman", "marathon-lb" },    lb_main,            "balance virtual IPs over healthy tasks", false },
	{ "log",           { "dcos-log" },                               log_main,           "serve and rotate the logs of this node's components", false },
	{ "cli",           { "dcos", "dcos-cli" },                       cli_main,           "the dcos command", false },
	{ "backup",        { NULL },                                     backup_main,        "write a cluster's state and keys into a file", false },
	{ "restore",       { NULL },                                     restore_main,       "make a bare node the master of a cluster in such a file", false },
	{ "downgrade",     { NULL },                                     downgrade_main,     "bring a stopped master's state back to the version before", false },
	{ "executor",      { NULL },                                     executor_main,      "supervise one container (started by the agent)", true },
	{ "agent-image",   { NULL },                                     agent_image_main,   "find and unpack one image (started by the agent)", true },
	{ "agent-cleanup", { NULL },                                     agent_cleanup_main, "end what a dead agent left running", true },
	{ "simpleservice", { "simpleservice" },                          simpleservice_main, "program of the built-in image", true },
	{ .name = NULL },
};
