/* SPDX-License-Identifier: Apache-2.0 */
/* RPC: the frame's bytes, and connections over socket pairs, unix sockets and mutual TLS. */
#include <stdio.h>
#include <sys/socket.h>

#include "net/limits.h"
#include "net/rpc.h"
#include "net/rpc_frame.h"
#include "net/tls.h"
#include "tests/lib/test.h"

static struct err e;

/* ---- Frames ---- */

static const uint8_t call_bytes[] = {
	16, 0, 0, 0,                            /* length */
	1,                                      /* CALL */
	8, 7, 6, 5, 4, 3, 2, 1,                 /* id */
	0x2a, 0, 0, 0,                          /* method */
	'a', 'b', 'c',
};

TEST(rpc_frame, a_call_has_these_bytes)
{
	struct buf b = BUF_INIT;
	TRUE(rpc_frame_write(&b, RPC_CALL, 0x0102030405060708, 42, STR("abc")));
	EQ_INT(b.len, sizeof call_bytes);
	EQ_MEM(b.data, call_bytes, sizeof call_bytes);
	buf_fini(&b);
}

TEST(rpc_frame, nothing_is_read_before_the_last_byte_is_there)
{
	struct rpc_frame f;
	for (size_t n = 0; n < sizeof call_bytes; n++)
		EQ_INT(rpc_frame_read(str_n(test_edge(call_bytes, n), n), 100, &f, &e), 0);
	EQ_INT(rpc_frame_read(str_n(test_edge(call_bytes, sizeof call_bytes), sizeof call_bytes), 100, &f, &e), sizeof call_bytes);
	EQ_INT(f.kind, RPC_CALL);
	EQ_INT(f.id, 0x0102030405060708);
	EQ_INT(f.method, 42);
	EQ_STR(f.payload, "abc");
}

TEST(rpc_frame, its_length_is_bounded)
{
	struct rpc_frame f;
	struct str bytes = str_n((const char *)call_bytes, sizeof call_bytes);
	TRUE(rpc_frame_read(bytes, 16, &f, &e) > 0);
	EQ_INT(rpc_frame_read(bytes, 15, &f, &e), E_TOOBIG);
	EQ_STR(e.text, "RPC frame of 16 bytes: at most 15 are allowed");
}

static const char *flaw(const uint8_t head[RPC_LENGTH_BYTES + RPC_HEAD_BYTES + 4], size_t payload)
{
	struct rpc_frame f;
	uint8_t bytes[RPC_LENGTH_BYTES + RPC_HEAD_BYTES + 4];
	memcpy(bytes, head, sizeof bytes);
	bytes[0] = (uint8_t)(RPC_HEAD_BYTES + payload);
	ssize_t n = rpc_frame_read(str_n((char *)bytes, RPC_LENGTH_BYTES + RPC_HEAD_BYTES + payload), 100, &f, &e);
	return n > 0 ? "fine" : e.text;
}

TEST(rpc_frame, what_makes_no_sense_is_malformed)
{
	EQ_STR(flaw((uint8_t[21]){ [4] = 0 }, 0), "RPC: an unknown kind of frame");
	EQ_STR(flaw((uint8_t[21]){ [4] = 6 }, 0), "RPC: an unknown kind of frame");
	EQ_STR(flaw((uint8_t[21]){ [4] = RPC_CALL }, 0), "RPC: a call without an id");
	EQ_STR(flaw((uint8_t[21]){ [4] = RPC_ERROR }, 4), "RPC: an error without an id");
	EQ_STR(flaw((uint8_t[21]){ [4] = RPC_ERROR, [5] = 1 }, 3), "RPC: an error without a code");
	EQ_STR(flaw((uint8_t[21]){ [4] = RPC_ERROR, [5] = 1 }, 4), "fine");
	EQ_STR(flaw((uint8_t[21]){ [4] = RPC_ONEWAY, [5] = 1 }, 0), "RPC: a one-way message with an id");
	EQ_STR(flaw((uint8_t[21]){ [4] = RPC_ONEWAY }, 0), "fine");
	EQ_STR(flaw((uint8_t[21]){ [4] = RPC_PING }, 1), "RPC: a ping that carries something");
	struct rpc_frame f;
	EQ_INT(rpc_frame_read(str_n("\x0c\0\0\0", 4), 100, &f, &e), E_MALFORMED);
	EQ_STR(e.text, "RPC frame of 12 bytes is shorter than its head");
}

