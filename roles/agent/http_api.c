/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's other HTTP endpoints, in Mesos' v0 forms: state, flags, metrics, statistics of containers. Each path also answers
 * below /slave(1), as libprocess named the agent's actor.
 */
#include "roles/agent/agent_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/sysinfo.h>

#include "gen/version.h"
#include "net/json.h"
#include "net/pb_json.h"
#include "roles/resources.h"

static const char *const capabilities[] = {
	"MULTI_ROLE", "HIERARCHICAL_ROLE", "RESERVATION_REFINEMENT", "TASK_RESOURCE_LIMITS",
};

/* ---- building blocks ---- */

static void write_message(struct jw *w, const char *key, const struct pb_json_type *type, const void *msg)
{
	AUTO_BUF struct buf text = BUF_INIT;
	if (msg && pb_json_write(&text, type, msg) == 0)
		jw_raw(w, key, buf_view(&text));
}

static void write_ranges(struct jw *w, const char *key, const mesos_v1_Value_Ranges *r)
{
	AUTO_BUF struct buf text = BUF_INIT;
	buf_putc(&text, '[');
	for (size_t i = 0; i < r->range_count; i++)
		buf_printf(&text, "%s%" PRIu64 "-%" PRIu64, i ? ", " : "", r->range[i].begin, r->range[i].end);
	buf_putc(&text, ']');
	jw_strn(w, key, buf_view(&text));
}

static void write_resources(struct jw *w, const char *key, const mesos_v1_Resource *rows, size_t count)
{
	static const char *const scalars[] = { "cpus", "gpus", "mem", "disk" };
	jw_obj(w, key);
	for (size_t s = 0; s < ARRAY_LEN(scalars); s++) {
		double sum = 0;
		for (size_t i = 0; i < count; i++)
			sum += cstr_eq(rows[i].name, scalars[s]) && rows[i].scalar ? rows[i].scalar->value : 0;
		jw_num(w, scalars[s], sum);
	}
	for (size_t i = 0; i < count; i++)
		if (rows[i].ranges)
			write_ranges(w, rows[i].name, rows[i].ranges);
	jw_end(w);
}

static void write_full(struct jw *w, const char *key, const mesos_v1_Resource *rows, size_t count)
{
	jw_arr(w, key);
	for (size_t i = 0; i < count; i++)
		write_message(w, NULL, &mesos_v1_Resource_json, &rows[i]);
	jw_end(w);
}

static void write_attributes(struct jw *w, const struct agent *a)
{
	jw_obj(w, "attributes");
	for (size_t i = 0; i < a->info.attributes_count; i++) {
		const mesos_v1_Attribute *at = &a->info.attributes[i];
		if (at->scalar)
			jw_num(w, at->name, at->scalar->value);
		else if (at->ranges)
			write_ranges(w, at->name, at->ranges);
		else if (at->text)
			jw_str(w, at->name, at->text->value);
	}
	jw_end(w);
}

static void write_flags(struct jw *w, const struct agent *a)
{
	const struct flag *const tables[] = { node_flags, agent_flags };
	jw_obj(w, "flags");
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (const struct flag *f = tables[t]; f->name; f++) {
			AUTO_BUF struct buf text = BUF_INIT;
			flag_value_text(f, &a->config, &text);
			AUTO_FREE char *name = xstrdup(f->name);
			for (char *at = name; *at; at++)
				*at = *at == '-' ? '_' : *at;      /* as Mesos spells them */
			jw_strn(w, name, buf_view(&text));
		}
	jw_end(w);
}

static void write_version(struct jw *w)
{
	jw_str(w, "version", "1.9.0");           /* the Mesos whose API this is */
	jw_str(w, "dcos_node_version", DCOS_NODE_VERSION);
}

/* ---- frameworks, executors, tasks ---- */

/* A task of the list or of the history: what both have. */
struct shown {
	const mesos_v1_FrameworkInfo *framework;
	const mesos_v1_TaskInfo *info;
	const char *framework_id, *task_id, *container_id, *sandbox;
	mesos_v1_TaskState state;
	const struct buf *latest;
	bool completed;
};

static struct shown show(const struct task *t)
{
	return (struct shown){ t->framework, t->info, t->framework_id, t->task_id, t->container_id, t->sandbox, t->state, &t->latest, false };
}

static struct shown show_done(const struct done_task *t)
{
	return (struct shown){ t->framework, t->info, t->framework_id, t->task_id, t->container_id, t->sandbox, t->state, &t->latest, true };
}

static void write_statuses(struct jw *w, const struct shown *s)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	mesos_v1_TaskStatus status;
	struct err e = { 0 };
	jw_arr(w, "statuses");
	if (s->latest->len > 0 && pb_read(&arena, mesos_v1_TaskStatus_fields, buf_view(s->latest), &status, &e) == 0) {
		jw_obj(w, NULL);
		jw_str(w, "state", task_state_name(status.state));
		jw_num(w, "timestamp", status.timestamp);
		write_message(w, "container_status", &mesos_v1_ContainerStatus_json, status.container_status);
		if (status.has_healthy)
			jw_bool(w, "healthy", status.healthy);
		jw_end(w);
	}
	jw_end(w);
}

