/* SPDX-License-Identifier: Apache-2.0 */
/* DNS: the wire format, and the names and answers of a cluster. */
#include <stdio.h>

#include "net/dns_wire.h"
#include "roles/records.h"
#include "tests/lib/test.h"

static const uint8_t query_leader[] = {
	0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 6, 'L', 'e', 'a', 'd', 'e', 'r', 5, 'm', 'e', 's', 'o', 's', 0, 0, 1, 0, 1,
};

TEST(dns_wire, a_query_is_read_with_its_name_in_lower_case)
{
	struct dns_query q;
	struct err e = { 0 };
	EQ_INT(dns_query_parse(test_edge(query_leader, sizeof(query_leader)), sizeof(query_leader), &q, &e), 0);
	EQ_INT(q.id, 0x1234);
	EQ_STR(q.name.text, "leader.mesos");
	EQ_INT(q.type, DNS_A);
	EQ_INT(q.udp_size, 512);
	TRUE(q.recursion_desired);
	FALSE(q.edns);
}

TEST(dns_wire, every_shorter_query_is_malformed)
{
	struct dns_query q;
	for (size_t n = 0; n < sizeof(query_leader); n++)
		EQ_INT(dns_query_parse(test_edge(query_leader, n), n, &q, NULL), E_MALFORMED);
}

TEST(dns_wire, pointers_that_do_not_go_backwards_are_malformed)
{
	uint8_t msg[] = { 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1 };
	struct dns_query q;
	EQ_INT(dns_query_parse(test_edge(msg, sizeof(msg)), sizeof(msg), &q, NULL), E_MALFORMED);
	msg[13] = 14;
	EQ_INT(dns_query_parse(test_edge(msg, sizeof(msg)), sizeof(msg), &q, NULL), E_MALFORMED);
	msg[13] = 200;
	EQ_INT(dns_query_parse(test_edge(msg, sizeof(msg)), sizeof(msg), &q, NULL), E_MALFORMED);
}

TEST(dns_wire, names_in_answers_point_back_at_the_question)
{
	struct dns_query q;
	struct dns_writer w;
	uint8_t out[512];
	static const uint8_t answer[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1 };
	EQ_INT(dns_query_parse(query_leader, sizeof(query_leader), &q, NULL), 0);
	dns_answer_begin(&w, out, sizeof(out), &q);
	TRUE(dns_put_a(&w, DNS_ANSWER, "leader.mesos", 60, 0x0a000001));
	size_t n = dns_answer_end(&w, &q, true, true, DNS_NOERROR);
	EQ_INT(n, sizeof(query_leader) + sizeof(answer));
	EQ_MEM(out + 12, query_leader + 12, sizeof(query_leader) - 12);      /* "Leader" as it was asked: some resolvers insist */
	EQ_MEM(out + sizeof(query_leader), answer, sizeof(answer));
	EQ_INT(out[2], 0x85);
	EQ_INT(out[3], 0x80);
	EQ_INT(out[7], 1);
}

TEST(dns_wire, part_of_a_name_written_before_is_pointed_at)
{
	struct dns_query q;
	struct dns_writer w;
	uint8_t out[512];
	static const uint8_t answers[] = {
		6, 'm', 'a', 's', 't', 'e', 'r', 0xc0, 19, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1,
		0xc0, 30, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 2,
	};
	EQ_INT(dns_query_parse(query_leader, sizeof(query_leader), &q, NULL), 0);
	dns_answer_begin(&w, out, sizeof(out), &q);
	TRUE(dns_put_a(&w, DNS_ANSWER, "master.mesos", 60, 0x0a000001));
	TRUE(dns_put_a(&w, DNS_ANSWER, "master.mesos", 60, 0x0a000002));
	EQ_INT(w.len, sizeof(query_leader) + sizeof(answers));
	EQ_MEM(out + sizeof(query_leader), answers, sizeof(answers));
}

