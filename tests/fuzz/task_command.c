/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks as frameworks describe them: what a container would run is refused with a sentence, or complete and within bounds. */
#include "net/limits.h"
#include "net/pb_util.h"
#include "roles/agent/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA struct arena a = { .max = 64 * MIB };
	char *words[] = { "/bin/sh" }, *env[] = { "PATH=/bin" };
	struct image image = {
		.config = { .entrypoint = { words, 1 }, .cmd = { words, 1 }, .env = { env, 1 }, .workdir = "/w", .user = "1" },
	};
	mesos_v1_TaskInfo task;
	dcos_ContainerSpec spec = dcos_ContainerSpec_init_zero;
	struct err e = { 0 };
	bool docker;
	if (size == 0 || pb_read(&a, mesos_v1_TaskInfo_fields, str_n((const char *)data + 1, size - 1), &task, NULL) != 0)
		return 0;
	struct command_input in = {
		.task = &task, .image = data[0] & 1 ? &image : NULL, .framework_id = "f", .framework_user = "root", .agent_id = "s",
		.ip = "192.0.2.1", .hostname = "h", .port = 5051, .container_id = "c", .sandbox_in = "/mnt/mesos/sandbox",
		.home = "/", .self = "/bin/dcos-node",
	};
	(void)command_image(&task, &docker);
	assert(command_grace_us(&task) >= 0);
	int rc = command_build(&a, &in, &spec, &e);
	if (rc != 0) {
		assert(e.code == rc && e.text[0]);
		return 0;
	}
	assert(spec.argv_count > 0 && spec.argv_count <= LIMIT_TASK_ARGS);
	size_t bytes = 0;
	for (size_t i = 0; i < spec.env_count; i++) {
		assert(strchr(spec.env[i], '='));
		bytes += strlen(spec.env[i]) + 1;
	}
	assert(bytes <= LIMIT_TASK_ENV_BYTES);
	return 0;
}
