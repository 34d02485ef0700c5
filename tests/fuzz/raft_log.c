/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment of the log with any content: it opens or is refused, and what opens can be read, written to, and opened again with
 * the same entries. The input is laid over a segment of three entries (its first byte says how), so that checksums hold often.
 */
#include <stdio.h>

#include "store/raft_log.h"
#include "tests/sim/disk.c"       /* the harness is one program file beside our own objects */

#define SEGMENT (8 * KIB)
#define FIRST "log/0000000000000001.log"

static void append(struct raft_log *log, const char *text)
{
	struct err e;
	struct log_entry entry = { raft_log_last(log) + 1, UINT64_MAX, ENTRY_COMMAND, str_of(text) };
	size_t bytes = log_entry_bytes(entry.data.len);
	if (bytes <= raft_log_room(log) || raft_log_prepare(log, &e) == 0)
		(void)raft_log_append(log, &entry, 1, &e);
}

static int count(void *arg, const struct log_entry *entry, struct err *e)
{
	(void)entry;
	(void)e;
	++*(uint64_t *)arg;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct disk_sim d;
	struct raft_log *log;
	struct err e;
	if (size < 3)
		return 0;
	disk_sim_init(&d, 1);
	if (raft_log_open(&d.disk, "log", SEGMENT, &log, &e) != 0)
		abort();
	append(log, "one");
	append(log, "a second entry that is longer than the first one and crosses into another sector of the disk, as long ones do");
	append(log, "three");
	raft_log_close(log);
	struct disk_sim_file *f = disk_sim_find(&d, FIRST);
	size_t at = data[0] & 1 ? 0 : (size_t)(data[1] << 8 | data[2]) % f->len;
	size -= 3;
	memcpy(f->now + at, data + 3, MIN(size, f->len - at));
	if (data[0] & 2)
		f->len = at;                     /* cut short */
	if (raft_log_open(&d.disk, "log", SEGMENT, &log, &e) == 0) {
		uint64_t entries = 0, again = 0;
		if (raft_log_read(log, 0, count, &entries, &e) != 0)
			abort();
		append(log, "four");
		raft_log_close(log);
		if (raft_log_open(&d.disk, "log", SEGMENT, &log, &e) != 0 || raft_log_read(log, 0, count, &again, &e) != 0)
			abort();
		if (again != entries + 1)
			abort();
		raft_log_close(log);
	}
	disk_sim_fini(&d);
	return 0;
}
