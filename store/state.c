/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outside of the replicated state: opening and locking its directory, the rows that subsystems register, commands coming in
 * and their answers going out. What a turn of the loop proposed leaves together, from the turn hook.
 */
#include "store/state_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "net/base/log.h"
#include "net/base/time.h"
#include "net/limits.h"
#include "net/pb_util.h"
#include "proto/records.pb.h"

#define STATE_RESERVE_BYTES ((uint64_t)(2 * LIMIT_OP_BYTES))   /* the largest command, in the log and in LMDB */
#define FORMAT_BYTES 64                  /* of the file `format` that are looked at */
#define STATE_FEATURE_LEVEL 1            /* of this build; the lowest of all members once there are several */
#define CHECKPOINT_BYTES ((uint64_t)(64 * MIB))
#define TRAILING 8192                    /* entries kept behind a checkpoint */
#define ELECTION_MS 1000
#define HEARTBEAT_MS 100
#define APPLY_MAX 1024                   /* entries in one LMDB transaction */
#define APPLY_RETRY_US SEC
#define NAME_TIMEOUT_US (10 * SEC)
#define NAME_RETRY_US SEC

struct store_watch {
	void (*role)(void *arg, bool leads);             /* one of the three */
	void (*applied)(void *arg, uint64_t index);
	void (*members)(void *arg);
	void *arg;
	bool told;                                       /* role: what fn was told last */
};

/* ---- commands ---- */

void command_answer(struct command *c, struct str reply, const struct err *e)
{
	struct propose *p = MOVE(c->p);
	if (c->forget && e->code != 0)
		LOG(WARN, "command failed", "index=%llu error=\"%s\"", (unsigned long long)c->index, e->text);
	if (!p)
		return;
	loop_timer_stop(&p->timer);
	p->command = NULL;
	p->index = c->index;
	p->done(p, reply, e);
}

static void refuse_all(struct loop_defer *d)
{
	struct store *s = container_of(d, struct store, refuse);
	for (struct list *link; (link = list_pop(&s->refused));) {
		struct command *c = list_entry(link, struct command, link);
		struct err e = *c->refusal;
		command_answer(c, STR(""), &e);
		command_unref(c);
	}
}

void state_refuse(struct store *s, struct command *c, const struct err *e)
{
	c->refusal = xmalloc(sizeof(*e));
	*c->refusal = *e;
	list_remove(&c->link);
	list_push(&s->refused, &c->link);
	loop_defer(s->loop, &s->refuse, refuse_all);
}

void state_refuse_queue(struct store *s, const struct err *e)
{
	for (struct list *link; (link = list_pop(&s->queue));)
		state_refuse(s, list_entry(link, struct command, link), e);
}

void state_unknown(struct store *s, struct command *c, const char *why)
{
	struct err e = { 0 };
	if (!c->p)
		return;
	(void)err_set(&e, E_TIMEOUT, "%s; whether the change happened is unknown", why);
	struct command *answer = command_new(STR(""), ENTRY_COMMAND);      /* a write may be reading c */
	answer->p = MOVE(c->p);
	answer->p->command = answer;
	state_refuse(s, answer, &e);
}

void state_stop(struct store *s, const struct err *e)
{
	if (s->stopped.code != 0)
		return;
	s->stopped = *e;
	if (e->code == E_NOSPACE || e->code == E_BUSY)
		s->stopped.code = E_IO;          /* does not pass by itself any more */
	LOG(ERROR, "replicated state stopped", "dir=%s error=\"%s\"", s->dir, e->text);
	state_refuse_queue(s, e);
	for (uint64_t i = s->window.first; i < window_end(&s->window); i++)
		state_unknown(s, window_at(&s->window, i), e->text);
}

static void propose_expired(struct loop_timer *t)
{
	struct propose *p = container_of(t, struct propose, timer);
	struct err e = { 0 };
	(void)err_set(&e, E_TIMEOUT, "no majority of masters has confirmed the change in time; whether it happens is unknown");
	propose_cancel(p);
	p->index = 0;
	p->done(p, STR(""), &e);
}

