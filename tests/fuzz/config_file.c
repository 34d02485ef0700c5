/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a config file: taken or refused with a sentence; what was taken is within the bounds of its flag. */
#include <stdio.h>
#include <sys/mman.h>

#include "net/base/flag.h"

struct config {
	char *config, *text, *list;
	bool on;
	int64_t count, wait_us, bytes;
	uint16_t port;
	double share;
};
#define AT(field) offsetof(struct config, field)
static const struct flag flags[] = {
	{ "config",   FLAG_STRING,   AT(config),  NULL,    0, 0,        NULL, "file with settings" },
	{ "text",     FLAG_STRING,   AT(text),    "a",     0, 0,        NULL, "any text" },
	{ "list",     FLAG_LIST,     AT(list),    NULL,    0, 0,        NULL, "several texts" },
	{ "on",       FLAG_BOOL,     AT(on),      "false", 0, 0,        NULL, "yes or no" },
	{ "count",    FLAG_INT,      AT(count),   "3",     1, 100,      NULL, "a number" },
	{ "max-wait", FLAG_DURATION, AT(wait_us), "5secs", 1, 60 * SEC, NULL, "a time" },
	{ "max-size", FLAG_BYTES,    AT(bytes),   "1KB",   1, 1 * GIB,  NULL, "a size" },
	{ "port",     FLAG_PORT,     AT(port),    "80",    1, 65535,    NULL, "a port" },
	{ "share",    FLAG_DOUBLE,   AT(share),   "0.5",   0, 0,        NULL, "a fraction" },
	FLAG_END
};
static const struct flag *const tables[] = { flags, NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config c = { 0 };
	AUTO_BUF struct buf text = BUF_INIT;
	AUTO_FD int fd = memfd_create("config", MFD_CLOEXEC);
	struct err e = { 0 };
	char arg[64];
	char *argv[] = { arg, NULL };
	int argi;
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	(void)snprintf(arg, sizeof(arg), "--config=/proc/self/fd/%d", fd);
	int rc = flag_parse(tables, &c, 1, argv, true, &argi, &e);
	assert(rc == 0 || (e.code == rc && e.text[0]));
	assert(c.count >= 1 && c.count <= 100);
	assert(c.wait_us >= 1 && c.wait_us <= 60 * SEC);
	assert(c.bytes >= 1 && c.bytes <= 1 * GIB);
	assert(c.port >= 1);
	for (const struct flag *f = flags; f->name; f++)
		flag_value_text(f, &c, &text);
	flag_free(tables, &c);
	return 0;
}
