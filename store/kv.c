/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one place that knows LMDB. An environment is a directory with data.mdb and lock.mdb. A value on disk is
 *
 *   version u8 | crc32c u32 little-endian, over version, key and value | value
 *
 * The map is address space, not memory: LMDB writes pages with pwrite, so a full disk is an error code and never a SIGBUS, and
 * the file is extended to what its header promises at open, so a cut file reads as damaged. Growing the map moves it, so it
 * waits until no transaction of this process is open and holds new ones back meanwhile.
 */
#include "store/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define KV_MAP_DEFAULT ((size_t)(64 * MIB))
#define KV_MAP_MAX ((size_t)(1024 * GIB))
#define KV_GROW_WAIT_SEC 2               /* read transactions end within one second */
#define KV_HEAD_BYTES 5
#define KV_DBI_ABSENT UINT32_MAX
#define KV_READERS_MAX 512
#define KV_LOCK_BYTES (KV_READERS_MAX * 64 + 4096)   /* a slot of 64 bytes each, and a head */
#define KV_WRITE_BYTES ((size_t)(64 * KIB))      /* LMDB puts up to 64 pages into one write; few are left of less */

struct kv {
	MDB_env *env;                           /* owned */
	char *dir;                              /* owned */
	bool read_only;
	const struct kv_table *const *tables;   /* borrowed rows, NULL-terminated; the array is owned */
	MDB_dbi *dbis;                          /* owned, beside tables */
	pthread_mutex_t lock;                   /* guards the three below */
	pthread_cond_t changed;
	unsigned active;                        /* open transactions of this process */
	bool growing;
};

struct kv_txn {
	struct kv *kv;
	struct kv_txn *parent;                  /* borrowed; NULL at the top */
	MDB_txn *txn;
	bool map_full;
	const struct kv_table *feed;            /* borrowed; NULL: changes are not recorded */
	uint64_t feed_index;
	uint32_t fed;                           /* rows added under that index */
};

/* A write that a full disk took only the first part of is EIO to LMDB. */
static bool kv_disk_full(const struct kv *kv)
{
	struct statvfs fs;
	return statvfs(kv->dir, &fs) == 0 && fs.f_bavail * fs.f_frsize < KV_WRITE_BYTES;
}

static int kv_fail(struct err *e, const struct kv *kv, int rc, const char *what)
{
	if (rc == EIO && kv_disk_full(kv))
		rc = ENOSPC;
	switch (rc) {
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return err_set(e, E_NOSPACE, "%s in '%s': the map is full", what, kv->dir);
	case ENOSPC:
	case EDQUOT:
		return err_set(e, E_NOSPACE, "%s in '%s': no space left on the disk; free some and it goes on", what, kv->dir);
	case MDB_NOTFOUND:
		return err_set(e, E_NOTFOUND, "%s in '%s': no such key", what, kv->dir);
	case MDB_VERSION_MISMATCH:
		return err_set(e, E_NEWER, "%s: '%s/data.mdb' has another LMDB format; use the dcos-node that wrote it", what, kv->dir);
	case MDB_INVALID:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_PANIC:
		return err_set(e, E_CORRUPT, "%s: '%s/data.mdb' is damaged; restore or remove that directory", what, kv->dir);
	case MDB_READERS_FULL:
		return err_set(e, E_BUSY, "%s in '%s': too many open reads", what, kv->dir);
	case MDB_BAD_VALSIZE:
		return err_set(e, E_INVALID, "%s in '%s': a key has 1 to %d bytes", what, kv->dir, KV_KEY_MAX);
	default:
		return err_set(e, E_IO, "%s in '%s': %s", what, kv->dir, mdb_strerror(rc));
	}
}

/* ---- environment ---- */

/* Make the file as long as its header says: then a file that was cut reads as zeros, which LMDB reports, instead of SIGBUS. */
static int kv_extend_file(struct kv *kv, struct err *e)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	int fd = -1;
	(void)mdb_env_info(kv->env, &info);
	(void)mdb_env_stat(kv->env, &stat);
	int rc = mdb_env_get_fd(kv->env, &fd);
	if (rc != 0)
		return kv_fail(e, kv, rc, "open database");
	if (fstat(fd, &st) != 0)
		return err_sys(e, "look at '%s/data.mdb'", kv->dir);
	off_t want = (off_t)((info.me_last_pgno + 1) * stat.ms_psize);
	if (!kv->read_only && st.st_size < want && ftruncate(fd, want) != 0)
		return err_sys(e, "extend '%s/data.mdb'", kv->dir);
	return 0;
}

