/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/master/marathon/spec.h"

#include <math.h>

#include "net/json.h"

#define MILLI_MAX 1e15     /* a thousandth each: far over any machine, far under int64 */

static int64_t milli(yyjson_val *app, const char *member)
{
	return llround(MIN(json_num(app, member, 0) * 1000, MILLI_MAX));
}

static int64_t seconds(yyjson_val *app, const char *path)
{
	return (int64_t)(MIN(json_num(app, path, 0), 1e10) * (double)SEC);
}

static const char **strings(struct arena *a, yyjson_val *list, size_t *out_count)
{
	const char **out = arena_array(a, const char *, yyjson_arr_size(list) + 1);
	yyjson_val *v;
	size_t i, n;
	*out_count = yyjson_arr_size(list);
	yyjson_arr_foreach(list, i, n, v)
		out[i] = arena_strdup(a, yyjson_get_str(v));
	return out;
}

static enum constraint_op constraint_op(const char *word)
{
	static const struct { const char *word; enum constraint_op op; } ops[] = {
		{ "UNIQUE", OP_UNIQUE }, { "CLUSTER", OP_CLUSTER }, { "GROUP_BY", OP_GROUP_BY }, { "LIKE", OP_LIKE },
		{ "UNLIKE", OP_UNLIKE }, { "MAX_PER", OP_MAX_PER }, { "IS", OP_IS },
	};
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (cstr_eq(ops[i].word, word))
			return ops[i].op;
	return OP_UNIQUE;
}

static void read_constraints(struct spec *s, yyjson_val *list)
{
	yyjson_val *row;
	size_t i, n;
	s->constraint_count = yyjson_arr_size(list);
	s->constraints = arena_array(&s->arena, struct constraint, s->constraint_count + 1);
	yyjson_arr_foreach(list, i, n, row) {
		s->constraints[i] = (struct constraint){
			.field = arena_strdup(&s->arena, json_str(row, "0", "")),
			.op = constraint_op(json_str(row, "1", "")),
			.value = arena_strdup(&s->arena, json_str(row, "2", NULL)),
		};
	}
}

static void read_ports(struct spec *s, yyjson_val *list)
{
	yyjson_val *row;
	size_t i, n;
	s->port_count = yyjson_arr_size(list);
	s->ports = arena_array(&s->arena, uint32_t, s->port_count + 1);
	yyjson_arr_foreach(list, i, n, row)
		s->ports[i] = (uint32_t)json_int(row, "port", 0);
}

static void read_roles(struct spec *s, yyjson_val *list)
{
	s->roles = strings(&s->arena, list, &s->role_count);
	if (s->role_count > 0)
		return;
	/* --default_accepted_resource_roles of DC/OS */
	s->roles[0] = "*";
	s->role_count = 1;
}

static void read_definition(struct spec *s, yyjson_val *app)
{
	s->instances = json_int(app, "instances", 1);
	s->cpus_milli = milli(app, "cpus");
	s->mem_milli = milli(app, "mem");
	s->disk_milli = milli(app, "disk");
	s->backoff_us = seconds(app, "backoffSeconds");
	s->backoff_max_us = seconds(app, "maxLaunchDelaySeconds");
	s->backoff_factor = json_num(app, "backoffFactor", 1.15);
	s->health_min = json_num(app, "upgradeStrategy.minimumHealthCapacity", 1);
	s->over_max = json_num(app, "upgradeStrategy.maximumOverCapacity", 1);
	s->oldest_first = cstr_eq(json_str(app, "killSelection", ""), "OLDEST_FIRST");
	s->unreachable_kept = yyjson_is_str(yyjson_obj_get(app, "unreachableStrategy"));
	s->inactive_after_us = seconds(app, "unreachableStrategy.inactiveAfterSeconds");
	s->expunge_after_us = seconds(app, "unreachableStrategy.expungeAfterSeconds");
	s->require_ports = json_bool(app, "requirePorts", false);
	s->dependencies = strings(&s->arena, yyjson_obj_get(app, "dependencies"), &s->dependency_count);
	read_ports(s, yyjson_obj_get(app, "portDefinitions"));
	read_roles(s, yyjson_obj_get(app, "acceptedResourceRoles"));
	read_constraints(s, yyjson_obj_get(app, "constraints"));
}

int spec_new(const rec_App *r, struct spec **out, struct err *e)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	if (!r->id || !r->version || !r->json || !r->last_scaling_at || !r->last_config_change_at)
		return err_set(e, E_CORRUPT, "record of app '%s' is incomplete", r->id ? r->id : "?");
	if (json_parse(r->json, strlen(r->json), &doc, e) != 0 || !yyjson_is_obj(yyjson_doc_get_root(doc)))
		return err_set(e, E_CORRUPT, "stored definition of app '%s' cannot be read", r->id);
	struct spec *s = xcalloc(1, sizeof(*s));
	arena_init(&s->arena, ARENA_MAX_DEFAULT);
	s->id = arena_strdup(&s->arena, r->id);
	s->version = arena_strdup(&s->arena, r->version);
	s->last_scaling_at = arena_strdup(&s->arena, r->last_scaling_at);
	s->last_config_change_at = arena_strdup(&s->arena, r->last_config_change_at);
	s->json = arena_strdup(&s->arena, r->json);
	s->unix_us = r->unix_us;
	read_definition(s, yyjson_doc_get_root(doc));
	*out = s;
	return 0;
}

void spec_free(struct spec *s)
{
	if (!s)
		return;
	arena_fini(&s->arena);
	free(s);
}

rec_App spec_record(const struct spec *s)
{
	return (rec_App){
		.id = (char *)s->id, .version = (char *)s->version, .json = (char *)s->json, .has_unix_us = true, .unix_us = s->unix_us,
		.last_scaling_at = (char *)s->last_scaling_at, .last_config_change_at = (char *)s->last_config_change_at,
	};
}
