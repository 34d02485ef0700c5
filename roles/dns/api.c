/* SPDX-License-Identifier: Apache-2.0 */
/* Mesos-DNS' HTTP API. Field names, empty records and trailing dots: Mesos-DNS 0.7. */
#include <arpa/inet.h>

#include "net/json.h"
#include "roles/dns/dns.h"

static const char *ip_text(struct http_req *r, uint32_t ip4)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr in = { htonl(ip4) };
	return arena_strdup(&r->arena, inet_ntop(AF_INET, &in, text, sizeof(text)));
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

static void version(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "Service", "Mesos-DNS");
	jw_str(&w, "Version", "v0.7.0");        /* the API version clients may ask for */
	jw_str(&w, "URL", "https://github.com/mesosphere/mesos-dns");
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void hosts(struct http_req *r)
{
	struct dns *d = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	const char *name = asked_name(r);
	const struct record_set *set = records_find(&d->records, name);
	size_t n = 0;
	jw_arr(&w, NULL);
	for (const struct record *rec = set ? set->first : NULL; rec; rec = rec->next) {
		if (rec->type != DNS_A)
			continue;
		jw_obj(&w, NULL);
		jw_str(&w, "host", dotted(r, name));
		jw_str(&w, "ip", ip_text(r, rec->ip4));
		jw_end(&w);
		n++;
	}
	if (n == 0) {
		jw_obj(&w, NULL);
		jw_str(&w, "host", "");
		jw_str(&w, "ip", "");
		jw_end(&w);
	}
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void service_row(struct jw *w, const char *service, const char *host, const char *ip, const char *port)
{
	jw_obj(w, NULL);
	jw_str(w, "service", service);
	jw_str(w, "host", host);
	jw_str(w, "ip", ip);
	jw_str(w, "port", port);
	jw_end(w);
}

static void services(struct http_req *r)
{
	struct dns *d = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	const char *name = asked_name(r);
	const struct record_set *set = records_find(&d->records, name);
	size_t n = 0;
	jw_arr(&w, NULL);
	for (const struct record *rec = set ? set->first : NULL; rec; rec = rec->next) {
		if (rec->type != DNS_SRV)
			continue;
		const struct record_set *target = records_find(&d->records, rec->target);
		const char *ip = target && target->first ? ip_text(r, target->first->ip4) : "";
		service_row(&w, dotted(r, name), dotted(r, rec->target), ip, arena_printf(&r->arena, "%u", rec->port));
		n++;
	}
	if (n == 0)
		service_row(&w, "", "", "", "");
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

const struct route mesos_dns_routes[] = {
	/* method path                    handler   permission body help */
	{ GET, "/v1/version",             version,  NULL,      0,   "Service and version" },
	{ GET, "/v1/hosts/{host}",        hosts,    NULL,      0,   "Addresses of a name" },
	{ GET, "/v1/services/{service}",  services, NULL,      0,   "SRV records of a name, with addresses" },
	ROUTE_END,
};
