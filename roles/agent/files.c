/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /files: what stands in the sandboxes, for `dcos task log`, `dcos task ls` and the web pages. A path names a run in one of
 *   <work dir>/slaves/AGENT/frameworks/…   /slaves/AGENT/frameworks/…   /frameworks/FRAMEWORK/executors/EXECUTOR/runs/RUN
 * and then something inside of it. The part inside is the task's: it is opened beneath the sandbox with no way out of it
 * (openat2). Shapes and texts are Mesos'; /files/follow is ours: a file as it grows, pushed.
 */
#include "roles/agent/agent_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "net/json.h"
#include "net/limits.h"

#define PIECE_BYTES (32 * 1024)

/* ---- paths ---- */

static int open_beneath(int dir_fd, const char *path, uint64_t flags)
{
	uint64_t reading = flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY;    /* openat2 refuses these with O_PATH */
	struct open_how how = { .flags = flags | reading | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

/* The path below <work dir>/slaves that `path` stands for; p = NULL when it stands for nothing of ours. */
static struct str below_slaves(const struct agent *a, struct arena *arena, struct str path)
{
	struct str work = str_of(a->config.work_dir);
	while (path.len > 1 && path.p[path.len - 1] == '/')
		path.len--;
	if (str_starts(path, work) && str_starts(str_from(path, work.len), STR("/slaves/")))
		path = str_from(path, work.len);
	if (str_starts(path, STR("/slaves/")))
		return str_from(path, strlen("/slaves/"));
	if (str_starts(path, STR("/frameworks/")) && a->info.id)
		return str_of(arena_printf(arena, "%s" STR_FMT, a->info.id->value, STR_ARG(path)));
	return str_n(NULL, 0);
}

/* AGENT/frameworks/FRAMEWORK/executors/EXECUTOR/runs/RUN is ours, what follows is the task's. */
static int split(struct arena *arena, struct str path, char **out_run, char **out_inside)
{
	static const char *const fixed[] = { NULL, "frameworks", NULL, "executors", NULL, "runs", NULL };
	struct str rest = path;
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		struct str part = rest.p ? str_cut(&rest, '/') : str_n(NULL, 0);
		if (part.len == 0 || str_eq_c(part, ".") || str_eq_c(part, "..") || (fixed[i] && !str_eq_c(part, fixed[i])))
			return E_NOTFOUND;
	}
	*out_run = arena_str(arena, str_head(path, rest.p ? (size_t)(rest.p - path.p) - 1 : path.len));
	*out_inside = rest.p && rest.len > 0 ? arena_str(arena, rest) : ".";
	return 0;
}

/* Open what the query's path names; answers the request itself and returns -1 when it cannot. */
static int open_named(struct http_req *r, struct str *out_path, struct stat *st)
{
	struct agent *a = r->arg;
	char *run, *inside;
	*out_path = http_query(r, "path");
	if (!out_path->p || out_path->len == 0) {
		http_reply_text(r, 400, "Expecting 'path=value' in query.\n");
		return -1;
	}
	struct str below = below_slaves(a, &r->arena, *out_path);
	AUTO_FREE char *slaves = xasprintf("%s/slaves", a->config.work_dir);
	AUTO_FD int root = open(slaves, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int sandbox = -1;
	AUTO_FD int fd = -1;
	if (below.p && !memchr(below.p, '\0', below.len) && root >= 0 && split(&r->arena, below, &run, &inside) == 0)
		sandbox = open_beneath(root, run, O_PATH | O_DIRECTORY);
	if (sandbox >= 0)
		fd = open_beneath(sandbox, inside, O_RDONLY);
	if (fd < 0 || fstat(fd, st) != 0) {
		http_reply(r, 404, "text/plain", STR(""));
		return -1;
	}
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)) {
		http_reply_text(r, 400, "'" STR_FMT "' is inaccessible.\n", STR_ARG(*out_path));
		return -1;
	}
	return MOVE_FD(fd);
}

static int open_file(struct http_req *r, struct str *out_path, struct stat *st)
{
	int fd = open_named(r, out_path, st);
	if (fd < 0 || S_ISREG(st->st_mode))
		return fd;
	(void)close(fd);
	http_reply_text(r, 400, "Cannot read a directory.\n");
	return -1;
}

/* Query parameter as a number; absent: fallback. Answers the request itself and returns false when it is none. */
static bool query_number(struct http_req *r, const char *name, int64_t fallback, int64_t *out)
{
	struct str text = http_query(r, name);
	*out = fallback;
	if (!text.p || text.len == 0)
		return true;
	if (!str_i64(text, out)) {
		http_reply_text(r, 400, "Failed to parse %s: '" STR_FMT "' is no number.\n", name, STR_ARG(text));
		return false;
	}
	if (*out < -1) {
		http_reply_text(r, 400, "Negative %s provided: %lld.\n", name, (long long)*out);
		return false;
	}
	return true;
}

/* ---- browse ---- */

