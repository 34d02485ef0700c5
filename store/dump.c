/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dumps: a head, blocks of rows, an end. Tables come in the order of their names and rows in the order of their keys, so equal
 * rows make equal bytes, and loading only ever appends. Numbers are little-endian.
 *
 *   head    "dcosdump" | layout u32 | format u32 | index u64 | term u64 | crc u32
 *   block   kind u32 | bytes u32 | crc u32 | so many bytes
 *     1     rows of one table:  name bytes u8 | name | { key bytes u16 | value bytes u32 | key | value as kv.c stores it }
 *     2     the end:            rows u64 | bytes of the stream before this block u64
 *
 * Each crc is a CRC-32C of everything from the stream's first byte to the end of its own block, the crcs left out: so a block
 * that is missing, doubled or moved is seen at once, and the last one covers all. The head keeps its form in every layout.
 * Reading trusts nothing: what a block holds is looked at only after its checksum, and memory is taken as bytes come in.
 */
#include "store/dump.h"

#include "net/base/buf.h"
#include "net/limits.h"

#define DUMP_LAYOUT 1
#define DUMP_MAGIC "dcosdump"
#define DUMP_TABLES_MAX 256
#define DUMP_STEP_BYTES ((size_t)(256 * KIB))    /* read at a time */

enum { BLOCK_ROWS = 1, BLOCK_END = 2 };

struct dump_file_head {
	char magic[8];
	uint32_t layout, format;
	uint64_t index, term;
};
static_assert(sizeof(struct dump_file_head) == 32, "head of a dump");

struct block_head {
	uint32_t kind, bytes;
};

struct end_block {
	uint64_t rows, bytes;
};

#define ROW_HEAD_BYTES (sizeof(uint16_t) + sizeof(uint32_t))

/* ---- writing ---- */

struct writer {
	int (*write)(void *arg, const void *data, size_t len, struct err *e);
	void *arg;
	const struct kv_table *table;    /* whose rows are in block */
	struct buf block;
	uint32_t crc;
	struct end_block sum;
};

static int put(struct writer *w, const void *data, size_t len, struct err *e)
{
	w->sum.bytes += len;
	return w->write(w->arg, data, len, e);
}

static int put_block(struct writer *w, uint32_t kind, const void *data, size_t len, struct err *e)
{
	struct block_head h = { kind, (uint32_t)len };
	w->crc = crc32c(w->crc, &h, sizeof(h));
	w->crc = crc32c(w->crc, data, len);
	int rc = put(w, &h, sizeof(h), e);
	if (rc == 0)
		rc = put(w, &w->crc, sizeof(w->crc), e);
	return rc == 0 ? put(w, data, len, e) : rc;
}

static int put_rows(struct writer *w, struct err *e)
{
	if (w->block.len == 0)
		return 0;
	int rc = put_block(w, BLOCK_ROWS, w->block.data, w->block.len, e);
	buf_reset(&w->block);
	return rc;
}

static int add_row(void *arg, struct str key, struct str stored, struct err *e)
{
	struct writer *w = arg;
	uint16_t key_bytes = (uint16_t)key.len;
	uint32_t value_bytes = (uint32_t)stored.len;
	if (stored.len > LIMIT_DUMP_ROW_BYTES)
		return err_set(e, E_TOOBIG, "table '%s' holds a value of %zu bytes, which no dump takes", w->table->name, stored.len);
	if (w->block.len == 0) {
		uint8_t name_bytes = (uint8_t)strlen(w->table->name);
		(void)buf_append(&w->block, &name_bytes, sizeof(name_bytes));
		(void)buf_puts(&w->block, w->table->name);
	}
	(void)buf_append(&w->block, &key_bytes, sizeof(key_bytes));
	(void)buf_append(&w->block, &value_bytes, sizeof(value_bytes));
	(void)buf_str(&w->block, key);
	(void)buf_str(&w->block, stored);
	assert(buf_ok(&w->block));
	w->sum.rows++;
	return w->block.len >= DUMP_BLOCK_BYTES ? put_rows(w, e) : 0;
}

static int by_name(const void *a, const void *b)
{
	const struct kv_table *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

static int write_all(struct writer *w, struct kv_txn *txn, const struct kv_table *const *tables, const struct dump_head *head,
		     struct err *e)
{
	const struct kv_table *sorted[DUMP_TABLES_MAX];
	size_t count = 0;
	for (; tables[count]; count++) {
		assert(count < DUMP_TABLES_MAX);
		assert(strlen(tables[count]->name) <= UINT8_MAX);
		sorted[count] = tables[count];
	}
	qsort(sorted, count, sizeof(sorted[0]), by_name);
	struct dump_file_head h = { .layout = DUMP_LAYOUT, .format = head->format, .index = head->index, .term = head->term };
	memcpy(h.magic, DUMP_MAGIC, sizeof(h.magic));
	w->crc = crc32c(0, &h, sizeof(h));
	int rc = put(w, &h, sizeof(h), e);
	if (rc == 0)
		rc = put(w, &w->crc, sizeof(w->crc), e);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		w->table = sorted[i];
		rc = kv_each_stored(txn, sorted[i], add_row, w, e);
		if (rc == 0)
			rc = put_rows(w, e);
	}
	struct end_block end = w->sum;
	return rc == 0 ? put_block(w, BLOCK_END, &end, sizeof(end), e) : rc;
}

