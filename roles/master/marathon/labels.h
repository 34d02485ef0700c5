/* SPDX-License-Identifier: Apache-2.0 */
/* Label selectors of GET /v2/apps?label=: "key", "key==v", "key!=v", "key in (a,b)", "key notin (a,b)", joined by commas. Pure. */
#pragma once

#include "net/base/arena.h"
#include "net/base/err.h"

struct label_selector;
/* In the arena. E_INVALID with Marathon's sentence. */
int label_selector_parse(struct arena *a, struct str text, struct label_selector **out, struct err *e);
/* app_json: canonical definition with `labels`. */
bool label_selector_matches(const struct label_selector *s, const char *app_json);
