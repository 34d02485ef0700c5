/* SPDX-License-Identifier: Apache-2.0 */
/* Mesos-DNS' HTTP API. Field names and formats: Mesos-DNS 0.7. */
#include "net/base/log.h"
#include "net/json.h"
#include "net/pb_util.h"
#include "roles/dns/dns.h"
#include "roles/records_api.h"

#define REFRESH_SECONDS 30      /* what DC/OS configures; ours are never older than the view */

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

static void hosts(struct http_req *r) { records_reply_hosts(r, &((struct dns *)r->arg)->records, RECORDS_MESOS_DNS); }
static void services(struct http_req *r) { records_reply_services(r, &((struct dns *)r->arg)->records, RECORDS_MESOS_DNS); }

/* Mesos-DNS has this route and no answer to it either. */
static void host_ports(struct http_req *r)
{
	http_reply_message(r, 501, "ports are listed by service: /v1/services/_NAME._tcp.FRAMEWORK.mesos");
}

/* ---- the configuration, as Mesos-DNS would have it ---- */

static void put_lines(struct jw *w, const char *key, const char *lines)
{
	struct str rest = str_of(lines ? lines : "");
	jw_arr(w, key);
	while (rest.p && rest.len > 0)
		jw_strn(w, NULL, str_cut(&rest, '\n'));
	jw_end(w);
}

