/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about task states, and the row of a task that names, VIPs and edge read. Pure. */
#include "roles/task.h"

/* What Mesos calls a state, and whether a task in it has ended. Source: mesos.proto's TaskState. */
#define STATES(X) \
	X(TASK_STAGING,          false) \
	X(TASK_STARTING,         false) \
	X(TASK_RUNNING,          false) \
	X(TASK_KILLING,          false) \
	X(TASK_UNREACHABLE,      false) \
	X(TASK_UNKNOWN,          false) \
	X(TASK_FINISHED,         true) \
	X(TASK_FAILED,           true) \
	X(TASK_KILLED,           true) \
	X(TASK_ERROR,            true) \
	X(TASK_LOST,             true) \
	X(TASK_DROPPED,          true) \
	X(TASK_GONE,             true) \
	X(TASK_GONE_BY_OPERATOR, true)

const char *task_state_name(mesos_v1_TaskState s)
{
#define NAME(state, terminal) case mesos_v1_TaskState_##state: return #state;
	switch (s) { STATES(NAME) }
#undef NAME
	return "TASK_UNKNOWN";
}

bool task_state_terminal(mesos_v1_TaskState s)
{
#define TERMINAL(state, terminal) case mesos_v1_TaskState_##state: return terminal;
	switch (s) { STATES(TERMINAL) }
#undef TERMINAL
	return false;
}

/* ---- the view's row ---- */

static uint32_t mapped_container_port(const mesos_v1_TaskInfo *task, uint32_t host_port)
{
	const mesos_v1_ContainerInfo *c = task->container;
	if (!c)
		return 0;
	for (size_t i = 0; c->docker && i < c->docker->port_mappings_count; i++)
		if (c->docker->port_mappings[i].host_port == host_port)
			return c->docker->port_mappings[i].container_port;
	for (size_t n = 0; n < c->network_infos_count; n++)
		for (size_t i = 0; i < c->network_infos[n].port_mappings_count; i++)
			if (c->network_infos[n].port_mappings[i].host_port == host_port)
				return c->network_infos[n].port_mappings[i].container_port;
	return 0;
}

static void set_container_port(const mesos_v1_TaskInfo *task, dcos_ViewPort *p)
{
	p->container_port = mapped_container_port(task, p->number);
	p->has_container_port = p->container_port != 0;
}

/* Labels "VIP_0", "vip_http" …: the value is the VIP. */
static void set_vips(struct arena *a, dcos_ViewPort *p)
{
	p->vips = arena_array(a, char *, p->labels_count);
	for (size_t i = 0; i < p->labels_count; i++)
		if (str_starts(str_of(p->labels[i].key), STR("VIP")) || str_starts(str_of(p->labels[i].key), STR("vip")))
			if (p->labels[i].value)
				p->vips[p->vips_count++] = p->labels[i].value;
}

static void ports_of_discovery(struct arena *a, const mesos_v1_TaskInfo *task, dcos_ViewName *out)
{
	const mesos_v1_Ports *ports = task->discovery->ports;
	if (!ports)
		return;
	out->ports = arena_array(a, dcos_ViewPort, ports->ports_count);
	out->ports_count = ports->ports_count;
	for (size_t i = 0; i < ports->ports_count; i++) {
		const mesos_v1_Port *from = &ports->ports[i];
		dcos_ViewPort *p = &out->ports[i];
		p->has_number = true;
		p->number = from->number;
		p->name = from->name;
		p->protocol = from->protocol;
		if (from->labels) {
			p->labels = from->labels->labels;
			p->labels_count = from->labels->labels_count;
		}
		set_vips(a, p);
		set_container_port(task, p);
	}
}

#define PORTS_SHOWN 256          /* a task without discovery info that takes more ports than that names the first ones */

