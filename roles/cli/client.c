/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of the dcos command: straight-line calls over the event loop of net/. One call runs the loop until its answer is
 * there; streams run side by side until the last one ends. What the server says is wrong becomes one sentence. What one master
 * cannot answer is asked of the next (failover.h), and a stream whose connection broke goes on where it was.
 */
#include <signal.h>
#include <stdio.h>

#include "roles/cli/cli.h"
#include "roles/cli/failover.h"
#include "roles/cli/masters.h"

#define CALL_TIMEOUT_US (180 * SEC)
#define READ_TIMEOUT_US (15 * SEC)       /* where another master can be asked: this one may be cut off */
#define CONNECT_TIMEOUT_US SEC           /* likewise */
#define ERROR_BODY_BYTES_MAX (64 * 1024)

void answer_fini(struct answer *a)
{
	yyjson_doc_free(a->doc);
	free(a->body);
	free(a->deployment);
	*a = (struct answer){ 0 };
}

yyjson_val *answer_json(const struct answer *a) { return a->doc ? yyjson_doc_get_root(a->doc) : NULL; }

/* ---- what went wrong, in words ---- */

/* Marathon's {"details": [{"path": …, "errors": [text…]}]}, also with one text for `errors`. */
static void explain_details(yyjson_val *details, struct buf *text)
{
	yyjson_arr_iter it, each;
	yyjson_val *detail, *error;
	if (yyjson_is_str(details))
		buf_printf(text, ": %s", yyjson_get_str(details));
	yyjson_arr_iter_init(details, &it);
	while ((detail = yyjson_arr_iter_next(&it))) {
		yyjson_val *errors = json_at(detail, "errors");
		buf_printf(text, "\n  %s: %s", json_str(detail, "path", "/"), yyjson_is_str(errors) ? yyjson_get_str(errors) : "");
		yyjson_arr_iter_init(errors, &each);
		for (bool more = false; (error = yyjson_arr_iter_next(&each)); more = true)
			buf_printf(text, "%s%s", more ? "; " : "", yyjson_is_str(error) ? yyjson_get_str(error) : "");
	}
}

static int explain(int status, const char *body, struct err *e)
{
	AUTO_JSON yyjson_doc *doc = yyjson_read(body, strlen(body), 0);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	const char *message = json_str(root, "message", NULL);
	AUTO_BUF struct buf text = BUF_INIT;
	if (status == 401)
		return err_set(e, E_UNAUTHORIZED, "Authentication failed. Please run `dcos auth login`");
	if (status == 403 && !message)
		return err_set(e, E_DENIED, "You are not authorized to perform this operation");
	if (!message)
		return err_set(e, status == 404 ? E_NOTFOUND : E_IO, "the cluster answered HTTP %d: %.300s", status,
			       body[0] ? body : http_status_text(status));
	buf_puts(&text, message);
	explain_details(json_at(root, "details"), &text);
	return err_set(e, status == 404 ? E_NOTFOUND : E_IO, "%s", buf_cstr(&text));
}

/* ---- requests ---- */

/* What every request carries; the token only goes to the cluster it belongs to. */
struct request_head {
	char *url;
	char *token;                 /* header line, or NULL */
	const char *lines[4];
};

static void head_fini(struct request_head *h)
{
	free(h->url);
	free(h->token);
}
#define AUTO_HEAD __attribute__((cleanup(head_fini)))

/* at: which master. */
static int head_fill(struct cli *c, const char *path, size_t at, struct request_head *h, struct err *e)
{
	size_t n = 0;
	h->lines[n++] = "Content-Type: application/json";
	h->lines[n++] = "User-Agent: dcos-cli";
	if (path[0] != '/') {
		h->url = xstrdup(path);
		return 0;
	}
	const char *base;
	int rc = cli_url(c, &base, e);
	if (rc != 0)
		return rc;
	h->url = xasprintf("%s%s", c->urls[at], path);
	if (c->token) {
		h->token = xasprintf("Authorization: token=%s", c->token);
		h->lines[n++] = h->token;
	}
	return 0;
}

/* How many masters may be asked for that path. */
static size_t masters_for(const struct cli *c, const char *path) { return path[0] == '/' ? c->url_count : 1; }

static int unreachable(const struct cli *c, const struct err *why, struct err *e)
{
	if (c->url_count > 1)
		return err_set(e, why->code, "%s; is one of the cluster's %zu masters up?", why->text, c->url_count);
	return err_set(e, why->code, "%s; is the cluster at %s up?", why->text, c->url_count > 0 ? c->urls[0] : "that address");
}

struct call_state {
	struct cli *cli;
	struct answer *out;
	struct err err;
	bool sent;                   /* the server may have seen it */
};

static void call_on_done(struct http_call *call, const struct http_answer *a, const struct err *failure)
{
	struct call_state *s = http_call_arg(call);
	loop_stop(s->cli->loop);
	s->sent = a->sent && !str_eq(http_header_get(&a->headers, HTTP_NOT_SENT), STR("true"));
	if (failure->code != 0) {
		s->err = *failure;
		return;
	}
	struct str deployment = http_header_get(&a->headers, "Marathon-Deployment-Id");
	*s->out = (struct answer){
		.status = a->status, .body = str_dup(a->body), .len = a->body.len, .deployment = deployment.p ? str_dup(deployment) : NULL,
	};
	s->out->doc = yyjson_read(s->out->body, s->out->len, 0);
}

