/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run: a cluster comes up, clients begin, for some seconds things break as the seed says, then everything is mended. From
 * there the cluster has HEAL_US to become one again; then what clients saw is checked.
 *
 * What breaks stays within what Raft promises to bear: a member whose disk turned bad is wiped and joins under a new id, and no
 * second one is damaged or taken away before the cluster is whole again. Bits flip where damage can be told from a write that
 * was torn: not in the last segment of the log and not in the vote.
 */
#include "tests/sim/sim.h"

#include <stdio.h>

#include "store/raft_int.h"

#define START_US (30 * SEC)
#define HEAL_US (60 * SEC)

static struct member *any(struct sim *s) { return sim_running(s, rnd_below(&s->rnd, SIM_MEMBERS)); }

static int64_t draw_us(struct sim *s, int64_t max) { return 1 + (int64_t)rnd_below(&s->rnd, (uint64_t)max); }

/* All wanted members are in for good, and nobody else: one of them may be lost. */
static bool whole(struct sim *s)
{
	struct member *leader = sim_leader(s);
	struct store_member list[STORE_MEMBERS_MAX];
	size_t count = leader ? store_members(leader->store, list) : 0, found = 0, wanted = 0, voters = 0;
	if (!leader || leader->store->raft->raft.configuration_uncommitted_index != 0)
		return false;
	for (size_t i = 0; i < s->member_count; i++) {
		if (s->members[i].flipped)
			return false;
		wanted += s->members[i].wanted;
	}
	for (size_t i = 0; i < count; i++) {
		voters += list[i].voter;
		for (size_t k = 0; k < s->member_count; k++)
			found += s->members[k].wanted && s->members[k].id == list[i].id;
	}
	return found == wanted && count == wanted && voters >= wanted - (wanted % 2 == 0);
}

static void break_crash(struct sim *s)
{
	struct member *m = any(s);
	if (m)
		sim_crash(m, rnd_below(&s->rnd, 3) > 0, draw_us(s, 2 * SEC));
}

static void break_crash_leader(struct sim *s)
{
	struct member *m = sim_leader(s);
	if (m)
		sim_crash(m, rnd_below(&s->rnd, 3) > 0, draw_us(s, 2 * SEC));
}

static void break_crash_at_call(struct sim *s)
{
	struct member *m = any(s);
	if (m)
		m->disk.calls_until_dead = (int)rnd_below(&s->rnd, 60);
}

static void break_all(struct sim *s)
{
	for (size_t i = 0; i < s->member_count; i++)
		sim_crash(&s->members[i], true, draw_us(s, SEC));
}

static void break_stop(struct sim *s)
{
	struct member *m = any(s);
	if (m)
		sim_stop(m, draw_us(s, SEC));
}

static void break_error(struct sim *s)
{
	struct member *m = any(s);
	if (m)
		m->disk.calls_until_error = (int)rnd_below(&s->rnd, 60);
}

static void more_space(struct sim *s, struct sim_event *ev)
{
	struct member *m = ev->arg;
	sim_say(s, m->n, "disk has space again");
	m->disk.space = (size_t)GIB;
}

static void break_space(struct sim *s)
{
	struct member *m = any(s);
	if (!m)
		return;
	sim_say(s, m->n, "disk becomes full");
	m->disk.space = rnd_below(&s->rnd, 2) ? 0 : rnd_below(&s->rnd, 100000);
	sim_after(s, draw_us(s, 2 * SEC), more_space, m);
}

/* A file of which damage is noticed: the checkpoint, or a segment of the log before the last. */
static const char *old_file(struct member *m)
{
	const char *oldest = NULL, *newest = NULL;
	for (size_t i = 0; i < DISK_SIM_NAMES; i++) {
		const char *path = m->disk.names[i].path;
		size_t len = strlen(path);
		if (len < 5 || strcmp(path + len - 4, ".log") != 0)
			continue;
		if (!oldest || strcmp(path, oldest) < 0)
			oldest = path;
		if (!newest || strcmp(path, newest) > 0)
			newest = path;
	}
	static char checkpoint[96];
	(void)snprintf(checkpoint, sizeof(checkpoint), "%s/checkpoint", m->dir);
	if (disk_sim_find(&m->disk, checkpoint) && rnd_below(&m->sim->rnd, 2))
		return checkpoint;
	return oldest != newest ? oldest : NULL;
}

