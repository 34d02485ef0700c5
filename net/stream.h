/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffered, non-blocking byte stream over a socket, plain or TLS, with watermarks for back-pressure.
 * Read side: bytes land in `in`; the owner consumes with buf_drop/stream_consume. Write side: appended to `out`, flushed
 * at the end of the turn. When more than LIMIT_STREAM_HIGH_BYTES wait, stream_full() is true; `drained` is called once the
 * backlog has fallen below LIMIT_STREAM_LOW_BYTES. Callbacks may call stream_close.
 */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/loop.h"
#include "net/sock.h"

struct tls_conn;
struct tls_ctx;
struct stream;

struct stream_events {
	void (*opened)(struct stream *s);                       /* connected (and TLS done); not called for accepted plain sockets */
	void (*data)(struct stream *s);                         /* new bytes in stream_in(s) */
	void (*drained)(struct stream *s);                      /* may be NULL */
	void (*eof)(struct stream *s);                          /* peer will send no more; NULL: closed() is called */
	void (*closed)(struct stream *s, const struct err *e);  /* broken or refused; call stream_free here or later. e->code 0: orderly end */
};
/* All run from the loop, never from inside a function below; data() also after an unpause that finds bytes left in stream_in. */

/* fd: taken. tls NULL: plain. Server side. */
struct stream *stream_accepted(struct loop *l, int fd, struct tls_ctx *tls, const struct stream_events *ev, void *arg);
/* Client side; server_name: SNI and verified name, NULL for none. Never fails at once: errors come through closed(). */
struct stream *stream_connect(struct loop *l, const struct sock_addr *a, struct tls_ctx *tls, const char *server_name,
			      int64_t timeout_us, const struct stream_events *ev, void *arg);
void stream_free(struct stream *s);            /* NULL ok; closes at once; safe in callbacks; no callback afterwards */
void *stream_arg(const struct stream *s);
void stream_set(struct stream *s, const struct stream_events *ev, void *arg);    /* hand over, e.g. after an upgrade */
struct buf *stream_in(struct stream *s);
void stream_write(struct stream *s, const void *data, size_t len);
struct buf *stream_out(struct stream *s);      /* only append here, then stream_kick; what waits is stream_backlog, not its len */
void stream_kick(struct stream *s);            /* flush at the end of the turn */
bool stream_full(const struct stream *s);
size_t stream_backlog(const struct stream *s);
void stream_shutdown(struct stream *s);        /* no more writes: flush, then FIN / close_notify */
void stream_close_after_flush(struct stream *s); /* flush what waits (5 s at most), then close; owner must not touch s afterwards; no callbacks */
void stream_pause(struct stream *s, bool paused);    /* stop / go on reading */
int stream_fd(const struct stream *s);
struct tls_conn *stream_tls(const struct stream *s); /* NULL when plain */
struct loop *stream_loop(const struct stream *s);
