/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/records.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "net/tls.h"

#define TTL_INTERNAL 5
#define TTL_NS 3600
#define LABEL_MAX 63
#define ZK_NAMES 5
#define MASTER_PORT 5050

/* ---- labels ---- */

static void trim_dashes(struct buf *out, size_t start)
{
	while (out->len > start && out->data[out->len - 1] == '-')
		out->len--;
}

/* Cut at LABEL_MAX; where the cut leaves dashes at the end, what follows takes their place. */
void mesos_label(struct buf *out, struct str text)
{
	size_t start = out->len, cut_at = SIZE_MAX;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c == '.' || c == '_')
			c = '-';
		if (cut_at == SIZE_MAX && out->len - start == LABEL_MAX) {
			trim_dashes(out, start);
			cut_at = out->len;
		}
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		bool dash = c == '-' && out->len > start && out->len != cut_at;
		if ((letter || dash) && out->len - start < LABEL_MAX)
			buf_putc(out, c);
	}
	trim_dashes(out, start);
}

/* Framework names keep their dots: each part is a label. */
static void framework_labels(struct buf *out, struct str text)
{
	size_t start = out->len;
	while (text.p) {
		struct str part = str_cut(&text, '.');
		size_t before = out->len;
		if (before > start)
			buf_putc(out, '.');
		size_t dot = out->len;
		mesos_label(out, part);
		if (out->len == dot)
			out->len = before;
	}
}

void mesos_hash(const char *task_id, char out[6])
{
	static const char alphabet[] = "ybndrfg8ejkmcpqxot1uwisza345h769";
	uint8_t digest[20];
	sha1(task_id, strlen(task_id), digest);
	uint64_t bits = 0;
	for (int i = 0; i < 5; i++)
		bits = bits << 8 | digest[i];
	for (int i = 0; i < 5; i++)
		out[i] = alphabet[bits >> (35 - 5 * i) & 31];
	out[5] = '\0';
}

/* ---- the set ---- */

static struct record_set *set_of(struct records *r, const char *name)
{
	struct record_set *set = map_find_c(&r->names, name);
	if (set)
		return set;
	set = arena_new(&r->arena, struct record_set);
	set->name = arena_strdup(&r->arena, name);
	(void)map_put_c(&r->names, name, set);
	return set;
}

static bool same(const struct record *a, const struct record *b)
{
	return a->type == b->type && a->ip4 == b->ip4 && a->port == b->port && cstr_eq(a->target, b->target);
}

static void add(struct records *r, const char *name, struct record rec)
{
	struct record_set *set = set_of(r, name);
	struct record **at = &set->first;
	for (; *at; at = &(*at)->next)
		if (same(*at, &rec))
			return;
	struct record *copy = arena_new(&r->arena, struct record);
	*copy = rec;
	copy->target = arena_strdup(&r->arena, rec.target);
	*at = copy;
}

static void add_a(struct records *r, const char *name, uint32_t ip4)
{
	if (ip4 != 0)
		add(r, name, (struct record){ .type = DNS_A, .ip4 = ip4 });
}

static void add_srv(struct records *r, const char *name, const char *target, uint16_t port)
{
	add(r, name, (struct record){ .type = DNS_SRV, .target = target, .port = port });
}

static uint32_t ip4_of(const char *text)
{
	struct in_addr in;
	return text && inet_pton(AF_INET, text, &in) == 1 ? ntohl(in.s_addr) : 0;
}

void records_init(struct records *r, uint32_t own_ip4, uint32_t serial)
{
	*r = (struct records){ .arena = ARENA_INIT, .serial = serial };
	vips_init(&r->vips);
	add_a(r, "ready.spartan", INADDR_LOOPBACK);
	add_a(r, "ns.spartan", 0xc6336401);           /* 198.51.100.1 */
	add_a(r, "localhost", INADDR_LOOPBACK);
	add_a(r, "thisnode.thisdcos.directory", own_ip4);
}

void records_fini(struct records *r)
{
	vips_fini(&r->vips);
	map_fini(&r->names);
	arena_fini(&r->arena);
}

