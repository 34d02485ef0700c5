/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules on a complete definition beyond types and ranges, with the texts of Marathon (reference, section 7), and what this
 * version cannot run: that is refused with a sentence rather than left undone.
 */
#include "roles/master/marathon/app.h"

#include <regex.h>
#include <stdio.h>

#include "roles/master/marathon/ids.h"

static yyjson_mut_val *get(yyjson_mut_val *obj, const char *key) { return yyjson_mut_obj_get(obj, key); }
static const char *text(yyjson_mut_val *obj, const char *key) { return yyjson_mut_get_str(get(obj, key)); }
static bool is(yyjson_mut_val *obj, const char *key, const char *value) { return cstr_eq(text(obj, key), value); }
static size_t length(yyjson_mut_val *list) { return list ? yyjson_mut_arr_size(list) : 0; }
static int64_t integer(yyjson_mut_val *obj, const char *key) { return yyjson_mut_get_sint(get(obj, key)); }

static bool host_network(yyjson_mut_val *app) { return is(yyjson_mut_arr_get_first(get(app, "networks")), "mode", "host"); }

/* ---- what is run ---- */

static void check_id(yyjson_mut_val *app, struct faults *f)
{
	const char *id = text(app, "id"), *fault = id ? path_fault(id) : "error.path.missing";
	if (!id)
		f->types = true;
	if (fault)
		fault_add(f, "/id", "%s", fault);
}

static void check_command(yyjson_mut_val *app, struct faults *f)
{
	bool cmd = get(app, "cmd"), args = get(app, "args"), image = get(get(app, "container"), "docker");
	if ((cmd && args) || (!cmd && !args && !image))
		fault_add(f, "/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.");
	if (is(get(app, "container"), "type", "DOCKER") && !image)
		fault_add(f, "/container/docker", "not defined");
	if (get(app, "check") && is(get(app, "container"), "type", "DOCKER"))
		fault_add(f, "/", "AppDefinition must not use 'checks' if using docker");
}

static bool name_chars(const char *s, bool env)
{
	if (env && *s >= '0' && *s <= '9')
		return false;
	for (; *s; s++) {
		bool letter = (*s >= 'a' && *s <= 'z') || (env && *s >= 'A' && *s <= 'Z');
		if (!letter && !(*s >= '0' && *s <= '9') && *s != (env ? '_' : '-'))
			return false;
	}
	return true;
}

static void check_env(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *env = get(app, "env"), *key;
	yyjson_mut_obj_iter it;
	if (!env)
		return;
	yyjson_mut_obj_iter_init(env, &it);
	while ((key = yyjson_mut_obj_iter_next(&it))) {
		const char *name = yyjson_mut_get_str(key);
		if (*name == '\0' || strlen(name) > 254 || !name_chars(name, true))
			fault_add(f, arena_printf(f->arena, "/env/%s", name),
				  "must contain only alphanumeric chars or underscore, must not begin with a number, and must be 254 chars or less");
	}
}

static void check_labels(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *labels = get(app, "labels"), *strategy = get(app, "upgradeStrategy");
	if (get(labels, "MARATHON_SINGLE_INSTANCE_APP")) {
		if (integer(app, "instances") > 1)
			fault_add(f, "/instances", "got %lld, expected 1 or less", (long long)integer(app, "instances"));
		if (yyjson_mut_get_num(get(strategy, "minimumHealthCapacity")) != 0)
			fault_add(f, "/upgradeStrategy/minimumHealthCapacity", "got %.1f, expected 0.0",
				  yyjson_mut_get_num(get(strategy, "minimumHealthCapacity")));
		if (yyjson_mut_get_num(get(strategy, "maximumOverCapacity")) != 0)
			fault_add(f, "/upgradeStrategy/maximumOverCapacity", "got %.1f, expected 0.0",
				  yyjson_mut_get_num(get(strategy, "maximumOverCapacity")));
	}
	if (get(labels, "DCOS_MIGRATION_API_VERSION") &&
	    (!get(labels, "DCOS_PACKAGE_FRAMEWORK_NAME") || !get(labels, "DCOS_MIGRATION_API_PATH")))
		fault_add(f, "/labels", "DCOS_PACKAGE_FRAMEWORK_NAME and DCOS_MIGRATION_API_PATH must be defined when using "
			  "DCOS_MIGRATION_API_VERSION");
}

