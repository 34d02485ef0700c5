/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that are not ours: ask upstream resolvers, two at a time, take the first answer. An upstream that failed within the last
 * minute is asked after the others; one that refuses makes way for the next at once. A question that came over UDP goes on
 * over UDP, and its cut answer (TC) goes back as it is: the asker then comes over TCP, and so do we.
 * Source: dcos-net 1.13.
 */
#pragma once

#include "net/base/err.h"
#include "net/loop.h"
#include "net/sock.h"

#define FORWARD_UPSTREAMS_MAX 16
#define FORWARD_TIMEOUT_US (5 * SEC)

struct forwarder;
/* timeout_us: for one question, FORWARD_TIMEOUT_US outside tests. */
struct forwarder *forwarder_new(struct loop *l, int64_t timeout_us);
void forwarder_free(struct forwarder *f);        /* NULL ok; questions under way end without `done` */
/* "IP[:PORT]". E_INVALID, E_TOOBIG. */
int forwarder_add(struct forwarder *f, const char *upstream, struct err *e);

/*
 * Ask. done runs once, later, never inside forward_start.
 * query   a whole message, at least DNS_HEADER bytes; copied
 * done    gets the answer, whose id is the query's, for the time of the call; NULL when no upstream answers in time, none is
 *         left to be asked, or more than LIMIT_DNS_FORWARDS questions wait. The struct forward is gone by then.
 */
struct forward;
struct forward *forward_start(struct forwarder *f, const uint8_t *query, size_t len, bool tcp,
			      void (*done)(void *arg, const uint8_t *answer, size_t len), void *arg);
void forward_cancel(struct forward *w);
