/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The big documents: /state, /state-summary, /slaves, /frameworks, /tasks. Each is rendered on a worker thread from one snapshot
 * of the view, so that scheduling never waits for a reader; facts of the master itself are copied before. Tasks are read one at
 * a time: memory is that of the answer.
 */
#include "net/base/log.h"
#include "net/pb_util.h"
#include "roles/master/mesos/mesos_int.h"
#include "roles/master/mesos/state_json.h"

#define DOCUMENT_MAX ((size_t)(2 * GIB))
#define TASKS_LIMIT_DEFAULT 100

/* One request on its way through a worker. */
struct document {
	struct work work;
	struct http_req *req;            /* NULL: the client went away */
	struct kv_txn *txn;
	struct buf out;
	void (*write)(struct document *d);
	struct err err;
	/* What the writer may ask; copied, as the request may end before. */
	char *jsonp, *slave_id, *framework_id, *task_id;
	uint64_t limit, offset;
	bool ascending;
	/* The master itself. */
	char *id, *ip, *hostname, *cluster, *flags;
	uint16_t port;
	int64_t start_us, elected_us, unreachable;
	/* While writing. */
	struct arena arena;              /* rows that stay */
	struct map frameworks, agents;   /* id -> struct framework_doc / agent_doc, in key order of the view */
};

struct framework_doc {
	dcos_ViewFramework row;
	struct buf tasks, unreachable, completed;
	struct state_counts counts;
	struct map slaves;               /* ids of agents with tasks of it */
};

struct agent_doc {
	dcos_ViewAgent row;
	struct state_counts counts;
	struct map frameworks;
};

/* ---- collecting ---- */

static bool add_framework(void *arg, struct str key, struct str value)
{
	struct document *d = arg;
	struct framework_doc *f = arena_new(&d->arena, struct framework_doc);
	f->tasks = f->unreachable = f->completed = (struct buf){ .max = DOCUMENT_MAX };
	if (pb_read(&d->arena, dcos_ViewFramework_fields, value, &f->row, &d->err) != 0)
		return false;
	map_put(&d->frameworks, key, f);
	return true;
}

static bool add_agent(void *arg, struct str key, struct str value)
{
	struct document *d = arg;
	struct agent_doc *a = arena_new(&d->arena, struct agent_doc);
	if (pb_read(&d->arena, dcos_ViewAgent_fields, value, &a->row, &d->err) != 0)
		return false;
	map_put(&d->agents, key, a);
	return true;
}

static void append_task(struct buf *out, const dcos_ViewTask *t)
{
	if (out->len > 0)
		buf_putc(out, ',');
	struct jw w = jw_start(out);
	state_json_task(&w, t);
}

static bool is_unreachable(const struct document *d, const dcos_ViewTask *t)
{
	return !t->completed && (t->state == mesos_v1_TaskState_TASK_UNREACHABLE ||
				 (t->state == mesos_v1_TaskState_TASK_LOST && !map_find_c(&d->agents, t->info->agent_id->value)));
}

static bool add_task(void *arg, struct str key, struct str value)
{
	struct document *d = arg;
	struct arena arena = ARENA_INIT;
	dcos_ViewTask t;
	(void)key;
	if (pb_read(&arena, dcos_ViewTask_fields, value, &t, &d->err) != 0) {
		arena_fini(&arena);
		return false;
	}
	struct framework_doc *f = map_find_c(&d->frameworks, t.framework_id);
	if (f)
		append_task(t.completed ? &f->completed : is_unreachable(d, &t) ? &f->unreachable : &f->tasks, &t);
	arena_fini(&arena);
	return true;
}

static bool count_task(void *arg, struct str key, struct str value)
{
	struct document *d = arg;
	struct arena arena = ARENA_INIT;
	dcos_ViewTask t;
	(void)key;
	if (pb_read(&arena, dcos_ViewTask_fields, value, &t, &d->err) != 0) {
		arena_fini(&arena);
		return false;
	}
	struct framework_doc *f = map_find_c(&d->frameworks, t.framework_id);
	struct agent_doc *a = map_find_c(&d->agents, t.info->agent_id->value);
	if (f) {
		state_counts_add(&f->counts, t.state);
		map_put_c(&f->slaves, t.info->agent_id->value, f);
	}
	if (a) {
		state_counts_add(&a->counts, t.state);
		map_put_c(&a->frameworks, t.framework_id, a);
	}
	arena_fini(&arena);
	return true;
}

