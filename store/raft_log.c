/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments: log/<first index, 16 hex digits>.log, each of one fixed size, reserved and zeroed in advance, so that appending
 * neither allocates nor meets a full disk. "next.tmp" is the reserve; it gets its header and name when the current one is full.
 *
 *   segment   head (64): "dcoslog\0" | version u32 | bytes u32 | first index u64 | zeros | crc32c u32 of what is before
 *   record    head crc u32 | data crc u32 | index u64 | term u64 | batch u64 | bytes u32 | type u8 | zeros 3 | data | zeros to 8
 *
 * `batch` is the index of the first entry written by the same append. Appends never overlap, so a record whose batch lies after
 * a broken one proves that the broken one had been synced: that is damage, and refused. A broken record without such a witness
 * is the torn end of the last append when some whole sector of it is still zero; without a zero sector every sector did reach
 * the medium, so it was changed afterwards: damage too. Torn ends are zeroed at open, which keeps that reasoning valid.
 *
 * Truncating: "truncate" (first index that goes, with its checksum) is on the medium before anything is zeroed or removed, and
 * is removed after everything is. Whatever stands at or behind that index meanwhile is not looked at but zeroed again.
 * Numbers are little-endian.
 */
#include "store/raft_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "store/kv.h"

#define LOG_VERSION 1
#define LOG_MAGIC "dcoslog"
#define LOG_SECTOR 512
#define LOG_ZERO_CHUNK ((size_t)(64 * KIB))

struct segment_head {
	char magic[8];
	uint32_t version, bytes;
	uint64_t first;
	uint8_t zeros[36];
	uint32_t crc;
};
static_assert(sizeof(struct segment_head) == LOG_SEGMENT_HEAD, "head of a segment");

struct record_head {
	uint32_t head_crc, data_crc;
	uint64_t index, term, batch;
	uint32_t bytes;
	uint8_t type, zeros[3];
};
static_assert(sizeof(struct record_head) == LOG_RECORD_HEAD, "head of a record");

struct segment {
	uint64_t first;          /* index of its first entry, also when it holds none */
	uint64_t count;          /* entries in it */
	size_t used;             /* bytes, head included */
};

struct raft_log {
	const struct disk *disk;     /* borrowed */
	char *dir;                   /* owned */
	size_t segment_bytes;
	struct segment *segments;    /* owned, by first index; the last is written to */
	size_t count, cap;
	uint64_t start;              /* first index of the next segment while there is none */
	uint64_t last_term;
	int fd;                      /* of the last segment, -1: none */
	bool reserve;                /* next.tmp stands ready */
	bool broken;                 /* a sync failed */
	uint64_t truncate;           /* while opening: entries from here on do not count; 0: all do */
	struct buf batch;            /* bytes of the append under way */
};

static char *segment_path(const struct raft_log *log, uint64_t first)
{
	return xasprintf("%s/%016llx.log", log->dir, (unsigned long long)first);
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

uint64_t raft_log_first(const struct raft_log *log)
{
	return log->count > 0 ? log->segments[0].first : log->start;
}

uint64_t raft_log_last(const struct raft_log *log)
{
	if (log->count == 0)
		return log->start - 1;
	const struct segment *s = &log->segments[log->count - 1];
	return s->first + s->count - 1;
}

uint64_t raft_log_bytes(const struct raft_log *log)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < log->count; i++)
		bytes += log->segments[i].used;
	return bytes;
}

/* ---- checking what is on disk ---- */

/* A segment in memory. Chunks of zeros at its end, which a fresh segment mostly is, are not touched. */
struct image {
	struct str bytes;        /* all of the file */
	size_t end;              /* zeros from here on */
};

static int read_image(const struct disk *d, const char *path, struct image *out, struct err *e)
{
	int fd = d->open(d->ctx, path, O_RDONLY);
	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	off_t size = d->size(d->ctx, fd);
	uint8_t *bytes = xcalloc(1, size > 0 ? (size_t)size : 1);
	AUTO_FREE uint8_t *chunk = xmalloc(LOG_ZERO_CHUNK);
	ssize_t n = size < 0 ? -1 : 1;
	size_t end = 0;
	for (off_t at = 0; n > 0 && at < size; at += n) {
		n = disk_read(d, fd, chunk, MIN((size_t)(size - at), LOG_ZERO_CHUNK), at);
		if (n <= 0 || all_zero(chunk, (size_t)n))
			continue;
		memcpy(bytes + at, chunk, (size_t)n);
		end = (size_t)at + (size_t)n;
	}
	d->close(d->ctx, fd);
	if (n < 0) {
		free(bytes);
		return err_sys(e, "read '%s'", path);
	}
	*out = (struct image){ str_n((const char *)bytes, (size_t)size), end };
	return 0;
}

