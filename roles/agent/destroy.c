/* SPDX-License-Identifier: Apache-2.0 */
/*
 * End a container that has no executor any more: SIGKILL for everything in its cgroup until that is empty, then the group
 * itself. Mounts went with the last process, its network is the node's.
 */
#include "roles/agent/agent_int.h"

#include "net/base/log.h"

#define LOOK_MIN_US (2 * MSEC)
#define LOOK_MAX_US (500 * MSEC)
#define GIVE_UP_US (60 * SEC)        /* Mesos' cgroups_destroy_timeout */

char *agent_container_cgroup(const struct agent *a, const char *container_id)
{
	return a->config.isolate ? xasprintf("%s/%s", a->config.common.cgroup, container_id) : NULL;
}

static void finish(struct destroy_op *op)
{
	free(op->cgroup);
	free(op->container_id);
	op->cgroup = NULL;
	op->container_id = NULL;
	op->done(op);
}

static void on_look(struct loop_timer *t)
{
	struct destroy_op *op = container_of(t, struct destroy_op, look);
	struct agent *a = op->agent;
	struct err e = { 0 };
	bool over = !op->cgroup;
	if (!over) {
		cgroup_kill(&a->cgroups, op->cgroup);
		over = cgroup_empty(&a->cgroups, op->cgroup) && cgroup_remove(&a->cgroups, op->cgroup, &e) == 0;
	}
	if (!over && loop_now_us(a->node.loop) >= op->give_up_us) {
		LOG(ERROR, "container cannot be ended", "container=%s reason=%s", op->container_id,
		    e.text[0] ? e.text : "its processes do not die");
		over = true;
	}
	if (over) {
		finish(op);
		return;
	}
	loop_timer_start(a->node.loop, &op->look, op->look_us, on_look);
	op->look_us = MIN(op->look_us * 2, LOOK_MAX_US);
}

void destroy_start(struct destroy_op *op, struct agent *a, const char *container_id, void (*done)(struct destroy_op *op))
{
	op->agent = a;
	op->done = done;
	op->container_id = xstrdup(container_id);
	op->cgroup = agent_container_cgroup(a, container_id);
	op->look_us = LOOK_MIN_US;
	op->give_up_us = loop_now_us(a->node.loop) + GIVE_UP_US;
	loop_timer_start(a->node.loop, &op->look, 0, on_look);
}

void destroy_cancel(struct destroy_op *op)
{
	loop_timer_stop(&op->look);
	free(op->cgroup);
	free(op->container_id);
	op->cgroup = NULL;
	op->container_id = NULL;
}
