/* SPDX-License-Identifier: Apache-2.0 */
/* One function a building block of the v0 documents. */
#include "roles/master/mesos/state_json.h"

#include <inttypes.h>

#include "net/pb_json.h"
#include "roles/master/mesos/pools.h"
#include "roles/task.h"

void state_counts_add(struct state_counts *c, int32_t state)
{
#define CASE(s) case mesos_v1_TaskState_##s: c->s++; return;
	switch (state) { STATE_COUNTS(CASE) }
#undef CASE
	if (task_state_terminal((mesos_v1_TaskState)state))
		c->TASK_LOST++;          /* DROPPED, GONE …: what such a task would have been called before those existed */
}

void state_counts_write(struct jw *w, const struct state_counts *c)
{
#define WRITE(s) jw_int(w, #s, c->s);
	STATE_COUNTS(WRITE)
#undef WRITE
}

/* ---- resources ---- */

static void write_ranges(struct jw *w, const struct resources *r)
{
	AUTO_BUF struct buf text = BUF_INIT;
	buf_puts(&text, "[");
	for (size_t i = 0; i < r->port_count; i++)
		buf_printf(&text, "%s%" PRIu64 "-%" PRIu64, i > 0 ? ", " : "", r->ports[i].begin, r->ports[i].end);
	buf_puts(&text, "]");
	jw_strn(w, "ports", buf_view(&text));
}

static void write_resources(struct jw *w, const char *key, const struct resources *r)
{
	jw_obj(w, key);
	jw_num(w, "cpus", (double)r->cpus_milli / 1000.0);
	jw_num(w, "gpus", (double)r->gpus_milli / 1000.0);
	jw_num(w, "mem", (double)r->mem_milli / 1000.0);
	jw_num(w, "disk", (double)r->disk_milli / 1000.0);
	if (r->port_count > 0)
		write_ranges(w, r);
	jw_end(w);
}

void state_json_resources(struct jw *w, const char *key, const mesos_v1_Resource *rows, size_t count)
{
	struct resources r = { 0 };
	struct err e = { 0 };
	(void)resources_from_v1(&r, rows, count, &e);      /* rows of the view are ours: they were checked when they came in */
	write_resources(w, key, &r);
	resources_fini(&r);
}

static void write_message(struct jw *w, const char *key, const struct pb_json_type *type, const void *msg)
{
	AUTO_BUF struct buf text = BUF_INIT;
	if (msg && pb_json_write(&text, type, msg) == 0)
		jw_raw(w, key, buf_view(&text));
}

static void write_rows(struct jw *w, const char *key, const mesos_v1_Resource *rows, size_t count, const char *role)
{
	jw_arr(w, key);
	for (size_t i = 0; i < count; i++)
		if (!role || cstr_eq(rows[i].role ? rows[i].role : "*", role))
			write_message(w, NULL, &mesos_v1_Resource_json, &rows[i]);
	jw_end(w);
}

static void write_labels(struct jw *w, const char *key, const mesos_v1_Labels *l)
{
	jw_arr(w, key);
	for (size_t i = 0; l && i < l->labels_count; i++)
		write_message(w, NULL, &mesos_v1_Label_json, &l->labels[i]);
	jw_end(w);
}

/* ---- tasks ---- */

static void write_status(struct jw *w, const mesos_v1_TaskStatus *s)
{
	jw_obj(w, NULL);
	jw_str(w, "state", task_state_name(s->state));
	jw_num(w, "timestamp", s->timestamp);
	if (s->labels)
		write_labels(w, "labels", s->labels);
	write_message(w, "container_status", &mesos_v1_ContainerStatus_json, s->container_status);
	if (s->has_healthy)
		jw_bool(w, "healthy", s->healthy);
	jw_end(w);
}

static const char *allocation_role(const mesos_v1_TaskInfo *t)
{
	if (t->resources_count == 0)
		return "*";
	const mesos_v1_Resource *r = &t->resources[0];
	return r->allocation_info && r->allocation_info->role ? r->allocation_info->role : r->role ? r->role : "*";
}

