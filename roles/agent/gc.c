/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deleting old sandboxes: a path is due gc_delay after it was given up, sooner the fuller the disk is (Mesos' rule: the delay is
 * multiplied with what is free beyond a headroom of a tenth). The due ones are removed on a worker thread, one after another.
 */
#include "roles/agent/agent_int.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "net/base/log.h"

#define HEADROOM 0.1

struct gc_path {
	struct list link;
	char *path;
	int64_t since_unix_us;
	bool at_once;
};

struct gc {
	struct agent *agent;
	struct list paths;
	struct loop_timer timer;
	struct work work;
	struct gc_path *removing;        /* what the worker is at */
	struct err err;
};

static void look(struct gc *g);

static void path_free(struct gc_path *p)
{
	free(p->path);
	free(p);
}

static void remove_on_worker(struct work *w)
{
	struct gc *g = container_of(w, struct gc, work);
	g->err = (struct err){ 0 };
	(void)sandbox_remove_tree(g->removing->path, &g->err);
}

/* Directories above a sandbox that are empty now go too, up to the agent's own. */
static void remove_empty_parents(char *path)
{
	for (int i = 0; i < 5; i++) {
		char *slash = strrchr(path, '/');
		if (!slash || slash == path)
			return;
		*slash = '\0';
		AUTO_FREE char *latest = xasprintf("%s/latest", path);
		struct stat st;
		if (stat(latest, &st) != 0)
			(void)unlink(latest);        /* the symlink of a run that is gone */
		if (rmdir(path) != 0)
			return;
	}
}

static void on_removed(struct work *w)
{
	struct gc *g = container_of(w, struct gc, work);
	struct gc_path *p = MOVE(g->removing);
	if (g->err.code != 0) {
		g->agent->metrics.gc_failed++;
		LOG(WARN, "old directory cannot be removed", "path=%s reason=%s", p->path, g->err.text);
	} else {
		g->agent->metrics.gc_succeeded++;
		if (!p->at_once)
			remove_empty_parents(p->path);
	}
	path_free(p);
	look(g);
}

static double disk_used(const struct gc *g)
{
	struct statvfs s;
	if (statvfs(g->agent->config.work_dir, &s) != 0 || s.f_blocks == 0)
		return 0;
	return 1.0 - (double)s.f_bavail / (double)s.f_blocks;
}

static void on_timer(struct loop_timer *t) { look(container_of(t, struct gc, timer)); }

static void look(struct gc *g)
{
	struct loop *l = g->agent->node.loop;
	double keep = MAX(0.0, 1.0 - HEADROOM - disk_used(g));
	int64_t delay = (int64_t)((double)g->agent->config.gc_delay_us * keep), now = loop_unix_us(l);
	size_t pending = 0;
	if (g->removing)
		return;
	list_each(&g->paths, it) {
		struct gc_path *p = list_entry(it, struct gc_path, link);
		pending++;
		if (g->removing || (!p->at_once && p->since_unix_us + delay > now))
			continue;
		g->removing = p;
	}
	g->agent->metrics.gc_pending = (double)pending;
	if (g->removing) {
		list_remove(&g->removing->link);
		work_submit(l, &g->work, remove_on_worker, on_removed);
	} else if (pending > 0) {
		loop_timer_start_lazy(l, &g->timer, g->agent->config.disk_watch_us, on_timer);
	}
}

static void add(struct gc *g, const char *path, bool at_once, int64_t since_unix_us)
{
	struct gc_path *p = xcalloc(1, sizeof(*p));
	*p = (struct gc_path){ .path = xstrdup(path), .since_unix_us = since_unix_us, .at_once = at_once };
	list_push(&g->paths, &p->link);
	look(g);
}

void gc_later(struct gc *g, const char *path)
{
	struct stat st;
	if (lstat(path, &st) == 0)
		add(g, path, false, loop_unix_us(g->agent->node.loop));
}

void gc_now(struct gc *g, const char *path)
{
	struct stat st;
	if (lstat(path, &st) == 0)
		add(g, path, true, 0);
}

struct gc *gc_start(struct agent *a)
{
	struct gc *g = xcalloc(1, sizeof(*g));
	g->agent = a;
	list_init(&g->paths);
	return g;
}

void gc_stop(struct gc *g)
{
	if (!g)
		return;
	while (!list_empty(&g->paths))
		path_free(list_entry(list_pop(&g->paths), struct gc_path, link));
	free(g);
}
