/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads of a loop, for what would block a turn. Started with the first piece of work, stopped by loop_free.
 *
 *   work_submit -> queue -> a worker runs fn -> finished -> the loop runs done
 */
#include "net/loop_int.h"

#include "net/base/log.h"

#define WORK_THREADS 2
#define WORK_STACK_BYTES (256 * 1024)       /* getaddrinfo and the compressors fit with room to spare */

struct work_pool {
	struct loop *loop;                      /* borrowed */
	pthread_mutex_t lock;                   /* guards what follows */
	pthread_cond_t ring;                    /* queue is not empty, or stopping */
	struct list queue, finished;
	bool stopping;
	pthread_t threads[WORK_THREADS];
	size_t thread_count;
};

static void *work_thread(void *arg)
{
	struct work_pool *p = arg;
	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		struct list *n = list_pop(&p->queue);
		if (!n) {
			pthread_cond_wait(&p->ring, &p->lock);
			continue;
		}
		struct work *w = list_entry(n, struct work, link);
		w->queued = false;
		pthread_mutex_unlock(&p->lock);
		w->fn(w);
		pthread_mutex_lock(&p->lock);
		list_push(&p->finished, &w->link);
		ev_async_send(p->loop->ev, &p->loop->async);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static struct work_pool *work_pool_new(struct loop *l)
{
	struct work_pool *p = xcalloc(1, sizeof *p);
	p->loop = l;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->ring, NULL);
	list_init(&p->queue);
	list_init(&p->finished);

	sigset_t all, before;                   /* signals are the loop thread's business */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORK_STACK_BYTES);
	for (size_t i = 0; i < WORK_THREADS; i++)
		if (pthread_create(&p->threads[p->thread_count], &attr, work_thread, p) == 0)
			p->thread_count++;
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (p->thread_count == 0) {
		LOG(ERROR, "no worker thread", "next=%s", "raise the limit of processes");
		exit(1);
	}
	return p;
}

void work_submit(struct loop *l, struct work *w, void (*fn)(struct work *w), void (*done)(struct work *w))
{
	*w = (struct work){ .fn = fn, .done = done, .loop = l, .queued = true };
	if (l->virtual) {
		l->virtual->work(l->virtual, w);
		return;
	}
	if (!l->pool)
		l->pool = work_pool_new(l);
	pthread_mutex_lock(&l->pool->lock);
	list_push(&l->pool->queue, &w->link);
	pthread_cond_signal(&l->pool->ring);
	pthread_mutex_unlock(&l->pool->lock);
}

bool work_cancel(struct work *w)
{
	struct work_pool *p = w->loop->pool;
	if (w->loop->virtual)
		return loop_virtual_work_cancel(w);
	pthread_mutex_lock(&p->lock);
	bool queued = w->queued;
	if (queued)
		list_remove(&w->link);
	w->queued = false;
	pthread_mutex_unlock(&p->lock);
	w->cancelled = true;
	return queued;
}

void work_run_done(struct loop *l)
{
	for (;;) {
		pthread_mutex_lock(&l->pool->lock);
		struct list *n = list_pop(&l->pool->finished);
		pthread_mutex_unlock(&l->pool->lock);
		if (!n)
			return;
		struct work *w = list_entry(n, struct work, link);
		void (*done)(struct work *w) = w->done;
		done(w);                            /* may free w */
		loop_ran(l, (const void *)done);
	}
}

/*
 * Waits for the pieces that are running. Those whose owner has let go are released by their done; the other ones and what is
 * still queued are not heard of again.
 */
void work_pool_free(struct work_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->ring);
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	for (struct list *n; (n = list_pop(&p->finished));) {
		struct work *w = list_entry(n, struct work, link);
		if (w->cancelled)
			w->done(w);
	}
	pthread_cond_destroy(&p->ring);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
