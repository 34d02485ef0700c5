/* SPDX-License-Identifier: Apache-2.0 */
/* Images: names, documents, layers, and the search through a directory of archives. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "net/limits.h"
#include "net/tls.h"
#include "roles/agent/image.h"
#include "roles/agent/unpack.h"
#include "tests/lib/test.h"

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const char *full(const char *ref)
{
	static struct arena a = ARENA_INIT;
	struct err e = { 0 };
	char *out = NULL;
	return image_ref_normalize(&a, str_of(ref), &out, &e) == 0 ? out : "refused";
}

TEST(agent_image, spellings_of_a_name_become_one)
{
	EQ_STR(full("nginx"), "docker.io/library/nginx:latest");
	EQ_STR(full("nginx:1.2"), "docker.io/library/nginx:1.2");
	EQ_STR(full("a/b"), "docker.io/a/b:latest");
	EQ_STR(full("docker.io/a/b:1"), "docker.io/a/b:1");
	EQ_STR(full("index.docker.io/a/b:1"), "docker.io/a/b:1");
	EQ_STR(full("localhost:5000/x"), "localhost:5000/x:latest");
	EQ_STR(full("r.example/x@sha256:" DIGEST_A), "r.example/x@sha256:" DIGEST_A);
	EQ_STR(full(""), "refused");
	EQ_STR(full("a b"), "refused");
	EQ_STR(full("a/$(x)"), "refused");
}

TEST(agent_image, a_config_says_what_to_run)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct image_config c;
	struct err e = { 0 };
	EQ_INT(image_parse_config(&a, STR("{\"config\":{\"Env\":[\"A=1\"],\"Entrypoint\":[\"e\"],\"Cmd\":null,\"WorkingDir\":\"/w\"},"
					  "\"rootfs\":{\"diff_ids\":[\"sha256:" DIGEST_A "\"]}}"), &c, &e), 0);
	EQ_INT(c.entrypoint.count, 1);
	EQ_INT(c.cmd.count, 0);
	EQ_STR((const char *)c.workdir, "/w");
	TRUE(c.user == NULL);
	EQ_STR((const char *)c.diff_ids.rows[0], DIGEST_A);
}

TEST(agent_image, a_digest_of_another_kind_is_malformed)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct image_config c;
	struct err e = { 0 };
	EQ_INT(image_parse_config(&a, STR("{\"rootfs\":{\"diff_ids\":[\"sha512:" DIGEST_A "\"]}}"), &c, &e), E_MALFORMED);
	EQ_INT(image_parse_config(&a, STR("{\"rootfs\":{\"diff_ids\":[\"sha256:../../etc\"]}}"), &c, &e), E_MALFORMED);
}

TEST(agent_image, an_index_is_searched_by_name_for_this_machine)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct image_blob blob;
	struct err e = { 0 };
	struct str json = STR("{\"manifests\":["
		"{\"digest\":\"sha256:" DIGEST_A "\",\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\"},"
		"\"annotations\":{\"org.opencontainers.image.ref.name\":\"x/y:1\"}},"
		"{\"digest\":\"sha256:" DIGEST_B "\",\"annotations\":{\"org.opencontainers.image.ref.name\":\"x/y:1\"}}]}");
	EQ_INT(image_parse_index(&a, json, "docker.io/x/y:1", &blob, &e), 0);
	EQ_STR((const char *)blob.path, "blobs/sha256/" DIGEST_B);
	EQ_INT(image_parse_index(&a, json, "docker.io/x/y:2", &blob, &e), E_NOTFOUND);
}

TEST(agent_image, an_archive_may_not_name_files_outside)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct image_manifest m;
	struct err e = { 0 };
	EQ_INT(image_parse_docker(&a, STR("[{\"RepoTags\":[\"x:1\"],\"Config\":\"" DIGEST_A ".json\",\"Layers\":[\"a/layer.tar\"]}]"),
				  "docker.io/library/x:1", &m, &e), 0);
	EQ_STR((const char *)m.config.digest, DIGEST_A);
	EQ_STR((const char *)m.layers[0].digest, "");
	EQ_INT(image_parse_docker(&a, STR("[{\"RepoTags\":[\"x:1\"],\"Config\":\"../../etc/passwd\",\"Layers\":[]}]"),
				  "docker.io/library/x:1", &m, &e), E_MALFORMED);
	EQ_INT(image_parse_docker(&a, STR("[{\"RepoTags\":[\"x:1\"],\"Config\":\"c\",\"Layers\":[\"/etc\"]}]"),
				  "docker.io/library/x:1", &m, &e), E_MALFORMED);
}

TEST(agent_image, layers_are_bounded)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf json = BUF_INIT;
	struct image_manifest m;
	struct err e = { 0 };
	buf_puts(&json, "{\"config\":{\"digest\":\"sha256:" DIGEST_A "\"},\"layers\":[");
	for (int i = 0; i < LIMIT_IMAGE_LAYERS; i++)
		buf_printf(&json, "%s{\"digest\":\"sha256:" DIGEST_B "\"}", i ? "," : "");
	size_t at = json.len;
	buf_puts(&json, "]}");
	EQ_INT(image_parse_manifest(&a, buf_view(&json), &m, &e), 0);
	json.len = at;
	buf_puts(&json, ",{\"digest\":\"sha256:" DIGEST_B "\"}]}");
	EQ_INT(image_parse_manifest(&a, buf_view(&json), &m, &e), E_TOOBIG);
}

TEST(agent_image, what_the_child_prints_is_read_back)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	char *cmd[] = { "x", "\"quoted\"" }, *layers[] = { "/l/1" };
	struct image in = { .config = { .cmd = { cmd, 2 }, .workdir = "/w" }, .layers = { layers, 1 } }, back;
	struct err e = { 0 };
	image_write(&out, &in);
	EQ_INT(image_read(&a, buf_view(&out), &back, &e), 0);
	EQ_STR((const char *)back.config.cmd.rows[1], "\"quoted\"");
	EQ_STR((const char *)back.layers.rows[0], "/l/1");
	TRUE(back.config.user == NULL);
}

TEST(agent_image, the_built_in_image_is_made_once_and_only_for_its_name)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct image image;
	struct err e = { 0 };
	EQ_INT(image_builtin(&a, test_dir(), "docker.io/library/nginx:latest", &image, &e), E_NOTFOUND);
	for (int i = 0; i < 2; i++)
		EQ_INT(image_builtin(&a, test_dir(), full("mhausenblas/simpleservice:0.3.0"), &image, &e), 0);
	AUTO_FREE char *program = xasprintf("%s%s", image.layers.rows[0], image.program);
	EQ_INT(access(program, X_OK), 0);
	EQ_STR((const char *)image.config.cmd.rows[0], "simpleservice");
}

/* ---- archives ---- */

