/* SPDX-License-Identifier: Apache-2.0 */
/* The dcos command: what its files share. One command is one row of a table in cmd_*.c and one function. */
#pragma once

#include "net/base/flag.h"
#include "net/http.h"
#include "net/json.h"

/* Every flag any command takes; each row's table names those that it does. */
struct cli_flags {
	bool json, quiet, all, completed, inactive, follow, force, scale, attached, long_form, info;
	char *lines, *app_version, *max_count, *host, *field, *interval;
};

struct cli {
	struct loop *loop;
	struct cli_flags flags;
	char **args;             /* words behind the command's */
	int argc;
	char *url;               /* of the attached cluster; made by cli_url */
};

struct command {
	const char *words;       /* "marathon app add" */
	const char *args;        /* "[<file>]", as in the usage line */
	int args_min, args_max;
	const struct flag *flags;/* may be NULL */
	/* Returns 0 or an error whose text is printed and whose code is the exit code (1). */
	int (*fn)(struct cli *c, struct err *e);
	const char *help;        /* one line */
};
#define CMD_END { .words = NULL }
extern const struct command config_commands[], cluster_commands[], marathon_commands[], task_commands[], node_commands[];

#define FLAG_AT(field) offsetof(struct cli_flags, field)
#define FLAG_JSON  { "json", FLAG_BOOL, FLAG_AT(json), "false", 0, 0, NULL, "print JSON" }
#define FLAG_QUIET { "quiet", FLAG_BOOL, FLAG_AT(quiet), "false", 0, 0, NULL, "print only the ids" }
#define FLAG_FORCE { "force", FLAG_BOOL, FLAG_AT(force), "false", 0, 0, NULL, "override a running deployment" }

/* URL of the attached cluster without a slash at the end. E_NOTFOUND says how to attach one. */
int cli_url(struct cli *c, const char **out, struct err *e);

/* ---- requests (client.c): run the loop until the answer is there ---- */
struct answer {
	int status;
	char *body;              /* heap, NUL-terminated */
	size_t len;
	yyjson_doc *doc;         /* parsed when the body is JSON; NULL else */
	char *deployment;        /* header Marathon-Deployment-Id, or NULL */
};
void answer_fini(struct answer *a);
#define AUTO_ANSWER __attribute__((cleanup(answer_fini)))
/*
 * path begins with '/' and is below the cluster's URL. Statuses of 400 and more are errors with the server's own sentence,
 * except those in `allow` (0 ends it; may be NULL).
 */
int client_call(struct cli *c, enum http_method method, const char *path, const char *body, const int *allow, struct answer *out,
		struct err *e);
int client_get(struct cli *c, const char *path, struct answer *out, struct err *e);
/* Stream an answer to `piece` until it ends or piece returns false. */
struct client_stream {
	bool (*piece)(void *arg, struct str bytes);
	void *arg;
};
int client_stream(struct cli *c, const char *path, const struct client_stream *s, struct err *e);

/* ---- tables (table.c): no borders, header in upper case, two spaces between columns, as the dcos CLI prints them ---- */
struct table;
/* columns: names separated by '|'; a name that begins with '<' is left aligned, others are centred. */
struct table *table_new(const char *columns);
void table_add(struct table *t, const char *const *cells);     /* copied; NULL prints as N/A, "" as --- */
void table_sort(struct table *t, size_t column);
void table_print(const struct table *t);
void table_free(struct table *t);

void print_json(const yyjson_val *v);       /* pretty, newline */
