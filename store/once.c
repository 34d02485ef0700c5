/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exactly once: the last answer of each client that numbers its commands stays in the replicated state, so that the command, sent
 * again to whichever master leads by then, gets it instead of being done twice.
 *
 *   once      client u64 -> serial u64 | index u64 of its last use | code i32 | text bytes u32 | text | reply
 *   once_age  index u64 of its last use -> client u64: who was silent longest is forgotten first
 */
#include "store/state_int.h"

#include "net/limits.h"

const struct kv_table once_table = { "once", 1, false };
const struct kv_table once_age_table = { "once_age", 1, false };

struct once_head {
	uint64_t serial, index;
	int32_t code;
	uint32_t text_bytes;
};
static_assert(sizeof(struct once_head) == 24, "head of a remembered answer");

static int find(struct kv_txn *txn, uint64_t client, struct once_head *head, struct str *rest, struct err *e)
{
	uint8_t key[8];
	struct str v;
	int rc = kv_get(txn, &once_table, kv_key_u64(client, key), &v, e);
	if (rc != 0)
		return rc;
	if (v.len < sizeof(*head))
		return err_set(e, E_CORRUPT, "a remembered answer is too short");
	memcpy(head, v.p, sizeof(*head));
	*rest = str_from(v, sizeof(*head));
	if (head->text_bytes > rest->len)
		return err_set(e, E_CORRUPT, "a remembered answer is too short");
	return 0;
}

int once_find(struct kv_txn *txn, const struct envelope *v, struct buf *reply, struct err *answer, struct err *e)
{
	struct once_head head;
	struct str rest;
	int rc = find(txn, v->client, &head, &rest, e);
	if (rc != 0)
		return rc;
	if (v->serial > head.serial)
		return E_NOTFOUND;
	if (v->serial < head.serial) {
		(void)err_set(answer, E_CONFLICT, "a later command of this client was done already");
		return ONCE_LATER;
	}
	answer->code = head.code;
	(void)str_put(answer->text, sizeof(answer->text), str_n(rest.p, head.text_bytes));
	(void)buf_str(reply, str_from(rest, head.text_bytes));
	return 0;
}

static bool take_first(void *arg, struct str key, struct str value)
{
	uint64_t *oldest = arg;
	oldest[0] = kv_u64_of_key(key);
	oldest[1] = kv_u64_of_key(value);
	return false;
}

static int forget(struct kv_txn *txn, uint64_t index, uint64_t client, struct err *e)
{
	uint8_t key[8];
	int rc = kv_del(txn, &once_age_table, kv_key_u64(index, key), e);
	return rc == 0 ? kv_del(txn, &once_table, kv_key_u64(client, key), e) : rc;
}

static int forget_oldest(struct kv_txn *txn, struct err *e)
{
	uint64_t oldest[2] = { 0, 0 };
	int rc = kv_each(txn, &once_age_table, STR(""), take_first, oldest, e);
	return rc == 0 ? forget(txn, oldest[0], oldest[1], e) : rc;
}

int once_note(struct kv_txn *txn, const struct envelope *v, uint64_t index, struct str reply, const struct err *answer, struct err *e)
{
	AUTO_BUF struct buf row = BUF_INIT;
	struct once_head old;
	struct str rest, text = str_of(answer->code != 0 ? answer->text : "");
	uint8_t key[8], client[8];
	int rc = find(txn, v->client, &old, &rest, e);
	if (rc == 0)
		rc = forget(txn, old.index, v->client, e);
	else if (rc == E_NOTFOUND)
		rc = kv_count(txn, &once_table) >= LIMIT_CLIENTS ? forget_oldest(txn, e) : 0;
	struct once_head head = { v->serial, index, answer->code, (uint32_t)text.len };
	(void)buf_append(&row, &head, sizeof(head));
	(void)buf_str(&row, text);
	(void)buf_str(&row, reply);
	if (rc == 0)
		rc = kv_put(txn, &once_table, kv_key_u64(v->client, key), buf_view(&row), e);
	if (rc == 0)
		rc = kv_put(txn, &once_age_table, kv_key_u64(index, key), kv_key_u64(v->client, client), e);
	return rc;
}
