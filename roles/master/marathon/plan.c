/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/master/marathon/plan.h"

#include "net/base/map.h"

static const char *const action_names[] = {
	[ACTION_STOP] = "StopApplication", [ACTION_START] = "StartApplication", [ACTION_SCALE] = "ScaleApplication", [ACTION_RESTART] = "RestartApplication",
};

const char *action_name(int kind)
{
	return kind >= 0 && (size_t)kind < ARRAY_LEN(action_names) ? action_names[kind] : "Unknown";
}

/*
 * Depth of each app: one more than the deepest of what it depends on, among those given. Relaxed until nothing moves; with a
 * cycle depths grow past the number of apps. False: there is one, at *out_cycle.
 */
static bool depths(const struct app_change *apps, size_t count, uint32_t *out, size_t *out_cycle)
{
	struct map at = { 0 };
	bool moved = true;
	for (size_t i = 0; i < count; i++) {
		out[i] = 0;
		(void)map_put_c(&at, apps[i].id, &out[i]);
	}
	*out_cycle = count;
	for (size_t round = 0; moved && *out_cycle == count; round++) {
		moved = false;
		for (size_t i = 0; i < count; i++) {
			const struct spec *s = apps[i].after;
			for (size_t k = 0; s && k < s->dependency_count; k++) {
				const uint32_t *dep = map_find_c(&at, s->dependencies[k]);
				if (!dep || *dep < out[i])
					continue;
				out[i] = *dep + 1;
				moved = true;
				if (round > count)
					*out_cycle = i;
			}
		}
	}
	map_fini(&at);
	return *out_cycle == count;
}

const char *plan_cycle(const struct app_change *apps, size_t count)
{
	uint32_t *depth = xcalloc(count + 1, sizeof(*depth));
	size_t at;
	bool ok = depths(apps, count, depth, &at);
	free(depth);
	return ok ? NULL : apps[at].id;
}

static int changed_kind(const struct app_change *c)
{
	if (!c->after)
		return -1;
	if (!c->before)
		return ACTION_SCALE;
	bool config = strcmp(c->before->last_config_change_at, c->after->last_config_change_at) != 0;
	if (config && c->after->instances > 0)
		return ACTION_RESTART;
	return config || c->before->instances != c->after->instances ? ACTION_SCALE : -1;
}

static bool add_step(const struct app_change *changes, size_t count, int kind, uint32_t step, struct action *out, size_t *n)
{
	size_t before = *n;
	for (size_t i = 0; i < count; i++) {
		const struct app_change *c = &changes[i];
		if (kind == ACTION_STOP ? c->before && !c->after : !c->before && c->after)
			out[(*n)++] = (struct action){ (char *)c->id, kind, step };
	}
	return *n > before;
}

size_t plan_make(const struct app_change *changes, size_t count, struct action *out, uint32_t *out_step_count)
{
	uint32_t *depth = xcalloc(count + 1, sizeof(*depth)), step = 0, deepest = 0;
	size_t n = 0, cycle;
	step += add_step(changes, count, ACTION_STOP, step, out, &n);
	step += add_step(changes, count, ACTION_START, step, out, &n);
	(void)depths(changes, count, depth, &cycle);     /* callers refuse cycles */
	for (size_t i = 0; i < count; i++)
		deepest = MAX(deepest, depth[i]);
	for (uint32_t level = 0; level <= deepest; level++) {
		size_t before = n;
		for (size_t i = 0; i < count; i++)
			if (depth[i] == level && changed_kind(&changes[i]) >= 0)
				out[n++] = (struct action){ (char *)changes[i].id, changed_kind(&changes[i]), step };
		step += n > before;
	}
	free(depth);
	*out_step_count = step;
	return n;
}

void plan_write_step(struct jw *w, const char *key, const struct action *actions, size_t count, uint32_t step)
{
	jw_obj(w, key);
	jw_arr(w, "actions");
	for (size_t i = 0; i < count; i++) {
		if (actions[i].step != step)
			continue;
		jw_obj(w, NULL);
		jw_str(w, "action", action_name(actions[i].kind));
		jw_str(w, "app", actions[i].app);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
}
