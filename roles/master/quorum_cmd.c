/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `dcos-node master VERB`: look at the masters and change them, from any master's machine, as root. Each verb is a row below. All
 * but recover talk to a running master over the cluster RPC with the identity in --state-dir; changes go to the leader, which
 * is found by asking.
 */
#include "roles/master/quorum_int.h"

#include <stdio.h>

#include "net/base/log.h"
#include "net/base/time.h"
#include "roles/known_masters.h"
#include "roles/master/marathon/marathon.h"
#include "roles/master/mesos/mesos.h"
#include "store/disk.h"

#define CONNECT_US (2 * SEC)
#define CALL_US (15 * SEC)
#define LEADER_US (8 * SEC)              /* an election fits several times */
#define PAUSE_US (100 * MSEC)
#define STATE_TABLES_MAX 32

struct cmd_config {
	struct node_config common;       /* first; state_dir is read */
	char *master;
	bool json, yes;
	int64_t expires_us;
};

struct session {
	struct cmd_config config;
	struct node node;
	struct loop *loop;
	/* The call under way. */
	struct rpc_peer *peer;
	struct rpc_call call;
	struct loop_timer timer;
	uint32_t method;
	struct str payload;
	struct buf reply;
	struct err err;
	bool ended;
};

#define AT(field) offsetof(struct cmd_config, field)
#define ROW_STATE  { "state-dir", FLAG_STRING, AT(common.state_dir), "/var/lib/dcos", 0, 0, "DCOS_STATE_DIR", "state directory of the master on this machine" }
#define ROW_MASTER { "master", FLAG_STRING, AT(master), NULL, 0, 0, NULL, "ask this one, IP[:RPC PORT] (default: those this machine's master knows)" }
#define ROW_YES    { "yes", FLAG_BOOL, AT(yes), "false", 0, 0, NULL, "do not ask" }

static const struct flag members_flags[] = {
	ROW_STATE, ROW_MASTER, { "json", FLAG_BOOL, AT(json), "false", 0, 0, NULL, "for machines" }, FLAG_END,
};
static const struct flag change_flags[] = { ROW_STATE, ROW_MASTER, ROW_YES, FLAG_END };
static const struct flag token_flags[] = {
	ROW_STATE, ROW_MASTER,
	{ "expires", FLAG_DURATION, AT(expires_us), "1days", MINUTE, 30 * DAY, NULL, "how long it may be used" }, FLAG_END,
};
static const struct flag recover_flags[] = { ROW_STATE, ROW_YES, FLAG_END };

/* ---- one call, waited for ---- */

static void call_end(struct session *s, const struct err *e)
{
	s->err = *e;
	s->ended = true;
	loop_timer_stop(&s->timer);
	loop_stop(s->loop);
}

static void on_reply(struct rpc_call *c, struct str reply, const struct err *e)
{
	struct session *s = container_of(c, struct session, call);
	buf_reset(&s->reply);
	(void)buf_str(&s->reply, reply);
	call_end(s, e);
}

static void on_open(struct rpc_peer *p)
{
	struct session *s = rpc_peer_arg(p);
	char name[128];
	struct err e = { 0 };
	loop_timer_stop(&s->timer);
	if (rpc_peer_name(p, name, sizeof(name)) && cstr_starts(name, "master/")) {
		rpc_call_start(p, &s->call, s->method, s->payload, CALL_US, on_reply);
		return;
	}
	(void)err_set(&e, E_DENIED, "what answers there is no master");
	call_end(s, &e);
}

static void on_closed(struct rpc_peer *p, const struct err *e)
{
	struct session *s = rpc_peer_arg(p);
	s->peer = NULL;
	if (!s->ended)
		call_end(s, e);
}

static void on_late(struct loop_timer *t)
{
	struct err e = { 0 };
	(void)err_set(&e, E_TIMEOUT, "no answer in time");
	call_end(container_of(t, struct session, timer), &e);
}

