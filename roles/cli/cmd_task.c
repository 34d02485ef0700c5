/* SPDX-License-Identifier: Apache-2.0 */
/* dcos task: what runs, and what it writes. */
#include <fnmatch.h>
#include <stdio.h>

#include "roles/cli/cli.h"

#define LINES_DEFAULT 10
#define TAIL_BYTES (512 * 1024)

/* ---- which tasks ---- */

struct task_ref {
	yyjson_val *task, *framework;
	const char *host;            /* agent's host name */
	bool completed;
};

struct tasks {
	struct answer state;
	struct task_ref *rows;
	size_t count;
	size_t completed_matches;    /* matched, but left out because completed */
};

static void tasks_fini(struct tasks *t)
{
	answer_fini(&t->state);
	free(t->rows);
	*t = (struct tasks){ 0 };
}
#define AUTO_TASKS __attribute__((cleanup(tasks_fini)))

/* A part of the id, or a shell pattern over the whole of it. */
static bool matches(const char *filter, const char *id)
{
	return !filter || strstr(id, filter) || fnmatch(filter, id, 0) == 0;
}

static const char *host_of(yyjson_val *root, const char *agent_id)
{
	yyjson_arr_iter it;
	yyjson_val *agent;
	yyjson_arr_iter_init(json_at(root, "slaves"), &it);
	while ((agent = yyjson_arr_iter_next(&it)))
		if (strcmp(json_str(agent, "id", ""), agent_id) == 0)
			return json_str(agent, "hostname", NULL);
	return NULL;
}

static void add_list(struct tasks *t, yyjson_val *root, yyjson_val *framework, const char *list, bool completed, bool wanted, const char *filter)
{
	yyjson_arr_iter it;
	yyjson_val *task;
	yyjson_arr_iter_init(json_at(framework, list), &it);
	while ((task = yyjson_arr_iter_next(&it))) {
		if (!matches(filter, json_str(task, "id", "")))
			continue;
		if (!wanted) {
			t->completed_matches += completed;
			continue;
		}
		t->rows = xrealloc(t->rows, (t->count + 1) * sizeof(*t->rows));
		t->rows[t->count++] = (struct task_ref){
			.task = task, .framework = framework, .completed = completed, .host = host_of(root, json_str(task, "slave_id", "")),
		};
	}
}

static int by_name(const void *a, const void *b)
{
	const struct task_ref *x = a, *y = b;
	int c = strcmp(json_str(x->task, "name", ""), json_str(y->task, "name", ""));
	return c != 0 ? c : strcmp(json_str(x->task, "id", ""), json_str(y->task, "id", ""));
}

static int tasks_load(struct cli *c, const char *filter, struct tasks *t, struct err *e)
{
	static const char *const framework_lists[] = { "frameworks", "completed_frameworks" };
	bool completed = c->flags.completed || c->flags.all, running = !c->flags.completed || c->flags.all;
	int rc = client_get(c, "/mesos/state", &t->state, e);
	if (rc != 0)
		return rc;
	yyjson_val *root = t->state.doc ? yyjson_doc_get_root(t->state.doc) : NULL, *framework;
	yyjson_arr_iter it;
	for (size_t i = 0; i < ARRAY_LEN(framework_lists); i++) {
		yyjson_arr_iter_init(json_at(root, framework_lists[i]), &it);
		while ((framework = yyjson_arr_iter_next(&it))) {
			add_list(t, root, framework, "tasks", false, running, filter);
			add_list(t, root, framework, "completed_tasks", true, completed, filter);
		}
	}
	if (t->count > 0)
		qsort(t->rows, t->count, sizeof(*t->rows), by_name);
	return 0;
}

/* ---- task, task list ---- */

/* TASK_RUNNING -> R, as the dcos CLI of 1.8 prints it. */
static const char *letter_of(const char *state)
{
	static char letter[2];
	const char *last = strrchr(state, '_');
	letter[0] = last ? last[1] : state[0];
	return letter;
}

static int cmd_list(struct cli *c, struct err *e)
{
	AUTO_TASKS struct tasks t = { 0 };
	const char *filter = c->argc == 1 ? c->args[0] : NULL;
	int rc = tasks_load(c, filter, &t, e);
	if (rc != 0)
		return rc;
	if (t.count == 0 && filter && !c->flags.json)
		return err_set(e, E_NOTFOUND, "Cannot find a task with ID containing \"%s\"", filter);
	if (c->flags.json) {
		AUTO_BUF struct buf out = BUF_INIT;
		for (size_t i = 0; i < t.count; i++) {
			buf_puts(&out, i > 0 ? ",\n" : "[\n");
			json_write(&out, t.rows[i].task, true);
		}
		buf_puts(&out, t.count > 0 ? "\n]" : "[]");
		puts(buf_cstr(&out));
		return 0;
	}
	if (c->flags.quiet) {
		for (size_t i = 0; i < t.count; i++)
			puts(json_str(t.rows[i].task, "id", ""));
		return 0;
	}
	struct table *table = table_new("<NAME|<HOST|USER|STATE|<ID");
	for (size_t i = 0; i < t.count; i++)
		table_add(table, (const char *[]){ json_str(t.rows[i].task, "name", ""), t.rows[i].host,
						   json_str(t.rows[i].framework, "user", NULL),
						   letter_of(json_str(t.rows[i].task, "state", "?")), json_str(t.rows[i].task, "id", "") });
	table_print(table);
	table_free(table);
	return 0;
}

