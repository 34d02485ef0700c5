/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's key and certificate, in <state dir>/identity:
 *   key.pem cert.pem ca.pem          every node; cert.pem is written last, so where it is, the rest is too
 *   ca.key token                     masters: the key of the cluster's certificate authority, the token of nodes
 *   master-token                     the founder: a token that makes one more master, replaced when it was used
 *   founder                          from the making of the CA until the replicated state exists: a master whose state is empty
 *                                    founds a cluster only with this file, and otherwise waits to be taken into one
 * Common names are "master/<node>" and "node/<node>": a dialled peer must be a master, a dialling one any node.
 *
 * Who may do what. Whoever shows the token of nodes gets a certificate "node/…", which lets it register as an agent and read the
 * view; it is shown as often as there are nodes, and lies on all of them. A master can sign certificates and change everything,
 * so it takes a token of its own kind: known to the replicated state only by a digest, good for one key, until it expires. The
 * CA's key goes to a new master after that, over mutual TLS, to the key that the token was spent on, and lies there readable
 * for root alone: any master can then let nodes in when others are dead. A master that was removed keeps what it has read;
 * its certificate no longer opens the quorum (quorum.c asks the address book), but only a new CA would take the rest from it.
 */
#include "roles/identity_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/log.h"
#include "net/pb_util.h"
#include "net/rpc.h"
#include "proto/cluster.pb.h"
#include "roles/join_token.h"

#define PEM_BYTES_MAX (64 * 1024)
#define CERT_DAYS 3650

int identity_file_read(const char *path, char **out, struct err *e)
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

int identity_read(struct node *n, const char *name, char **out, struct err *e)
{
	AUTO_FREE char *path = identity_path(n, name);
	return identity_file_read(path, out, e);
}

int identity_write(struct node *n, const char *name, const char *text, int mode, struct err *e)
{
	AUTO_FREE char *path = identity_path(n, name);
	return file_write(path, text, mode, e);
}

bool identity_have(struct node *n, const char *name)
{
	AUTO_FREE char *path = identity_path(n, name);
	return access(path, F_OK) == 0;
}

int identity_make_dir(struct node *n, struct err *e)
{
	AUTO_FREE char *dir = node_path(n, "identity");
	return node_mkdirs(dir, 0700, e);
}

