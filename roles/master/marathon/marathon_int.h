/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between Marathon's files. The model below is what the store's tables say, plus what is soft (back-off, offers, clients waiting).
 *
 *   api_*.c   requests -> changes; out.c writes answers, events.c the event stream
 *   change.c  one request's change of apps: conflicts, deployment, one replicated command, then the model
 *   step.c    once a turn: reconcile.c for every app that something happened to; deployments get on
 *   offers.c  offers -> instances, replicated before they are launched
 *   session.c the scheduler's side of mesos.h: subscribe, updates, kills
 *   records.c tables, commands, loading
 */
#pragma once

#include "net/json.h"
#include "net/pb_util.h"
#include "roles/master/marathon/app.h"
#include "roles/master/marathon/ids.h"
#include "roles/master/marathon/marathon.h"
#include "roles/master/marathon/match.h"
#include "roles/master/marathon/plan.h"
#include "roles/master/mesos/mesos.h"

#define SERVICE_PORT_MIN 10000      /* --local_port_min */
#define SERVICE_PORT_MAX 20000      /* --local_port_max, not included */
#define STORE_TIMEOUT_US HOUR       /* a slow disk delays an answer; it must not leave the outcome open */

struct failure {                    /* owned strings; task_id NULL: none */
	char *task_id, *host, *agent_id, *message, *version;
	int state;
	int64_t unix_us;
};

/* What offers had to say since the app began to wait. */
struct launch_stats {
	int64_t since_us;                       /* wall clock; 0: it does not wait */
	int64_t processed, unused, last_used_us, last_unused_us;
	int64_t rejected[REJECT_COUNT];
};

struct app {
	struct marathon *ma;                    /* borrowed */
	char *id;
	struct spec *spec;                      /* owned; NULL: only instances are left, to be ended */
	struct instance **instances;            /* owned, all of them */
	size_t instance_count, instance_cap;
	struct deployment *deployment;          /* borrowed; NULL: none */
	uint32_t deployment_step;               /* the last one with an action for this app */
	bool changing;                          /* a change of it is under way to the store */
	struct list dirty;                      /* in ma->dirty: something happened */
	struct list queued;                     /* in ma->queue: to_launch > 0 */
	int64_t to_launch;                      /* instances that wait for an offer */
	int64_t delay_us, delay_until_us;       /* back-off; until: loop time, as it is not kept */
	bool delayed;                           /* it waited for that when it was last reconciled */
	struct loop_timer wake;                 /* reconcile again then */
	bool done;                              /* as reconcile said last */
	const char *waits_for;                  /* static; NULL: done */
	struct launch_stats stats;
	struct failure failure;
};

struct original { char *id, *version; };        /* owned; version NULL: the app did not exist */

struct deployment {
	struct list link;                       /* in ma->deployments, oldest first */
	char *id, *version;
	int64_t unix_us;
	struct action *actions;                 /* by step */
	size_t action_count;
	uint32_t step, step_count;              /* step: under way; from 0 */
	struct original *originals;
	size_t original_count;
	bool announced, ending;                 /* the step's event was sent; its end is under way to the store */
	bool marked;                            /* change.c, while it looks */
};

/* Names: Marathon 1.7. */
#define MARATHON_METRICS(X) \
	/* type         name                                          field              unit           meaning */ \
	X(METRIC_GAUGE,   "marathon.apps.active.gauge",                 apps,              "apps",        "apps that are defined") \
	X(METRIC_GAUGE,   "marathon.deployments.active.gauge",          deployments,       "deployments", "deployments under way") \
	X(METRIC_COUNTER, "marathon.deployments.counter",               deployments_begun, "deployments", "deployments begun") \
	X(METRIC_GAUGE,   "marathon.instances.running.gauge",           running,           "instances",   "instances in TASK_RUNNING") \
	X(METRIC_GAUGE,   "marathon.instances.staged.gauge",            staged,            "instances",   "launched and not running yet") \
	X(METRIC_GAUGE,   "marathon.instances.inflight-kills.gauge",    killing,           "instances",   "asked to end and not ended yet") \
	X(METRIC_COUNTER, "marathon.tasks.launched.counter",            launched,          "tasks",       "tasks launched") \
	X(METRIC_COUNTER, "marathon.mesos.offers.incoming.counter",     offers,            "offers",      "offers received") \
	X(METRIC_COUNTER, "marathon.mesos.offers.declined.counter",     offers_declined,   "offers",      "offers that suited nothing") \
	X(METRIC_COUNTER, "marathon.mesos.calls.revive.counter",        revives,           "calls",       "offers asked for again") \
	X(METRIC_COUNTER, "marathon.mesos.calls.suppress.counter",      suppresses,        "calls",       "offers asked to stop")
struct marathon_metrics { MARATHON_METRICS(METRIC_FIELD) };

