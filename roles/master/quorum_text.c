/* SPDX-License-Identifier: Apache-2.0 */
/* What `dcos-node master members` says: a table, JSON, and what is wrong with the command that helps. Pure. */
#include "roles/master/quorum_int.h"

static const char *text_or(const char *s, const char *other) { return s && s[0] ? s : other; }

static const char *state_of(const dcos_MasterMember *m)
{
	return m->leads ? "leader" : !m->connected ? "down" : m->id == 0 ? "joining" : "follower";
}

static const char *role_of(const dcos_MasterMember *m) { return m->voter ? "voter" : m->id == 0 ? "-" : "learner"; }

static void cell_int(struct buf *out, bool known, int64_t value, const char *unit)
{
	AUTO_FREE char *text = known ? xasprintf("%lld%s", (long long)value, unit) : xstrdup("-");
	buf_printf(out, "%-8s ", text);
}

void text_members(const dcos_MasterMembers *all, struct buf *out)
{
	buf_printf(out, "%-12s %-20s %-22s %-8s %-9s %-8s %-8s %s\n", "NAME", "ID", "ADDRESS", "ROLE", "STATE", "LAG", "HEARD", "VERSION");
	for (size_t i = 0; i < all->members_count; i++) {
		const dcos_MasterMember *m = &all->members[i];
		AUTO_FREE char *address = m->ip && m->ip[0] && m->rpc_port ? xasprintf("%s:%u", m->ip, m->rpc_port) : xstrdup("-");
		AUTO_FREE char *id = m->id ? xasprintf("%llu", (unsigned long long)m->id) : xstrdup("-");
		buf_printf(out, "%-12s %-20s %-22s %-8s %-9s ", text_or(m->name, "?"), id, address, role_of(m), state_of(m));
		cell_int(out, m->has_lag && m->id != 0, m->lag, "");
		cell_int(out, m->has_heard_us && !m->self, m->heard_us / MSEC, "ms");
		buf_printf(out, "%s\n", text_or(m->version, "-"));
	}
}

void text_members_json(const dcos_MasterMembers *all, struct buf *out)
{
	buf_printf(out, "{\"term\":%llu,\"answered_by\":", (unsigned long long)all->term);
	buf_json_cstr(out, all->answered_by);
	buf_puts(out, ",\"members\":[");
	for (size_t i = 0; i < all->members_count; i++) {
		const dcos_MasterMember *m = &all->members[i];
		buf_printf(out, "%s{\"id\":\"%llu\",\"name\":", i ? "," : "", (unsigned long long)m->id);
		buf_json_cstr(out, m->name);
		buf_puts(out, ",\"fingerprint\":");
		buf_json_cstr(out, m->fingerprint);
		buf_puts(out, ",\"ip\":");
		buf_json_cstr(out, m->ip);
		buf_printf(out, ",\"rpc_port\":%u,\"role\":\"%s\",\"state\":\"%s\",\"self\":%s", m->rpc_port, role_of(m), state_of(m),
			   m->self ? "true" : "false");
		if (m->has_lag)
			buf_printf(out, ",\"lag\":%lld", (long long)m->lag);
		if (m->has_heard_us)
			buf_printf(out, ",\"heard_ms\":%lld", (long long)(m->heard_us / MSEC));
		buf_puts(out, ",\"version\":");
		buf_json_cstr(out, m->version);
		buf_putc(out, '}');
	}
	buf_puts(out, "],\"warnings\":[");
	AUTO_BUF struct buf warnings = BUF_INIT;
	text_warnings(all, &warnings);
	bool first = true;
	for (struct str rest = buf_view(&warnings); rest.p && rest.len > 0; first = false) {
		if (!first)
			buf_putc(out, ',');
		buf_json_str(out, str_cut(&rest, '\n'));
	}
	buf_puts(out, "]}\n");
}

void text_warnings(const dcos_MasterMembers *all, struct buf *out)
{
	size_t voters = 0, alive = 0;
	bool led = false;
	for (size_t i = 0; i < all->members_count; i++) {
		const dcos_MasterMember *m = &all->members[i];
		voters += m->voter;
		alive += m->voter && m->connected;
		led |= m->leads;
	}
	if (voters > 0 && voters % 2 == 0)
		buf_printf(out, "%zu voters: an even number survives no more failures than %zu; join one more (dcos-node master token, "
			   "then dcos-node master --join) or remove one (dcos-node master remove NAME)\n", voters, voters - 1);
	if (!led)
		buf_puts(out, "no master leads; nothing can be changed until a majority of the voters runs again, or, if the others are "
			 "lost for ever, one is made a cluster of its own (dcos-node master recover)\n");
	for (size_t i = 0; led && i < all->members_count; i++) {
		const dcos_MasterMember *m = &all->members[i];
		if (m->voter && !m->connected)
			buf_printf(out, "%s is down; if it does not come back: dcos-node master remove %s, then join another one with the "
				   "token of dcos-node master token\n", text_or(m->name, "a voter"), text_or(m->name, "ID"));
	}
	if (led && voters > 1 && alive * 2 <= voters + 1 && alive < voters)
		buf_printf(out, "%zu of %zu voters live: one more failure stops every change\n", alive, voters);
}
