/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An app's definition as JSON: what Marathon accepts, the older forms made the current one, defaults, validation. Pure.
 *
 * The definition we keep ("canonical") is what Marathon ≥ 1.5 answers, without version, versionInfo and the counts. Steps of a
 * POST: app_read, app_complete, app_check. Of a PUT: app_read, app_merge onto the stored one, app_complete, app_check.
 */
#pragma once

#include "roles/master/marathon/schema.h"

#define APP_ROLE "slave_public"     /* --mesos_role of DC/OS' Marathon; `*` is always there too */

/*
 * Type-check and bring old forms (uris, ports, ipAddress, docker.network …) into the current one; only what was given is in the
 * answer. base: path that relative ids are below. `in` is an object of doc.
 */
yyjson_mut_val *app_read(yyjson_mut_doc *doc, yyjson_mut_val *in, const char *base, struct faults *f);
/* The stored definition with the update's members in place of its own. Both belong to doc; the result may share with them. */
yyjson_mut_val *app_merge(yyjson_mut_doc *doc, yyjson_mut_val *stored, yyjson_mut_val *update);
/* Defaults filled, members in canonical order. */
yyjson_mut_val *app_complete(yyjson_mut_doc *doc, yyjson_mut_val *app, struct faults *f);
/* What Marathon answers 422 to, and what this version cannot run yet (said so). The app is complete. */
void app_check(yyjson_mut_val *app, struct faults *f);
/* The parts of app_check. */
void app_validate(yyjson_mut_val *app, struct faults *f);
void app_refuse_unsupported(yyjson_mut_val *app, struct faults *f);

/* Definitions differ in more than `instances`: running instances have to be replaced. */
bool app_config_differs(yyjson_mut_val *a, yyjson_mut_val *b);

/* Regular expressions of LIKE and UNLIKE: POSIX extended, whole string. */
bool app_regex_ok(const char *pattern);
