/* SPDX-License-Identifier: Apache-2.0 */
/* The checker of histories itself: good ones pass, each kind of bad one is found. */
#include "net/base/err.h"
#include "net/base/rnd.h"
#include "tests/lib/linear.h"
#include "tests/lib/test.h"

#define STEPS 1000000
#define NEVER LINEAR_UNKNOWN

/* client 1…; times are those of its call and return */
#define READ(c, v, from, to)      { .kind = LINEAR_READ, .client = c, .value = v, .start = from, .end = to }
#define WRITE(c, v, from, to)     { .kind = LINEAR_WRITE, .client = c, .value = v, .done = true, .start = from, .end = to }
#define CAS(c, x, v, from, to)    { .kind = LINEAR_CAS, .client = c, .expect = x, .value = v, .done = true, .start = from, .end = to }
#define MISS(c, x, v, from, to)   { .kind = LINEAR_CAS, .client = c, .expect = x, .value = v, .start = from, .end = to }

#define CHECK(...) \
	({ const struct linear_op ops[] = { __VA_ARGS__ }; linear_check(ops, ARRAY_LEN(ops), STEPS, &fault); })

static struct linear_fault fault;

TEST(linear, one_client_reads_what_it_wrote)
{
	EQ_INT(CHECK(READ(1, LINEAR_ABSENT, 1, 2), WRITE(1, 7, 3, 4), READ(1, 7, 5, 6), CAS(1, 7, 8, 7, 8), READ(1, 8, 9, 10),
		     MISS(1, 7, 9, 11, 12), READ(1, 8, 13, 14)), 0);
	EQ_INT(linear_check(NULL, 0, STEPS, &fault), 0);
}

TEST(linear, a_stale_read_is_found_and_named)
{
	EQ_INT(CHECK(WRITE(1, 7, 1, 2), WRITE(1, 8, 3, 4), READ(2, 7, 5, 6)), E_CONFLICT);
	EQ_INT(fault.op, 2);
	EQ_INT(fault.explained, 2);
	EQ_INT(fault.value, 8);
	EQ_INT(CHECK(WRITE(1, 7, 1, 2), WRITE(1, 8, 3, 9), READ(2, 7, 5, 6)), 0);        /* the second write may come later */
}

TEST(linear, a_read_that_goes_back_in_time_is_found)
{
	EQ_INT(CHECK(WRITE(1, 7, 1, 2), WRITE(1, 8, 3, 20), READ(2, 8, 5, 6), READ(3, 7, 7, 8)), E_CONFLICT);
	EQ_INT(CHECK(WRITE(1, 7, 1, 2), WRITE(1, 8, 3, 20), READ(2, 8, 5, 7), READ(3, 7, 6, 8)), 0);     /* they overlap */
}

TEST(linear, a_lost_write_is_found)
{
	EQ_INT(CHECK(WRITE(1, 7, 1, 2), READ(2, LINEAR_ABSENT, 3, 4)), E_CONFLICT);
	EQ_INT(CHECK(WRITE(1, 7, 1, 4), WRITE(2, 8, 2, 5), READ(3, 7, 6, 7), READ(3, 7, 8, 9)), 0);
	EQ_INT(CHECK(WRITE(1, 7, 1, 4), WRITE(2, 8, 2, 5), READ(3, 7, 6, 7), READ(3, 8, 8, 9)), E_CONFLICT);
}

TEST(linear, a_value_that_nobody_wrote_is_found)
{
	EQ_INT(CHECK(WRITE(1, 7, 1, 2), READ(2, 9, 1, 4)), E_CONFLICT);
}

TEST(linear, a_compare_and_set_is_one_step)
{
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), CAS(1, 1, 2, 3, 6), CAS(2, 1, 3, 4, 7)), E_CONFLICT);          /* both found 1 */
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), CAS(1, 1, 2, 3, 6), CAS(2, 2, 3, 4, 7), READ(3, 3, 8, 9)), 0);
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), CAS(1, 1, 2, 3, 4), READ(2, 1, 5, 6)), E_CONFLICT);            /* said done, is not */
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), MISS(1, 9, 2, 3, 4), READ(2, 2, 5, 6)), E_CONFLICT);           /* said missed, is done */
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), MISS(1, 1, 2, 3, 4)), E_CONFLICT);                             /* should have found it */
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), MISS(1, 1, 2, 3, 5), WRITE(2, 4, 4, 6)), 0);
	EQ_INT(CHECK(CAS(1, LINEAR_ABSENT, 1, 1, 2), READ(1, 1, 3, 4)), 0);
}

