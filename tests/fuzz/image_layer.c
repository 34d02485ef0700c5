/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a layer of an image: unpacked or refused, with nothing made outside of its directory; and as an archive with a
 * member. Run by root, the unpacking itself is done by nobody, so that an escape cannot hurt the machine either.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "roles/agent/unpack.h"

#define NOBODY 65534
static char top[] = "/dev/shm/fuzz-layer-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	return at->level > 0 ? remove(path) : 0;
}

static void empty_top(void) { (void)nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT); }

static void finish(void)
{
	empty_top();
	(void)rmdir(top);
}

static size_t count_entries(const char *path)
{
	size_t count = 0;
	DIR *dir = opendir(path);
	while (dir && readdir(dir))
		count++;
	if (dir)
		(void)closedir(dir);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool begun;
	char archive[64], dir[64];
	AUTO_BUF struct buf member = BUF_INIT;
	struct err e = { 0 };
	if (!begun && (!mkdtemp(top) || chmod(top, 0777) != 0 || atexit(finish) != 0))
		abort();
	begun = true;
	(void)snprintf(archive, sizeof(archive), "%s/archive", top);
	(void)snprintf(dir, sizeof(dir), "%s/dir", top);
	bool root = geteuid() == 0;
	if (root && seteuid(NOBODY) != 0)
		abort();
	int fd = open(archive, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) != 0 || mkdir(dir, 0700) != 0)
		abort();
	(void)unpack_member(archive, "manifest.json", 4096, &member, &e);
	int rc = unpack_layer(archive, dir, "", &e);
	if (root && seteuid(0) != 0)
		abort();
	assert(rc != 0 && e.code == rc && e.text[0]);        /* at the latest since no digest is "" */
	assert(count_entries(top) == 4);                     /* ".", "..", "archive", "dir" */
	empty_top();
	return 0;
}