static bool allowed(int status, const int *allow)
{
	for (; allow && *allow; allow++)
		if (*allow == status)
			return true;
	return status < 400;
}

/* One try, at one master. An error: there is none to ask. */
static int call_once(struct call_state *s, enum http_method method, const char *path, const char *body, size_t at, struct err *e)
{
	static const struct http_call_events events = { .done = call_on_done };
	AUTO_HEAD struct request_head head = { 0 };
	struct cli *c = s->cli;
	int rc = head_fill(c, path, at, &head, e);
	if (rc != 0)
		return rc;
	bool others = masters_for(c, path) > 1;
	struct http_call_spec spec = {
		.method = method, .url = head.url, .headers = head.lines, .body = str_of(body ? body : ""),
		.timeout_us = c->timeout_us ? c->timeout_us : others && method == GET ? READ_TIMEOUT_US : CALL_TIMEOUT_US,
		.connect_timeout_us = others ? CONNECT_TIMEOUT_US : 0,
	};
	(void)http_call_start(c->loop, &spec, &events, s);     /* the loop ends when it is done; nothing cancels it */
	loop_run(c->loop);
	return 0;
}

/* An answer came: from the one to ask first from now on. */
static void settle_on(struct cli *c, size_t at)
{
	struct err e = { 0 };
	bool learn = at > 0 || c->urls_old;
	if (at > 0)
		cli_prefer_url(c, at);
	c->urls_old = false;
	if (learn)
		(void)client_learn_masters(c, &e);    /* what we know of them goes on counting */
}

int client_call(struct cli *c, enum http_method method, const char *path, const char *body, const int *allow, struct answer *out,
		struct err *e)
{
	struct tries t = { 0 };
	struct call_state s;
	for (;;) {
		s = (struct call_state){ .cli = c, .out = out };
		*out = (struct answer){ 0 };
		int rc = call_once(&s, method, path, body, t.at, e);
		if (rc != 0)
			return rc;
		size_t masters = masters_for(c, path);
		bool failed = s.err.code != 0 || out->status == 502 || out->status == 503 || out->status == 504;
		if (!failed || masters < 2 || c->interrupted || !tries_safe(method, out->status, s.sent))
			break;
		int64_t wait_us = tries_next(&t, masters, out->status == 503, loop_now_us(c->loop));
		if (wait_us < 0)
			break;
		answer_fini(out);
		if (wait_us > 0)
			client_pause(c, wait_us);
	}
	if (s.err.code != 0)
		return unreachable(c, &s.err, e);
	if (allowed(out->status, allow)) {
		if (path[0] == '/')
			settle_on(c, t.at);
		return 0;
	}
	int rc = explain(out->status, out->body, e);
	answer_fini(out);
	return rc;
}

int client_get(struct cli *c, const char *path, struct answer *out, struct err *e)
{
	return client_call(c, GET, path, NULL, NULL, out, e);
}

/* ---- waiting ---- */

static void on_interrupt(struct loop *l, int signo, void *arg)
{
	struct cli *c = arg;
	(void)signo;
	c->interrupted = true;
	loop_stop(l);
}

void client_catch_interrupt(struct cli *c) { loop_signal(c->loop, SIGINT, on_interrupt, c); }

static void pause_on_timer(struct loop_timer *t) { loop_stop(t->loop); }

void client_pause(struct cli *c, int64_t delay_us)
{
	struct loop_timer timer = { 0 };
	loop_timer_start(c->loop, &timer, delay_us, pause_on_timer);
	loop_run(c->loop);
	loop_timer_stop(&timer);
}

/* ---- streams ---- */

struct streams {
	struct cli *cli;
	size_t live;
};

struct stream_state {
	struct streams *all;
	struct client_stream *stream;
	struct http_call *call;          /* NULL: between two tries, or it has ended */
	struct request_head head;
	int status;
	bool began;                      /* a try had an answer that was none of an error */
	struct buf error_body;           /* of an answer that is an error */
	struct tries tries;
	struct loop_timer timer;         /* until the next try */
};

static void stream_start(struct stream_state *s);

static void stream_on_head(struct http_call *call, const struct http_answer *a)
{
	struct stream_state *s = http_call_arg(call);
	s->status = a->status;
	if (a->status >= 400)
		return;
	s->began = true;
	s->tries = (struct tries){ .at = s->tries.at };
}

static void stream_on_body(struct http_call *call, struct str piece)
{
	struct stream_state *s = http_call_arg(call);
	if (s->status >= 400)
		buf_str(&s->error_body, piece);
	else if (!s->all->cli->interrupted && !s->stream->piece(s->stream, piece))
		on_interrupt(s->all->cli->loop, 0, s->all->cli);
}

