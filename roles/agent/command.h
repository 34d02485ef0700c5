/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container runs and what it finds in its environment: the rules of Mesos' docker/runtime isolator and docker
 * containerizer. Pure.
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/err.h"
#include "proto/cluster.pb.h"
#include "proto/mesos.pb.h"
#include "roles/agent/image.h"

struct command_input {
	const mesos_v1_TaskInfo *task;
	const struct image *image;           /* NULL: the task shares the host's root */
	const char *framework_id;
	const char *framework_user;          /* runs tasks that name no user and have no image */
	const char *agent_id, *ip, *hostname;
	uint16_t port;                       /* of the agent's API */
	const char *container_id;
	const char *sandbox_in;              /* where the container sees its sandbox */
	const char *home;                    /* the agent's own, for tasks without isolation */
	const char *self;                    /* path of this executable; runs the built-in image where nothing can be mounted */
};

/*
 * Fill argv, env, workdir, user and hostname of *out; memory in the arena.
 * Errors: E_INVALID (nothing to run, secret variables, reserved bytes), E_TOOBIG (LIMIT_TASK_ARGS, LIMIT_TASK_ENV_BYTES).
 */
int command_build(struct arena *a, const struct command_input *in, dcos_ContainerSpec *out, struct err *e);

/* Name of the task's image, or NULL; *out_docker: the container is of type DOCKER. */
const char *command_image(const mesos_v1_TaskInfo *task, bool *out_docker);
/* How long between SIGTERM and SIGKILL; Mesos' default is 3 s. */
int64_t command_grace_us(const mesos_v1_TaskInfo *task);
