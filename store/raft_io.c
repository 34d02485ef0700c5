/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of the Raft library and what each asks for, in this order: the vote on disk, entries to the log's jobs, messages, a
 * snapshot, the commit index, the timer.
 *
 * Space for a batch is reserved before it is submitted, because what was submitted cannot be taken back: a full disk is found
 * while "no" is still an honest answer. A follower without room drops what the leader sent; it comes again.
 *
 * A cluster of one voter elects itself inside the START event, without counting up the term, and needs no clock. This file then
 * counts the term up itself (any member may at any time), so that every leadership has a term of its own.
 *
 * The library's clock is ours to tell: when the connection to the leader breaks, skip_ms moves it on to the election that would
 * come anyway, and the leader is forgotten, so that whoever asks for votes is not told that there is one. Members ask one after
 * the other, by the order of their ids, so that they do not split the votes.
 *
 * Whose memory (raft 0.22.1, read in its sources): of START the entries stay ours when it succeeds and are freed by the library
 * when it fails, the configuration in the metadata becomes the library's; of SUBMIT the entries stay ours, the array must live
 * until the update has been looked at, and `batch` must not be NULL; of RECEIVE the array stays ours, the batch only when the
 * update wants entries written; of CONFIGURATION and SNAPSHOT the configuration becomes the library's; an update's arrays are the
 * library's, except `entries`, which is the array of the event, or the library's own barrier, whose data is ours to free.
 */
#include "store/raft_int.h"

#include "net/base/log.h"

#define BATCH_MAX 1024                                   /* entries of one submission */
#define BATCH_BYTES ((size_t)(1 * MIB))                  /* a batch is closed when it has so much */
#define INFLIGHT_MAX 4096                                /* entries on the way to a member */
#define WINDOW_BYTES ((size_t)(4 * MIB))                 /* of applied entries kept for members that lag a little */
#define READ_APPLY_BYTES ((size_t)(4 * MIB))             /* of the log read to be applied */
#define CANDIDATE_WAIT_PART 8                            /* of the election timeout: 1 to 3 parts until a candidate asks again */
#define LOST_STEP_US (15 * MSEC)                         /* between members that notice the leader's end */
#define LOST_JITTER_US (5 * MSEC)
#define SNAPSHOT_TIMEOUT_MS 2000                         /* then the library asks again; a transfer under way goes on */

static_assert(ENTRY_COMMAND == (int)RAFT_COMMAND, "entry types are the library's");
static_assert(ENTRY_BARRIER == (int)RAFT_BARRIER, "entry types are the library's");
static_assert(ENTRY_CHANGE == (int)RAFT_CHANGE, "entry types are the library's");

int raft_io_failed(struct raft_io *io, int rc, const char *what, struct err *e)
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
	return s->raft->raft.state == RAFT_LEADER && s->fsm.meta.index >= s->raft->lead_from;
}

uint64_t raft_io_term(const struct store *s) { return raft_current_term(&s->raft->raft); }
uint64_t raft_io_written(const struct store *s) { return s->raft->written; }
bool raft_io_installing(const struct store *s) { return s->raft->installing; }

/* ---- what the library wants done ---- */

static int write_vote(struct raft_io *io, struct err *e)
{
	io->vote.term = raft_current_term(&io->raft);
	io->vote.voted_for = raft_voted_for(&io->raft);
	return raft_vote_store(io->store->disk, io->store->dir, &io->vote, e);
}

static raft_time now_ms(const struct raft_io *io)
{
	return (raft_time)(loop_now_us(io->store->loop) / MSEC + io->skip_ms);
}

static void on_timeout(struct loop_timer *t)
{
	struct raft_io *io = container_of(t, struct raft_io, timeout);
	struct raft_event event = { .type = RAFT_TIMEOUT };
	raft_time due = raft_timeout(&io->raft), now = now_ms(io);
	if (io->raft.state == RAFT_CANDIDATE && due > now)
		io->skip_ms += (int64_t)(due - now);
	(void)raft_io_step(io, &event, NULL, 0);
}

