/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log role: the logs of this node's components (<state dir>/NAME.log, written by their supervisor), served over HTTP and
 * kept from filling the disk. Paths: dcos-log v2. Sandboxes of tasks are the agent's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/log.h"
#include "net/http.h"
#include "net/json.h"
#include "roles/node.h"
#include "roles/roles.h"

struct log_config {
	struct node_config common;      /* first */
	uint16_t http_port;
	int64_t rotate_bytes, rotate_every_us;
};

#define AT(field) offsetof(struct log_config, field)
static const struct flag log_flags[] = {
	/* name            type           field                default    min      max       env                   help */
	{ "http-port",     FLAG_PORT,     AT(http_port),       "1050",    1,       65535,    "DCOS_LOG_HTTP_PORT", "HTTP API" },
	{ "rotate-bytes",  FLAG_BYTES,    AT(rotate_bytes),    "10MB",    64 * KIB, 10 * GIB, "DCOS_LOG_ROTATE_BYTES", "a component's log is rotated at this size; one old file is kept" },
	{ "rotate-every",  FLAG_DURATION, AT(rotate_every_us), "2mins",   SEC,     DAY,      NULL,                 "how often sizes are looked at" },
	FLAG_END,
};
static const struct flag *const flag_tables[] = { node_flags, log_flags, NULL };

#define LINES_DEFAULT 10
#define LINES_MAX 100000
#define COPY_BYTES 65536
#define READ_BYTES_MAX (16 * 1024 * 1024)

struct logs {
	struct node node;
	struct log_config config;
	struct http_routes routes;
	struct http_server *http;
	struct loop_timer rotate;
};

/* ---- rotation: copy, then truncate, since the writers keep the file open (in append mode) ---- */

