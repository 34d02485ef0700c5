/* SPDX-License-Identifier: Apache-2.0 */
/* From a request's definition to the next version of an app: canonical form, service ports, version and versionInfo. */
#include "net/base/time.h"
#include "roles/master/marathon/marathon_int.h"

/* ---- service ports (AssignDynamicServiceLogic) ---- */

static int64_t port_of(yyjson_mut_val *row) { return yyjson_mut_get_sint(yyjson_mut_obj_get(row, "port")); }

static bool names_port(yyjson_mut_val *list, int64_t port)
{
	yyjson_mut_val *row;
	size_t i, n;
	yyjson_mut_arr_foreach(list, i, n, row)
		if (port_of(row) == port)
			return true;
	return false;
}

static bool in_pool(int64_t port) { return port >= SERVICE_PORT_MIN && port < SERVICE_PORT_MAX; }

/* One the app had before, else the lowest that no app names; 0: all are taken. */
static int64_t next_service_port(const struct marathon *ma, yyjson_mut_val *list, const struct spec *before)
{
	for (size_t i = 0; before && i < before->port_count; i++)
		if (in_pool(before->ports[i]) && !names_port(list, before->ports[i]))
			return before->ports[i];
	for (int64_t p = SERVICE_PORT_MIN; p < SERVICE_PORT_MAX; p++)
		if (ma->service_ports[p - SERVICE_PORT_MIN] == 0 && !names_port(list, p))
			return p;
	return 0;
}

static bool assign_service_ports(const struct marathon *ma, yyjson_mut_doc *doc, yyjson_mut_val *app, const struct spec *before)
{
	yyjson_mut_val *list = yyjson_mut_obj_get(app, "portDefinitions"), *row;
	size_t i, n;
	yyjson_mut_arr_foreach(list, i, n, row) {
		if (port_of(row) != 0)
			continue;
		int64_t port = next_service_port(ma, list, before);
		if (port == 0)
			return false;
		yyjson_mut_obj_replace(row, yyjson_mut_str(doc, "port"), yyjson_mut_sint(doc, port));
	}
	return true;
}

/* ---- versions ---- */

static yyjson_mut_val *stored_definition(yyjson_mut_doc *doc, const struct spec *s)
{
	AUTO_JSON yyjson_doc *parsed = NULL;
	return json_parse(s->json, strlen(s->json), &parsed, NULL) == 0 ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(parsed)) : NULL;
}

static struct spec *make_spec(struct marathon *ma, const char *id, const char *json, const struct spec *before, bool new_config, struct err *e)
{
	char now[32];
	struct spec *out = NULL;
	int64_t now_us = version_now_us(ma);
	time_iso(now_us, now);
	rec_App r = {
		.id = (char *)id, .version = now, .json = (char *)json, .has_unix_us = true, .unix_us = now_us,
		.last_scaling_at = now, .last_config_change_at = before && !new_config ? (char *)before->last_config_change_at : now,
	};
	return spec_new(&r, &out, e) == 0 ? out : NULL;
}

static struct spec *same_version(const struct spec *s, struct err *e)
{
	rec_App r = spec_record(s);
	struct spec *out = NULL;
	return spec_new(&r, &out, e) == 0 ? out : NULL;
}

static struct spec *next_version(struct http_req *r, yyjson_mut_doc *doc, yyjson_mut_val *app, const struct spec *before)
{
	struct marathon *ma = r->arg;
	struct err e = { 0 };
	const char *id = yyjson_mut_get_str(yyjson_mut_obj_get(app, "id"));
	yyjson_mut_val *old = before ? stored_definition(doc, before) : NULL;
	bool new_config = !old || app_config_differs(app, old);
	AUTO_FREE char *json = yyjson_mut_val_write(app, 0, NULL);
	struct spec *s = !new_config && yyjson_mut_equals(app, old) ? same_version(before, &e) : make_spec(ma, id, json, before, new_config, &e);
	if (!s)
		http_reply_err(r, &e);
	return s;
}

struct spec *api_spec(struct http_req *r, yyjson_mut_doc *doc, yyjson_mut_val *in, const char *base, const struct spec *before, bool replace)
{
	struct faults f = { .arena = &r->arena };
	yyjson_mut_val *app = app_read(doc, in, base, &f);
	if (app && before && !replace)
		app = app_merge(doc, stored_definition(doc, before), app);
	if (app)
		app = app_complete(doc, app, &f);
	if (app && !f.types)
		app_check(app, &f);
	if (!app || f.count > 0) {
		api_faults(r, &f);
		return NULL;
	}
	if (!assign_service_ports(r->arg, doc, app, before)) {
		struct err e;
		(void)err_set(&e, E_IO, "All ports in the range [%d-%d) are already in use", SERVICE_PORT_MIN, SERVICE_PORT_MAX);
		http_reply_err(r, &e);
		return NULL;
	}
	return next_version(r, doc, app, before);
}

struct spec *api_spec_again(struct marathon *ma, const struct spec *s, int64_t instances, bool new_config)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *app = stored_definition(doc, s);
	yyjson_mut_obj_replace(app, yyjson_mut_str(doc, "instances"), yyjson_mut_sint(doc, instances));
	AUTO_FREE char *json = yyjson_mut_val_write(app, 0, NULL);
	struct spec *out = make_spec(ma, s->id, json, s, new_config, NULL);
	yyjson_mut_doc_free(doc);
	assert(out);     /* what was parsed before parses again */
	return out;
}
