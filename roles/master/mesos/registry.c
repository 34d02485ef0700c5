/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows and commands of the replicated registry. A command is applied from its payload alone. OP_COUNTER gives 1, 2, 3 … for each
 * name; ids count from 0, so they use value - 1.
 */
#include "roles/master/mesos/registry.h"

#include "net/pb_util.h"
#include "proto/records.pb.h"

const struct kv_table registry_agents = { .name = "mesos.agents", .version = 1 };
const struct kv_table registry_frameworks = { .name = "mesos.frameworks", .version = 1 };
const struct kv_table registry_intents = { .name = "mesos.intents", .version = 1 };
static const struct kv_table registry_counters = { .name = "mesos.counters", .version = 1 };
const struct kv_table *const mesos_tables[] = { &registry_agents, &registry_frameworks, &registry_intents, &registry_counters, NULL };

static int put_agent(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	rec_Agent row;
	(void)reply;
	int rc = pb_read(ctx->arena, rec_Agent_fields, payload, &row, e);
	if (rc == 0 && (!row.id || !row.info))
		rc = err_set(e, E_MALFORMED, "an agent's record needs id and info");
	return rc == 0 ? kv_put(txn, &registry_agents, str_of(row.id), payload, e) : rc;
}

static int put_framework(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	rec_Framework row;
	(void)reply;
	int rc = pb_read(ctx->arena, rec_Framework_fields, payload, &row, e);
	if (rc == 0 && (!row.id || !row.info))
		rc = err_set(e, E_MALFORMED, "a framework's record needs id and info");
	return rc == 0 ? kv_put(txn, &registry_frameworks, str_of(row.id), payload, e) : rc;
}

static int remove_key(struct kv_txn *txn, const struct kv_table *t, struct str payload, const struct op_ctx *ctx, struct err *e)
{
	rec_Key key;
	int rc = pb_read(ctx->arena, rec_Key_fields, payload, &key, e);
	if (rc == 0 && !key.id)
		rc = err_set(e, E_MALFORMED, "a removal needs an id");
	return rc == 0 ? kv_del(txn, t, str_of(key.id), e) : rc;
}

static int remove_agent(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	(void)reply;
	return remove_key(txn, &registry_agents, payload, ctx, e);
}

static int remove_framework(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	(void)reply;
	return remove_key(txn, &registry_frameworks, payload, ctx, e);
}

static int put_intent(struct kv_txn *txn, const rec_Intent *row, const struct op_ctx *ctx, struct err *e)
{
	AUTO_BUF struct buf value = BUF_INIT;
	if (!row->framework_id || !row->task_id || !row->agent_id || !row->task)
		return err_set(e, E_MALFORMED, "an intent needs framework, task and agent");
	const char *key = arena_printf(ctx->arena, "%s/%s", row->framework_id, row->task_id);
	int rc = pb_write(rec_Intent_fields, row, &value, e);
	return rc == 0 ? kv_put(txn, &registry_intents, str_of(key), buf_view(&value), e) : rc;
}

/* Ends first: a task id that ended and is launched again in one turn is launched. */
static int put_intents(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	rec_Intents msg;
	(void)reply;
	int rc = pb_read(ctx->arena, rec_Intents_fields, payload, &msg, e);
	for (size_t i = 0; rc == 0 && i < msg.ended_count; i++)
		rc = kv_del(txn, &registry_intents, str_of(msg.ended[i]), e);
	for (size_t i = 0; rc == 0 && i < msg.launched_count; i++)
		rc = put_intent(txn, &msg.launched[i], ctx, e);
	return rc;
}

static int count(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	AUTO_BUF struct buf value = BUF_INIT;
	rec_CounterValue n = rec_CounterValue_init_zero;
	rec_Counter msg;
	struct str old;
	int rc = pb_read(ctx->arena, rec_Counter_fields, payload, &msg, e);
	if (rc == 0 && !msg.name)
		rc = err_set(e, E_MALFORMED, "a counter needs a name");
	if (rc != 0)
		return rc;
	rc = kv_get(txn, &registry_counters, str_of(msg.name), &old, e);
	if (rc == 0)
		rc = pb_read(ctx->arena, rec_CounterValue_fields, old, &n, e);
	if (rc != 0 && rc != E_NOTFOUND)
		return rc;
	n.has_value = true;
	n.value++;
	rc = pb_write(rec_CounterValue_fields, &n, &value, e);
	if (rc != 0)
		return rc;
	(void)buf_str(reply, buf_view(&value));
	return kv_put(txn, &registry_counters, str_of(msg.name), buf_view(&value), e);
}

static const struct op_row ops[] = {
	/* number                     name                  level  apply */
	{ rec_Op_OP_AGENT_PUT,        "put agent",          0,     put_agent },
	{ rec_Op_OP_AGENT_REMOVE,     "remove agent",       0,     remove_agent },
	{ rec_Op_OP_FRAMEWORK_PUT,    "put framework",      0,     put_framework },
	{ rec_Op_OP_FRAMEWORK_REMOVE, "remove framework",   0,     remove_framework },
	{ rec_Op_OP_INTENTS,          "launch and end",     0,     put_intents },
	{ rec_Op_OP_COUNTER,          "take a number",      0,     count },
};

void registry_register(struct store *s) { store_register(s, mesos_tables, ops, ARRAY_LEN(ops), NULL); }
