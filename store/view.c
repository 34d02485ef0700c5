/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's view on disk: one LMDB environment, mapped by every process of the node, written by one. It is soft state: commits
 * are not synced, and the file `format` names the layout and the kernel's boot id, so that a view from before a crash of the
 * machine (which may be torn) or of another layout is dropped at open. Sequence numbers of a new file begin at the wall clock,
 * so they never continue those of a dropped one.
 *
 * A row is  mark u64 | message;  a change  table u8 | key,  by sequence number. The mark tells the rows put again since the last
 * new term or snapshot from those left over; changing only the mark is no change to readers.
 */
#include "store/view_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "net/base/log.h"
#include "net/limits.h"

#define VIEW_FORMAT 2
#define VIEW_RETRY_US SEC
#define MARK_BYTES 8

static const struct kv_table meta_table = { .name = "meta", .version = 1 }, log_table = { .name = "log", .version = 1 };
static const struct kv_table master_table = { .name = "master", .version = 1 };
static const struct kv_table agent_table = { .name = "agent", .version = 1 };
static const struct kv_table name_table = { .name = "name", .version = 1 };
static const struct kv_table framework_table = { .name = "framework", .version = 1 };
static const struct kv_table task_table = { .name = "task", .version = 1 };
const struct kv_table *const view_tables[] = { &meta_table, &master_table, &agent_table, &name_table, &framework_table,
	&task_table, &log_table, NULL };
static_assert(ARRAY_LEN(view_tables) == VIEW_TABLES + 2, "a table for each row of dcos.ViewTable, meta and log");

#define META_KEY STR("view")

struct staged {
	bool removed;
	size_t len;
	uint8_t value[];
};

bool view_table_valid(int64_t table)
{
	return table > 0 && table < VIEW_TABLES;
}

/* ---- opening ---- */

static void format_line(char out[128])
{
	char boot[64] = "unknown";
	AUTO_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, boot, sizeof(boot) - 1);
	boot[n > 0 ? n : 7] = '\0';
	boot[strcspn(boot, "\n")] = '\0';
	(void)snprintf(out, 128, "dcos-node view %d boot %s\n", VIEW_FORMAT, boot);
}

static int drop_files(const struct view *v, struct err *e)
{
	static const char *const names[] = { "data.mdb", "lock.mdb", "format" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", v->dir, names[i]);
		if (unlink(path) != 0 && errno != ENOENT)
			return err_sys(e, "remove '%s'", path);
	}
	return 0;
}

static bool same_format(const char *path, const char *line)
{
	char old[128] = "";
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, old, sizeof(old) - 1) > 0 && strcmp(old, line) == 0;
}

static int open_env(struct view *v, struct err *e)
{
	struct kv_options o = { .durable = false, .map_bytes = (size_t)GIB, .tables = view_tables };
	return kv_open(v->dir, &o, &v->kv, e);
}

static int put_meta(struct kv_txn *txn, const struct view_meta *m, struct err *e)
{
	return kv_put(txn, &meta_table, META_KEY, str_n((const char *)m, sizeof(*m)), e);
}

static int init_meta(struct kv_txn *txn, void *arg, struct err *e)
{
	struct view_meta m = { .mark = 1 };
	struct view *v = arg;
	m.seq = (uint64_t)loop_unix_us(v->loop);
	m.first = m.seq + 1;
	rnd_bytes(&m.id, sizeof(m.id));
	return put_meta(txn, &m, e);
}

/* With the directory's `open` lock held, so that of several processes one decides whether the old file is good. */
static int open_locked(struct view *v, struct err *e)
{
	char line[128];
	AUTO_FREE char *path = xasprintf("%s/format", v->dir);
	format_line(line);
	bool same = same_format(path, line);
	int rc = same ? 0 : drop_files(v, e);
	if (rc == 0)
		rc = open_env(v, e);
	if (rc == E_CORRUPT || rc == E_NEWER) {
		LOG(WARN, "view dropped", "dir=%s error=\"%s\"", v->dir, e->text);
		rc = drop_files(v, e);
		same = false;
		if (rc == 0)
			rc = open_env(v, e);
	}
	if (rc != 0 || same)             /* the file `format` is made last, so the meta row is there */
		return rc;
	rc = kv_update(v->kv, init_meta, v, e);
	if (rc != 0)
		return rc;
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		return err_sys(e, "write '%s'", path);
	return 0;
}

