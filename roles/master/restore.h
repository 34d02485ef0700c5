/* SPDX-License-Identifier: Apache-2.0 */
/* `dcos-node restore`, as far as a starting master has to know of it. */
#pragma once

#include "roles/node.h"

/* Is the state directory what a restore left half done? Then nothing may start on it. E_CORRUPT. */
int restore_check(const struct node *n, struct err *e);