TEST(dns_wire, a_name_of_253_characters_is_the_longest)
{
	uint8_t msg[12 + 256 + 4] = { 0, 1, 1, 0, 0, 1 };
	struct dns_query q;
	size_t at = 12;
	for (int i = 0; i < 127; i++) {
		msg[at++] = 1;
		msg[at++] = 'a';
	}
	msg[at++] = 0;
	msg[at + 1] = msg[at + 3] = 1;
	EQ_INT(dns_query_parse(test_edge(msg, at + 4), at + 4, &q, NULL), 0);
	EQ_INT(q.name.len, 253);
	msg[12 + 253 - 1] = 2;      /* the last label has two letters */
	msg[at++] = 0;
	EQ_INT(dns_query_parse(test_edge(msg, at + 4), at + 4, &q, NULL), E_MALFORMED);
}

TEST(dns_wire, a_dot_inside_a_label_is_no_end_of_it)
{
	uint8_t msg[] = { 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 'x', '.', 'm', 'e', 's', 'o', 's', 0, 0, 1, 0, 1 };
	struct dns_query q;
	EQ_INT(dns_query_parse(test_edge(msg, sizeof(msg)), sizeof(msg), &q, NULL), 0);
	EQ_STR(q.name.text, "x?mesos");
}

TEST(dns_wire, an_answer_belongs_to_a_query_by_id_and_question)
{
	uint8_t answer[sizeof(query_leader) + 2];
	size_t n = sizeof(query_leader);
	memcpy(answer, query_leader, n);
	FALSE(dns_answers(answer, n, query_leader, n));      /* a query */
	answer[2] |= 0x80;
	TRUE(dns_is_response(answer, n));
	TRUE(dns_answers(answer, n, query_leader, n));
	answer[7] = 1;                                       /* records that cannot be read are the asker's affair */
	TRUE(dns_answers(answer, n, query_leader, n));
	answer[13] = 'l';
	TRUE(dns_answers(answer, n, query_leader, n));
	answer[13] = 'm';
	FALSE(dns_answers(answer, n, query_leader, n));
	answer[13] = 'l';
	answer[0]++;
	FALSE(dns_answers(answer, n, query_leader, n));
}

TEST(dns_wire, what_does_not_fit_is_left_out_whole_and_marked)
{
	struct dns_query q;
	struct dns_writer w;
	uint8_t out[64];
	EQ_INT(dns_query_parse(query_leader, sizeof(query_leader), &q, NULL), 0);
	dns_answer_begin(&w, out, sizeof(query_leader) + 20, &q);
	TRUE(dns_put_a(&w, DNS_ANSWER, "leader.mesos", 60, 1));
	FALSE(dns_put_a(&w, DNS_ANSWER, "leader.mesos", 60, 2));
	size_t n = dns_answer_end(&w, &q, true, true, DNS_NOERROR);
	EQ_INT(n, sizeof(query_leader) + 16);
	EQ_INT(out[2] & 2, 2);
	EQ_INT(out[7], 1);
}

/* ---- a small cluster ---- */

struct cluster {
	struct records r;
	dcos_ViewPort port;
	char *vips[1];
};

static void cluster_init(struct cluster *c)
{
	dcos_ViewMaster m = { .ip = "10.0.0.1", .has_leader = true, .leader = true, .has_port = true, .port = 5050 };
	dcos_ViewAgent a = { .ip = "10.0.0.2", .has_port = true, .port = 5051 };
	c->vips[0] = "/sise:80";
	c->port = (dcos_ViewPort){ .has_number = true, .number = 31644, .protocol = "tcp", .name = "http", .vips_count = 1, .vips = c->vips };
	dcos_ViewName t = {
		.task_id = "nginx.48dccce7-90bc-11e6-ae70-70b3d5800001", .name = "web.shop", .framework = "marathon",
		.agent_id = "cfa9c4ac-0d7e-4e9c-8d2f-4a1f0f0c0b9a-S7", .agent_ip = "10.0.0.2", .ports_count = 1, .ports = &c->port,
		.has_has_discovery = true, .has_discovery = true, .has_state = true, .state = mesos_v1_TaskState_TASK_RUNNING,
	};
	records_init(&c->r, 0x0a000001, 1700000000);
	records_add_master(&c->r, &m);
	records_add_agent(&c->r, &a);
	records_add_task(&c->r, &t);
	records_finish(&c->r);
}