/* LMDB maps its lock file and writes into the map: on a full disk that would be SIGBUS, so it gets its blocks before. */
static int kv_reserve_lock_file(struct kv *kv, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/lock.mdb", kv->dir);
	AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, KV_LOCK_BYTES) != 0 && (errno == ENOSPC || errno == EDQUOT))
		return err_sys(e, "reserve '%s'", path);
	return 0;
}

/* In one transaction; MDB_NOTFOUND when a table is missing and is not to be made. */
static int kv_open_tables_as(struct kv *kv, bool make)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(kv->env, NULL, make ? 0 : MDB_RDONLY, &txn);
	if (rc != 0)
		return rc;
	for (size_t i = 0; rc == 0 && kv->tables[i]; i++) {
		rc = mdb_dbi_open(txn, kv->tables[i]->name, make ? MDB_CREATE : 0, &kv->dbis[i]);
		if (rc == MDB_NOTFOUND && kv->read_only) {
			kv->dbis[i] = KV_DBI_ABSENT;
			rc = 0;
		}
	}
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

/* Without the writer's lock where it is not needed: another process may have it. */
static int kv_open_tables(struct kv *kv, struct err *e)
{
	int rc = kv_open_tables_as(kv, false);
	if (rc == MDB_NOTFOUND)
		rc = kv_open_tables_as(kv, true);
	return rc == 0 ? 0 : kv_fail(e, kv, rc, "open tables");
}

static int kv_open_env(struct kv *kv, const struct kv_options *o, size_t count, struct err *e)
{
	if (!o->read_only && mkdir(kv->dir, 0700) != 0 && errno != EEXIST)
		return err_sys(e, "make directory '%s'", kv->dir);
	int rc = o->read_only ? 0 : kv_reserve_lock_file(kv, e);
	if (rc != 0)
		return rc;
	rc = mdb_env_create(&kv->env);
	if (rc != 0)
		return kv_fail(e, kv, rc, "open database");
	(void)mdb_env_set_maxdbs(kv->env, (MDB_dbi)count + 1);
	(void)mdb_env_set_maxreaders(kv->env, KV_READERS_MAX);
	(void)mdb_env_set_mapsize(kv->env, o->map_bytes ? o->map_bytes : KV_MAP_DEFAULT);
	unsigned flags = MDB_NOTLS | (o->durable ? 0 : MDB_NOSYNC) | (o->durable && !o->one_sync ? 0 : MDB_NOMETASYNC) | (o->read_only ? MDB_RDONLY : 0);
	rc = mdb_env_open(kv->env, kv->dir, flags, 0600);
	if (rc != 0)
		return kv_fail(e, kv, rc, "open database");
	int dead = 0;
	(void)mdb_reader_check(kv->env, &dead);
	int err = kv_extend_file(kv, e);
	return err ? err : kv_open_tables(kv, e);
}

int kv_open(const char *dir, const struct kv_options *o, struct kv **out, struct err *e)
{
	size_t count = 0;
	while (o->tables[count])
		count++;
	struct kv *kv = xcalloc(1, sizeof(*kv));
	const struct kv_table **tables = xcalloc(count + 1, sizeof(const struct kv_table *));
	for (size_t i = 0; i < count; i++)
		tables[i] = o->tables[i];
	kv->tables = tables;
	kv->dbis = xcalloc(count + 1, sizeof(*kv->dbis));
	kv->dir = xstrdup(dir);
	kv->read_only = o->read_only;
	pthread_mutex_init(&kv->lock, NULL);
	pthread_cond_init(&kv->changed, NULL);
	int rc = kv_open_env(kv, o, count, e);
	if (rc != 0) {
		kv_close(kv);
		return rc;
	}
	*out = kv;
	return 0;
}