/* Read a table of the view; d->err tells when it failed. */
static void collect(struct document *d, int table, bool (*fn)(void *arg, struct str key, struct str value))
{
	if (d->err.code == 0)
		(void)view_each(d->txn, table, fn, d, &d->err);
}

/* ---- writing ---- */

static void write_ids(struct jw *w, const char *key, const struct map *ids)
{
	jw_arr(w, key);
	map_each(ids, entry)
		jw_str(w, NULL, entry->key);
	jw_end(w);
}

static void write_array(struct jw *w, const char *key, const struct buf *items)
{
	AUTO_BUF struct buf text = { .max = DOCUMENT_MAX };
	buf_putc(&text, '[');
	buf_str(&text, buf_view(items));
	buf_putc(&text, ']');
	jw_raw(w, key, buf_view(&text));
}

static void write_slaves(struct document *d, struct jw *w, bool full, bool counts)
{
	jw_arr(w, "slaves");
	map_each(&d->agents, entry) {
		const struct agent_doc *a = entry->value;
		if (d->slave_id && strcmp(d->slave_id, entry->key) != 0)
			continue;
		state_json_agent_open(w, &a->row, full);
		if (counts) {
			state_counts_write(w, &a->counts);
			write_ids(w, "framework_ids", &a->frameworks);
		}
		jw_end(w);
	}
	jw_end(w);
}

static void write_framework(struct jw *w, const struct framework_doc *f)
{
	state_json_framework_open(w, &f->row);
	state_json_framework_full(w, &f->row);
	write_array(w, "tasks", &f->tasks);
	write_array(w, "unreachable_tasks", &f->unreachable);
	write_array(w, "completed_tasks", &f->completed);
	jw_arr(w, "offers");
	jw_end(w);
	jw_arr(w, "executors");
	jw_end(w);
	jw_end(w);
}

static void write_frameworks(struct document *d, struct jw *w, const char *key, bool completed)
{
	jw_arr(w, key);
	map_each(&d->frameworks, entry) {
		const struct framework_doc *f = entry->value;
		if (f->row.has_unregistered_us == completed && (!d->framework_id || strcmp(d->framework_id, entry->key) == 0))
			write_framework(w, f);
	}
	jw_end(w);
}

static void write_empty_array(struct jw *w, const char *key)
{
	jw_arr(w, key);
	jw_end(w);
}

static void write_leader(struct document *d, struct jw *w)
{
	AUTO_FREE char *pid = xasprintf("master@%s:%u", d->ip, d->port);
	jw_str(w, "leader", pid);
	jw_obj(w, "leader_info");
	jw_str(w, "id", d->id);
	jw_str(w, "pid", pid);
	jw_int(w, "port", d->port);
	jw_str(w, "hostname", d->hostname);
	jw_end(w);
}

static void write_master(struct document *d, struct jw *w)
{
	static const char *const capabilities[] = { "AGENT_UPDATE" };
	AUTO_FREE char *pid = xasprintf("master@%s:%u", d->ip, d->port);
	int64_t active = 0;
	map_each(&d->agents, entry)
		active += ((const struct agent_doc *)entry->value)->row.active;
	endpoints_version(w);
	jw_num(w, "start_time", (double)d->start_us / 1e6);
	jw_num(w, "elected_time", (double)d->elected_us / 1e6);
	jw_str(w, "id", d->id);
	jw_str(w, "pid", pid);
	jw_str(w, "hostname", d->hostname);
	jw_arr(w, "capabilities");
	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++)
		jw_str(w, NULL, capabilities[i]);
	jw_end(w);
	jw_int(w, "activated_slaves", active);
	jw_int(w, "deactivated_slaves", (int64_t)map_count(&d->agents) - active);
	jw_int(w, "unreachable_slaves", d->unreachable);
	jw_str(w, "cluster", d->cluster);
	write_leader(d, w);
	jw_raw(w, "flags", str_of(d->flags));
}

static void write_state(struct document *d)
{
	collect(d, dcos_ViewTable_VIEW_FRAMEWORK, add_framework);
	collect(d, dcos_ViewTable_VIEW_AGENT, add_agent);
	collect(d, dcos_ViewTable_VIEW_TASK, add_task);
	struct jw w = jw_start(&d->out);
	jw_obj(&w, NULL);
	write_master(d, &w);
	write_slaves(d, &w, false, false);
	write_empty_array(&w, "recovered_slaves");
	write_frameworks(d, &w, "frameworks", false);
	write_frameworks(d, &w, "completed_frameworks", true);
	write_empty_array(&w, "orphan_tasks");
	write_empty_array(&w, "unregistered_frameworks");
	jw_end(&w);
}