static void view_turn(struct loop_hook *h);

int view_open(struct loop *l, const char *dir, struct view **out, struct err *e)
{
	struct err ignored;
	e = e ? e : &ignored;
	struct view *v = xcalloc(1, sizeof(*v));
	AUTO_FREE char *lock = xasprintf("%s/open", dir);
	v->loop = l;
	v->dir = xstrdup(dir);
	v->lock_fd = v->claim_fd = v->wake_fd = v->inotify_fd = -1;
	list_init(&v->watches);
	list_init(&v->fresh);
	list_init(&v->subscribers);
	int rc = mkdir(dir, 0700) != 0 && errno != EEXIST ? err_sys(e, "make directory '%s'", dir) : 0;
	AUTO_FD int fd = rc == 0 ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	if (rc == 0 && (fd < 0 || flock(fd, LOCK_EX) != 0))
		rc = err_sys(e, "lock '%s'", lock);
	if (rc == 0)
		rc = open_locked(v, e);
	if (rc != 0) {
		kv_close(v->kv);
		free(v->dir);
		free(v);
		return rc;
	}
	loop_hook_add(l, &v->hook, view_turn);
	*out = v;
	return 0;
}

void view_drop_staged(struct view *v)
{
	map_each(&v->staged, entry)
		free(entry->value);
	map_clear(&v->staged);
	v->sweeps = 0;
	v->staged_term = v->staged_settled = false;
	free(MOVE(v->staged_up));
}

void view_close(struct view *v)
{
	if (!v)
		return;
	if (view_writes(v))
		(void)view_flush(v, NULL);       /* soft state: what cannot be written is rebuilt */
	view_sync_close(v);
	view_wake_close(v);
	loop_hook_remove(&v->hook);
	loop_defer_cancel(&v->again);
	loop_defer_cancel(&v->tell);
	loop_timer_stop(&v->retry);
	view_drop_staged(v);
	map_fini(&v->staged);
	kv_close(v->kv);
	free(v->node);
	free(v->role);
	free(v->dir);
	free(v);
}

/* ---- reading ---- */

int view_meta_read(struct kv_txn *txn, struct view_meta *out, struct err *e)
{
	struct str s;
	int rc = kv_get(txn, &meta_table, META_KEY, &s, e);
	if (rc == 0 && s.len != sizeof(*out))
		return err_set(e, E_CORRUPT, "the view's version is damaged");
	if (rc == 0)
		memcpy(out, s.p, sizeof(*out));
	return rc;
}

struct view_version view_version(struct view *v)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	struct view_meta m;
	if (kv_begin(v->kv, false, &txn, NULL) != 0 || view_meta_read(txn, &m, NULL) != 0)
		return v->told;
	return (struct view_version){ m.term, m.seq };
}

int view_begin(struct view *v, struct kv_txn **out, struct err *e)
{
	return kv_begin(v->kv, false, out, e);
}

static bool split_row(struct str row, uint64_t *mark, struct str *value)
{
	if (row.len < MARK_BYTES)
		return false;
	memcpy(mark, row.p, MARK_BYTES);
	*value = str_from(row, MARK_BYTES);
	return true;
}

int view_get(struct kv_txn *txn, int table, struct str key, struct str *out, struct err *e)
{
	uint64_t mark;
	struct str row;
	assert(view_table_valid(table));
	int rc = kv_get(txn, view_tables[table], key, &row, e);
	if (rc == 0 && !split_row(row, &mark, out))
		return err_set(e, E_CORRUPT, "a row of the view is damaged");
	return rc;
}