static void mode_text(mode_t m, char out[11])
{
	const char *bits = "rwxrwxrwx";
	(void)snprintf(out, 11, "----------");
	out[0] = S_ISDIR(m) ? 'd' : S_ISLNK(m) ? 'l' : S_ISFIFO(m) ? 'p' : S_ISSOCK(m) ? 's' : S_ISCHR(m) ? 'c' : S_ISBLK(m) ? 'b' : '-';
	for (int i = 0; i < 9; i++)
		if (m & (0400u >> i))
			out[1 + i] = bits[i];
}

static void write_entry(struct jw *w, struct str dir, const char *name, const struct stat *st)
{
	AUTO_FREE char *path = name ? xasprintf(STR_FMT "/%s", STR_ARG(dir), name) : str_dup(dir);
	struct passwd *pw = getpwuid(st->st_uid);
	struct group *gr = getgrgid(st->st_gid);
	char mode[11], uid[16], gid[16];
	mode_text(st->st_mode, mode);
	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)st->st_uid);
	(void)snprintf(gid, sizeof(gid), "%u", (unsigned)st->st_gid);
	jw_obj(w, NULL);
	jw_str(w, "gid", gr ? gr->gr_name : gid);
	jw_str(w, "mode", mode);
	jw_int(w, "mtime", st->st_mtime);
	jw_int(w, "nlink", (int64_t)st->st_nlink);
	jw_str(w, "path", path);
	jw_int(w, "size", st->st_size);
	jw_str(w, "uid", pw ? pw->pw_name : uid);
	jw_end(w);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static size_t read_names(DIR *d, struct arena *arena, char **names)
{
	struct dirent *de;
	size_t n = 0;
	while (n < LIMIT_FILES_BROWSE && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			names[n++] = arena_strdup(arena, de->d_name);
	qsort(names, n, sizeof(*names), by_name);
	return n;
}

static void get_browse(struct http_req *r)
{
	struct str path;
	struct stat st;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	AUTO_FD int fd = open_named(r, &path, &st);
	if (fd < 0)
		return;
	while (path.len > 1 && path.p[path.len - 1] == '/')
		path.len--;
	jw_arr(&w, NULL);
	DIR *d = S_ISDIR(st.st_mode) ? fdopendir(fd) : NULL;
	if (d) {
		int dir_fd = MOVE_FD(fd);            /* closed with d */
		char **names = arena_array(&r->arena, char *, LIMIT_FILES_BROWSE);
		size_t n = read_names(d, &r->arena, names);
		for (size_t i = 0; i < n; i++)
			if (fstatat(dir_fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
				write_entry(&w, path, names[i], &st);
		(void)closedir(d);
	} else {
		write_entry(&w, path, NULL, &st);
	}
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

/* ---- read ---- */

static void get_read(struct http_req *r)
{
	struct str path;
	struct stat st;
	int64_t offset, length;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	if (!query_number(r, "offset", -1, &offset) || !query_number(r, "length", -1, &length))
		return;
	AUTO_FD int fd = open_file(r, &path, &st);
	if (fd < 0)
		return;
	int64_t left = offset < 0 ? 0 : MAX((int64_t)0, st.st_size - offset);
	int64_t want = MIN(left, (int64_t)LIMIT_FILES_READ_BYTES);
	if (length >= 0)
		want = MIN(want, length);
	char *data = arena_alloc(&r->arena, (size_t)want + 1);
	ssize_t got = want > 0 ? pread(fd, data, (size_t)want, offset) : 0;
	if (got < 0) {
		http_reply_text(r, 500, "Failed to read '" STR_FMT "': %s.\n", STR_ARG(path), strerror(errno));
		return;
	}
	jw_obj(&w, NULL);
	jw_strn(&w, "data", str_n(data, (size_t)got));
	jw_int(&w, "offset", offset < 0 ? st.st_size : offset);
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

/* ---- download and follow: a file streamed, once or as it grows ---- */

struct follower {
	struct list link;                /* in files.followers, when it follows */
	struct http_req *req;
	int fd, wd;
	int64_t offset, end;             /* end -1: follow */
	uint8_t *piece;
};

/* One inotify descriptor for all followers of this process. */
struct files {
	struct list followers;
	struct loop_fd *watch;
	int fd;
};
static struct files *files_of(struct agent *a);

static void follower_free(struct files *f, struct follower *o)
{
	bool shared = false;
	list_remove(&o->link);
	list_each(&f->followers, it)
		shared |= list_entry(it, struct follower, link)->wd == o->wd;
	if (o->wd >= 0 && !shared)
		(void)inotify_rm_watch(f->fd, o->wd);
	(void)close(o->fd);
	free(o->piece);
	free(o);
}

static void on_gone(struct http_req *r)
{
	follower_free(files_of(r->arg), r->user);
}

/* Send what there is as long as it is taken. */
static void pump(struct follower *o)
{
	struct http_req *r = o->req;
	struct stat st;
	if (fstat(o->fd, &st) == 0 && o->end < 0 && st.st_size < o->offset)
		o->offset = st.st_size;      /* cut short: go on from its new end */
	for (;;) {
		int64_t want = o->end < 0 ? PIECE_BYTES : MIN(o->end - o->offset, (int64_t)PIECE_BYTES);
		ssize_t n = want > 0 ? pread(o->fd, o->piece, (size_t)want, o->offset) : 0;
		if (n <= 0)
			break;
		o->offset += n;
		if (!http_stream_write(r, o->piece, (size_t)n))
			return;
	}
	bool unlinked = fstat(o->fd, &st) == 0 && st.st_nlink == 0;
	if (o->end < 0 && !unlinked)
		return;
	bool whole = o->end < 0 || o->offset >= o->end;
	follower_free(files_of(r->arg), o);
	if (whole)
		http_stream_end(r);
	else
		http_stream_abort(r);
}

static void on_drained(struct http_req *r) { pump(r->user); }

static struct follower *follower_new(struct http_req *r, int fd)
{
	struct follower *o = xcalloc(1, sizeof(*o));
	*o = (struct follower){ .req = r, .fd = fd, .wd = -1, .end = -1, .piece = xmalloc(PIECE_BYTES) };
	r->user = o;
	r->gone = on_gone;
	r->drained = on_drained;
	return o;
}

static void get_download(struct http_req *r)
{
	struct str path;
	struct stat st;
	int fd = open_file(r, &path, &st);
	if (fd < 0)
		return;
	ssize_t slash = str_rfind(path, '/');
	struct str name = str_from(path, (size_t)(slash + 1));
	struct follower *o = follower_new(r, fd);
	o->end = st.st_size;
	http_set_header(r, "Content-Disposition", "attachment; filename=\"" STR_FMT "\"", STR_ARG(name));
	http_stream_start(r, 200, "application/octet-stream", st.st_size);
	pump(o);
}

static void on_inotify(struct loop_fd *w, int events UNUSED)
{
	struct files *f = loop_fd_arg(w);
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n;
	while ((n = read(f->fd, buf, sizeof(buf))) > 0)
		for (char *at = buf; at < buf + n; ) {
			const struct inotify_event *ev = (const struct inotify_event *)at;
			at += sizeof(*ev) + ev->len;
			list_each_safe(&f->followers, it) {
				struct follower *o = list_entry(it, struct follower, link);
				if (o->wd == ev->wd)
					pump(o);
			}
		}
}

static struct files *files_of(struct agent *a)
{
	if (a->files)
		return a->files;
	struct files *f = xcalloc(1, sizeof(*f));
	list_init(&f->followers);
	f->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (f->fd >= 0)
		f->watch = loop_fd_new(a->node.loop, f->fd, LOOP_READ, on_inotify, f);
	a->files = f;
	return f;
}

static void get_follow(struct http_req *r)
{
	struct files *f = files_of(r->arg);
	struct str path;
	struct stat st;
	int64_t offset;
	char link[64];
	if (!query_number(r, "offset", -1, &offset))
		return;
	int fd = open_file(r, &path, &st);
	if (fd < 0)
		return;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	int wd = inotify_add_watch(f->fd, link, IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF);
	if (wd < 0) {
		(void)close(fd);
		http_reply_text(r, 503, "Cannot watch '" STR_FMT "': %s.\n", STR_ARG(path), strerror(errno));
		return;
	}
	struct follower *o = follower_new(r, fd);
	o->wd = wd;
	o->offset = offset < 0 ? st.st_size : offset;
	list_push(&f->followers, &o->link);
	http_stream_start(r, 200, "application/octet-stream", -1);
	pump(o);
}

/* ---- debug ---- */

static void write_run(struct jw *w, const char *framework, const char *executor, const char *container, const char *sandbox)
{
	AUTO_FREE char *name = xasprintf("/frameworks/%s/executors/%s/runs/%s", framework, executor, container);
	jw_str(w, sandbox, sandbox);
	jw_str(w, name, sandbox);
}

static void get_debug(struct http_req *r)
{
	struct agent *a = r->arg;
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	list_each(&a->tasks, it) {
		struct task *t = list_entry(it, struct task, link);
		write_run(&w, t->framework_id, t->task_id, t->container_id, t->sandbox);
	}
	list_each(&a->completed, it) {
		struct done_task *t = list_entry(it, struct done_task, link);
		write_run(&w, t->framework_id, t->task_id, t->container_id, t->sandbox);
	}
	jw_end(&w);
	http_reply_json(r, 200, &out);
}

#define FILES(name, fn, help) \
	{ GET | HEAD, "/files/" name,           fn, NULL, 0, help }, \
	{ GET | HEAD, "/files/" name ".json",   fn, NULL, 0, "the same, by its old name" }
const struct route files_routes[] = {
	FILES("browse",   get_browse,   "List a directory of a sandbox. ?path="),
	FILES("debug",    get_debug,    "Which paths there are"),
	FILES("download", get_download, "A whole file. ?path="),
	FILES("follow",   get_follow,   "A file from an offset on, as it grows. ?path= ?offset="),
	FILES("read",     get_read,     "A piece of a file, or its size. ?path= ?offset= ?length="),
	ROUTE_END,
};
