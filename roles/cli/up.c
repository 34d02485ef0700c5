/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `dcos-node up`: a whole cluster on this machine.
 *
 *   plan -> isolate_up -> supervisor --all ready--> ask the master for the cluster's id -> register with `dcos` -> serve
 *   SIGTERM, SIGINT, `down` -> supervisor_stop -> isolate_down -> exit
 *
 * With --detach the caller's process waits for the word "serves" of the one that stays.
 */
#include "roles/cli/up.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "gen/version.h"
#include "net/base/log.h"
#include "net/base/time.h"
#include "net/json.h"
#include "roles/cli/config.h"
#include "roles/cli/masters.h"
#include "roles/node.h"
#include "roles/roles.h"

#define PROGRESS_US (200 * MSEC)
#define RETRY_US (50 * MSEC)
#define ASK_US (2 * SEC)
#define QUORUM_US (20 * SEC)         /* for all masters to vote, once a majority serves; then it serves with a warning */

#define AT(field) offsetof(struct up_config, field)
const struct flag up_flags[] = {
	/* name            type         field              default             min  max  env  help */
	{ "config",        FLAG_STRING, AT(config),        NULL,               0,   0,   NULL, "file with `name = value` lines" },
	{ "state-dir",     FLAG_STRING, AT(state_dir),     NULL,               0,   0,   "DCOS_UP_STATE_DIR", "where the cluster keeps everything (default /var/lib/dcos/up, ~/.dcos/up without root)" },
	{ "cluster",       FLAG_STRING, AT(cluster),       "dcos",             0,   0,   NULL, "name of the cluster" },
	{ "masters",       FLAG_INT,    AT(masters),       NULL,               1,   7,   NULL, "masters: 1, 3, 5 or 7 (default: as many as the cluster has, 1 for a new one)" },
	{ "agents",        FLAG_INT,    AT(agents),        "2",                0,   100, NULL, "private agents" },
	{ "public-agents", FLAG_INT,    AT(public_agents), "1",                0,   30,  NULL, "public agents" },
	{ "detach",        FLAG_BOOL,   AT(detach),        "false",            0,   0,   NULL, "return when the cluster serves and leave it running" },
	{ "image-dir",     FLAG_STRING, AT(image_dir),     NULL,               0,   0,   NULL, "directory with OCI layouts and `docker save` archives" },
	{ "resolv-conf",   FLAG_BOOL,   AT(resolv_conf),   "false",            0,   0,   NULL, "point this machine's /etc/resolv.conf at the cluster until `down`" },
	{ "upstream",      FLAG_LIST,   AT(upstream),      NULL,               0,   0,   NULL, "resolver for other names, IP[:PORT] (default: those of /etc/resolv.conf)" },
	{ "subnet",        FLAG_STRING, AT(subnet),        "192.168.65.0/24",  0,   0,   NULL, "addresses of the nodes" },
	{ "bridge",        FLAG_STRING, AT(bridge),        "dcos0",            0,   0,   NULL, "bridge that joins the nodes" },
	{ "cgroup",        FLAG_STRING, AT(cgroup),        NULL,               0,   0,   NULL, "our part of each cgroup hierarchy (default /dcos/<cluster>)" },
	{ "vip-cgroup",    FLAG_STRING, AT(vip_cgroup),    "/",                0,   0,   NULL, "cgroup of the programs of this machine that may use virtual IPs" },
	{ "data-plane",    FLAG_STRING, AT(data_plane),    NULL,               0,   0,   NULL, "how virtual IPs take effect, eBPF or proxy; chosen by itself when not given" },
	{ "isolate",       FLAG_BOOL,   AT(isolate),       "true",             0,   0,   NULL, "namespaces, cgroups and virtual IPs; off without root" },
	{ "log-level",     FLAG_STRING, AT(log_level),     "info",             0,   0,   NULL, "error, warn, info or debug" },
	FLAG_END,
};
const struct flag *const up_flag_tables[] = { up_flags, NULL };

