/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/master/marathon/task.h"

#include <ctype.h>

#include "net/json.h"
#include "roles/master/marathon/ids.h"

#define LABEL_ENV_MAX 512     /* longer keys and values are not exported (EnvironmentHelper) */
#define LABEL_ENV_PREFIX "MARATHON_APP_LABEL_"

/* ---- environment; later values win ---- */

struct env {
	struct arena *arena;
	mesos_v1_Environment_Variable *rows;
	size_t count, cap;
};

static void env_put(struct env *env, const char *name, const char *value)
{
	size_t i = 0;
	while (i < env->count && strcmp(env->rows[i].name, name) != 0)
		i++;
	if (i == env->cap) {
		size_t cap = env->cap ? env->cap * 2 : 32;
		mesos_v1_Environment_Variable *rows = arena_array(env->arena, mesos_v1_Environment_Variable, cap);
		if (env->count > 0)
			memcpy(rows, env->rows, env->count * sizeof(*rows));
		env->rows = rows;
		env->cap = cap;
	}
	env->rows[i] = (mesos_v1_Environment_Variable){
		.name = arena_strdup(env->arena, name), .value = arena_strdup(env->arena, value),
		.has_type = true, .type = mesos_v1_Environment_Variable_Type_VALUE,
	};
	env->count = MAX(env->count, i + 1);
}

/* Runs of other characters become one '_', letters upper case. */
static char *env_key(struct arena *a, const char *key)
{
	char *out = arena_array(a, char, strlen(key) + 1), *to = out;
	for (; *key; key++) {
		bool plain = isalnum((unsigned char)*key) || *key == '_';
		if (plain)
			*to++ = (char)toupper((unsigned char)*key);
		else if (to == out || to[-1] != '_')
			*to++ = '_';
	}
	*to = '\0';
	return out;
}

