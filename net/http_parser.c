/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llhttp calls back in the middle of its work; here each callback that matters stores what it was told and pauses the
 * parser, and http_parser_step hands it to the caller as an event. Bounds: the target, the number of headers, the bytes of
 * the head, and the bytes between two pieces of body (chunk extensions and trailers, which nobody reads).
 */
#include "net/http_parser.h"

#include "net/limits.h"

struct http_row {
	uint32_t name_at, name_len;     /* in text */
	uint32_t value_at, value_len;
};

static struct http_parser *parser_of(llhttp_t *ll) { return container_of(ll, struct http_parser, ll); }
static size_t row_count(const struct http_parser *p) { return p->rows.len / sizeof(struct http_row); }
static struct http_row *last_row(struct http_parser *p)
{
	return (struct http_row *)(void *)p->rows.data + row_count(p) - 1;
}

static int refuse(struct http_parser *p, int status, const char *why)
{
	p->status = status;
	p->why = why;
	return HPE_USER;
}

static int add_text(struct http_parser *p, const char *at, size_t len)
{
	return buf_append(&p->text, at, len) ? 0 : refuse(p, 431, "the head is too large");
}

static int on_url(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parser *p = parser_of(ll);
	p->target_len += len;
	if (p->target_len > LIMIT_HTTP_TARGET_BYTES)
		return refuse(p, 414, "the request target is too long");
	return add_text(p, at, len);
}

static int on_url_complete(llhttp_t *ll) { return add_text(parser_of(ll), "", 1); }

static int on_header_field(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parser *p = parser_of(ll);
	if (p->head_done)
		return 0;   /* a trailer */
	if (row_count(p) == 0 || p->value_open) {
		struct http_row row = { .name_at = (uint32_t)p->text.len };
		if (row_count(p) == LIMIT_HTTP_HEADERS)
			return refuse(p, 431, "too many headers");
		(void)buf_append(&p->rows, &row, sizeof(row));   /* bounded by the line above */
		p->value_open = false;
	}
	last_row(p)->name_len += (uint32_t)len;
	return add_text(p, at, len);
}

static int on_header_field_complete(llhttp_t *ll)
{
	struct http_parser *p = parser_of(ll);
	if (p->head_done)
		return 0;
	int rc = add_text(p, "", 1);
	last_row(p)->value_at = (uint32_t)p->text.len;
	p->value_open = true;
	return rc;
}

static int on_header_value(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parser *p = parser_of(ll);
	if (p->head_done)
		return 0;
	last_row(p)->value_len += (uint32_t)len;
	return add_text(p, at, len);
}

static int on_header_value_complete(llhttp_t *ll)
{
	struct http_parser *p = parser_of(ll);
	return p->head_done ? 0 : add_text(p, "", 1);
}

static int on_headers_complete(llhttp_t *ll)
{
	struct http_parser *p = parser_of(ll);
	if (ll->type == HTTP_REQUEST && (ll->flags & F_TRANSFER_ENCODING) && !(ll->flags & F_CHUNKED))
		return refuse(p, 400, "chunked is not the last transfer encoding");
	p->head_pending = true;
	return HPE_PAUSED;
}

static int on_body(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parser *p = parser_of(ll);
	if (len == 0)
		return 0;   /* what is left to say of a piece that ended with the bytes of the step before */
	p->piece = str_n(at, len);
	p->body_pending = true;
	return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *ll)
{
	parser_of(ll)->end_pending = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url, .on_url_complete = on_url_complete,
	.on_header_field = on_header_field, .on_header_field_complete = on_header_field_complete,
	.on_header_value = on_header_value, .on_header_value_complete = on_header_value_complete,
	.on_headers_complete = on_headers_complete, .on_body = on_body, .on_message_complete = on_message_complete,
};

