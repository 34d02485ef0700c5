/* SPDX-License-Identifier: Apache-2.0 */
/* What commands print: tables as the dcos CLI of DC/OS 1.8 lays them out (no lines, two spaces behind each column), and JSON. */
#include <stdio.h>

#include "roles/cli/cli.h"

#define COLUMNS_MAX 12

struct row {
	char *cells[COLUMNS_MAX];
	size_t order;            /* of being added: what sorting falls back on */
};

struct table {
	struct row header;
	bool left[COLUMNS_MAX];
	size_t columns;
	struct row *rows;
	size_t count, cap;
};

struct table *table_new(const char *columns)
{
	struct table *t = xcalloc(1, sizeof(*t));
	struct str rest = str_of(columns);
	while (rest.p) {
		struct str name = str_cut(&rest, '|');
		assert(t->columns < COLUMNS_MAX);
		bool left = name.len > 0 && name.p[0] == '<';
		t->left[t->columns] = left;
		t->header.cells[t->columns++] = str_dup(left ? str_from(name, 1) : name);
	}
	return t;
}

void table_add(struct table *t, const char *const *cells)
{
	if (t->count == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->rows = xrealloc(t->rows, t->cap * sizeof(*t->rows));
	}
	struct row *r = &t->rows[t->count];
	r->order = t->count++;
	for (size_t i = 0; i < t->columns; i++)
		r->cells[i] = xstrdup(!cells[i] ? "N/A" : cells[i][0] ? cells[i] : "---");
}

static int by_column(const void *a, const void *b, void *arg)
{
	const struct row *x = a, *y = b;
	size_t column = *(const size_t *)arg;
	int c = strcmp(x->cells[column], y->cells[column]);
	return c != 0 ? c : (x->order > y->order) - (x->order < y->order);
}

void table_sort(struct table *t, size_t column)
{
	if (t->count > 1)
		qsort_r(t->rows, t->count, sizeof(*t->rows), by_column, &column);
}

/* Characters, not bytes. */
static size_t width_of(const char *s)
{
	size_t n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void write_row(const struct table *t, const struct row *r, const size_t *widths, struct buf *out)
{
	AUTO_BUF struct buf line = BUF_INIT;
	for (size_t i = 0; i < t->columns; i++) {
		size_t space = widths[i] - width_of(r->cells[i]);
		size_t before = t->left[i] ? 0 : space / 2;
		buf_printf(&line, "%*s%s%*s  ", (int)before, "", r->cells[i], (int)(space - before), "");
	}
	while (line.len > 0 && line.data[line.len - 1] == ' ')
		line.len--;
	buf_str(out, buf_view(&line));
	buf_putc(out, '\n');
}

void table_text(const struct table *t, struct buf *out)
{
	size_t widths[COLUMNS_MAX];
	for (size_t i = 0; i < t->columns; i++) {
		widths[i] = width_of(t->header.cells[i]);
		for (size_t j = 0; j < t->count; j++)
			widths[i] = MAX(widths[i], width_of(t->rows[j].cells[i]));
	}
	write_row(t, &t->header, widths, out);
	for (size_t j = 0; j < t->count; j++)
		write_row(t, &t->rows[j], widths, out);
}

void table_print(const struct table *t)
{
	AUTO_BUF struct buf out = BUF_INIT;
	table_text(t, &out);
	(void)fputs(buf_cstr(&out), stdout);
}

static void row_free(const struct table *t, struct row *r)
{
	for (size_t i = 0; i < t->columns; i++)
		free(r->cells[i]);
}

void table_free(struct table *t)
{
	if (!t)
		return;
	row_free(t, &t->header);
	for (size_t j = 0; j < t->count; j++)
		row_free(t, &t->rows[j]);
	free(t->rows);
	free(t);
}

void print_json(const yyjson_val *v)
{
	AUTO_BUF struct buf out = BUF_INIT;
	if (v)
		json_write(&out, v, true);
	puts(v ? buf_cstr(&out) : "null");
}

void json_list_add(struct json_list *l, const yyjson_val *v)
{
	buf_puts(&l->out, l->count++ > 0 ? ",\n" : "[\n");
	json_write(&l->out, v, true);
}

void json_list_print(struct json_list *l)
{
	buf_puts(&l->out, l->count > 0 ? "\n]" : "[]");
	puts(buf_cstr(&l->out));
}