TEST(rpc_frame, an_error_comes_back_with_code_and_sentence_and_is_never_code_0)
{
	struct buf b = BUF_INIT;
	struct rpc_frame f;
	struct err in = { .code = E_CONFLICT, .text = "app '/x' exists" }, out;
	rpc_error_write(&b, 7, 1, &in);
	EQ_INT(rpc_frame_read(buf_view(&b), 1000, &f, &e), b.len);
	rpc_error_read(f.payload, &out);
	EQ_INT(out.code, E_CONFLICT);
	EQ_STR(out.text, "app '/x' exists");
	rpc_error_read(str_n("\0\0\0\0zero", 8), &out);
	EQ_INT(out.code, E_IO);
	buf_fini(&b);
}

/* ---- Connections ---- */

enum { ECHO = 1, FAILS, LATER, NOTE, JOIN, CLOSES, CALLS_BACK };

static struct loop *the_loop;
static struct rpc_peer *left, *right;   /* right answers; left calls */
static struct rpc_req *kept;
static char trace[512];
static const char *stop_when = "";

static void event(const char *what)
{
	strncat(trace, what, sizeof trace - strlen(trace) - 1);
	strncat(trace, "; ", sizeof trace - strlen(trace) - 1);
	if (strcmp(what, stop_when) == 0)
		loop_stop(the_loop);
}

static void m_echo(struct rpc_peer *p UNUSED, struct rpc_req *req, struct str payload) { rpc_reply(req, payload); }

static void m_fails(struct rpc_peer *p UNUSED, struct rpc_req *req, struct str payload UNUSED)
{
	struct err failure;
	(void)err_set(&failure, E_CONFLICT, "no, thank you");
	rpc_fail(req, &failure);
}

static void m_later(struct rpc_peer *p UNUSED, struct rpc_req *req, struct str payload UNUSED)
{
	kept = req;
	event("asked");
}

static void m_note(struct rpc_peer *p UNUSED, struct rpc_req *req, struct str payload)
{
	char text[64];
	TRUE(req == NULL);
	TRUE(str_put(text, sizeof text, payload));
	event(text);
}

static void m_closes(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	rpc_reply(req, payload);
	rpc_peer_close(p);
	right = NULL;
	event("closes");
}

static struct rpc_call back_call;

static void on_back(struct rpc_call *c UNUSED, struct str reply, const struct err *err)
{
	EQ_INT(err->code, 0);
	EQ_STR(reply, "back");
	event("called back");
}

static void m_calls_back(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	rpc_call_start(p, &back_call, ECHO, STR("back"), SEC, on_back);
	rpc_reply(req, payload);
}

static const struct rpc_method methods[] = {
	{ ECHO,       "ECHO",       m_echo,       false },
	{ FAILS,      "FAILS",      m_fails,      false },
	{ LATER,      "LATER",      m_later,      false },
	{ NOTE,       "NOTE",       m_note,       false },
	{ JOIN,       "JOIN",       m_echo,       true },
	{ CLOSES,     "CLOSES",     m_closes,     false },
	{ CALLS_BACK, "CALLS_BACK", m_calls_back, false },
};

static char closed_text[512];

static void on_left_opened(struct rpc_peer *p) { TRUE(p == left); event("left opened"); }

static void on_left_closed(struct rpc_peer *p, const struct err *err)
{
	TRUE(p == left);
	TRUE(err->code != 0);
	memcpy(closed_text, err->text, sizeof closed_text);
	left = NULL;
	event("left closed");
}

static void on_right_opened(struct rpc_peer *p)
{
	right = p;
	event("right opened");
}

static void on_right_closed(struct rpc_peer *p UNUSED, const struct err *err)
{
	memcpy(closed_text, err->text, sizeof closed_text);
	right = NULL;
	event("right closed");
}

static const struct rpc_handlers left_handlers = { methods, ARRAY_LEN(methods), on_left_opened, on_left_closed, NULL };
static const struct rpc_handlers right_handlers = { methods, ARRAY_LEN(methods), on_right_opened, on_right_closed, NULL };

static void on_patience(struct loop_timer *t UNUSED) { FAIL("the loop was still waiting after 30 s; seen: %s", trace); }

