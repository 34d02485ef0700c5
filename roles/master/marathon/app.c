/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of an app and the way from what clients send to the canonical form. Sources: Marathon 1.5 RAML, AppNormalization.
 * Semantic rules stand in app_validate.c.
 */
#include "roles/master/marathon/app.h"

#include <math.h>

#include "roles/master/marathon/ids.h"

#define NUM(name_, def_, lo_, hi_) { .name = (name_), .kind = SCHEMA_NUM, .def = (def_), .flags = SCHEMA_RANGE, .lo = (lo_), .hi = (hi_) }
#define INT(name_, def_, lo_, hi_) { .name = (name_), .kind = SCHEMA_INT, .def = (def_), .flags = SCHEMA_RANGE, .lo = (lo_), .hi = (hi_) }
#define BOOL(name_, def_) { .name = (name_), .kind = SCHEMA_BOOL, .def = (def_) }
#define TEXT(name_, def_) { .name = (name_), .kind = SCHEMA_STRING, .def = (def_) }
#define TEXT_NEEDED(name_) { .name = (name_), .kind = SCHEMA_STRING, .flags = SCHEMA_REQUIRED | SCHEMA_NONEMPTY }
#define WORD(name_, def_, words_) { .name = (name_), .kind = SCHEMA_STRING, .def = (def_), .words = (words_) }
#define OBJECT(name_, of_, def_, flags_) { .name = (name_), .kind = SCHEMA_OBJECT, .of = (of_), .def = (def_), .flags = (flags_) }
#define LIST(name_, of_, def_, flags_) { .name = (name_), .kind = SCHEMA_LIST, .of = (of_), .def = (def_), .flags = (flags_) }
#define MAP(name_, of_, def_, flags_) { .name = (name_), .kind = SCHEMA_MAP, .of = (of_), .def = (def_), .flags = (flags_) }

static const struct schema a_string = { .name = "", .kind = SCHEMA_STRING };
static const struct schema a_port = { .name = "", .kind = SCHEMA_INT, .flags = SCHEMA_RANGE, .lo = 0, .hi = 65535 };
static const struct schema a_string_list = { .name = "", .kind = SCHEMA_LIST, .of = &a_string };
static const struct schema a_code = { .name = "", .kind = SCHEMA_INT, .flags = SCHEMA_RANGE, .lo = 100, .hi = 999 };

static const struct schema secret_ref_fields[] = { TEXT_NEEDED("secret"), SCHEMA_END };
static const struct schema secret_ref = { .name = "", .kind = SCHEMA_OBJECT, .of = secret_ref_fields };
static const struct schema env_value = { .name = "", .kind = SCHEMA_STRING_OR, .of = &secret_ref };
static const struct schema secret_fields[] = { TEXT_NEEDED("source"), SCHEMA_END };
static const struct schema secret_value = { .name = "", .kind = SCHEMA_OBJECT, .of = secret_fields };

static const struct schema key_value_fields[] = { TEXT_NEEDED("key"), TEXT("value", "\"\""), SCHEMA_END };
static const struct schema key_value = { .name = "", .kind = SCHEMA_OBJECT, .of = key_value_fields };

static const struct schema port_mapping_fields[] = {
	INT("containerPort", "0", 0, 65535),
	INT("hostPort", NULL, 0, 65535),
	MAP("labels", &a_string, "{}", 0),
	TEXT("name", NULL),
	LIST("networkNames", &a_string, NULL, SCHEMA_HIDE_EMPTY),
	WORD("protocol", "\"tcp\"", "tcp|udp|udp,tcp"),
	INT("servicePort", "0", 0, 65535),
	SCHEMA_END,
};
static const struct schema port_mapping = { .name = "", .kind = SCHEMA_OBJECT, .of = port_mapping_fields };

static const struct schema pull_config_fields[] = { TEXT_NEEDED("secret"), SCHEMA_END };
static const struct schema docker_fields[] = {
	BOOL("forcePullImage", "false"),
	TEXT_NEEDED("image"),
	LIST("parameters", &key_value, "[]", 0),
	BOOL("privileged", "false"),
	OBJECT("pullConfig", pull_config_fields, NULL, 0),
	{ .name = "network", .kind = SCHEMA_STRING, .words = "HOST|BRIDGE|NONE|USER" },
	LIST("portMappings", &port_mapping, NULL, 0),
	SCHEMA_END,
};