TEST(linear, a_write_of_unknown_outcome_may_come_late_or_never_but_once)
{
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), WRITE(2, 2, 3, NEVER), READ(3, 1, 4, 5), READ(3, 1, 6, 7)), 0);
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), WRITE(2, 2, 3, NEVER), READ(3, 1, 4, 5), READ(3, 2, 90, 91)), 0);
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), WRITE(2, 2, 3, NEVER), WRITE(1, 3, 4, 5), READ(3, 2, 90, 91), READ(3, 2, 92, 93)), 0);
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), WRITE(2, 2, 3, NEVER), READ(3, 2, 4, 5), READ(3, 1, 6, 7)), E_CONFLICT);
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), READ(3, 2, 3, 4), WRITE(2, 2, 5, NEVER)), E_CONFLICT);         /* not before its call */
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), WRITE(2, 2, 3, NEVER), READ(3, 2, 4, 5), WRITE(1, 3, 6, 7), READ(3, 2, 8, 9)), E_CONFLICT);
}

TEST(linear, a_compare_and_set_of_unknown_outcome_may_have_found_something_else)
{
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), CAS(2, 1, 2, 3, NEVER), READ(3, 2, 4, 5)), 0);
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), CAS(2, 1, 2, 3, NEVER), CAS(3, 2, 3, 4, NEVER), READ(3, 3, 5, 6)), 0);
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), CAS(2, 9, 2, 3, NEVER), READ(3, 2, 4, 5)), E_CONFLICT);
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), WRITE(2, 2, 3, NEVER), MISS(3, 1, 3, 4, 5), READ(3, 2, 6, 7)), 0);
	EQ_INT(CHECK(WRITE(1, 1, 1, 2), WRITE(2, 2, 3, NEVER), MISS(3, 1, 3, 4, 5), READ(3, 1, 6, 7)), E_CONFLICT);
}

TEST(linear, registers_are_independent)
{
	const struct linear_op ops[] = {
		{ .kind = LINEAR_WRITE, .key = 1, .value = 1, .done = true, .start = 1, .end = 2 },
		{ .kind = LINEAR_READ, .key = 2, .value = LINEAR_ABSENT, .start = 3, .end = 4 },
		{ .kind = LINEAR_READ, .key = 1, .value = 1, .start = 3, .end = 4 },
		{ .kind = LINEAR_READ, .key = 2, .value = 1, .start = 5, .end = 6 },
	};
	EQ_INT(linear_check(ops, 3, STEPS, &fault), 0);
	EQ_INT(linear_check(ops, 4, STEPS, &fault), E_CONFLICT);
	EQ_INT(fault.key, 2);
	EQ_INT(fault.op, 3);
}

/*
 * A history that a register really gave: clients call, at some moment the step happens, later they hear of it, or never. Values
 * repeat, so that more than one order has to be tried.
 */
static size_t make_history(struct rnd *r, struct linear_op *ops, size_t count, size_t clients, unsigned unknown_percent)
{
	int64_t value = LINEAR_ABSENT, free_at[16] = { 0 };
	struct { size_t op; int64_t at; } steps[4096];
	assert(count <= ARRAY_LEN(steps));
	for (size_t i = 0; i < count; i++) {
		size_t c = rnd_below(r, clients);
		int64_t start = free_at[c] + 1 + (int64_t)rnd_below(r, 20), at = start + (int64_t)rnd_below(r, 40);
		ops[i] = (struct linear_op){ .kind = (enum linear_kind)rnd_below(r, 3), .client = (uint32_t)c, .start = start,
			.end = at + (int64_t)rnd_below(r, 40), .value = (int64_t)rnd_below(r, 6), .expect = (int64_t)rnd_below(r, 6) };
		free_at[c] = ops[i].end;
		steps[i].op = i;
		steps[i].at = at;
		if (ops[i].kind != LINEAR_READ && rnd_below(r, 100) < unknown_percent) {
			ops[i].end = LINEAR_UNKNOWN;
			steps[i].at = rnd_below(r, 2) ? INT64_MAX : at + (int64_t)rnd_below(r, 500);
		}
	}
	for (size_t i = 1; i < count; i++)               /* few and nearly sorted */
		for (size_t j = i; j > 0 && steps[j].at < steps[j - 1].at; j--) {
			__typeof__(steps[0]) swap = steps[j];
			steps[j] = steps[j - 1];
			steps[j - 1] = swap;
		}
	for (size_t i = 0; i < count && steps[i].at < INT64_MAX; i++) {
		struct linear_op *op = &ops[steps[i].op];
		if (op->kind == LINEAR_READ)
			op->value = value;
		op->done = op->kind == LINEAR_WRITE || (op->kind == LINEAR_CAS && op->expect == value);
		if (op->done)
			value = op->value;
	}
	return count;
}

