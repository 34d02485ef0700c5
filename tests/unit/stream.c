/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, streams over real sockets, and TLS under them. */
#include <stdio.h>

#include "net/limits.h"
#include "net/stream.h"
#include "net/tls.h"
#include "tests/lib/test.h"

#define PATIENCE (20 * SEC)

static struct loop *the_loop;
static struct err e;

/* ---- Addresses ---- */

static const char *round_trip(const char *text, uint16_t default_port)
{
	static char out[SOCK_ADDR_TEXT];
	struct sock_addr a;
	if (sock_addr_parse_hostport(&a, text, default_port, &e) != 0)
		return e.text;
	sock_addr_text(&a, out);
	return out;
}

TEST(sock, addresses_are_read_and_written)
{
	EQ_STR(round_trip("1.2.3.4:80", 1), "1.2.3.4:80");
	EQ_STR(round_trip("1.2.3.4", 5060), "1.2.3.4:5060");
	EQ_STR(round_trip("[::1]:443", 1), "[::1]:443");
	EQ_STR(round_trip("[fd00::2]", 7), "[fd00::2]:7");
	EQ_STR(round_trip("fd00::2", 7), "[fd00::2]:7");
	EQ_STR(round_trip("/run/x.sock", 7), "/run/x.sock");
	EQ_STR(round_trip("1.2.3.4:65536", 1), "'1.2.3.4:65536' has no port between 0 and 65535 behind its colon");
	EQ_STR(round_trip("1.2.3.4:", 1), "'1.2.3.4:' has no port between 0 and 65535 behind its colon");
	EQ_STR(round_trip("1.2.3", 1), "'1.2.3' is not an IP address");
	EQ_STR(round_trip("", 1), "'' is not an IP address");
}

TEST(sock, a_socket_path_that_is_too_long_is_refused)
{
	struct sock_addr a;
	char path[110];
	memset(path, 'p', sizeof path);
	path[0] = '/';
	path[107] = '\0';
	EQ_INT(sock_addr_parse(&a, path, 0, &e), 0);
	path[107] = 'p';
	path[108] = '\0';
	EQ_INT(sock_addr_parse(&a, path, 0, &e), E_INVALID);
}

TEST(sock, a_stale_socket_file_is_replaced_and_a_live_one_is_not)
{
	struct sock_addr a;
	char path[100];
	int first, second;
	(void)snprintf(path, sizeof path, "%s/s", test_dir());
	EQ_INT(sock_addr_parse(&a, path, 0, &e), 0);
	EQ_INT(sock_listen(&a, SOCK_STREAM, &first, &e), 0);
	EQ_INT(sock_listen(&a, SOCK_STREAM, &second, &e), E_BUSY);
	(void)close(first);
	EQ_INT(sock_listen(&a, SOCK_STREAM, &second, &e), 0);
}

TEST(sock, an_address_in_use_is_named)
{
	struct sock_addr a;
	int first, second;
	char text[SOCK_ADDR_TEXT];
	EQ_INT(sock_addr_parse(&a, "127.0.0.1", 0, &e), 0);
	EQ_INT(sock_listen(&a, SOCK_STREAM, &first, &e), 0);
	EQ_INT(sock_local_addr(first, &a, &e), 0);
	sock_addr_text(&a, text);
	EQ_INT(sock_listen(&a, SOCK_STREAM, &second, &e), E_BUSY);
	HAS(e.text, text);
}

static bool looked_up;
static void on_lookup(struct sock_lookup *op UNUSED)
{
	looked_up = true;
	loop_stop(the_loop);
}

static void on_patience(struct loop_timer *t UNUSED) { FAIL("the loop was still waiting after 20 s"); }

static void run(void)
{
	struct loop_timer patience = { 0 };
	loop_timer_start(the_loop, &patience, PATIENCE, on_patience);
	loop_run(the_loop);
	loop_timer_stop(&patience);
}

