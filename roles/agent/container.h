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

/*
 * Fork the container's first process. It goes on by itself; *out_report_fd (caller closes) gets a sentence when a step failed
 * and ends without one when the program runs. The child dies with the calling process. A spec without cgroup is started as a
 * plain session without any isolation. h is used only with one.
 */
int container_start(const struct cgroup_host *h, const dcos_ContainerSpec *spec, pid_t *out_pid, int *out_report_fd, struct err *e);

/* What follows is for container.c and mounts.c: steps of the child, in this order. */

/* Private copy of all mounts; with layers, the overlay on <writable>/root. *out_root_fd: that root, or -1. */
int mounts_root(const dcos_ContainerSpec *spec, int *out_root_fd, struct err *e);
/* /proc, /sys, /dev, sandbox, volumes, our program, name service files; then the root is changed. */
int mounts_image(const dcos_ContainerSpec *spec, int root_fd, struct err *e);
/* A container that shares the host's root: its own /proc, /dev/shm, resolv.conf, volumes. */
int mounts_host(const dcos_ContainerSpec *spec, struct err *e);
