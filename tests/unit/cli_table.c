/* SPDX-License-Identifier: Apache-2.0 */
/* Layout of the dcos command's tables: what scripts cut columns out of. */
#include "roles/cli/cli.h"
#include "tests/lib/test.h"

/* Frees t. */
static void prints(struct table *t, const char *want)
{
	AUTO_BUF struct buf out = BUF_INIT;
	table_text(t, &out);
	table_free(t);
	EQ_STR(buf_cstr(&out), want);
}

TEST(cli_table, columns_are_as_wide_as_their_widest_cell_with_two_spaces_between)
{
	struct table *t = table_new("<NAME|<ID");
	table_add(t, (const char *[]){ "sise", "sise.1" });
	table_add(t, (const char *[]){ "b", "b.1" });
	prints(t, "NAME  ID\nsise  sise.1\nb     b.1\n");
}

TEST(cli_table, cells_are_centred_unless_asked_otherwise_with_the_odd_space_behind)
{
	struct table *t = table_new("<ID|TASKS|CPUS|<CMD");
	table_add(t, (const char *[]){ "/sise", "1/1", "0.1", "sleep 1" });
	prints(t, "ID     TASKS  CPUS  CMD\n/sise   1/1   0.1   sleep 1\n");
}

TEST(cli_table, the_header_stands_without_rows_too)
{
	prints(table_new("<NAME|<HOST|USER|STATE|<ID"), "NAME  HOST  USER  STATE  ID\n");
}

TEST(cli_table, missing_cells_say_so)
{
	struct table *t = table_new("<A|<B");
	table_add(t, (const char *[]){ NULL, "" });
	prints(t, "A    B\nN/A  ---\n");
}

TEST(cli_table, widths_count_characters_not_bytes)
{
	struct table *t = table_new("<A|<B");
	table_add(t, (const char *[]){ "\xc3\xa4\xc3\xb6", "x" });
	table_add(t, (const char *[]){ "abc", "y" });
	prints(t, "A    B\n\xc3\xa4\xc3\xb6   x\nabc  y\n");
}

TEST(cli_table, sorting_keeps_the_order_of_equal_rows)
{
	struct table *t = table_new("<A|<B");
	table_add(t, (const char *[]){ "b", "1" });
	table_add(t, (const char *[]){ "a", "2" });
	table_add(t, (const char *[]){ "a", "1" });
	table_sort(t, 0);
	prints(t, "A  B\na  2\na  1\nb  1\n");
}
