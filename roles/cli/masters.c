/* SPDX-License-Identifier: Apache-2.0 */
/* See masters.h. */
#include "roles/cli/masters.h"

#include <stdio.h>

#include "net/http.h"

/* ---- reading answers ---- */

size_t masters_hosts(yyjson_val *answer, char out[MASTERS_MAX][64])
{
	yyjson_arr_iter it;
	yyjson_val *row;
	size_t n = 0;
	yyjson_arr_iter_init(answer, &it);
	while (n < MASTERS_MAX && (row = yyjson_arr_iter_next(&it))) {
		struct str host = str_of(json_str(row, "hostname", ""));
		n += host.len > 0 && str_put(out[n], sizeof(out[n]), host);
	}
	return n;
}

static bool leads_in(yyjson_val *answer, const char *host)
{
	yyjson_arr_iter it;
	yyjson_val *row;
	yyjson_arr_iter_init(answer, &it);
	while ((row = yyjson_arr_iter_next(&it)))
		if (strcmp(json_str(row, "hostname", ""), host) == 0)
			return json_bool(row, "isLeader", false);
	return false;
}

/* A leader's account of itself and the others, else whose comes first. */
static yyjson_val *best_answer(const char *const *hosts, yyjson_val *const *answers, size_t count)
{
	yyjson_val *best = NULL;
	for (size_t i = 0; i < count; i++) {
		if (answers[i] && leads_in(answers[i], hosts[i]))
			return answers[i];
		if (!best)
			best = answers[i];
	}
	return best;
}

static struct master_seen *row_of(struct masters *m, const char *host)
{
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->rows[i].host, host) == 0)
			return &m->rows[i];
	if (m->count == MASTERS_MAX)
		return NULL;
	struct master_seen *s = &m->rows[m->count++];
	*s = (struct master_seen){ 0 };
	(void)str_put(s->host, sizeof(s->host), str_of(host));    /* cut short: found by nobody */
	return s;
}

void masters_merge(struct masters *m, const char *const *hosts, yyjson_val *const *answers, size_t count)
{
	yyjson_arr_iter it;
	yyjson_val *row;
	*m = (struct masters){ 0 };
	for (size_t i = 0; i < count; i++) {
		struct master_seen *s = row_of(m, hosts[i]);
		if (s)
			s->answered = answers[i] != NULL;
	}
	yyjson_arr_iter_init(best_answer(hosts, answers, count), &it);
	while ((row = yyjson_arr_iter_next(&it))) {
		struct master_seen *s = row_of(m, json_str(row, "hostname", ""));
		if (!s)
			return;
		s->member = true;
		s->voter = json_bool(row, "voter", true);
		s->leads = s->answered && json_bool(row, "isLeader", false);
	}
}

const struct master_seen *masters_find(const struct masters *m, const char *host)
{
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->rows[i].host, host) == 0)
			return &m->rows[i];
	return NULL;
}

const struct master_seen *masters_leader(const struct masters *m)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->rows[i].leads)
			return &m->rows[i];
	return NULL;
}

size_t masters_voters(const struct masters *m)
{
	size_t n = 0;
	for (size_t i = 0; i < m->count; i++)
		n += m->rows[i].member && m->rows[i].voter;
	return n;
}

const char *masters_role(const struct master_seen *s)
{
	if (!s->answered)
		return "down";
	if (!s->member)
		return "joining";
	return s->leads ? "leader" : s->voter ? "follower" : "learner";
}

/* ---- what is wrong ---- */

/* Voters that do not answer, separated by ", "; returns how many. */
static size_t lost_voters(const struct masters *m, struct buf *out)
{
	size_t n = 0;
	for (size_t i = 0; i < m->count; i++) {
		const struct master_seen *s = &m->rows[i];
		if (s->answered || !s->voter)
			continue;
		buf_printf(out, "%s%s", n > 0 ? ", " : "", s->host);
		n++;
	}
	return n;
}

