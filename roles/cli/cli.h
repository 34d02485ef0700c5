/* SPDX-License-Identifier: Apache-2.0 */
/* The dcos command: what its files share. One command is one row of a table in cmd_*.c and one function. */
#pragma once

#include "net/base/flag.h"
#include "net/http.h"
#include "net/json.h"

/* Every flag any command takes; each row's table names those that it does. */
struct cli_flags {
	bool json, quiet, all, completed, follow, force, inactive, scale, wipe, attached, long_form;
	int64_t max_count, interval_us;
	char *lines, *app_version, *host;
};

#define CLI_URLS_MAX 16
struct cli {
	struct loop *loop;
	struct cli_flags flags;
	char **args;             /* words behind the command's */
	int argc;
	char *urls[CLI_URLS_MAX];/* of the cluster's masters, in the order of trying; made by cli_url */
	size_t url_count;
	char *dir, *own_url;     /* where they are remembered, and core.dcos_url; NULL: nowhere */
	bool urls_old;           /* the cluster should be asked which masters it has */
	char *token;             /* for that cluster only, or NULL; made by cli_url */
	int64_t timeout_us;      /* of one request; 0: three minutes */
	bool interrupted;        /* by Ctrl-C, after client_catch_interrupt */
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
extern const struct command app_commands[], cluster_commands[], completion_commands[], config_commands[], group_commands[],
	log_commands[], marathon_commands[], node_commands[], service_commands[], task_commands[];

/* Every row there is: the first one for NULL, NULL behind the last. */
const struct command *cli_next(const struct command *row);
/* The row with the most words that the command line begins with, or NULL; *out_used is how many they are. */
const struct command *cli_find(char *const *words, int count, int *out_used);

#define FLAG_AT(field) offsetof(struct cli_flags, field)
#define FLAG_JSON  { "json", FLAG_BOOL, FLAG_AT(json), "false", 0, 0, NULL, "print JSON" }
#define FLAG_QUIET { "quiet", FLAG_BOOL, FLAG_AT(quiet), "false", 0, 0, NULL, "print only the ids" }, \
		   { "q", FLAG_BOOL, FLAG_AT(quiet), "false", 0, 0, NULL, "the same" }
#define FLAG_ALL       { "all", FLAG_BOOL, FLAG_AT(all), "false", 0, 0, NULL, "running and completed tasks" }
#define FLAG_COMPLETED { "completed", FLAG_BOOL, FLAG_AT(completed), "false", 0, 0, NULL, "completed tasks" }
#define FLAG_FORCE { "force", FLAG_BOOL, FLAG_AT(force), "false", 0, 0, NULL, "override a running deployment" }

/*
 * URL of the attached cluster without a slash at the end: of the master that answered last, of core.dcos_url at first.
 * E_NOTFOUND says how to attach one. DCOS_URL, DCOS_ACS_TOKEN, DCOS_TIMEOUT.
 */
int cli_url(struct cli *c, const char **out, struct err *e);
void cli_use_url(struct cli *c, const char *url);             /* requests go there and nowhere else */
void cli_prefer_url(struct cli *c, size_t index);             /* c->urls[index] is the first to be tried from now on */
/* The cluster's masters are these; remembered for the next commands. */
int cli_set_urls(struct cli *c, const char *const *urls, size_t count, struct err *e);
void cli_fini(struct cli *c);

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
yyjson_val *answer_json(const struct answer *a);       /* NULL when the body is no JSON: the json_ helpers take that */
/*
 * Which master answers is this function's business: one that cannot be reached, or has no leader to ask, is left for the next,
 * for some seconds while they elect one. What may have had an effect is not sent twice.
 * path begins with '/' and is below the cluster's URL, or is a whole URL. Statuses of 400 and more are errors with the server's
 * own sentence (E_NOTFOUND for 404), except those in `allow` (0 ends it; may be NULL).
 */
int client_call(struct cli *c, enum http_method method, const char *path, const char *body, const int *allow, struct answer *out,
		struct err *e);
int client_get(struct cli *c, const char *path, struct answer *out, struct err *e);
/* From now on Ctrl-C sets c->interrupted and ends what is being waited for. */
void client_catch_interrupt(struct cli *c);
void client_pause(struct cli *c, int64_t delay_us);
/* Ask the cluster for its masters, and remember them. */
int client_learn_masters(struct cli *c, struct err *e);
/* An answer that is handed on as it comes. */
struct client_stream {
	char *path;              /* as of client_call; heap */
	/* False ends all streams. */
	bool (*piece)(struct client_stream *s, struct str bytes);
	/* The connection broke: path of what comes behind the last piece, heap. NULL: then the stream has ended. */
	char *(*resume)(struct client_stream *s);
	void *arg;
	bool ended;              /* out: by the server, with err.code 0, or by a failure */
	struct err err;
};
/* Run all side by side until each has ended, a piece() returned false, or Ctrl-C. An error only if they could not begin. */
int client_streams(struct cli *c, struct client_stream *streams, size_t count, struct err *e);

/* ---- tables (table.c): no borders, header in upper case, two spaces between columns, as the dcos CLI prints them ---- */
struct table;
/* columns: names separated by '|'; a name that begins with '<' is left aligned, others are centred. */
struct table *table_new(const char *columns);
void table_add(struct table *t, const char *const *cells);     /* copied; NULL prints as N/A, "" as --- */
void table_sort(struct table *t, size_t column);
void table_text(const struct table *t, struct buf *out);
void table_print(const struct table *t);
void table_free(struct table *t);

void print_json(const yyjson_val *v);       /* pretty, newline; NULL prints null */
/* Some values of several documents as one JSON list. */
struct json_list {
	struct buf out;      /* caller calls buf_fini */
	size_t count;
};
#define JSON_LIST_INIT { .out = BUF_INIT }
void json_list_add(struct json_list *l, const yyjson_val *v);
void json_list_print(struct json_list *l);
