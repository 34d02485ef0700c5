/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that are not ours: ask upstream resolvers, two at a time, take the first answer. Upstreams that failed lately are asked
 * last. Over UDP; an answer that was cut (TC) is asked for again over TCP. Source: dcos-net 1.13 (racing), RFC 7766.
 */
#pragma once

#include "net/base/err.h"
#include "net/loop.h"
#include "net/sock.h"

#define FORWARD_UPSTREAMS_MAX 16

struct forwarder;
struct forwarder *forwarder_new(struct loop *l);
void forwarder_free(struct forwarder *f);
/* "IP[:PORT]". E_INVALID, E_TOOBIG. */
int forwarder_add(struct forwarder *f, const char *upstream, struct err *e);
/*
 * Ask; `query` is copied. done runs once, later, with the whole answer (its id is the query's) or NULL after 5 s, or at once in
 * the next turn when there is no upstream or too much under way. Cancel by forward_cancel with the returned handle.
 */
struct forward;
struct forward *forward_start(struct forwarder *f, const uint8_t *query, size_t len, bool tcp,
			      void (*done)(void *arg, const uint8_t *answer, size_t len), void *arg);
void forward_cancel(struct forward *w);