static void write_task(struct jw *w, const struct agent *a, const struct shown *s)
{
	jw_obj(w, NULL);
	jw_str(w, "id", s->task_id);
	jw_str(w, "name", s->info->name);
	jw_str(w, "framework_id", s->framework_id);
	jw_str(w, "executor_id", s->task_id);
	jw_str(w, "slave_id", a->info.id ? a->info.id->value : "");
	jw_str(w, "state", task_state_name(s->state));
	write_resources(w, "resources", s->info->resources, s->info->resources_count);
	write_statuses(w, s);
	write_message(w, "discovery", &mesos_v1_DiscoveryInfo_json, s->info->discovery);
	write_message(w, "container", &mesos_v1_ContainerInfo_json, s->info->container);
	jw_end(w);
}

/* A command task has an executor of its own, by the same id. */
static void write_executor(struct jw *w, const struct agent *a, const struct shown *s)
{
	AUTO_FREE char *name = xasprintf("Command Executor (Task: %s)", s->task_id);
	bool over = task_state_terminal(s->state);
	jw_obj(w, NULL);
	jw_str(w, "id", s->task_id);
	jw_str(w, "name", name);
	jw_str(w, "source", s->task_id);
	jw_str(w, "container", s->container_id);
	jw_str(w, "directory", s->sandbox);
	write_resources(w, "resources", s->info->resources, s->info->resources_count);
	jw_arr(w, "tasks");
	if (!over)
		write_task(w, a, s);
	jw_end(w);
	jw_arr(w, "queued_tasks");
	jw_end(w);
	jw_arr(w, "completed_tasks");
	if (over)
		write_task(w, a, s);
	jw_end(w);
	jw_end(w);
}

static void each_shown(const struct agent *a, void (*fn)(void *arg, const struct shown *s), void *arg)
{
	list_each(&a->tasks, it) {
		struct shown s = show(list_entry(it, struct task, link));
		fn(arg, &s);
	}
	list_each(&a->completed, it) {
		struct shown s = show_done(list_entry(it, struct done_task, link));
		fn(arg, &s);
	}
}

struct framework_view {
	struct jw *w;
	const struct agent *a;
	const char *framework_id;
	bool completed;              /* which executors to write */
	struct map seen;             /* framework id -> its info */
	struct map active;           /* framework ids that still have a task */
};

static void note_framework(void *arg, const struct shown *s)
{
	struct framework_view *v = arg;
	(void)map_put_c(&v->seen, s->framework_id, (void *)s->framework);
	if (!s->completed)
		(void)map_put_c(&v->active, s->framework_id, (void *)s->framework);
}

static void write_if_ours(void *arg, const struct shown *s)
{
	struct framework_view *v = arg;
	if (s->completed == v->completed && strcmp(s->framework_id, v->framework_id) == 0)
		write_executor(v->w, v->a, s);
}

static void write_framework(struct framework_view *v, const char *id, const mesos_v1_FrameworkInfo *f)
{
	struct jw *w = v->w;
	v->framework_id = id;
	jw_obj(w, NULL);
	jw_str(w, "id", id);
	jw_str(w, "name", f->name);
	jw_str(w, "user", f->user);
	jw_num(w, "failover_timeout", f->failover_timeout);
	jw_bool(w, "checkpoint", f->checkpoint);
	jw_str(w, "hostname", f->hostname ? f->hostname : "");
	jw_str(w, "role", f->role ? f->role : "*");
	jw_arr(w, "executors");
	v->completed = false;
	each_shown(v->a, write_if_ours, v);
	jw_end(w);
	jw_arr(w, "completed_executors");
	v->completed = true;
	each_shown(v->a, write_if_ours, v);
	jw_end(w);
	jw_end(w);
}

static void write_frameworks(struct jw *w, const struct agent *a)
{
	struct framework_view v = { .w = w, .a = a };
	each_shown(a, note_framework, &v);
	jw_arr(w, "frameworks");
	map_each(&v.seen, row)
		if (map_find_c(&v.active, row->key))
			write_framework(&v, row->key, row->value);
	jw_end(w);
	jw_arr(w, "completed_frameworks");
	map_each(&v.seen, row)
		if (!map_find_c(&v.active, row->key))
			write_framework(&v, row->key, row->value);
	jw_end(w);
	map_fini(&v.seen);
	map_fini(&v.active);
}

/* ---- endpoints ---- */

