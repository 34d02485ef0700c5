/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /api/v1/scheduler: schedulers over HTTP, JSON or protobuf. SUBSCRIBE is answered by a stream of RecordIO events, other
 * calls by 202; what is wrong with their content comes as events. Status codes, their order and texts are Mesos'.
 */
#include "net/base/log.h"
#include "net/json.h"
#include "net/pb_json.h"
#include "roles/master/mesos/mesos_int.h"

#define JSON_TYPE "application/json"
#define PROTOBUF_TYPE "application/x-protobuf"

/* One SUBSCRIBE's stream. Owned by itself: freed when the session or the connection ends, whichever comes first. */
struct http_session {
	struct mesos *ms;
	struct sched *sched;
	struct http_req *req;
	char stream_id[37];
	bool json;
	struct loop_timer heartbeat;
};

static void session_free(struct http_session *s)
{
	loop_timer_stop(&s->heartbeat);
	free(s);
}

/* ---- events out ---- */

static bool session_send(struct http_session *s, const mesos_v1_scheduler_Event *ev)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	int rc = s->json ? pb_json_write(&out, &mesos_v1_scheduler_Event_json, ev) : pb_write(mesos_v1_scheduler_Event_fields, ev, &out, &e);
	assert(rc == 0);
	(void)http_record_send(s->req, buf_view(&out));       /* false: it reads slowly, which the backlog shows */
	return http_stream_backlog(s->req) <= LIMIT_SSE_BACKLOG_BYTES;
}

/* It reads too slowly or not at all: the session ends as if it had hung up. */
static void session_cut(struct http_session *s)
{
	struct http_req *r = s->req;
	LOG(WARN, "scheduler does not read its events", "framework=%s backlog=%zu", sched_framework_id(s->sched), http_stream_backlog(r));
	mesos_disconnect(s->sched);
	r->gone = NULL;
	session_free(s);
	http_stream_abort(r);
}

static void on_heartbeat(struct loop_timer *t)
{
	struct http_session *s = container_of(t, struct http_session, heartbeat);
	mesos_v1_scheduler_Event ev = { .has_type = true, .type = mesos_v1_scheduler_Event_Type_HEARTBEAT };
	loop_timer_start_lazy(s->ms->loop, &s->heartbeat, HEARTBEAT_US, on_heartbeat);
	if (!session_send(s, &ev))
		session_cut(s);
}

static void on_event(void *arg, const mesos_v1_scheduler_Event *ev)
{
	struct http_session *s = arg;
	if (!session_send(s, ev))
		session_cut(s);
	else if (ev->type == mesos_v1_scheduler_Event_Type_SUBSCRIBED)
		on_heartbeat(&s->heartbeat);
}

static void on_closed(void *arg, const char *reason)
{
	struct http_session *s = arg;
	struct http_req *r = s->req;
	(void)reason;
	r->gone = NULL;
	session_free(s);
	http_stream_end(r);
}

static void on_gone(struct http_req *r)
{
	struct http_session *s = r->user;
	mesos_disconnect(s->sched);
	session_free(s);
}

/* ---- SUBSCRIBE ---- */

static void send_error(struct http_session *s, const char *text)
{
	mesos_v1_scheduler_Event_Error error = { (char *)text };
	mesos_v1_scheduler_Event ev = { .has_type = true, .type = mesos_v1_scheduler_Event_Type_ERROR, .error = &error };
	(void)session_send(s, &ev);      /* the stream ends anyway */
}

static void subscribe(struct mesos *ms, struct http_req *r, const mesos_v1_scheduler_Call_Subscribe *call)
{
	struct err e = { 0 };
	bool json = http_accepts(r, JSON_TYPE);
	if (http_req_header(r, "Mesos-Stream-Id").p) {
		http_reply_text(r, 400, "Subscribe calls should not include the 'Mesos-Stream-Id' header");
		return;
	}
	if (!json && !http_accepts(r, PROTOBUF_TYPE)) {
		http_reply_text(r, 406, "Expecting 'Accept' to allow application/json or application/x-protobuf");
		return;
	}
	struct http_session *s = xcalloc(1, sizeof(*s));
	*s = (struct http_session){ .ms = ms, .req = r, .json = json };
	rnd_uuid4(s->stream_id);
	s->sched = mesos_subscribe_roles(ms, call->framework_info, call->suppressed_roles, call->suppressed_roles_count,
					 (struct sched_sink){ on_event, on_closed, s }, &e);
	r->user = s;
	http_set_header(r, "Mesos-Stream-Id", "%s", s->stream_id);
	http_stream_start(r, 200, json ? JSON_TYPE : PROTOBUF_TYPE, -1);
	if (s->sched) {
		r->gone = on_gone;
		return;
	}
	send_error(s, e.text);           /* 200 all the same: schedulers wait for the event */
	session_free(s);
	http_stream_end(r);
}

