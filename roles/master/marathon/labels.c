/* SPDX-License-Identifier: Apache-2.0 */
/* Source of the grammar: Marathon's LabelSelector. All operators but the bare key want the label to exist. */
#include "roles/master/marathon/labels.h"

#include <ctype.h>

#include "net/json.h"

#define TERMS_MAX 64
#define VALUES_MAX 64

struct term {
	const char *key;
	enum { EXISTS, IN, NOT_IN } op;
	const char *values[VALUES_MAX];
	size_t value_count;
};

struct label_selector {
	struct term *terms;
	size_t count;
};

/* The first trouble sticks in `fault`; then reads give nothing. */
struct scan {
	struct arena *arena;
	const char *p;
	const char *fault;
};

static void skip_space(struct scan *s)
{
	while (isspace((unsigned char)*s->p))
		s->p++;
}

static bool eat(struct scan *s, const char *token)
{
	skip_space(s);
	if (s->fault || strncmp(s->p, token, strlen(token)) != 0)
		return false;
	s->p += strlen(token);
	return true;
}

static const char *word(struct scan *s)
{
	skip_space(s);
	char *out = arena_array(s->arena, char, strlen(s->p) + 1), *to = out;
	for (;; s->p++) {
		if (*s->p == '\\' && s->p[1])
			s->p++;
		else if (!isalnum((unsigned char)*s->p) && !strchr("-_.", *s->p))
			break;
		if (!*s->p)
			break;
		*to++ = *s->p;
	}
	if (to == out && !s->fault)
		s->fault = *s->p ? "a key or value is expected" : "unexpected end of input";
	return out;
}

/* As a word: "in" is no prefix of "inner". */
static bool eat_word(struct scan *s, const char *w)
{
	const char *start = s->p;
	if (eat(s, w) && (isspace((unsigned char)*s->p) || *s->p == '('))
		return true;
	s->p = start;
	return false;
}

static void read_set(struct scan *s, struct term *t)
{
	if (!eat(s, "(") && !s->fault)
		s->fault = "`(' expected";
	do {
		if (t->value_count == VALUES_MAX)
			s->fault = "too many values";
		else
			t->values[t->value_count++] = word(s);
	} while (eat(s, ","));
	if (!eat(s, ")") && !s->fault)
		s->fault = "`)' expected";
}

static void read_term(struct scan *s, struct term *t)
{
	t->key = word(s);
	if (eat(s, "==") || eat(s, "!=")) {
		t->op = s->p[-2] == '!' ? NOT_IN : IN;
		t->values[t->value_count++] = word(s);
	} else if (eat_word(s, "in") || eat_word(s, "notin")) {
		t->op = s->p[-3] == 't' ? NOT_IN : IN;
		read_set(s, t);
	}
}

int label_selector_parse(struct arena *a, struct str text, struct label_selector **out, struct err *e)
{
	struct scan s = { .arena = a, .p = arena_str(a, text) };
	struct label_selector *sel = arena_new(a, struct label_selector);
	sel->terms = arena_array(a, struct term, TERMS_MAX);
	do {
		if (sel->count == TERMS_MAX)
			s.fault = "too many terms";
		else
			read_term(&s, &sel->terms[sel->count++]);
	} while (eat(&s, ","));
	skip_space(&s);
	if (!s.fault && *s.p)
		s.fault = "a comma or the end is expected";
	if (s.fault)
		return err_set(e, E_INVALID, "Can not parse label selector " STR_FMT ". Reason: %s at '%.40s'", STR_ARG(text), s.fault, s.p);
	*out = sel;
	return 0;
}

static bool term_matches(const struct term *t, yyjson_val *labels)
{
	const char *v = yyjson_get_str(yyjson_obj_get(labels, t->key));
	bool among = false;
	for (size_t i = 0; v && i < t->value_count; i++)
		among |= strcmp(v, t->values[i]) == 0;
	return v && (t->op == EXISTS || among == (t->op == IN));
}

bool label_selector_matches(const struct label_selector *s, const char *app_json)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	if (json_parse(app_json, strlen(app_json), &doc, NULL) != 0)
		return false;
	yyjson_val *labels = yyjson_obj_get(yyjson_doc_get_root(doc), "labels");
	for (size_t i = 0; i < s->count; i++)
		if (!term_matches(&s->terms[i], labels))
			return false;
	return true;
}
