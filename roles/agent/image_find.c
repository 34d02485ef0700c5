/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that prepares one image: `dcos-node agent-image --image REF --dirs DIRS --store DIR`. Looks through the directories
 * for OCI layouts and archives that name REF, verifies everything against its digests, unpacks the layers the store lacks, and
 * prints the result as JSON. Straight-line and blocking. Store:
 *   layers/<32 hex digits of the diff id>/   one unpacked layer; complete, since it is renamed into place
 *   refs/<sha256 of REF>                     where REF was found last ("mtime size path\n", then the JSON), to skip the search
 *   staging.<pid>/                           an archive being taken apart; removed at the end
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "net/base/flag.h"
#include "net/limits.h"
#include "net/tls.h"
#include "roles/agent/agent_int.h"
#include "roles/agent/unpack.h"
#include "roles/roles.h"

#define LAYER_NAME_LEN 32        /* hex digits; 128 bits name a layer safely and keep overlay's options short */

struct finder {
	struct arena *arena;
	const char *store, *ref;
	char *staging;
	size_t seen;             /* layouts and archives looked at */
	struct image *out;
	struct str found;        /* path whose time and size tell whether the image changed */
};

/* ---- files of a layout ---- */

static int read_small(const char *path, struct buf *out, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;
	out->max = LIMIT_IMAGE_JSON_BYTES;
	while (n > 0) {
		uint8_t *room = buf_room(out, 4096);
		if (!room)
			return err_set(e, E_TOOBIG, "'%s' has more than %d bytes", path, LIMIT_IMAGE_JSON_BYTES);
		n = read(fd, room, 4096);
		buf_grew(out, n > 0 ? (size_t)n : 0);
	}
	return n < 0 ? err_sys(e, "read '%s'", path) : 0;
}

static int verify(const char *path, const struct image_blob *blob, struct err *e)
{
	char digest[65];
	int rc = blob->digest[0] ? unpack_digest(path, digest, e) : 0;
	if (rc == 0 && blob->digest[0] && strcmp(digest, blob->digest) != 0)
		return err_set(e, E_CORRUPT, "'%s' is not what its name says: its sha256 is %s", path, digest);
	return rc;
}

static int read_blob(const char *dir, const struct image_blob *blob, struct buf *out, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, blob->path);
	int rc = verify(path, blob, e);
	return rc != 0 ? rc : read_small(path, out, e);
}

/* ---- layers ---- */

static int make_layer(struct finder *f, const char *dir, const struct image_blob *blob, const char *diff_id, struct err *e)
{
	char *layer = arena_printf(f->arena, "%s/layers/%.*s", f->store, LAYER_NAME_LEN, diff_id);
	AUTO_FREE char *path = xasprintf("%s/%s", dir, blob->path);
	AUTO_FREE char *temp = xasprintf("%s.%d", layer, (int)getpid());
	f->out->layers.rows[f->out->layers.count++] = layer;
	if (access(layer, F_OK) == 0)
		return 0;
	int rc = verify(path, blob, e);
	if (rc == 0)
		rc = node_mkdirs(temp, 0755, e);
	if (rc == 0)
		rc = unpack_layer(path, temp, diff_id, e);
	if (rc == 0 && rename(temp, layer) != 0 && errno != EEXIST && errno != ENOTEMPTY)
		rc = err_sys(e, "put layer '%s' in place", layer);
	struct err ignored = { 0 };
	(void)sandbox_remove_tree(temp, &ignored);      /* there when it failed, or another process was first */
	return rc;
}

static int use_manifest(struct finder *f, const char *dir, const struct image_manifest *m, struct err *e)
{
	AUTO_BUF struct buf json = BUF_INIT;
	int rc = read_blob(dir, &m->config, &json, e);
	if (rc == 0)
		rc = image_parse_config(f->arena, buf_view(&json), &f->out->config, e);
	if (rc == 0 && f->out->config.diff_ids.count != m->layer_count)
		rc = err_set(e, E_CORRUPT, "image '%s' lists %zu layers, its config %zu", f->ref, m->layer_count, f->out->config.diff_ids.count);
	f->out->layers = (struct image_strings){ arena_array(f->arena, char *, m->layer_count + 1), 0 };
	for (size_t i = 0; i < m->layer_count && rc == 0; i++)
		rc = make_layer(f, dir, &m->layers[i], f->out->config.diff_ids.rows[i], e);
	return rc;
}

/* ---- layouts and archives ---- */

/* From an index to a manifest, over at most one more index (one per platform). */
static int use_index(struct finder *f, const char *dir, struct str index, struct err *e)
{
	struct image_manifest m = { 0 };
	struct image_blob blob = { .path = NULL };
	struct err nested = { 0 };
	int rc = image_parse_index(f->arena, index, f->ref, &blob, e);
	for (int depth = 0; rc == 0 && depth < 2; depth++) {
		AUTO_BUF struct buf json = BUF_INIT;
		rc = read_blob(dir, &blob, &json, e);
		if (rc != 0)
			return rc;
		if (depth == 0 && image_parse_index(f->arena, buf_view(&json), NULL, &blob, &nested) == 0)
			continue;
		rc = image_parse_manifest(f->arena, buf_view(&json), &m, e);
		return rc != 0 ? rc : use_manifest(f, dir, &m, e);
	}
	return rc != 0 ? rc : err_set(e, E_CORRUPT, "the index of '%s' leads to no manifest", f->ref);
}

