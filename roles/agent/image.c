/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references and the JSON documents of image archives, see image.h. Everything read here is outside input: sizes are
 * bounded by the caller, counts by LIMIT_IMAGE_LAYERS, names of files must stay inside the archive.
 * Specifications: OCI image-spec 1.0 (index, manifest, config, layout), Docker image specification 1.2 (manifest.json).
 */
#include "roles/agent/image.h"

#include <ctype.h>

#include "net/json.h"
#include "net/limits.h"

#define REF_MAX 512
#define STRINGS_MAX 1024       /* words of an entrypoint, variables of an environment */

/* ---- references ---- */

static bool ref_char(char c) { return isalnum((unsigned char)c) || strchr("._-/:@+", c); }

int image_ref_normalize(struct arena *a, struct str ref, char **out, struct err *e)
{
	struct str host = STR("docker.io"), rest = ref;
	if (ref.len == 0 || ref.len > REF_MAX)
		return err_set(e, E_INVALID, "an image's name has 1 to %d characters", REF_MAX);
	for (size_t i = 0; i < ref.len; i++)
		if (!ref_char(ref.p[i]))
			return err_set(e, E_INVALID, "'" STR_FMT "' is no image name", STR_ARG(ref));
	ssize_t slash = str_find(ref, '/');
	struct str first = str_head(ref, slash < 0 ? 0 : (size_t)slash);
	if (slash > 0 && (str_find(first, '.') >= 0 || str_find(first, ':') >= 0 || str_eq_c(first, "localhost"))) {
		host = str_eq_c(first, "index.docker.io") ? host : first;
		rest = str_from(ref, (size_t)slash + 1);
	}
	bool official = str_eq_c(host, "docker.io") && str_find(rest, '/') < 0;
	ssize_t last = str_rfind(rest, '/');
	struct str name = str_from(rest, (size_t)(last + 1));
	bool tagged = str_find(name, ':') >= 0 || str_find(name, '@') >= 0;
	*out = arena_printf(a, STR_FMT "/%s" STR_FMT "%s", STR_ARG(host), official ? "library/" : "", STR_ARG(rest),
			    tagged ? "" : ":latest");
	return 0;
}

static bool same_ref(struct arena *a, const char *text, const char *ref)
{
	char *full;
	struct err ignored = { 0 };
	return text && image_ref_normalize(a, str_of(text), &full, &ignored) == 0 && strcmp(full, ref) == 0;
}

/* ---- pieces ---- */

static int strings_read(struct arena *a, yyjson_val *v, size_t max, struct image_strings *out, struct err *e)
{
	size_t n = yyjson_arr_size(v), i, count;
	yyjson_val *item;
	if (n > max)
		return err_set(e, E_TOOBIG, "an image lists more than %zu entries", max);
	out->rows = arena_array(a, char *, n + 1);
	out->count = n;
	yyjson_arr_foreach(v, i, count, item) {
		if (!yyjson_is_str(item))
			return err_set(e, E_MALFORMED, "an image lists something that is no text");
		out->rows[i] = arena_strdup(a, yyjson_get_str(item));
	}
	return 0;
}

/* "sha256:<64 hex digits>" */
static int digest_read(const char *text, char out[IMAGE_DIGEST_SIZE], struct err *e)
{
	if (!text || strncmp(text, "sha256:", 7) != 0 || strlen(text) != 7 + IMAGE_DIGEST_SIZE - 1 ||
	    strspn(text + 7, "0123456789abcdef") != IMAGE_DIGEST_SIZE - 1)
		return err_set(e, E_MALFORMED, "'%.80s' is no sha256 digest", text ? text : "");
	memcpy(out, text + 7, IMAGE_DIGEST_SIZE);
	return 0;
}

static int blob_by_digest(struct arena *a, const char *digest, struct image_blob *out, struct err *e)
{
	int rc = digest_read(digest, out->digest, e);
	if (rc == 0)
		out->path = arena_printf(a, "blobs/sha256/%s", out->digest);
	return rc;
}

