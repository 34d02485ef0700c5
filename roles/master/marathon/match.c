/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/master/marathon/match.h"

#include <math.h>
#include <regex.h>
#include <stdio.h>

static const char *const reject_names[] = {
#define REJECT_WIRE(name, wire, words) wire,
	REJECT_TABLE(REJECT_WIRE)
};

const char *reject_name(enum reject r)
{
	assert(r < REJECT_COUNT);
	return reject_names[r];
}

/* ---- constraints ---- */

/* "0.###": at most three decimals, none at the end that are zero. */
static char *scalar_text(struct arena *a, double v)
{
	char *s = arena_printf(a, "%.3f", v);
	size_t n = strlen(s);
	while (n > 0 && s[n - 1] == '0')
		s[--n] = '\0';
	if (n > 0 && s[n - 1] == '.')
		s[n - 1] = '\0';
	return s;
}

static char *ranges_text(struct arena *a, const mesos_v1_Value_Ranges *ranges)
{
	char *out = arena_strdup(a, "[");
	for (size_t i = 0; ranges && i < ranges->range_count; i++)
		out = arena_printf(a, "%s%s%llu-%llu", out, i ? "," : "", (unsigned long long)ranges->range[i].begin,
				   (unsigned long long)ranges->range[i].end);
	return arena_printf(a, "%s]", out);
}

static char *set_text(struct arena *a, const mesos_v1_Value_Set *set)
{
	char *out = arena_strdup(a, "{");
	for (size_t i = 0; set && i < set->item_count; i++)
		out = arena_printf(a, "%s%s%s", out, i ? "," : "", set->item[i]);
	return arena_printf(a, "%s}", out);
}

static const char *attribute_text(struct arena *a, const mesos_v1_Attribute *row)
{
	switch (row->type) {
	case mesos_v1_Value_Type_SCALAR:
		return row->scalar ? scalar_text(a, row->scalar->value) : NULL;
	case mesos_v1_Value_Type_RANGES:
		return ranges_text(a, row->ranges);
	case mesos_v1_Value_Type_SET:
		return set_text(a, row->set);
	default:
		return row->text ? row->text->value : NULL;
	}
}

const char *place_value(struct arena *a, struct place at, const char *field)
{
	if (strcmp(field, "hostname") == 0 || strcmp(field, "@hostname") == 0)
		return at.hostname;
	for (size_t i = 0; i < at.attribute_count; i++)
		if (cstr_eq(at.attributes[i].name, field))
			return attribute_text(a, &at.attributes[i]);
	return NULL;
}

static bool regex_matches(const char *pattern, const char *value)
{
	regex_t re;
	regmatch_t m;
	if (regcomp(&re, pattern, REG_EXTENDED) != 0)
		return false;     /* app_regex_ok let it pass: it compiles */
	bool whole = regexec(&re, value, 1, &m, 0) == 0 && m.rm_so == 0 && value[m.rm_eo] == '\0';
	regfree(&re);
	return whole;
}

/* How instances of the present configuration are spread over the values of a field. */
struct spread {
	int64_t same;               /* placed with the value asked for */
	int64_t all;
	int64_t groups, smallest;   /* values that occur, and the least of their counts */
	const char *first;          /* of the instance placed first */
};

static struct spread spread_of(struct arena *a, const struct spec *s, struct placed placed, const char *field, const char *value)
{
	struct spread out = { 0 };
	const char **values = arena_array(a, const char *, placed.count + 1);
	int64_t *counts = arena_array(a, int64_t, placed.count + 1);
	for (size_t i = 0; i < placed.count; i++) {
		const struct instance *in = placed.instances[i];
		struct place at = { in->host, in->attributes, in->attribute_count };
		const char *v = spec_current(s, in->version) ? place_value(a, at, field) : NULL;
		int64_t k = 0;
		if (!v)
			continue;
		out.all++;
		out.same += strcmp(v, value) == 0;
		out.first = out.first ? out.first : v;
		while (k < out.groups && strcmp(values[k], v) != 0)
			k++;
		if (k == out.groups)
			values[out.groups++] = v;
		counts[k]++;
	}
	for (int64_t k = 0; k < out.groups; k++)
		out.smallest = k == 0 ? counts[0] : MIN(out.smallest, counts[k]);
	return out;
}