static void break_flip(struct sim *s)
{
	struct member *m = any(s);
	if (!m || !whole(s))
		return;
	sim_crash(m, true, draw_us(s, SEC));
	const char *path = old_file(m);
	if (path && disk_sim_flip(&m->disk, path)) {
		sim_say(s, m->n, "a bit of %s flips", path + strlen(m->dir) + 1);
		m->flipped = true;
	}
}

static void join_network(struct sim *s, struct sim_event *ev)
{
	(void)ev;
	sim_heal(s);
}

static void break_isolate(struct sim *s)
{
	struct member *m = rnd_below(&s->rnd, 2) ? sim_leader(s) : any(s);
	if (!m)
		return;
	sim_isolate(s, m->n);
	sim_after(s, draw_us(s, 2 * SEC), join_network, NULL);
}

static void break_split(struct sim *s)
{
	bool side[SIM_MEMBERS];
	for (size_t i = 0; i < s->member_count; i++)
		side[i] = rnd_below(&s->rnd, 2);
	for (size_t i = 0; i < s->member_count; i++)
		for (size_t k = 0; k < s->member_count; k++)
			s->cut[i][k] |= side[i] != side[k];
	sim_say(s, 0, "network split");
	sim_after(s, draw_us(s, 2 * SEC), join_network, NULL);
}

static void break_one_way(struct sim *s)
{
	size_t from = rnd_below(&s->rnd, s->member_count);
	bool all = rnd_below(&s->rnd, 2);
	for (size_t to = 0; to < s->member_count; to++)
		s->cut[from][to] |= all || rnd_below(&s->rnd, 2);
	sim_say(s, (int)from + 1, "is not heard any more");
	sim_after(s, draw_us(s, 2 * SEC), join_network, NULL);
}

static void break_pause(struct sim *s)
{
	struct member *m = rnd_below(&s->rnd, 2) ? sim_leader(s) : any(s);
	if (m)
		sim_pause(m, draw_us(s, rnd_below(&s->rnd, 3) ? SEC / 2 : 3 * SEC));
}

static void break_clock(struct sim *s)
{
	struct member *m = any(s);
	if (!m)
		return;
	m->wall_us = draw_us(s, 2 * DAY) - DAY;
	sim_say(s, m->n, "wall clock jumps");
}

static void break_replace(struct sim *s)
{
	struct member *m = any(s);
	if (!m || !m->wanted || !whole(s) || s->member_count == SIM_MEMBERS)
		return;
	sim_say(s, m->n, "is to be replaced");
	m->wanted = false;
	if (rnd_below(&s->rnd, 2)) {
		sim_crash(m, true, 0);
		m->up_us = INT64_MAX;
	}
	(void)sim_member_add(s, s->now_us + draw_us(s, SEC));
}

static void break_grow(struct sim *s)
{
	if (whole(s) && s->member_count < SIM_MEMBERS)
		sim_say(s, sim_member_add(s, s->now_us + draw_us(s, SEC))->n, "is new");
}

static void break_shrink(struct sim *s)
{
	struct member *m = any(s);
	unsigned wanted = 0;
	for (size_t i = 0; i < s->member_count; i++)
		wanted += s->members[i].wanted;
	if (!m || !m->wanted || !whole(s) || wanted <= 3)
		return;
	m->wanted = false;
	sim_say(s, m->n, "is to leave");
}

static void transferred(struct propose *p, struct str reply, const struct err *e)
{
	const struct member *m = container_of(p, struct member, admin);
	(void)reply;
	sim_say(m->sim, m->n, "lead handed over: %s", e->code == 0 ? "done" : e->text);
}

static void transfer(void *arg)
{
	struct member *m = arg;
	if (!m->admin.command)
		store_transfer(m->store, 0, SEC, &m->admin, transferred);
}