/* When a candidate asks again: votes come back within moments, so one that did not win need not wait as long as for a leader. */
static raft_time candidate_due(struct raft_io *io)
{
	if (io->asked_ms != io->raft.election_timer_start) {
		unsigned wait = io->store->election_ms / CANDIDATE_WAIT_PART;
		io->asked_ms = io->raft.election_timer_start;
		io->ask_again_ms = io->asked_ms + wait + (raft_time)rnd_below(loop_rnd(io->store->loop), 2 * wait + 1);
	}
	return MIN(io->ask_again_ms, raft_timeout(&io->raft));
}

static void set_timeout(struct raft_io *io)
{
	if (alone(io) && raft_io_is_leader(io)) {
		loop_timer_stop(&io->timeout);
		return;
	}
	raft_time due = io->raft.state == RAFT_CANDIDATE ? candidate_due(io) : raft_timeout(&io->raft), now = now_ms(io);
	loop_timer_start(io->store->loop, &io->timeout, due > now ? (int64_t)(due - now) * MSEC : MSEC, on_timeout);
}

/* Entries from `index` on give way to those of a new leader; whether they were done elsewhere nobody here can know. */
static void drop_entries(struct raft_io *io, uint64_t index)
{
	struct store *s = io->store;
	while (s->window.count > 0 && window_end(&s->window) > index) {
		struct command *c = window_pop(&s->window);
		state_unknown(s, c, "another master took the lead");
		command_unref(c);
	}
	if (s->window.count == 0)
		s->window.first = index;
	jobs_clamp(io, index);
	io->persisted = MIN(io->persisted, index - 1);
	job_new(io, JOB_TRUNCATE)->index = index;
}

static void take_entries(struct raft_io *io, const struct raft_update *u, struct command **cmds, uint64_t first)
{
	struct store *s = io->store;
	uint64_t index = u->entries.index, last = index + u->entries.n - 1;
	bool barrier = u->entries.batch == &io->raft.barrier;
	assert(barrier || cmds);
	if (index < window_end(&s->window))
		drop_entries(io, index);
	struct log_job *job = job_new(io, JOB_APPEND);
	job->entries = xcalloc(u->entries.n, sizeof(struct command *));
	job->count = u->entries.n;
	job->report = last;
	for (uint64_t i = index; i <= last; i++) {
		const struct raft_entry *entry = &u->entries.batch[i - index];
		struct command *c = barrier ? command_new(str_n(entry->buf.base, entry->buf.len), (uint8_t)entry->type)
					    : command_ref(cmds[i - first]);
		c->index = i;
		c->term = entry->term;
		job->entries[i - index] = command_ref(c);
		job->bytes += log_entry_bytes(c->len);
		window_push(&s->window, c);
	}
	if (barrier)
		raft_free(io->raft.barrier.batch);
	io->claimed += job->bytes;
	jobs_go(io);
}

static void take_state(struct raft_io *io, bool with_barrier)
{
	io->barrier_due = raft_io_is_leader(io) && !with_barrier && !alone(io);
	io->lead_from = raft_last_index(&io->raft);
	fresh_changed(io);
	LOG(INFO, "raft state changed", "state=%s term=%llu last=%llu", raft_state_name(io->raft.state),
	    raft_current_term(&io->raft), (unsigned long long)io->lead_from);
}

static void handle_update(struct raft_io *io, const struct raft_update *u, struct command **cmds, uint64_t first)
{
	struct store *s = io->store;
	struct err e = { 0 };
	if ((u->flags & (RAFT_UPDATE_CURRENT_TERM | RAFT_UPDATE_VOTED_FOR)) && write_vote(io, &e) != 0) {
		state_stop(s, &e);
		return;
	}
	if (u->flags & (RAFT_UPDATE_STATE))
		take_state(io, u->flags & (RAFT_UPDATE_ENTRIES));
	if (u->flags & (RAFT_UPDATE_ENTRIES))
		take_entries(io, u, cmds, first);
	if (u->flags & (RAFT_UPDATE_MESSAGES))
		net_send_messages(io, u->messages.batch, u->messages.n);
	if (u->flags & (RAFT_UPDATE_SNAPSHOT))
		snap_install(io, &u->snapshot.metadata);
	raft_io_commit(io);
	set_timeout(io);
}

