/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the leading master does about the others, one change at a time, begun again from what is so after each:
 *
 *   somebody is being removed        row marked `leaving` --> out of the members --> row gone
 *   a connected one is no member     made a member, under the id it says; the store knows a former self by its key
 *   a row says something else        than its master does (or is missing, for this one): row written
 *
 * The order matters to whoever leads next: a mark survives its leader, and nobody is let in whose row is gone.
 */
#include "roles/master/quorum_int.h"

#include <stdio.h>
#include <sys/stat.h>

#include "gen/version.h"
#include "net/base/log.h"
#include "roles/known_masters.h"
#include "roles/master/lead.h"
#include "roles/master/mesos/mesos.h"
#include "store/disk.h"

#define CHANGE_TIMEOUT_US (10 * SEC)
#define RETRY_US (300 * MSEC)
#define COMPLAINT_US MINUTE
#define BOOK_MAX_AGE_US SEC          /* a snapshot replaces it without a command */

/* ---- small answers ---- */

void quorum_self(const struct quorum *q, struct master_row *out)
{
	const struct master *m = q->m;
	*out = (struct master_row){ .rpc_port = m->config.rpc_port, .mesos_port = m->config.mesos_port,
				    .marathon_port = m->config.marathon_port, .adminrouter_port = m->config.adminrouter_port,
				    .member_id = store_member_id(m->store), .feature_level = FEATURE_LEVEL };
	(void)str_put(out->fingerprint, sizeof(out->fingerprint), str_of(m->node.identity.fingerprint));
	(void)str_put(out->name, sizeof(out->name), str_of(m->node.name));
	(void)str_put(out->ip, sizeof(out->ip), str_of(m->node.ip));
	(void)str_put(out->version, sizeof(out->version), str_of(DCOS_NODE_VERSION));
}

const struct book *quorum_book(struct quorum *q)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	struct err e = { 0 };
	int64_t now = loop_now_us(q->m->node.loop);
	if (!q->started || (!q->book_stale && now - q->book_us < BOOK_MAX_AGE_US))
		return &q->book;
	q->book_stale = false;
	q->book_us = now;
	if (store_read(q->m->store, &txn, &e) != 0 || book_read(txn, &q->book, &e) != 0)
		quorum_complain(q, "list of masters not read", "", e.text);
	return &q->book;
}

const struct store_member *quorum_member(const struct store_member *all, size_t count, uint64_t id, const char *fingerprint)
{
	for (size_t i = 0; i < count; i++)
		if ((id != 0 && all[i].id == id) || (fingerprint && strcmp(all[i].address, fingerprint) == 0))
			return &all[i];
	return NULL;
}

int quorum_leader(struct quorum *q, struct master_row *out, bool *self, struct err *e)
{
	uint64_t id = store_leader(q->m->store);
	struct link *l = links_find_id(q, id);
	const struct master_row *row = book_find_id(quorum_book(q), id);
	*out = (struct master_row){ .member_id = 0 };
	*self = store_leads(q->m->store);
	if (*self)
		quorum_self(q, out);
	else if (id != 0 && l)
		*out = l->is;
	else if (id != 0 && row && row->ip[0] && id != store_member_id(q->m->store))
		*out = *row;
	else
		return err_set(e, E_NOTLEADER, "the masters have no leader at this moment");
	return 0;
}

void quorum_complain(struct quorum *q, const char *what, const char *who, const char *reason)
{
	AUTO_FREE char *all = xasprintf("%s|%s|%s", what, who, reason);
	uint32_t hash = map_hash(all, strlen(all));
	int64_t now = loop_now_us(q->m->node.loop);
	for (size_t i = 0; i < COMPLAINTS; i++)
		if (q->complaints[i].hash == hash && q->complaints[i].us + COMPLAINT_US > now && q->complaints[i].us != 0)
			return;
	q->complaints[q->next_complaint % COMPLAINTS].hash = hash;
	q->complaints[q->next_complaint++ % COMPLAINTS].us = now;
	LOG(WARN, what, "who=\"%s\" reason=\"%s\"", who, reason);
}

void quorum_addresses(struct quorum *q, struct arena *a, dcos_Leader *out)
{
	const struct book *b = quorum_book(q);
	out->masters = arena_array(a, dcos_MasterAddress, b->count + 1);
	for (size_t i = 0; i < b->count; i++)
		if (b->rows[i].ip[0] && !b->rows[i].leaving)
			out->masters[out->masters_count++] = (dcos_MasterAddress){
				.ip = arena_strdup(a, b->rows[i].ip), .has_rpc_port = true, .rpc_port = b->rows[i].rpc_port,
			};
}

/* ---- the leader's changes ---- */

static void on_retry(struct loop_timer *t) { quorum_step(container_of(t, struct quorum, retry)); }

