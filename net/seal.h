/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets sealed with a passphrase, for files that leave the machine. Layout: seal.c. */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"
#include "net/base/str.h"

/*
 * Append `plain`, sealed, to out. `bound` is not in it but has to be the same at opening. Takes half a second on purpose: each
 * guess at a passphrase costs as much.
 */
int seal_write(struct str passphrase, struct str bound, struct str plain, struct buf *out, struct err *e);
/* Append what was sealed to out. E_DENIED: another passphrase, or changed bytes; E_MALFORMED; E_NEWER. */
int seal_open(struct str passphrase, struct str bound, struct str sealed, struct buf *out, struct err *e);
