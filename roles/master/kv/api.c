/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key-value service by HTTP. A value is the body as it is; its revision is the entity tag:
 *
 *   GET    /kv/v1/keys/a/b              the value; ETag: "REVISION", Kv-Created, Kv-Index. ?consistency=local
 *   PUT    /kv/v1/keys/a/b?ttl=10secs   If-Match: "REVISION", If-None-Match: *; 412 when that does not hold
 *   DELETE /kv/v1/keys/a/b              the same
 *   GET    /kv/v1/keys/?prefix=a/       JSON list; recurse, values, limit, after
 *   GET    /kv/v1/watch?prefix=a/       server-sent events from `since` on; 410 when that is too long ago
 *   POST   /kv/v1/call                  a keyval.Call, JSON or protobuf: several keys at once
 *
 * Idempotency-Key: CLIENT:SERIAL makes a repeated change happen once. Spec of tags and preconditions: RFC 9110, 8.8.3 and 13.1.
 */
#include <stdio.h>

#include "net/base/time.h"
#include "net/json.h"
#include "net/pb_json.h"
#include "net/pb_util.h"
#include "roles/master/kv/keyval_int.h"

#define JSON_TYPE "application/json"
#define PROTOBUF_TYPE "application/x-protobuf"
#define EVENTS_TYPE "text/event-stream"
#define CALL_BODY_MAX (LIMIT_OP_BYTES + LIMIT_OP_BYTES / 2)      /* a command's values in base64 */

/* ---- answers in JSON ---- */

/* Values that are text are shown as such. */
static void show_text(struct arena *a, keyval_Item *item)
{
	struct str value = pb_bytes_view(item->value);
	if (!item->value || !str_is_text(value))
		return;
	item->text = arena_str(a, value);
	item->value = NULL;
}

static void reply_json(struct http_req *r, int status, const struct pb_json_type *type, const void *msg)
{
	AUTO_BUF struct buf out = BUF_INIT;
	if (pb_json_write(&out, type, msg) != 0)
		http_reply_message(r, 500, "The answer is too large; ask for less of it");
	else
		http_reply_json(r, status, &out);
}

static void reply_refused(struct http_req *r, const keyval_Op *op, const keyval_Changed *changed)
{
	uint64_t before = changed->before[changed->refused_by];
	AUTO_BUF struct buf out = BUF_INIT;
	char text[LIMIT_KV_KEY_BYTES + 128];
	if (before == 0)
		(void)snprintf(text, sizeof(text), "the key '%s' does not exist", op->key);
	else if (op->if_revision == 0)
		(void)snprintf(text, sizeof(text), "the key '%s' exists already, at revision %llu", op->key, (unsigned long long)before);
	else
		(void)snprintf(text, sizeof(text), "the key '%s' is at revision %llu, not %llu", op->key, (unsigned long long)before,
			       (unsigned long long)op->if_revision);
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "message", text);
	jw_int(&w, "revision", (int64_t)before);
	jw_end(&w);
	http_reply_json(r, 412, &out);
}

/* ---- requests ---- */

static void on_gone(struct http_req *r) { call_cancel(r->user); }

static struct call *begin(struct http_req *r, void (*done)(struct call *c, const keyval_Answer *a, const struct err *e))
{
	struct call *c = call_new(r->arg);
	c->user = r;
	c->done = done;
	r->user = c;
	r->gone = on_gone;
	return c;
}

/* The request of a call that is over. */
static struct http_req *ended(struct call *c)
{
	struct http_req *r = c->user;
	r->gone = NULL;
	r->user = NULL;
	return r;
}

static void refuse(struct call *c, const struct err *e)
{
	http_reply_err(ended(c), e);
	call_cancel(c);
}

static int read_consistency(struct http_req *r, struct call *c, struct err *e)
{
	struct str v = http_query(r, "consistency");
	if (v.p && !str_eq(v, STR("local")) && !str_eq(v, STR("linearizable")))
		return err_set(e, E_USAGE, "consistency is `linearizable` or `local`, not '" STR_FMT "'", STR_ARG(v));
	c->in.has_local = true;
	c->in.local = v.p && str_eq(v, STR("local"));
	return 0;
}

static int read_duration(struct http_req *r, const char *name, bool *has, int64_t *out, struct err *e)
{
	struct str v = http_query(r, name);
	if (v.p && !time_parse_duration(v, out))
		return err_set(e, E_USAGE, "?%s= is a duration such as 10secs, not '" STR_FMT "'", name, STR_ARG(v));
	*has = v.p != NULL;
	return 0;
}

