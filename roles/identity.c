/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's key and certificate, in <state dir>/identity:
 *   key.pem cert.pem ca.pem          every node; cert.pem is written last, so where it is, the rest is too
 *   ca.key token                     the first master: the cluster's certificate authority and the join token
 * Common names are "master/<node>" and "node/<node>": a dialled peer must be a master, a dialling one any node.
 *
 * Joining, once a node:
 *   WAIT_FILES --token read, lock taken--> CONNECT --> CALL --certificate--> done
 *        ^------------- retry timer <-------------------- any failure
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "net/base/log.h"
#include "net/pb_util.h"
#include "net/rpc.h"
#include "proto/cluster.pb.h"
#include "roles/node.h"

#define PEM_BYTES_MAX (64 * 1024)
#define CERT_DAYS 3650
#define JOIN_RETRY_MIN_US (5 * MSEC)       /* a cluster that starts together is ready within moments */
#define JOIN_RETRY_MAX_US SEC
#define JOIN_TIMEOUT_US (5 * SEC)
#define TOKEN_PREFIX "dcos1."

static int file_read(const char *path, char **out, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open '%s'", path);
	AUTO_FREE char *text = xcalloc(1, PEM_BYTES_MAX + 1);
	ssize_t n = read(fd, text, PEM_BYTES_MAX);
	if (n < 0)
		return err_sys(e, "read '%s'", path);
	if (n == 0 || n == PEM_BYTES_MAX)
		return err_set(e, E_MALFORMED, "'%s' is empty or too large", path);
	*out = MOVE(text);
	return 0;
}

/* Whole or not at all: written beside, synced, renamed. */
static int file_write(const char *path, const char *text, int mode, struct err *e)
{
	AUTO_FREE char *tmp = xasprintf("%s.tmp", path);
	AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	size_t len = strlen(text);
	if (fd < 0)
		return err_sys(e, "create '%s'", tmp);
	if (write(fd, text, len) != (ssize_t)len || fsync(fd) != 0)
		return err_sys(e, "write '%s'", tmp);
	if (rename(tmp, path) != 0)
		return err_sys(e, "rename '%s' to '%s'", tmp, path);
	return 0;
}

static char *identity_path(struct node *n, const char *name) { return node_path(n, "identity/%s", name); }

static int read_one(struct node *n, const char *name, char **out, struct err *e)
{
	AUTO_FREE char *path = identity_path(n, name);
	return file_read(path, out, e);
}

static int write_one(struct node *n, const char *name, const char *text, int mode, struct err *e)
{
	AUTO_FREE char *path = identity_path(n, name);
	return file_write(path, text, mode, e);
}

static bool have_one(struct node *n, const char *name)
{
	AUTO_FREE char *path = identity_path(n, name);
	return access(path, F_OK) == 0;
}

static int make_dir(struct node *n, struct err *e)
{
	AUTO_FREE char *dir = node_path(n, "identity");
	return node_mkdirs(dir, 0700, e);
}

static void set_name(struct node *n, const char *prefix)
{
	AUTO_FREE char *name = xasprintf("%s%s", prefix, n->name);
	(void)str_put(n->identity.name, sizeof(n->identity.name), str_of(name));
}

