/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/metrics.h"

static double value_of(const struct metric_set *s, const struct metric *m)
{
	double v;
	memcpy(&v, (const char *)s->values + m->offset, sizeof(v));
	return v;
}

void metrics_add(struct metrics *m, struct metric_set set)
{
	assert(m->count < METRICS_MAX);
	m->sets[m->count++] = set;
}

void metrics_json(struct metrics *m, struct buf *out)
{
	bool first = true;
	buf_putc(out, '{');
	for (size_t i = 0; i < m->count; i++) {
		struct metric_set *s = &m->sets[i];
		if (s->refresh)
			s->refresh(s->arg);
		for (size_t j = 0; j < s->count; j++) {
			buf_puts(out, first ? "" : ",");
			first = false;
			buf_json_cstr(out, s->rows[j].name);
			buf_putc(out, ':');
			buf_json_num(out, value_of(s, &s->rows[j]));
		}
	}
	buf_putc(out, '}');
}

/* "master/tasks_running" becomes dcos_master_tasks_running (Prometheus text format 0.0.4: [a-zA-Z_:][a-zA-Z0-9_:]*). */
static void prometheus_name(struct buf *out, const char *name)
{
	buf_puts(out, "dcos_");
	for (; *name; name++) {
		bool ok = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || (*name >= '0' && *name <= '9');
		buf_putc(out, ok ? *name : '_');
	}
}

void metrics_prometheus(struct metrics *m, struct buf *out)
{
	static const char *const types[] = { "gauge", "counter" };
	for (size_t i = 0; i < m->count; i++) {
		struct metric_set *s = &m->sets[i];
		if (s->refresh)
			s->refresh(s->arg);
		for (size_t j = 0; j < s->count; j++) {
			buf_puts(out, "# HELP ");
			prometheus_name(out, s->rows[j].name);
			buf_printf(out, " %s\n# TYPE ", s->rows[j].help);
			prometheus_name(out, s->rows[j].name);
			buf_printf(out, " %s\n", types[s->rows[j].type]);
			prometheus_name(out, s->rows[j].name);
			buf_putc(out, ' ');
			buf_json_num(out, value_of(s, &s->rows[j]));
			buf_putc(out, '\n');
		}
	}
}
