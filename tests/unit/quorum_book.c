/* SPDX-License-Identifier: Apache-2.0 */
/* The masters' address book and tokens as the log applies them, and what `master members` says about them. */
#include "roles/master/quorum_int.h"

#include <stdio.h>

#include "net/base/time.h"
#include "tests/lib/test.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define T1 "1111111111111111111111111111111111111111111111111111111111111111"
#define T2 "2222222222222222222222222222222222222222222222222222222222222222"

static struct err err;
static struct quorum quorum;
static struct kv *kv;
static uint64_t log_index;

static void open_book(void)
{
	struct kv_options o = { .tables = book_tables };
	EQ_INT(kv_open(test_dir(), &o, &kv, &err), 0);
}

/* One command, as the log applies it at that time. */
static int apply(const struct buf *change, int64_t unix_us)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf reply = BUF_INIT;
	AUTO_TXN struct kv_txn *txn = NULL;
	struct op_ctx ctx = { .index = ++log_index, .unix_us = unix_us, .arg = &quorum, .arena = &a };
	EQ_INT(kv_begin(kv, true, &txn, &err), 0);
	int rc = book_ops[0].apply(txn, buf_view(change), &ctx, &reply, &err);
	return rc == 0 ? kv_commit(MOVE(txn), &err) : rc;
}

static int token(const char *digest, int64_t expires_us, int64_t now_us)
{
	AUTO_BUF struct buf b = BUF_INIT;
	book_write_token(digest, expires_us, &b);
	return apply(&b, now_us);
}

static int admit(const char *digest, const char *fingerprint, const char *name, int64_t now_us)
{
	AUTO_BUF struct buf b = BUF_INIT;
	book_write_admission(digest, fingerprint, name, &b);
	return apply(&b, now_us);
}

static struct book read_book(void)
{
	AUTO_TXN struct kv_txn *txn = NULL;
	struct book b = { .count = 0 };
	EQ_INT(kv_begin(kv, false, &txn, &err), 0);
	EQ_INT(book_read(txn, &b, &err), 0);
	return b;
}

TEST(quorum_book, a_token_lets_one_key_in_and_that_one_again)
{
	open_book();
	EQ_INT(token(T1, 100 * SEC, 0), 0);
	EQ_INT(admit(T1, A, "m2", SEC), 0);
	EQ_INT(admit(T1, A, "m2", 2 * SEC), 0);
	EQ_INT(admit(T1, B, "m3", 3 * SEC), E_DENIED);
	HAS(err.text, "was used by another master already");
	EQ_INT(read_book().count, 1);
	EQ_STR(read_book().rows[0].name, "m2");
	kv_close(kv);
}

TEST(quorum_book, a_token_expires_to_the_microsecond)
{
	open_book();
	EQ_INT(token(T1, 100 * SEC, 0), 0);
	EQ_INT(token(T2, 100 * SEC, 0), 0);
	EQ_INT(admit(T1, A, "m2", 100 * SEC), E_DENIED);
	HAS(err.text, "has expired");
	EQ_INT(read_book().count, 0);
	EQ_INT(admit(T2, A, "m2", 100 * SEC - 1), 0);
	EQ_INT(read_book().count, 1);
	kv_close(kv);
}

TEST(quorum_book, an_unknown_token_lets_nobody_in)
{
	open_book();
	EQ_INT(admit(T1, A, "m2", 0), E_DENIED);
	HAS(err.text, "is not one of this cluster's");
	EQ_INT(read_book().count, 0);
	kv_close(kv);
}

TEST(quorum_book, two_keys_do_not_share_a_name)
{
	open_book();
	EQ_INT(token(T1, 100 * SEC, 0), 0);
	EQ_INT(token(T2, 100 * SEC, 0), 0);
	EQ_INT(admit(T1, A, "m2", 0), 0);
	EQ_INT(admit(T2, B, "m2", 0), E_CONFLICT);
	HAS(err.text, "dcos-node master remove m2");
	EQ_INT(admit(T2, B, "m3", 0), 0);      /* the refusal did not spend it */
	kv_close(kv);
}

TEST(quorum_book, as_many_tokens_as_the_limit_until_some_expire)
{
	char digest[65];
	open_book();
	for (int i = 0; i < LIMIT_MASTER_TOKENS; i++) {
		(void)snprintf(digest, sizeof(digest), "%064x", i);
		EQ_INT(token(digest, 100 * SEC, 0), 0);
	}
	EQ_INT(token(T1, 200 * SEC, 0), E_TOOBIG);
	EQ_INT(token(T1, 200 * SEC, 100 * SEC), 0);
	kv_close(kv);
}

