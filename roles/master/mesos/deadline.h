/* SPDX-License-Identifier: Apache-2.0 */
/* What the model does when nothing happens: moments in a heap. Pure: time is told by the caller. */
#pragma once

#include "net/base/base.h"

struct deadline {
	size_t at;               /* index in the heap + 1; 0: not set */
	int64_t due_us;
	void (*fn)(struct deadline *d, void *arg);
};

struct deadlines {
	struct deadline **v;     /* owned array; the deadlines are embedded elsewhere */
	size_t count, cap;
};

void deadlines_fini(struct deadlines *ds);
void deadline_set(struct deadlines *ds, struct deadline *d, int64_t due_us, void (*fn)(struct deadline *d, void *arg));   /* moves one that is set */
void deadline_clear(struct deadlines *ds, struct deadline *d);     /* harmless when not set */
int64_t deadlines_due_us(const struct deadlines *ds);              /* INT64_MAX: none */
/* Clear and call those that are due. */
void deadlines_run(struct deadlines *ds, int64_t now_us, void *arg);
