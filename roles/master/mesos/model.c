/* SPDX-License-Identifier: Apache-2.0 */
/* The model's frame: its memory, proposals, messages out, time, and the end of a turn. */
#include "roles/master/mesos/model.h"

/* ---- blobs ---- */

void blob_fini(struct blob *b)
{
	free(b->p);
	*b = (struct blob){ 0 };
}

void blob_put(struct blob *out, struct str bytes)
{
	uint8_t *copy = xmalloc(bytes.len);
	if (bytes.len > 0)
		memcpy(copy, bytes.p, bytes.len);
	blob_fini(out);
	*out = (struct blob){ copy, bytes.len };
}

int blob_pack(struct blob *out, const pb_msgdesc_t *fields, const void *msg, struct err *e)
{
	AUTO_BUF struct buf bytes = BUF_INIT;
	int rc = pb_write(fields, msg, &bytes, e);
	if (rc == 0)
		blob_put(out, buf_view(&bytes));
	return rc;
}

void blob_unpack(const struct blob *b, struct arena *a, const pb_msgdesc_t *fields, void *out_msg)
{
	struct err e = { 0 };
	int rc = pb_read(a, fields, blob_view(b), out_msg, &e);
	assert(rc == 0);
}

/* ---- life ---- */

void model_init(struct model *m, const struct model_config *config)
{
	*m = (struct model){ .config = *config, .out = OUTBOX_INIT, .alloc = allocator_new() };
	struct list *heads[] = { &m->agent_list, &m->framework_list, &m->completed_list, &m->pending, &m->launching,
				 &m->dirty_agents, &m->dirty_frameworks, &m->dirty_tasks };
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		list_init(heads[i]);
}

static void free_offers(struct model *m)
{
	list_each_safe(&m->framework_list, it)
		offers_drop_of_framework(m, list_entry(it, struct framework, link));
}

void model_stop(struct model *m)
{
	for (struct list *it; (it = list_pop(&m->pending)); ) {
		struct pending *p = list_entry(it, struct pending, link);
		p->drop(p);
	}
}

void model_fini(struct model *m)
{
	model_stop(m);
	free_offers(m);
	list_each_safe(&m->framework_list, it)
		frameworks_free(m, list_entry(it, struct framework, link));
	list_each_safe(&m->completed_list, it)
		frameworks_free(m, list_entry(it, struct framework, link));
	list_each_safe(&m->agent_list, it)
		agents_free(m, list_entry(it, struct agent, link));
	for (size_t i = 0; i < m->ended_count; i++)
		free(m->ended[i]);
	free(m->ended);
	free(m->agent_of);
	free(m->framework_of);
	map_fini(&m->agents);
	map_fini(&m->agents_at);
	map_fini(&m->frameworks);
	map_fini(&m->offers);
	deadlines_fini(&m->deadlines);
	allocator_free(m->alloc);
	outbox_fini(&m->out);
}

/* ---- acts ---- */

void model_propose(struct model *m, rec_Op op, const pb_msgdesc_t *fields, const void *msg, struct pending *p)
{
	if (p) {
		p->model = m;
		list_push(&m->pending, &p->link);
	}
	outbox_put(&m->out, (struct act){ .kind = ACT_PROPOSE, .number = op, .pending = p,
					  .payload = outbox_encode(&m->out, fields, msg) });
}

void model_proposed(struct pending *p, struct str reply, const struct err *e)
{
	list_remove(&p->link);
	p->done(p, reply, e);
}

void model_send(struct model *m, struct agent *a, dcos_Method method, const pb_msgdesc_t *fields, const void *msg)
{
	if (a->conn)
		outbox_put(&m->out, (struct act){ .kind = ACT_SEND, .number = method, .to = a->conn,
						  .payload = outbox_encode(&m->out, fields, msg) });
}

void model_event(struct model *m, struct framework *f, const mesos_v1_scheduler_Event *ev)
{
	if (f->session)
		outbox_put(&m->out, (struct act){ .kind = ACT_EVENT, .to = f->session,
						  .payload = outbox_encode(&m->out, mesos_v1_scheduler_Event_fields, ev) });
}

void model_reply(struct model *m, void *req, const pb_msgdesc_t *fields, const void *msg)
{
	if (req)
		outbox_put(&m->out, (struct act){ .kind = ACT_REPLY, .to = req, .payload = outbox_encode(&m->out, fields, msg) });
}

void model_fail(struct model *m, void *req, const struct err *e)
{
	if (req)
		outbox_put(&m->out, (struct act){ .kind = ACT_FAIL, .to = req, .number = e->code, .payload = outbox_text(&m->out, e->text) });
}

/* ---- time ---- */

void model_tick(struct model *m) { deadlines_run(&m->deadlines, m->now_us, m); }

int64_t model_due_us(const struct model *m) { return MIN(deadlines_due_us(&m->deadlines), allocator_due_us(m->alloc)); }

void model_flush(struct model *m)
{
	offers_make(m);
	tasks_propose(m);
	publish_flush(m);
}
