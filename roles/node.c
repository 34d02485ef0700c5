/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "gen/version.h"
#include "net/base/log.h"
#include "net/base/time.h"

#define AT(field) offsetof(struct node_config, field)
const struct flag node_flags[] = {
	/* name              type         field               default           min max env                 help */
	{ "config",          FLAG_STRING, AT(config),          NULL,             0, 0, "DCOS_CONFIG",      "file with `name = value` lines, ranks below flags and environment" },
	{ "state-dir",       FLAG_STRING, AT(state_dir),       "/var/lib/dcos",  0, 0, "DCOS_STATE_DIR",   "where this node keeps its state" },
	{ "ip",              FLAG_STRING, AT(ip),              NULL,             0, 0, "DCOS_IP",          "own IPv4 address; found by itself when not given" },
	{ "hostname",        FLAG_STRING, AT(hostname),        NULL,             0, 0, "MESOS_HOSTNAME",   "name shown to people and put in offers (default: the address)" },
	{ "node",            FLAG_STRING, AT(node),            NULL,             0, 0, "DCOS_NODE",        "name of this node in the cluster (default: the host's name)" },
	{ "cluster",         FLAG_STRING, AT(cluster),         "dcos",           0, 0, "MESOS_CLUSTER",    "name of the cluster shown to people" },
	{ "masters",         FLAG_LIST,   AT(masters),         NULL,             0, 0, "DCOS_MASTERS",     "IP[:PORT] of a master's RPC port; repeat for each master" },
	{ "join-token-file", FLAG_STRING, AT(join_token_file), NULL,             0, 0, "DCOS_JOIN_TOKEN_FILE", "file with a token of a master; needed once" },
	{ "cgroup",          FLAG_STRING, AT(cgroup),          "/dcos",          0, 0, "DCOS_CGROUP",      "our part of each cgroup hierarchy" },
	{ "log-level",       FLAG_STRING, AT(log_level),       "info",           0, 0, "DCOS_LOG_LEVEL",   "error, warn, info or debug" },
	FLAG_END,
};

int node_die(const char *role, const struct err *e)
{
	(void)fprintf(stderr, "dcos-node %s: %s\n", role, e->text);
	return err_exit(e->code);
}

/* The address the kernel would send from; nothing is sent. */
static int detect_ip(char out[64], struct err *e)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0xc6336401) };
	struct sockaddr_in own;
	socklen_t len = sizeof(own);
	AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, "open a socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 || getsockname(fd, (struct sockaddr *)&own, &len) != 0)
		return err_sys(e, "find this machine's address (give it with --ip)");
	(void)inet_ntop(AF_INET, &own.sin_addr, out, 64);
	return 0;
}

int node_find_names(struct node *n, struct err *e)
{
	struct node_config *c = n->config;
	struct in_addr in;
	int rc = c->ip ? 0 : detect_ip(n->ip, e);
	if (rc != 0)
		return rc;
	if (c->ip)
		(void)str_put(n->ip, sizeof(n->ip), str_of(c->ip));
	if (inet_pton(AF_INET, n->ip, &in) != 1)
		return err_set(e, E_USAGE, "--ip wants an IPv4 address, not '%s'", n->ip);
	n->ip4 = ntohl(in.s_addr);
	(void)str_put(n->hostname, sizeof(n->hostname), str_of(c->hostname ? c->hostname : n->ip));
	if (c->node)
		(void)str_put(n->name, sizeof(n->name), str_of(c->node));
	else if (gethostname(n->name, sizeof(n->name) - 1) != 0)
		return err_sys(e, "read the host's name");
	return 0;
}

static int set_up(struct node *n, struct err *e)
{
	enum log_level level;
	if (!log_level_parse(n->config->log_level, &level))
		return err_set(e, E_USAGE, "--log-level wants error, warn, info or debug, not '%s'", n->config->log_level);
	log_set_level(level);
	log_set_name(n->role);
	int rc = node_find_names(n, e);
	if (rc == 0)
		rc = node_mkdirs(n->config->state_dir, 0755, e);
	return rc;
}

/* As many descriptors as we may have: each connection and each task costs some. */
static void raise_descriptor_limit(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &r);    /* the old limit does for a small cluster */
}

static void print_help(const char *role, const struct flag *const *tables, const char *words, const char *intro)
{
	AUTO_BUF struct buf out = BUF_INIT;
	buf_printf(&out, "Usage: dcos-node %s [FLAG…]%s%s\n\n%s\n\n", role, words[0] ? " " : "", words, intro);
	flag_help(tables, &out);
	(void)fputs(buf_cstr(&out), stdout);
}

static bool wants_text(const char *role, const struct flag *const *tables, int argc, char **argv, const char *words,
		       const char *intro)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_help(role, tables, words, intro);
			return true;
		}
		if (strcmp(argv[i], "--version") == 0) {
			printf("dcos-node %s\n", DCOS_NODE_VERSION);
			return true;
		}
	}
	return false;
}