static int call_at(struct session *s, const struct sock_addr *to, uint32_t method, struct str payload, struct err *e)
{
	static const struct rpc_handlers handlers = { .opened = on_open, .closed = on_closed };
	char where[SOCK_ADDR_TEXT];
	s->method = method;
	s->payload = payload;
	s->ended = false;
	s->err.code = 0;
	s->peer = rpc_connect(s->loop, to, s->node.identity.client, &handlers, s);
	loop_timer_start(s->loop, &s->timer, CONNECT_US, on_late);
	loop_run(s->loop);
	rpc_peer_close(MOVE(s->peer));
	*e = s->err;
	if (e->code == 0)
		return 0;
	sock_addr_text(to, where);
	return err_wrap(e, "%s", where);
}

/* ---- which master ---- */

static size_t candidates(struct session *s, struct sock_addr out[KNOWN_MASTERS_MAX], struct err *e)
{
	if (s->config.master)
		return sock_addr_parse_hostport(&out[0], s->config.master, RPC_PORT_MASTER, e) == 0;
	size_t count = known_masters_file(&s->node, out);
	if (count == 0)
		count = sock_addr_parse(&out[0], "127.0.0.1", RPC_PORT_MASTER, e) == 0;
	return count;
}

/* From the first that answers. */
static int call_any(struct session *s, uint32_t method, struct str payload, struct sock_addr *out_at, struct err *e)
{
	struct sock_addr all[KNOWN_MASTERS_MAX];
	size_t count = candidates(s, all, e);
	int rc = count == 0 ? e->code : E_IO;
	for (size_t i = 0; i < count && rc != 0; i++) {
		*out_at = all[i];
		rc = call_at(s, &all[i], method, payload, e);
	}
	return rc;
}

static int find_leader(struct session *s, struct sock_addr *out, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_Leader l = { 0 };
	int rc = call_any(s, dcos_Method_WHO_LEADS, STR(""), out, e);
	if (rc == 0)
		rc = pb_read(&a, dcos_Leader_fields, buf_view(&s->reply), &l, e);
	if (rc != 0 || l.self)
		return rc;
	if (!l.ip || !l.ip[0] || l.rpc_port > UINT16_MAX)
		return err_set(e, E_NOTLEADER, "the masters have no leader at this moment");
	return sock_addr_parse(out, l.ip, (uint16_t)l.rpc_port, e);
}

/* At the leader, whoever that is by now. */
static int call_leader(struct session *s, uint32_t method, struct str payload, struct err *e)
{
	int64_t deadline = time_now_us() + LEADER_US;
	struct sock_addr at;
	for (;;) {
		int rc = find_leader(s, &at, e);
		if (rc == 0)
			rc = call_at(s, &at, method, payload, e);
		bool again = rc == E_NOTLEADER || rc == E_CLOSED || rc == E_BUSY;
		if (!again || time_now_us() > deadline)
			return rc;
		(void)usleep((useconds_t)PAUSE_US);
	}
}

static int call_name(struct session *s, uint32_t method, const char *name, struct err *e)
{
	AUTO_BUF struct buf b = BUF_INIT;
	dcos_MasterName in = { .name = (char *)name };
	int rc = pb_write(dcos_MasterName_fields, &in, &b, e);
	return rc == 0 ? call_leader(s, method, buf_view(&b), e) : rc;
}

static int read_members(struct session *s, struct arena *a, dcos_MasterMembers *out, struct err *e)
{
	struct sock_addr at;
	struct err first = { 0 };
	int rc = find_leader(s, &at, &first);
	rc = rc == 0 ? call_at(s, &at, dcos_Method_MASTER_MEMBERS, STR(""), &first) : rc;
	if (rc != 0)                        /* without a leader any of them tells what it knows */
		rc = call_any(s, dcos_Method_MASTER_MEMBERS, STR(""), &at, e);
	return rc == 0 ? pb_read(a, dcos_MasterMembers_fields, buf_view(&s->reply), out, e) : rc;
}

/* ---- asking the person ---- */

