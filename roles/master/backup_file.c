/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backup file. Numbers are little-endian.
 *
 *   "dcosback" | layout u32 | head bytes u32 | head | dump | sealed bytes u32 | sealed part | SHA-256 of all that is before
 *
 * head is backup.Head and says how long the dump is (store/dump.c). The sealed part (net/seal.c) holds backup.Keys and is bound
 * to the head, so that keys cannot be moved to another backup; it is empty when the head says that there are no keys. A file is
 * believed only after all of it was read and its SHA-256 is right; its length has to be the sum of its parts.
 */
#include "roles/master/backup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/limits.h"
#include "net/pb_util.h"
#include "net/seal.h"
#include "net/tls.h"
#include "store/disk.h"

#define BACKUP_LAYOUT 1
#define BACKUP_MAGIC "dcosback"
#define BACKUP_CHUNK ((size_t)(256 * KIB))

struct file_head {
	char magic[8];
	uint32_t layout, head_bytes;
};
static_assert(sizeof(struct file_head) == 16, "head of a backup");

/* ---- writing ---- */

static int put(struct backup_writer *w, const void *data, size_t len, struct err *e)
{
	const uint8_t *p = data;
	digest_add(w->digest, data, len);
	while (len > 0) {
		ssize_t n = write(w->fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "write '%s'", w->tmp);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int backup_writer_open(struct backup_writer *w, const char *path, struct err *e)
{
	*w = (struct backup_writer){ .fd = -1, .path = xstrdup(path), .tmp = xasprintf("%s.partial", path), .head = BUF_INIT };
	w->fd = open(w->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->fd < 0)
		return err_sys(e, "create '%s'", w->tmp);
	w->digest = digest_new();
	return 0;
}

int backup_writer_head(struct backup_writer *w, const backup_Head *head, struct err *e)
{
	struct file_head h = { .layout = BACKUP_LAYOUT };
	memcpy(h.magic, BACKUP_MAGIC, sizeof(h.magic));
	int rc = pb_write(backup_Head_fields, head, &w->head, e);
	if (rc == 0 && w->head.len > LIMIT_BACKUP_HEAD_BYTES)
		rc = err_set(e, E_TOOBIG, "what the master says of its backup is too long");
	h.head_bytes = (uint32_t)w->head.len;
	w->dump_bytes = head->dump_bytes;
	if (rc == 0)
		rc = put(w, &h, sizeof(h), e);
	return rc == 0 ? put(w, w->head.data, w->head.len, e) : rc;
}

int backup_writer_add(struct backup_writer *w, struct str piece, struct err *e)
{
	if (piece.len == 0 || piece.len > w->dump_bytes)
		return err_set(e, E_MALFORMED, "the master sent other bytes than it said");
	w->dump_bytes -= piece.len;
	return put(w, piece.p, piece.len, e);
}

static int put_keys(struct backup_writer *w, const backup_Keys *keys, struct str passphrase, struct err *e)
{
	AUTO_BUF struct buf plain = BUF_INIT, sealed = BUF_INIT;
	int rc = 0;
	if (keys)
		rc = pb_write(backup_Keys_fields, keys, &plain, e);
	if (rc == 0 && keys)
		rc = seal_write(passphrase, buf_view(&w->head), buf_view(&plain), &sealed, e);
	if (plain.len > 0)
		explicit_bzero(plain.data, plain.len);
	uint32_t bytes = (uint32_t)sealed.len;
	if (rc == 0)
		rc = put(w, &bytes, sizeof(bytes), e);
	return rc == 0 ? put(w, sealed.data, sealed.len, e) : rc;
}

/* So that the name survives a power cut. */
static int sync_folder(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *dir = !slash ? xstrdup(".") : slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
	return disk_real.sync_dir(NULL, dir) == 0 ? 0 : err_sys(e, "sync directory '%s'", dir);
}

int backup_writer_end(struct backup_writer *w, const backup_Keys *keys, struct str passphrase, struct err *e)
{
	uint8_t sum[32];
	assert(w->dump_bytes == 0);
	int rc = put_keys(w, keys, passphrase, e);
	if (rc != 0)
		return rc;
	digest_end(MOVE(w->digest), sum);
	w->digest = digest_new();
	rc = put(w, sum, sizeof(sum), e);
	if (rc == 0 && fsync(w->fd) != 0)
		rc = err_sys(e, "sync '%s'", w->tmp);
	if (rc == 0 && rename(w->tmp, w->path) != 0)
		rc = err_sys(e, "rename '%s'", w->tmp);
	if (rc != 0)
		return rc;
	(void)close(MOVE_FD(w->fd));
	return sync_folder(w->path, e);
}

void backup_writer_close(struct backup_writer *w)
{
	if (w->fd >= 0) {
		(void)close(w->fd);
		(void)unlink(w->tmp);
	}
	digest_free(w->digest);
	buf_fini(&w->head);
	free(w->path);
	free(w->tmp);
}

/* ---- reading ---- */

static int damaged(const struct backup_file *f, const char *how, struct err *e)
{
	return err_set(e, E_CORRUPT, "'%s' is damaged: %s; use another backup", f->path, how);
}

static int read_at(const struct backup_file *f, void *out, size_t len, off_t at, struct err *e)
{
	ssize_t n = disk_read(&disk_real, f->fd, out, len, at);
	if (n < 0)
		return err_sys(e, "read '%s'", f->path);
	return (size_t)n == len ? 0 : damaged(f, "it is shorter than it says", e);
}

static int check_digest(const struct backup_file *f, off_t size, struct err *e)
{
	AUTO_FREE uint8_t *chunk = xmalloc(BACKUP_CHUNK);
	struct digest *d = digest_new();
	uint8_t sum[32], want[32];
	int rc = 0;
	for (off_t at = 0, end = size - (off_t)sizeof(sum); rc == 0 && at < end;) {
		size_t len = (size_t)MIN((off_t)BACKUP_CHUNK, end - at);
		rc = read_at(f, chunk, len, at, e);
		if (rc == 0)
			digest_add(d, chunk, len);
		at += (off_t)len;
	}
	digest_end(d, sum);
	if (rc == 0)
		rc = read_at(f, want, sizeof(want), size - (off_t)sizeof(want), e);
	return rc == 0 && memcmp(sum, want, sizeof(sum)) != 0 ? damaged(f, "its checksum is wrong", e) : rc;
}

static int read_head(struct backup_file *f, struct err *e)
{
	struct file_head h;
	ssize_t n = disk_read(&disk_real, f->fd, &h, sizeof(h), 0);
	if (n < 0)
		return err_sys(e, "read '%s'", f->path);
	if (n != sizeof(h) || memcmp(h.magic, BACKUP_MAGIC, sizeof(h.magic)) != 0)
		return err_set(e, E_CORRUPT, "'%s' is no backup of dcos-node, or its first bytes are damaged", f->path);
	if (h.layout > BACKUP_LAYOUT)
		return err_set(e, E_NEWER, "'%s' was written by a newer dcos-node (layout %u, this one reads %u); use the newer one", f->path,
			       h.layout, BACKUP_LAYOUT);
	if (h.head_bytes > LIMIT_BACKUP_HEAD_BYTES)
		return damaged(f, "its head is too long", e);
	uint8_t *room = buf_room(&f->head_bytes, h.head_bytes + 1);
	int rc = read_at(f, room, h.head_bytes, sizeof(h), e);
	if (rc != 0)
		return rc;
	buf_grew(&f->head_bytes, h.head_bytes);
	f->dump_at = (off_t)sizeof(h) + (off_t)h.head_bytes;
	if (pb_read(&f->arena, backup_Head_fields, buf_view(&f->head_bytes), &f->head, e) != 0)
		return damaged(f, "its head cannot be read", e);
	return 0;
}

/* What lies between the head and the checksum: dump, length, sealed part, and nothing else. */
static int read_sealed(struct backup_file *f, off_t size, struct err *e)
{
	uint64_t rest = (uint64_t)(size - f->dump_at), ends = sizeof(uint32_t) + 32;
	uint32_t bytes;
	if (size < f->dump_at || rest < ends || f->head.dump_bytes > rest - ends)
		return damaged(f, "it is shorter than it says", e);
	off_t at = f->dump_at + (off_t)f->head.dump_bytes;
	int rc = read_at(f, &bytes, sizeof(bytes), at, e);
	if (rc != 0)
		return rc;
	if (bytes > LIMIT_BACKUP_KEYS_BYTES || bytes != rest - ends - f->head.dump_bytes || (bytes > 0) != f->head.keys)
		return damaged(f, "its parts have other lengths than it says", e);
	uint8_t *room = buf_room(&f->sealed, bytes + 1);
	rc = read_at(f, room, bytes, at + (off_t)sizeof(bytes), e);
	buf_grew(&f->sealed, rc == 0 ? bytes : 0);
	return rc;
}

int backup_file_open(struct backup_file *f, const char *path, uint64_t *rows, struct err *e)
{
	*f = (struct backup_file){ .fd = open(path, O_RDONLY | O_CLOEXEC), .path = xstrdup(path), .arena = ARENA_INIT,
				   .head_bytes = BUF_INIT, .sealed = BUF_INIT };
	struct stat st;
	struct dump_head dump;
	if (f->fd < 0)
		return err_sys(e, "open '%s'", path);
	if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode))
		return err_set(e, E_INVALID, "'%s' is no file", path);
	int rc = read_head(f, e);
	if (rc == 0)
		rc = read_sealed(f, st.st_size, e);
	if (rc == 0)
		rc = check_digest(f, st.st_size, e);
	if (rc != 0)
		return rc;
	struct dump_source from = backup_file_dump(f);
	rc = dump_check(&from, &dump, rows, e);
	if (rc == 0 && (dump.index != f->head.index || dump.format != f->head.state_format))
		rc = damaged(f, "its head and its dump are of different states", e);
	return rc;
}