/* A file of the archive: relative, no "..", no empty or odd parts. */
static int blob_by_path(struct arena *a, const char *path, struct image_blob *out, struct err *e)
{
	struct str rest = str_of(path ? path : "");
	if (rest.len == 0 || rest.len > 1024 || rest.p[0] == '/')
		return err_set(e, E_MALFORMED, "an image names a file outside its archive");
	while (rest.p) {
		struct str part = str_cut(&rest, '/');
		if (part.len == 0 || str_eq_c(part, ".") || str_eq_c(part, ".."))
			return err_set(e, E_MALFORMED, "an image names a file outside its archive");
	}
	*out = (struct image_blob){ .path = arena_strdup(a, path) };
	/* "<digest>.json", "blobs/sha256/<digest>": the name says what the contents must be. */
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t digits = strspn(base, "0123456789abcdef");
	if (digits == IMAGE_DIGEST_SIZE - 1 && (base[digits] == '\0' || strcmp(base + digits, ".json") == 0))
		memcpy(out->digest, base, digits);
	return 0;
}

/* ---- documents ---- */

static int parse(struct str json, yyjson_doc **out, struct err *e) { return json_parse(json.p, json.len, out, e); }

int image_parse_config(struct arena *a, struct str json, struct image_config *out, struct err *e)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	int rc = parse(json, &doc, e);
	if (rc != 0)
		return rc;
	yyjson_val *root = yyjson_doc_get_root(doc);
	struct image_strings ids = { NULL, 0 };
	*out = (struct image_config){ .workdir = arena_strdup(a, json_str(root, "config.WorkingDir", NULL)),
				      .user = arena_strdup(a, json_str(root, "config.User", NULL)) };
	rc = strings_read(a, json_at(root, "config.Entrypoint"), STRINGS_MAX, &out->entrypoint, e);
	if (rc == 0)
		rc = strings_read(a, json_at(root, "config.Cmd"), STRINGS_MAX, &out->cmd, e);
	if (rc == 0)
		rc = strings_read(a, json_at(root, "config.Env"), STRINGS_MAX, &out->env, e);
	if (rc == 0)
		rc = strings_read(a, json_at(root, "rootfs.diff_ids"), LIMIT_IMAGE_LAYERS, &ids, e);
	out->diff_ids = (struct image_strings){ arena_array(a, char *, ids.count + 1), ids.count };
	for (size_t i = 0; i < ids.count && rc == 0; i++) {
		out->diff_ids.rows[i] = arena_alloc(a, IMAGE_DIGEST_SIZE);
		rc = digest_read(ids.rows[i], out->diff_ids.rows[i], e);
	}
	return rc;
}

/* A row of an index that is for another kind of machine. */
static bool foreign(yyjson_val *row)
{
	const char *arch = json_str(row, "platform.architecture", "amd64");
	const char *os = json_str(row, "platform.os", "linux");
	return strcmp(arch, "amd64") != 0 || strcmp(os, "linux") != 0;
}

/* The names under which an index knows a row: a full reference, or only a tag when the tool wrote just that. */
static bool row_named(struct arena *a, yyjson_val *row, const char *ref)
{
	yyjson_val *notes = yyjson_obj_get(row, "annotations");
	const char *short_name = yyjson_get_str(yyjson_obj_get(notes, "org.opencontainers.image.ref.name"));
	const char *full_name = yyjson_get_str(yyjson_obj_get(notes, "io.containerd.image.name"));
	return same_ref(a, full_name, ref) || same_ref(a, short_name, ref);
}

int image_parse_index(struct arena *a, struct str json, const char *ref, struct image_blob *out, struct err *e)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	size_t i, count;
	yyjson_val *row;
	int rc = parse(json, &doc, e);
	if (rc != 0)
		return rc;
	yyjson_val *rows = json_at(yyjson_doc_get_root(doc), "manifests");
	if (!yyjson_is_arr(rows) || yyjson_arr_size(rows) > LIMIT_IMAGE_MANIFESTS)
		return err_set(e, E_MALFORMED, "an OCI index has no list of at most %d manifests", LIMIT_IMAGE_MANIFESTS);
	yyjson_arr_foreach(rows, i, count, row)
		if (!foreign(row) && (!ref || row_named(a, row, ref)))
			return blob_by_digest(a, json_str(row, "digest", NULL), out, e);
	return err_set(e, E_NOTFOUND, "the index does not name '%s'", ref ? ref : "linux/amd64");
}