static void write_limits(struct jw *w, const mesos_v1_TaskInfo *t)
{
	if (t->limits_count == 0)
		return;
	jw_obj(w, "limits");
	for (size_t i = 0; i < t->limits_count; i++)
		if (t->limits[i].key && t->limits[i].value)
			jw_num(w, t->limits[i].key, t->limits[i].value->value);
	jw_end(w);
}

void state_json_task(struct jw *w, const dcos_ViewTask *t)
{
	const mesos_v1_TaskInfo *info = t->info;
	jw_obj(w, NULL);
	jw_str(w, "id", info->task_id->value);
	jw_str(w, "name", info->name);
	jw_str(w, "framework_id", t->framework_id);
	jw_str(w, "executor_id", info->executor ? info->executor->executor_id->value : "");
	jw_str(w, "slave_id", info->agent_id->value);
	jw_str(w, "state", task_state_name((mesos_v1_TaskState)t->state));
	state_json_resources(w, "resources", info->resources, info->resources_count);
	write_limits(w, info);
	jw_str(w, "role", allocation_role(info));
	jw_arr(w, "statuses");
	for (size_t i = 0; i < t->statuses_count; i++)
		write_status(w, &t->statuses[i]);
	jw_end(w);
	if (info->command && info->command->user)
		jw_str(w, "user", info->command->user);
	if (info->labels)
		write_labels(w, "labels", info->labels);
	write_message(w, "discovery", &mesos_v1_DiscoveryInfo_json, info->discovery);
	write_message(w, "container", &mesos_v1_ContainerInfo_json, info->container);
	write_message(w, "health_check", &mesos_v1_HealthCheck_json, info->health_check);
	jw_end(w);
}

/* ---- agents ---- */

static void write_attributes(struct jw *w, const mesos_v1_AgentInfo *info)
{
	jw_obj(w, "attributes");
	for (size_t i = 0; i < info->attributes_count; i++) {
		const mesos_v1_Attribute *a = &info->attributes[i];
		if (a->scalar)
			jw_num(w, a->name, a->scalar->value);
		else if (a->text)
			jw_str(w, a->name, a->text->value);
		else if (a->ranges && a->ranges->range_count > 0) {
			AUTO_BUF struct buf text = BUF_INIT;
			for (size_t k = 0; k < a->ranges->range_count; k++)
				buf_printf(&text, "%s%" PRIu64 "-%" PRIu64, k > 0 ? ", " : "[", a->ranges->range[k].begin, a->ranges->range[k].end);
			buf_puts(&text, "]");
			jw_strn(w, a->name, buf_view(&text));
		}
	}
	jw_end(w);
}

/* {role: Resources} of what is reserved, and Resources of what is not; in full: the rows. */
static void write_reservations(struct jw *w, const mesos_v1_AgentInfo *info, bool full)
{
	struct pools total = { 0 };
	struct err e = { 0 };
	const struct resources none = { 0 };
	(void)pools_from_v1(&total, info->resources, info->resources_count, &e);      /* checked at registration */
	jw_obj(w, "reserved_resources");
	for (size_t i = 0; i < total.count; i++)
		if (strcmp(total.v[i].role, "*") != 0)
			write_resources(w, total.v[i].role, &total.v[i].r);
	jw_end(w);
	write_resources(w, "unreserved_resources", pools_find(&total, "*") ? pools_find(&total, "*") : &none);
	if (full) {
		jw_obj(w, "reserved_resources_full");
		for (size_t i = 0; i < total.count; i++)
			if (strcmp(total.v[i].role, "*") != 0)
				write_rows(w, total.v[i].role, info->resources, info->resources_count, total.v[i].role);
		jw_end(w);
		write_rows(w, "unreserved_resources_full", info->resources, info->resources_count, "*");
	}
	pools_fini(&total);
}

static double seconds(int64_t us) { return (double)us / 1e6; }