static uint32_t record_head_crc(const struct record_head *h)
{
	return crc32c(0, (const uint8_t *)h + sizeof(h->head_crc), sizeof(*h) - sizeof(h->head_crc));
}

/* The record at `at`, if its head and data are whole. */
static bool record_at(struct str seg, size_t at, struct record_head *out)
{
	if (seg.len - at < LOG_RECORD_HEAD)
		return false;
	memcpy(out, seg.p + at, sizeof(*out));
	if (out->head_crc != record_head_crc(out) || log_entry_bytes(out->bytes) > seg.len - at)
		return false;
	return out->data_crc == crc32c(0, seg.p + at + LOG_RECORD_HEAD, out->bytes);
}

/* Is some sector's part of the record that should stand at `at` all zeros, as if that sector had never been written? */
static bool record_torn(struct str seg, size_t at)
{
	struct record_head head;
	memcpy(&head, seg.p + at, sizeof(head));
	size_t len = LOG_RECORD_HEAD;
	if (head.head_crc == record_head_crc(&head) && log_entry_bytes(head.bytes) <= seg.len - at)
		len = log_entry_bytes(head.bytes);
	for (size_t from = at, end = at + len; from < end;) {
		size_t next = MIN((from / LOG_SECTOR + 1) * LOG_SECTOR, end);
		if (all_zero((const uint8_t *)seg.p + from, next - from))
			return true;
		from = next;
	}
	return false;
}

/* A whole record behind `at` that was written by a later append than the one of `index`. */
static bool later_append(const struct image *seg, size_t at, uint64_t index)
{
	struct record_head head;
	for (at += 8; at < seg->end; at += 8)
		if (record_at(seg->bytes, at, &head) && head.batch > index)
			return true;
	return false;
}

static int corrupt(struct err *e, const char *path, size_t at, const char *what)
{
	return err_set(e, E_CORRUPT, "log file '%s' is damaged at byte %zu: %s; restore the state directory from a backup", path, at,
		       what);
}

/* Zeroes from `at` to the last byte that is not zero. */
static int cut_tail(struct raft_log *log, const char *path, const struct image *seg, size_t at, struct err *e)
{
	size_t end = seg->end;
	AUTO_FREE uint8_t *zeros = xcalloc(1, LOG_ZERO_CHUNK);
	int fd = log->disk->open(log->disk->ctx, path, O_WRONLY);
	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	int rc = 0;
	for (size_t n; rc == 0 && at < end; at += n) {
		n = MIN(end - at, LOG_ZERO_CHUNK);
		rc = disk_write(log->disk, fd, path, zeros, n, (off_t)at, e);
	}
	if (rc == 0 && log->disk->sync(log->disk->ctx, fd) != 0)
		rc = err_sys(e, "sync '%s'", path);
	log->disk->close(log->disk->ctx, fd);
	return rc;
}

/* Walk the records of a segment that was read whole; fills count and used of *s. */
static int scan_segment(struct raft_log *log, struct segment *s, const char *path, const struct image *seg, bool newest,
			struct err *e)
{
	size_t at = LOG_SEGMENT_HEAD;
	struct record_head head;
	for (; record_at(seg->bytes, at, &head); at += log_entry_bytes(head.bytes)) {
		if (log->truncate != 0 && s->first + s->count >= log->truncate)
			break;
		if (head.index != s->first + s->count || head.term < log->last_term)
			return corrupt(e, path, at, "an entry is out of order");
		log->last_term = head.term;
		s->count++;
	}
	s->used = at;
	if (at >= seg->end || all_zero((const uint8_t *)seg->bytes.p + at, seg->end - at))
		return 0;
	if (log->truncate != 0 && s->first + s->count >= log->truncate)
		return cut_tail(log, path, seg, at, e);
	if (later_append(seg, at, s->first + s->count) || !newest)
		return corrupt(e, path, at, "entries that had been written follow a broken one");
	if (seg->bytes.len - at >= LOG_RECORD_HEAD && !record_torn(seg->bytes, at))
		return corrupt(e, path, at, "a written entry has changed");
	return cut_tail(log, path, seg, at, e);
}

