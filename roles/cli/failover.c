/* SPDX-License-Identifier: Apache-2.0 */
/* See failover.h. */
#include "roles/cli/failover.h"

#define PAUSE_US (50 * MSEC)             /* between two rounds over all masters */
#define ELECTION_US (30 * SEC)           /* and until agents that had a connection to a master now cut off are with the new one */
#define DOWN_US (4 * SEC)

bool tries_safe(enum http_method method, int status, bool sent)
{
	bool reads = method & (GET | HEAD);
	if (status == 0 || status == 502)
		return !sent || reads;           /* 502: the leader may have done it before it was lost */
	return status == 503 || (status == 504 && !sent);
}

int64_t tries_next(struct tries *t, size_t masters, bool answered, int64_t now_us)
{
	assert(masters > 0);
	if (t->failed == 0)
		t->since_us = t->heard_us = now_us;
	if (answered)
		t->heard_us = now_us;
	t->failed++;
	t->at = (t->at + 1) % masters;
	if (t->failed % masters != 0)
		return 0;
	return now_us - t->since_us < ELECTION_US && now_us - t->heard_us < DOWN_US ? PAUSE_US : -1;
}
