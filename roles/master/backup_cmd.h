/* SPDX-License-Identifier: Apache-2.0 */
/* What `dcos-node backup` and `dcos-node restore` share. */
#pragma once

#include "roles/master/backup_file.h"

/*
 * The passphrase from a file's first line, else DCOS_BACKUP_PASSPHRASE, else the terminal (asked for twice when `again`).
 * *out: heap, NULL when there is none of them or nothing was typed; wipe it with passphrase_free.
 */
int passphrase_get(const char *file, bool again, char **out, struct err *e);
void passphrase_free(char *text);                    /* NULL ok */
/* What a backup says of itself, on stdout. */
void backup_show(const struct backup_file *f, uint64_t rows, bool json);
/* "verb 12 of 40 MiB" on a terminal, over what stands there; at most some times a second. */
struct progress {
	const char *verb;
	uint64_t total;
	int64_t shown_us;        /* 0: never */
};
void progress_show(struct progress *p, uint64_t done);
void progress_end(struct progress *p);