void propose_cancel(struct propose *p)
{
	loop_timer_stop(&p->timer);
	if (p->command)
		p->command->p = NULL;
	p->command = NULL;
}

static const struct op_row *find_row(const struct store *s, uint32_t op)
{
	for (size_t i = 0; i < s->op_count; i++)
		if (s->ops[i].row->number == op)
			return s->ops[i].row;
	return NULL;
}

/*
 * What is taken is applied: a command that fits into the log's preallocated segment but not into LMDB would wait for space, and
 * its proposer with it. So the last room is kept for what is under way.
 */
static int check_room(struct store *s, struct err *e)
{
	if (s->room_us != loop_now_us(s->loop))          /* once a turn is often enough */
		s->room = s->disk->room(s->disk->ctx, s->dir);
	s->room_us = loop_now_us(s->loop);
	int64_t room = s->room;
	if (room < 0 || room >= (int64_t)STATE_RESERVE_BYTES)
		return 0;               /* when it cannot be told, the write itself will tell */
	return err_set(e, E_NOSPACE, "less than %d MiB are free on the disk of '%s'; nothing is changed until there is more",
		       (int)(STATE_RESERVE_BYTES / MIB), s->dir);
}

static int check_command(struct store *s, uint32_t op, size_t payload_bytes, struct err *e)
{
	const struct op_row *row = find_row(s, op);
	assert(row);                    /* commands are registered before they are proposed */
	if (s->stopped.code != 0)
		return err_set(e, E_IO, "%s", s->stopped.text);
	if (!s->started || !raft_io_leads(s))
		return err_set(e, E_NOTLEADER, "this master does not lead");
	if (payload_bytes > LIMIT_OP_BYTES)
		return err_set(e, E_TOOBIG, "a change of %zu bytes is over the limit of %d", payload_bytes, LIMIT_OP_BYTES);
	if (row->feature_level > s->feature_level)
		return err_set(e, E_UNSUPPORTED, "%s has to wait until every master runs the newer version", row->name);
	return s->full.code != 0 ? err_set(e, s->full.code, "%s", s->full.text) : check_room(s, e);
}

static void come_again(struct loop_defer *d)
{
	(void)d;     /* what another hook proposes after ours ran must not wait for the next event */
}

void state_come_again(struct store *s)
{
	loop_defer(s->loop, &s->again, come_again);
}

void state_await(struct store *s, struct command *c, int64_t timeout_us, struct propose *p,
		 void (*done)(struct propose *p, struct str reply, const struct err *e))
{
	p->done = done;
	p->index = 0;
	p->command = c;
	c->p = p;
	loop_timer_start(s->loop, &p->timer, timeout_us, propose_expired);
}

static struct command *propose(struct store *s, const struct envelope *v)
{
	struct err e = { 0 };
	if (check_command(s, v->op, v->payload.len, &e) != 0) {
		struct command *refused = command_new(STR(""), ENTRY_COMMAND);
		state_refuse(s, refused, &e);
		return refused;
	}
	struct command *c = command_with_room(ENVELOPE_BYTES + v->payload.len, ENTRY_COMMAND);
	envelope_write(v, c->data);
	if (v->payload.len > 0)
		memcpy(c->data + ENVELOPE_BYTES, v->payload.p, v->payload.len);
	list_push(&s->queue, &c->link);
	state_come_again(s);
	return c;
}

void store_propose(struct store *s, uint32_t op, struct str payload, int64_t timeout_us, struct propose *p,
		   void (*done)(struct propose *p, struct str reply, const struct err *e))
{
	store_propose_once(s, op, payload, 0, 0, timeout_us, p, done);
}