static int confirm(struct session *s, const char *question, struct err *e)
{
	char line[16] = "";
	if (s->config.yes)
		return 0;
	if (!isatty(STDIN_FILENO))
		return err_set(e, E_USAGE, "%s Say so with --yes", question);
	printf("%s [yes/no] ", question);
	(void)fflush(stdout);
	if (fgets(line, sizeof(line), stdin) && strcmp(line, "yes\n") == 0)
		return 0;
	return err_set(e, E_DENIED, "nothing was changed");
}

/* ---- verbs ---- */

static int cmd_members(struct session *s, int argc, char **argv, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf out = BUF_INIT;
	AUTO_BUF struct buf warnings = BUF_INIT;
	dcos_MasterMembers all = { 0 };
	(void)argc;
	(void)argv;
	int rc = read_members(s, &a, &all, e);
	if (rc != 0)
		return rc;
	if (s->config.json)
		text_members_json(&all, &out);
	else
		text_members(&all, &out);
	(void)fputs(buf_cstr(&out), stdout);
	text_warnings(&all, &warnings);
	for (struct str rest = buf_view(&warnings); rest.p && rest.len > 0 && !s->config.json;) {
		struct str line = str_cut(&rest, '\n');
		(void)fprintf(stderr, "warning: " STR_FMT "\n", STR_ARG(line));
	}
	return 0;
}

static const dcos_MasterMember *find_member(const dcos_MasterMembers *all, const char *name, const char *fingerprint)
{
	uint64_t id = 0;
	bool number = name && str_u64(str_of(name), &id);
	for (size_t i = 0; i < all->members_count; i++) {
		const dcos_MasterMember *m = &all->members[i];
		if (fingerprint ? cstr_eq(m->fingerprint, fingerprint) : cstr_eq(m->name, name) || (number && m->id == id))
			return m;
	}
	return NULL;
}

/* Out of the cluster, the lead handed on first where it has it. */
static int take_out(struct session *s, const dcos_MasterMember *m, struct err *e)
{
	AUTO_FREE char *what = m->name ? xstrdup(m->name) : xasprintf("%llu", (unsigned long long)m->id);
	if (m->leads) {
		printf("%s leads: handing the lead to another master first\n", what);
		int rc = call_leader(s, dcos_Method_MASTER_TRANSFER, STR(""), e);
		if (rc != 0)
			return err_wrap(e, "hand over the lead");
	}
	int rc = call_name(s, dcos_Method_MASTER_REMOVE, what, e);
	if (rc != 0)
		return err_wrap(e, "remove %s", what);
	printf("%s is no longer a master of this cluster.\n", what);
	return 0;
}

static int cmd_remove(struct session *s, int argc, char **argv, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_MasterMembers all = { 0 };
	(void)argc;
	int rc = read_members(s, &a, &all, e);
	if (rc != 0)
		return rc;
	const dcos_MasterMember *m = find_member(&all, argv[0], NULL);
	if (!m)
		return err_set(e, E_NOTFOUND, "there is no master '%s'; `dcos-node master members` lists them", argv[0]);
	AUTO_FREE char *question = xasprintf("Remove master %s (%s)? It can come back only with a new token and an empty state directory.",
					     m->name ? m->name : argv[0], m->ip && m->ip[0] ? m->ip : "no address");
	rc = confirm(s, question, e);
	return rc == 0 ? take_out(s, m, e) : rc;
}

static int cmd_leave(struct session *s, int argc, char **argv, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_MasterMembers all = { 0 };
	(void)argc;
	(void)argv;
	int rc = read_members(s, &a, &all, e);
	if (rc != 0)
		return rc;
	const dcos_MasterMember *m = find_member(&all, NULL, s->node.identity.fingerprint);
	if (!m)
		return err_set(e, E_NOTFOUND, "the master of this machine is not one of the cluster's any more");
	rc = confirm(s, "Take the master of this machine out of the cluster?", e);
	if (rc == 0)
		rc = take_out(s, m, e);
	if (rc == 0)
		printf("End its process now. %s/identity and %s/master are of no use any more.\n", s->config.common.state_dir,
		       s->config.common.state_dir);
	return rc;
}

