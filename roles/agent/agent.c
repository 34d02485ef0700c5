/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent role: what runs on every node that works. This file reads the flags and puts the parts together; the order is
 * identity, recovery, executors' socket, HTTP, master. SIGTERM ends the agent only: tasks go on and are taken over by the next.
 */
#include "roles/agent/agent_int.h"

#include <fcntl.h>
#include <stdio.h>

#include "net/base/log.h"
#include "roles/roles.h"

#define AT(field) offsetof(struct agent_config, field)
const struct flag agent_flags[] = {
	/* name                  type           field                          default                min max         env                        help */
	{ "port",                FLAG_PORT,     AT(port),                      "5051",                1, 65535,       "MESOS_PORT",              "TCP port of the agent's HTTP API" },
	{ "work-dir",            FLAG_STRING,   AT(work_dir),                  "/var/lib/mesos/slave", 0, 0,          "MESOS_WORK_DIR",          "where sandboxes and roots of containers stand" },
	{ "run-dir",             FLAG_STRING,   AT(run_dir),                   NULL,                  0, 0,           "MESOS_RUNTIME_DIR",       "where the executors' socket stands (default: run in --state-dir)" },
	{ "image-dir",           FLAG_LIST,     AT(image_dir),                 NULL,                  0, 0,           "DCOS_IMAGE_DIR",          "directory with OCI layouts and `docker save` archives" },
	{ "store-dir",           FLAG_STRING,   AT(store_dir),                 NULL,                  0, 0,           "MESOS_DOCKER_STORE_DIR",  "where unpacked layers are kept (default: store in --work-dir)" },
	{ "attributes",          FLAG_STRING,   AT(attributes),                NULL,                  0, 0,           "MESOS_ATTRIBUTES",        "NAME:VALUE;… that constraints may ask for" },
	{ "resources",           FLAG_STRING,   AT(resources),                 NULL,                  0, 0,           "MESOS_RESOURCES",         "cpus:4;mem:2048;… or JSON; what is not named is detected" },
	{ "default-role",        FLAG_STRING,   AT(default_role),              NULL,                  0, 0,           "MESOS_DEFAULT_ROLE",      "role of resources that name none (default: *, slave_public with --public)" },
	{ "public",              FLAG_BOOL,     AT(public),                    "false",               0, 0,           "DCOS_PUBLIC_AGENT",       "a public agent: role slave_public, attribute public_ip:true" },
	{ "dns",                 FLAG_LIST,     AT(dns),                       NULL,                  0, 0,           "DCOS_CONTAINER_DNS",      "nameserver of containers; repeat (default: 198.51.100.1 to .3; the host's without isolation)" },
	{ "isolate",             FLAG_BOOL,     AT(isolate),                   "true",                0, 0,           "DCOS_ISOLATE",            "namespaces and cgroups for tasks; needs root" },
	{ "cgroups-enable-cfs",  FLAG_BOOL,     AT(cfs),                       "true",                0, 0,           "MESOS_CGROUPS_ENABLE_CFS", "cap the CPU time of tasks, not only share it" },
	{ "executor-registration-timeout", FLAG_DURATION, AT(registration_timeout_us), "10mins",      SEC, DAY,       "MESOS_EXECUTOR_REGISTRATION_TIMEOUT", "an executor that takes longer to connect is ended" },
	{ "executor-reregistration-timeout", FLAG_DURATION, AT(reregistration_timeout_us), "10secs",  SEC, HOUR,      "MESOS_EXECUTOR_REREGISTRATION_TIMEOUT", "the same after a restart of the agent" },
	{ "recovery-timeout",    FLAG_DURATION, AT(recovery_timeout_us),       "24hrs",               SEC, 52 * WEEK, "MESOS_RECOVERY_TIMEOUT",  "executors end their task when no agent comes back for so long" },
	{ "gc-delay",            FLAG_DURATION, AT(gc_delay_us),               "2days",               0, 52 * WEEK,   "MESOS_GC_DELAY",          "age at which sandboxes are deleted, sooner on a full disk" },
	{ "disk-watch-interval", FLAG_DURATION, AT(disk_watch_us),             "1mins",               SEC, DAY,       "MESOS_DISK_WATCH_INTERVAL", "how often old sandboxes are looked for" },
	FLAG_END,
};
#undef AT

#define METRIC_ROW(type, name, field, unit, help) { METRIC_##type, name, offsetof(struct agent_metrics, field), unit, help },
static const struct metric metric_rows[] = { AGENT_METRICS(METRIC_ROW) };

static void refresh_metrics(void *arg)
{
	struct agent *a = arg;
	struct agent_metrics *m = &a->metrics;
	struct map frameworks = { 0 };
	m->registered = a->registered;
	m->uptime_secs = (double)(loop_unix_us(a->node.loop) - a->node.started_unix_us) / (double)SEC;
	m->tasks_staging = m->tasks_starting = m->tasks_running = m->executors_running = 0;
	list_each(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, link);
		m->tasks_staging += t->state == mesos_v1_TaskState_TASK_STAGING;
		m->tasks_starting += t->state == mesos_v1_TaskState_TASK_STARTING;
		m->tasks_running += t->state == mesos_v1_TaskState_TASK_RUNNING;
		m->executors_running += t->peer != NULL;
		(void)map_put_c(&frameworks, t->framework_id, t);
	}
	m->frameworks_active = (double)map_count(&frameworks);
	tasks_used(a, &m->cpus_used, &m->mem_used);
	map_fini(&frameworks);
}

