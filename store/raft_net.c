/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between members: the library's messages out, with the entries it only names, and what others sent in. Entries are taken
 * from the window; older ones are read from the log by a job first.
 */
#include "store/raft_int.h"

#include "net/base/log.h"
#include "net/pb_util.h"

#define READ_BYTES ((size_t)(4 * MIB))   /* of old entries at once */
#define FRAME_MAX ((size_t)(64 * MIB))

/* ---- members ---- */

static const struct raft_server *find_server(const struct raft_io *io, uint64_t id)
{
	for (unsigned i = 0; i < io->raft.configuration.n; i++)
		if (io->raft.configuration.servers[i].id == id)
			return &io->raft.configuration.servers[i];
	return NULL;
}

const char *net_address(const struct raft_io *io, uint64_t id)
{
	const struct raft_server *server = find_server(io, id);
	return server ? server->address : NULL;
}

struct peer *net_peer(struct raft_io *io, uint64_t id)
{
	struct peer *oldest = &io->peers[0];
	for (size_t i = 0; i < io->peer_count; i++) {
		if (io->peers[i].id == id)
			return &io->peers[i];
		if (io->peers[i].heard_us < oldest->heard_us)
			oldest = &io->peers[i];
	}
	if (io->peer_count < ARRAY_LEN(io->peers))
		oldest = &io->peers[io->peer_count++];
	*oldest = (struct peer){ .id = id };
	return oldest;
}

/* ---- out ---- */

void net_send_to(struct raft_io *io, raft_Frame *f, const char *address)
{
	struct store *s = io->store;
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	if (!s->net || !address || f->to == 0)
		return;
	f->from = s->member_id;
	f->cluster_id = s->fsm.meta.cluster_id[0] ? s->fsm.meta.cluster_id : NULL;
	out.max = FRAME_MAX;
	if (wire_write(f, &out, &e) != 0)
		LOG(ERROR, "frame not sent", "kind=\"%s\" error=\"%s\"", wire_name(f->kind), e.text);
	else
		s->net->send(s->net->ctx, f->to, address, buf_view(&out));
}

void net_send(struct raft_io *io, raft_Frame *f)
{
	net_send_to(io, f, net_address(io, f->to));
}

static void position(raft_Frame *f, uint64_t index, uint64_t term)
{
	f->has_index = f->has_index_term = true;
	f->index = index;
	f->index_term = term;
}

/* Send records as APPENDs of bounded size; f is the first one's head. */
static void send_records(struct raft_io *io, raft_Frame *f, struct str records)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	struct log_entry entry = { 0 };
	while (records.len > 0) {
		struct str rest = records;
		uint64_t index = f->index, term = f->index_term;
		size_t taken = 0;
		unsigned count = 0;
		while (count < WIRE_ENTRIES_MAX && log_record_next(&rest, &entry)) {
			size_t len = records.len - rest.len;
			if (count > 0 && len > WIRE_RECORDS_BYTES)
				break;
			taken = len;
			index = entry.index;
			term = entry.term;
			count++;
		}
		if (taken == 0)
			break;
		f->records = pb_bytes_put(&arena, str_n(records.p, taken));
		net_send(io, f);
		position(f, index, term);
		records = str_from(records, taken);
	}
}

static void send_append(struct raft_io *io, const struct raft_message *m)
{
	const struct raft_append_entries *a = &m->append_entries;
	raft_Frame f = raft_Frame_init_zero;
	f.kind = raft_Kind_APPEND;
	f.to = m->server_id;
	f.term = a->term;
	position(&f, a->prev_log_index, a->prev_log_term);
	f.has_commit = true;
	f.commit = a->leader_commit;
	uint64_t first = a->prev_log_index + 1, last = a->prev_log_index + a->n_entries;
	if (a->n_entries == 0) {
		net_send(io, &f);
		return;
	}
	if (!window_at(&io->store->window, first)) {
		struct log_job *job = job_new(io, JOB_READ);
		job->index = first;
		job->upto = last;
		job->bytes = READ_BYTES;
		job->frame = xmalloc(sizeof(f));
		*job->frame = f;
		jobs_go(io);
		return;
	}
	AUTO_BUF struct buf records = BUF_INIT;
	for (uint64_t i = first; i <= last; i++) {
		const struct command *c = window_at(&io->store->window, i);
		struct log_entry entry = { c->index, c->term, c->type, str_n((const char *)c->data, c->len) };
		log_record_put(&records, &entry, first);
	}
	send_records(io, &f, buf_view(&records));
}

void net_records_read(struct raft_io *io, struct log_job *job)
{
	if (raft_io_is_leader(io) && raft_current_term(&io->raft) == job->frame->term)
		send_records(io, job->frame, buf_view(&job->out));
}

