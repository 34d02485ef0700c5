/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The masters among themselves: who may take part (by key), where they are, their connections, and the commands that change
 * this. Consensus is the store's; here are its wires and its doorman.
 */
#pragma once

#include "proto/cluster.pb.h"
#include "roles/master/master.h"

struct quorum;

/*
 * Before the store is opened: quorum_net goes into its configuration. quorum_attach after it, before store_start, and
 * quorum_start when the RPC listener and the store run.
 */
struct quorum *quorum_new(struct master *m);
const struct store_net *quorum_net(struct quorum *q);
void quorum_attach(struct quorum *q);
void quorum_start(struct quorum *q);
void quorum_free(struct quorum *q);                /* NULL ok; after the listener is gone, before store_close */

/* RPC methods, JOIN and WHO_LEADS among them; rpc arg is struct master *. */
extern const struct rpc_method quorum_rpc_methods[];
extern const size_t quorum_rpc_method_count;
void quorum_peer_closed(struct quorum *q, struct rpc_peer *p);
/* Where the masters are, for who asks for the leader. */
void quorum_addresses(struct quorum *q, struct arena *a, dcos_Leader *out);
/* For rpc_handlers.refused. */
void quorum_peer_refused(struct rpc_peer *p, const struct err *e);

/* The state of this master cannot be trusted, and others have it: move it aside to join again. E_CORRUPT: there are no others. */
int quorum_forget(struct master *m, const char *dir, struct err *e);

/* `dcos-node master VERB …`: true when argv[1] is a verb; *exit_code is set. */
bool quorum_command(int argc, char **argv, int *exit_code);
/* The verbs, for --help. */
void quorum_command_help(struct buf *out);

/* ---- for those outside (quorum_list.c) ---- */
struct quorum_master {
	char host[80];               /* address; key fingerprint of one that never came */
	bool voter, leads;
	bool connected;              /* to this master, or is this one */
};
/* The members, as this master knows them; returns how many. */
size_t quorum_masters(struct quorum *q, struct quorum_master out[STORE_MEMBERS_MAX]);
