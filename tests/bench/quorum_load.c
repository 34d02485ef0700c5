/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for a quorum of masters, over net/rpc on one connection:
 *
 *   quorum_load STATE-DIR MASTERS write COUNT IN-FLIGHT BYTES [KEYS]    change keys, prints "seconds per-second p50-us p99-us"
 *   quorum_load STATE-DIR MASTERS read  COUNT IN-FLIGHT                 linearizable reads of what was written, the same
 *   quorum_load STATE-DIR MASTERS probe                                 one write after the other until killed, each repeated until
 *                                                                       it is acknowledged; prints "sent-us acknowledged-us", wall clock
 *
 * STATE-DIR is that of a node of the cluster, whose certificate is used; MASTERS are IP:PORT,IP:PORT…; write and read find the
 * one that leads by writing to each.
 */
#include <stdio.h>

#include "net/base/time.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "roles/cli/kv_client.h"

#define MASTERS_MAX 7
#define IN_FLIGHT_MAX 4096
#define WAIT_US (30 * SEC)

static struct loop *loop;
static struct tls_ctx *tls;
static struct sock_addr masters[MASTERS_MAX];
static size_t master_count;

static void die(const char *what, const struct err *e)
{
	(void)fprintf(stderr, "quorum_load: %s: %s\n", what, e->text);
	exit(1);
}

/* ---- many in flight ---- */

struct slot {
	struct rpc_call call;
	int64_t begun_us;
};

static struct load {
	bool read;
	size_t count, started, finished, keys;
	struct rpc_peer *peer;
	struct slot slots[IN_FLIGHT_MAX];
	char *value;
	size_t value_bytes;
	double *latency_us;      /* one a call */
	struct buf request;
} load;

static void begin(struct slot *s);

static void on_answer(struct rpc_call *c, struct str reply, const struct err *e)
{
	struct slot *s = container_of(c, struct slot, call);
	if (e->code != 0)
		die("a call failed", e);
	if (reply.len == 0)
		die("a call failed", &(struct err){ .text = "the answer is empty" });
	load.latency_us[load.finished++] = (double)(time_now_us() - s->begun_us);
	if (load.started < load.count)
		begin(s);
	else if (load.finished == load.count)
		loop_stop(loop);
}

static void begin(struct slot *s)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct err e = { 0 };
	char key[64];
	(void)snprintf(key, sizeof(key), "bench/%08zu", load.started++ % load.keys);
	keyval_Op op = { .key = key, .value = load.read ? NULL : pb_bytes_put(&a, str_n(load.value, load.value_bytes)) };
	keyval_Change change = { .ops_count = 1, .ops = &op };
	keyval_Call call = { .change = load.read ? NULL : &change, .get = load.read ? key : NULL, .has_timeout_us = true, .timeout_us = WAIT_US };
	buf_reset(&load.request);
	if (pb_write(keyval_Call_fields, &call, &load.request, &e) != 0)
		die("encode", &e);
	s->begun_us = time_now_us();
	rpc_call_start(load.peer, &s->call, dcos_Method_KV_CALL, buf_view(&load.request), 0, on_answer);
}

static void on_open(struct rpc_peer *p)
{
	(void)p;
	loop_stop(loop);
}