static int read_number(struct http_req *r, const char *name, uint64_t *out, struct err *e)
{
	struct str v = http_query(r, name);
	if (v.p && !str_u64(v, out))
		return err_set(e, E_USAGE, "?%s= is a whole number, not '" STR_FMT "'", name, STR_ARG(v));
	return 0;
}

/* CLIENT:SERIAL */
static int read_idempotency(struct http_req *r, struct call *c, struct err *e)
{
	struct str rest = http_req_header(r, "Idempotency-Key");
	if (!rest.p)
		return 0;
	struct str client = str_cut(&rest, ':');
	if (!str_u64(client, &c->in.client) || !rest.p || !str_u64(rest, &c->in.serial) || !c->in.client || !c->in.serial)
		return err_set(e, E_USAGE, "Idempotency-Key is CLIENT:SERIAL: a random number of the client's own and one that it counts up, "
			       "neither 0");
	c->in.has_client = c->in.has_serial = true;
	return 0;
}

static int read_preconditions(struct http_req *r, keyval_Op *op, struct err *e)
{
	struct str match = http_req_header(r, "If-Match"), none = http_req_header(r, "If-None-Match");
	if (match.p && none.p)
		return err_set(e, E_USAGE, "If-Match and If-None-Match exclude each other");
	if (none.p && !str_eq(none, STR("*")))
		return err_set(e, E_USAGE, "If-None-Match of a change can only be *");
	if (match.p && match.len > 2 && match.p[0] == '"' && match.p[match.len - 1] == '"')
		match = str_n(match.p + 1, match.len - 2);
	if (match.p && (!str_u64(match, &op->if_revision) || op->if_revision == 0))
		return err_set(e, E_USAGE, "If-Match is one revision, as the ETag of an answer shows it");
	op->has_if_revision = match.p || none.p;
	return 0;
}

/* ---- one key ---- */

static void got(struct call *c, const keyval_Answer *a, const struct err *e)
{
	struct http_req *r = ended(c);
	if (e->code != 0) {
		http_reply_err(r, e);
		return;
	}
	http_set_header(r, "Kv-Index", "%llu", (unsigned long long)a->index);
	if (a->items_count == 0) {
		http_reply_message(r, 404, "the key '%s' does not exist", c->in.get);
		return;
	}
	const keyval_Item *item = &a->items[0];
	http_set_header(r, "ETag", "\"%llu\"", (unsigned long long)item->revision);
	http_set_header(r, "Kv-Created", "%llu", (unsigned long long)item->created);
	if (item->has_ttl_us)
		http_set_header(r, "Kv-Ttl-Ms", "%lld", (long long)(item->ttl_us / MSEC));
	http_reply(r, 200, "application/octet-stream", pb_bytes_view(item->value));
}

static void listed(struct call *c, const keyval_Answer *a, const struct err *e)
{
	struct http_req *r = ended(c);
	if (e->code != 0) {
		http_reply_err(r, e);
		return;
	}
	for (size_t i = 0; i < a->items_count; i++)
		show_text(&c->arena, &a->items[i]);
	reply_json(r, 200, &keyval_Answer_json, a);
}

static int read_list(struct http_req *r, struct call *c, struct err *e)
{
	keyval_List *list = arena_new(&c->arena, keyval_List);
	uint64_t limit = 0;
	struct str prefix = http_query(r, "prefix"), after = http_query(r, "after");
	list->prefix = prefix.p ? arena_str(&c->arena, prefix) : NULL;
	list->after = after.p ? arena_str(&c->arena, after) : NULL;
	list->has_recurse = list->has_values = true;
	list->recurse = http_query_bool(r, "recurse", false);
	list->values = http_query_bool(r, "values", false);
	int rc = read_number(r, "limit", &limit, e);
	if (rc == 0 && limit > LIMIT_KV_LIST)
		rc = err_set(e, E_USAGE, "?limit= is at most %d", LIMIT_KV_LIST);
	list->has_limit = limit > 0;
	list->limit = (uint32_t)limit;
	c->in.list = list;
	return rc;
}

static void get_keys(struct http_req *r)
{
	struct str key = r->params[0];
	struct err e = { 0 };
	struct call *c = begin(r, key.len > 0 ? got : listed);
	int rc = read_consistency(r, c, &e);
	if (rc == 0 && key.len == 0)
		rc = read_list(r, c, &e);
	if (key.len > 0)
		c->in.get = arena_str(&c->arena, key);
	if (rc != 0)
		refuse(c, &e);
	else
		call_start(c);
}

