/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v2/events: server-sent events to whoever listens, ?event_type= filters. A listener that falls too far behind is cut off;
 * one that hears nothing for HEARTBEAT_US gets an empty line, as proxies and Marathon-LB want. Every event has eventType and timestamp.
 */
#include "net/base/log.h"
#include "net/base/time.h"
#include "roles/master/marathon/marathon_int.h"
#include "roles/task.h"

#define HEARTBEAT_US (10 * SEC)
#define SUBSCRIBERS_MAX 1000

struct subscriber {
	struct list link;           /* in ma->subscribers */
	struct marathon *ma;
	struct http_req *req;
	char peer[SOCK_ADDR_TEXT];
};

/* ---- sending ---- */

static bool listens_to(struct http_req *r, const char *type)
{
	struct str wanted = http_query_n(r, "event_type", 0);
	for (size_t i = 1; wanted.p; i++) {
		if (str_eq_c(wanted, type))
			return true;
		wanted = http_query_n(r, "event_type", i);
		if (!wanted.p)
			return false;
	}
	return true;
}

static void subscriber_free(struct subscriber *s)
{
	list_remove(&s->link);
	free(s);
}

static void send_to(struct subscriber *s, const char *type, struct str data)
{
	if (!listens_to(s->req, type))
		return;
	(void)http_sse_send(s->req, type, data, NULL);     /* full: the backlog below decides */
	if (http_stream_backlog(s->req) <= LIMIT_SSE_BACKLOG_BYTES)
		return;
	LOG(WARN, "slow event listener cut off", "peer=%s", s->peer);
	s->req->gone = NULL;
	http_stream_abort(s->req);
	subscriber_free(s);
}

void event_begin(struct event *ev, struct marathon *ma, const char *type)
{
	ev->ma = ma;
	ev->type = type;
	buf_init(&ev->text, BUF_MAX_DEFAULT);
	ev->w = jw_start(&ev->text);
	jw_obj(&ev->w, NULL);
	jw_str(&ev->w, "eventType", type);
	jw_time(&ev->w, "timestamp", loop_unix_us(ma->loop));
}

void event_end(struct event *ev)
{
	jw_end(&ev->w);
	list_each_safe(&ev->ma->subscribers, it)
		send_to(list_entry(it, struct subscriber, link), ev->type, buf_view(&ev->text));
	buf_fini(&ev->text);
}

static void on_heartbeat(struct loop_timer *t)
{
	struct marathon *ma = container_of(t, struct marathon, heartbeat);
	list_each(&ma->subscribers, it)
		(void)http_stream_write(list_entry(it, struct subscriber, link)->req, "\r\n", 2);
	if (!list_empty(&ma->subscribers))
		loop_timer_start(ma->loop, t, HEARTBEAT_US, on_heartbeat);
}

/* ---- listeners ---- */

static void attached(struct marathon *ma, const char *type, const char *peer)
{
	struct event ev;
	event_begin(&ev, ma, type);
	jw_str(&ev.w, "remoteAddress", peer);
	event_end(&ev);
}

static void on_gone(struct http_req *r)
{
	struct subscriber *s = r->user;
	struct marathon *ma = s->ma;
	char peer[SOCK_ADDR_TEXT];
	(void)str_put(peer, sizeof(peer), str_of(s->peer));
	subscriber_free(s);
	attached(ma, "event_stream_detached", peer);
}

static size_t subscriber_count(const struct marathon *ma)
{
	size_t n = 0;
	list_each(&ma->subscribers, it)
		n++;
	return n;
}

void events_subscribe(struct http_req *r)
{
	struct marathon *ma = api_begin(r);
	if (!ma)
		return;
	if (!str_eq(http_req_header(r, "Accept"), STR("text/event-stream"))) {
		http_reply_text(r, 405, "send the header Accept: text/event-stream");
		return;
	}
	if (subscriber_count(ma) >= SUBSCRIBERS_MAX) {
		http_reply_text(r, 503, "there are %d event listeners already; close some", SUBSCRIBERS_MAX);
		return;
	}
	struct subscriber *s = xcalloc(1, sizeof(*s));
	s->ma = ma;
	s->req = r;
	sock_addr_host(&r->peer, s->peer);
	r->user = s;
	r->gone = on_gone;
	list_push(&ma->subscribers, &s->link);
	http_stream_start(r, 200, "text/event-stream;charset=utf-8", -1);
	attached(ma, "event_stream_attached", s->peer);
	if (!loop_timer_active(&ma->heartbeat))
		loop_timer_start(ma->loop, &ma->heartbeat, HEARTBEAT_US, on_heartbeat);
}

void events_stop(struct marathon *ma)
{
	loop_timer_stop(&ma->heartbeat);
	list_each_safe(&ma->subscribers, it) {
		struct subscriber *s = list_entry(it, struct subscriber, link);
		s->req->gone = NULL;
		http_stream_end(s->req);
		subscriber_free(s);
	}
}

/* ---- what is told ---- */

void event_status(struct marathon *ma, const struct instance *i, const mesos_v1_TaskStatus *status)
{
	struct event ev;
	if (list_empty(&ma->subscribers))
		return;
	event_begin(&ev, ma, "status_update_event");
	jw_str(&ev.w, "slaveId", i->agent_id);
	jw_str(&ev.w, "taskId", i->task_id);
	jw_str(&ev.w, "taskStatus", task_state_name(status->state));
	jw_str(&ev.w, "message", status->message ? status->message : "");
	jw_str(&ev.w, "appId", i->app->id);
	jw_str(&ev.w, "host", i->host);
	jw_arr(&ev.w, "ipAddresses");
	jw_obj(&ev.w, NULL);
	jw_str(&ev.w, "ipAddress", i->agent_ip);
	jw_str(&ev.w, "protocol", "IPv4");
	jw_end(&ev.w);
	jw_end(&ev.w);
	jw_arr(&ev.w, "ports");
	for (size_t k = 0; k < i->port_count; k++)
		jw_int(&ev.w, NULL, i->ports[k]);
	jw_end(&ev.w);
	jw_str(&ev.w, "version", i->version);
	event_end(&ev);
}

void event_deployment(struct marathon *ma, const char *type, const struct deployment *d, bool with_step)
{
	struct event ev;
	if (list_empty(&ma->subscribers))
		return;
	event_begin(&ev, ma, type);
	if (!with_step)
		jw_str(&ev.w, "id", d->id);
	out_plan(&ev.w, "plan", d);
	if (with_step)
		plan_write_step(&ev.w, "currentStep", d->actions, d->action_count, d->step);
	event_end(&ev);
}

void event_api_post(struct marathon *ma, const struct http_req *r, const struct app *app)
{
	struct event ev;
	char host[SOCK_ADDR_TEXT];
	if (list_empty(&ma->subscribers) || !app->spec)
		return;
	sock_addr_host(&r->peer, host);
	event_begin(&ev, ma, "api_post_event");
	jw_str(&ev.w, "clientIp", host);
	jw_strn(&ev.w, "uri", r->path);
	out_spec(&ev.w, "appDefinition", app->spec);
	event_end(&ev);
}
