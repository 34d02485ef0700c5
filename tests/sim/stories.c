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
	EXPECT_TRACE(s, 400 * MS, "X");
	sim_free(s);
}

SIM(raft, a_new_leader_after_partition)
{
	struct sim *s = settled(2, 3);
	sim_isolate(s, 1);
	EXPECT_TRACE(s, 800 * MS, "X");
	sim_heal(s);
	EXPECT_TRACE(s, 800 * MS, "Y");
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
	EXPECT_TRACE(s, 3 * SEC, "X");
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
	EXPECT_TRACE(s, 200 * MS, "X");
	sim_free(s);
}