static void run_until(const char *what)
{
	struct loop_timer patience = { 0 };
	stop_when = what;
	loop_timer_start(the_loop, &patience, 30 * SEC, on_patience);
	loop_run(the_loop);
	loop_timer_stop(&patience);
}

static void begin_pair(void)
{
	int pair[2];
	the_loop = loop_new();
	EQ_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	left = rpc_adopt(the_loop, pair[0], &left_handlers, NULL);
	right = rpc_adopt(the_loop, pair[1], &right_handlers, NULL);
	run_until("right opened");
}

static void end_pair(void)
{
	rpc_peer_close(left);
	rpc_peer_close(right);
	loop_free(the_loop);
}

struct asked { struct rpc_call call; int code; char text[512]; struct buf reply; const char *name; };

static void on_answer(struct rpc_call *c, struct str reply, const struct err *err)
{
	struct asked *a = container_of(c, struct asked, call);
	a->code = err->code;
	memcpy(a->text, err->text, sizeof a->text);
	buf_init(&a->reply, 64 * MIB);
	buf_str(&a->reply, reply);
	event(a->name);
}

static void ask(struct asked *a, const char *name, uint32_t method, struct str payload, int64_t timeout_us)
{
	a->name = name;
	a->code = 1;
	rpc_call_start(left, &a->call, method, payload, timeout_us, on_answer);
	EQ_INT(a->code, 1);                     /* never answered inside start */
}

TEST(rpc, a_call_is_answered)
{
	struct asked a;
	begin_pair();
	ask(&a, "answered", ECHO, STR("hello"), SEC);
	run_until("answered");
	EQ_INT(a.code, 0);
	EQ_STR(buf_view(&a.reply), "hello");
	EQ_STR(trace, "left opened; right opened; answered; ");
	buf_fini(&a.reply);
	end_pair();
}

TEST(rpc, a_failure_is_answered_with_its_code_and_sentence)
{
	struct asked a;
	begin_pair();
	ask(&a, "answered", FAILS, STR(""), SEC);
	run_until("answered");
	EQ_INT(a.code, E_CONFLICT);
	EQ_STR(a.text, "no, thank you");
	end_pair();
}

TEST(rpc, both_sides_may_call_on_one_connection)
{
	struct asked a;
	begin_pair();
	ask(&a, "answered", CALLS_BACK, STR("x"), SEC);
	run_until("called back");
	HAS(trace, "answered; called back");
	buf_fini(&a.reply);
	end_pair();
}

TEST(rpc, a_one_way_message_arrives_before_a_later_call)
{
	struct asked a;
	begin_pair();
	rpc_send(left, NOTE, STR("noted"));
	ask(&a, "answered", ECHO, STR("x"), SEC);
	run_until("answered");
	HAS(trace, "noted; answered");
	buf_fini(&a.reply);
	end_pair();
}

TEST(rpc, an_unknown_method_is_an_error_and_an_unknown_message_is_ignored)
{
	struct asked a;
	begin_pair();
	rpc_send(left, 999, STR("what"));
	ask(&a, "answered", 998, STR("x"), SEC);
	run_until("answered");
	EQ_INT(a.code, E_UNSUPPORTED);
	EQ_STR(a.text, "RPC method 998 is not known here; are both of the same version?");
	end_pair();
}

TEST(rpc, a_call_times_out_and_its_late_answer_is_ignored)
{
	struct asked a, b;
	begin_pair();
	ask(&a, "first", LATER, STR("x"), 30 * MSEC);
	run_until("first");
	EQ_INT(a.code, E_TIMEOUT);
	EQ_STR(a.text, "call to unix socket: no answer in time");
	rpc_reply(kept, STR("too late"));
	ask(&b, "second", ECHO, STR("y"), SEC);
	run_until("second");
	EQ_STR(buf_view(&b.reply), "y");
	buf_fini(&b.reply);
	end_pair();
}

TEST(rpc, a_cancelled_call_is_never_answered)
{
	struct asked a, b;
	begin_pair();
	ask(&a, "cancelled one", ECHO, STR("x"), SEC);
	ask(&b, "second", ECHO, STR("y"), SEC);
	rpc_call_cancel(&a.call);
	rpc_call_cancel(&a.call);               /* harmless */
	run_until("second");
	EQ_INT(a.code, 1);
	buf_fini(&b.reply);
	end_pair();
}