static const struct schema persistent_fields[] = {
	INT("maxSize", NULL, 0, INFINITY),
	TEXT("profileName", NULL),
	{ .name = "size", .kind = SCHEMA_INT, .flags = SCHEMA_RANGE | SCHEMA_REQUIRED, .lo = 1, .hi = INFINITY },
	WORD("type", "\"root\"", "root|path|mount"),
	LIST("constraints", &a_string_list, "[]", 0),
	SCHEMA_END,
};
static const struct schema external_fields[] = {
	TEXT("name", NULL),
	MAP("options", &a_string, "{}", 0),
	TEXT("provider", NULL),
	BOOL("shared", NULL),
	INT("size", NULL, 1, INFINITY),
	SCHEMA_END,
};
static const struct schema volume_fields[] = {
	TEXT("containerPath", NULL),
	OBJECT("external", external_fields, NULL, 0),
	TEXT("hostPath", NULL),
	WORD("mode", NULL, "RO|RW"),
	OBJECT("persistent", persistent_fields, NULL, 0),
	TEXT("secret", NULL),
	SCHEMA_END,
};
static const struct schema volume = { .name = "", .kind = SCHEMA_OBJECT, .of = volume_fields };

static const struct schema container_fields[] = {
	WORD("type", "\"DOCKER\"", "DOCKER|MESOS"),
	OBJECT("docker", docker_fields, NULL, 0),
	LIST("portMappings", &port_mapping, NULL, 0),
	LIST("volumes", &volume, "[]", 0),
	SCHEMA_END,
};

static const struct schema port_definition_fields[] = {
	MAP("labels", &a_string, "{}", 0),
	TEXT("name", NULL),
	INT("port", "0", 0, 65535),
	WORD("protocol", "\"tcp\"", "tcp|udp|udp,tcp"),
	SCHEMA_END,
};
static const struct schema port_definition = { .name = "", .kind = SCHEMA_OBJECT, .of = port_definition_fields };

static const struct schema network_fields[] = {
	MAP("labels", &a_string, NULL, SCHEMA_HIDE_EMPTY),
	WORD("mode", "\"container\"", "container|container/bridge|host"),
	TEXT("name", NULL),
	SCHEMA_END,
};
static const struct schema network = { .name = "", .kind = SCHEMA_OBJECT, .of = network_fields };

static const struct schema command_fields[] = { TEXT_NEEDED("value"), SCHEMA_END };
static const struct schema health_check_fields[] = {
	OBJECT("command", command_fields, NULL, 0),
	INT("delaySeconds", NULL, 0, INFINITY),
	INT("gracePeriodSeconds", "300", 0, INFINITY),
	BOOL("ignoreHttp1xx", NULL),
	INT("intervalSeconds", "60", 0, INFINITY),
	WORD("ipProtocol", "\"IPv4\"", "IPv4|IPv6"),
	INT("maxConsecutiveFailures", "3", 0, INFINITY),
	TEXT("path", NULL),
	INT("port", NULL, 0, 65535),
	INT("portIndex", NULL, 0, INFINITY),
	WORD("protocol", "\"HTTP\"", "HTTP|HTTPS|TCP|COMMAND|MESOS_HTTP|MESOS_HTTPS|MESOS_TCP"),
	INT("timeoutSeconds", "20", 0, INFINITY),
	SCHEMA_END,
};
static const struct schema health_check = { .name = "", .kind = SCHEMA_OBJECT, .of = health_check_fields };

static const struct schema readiness_check_fields[] = {
	LIST("httpStatusCodesForReady", &a_code, "[200]", 0),
	INT("intervalSeconds", "30", 1, INFINITY),
	TEXT("name", "\"readinessCheck\""),
	TEXT("path", "\"/\""),
	TEXT("portName", "\"http-api\""),
	BOOL("preserveLastResponse", "false"),
	WORD("protocol", "\"HTTP\"", "HTTP|HTTPS"),
	INT("timeoutSeconds", "10", 1, INFINITY),
	SCHEMA_END,
};
static const struct schema readiness_check = { .name = "", .kind = SCHEMA_OBJECT, .of = readiness_check_fields };

