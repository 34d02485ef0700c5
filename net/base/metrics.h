/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registry of numbers: JSON snapshot (Mesos' /metrics/snapshot form) and Prometheus text from the same table.
 * The table is an X-macro at the subsystem, its values a plain struct of doubles: `m->tasks_running++` where it happens.
 */
#pragma once

#include "net/base/base.h"
#include "net/base/buf.h"

enum metric_type { METRIC_GAUGE, METRIC_COUNTER };

struct metric {
	enum metric_type type;
	const char *name;      /* "master/tasks_running" */
	size_t offset;         /* of the double in the values struct */
	const char *unit;
	const char *help;
};

struct metric_set {
	const struct metric *rows;
	size_t count;
	const void *values;                 /* borrowed */
	void (*refresh)(void *arg);         /* called before values are read; may be NULL */
	void *arg;
};

#define METRICS_MAX 16
struct metrics {
	struct metric_set sets[METRICS_MAX];
	size_t count;
};

#define METRIC_FIELD(type, name, field, unit, help) double field;
void metrics_add(struct metrics *m, struct metric_set set);
void metrics_json(struct metrics *m, struct buf *out);         /* {"name":value,...} */
void metrics_prometheus(struct metrics *m, struct buf *out);