void kv_close(struct kv *kv)
{
	if (!kv)
		return;
	assert(kv->active == 0);
	if (kv->env)
		mdb_env_close(kv->env);
	pthread_mutex_destroy(&kv->lock);
	pthread_cond_destroy(&kv->changed);
	free((void *)kv->tables);
	free(kv->dbis);
	free(kv->dir);
	free(kv);
}

int kv_sync(struct kv *kv, struct err *e)
{
	int rc = mdb_env_sync(kv->env, 1);
	return rc == 0 ? 0 : kv_fail(e, kv, rc, "sync");
}

size_t kv_bytes(struct kv *kv)
{
	MDB_envinfo info;
	MDB_stat stat;
	(void)mdb_env_info(kv->env, &info);
	(void)mdb_env_stat(kv->env, &stat);
	return (info.me_last_pgno + 1) * stat.ms_psize;
}

/* ---- transactions ---- */

static void kv_enter(struct kv *kv)
{
	pthread_mutex_lock(&kv->lock);
	while (kv->growing)
		pthread_cond_wait(&kv->changed, &kv->lock);
	kv->active++;
	pthread_mutex_unlock(&kv->lock);
}

static void kv_leave(struct kv *kv)
{
	pthread_mutex_lock(&kv->lock);
	assert(kv->active > 0);
	kv->active--;
	pthread_cond_broadcast(&kv->changed);
	pthread_mutex_unlock(&kv->lock);
}

/* Move to a map of `bytes` (0: the size another process has given the file) once nothing of ours is open. */
static int kv_resize(struct kv *kv, size_t bytes, struct err *e)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += KV_GROW_WAIT_SEC;
	pthread_mutex_lock(&kv->lock);
	while (kv->growing)
		pthread_cond_wait(&kv->changed, &kv->lock);
	kv->growing = true;
	int waited = 0;
	while (kv->active > 0 && waited == 0)
		waited = pthread_cond_timedwait(&kv->changed, &kv->lock, &until);
	int rc = kv->active > 0 ? EBUSY : mdb_env_set_mapsize(kv->env, bytes);
	kv->growing = false;
	pthread_cond_broadcast(&kv->changed);
	pthread_mutex_unlock(&kv->lock);
	if (rc == EBUSY)
		return err_set(e, E_BUSY, "the map of '%s' has to grow, but a read stays open", kv->dir);
	return rc == 0 ? 0 : kv_fail(e, kv, rc, "grow the map");
}

static int kv_grow(struct kv *kv, struct err *e)
{
	MDB_envinfo info;
	(void)mdb_env_info(kv->env, &info);
	if (info.me_mapsize >= KV_MAP_MAX)
		return err_set(e, E_NOSPACE, "'%s' has reached its largest size", kv->dir);
	return kv_resize(kv, info.me_mapsize * 2, e);
}

int kv_begin(struct kv *kv, bool write, struct kv_txn **out, struct err *e)
{
	MDB_txn *txn = NULL;
	for (int tries = 0;; tries++) {
		kv_enter(kv);
		int rc = mdb_txn_begin(kv->env, NULL, write ? 0 : MDB_RDONLY, &txn);
		if (rc == 0)
			break;
		kv_leave(kv);
		if (rc != MDB_MAP_RESIZED || tries == 3)
			return kv_fail(e, kv, rc, "begin a transaction");
		rc = kv_resize(kv, 0, e);
		if (rc != 0)
			return rc;
	}
	struct kv_txn *t = xcalloc(1, sizeof(*t));
	t->kv = kv;
	t->txn = txn;
	*out = t;
	return 0;
}

int kv_nest(struct kv_txn *parent, struct kv_txn **out, struct err *e)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(parent->kv->env, parent->txn, 0, &txn);
	if (rc != 0)
		return kv_fail(e, parent->kv, rc, "begin a nested transaction");
	struct kv_txn *t = xcalloc(1, sizeof(*t));
	t->kv = parent->kv;
	t->parent = parent;
	t->txn = txn;
	*out = t;
	return 0;
}

/* Remember on the way out that the map was too small. */
static int kv_note(struct kv_txn *txn, int rc)
{
	if (rc == MDB_MAP_FULL)
		for (struct kv_txn *t = txn; t; t = t->parent)
			t->map_full = true;
	return rc;
}