/* Build the TLS contexts of what is on disk. */
static int load(struct node *n, struct err *e)
{
	struct identity *id = &n->identity;
	int rc = read_one(n, "key.pem", &id->key_pem, e);
	if (rc == 0)
		rc = read_one(n, "cert.pem", &id->cert_pem, e);
	if (rc == 0)
		rc = read_one(n, "ca.pem", &id->ca_pem, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *chain = xasprintf("%s%s", id->cert_pem, id->ca_pem);   /* the root goes along for joiners that pin it */
	struct tls_config c = {
		.tls13_only = true, .ca_pem = id->ca_pem, .cert_pem = chain, .key_pem = id->key_pem,
	};
	c.server = true;
	c.verify = TLS_VERIFY_OPTIONAL;
	rc = tls_ctx_new(&c, &id->server, e);
	if (rc != 0)
		return err_wrap(e, "load this node's certificate");
	c.server = false;
	c.verify = TLS_VERIFY_REQUIRED;
	rc = tls_ctx_new(&c, &id->client, e);
	return rc == 0 ? 0 : err_wrap(e, "load this node's certificate");
}

/* ---- the first master ---- */

static int make_token(struct node *n, const char *ca_pem, struct err *e)
{
	uint8_t digest[32], secret[24];
	char digest_hex[65], secret_hex[49];
	int rc = pki_cert_sha256(ca_pem, digest, e);
	if (rc != 0)
		return rc;
	rnd_bytes(secret, sizeof(secret));
	hex_encode(digest, sizeof(digest), digest_hex);
	hex_encode(secret, sizeof(secret), secret_hex);
	AUTO_FREE char *token = xasprintf(TOKEN_PREFIX "%s.%s\n", digest_hex, secret_hex);
	return write_one(n, "token", token, 0600, e);
}

static int make_authority(struct node *n, struct err *e)
{
	AUTO_FREE char *ca_pem = NULL;
	AUTO_FREE char *ca_key = NULL;
	AUTO_FREE char *key = NULL;
	AUTO_FREE char *csr = NULL;
	AUTO_FREE char *cert = NULL;
	AUTO_FREE char *name = xasprintf("master/%s", n->name);
	AUTO_FREE char *ca_name = xasprintf("dcos-node cluster %s", n->config->cluster);
	int rc = pki_ca_new(ca_name, &ca_pem, &ca_key, e);
	if (rc == 0)
		rc = pki_key_new(&key, e);
	if (rc == 0)
		rc = pki_csr_new(key, name, &csr, e);
	if (rc == 0)
		rc = pki_sign(ca_pem, ca_key, csr, name, n->ip, CERT_DAYS, &cert, e);
	if (rc == 0)
		rc = write_one(n, "ca.key", ca_key, 0600, e);
	if (rc == 0)
		rc = write_one(n, "ca.pem", ca_pem, 0644, e);
	if (rc == 0)
		rc = make_token(n, ca_pem, e);
	if (rc == 0)
		rc = write_one(n, "key.pem", key, 0600, e);
	return rc == 0 ? write_one(n, "cert.pem", cert, 0644, e) : rc;
}

int identity_master(struct node *n, struct err *e)
{
	int rc = make_dir(n, e);
	if (rc == 0 && !have_one(n, "cert.pem"))
		rc = make_authority(n, e);
	if (rc == 0)
		rc = load(n, e);
	set_name(n, "master/");
	return rc;
}

int identity_token(struct node *n, char **out, struct err *e)
{
	char *text = NULL;
	int rc = read_one(n, "token", &text, e);
	if (rc != 0)
		return rc;
	text[strcspn(text, "\r\n")] = '\0';
	*out = text;
	return 0;
}

/* Node names become part of certificates and paths. */
static bool name_ok(const char *name)
{
	size_t len = name ? strlen(name) : 0;
	if (len == 0 || len > 63)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
			  (c == '.' && i > 0);
		if (!ok)
			return false;
	}
	return true;
}

/* Compares in constant time, so that the answer's timing tells nothing. */
static bool secret_eq(const char *a, const char *b)
{
	size_t len = strlen(b);
	unsigned diff = strlen(a) != len;
	for (size_t i = 0; i < len && a[i]; i++)
		diff |= (unsigned)(a[i] ^ b[i]);
	return diff == 0;
}

static int sign_join(struct node *n, const dcos_JoinRequest *in, char **out_cert, struct err *e)
{
	AUTO_FREE char *token = NULL;
	AUTO_FREE char *ca_key = NULL;
	int rc = identity_token(n, &token, e);
	if (rc != 0)
		return rc;
	if (!in->token || !in->csr_pem || !secret_eq(in->token, token))
		return err_set(e, E_DENIED, "the join token is not this cluster's");
	if (!name_ok(in->node))
		return err_set(e, E_INVALID, "a node's name is 1 to 63 letters, digits, '-', '_' or '.'");
	rc = read_one(n, "ca.key", &ca_key, e);
	if (rc != 0)
		return rc;
	AUTO_FREE char *name = xasprintf("node/%s", in->node);
	return pki_sign(n->identity.ca_pem, ca_key, in->csr_pem, name, in->ip, CERT_DAYS, out_cert, e);
}

