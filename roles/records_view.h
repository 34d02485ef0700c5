/* SPDX-License-Identifier: Apache-2.0 */
/* The names of a cluster as this node's view has them now. */
#pragma once

#include "roles/node.h"
#include "roles/records.h"

/*
 * Build *out (records_fini it) from the view of n, which must be open. Damaged rows are left out and logged.
 * Errors: those of reading the view.
 */
int records_from_view(struct node *n, struct records *out, struct err *e);
