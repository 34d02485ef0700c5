/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear FILE...: is the history in these files (taken together; - is standard input) linearizable? Exit status 0: yes; 1: no,
 * with the place where every order fails; 2: a line is not as it should be, or the search was given up.
 *
 * A line is one operation of a client on one register, in any order:
 *   {"client":"c1","op":"read","key":"k","args":[],"result":"v","start":1000,"end":1200}       result null: never written
 *   {"client":"c1","op":"write","key":"k","args":["v"],"result":true,"start":1000,"end":1200}
 *   {"client":"c1","op":"cas","key":"k","args":["old","new"],"result":true,"start":1000,"end":1200}    "old" null: never written;
 *                                                  result false: it held something else and nothing was changed
 * start and end are numbers of any one clock, taken before the request is sent and after its answer has come. "end":null means that
 * the outcome is unknown (no answer, an answer that leaves it open); "result" is then left out. Operations that certainly did
 * nothing are left out. Every register begins as never written. Values are strings.
 */
#include <stdio.h>

#include "net/base/map.h"
#include "net/json.h"
#include "tests/lib/linear.h"

#define STEPS_MAX 20000000

struct names {
	struct map ids;                  /* name -> number + 1 */
	const char **list;               /* owned array; the names are the map's */
	size_t count;
};

struct history {
	struct linear_op *ops;           /* owned */
	size_t count, cap;
	struct names clients, keys, values;
};

static size_t name_id(struct names *n, const char *name)
{
	size_t id = (size_t)map_find_c(&n->ids, name);
	if (id > 0)
		return id - 1;
	(void)map_put_c(&n->ids, name, (void *)(n->count + 1));
	n->list = xrealloc(n->list, (n->count + 1) * sizeof(*n->list));
	n->list[n->count] = xstrdup(name);
	return n->count++;
}

/* A string is its number, null is LINEAR_ABSENT; anything else is refused. */
static bool read_value(struct history *h, yyjson_val *v, int64_t *out)
{
	if (yyjson_is_null(v))
		*out = LINEAR_ABSENT;
	else if (yyjson_is_str(v))
		*out = (int64_t)name_id(&h->values, yyjson_get_str(v));
	else
		return false;
	return true;
}

static bool read_times(yyjson_val *line, struct linear_op *op)
{
	yyjson_val *end = yyjson_obj_get(line, "end"), *start = yyjson_obj_get(line, "start");
	op->start = yyjson_get_sint(start);
	op->end = yyjson_is_null(end) ? LINEAR_UNKNOWN : yyjson_get_sint(end);
	return yyjson_is_int(start) && (yyjson_is_null(end) || yyjson_is_int(end)) && op->end >= op->start;
}

static const char *read_op(struct history *h, yyjson_val *line, struct linear_op *op)
{
	const char *client = json_str(line, "client", NULL), *key = json_str(line, "key", NULL), *kind = json_str(line, "op", "");
	yyjson_val *args = yyjson_obj_get(line, "args"), *result = yyjson_obj_get(line, "result");
	size_t arg_count = yyjson_arr_size(args);
	if (!client || !key)
		return "client and key must be strings";
	if (!read_times(line, op))
		return "start must be a number, end a number after it or null";
	bool unknown = op->end == LINEAR_UNKNOWN;
	op->client = (uint32_t)name_id(&h->clients, client);
	op->key = (uint32_t)name_id(&h->keys, key);
	if (strcmp(kind, "read") == 0) {
		op->kind = LINEAR_READ;
		return unknown || read_value(h, result, &op->value) ? NULL : "a read's result is a string or null";
	}
	if (!unknown && !yyjson_is_bool(result))
		return "result must be true or false";
	op->done = yyjson_get_bool(result);
	if (strcmp(kind, "write") == 0 && arg_count == 1 && (op->done || unknown)) {
		op->kind = LINEAR_WRITE;
		return read_value(h, yyjson_arr_get(args, 0), &op->value) ? NULL : "args must be strings";
	}
	if (strcmp(kind, "cas") == 0 && arg_count == 2) {
		op->kind = LINEAR_CAS;
		return read_value(h, yyjson_arr_get(args, 0), &op->expect) && read_value(h, yyjson_arr_get(args, 1), &op->value) ? NULL :
			"args must be strings";
	}
	return "op must be read with no args, write with one and result true, or cas with two";
}

