/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where masters were last seen, in <state dir>/masters, a line "IP:PORT" each: a process that starts again finds the cluster even
 * when the addresses it was given are those of dead machines.
 */
#pragma once

#include "roles/node.h"

#define KNOWN_MASTERS_MAX 32

/* Those of --masters first, then those of the file, each once; what cannot be read counts as nothing. Returns how many. */
size_t known_masters_read(const struct node *n, struct sock_addr out[KNOWN_MASTERS_MAX]);
/* Those of the file alone. */
size_t known_masters_file(const struct node *n, struct sock_addr out[KNOWN_MASTERS_MAX]);
/* Written when it says something else; a failure is logged: it costs only the help at the next start. */
void known_masters_write(const struct node *n, const struct sock_addr *addrs, size_t count);
