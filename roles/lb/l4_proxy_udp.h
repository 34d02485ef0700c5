/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's UDP half: datagrams to one VIP. A client (address and port) gets a socket of its own towards one backend, so that
 * answers find back, and stays with that backend while it exists and something is said within FLOW_IDLE_US.
 */
#pragma once

#include "net/loop.h"
#include "roles/vips.h"

struct udp_relay;

/* fd: bound to the VIP, non-blocking; taken. flow_count: shared by all relays of a process and bounded by LIMIT_VIP_FLOWS. */
struct udp_relay *udp_relay_new(struct loop *l, int fd, size_t *flow_count);
/* Clients of backends that are no longer there get another one with their next datagram. backends: copied; at least one. */
void udp_relay_set(struct udp_relay *r, const struct vip_backend *backends, size_t count);
void udp_relay_free(struct udp_relay *r);        /* NULL ok */
