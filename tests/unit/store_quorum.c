/* SPDX-License-Identifier: Apache-2.0 */
/* Several members of the replicated state in one process, on virtual time, with a network that can be cut and real files. */
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/time.h"
#include "store/raft_wire.h"
#include "store/state.h"
#include "tests/lib/test.h"

#define MEMBERS 5
#define FRAMES 20000

static const struct kv_table words = { .name = "words", .version = 1, .feed = true };
static const struct kv_table *const tables[] = { &words, NULL };
enum { OP_APPEND = 1000, OP_REMOVE, OP_ONLY_EMPTY };

/* "key=text": append the text to what stands there; the reply is all of it. */
static int apply_append(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	const char *equals = memchr(payload.p, '=', payload.len);
	struct str key = str_n(payload.p, (size_t)(equals - payload.p)), old, text = str_from(payload, key.len + 1);
	(void)ctx;
	int rc = kv_get(txn, &words, key, &old, e);
	if (rc == 0)
		(void)buf_str(reply, old);
	if (rc != 0 && rc != E_NOTFOUND)
		return rc;
	(void)buf_str(reply, text);
	return kv_put(txn, &words, key, buf_view(reply), e);
}

static int apply_remove(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	(void)ctx, (void)reply;
	return kv_del(txn, &words, payload, e);
}

/* Append, but refuse when something stood there. */
static int apply_only_empty(struct kv_txn *txn, struct str payload, const struct op_ctx *ctx, struct buf *reply, struct err *e)
{
	int rc = apply_append(txn, payload, ctx, reply, e);
	const char *equals = memchr(payload.p, '=', payload.len);
	if (rc == 0 && reply->len != (size_t)(payload.p + payload.len - equals - 1))
		rc = err_set(e, E_CONFLICT, "something stands there");
	return rc;
}

static const struct op_row ops[] = {
	{ OP_APPEND,     "APPEND",     1, apply_append },
	{ OP_REMOVE,     "REMOVE",     1, apply_remove },
	{ OP_ONLY_EMPTY, "ONLY_EMPTY", 1, apply_only_empty },
};

struct frame {
	int from, to;
	size_t len;
	uint8_t *data;
};

struct member {
	int number;
	struct loop_virtual v;
	struct loop *loop;
	struct store *store;
	struct store_net net;
	struct work *work[64];
	size_t work_count;
	bool cut;                /* hears nobody and is not heard */
	bool slow;               /* its disk does not end what it was given */
};

static struct member members[MEMBERS + 1];
static struct frame frames[FRAMES];
static size_t frame_count;
static int64_t now;
static struct store_config tuning;

static void send_frame(void *ctx, uint64_t to, const char *address, struct str frame)
{
	struct member *m = ctx;
	(void)address;
	if (frame_count == FRAMES || to > MEMBERS)
		return;
	struct frame *f = &frames[frame_count++];
	*f = (struct frame){ m->number, (int)to, frame.len, xmalloc(frame.len) };
	memcpy(f->data, frame.p, frame.len);
}

static void take_work(struct loop_virtual *v, struct work *w)
{
	struct member *m = container_of(v, struct member, v);
	m->work[m->work_count++] = w;
}

static void begin(int n, bool join)
{
	struct member *m = &members[n];
	static char address[MEMBERS + 1][16];
	struct store_config c = tuning;
	struct err e = { 0 };
	m->number = n;
	m->v = (struct loop_virtual){ .now_us = now, .unix_us = now, .work = take_work };
	m->loop = loop_new_virtual(&m->v, (uint64_t)n);
	m->net = (struct store_net){ .ctx = m, .send = send_frame };
	AUTO_FREE char *dir = xasprintf("%s/m%d", test_dir(), n);
	(void)snprintf(address[n], sizeof(address[n]), "key%d", n);
	c.dir = dir;
	c.member_id = (uint64_t)n;
	c.address = address[n];
	c.join = join;
	c.net = &m->net;
	int rc = store_open(m->loop, &c, &m->store, &e);
	if (rc == 0)
		store_register(m->store, tables, ops, ARRAY_LEN(ops), NULL);
	if (rc == 0)
		rc = store_start(m->store, &e);
	if (rc != 0)
		FAIL("%s", e.text);
}