/* ---- task log ---- */

struct source {
	const char *agent_id, *id;
	char *path;                  /* as the agent's files API names it */
	char *text;                  /* the last lines */
	size_t len;
	int64_t end;                 /* offset behind them */
};

static void url_part(struct buf *out, const char *s) { url_encode(out, str_of(s)); }

static char *sandbox_path(const struct task_ref *t, const char *file)
{
	const char *executor = json_str(t->task, "executor_id", "");
	return xasprintf("/frameworks/%s/executors/%s/runs/latest/%s", json_str(t->task, "framework_id", ""),
			 executor[0] ? executor : json_str(t->task, "id", ""), file);
}

static int read_at(struct cli *c, const struct source *s, int64_t offset, int64_t length, struct answer *a, struct err *e)
{
	AUTO_BUF struct buf path = BUF_INIT;
	buf_printf(&path, "/slave/%s/files/read?path=", s->agent_id);
	url_part(&path, s->path);
	buf_printf(&path, "&offset=%lld", (long long)offset);
	if (length >= 0)
		buf_printf(&path, "&length=%lld", (long long)length);
	return client_get(c, buf_cstr(&path), a, e);
}

static size_t tail_start(const char *text, size_t len, int64_t lines)
{
	size_t at = len;
	if (lines == 0)
		return len;
	if (at > 0 && text[at - 1] == '\n')
		at--;
	for (; at > 0; at--)
		if (text[at - 1] == '\n' && --lines == 0)
			return at;
	return 0;
}

/* Read the last lines into s. */
static int source_tail(struct cli *c, struct source *s, int64_t lines, struct err *e)
{
	AUTO_ANSWER struct answer size = { 0 };
	AUTO_ANSWER struct answer a = { 0 };
	int rc = read_at(c, s, -1, -1, &size, e);
	if (rc != 0)
		return rc;
	int64_t end = json_int(size.doc ? yyjson_doc_get_root(size.doc) : NULL, "offset", 0);
	int64_t from = MAX(end - TAIL_BYTES, (int64_t)0);
	rc = read_at(c, s, from, end - from, &a, e);
	if (rc != 0)
		return rc;
	yyjson_val *data = json_at(a.doc ? yyjson_doc_get_root(a.doc) : NULL, "data");
	const char *text = data ? yyjson_get_str(data) : "";
	size_t len = data ? yyjson_get_len(data) : 0;
	size_t at = tail_start(text, len, lines);
	s->text = xstrndup(text + at, len - at);
	s->len = len - at;
	s->end = end;
	return 0;
}

static bool print_piece(void *arg, struct str piece)
{
	(void)arg;
	return fwrite(piece.p, 1, piece.len, stdout) == piece.len && fflush(stdout) == 0;
}

static int source_follow(struct cli *c, const struct source *s, struct err *e)
{
	AUTO_BUF struct buf path = BUF_INIT;
	static const struct client_stream stream = { .piece = print_piece };
	buf_printf(&path, "/slave/%s/files/follow?path=", s->agent_id);
	url_part(&path, s->path);
	buf_printf(&path, "&offset=%lld", (long long)s->end);
	return client_stream(c, buf_cstr(&path), &stream, e);
}

static int no_tasks(const struct tasks *t, const char *filter, struct err *e)
{
	size_t n = t->completed_matches;
	if (n == 0 || !filter)
		return err_set(e, E_NOTFOUND, "No matching tasks. Exiting.");
	return err_set(e, E_NOTFOUND, "No running tasks match ID [%s]; however, there %s %zu matching completed task%s. "
		       "Run with --completed to see these logs.", filter, n == 1 ? "is" : "are", n, n == 1 ? "" : "s");
}

static int print_tails(const struct source *sources, size_t count, const char *file)
{
	for (size_t i = 0; i < count; i++) {
		if (count > 1)
			printf("===> task:%s:%s <===\n", sources[i].id, file);
		if (sources[i].len == 0)
			(void)fputs("No logs for this task\n", stderr);
		(void)fwrite(sources[i].text, 1, sources[i].len, stdout);
		if (sources[i].len == 0 || sources[i].text[sources[i].len - 1] != '\n')
			(void)fputs("\n", stdout);
	}
	return fflush(stdout);
}