static bool is_value(struct arena *a, const char *wanted, const char *v)
{
	double x, y;
	if (str_f64(str_of(wanted), &x) && str_f64(str_of(v), &y))
		return strcmp(scalar_text(a, x), scalar_text(a, y)) == 0;
	return strcmp(wanted, v) == 0;
}

bool constraint_holds(const struct constraint *c, const struct spec *s, struct placed placed, struct place at)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	const char *v = place_value(&a, at, c->field);
	if (!v)
		return c->op == OP_UNLIKE;
	struct spread sp = spread_of(&a, s, placed, c->field, v);
	switch (c->op) {
	case OP_UNIQUE:
		return sp.same == 0;
	case OP_CLUSTER:
		return c->value && *c->value ? strcmp(v, c->value) == 0 : sp.all == 0 || strcmp(sp.first, v) == 0;
	case OP_GROUP_BY:
		return sp.same == 0 || (sp.groups >= (c->value ? atoll(c->value) : 0) && sp.same == sp.smallest);
	case OP_LIKE:
		return regex_matches(c->value, v);
	case OP_UNLIKE:
		return !regex_matches(c->value, v);
	case OP_MAX_PER:
		return sp.same < atoll(c->value);
	case OP_IS:
		return is_value(&a, c->value, v);
	}
	return false;
}

static bool constraints_hold(const struct spec *s, struct placed placed, struct place at)
{
	for (size_t i = 0; i < s->constraint_count; i++)
		if (!constraint_holds(&s->constraints[i], s, placed, at))
			return false;
	return true;
}

/* ---- pools ---- */

struct pool_row {
	const mesos_v1_Resource *from;      /* borrowed from the offer */
	const char *role;
	int64_t left_milli;                 /* scalars */
	struct range *ranges;               /* ranges; sorted as offered */
	size_t range_count;
};

static const char *role_of(const mesos_v1_Resource *r)
{
	if (r->reservations_count > 0 && r->reservations[r->reservations_count - 1].role)
		return r->reservations[r->reservations_count - 1].role;
	return r->role ? r->role : "*";
}

/* Volumes and revocable or shared resources are not for ordinary tasks. */
static bool ordinary(const mesos_v1_Resource *r) { return !r->disk && !r->revocable && !r->shared; }

static void add_ranges(struct pool *p, struct pool_row *row, const mesos_v1_Value_Ranges *ranges)
{
	row->ranges = arena_array(p->arena, struct range, ranges->range_count + 1);
	for (size_t i = 0; i < ranges->range_count; i++)
		if (ranges->range[i].begin <= ranges->range[i].end && ranges->range[i].end <= 65535)
			row->ranges[row->range_count++] = (struct range){ ranges->range[i].begin, ranges->range[i].end };
}

struct pool pool_of_offer(struct arena *a, const mesos_v1_Offer *offer)
{
	struct pool p = { .arena = a, .rows = arena_array(a, struct pool_row, offer->resources_count + 1) };
	for (size_t i = 0; i < offer->resources_count; i++) {
		const mesos_v1_Resource *r = &offer->resources[i];
		struct pool_row *row = &p.rows[p.count];
		if (!ordinary(r))
			continue;
		*row = (struct pool_row){ .from = r, .role = role_of(r) };
		if (r->scalar)
			row->left_milli = llround(r->scalar->value * 1000);
		if (r->ranges)
			add_ranges(&p, row, r->ranges);
		p.count++;
	}
	return p;
}

static bool role_accepted(const struct spec *s, const char *role)
{
	for (size_t i = 0; i < s->role_count; i++)
		if (strcmp(s->roles[i], role) == 0)
			return true;
	return false;
}

static bool usable(const struct spec *s, const struct pool_row *row, const char *name)
{
	return strcmp(row->from->name, name) == 0 && role_accepted(s, row->role);
}

