/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the view, with labels and names that frameworks chose, made into DNS names and virtual IPs. The input is a row of
 * messages: a byte that says of which table, two bytes with the length, the message.
 */
#include "net/pb_util.h"
#include "roles/records.h"

static void add(struct records *r, int table, struct str bytes)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	union {
		dcos_ViewMaster master;
		dcos_ViewAgent agent;
		dcos_ViewName name;
	} row;
	if (table % 4 == 0 && pb_read(&a, dcos_ViewMaster_fields, bytes, &row.master, NULL) == 0)
		records_add_master(r, &row.master);
	else if (table % 4 == 1 && pb_read(&a, dcos_ViewAgent_fields, bytes, &row.agent, NULL) == 0)
		records_add_agent(r, &row.agent);
	else if (table % 4 >= 2 && pb_read(&a, dcos_ViewName_fields, bytes, &row.name, NULL) == 0)
		records_add_task(r, &row.name);
}

static void ask(const struct records *r, const char *name, enum dns_type type)
{
	uint8_t query[DNS_UDP_MIN], out[DNS_UDP_MAX];
	struct dns_query q;
	size_t n = dns_query_write(query, sizeof(query), 7, name, type);
	if (n == 0)
		return;                          /* a name that cannot be asked for */
	int rc = dns_query_parse(query, n, &q, NULL);
	assert(rc == 0);
	n = records_answer(r, &q, 1, RECORDS_TTL_OUTWARD, out, sizeof(out));
	assert(n >= DNS_HEADER && n <= sizeof(out) && dns_answers(out, n, query, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct records r;
	records_init(&r, 0x0a000001, 1);
	struct str rest = str_n((const char *)data, size);
	while (rest.len > 3) {
		size_t len = MIN(rest.len - 3, (size_t)(uint8_t)rest.p[1] << 8 | (uint8_t)rest.p[2]);
		int table = (uint8_t)rest.p[0];
		rest = str_from(rest, 3);
		add(&r, table, str_head(rest, len));
		rest = str_from(rest, len);
	}
	records_finish(&r);
	for (const struct vip *v = r.vips.first; v; v = v->next)
		assert(v->ip4 != 0 && v->port != 0);
	map_each(&r.names, entry) {
		const struct record_set *set = entry->value;
		ask(&r, set->name, DNS_A);
		ask(&r, set->name, DNS_SRV);
	}
	records_fini(&r);
	return 0;
}
