/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marathon on a master that does not lead: requests go to the leader's Marathon with everything they have, streams too. Names
 * and texts are those of Marathon's proxy filter; who comes before a leader is elected waits for one.
 */
#include "roles/master/lead.h"
#include "roles/master/marathon/marathon_int.h"

#define VIA "X-Marathon-Via"

static struct lead *lead_of(const struct http_req *r) { return ((const struct marathon *)r->arg)->master->lead; }

static void nobody_leads(struct http_req *r)
{
	http_set_header(r, "Retry-After", "1");
	http_reply_message(r, 503, "Could not determine the current leader");
}

/* We passed this request on already: the leader of a moment ago believes that we lead. */
static bool loops(const struct http_req *r, const char *self)
{
	for (size_t i = 0; i < r->headers.count; i++) {
		struct str rest = r->headers.rows[i].value;
		if (!str_ieq(r->headers.rows[i].name, STR(VIA)))
			continue;
		while (rest.p)
			if (str_eq_c(str_trim(str_cut(&rest, ',')), self))
				return true;
	}
	return false;
}

/* Path and query as the client sent them, less what a front door took off. */
static const char *target_of(struct http_req *r)
{
	AUTO_BUF struct buf path = BUF_INIT;
	struct str rest = r->path;
	while (rest.p) {
		url_encode(&path, str_cut(&rest, '/'));
		if (rest.p)
			buf_putc(&path, '/');
	}
	return arena_printf(&r->arena, STR_FMT "%s" STR_FMT, STR_ARG(buf_view(&path)), r->query.len > 0 ? "?" : "", STR_ARG(r->query));
}

static void pass_on(struct http_req *r)
{
	struct marathon *ma = r->arg;
	const struct master *m = ma->master;
	struct http_routes own = { 0 };
	struct lead_facts f;
	const char *self = arena_printf(&r->arena, "1.1 %s:%u", m->node.ip, m->config.marathon_port);
	if (!lead_now(m->lead, &f)) {
		lead_wait(m->lead, r, pass_on, nobody_leads);
	} else if (f.self) {                 /* by now it is us */
		http_routes_add(&own, marathon_routes, ma);
		http_routes_serve(&own, r);
	} else if (loops(r, self)) {
		http_reply_message(r, 502, "Detected proxying loop.");
	} else {
		struct str seen = http_req_header(r, VIA);
		const char **headers = arena_array(&r->arena, const char *, 2);     /* ends with NULL */
		headers[0] = seen.p ? arena_printf(&r->arena, VIA ": " STR_FMT ", %s", STR_ARG(seen), self)
				    : arena_printf(&r->arena, VIA ": %s", self);
		struct lead_service to = { LEAD_MARATHON, target_of(r), headers, pass_on, nobody_leads };
		http_set_header(r, VIA, "%s", self);
		lead_proxy(m->lead, r, &to);
	}
}

/* ---- what any master answers ---- */

static void leader_get(struct http_req *r)
{
	struct lead_facts f;
	struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	if (!lead_now(lead_of(r), &f)) {
		http_reply_message(r, 404, "There is no leader");
		return;
	}
	http_set_header(r, "X-Marathon-Leader", "http://%s:%u", f.ip, f.marathon_port);
	jw_obj(&w, NULL);
	jw_str(&w, "leader", arena_printf(&r->arena, "%s:%u", f.ip, f.marathon_port));
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static const struct route pass_row = { GET, "", pass_on, NULL, HTTP_BODY_STREAM, "To the leader" };
static const struct route leader_row = { GET, "/v2/leader", leader_get, "marathon:read", 0, "Address of the leading master's Marathon" };

static const struct route *gate(void *arg, const struct http_req *r)
{
	const struct marathon *ma = arg;
	if (ma->leads || str_eq(r->path, STR("/ping")) || str_eq(r->path, STR("/metrics")))
		return NULL;
	return str_eq(r->path, STR("/v2/leader")) && r->method == GET ? &leader_row : &pass_row;
}

void marathon_routes_add(struct http_routes *rs, struct marathon *ma)
{
	http_routes_add(rs, marathon_routes, ma);
	rs->gate = gate;
	rs->gate_arg = ma;
}