/* ---- start ---- */

static void default_string(char **at, const char *fmt, const char *dir)
{
	if (!*at)
		*at = xasprintf(fmt, dir);
}

static int check_config(struct agent *a, struct err *e)
{
	struct agent_config *c = &a->config;
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return err_sys(e, "find this executable through /proc/self/exe");
	self[n] = '\0';
	a->self = xstrdup(self);
	default_string(&c->run_dir, "%s/run", c->common.state_dir);
	default_string(&c->store_dir, "%s/store", c->work_dir);
	if (c->isolate)
		default_string(&c->dns, "%s\n198.51.100.2\n198.51.100.3", "198.51.100.1");
	if (c->isolate && geteuid() != 0)
		return err_set(e, E_DENIED, "isolating tasks needs root; --no-isolate runs them without");
	if (c->common.cgroup[0] != '/' || strstr(c->common.cgroup, "..") || strcmp(c->common.cgroup, "/") == 0)
		return err_set(e, E_USAGE, "--cgroup wants a path such as /dcos, not '%s'", c->common.cgroup);
	return node_master_count(&a->node) > 0 ? 0 : err_set(e, E_USAGE, "an agent needs a master; give one with --masters IP");
}

/* Executors stand in a leaf of their own: in cgroup v2 a group with limits for its children holds no processes. */
static int prepare_cgroups(struct agent *a, struct err *e)
{
	AUTO_FREE char *executors = xasprintf("%s/executors", a->config.common.cgroup);
	if (!a->config.isolate)
		return 0;
	int rc = cgroup_detect("/proc/self/mountinfo", &a->cgroups, e);
	if (rc == 0 && !cgroup_present(&a->cgroups))
		rc = err_set(e, E_UNSUPPORTED, "no cgroups are mounted on this machine; mount them, or give --no-isolate");
	return rc != 0 ? rc : cgroup_create(&a->cgroups, executors, e);
}

static int prepare(struct agent *a, struct err *e)
{
	AUTO_FREE char *roots = xasprintf("%s/provisioner/containers", a->config.work_dir);
	AUTO_FREE char *checkpoint = node_path(&a->node, "checkpoint");
	int rc = check_config(a, e);
	if (rc == 0)
		rc = node_mkdirs(roots, 0755, e);
	if (rc == 0)
		rc = node_mkdirs(a->config.store_dir, 0755, e);
	if (rc == 0)
		rc = node_mkdirs(checkpoint, 0700, e);
	if (rc == 0)
		rc = prepare_cgroups(a, e);
	if (rc == 0)
		rc = detect_info(a, e);
	if (rc == 0)
		rc = checkpoint_open(a->node.loop, checkpoint, &a->checkpoint, e);
	if (rc == 0)
		rc = node_open_view(&a->node, e);
	if (rc == 0)
		(void)view_try_lock(a->node.view);   /* we dial the master anyway: so dns and lb of this node need not */
	return rc;
}

static int listen_http(struct agent *a, struct err *e)
{
	struct sock_addr at;
	http_routes_add(&a->routes, files_routes, a);
	http_routes_add(&a->routes, agent_routes, a);
	int rc = sock_addr_parse(&at, a->node.ip, a->config.port, e);
	return rc != 0 ? rc : http_listen(a->node.loop, &at, NULL, &a->routes, &a->http, e);
}

/* The node has its certificate: everything else can start. */
static void on_identity(struct node *n)
{
	struct agent *a = container_of(n, struct agent, node);
	struct err e = { 0 };
	a->gc = gc_start(a);
	int rc = executor_api_listen(a, &e);
	if (rc == 0)
		rc = recover_all(a, &e);
	if (rc == 0)
		rc = listen_http(a, &e);
	if (rc != 0)
		exit(node_die("agent", &e));     /* a supervisor tries again; tasks go on meanwhile */
	register_start(a);
}

int agent_main(int argc, char **argv)
{
	static const struct flag *const tables[] = { node_flags, agent_flags, NULL };
	struct agent *a = xcalloc(1, sizeof(*a));
	struct err e = { 0 };
	int code = 0;
	arena_init(&a->arena, ARENA_MAX_DEFAULT);
	list_init(&a->tasks);
	list_init(&a->completed);
	if (!node_init(&a->node, "agent", tables, &a->config, argc, argv,
		       "Run tasks in containers on this machine, for the masters given with --masters.", &code))
		return code;
	metrics_add(&a->node.metrics, (struct metric_set){ .rows = metric_rows, .count = ARRAY_LEN(metric_rows),
							   .values = &a->metrics, .refresh = refresh_metrics, .arg = a });
	if (prepare(a, &e) != 0)
		return node_die("agent", &e);
	identity_start(&a->node, on_identity);
	code = node_run(&a->node);
	leader_stop(a->leader);
	node_fini(&a->node);
	checkpoint_close(a->checkpoint);
	return code;
}