struct up {
	struct up_config config;
	struct arena arena;
	struct plan plan;
	struct loop *loop;
	struct supervisor *supervisor;
	struct http_server *control;
	struct loop_timer progress, retry;
	struct masters_ask *quorum;
	struct masters masters; /* as they last said */
	struct http_call *id_call;
	int64_t started_us, ready_us;
	int lock_fd;
	int tell_fd;            /* --detach: the waiting parent; else -1 */
	bool tty, ending;
	int exit_code;
};

/* ---- words for the person who waits ---- */

/* To the terminal, or through the pipe to the waiting parent, which prints it. */
static void say(struct up *u, const char *text)
{
	int fd = u->tell_fd >= 0 ? u->tell_fd : STDOUT_FILENO;
	(void)!write(fd, text, strlen(text));    /* nobody reads any more: fine */
}

static void show_progress(struct up *u)
{
	size_t total, ready = supervisor_ready_count(u->supervisor, &total);
	AUTO_BUF struct buf line = BUF_INIT;
	if (!u->tty)
		return;
	buf_printf(&line, "\r\033[K%zu of %zu ready", ready, total);
	if (ready < total) {
		buf_puts(&line, ", waiting for ");
		supervisor_waiting_for(u->supervisor, &line);
	}
	if (line.len > 120)
		line.len = 120;
	say(u, buf_cstr(&line));
}

static void on_progress(struct loop_timer *t)
{
	struct up *u = container_of(t, struct up, progress);
	show_progress(u);
	loop_timer_start(u->loop, &u->progress, PROGRESS_US, on_progress);
}

static void say_serving(struct up *u)
{
	AUTO_BUF struct buf out = BUF_INIT;
	double seconds = (double)(loop_now_us(u->loop) - u->started_us) / 1e6;
	const char *url = u->plan.masters[0].url;
	buf_printf(&out, "%sCluster '%s' serves after %.2f s: %lld %s, %lld agents, %lld public agents.\n", u->tty ? "\r\033[K" : "",
		   u->config.cluster, seconds, (long long)u->config.masters, u->config.masters == 1 ? "master" : "masters",
		   (long long)u->config.agents, (long long)u->config.public_agents);
	buf_printf(&out, "  front door  %s/\n  Mesos       %s/mesos/\n  Marathon    %s/service/marathon/\n", url, url, url);
	buf_printf(&out, "  look        dcos-node status --state-dir %s\n  end         dcos-node down --state-dir %s\n",
		   u->config.state_dir, u->config.state_dir);
	if (!u->config.isolate)
		buf_puts(&out, "  There is no isolation between nodes and there are no virtual IPs: those need root and --isolate.\n");
	say(u, buf_cstr(&out));
	AUTO_BUF struct buf wrong = BUF_INIT;
	masters_warnings(&u->masters, &wrong);
	say(u, buf_cstr(&wrong));
}

/* ---- the end ---- */

static void on_stopped(void *arg)
{
	struct up *u = arg;
	struct err e = { 0 };
	if (isolate_down(&u->plan, &e) != 0 || resolv_conf_restore(&u->plan, &e) != 0) {
		(void)fprintf(stderr, "dcos-node up: %s\n", e.text);
		u->exit_code = 1;
	}
	AUTO_FREE char *control = xasprintf("%s/" CONTROL_SOCKET, u->config.state_dir);
	(void)unlink(control);
	loop_stop(u->loop);
}

static void end(void *arg)
{
	struct up *u = arg;
	if (u->ending)
		return;
	u->ending = true;
	loop_timer_stop(&u->progress);
	loop_timer_stop(&u->retry);
	masters_ask_cancel(MOVE(u->quorum));
	http_call_cancel(MOVE(u->id_call));
	supervisor_stop(u->supervisor, on_stopped, u);
}

static void on_signal(struct loop *l, int signo, void *arg)
{
	(void)l;
	LOG(INFO, "ending the cluster", "signal=%d", signo);
	end(arg);
}

static int node_down(void *arg, const char *name, struct err *e)
{
	struct up *u = arg;
	for (size_t i = 0; i < u->plan.node_count; i++) {
		const struct plan_node *n = &u->plan.nodes[i];
		if (strcmp(n->name, name) != 0)
			continue;
		int rc = supervisor_stop_node(u->supervisor, name, e);
		return rc == 0 ? isolate_kill_node(&u->plan, n, e) : rc;
	}
	return err_set(e, E_NOTFOUND, "no node '%s'; `dcos-node status` lists them", name);
}

