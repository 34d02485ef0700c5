/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions of apps: canonical form, old forms, defaults, updates, and the texts of what is refused. */
#include "net/base/arena.h"
#include "net/json.h"
#include "roles/master/marathon/app.h"
#include "roles/master/marathon/ids.h"
#include "tests/lib/test.h"

/*
 * What an app becomes, or the 422 body; lives as long as the test's process. `stored`: NULL for a POST, else the canonical form
 * that `text` updates.
 */
static char *normalise(const char *text, const char *stored)
{
	static char *answers[16];
	static size_t count;
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_JSON yyjson_doc *doc = NULL;
	AUTO_JSON yyjson_doc *old = NULL;
	struct faults f = { .arena = &a };
	struct buf out = BUF_INIT;
	struct err e = { 0 };
	yyjson_mut_doc *m = yyjson_mut_doc_new(NULL);
	char **answer = &answers[count++ % ARRAY_LEN(answers)];
	if (json_parse(text, strlen(text), &doc, &e) != 0)
		FAIL("%s", e.text);
	yyjson_mut_val *app = app_read(m, yyjson_val_mut_copy(m, yyjson_doc_get_root(doc)), "/", &f);
	if (app && stored) {
		EQ_INT(json_parse(stored, strlen(stored), &old, &e), 0);
		app = app_merge(m, yyjson_val_mut_copy(m, yyjson_doc_get_root(old)), app);
	}
	if (app)
		app = app_complete(m, app, &f);
	if (app && !f.types)
		app_check(app, &f);
	free(*answer);
	if (f.count > 0) {
		faults_write(&f, &out);
		*answer = buf_take(&out);
	} else {
		*answer = yyjson_mut_val_write(app, 0, NULL);
	}
	yyjson_mut_doc_free(m);
	return *answer;
}

TEST(marathon_app, workshop_service_gets_its_canonical_form)
{
	EQ_STR(normalise("{\"id\":\"/sise\",\"instances\":1,\"cpus\":0.1,\"mem\":32,\"container\":{\"type\":\"DOCKER\",\"docker\":{"
			 "\"image\":\"mhausenblas/simpleservice:0.3.0\",\"network\":\"HOST\",\"forcePullImage\":true}},"
			 "\"portDefinitions\":[{\"labels\":{\"VIP_0\":\"/sise:80\"}}]}", NULL),
	       "{\"id\":\"/sise\",\"backoffFactor\":1.15,\"backoffSeconds\":1,\"container\":{\"type\":\"DOCKER\",\"docker\":{"
	       "\"forcePullImage\":true,\"image\":\"mhausenblas/simpleservice:0.3.0\",\"parameters\":[],\"privileged\":false},"
	       "\"volumes\":[]},\"cpus\":0.1,\"disk\":0,\"executor\":\"\",\"gpus\":0,\"instances\":1,"
	       "\"killSelection\":\"YOUNGEST_FIRST\",\"labels\":{},\"maxLaunchDelaySeconds\":3600,\"mem\":32,"
	       "\"networks\":[{\"mode\":\"host\"}],\"portDefinitions\":[{\"labels\":{\"VIP_0\":\"/sise:80\"},\"port\":0,"
	       "\"protocol\":\"tcp\"}],\"requirePorts\":false,\"unreachableStrategy\":{\"expungeAfterSeconds\":0,"
	       "\"inactiveAfterSeconds\":0},\"upgradeStrategy\":{\"maximumOverCapacity\":1,\"minimumHealthCapacity\":1}}");
}

TEST(marathon_app, canonical_form_is_its_own_canonical_form)
{
	char *once = normalise("{\"id\":\"a/b/\",\"cmd\":\"sleep 1\",\"ports\":[0,8080],\"labels\":{\"x\":\"y\"},\"env\":{\"A\":\"1\"},"
			       "\"constraints\":[[\"hostname\",\"UNIQUE\"]],\"healthChecks\":[{\"path\":\"/\"}],\"mem\":1.5,"
			       "\"unreachableStrategy\":\"disabled\",\"dependencies\":[\"../db\"]}", NULL);
	HAS(once, "\"id\":\"/a/b\"");
	HAS(once, "\"dependencies\":[\"/a/db\"]");
	HAS(once, "\"portDefinitions\":[{\"labels\":{},\"port\":0,\"protocol\":\"tcp\"},{\"labels\":{},\"port\":8080,\"protocol\":\"tcp\"}]");
	HAS(once, "\"portIndex\":0");
	EQ_STR(normalise(once, NULL), once);
}

TEST(marathon_app, app_without_ports_gets_one_named_default)
{
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\"}", NULL), "\"portDefinitions\":[{\"labels\":{},\"name\":\"default\",\"port\":0,\"protocol\":\"tcp\"}]");
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"ports\":[]}", NULL), "\"portDefinitions\":[]");
}

TEST(marathon_app, bad_values_are_all_named_with_marathons_texts)
{
	EQ_STR(normalise("{\"id\":\"/x\",\"cmd\":\"a\",\"args\":[\"b\"],\"cpus\":-3,\"instances\":-3,\"upgradeStrategy\":{\"maximumOverCapacity\":1.2}}", NULL),
	       "{\"message\":\"Object is not valid\",\"details\":["
	       "{\"path\":\"/cpus\",\"errors\":[\"got -3.0, expected 0.0 or more\"]},"
	       "{\"path\":\"/instances\",\"errors\":[\"got -3, expected 0 or more\"]},"
	       "{\"path\":\"/upgradeStrategy/maximumOverCapacity\",\"errors\":[\"got 1.2, expected between 0.0 and 1.0\"]},"
	       "{\"path\":\"/\",\"errors\":[\"AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.\"]}]}");
}

