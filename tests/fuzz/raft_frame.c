/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of another member: any bytes are decoded or refused; and any frame that contradicts nothing by itself, whatever its
 * numbers, is taken by a running store without a crash. Entries get the checksums they need to be looked at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/base/log.h"
#include "net/pb_util.h"
#include "store/raft_wire.h"
#include "store/raft_log.h"
#include "store/state.h"
#include "tests/sim/disk.c"       /* the harness is one program file beside our own objects */

#define STEPS_MAX 64
#define ENTRIES_MAX 8

static struct loop_virtual v;
static struct loop *loop;
static struct disk_sim disk;
static struct store *store;
static struct work *works[64];
static size_t work_count;
static char dir[] = "/tmp/fuzz-frames-XXXXXX";

static void take_work(struct loop_virtual *l, struct work *w)
{
	(void)l;
	works[work_count++] = w;
}

static void no_send(void *ctx, uint64_t member, const char *address, struct str frame)
{
	raft_Frame back;
	struct err e;
	AUTO_ARENA struct arena arena = ARENA_INIT;
	(void)ctx, (void)member, (void)address;
	if (wire_read(&arena, frame, &back, &e) != 0)
		abort();          /* what we send is what we would take */
}

static const struct store_net net = { .send = no_send };

static void turn(void)
{
	for (size_t i = 0; i < work_count; i++) {
		struct work *w = works[i];
		loop_virtual_work_run(w);
		loop_virtual_work_done(w);
	}
	work_count = 0;
	v.now_us += 10 * MSEC;
	loop_virtual_turn(loop);
}

static void open_store(void)
{
	struct err e;
	struct store_config c = { .dir = dir, .member_id = 1, .address = "key1", .join = true, .net = &net, .disk = &disk.disk,
				  .segment_bytes = 16 * KIB, .checkpoint_bytes = 32 * KIB, .trailing = 4 };
	v = (struct loop_virtual){ .now_us = SEC, .unix_us = SEC, .work = take_work };
	loop = loop_new_virtual(&v, 1);
	disk_sim_init(&disk, 1);
	if (store_open(loop, &c, &store, &e) != 0 || store_start(store, &e) != 0)
		abort();
}

static void close_store(void)
{
	while (work_count > 0)
		turn();
	store_close(store);
	loop_free(loop);
	disk_sim_fini(&disk);
}

/* Entries after f->index, with terms and kinds out of the bytes. */
static void put_records(raft_Frame *f, struct arena *arena, struct str bytes)
{
	AUTO_BUF struct buf records = BUF_INIT;
	uint64_t term = f->index_term ? f->index_term : 1;
	for (uint64_t i = 1; i <= ENTRIES_MAX && bytes.len >= 2; i++) {
		size_t len = MIN((size_t)(uint8_t)bytes.p[1], bytes.len - 2);
		term += (uint8_t)bytes.p[0] >> 6;
		struct log_entry entry = { f->index + i, term, (uint8_t)(1 + (bytes.p[0] & 3) % 3), str_n(bytes.p + 2, len) };
		log_record_put(&records, &entry, f->index + 1);
		bytes = str_from(bytes, 2 + len);
	}
	f->records = pb_bytes_put(arena, buf_view(&records));
}

static void feed_one(struct str bytes)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	raft_Frame f;
	struct err e;
	if (pb_read(&arena, raft_Frame_fields, bytes, &f, &e) != 0)
		return;
	f.from = 2 + f.from % 3;
	f.to = 1;
	if (f.kind == raft_Kind_APPEND && f.records)
		put_records(&f, &arena, pb_bytes_view(f.records));
	char address[16];
	(void)snprintf(address, sizeof(address), "key%d", (int)f.from);
	if (wire_write(&f, &out, &e) == 0)
		(void)store_receive(store, address, buf_view(&out), &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA struct arena arena = ARENA_INIT;
	raft_Frame f;
	struct err e;
	static bool ready;
	struct str bytes = str_n((const char *)data, size);
	if (!ready && !mkdtemp(dir))
		abort();
	ready = true;
	log_set_level(LOG_ERROR);
	(void)wire_read(&arena, bytes, &f, &e);
	open_store();
	for (int i = 0; i < STEPS_MAX && bytes.len > 1; i++) {
		size_t len = MIN((size_t)(uint8_t)bytes.p[0], bytes.len - 1);
		feed_one(str_n(bytes.p + 1, len));
		bytes = str_from(bytes, 1 + len);
		turn();
	}
	close_store();
	return 0;
}
