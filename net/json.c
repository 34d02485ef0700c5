/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON from outside by yyjson, JSON to outside by yyjson (documents) or by struct jw (streamed). yyjson parses without
 * recursion, but what walks its documents recurses: so depth is counted before parsing.
 */
#include "net/json.h"

#include <math.h>

#include "net/base/time.h"
#include "net/limits.h"

static int broken(const char *text, size_t len, size_t pos, const char *what, struct err *e)
{
	size_t line = 1, column = 1;
	for (size_t i = 0; i < MIN(pos, len); i++) {
		if (text[i] == '\n') {
			line++;
			column = 1;
		} else if (((uint8_t)text[i] & 0xc0) != 0x80) {   /* a column is a character, not a byte of UTF-8 */
			column++;
		}
	}
	return err_set(e, E_MALFORMED, "invalid JSON at line %zu column %zu: %s", line, column, what);
}

/* Offset of the bracket that goes too deep, or -1. Brackets in strings do not count. */
static ssize_t too_deep_at(const char *text, size_t len)
{
	int depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '[') && ++depth > LIMIT_JSON_DEPTH)
			return (ssize_t)i;
		else if (!in_string && (c == '}' || c == ']'))
			depth--;
	}
	return -1;
}

int json_parse(const char *text, size_t len, yyjson_doc **out, struct err *e)
{
	if (len == 0)
		return err_set(e, E_MALFORMED, "invalid JSON: the text is empty");
	ssize_t deep = too_deep_at(text, len);
	if (deep >= 0)
		return broken(text, len, (size_t)deep, "nested too deeply", e);
	yyjson_read_err re = { 0 };
	/* yyjson leaves the text alone unless YYJSON_READ_INSITU is given */
	yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text, len, YYJSON_READ_NOFLAG, NULL, &re);
	if (!doc)
		return broken(text, len, re.pos, re.msg, e);
	*out = doc;
	return 0;
}

yyjson_val *json_at(yyjson_val *v, const char *path)
{
	struct str rest = str_of(path);
	while (v && rest.p && rest.len > 0) {
		struct str step = str_cut(&rest, '.');
		uint64_t index;
		if (yyjson_is_obj(v))
			v = yyjson_obj_getn(v, step.p, step.len);
		else if (yyjson_is_arr(v) && str_u64(step, &index))
			v = yyjson_arr_get(v, index);
		else
			return NULL;
	}
	return v;
}

const char *json_str(yyjson_val *v, const char *path, const char *fallback)
{
	const char *s = yyjson_get_str(json_at(v, path));
	return s ? s : fallback;
}

int64_t json_int(yyjson_val *v, const char *path, int64_t fallback)
{
	yyjson_val *at = json_at(v, path);
	if (yyjson_is_sint(at))
		return yyjson_get_sint(at);
	if (yyjson_is_uint(at))
		return yyjson_get_uint(at) <= INT64_MAX ? (int64_t)yyjson_get_uint(at) : fallback;
	double d = yyjson_is_real(at) ? yyjson_get_real(at) : 0.5;
	return d == floor(d) && fabs(d) < 9007199254740992.0 ? (int64_t)d : fallback;   /* 2^53: whole numbers are exact */
}

double json_num(yyjson_val *v, const char *path, double fallback)
{
	yyjson_val *at = json_at(v, path);
	return yyjson_is_num(at) ? yyjson_get_num(at) : fallback;
}

bool json_bool(yyjson_val *v, const char *path, bool fallback)
{
	yyjson_val *at = json_at(v, path);
	return yyjson_is_bool(at) ? yyjson_get_bool(at) : fallback;
}

void json_write(struct buf *out, const yyjson_val *v, bool pretty)
{
	size_t len = 0;
	yyjson_write_flag flags = pretty ? YYJSON_WRITE_PRETTY_TWO_SPACES : YYJSON_WRITE_NOFLAG;
	AUTO_FREE char *text = yyjson_val_write_opts(v, flags, NULL, &len, NULL);
	assert(text);   /* a parsed document has nothing that cannot be written */
	(void)buf_append(out, text, len);   /* the error sticks in out */
}

/* ---- Streaming writer; errors stick in w->out ---- */

#define JW_DEPTH_MAX 63

struct jw jw_start(struct buf *out) { return (struct jw){ .out = out }; }

/* What stands before a value: the comma, and in an object the key. */
static void before(struct jw *w, const char *key)
{
	uint64_t here = UINT64_C(1) << w->depth;
	assert((key != NULL) == (w->depth > 0 && !(w->arrays & here)));
	if (w->nonempty & here)
		(void)buf_putc(w->out, ',');
	if (w->depth > 0)
		w->nonempty |= here;
	if (key) {
		(void)buf_json_cstr(w->out, key);
		(void)buf_putc(w->out, ':');
	}
}

static void open_container(struct jw *w, const char *key, bool array)
{
	before(w, key);
	assert(w->depth < JW_DEPTH_MAX);
	uint64_t here = UINT64_C(1) << ++w->depth;
	w->nonempty &= ~here;
	w->arrays = array ? w->arrays | here : w->arrays & ~here;
	(void)buf_putc(w->out, array ? '[' : '{');
}

void jw_obj(struct jw *w, const char *key) { open_container(w, key, false); }
void jw_arr(struct jw *w, const char *key) { open_container(w, key, true); }

void jw_end(struct jw *w)
{
	assert(w->depth > 0);
	(void)buf_putc(w->out, w->arrays & (UINT64_C(1) << w->depth) ? ']' : '}');
	w->depth--;
}

void jw_str(struct jw *w, const char *key, const char *value)
{
	before(w, key);
	(void)buf_json_cstr(w->out, value);
}

void jw_strn(struct jw *w, const char *key, struct str value)
{
	before(w, key);
	(void)buf_json_str(w->out, value);
}

void jw_int(struct jw *w, const char *key, int64_t value)
{
	before(w, key);
	(void)buf_printf(w->out, "%lld", (long long)value);
}

void jw_num(struct jw *w, const char *key, double value)
{
	before(w, key);
	(void)buf_json_num(w->out, value);
}

void jw_bool(struct jw *w, const char *key, bool value)
{
	before(w, key);
	(void)buf_puts(w->out, value ? "true" : "false");
}

void jw_null(struct jw *w, const char *key)
{
	before(w, key);
	(void)buf_puts(w->out, "null");
}

void jw_raw(struct jw *w, const char *key, struct str json)
{
	before(w, key);
	(void)buf_str(w->out, json);
}

void jw_time(struct jw *w, const char *key, int64_t unix_us)
{
	char text[32];
	time_iso(unix_us, text);
	jw_str(w, key, text);
}