void backup_file_close(struct backup_file *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	buf_fini(&f->head_bytes);
	buf_fini(&f->sealed);
	arena_fini(&f->arena);
	free(f->path);
}

int backup_file_keys(const struct backup_file *f, struct str passphrase, struct arena *a, backup_Keys *out, struct err *e)
{
	AUTO_BUF struct buf plain = BUF_INIT;
	int rc = seal_open(passphrase, buf_view(&f->head_bytes), buf_view(&f->sealed), &plain, e);
	if (rc != 0)
		return err_wrap(e, "open the keys in '%s'", f->path);
	rc = pb_read(a, backup_Keys_fields, buf_view(&plain), out, e);
	explicit_bzero(plain.data, plain.len);
	if (rc == 0 && (!out->ca_pem || !out->ca_key_pem || !out->token))
		rc = err_set(e, E_CORRUPT, "the keys in '%s' are not complete", f->path);
	return rc;
}

static ssize_t dump_read(void *arg, void *out, size_t len, struct err *e)
{
	struct backup_file *f = arg;
	off_t left = f->dump_at + (off_t)f->head.dump_bytes - f->at;
	ssize_t n = disk_read(&disk_real, f->fd, out, MIN(len, (size_t)left), f->at);
	if (n < 0)
		return err_sys(e, "read '%s'", f->path);
	f->at += n;
	return n;
}

static int dump_rewind(void *arg, struct err *e)
{
	struct backup_file *f = arg;
	(void)e;
	f->at = f->dump_at;
	return 0;
}

struct dump_source backup_file_dump(struct backup_file *f)
{
	f->at = f->dump_at;
	return (struct dump_source){ dump_read, dump_rewind, f };
}