TEST(rpc, when_the_connection_ends_every_call_fails_and_then_the_owner_hears)
{
	struct asked a, b;
	begin_pair();
	ask(&a, "first", LATER, STR("x"), SEC);
	run_until("asked");
	ask(&b, "second", LATER, STR("x"), SEC);
	rpc_peer_close(MOVE(right));
	run_until("left closed");
	EQ_INT(a.code, E_CLOSED);
	EQ_INT(b.code, E_CLOSED);
	HAS(trace, "first; second; left closed");
	HAS(closed_text, "RPC with unix socket: ");
	rpc_reply(kept, STR("into the void"));
	end_pair();
}

TEST(rpc, an_answer_given_before_a_close_still_arrives)
{
	struct asked a;
	begin_pair();
	ask(&a, "answered", CLOSES, STR("bye"), SEC);
	run_until("left closed");
	EQ_INT(a.code, 0);
	EQ_STR(buf_view(&a.reply), "bye");
	buf_fini(&a.reply);
	end_pair();
}

static void on_answer_close(struct rpc_call *c, struct str reply, const struct err *err)
{
	on_answer(c, reply, err);
	rpc_peer_close(MOVE(left));
}

TEST(rpc, the_owner_may_close_inside_an_answer_while_others_wait)
{
	struct asked a = { .name = "first" }, b = { .name = "second" };
	begin_pair();
	rpc_call_start(left, &a.call, ECHO, STR("1"), SEC, on_answer_close);
	rpc_call_start(left, &b.call, ECHO, STR("2"), SEC, on_answer);
	run_until("right closed");
	HAS(trace, "first; ");
	TRUE(strstr(trace, "second") == NULL);
	buf_fini(&a.reply);
	end_pair();
}

static struct asked second;

static void on_answer_ask_again(struct rpc_call *c UNUSED, struct str reply UNUSED, const struct err *err)
{
	EQ_INT(err->code, E_CLOSED);
	ask(&second, "second", ECHO, STR("y"), SEC);
}

TEST(rpc, a_call_on_a_connection_that_has_just_failed_fails_later_not_at_once)
{
	struct asked a = { .name = "first" };
	begin_pair();
	rpc_call_start(left, &a.call, LATER, STR("x"), 0, on_answer_ask_again);
	run_until("asked");
	rpc_peer_close(MOVE(right));
	run_until("second");
	HAS(trace, "asked; left closed; second; ");
	EQ_INT(second.code, E_CLOSED);
	EQ_STR(second.text, "call: the connection is closed");
	end_pair();
}

TEST(rpc, as_many_calls_as_the_limit_are_sent_and_one_more_is_refused)
{
	static struct asked many[LIMIT_RPC_CALLS], last;
	begin_pair();
	for (size_t i = 0; i < LIMIT_RPC_CALLS; i++)
		ask(&many[i], "one of many", LATER, STR("x"), 0);
	ask(&last, "last", LATER, STR("x"), 0);
	run_until("last");
	EQ_INT(last.code, E_BUSY);
	for (size_t i = 0; i < LIMIT_RPC_CALLS; i++)
		EQ_INT(many[i].code, 1);
	end_pair();
}

TEST(rpc, the_biggest_frame_passes_and_a_byte_more_is_refused_before_it_is_sent)
{
	static struct asked fits, over, after;
	size_t len = LIMIT_RPC_FRAME_BYTES - RPC_HEAD_BYTES;
	char *payload = xmalloc(len + 1);
	memset(payload, 'p', len + 1);
	begin_pair();
	ask(&over, "over", ECHO, str_n(payload, len + 1), 0);
	ask(&fits, "fits", ECHO, str_n(payload, len), 0);
	run_until("fits");
	EQ_INT(over.code, E_TOOBIG);
	EQ_INT(fits.code, 0);
	EQ_INT(fits.reply.len, len);
	EQ_MEM(fits.reply.data, payload, len);
	ask(&after, "after", ECHO, STR("x"), SEC);
	run_until("after");
	EQ_INT(after.code, 0);
	free(payload);
	buf_fini(&fits.reply);
	buf_fini(&after.reply);
	end_pair();
}

/* ---- Raw bytes against a peer ---- */

