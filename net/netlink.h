/* SPDX-License-Identifier: Apache-2.0 */
/* Links, addresses, routes and namespaces by rtnetlink, without calling ip(8). Blocking, small; used at start and by `up`. */
#pragma once

#include "net/base/err.h"

int nl_link_up(const char *name, struct err *e);
int nl_bridge_add(const char *name, struct err *e);                                   /* exists already: fine */
int nl_veth_add(const char *name, const char *peer, int peer_netns_fd, const char *peer_final_name, struct err *e);
int nl_dummy_add(const char *name, struct err *e);                                    /* E_UNSUPPORTED where the kernel has none */
int nl_link_master(const char *name, const char *bridge, struct err *e);
int nl_link_del(const char *name, struct err *e);                                     /* absent: fine */
int nl_addr_add(const char *name, uint32_t ip4, int prefix, struct err *e);           /* host byte order; exists: fine */
int nl_addr_del(const char *name, uint32_t ip4, int prefix, struct err *e);
int nl_addr_del_within(const char *name, uint32_t net4, int prefix, struct err *e);   /* every IPv4 address of that network; none: fine */
int nl_route_add(uint32_t ip4, int prefix, uint32_t gateway, const char *dev, struct err *e);
int nl_route_unreachable(uint32_t ip4, int prefix, bool add, struct err *e);          /* add: exists: fine; del: absent: fine */
/* Named network namespace: a new one pinned at `path` by a bind mount (the caller stays where it is). */
int netns_create(const char *path, struct err *e);
int netns_delete(const char *path, struct err *e);
/* Run fn(arg) inside the namespace at path (a forked child does it); returns fn's result. */
int netns_run(const char *path, int (*fn)(void *arg, struct err *e), void *arg, struct err *e);