static void check_unreachable(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *s = get(app, "unreachableStrategy");
	int64_t inactive = integer(s, "inactiveAfterSeconds"), expunge = integer(s, "expungeAfterSeconds");
	if (yyjson_mut_is_obj(s) && inactive > expunge)
		fault_add(f, "/unreachableStrategy", "inactiveAfterSeconds (%lld) must be less or equal to expungeAfterSeconds, which is %lld",
			  (long long)inactive, (long long)expunge);
}

/* ---- ports and networks ---- */

/* Two rows have the same name, or (numbers from 1) the same `number` member. */
static bool doubled(yyjson_mut_val *list, const char *member)
{
	yyjson_mut_val *a, *b;
	size_t i, k, n, m;
	yyjson_mut_arr_foreach(list, i, n, a) {
		yyjson_mut_val *va = get(a, member);
		if (!va || (yyjson_mut_is_int(va) && yyjson_mut_get_sint(va) == 0))
			continue;
		yyjson_mut_arr_foreach(list, k, m, b)
			if (k < i && get(b, member) && yyjson_mut_equals(va, get(b, member)))
				return true;
	}
	return false;
}

static void check_port_names(yyjson_mut_val *list, const char *path, struct faults *f)
{
	yyjson_mut_val *row;
	size_t i, n;
	yyjson_mut_arr_foreach(list, i, n, row) {
		const char *name = text(row, "name");
		size_t len = name ? strlen(name) : 1;
		if (name && (len == 0 || len > 63 || !name_chars(name, false) || name[0] == '-' || name[len - 1] == '-'))
			fault_add(f, arena_printf(f->arena, "%s(%zu)/name", path, i),
				  "must fully match regular expression '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'");
	}
	if (doubled(list, "name"))
		fault_add(f, path, "Port names must be unique.");
}

static void check_ports(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *definitions = get(app, "portDefinitions"), *mappings = get(get(app, "container"), "portMappings");
	if (definitions && !host_network(app))
		fault_add(f, "/portDefinitions", "portDefinitions are only allowed with host-networking");
	if (length(mappings) > 0 && host_network(app))
		fault_add(f, "/container/portMappings", "portMappings are not allowed with host-networking");
	check_port_names(definitions, "/portDefinitions", f);
	check_port_names(mappings, "/container/portMappings", f);
	if (doubled(definitions, "port"))
		fault_add(f, "/portDefinitions", "Ports must be unique.");
}

static void check_networks(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *networks = get(app, "networks"), *row;
	size_t hosts = 0, bridges = 0, i, n;
	yyjson_mut_arr_foreach(networks, i, n, row) {
		bool host = is(row, "mode", "host"), bridge = is(row, "mode", "container/bridge");
		const char *path = arena_printf(f->arena, "/networks(%zu)", i);
		hosts += host;
		bridges += bridge;
		if (host && (get(row, "name") || get(row, "labels")))
			fault_add(f, path, "Host networks may not have names or labels");
		if (bridge && get(row, "name"))
			fault_add(f, path, "Bridge networks may not have names");
		if (!host && !bridge && !get(row, "name"))
			fault_add(f, path, "Network name must be specified when container network is selected.");
	}
	if ((hosts > 0 || bridges > 0) && length(networks) > 1)
		fault_add(f, "/networks", "Must specify either a single host network, single bridge network, or else 1-to-n container networks");
	if (doubled(networks, "name"))
		fault_add(f, "/networks", "Duplicate networks are not allowed");
}

