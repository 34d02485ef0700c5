/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done to the log, in the order it was asked for, on one worker at a time:
 *
 *   queued jobs --run: all appends at the front as one write and one sync, or one job of another kind--> done --> next run
 *
 * A batch or a truncation that meets a full disk waits and is tried again, and what comes after it waits too; nothing of it is
 * acknowledged meanwhile. Any other failure of a write ends the store.
 */
#include "store/raft_int.h"

#include "net/base/log.h"

#define RUN_BYTES ((size_t)(4 * MIB))                    /* of appends that are written together */
#define JOB_RETRY_US SEC

struct log_job *job_new(struct raft_io *io, enum job_kind kind)
{
	struct log_job *job = xcalloc(1, sizeof(*job));
	job->kind = kind;
	buf_init(&job->out, BUF_MAX_DEFAULT);
	list_push(&io->jobs, &job->link);
	return job;
}

static void job_free(struct log_job *job)
{
	list_remove(&job->link);
	for (size_t i = 0; i < job->count; i++)
		command_unref(job->entries[i]);
	free(job->entries);
	free(job->frame);
	buf_fini(&job->out);
	free(job);
}

static void run_free(struct log_run *run)
{
	for (struct list *link; (link = list_pop(&run->jobs));)
		job_free(list_entry(link, struct log_job, link));
	pthread_mutex_destroy(&run->lock);
	pthread_cond_destroy(&run->changed);
	free(run);
}

/* ---- on a worker ---- */

static void run_appends(struct log_run *run)
{
	size_t count = 0, n = 0;
	list_each(&run->jobs, link)
		count += list_entry(link, struct log_job, link)->count;
	AUTO_FREE struct log_entry *entries = xcalloc(count, sizeof(*entries));
	list_each(&run->jobs, link) {
		struct log_job *job = list_entry(link, struct log_job, link);
		for (size_t i = 0; i < job->count; i++) {
			const struct command *c = job->entries[i];
			entries[n++] = (struct log_entry){ c->index, c->term, c->type, str_n((const char *)c->data, c->len) };
		}
	}
	run->rc = raft_log_append(run->log, entries, count, &run->err);
}

static int take_record(void *arg, const struct log_entry *entry, struct err *e)
{
	struct log_job *job = arg;
	(void)e;
	if (job->out.len == 0 && entry->index != job->index)
		return LOG_STOP;                 /* cut meanwhile: nothing is sent, and the library finds out */
	if (entry->index > job->upto || (job->out.len > 0 && job->out.len + log_entry_bytes(entry->data.len) > job->bytes))
		return LOG_STOP;
	log_record_put(&job->out, entry, entry->index);
	return 0;
}

static void run_other(struct log_run *run, struct log_job *job)
{
	switch (job->kind) {
	case JOB_TRUNCATE:
		run->rc = raft_log_truncate(run->log, job->index, &run->err);
		break;
	case JOB_PREPARE:
		run->rc = raft_log_prepare(run->log, &run->err);
		break;
	case JOB_READ:
		job->rc = raft_log_read(run->log, job->index, take_record, job, &job->err);
		job->rc = job->rc == LOG_STOP ? 0 : job->rc;
		break;
	case JOB_INSTALL:
		job->rc = snap_install_run(run->io, run->log, &job->err);
		break;
	case JOB_APPEND:
		break;
	}
}