/* ---- the beginning ---- */

static void ask_quorum(struct up *u);

static void on_retry(struct loop_timer *t) { ask_quorum(container_of(t, struct up, retry)); }

static void retry(struct up *u) { loop_timer_start(u->loop, &u->retry, RETRY_US, on_retry); }

/* The dcos command knows all masters; the first one is the cluster's URL. */
static void attach_dcos(struct up *u, const char *id)
{
	const char *urls[PLAN_MASTERS_MAX];
	struct err e = { 0 };
	for (size_t i = 0; i < u->plan.master_count; i++)
		urls[i] = u->plan.masters[i].url;
	if (config_register(id, u->config.cluster, urls, u->plan.master_count, &e) != 0)
		LOG(WARN, "dcos is not attached to this cluster", "reason=%s", e.text);
}

static void on_id(struct http_call *c, const struct http_answer *a, const struct err *failure)
{
	struct up *u = http_call_arg(c);
	u->id_call = NULL;
	AUTO_JSON yyjson_doc *doc = failure->code == 0 && a->status == 200 ? yyjson_read(a->body.p, a->body.len, 0) : NULL;
	const char *id = json_str(doc ? yyjson_doc_get_root(doc) : NULL, "CLUSTER_ID", "");
	if (!id[0]) {
		retry(u);
		return;
	}
	attach_dcos(u, id);
	loop_timer_stop(&u->progress);
	say_serving(u);
	if (u->tell_fd < 0)
		return;
	(void)!write(u->tell_fd, "", 1);     /* the parent leaves with exit code 0: see wait_for_child */
	(void)close(u->tell_fd);
	u->tell_fd = -1;
	AUTO_FREE char *log = xasprintf("%s/up.log", u->config.state_dir);
	AUTO_FD int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	for (int std = 0; std < 3 && fd >= 0; std++)
		(void)dup2(fd, std);
}

static const char *url_of(const struct up *u, const char *ip)
{
	for (size_t i = 0; i < u->plan.master_count; i++)
		if (strcmp(u->plan.masters[i].ip, ip) == 0)
			return u->plan.masters[i].url;
	return u->plan.masters[0].url;
}

static void ask_id(struct up *u, const char *leader)
{
	static const struct http_call_events ev = { .done = on_id };
	AUTO_FREE char *url = xasprintf("%s/metadata", url_of(u, leader));
	struct http_call_spec spec = { .method = GET, .url = url, .timeout_us = ASK_US };
	u->id_call = http_call_start(u->loop, &spec, &ev, u);
}

static void on_quorum(void *arg, const struct masters *m)
{
	struct up *u = arg;
	const struct master_seen *leads = masters_leader(m);
	bool all = true, late = loop_now_us(u->loop) - u->ready_us > QUORUM_US;
	u->quorum = NULL;
	u->masters = *m;
	for (size_t i = 0; i < m->count; i++)
		all = all && m->rows[i].answered && m->rows[i].voter;
	if (leads && (all || late))
		ask_id(u, leads->host);
	else
		retry(u);
}

static void ask_quorum(struct up *u)
{
	const char *urls[PLAN_MASTERS_MAX];
	for (size_t i = 0; i < u->plan.master_count; i++)
		urls[i] = u->plan.masters[i].url;
	u->quorum = masters_ask_start(u->loop, urls, u->plan.master_count, ASK_US, on_quorum, u);
}

static void on_all_ready(void *arg)
{
	struct up *u = arg;
	u->ready_us = loop_now_us(u->loop);
	ask_quorum(u);
}