static void check_health(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *row;
	size_t ports = length(get(app, "portDefinitions")) + length(get(get(app, "container"), "portMappings")), i, n, by_mesos = 0;
	yyjson_mut_arr_foreach(get(app, "healthChecks"), i, n, row) {
		bool command = is(row, "protocol", "COMMAND");
		const char *path = arena_printf(f->arena, "/healthChecks(%zu)", i);
		by_mesos += command || cstr_starts(text(row, "protocol"), "MESOS_");
		if (command && !get(row, "command"))
			fault_add(f, arena_printf(f->arena, "%s/command", path), "not defined");
		if (!command && !get(row, "port") && (!get(row, "portIndex") || (uint64_t)integer(row, "portIndex") >= ports))
			fault_add(f, path, "Health check port indices must address an element of the ports array or container port mappings.");
	}
	if (by_mesos > 1)
		fault_add(f, "/", "AppDefinition can contain at most one Mesos health check");
}

/* ---- where it may run ---- */

/* The library expands repetitions: their product bounds what a pattern costs. */
#define REGEX_LENGTH_MAX 256
#define REGEX_REPEAT_MAX 1000

bool app_regex_ok(const char *pattern)
{
	uint64_t product = 1;
	regex_t compiled;
	if (*pattern == '\0' || strlen(pattern) > REGEX_LENGTH_MAX)
		return false;
	for (const char *p = pattern; (p = strchr(p, '{')); p++) {
		const char *comma = p + 1 + strspn(p + 1, "0123456789");
		unsigned long low = strtoul(p + 1, NULL, 10), high = *comma == ',' ? strtoul(comma + 1, NULL, 10) : 0;
		unsigned long most = MAX(low, high);
		if (most > 255)
			return false;
		product *= MAX(most, 1UL);
		if (product > REGEX_REPEAT_MAX)
			return false;
	}
	if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	regfree(&compiled);
	return true;
}

static bool whole_number(const char *s) { int64_t n; return s && str_i64(str_of(s), &n) && n >= 0; }

static const char *constraint_fault(const char *op, const char *value)
{
	if (strcmp(op, "UNIQUE") == 0)
		return value ? "UNIQUE does not accept a value" : NULL;
	if (strcmp(op, "CLUSTER") == 0)
		return NULL;
	if (strcmp(op, "MAX_PER") == 0)
		return whole_number(value) ? NULL : "MAX_PER requires an integer value";
	if (strcmp(op, "GROUP_BY") == 0)
		return !value || whole_number(value) ? NULL : "GROUP BY must define an integer value or else no value at all";
	if (strcmp(op, "LIKE") == 0 || strcmp(op, "UNLIKE") == 0) {
		if (!value || !*value)
			return "LIKE and UNLIKE require a non-empty, regular expression value";
		return app_regex_ok(value) ? NULL : "is not a valid regular expression";
	}
	if (strcmp(op, "IS") == 0)
		return value ? NULL : "IS only supports Mesos text and float values (see http://mesos.apache.org/documentation/latest/attributes-resources/)";
	return "operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, UNLIKE or IS";
}

static void check_constraints(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *row;
	size_t i, n;
	yyjson_mut_arr_foreach(get(app, "constraints"), i, n, row) {
		const char *path = arena_printf(f->arena, "/constraints(%zu)", i), *fault;
		if (length(row) < 2 || length(row) > 3) {
			fault_add(f, path, "Each constraint must have either 2 or 3 fields");
			continue;
		}
		fault = constraint_fault(yyjson_mut_get_str(yyjson_mut_arr_get(row, 1)), yyjson_mut_get_str(yyjson_mut_arr_get(row, 2)));
		if (!*yyjson_mut_get_str(yyjson_mut_arr_get(row, 0)))
			fault = "missing field for constraint declaration";
		if (fault)
			fault_add(f, path, "%s", fault);
	}
}