static void run_work(struct member *m)
{
	for (size_t count = m->work_count; count > 0; count--) {     /* what it leads to waits for the next time */
		struct work *w = m->work[0];
		memmove(m->work, m->work + 1, --m->work_count * sizeof(struct work *));
		loop_virtual_work_run(w);
		loop_virtual_work_done(w);
	}
}

static void stop(int n)
{
	struct member *m = &members[n];
	while (m->work_count > 0)
		run_work(m);
	store_close(MOVE(m->store));
	loop_free(MOVE(m->loop));
}

static void deliver(void)
{
	static struct frame now_frames[FRAMES];
	size_t count = frame_count;
	char address[16];
	struct err e = { 0 };
	memcpy(now_frames, frames, count * sizeof(*frames));
	frame_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct frame *f = &now_frames[i];
		(void)snprintf(address, sizeof(address), "key%d", f->from);
		if (members[f->to].store && !members[f->to].cut && !members[f->from].cut &&
		    store_receive(members[f->to].store, address, str_n((const char *)f->data, f->len), &e) != 0)
			FAIL("%s", e.text);
		free(f->data);
	}
}

static void millisecond(void)
{
	now += MSEC;
	deliver();
	for (int n = 1; n <= MEMBERS; n++) {
		struct member *m = &members[n];
		if (!m->store)
			continue;
		m->v.now_us = m->v.unix_us = now;
		if (!m->slow)
			run_work(m);
		loop_virtual_turn(m->loop);
	}
}

static int leader(void)
{
	for (int n = 1; n <= MEMBERS; n++)
		if (members[n].store && !members[n].cut && store_leads(members[n].store))
			return n;
	return 0;
}

static int voters(int n)
{
	struct store_member list[STORE_MEMBERS_MAX];
	int count = 0;
	size_t all = store_members(members[n].store, list);
	for (size_t i = 0; i < all; i++)
		count += list[i].voter;
	return count;
}

#define UNTIL(condition) do { \
		int left_ = 60000; \
		while (!(condition) && left_-- > 0) \
			millisecond(); \
		TRUE(condition); \
	} while (0)

struct answer {
	struct propose p;
	struct store_fresh fresh;
	bool done;
	struct err err;
	char reply[64];
};

static void answered(struct propose *p, struct str reply, const struct err *e)
{
	struct answer *a = container_of(p, struct answer, p);
	a->done = true;
	a->err = *e;
	(void)str_put(a->reply, sizeof(a->reply), reply);
}

static void freshened(struct store_fresh *f, const struct err *e)
{
	struct answer *a = container_of(f, struct answer, fresh);
	a->done = true;
	a->err = *e;
}

static struct answer once(int n, uint32_t op, const char *text, uint64_t client, uint64_t serial)
{
	struct answer a = { 0 };
	store_propose_once(members[n].store, op, str_of(text), client, serial, 30 * SEC, &a.p, answered);
	UNTIL(a.done);
	return a;
}

static struct answer append(int n, const char *text)
{
	return once(n, OP_APPEND, text, 0, 0);
}

static struct answer add(int n)
{
	struct answer a = { 0 };
	char address[16];
	(void)snprintf(address, sizeof(address), "key%d", n);
	store_member_add(members[leader()].store, (uint64_t)n, address, 30 * SEC, &a.p, answered);
	UNTIL(a.done);
	return a;
}

static const char *word(int n, const char *key)
{
	static char out[64];
	AUTO_TXN struct kv_txn *txn = NULL;
	struct str v;
	struct err e = { 0 };
	EQ_INT(store_read(members[n].store, &txn, &e), 0);
	if (kv_get(txn, &words, str_of(key), &v, &e) != 0)
		return "";
	(void)str_put(out, sizeof(out), v);
	return out;
}