static void send_result(struct raft_io *io, const struct raft_message *m)
{
	const struct raft_append_entries_result *r = &m->append_entries_result;
	raft_Frame f = raft_Frame_init_zero;
	f.kind = raft_Kind_APPEND_RESULT;
	f.to = m->server_id;
	f.term = r->term;
	f.has_index = f.has_rejected = f.has_features = true;
	f.index = r->last_log_index;
	f.rejected = r->rejected;
	f.features = r->features;
	if (f.rejected > 0 && f.index >= f.rejected)
		f.index = f.rejected - 1;
	net_send_to(io, &f, m->server_address);
}

static void send_vote(struct raft_io *io, const struct raft_message *m)
{
	const struct raft_request_vote *v = &m->request_vote;
	raft_Frame f = raft_Frame_init_zero;
	f.kind = raft_Kind_VOTE;
	f.to = m->server_id;
	f.term = v->term;
	position(&f, v->last_log_index, v->last_log_term);
	f.has_pre = f.has_disrupt = true;
	f.pre = v->pre_vote;
	f.disrupt = v->disrupt_leader;
	net_send_to(io, &f, m->server_address);
}

static void send_vote_result(struct raft_io *io, const struct raft_message *m)
{
	const struct raft_request_vote_result *v = &m->request_vote_result;
	raft_Frame f = raft_Frame_init_zero;
	f.kind = raft_Kind_VOTE_RESULT;
	f.to = m->server_id;
	f.term = v->term;
	f.has_pre = f.has_granted = f.has_features = true;
	f.pre = v->pre_vote;
	f.granted = v->vote_granted;
	f.features = v->features;
	if (f.term > 0)
		net_send_to(io, &f, m->server_address);
}

static void send_timeout_now(struct raft_io *io, const struct raft_message *m)
{
	raft_Frame f = raft_Frame_init_zero;
	f.kind = raft_Kind_TIMEOUT_NOW;
	f.to = m->server_id;
	f.term = m->timeout_now.term;
	position(&f, m->timeout_now.last_log_index, m->timeout_now.last_log_term);
	net_send_to(io, &f, m->server_address);
}

void net_send_messages(struct raft_io *io, const struct raft_message *messages, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct raft_message *m = &messages[i];
		switch (m->type) {
		case RAFT_APPEND_ENTRIES:        send_append(io, m); break;
		case RAFT_APPEND_ENTRIES_RESULT: send_result(io, m); break;
		case RAFT_REQUEST_VOTE:          send_vote(io, m); break;
		case RAFT_REQUEST_VOTE_RESULT:   send_vote_result(io, m); break;
		case RAFT_INSTALL_SNAPSHOT:      snap_send_start(io, m->server_id, m->install_snapshot.last_index); break;
		case RAFT_TIMEOUT_NOW:           send_timeout_now(io, m); break;
		}
	}
}

/* ---- in ---- */

static void receive(struct raft_io *io, struct raft_message *m)
{
	struct raft_event event = { .type = RAFT_RECEIVE, .receive = { .message = m } };
	(void)raft_io_step(io, &event, NULL, 0);
}

/*
 * A run of entries that begins with a change of the members or has none: the library (0.22.1) takes a change further back for one
 * at the run's first index.
 */
static void receive_run(struct raft_io *io, struct raft_message *m, struct command **cmds, unsigned count)
{
	struct raft_append_entries *a = &m->append_entries;
	a->entries = xcalloc(count + 1, sizeof(*a->entries));
	a->n_entries = count;
	void *batch = count > 0 ? raft_malloc(1) : NULL;     /* what the library frees; the data is the commands' */
	for (unsigned i = 0; i < count; i++)
		a->entries[i] = (struct raft_entry){ cmds[i]->term, (enum raft_entry_type)cmds[i]->type,
						     { cmds[i]->data, cmds[i]->len }, batch };
	struct raft_event event = { .type = RAFT_RECEIVE, .receive = { .message = m } };
	bool kept = raft_io_step(io, &event, cmds, a->prev_log_index + 1) == 1;
	if (kept)
		raft_free(batch);                            /* else the library has */
	free(a->entries);
}

/*
 * A member that has applied no configuration yet takes committed entries only: the library (0.22.1) cannot take back a
 * configuration when there is none before it.
 */
static void receive_append(struct raft_io *io, const raft_Frame *f, struct raft_message *m)
{
	struct raft_append_entries *a = &m->append_entries;
	struct str records = pb_bytes_view(f->records), rest = records;
	struct log_entry entry;
	struct command **cmds = xcalloc(WIRE_ENTRIES_MAX + 1, sizeof(struct command *));
	unsigned count = 0, done = 0;
	*a = (struct raft_append_entries){ .term = f->term, .prev_log_index = f->index, .prev_log_term = f->index_term,
					   .leader_commit = f->commit };
	while (count < WIRE_ENTRIES_MAX && log_record_next(&rest, &entry) && raft_io_room(io, records.len - rest.len)) {
		if (io->raft.configuration_committed_index == 0 && entry.index > f->commit)
			break;
		cmds[count] = command_new(entry.data, entry.type);
		cmds[count]->index = entry.index;
		cmds[count++]->term = entry.term;
	}
	do {
		unsigned n = 0;
		while (done + n < count && (n == 0 || cmds[done + n]->type != ENTRY_CHANGE))
			n++;
		receive_run(io, m, cmds + done, n);
		done += n;
		if (done < count) {
			a->prev_log_index = cmds[done - 1]->index;
			a->prev_log_term = cmds[done - 1]->term;
		}
	} while (done < count && io->store->stopped.code == 0);
	for (unsigned i = 0; i < count; i++)
		command_unref(cmds[i]);
	free(cmds);
}

