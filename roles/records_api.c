/* SPDX-License-Identifier: Apache-2.0 */
/* Field names, empty records and trailing dots: Mesos-DNS 0.7 and dcos-net 1.13. */
#include "roles/records_api.h"

#include <arpa/inet.h>

#include "net/json.h"

static const char *ip_text(struct arena *a, uint32_t ip4)
{
	struct record rec = { .type = DNS_A, .ip4 = ip4 };
	return ip4 == 0 ? "" : record_text(a, &rec);
}

/* The name in the path, lower case, without the trailing dot. */
static const char *asked_name(struct http_req *r)
{
	struct str s = r->params[0];
	if (s.len > 0 && s.p[s.len - 1] == '.')
		s.len--;
	char *name = arena_str(&r->arena, s);
	for (char *c = name; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
	return name;
}

static const char *dotted(struct http_req *r, const char *name) { return arena_printf(&r->arena, "%s.", name); }

static const struct record *first_record(const struct records *rec, const char *name)
{
	const struct record_set *set = records_find(rec, name);
	return set ? set->first : NULL;
}

static void host_row(struct jw *w, const char *host, const char *ip)
{
	jw_obj(w, NULL);
	jw_str(w, "host", host);
	jw_str(w, "ip", ip);
	jw_end(w);
}

void records_reply_hosts(struct http_req *r, const struct records *rec, enum records_dialect dialect)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	const char *name = asked_name(r);
	size_t n = 0;
	jw_arr(&w, NULL);
	for (const struct record *a = first_record(rec, name); a; a = a->next) {
		if (a->type != DNS_A)
			continue;
		host_row(&w, dotted(r, name), ip_text(&r->arena, a->ip4));
		n++;
	}
	if (n == 0 && dialect == RECORDS_MESOS_DNS)
		host_row(&w, "", "");
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void service_row(struct jw *w, const char *service, const char *host, const char *ip)
{
	jw_obj(w, NULL);
	jw_str(w, "service", service);
	jw_str(w, "host", host);
	jw_str(w, "ip", ip);
}

void records_reply_services(struct http_req *r, const struct records *rec, enum records_dialect dialect)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	const char *name = asked_name(r);
	size_t n = 0;
	jw_arr(&w, NULL);
	for (const struct record *srv = first_record(rec, name); srv; srv = srv->next) {
		if (srv->type != DNS_SRV)
			continue;
		service_row(&w, dotted(r, name), dotted(r, srv->target), ip_text(&r->arena, records_address(rec, srv->target)));
		if (dialect == RECORDS_MESOS_DNS)
			jw_str(&w, "port", arena_printf(&r->arena, "%u", srv->port));
		else
			jw_int(&w, "port", srv->port);
		jw_end(&w);
		n++;
	}
	if (n == 0 && dialect == RECORDS_MESOS_DNS) {
		service_row(&w, "", "", "");
		jw_str(&w, "port", "");
		jw_end(&w);
	}
	jw_end(&w);
	http_reply_json(r, 200, &out);
}