static void close_all(void)
{
	for (int n = 1; n <= MEMBERS; n++) {
		if (members[n].store)
			stop(n);
		members[n] = (struct member){ 0 };
	}
	for (size_t i = 0; i < frame_count; i++)
		free(frames[i].data);
	frame_count = 0;
	tuning = (struct store_config){ 0 };
}

/* A cluster of `count` voters. */
static void cluster(int count)
{
	begin(1, false);
	UNTIL(leader() == 1);
	for (int n = 2; n <= count; n++) {
		begin(n, true);
		EQ_STR(add(n).err.text, "");
	}
	for (int n = 1; n <= count; n++)
		UNTIL(voters(n) == count && store_applied(members[n].store) == store_applied(members[1].store));
}

TEST(store_quorum, members_join_as_learners_and_an_even_number_of_voters_only_passes)
{
	begin(1, false);
	UNTIL(leader() == 1);
	EQ_STR(append(1, "a=1").reply, "1");
	begin(2, true);
	EQ_STR(add(2).err.text, "");
	UNTIL(word(2, "a")[0] == '1');
	for (int i = 0; i < 3000; i++)
		millisecond();
	EQ_INT(voters(1), 1);            /* one more would make two */
	begin(3, true);
	EQ_STR(add(3).err.text, "");
	UNTIL(voters(1) == 3);
	UNTIL(voters(3) == 3);
	EQ_STR(append(1, "a=2").reply, "12");
	UNTIL(strcmp(word(3, "a"), "12") == 0);
	close_all();
}

TEST(store_quorum, the_lead_moves_when_its_holder_is_cut_off_and_what_was_acknowledged_stays)
{
	cluster(3);
	EQ_STR(append(1, "a=1").reply, "1");
	members[1].cut = true;
	UNTIL(leader() > 1);
	int second = leader();
	EQ_STR(append(second, "a=2").reply, "12");
	members[1].cut = false;
	UNTIL(strcmp(word(1, "a"), "12") == 0);
	UNTIL(!store_leads(members[1].store));
	EQ_INT((int)store_leader(members[1].store), leader());
	close_all();
}

TEST(store_quorum, a_leader_without_a_majority_answers_nothing_and_its_entry_gives_way)
{
	cluster(3);
	struct answer lost = { 0 };
	members[1].cut = true;
	store_propose(members[1].store, OP_APPEND, STR("a=x"), 20 * SEC, &lost.p, answered);
	UNTIL(leader() > 1);
	EQ_STR(append(leader(), "a=1").reply, "1");
	EQ_INT(lost.done, false);
	members[1].cut = false;
	UNTIL(lost.done);
	EQ_INT(lost.err.code, E_TIMEOUT);
	UNTIL(strcmp(word(1, "a"), "1") == 0);
	close_all();
}

TEST(store_quorum, a_write_that_ends_late_does_not_stand_for_the_entry_that_took_its_place)
{
	cluster(3);
	struct answer lost = { 0 };
	struct store_member list[STORE_MEMBERS_MAX];
	members[1].cut = members[1].slow = true;
	store_propose(members[1].store, OP_APPEND, STR("a=x"), 20 * SEC, &lost.p, answered);
	UNTIL(leader() > 1);
	uint64_t before = store_applied(members[leader()].store);    /* where that entry would stand, or behind it */
	EQ_STR(append(leader(), "a=1").reply, "1");
	members[1].cut = false;
	UNTIL(lost.done);                /* its entry gave way; the write of it is still under way */
	run_work(&members[1]);
	for (int i = 0; i < 200; i++)
		millisecond();
	size_t count = store_members(members[leader()].store, list);
	for (size_t i = 0; i < count; i++)
		TRUE(list[i].id != 1 || list[i].matched < before);
	members[1].slow = false;
	UNTIL(strcmp(word(1, "a"), "1") == 0);
	close_all();
}

TEST(store_quorum, a_lost_connection_to_the_leader_shortens_the_wait)
{
	cluster(3);
	int64_t before = now;
	members[1].cut = true;
	store_peer_lost(members[2].store, "key1");
	store_peer_lost(members[3].store, "key1");
	UNTIL(leader() > 1);
	TRUE(now - before < 100 * MSEC);
	close_all();
}