static const struct schema check_http_fields[] = {
	TEXT("path", NULL), INT("port", NULL, 0, 65535), INT("portIndex", NULL, 0, INFINITY), TEXT("scheme", NULL), SCHEMA_END,
};
static const struct schema check_tcp_fields[] = { INT("port", NULL, 0, 65535), INT("portIndex", NULL, 0, INFINITY), SCHEMA_END };
static const struct schema check_command_fields[] = { LIST("argv", &a_string, NULL, 0), TEXT("shell", NULL), SCHEMA_END };
static const struct schema check_exec_fields[] = { OBJECT("command", check_command_fields, NULL, SCHEMA_REQUIRED), SCHEMA_END };
static const struct schema check_fields[] = {
	INT("delaySeconds", "15", 0, INFINITY),
	OBJECT("exec", check_exec_fields, NULL, 0),
	OBJECT("http", check_http_fields, NULL, 0),
	INT("intervalSeconds", "60", 0, INFINITY),
	OBJECT("tcp", check_tcp_fields, NULL, 0),
	INT("timeoutSeconds", "20", 0, INFINITY),
	SCHEMA_END,
};

static const struct schema fetch_fields[] = {
	BOOL("cache", "false"), TEXT("destPath", NULL), BOOL("executable", "false"), BOOL("extract", "true"), TEXT_NEEDED("uri"), SCHEMA_END,
};
static const struct schema fetch_row = { .name = "", .kind = SCHEMA_OBJECT, .of = fetch_fields };

static const struct schema upgrade_fields[] = { NUM("maximumOverCapacity", "1", 0, 1), NUM("minimumHealthCapacity", "1", 0, 1), SCHEMA_END };
static const struct schema unreachable_fields[] = {
	INT("expungeAfterSeconds", "0", 0, INFINITY), INT("inactiveAfterSeconds", "0", 0, INFINITY), SCHEMA_END,
};
static const struct schema unreachable_object = { .name = "", .kind = SCHEMA_OBJECT, .of = unreachable_fields };
static const struct schema executor_resources_fields[] = {
	NUM("cpus", "0.1", 0, INFINITY), NUM("disk", "10", 0, INFINITY), NUM("mem", "32", 0, INFINITY), SCHEMA_END,
};
static const struct schema a_limit = { .name = "", .kind = SCHEMA_NUM, .flags = SCHEMA_RANGE, .lo = 0, .hi = INFINITY };
static const struct schema limit_fields[] = {
	{ .name = "cpus", .kind = SCHEMA_STRING_OR, .of = &a_limit, .words = "unlimited" },
	{ .name = "mem", .kind = SCHEMA_STRING_OR, .of = &a_limit, .words = "unlimited" },
	SCHEMA_END,
};
static const struct schema residency_fields[] = {
	INT("relaunchEscalationTimeoutSeconds", "3600", 0, INFINITY),
	WORD("taskLostBehavior", "\"WAIT_FOREVER\"", "WAIT_FOREVER|RELAUNCH_AFTER_TIMEOUT"),
	SCHEMA_END,
};

static const struct schema discovery_port_fields[] = {
	MAP("labels", &a_string, "{}", 0), TEXT("name", NULL), INT("number", "0", 0, 65535), WORD("protocol", "\"tcp\"", "tcp|udp|udp,tcp"), SCHEMA_END,
};
static const struct schema discovery_port = { .name = "", .kind = SCHEMA_OBJECT, .of = discovery_port_fields };
static const struct schema discovery_fields[] = { LIST("ports", &discovery_port, NULL, 0), SCHEMA_END };
static const struct schema ip_address_fields[] = {
	OBJECT("discovery", discovery_fields, NULL, 0), LIST("groups", &a_string, NULL, 0), MAP("labels", &a_string, NULL, 0),
	TEXT("networkName", NULL), SCHEMA_END,
};