static int check_segment_head(const char *path, struct str seg, uint64_t first, struct err *e)
{
	struct segment_head head;
	if (seg.len < LOG_SEGMENT_HEAD)
		return corrupt(e, path, seg.len, "it is cut short");
	memcpy(&head, seg.p, sizeof(head));
	if (memcmp(head.magic, LOG_MAGIC, sizeof(head.magic)) != 0)
		return corrupt(e, path, 0, "it is not a log file");
	if (head.crc != crc32c(0, &head, offsetof(struct segment_head, crc)))
		return corrupt(e, path, 0, "its head has a wrong checksum");
	if (head.version > LOG_VERSION)
		return err_set(e, E_NEWER, "log file '%s' was written by a newer dcos-node (format %u, this one reads %u); "
			       "start the newer one", path, head.version, LOG_VERSION);
	if (head.first != first)
		return corrupt(e, path, 0, "its name and its head disagree");
	if (seg.len < head.bytes)
		return corrupt(e, path, seg.len, "it is cut short");
	return 0;
}

static int load_segment(struct raft_log *log, size_t i, struct err *e)
{
	struct segment *s = &log->segments[i];
	bool newest = i + 1 == log->count;
	AUTO_FREE char *path = segment_path(log, s->first);
	struct image file = { { NULL, 0 }, 0 };
	int rc = read_image(log->disk, path, &file, e);
	if (rc != 0)
		return rc;
	rc = check_segment_head(path, file.bytes, s->first, e);
	if (rc == 0)
		rc = scan_segment(log, s, path, &file, newest, e);
	free((void *)(uintptr_t)file.bytes.p);
	if (rc != 0)
		return rc;
	if (!newest && log->segments[i + 1].first != s->first + s->count)
		return corrupt(e, path, s->used, "entries are missing before the next file");
	if (!newest)
		return 0;
	log->fd = log->disk->open(log->disk->ctx, path, O_WRONLY);
	if (log->fd < 0)
		return err_sys(e, "open '%s'", path);
	/* What a former life wrote and could not sync was read from memory, and counts from now on. */
	return log->disk->sync(log->disk->ctx, log->fd) == 0 ? 0 : err_sys(e, "sync '%s'", path);
}

static void note_segment(void *arg, const char *name)
{
	struct raft_log *log = arg;
	char *end;
	uint64_t first = strtoull(name, &end, 16);
	if (end - name != 16 || strcmp(end, ".log") != 0)
		return;
	if (log->count == log->cap) {
		log->cap = log->cap ? log->cap * 2 : 8;
		log->segments = xrealloc(log->segments, log->cap * sizeof(*log->segments));
	}
	log->segments[log->count++] = (struct segment){ .first = first };
}

static int by_first(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;
	return x->first < y->first ? -1 : x->first > y->first;
}

/* ---- truncating ---- */

struct truncate_file {
	uint64_t index;
	uint32_t zeros, crc;
};

static char *truncate_path(const struct raft_log *log) { return xasprintf("%s/truncate", log->dir); }

/* Remove segments from the end that hold nothing before `index`. */
static int drop_segments(struct raft_log *log, uint64_t index, struct err *e)
{
	bool any = false;
	while (log->count > 0 && log->segments[log->count - 1].first >= index) {
		AUTO_FREE char *path = segment_path(log, log->segments[log->count - 1].first);
		if (log->disk->remove(log->disk->ctx, path) != 0)
			return err_sys(e, "remove '%s'", path);
		log->count--;
		any = true;
	}
	if (log->count == 0)
		log->start = index;
	return !any || log->disk->sync_dir(log->disk->ctx, log->dir) == 0 ? 0 : err_sys(e, "sync directory '%s'", log->dir);
}

