/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members: added as learners, promoted when they have caught up, removed; the lead handed over. One configuration is under way
 * at a time, each a single step from the one before. Everything happens on the leader, from the loop's turn.
 *
 * Voters are promoted such that an even number of them exists only in passing: to an odd number two learners must be ready.
 */
#include "store/raft_int.h"

#include <stdio.h>

#include "net/base/log.h"

#define PROMOTE_LAG 256                  /* entries a learner may lack and still counts as caught up */
#define HEARD_US (3 * SEC)               /* a learner not heard of for so long is not promoted */

/* ---- what stands ---- */

static const struct raft_server *find_id(const struct raft_configuration *conf, uint64_t id)
{
	for (unsigned i = 0; i < conf->n; i++)
		if (conf->servers[i].id == id)
			return &conf->servers[i];
	return NULL;
}

static const struct raft_server *find_address(const struct raft_configuration *conf, const char *address)
{
	for (unsigned i = 0; i < conf->n; i++)
		if (strcmp(conf->servers[i].address, address) == 0)
			return &conf->servers[i];
	return NULL;
}

uint64_t store_leader(const struct store *s)
{
	raft_id id = 0;
	const char *address;
	if (!s->started || s->stopped.code != 0 || s->raft->raft.state == RAFT_CANDIDATE)
		return 0;
	raft_leader(&s->raft->raft, &id, &address);
	return id;
}

uint64_t store_member_id(const struct store *s) { return s->member_id; }

static int64_t heard(struct raft_io *io, uint64_t id)
{
	for (size_t i = 0; i < io->peer_count; i++)
		if (io->peers[i].id == id)
			return io->peers[i].heard_us;
	return 0;
}

size_t store_members(const struct store *s, struct store_member out[STORE_MEMBERS_MAX])
{
	struct raft_io *io = s->raft;
	size_t n = 0;
	if (!s->started)
		return 0;
	uint64_t leader = store_leader(s);
	for (unsigned i = 0; i < io->raft.configuration.n && n < STORE_MEMBERS_MAX; i++) {
		const struct raft_server *server = &io->raft.configuration.servers[i];
		struct store_member *m = &out[n++];
		raft_index matched = 0;
		*m = (struct store_member){ .id = server->id, .voter = server->role == RAFT_VOTER, .leads = server->id == leader,
					    .self = server->id == s->member_id };
		(void)snprintf(m->address, sizeof(m->address), "%s", server->address);
		if (m->self)
			matched = io->persisted;
		else
			(void)raft_match_index(&io->raft, server->id, &matched);
		m->matched = matched;
		m->heard_us = m->self ? loop_now_us(s->loop) : heard(io, server->id);
	}
	return n;
}

/* ---- changing it ---- */

static bool config_settled(const struct raft_io *io)
{
	return io->raft.configuration_uncommitted_index == 0 && io->store->fsm.meta.index >= io->raft.configuration_committed_index;
}

static int copy_config(const struct raft_configuration *from, struct raft_configuration *to)
{
	int rc = 0;
	raft_configuration_init(to);
	for (unsigned i = 0; rc == 0 && i < from->n; i++)
		rc = raft_configuration_add(to, from->servers[i].id, from->servers[i].address, from->servers[i].role);
	return rc;
}

/* Submit a configuration; false: no room in the log yet, come again. */
static bool submit_config(struct raft_io *io, const struct raft_configuration *conf)
{
	struct raft_buffer raw;
	if (raft_configuration_encode(conf, &raw) != 0)
		return false;
	struct command *c = command_new(str_n(raw.base, raw.len), ENTRY_CHANGE);
	raft_free(raw.base);
	bool room = raft_io_room(io, log_entry_bytes(c->len));
	if (room)
		raft_io_submit(io, c);
	command_unref(c);
	return room;
}

/* The configuration with one member put (role, address), or taken out when address is NULL. */
static bool submit_member(struct raft_io *io, uint64_t id, const char *address, int role)
{
	struct raft_configuration now, next;
	if (copy_config(&io->raft.configuration, &now) != 0)
		return false;
	raft_configuration_init(&next);
	int rc = 0;
	bool found = false;
	for (unsigned i = 0; rc == 0 && i < now.n; i++) {
		const struct raft_server *server = &now.servers[i];
		bool it = server->id == id;
		found |= it;
		if (!it)
			rc = raft_configuration_add(&next, server->id, server->address, server->role);
		else if (address)
			rc = raft_configuration_add(&next, id, address, role);
	}
	if (rc == 0 && !found && address)
		rc = raft_configuration_add(&next, id, address, role);
	bool done = rc == 0 && submit_config(io, &next);
	raft_configuration_close(&now);
	raft_configuration_close(&next);
	return done;
}