int image_parse_manifest(struct arena *a, struct str json, struct image_manifest *out, struct err *e)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	size_t i, count;
	yyjson_val *row;
	int rc = parse(json, &doc, e);
	if (rc != 0)
		return rc;
	yyjson_val *root = yyjson_doc_get_root(doc);
	yyjson_val *layers = json_at(root, "layers");
	if (yyjson_arr_size(layers) > LIMIT_IMAGE_LAYERS)
		return err_set(e, E_TOOBIG, "the image has more than %d layers", LIMIT_IMAGE_LAYERS);
	out->layers = arena_array(a, struct image_blob, yyjson_arr_size(layers) + 1);
	out->layer_count = yyjson_arr_size(layers);
	rc = blob_by_digest(a, json_str(root, "config.digest", NULL), &out->config, e);
	yyjson_arr_foreach(layers, i, count, row)
		if (rc == 0)
			rc = blob_by_digest(a, json_str(row, "digest", NULL), &out->layers[i], e);
	return rc;
}

static bool tagged(struct arena *a, yyjson_val *row, const char *ref)
{
	size_t i, count;
	yyjson_val *tag;
	yyjson_arr_foreach(json_at(row, "RepoTags"), i, count, tag)
		if (same_ref(a, yyjson_get_str(tag), ref))
			return true;
	return false;
}

int image_parse_docker(struct arena *a, struct str json, const char *ref, struct image_manifest *out, struct err *e)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	struct image_strings layers;
	size_t i, count;
	yyjson_val *row, *found = NULL;
	int rc = parse(json, &doc, e);
	if (rc != 0)
		return rc;
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (!yyjson_is_arr(root) || yyjson_arr_size(root) > LIMIT_IMAGE_MANIFESTS)
		return err_set(e, E_MALFORMED, "manifest.json is no list of at most %d images", LIMIT_IMAGE_MANIFESTS);
	yyjson_arr_foreach(root, i, count, row)
		if (!found && tagged(a, row, ref))
			found = row;
	if (!found)
		return err_set(e, E_NOTFOUND, "manifest.json does not name '%s'", ref);
	rc = strings_read(a, json_at(found, "Layers"), LIMIT_IMAGE_LAYERS, &layers, e);
	if (rc == 0)
		rc = blob_by_path(a, json_str(found, "Config", NULL), &out->config, e);
	out->layers = arena_array(a, struct image_blob, layers.count + 1);
	out->layer_count = layers.count;
	for (size_t j = 0; j < layers.count && rc == 0; j++)
		rc = blob_by_path(a, layers.rows[j], &out->layers[j], e);
	return rc;
}

/* ---- between child and agent ---- */

static void strings_write(struct jw *w, const char *key, const struct image_strings *s)
{
	jw_arr(w, key);
	for (size_t i = 0; i < s->count; i++)
		jw_str(w, NULL, s->rows[i]);
	jw_end(w);
}

void image_write(struct buf *out, const struct image *image)
{
	struct jw w = jw_start(out);
	jw_obj(&w, NULL);
	strings_write(&w, "entrypoint", &image->config.entrypoint);
	strings_write(&w, "cmd", &image->config.cmd);
	strings_write(&w, "env", &image->config.env);
	strings_write(&w, "layers", &image->layers);
	jw_str(&w, "workdir", image->config.workdir);
	jw_str(&w, "user", image->config.user);
	jw_end(&w);
}

int image_read(struct arena *a, struct str json, struct image *out, struct err *e)
{
	AUTO_JSON yyjson_doc *doc = NULL;
	int rc = parse(json, &doc, e);
	if (rc != 0)
		return rc;
	yyjson_val *root = yyjson_doc_get_root(doc);
	*out = (struct image){ .config = { .workdir = arena_strdup(a, json_str(root, "workdir", NULL)),
					   .user = arena_strdup(a, json_str(root, "user", NULL)) } };
	rc = strings_read(a, json_at(root, "entrypoint"), STRINGS_MAX, &out->config.entrypoint, e);
	if (rc == 0)
		rc = strings_read(a, json_at(root, "cmd"), STRINGS_MAX, &out->config.cmd, e);
	if (rc == 0)
		rc = strings_read(a, json_at(root, "env"), STRINGS_MAX, &out->config.env, e);
	return rc != 0 ? rc : strings_read(a, json_at(root, "layers"), LIMIT_IMAGE_LAYERS, &out->layers, e);
}