/* Build the TLS contexts of what is on disk. */
int identity_load(struct node *n, const char *prefix, struct err *e)
{
	struct identity *id = &n->identity;
	uint8_t digest[32];
	AUTO_FREE char *name = xasprintf("%s%s", prefix, n->name);
	(void)str_put(id->name, sizeof(id->name), str_of(name));
	int rc = identity_read(n, "key.pem", &id->key_pem, e);
	if (rc == 0)
		rc = identity_read(n, "cert.pem", &id->cert_pem, e);
	if (rc == 0)
		rc = identity_read(n, "ca.pem", &id->ca_pem, e);
	if (rc == 0)
		rc = pki_cert_key_sha256(id->cert_pem, digest, e);
	if (rc != 0)
		return rc;
	hex_encode(digest, sizeof(digest), id->fingerprint);
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

void identity_fini(struct identity *id)
{
	tls_ctx_free(id->server);
	tls_ctx_free(id->client);
	free(id->cert_pem);
	free(id->key_pem);
	free(id->ca_pem);
	*id = (struct identity){ .server = NULL };
}

/* ---- masters ---- */

static int make_token(struct node *n, const char *ca_pem, struct err *e)
{
	uint8_t digest[32];
	struct join_token t;
	int rc = pki_cert_sha256(ca_pem, digest, e);
	if (rc != 0)
		return rc;
	join_token_make(JOIN_NODE, digest, &t);
	AUTO_FREE char *line = xasprintf("%s\n", t.text);
	return identity_write(n, "token", line, 0600, e);
}

/* This node's key, and a certificate of the authority for it. */
static int make_own(struct node *n, const char *ca_pem, const char *ca_key, struct err *e)
{
	AUTO_FREE char *key = NULL;
	AUTO_FREE char *csr = NULL;
	AUTO_FREE char *cert = NULL;
	AUTO_FREE char *name = xasprintf("master/%s", n->name);
	int rc = pki_key_new(&key, e);
	if (rc == 0)
		rc = pki_csr_new(key, name, &csr, e);
	if (rc == 0)
		rc = pki_sign(ca_pem, ca_key, csr, name, n->ip, CERT_DAYS, &cert, e);
	if (rc == 0)
		rc = identity_write(n, "key.pem", key, 0600, e);
	return rc == 0 ? identity_write(n, "cert.pem", cert, 0644, e) : rc;
}

static int make_authority(struct node *n, struct err *e)
{
	AUTO_FREE char *ca_pem = NULL;
	AUTO_FREE char *ca_key = NULL;
	AUTO_FREE char *ca_name = xasprintf("dcos-node cluster %s", n->config->cluster);
	int rc = pki_ca_new(ca_name, &ca_pem, &ca_key, e);
	if (rc == 0)
		rc = identity_write(n, "founder", "founds a cluster\n", 0600, e);
	if (rc == 0)
		rc = identity_write(n, "ca.key", ca_key, 0600, e);
	if (rc == 0)
		rc = identity_write(n, "ca.pem", ca_pem, 0644, e);
	if (rc == 0)
		rc = make_token(n, ca_pem, e);
	return rc == 0 ? make_own(n, ca_pem, ca_key, e) : rc;
}

int identity_adopt(struct node *n, const char *ca_pem, const char *ca_key_pem, const char *token, struct err *e)
{
	AUTO_FREE char *line = xasprintf("%s\n", token);
	int rc = identity_make_dir(n, e);
	if (rc == 0)
		rc = identity_write(n, "ca.key", ca_key_pem, 0600, e);
	if (rc == 0)
		rc = identity_write(n, "ca.pem", ca_pem, 0644, e);
	if (rc == 0)
		rc = identity_write(n, "token", line, 0600, e);
	if (rc == 0)
		rc = make_own(n, ca_pem, ca_key_pem, e);
	return rc == 0 ? identity_load(n, "master/", e) : rc;
}

bool identity_exists(struct node *n) { return identity_have(n, "cert.pem"); }

int identity_master(struct node *n, struct err *e)
{
	int rc = identity_make_dir(n, e);
	if (rc == 0 && !identity_exists(n))
		rc = make_authority(n, e);
	return rc == 0 ? identity_load(n, "master/", e) : rc;
}

bool identity_founds(struct node *n) { return identity_have(n, "founder"); }

void identity_founded(struct node *n)
{
	AUTO_FREE char *path = identity_path(n, "founder");
	(void)unlink(path);
}

int identity_token(struct node *n, char **out, struct err *e)
{
	char *text = NULL;
	int rc = identity_read(n, "token", &text, e);
	if (rc != 0)
		return rc;
	text[strcspn(text, "\r\n")] = '\0';
	*out = text;
	return 0;
}

int identity_new_master_token(struct node *n, struct join_token *out, struct err *e)
{
	uint8_t digest[32];
	int rc = pki_cert_sha256(n->identity.ca_pem, digest, e);
	if (rc == 0)
		join_token_make(JOIN_MASTER, digest, out);
	return rc;
}

int identity_offered_token(struct node *n, struct join_token *out, struct err *e)
{
	AUTO_FREE char *text = NULL;
	int rc = identity_read(n, "master-token", &text, e);
	return rc == 0 ? join_token_read(str_of(text), JOIN_MASTER, out, e) : rc;
}

int identity_offer_token(struct node *n, const struct join_token *t, struct err *e)
{
	AUTO_FREE char *line = xasprintf("%s\n", t->text);
	return identity_write(n, "master-token", line, 0600, e);
}

/* ---- signing ---- */

bool identity_name_ok(const char *name)
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

int identity_sign(struct node *n, struct rpc_peer *p, const char *prefix, const dcos_JoinRequest *in, char **out_cert, struct err *e)
{
	AUTO_FREE char *ca_key = NULL;
	struct sock_addr from;
	char ip[SOCK_ADDR_TEXT] = "";
	if (!in->csr_pem)
		return err_set(e, E_MALFORMED, "the request to join holds no certificate request");
	if (!identity_name_ok(in->node))
		return err_set(e, E_INVALID, "a node's name is 1 to 63 letters, digits, '-', '_' or '.'");
	int rc = identity_read(n, "ca.key", &ca_key, e);
	if (rc != 0)
		return rc;
	rpc_peer_addr(p, &from);
	if (from.sa.sa_family == AF_INET || from.sa.sa_family == AF_INET6)
		sock_addr_host(&from, ip);
	if (in->ip && strcmp(in->ip, ip) != 0)
		LOG(INFO, "a joining node states another address than it has", "node=%s states=%s signed=%s", in->node,
		    identity_name_ok(in->ip) ? in->ip : "?", ip);
	AUTO_FREE char *name = xasprintf("%s%s", prefix, in->node);
	return pki_sign(n->identity.ca_pem, ca_key, in->csr_pem, name, ip[0] ? ip : NULL, CERT_DAYS, out_cert, e);
}

static int sign_node(struct node *n, struct rpc_peer *p, const dcos_JoinRequest *in, char **out_cert, struct err *e)
{
	AUTO_FREE char *token = NULL;
	int rc = identity_token(n, &token, e);
	if (rc != 0)
		return rc;
	if (!in->token || !secret_eq(in->token, token))
		return err_set(e, E_DENIED, "the join token is not this cluster's");
	return identity_sign(n, p, "node/", in, out_cert, e);
}

void identity_serve_join(struct node *n, struct rpc_peer *p, struct rpc_req *req, const dcos_JoinRequest *in)
{
	AUTO_FREE char *cert = NULL;
	struct err e = { 0 };
	if (sign_node(n, p, in, &cert, &e) != 0)
		identity_refuse_join(req, p, in, &e);
	else
		identity_accept_join(n, req, p, in, cert);
}

void identity_refuse_join(struct rpc_req *req, struct rpc_peer *p, const dcos_JoinRequest *in, const struct err *e)
{
	struct sock_addr from;
	char where[SOCK_ADDR_TEXT];
	rpc_peer_addr(p, &from);
	sock_addr_text(&from, where);
	LOG(WARN, "join refused", "node=%s from=%s reason=%s", identity_name_ok(in->node) ? in->node : "?", where, e->text);
	rpc_fail(req, e);
	rpc_peer_close(p);
}

void identity_accept_join(struct node *n, struct rpc_req *req, struct rpc_peer *p, const dcos_JoinRequest *in, const char *cert_pem)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	struct sock_addr from;
	char where[SOCK_ADDR_TEXT];
	dcos_JoinReply reply = { .cert_pem = (char *)cert_pem, .ca_pem = n->identity.ca_pem };
	if (pb_write(dcos_JoinReply_fields, &reply, &out, &e) != 0) {
		rpc_fail(req, &e);
		return;
	}
	rpc_peer_addr(p, &from);
	sock_addr_text(&from, where);
	LOG(INFO, in->master ? "master admitted" : "node joined", "node=%s from=%s", in->node, where);
	rpc_reply(req, buf_view(&out));
}

void identity_serve_secrets(struct node *n, struct rpc_req *req)
{
	AUTO_BUF struct buf out = BUF_INIT;
	AUTO_FREE char *ca_key = NULL;
	AUTO_FREE char *token = NULL;
	struct err e = { 0 };
	int rc = identity_read(n, "ca.key", &ca_key, &e);
	if (rc == 0)
		rc = identity_token(n, &token, &e);
	dcos_MasterSecrets m = { .ca_key_pem = ca_key, .token = token };
	if (rc == 0)
		rc = pb_write(dcos_MasterSecrets_fields, &m, &out, &e);
	if (rc != 0)
		rpc_fail(req, &e);
	else
		rpc_reply(req, buf_view(&out));
}
