/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linearizable reads without a log entry (Raft dissertation 6.4). The leader notes its commit index, then asks the voters whether
 * its term still stands; when a majority has said so after the read began, no later leader can have committed anything before it.
 * All reads that wait share the next round. A follower asks the leader for such an index and waits until it has applied it.
 *
 *   leader:    waits --round begins: index = commit--> in round --majority--> applied >= index --> done
 *   follower:  waits --question sent--> asked --answer: index--> applied >= index --> done
 *
 * Questions and rounds are numbered; what is lost is sent again each heartbeat.
 */
#include "store/raft_int.h"

/* A follower's question, waiting on the leader as a read does. */
struct fresh_ask {
	struct list link;
	struct raft_io *io;
	uint64_t member, number;
	struct store_fresh fresh;
};

#define ASK_TIMEOUT_US (10 * SEC)

static void answer(struct store_fresh *f, const struct err *e)
{
	list_remove(&f->link);
	loop_timer_stop(&f->timer);
	f->store = NULL;
	f->done(f, e);
}

static void fail(struct store_fresh *f, int code, const char *text)
{
	struct err e = { 0 };
	(void)err_set(&e, code, "%s", text);
	answer(f, &e);
}

static void expired(struct loop_timer *t)
{
	fail(container_of(t, struct store_fresh, timer), E_TIMEOUT, "no majority of masters confirmed the read in time");
}

void store_freshen(struct store *s, int64_t timeout_us, struct store_fresh *f,
		   void (*done)(struct store_fresh *f, const struct err *e))
{
	f->done = done;
	f->store = s;
	f->index = f->round = 0;
	assert(s->raft);
	list_push(&s->raft->fresh, &f->link);
	loop_timer_start(s->loop, &f->timer, timeout_us, expired);
	state_come_again(s);
}

void store_fresh_cancel(struct store_fresh *f)
{
	if (!f->store)
		return;
	list_remove(&f->link);
	loop_timer_stop(&f->timer);
	f->store = NULL;
}

/* ---- confirmed: index is known ---- */

/* Those of this round or before have their index; index 0: the one they noted themselves. */
static void confirm(struct raft_io *io, uint64_t round, uint64_t index)
{
	list_each(&io->fresh, link) {
		struct store_fresh *f = list_entry(link, struct store_fresh, link);
		if (f->round == 0 || f->round > round || f->round == UINT64_MAX)
			continue;
		f->round = UINT64_MAX;           /* confirmed; only applying is left */
		if (index != 0)
			f->index = index;
	}
	fresh_applied(io);
}

void fresh_applied(struct raft_io *io)
{
	struct err ok = { 0 };
	list_each_safe(&io->fresh, link) {
		struct store_fresh *f = list_entry(link, struct store_fresh, link);
		if (f->round == UINT64_MAX && io->store->fsm.meta.index >= f->index)
			answer(f, &ok);
	}
}

static bool majority(const struct raft_io *io, uint64_t round)
{
	const struct raft_configuration *conf = &io->raft.configuration;
	unsigned voters = 0, yes = 0;
	for (unsigned i = 0; i < conf->n; i++) {
		if (conf->servers[i].role != RAFT_VOTER)
			continue;
		voters++;
		bool confirmed = conf->servers[i].id == io->store->member_id;
		for (size_t k = 0; k < io->peer_count; k++)
			confirmed |= io->peers[k].id == conf->servers[i].id && io->peers[k].round >= round;
		yes += confirmed;
	}
	return yes > voters / 2;
}

/* All that wait for a round go into the next one, with this index (0: the leader says it). false: none, or one is under way. */
static bool next_round(struct raft_io *io, uint64_t index)
{
	bool any = false;
	if (io->round_open)
		return false;
	list_each(&io->fresh, link) {
		struct store_fresh *f = list_entry(link, struct store_fresh, link);
		if (f->round != 0)
			continue;
		f->round = io->round + 1;
		f->index = index;
		any = true;
	}
	io->round += any;
	io->round_open = any;
	return any;
}

/* ---- leader ---- */

static void send_rounds(struct raft_io *io)
{
	const struct raft_configuration *conf = &io->raft.configuration;
	for (unsigned i = 0; i < conf->n; i++) {
		const struct raft_server *server = &conf->servers[i];
		if (server->role != RAFT_VOTER || server->id == io->store->member_id || net_peer(io, server->id)->round >= io->round)
			continue;
		raft_Frame f = raft_Frame_init_zero;
		f.kind = raft_Kind_ROUND;
		f.to = server->id;
		f.term = raft_current_term(&io->raft);
		f.has_round = true;
		f.round = io->round;
		net_send(io, &f);
	}
}

static void end_round(struct raft_io *io)
{
	if (!io->round_open || !majority(io, io->round))
		return;
	io->round_open = false;
	confirm(io, io->round, 0);
}