TEST(sock, look_up_of_a_literal_and_of_a_name_from_the_hosts_file)
{
	struct sock_lookup op;
	the_loop = loop_new();
	sock_lookup_start(the_loop, &op, "10.1.2.3", 80, on_lookup);
	FALSE(looked_up);
	run();
	EQ_INT(op.err.code, 0);
	EQ_INT(sock_addr_ip4(&op.addr), 0x0a010203);
	sock_lookup_start(the_loop, &op, "localhost", 80, on_lookup);
	run();
	EQ_INT(op.err.code, 0);
	EQ_INT(sock_addr_ip4(&op.addr), 0x7f000001);
	EQ_INT(sock_addr_port(&op.addr), 80);
	loop_free(the_loop);
}

static void on_look_done(struct loop_timer *t UNUSED) { loop_stop(the_loop); }

TEST(sock, a_cancelled_look_up_is_never_heard_of)
{
	struct sock_lookup *op = xmalloc(sizeof *op);
	struct loop_timer stop = { 0 };
	the_loop = loop_new();
	sock_lookup_start(the_loop, op, "localhost", 80, on_lookup);
	sock_lookup_cancel(op);
	free(op);
	loop_timer_start(the_loop, &stop, 50 * MSEC, on_look_done);
	run();
	FALSE(looked_up);
	loop_free(the_loop);
}

/* ---- One stream connected to another through a listener, plain or TLS ---- */

struct end {
	struct stream *s;
	struct buf got;
	bool opened, eof, closed, drained;
	int closed_code;
	char closed_text[512];
	size_t want;                    /* stop the loop when so much has arrived */
	bool (*on_data)(struct end *end);
};
static struct end client, server;
static int listen_fd = -1;
static struct sock_addr listen_addr;
static struct tls_ctx *server_tls, *client_tls;
static bool in_owner_call;              /* no callback may come while the owner calls a stream function */
static const char *stop_when = "";      /* the event that ends run() */

static void event(struct end *end, const char *what)
{
	char name[64];
	FALSE(in_owner_call);
	(void)snprintf(name, sizeof name, "%s %s", end == &client ? "client" : "server", what);
	if (strcmp(name, stop_when) == 0)
		loop_stop(the_loop);
}

static void on_opened(struct stream *s)
{
	struct end *end = stream_arg(s);
	end->opened = true;
	event(end, "opened");
}

static void on_data(struct stream *s)
{
	struct end *end = stream_arg(s);
	if (end->on_data && !end->on_data(end))
		return;
	buf_append(&end->got, stream_in(s)->data, stream_in(s)->len);
	buf_drop(stream_in(s), stream_in(s)->len);
	if (end->want && end->got.len >= end->want)
		event(end, "full");
	event(end, "data");
}

static void on_drained(struct stream *s)
{
	struct end *end = stream_arg(s);
	end->drained = true;
	event(end, "drained");
}

static void on_eof(struct stream *s)
{
	struct end *end = stream_arg(s);
	end->eof = true;
	event(end, "eof");
}

static void on_closed(struct stream *s, const struct err *err)
{
	struct end *end = stream_arg(s);
	FALSE(end->closed);
	end->closed = true;
	end->closed_code = err->code;
	(void)snprintf(end->closed_text, sizeof end->closed_text, "%s", err->text);
	stream_free(s);
	end->s = NULL;
	event(end, "closed");
}

static const struct stream_events events = {
	.opened = on_opened, .data = on_data, .drained = on_drained, .eof = on_eof, .closed = on_closed,
};
static const struct stream_events events_without_eof = { .opened = on_opened, .data = on_data, .closed = on_closed };

static void on_accept(struct loop_fd *w UNUSED, int ev UNUSED)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	TRUE(fd >= 0);
	stream_free(server.s);          /* a test may connect twice */
	server.s = stream_accepted(the_loop, fd, server_tls, &events, &server);
	event(&server, "accepted");
}

static struct loop_fd *accept_watch;

static void begin(const char *server_name)
{
	the_loop = loop_new();
	buf_init(&client.got, 64 * MIB);
	buf_init(&server.got, 64 * MIB);
	EQ_INT(sock_addr_parse(&listen_addr, "127.0.0.1", 0, &e), 0);
	EQ_INT(sock_listen(&listen_addr, SOCK_STREAM, &listen_fd, &e), 0);
	EQ_INT(sock_local_addr(listen_fd, &listen_addr, &e), 0);
	accept_watch = loop_fd_new(the_loop, listen_fd, LOOP_READ, on_accept, NULL);
	client.s = stream_connect(the_loop, &listen_addr, client_tls, server_name, 5 * SEC, &events, &client);
}

