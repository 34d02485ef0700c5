/* SPDX-License-Identifier: Apache-2.0 */
/* What the dcos command makes of several masters: what they say of each other, and which one is asked next. */
#include "roles/cli/failover.h"
#include "roles/cli/masters.h"
#include "tests/lib/test.h"

static const char *const hosts[] = { "10.0.0.1", "10.0.0.2", "10.0.0.3" };

/* texts[i]: the answer of hosts[i], NULL: none. */
static void merge(struct masters *m, const char *const texts[3])
{
	yyjson_doc *docs[3];
	yyjson_val *answers[3];
	for (size_t i = 0; i < 3; i++) {
		docs[i] = texts[i] ? yyjson_read(texts[i], strlen(texts[i]), 0) : NULL;
		answers[i] = docs[i] ? yyjson_doc_get_root(docs[i]) : NULL;
	}
	masters_merge(m, hosts, answers, 3);
	for (size_t i = 0; i < 3; i++)
		yyjson_doc_free(docs[i]);
}

#define ROW(host, leads, voter) "{\"code\":3,\"description\":\"serving\",\"hostname\":\"" host "\",\"isLeader\":" leads ",\"voter\":" voter "}"
static const char second_leads[] = "[" ROW("10.0.0.1", "false", "true") "," ROW("10.0.0.2", "true", "true") "," ROW("10.0.0.3", "false", "true") "]";
static const char first_led[] = "[" ROW("10.0.0.1", "true", "true") "," ROW("10.0.0.2", "false", "true") "," ROW("10.0.0.3", "false", "true") "]";

static void roles_are(const struct masters *m, const char *a, const char *b, const char *c)
{
	EQ_STR(masters_role(masters_find(m, hosts[0])), a);
	EQ_STR(masters_role(masters_find(m, hosts[1])), b);
	EQ_STR(masters_role(masters_find(m, hosts[2])), c);
}

static void warnings_are(const struct masters *m, const char *want)
{
	AUTO_BUF struct buf out = BUF_INIT;
	masters_warnings(m, &out);
	if (want[0])
		HAS(buf_cstr(&out), want);
	else
		EQ_STR(buf_cstr(&out), "");
}

TEST(cli_masters, a_whole_quorum_has_a_leader_and_nothing_to_say)
{
	struct masters m;
	merge(&m, (const char *const[]){ second_leads, second_leads, second_leads });
	roles_are(&m, "follower", "leader", "follower");
	EQ_INT(masters_voters(&m), 3);
	EQ_STR(masters_leader(&m)->host, "10.0.0.2");
	warnings_are(&m, "");
}

TEST(cli_masters, the_leaders_account_beats_a_followers_older_one)
{
	struct masters m;
	merge(&m, (const char *const[]){ NULL, second_leads, first_led });
	roles_are(&m, "down", "leader", "follower");
	warnings_are(&m, "1 of 3 voting masters (10.0.0.1) does not answer: the cluster survives the loss of 0 more");
}

TEST(cli_masters, one_that_does_not_answer_does_not_lead_whatever_others_say)
{
	struct masters m;
	merge(&m, (const char *const[]){ NULL, first_led, first_led });
	roles_are(&m, "down", "follower", "follower");
	TRUE(masters_leader(&m) == NULL);
	warnings_are(&m, "no master leads at this moment");
}

TEST(cli_masters, a_lost_majority_and_lost_masters_say_what_to_do)
{
	struct masters m;
	merge(&m, (const char *const[]){ NULL, NULL, first_led });
	warnings_are(&m, "2 of 3 voting masters (10.0.0.1, 10.0.0.2) do not answer: nothing can be changed until a majority is back; if they "
			 "are lost for ever, `dcos-node master recover`");
	merge(&m, (const char *const[]){ NULL, NULL, NULL });
	roles_are(&m, "down", "down", "down");
	warnings_are(&m, "no master answers");
}

TEST(cli_masters, learners_and_those_that_are_no_members_yet_are_told_apart_and_even_numbers_warned_of)
{
	struct masters m;
	static const char learning[] = "[" ROW("10.0.0.1", "true", "true") "," ROW("10.0.0.2", "false", "false") "]";
	static const char even[] = "[" ROW("10.0.0.1", "true", "true") "," ROW("10.0.0.2", "false", "true") "]";
	merge(&m, (const char *const[]){ learning, learning, "[]" });
	roles_are(&m, "leader", "learner", "joining");
	EQ_INT(masters_voters(&m), 1);
	warnings_are(&m, "");
	merge(&m, (const char *const[]){ even, even, NULL });
	warnings_are(&m, "2 masters vote: an even number survives no more failures than 1");
}

TEST(cli_masters, answers_that_make_no_sense_do_no_harm)
{
	static const char *const bad[] = { "{}", "[1,null,\"x\",{}]", "[[]]", "3", "[{\"hostname\":7}]" };
	char out[MASTERS_MAX][64];
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct masters m;
		AUTO_JSON yyjson_doc *doc = yyjson_read(bad[i], strlen(bad[i]), 0);
		merge(&m, (const char *const[]){ bad[i], NULL, NULL });
		TRUE(masters_leader(&m) == NULL);
		EQ_INT(masters_hosts(yyjson_doc_get_root(doc), out), 0);
	}
}

/* ---- which one is asked next ---- */

TEST(cli_failover, only_what_was_not_done_or_only_reads_is_sent_again)
{
	TRUE(tries_safe(POST, 0, false));
	FALSE(tries_safe(POST, 0, true));
	FALSE(tries_safe(PUT, 0, true));
	FALSE(tries_safe(DELETE, 502, true));
	TRUE(tries_safe(POST, 502, false));
	FALSE(tries_safe(POST, 504, true));
	TRUE(tries_safe(POST, 504, false));
	TRUE(tries_safe(POST, 503, true));
	TRUE(tries_safe(GET, 0, true));
	TRUE(tries_safe(GET, 502, true));
	FALSE(tries_safe(GET, 500, true));
}

TEST(cli_failover, masters_are_tried_in_turn_with_a_pause_after_each_round)
{
	struct tries t = { 0 };
	EQ_INT(tries_next(&t, 3, false, 100), 0);
	EQ_INT(t.at, 1);
	EQ_INT(tries_next(&t, 3, false, 100), 0);
	EQ_INT(t.at, 2);
	EQ_INT(tries_next(&t, 3, false, 100), 50 * MSEC);
	EQ_INT(t.at, 0);
}

TEST(cli_failover, a_cluster_where_nobody_answers_is_given_up_soon_an_election_is_waited_for)
{
	struct tries t = { 0 };
	for (int i = 0; i < 5; i++)
		TRUE(tries_next(&t, 3, false, i) >= 0);
	EQ_INT(tries_next(&t, 3, false, 4 * SEC), -1);
	t = (struct tries){ 0 };
	for (int64_t now = 0; now < 30 * SEC; now += SEC)
		TRUE(tries_next(&t, 2, true, now) >= 0);
	EQ_INT(tries_next(&t, 2, true, 30 * SEC), 0);
	EQ_INT(tries_next(&t, 2, true, 30 * SEC), -1);
}
