#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job: a cluster from one executable, an app by `dcos marathon app add`, its answer at its virtual IP, its log,
# scaling, an agent's restart, and everything killed and started again. The steps stand in tests/lib/main_job.sh.
needs_static=1
. tests/lib/e2e.sh
. tests/lib/main_job.sh

main_job