static void run_work(struct work *w)
{
	struct log_run *run = container_of(w, struct log_run, work);
	struct err ignored;
	if (run->cut > 0)
		(void)raft_log_cut(run->log, run->cut, &run->cut_err);      /* first: it makes room */
	if (!list_empty(&run->jobs)) {
		struct log_job *job = list_entry(run->jobs.next, struct log_job, link);
		if (job->kind == JOB_APPEND)
			run_appends(run);
		else
			run_other(run, job);
	}
	if (run->rc == 0 && raft_log_wants_prepare(run->log))
		(void)raft_log_prepare(run->log, &ignored);     /* early; a batch that needs it tries again and reports */
	pthread_mutex_lock(&run->lock);
	run->finished = true;
	pthread_cond_signal(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

/* ---- on the loop ---- */

static void run_done(struct work *w);

static void run_submit(struct raft_io *io)
{
	io->run->rc = 0;
	io->run->err.code = io->run->cut_err.code = 0;
	io->run->finished = false;
	work_submit(io->store->loop, &io->run->work, run_work, run_done);
}

static void run_retry(struct loop_timer *t)
{
	run_submit(container_of(t, struct raft_io, retry));
}

static void wait_for_space(struct raft_io *io)
{
	struct store *s = io->store;
	if (s->full.code == 0)
		LOG(WARN, "disk full, log waits", "error=\"%s\"", io->run->err.text);
	s->full = io->run->err;
	state_refuse_queue(s, &s->full);
	loop_timer_start(s->loop, &io->retry, JOB_RETRY_US, run_retry);
}

static void appended(struct raft_io *io, struct log_run *run)
{
	uint64_t report = 0;
	list_each(&run->jobs, link) {
		struct log_job *job = list_entry(link, struct log_job, link);
		io->claimed -= job->bytes;
		io->written += job->bytes;
		if (job->report != 0)
			report = job->report;
	}
	io->store->full.code = 0;
	if (report == 0 || report <= io->raft.last_stored)
		return;
	io->persisted = report;
	struct raft_event event = { .type = RAFT_PERSISTED_ENTRIES, .persisted_entries = { .index = report } };
	(void)raft_io_step(io, &event, NULL, 0);
}

static void job_finished(struct raft_io *io, struct log_job *job)
{
	if (job->kind == JOB_INSTALL)
		snap_install_done(io, job);
	else if (job->kind != JOB_READ)
		return;
	else if (job->rc != 0)
		state_stop(io->store, &job->err);
	else if (job->frame)
		net_records_read(io, job);
	else {
		io->reading = false;
		state_apply_records(io->store, buf_view(&job->out));
	}
}

static void run_done(struct work *w)
{
	struct log_run *run = container_of(w, struct log_run, work);
	struct raft_io *io = run->io;
	if (!io) {
		run_free(run);
		return;
	}
	struct store *s = io->store;
	struct log_job *first = list_empty(&run->jobs) ? NULL : list_entry(run->jobs.next, struct log_job, link);
	if (run->rc == E_NOSPACE && first && (first->kind == JOB_APPEND || first->kind == JOB_TRUNCATE)) {
		wait_for_space(io);
		return;
	}
	io->run = NULL;
	io->room = raft_log_room(io->log);
	if (run->cut_err.code != 0)
		LOG(WARN, "old log not removed", "error=\"%s\"", run->cut_err.text);
	if (run->rc == E_NOSPACE)
		state_refuse_queue(s, &run->err);
	else if (run->rc != 0)
		state_stop(s, &run->err);
	else if (first && first->kind == JOB_APPEND)
		appended(io, run);
	else if (first && s->stopped.code == 0)
		job_finished(io, first);
	run_free(run);
	jobs_go(io);
}

void jobs_go(struct raft_io *io)
{
	if (io->run || io->store->stopped.code != 0 || (list_empty(&io->jobs) && io->cut == 0))
		return;
	struct log_run *run = xcalloc(1, sizeof(*run));
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->changed, NULL);
	list_init(&run->jobs);
	run->io = io;
	run->log = io->log;
	run->cut = io->cut;
	io->cut = 0;
	io->run = run;
	size_t bytes = 0;
	for (struct list *link; !list_empty(&io->jobs);) {
		struct log_job *job = list_entry(io->jobs.next, struct log_job, link);
		bool first = list_empty(&run->jobs);
		if (!first && (job->kind != JOB_APPEND || bytes + job->bytes > RUN_BYTES))
			break;
		bytes += job->bytes;
		link = list_pop(&io->jobs);
		list_push(&run->jobs, link);
		if (job->kind != JOB_APPEND)
			break;
	}
	run_submit(io);
}

static void clamp_list(struct list *jobs, uint64_t index)
{
	list_each(jobs, link) {
		struct log_job *job = list_entry(link, struct log_job, link);
		if (job->kind != JOB_APPEND || job->report < index)
			continue;
		job->report = job->entries[0]->index < index ? index - 1 : 0;
	}
}

void jobs_clamp(struct raft_io *io, uint64_t index)
{
	if (io->run)
		clamp_list(&io->run->jobs, index);
	clamp_list(&io->jobs, index);
}

void jobs_close(struct raft_io *io)
{
	bool waiting = loop_timer_active(&io->retry);        /* a run between two tries is not with a worker */
	loop_timer_stop(&io->retry);
	if (io->run && waiting) {
		run_free(io->run);
	} else if (io->run) {
		pthread_mutex_lock(&io->run->lock);
		while (!io->run->finished)
			pthread_cond_wait(&io->run->changed, &io->run->lock);
		io->run->io = NULL;
		pthread_mutex_unlock(&io->run->lock);
		(void)work_cancel(&io->run->work);           /* it has run: run_done frees it */
	}
	io->run = NULL;
	for (struct list *link; (link = list_pop(&io->jobs));)
		job_free(list_entry(link, struct log_job, link));
}
