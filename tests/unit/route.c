/* SPDX-License-Identifier: Apache-2.0 */
/* Which row answers, and the small parts of HTTP: URLs, queries, Accept, percent coding. */
#include <stdio.h>

#include "net/http_int.h"
#include "net/http_util.h"
#include "tests/lib/net.h"

static void one(struct http_req *r)
{
	http_reply_text(r, 200, "one arg=%s 0=" STR_FMT " 1=" STR_FMT, (const char *)r->arg, STR_ARG(r->params[0]), STR_ARG(r->params[1]));
}

static void two(struct http_req *r)
{
	http_reply_text(r, 200, "two arg=%s 0=" STR_FMT " 1=" STR_FMT, (const char *)r->arg, STR_ARG(r->params[0]), STR_ARG(r->params[1]));
}

static void door(struct http_req *r)
{
	r->path = str_of(arena_printf(&r->arena, "/" STR_FMT, STR_ARG(r->params[0])));
	http_routes_serve(r->arg, r);
}

static void otherwise(struct http_req *r) { http_reply_text(r, 200, "fallback " STR_FMT, STR_ARG(r->path)); }
static void body(struct http_req *r) { http_reply(r, 200, "text/plain", r->body); }

static const struct route first[] = {
	{ GET | PUT,  "/v2/apps",                          one,  NULL, 100, "" },
	{ GET,        "/v2/apps/{*id}/versions",           one,  NULL, 0,   "" },
	{ GET,        "/v2/apps/{*id}/versions/{version}", two,  NULL, 0,   "" },
	{ GET,        "/v2/apps/{*id}",                    two,  NULL, 0,   "" },
	{ DELETE,     "/v2/apps/{*id}",                    one,  NULL, 0,   "" },
	{ GET,        "/a/{x}/b/{y}",                      one,  NULL, 0,   "" },
	{ POST,       "/body",                             body, NULL, 100, "" },
	ROUTE_END,
};
static const struct route second[] = {
	{ GET,  "/v2/apps",   two, NULL, 0, "" },
	{ POST, "/v2/apps",   two, NULL, 0, "" },
	{ GET,  "/only-here", two, NULL, 0, "" },
	ROUTE_END,
};

struct world {
	struct loop *l;
	struct http_routes routes, front;
	struct http_server *server;
	struct peer *peer;
};

static const struct route front_table[] = {
	{ GET | POST, "/service/{*rest}", door, NULL, HTTP_BODY_STREAM, "" },
	ROUTE_END,
};

static struct world *start(void)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct sock_addr a = net_local(0);
	w->l = loop_new();
	http_routes_add(&w->routes, first, "1st");
	http_routes_add(&w->routes, second, "2nd");
	http_routes_add(&w->front, front_table, &w->routes);
	http_routes_add(&w->front, first, "1st");
	http_routes_add(&w->front, second, "2nd");
	EQ_INT(http_listen(w->l, &a, NULL, &w->front, &w->server, NULL), 0);
	w->peer = peer_new(w->l, http_server_port(w->server));
	return w;
}

static void stop(struct world *w)
{
	peer_free(w->peer);
	http_server_free(w->server);
	for (int i = 0; i < 5; i++)
		net_turn(w->l);
	loop_free(w->l);
	free(w);
}

static void answers(struct world *w, const char *request, const char *status, const char *text)
{
	AUTO_FREE char *all = xasprintf("%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", request);
	buf_reset(&w->peer->got);
	peer_send(w->peer, all);
	UNTIL(w->l, strstr(peer_got(w->peer), "\r\n\r\n"));
	HAS(peer_got(w->peer), status);
	HAS(strstr(peer_got(w->peer), "\r\n\r\n"), text);
}

TEST(route, the_first_row_that_fits_answers)
{
	struct world *w = start();
	answers(w, "GET /v2/apps", " 200 ", "one arg=1st 0= 1=");
	answers(w, "POST /v2/apps", " 200 ", "two arg=2nd 0= 1=");
	answers(w, "GET /v2/apps/a/b", " 200 ", "two arg=1st 0=a/b 1=");
	answers(w, "GET /v2/apps/", " 200 ", "two arg=1st 0= 1=");
	answers(w, "DELETE /v2/apps//a%2fb", " 200 ", "one arg=1st 0=/a/b 1=");
	answers(w, "GET /v2/apps/a/b/versions", " 200 ", "one arg=1st 0=a/b 1=");
	answers(w, "GET /v2/apps/versions/x/versions/7", " 200 ", "two arg=1st 0=versions/x 1=7");
	answers(w, "GET /a/1/b/2", " 200 ", "one arg=1st 0=1 1=2");
	answers(w, "GET /a//b/2", " 404 ", "No such route: GET /a//b/2");
	answers(w, "GET /a/1/b/2/", " 404 ", "No such route");
	answers(w, "GET /v2/app", " 404 ", "No such route");
	answers(w, "PATCH /v2/apps/x", " 405 ", "PATCH is not allowed for /v2/apps/x, only GET, HEAD, DELETE");
	answers(w, "DELETE /v2/apps", " 405 ", "only GET, HEAD, POST, PUT");
	stop(w);
}

