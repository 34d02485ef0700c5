/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dcos task log: the end of a file in the sandboxes of one task or of several, and what is written to it from then on.
 * Agents push what is appended, so nothing is polled. A header names the source of what follows when there are several.
 */
#include <stdio.h>

#include "roles/cli/tasks.h"

#define LINES_DEFAULT 10
#define READ_BYTES (64 * 1024LL)               /* agents answer so much at a time */
#define TAIL_BYTES_MAX (16 * 1024 * 1024LL)    /* however long the lines are */

struct source {
	const struct task_ref *task;
	const char *file;
	char *path;                  /* as the agent's files API names it */
	struct buf tail;             /* the last lines */
	int64_t end;                 /* offset behind them */
};

/* What has been printed, so that a header comes when the source changes. */
struct printer {
	const struct source *last;
	struct client_stream *streams;   /* of --follow; NULL before */
	size_t count;
};

static void source_fini(struct source *s)
{
	free(s->path);
	buf_fini(&s->tail);
}

/* ---- reading the end ---- */

/* Append bytes from `from` to s->end to s->tail. */
static int read_from(struct cli *c, struct source *s, int64_t from, struct err *e)
{
	AUTO_FREE char *url = cli_task_files_url(s->task, "read", s->path);
	while (from < s->end) {
		AUTO_ANSWER struct answer a = { 0 };
		int64_t length = MIN(s->end - from, READ_BYTES);
		AUTO_FREE char *range = xasprintf("%s&offset=%lld&length=%lld", url, (long long)from, (long long)length);
		int rc = client_get(c, range, &a, e);
		if (rc != 0)
			return rc;
		yyjson_val *data = json_at(answer_json(&a), "data");
		if (yyjson_get_len(data) == 0)
			return 0;                        /* the file became shorter meanwhile */
		buf_append(&s->tail, yyjson_get_str(data), yyjson_get_len(data));
		from += length;
	}
	return 0;
}

/* Where the last `lines` lines begin; *out_enough is false when text holds fewer. */
static size_t tail_start(struct str text, int64_t lines, bool *out_enough)
{
	size_t at = text.len;
	*out_enough = true;
	if (lines <= 0)
		return at;
	if (at > 0 && text.p[at - 1] == '\n')
		at--;
	for (; at > 0; at--)
		if (text.p[at - 1] == '\n' && --lines == 0)
			return at;
	*out_enough = false;
	return 0;
}

/* Read the last lines into s, four times as many bytes each time until they are enough. */
static int source_tail(struct cli *c, struct source *s, int64_t lines, struct err *e)
{
	AUTO_ANSWER struct answer size = { 0 };
	AUTO_FREE char *url = cli_task_files_url(s->task, "read", s->path);
	AUTO_FREE char *ask = xasprintf("%s&offset=-1", url);
	int rc = client_get(c, ask, &size, e);
	if (rc != 0)
		return rc;
	s->end = json_int(answer_json(&size), "offset", 0);
	for (int64_t bytes = READ_BYTES;; bytes *= 4) {
		bool enough;
		int64_t from = MAX(s->end - bytes, (int64_t)0);
		buf_reset(&s->tail);
		rc = read_from(c, s, from, e);
		if (rc != 0)
			return rc;
		size_t at = tail_start(buf_view(&s->tail), lines, &enough);
		if (!enough && from > 0 && bytes < TAIL_BYTES_MAX)
			continue;
		buf_drop(&s->tail, at);
		return 0;
	}
}

/* ---- printing ---- */

/* Files that may still bring something. */
static size_t live(const struct printer *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->count; i++)
		n += !p->streams || !p->streams[i].ended;
	return n;
}

static void print_header(struct printer *p, const struct source *s)
{
	if (live(p) > 1 && p->last != s)
		printf("===> task:%s:%s <===\n", s->task->id, s->file);
	p->last = s;
}

static void print_tails(struct printer *p, struct source *sources, bool follow)
{
	for (size_t i = 0; i < p->count; i++) {
		struct source *s = &sources[i];
		print_header(p, s);
		if (s->tail.len == 0 && !follow) {
			(void)fflush(stdout);
			(void)fputs("No logs for this task\n", stderr);
		}
		(void)fwrite(s->tail.data, 1, s->tail.len, stdout);
		bool open_line = s->tail.len == 0 || s->tail.data[s->tail.len - 1] != '\n';
		if (open_line && !follow)
			(void)fputs("\n", stdout);
	}
	(void)fflush(stdout);
}

