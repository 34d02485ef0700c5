/* SPDX-License-Identifier: Apache-2.0 */
/* Computing anew when the view moves: at once after a quiet time, once for many changes that come together. */
#include "roles/view_reload.h"

#include "proto/cluster.pb.h"
#include "tests/lib/net.h"

struct world {
	struct loop *loop;
	struct view *view;
	struct view_reload reload;
	size_t runs, rows;
};

static size_t on_reload(struct view_reload *r)
{
	struct world *w = container_of(r, struct world, reload);
	w->runs++;
	return w->rows;
}

static void world_open(struct world *w, size_t rows)
{
	*w = (struct world){ .loop = loop_new(), .rows = rows };
	EQ_INT(view_open(w->loop, test_dir(), &w->view, NULL), 0);
	TRUE(view_try_lock(w->view));
	view_new_term(w->view, 1);
	view_reload_start(w->loop, w->view, &w->reload, on_reload);
	UNTIL(w->loop, w->runs == 1);
}

static void world_close(struct world *w)
{
	view_reload_stop(&w->reload);
	view_close(w->view);
	loop_free(w->loop);
}

static void change(struct world *w, const char *value)
{
	view_put(w->view, dcos_ViewTable_VIEW_NAME, STR("task"), str_of(value));
	EQ_INT(view_flush(w->view, NULL), 0);
}

TEST(view_reload, a_change_is_seen)
{
	struct world w;
	world_open(&w, 0);
	change(&w, "a");
	UNTIL(w.loop, w.runs == 2);
	change(&w, "b");
	UNTIL(w.loop, w.runs == 3);
	world_close(&w);
}

TEST(view_reload, changes_in_quick_succession_are_seen_together)
{
	struct world w;
	world_open(&w, 25000);          /* rows that take half a second of rest */
	for (int i = 0; i < 5; i++) {
		change(&w, i % 2 ? "a" : "b");
		net_turn(w.loop);
	}
	EQ_INT(w.runs, 1);
	UNTIL(w.loop, w.runs == 2);
	world_close(&w);
}

TEST(view_reload, none_comes_after_the_stop)
{
	struct world w;
	world_open(&w, 0);
	change(&w, "a");
	view_reload_stop(&w.reload);
	net_turn(w.loop);
	EQ_INT(w.runs, 1);
	world_close(&w);
}