static void write_summary(struct document *d)
{
	collect(d, dcos_ViewTable_VIEW_FRAMEWORK, add_framework);
	collect(d, dcos_ViewTable_VIEW_AGENT, add_agent);
	collect(d, dcos_ViewTable_VIEW_TASK, count_task);
	struct jw w = jw_start(&d->out);
	jw_obj(&w, NULL);
	jw_str(&w, "hostname", d->hostname);
	jw_str(&w, "cluster", d->cluster);
	write_slaves(d, &w, false, true);
	jw_arr(&w, "frameworks");
	map_each(&d->frameworks, entry) {
		const struct framework_doc *f = entry->value;
		if (f->row.has_unregistered_us)
			continue;
		state_json_framework_open(&w, &f->row);
		state_counts_write(&w, &f->counts);
		write_ids(&w, "slave_ids", &f->slaves);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
}

static void write_slaves_document(struct document *d)
{
	collect(d, dcos_ViewTable_VIEW_AGENT, add_agent);
	struct jw w = jw_start(&d->out);
	jw_obj(&w, NULL);
	write_slaves(d, &w, true, false);
	write_empty_array(&w, "recovered_slaves");
	jw_end(&w);
}

static void write_frameworks_document(struct document *d)
{
	collect(d, dcos_ViewTable_VIEW_FRAMEWORK, add_framework);
	collect(d, dcos_ViewTable_VIEW_AGENT, add_agent);
	collect(d, dcos_ViewTable_VIEW_TASK, add_task);
	struct jw w = jw_start(&d->out);
	jw_obj(&w, NULL);
	write_frameworks(d, &w, "frameworks", false);
	write_frameworks(d, &w, "completed_frameworks", true);
	write_empty_array(&w, "unregistered_frameworks");
	jw_end(&w);
}

/* ---- /tasks: a page, in order of the first status ---- */

struct task_ref {
	double at;             /* of the first status; 0: none yet */
	const char *key;
};

struct page {
	struct document *d;
	struct task_ref *v;
	size_t count, cap;
};

static bool add_ref(void *arg, struct str key, struct str value)
{
	struct page *p = arg;
	struct arena arena = ARENA_INIT;
	dcos_ViewTask t;
	int rc = pb_read(&arena, dcos_ViewTask_fields, value, &t, &p->d->err);
	bool wanted = rc == 0 && (!p->d->framework_id || cstr_eq(p->d->framework_id, t.framework_id)) &&
		      (!p->d->task_id || cstr_eq(p->d->task_id, t.info->task_id->value));
	if (wanted && p->count == p->cap) {
		p->cap = MAX(2 * p->cap, (size_t)64);
		p->v = xrealloc(p->v, p->cap * sizeof(*p->v));
	}
	if (wanted)
		p->v[p->count++] = (struct task_ref){ t.statuses_count > 0 ? t.statuses[0].timestamp : 0, arena_str(&p->d->arena, key) };
	arena_fini(&arena);
	return rc == 0;
}

static int ref_cmp(const void *a, const void *b)
{
	const struct task_ref *x = a, *y = b;
	if (x->at < y->at || x->at > y->at)
		return x->at < y->at ? -1 : 1;
	return strcmp(x->key, y->key);
}

static void write_ref(struct document *d, struct jw *w, const struct task_ref *ref)
{
	struct arena arena = ARENA_INIT;
	dcos_ViewTask t;
	struct str value;
	if (d->err.code == 0 && view_get(d->txn, dcos_ViewTable_VIEW_TASK, str_of(ref->key), &value, &d->err) == 0 &&
	    pb_read(&arena, dcos_ViewTask_fields, value, &t, &d->err) == 0)
		state_json_task(w, &t);
	arena_fini(&arena);
}

static void write_tasks(struct document *d)
{
	struct page p = { .d = d };
	if (view_each(d->txn, dcos_ViewTable_VIEW_TASK, add_ref, &p, &d->err) == 0 && p.count > 0)
		qsort(p.v, p.count, sizeof(*p.v), ref_cmp);
	struct jw w = jw_start(&d->out);
	jw_obj(&w, NULL);
	jw_arr(&w, "tasks");
	for (uint64_t i = d->offset; i < p.count && i - d->offset < d->limit; i++)
		write_ref(d, &w, &p.v[d->ascending ? i : p.count - 1 - i]);
	jw_end(&w);
	jw_end(&w);
	free(p.v);
}

/* ---- the way through a worker ---- */

static void document_free(struct document *d)
{
	map_each(&d->frameworks, entry) {
		struct framework_doc *f = entry->value;
		buf_fini(&f->tasks);
		buf_fini(&f->unreachable);
		buf_fini(&f->completed);
		map_fini(&f->slaves);
	}
	map_each(&d->agents, entry)
		map_fini(&((struct agent_doc *)entry->value)->frameworks);
	map_fini(&d->frameworks);
	map_fini(&d->agents);
	arena_fini(&d->arena);
	buf_fini(&d->out);
	free(d->jsonp);
	free(d->slave_id);
	free(d->framework_id);
	free(d->task_id);
	free(d->id);
	free(d->ip);
	free(d->hostname);
	free(d->cluster);
	free(d->flags);
	free(d);
}

static void on_work(struct work *w)
{
	struct document *d = container_of(w, struct document, work);
	d->write(d);
	if (d->err.code == 0 && !buf_ok(&d->out))
		err_set(&d->err, E_TOOBIG, "the answer is larger than %zu MiB; ask for parts of it with /tasks", DOCUMENT_MAX / (size_t)MIB);
}

static void on_done(struct work *w)
{
	struct document *d = container_of(w, struct document, work);
	kv_abort(d->txn);
	if (d->req) {
		d->req->gone = NULL;
		if (d->err.code != 0)
			http_reply_err(d->req, &d->err);
		else
			endpoints_reply(d->req, d->jsonp, &d->out);
	}
	document_free(d);
}

static void on_gone(struct http_req *r) { ((struct document *)r->user)->req = NULL; }

static char *query_dup(struct http_req *r, const char *name)
{
	struct str v = http_query(r, name);
	return v.p && v.len > 0 ? str_dup(v) : NULL;
}

static void set_facts(struct document *d, struct mesos *ms)
{
	const struct master *m = ms->master;
	AUTO_BUF struct buf flags = BUF_INIT;
	endpoints_flags(ms, &flags);
	d->flags = xstrdup(buf_cstr(&flags));
	d->id = xstrdup(m->id);
	d->ip = xstrdup(m->node.ip);
	d->hostname = xstrdup(m->node.hostname);
	d->cluster = xstrdup(m->node.config->cluster);
	d->port = m->config.mesos_port;
	d->start_us = m->node.started_unix_us;
	d->elected_us = m->elected_unix_us;
	list_each(&ms->model->agent_list, it)
		d->unreachable += list_entry(it, struct agent, link)->sm.state == AGENT_UNREACHABLE;
}

static void start(struct http_req *r, void (*write)(struct document *d))
{
	struct mesos *ms = r->arg;
	struct err e = { 0 };
	struct kv_txn *txn;
	uint64_t n;
	if (!mesos_leads_or_redirect(ms, r))
		return;
	if (view_begin(ms->master->node.view, &txn, &e) != 0) {
		http_reply_err(r, &e);
		return;
	}
	struct document *d = xcalloc(1, sizeof(*d));
	*d = (struct document){ .req = r, .txn = txn, .write = write, .out.max = DOCUMENT_MAX, .arena = ARENA_INIT, .limit = TASKS_LIMIT_DEFAULT };
	d->jsonp = query_dup(r, "jsonp");
	d->slave_id = query_dup(r, "slave_id");
	d->framework_id = query_dup(r, "framework_id");
	d->task_id = query_dup(r, "task_id");
	d->ascending = str_eq_c(http_query(r, "order"), "asc");
	if (str_u64(http_query(r, "limit"), &n))
		d->limit = n;
	if (str_u64(http_query(r, "offset"), &n))
		d->offset = n;
	set_facts(d, ms);
	r->user = d;
	r->gone = on_gone;
	work_submit(ms->loop, &d->work, on_work, on_done);
}

void documents_state(struct http_req *r) { start(r, write_state); }
void documents_summary(struct http_req *r) { start(r, write_summary); }
void documents_slaves(struct http_req *r) { start(r, write_slaves_document); }
void documents_frameworks(struct http_req *r) { start(r, write_frameworks_document); }
void documents_tasks(struct http_req *r) { start(r, write_tasks); }