void store_propose_once(struct store *s, uint32_t op, struct str payload, uint64_t client, uint64_t serial, int64_t timeout_us,
			struct propose *p, void (*done)(struct propose *p, struct str reply, const struct err *e))
{
	struct envelope v = { op, loop_unix_us(s->loop), client, serial, payload };
	state_await(s, propose(s, &v), timeout_us, p, done);
}

void store_propose_forget(struct store *s, uint32_t op, struct str payload)
{
	struct envelope v = { .op = op, .unix_us = loop_unix_us(s->loop), .payload = payload };
	propose(s, &v)->forget = true;
}

/* ---- applying ---- */

void state_tell_applied(struct store *s)
{
	for (size_t i = 0; i < s->watch_count; i++)
		if (s->watches[i].applied)
			s->watches[i].applied(s->watches[i].arg, s->fsm.meta.index);
	raft_io_told(s);
}

void state_tell_members(struct store *s)
{
	for (size_t i = 0; i < s->watch_count; i++)
		if (s->watches[i].members)
			s->watches[i].members(s->watches[i].arg);
}

static void retry_apply(struct loop_timer *t)
{
	state_apply(container_of(t, struct store, retry));
}

static void apply_failed(struct store *s, const struct err *e)
{
	if (e->code != E_NOSPACE && e->code != E_BUSY) {
		state_stop(s, e);
		return;
	}
	if (s->full.code == 0)
		LOG(WARN, "state waits", "dir=%s error=\"%s\"", s->dir, e->text);
	s->full = *e;
	loop_timer_start(s->loop, &s->retry, APPLY_RETRY_US, retry_apply);
}

/* Apply, and answer who waits. cmds: the entries' commands; NULL: read from the log, nobody waits. */
static int apply_items(struct store *s, struct fsm_item *items, struct command *const *cmds, size_t n)
{
	struct err e = { 0 };
	int rc = fsm_apply(&s->fsm, items, n, &e);
	if (rc != 0) {
		apply_failed(s, &e);
		return rc;
	}
	s->full.code = 0;
	for (size_t i = 0; i < n; i++) {
		raft_io_applied(s, items[i].entry.index, items[i].entry.type);
		if (cmds)
			command_answer(cmds[i], buf_view(&items[i].reply), &items[i].err);
	}
	return 0;
}

static void free_items(struct fsm_item *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_fini(&items[i].reply);
	free(items);
}

/* The next committed entries of the window. false: there are none, or they could not be applied. */
static bool apply_window(struct store *s)
{
	uint64_t first = s->fsm.meta.index + 1;
	size_t n = 0, max = (size_t)MIN(s->commit - s->fsm.meta.index, (uint64_t)APPLY_MAX);
	struct fsm_item *items = xcalloc(max, sizeof(*items));
	struct command **cmds = xcalloc(max, sizeof(struct command *));
	for (; n < max && window_at(&s->window, first + n); n++) {
		struct command *c = cmds[n] = command_ref(window_at(&s->window, first + n));
		items[n].entry = (struct log_entry){ c->index, c->term, c->type, str_n((const char *)c->data, c->len) };
	}
	bool done = n > 0 && apply_items(s, items, cmds, n) == 0;
	for (size_t i = 0; i < n; i++)
		command_unref(cmds[i]);
	free(cmds);
	free_items(items, max);
	return done;
}

static bool may_apply(const struct store *s)
{
	return s->stopped.code == 0 && s->fsm.meta.index < s->commit && !raft_io_installing(s);
}

void state_apply(struct store *s)
{
	bool any = false;
	if (s->applying)                /* an answer led here; the loop below goes on */
		return;
	s->applying = true;
	while (may_apply(s) && apply_window(s))
		any = true;
	s->applying = false;
	if (may_apply(s) && !window_at(&s->window, s->fsm.meta.index + 1))
		raft_io_read(s, s->fsm.meta.index + 1, s->commit);
	if (any)
		state_tell_applied(s);
}

