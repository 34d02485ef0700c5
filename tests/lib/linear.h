/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Was a set of registers linearizable? Given what clients did and saw, with times, tells whether some order of single steps, each
 * between its call and its return, explains every result. Operations are reads, writes and compare-and-sets; one whose outcome is
 * unknown may have happened at any time after its call, or never. The method and why it is sound: linear.c.
 */
#pragma once

#include "net/base/base.h"

#define LINEAR_ABSENT INT64_MIN          /* value of a register that was never written */
#define LINEAR_UNKNOWN INT64_MAX         /* end of an operation that never returned */

enum linear_kind { LINEAR_READ, LINEAR_WRITE, LINEAR_CAS };

struct linear_op {
	enum linear_kind kind;
	bool done;                       /* of a compare-and-set that returned: it found what it expected and wrote `value` */
	uint32_t client, key;
	int64_t value;                   /* read or to be written */
	int64_t expect;                  /* of a compare-and-set */
	int64_t start, end;              /* a comes before b when a.end < b.start; LINEAR_UNKNOWN: outcome unknown */
};

struct linear_fault {
	uint32_t key;                    /* the first register without an explanation */
	size_t op;                       /* index of the operation that could not be explained after the longest order found */
	size_t explained;                /* operations in that order */
	int64_t value;                   /* of the register then */
};

/*
 * 0: linearizable. E_CONFLICT: it is not, and *out tells where. E_TOOBIG: given up after steps_max steps in one register.
 * Registers are independent, so each is checked by itself. Reads of unknown outcome say nothing and are skipped.
 */
int linear_check(const struct linear_op *ops, size_t count, uint64_t steps_max, struct linear_fault *out);
