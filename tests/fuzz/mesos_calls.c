/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What schedulers and agents may send, against the master's model: the first byte picks which of them speaks, the rest is the
 * message as it comes off the wire. An agent and a framework are there already; the store has done everything at once.
 */
#include "net/base/log.h"
#include "net/pb_json.h"
#include "roles/master/mesos/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_event(void *arg, const mesos_v1_scheduler_Event *ev) { (void)arg; (void)ev; }
static void no_close(void *arg, const char *reason) { (void)arg; (void)reason; }

static void propose(const struct act *act)
{
	static const struct err fine;
	struct buf reply = BUF_INIT;
	rec_CounterValue v = { true, 1 };
	if (!act->pending)
		return;
	if (act->number == rec_Op_OP_COUNTER)
		(void)pb_write(rec_CounterValue_fields, &v, &reply, NULL);
	model_proposed(act->pending, buf_view(&reply), &fine);
	buf_fini(&reply);
}

static void turn(struct model *m)
{
	bool busy = true;
	while (busy) {
		model_tick(m);
		model_flush(m);
		struct outbox out = m->out;
		m->out = (struct outbox)OUTBOX_INIT;
		busy = out.count > 0;
		for (size_t i = 0; i < out.count; i++)
			if (out.v[i].kind == ACT_PROPOSE)
				propose(&out.v[i]);
		outbox_fini(&out);
	}
}

static void register_agent(struct model *m, struct conn *conn)
{
	struct arena arena = ARENA_INIT;
	struct buf out = BUF_INIT;
	struct resources r = { .cpus_milli = 4000, .mem_milli = 1024000 };
	mesos_v1_AgentInfo info = mesos_v1_AgentInfo_init_zero;
	dcos_AgentRegister reg = { .info = &info, .ip = "192.0.2.9", .has_port = true, .port = 5051 };
	size_t rows;
	info.hostname = "h";
	info.resources = resources_to_v1(&arena, &r, "*", NULL, &rows);
	info.resources_count = (pb_size_t)rows;
	(void)pb_write(dcos_AgentRegister_fields, &reg, &out, NULL);
	agents_register(m, conn, NULL, buf_view(&out));
	turn(m);
	buf_fini(&out);
	arena_fini(&arena);
}

static void call(struct model *m, struct sched *s, struct str bytes, bool json)
{
	struct arena arena = ARENA_INIT;
	mesos_v1_scheduler_Call c;
	mesos_v1_FrameworkID id = { s->framework_id };
	struct err e = { 0 };
	int rc = json ? pb_json_parse(&arena, &mesos_v1_scheduler_Call_json, bytes.p, bytes.len, &c, &e)
		      : pb_read(&arena, mesos_v1_scheduler_Call_fields, bytes, &c, &e);
	if (rc == 0 && c.framework_id)
		c.framework_id = &id;
	if (rc == 0 && c.type != mesos_v1_scheduler_Call_Type_SUBSCRIBE && s->framework)
		(void)frameworks_call(m, s, &c, &e);
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct model_config config = {
		.master_id = "m", .ip = "192.0.2.1", .hostname = "h", .version = "1", .port = 5050,
		.ping_timeout_us = 15 * SEC, .ping_misses_max = 5, .offer_timeout_us = 120 * SEC,
	};
	struct model m;
	struct conn conn = { 0 }, other = { 0 };
	struct err e = { 0 };
	mesos_v1_FrameworkInfo info = mesos_v1_FrameworkInfo_init_zero;
	if (size == 0)
		return 0;
	log_set_level(LOG_ERROR);
	info.user = info.name = "f";
	model_init(&m, &config);
	register_agent(&m, &conn);
	struct sched *s = frameworks_subscribe(&m, &info, NULL, 0, (struct sched_sink){ no_event, no_close, NULL }, &e);
	turn(&m);
	struct str rest = str_n((const char *)data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
	case 1:
		call(&m, s, rest, data[0] % 6 == 0);
		break;
	case 2:
		agents_register(&m, &other, NULL, rest);
		break;
	case 3:
		tasks_update(&m, conn.agent, rest);
		break;
	case 4:
		agents_resources(&m, conn.agent, rest);
		break;
	default:
		frameworks_message(&m, conn.agent, rest);
		break;
	}
	turn(&m);
	model_fini(&m);
	blob_fini(&s->info);
	free(s->suppressed);
	free(s);
	return 0;
}