static int64_t pool_scalar(const struct spec *s, const struct pool *p, const char *name)
{
	int64_t sum = 0;
	for (size_t i = 0; i < p->count; i++)
		if (usable(s, &p->rows[i], name))
			sum += p->rows[i].left_milli;
	return sum;
}

static uint64_t pool_ports(const struct spec *s, const struct pool *p)
{
	uint64_t n = 0;
	for (size_t i = 0; i < p->count; i++)
		for (size_t k = 0; usable(s, &p->rows[i], "ports") && k < p->rows[i].range_count; k++)
			n += p->rows[i].ranges[k].end - p->rows[i].ranges[k].begin + 1;
	return n;
}

static bool pool_has_port(const struct spec *s, const struct pool *p, uint32_t port)
{
	for (size_t i = 0; i < p->count; i++)
		for (size_t k = 0; usable(s, &p->rows[i], "ports") && k < p->rows[i].range_count; k++)
			if (port >= p->rows[i].ranges[k].begin && port <= p->rows[i].ranges[k].end)
				return true;
	return false;
}

/* The n-th usable port, counted over rows and ranges; n is below pool_ports. */
static uint32_t pool_port_at(const struct spec *s, const struct pool *p, uint64_t n)
{
	for (size_t i = 0; i < p->count; i++) {
		for (size_t k = 0; usable(s, &p->rows[i], "ports") && k < p->rows[i].range_count; k++) {
			const struct range *r = &p->rows[i].ranges[k];
			if (n <= r->end - r->begin)
				return (uint32_t)(r->begin + n);
			n -= r->end - r->begin + 1;
		}
	}
	assert(!"a port beyond the pool");
	return 0;
}

/* ---- taking ---- */

static mesos_v1_Resource *taken_row(struct taken *t, const struct pool_row *row)
{
	mesos_v1_Resource *out = &t->resources[t->resource_count++];
	*out = *row->from;
	return out;
}

static void take_scalar(const struct spec *s, struct pool *p, const char *name, int64_t milli, struct taken *t)
{
	for (size_t i = 0; i < p->count && milli > 0; i++) {
		struct pool_row *row = &p->rows[i];
		int64_t part = MIN(milli, row->left_milli);
		if (part <= 0 || !usable(s, row, name))
			continue;
		mesos_v1_Resource *out = taken_row(t, row);
		out->scalar = arena_new(p->arena, mesos_v1_Value_Scalar);
		out->scalar->value = (double)part / 1000;
		row->left_milli -= part;
		milli -= part;
	}
	assert(milli <= 0);
}

/* Cut one port out of the row's ranges. False: it has no such port. */
static bool cut_port(struct pool *p, struct pool_row *row, uint32_t port)
{
	for (size_t k = 0; k < row->range_count; k++) {
		struct range whole = row->ranges[k];
		if (port < whole.begin || port > whole.end)
			continue;
		struct range *rest = arena_array(p->arena, struct range, row->range_count + 2);
		size_t n = k;
		memcpy(rest, row->ranges, k * sizeof(*rest));
		if (port > whole.begin)
			rest[n++] = (struct range){ whole.begin, port - 1 };
		if (port < whole.end)
			rest[n++] = (struct range){ port + 1, whole.end };
		memcpy(rest + n, row->ranges + k + 1, (row->range_count - k - 1) * sizeof(*rest));
		row->range_count = n + row->range_count - k - 1;
		row->ranges = rest;
		return true;
	}
	return false;
}

static void take_ports(const struct spec *s, struct pool *p, struct taken *t)
{
	for (size_t i = 0; i < p->count; i++) {
		struct pool_row *row = &p->rows[i];
		mesos_v1_Value_Ranges *ranges = NULL;
		for (size_t k = 0; k < t->port_count && usable(s, row, "ports"); k++) {
			if (!cut_port(p, row, t->ports[k]))
				continue;
			if (!ranges) {
				ranges = arena_new(p->arena, mesos_v1_Value_Ranges);
				ranges->range = arena_array(p->arena, mesos_v1_Value_Range, t->port_count);
				taken_row(t, row)->ranges = ranges;
			}
			ranges->range[ranges->range_count++] = (mesos_v1_Value_Range){ .begin = t->ports[k], .end = t->ports[k] };
		}
	}
}