TEST(linear, every_history_of_a_real_register_passes)
{
	static struct linear_op ops[2000];
	struct rnd r;
	rnd_seed(&r, test_seed());
	for (size_t round = test_rounds(200); round > 0; round--) {
		size_t n = make_history(&r, ops, 1 + rnd_below(&r, 300), 1 + rnd_below(&r, 8), (unsigned)rnd_below(&r, 20));
		EQ_INT(linear_check(ops, n, STEPS, &fault), 0);
	}
	EQ_INT(linear_check(ops, make_history(&r, ops, 2000, 8, 5), STEPS, &fault), 0);
}

/* All orders of a few operations, tried one by one. */
static bool explained(const struct linear_op *ops, size_t count, unsigned taken, int64_t value)
{
	bool all = true;
	for (size_t i = 0; i < count; i++) {
		const struct linear_op *op = &ops[i];
		bool first = !(taken & 1U << i);
		if (first && op->end != LINEAR_UNKNOWN)
			all = false;
		for (size_t k = 0; first && k < count; k++)
			first = (taken & 1U << k) || k == i || ops[k].end >= op->start;
		if (!first)
			continue;
		bool known = op->end != LINEAR_UNKNOWN, found = op->kind != LINEAR_CAS || op->expect == value;
		if (op->kind == LINEAR_READ ? !known || op->value != value : known && op->done != found)
			continue;
		if (explained(ops, count, taken | 1U << i, op->kind != LINEAR_READ && found ? op->value : value))
			return true;
	}
	return all;
}

TEST(linear, the_verdict_is_that_of_trying_every_order)
{
	struct linear_op ops[7];
	struct rnd r;
	size_t bad = 0;
	rnd_seed(&r, test_seed());
	for (size_t round = test_rounds(3000); round > 0; round--) {
		size_t n = make_history(&r, ops, 2 + rnd_below(&r, 6), 4, 25);
		struct linear_op *changed = &ops[rnd_below(&r, n)];
		if (rnd_below(&r, 3) > 0)
			changed->value = (int64_t)rnd_below(&r, 6);
		else if (changed->kind == LINEAR_CAS && changed->end != LINEAR_UNKNOWN)
			changed->done = !changed->done;
		int want = explained(ops, n, 0, LINEAR_ABSENT) ? 0 : E_CONFLICT;
		EQ_INT(linear_check(ops, n, STEPS, &fault), want);
		bad += want != 0;
	}
	TRUE(bad > 100);                 /* both verdicts were asked for */
}

TEST(linear, hundreds_of_unknown_writes_and_a_lie_are_decided)
{
	static struct linear_op ops[3000];
	struct rnd r;
	rnd_seed(&r, test_seed());
	size_t n = 0;
	for (int64_t t = 0; n < 2900; t += 4) {          /* one steady writer and reader, many writes that are never heard of */
		ops[n++] = (struct linear_op)WRITE(1, t, t + 1, t + 2);
		ops[n++] = (struct linear_op)WRITE(2, 1000000 + t, t + 1, NEVER);
		ops[n++] = (struct linear_op)READ(3, t, t + 3, t + 4);
	}
	EQ_INT(linear_check(ops, n, STEPS, &fault), 0);
	ops[2000].value = -1;                            /* a read of what nobody wrote */
	TRUE(ops[2000].kind == LINEAR_READ);
	EQ_INT(linear_check(ops, n, STEPS, &fault), E_CONFLICT);
	EQ_INT(fault.op, 2000);
}

TEST(linear, the_search_ends_when_its_steps_are_used_up)
{
	const struct linear_op ops[] = { WRITE(1, 1, 1, 2), WRITE(1, 2, 3, 4), READ(1, 2, 5, 6) };
	EQ_INT(linear_check(ops, ARRAY_LEN(ops), 1, &fault), E_TOOBIG);
}
