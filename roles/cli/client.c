/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of the dcos command: straight-line calls over the event loop of net/. One call runs the loop until its answer is
 * there; streams run side by side until the last one ends. What the server says is wrong becomes one sentence.
 */
#include <signal.h>
#include <stdio.h>

#include "roles/cli/cli.h"

#define CALL_TIMEOUT_US (180 * SEC)
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

static int head_fill(struct cli *c, const char *path, struct request_head *h, struct err *e)
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
	h->url = xasprintf("%s%s", base, path);
	if (c->token) {
		h->token = xasprintf("Authorization: token=%s", c->token);
		h->lines[n++] = h->token;
	}
	return 0;
}

static int unreachable(const struct cli *c, const struct err *why, struct err *e)
{
	return err_set(e, why->code, "%s; is the cluster at %s up?", why->text, c->url ? c->url : "that address");
}

struct call_state {
	struct cli *cli;
	struct answer *out;
	struct err err;
};

static void call_on_done(struct http_call *call, const struct http_answer *a, const struct err *failure)
{
	struct call_state *s = http_call_arg(call);
	loop_stop(s->cli->loop);
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

int client_call(struct cli *c, enum http_method method, const char *path, const char *body, const int *allow, struct answer *out,
		struct err *e)
{
	static const struct http_call_events events = { .done = call_on_done };
	AUTO_HEAD struct request_head head = { 0 };
	struct call_state s = { .cli = c, .out = out };
	*out = (struct answer){ 0 };
	int rc = head_fill(c, path, &head, e);
	if (rc != 0)
		return rc;
	struct http_call_spec spec = {
		.method = method, .url = head.url, .headers = head.lines, .body = str_of(body ? body : ""),
		.timeout_us = c->timeout_us ? c->timeout_us : CALL_TIMEOUT_US,
	};
	(void)http_call_start(c->loop, &spec, &events, &s);     /* the loop ends when it is done; nothing cancels it */
	loop_run(c->loop);
	if (s.err.code != 0)
		return unreachable(c, &s.err, e);
	if (allowed(out->status, allow))
		return 0;
	rc = explain(out->status, out->body, e);
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
	struct http_call *call;          /* NULL when it has ended */
	struct request_head head;
	int status;
	struct buf error_body;           /* of an answer that is an error */
};

static void stream_on_head(struct http_call *call, const struct http_answer *a)
{
	struct stream_state *s = http_call_arg(call);
	s->status = a->status;
}

static void stream_on_body(struct http_call *call, struct str piece)
{
	struct stream_state *s = http_call_arg(call);
	if (s->status >= 400)
		buf_str(&s->error_body, piece);
	else if (!s->all->cli->interrupted && !s->stream->piece(s->stream, piece))
		on_interrupt(s->all->cli->loop, 0, s->all->cli);
}

static void stream_on_done(struct http_call *call, const struct http_answer *a, const struct err *failure)
{
	struct stream_state *s = http_call_arg(call);
	(void)a;
	s->call = NULL;
	s->stream->ended = true;
	if (failure->code != 0)
		(void)unreachable(s->all->cli, failure, &s->stream->err);
	else if (s->status >= 400)
		(void)explain(s->status, buf_cstr(&s->error_body), &s->stream->err);
	if (--s->all->live == 0)
		loop_stop(s->all->cli->loop);
}

static int stream_start(struct stream_state *s, struct err *e)
{
	static const struct http_call_events events = { .head = stream_on_head, .body = stream_on_body, .done = stream_on_done };
	struct cli *c = s->all->cli;
	buf_init(&s->error_body, ERROR_BODY_BYTES_MAX);
	int rc = head_fill(c, s->stream->path, &s->head, e);
	if (rc != 0)
		return rc;
	struct http_call_spec spec = {
		.method = GET, .url = s->head.url, .headers = s->head.lines, .timeout_us = CALL_TIMEOUT_US, .streaming = true,
	};
	s->call = http_call_start(c->loop, &spec, &events, s);
	s->all->live++;
	return 0;
}

int client_streams(struct cli *c, struct client_stream *streams, size_t count, struct err *e)
{
	struct streams all = { .cli = c };
	struct stream_state *states = xcalloc(count, sizeof(*states));
	int rc = 0;
	client_catch_interrupt(c);
	for (size_t i = 0; i < count && rc == 0; i++) {
		states[i] = (struct stream_state){ .all = &all, .stream = &streams[i] };
		rc = stream_start(&states[i], e);
	}
	if (rc == 0)
		loop_run(c->loop);
	for (size_t i = 0; i < count; i++) {
		http_call_cancel(states[i].call);
		head_fini(&states[i].head);
		buf_fini(&states[i].error_body);
	}
	free(states);
	return rc;
}
