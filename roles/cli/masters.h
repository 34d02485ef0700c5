/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the masters of a cluster say of each other: GET /exhibitor/exhibitor/v1/cluster/status of each, merged. The leader's account counts,
 * without a leader the first one there is; who does not answer is down.
 */
#pragma once

#include "net/base/buf.h"
#include "net/json.h"
#include "net/loop.h"

#define MASTERS_MAX 16
#define MASTERS_STATUS_PATH "/exhibitor/exhibitor/v1/cluster/status"

struct master_seen {
	char host[64];           /* address */
	bool answered;           /* by itself */
	bool member, voter, leads;
};

struct masters {
	struct master_seen rows[MASTERS_MAX];
	size_t count;
};

/* Addresses in one master's answer; returns how many, at most MASTERS_MAX. */
size_t masters_hosts(yyjson_val *answer, char out[MASTERS_MAX][64]);
/* answers[i] is what hosts[i] said, NULL: nothing. Pure. */
void masters_merge(struct masters *m, const char *const *hosts, yyjson_val *const *answers, size_t count);
const struct master_seen *masters_find(const struct masters *m, const char *host);
const struct master_seen *masters_leader(const struct masters *m);    /* NULL: none leads */
size_t masters_voters(const struct masters *m);
/* "leader", "follower", "learner", "joining" or "down". */
const char *masters_role(const struct master_seen *s);
/* What is wrong with the quorum and what to do about it, one sentence a line; nothing when all is well. */
void masters_warnings(const struct masters *m, struct buf *out);

/* Ask all at once. done runs on the loop, once, when all have answered or timeout_us is over; not inside the start. */
struct masters_ask;
struct masters_ask *masters_ask_start(struct loop *l, const char *const *urls, size_t count, int64_t timeout_us,
				      void (*done)(void *arg, const struct masters *m), void *arg);
void masters_ask_cancel(struct masters_ask *a);     /* NULL ok */
