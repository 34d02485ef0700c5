/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events, both ways. Spec: WHATWG HTML, "Server-sent events", parsing of an event stream. */
#include "net/sse.h"

#include "net/http.h"
#include "net/limits.h"

static void put_field(struct buf *out, const char *name, struct str value)
{
	(void)buf_puts(out, name);
	(void)buf_str(out, value);
	(void)buf_putc(out, '\n');
}

/* Cut one line off *rest; "\r\n", "\n" and "\r" end lines. */
static struct str cut_line(struct str *rest)
{
	for (size_t i = 0; i < rest->len; i++) {
		if (rest->p[i] != '\n' && rest->p[i] != '\r')
			continue;
		struct str line = str_head(*rest, i);
		bool pair = rest->p[i] == '\r' && i + 1 < rest->len && rest->p[i + 1] == '\n';
		*rest = str_from(*rest, i + (pair ? 2 : 1));
		return line;
	}
	struct str line = *rest;
	*rest = (struct str){ NULL, 0 };
	return line;
}

bool http_sse_send(struct http_req *r, const char *event, struct str data, const char *id)
{
	AUTO_BUF struct buf out = BUF_INIT;
	if (event)
		put_field(&out, "event: ", str_of(event));
	if (id)
		put_field(&out, "id: ", str_of(id));
	do
		put_field(&out, "data: ", cut_line(&data));
	while (data.p);
	(void)buf_putc(&out, '\n');
	return http_stream_write(r, out.data, out.len);
}

void sse_reader_init(struct sse_reader *r)
{
	*r = (struct sse_reader){ 0 };
	buf_init(&r->in, LIMIT_RECORD_BYTES + LIMIT_HTTP_BODY_BYTES);   /* one event and whatever came with its end */
	buf_init(&r->event, LIMIT_RECORD_BYTES);
	buf_init(&r->data, LIMIT_RECORD_BYTES);
	buf_init(&r->id, LIMIT_RECORD_BYTES);
}

void sse_reader_fini(struct sse_reader *r)
{
	buf_fini(&r->in);
	buf_fini(&r->event);
	buf_fini(&r->data);
	buf_fini(&r->id);
}

void sse_reader_push(struct sse_reader *r, struct str bytes)
{
	buf_drop(&r->in, r->at);
	r->at = 0;
	(void)buf_str(&r->in, bytes);   /* sse_reader_next reports the overflow */
}

static void set(struct buf *b, struct str value)
{
	buf_reset(b);
	(void)buf_str(b, value);   /* as in add_line */
}

/* Overflows stick in the buffers until sse_reader_next looks. */
static void add_line(struct sse_reader *r, struct str line)
{
	struct str value = line;
	struct str field = str_cut(&value, ':');
	if (!value.p)
		value = STR("");
	if (value.len > 0 && value.p[0] == ' ')
		value = str_from(value, 1);
	if (str_eq_c(field, "event")) {
		set(&r->event, value);
	} else if (str_eq_c(field, "id") && str_find(value, '\0') < 0) {
		set(&r->id, value);
	} else if (str_eq_c(field, "data")) {
		if (r->has_data)
			(void)buf_putc(&r->data, '\n');
		(void)buf_str(&r->data, value);
		r->has_data = true;
	}
}

/* True when a whole line stood there. */
static bool next_line(struct sse_reader *r, struct str *out)
{
	struct str rest = str_from(buf_view(&r->in), r->at);
	if (r->skip_newline && rest.len > 0) {
		r->skip_newline = false;
		if (rest.p[0] == '\n') {
			r->at++;
			rest = str_from(rest, 1);
		}
	}
	for (size_t i = r->scanned; i < rest.len; i++) {
		if (rest.p[i] != '\n' && rest.p[i] != '\r')
			continue;
		*out = str_head(rest, i);
		r->at += i + 1;
		r->scanned = 0;
		r->skip_newline = rest.p[i] == '\r';
		return true;
	}
	r->scanned = rest.len;
	return false;
}

static void forget_event(struct sse_reader *r)
{
	buf_reset(&r->event);
	buf_reset(&r->data);
	r->has_data = r->given = false;
}

int sse_reader_next(struct sse_reader *r, struct sse_event *out, struct err *e)
{
	struct str line;
	if (r->given)
		forget_event(r);
	while (next_line(r, &line)) {
		if (line.len > 0) {
			add_line(r, line);
			continue;
		}
		if (!r->has_data) {
			forget_event(r);
			continue;
		}
		if (!buf_ok(&r->event) || !buf_ok(&r->data) || !buf_ok(&r->id))
			break;
		r->given = true;
		*out = (struct sse_event){
			.event = r->event.len > 0 ? buf_view(&r->event) : STR("message"), .data = buf_view(&r->data),
			.id = buf_view(&r->id),
		};
		return 1;
	}
	if (!buf_ok(&r->in) || !buf_ok(&r->event) || !buf_ok(&r->data) || !buf_ok(&r->id))
		return err_set(e, E_TOOBIG, "a server-sent event is larger than the %d bytes allowed", LIMIT_RECORD_BYTES);
	return 0;
}
