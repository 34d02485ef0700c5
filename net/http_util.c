/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small parts of HTTP: names of methods and statuses, header and query look-up, percent coding, URLs and paths.
 * Pure functions on slices. Specs: RFC 9110, RFC 3986.
 */
#include "net/http.h"

#include "net/http_util.h"

struct method_row {
	enum http_method method;
	const char *name;
};
static const struct method_row methods[] = {
	{ GET, "GET" }, { HEAD, "HEAD" }, { POST, "POST" }, { PUT, "PUT" }, { DELETE, "DELETE" }, { PATCH, "PATCH" },
	{ OPTIONS, "OPTIONS" }, { CONNECT, "CONNECT" }, { TRACE, "TRACE" },
};

const char *http_method_name(enum http_method m)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (methods[i].method == m)
			return methods[i].name;
	return "?";
}

bool http_method_parse(struct str name, enum http_method *out)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (str_eq_c(name, methods[i].name)) {
			*out = methods[i].method;
			return true;
		}
	}
	return false;
}

struct status_row {
	int status;
	const char *text;
};
static const struct status_row statuses[] = {
	{ 100, "Continue" }, { 101, "Switching Protocols" },
	{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" }, { 206, "Partial Content" },
	{ 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" }, { 304, "Not Modified" },
	{ 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
	{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
	{ 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 408, "Request Timeout" }, { 409, "Conflict" },
	{ 410, "Gone" }, { 411, "Length Required" }, { 412, "Precondition Failed" }, { 413, "Content Too Large" },
	{ 414, "URI Too Long" }, { 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" }, { 422, "Unprocessable Content" }, { 426, "Upgrade Required" },
	{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" }, { 507, "Insufficient Storage" },
};

const char *http_status_text(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].text;
	return "Unknown";
}

struct str http_header_get(const struct http_headers *h, const char *name)
{
	for (size_t i = 0; i < h->count; i++)
		if (str_ieq(h->rows[i].name, str_of(name)))
			return h->rows[i].value;
	return (struct str){ NULL, 0 };
}

struct str http_req_header(const struct http_req *r, const char *name) { return http_header_get(&r->headers, name); }

bool http_header_lists(const struct http_headers *h, const char *name, const char *token)
{
	for (size_t i = 0; i < h->count; i++) {
		if (!str_ieq(h->rows[i].name, str_of(name)))
			continue;
		for (struct str rest = h->rows[i].value; rest.p;)
			if (str_ieq(str_trim(str_cut(&rest, ',')), str_of(token)))
				return true;
	}
	return false;
}

/* "0", "0.0", "0.00", "0.000": the client refuses what stands before. */
static bool zero_quality(struct str params)
{
	while (params.p) {
		struct str param = str_trim(str_cut(&params, ';'));
		if (param.len < 3 || (param.p[0] | 0x20) != 'q' || param.p[1] != '=')
			continue;
		double q;
		return str_f64(str_from(param, 2), &q) && q <= 0;
	}
	return false;
}

bool http_accepts(const struct http_req *r, const char *type)
{
	struct str wanted = str_of(type);
	ssize_t slash = str_find(wanted, '/');
	bool any = false;
	assert(slash > 0);
	for (size_t i = 0; i < r->headers.count; i++) {
		if (!str_ieq(r->headers.rows[i].name, STR("Accept")))
			continue;
		any = true;
		for (struct str rest = r->headers.rows[i].value; rest.p;) {
			struct str params = str_cut(&rest, ',');
			struct str range = str_trim(str_cut(&params, ';'));
			bool all_of_type = str_ends(range, STR("/*")) &&
					   str_ieq(str_head(range, range.len - 1), str_head(wanted, (size_t)slash + 1));
			if ((str_ieq(range, wanted) || str_eq_c(range, "*/*") || all_of_type) && !zero_quality(params))
				return true;
		}
	}
	return !any;
}

/* ---- Percent coding ---- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool url_decode(struct arena *a, struct str in, bool plus_is_space, struct str *out)
{
	char *text = arena_try(a, in.len + 1);
	size_t len = 0;
	if (!text)
		return false;
	for (size_t i = 0; i < in.len; i++) {
		char c = in.p[i];
		if (c == '+' && plus_is_space)
			c = ' ';
		if (c == '%') {
			int high = i + 2 < in.len ? hex_value(in.p[i + 1]) : -1;
			int low = i + 2 < in.len ? hex_value(in.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		text[len++] = c;
	}
	*out = str_n(text, len);
	return true;
}

static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

void url_encode(struct buf *out, struct str in)
{
	for (size_t i = 0; i < in.len; i++) {
		if (unreserved(in.p[i]))
			(void)buf_putc(out, in.p[i]);   /* errors stick in out */
		else
			(void)buf_printf(out, "%%%02X", (uint8_t)in.p[i]);
	}
}

/* ---- Query ---- */

struct str http_query_n(struct http_req *r, const char *name, size_t n)
{
	struct str rest = r->query;
	while (rest.p && rest.len > 0) {
		struct str value = str_cut(&rest, '&');
		struct str key = str_cut(&value, '=');
		struct str decoded;
		if (!url_decode(&r->arena, key, true, &decoded) || !str_eq_c(decoded, name) || n-- > 0)
			continue;
		if (!value.p)
			return STR("");
		return url_decode(&r->arena, value, true, &decoded) ? decoded : value;   /* a stray '%' is taken as it stands */
	}
	return (struct str){ NULL, 0 };
}

struct str http_query(struct http_req *r, const char *name) { return http_query_n(r, name, 0); }

bool http_query_bool(struct http_req *r, const char *name, bool fallback)
{
	struct str v = http_query(r, name);
	if (!v.p)
		return fallback;
	return v.len == 0 || str_ieq(v, STR("true")) || str_eq_c(v, "1");
}

/* ---- Paths and URLs ---- */

/* Drop "." and resolve ".." (never above the root), RFC 3986 5.2.4; in place. */
static size_t remove_dots(char *path, size_t len)
{
	size_t out = 0;
	for (size_t i = 0; i < len;) {
		size_t end = i + 1;   /* path[i] is '/' */
		while (end < len && path[end] != '/')
			end++;
		struct str segment = str_n(path + i + 1, end - i - 1);
		bool dot = str_eq_c(segment, "."), up = str_eq_c(segment, "..");
		if (up)
			while (out > 0 && path[--out] != '/')
				;
		if (!dot && !up) {
			memmove(path + out, path + i, end - i);
			out += end - i;
		} else if (end == len) {
			path[out++] = '/';
		}
		i = end;
	}
	if (out == 0)
		path[out++] = '/';
	return out;
}

bool http_target_split(struct arena *a, struct str target, struct str *out_path, struct str *out_query)
{
	static const char *const schemes[] = { "http://", "https://" };
	struct str decoded;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		struct str scheme = str_of(schemes[i]);
		if (target.len > scheme.len && str_ieq(str_head(target, scheme.len), scheme)) {
			target = str_from(target, scheme.len);   /* absolute form, RFC 9112 3.2.2: the host there is not looked at */
			while (target.len > 0 && target.p[0] != '/' && target.p[0] != '?')
				target = str_from(target, 1);
		}
	}
	struct str query = target;
	struct str path = str_cut(&query, '?');
	ssize_t fragment = str_find(path, '#');
	if (fragment >= 0)
		return false;
	if (path.len == 0)
		path = STR("/");
	if (path.p[0] != '/' && !str_eq_c(path, "*"))
		return false;
	if (!url_decode(a, path, false, &decoded) || str_find(decoded, '\0') >= 0)
		return false;
	char *text = (char *)(uintptr_t)decoded.p;   /* url_decode's own copy, with room for a NUL */
	size_t len = text[0] == '/' ? remove_dots(text, decoded.len) : decoded.len;
	text[len] = '\0';
	*out_path = str_n(text, len);
	*out_query = query.p ? query : STR("");
	return true;
}

bool url_parse(const char *text, struct url *out)
{
	struct str rest = str_of(text);
	struct url u = { .port = 80 };
	if (rest.len >= 8 && str_ieq(str_head(rest, 8), STR("https://"))) {
		u = (struct url){ .tls = true, .port = 443 };
		rest = str_from(rest, 8);
	} else if (rest.len >= 7 && str_ieq(str_head(rest, 7), STR("http://"))) {
		rest = str_from(rest, 7);
	} else {
		return false;
	}
	size_t end = 0;
	while (end < rest.len && rest.p[end] != '/' && rest.p[end] != '?' && rest.p[end] != '#')
		end++;
	struct str authority = str_head(rest, end);
	u.path_query = str_from(rest, end);
	ssize_t fragment = str_find(u.path_query, '#');
	if (fragment >= 0)
		u.path_query.len = (size_t)fragment;
	ssize_t close = authority.len > 0 && authority.p[0] == '[' ? str_find(authority, ']') : -1;
	ssize_t colon = str_rfind(authority, ':');
	if (colon > close) {
		uint64_t port;
		if (!str_u64(str_from(authority, (size_t)colon + 1), &port) || port == 0 || port > UINT16_MAX)
			return false;
		u.port = (uint16_t)port;
		authority.len = (size_t)colon;
	}
	u.host = authority;
	for (size_t i = 0; i < authority.len; i++)
		if (authority.p[i] <= ' ' || authority.p[i] == '@' || authority.p[i] == 0x7f)
			return false;
	for (size_t i = 0; i < u.path_query.len; i++)
		if ((uint8_t)u.path_query.p[i] <= ' ' || u.path_query.p[i] == 0x7f)
			return false;
	if (authority.len == 0)
		return false;
	*out = u;
	return true;
}

/* ---- Text of a head ---- */

void http_head_add(struct buf *out, struct str name, struct str value)
{
	size_t start = out->len;
	(void)buf_str(out, name);
	(void)buf_puts(out, ": ");
	(void)buf_str(out, value);
	/* a line break from outside must not start a header of its own */
	for (size_t i = start; buf_ok(out) && i < out->len; i++)
		if (out->data[i] == '\r' || out->data[i] == '\n' || out->data[i] == '\0')
			out->data[i] = ' ';
	(void)buf_puts(out, "\r\n");
}
