/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the model wants done. The model decides and leaves acts here, in order; mesos.c carries them out once a turn, a test reads
 * them. Messages are encoded when they are put in, so nothing in an outbox points into the model. Pure.
 */
#pragma once

#include <pb.h>

#include "net/base/arena.h"
#include "net/base/err.h"

struct pending;
struct sched;

enum act_kind {
	ACT_EVENT,       /* sched, payload: mesos.v1.scheduler.Event */
	ACT_CLOSE,       /* sched, payload: reason as text; its owner hears that the session ended */
	ACT_SEND,        /* conn, number: dcos.Method, payload */
	ACT_PING,        /* conn: call AGENT_PING, then agents_pong */
	ACT_DROP,        /* conn: close it */
	ACT_REPLY,       /* req, payload */
	ACT_FAIL,        /* req, number: code, payload: sentence */
	ACT_PROPOSE,     /* number: rec.Op, payload, pending: who wants to hear (NULL: nobody) */
	ACT_VIEW_PUT,    /* number: dcos.ViewTable, key, payload */
	ACT_VIEW_DEL,    /* number, key */
	ACT_VIEW_SWEEP,  /* number */
};

struct act {
	enum act_kind kind;
	int number;
	void *to;                /* struct conn, struct sched, or a request of the I/O half */
	struct pending *pending;
	struct str key, payload; /* in the outbox's arena */
};

struct outbox {
	struct arena arena;
	struct act *v;           /* owned */
	size_t count, cap;
};

#define OUTBOX_INIT { .arena = ARENA_INIT }
void outbox_fini(struct outbox *o);
void outbox_put(struct outbox *o, struct act act);      /* key and payload are borrowed: they stand in the arena already */
/* The message as bytes in the outbox's arena. Of our own making: it is complete and of bounded size. */
struct str outbox_encode(struct outbox *o, const pb_msgdesc_t *fields, const void *msg);
struct str outbox_text(struct outbox *o, const char *text);