/* "A 10.0.0.1" or "SRV host:port" of the first record, or "". */
static const char *first(const struct records *r, const char *name)
{
	static char text[300];
	const struct record_set *set = records_find(r, name);
	if (!set || !set->first)
		return "";
	uint32_t ip = set->first->ip4;
	if (set->first->type == DNS_A)
		(void)snprintf(text, sizeof(text), "A %u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
	else
		(void)snprintf(text, sizeof(text), "SRV %s:%u", set->first->target, set->first->port);
	return text;
}

TEST(dns_records, names_of_masters_agents_and_tasks)
{
	struct cluster c;
	cluster_init(&c);
	static const struct { const char *name, *record; } rows[] = {
		{ "leader.mesos", "A 10.0.0.1" },
		{ "master.mesos", "A 10.0.0.1" },
		{ "master0.mesos", "A 10.0.0.1" },
		{ "slave.mesos", "A 10.0.0.2" },
		{ "_leader._tcp.mesos", "SRV leader.mesos:5050" },
		{ "web-shop.marathon.mesos", "A 10.0.0.2" },
		{ "web-shop-jhy6r-s7.marathon.mesos", "A 10.0.0.2" },
		{ "web-shop.marathon.slave.mesos", "A 10.0.0.2" },
		{ "_web-shop._tcp.marathon.mesos", "SRV web-shop-jhy6r-s7.marathon.mesos:31644" },
		{ "_http._web-shop._tcp.marathon.mesos", "SRV web-shop-jhy6r-s7.marathon.mesos:31644" },
		{ "_web-shop._tcp.marathon.slave.mesos", "SRV web-shop-jhy6r-s7.marathon.slave.mesos:31644" },
		{ "_web-shop._udp.marathon.mesos", "" },
		{ "sise.marathon.l4lb.thisdcos.directory", "A 11.53.9.139" },
		{ "web-shop.marathon.agentip.dcos.thisdcos.directory", "A 10.0.0.2" },
		{ "web-shop.marathon.autoip.dcos.thisdcos.directory", "A 10.0.0.2" },
		{ "ready.spartan", "A 127.0.0.1" },
		{ "zk-5.zk", "A 10.0.0.1" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		EQ_STR(first(&c.r, rows[i].name), rows[i].record);
	records_fini(&c.r);
}

#define A62 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

TEST(dns_records, task_names_become_labels_as_in_mesos_dns)
{
	static const struct { const char *name, *label; } rows[] = {
		{ "web.shop", "web-shop" }, { "-Web_Shop-", "web-shop" }, { "a b/c", "abc" }, { "---", "" }, { "", "" },
		{ A62 "bc", A62 "b" }, { A62 "--bcd", A62 "b" }, { A62 "----", A62 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF struct buf out = BUF_INIT;
		mesos_label(&out, str_of(rows[i].name));
		EQ_STR(buf_cstr(&out), rows[i].label);
	}
}

TEST(dns_records, the_hash_of_a_task_id_is_mesos_dns)
{
	char hash[6];
	mesos_hash("test", hash);
	EQ_STR(hash, "iffe9");
	mesos_hash("nginx.48dccce7-90bc-11e6-ae70-70b3d5800001", hash);
	EQ_STR(hash, "jhy6r");
}

static int rcode_of(const struct records *r, const char *name, enum dns_type type, int *answers)
{
	uint8_t query[300], out[512];
	struct dns_query q;
	size_t n = dns_query_write(query, sizeof(query), 7, name, type);
	EQ_INT(dns_query_parse(query, n, &q, NULL), 0);
	n = records_answer(r, &q, 0, UINT32_MAX, out, sizeof(out));
	TRUE(n >= 12);
	*answers = out[6] << 8 | out[7];
	return out[3] & 15;
}

TEST(dns_records, empty_answers_have_mesos_dns_codes)
{
	struct cluster c;
	int answers;
	cluster_init(&c);
	EQ_INT(rcode_of(&c.r, "leader.mesos", DNS_A, &answers), DNS_NOERROR);
	EQ_INT(answers, 1);
	EQ_INT(rcode_of(&c.r, "nobody.mesos", DNS_A, &answers), DNS_NXDOMAIN);
	EQ_INT(answers, 0);
	EQ_INT(rcode_of(&c.r, "leader.mesos", DNS_AAAA, &answers), DNS_NOERROR);
	EQ_INT(rcode_of(&c.r, "_nobody._tcp.mesos", DNS_SRV, &answers), DNS_NOERROR);
	EQ_INT(rcode_of(&c.r, "*.leader.mesos", DNS_A, &answers), DNS_NOERROR);
	EQ_INT(answers, 1);
	EQ_INT(rcode_of(&c.r, "nobody.l4lb.thisdcos.directory", DNS_A, &answers), DNS_NXDOMAIN);
	records_fini(&c.r);
}

TEST(dns_records, zone_mesos_stands_below_thisdcos_directory_too)
{
	struct cluster c;
	uint8_t query[300], out[512];
	struct dns_query q;
	int answers;
	cluster_init(&c);
	EQ_INT(rcode_of(&c.r, "web-shop.marathon.mesos.thisdcos.directory", DNS_A, &answers), DNS_NOERROR);
	EQ_INT(answers, 1);
	EQ_INT(rcode_of(&c.r, "nobody.mesos.thisdcos.directory", DNS_A, &answers), DNS_NXDOMAIN);
	size_t n = dns_query_write(query, sizeof(query), 7, "_leader._tcp.mesos.thisdcos.directory", DNS_SRV);
	EQ_INT(dns_query_parse(query, n, &q, NULL), 0);
	n = records_answer(&c.r, &q, 0, UINT32_MAX, out, sizeof(out));
	static const uint8_t target[] = { 6, 'l', 'e', 'a', 'd', 'e', 'r', 5, 'm', 'e', 's', 'o', 's', 8, 't', 'h', 'i', 's' };
	TRUE(memmem(out, n, target, sizeof(target)) != NULL);
	records_fini(&c.r);
}

TEST(dns_records, several_addresses_take_turns_in_front)
{
	struct cluster c;
	struct dns_query q;
	uint8_t query[300], out[512];
	bool first_seen[2] = { 0 };
	dcos_ViewAgent a = { .ip = "10.0.0.3" };
	cluster_init(&c);
	records_add_agent(&c.r, &a);
	size_t n = dns_query_write(query, sizeof(query), 7, "slave.mesos", DNS_A);
	EQ_INT(dns_query_parse(query, n, &q, NULL), 0);
	for (uint32_t i = 0; i < 2; i++) {
		EQ_INT(records_answer(&c.r, &q, i, UINT32_MAX, out, sizeof(out)), n + 32);
		first_seen[out[n + 15] - 2] = true;      /* 10.0.0.2 or 10.0.0.3 */
	}
	TRUE(first_seen[0] && first_seen[1]);
	records_fini(&c.r);
}

TEST(dns_records, only_zones_of_the_cluster_are_ours)
{
	TRUE(records_ours("mesos"));
	TRUE(records_ours("a.b.mesos"));
	TRUE(records_ours("x.thisdcos.directory"));
	FALSE(records_ours("notmesos"));
	FALSE(records_ours("mesos.example.com"));
	FALSE(records_ours(""));
}