void state_apply_records(struct store *s, struct str records)
{
	size_t n = 0;
	struct fsm_item *items = xcalloc(APPLY_MAX, sizeof(*items));
	struct log_entry entry;
	bool any = false;
	while (may_apply(s)) {
		bool more = n < APPLY_MAX && log_record_next(&records, &entry);
		if (more && entry.index == s->fsm.meta.index + 1 + n && entry.index <= s->commit)
			items[n++].entry = entry;
		if (more && n < APPLY_MAX)
			continue;
		if (n == 0 || apply_items(s, items, NULL, n) != 0)
			break;
		any = true;
		n = 0;
	}
	free_items(items, APPLY_MAX);
	if (any)
		state_tell_applied(s);
	if (s->full.code == 0)
		state_apply(s);
}

/* ---- turns ---- */

static void tell_role(struct store *s)
{
	for (size_t i = 0; i < s->watch_count; i++) {
		struct store_watch *w = &s->watches[i];
		if (w->role && w->told != s->leads) {
			w->told = s->leads;
			w->role(w->arg, s->leads);
		}
	}
}

static void name_cluster_again(struct loop_timer *t)
{
	container_of(container_of(t, struct propose, timer), struct store, init)->init_proposed = false;
}

static void cluster_named(struct propose *p, struct str reply, const struct err *e)
{
	struct store *s = container_of(p, struct store, init);
	(void)reply;
	if (e->code == 0)
		return;
	LOG(WARN, "cluster not named yet", "error=\"%s\"", e->text);
	loop_timer_start(s->loop, &p->timer, NAME_RETRY_US, name_cluster_again);
}

/* The first leader of all names the cluster, with a command as any other. */
static void name_cluster(struct store *s)
{
	AUTO_BUF struct buf b = BUF_INIT;
	char id[37];
	struct err e = { 0 };
	rnd_uuid4(id);
	rec_MetaInit m = rec_MetaInit_init_zero;
	m.cluster_id = id;
	m.has_unix_us = true;
	m.unix_us = loop_unix_us(s->loop);
	(void)pb_write(rec_MetaInit_fields, &m, &b, &e);      /* a few bytes into a buffer without a bound */
	s->init_proposed = true;
	store_propose(s, rec_Op_OP_META_INIT, buf_view(&b), NAME_TIMEOUT_US, &s->init, cluster_named);
}

static void state_turn(struct loop_hook *h)
{
	struct store *s = container_of(h, struct store, hook);
	bool elected = s->stopped.code == 0 && raft_io_leads(s);
	if (elected && !s->fsm.meta.cluster_id[0] && !s->init_proposed)
		name_cluster(s);
	s->leads = elected && s->fsm.meta.cluster_id[0];
	tell_role(s);
	raft_io_turn(s);
	snap_turn(s);
}

bool store_leads(const struct store *s) { return s->leads; }
uint64_t store_term(const struct store *s) { return s->started ? raft_io_term(s) : 0; }
uint64_t store_applied(const struct store *s) { return s->fsm.meta.index; }
const char *store_cluster_id(struct store *s) { return s->fsm.meta.cluster_id; }

const struct err *store_trouble(const struct store *s)
{
	if (s->stopped.code != 0)
		return &s->stopped;
	return s->full.code != 0 ? &s->full : NULL;
}

int store_read(struct store *s, struct kv_txn **out, struct err *e)
{
	return kv_begin(s->fsm.kv, false, out, e);
}

static void watch(struct store *s, struct store_watch w)
{
	s->watches = xrealloc(s->watches, (s->watch_count + 1) * sizeof(*s->watches));
	s->watches[s->watch_count++] = w;
}

void store_on_role(struct store *s, void (*fn)(void *arg, bool leads), void *arg)
{
	watch(s, (struct store_watch){ .role = fn, .arg = arg });
}

void store_on_applied(struct store *s, void (*fn)(void *arg, uint64_t index), void *arg)
{
	watch(s, (struct store_watch){ .applied = fn, .arg = arg });
}