static void get_state(struct http_req *r)
{
	struct agent *a = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	AUTO_FREE char *pid = xasprintf("slave(1)@%s:%u", a->node.ip, a->config.port);
	jw_obj(&w, NULL);
	write_version(&w);
	jw_num(&w, "start_time", (double)a->node.started_unix_us / 1e6);
	jw_str(&w, "id", a->info.id ? a->info.id->value : "");
	jw_str(&w, "pid", pid);
	jw_str(&w, "hostname", a->node.hostname);
	jw_arr(&w, "capabilities");
	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++)
		jw_str(&w, NULL, capabilities[i]);
	jw_end(&w);
	write_resources(&w, "resources", a->info.resources, a->info.resources_count);
	write_resources(&w, "unreserved_resources", a->info.resources, a->info.resources_count);
	write_full(&w, "unreserved_resources_full", a->info.resources, a->info.resources_count);
	write_attributes(&w, a);
	write_flags(&w, a);
	write_frameworks(&w, a);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void get_flags(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	write_flags(&w, r->arg);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void get_version(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	write_version(&w);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void get_health(struct http_req *r) { http_reply(r, 200, NULL, STR("")); }

static void get_metrics(struct http_req *r)
{
	struct agent *a = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	metrics_json(&a->node.metrics, &out);
	http_reply_json(r, 200, &out);
}

static void get_prometheus(struct http_req *r)
{
	struct agent *a = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	metrics_prometheus(&a->node.metrics, &out);
	http_reply(r, 200, "text/plain; version=0.0.4", buf_view(&out));
}

static double task_resource(const struct task *t, const char *name)
{
	double sum = 0;
	for (size_t i = 0; i < t->info->resources_count; i++)
		sum += cstr_eq(t->info->resources[i].name, name) && t->info->resources[i].scalar ? t->info->resources[i].scalar->value : 0;
	return sum;
}

static void write_statistics(struct jw *w, struct agent *a, struct task *t)
{
	AUTO_FREE char *cgroup = agent_container_cgroup(a, t->container_id);
	AUTO_FREE char *name = xasprintf("Command Executor (Task: %s)", t->task_id);
	struct cgroup_usage u;
	cgroup_read_usage(&a->cgroups, cgroup, &u);
	jw_obj(w, NULL);
	jw_str(w, "executor_id", t->task_id);
	jw_str(w, "executor_name", name);
	jw_str(w, "framework_id", t->framework_id);
	jw_str(w, "source", t->task_id);
	jw_obj(w, "statistics");
	jw_num(w, "cpus_limit", task_resource(t, "cpus"));
	jw_int(w, "cpus_nr_periods", u.periods);
	jw_int(w, "cpus_nr_throttled", u.throttled);
	jw_num(w, "cpus_system_time_secs", u.system_secs);
	jw_num(w, "cpus_throttled_time_secs", u.throttled_secs);
	jw_num(w, "cpus_user_time_secs", u.user_secs);
	jw_int(w, "mem_cache_bytes", u.cache_bytes);
	jw_int(w, "mem_limit_bytes", u.mem_limit_bytes);
	jw_int(w, "mem_mapped_file_bytes", u.mapped_bytes);
	jw_int(w, "mem_rss_bytes", u.rss_bytes);
	jw_int(w, "mem_total_bytes", u.mem_bytes);
	jw_int(w, "processes", u.processes);
	jw_num(w, "timestamp", (double)loop_unix_us(a->node.loop) / 1e6);
	jw_end(w);
	jw_end(w);
}

static void get_statistics(struct http_req *r)
{
	struct agent *a = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_arr(&w, NULL);
	list_each(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, link);
		if (a->config.isolate && t->phase == PHASE_LAUNCHED && !t->terminal)
			write_statistics(&w, a, t);
	}
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

static void get_system(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	struct sysinfo s;
	if (sysinfo(&s) != 0) {
		http_reply_text(r, 500, "Cannot look at this machine.\n");
		return;
	}
	jw_obj(&w, NULL);
	jw_num(&w, "avg_load_15min", (double)s.loads[2] / 65536.0);
	jw_num(&w, "avg_load_1min", (double)s.loads[0] / 65536.0);
	jw_num(&w, "avg_load_5min", (double)s.loads[1] / 65536.0);
	jw_int(&w, "cpus_total", sysconf(_SC_NPROCESSORS_ONLN));
	jw_int(&w, "mem_free_bytes", (int64_t)(s.freeram * s.mem_unit));
	jw_int(&w, "mem_total_bytes", (int64_t)(s.totalram * s.mem_unit));
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

#define AGENT(path, fn, help) \
	{ GET | HEAD, path,             fn, NULL, 0, help }, \
	{ GET | HEAD, "/slave(1)" path, fn, NULL, 0, "the same, by its actor's name" }
const struct route agent_routes[] = {
	AGENT("/flags",                   get_flags,      "Flags and their values"),
	AGENT("/health",                  get_health,     "200 while this process works"),
	AGENT("/metrics/prometheus",      get_prometheus, "Metrics in Prometheus' text form"),
	AGENT("/metrics/snapshot",        get_metrics,    "Metrics in one flat object"),
	AGENT("/monitor/statistics",      get_statistics, "What running containers use"),
	AGENT("/monitor/statistics.json", get_statistics, "The same, by its old name"),
	AGENT("/state",                   get_state,      "Resources, frameworks, executors, tasks"),
	AGENT("/state.json",              get_state,      "The same, by its old name"),
	AGENT("/system/stats.json",       get_system,     "Load and memory of the machine"),
	AGENT("/version",                 get_version,    "Which version this is"),
	ROUTE_END,
};