int dump_write(struct kv_txn *txn, const struct kv_table *const *tables, const struct dump_head *head,
	       int (*write)(void *arg, const void *data, size_t len, struct err *e), void *arg, struct err *e)
{
	struct writer w = { .write = write, .arg = arg, .block = { .max = LIMIT_DUMP_BLOCK_BYTES } };
	int rc = write_all(&w, txn, tables, head, e);
	buf_fini(&w.block);
	return rc;
}

/* ---- reading ---- */

struct reader {
	const struct dump_source *from;  /* borrowed */
	struct buf block;                /* what the last block holds */
	uint32_t crc;
	struct end_block sum;            /* read so far */
	struct dump_head head;
	/* Rows come in order of table and key. */
	struct str table;                /* of this block: borrowed from it */
	char last_table[UINT8_MAX + 1];
	uint8_t last_key[KV_KEY_MAX];
	size_t last_key_bytes;
	/* What to do with each row; NULL: nothing. */
	int (*row)(void *arg, struct str table, struct str key, struct str stored, struct err *e);
	void *arg;
};

static int broken(const struct reader *r, const char *how, struct err *e)
{
	return err_set(e, E_CORRUPT, "the dump is damaged at byte %llu: %s", (unsigned long long)r->sum.bytes, how);
}

/* Exactly len bytes; a stream that is shorter has lost its end. */
static int take(struct reader *r, void *out, size_t len, struct err *e)
{
	ssize_t n = r->from->read(r->from->arg, out, len, e);
	if (n < 0)
		return (int)n;
	r->sum.bytes += (uint64_t)n;
	return (size_t)n == len ? 0 : broken(r, "it ends here, too early", e);
}

static int take_head(struct reader *r, struct err *e)
{
	struct dump_file_head h;
	uint32_t crc;
	int rc = take(r, &h, sizeof(h), e);
	if (rc == 0)
		rc = take(r, &crc, sizeof(crc), e);
	if (rc != 0)
		return rc;
	r->crc = crc32c(0, &h, sizeof(h));
	if (memcmp(h.magic, DUMP_MAGIC, sizeof(h.magic)) != 0)
		return err_set(e, E_CORRUPT, "this is no dump of dcos-node, or its first bytes are damaged");
	if (crc != r->crc)
		return broken(r, "its head has a wrong checksum", e);
	if (h.layout > DUMP_LAYOUT)
		return err_set(e, E_NEWER, "the dump was written by a newer dcos-node (layout %u, this one reads %u); use the newer one",
			       h.layout, DUMP_LAYOUT);
	r->head = (struct dump_head){ h.format, h.index, h.term };
	return 0;
}

static int take_block(struct reader *r, uint32_t *out_kind, struct err *e)
{
	struct block_head h;
	uint32_t crc;
	int rc = take(r, &h, sizeof(h), e);
	if (rc == 0)
		rc = take(r, &crc, sizeof(crc), e);
	if (rc == 0 && h.bytes > LIMIT_DUMP_BLOCK_BYTES)
		rc = broken(r, "a block is too long", e);
	buf_reset(&r->block);
	while (rc == 0 && r->block.len < h.bytes) {
		size_t step = MIN(h.bytes - r->block.len, DUMP_STEP_BYTES);
		rc = take(r, buf_room(&r->block, step), step, e);
		buf_grew(&r->block, rc == 0 ? step : 0);
	}
	if (rc != 0)
		return rc;
	r->crc = crc32c(r->crc, &h, sizeof(h));
	r->crc = crc32c(r->crc, r->block.data, r->block.len);
	if (crc != r->crc)
		return broken(r, "the block before has a wrong checksum", e);
	*out_kind = h.kind;
	return 0;
}

/* Take `len` bytes off the front; false when there are fewer. */
static bool cut(struct str *rest, size_t len, struct str *out)
{
	if (rest->len < len)
		return false;
	*out = str_head(*rest, len);
	*rest = str_from(*rest, len);
	return true;
}

static bool cut_row(struct str *rest, struct str *key, struct str *stored)
{
	uint16_t key_bytes;
	uint32_t value_bytes;
	struct str head;
	if (!cut(rest, ROW_HEAD_BYTES, &head))
		return false;
	memcpy(&key_bytes, head.p, sizeof(key_bytes));
	memcpy(&value_bytes, head.p + sizeof(key_bytes), sizeof(value_bytes));
	return key_bytes > 0 && key_bytes <= KV_KEY_MAX && cut(rest, key_bytes, key) && cut(rest, value_bytes, stored);
}

static bool cut_table(struct reader *r, struct str *rest)
{
	struct str bytes;
	if (!cut(rest, 1, &bytes) || !cut(rest, (uint8_t)bytes.p[0], &r->table) || memchr(r->table.p, 0, r->table.len))
		return false;
	int order = str_cmp(r->table, str_of(r->last_table));
	if (order > 0) {
		(void)str_put(r->last_table, sizeof(r->last_table), r->table);
		r->last_key_bytes = 0;
	}
	return order >= 0 && r->table.len > 0;
}

