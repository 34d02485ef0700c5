/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "store/kv.h"
#include "store/raft_log.h"
#include "tests/lib/test.h"
#include "tests/sim/disk.h"

#define SEGMENT (16 * KIB)
#define FIRST "log/0000000000000001.log"

static struct raft_log *opened(struct disk_sim *d)
{
	struct raft_log *log;
	struct err e;
	if (raft_log_open(&d->disk, "log", SEGMENT, &log, &e) != 0)
		FAIL("%s", e.text);
	return log;
}

/* Append one entry alone, in term 1. */
static int append(struct raft_log *log, const char *text, struct err *e)
{
	struct log_entry entry = { raft_log_last(log) + 1, 1, ENTRY_COMMAND, str_of(text) };
	int rc = log_entry_bytes(entry.data.len) <= raft_log_room(log) ? 0 : raft_log_prepare(log, e);
	return rc == 0 ? raft_log_append(log, &entry, 1, e) : rc;
}

static int join(void *arg, const struct log_entry *entry, struct err *e)
{
	(void)e;
	(void)buf_str(arg, entry->data);
	(void)buf_putc(arg, ' ');
	return 0;
}

static void expect_entries(struct raft_log *log, const char *want)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct err e;
	EQ_INT(raft_log_read(log, 0, join, &b, &e), 0);
	EQ_STR(buf_cstr(&b), want);
}

/* A log of three entries, closed again. */
static void three(struct disk_sim *d)
{
	struct err e;
	disk_sim_init(d, test_seed());
	struct raft_log *log = opened(d);
	EQ_INT(append(log, "one", &e), 0);
	EQ_INT(append(log, "two", &e), 0);
	EQ_INT(append(log, "three", &e), 0);
	raft_log_close(log);
}

TEST(raft_log, entries_are_there_after_reopening)
{
	struct disk_sim d;
	three(&d);
	struct raft_log *log = opened(&d);
	EQ_INT(raft_log_first(log), 1);
	EQ_INT(raft_log_last(log), 3);
	expect_entries(log, "one two three ");
	raft_log_close(log);
	disk_sim_fini(&d);
}

TEST(raft_log, the_torn_end_of_an_append_is_cut_and_written_over)
{
	struct disk_sim d;
	struct err e;
	three(&d);
	struct disk_sim_file *f = disk_sim_find(&d, FIRST);
	memset(f->now + 64 + 48 + 48, 0, 40);                    /* the head of "three" never reached the disk */
	struct raft_log *log = opened(&d);
	EQ_INT(raft_log_last(log), 2);
	EQ_INT(append(log, "drei", &e), 0);
	raft_log_close(log);
	log = opened(&d);
	expect_entries(log, "one two drei ");
	raft_log_close(log);
	disk_sim_fini(&d);
}

TEST(raft_log, a_flipped_bit_before_the_end_is_damage_with_file_and_offset)
{
	struct disk_sim d;
	struct err e;
	struct raft_log *log;
	three(&d);
	disk_sim_find(&d, FIRST)->now[64 + 48 + 41] ^= 4;        /* in "two" */
	EQ_INT(raft_log_open(&d.disk, "log", SEGMENT, &log, &e), E_CORRUPT);
	HAS(e.text, "log file '" FIRST "' is damaged at byte 112");
	disk_sim_fini(&d);
}

TEST(raft_log, a_flipped_bit_in_the_last_entry_is_damage_too)
{
	struct disk_sim d;
	struct err e;
	struct raft_log *log;
	three(&d);
	disk_sim_find(&d, FIRST)->now[64 + 48 + 48 + 41] ^= 4;   /* in "three": a torn write leaves zeros, not this */
	EQ_INT(raft_log_open(&d.disk, "log", SEGMENT, &log, &e), E_CORRUPT);
	HAS(e.text, "is damaged at byte 160");
	disk_sim_fini(&d);
}

TEST(raft_log, a_missing_file_in_the_middle_is_damage)
{
	struct disk_sim d;
	struct err e;
	char big[9000];
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	disk_sim_init(&d, test_seed());
	struct raft_log *log = opened(&d);
	for (int i = 0; i < 3; i++)
		EQ_INT(append(log, big, &e), 0);
	raft_log_close(log);
	EQ_INT(d.disk.remove(&d, "log/0000000000000002.log"), 0);
	EQ_INT(raft_log_open(&d.disk, "log", SEGMENT, &log, &e), E_CORRUPT);
	HAS(e.text, "entries are missing before the next file");
	disk_sim_fini(&d);
}

