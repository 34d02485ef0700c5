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
int config_attach(const char *cluster_id, struct err *e);
/* One setting of the attached cluster, heap. E_NOTFOUND. */
int config_get(const char *key, char **out, struct err *e);
/* fn for each configured cluster until it returns false. */
int cluster_each(bool (*fn)(void *arg, const char *id, const char *dir, bool attached), void *arg, struct err *e);