static void kv_end(struct kv_txn *txn)
{
	if (!txn->parent)
		kv_leave(txn->kv);
	free(txn);
}

int kv_commit(struct kv_txn *txn, struct err *e)
{
	int rc = kv_note(txn, mdb_txn_commit(txn->txn));
	struct kv *kv = txn->kv;
	kv_end(txn);
	return rc == 0 ? 0 : kv_fail(e, kv, rc, "commit");
}

void kv_abort(struct kv_txn *txn)
{
	if (!txn)
		return;
	mdb_txn_abort(txn->txn);
	kv_end(txn);
}

bool kv_map_full(const struct kv_txn *txn)
{
	return txn->map_full;
}

int kv_update(struct kv *kv, int (*fn)(struct kv_txn *txn, void *arg, struct err *e), void *arg, struct err *e)
{
	for (;;) {
		struct kv_txn *txn = NULL;
		int rc = kv_begin(kv, true, &txn, e);
		if (rc != 0)
			return rc;
		assert(txn);
		rc = fn(txn, arg, e);
		bool full = txn->map_full;
		if (rc == 0 && !full) {
			int raw = mdb_txn_commit(txn->txn);
			full = raw == MDB_MAP_FULL;
			if (raw != 0)
				rc = kv_fail(e, kv, raw, "commit");
		} else {
			mdb_txn_abort(txn->txn);
		}
		kv_end(txn);
		if (!full)
			return rc;
		rc = kv_grow(kv, e);
		if (rc != 0)
			return rc;
	}
}

int kv_copy(struct kv *kv, int fd, struct err *e)
{
	kv_enter(kv);
	int rc = mdb_env_copyfd2(kv->env, fd, 0);
	kv_leave(kv);
	if (rc != 0)
		return kv_fail(e, kv, rc, "copy");
	return fsync(fd) == 0 ? 0 : err_sys(e, "sync the copy of '%s'", kv->dir);
}

/* ---- rows ---- */

static MDB_dbi kv_dbi(const struct kv *kv, const struct kv_table *t)
{
	size_t i = 0;
	while (kv->tables[i] != t) {
		assert(kv->tables[i]);     /* a table has to be registered before it is used */
		i++;
	}
	return kv->dbis[i];
}

static MDB_val kv_val(struct str s)
{
	return (MDB_val){ s.len, (void *)(uintptr_t)s.p };
}

static uint32_t kv_crc(uint8_t version, struct str key, struct str value)
{
	uint32_t crc = crc32c(0, &version, 1);
	crc = crc32c(crc, key.p, key.len);
	return crc32c(crc, value.p, value.len);
}

/* Whole, of whatever version. */
static int kv_check_stored(const struct kv *kv, const struct kv_table *t, struct str key, struct str stored, struct err *e)
{
	uint32_t crc;
	if (stored.len < KV_HEAD_BYTES)
		return err_set(e, E_CORRUPT, "table '%s' in '%s' holds a value that is too short", t->name, kv->dir);
	memcpy(&crc, stored.p + 1, sizeof(crc));
	if (crc != kv_crc((uint8_t)stored.p[0], key, str_from(stored, KV_HEAD_BYTES)))
		return err_set(e, E_CORRUPT, "table '%s' in '%s' holds a value with a wrong checksum", t->name, kv->dir);
	return 0;
}

static int kv_check_value(const struct kv *kv, const struct kv_table *t, struct str key, MDB_val raw, struct str *out,
			  struct err *e)
{
	struct str stored = str_n(raw.mv_data, raw.mv_size);
	int rc = kv_check_stored(kv, t, key, stored, e);
	if (rc != 0)
		return rc;
	uint8_t version = (uint8_t)stored.p[0];
	if (version > t->version)
		return err_set(e, E_NEWER, "table '%s' in '%s' holds a value of version %u, this dcos-node reads up to %u; "
			       "start the newer one", t->name, kv->dir, version, t->version);
	*out = str_from(stored, KV_HEAD_BYTES);
	return 0;
}

