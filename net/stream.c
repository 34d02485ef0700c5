/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams over sockets, plain or TLS.
 *
 *   CONNECT --connected--> HANDSHAKE --TLS done--> OPEN        any state --failure--> BROKEN
 *         `--------------- plain -----------------^
 *
 * The descriptor's callback and the flush record facts (due); stream_deliver, called by the descriptor's callback or a defer
 * and never from inside a function the owner called, turns facts into the owner's callbacks in a fixed order: opened, data,
 * eof, drained, closed. Writes wait for the turn's hook, so what a turn produces leaves together. Buffers without bytes hold
 * no memory.
 */
#include "net/stream.h"

#include <errno.h>
#include <netinet/tcp.h>

#include "net/limits.h"
#include "net/tls_int.h"

enum stream_state { STREAM_CONNECT, STREAM_HANDSHAKE, STREAM_OPEN, STREAM_BROKEN };
enum { DUE_OPENED = 1, DUE_DATA = 2, DUE_EOF = 4, DUE_DRAINED = 8, DUE_CLOSED = 16 };

#define READ_BYTES ((size_t)(16 * KIB))
#define READS_A_TURN 8                   /* then the other connections have their go */
#define HANDSHAKE_US (10 * SEC)
#define LINGER_US (5 * SEC)              /* for the peer to take what was flushed before a close */

struct stream {
	struct loop *loop;               /* borrowed */
	const struct stream_events *ev;  /* borrowed */
	void *arg;
	int fd;                          /* owned; -1 when connecting failed at once */
	struct loop_fd *watch;
	struct tls_conn *tls;            /* owned; NULL: plain */
	struct tls_ctx *tls_ctx;         /* borrowed; for the handshake to come */
	char *server_name;               /* owned; NULL: none */
	char *target;                    /* owned; client side: whom we connect to, for errors */
	enum stream_state state;
	uint8_t due;                     /* facts not yet told */
	uint8_t busy;                    /* inside a callback of the owner */
	bool freed;                      /* stream_free was called inside one */
	bool paused, was_full;
	bool read_eof;                   /* the peer has ended its side */
	bool shutting, shut;             /* our side: to be ended after the flush; has ended */
	bool orphan;                     /* stream_close_after_flush: we free ourselves */
	bool blocked;                    /* the kernel takes no more for now */
	bool io_swapped;                 /* TLS waits for the other direction than it was asked for */
	struct buf in, out;
	size_t out_done;                 /* bytes of `out` already written */
	struct loop_defer notify;
	struct loop_hook flush;
	struct loop_end end;             /* an orphan is freed with the loop at the latest */
	struct loop_timer timer;         /* connect and handshake; later the linger */
	struct err *err;                 /* owned; why it broke */
};

static void stream_on_notify(struct loop_defer *d);
static void stream_on_flush(struct loop_hook *h);

/* ---- Facts ---- */

static void stream_due(struct stream *s, uint8_t facts)
{
	s->due |= facts;
	loop_defer(s->loop, &s->notify, stream_on_notify);
}

static void stream_watch_update(struct stream *s)
{
	if (!s->watch)
		return;
	int events = 0;
	if (s->state == STREAM_OPEN) {
		if (!s->read_eof && !s->paused)
			events |= LOOP_READ;
		if (s->blocked)
			events |= LOOP_WRITE;
		if (s->io_swapped)
			events |= LOOP_READ | LOOP_WRITE;
	} else if (s->state == STREAM_CONNECT) {
		events = LOOP_WRITE;
	} else if (s->state == STREAM_HANDSHAKE) {
		events = s->blocked ? LOOP_WRITE : LOOP_READ;
	}
	loop_fd_set(s->watch, events);
}

/* e->code 0: an orderly end. */
static void stream_break(struct stream *s, const struct err *e)
{
	if (s->state == STREAM_BROKEN)
		return;
	s->state = STREAM_BROKEN;
	s->err = xmalloc(sizeof *s->err);
	*s->err = *e;
	loop_timer_stop(&s->timer);
	loop_hook_remove(&s->flush);
	stream_watch_update(s);
	stream_due(s, DUE_CLOSED);
}

static void stream_break_sys(struct stream *s, const char *what)
{
	struct err e;
	if (errno == ECONNRESET || errno == EPIPE)
		(void)err_set(&e, E_CLOSED, "%s: the peer has closed the connection", what);
	else
		(void)err_sys(&e, "%s", what);
	stream_break(s, &e);
}

static void stream_end(struct stream *s)
{
	stream_break(s, &(struct err){ .code = 0, .text = "connection ended" });
}

/* ---- Moving bytes ---- */

enum stream_io { IO_DONE, IO_WAIT, IO_END, IO_BROKEN };

/* What TLS says, as our facts; `dir` is the direction it would be natural to wait for. */
static enum stream_io stream_tls_result(struct stream *s, enum tls_io io, int dir, const struct err *e)
{
	switch (io) {
	case TLS_OK:
		return IO_DONE;
	case TLS_WANT_READ:
		s->io_swapped = dir != LOOP_READ;
		return IO_WAIT;
	case TLS_WANT_WRITE:
		s->io_swapped = dir != LOOP_WRITE;
		return IO_WAIT;
	case TLS_EOF:
		return IO_END;
	case TLS_FAILED:
		break;
	}
	stream_break(s, e);
	return IO_BROKEN;
}

static enum stream_io stream_read_some(struct stream *s, void *data, size_t size, size_t *out_len)
{
	if (s->tls) {
		struct err e;
		return stream_tls_result(s, tls_read(s->tls, data, size, out_len, &e), LOOP_READ, &e);
	}
	ssize_t n = recv(s->fd, data, size, 0);
	if (n > 0) {
		*out_len = (size_t)n;
		return IO_DONE;
	}
	if (n == 0)
		return IO_END;
	if (errno == EAGAIN || errno == EINTR)
		return IO_WAIT;
	stream_break_sys(s, "read");
	return IO_BROKEN;
}

static enum stream_io stream_write_some(struct stream *s, const void *data, size_t len, size_t *out_len)
{
	if (s->tls) {
		struct err e;
		return stream_tls_result(s, tls_write(s->tls, data, len, out_len, &e), LOOP_WRITE, &e);
	}
	ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL);
	if (n >= 0) {
		*out_len = (size_t)n;
		return IO_DONE;
	}
	if (errno == EAGAIN || errno == EINTR)
		return IO_WAIT;
	stream_break_sys(s, "write");
	return IO_BROKEN;
}

static void stream_read(struct stream *s)
{
	for (int i = 0; i < READS_A_TURN; i++) {
		size_t len = 0;
		uint8_t *room = buf_room(&s->in, READ_BYTES);
		if (!room) {
			struct err e;
			(void)err_set(&e, E_TOOBIG, "peer sent more than %zu bytes that nobody took", s->in.max);
			stream_break(s, &e);
			return;
		}
		enum stream_io io = stream_read_some(s, room, READ_BYTES, &len);
		if (io == IO_DONE) {
			buf_grew(&s->in, len);
			s->due |= DUE_DATA;
			if (len < READ_BYTES && !s->tls)
				break;
			continue;
		}
		if (io == IO_END) {
			s->read_eof = true;
			s->due |= DUE_EOF;
		}
		break;
	}
	if (s->in.len == 0)
		buf_fini(&s->in);
}

/* Our side is flushed and was to end: FIN, or close_notify and FIN. */
static void stream_finish(struct stream *s)
{
	if (s->tls && tls_close_notify(s->tls) == TLS_WANT_WRITE) {
		s->blocked = true;
		return;
	}
	(void)shutdown(s->fd, SHUT_WR);          /* fails only when the connection is gone, which reading tells */
	s->shut = true;
	if (s->read_eof)
		stream_end(s);
}

static void stream_flush(struct stream *s)
{
	s->blocked = false;
	while (s->out_done < s->out.len) {
		size_t len = 0;
		enum stream_io io = stream_write_some(s, s->out.data + s->out_done, s->out.len - s->out_done, &len);
		if (io != IO_DONE) {
			s->blocked = io == IO_WAIT && !s->io_swapped;
			break;
		}
		s->out_done += len;
	}
	if (s->state == STREAM_BROKEN)
		return;
	if (s->out_done == s->out.len) {
		buf_fini(&s->out);
		s->out_done = 0;
	} else if (s->out_done >= s->out.len / 2) {
		buf_drop(&s->out, s->out_done);
		s->out_done = 0;
	}
	if (s->was_full && stream_backlog(s) < LIMIT_STREAM_LOW_BYTES) {
		s->was_full = false;
		stream_due(s, DUE_DRAINED);
	}
	if (s->shutting && !s->shut && s->out.len == 0)
		stream_finish(s);
}

static void stream_on_flush(struct loop_hook *h)
{
	struct stream *s = container_of(h, struct stream, flush);
	loop_hook_remove(h);
	if (s->state != STREAM_OPEN || s->blocked)
		return;
	stream_flush(s);
	stream_watch_update(s);
}

/* ---- Getting connected ---- */

static void stream_on_timeout(struct loop_timer *t)
{
	struct stream *s = container_of(t, struct stream, timer);
	struct err e;
	if (s->orphan) {
		stream_free(s);
		return;
	}
	if (s->state == STREAM_CONNECT)
		(void)err_set(&e, E_TIMEOUT, "connect to %s: no answer in time", s->target);
	else
		(void)err_set(&e, E_TIMEOUT, "TLS handshake with %s: took too long", s->target ? s->target : "a client");
	stream_break(s, &e);
}

static void stream_opened(struct stream *s, bool tell)
{
	s->state = STREAM_OPEN;
	s->blocked = s->io_swapped = false;
	if (!s->orphan)
		loop_timer_stop(&s->timer);
	if (tell)
		s->due |= DUE_OPENED;
	stream_kick(s);
}

static void stream_handshake(struct stream *s)
{
	struct err e;
	enum tls_io io = tls_handshake(s->tls, &e);
	s->blocked = io == TLS_WANT_WRITE;
	if (io == TLS_OK)
		stream_opened(s, true);
	else if (io == TLS_EOF || io == TLS_FAILED) {
		(void)err_wrap(&e, "TLS handshake with %s", s->target ? s->target : "a client");
		stream_break(s, &e);
	}
}

/* The descriptor is connected: start TLS or be open. */
static void stream_connected(struct stream *s, bool client)
{
	const int on = 1;
	struct err e;
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);      /* a unix socket has no such thing */
	if (!s->tls_ctx) {
		stream_opened(s, client);
		return;
	}
	s->tls = tls_conn_new(s->tls_ctx, s->fd, s->server_name, &e);
	if (!s->tls) {
		stream_break(s, &e);
		return;
	}
	s->state = STREAM_HANDSHAKE;
	if (client)
		stream_handshake(s);
}

static void stream_connect_decided(struct stream *s)
{
	int error = 0;
	socklen_t len = sizeof error;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error == 0) {
		stream_connected(s, true);
		return;
	}
	errno = error;
	struct err e;
	(void)err_sys(&e, "connect to %s", s->target);
	stream_break(s, &e);
}

static void stream_on_fd(struct loop_fd *w, int events)
{
	struct stream *s = loop_fd_arg(w);
	if (s->state == STREAM_CONNECT)
		stream_connect_decided(s);
	else if (s->state == STREAM_HANDSHAKE)
		stream_handshake(s);
	else if (s->state == STREAM_OPEN) {
		bool swapped = s->io_swapped;
		s->io_swapped = false;
		if (((events & LOOP_READ) || swapped) && !s->read_eof && !s->paused)
			stream_read(s);
		if (((events & LOOP_WRITE) || swapped) && s->state == STREAM_OPEN)
			stream_flush(s);
	}
	loop_defer_cancel(&s->notify);
	stream_on_notify(&s->notify);
}

/* ---- Telling the owner ---- */

static void stream_destroy(struct stream *s)
{
	free(s->server_name);
	free(s->target);
	free(s->err);
	buf_fini(&s->in);
	buf_fini(&s->out);
	free(s);
}

/* Take a fact off; true when it is to be told now. */
static bool stream_take(struct stream *s, uint8_t fact)
{
	if (s->freed || !(s->due & fact))
		return false;
	if ((fact == DUE_DATA || fact == DUE_EOF) && (s->paused || s->state == STREAM_BROKEN) && !s->orphan)
		return false;
	s->due &= (uint8_t)~fact;
	return true;
}

static void stream_deliver(struct stream *s)
{
	if (stream_take(s, DUE_OPENED) && s->ev->opened)
		s->ev->opened(s);
	if (stream_take(s, DUE_DATA))
		s->ev->data(s);
	if (!(s->due & DUE_DATA) && stream_take(s, DUE_EOF)) {
		if (!s->ev->eof || s->shut)
			stream_end(s);
		else
			s->ev->eof(s);
	}
	if (stream_take(s, DUE_DRAINED) && s->ev->drained)
		s->ev->drained(s);
	if (stream_take(s, DUE_CLOSED))
		s->ev->closed(s, s->err);
}

/* Bytes may wait inside TLS while the descriptor is silent. */
static void stream_read_pending(struct stream *s)
{
	if (s->state == STREAM_OPEN && s->tls && !s->paused && !s->read_eof && tls_pending(s->tls)) {
		stream_read(s);
		stream_due(s, 0);
	}
}

static void stream_on_notify(struct loop_defer *d)
{
	struct stream *s = container_of(d, struct stream, notify);
	s->busy++;
	stream_deliver(s);
	if (!s->freed)
		stream_read_pending(s);
	s->busy--;
	if (s->freed) {
		if (!s->busy)
			stream_destroy(s);
		return;
	}
	if (s->in.len == 0)
		buf_fini(&s->in);
	stream_watch_update(s);
}

/* ---- What the owner calls ---- */

static struct stream *stream_new(struct loop *l, const struct stream_events *ev, void *arg)
{
	struct stream *s = xcalloc(1, sizeof *s);
	s->loop = l;
	s->ev = ev;
	s->arg = arg;
	s->fd = -1;
	buf_init(&s->in, LIMIT_STREAM_IN_BYTES);
	buf_init(&s->out, BUF_MAX_DEFAULT);
	return s;
}

struct stream *stream_accepted(struct loop *l, int fd, struct tls_ctx *tls, const struct stream_events *ev, void *arg)
{
	struct stream *s = stream_new(l, ev, arg);
	s->fd = fd;
	s->tls_ctx = tls;
	s->watch = loop_fd_new(l, fd, 0, stream_on_fd, s);
	stream_connected(s, false);
	if (s->state == STREAM_HANDSHAKE)
		loop_timer_start_lazy(l, &s->timer, HANDSHAKE_US, stream_on_timeout);
	stream_watch_update(s);
	return s;
}

struct stream *stream_connect(struct loop *l, const struct sock_addr *a, struct tls_ctx *tls, const char *server_name,
			      int64_t timeout_us, const struct stream_events *ev, void *arg)
{
	struct stream *s = stream_new(l, ev, arg);
	struct err e;
	char target[SOCK_ADDR_TEXT];
	sock_addr_text(a, target);
	s->target = xstrdup(target);
	s->tls_ctx = tls;
	s->server_name = server_name ? xstrdup(server_name) : NULL;
	if (sock_connect(a, &s->fd, &e) != 0) {
		stream_break(s, &e);
		return s;
	}
	s->watch = loop_fd_new(l, s->fd, LOOP_WRITE, stream_on_fd, s);
	loop_timer_start(l, &s->timer, timeout_us, stream_on_timeout);
	return s;
}

void stream_free(struct stream *s)
{
	if (!s || s->freed)
		return;
	s->freed = true;
	loop_timer_stop(&s->timer);
	loop_defer_cancel(&s->notify);
	loop_hook_remove(&s->flush);
	loop_end_remove(&s->end);
	loop_fd_free(MOVE(s->watch));
	tls_conn_free(MOVE(s->tls));
	if (s->fd >= 0)
		(void)close(MOVE_FD(s->fd));
	if (!s->busy)
		stream_destroy(s);
}

void stream_set(struct stream *s, const struct stream_events *ev, void *arg)
{
	s->ev = ev;
	s->arg = arg;
	if (s->in.len)
		stream_due(s, DUE_DATA);
}

void stream_kick(struct stream *s)
{
	if (s->state == STREAM_BROKEN)
		return;
	if (!buf_ok(&s->out)) {
		struct err e;
		(void)err_set(&e, E_TOOBIG, "peer has not taken %zu bytes of output", stream_backlog(s));
		stream_break(s, &e);
		return;
	}
	if (stream_backlog(s) > LIMIT_STREAM_HIGH_BYTES)
		s->was_full = true;
	if (s->state == STREAM_OPEN && !list_linked(&s->flush.link))
		loop_hook_add(s->loop, &s->flush, stream_on_flush);
}

void stream_write(struct stream *s, const void *data, size_t len)
{
	if (s->state == STREAM_BROKEN || s->shutting)
		return;
	(void)buf_append(&s->out, data, len);     /* the failure sticks; stream_kick reports it */
	stream_kick(s);
}

void stream_shutdown(struct stream *s)
{
	s->shutting = true;
	stream_kick(s);
}

void stream_pause(struct stream *s, bool paused)
{
	if (s->paused == paused)
		return;
	s->paused = paused;
	if (!paused && (s->in.len || s->tls || (s->due & (DUE_DATA | DUE_EOF))))
		stream_due(s, s->in.len ? DUE_DATA : 0);
	stream_watch_update(s);
}

static void stream_orphan_data(struct stream *s) { buf_reset(&s->in); }
static void stream_orphan_closed(struct stream *s, const struct err *e UNUSED) { stream_free(s); }
static void stream_orphan_eof(struct stream *s UNUSED) { }      /* the flush goes on; stream_finish ends it */
static const struct stream_events orphan_events = {
	.data = stream_orphan_data, .eof = stream_orphan_eof, .closed = stream_orphan_closed,
};

static void stream_on_loop_end(struct loop_end *end) { stream_free(container_of(end, struct stream, end)); }

void stream_close_after_flush(struct stream *s)
{
	if (s->state == STREAM_BROKEN) {
		stream_free(s);
		return;
	}
	s->orphan = true;
	loop_end_add(s->loop, &s->end, stream_on_loop_end);
	s->ev = &orphan_events;
	s->arg = NULL;
	buf_reset(&s->in);
	s->due &= DUE_EOF;
	loop_timer_start(s->loop, &s->timer, LINGER_US, stream_on_timeout);
	stream_shutdown(s);
	stream_pause(s, false);
	if (s->due)
		stream_due(s, s->due);
}

void *stream_arg(const struct stream *s) { return s->arg; }
struct buf *stream_in(struct stream *s) { return &s->in; }
struct buf *stream_out(struct stream *s) { return &s->out; }
size_t stream_backlog(const struct stream *s) { return s->out.len - s->out_done; }
bool stream_full(const struct stream *s) { return stream_backlog(s) > LIMIT_STREAM_HIGH_BYTES; }
int stream_fd(const struct stream *s) { return s->fd; }
struct tls_conn *stream_tls(const struct stream *s) { return s->tls; }
struct loop *stream_loop(const struct stream *s) { return s->loop; }