struct each {
	bool (*fn)(void *arg, struct str key, struct str value);
	void *arg;
};

static bool each_row(void *arg, struct str key, struct str row)
{
	struct each *each = arg;
	uint64_t mark;
	struct str value;
	return !split_row(row, &mark, &value) || each->fn(each->arg, key, value);
}

int view_each_from(struct kv_txn *txn, int table, struct str from,
		   bool (*fn)(void *arg, struct str key, struct str value), void *arg, struct err *e)
{
	struct each each = { fn, arg };
	assert(view_table_valid(table));
	return kv_each(txn, view_tables[table], from, each_row, &each, e);
}

int view_each(struct kv_txn *txn, int table, bool (*fn)(void *arg, struct str key, struct str value), void *arg, struct err *e)
{
	return view_each_from(txn, table, STR(""), fn, arg, e);
}

struct changes {
	struct kv_txn *txn;
	bool (*fn)(void *arg, int table, struct str key, struct str value);
	void *arg;
	uint64_t seq;
	int rc;
	struct err *e;
	bool stopped;
};

static bool each_change(void *arg, struct str seq, struct str change)
{
	struct changes *c = arg;
	struct str value = { NULL, 0 };
	if (change.len < 2 || !view_table_valid(change.p[0])) {
		c->rc = err_set(c->e, E_CORRUPT, "the view's change log is damaged");
		return false;
	}
	c->seq = kv_u64_of_key(seq);
	int rc = view_get(c->txn, change.p[0], str_from(change, 1), &value, c->e);
	if (rc != 0 && rc != E_NOTFOUND) {
		c->rc = rc;
		return false;
	}
	c->stopped = !c->fn(c->arg, change.p[0], str_from(change, 1), value);
	return !c->stopped;
}

int view_changes_until(struct kv_txn *txn, struct view_version from,
		       bool (*fn)(void *arg, int table, struct str key, struct str value), void *arg,
		       struct view_version *out_now, struct err *e)
{
	struct view_meta m;
	struct changes c = { .txn = txn, .fn = fn, .arg = arg, .e = e };
	uint8_t key[8];
	int rc = view_meta_read(txn, &m, e);
	if (rc != 0)
		return rc;
	if (from.term != m.term || from.seq + 1 < m.first || from.seq > m.seq)
		return err_set(e, E_NOTFOUND, "the view's change log does not reach back so far");
	rc = kv_each(txn, &log_table, kv_key_u64(from.seq + 1, key), each_change, &c, e);
	if (rc != 0 || c.rc != 0)
		return rc != 0 ? rc : c.rc;
	*out_now = (struct view_version){ m.term, c.stopped ? c.seq : m.seq };
	return 0;
}

struct all_changes {
	void (*fn)(void *arg, int table, struct str key, struct str value);
	void *arg;
};

static bool never_stop(void *arg, int table, struct str key, struct str value)
{
	struct all_changes *a = arg;
	a->fn(a->arg, table, key, value);
	return true;
}

int view_changes(struct kv_txn *txn, struct view_version from,
		 void (*fn)(void *arg, int table, struct str key, struct str value), void *arg,
		 struct view_version *out_now, struct err *e)
{
	struct all_changes all = { fn, arg };
	return view_changes_until(txn, from, never_stop, &all, out_now, e);
}

/* ---- watches ---- */

static void tell_watches(struct loop_defer *d)
{
	struct view *v = container_of(d, struct view, tell);
	struct view_version now = view_version(v);
	struct list turn;
	list_init(&turn);
	if (now.term != v->told.term || now.seq != v->told.seq)
		for (struct list *link; (link = list_pop(&v->watches));)
			list_push(&turn, link);
	for (struct list *link; (link = list_pop(&v->fresh));)
		list_push(&turn, link);
	v->told = now;
	for (struct list *link; (link = list_pop(&turn));) {
		struct view_watch *w = list_entry(link, struct view_watch, link);
		list_push(&v->watches, &w->link);
		w->fn(w);
	}
}