static void break_transfer(struct sim *s)
{
	struct member *m = sim_leader(s);
	if (m && m->paused_us <= s->now_us)
		sim_in_turn(m, transfer, m);
}

static void (*const breaks[])(struct sim *s) = {
	break_crash, break_crash_leader, break_crash_at_call, break_all, break_stop, break_error, break_space, break_flip,
	break_isolate, break_split, break_one_way, break_pause, break_clock, break_transfer, break_replace, break_grow, break_shrink,
};

static void mend(struct sim *s)
{
	sim_heal(s);
	sim_say(s, 0, "everything is mended");
	s->network.loss = s->network.twice = s->network.late = 0;
	for (size_t i = 0; i < s->member_count; i++) {
		struct member *m = &s->members[i];
		m->disk.space = (size_t)GIB;
		m->disk.calls_until_dead = m->disk.calls_until_error = m->disk.syncs_until_error = -1;
		m->paused_us = 0;
	}
}

static bool healed(struct sim *s) { return load_idle(s) && sim_settled(s); }

static void draw_network(struct sim *s)
{
	s->network.delay_us = draw_us(s, rnd_below(&s->rnd, 3) ? 500 : 5000);
	s->network.jitter_us = draw_us(s, rnd_below(&s->rnd, 3) ? 500 : 10000);
	if (rnd_below(&s->rnd, 2))
		s->network.loss = (unsigned)rnd_below(&s->rnd, 50);
	if (rnd_below(&s->rnd, 2))
		s->network.twice = (unsigned)rnd_below(&s->rnd, 50);
	if (rnd_below(&s->rnd, 2))
		s->network.late = (unsigned)rnd_below(&s->rnd, 30);
}

/* Where everybody stands, for the end of a story. */
static void say_members(struct sim *s)
{
	for (size_t i = 0; i < s->member_count; i++) {
		const struct member *m = &s->members[i];
		struct raft_io *io = m->state == MEMBER_UP ? m->store->raft : NULL;
		if (!io)
			sim_say(s, m->n, "%s, down", m->wanted ? "wanted" : "not wanted");
		else
			sim_say(s, m->n, "%s, %s, term %llu, applied %llu, committed %llu, on disk %llu (known: %llu), last %llu, members as of %llu"
				"%s%s", m->wanted ? "wanted" : "not wanted", raft_state_name(io->raft.state), raft_current_term(&io->raft),
				(unsigned long long)store_applied(m->store), raft_commit_index(&io->raft), (unsigned long long)io->persisted,
				io->raft.last_stored, raft_last_index(&io->raft), io->raft.configuration_committed_index,
				io->raft.configuration_uncommitted_index ? " and more" : "", io->raft.snapshot.installing ? ", installs" : "");
	}
}

void chaos_run(uint64_t seed, struct chaos_figures *out)
{
	struct sim *s = sim_new(seed, 3 + 2 * (seed % 4 == 3));
	bool may[ARRAY_LEN(breaks)];
	if (!sim_run_until(s, sim_settled, START_US))
		sim_fail(s, "no cluster in %d s", (int)(START_US / SEC));
	draw_network(s);
	for (size_t i = 0; i < ARRAY_LEN(breaks); i++)
		may[i] = rnd_below(&s->rnd, 2);
	load_start(s);
	for (int64_t until = s->now_us + 2 * SEC + draw_us(s, 4 * SEC); s->now_us < until;) {
		size_t i = rnd_below(&s->rnd, ARRAY_LEN(breaks));
		sim_run(s, draw_us(s, 300 * MSEC));
		if (may[i])
			breaks[i](s);
	}
	mend(s);
	sim_run(s, 500 * MSEC);
	load_stop(s);
	if (!sim_run_until(s, healed, HEAL_US)) {
		say_members(s);
		sim_fail(s, "not healed after %d s", (int)(HEAL_US / SEC));
	}
	load_check(s);
	*out = (struct chaos_figures){ .events = s->event_count, .operations = load_count(s), .leaders = store_term(sim_leader(s)->store) };
	for (size_t i = 0; i < s->member_count; i++)
		out->crashes += s->members[i].lives - 1;
	sim_free(s);
}
