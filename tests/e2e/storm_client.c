/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clients of tests/e2e/storm.sh: read, write and compare-and-set a few keys on whatever master answers, and write down what they
 * saw in the form that build/musl/linear checks.
 *
 *   storm_client STATE-DIR MASTERS SECONDS SEED FILE [CLIENTS]
 *
 * Keys are new every EPOCH_US, so that a history stays short enough to be searched; at the end every key is read once more from
 * every master. Every value is written by one operation only, so a compare-and-set by revision is one by value. Half of the plain
 * writes carry no serial number: these are never repeated, and have an unknown outcome when a master dies under them.
 */
#include <inttypes.h>
#include <stdio.h>

#include "net/base/time.h"
#include "net/limits.h"
#include "net/pb_util.h"
#include "roles/cli/kv_client.h"

#define MASTERS_MAX 7
#define CLIENTS_MAX 64
#define KEYS 5
#define EPOCH_US (4 * SEC)
#define ATTEMPT_US (500 * MSEC)
#define REQUEST_US (3 * SEC)
#define LAST_READ_US (60 * SEC)          /* after the storm the masters come together again */
#define THINK_US 2000                    /* at most, between two operations */

enum kind { READ, WRITE, CAS };

struct seen {
	uint64_t epoch, revision;        /* revision 0: absent */
	char value[32];
};

struct client {
	unsigned number;
	struct kv_client *kv;
	struct loop_timer think;
	uint64_t id, serial, count;
	struct seen seen[KEYS];          /* what it last knew of a key */
	enum kind kind;
	unsigned key;
	uint64_t epoch;
	char name[64], value[32], expect[32];
	bool expects_absent;
	int64_t start_us;
};

static struct loop *loop;
static struct tls_ctx *tls;
static struct sock_addr masters[MASTERS_MAX];
static size_t master_count, client_count = 8, running;
static struct client clients[CLIENTS_MAX];
static FILE *out;
static struct rnd rnd;
static int64_t begun_us, end_us;
static uint64_t acknowledged, failed, unknown_count, refused;

static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "storm_client: %s: %s\n", what, why);
	exit(1);
}

/* ---- what is written down; values and names need no escapes ---- */

static void note_begin(const struct client *c, const char *op)
{
	(void)fprintf(out, "{\"client\":\"c%u\",\"op\":\"%s\",\"key\":\"%s\",\"args\":[", c->number, op, c->name);
	if (c->kind == CAS && c->expects_absent)
		(void)fputs("null,", out);
	else if (c->kind == CAS)
		(void)fprintf(out, "\"%s\",", c->expect);
	if (c->kind != READ)
		(void)fprintf(out, "\"%s\"", c->value);
	(void)fputs("],", out);
}

static void note(const struct client *c, const char *result)
{
	static const char *const names[] = { "read", "write", "cas" };
	note_begin(c, names[c->kind]);
	if (result)
		(void)fprintf(out, "\"result\":%s,\"start\":%" PRId64 ",\"end\":%" PRId64 "}\n", result, c->start_us, time_now_us());
	else
		(void)fprintf(out, "\"start\":%" PRId64 ",\"end\":null}\n", c->start_us);
}

/* ---- operations ---- */

static void next(struct client *c);

static void on_think(struct loop_timer *t) { next(container_of(t, struct client, think)); }

static void note_read(struct client *c, const keyval_Answer *a)
{
	struct seen *s = &c->seen[c->key];
	*s = (struct seen){ .epoch = c->epoch };
	if (a->items_count == 0) {
		note(c, "null");
		return;
	}
	char text[40];
	s->revision = a->items[0].revision;
	(void)str_put(s->value, sizeof(s->value), pb_bytes_view(a->items[0].value));
	(void)snprintf(text, sizeof(text), "\"%s\"", s->value);
	note(c, text);
}

static void note_change(struct client *c, const keyval_Changed *changed)
{
	refused += !changed->done;
	note(c, changed->done ? "true" : "false");
	struct seen *s = &c->seen[c->key];
	if (!changed->done)
		return;
	*s = (struct seen){ .epoch = c->epoch, .revision = changed->revision };
	(void)str_put(s->value, sizeof(s->value), str_of(c->value));
}

static void on_done(void *arg, const keyval_Answer *a, const struct err *e, bool unknown)
{
	struct client *c = arg;
	if (e->code == 0) {
		acknowledged++;
		if (c->kind == READ)
			note_read(c, a);
		else
			note_change(c, a->changed);
	} else if (unknown && c->kind != READ) {
		unknown_count++;
		note(c, NULL);
	} else {
		failed++;
	}
	if (time_now_us() < end_us)
		loop_timer_start(loop, &c->think, (int64_t)rnd_below(&rnd, THINK_US), on_think);
	else if (--running == 0)
		loop_stop(loop);
}

static void pick_key(struct client *c)
{
	c->key = (unsigned)rnd_below(&rnd, KEYS);
	c->epoch = (uint64_t)((time_now_us() - begun_us) / EPOCH_US);
	(void)snprintf(c->name, sizeof(c->name), "storm/%" PRIu64 "/%u", c->epoch, c->key);
}