static void changed(struct call *c, const keyval_Answer *a, const struct err *e)
{
	struct http_req *r = ended(c);
	const keyval_Op *op = c->in.change->ops;
	AUTO_BUF struct buf out = BUF_INIT;
	if (e->code != 0) {
		http_reply_err(r, e);
		return;
	}
	if (!a->changed->done) {
		reply_refused(r, op, a->changed);
		return;
	}
	bool existed = a->changed->before[0] != 0;
	if (op->kind == keyval_OpKind_DELETE && !existed) {
		http_reply_message(r, 404, "the key '%s' does not exist", op->key);
		return;
	}
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "key", op->key);
	jw_int(&w, "revision", (int64_t)a->changed->revision);
	jw_int(&w, "before", (int64_t)a->changed->before[0]);
	jw_end(&w);
	if (op->kind == keyval_OpKind_PUT)
		http_set_header(r, "ETag", "\"%llu\"", (unsigned long long)a->changed->revision);
	http_reply_json(r, op->kind == keyval_OpKind_PUT && !existed ? 201 : 200, &out);
}

static void change_key(struct http_req *r, keyval_OpKind kind)
{
	struct err e = { 0 };
	struct call *c = begin(r, changed);
	keyval_Op *op = arena_new(&c->arena, keyval_Op);
	c->in.change = arena_new(&c->arena, keyval_Change);
	c->in.change->ops = op;
	c->in.change->ops_count = 1;
	op->has_kind = true;
	op->kind = kind;
	op->key = arena_str(&c->arena, r->params[0]);
	if (kind == keyval_OpKind_PUT)
		op->value = pb_bytes_put(&c->arena, r->body);
	int rc = read_preconditions(r, op, &e);
	if (rc == 0)
		rc = read_idempotency(r, c, &e);
	if (rc == 0)
		rc = read_duration(r, "ttl", &op->has_ttl_us, &op->ttl_us, &e);
	if (rc == 0)
		rc = read_duration(r, "timeout", &c->in.has_timeout_us, &c->in.timeout_us, &e);
	if (rc != 0)
		refuse(c, &e);
	else
		call_start(c);
}

static void put_key(struct http_req *r) { change_key(r, keyval_OpKind_PUT); }
static void delete_key(struct http_req *r) { change_key(r, keyval_OpKind_DELETE); }

/* ---- any call ---- */

static void called(struct call *c, const keyval_Answer *a, const struct err *e)
{
	struct http_req *r = ended(c);
	AUTO_BUF struct buf out = BUF_INIT;
	struct err failure = *e;
	if (failure.code == 0 && !http_accepts(r, JSON_TYPE) && pb_write(keyval_Answer_fields, a, &out, &failure) == 0) {
		http_reply(r, 200, PROTOBUF_TYPE, buf_view(&out));
		return;
	}
	if (failure.code != 0) {
		http_reply_err(r, &failure);
		return;
	}
	for (size_t i = 0; i < a->items_count; i++)
		show_text(&c->arena, &a->items[i]);
	reply_json(r, 200, &keyval_Answer_json, a);
}

static void post_call(struct http_req *r)
{
	struct err e = { 0 };
	struct call *c = begin(r, called);
	struct str type = http_req_header(r, "Content-Type");
	int rc = str_ieq(type, STR(PROTOBUF_TYPE)) ? pb_read(&c->arena, keyval_Call_fields, r->body, &c->in, &e)
			: pb_json_parse(&c->arena, &keyval_Call_json, r->body.p, r->body.len, &c->in, &e);
	c->in.forwarded = false;         /* only between masters */
	if (rc != 0)
		refuse(c, &e);
	else
		call_start(c);
}

/* ---- watching ---- */

struct http_watch {
	struct http_req *req;
	struct watch *watch;
	bool records;                    /* RecordIO of protobuf, for programs; else server-sent events */
};

static bool send_records(struct http_req *r, const keyval_Events *ev)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	return pb_write(keyval_Events_fields, ev, &out, &e) != 0 || http_record_send(r, buf_view(&out));
}