void state_json_agent_open(struct jw *w, const dcos_ViewAgent *a, bool full)
{
	static const char *const capabilities[] = { "MULTI_ROLE", "HIERARCHICAL_ROLE", "RESERVATION_REFINEMENT" };
	AUTO_FREE char *pid = xasprintf("slave(1)@%s:%u", a->ip ? a->ip : "", a->port);
	jw_obj(w, NULL);
	jw_str(w, "id", a->info->id->value);
	jw_str(w, "hostname", a->info->hostname);
	jw_int(w, "port", a->port);
	write_attributes(w, a->info);
	write_message(w, "domain", &mesos_v1_DomainInfo_json, a->info->domain);
	jw_str(w, "pid", pid);
	jw_num(w, "registered_time", seconds(a->registered_us));
	if (a->has_reregistered_us)
		jw_num(w, "reregistered_time", seconds(a->reregistered_us));
	state_json_resources(w, "resources", a->info->resources, a->info->resources_count);
	state_json_resources(w, "used_resources", a->used, a->used_count);
	state_json_resources(w, "offered_resources", a->offered, a->offered_count);
	write_reservations(w, a->info, full);
	if (full) {
		write_rows(w, "used_resources_full", a->used, a->used_count, NULL);
		write_rows(w, "offered_resources_full", a->offered, a->offered_count, NULL);
	}
	jw_bool(w, "active", a->active);
	jw_bool(w, "deactivated", false);
	jw_str(w, "version", a->version ? a->version : "");
	jw_arr(w, "capabilities");
	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++)
		jw_str(w, NULL, capabilities[i]);
	jw_end(w);
}

/* ---- frameworks ---- */

static bool has_capability(const mesos_v1_FrameworkInfo *info, mesos_v1_FrameworkInfo_Capability_Type type)
{
	for (size_t i = 0; i < info->capabilities_count; i++)
		if (info->capabilities[i].has_type && info->capabilities[i].type == type)
			return true;
	return false;
}

void state_json_framework_open(struct jw *w, const dcos_ViewFramework *f)
{
	const mesos_v1_FrameworkInfo *info = f->info;
	jw_obj(w, NULL);
	jw_str(w, "id", info->id->value);
	jw_str(w, "name", info->name);
	if (f->pid)
		jw_str(w, "pid", f->pid);
	state_json_resources(w, "used_resources", f->used, f->used_count);
	state_json_resources(w, "offered_resources", f->offered, f->offered_count);
	jw_arr(w, "capabilities");
	for (size_t i = 0; i < info->capabilities_count; i++)
		jw_str(w, NULL, mesos_v1_FrameworkInfo_Capability_Type_name(info->capabilities[i].type));
	jw_end(w);
	jw_str(w, "hostname", info->hostname ? info->hostname : "");
	jw_str(w, "webui_url", info->webui_url ? info->webui_url : "");
	jw_bool(w, "active", f->active);
	jw_bool(w, "connected", f->connected);
	jw_bool(w, "recovered", !f->active && !f->connected && !f->has_reregistered_us && !f->has_unregistered_us);
}

/* What it uses and is offered, as one. */
static void write_both(struct jw *w, const dcos_ViewFramework *f)
{
	struct resources used = { 0 }, offered = { 0 };
	struct err e = { 0 };
	(void)resources_from_v1(&used, f->used, f->used_count, &e);      /* rows of our own making */
	(void)resources_from_v1(&offered, f->offered, f->offered_count, &e);
	resources_add(&used, &offered);
	write_resources(w, "resources", &used);
	resources_fini(&used);
	resources_fini(&offered);
}

void state_json_framework_full(struct jw *w, const dcos_ViewFramework *f)
{
	const mesos_v1_FrameworkInfo *info = f->info;
	jw_str(w, "user", info->user);
	jw_num(w, "failover_timeout", info->has_failover_timeout ? info->failover_timeout : 0);
	jw_bool(w, "checkpoint", info->has_checkpoint && info->checkpoint);
	jw_num(w, "registered_time", seconds(f->registered_us));
	jw_num(w, "unregistered_time", seconds(f->has_unregistered_us ? f->unregistered_us : 0));
	if (info->principal)
		jw_str(w, "principal", info->principal);
	write_both(w, f);
	if (f->has_reregistered_us)
		jw_num(w, "reregistered_time", seconds(f->reregistered_us));
	if (has_capability(info, mesos_v1_FrameworkInfo_Capability_Type_MULTI_ROLE)) {
		jw_arr(w, "roles");
		for (size_t i = 0; i < info->roles_count; i++)
			jw_str(w, NULL, info->roles[i]);
		jw_end(w);
	} else {
		jw_str(w, "role", info->role ? info->role : "*");
	}
	if (info->labels)
		write_labels(w, "labels", info->labels);
}