static int read_line(struct history *h, const char *text, size_t len, struct err *e)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	struct linear_op op = { 0 };
	int rc = json_parse(text, len, &doc, e);
	if (rc != 0)
		return rc;
	const char *wrong = read_op(h, yyjson_doc_get_root(doc), &op);
	if (wrong)
		return err_set(e, E_MALFORMED, "%s", wrong);
	if (h->count == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 1024;
		h->ops = xrealloc(h->ops, h->cap * sizeof(*h->ops));
	}
	h->ops[h->count++] = op;
	return 0;
}

static int read_file(struct history *h, const char *path, struct err *e)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	AUTO_FREE char *line = NULL;
	size_t cap = 0, number = 0;
	int rc = 0;
	if (!f)
		return err_sys(e, "open '%s'", path);
	for (ssize_t len; rc == 0 && (len = getline(&line, &cap, f)) >= 0;) {
		number++;
		if (len > 1 && read_line(h, line, (size_t)len, e) != 0)
			rc = err_wrap(e, "'%s' line %zu", path, number);
	}
	if (rc == 0 && ferror(f))
		rc = err_sys(e, "read '%s'", path);
	if (f != stdin)
		(void)fclose(f);                 /* was only read */
	return rc;
}

static const char *value_name(const struct history *h, int64_t value)
{
	return value == LINEAR_ABSENT ? "nothing" : h->values.list[value];
}

static void print_op(const struct history *h, const struct linear_op *op)
{
	printf("  %s: ", h->clients.list[op->client]);
	if (op->kind == LINEAR_READ)
		printf("read %s", value_name(h, op->value));
	else if (op->kind == LINEAR_WRITE)
		printf("write %s", value_name(h, op->value));
	else
		printf("cas %s -> %s%s", value_name(h, op->expect), value_name(h, op->value),
		       op->end == LINEAR_UNKNOWN ? "" : op->done ? ": done" : ": held something else");
	if (op->end == LINEAR_UNKNOWN)
		printf(" [%lld .. outcome unknown]\n", (long long)op->start);
	else
		printf(" [%lld .. %lld]\n", (long long)op->start, (long long)op->end);
}

static void print_fault(const struct history *h, const struct linear_fault *f)
{
	const struct linear_op *bad = &h->ops[f->op];
	printf("not linearizable: register '%s'; the longest order explains %zu operations and leaves %s in it, which does not go with\n",
	       h->keys.list[f->key], f->explained, value_name(h, f->value));
	print_op(h, bad);
	printf("Under way at the same time:\n");
	for (size_t i = 0; i < h->count; i++)
		if (i != f->op && h->ops[i].key == f->key && h->ops[i].end >= bad->start && h->ops[i].start <= bad->end &&
		    h->ops[i].end != LINEAR_UNKNOWN)
			print_op(h, &h->ops[i]);
	printf("Concerning that value:\n");
	for (size_t i = 0; i < h->count; i++)
		if (h->ops[i].key == f->key && (h->ops[i].value == bad->value || h->ops[i].value == f->value))
			print_op(h, &h->ops[i]);
}

int main(int argc, char **argv)
{
	struct history h = { 0 };
	struct err e = { 0 };
	size_t unknown = 0;
	if (argc < 2) {
		fprintf(stderr, "usage: linear HISTORY-FILE...\n");
		return 2;
	}
	for (int i = 1; i < argc; i++)
		if (read_file(&h, argv[i], &e) != 0) {
			fprintf(stderr, "linear: %s\n", e.text);
			return 2;
		}
	for (size_t i = 0; i < h.count; i++)
		unknown += h.ops[i].end == LINEAR_UNKNOWN;
	struct linear_fault fault;
	int rc = linear_check(h.ops, h.count, STEPS_MAX, &fault);
	if (rc == E_CONFLICT) {
		print_fault(&h, &fault);
		return 1;
	}
	if (rc != 0) {
		fprintf(stderr, "linear: register '%s': no order found in %d steps, and not all were tried\n",
			h.keys.list[fault.key], STEPS_MAX);
		return 2;
	}
	printf("linearizable: %zu operations of %zu clients on %zu registers, %zu of unknown outcome\n", h.count, h.clients.count,
	       h.keys.count, unknown);
	return 0;
}
