/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dcos.toml: sections and `key = value` with strings, booleans and numbers, which is what the dcos CLI writes. Comments are
 * not kept. A value that was read without quotes is written without them.
 */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"

struct setting {
	char *key;         /* "core.dcos_url"; "x" for one outside of sections */
	char *value;       /* without quotes */
	bool quoted;
};

#define SETTINGS_MAX 64

struct settings {
	struct setting rows[SETTINGS_MAX];
	size_t count;
};
void settings_fini(struct settings *s);
#define AUTO_SETTINGS __attribute__((cleanup(settings_fini)))

struct setting *settings_find(struct settings *s, const char *key);
const char *settings_get(struct settings *s, const char *key, const char *fallback);
int settings_put(struct settings *s, const char *key, struct str value, bool quoted, struct err *e);
/* False when there was none. */
bool settings_remove(struct settings *s, const char *key);
void settings_sort(struct settings *s);

/* path: for the sentence of an error, E_MALFORMED with the line. Adds to s. */
int settings_parse(struct settings *s, struct str text, const char *path, struct err *e);
/* Sections in the order of their first key. */
void settings_text(const struct settings *s, struct buf *out);

/* An absent file holds nothing. */
int settings_load(struct settings *s, const char *path, struct err *e);
/* Mode 0600, replaced in one step. */
int settings_save(const struct settings *s, const char *path, struct err *e);