static void on_closed(struct rpc_peer *p, const struct err *e)
{
	(void)p;
	die("connection", e);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void run_load(size_t leader, size_t in_flight)
{
	static const struct rpc_handlers handlers = { .opened = on_open, .closed = on_closed };
	load.latency_us = xcalloc(load.count, sizeof(double));
	buf_init(&load.request, BUF_MAX_DEFAULT);
	load.peer = rpc_connect(loop, &masters[leader], tls, &handlers, NULL);
	loop_run(loop);
	int64_t begun = time_now_us();
	for (size_t i = 0; i < in_flight && load.started < load.count; i++)
		begin(&load.slots[i]);
	loop_run(loop);
	double seconds = (double)(time_now_us() - begun) / 1e6;
	qsort(load.latency_us, load.count, sizeof(double), compare);
	printf("%.3f %.0f %.0f %.0f\n", seconds, (double)load.count / seconds, load.latency_us[load.count / 2],
	       load.latency_us[load.count * 99 / 100]);
	rpc_peer_close(load.peer);
	free(load.latency_us);
	buf_fini(&load.request);
}

/* ---- the one that leads answers a write itself: it takes a forwarded one ---- */

static struct err found_err;
static void on_found(void *arg, const keyval_Answer *a, const struct err *e, bool unknown)
{
	(void)arg;
	(void)a;
	(void)unknown;
	found_err = *e;
	loop_stop(loop);
}

static size_t find_leader(void)
{
	keyval_Op op = { .key = "bench/leader" };
	keyval_Change change = { .ops_count = 1, .ops = &op };
	keyval_Call call = { .change = &change, .has_forwarded = true, .forwarded = true };
	int64_t until = time_now_us() + WAIT_US;
	for (size_t i = 0; time_now_us() < until; i++) {
		struct kv_client *c = kv_client_new(&(struct kv_client_config){
			.loop = loop, .tls = tls, .masters = &masters[i % master_count], .count = 1 });
		kv_client_call(c, &call, 100 * MSEC, on_found, NULL);
		loop_run(loop);
		kv_client_free(c);
		if (found_err.code == 0)
			return i % master_count;
	}
	die("no master leads", &found_err);
	return 0;
}

/* ---- one after the other, whatever happens ---- */

static struct probe {
	struct kv_client *client;
	uint64_t id, serial;
	int64_t sent_us;
} probe;

static void probe_next(void);

static void on_acknowledged(void *arg, const keyval_Answer *a, const struct err *e, bool unknown)
{
	(void)arg;
	(void)a;
	(void)unknown;
	if (e->code != 0)
		die("a write was not acknowledged", e);
	printf("%lld %lld\n", (long long)probe.sent_us, (long long)time_unix_us());
	(void)fflush(stdout);
	probe_next();
}

static void probe_next(void)
{
	keyval_Op op = { .key = "bench/probe" };
	keyval_Change change = { .ops_count = 1, .ops = &op };
	keyval_Call call = {
		.change = &change, .has_client = true, .client = probe.id, .has_serial = true, .serial = ++probe.serial,
		.has_timeout_us = true, .timeout_us = SEC,
	};
	probe.sent_us = time_unix_us();
	kv_client_call(probe.client, &call, WAIT_US, on_acknowledged, NULL);
}

static void run_probe(void)
{
	probe.id = rnd_u64(loop_rnd(loop)) | 1;
	probe.client = kv_client_new(&(struct kv_client_config){
		.loop = loop, .tls = tls, .masters = masters, .count = master_count, .attempt_us = SEC });
	probe_next();
	loop_run(loop);
}

/* ---- */

static size_t number(const char *text)
{
	uint64_t n;
	if (!str_u64(str_of(text), &n) || n == 0)
		die(text, &(struct err){ .text = "wants a number above 0" });
	return (size_t)n;
}

static void read_masters(const char *text)
{
	struct err e = { 0 };
	struct str rest = str_of(text);
	while (rest.p && master_count < MASTERS_MAX) {
		AUTO_FREE char *one = str_dup(str_cut(&rest, ','));
		if (sock_addr_parse_hostport(&masters[master_count++], one, 5060, &e) != 0)
			die(one, &e);
	}
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	const char *mode = argc > 3 ? argv[3] : "";
	load.read = strcmp(mode, "read") == 0;
	if (!(load.read ? argc >= 6 : strcmp(mode, "write") == 0 ? argc >= 7 : strcmp(mode, "probe") == 0)) {
		(void)fputs("usage: quorum_load STATE-DIR MASTERS write COUNT IN-FLIGHT BYTES [KEYS] | read COUNT IN-FLIGHT [KEYS] | probe\n", stderr);
		return 2;
	}
	loop = loop_new();
	if (kv_client_identity(argv[1], &tls, &e) != 0)
		die("identity", &e);
	read_masters(argv[2]);
	if (strcmp(mode, "probe") == 0) {
		run_probe();
		return 0;
	}
	int keys_at = load.read ? 6 : 7;
	load.count = number(argv[4]);
	load.value_bytes = load.read ? 0 : number(argv[6]);
	load.value = xcalloc(1, load.value_bytes + 1);
	memset(load.value, 'v', load.value_bytes);
	load.keys = argc > keys_at ? number(argv[keys_at]) : 10000;
	run_load(find_leader(), MIN(number(argv[5]), (size_t)IN_FLIGHT_MAX));
	free(load.value);
	tls_ctx_free(tls);
	loop_free(loop);
	return 0;
}
