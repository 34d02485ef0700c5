/* SPDX-License-Identifier: Apache-2.0 */
/* `dcos-node status` and `dcos-node down`: ask the supervisor of a local cluster; `down` also cleans up after a dead one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/base/log.h"
#include "net/base/time.h"
#include "net/json.h"
#include "roles/cli/config.h"
#include "roles/cli/up.h"
#include "roles/node.h"
#include "roles/roles.h"

#define DOWN_TIMEOUT_US (60 * SEC)
#define DOWN_PAUSE_US (5 * MSEC)

struct look_config {
	struct up_config up;    /* where the cluster is, and how it was started: same flags as `up` */
	bool json;
	char *node;
};

#define AT(field) offsetof(struct look_config, field)
static const struct flag look_flags[] = {
	/* name         type         field              default  min max env                  help */
	{ "state-dir",  FLAG_STRING, AT(up.state_dir),  NULL,    0, 0, "DCOS_UP_STATE_DIR",   "directory given to `up` (default /var/lib/dcos/up, ~/.dcos/up without root)" },
	FLAG_END,
};
static const struct flag status_flags[] = {
	{ "json",       FLAG_BOOL,   AT(json),          "false", 0, 0, NULL,                  "for machines" },
	FLAG_END,
};
static const struct flag down_flags[] = {
	{ "node",       FLAG_STRING, AT(node),          NULL,    0, 0, NULL,                  "end only this node: its agent, executors and tasks" },
	FLAG_END,
};

static bool parse(const char *name, const char *intro, const struct flag *const tables[], struct look_config *c, int argc, char **argv,
		  int *code)
{
	struct err e = { 0 };
	int argi;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0)
			continue;
		AUTO_BUF struct buf out = BUF_INIT;
		buf_printf(&out, "Usage: dcos-node %s [FLAG…]\n\n%s\n\n", name, intro);
		flag_help(tables, &out);
		(void)fputs(buf_cstr(&out), stdout);
		*code = 0;
		return false;
	}
	int rc = flag_parse(tables, c, argc - 1, argv + 1, false, &argi, &e);
	if (rc == 0 && argi < argc - 1)
		rc = err_set(&e, E_USAGE, "'%s' is no flag; `dcos-node %s --help` lists them", argv[1 + argi], name);
	if (rc == 0)
		rc = up_fill_defaults(&c->up, &e);
	*code = rc == 0 ? 0 : node_die(name, &e);
	return rc == 0;
}

/* ---- status ---- */

static const char *colour(const char *state, bool tty)
{
	if (!tty)
		return "";
	return strcmp(state, "ready") == 0 ? "\033[32m" : strcmp(state, "stopped") == 0 ? "\033[90m" : "\033[33m";
}

static void print_table(yyjson_val *root)
{
	bool tty = isatty(STDOUT_FILENO);
	yyjson_val *list = json_at(root, "processes"), *p;
	yyjson_arr_iter it;
	const char *leader = json_str(root, "leader", "");
	printf("cluster %s  %s  %lld of %lld ready  %s%s\n\n", json_str(root, "cluster", ""), json_str(root, "url", ""),
	       (long long)json_int(root, "ready", 0), (long long)json_int(root, "total", 0), leader[0] ? "leader " : "no master leads",
	       leader);
	printf("%-6s %-8s %-16s %-8s %-9s %-8s %s\n", "NODE", "ROLE", "ADDRESS", "PID", "STATE", "RESTARTS", "NOTE");
	yyjson_arr_iter_init(list, &it);
	while ((p = yyjson_arr_iter_next(&it))) {
		const char *state = json_str(p, "state", "");
		printf("%-6s %-8s %-16s %-8lld %s%-9s%s %-8lld %s\n", json_str(p, "node", ""), json_str(p, "role", ""),
		       json_str(p, "ip", ""), (long long)json_int(p, "pid", 0), colour(state, tty), state, tty ? "\033[0m" : "",
		       (long long)json_int(p, "restarts", 0), json_str(p, "note", ""));
	}
}

int status_main(int argc, char **argv)
{
	static const struct flag *const tables[] = { look_flags, status_flags, NULL };
	struct look_config c = { 0 };
	struct err e = { 0 };
	AUTO_FREE char *body = NULL;
	int code;
	if (!parse("status", "Shows the processes of the cluster that `up` started.", tables, &c, argc, argv, &code))
		return code;
	int rc = control_request(c.up.state_dir, GET, "/status", &body, &e);
	AUTO_JSON yyjson_doc *doc = NULL;
	if (rc == 0)
		rc = json_parse(body, strlen(body), &doc, &e);
	if (rc != 0)
		return node_die("status", &e);
	if (c.json)
		printf("%s\n", body);
	else
		print_table(yyjson_doc_get_root(doc));
	up_config_free(&c.up);
	return 0;
}

/* ---- down ---- */

/* The supervisor holds the directory's lock for as long as it lives. */
static bool supervisor_runs(const char *state_dir)
{
	AUTO_FREE char *path = xasprintf("%s/lock", state_dir);
	AUTO_FD int fd = open(path, O_RDWR | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
}

static int wait_until_ended(const char *state_dir, struct err *e)
{
	int64_t deadline = time_now_us() + DOWN_TIMEOUT_US;
	while (supervisor_runs(state_dir)) {
		if (time_now_us() > deadline)
			return err_set(e, E_TIMEOUT, "the cluster did not end within a minute; see %s/up.log", state_dir);
		(void)usleep((useconds_t)DOWN_PAUSE_US);
	}
	return 0;
}

/* Undo what a killed supervisor left: it wrote down how it had been started. */
static int clean_up_after(struct look_config *c, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_FREE char *path = xasprintf("%s/up.conf", c->up.state_dir);
	AUTO_FREE char *config_flag = xasprintf("--config=%s", path);
	char *args[] = { config_flag, NULL };
	struct up_config up = { 0 };
	struct plan plan;
	int argi;
	if (access(path, F_OK) != 0)
		return err_set(e, E_NOTFOUND, "no cluster runs from '%s', and none was started there", c->up.state_dir);
	int rc = flag_parse(up_flag_tables, &up, 1, args, false, &argi, e);
	if (rc == 0)
		rc = cluster_plan_make(&a, &up, &plan, e);
	if (rc == 0)
		rc = isolate_down(&plan, e);
	if (rc == 0)
		rc = resolv_conf_restore(&plan, e);
	flag_free(up_flag_tables, &up);
	return rc;
}

static int down_all(struct look_config *c, struct err *e)
{
	AUTO_FREE char *body = NULL;
	if (!supervisor_runs(c->up.state_dir))
		return clean_up_after(c, e);
	int rc = control_request(c->up.state_dir, POST, "/down", &body, e);
	return rc == 0 ? wait_until_ended(c->up.state_dir, e) : rc;
}

static int down_node(struct look_config *c, struct err *e)
{
	AUTO_FREE char *body = NULL;
	AUTO_FREE char *path = xasprintf("/node/%s/down", c->node);
	return control_request(c->up.state_dir, POST, path, &body, e);
}

int down_main(int argc, char **argv)
{
	static const struct flag *const tables[] = { look_flags, down_flags, NULL };
	struct look_config c = { 0 };
	struct err e = { 0 };
	int code;
	if (!parse("down", "Ends the cluster that `up` started and removes what it made on this machine; its state stays.", tables, &c, argc,
		   argv, &code))
		return code;
	int rc = c.node ? down_node(&c, &e) : down_all(&c, &e);
	if (rc != 0)
		return node_die("down", &e);
	free(c.node);
	up_config_free(&c.up);
	return 0;
}
