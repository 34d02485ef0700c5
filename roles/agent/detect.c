/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine offers: --resources where they say something, else what is found, by Mesos' rules (memory: all but 1 GB,
 * half below 2 GB; disk: all but 5 GB, half below 10 GB). Ports are those DC/OS' agents offer. Attributes from their text form.
 */
#include "roles/agent/agent_int.h"

#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include "roles/resources.h"

#define PORTS_PRIVATE "[1025-1049,1051-2180,2182-3887,3889-5049,5052-8079,8082-8180,8182-32000]"   /* 1050: log role */
#define PORTS_PUBLIC "[1-21,23-52,54-1049,1051-5050,5052-32000]"                                   /* 53: dns role */
#define PORTS_SHARED "[31000-32000]"      /* without network namespaces, agents share the machine's ports */
#define ATTRIBUTES_MAX 64

static int64_t detect_mem_mb(int64_t bytes)
{
	int64_t mb = bytes / MIB;
	return mb >= 2048 ? mb - 1024 : mb / 2;
}

static int64_t detect_disk_mb(int64_t bytes)
{
	int64_t mb = bytes / MIB;
	return mb >= 10 * 1024 ? mb - 5 * 1024 : mb / 2;
}

static bool names(const mesos_v1_Resource *rows, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (cstr_eq(rows[i].name, name))
			return true;
	return false;
}

static const char *default_ports(const struct agent_config *c)
{
	return !c->isolate ? PORTS_SHARED : c->public ? PORTS_PUBLIC : PORTS_PRIVATE;
}

int detect_resources(struct arena *a, const struct agent_config *c, int64_t cpus, int64_t mem_bytes, int64_t disk_bytes,
		     mesos_v1_Resource **out, size_t *out_count, struct err *e)
{
	AUTO_BUF struct buf found = BUF_INIT;
	mesos_v1_Resource *given = NULL, *rest = NULL;
	size_t given_count = 0, rest_count = 0;
	const char *role = c->default_role ? c->default_role : c->public ? "slave_public" : "*";
	int rc = c->resources ? resources_parse(a, c->resources, role, &given, &given_count, e) : 0;
	if (rc != 0)
		return err_wrap(e, "read --resources");
	if (!names(given, given_count, "cpus"))
		buf_printf(&found, "cpus:%lld;", (long long)cpus);
	if (!names(given, given_count, "mem"))
		buf_printf(&found, "mem:%lld;", (long long)detect_mem_mb(mem_bytes));
	if (!names(given, given_count, "disk"))
		buf_printf(&found, "disk:%lld;", (long long)detect_disk_mb(disk_bytes));
	if (!names(given, given_count, "ports"))
		buf_printf(&found, "ports:%s", default_ports(c));
	rc = resources_parse(a, buf_cstr(&found), role, &rest, &rest_count, e);
	if (rc != 0)
		return rc;
	*out = arena_array(a, mesos_v1_Resource, given_count + rest_count + 1);
	if (given_count > 0)
		memcpy(*out, given, given_count * sizeof(*given));
	if (rest_count > 0)
		memcpy(*out + given_count, rest, rest_count * sizeof(*rest));
	*out_count = given_count + rest_count;
	return 0;
}

/* "[1000-1500,2000-2100]" */
static int read_ranges(struct arena *a, struct str text, mesos_v1_Attribute *at, struct err *e)
{
	mesos_v1_Value_Ranges *r = arena_new(a, mesos_v1_Value_Ranges);
	r->range = arena_array(a, mesos_v1_Value_Range, text.len);
	struct str rest = str_n(text.p + 1, text.len - 2);
	while (rest.p && rest.len > 0) {
		struct str end = str_cut(&rest, ',');
		struct str begin = str_trim(str_cut(&end, '-'));
		mesos_v1_Value_Range *one = &r->range[r->range_count++];
		if (!str_u64(begin, &one->begin) || !str_u64(str_trim(end), &one->end) || one->begin > one->end)
			return err_set(e, E_USAGE, "--attributes: '" STR_FMT "' is no list of ranges", STR_ARG(text));
	}
	at->type = mesos_v1_Value_Type_RANGES;
	at->ranges = r;
	return 0;
}

static int read_attribute(struct arena *a, struct str text, mesos_v1_Attribute *out, struct err *e)
{
	struct str value = text;
	struct str name = str_trim(str_cut(&value, ':'));
	double number;
	if (name.len == 0 || !value.p)
		return err_set(e, E_USAGE, "--attributes wants NAME:VALUE;…, not '" STR_FMT "'", STR_ARG(text));
	value = str_trim(value);
	*out = (mesos_v1_Attribute){ .name = arena_str(a, name) };
	if (value.len >= 2 && value.p[0] == '[' && value.p[value.len - 1] == ']')
		return read_ranges(a, value, out, e);
	if (str_f64(value, &number)) {
		out->type = mesos_v1_Value_Type_SCALAR;
		out->scalar = arena_new(a, mesos_v1_Value_Scalar);
		out->scalar->value = number;
	} else {
		out->type = mesos_v1_Value_Type_TEXT;
		out->text = arena_new(a, mesos_v1_Value_Text);
		out->text->value = arena_str(a, value);
	}
	return 0;
}

int detect_attributes(struct arena *a, const char *text, mesos_v1_Attribute **out, size_t *out_count, struct err *e)
{
	struct str rest = str_of(text ? text : "");
	*out = arena_array(a, mesos_v1_Attribute, ATTRIBUTES_MAX);
	*out_count = 0;
	while (rest.p && rest.len > 0) {
		struct str one = str_trim(str_cut(&rest, ';'));
		if (one.len == 0)
			continue;
		if (*out_count == ATTRIBUTES_MAX)
			return err_set(e, E_TOOBIG, "--attributes names more than %d attributes", ATTRIBUTES_MAX);
		int rc = read_attribute(a, one, &(*out)[(*out_count)++], e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static void set_totals(struct agent *a)
{
	for (size_t i = 0; i < a->info.resources_count; i++) {
		const mesos_v1_Resource *r = &a->info.resources[i];
		double v = r->scalar ? r->scalar->value : 0;
		a->metrics.cpus_total += cstr_eq(r->name, "cpus") ? v : 0;
		a->metrics.mem_total += cstr_eq(r->name, "mem") ? v : 0;
		a->metrics.disk_total += cstr_eq(r->name, "disk") ? v : 0;
	}
}

int detect_info(struct agent *a, struct err *e)
{
	struct sysinfo s;
	struct statvfs disk;
	size_t count;
	if (sysinfo(&s) != 0 || statvfs(a->config.work_dir, &disk) != 0)
		return err_sys(e, "look at this machine's memory and disk");
	AUTO_FREE char *attributes = xasprintf("%s%s", a->config.public ? "public_ip:true;" : "",
					       a->config.attributes ? a->config.attributes : "");
	a->info.hostname = a->node.hostname;
	a->info.has_port = true;
	a->info.port = a->config.port;
	int rc = detect_attributes(&a->arena, attributes, &a->info.attributes, &count, e);
	if (rc != 0)
		return rc;
	a->info.attributes_count = (pb_size_t)count;
	rc = detect_resources(&a->arena, &a->config, sysconf(_SC_NPROCESSORS_ONLN), (int64_t)s.totalram * s.mem_unit,
			      (int64_t)(disk.f_blocks * disk.f_frsize), &a->info.resources, &count, e);
	a->info.resources_count = (pb_size_t)count;
	if (rc == 0)
		set_totals(a);
	return rc;
}
