/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters that this user of the dcos command knows: directories below $DCOS_DIR or ~/.dcos, each with a dcos.toml; one is
 * attached. Environment beats file. Layout and keys as the dcos CLI's.
 */
#pragma once

#include "roles/cli/settings.h"

struct cluster {
	const char *id, *dir;
	struct settings settings;
	bool attached;           /* has the mark */
};

/*
 * Write clusters/<id>/dcos.toml with core.dcos_url, which is the first URL, and cluster.name (other keys are kept), remember all
 * the masters' URLs beside it and attach that cluster.
 */
int config_register(const char *cluster_id, const char *name, const char *const *urls, size_t count, struct err *e);
/* The masters' URLs in <dir>/masters, one a line; replaced in one step. */
int config_save_masters(const char *dir, const char *const *urls, size_t count, struct err *e);
int config_attach(const char *cluster_id, struct err *e);
/* Path of the attached cluster's dcos.toml, heap. DCOS_CLUSTER, an id or a name, stands in for the mark. E_NOTFOUND, E_CONFLICT. */
int config_path(char **out, struct err *e);
/* fn for each configured cluster until it returns false; one that cannot be read has no settings. */
int cluster_each(bool (*fn)(void *arg, struct cluster *cl), void *arg, struct err *e);
/* Forget a cluster: its directory goes. */
int cluster_remove(const char *cluster_id, struct err *e);