struct marathon {
	struct master *master;                  /* borrowed, as are loop and store */
	struct loop *loop;
	struct store *store;
	bool leads, loaded;
	struct map apps;                        /* id -> struct app, owned */
	struct map instances;                   /* task id -> struct instance, owned */
	struct list deployments, dirty, queue;
	struct list changes, launches, acks;    /* under way to the store */
	struct list parked;                     /* requests that wait for a change of the same app */
	uint16_t service_ports[SERVICE_PORT_MAX - SERVICE_PORT_MIN];     /* how many definitions name it */
	int64_t last_version_us;
	struct uuid1 uuid;
	struct loop_defer step;
	struct loop_timer end_retry;            /* deployments whose end could not be stored */

	/* session.c */
	struct sched *sched;                    /* NULL: not subscribed */
	char *framework_id;                     /* NULL: never subscribed */
	bool registered;                        /* subscribed, and the id is stored */
	bool suppressed, revive;                /* revive: there is demand that offers were not asked for yet */
	struct propose id_propose;
	struct loop_timer retry, reconcile;

	struct marathon_metrics metrics;

	/* events.c */
	struct list subscribers;
	struct loop_timer heartbeat;
};

/* ---- api.c ---- */
extern const struct route marathon_routes[];

/* ---- model.c ---- */
struct app *app_find(struct marathon *ma, const char *id);
struct app *app_get_or_new(struct marathon *ma, const char *id);
void app_set_spec(struct app *app, struct spec *s);          /* takes; counts service ports; NULL: removed */
void app_touch(struct app *app);                             /* reconcile it this turn */
void app_release(struct app *app);                           /* free it when nothing is left of it */
void app_delay(struct app *app);                             /* a launch failed: back off */
void app_delay_reset(struct app *app);
void app_set_failure(struct app *app, const rec_TaskFailure *f);
struct instance *instance_new(struct app *app, const rec_Instance *r);     /* added to the model */
void instance_remove(struct instance *i);                    /* out of the model, and freed */
rec_Instance instance_record(const struct instance *i);      /* pointing into it */
struct deployment *deployment_new(const rec_Deployment *r);
void deployment_free(struct deployment *d);                  /* NULL ok */
void deployment_add(struct marathon *ma, struct deployment *d);      /* into the model: its apps are locked */
void deployment_drop(struct marathon *ma, struct deployment *d);     /* out of it, and freed */
struct deployment *deployment_find(struct marathon *ma, const char *id);
void model_clear(struct marathon *ma);
int64_t version_now_us(struct marathon *ma);                 /* wall clock in milliseconds, later than any version there is */
void service_ports_count(struct marathon *ma, const struct spec *s, int by);
bool task_ended(mesos_v1_TaskState s);                       /* in Marathon's eyes: UNKNOWN too */

/* ---- records.c ---- */
void records_register(struct marathon *ma);
int records_load(struct marathon *ma, struct err *e);
/* A stored version of an app as a new spec; E_NOTFOUND. */
int records_version(struct marathon *ma, const char *id, const char *version, struct spec **out, struct err *e);
/* Versions of an app, newest first; array of arena strings. */
int records_versions(struct marathon *ma, struct arena *a, const char *id, char ***out, size_t *out_count, struct err *e);
/* OP_INSTANCES that nobody waits for. */
void records_put_instance(struct marathon *ma, const struct instance *i);
void records_remove_instance(struct marathon *ma, const char *task_id);

/* ---- change.c ---- */
struct change {
	struct list link;                       /* in ma->changes once started */
	struct marathon *ma;
	struct propose propose;
	struct http_req *req;                   /* who waits; NULL: nobody (any more) */
	void (*done)(struct change *c, const struct err *e);     /* code 0: stored, and the model says so. c is freed after it */
	struct change_row { char *id; struct spec *after; } *rows;   /* owned; after NULL: removed */
	size_t count, cap;
	struct deployment *deployment;          /* owned until stored; may be NULL */
	char deployment_id[37], version[32];
	bool created;                           /* the answer is 201 */
	char **ended;                           /* owned: deployments that end by this */
	size_t ended_count;
	char **kill;                            /* owned: tasks to be killed once it is stored */
	size_t kill_count;
};
struct change *change_new(struct marathon *ma, struct http_req *r);
void change_free(struct change *c);             /* of one that was not started; NULL ok */
void change_put(struct change *c, struct spec *after);     /* takes */
void change_remove(struct change *c, const char *id);
void change_kill(struct change *c, const char *task_id);
/* Some app of it is changing already: park the request and decide again later. */
bool change_must_wait(const struct change *c);
/* The running deployments it would get in the way of, appended as [{"id":…}]; false: none. */
bool change_conflicts(const struct change *c, struct buf *out);
/* Plan, store, apply. Conflicting deployments are cancelled: callers without force have asked change_conflicts. */
void change_start(struct change *c, void (*done)(struct change *c, const struct err *e));
/* End a deployment without its target, on a client's wish. */
void change_cancel_deployment(struct marathon *ma, struct deployment *d, struct http_req *r, void (*done)(struct change *c, const struct err *e));
/* A deployment reached its end. */
void change_end_deployment(struct marathon *ma, struct deployment *d);
void changes_cancel(struct marathon *ma);
/* Answer the request after a change under way has ended. */
void request_park(struct marathon *ma, struct http_req *r);
void requests_unpark(struct marathon *ma);

