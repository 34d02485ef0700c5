/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections between masters. Every master dials every address it knows of; a pair that has two connections keeps the one that
 * the master with the lower fingerprint dialled, and both sides decide so without asking.
 *
 *   a dial:   WAIT --timer--> CONNECT --open, a master's certificate--> HELLO --answer is taken--> its connection is a link's
 *              ^-- backoff, jitter <------------ any failure ---------------'
 *              `-- at once <----------------- the link's connection broke ------------------------'
 *
 * A hello is taken from whom the address book admits, or, while this master has no state yet, from any master of its CA. Frames are
 * taken from links only. What is refused is said in the log, and the connection closed.
 */
#include "roles/master/quorum_int.h"

#include <stdio.h>

#include "gen/version.h"
#include "net/base/log.h"
#include "roles/known_masters.h"
#include "roles/master/lead.h"

#define HELLO_TIMEOUT_US (3 * SEC)
#define BACKOFF_MIN_US (20 * MSEC)
#define BACKOFF_MAX_US SEC
#define DUPLICATE_US (5 * SEC)       /* connected already: look again, the other connection may be dying */

/* An address where a master may be. */
struct dial {
	struct list link;
	struct quorum *q;
	struct sock_addr to;
	char text[SOCK_ADDR_TEXT];
	struct rpc_peer *peer;       /* owned, until its hello was answered */
	struct rpc_call hello;
	struct loop_timer timer;
	int64_t backoff_us;
	bool wanted;
};

static void dial_go(struct loop_timer *t);

/* ---- hello ---- */

static int write_hello(struct quorum *q, struct buf *out, struct err *e)
{
	struct master_row r;
	quorum_self(q, &r);
	dcos_MasterHello h = {
		.has_member_id = true, .member_id = r.member_id, .name = r.name, .ip = r.ip, .has_rpc_port = true, .rpc_port = r.rpc_port,
		.has_mesos_port = true, .mesos_port = r.mesos_port, .has_marathon_port = true, .marathon_port = r.marathon_port,
		.has_adminrouter_port = true, .adminrouter_port = r.adminrouter_port,
		.cluster_id = (char *)store_cluster_id(q->m->store), .version = r.version, .has_feature_level = true,
		.feature_level = r.feature_level, .life = q->m->id,
	};
	return pb_write(dcos_MasterHello_fields, &h, out, e);
}

static bool is_printable(const char *s)
{
	while (*s >= ' ' && *s <= '~')
		s++;
	return *s == '\0';
}

static bool port_ok(uint32_t port) { return port > 0 && port <= UINT16_MAX; }

static int read_hello(struct arena *a, struct str payload, dcos_MasterHello *h, struct master_row *out, struct err *e)
{
	struct sock_addr ip;
	int rc = pb_read(a, dcos_MasterHello_fields, payload, h, e);
	if (rc != 0)
		return rc;
	*out = (struct master_row){ .member_id = h->member_id, .rpc_port = (uint16_t)h->rpc_port, .mesos_port = (uint16_t)h->mesos_port,
				    .marathon_port = (uint16_t)h->marathon_port, .adminrouter_port = (uint16_t)h->adminrouter_port,
				    .feature_level = h->feature_level };
	bool ok = h->member_id != 0 && identity_name_ok(h->name) && h->ip && sock_addr_parse(&ip, h->ip, 1, e) == 0 &&
		  ip.sa.sa_family == AF_INET && port_ok(h->rpc_port) && port_ok(h->mesos_port) && port_ok(h->marathon_port) &&
		  port_ok(h->adminrouter_port) && h->life && h->life[0] && strlen(h->life) < sizeof(((struct link *)0)->life);
	ok = ok && str_put(out->name, sizeof(out->name), str_of(h->name)) && str_put(out->ip, sizeof(out->ip), str_of(h->ip)) &&
	     str_put(out->version, sizeof(out->version), str_of(h->version ? h->version : "")) &&
	     is_printable(out->version);
	return ok ? 0 : err_set(e, E_MALFORMED, "a master's hello is malformed");
}

/* Is the holder of this key let in at all? */
static int check_admitted(struct quorum *q, const struct master_row *is, const dcos_MasterHello *h, struct err *e)
{
	const char *own = store_cluster_id(q->m->store);
	struct store_member all[STORE_MEMBERS_MAX];
	size_t count = store_members(q->m->store, all);
	if (own[0] && h->cluster_id && h->cluster_id[0] && strcmp(own, h->cluster_id) != 0)
		return err_set(e, E_DENIED, "it is of another cluster");
	for (size_t i = 0; i < count; i++)
		if (all[i].id == is->member_id && strcmp(all[i].address, is->fingerprint) != 0)
			return err_set(e, E_CONFLICT, "it calls itself member %llu, which has another key",
				       (unsigned long long)is->member_id);
	struct link *same_id = links_find_id(q, is->member_id);
	if (same_id && strcmp(same_id->is.fingerprint, is->fingerprint) != 0)
		return err_set(e, E_CONFLICT, "it calls itself member %llu, as %s does", (unsigned long long)is->member_id,
			       same_id->is.name);
	const struct book *b = quorum_book(q);
	const struct master_row *row = book_find(b, is->fingerprint);
	if (b->count == 0 || (row && !row->leaving) || (!row && quorum_member(all, count, 0, is->fingerprint)))
		return 0;
	return err_set(e, E_DENIED, "this cluster has no such master: it was removed, or never let in; to take it in, end it, remove "
		       "its state directory and join it with a new token (dcos-node master token)");
}

/* Which of two connections of one pair stays: E_BUSY says the old one. */
static int check_double(struct quorum *q, const struct link *old, const struct master_row *is, const char *life, bool dialled,
			struct err *e)
{
	bool lower_is_us = strcmp(q->m->node.identity.fingerprint, is->fingerprint) < 0;
	if (strcmp(old->life, life) == 0)
		return dialled == lower_is_us && old->dialled != dialled ? 0 : err_set(e, E_BUSY, "connected already");
	if (strcmp(old->is.ip, is->ip) == 0)
		return 0;               /* started again */
	return err_set(e, E_CONFLICT, "a master with the same key is connected from %s; two machines must not share an identity",
		       old->is.ip);
}

/* A connection of which both sides know who they are. */
static int greet(struct quorum *q, struct rpc_peer *p, struct str payload, bool dialled, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_MasterHello h = { 0 };
	struct master_row is;
	int rc = read_hello(&a, payload, &h, &is, e);
	if (rc != 0)
		return rc;
	if (!rpc_peer_fingerprint(p, is.fingerprint))
		return err_set(e, E_UNAUTHORIZED, "it has no certificate of this cluster");
	if (strcmp(is.fingerprint, q->m->node.identity.fingerprint) == 0)
		return strcmp(h.life, q->m->id) == 0
			? err_set(e, E_BUSY, "this is ourselves")
			: err_set(e, E_CONFLICT, "it has this master's own key; two machines must not share an identity");
	rc = check_admitted(q, &is, &h, e);
	struct link *l = links_find(q, is.fingerprint);
	if (rc == 0 && l)
		rc = check_double(q, l, &is, h.life, dialled, e);
	if (rc != 0)
		return rc;
	bool anew = !l;
	if (l) {
		rpc_peer_close(MOVE(l->peer));
	} else {
		l = xcalloc(1, sizeof(*l));
		list_push(&q->links.links, &l->link);
	}
	l->is = is;
	(void)str_put(l->life, sizeof(l->life), str_of(h.life));
	l->peer = p;
	l->dialled = dialled;
	if (anew)
		LOG(INFO, "master connected", "name=%s ip=%s member=%llu key=%s", is.name, is.ip, (unsigned long long)is.member_id,
		    is.fingerprint);
	q->shut_out = false;
	quorum_step(q);
	return 0;
}

static void refuse(struct quorum *q, struct rpc_peer *p, const struct err *e)
{
	struct sock_addr from;
	char where[SOCK_ADDR_TEXT], name[128] = "?";
	rpc_peer_addr(p, &from);
	sock_addr_host(&from, where);
	(void)rpc_peer_name(p, name, sizeof(name));
	AUTO_FREE char *who = xasprintf("%s from %s", name, where);
	if (e->code != E_BUSY)
		quorum_complain(q, "master refused", who, e->text);
}

void links_serve_hello(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct quorum *q = quorum_of(p);
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	char name[128];
	if (!req)
		return;
	bool master = rpc_peer_name(p, name, sizeof(name)) && cstr_starts(name, "master/");
	int rc = master ? 0 : err_set(&e, E_DENIED, "its certificate is not a master's");
	if (rc == 0 && !q->started)
		rc = err_set(&e, E_BUSY, "starting");
	if (rc == 0)
		rc = write_hello(q, &out, &e);
	if (rc == 0)
		rc = greet(q, p, payload, false, &e);
	if (rc == 0) {
		rpc_reply(req, buf_view(&out));
		return;
	}
	refuse(q, p, &e);
	rpc_fail(req, &e);
	rpc_peer_close(p);
}

/* ---- dialling ---- */

static void dial_later(struct dial *d, int64_t delay_us)
{
	int64_t jitter = (int64_t)rnd_below(loop_rnd(d->q->m->node.loop), (uint64_t)delay_us / 2 + 1);
	loop_timer_start(d->q->m->node.loop, &d->timer, delay_us + jitter, dial_go);
}

static void dial_failed(struct dial *d, const struct err *e)
{
	rpc_call_cancel(&d->hello);
	rpc_peer_close(MOVE(d->peer));
	if (e->code != E_BUSY && e->code != E_CLOSED)
		quorum_complain(d->q, "master not reached", d->text, e->text);
	dial_later(d, e->code == E_BUSY ? DUPLICATE_US : d->backoff_us);
	d->backoff_us = MIN(d->backoff_us * 2, BACKOFF_MAX_US);
}

/* The other side's answer when it does not take us. */
static void told(struct dial *d, const struct err *e)
{
	if (e->code != E_DENIED || d->q->shut_out)
		return;
	d->q->shut_out = true;
	LOG(ERROR, "a master does not let this one take part", "at=%s reason=%s", d->text, e->text);
}

static void on_hello(struct rpc_call *c, struct str reply, const struct err *failure)
{
	struct dial *d = container_of(c, struct dial, hello);
	struct err e = *failure;
	if (e.code != 0) {
		told(d, &e);
		dial_failed(d, &e);
		return;
	}
	struct rpc_peer *p = d->peer;
	if (greet(d->q, p, reply, true, &e) != 0) {
		refuse(d->q, p, &e);
		dial_failed(d, &e);
		return;
	}
	d->peer = NULL;                 /* the link's now */
	d->backoff_us = BACKOFF_MIN_US;
}

static struct dial *find_dial(struct quorum *q, const struct rpc_peer *p)
{
	list_each(&q->links.dials, it)
		if (list_entry(it, struct dial, link)->peer == p)
			return list_entry(it, struct dial, link);
	return NULL;
}

static void on_open(struct rpc_peer *p)
{
	struct quorum *q = quorum_of(p);
	struct dial *d = find_dial(q, p);
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	char name[128];
	if (!rpc_peer_name(p, name, sizeof(name)) || !cstr_starts(name, "master/"))
		(void)err_set(&e, E_DENIED, "its certificate is not a master's");
	else
		(void)write_hello(q, &out, &e);
	if (e.code != 0)
		dial_failed(d, &e);
	else
		rpc_call_start(p, &d->hello, dcos_Method_MASTER_HELLO, buf_view(&out), HELLO_TIMEOUT_US, on_hello);
}

static void on_closed(struct rpc_peer *p, const struct err *e)
{
	struct quorum *q = quorum_of(p);
	struct dial *d = find_dial(q, p);
	if (d) {
		d->peer = NULL;
		dial_failed(d, e);
	} else {
		links_closed(q, p);
	}
}

static bool is_connected(struct quorum *q, const struct dial *d)
{
	list_each(&q->links.links, it) {
		const struct link *l = list_entry(it, struct link, link);
		char host[SOCK_ADDR_TEXT];
		sock_addr_host(&d->to, host);
		if (strcmp(l->is.ip, host) == 0 && l->is.rpc_port == sock_addr_port(&d->to))
			return true;
	}
	return false;
}

static void dial_go(struct loop_timer *t)
{
	struct dial *d = container_of(t, struct dial, timer);
	struct quorum *q = d->q;
	if (d->peer || is_connected(q, d))
		return;
	d->peer = rpc_connect(q->m->node.loop, &d->to, q->m->node.identity.client, &q->links.handlers, q->m);
}

static bool is_self(const struct quorum *q, const char *text)
{
	char own[SOCK_ADDR_TEXT];
	(void)snprintf(own, sizeof(own), "%s:%u", q->m->node.ip, q->m->config.rpc_port);
	return strcmp(own, text) == 0;
}

static void want(struct quorum *q, const struct sock_addr *to)
{
	char text[SOCK_ADDR_TEXT];
	sock_addr_text(to, text);
	if (is_self(q, text))
		return;
	list_each(&q->links.dials, it) {
		struct dial *d = list_entry(it, struct dial, link);
		if (strcmp(d->text, text) != 0)
			continue;
		d->wanted = true;
		if (!d->peer && !loop_timer_active(&d->timer) && !is_connected(q, d))
			dial_later(d, d->backoff_us);
		return;
	}
	struct dial *d = xcalloc(1, sizeof(*d));
	*d = (struct dial){ .q = q, .to = *to, .backoff_us = BACKOFF_MIN_US, .wanted = true };
	(void)str_put(d->text, sizeof(d->text), str_of(text));
	list_push(&q->links.dials, &d->link);
	loop_timer_start(q->m->node.loop, &d->timer, 0, dial_go);
}

static void dial_free(struct dial *d)
{
	rpc_call_cancel(&d->hello);
	rpc_peer_close(d->peer);
	loop_timer_stop(&d->timer);
	list_remove(&d->link);
	free(d);
}

static void keep(struct quorum *q, const struct sock_addr *addrs, size_t count)
{
	uint32_t hash = (uint32_t)count;
	for (size_t i = 0; i < count; i++)
		hash = hash * 31 + map_hash(&addrs[i].in, sizeof(addrs[i].in));
	if (hash == q->links.kept)
		return;
	q->links.kept = hash;
	known_masters_write(&q->m->node, addrs, count);
	lead_masters_changed(q->m->lead);
}

/* What the book says, kept for the next start; before there is a book, what the last life and the flags say. */
void links_refresh(struct quorum *q)
{
	struct sock_addr addrs[KNOWN_MASTERS_MAX];
	const struct book *b = quorum_book(q);
	struct err e;
	size_t count = 0;
	list_each(&q->links.dials, it)
		list_entry(it, struct dial, link)->wanted = false;
	for (size_t i = 0; i < b->count; i++) {
		const struct master_row *r = &b->rows[i];
		if (r->ip[0] && !r->leaving && sock_addr_parse(&addrs[count], r->ip, r->rpc_port, &e) == 0)
			count++;
	}
	if (count > 0)
		keep(q, addrs, count);
	for (size_t i = 0; i < count; i++)
		want(q, &addrs[i]);
	if (count == 0) {
		count = known_masters_read(&q->m->node, addrs);
		for (size_t i = 0; i < count; i++)
			want(q, &addrs[i]);
	}
	for (size_t i = 0; i < node_master_count(&q->m->node); i++)
		if (node_master_addr(&q->m->node, i, &addrs[0], &e) == 0)
			want(q, &addrs[0]);
	list_each_safe(&q->links.dials, it)
		if (!list_entry(it, struct dial, link)->wanted)
			dial_free(list_entry(it, struct dial, link));
}

/* ---- links ---- */

struct link *links_find(struct quorum *q, const char *fingerprint)
{
	list_each(&q->links.links, it)
		if (strcmp(list_entry(it, struct link, link)->is.fingerprint, fingerprint) == 0)
			return list_entry(it, struct link, link);
	return NULL;
}

struct link *links_find_id(struct quorum *q, uint64_t member_id)
{
	list_each(&q->links.links, it)
		if (list_entry(it, struct link, link)->is.member_id == member_id)
			return list_entry(it, struct link, link);
	return NULL;
}

struct link *links_find_peer(struct quorum *q, const struct rpc_peer *p)
{
	list_each(&q->links.links, it)
		if (list_entry(it, struct link, link)->peer == p)
			return list_entry(it, struct link, link);
	return NULL;
}

/* Its connection is gone or going. */
static void link_end(struct quorum *q, struct link *l)
{
	LOG(INFO, "master disconnected", "name=%s ip=%s", l->is.name, l->is.ip);
	list_remove(&l->link);
	store_peer_lost(q->m->store, l->is.fingerprint);
	free(l);
	quorum_step(q);
	links_refresh(q);
}

void links_closed(struct quorum *q, struct rpc_peer *p)
{
	struct link *l = links_find_peer(q, p);
	if (l)
		link_end(q, l);
}

void links_drop(struct quorum *q, const char *fingerprint)
{
	struct link *l = links_find(q, fingerprint);
	if (!l)
		return;
	rpc_peer_close(l->peer);
	link_end(q, l);
}

/* ---- frames ---- */

void links_serve_frame(struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	struct quorum *q = quorum_of(p);
	struct link *l = links_find_peer(q, p);
	struct err e = { 0 };
	int rc = l && !req ? store_receive(q->m->store, l->is.fingerprint, payload, &e)
			   : err_set(&e, E_DENIED, "a frame of the replicated state before hello");
	if (rc == 0)
		return;
	if (req)
		rpc_fail(req, &e);
	refuse(q, p, &e);
	if (l)
		links_drop(q, l->is.fingerprint);
	else
		rpc_peer_close(p);
}

void links_send(void *ctx, uint64_t member, const char *address, struct str frame)
{
	struct link *l = links_find(ctx, address);
	(void)member;
	if (l)
		rpc_send(l->peer, dcos_Method_MASTER_FRAME, frame);
}

bool links_full(void *ctx, uint64_t member, const char *address)
{
	struct link *l = links_find(ctx, address);
	(void)member;
	return l && rpc_peer_full(l->peer);
}

/* ---- life ---- */

static const struct rpc_method link_methods[] = {
	{ dcos_Method_MASTER_FRAME, "master-frame", links_serve_frame, false },
};

void links_init(struct quorum *q)
{
	list_init(&q->links.links);
	list_init(&q->links.dials);
	q->links.handlers = (struct rpc_handlers){
		.methods = link_methods, .count = ARRAY_LEN(link_methods), .opened = on_open, .closed = on_closed,
	};
}

void links_fini(struct quorum *q)
{
	for (struct list *it; (it = list_pop(&q->links.links));) {
		struct link *l = list_entry(it, struct link, link);
		rpc_peer_close(l->peer);
		free(l);
	}
	list_each_safe(&q->links.dials, it)
		dial_free(list_entry(it, struct dial, link));
}