static int raw;
static const uint8_t *dribble;
static size_t dribble_len;

static void on_dribble(struct loop_timer *t)
{
	if (dribble_len == 0)
		return;
	EQ_INT(write(raw, dribble, 1), 1);
	dribble++;
	dribble_len--;
	loop_timer_start(the_loop, t, 0, on_dribble);
}

static void begin_raw(void)
{
	int pair[2];
	the_loop = loop_new();
	EQ_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	raw = pair[0];
	right = rpc_adopt(the_loop, pair[1], &right_handlers, NULL);
	run_until("right opened");
}

TEST(rpc, frames_that_arrive_byte_by_byte_are_understood)
{
	struct buf b = BUF_INIT;
	struct loop_timer timer = { 0 };
	begin_raw();
	rpc_frame_write(&b, RPC_ONEWAY, 0, NOTE, STR("one"));
	rpc_frame_write(&b, RPC_PING, 0, 0, STR(""));
	rpc_frame_write(&b, RPC_ONEWAY, 0, NOTE, STR("two"));
	dribble = b.data;
	dribble_len = b.len;
	loop_timer_start(the_loop, &timer, 0, on_dribble);
	run_until("two");
	EQ_STR(trace, "right opened; one; two; ");
	buf_fini(&b);
	end_pair();
}

