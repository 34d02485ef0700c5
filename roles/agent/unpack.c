/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and extracting archives with libarchive, see unpack.h. A layer passes two readers: one that only decompresses, whose
 * output is hashed, and the tar reader behind it. Extraction uses libarchive's secure flags: no "..", no absolute names, nothing
 * through a symlink. Sizes and counts are bounded.
 */
#include "roles/agent/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "net/base/str.h"
#include "net/limits.h"
#include "net/tls.h"

#define BLOCK_BYTES (64 * 1024)
#define READ_BYTES 4096
#define EXTRACT_FLAGS (ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_UNLINK | \
		       ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS)
#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"

static int archive_failed(struct archive *a, struct err *e, const char *what, const char *path)
{
	return err_set(e, E_CORRUPT, "%s '%s': %s", what, path, archive_error_string(a) ? archive_error_string(a) : "damaged archive");
}

static void archive_free_(struct archive **a)
{
	if (*a)
		(void)archive_free(*a);
}
#define AUTO_ARCHIVE __attribute__((cleanup(archive_free_)))

/* ---- digests ---- */

int unpack_digest(const char *path, char out[65], struct err *e)
{
	mbedtls_sha256_context sha;
	uint8_t sum[32];
	AUTO_FREE uint8_t *block = xmalloc(BLOCK_BYTES);
	AUTO_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = -1;
	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	mbedtls_sha256_init(&sha);
	(void)mbedtls_sha256_starts(&sha, 0);
	while ((n = read(fd, block, BLOCK_BYTES)) > 0)
		(void)mbedtls_sha256_update(&sha, block, (size_t)n);
	(void)mbedtls_sha256_finish(&sha, sum);
	mbedtls_sha256_free(&sha);
	if (n < 0)
		return err_sys(e, "read '%s'", path);
	hex_encode(sum, sizeof(sum), out);
	return 0;
}

/* ---- opening ---- */

static struct archive *open_tar(const char *path, struct err *e)
{
	struct archive *a = archive_read_new();
	(void)archive_read_support_filter_all(a);
	(void)archive_read_support_format_tar(a);
	if (archive_read_open_filename(a, path, BLOCK_BYTES) == ARCHIVE_OK)
		return a;
	(void)archive_failed(a, e, "open archive", path);
	(void)archive_free(a);
	return NULL;
}

/* "./a" and "a" are the same member; a leading '/' is dropped, as tar does. */
static const char *plain_name(const char *name)
{
	while (name && (name[0] == '/' || (name[0] == '.' && name[1] == '/')))
		name += name[0] == '/' ? 1 : 2;
	return name ? name : "";
}

static int read_entry(struct archive *a, const char *archive, size_t max, struct buf *out, struct err *e)
{
	la_ssize_t got = 1;
	out->max = max + READ_BYTES;
	while (got > 0) {
		uint8_t *room = out->len <= max ? buf_room(out, READ_BYTES) : NULL;
		if (!room)
			return err_set(e, E_TOOBIG, "a document of archive '%s' has more than %zu bytes", archive, max);
		got = archive_read_data(a, room, READ_BYTES);
		buf_grew(out, got > 0 ? (size_t)got : 0);
	}
	if (got < 0)
		return archive_failed(a, e, "read archive", archive);
	return out->len <= max ? 0 : err_set(e, E_TOOBIG, "a document of archive '%s' has more than %zu bytes", archive, max);
}