static int cmd_transfer(struct session *s, int argc, char **argv, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	dcos_MasterName out = { 0 };
	int rc = argc > 0 ? call_name(s, dcos_Method_MASTER_TRANSFER, argv[0], e)
			  : call_leader(s, dcos_Method_MASTER_TRANSFER, STR(""), e);
	if (rc == 0)
		rc = pb_read(&a, dcos_MasterName_fields, buf_view(&s->reply), &out, e);
	if (rc == 0)
		printf("%s leads.\n", out.name && out.name[0] ? out.name : "Another master");
	return rc;
}

static int cmd_token(struct session *s, int argc, char **argv, struct err *e)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf b = BUF_INIT;
	dcos_MasterTokenRequest in = { .has_expires_us = true, .expires_us = s->config.expires_us };
	dcos_MasterTokenReply out = { 0 };
	(void)argc;
	(void)argv;
	int rc = pb_write(dcos_MasterTokenRequest_fields, &in, &b, e);
	if (rc == 0)
		rc = call_leader(s, dcos_Method_MASTER_TOKEN, buf_view(&b), e);
	if (rc == 0)
		rc = pb_read(&a, dcos_MasterTokenReply_fields, buf_view(&s->reply), &out, e);
	if (rc != 0)
		return rc;
	printf("%s\n", out.token ? out.token : "");
	return 0;
}

/* ---- recover ---- */

static int write_lost(struct session *s, const struct store_facts *f, struct err *e)
{
	AUTO_FREE char *path = node_path(&s->node, RECOVERED_FILE);
	AUTO_BUF struct buf lost = BUF_INIT;
	for (size_t i = 0; i < f->member_count; i++)
		if (f->members[i].id != f->member_id)
			buf_printf(&lost, "%s\n", f->members[i].address);
	return lost.len == 0 ? 0 : disk_write_file(&disk_real, s->config.common.state_dir, path, lost.data, lost.len, e);
}

/* Of all subsystems. */
static void list_tables(const struct kv_table *out[STATE_TABLES_MAX])
{
	const struct kv_table *const *const lists[] = { book_tables, mesos_tables, marathon_tables };
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (size_t j = 0; lists[i][j]; j++) {
			assert(n + 1 < STATE_TABLES_MAX);
			out[n++] = lists[i][j];
		}
	out[n] = NULL;
}

static int cmd_recover(struct session *s, int argc, char **argv, struct err *e)
{
	AUTO_FREE char *dir = node_path(&s->node, "master");
	const struct kv_table *tables[STATE_TABLES_MAX];
	struct store_facts *before = xcalloc(1, sizeof(*before)), *after = xcalloc(1, sizeof(*after));
	(void)argc;
	(void)argv;
	list_tables(tables);
	int rc = store_inspect(s->loop, dir, tables, before, e);
	if (rc == 0) {
		printf("Member %llu of cluster %s: %zu members, its log ends with entry %llu of term %llu.\n",
		       (unsigned long long)before->member_id, before->cluster_id, before->member_count,
		       (unsigned long long)before->last_index, (unsigned long long)before->last_term);
		printf("It becomes a cluster of its own with all that this log holds. What other masters confirmed after entry %llu, and\n"
		       "this one never got, is lost; run `dcos-node master recover` where the last entry is the highest, with no --yes, to\n"
		       "compare. The other masters must never run again with their old state: they would be a second cluster.\n",
		       (unsigned long long)before->last_index);
		rc = confirm(s, "Make this master the only one?", e);
	}
	if (rc == 0)
		rc = write_lost(s, before, e);
	if (rc == 0)
		rc = store_recover(s->loop, dir, s->node.identity.fingerprint, tables, after, e);
	if (rc == 0)
		printf("Done: start this master, it leads alone from entry %llu on. Then join new ones: dcos-node master token.\n",
		       (unsigned long long)after->last_index);
	free(before);
	free(after);
	return rc;
}

