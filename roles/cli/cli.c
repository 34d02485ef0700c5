/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dcos command: finds the row whose words the command line begins with, parses its flags and runs it.
 * Exit codes: 0 done, 1 failed or misused (as the dcos CLI's).
 */
#include "roles/cli/cli.h"

#include <signal.h>
#include <stdio.h>

#include "gen/version.h"
#include "net/base/log.h"
#include "roles/roles.h"

static const struct command *const groups[] = {
	app_commands, cluster_commands, completion_commands, config_commands, group_commands,
	log_commands, marathon_commands, node_commands, service_commands, task_commands,
};

#define ROWS_MAX 128                     /* commands there are */
#define VERSION_TIMEOUT_US (3 * SEC)     /* `dcos --version` is asked when something is wrong */

const struct command *cli_next(const struct command *row)
{
	if (!row)
		return groups[0];
	if (row[1].words)
		return row + 1;
	for (size_t g = 0; g + 1 < ARRAY_LEN(groups); g++) {
		const struct command *last = groups[g];
		while (last[1].words)
			last++;
		if (last == row)
			return groups[g + 1];
	}
	return NULL;
}

/* How many words of the row the command line begins with; 0 when it does not begin with all of them. */
static int matches(const struct command *row, char *const *words, int count)
{
	struct str rest = str_of(row->words);
	int n = 0;
	while (rest.p && rest.len > 0) {
		struct str word = str_cut(&rest, ' ');
		if (n >= count || !str_eq_c(word, words[n]))
			return 0;
		n++;
	}
	return n;
}

const struct command *cli_find(char *const *words, int count, int *out_used)
{
	const struct command *best = NULL;
	*out_used = 0;
	for (const struct command *row = cli_next(NULL); row; row = cli_next(row)) {
		int used = matches(row, words, count);
		if (used <= *out_used)
			continue;
		best = row;
		*out_used = used;
	}
	return best;
}

static void print_usage(FILE *out, const struct command *row)
{
	AUTO_BUF struct buf flags = BUF_INIT;
	const struct flag *tables[] = { row->flags, NULL };
	(void)fprintf(out, "Usage: dcos %s%s%s%s\n\n%s.\n", row->words, row->flags ? " [flags]" : "", row->args[0] ? " " : "", row->args,
		      row->help);
	if (!row->flags)
		return;
	flag_help(tables, &flags);
	(void)fprintf(out, "\n%s", buf_cstr(&flags));
}

static int by_words(const void *a, const void *b)
{
	return strcmp((*(const struct command *const *)a)->words, (*(const struct command *const *)b)->words);
}

/* Rows whose words begin with the given ones, in their order; returns how many. */
static size_t print_rows(FILE *out, const char *begin)
{
	const struct command *rows[ROWS_MAX];
	size_t n = 0;
	for (const struct command *row = cli_next(NULL); row; row = cli_next(row)) {
		if (!cstr_starts(row->words, begin))
			continue;
		assert(n < ROWS_MAX);
		rows[n++] = row;
	}
	qsort(rows, n, sizeof(rows[0]), by_words);
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *left = xasprintf("%s %s", rows[i]->words, rows[i]->args);
		(void)fprintf(out, "  dcos %-54s %s\n", left, rows[i]->help);
	}
	return n;
}

static int help_all(FILE *out)
{
	(void)fputs("Command line utility for the datacenter operating system.\n\n", out);
	(void)print_rows(out, "");
	(void)fputs("\n  dcos help [<command>]   more about one\n  dcos --version\n\nEach command takes --help.\n", out);
	return out == stdout ? 0 : 1;
}

static int help_for(char *const *words, int count)
{
	AUTO_BUF struct buf begin = BUF_INIT;
	int used;
	const struct command *row = cli_find(words, count, &used);
	if (row && used == count) {
		print_usage(stdout, row);
		return 0;
	}
	for (int i = 0; i < count; i++)
		buf_printf(&begin, "%s%s", i > 0 ? " " : "", words[i]);
	if (print_rows(stdout, buf_cstr(&begin)) > 0)
		return 0;
	(void)fprintf(stderr, "Error: unknown command %s; `dcos help` lists them\n", words[0]);
	return 1;
}

