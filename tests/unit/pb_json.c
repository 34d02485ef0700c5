/* SPDX-License-Identifier: Apache-2.0 */
/* JSON form of protobuf messages: what is lenient, what is refused and how it is said, the bounds. */
#include "net/pb_json.h"

#include <math.h>

#include "net/base/base64.h"
#include "net/limits.h"
#include "net/pb_json_int.h"
#include "net/pb_util.h"
#include "proto/records.pb.h"
#include "tests/lib/test.h"

/* Records have no JSON form in the program; the codec takes them all the same. */
PB_JSON_DECLARE(rec_Agent)
PB_JSON_MESSAGE_TYPE(rec_Agent)

static struct arena arena = ARENA_INIT;    /* a test is a process of its own */

static int parse(const struct pb_json_type *type, const char *text, void *msg, struct err *e)
{
	return pb_json_parse(&arena, type, text, strlen(text), msg, e);
}

static const char *error_of(const struct pb_json_type *type, const char *text)
{
	static struct err e;
	void *msg = arena_alloc(&arena, type->size);
	EQ_INT(parse(type, text, msg, &e), E_MALFORMED);
	return e.text;
}

static const char *written(const struct pb_json_type *type, const void *msg)
{
	AUTO_BUF struct buf out = BUF_INIT;
	EQ_INT(pb_json_write(&out, type, msg), 0);
	return arena_str(&arena, buf_view(&out));
}

/* What comes out of what goes in. */
static const char *again(const struct pb_json_type *type, const char *text)
{
	struct err e;
	void *msg = arena_alloc(&arena, type->size);
	if (parse(type, text, msg, &e) != 0)
		FAIL("%s: %s", text, e.text);
	return written(type, msg);
}

/* {"value":"c","parent":{... }}: `levels` container ids, one in another. */
static char *nested_ids(int levels)
{
	struct buf b = BUF_INIT;
	for (int i = 0; i < levels; i++)
		buf_puts(&b, i + 1 < levels ? "{\"value\":\"c\",\"parent\":" : "{\"value\":\"c\"}");
	for (int i = 0; i + 1 < levels; i++)
		buf_putc(&b, '}');
	return buf_take(&b);
}

TEST(pb_json, default_of_the_proto_is_written_for_a_field_not_set)
{
	mesos_v1_HealthCheck check = mesos_v1_HealthCheck_init_zero;
	EQ_STR(written(&mesos_v1_HealthCheck_json, &check), "{\"delay_seconds\":15.0,\"interval_seconds\":10.0,\"timeout_seconds\":20.0,"
		"\"consecutive_failures\":3,\"grace_period_seconds\":10.0}");
	mesos_v1_HealthCheck_TCPCheckInfo tcp = { .port = 80 };
	EQ_STR(written(&mesos_v1_HealthCheck_TCPCheckInfo_json, &tcp), "{\"port\":80,\"protocol\":\"IPv4\"}");
}

TEST(pb_json, field_absent_from_the_input_has_its_default_without_has)
{
	mesos_v1_Filters filters;
	EQ_INT(parse(&mesos_v1_Filters_json, "{}", &filters, NULL), 0);
	FALSE(filters.has_refuse_seconds);
	NEAR(filters.refuse_seconds, 5.0, 0);
	EQ_INT(parse(&mesos_v1_Filters_json, "{\"refuse_seconds\":null}", &filters, NULL), 0);
	FALSE(filters.has_refuse_seconds);
}

TEST(pb_json, deprecated_default_is_not_invented)
{
	EQ_STR(again(&mesos_v1_Resource_json, "{\"name\":\"cpus\",\"type\":\"SCALAR\"}"), "{\"name\":\"cpus\",\"type\":\"SCALAR\"}");
}

TEST(pb_json, unknown_members_are_ignored)
{
	EQ_STR(again(&mesos_v1_TaskID_json, "{\"x\":{\"y\":[1,2]},\"value\":\"a\",\"z\":null}"), "{\"value\":\"a\"}");
}

TEST(pb_json, single_value_stands_for_a_list_of_one)
{
	EQ_STR(again(&mesos_v1_scheduler_Call_Revive_json, "{\"roles\":\"r\"}"), "{\"roles\":[\"r\"]}");
	EQ_STR(again(&mesos_v1_scheduler_Call_Decline_json, "{\"offer_ids\":{\"value\":\"o\"}}"), "{\"offer_ids\":[{\"value\":\"o\"}]}");
	EQ_STR(again(&mesos_v1_scheduler_Call_Revive_json, "{\"roles\":[]}"), "{}");
}

