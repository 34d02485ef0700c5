/* SPDX-License-Identifier: Apache-2.0 */
/* The log on a disk that loses power at random moments: whatever was acknowledged is there afterwards, unchanged. */
#include <stdio.h>

#include "store/raft_log.h"
#include "tests/lib/test.h"
#include "tests/sim/disk.h"

#define SEGMENT (64 * KIB)

/* What entry `index` holds in this test: its length and bytes follow from the index and the life that wrote it. */
static struct str content(uint64_t index, uint64_t life, char out[8192])
{
	struct rnd r;
	rnd_seed(&r, index * 1000003 + life);
	size_t len = rnd_below(&r, 8) ? rnd_below(&r, 300) : rnd_below(&r, 8192);
	for (size_t i = 0; i < len; i++)
		out[i] = rnd_below(&r, 3) ? (char)rnd_u64(&r) : 0;
	return str_n(out, len);
}

struct check {
	uint64_t *lives;         /* life that wrote an entry, by index */
	uint64_t next;
};

static int check_entry(void *arg, const struct log_entry *entry, struct err *e)
{
	struct check *c = arg;
	char want[8192];
	struct str s = content(entry->index, c->lives[entry->index], want);
	(void)e;
	EQ_INT(entry->index, c->next++);
	EQ_INT(entry->term, c->lives[entry->index]);
	EQ_INT(entry->data.len, s.len);
	if (s.len > 0)
		EQ_MEM(entry->data.p, s.p, s.len);
	return 0;
}

/* Append batches until a random moment; returns the last index that was acknowledged. */
static uint64_t live(struct raft_log *log, struct disk_sim *d, uint64_t *lives, uint64_t life, uint64_t index_max)
{
	static char data[32][8192];
	struct err e;
	uint64_t acked = raft_log_last(log);
	for (size_t batches = rnd_below(&d->rnd, 40); batches > 0 && acked + 32 < index_max; batches--) {
		struct log_entry entries[32];
		size_t count = 1 + rnd_below(&d->rnd, 8), bytes = 0;
		for (size_t i = 0; i < count; i++) {
			uint64_t index = acked + 1 + i;
			lives[index] = life;
			entries[i] = (struct log_entry){ index, life, ENTRY_COMMAND, content(index, life, data[i]) };
			bytes += log_entry_bytes(entries[i].data.len);
		}
		if (bytes > raft_log_room(log))
			EQ_INT(raft_log_prepare(log, &e), 0);
		if (batches == 1)
			d->syncs_until_error = (int)rnd_below(&d->rnd, 2);       /* the cut comes before the sync, perhaps */
		if (raft_log_append(log, entries, count, &e) != 0)
			break;
		acked += count;
	}
	return acked;
}

TEST(raft_log_sim, what_was_acknowledged_survives_power_cuts)
{
	struct err e = { 0 };
	for (size_t round = test_rounds(20); round > 0; round--) {
		struct disk_sim d;
		uint64_t lives[4096] = { 0 }, acked = 0;
		disk_sim_init(&d, test_seed() + round);
		d.no_allocate = rnd_below(&d.rnd, 4) == 0;
		for (uint64_t life = 1; life < 12; life++) {
			struct raft_log *log;
			if (raft_log_open(&d.disk, "log", SEGMENT, &log, &e) != 0)
				FAIL("round %zu, life %llu: %s", round, (unsigned long long)life, e.text);
			TRUE(raft_log_last(log) >= acked);
			struct check c = { lives, raft_log_first(log) };
			EQ_INT(raft_log_read(log, 0, check_entry, &c, &e), 0);
			EQ_INT(c.next, raft_log_last(log) + 1);
			acked = live(log, &d, lives, life, ARRAY_LEN(lives));
			d.syncs_until_error = -1;
			raft_log_close(log);
			disk_sim_power_cut(&d);
		}
		disk_sim_fini(&d);
	}
}

TEST(raft_log_sim, a_truncation_is_whole_or_goes_on_after_a_power_cut)
{
	struct err e = { 0 };
	for (size_t round = test_rounds(200); round > 0; round--) {
		struct disk_sim d;
		struct raft_log *log;
		uint64_t lives[4096] = { 0 };
		disk_sim_init(&d, test_seed() + round);
		EQ_INT(raft_log_open(&d.disk, "log", SEGMENT, &log, &e), 0);
		uint64_t last = live(log, &d, lives, 1, ARRAY_LEN(lives)), index = 1 + rnd_below(&d.rnd, last + 1);
		raft_log_close(log);
		d.syncs_until_error = -1;
		EQ_INT(raft_log_open(&d.disk, "log", SEGMENT, &log, &e), 0);
		last = raft_log_last(log);
		d.syncs_until_error = (int)rnd_below(&d.rnd, 6) - 1;
		int rc = raft_log_truncate(log, index, &e);
		d.syncs_until_error = -1;
		raft_log_close(log);
		disk_sim_power_cut(&d);
		if (raft_log_open(&d.disk, "log", SEGMENT, &log, &e) != 0)
			FAIL("round %zu: %s", round, e.text);
		uint64_t now = raft_log_last(log);
		TRUE(now == MIN(index - 1, last) || (rc != 0 && now == last));
		raft_log_close(log);
		disk_sim_fini(&d);
	}
}
