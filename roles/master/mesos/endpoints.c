/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of the master's HTTP endpoints, and the small ones themselves. Every path is served bare and below /master, as
 * libprocess does; some also with the old ".json". JSONP (?jsonp=callback) is what the Mesos web UI asks with.
 */
#include <sys/sysinfo.h>

#include "gen/version.h"
#include "net/json.h"
#include "roles/master/lead.h"
#include "roles/master/mesos/mesos_int.h"

/* ---- replies ---- */

static bool callback_name(const char *s)
{
	for (; *s; s++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$", *s))
			return false;
	return true;
}

void endpoints_reply(struct http_req *r, const char *jsonp, struct buf *json)
{
	if (!jsonp) {
		http_reply_json(r, 200, json);
		return;
	}
	if (!callback_name(jsonp)) {
		http_reply_text(r, 400, "'jsonp' must be the name of a function");
		return;
	}
	AUTO_BUF struct buf text = { .max = json->max };
	buf_printf(&text, "%s(", jsonp);
	buf_str(&text, buf_view(json));
	buf_puts(&text, ");");
	http_reply(r, 200, "text/javascript", buf_view(&text));
}

static void reply(struct http_req *r, struct buf *json)
{
	struct str jsonp = http_query(r, "jsonp");
	endpoints_reply(r, jsonp.p && jsonp.len > 0 ? arena_str(&r->arena, jsonp) : NULL, json);
}

/* The path alone is made relative to the scheme: behind a TLS-terminating proxy clients keep theirs. */
static void redirect(struct http_req *r, const struct lead_facts *f, struct str target)
{
	http_redirect(r, 307, arena_printf(&r->arena, "//%s:%u" STR_FMT, f->hostname, f->mesos_port, STR_ARG(target)));
}

bool mesos_leads_or_redirect(struct mesos *ms, struct http_req *r)
{
	struct lead_facts f;
	if (ms->model)
		return true;
	if (lead_now(ms->master->lead, &f) && !f.self)
		redirect(r, &f, r->target.p[0] == '/' ? r->target : r->path);     /* else the target was a whole URL */
	else
		http_reply_text(r, 503, "No leader elected");
	return false;
}

/* ---- about this master ---- */

static void get_health(struct http_req *r) { http_reply(r, 200, NULL, STR("")); }

void endpoints_version(struct jw *w)
{
	jw_str(w, "version", DCOS_MESOS_VERSION);
	jw_str(w, "build_date", "");          /* builds are reproducible: they know no date */
	jw_num(w, "build_time", 0);
	jw_str(w, "build_user", "dcos-node " DCOS_NODE_VERSION);
}

static void get_version(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	endpoints_version(&w);
	jw_end(&w);
	reply(r, &out);
}

static void duration(struct jw *w, const char *name, int64_t us)
{
	AUTO_FREE char *text = xasprintf("%gsecs", (double)us / 1e6);
	jw_str(w, name, text);
}

static void number(struct jw *w, const char *name, int64_t n)
{
	AUTO_FREE char *text = xasprintf("%lld", (long long)n);
	jw_str(w, name, text);
}

void endpoints_flags(struct mesos *ms, struct buf *out)
{
	const struct master_config *c = &ms->master->config;
	struct jw w = jw_start(out);
	jw_obj(&w, NULL);
	duration(&w, "agent_ping_timeout", c->agent_ping_timeout_us);
	duration(&w, "agent_reregister_timeout", AGENT_REREGISTER_TIMEOUT_US);
	jw_str(&w, "cluster", ms->master->node.config->cluster);
	jw_str(&w, "hostname", ms->master->node.hostname);
	jw_str(&w, "ip", ms->master->node.ip);
	number(&w, "max_agent_ping_timeouts", c->max_agent_ping_timeouts);
	number(&w, "max_completed_frameworks", FRAMEWORKS_COMPLETED_MAX);
	number(&w, "max_completed_tasks_per_framework", TASKS_COMPLETED_MAX);
	jw_str(&w, "min_allocatable_resources", "cpus:0.01|mem:32");
	duration(&w, "offer_timeout", c->offer_timeout_us);
	number(&w, "port", c->mesos_port);
	jw_str(&w, "quorum", "1");
	jw_str(&w, "version", "false");
	jw_str(&w, "work_dir", ms->master->node.config->state_dir);
	jw_end(&w);
}

static void get_flags(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	AUTO_BUF struct buf flags = BUF_INIT;
	struct jw w = jw_start(&out);
	endpoints_flags(r->arg, &flags);
	jw_obj(&w, NULL);
	jw_raw(&w, "flags", buf_view(&flags));
	jw_end(&w);
	reply(r, &out);
}

/* Any master, the leading one too: to the leader, without a path. */
static void get_redirect(struct http_req *r)
{
	struct mesos *ms = r->arg;
	struct lead_facts f;
	if (lead_now(ms->master->lead, &f))
		redirect(r, &f, STR(""));
	else
		http_reply_text(r, 503, "No leader elected");
}

static void get_metrics(struct http_req *r)
{
	struct mesos *ms = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	metrics_json(&ms->master->node.metrics, &out);
	reply(r, &out);
}

static void get_system(struct http_req *r)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct sysinfo s = { 0 };
	struct jw w = jw_start(&out);
	(void)sysinfo(&s);            /* cannot fail with a valid pointer */
	jw_obj(&w, NULL);
	jw_num(&w, "avg_load_1min", (double)s.loads[0] / 65536.0);
	jw_num(&w, "avg_load_5min", (double)s.loads[1] / 65536.0);
	jw_num(&w, "avg_load_15min", (double)s.loads[2] / 65536.0);
	jw_int(&w, "cpus_total", sysconf(_SC_NPROCESSORS_ONLN));
	jw_int(&w, "mem_total_bytes", (int64_t)s.totalram * s.mem_unit);
	jw_int(&w, "mem_free_bytes", (int64_t)s.freeram * s.mem_unit);
	jw_end(&w);
	reply(r, &out);
}

