/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/vips.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

/* ---- phash2 (Bob Jenkins' 96-bit mix, as in Erlang/OTP's make_hash2 for binaries) ---- */

static void mix(uint32_t *a, uint32_t *b, uint32_t *c)
{
	*a -= *b; *a -= *c; *a ^= *c >> 13;
	*b -= *c; *b -= *a; *b ^= *a << 8;
	*c -= *a; *c -= *b; *c ^= *b >> 13;
	*a -= *b; *a -= *c; *a ^= *c >> 12;
	*b -= *c; *b -= *a; *b ^= *a << 16;
	*c -= *a; *c -= *b; *c ^= *b >> 5;
	*a -= *b; *a -= *c; *a ^= *c >> 3;
	*b -= *c; *b -= *a; *b ^= *a << 10;
	*c -= *a; *c -= *b; *c ^= *b >> 15;
}

static uint32_t word_le(const uint8_t *p, size_t len)
{
	uint32_t w = 0;
	for (size_t i = 0; i < len && i < 4; i++)
		w |= (uint32_t)p[i] << (8 * i);
	return w;
}

uint32_t phash2(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t a = 0x9e3779b9, b = 0x9e3779b9, c = 13 * 0x9e3779b9u;
	size_t left = len;
	for (; left >= 12; left -= 12, p += 12) {
		a += word_le(p, 4);
		b += word_le(p + 4, 4);
		c += word_le(p + 8, 4);
		mix(&a, &b, &c);
	}
	c += (uint32_t)len;
	a += word_le(p, left);
	if (left > 4)
		b += word_le(p + 4, left - 4);
	if (left > 8)
		c += word_le(p + 8, left - 8) << 8;
	mix(&a, &b, &c);
	return c;
}

/* ---- names ---- */

#define LABEL_MAX 63

static void name_part(struct buf *out, struct str part)
{
	size_t start = out->len;
	for (size_t i = 0; i < part.len && out->len - start < LABEL_MAX; i++) {
		char c = part.p[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c == '_')
			c = '-';
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (letter || (c == '-' && out->len > start))
			buf_putc(out, c);
	}
	while (out->len > start && out->data[out->len - 1] == '-')
		out->len--;
}

void dcos_name(struct buf *out, struct str text)
{
	size_t start = out->len;
	while (text.p) {
		struct str part = str_cut(&text, '.');
		size_t before = out->len;
		if (before > start)
			buf_putc(out, '.');
		size_t dot = out->len;
		name_part(out, part);
		if (out->len == dot)
			out->len = before;      /* an empty part leaves no dot */
	}
}

/* ---- the table ---- */

void vips_init(struct vips *v) { *v = (struct vips){ .arena = ARENA_INIT }; }

void vips_fini(struct vips *v)
{
	map_fini(&v->by_key);
	map_fini(&v->names);
	arena_fini(&v->arena);
}

struct label {
	const char *name;   /* NULL: an address */
	uint32_t ip4;
	uint16_t port;
};

/* "/sise:80" or "1.2.3.4:80", split at the last colon. */
static bool parse_label(struct vips *v, const char *text, const char *framework, struct label *out)
{
	AUTO_BUF struct buf name = BUF_INIT;
	struct str s = str_of(text);
	ssize_t colon = str_rfind(s, ':');
	uint64_t port;
	struct in_addr in;
	char host[64];
	struct in6_addr in6;
	if (colon <= 0 || !str_u64(str_from(s, (size_t)colon + 1), &port) || port == 0 || port > 65535)
		return false;
	s = str_head(s, (size_t)colon);
	*out = (struct label){ .port = (uint16_t)port };
	bool short_enough = str_put(host, sizeof(host), s);
	if (short_enough && inet_pton(AF_INET, host, &in) == 1) {
		out->ip4 = ntohl(in.s_addr);
		return true;
	}
	if (short_enough && inet_pton(AF_INET6, host, &in6) == 1)
		return false;                   /* we balance IPv4 */
	dcos_name(&name, s);
	if (name.len == 0)
		return false;
	buf_putc(&name, '.');
	dcos_name(&name, str_of(framework ? framework : ""));
	if (name.len > VIP_NAME_MAX)
		return false;
	out->name = arena_str(&v->arena, buf_view(&name));
	return true;
}

static struct vip *vip_for(struct vips *v, const struct label *l, bool udp)
{
	char key[VIP_NAME_MAX + 32];
	(void)snprintf(key, sizeof(key), "%s %s %u:%u", udp ? "udp" : "tcp", l->name ? l->name : "", l->ip4, l->port);
	struct vip *vip = map_find_c(&v->by_key, key);
	if (vip)
		return vip;
	vip = arena_new(&v->arena, struct vip);
	*vip = (struct vip){ .name = l->name, .ip4 = l->ip4, .port = l->port, .udp = udp, .next = v->first };
	v->first = vip;
	v->count++;
	(void)map_put_c(&v->by_key, key, vip);
	return vip;
}