static void run_until(const char *what)
{
	stop_when = what;
	run();
}

static void end_all(void)
{
	stream_free(client.s);
	stream_free(server.s);
	loop_fd_free(accept_watch);
	(void)close(listen_fd);
	buf_fini(&client.got);
	buf_fini(&server.got);
	tls_ctx_free(server_tls);
	tls_ctx_free(client_tls);
	loop_free(the_loop);
}

static void write_to(struct end *end, const void *data, size_t len)
{
	in_owner_call = true;
	stream_write(end->s, data, len);
	in_owner_call = false;
}

TEST(stream, bytes_go_both_ways)
{
	begin(NULL);
	write_to(&client, "ping", 4);           /* before it is connected: waits */
	run_until("server data");
	TRUE(client.opened);
	FALSE(server.opened);
	EQ_STR(buf_view(&server.got), "ping");
	write_to(&server, "pong", 4);
	run_until("client data");
	EQ_STR(buf_view(&client.got), "pong");
	end_all();
}

static uint8_t pattern_at(size_t i) { return (uint8_t)(i * 31 + (i >> 8) * 7); }

static void write_pattern(struct end *end, size_t len)
{
	uint8_t *data = xmalloc(len);
	for (size_t i = 0; i < len; i++)
		data[i] = pattern_at(i);
	write_to(end, data, len);
	free(data);
}

static void check_pattern(const struct buf *got, size_t len)
{
	EQ_INT(got->len, len);
	for (size_t i = 0; i < len; i++)
		if (got->data[i] != pattern_at(i))
			FAIL("byte %zu is %d", i, got->data[i]);
}

#define BIG ((size_t)(20 * MIB))

/* Far more than a socket holds: partial writes, and the watermarks. */
static void big_transfer(void)
{
	run_until("client opened");
	if (!server.s)
		run_until("server accepted");
	stream_pause(server.s, true);
	write_pattern(&client, BIG);
	TRUE(stream_full(client.s));
	FALSE(client.drained);
	server.want = BIG;
	stream_pause(server.s, false);
	run_until("server full");
	check_pattern(&server.got, BIG);
	if (!client.drained)
		run_until("client drained");
	FALSE(stream_full(client.s));
	EQ_INT(stream_backlog(client.s), 0);
}

TEST(stream, much_more_than_a_socket_holds_arrives_whole_and_drained_is_told)
{
	begin(NULL);
	big_transfer();
	end_all();
}

static struct loop_timer wait_timer;
static void on_wait(struct loop_timer *t UNUSED) { loop_stop(the_loop); }
static void run_for(int64_t us)
{
	loop_timer_start(the_loop, &wait_timer, us, on_wait);
	stop_when = "";
	run();
}

TEST(stream, a_paused_stream_reads_nothing_and_its_writer_is_held_up)
{
	begin(NULL);
	run_until("server accepted");
	stream_pause(server.s, true);
	write_pattern(&client, BIG);
	run_for(100 * MSEC);
	EQ_INT(server.got.len, 0);
	TRUE(stream_full(client.s));
	TRUE(stream_backlog(client.s) > 0);
	end_all();
}

static bool leave_it(struct end *end UNUSED)
{
	stream_pause(end->s, true);
	event(end, "left");
	return false;
}

TEST(stream, bytes_left_by_the_owner_are_offered_again_after_an_unpause)
{
	begin(NULL);
	write_to(&client, "hello", 5);
	run_until("server accepted");
	server.on_data = leave_it;
	run_until("server left");
	EQ_INT(stream_in(server.s)->len, 5);
	server.on_data = NULL;
	stream_pause(server.s, false);
	run_until("server data");
	EQ_STR(buf_view(&server.got), "hello");
	end_all();
}

TEST(stream, after_a_shutdown_the_other_side_may_still_write)
{
	begin(NULL);
	write_to(&client, "last words", 10);
	stream_shutdown(client.s);
	run_until("server eof");
	EQ_STR(buf_view(&server.got), "last words");
	write_to(&server, "answer", 6);
	stream_shutdown(server.s);
	run_until("client closed");
	EQ_STR(buf_view(&client.got), "answer");
	EQ_INT(client.closed_code, 0);
	TRUE(server.closed || server.s);
	end_all();
}

