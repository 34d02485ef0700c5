/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>

#include "net/limits.h"
#include "net/seal.h"
#include "roles/master/backup_file.h"
#include "tests/lib/test.h"

#define PASSPHRASE STR("correct horse")

/* ---- sealing ---- */

TEST(seal, what_was_sealed_is_opened_by_the_same_passphrase_only)
{
	AUTO_BUF struct buf sealed = BUF_INIT, again = BUF_INIT, out = BUF_INIT;
	struct err e;
	EQ_INT(seal_write(PASSPHRASE, STR("bound"), STR("a secret"), &sealed, &e), 0);
	EQ_INT(seal_write(PASSPHRASE, STR("bound"), STR("a secret"), &again, &e), 0);
	EQ_INT(sealed.len, 49 + 8);
	TRUE(memcmp(sealed.data, again.data, sealed.len) != 0);          /* salt and nonce are drawn anew */
	FALSE(memmem(sealed.data, sealed.len, "secret", 6));
	EQ_INT(seal_open(PASSPHRASE, STR("bound"), buf_view(&sealed), &out, &e), 0);
	EQ_STR(buf_view(&out), "a secret");
	buf_reset(&out);
	EQ_INT(seal_open(STR("correct house"), STR("bound"), buf_view(&sealed), &out, &e), E_DENIED);
	EQ_INT(seal_open(PASSPHRASE, STR("other"), buf_view(&sealed), &out, &e), E_DENIED);
	EQ_INT(out.len, 0);
}

TEST(seal, a_changed_byte_anywhere_is_refused)
{
	static const size_t at[] = { 5, 20, 21, 32, 33, 48, 49, 56 };    /* ends of salt, nonce, tag and text */
	AUTO_BUF struct buf sealed = BUF_INIT, out = BUF_INIT;
	struct err e;
	EQ_INT(seal_write(PASSPHRASE, STR(""), STR("a secret"), &sealed, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		sealed.data[at[i]] ^= 1;
		EQ_INT(seal_open(PASSPHRASE, STR(""), buf_view(&sealed), &out, &e), E_DENIED);
		sealed.data[at[i]] ^= 1;
	}
	EQ_INT(seal_open(PASSPHRASE, STR(""), str_head(buf_view(&sealed), 48), &out, &e), E_MALFORMED);
	sealed.data[0] = 2;
	EQ_INT(seal_open(PASSPHRASE, STR(""), buf_view(&sealed), &out, &e), E_NEWER);
}

TEST(seal, more_rounds_than_the_limit_are_refused_at_once)
{
	AUTO_BUF struct buf sealed = BUF_INIT, out = BUF_INIT;
	struct err e;
	uint32_t rounds = LIMIT_SEAL_ROUNDS + 1;
	EQ_INT(seal_write(PASSPHRASE, STR(""), STR("a secret"), &sealed, &e), 0);
	memcpy(sealed.data + 1, &rounds, sizeof(rounds));
	EQ_INT(seal_open(PASSPHRASE, STR(""), buf_view(&sealed), &out, &e), E_MALFORMED);
	HAS(e.text, "over the limit");
	memset(sealed.data + 1, 0, sizeof(rounds));
	EQ_INT(seal_open(PASSPHRASE, STR(""), buf_view(&sealed), &out, &e), E_MALFORMED);
}

/* ---- the file ---- */

/* The dump of a state without rows: index 7 of format 2. */
static void empty_dump(struct buf *out)
{
	uint32_t layout = 1, format = 2, block[2] = { 2, 16 };
	uint64_t index = 7, term = 1, end[2] = { 0, 36 };
	(void)buf_puts(out, "dcosdump");
	(void)buf_append(out, &layout, 4);
	(void)buf_append(out, &format, 4);
	(void)buf_append(out, &index, 8);
	(void)buf_append(out, &term, 8);
	uint32_t crc = crc32c(0, out->data, out->len);
	(void)buf_append(out, &crc, 4);
	crc = crc32c(crc, block, sizeof(block));
	crc = crc32c(crc, end, sizeof(end));
	(void)buf_append(out, block, sizeof(block));
	(void)buf_append(out, &crc, 4);
	(void)buf_append(out, end, sizeof(end));
}

static backup_Keys keys = { .ca_pem = "certificate", .ca_key_pem = "key", .token = "dcos1.x.y" };

static int write_file(const char *path, bool with_keys, uint64_t index, struct err *e)
{
	AUTO_BUF struct buf dump = BUF_INIT;
	struct backup_writer w;
	empty_dump(&dump);
	backup_Head head = { .cluster_id = "c", .has_state_format = true, .state_format = 2, .has_index = true, .index = index,
			     .has_dump_bytes = true, .dump_bytes = dump.len, .has_keys = true, .keys = with_keys };
	int rc = backup_writer_open(&w, path, e);
	if (rc == 0)
		rc = backup_writer_head(&w, &head, e);
	if (rc == 0)
		rc = backup_writer_add(&w, str_head(buf_view(&dump), 10), e);
	if (rc == 0)
		rc = backup_writer_add(&w, str_from(buf_view(&dump), 10), e);
	if (rc == 0)
		rc = backup_writer_end(&w, with_keys ? &keys : NULL, PASSPHRASE, e);
	backup_writer_close(&w);
	return rc;
}

static int check_file(const char *path, struct err *e)
{
	struct backup_file f;
	uint64_t rows;
	int rc = backup_file_open(&f, path, &rows, e);
	backup_file_close(&f);
	return rc;
}

static size_t read_file(const char *path, uint8_t *out, size_t max)
{
	AUTO_FD int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, out, max);
	TRUE(n > 0);
	return (size_t)n;
}

