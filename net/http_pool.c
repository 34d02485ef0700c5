/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idle connections in the order they were put, so the oldest stand in front; a bound on their number and age. One
 * that says anything while idle, even good-bye, is closed.
 */
#include "net/http_pool.h"

#include "net/limits.h"

struct http_pool {
	struct loop *loop;               /* borrowed; its slot owns us */
	struct list idle;
	size_t count;
	struct loop_timer sweep;
	struct tls_ctx *unverified;      /* owned; NULL until needed */
};

struct idle {
	struct list link;
	struct http_pool *pool;
	struct stream *stream;           /* owned */
	struct http_pool_key key;
	int64_t since_us;
};

static struct stream *idle_remove(struct idle *it)
{
	struct stream *s = it->stream;
	list_remove(&it->link);
	it->pool->count--;
	free(it);
	return s;
}

static void idle_on_bytes(struct stream *s) { stream_free(idle_remove(stream_arg(s))); }

static void idle_on_closed(struct stream *s, const struct err *e)
{
	(void)e;   /* whoever needs it next connects again */
	stream_free(idle_remove(stream_arg(s)));
}

static const struct stream_events idle_events = {
	.data = idle_on_bytes, .eof = idle_on_bytes, .closed = idle_on_closed,
};

static void pool_sweep(struct loop_timer *t)
{
	struct http_pool *p = container_of(t, struct http_pool, sweep);
	list_each_safe(&p->idle, at) {
		struct idle *it = list_entry(at, struct idle, link);
		if (loop_now_us(p->loop) - it->since_us < LIMIT_HTTP_POOL_IDLE_US)
			break;
		stream_free(idle_remove(it));
	}
	if (p->count > 0)
		loop_timer_start_lazy(p->loop, &p->sweep, LIMIT_HTTP_POOL_IDLE_US / 2, pool_sweep);
}

static void pool_free(void *value)
{
	struct http_pool *p = value;
	list_each_safe(&p->idle, at)
		stream_free(idle_remove(list_entry(at, struct idle, link)));
	loop_timer_stop(&p->sweep);
	tls_ctx_free(p->unverified);
	free(p);
}

static struct http_pool *pool_of(struct loop *l)
{
	struct http_pool *p = loop_slot_get(l, LOOP_SLOT_HTTP_POOL);
	if (p)
		return p;
	p = xcalloc(1, sizeof(*p));
	p->loop = l;
	list_init(&p->idle);
	loop_slot_set(l, LOOP_SLOT_HTTP_POOL, p, pool_free);
	return p;
}

static bool alike(const struct http_pool_key *a, const struct http_pool_key *b)
{
	return a->tls == b->tls && a->addr.len == b->addr.len &&
	       memcmp(&a->addr.storage, &b->addr.storage, a->addr.len) == 0 && strcmp(a->host, b->host) == 0;
}

struct stream *http_pool_take(struct loop *l, const struct http_pool_key *key, int64_t max_idle_us)
{
	struct http_pool *p = pool_of(l);
	for (struct list *at = p->idle.prev; at != &p->idle; at = at->prev) {
		struct idle *it = list_entry(at, struct idle, link);
		if (loop_now_us(l) - it->since_us > max_idle_us)
			return NULL;
		if (alike(&it->key, key))
			return idle_remove(it);
	}
	return NULL;
}

void http_pool_put(struct loop *l, const struct http_pool_key *key, struct stream *s)
{
	struct http_pool *p = pool_of(l);
	struct idle *it = xcalloc(1, sizeof(*it));
	if (p->count == LIMIT_HTTP_POOL)
		stream_free(idle_remove(list_entry(p->idle.next, struct idle, link)));   /* the oldest */
	*it = (struct idle){ .pool = p, .stream = s, .key = *key, .since_us = loop_now_us(l) };
	list_push(&p->idle, &it->link);
	p->count++;
	stream_set(s, &idle_events, it);
	stream_pause(s, false);
	if (!loop_timer_active(&p->sweep))
		loop_timer_start_lazy(l, &p->sweep, LIMIT_HTTP_POOL_IDLE_US, pool_sweep);
}

int http_pool_tls_unverified(struct loop *l, struct tls_ctx **out, struct err *e)
{
	struct http_pool *p = pool_of(l);
	struct tls_config config = { .verify = TLS_VERIFY_NONE };
	int rc = p->unverified ? 0 : tls_ctx_new(&config, &p->unverified, e);
	if (rc == 0)
		*out = p->unverified;
	return rc;
}