/* The state never runs ahead of its own log. */
void raft_io_commit(struct raft_io *io)
{
	uint64_t commit = MIN(raft_commit_index(&io->raft), io->persisted);
	if (io->installing || commit <= io->store->commit)
		return;
	io->store->commit = commit;
	state_apply(io->store);
}

int raft_io_step(struct raft_io *io, struct raft_event *event, struct command **cmds, uint64_t first)
{
	struct raft_update update = { 0 };
	struct err e = { 0 };
	if (io->store->stopped.code != 0)
		return 0;
	event->time = now_ms(io);
	int rc = raft_step(&io->raft, event, &update);
	if (rc != 0) {
		(void)raft_io_failed(io, rc, "raft", &e);
		if (rc == RAFT_SHUTDOWN)
			e.code = E_CORRUPT;      /* the leader's committed entries are others than ours */
		state_stop(io->store, &e);
		return 0;
	}
	bool entries = (update.flags & (RAFT_UPDATE_ENTRIES)) && update.entries.batch != &io->raft.barrier;
	handle_update(io, &update, cmds, first);
	return entries ? 1 : 0;
}

int raft_io_decode_config(struct str bytes, struct raft_configuration *out, struct err *e)
{
	struct raft_buffer raw = { (void *)(uintptr_t)bytes.p, bytes.len };
	int rc = raft_configuration_decode(&raw, out);
	return rc == 0 ? 0 : err_set(e, E_CORRUPT, "the list of members is damaged: %s", raft_strerror(rc));
}

void raft_io_applied(struct store *s, uint64_t index, uint8_t type)
{
	struct err e = { 0 };
	struct raft_event event = { .type = RAFT_CONFIGURATION, .configuration = { .index = index } };
	if (type != ENTRY_CHANGE)
		return;
	if (raft_io_decode_config(buf_view(&s->fsm.meta.config), &event.configuration.conf, &e) != 0)
		state_stop(s, &e);
	else
		(void)raft_io_step(s->raft, &event, NULL, 0);
}

void raft_io_told(struct store *s) { fresh_applied(s->raft); }

void raft_io_checkpointed(struct store *s, const struct snap_head *head)
{
	struct raft_io *io = s->raft;
	struct err e = { 0 };
	struct raft_event event = { .type = RAFT_SNAPSHOT };
	uint64_t cut = head->index > s->trailing ? head->index - s->trailing : 0;
	if (head->index <= io->snapshot_index)      /* it takes none twice, and would go on to count on what a cut removes */
		return;
	if (io->installing)                          /* it counts on what is being installed already */
		return;
	event.snapshot.metadata.index = head->index;
	event.snapshot.metadata.term = head->term;
	event.snapshot.metadata.configuration_index = head->config_index;
	event.snapshot.trailing = s->trailing;
	if (raft_io_decode_config(buf_view(&head->config), &event.snapshot.metadata.configuration, &e) != 0) {
		state_stop(s, &e);
		return;
	}
	io->cut = cut;
	io->snapshot_index = head->index;
	(void)raft_io_step(io, &event, NULL, 0);
}

/* ---- turns ---- */

bool raft_io_room(struct raft_io *io, size_t bytes)
{
	if (io->claimed + bytes <= io->room)
		return true;
	if (!io->run && list_empty(&io->jobs)) {
		(void)job_new(io, JOB_PREPARE);
		jobs_go(io);
	}
	return false;
}

/* How many queued commands make up the next batch. */
static unsigned count_batch(const struct store *s, size_t *bytes)
{
	unsigned n = 0;
	*bytes = 0;
	list_each(&s->queue, link) {
		size_t size = log_entry_bytes(list_entry(link, struct command, link)->len);
		if (n == BATCH_MAX || (n > 0 && *bytes + size > BATCH_BYTES))
			break;
		*bytes += size;
		n++;
	}
	return n;
}

