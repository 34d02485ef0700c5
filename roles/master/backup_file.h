/* SPDX-License-Identifier: Apache-2.0 */
/* A backup as a file: who and when in the clear, the state as a dump, the cluster's keys sealed. Layout: backup_file.c. */
#pragma once

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/err.h"
#include "proto/backup.pb.h"
#include "store/dump.h"

/* ---- writing: beside the path; it has its name, whole and synced, when backup_writer_end returned 0 ---- */
struct digest;
struct backup_writer {
	int fd;                  /* -1: not open */
	char *path, *tmp;        /* owned */
	struct digest *digest;   /* owned */
	struct buf head;         /* its bytes, which the seal is bound to */
	uint64_t dump_bytes;     /* still to come */
};
int backup_writer_open(struct backup_writer *w, const char *path, struct err *e);
int backup_writer_head(struct backup_writer *w, const backup_Head *head, struct err *e);
int backup_writer_add(struct backup_writer *w, struct str piece, struct err *e);      /* of the dump; E_MALFORMED past dump_bytes */
int backup_writer_end(struct backup_writer *w, const backup_Keys *keys, struct str passphrase, struct err *e);       /* keys: NULL when the head has none */
void backup_writer_close(struct backup_writer *w);       /* removes what was not ended */

/* ---- reading ---- */
struct backup_file {
	int fd;                  /* -1: not open */
	char *path;              /* owned */
	struct arena arena;      /* of head */
	backup_Head head;
	struct buf head_bytes, sealed;
	off_t dump_at, at;       /* where the dump begins; where it is read next */
};
/* Reads and checks all of it, and looks for rows in the dump. E_CORRUPT, E_NEWER; rows may be NULL. */
int backup_file_open(struct backup_file *f, const char *path, uint64_t *rows, struct err *e);
void backup_file_close(struct backup_file *f);
int backup_file_keys(const struct backup_file *f, struct str passphrase, struct arena *a, backup_Keys *out, struct err *e);
struct dump_source backup_file_dump(struct backup_file *f);      /* from its first byte */
