/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of the replicated state. LMDB is written without syncs, so after a crash its file may be anything; only two
 * states of it are trusted:
 *
 *   dir/kv           when dir/clean stands beside it: it was synced, and nothing was written since
 *   dir/checkpoint   a dump (store/dump.h) made by a worker while the loop went on, synced before it got its name
 *
 * The log is cut only behind a checkpoint. A start that is not clean drops dir/kv, loads the checkpoint (or an empty state while
 * there is none) and replays the log. A checkpoint is due when the log has grown by checkpoint_bytes or by the size of the state,
 * whichever is more: so writing them never costs more than the log itself. Directories of format 1 have a copy of LMDB's file
 * instead, dir/checkpoint.mdb; it goes when the first dump is made.
 *
 * File: "dcossnap" | version u32 | installed u32 | index u64 | term u64 | config index u64 | config bytes u32 | crc32c u32 of what
 * is before, but for `installed`, and of the config | config | dump. Numbers are little-endian.
 */
#include "store/state_int.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/log.h"
#include "store/dump.h"

#define SNAP_MAGIC "dcossnap"
#define SNAP_VERSION 1
#define WRITE_BYTES ((size_t)(256 * KIB))

struct file_head {
	char magic[8];
	uint32_t version, installed;
	uint64_t index, term, config_index;
	uint32_t config_bytes, crc;
};
static_assert(sizeof(struct file_head) == 48, "head of a checkpoint");

/* A checkpoint being made. Owned by the store until it is done, by itself after snap_close. */
struct snap_job {
	struct work work;
	struct store *store;             /* borrowed; NULL: closed meanwhile */
	struct kv *kv;                   /* borrowed */
	const struct disk *disk;         /* borrowed */
	const struct kv_table *const *tables;    /* borrowed */
	char *dir;                       /* owned */
	struct snap_head head;
	struct err err;
	pthread_mutex_t lock;            /* guards finished */
	pthread_cond_t changed;
	bool finished;
};

/* ---- the head ---- */

static uint32_t head_crc(const struct file_head *h, struct str config)
{
	struct file_head plain = *h;
	plain.installed = 0;
	uint32_t crc = crc32c(0, &plain, offsetof(struct file_head, crc));
	return crc32c(crc, config.p, config.len);
}

int snap_head_read(const struct disk *d, int fd, const char *path, struct snap_head *out, size_t *bytes, struct err *e)
{
	struct file_head h;
	ssize_t n = disk_read(d, fd, &h, sizeof(h), 0);
	if (n < 0)
		return err_sys(e, "read '%s'", path);
	if (n != (ssize_t)sizeof(h) || memcmp(h.magic, SNAP_MAGIC, sizeof(h.magic)) != 0 || h.config_bytes > CONFIG_MAX)
		return err_set(e, E_CORRUPT, "'%s' is damaged: it does not begin as a checkpoint", path);
	buf_reset(&out->config);
	uint8_t *room = buf_room(&out->config, h.config_bytes);
	n = room ? disk_read(d, fd, room, h.config_bytes, sizeof(h)) : 0;
	if (n < 0)
		return err_sys(e, "read '%s'", path);
	if (room)
		buf_grew(&out->config, (size_t)n);
	if ((size_t)n != h.config_bytes || h.crc != head_crc(&h, buf_view(&out->config)))
		return err_set(e, E_CORRUPT, "'%s' is damaged: its head has a wrong checksum", path);
	if (h.version > SNAP_VERSION)
		return err_set(e, E_NEWER, "'%s' was written by a newer dcos-node (format %u, this one reads %u); start the newer one",
			       path, h.version, SNAP_VERSION);
	out->index = h.index;
	out->term = h.term;
	out->config_index = h.config_index;
	out->installed = h.installed != 0;
	*bytes = sizeof(h) + h.config_bytes;
	return 0;
}

int snap_head_mark_installed(const struct disk *d, int fd, const char *path, struct err *e)
{
	uint32_t one = 1;
	return disk_write(d, fd, path, &one, sizeof(one), offsetof(struct file_head, installed), e);
}

ssize_t snap_file_read(void *file, void *out, size_t len, struct err *e)
{
	struct snap_file *f = file;
	ssize_t n = disk_read(f->disk, f->fd, out, len, f->at);
	if (n < 0)
		return err_sys(e, "read '%s'", f->path);
	f->at += n;
	return n;
}

int snap_file_rewind(void *file, struct err *e)
{
	struct snap_file *f = file;
	(void)e;
	f->at = f->begin;
	return 0;
}

/* ---- starting ---- */

static int remove_file(const char *path, struct err *e)
{
	return unlink(path) == 0 || errno == ENOENT ? 0 : err_sys(e, "remove '%s'", path);
}

