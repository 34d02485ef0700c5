/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flags of a role or command, declared once in a table: parses argv, the environment and a config file (one `name = value`
 * or `name: value` a line), writes --help and the man page. Precedence: command line, environment, file, default.
 * Both spellings `--state-dir` and `--state_dir` name the same flag; `--name=value`, `--name value`, `--flag`, `--no-flag`.
 */
#pragma once

#include "net/base/base.h"
#include "net/base/buf.h"
#include "net/base/err.h"

enum flag_type {
	FLAG_BOOL,      /* bool */
	FLAG_INT,       /* int64_t, min..max */
	FLAG_PORT,      /* uint16_t */
	FLAG_DURATION,  /* int64_t microseconds */
	FLAG_BYTES,     /* int64_t bytes: "32MB", "1GB", "512" */
	FLAG_DOUBLE,    /* double */
	FLAG_STRING,    /* char *, heap, owned by the config struct; NULL when no default */
	FLAG_LIST,      /* char *, heap: repeated flags joined by newlines */
};

struct flag {
	const char *name;        /* with '-' between words */
	enum flag_type type;
	size_t offset;           /* of the field in the config struct */
	const char *def;         /* default as text, NULL: unset (0 / NULL) */
	int64_t min, max;        /* of FLAG_INT, DURATION, BYTES; both 0: unbounded */
	const char *env;         /* environment variable, or NULL */
	const char *help;        /* one line */
};
#define FLAG_END { .name = NULL }

/*
 * Fill `config` from defaults, the file named by --config (when the tables have such a flag), environment, argv.
 * tables   NULL-terminated array of flag tables (each ends with FLAG_END)
 * argc/argv without the program's name; on return *out_argi is the index of the first word that is no flag (after "--" too);
 *          with `permute` words that are no flags are moved to the end of argv, so flags may stand anywhere
 * Errors: E_USAGE with a sentence naming the flag, and the nearest known name when one is close.
 */
int flag_parse(const struct flag *const tables[], void *config, int argc, char **argv, bool permute,
	       int *out_argi, struct err *e);
void flag_help(const struct flag *const tables[], struct buf *out);
/* Free the strings in config. */
void flag_free(const struct flag *const tables[], void *config);
/* Value of one flag as text, for /flags endpoints. */
void flag_value_text(const struct flag *f, const void *config, struct buf *out);
