/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in Marathon: apps, deployments, instances; a framework like any other (mesos.h), its state in the replicated store. */
#pragma once

#include "net/http.h"
#include "roles/master/master.h"

struct marathon;
extern const struct kv_table *const marathon_tables[];     /* of the replicated state */
/* Registers its tables and commands; call before store_start and after mesos_new. */
struct marathon *marathon_new(struct master *m);
void marathon_free(struct marathon *ma);
/* Leadership gained: load apps and instances, subscribe with the stored framework id, reconcile. Lost: stop. */
void marathon_lead(struct marathon *ma, bool leads);
/*
 * /v2/…, /ping, /metrics, /help: served on 8080 and behind /marathon and /service/marathon. On a master that does not lead, what
 * is not about this master goes to the leader's Marathon.
 */
void marathon_routes_add(struct http_routes *rs, struct marathon *ma);
