/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the dcos command: straight-line calls over the event loop of net/. */
#include <signal.h>
#include <stdio.h>

#include "roles/cli/cli.h"

#define CALL_TIMEOUT_US (180 * SEC)

struct call_state {
	struct cli *cli;
	struct answer *out;
	const struct client_stream *stream;
	struct http_call *call;
	struct err err;
	int status;
	struct buf error_body;      /* of a streamed answer that is an error */
};

void answer_fini(struct answer *a)
{
	yyjson_doc_free(a->doc);
	free(a->body);
	free(a->deployment);
	*a = (struct answer){ 0 };
}

static void on_done(struct http_call *c, const struct http_answer *a, const struct err *failure)
{
	struct call_state *s = http_call_arg(c);
	s->call = NULL;
	loop_stop(s->cli->loop);
	if (failure->code != 0) {
		s->err = *failure;
		return;
	}
	s->status = a->status;
	if (!s->out)
		return;
	struct str deployment = http_header_get(&a->headers, "Marathon-Deployment-Id");
	*s->out = (struct answer){
		.status = a->status, .body = str_dup(a->body), .len = a->body.len, .deployment = deployment.p ? str_dup(deployment) : NULL,
	};
	s->out->doc = yyjson_read(s->out->body, s->out->len, 0);
}

static void on_head(struct http_call *c, const struct http_answer *a)
{
	struct call_state *s = http_call_arg(c);
	s->status = a->status;
}

static void on_body(struct http_call *c, struct str piece)
{
	struct call_state *s = http_call_arg(c);
	if (s->status >= 400) {
		buf_str(&s->error_body, piece);
		return;
	}
	if (s->stream->piece(s->stream->arg, piece))
		return;
	http_call_cancel(c);
	s->call = NULL;
	loop_stop(s->cli->loop);
}

static int start(struct call_state *s, enum http_method method, const char *path, const char *body, struct err *e)
{
	static const struct http_call_events whole = { .done = on_done };
	static const struct http_call_events streaming = { .head = on_head, .body = on_body, .done = on_done };
	static const char *const headers[] = { "Content-Type: application/json", "User-Agent: dcos-cli", NULL };
	const char *base;
	int rc = cli_url(s->cli, &base, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *url = xasprintf("%s%s", base, path);
	struct http_call_spec spec = {
		.method = method, .url = url, .headers = headers, .body = str_of(body ? body : ""), .timeout_us = CALL_TIMEOUT_US,
		.streaming = s->stream != NULL,
	};
	s->call = http_call_start(s->cli->loop, &spec, s->stream ? &streaming : &whole, s);
	loop_run(s->cli->loop);
	if (s->err.code == 0)
		return 0;
	return err_set(e, s->err.code, "%s; is the cluster at %s up?", s->err.text, base);
}

/* The server's own words: {"message": …, "details": [{"path": …, "errors": […]}]} or the text as it is. */
static void explain(int status, const char *body, struct err *e)
{
	AUTO_JSON yyjson_doc *doc = yyjson_read(body, strlen(body), 0);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	const char *message = json_str(root, "message", NULL);
	AUTO_BUF struct buf text = BUF_INIT;
	yyjson_val *details = json_at(root, "details"), *detail;
	yyjson_arr_iter it;
	if (!message) {
		(void)err_set(e, E_IO, "the cluster answered HTTP %d: %.300s", status, body[0] ? body : http_status_text(status));
		return;
	}
	buf_puts(&text, message);
	yyjson_arr_iter_init(details, &it);
	while ((detail = yyjson_arr_iter_next(&it))) {
		yyjson_val *errors = json_at(detail, "errors");
		buf_printf(&text, "; %s: %s", json_str(detail, "path", ""), json_str(errors, "0", json_str(detail, "errors", "")));
	}
	(void)err_set(e, E_IO, "%s", buf_cstr(&text));
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
	struct call_state s = { .cli = c, .out = out };
	*out = (struct answer){ 0 };
	int rc = start(&s, method, path, body, e);
	if (rc != 0)
		return rc;
	if (allowed(out->status, allow))
		return 0;
	explain(out->status, out->body, e);
	answer_fini(out);
	return e->code;
}

int client_get(struct cli *c, const char *path, struct answer *out, struct err *e)
{
	return client_call(c, GET, path, NULL, NULL, out, e);
}

int client_stream(struct cli *c, const char *path, const struct client_stream *stream, struct err *e)
{
	struct call_state s = { .cli = c, .stream = stream };
	buf_init(&s.error_body, 65536);
	int rc = start(&s, GET, path, NULL, e);
	if (rc == 0 && s.status >= 400) {
		explain(s.status, buf_cstr(&s.error_body), e);
		rc = e->code;
	}
	buf_fini(&s.error_body);
	return rc;
}
