/* SPDX-License-Identifier: Apache-2.0 */
/* What a deployment does, in which order: Marathon's DeploymentPlan. Pure. */
#pragma once

#include "net/json.h"
#include "roles/master/marathon/spec.h"

enum action_kind { ACTION_STOP, ACTION_START, ACTION_SCALE, ACTION_RESTART };     /* stored: append only */
const char *action_name(int kind);                                               /* "ScaleApplication" */

struct action {
	char *app;          /* owned by whoever owns the array */
	int kind;
	uint32_t step;      /* from 0 */
};

/* One app in a change. */
struct app_change {
	const char *id;
	const struct spec *before;      /* NULL: it did not exist */
	const struct spec *after;       /* NULL: it is removed */
};

/*
 * Actions by step: removed apps, new apps, then changed ones by the depth of their dependencies. At most two rows a change are
 * written to `out`; strings borrowed from the changes. *out_step_count may be 0: nothing changes.
 */
size_t plan_make(const struct app_change *changes, size_t count, struct action *out, uint32_t *out_step_count);
/* {"actions":[{"action":…,"app":…}]} of one step, as a member `key` or array element (NULL). */
void plan_write_step(struct jw *w, const char *key, const struct action *actions, size_t count, uint32_t step);
/* NULL, or the app whose dependencies lead back to itself. */
const char *plan_cycle(const struct app_change *apps, size_t count);
