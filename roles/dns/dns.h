/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the dns role share. */
#pragma once

#include "net/http.h"
#include "roles/node.h"
#include "roles/records.h"
#include "roles/view_reload.h"

struct forwarder;
struct dns;

struct dns_config {
	struct node_config common;       /* first */
	uint16_t port, mesos_dns_port, http_port;
	char *listen, *upstream;         /* FLAG_LIST */
	bool mesos_dns;
};

/* One address and port, UDP and TCP (listen.c). */
struct dns_listener {
	struct dns *dns;                 /* borrowed */
	int udp_fd, tcp_fd;
	struct loop_fd *udp_watch, *tcp_watch;
	struct list udp_askers;          /* questions being forwarded; at most LIMIT_DNS_FORWARDS and a turn's worth */
	struct list tcp_askers;
	size_t tcp_count;
	bool only_ours;                  /* Mesos-DNS' port: other names are refused */
};

struct dns {
	struct node node;
	struct dns_config config;
	struct records records;          /* replaced as a whole when the view moves */
	struct view_reload reload;
	struct forwarder *forwarder;
	struct dns_listener listeners[8];
	size_t listener_count;
	struct http_routes routes;
	struct http_server *http;
	uint32_t rotate;
	bool ready;
	uint8_t in[DNS_UDP_MAX];         /* the question being looked at, the answer being written */
	uint8_t out[DNS_TCP_MAX];
};

/* ---- listen.c ---- */
/* Answer from d->records on ip:port, forward the rest unless only_ours. E_INVALID, E_BUSY, E_IO, E_TOOBIG. */
int dns_listen(struct dns *d, const char *ip, uint16_t port, bool only_ours, struct err *e);
void dns_listeners_close(struct dns *d);

/* ---- api.c ---- */
extern const struct route mesos_dns_routes[];    /* arg: struct dns * */
