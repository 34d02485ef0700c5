/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For roles that compute something from the whole view (names, virtual IPs): compute it anew when the view moves, at once after
 * a quiet time, but never so often that it takes more than a small part of a core.
 */
#pragma once

#include "store/view.h"

struct view_reload {
	struct view_watch watch;
	struct loop_timer timer;
	struct loop *loop;                         /* borrowed */
	int64_t earliest_us;                       /* of the next run */
	size_t (*fn)(struct view_reload *r);       /* returns how many rows it read */
};

/* Caller's storage. fn runs on the loop, first soon after the start. */
void view_reload_start(struct loop *l, struct view *v, struct view_reload *r, size_t (*fn)(struct view_reload *r));
void view_reload_stop(struct view_reload *r);      /* harmless when not started */