void view_tell(struct view *v)
{
	if (!list_empty(&v->watches) || !list_empty(&v->fresh))
		loop_defer(v->loop, &v->tell, tell_watches);
}

void view_watch(struct view *v, struct view_watch *w, void (*fn)(struct view_watch *w))
{
	w->fn = fn;
	list_push(&v->fresh, &w->link);
	view_wake_listen(v);
	view_tell(v);
}

void view_watch_stop(struct view_watch *w)
{
	list_remove(&w->link);
}

/* ---- writing ---- */

static void come_again(struct loop_defer *d)
{
	(void)d;     /* what another hook staged after ours ran must not wait for the next event */
}

static struct staged *stage(struct view *v, int table, struct str key, size_t len)
{
	char name[KV_KEY_MAX + 1];
	assert(view_table_valid(table));
	assert(v->wants_lock);
	assert(key.len > 0 && key.len <= KV_KEY_MAX);
	name[0] = (char)table;
	memcpy(name + 1, key.p, key.len);
	struct staged *s = xcalloc(1, sizeof(*s) + len);
	s->len = len;
	free(map_put(&v->staged, str_n(name, key.len + 1), s));
	loop_defer(v->loop, &v->again, come_again);
	return s;
}

void view_put(struct view *v, int table, struct str key, struct str value)
{
	assert(value.len <= LIMIT_VIEW_ENTRY_BYTES);
	struct staged *s = stage(v, table, key, value.len);
	if (value.len > 0)
		memcpy(s->value, value.p, value.len);
}

void view_del(struct view *v, int table, struct str key)
{
	stage(v, table, key, 0)->removed = true;
}

void view_sweep(struct view *v, int table)
{
	assert(view_table_valid(table));
	v->sweeps |= 1u << table;
	v->staged_settled = true;
	loop_defer(v->loop, &v->again, come_again);
}

void view_begin_mark(struct view *v, uint64_t term)
{
	if (map_count(&v->staged) > 0 || v->sweeps || v->staged_term)
		(void)view_flush(v, NULL);       /* a failure is met again, and told, by the next turn */
	v->staged_term = true;
	v->new_term = term;
	loop_defer(v->loop, &v->again, come_again);
}

void view_new_term(struct view *v, uint64_t term)
{
	view_begin_mark(v, term);
	view_set_up(v, (struct view_up){ 0 });
}

void view_set_up(struct view *v, struct view_up up)
{
	if (!v->staged_up)
		v->staged_up = xmalloc(sizeof(*v->staged_up));
	*v->staged_up = up;
	loop_defer(v->loop, &v->again, come_again);
}

static int log_change(struct kv_txn *txn, struct view_meta *m, int table, struct str key, struct err *e)
{
	char change[KV_KEY_MAX + 1] = { (char)table };
	uint8_t at[8];
	memcpy(change + 1, key.p, key.len);
	int rc = kv_put(txn, &log_table, kv_key_u64(++m->seq, at), str_n(change, key.len + 1), e);
	while (rc == 0 && m->seq - m->first >= VIEW_LOG_MAX)
		rc = kv_del(txn, &log_table, kv_key_u64(m->first++, at), e);
	return rc;
}

static int write_row(struct kv_txn *txn, struct view_meta *m, int table, struct str key, const struct staged *s, struct err *e)
{
	struct str row, old = { NULL, 0 };
	uint64_t mark = 0;
	struct str value = str_n((const char *)s->value, s->len);
	int rc = kv_get(txn, view_tables[table], key, &row, e);
	bool there = rc == 0 && split_row(row, &mark, &old);
	if (rc != 0 && rc != E_NOTFOUND)
		return rc;
	if (s->removed) {
		rc = there ? kv_del(txn, view_tables[table], key, e) : 0;
		return there && rc == 0 ? log_change(txn, m, table, key, e) : rc;
	}
	bool same = there && str_eq(old, value);
	if (same && mark == m->mark)
		return 0;
	AUTO_BUF struct buf b = BUF_INIT;
	(void)buf_append(&b, &m->mark, MARK_BYTES);
	(void)buf_str(&b, value);
	rc = kv_put(txn, view_tables[table], key, buf_view(&b), e);
	return rc == 0 && !same ? log_change(txn, m, table, key, e) : rc;
}

