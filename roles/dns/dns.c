/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dns role: answers for the zones of the cluster from this node's view, forwards the rest. UDP and TCP on port 53 of
 * 198.51.100.1 to .3 (Spartan's place) or where --listen says; on masters also on 61053, and Mesos-DNS' HTTP API on 8123.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "net/base/log.h"
#include "net/dns_wire.h"
#include "net/netlink.h"
#include "net/pb_util.h"
#include "roles/dns/dns.h"
#include "roles/dns/forward.h"
#include "roles/leader.h"
#include "roles/roles.h"

#define AT(field) offsetof(struct dns_config, field)
static const struct flag dns_flags[] = {
	/* name             type        field               default min  max    env                      help */
	{ "port",           FLAG_PORT,  AT(port),           "53",   1,   65535, "DCOS_DNS_PORT",         "UDP and TCP port" },
	{ "listen",         FLAG_LIST,  AT(listen),         NULL,   0,   0,     "DCOS_DNS_LISTEN",       "address to answer on; repeatable (default 198.51.100.1, .2, .3)" },
	{ "upstream",       FLAG_LIST,  AT(upstream),       NULL,   0,   0,     "DCOS_DNS_UPSTREAM",     "resolver for other names, IP[:PORT]; repeatable" },
	{ "mesos-dns",      FLAG_BOOL,  AT(mesos_dns),      "false", 0,  0,     NULL,                    "serve Mesos-DNS' own ports too (masters)" },
	{ "mesos-dns-port", FLAG_PORT,  AT(mesos_dns_port), "61053", 1,  65535, "DCOS_MESOS_DNS_PORT",   "UDP and TCP port of Mesos-DNS" },
	{ "http-port",      FLAG_PORT,  AT(http_port),      "8123", 1,   65535, "DCOS_MESOS_DNS_HTTP_PORT", "HTTP API of Mesos-DNS" },
	FLAG_END,
};
static const struct flag *const flag_tables[] = { node_flags, dns_flags, NULL };

static const char default_listen[] = "198.51.100.1\n198.51.100.2\n198.51.100.3";

/* ---- records from the view ---- */

struct load {
	struct records *records;
	int table;
	size_t damaged;
};

static bool load_row(void *arg, struct str key, struct str value)
{
	struct load *l = arg;
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct err e = { 0 };
	union {
		dcos_ViewMaster master;
		dcos_ViewAgent agent;
		dcos_ViewName name;
	} row;
	memset(&row, 0, sizeof(row));
	switch (l->table) {
	case dcos_ViewTable_VIEW_MASTER:
		if (pb_read(&a, dcos_ViewMaster_fields, value, &row.master, &e) == 0)
			records_add_master(l->records, &row.master);
		break;
	case dcos_ViewTable_VIEW_AGENT:
		if (pb_read(&a, dcos_ViewAgent_fields, value, &row.agent, &e) == 0)
			records_add_agent(l->records, arena_str(&a, key), &row.agent);
		break;
	default:
		if (pb_read(&a, dcos_ViewName_fields, value, &row.name, &e) == 0)
			records_add_task(l->records, &row.name);
		break;
	}
	l->damaged += e.code != 0;
	return true;
}

static int load_records(struct dns *d, struct records *out, struct err *e)
{
	static const int tables[] = { dcos_ViewTable_VIEW_MASTER, dcos_ViewTable_VIEW_AGENT, dcos_ViewTable_VIEW_NAME };
	AUTO_TXN struct kv_txn *txn = NULL;
	int rc = view_begin(d->node.view, &txn, e);
	for (size_t i = 0; i < ARRAY_LEN(tables) && rc == 0; i++) {
		struct load l = { .records = out, .table = tables[i] };
		rc = view_each(txn, tables[i], load_row, &l, e);
		if (l.damaged > 0)
			LOG(WARN, "rows of the view left out", "table=%d count=%zu", tables[i], l.damaged);
	}
	return rc;
}

static void check_ready(struct dns *d)
{
	if (d->ready || d->records.leader_ip4 == 0)
		return;
	d->ready = true;
	node_ready(&d->node);
}

static void on_view(struct view_watch *w)
{
	struct dns *d = container_of(w, struct dns, watch);
	struct records fresh;
	struct err e = { 0 };
	records_init(&fresh, d->node.ip4, (uint32_t)(loop_unix_us(d->node.loop) / SEC));
	if (load_records(d, &fresh, &e) != 0) {
		LOG(WARN, "cannot read the view, old names stay", "reason=%s", e.text);
		records_fini(&fresh);
		return;
	}
	records_finish(&fresh);
	records_fini(&d->records);
	d->records = fresh;
	check_ready(d);
}

/* ---- answering ---- */

/* Answer from our zones, or say no. 0: the question must be forwarded. */
static size_t answer_here(struct dns *d, const uint8_t *msg, size_t len, bool tcp, bool only_ours, uint8_t *out, size_t out_max)
{
	struct dns_query q;
	d->queries++;
	if (dns_query_parse(msg, len, &q, NULL) != 0)
		return dns_error_write(out, out_max, msg, len, DNS_FORMERR);
	if (q.response)
		return SIZE_MAX;      /* an answer nobody asked for: stay silent */
	if (q.opcode != 0 || q.question_count != 1)
		return dns_error_write(out, out_max, msg, len, DNS_NOTIMP);
	size_t max = tcp ? out_max : MIN(out_max, (size_t)q.udp_size);
	if (records_ours(q.name.text))
		return records_answer(&d->records, &q, d->rotate++, out, max);
	return only_ours ? dns_error_write(out, out_max, msg, len, DNS_REFUSED) : 0;
}

/* ---- UDP ---- */

struct udp_asker {
	struct dns_listener *listener;
	struct sock_addr from;
	struct forward *forward;
	struct list link;
	size_t query_len;
	uint8_t query[];
};

static void udp_forwarded(void *arg, const uint8_t *answer, size_t len)
{
	struct udp_asker *u = arg;
	uint8_t failure[DNS_UDP_MIN];
	if (!answer) {
		len = dns_error_write(failure, sizeof(failure), u->query, u->query_len, DNS_SERVFAIL);
		answer = failure;
	}
	(void)sendto(u->listener->udp_fd, answer, len, 0, &u->from.sa, u->from.len);   /* UDP may be lost: the asker asks again */
	list_remove(&u->link);
	free(u);
}

static void udp_forward(struct dns_listener *l, const uint8_t *msg, size_t len, const struct sock_addr *from)
{
	struct udp_asker *u = xmalloc(sizeof(*u) + len);
	*u = (struct udp_asker){ .listener = l, .from = *from, .query_len = len };
	memcpy(u->query, msg, len);
	list_push(&l->askers, &u->link);
	u->forward = forward_start(l->dns->forwarder, msg, len, false, udp_forwarded, u);
}

#define UDP_PER_TURN 64

static void on_udp(struct loop_fd *watch, int events)
{
	struct dns_listener *l = loop_fd_arg(watch);
	uint8_t msg[DNS_UDP_MAX], out[DNS_UDP_MAX];
	struct sock_addr from;
	(void)events;
	for (int i = 0; i < UDP_PER_TURN; i++) {
		from.len = sizeof(from.storage);
		ssize_t n = recvfrom(l->udp_fd, msg, sizeof(msg), 0, &from.sa, &from.len);
		if (n < 0)
			return;
		if (n < 12)
			continue;         /* not even a header */
		size_t len = answer_here(l->dns, msg, (size_t)n, false, l->only_ours, out, sizeof(out));
		if (len == 0)
			udp_forward(l, msg, (size_t)n, &from);
		else if (len != SIZE_MAX)
			(void)sendto(l->udp_fd, out, len, 0, &from.sa, from.len);
	}
}

/* ---- TCP (RFC 7766: two length bytes before each message, several queries on a connection) ---- */

struct tcp_asker {
	struct dns_listener *listener;
	struct stream *stream;
	struct forward *forward;     /* one at a time; further queries wait in the stream */
	struct loop_timer idle;
	struct list link;
};

static void tcp_free(struct tcp_asker *t)
{
	if (t->forward)
		forward_cancel(t->forward);
	loop_timer_stop(&t->idle);
	stream_free(t->stream);
	list_remove(&t->link);
	t->listener->tcp_count--;
	free(t);
}

static void tcp_reply(struct tcp_asker *t, const uint8_t *msg, size_t len)
{
	uint8_t prefix[2] = { (uint8_t)(len >> 8), (uint8_t)len };
	stream_write(t->stream, prefix, sizeof(prefix));
	stream_write(t->stream, msg, len);
}

static void tcp_step(struct tcp_asker *t);

static void tcp_forwarded(void *arg, const uint8_t *answer, size_t len)
{
	struct tcp_asker *t = arg;
	struct buf *in = stream_in(t->stream);
	uint8_t failure[DNS_UDP_MIN];
	size_t query_len = (size_t)in->data[0] << 8 | in->data[1];
	t->forward = NULL;
	if (!answer) {
		len = dns_error_write(failure, sizeof(failure), in->data + 2, query_len, DNS_SERVFAIL);
		answer = failure;
	}
	tcp_reply(t, answer, len);
	buf_drop(in, 2 + query_len);
	tcp_step(t);
}

static void tcp_step(struct tcp_asker *t)
{
	struct buf *in = stream_in(t->stream);
	struct dns *d = t->listener->dns;
	while (!t->forward && in->len >= 2) {
		size_t n = (size_t)in->data[0] << 8 | in->data[1];
		if (n < 12) {
			tcp_free(t);
			return;
		}
		if (in->len - 2 < n)
			return;
		size_t len = answer_here(d, in->data + 2, n, true, t->listener->only_ours, d->tcp_out, sizeof(d->tcp_out));
		if (len == 0) {
			t->forward = forward_start(d->forwarder, in->data + 2, n, true, tcp_forwarded, t);
			return;
		}
		if (len != SIZE_MAX)
			tcp_reply(t, d->tcp_out, len);
		buf_drop(in, 2 + n);
	}
}

static void tcp_data(struct stream *s)
{
	struct tcp_asker *t = stream_arg(s);
	if (stream_in(s)->len > LIMIT_DNS_TCP_BYTES) {
		tcp_free(t);
		return;
	}
	tcp_step(t);
}

static void tcp_closed(struct stream *s, const struct err *e)
{
	(void)e;
	tcp_free(stream_arg(s));
}

static void tcp_idle(struct loop_timer *timer) { tcp_free(container_of(timer, struct tcp_asker, idle)); }

static void on_tcp(struct loop_fd *watch, int events)
{
	static const struct stream_events ev = { .data = tcp_data, .closed = tcp_closed };
	struct dns_listener *l = loop_fd_arg(watch);
	(void)events;
	int fd = accept4(l->tcp_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (l->tcp_count >= LIMIT_DNS_TCP_CONNECTIONS) {
		(void)close(fd);
		return;
	}
	struct tcp_asker *t = xcalloc(1, sizeof(*t));
	t->listener = l;
	t->stream = stream_accepted(l->dns->node.loop, fd, NULL, &ev, t);
	list_push(&l->tcp_askers, &t->link);
	l->tcp_count++;
	loop_timer_start(l->dns->node.loop, &t->idle, LIMIT_DNS_TCP_IDLE_US, tcp_idle);
}

/* ---- start ---- */

static int listen_on(struct dns *d, const char *ip, uint16_t port, bool only_ours, struct err *e)
{
	struct sock_addr a;
	if (d->listener_count == ARRAY_LEN(d->listeners))
		return err_set(e, E_TOOBIG, "more than %zu addresses to listen on", ARRAY_LEN(d->listeners));
	struct dns_listener *l = &d->listeners[d->listener_count++];
	*l = (struct dns_listener){ .dns = d, .udp_fd = -1, .tcp_fd = -1, .only_ours = only_ours };
	list_init(&l->askers);
	list_init(&l->tcp_askers);
	int rc = sock_addr_parse(&a, ip, port, e);
	if (rc == 0)
		rc = sock_listen(&a, SOCK_DGRAM, &l->udp_fd, e);
	if (rc == 0)
		rc = sock_listen(&a, SOCK_STREAM, &l->tcp_fd, e);
	if (rc != 0)
		return rc;
	l->udp_watch = loop_fd_new(d->node.loop, l->udp_fd, LOOP_READ, on_udp, l);
	l->tcp_watch = loop_fd_new(d->node.loop, l->tcp_fd, LOOP_READ, on_tcp, l);
	return 0;
}

/* 198.51.100.1-3 stand on a dummy interface "spartan" as on DC/OS, on lo where the kernel has no dummy interfaces. */
static int add_spartan_addresses(struct err *e)
{
	const char *dev = "spartan";
	struct err ignored = { 0 };
	if (nl_dummy_add(dev, &ignored) != 0 || nl_link_up(dev, &ignored) != 0)
		dev = "lo";
	int rc = nl_link_up(dev, e);
	for (uint32_t i = 1; i <= 3 && rc == 0; i++)
		rc = nl_addr_add(dev, 0xc6336400u + i, 32, e);
	return rc == 0 ? 0 : err_wrap(e, "put 198.51.100.1-3 on '%s'", dev);
}

static int each_line(struct dns *d, const char *lines, int (*fn)(struct dns *d, const char *line, struct err *e), struct err *e)
{
	struct str rest = str_of(lines ? lines : "");
	int rc = 0;
	while (rest.p && rest.len > 0 && rc == 0) {
		AUTO_FREE char *line = str_dup(str_cut(&rest, '\n'));
		rc = fn(d, line, e);
	}
	return rc;
}

static int add_listener(struct dns *d, const char *ip, struct err *e) { return listen_on(d, ip, d->config.port, false, e); }
static int add_upstream(struct dns *d, const char *text, struct err *e) { return forwarder_add(d->forwarder, text, e); }

static int start_mesos_dns(struct dns *d, struct err *e)
{
	struct sock_addr a;
	int rc = listen_on(d, d->node.ip, d->config.mesos_dns_port, true, e);
	if (rc == 0)
		rc = sock_addr_parse(&a, d->node.ip, d->config.http_port, e);
	http_routes_add(&d->routes, mesos_dns_routes, d);
	return rc == 0 ? http_listen(d->node.loop, &a, NULL, &d->routes, &d->http, e) : rc;
}

static void on_identity(struct node *n)
{
	struct dns *d = container_of(n, struct dns, node);
	d->follower = view_follower_start(n);
}

static int start(struct dns *d, struct err *e)
{
	const char *listen = d->config.listen ? d->config.listen : default_listen;
	d->forwarder = forwarder_new(d->node.loop);
	records_init(&d->records, d->node.ip4, 0);
	int rc = node_open_view(&d->node, e);
	if (rc == 0 && !d->config.listen)
		rc = add_spartan_addresses(e);
	if (rc == 0)
		rc = each_line(d, d->config.upstream, add_upstream, e);
	if (rc == 0)
		rc = each_line(d, listen, add_listener, e);
	if (rc == 0 && d->config.mesos_dns)
		rc = start_mesos_dns(d, e);
	if (rc != 0)
		return rc;
	view_watch(d->node.view, &d->watch, on_view);
	if (node_master_count(&d->node) > 0)
		identity_start(&d->node, on_identity);
	return 0;
}

static void listener_close(struct dns_listener *l)
{
	list_each_safe(&l->askers, it) {
		struct udp_asker *u = list_entry(it, struct udp_asker, link);
		forward_cancel(u->forward);
		list_remove(&u->link);
		free(u);
	}
	list_each_safe(&l->tcp_askers, it)
		tcp_free(list_entry(it, struct tcp_asker, link));
	loop_fd_free(l->udp_watch);
	loop_fd_free(l->tcp_watch);
	if (l->udp_fd >= 0)
		(void)close(l->udp_fd);
	if (l->tcp_fd >= 0)
		(void)close(l->tcp_fd);
}

static void stop(struct dns *d)
{
	view_watch_stop(&d->watch);
	view_follower_stop(d->follower);
	http_server_free(d->http);
	for (size_t i = 0; i < d->listener_count; i++)
		listener_close(&d->listeners[i]);
	forwarder_free(d->forwarder);
	records_fini(&d->records);
}

int dns_main(int argc, char **argv)
{
	struct dns *d = xcalloc(1, sizeof(*d));
	struct err e = { 0 };
	int code;
	if (node_init(&d->node, "dns", flag_tables, &d->config, argc, argv,
		      "Answers names of tasks, virtual IPs and nodes on this node and forwards the rest.", &code)) {
		if (start(d, &e) != 0)
			exit(node_die("dns", &e));
		code = node_run(&d->node);
		stop(d);
		node_fini(&d->node);
	}
	flag_free(flag_tables, &d->config);
	free(d);
	return code;
}
