/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Route tables: the first row whose pattern and methods fit answers. A pattern is literal text with placeholders:
 * {name} takes one non-empty segment, {*name} as much as the pattern behind it leaves, slashes included, maybe nothing.
 */
#include <stdio.h>

#include "net/http_int.h"

void http_routes_add(struct http_routes *rs, const struct route *table, void *arg)
{
	assert(rs->count < ARRAY_LEN(rs->rows));
	rs->rows[rs->count].table = table;
	rs->rows[rs->count].arg = arg;
	rs->count++;
}

static bool match_path(struct str pattern, struct str path, struct str *params, size_t params_left);

/* pattern begins with a placeholder. A rest is tried from long to short: what follows it is found at the path's end. */
static bool match_param(struct str pattern, struct str path, struct str *params, size_t params_left)
{
	bool rest = pattern.len > 1 && pattern.p[1] == '*';
	ssize_t close = str_find(pattern, '}');
	assert(close > 0);
	assert(params_left > 0);
	pattern = str_from(pattern, (size_t)close + 1);
	ssize_t slash = rest ? -1 : str_find(path, '/');
	size_t longest = slash < 0 ? path.len : (size_t)slash;
	size_t shortest = rest ? 0 : MAX(longest, (size_t)1);
	for (size_t len = longest + 1; len-- > shortest;) {
		params[0] = str_head(path, len);
		if (match_path(pattern, str_from(path, len), params + 1, params_left - 1))
			return true;
	}
	return false;
}

static bool match_path(struct str pattern, struct str path, struct str *params, size_t params_left)
{
	ssize_t brace = str_find(pattern, '{');
	if (brace < 0)
		return str_eq(pattern, path);
	struct str literal = str_head(pattern, (size_t)brace);
	return str_starts(path, literal) &&
	       match_param(str_from(pattern, literal.len), str_from(path, literal.len), params, params_left);
}

static const char *allow_list(struct arena *a, unsigned methods)
{
	const char *list = "";
	if (methods & GET)
		methods |= HEAD;
	for (unsigned m = 1; m <= TRACE; m <<= 1)
		if (methods & m)
			list = arena_printf(a, "%s%s%s", list, *list ? ", " : "", http_method_name((enum http_method)m));
	return list;
}

static void no_such_route(struct http_req *r, unsigned allowed)
{
	struct err e = { 0 };
	const char *method = http_method_name(r->head ? HEAD : r->method);
	if (allowed == 0) {
		(void)err_set(&e, E_NOTFOUND, "No such route: %s " STR_FMT, method, STR_ARG(r->path));
	} else {
		const char *list = allow_list(&r->arena, allowed);
		http_set_header(r, "Allow", "%s", list);
		(void)err_set(&e, E_METHOD, "%s is not allowed for " STR_FMT ", only %s", method, STR_ARG(r->path), list);
	}
	http_reply_err(r, &e);
}

void http_routes_serve(const struct http_routes *rs, struct http_req *r)
{
	unsigned allowed = 0;
	const struct route *instead = rs->gate ? rs->gate(rs->gate_arg, r) : NULL;
	if (instead) {
		r->route = instead;
		r->arg = rs->gate_arg;
		http_req_dispatch(r, instead->body_max, instead->fn);
		return;
	}
	for (size_t t = 0; t < rs->count; t++) {
		for (const struct route *row = rs->rows[t].table; row->path; row++) {
			struct str params[ARRAY_LEN(r->params)] = { 0 };
			if (!match_path(str_of(row->path), r->path, params, ARRAY_LEN(params)))
				continue;
			allowed |= row->methods;
			if (!(row->methods & r->method))
				continue;
			r->route = row;
			r->arg = rs->rows[t].arg;
			memcpy(r->params, params, sizeof(params));
			http_req_dispatch(r, row->body_max, row->fn);
			return;
		}
	}
	if (allowed == 0 && rs->fallback) {
		r->route = NULL;
		r->arg = rs->fallback_arg;
		http_req_dispatch(r, rs->fallback_body_max, rs->fallback);
		return;
	}
	no_such_route(r, allowed);
}