/* ---- what was asked for ---- */

static void change_free(struct member_change *ch)
{
	list_remove(&ch->link);
	command_unref(ch->command);
	free(ch);
}

static void change_answer(struct member_change *ch, int code, const char *text)
{
	struct err e = { 0 };
	if (code != 0)
		(void)err_set(&e, code, "%s", text);
	command_answer(ch->command, STR(""), &e);
	change_free(ch);
}

static const char *why_not(const struct raft_io *io, const struct member_change *ch)
{
	const struct raft_configuration *conf = &io->raft.configuration;
	const struct raft_server *server = find_id(conf, ch->id);
	if (!ch->remove && server && strcmp(server->address, ch->address) != 0)
		return "a member with this id and another key exists already";
	if (!ch->remove && !server && conf->n >= LIMIT_QUORUM_MEMBERS)
		return "there are too many masters; remove dead ones first";
	if (ch->remove && ch->id == io->store->member_id)
		return "the leading master does not remove itself; transfer the lead first";
	return NULL;
}

/* One step of the oldest change; a change of several steps comes here again. */
static void change_step(struct raft_io *io, struct member_change *ch)
{
	const struct raft_configuration *conf = &io->raft.configuration;
	const struct raft_server *server = find_id(conf, ch->id);
	const char *no = why_not(io, ch);
	if (no) {
		change_answer(ch, E_INVALID, no);
	} else if (!ch->remove == (server != NULL)) {
		change_answer(ch, 0, "");            /* stands already, or does by now */
	} else if (ch->remove) {
		(void)submit_member(io, ch->id, NULL, 0);
	} else {
		const struct raft_server *former = find_address(conf, ch->address);
		if (former && former->id == io->store->member_id)
			change_answer(ch, E_CONFLICT, "the leading master itself has this key");
		else if (former)
			(void)submit_member(io, former->id, NULL, 0);
		else
			(void)submit_member(io, ch->id, ch->address, RAFT_STANDBY);
	}
}

static bool ready(struct raft_io *io, const struct raft_server *server)
{
	raft_index matched = 0;
	if (server->role != RAFT_STANDBY || raft_match_index(&io->raft, server->id, &matched) != 0)
		return false;
	return matched + PROMOTE_LAG >= raft_last_index(&io->raft) && matched > 0 &&
	       loop_now_us(io->store->loop) - heard(io, server->id) < HEARD_US;
}

static void promote(struct raft_io *io)
{
	const struct raft_configuration *conf = &io->raft.configuration;
	const struct raft_server *learner = NULL;
	unsigned voters = 0, learners = 0;
	for (unsigned i = 0; i < conf->n; i++) {
		voters += conf->servers[i].role == RAFT_VOTER;
		if (ready(io, &conf->servers[i])) {
			learner = &conf->servers[i];
			learners++;
		}
	}
	if (learners == 0 || voters >= LIMIT_QUORUM_VOTERS || (voters % 2 == 1 && learners < 2))
		return;
	AUTO_FREE char *address = xstrdup(learner->address);
	LOG(INFO, "learner becomes voter", "member=%016llx voters=%u", (unsigned long long)learner->id, voters + 1);
	(void)submit_member(io, learner->id, address, RAFT_VOTER);
}

/* Its key may be known under a former name, as a directory made before members were known by key has it. */
static bool rename_self(struct raft_io *io)
{
	const struct store *s = io->store;
	const struct raft_server *self = find_id(&io->raft.configuration, s->member_id);
	if (!self || strcmp(self->address, s->address) == 0)
		return false;
	return submit_member(io, s->member_id, s->address, self->role);
}

static void transfer_turn(struct raft_io *io)
{
	struct store *s = io->store;
	struct err e = { 0 };
	uint64_t leader = store_leader(s);
	if (!io->transfer)
		return;
	if (!raft_io_is_leader(io) && leader == 0)
		return;
	if (raft_io_is_leader(io) && raft_transferee(&io->raft) != 0)
		return;
	if (raft_io_is_leader(io))
		(void)err_set(&e, E_TIMEOUT, "the other master did not take the lead in time; this one leads on");
	struct command *c = MOVE(io->transfer);
	command_answer(c, STR(""), &e);
	command_unref(c);
}