TEST(stream, an_owner_without_eof_hears_closed_with_code_0_when_the_peer_ends)
{
	begin(NULL);
	stream_set(client.s, &events_without_eof, &client);
	run_until("server accepted");
	write_to(&server, "bye", 3);
	stream_close_after_flush(MOVE(server.s));
	run_until("client closed");
	EQ_STR(buf_view(&client.got), "bye");
	EQ_INT(client.closed_code, 0);
	end_all();
}

TEST(stream, close_after_flush_delivers_everything_though_the_peer_has_ended_its_side)
{
	begin(NULL);
	stream_shutdown(client.s);
	run_until("server eof");
	write_pattern(&server, BIG);
	stream_close_after_flush(MOVE(server.s));
	client.want = BIG;
	run_until("client closed");
	check_pattern(&client.got, BIG);
	EQ_INT(client.closed_code, 0);
	end_all();
}

TEST(stream, a_refused_connection_is_told_with_the_address)
{
	char want[256], text[SOCK_ADDR_TEXT];
	begin(NULL);
	stream_free(client.s);
	loop_fd_free(MOVE(accept_watch));
	(void)close(listen_fd);
	listen_fd = -1;
	in_owner_call = true;
	client.s = stream_connect(the_loop, &listen_addr, NULL, NULL, 5 * SEC, &events, &client);
	in_owner_call = false;
	run_until("client closed");
	sock_addr_text(&listen_addr, text);
	(void)snprintf(want, sizeof want, "connect to %s: Connection refused", text);
	EQ_STR(client.closed_text, want);
	EQ_INT(client.closed_code, E_IO);
	end_all();
}

TEST(stream, an_address_that_cannot_be_connected_to_is_told_later_not_at_once)
{
	struct sock_addr a;
	the_loop = loop_new();
	EQ_INT(sock_addr_parse(&a, "/does/not/exist", 0, &e), 0);
	in_owner_call = true;
	client.s = stream_connect(the_loop, &a, NULL, NULL, 5 * SEC, &events, &client);
	in_owner_call = false;
	run_until("client closed");
	EQ_STR(client.closed_text, "connect to /does/not/exist: No such file or directory");
	loop_free(the_loop);
}

TEST(stream, a_silent_server_fails_the_handshake_in_time)
{
	struct tls_config c = { .verify = TLS_VERIFY_NONE };
	EQ_INT(tls_ctx_new(&c, &client_tls, &e), 0);
	begin(NULL);
	stream_free(client.s);
	client.s = stream_connect(the_loop, &listen_addr, client_tls, NULL, 100 * MSEC, &events, &client);
	run_until("client closed");
	EQ_INT(client.closed_code, E_TIMEOUT);
	HAS(client.closed_text, "TLS handshake with 127.0.0.1:");
	end_all();
}

static bool free_it(struct end *end)
{
	stream_free(end->s);
	end->s = NULL;
	event(end, "freed");
	return false;
}

TEST(stream, it_may_be_freed_inside_its_callback_and_calls_nobody_afterwards)
{
	begin(NULL);
	run_until("server accepted");
	server.on_data = free_it;
	write_to(&client, "x", 1);
	run_until("server freed");
	run_until("client eof");
	FALSE(server.closed);
	end_all();
}