void records_add_master(struct records *r, const dcos_ViewMaster *m)
{
	uint32_t ip4 = ip4_of(m->ip);
	char name[32];
	uint16_t port = (uint16_t)(m->has_port ? m->port : MASTER_PORT);
	r->rows++;
	if (ip4 == 0)
		return;
	(void)snprintf(name, sizeof(name), "master%zu.mesos", r->master_count++);
	add_a(r, name, ip4);
	add_a(r, "master.mesos", ip4);
	add_a(r, "ns1.mesos", ip4);
	add_a(r, "master.dcos.thisdcos.directory", ip4);
	if (!m->has_leader || !m->leader)
		return;
	r->leader_ip4 = ip4;
	add_a(r, "leader.mesos", ip4);
	add_a(r, "leader.dcos.thisdcos.directory", ip4);
	add_srv(r, "_leader._tcp.mesos", "leader.mesos", port);
	add_srv(r, "_leader._udp.mesos", "leader.mesos", port);
	/* The built-in Marathon runs inside the leading master. */
	add_a(r, "marathon.mesos", ip4);
	add_srv(r, "_framework._tcp.marathon.mesos", "marathon.mesos", 8080);
}

void records_add_agent(struct records *r, const dcos_ViewAgent *a)
{
	uint32_t ip4 = ip4_of(a->ip);
	r->rows++;
	if (ip4 == 0)
		return;
	add_a(r, "slave.mesos", ip4);
	add_srv(r, "_slave._tcp.mesos", "slave.mesos", (uint16_t)(a->has_port ? a->port : 5051));
}

/* ---- tasks ---- */

struct task_names {
	const dcos_ViewName *t;
	const char *label;          /* of the task */
	const char *framework;      /* labels of the framework */
	const char *canonical;      /* "<t>-<hash>-<sN>" */
	uint32_t agent_ip4;
};

static const char *print_name(struct records *r, const char *fmt, const char *a, const char *b)
{
	return arena_printf(&r->arena, fmt, a, b);
}

/* IPSources of DC/OS: host first, so a task's address is its agent's. */
static void add_addresses(struct records *r, const struct task_names *n)
{
	add_a(r, print_name(r, "%s.%s.mesos", n->label, n->framework), n->agent_ip4);
	add_a(r, print_name(r, "%s.%s.mesos", n->canonical, n->framework), n->agent_ip4);
	add_a(r, print_name(r, "%s.%s.slave.mesos", n->label, n->framework), n->agent_ip4);
	add_a(r, print_name(r, "%s.%s.slave.mesos", n->canonical, n->framework), n->agent_ip4);
}

static bool has_protocol(const dcos_ViewPort *p, const char *name)
{
	struct str rest = str_of(p->protocol && p->protocol[0] ? p->protocol : "tcp,udp");
	while (rest.p)
		if (str_ieq(str_cut(&rest, ','), str_of(name)))
			return true;
	return false;
}

static void add_port(struct records *r, const struct task_names *n, const dcos_ViewPort *p, const char *protocol)
{
	uint16_t port = (uint16_t)p->number;
	const char *host = print_name(r, "%s.%s.slave.mesos", n->canonical, n->framework);
	const char *target = print_name(r, "%s.%s.mesos", n->canonical, n->framework);
	const char *service = arena_printf(&r->arena, "_%s._%s.%s", n->label, protocol, n->framework);
	add_srv(r, arena_printf(&r->arena, "%s.slave.mesos", service), host, port);
	if (!n->t->has_has_discovery || !n->t->has_discovery) {
		add_srv(r, arena_printf(&r->arena, "%s.mesos", service), host, port);
		return;
	}
	if (!has_protocol(p, protocol))
		return;
	add_srv(r, arena_printf(&r->arena, "%s.mesos", service), target, port);
	if (!p->name || !p->name[0])
		return;
	AUTO_BUF struct buf label = BUF_INIT;
	mesos_label(&label, str_of(p->name));
	if (label.len > 0)
		add_srv(r, arena_printf(&r->arena, "_%s.%s.mesos", buf_cstr(&label), service), target, port);
}

