/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a dump: taken or refused with a sentence, and checking is as strict as loading but for the rows' own checksums.
 * Checksums of blocks are made right first, as far as the lengths let them, so that what lies behind them is reached.
 */
#include <stdio.h>

#include "net/limits.h"
#include "store/dump.h"

#define HEAD 36
#define BLOCK 12

struct bytes {
	const uint8_t *p;
	size_t len, at;
};

static ssize_t bytes_read(void *arg, void *out, size_t len, struct err *e)
{
	struct bytes *b = arg;
	size_t n = MIN(len, b->len - b->at);
	(void)e;
	memcpy(out, b->p + b->at, n);
	b->at += n;
	return (ssize_t)n;
}

static int bytes_rewind(void *arg, struct err *e)
{
	struct bytes *b = arg;
	(void)e;
	b->at = 0;
	return 0;
}

static void mend(uint8_t *p, size_t size)
{
	if (size < HEAD)
		return;
	memcpy(p, "dcosdump", 8);
	uint32_t crc = crc32c(0, p, HEAD - 4);
	memcpy(p + HEAD - 4, &crc, sizeof(crc));
	for (size_t at = HEAD; at + BLOCK <= size;) {
		uint32_t bytes;
		memcpy(&bytes, p + at + 4, sizeof(bytes));
		if (bytes > size - at - BLOCK)
			return;
		crc = crc32c(crc, p + at, 8);
		crc = crc32c(crc, p + at + BLOCK, bytes);
		memcpy(p + at + 8, &crc, sizeof(crc));
		at += BLOCK + bytes;
	}
}

static struct kv *opened(const struct kv_table *const *tables)
{
	static char dir[] = "/tmp/fuzz-dump-XXXXXX";
	static struct kv *kv;
	struct kv_options o = { .tables = tables };
	struct err e;
	if (!kv && (!mkdtemp(dir) || kv_open(dir, &o, &kv, &e) != 0))
		abort();
	return kv;
}

static void run(const uint8_t *data, size_t size)
{
	static const struct kv_table fruit = { .name = "fruit", .version = 1 }, tool = { .name = "tool", .version = 1 };
	static const struct kv_table *const tables[] = { &fruit, &tool, NULL };
	struct bytes b = { data, size, 0 };
	struct dump_source from = { bytes_read, bytes_rewind, &b };
	struct dump_head head;
	struct err e = { 0 };
	uint64_t rows;
	int rc = dump_check(&from, &head, &rows, &e);
	assert(rc == 0 || (rc == e.code && e.text[0]));
	b.at = 0;
	int loaded = dump_load(&from, opened(tables), tables, &head, &e);
	assert(loaded == 0 || (loaded == e.code && e.text[0]));
	assert(rc == 0 || loaded != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE uint8_t *copy = xmalloc(size + 1);
	memcpy(copy, data, size);
	run(copy, size);
	mend(copy, size);
	run(copy, size);
	return 0;
}