TEST(stream, a_peer_that_is_gone_is_closed_with_a_sentence)
{
	begin(NULL);
	run_until("server accepted");
	const struct linger hard = { .l_onoff = 1 };
	EQ_INT(setsockopt(stream_fd(server.s), SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
	stream_free(MOVE(server.s));
	run_until("client closed");
	EQ_INT(client.closed_code, E_CLOSED);
	EQ_STR(client.closed_text, "read: the peer has closed the connection");
	end_all();
}

/* ---- TLS ---- */

static char *ca_pem, *ca_key;

static void make_cert(const char *name, const char *alt, char **cert, char **key)
{
	char *csr = NULL;
	EQ_INT(pki_key_new(key, &e), 0);
	EQ_INT(pki_csr_new(*key, name, &csr, &e), 0);
	EQ_INT(pki_sign(ca_pem, ca_key, csr, name, alt, 30, cert, &e), 0);
	free(csr);
}

static struct tls_ctx *make_ctx(struct tls_config c, const char *name)
{
	char *cert = NULL, *key = NULL;
	struct tls_ctx *t = NULL;
	if (name) {
		make_cert(name, "127.0.0.1,server.example", &cert, &key);
		c.cert_pem = cert;
		c.key_pem = key;
	}
	if (tls_ctx_new(&c, &t, &e) != 0)
		FAIL("%s", e.text);
	free(cert);
	free(key);
	return t;
}

static void begin_ca(void) { EQ_INT(pki_ca_new("test CA", &ca_pem, &ca_key, &e), 0); }

static void end_tls(void)
{
	free(ca_pem);
	free(ca_key);
	end_all();
}

#define SERVER(v) (struct tls_config){ .server = true, .verify = (v), .ca_pem = ca_pem }
#define CLIENT (struct tls_config){ .verify = TLS_VERIFY_REQUIRED, .ca_pem = ca_pem }

TEST(tls, both_sides_know_the_others_verified_name)
{
	char name[64];
	uint8_t digest[32];
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_OPTIONAL), "m1");
	client_tls = make_ctx(CLIENT, "a1");
	begin(NULL);
	write_to(&client, "hello", 5);
	run_until("server data");
	EQ_STR(buf_view(&server.got), "hello");
	TRUE(server.opened && client.opened);
	TRUE(tls_peer_name(stream_tls(server.s), name, sizeof name));
	EQ_STR(name, "a1");
	TRUE(tls_peer_name(stream_tls(client.s), name, sizeof name));
	EQ_STR(name, "m1");
	TRUE(tls_peer_key_sha256(stream_tls(server.s), digest));
	FALSE(tls_peer_name(stream_tls(server.s), name, 2));    /* does not fit */
	end_tls();
}

TEST(tls, much_data_of_the_client_arrives_whole)
{
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_NONE), "m1");
	client_tls = make_ctx(CLIENT, NULL);
	begin(NULL);
	big_transfer();
	end_tls();
}

TEST(tls, much_data_of_the_server_arrives_whole)
{
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_NONE), "m1");
	client_tls = make_ctx(CLIENT, NULL);
	begin(NULL);
	run_until("client opened");
	if (!server.opened)
		run_until("server opened");
	write_pattern(&server, BIG);
	client.want = BIG;
	run_until("client full");
	check_pattern(&client.got, BIG);
	end_tls();
}

TEST(tls, a_client_without_certificate_is_let_in_without_a_name_when_that_is_optional)
{
	char name[64];
	uint8_t digest[32];
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_OPTIONAL), "m1");
	client_tls = make_ctx(CLIENT, NULL);
	begin(NULL);
	write_to(&client, "join", 4);
	run_until("server data");
	FALSE(tls_peer_name(stream_tls(server.s), name, sizeof name));
	FALSE(tls_peer_key_sha256(stream_tls(server.s), digest));
	end_tls();
}

TEST(tls, a_client_without_certificate_is_refused_when_one_is_required)
{
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_REQUIRED), "m1");
	client_tls = make_ctx(CLIENT, NULL);
	begin(NULL);
	run_until("server closed");
	HAS(server.closed_text, "TLS handshake with a client: ");
	FALSE(server.opened);
	if (!client.closed)
		run_until("client closed");
	TRUE(client.closed_code != 0);
	end_tls();
}

TEST(tls, a_certificate_of_another_ca_gives_no_name)
{
	char name[64];
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_OPTIONAL), "m1");
	struct tls_config c = CLIENT;
	char *first_ca = MOVE(ca_pem);
	c.ca_pem = first_ca;
	free(ca_key);
	begin_ca();                             /* the client's own certificate comes from here */
	client_tls = make_ctx(c, "intruder");
	free(first_ca);
	begin(NULL);
	write_to(&client, "hello", 5);
	run_until("server data");
	FALSE(tls_peer_name(stream_tls(server.s), name, sizeof name));
	end_tls();
}

TEST(tls, a_server_of_another_ca_is_refused_with_the_reason)
{
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_NONE), "m1");
	free(ca_pem);
	free(ca_key);
	begin_ca();
	client_tls = make_ctx(CLIENT, NULL);
	begin(NULL);
	run_until("client closed");
	EQ_INT(client.closed_code, E_DENIED);
	HAS(client.closed_text, "the peer's certificate is not accepted: The certificate is not correctly signed by the trusted CA");
	FALSE(client.opened);
	end_tls();
}

