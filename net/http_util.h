/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers the server, the client and the proxy share; what everybody may use stands in net/http.h. */
#pragma once

#include "net/http.h"

bool http_method_parse(struct str name, enum http_method *out);
/* A header of that name has `token` in its comma-separated list. */
bool http_header_lists(const struct http_headers *h, const char *name, const char *token);
/* Request target to decoded path (no dot segments, no NUL, begins with '/'; or "*") and raw query. False when malformed. */
bool http_target_split(struct arena *a, struct str target, struct str *out_path, struct str *out_query);
/* Append "Name: value\r\n"; line breaks inside become spaces. */
void http_head_add(struct buf *out, struct str name, struct str value);
