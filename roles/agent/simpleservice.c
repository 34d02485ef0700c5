/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program of the built-in image: mhausenblas/simpleservice 0.3.0 and what its later versions added, for workshops and
 * health checks. GET /endpoint0, /health, /info, /env on $PORT0 of every address. Each request is logged on stderr in the
 * original's two lines. Environment: PORT0 (9876), SIMPLE_SERVICE_VERSION, HEALTH_MIN and HEALTH_MAX (delay of /health in ms).
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "net/base/time.h"
#include "net/http.h"
#include "net/json.h"
#include "roles/roles.h"

#define DEFAULT_PORT 9876
#define HEALTH_DELAY_MAX_MS 60000

struct service {
	struct loop *loop;
	const char *version;
	int64_t health_min_ms, health_max_ms;
};

/* An answer of /health that waits. */
struct delayed {
	struct loop_timer timer;
	struct http_req *req;
	int64_t since_us;
};

static void say(const char *fmt, ...) PRINTF(1, 2);

/* One write a line, so that lines of several requests never mix. */
static void say(const char *fmt, ...)
{
	char when[32], text[1024];
	time_t now = time(NULL);
	struct tm tm;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now, &tm));
	AUTO_FREE char *line = xasprintf("%s INFO %s\n", when, text);
	(void)!write(STDERR_FILENO, line, strlen(line));    /* a full disk must not stop the service */
}

static struct str host_of(struct http_req *r)
{
	struct str host = http_req_header(r, "Host");
	return host.p ? host : STR("");
}

static void invoked(struct http_req *r)
{
	char from[SOCK_ADDR_TEXT];
	sock_addr_host(&r->peer, from);
	say(STR_FMT " serving from " STR_FMT " has been invoked from %s [at line 101]", STR_ARG(r->path), STR_ARG(host_of(r)), from);
}

static void answer(struct http_req *r, struct buf *json, int64_t since_us)
{
	char from[SOCK_ADDR_TEXT];
	sock_addr_host(&r->peer, from);
	double ms = (double)(time_now_us() - since_us) / 1000.0;
	say("200 %s " STR_FMT " (%s) %.2fms [at line 1946]", http_method_name(r->method), STR_ARG(r->path), from, ms);
	http_reply(r, 200, "application/json", buf_view(json));
}

/* As Python's json.dumps: a space after each colon and comma. `pairs` ends with NULL. */
static void dumps(struct buf *out, const char *const *pairs)
{
	buf_putc(out, '{');
	for (size_t i = 0; pairs[i]; i += 2) {
		buf_puts(out, i ? ", " : "");
		buf_json_cstr(out, pairs[i]);
		buf_puts(out, ": ");
		buf_json_cstr(out, pairs[i + 1]);
	}
	buf_putc(out, '}');
}

static void get_endpoint0(struct http_req *r)
{
	struct service *s = r->arg;
	int64_t since = time_now_us();
	AUTO_BUF struct buf out = BUF_INIT;
	invoked(r);
	dumps(&out, (const char *[]){ "host", arena_str(&r->arena, host_of(r)), "version", s->version, "result", "all is well", NULL });
	answer(r, &out, since);
}

static void get_info(struct http_req *r)
{
	struct service *s = r->arg;
	int64_t since = time_now_us();
	char from[SOCK_ADDR_TEXT];
	AUTO_BUF struct buf out = BUF_INIT;
	invoked(r);
	sock_addr_host(&r->peer, from);
	dumps(&out, (const char *[]){ "host", arena_str(&r->arena, host_of(r)), "version", s->version, "from", from, NULL });
	answer(r, &out, since);
}

static void get_env(struct http_req *r)
{
	struct service *s = r->arg;
	int64_t since = time_now_us();
	AUTO_BUF struct buf env = BUF_INIT, out = BUF_INIT;
	invoked(r);
	buf_putc(&env, '{');
	for (char **row = environ; *row; row++) {
		struct str value = str_of(*row);
		struct str name = str_cut(&value, '=');
		buf_printf(&env, "%s'" STR_FMT "': '" STR_FMT "'", row == environ ? "" : ", ", STR_ARG(name), STR_ARG(value));
	}
	buf_putc(&env, '}');
	dumps(&out, (const char *[]){ "version", s->version, "env", buf_cstr(&env), NULL });
	answer(r, &out, since);
}

static void delayed_end(struct delayed *d)
{
	loop_timer_stop(&d->timer);
	free(d);
}

static void on_healthy(struct loop_timer *t)
{
	struct delayed *d = container_of(t, struct delayed, timer);
	AUTO_BUF struct buf out = BUF_INIT;
	buf_puts(&out, "{\"healthy\": true}");
	answer(d->req, &out, d->since_us);
	delayed_end(d);
}

static void on_gone(struct http_req *r) { delayed_end(r->user); }

static void get_health(struct http_req *r)
{
	struct service *s = r->arg;
	struct delayed *d = xcalloc(1, sizeof(*d));
	int64_t ms = 0;
	invoked(r);
	if (s->health_max_ms > s->health_min_ms)
		ms = s->health_min_ms + (int64_t)rnd_below(loop_rnd(s->loop), (uint64_t)(s->health_max_ms - s->health_min_ms));
	d->req = r;
	d->since_us = time_now_us();
	r->user = d;
	r->gone = on_gone;
	loop_timer_start(s->loop, &d->timer, ms * MSEC, on_healthy);
}

static const struct route routes[] = {
	{ GET, "/endpoint0", get_endpoint0, NULL, 0, "who answered" },
	{ GET, "/env",       get_env,       NULL, 0, "environment" },
	{ GET, "/health",    get_health,    NULL, 0, "healthy, after a delay if one is set" },
	{ GET, "/info",      get_info,      NULL, 0, "who asked" },
	ROUTE_END,
};

static int64_t env_number(const char *name, int64_t fallback, int64_t max)
{
	const char *text = getenv(name);
	int64_t v;
	return text && str_i64(str_of(text), &v) && v >= 0 && v <= max ? v : fallback;
}

static void on_stop(struct loop *l, int signo UNUSED, void *arg UNUSED) { loop_stop(l); }

int simpleservice_main(int argc UNUSED, char **argv UNUSED)
{
	struct service s = { .version = getenv("SIMPLE_SERVICE_VERSION") };
	struct http_routes table = { .count = 0 };
	struct http_server *server;
	struct sock_addr at;
	struct err e = { 0 };
	uint16_t port = (uint16_t)env_number("PORT0", DEFAULT_PORT, UINT16_MAX);
	if (!s.version)
		s.version = "0.3.0";
	s.health_min_ms = env_number("HEALTH_MIN", 0, HEALTH_DELAY_MAX_MS);
	s.health_max_ms = env_number("HEALTH_MAX", 0, HEALTH_DELAY_MAX_MS);
	(void)signal(SIGPIPE, SIG_IGN);
	s.loop = loop_new();
	loop_signal(s.loop, SIGTERM, on_stop, NULL);
	loop_signal(s.loop, SIGINT, on_stop, NULL);
	http_routes_add(&table, routes, &s);
	if (sock_addr_parse(&at, "0.0.0.0", port, &e) != 0 || http_listen(s.loop, &at, NULL, &table, &server, &e) != 0) {
		(void)fprintf(stderr, "simpleservice: %s\n", e.text);
		return 1;
	}
	say("This is simple service in version v%s listening on port %u [at line 54]", s.version, port);
	loop_run(s.loop);
	http_server_free(server);
	return 0;
}