int kv_get(struct kv_txn *txn, const struct kv_table *t, struct str key, struct str *out, struct err *e)
{
	MDB_dbi dbi = kv_dbi(txn->kv, t);
	MDB_val k = kv_val(key), v;
	int rc = dbi == KV_DBI_ABSENT ? MDB_NOTFOUND : mdb_get(txn->txn, dbi, &k, &v);
	if (rc != 0)
		return kv_fail(e, txn->kv, rc, t->name);
	return kv_check_value(txn->kv, t, key, v, out, e);
}

int kv_get_named(struct kv_txn *txn, struct str table, struct str key, struct str *out, struct err *e)
{
	for (size_t i = 0; txn->kv->tables[i]; i++)
		if (str_eq(table, str_of(txn->kv->tables[i]->name)))
			return kv_get(txn, txn->kv->tables[i], key, out, e);
	return err_set(e, E_NOTFOUND, "there is no table '%.*s'", (int)table.len, table.p);
}

void kv_feed(struct kv_txn *txn, const struct kv_table *feed, uint64_t index)
{
	txn->feed = feed;
	txn->feed_index = index;
	txn->fed = 0;
}

uint32_t kv_fed(const struct kv_txn *txn) { return txn->fed; }

static int kv_record(struct kv_txn *txn, const struct kv_table *t, struct str key, struct err *e)
{
	AUTO_BUF struct buf row = BUF_INIT;
	uint8_t at[12];
	if (!t->feed || !txn->feed)
		return 0;
	(void)kv_key_u64(txn->feed_index, at);
	for (int i = 0; i < 4; i++)
		at[8 + i] = (uint8_t)(txn->fed >> (24 - 8 * i));
	txn->fed++;
	(void)buf_append(&row, t->name, strlen(t->name) + 1);
	(void)buf_str(&row, key);
	return kv_put(txn, txn->feed, str_n((const char *)at, sizeof(at)), buf_view(&row), e);
}

int kv_put(struct kv_txn *txn, const struct kv_table *t, struct str key, struct str value, struct err *e)
{
	MDB_val k = kv_val(key), v = { value.len + KV_HEAD_BYTES, NULL };
	int rc = kv_note(txn, mdb_put(txn->txn, kv_dbi(txn->kv, t), &k, &v, MDB_RESERVE));
	if (rc != 0)
		return kv_fail(e, txn->kv, rc, t->name);
	uint8_t *p = v.mv_data;
	uint32_t crc = kv_crc(t->version, key, value);
	p[0] = t->version;
	memcpy(p + 1, &crc, sizeof(crc));
	if (value.len > 0)
		memcpy(p + KV_HEAD_BYTES, value.p, value.len);
	return kv_record(txn, t, key, e);
}

int kv_del(struct kv_txn *txn, const struct kv_table *t, struct str key, struct err *e)
{
	MDB_val k = kv_val(key);
	int rc = kv_note(txn, mdb_del(txn->txn, kv_dbi(txn->kv, t), &k, NULL));
	if (rc == MDB_NOTFOUND)
		return 0;
	return rc == 0 ? kv_record(txn, t, key, e) : kv_fail(e, txn->kv, rc, t->name);
}

size_t kv_count(struct kv_txn *txn, const struct kv_table *t)
{
	MDB_stat stat = { 0 };
	MDB_dbi dbi = kv_dbi(txn->kv, t);
	if (dbi != KV_DBI_ABSENT)
		(void)mdb_stat(txn->txn, dbi, &stat);
	return stat.ms_entries;
}

int kv_each(struct kv_txn *txn, const struct kv_table *t, struct str from,
	    bool (*fn)(void *arg, struct str key, struct str value), void *arg, struct err *e)
{
	MDB_cursor *cursor;
	MDB_dbi dbi = kv_dbi(txn->kv, t);
	if (dbi == KV_DBI_ABSENT)
		return 0;
	int rc = mdb_cursor_open(txn->txn, dbi, &cursor);
	if (rc != 0)
		return kv_fail(e, txn->kv, rc, t->name);
	MDB_val k = kv_val(from), v;
	int err = 0;
	rc = mdb_cursor_get(cursor, &k, &v, from.len > 0 ? MDB_SET_RANGE : MDB_FIRST);
	for (; rc == 0; rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
		struct str key = str_n(k.mv_data, k.mv_size), value;
		err = kv_check_value(txn->kv, t, key, v, &value, e);
		if (err != 0 || !fn(arg, key, value))
			break;
	}
	mdb_cursor_close(cursor);
	if (err != 0)
		return err;
	return rc == 0 || rc == MDB_NOTFOUND ? 0 : kv_fail(e, txn->kv, rc, t->name);
}