void http_parser_init(struct http_parser *p, bool answer, bool no_body)
{
	http_parser_fini(p);
	*p = (struct http_parser){ .no_body = no_body };
	llhttp_init(&p->ll, answer ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
	buf_init(&p->text, LIMIT_HTTP_HEAD_BYTES);
	buf_init(&p->rows, LIMIT_HTTP_HEADERS * sizeof(struct http_row));
}

void http_parser_fini(struct http_parser *p)
{
	buf_fini(&p->text);
	buf_fini(&p->rows);
}

static enum http_parsed event_of(struct http_parser *p)
{
	if (p->head_pending) {
		p->head_pending = false;
		p->head_done = true;
		p->quiet_bytes = 0;
		return PARSED_HEAD;
	}
	if (p->body_pending) {
		p->body_pending = false;
		p->quiet_bytes = 0;
		return PARSED_BODY;
	}
	if (p->end_pending) {
		p->end_pending = false;
		return PARSED_END;
	}
	return PARSED_MORE;
}

enum http_parsed http_parser_step(struct http_parser *p, const uint8_t *data, size_t len, size_t *out_taken)
{
	/* NULL would make llhttp forget that it is inside a body */
	const char *start = len > 0 ? (const char *)data : "";
	if (p->ll.error == HPE_PAUSED) {
		llhttp_resume(&p->ll);
		if (p->no_body && p->head_done && !p->body_skipped) {
			p->ll.flags |= F_SKIPBODY;
			p->body_skipped = true;
		}
	}
	llhttp_errno_t rc = llhttp_execute(&p->ll, start, len);
	*out_taken = rc == HPE_OK ? len : (size_t)(llhttp_get_error_pos(&p->ll) - start);
	if (rc != HPE_OK && rc != HPE_PAUSED)
		return PARSED_BROKEN;
	p->quiet_bytes += *out_taken;
	enum http_parsed ev = event_of(p);
	if (ev == PARSED_MORE && p->quiet_bytes > LIMIT_HTTP_HEAD_BYTES) {
		if (p->head_done)
			(void)refuse(p, 400, "chunk extensions or trailers are too large");
		else
			(void)refuse(p, 431, "the head is too large");
		return PARSED_BROKEN;
	}
	return ev;
}

enum http_parsed http_parser_eof(struct http_parser *p)
{
	if (p->ll.error == HPE_PAUSED)
		llhttp_resume(&p->ll);
	llhttp_errno_t rc = llhttp_finish(&p->ll);
	return (rc == HPE_OK || rc == HPE_PAUSED) && event_of(p) == PARSED_END ? PARSED_END : PARSED_BROKEN;
}

void http_parser_head(struct http_parser *p, struct arena *a, struct http_head *out)
{
	char *text = arena_alloc(a, p->text.len + 1);   /* bounded by LIMIT_HTTP_HEAD_BYTES */
	size_t count = row_count(p);
	const struct http_row *rows = (const struct http_row *)(const void *)p->rows.data;
	if (p->text.len > 0)
		memcpy(text, p->text.data, p->text.len);
	*out = (struct http_head){ .target = str_n(text, p->target_len) };
	out->headers = (struct http_headers){ .rows = arena_array(a, struct http_header, count), .count = count };
	for (size_t i = 0; i < count; i++) {
		struct str value = str_trim(str_n(text + rows[i].value_at, rows[i].value_len));
		text[value.p + value.len - text] = '\0';
		out->headers.rows[i] = (struct http_header){ str_n(text + rows[i].name_at, rows[i].name_len), value };
	}
	buf_fini(&p->text);
	buf_fini(&p->rows);
}

int http_parser_refusal(const struct http_parser *p, const char **out_why)
{
	const char *why = llhttp_get_error_reason(&p->ll);
	if (p->status != 0) {
		*out_why = p->why;
		return p->status;
	}
	*out_why = why && *why ? why : llhttp_errno_name(llhttp_get_errno(&p->ll));
	return 400;
}

int64_t http_parser_body_length(const struct http_parser *p)
{
	if (p->no_body || (p->ll.type == HTTP_REQUEST && !(p->ll.flags & (F_CHUNKED | F_CONTENT_LENGTH))))
		return 0;
	if ((p->ll.flags & F_CHUNKED) || !(p->ll.flags & F_CONTENT_LENGTH) || p->ll.content_length > INT64_MAX)
		return -1;
	return (int64_t)p->ll.content_length;
}

bool http_parser_keep_alive(const struct http_parser *p) { return llhttp_should_keep_alive(&p->ll) != 0; }
