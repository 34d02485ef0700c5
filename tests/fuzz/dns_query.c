/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a DNS query: parsed, answered and refused without harm; an answer is a message that belongs to the query. */
#include "net/dns_wire.h"
#include "roles/records.h"

/* A master, an agent and a task with a port: names with addresses, services and targets. */
static void fill(struct records *r)
{
	dcos_ViewMaster m = { .ip = "10.0.0.1", .has_leader = true, .leader = true };
	dcos_ViewAgent a = { .ip = "10.0.0.2" };
	char *vips[] = { "/sise:80" };
	dcos_ViewPort port = { .has_number = true, .number = 31644, .protocol = "tcp", .name = "http", .vips_count = 1, .vips = vips };
	dcos_ViewName t = {
		.task_id = "sise.1", .name = "sise", .framework = "marathon", .agent_id = "x-S1", .agent_ip = "10.0.0.2", .ports_count = 1,
		.ports = &port, .has_has_discovery = true, .has_discovery = true, .has_state = true,
		.state = mesos_v1_TaskState_TASK_RUNNING,
	};
	records_init(r, 0x0a000001, 1);
	records_add_master(r, &m);
	records_add_agent(r, &a);
	records_add_task(r, &t);
	records_finish(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct records records;
	struct dns_query q, again;
	uint8_t out[DNS_UDP_MAX];
	if (!records.names.count)
		fill(&records);
	(void)dns_answers(data, size, data, size);
	size_t n = dns_error_write(out, sizeof(out), data, size, DNS_SERVFAIL);
	assert(n == 0 || n >= DNS_HEADER);
	if (dns_query_parse(data, size, &q, NULL) != 0 || !records_ours(q.name.text))
		return 0;
	n = records_answer(&records, &q, data[0], UINT32_MAX, out, q.udp_size);
	assert(n <= q.udp_size);
	assert(dns_query_parse(out, n, &again, NULL) == 0);
	assert(q.question_count != 1 || dns_answers(out, n, data, size));
	return 0;
}