static bool key_follows(struct reader *r, struct str key)
{
	if (str_cmp(key, str_n((const char *)r->last_key, r->last_key_bytes)) <= 0)
		return false;
	memcpy(r->last_key, key.p, key.len);
	r->last_key_bytes = key.len;
	return true;
}

static int read_rows(struct reader *r, struct err *e)
{
	struct str rest = buf_view(&r->block), key, stored;
	int rc = 0;
	if (!cut_table(r, &rest))
		return broken(r, "the block before has no table, or one out of order", e);
	while (rc == 0 && rest.len > 0) {
		if (!cut_row(&rest, &key, &stored) || !key_follows(r, key))
			return broken(r, "the block before has a broken row, or one out of order", e);
		r->sum.rows++;
		if (r->row)
			rc = r->row(r->arg, r->table, key, stored, e);
	}
	return rc;
}

static int read_end(struct reader *r, uint64_t bytes_before, struct err *e)
{
	struct end_block end;
	uint8_t more;
	if (r->block.len != sizeof(end))
		return broken(r, "its end has a wrong length", e);
	memcpy(&end, r->block.data, sizeof(end));
	if (end.rows != r->sum.rows || end.bytes != bytes_before)
		return broken(r, "its end counts other rows or bytes than came", e);
	ssize_t n = r->from->read(r->from->arg, &more, sizeof(more), e);
	if (n < 0)
		return (int)n;
	return n == 0 ? 0 : broken(r, "it goes on behind its end", e);
}

static int read_blocks(struct reader *r, struct err *e)
{
	for (;;) {
		uint64_t before = r->sum.bytes;
		uint32_t kind = 0;
		int rc = take_block(r, &kind, e);
		if (rc == 0 && kind == BLOCK_END)
			return read_end(r, before, e);
		if (rc == 0)
			rc = kind == BLOCK_ROWS ? read_rows(r, e) : broken(r, "the block before is of no known kind", e);
		if (rc != 0)
			return rc;
	}
}

static int read_all(struct reader *r, struct err *e)
{
	buf_init(&r->block, LIMIT_DUMP_BLOCK_BYTES);
	int rc = take_head(r, e);
	if (rc == 0)
		rc = read_blocks(r, e);
	buf_fini(&r->block);
	return rc;
}

int dump_read_head(const struct dump_source *from, struct dump_head *out, struct err *e)
{
	struct reader r = { .from = from };
	int rc = take_head(&r, e);
	if (rc == 0)
		*out = r.head;
	return rc;
}

int dump_check(const struct dump_source *from, struct dump_head *out, uint64_t *rows, struct err *e)
{
	struct reader r = { .from = from };
	int rc = read_all(&r, e);
	if (rc != 0)
		return rc;
	if (out)
		*out = r.head;
	if (rows)
		*rows = r.sum.rows;
	return 0;
}

int dump_each(const struct dump_source *from, struct dump_head *out,
	      int (*fn)(void *arg, struct str table, struct str key, struct str stored, struct err *e), void *arg, struct err *e)
{
	struct reader r = { .from = from, .row = fn, .arg = arg };
	int rc = read_all(&r, e);
	if (rc == 0 && out)
		*out = r.head;
	return rc;
}

/* ---- loading ---- */

struct load {
	const struct dump_source *from;
	const struct kv_table *const *tables;
	struct kv_txn *txn;
	const struct kv_table *table;    /* of the row before */
	struct dump_head head;
	bool again;
};

static int load_row(void *arg, struct str table, struct str key, struct str stored, struct err *e)
{
	struct load *l = arg;
	if (!l->table || !str_eq_c(table, l->table->name)) {
		size_t i = 0;
		while (l->tables[i] && !str_eq_c(table, l->tables[i]->name))
			i++;
		l->table = l->tables[i];
	}
	if (!l->table)
		return err_set(e, E_NEWER, "the dump holds rows of a table '" STR_FMT "', which this dcos-node does not know; "
			       "use the newer one", STR_ARG(table));
	return kv_append_stored(l->txn, l->table, key, stored, e);
}

static int load_all(struct kv_txn *txn, void *arg, struct err *e)
{
	struct load *l = arg;
	struct reader r = { .from = l->from, .row = load_row, .arg = l };
	l->txn = txn;
	l->table = NULL;
	int rc = l->again ? l->from->rewind(l->from->arg, e) : 0;
	l->again = true;
	for (size_t i = 0; rc == 0 && l->tables[i]; i++)
		rc = kv_clear(txn, l->tables[i], e);
	if (rc == 0)
		rc = read_all(&r, e);
	l->head = r.head;
	return rc;
}

int dump_load(const struct dump_source *from, struct kv *kv, const struct kv_table *const *tables, struct dump_head *out,
	      struct err *e)
{
	struct load l = { .from = from, .tables = tables };
	int rc = kv_update(kv, load_all, &l, e);
	if (rc == 0 && out)
		*out = l.head;
	return rc;
}