/* ---- roles ---- */

static void write_amounts(struct jw *w, const char *key, const struct resources *r)
{
	jw_obj(w, key);
	jw_num(w, "cpus", (double)r->cpus_milli / 1000.0);
	jw_num(w, "gpus", (double)r->gpus_milli / 1000.0);
	jw_num(w, "mem", (double)r->mem_milli / 1000.0);
	jw_num(w, "disk", (double)r->disk_milli / 1000.0);
	jw_end(w);
}

/* What is known of a role: who is in it, what they are offered, what is reserved to it. */
struct role_facts {
	struct resources offered, reserved;      /* scalars */
	struct map frameworks;
};

static struct role_facts *role_facts(struct map *roles, const char *name)
{
	struct role_facts *f = map_find_c(roles, name);
	if (f)
		return f;
	f = xcalloc(1, sizeof(*f));
	map_put_c(roles, name, f);
	return f;
}

static void add_scalars(struct resources *sum, const struct resources *r)
{
	struct resources scalars = *r;
	scalars.ports = NULL;
	scalars.port_count = 0;
	resources_add(sum, &scalars);
}

static void collect_roles(struct model *m, struct map *roles)
{
	list_each(&m->framework_list, it) {
		struct framework *f = list_entry(it, struct framework, link);
		for (size_t i = 0; i < f->role_count; i++)
			map_put_c(&role_facts(roles, f->roles[i])->frameworks, f->id, f);
	}
	map_each(&m->offers, entry) {
		const struct offer *o = entry->value;
		for (size_t i = 0; i < o->r.count; i++)
			add_scalars(&role_facts(roles, o->role)->offered, &o->r.v[i].r);
	}
	list_each(&m->agent_list, it) {
		const struct agent *a = list_entry(it, struct agent, link);
		const struct pools *total = a->slot == ALLOC_NONE ? &(struct pools){ 0 } : allocator_agent_total(m->alloc, a->slot);
		for (size_t i = 0; i < total->count; i++)
			if (strcmp(total->v[i].role, "*") != 0)
				add_scalars(&role_facts(roles, total->v[i].role)->reserved, &total->v[i].r);
	}
}

static void write_role(struct jw *w, const char *name, const struct role_facts *f, struct resources held)
{
	struct resources allocated = held;
	resources_sub_part(&allocated, &f->offered);
	jw_obj(w, NULL);
	jw_str(w, "name", name);
	jw_num(w, "weight", 1.0);
	jw_obj(w, "quota");
	jw_str(w, "role", name);
	jw_obj(w, "guarantee");
	jw_end(w);
	jw_obj(w, "limit");
	jw_end(w);
	write_amounts(w, "consumed", &allocated);
	jw_end(w);
	write_amounts(w, "resources", &held);
	write_amounts(w, "allocated", &allocated);
	write_amounts(w, "offered", &f->offered);
	write_amounts(w, "reserved", &f->reserved);
	jw_arr(w, "frameworks");
	map_each(&f->frameworks, entry)
		jw_str(w, NULL, entry->key);
	jw_end(w);
	jw_end(w);
}

