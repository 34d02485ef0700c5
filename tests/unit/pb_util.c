/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf bytes and arenas: memory of long lists, bounds on nesting and memory, copies. */
#include "net/pb_util.h"

#include "net/limits.h"
#include "proto/mesos.pb.h"
#include "tests/lib/test.h"

static struct arena arena = ARENA_INIT;    /* a test is a process of its own */

/* `levels` container ids, one in another. */
static void write_nested(struct buf *out, int levels)
{
	mesos_v1_ContainerID *ids = arena_array(&arena, mesos_v1_ContainerID, levels);
	for (int i = 0; i < levels; i++)
		ids[i] = (mesos_v1_ContainerID){ .value = "c", .parent = i > 0 ? &ids[i - 1] : NULL };
	EQ_INT(pb_write(mesos_v1_ContainerID_fields, &ids[levels - 1], out, NULL), 0);
}

TEST(pb_util, long_list_of_messages_costs_memory_in_proportion)
{
	enum { N = 20000 };
	static mesos_v1_Parameter items[N];
	mesos_v1_Parameters list = { .parameter_count = N, .parameter = items }, back;
	AUTO_BUF struct buf bytes = BUF_INIT;
	struct err e;
	for (int i = 0; i < N; i++)
		items[i] = (mesos_v1_Parameter){ .key = "key", .value = arena_printf(&arena, "%d", i) };
	EQ_INT(pb_write(mesos_v1_Parameters_fields, &list, &bytes, &e), 0);
	AUTO_ARENA struct arena a = { .max = N * 256 };
	EQ_INT(pb_read(&a, mesos_v1_Parameters_fields, buf_view(&bytes), &back, &e), 0);
	EQ_INT(back.parameter_count, N);
	EQ_STR(back.parameter[0].value, "0");
	EQ_STR(back.parameter[N - 1].value, "19999");
}

TEST(pb_util, message_past_the_arena_is_too_big)
{
	mesos_v1_TaskID id = { .value = arena_printf(&arena, "%04096d", 7) }, back;
	AUTO_BUF struct buf bytes = BUF_INIT;
	AUTO_ARENA struct arena a = { .max = 4096 };
	struct err e;
	EQ_INT(pb_write(mesos_v1_TaskID_fields, &id, &bytes, &e), 0);
	EQ_INT(pb_read(&a, mesos_v1_TaskID_fields, buf_view(&bytes), &back, &e), E_TOOBIG);
	HAS(e.text, "more than the 4096 bytes");
}

TEST(pb_util, nesting_ends_at_the_limit)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	mesos_v1_ContainerID back;
	struct err e;
	write_nested(&bytes, LIMIT_PB_DEPTH);
	EQ_INT(pb_read(&arena, mesos_v1_ContainerID_fields, buf_view(&bytes), &back, &e), 0);
	buf_reset(&bytes);
	write_nested(&bytes, LIMIT_PB_DEPTH + 1);
	EQ_INT(pb_read(&arena, mesos_v1_ContainerID_fields, buf_view(&bytes), &back, &e), E_TOOBIG);
	EQ_STR(e.text, "protobuf message is nested more than 64 levels deep");
}

TEST(pb_util, broken_bytes_are_malformed)
{
	mesos_v1_TaskID back;
	struct err e;
	EQ_INT(pb_read(&arena, mesos_v1_TaskID_fields, STR("\x0a\x05" "abc"), &back, &e), E_MALFORMED);
	EQ_STR(e.text, "protobuf message of 5 bytes cannot be decoded: end-of-stream");
	EQ_INT(pb_read(&arena, mesos_v1_TaskID_fields, STR(""), &back, &e), E_MALFORMED);
	EQ_STR(e.text, "protobuf message of 0 bytes cannot be decoded: missing required field");
}

TEST(pb_util, entry_of_a_map_without_its_value_is_malformed)
{
	mesos_v1_OfferFilters_ResourceQuantities back;
	struct err e;
	EQ_INT(pb_read(&arena, mesos_v1_OfferFilters_ResourceQuantities_fields, STR("\x0a\x06\x0a\x04" "cpus"), &back, &e), E_MALFORMED);
	HAS(e.text, "missing required field");
}

TEST(pb_util, unknown_fields_are_skipped)
{
	mesos_v1_TaskID back;
	EQ_INT(pb_read(&arena, mesos_v1_TaskID_fields, STR("\x18\x05\x0a\x01" "a\x7a\x03xyz"), &back, NULL), 0);
	EQ_STR(back.value, "a");
}

TEST(pb_util, field_seen_twice_has_its_last_value)
{
	mesos_v1_TaskID back;
	EQ_INT(pb_read(&arena, mesos_v1_TaskID_fields, STR("\x0a\x01" "a\x0a\x03" "bcd"), &back, NULL), 0);
	EQ_STR(back.value, "bcd");
}

TEST(pb_util, message_without_a_required_field_is_not_written)
{
	mesos_v1_TaskID id = mesos_v1_TaskID_init_zero;
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e;
	buf_puts(&out, "x");
	EQ_INT(pb_write(mesos_v1_TaskID_fields, &id, &out, &e), E_MALFORMED);
	EQ_INT(out.len, 1);
}

TEST(pb_util, copy_shares_nothing)
{
	char value[] = "a";
	mesos_v1_TaskID id = { .value = value };
	mesos_v1_TaskID *copy = PB_DUP(&arena, mesos_v1_TaskID, &id, NULL);
	TRUE(pb_equal(mesos_v1_TaskID_fields, &id, copy));
	value[0] = 'b';
	EQ_STR(copy->value, "a");
	FALSE(pb_equal(mesos_v1_TaskID_fields, &id, copy));
}
