/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP client against a server that says anything: the call ends, once, in an answer or in an error with a sentence. The
 * first byte chooses the method, whether the answer is streamed and after how many bytes the server takes a pause.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "net/http.h"
#include "net/sock.h"

struct seen {
	struct loop *loop;
	bool streaming, ended;
	size_t body_bytes;
};

static void on_body(struct http_call *c, struct str piece) { ((struct seen *)http_call_arg(c))->body_bytes += piece.len; }

static void on_done(struct http_call *c, const struct http_answer *a, const struct err *e)
{
	struct seen *s = http_call_arg(c);
	assert(!s->ended);
	assert(e->code == 0 ? a->status >= 100 : e->text[0] != '\0');
	assert(e->code != 0 || s->streaming || a->body.len <= 64 * KIB);
	s->ended = true;
	loop_stop(s->loop);
}

struct rest {
	struct loop_timer timer;
	int fd;
	struct str bytes;
};

static void send_rest(struct loop_timer *t)
{
	struct rest *r = container_of(t, struct rest, timer);
	if (send(r->fd, r->bytes.p, r->bytes.len, MSG_NOSIGNAL) == (ssize_t)r->bytes.len)
		(void)shutdown(r->fd, SHUT_WR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum http_method methods[] = { GET, HEAD, POST, DELETE };
	static const struct http_call_events events = { .body = on_body, .done = on_done };
	static unsigned serial;
	struct sock_addr addr;
	struct err e;
	char path[64];
	if (size < 1 || size > 32 * KIB)         /* what a socket takes at once */
		return 0;
	(void)snprintf(path, sizeof(path), "/dev/shm/fuzz-answer-%d-%u", getpid(), serial++);
	AUTO_FD int listener = -1;
	if (sock_addr_parse(&addr, path, 0, &e) != 0 || sock_listen(&addr, SOCK_STREAM, &listener, &e) != 0)
		abort();
	struct loop *l = loop_new();
	struct seen seen = { .loop = l, .streaming = data[0] & 4 };
	struct http_call_spec spec = {
		.method = methods[data[0] & 3], .url = "http://server/x", .addr = &addr, .streaming = seen.streaming,
		.timeout_us = 2 * SEC, .body_max = 64 * KIB,
	};
	struct http_call *call = http_call_start(l, &spec, &events, &seen);
	AUTO_FD int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		abort();
	size_t first = MIN((size_t)data[0] >> 3, size - 1);
	if (send(fd, data + 1, first, MSG_NOSIGNAL) != (ssize_t)first)
		abort();
	struct rest rest = { .fd = fd, .bytes = str_n((const char *)data + 1 + first, size - 1 - first) };
	loop_timer_start(l, &rest.timer, 100, send_rest);
	loop_run(l);
	assert(seen.ended);
	(void)call;
	loop_free(l);
	(void)unlink(path);
	return 0;
}