struct file { const char *name, *text, *link; unsigned type; };

static void write_tar(const char *path, const char *filter, const struct file *files, size_t count)
{
	struct archive *a = archive_write_new();
	EQ_INT(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
	if (filter)
		EQ_INT(archive_write_add_filter_by_name(a, filter), ARCHIVE_OK);
	EQ_INT(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (size_t i = 0; i < count; i++) {
		struct archive_entry *entry = archive_entry_new();
		archive_entry_set_pathname(entry, files[i].name);
		archive_entry_set_filetype(entry, files[i].type ? files[i].type : AE_IFREG);
		archive_entry_set_perm(entry, 0755);
		if (files[i].type == AE_IFLNK)
			archive_entry_set_symlink(entry, files[i].link);
		else if (files[i].link)
			archive_entry_set_hardlink(entry, files[i].link);
		if (files[i].text)
			archive_entry_set_size(entry, (la_int64_t)strlen(files[i].text));
		EQ_INT(archive_write_header(a, entry), ARCHIVE_OK);
		if (files[i].text)
			(void)archive_write_data(a, files[i].text, strlen(files[i].text));
		archive_entry_free(entry);
	}
	EQ_INT(archive_write_close(a), ARCHIVE_OK);
	(void)archive_write_free(a);
}

static const char *in_dir(const char *name)
{
	static char *path;
	free(path);
	path = xasprintf("%s/%s", test_dir(), name);
	return path;
}

static int unpack(const struct file *files, size_t count, const char *filter, struct err *e)
{
	char digest[65];
	AUTO_FREE char *plain = xstrdup(in_dir("plain.tar"));
	AUTO_FREE char *packed = xstrdup(in_dir("packed"));
	AUTO_FREE char *out = xstrdup(in_dir("out"));
	write_tar(plain, NULL, files, count);
	write_tar(packed, filter, files, count);
	EQ_INT(unpack_digest(plain, digest, e), 0);
	(void)mkdir(out, 0755);
	return unpack_layer(packed, out, digest, e);
}

TEST(agent_image, a_compressed_layer_is_unpacked_and_its_whiteouts_are_overlayfs)
{
	struct err e = { 0 };
	struct stat st;
	char opaque[4] = "";
	const struct file files[] = { { "./d/", NULL, NULL, AE_IFDIR }, { "d/a", "text", NULL, 0 }, { "d/b", NULL, "d/a", 0 },
				      { "gone/.wh.x", "", NULL, 0 }, { "d/.wh..wh..opq", "", NULL, 0 } };
	if (geteuid() != 0) {
		printf("left out, 0:0 devices and trusted attributes are root's\n");
		return;
	}
	EQ_INT(unpack(files, ARRAY_LEN(files), "gzip", &e), 0);
	EQ_INT(stat(in_dir("out/d/b"), &st), 0);
	EQ_INT(st.st_nlink, 2);
	EQ_INT(stat(in_dir("out/gone/x"), &st), 0);
	TRUE(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	EQ_INT(getxattr(in_dir("out/d"), "trusted.overlay.opaque", opaque, sizeof(opaque)), 1);
	EQ_INT(stat(in_dir("out/d/.wh..wh..opq"), &st), -1);
}

TEST(agent_image, a_layer_that_is_not_what_its_image_says_is_refused)
{
	struct err e = { 0 };
	const struct file files[] = { { "a", "text", NULL, 0 } };
	AUTO_FREE char *tar = xstrdup(in_dir("l.tar"));
	write_tar(tar, NULL, files, 1);
	(void)mkdir(in_dir("out"), 0755);
	EQ_INT(unpack_layer(tar, in_dir("out"), DIGEST_A, &e), E_CORRUPT);
	HAS(e.text, DIGEST_A);
}

TEST(agent_image, a_layer_cannot_write_outside_of_its_directory)
{
	struct err e = { 0 };
	struct stat st;
	const struct file dots[] = { { "../escaped", "x", NULL, 0 } };
	const struct file link[] = { { "l", NULL, "..", AE_IFLNK }, { "l/escaped", "x", NULL, 0 } };
	const struct file hide[] = { { "l", NULL, "..", AE_IFLNK }, { "l/.wh.escaped", "", NULL, 0 } };
	TRUE(unpack(dots, ARRAY_LEN(dots), "gzip", &e) != 0);
	EQ_INT(stat(in_dir("escaped"), &st), -1);
	(void)unpack(link, ARRAY_LEN(link), "gzip", &e);      /* refused, or the link is replaced: either way nothing is outside */
	EQ_INT(stat(in_dir("escaped"), &st), -1);
	TRUE(unpack(hide, ARRAY_LEN(hide), "gzip", &e) != 0);
	EQ_INT(lstat(in_dir("escaped"), &st), -1);
}

TEST(agent_image, a_member_is_found_and_bounded)
{
	struct err e = { 0 };
	AUTO_BUF struct buf out = BUF_INIT;
	const struct file files[] = { { "x", "1", NULL, 0 }, { "./manifest.json", "[12345]", NULL, 0 } };
	AUTO_FREE char *tar = xstrdup(in_dir("m.tar"));
	write_tar(tar, "zstd", files, 2);
	EQ_INT(unpack_member(tar, "manifest.json", 100, &out, &e), 0);
	EQ_STR(buf_cstr(&out), "[12345]");
	buf_reset(&out);
	EQ_INT(unpack_member(tar, "manifest.json", 7, &out, &e), 0);
	buf_reset(&out);
	EQ_INT(unpack_member(tar, "manifest.json", 6, &out, &e), E_TOOBIG);
	buf_reset(&out);
	EQ_INT(unpack_member(tar, "absent", 100, &out, &e), E_NOTFOUND);
}

TEST(agent_image, garbage_is_no_archive)
{
	struct err e = { 0 };
	AUTO_FREE char *path = xstrdup(in_dir("g.tar"));
	AUTO_BUF struct buf out = BUF_INIT;
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	TRUE(write(fd, "this is no archive at all", 25) == 25);
	TRUE(unpack_member(path, "manifest.json", 100, &out, &e) != 0);
	(void)mkdir(in_dir("out"), 0755);
	TRUE(unpack_layer(path, in_dir("out"), DIGEST_A, &e) != 0);
}

/* An image as `docker save` writes it: found by its tag, unpacked once, remembered. */
static void save_image(const char *dir)
{
	const struct file layer[] = { { "etc", NULL, NULL, AE_IFDIR }, { "etc/name", "one", NULL, 0 } };
	AUTO_FREE char *tar = xstrdup(in_dir("layer.tar"));
	AUTO_FREE char *archive = xasprintf("%s/image.tar", dir);
	char digest[65];
	struct err e = { 0 };
	write_tar(tar, NULL, layer, 2);
	EQ_INT(unpack_digest(tar, digest, &e), 0);
	AUTO_BUF struct buf text = BUF_INIT;
	AUTO_FD int fd = open(tar, O_RDONLY | O_CLOEXEC);
	uint8_t *room = buf_room(&text, 64 * 1024);
	ssize_t n = read(fd, room, 64 * 1024);
	AUTO_FREE char *config = xasprintf("{\"config\":{\"Cmd\":[\"run\"]},\"rootfs\":{\"diff_ids\":[\"sha256:%s\"]}}", digest);
	struct archive *a = archive_write_new();
	(void)archive_write_set_format_ustar(a);
	EQ_INT(archive_write_open_filename(a, archive), ARCHIVE_OK);
	const char *manifest = "[{\"Config\":\"c.json\",\"RepoTags\":[\"me/app:1\"],\"Layers\":[\"l/layer.tar\"]}]";
	const struct { const char *name; const void *data; size_t len; } rows[] = {
		{ "l/layer.tar", room, (size_t)n }, { "c.json", config, strlen(config) }, { "manifest.json", manifest, strlen(manifest) },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct archive_entry *entry = archive_entry_new();
		archive_entry_set_pathname(entry, rows[i].name);
		archive_entry_set_filetype(entry, AE_IFREG);
		archive_entry_set_perm(entry, 0644);
		archive_entry_set_size(entry, (la_int64_t)rows[i].len);
		EQ_INT(archive_write_header(a, entry), ARCHIVE_OK);
		(void)archive_write_data(a, rows[i].data, rows[i].len);
		archive_entry_free(entry);
	}
	(void)archive_write_close(a);
	(void)archive_write_free(a);
}

TEST(agent_image, an_archive_in_the_directory_is_found_by_its_tag)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct image image;
	struct err e = { 0 };
	struct stat st;
	AUTO_FREE char *dir = xstrdup(in_dir("images"));
	AUTO_FREE char *store = xstrdup(in_dir("store"));
	(void)mkdir(dir, 0755);
	save_image(dir);
	for (int i = 0; i < 2; i++) {        /* the second time it is remembered */
		EQ_INT(image_unpack(&a, dir, store, full("me/app:1"), &image, &e), 0);
		EQ_STR((const char *)image.config.cmd.rows[0], "run");
		AUTO_FREE char *file = xasprintf("%s/etc/name", image.layers.rows[0]);
		EQ_INT(stat(file, &st), 0);
	}
	EQ_INT(image_unpack(&a, dir, store, full("me/app:2"), &image, &e), E_NOTFOUND);
	HAS(e.text, "docker.io/me/app:2");
	HAS(e.text, dir);
}