static void config(struct http_req *r)
{
	const struct dns *d = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_int(&w, "RefreshSeconds", REFRESH_SECONDS);
	jw_int(&w, "Port", d->config.mesos_dns_port);
	jw_int(&w, "Timeout", 5);
	jw_int(&w, "HttpPort", d->config.http_port);
	jw_int(&w, "TTL", RECORDS_TTL_MESOS);
	jw_int(&w, "SRVRecordDefaultWeight", 1);
	jw_int(&w, "SOASerial", d->records.serial);
	jw_str(&w, "SOAMname", "ns1.mesos.");
	jw_str(&w, "SOARname", "root.ns1.mesos.");
	put_lines(&w, "Masters", d->config.common.masters);
	put_lines(&w, "Resolvers", d->config.upstream);
	jw_arr(&w, "IPSources");
	jw_str(&w, NULL, "host");
	jw_end(&w);
	jw_str(&w, "Domain", "mesos");
	jw_str(&w, "Listener", d->node.ip);
	jw_str(&w, "HTTPListener", d->node.ip);
	jw_bool(&w, "RecurseOn", true);
	jw_bool(&w, "DnsOn", true);
	jw_bool(&w, "HttpOn", true);
	jw_bool(&w, "ExternalOn", false);
	jw_bool(&w, "EnforceRFC952", false);
	jw_bool(&w, "SetTruncateBit", true);
	jw_bool(&w, "EnumerationOn", true);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

/* ---- every record ---- */

static bool in_mesos(const char *name) { return str_ends(str_of(name), STR(".mesos")) || strcmp(name, "mesos") == 0; }

/* {"name.": ["10.0.0.1"]} of the records of one type. */
static void put_type(struct http_req *r, struct jw *w, const struct records *rec, const char *key, enum dns_type type)
{
	jw_obj(w, key);
	map_each(&rec->names, entry) {
		const struct record_set *set = entry->value;
		bool any = false;
		for (const struct record *one = in_mesos(set->name) ? set->first : NULL; one; one = one->next) {
			if (one->type != type)
				continue;
			if (!any)
				jw_arr(w, arena_printf(&r->arena, "%s.", set->name));
			any = true;
			jw_str(w, NULL, record_text(&r->arena, one));
		}
		if (any)
			jw_end(w);
	}
	jw_end(w);
}

static void axfr(struct http_req *r)
{
	const struct dns *d = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_int(&w, "TTL", RECORDS_TTL_MESOS);
	jw_int(&w, "Serial", d->records.serial);
	jw_int(&w, "RefreshSeconds", REFRESH_SECONDS);
	jw_str(&w, "Mname", "ns1.mesos.");
	jw_str(&w, "Rname", "root.ns1.mesos.");
	jw_str(&w, "Domain", "mesos");
	jw_obj(&w, "Records");
	put_type(r, &w, &d->records, "As", DNS_A);
	jw_obj(&w, "AAAAs");
	jw_end(&w);
	put_type(r, &w, &d->records, "SRVs", DNS_SRV);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

/* ---- records by framework and task ---- */

struct rows {
	struct arena *arena;
	dcos_ViewName *rows;
	size_t count, cap;
};

static bool keep_row(void *arg, struct str key, struct str value)
{
	struct rows *rows = arg;
	struct err e = { 0 };
	if (rows->count == rows->cap) {
		size_t cap = rows->cap == 0 ? 64 : rows->cap * 2;
		void *grown = arena_grow(rows->arena, rows->rows, rows->cap * sizeof(*rows->rows), cap * sizeof(*rows->rows));
		if (!grown)
			return false;
		rows->rows = grown;
		rows->cap = cap;
	}
	dcos_ViewName *row = &rows->rows[rows->count];
	if (pb_read(rows->arena, dcos_ViewName_fields, value, row, &e) != 0)
		LOG(WARN, "row of the view left out", "task=" STR_FMT " reason=%s", STR_ARG(key), e.text);
	else if (row->state == mesos_v1_TaskState_TASK_RUNNING && row->framework && row->name && row->task_id)
		rows->count++;
	return true;
}

static int by_framework(const void *a, const void *b)
{
	const dcos_ViewName *x = a, *y = b;
	int order = strcmp(x->framework, y->framework);
	return order != 0 ? order : strcmp(x->task_id, y->task_id);
}

/* The names this one task brings. */
static void put_task(struct http_req *r, struct jw *w, const dcos_ViewName *task)
{
	struct records own;
	records_init(&own, 0, 0);
	records_add_task(&own, task);
	jw_obj(w, NULL);
	jw_str(w, "name", task->name);
	jw_str(w, "id", task->task_id);
	jw_arr(w, "records");
	map_each(&own.names, entry) {
		const struct record_set *set = entry->value;
		for (const struct record *one = in_mesos(set->name) ? set->first : NULL; one; one = one->next) {
			jw_obj(w, NULL);
			jw_str(w, "name", arena_printf(&r->arena, "%s.", set->name));
			jw_str(w, "host", record_text(&r->arena, one));
			jw_str(w, "rtype", one->type == DNS_A ? "A" : "SRV");
			jw_end(w);
		}
	}
	jw_end(w);
	jw_end(w);
	records_fini(&own);
}

static int read_rows(struct dns *d, struct rows *rows, struct err *e)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	int rc = view_begin(d->node.view, &txn, e);
	return rc == 0 ? view_each(txn, dcos_ViewTable_VIEW_NAME, keep_row, rows, e) : rc;
}

static void enumerate(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	struct rows rows = { .arena = &r->arena };
	struct err e = { 0 };
	if (read_rows(r->arg, &rows, &e) != 0) {
		http_reply_err(r, &e);
		return;
	}
	if (rows.count > 0)
		qsort(rows.rows, rows.count, sizeof(*rows.rows), by_framework);
	jw_obj(&w, NULL);
	jw_arr(&w, "frameworks");
	for (size_t i = 0; i < rows.count;) {
		const char *framework = rows.rows[i].framework;
		jw_obj(&w, NULL);
		jw_str(&w, "name", framework);
		jw_arr(&w, "tasks");
		for (; i < rows.count && strcmp(rows.rows[i].framework, framework) == 0; i++)
			put_task(r, &w, &rows.rows[i]);
		jw_end(&w);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

const struct route mesos_dns_routes[] = {
	/* method path                    handler     permission body help */
	{ GET, "/v1/version",             version,    NULL,      0,   "Service and version" },
	{ GET, "/v1/config",              config,     NULL,      0,   "Configuration" },
	{ GET, "/v1/hosts/{host}/ports",  host_ports, NULL,      0,   "501, as Mesos-DNS" },
	{ GET, "/v1/hosts/{host}",        hosts,      NULL,      0,   "Addresses of a name" },
	{ GET, "/v1/services/{service}",  services,   NULL,      0,   "SRV records of a name, with addresses" },
	{ GET, "/v1/enumerate",           enumerate,  NULL,      0,   "Records by framework and task" },
	{ GET, "/v1/axfr",                axfr,       NULL,      0,   "All records of the zone" },
	ROUTE_END,
};