TEST(rpc, rubbish_closes_the_connection_with_a_sentence)
{
	begin_raw();
	EQ_INT(write(raw, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	run_until("right closed");
	HAS(closed_text, "RPC frame of 542393671 bytes: at most 16777216 are allowed");
	end_pair();
}

TEST(rpc, an_answer_nobody_asked_for_is_ignored)
{
	struct buf b = BUF_INIT;
	begin_raw();
	rpc_frame_write(&b, RPC_REPLY, 77, NOTE, STR("surprise"));
	rpc_frame_write(&b, RPC_ONEWAY, 0, NOTE, STR("still here"));
	EQ_INT(write(raw, b.data, b.len), b.len);
	run_until("still here");
	buf_fini(&b);
	end_pair();
}

TEST(rpc, a_silent_peer_is_given_up_after_15_to_22_seconds_and_is_pinged_meanwhile)
{
	uint8_t bytes[256];
	if (test_rounds(1) == 1)
		return;                         /* slow: only with `make soak` */
	begin_raw();
	int64_t start = loop_now_us(the_loop);
	run_until("right closed");
	int64_t waited = loop_now_us(the_loop) - start;
	TRUE(waited >= 15 * SEC && waited <= 22 * SEC);
	HAS(closed_text, "not a sign of life for 15 s");
	ssize_t n = read(raw, bytes, sizeof bytes);
	TRUE(n >= 2 * (RPC_LENGTH_BYTES + RPC_HEAD_BYTES));
	EQ_INT(bytes[4], RPC_PING);
	end_pair();
}

/* ---- Servers ---- */

static struct rpc_server *server;

TEST(rpc, a_server_on_a_unix_socket_trusts_who_can_reach_it)
{
	struct sock_addr a;
	struct asked asked;
	char path[100];
	(void)snprintf(path, sizeof path, "%s/rpc", test_dir());
	the_loop = loop_new();
	EQ_INT(sock_addr_parse(&a, path, 0, &e), 0);
	EQ_INT(rpc_listen(the_loop, &a, NULL, &right_handlers, &trace, &server, &e), 0);
	left = rpc_connect(the_loop, &a, NULL, &left_handlers, NULL);
	ask(&asked, "answered", ECHO, STR("x"), SEC);       /* before it is connected */
	run_until("answered");
	EQ_INT(asked.code, 0);
	TRUE(rpc_peer_arg(right) == &trace);
	buf_fini(&asked.reply);
	rpc_server_free(server);                /* tells `right closed` */
	TRUE(right == NULL);
	run_until("left closed");
	end_pair();
}

static char *ca_pem, *ca_key;

static struct tls_ctx *make_ctx(struct tls_config c, const char *name)
{
	char *cert = NULL, *key = NULL, *csr = NULL;
	struct tls_ctx *t = NULL;
	if (name) {
		EQ_INT(pki_key_new(&key, &e), 0);
		EQ_INT(pki_csr_new(key, name, &csr, &e), 0);
		EQ_INT(pki_sign(ca_pem, ca_key, csr, name, "127.0.0.1", 30, &cert, &e), 0);
		c.cert_pem = cert;
		c.key_pem = key;
	}
	EQ_INT(tls_ctx_new(&c, &t, &e), 0);
	free(cert); free(key); free(csr);
	return t;
}

static struct tls_ctx *server_tls, *client_tls;

static void begin_tls(const char *client_name)
{
	struct sock_addr a;
	EQ_INT(pki_ca_new("test CA", &ca_pem, &ca_key, &e), 0);
	server_tls = make_ctx((struct tls_config){ .server = true, .tls13_only = true, .verify = TLS_VERIFY_OPTIONAL, .ca_pem = ca_pem },
			      "m1");
	client_tls = make_ctx((struct tls_config){ .tls13_only = true, .verify = TLS_VERIFY_REQUIRED, .ca_pem = ca_pem }, client_name);
	the_loop = loop_new();
	EQ_INT(sock_addr_parse(&a, "127.0.0.1", 0, &e), 0);
	EQ_INT(rpc_listen(the_loop, &a, server_tls, &right_handlers, NULL, &server, &e), 0);
	EQ_INT(sock_addr_parse(&a, "127.0.0.1", rpc_server_port(server), &e), 0);
	left = rpc_connect(the_loop, &a, client_tls, &left_handlers, NULL);
}

static void end_tls(void)
{
	rpc_peer_close(left);
	rpc_server_free(server);
	tls_ctx_free(server_tls);
	tls_ctx_free(client_tls);
	free(ca_pem);
	free(ca_key);
	loop_free(the_loop);
}

TEST(rpc, over_mutual_tls_both_know_each_others_name_and_both_may_call)
{
	struct asked a;
	char name[64];
	begin_tls("a1");
	ask(&a, "answered", CALLS_BACK, STR("x"), SEC);
	run_until("called back");
	TRUE(rpc_peer_name(left, name, sizeof name));
	EQ_STR(name, "m1");
	TRUE(rpc_peer_name(right, name, sizeof name));
	EQ_STR(name, "a1");
	struct sock_addr addr;
	rpc_peer_addr(right, &addr);
	EQ_INT(sock_addr_ip4(&addr), 0x7f000001);
	buf_fini(&a.reply);
	end_tls();
}

TEST(rpc, without_a_certificate_only_anonymous_methods_are_served)
{
	struct asked a, b;
	char name[64];
	begin_tls(NULL);
	rpc_send(left, NOTE, STR("must not arrive"));
	ask(&a, "echo", ECHO, STR("x"), SEC);
	ask(&b, "join", JOIN, STR("y"), SEC);
	run_until("join");
	EQ_INT(a.code, E_UNAUTHORIZED);
	EQ_STR(a.text, "RPC method ECHO needs a certificate of this cluster; join it first");
	EQ_INT(b.code, 0);
	EQ_STR(buf_view(&b.reply), "y");
	FALSE(rpc_peer_name(right, name, sizeof name));
	TRUE(strstr(trace, "must not arrive") == NULL);
	buf_fini(&b.reply);
	end_tls();
}

TEST(rpc, without_a_certificate_a_frame_is_bounded_tightly)
{
	struct asked a, b;
	size_t len = LIMIT_RPC_ANONYMOUS_BYTES - RPC_HEAD_BYTES;
	char *payload = xcalloc(1, len + 1);
	begin_tls(NULL);
	ask(&a, "fits", JOIN, str_n(payload, len), SEC);
	run_until("fits");
	EQ_INT(a.code, 0);
	ask(&b, "over", JOIN, str_n(payload, len + 1), SEC);
	run_until("left closed");
	EQ_INT(b.code, E_CLOSED);
	HAS(trace, "right closed");
	buf_fini(&a.reply);
	free(payload);
	end_tls();
}

TEST(rpc, nobody_listening_is_told_with_the_address)
{
	struct sock_addr a;
	the_loop = loop_new();
	EQ_INT(sock_addr_parse(&a, "127.0.0.1", 1, &e), 0);
	left = rpc_connect(the_loop, &a, NULL, &left_handlers, NULL);
	TRUE(left != NULL);
	run_until("left closed");
	EQ_STR(closed_text, "connect to 127.0.0.1:1: Connection refused");
	loop_free(the_loop);
}
