/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   IDLE --request--> (connect, when there is no connection) --open--> SENT --answer--> IDLE
 *                       ^                                        |
 *                       `------- pause, next master <------------'  failure, silence, "I do not lead"
 *
 * The connection is kept from one request to the next. A watch is a request whose answer is the first of many messages.
 */
#include "roles/cli/kv_client.h"

#include "net/limits.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "store/disk.h"

#define ATTEMPT_US (2 * SEC)
#define PAUSE_MIN_US (2 * MSEC)
#define PAUSE_MAX_US (50 * MSEC)
#define PEM_BYTES_MAX (64 * 1024)

struct kv_client {
	struct kv_client_config config;
	struct rpc_handlers handlers;
	struct rpc_method methods[1];
	struct rpc_peer *peer;           /* NULL: not connected */
	bool open;
	size_t at;                       /* master we talk to */

	/* the request; done and ended NULL: none */
	void (*done)(void *arg, const keyval_Answer *a, const struct err *e, bool unknown);
	void (*ended)(void *arg, const struct err *e);
	void *arg;
	uint32_t method;
	struct buf payload;
	bool repeatable, unknown, watching;
	int64_t deadline_us;
	unsigned attempts;
	struct rpc_call call;
	struct loop_timer silence, pause;
	struct err last;                 /* why the last attempt failed */
};

static void attempt(struct kv_client *c);

static void disconnect(struct kv_client *c)
{
	rpc_call_cancel(&c->call);
	rpc_peer_close(MOVE(c->peer));
	c->open = false;
	c->watching = false;
}

/* The request is over. */
static void finish(struct kv_client *c, const keyval_Answer *a, const struct err *e)
{
	void (*done)(void *, const keyval_Answer *, const struct err *, bool) = MOVE(c->done);
	void (*ended)(void *, const struct err *) = MOVE(c->ended);
	loop_timer_stop(&c->silence);
	loop_timer_stop(&c->pause);
	if (done)
		done(c->arg, a, e, e->code != 0 && c->unknown);
	else if (ended)
		ended(c->arg, e);
}

static void on_pause(struct loop_timer *t) { attempt(container_of(t, struct kv_client, pause)); }

/* This attempt came to nothing. sent: the master may have done what it was asked for. */
static void attempt_failed(struct kv_client *c, const struct err *e, bool sent)
{
	c->last = *e;
	loop_timer_stop(&c->silence);
	c->unknown |= sent;
	if ((sent && !c->repeatable) || loop_now_us(c->config.loop) >= c->deadline_us) {
		finish(c, NULL, &c->last);
		return;
	}
	disconnect(c);
	c->at = (c->at + 1) % c->config.count;
	c->attempts++;
	bool all_asked = c->attempts % c->config.count == 0;
	int64_t pause = MIN(PAUSE_MIN_US * (int64_t)(c->attempts / c->config.count), PAUSE_MAX_US);
	loop_timer_start(c->config.loop, &c->pause, all_asked ? pause : 0, on_pause);
}

/* Answers after which another master, or a little time, helps. */
static bool passes(int code)
{
	return code == E_NOTLEADER || code == E_BUSY || code == E_NOSPACE || code == E_CLOSED || code == E_TIMEOUT || code == E_IO;
}

static void on_answer(struct rpc_call *call, struct str reply, const struct err *failure)
{
	struct kv_client *c = container_of(call, struct kv_client, call);
	AUTO_ARENA struct arena a = ARENA_INIT;
	keyval_Answer answer = keyval_Answer_init_zero;
	struct err e = *failure;
	loop_timer_stop(&c->silence);
	if (passes(e.code)) {
		attempt_failed(c, &e, e.code == E_CLOSED || e.code == E_TIMEOUT || e.code == E_IO);
		return;
	}
	if (e.code == 0 && c->ended) {
		c->watching = true;
		return;
	}
	if (e.code == 0)
		(void)pb_read(&a, keyval_Answer_fields, reply, &answer, &e);
	finish(c, &answer, &e);
}

static void on_silence(struct loop_timer *t)
{
	struct kv_client *c = container_of(t, struct kv_client, silence);
	bool sent = c->call.peer != NULL;
	struct err e = { 0 };
	char at[SOCK_ADDR_TEXT];
	sock_addr_text(&c->config.masters[c->at], at);
	(void)err_set(&e, E_TIMEOUT, "the master at %s does not answer", at);
	disconnect(c);
	attempt_failed(c, &e, sent);
}

static void send_request(struct kv_client *c)
{
	rpc_call_start(c->peer, &c->call, c->method, buf_view(&c->payload), 0, on_answer);
}

static void on_open(struct rpc_peer *p)
{
	struct kv_client *c = rpc_peer_arg(p);
	c->open = true;
	if (c->done || c->ended)
		send_request(c);
}

static void on_closed(struct rpc_peer *p, const struct err *e)
{
	struct kv_client *c = rpc_peer_arg(p);
	bool opened = c->open;
	if (p != c->peer)
		return;                  /* an answer's failure has gone on to another one already */
	c->peer = NULL;
	c->open = false;
	if (c->watching) {
		c->watching = false;
		finish(c, NULL, e);
	} else if (!opened && (c->done || c->ended)) {
		attempt_failed(c, e, false);
	}
}

static void on_events(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct kv_client *c = rpc_peer_arg(p);
	AUTO_ARENA struct arena a = ARENA_INIT;
	keyval_Events ev;
	struct err e = { 0 };
	if (!req && c->config.events && pb_read(&a, keyval_Events_fields, payload, &ev, &e) == 0)
		c->config.events(c->config.arg, &ev);
}

static void attempt(struct kv_client *c)
{
	int64_t left = c->deadline_us - loop_now_us(c->config.loop);
	if (left <= 0) {
		finish(c, NULL, &c->last);
		return;
	}
	loop_timer_start(c->config.loop, &c->silence, MIN(c->config.attempt_us, left), on_silence);
	if (c->peer && c->open)
		send_request(c);
	else if (!c->peer)
		c->peer = rpc_connect(c->config.loop, &c->config.masters[c->at], c->config.tls, &c->handlers, c);
}

/* ---- outside ---- */

struct kv_client *kv_client_new(const struct kv_client_config *config)
{
	struct kv_client *c = xcalloc(1, sizeof(*c));
	assert(config->count > 0);
	c->config = *config;
	c->at = config->first % config->count;
	if (c->config.attempt_us == 0)
		c->config.attempt_us = ATTEMPT_US;
	c->methods[0] = (struct rpc_method){ .number = dcos_Method_KV_EVENTS, .name = "kv-events", .fn = on_events };
	c->handlers = (struct rpc_handlers){ .methods = c->methods, .count = 1, .opened = on_open, .closed = on_closed };
	buf_init(&c->payload, LIMIT_RPC_FRAME_BYTES);
	return c;
}

void kv_client_free(struct kv_client *c)
{
	if (!c)
		return;
	disconnect(c);
	loop_timer_stop(&c->silence);
	loop_timer_stop(&c->pause);
	buf_fini(&c->payload);
	free(c);
}

static void request(struct kv_client *c, uint32_t method, const pb_msgdesc_t *fields, const void *msg, int64_t timeout_us, void *arg)
{
	struct err e = { 0 };
	c->arg = arg;
	c->method = method;
	c->unknown = c->watching = false;
	c->attempts = 0;
	c->deadline_us = loop_now_us(c->config.loop) + timeout_us;
	buf_reset(&c->payload);
	if (pb_write(fields, msg, &c->payload, &e) != 0)
		(void)err_set(&c->last, E_TOOBIG, "the request is too large: %s", e.text), c->deadline_us = 0;
	loop_timer_start(c->config.loop, &c->pause, 0, on_pause);
}

void kv_client_call(struct kv_client *c, const keyval_Call *call, int64_t timeout_us,
		    void (*done)(void *arg, const keyval_Answer *a, const struct err *e, bool unknown), void *arg)
{
	assert(!c->done);
	assert(!c->ended);
	c->done = done;
	c->repeatable = !call->change || call->client != 0;
	request(c, dcos_Method_KV_CALL, keyval_Call_fields, call, timeout_us, arg);
}

void kv_client_watch(struct kv_client *c, const keyval_Watch *watch, int64_t timeout_us, void (*ended)(void *arg, const struct err *e),
		     void *arg)
{
	assert(!c->done);
	assert(!c->ended);
	c->ended = ended;
	c->repeatable = true;
	request(c, dcos_Method_KV_WATCH, keyval_Watch_fields, watch, timeout_us, arg);
}

static int read_pem(const char *state_dir, const char *name, struct buf *out, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/identity/%s", state_dir, name);
	buf_init(out, PEM_BYTES_MAX);
	int rc = disk_read_file(&disk_real, path, PEM_BYTES_MAX, out, e);
	return rc == E_NOTFOUND ? err_set(e, rc, "'%s' is missing; has this node joined a cluster?", path) : rc;
}

int kv_client_identity(const char *state_dir, struct tls_ctx **out, struct err *e)
{
	AUTO_BUF struct buf key = BUF_INIT;
	AUTO_BUF struct buf cert = BUF_INIT;
	AUTO_BUF struct buf ca = BUF_INIT;
	int rc = read_pem(state_dir, "key.pem", &key, e);
	if (rc == 0)
		rc = read_pem(state_dir, "cert.pem", &cert, e);
	if (rc == 0)
		rc = read_pem(state_dir, "ca.pem", &ca, e);
	if (rc != 0)
		return rc;
	struct tls_config c = {
		.tls13_only = true, .verify = TLS_VERIFY_REQUIRED,
		.ca_pem = buf_cstr(&ca), .cert_pem = buf_cstr(&cert), .key_pem = buf_cstr(&key),
	};
	return tls_ctx_new(&c, out, e);
}