static int print_version(struct cli *c)
{
	AUTO_ANSWER struct answer a = { 0 };
	struct err e = { 0 };
	const char *url;
	printf("dcoscli.version=%s\n", DCOS_NODE_VERSION);
	if (cli_url(c, &url, &e) != 0)
		return 0;      /* no cluster: nothing to say about one */
	c->timeout_us = VERSION_TIMEOUT_US;
	(void)client_get(c, "/dcos-metadata/dcos-version.json", &a, &e);    /* no answer: N/A */
	yyjson_val *root = answer_json(&a);
	printf("dcos.version=%s\n", json_str(root, "version", "N/A"));
	printf("dcos.variant=%s\n", json_str(root, "dcos-variant", "N/A"));
	printf("dcos.commit=%s\n", json_str(root, "dcos-image-commit", "N/A"));
	printf("dcos.bootstrap-id=%s\n", json_str(root, "bootstrap-id", "N/A"));
	return 0;
}

static bool asks_help(char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0)
			return true;
	return false;
}

/* The commands that begin alike, or that there is none. */
static int unknown(char *const *words)
{
	if (print_rows(stderr, words[0]) == 0)
		(void)fprintf(stderr, "Error: unknown command %s; `dcos help` lists them\n", words[0]);
	return 1;
}

static int run(struct cli *c, const struct command *row, char **words, int count)
{
	static const struct flag none[] = { FLAG_END };
	const struct flag *const tables[] = { row->flags ? row->flags : none, NULL };
	struct err e = { 0 };
	int argi;
	int rc = flag_parse(tables, &c->flags, count, words, true, &argi, &e);
	c->args = words + argi;
	c->argc = count - argi;
	if (rc == 0 && (c->argc < row->args_min || c->argc > row->args_max)) {
		print_usage(stderr, row);
		rc = E_USAGE;
		e.text[0] = '\0';
	}
	if (rc == 0)
		rc = row->fn(c, &e);
	if (rc != 0 && e.text[0])
		(void)fprintf(stderr, "%s\n", e.text);
	flag_free(tables, &c->flags);
	return rc == 0 ? 0 : 1;
}

/* `-v` and its like, before the command: how much this program says of what it does. Returns how many words; -1: unknown. */
static int global_options(char *const *words, int count)
{
	static const struct { const char *word; enum log_level level; } options[] = {
		{ "-v", LOG_INFO }, { "-vv", LOG_DEBUG }, { "-vvv", LOG_DEBUG }, { "--debug", LOG_DEBUG },
		{ "--log-level=debug", LOG_DEBUG }, { "--log-level=info", LOG_INFO }, { "--log-level=warning", LOG_WARN },
		{ "--log-level=error", LOG_ERROR }, { "--log-level=critical", LOG_ERROR },
	};
	int n = 0;
	log_set_level(LOG_ERROR);
	for (; n < count && words[n][0] == '-'; n++) {
		size_t i = 0;
		while (i < ARRAY_LEN(options) && strcmp(options[i].word, words[n]) != 0)
			i++;
		if (i == ARRAY_LEN(options))
			return -1;
		log_set_level(options[i].level);
	}
	return n;
}

static int dispatch(struct cli *c, int count, char **words)
{
	if (count > 0 && strcmp(words[0], "--version") == 0)
		return print_version(c);
	if (count > 0 && (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0))
		return help_all(stdout);
	int skip = global_options(words, count), used;
	if (skip < 0) {
		(void)fprintf(stderr, "Error: unknown flag %s; `dcos help` lists what there is\n", words[0]);
		return 1;
	}
	words += skip;
	count -= skip;
	if (count == 0 || (count == 1 && strcmp(words[0], "help") == 0))
		return help_all(stdout);
	if (strcmp(words[0], "help") == 0)
		return help_for(words + 1, count - 1);
	const struct command *row = cli_find(words, count, &used);
	if (asks_help(words, count)) {
		int n = 0;
		while (n < count && words[n][0] != '-')
			n++;
		return help_for(words, row ? used : n);
	}
	return row ? run(c, row, words + used, count - used) : unknown(words);
}

int cli_main(int argc, char **argv)
{
	struct cli c = { 0 };
	(void)signal(SIGPIPE, SIG_IGN);
	c.loop = loop_new();
	int code = dispatch(&c, argc - 1, argv + 1);
	if (fflush(stdout) != 0)
		code = 1;
	loop_free(c.loop);
	cli_fini(&c);
	return code;
}
