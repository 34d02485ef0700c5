/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/join_token.h"

#include <stdio.h>

#include "net/tls.h"
#include "tests/lib/test.h"

static struct err e;
static struct join_token tok;

static struct str both(void)
{
	static char text[512];
	(void)snprintf(text, sizeof(text), "dcos1.%064d.%048d\r\ndcosm1.%064d.%048d\n", 1, 2, 3, 4);
	return str_of(text);
}

TEST(join_token, a_file_may_hold_one_of_each_kind)
{
	EQ_INT(join_token_read(both(), JOIN_NODE, &tok, &e), 0);
	EQ_INT(tok.ca_sha256[31], 1);
	EQ_INT(strlen(tok.text), 6 + 64 + 1 + 48);
	EQ_INT(join_token_read(both(), JOIN_MASTER, &tok, &e), 0);
	EQ_INT(tok.ca_sha256[31], 3);
	EQ_INT(strlen(tok.text), 7 + 64 + 1 + 48);
}

TEST(join_token, a_token_of_nodes_makes_no_master)
{
	struct str all = both();
	EQ_INT(join_token_read(str_cut(&all, '\n'), JOIN_MASTER, &tok, &e), E_NOTFOUND);
	EQ_STR(e.text, "no join token of masters: that begins with 'dcosm1.'");
}

TEST(join_token, what_is_damaged_is_refused)
{
	char text[512];
	static const char *const bad[] = { "dcos1.", "dcos1.00.00", "dcos1.zz", "dcos1" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		TRUE(join_token_read(str_of(bad[i]), JOIN_NODE, &tok, &e) != 0);
	(void)snprintf(text, sizeof(text), "dcos1.%064d.%048d", 1, 2);
	EQ_INT(join_token_read(str_of(text), JOIN_NODE, &tok, &e), 0);
	text[strlen(text) - 1] = '\0';
	EQ_INT(join_token_read(str_of(text), JOIN_NODE, &tok, &e), E_MALFORMED);
	EQ_STR(e.text, "the join token of nodes is damaged");
	(void)snprintf(text, sizeof(text), "dcos1.%064d.%048d00", 1, 2);
	EQ_INT(join_token_read(str_of(text), JOIN_NODE, &tok, &e), E_MALFORMED);
}

TEST(join_token, a_new_one_reads_back_and_is_like_no_other)
{
	uint8_t ca[32] = { 7 };
	struct join_token again, other;
	join_token_make(JOIN_MASTER, ca, &tok);
	join_token_make(JOIN_MASTER, ca, &other);
	EQ_INT(join_token_read(str_of(tok.text), JOIN_MASTER, &again, &e), 0);
	EQ_MEM(&again, &tok, sizeof(tok));
	FALSE(cstr_eq(tok.digest, other.digest));
	EQ_INT(tok.ca_sha256[0], 7);
}
