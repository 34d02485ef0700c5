/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "net/base/time.h"
#include "proto/cluster.pb.h"
#include "store/view.h"
#include "tests/lib/test.h"

#define AGENT dcos_ViewTable_VIEW_AGENT
#define NAME dcos_ViewTable_VIEW_NAME
#define TASK dcos_ViewTable_VIEW_TASK

static struct loop *loop;

static struct view *opened(const char *name)
{
	AUTO_FREE char *dir = xasprintf("%s/%s", test_dir(), name);
	struct view *v;
	struct err e;
	if (!loop)
		loop = loop_new();
	if (view_open(loop, dir, &v, &e) != 0)
		FAIL("%s", e.text);
	return v;
}

static struct view *writing(const char *name)
{
	struct view *v = opened(name);
	TRUE(view_try_lock(v));
	return v;
}

static void flush(struct view *v)
{
	struct err e;
	if (view_flush(v, &e) != 0)
		FAIL("%s", e.text);
}

static bool join(void *arg, struct str key, struct str value)
{
	return buf_printf(arg, STR_FMT "=" STR_FMT " ", STR_ARG(key), STR_ARG(value));
}

/* All rows of a table as "key=value key=value ". */
static const char *rows(struct view *v, int table)
{
	static char text[4096];
	struct kv_txn *txn;
	struct err e;
	AUTO_BUF struct buf b = BUF_INIT;
	EQ_INT(view_begin(v, &txn, &e), 0);
	EQ_INT(view_each(txn, table, join, &b, &e), 0);
	kv_abort(txn);
	(void)snprintf(text, sizeof(text), "%s", buf_cstr(&b));
	return text;
}

static void join_change(void *arg, int table, struct str key, struct str value)
{
	(void)buf_printf(arg, "%d:" STR_FMT "=" STR_FMT " ", table, STR_ARG(key), STR_ARG(value.p ? value : STR("(gone)")));
}

static int changes(struct view *v, struct view_version from, struct buf *out, struct view_version *now)
{
	struct kv_txn *txn;
	struct err e;
	EQ_INT(view_begin(v, &txn, &e), 0);
	int rc = view_changes(txn, from, join_change, out, now, &e);
	kv_abort(txn);
	return rc;
}

TEST(view, rows_staged_in_a_turn_become_visible_together)
{
	struct view *v = writing("a");
	view_put(v, AGENT, STR("S1"), STR("one"));
	view_put(v, AGENT, STR("S2"), STR("two"));
	view_del(v, AGENT, STR("S1"));
	EQ_STR(rows(v, AGENT), "");
	flush(v);
	EQ_STR(rows(v, AGENT), "S2=two ");
	view_close(v);
	v = writing("a");
	EQ_STR(rows(v, AGENT), "S2=two ");
	view_close(v);
}

TEST(view, what_does_not_change_makes_no_change)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct view *v = writing("a");
	struct view_version before, after;
	view_put(v, AGENT, STR("S1"), STR("one"));
	flush(v);
	before = view_version(v);
	view_put(v, AGENT, STR("S1"), STR("one"));
	view_del(v, AGENT, STR("S9"));
	flush(v);
	EQ_INT(view_version(v).seq, before.seq);
	view_put(v, AGENT, STR("S1"), STR("uno"));
	view_put(v, NAME, STR("t"), STR("x"));
	view_del(v, AGENT, STR("S1"));
	flush(v);
	EQ_INT(changes(v, before, &b, &after), 0);
	EQ_STR(buf_cstr(&b), "2:S1=(gone) 3:t=x ");
	EQ_INT(after.seq, view_version(v).seq);
	view_close(v);
}

TEST(view, changes_older_than_the_log_or_of_another_term_are_not_found)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct view *v = writing("a");
	struct view_version old, now;
	char key[16];
	old = view_version(v);
	for (int i = 0; i < 70000; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		view_put(v, AGENT, str_of(key), STR("x"));
	}
	flush(v);
	EQ_INT(changes(v, old, &b, &now), E_NOTFOUND);
	now = view_version(v);
	old = (struct view_version){ now.term, now.seq - 65536 };
	EQ_INT(changes(v, old, &b, &now), 0);
	view_new_term(v, 7);
	flush(v);
	EQ_INT(view_version(v).term, 7);
	EQ_INT(changes(v, old, &b, &now), E_NOTFOUND);
	view_close(v);
}