bool node_init(struct node *n, const char *role, const struct flag *const *tables, void *config, int argc, char **argv,
	       const char *help_intro, int *exit_code)
{
	struct err e = { 0 };
	int argi;
	*n = (struct node){ .role = role, .config = config };
	*exit_code = 0;
	if (wants_text(role, tables, argc, argv, "", help_intro))
		return false;
	int rc = flag_parse(tables, config, argc - 1, argv + 1, false, &argi, &e);
	if (rc == 0 && argi < argc - 1)
		rc = err_set(&e, E_USAGE, "'%s' is no flag; `dcos-node %s --help` lists them", argv[1 + argi], role);
	if (rc == 0)
		rc = set_up(n, &e);
	if (rc != 0) {
		*exit_code = node_die(role, &e);
		return false;
	}
	raise_descriptor_limit();
	(void)signal(SIGPIPE, SIG_IGN);
	n->loop = loop_new();
	n->started_unix_us = time_unix_us();
	return true;
}

bool node_command_init(struct node *n, const char *role, const struct flag *const *tables, void *config, int argc, char **argv,
		       const char *words, const char *help_intro, int *argi, int *exit_code)
{
	struct err e = { 0 };
	*n = (struct node){ .role = role, .config = config };
	*exit_code = 0;
	if (wants_text(role, tables, argc, argv, words, help_intro))
		return false;
	int rc = flag_parse(tables, config, argc - 1, argv + 1, true, argi, &e);
	(*argi)++;
	if (rc != 0) {
		*exit_code = node_die(role, &e);
		return false;
	}
	log_set_level(LOG_WARN);
	log_set_name(role);
	(void)signal(SIGPIPE, SIG_IGN);
	n->started_unix_us = time_unix_us();
	return true;
}

int node_open_view(struct node *n, struct err *e)
{
	AUTO_FREE char *dir = node_path(n, "view");
	int rc = node_mkdirs(dir, 0755, e);
	return rc != 0 ? rc : view_open(n->loop, dir, &n->view, e);
}

static void on_stop_signal(struct loop *l, int signo, void *arg)
{
	struct node *n = arg;
	LOG(INFO, "stopping", "role=%s signal=%d", n->role, signo);
	loop_stop(l);
}

int node_run(struct node *n)
{
	loop_signal(n->loop, SIGTERM, on_stop_signal, n);
	loop_signal(n->loop, SIGINT, on_stop_signal, n);
	loop_run(n->loop);
	return 0;
}

void node_fini(struct node *n)
{
	identity_fini(&n->identity);
	if (n->view)
		view_close(n->view);
	if (n->loop)
		loop_free(n->loop);
	n->view = NULL;
	n->loop = NULL;
}

void node_ready(struct node *n) { node_ready_note(n, ""); }

void node_ready_note(struct node *n, const char *note)
{
	const char *text = getenv("DCOS_READY_FD");
	uint64_t fd;
	LOG(INFO, "ready", "role=%s node=%s ip=%s note=%s", n->role, n->name, n->ip, note);
	if (!text || !str_u64(str_of(text), &fd))
		return;
	AUTO_FREE char *line = xasprintf("ready %s\n", note);
	(void)!write((int)fd, line, strlen(line));    /* the supervisor also notices when we end */
	(void)close((int)fd);
	(void)unsetenv("DCOS_READY_FD");
}

int node_mkdirs(const char *path, int mode, struct err *e)
{
	AUTO_FREE char *copy = xstrdup(path);
	for (char *at = copy + 1; ; at++) {
		char c = *at;
		if (c != '/' && c != '\0')
			continue;
		*at = '\0';
		if (mkdir(copy, (mode_t)mode) != 0 && errno != EEXIST)
			return err_sys(e, "create directory '%s'", copy);
		*at = c;
		if (c == '\0')
			return 0;
	}
}

char *node_path(const struct node *n, const char *fmt, ...)
{
	AUTO_BUF struct buf b = BUF_INIT;
	char tail[512];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(tail, sizeof(tail), fmt, ap);
	va_end(ap);
	buf_printf(&b, "%s/%s", n->config->state_dir, tail);
	return buf_take(&b);
}

size_t node_master_count(const struct node *n)
{
	size_t count = 0;
	struct str rest = str_of(n->config->masters ? n->config->masters : "");
	while (rest.p && rest.len > 0)
		count += str_cut(&rest, '\n').len > 0;
	return count;
}

int node_master_addr(const struct node *n, size_t index, struct sock_addr *out, struct err *e)
{
	size_t count = node_master_count(n);
	struct str line = { NULL, 0 };
	if (count == 0)
		return err_set(e, E_USAGE, "no master is known; give one with --masters");
	struct str rest = str_of(n->config->masters);
	for (size_t i = 0; i <= index % count; i += line.len > 0)
		line = str_cut(&rest, '\n');
	AUTO_FREE char *text = str_dup(line);
	return sock_addr_parse_hostport(out, text, RPC_PORT_MASTER, e);
}
