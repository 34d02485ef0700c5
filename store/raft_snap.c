/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of the replicated state. LMDB is written without syncs, so after a crash its file may be anything; only two
 * states of it are trusted:
 *
 *   dir/kv             when dir/clean stands beside it: it was synced, and nothing was written since
 *   dir/checkpoint.mdb a copy made by a worker while the loop went on, synced before it got its name
 *
 * The log is cut only behind a checkpoint. A start that is not clean drops dir/kv, takes the checkpoint (or an empty state while
 * there is none) and replays the log. A checkpoint is due when the log has grown by checkpoint_bytes or by the size of the state,
 * whichever is more: so copying never costs more than the log itself.
 */
#include "store/state_int.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/log.h"

#define COPY_CHUNK ((size_t)(256 * KIB))

/* A checkpoint being made. Lives as raft_io.c's log job does. */
struct snap_job {
	struct work work;
	struct store *store;             /* borrowed; NULL: closed meanwhile */
	struct kv *kv;                   /* borrowed */
	char *dir;                       /* owned */
	uint64_t index, term;            /* applied before the copy began: the copy holds at least that */
	struct err err;
	pthread_mutex_t lock;            /* guards finished */
	pthread_cond_t changed;
	bool finished;
};

static int remove_file(const char *path, struct err *e)
{
	return unlink(path) == 0 || errno == ENOENT ? 0 : err_sys(e, "remove '%s'", path);
}

static int copy_all(int from, int to, const char *path, struct err *e)
{
	AUTO_FREE uint8_t *chunk = xmalloc(COPY_CHUNK);
	off_t at = 0;
	for (ssize_t n; (n = pread(from, chunk, COPY_CHUNK, at)) != 0; at += n) {
		if (n < 0)
			return err_sys(e, "read the checkpoint for '%s'", path);
		int rc = disk_write(&disk_real, to, path, chunk, (size_t)n, at, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* dir/kv becomes a copy of the checkpoint, or is emptied. */
static int restore(struct store *s, struct err *e)
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
	if (rc != 0)
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

int snap_boot(struct store *s, struct err *e)
{
	AUTO_FREE char *kv = xasprintf("%s/kv", s->dir);
	AUTO_FREE char *mark = xasprintf("%s/clean", s->dir);
	bool clean = access(mark, F_OK) == 0;
	int rc = clean ? drop_clean_mark(s, mark, e) : restore(s, e);
	return rc == 0 ? fsm_open(&s->fsm, kv, s->tables, e) : rc;
}

int snap_mark_clean(struct store *s, struct err *e)
{
	AUTO_FREE char *mark = xasprintf("%s/clean", s->dir);
	int rc = kv_sync(s->fsm.kv, e);
	return rc == 0 ? disk_write_file(s->disk, s->dir, mark, "", 0, e) : rc;
}

/* ---- making one ---- */

static int make_checkpoint(const struct snap_job *job, struct err *e)
{
	AUTO_FREE char *tmp = xasprintf("%s/checkpoint.tmp", job->dir);
	AUTO_FREE char *path = xasprintf("%s/checkpoint.mdb", job->dir);
	AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "create '%s'", tmp);
	int rc = kv_copy(job->kv, fd, e);
	if (rc == 0 && rename(tmp, path) != 0)
		rc = err_sys(e, "rename '%s'", tmp);
	if (rc == 0 && disk_real.sync_dir(NULL, job->dir) != 0)
		rc = err_sys(e, "sync directory '%s'", job->dir);
	if (rc != 0)
		(void)unlink(tmp);           /* gives the space back */
	return rc;
}

/* On a worker. */
static void snap_run(struct work *w)
{
	struct snap_job *job = container_of(w, struct snap_job, work);
	(void)make_checkpoint(job, &job->err);
	pthread_mutex_lock(&job->lock);
	job->finished = true;
	pthread_cond_signal(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

static void job_free(struct snap_job *job)
{
	pthread_mutex_destroy(&job->lock);
	pthread_cond_destroy(&job->changed);
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
		if (job->err.code != 0)
			LOG(WARN, "checkpoint failed, the log grows on", "error=\"%s\"", job->err.text);
		else
			raft_io_checkpointed(s, job->index, job->term);
	}
	job_free(job);
}

void snap_turn(struct store *s)
{
	if (s->snap || s->stopped.code != 0 || raft_io_written(s) < s->snap_due || s->fsm.index == 0)
		return;
	struct snap_job *job = xcalloc(1, sizeof(*job));
	pthread_mutex_init(&job->lock, NULL);
	pthread_cond_init(&job->changed, NULL);
	job->store = s;
	job->kv = s->fsm.kv;
	job->dir = xstrdup(s->dir);
	job->index = s->fsm.index;
	job->term = s->fsm.term;
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
