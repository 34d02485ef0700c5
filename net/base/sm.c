/* SPDX-License-Identifier: Apache-2.0 */
#include "net/base/sm.h"

#include "net/base/log.h"

bool sm_can(const struct sm *sm, uint8_t to)
{
	for (size_t i = 0; i < sm->type->move_count; i++)
		if (sm->type->moves[i].from == sm->state && sm->type->moves[i].to == to)
			return true;
	return false;
}

void sm_move(struct sm *sm, uint8_t to)
{
	assert(sm_can(sm, to));
	LOG(DEBUG, "state", "%s=%s from=%s to=%s", sm->type->name, sm->id ? sm->id : "", sm_name(sm), sm->type->state_names[to]);
	sm->state = to;
}

const char *sm_name(const struct sm *sm) { return sm->type->state_names[sm->state]; }
