/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and sockets. Non-blocking, close-on-exec throughout. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/base/err.h"
#include "net/base/str.h"
#include "net/loop.h"

struct sock_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	};
	socklen_t len;
};
#define SOCK_ADDR_TEXT 128

/* "1.2.3.4", "[::1]", "/path/to.sock" with a port (ignored for paths). No name look-up. E_INVALID. */
int sock_addr_parse(struct sock_addr *out, const char *host, uint16_t port, struct err *e);
/* "host:port" */
int sock_addr_parse_hostport(struct sock_addr *out, const char *text, uint16_t default_port, struct err *e);
void sock_addr_text(const struct sock_addr *a, char out[SOCK_ADDR_TEXT]);       /* "1.2.3.4:80" */
void sock_addr_host(const struct sock_addr *a, char out[SOCK_ADDR_TEXT]);       /* "1.2.3.4" */
uint16_t sock_addr_port(const struct sock_addr *a);
uint32_t sock_addr_ip4(const struct sock_addr *a);                              /* host byte order; 0 if not IPv4 */

/* type SOCK_STREAM listens, SOCK_DGRAM only binds. A stale unix socket file is replaced. E_IO, E_BUSY (address in use). */
int sock_listen(const struct sock_addr *a, int type, int *out_fd, struct err *e);
int sock_local_addr(int fd, struct sock_addr *out, struct err *e);
int sock_peer_addr(int fd, struct sock_addr *out, struct err *e);
/* A TCP connection over which nothing comes for seconds is probed: a peer that is cut off is noticed within about eight. */
void sock_keepalive(int fd);
/* Begins a connection; the descriptor becomes writable when it is decided (SO_ERROR tells). */
int sock_connect(const struct sock_addr *a, int *out_fd, struct err *e);

/* Name look-up: literals at once, names by getaddrinfo on a worker thread. done gets E_NOTFOUND in e->code on failure. */
struct sock_lookup_job;
struct sock_lookup {
	struct sock_lookup_job *job;    /* what the worker holds; NULL for a literal */
	char host[256];
	uint16_t port;
	struct sock_addr addr;
	struct err err;
	struct loop_defer defer;
	struct loop *loop;
	void (*done)(struct sock_lookup *l);
};
void sock_lookup_start(struct loop *l, struct sock_lookup *op, const char *host, uint16_t port,
		       void (*done)(struct sock_lookup *op));
void sock_lookup_cancel(struct sock_lookup *op);