struct leftovers {
	uint64_t mark;
	struct buf keys;         /* length u16, bytes */
};

static bool note_leftover(void *arg, struct str key, struct str row)
{
	struct leftovers *l = arg;
	uint64_t mark;
	struct str value;
	uint16_t len = (uint16_t)key.len;
	if (!split_row(row, &mark, &value) || mark == l->mark)
		return true;
	return buf_append(&l->keys, &len, sizeof(len)) && buf_str(&l->keys, key);
}

static int sweep_table(struct kv_txn *txn, struct view_meta *m, int table, struct err *e)
{
	struct leftovers l = { m->mark, BUF_INIT };
	struct staged removed = { .removed = true };
	int rc = kv_each(txn, view_tables[table], STR(""), note_leftover, &l, e);
	for (size_t at = 0; rc == 0 && at < l.keys.len;) {
		uint16_t len;
		memcpy(&len, l.keys.data + at, sizeof(len));
		rc = write_row(txn, m, table, str_n((const char *)l.keys.data + at + sizeof(len), len), &removed, e);
		at += sizeof(len) + len;
	}
	buf_fini(&l.keys);
	return rc;
}

static int flush_txn(struct kv_txn *txn, void *arg, struct err *e)
{
	struct view *v = arg;
	struct view_meta m;
	int rc = view_meta_read(txn, &m, e);
	if (rc != 0)
		return rc;
	struct view_meta old = m;
	if (v->staged_term) {
		m.mark++;
		m.term = v->new_term;
	}
	map_each(&v->staged, entry) {
		if (rc == 0)
			rc = write_row(txn, &m, entry->key[0], str_n(entry->key + 1, entry->key_len - 1), entry->value, e);
	}
	for (int table = 1; rc == 0 && table < VIEW_TABLES; table++)
		if (v->sweeps & 1u << table)
			rc = sweep_table(txn, &m, table, e);
	if (v->staged_settled)
		m.settled = m.mark;
	if (v->staged_up) {
		m.up_id = v->staged_up->id;
		m.up_term = v->staged_up->version.term;
		m.up_seq = v->staged_up->version.seq;
	}
	return rc == 0 && memcmp(&m, &old, sizeof(m)) != 0 ? put_meta(txn, &m, e) : rc;
}

int view_flush(struct view *v, struct err *e)
{
	if (!view_writes(v) || (map_count(&v->staged) == 0 && !v->sweeps && !v->staged_term && !v->staged_settled && !v->staged_up))
		return 0;
	struct view_version before = view_version(v);
	int rc = kv_update(v->kv, flush_txn, v, e);
	if (rc != 0)
		return rc;
	view_drop_staged(v);
	struct view_version now = view_version(v);
	if (now.term != before.term || now.seq != before.seq) {
		view_wake_others(v);
		view_tell(v);
	}
	view_sync_pump(v);
	return 0;
}

static void retry_flush(struct loop_timer *t)
{
	(void)t;     /* the hook of this turn does it */
}

static void view_turn(struct loop_hook *h)
{
	struct view *v = container_of(h, struct view, hook);
	struct err e = { 0 };
	if (loop_timer_active(&v->retry) || view_flush(v, &e) == 0)
		return;
	LOG(WARN, "view not written, trying again", "dir=%s error=\"%s\"", v->dir, e.text);
	loop_timer_start(v->loop, &v->retry, VIEW_RETRY_US, retry_flush);
}
