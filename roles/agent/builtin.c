/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image that needs no archive and no network: mhausenblas/simpleservice:0.3.0, made of this executable. Its only layer is a
 * skeleton of directories; the program is our own file, mounted where the skeleton has an empty one, so that it costs no copy
 * and its pages are shared.
 */
#include "roles/agent/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define REF "docker.io/mhausenblas/simpleservice:0.3.0"
#define PROGRAM "/usr/bin/simpleservice"

static const struct { const char *path; mode_t mode; } dirs[] = {
	{ "", 0755 }, { "/dev", 0755 }, { "/etc", 0755 }, { "/mnt", 0755 }, { "/proc", 0755 }, { "/root", 0700 },
	{ "/sys", 0755 }, { "/tmp", 01777 }, { "/usr", 0755 }, { "/usr/bin", 0755 },
};
static const struct { const char *path, *text; } files[] = {
	{ "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n" },
	{ "/etc/group", "root:x:0:\nnogroup:x:65534:\n" },
	{ PROGRAM, "" },
};

static int make_layer(const char *layer, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		AUTO_FREE char *path = xasprintf("%s%s", layer, dirs[i].path);
		if ((mkdir(path, dirs[i].mode) != 0 && errno != EEXIST) || chmod(path, dirs[i].mode) != 0)
			return err_sys(e, "create '%s'", path);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO_FREE char *path = xasprintf("%s%s", layer, files[i].path);
		AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
		if (fd < 0 || write(fd, files[i].text, strlen(files[i].text)) < 0)
			return err_sys(e, "write '%s'", path);
	}
	return 0;
}

int image_builtin(struct arena *a, const char *store, const char *ref, struct image *out, struct err *e)
{
	static const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
	if (strcmp(ref, REF) != 0)
		return err_set(e, E_NOTFOUND, "'%s' is not built in", ref);
	char *layer = arena_printf(a, "%s/builtin", store);
	int rc = make_layer(layer, e);
	if (rc != 0)
		return rc;
	*out = (struct image){ .program = arena_strdup(a, PROGRAM) };
	out->layers = (struct image_strings){ arena_array(a, char *, 1), 1 };
	out->layers.rows[0] = layer;
	out->config.cmd = (struct image_strings){ arena_array(a, char *, 1), 1 };
	out->config.cmd.rows[0] = arena_strdup(a, "simpleservice");
	out->config.env = (struct image_strings){ arena_array(a, char *, 1), 1 };
	out->config.env.rows[0] = arena_strdup(a, env[0]);
	return 0;
}