TEST(raft_log, a_newer_format_is_refused)
{
	struct disk_sim d;
	struct err e;
	struct raft_log *log;
	three(&d);
	uint8_t *head = disk_sim_find(&d, FIRST)->now;
	head[8] = 2;
	uint32_t crc = crc32c(0, head, 60);
	memcpy(head + 60, &crc, sizeof(crc));
	EQ_INT(raft_log_open(&d.disk, "log", SEGMENT, &log, &e), E_NEWER);
	HAS(e.text, "written by a newer dcos-node (format 2, this one reads 1)");
	disk_sim_fini(&d);
}

TEST(raft_log, a_full_disk_refuses_the_next_segment_and_recovers)
{
	struct disk_sim d;
	struct err e;
	char big[9000];
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	three(&d);
	struct raft_log *log = opened(&d);
	EQ_INT(append(log, big, &e), 0);
	d.space = 100;
	EQ_INT(append(log, big, &e), E_NOSPACE);
	EQ_INT(append(log, "small ones still fit", &e), 0);
	d.space = (size_t)MIB;
	EQ_INT(append(log, big, &e), 0);
	EQ_INT(raft_log_last(log), 6);
	raft_log_close(log);
	disk_sim_fini(&d);
}

TEST(raft_log, a_write_without_space_in_reserved_room_can_be_tried_again)
{
	struct disk_sim d;
	struct err e;
	three(&d);
	struct raft_log *log = opened(&d);
	d.thin = true;
	d.space = 0;
	EQ_INT(append(log, "four", &e), E_NOSPACE);
	d.space = 1;
	EQ_INT(append(log, "four", &e), 0);
	expect_entries(log, "one two three four ");
	raft_log_close(log);
	disk_sim_fini(&d);
}

TEST(raft_log, after_a_failed_sync_nothing_is_taken_any_more)
{
	struct disk_sim d;
	struct err e;
	three(&d);
	struct raft_log *log = opened(&d);
	d.syncs_until_error = 0;
	EQ_INT(append(log, "four", &e), E_IO);
	d.syncs_until_error = -1;
	EQ_INT(append(log, "four", &e), E_IO);
	HAS(e.text, "failed before; restart this node");
	raft_log_close(log);
	disk_sim_fini(&d);
}

TEST(raft_log, cutting_removes_whole_segments_and_keeps_the_rest)
{
	struct disk_sim d;
	struct err e;
	char big[9000];
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	disk_sim_init(&d, test_seed());
	struct raft_log *log = opened(&d);
	for (int i = 0; i < 4; i++)
		EQ_INT(append(log, big, &e), 0);                 /* one a segment */
	EQ_INT(raft_log_cut(log, 2, &e), 0);
	EQ_INT(raft_log_first(log), 3);
	EQ_INT(raft_log_cut(log, 100, &e), 0);
	EQ_INT(raft_log_first(log), 4);
	raft_log_close(log);
	log = opened(&d);
	EQ_INT(raft_log_first(log), 4);
	EQ_INT(raft_log_last(log), 4);
	raft_log_close(log);
	disk_sim_fini(&d);
}

TEST(raft_log, the_vote_survives_a_torn_write_of_the_next)
{
	struct disk_sim d;
	struct err e;
	struct raft_vote v = { 0, 7, 3 }, got;
	disk_sim_init(&d, test_seed());
	EQ_INT(raft_vote_load(&d.disk, "dir", &got, &e), 0);
	EQ_INT(got.count, 0);
	EQ_INT(raft_vote_store(&d.disk, "dir", &v, &e), 0);
	v.term = 8;
	EQ_INT(raft_vote_store(&d.disk, "dir", &v, &e), 0);
	EQ_INT(raft_vote_load(&d.disk, "dir", &got, &e), 0);
	EQ_INT(got.term, 8);
	disk_sim_find(&d, "dir/vote.0")->now[20] ^= 1;
	EQ_INT(raft_vote_load(&d.disk, "dir", &got, &e), 0);
	EQ_INT(got.term, 7);
	disk_sim_find(&d, "dir/vote.1")->now[20] ^= 1;
	EQ_INT(raft_vote_load(&d.disk, "dir", &got, &e), E_CORRUPT);
	disk_sim_fini(&d);
}