static void submit(struct raft_io *io, struct command **cmds, unsigned n)
{
	struct raft_entry *entries = xcalloc(n, sizeof(*entries));
	uint64_t first = raft_last_index(&io->raft) + 1;
	for (unsigned i = 0; i < n; i++)
		entries[i] = (struct raft_entry){ raft_current_term(&io->raft), (enum raft_entry_type)cmds[i]->type,
						  { cmds[i]->data, cmds[i]->len }, cmds[i] };
	struct raft_event event = { .type = RAFT_SUBMIT, .submit = { .entries = entries, .n = n } };
	(void)raft_io_step(io, &event, cmds, first);
	free(entries);
}

void raft_io_submit(struct raft_io *io, struct command *c)
{
	submit(io, &c, 1);
}

/*
 * A new leader writes an entry even when the library sees no need for one: what members hold beyond its log, of leaders that
 * failed, goes only where an entry of the new term takes its place, and such members cannot be handed the lead.
 */
static void submit_barrier(struct raft_io *io)
{
	if (!io->barrier_due || raft_transferee(&io->raft) != 0 || !raft_io_room(io, log_entry_bytes(0)))
		return;
	io->barrier_due = false;
	struct command *c = command_new(STR(""), ENTRY_BARRIER);
	raft_io_submit(io, c);
	command_unref(c);
}

static bool submit_batch(struct raft_io *io)
{
	struct store *s = io->store;
	size_t bytes;
	unsigned n = count_batch(s, &bytes);
	if (n == 0 || raft_transferee(&io->raft) != 0 || !raft_io_room(io, bytes))
		return false;
	struct command **cmds = xcalloc(n, sizeof(struct command *));
	for (unsigned i = 0; i < n; i++)
		cmds[i] = list_entry(list_pop(&s->queue), struct command, link);
	submit(io, cmds, n);
	for (unsigned i = 0; i < n; i++)
		command_unref(cmds[i]);
	free(cmds);
	return s->stopped.code == 0;
}

void raft_io_read(struct store *s, uint64_t from, uint64_t upto)
{
	struct raft_io *io = s->raft;
	if (io->reading)
		return;
	io->reading = true;
	struct log_job *job = job_new(io, JOB_READ);
	job->index = from;
	job->upto = upto;
	job->bytes = READ_APPLY_BYTES;
	jobs_go(io);
}

void raft_io_turn(struct store *s)
{
	struct raft_io *io = s->raft;
	if (s->stopped.code != 0)
		return;
	if (!raft_io_is_leader(io)) {
		struct err e = { 0 };
		(void)err_set(&e, E_NOTLEADER, "this master does not lead");
		state_refuse_queue(s, &e);
	}
	members_turn(io);
	if (raft_io_is_leader(io))
		submit_barrier(io);
	while (raft_io_is_leader(io) && submit_batch(io))
		;
	fresh_turn(io);
	snap_net_turn(io);
	window_trim(&s->window, s->fsm.meta.index + 1, WINDOW_BYTES);
	jobs_go(io);
}

/* ---- the leader's connection broke ---- */

static void on_lost(struct loop_timer *t)
{
	struct raft_io *io = container_of(t, struct raft_io, lost);
	if (io->store->stopped.code != 0 || io->raft.state != RAFT_FOLLOWER || store_leader(io->store) != 0)
		return;                  /* somebody leads, or asks to */
	raft_time due = raft_timeout(&io->raft), now = now_ms(io);
	if (due > now)
		io->skip_ms += (int64_t)(due - now);
	on_timeout(&io->timeout);
}

void store_peer_lost(struct store *s, const char *address)
{
	struct raft_io *io = s->raft;
	const struct raft_configuration *conf = s->started ? &io->raft.configuration : NULL;
	if (!conf || io->raft.state != RAFT_FOLLOWER)
		return;
	uint64_t leader = store_leader(s);
	const char *leads = net_address(io, leader);
	if (!leads || strcmp(leads, address) != 0 || loop_timer_active(&io->lost))
		return;
	int rank = 0;
	for (unsigned i = 0; i < conf->n; i++)
		rank += conf->servers[i].role == RAFT_VOTER && conf->servers[i].id < s->member_id && conf->servers[i].id != leader;
	io->raft.follower_state.current_leader.id = 0;       /* who asks for a vote gets it; a leader that lives is heard again */
	loop_timer_start(s->loop, &io->lost, rank * LOST_STEP_US + (int64_t)rnd_below(loop_rnd(s->loop), LOST_JITTER_US), on_lost);
}

