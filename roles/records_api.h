/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names over HTTP, in the two dialects clients know: Mesos-DNS' (port 8123, behind /mesos_dns) and dcos-net's (62080, behind
 * /net). Handlers of either role call these with its records.
 */
#pragma once

#include "net/http.h"
#include "roles/records.h"

enum records_dialect {
	RECORDS_MESOS_DNS,      /* all values are strings; nothing found is one empty record, which Admin Router relies on */
	RECORDS_DCOS_NET,       /* ports are numbers; nothing found is an empty list */
};

/* GET …/hosts/{name}: addresses. The name is the route's first parameter. */
void records_reply_hosts(struct http_req *r, const struct records *rec, enum records_dialect dialect);
/* GET …/services/{name}: SRV records with their addresses. */
void records_reply_services(struct http_req *r, const struct records *rec, enum records_dialect dialect);