TEST(store_quorum, the_lead_is_handed_over)
{
	cluster(3);
	struct answer a = { 0 };
	store_transfer(members[1].store, 3, 10 * SEC, &a.p, answered);
	UNTIL(a.done);
	EQ_STR(a.err.text, "");
	UNTIL(leader() == 3);
	EQ_STR(append(3, "a=1").reply, "1");
	close_all();
}

TEST(store_quorum, a_member_is_removed_and_the_leader_does_not_remove_itself)
{
	cluster(3);
	struct answer a = { 0 }, self = { 0 };
	store_member_remove(members[1].store, 1, 10 * SEC, &self.p, answered);
	UNTIL(self.done);
	EQ_INT(self.err.code, E_INVALID);
	store_member_remove(members[1].store, 2, 10 * SEC, &a.p, answered);
	UNTIL(a.done);
	EQ_STR(a.err.text, "");
	EQ_INT(voters(1), 2);
	stop(2);
	EQ_STR(append(1, "a=1").reply, "1");
	close_all();
}

TEST(store_quorum, a_member_that_lags_is_caught_up_by_a_snapshot)
{
	static char big[3000];
	memset(big, 'x', sizeof(big) - 1);
	memcpy(big, "b=", 2);
	tuning = (struct store_config){ .segment_bytes = 64 * KIB, .checkpoint_bytes = 64 * KIB, .trailing = 4 };
	cluster(3);
	stop(3);
	for (int i = 0; i < 60; i++) {
		char text[3100];
		(void)snprintf(text, sizeof(text), "k%d=%s", i, big);
		EQ_INT(append(1, text).err.code, 0);
	}
	EQ_STR(append(1, "a=1").reply, "1");
	begin(3, true);
	UNTIL(strcmp(word(3, "a"), "1") == 0);
	EQ_STR(append(1, "a=2").reply, "12");
	UNTIL(strcmp(word(3, "a"), "12") == 0);
	stop(3);
	begin(3, true);
	UNTIL(strcmp(word(3, "a"), "12") == 0);
	close_all();
}

TEST(store_quorum, a_fresh_read_on_a_follower_sees_what_was_acknowledged)
{
	cluster(3);
	for (int n = 1; n <= 3; n++) {
		struct answer a = { 0 };
		char text[16];
		(void)snprintf(text, sizeof(text), "a%d=1", n);
		(void)append(1, text);
		store_freshen(members[n].store, 10 * SEC, &a.fresh, freshened);
		UNTIL(a.done);
		EQ_STR(a.err.text, "");
		*strchr(text, '=') = '\0';
		EQ_STR(word(n, text), "1");
	}
	close_all();
}

TEST(store_quorum, a_leader_that_was_cut_off_gives_no_fresh_read)
{
	cluster(3);
	struct answer a = { 0 };
	members[1].cut = true;
	store_freshen(members[1].store, 5 * SEC, &a.fresh, freshened);
	UNTIL(a.done);
	EQ_INT(a.err.code, E_TIMEOUT);
	close_all();
}

TEST(store_quorum, a_command_sent_again_to_the_next_leader_is_done_once)
{
	cluster(3);
	EQ_STR(once(1, OP_APPEND, "a=1", 77, 5).reply, "1");
	stop(1);
	UNTIL(leader() > 1);
	EQ_STR(once(leader(), OP_APPEND, "a=1", 77, 5).reply, "1");
	EQ_STR(word(leader(), "a"), "1");
	EQ_INT(once(leader(), OP_APPEND, "a=9", 77, 4).err.code, E_CONFLICT);
	close_all();
}