TEST(route, a_front_door_dispatches_again)
{
	struct world *w = start();
	answers(w, "GET /service/only-here", " 200 ", "two arg=2nd");
	answers(w, "GET /service/nothing", " 404 ", "No such route: GET /nothing");
	buf_reset(&w->peer->got);
	peer_send(w->peer, "POST /service/body HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nthe body");
	UNTIL(w->l, peer_count(w->peer, "the body") == 1);
	buf_reset(&w->peer->got);
	peer_send(w->peer, "POST /service/body HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n");
	UNTIL(w->l, peer_count(w->peer, "413") == 1);
	stop(w);
}

TEST(route, a_fallback_takes_what_no_row_knows)
{
	struct world *w = start();
	w->front.fallback = otherwise;
	answers(w, "GET /anything", " 200 ", "fallback /anything");
	answers(w, "DELETE /v2/apps", " 405 ", "not allowed");
	stop(w);
}

static bool split(const char *target, const char *path, const char *query)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct str p, q;
	size_t len = strlen(target);
	if (!http_target_split(&a, str_n(test_edge(target, len), len), &p, &q))
		return false;
	EQ_STR(p, path);
	EQ_STR(q, query);
	return true;
}

TEST(http_util, splits_targets)
{
	TRUE(split("/a/b?x=1?y", "/a/b", "x=1?y"));
	TRUE(split("/", "/", ""));
	TRUE(split("/..", "/", ""));
	TRUE(split("/a/../..", "/", ""));
	TRUE(split("/a/.", "/a/", ""));
	TRUE(split("/a/..//b", "//b", ""));
	TRUE(split("/...", "/...", ""));
	TRUE(split("/%2e%2e/%2fetc", "//etc", ""));
	TRUE(split("*", "*", ""));
	TRUE(split("http://h:1", "/", ""));
	TRUE(split("https://h:1/x?y", "/x", "y"));
	FALSE(split("h:1", "", ""));
	FALSE(split("/%", "", ""));
	FALSE(split("/%4", "", ""));
	FALSE(split("/a#b", "", ""));
}

TEST(http_util, parses_urls)
{
	struct url u;
	TRUE(url_parse("http://h", &u));
	EQ_STR(u.host, "h");
	EQ_INT(u.port, 80);
	EQ_STR(u.path_query, "");
	TRUE(url_parse("HTTPS://[::1]:8443/a?b#c", &u));
	TRUE(u.tls);
	EQ_STR(u.host, "[::1]");
	EQ_INT(u.port, 8443);
	EQ_STR(u.path_query, "/a?b");
	TRUE(url_parse("https://[::1]?x", &u));
	EQ_INT(u.port, 443);
	const char *const bad[] = { "", "h", "ftp://h", "http://", "http://:80", "http://h:0", "http://h:65536", "http://h:", "http://h:x",
				    "http://a b/", "http://user@h/", "http://h/a b", "http://h/\r\nX: y" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (url_parse(bad[i], &u))
			FAIL("%s was taken for a URL", bad[i]);
}

TEST(http_util, decodes_queries)
{
	struct http_req r = { .arena = ARENA_INIT, .query = STR("a=1&b=x+y%20z&a=2&flag&no=false&=e&bad=%zz&%61%62=c") };
	EQ_STR(http_query(&r, "a"), "1");
	EQ_STR(http_query_n(&r, "a", 1), "2");
	TRUE(http_query_n(&r, "a", 2).p == NULL);
	EQ_STR(http_query(&r, "b"), "x y z");
	EQ_STR(http_query(&r, "ab"), "c");
	EQ_STR(http_query(&r, "bad"), "%zz");
	TRUE(http_query(&r, "flag").p != NULL);
	EQ_INT(http_query(&r, "flag").len, 0);
	TRUE(http_query_bool(&r, "flag", false));
	FALSE(http_query_bool(&r, "no", true));
	TRUE(http_query_bool(&r, "missing", true));
	arena_fini(&r.arena);
}

static bool accepts(const char *accept, const char *type)
{
	struct http_header row = { STR("accept"), str_of(accept) };
	struct http_req r = { .headers = { &row, 1 } };
	return http_accepts(&r, type);
}

TEST(http_util, knows_what_is_accepted)
{
	struct http_req none = { 0 };
	TRUE(http_accepts(&none, "text/html"));
	TRUE(accepts("text/html, application/json;q=0.9", "application/json"));
	TRUE(accepts("*/*", "application/json"));
	TRUE(accepts("Application/*", "application/json"));
	FALSE(accepts("text/*, application/jsonx", "application/json"));
	FALSE(accepts("application/json;q=0", "application/json"));
	FALSE(accepts("", "application/json"));
}

TEST(http_util, encodes_everything_but_unreserved)
{
	AUTO_BUF struct buf out = BUF_INIT;
	url_encode(&out, STR("a-Z_0.~/ %\xc3\xa9"));
	EQ_STR(buf_cstr(&out), "a-Z_0.~%2F%20%25%C3%A9");
}
