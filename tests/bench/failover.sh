#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From the death of the leading master to the first write that is acknowledged: FAILOVERS (300) kills, as tests/e2e/failover.sh does it.
FAILOVERS=${FAILOVERS:-300} FAILOVER_ROWS=1 E2E_SECONDS=1800 exec bash tests/e2e/failover.sh