TEST(tls, the_servers_name_must_be_in_its_certificate)
{
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_NONE), "m1");
	client_tls = make_ctx(CLIENT, NULL);
	begin("other.example");
	run_until("client closed");
	EQ_INT(client.closed_code, E_DENIED);
	HAS(client.closed_text, "does not match with the expected CN");
	end_tls();
}

TEST(tls, a_server_is_accepted_by_its_name)
{
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_NONE), "m1");
	client_tls = make_ctx(CLIENT, NULL);
	begin("server.example");
	run_until("client opened");
	end_tls();
}

static void begin_pinned(uint8_t flip)
{
	uint8_t pin[32];
	begin_ca();
	EQ_INT(pki_cert_sha256(ca_pem, pin, &e), 0);
	pin[7] ^= flip;
	server_tls = make_ctx(SERVER(TLS_VERIFY_OPTIONAL), "m1");
	client_tls = make_ctx((struct tls_config){ .tls13_only = true, .verify = TLS_VERIFY_REQUIRED, .pin_ca_sha256 = pin }, NULL);
	begin(NULL);
}

TEST(tls, a_joiner_accepts_the_ca_whose_digest_it_was_given)
{
	char name[64];
	begin_pinned(0);
	run_until("client opened");
	TRUE(tls_peer_name(stream_tls(client.s), name, sizeof name));
	EQ_STR(name, "m1");
	end_tls();
}

TEST(tls, a_joiner_refuses_any_other_ca)
{
	begin_pinned(1);
	run_until("client closed");
	EQ_INT(client.closed_code, E_DENIED);
	FALSE(client.opened);
	end_tls();
}

/* The real CA sent along behind a leaf that it has not signed. */
TEST(tls, a_joiner_refuses_a_leaf_that_the_pinned_ca_has_not_signed)
{
	uint8_t pin[32];
	begin_ca();
	char *real_ca = MOVE(ca_pem);
	free(ca_key);
	EQ_INT(pki_cert_sha256(real_ca, pin, &e), 0);
	begin_ca();                             /* of the same name */
	struct tls_config c = SERVER(TLS_VERIFY_NONE);
	c.ca_pem = real_ca;
	server_tls = make_ctx(c, "m1");
	client_tls = make_ctx((struct tls_config){ .verify = TLS_VERIFY_REQUIRED, .pin_ca_sha256 = pin }, NULL);
	free(real_ca);
	begin(NULL);
	run_until("client closed");
	EQ_INT(client.closed_code, E_DENIED);
	FALSE(client.opened);
	end_tls();
}

TEST(tls, a_key_of_another_certificate_is_refused_at_once)
{
	char *cert = NULL, *key = NULL, *other = NULL;
	begin_ca();
	make_cert("m1", NULL, &cert, &key);
	EQ_INT(pki_key_new(&other, &e), 0);
	struct tls_config c = { .server = true, .cert_pem = cert, .key_pem = other };
	EQ_INT(tls_ctx_new(&c, &server_tls, &e), E_CORRUPT);
	EQ_STR(e.text, "our own certificate and key do not belong together");
	free(cert); free(key); free(other); free(ca_pem); free(ca_key);
}

TEST(tls, an_orderly_end_is_eof_and_a_cut_is_an_error)
{
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_NONE), "m1");
	client_tls = make_ctx(CLIENT, NULL);
	begin(NULL);
	write_to(&client, "bye", 3);
	stream_shutdown(client.s);
	run_until("server eof");
	EQ_STR(buf_view(&server.got), "bye");
	stream_free(MOVE(server.s));            /* no close_notify */
	run_until("client closed");
	EQ_INT(client.closed_code, E_CLOSED);
	end_tls();
}

TEST(tls, what_is_no_tls_is_refused)
{
	begin_ca();
	server_tls = make_ctx(SERVER(TLS_VERIFY_NONE), "m1");
	begin(NULL);                            /* a plain client */
	write_to(&client, "GET / HTTP/1.1\r\n\r\n", 18);
	run_until("server closed");
	HAS(server.closed_text, "TLS handshake with a client: ");
	end_tls();
}