/* ---- the other calls ---- */

/* The HTTP session of the framework the call names; NULL: r has been answered. */
static struct http_session *session_of(struct mesos *ms, struct http_req *r, const char *framework_id)
{
	const struct framework *f = frameworks_find(ms->model, framework_id);
	struct str id = http_req_header(r, "Mesos-Stream-Id");
	struct http_session *s = f && f->session && f->session->sink.event == on_event ? f->session->sink.arg : NULL;
	if (!f)
		http_reply_text(r, 400, "Framework cannot be found");
	else if (!f->session)
		http_reply_text(r, 403, "Framework is not subscribed");
	else if (!s)
		http_reply_text(r, 403, "Framework is not connected via HTTP");
	else if (!id.p)
		http_reply_text(r, 400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header");
	else if (!str_eq_c(id, s->stream_id))
		http_reply_text(r, 400, "The stream ID '" STR_FMT "' included in this request didn't match the stream ID currently "
				"associated with framework ID %s", STR_ARG(id), framework_id);
	else
		return s;
	return NULL;
}

static void other_call(struct mesos *ms, struct http_req *r, const mesos_v1_scheduler_Call *call)
{
	struct err e = { 0 };
	struct http_session *s = session_of(ms, r, call->framework_id->value);
	if (!s)
		return;
	int rc = mesos_call(ms, s->sched, call, &e);
	if (rc != 0)
		http_reply_text(r, rc == E_INVALID ? 400 : err_http(rc), "%s", e.text);
	else
		http_reply(r, call->type == mesos_v1_scheduler_Call_Type_UPDATE_FRAMEWORK ? 200 : 202, NULL, STR(""));
}

/* ---- requests in ---- */

static bool media_type_is(struct str header, const char *type)
{
	struct str rest = header;
	return str_ieq(str_trim(str_cut(&rest, ';')), str_of(type));
}

/* False: r has been answered. */
static bool read_json(struct http_req *r, mesos_v1_scheduler_Call *out)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	struct err e = { 0 };
	if (json_parse(r->body.p, r->body.len, &doc, &e) != 0)
		http_reply_text(r, 400, "Failed to parse body into JSON: %s", e.text);
	else if (pb_json_read(&r->arena, &mesos_v1_scheduler_Call_json, yyjson_doc_get_root(doc), out, &e) != 0)
		http_reply_text(r, 400, "Failed to convert JSON into Call protobuf: %s", e.text);
	else
		return true;
	return false;
}

static bool read_call(struct http_req *r, mesos_v1_scheduler_Call *out)
{
	struct str type = http_req_header(r, "Content-Type");
	struct err e = { 0 };
	if (!type.p) {
		http_reply_text(r, 400, "Expecting 'Content-Type' to be present");
		return false;
	}
	if (media_type_is(type, JSON_TYPE))
		return read_json(r, out);
	if (!media_type_is(type, PROTOBUF_TYPE)) {
		http_reply_text(r, 415, "Expecting 'Content-Type' of application/json or application/x-protobuf");
		return false;
	}
	if (pb_read(&r->arena, mesos_v1_scheduler_Call_fields, r->body, out, &e) != 0) {
		http_reply_text(r, 400, "Failed to parse body into Call protobuf: %s", e.text);
		return false;
	}
	return true;
}

void sched_api_call(struct http_req *r)
{
	struct mesos *ms = r->arg;
	mesos_v1_scheduler_Call call;
	struct err e = { 0 };
	if (!mesos_leads_or_redirect(ms, r) || !read_call(r, &call))
		return;
	if (validate_call(&call, &e) != 0)
		http_reply_text(r, 400, "Failed to validate scheduler::Call: %s", e.text);
	else if (call.type == mesos_v1_scheduler_Call_Type_SUBSCRIBE)
		subscribe(ms, r, call.subscribe);
	else if (call.type == mesos_v1_scheduler_Call_Type_UNKNOWN)
		http_reply_text(r, 501, "Unknown call type");
	else
		other_call(ms, r, &call);
}