/* Zones of dcos-net: where the agent is, where the container is, whichever is right. */
static void add_internal(struct records *r, const struct task_names *n)
{
	add_a(r, print_name(r, "%s.%s.agentip.dcos.thisdcos.directory", n->label, n->framework), n->agent_ip4);
	bool mapped = n->t->container_ips_count == 0;
	for (size_t i = 0; i < n->t->ports_count; i++)
		mapped |= n->t->ports[i].has_container_port && n->t->ports[i].number != 0;
	if (n->t->container_ips_count == 0)
		add_a(r, print_name(r, "%s.%s.containerip.dcos.thisdcos.directory", n->label, n->framework), n->agent_ip4);
	for (size_t i = 0; i < n->t->container_ips_count; i++) {
		uint32_t ip4 = ip4_of(n->t->container_ips[i]);
		add_a(r, print_name(r, "%s.%s.containerip.dcos.thisdcos.directory", n->label, n->framework), ip4);
		if (!mapped)
			add_a(r, print_name(r, "%s.%s.autoip.dcos.thisdcos.directory", n->label, n->framework), ip4);
	}
	if (mapped)
		add_a(r, print_name(r, "%s.%s.autoip.dcos.thisdcos.directory", n->label, n->framework), n->agent_ip4);
}

/* "s0" of "…-S0" */
static const char *agent_suffix(struct records *r, const char *agent_id)
{
	struct str id = str_of(agent_id ? agent_id : "");
	ssize_t dash = str_rfind(id, '-');
	char *suffix = arena_str(&r->arena, dash < 0 ? id : str_from(id, (size_t)dash + 1));
	for (char *c = suffix; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
	return suffix;
}

void records_add_task(struct records *r, const dcos_ViewName *t)
{
	AUTO_BUF struct buf label = BUF_INIT;
	AUTO_BUF struct buf framework = BUF_INIT;
	char hash[6];
	r->rows++;
	vips_add(&r->vips, t);
	if (t->state != mesos_v1_TaskState_TASK_RUNNING || !t->name || !t->framework || !t->task_id)
		return;
	mesos_label(&label, str_of(t->name));
	framework_labels(&framework, str_of(t->framework));
	if (label.len == 0 || framework.len == 0)
		return;
	mesos_hash(t->task_id, hash);
	struct task_names n = {
		.t = t, .label = arena_str(&r->arena, buf_view(&label)), .framework = arena_str(&r->arena, buf_view(&framework)),
		.agent_ip4 = ip4_of(t->agent_ip),
	};
	n.canonical = arena_printf(&r->arena, "%s-%s-%s", n.label, hash, agent_suffix(r, t->agent_id));
	add_addresses(r, &n);
	add_internal(r, &n);
	for (size_t i = 0; i < t->ports_count; i++) {
		if (t->ports[i].number == 0 || t->ports[i].number > 65535)
			continue;
		add_port(r, &n, &t->ports[i], "tcp");
		add_port(r, &n, &t->ports[i], "udp");
	}
}

static void add_vip_names(struct records *r)
{
	static const char *const zones[] = {
		"l4lb.thisdcos.directory", "l4lb.thisdcos.global", "dclb.thisdcos.directory", "dclb.thisdcos.global",
	};
	for (const struct vip *v = r->vips.first; v; v = v->next)
		for (size_t i = 0; v->name && i < ARRAY_LEN(zones); i++)
			add_a(r, print_name(r, "%s.%s", v->name, zones[i]), v->ip4);
}

/* zk-1.zk … zk-5.zk: the masters, repeated until five. */
static void add_zk_names(struct records *r)
{
	const struct record_set *masters = records_find(r, "master.mesos");
	const struct record *m = masters ? masters->first : NULL;
	char name[16];
	for (int i = 1; m && i <= ZK_NAMES; i++) {
		(void)snprintf(name, sizeof(name), "zk-%d.zk", i);
		add_a(r, name, m->ip4);
		m = m->next ? m->next : masters->first;
	}
}

void records_finish(struct records *r)
{
	vips_finish(&r->vips);
	add_vip_names(r);
	add_zk_names(r);
}

const struct record_set *records_find(const struct records *r, const char *name) { return map_find_c(&r->names, name); }

uint32_t records_address(const struct records *r, const char *name)
{
	const struct record_set *set = records_find(r, name);
	for (const struct record *rec = set ? set->first : NULL; rec; rec = rec->next)
		if (rec->type == DNS_A)
			return rec->ip4;
	return 0;
}

const char *record_text(struct arena *a, const struct record *rec)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr in = { htonl(rec->ip4) };
	return rec->type == DNS_A ? arena_strdup(a, inet_ntop(AF_INET, &in, text, sizeof(text)))
				  : arena_printf(a, "%s.:%u", rec->target, rec->port);
}