void identity_serve_join(struct node *n, struct rpc_peer *p, struct rpc_req *req, struct str payload)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	AUTO_FREE char *cert = NULL;
	struct err e = { 0 };
	dcos_JoinRequest in = { 0 };
	if (!req)
		return;
	int rc = pb_read(&a, dcos_JoinRequest_fields, payload, &in, &e);
	if (rc == 0)
		rc = sign_join(n, &in, &cert, &e);
	if (rc != 0) {
		LOG(WARN, "join refused", "node=%s reason=%s", in.node ? in.node : "", e.text);
		rpc_fail(req, &e);
		return;
	}
	dcos_JoinReply reply = { .cert_pem = cert, .ca_pem = n->identity.ca_pem };
	rc = pb_write(dcos_JoinReply_fields, &reply, &out, &e);
	if (rc != 0) {
		rpc_fail(req, &e);
		return;
	}
	LOG(INFO, "node joined", "node=%s ip=%s", in.node, in.ip ? in.ip : "");
	rpc_reply(req, buf_view(&out));
	(void)p;
}

/* ---- the others ---- */

struct join {
	struct node *node;
	void (*done)(struct node *n);
	struct loop_timer retry;
	int64_t retry_us;       /* the next wait; doubles */
	struct rpc_peer *peer;
	struct rpc_call call;
	struct tls_ctx *tls;
	int lock_fd;
	size_t next_master;
	char *key_pem;          /* made once; kept over retries */
	char *token;
	bool complained;        /* a failure is logged once, not at each retry */
};

static void join_try(struct join *j);

static void join_on_retry(struct loop_timer *t) { join_try(container_of(t, struct join, retry)); }

static void join_later(struct join *j, const struct err *e)
{
	if (e && !j->complained) {
		LOG(WARN, "cannot join the cluster yet", "reason=%s", e->text);
		j->complained = true;
	}
	rpc_call_cancel(&j->call);
	rpc_peer_close(MOVE(j->peer));
	tls_ctx_free(MOVE(j->tls));
	loop_timer_start(j->node->loop, &j->retry, j->retry_us, join_on_retry);
	j->retry_us = MIN(j->retry_us * 2, JOIN_RETRY_MAX_US);
}

static void join_end(struct join *j)
{
	struct node *n = j->node;
	void (*done)(struct node *) = j->done;
	struct err e = { 0 };
	if (load(n, &e) != 0) {
		join_later(j, &e);
		return;
	}
	rpc_peer_close(j->peer);
	tls_ctx_free(j->tls);
	if (j->lock_fd >= 0)
		(void)close(j->lock_fd);
	free(j->key_pem);
	free(j->token);
	free(j);
	set_name(n, "node/");
	done(n);
}

static void join_on_reply(struct rpc_call *c, struct str payload, const struct err *failure)
{
	struct join *j = container_of(c, struct join, call);
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct err e = *failure;
	dcos_JoinReply reply = { 0 };
	int rc = e.code;
	if (rc == 0)
		rc = pb_read(&a, dcos_JoinReply_fields, payload, &reply, &e);
	if (rc == 0 && (!reply.cert_pem || !reply.ca_pem))
		rc = err_set(&e, E_MALFORMED, "the master's answer holds no certificate");
	if (rc == 0)
		rc = write_one(j->node, "key.pem", j->key_pem, 0600, &e);
	if (rc == 0)
		rc = write_one(j->node, "ca.pem", reply.ca_pem, 0644, &e);
	if (rc == 0)
		rc = write_one(j->node, "cert.pem", reply.cert_pem, 0644, &e);
	if (rc != 0)
		join_later(j, &e);
	else
		join_end(j);
}

