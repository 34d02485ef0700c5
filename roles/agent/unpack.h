/* SPDX-License-Identifier: Apache-2.0 */
/* Archives on disk, for the child that prepares images. libarchive appears in unpack.c only. */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"

/* SHA-256 of a file as hex. */
int unpack_digest(const char *path, char out[65], struct err *e);
/*
 * The member `name` of a (compressed) tar archive, "./" in front ignored. E_NOTFOUND: the archive has none. At most max bytes.
 */
int unpack_member(const char *archive, const char *name, size_t max, struct buf *out, struct err *e);
/* Everything in the archive, below the existing directory `dir`: no way out of it by names or links. */
int unpack_all(const char *archive, const char *dir, struct err *e);
/*
 * A layer as overlayfs wants it: whiteouts become 0:0 devices and opaque directories. `diff_id` (hex) is the digest of the
 * uncompressed tar; a layer that differs is E_CORRUPT.
 */
int unpack_layer(const char *archive, const char *dir, const char *diff_id, struct err *e);