static int copy_to_old(const char *path, struct err *e)
{
	AUTO_FREE char *old = xasprintf("%s.1", path);
	AUTO_FREE char *chunk = xmalloc(COPY_BYTES);
	AUTO_FD int in = open(path, O_RDWR | O_CLOEXEC);
	AUTO_FD int out = open(old, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (in < 0 || out < 0)
		return err_sys(e, "open '%s' and '%s'", path, old);
	for (ssize_t n; (n = read(in, chunk, COPY_BYTES)) != 0;)
		if (n < 0 || write(out, chunk, (size_t)n) != n)
			return err_sys(e, "copy '%s' to '%s'", path, old);
	return ftruncate(in, 0) == 0 ? 0 : err_sys(e, "truncate '%s'", path);
}

static void rotate_one(struct logs *lg, const char *name)
{
	AUTO_FREE char *path = node_path(&lg->node, "%s", name);
	struct stat st;
	struct err e = { 0 };
	if (stat(path, &st) != 0 || st.st_size < lg->config.rotate_bytes)
		return;
	if (copy_to_old(path, &e) != 0)
		LOG(WARN, "cannot rotate a log", "reason=%s", e.text);
	else
		LOG(INFO, "log rotated", "file=%s bytes=%lld", path, (long long)st.st_size);
}

static void each_log(struct logs *lg, void (*fn)(struct logs *lg, const char *name, void *arg), void *arg)
{
	DIR *d = opendir(lg->config.common.state_dir);
	for (struct dirent *entry; d && (entry = readdir(d));)
		if (str_ends(str_of(entry->d_name), STR(".log")))
			fn(lg, entry->d_name, arg);
	if (d)
		(void)closedir(d);
}

static void rotate_entry(struct logs *lg, const char *name, void *arg)
{
	(void)arg;
	rotate_one(lg, name);
}

static void on_rotate(struct loop_timer *t)
{
	struct logs *lg = container_of(t, struct logs, rotate);
	each_log(lg, rotate_entry, NULL);
	loop_timer_start_lazy(lg->node.loop, &lg->rotate, lg->config.rotate_every_us, on_rotate);
}

/* ---- HTTP ---- */

static void list_entry_json(struct logs *lg, const char *name, void *arg)
{
	(void)lg;
	jw_strn(arg, NULL, str_n(name, strlen(name) - 4));
}

static void get_components(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_arr(&w, NULL);
	each_log(r->arg, list_entry_json, &w);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static bool name_ok(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return name.len > 0 && name.len < 64;
}

/* Where the last `lines` lines of the text begin. */
static size_t tail_start(const char *text, size_t len, int64_t lines)
{
	size_t at = len;
	if (at > 0 && text[at - 1] == '\n')
		at--;
	for (; at > 0; at--)
		if (text[at - 1] == '\n' && --lines == 0)
			return at;
	return 0;
}

/* ?skip=-N: the last N lines, as dcos-log. */
static int64_t lines_asked(struct http_req *r)
{
	struct str skip = http_query(r, "skip");
	int64_t n;
	if (!skip.p || !str_i64(skip, &n) || n >= 0)
		return LINES_DEFAULT;
	return -MAX(n, -(int64_t)LINES_MAX);
}

/* The last `want` bytes, or all if there are fewer; *out_all tells. */
static int read_end(int fd, off_t size, size_t want, struct buf *out, bool *out_all, struct err *e)
{
	*out_all = size <= (off_t)want;
	size_t len = *out_all ? (size_t)size : want;
	buf_reset(out);
	uint8_t *at = buf_room(out, len + 1);      /* never without room, so that `at` is a place */
	ssize_t n = at ? pread(fd, at, len, size - (off_t)len) : -1;
	if (n < 0)
		return err_sys(e, "read a log");
	buf_grew(out, (size_t)n);
	return 0;
}

/* The last lines of a file: reads from its end, four times as much each time there are too few. */
static int read_lines(const char *path, int64_t lines, struct buf *out, size_t *out_start, struct err *e)
{
	struct stat st;
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool all = false;
	if (fd < 0 || fstat(fd, &st) != 0)
		return err_sys(e, "open '%s'", path);
	for (size_t want = COPY_BYTES; ; want *= 4) {
		int rc = read_end(fd, st.st_size, want, out, &all, e);
		if (rc != 0)
			return rc;
		*out_start = tail_start((const char *)out->data, out->len, lines);
		if (*out_start > 0 || all || want >= READ_BYTES_MAX)
			return 0;
	}
}

static void get_component(struct http_req *r)
{
	struct logs *lg = r->arg;
	AUTO_BUF struct buf text = BUF_INIT;
	struct err e = { 0 };
	size_t start = 0;
	if (!name_ok(r->params[0])) {
		http_reply_text(r, 400, "a component's name is lower-case letters, digits and '-'\n");
		return;
	}
	AUTO_FREE char *path = node_path(&lg->node, STR_FMT ".log", STR_ARG(r->params[0]));
	if (read_lines(path, lines_asked(r), &text, &start, &e) != 0)
		http_reply_err(r, &e);
	else
		http_reply(r, 200, "text/plain", str_from(buf_view(&text), start));
}

static const struct route log_routes[] = {
	/* method path                   handler         permission body help */
	{ GET, "/v2/component",          get_components, NULL,      0,   "Names of the components that log here" },
	{ GET, "/v2/component/{name}",   get_component,  NULL,      0,   "The last lines of one; ?skip=-N" },
	ROUTE_END,
};

static int start(struct logs *lg, struct err *e)
{
	struct sock_addr a;
	int rc = sock_addr_parse(&a, lg->node.ip, lg->config.http_port, e);
	http_routes_add(&lg->routes, log_routes, lg);
	if (rc == 0)
		rc = http_listen(lg->node.loop, &a, NULL, &lg->routes, &lg->http, e);
	if (rc != 0)
		return rc;
	on_rotate(&lg->rotate);
	node_ready(&lg->node);
	return 0;
}

int log_main(int argc, char **argv)
{
	struct logs *lg = xcalloc(1, sizeof(*lg));
	struct err e = { 0 };
	int code;
	if (node_init(&lg->node, "log", flag_tables, &lg->config, argc, argv,
		      "Serves the logs of this node's components and rotates them.", &code)) {
		if (start(lg, &e) != 0)
			exit(node_die("log", &e));
		code = node_run(&lg->node);
		http_server_free(lg->http);
		loop_timer_stop(&lg->rotate);
		node_fini(&lg->node);
	}
	flag_free(flag_tables, &lg->config);
	free(lg);
	return code;
}
