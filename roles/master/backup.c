/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master's side of a backup: on `begin` a worker writes the state aside, into a file without a name below the state
 * directory, so that a slow reader holds no transaction open; the pieces are read from there. The file is gone with the
 * connection, with a `begin` of another, or when nobody asked for a piece in a while. Only masters' certificates may ask.
 *
 *   none --begin--> FRESH --what was acknowledged is applied--> DUMPING (worker) --> SERVING --closed, idle--> none
 */
#include "roles/master/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>

#include "gen/version.h"
#include "net/base/log.h"
#include "net/limits.h"
#include "net/pb_util.h"
#include "proto/backup.pb.h"
#include "roles/identity_int.h"
#include "store/dump.h"

#define BACKUP_IDLE_US (2 * MINUTE)
#define BACKUP_FRESH_US (5 * SEC)

struct backup_job {
	struct work work;
	struct backups *owner;           /* NULL: nobody wants it any more; it frees itself */
	struct store *store;             /* borrowed */
	struct rpc_peer *peer;           /* borrowed: whose it is */
	struct rpc_req *req;             /* of `begin`, until it is answered */
	enum { JOB_FRESH, JOB_DUMPING, JOB_SERVING } state;
	bool keys;
	struct store_fresh fresh;
	struct dump_head head;
	int fd;
	uint64_t bytes;
	struct loop_timer idle;
	struct err err;
	pthread_mutex_t lock;            /* guards finished */
	pthread_cond_t changed;
	bool finished;
};

struct backups {
	struct master *master;           /* borrowed */
	struct backup_job *job;          /* owned; NULL: none */
};

static void job_free(struct backup_job *job)
{
	loop_timer_stop(&job->idle);
	if (job->fd >= 0)
		(void)close(job->fd);
	pthread_mutex_destroy(&job->lock);
	pthread_cond_destroy(&job->changed);
	free(job);
}

/* While its worker runs it cannot be freed. */
static void drop(struct backups *b)
{
	struct backup_job *job = MOVE(b->job);
	struct err e = { 0 };
	if (!job)
		return;
	loop_timer_stop(&job->idle);
	job->owner = NULL;
	job->peer = NULL;
	if (job->req) {
		(void)err_set(&e, E_CLOSED, "the backup was given up");
		rpc_fail(MOVE(job->req), &e);
	}
	if (job->state == JOB_FRESH)
		store_fresh_cancel(&job->fresh);
	if (job->state != JOB_DUMPING || work_cancel(&job->work))
		job_free(job);
}

static void give_up(struct backups *b, const struct err *e)
{
	LOG(WARN, "backup failed", "error=\"%s\"", e->text);
	rpc_fail(MOVE(b->job->req), e);
	drop(b);
}

static void on_idle(struct loop_timer *t)
{
	struct backup_job *job = container_of(t, struct backup_job, idle);
	LOG(WARN, "backup dropped, nobody fetches it", "bytes=%llu", (unsigned long long)job->bytes);
	drop(job->owner);
}

