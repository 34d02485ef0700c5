/* SPDX-License-Identifier: Apache-2.0 */
/* Raw peers for tests of net/: a plain TCP client that sends and collects bytes as they are, and turns of the loop. */
#pragma once

#include "net/base/buf.h"
#include "net/base/time.h"
#include "net/loop.h"
#include "net/sock.h"
#include "tests/lib/test.h"

/* Let the loop do what it has to do, for a few milliseconds at most. */
void net_turn(struct loop *l);

/* Turns until expr holds; the test fails when it does not within ten seconds. */
#define UNTIL(l, expr) \
	do { \
		int64_t until_end_us = time_now_us() + 10 * SEC; \
		while (!(expr)) { \
			if (time_now_us() > until_end_us) \
				FAIL("not within 10 s: %s", #expr); \
			net_turn(l); \
		} \
	} while (0)

struct peer {
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	struct buf got;      /* all that came */
	bool ended;          /* the other side has closed */
};

/* Connected to 127.0.0.1:port. */
struct peer *peer_new(struct loop *l, uint16_t port);
void peer_send(struct peer *p, const char *text);
void peer_send_n(struct peer *p, const void *data, size_t len);   /* waits, turning the loop, while the kernel takes no more */
void peer_read(struct peer *p, bool on);                          /* off: let the bytes pile up in the kernel */
const char *peer_got(struct peer *p);
size_t peer_count(struct peer *p, const char *part);              /* how often `part` has come */
void peer_free(struct peer *p);

/* 127.0.0.1 with that port. */
struct sock_addr net_local(uint16_t port);
