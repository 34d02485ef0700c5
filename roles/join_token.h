/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words that let a machine into a cluster, one a line of a token file:
 *
 *     dcos1.<SHA-256 of the CA's certificate, hex>.<secret>      makes nodes, as often as it is shown
 *     dcosm1.<SHA-256 of the CA's certificate, hex>.<secret>     makes one master, until it expires
 *
 * The digest tells a new machine whom to trust before it has any certificate.
 */
#pragma once

#include "net/base/err.h"
#include "net/base/str.h"

enum join_kind { JOIN_NODE, JOIN_MASTER };

#define JOIN_SECRET_BYTES 24

struct join_token {
	char text[160];              /* the whole of it */
	uint8_t ca_sha256[32];
	char digest[65];             /* SHA-256 of the secret, hex: what the cluster knows a master's token by */
};

/* The first token of that kind among the lines. E_NOTFOUND: there is none; E_MALFORMED: it is damaged. */
int join_token_read(struct str lines, enum join_kind kind, struct join_token *out, struct err *e);
/* A new one, for the CA with that digest. */
void join_token_make(enum join_kind kind, const uint8_t ca_sha256[32], struct join_token *out);
