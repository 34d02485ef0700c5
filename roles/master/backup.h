/* SPDX-License-Identifier: Apache-2.0 */
/* Serves backups to `dcos-node backup` over the cluster RPC (proto/backup.proto). One at a time. */
#pragma once

#include "roles/master/master.h"

struct backups;
struct backups *backups_new(struct master *m);
void backups_free(struct backups *b);                /* waits for a dump under way; before the store is closed */
void backups_gone(struct backups *b, struct rpc_peer *p);        /* its connection closed */
void backups_serve(struct rpc_peer *p, struct rpc_req *req, struct str payload);      /* method BACKUP */