/* In the order in which they are answered. */
static const struct schema app_fields[] = {
	TEXT("id", NULL),
	LIST("acceptedResourceRoles", &a_string, NULL, SCHEMA_HIDE_EMPTY),
	LIST("args", &a_string, NULL, 0),
	NUM("backoffFactor", "1.15", 1, INFINITY),
	NUM("backoffSeconds", "1", 0, INFINITY),
	OBJECT("check", check_fields, NULL, 0),
	TEXT("cmd", NULL),
	LIST("constraints", &a_string_list, NULL, SCHEMA_HIDE_EMPTY),
	OBJECT("container", container_fields, NULL, 0),
	NUM("cpus", "1", 0, INFINITY),
	LIST("dependencies", &a_string, NULL, SCHEMA_HIDE_EMPTY),
	NUM("disk", "0", 0, INFINITY),
	MAP("env", &env_value, NULL, SCHEMA_HIDE_EMPTY),
	TEXT("executor", "\"\""),
	OBJECT("executorResources", executor_resources_fields, NULL, 0),
	LIST("fetch", &fetch_row, NULL, SCHEMA_HIDE_EMPTY),
	INT("gpus", "0", 0, INFINITY),
	LIST("healthChecks", &health_check, NULL, SCHEMA_HIDE_EMPTY),
	INT("instances", "1", 0, INFINITY),
	WORD("killSelection", "\"YOUNGEST_FIRST\"", "YOUNGEST_FIRST|OLDEST_FIRST"),
	MAP("labels", &a_string, "{}", 0),
	NUM("maxLaunchDelaySeconds", "3600", 0, INFINITY),
	NUM("mem", "128", 0, INFINITY),
	LIST("networks", &network, NULL, 0),
	LIST("portDefinitions", &port_definition, NULL, 0),
	LIST("readinessChecks", &readiness_check, NULL, SCHEMA_HIDE_EMPTY),
	BOOL("requirePorts", "false"),
	OBJECT("residency", residency_fields, NULL, 0),
	OBJECT("resourceLimits", limit_fields, NULL, 0),
	TEXT("role", NULL),
	MAP("secrets", &secret_value, NULL, SCHEMA_HIDE_EMPTY),
	NUM("taskKillGracePeriodSeconds", NULL, 0, INFINITY),
	BOOL("tty", NULL),
	{ .name = "unreachableStrategy", .kind = SCHEMA_STRING_OR, .of = &unreachable_object, .words = "disabled",
	  .def = "{\"expungeAfterSeconds\":0,\"inactiveAfterSeconds\":0}" },
	OBJECT("upgradeStrategy", upgrade_fields, "{\"maximumOverCapacity\":1,\"minimumHealthCapacity\":1}", 0),
	{ .name = "user", .kind = SCHEMA_STRING, .flags = SCHEMA_NONEMPTY },
	OBJECT("ipAddress", ip_address_fields, NULL, SCHEMA_OLD),
	LIST("ports", &a_port, NULL, SCHEMA_OLD),
	LIST("storeUrls", &a_string, NULL, SCHEMA_OLD),
	LIST("uris", &a_string, NULL, SCHEMA_OLD),
	SCHEMA_END,
};

/* ---- old forms ---- */

static yyjson_mut_val *get(yyjson_mut_val *obj, const char *key) { return yyjson_mut_obj_get(obj, key); }
static yyjson_mut_val *take(yyjson_mut_val *obj, const char *key) { return yyjson_mut_obj_remove_key(obj, key); }

static void put(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, yyjson_mut_val *v)
{
	yyjson_mut_obj_put(obj, yyjson_mut_str(doc, key), v);
}

/* A value may stand in one place only. */
static yyjson_mut_val *copy(yyjson_mut_doc *doc, yyjson_mut_val *v) { return yyjson_mut_val_mut_copy(doc, v); }

static size_t length(yyjson_mut_val *list) { return list ? yyjson_mut_arr_size(list) : 0; }

