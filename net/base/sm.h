/* SPDX-License-Identifier: Apache-2.0 */
/* Checked moves of a long-lived state machine: a move that the table does not list is a bug and asserts. */
#pragma once

#include "net/base/base.h"

struct sm_move_row { uint8_t from, to; };

struct sm_type {
	const char *name;                  /* "container" */
	const char *const *state_names;    /* indexed by state */
	const struct sm_move_row *moves;
	size_t move_count;
};

struct sm {
	const struct sm_type *type;
	const char *id;                    /* borrowed; names the machine in the trace */
	uint8_t state;
};

bool sm_can(const struct sm *sm, uint8_t to);
void sm_move(struct sm *sm, uint8_t to);   /* asserts, logs at DEBUG */
const char *sm_name(const struct sm *sm);