void store_on_members(struct store *s, void (*fn)(void *arg), void *arg)
{
	watch(s, (struct store_watch){ .members = fn, .arg = arg });
}

void store_feature_level(struct store *s, uint32_t lowest) { s->feature_level = lowest; }

/* ---- opening ---- */

static int lock_dir(struct store *s, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/lock", s->dir);
	char pid[32] = "";
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_sys(e, "open '%s'", path);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, "lock '%s'", path);
		(void)!pread(s->lock_fd, pid, sizeof(pid) - 1, 0);      /* only for the sentence */
		pid[strcspn(pid, "\n")] = '\0';
		return err_set(e, E_BUSY, "state directory '%s' is in use by process %s; stop that one first", s->dir,
			       pid[0] ? pid : "(unknown)");
	}
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, pid, (size_t)n, 0) != n)
		return err_sys(e, "write '%s'", path);
	return 0;
}

int state_write_format(const struct disk *d, const char *dir, unsigned format, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/format", dir);
	char line[FORMAT_BYTES];
	int n = snprintf(line, sizeof(line), "dcos-node state %u\n", format);
	return disk_write_file(d, dir, path, line, (size_t)n, e);
}

/* The file `format` is made first of all: a directory with a log and without it is not one of ours. */
static int check_format(struct store *s, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/format", s->dir);
	AUTO_FREE char *log = xasprintf("%s/log", s->dir);
	AUTO_BUF struct buf text = BUF_INIT;
	unsigned format = 0;
	int rc = disk_read_file(s->disk, path, FORMAT_BYTES, &text, e);
	if (rc == E_NOTFOUND && access(log, F_OK) == 0)
		return err_set(e, E_CORRUPT, "state directory '%s' has no file 'format'; restore it from a backup or use another directory",
			       s->dir);
	s->dir_format = STATE_DIR_FORMAT;
	if (rc == E_NOTFOUND)
		return state_write_format(s->disk, s->dir, STATE_DIR_FORMAT, e);
	if (rc != 0)
		return rc;
	if (sscanf(buf_cstr(&text), "dcos-node state %u", &format) != 1 || format == 0)
		return err_set(e, E_CORRUPT, "'%s' is damaged; restore the state directory from a backup", path);
	if (format > STATE_DIR_FORMAT)
		return err_set(e, E_NEWER, "state directory '%s' was written by a newer dcos-node (format %u, this one reads %d); "
			       "start the newer one", s->dir, format, STATE_DIR_FORMAT);
	s->dir_format = format;
	return 0;
}

/* dir/member: "<id, 16 hex digits>". Directories from before members had one are of member 1. */
int state_write_member_id(const struct disk *d, const char *dir, uint64_t id, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/member", dir);
	char line[FORMAT_BYTES];
	int n = snprintf(line, sizeof(line), "%016llx\n", (unsigned long long)id);
	return disk_write_file(d, dir, path, line, (size_t)n, e);
}

static int load_member_id(struct store *s, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/member", s->dir);
	AUTO_FREE char *vote = xasprintf("%s/vote.1", s->dir);
	AUTO_BUF struct buf text = BUF_INIT;
	if (s->member_id != 0)
		return 0;
	int rc = disk_read_file(s->disk, path, FORMAT_BYTES, &text, e);
	if (rc == E_NOTFOUND) {
		s->member_id = access(vote, F_OK) == 0 ? 1 : (rnd_u64(loop_rnd(s->loop)) >> 1) | 1;
		return state_write_member_id(s->disk, s->dir, s->member_id, e);
	}
	unsigned long long id = 0;
	if (rc == 0 && (sscanf(buf_cstr(&text), "%16llx", &id) != 1 || id == 0))
		return err_set(e, E_CORRUPT, "'%s' is damaged; restore the state directory from a backup", path);
	s->member_id = id;
	return rc;
}