/* ---- starting ---- */

static void on_trace(struct raft_tracer *t, int type, const void *info)
{
	const struct raft_io *io = container_of(t, struct raft_io, tracer);
	const struct raft_tracer_info *i = info;
	if (type == RAFT_TRACER_DIAGNOSTIC)
		io->store->trace(io->store->trace_ctx, i->diagnostic.message);
}

int raft_io_one_voter(uint64_t id, const char *address, struct buf *out, struct err *e)
{
	struct raft_configuration conf;
	struct raft_buffer raw = { NULL, 0 };
	raft_configuration_init(&conf);
	int rc = raft_configuration_add(&conf, id, address, RAFT_VOTER);
	if (rc == 0)
		rc = raft_configuration_encode(&conf, &raw);
	raft_configuration_close(&conf);
	if (rc != 0)
		return err_set(e, E_INVALID, "make a cluster of member %llu at '%s': %s", (unsigned long long)id, address, raft_strerror(rc));
	(void)buf_append(out, raw.base, raw.len);
	raft_free(raw.base);
	return 0;
}

static int bootstrap(struct raft_io *io, struct err *e)
{
	struct store *s = io->store;
	AUTO_BUF struct buf conf = BUF_INIT;
	int rc = raft_io_one_voter(s->member_id, s->address, &conf, e);
	if (rc != 0)
		return rc;
	struct log_entry first = { 1, 1, ENTRY_CHANGE, buf_view(&conf) };
	io->vote.term = 1;
	io->vote.voted_for = s->member_id;
	rc = raft_vote_store(s->disk, s->dir, &io->vote, e);
	if (rc == 0)
		rc = raft_log_prepare(io->log, e);
	if (rc == 0)
		rc = raft_log_append(io->log, &first, 1, e);
	io->bootstrapped = rc == 0;
	return rc;
}

/* The log against the state: a snapshot that was taken in makes what stood there before it void. */
static int check_bounds(struct raft_io *io, struct err *e)
{
	const struct store *s = io->store;
	unsigned long long applied = s->fsm.meta.index, first = raft_log_first(io->log), last = raft_log_last(io->log);
	uint64_t term = 0;
	if (last > 0 && applied >= first && applied <= last && raft_log_term(io->log, applied, &term, e) != 0)
		return e->code;
	bool fits = applied == 0 ? first == 1 : applied + 1 == first || term == s->fsm.meta.term;
	if (fits && last + 1 >= first && first <= applied + 1 && last >= applied)
		return 0;
	if (s->snap_installed == applied && applied > 0)
		return raft_log_reset(io->log, applied + 1, e);
	if (first > applied + 1)
		return err_set(e, E_CORRUPT, "the log in '%s' begins at entry %llu, but the state ends at %llu; restore the state "
			       "directory from a backup", s->dir, first, applied);
	return err_set(e, E_CORRUPT, "the log in '%s' ends at entry %llu, but the state has applied %llu; restore the state "
		       "directory from a backup", s->dir, last, applied);
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
	struct raft_snapshot_metadata metadata = { .index = s->fsm.meta.index, .term = s->fsm.meta.term,
		.configuration_index = s->fsm.meta.config_index };
	void *data = raft_malloc(st->changes.len + 1);       /* the entries' batch; never empty */
	if (st->changes.len > 0)
		memcpy(data, st->changes.data, st->changes.len);
	for (size_t i = 0; i < st->count; i++) {
		st->entries[i].batch = data;
		if (st->entries[i].type == RAFT_CHANGE)
			st->entries[i].buf.base = (char *)data + (size_t)st->entries[i].buf.base;
	}
	if (s->fsm.meta.index > 0 && raft_io_decode_config(buf_view(&s->fsm.meta.config), &metadata.configuration, e) != 0)
		return e->code;
	struct raft_event event = { .type = RAFT_START, .time = now_ms(io) };
	event.start.term = io->vote.term;
	event.start.voted_for = io->vote.voted_for;
	event.start.metadata = s->fsm.meta.index > 0 ? &metadata : NULL;
	event.start.start_index = st->first;
	event.start.entries = st->entries;
	event.start.n_entries = (unsigned)st->count;
	struct raft_update update = { 0 };
	io->persisted = raft_log_last(io->log);
	io->snapshot_index = s->fsm.meta.index;
	int rc = raft_step(&io->raft, &event, &update);
	if (rc != 0)
		return raft_io_failed(io, rc, "start raft", e);
	raft_free(st->entries);
	raft_free(data);
	s->commit = s->fsm.meta.index;
	window_restart(&s->window, io->persisted + 1);
	io->room = raft_log_room(io->log);
	io->written = raft_log_bytes(io->log);
	handle_update(io, &update, NULL, 0);
	*e = s->stopped;
	return s->stopped.code;
}