int unpack_member(const char *archive, const char *name, size_t max, struct buf *out, struct err *e)
{
	struct archive_entry *entry;
	AUTO_ARCHIVE struct archive *a = open_tar(archive, e);
	int rc = ARCHIVE_OK;
	if (!a)
		return e->code;
	for (size_t n = 0; n < LIMIT_IMAGE_ENTRIES && (rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK; n++) {
		if (strcmp(plain_name(archive_entry_pathname(entry)), name) != 0)
			continue;
		return read_entry(a, archive, max, out, e);
	}
	return rc == ARCHIVE_EOF ? err_set(e, E_NOTFOUND, "archive '%s' has no '%s'", archive, name)
				 : archive_failed(a, e, "read archive", archive);
}

/* ---- extracting ---- */

struct extract {
	struct archive *in, *disk;
	const char *name;        /* of the archive, for messages */
	int root_fd;             /* the directory; also the current one */
	bool layer;
	int64_t bytes;
};

static int copy_data(struct extract *x, struct err *e)
{
	const void *block;
	size_t size;
	la_int64_t offset;
	int rc;
	while ((rc = archive_read_data_block(x->in, &block, &size, &offset)) == ARCHIVE_OK) {
		x->bytes += (int64_t)size;
		if (x->bytes > LIMIT_IMAGE_BYTES)
			return err_set(e, E_TOOBIG, "archive '%s' holds more than %lld bytes", x->name, (long long)LIMIT_IMAGE_BYTES);
		if (archive_write_data_block(x->disk, block, size, offset) < ARCHIVE_OK)
			return archive_failed(x->disk, e, "unpack archive", x->name);
	}
	return rc == ARCHIVE_EOF ? 0 : archive_failed(x->in, e, "read archive", x->name);
}

/* Directory of a whiteout, made through libarchive's own checks when the layer has not named it yet. */
static int open_dir(struct extract *x, const char *dir, struct err *e)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	int fd = (int)syscall(SYS_openat2, x->root_fd, dir[0] ? dir : ".", &how, sizeof(how));
	if (fd < 0 && errno == ENOENT) {
		struct archive_entry *entry = archive_entry_new();
		archive_entry_set_pathname(entry, dir);
		archive_entry_set_filetype(entry, AE_IFDIR);
		archive_entry_set_perm(entry, 0755);
		(void)archive_write_header(x->disk, entry);      /* the next open says whether it worked */
		archive_entry_free(entry);
		fd = (int)syscall(SYS_openat2, x->root_fd, dir, &how, sizeof(how));
	}
	return fd < 0 ? err_sys(e, "open '%s' of archive '%s'", dir, x->name) : fd;
}

static int whiteout(struct extract *x, const char *name, struct err *e)
{
	AUTO_FREE char *dir = xstrdup(name);
	char *slash = strrchr(dir, '/');
	const char *base = slash ? name + (slash - dir) + 1 : name;
	*(slash ? slash : dir) = '\0';
	AUTO_FD int fd = open_dir(x, dir, e);
	if (fd < 0)
		return e->code;
	if (strcmp(base, OPAQUE) == 0)
		return fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) != 0 ? err_sys(e, "mark '%s' as replaced", dir) : 0;
	const char *hidden = base + strlen(WHITEOUT);
	if (!hidden[0] || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
		return err_set(e, E_CORRUPT, "archive '%s' hides nothing by the name '%s'", x->name, name);
	if (mknodat(fd, hidden, S_IFCHR, 0) != 0 && errno != EEXIST)
		return err_sys(e, "mark '%s' as removed", name);
	return 0;
}

static bool is_whiteout(const char *name)
{
	const char *slash = strrchr(name, '/');
	return strncmp(slash ? slash + 1 : name, WHITEOUT, strlen(WHITEOUT)) == 0;
}

static int extract_entry(struct extract *x, struct archive_entry *entry, struct err *e)
{
	AUTO_FREE char *name = xstrdup(plain_name(archive_entry_pathname(entry)));
	const char *link = archive_entry_hardlink(entry);
	if (!name[0] || strcmp(name, ".") == 0)
		return 0;
	if (x->layer && is_whiteout(name))
		return whiteout(x, name, e);
	archive_entry_set_pathname(entry, name);
	if (link) {
		AUTO_FREE char *target = xstrdup(plain_name(link));
		archive_entry_set_hardlink(entry, target);
	}
	if (archive_write_header(x->disk, entry) < ARCHIVE_WARN)
		return archive_failed(x->disk, e, "unpack archive", x->name);
	int rc = archive_entry_size(entry) > 0 ? copy_data(x, e) : 0;
	if (rc == 0 && archive_write_finish_entry(x->disk) < ARCHIVE_WARN)
		rc = archive_failed(x->disk, e, "unpack archive", x->name);
	return rc;
}

static int extract_here(struct extract *x, struct err *e)
{
	struct archive_entry *entry;
	int rc = 0, got = ARCHIVE_EOF;
	AUTO_ARCHIVE struct archive *disk = archive_write_disk_new();
	x->disk = disk;
	(void)archive_write_disk_set_options(disk, EXTRACT_FLAGS);
	for (size_t n = 0; rc == 0; n++) {
		got = archive_read_next_header(x->in, &entry);
		if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
			break;
		rc = n < LIMIT_IMAGE_ENTRIES ? extract_entry(x, entry, e)
					     : err_set(e, E_TOOBIG, "archive '%s' holds more than %d files", x->name, LIMIT_IMAGE_ENTRIES);
	}
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = archive_failed(x->in, e, "read archive", x->name);
	if (rc == 0 && archive_write_close(disk) < ARCHIVE_WARN)
		rc = archive_failed(disk, e, "unpack archive", x->name);
	return rc;
}