static void choose_ports(const struct spec *s, const struct pool *p, struct rnd *r, struct taken *t)
{
	uint64_t all = pool_ports(s, p), start = all > 0 ? rnd_below(r, all) : 0;
	assert(all >= s->port_count);
	t->port_count = s->port_count;
	t->ports = arena_array(p->arena, uint32_t, s->port_count + 1);
	for (size_t i = 0; i < s->port_count; i++)
		t->ports[i] = s->require_ports ? s->ports[i] : pool_port_at(s, p, (start + i) % all);
}

static unsigned ports_missing(const struct spec *s, const struct pool *p)
{
	if (pool_ports(s, p) < s->port_count)
		return 1u << REJECT_PORTS;
	for (size_t i = 0; i < s->port_count && s->require_ports; i++)
		if (!pool_has_port(s, p, s->ports[i]))
			return 1u << REJECT_PORTS;
	return 0;
}

static bool any_role(const struct spec *s, const struct pool *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (role_accepted(s, p->rows[i].role))
			return true;
	return false;
}

unsigned match_offer(const struct spec *s, struct placed placed, struct place at, struct pool *p, struct rnd *r, struct taken *out)
{
	unsigned why = 0;
	if (!any_role(s, p))
		return 1u << REJECT_ROLE;
	if (!constraints_hold(s, placed, at))
		why |= 1u << REJECT_CONSTRAINT;
	why |= (unsigned)(pool_scalar(s, p, "cpus") < s->cpus_milli) << REJECT_CPUS;
	why |= (unsigned)(pool_scalar(s, p, "mem") < s->mem_milli) << REJECT_MEM;
	why |= (unsigned)(pool_scalar(s, p, "disk") < s->disk_milli) << REJECT_DISK;
	if (!why)
		why = ports_missing(s, p);
	if (why)
		return why;
	*out = (struct taken){ .resources = arena_array(p->arena, mesos_v1_Resource, p->count + 1) };
	choose_ports(s, p, r, out);
	take_scalar(s, p, "cpus", s->cpus_milli, out);
	take_scalar(s, p, "mem", s->mem_milli, out);
	take_scalar(s, p, "disk", s->disk_milli, out);
	take_ports(s, p, out);
	return 0;
}

/* ---- agents ---- */

static bool agent_role(const struct spec *s, const mesos_v1_AgentInfo *info)
{
	for (size_t i = 0; i < info->resources_count; i++)
		if (role_accepted(s, role_of(&info->resources[i])))
			return true;
	return false;
}

static bool free_has_port(const struct resources *r, uint32_t port)
{
	for (size_t i = 0; i < r->port_count; i++)
		if (port >= r->ports[i].begin && port <= r->ports[i].end)
			return true;
	return false;
}

unsigned match_agent(const struct spec *s, struct placed placed, const mesos_v1_AgentInfo *info, const struct resources *free_)
{
	struct place at = { info->hostname, info->attributes, info->attributes_count };
	unsigned why = 0;
	if (!agent_role(s, info))
		return 1u << REJECT_ROLE;
	if (!constraints_hold(s, placed, at))
		why |= 1u << REJECT_CONSTRAINT;
	why |= (unsigned)(free_->cpus_milli < s->cpus_milli) << REJECT_CPUS;
	why |= (unsigned)(free_->mem_milli < s->mem_milli) << REJECT_MEM;
	why |= (unsigned)(free_->disk_milli < s->disk_milli) << REJECT_DISK;
	why |= (unsigned)(resources_port_count(free_) < s->port_count) << REJECT_PORTS;
	for (size_t i = 0; i < s->port_count && s->require_ports; i++)
		if (!free_has_port(free_, s->ports[i]))
			why |= 1u << REJECT_PORTS;
	return why;
}