static char *upper(struct arena *a, const char *s)
{
	char *out = arena_strdup(a, s);
	for (char *p = out; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	return out;
}

/* "32.0", "0.1": as Scala prints a double. */
static char *number_text(struct arena *a, int64_t milli)
{
	AUTO_BUF struct buf b = BUF_INIT;
	buf_json_num(&b, (double)milli / 1000);
	return arena_strdup(a, buf_cstr(&b));
}

static void env_labels(struct env *env, yyjson_val *labels)
{
	AUTO_BUF struct buf keys = BUF_INIT;
	yyjson_obj_iter it;
	yyjson_val *key;
	yyjson_obj_iter_init(labels, &it);
	while ((key = yyjson_obj_iter_next(&it))) {
		const char *name = yyjson_get_str(key), *value = yyjson_get_str(yyjson_obj_iter_get_val(key));
		char *escaped = env_key(env->arena, name);
		if (strlen(name) >= LABEL_ENV_MAX - strlen(LABEL_ENV_PREFIX) || strlen(value) >= LABEL_ENV_MAX)
			continue;
		buf_printf(&keys, "%s%s", keys.len ? " " : "", escaped);
		env_put(env, arena_printf(env->arena, LABEL_ENV_PREFIX "%s", escaped), value);
	}
	env_put(env, "MARATHON_APP_LABELS", buf_cstr(&keys));
}

static void env_context(struct env *env, const struct spec *s, const struct instance *in, yyjson_val *app)
{
	const char *image = json_str(app, "container.docker.image", NULL);
	env_put(env, "MESOS_TASK_ID", in->task_id);
	env_put(env, "MARATHON_APP_ID", s->id);
	env_put(env, "MARATHON_APP_VERSION", s->version);
	if (image)
		env_put(env, "MARATHON_APP_DOCKER_IMAGE", image);
	env_put(env, "MARATHON_APP_RESOURCE_CPUS", number_text(env->arena, s->cpus_milli));
	env_put(env, "MARATHON_APP_RESOURCE_MEM", number_text(env->arena, s->mem_milli));
	env_put(env, "MARATHON_APP_RESOURCE_DISK", number_text(env->arena, s->disk_milli));
	env_put(env, "MARATHON_APP_RESOURCE_GPUS", "0");     /* app_refuse_unsupported lets no others pass */
	env_labels(env, yyjson_obj_get(app, "labels"));
}

static void env_ports(struct env *env, const struct spec *s, const struct instance *in, yyjson_val *definitions)
{
	AUTO_BUF struct buf all = BUF_INIT;
	env_put(env, "HOST", in->host);
	for (size_t i = 0; i < in->port_count && i < s->port_count; i++) {
		const char *port = arena_printf(env->arena, "%u", in->ports[i]);
		const char *name = json_str(yyjson_arr_get(definitions, i), "name", NULL);
		env_put(env, arena_printf(env->arena, "PORT%zu", i), port);
		env_put(env, arena_printf(env->arena, "PORT_%u", s->ports[i] ? s->ports[i] : in->ports[i]), port);
		if (name)
			env_put(env, arena_printf(env->arena, "PORT_%s", upper(env->arena, name)), port);
		buf_printf(&all, "%s%s", i ? "," : "", port);
	}
	if (in->port_count == 0)
		return;
	env_put(env, "PORT", arena_printf(env->arena, "%u", in->ports[0]));
	env_put(env, "PORTS", buf_cstr(&all));
}

static void env_user(struct env *env, yyjson_val *vars)
{
	yyjson_obj_iter it;
	yyjson_val *key;
	yyjson_obj_iter_init(vars, &it);
	while ((key = yyjson_obj_iter_next(&it)))
		if (yyjson_is_str(yyjson_obj_iter_get_val(key)))
			env_put(env, yyjson_get_str(key), yyjson_get_str(yyjson_obj_iter_get_val(key)));
}

static mesos_v1_Environment *environment(struct arena *a, const struct spec *s, const struct instance *in, yyjson_val *app)
{
	struct env env = { .arena = a };
	mesos_v1_Environment *out = arena_new(a, mesos_v1_Environment);
	env_context(&env, s, in, app);
	env_ports(&env, s, in, yyjson_obj_get(app, "portDefinitions"));
	env_user(&env, yyjson_obj_get(app, "env"));
	out->variables = env.rows;
	out->variables_count = (pb_size_t)env.count;
	return out;
}

/* ---- command and container ---- */

static mesos_v1_CommandInfo *command(struct arena *a, yyjson_val *app)
{
	mesos_v1_CommandInfo *c = arena_new(a, mesos_v1_CommandInfo);
	yyjson_val *args = yyjson_obj_get(app, "args"), *arg;
	const char *cmd = json_str(app, "cmd", NULL);
	size_t i, n;
	c->user = arena_strdup(a, json_str(app, "user", NULL));
	c->has_shell = true;
	c->shell = cmd != NULL;
	if (cmd)
		c->value = arena_strdup(a, cmd);
	if (cmd || yyjson_arr_size(args) == 0)
		return c;
	c->arguments = arena_array(a, char *, yyjson_arr_size(args));
	yyjson_arr_foreach(args, i, n, arg)
		c->arguments[c->arguments_count++] = arena_strdup(a, yyjson_get_str(arg));
	if (!yyjson_obj_get(app, "container"))
		c->value = c->arguments[0];
	return c;
}

static void add_volumes(struct arena *a, mesos_v1_ContainerInfo *c, yyjson_val *volumes)
{
	yyjson_val *row;
	size_t i, n;
	c->volumes = arena_array(a, mesos_v1_Volume, yyjson_arr_size(volumes) + 1);
	yyjson_arr_foreach(volumes, i, n, row)
		c->volumes[c->volumes_count++] = (mesos_v1_Volume){
			.container_path = arena_strdup(a, json_str(row, "containerPath", "")),
			.host_path = arena_strdup(a, json_str(row, "hostPath", "")),
			.mode = cstr_eq(json_str(row, "mode", "RO"), "RW") ? mesos_v1_Volume_Mode_RW : mesos_v1_Volume_Mode_RO,
		};
}

static mesos_v1_ContainerInfo_DockerInfo *docker_info(struct arena *a, yyjson_val *docker)
{
	mesos_v1_ContainerInfo_DockerInfo *d = arena_new(a, mesos_v1_ContainerInfo_DockerInfo);
	d->image = arena_strdup(a, json_str(docker, "image", ""));
	d->has_network = d->has_privileged = d->has_force_pull_image = true;
	d->network = mesos_v1_ContainerInfo_DockerInfo_Network_HOST;
	d->privileged = json_bool(docker, "privileged", false);
	d->force_pull_image = json_bool(docker, "forcePullImage", false);
	return d;
}

static mesos_v1_ContainerInfo_MesosInfo *mesos_info(struct arena *a, yyjson_val *docker)
{
	mesos_v1_ContainerInfo_MesosInfo *m = arena_new(a, mesos_v1_ContainerInfo_MesosInfo);
	if (!docker)
		return m;
	m->image = arena_new(a, mesos_v1_Image);
	m->image->type = mesos_v1_Image_Type_DOCKER;
	m->image->docker = arena_new(a, mesos_v1_Image_Docker);
	m->image->docker->name = arena_strdup(a, json_str(docker, "image", ""));
	m->image->has_cached = true;
	m->image->cached = !json_bool(docker, "forcePullImage", false);
	return m;
}

static mesos_v1_ContainerInfo *container(struct arena *a, yyjson_val *box)
{
	yyjson_val *docker = yyjson_obj_get(box, "docker");
	if (!box)
		return NULL;
	mesos_v1_ContainerInfo *c = arena_new(a, mesos_v1_ContainerInfo);
	if (cstr_eq(json_str(box, "type", ""), "DOCKER")) {
		c->type = mesos_v1_ContainerInfo_Type_DOCKER;
		c->docker = docker_info(a, docker);
	} else {
		c->type = mesos_v1_ContainerInfo_Type_MESOS;
		c->mesos = mesos_info(a, docker);
	}
	add_volumes(a, c, yyjson_obj_get(box, "volumes"));
	return c;
}

/* ---- labels and discovery ---- */

static mesos_v1_Labels *labels(struct arena *a, yyjson_val *map, size_t extra)
{
	mesos_v1_Labels *out = arena_new(a, mesos_v1_Labels);
	yyjson_obj_iter it;
	yyjson_val *key;
	out->labels = arena_array(a, mesos_v1_Label, yyjson_obj_size(map) + extra + 1);
	yyjson_obj_iter_init(map, &it);
	while ((key = yyjson_obj_iter_next(&it)))
		out->labels[out->labels_count++] = (mesos_v1_Label){
			.key = arena_strdup(a, yyjson_get_str(key)), .value = arena_strdup(a, yyjson_get_str(yyjson_obj_iter_get_val(key))),
		};
	return out;
}

static void add_port(struct arena *a, mesos_v1_Ports *ports, uint32_t number, yyjson_val *definition, const char *protocol)
{
	mesos_v1_Port *p = &ports->ports[ports->ports_count++];
	p->number = number;
	p->name = arena_strdup(a, json_str(definition, "name", NULL));
	p->protocol = arena_strdup(a, protocol);
	p->labels = labels(a, yyjson_obj_get(definition, "labels"), 1);
	p->labels->labels[p->labels->labels_count++] = (mesos_v1_Label){ .key = (char *)"network-scope", .value = (char *)"host" };
}

static mesos_v1_DiscoveryInfo *discovery(struct arena *a, const struct instance *in, const char *name, yyjson_val *definitions)
{
	mesos_v1_DiscoveryInfo *d = arena_new(a, mesos_v1_DiscoveryInfo);
	d->visibility = mesos_v1_DiscoveryInfo_Visibility_FRAMEWORK;
	d->name = (char *)name;
	d->ports = arena_new(a, mesos_v1_Ports);
	d->ports->ports = arena_array(a, mesos_v1_Port, 2 * in->port_count + 1);
	for (size_t i = 0; i < in->port_count; i++) {
		yyjson_val *definition = yyjson_arr_get(definitions, i);
		struct str rest = str_of(json_str(definition, "protocol", "tcp"));
		while (rest.p)
			add_port(a, d->ports, in->ports[i], definition, arena_str(a, str_cut(&rest, ',')));
	}
	return d;
}

static mesos_v1_KillPolicy *kill_policy(struct arena *a, yyjson_val *grace)
{
	if (!grace)
		return NULL;
	mesos_v1_KillPolicy *k = arena_new(a, mesos_v1_KillPolicy);
	k->grace_period = arena_new(a, mesos_v1_DurationInfo);
	k->grace_period->nanoseconds = (int64_t)(MIN(yyjson_get_num(grace), 1e8) * 1e9);
	return k;
}

int task_build(struct arena *a, const struct spec *s, const struct instance *in, const struct taken *taken, mesos_v1_TaskInfo *out,
	       struct err *e)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	if (json_parse(s->json, strlen(s->json), &doc, e) != 0)
		return err_set(e, E_CORRUPT, "stored definition of app '%s' cannot be read", s->id);
	yyjson_val *app = yyjson_doc_get_root(doc);
	const char *name = path_hostname(a, s->id);
	*out = (mesos_v1_TaskInfo){ .name = (char *)name, .resources = taken->resources, .resources_count = (pb_size_t)taken->resource_count };
	out->task_id = arena_new(a, mesos_v1_TaskID);
	out->task_id->value = arena_strdup(a, in->task_id);
	out->agent_id = arena_new(a, mesos_v1_AgentID);
	out->agent_id->value = arena_strdup(a, in->agent_id);
	out->command = command(a, app);
	out->command->environment = environment(a, s, in, app);
	out->container = container(a, yyjson_obj_get(app, "container"));
	out->labels = labels(a, yyjson_obj_get(app, "labels"), 0);
	out->discovery = discovery(a, in, name, yyjson_obj_get(app, "portDefinitions"));
	out->kill_policy = kill_policy(a, yyjson_obj_get(app, "taskKillGracePeriodSeconds"));
	return 0;
}
