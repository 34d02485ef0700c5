/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as text and back, sockets that listen or connect, and name look-up on a worker thread. A look-up's worker has a
 * heap job of its own, so cancelling frees the caller's storage at once even while getaddrinfo goes on.
 */
#include "net/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>

#define LISTEN_BACKLOG 1024

static int sock_addr_path(struct sock_addr *out, const char *path, struct err *e)
{
	struct sock_addr a = { .len = sizeof a.un };
	a.un.sun_family = AF_UNIX;
	if (!str_put(a.un.sun_path, sizeof a.un.sun_path, str_of(path)))
		return err_set(e, E_INVALID, "socket path '%s' is longer than %zu characters", path, sizeof a.un.sun_path - 1);
	*out = a;
	return 0;
}

int sock_addr_parse(struct sock_addr *out, const char *host, uint16_t port, struct err *e)
{
	if (host[0] == '/')
		return sock_addr_path(out, host, e);

	char bare[INET6_ADDRSTRLEN];
	struct str h = str_of(host);
	if (h.len >= 2 && h.p[0] == '[' && h.p[h.len - 1] == ']')
		h = str_n(h.p + 1, h.len - 2);
	struct sock_addr a = { 0 };
	if (str_put(bare, sizeof bare, h)) {
		if (inet_pton(AF_INET, bare, &a.in.sin_addr) == 1) {
			a.in.sin_family = AF_INET;
			a.in.sin_port = htons(port);
			a.len = sizeof a.in;
		} else if (inet_pton(AF_INET6, bare, &a.in6.sin6_addr) == 1) {
			a.in6.sin6_family = AF_INET6;
			a.in6.sin6_port = htons(port);
			a.len = sizeof a.in6;
		}
	}
	if (!a.len)
		return err_set(e, E_INVALID, "'%s' is not an IP address", host);
	*out = a;
	return 0;
}

int sock_addr_parse_hostport(struct sock_addr *out, const char *text, uint16_t default_port, struct err *e)
{
	struct str t = str_of(text);
	if (t.len && t.p[0] == '/')
		return sock_addr_parse(out, text, 0, e);

	struct str host = t;
	uint64_t port = default_port;
	ssize_t colon = str_rfind(t, ':');
	bool bare_ip6 = colon >= 0 && str_find(t, ':') != colon && t.p[0] != '[';
	bool bracket_last = t.len && t.p[t.len - 1] == ']';
	if (colon >= 0 && !bare_ip6 && !bracket_last) {
		host = str_head(t, (size_t)colon);
		if (!str_u64(str_from(t, (size_t)colon + 1), &port) || port > UINT16_MAX)
			return err_set(e, E_INVALID, "'%s' has no port between 0 and 65535 behind its colon", text);
	}
	char name[SOCK_ADDR_TEXT];
	if (!str_put(name, sizeof name, host))
		return err_set(e, E_INVALID, "'%s' is not an address", text);
	return sock_addr_parse(out, name, (uint16_t)port, e);
}

void sock_addr_host(const struct sock_addr *a, char out[SOCK_ADDR_TEXT])
{
	out[0] = '\0';
	if (a->len == 0)
		return;
	if (a->sa.sa_family == AF_INET)
		(void)inet_ntop(AF_INET, &a->in.sin_addr, out, SOCK_ADDR_TEXT);
	else if (a->sa.sa_family == AF_INET6)
		(void)inet_ntop(AF_INET6, &a->in6.sin6_addr, out, SOCK_ADDR_TEXT);
	else if (a->sa.sa_family == AF_UNIX && a->len > offsetof(struct sockaddr_un, sun_path))
		(void)str_put(out, SOCK_ADDR_TEXT, str_n(a->un.sun_path, strnlen(a->un.sun_path, sizeof a->un.sun_path)));
}

void sock_addr_text(const struct sock_addr *a, char out[SOCK_ADDR_TEXT])
{
	char host[SOCK_ADDR_TEXT];
	sock_addr_host(a, host);
	if (a->len == 0 || a->sa.sa_family == AF_UNIX)
		(void)snprintf(out, SOCK_ADDR_TEXT, "%s", host[0] ? host : "unix socket");
	else
		(void)snprintf(out, SOCK_ADDR_TEXT, a->sa.sa_family == AF_INET6 ? "[%.64s]:%u" : "%.64s:%u", host, sock_addr_port(a));
}

uint16_t sock_addr_port(const struct sock_addr *a)
{
	if (a->len == 0)
		return 0;
	if (a->sa.sa_family == AF_INET)
		return ntohs(a->in.sin_port);
	return a->sa.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port) : 0;
}

uint32_t sock_addr_ip4(const struct sock_addr *a)
{
	return a->len && a->sa.sa_family == AF_INET ? ntohl(a->in.sin_addr.s_addr) : 0;
}

static int sock_new(const struct sock_addr *a, int type, int *out_fd, struct err *e)
{
	int fd = socket(a->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return err_sys(e, "make a socket");
	*out_fd = fd;
	return 0;
}

/* A socket file is stale when nobody accepts behind it. */
static bool sock_unlink_stale(const struct sock_addr *a, int type)
{
	AUTO_FD int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, &a->sa, a->len) == -1 && errno == ECONNREFUSED && unlink(a->un.sun_path) == 0;
}