void members_turn(struct raft_io *io)
{
	struct store *s = io->store;
	transfer_turn(io);
	if (!raft_io_is_leader(io)) {
		for (struct list *link; (link = list_pop(&io->changes));)
			change_answer(list_entry(link, struct member_change, link), E_TIMEOUT,
				      "this master lost the lead; whether the members changed is unknown");
	} else if (raft_io_leads(s) && config_settled(io) && raft_transferee(&io->raft) == 0 && !rename_self(io)) {
		if (!list_empty(&io->changes))
			change_step(io, list_entry(io->changes.next, struct member_change, link));
		if (config_settled(io) && list_empty(&io->changes))
			promote(io);
	}
	uint64_t leader = store_leader(s), config = MAX(io->raft.configuration_uncommitted_index,
							 io->raft.configuration_committed_index);
	if (leader != io->told_leader || config != io->told_config) {
		io->told_leader = leader;
		io->told_config = config;
		state_tell_members(s);
	}
}

void members_close(struct raft_io *io)
{
	for (struct list *link; (link = list_pop(&io->changes));) {
		struct member_change *ch = list_entry(link, struct member_change, link);
		if (ch->command->p)
			propose_cancel(ch->command->p);
		change_free(ch);
	}
	if (io->transfer && io->transfer->p)
		propose_cancel(io->transfer->p);
	command_unref(MOVE(io->transfer));
}

/* ---- the outside ---- */

static struct command *waiting(struct store *s, int64_t timeout_us, struct propose *p,
			       void (*done)(struct propose *p, struct str reply, const struct err *e))
{
	struct command *c = command_new(STR(""), ENTRY_CHANGE);
	state_await(s, c, timeout_us, p, done);
	return c;
}

static void change(struct store *s, struct member_change *ch)
{
	struct err e = { 0 };
	if (!s->started || s->stopped.code != 0 || !raft_io_is_leader(s->raft)) {
		(void)err_set(&e, E_NOTLEADER, "this master does not lead");
		state_refuse(s, command_ref(ch->command), &e);
		list_init(&ch->link);
		change_free(ch);
		return;
	}
	list_push(&s->raft->changes, &ch->link);
	state_come_again(s);
}

void store_member_add(struct store *s, uint64_t id, const char *address, int64_t timeout_us, struct propose *p,
		      void (*done)(struct propose *p, struct str reply, const struct err *e))
{
	struct member_change *ch = xcalloc(1, sizeof(*ch));
	ch->id = id;
	(void)snprintf(ch->address, sizeof(ch->address), "%s", address);
	ch->command = waiting(s, timeout_us, p, done);
	change(s, ch);
}

void store_member_remove(struct store *s, uint64_t id, int64_t timeout_us, struct propose *p,
			 void (*done)(struct propose *p, struct str reply, const struct err *e))
{
	struct member_change *ch = xcalloc(1, sizeof(*ch));
	ch->remove = true;
	ch->id = id;
	ch->command = waiting(s, timeout_us, p, done);
	change(s, ch);
}

static int begin_transfer(struct store *s, uint64_t id, struct err *e)
{
	struct raft_io *io = s->raft;
	if (!s->started || s->stopped.code != 0 || !raft_io_leads(s))
		return err_set(e, E_NOTLEADER, "this master does not lead");
	if (io->transfer)
		return err_set(e, E_BUSY, "the lead is being handed over already");
	const struct raft_server *server = find_id(&io->raft.configuration, id);
	bool any = false;
	for (unsigned i = 0; i < io->raft.configuration.n; i++)
		any |= io->raft.configuration.servers[i].role == RAFT_VOTER && io->raft.configuration.servers[i].id != s->member_id;
	if (id == 0 ? !any : (!server || server->role != RAFT_VOTER || id == s->member_id))
		return err_set(e, E_NOTFOUND, "there is no such other voter to hand the lead to");
	return 0;
}

void store_transfer(struct store *s, uint64_t id, int64_t timeout_us, struct propose *p,
		    void (*done)(struct propose *p, struct str reply, const struct err *e))
{
	struct err e = { 0 };
	struct command *c = waiting(s, timeout_us, p, done);
	if (begin_transfer(s, id, &e) != 0) {
		state_refuse(s, c, &e);
		return;
	}
	s->raft->transfer = c;
	struct raft_event event = { .type = RAFT_TRANSFER, .transfer = { .server_id = id } };
	(void)raft_io_step(s->raft, &event, NULL, 0);
	state_come_again(s);
}
