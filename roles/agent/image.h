/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: references, the JSON of OCI layouts and `docker save` archives, and the store of unpacked layers. Parsing is pure.
 * Finding and unpacking run in a child process of this executable (unpack.c), since archives are outside input and slow.
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/base/str.h"

#define IMAGE_DIGEST_SIZE 65             /* 64 hex digits and a NUL */

struct image_strings {
	char **rows;
	size_t count;
};

/* What an image says about running it. */
struct image_config {
	struct image_strings entrypoint, cmd, env;
	char *workdir, *user;            /* NULL: not given */
	struct image_strings diff_ids;   /* hex digests of the uncompressed layers, lowest first */
};

/* An image ready to run: memory in the arena it was made in. */
struct image {
	struct image_config config;
	struct image_strings layers;     /* directories, lowest first */
	char *program;                   /* where our own executable is to appear; NULL: nowhere */
};

/* "nginx" -> "docker.io/library/nginx:latest": what two spellings of one image have in common. E_INVALID. */
int image_ref_normalize(struct arena *a, struct str ref, char **out, struct err *e);

/* ---- JSON of archives (image.c, pure) ---- */
struct image_blob {
	char digest[IMAGE_DIGEST_SIZE];  /* "" when the archive names none */
	char *path;                      /* below the archive's root */
};
struct image_manifest {
	struct image_blob config;
	struct image_blob *layers;
	size_t layer_count;
};
/* An image's config file. E_MALFORMED, E_TOOBIG (LIMIT_IMAGE_LAYERS). */
int image_parse_config(struct arena *a, struct str json, struct image_config *out, struct err *e);
/* OCI index.json: the manifest named `ref` (normalised), for this machine. E_NOTFOUND. */
int image_parse_index(struct arena *a, struct str json, const char *ref, struct image_blob *out, struct err *e);
/* OCI or Docker schema 2 manifest. */
int image_parse_manifest(struct arena *a, struct str json, struct image_manifest *out, struct err *e);
/* manifest.json of `docker save`: the image tagged `ref` (normalised). E_NOTFOUND. */
int image_parse_docker(struct arena *a, struct str json, const char *ref, struct image_manifest *out, struct err *e);

/* ---- what the child tells the agent: one JSON object ---- */
void image_write(struct buf *out, const struct image *image);
int image_read(struct arena *a, struct str json, struct image *out, struct err *e);

/* ---- the built-in image (builtin.c) ---- */
/* Is `ref` (normalised) built in? Then make its layer below `store` if need be. E_NOTFOUND: not built in. */
int image_builtin(struct arena *a, const char *store, const char *ref, struct image *out, struct err *e);

/* ---- finding and unpacking (unpack.c), straight-line and blocking: for the child only ---- */
/*
 * Find `ref` in the directories of dirs (one a line), verify it against its digests, unpack the layers the store lacks.
 * E_NOTFOUND: a sentence that says where it was looked for.
 */
int image_unpack(struct arena *a, const char *dirs, const char *store, const char *ref, struct image *out, struct err *e);