static void next(struct client *c)
{
	keyval_Op op = { .has_kind = true, .kind = keyval_OpKind_PUT, .key = c->name };
	keyval_Change change = { .ops_count = 1, .ops = &op };
	keyval_Call call = { .has_timeout_us = true, .timeout_us = ATTEMPT_US };
	AUTO_ARENA struct arena a = ARENA_INIT;
	uint64_t dice = rnd_below(&rnd, 100);
	pick_key(c);
	const struct seen *s = &c->seen[c->key];
	bool known = s->epoch == c->epoch && c->count > 0;
	c->kind = dice < 40 ? READ : dice < 70 || !known ? WRITE : CAS;
	(void)snprintf(c->value, sizeof(c->value), "%u.%" PRIu64, c->number, ++c->count);
	if (c->kind == READ) {
		call.get = c->name;
	} else {
		call.change = &change;
		op.value = pb_bytes_put(&a, str_of(c->value));
		call.has_client = call.has_serial = c->kind == CAS || dice < 60;
		call.client = call.has_client ? c->id : 0;
		call.serial = call.has_client ? ++c->serial : 0;
	}
	if (c->kind == CAS) {
		op.has_if_revision = true;
		op.if_revision = s->revision;
		c->expects_absent = s->revision == 0;
		(void)str_put(c->expect, sizeof(c->expect), str_of(s->value));
	}
	c->start_us = time_now_us();
	kv_client_call(c->kv, &call, REQUEST_US, on_done, c);
}

/* ---- the end: what is everywhere ---- */

static struct err last_err;

static void on_last_read(void *arg, const keyval_Answer *a, const struct err *e, bool unknown)
{
	(void)unknown;
	last_err = *e;
	if (e->code == 0)
		note_read(arg, a);
	loop_stop(loop);
}

static void read_everything(void)
{
	struct client c = { .number = CLIENTS_MAX, .kind = READ };
	uint64_t epochs = (uint64_t)((end_us - begun_us) / EPOCH_US) + 1;
	for (size_t m = 0; m < master_count; m++) {
		c.kv = kv_client_new(&(struct kv_client_config){ .loop = loop, .tls = tls, .masters = &masters[m], .count = 1 });
		for (c.epoch = 0; c.epoch < epochs; c.epoch++) {
			for (c.key = 0; c.key < KEYS; c.key++) {
				(void)snprintf(c.name, sizeof(c.name), "storm/%" PRIu64 "/%u", c.epoch, c.key);
				c.start_us = time_now_us();
				kv_client_call(c.kv, &(keyval_Call){ .get = c.name }, LAST_READ_US, on_last_read, &c);
				loop_run(loop);
				if (last_err.code != 0)
					die("a master does not come back after the storm", last_err.text);
			}
		}
		kv_client_free(c.kv);
	}
}

static void read_masters(const char *text)
{
	struct err e = { 0 };
	struct str rest = str_of(text);
	while (rest.p && master_count < MASTERS_MAX) {
		AUTO_FREE char *one = str_dup(str_cut(&rest, ','));
		if (sock_addr_parse_hostport(&masters[master_count++], one, 5060, &e) != 0)
			die(one, e.text);
	}
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	uint64_t seconds, seed, count = client_count;
	if (argc < 6 || !str_u64(str_of(argv[3]), &seconds) || !str_u64(str_of(argv[4]), &seed) ||
	    (argc > 6 && (!str_u64(str_of(argv[6]), &count) || count > CLIENTS_MAX))) {
		(void)fputs("usage: storm_client STATE-DIR MASTERS SECONDS SEED FILE [CLIENTS]\n", stderr);
		return 2;
	}
	loop = loop_new();
	client_count = (size_t)count;
	read_masters(argv[2]);
	if (kv_client_identity(argv[1], &tls, &e) != 0)
		die("identity", e.text);
	out = fopen(argv[5], "w");
	if (!out)
		die(argv[5], "cannot be written");
	rnd_seed(&rnd, seed);
	begun_us = time_now_us();
	end_us = begun_us + (int64_t)seconds * SEC;
	for (size_t i = 0; i < client_count; i++) {
		struct client *c = &clients[i];
		c->number = (unsigned)i;
		c->id = rnd_u64(loop_rnd(loop)) | 1;
		c->kv = kv_client_new(&(struct kv_client_config){
			.loop = loop, .tls = tls, .masters = masters, .count = master_count, .first = i, .attempt_us = ATTEMPT_US });
		loop_timer_start(loop, &c->think, 0, on_think);
		running++;
	}
	loop_run(loop);
	read_everything();
	if (fclose(out) != 0)
		die(argv[5], "cannot be written");
	printf("%" PRIu64 " acknowledged, %" PRIu64 " of them refused comparisons, %" PRIu64 " of unknown outcome, %" PRIu64
	       " certainly not done\n", acknowledged, refused, unknown_count, failed);
	for (size_t i = 0; i < client_count; i++)
		kv_client_free(clients[i].kv);
	tls_ctx_free(tls);
	loop_free(loop);
	return 0;
}