int store_open(struct loop *l, const struct store_config *c, struct store **out, struct err *e)
{
	struct store *s = xcalloc(1, sizeof(*s));
	s->loop = l;
	s->disk = c->disk ? c->disk : &disk_real;
	s->dir = xstrdup(c->dir);
	s->address = xstrdup(c->address);
	s->member_id = c->member_id;
	s->join = c->join;
	s->net = c->net;
	s->trace = c->trace;
	s->trace_ctx = c->trace_ctx;
	s->trailing = c->trailing ? c->trailing : TRAILING;
	s->election_ms = c->election_ms ? c->election_ms : ELECTION_MS;
	s->heartbeat_ms = c->heartbeat_ms ? c->heartbeat_ms : HEARTBEAT_MS;
	s->feature_level = STATE_FEATURE_LEVEL;
	s->window.first = 1;
	s->segment_bytes = c->segment_bytes;
	s->checkpoint_bytes = c->checkpoint_bytes ? c->checkpoint_bytes : CHECKPOINT_BYTES;
	s->lock_fd = -1;
	list_init(&s->queue);
	list_init(&s->refused);
	store_register(s, fsm_tables, fsm_ops, ARRAY_LEN(fsm_ops), NULL);
	int rc = 0;
	if (s->disk->make_dir(s->disk->ctx, s->dir) != 0 && errno != EEXIST)
		rc = err_sys(e, "make directory '%s'", s->dir);
	if (rc == 0)
		rc = lock_dir(s, e);
	if (rc == 0)
		rc = check_format(s, e);
	if (rc == 0)
		rc = load_member_id(s, e);
	if (rc != 0) {
		store_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void store_register(struct store *s, const struct kv_table *const *tables, const struct op_row *ops, size_t op_count, void *arg)
{
	assert(!s->started);
	for (; tables && *tables; tables++) {
		s->tables = xrealloc(s->tables, (s->table_count + 2) * sizeof(*s->tables));
		s->tables[s->table_count++] = *tables;
		s->tables[s->table_count] = NULL;
	}
	s->ops = xrealloc(s->ops, (s->op_count + op_count) * sizeof(*s->ops));
	for (size_t i = 0; i < op_count; i++) {
		assert(!find_row(s, ops[i].number));
		s->ops[s->op_count++] = (struct op_slot){ &ops[i], arg };
	}
}

int store_start(struct store *s, struct err *e)
{
	struct err ignored;
	if (!e)
		e = &ignored;
	s->fsm.ops = s->ops;
	s->fsm.op_count = s->op_count;
	int rc = snap_boot(s, e);
	if (rc == 0)
		rc = raft_io_start(s, e);
	if (rc != 0)
		return rc;
	s->started = true;
	s->snap_due = s->checkpoint_bytes;
	loop_hook_add(s->loop, &s->hook, state_turn);
	return 0;
}

static void free_commands(struct list *head)
{
	for (struct list *link; (link = list_pop(head));) {
		struct command *c = list_entry(link, struct command, link);
		if (c->p)
			propose_cancel(c->p);
		command_unref(c);
	}
}

static void free_window(struct window *w)
{
	for (uint64_t i = w->first; i < window_end(w); i++)
		if (window_at(w, i)->p)
			propose_cancel(window_at(w, i)->p);
	window_fini(w);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	struct err e = { 0 };
	if (s->started)
		loop_hook_remove(&s->hook);
	loop_timer_stop(&s->retry);
	propose_cancel(&s->init);
	loop_defer_cancel(&s->refuse);
	loop_defer_cancel(&s->again);
	snap_close(s);
	raft_io_close(s);
	if (s->started && s->stopped.code == 0 && snap_mark_clean(s, &e) != 0)
		LOG(WARN, "state not marked clean, the next start replays", "dir=%s error=\"%s\"", s->dir, e.text);
	free_commands(&s->queue);
	free_window(&s->window);
	free_commands(&s->refused);
	fsm_close(&s->fsm);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	free(s->watches);
	free(s->tables);
	free(s->ops);
	free(s->address);
	free(s->dir);
	free(s);
}