/* ---- answers ---- */

struct zone {
	const char *suffix;
	bool mesos;             /* Mesos-DNS' way; else dcos-net's */
	const char *tail;       /* the zone repeats the names in front of this tail; NULL: it has its own */
};
#define COPY_TAIL ".thisdcos.directory"
static const struct zone zones[] = {
	{ "mesos", true, NULL },
	{ "mesos" COPY_TAIL, false, COPY_TAIL },
	{ "thisdcos.directory", false, NULL },
	{ "thisdcos.global", false, NULL },
	{ "dcos.directory", false, NULL },
	{ "spartan", false, NULL },
	{ "zk", false, NULL },
	{ "localhost", false, NULL },
};

static const struct zone *zone_of(const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		size_t n = strlen(zones[i].suffix);
		if (len >= n && strcmp(name + len - n, zones[i].suffix) == 0 && (len == n || name[len - n - 1] == '.'))
			return &zones[i];
	}
	return NULL;
}

bool records_ours(const char *name) { return zone_of(name) != NULL; }

struct answer {
	struct dns_writer w;
	const struct records *r;      /* borrowed */
	const struct zone *z;
	uint32_t ttl_max;
};

static uint32_t ttl(const struct answer *a, uint32_t of_mesos, uint32_t internal)
{
	return MIN(a->z->mesos ? of_mesos : internal, a->ttl_max);
}

static uint32_t record_ttl(const struct answer *a) { return ttl(a, RECORDS_TTL_MESOS, TTL_INTERNAL); }

static void put_soa(struct answer *a, enum dns_section s)
{
	uint32_t mesos[5] = { a->r->serial, 60, 600, 86400, record_ttl(a) };
	static const uint32_t internal[5] = { 1, 60, 180, 86400, 1 };
	if (a->z->mesos)
		(void)dns_put_soa(&a->w, s, "mesos", record_ttl(a), "ns1.mesos", "root.ns1.mesos", mesos);
	else
		(void)dns_put_soa(&a->w, s, a->z->suffix, record_ttl(a), "ns.spartan", "support.mesosphere.com", internal);
}

static void put_ns(struct answer *a, enum dns_section s)
{
	const char *server = a->z->mesos ? "ns1.mesos" : "ns.spartan";
	(void)dns_put_name(&a->w, s, a->z->suffix, DNS_NS, ttl(a, RECORDS_TTL_MESOS, TTL_NS), server);
}

static bool wanted(const struct record *rec, uint16_t type) { return rec->type == (enum dns_type)type || type == DNS_ANY; }

/* The target of an SRV record as this zone calls it; false: too long a name. */
static bool target_name(const struct zone *z, const struct record *rec, char out[DNS_NAME_MAX + 1])
{
	int n = snprintf(out, DNS_NAME_MAX + 1, "%s%s", rec->target, z->tail ? z->tail : "");
	return n > 0 && n <= DNS_NAME_MAX;
}

static bool put_record(struct answer *a, const char *name, const struct record *rec)
{
	char target[DNS_NAME_MAX + 1];
	if (rec->type == DNS_A)
		return dns_put_a(&a->w, DNS_ANSWER, name, record_ttl(a), rec->ip4);
	if (!target_name(a->z, rec, target))
		return true;
	return dns_put_srv(&a->w, DNS_ANSWER, name, record_ttl(a), a->z->mesos ? 0 : 1, 1, rec->port, target);
}