/* The only voter leads without an election; give its leadership a new term as an election would. */
static int next_term(struct raft_io *io, const struct start_entries *st, struct err *e)
{
	struct store *s = io->store;
	struct str latest = st->latest_len > 0 ? str_n((const char *)st->changes.data + st->latest_at, st->latest_len)
					       : buf_view(&s->fsm.meta.config);
	struct raft_configuration conf;
	if (latest.len == 0)                /* a new member, which nobody has told anything yet */
		return 0;
	int rc = raft_io_decode_config(latest, &conf, e);
	if (rc != 0)
		return rc;
	unsigned voters = 0;
	bool voter = false;
	for (unsigned i = 0; i < conf.n; i++) {
		voters += conf.servers[i].role == RAFT_VOTER;
		voter |= conf.servers[i].role == RAFT_VOTER && conf.servers[i].id == s->member_id;
	}
	raft_configuration_close(&conf);
	if (!voter || voters > 1)
		return 0;
	io->vote.term++;
	io->vote.voted_for = s->member_id;
	return raft_vote_store(s->disk, s->dir, &io->vote, e);
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
	raft_set_election_timeout(&io->raft, s->election_ms);
	raft_set_heartbeat_timeout(&io->raft, s->heartbeat_ms);
	raft_set_install_snapshot_timeout(&io->raft, SNAPSHOT_TIMEOUT_MS);
	raft_set_max_inflight_entries(&io->raft, INFLIGHT_MAX);
	raft_set_pre_vote(&io->raft, true);
	io->tracer = (struct raft_tracer){ .version = 2, .emit = on_trace };
	io->raft.tracer = s->trace ? &io->tracer : NULL;
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
	list_init(&io->jobs);
	list_init(&io->changes);
	list_init(&io->fresh);
	list_init(&io->asks);
	list_init(&io->sends);
	io->round = rnd_u64(loop_rnd(s->loop)) / 2;          /* answers to a former life's questions are nobody's */
	int rc = raft_vote_load(s->disk, s->dir, &io->vote, e);
	if (rc == 0)
		rc = raft_log_open(s->disk, dir, s->segment_bytes, &io->log, e);
	if (rc == 0 && raft_log_last(io->log) == 0 && s->fsm.meta.index == 0 && io->vote.term == 0 && !s->join)
		rc = bootstrap(io, e);
	if (rc == 0)
		rc = check_bounds(io, e);
	return rc == 0 ? start_library(io, e) : rc;
}

void raft_io_close(struct store *s)
{
	struct raft_io *io = s->raft;
	if (!io)
		return;
	loop_timer_stop(&io->timeout);
	loop_timer_stop(&io->lost);
	jobs_close(io);
	members_close(io);
	fresh_close(io);
	snap_net_close(io);
	if (io->initialised)
		raft_close(&io->raft, NULL);
	raft_log_close(io->log);
	s->raft = NULL;
	free(io);
}