static void ports_of_resources(struct arena *a, const mesos_v1_TaskInfo *task, dcos_ViewName *out)
{
	out->ports = arena_array(a, dcos_ViewPort, PORTS_SHOWN);
	for (size_t i = 0; i < task->resources_count; i++) {
		const mesos_v1_Resource *r = &task->resources[i];
		if (!cstr_eq(r->name, "ports") || !r->ranges)
			continue;
		for (size_t k = 0; k < r->ranges->range_count; k++) {
			for (uint64_t n = r->ranges->range[k].begin; n <= r->ranges->range[k].end && n <= UINT16_MAX; n++) {
				if (out->ports_count == PORTS_SHOWN)
					return;
				dcos_ViewPort *p = &out->ports[out->ports_count++];
				p->has_number = true;
				p->number = (uint32_t)n;
				set_container_port(task, p);
			}
		}
	}
}

/* Task label "vip_port0" (any case) with "tcp://vip:port": the VIP of the first host port. */
static void add_task_vips(struct arena *a, const mesos_v1_TaskInfo *task, dcos_ViewName *out)
{
	for (size_t i = 0; task->labels && i < task->labels->labels_count; i++) {
		const mesos_v1_Label *l = &task->labels->labels[i];
		struct str key = str_of(l->key), value = str_of(l->value);
		uint64_t at;
		if (key.len < 9 || !str_ieq(str_head(key, 8), STR("vip_port")) || !str_u64(str_from(key, 8), &at) || at >= out->ports_count)
			continue;
		bool udp = str_starts(value, STR("udp://"));
		if (!udp && !str_starts(value, STR("tcp://")))
			continue;
		dcos_ViewPort *p = &out->ports[at];
		char **vips = arena_array(a, char *, p->vips_count + 1);
		if (p->vips_count > 0)
			memcpy(vips, p->vips, p->vips_count * sizeof(*vips));
		vips[p->vips_count++] = l->value + 6;
		p->vips = vips;
		p->protocol = udp ? "udp" : "tcp";
	}
}

static void set_container_ips(struct arena *a, const mesos_v1_ContainerStatus *c, dcos_ViewName *out)
{
	size_t count = 0;
	for (size_t n = 0; n < c->network_infos_count; n++)
		count += c->network_infos[n].ip_addresses_count;
	out->container_ips = arena_array(a, char *, count);
	for (size_t n = 0; n < c->network_infos_count; n++)
		for (size_t i = 0; i < c->network_infos[n].ip_addresses_count; i++)
			if (c->network_infos[n].ip_addresses[i].ip_address)
				out->container_ips[out->container_ips_count++] = c->network_infos[n].ip_addresses[i].ip_address;
}

void task_view_name(struct arena *a, const mesos_v1_TaskInfo *task, const char *framework_name, const char *agent_ip,
		    const mesos_v1_TaskStatus *latest, bool draining, dcos_ViewName *out)
{
	*out = (dcos_ViewName)dcos_ViewName_init_zero;
	out->task_id = task->task_id->value;
	out->name = task->discovery && task->discovery->name ? task->discovery->name : task->name;
	out->framework = arena_strdup(a, framework_name);
	out->agent_id = task->agent_id->value;
	out->agent_ip = arena_strdup(a, agent_ip);
	out->has_has_discovery = true;
	out->has_discovery = task->discovery != NULL;
	if (task->discovery)
		ports_of_discovery(a, task, out);
	else
		ports_of_resources(a, task, out);
	add_task_vips(a, task, out);
	if (task->labels) {
		out->labels = task->labels->labels;
		out->labels_count = task->labels->labels_count;
	}
	out->has_state = true;
	out->state = mesos_v1_TaskState_TASK_STAGING;
	if (latest) {
		out->state = (int32_t)latest->state;
		out->has_healthy = latest->has_healthy;
		out->healthy = latest->healthy;
		if (latest->container_status)
			set_container_ips(a, latest->container_status, out);
	}
	out->has_draining = draining;
	out->draining = draining;
}
