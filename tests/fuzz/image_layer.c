/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an image layer: refused or unpacked below its directory, without harm; and as an archive with a member. */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "roles/agent/agent_int.h"
#include "roles/agent/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], dir[64];
	AUTO_BUF struct buf member = BUF_INIT;
	struct err e;
	AUTO_FD int fd = memfd_create("layer", MFD_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	(void)snprintf(dir, sizeof(dir), "/tmp/fuzz-layer.%d", (int)getpid());
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || mkdir(dir, 0700) != 0)
		abort();
	(void)unpack_layer(path, dir, "no digest", &e);
	(void)unpack_member(path, "manifest.json", 4096, &member, &e);
	if (sandbox_remove_tree(dir, &e) != 0)
		abort();
	return 0;
}