int kv_each_stored(struct kv_txn *txn, const struct kv_table *t, int (*fn)(void *arg, struct str key, struct str stored,
									  struct err *e), void *arg, struct err *e)
{
	MDB_cursor *cursor;
	MDB_dbi dbi = kv_dbi(txn->kv, t);
	if (dbi == KV_DBI_ABSENT)
		return 0;
	int rc = mdb_cursor_open(txn->txn, dbi, &cursor);
	if (rc != 0)
		return kv_fail(e, txn->kv, rc, t->name);
	MDB_val k, v;
	int err = 0;
	while (err == 0 && (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
		struct str key = str_n(k.mv_data, k.mv_size), stored = str_n(v.mv_data, v.mv_size);
		err = kv_check_stored(txn->kv, t, key, stored, e);
		if (err == 0)
			err = fn(arg, key, stored, e);
	}
	mdb_cursor_close(cursor);
	if (err != 0)
		return err;
	return rc == MDB_NOTFOUND ? 0 : kv_fail(e, txn->kv, rc, t->name);
}

int kv_append_stored(struct kv_txn *txn, const struct kv_table *t, struct str key, struct str stored, struct err *e)
{
	MDB_val k = kv_val(key), v = kv_val(stored);
	struct str value;
	int rc = kv_check_value(txn->kv, t, key, v, &value, e);
	if (rc != 0)
		return rc;
	rc = kv_note(txn, mdb_put(txn->txn, kv_dbi(txn->kv, t), &k, &v, MDB_APPEND));
	if (rc == MDB_KEYEXIST)
		return err_set(e, E_CORRUPT, "rows for table '%s' in '%s' come out of order", t->name, txn->kv->dir);
	return rc == 0 ? 0 : kv_fail(e, txn->kv, rc, t->name);
}

/* Name of a table in the file that is not registered; false: there is none. */
static bool kv_find_other(struct kv_txn *txn, MDB_dbi root, char name[KV_KEY_MAX + 1], int *out_rc)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	bool found = false;
	int rc = mdb_cursor_open(txn->txn, root, &cursor);
	if (rc == 0) {
		while (!found && (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
			size_t i = 0;
			(void)str_put(name, KV_KEY_MAX + 1, str_n(k.mv_data, k.mv_size));
			while (txn->kv->tables[i] && strcmp(txn->kv->tables[i]->name, name) != 0)
				i++;
			found = !txn->kv->tables[i];
		}
		mdb_cursor_close(cursor);
	}
	*out_rc = rc == MDB_NOTFOUND ? 0 : rc;
	return found;
}

int kv_drop_others(struct kv_txn *txn, struct err *e)
{
	char name[KV_KEY_MAX + 1];
	MDB_dbi root, other;
	int rc = mdb_dbi_open(txn->txn, NULL, 0, &root);
	while (rc == 0 && kv_find_other(txn, root, name, &rc)) {
		rc = mdb_dbi_open(txn->txn, name, 0, &other);
		if (rc == 0)
			rc = mdb_drop(txn->txn, other, 1);
	}
	return rc == 0 ? 0 : kv_fail(e, txn->kv, kv_note(txn, rc), "drop tables");
}

int kv_clear(struct kv_txn *txn, const struct kv_table *t, struct err *e)
{
	int rc = kv_note(txn, mdb_drop(txn->txn, kv_dbi(txn->kv, t), 0));
	return rc == 0 ? 0 : kv_fail(e, txn->kv, rc, t->name);
}

uint64_t kv_u64_of_key(struct str key)
{
	uint64_t n = 0;
	if (key.len != 8)
		return 0;
	for (size_t i = 0; i < 8; i++)
		n = n << 8 | (uint8_t)key.p[i];
	return n;
}