TEST(pb_json, numbers_and_booleans_may_be_strings)
{
	EQ_STR(again(&mesos_v1_TimeInfo_json, "{\"nanoseconds\":\"-9223372036854775808\"}"), "{\"nanoseconds\":-9223372036854775808}");
	EQ_STR(again(&mesos_v1_Value_Range_json, "{\"begin\":\"1\",\"end\":\"18446744073709551615\"}"),
		"{\"begin\":1,\"end\":18446744073709551615}");
	EQ_STR(again(&mesos_v1_Value_Scalar_json, "{\"value\":\"0.5\"}"), "{\"value\":0.5}");
	EQ_STR(again(&mesos_v1_SeccompInfo_json, "{\"unconfined\":\"true\"}"), "{\"unconfined\":true}");
	EQ_STR(again(&mesos_v1_TTYInfo_WindowSize_json, "{\"rows\":24.0,\"columns\":8e1}"), "{\"rows\":24,\"columns\":80}");
}

TEST(pb_json, doubles_are_shortest_and_never_bare_words)
{
	static const struct { double v; const char *text; } rows[] = {
		{ 0.1, "0.1" }, { 1, "1.0" }, { -0.001, "-0.001" }, { 1.0 / 3, "0.3333333333333333" }, { 1449512345.678901, "1449512345.678901" },
		{ INFINITY, "\"Infinity\"" }, { -INFINITY, "\"-Infinity\"" }, { NAN, "\"NaN\"" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		mesos_v1_Value_Scalar s = { .value = rows[i].v };
		char *want = arena_printf(&arena, "{\"value\":%s}", rows[i].text);
		EQ_STR(written(&mesos_v1_Value_Scalar_json, &s), want);
		EQ_STR(again(&mesos_v1_Value_Scalar_json, want), want);
	}
}

TEST(pb_json, enum_nobody_knows_leaves_an_optional_field_unset)
{
	EQ_STR(again(&mesos_v1_FrameworkInfo_Capability_json, "{\"type\":\"FROM_THE_FUTURE\"}"), "{}");
	EQ_STR(again(&mesos_v1_FrameworkInfo_Capability_json, "{\"type\":\"unknown\"}"), "{}");
	EQ_STR(again(&mesos_v1_FrameworkInfo_Capability_json, "{\"type\":6}"), "{\"type\":\"MULTI_ROLE\"}");
	EQ_STR(again(&mesos_v1_CapabilityInfo_json, "{\"capabilities\":[\"CHOWN\",\"NOVEL\",\"KILL\"]}"), "{\"capabilities\":[\"CHOWN\",\"KILL\"]}");
	EQ_STR(error_of(&mesos_v1_Volume_json, "{\"container_path\":\"a\",\"mode\":\"WO\"}"), "'mode' is no member of its enum");
}

TEST(pb_json, every_member_of_an_enum_is_found_by_its_name)
{
	static const struct { const char *name; int value; } rows[] = {
		{ "TASK_STARTING", 0 }, { "TASK_STAGING", 6 }, { "TASK_KILLING", 8 }, { "TASK_UNKNOWN", 13 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = arena_printf(&arena, "{\"task_id\":{\"value\":\"t\"},\"state\":\"%s\"}", rows[i].name);
		mesos_v1_TaskStatus status;
		EQ_INT(parse(&mesos_v1_TaskStatus_json, text, &status, NULL), 0);
		EQ_INT(status.state, rows[i].value);
		EQ_STR(written(&mesos_v1_TaskStatus_json, &status), text);
	}
}

TEST(pb_json, number_of_an_unknown_enum_member_survives_writing)
{
	mesos_v1_FrameworkInfo_Capability c = { .has_type = true, .type = (mesos_v1_FrameworkInfo_Capability_Type)99 };
	EQ_STR(written(&mesos_v1_FrameworkInfo_Capability_json, &c), "{\"type\":99}");
}

TEST(pb_json, maps_are_objects)
{
	const char *text = "{\"quantities\":{\"cpus\":{\"value\":0.5},\"mem\":{\"value\":32.0}}}";
	EQ_STR(again(&mesos_v1_OfferFilters_ResourceQuantities_json, text), text);
	EQ_STR(again(&mesos_v1_OfferFilters_ResourceQuantities_json, "{\"quantities\":{\"cpus\":null}}"), "{}");
	EQ_STR(error_of(&mesos_v1_OfferFilters_ResourceQuantities_json, "{\"quantities\":{\"cpus\":0.5}}"),
		"'quantities.cpus' must be an object");
	EQ_STR(error_of(&mesos_v1_OfferFilters_ResourceQuantities_json, "{\"quantities\":[]}"), "'quantities' must be an object");
}

TEST(pb_json, the_last_member_of_a_oneof_counts)
{
	EQ_STR(again(&mesos_v1_scheduler_AttributeConstraint_Selector_json, "{\"attribute_name\":\"a\"}"), "{\"attribute_name\":\"a\"}");
	EQ_STR(again(&mesos_v1_scheduler_AttributeConstraint_Selector_json, "{\"attribute_name\":\"a\",\"pseudoattribute_type\":\"ZONE\"}"),
		"{\"attribute_name\":\"a\"}");
	EQ_STR(again(&mesos_v1_scheduler_AttributeConstraint_Predicate_json, "{\"exists\":{}}"), "{\"exists\":{}}");
}

TEST(pb_json, strings_are_escaped_and_kept)
{
	const char *text = "{\"value\":\"\\\"\\\\\\n\\u0001 \xc3\xbc \xf0\x9f\x90\xb3 '/\"}";
	EQ_STR(again(&mesos_v1_TaskID_json, text), text);
	EQ_STR(error_of(&mesos_v1_TaskID_json, "{\"value\":\"a\\u0000b\"}"), "'value' must not contain a NUL character");
}

TEST(pb_json, missing_required_field_is_named_by_its_path)
{
	EQ_STR(error_of(&mesos_v1_Offer_Operation_Launch_json,
		"{\"task_infos\":[{\"name\":\"a\",\"task_id\":{\"value\":\"t\"},\"agent_id\":{}}]}"),
		"Missing required field 'task_infos[0].agent_id.value'");
	EQ_STR(error_of(&mesos_v1_TaskInfo_json, "{\"name\":null}"), "Missing required field 'name'");
	EQ_STR(error_of(&mesos_v1_TaskInfo_json,
		"{\"name\":\"n\",\"task_id\":{\"value\":\"t\"},\"agent_id\":{\"value\":\"a\"},\"limits\":{\"cpus\":{}}}"),
		"Missing required field 'limits.cpus.value'");
}

TEST(pb_json, wrong_kind_of_value_is_said)
{
	EQ_STR(error_of(&mesos_v1_TaskID_json, "[]"), "JSON message must be an object");
	EQ_STR(error_of(&mesos_v1_TaskID_json, "{\"value\":1}"), "'value' must be a string");
	EQ_STR(error_of(&mesos_v1_TaskID_json, "{\"value\":[\"a\"]}"), "'value' must be a string");
	EQ_STR(error_of(&mesos_v1_scheduler_Call_Revive_json, "{\"roles\":[\"a\",null]}"), "'roles[1]' must not be null");
	EQ_STR(error_of(&mesos_v1_SeccompInfo_json, "{\"unconfined\":1}"), "'unconfined' must be true or false");
	EQ_STR(error_of(&mesos_v1_Filters_json, "{\"refuse_seconds\":\"soon\"}"), "'refuse_seconds' must be a number");
	EQ_STR(error_of(&mesos_v1_UUID_json, "{\"value\":\"?\"}"), "'value' is not base64");
	EQ_STR(error_of(&mesos_v1_Volume_json, "{\"container_path\":\"a\",\"mode\":true}"), "'mode' must be the name of an enum's member");
	HAS(error_of(&mesos_v1_TaskID_json, "{"), "");
}

TEST(pb_json, integers_stay_in_their_range)
{
	EQ_STR(again(&mesos_v1_AgentInfo_json, "{\"hostname\":\"a\",\"port\":-2147483648}"), "{\"hostname\":\"a\",\"port\":-2147483648}");
	EQ_STR(error_of(&mesos_v1_AgentInfo_json, "{\"hostname\":\"a\",\"port\":2147483648}"), "'port' is out of range");
	EQ_STR(error_of(&mesos_v1_AgentInfo_json, "{\"hostname\":\"a\",\"port\":1.5}"), "'port' must be a whole number");
	EQ_STR(error_of(&mesos_v1_TimeInfo_json, "{\"nanoseconds\":9223372036854775808}"), "'nanoseconds' must be a whole number");
	EQ_STR(error_of(&mesos_v1_HealthCheck_TCPCheckInfo_json, "{\"port\":4294967296}"), "'port' is out of range");
	EQ_STR(error_of(&mesos_v1_HealthCheck_TCPCheckInfo_json, "{\"port\":-1}"), "'port' must be a whole number that is not negative");
}

TEST(pb_json, nesting_ends_at_the_limit)
{
	struct err e;
	mesos_v1_ContainerID id;
	AUTO_FREE char *deepest = nested_ids(LIMIT_JSON_DEPTH);
	AUTO_FREE char *deeper = nested_ids(LIMIT_JSON_DEPTH + 1);
	EQ_STR(again(&mesos_v1_ContainerID_json, deepest), deepest);
	TRUE(parse(&mesos_v1_ContainerID_json, deeper, &id, &e) != 0);
}

TEST(pb_json, message_nested_too_deep_is_not_written)
{
	static mesos_v1_ContainerID ids[LIMIT_JSON_DEPTH + 1];
	AUTO_BUF struct buf out = BUF_INIT;
	for (int i = 0; i <= LIMIT_JSON_DEPTH; i++)
		ids[i] = (mesos_v1_ContainerID){ .value = "c", .parent = i > 0 ? &ids[i - 1] : NULL };
	EQ_INT(pb_json_write(&out, &mesos_v1_ContainerID_json, &ids[LIMIT_JSON_DEPTH - 1]), 0);
	size_t before = out.len;
	EQ_INT(pb_json_write(&out, &mesos_v1_ContainerID_json, &ids[LIMIT_JSON_DEPTH]), E_TOOBIG);
	EQ_INT(out.len, before);
}

TEST(pb_json, output_past_its_ceiling_is_dropped_whole)
{
	mesos_v1_TaskID id = { .value = "0123456789" };
	AUTO_BUF struct buf out = { .max = 16 };
	buf_puts(&out, "x");
	EQ_INT(pb_json_write(&out, &mesos_v1_TaskID_json, &id), E_TOOBIG);
	EQ_INT(out.len, 1);
}

TEST(pb_json, list_that_needs_more_memory_than_allowed_is_refused)
{
	AUTO_ARENA struct arena small = { .max = 4096 };
	AUTO_BUF struct buf text = BUF_INIT;
	struct err e;
	mesos_v1_Value_Ranges ranges;
	buf_puts(&text, "{\"range\":[{\"begin\":1,\"end\":1}");
	for (int i = 0; i < 1000; i++)
		buf_puts(&text, ",{\"begin\":1,\"end\":1}");
	buf_puts(&text, "]}");
	EQ_INT(pb_json_parse(&small, &mesos_v1_Value_Ranges_json, buf_cstr(&text), text.len, &ranges, &e), E_TOOBIG);
	EQ_STR(e.text, "'range' needs more memory than a request may use");
}

TEST(pb_json, records_have_a_json_form_too)
{
	mesos_v1_AgentInfo info = { .hostname = "a1" };
	rec_Agent row = { .id = "S1", .info = &info, .has_port = true, .port = 5051 };
	const char *text = "{\"id\":\"S1\",\"info\":{\"hostname\":\"a1\",\"port\":5051},\"port\":5051}";
	EQ_STR(written(&rec_Agent_json, &row), text);
	EQ_STR(again(&rec_Agent_json, text), text);
}

TEST(pb_json, tables_name_the_fields_nanopb_iterates)
{
	for (const struct pb_json_field *f = mesos_v1_TaskInfo_json.fields; f->key; f++)
		EQ_INT(strlen(f->key), f->key_len);
	EQ_STR(mesos_v1_TaskInfo_json.fields[14].key, "\"limits\":");
	EQ_INT(mesos_v1_TaskInfo_json.desc->field_count, 15);
}

TEST(base64, vectors_of_rfc_4648)
{
	static const char *const rows[][3] = {
		{ "", "", "" }, { "f", "Zg==", "Zg" }, { "fo", "Zm8=", "Zm8" }, { "foo", "Zm9v", "Zm9v" }, { "foob", "Zm9vYg==", "Zm9vYg" },
		{ "\xfb\xff", "+/8=", "-_8" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF struct buf out = BUF_INIT;
		uint8_t back[16];
		size_t len;
		base64_write(&out, str_of(rows[i][0]));
		EQ_STR(buf_cstr(&out), rows[i][1]);
		buf_reset(&out);
		base64url_write(&out, str_of(rows[i][0]));
		EQ_STR(buf_cstr(&out), rows[i][2]);
		for (int form = 1; form <= 2; form++) {
			TRUE(base64_read(str_of(rows[i][form]), back, &len));
			EQ_INT(len, strlen(rows[i][0]));
			EQ_MEM(back, rows[i][0], len);
		}
	}
}

TEST(base64, what_is_not_base64_is_refused)
{
	static const char *const rows[] = { "Z", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9 v", "Zm=v", "Zm9v\n" };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t back[16];
		size_t len;
		if (base64_read(str_of(rows[i]), back, &len))
			FAIL("'%s' was taken", rows[i]);
	}
}