/* E_NOTFOUND: not here, look on. */
static int use_layout(struct finder *f, const char *dir, struct err *e)
{
	AUTO_FREE char *index = xasprintf("%s/index.json", dir);
	AUTO_FREE char *docker = xasprintf("%s/manifest.json", dir);
	struct image_manifest m = { 0 };
	AUTO_BUF struct buf json = BUF_INIT;
	int rc = E_NOTFOUND;
	if (access(index, F_OK) == 0) {
		rc = read_small(index, &json, e);
		if (rc == 0)
			rc = use_index(f, dir, buf_view(&json), e);
	}
	if (rc != E_NOTFOUND || access(docker, F_OK) != 0)
		return rc;
	buf_reset(&json);
	rc = read_small(docker, &json, e);
	if (rc == 0)
		rc = image_parse_docker(f->arena, buf_view(&json), f->ref, &m, e);
	return rc != 0 ? rc : use_manifest(f, dir, &m, e);
}

/* Is the image named in the archive? Only then is it worth taking apart. */
static int named_in(struct finder *f, const char *archive, struct err *e)
{
	AUTO_BUF struct buf json = BUF_INIT;
	struct image_manifest m = { 0 };
	struct image_blob blob = { .path = NULL };
	int rc = unpack_member(archive, "manifest.json", LIMIT_IMAGE_JSON_BYTES, &json, e);
	if (rc == 0)
		rc = image_parse_docker(f->arena, buf_view(&json), f->ref, &m, e);
	if (rc != E_NOTFOUND)
		return rc;
	buf_reset(&json);
	rc = unpack_member(archive, "index.json", LIMIT_IMAGE_JSON_BYTES, &json, e);
	return rc != 0 ? rc : image_parse_index(f->arena, buf_view(&json), f->ref, &blob, e);
}

static int use_archive(struct finder *f, const char *archive, struct err *e)
{
	int rc = named_in(f, archive, e);
	if (rc == 0)
		rc = node_mkdirs(f->staging, 0700, e);
	if (rc == 0)
		rc = unpack_all(archive, f->staging, e);
	return rc != 0 ? rc : use_layout(f, f->staging, e);
}

static bool is_archive(const char *name)
{
	static const char *const ends[] = { ".tar", ".tar.gz", ".tgz", ".tar.zst", ".oci" };
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (str_ends(str_of(name), str_of(ends[i])))
			return true;
	return false;
}

static int look_at(struct finder *f, const char *path, bool is_dir, struct err *e)
{
	AUTO_FREE char *index = xasprintf("%s/index.json", path);
	AUTO_FREE char *docker = xasprintf("%s/manifest.json", path);
	bool layout = is_dir && (access(index, F_OK) == 0 || access(docker, F_OK) == 0);
	if (!layout && (is_dir || !is_archive(path)))
		return E_NOTFOUND;
	f->seen++;
	const char *stamp = !layout ? path : access(index, F_OK) == 0 ? index : docker;
	int rc = layout ? use_layout(f, path, e) : use_archive(f, path, e);
	if (rc == 0)
		f->found = str_of(arena_strdup(f->arena, stamp));
	return rc;
}

/* A damaged archive that is not ours does not stop the search; its story is told when nothing else is found. */
static int search_dir(struct finder *f, const char *dir, struct err *broken, struct err *e)
{
	DIR *d;
	struct dirent *de;
	int rc = look_at(f, dir, true, e);
	if (rc != E_NOTFOUND)
		return rc;
	d = opendir(dir);
	while (d && rc != 0 && (de = readdir(d))) {
		struct stat st;
		AUTO_FREE char *path = xasprintf("%s/%s", dir, de->d_name);
		if (de->d_name[0] == '.' || stat(path, &st) != 0)
			continue;
		*e = (struct err){ 0 };
		rc = look_at(f, path, S_ISDIR(st.st_mode), e);
		if (rc != 0 && rc != E_NOTFOUND)
			*broken = *e;
	}
	if (d)
		(void)closedir(d);
	return rc == 0 ? 0 : E_NOTFOUND;
}

