/* SPDX-License-Identifier: Apache-2.0 */
/* One version of an app: its canonical JSON and the members that decisions are made from. Immutable, one owner. */
#pragma once

#include "net/base/arena.h"
#include "net/base/err.h"
#include "proto/records.pb.h"

enum constraint_op { OP_UNIQUE, OP_CLUSTER, OP_GROUP_BY, OP_LIKE, OP_UNLIKE, OP_MAX_PER, OP_IS };

struct constraint {
	const char *field;          /* "hostname" or an attribute */
	enum constraint_op op;
	const char *value;          /* NULL: none */
};

struct spec {
	struct arena arena;         /* everything below */
	const char *id, *version, *last_scaling_at, *last_config_change_at;
	const char *json;           /* canonical definition without version and versionInfo */
	int64_t unix_us;
	int64_t instances;
	int64_t cpus_milli, mem_milli, disk_milli;
	int64_t backoff_us, backoff_max_us;
	double backoff_factor;
	double health_min, over_max;            /* upgradeStrategy */
	bool oldest_first;                      /* killSelection */
	bool unreachable_kept;                  /* unreachableStrategy disabled */
	int64_t inactive_after_us, expunge_after_us;
	bool require_ports;
	uint32_t *ports;                        /* portDefinitions[].port: service ports */
	size_t port_count;
	const char **roles;                     /* acceptedResourceRoles, or the default */
	size_t role_count;
	struct constraint *constraints;
	size_t constraint_count;
	const char **dependencies;
	size_t dependency_count;
};

/* From a record whose JSON app_complete made. E_CORRUPT when it did not. Heap; spec_free. */
int spec_new(const rec_App *record, struct spec **out, struct err *e);
void spec_free(struct spec *s);     /* NULL ok */
/* Record pointing into the spec. */
rec_App spec_record(const struct spec *s);
/* An instance of version `v` runs the present configuration. */
static inline bool spec_current(const struct spec *s, const char *v) { return strcmp(v, s->last_config_change_at) >= 0; }