TEST(quorum_book, as_many_masters_as_the_limit)
{
	open_book();
	for (int i = 0; i <= LIMIT_MASTERS; i++) {
		AUTO_BUF struct buf b = BUF_INIT;
		struct master_row r = { .rpc_port = 5060 };
		(void)snprintf(r.fingerprint, sizeof(r.fingerprint), "%064x", i);
		(void)snprintf(r.name, sizeof(r.name), "m%d", i);
		book_write_row(&r, &b);
		EQ_INT(apply(&b, 0), i < LIMIT_MASTERS ? 0 : E_TOOBIG);
	}
	EQ_INT(read_book().count, LIMIT_MASTERS);
	kv_close(kv);
}

TEST(quorum_book, a_row_is_replaced_by_key_and_goes_when_removed)
{
	open_book();
	AUTO_BUF struct buf b = BUF_INIT;
	struct master_row r = { .fingerprint = A, .name = "m1", .ip = "10.0.0.1", .rpc_port = 5060, .member_id = 7, .version = "1" };
	book_write_row(&r, &b);
	EQ_INT(apply(&b, 0), 0);
	(void)str_put(r.ip, sizeof(r.ip), STR("10.0.0.9"));
	buf_reset(&b);
	book_write_row(&r, &b);
	EQ_INT(apply(&b, 0), 0);
	struct book book = read_book();
	EQ_INT(book.count, 1);
	TRUE(book_row_eq(&book.rows[0], &r));
	EQ_STR(book_find_id(&book, 7)->ip, "10.0.0.9");
	TRUE(book_find_id(&book, 0) == NULL);
	buf_reset(&b);
	book_write_removed(A, &b);
	EQ_INT(apply(&b, 0), 0);
	EQ_INT(read_book().count, 0);
	kv_close(kv);
}

TEST(quorum_book, nonsense_changes_nothing)
{
	open_book();
	AUTO_BUF struct buf b = BUF_INIT;
	EQ_INT(apply(&b, 0), E_INVALID);
	EQ_INT(token("xyz", SEC, 0), E_INVALID);
	EQ_INT(admit(T1, "short", "m2", 0), E_INVALID);
	EQ_INT(admit(T1, A, "../m2", 0), E_INVALID);
	EQ_INT(read_book().count, 0);
	kv_close(kv);
}

/* ---- words ---- */

static const char *warnings(const char *states)
{
	static char text[2048];
	dcos_MasterMember rows[8] = { { 0 } };
	AUTO_BUF struct buf out = BUF_INIT;
	char names[8][4];
	size_t n = strlen(states);
	for (size_t i = 0; i < n; i++) {        /* L leader, v voter, d dead voter, l learner */
		(void)snprintf(names[i], sizeof(names[i]), "m%zu", i + 1);
		rows[i].name = names[i];
		rows[i].id = i + 1;
		rows[i].voter = states[i] != 'l';
		rows[i].leads = states[i] == 'L';
		rows[i].connected = states[i] != 'd';
	}
	dcos_MasterMembers all = { .members = rows, .members_count = (pb_size_t)n };
	text_warnings(&all, &out);
	(void)str_put(text, sizeof(text), buf_view(&out));
	return text;
}

TEST(quorum_text, a_whole_quorum_needs_no_warning)
{
	EQ_STR(warnings("L"), "");
	EQ_STR(warnings("Lvv"), "");
	EQ_STR(warnings("Ll"), "");
	EQ_STR(warnings("Lvvvvl"), "");
}

TEST(quorum_text, an_even_number_of_voters_is_warned_of)
{
	HAS(warnings("Lv"), "2 voters: an even number survives no more failures than 1");
	HAS(warnings("Lvvv"), "4 voters: an even number survives no more failures than 3");
}

TEST(quorum_text, a_dead_voter_comes_with_the_command_that_replaces_it)
{
	HAS(warnings("Lvd"), "m3 is down; if it does not come back: dcos-node master remove m3");
	HAS(warnings("Lvd"), "2 of 3 voters live: one more failure stops every change");
	FALSE(strstr(warnings("Lvvvd"), "one more failure") != NULL);
}

TEST(quorum_text, without_a_leader_recover_is_named)
{
	HAS(warnings("vdd"), "dcos-node master recover");
	FALSE(strstr(warnings("vdd"), "remove m2") != NULL);
}