static int copy_all(int from, int to, const char *path, struct err *e)
{
	AUTO_FREE uint8_t *chunk = xmalloc(WRITE_BYTES);
	off_t at = 0;
	for (ssize_t n; (n = pread(from, chunk, WRITE_BYTES, at)) != 0; at += n) {
		if (n < 0)
			return err_sys(e, "read the checkpoint for '%s'", path);
		int rc = disk_write(&disk_real, to, path, chunk, (size_t)n, at, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* dir/kv is emptied, or becomes a copy of format 1's checkpoint. */
static int empty_kv(struct store *s, bool use_format_1, struct err *e)
{
	AUTO_FREE char *kv = xasprintf("%s/kv", s->dir);
	AUTO_FREE char *data = xasprintf("%s/kv/data.mdb", s->dir);
	AUTO_FREE char *lock = xasprintf("%s/kv/lock.mdb", s->dir);
	AUTO_FREE char *checkpoint = xasprintf("%s/checkpoint.mdb", s->dir);
	if (mkdir(kv, 0700) != 0 && errno != EEXIST)
		return err_sys(e, "make directory '%s'", kv);
	int rc = remove_file(data, e);
	if (rc == 0)
		rc = remove_file(lock, e);
	if (rc != 0 || !use_format_1)
		return rc;
	AUTO_FD int from = open(checkpoint, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open '%s'", checkpoint);
	AUTO_FD int to = open(data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (to < 0)
		return err_sys(e, "create '%s'", data);
	return copy_all(from, to, data, e);
}

static int drop_clean_mark(struct store *s, const char *mark, struct err *e)
{
	if (s->disk->remove(s->disk->ctx, mark) != 0)
		return err_sys(e, "remove '%s'", mark);
	return s->disk->sync_dir(s->disk->ctx, s->dir) == 0 ? 0 : err_sys(e, "sync directory '%s'", s->dir);
}

static bool exists(const struct store *s, const char *path)
{
	int fd = s->disk->open(s->disk->ctx, path, O_RDONLY);
	if (fd >= 0)
		s->disk->close(s->disk->ctx, fd);
	return fd >= 0;
}

/*
 * Into the state that stands open; it is behind the checkpoint, or empty. Opened anew afterwards: LMDB keeps the pages of a large
 * transaction, up to half a gigabyte, until it is closed.
 */
static int load_checkpoint(struct store *s, int fd, const char *path, size_t skip, struct err *e)
{
	struct snap_file file = { s->disk, fd, path, (off_t)skip, (off_t)skip };
	struct dump_source from = { snap_file_read, snap_file_rewind, &file };
	struct dump_head head;
	AUTO_FREE char *kv = xasprintf("%s/kv", s->dir);
	int rc = dump_load(&from, s->fsm.kv, s->tables, &head, e);
	if (rc != 0)
		return rc;
	fsm_close(&s->fsm);
	return fsm_open(&s->fsm, kv, s->tables, e);
}

static int look_at_checkpoint(struct store *s, bool load, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/checkpoint", s->dir);
	struct snap_head head = { .config = BUF_INIT };
	size_t skip = 0;
	int fd = s->disk->open(s->disk->ctx, path, O_RDONLY);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open '%s'", path);
	int rc = snap_head_read(s->disk, fd, path, &head, &skip, e);
	if (rc == 0 && load)
		rc = load_checkpoint(s, fd, path, skip, e);
	s->disk->close(s->disk->ctx, fd);
	buf_fini(&head.config);
	if (rc != 0)
		return rc;
	s->snap_index = head.index;
	s->snap_installed = head.installed ? head.index : 0;
	return 0;
}

int snap_boot(struct store *s, struct err *e)
{
	AUTO_FREE char *kv = xasprintf("%s/kv", s->dir);
	AUTO_FREE char *mark = xasprintf("%s/clean", s->dir);
	AUTO_FREE char *checkpoint = xasprintf("%s/checkpoint", s->dir);
	bool clean = exists(s, mark);
	int rc = 0;
	if (s->dir_format < STATE_DIR_FORMAT)            /* first of all: from here on the executable before cannot read it */
		rc = state_write_format(s->disk, s->dir, STATE_DIR_FORMAT, e);
	if (rc != 0)
		return rc;
	s->dir_format = STATE_DIR_FORMAT;
	rc = clean ? drop_clean_mark(s, mark, e) : empty_kv(s, !exists(s, checkpoint), e);
	if (rc == 0)
		rc = fsm_open(&s->fsm, kv, s->tables, e);
	return rc == 0 ? look_at_checkpoint(s, !clean, e) : rc;
}

int snap_mark_clean(struct store *s, struct err *e)
{
	AUTO_FREE char *mark = xasprintf("%s/clean", s->dir);
	int rc = kv_sync(s->fsm.kv, e);
	return rc == 0 ? disk_write_file(s->disk, s->dir, mark, "", 0, e) : rc;
}

/* ---- making one ---- */

struct writer {
	const struct disk *disk;
	int fd;
	const char *path;
	off_t at;
	struct buf waiting;
};

static int flush(struct writer *w, struct err *e)
{
	int rc = disk_write(w->disk, w->fd, w->path, w->waiting.data, w->waiting.len, w->at, e);
	w->at += (off_t)w->waiting.len;
	buf_reset(&w->waiting);
	return rc;
}

static int write_some(void *arg, const void *data, size_t len, struct err *e)
{
	struct writer *w = arg;
	(void)buf_append(&w->waiting, data, len);
	return w->waiting.len < WRITE_BYTES ? 0 : flush(w, e);
}

static int write_all(struct kv_txn *txn, const struct kv_table *const *tables, struct writer *w, struct snap_head *out, struct err *e)
{
	struct fsm_meta meta = { .config = BUF_INIT };
	int rc = fsm_read_meta(txn, &meta, e);
	struct file_head h = { .magic = SNAP_MAGIC, .version = SNAP_VERSION, .index = meta.index, .term = meta.term,
			       .config_index = meta.config_index, .config_bytes = (uint32_t)meta.config.len };
	h.crc = head_crc(&h, buf_view(&meta.config));
	*out = (struct snap_head){ .index = meta.index, .term = meta.term, .config_index = meta.config_index, .config = meta.config };
	struct dump_head head = { .format = STATE_FORMAT, .index = meta.index, .term = meta.term };
	if (rc == 0)
		rc = write_some(w, &h, sizeof(h), e);
	if (rc == 0)
		rc = write_some(w, out->config.data, out->config.len, e);
	if (rc == 0)
		rc = dump_write(txn, tables, &head, write_some, w, e);
	return rc == 0 ? flush(w, e) : rc;
}

int snap_write(const struct disk *d, struct kv *kv, const struct kv_table *const *tables, const char *dir, struct snap_head *head,
	       struct err *e)
{
	AUTO_FREE char *tmp = xasprintf("%s/checkpoint.tmp", dir);
	AUTO_FREE char *path = xasprintf("%s/checkpoint", dir);
	AUTO_TXN struct kv_txn *txn = NULL;
	int fd = d->open(d->ctx, tmp, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0)
		return err_sys(e, "create '%s'", tmp);
	struct writer w = { d, fd, tmp, 0, BUF_INIT };
	int rc = kv_begin(kv, false, &txn, e);
	if (rc == 0)
		rc = write_all(txn, tables, &w, head, e);
	if (rc == 0 && d->sync(d->ctx, fd) != 0)
		rc = err_sys(e, "sync '%s'", tmp);
	d->close(d->ctx, fd);
	buf_fini(&w.waiting);
	if (rc == 0 && d->rename(d->ctx, tmp, path) != 0)
		rc = err_sys(e, "rename '%s'", tmp);
	if (rc == 0 && d->sync_dir(d->ctx, dir) != 0)
		rc = err_sys(e, "sync directory '%s'", dir);
	if (rc != 0)
		(void)d->remove(d->ctx, tmp);    /* gives the space back */
	return rc;
}

/* On a worker. */
static void snap_run(struct work *w)
{
	struct snap_job *job = container_of(w, struct snap_job, work);
	AUTO_FREE char *old = xasprintf("%s/checkpoint.mdb", job->dir);
	if (snap_write(job->disk, job->kv, job->tables, job->dir, &job->head, &job->err) == 0)
		(void)unlink(old);               /* of format 1; a later start removes what stays */
	pthread_mutex_lock(&job->lock);
	job->finished = true;
	pthread_cond_signal(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

static void job_free(struct snap_job *job)
{
	pthread_mutex_destroy(&job->lock);
	pthread_cond_destroy(&job->changed);
	buf_fini(&job->head.config);
	free(job->dir);
	free(job);
}

static void snap_done(struct work *w)
{
	struct snap_job *job = container_of(w, struct snap_job, work);
	struct store *s = job->store;
	if (s) {
		s->snap = NULL;
		s->snap_due = raft_io_written(s) + MAX(s->checkpoint_bytes, (uint64_t)kv_bytes(s->fsm.kv));
		if (job->err.code != 0) {
			LOG(WARN, "checkpoint failed, the log grows on", "error=\"%s\"", job->err.text);
		} else {
			s->snap_index = job->head.index;
			s->snap_installed = 0;
			raft_io_checkpointed(s, &job->head);
		}
	}
	job_free(job);
}

void snap_turn(struct store *s)
{
	bool due = raft_io_written(s) >= s->snap_due || s->snap_wanted;
	if (s->snap || s->stopped.code != 0 || !due || s->fsm.meta.index == 0 || raft_io_installing(s))
		return;
	s->snap_wanted = false;
	struct snap_job *job = xcalloc(1, sizeof(*job));
	pthread_mutex_init(&job->lock, NULL);
	pthread_cond_init(&job->changed, NULL);
	job->store = s;
	job->kv = s->fsm.kv;
	job->disk = s->disk;
	job->tables = s->tables;
	job->dir = xstrdup(s->dir);
	s->snap = job;
	work_submit(s->loop, &job->work, snap_run, snap_done);
}

void snap_close(struct store *s)
{
	struct snap_job *job = s->snap;
	if (!job)
		return;
	pthread_mutex_lock(&job->lock);
	while (!job->finished)
		pthread_cond_wait(&job->changed, &job->lock);
	job->store = NULL;
	pthread_mutex_unlock(&job->lock);
	(void)work_cancel(&job->work);       /* it has run: snap_done frees it */
	s->snap = NULL;
}