static bool takes_connections(const dcos_ViewName *t)
{
	return t->state == mesos_v1_TaskState_TASK_RUNNING && !(t->has_draining && t->draining) && !(t->has_healthy && !t->healthy);
}

static void add_backend(struct vips *v, struct vip *vip, const dcos_ViewName *t, const dcos_ViewPort *p)
{
	struct in_addr in;
	if (!takes_connections(t) || !t->agent_ip || p->number == 0 || p->number > 65535 ||
	    inet_pton(AF_INET, t->agent_ip, &in) != 1)
		return;
	struct vip_backend *b = arena_new(&v->arena, struct vip_backend);
	*b = (struct vip_backend){ .ip4 = ntohl(in.s_addr), .port = (uint16_t)p->number, .next = vip->backends };
	vip->backends = b;
	vip->backend_count++;
}

static bool has_protocol(const dcos_ViewPort *p, const char *name)
{
	struct str rest = str_of(p->protocol && p->protocol[0] ? p->protocol : "tcp");
	while (rest.p)
		if (str_ieq(str_cut(&rest, ','), str_of(name)))
			return true;
	return false;
}

static void add_label(struct vips *v, const dcos_ViewName *t, const dcos_ViewPort *p, const char *text, bool tcp, bool udp)
{
	struct label l;
	if (!parse_label(v, text, t->framework, &l))
		return;
	if (tcp)
		add_backend(v, vip_for(v, &l, false), t, p);
	if (udp)
		add_backend(v, vip_for(v, &l, true), t, p);
}

/* A label of the whole task: "vip_port0" = "tcp://name:80" is about its first host port. */
static void add_task_label(struct vips *v, const dcos_ViewName *t, const mesos_v1_Label *label)
{
	const struct str prefix = STR("vip_port"), tcp = STR("tcp://"), udp = STR("udp://");
	struct str key = str_of(label->key), value = str_of(label->value);
	uint64_t index;
	if (!label->key || !label->value || key.len < prefix.len || value.len < tcp.len)
		return;
	if (!str_ieq(str_head(key, prefix.len), prefix) || !str_u64(str_from(key, prefix.len), &index) || index >= t->ports_count)
		return;
	bool is_tcp = str_ieq(str_head(value, tcp.len), tcp), is_udp = str_ieq(str_head(value, udp.len), udp);
	add_label(v, t, &t->ports[index], label->value + tcp.len, is_tcp, is_udp);
}

void vips_add(struct vips *v, const dcos_ViewName *t)
{
	for (size_t i = 0; i < t->ports_count; i++) {
		const dcos_ViewPort *p = &t->ports[i];
		for (size_t j = 0; j < p->vips_count; j++)
			add_label(v, t, p, p->vips[j], has_protocol(p, "tcp"), has_protocol(p, "udp"));
	}
	for (size_t i = 0; i < t->labels_count; i++)
		add_task_label(v, t, &t->labels[i]);
}

static int by_name(const void *a, const void *b)
{
	const struct vip *x = *(struct vip *const *)a, *y = *(struct vip *const *)b;
	int c = strcmp(x->name ? x->name : "", y->name ? y->name : "");
	if (c != 0)
		return c;
	if (x->ip4 != y->ip4)
		return x->ip4 < y->ip4 ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return (int)x->udp - (int)y->udp;
}

/*
 * The hash's place in the range, or the next free one. Names are taken in order, so that every node computes the same table
 * from the same tasks (DC/OS kept the order of arrival, which differs from node to node).
 */
static uint32_t give_address(struct vips *v, struct map *taken, const char *name)
{
	uint32_t at = phash2(name, strlen(name)) % VIP_NAMED_COUNT;
	void *known = map_find_c(&v->names, name);
	if (known)
		return (uint32_t)((uintptr_t)known - 1);
	while (map_find(taken, str_n((const char *)&at, sizeof(at))))
		at = (at + 1) % VIP_NAMED_COUNT;
	(void)map_put(taken, str_n((const char *)&at, sizeof(at)), v);
	uint32_t ip4 = VIP_NAMED_FIRST + at;
	(void)map_put_c(&v->names, name, (void *)((uintptr_t)ip4 + 1));
	return ip4;
}

void vips_finish(struct vips *v)
{
	struct map taken = { 0 };
	size_t n = 0;
	struct vip **order = arena_array(&v->arena, struct vip *, v->count + 1);
	for (struct vip *vip = v->first; vip; vip = vip->next)
		order[n++] = vip;
	qsort(order, n, sizeof(*order), by_name);
	v->first = NULL;
	for (size_t i = n; i > 0; i--) {
		order[i - 1]->next = v->first;
		v->first = order[i - 1];
	}
	for (struct vip *vip = v->first; vip; vip = vip->next)
		if (vip->name)
			vip->ip4 = give_address(v, &taken, vip->name);
	map_fini(&taken);
}

uint32_t vips_address(const struct vips *v, struct str name)
{
	void *known = map_find(&v->names, name);
	return known ? (uint32_t)((uintptr_t)known - 1) : 0;
}
