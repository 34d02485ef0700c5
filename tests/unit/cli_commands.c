/* SPDX-License-Identifier: Apache-2.0 */
/* Which row of the command tables a command line means, and the texts that commands make of answers. */
#include "roles/cli/marathon.h"
#include "roles/cli/tasks.h"
#include "tests/lib/test.h"

static const char *found(int count, char **words, int *used)
{
	const struct command *row = cli_find(words, count, used);
	return row ? row->words : NULL;
}
#define FOUND(used, ...) found((int)ARRAY_LEN(((char *[]){ __VA_ARGS__ })), (char *[]){ __VA_ARGS__ }, used)

TEST(cli_commands, the_row_with_the_most_words_wins)
{
	int used;
	EQ_STR(FOUND(&used, "task", "list"), "task list");
	EQ_INT(used, 2);
	EQ_STR(FOUND(&used, "task", "sise"), "task");
	EQ_INT(used, 1);
	EQ_STR(FOUND(&used, "marathon", "app", "version", "list", "/sise"), "marathon app version list");
	EQ_INT(used, 4);
}

TEST(cli_commands, a_part_of_a_row_is_no_command)
{
	int used;
	EQ_STR(FOUND(&used, "marathon", "app"), NULL);
	EQ_INT(used, 0);
	EQ_STR(FOUND(&used, "marathonx"), NULL);
	EQ_STR(FOUND(&used, "--force"), NULL);
}

static void path_is(const char *collection, const char *id, const char *rest, const char *want)
{
	AUTO_FREE char *path = marathon_path(collection, id, rest);
	EQ_STR(path, want);
}

TEST(cli_commands, app_ids_may_begin_with_a_slash_and_are_encoded_by_segments)
{
	path_is("/v2/apps", "sise", "", "/service/marathon/v2/apps/sise");
	path_is("/v2/apps", "/sise", "/restart?force=true", "/service/marathon/v2/apps/sise/restart?force=true");
	path_is("/v2/apps", "/a//b c/", "", "/service/marathon/v2/apps/a/b%20c");
	path_is("/v2/apps", "..?x", "", "/service/marathon/v2/apps/..%3Fx");
}

TEST(cli_commands, tasks_match_by_a_part_of_the_id_or_a_pattern_over_all_of_it)
{
	TRUE(cli_task_matches(NULL, "sise.1"));
	TRUE(cli_task_matches("is", "sise.1"));
	TRUE(cli_task_matches("s*.?", "sise.1"));
	FALSE(cli_task_matches("i*", "sise.1"));
	FALSE(cli_task_matches("SISE", "sise.1"));
}

TEST(cli_commands, the_letter_of_a_state_is_the_first_of_its_last_word)
{
	char letter[2];
	cli_task_state_letter("TASK_RUNNING", letter);
	EQ_STR(letter, "R");
	cli_task_state_letter("TASK_GONE_BY_OPERATOR", letter);
	EQ_STR(letter, "O");
	cli_task_state_letter("", letter);
	EQ_STR(letter, "");
}

static void reason_is(const char *json, const char *app_id, const char *want)
{
	AUTO_JSON yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
	AUTO_BUF struct buf out = BUF_INIT;
	yyjson_val *entry = queue_find(yyjson_doc_get_root(doc), app_id);
	if (entry)
		queue_reason(entry, &out);
	EQ_STR(buf_cstr(&out), want);
}

TEST(cli_commands, a_waiting_app_says_what_is_short_on_how_many_agents)
{
	static const char queue[] =
		"{\"queue\":[{\"app\":{\"id\":\"/other\"}},{\"app\":{\"id\":\"/big\"},\"processedOffersSummary\":{\"rejectSummaryLastOffers\":["
		"{\"reason\":\"UnfulfilledRole\",\"declined\":1,\"processed\":3},{\"reason\":\"InsufficientCpus\",\"declined\":0,\"processed\":2},"
		"{\"reason\":\"InsufficientMemory\",\"declined\":2,\"processed\":2}]}}]}";
	reason_is(queue, "/big", "'/big' waits: no resources of an accepted role on 1 of 3 agents, not enough memory on 2 of 3 agents");
	reason_is(queue, "/other", "");
	reason_is(queue, "/absent", "");
}

TEST(cli_commands, values_of_properties_are_json_or_strings_where_they_are_not)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	char *const pairs[] = { "instances=3", "env={\"A\":\"b\"}", "cmd=sleep 10", "user=", "labels={x" };
	EQ_INT(object_of_pairs(pairs, ARRAY_LEN(pairs), &out, &e), 0);
	EQ_STR(buf_cstr(&out), "{\"instances\":3,\"env\":{\"A\":\"b\"},\"cmd\":\"sleep 10\",\"user\":\"\",\"labels\":\"{x\"}");
}

TEST(cli_commands, a_property_without_a_name_or_a_value_is_named)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	char *const bare[] = { "instances" }, *const nameless[] = { "=3" };
	EQ_INT(object_of_pairs(bare, 1, &out, &e), E_USAGE);
	EQ_STR(e.text, "'instances' is no property: it wants name=value, such as instances=3");
	EQ_INT(object_of_pairs(nameless, 1, &out, &e), E_USAGE);
}

TEST(cli_commands, every_row_is_found_by_its_own_words)
{
	size_t count = 0;
	for (const struct command *row = cli_next(NULL); row; row = cli_next(row), count++) {
		AUTO_FREE char *words = xstrdup(row->words);
		char *split[8];
		int n = 0, used;
		for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
			split[n++] = word;
		TRUE(cli_find(split, n, &used) == row);
		EQ_INT(used, n);
		TRUE(row->args_min <= row->args_max);
		TRUE(row->help[0] && row->help[strlen(row->help) - 1] != '.');
	}
	TRUE(count > 40);
}