void masters_warnings(const struct masters *m, struct buf *out)
{
	AUTO_BUF struct buf lost = BUF_INIT;
	size_t voters = masters_voters(m), gone = lost_voters(m, &lost), spare = voters > 0 ? (voters - 1) / 2 : 0;
	bool anybody = false;
	for (size_t i = 0; i < m->count; i++)
		anybody = anybody || m->rows[i].answered;
	if (voters == 0 && anybody)
		buf_puts(out, "the masters that answer belong to no quorum yet; they wait for one that lets them in\n");
	else if (voters == 0)
		buf_puts(out, "no master answers: names, virtual IPs and running tasks stay as they are, nothing can be changed; start a master\n");
	else if (gone > spare)
		buf_printf(out, "%zu of %zu voting masters (%s) do not answer: nothing can be changed until a majority is back; if they are lost "
			   "for ever, `dcos-node master recover` makes a new quorum of the best that is left\n", gone, voters, buf_cstr(&lost));
	else if (gone > 0)
		buf_printf(out, "%zu of %zu voting masters (%s) %s not answer: the cluster survives the loss of %zu more; start again what is "
			   "lost, or replace it: `dcos-node master remove`, then join a new one\n", gone, voters, buf_cstr(&lost),
			   gone == 1 ? "does" : "do", spare - gone);
	if (voters > 0 && gone <= spare && !masters_leader(m))
		buf_puts(out, "no master leads at this moment; an election takes about a second\n");
	if (voters > 0 && voters % 2 == 0)
		buf_printf(out, "%zu masters vote: an even number survives no more failures than %zu; join one or remove one\n", voters, voters - 1);
}

/* ---- asking ---- */

struct question {
	struct masters_ask *all;
	char host[64];
	struct http_call *call;      /* NULL: it is over */
	yyjson_doc *answer;          /* NULL: none */
};

struct masters_ask {
	struct question rows[MASTERS_MAX];
	size_t count, open;
	struct loop *loop;
	struct loop_defer defer;     /* when there is nobody to ask */
	void (*done)(void *arg, const struct masters *m);
	void *arg;
};

static void ask_free(struct masters_ask *a)
{
	for (size_t i = 0; i < a->count; i++) {
		http_call_cancel(a->rows[i].call);
		yyjson_doc_free(a->rows[i].answer);
	}
	loop_defer_cancel(&a->defer);
	free(a);
}

void masters_ask_cancel(struct masters_ask *a)
{
	if (a)
		ask_free(a);
}

static void ask_finish(struct masters_ask *a)
{
	const char *hosts[MASTERS_MAX];
	yyjson_val *answers[MASTERS_MAX];
	struct masters m;
	for (size_t i = 0; i < a->count; i++) {
		hosts[i] = a->rows[i].host;
		answers[i] = a->rows[i].answer ? yyjson_doc_get_root(a->rows[i].answer) : NULL;
	}
	masters_merge(&m, hosts, answers, a->count);
	void (*done)(void *, const struct masters *) = a->done;
	void *arg = a->arg;
	ask_free(a);
	done(arg, &m);
}

static void question_on_done(struct http_call *c, const struct http_answer *a, const struct err *failure)
{
	struct question *q = http_call_arg(c);
	q->call = NULL;
	if (failure->code == 0 && a->status == 200)
		q->answer = yyjson_read(a->body.p, a->body.len, 0);
	if (q->answer && !yyjson_is_arr(yyjson_doc_get_root(q->answer)))
		yyjson_doc_free(MOVE(q->answer));
	if (--q->all->open == 0)
		ask_finish(q->all);
}

static void on_nobody(struct loop_defer *d) { ask_finish(container_of(d, struct masters_ask, defer)); }

struct masters_ask *masters_ask_start(struct loop *l, const char *const *urls, size_t count, int64_t timeout_us,
				      void (*done)(void *arg, const struct masters *m), void *arg)
{
	static const struct http_call_events ev = { .done = question_on_done };
	struct masters_ask *a = xcalloc(1, sizeof(*a));
	*a = (struct masters_ask){ .loop = l, .done = done, .arg = arg };
	for (size_t i = 0; i < count && a->count < MASTERS_MAX; i++) {
		AUTO_FREE char *url = xasprintf("%s" MASTERS_STATUS_PATH, urls[i]);
		struct question *q = &a->rows[a->count];
		struct http_call_spec spec = { .method = GET, .url = url, .timeout_us = timeout_us };
		struct url u;
		if (!url_parse(urls[i], &u) || !str_put(q->host, sizeof(q->host), u.host))
			continue;
		q->all = a;
		q->call = http_call_start(l, &spec, &ev, q);
		a->count++;
		a->open++;
	}
	if (a->open == 0)
		loop_defer(l, &a->defer, on_nobody);
	return a;
}
