/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's control socket: HTTP on <state dir>/control, for `status` and `down`. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "net/json.h"
#include "roles/cli/up.h"

#define ANSWER_BYTES_MAX (4 * 1024 * 1024)
#define TIMEOUT_S 60

struct control {
	struct supervisor *s;
	struct control_events ev;
	void *arg;
	struct http_routes routes;
};

static void get_status(struct http_req *r)
{
	struct control *c = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	supervisor_status(c->s, &out);
	http_reply_json(r, 200, &out);
}

static void post_down(struct http_req *r)
{
	struct control *c = r->arg;
	http_reply_json(r, 202, &(struct buf)BUF_INIT);
	c->ev.down(c->arg);
}

static void post_node_down(struct http_req *r)
{
	struct control *c = r->arg;
	struct err e = { 0 };
	char *node = arena_str(&r->arena, r->params[0]);
	if (c->ev.node_down(c->arg, node, &e) != 0)
		http_reply_err(r, &e);
	else
		http_reply_json(r, 200, &(struct buf)BUF_INIT);
}

static const struct route control_routes[] = {
	{ GET,  "/status",          get_status,     NULL, 0, "State of every process" },
	{ POST, "/down",            post_down,      NULL, 0, "End the cluster" },
	{ POST, "/node/{name}/down", post_node_down, NULL, 0, "Kill one node" },
	ROUTE_END,
};

int control_listen(struct loop *l, const char *state_dir, struct supervisor *s, const struct control_events *ev, void *arg,
		   struct http_server **out, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/" CONTROL_SOCKET, state_dir);
	struct sock_addr a;
	int rc = sock_addr_parse(&a, path, 0, e);
	if (rc != 0)
		return rc;
	struct control *c = xcalloc(1, sizeof(*c));    /* lives as long as the process */
	*c = (struct control){ .s = s, .ev = *ev, .arg = arg };
	http_routes_add(&c->routes, control_routes, c);
	return http_listen(l, &a, NULL, &c->routes, out, e);
}

/* ---- the other side: one blocking request ---- */

static int read_answer(int fd, struct buf *in, struct err *e)
{
	for (;;) {
		uint8_t *at = buf_room(in, 4096);
		if (!at)
			return err_set(e, E_TOOBIG, "the supervisor's answer is too large");
		ssize_t n = read(fd, at, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read the supervisor's answer");
		if (n == 0)
			return 0;
		buf_grew(in, (size_t)n);
	}
}

int control_request(const char *state_dir, enum http_method method, const char *path, char **out_body, struct err *e)
{
	AUTO_FREE char *sock_path = xasprintf("%s/" CONTROL_SOCKET, state_dir);
	AUTO_BUF struct buf in = { .max = ANSWER_BYTES_MAX };
	struct sock_addr a;
	int rc = sock_addr_parse(&a, sock_path, 0, e);
	if (rc != 0)
		return rc;
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval timeout = { .tv_sec = TIMEOUT_S };
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0)
		return err_sys(e, "open a socket");
	if (connect(fd, &a.sa, a.len) != 0)
		return err_set(e, E_NOTFOUND, "no cluster runs from '%s'; start one with `dcos-node up`", state_dir);
	AUTO_FREE char *text = xasprintf("%s %s HTTP/1.1\r\nHost: control\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
					 http_method_name(method), path);
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return err_sys(e, "ask the supervisor");
	rc = read_answer(fd, &in, e);
	if (rc != 0)
		return rc;
	int status = 0;
	char *body = strstr(buf_cstr(&in), "\r\n\r\n");
	if (!body || sscanf((const char *)in.data, "HTTP/1.1 %d", &status) != 1)
		return err_set(e, E_CLOSED, "the supervisor ended before it answered");
	body += 4;
	if (status >= 300) {
		AUTO_JSON yyjson_doc *doc = yyjson_read(body, strlen(body), 0);
		return err_set(e, status == 404 ? E_NOTFOUND : E_IO, "%s",
			       json_str(doc ? yyjson_doc_get_root(doc) : NULL, "message", "the supervisor refused"));
	}
	*out_body = xstrdup(body);
	return 0;
}