/* ---- step.c ---- */
void step_soon(struct marathon *ma);
void step_cancel(struct marathon *ma);

/* ---- offers.c ---- */
void offers_take(struct marathon *ma, const mesos_v1_Offer *offers, size_t count);
void offers_demand(struct marathon *ma);        /* REVIVE or SUPPRESS as demand is */
void offers_cancel(struct marathon *ma);
bool app_wants_offers(const struct app *app);

/* ---- session.c ---- */
void session_start(struct marathon *ma);
void session_stop(struct marathon *ma);
void session_kill(struct instance *i);
/* KILL for a task that has no instance (any more). agent_id may be NULL. */
void session_kill_task(struct marathon *ma, const char *task_id, const char *agent_id);
/* type and the union member are set by the caller; framework_id here. Logged when refused. */
int session_call(struct marathon *ma, mesos_v1_scheduler_Call *call);

/* ---- events.c ---- */
void events_subscribe(struct http_req *r);
void events_stop(struct marathon *ma);
/* An event under construction: fields are written to w, event_end sends and frees. */
struct event { struct marathon *ma; const char *type; struct buf text; struct jw w; };
void event_begin(struct event *ev, struct marathon *ma, const char *type);
void event_end(struct event *ev);
void event_status(struct marathon *ma, const struct instance *i, const mesos_v1_TaskStatus *status);
void event_deployment(struct marathon *ma, const char *type, const struct deployment *d, bool with_step);
void event_api_post(struct marathon *ma, const struct http_req *r, const struct app *app);

/* ---- out.c ---- */
enum embed { EMBED_TASKS = 1, EMBED_COUNTS = 2, EMBED_DEPLOYMENTS = 4, EMBED_FAILURE = 8, EMBED_STATS = 16, EMBED_WAITING = 32 /* asks every agent */ };
void out_app(struct jw *w, const char *key, const struct app *app, unsigned embed);
void out_spec(struct jw *w, const char *key, const struct spec *s);
void out_task(struct jw *w, const char *key, const struct instance *i);
void out_deployment(struct jw *w, const char *key, struct marathon *ma, const struct deployment *d);
void out_plan(struct jw *w, const char *key, const struct deployment *d);

/* ---- queue.c ---- */
void out_queue(struct jw *w, struct marathon *ma, bool last_offers);
/* Why the app waits, as a sentence; false: it does not. */
bool out_waiting(struct buf *out, const struct app *app);

/* ---- api.c ---- */
/* The marathon when it serves here; else the request is answered and NULL. Sets the headers of every answer. */
struct marathon *api_begin(struct http_req *r);
void api_app_missing(struct http_req *r, const char *id);
void api_locked(struct http_req *r, const struct buf *deployments);
char *api_app_id(struct http_req *r, struct str rest);      /* absolute, in the request's arena */
/* Body as a JSON object of *out_doc, in the request's arena's life; NULL: answered. The document is freed by yyjson_mut_doc_free. */
yyjson_mut_val *api_body(struct http_req *r, yyjson_mut_doc **out_doc);
void api_faults(struct http_req *r, const struct faults *f);
/* Start the change unless it must wait or conflicts; takes c. */
void api_change(struct change *c, bool force, void (*done)(struct change *c, const struct err *e));
void api_deployed(struct change *c, const struct err *e);   /* {"version":…,"deploymentId":…} */
/* api_apps.c */
void api_apps_list(struct http_req *r);
void api_apps_create(struct http_req *r);
void api_apps_put(struct http_req *r);
void api_app_get(struct http_req *r);
void api_app_put(struct http_req *r);
void api_app_restart(struct http_req *r);
void api_app_delete(struct http_req *r);
void api_app_versions(struct http_req *r);
void api_app_version(struct http_req *r);
/* Apps of a group and below, by id; arena array of borrowed pointers. */
struct app **api_apps_within(struct marathon *ma, struct arena *a, const char *group, size_t *out_count);
unsigned api_embed(struct http_req *r, unsigned embed);
/* api_spec.c */
/*
 * A definition as the spec of the next version of an app; `before` NULL: a new one. With `replace` nothing of it is kept. The version
 * is before's when nothing differs. NULL: the request is answered.
 */
struct spec *api_spec(struct http_req *r, yyjson_mut_doc *doc, yyjson_mut_val *in, const char *base, const struct spec *before, bool replace);
/* s as the next version, with so many instances; new_config: running instances are to be replaced. */
struct spec *api_spec_again(struct marathon *ma, const struct spec *s, int64_t instances, bool new_config);
/* api_tasks.c */
void api_tasks_list(struct http_req *r);
void api_tasks_delete(struct http_req *r);
void api_app_tasks(struct http_req *r);
void api_app_tasks_delete(struct http_req *r);
void api_app_task_delete(struct http_req *r);
/* api_groups.c */
void api_group_get(struct http_req *r);
void api_group_apps(struct http_req *r);
void api_group_put(struct http_req *r);
void api_group_delete(struct http_req *r);
