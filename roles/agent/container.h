/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start the program of one container: pid, mount, uts and ipc namespaces, its cgroups, its root file system, its user.
 * The program is PID 1 of its pid namespace. All mounts are made in the container's own mount namespace, so they end with it.
 */
#pragma once

#include <sys/types.h>

#include "net/base/err.h"
#include "proto/cluster.pb.h"
#include "roles/agent/cgroup.h"

/* A container's first process before it knows what to run: it has its namespaces and cgroups, and waits. */
struct container_seed {
	pid_t pid;
	int spec_fd;      /* container_run writes to it; when it is closed unwritten, the process ends */
	int report_fd;    /* gets a sentence when a step failed; ends without one when the program runs */
};

/*
 * Fork it into the group `cgroup` (made before); NULL: a plain session without any isolation. Made before it is needed, since
 * joining cgroups takes the kernel longer than all the rest. It dies with the calling process, which has one thread.
 */
int container_seed(const struct cgroup_host *h, const char *cgroup, struct container_seed *out, struct err *e);
/* Tell it what to run: the bytes of a dcos.ContainerSpec. Closes spec_fd. */
int container_run(struct container_seed *seed, struct str spec, struct err *e);

/* What follows is for container.c and mounts.c: steps of the child, in this order. */

/* Private copy of all mounts; with layers, the overlay on <writable>/root. *out_root_fd: that root, or -1. */
int mounts_root(const dcos_ContainerSpec *spec, int *out_root_fd, struct err *e);
/* /proc, /sys, /dev, sandbox, volumes, our program, name service files; then the root is changed. */
int mounts_image(const dcos_ContainerSpec *spec, int root_fd, struct err *e);
/* A container that shares the host's root: its own /proc, /dev/shm, resolv.conf, volumes. */
int mounts_host(const dcos_ContainerSpec *spec, struct err *e);