static int lock_dir(struct up *u, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/lock", u->config.state_dir);
	char pid[16] = "";
	int rc = node_mkdirs(u->config.state_dir, 0755, e);
	if (rc != 0)
		return rc;
	u->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (u->lock_fd < 0)
		return err_sys(e, "open '%s'", path);
	if (flock(u->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		(void)!read(u->lock_fd, pid, sizeof(pid) - 1);
		return err_set(e, E_BUSY, "a cluster runs from '%s' already (pid %s); `dcos-node status --state-dir %s` shows it",
			       u->config.state_dir, pid, u->config.state_dir);
	}
	int n = snprintf(pid, sizeof(pid), "%d", getpid());
	if (ftruncate(u->lock_fd, 0) != 0 || pwrite(u->lock_fd, pid, (size_t)n, 0) != n)
		return err_sys(e, "write '%s'", path);
	return 0;
}

static bool master_has_state(const struct up_config *c, int64_t number)
{
	AUTO_FREE char *dir = xasprintf("%s/m%lld/master", c->state_dir, (long long)number);
	return access(dir, F_OK) == 0;
}

/*
 * Fewer masters than before would be a minority that waits for the others. And the first one must not found a second cluster
 * where the others have the state of one.
 */
static int fill_masters(struct up_config *c, struct err *e)
{
	long long before = 0;
	for (int64_t i = 1; i <= PLAN_MASTERS_MAX; i++)
		if (master_has_state(c, i))
			before = i;
	if (c->masters == 0)
		c->masters = MAX(before, 1LL);
	if (c->masters < before)
		return err_set(e, E_CONFLICT, "the cluster in '%s' has %lld masters; start it with --masters %lld, or, when m%lld was removed from "
			       "the quorum, delete '%s/m%lld' first", c->state_dir, before, before, before, c->state_dir, before);
	if (before > 0 && !master_has_state(c, 1))
		return err_set(e, E_CONFLICT, "the state of the first master, '%s/m1', is gone while others have theirs: put it back, or restore a "
			       "backup into an empty directory", c->state_dir);
	return 0;
}

/* Nameservers of the machine, as host dns' upstreams, unless they were given. */
static void default_upstream(struct up_config *c)
{
	AUTO_FREE char *saved = xasprintf("%s/resolv.conf.before", c->state_dir);
	AUTO_BUF struct buf list = BUF_INIT;
	char line[256], ip[64];
	if (c->upstream)
		return;
	FILE *f = fopen(access(saved, F_OK) == 0 ? saved : "/etc/resolv.conf", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " nameserver %63[0-9.]", ip) == 1 && !cstr_starts(ip, "198.51.100."))
			buf_printf(&list, "%s%s", list.len > 0 ? "\n" : "", ip);
	if (f)
		(void)fclose(f);
	if (list.len > 0)
		c->upstream = buf_take(&list);
}

int up_fill_defaults(struct up_config *c, struct err *e)
{
	enum log_level level;
	bool root = geteuid() == 0;
	const char *home = getenv("HOME");
	if (!root)
		c->isolate = false;
	if (!c->state_dir && !root && !home)
		return err_set(e, E_USAGE, "HOME is not set; give --state-dir");
	if (!c->state_dir)
		c->state_dir = root ? xstrdup("/var/lib/dcos/up") : xasprintf("%s/.dcos/up", home);
	if (c->state_dir[0] != '/') {
		char cwd[4096];
		if (!getcwd(cwd, sizeof(cwd)))
			return err_sys(e, "find the current directory");
		char *absolute = xasprintf("%s/%s", cwd, c->state_dir);
		free(c->state_dir);
		c->state_dir = absolute;
	}
	if (!c->cluster)
		return 0;               /* `status` and `down` only want to know where */
	if (!c->cgroup)
		c->cgroup = xasprintf("/dcos/%s", c->cluster);
	if (!log_level_parse(c->log_level, &level))
		return err_set(e, E_USAGE, "--log-level wants error, warn, info or debug, not '%s'", c->log_level);
	log_set_level(level);
	default_upstream(c);
	return fill_masters(c, e);
}

void up_config_free(struct up_config *c) { flag_free(up_flag_tables, c); }

/* Remember how the cluster was started, so that `down` can clean up after a supervisor that was killed. */
static int write_flags(const struct up_config *c, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/up.conf", c->state_dir);
	AUTO_BUF struct buf out = BUF_INIT;
	for (const struct flag *f = up_flags; f->name; f++) {
		AUTO_BUF struct buf value = BUF_INIT;
		flag_value_text(f, c, &value);
		struct str rest = buf_view(&value);
		while (rest.p && rest.len > 0) {
			struct str line = str_cut(&rest, '\n');
			buf_printf(&out, "%s = " STR_FMT "\n", f->name, STR_ARG(line));
		}
	}
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, out.data, out.len) != (ssize_t)out.len)
		return err_sys(e, "write '%s'", path);
	return 0;
}

