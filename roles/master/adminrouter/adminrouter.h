/* SPDX-License-Identifier: Apache-2.0 */
/* Admin Router: the master's front door on port 80. A path table to the services inside this process and to agents. */
#pragma once

#include "roles/master/master.h"

struct adminrouter;
struct adminrouter *adminrouter_new(struct master *m);
void adminrouter_free(struct adminrouter *ar);
extern const struct route adminrouter_routes[];    /* arg: struct adminrouter * */