/* Records of the wanted type, beginning at number `rotate` of them. Returns how many there are. */
static size_t put_answers(struct answer *a, const char *name, const struct record_set *set, uint16_t type, uint32_t rotate)
{
	size_t n = 0;
	for (const struct record *rec = set->first; rec; rec = rec->next)
		n += wanted(rec, type);
	if (n == 0)
		return 0;
	size_t first = rotate % n;
	for (int round = 0; round < 2; round++) {
		size_t i = 0;
		for (const struct record *rec = set->first; rec; rec = rec->next) {
			if (!wanted(rec, type))
				continue;
			bool now = round == 0 ? i >= first : i < first;
			i++;
			if (now && !put_record(a, name, rec))
				return n;      /* full: TC is set */
		}
	}
	return n;
}

/* An A record for each target of the SRV answers. */
static void put_targets(struct answer *a, const struct record_set *set)
{
	char target[DNS_NAME_MAX + 1];
	for (const struct record *rec = set->first; rec; rec = rec->next) {
		uint32_t ip4 = rec->type == DNS_SRV ? records_address(a->r, rec->target) : 0;
		if (ip4 != 0 && target_name(a->z, rec, target) && !dns_put_a(&a->w, DNS_ADDITIONAL, target, record_ttl(a), ip4))
			return;
	}
}

/* Mesos-DNS ignores "*" labels in a name. */
static void clean_wild(const char *name, char out[DNS_NAME_MAX + 1])
{
	size_t n = 0;
	struct str rest = str_of(name);
	while (rest.p) {
		struct str part = str_cut(&rest, '.');
		if (str_eq(part, STR("*")))
			continue;
		if (n > 0)
			out[n++] = '.';
		memcpy(out + n, part.p, part.len);
		n += part.len;
	}
	out[n] = '\0';
}

static enum dns_rcode empty_rcode(const struct zone *z, const struct record_set *set, uint16_t type)
{
	bool soft = set || (z->mesos && (type == DNS_SRV || type == DNS_SOA || type == DNS_NS));
	return soft ? DNS_NOERROR : DNS_NXDOMAIN;
}

size_t records_answer(const struct records *r, const struct dns_query *q, uint32_t rotate, uint32_t ttl_max, uint8_t *out,
		      size_t max)
{
	struct answer a = { .r = r, .z = zone_of(q->name.text), .ttl_max = ttl_max };
	char name[DNS_NAME_MAX + 1];
	assert(a.z);
	clean_wild(q->name.text, name);
	bool apex = strcmp(name, a.z->suffix) == 0;
	if (a.z->tail && str_ends(str_of(name), str_of(a.z->tail)))
		name[strlen(name) - strlen(a.z->tail)] = '\0';
	const struct record_set *set = records_find(r, name);
	dns_answer_begin(&a.w, out, max, q);
	if (q->class != DNS_IN && q->class != DNS_ANY)
		return dns_answer_end(&a.w, q, true, true, DNS_REFUSED);
	size_t found = set ? put_answers(&a, q->name.text, set, q->type, rotate) : 0;
	enum dns_section meta = a.z->mesos ? DNS_AUTHORITY : DNS_ANSWER;
	if (q->type == DNS_SOA && (apex || a.z->mesos)) {
		put_soa(&a, meta);
		return dns_answer_end(&a.w, q, true, true, DNS_NOERROR);
	}
	if (q->type == DNS_NS && (apex || a.z->mesos)) {
		put_ns(&a, meta);
		return dns_answer_end(&a.w, q, true, true, DNS_NOERROR);
	}
	if (found == 0) {
		put_soa(&a, DNS_AUTHORITY);
		return dns_answer_end(&a.w, q, true, true, apex ? DNS_NOERROR : empty_rcode(a.z, set, q->type));
	}
	if (q->type == DNS_SRV || q->type == DNS_ANY)
		put_targets(&a, set);
	return dns_answer_end(&a.w, q, true, true, DNS_NOERROR);
}