static int cmd_log(struct cli *c, struct err *e)
{
	AUTO_TASKS struct tasks t = { 0 };
	const char *filter = c->argc > 0 ? c->args[0] : NULL, *file = c->argc > 1 ? c->args[1] : "stdout";
	int64_t lines = LINES_DEFAULT;
	if (c->flags.lines && !str_i64(str_of(c->flags.lines), &lines))
		return err_set(e, E_INVALID, "Error parsing string as int");
	int rc = tasks_load(c, filter, &t, e);
	if (rc != 0)
		return rc;
	if (t.count == 0)
		return no_tasks(&t, filter, e);
	struct source *sources = xcalloc(t.count, sizeof(*sources));
	size_t n = 0;
	for (size_t i = 0; i < t.count; i++) {
		struct err why = { 0 };
		struct source s = {
			.agent_id = json_str(t.rows[i].task, "slave_id", ""), .id = json_str(t.rows[i].task, "id", ""),
			.path = sandbox_path(&t.rows[i], file),
		};
		if (source_tail(c, &s, lines, &why) == 0)
			sources[n++] = s;
		else
			free(s.path);
	}
	if (n == 0)
		rc = err_set(e, E_NOTFOUND, "No files exist. Exiting.");
	else if (c->flags.follow && n > 1)
		rc = err_set(e, E_UNSUPPORTED, "%zu tasks match; --follow takes one at a time for now: give a longer part of its id", n);
	else if (print_tails(sources, n, file) == 0 && c->flags.follow)
		rc = source_follow(c, &sources[0], e);
	for (size_t i = 0; i < n; i++) {
		free(sources[i].path);
		free(sources[i].text);
	}
	free(sources);
	return rc;
}

/* ---- task ls ---- */

static int cmd_ls(struct cli *c, struct err *e)
{
	AUTO_TASKS struct tasks t = { 0 };
	const char *below = c->argc > 1 ? c->args[1] : "";
	int rc = tasks_load(c, c->argc > 0 ? c->args[0] : NULL, &t, e);
	if (rc == 0 && t.count == 0)
		rc = no_tasks(&t, c->argc > 0 ? c->args[0] : NULL, e);
	for (size_t i = 0; i < t.count && rc == 0; i++) {
		AUTO_ANSWER struct answer a = { 0 };
		AUTO_FREE char *dir = sandbox_path(&t.rows[i], below);
		AUTO_BUF struct buf path = BUF_INIT;
		yyjson_arr_iter it;
		yyjson_val *entry;
		buf_printf(&path, "/slave/%s/files/browse?path=", json_str(t.rows[i].task, "slave_id", ""));
		url_part(&path, dir);
		rc = client_get(c, buf_cstr(&path), &a, e);
		if (rc != 0)
			return err_set(e, E_NOTFOUND, "Cannot access [%s]: No such file or directory", below);
		if (t.count > 1)
			printf("===> %s <===\n", json_str(t.rows[i].task, "id", ""));
		bool first = true;
		yyjson_arr_iter_init(a.doc ? yyjson_doc_get_root(a.doc) : NULL, &it);
		while ((entry = yyjson_arr_iter_next(&it))) {
			const char *full = json_str(entry, "path", ""), *slash = strrchr(full, '/');
			const char *name = slash ? slash + 1 : full;
			if (c->flags.long_form)
				printf("%s %3lld %s %s %9lld %s\n", json_str(entry, "mode", ""), (long long)json_int(entry, "nlink", 0),
				       json_str(entry, "uid", ""), json_str(entry, "gid", ""), (long long)json_int(entry, "size", 0), name);
			else
				printf("%s%s", first ? "" : "  ", name);
			first = false;
		}
		if (!c->flags.long_form)
			puts("");
	}
	return rc;
}

#define FLAG_ALL       { "all", FLAG_BOOL, FLAG_AT(all), "false", 0, 0, NULL, "running and completed tasks" }
#define FLAG_COMPLETED { "completed", FLAG_BOOL, FLAG_AT(completed), "false", 0, 0, NULL, "completed tasks" }
static const struct flag list_flags[] = { FLAG_JSON, FLAG_QUIET, FLAG_ALL, FLAG_COMPLETED, FLAG_END };
static const struct flag log_flags[] = {
	FLAG_ALL,
	FLAG_COMPLETED,
	{ "follow", FLAG_BOOL, FLAG_AT(follow), "false", 0, 0, NULL, "go on as the file grows" },
	{ "lines", FLAG_STRING, FLAG_AT(lines), NULL, 0, 0, NULL, "print the last N lines (default 10)" },
	FLAG_END,
};
static const struct flag ls_flags[] = {
	FLAG_ALL,
	FLAG_COMPLETED,
	{ "long", FLAG_BOOL, FLAG_AT(long_form), "false", 0, 0, NULL, "mode, links, owner, size" },
	FLAG_END,
};
const struct command task_commands[] = {
	/* words       args                 min max flags       fn        help */
	{ "task",      "[<filter>]",        0,  1,  list_flags, cmd_list, "Tasks of the cluster" },
	{ "task list", "[<filter>]",        0,  1,  list_flags, cmd_list, "Tasks of the cluster" },
	{ "task log",  "[<task>] [<file>]", 0,  2,  log_flags,  cmd_log,  "What tasks write; the file is stdout unless given" },
	{ "task ls",   "[<task>] [<path>]", 0,  2,  ls_flags,   cmd_ls,   "Files in a task's sandbox" },
	CMD_END,
};
