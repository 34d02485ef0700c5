/* SPDX-License-Identifier: Apache-2.0 */
#include "net/json.h"

#include <stdio.h>

#include "net/limits.h"
#include "tests/lib/test.h"

static void broken(const char *text, const char *message)
{
	yyjson_doc *doc = NULL;
	struct err e = { 0 };
	size_t len = strlen(text);
	EQ_INT(json_parse(test_edge(text, len), len, &doc, &e), E_MALFORMED);
	EQ_STR(e.text, message);
	TRUE(doc == NULL);
}

TEST(json, names_the_place_of_an_error)
{
	broken("{\n  \"a\": 1,\n  \xc3\xa9}", "invalid JSON at line 3 column 3: unexpected character, expected a string for object key");
	broken("[1,]", "invalid JSON at line 1 column 3: trailing comma is not allowed");
	broken("{\"a\":", "invalid JSON at line 1 column 6: unexpected end of data");
	broken("", "invalid JSON: the text is empty");
	broken("{} x", "invalid JSON at line 1 column 4: unexpected content after document");
	broken("// no\n1", "invalid JSON at line 1 column 1: unexpected character, expected a valid root value");
}

static int parse_nested(int depth)
{
	char text[2 * LIMIT_JSON_DEPTH + 8];
	yyjson_doc *doc = NULL;
	memset(text, '[', (size_t)depth);
	memset(text + depth, ']', (size_t)depth);
	int rc = json_parse(text, 2 * (size_t)depth, &doc, NULL);
	yyjson_doc_free(doc);
	return rc;
}

TEST(json, bounds_the_depth)
{
	yyjson_doc *doc = NULL;
	EQ_INT(parse_nested(LIMIT_JSON_DEPTH), 0);
	EQ_INT(parse_nested(LIMIT_JSON_DEPTH + 1), E_MALFORMED);
	char brackets[150];
	memset(brackets, '[', sizeof(brackets));
	brackets[0] = brackets[sizeof(brackets) - 1] = '"';
	brackets[70] = '\\';
	brackets[71] = '"';
	EQ_INT(json_parse(brackets, sizeof(brackets), &doc, NULL), 0);    /* those in strings do not count */
	yyjson_doc_free(doc);
}

TEST(json, reads_values_by_path_with_fallbacks)
{
	const char *text = "{\"s\":\"x\",\"n\":3,\"neg\":-4,\"whole\":5.0,\"half\":1.5,\"big\":18446744073709551615,"
			   "\"t\":true,\"nul\":null,\"a\":{\"b\":[10,{\"c\":\"deep\"}]}}";
	AUTO_JSON yyjson_doc *doc = NULL;
	EQ_INT(json_parse(text, strlen(text), &doc, NULL), 0);
	yyjson_val *v = yyjson_doc_get_root(doc);
	EQ_STR(json_str(v, "s", "?"), "x");
	EQ_STR(json_str(v, "n", "?"), "?");
	EQ_STR(json_str(v, "nul", "?"), "?");
	EQ_STR(json_str(v, "a.b.1.c", "?"), "deep");
	EQ_STR(json_str(v, "a.b.2.c", "?"), "?");
	EQ_STR(json_str(v, "s.b", "?"), "?");
	EQ_INT(json_int(v, "n", 0), 3);
	EQ_INT(json_int(v, "neg", 0), -4);
	EQ_INT(json_int(v, "whole", 0), 5);
	EQ_INT(json_int(v, "half", -1), -1);
	EQ_INT(json_int(v, "big", -1), -1);
	EQ_INT(json_int(v, "s", -1), -1);
	EQ_INT(json_int(v, "a.b.0", 0), 10);
	NEAR(json_num(v, "half", 0), 1.5, 0);
	NEAR(json_num(v, "n", 0), 3, 0);
	TRUE(json_bool(v, "t", false));
	TRUE(json_bool(v, "nothing", true));
	TRUE(json_at(v, "nothing.at.all") == NULL);
	TRUE(json_at(NULL, "x") == NULL);
}

TEST(json, writes_what_was_read)
{
	const char *text = "{\"a\":[1,2.5,\"x\\n\"],\"b\":{}}";
	AUTO_BUF struct buf out = BUF_INIT;
	AUTO_JSON yyjson_doc *doc = NULL;
	EQ_INT(json_parse(text, strlen(text), &doc, NULL), 0);
	json_write(&out, yyjson_doc_get_root(doc), false);
	EQ_STR(buf_cstr(&out), text);
	buf_reset(&out);
	json_write(&out, json_at(yyjson_doc_get_root(doc), "a"), true);
	EQ_STR(buf_cstr(&out), "[\n  1,\n  2.5,\n  \"x\\n\"\n]");
}

TEST(json, streams_objects_and_arrays)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct jw w = jw_start(&out);
	jw_obj(&w, NULL);
	jw_str(&w, "id", "/si\"se");
	jw_str(&w, "none", NULL);
	jw_strn(&w, "cut", str_n("abcdef", 3));
	jw_int(&w, "n", INT64_MIN);
	jw_num(&w, "cpus", 0.1);
	jw_num(&w, "mem", 32);
	jw_bool(&w, "yes", true);
	jw_null(&w, "nul");
	jw_arr(&w, "list");
	jw_int(&w, NULL, 1);
	jw_obj(&w, NULL);
	jw_end(&w);
	jw_arr(&w, NULL);
	jw_end(&w);
	jw_raw(&w, NULL, STR("{\"raw\":1}"));
	jw_end(&w);
	jw_time(&w, "at", 1700000000123456);
	jw_end(&w);
	EQ_INT(w.depth, 0);
	EQ_STR(buf_cstr(&out), "{\"id\":\"/si\\\"se\",\"none\":null,\"cut\":\"abc\",\"n\":-9223372036854775808,\"cpus\":0.1,\"mem\":32.0,"
			       "\"yes\":true,\"nul\":null,\"list\":[1,{},[],{\"raw\":1}],\"at\":\"2023-11-14T22:13:20.123Z\"}");
}
