/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `dcos marathon` share: paths, definitions from files or stdin, the answers that every change gets. */
#pragma once

#include "roles/cli/cli.h"

#define MARATHON "/service/marathon"

/* MARATHON + collection + "/" + id (its segments percent-encoded, a '/' in front dropped) + rest; heap. */
char *marathon_path(const char *collection, const char *id, const char *rest);
/* "?force=true", or "" */
const char *marathon_force(const struct cli *c);

/* A definition as it was given, known to be JSON. */
struct definition {
	char *text;
	yyjson_doc *doc;
};
void definition_fini(struct definition *d);
#define AUTO_DEFINITION __attribute__((cleanup(definition_fini)))
/*
 * Of a file, a URL, or stdin when source is NULL. Errors name the source; a terminal as stdin is one:
 * what: "application", for that sentence.
 */
int definition_read(struct cli *c, const char *source, const char *what, struct definition *out, struct err *e);

/* instances=3 env={"A":"b"} cmd=sleep -> an object: values are JSON, or strings where they are not. E_USAGE. */
int object_of_pairs(char *const *pairs, int count, struct buf *out, struct err *e);

/* "Created deployment <id>" of the header or the body. */
void print_deployment(const struct answer *a);
/* "Killed tasks: ['a', 'b']", or "Started deployment: …" when the answer is one. */
void print_killed(const struct answer *a);

/* ---- texts of table cells and messages (pure) ---- */
/* "scale" of "ScaleApplication" */
const char *action_word(const char *action);
/*
 * Why an entry of /v2/queue waits: "'/big' waits: not enough cpus on 3 of 3 agents". Empty when it does not or nothing is known.
 */
void queue_reason(yyjson_val *entry, struct buf *out);
/* The entry of /v2/queue for an app, or NULL. */
yyjson_val *queue_find(yyjson_val *queue, const char *app_id);