static void put_file(const char *path, const uint8_t *bytes, size_t len)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	EQ_INT(write(fd, bytes, len), len);
}

TEST(backup_file, what_was_written_is_read)
{
	AUTO_FREE char *path = xasprintf("%s/b", test_dir());
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct backup_file f;
	backup_Keys got;
	uint64_t rows = 1;
	struct err e;
	EQ_INT(write_file(path, true, 7, &e), 0);
	EQ_INT(backup_file_open(&f, path, &rows, &e), 0);
	EQ_INT(rows, 0);
	EQ_STR(f.head.cluster_id, "c");
	EQ_INT(f.head.index, 7);
	EQ_INT(backup_file_keys(&f, PASSPHRASE, &a, &got, &e), 0);
	EQ_STR(got.ca_key_pem, "key");
	EQ_STR(got.token, "dcos1.x.y");
	EQ_INT(backup_file_keys(&f, STR("wrong"), &a, &got, &e), E_DENIED);
	HAS(e.text, "the passphrase is not the one");
	backup_file_close(&f);
}

TEST(backup_file, one_that_is_cut_or_changed_anywhere_is_damaged)
{
	AUTO_FREE char *path = xasprintf("%s/b", test_dir()), *bad = xasprintf("%s/bad", test_dir());
	uint8_t bytes[1024];
	struct err e;
	EQ_INT(write_file(path, true, 7, &e), 0);
	size_t len = read_file(path, bytes, sizeof(bytes));
	for (size_t cut = 0; cut < len; cut++) {
		put_file(bad, bytes, cut);
		EQ_INT(check_file(bad, &e), E_CORRUPT);
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		put_file(bad, bytes, len);
		int rc = check_file(bad, &e);
		if (rc != E_CORRUPT && (rc != E_NEWER || bit / 8 < 8 || bit / 8 > 11))   /* the layout's own bytes may say newer */
			FAIL("bit %zu gives %d", bit, rc);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	put_file(bad, bytes, len);
	EQ_INT(check_file(bad, &e), 0);
}

TEST(backup_file, a_head_of_another_state_than_the_dump_is_damage)
{
	AUTO_FREE char *path = xasprintf("%s/b", test_dir());
	struct err e;
	EQ_INT(write_file(path, false, 8, &e), 0);
	EQ_INT(check_file(path, &e), E_CORRUPT);
	HAS(e.text, "of different states");
}

TEST(backup_file, one_that_was_not_ended_leaves_nothing)
{
	AUTO_FREE char *path = xasprintf("%s/b", test_dir()), *partial = xasprintf("%s/b.partial", test_dir());
	struct backup_writer w;
	struct err e;
	backup_Head head = { .has_dump_bytes = true, .dump_bytes = 3 };
	EQ_INT(backup_writer_open(&w, path, &e), 0);
	EQ_INT(backup_writer_head(&w, &head, &e), 0);
	EQ_INT(backup_writer_add(&w, STR("four"), &e), E_MALFORMED);
	EQ_INT(access(partial, F_OK), 0);
	backup_writer_close(&w);
	EQ_INT(access(partial, F_OK), -1);
	EQ_INT(access(path, F_OK), -1);
}
