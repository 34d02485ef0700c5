/* SPDX-License-Identifier: Apache-2.0 */
/* What the I/O files of this folder share. */
#pragma once

#include "roles/master/mesos/model.h"

/* The release whose behaviour and APIs we show; clients choose features by it. */
#define DCOS_MESOS_VERSION "1.8.1"

struct mesos {
	struct master *master;              /* borrowed */
	struct loop *loop;
	struct model *model;                /* NULL: this master does not lead */
	struct loop_defer flush;
	struct loop_timer timer;
	struct list conns, scheds;          /* struct agent_conn, struct sched: alive */
	struct list dead_conns, dead_scheds;/* freed at the end of a flush: acts may name them */
	struct list proposals;
	struct master_metrics metrics;      /* as of the last refresh */
};

/* Before each event given to the model: tells it the time and sees to it that its acts are carried out. Only while leading. */
struct model *mesos_enter(struct mesos *ms);
/* False: this master does not lead, and r has been answered (redirect to the leader, or 503). */
bool mesos_leads_or_redirect(struct mesos *ms, struct http_req *r);

/* As mesos_subscribe, a newer session always wins; `suppressed` roles are not offered from the start. */
struct sched *mesos_subscribe_roles(struct mesos *ms, const mesos_v1_FrameworkInfo *info, char *const *suppressed, size_t count,
				    struct sched_sink sink, struct err *e);

/* sched_api.c: POST /api/v1/scheduler */
void sched_api_call(struct http_req *r);

/* documents.c: what is rendered from the view on a worker thread */
void documents_state(struct http_req *r);
void documents_summary(struct http_req *r);
void documents_slaves(struct http_req *r);
void documents_frameworks(struct http_req *r);
void documents_tasks(struct http_req *r);

/* endpoints.c */
struct jw;
void endpoints_reply(struct http_req *r, const char *jsonp, struct buf *json);    /* 200, as JSON or JSONP */
void endpoints_version(struct jw *w);                                             /* members of /version */
void endpoints_flags(struct mesos *ms, struct buf *out);                          /* {"name":"text",...} */
