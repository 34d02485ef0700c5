/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/master/marathon/schema.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "net/json.h"

#define FAULTS_MAX 100      /* more help nobody */

void fault_add(struct faults *f, const char *path, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	if (f->count == FAULTS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (f->count == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 8;
		struct fault *rows = arena_array(f->arena, struct fault, cap);
		if (f->count > 0)
			memcpy(rows, f->rows, f->count * sizeof(*rows));
		f->rows = rows;
		f->cap = cap;
	}
	f->rows[f->count++] = (struct fault){ arena_strdup(f->arena, *path ? path : "/"), arena_strdup(f->arena, text) };
}

static bool fault_seen(const struct faults *f, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (strcmp(f->rows[i].path, f->rows[at].path) == 0)
			return true;
	return false;
}

void faults_write(const struct faults *f, struct buf *out)
{
	struct jw w = jw_start(out);
	jw_obj(&w, NULL);
	jw_str(&w, "message", f->types ? "Invalid JSON" : "Object is not valid");
	jw_arr(&w, "details");
	for (size_t i = 0; i < f->count; i++) {
		if (fault_seen(f, i))
			continue;
		jw_obj(&w, NULL);
		jw_str(&w, "path", f->rows[i].path);
		jw_arr(&w, "errors");
		for (size_t k = i; k < f->count; k++)
			if (strcmp(f->rows[i].path, f->rows[k].path) == 0)
				jw_str(&w, NULL, f->rows[k].text);
		jw_end(&w);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
}

/* ---- values ---- */

static yyjson_mut_val *wrong_type(const struct schema_pass *p, const char *path, const char *wanted)
{
	p->faults->types = true;
	fault_add(p->faults, path, "error.expected.js%s", wanted);
	return NULL;
}

static bool word_allowed(const char *words, const char *value)
{
	struct str rest = str_of(words), word;
	while (rest.p) {
		word = str_cut(&rest, '|');
		if (str_eq_c(word, value))
			return true;
	}
	return false;
}

static yyjson_mut_val *read_string(const struct schema_pass *p, const struct schema *row, yyjson_mut_val *in, const char *path)
{
	if (!yyjson_mut_is_str(in))
		return wrong_type(p, path, "string");
	const char *s = yyjson_mut_get_str(in);
	if (strlen(s) != yyjson_mut_get_len(in))
		fault_add(p->faults, path, "must not contain a NUL character");
	if ((row->flags & SCHEMA_NONEMPTY) && *s == '\0')
		fault_add(p->faults, path, "must not be empty");
	if (row->words && !word_allowed(row->words, s)) {
		p->faults->types = true;
		fault_add(p->faults, path, "error.unknown.enum.literal");
	}
	return yyjson_mut_strcpy(p->doc, s);
}

static yyjson_mut_val *out_of_range(const struct schema_pass *p, const struct schema *row, double v, const char *path)
{
	/* Marathon prints the bound as the field's own type: "0.0" for doubles, "0" for integers. */
	AUTO_BUF struct buf text = BUF_INIT;
	bool whole = row->kind == SCHEMA_INT;
	buf_puts(&text, "got ");
	whole ? (void)buf_printf(&text, "%.0f", v) : (void)buf_json_num(&text, v);
	buf_puts(&text, isinf(row->hi) ? ", expected " : ", expected between ");
	whole ? (void)buf_printf(&text, "%.0f", row->lo) : (void)buf_json_num(&text, row->lo);
	if (isinf(row->hi)) {
		buf_puts(&text, " or more");
	} else {
		buf_puts(&text, " and ");
		whole ? (void)buf_printf(&text, "%.0f", row->hi) : (void)buf_json_num(&text, row->hi);
	}
	fault_add(p->faults, path, "%s", buf_cstr(&text));
	return NULL;
}

#define WHOLE_MAX 9007199254740992.0     /* 2^53: beyond it doubles skip integers */

static yyjson_mut_val *read_number(const struct schema_pass *p, const struct schema *row, yyjson_mut_val *in, const char *path)
{
	if (!yyjson_mut_is_num(in))
		return wrong_type(p, path, "number");
	double v = yyjson_mut_get_num(in);
	if (row->kind == SCHEMA_INT && (v != floor(v) || fabs(v) > WHOLE_MAX)) {
		p->faults->types = true;
		fault_add(p->faults, path, "error.expected.int");
		return NULL;
	}
	if ((row->flags & SCHEMA_RANGE) && (v < row->lo || v > row->hi))
		return out_of_range(p, row, v, path);
	if (row->kind == SCHEMA_INT)
		return yyjson_mut_sint(p->doc, (int64_t)v);
	return v == floor(v) && fabs(v) < WHOLE_MAX ? yyjson_mut_sint(p->doc, (int64_t)v) : yyjson_mut_real(p->doc, v);
}

static yyjson_mut_val *read_value(const struct schema_pass *p, const struct schema *row, yyjson_mut_val *in, const char *path);

static yyjson_mut_val *read_list(const struct schema_pass *p, const struct schema *row, yyjson_mut_val *in, const char *path)
{
	yyjson_mut_val *out = yyjson_mut_arr(p->doc), *element;
	size_t i, n;
	if (!yyjson_mut_is_arr(in))
		return wrong_type(p, path, "array");
	yyjson_mut_arr_foreach(in, i, n, element) {
		yyjson_mut_val *v = read_value(p, row->of, element, arena_printf(p->faults->arena, "%s(%zu)", path, i));
		if (v)
			yyjson_mut_arr_append(out, v);
	}
	return out;
}

static yyjson_mut_val *read_map(const struct schema_pass *p, const struct schema *row, yyjson_mut_val *in, const char *path)
{
	yyjson_mut_val *out = yyjson_mut_obj(p->doc), *key, *value;
	yyjson_mut_obj_iter it;
	if (!yyjson_mut_is_obj(in))
		return wrong_type(p, path, "object");
	yyjson_mut_obj_iter_init(in, &it);
	while ((key = yyjson_mut_obj_iter_next(&it))) {
		const char *name = yyjson_mut_get_str(key);
		const char *at = arena_printf(p->faults->arena, "%s/%s", path, name);
		value = yyjson_mut_obj_iter_get_val(key);
		if (strlen(name) != yyjson_mut_get_len(key))
			fault_add(p->faults, at, "must not contain a NUL character");
		yyjson_mut_val *v = read_value(p, row->of, value, at);
		if (v)
			yyjson_mut_obj_put(out, yyjson_mut_strcpy(p->doc, name), v);
	}
	return out;
}

static yyjson_mut_val *read_value(const struct schema_pass *p, const struct schema *row, yyjson_mut_val *in, const char *path)
{
	switch (row->kind) {
	case SCHEMA_STRING:
		return read_string(p, row, in, path);
	case SCHEMA_BOOL:
		return yyjson_mut_is_bool(in) ? yyjson_mut_bool(p->doc, yyjson_mut_get_bool(in)) : wrong_type(p, path, "boolean");
	case SCHEMA_INT:
	case SCHEMA_NUM:
		return read_number(p, row, in, path);
	case SCHEMA_OBJECT:
		return schema_object(p, row->of, in, path);
	case SCHEMA_LIST:
		return read_list(p, row, in, path);
	case SCHEMA_MAP:
		return read_map(p, row, in, path);
	case SCHEMA_STRING_OR:
		return yyjson_mut_is_str(in) ? read_string(p, row, in, path) : read_value(p, row->of, in, path);
	}
	return NULL;
}

static yyjson_mut_val *default_value(yyjson_mut_doc *doc, const char *json)
{
	yyjson_doc *parsed = yyjson_read(json, strlen(json), 0);
	assert(parsed);
	yyjson_mut_val *v = yyjson_val_mut_copy(doc, yyjson_doc_get_root(parsed));
	yyjson_doc_free(parsed);
	return v;
}

static bool is_empty(yyjson_mut_val *v)
{
	return (yyjson_mut_is_arr(v) && yyjson_mut_arr_size(v) == 0) || (yyjson_mut_is_obj(v) && yyjson_mut_obj_size(v) == 0);
}

static yyjson_mut_val *member(const struct schema_pass *p, const struct schema *row, yyjson_mut_val *in, const char *path)
{
	const char *at = arena_printf(p->faults->arena, "%s/%s", path, row->name);
	bool top = *path == '\0';
	yyjson_mut_val *v = yyjson_mut_obj_get(in, row->name);
	if (p->canonical && (row->flags & SCHEMA_OLD))
		return NULL;
	if (v && !yyjson_mut_is_null(v)) {
		v = read_value(p, row, v, at);
		return v && p->canonical && (row->flags & SCHEMA_HIDE_EMPTY) && is_empty(v) ? NULL : v;
	}
	if (row->flags & SCHEMA_REQUIRED) {
		p->faults->types = true;
		fault_add(p->faults, at, "error.path.missing");
	}
	return row->def && (p->canonical || !top) ? default_value(p->doc, row->def) : NULL;
}

yyjson_mut_val *schema_object(const struct schema_pass *p, const struct schema *rows, yyjson_mut_val *in, const char *path)
{
	yyjson_mut_val *out = yyjson_mut_obj(p->doc);
	if (!yyjson_mut_is_obj(in))
		return wrong_type(p, path, "object");
	for (const struct schema *row = rows; row->name; row++) {
		yyjson_mut_val *v = member(p, row, in, path);
		if (v)
			yyjson_mut_obj_add(out, yyjson_mut_strcpy(p->doc, row->name), v);
	}
	return out;
}