TEST(store_quorum, a_refused_command_leaves_nothing_and_is_refused_again)
{
	cluster(1);
	(void)append(1, "a=1");
	EQ_STR(once(1, OP_ONLY_EMPTY, "a=2", 77, 1).err.text, "something stands there");
	EQ_STR(word(1, "a"), "1");
	EQ_INT(once(1, OP_REMOVE, "a", 0, 0).err.code, 0);
	EQ_STR(once(1, OP_ONLY_EMPTY, "a=2", 77, 1).err.text, "something stands there");
	EQ_STR(once(1, OP_ONLY_EMPTY, "a=3", 77, 2).reply, "3");
	close_all();
}

static bool collect(void *arg, const struct feed_change *c)
{
	(void)buf_printf(arg, "%.*s%s ", (int)c->key.len, c->key.p, c->value.p ? "" : "-");
	return true;
}

TEST(store_quorum, the_feed_goes_on_on_another_member)
{
	cluster(3);
	AUTO_BUF struct buf seen = BUF_INIT;
	struct err e = { 0 };
	uint64_t reached = 0;
	(void)append(1, "a=1");
	(void)append(1, "b=1");
	for (int n = 1; n <= 2; n++) {
		AUTO_TXN struct kv_txn *txn = NULL;
		UNTIL(n == 1 || word(2, "c")[0] == '1');
		EQ_INT(store_read(members[n].store, &txn, &e), 0);
		EQ_INT(store_feed(txn, reached, collect, &seen, &reached, &e), 0);
		(void)buf_puts(&seen, "| ");
		kv_abort(MOVE(txn));
		if (n == 1)
			(void)append(1, "c=1");
	}
	EQ_STR(buf_cstr(&seen), "a b | c | ");
	close_all();
}

TEST(store_quorum, the_feed_tells_of_every_put_and_removal)
{
	cluster(1);
	AUTO_BUF struct buf seen = BUF_INIT;
	AUTO_TXN struct kv_txn *txn = NULL;
	struct err e = { 0 };
	uint64_t reached = 0;
	(void)append(1, "a=1");
	(void)append(1, "b=1");
	(void)once(1, OP_REMOVE, "a", 0, 0);
	EQ_INT(store_read(members[1].store, &txn, &e), 0);
	EQ_INT(store_feed(txn, 0, collect, &seen, &reached, &e), 0);
	EQ_STR(buf_cstr(&seen), "a- b a- ");
	EQ_INT(reached, store_applied(members[1].store));
	EQ_INT(store_feed(txn, reached - 1, collect, &seen, &reached, &e), 0);
	EQ_STR(buf_cstr(&seen), "a- b a- a- ");
	kv_abort(MOVE(txn));
	close_all();
}

/* Take the next frame from one member to another off the network. */
static struct frame capture(int from, int to)
{
	for (int i = 0; i < 1000; i++, millisecond())
		for (size_t k = 0; k < frame_count; k++)
			if (frames[k].from == from && frames[k].to == to)
				return frames[k];
	FAIL("no frame from %d to %d", from, to);
	return (struct frame){ 0 };
}

TEST(store_quorum, frames_of_strangers_are_refused)
{
	cluster(3);
	struct err e = { 0 };
	struct frame f = capture(1, 2);
	struct str bytes = str_n((const char *)f.data, f.len);
	EQ_INT(store_receive(members[2].store, "key9", bytes, &e), E_DENIED);
	HAS(e.text, "speaks with key key9, but has key key1");
	EQ_INT(store_receive(members[3].store, "key1", bytes, &e), E_DENIED);
	HAS(e.text, "is for member");
	AUTO_ARENA struct arena arena = ARENA_INIT;
	AUTO_BUF struct buf other = BUF_INIT;
	raft_Frame frame;
	EQ_INT(wire_read(&arena, bytes, &frame, &e), 0);
	frame.cluster_id = "another";
	EQ_INT(wire_write(&frame, &other, &e), 0);
	EQ_INT(store_receive(members[2].store, "key1", buf_view(&other), &e), E_DENIED);
	HAS(e.text, "comes from cluster another");
	EQ_INT(store_receive(members[2].store, "key1", str_n(bytes.p, bytes.len - 1), &e), E_MALFORMED);
	EQ_INT(store_receive(members[2].store, "key1", STR(""), &e), E_MALFORMED);
	close_all();
}
