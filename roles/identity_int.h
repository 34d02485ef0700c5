/* SPDX-License-Identifier: Apache-2.0 */
/* Between identity.c (what is on disk, signing) and identity_join.c (getting a certificate from a master). */
#pragma once

#include "roles/node.h"

/* Files of <state dir>/identity. */
int identity_make_dir(struct node *n, struct err *e);
bool identity_have(struct node *n, const char *name);
int identity_read(struct node *n, const char *name, char **out, struct err *e);
int identity_write(struct node *n, const char *name, const char *text, int mode, struct err *e);
int identity_file_read(const char *path, char **out, struct err *e);
/* What stands there -> n->identity; prefix of its name: "master/" or "node/". */
int identity_load(struct node *n, const char *prefix, struct err *e);