/* A truncation that a crash interrupted: go on with it while the segments are read. */
static int load_truncation(struct raft_log *log, struct err *e)
{
	AUTO_FREE char *path = truncate_path(log);
	AUTO_BUF struct buf file = BUF_INIT;
	struct truncate_file t;
	int rc = disk_read_file(log->disk, path, sizeof(t), &file, e);
	if (rc == E_NOTFOUND)
		return 0;
	if (rc != 0)
		return rc;
	if (file.len != sizeof(t))
		return corrupt(e, path, file.len, "it is cut short");
	memcpy(&t, file.data, sizeof(t));
	if (t.crc != crc32c(0, &t, offsetof(struct truncate_file, crc)) || t.index == 0)
		return corrupt(e, path, 0, "its checksum is wrong");
	log->truncate = t.index;
	return drop_segments(log, t.index, e);
}

static int end_truncation(struct raft_log *log, struct err *e)
{
	AUTO_FREE char *path = truncate_path(log);
	log->truncate = 0;
	if (log->disk->remove(log->disk->ctx, path) != 0)
		return err_sys(e, "remove '%s'", path);
	return log->disk->sync_dir(log->disk->ctx, log->dir) == 0 ? 0 : err_sys(e, "sync directory '%s'", log->dir);
}

static int begin_truncation(struct raft_log *log, uint64_t index, struct err *e)
{
	AUTO_FREE char *path = truncate_path(log);
	struct truncate_file t = { .index = index };
	t.crc = crc32c(0, &t, offsetof(struct truncate_file, crc));
	return disk_write_file(log->disk, log->dir, path, &t, sizeof(t), e);
}

static int truncate_now(struct raft_log *log, uint64_t index, struct err *e)
{
	if (log->fd >= 0)
		log->disk->close(log->disk->ctx, log->fd);
	log->fd = -1;
	int rc = drop_segments(log, index, e);
	if (rc == 0 && log->count > 0) {
		struct segment *last = &log->segments[log->count - 1];
		last->count = 0;
		log->truncate = index;
		log->last_term = 0;
		rc = load_segment(log, log->count - 1, e);
	}
	return rc == 0 ? end_truncation(log, e) : rc;
}

int raft_log_truncate(struct raft_log *log, uint64_t index, struct err *e)
{
	if (log->broken)
		return err_set(e, E_IO, "the log in '%s' failed before; restart this node", log->dir);
	if (index > raft_log_last(log))
		return 0;
	int rc = begin_truncation(log, index, e);
	if (rc == E_NOSPACE)
		return rc;              /* nothing has changed yet */
	if (rc == 0)
		rc = truncate_now(log, index, e);
	log->broken |= rc != 0;         /* half done: the next open ends it */
	return rc;
}

int raft_log_reset(struct raft_log *log, uint64_t index, struct err *e)
{
	uint64_t first = raft_log_first(log);
	int rc = log->count > 0 ? raft_log_truncate(log, first, e) : 0;
	if (rc == 0)
		log->start = index;
	return rc;
}

int raft_log_open(const struct disk *d, const char *dir, size_t segment_bytes, struct raft_log **out, struct err *e)
{
	if (d->make_dir(d->ctx, dir) != 0 && errno != EEXIST)
		return err_sys(e, "make directory '%s'", dir);
	struct raft_log *log = xcalloc(1, sizeof(*log));
	log->disk = d;
	log->dir = xstrdup(dir);
	log->segment_bytes = segment_bytes ? segment_bytes : LOG_SEGMENT_BYTES;
	log->start = 1;
	log->fd = -1;
	buf_init(&log->batch, BUF_MAX_DEFAULT);
	int rc = 0;
	if (d->list(d->ctx, dir, note_segment, log) != 0)
		rc = err_sys(e, "list '%s'", dir);
	if (log->count > 0)
		qsort(log->segments, log->count, sizeof(*log->segments), by_first);
	if (rc == 0)
		rc = load_truncation(log, e);
	for (size_t i = 0; rc == 0 && i < log->count; i++)
		rc = load_segment(log, i, e);
	if (rc == 0 && log->truncate != 0)
		rc = end_truncation(log, e);
	if (rc != 0) {
		raft_log_close(log);
		return rc;
	}
	*out = log;
	return 0;
}

void raft_log_close(struct raft_log *log)
{
	if (!log)
		return;
	if (log->fd >= 0)
		log->disk->close(log->disk->ctx, log->fd);
	buf_fini(&log->batch);
	free(log->segments);
	free(log->dir);
	free(log);
}

