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
#include "roles/cli/masters.h"
#include "roles/cli/up.h"
#include "roles/node.h"
#include "roles/roles.h"

#define ASK_US SEC                   /* a master that is alive answers within milliseconds */
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

/* What the masters said, and whom it is about. */
struct look {
	struct loop *loop;
	yyjson_val *root;        /* the supervisor's account */
	struct masters masters;
	struct buf warnings;     /* a sentence a line */
};

static void look_on_masters(void *arg, const struct masters *m)
{
	struct look *k = arg;
	k->masters = *m;
	loop_stop(k->loop);
}

static void ask_masters(struct look *k)
{
	const char *urls[MASTERS_MAX];
	size_t n = 0;
	yyjson_val *list = json_at(k->root, "masters"), *master;
	yyjson_arr_iter it;
	yyjson_arr_iter_init(list, &it);
	while (n < MASTERS_MAX && (master = yyjson_arr_iter_next(&it)))
		urls[n++] = json_str(master, "url", "");
	k->loop = loop_new();
	(void)masters_ask_start(k->loop, urls, n, ASK_US, look_on_masters, k);    /* the loop ends when it is done */
	loop_run(k->loop);
	loop_free(k->loop);
	masters_warnings(&k->masters, &k->warnings);
}

static const char *leader_of(const struct look *k)
{
	const struct master_seen *s = masters_leader(&k->masters);
	return s ? s->host : "";
}

/* "leader" … of the master at that address. */
static const char *role_of(const struct look *k, const char *ip)
{
	const struct master_seen *s = masters_find(&k->masters, ip);
	return s ? masters_role(s) : "down";
}

/* Of a master's process: its part in the quorum. Else what the process said when it was ready. */
static const char *note_of(const struct look *k, yyjson_val *p)
{
	const char *note = json_str(p, "note", "");
	bool is_master = strcmp(json_str(p, "role", ""), "master") == 0 && strcmp(json_str(p, "state", ""), "ready") == 0;
	return is_master ? role_of(k, json_str(p, "ip", "")) : note;
}

static void print_table(struct look *k)
{
	bool tty = isatty(STDOUT_FILENO);
	yyjson_val *list = json_at(k->root, "processes"), *p;
	yyjson_arr_iter it;
	const char *leader = leader_of(k);
	size_t voters = masters_voters(&k->masters);
	printf("cluster %s  %s  %lld of %lld ready  %s%s  %zu %s\n", json_str(k->root, "cluster", ""), json_str(k->root, "url", ""),
	       (long long)json_int(k->root, "ready", 0), (long long)json_int(k->root, "total", 0),
	       leader[0] ? "leader " : "no master leads", leader, voters, voters == 1 ? "voter" : "voters");
	for (struct str rest = buf_view(&k->warnings); rest.p && rest.len > 0;) {
		struct str line = str_cut(&rest, '\n');
		printf("%swarning:%s " STR_FMT "\n", tty ? "\033[33m" : "", tty ? "\033[0m" : "", STR_ARG(line));
	}
	printf("\n%-6s %-8s %-16s %-8s %-9s %-8s %s\n", "NODE", "ROLE", "ADDRESS", "PID", "STATE", "RESTARTS", "NOTE");
	yyjson_arr_iter_init(list, &it);
	while ((p = yyjson_arr_iter_next(&it))) {
		const char *state = json_str(p, "state", "");
		printf("%-6s %-8s %-16s %-8lld %s%-9s%s %-8lld %s\n", json_str(p, "node", ""), json_str(p, "role", ""),
		       json_str(p, "ip", ""), (long long)json_int(p, "pid", 0), colour(state, tty), state, tty ? "\033[0m" : "",
		       (long long)json_int(p, "restarts", 0), note_of(k, p));
	}
}

static void json_master(struct jw *w, const struct look *k, yyjson_val *master)
{
	const char *ip = json_str(master, "ip", "");
	const struct master_seen *s = masters_find(&k->masters, ip);
	jw_obj(w, NULL);
	jw_str(w, "node", json_str(master, "node", ""));
	jw_str(w, "ip", ip);
	jw_str(w, "url", json_str(master, "url", ""));
	jw_str(w, "role", role_of(k, ip));
	jw_bool(w, "voter", s && s->voter);
	jw_end(w);
}

/* The supervisor's account, with what the masters say in it. */
static void print_json_text(struct look *k)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	yyjson_obj_iter fields;
	yyjson_arr_iter it;
	yyjson_val *key, *master;
	jw_obj(&w, NULL);
	jw_str(&w, "leader", leader_of(k));
	jw_int(&w, "voters", (int64_t)masters_voters(&k->masters));
	jw_arr(&w, "warnings");
	for (struct str rest = buf_view(&k->warnings); rest.p && rest.len > 0;)
		jw_strn(&w, NULL, str_cut(&rest, '\n'));
	jw_end(&w);
	jw_arr(&w, "masters");
	yyjson_arr_iter_init(json_at(k->root, "masters"), &it);
	while ((master = yyjson_arr_iter_next(&it)))
		json_master(&w, k, master);
	jw_end(&w);
	yyjson_obj_iter_init(k->root, &fields);
	while ((key = yyjson_obj_iter_next(&fields))) {
		AUTO_BUF struct buf value = BUF_INIT;
		if (strcmp(yyjson_get_str(key), "masters") == 0)
			continue;
		json_write(&value, yyjson_obj_iter_get_val(key), false);
		jw_raw(&w, yyjson_get_str(key), buf_view(&value));
	}
	jw_end(&w);
	puts(buf_cstr(&out));
}

int status_main(int argc, char **argv)
{
	static const struct flag *const tables[] = { look_flags, status_flags, NULL };
	struct look_config c = { 0 };
	struct look k = { .warnings = BUF_INIT };
	struct err e = { 0 };
	AUTO_FREE char *body = NULL;
	int code;
	if (!parse("status", "Shows the processes of the cluster that `up` started, and what its masters are.", tables, &c, argc, argv, &code))
		return code;
	int rc = control_request(c.up.state_dir, GET, "/status", &body, &e);
	AUTO_JSON yyjson_doc *doc = NULL;
	if (rc == 0)
		rc = json_parse(body, strlen(body), &doc, &e);
	if (rc != 0)
		return node_die("status", &e);
	k.root = yyjson_doc_get_root(doc);
	ask_masters(&k);
	if (c.json)
		print_json_text(&k);
	else
		print_table(&k);
	buf_fini(&k.warnings);
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
	if (up.masters == 0)
		up.masters = 1;          /* written before there could be more */
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