static int name_cmp(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static void write_roles(struct jw *w, const struct model *m, struct map *roles)
{
	const char **names = xcalloc(map_count(roles), sizeof(char *));
	size_t n = 0;
	map_each(roles, entry)
		names[n++] = entry->key;
	if (n > 0)
		qsort(names, n, sizeof(char *), name_cmp);
	for (size_t i = 0; i < n; i++)
		write_role(w, names[i], map_find_c(roles, names[i]), allocator_role_held(m->alloc, names[i]));
	free(names);
}

static void get_roles(struct http_req *r)
{
	struct mesos *ms = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct map roles = { 0 };
	if (!mesos_leads_or_redirect(ms, r))
		return;
	collect_roles(ms->model, &roles);
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_arr(&w, "roles");
	write_roles(&w, ms->model, &roles);
	jw_end(&w);
	jw_end(&w);
	map_each(&roles, entry) {
		struct role_facts *f = entry->value;
		map_fini(&f->frameworks);
		free(f);
	}
	map_fini(&roles);
	reply(r, &out);
}

/* ---- POST /teardown, a form ---- */

static void post_teardown(struct http_req *r)
{
	struct mesos *ms = r->arg;
	struct str rest = r->body, value = { 0 };
	if (!mesos_leads_or_redirect(ms, r))
		return;
	while (rest.p) {
		struct str pair = str_cut(&rest, '&');
		if (str_eq_c(str_cut(&pair, '='), "frameworkId") && pair.p)
			(void)url_decode(&r->arena, pair, true, &value);      /* undecodable: as if it were missing */
	}
	if (!value.p) {
		http_reply_text(r, 400, "Missing 'frameworkId' query parameter in the request body");
		return;
	}
	struct framework *f = frameworks_find(ms->model, arena_str(&r->arena, value));
	if (!f) {
		http_reply_text(r, 400, "No framework found with specified ID");
		return;
	}
	frameworks_remove(mesos_enter(ms), f);
	http_reply(r, 200, NULL, STR(""));
}

/* ---- the table ---- */

#define BOTH(methods, path, fn, permission, body, help) \
	{ methods, path, fn, permission, body, help }, { methods, "/master" path, fn, permission, body, help },

const struct route mesos_routes[] = {
	/*   meth. path                  handler               permission         body max                help */
	BOTH(POST, "/api/v1/scheduler",  sched_api_call,       "mesos:scheduler", LIMIT_SCHED_CALL_BYTES, "Scheduler calls; SUBSCRIBE opens a stream")
	BOTH(GET,  "/flags",             get_flags,            "mesos:read",      0,                      "Flags and their values")
	BOTH(GET,  "/frameworks",        documents_frameworks, "mesos:read",      0,                      "Frameworks and their tasks. ?framework_id=")
	BOTH(GET,  "/health",            get_health,           NULL,              0,                      "200 while this master runs")
	{    GET,  "/metrics/snapshot",  get_metrics,          "mesos:read",      0,                      "Numbers, flat" },
	BOTH(GET,  "/redirect",          get_redirect,         NULL,              0,                      "307 to the leading master")
	BOTH(GET,  "/roles",             get_roles,            "mesos:read",      0,                      "Roles, who is in them and what they hold")
	BOTH(GET,  "/roles.json",        get_roles,            "mesos:read",      0,                      "As /roles")
	BOTH(GET,  "/slaves",            documents_slaves,     "mesos:read",      0,                      "Agents. ?slave_id=")
	BOTH(GET,  "/state",             documents_state,      "mesos:read",      0,                      "Everything: agents, frameworks, tasks")
	BOTH(GET,  "/state.json",        documents_state,      "mesos:read",      0,                      "As /state")
	BOTH(GET,  "/state-summary",     documents_summary,    "mesos:read",      0,                      "Agents and frameworks with counts of tasks")
	{    GET,  "/system/stats.json", get_system,           "mesos:read",      0,                      "Load and memory of this machine" },
	BOTH(GET,  "/tasks",             documents_tasks,      "mesos:read",      0,                      "?limit= ?offset= ?order= ?framework_id= ?task_id=")
	BOTH(GET,  "/tasks.json",        documents_tasks,      "mesos:read",      0,                      "As /tasks")
	BOTH(POST, "/teardown",          post_teardown,        "mesos:teardown",  64 * KIB,               "Remove a framework. Form: frameworkId=")
	BOTH(GET,  "/version",           get_version,          NULL,              0,                      "Version of the API and of this executable")
	ROUTE_END
};