static int start(struct up *u, struct err *e)
{
	static const struct control_events control_ev = { .down = end, .node_down = node_down };
	int rc = lock_dir(u, e);
	if (rc == 0)
		rc = cluster_plan_make(&u->arena, &u->config, &u->plan, e);
	if (rc == 0)
		rc = write_flags(&u->config, e);
	if (rc == 0)
		rc = isolate_up(&u->plan, e);
	if (rc == 0 && u->config.resolv_conf)
		rc = resolv_conf_point(&u->plan, e);
	if (rc != 0)
		return rc;
	u->loop = loop_new();
	u->started_us = loop_now_us(u->loop);
	loop_signal(u->loop, SIGTERM, on_signal, u);
	loop_signal(u->loop, SIGINT, on_signal, u);
	u->supervisor = supervisor_start(u->loop, &u->plan, on_all_ready, u);
	rc = control_listen(u->loop, u->config.state_dir, u->supervisor, &control_ev, u, &u->control, e);
	if (rc == 0)
		loop_timer_start(u->loop, &u->progress, PROGRESS_US, on_progress);
	return rc;
}

static int run(struct up *u)
{
	struct err e = { 0 };
	(void)signal(SIGPIPE, SIG_IGN);
	log_set_name("up");
	if (start(u, &e) != 0) {
		AUTO_FREE char *text = xasprintf("dcos-node up: %s\n", e.text);
		(void)!write(STDERR_FILENO, text, strlen(text));
		_exit(err_exit(e.code));    /* roles that did start end with us (pdeathsig) */
	}
	loop_run(u->loop);
	http_server_free(u->control);
	supervisor_free(u->supervisor);
	loop_free(u->loop);
	arena_fini(&u->arena);
	return u->exit_code;
}

/* --detach, the caller's side: pass words on until the pipe closes. A last NUL says that the cluster serves. */
static int wait_for_child(int fd, pid_t child)
{
	char text[1024];
	int status;
	for (ssize_t n; (n = read(fd, text, sizeof(text))) != 0;) {
		if (n < 0 && errno != EINTR)
			break;
		bool serves = n > 0 && text[n - 1] == '\0';
		if (n > 0)
			(void)!write(STDOUT_FILENO, text, (size_t)n - serves);
		if (serves)
			return 0;
	}
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return WEXITSTATUS(status);
	return 1;
}

static int run_detached(struct up *u)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) != 0) {
		(void)fprintf(stderr, "dcos-node up: create a pipe: %s\n", strerror(errno));
		return 1;
	}
	pid_t child = fork();
	if (child < 0) {
		(void)fprintf(stderr, "dcos-node up: fork: %s\n", strerror(errno));
		return 1;
	}
	if (child > 0) {
		(void)close(fds[1]);
		return wait_for_child(fds[0], child);
	}
	(void)close(fds[0]);
	(void)setsid();
	u->tell_fd = fds[1];
	return run(u);
}

int up_main(int argc, char **argv)
{
	struct up u = { .lock_fd = -1, .tell_fd = -1, .arena = ARENA_INIT };
	struct err e = { 0 };
	int argi, code;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0)
			continue;
		AUTO_BUF struct buf out = BUF_INIT;
		buf_puts(&out, "Usage: dcos-node up [FLAG…]\n\nStarts a whole cluster on this machine.\n\n");
		flag_help(up_flag_tables, &out);
		(void)fputs(buf_cstr(&out), stdout);
		return 0;
	}
	int rc = flag_parse(up_flag_tables, &u.config, argc - 1, argv + 1, false, &argi, &e);
	if (rc == 0 && argi < argc - 1)
		rc = err_set(&e, E_USAGE, "'%s' is no flag; `dcos-node up --help` lists them", argv[1 + argi]);
	if (rc == 0)
		rc = up_fill_defaults(&u.config, &e);
	if (rc != 0) {
		code = node_die("up", &e);
	} else {
		u.tty = isatty(STDOUT_FILENO);
		code = u.config.detach ? run_detached(&u) : run(&u);
	}
	up_config_free(&u.config);
	return code;
}