int raft_log_read(struct raft_log *log, uint64_t from, int (*fn)(void *arg, const struct log_entry *entry, struct err *e),
		  void *arg, struct err *e)
{
	for (size_t i = 0; i < log->count; i++) {
		const struct segment *s = &log->segments[i];
		if (s->first + s->count <= from)
			continue;
		AUTO_FREE char *path = segment_path(log, s->first);
		AUTO_BUF struct buf file = BUF_INIT;
		int rc = disk_read_file(log->disk, path, s->used, &file, e);
		struct record_head head;
		size_t at = LOG_SEGMENT_HEAD;
		for (uint64_t n = 0; rc == 0 && n < s->count; n++, at += log_entry_bytes(head.bytes)) {
			if (at > file.len || !record_at(buf_view(&file), at, &head))
				return corrupt(e, path, at, "an entry has changed since it was checked");
			struct log_entry entry = { head.index, head.term, head.type,
				str_n((const char *)file.data + at + LOG_RECORD_HEAD, head.bytes) };
			if (entry.index >= from)
				rc = fn(arg, &entry, e);
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int take_term(void *arg, const struct log_entry *entry, struct err *e)
{
	uint64_t *term = arg;
	(void)e;
	*term = entry->term;
	return LOG_STOP;
}

int raft_log_term(struct raft_log *log, uint64_t index, uint64_t *term, struct err *e)
{
	*term = 0;
	if (index < raft_log_first(log) || index > raft_log_last(log))
		return err_set(e, E_NOTFOUND, "entry %llu is not in the log of '%s'", (unsigned long long)index, log->dir);
	int rc = raft_log_read(log, index, take_term, term, e);
	return rc == LOG_STOP ? 0 : rc;
}

bool log_record_next(struct str *rest, struct log_entry *out)
{
	struct record_head head;
	if (rest->len == 0 || !record_at(*rest, 0, &head))
		return false;
	*out = (struct log_entry){ head.index, head.term, head.type, str_n(rest->p + LOG_RECORD_HEAD, head.bytes) };
	*rest = str_from(*rest, log_entry_bytes(head.bytes));
	return true;
}

/* ---- writing ---- */

size_t raft_log_room(const struct raft_log *log)
{
	if (log->reserve)
		return log->segment_bytes - LOG_SEGMENT_HEAD;
	return log->count > 0 ? log->segment_bytes - log->segments[log->count - 1].used : 0;
}

bool raft_log_wants_prepare(const struct raft_log *log)
{
	return !log->reserve &&
		(log->count == 0 || log->segments[log->count - 1].used > log->segment_bytes - log->segment_bytes / 4);
}

static int reserve_bytes(struct raft_log *log, int fd, const char *path, struct err *e)
{
	const struct disk *d = log->disk;
	if (d->allocate(d->ctx, fd, (off_t)log->segment_bytes) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return err_sys(e, "reserve %zu bytes for '%s'", log->segment_bytes, path);
	AUTO_FREE uint8_t *zeros = xcalloc(1, LOG_ZERO_CHUNK);
	int rc = 0;
	for (size_t at = 0, n; rc == 0 && at < log->segment_bytes; at += n) {
		n = MIN(log->segment_bytes - at, LOG_ZERO_CHUNK);
		rc = disk_write(d, fd, path, zeros, n, (off_t)at, e);
	}
	if (rc == 0 && d->sync(d->ctx, fd) != 0)      /* now, not within the first append */
		rc = err_sys(e, "sync '%s'", path);
	return rc;
}

int raft_log_prepare(struct raft_log *log, struct err *e)
{
	const struct disk *d = log->disk;
	AUTO_FREE char *path = xasprintf("%s/next.tmp", log->dir);
	if (log->reserve)
		return 0;
	int fd = d->open(d->ctx, path, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0)
		return err_sys(e, "create '%s'", path);
	int rc = reserve_bytes(log, fd, path, e);
	d->close(d->ctx, fd);
	if (rc != 0)
		(void)d->remove(d->ctx, path);     /* gives the space back; a leftover is replaced by the next try */
	log->reserve = rc == 0;
	return rc;
}

void log_record_put(struct buf *b, const struct log_entry *entry, uint64_t batch)
{
	static const uint8_t zeros[8];
	struct record_head head = {
		.data_crc = crc32c(0, entry->data.p, entry->data.len),
		.index = entry->index, .term = entry->term, .batch = batch,
		.bytes = (uint32_t)entry->data.len, .type = entry->type,
	};
	head.head_crc = record_head_crc(&head);
	(void)buf_append(b, &head, sizeof(head));
	(void)buf_append(b, entry->data.p, entry->data.len);
	(void)buf_append(b, zeros, log_entry_bytes(entry->data.len) - LOG_RECORD_HEAD - entry->data.len);
}

static int write_and_sync(struct raft_log *log, int fd, const char *path, off_t at, struct err *e)
{
	int rc = disk_write(log->disk, fd, path, log->batch.data, log->batch.len, at, e);
	if (rc == 0 && log->disk->sync(log->disk->ctx, fd) != 0)
		rc = err_set(e, E_IO, "sync '%s': %s; the log can no longer be trusted, restart this node", path, strerror(errno));
	if (rc != 0 && rc != E_NOSPACE)
		log->broken = true;
	return rc;
}

/* The reserve becomes the segment that is written to, with this batch as its first entries. */
static int append_to_reserve(struct raft_log *log, const struct log_entry *entries, size_t count, struct err *e)
{
	const struct disk *d = log->disk;
	AUTO_FREE char *from = xasprintf("%s/next.tmp", log->dir);
	AUTO_FREE char *path = segment_path(log, entries[0].index);
	struct segment_head head = { .magic = LOG_MAGIC, .version = LOG_VERSION, .bytes = (uint32_t)log->segment_bytes,
		.first = entries[0].index };
	head.crc = crc32c(0, &head, offsetof(struct segment_head, crc));
	(void)buf_append(&log->batch, &head, sizeof(head));
	for (size_t i = 0; i < count; i++)
		log_record_put(&log->batch, &entries[i], entries[0].index);
	int fd = d->open(d->ctx, from, O_WRONLY);
	if (fd < 0)
		return err_sys(e, "open '%s'", from);
	int rc = write_and_sync(log, fd, from, 0, e);
	if (rc == 0 && (d->rename(d->ctx, from, path) != 0 || d->sync_dir(d->ctx, log->dir) != 0)) {
		rc = err_set(e, E_IO, "name '%s': %s; restart this node", path, strerror(errno));
		log->broken = true;
	}
	if (rc != 0) {
		d->close(d->ctx, fd);
		return rc;
	}
	if (log->fd >= 0)
		d->close(d->ctx, log->fd);
	log->fd = fd;
	log->reserve = false;
	char name[24];
	(void)snprintf(name, sizeof(name), "%016llx.log", (unsigned long long)entries[0].index);
	note_segment(log, name);
	log->segments[log->count - 1].used = log->batch.len;
	return 0;
}

static int append_to_last(struct raft_log *log, const struct log_entry *entries, size_t count, struct err *e)
{
	struct segment *s = &log->segments[log->count - 1];
	AUTO_FREE char *path = segment_path(log, s->first);
	for (size_t i = 0; i < count; i++)
		log_record_put(&log->batch, &entries[i], entries[0].index);
	int rc = write_and_sync(log, log->fd, path, (off_t)s->used, e);
	if (rc == 0)
		s->used += log->batch.len;
	return rc;
}

int raft_log_append(struct raft_log *log, const struct log_entry *entries, size_t count, struct err *e)
{
	size_t bytes = 0;
	assert(count > 0);
	assert(entries[0].index == raft_log_last(log) + 1);
	for (size_t i = 0; i < count; i++)
		bytes += log_entry_bytes(entries[i].data.len);
	assert(bytes <= raft_log_room(log));
	if (log->broken)
		return err_set(e, E_IO, "the log in '%s' failed before; restart this node", log->dir);
	buf_reset(&log->batch);
	bool roll = log->count == 0 || bytes > log->segment_bytes - log->segments[log->count - 1].used;
	int rc = roll ? append_to_reserve(log, entries, count, e) : append_to_last(log, entries, count, e);
	if (rc != 0)
		return rc;
	log->segments[log->count - 1].count += count;
	log->last_term = entries[count - 1].term;
	return 0;
}

int raft_log_cut(struct raft_log *log, uint64_t index, struct err *e)
{
	size_t gone = 0;
	int rc = 0;
	while (gone + 1 < log->count && log->segments[gone + 1].first <= index + 1) {
		AUTO_FREE char *path = segment_path(log, log->segments[gone].first);
		if (log->disk->remove(log->disk->ctx, path) != 0) {
			rc = err_sys(e, "remove '%s'", path);
			break;
		}
		gone++;
	}
	log->count -= gone;
	memmove(log->segments, log->segments + gone, log->count * sizeof(*log->segments));
	if (gone > 0 && rc == 0 && log->disk->sync_dir(log->disk->ctx, log->dir) != 0)
		rc = err_sys(e, "sync directory '%s'", log->dir);
	return rc;
}

/* ---- term and vote ---- */

struct vote_file {
	char magic[8];
	uint32_t version, zeros;
	uint64_t count, term, voted_for;
	uint32_t pad, crc;
};

#define VOTE_MAGIC "dcosvot"
#define VOTE_VERSION 1

/* A vote that a former life wrote and could not sync was read from memory, and counts from now on. */
static int sync_vote_file(const struct disk *d, const char *path, struct err *e)
{
	int fd = d->open(d->ctx, path, O_WRONLY);
	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	int rc = d->sync(d->ctx, fd) == 0 ? 0 : err_sys(e, "sync '%s'", path);
	d->close(d->ctx, fd);
	return rc;
}

static int load_vote_file(const struct disk *d, const char *path, struct raft_vote *out, bool *exists, struct err *e)
{
	AUTO_BUF struct buf file = BUF_INIT;
	struct vote_file v;
	int rc = disk_read_file(d, path, sizeof(v), &file, e);
	*exists = rc == 0 && !all_zero(file.data, file.len);     /* empty or zeros: its first write was torn */
	if (rc != 0 || !*exists)
		return rc;
	if (file.len != sizeof(v))
		return err_set(e, E_CORRUPT, "'%s' is damaged", path);
	memcpy(&v, file.data, sizeof(v));
	if (memcmp(v.magic, VOTE_MAGIC, sizeof(v.magic)) != 0 || v.crc != crc32c(0, &v, offsetof(struct vote_file, crc)))
		return err_set(e, E_CORRUPT, "'%s' is damaged", path);
	if (v.version > VOTE_VERSION)
		return err_set(e, E_NEWER, "'%s' was written by a newer dcos-node (format %u, this one reads %u); start the newer one",
			       path, v.version, VOTE_VERSION);
	*out = (struct raft_vote){ v.count, v.term, v.voted_for };
	return 0;
}

int raft_vote_load(const struct disk *d, const char *dir, struct raft_vote *out, struct err *e)
{
	struct raft_vote v[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
	bool any = false;
	for (int i = 0; i < 2; i++) {
		AUTO_FREE char *path = xasprintf("%s/vote.%d", dir, i);
		bool exists;
		int rc = load_vote_file(d, path, &v[i], &exists, e);
		if (rc == 0 && exists)
			rc = sync_vote_file(d, path, e);
		any |= exists;
		if (rc != 0 && rc != E_NOTFOUND && rc != E_CORRUPT)
			return rc;
	}
	struct raft_vote best = v[0].count > v[1].count ? v[0] : v[1];
	if (any && best.count == 0)
		return err_set(e, E_CORRUPT, "both '%s/vote.0' and '%s/vote.1' are damaged; restore the state directory from a backup",
			       dir, dir);
	*out = best;
	return 0;
}

int raft_vote_store(const struct disk *d, const char *dir, struct raft_vote *v, struct err *e)
{
	v->count++;
	AUTO_FREE char *path = xasprintf("%s/vote.%d", dir, (int)(v->count & 1));
	struct vote_file f = { .magic = VOTE_MAGIC, .version = VOTE_VERSION, .count = v->count, .term = v->term,
		.voted_for = v->voted_for };
	f.crc = crc32c(0, &f, offsetof(struct vote_file, crc));
	int fd = d->open(d->ctx, path, O_WRONLY | O_CREAT);
	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	int rc = disk_write(d, fd, path, &f, sizeof(f), 0, e);
	if (rc == 0 && d->sync(d->ctx, fd) != 0)
		rc = err_sys(e, "sync '%s'", path);
	d->close(d->ctx, fd);
	if (rc == 0 && v->count <= 2 && d->sync_dir(d->ctx, dir) != 0)
		rc = err_sys(e, "sync directory '%s'", dir);
	return rc;
}
