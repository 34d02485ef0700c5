/* SPDX-License-Identifier: Apache-2.0 */
/* The tables behind M_json for every row of proto/json_names.h. */
#include "net/pb_json_int.h"

JSON_MESSAGES(PB_JSON_MESSAGE_TYPE, PB_JSON_MAP_TYPE)