static void stream_on_timer(struct loop_timer *t) { stream_start(container_of(t, struct stream_state, timer)); }

/* One that had begun goes on behind its last piece; a new leader may not know its agent for a moment (404). */
static bool stream_again(struct stream_state *s, bool broken, bool sent)
{
	struct cli *c = s->all->cli;
	size_t masters = masters_for(c, s->stream->path);
	int status = broken ? 0 : s->status;
	bool may = s->began ? s->stream->resume && (broken || status == 404 || status == 502 || status == 503)
			    : masters > 1 && (broken || status >= 500) && tries_safe(GET, status, sent);
	if (!may || c->interrupted)
		return false;
	int64_t wait_us = tries_next(&s->tries, masters, !broken && status != 502, loop_now_us(c->loop));
	if (wait_us < 0)
		return false;
	if (s->began) {
		free(s->stream->path);
		s->stream->path = s->stream->resume(s->stream);
	}
	loop_timer_start(c->loop, &s->timer, wait_us, stream_on_timer);
	return true;
}

static void stream_end(struct stream_state *s)
{
	s->stream->ended = true;
	if (--s->all->live == 0)
		loop_stop(s->all->cli->loop);
}

static void stream_on_done(struct http_call *call, const struct http_answer *a, const struct err *failure)
{
	struct stream_state *s = http_call_arg(call);
	bool broken = failure->code != 0;
	s->call = NULL;
	if ((broken || s->status >= 400) && stream_again(s, broken, a->sent))
		return;
	if (broken)
		(void)unreachable(s->all->cli, failure, &s->stream->err);
	else if (s->status >= 400)
		(void)explain(s->status, buf_cstr(&s->error_body), &s->stream->err);
	stream_end(s);
}

static void stream_start(struct stream_state *s)
{
	static const struct http_call_events events = { .head = stream_on_head, .body = stream_on_body, .done = stream_on_done };
	struct cli *c = s->all->cli;
	s->status = 0;
	buf_reset(&s->error_body);
	head_fini(&s->head);
	s->head = (struct request_head){ 0 };
	if (head_fill(c, s->stream->path, s->tries.at, &s->head, &s->stream->err) != 0) {
		stream_end(s);
		return;
	}
	struct http_call_spec spec = {
		.method = GET, .url = s->head.url, .headers = s->head.lines, .timeout_us = CALL_TIMEOUT_US, .streaming = true,
		.connect_timeout_us = masters_for(c, s->stream->path) > 1 ? CONNECT_TIMEOUT_US : 0,
	};
	s->call = http_call_start(c->loop, &spec, &events, s);
}

int client_streams(struct cli *c, struct client_stream *streams, size_t count, struct err *e)
{
	struct streams all = { .cli = c, .live = count };
	struct stream_state *states = xcalloc(count, sizeof(*states));
	const char *base;
	int rc = cli_url(c, &base, e);
	client_catch_interrupt(c);
	for (size_t i = 0; i < count && rc == 0; i++) {
		states[i] = (struct stream_state){ .all = &all, .stream = &streams[i] };
		buf_init(&states[i].error_body, ERROR_BODY_BYTES_MAX);
		stream_start(&states[i]);
	}
	if (rc == 0 && all.live > 0)
		loop_run(c->loop);
	for (size_t i = 0; i < count; i++) {
		http_call_cancel(states[i].call);
		loop_timer_stop(&states[i].timer);
		head_fini(&states[i].head);
		buf_fini(&states[i].error_body);
	}
	free(states);
	return rc;
}

/* ---- which masters there are ---- */

/* "http://10.0.0.1:8000" of another host: masters have their front doors alike. */
static char *url_of_host(const struct url *u, const char *host)
{
	const char *scheme = u->tls ? "https" : "http";
	bool usual = u->port == (u->tls ? 443 : 80);
	return usual ? xasprintf("%s://%s", scheme, host) : xasprintf("%s://%s:%u", scheme, host, u->port);
}

int client_learn_masters(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_ARENA struct arena arena = ARENA_INIT;
	char hosts[MASTERS_MAX][64];
	const char *urls[CLI_URLS_MAX];
	const char *base;
	struct url u;
	size_t count = 0;
	int rc = cli_url(c, &base, e);
	if (rc == 0)
		rc = client_get(c, MASTERS_STATUS_PATH, &a, e);
	if (rc != 0)
		return rc;
	/* It may have moved on to another master meanwhile, which then answered. */
	urls[count++] = arena_strdup(&arena, c->urls[0]);
	if (!url_parse(urls[0], &u))
		return err_set(e, E_INVALID, "'%s' is no URL of a cluster", urls[0]);
	size_t n = masters_hosts(answer_json(&a), hosts);
	for (size_t i = 0; i < n && count < CLI_URLS_MAX - 1; i++) {
		AUTO_FREE char *url = url_of_host(&u, hosts[i]);
		struct url check;
		if (url_parse(url, &check) && str_eq_c(check.host, hosts[i]) && strcmp(url, urls[0]) != 0)
			urls[count++] = arena_strdup(&arena, url);
	}
	return cli_set_urls(c, urls, count, e);
}
