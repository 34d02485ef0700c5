/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/known_masters.h"

#include <fcntl.h>
#include <stdio.h>

#include "net/base/log.h"

#define FILE_BYTES_MAX 8192

static bool addr_eq(const struct sock_addr *a, const struct sock_addr *b)
{
	char x[SOCK_ADDR_TEXT], y[SOCK_ADDR_TEXT];
	sock_addr_text(a, x);
	sock_addr_text(b, y);
	return strcmp(x, y) == 0;
}

static size_t add(struct sock_addr *out, size_t count, const struct sock_addr *a)
{
	for (size_t i = 0; i < count; i++)
		if (addr_eq(&out[i], a))
			return count;
	if (count == KNOWN_MASTERS_MAX)
		return count;
	out[count] = *a;
	return count + 1;
}

static void read_file(const struct node *n, char text[FILE_BYTES_MAX])
{
	AUTO_FREE char *path = node_path(n, "masters");
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, FILE_BYTES_MAX - 1);
	text[len < 0 ? 0 : len] = '\0';
}

static size_t add_file(const struct node *n, struct sock_addr *out, size_t count)
{
	char text[FILE_BYTES_MAX];
	struct err e;
	struct sock_addr a;
	read_file(n, text);
	for (struct str rest = str_of(text); rest.p && rest.len > 0;) {
		AUTO_FREE char *line = str_dup(str_cut(&rest, '\n'));
		if (line[0] && sock_addr_parse_hostport(&a, line, RPC_PORT_MASTER, &e) == 0)
			count = add(out, count, &a);
	}
	return count;
}

size_t known_masters_file(const struct node *n, struct sock_addr out[KNOWN_MASTERS_MAX]) { return add_file(n, out, 0); }

size_t known_masters_read(const struct node *n, struct sock_addr out[KNOWN_MASTERS_MAX])
{
	size_t count = 0;
	struct sock_addr a;
	struct err e;
	for (size_t i = 0; i < node_master_count(n); i++)
		if (node_master_addr(n, i, &a, &e) == 0)
			count = add(out, count, &a);
	return add_file(n, out, count);
}

void known_masters_write(const struct node *n, const struct sock_addr *addrs, size_t count)
{
	AUTO_FREE char *path = node_path(n, "masters");
	AUTO_FREE char *tmp = xasprintf("%s.%d", path, (int)getpid());
	AUTO_BUF struct buf text = BUF_INIT;
	char old[FILE_BYTES_MAX];
	for (size_t i = 0; i < count; i++) {
		char line[SOCK_ADDR_TEXT];
		sock_addr_text(&addrs[i], line);
		buf_printf(&text, "%s\n", line);
	}
	read_file(n, old);
	if (text.len == 0 || strcmp(old, buf_cstr(&text)) == 0)
		return;
	AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || rename(tmp, path) != 0)
		LOG(WARN, "addresses of masters not kept", "file=%s", path);
}
