/* SPDX-License-Identifier: Apache-2.0 */
/* dcos node: the machines of the cluster. */
#include <stdio.h>

#include "roles/cli/cli.h"

static bool is_public(yyjson_val *agent)
{
	yyjson_val *v = json_at(agent, "attributes.public_ip");
	return v && (yyjson_equals_str(v, "true") || yyjson_get_bool(v));
}

/* "slave(1)@192.168.65.111:5051" -> "192.168.65.111" */
static char *ip_of_pid(const char *pid)
{
	struct str s = str_of(pid);
	ssize_t at = str_rfind(s, '@');
	s = at >= 0 ? str_from(s, (size_t)at + 1) : s;
	return str_dup(str_cut(&s, ':'));
}

static void add_masters(struct table *t, yyjson_val *hosts, yyjson_val *state)
{
	yyjson_arr_iter it;
	yyjson_val *host;
	const char *leader = json_str(state, "leader_info.hostname", "");
	yyjson_arr_iter_init(hosts, &it);
	while ((host = yyjson_arr_iter_next(&it))) {
		const char *ip = json_str(host, "ip", "");
		bool leads = strcmp(ip, leader) == 0 || yyjson_arr_size(hosts) == 1;
		if (ip[0])
			table_add(t, (const char *[]){ "master.mesos.", ip, leads ? json_str(state, "id", NULL) : NULL,
						       leads ? "master (leader)" : "master", NULL, NULL });
	}
}

static int cmd_list(struct cli *c, struct err *e)
{
	AUTO_ANSWER struct answer state = { 0 };
	AUTO_ANSWER struct answer masters = { 0 };
	yyjson_arr_iter it;
	yyjson_val *agent;
	int rc = client_get(c, "/mesos/state", &state, e);
	if (rc == 0)
		rc = client_get(c, "/mesos_dns/v1/hosts/master.mesos", &masters, e);
	if (rc != 0)
		return rc;
	yyjson_val *root = answer_json(&state);
	yyjson_val *agents = json_at(root, "slaves");
	if (c->flags.json) {
		print_json(agents);
		return 0;
	}
	struct table *t = table_new("<HOSTNAME|<IP|<ID|<TYPE|<REGION|<ZONE");
	yyjson_arr_iter_init(agents, &it);
	while ((agent = yyjson_arr_iter_next(&it))) {
		AUTO_FREE char *ip = ip_of_pid(json_str(agent, "pid", ""));
		table_add(t, (const char *[]){ json_str(agent, "hostname", ""), ip, json_str(agent, "id", ""),
					       is_public(agent) ? "agent (public)" : "agent",
					       json_str(agent, "domain.fault_domain.region.name", NULL),
					       json_str(agent, "domain.fault_domain.zone.name", NULL) });
	}
	table_sort(t, 0);
	add_masters(t, answer_json(&masters), root);
	table_print(t);
	table_free(t);
	return 0;
}

static const struct flag list_flags[] = { FLAG_JSON, FLAG_END };
const struct command node_commands[] = {
	/* words       args  min max flags       fn        help */
	{ "node",      "",   0,  0,  list_flags, cmd_list, "Machines of the cluster" },
	{ "node list", "",   0,  0,  list_flags, cmd_list, "Machines of the cluster" },
	CMD_END,
};