int sock_listen(const struct sock_addr *a, int type, int *out_fd, struct err *e)
{
	AUTO_FD int fd = -1;
	char text[SOCK_ADDR_TEXT];
	const int on = 1;
	sock_addr_text(a, text);
	if (sock_new(a, type, &fd, e) != 0)
		return err_wrap(e, "listen on %s", text);
	if (type == SOCK_STREAM && a->sa.sa_family != AF_UNIX)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);     /* only spares a wait after a restart */
	int rc = bind(fd, &a->sa, a->len);
	if (rc == -1 && errno == EADDRINUSE && a->sa.sa_family == AF_UNIX && sock_unlink_stale(a, type))
		rc = bind(fd, &a->sa, a->len);
	if (rc == -1 && errno == EADDRINUSE)
		return err_set(e, E_BUSY, "listen on %s: the address is in use by another process", text);
	if (rc == -1)
		return err_sys(e, "bind to %s", text);
	if (type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG) == -1)
		return err_sys(e, "listen on %s", text);
	*out_fd = MOVE_FD(fd);
	return 0;
}

int sock_local_addr(int fd, struct sock_addr *out, struct err *e)
{
	struct sock_addr a = { .len = sizeof a.storage };
	if (getsockname(fd, &a.sa, &a.len) == -1)
		return err_sys(e, "own address of a socket");
	*out = a;
	return 0;
}

int sock_peer_addr(int fd, struct sock_addr *out, struct err *e)
{
	struct sock_addr a = { .len = sizeof a.storage };
	if (getpeername(fd, &a.sa, &a.len) == -1)
		return err_sys(e, "peer address of a socket");
	*out = a;
	return 0;
}

int sock_connect(const struct sock_addr *a, int *out_fd, struct err *e)
{
	AUTO_FD int fd = -1;
	char text[SOCK_ADDR_TEXT];
	sock_addr_text(a, text);
	if (sock_new(a, SOCK_STREAM, &fd, e) != 0)
		return err_wrap(e, "connect to %s", text);
	if (connect(fd, &a->sa, a->len) == -1 && errno != EINPROGRESS)
		return err_sys(e, "connect to %s", text);
	*out_fd = MOVE_FD(fd);
	return 0;
}

void sock_keepalive(int fd)
{
	const int on = 1, idle_s = 5, interval_s = 1, count = 3;
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);           /* a unix socket has no such things */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* ---- Look-up ---- */

struct sock_lookup_job {
	struct work work;
	struct sock_lookup *op;      /* borrowed; NULL once cancelled */
	char host[256];
	uint16_t port;
	struct sock_addr addr;
	struct err err;
};

static void sock_lookup_work(struct work *w)
{
	struct sock_lookup_job *job = container_of(w, struct sock_lookup_job, work);
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(job->host, NULL, &hints, &list);
	if (rc != 0) {
		(void)err_set(&job->err, E_NOTFOUND, "look up '%s': %s", job->host, gai_strerror(rc));
		return;
	}
	assert(list);                           /* promised with rc 0 */
	const struct addrinfo *best = list;
	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
		if (ai->ai_family == AF_INET) {         /* our clusters speak IPv4 first */
			best = ai;
			break;
		}
	memcpy(&job->addr.storage, best->ai_addr, best->ai_addrlen);
	job->addr.len = best->ai_addrlen;
	if (best->ai_family == AF_INET)
		job->addr.in.sin_port = htons(job->port);
	else
		job->addr.in6.sin6_port = htons(job->port);
	freeaddrinfo(list);
}

static void sock_lookup_on_work(struct work *w)
{
	struct sock_lookup_job *job = container_of(w, struct sock_lookup_job, work);
	struct sock_lookup *op = job->op;
	if (op) {
		op->job = NULL;
		op->addr = job->addr;
		op->err = job->err;
	}
	free(job);
	if (op)
		op->done(op);
}

static void sock_lookup_on_defer(struct loop_defer *d)
{
	struct sock_lookup *op = container_of(d, struct sock_lookup, defer);
	op->done(op);
}

void sock_lookup_start(struct loop *l, struct sock_lookup *op, const char *host, uint16_t port,
		       void (*done)(struct sock_lookup *op))
{
	*op = (struct sock_lookup){ .loop = l, .port = port, .done = done };
	if (!str_put(op->host, sizeof op->host, str_of(host))) {
		(void)err_set(&op->err, E_NOTFOUND, "look up a name of %zu characters: at most 255 are allowed", strlen(host));
		loop_defer(l, &op->defer, sock_lookup_on_defer);
		return;
	}
	struct err not_literal;
	if (sock_addr_parse(&op->addr, host, port, &not_literal) == 0) {
		loop_defer(l, &op->defer, sock_lookup_on_defer);
		return;
	}
	struct sock_lookup_job *job = op->job = xcalloc(1, sizeof *job);
	job->op = op;
	job->port = port;
	memcpy(job->host, op->host, sizeof job->host);
	work_submit(l, &job->work, sock_lookup_work, sock_lookup_on_work);
}

void sock_lookup_cancel(struct sock_lookup *op)
{
	loop_defer_cancel(&op->defer);
	struct sock_lookup_job *job = MOVE(op->job);
	if (!job)
		return;
	job->op = NULL;
	if (work_cancel(&job->work))
		free(job);
}
