/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots between members: the leader's checkpoint file, in chunks.
 *
 *   leader    asked by the library --checkpoint is new enough--> SENDING --all was got, or silence--> forgotten
 *             `- a checkpoint is made first; the library asks again each heartbeat
 *   follower  first chunk --> TAKING --whole--> checked (worker) --> the library agrees --> INSTALLING (worker) --> state
 *
 * The follower says which byte it wants next, so a transfer goes on where it was after loss, and after another leader took over
 * with the same checkpoint begins anew. Installing: the file becomes the checkpoint, marked as come from outside; the tables are
 * replaced in one transaction; the log is emptied. A crash between these is put right by the next start (raft_io.c, check_bounds).
 */
#include "store/raft_int.h"

#include <errno.h>
#include <fcntl.h>

#include "net/base/log.h"
#include "net/pb_util.h"
#include "store/dump.h"

#define CHUNKS_AHEAD 4                   /* sent and not confirmed */
#define SILENCE_US (5 * SEC)             /* after which a transfer is given up; the library asks again */
#define RESEND_US (500 * MSEC)

struct snap_send {
	struct list link;
	uint64_t member, index, term, total;
	int fd;
	uint64_t got, sent;              /* bytes */
	int64_t heard_us, sent_us;
};

struct snap_take {
	struct work work;                /* the check */
	struct raft_io *io;              /* borrowed; NULL: closed meanwhile */
	const struct disk *disk;         /* borrowed */
	char *path, *address;            /* owned */
	uint64_t leader, leader_term, index, term, total, got;
	int fd;
	struct snap_head head;
	bool checking, checked;
	struct err err;
};

/* ---- leader ---- */

static void send_free(struct raft_io *io, struct snap_send *t)
{
	list_remove(&t->link);
	io->store->disk->close(io->store->disk->ctx, t->fd);
	free(t);
}

static bool send_chunk(struct raft_io *io, struct snap_send *t)
{
	const struct disk *d = io->store->disk;
	AUTO_ARENA struct arena arena = ARENA_INIT;
	AUTO_FREE uint8_t *chunk = xmalloc(WIRE_CHUNK_BYTES);
	ssize_t n = disk_read(d, t->fd, chunk, MIN((uint64_t)WIRE_CHUNK_BYTES, t->total - t->sent), (off_t)t->sent);
	if (n <= 0) {
		LOG(WARN, "snapshot not sent", "member=%016llx error=\"its file cannot be read\"", (unsigned long long)t->member);
		return false;
	}
	raft_Frame f = raft_Frame_init_zero;
	f.kind = raft_Kind_SNAPSHOT_CHUNK;
	f.to = t->member;
	f.term = raft_current_term(&io->raft);
	f.has_index = f.has_index_term = f.has_offset = f.has_total = true;
	f.index = t->index;
	f.index_term = t->term;
	f.offset = t->sent;
	f.total = t->total;
	f.data = pb_bytes_put(&arena, str_n((const char *)chunk, (size_t)n));
	t->sent += (uint64_t)n;
	t->sent_us = loop_now_us(io->store->loop);
	net_send(io, &f);
	return true;
}

/* As much as may be on the way. false: it ended. */
static bool send_more(struct raft_io *io, struct snap_send *t)
{
	const struct store_net *net = io->store->net;
	const char *address = net_address(io, t->member);
	while (t->sent < t->total && t->sent < t->got + CHUNKS_AHEAD * WIRE_CHUNK_BYTES) {
		if (net->full && address && net->full(net->ctx, t->member, address))
			break;
		if (!send_chunk(io, t))
			return false;
	}
	return true;
}

static struct snap_send *find_send(struct raft_io *io, uint64_t member)
{
	list_each(&io->sends, link) {
		struct snap_send *t = list_entry(link, struct snap_send, link);
		if (t->member == member)
			return t;
	}
	return NULL;
}

void snap_send_start(struct raft_io *io, uint64_t member, uint64_t at_least)
{
	struct store *s = io->store;
	struct err e = { 0 };
	if (!s->net || find_send(io, member))
		return;
	if (s->snap_index < at_least) {
		s->snap_wanted = true;
		state_come_again(s);
		return;
	}
	AUTO_FREE char *path = xasprintf("%s/checkpoint", s->dir);
	struct snap_head head = { .config = BUF_INIT };
	size_t skip;
	int fd = s->disk->open(s->disk->ctx, path, O_RDONLY);
	off_t size = fd < 0 ? -1 : s->disk->size(s->disk->ctx, fd);
	int rc = size < 0 ? err_sys(&e, "open '%s'", path) : snap_head_read(s->disk, fd, path, &head, &skip, &e);
	buf_fini(&head.config);
	if (rc != 0) {
		LOG(ERROR, "snapshot not sent", "error=\"%s\"", e.text);
		if (fd >= 0)
			s->disk->close(s->disk->ctx, fd);
		s->snap_wanted = true;               /* a new one takes its place */
		return;
	}
	struct snap_send *t = xcalloc(1, sizeof(*t));
	t->member = member;
	t->index = head.index;
	t->term = head.term;
	t->total = (uint64_t)size;
	t->fd = fd;
	t->heard_us = loop_now_us(s->loop);
	list_push(&io->sends, &t->link);
	LOG(INFO, "sending a snapshot", "member=%016llx index=%llu bytes=%llu", (unsigned long long)member,
	    (unsigned long long)t->index, (unsigned long long)t->total);
	if (!send_more(io, t))
		send_free(io, t);
}

void snap_send_got(struct raft_io *io, const raft_Frame *f)
{
	struct snap_send *t = find_send(io, f->from);
	if (!t || f->index != t->index || f->index_term != t->term || f->offset > t->total)
		return;
	t->heard_us = loop_now_us(io->store->loop);
	t->got = f->offset;
	if (t->got > t->sent || t->got == 0)
		t->sent = t->got;
	if (t->got == t->total || !send_more(io, t))
		send_free(io, t);
}

/* ---- follower ---- */

static void take_free(struct snap_take *t)
{
	if (t->fd >= 0)
		t->disk->close(t->disk->ctx, t->fd);
	buf_fini(&t->head.config);
	free(t->path);
	free(t->address);
	free(t);
}

static void say_got(struct raft_io *io, const struct snap_take *t)
{
	raft_Frame f = raft_Frame_init_zero;
	f.kind = raft_Kind_SNAPSHOT_GOT;
	f.to = t->leader;
	f.term = MAX(raft_current_term(&io->raft), t->term);
	f.has_index = f.has_index_term = f.has_offset = true;
	f.index = t->index;
	f.index_term = t->term;
	f.offset = t->got;
	net_send_to(io, &f, t->address);
}

/* On a worker: the head, and every checksum behind it. */
static void check_run(struct work *w)
{
	struct snap_take *t = container_of(w, struct snap_take, work);
	struct snap_file file = { t->disk, t->fd, t->path, 0, 0 };
	struct dump_source from = { snap_file_read, snap_file_rewind, &file };
	struct dump_head head;
	size_t skip = 0;
	int rc = snap_head_read(t->disk, t->fd, t->path, &t->head, &skip, &t->err);
	file.at = file.begin = (off_t)skip;
	if (rc == 0)
		rc = dump_check(&from, &head, NULL, &t->err);
	if (rc == 0 && (head.index != t->head.index || head.term != t->head.term || head.index != t->index || head.term != t->term))
		(void)err_set(&t->err, E_CORRUPT, "'%s' is of another index than was said", t->path);
}

/* Tell the library; it says whether the snapshot is of use. */
static void offer(struct raft_io *io, struct snap_take *t)
{
	struct raft_message m = { .type = RAFT_INSTALL_SNAPSHOT, .server_id = t->leader, .server_address = t->address };
	struct err e = { 0 };
	m.install_snapshot = (struct raft_install_snapshot){ .version = 1, .term = t->leader_term, .last_index = t->index,
		.last_term = t->term, .conf_index = t->head.config_index };
	if (raft_io_decode_config(buf_view(&t->head.config), &m.install_snapshot.conf, &e) != 0) {
		LOG(WARN, "snapshot refused", "error=\"%s\"", e.text);
		return;
	}
	struct raft_event event = { .type = RAFT_RECEIVE, .receive = { .message = &m } };
	(void)raft_io_step(io, &event, NULL, 0);
}

static void check_done(struct work *w)
{
	struct snap_take *t = container_of(w, struct snap_take, work);
	struct raft_io *io = t->io;
	t->checking = false;
	if (!io) {
		take_free(t);
		return;
	}
	if (t->err.code != 0)
		LOG(WARN, "snapshot refused", "error=\"%s\"", t->err.text);
	else if (!io->installing && raft_current_term(&io->raft) <= t->leader_term && !raft_io_is_leader(io))
		offer(io, t);
	if (io->take == t && !io->installing) {  /* not wanted, or not good */
		io->take = NULL;
		take_free(t);
	}
}

static struct snap_take *take_new(struct raft_io *io, const raft_Frame *f, const char *address)
{
	struct store *s = io->store;
	struct snap_take *t = xcalloc(1, sizeof(*t));
	t->io = io;
	t->disk = s->disk;
	t->path = xasprintf("%s/incoming.tmp", s->dir);
	t->address = xstrdup(address);
	t->leader = f->from;
	t->index = f->index;
	t->term = f->index_term;
	t->total = f->total;
	buf_init(&t->head.config, CONFIG_MAX);
	t->fd = s->disk->open(s->disk->ctx, t->path, O_RDWR | O_CREAT | O_TRUNC);
	if (t->fd >= 0)
		return t;
	LOG(WARN, "snapshot not taken", "error=\"create '%s': %s\"", t->path, strerror(errno));
	take_free(t);
	return NULL;
}

void snap_take_chunk(struct raft_io *io, const raft_Frame *f, const char *address)
{
	struct str data = pb_bytes_view(f->data);
	struct snap_take *t = io->take;
	struct err e = { 0 };
	if (io->installing || (t && t->checking) || f->term < raft_current_term(&io->raft) || f->index <= io->store->fsm.meta.index)
		return;
	if (t && (t->leader != f->from || t->index != f->index || t->term != f->index_term || t->total != f->total)) {
		take_free(t);
		t = io->take = NULL;
	}
	if (!t)
		t = io->take = take_new(io, f, address);
	if (!t)
		return;
	t->leader_term = f->term;
	if (f->offset == t->got && data.len > 0) {
		if (disk_write(t->disk, t->fd, t->path, data.p, data.len, (off_t)t->got, &e) != 0) {
			LOG(WARN, "snapshot not taken", "error=\"%s\"", e.text);
			take_free(MOVE(io->take));
			return;
		}
		t->got += data.len;
	}
	say_got(io, t);
	if (t->got == t->total) {
		t->checking = true;
		t->err.code = 0;
		work_submit(io->store->loop, &t->work, check_run, check_done);
	}
}

/* ---- installing ---- */

void snap_install(struct raft_io *io, const struct raft_snapshot_metadata *m)
{
	struct store *s = io->store;
	assert(io->take && m->index == io->take->index);
	io->installing = true;
	io->install_config = m->configuration;      /* ours until the library gets it back */
	jobs_clamp(io, 0);
	for (uint64_t i = s->window.first; i < window_end(&s->window); i++)
		state_unknown(s, window_at(&s->window, i), "another master took the lead");
	window_restart(&s->window, m->index + 1);
	s->commit = s->fsm.meta.index;
	io->persisted = m->index;
	state_come_again(s);
}

/* When no checkpoint is being made, which would get its name over ours. */
static void install_begin(struct raft_io *io)
{
	if (!io->installing || io->install_begun || io->store->snap)
		return;
	io->install_begun = true;
	(void)job_new(io, JOB_INSTALL);
}

int snap_install_run(struct raft_io *io, struct raft_log *log, struct err *e)
{
	struct store *s = io->store;
	struct snap_take *t = io->take;
	const struct disk *d = t->disk;
	AUTO_FREE char *path = xasprintf("%s/checkpoint", s->dir);
	size_t skip = 0;
	int rc = snap_head_mark_installed(d, t->fd, t->path, e);
	if (rc == 0 && d->sync(d->ctx, t->fd) != 0)
		rc = err_sys(e, "sync '%s'", t->path);
	if (rc == 0 && (d->rename(d->ctx, t->path, path) != 0 || d->sync_dir(d->ctx, s->dir) != 0))
		rc = err_sys(e, "name '%s'", path);
	if (rc == 0)
		rc = snap_head_read(d, t->fd, path, &t->head, &skip, e);
	struct snap_file file = { d, t->fd, path, (off_t)skip, (off_t)skip };
	struct dump_source from = { snap_file_read, snap_file_rewind, &file };
	struct dump_head head;
	if (rc == 0)
		rc = dump_load(&from, s->fsm.kv, s->tables, &head, e);
	return rc == 0 ? raft_log_reset(log, t->index + 1, e) : rc;
}

void snap_install_done(struct raft_io *io, const struct log_job *job)
{
	struct store *s = io->store;
	struct snap_take *t = io->take;
	struct err e = job->err;
	int rc = job->rc != 0 ? job->rc : fsm_reload(&s->fsm, &e);
	if (rc != 0) {
		state_stop(s, &e);               /* still installing: snap_net_close frees what belongs to it */
		return;
	}
	LOG(INFO, "snapshot installed", "index=%llu", (unsigned long long)t->index);
	s->commit = s->snap_index = s->snap_installed = io->snapshot_index = io->persisted = t->index;
	io->installing = io->install_begun = false;
	struct raft_event event = { .type = RAFT_PERSISTED_SNAPSHOT };
	event.persisted_snapshot.metadata = (struct raft_snapshot_metadata){ .index = t->index, .term = t->term,
		.configuration = io->install_config, .configuration_index = t->head.config_index };
	event.persisted_snapshot.last = true;
	take_free(MOVE(io->take));
	io->room = raft_log_room(io->log);
	(void)raft_io_step(io, &event, NULL, 0);
	state_tell_applied(s);
	fresh_applied(io);
}

/* ---- turns ---- */

static void resend(struct raft_io *io, struct snap_send *t)
{
	int64_t now = loop_now_us(io->store->loop);
	bool over = !raft_io_is_leader(io) || now - t->heard_us > SILENCE_US || !net_address(io, t->member);
	if (!over && now - t->sent_us > RESEND_US)
		t->sent = t->got;
	if (over || !send_more(io, t))
		send_free(io, t);
}

static void on_tick(struct loop_timer *tick)
{
	(void)tick;                          /* the turn does the work */
}

void snap_net_turn(struct raft_io *io)
{
	install_begin(io);
	list_each_safe(&io->sends, link)
		resend(io, list_entry(link, struct snap_send, link));
	if (!list_empty(&io->sends) && !loop_timer_active(&io->snap_timer))
		loop_timer_start(io->store->loop, &io->snap_timer, RESEND_US, on_tick);
}

void snap_net_close(struct raft_io *io)
{
	loop_timer_stop(&io->snap_timer);
	for (struct list *link; (link = list_pop(&io->sends));)
		send_free(io, list_entry(link, struct snap_send, link));
	struct snap_take *t = MOVE(io->take);
	if (io->installing)
		raft_configuration_close(&io->install_config);
	if (!t)
		return;
	t->io = NULL;
	if (!t->checking || work_cancel(&t->work))
		take_free(t);
}