static int join_request(struct join *j, struct buf *out, struct err *e)
{
	AUTO_FREE char *csr = NULL;
	int rc = j->key_pem ? 0 : pki_key_new(&j->key_pem, e);
	if (rc == 0)
		rc = pki_csr_new(j->key_pem, j->node->name, &csr, e);
	if (rc != 0)
		return rc;
	dcos_JoinRequest in = { .token = j->token, .csr_pem = csr, .node = j->node->name, .ip = j->node->ip };
	return pb_write(dcos_JoinRequest_fields, &in, out, e);
}

static void join_on_open(struct rpc_peer *p)
{
	struct join *j = rpc_peer_arg(p);
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	if (join_request(j, &out, &e) != 0)
		join_later(j, &e);
	else
		rpc_call_start(p, &j->call, dcos_Method_JOIN, buf_view(&out), JOIN_TIMEOUT_US, join_on_reply);
}

static void join_on_close(struct rpc_peer *p, const struct err *e)
{
	struct join *j = rpc_peer_arg(p);
	j->peer = NULL;
	join_later(j, e);
}

static const struct rpc_handlers join_handlers = { .opened = join_on_open, .closed = join_on_close };

static int pin_of_token(const char *token, uint8_t pin[32], struct err *e)
{
	struct str rest = str_of(token);
	char hex[65];
	if (!str_starts(rest, STR(TOKEN_PREFIX)))
		return err_set(e, E_MALFORMED, "the join token does not begin with '" TOKEN_PREFIX "'");
	rest = str_from(rest, strlen(TOKEN_PREFIX));
	if (!str_put(hex, sizeof(hex), str_cut(&rest, '.')) || !hex_decode(hex, pin, 32))
		return err_set(e, E_MALFORMED, "the join token is damaged");
	return 0;
}

static int join_connect(struct join *j, struct err *e)
{
	struct node_config *c = j->node->config;
	uint8_t pin[32];
	struct sock_addr to;
	if (node_master_count(j->node) == 0 || !c->join_token_file)
		return err_set(e, E_USAGE, "a new node needs --masters and --join-token-file");
	free(j->token);
	j->token = NULL;
	int rc = file_read(c->join_token_file, &j->token, e);
	if (rc != 0)
		return rc;
	j->token[strcspn(j->token, "\r\n")] = '\0';
	rc = pin_of_token(j->token, pin, e);
	if (rc != 0)
		return rc;
	rc = node_master_addr(j->node, j->next_master++, &to, e);
	if (rc != 0)
		return rc;
	struct tls_config tc = { .tls13_only = true, .verify = TLS_VERIFY_REQUIRED, .pin_ca_sha256 = pin };
	rc = tls_ctx_new(&tc, &j->tls, e);
	if (rc != 0)
		return rc;
	j->peer = rpc_connect(j->node->loop, &to, j->tls, &join_handlers, j);
	return 0;
}

/* The lock makes one process of the node join; the others wait for its files. */
static bool join_lock(struct join *j)
{
	if (j->lock_fd < 0) {
		AUTO_FREE char *path = identity_path(j->node, "lock");
		j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	}
	return j->lock_fd >= 0 && flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0;
}

static void join_try(struct join *j)
{
	struct err e = { 0 };
	if (have_one(j->node, "cert.pem")) {
		join_end(j);
		return;
	}
	if (!join_lock(j)) {
		join_later(j, NULL);
		return;
	}
	if (join_connect(j, &e) != 0)
		join_later(j, &e);
}

void identity_start(struct node *n, void (*done)(struct node *n))
{
	struct join *j = xcalloc(1, sizeof(*j));
	struct err e = { 0 };
	*j = (struct join){ .node = n, .done = done, .lock_fd = -1, .retry_us = JOIN_RETRY_MIN_US };
	if (make_dir(n, &e) != 0)
		LOG(ERROR, "cannot keep an identity", "reason=%s", e.text);
	loop_timer_start(n->loop, &j->retry, 0, join_on_retry);
}