static void on_changed(struct propose *p, struct str reply, const struct err *e)
{
	struct quorum *q = container_of(p, struct quorum, change);
	(void)reply;
	q->changing = false;
	if (e->code == 0) {
		quorum_step(q);
		return;
	}
	if (e->code != E_BUSY)
		quorum_complain(q, "masters not changed", "", e->text);
	if (q->removal.req && e->code != E_BUSY)
		api_removed(q, e);
	loop_timer_start(q->m->node.loop, &q->retry, RETRY_US, on_retry);
}

static void change_book(struct quorum *q, const struct buf *b)
{
	q->changing = true;
	store_propose(q->m->store, rec_Op_OP_MASTERS, buf_view(b), CHANGE_TIMEOUT_US, &q->change, on_changed);
}

static void write_row(struct quorum *q, const struct master_row *row)
{
	AUTO_BUF struct buf b = BUF_INIT;
	book_write_row(row, &b);
	change_book(q, &b);
}

static bool step_removal(struct quorum *q, const struct book *b, const struct store_member *all, size_t count)
{
	const struct master_row *row = NULL;
	for (size_t i = 0; i < b->count && !row; i++)
		row = b->rows[i].leaving ? &b->rows[i] : NULL;
	if (!row && !q->removal.req)
		return false;
	if (!row)
		row = book_find(b, q->removal.fingerprint);
	const struct store_member *member = quorum_member(all, count, row ? 0 : q->removal.id, row ? row->fingerprint : NULL);
	if (row && !row->leaving) {
		struct master_row leaving = *row;
		leaving.leaving = true;
		write_row(q, &leaving);
	} else if (member) {
		LOG(INFO, "removing a master", "name=%s member=%llu", row ? row->name : "?", (unsigned long long)member->id);
		q->changing = true;
		store_member_remove(q->m->store, member->id, CHANGE_TIMEOUT_US, &q->change, on_changed);
	} else if (row) {
		AUTO_BUF struct buf out = BUF_INIT;
		links_drop(q, row->fingerprint);
		book_write_removed(row->fingerprint, &out);
		change_book(q, &out);
	} else {
		struct err none = { 0 };
		api_removed(q, &none);
		return false;
	}
	return true;
}

/* Made anew from one survivor: the lost ones hold another truth and must not come in with it. */
static bool step_recovered(struct quorum *q, const struct book *b)
{
	AUTO_FREE char *path = node_path(&q->m->node, RECOVERED_FILE);
	AUTO_BUF struct buf text = { .max = (size_t)(64 * KIB) };
	struct err e = { 0 };
	if (!q->recovered)
		return false;
	int rc = disk_read_file(&disk_real, path, (size_t)(64 * KIB), &text, &e);
	if (rc != 0 && rc != E_NOTFOUND)
		quorum_complain(q, "lost masters not known", path, e.text);
	for (struct str rest = buf_view(&text); rest.p && rest.len > 0;) {
		AUTO_FREE char *fingerprint = str_dup(str_cut(&rest, '\n'));
		if (!book_find(b, fingerprint))
			continue;
		AUTO_BUF struct buf out = BUF_INIT;
		links_drop(q, fingerprint);
		book_write_removed(fingerprint, &out);
		change_book(q, &out);
		return true;
	}
	q->recovered = false;
	(void)unlink(path);
	return false;
}

static bool step_member(struct quorum *q, const struct book *b, const struct store_member *all, size_t count)
{
	list_each(&q->links.links, it) {
		struct link *l = list_entry(it, struct link, link);
		const struct store_member *member = quorum_member(all, count, l->is.member_id, NULL);
		const struct master_row *row = book_find(b, l->is.fingerprint);
		if (member || !row || row->leaving)
			continue;
		LOG(INFO, "taking a master in", "name=%s member=%llu key=%s", l->is.name, (unsigned long long)l->is.member_id,
		    l->is.fingerprint);
		q->changing = true;
		store_member_add(q->m->store, l->is.member_id, l->is.fingerprint, CHANGE_TIMEOUT_US, &q->change, on_changed);
		return true;
	}
	return false;
}

static bool step_row(struct quorum *q, const struct book *b, const struct master_row *is)
{
	const struct master_row *row = book_find(b, is->fingerprint);
	if (row && (row->leaving || book_row_eq(row, is)))
		return false;
	if (row && row->ip[0] && strcmp(row->ip, is->ip) != 0)
		LOG(INFO, "a master has moved", "name=%s from=%s to=%s", is->name, row->ip, is->ip);
	write_row(q, is);
	return true;
}

static bool step_rows(struct quorum *q, const struct book *b)
{
	struct master_row self;
	quorum_self(q, &self);
	if (step_row(q, b, &self))
		return true;
	list_each(&q->links.links, it)
		if (step_row(q, b, &list_entry(it, struct link, link)->is))
			return true;
	return false;
}

