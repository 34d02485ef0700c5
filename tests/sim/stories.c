/* SPDX-License-Identifier: Apache-2.0 */
/* Stories of simulated clusters: what is expected to happen, told by the members themselves, with virtual milliseconds. */
#include "tests/lib/test.h"
#include "tests/sim/sim.h"

static struct sim *settled(uint64_t seed, size_t count)
{
	struct sim *s = sim_new(seed, count);
	if (!sim_run_until(s, sim_settled, 10 * SEC))
		sim_fail(s, "no cluster");
	s->expected = s->story.len;
	return s;
}

SIM(raft, the_first_member_leads_and_takes_the_others_in)
{
	struct sim *s = sim_new(1, 3);
	EXPECT_TRACE(s, 400 * MS,
		"[0] 1:   self elect and convert to leader\n",
		"1: leads, term 1\n",
		"[100] 1: adds member 2 as 102\n",
		"2:   missing previous entry (3^1) -> reject\n",
		"[200] 1: adds member 3 as 103\n",
		"1:   replicate 1 new configuration entry (5^1)\n",          /* two learners are ready: one becomes a voter, */
		"1:   next uncommitted entry (5^1) has 1 vote out of 2\n",
		"1:   replicate 1 new configuration entry (6^1)\n",          /* and at once the other */
		"1:   next uncommitted entry (6^1) has 1 vote out of 3\n",
		"1:   commit 1 new entry (6^1)\n");
	sim_free(s);
}

SIM(raft, a_new_leader_after_partition)
{
	struct sim *s = settled(2, 3);
	sim_isolate(s, 1);
	EXPECT_TRACE(s, 800 * MS,
		"1: cut off\n",
		"1:   unable to contact majority of cluster -> step down\n",
		"1: leads no more, term 1\n",
		"2:   votes quorum reached -> pre-vote successful\n",
		"2:   quorum reached with 2 votes out of 3 -> convert to leader\n",
		"2:   replicate 1 new barrier entry (7^2)\n",
		"2:   commit 2 new entries (6^1..7^2)\n",
		"2: leads, term 2\n");
	sim_heal(s);
	EXPECT_TRACE(s, 800 * MS,
		"network healed\n",
		"1:   remote term is higher (2 vs 1) -> bump term, step down\n",
		"1:   start persisting 1 new entry (7^2)\n");
	TRUE(sim_settled(s));
	sim_free(s);
}

SIM(raft, a_member_that_lags_catches_up_by_snapshot)
{
	struct sim *s = settled(3, 3);
	s->segment_bytes = (size_t)(32 * KIB);
	sim_crash(&s->members[2], false, 4 * SEC);
	load_start(s);
	sim_run(s, 3 * SEC);
	load_stop(s);
	s->expected = s->story.len;
	EXPECT_TRACE(s, 3 * SEC,
		"3: starts at index 0, term 1\n",
		"-> needs snapshot\n",
		"1:   sending snapshot (",
		"3: > recv install snapshot from server 101\n",
		"3:   start persisting snapshot (",
		"3: > persisted snapshot (");
	TRUE(sim_run_until(s, sim_settled, SEC));
	sim_free(s);
}

static void transferred(struct propose *p, struct str reply, const struct err *e)
{
	struct member *m = container_of(p, struct member, admin);
	(void)reply;
	sim_say(m->sim, m->n, "transfer: %s", e->code == 0 ? "done" : e->text);
}

static void transfer(void *arg)
{
	struct member *m = arg;
	store_transfer(m->store, 102, SEC, &m->admin, transferred);
}

SIM(raft, the_lead_is_handed_over_without_a_timeout)
{
	struct sim *s = settled(4, 3);
	sim_in_turn(&s->members[0], transfer, &s->members[0]);
	EXPECT_TRACE(s, 200 * MS,
		"1: > transfer leadership to 102\n",
		"1:   send timeout to 102\n",
		"2: > recv timeout now from server 101\n",
		"2:   convert to candidate, start election for term 2\n",
		"2:   quorum reached with 2 votes out of 3 -> convert to leader\n",
		"1: transfer: done\n",
		"2: leads, term 2\n");
	sim_free(s);
}