static int write_aside(void *arg, const void *data, size_t len, struct err *e)
{
	struct backup_job *job = arg;
	const uint8_t *p = data;
	while (len > 0) {
		ssize_t n = write(job->fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "write the backup aside in the master's state directory");
		job->bytes += (uint64_t)n;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* On a worker. */
static void dump_run(struct work *w)
{
	struct backup_job *job = container_of(w, struct backup_job, work);
	(void)store_dump(job->store, write_aside, job, &job->head, &job->err);
	pthread_mutex_lock(&job->lock);
	job->finished = true;
	pthread_cond_signal(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

static int read_key(struct node *n, const char *name, char **out, struct arena *a, struct err *e)
{
	AUTO_FREE char *text = NULL;
	int rc = identity_read(n, name, &text, e);
	if (rc != 0)
		return err_wrap(e, "this master cannot give the cluster's keys; ask another one, or leave them out with --no-keys");
	*out = arena_strdup(a, text);
	explicit_bzero(text, strlen(text));
	return 0;
}

static int read_keys(struct node *n, struct arena *a, backup_Keys *out, struct err *e)
{
	int rc = read_key(n, "ca.pem", &out->ca_pem, a, e);
	if (rc == 0)
		rc = read_key(n, "ca.key", &out->ca_key_pem, a, e);
	if (rc == 0)
		rc = read_key(n, "token", &out->token, a, e);
	if (rc == 0)
		out->token[strcspn(out->token, "\r\n")] = '\0';
	return rc;
}

static int answer_begin(struct backup_job *job, struct master *m, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	backup_Keys keys = { 0 };
	backup_Head head = {
		.cluster_id = arena_strdup(&a, store_cluster_id(m->store)), .cluster = m->config.common.cluster,
		.has_state_format = true, .state_format = job->head.format, .has_index = true, .index = job->head.index,
		.has_term = true, .term = job->head.term, .has_unix_us = true, .unix_us = loop_unix_us(m->node.loop),
		.version = arena_strdup(&a, DCOS_NODE_VERSION), .has_dump_bytes = true, .dump_bytes = job->bytes, .has_keys = true, .keys = job->keys,
		.master = m->node.name,
	};
	backup_Piece piece = { .head = &head, .keys = job->keys ? &keys : NULL };
	int rc = job->keys ? read_keys(&m->node, &a, &keys, e) : 0;
	if (rc == 0)
		rc = pb_write(backup_Piece_fields, &piece, &out, e);
	if (rc == 0)
		rpc_reply(MOVE(job->req), buf_view(&out));
	return rc;
}

static void dump_done(struct work *w)
{
	struct backup_job *job = container_of(w, struct backup_job, work);
	struct backups *b = job->owner;
	if (!b) {
		job_free(job);
		return;
	}
	job->state = JOB_SERVING;
	if (job->err.code == 0)
		(void)answer_begin(job, b->master, &job->err);
	if (job->err.code != 0) {
		struct err e = job->err;
		give_up(b, &e);
		return;
	}
	LOG(INFO, "backup written aside", "index=%llu bytes=%llu", (unsigned long long)job->head.index, (unsigned long long)job->bytes);
	loop_timer_start(b->master->node.loop, &job->idle, BACKUP_IDLE_US, on_idle);
}

static void on_fresh(struct store_fresh *f, const struct err *e)
{
	struct backup_job *job = container_of(f, struct backup_job, fresh);
	if (e->code != 0) {
		give_up(job->owner, e);
		return;
	}
	job->state = JOB_DUMPING;
	work_submit(job->owner->master->node.loop, &job->work, dump_run, dump_done);
}

static int begin(struct backups *b, struct rpc_peer *p, struct rpc_req *req, bool keys, struct err *e)
{
	struct master *m = b->master;
	if (b->job && b->job->state != JOB_SERVING)
		return err_set(e, E_BUSY, "this master is making another backup; try again when that one is done");
	drop(b);
	int fd = open(m->node.config->state_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "make a file without a name in '%s'", m->node.config->state_dir);
	struct backup_job *job = xcalloc(1, sizeof(*job));
	pthread_mutex_init(&job->lock, NULL);
	pthread_cond_init(&job->changed, NULL);
	job->owner = b;
	job->store = m->store;
	job->peer = p;
	job->req = req;
	job->keys = keys;
	job->fd = fd;
	b->job = job;
	store_freshen(m->store, BACKUP_FRESH_US, &job->fresh, on_fresh);
	return 0;
}

static int serve_piece(struct backups *b, struct rpc_peer *p, struct rpc_req *req, uint64_t offset, struct err *e)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct backup_job *job = b->job;
	if (!job || job->state != JOB_SERVING || job->peer != p || offset >= job->bytes)
		return err_set(e, E_NOTFOUND, "the master has no such piece of a backup; begin again");
	size_t len = (size_t)MIN((uint64_t)LIMIT_BACKUP_PIECE_BYTES, job->bytes - offset);
	AUTO_FREE pb_bytes_array_t *data = xmalloc(PB_BYTES_ARRAY_T_ALLOCSIZE(len));
	ssize_t n = pread(job->fd, data->bytes, len, (off_t)offset);
	if (n != (ssize_t)len)
		return err_sys(e, "read the backup that was written aside");
	data->size = (pb_size_t)len;
	backup_Piece piece = { .data = data };
	int rc = pb_write(backup_Piece_fields, &piece, &out, e);
	if (rc != 0)
		return rc;
	loop_timer_start(b->master->node.loop, &job->idle, BACKUP_IDLE_US, on_idle);
	rpc_reply(req, buf_view(&out));
	return 0;
}

static int check_asker(const struct rpc_peer *p, struct err *e)
{
	char name[128];
	if (rpc_peer_name(p, name, sizeof(name)) && cstr_starts(name, "master/"))
		return 0;
	return err_set(e, E_DENIED, "only masters may take a backup; run it on one, with its --state-dir");
}

void backups_serve(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct master *m = rpc_peer_arg(p);
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct err e = { 0 };
	backup_Read in = { 0 };
	if (!req)
		return;
	int rc = check_asker(p, &e);
	if (rc == 0)
		rc = pb_read(&a, backup_Read_fields, payload, &in, &e);
	if (rc == 0)
		rc = in.begin ? begin(m->backups, p, req, in.keys, &e) : serve_piece(m->backups, p, req, in.offset, &e);
	if (rc != 0) {
		LOG(WARN, "backup refused", "reason=\"%s\"", e.text);
		rpc_fail(req, &e);
	}
}

void backups_gone(struct backups *b, struct rpc_peer *p)
{
	if (b->job && b->job->peer == p)
		drop(b);
}

struct backups *backups_new(struct master *m)
{
	struct backups *b = xcalloc(1, sizeof(*b));
	b->master = m;
	return b;
}

void backups_free(struct backups *b)
{
	struct backup_job *job = b->job;
	if (job && job->state == JOB_DUMPING) {              /* the store must not be closed under it */
		pthread_mutex_lock(&job->lock);
		while (!job->finished)
			pthread_cond_wait(&job->changed, &job->lock);
		pthread_mutex_unlock(&job->lock);
	}
	drop(b);
	free(b);
}
