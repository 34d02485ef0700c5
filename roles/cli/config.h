/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration of the dcos command: clusters below $DCOS_DIR or ~/.dcos, each with a dcos.toml; one is attached.
 * Environment beats file. Layout and keys as the dcos CLI's.
 */
#pragma once

#include "net/base/buf.h"
#include "net/base/err.h"

/* Write clusters/<id>/dcos.toml with core.dcos_url and cluster.name (other keys are kept) and attach that cluster. */
int config_register(const char *cluster_id, const char *name, const char *url, struct err *e);
/* Forget it again. Absent: fine. */
int config_unregister(const char *cluster_id, struct err *e);
