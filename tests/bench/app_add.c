/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long from POST /v2/apps until the app's instances are listed as running, in milliseconds, one line a round. The app is
 * a sleeping command, removed after each round. Looks at the app every millisecond, so a figure may be so much too large.
 *
 *     build/musl/bench/app_add URL INSTANCES CPUS ROUNDS
 */
#include <stdio.h>

#include "roles/cli/cli.h"

#define LOOK_US (1 * MSEC)
#define SETTLE_US (300 * MSEC)     /* between rounds: the cluster idles again */
#define DEADLINE_US (60 * SEC)

static int fail(const struct err *e)
{
	(void)fprintf(stderr, "app_add: %s\n", e->text);
	return 1;
}

static int64_t running(struct cli *c, const char *id, struct err *e)
{
	static const int allow[] = { 404, 0 };
	AUTO_ANSWER struct answer a = { 0 };
	AUTO_FREE char *path = xasprintf("/service/marathon/v2/apps/%s?embed=app.counts", id);
	int rc = client_call(c, GET, path, NULL, allow, &a, e);
	if (rc != 0)
		return rc;
	return a.status == 404 ? 0 : json_int(answer_json(&a), "app.tasksRunning", 0);
}

/* Until so many run; E_TIMEOUT. */
static int wait_running(struct cli *c, const char *id, int64_t count, struct err *e)
{
	int64_t end = loop_now_us(c->loop) + DEADLINE_US;
	for (;;) {
		int64_t n = running(c, id, e);
		if (n < 0)
			return (int)n;
		if (n == count)
			return 0;
		if (loop_now_us(c->loop) > end)
			return err_set(e, E_TIMEOUT, "%lld of %lld instances of '%s' run", (long long)n, (long long)count, id);
		client_pause(c, LOOK_US);
	}
}

static int measure(struct cli *c, int64_t instances, const char *cpus, int round, struct err *e)
{
	AUTO_ANSWER struct answer added = { 0 };
	AUTO_ANSWER struct answer removed = { 0 };
	AUTO_FREE char *id = xasprintf("bench-%d", round);
	AUTO_FREE char *path = xasprintf("/service/marathon/v2/apps/%s?force=true", id);
	AUTO_FREE char *body = xasprintf("{\"id\": \"/%s\", \"cmd\": \"exec sleep 1000\", \"cpus\": %s, \"mem\": 4, \"instances\": %lld}", id,
					 cpus, (long long)instances);
	client_pause(c, SETTLE_US);
	int64_t begin = loop_now_us(c->loop);
	int rc = client_call(c, POST, "/service/marathon/v2/apps", body, NULL, &added, e);
	if (rc == 0)
		rc = wait_running(c, id, instances, e);
	if (rc != 0)
		return rc;
	printf("%.2f\n", (double)(loop_now_us(c->loop) - begin) / 1000.0);
	rc = client_call(c, DELETE, path, NULL, NULL, &removed, e);
	return rc == 0 ? wait_running(c, id, 0, e) : rc;
}

int main(int argc, char **argv)
{
	struct cli c = { .loop = loop_new() };
	struct err e = { 0 };
	int64_t instances, rounds;
	if (argc != 5 || !str_i64(str_of(argv[2]), &instances) || !str_i64(str_of(argv[4]), &rounds)) {
		(void)fprintf(stderr, "usage: app_add URL INSTANCES CPUS ROUNDS\n");
		return 2;
	}
	c.urls[0] = xstrdup(argv[1]);
	c.url_count = 1;
	int rc = 0;
	for (int i = 0; i < rounds && rc == 0; i++)
		rc = measure(&c, instances, argv[3], i, &e);
	loop_free(c.loop);
	free(c.urls[0]);
	return rc == 0 ? 0 : fail(&e);
}
