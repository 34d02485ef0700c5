/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a backup: read or refused with a sentence. The SHA-256 is made right first, so that what lies before it is reached. */
#include <stdio.h>
#include <sys/mman.h>

#include "net/tls.h"
#include "roles/master/backup_file.h"

static void run(const uint8_t *data, size_t size, const uint8_t sum[32])
{
	AUTO_FD int fd = memfd_create("backup", MFD_CLOEXEC);
	struct backup_file f;
	struct err e = { 0 };
	uint64_t rows = 0;
	char path[64];
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || (sum && write(fd, sum, 32) != 32))
		abort();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int rc = backup_file_open(&f, path, &rows, &e);
	assert(rc == 0 || (rc == e.code && e.text[0]));
	assert(rc != 0 || f.head.keys == (f.sealed.len > 0));
	backup_file_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t sum[32];
	run(data, size, NULL);
	sha256(data, size, sum);
	run(data, size, sum);
	return 0;
}