TEST(marathon_app, wrong_types_are_invalid_json)
{
	EQ_STR(normalise("{\"id\":7,\"cmd\":\"a\",\"instances\":1.5,\"env\":[]}", NULL),
	       "{\"message\":\"Invalid JSON\",\"details\":[{\"path\":\"/id\",\"errors\":[\"error.expected.jsstring\"]},"
	       "{\"path\":\"/env\",\"errors\":[\"error.expected.jsobject\"]},{\"path\":\"/instances\",\"errors\":[\"error.expected.int\"]}]}");
	HAS(normalise("{\"cmd\":\"a\"}", NULL), "{\"path\":\"/id\",\"errors\":[\"error.path.missing\"]}");
	HAS(normalise("{\"id\":\"x\",\"container\":{\"docker\":{}}}", NULL), "{\"path\":\"/container/docker/image\",\"errors\":[\"error.path.missing\"]}");
}

TEST(marathon_app, ids_are_checked_segment_by_segment)
{
	static const char *const good[] = { "/app", "/hy-phenated", "/9numbered", "/dot.ted", "/deep/ly/nes/ted", "/trailing/", "/./not.point.less" };
	static const char *const bad[] = { "/app!", "/asd asd", "/app-", "/nest./ted", "/nest/-ted", "/.../asd", "/", "/A", "/x/restart" };
	AUTO_ARENA struct arena a = ARENA_INIT;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (path_fault(path_resolve(&a, "/", good[i])))
			FAIL("%s is refused", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (!path_fault(path_resolve(&a, "/", bad[i])))
			FAIL("%s is taken", bad[i]);
	EQ_STR(path_resolve(&a, "/a/b", "../c"), "/a/c");
	EQ_STR(path_resolve(&a, "/", "../../x"), "/x");
	EQ_STR(path_hostname(&a, "/a/b/c"), "c.b.a");
	EQ_STR(path_safe(&a, "/a/b/c"), "a_b_c");
}

TEST(marathon_app, old_and_new_container_forms_become_the_same)
{
	char *old = normalise("{\"id\":\"x\",\"container\":{\"docker\":{\"image\":\"i\",\"network\":\"HOST\"}},\"uris\":[]}", NULL);
	char *new = normalise("{\"id\":\"x\",\"container\":{\"type\":\"DOCKER\",\"docker\":{\"image\":\"i\"}},\"networks\":[{\"mode\":\"host\"}]}", NULL);
	EQ_STR(old, new);
}

TEST(marathon_app, what_cannot_be_run_is_refused_with_a_sentence)
{
	HAS(normalise("{\"id\":\"x\",\"container\":{\"docker\":{\"image\":\"i\",\"network\":\"BRIDGE\",\"portMappings\":[{\"containerPort\":80}]}}}", NULL),
	    "{\"path\":\"/networks\",\"errors\":[\"this version has host networking only");
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"uris\":[\"http://h/f.tgz\"]}", NULL), "\"/fetch\"");
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"gpus\":1}", NULL), "Feature gpu_resources is not enabled");
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"env\":{\"A\":{\"secret\":\"s\"}}}", NULL), "requires the secrets feature");
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"readinessChecks\":[{}]}", NULL), "\"/readinessChecks\"");
}

TEST(marathon_app, constraints_are_checked)
{
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"constraints\":[[\"hostname\"]]}", NULL), "Each constraint must have either 2 or 3 fields");
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"constraints\":[[\"hostname\",\"NEAR\"]]}", NULL), "operator must be one of the following");
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"constraints\":[[\"hostname\",\"LIKE\",\"a(\"]]}", NULL), "is not a valid regular expression");
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"constraints\":[[\"hostname\",\"LIKE\",\"((a{200}){200}){200}\"]]}", NULL),
	    "is not a valid regular expression");
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"constraints\":[[\"hostname\",\"LIKE\",\"10\\\\.0\\\\.(1|2)\\\\..*\"]]}", NULL), "\"LIKE\"");
	HAS(normalise("{\"id\":\"x\",\"cmd\":\"a\",\"acceptedResourceRoles\":[\"prod\"]}", NULL), "acceptedResourceRoles can only contain * and slave_public");
}

TEST(marathon_app, update_replaces_what_it_names_and_keeps_the_rest)
{
	char *stored = normalise("{\"id\":\"x\",\"cmd\":\"a\",\"env\":{\"A\":\"1\",\"B\":\"2\"},\"labels\":{\"l\":\"v\"}}", NULL);
	char *updated = normalise("{\"instances\":3,\"env\":{\"C\":\"3\"},\"cpus\":null}", stored);
	HAS(updated, "\"instances\":3");
	HAS(updated, "\"env\":{\"C\":\"3\"}");
	HAS(updated, "\"labels\":{\"l\":\"v\"}");
	HAS(updated, "\"cmd\":\"a\"");
	EQ_STR(normalise("{}", stored), stored);
	HAS(normalise("{\"args\":[\"b\"]}", stored), "\"args\":[\"b\"]");
	TRUE(!strstr(normalise("{\"env\":{}}", stored), "\"env\""));
}

TEST(marathon_app, uuids_of_one_moment_differ_and_are_version_1)
{
	struct rnd r;
	struct uuid1 u;
	char a[37], b[37];
	rnd_seed(&r, 1);
	uuid1_init(&u, &r);
	uuid1_next(&u, 1475229600000000, a);
	uuid1_next(&u, 1475229600000000, b);
	TRUE(strcmp(a, b) != 0);
	EQ_INT(strlen(a), 36);
	EQ_INT(a[14], '1');
}