/* libarchive writes below the current directory: the process is one made for this. */
static int extract(struct extract *x, const char *dir, struct err *e)
{
	AUTO_FD int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (before < 0 || root < 0 || fchdir(root) != 0)
		return err_sys(e, "enter '%s'", dir);
	x->root_fd = root;
	int rc = extract_here(x, e);
	if (fchdir(before) != 0 && rc == 0)
		rc = err_sys(e, "go back from '%s'", dir);
	return rc;
}

int unpack_all(const char *archive, const char *dir, struct err *e)
{
	AUTO_ARCHIVE struct archive *in = open_tar(archive, e);
	struct extract x = { .in = in, .name = archive };
	return in ? extract(&x, dir, e) : e->code;
}

/* ---- layers: decompress, hash, untar ---- */

struct hashed {
	struct archive *raw;
	mbedtls_sha256_context sha;
	uint8_t block[BLOCK_BYTES];
	int64_t bytes;
};

static la_ssize_t hashed_read(struct archive *a, void *arg, const void **out)
{
	struct hashed *h = arg;
	la_ssize_t n = archive_read_data(h->raw, h->block, sizeof(h->block));
	if (n < 0) {
		archive_set_error(a, EIO, "%s", archive_error_string(h->raw) ? archive_error_string(h->raw) : "cannot be decompressed");
		return ARCHIVE_FATAL;
	}
	h->bytes += n;
	if (h->bytes > LIMIT_IMAGE_BYTES) {
		archive_set_error(a, EFBIG, "it is larger than a layer may be");
		return ARCHIVE_FATAL;
	}
	(void)mbedtls_sha256_update(&h->sha, h->block, (size_t)n);
	*out = h->block;
	return n;
}

static int open_raw(struct hashed *h, const char *path, struct err *e)
{
	struct archive_entry *entry;
	(void)archive_read_support_filter_all(h->raw);
	(void)archive_read_support_format_raw(h->raw);
	if (archive_read_open_filename(h->raw, path, BLOCK_BYTES) != ARCHIVE_OK ||
	    archive_read_next_header(h->raw, &entry) != ARCHIVE_OK)
		return archive_failed(h->raw, e, "open layer", path);
	return 0;
}

static int untar(struct hashed *h, const char *path, const char *dir, struct err *e)
{
	const void *rest;
	la_ssize_t n;
	AUTO_ARCHIVE struct archive *in = archive_read_new();
	struct extract x = { .in = in, .name = path, .layer = true };
	(void)archive_read_support_format_tar(in);
	if (archive_read_open(in, h, NULL, hashed_read, NULL) != ARCHIVE_OK)
		return archive_failed(in, e, "open layer", path);
	int rc = extract(&x, dir, e);
	while (rc == 0 && (n = hashed_read(in, h, &rest)) != 0)      /* padding behind the end counts in the digest */
		rc = n < 0 ? archive_failed(in, e, "read layer", path) : 0;
	return rc;
}

int unpack_layer(const char *archive, const char *dir, const char *diff_id, struct err *e)
{
	AUTO_FREE struct hashed *h = xcalloc(1, sizeof(*h));
	AUTO_ARCHIVE struct archive *raw = archive_read_new();
	uint8_t sum[32];
	char hex[65];
	h->raw = raw;
	mbedtls_sha256_init(&h->sha);
	(void)mbedtls_sha256_starts(&h->sha, 0);
	int rc = open_raw(h, archive, e);
	if (rc == 0)
		rc = untar(h, archive, dir, e);
	(void)mbedtls_sha256_finish(&h->sha, sum);
	mbedtls_sha256_free(&h->sha);
	hex_encode(sum, sizeof(sum), hex);
	if (rc == 0 && strcmp(hex, diff_id) != 0)
		return err_set(e, E_CORRUPT, "layer '%s' is not what its image says: sha256 %s instead of %s", archive, hex, diff_id);
	return rc;
}
