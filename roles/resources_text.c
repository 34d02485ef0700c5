/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources as people write them: "cpus:4;mem(role):2048;ports:[31000-32000,33000-33010]" or a JSON array of Resource messages.
 * The grammar is Mesos' --resources; sets and unknown names are refused as everywhere (roles/resources.c).
 */
#include "net/json.h"
#include "net/pb_json.h"
#include "roles/resources.h"

static int ranges_parse(struct arena *a, struct str text, mesos_v1_Resource *row, struct err *e)
{
	struct str rest = str_n(text.p + 1, text.len - 2);
	mesos_v1_Value_Ranges *ranges = arena_new(a, mesos_v1_Value_Ranges);
	size_t count = 1;
	for (size_t i = 0; i < rest.len; i++)
		count += rest.p[i] == ',';
	ranges->range = arena_array(a, mesos_v1_Value_Range, count);
	while (rest.p && rest.len > 0) {
		struct str end = str_trim(str_cut(&rest, ','));
		struct str begin = str_trim(str_cut(&end, '-'));
		mesos_v1_Value_Range *r = &ranges->range[ranges->range_count++];
		if (!end.p || !str_u64(begin, &r->begin) || !str_u64(str_trim(end), &r->end) || r->begin > r->end)
			return err_set(e, E_MALFORMED, "'" STR_FMT "' is no list of ranges like [31000-32000]", STR_ARG(text));
	}
	row->type = mesos_v1_Value_Type_RANGES;
	row->ranges = ranges;
	return 0;
}

static int value_parse(struct arena *a, struct str text, mesos_v1_Resource *row, struct err *e)
{
	double v;
	if (text.len >= 2 && text.p[0] == '[' && text.p[text.len - 1] == ']')
		return ranges_parse(a, text, row, e);
	if (!str_f64(text, &v))
		return err_set(e, E_MALFORMED, "'" STR_FMT "' is neither a number nor ranges like [1-5]", STR_ARG(text));
	row->type = mesos_v1_Value_Type_SCALAR;
	row->scalar = arena_new(a, mesos_v1_Value_Scalar);
	row->scalar->value = v;
	return 0;
}

static int item_parse(struct arena *a, struct str item, const char *default_role, mesos_v1_Resource *row, struct err *e)
{
	struct str value = item;
	struct str name = str_trim(str_cut(&value, ':'));
	struct str role = name;
	if (!value.p)
		return err_set(e, E_MALFORMED, "resource '" STR_FMT "' wants the form name:value", STR_ARG(item));
	name = str_cut(&role, '(');
	if (role.p) {
		if (role.len < 2 || role.p[role.len - 1] != ')')
			return err_set(e, E_MALFORMED, "resource '" STR_FMT "' wants the form name(role):value", STR_ARG(item));
		row->role = arena_str(a, str_head(role, role.len - 1));
	} else {
		row->role = arena_strdup(a, default_role);
	}
	row->name = arena_str(a, str_trim(name));
	return value_parse(a, str_trim(value), row, e);
}

static int text_parse(struct arena *a, struct str text, const char *default_role, mesos_v1_Resource **out, size_t *out_count, struct err *e)
{
	size_t max = 1, n = 0;
	for (size_t i = 0; i < text.len; i++)
		max += text.p[i] == ';';
	mesos_v1_Resource *rows = arena_array(a, mesos_v1_Resource, max);
	while (text.p) {
		struct str item = str_trim(str_cut(&text, ';'));
		int rc = item.len > 0 ? item_parse(a, item, default_role, &rows[n++], e) : 0;
		if (rc != 0)
			return rc;
	}
	*out = rows;
	*out_count = n;
	return 0;
}

static int json_array_parse(struct arena *a, struct str text, const char *default_role, mesos_v1_Resource **out, size_t *out_count,
			    struct err *e)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	int rc = json_parse(text.p, text.len, &doc, e);
	if (rc != 0)
		return rc;
	yyjson_val *list = yyjson_doc_get_root(doc);
	mesos_v1_Resource *rows = arena_array(a, mesos_v1_Resource, yyjson_arr_size(list) + 1);
	for (size_t i = 0; i < yyjson_arr_size(list); i++) {
		rc = pb_json_read(a, &mesos_v1_Resource_json, yyjson_arr_get(list, i), &rows[i], e);
		if (rc != 0)
			return err_wrap(e, "resource %zu", i);
		if (!rows[i].role)
			rows[i].role = arena_strdup(a, default_role);
	}
	*out = rows;
	*out_count = yyjson_arr_size(list);
	return 0;
}

int resources_parse(struct arena *a, const char *text, const char *default_role, mesos_v1_Resource **out, size_t *out_count, struct err *e)
{
	struct str s = str_trim(str_of(text));
	struct resources sum = { 0 };
	mesos_v1_Resource *rows = NULL;
	size_t count = 0;
	int rc = s.len > 0 && s.p[0] == '[' ? json_array_parse(a, s, default_role, &rows, &count, e)
					    : text_parse(a, s, default_role, &rows, &count, e);
	if (rc == 0)
		rc = resources_from_v1(&sum, rows, count, e);
	resources_fini(&sum);
	if (rc != 0)
		return rc;
	*out = rows;
	*out_count = count;
	return 0;
}
