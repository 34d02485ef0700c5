/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What schedulers may send, checked without looking at the cluster. The sentences are Mesos': schedulers log and match them.
 * Checks run in Mesos' order, the first that fails is reported. Pure.
 */
#include <math.h>

#include "roles/master/mesos/model.h"

#define ID_MAX 255
#define FAILOVER_TIMEOUT_MAX 9223372036.0      /* seconds: what fits a Duration of int64 nanoseconds */

bool validate_id(const char *id, struct err *e)
{
	if (!id || !id[0])
		return err_set(e, E_INVALID, "ID must not be empty") == 0;
	if (strlen(id) > ID_MAX)
		return err_set(e, E_INVALID, "ID must not be greater than %d characters", ID_MAX) == 0;
	if (strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return err_set(e, E_INVALID, "'%s' is disallowed", id) == 0;
	for (const char *p = id; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '/' || *p == '\\')
			return err_set(e, E_INVALID, "'%s' contains invalid characters", id) == 0;
	return true;
}

static bool role_component(struct str c)
{
	if (c.len == 0 || c.p[0] == '-' || str_eq_c(c, ".") || str_eq_c(c, "..") || str_eq_c(c, "*"))
		return false;
	for (size_t i = 0; i < c.len; i++)
		if ((unsigned char)c.p[i] <= 0x20 || c.p[i] == 0x7f)
			return false;
	return true;
}

bool validate_role(const char *role)
{
	struct str rest = str_of(role);
	if (strcmp(role, "*") == 0)
		return true;
	if (rest.len == 0 || rest.len > ID_MAX)
		return false;
	while (rest.p)
		if (!role_component(str_cut(&rest, '/')))
			return false;
	return true;
}

/* ---- FrameworkInfo ---- */

static bool multi_role(const mesos_v1_FrameworkInfo *info)
{
	for (size_t i = 0; i < info->capabilities_count; i++)
		if (info->capabilities[i].has_type && info->capabilities[i].type == mesos_v1_FrameworkInfo_Capability_Type_MULTI_ROLE)
			return true;
	return false;
}

static int validate_roles(const mesos_v1_FrameworkInfo *info, struct err *e)
{
	for (size_t i = 0; i < info->roles_count; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(info->roles[i], info->roles[k]) == 0)
				return err_set(e, E_INVALID, "'FrameworkInfo.roles' contains duplicate items: %s", info->roles[i]);
	for (size_t i = 0; i < info->roles_count; i++)
		if (!validate_role(info->roles[i]))
			return err_set(e, E_INVALID, "'FrameworkInfo.roles' contains invalid role: %s", info->roles[i]);
	return 0;
}

int validate_framework(const mesos_v1_FrameworkInfo *info, struct err *e)
{
	bool multi = multi_role(info);
	bool has_role = info->role && strcmp(info->role, "*") != 0;
	if (!info->name || !info->user)
		return err_set(e, E_INVALID, "Missing required fields: %s", info->name ? "user" : "name");
	if (multi && has_role)
		return err_set(e, E_INVALID, "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable");
	if (!multi && info->roles_count > 0)
		return err_set(e, E_INVALID, "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable");
	if (multi && validate_roles(info, e) != 0)
		return e->code;
	if (!multi && has_role && !validate_role(info->role))
		return err_set(e, E_INVALID, "'FrameworkInfo.role' is not a valid role: %s", info->role);
	if (info->has_failover_timeout && !(info->failover_timeout >= 0 && info->failover_timeout <= FAILOVER_TIMEOUT_MAX))
		return err_set(e, E_INVALID, "The framework failover_timeout (%g) is invalid", info->failover_timeout);
	if (info->id && info->id->value && info->id->value[0]) {
		struct err why;
		if (!validate_id(info->id->value, &why))
			return err_set(e, E_INVALID, "Framework has an invalid FrameworkID: %s", why.text);
	}
	return 0;
}

/* ---- TaskInfo ---- */

static int validate_environment(const mesos_v1_Environment *env, struct err *e)
{
	for (size_t i = 0; env && i < env->variables_count; i++) {
		const mesos_v1_Environment_Variable *v = &env->variables[i];
		bool secret = v->has_type && v->type == mesos_v1_Environment_Variable_Type_SECRET;
		if (secret && !v->secret)
			return err_set(e, E_INVALID, "Environment variable '%s' of type 'SECRET' must have a secret set", v->name);
		if (!secret && !v->value)
			return err_set(e, E_INVALID, "Environment variable '%s' of type 'VALUE' must have a value set", v->name);
		if (!secret && v->secret)
			return err_set(e, E_INVALID, "Environment variable '%s' of type 'VALUE' must not have a secret set", v->name);
	}
	return 0;
}

static int validate_command(const mesos_v1_CommandInfo *c, struct err *e)
{
	return c ? validate_environment(c->environment, e) : 0;
}

static int validate_container(const mesos_v1_ContainerInfo *c, struct err *e)
{
	if (!c)
		return 0;
	if (c->type == mesos_v1_ContainerInfo_Type_DOCKER && !c->docker)
		return err_set(e, E_INVALID, "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo");
	for (size_t i = 0; c->docker && i < c->docker->parameters_count; i++)
		if (strcmp(c->docker->parameters[i].key, "name") == 0)
			return err_set(e, E_INVALID, "Parameter in DockerInfo must not be 'name'");
	for (size_t i = 0; i < c->volumes_count; i++) {
		const mesos_v1_Volume *v = &c->volumes[i];
		if ((v->host_path != NULL) + (v->image != NULL) + (v->source != NULL) > 1)
			return err_set(e, E_INVALID, "Only one of them should be set: 'host_path', 'image' and 'source'");
	}
	return 0;
}

static bool negative(bool has, double v) { return has && !(v >= 0); }

static int validate_health(const mesos_v1_HealthCheck *h, struct err *e)
{
	if (!h->has_type || h->type == mesos_v1_HealthCheck_Type_UNKNOWN)
		return err_set(e, E_INVALID, "HealthCheck must specify 'type'");
	if (h->type == mesos_v1_HealthCheck_Type_COMMAND && !h->command)
		return err_set(e, E_INVALID, "Expecting 'command' to be set for COMMAND health check");
	if (h->type == mesos_v1_HealthCheck_Type_HTTP && !h->http)
		return err_set(e, E_INVALID, "Expecting 'http' to be set for HTTP health check");
	if (h->type == mesos_v1_HealthCheck_Type_TCP && !h->tcp)
		return err_set(e, E_INVALID, "Expecting 'tcp' to be set for TCP health check");
	if (h->http && h->http->scheme && strcmp(h->http->scheme, "http") != 0 && strcmp(h->http->scheme, "https") != 0)
		return err_set(e, E_INVALID, "Unsupported HTTP health check scheme: '%s'", h->http->scheme);
	if (h->http && h->http->path && h->http->path[0] != '/')
		return err_set(e, E_INVALID, "The path '%s' of HTTP health check must start with '/'", h->http->path);
	if (negative(h->has_delay_seconds, h->delay_seconds))
		return err_set(e, E_INVALID, "Expecting 'delay_seconds' to be non-negative");
	if (negative(h->has_interval_seconds, h->interval_seconds))
		return err_set(e, E_INVALID, "Expecting 'interval_seconds' to be non-negative");
	if (negative(h->has_timeout_seconds, h->timeout_seconds))
		return err_set(e, E_INVALID, "Expecting 'timeout_seconds' to be non-negative");
	if (negative(h->has_grace_period_seconds, h->grace_period_seconds))
		return err_set(e, E_INVALID, "Expecting 'grace_period_seconds' to be non-negative");
	return 0;
}

static int validate_executor(const mesos_v1_ExecutorInfo *x, const char *framework_id, struct err *e)
{
	struct err why;
	if (!x->executor_id || !validate_id(x->executor_id->value, &why))
		return err_set(e, E_INVALID, "Executor has an invalid ExecutorID: %s", x->executor_id ? why.text : "it is missing");
	if (x->has_type && x->type == mesos_v1_ExecutorInfo_Type_DEFAULT && x->command)
		return err_set(e, E_INVALID, "'ExecutorInfo.command' must not be set for 'DEFAULT' executor");
	if ((!x->has_type || x->type == mesos_v1_ExecutorInfo_Type_CUSTOM) && !x->command)
		return err_set(e, E_INVALID, "'ExecutorInfo.command' must be set for 'CUSTOM' executor");
	if (x->framework_id && strcmp(x->framework_id->value, framework_id) != 0)
		return err_set(e, E_INVALID, "ExecutorInfo has an invalid FrameworkID (Actual: %s vs Expected: %s)",
			       x->framework_id->value, framework_id);
	if (x->shutdown_grace_period && x->shutdown_grace_period->nanoseconds < 0)
		return err_set(e, E_INVALID, "ExecutorInfo's 'shutdown_grace_period' must be non-negative");
	return validate_command(x->command, e);
}

int validate_task(const mesos_v1_TaskInfo *t, const char *framework_id, const char *agent_id, struct err *e)
{
	struct err why = { 0 };
	if (!t->task_id || !validate_id(t->task_id->value, &why))
		return err_set(e, E_INVALID, "Task has an invalid TaskID: %s", t->task_id ? why.text : "it is missing");
	if (!t->agent_id || !t->agent_id->value || strcmp(t->agent_id->value, agent_id) != 0)
		return err_set(e, E_INVALID, "Task uses invalid agent %s while agent %s is expected",
			       t->agent_id && t->agent_id->value ? t->agent_id->value : "''", agent_id);
	if (t->kill_policy && t->kill_policy->grace_period && t->kill_policy->grace_period->nanoseconds < 0)
		return err_set(e, E_INVALID, "Task's 'kill_policy.grace_period' must be non-negative");
	if (t->max_completion_time && t->max_completion_time->nanoseconds < 0)
		return err_set(e, E_INVALID, "Task's `max_completion_time` must be non-negative");
	if (t->health_check && validate_health(t->health_check, &why) != 0)
		return err_set(e, E_INVALID, "Task uses invalid health check: %s", why.text);
	if (t->resources_count == 0)
		return err_set(e, E_INVALID, "Task uses no resources");
	if (validate_command(t->command, &why) != 0)
		return err_set(e, E_INVALID, "Task's `CommandInfo` is invalid: %s", why.text);
	if (validate_container(t->container, &why) != 0)
		return err_set(e, E_INVALID, "Task's `ContainerInfo` is invalid: %s", why.text);
	if ((t->command != NULL) == (t->executor != NULL))
		return err_set(e, E_INVALID, "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present");
	return t->executor ? validate_executor(t->executor, framework_id, e) : 0;
}

/* ---- calls ---- */

int validate_call(const mesos_v1_scheduler_Call *c, struct err *e)
{
	/* Which member a call's type needs. Types without a row need none. */
	const struct { mesos_v1_scheduler_Call_Type type; const char *name; const void *member; } needs[] = {
		{ mesos_v1_scheduler_Call_Type_SUBSCRIBE,                    "subscribe",                    c->subscribe },
		{ mesos_v1_scheduler_Call_Type_ACCEPT,                       "accept",                       c->accept },
		{ mesos_v1_scheduler_Call_Type_DECLINE,                      "decline",                      c->decline },
		{ mesos_v1_scheduler_Call_Type_ACCEPT_INVERSE_OFFERS,        "accept_inverse_offers",        c->accept_inverse_offers },
		{ mesos_v1_scheduler_Call_Type_DECLINE_INVERSE_OFFERS,       "decline_inverse_offers",       c->decline_inverse_offers },
		{ mesos_v1_scheduler_Call_Type_KILL,                         "kill",                         c->kill },
		{ mesos_v1_scheduler_Call_Type_SHUTDOWN,                     "shutdown",                     c->shutdown },
		{ mesos_v1_scheduler_Call_Type_ACKNOWLEDGE,                  "acknowledge",                  c->acknowledge },
		{ mesos_v1_scheduler_Call_Type_ACKNOWLEDGE_OPERATION_STATUS, "acknowledge_operation_status", c->acknowledge_operation_status },
		{ mesos_v1_scheduler_Call_Type_RECONCILE,                    "reconcile",                    c->reconcile },
		{ mesos_v1_scheduler_Call_Type_RECONCILE_OPERATIONS,         "reconcile_operations",         c->reconcile_operations },
		{ mesos_v1_scheduler_Call_Type_MESSAGE,                      "message",                      c->message },
		{ mesos_v1_scheduler_Call_Type_REQUEST,                      "request",                      c->request },
		{ mesos_v1_scheduler_Call_Type_UPDATE_FRAMEWORK,             "update_framework",             c->update_framework },
	};
	if (!c->has_type)
		return err_set(e, E_USAGE, "Expecting 'type' to be present");
	for (size_t i = 0; i < ARRAY_LEN(needs); i++)
		if (needs[i].type == c->type && !needs[i].member)
			return err_set(e, E_USAGE, "Expecting '%s' to be present", needs[i].name);
	if (c->type == mesos_v1_scheduler_Call_Type_SUBSCRIBE) {
		const mesos_v1_FrameworkInfo *info = c->subscribe->framework_info;
		const char *own = c->framework_id ? c->framework_id->value : "";
		if (!info)
			return err_set(e, E_USAGE, "Expecting 'subscribe.framework_info' to be present");
		if (strcmp(own, info->id && info->id->value ? info->id->value : "") != 0)
			return err_set(e, E_USAGE, "'framework_id' differs from 'subscribe.framework_info.id'");
		return 0;
	}
	if (!c->framework_id || !c->framework_id->value)
		return err_set(e, E_USAGE, "Expecting 'framework_id' to be present");
	if (c->type == mesos_v1_scheduler_Call_Type_ACKNOWLEDGE && (!c->acknowledge->uuid || c->acknowledge->uuid->size != 16))
		return err_set(e, E_USAGE, "Not a valid UUID");
	return 0;
}
