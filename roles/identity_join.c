/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting a certificate, once a node:
 *
 *   WAIT_FILES --token read, lock taken--> CONNECT --> CALL --certificate--> done
 *        ^                                    ^          |  `--of a master--> CONNECT with it --> SECRETS --> done
 *        |                                    `----------'--"only that one can answer"
 *        `------------- retry timer <-------------------- any failure
 *
 * The key is written before it is shown to anybody: a master's token is good for one key, and a master that is killed on the way
 * comes again with the same one.
 */
#include "roles/identity_int.h"

#include <fcntl.h>
#include <sys/file.h>

#include "net/base/log.h"
#include "net/pb_util.h"
#include "net/rpc.h"
#include "proto/cluster.pb.h"
#include "roles/join_token.h"

#define JOIN_RETRY_MIN_US (5 * MSEC)       /* a cluster that starts together is ready within moments */
#define JOIN_RETRY_MAX_US SEC
#define JOIN_TIMEOUT_US (5 * SEC)

struct join {
	struct node *node;
	void (*done)(struct node *n);
	enum join_kind kind;
	struct loop_timer retry;
	int64_t retry_us;       /* the next wait; doubles */
	struct rpc_peer *peer;
	struct rpc_call call;
	struct tls_ctx *tls;
	int lock_fd;
	size_t next_master;
	struct sock_addr target;
	bool redirected;        /* target came from a master's answer */
	char *key_pem;          /* made once; kept over retries */
	char *cert_pem, *ca_pem;    /* signed; not yet written */
	struct join_token token;
	char complaint[256];    /* a failure is logged once, not at each retry */
};

static void join_try(struct join *j);

static void join_on_retry(struct loop_timer *t) { join_try(container_of(t, struct join, retry)); }

static void drop_connection(struct join *j)
{
	rpc_call_cancel(&j->call);
	rpc_peer_close(MOVE(j->peer));
	tls_ctx_free(MOVE(j->tls));
}

static void join_later(struct join *j, const struct err *e)
{
	if (e && strncmp(j->complaint, e->text, sizeof(j->complaint) - 1) != 0) {
		LOG(WARN, "cannot join the cluster yet", "reason=%s", e->text);
		(void)str_put(j->complaint, sizeof(j->complaint), str_of(e->text));
	}
	drop_connection(j);
	j->redirected = false;
	loop_timer_start(j->node->loop, &j->retry, j->retry_us, join_on_retry);
	j->retry_us = MIN(j->retry_us * 2, JOIN_RETRY_MAX_US);
}

static void join_end(struct join *j)
{
	struct node *n = j->node;
	void (*done)(struct node *) = j->done;
	struct err e = { 0 };
	if (identity_load(n, j->kind == JOIN_MASTER ? "master/" : "node/", &e) != 0) {
		join_later(j, &e);
		return;
	}
	drop_connection(j);
	if (j->lock_fd >= 0)
		(void)close(j->lock_fd);
	free(j->key_pem);
	free(j->cert_pem);
	free(j->ca_pem);
	free(j);
	done(n);
}

static int write_certificate(struct join *j, struct err *e)
{
	int rc = identity_write(j->node, "ca.pem", j->ca_pem, 0644, e);
	return rc == 0 ? identity_write(j->node, "cert.pem", j->cert_pem, 0644, e) : rc;
}

/* ---- a master's second step ---- */

static void on_secrets(struct rpc_call *c, struct str payload, const struct err *failure)
{
	struct join *j = container_of(c, struct join, call);
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct err e = *failure;
	dcos_MasterSecrets m = { 0 };
	int rc = e.code;
	if (rc == 0)
		rc = pb_read(&a, dcos_MasterSecrets_fields, payload, &m, &e);
	if (rc == 0 && (!m.ca_key_pem || !m.ca_key_pem[0] || !m.token || !m.token[0]))
		rc = err_set(&e, E_MALFORMED, "the master's answer does not hold the CA's key and the token of nodes");
	if (rc == 0)
		rc = identity_write(j->node, "ca.key", m.ca_key_pem, 0600, &e);
	if (rc == 0)
		rc = identity_write(j->node, "token", m.token, 0600, &e);
	if (rc == 0)
		rc = write_certificate(j, &e);
	if (rc != 0)
		join_later(j, &e);
	else
		join_end(j);
}

static void join_on_close(struct rpc_peer *p, const struct err *e)
{
	struct join *j = rpc_peer_arg(p);
	j->peer = NULL;
	join_later(j, e);
}

static void secrets_on_open(struct rpc_peer *p)
{
	struct join *j = rpc_peer_arg(p);
	rpc_call_start(p, &j->call, dcos_Method_MASTER_SECRETS, STR(""), JOIN_TIMEOUT_US, on_secrets);
}

static const struct rpc_handlers secrets_handlers = { .opened = secrets_on_open, .closed = join_on_close };

/* To the master that signed, now with the certificate. */
static int ask_secrets(struct join *j, struct err *e)
{
	struct tls_config c = {
		.tls13_only = true, .verify = TLS_VERIFY_REQUIRED, .ca_pem = j->ca_pem, .cert_pem = j->cert_pem, .key_pem = j->key_pem,
	};
	drop_connection(j);
	int rc = tls_ctx_new(&c, &j->tls, e);
	if (rc == 0)
		j->peer = rpc_connect(j->node->loop, &j->target, j->tls, &secrets_handlers, j);
	return rc;
}

/* ---- the first step ---- */

static int join_connect(struct join *j, struct err *e);

static int redirect(struct join *j, const dcos_MasterAddress *to, struct err *e)
{
	struct sock_addr target;
	if (!to->ip || j->redirected || to->rpc_port > UINT16_MAX)
		return err_set(e, E_NOTLEADER, "the masters have no leader at this moment");
	int rc = sock_addr_parse(&target, to->ip, (uint16_t)to->rpc_port, e);
	if (rc != 0)
		return rc;
	drop_connection(j);
	j->target = target;
	j->redirected = true;
	return join_connect(j, e);
}

static int take_reply(struct join *j, struct str payload, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_JoinReply reply = { 0 };
	int rc = pb_read(&a, dcos_JoinReply_fields, payload, &reply, e);
	if (rc != 0)
		return rc;
	if (reply.leader)
		return redirect(j, reply.leader, e);
	if (!reply.cert_pem || !reply.ca_pem)
		return err_set(e, E_MALFORMED, "the master's answer holds no certificate");
	free(j->cert_pem);
	free(j->ca_pem);
	j->cert_pem = xstrdup(reply.cert_pem);
	j->ca_pem = xstrdup(reply.ca_pem);
	if (j->kind == JOIN_MASTER)
		return ask_secrets(j, e);
	rc = write_certificate(j, e);
	if (rc == 0)
		join_end(j);
	return rc;
}

static void join_on_reply(struct rpc_call *c, struct str payload, const struct err *failure)
{
	struct join *j = container_of(c, struct join, call);
	struct err e = *failure;
	if (e.code != 0 || take_reply(j, payload, &e) != 0)
		join_later(j, &e);
}

/* The key, as it was written at the first try. */
static int own_key(struct join *j, struct err *e)
{
	if (j->key_pem)
		return 0;
	if (identity_have(j->node, "key.pem"))
		return identity_read(j->node, "key.pem", &j->key_pem, e);
	AUTO_FREE char *key = NULL;
	int rc = pki_key_new(&key, e);
	if (rc == 0)
		rc = identity_write(j->node, "key.pem", key, 0600, e);
	if (rc == 0)
		j->key_pem = MOVE(key);
	return rc;
}

static int join_request(struct join *j, struct buf *out, struct err *e)
{
	AUTO_FREE char *csr = NULL;
	int rc = own_key(j, e);
	if (rc == 0)
		rc = pki_csr_new(j->key_pem, j->node->name, &csr, e);
	if (rc != 0)
		return rc;
	dcos_JoinRequest in = {
		.token = j->token.text, .csr_pem = csr, .node = j->node->name, .ip = j->node->ip,
		.has_master = true, .master = j->kind == JOIN_MASTER,
	};
	return pb_write(dcos_JoinRequest_fields, &in, out, e);
}

/* The token's digest only says that the CA is right; a node's certificate is the CA's too. */
static void join_on_open(struct rpc_peer *p)
{
	struct join *j = rpc_peer_arg(p);
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = { 0 };
	char name[128];
	if (!rpc_peer_name(p, name, sizeof(name)) || !cstr_starts(name, "master/"))
		(void)err_set(&e, E_DENIED, "the peer's certificate is not a master's");
	else
		(void)join_request(j, &out, &e);
	if (e.code != 0)
		join_later(j, &e);
	else
		rpc_call_start(p, &j->call, dcos_Method_JOIN, buf_view(&out), JOIN_TIMEOUT_US, join_on_reply);
}

static const struct rpc_handlers join_handlers = { .opened = join_on_open, .closed = join_on_close };

static int read_token(struct join *j, struct err *e)
{
	struct node_config *c = j->node->config;
	AUTO_FREE char *text = NULL;
	if (node_master_count(j->node) == 0 || !c->join_token_file)
		return err_set(e, E_USAGE, "a new node needs --masters and --join-token-file");
	int rc = identity_file_read(c->join_token_file, &text, e);
	if (rc == 0)
		rc = join_token_read(str_of(text), j->kind, &j->token, e);
	return rc == 0 ? 0 : err_wrap(e, "join token file '%s'", c->join_token_file);
}

static int join_connect(struct join *j, struct err *e)
{
	int rc = read_token(j, e);
	if (rc == 0 && !j->redirected)
		rc = node_master_addr(j->node, j->next_master++, &j->target, e);
	if (rc != 0)
		return rc;
	struct tls_config tc = { .tls13_only = true, .verify = TLS_VERIFY_REQUIRED, .pin_ca_sha256 = j->token.ca_sha256 };
	rc = tls_ctx_new(&tc, &j->tls, e);
	if (rc == 0)
		j->peer = rpc_connect(j->node->loop, &j->target, j->tls, &join_handlers, j);
	return rc;
}

/* The lock makes one process of the node join; the others wait for its files. */
static bool join_lock(struct join *j)
{
	if (j->lock_fd < 0) {
		AUTO_FREE char *path = node_path(j->node, "identity/lock");
		j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	}
	return j->lock_fd >= 0 && flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0;
}

static void join_try(struct join *j)
{
	struct err e = { 0 };
	if (identity_exists(j->node)) {
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

static void join_start(struct node *n, enum join_kind kind, void (*done)(struct node *n))
{
	struct join *j = xcalloc(1, sizeof(*j));
	struct err e = { 0 };
	*j = (struct join){ .node = n, .kind = kind, .done = done, .lock_fd = -1, .retry_us = JOIN_RETRY_MIN_US };
	if (identity_make_dir(n, &e) != 0)
		LOG(ERROR, "cannot keep an identity", "reason=%s", e.text);
	loop_timer_start(n->loop, &j->retry, 0, join_on_retry);
}

void identity_start(struct node *n, void (*done)(struct node *n)) { join_start(n, JOIN_NODE, done); }
void identity_start_master(struct node *n, void (*done)(struct node *n)) { join_start(n, JOIN_MASTER, done); }