/* ---- dispatch ---- */

static const struct verb {
	const char *name, *args;
	int args_min, args_max;
	const struct flag *flags;
	int (*fn)(struct session *s, int argc, char **argv, struct err *e);
	const char *help;
} verbs[] = {
	/* verb        args        min max flags          fn            help */
	{ "members",   "",         0,  0,  members_flags, cmd_members,  "who they are, who leads, who lags, and what is wrong" },
	{ "token",     "",         0,  0,  token_flags,   cmd_token,    "print a token that lets one more master join" },
	{ "transfer",  "[NAME]",   0,  1,  change_flags,  cmd_transfer, "hand the lead to a master, or to the one that has most" },
	{ "remove",    "NAME|ID",  1,  1,  change_flags,  cmd_remove,   "take a master out, dead or alive" },
	{ "leave",     "",         0,  0,  change_flags,  cmd_leave,    "take this machine's master out" },
	{ "recover",   "",         0,  0,  recover_flags, cmd_recover,  "the others are lost for ever: make this one a cluster of its own (its master must not run)" },
};

static int load_identity(struct session *s, struct err *e)
{
	if (!identity_exists(&s->node))
		return err_set(e, E_NOTFOUND, "no master has run with state directory '%s'; give the right one with --state-dir, or run "
			       "this on a master", s->config.common.state_dir);
	int rc = identity_master(&s->node, e);
	return rc == 0 ? 0 : err_wrap(e, "read this master's identity (are you root?)");
}

static int run(const struct verb *v, int argc, char **argv, struct err *e)
{
	const struct flag *const tables[] = { v->flags, NULL };
	struct session *s = xcalloc(1, sizeof(*s));
	int argi = 0;
	buf_init(&s->reply, LIMIT_RPC_FRAME_BYTES);
	log_set_level(LOG_ERROR);
	s->node.config = &s->config.common;
	int rc = flag_parse(tables, &s->config, argc, argv, true, &argi, e);
	if (rc == 0 && (argc - argi < v->args_min || argc - argi > v->args_max))
		rc = err_set(e, E_USAGE, "usage: dcos-node master %s %s [FLAG…]; `dcos-node master %s --help` tells more", v->name,
			     v->args, v->name);
	if (rc == 0)
		rc = load_identity(s, e);
	if (rc == 0) {
		s->loop = loop_new();
		rc = v->fn(s, argc - argi, argv + argi, e);
		loop_free(s->loop);
	}
	identity_fini(&s->node.identity);
	buf_fini(&s->reply);
	flag_free(tables, &s->config);
	free(s);
	return rc;
}

static int help(const struct verb *v)
{
	const struct flag *const tables[] = { v->flags, NULL };
	AUTO_BUF struct buf out = BUF_INIT;
	buf_printf(&out, "Usage: dcos-node master %s %s%s[FLAG…]\n\n%s.\n\n", v->name, v->args, v->args[0] ? " " : "", v->help);
	flag_help(tables, &out);
	(void)fputs(buf_cstr(&out), stdout);
	return 0;
}

void quorum_command_help(struct buf *out)
{
	buf_puts(out, "Commands, as root on a master (each has --help):\n");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		buf_printf(out, "  dcos-node master %-9s%-9s %s\n", verbs[i].name, verbs[i].args, verbs[i].help);
}

bool quorum_command(int argc, char **argv, int *exit_code)
{
	const struct verb *v = NULL;
	struct err e = { 0 };
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(verbs) && !v; i++)
		v = strcmp(argv[1], verbs[i].name) == 0 ? &verbs[i] : NULL;
	if (!v)
		return false;
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			*exit_code = help(v);
			return true;
		}
	*exit_code = 0;
	if (run(v, argc - 2, argv + 2, &e) != 0) {
		(void)fprintf(stderr, "dcos-node master %s: %s\n", v->name, e.text);
		*exit_code = err_exit(e.code);
	}
	return true;
}