static bool is_archive(const char *uri)
{
	static const char *const endings[] = { ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip", ".tar", ".gz" };
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (str_ends(str_of(uri), str_of(endings[i])))
			return true;
	return false;
}

static void migrate_uris(yyjson_mut_doc *doc, yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *uris = take(app, "uris"), *uri, *fetch;
	size_t i, n;
	if (length(uris) == 0)
		return;
	if (length(get(app, "fetch")) > 0) {
		fault_add(f, "/uris", "may not be set in conjunction with fetch");
		return;
	}
	fetch = yyjson_mut_arr(doc);
	yyjson_mut_arr_foreach(uris, i, n, uri) {
		yyjson_mut_val *row = yyjson_mut_arr_add_obj(doc, fetch);
		yyjson_mut_obj_add_bool(doc, row, "cache", false);
		yyjson_mut_obj_add_bool(doc, row, "executable", false);
		yyjson_mut_obj_add_bool(doc, row, "extract", is_archive(yyjson_mut_get_str(uri)));
		yyjson_mut_obj_add_strcpy(doc, row, "uri", yyjson_mut_get_str(uri));
	}
	put(doc, app, "fetch", fetch);
}

static void migrate_ports(yyjson_mut_doc *doc, yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *ports = take(app, "ports"), *port, *definitions;
	size_t i, n;
	if (!ports)
		return;
	if (get(app, "portDefinitions")) {
		fault_add(f, "/", "cannot specify both ports and port definitions");
		return;
	}
	definitions = yyjson_mut_arr(doc);
	yyjson_mut_arr_foreach(ports, i, n, port) {
		yyjson_mut_val *row = yyjson_mut_arr_add_obj(doc, definitions);
		yyjson_mut_obj_add_val(doc, row, "labels", yyjson_mut_obj(doc));
		yyjson_mut_obj_add_int(doc, row, "port", yyjson_mut_get_sint(port));
		yyjson_mut_obj_add_str(doc, row, "protocol", "tcp");
	}
	put(doc, app, "portDefinitions", definitions);
}

static void set_network(yyjson_mut_doc *doc, yyjson_mut_val *app, const char *mode, yyjson_mut_val *ip)
{
	yyjson_mut_val *list = yyjson_mut_arr(doc), *row = yyjson_mut_arr_add_obj(doc, list);
	if (ip && get(ip, "labels"))
		yyjson_mut_obj_add_val(doc, row, "labels", copy(doc, get(ip, "labels")));
	yyjson_mut_obj_add_str(doc, row, "mode", mode);
	if (ip && get(ip, "networkName") && strcmp(mode, "container") == 0)
		yyjson_mut_obj_add_val(doc, row, "name", copy(doc, get(ip, "networkName")));
	put(doc, app, "networks", list);
}

static void migrate_discovery(yyjson_mut_doc *doc, yyjson_mut_val *container, yyjson_mut_val *ip, struct faults *f)
{
	yyjson_mut_val *ports = get(get(ip, "discovery"), "ports"), *port, *mappings;
	size_t i, n;
	if (length(ports) == 0)
		return;
	if (length(get(container, "portMappings")) > 0) {
		fault_add(f, "/container/portMappings", "must not be set in conjunction with ipAddress/discovery");
		return;
	}
	mappings = yyjson_mut_arr(doc);
	yyjson_mut_arr_foreach(ports, i, n, port) {
		yyjson_mut_val *row = yyjson_mut_arr_add_obj(doc, mappings);
		yyjson_mut_obj_add_val(doc, row, "containerPort", copy(doc, get(port, "number")));
		yyjson_mut_obj_add_val(doc, row, "labels", copy(doc, get(port, "labels")));
		if (get(port, "name"))
			yyjson_mut_obj_add_val(doc, row, "name", copy(doc, get(port, "name")));
		yyjson_mut_obj_add_val(doc, row, "protocol", copy(doc, get(port, "protocol")));
		yyjson_mut_obj_add_int(doc, row, "servicePort", 0);
	}
	put(doc, container, "portMappings", mappings);
}

static void migrate_docker_network(yyjson_mut_doc *doc, yyjson_mut_val *app, yyjson_mut_val *network_name, yyjson_mut_val *ip, struct faults *f)
{
	const char *name = yyjson_mut_get_str(network_name);
	if (get(app, "networks"))
		fault_add(f, "/container/docker/network", "must not specify both container.docker.network and networks");
	else if (strcmp(name, "HOST") == 0)
		set_network(doc, app, "host", NULL);
	else if (strcmp(name, "BRIDGE") == 0)
		set_network(doc, app, "container/bridge", NULL);
	else if (strcmp(name, "USER") == 0)
		set_network(doc, app, "container", ip);
	else
		fault_add(f, "/container/docker/network", "network NONE does not exist any more; use a network mode of the networks field");
}

static void migrate_ip_address(yyjson_mut_doc *doc, yyjson_mut_val *app, yyjson_mut_val *ip, struct faults *f)
{
	yyjson_mut_val *container = get(app, "container");
	const char *name = yyjson_mut_get_str(get(ip, "networkName"));
	if (get(app, "networks")) {
		fault_add(f, "/ipAddress", "must not specify both networks and ipAddress");
		return;
	}
	set_network(doc, app, name && strcmp(name, "mesos-bridge") == 0 ? "container/bridge" : "container", ip);
	if (!container) {
		container = yyjson_mut_obj(doc);
		yyjson_mut_obj_add_str(doc, container, "type", "MESOS");
		yyjson_mut_obj_add_val(doc, container, "volumes", yyjson_mut_arr(doc));
		put(doc, app, "container", container);
	}
	migrate_discovery(doc, container, ip, f);
}

/* docker.network, docker.portMappings and ipAddress of Marathon < 1.5: table in the reference, appendix B. */
static void migrate_networks(yyjson_mut_doc *doc, yyjson_mut_val *app, struct faults *f)
{
	yyjson_mut_val *container = get(app, "container"), *docker = get(container, "docker");
	yyjson_mut_val *network_name = docker ? take(docker, "network") : NULL;
	yyjson_mut_val *mappings = docker ? take(docker, "portMappings") : NULL;
	yyjson_mut_val *ip = take(app, "ipAddress");
	if (length(mappings) > 0 && length(get(container, "portMappings")) > 0)
		fault_add(f, "/container/docker/portMappings", "must not specify both container.docker.portMappings and container.portMappings");
	else if (mappings && length(get(container, "portMappings")) == 0)
		put(doc, container, "portMappings", mappings);
	if (network_name)
		migrate_docker_network(doc, app, network_name, ip, f);
	else if (ip)
		migrate_ip_address(doc, app, ip, f);
}

static void resolve_ids(yyjson_mut_doc *doc, yyjson_mut_val *app, const char *base, struct faults *f)
{
	yyjson_mut_val *id = get(app, "id"), *deps = get(app, "dependencies"), *dep;
	const char *own = id ? path_resolve(f->arena, base, yyjson_mut_get_str(id)) : base;
	size_t i, n;
	if (id)
		put(doc, app, "id", yyjson_mut_strcpy(doc, own));
	if (!deps)
		return;
	yyjson_mut_val *resolved = yyjson_mut_arr(doc);
	yyjson_mut_arr_foreach(deps, i, n, dep)
		yyjson_mut_arr_add_strcpy(doc, resolved, path_resolve(f->arena, own, yyjson_mut_get_str(dep)));
	put(doc, app, "dependencies", resolved);
}

yyjson_mut_val *app_read(yyjson_mut_doc *doc, yyjson_mut_val *in, const char *base, struct faults *f)
{
	struct schema_pass p = { .doc = doc, .faults = f };
	yyjson_mut_val *app = schema_object(&p, app_fields, in, "");
	if (!app || f->types)
		return NULL;
	if (length(take(app, "storeUrls")) > 0)
		fault_add(f, "/storeUrls", "the artifact store does not exist any more; use fetch");
	migrate_uris(doc, app, f);
	migrate_ports(doc, app, f);
	migrate_networks(doc, app, f);
	resolve_ids(doc, app, base, f);
	return app;
}

/* ---- updates ---- */

static const char *network_mode(yyjson_mut_val *app)
{
	const char *mode = yyjson_mut_get_str(get(yyjson_mut_arr_get_first(get(app, "networks")), "mode"));
	return mode ? mode : "host";
}

yyjson_mut_val *app_merge(yyjson_mut_doc *doc, yyjson_mut_val *stored, yyjson_mut_val *update)
{
	yyjson_mut_val *out = yyjson_mut_val_mut_copy(doc, stored), *key;
	yyjson_mut_obj_iter it;
	/* Ports of the other kind of network would make the result invalid: Marathon drops them. */
	if (get(update, "networks") && strcmp(network_mode(update), network_mode(stored)) != 0) {
		if (strcmp(network_mode(update), "host") == 0 && get(out, "container"))
			take(get(out, "container"), "portMappings");
		else
			take(out, "portDefinitions");
	}
	yyjson_mut_obj_iter_init(update, &it);
	while ((key = yyjson_mut_obj_iter_next(&it)))
		put(doc, out, yyjson_mut_get_str(key), copy(doc, yyjson_mut_obj_iter_get_val(key)));
	/* cmd and args exclude each other: the newer wish wins. */
	if (get(update, "cmd") && !get(update, "args"))
		take(out, "args");
	if (get(update, "args") && !get(update, "cmd"))
		take(out, "cmd");
	return out;
}

bool app_config_differs(yyjson_mut_val *a, yyjson_mut_val *b)
{
	yyjson_mut_val *key;
	yyjson_mut_obj_iter it;
	yyjson_mut_obj_iter_init(a, &it);
	while ((key = yyjson_mut_obj_iter_next(&it))) {
		const char *name = yyjson_mut_get_str(key);
		yyjson_mut_val *other = get(b, name);
		if (strcmp(name, "instances") != 0 && (!other || !yyjson_mut_equals(yyjson_mut_obj_iter_get_val(key), other)))
			return true;
	}
	return yyjson_mut_obj_size(a) != yyjson_mut_obj_size(b);
}

/* ---- defaults that depend on other members ---- */

static yyjson_mut_val *one_dynamic_port(yyjson_mut_doc *doc, const char *number_key)
{
	yyjson_mut_val *list = yyjson_mut_arr(doc), *row = yyjson_mut_arr_add_obj(doc, list);
	yyjson_mut_obj_add_int(doc, row, number_key, 0);
	yyjson_mut_obj_add_str(doc, row, "name", "default");
	return list;
}

static void default_ports(yyjson_mut_doc *doc, yyjson_mut_val *app)
{
	yyjson_mut_val *container = get(app, "container"), *row;
	const char *mode = network_mode(app);
	size_t i, n;
	if (strcmp(mode, "host") == 0) {
		if (!get(app, "portDefinitions"))
			put(doc, app, "portDefinitions", one_dynamic_port(doc, "port"));
		if (container && length(get(container, "portMappings")) == 0)
			take(container, "portMappings");
		return;
	}
	put(doc, app, "requirePorts", yyjson_mut_bool(doc, false));
	if (length(get(app, "portDefinitions")) == 0)
		take(app, "portDefinitions");
	if (!container)
		return;
	if (!get(container, "portMappings"))
		put(doc, container, "portMappings", one_dynamic_port(doc, "containerPort"));
	yyjson_mut_arr_foreach(get(container, "portMappings"), i, n, row)
		if (strcmp(mode, "container/bridge") == 0 && !get(row, "hostPort"))
			put(doc, row, "hostPort", yyjson_mut_sint(doc, 0));
}

static void default_health_ports(yyjson_mut_doc *doc, yyjson_mut_val *app)
{
	yyjson_mut_val *checks = get(app, "healthChecks"), *row;
	bool has_port = length(get(app, "portDefinitions")) > 0 || length(get(get(app, "container"), "portMappings")) > 0;
	size_t i, n;
	if (!checks || !has_port)
		return;
	yyjson_mut_arr_foreach(checks, i, n, row)
		if (!get(row, "port") && !get(row, "portIndex") && strcmp(yyjson_mut_get_str(get(row, "protocol")), "COMMAND") != 0)
			put(doc, row, "portIndex", yyjson_mut_sint(doc, 0));
}

static bool resident(yyjson_mut_val *app)
{
	yyjson_mut_val *row;
	size_t i, n;
	if (get(app, "residency"))
		return true;
	yyjson_mut_arr_foreach(get(get(app, "container"), "volumes"), i, n, row)
		if (get(row, "persistent"))
			return true;
	return false;
}

static void default_strategies(yyjson_mut_doc *doc, yyjson_mut_val *app)
{
	if (!resident(app))
		return;
	if (!get(app, "unreachableStrategy"))
		put(doc, app, "unreachableStrategy", yyjson_mut_str(doc, "disabled"));
	if (!get(app, "upgradeStrategy")) {
		yyjson_mut_val *s = yyjson_mut_obj(doc);
		yyjson_mut_obj_add_int(doc, s, "maximumOverCapacity", 0);
		yyjson_mut_obj_add_real(doc, s, "minimumHealthCapacity", 0.5);
		put(doc, app, "upgradeStrategy", s);
	}
}

yyjson_mut_val *app_complete(yyjson_mut_doc *doc, yyjson_mut_val *app, struct faults *f)
{
	struct schema_pass p = { .doc = doc, .faults = f, .canonical = true };
	if (!get(app, "networks"))
		set_network(doc, app, "host", NULL);
	default_ports(doc, app);
	default_health_ports(doc, app);
	default_strategies(doc, app);
	return schema_object(&p, app_fields, app, "");
}

void app_check(yyjson_mut_val *app, struct faults *f)
{
	app_validate(app, f);
	app_refuse_unsupported(app, f);
}