/* The lowest level of all members: what newer commands wait for. */
static void set_level(struct quorum *q, const struct book *b, const struct store_member *all, size_t count)
{
	uint32_t lowest = FEATURE_LEVEL;
	for (size_t i = 0; i < b->count; i++)
		if (b->rows[i].ip[0] && quorum_member(all, count, 0, b->rows[i].fingerprint))
			lowest = MIN(lowest, b->rows[i].feature_level);
	store_feature_level(q->m->store, lowest);
}

/* For the view and for requests that only the leader can answer. */
static void point_to_leader(struct quorum *q)
{
	struct master_row leader;
	struct sock_addr to;
	struct err e;
	bool self;
	if (quorum_leader(q, &leader, &self, &e) == 0 && !self && sock_addr_parse(&to, leader.ip, leader.rpc_port, &e) == 0)
		lead_changed(q->m->lead, &to);
}

static void step(struct loop_defer *d)
{
	struct quorum *q = container_of(d, struct quorum, again);
	struct store_member all[STORE_MEMBERS_MAX];
	if (!q->started)
		return;
	q->book_stale = true;
	links_refresh(q);
	point_to_leader(q);
	mesos_masters_changed(q->m->mesos);
	if (!store_leads(q->m->store) || q->changing)
		return;
	const struct book *b = quorum_book(q);
	size_t count = store_members(q->m->store, all);
	set_level(q, b, all, count);
	if (!step_recovered(q, b) && !step_removal(q, b, all, count) && !step_member(q, b, all, count) && !step_rows(q, b))
		join_offer_first(q);
}

void quorum_step(struct quorum *q) { loop_defer(q->m->node.loop, &q->again, step); }

/* ---- life ---- */

static void on_members(void *arg) { quorum_step(arg); }
static void on_role(void *arg, bool leads)
{
	struct quorum *q = arg;
	struct err e = { 0 };
	if (!leads && q->removal.req) {
		(void)err_set(&e, E_NOTLEADER, "this master leads no longer; ask the new leader whether the removal is done");
		api_removed(q, &e);
	}
	quorum_step(q);
}

static void on_applied(void *arg, uint64_t index)
{
	struct quorum *q = arg;
	(void)index;
	if (q->book_stale)
		quorum_step(q);
}

struct quorum *quorum_new(struct master *m)
{
	struct quorum *q = xcalloc(1, sizeof(*q));
	q->m = m;
	q->recovered = true;            /* maybe: the first time we lead tells */
	q->net = (struct store_net){ .ctx = q, .send = links_send, .full = links_full };
	list_init(&q->joins);
	list_init(&q->asks);
	links_init(q);
	return q;
}

const struct store_net *quorum_net(struct quorum *q) { return &q->net; }

void quorum_attach(struct quorum *q)
{
	store_register(q->m->store, book_tables, book_ops, ARRAY_LEN(book_ops), q);
	store_on_role(q->m->store, on_role, q);
	store_on_members(q->m->store, on_members, q);
	store_on_applied(q->m->store, on_applied, q);
}

void quorum_start(struct quorum *q)
{
	q->started = true;
	quorum_step(q);
}

void quorum_free(struct quorum *q)
{
	if (!q)
		return;
	propose_cancel(&q->change);
	loop_timer_stop(&q->retry);
	loop_defer_cancel(&q->again);
	join_fini(q);
	api_fini(q);
	links_fini(q);
	free(q);
}

void quorum_peer_closed(struct quorum *q, struct rpc_peer *p)
{
	join_closed(q, p);
	links_closed(q, p);
}

void quorum_peer_refused(struct rpc_peer *p, const struct err *e)
{
	struct sock_addr from;
	char where[SOCK_ADDR_TEXT];
	rpc_peer_addr(p, &from);
	sock_addr_host(&from, where);
	quorum_complain(quorum_of(p), "connection refused", where, e->text);
	rpc_peer_close(p);
}

/* Masters named by --masters that are not this one. */
static size_t others_in_flags(struct master *m)
{
	struct sock_addr own, to;
	char text[SOCK_ADDR_TEXT], own_text[SOCK_ADDR_TEXT];
	struct err ignored;
	size_t others = 0;
	if (sock_addr_parse(&own, m->node.ip, m->config.rpc_port, &ignored) != 0)
		return 0;
	sock_addr_text(&own, own_text);
	for (size_t i = 0; i < node_master_count(&m->node); i++) {
		if (node_master_addr(&m->node, i, &to, &ignored) != 0)
			continue;
		sock_addr_text(&to, text);
		others += strcmp(text, own_text) != 0;
	}
	return others;
}

int quorum_forget(struct master *m, const char *dir, struct err *e)
{
	struct sock_addr addrs[KNOWN_MASTERS_MAX];
	struct err reason = *e;
	/* The file names every master, this one included, perhaps under an address that it had before. */
	if (known_masters_file(&m->node, addrs) < 2 && others_in_flags(m) == 0)
		return reason.code;
	LOG(ERROR, "this master's state is damaged, it is moved aside and fetched from the other masters", "dir=%s damage=\"%s\"", dir,
	    reason.text);
	return store_forget(dir, e);
}
