/* SPDX-License-Identifier: Apache-2.0 */
/* When and at which master a request is tried again. Pure. */
#pragma once

#include "net/http.h"

/* Zero at the start of a request. */
struct tries {
	size_t at;               /* index of the master to try */
	size_t failed;           /* in a row */
	int64_t since_us;        /* first failure */
	int64_t heard_us;        /* a master said that it cannot serve yet */
};

/*
 * True when a request that ended so was certainly not carried out, or may be repeated. status 0: no answer came. sent: whoever
 * carries it out may have seen it.
 */
bool tries_safe(enum http_method method, int status, bool sent);
/*
 * After a failure: how long to wait before t->at, which is the next one now, is tried; -1: give up. `answered`: the
 * master said that it cannot serve now, which an election ends; when none says so for some seconds the cluster is down.
 */
int64_t tries_next(struct tries *t, size_t masters, bool answered, int64_t now_us);
