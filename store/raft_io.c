/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the Raft library, a core without I/O: raft_step(event) says what to do, this file does it and reports back.
 *
 *   queued commands --SUBMIT--> entries to write --worker: one write, one sync--> PERSISTED --> commit index --> apply, answer
 *
 * One log job is under way at a time; commands that come meanwhile are the next batch. Space for a batch is reserved before it
 * is submitted, because what was submitted cannot be taken back: a full disk is found while "no" is still an honest answer.
 *
 * A cluster of one voter elects itself inside the START event, without counting up the term, and needs no clock. This file then
 * counts the term up itself (any member may at any time), so that every leadership has a term of its own.
 *
 * Whose memory (raft 0.22.1, read in its sources): of START the entries stay ours when it succeeds and are freed by the library
 * when it fails, the configuration in the metadata becomes the library's; of SUBMIT the entries stay ours, the array must live
 * until the update has been looked at, and `batch` must not be NULL; of CONFIGURATION and SNAPSHOT the configuration becomes the
 * library's; an update's arrays are the library's, except `entries`, which is the array of the event.
 */
#include "store/state_int.h"

#include <pthread.h>
#include <raft.h>

#include "net/base/log.h"

#define BATCH_MAX 1024                                   /* entries of one write */
#define BATCH_BYTES ((size_t)(1 * MIB))                  /* a batch is closed when it has so much */
#define REPLAY_MAX 1024
#define REPLAY_BYTES ((size_t)(4 * MIB))                 /* kept in memory before it is applied */
#define JOB_RETRY_US SEC
#define ELECTION_MS 1000
#define HEARTBEAT_MS 100

static_assert(ENTRY_COMMAND == (int)RAFT_COMMAND, "entry types are the library's");
static_assert(ENTRY_BARRIER == (int)RAFT_BARRIER, "entry types are the library's");
static_assert(ENTRY_CHANGE == (int)RAFT_CHANGE, "entry types are the library's");

/*
 * What a worker does to the log. Owned by raft_io until it is done, by itself after raft_io_close: the loop may deliver the
 * completion later than that.
 */
struct log_job {
	struct work work;
	struct raft_io *io;              /* borrowed; NULL: closed meanwhile */
	struct raft_log *log;            /* borrowed */
	struct log_entry *entries;       /* owned; their data is that of pending commands */
	size_t count;
	uint64_t cut;                    /* remove what lies before and at this index; 0: nothing */
	int rc;
	struct err err, cut_err;
	pthread_mutex_t lock;            /* guards finished */
	pthread_cond_t changed;
	bool finished;
};

struct raft_io {
	struct store *store;             /* borrowed */
	struct raft raft;
	struct raft_log *log;            /* owned; the job's while there is one */
	struct raft_vote vote;
	struct log_job *job;             /* owned; NULL: none under way */
	struct loop_timer timeout, retry;
	uint64_t persisted;              /* index of the last entry on disk */
	uint64_t lead_from;              /* applied index at which a new leader has caught up */
	uint64_t cut;                    /* for the next job */
	uint64_t written;                /* bytes of log: found at the start, and written since */
	uint64_t snapshot_index;         /* of the snapshot the library knows of */
	bool bootstrapped;               /* by this start: its term has had no leader */
	bool initialised;                /* raft_close has to be called */
};

static void step(struct raft_io *io, struct raft_event *event);

static int raft_failed(struct raft_io *io, int rc, const char *what, struct err *e)
{
	return err_set(e, rc == RAFT_NOSPACE ? E_NOSPACE : E_IO, "%s: %s", what,
		       raft_errmsg(&io->raft)[0] ? raft_errmsg(&io->raft) : raft_strerror(rc));
}

static bool alone(const struct raft_io *io)
{
	return io->raft.configuration.n == 1 && io->raft.configuration.servers[0].id == io->store->member_id;
}

bool raft_io_leads(const struct store *s)
{
	return s->raft->raft.state == RAFT_LEADER && s->fsm.index >= s->raft->lead_from;
}