/* One stream's place: which file, and who prints. */
struct follower {
	struct printer *printer;
	struct source *source;
};

static char *follow_url(const struct source *s)
{
	AUTO_FREE char *url = cli_task_files_url(s->task, "follow", s->path);
	return xasprintf("%s&offset=%lld", url, (long long)s->end);
}

static bool print_piece(struct client_stream *stream, struct str piece)
{
	const struct follower *f = stream->arg;
	print_header(f->printer, f->source);
	f->source->end += (int64_t)piece.len;
	return fwrite(piece.p, 1, piece.len, stdout) == piece.len && fflush(stdout) == 0;
}

static char *resume(struct client_stream *stream)
{
	const struct follower *f = stream->arg;
	return follow_url(f->source);
}

static int follow_all(struct cli *c, struct printer *p, struct source *sources, struct err *e)
{
	AUTO_FREE struct client_stream *streams = xcalloc(p->count, sizeof(*streams));
	AUTO_FREE struct follower *followers = xcalloc(p->count, sizeof(*followers));
	for (size_t i = 0; i < p->count; i++) {
		followers[i] = (struct follower){ p, &sources[i] };
		streams[i] = (struct client_stream){
			.path = follow_url(&sources[i]), .piece = print_piece, .resume = resume, .arg = &followers[i],
		};
	}
	p->streams = streams;
	int rc = client_streams(c, streams, p->count, e);
	/* One that fails is dropped silently while others go on; when it was the only one, it says why. */
	if (rc == 0 && p->count == 1 && streams[0].err.code != 0 && !c->interrupted)
		rc = err_set(e, streams[0].err.code, "%s", streams[0].err.text);
	for (size_t i = 0; i < p->count; i++)
		free(streams[i].path);
	p->streams = NULL;
	return rc;
}

static int cmd_log(struct cli *c, struct err *e)
{
	AUTO_TASKS struct tasks t = { 0 };
	const char *filter = c->argc > 0 ? c->args[0] : NULL, *file = c->argc > 1 ? c->args[1] : "stdout";
	int64_t lines = LINES_DEFAULT;
	if (c->flags.lines && !str_i64(str_of(c->flags.lines), &lines))
		return err_set(e, E_INVALID, "Error parsing string as int");
	int rc = cli_tasks_require(c, filter, &t, e);
	if (rc != 0)
		return rc;
	struct source *sources = xcalloc(t.count, sizeof(*sources));
	struct printer p = { 0 };
	for (size_t i = 0; i < t.count; i++) {
		struct err why = { 0 };
		struct source s = {
			.task = &t.rows[i], .file = file, .path = cli_task_sandbox_path(&t.rows[i], file), .tail = BUF_INIT,
		};
		if (source_tail(c, &s, lines, &why) == 0)
			sources[p.count++] = s;
		else
			source_fini(&s);
	}
	if (p.count == 0)
		rc = err_set(e, E_NOTFOUND, "No files exist. Exiting.");
	else
		print_tails(&p, sources, c->flags.follow);
	if (rc == 0 && c->flags.follow)
		rc = follow_all(c, &p, sources, e);
	for (size_t i = 0; i < p.count; i++)
		source_fini(&sources[i]);
	free(sources);
	return rc;
}

static const struct flag log_flags[] = {
	FLAG_ALL,
	FLAG_COMPLETED,
	{ "follow", FLAG_BOOL, FLAG_AT(follow), "false", 0, 0, NULL, "go on as the file grows" },
	{ "lines", FLAG_STRING, FLAG_AT(lines), NULL, 0, 0, NULL, "print the last N lines (default 10)" },
	FLAG_END,
};
const struct command log_commands[] = {
	/* words      args                 min max flags      fn       help */
	{ "task log", "[<task>] [<file>]", 0,  2,  log_flags, cmd_log, "What tasks write; the file is stdout unless given" },
	CMD_END,
};
