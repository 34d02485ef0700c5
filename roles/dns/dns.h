/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the dns role share. */
#pragma once

#include "net/http.h"
#include "roles/dns/records.h"
#include "roles/node.h"

struct view_follower;
struct forwarder;
struct dns;

struct dns_config {
	struct node_config common;       /* first */
	uint16_t port, mesos_dns_port, http_port;
	char *listen, *upstream;         /* FLAG_LIST */
	bool mesos_dns;
};

/* One address and port, UDP and TCP. */
struct dns_listener {
	struct dns *dns;
	int udp_fd, tcp_fd;
	struct loop_fd *udp_watch, *tcp_watch;
	struct list askers;              /* UDP questions being forwarded */
	struct list tcp_askers;
	size_t tcp_count;
	bool only_ours;                  /* Mesos-DNS' port: other names are refused */
};

struct dns {
	struct node node;
	struct dns_config config;
	struct records records;          /* replaced as a whole when the view moves */
	struct view_watch watch;
	struct view_follower *follower;
	struct forwarder *forwarder;
	struct dns_listener listeners[8];
	size_t listener_count;
	struct http_routes routes;
	struct http_server *http;
	uint32_t rotate;
	uint64_t queries;
	bool ready;
	uint8_t tcp_out[DNS_TCP_MAX];
};

extern const struct route mesos_dns_routes[];    /* arg: struct dns * */