uint64_t raft_io_term(const struct store *s) { return raft_current_term(&s->raft->raft); }
uint64_t raft_io_written(const struct store *s) { return s->raft->written; }

/* ---- log jobs ---- */

static void job_free(struct log_job *job)
{
	pthread_mutex_destroy(&job->lock);
	pthread_cond_destroy(&job->changed);
	free(job->entries);
	free(job);
}

/* On a worker. */
static void job_run(struct work *w)
{
	struct log_job *job = container_of(w, struct log_job, work);
	struct err ignored;
	if (job->cut > 0)
		(void)raft_log_cut(job->log, job->cut, &job->cut_err);      /* first: it makes room */
	if (job->count > 0)
		job->rc = raft_log_append(job->log, job->entries, job->count, &job->err);
	else if (job->cut == 0)
		job->rc = raft_log_prepare(job->log, &job->err);
	if (job->rc == 0 && raft_log_wants_prepare(job->log))
		(void)raft_log_prepare(job->log, &ignored);     /* early; a batch that needs it tries again and reports */
	pthread_mutex_lock(&job->lock);
	job->finished = true;
	pthread_cond_signal(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

static void job_done(struct work *w);

static void job_submit(struct raft_io *io)
{
	io->job->rc = 0;
	io->job->err.code = io->job->cut_err.code = 0;
	io->job->finished = false;
	work_submit(io->store->loop, &io->job->work, job_run, job_done);
}

static struct log_job *job_new(struct raft_io *io)
{
	struct log_job *job = xcalloc(1, sizeof(*job));
	assert(!io->job);
	pthread_mutex_init(&job->lock, NULL);
	pthread_cond_init(&job->changed, NULL);
	job->io = io;
	job->log = io->log;
	job->cut = io->cut;
	io->cut = 0;
	io->job = job;
	return job;
}

static void job_retry(struct loop_timer *t)
{
	job_submit(container_of(t, struct raft_io, retry));
}

/* A batch met a full disk: nothing of it is acknowledged; it waits for space, and new commands are refused meanwhile. */
static void job_wait_for_space(struct raft_io *io)
{
	struct store *s = io->store;
	if (s->full.code == 0)
		LOG(WARN, "disk full, log waits", "error=\"%s\"", io->job->err.text);
	s->full = io->job->err;
	state_refuse_queue(s, &s->full);
	loop_timer_start(s->loop, &io->retry, JOB_RETRY_US, job_retry);
}

static void job_done(struct work *w)
{
	struct log_job *job = container_of(w, struct log_job, work);
	struct raft_io *io = job->io;
	if (!io) {
		job_free(job);
		return;
	}
	struct store *s = io->store;
	if (job->rc == E_NOSPACE && job->count > 0) {
		job_wait_for_space(io);
		return;
	}
	io->job = NULL;
	if (job->cut_err.code != 0)
		LOG(WARN, "old log not removed", "error=\"%s\"", job->cut_err.text);
	uint64_t last = job->count > 0 ? job->entries[job->count - 1].index : 0;
	if (job->rc == E_NOSPACE) {
		state_refuse_queue(s, &job->err);
	} else if (job->rc != 0) {
		state_stop(s, &job->err);
	} else if (last > 0) {
		s->full.code = 0;
		io->persisted = last;
		for (size_t i = 0; i < job->count; i++)
			io->written += log_entry_bytes(job->entries[i].data.len);
		step(io, &(struct raft_event){ .type = RAFT_PERSISTED_ENTRIES, .persisted_entries = { .index = last } });
	}
	job_free(job);
}

/* ---- what the library wants done ---- */

static void write_entries(struct raft_io *io, const struct raft_update *u)
{
	struct log_job *job = job_new(io);
	job->entries = xcalloc(u->entries.n, sizeof(*job->entries));
	job->count = u->entries.n;
	struct list *link = io->store->pending.prev;
	for (size_t i = job->count; i-- > 0; link = link->prev) {
		struct command *c = list_entry(link, struct command, link);
		assert(c->index == u->entries.index + i);
		job->entries[i] = (struct log_entry){ c->index, c->term, c->type, str_n((const char *)c->data, c->len) };
	}
	job_submit(io);
}

static int write_vote(struct raft_io *io, struct err *e)
{
	io->vote.term = raft_current_term(&io->raft);
	io->vote.voted_for = raft_voted_for(&io->raft);
	return raft_vote_store(io->store->disk, io->store->dir, &io->vote, e);
}

static void on_timeout(struct loop_timer *t)
{
	step(container_of(t, struct raft_io, timeout), &(struct raft_event){ .type = RAFT_TIMEOUT });
}

static raft_time now_ms(const struct raft_io *io)
{
	return (raft_time)(loop_now_us(io->store->loop) / MSEC);
}

static void set_timeout(struct raft_io *io)
{
	if (alone(io) && io->raft.state == RAFT_LEADER) {
		loop_timer_stop(&io->timeout);
		return;
	}
	raft_time due = raft_timeout(&io->raft), now = now_ms(io);
	loop_timer_start(io->store->loop, &io->timeout, due > now ? (int64_t)(due - now) * MSEC : 0, on_timeout);
}

static void handle_update(struct raft_io *io, const struct raft_update *u)
{
	struct store *s = io->store;
	struct err e = { 0 };
	if ((u->flags & (RAFT_UPDATE_CURRENT_TERM | RAFT_UPDATE_VOTED_FOR)) && write_vote(io, &e) != 0) {
		state_stop(s, &e);
		return;
	}
	if (u->flags & (RAFT_UPDATE_STATE)) {
		io->lead_from = raft_last_index(&io->raft);
		LOG(INFO, "raft state changed", "state=%s term=%llu last=%llu", raft_state_name(io->raft.state),
		    raft_current_term(&io->raft), (unsigned long long)io->lead_from);
	}
	if (u->flags & (RAFT_UPDATE_ENTRIES))
		write_entries(io, u);
	assert(u->messages.n == 0);     /* the only member has nobody to write to */
	if (u->flags & (RAFT_UPDATE_COMMIT_INDEX)) {
		s->commit = MIN(raft_commit_index(&io->raft), io->persisted);   /* the state never runs ahead of its own log */
		state_apply(s);
	}
	set_timeout(io);
}

static void step(struct raft_io *io, struct raft_event *event)
{
	struct raft_update update = { 0 };
	struct err e = { 0 };
	event->time = now_ms(io);
	int rc = raft_step(&io->raft, event, &update);
	if (rc != 0) {
		(void)raft_failed(io, rc, "raft", &e);
		state_stop(io->store, &e);
		return;
	}
	handle_update(io, &update);
}

static int decode_config(const struct buf *b, struct raft_configuration *out, struct err *e)
{
	struct raft_buffer raw = { b->data, b->len };
	int rc = raft_configuration_decode(&raw, out);
	return rc == 0 ? 0 : err_set(e, E_CORRUPT, "the list of members is damaged: %s", raft_strerror(rc));
}

void raft_io_applied(struct store *s, const struct command *c)
{
	struct err e = { 0 };
	struct raft_event event = { .type = RAFT_CONFIGURATION, .configuration = { .index = c->index } };
	if (c->type != ENTRY_CHANGE)
		return;
	if (decode_config(&s->fsm.config, &event.configuration.conf, &e) != 0)
		state_stop(s, &e);
	else
		step(s->raft, &event);
}

void raft_io_checkpointed(struct store *s, uint64_t index, uint64_t term)
{
	struct raft_io *io = s->raft;
	struct err e = { 0 };
	struct raft_event event = { .type = RAFT_SNAPSHOT };
	if (index == io->snapshot_index) {      /* the library knows it from the start and takes none twice */
		io->cut = index;
		return;
	}
	event.snapshot.metadata.index = index;
	event.snapshot.metadata.term = term;
	event.snapshot.metadata.configuration_index = s->fsm.config_index;
	if (decode_config(&s->fsm.config, &event.snapshot.metadata.configuration, &e) != 0) {
		state_stop(s, &e);
		return;
	}
	io->cut = index;
	io->snapshot_index = index;
	step(io, &event);
}

/* ---- turns ---- */

/* Move up to a batch of queued commands to pending, as entries for the library. */
static unsigned take_batch(struct raft_io *io, struct raft_entry *entries, size_t *bytes, bool take)
{
	struct store *s = io->store;
	unsigned n = 0;
	*bytes = 0;
	list_each_safe(&s->queue, link) {
		struct command *c = list_entry(link, struct command, link);
		size_t size = log_entry_bytes(c->len);
		if (n == BATCH_MAX || (n > 0 && *bytes + size > BATCH_BYTES))
			break;
		*bytes += size;
		n++;
		if (!take)
			continue;
		c->term = raft_current_term(&io->raft);
		c->index = raft_last_index(&io->raft) + n;
		entries[n - 1] = (struct raft_entry){ c->term, (enum raft_entry_type)c->type, { c->data, c->len }, c };
		list_remove(&c->link);
		list_push(&s->pending, &c->link);
	}
	return n;
}

void raft_io_turn(struct store *s)
{
	struct raft_io *io = s->raft;
	struct raft_entry *entries;
	size_t bytes;
	if (io->job || s->stopped.code != 0)
		return;
	if (!raft_io_leads(s)) {
		struct err e = { 0 };
		(void)err_set(&e, E_NOTLEADER, "this master does not lead");
		state_refuse_queue(s, &e);
	}
	unsigned n = take_batch(io, NULL, &bytes, false);
	if (n == 0 && io->cut == 0)
		return;
	if (n == 0 || !raft_log_fits(io->log, bytes)) {
		(void)job_new(io);
		job_submit(io);
		return;
	}
	entries = xcalloc(n, sizeof(*entries));
	n = take_batch(io, entries, &bytes, true);
	step(io, &(struct raft_event){ .type = RAFT_SUBMIT, .submit = { .entries = entries, .n = n } });
	free(entries);
}

/* ---- starting ---- */

static int bootstrap(struct raft_io *io, struct err *e)
{
	struct store *s = io->store;
	struct raft_configuration conf;
	struct raft_buffer raw = { NULL, 0 };
	raft_configuration_init(&conf);
	int rc = raft_configuration_add(&conf, s->member_id, s->address, RAFT_VOTER);
	if (rc == 0)
		rc = raft_configuration_encode(&conf, &raw);
	raft_configuration_close(&conf);
	if (rc != 0)
		return err_set(e, E_INVALID, "make a cluster of member %llu at '%s': %s", (unsigned long long)s->member_id, s->address,
			       raft_strerror(rc));
	struct log_entry first = { 1, 1, ENTRY_CHANGE, str_n(raw.base, raw.len) };
	io->vote.term = 1;
	io->vote.voted_for = s->member_id;
	rc = raft_vote_store(s->disk, s->dir, &io->vote, e);
	if (rc == 0)
		rc = raft_log_prepare(io->log, e);
	if (rc == 0)
		rc = raft_log_append(io->log, &first, 1, e);
	raft_free(raw.base);
	io->bootstrapped = rc == 0;
	return rc;
}

static int check_bounds(const struct raft_io *io, struct err *e)
{
	unsigned long long applied = io->store->fsm.index, first = raft_log_first(io->log), last = raft_log_last(io->log);
	if (first > applied + 1)
		return err_set(e, E_CORRUPT, "the log in '%s' begins at entry %llu, but the state ends at %llu; restore the state "
			       "directory from a backup", io->store->dir, first, applied);
	if (last < applied)
		return err_set(e, E_CORRUPT, "the log in '%s' ends at entry %llu, but the state has applied %llu; restore the state "
			       "directory from a backup", io->store->dir, last, applied);
	return 0;
}

/* The log as START wants it: terms of all, data of changes of the members only. */
struct start_entries {
	struct raft_entry *entries;      /* raft_malloc */
	uint64_t first;
	size_t count;
	struct buf changes;
	size_t latest_at, latest_len;    /* of the last change in `changes` */
};

static int collect_start(void *arg, const struct log_entry *entry, struct err *e)
{
	struct start_entries *st = arg;
	struct raft_entry *r = &st->entries[entry->index - st->first];
	(void)e;
	r->term = entry->term;
	r->type = (enum raft_entry_type)entry->type;
	st->count++;
	if (entry->type != ENTRY_CHANGE)
		return 0;
	st->latest_at = st->changes.len;
	st->latest_len = entry->data.len;
	r->buf.base = (void *)st->changes.len;       /* an offset until the buffer moves no more */
	r->buf.len = entry->data.len;
	(void)buf_str(&st->changes, entry->data);
	return 0;
}

static int step_start(struct raft_io *io, struct start_entries *st, struct err *e)
{
	struct store *s = io->store;
	struct raft_snapshot_metadata metadata = { .index = s->fsm.index, .term = s->fsm.term,
		.configuration_index = s->fsm.config_index };
	void *data = raft_malloc(st->changes.len + 1);       /* the entries' batch; never empty */
	if (st->changes.len > 0)
		memcpy(data, st->changes.data, st->changes.len);
	for (size_t i = 0; i < st->count; i++) {
		st->entries[i].batch = data;
		if (st->entries[i].type == RAFT_CHANGE)
			st->entries[i].buf.base = (char *)data + (size_t)st->entries[i].buf.base;
	}
	if (s->fsm.index > 0 && decode_config(&s->fsm.config, &metadata.configuration, e) != 0)
		return e->code;
	struct raft_event event = { .type = RAFT_START, .time = now_ms(io) };
	event.start.term = io->vote.term;
	event.start.voted_for = io->vote.voted_for;
	event.start.metadata = s->fsm.index > 0 ? &metadata : NULL;
	event.start.start_index = st->first;
	event.start.entries = st->entries;
	event.start.n_entries = (unsigned)st->count;
	struct raft_update update = { 0 };
	io->persisted = raft_log_last(io->log);
	io->snapshot_index = s->fsm.index;
	int rc = raft_step(&io->raft, &event, &update);
	if (rc != 0)
		return raft_failed(io, rc, "start raft", e);
	raft_free(st->entries);
	raft_free(data);
	s->commit = 0;                                       /* replay applies what this update commits */
	update.flags &= ~(unsigned)(RAFT_UPDATE_COMMIT_INDEX);
	handle_update(io, &update);
	return 0;
}

/* The only voter leads without an election; give its leadership a new term as an election would. */
static int next_term(struct raft_io *io, const struct start_entries *st, struct err *e)
{
	struct store *s = io->store;
	struct buf latest = st->latest_len > 0 ? (struct buf){ .data = st->changes.data + st->latest_at, .len = st->latest_len }
					       : s->fsm.config;
	struct raft_configuration conf;
	int rc = decode_config(&latest, &conf, e);
	if (rc != 0)
		return rc;
	bool only = conf.n == 1 && conf.servers[0].id == s->member_id;
	unsigned members = conf.n;
	raft_configuration_close(&conf);
	if (!only)
		return err_set(e, E_UNSUPPORTED, "'%s' belongs to member %llu of a cluster of %u masters; this dcos-node runs one master",
			       s->dir, (unsigned long long)s->member_id, members);
	io->vote.term++;
	io->vote.voted_for = s->member_id;
	return raft_vote_store(s->disk, s->dir, &io->vote, e);
}

struct replay {
	struct store *store;
	uint64_t commit;
	size_t count, bytes;
};

static int replay_entry(void *arg, const struct log_entry *entry, struct err *e)
{
	struct replay *r = arg;
	struct store *s = r->store;
	struct command *c = command_new(entry->data, entry->type);
	c->index = entry->index;
	c->term = entry->term;
	list_push(&s->pending, &c->link);
	r->count++;
	r->bytes += entry->data.len;
	s->commit = MIN(entry->index, r->commit);
	if (r->count < REPLAY_MAX && r->bytes < REPLAY_BYTES && entry->index < raft_log_last(s->raft->log))
		return 0;
	r->count = r->bytes = 0;
	state_apply(s);
	if (s->stopped.code != 0)
		*e = s->stopped;
	else if (s->full.code != 0)
		*e = s->full;
	return e->code;
}

static int replay(struct raft_io *io, struct err *e)
{
	struct store *s = io->store;
	struct replay r = { .store = s, .commit = raft_commit_index(&io->raft) };
	e->code = 0;
	return raft_log_read(io->log, s->fsm.index + 1, replay_entry, &r, e);
}

static int start_library(struct raft_io *io, struct err *e)
{
	struct store *s = io->store;
	struct start_entries st = { .first = raft_log_first(io->log), .changes = BUF_INIT };
	size_t count = (size_t)(raft_log_last(io->log) + 1 - st.first);
	st.entries = raft_calloc(count + 1, sizeof(*st.entries));
	int rc = raft_log_read(io->log, st.first, collect_start, &st, e);
	if (rc == 0 && !io->bootstrapped)
		rc = next_term(io, &st, e);
	if (rc != 0) {
		raft_free(st.entries);
		buf_fini(&st.changes);
		return rc;
	}
	rc = raft_init(&io->raft, NULL, NULL, s->member_id, s->address);
	if (rc != 0)
		return err_set(e, E_IO, "start raft: %s", raft_strerror(rc));
	io->initialised = true;
	raft_seed(&io->raft, (unsigned)rnd_u64(loop_rnd(s->loop)));
	raft_set_election_timeout(&io->raft, ELECTION_MS);
	raft_set_heartbeat_timeout(&io->raft, HEARTBEAT_MS);
	raft_set_pre_vote(&io->raft, true);
	rc = step_start(io, &st, e);
	buf_fini(&st.changes);
	return rc;
}

int raft_io_start(struct store *s, struct err *e)
{
	struct raft_io *io = xcalloc(1, sizeof(*io));
	AUTO_FREE char *dir = xasprintf("%s/log", s->dir);
	io->store = s;
	s->raft = io;
	int rc = raft_vote_load(s->disk, s->dir, &io->vote, e);
	if (rc == 0)
		rc = raft_log_open(s->disk, dir, s->segment_bytes, &io->log, e);
	if (rc == 0 && raft_log_last(io->log) == 0 && s->fsm.index == 0)
		rc = bootstrap(io, e);
	if (rc == 0)
		rc = check_bounds(io, e);
	if (rc == 0)
		rc = start_library(io, e);
	if (rc == 0)
		rc = replay(io, e);
	if (rc == 0)
		io->written = raft_log_bytes(io->log);
	return rc;
}

void raft_io_close(struct store *s)
{
	struct raft_io *io = s->raft;
	if (!io)
		return;
	bool waiting = loop_timer_active(&io->retry);        /* a job between two tries is not with a worker */
	loop_timer_stop(&io->timeout);
	loop_timer_stop(&io->retry);
	if (io->job && waiting) {
		job_free(io->job);
	} else if (io->job) {
		pthread_mutex_lock(&io->job->lock);
		while (!io->job->finished)
			pthread_cond_wait(&io->job->changed, &io->job->lock);
		io->job->io = NULL;
		pthread_mutex_unlock(&io->job->lock);
		(void)work_cancel(&io->job->work);           /* it has run: job_done frees it */
	}
	if (io->initialised)
		raft_close(&io->raft, NULL);
	raft_log_close(io->log);
	s->raft = NULL;
	free(io);
}
