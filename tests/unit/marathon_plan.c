/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of deployments, and label selectors. */
#include "roles/master/marathon/labels.h"
#include "roles/master/marathon/plan.h"
#include "tests/lib/test.h"

#define V1 "2026-01-01T00:00:00.000Z"
#define V2 "2026-01-02T00:00:00.000Z"

static struct spec version(const char *id, const char *config, int64_t instances)
{
	return (struct spec){ .id = id, .version = config, .last_config_change_at = config, .instances = instances };
}

/* "0 StartApplication /x; 1 ScaleApplication /x" */
static const char *plan(const struct app_change *changes, size_t count)
{
	static struct arena a = ARENA_INIT;
	struct action actions[32];
	uint32_t steps;
	size_t n = plan_make(changes, count, actions, &steps);
	const char *out = "";
	for (size_t i = 0; i < n; i++)
		out = arena_printf(&a, "%s%s%u %s %s", out, i ? "; " : "", actions[i].step, action_name(actions[i].kind), actions[i].app);
	return out;
}

TEST(marathon_plan, one_app_starts_scales_restarts_and_stops)
{
	struct spec one = version("/x", V1, 1), three = version("/x", V1, 3), next = version("/x", V2, 3), none = version("/x", V2, 0);
	EQ_STR(plan(&(struct app_change){ "/x", NULL, &one }, 1), "0 StartApplication /x; 1 ScaleApplication /x");
	EQ_STR(plan(&(struct app_change){ "/x", &one, &three }, 1), "0 ScaleApplication /x");
	EQ_STR(plan(&(struct app_change){ "/x", &three, &next }, 1), "0 RestartApplication /x");
	EQ_STR(plan(&(struct app_change){ "/x", &three, &none }, 1), "0 ScaleApplication /x");
	EQ_STR(plan(&(struct app_change){ "/x", &three, NULL }, 1), "0 StopApplication /x");
	EQ_STR(plan(&(struct app_change){ "/x", &three, &three }, 1), "");
}

TEST(marathon_plan, dependencies_order_the_steps)
{
	const char *on_db[] = { "/db" }, *on_api[] = { "/api", "/elsewhere" };
	struct spec db = version("/db", V1, 1), api = version("/api", V1, 1), web = version("/web", V1, 1), old = version("/old", V1, 1);
	api.dependencies = on_db;
	api.dependency_count = 1;
	web.dependencies = on_api;
	web.dependency_count = 2;
	struct app_change changes[] = { { "/web", NULL, &web }, { "/api", NULL, &api }, { "/db", NULL, &db }, { "/old", &old, NULL } };
	EQ_STR(plan(changes, 4), "0 StopApplication /old; 1 StartApplication /web; 1 StartApplication /api; 1 StartApplication /db; "
	       "2 ScaleApplication /db; 3 ScaleApplication /api; 4 ScaleApplication /web");
	TRUE(!plan_cycle(changes, 4));
	db.dependencies = on_api;
	db.dependency_count = 1;
	TRUE(plan_cycle(changes, 4));
}

TEST(marathon_labels, selectors_match_as_marathons_do)
{
	static const struct { const char *selector; bool matches; } table[] = {
		{ "env", true }, { "nope", false }, { "env==prod", true }, { "env == test", false }, { "env!=test", true }, { "nope!=x", false },
		{ "env in (test, prod)", true }, { "env notin (test,prod)", false }, { "env notin (test)", true }, { "env==prod,tier==web", true },
		{ "env==prod, tier==db", false }, { "a\\:b==c", true },
	};
	static const char app[] = "{\"labels\":{\"env\":\"prod\",\"tier\":\"web\",\"a:b\":\"c\"}}";
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_ARENA struct arena a = ARENA_INIT;
		struct label_selector *s;
		struct err e = { 0 };
		if (label_selector_parse(&a, str_of(table[i].selector), &s, &e) != 0)
			FAIL("%s", e.text);
		if (label_selector_matches(s, app) != table[i].matches)
			FAIL("%s", table[i].selector);
	}
}

TEST(marathon_labels, broken_selectors_are_refused)
{
	static const char *const bad[] = { "", "env==", "env in", "env in (a", "env prod", ",", "env==a b", "==" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_ARENA struct arena a = ARENA_INIT;
		struct label_selector *s;
		struct err e = { 0 };
		if (label_selector_parse(&a, str_of(bad[i]), &s, &e) != E_INVALID)
			FAIL("'%s' is taken", bad[i]);
		HAS(e.text, "Can not parse label selector");
	}
}