static void begin_round(struct raft_io *io)
{
	if (!next_round(io, raft_commit_index(&io->raft)))
		return;
	send_rounds(io);
	end_round(io);                   /* the only voter needs nobody */
}

static void asked_done(struct store_fresh *fresh, const struct err *e)
{
	struct fresh_ask *ask = container_of(fresh, struct fresh_ask, fresh);
	raft_Frame f = raft_Frame_init_zero;
	f.kind = raft_Kind_FRESH_RESULT;
	f.to = ask->member;
	f.term = raft_current_term(&ask->io->raft);
	f.has_round = f.has_ok = f.has_index = true;
	f.round = ask->number;
	f.ok = e->code == 0;
	f.index = fresh->index;
	net_send(ask->io, &f);
	list_remove(&ask->link);
	free(ask);
}

static void asked(struct raft_io *io, const raft_Frame *f)
{
	list_each(&io->asks, link) {
		const struct fresh_ask *ask = list_entry(link, struct fresh_ask, link);
		if (ask->member == f->from && ask->number == f->round)
			return;                  /* sent again while we are at it */
	}
	if (!raft_io_is_leader(io))
		return;
	struct fresh_ask *ask = xcalloc(1, sizeof(*ask));
	ask->io = io;
	ask->member = f->from;
	ask->number = f->round;
	list_push(&io->asks, &ask->link);
	store_freshen(io->store, ASK_TIMEOUT_US, &ask->fresh, asked_done);
}

/* ---- follower ---- */

static void send_question(struct raft_io *io)
{
	raft_Frame f = raft_Frame_init_zero;
	f.kind = raft_Kind_FRESH;
	f.to = store_leader(io->store);
	f.term = raft_current_term(&io->raft);
	f.has_round = true;
	f.round = io->round;
	if (f.to != 0 && f.to != io->store->member_id)
		net_send(io, &f);
}

static void ask_leader(struct raft_io *io)
{
	if (store_leader(io->store) != 0 && next_round(io, 0))
		send_question(io);
}

/* ---- both ---- */

static void on_round_timer(struct loop_timer *t)
{
	struct raft_io *io = container_of(t, struct raft_io, round_timer);
	if (!io->round_open)
		return;
	if (raft_io_is_leader(io))
		send_rounds(io);
	else
		send_question(io);
	loop_timer_start(io->store->loop, t, (int64_t)io->store->heartbeat_ms * MSEC, on_round_timer);
}

void fresh_changed(struct raft_io *io)
{
	io->round_open = false;
	for (size_t i = 0; i < io->peer_count; i++)
		io->peers[i].round = 0;
	list_each(&io->fresh, link) {
		struct store_fresh *f = list_entry(link, struct store_fresh, link);
		if (f->round != UINT64_MAX)
			f->round = 0;            /* asks again, in the new term */
	}
}

void fresh_turn(struct raft_io *io)
{
	if (raft_io_leads(io->store))
		begin_round(io);
	else if (!raft_io_is_leader(io))
		ask_leader(io);
	if (io->round_open && !loop_timer_active(&io->round_timer))
		loop_timer_start(io->store->loop, &io->round_timer, (int64_t)io->store->heartbeat_ms * MSEC, on_round_timer);
}

void fresh_receive(struct raft_io *io, const raft_Frame *f)
{
	uint64_t term = raft_current_term(&io->raft);
	if (f->kind == raft_Kind_ROUND && f->term >= term) {
		raft_Frame answer_frame = raft_Frame_init_zero;
		answer_frame.kind = raft_Kind_ROUND_RESULT;
		answer_frame.to = f->from;
		answer_frame.term = f->term;
		answer_frame.has_round = true;
		answer_frame.round = f->round;
		net_send(io, &answer_frame);
	} else if (f->kind == raft_Kind_ROUND_RESULT && raft_io_is_leader(io) && f->term == term) {
		struct peer *p = net_peer(io, f->from);
		p->round = MAX(p->round, f->round);
		end_round(io);
	} else if (f->kind == raft_Kind_FRESH) {
		asked(io, f);
	} else if (f->kind == raft_Kind_FRESH_RESULT && !raft_io_is_leader(io) && io->round_open && f->round == io->round) {
		io->round_open = false;
		if (f->ok)
			confirm(io, f->round, MAX(f->index, (uint64_t)1));
		else
			fresh_changed(io);
	}
}

void fresh_close(struct raft_io *io)
{
	loop_timer_stop(&io->round_timer);
	for (struct list *link; (link = list_pop(&io->asks));) {
		struct fresh_ask *ask = list_entry(link, struct fresh_ask, link);
		store_fresh_cancel(&ask->fresh);
		free(ask);
	}
	while (!list_empty(&io->fresh))
		store_fresh_cancel(list_entry(io->fresh.next, struct store_fresh, link));
}
