/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process of a node: loop, common flags, metrics, identity, view. Every long-running role starts with node_start and ends
 * in node_run. No globals: a test may hold several.
 */
#pragma once

#include "net/base/flag.h"
#include "net/base/metrics.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/rpc.h"
#include "net/tls.h"
#include "store/view.h"

#define RPC_PORT_MASTER 5060

/* Flags that every role takes; embedded as the first member `common` of each role's config. */
struct node_config {
	char *config;              /* file */
	char *state_dir;           /* of this node, /var/lib/dcos */
	char *ip;                  /* own address; detected when NULL */
	char *hostname;            /* NULL: the ip, as DC/OS sets it */
	char *node;                /* name of the node in the cluster; NULL: host name */
	char *cluster;             /* cluster name shown to people */
	char *masters;             /* FLAG_LIST: "ip[:rpc port]" of masters, one a line (agents, dns, lb, log) */
	char *join_token_file;     /* first start: token that the first master printed */
	char *cgroup;              /* our part of every cgroup hierarchy, e.g. "/dcos/<cluster>/<node>"; NULL: "/dcos" */
	char *log_level;
};
extern const struct flag node_flags[];

struct view_follower;

struct identity {
	char *cert_pem, *key_pem, *ca_pem;
	struct tls_ctx *server;      /* RPC: TLS 1.3, client certificate optional (rpc.c refuses methods without one) */
	struct tls_ctx *client;      /* RPC: TLS 1.3, own certificate, CA required */
	char name[128];              /* common name: "node/<name>", "master/<name>" */
	char fingerprint[RPC_FINGERPRINT];   /* SHA-256 of the own public key, hex */
};

struct node {
	const char *role;            /* "agent" */
	struct node_config *config;  /* borrowed: the role's config starts with it */
	struct loop *loop;
	struct metrics metrics;
	struct identity identity;
	struct view *view;
	struct view_follower *follower;  /* roles/leader.c; NULL: none */
	uint32_t ip4;                /* own address, host byte order */
	char ip[64];
	char hostname[256];
	char name[128];
	int64_t started_unix_us;
};

/*
 * Parse flags (common + the role's own), --help, --version; set up logging and the loop.
 * tables  NULL-terminated, common flags included by the caller: { node_flags, agent_flags, NULL }
 * Returns true to go on; false: *exit_code says how to end. Config strings live until node_fini.
 */
bool node_init(struct node *n, const char *role, const struct flag *const *tables, void *config, int argc, char **argv,
	       const char *help_intro, int *exit_code);
/*
 * For commands, which have words beside their flags and are soon done: nothing is made or looked up; argv is permuted, its words
 * stand from *argi on.
 */
bool node_command_init(struct node *n, const char *role, const struct flag *const *tables, void *config, int argc, char **argv,
		       const char *words, const char *help_intro, int *argi, int *exit_code);
/* Find name and address of this machine, as node_init does. */
int node_find_names(struct node *n, struct err *e);
/* Open <state_dir>/view. */
int node_open_view(struct node *n, struct err *e);
/* SIGTERM and SIGINT stop the loop. Returns the exit code. */
int node_run(struct node *n);
void node_fini(struct node *n);
/* Tell the parent (supervisor) that this role serves: writes "ready\n" to the descriptor in DCOS_READY_FD, once. */
void node_ready(struct node *n);
/* As node_ready; the note is shown by `status` beside the process: "vips by eBPF". One line. */
void node_ready_note(struct node *n, const char *note);
/* mkdir -p with mode; E_IO. */
int node_mkdirs(const char *path, int mode, struct err *e);
/* Path below the state dir, heap. */
char *node_path(const struct node *n, const char *fmt, ...) PRINTF(2, 3);
/* How many --masters there are, and the RPC address of one (index modulo the count). */
size_t node_master_count(const struct node *n);
int node_master_addr(const struct node *n, size_t index, struct sock_addr *out, struct err *e);
/* Print "dcos-node ROLE: sentence" on stderr; returns err_exit(e->code). */
int node_die(const char *role, const struct err *e);

/* ---- identity (roles/identity.c; identity_join.c) ---- */
struct join_token;
typedef struct _dcos_JoinRequest dcos_JoinRequest;

bool identity_exists(struct node *n);              /* there is a certificate */
/* A master: load what is there, or make the cluster's CA and the own certificate. */
int identity_master(struct node *n, struct err *e);
void identity_fini(struct identity *id);
/* The identity of a new master of a cluster whose authority and token of nodes are given; loaded. */
int identity_adopt(struct node *n, const char *ca_pem, const char *ca_key_pem, const char *token, struct err *e);
/* The cluster is founded here and its replicated state not made yet; founded: it is made now. */
bool identity_founds(struct node *n);
void identity_founded(struct node *n);
/* Token of nodes, "dcos1.<sha256 of CA>.<secret>"; heap. */
int identity_token(struct node *n, char **out, struct err *e);
/* A new token that makes a master; the cluster must be told before it is worth something. */
int identity_new_master_token(struct node *n, struct join_token *out, struct err *e);
/* The one in identity/master-token. E_NOTFOUND: this master offers none. */
int identity_offered_token(struct node *n, struct join_token *out, struct err *e);
int identity_offer_token(struct node *n, const struct join_token *t, struct err *e);
/* Names become part of certificates, paths and log lines: 1 to 63 letters, digits, '-', '_', '.'. NULL: false. */
bool identity_name_ok(const char *name);

/*
 * Answers to JOIN. sign: "<prefix><in->node>" for the address the connection comes from. What the joining side states about its
 * address goes nowhere: behind address translation, or on loopback, the certificate names the address we see, and nothing
 * depends on it (peers are told by key and common name).
 */
int identity_sign(struct node *n, struct rpc_peer *p, const char *prefix, const dcos_JoinRequest *in, char **out_cert, struct err *e);
void identity_serve_join(struct node *n, struct rpc_peer *p, struct rpc_req *req, const dcos_JoinRequest *in);     /* nodes */
void identity_refuse_join(struct rpc_req *req, struct rpc_peer *p, const dcos_JoinRequest *in, const struct err *e);   /* closes p */
void identity_accept_join(struct node *n, struct rpc_req *req, struct rpc_peer *p, const dcos_JoinRequest *in, const char *cert_pem);
/* The CA's key and the token of nodes, to a master that was let in. */
void identity_serve_secrets(struct node *n, struct rpc_req *req);

/*
 * Nodes: load <state_dir>/identity, or join through one of the masters with the token, retrying until it works; done runs on the
 * loop. Several processes of a node agree by a lock file.
 */
void identity_start(struct node *n, void (*done)(struct node *n));
/* As identity_start for a further master, with a master's token. */
void identity_start_master(struct node *n, void (*done)(struct node *n));