static void check_roles(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *role;
	size_t i, n;
	yyjson_mut_arr_foreach(get(app, "acceptedResourceRoles"), i, n, role) {
		const char *s = yyjson_mut_get_str(role);
		if (strcmp(s, "*") != 0 && strcmp(s, APP_ROLE) != 0) {
			fault_add(f, "/acceptedResourceRoles", "acceptedResourceRoles can only contain * and " APP_ROLE);
			return;
		}
	}
}

void app_validate(yyjson_mut_val *app, struct faults *f)
{
	check_id(app, f);
	check_command(app, f);
	check_env(app, f);
	check_labels(app, f);
	check_unreachable(app, f);
	check_ports(app, f);
	check_networks(app, f);
	check_health(app, f);
	check_constraints(app, f);
	check_roles(app, f);
}

/* ---- what this version does not do ---- */

struct missing { const char *member, *text; };

/* Members that change how an app behaves and that nothing acts on yet. */
static const struct missing missing_members[] = {
	{ "secrets",         "Feature secrets is not enabled. Enable with --enable_features secrets)" },
	{ "fetch",           "this version does not fetch URIs into the sandbox; put the files into the image" },
	{ "readinessChecks", "this version does not run readiness checks; leave them out" },
	{ "check",           "this version does not run checks; leave it out" },
	{ "residency",       "this version has no persistent volumes; leave residency out" },
	{ "resourceLimits",  "this version limits a task to the resources it requests; leave resourceLimits out" },
};

static void refuse_volumes(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *row;
	size_t i, n;
	yyjson_mut_arr_foreach(get(get(app, "container"), "volumes"), i, n, row) {
		const char *path = arena_printf(f->arena, "/container/volumes(%zu)", i);
		if (get(row, "persistent") || get(row, "external") || get(row, "secret"))
			fault_add(f, path, "this version has host volumes only (containerPath, hostPath, mode)");
		else if (!get(row, "containerPath") || !get(row, "hostPath") || !get(row, "mode"))
			fault_add(f, path, "Unknown app volume type");
	}
}

static void refuse_container(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *docker = get(get(app, "container"), "docker");
	if (length(get(docker, "parameters")) > 0)
		fault_add(f, "/container/docker/parameters", "this version has no docker daemon to hand parameters to; leave them out");
	if (get(docker, "pullConfig"))
		fault_add(f, "/container/docker/pullConfig", "Feature secrets is not enabled. Enable with --enable_features secrets)");
	refuse_volumes(app, f);
}

void app_refuse_unsupported(yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *key, *env = get(app, "env");
	yyjson_mut_obj_iter it;
	const char *executor = text(app, "executor"), *role = text(app, "role");
	for (size_t i = 0; i < ARRAY_LEN(missing_members); i++)
		if (get(app, missing_members[i].member))
			fault_add(f, arena_printf(f->arena, "/%s", missing_members[i].member), "%s", missing_members[i].text);
	if (env) {
		yyjson_mut_obj_iter_init(env, &it);
		while ((key = yyjson_mut_obj_iter_next(&it)))
			if (yyjson_mut_is_obj(yyjson_mut_obj_iter_get_val(key)))
				fault_add(f, "/env", "use of secret-references in the environment requires the secrets feature to be enabled");
	}
	if (integer(app, "gpus") > 0)
		fault_add(f, "/", "Feature gpu_resources is not enabled. Enable with --enable_features gpu_resources)");
	if (yyjson_mut_get_bool(get(app, "tty")))
		fault_add(f, "/tty", "this version gives tasks no terminal; leave tty out");
	if (*executor && strcmp(executor, "//cmd") != 0)
		fault_add(f, "/executor", "this version runs apps with its own executor only; leave executor out");
	if (role && strcmp(role, APP_ROLE) != 0 && strcmp(role, "*") != 0)
		fault_add(f, "/role", "got %s, expected one of: [" APP_ROLE ", *]", role);
	if (!host_network(app))
		fault_add(f, "/networks", "this version has host networking only; use networks [{\"mode\":\"host\"}] or docker network HOST");
	refuse_container(app, f);
}