/*
 * A late refusal, overtaken by what the member confirmed since. The library (0.22.1) recognises it while it pipelines, but ends
 * itself by an assertion when it comes while it probes.
 */
static bool stale_refusal(const struct raft_io *io, const raft_Frame *f)
{
	raft_index matched = 0;
	if (f->rejected == 0 || raft_match_index(&io->raft, f->from, &matched) != 0)
		return false;
	return f->rejected <= matched || f->index < matched;
}

static void receive_library(struct raft_io *io, const raft_Frame *f, const char *address)
{
	struct raft_message m = { .server_id = f->from, .server_address = address };
	switch (f->kind) {
	case raft_Kind_APPEND:
		m.type = RAFT_APPEND_ENTRIES;
		if (raft_io_is_leader(io) && f->term == raft_current_term(&io->raft))
			return;                 /* there is one leader a term, and we are it */
		receive_append(io, f, &m);
		return;
	case raft_Kind_APPEND_RESULT:
		if (stale_refusal(io, f) && f->term == raft_current_term(&io->raft))
			return;
		m.type = RAFT_APPEND_ENTRIES_RESULT;
		m.append_entries_result = (struct raft_append_entries_result){ .version = 1, .term = f->term,
			.rejected = f->rejected, .last_log_index = f->index, .features = (unsigned short)f->features };
		break;
	case raft_Kind_VOTE:
		m.type = RAFT_REQUEST_VOTE;
		m.request_vote = (struct raft_request_vote){ .version = 2, .term = f->term, .candidate_id = f->from,
			.last_log_index = f->index, .last_log_term = f->index_term, .disrupt_leader = f->disrupt,
			.pre_vote = f->pre };
		break;
	case raft_Kind_VOTE_RESULT:
		m.type = RAFT_REQUEST_VOTE_RESULT;
		m.request_vote_result = (struct raft_request_vote_result){ .version = 2, .term = f->term,
			.vote_granted = f->granted, .pre_vote = f->pre, .features = (unsigned short)f->features };
		break;
	default:
		m.type = RAFT_TIMEOUT_NOW;
		m.timeout_now = (struct raft_timeout_now){ .version = 1, .term = f->term, .last_log_index = f->index,
							   .last_log_term = f->index_term };
		break;
	}
	receive(io, &m);
}

static int check_sender(const struct raft_io *io, const raft_Frame *f, const char *address, struct err *e)
{
	const struct store *s = io->store;
	const char *known = net_address(io, f->from), *ours = s->fsm.meta.cluster_id;
	if (f->to != s->member_id)
		return err_set(e, E_DENIED, "a frame is for member %016llx, and this is %016llx", (unsigned long long)f->to,
			       (unsigned long long)s->member_id);
	if (f->cluster_id && ours[0] && strcmp(f->cluster_id, ours) != 0)
		return err_set(e, E_DENIED, "a frame comes from cluster %.64s, and this is %s", f->cluster_id, ours);
	if (known && strcmp(known, address) != 0)
		return err_set(e, E_DENIED, "member %016llx speaks with key %.64s, but has key %s", (unsigned long long)f->from, address,
			       known);
	return 0;
}

int store_receive(struct store *s, const char *address, struct str bytes, struct err *e)
{
	struct raft_io *io = s->raft;
	AUTO_ARENA struct arena arena = ARENA_INIT;
	raft_Frame f;
	if (!s->started || s->stopped.code != 0)
		return 0;
	int rc = wire_read(&arena, bytes, &f, e);
	if (rc == 0)
		rc = check_sender(io, &f, address, e);
	if (rc != 0)
		return rc;
	net_peer(io, f.from)->heard_us = loop_now_us(s->loop);
	switch (f.kind) {
	case raft_Kind_SNAPSHOT_CHUNK:
		snap_take_chunk(io, &f, address);
		break;
	case raft_Kind_SNAPSHOT_GOT:
		snap_send_got(io, &f);
		break;
	case raft_Kind_ROUND:
	case raft_Kind_ROUND_RESULT:
	case raft_Kind_FRESH:
	case raft_Kind_FRESH_RESULT:
		fresh_receive(io, &f);
		break;
	default:
		receive_library(io, &f, address);
		break;
	}
	return 0;
}