static bool send_sse(struct http_req *r, const keyval_Events *ev)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	char id[24];
	keyval_Events shown = *ev;
	shown.changes = arena_array(&a, keyval_Event, ev->changes_count);
	for (size_t i = 0; i < ev->changes_count; i++) {
		keyval_Item *item = arena_new(&a, keyval_Item);
		*item = *ev->changes[i].item;
		show_text(&a, item);
		shown.changes[i] = ev->changes[i];
		shown.changes[i].item = item;
	}
	(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)ev->revision);
	if (pb_json_write(&out, &keyval_Events_json, &shown) != 0)
		return true;                     /* over the buffer's 256 MiB: no command holds that */
	return http_sse_send(r, ev->changes_count > 0 ? "change" : "alive", buf_view(&out), id);
}

static bool watch_send(void *arg, const keyval_Events *ev)
{
	struct http_watch *hw = arg;
	return hw->records ? send_records(hw->req, ev) : send_sse(hw->req, ev);
}

static void watch_ended(void *arg, const struct err *e)
{
	struct http_watch *hw = arg;
	char text[sizeof(e->text)];
	(void)str_put(text, sizeof(text), str_of(e->text));
	keyval_Events ev = { .error = text };
	hw->req->gone = NULL;
	hw->req->drained = NULL;
	if (hw->records)
		(void)send_records(hw->req, &ev);
	else
		(void)http_sse_send(hw->req, "error", str_of(text), NULL);
	http_stream_end(hw->req);
	free(hw);
}

static bool watch_full(void *arg)
{
	struct http_watch *hw = arg;
	return http_stream_backlog(hw->req) > LIMIT_STREAM_LOW_BYTES;
}

static void watch_gone(struct http_req *r)
{
	struct http_watch *hw = r->user;
	watch_free(hw->watch);
	free(hw);
}

static void watch_drained(struct http_req *r)
{
	struct http_watch *hw = r->user;
	watch_go_on(hw->watch);
}

static void get_watch(struct http_req *r)
{
	struct keyval *kv = r->arg;
	struct str prefix = http_query(r, "prefix"), last = http_req_header(r, "Last-Event-ID");
	bool since_given = http_query(r, "since").p || last.p;
	uint64_t since = 0;
	struct err e = { 0 };
	if (last.p && !str_u64(last, &since)) {
		http_reply_message(r, 400, "Last-Event-ID is the id of an event");
		return;
	}
	if (!last.p && read_number(r, "since", &since, &e) != 0) {
		http_reply_err(r, &e);
		return;
	}
	struct http_watch *hw = xcalloc(1, sizeof(*hw));
	hw->req = r;
	hw->records = str_eq(http_req_header(r, "Accept"), STR(PROTOBUF_TYPE));
	int rc = watch_new(kv, prefix.p ? prefix : STR(""), since_given ? &since : NULL,
			   (struct watch_sink){ watch_send, watch_ended, watch_full, hw }, &hw->watch, &e);
	if (rc != 0) {
		free(hw);
		http_reply_message(r, rc == E_NOTFOUND ? 410 : err_http(rc), "%s", e.text);
		return;
	}
	r->user = hw;
	r->gone = watch_gone;
	r->drained = watch_drained;
	http_set_header(r, "Cache-Control", "no-store");
	http_stream_start(r, 200, hw->records ? PROTOBUF_TYPE : EVENTS_TYPE, -1);
	watch_send(hw, &(keyval_Events){ .has_revision = true, .revision = watch_index(hw->watch) });
}

#define KV_PERMISSION "dcos:adminrouter:ops:kv"
const struct route keyval_routes[] = {
	/* method  path                  handler     permission       body max                                   help */
	{ GET,     "/kv/v1/keys/{*key}", get_keys,   KV_PERMISSION, 0,                                         "A value; without a key a list: ?prefix= ?recurse= ?values= ?limit= ?after=. ?consistency=local" },
	{ PUT,     "/kv/v1/keys/{*key}", put_key,    KV_PERMISSION, LIMIT_KV_VALUE_BYTES,                      "Set a value; If-Match, If-None-Match: *, Idempotency-Key; ?ttl=" },
	{ DELETE,  "/kv/v1/keys/{*key}", delete_key, KV_PERMISSION, 0,                                         "Delete a key; If-Match, Idempotency-Key" },
	{ GET,     "/kv/v1/watch",       get_watch,  KV_PERMISSION, 0,                                         "Changes as server-sent events; ?prefix= ?since= or Last-Event-ID" },
	{ POST,    "/kv/v1/call",        post_call,  KV_PERMISSION, CALL_BODY_MAX,                             "Several keys in one atomic change (keyval.Call)" },
	ROUTE_END,
};
