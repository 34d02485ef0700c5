/* SPDX-License-Identifier: Apache-2.0 */
/* Talking with the person who takes or restores a backup: passphrase, progress, what is in a file. */
#include "roles/master/backup_cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <termios.h>

#include "net/base/time.h"

#define PASSPHRASE_MAX 1024
#define PROGRESS_US (200 * MSEC)

/* ---- passphrase ---- */

void passphrase_free(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

/* One line without its end; E_INVALID when it is too long. */
static int read_line(int fd, const char *what, char **out, struct err *e)
{
	char *line = xcalloc(1, PASSPHRASE_MAX + 1);
	size_t len = 0;
	ssize_t n = 1;
	while (len <= PASSPHRASE_MAX && (n = read(fd, line + len, 1)) == 1 && line[len] != '\n')
		len++;
	if (n < 0 || len > PASSPHRASE_MAX) {
		int rc = n < 0 ? err_sys(e, "read the passphrase from %s", what)
			       : err_set(e, E_INVALID, "the passphrase in %s is longer than %d bytes", what, PASSPHRASE_MAX);
		free(line);
		return rc;
	}
	line[len] = '\0';
	if (len > 0 && line[len - 1] == '\r')
		line[len - 1] = '\0';
	*out = line;
	return 0;
}

static int ask(int tty, const char *prompt, char **out, struct err *e)
{
	struct termios was, quiet;
	if (tcgetattr(tty, &was) != 0)
		return err_sys(e, "turn the terminal's echo off");
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(tty, TCSAFLUSH, &quiet);
	(void)!write(tty, prompt, strlen(prompt));
	int rc = read_line(tty, "the terminal", out, e);
	(void)!write(tty, "\n", 1);
	(void)tcsetattr(tty, TCSAFLUSH, &was);
	return rc;
}

static int ask_terminal(bool again, char **out, struct err *e)
{
	AUTO_FD int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	char *first = NULL, *second = NULL;
	if (tty < 0 || !isatty(STDIN_FILENO))
		return 0;
	int rc = ask(tty, again ? "Passphrase for the cluster's keys (empty: leave them out): " : "Passphrase: ", &first, e);
	if (rc == 0 && again && first[0])
		rc = ask(tty, "Again: ", &second, e);
	if (rc == 0 && second && strcmp(first, second) != 0)
		rc = err_set(e, E_INVALID, "the two passphrases differ; nothing was written");
	passphrase_free(second);
	if (rc == 0 && first[0])
		*out = MOVE(first);
	passphrase_free(first);
	return rc;
}

int passphrase_get(const char *file, bool again, char **out, struct err *e)
{
	const char *env = getenv("DCOS_BACKUP_PASSPHRASE");
	*out = NULL;
	if (file) {
		AUTO_FREE char *what = xasprintf("'%s'", file);
		AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
		int rc = fd < 0 ? err_sys(e, "open '%s'", file) : read_line(fd, what, out, e);
		if (rc == 0 && !(*out)[0]) {
			free(MOVE(*out));
			rc = err_set(e, E_INVALID, "the first line of '%s' is empty; it should be the passphrase", file);
		}
		return rc;
	}
	if (env && env[0]) {
		*out = xstrdup(env);
		return 0;
	}
	return ask_terminal(again, out, e);
}

/* ---- progress ---- */

void progress_show(struct progress *p, uint64_t done)
{
	int64_t now = time_now_us();
	if (!isatty(STDERR_FILENO) || now - p->shown_us < PROGRESS_US)
		return;
	(void)fprintf(stderr, "\r%s %llu of %llu MiB ", p->verb, (unsigned long long)(done >> 20), (unsigned long long)(p->total >> 20));
	p->shown_us = now;
}

void progress_end(struct progress *p)
{
	if (p->shown_us > 0)
		(void)fputs("\r\033[K", stderr);
	p->shown_us = 0;
}

/* ---- what is in a file ---- */

static void show_json(const struct backup_file *f, uint64_t rows, const char *when)
{
	const backup_Head *h = &f->head;
	AUTO_BUF struct buf b = BUF_INIT;
	(void)buf_puts(&b, "{\"file\":");
	(void)buf_json_cstr(&b, f->path);
	(void)buf_puts(&b, ",\"cluster_id\":");
	(void)buf_json_cstr(&b, h->cluster_id);
	(void)buf_puts(&b, ",\"cluster\":");
	(void)buf_json_cstr(&b, h->cluster);
	(void)buf_puts(&b, ",\"master\":");
	(void)buf_json_cstr(&b, h->master);
	(void)buf_puts(&b, ",\"version\":");
	(void)buf_json_cstr(&b, h->version);
	(void)buf_printf(&b, ",\"time\":\"%s\",\"format\":%u,\"index\":%llu,\"term\":%llu,\"rows\":%llu,\"bytes\":%llu,\"keys\":%s}\n", when,
			 h->state_format, (unsigned long long)h->index, (unsigned long long)h->term, (unsigned long long)rows,
			 (unsigned long long)h->dump_bytes, h->keys ? "true" : "false");
	(void)fputs(buf_cstr(&b), stdout);
}

void backup_show(const struct backup_file *f, uint64_t rows, bool json)
{
	const backup_Head *h = &f->head;
	char when[40];
	time_iso(h->unix_us, when);
	if (json) {
		show_json(f, rows, when);
		return;
	}
	printf("cluster   %s (%s)\ntaken     %s from %s, dcos-node %s\nstate     format %u, index %llu: %llu rows, %llu bytes\nkeys      %s\n",
	       h->cluster ? h->cluster : "", h->cluster_id ? h->cluster_id : "", when, h->master ? h->master : "", h->version ? h->version : "",
	       h->state_format, (unsigned long long)h->index, (unsigned long long)rows, (unsigned long long)h->dump_bytes,
	       h->keys ? "sealed with a passphrase" : "none: agents have to join anew after a restore");
}