TEST(view, a_sweep_removes_what_was_not_put_in_this_term)
{
	struct view *v = writing("a");
	view_put(v, AGENT, STR("stays"), STR("1"));
	view_put(v, AGENT, STR("goes"), STR("1"));
	view_put(v, TASK, STR("other table"), STR("1"));
	flush(v);
	view_new_term(v, 2);
	view_put(v, AGENT, STR("stays"), STR("1"));
	flush(v);
	EQ_STR(rows(v, AGENT), "goes=1 stays=1 ");
	view_sweep(v, AGENT);
	flush(v);
	EQ_STR(rows(v, AGENT), "stays=1 ");
	EQ_STR(rows(v, TASK), "other table=1 ");
	view_close(v);
}

TEST(view, a_view_of_another_format_or_boot_is_begun_again)
{
	struct view *v = writing("a");
	AUTO_FREE char *format = xasprintf("%s/a/format", test_dir());
	view_put(v, AGENT, STR("S1"), STR("one"));
	view_close(v);
	AUTO_FD int fd = open(format, O_WRONLY | O_TRUNC);
	EQ_INT(write(fd, "dcos-node view 1 boot before\n", 29), 29);
	v = writing("a");
	EQ_STR(rows(v, AGENT), "");
	view_close(v);
}

TEST(view, a_damaged_view_is_begun_again)
{
	struct view *v = writing("a");
	AUTO_FREE char *data = xasprintf("%s/a/data.mdb", test_dir());
	view_put(v, AGENT, STR("S1"), STR("one"));
	view_close(v);
	EQ_INT(truncate(data, 0), 0);
	AUTO_FD int fd = open(data, O_WRONLY);
	static const char garbage[20000] = "garbage";
	EQ_INT(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
	v = writing("a");
	EQ_STR(rows(v, AGENT), "");
	view_put(v, AGENT, STR("S1"), STR("one"));
	flush(v);
	EQ_STR(rows(v, AGENT), "S1=one ");
	view_close(v);
}

/* ---- the loop until something holds ---- */

static void give_up(struct loop_timer *t)
{
	(void)t;
	FAIL("waited too long");
}

static bool (*until)(void);
static void look(struct loop_hook *h)
{
	(void)h;
	if (until())
		loop_stop(loop);
}

static void tick(struct loop_timer *t)
{
	loop_timer_start(loop, t, 5 * MSEC, tick);
}

static void run_until(bool (*holds)(void))
{
	struct loop_timer deadline = { 0 }, again = { 0 };
	struct loop_hook hook = { 0 };
	until = holds;
	loop_timer_start(loop, &deadline, 10 * SEC, give_up);
	loop_timer_start(loop, &again, 5 * MSEC, tick);
	loop_hook_add(loop, &hook, look);
	loop_run(loop);
	loop_hook_remove(&hook);
	loop_timer_stop(&deadline);
	loop_timer_stop(&again);
}

/* ---- across processes ---- */

static struct view *seen;
static int told;
static struct view_watch watch;

static void on_watch(struct view_watch *w)
{
	(void)w;
	told++;
}

static bool told_once(void) { return told == 1; }
static bool told_twice(void) { return told == 2; }
static bool seen_writes(void) { return view_writes(seen); }
static bool seen_does_not_write(void) { return !view_writes(seen); }

/* A process that does as it is told by bytes: 'l' lock, 'c' claim, 'p' put. Answers each with 'y' or 'n'. */
static int other_process(pid_t *out_pid)
{
	int fds[2];
	EQ_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*out_pid = fork();
	if (*out_pid > 0) {
		(void)close(fds[1]);
		return fds[0];
	}
	(void)close(fds[0]);
	struct view *v = opened("a");
	struct err e;
	for (char c; read(fds[1], &c, 1) == 1;) {
		bool ok = false;
		if (c == 'l')
			ok = view_try_lock(v);
		else if (c == 'c')
			ok = view_claim(v, &e) == 0;
		else if (c == 'p') {
			view_put(v, AGENT, STR("S1"), STR("one"));
			ok = view_flush(v, &e) == 0;
		}
		if (write(fds[1], ok ? "y" : "n", 1) != 1)
			break;
	}
	_exit(0);
}

static void tell(int fd, const char *command, char want)
{
	char answer;
	EQ_INT(write(fd, command, 1), 1);
	EQ_INT(read(fd, &answer, 1), 1);
	EQ_INT(answer, want);
}

TEST(view, readers_of_other_processes_are_woken)
{
	pid_t pid;
	int fd = other_process(&pid);
	tell(fd, "l", 'y');
	seen = opened("a");
	view_watch(seen, &watch, on_watch);
	run_until(told_once);
	tell(fd, "p", 'y');
	run_until(told_twice);
	EQ_STR(rows(seen, AGENT), "S1=one ");
	view_watch_stop(&watch);
	view_close(seen);
	(void)close(fd);
	EQ_INT(waitpid(pid, NULL, 0), pid);
}

static void on_lock(void *arg)
{
	++*(int *)arg;
}

TEST(view, when_the_writer_dies_the_next_one_takes_over)
{
	pid_t pid;
	int gained = 0;
	int fd = other_process(&pid);
	tell(fd, "l", 'y');
	seen = opened("a");
	view_on_lock(seen, on_lock, &gained);
	FALSE(view_try_lock(seen));
	EQ_INT(kill(pid, SIGKILL), 0);
	run_until(seen_writes);
	EQ_INT(gained, 1);
	view_put(seen, AGENT, STR("S2"), STR("two"));
	flush(seen);
	EQ_STR(rows(seen, AGENT), "S2=two ");
	view_close(seen);
	EQ_INT(waitpid(pid, NULL, 0), pid);
}

TEST(view, a_master_s_claim_takes_the_lock_away_and_gives_it_back_when_it_dies)
{
	pid_t pid;
	int fd = other_process(&pid);
	(void)test_dir();
	seen = opened("a");
	TRUE(view_try_lock(seen));
	tell(fd, "c", 'y');
	run_until(seen_does_not_write);
	EQ_INT(kill(pid, SIGKILL), 0);
	run_until(seen_writes);
	view_close(seen);
	EQ_INT(waitpid(pid, NULL, 0), pid);
}

/* ---- over RPC ---- */

static struct view *served, *follower;
static struct rpc_peer *to_server, *to_follower;
static bool all_tables;

static void on_subscribe(struct rpc_peer *p, struct rpc_req *req, struct str payload) { view_serve(served, p, req, payload); }
static void on_delta(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	(void)req;
	view_on_delta(follower, p, payload);
}
static void on_closed(struct rpc_peer *p, const struct err *e)
{
	(void)e;
	view_serve_closed(served, p);
	to_follower = NULL;
}

static const struct rpc_method server_methods[] = { { dcos_Method_VIEW_SUBSCRIBE, "subscribe", on_subscribe, true } };
static const struct rpc_method follower_methods[] = { { dcos_Method_VIEW_DELTA, "delta", on_delta, true } };
static const struct rpc_handlers server_handlers = { .methods = server_methods, .count = 1, .closed = on_closed };
static const struct rpc_handlers follower_handlers = { .methods = follower_methods, .count = 1, .closed = on_closed };

static void connect_views(void)
{
	int fds[2];
	EQ_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	to_follower = rpc_adopt(loop, fds[0], &server_handlers, NULL);
	to_server = rpc_adopt(loop, fds[1], &follower_handlers, NULL);
	view_subscribe(follower, to_server, all_tables, "n1", "dns");
}

static void disconnect_views(void)
{
	view_serve_closed(follower, to_server);
	rpc_peer_close(MOVE(to_server));
}

static bool cut_off(void) { return !to_follower; }
static const char *wanted_rows;
static bool follower_has(void) { return strcmp(rows(follower, AGENT), wanted_rows) == 0; }

static void wait_for_rows(const char *want)
{
	wanted_rows = want;
	run_until(follower_has);
}

TEST(view, a_follower_gets_a_snapshot_and_then_what_changes)
{
	served = writing("server");
	follower = writing("follower");
	view_new_term(served, 3);
	view_put(served, AGENT, STR("S1"), STR("one"));
	view_put(served, TASK, STR("t1"), STR("for masters"));
	view_sweep(served, AGENT);
	view_put(follower, AGENT, STR("stale"), STR("x"));
	flush(served);
	flush(follower);
	connect_views();
	wait_for_rows("S1=one ");
	view_put(served, AGENT, STR("S2"), STR("two"));
	wait_for_rows("S1=one S2=two ");
	view_del(served, AGENT, STR("S1"));
	wait_for_rows("S2=two ");
	EQ_STR(rows(follower, TASK), "");
	EQ_INT(view_version(follower).term, 3);
	disconnect_views();
	view_close(served);
	view_close(follower);
}

TEST(view, a_follower_deletes_nothing_before_a_new_leader_has_recovered)
{
	served = writing("server");
	follower = writing("follower");
	view_new_term(served, 3);
	view_put(served, AGENT, STR("S1"), STR("one"));
	view_put(follower, AGENT, STR("S9"), STR("still runs"));
	flush(served);
	flush(follower);
	connect_views();
	wait_for_rows("S1=one S9=still runs ");
	view_put(served, AGENT, STR("S2"), STR("two"));
	wait_for_rows("S1=one S2=two S9=still runs ");
	view_sweep(served, AGENT);
	wait_for_rows("S1=one S2=two ");
	disconnect_views();
	view_close(served);
	view_close(follower);
}

TEST(view, a_follower_resumes_where_it_was)
{
	AUTO_BUF struct buf b = BUF_INIT;
	served = writing("server");
	follower = writing("follower");
	view_new_term(served, 3);
	view_put(served, AGENT, STR("S1"), STR("one"));
	view_sweep(served, AGENT);
	flush(served);
	connect_views();
	wait_for_rows("S1=one ");
	disconnect_views();
	run_until(cut_off);
	struct view_version before = view_version(follower), after;
	view_put(follower, AGENT, STR("only here"), STR("survives, because no snapshot was needed"));
	flush(follower);
	view_put(served, AGENT, STR("S2"), STR("two"));
	flush(served);
	connect_views();
	wait_for_rows("S1=one S2=two only here=survives, because no snapshot was needed ");
	EQ_INT(changes(follower, before, &b, &after), 0);
	EQ_STR(buf_cstr(&b), "2:only here=survives, because no snapshot was needed 2:S2=two ");
	disconnect_views();
	view_close(served);
	view_close(follower);
}

TEST(view, a_version_of_another_master_s_view_is_not_taken_for_one_s_own)
{
	char key[16];
	struct view *other = writing("other"), *first = writing("server");
	follower = writing("follower");
	served = first;
	struct view *both[] = { other, first };
	for (size_t i = 0; i < 2; i++) {
		view_new_term(both[i], 3);
		view_put(both[i], AGENT, STR("S1"), i == 0 ? STR("uno") : STR("one"));
		view_sweep(both[i], AGENT);
		flush(both[i]);
	}
	uint64_t ahead = view_version(first).seq - view_version(other).seq;
	TRUE(ahead < 60000);                     /* else its log would not reach back, and refuse for that reason */
	for (uint64_t i = 0; i < ahead + 10; i++) {
		(void)snprintf(key, sizeof(key), "%d", (int)i);
		view_put(other, TASK, str_of(key), STR("x"));
	}
	flush(other);
	connect_views();
	wait_for_rows("S1=one ");
	disconnect_views();
	run_until(cut_off);
	served = other;
	connect_views();
	wait_for_rows("S1=uno ");
	disconnect_views();
	run_until(cut_off);
	view_close(first);
	view_close(other);
	view_close(follower);
}

static size_t count_rows(struct view *v, int table)
{
	struct kv_txn *txn;
	struct err e;
	AUTO_BUF struct buf b = BUF_INIT;
	EQ_INT(view_begin(v, &txn, &e), 0);
	size_t n = 0;
	EQ_INT(view_each(txn, table, join, &b, &e), 0);
	kv_abort(txn);
	for (size_t i = 0; i < b.len; i++)
		n += b.data[i] == '=';
	return n;
}

static bool all_there(void) { return count_rows(follower, NAME) == 3000; }

TEST(view, a_big_snapshot_comes_whole_while_the_view_goes_on_changing)
{
	static char value[1000];
	char key[16];
	memset(value, 'v', sizeof(value));
	served = writing("server");
	follower = writing("follower");
	view_new_term(served, 3);
	view_sweep(served, NAME);
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		view_put(served, NAME, str_of(key), str_n(value, sizeof(value)));
	}
	flush(served);
	connect_views();
	view_put(served, AGENT, STR("S1"), STR("in between"));
	run_until(all_there);
	wait_for_rows("S1=in between ");
	disconnect_views();
	view_close(served);
	view_close(follower);
}
