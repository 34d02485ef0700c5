/* SPDX-License-Identifier: Apache-2.0 */
/* Seedable randomness (xoshiro256**), never for secrets: those come from rnd_bytes. */
#pragma once

#include "net/base/base.h"

struct rnd { uint64_t s[4]; };

void rnd_seed(struct rnd *r, uint64_t seed);
void rnd_seed_os(struct rnd *r);
uint64_t rnd_u64(struct rnd *r);
uint64_t rnd_below(struct rnd *r, uint64_t n);       /* 0 … n-1, n > 0 */
void rnd_bytes(void *out, size_t len);               /* from the kernel; for keys, tokens, ids */
void rnd_uuid4(char out[37]);                        /* lower case, from the kernel */