static int search(struct finder *f, const char *dirs, struct err *e)
{
	struct err broken = { 0 };
	struct str rest = str_of(dirs);
	AUTO_BUF struct buf where = BUF_INIT;
	int rc = E_NOTFOUND;
	while (rest.p && rc != 0) {
		struct str one = str_trim(str_cut(&rest, '\n'));
		AUTO_FREE char *dir = str_dup(one);
		if (one.len == 0)
			continue;
		buf_printf(&where, "%s'%s'", where.len ? ", " : "", dir);
		rc = search_dir(f, dir, &broken, e);
	}
	if (rc == 0)
		return 0;
	if (broken.code != 0)
		return err_set(e, broken.code, "image '%s' cannot be used: %.300s", f->ref, broken.text);
	if (where.len == 0)
		return err_set(e, E_NOTFOUND, "image '%s' is not built in, and the agent has no --image-dir to look for it", f->ref);
	return err_set(e, E_NOTFOUND, "image '%s' is neither built in nor in %s (%zu archives and layouts looked at)", f->ref,
		       buf_cstr(&where), f->seen);
}

/* ---- what was found last ---- */

static char *ref_path(struct finder *f)
{
	uint8_t sum[32];
	char hex[65];
	sha256(f->ref, strlen(f->ref), sum);
	hex_encode(sum, sizeof(sum), hex);
	return xasprintf("%s/refs/%s", f->store, hex);
}

static bool stamp(struct str path, char out[64])
{
	struct stat st;
	AUTO_FREE char *p = str_dup(path);
	if (stat(p, &st) != 0)
		return false;
	(void)snprintf(out, 64, "%lld.%09ld %lld ", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)st.st_size);
	return true;
}

static bool recall(struct finder *f)
{
	AUTO_FREE char *path = ref_path(f);
	AUTO_BUF struct buf text = BUF_INIT;
	struct err ignored = { 0 };
	char now[64];
	if (read_small(path, &text, &ignored) != 0)
		return false;
	struct str json = buf_view(&text);
	struct str line = str_cut(&json, '\n');
	ssize_t space = str_find(line, ' ');
	ssize_t second = space < 0 ? -1 : str_find(str_from(line, (size_t)space + 1), ' ');
	if (second < 0 || !json.p)
		return false;
	size_t head = (size_t)(space + 1 + second + 1);
	if (!stamp(str_from(line, head), now) || !str_eq_c(str_head(line, head), now))
		return false;
	if (image_read(f->arena, json, f->out, &ignored) != 0)
		return false;
	for (size_t i = 0; i < f->out->layers.count; i++)
		if (access(f->out->layers.rows[i], F_OK) != 0)
			return false;
	return true;
}

/* Best effort: without it the next launch searches again. */
static void memorise(struct finder *f)
{
	AUTO_FREE char *path = ref_path(f);
	AUTO_FREE char *temp = xasprintf("%s.%d", path, (int)getpid());
	AUTO_BUF struct buf text = BUF_INIT;
	char now[64];
	if (!stamp(f->found, now))
		return;
	buf_printf(&text, "%s" STR_FMT "\n", now, STR_ARG(f->found));
	image_write(&text, f->out);
	AUTO_FD int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || rename(temp, path) != 0)
		(void)unlink(temp);
}

int image_unpack(struct arena *a, const char *dirs, const char *store, const char *ref, struct image *out, struct err *e)
{
	struct finder f = { .arena = a, .store = store, .ref = ref, .out = out };
	struct err ignored = { 0 };
	static const char *const subdirs[] = { "layers", "refs" };
	for (size_t i = 0; i < ARRAY_LEN(subdirs); i++) {
		AUTO_FREE char *dir = xasprintf("%s/%s", store, subdirs[i]);
		if (node_mkdirs(dir, 0755, e) != 0)
			return e->code;
	}
	if (recall(&f))
		return 0;
	*out = (struct image){ .program = NULL };
	f.staging = arena_printf(a, "%s/staging.%d", store, (int)getpid());
	int rc = search(&f, dirs, e);
	(void)sandbox_remove_tree(f.staging, &ignored);
	if (rc == 0)
		memorise(&f);
	return rc;
}

/* ---- the process ---- */

struct image_process_config {
	char *store, *image, *dirs;
};
#define AT(field) offsetof(struct image_process_config, field)
static const struct flag image_process_flags[] = {
	/* name    type         field      default min max env   help */
	{ "store", FLAG_STRING, AT(store), NULL,   0, 0,   NULL, "where unpacked layers are kept" },
	{ "image", FLAG_STRING, AT(image), NULL,   0, 0,   NULL, "full name of the image" },
	{ "dirs",  FLAG_STRING, AT(dirs),  "",     0, 0,   NULL, "directories to look in, one a line" },
	FLAG_END,
};

int agent_image_main(int argc, char **argv)
{
	static const struct flag *const tables[] = { image_process_flags, NULL };
	struct image_process_config c = { NULL, NULL, NULL };
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	struct image image;
	struct err e = { 0 };
	int argi;
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	int rc = flag_parse(tables, &c, argc - 1, argv + 1, false, &argi, &e);
	if (rc == 0 && (!c.store || !c.image))
		rc = err_set(&e, E_USAGE, "--store and --image are needed; agents start this, people do not");
	if (rc == 0)
		rc = image_unpack(&a, c.dirs, c.store, c.image, &image, &e);
	if (rc != 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		return err_exit(rc);
	}
	image_write(&out, &image);
	return fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0 ? 0 : 1;
}
