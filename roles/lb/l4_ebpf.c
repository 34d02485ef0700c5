/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads the programs of l4.bpf.c, fills their maps and attaches them. Every start loads anew: the maps are filled first, then
 * pinned links are moved to the new programs in one step each (BPF_LINK_UPDATE), so that there is no moment without VIPs and a
 * new version needs no care. The old programs and maps go with their last link.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "net/base/log.h"
#include "net/base/map.h"
#include "roles/lb/l4.h"
#include "roles/lb/l4_maps.h"
#include "roles/node.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wshadow"
#include "roles/lb/l4.skel.h"
#pragma GCC diagnostic pop

#define SET_GRACE_US (100 * MSEC)      /* a program that read the old service may still look its backend up */

#define HOOKS 7

/* What is in the maps for one VIP. */
struct installed {
	struct l4_vip key;
	struct l4_service service;     /* set 0: nothing yet */
	struct l4_addr *backends;      /* owned */
	bool seen;                     /* in the table being applied */
};

/* A set that nobody is led to any more. */
struct old_set {
	struct list link;
	struct l4_service service;
	int64_t retired_us;
};

struct l4 {
	struct loop *loop;             /* borrowed */
	struct l4_bpf *skel;
	char *cgroup_dir, *pin_dir;
	struct map services;           /* struct l4_vip bytes -> struct installed, owned */
	uint64_t next_set;
	struct list old;
	struct loop_timer old_timer;
	int links[HOOKS];              /* kept open where they could not be pinned; -1 */
	bool attached;
};

/* The kernel zero-fills what an older structure lacks. */
static long bpf_call(int cmd, union bpf_attr *attr) { return syscall(SYS_bpf, cmd, attr, sizeof(*attr)); }

static int map_put_elem(int fd, const void *key, const void *value, struct err *e)
{
	union bpf_attr attr = { 0 };
	attr.map_fd = (uint32_t)fd;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	return bpf_call(BPF_MAP_UPDATE_ELEM, &attr) == 0 ? 0 : err_sys(e, "write a VIP into its eBPF map");
}

static void map_delete_elem(int fd, const void *key)
{
	union bpf_attr attr = { 0 };
	attr.map_fd = (uint32_t)fd;
	attr.key = (uintptr_t)key;
	(void)bpf_call(BPF_MAP_DELETE_ELEM, &attr);    /* absent: as wanted */
}

/* ---- attaching ---- */

static const struct {
	const char *name;              /* of the pin */
	enum bpf_attach_type type;
	size_t prog;                   /* where its program stands in struct l4_bpf */
} hooks[HOOKS] = {
	{ "connect4",     BPF_CGROUP_INET4_CONNECT,     offsetof(struct l4_bpf, progs.vip_connect4) },
	{ "sendmsg4",     BPF_CGROUP_UDP4_SENDMSG,      offsetof(struct l4_bpf, progs.vip_sendmsg4) },
	{ "recvmsg4",     BPF_CGROUP_UDP4_RECVMSG,      offsetof(struct l4_bpf, progs.vip_recvmsg4) },
	{ "getpeername4", BPF_CGROUP_INET4_GETPEERNAME, offsetof(struct l4_bpf, progs.vip_getpeername4) },
	{ "connect6",     BPF_CGROUP_INET6_CONNECT,     offsetof(struct l4_bpf, progs.vip_connect6) },
	{ "recvmsg6",     BPF_CGROUP_UDP6_RECVMSG,      offsetof(struct l4_bpf, progs.vip_recvmsg6) },
	{ "getpeername6", BPF_CGROUP_INET6_GETPEERNAME, offsetof(struct l4_bpf, progs.vip_getpeername6) },
};

static int prog_fd(const struct l4 *l4, size_t hook)
{
	const struct bpf_prog_desc *prog = (const void *)((const char *)l4->skel + hooks[hook].prog);
	return prog->prog_fd;
}

static int pinned_link(const char *path)
{
	union bpf_attr attr = { 0 };
	attr.pathname = (uintptr_t)path;
	return (int)bpf_call(BPF_OBJ_GET, &attr);
}

static bool move_link(int link_fd, int to_prog_fd)
{
	union bpf_attr attr = { 0 };
	attr.link_update.link_fd = (uint32_t)link_fd;
	attr.link_update.new_prog_fd = (uint32_t)to_prog_fd;
	return bpf_call(BPF_LINK_UPDATE, &attr) == 0;
}

static bool pin_link(int link_fd, const char *path)
{
	union bpf_attr attr = { 0 };
	attr.pathname = (uintptr_t)path;
	attr.bpf_fd = (uint32_t)link_fd;
	return bpf_call(BPF_OBJ_PIN, &attr) == 0;
}

static int new_link(int prog, int cgroup_fd, enum bpf_attach_type type)
{
	union bpf_attr attr = { 0 };
	attr.link_create.prog_fd = (uint32_t)prog;
	attr.link_create.target_fd = (uint32_t)cgroup_fd;
	attr.link_create.attach_type = type;
	return (int)bpf_call(BPF_LINK_CREATE, &attr);
}

static int attach_hook(struct l4 *l4, size_t hook, int cgroup_fd, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", l4->pin_dir, hooks[hook].name);
	if (l4->links[hook] >= 0)
		return 0;
	AUTO_FD int old = pinned_link(path);
	if (old >= 0 && move_link(old, prog_fd(l4, hook)))
		return 0;
	if (old >= 0)
		(void)unlink(path);       /* its cgroup is gone: a new link takes the name */
	AUTO_FD int link = new_link(prog_fd(l4, hook), cgroup_fd, hooks[hook].type);
	if (link < 0)
		return err_sys(e, "attach the VIP program to %s of cgroup '%s'", hooks[hook].name, l4->cgroup_dir);
	if (pin_link(link, path))
		return 0;
	LOG(WARN, "VIPs will end with this process", "pin=%s reason=%s", path, strerror(errno));
	l4->links[hook] = MOVE_FD(link);
	return 0;
}

static int attach(struct l4 *l4, struct err *e)
{
	AUTO_FD int cgroup_fd = open(l4->cgroup_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;
	if (cgroup_fd < 0)
		return err_sys(e, "open cgroup '%s'", l4->cgroup_dir);
	for (size_t i = 0; i < HOOKS && rc == 0; i++)
		rc = attach_hook(l4, i, cgroup_fd, e);
	l4->attached = rc == 0;
	return rc;
}

/* ---- the table ---- */

static void clear_set(struct l4 *l4, struct l4_service s)
{
	for (uint32_t i = 0; i < s.count; i++) {
		struct l4_slot slot = { .set = s.set, .index = i };
		map_delete_elem(l4->skel->maps.backends.map_fd, &slot);
	}
}

static void on_old_timer(struct loop_timer *t)
{
	struct l4 *l4 = container_of(t, struct l4, old_timer);
	int64_t now = loop_now_us(l4->loop);
	list_each_safe(&l4->old, it) {
		struct old_set *o = list_entry(it, struct old_set, link);
		if (now - o->retired_us < SET_GRACE_US) {
			loop_timer_start(l4->loop, t, SET_GRACE_US, on_old_timer);
			return;
		}
		clear_set(l4, o->service);
		list_remove(&o->link);
		free(o);
	}
}

static void retire_set(struct l4 *l4, struct l4_service s)
{
	if (s.count == 0)
		return;
	struct old_set *o = xmalloc(sizeof(*o));
	*o = (struct old_set){ .service = s, .retired_us = loop_now_us(l4->loop) };
	list_push(&l4->old, &o->link);
	if (!loop_timer_active(&l4->old_timer))
		loop_timer_start(l4->loop, &l4->old_timer, SET_GRACE_US, on_old_timer);
}

static struct l4_addr *backends_of(const struct vip *v)
{
	struct l4_addr *list = xcalloc(v->backend_count, sizeof(*list));
	size_t i = 0;
	for (const struct vip_backend *b = v->backends; b; b = b->next)
		list[i++] = (struct l4_addr){ .ip = htonl(b->ip4), .port = htons(b->port) };
	return list;
}

static bool unchanged(const struct installed *s, const struct l4_addr *list, size_t count)
{
	return s->service.set != 0 && s->service.count == count && (count == 0 || !memcmp(s->backends, list, count * sizeof(*list)));
}

/* The backends into a fresh set, then the service is turned over to it in one write, then the old set is retired. list: taken. */
static int install(struct l4 *l4, struct installed *s, struct l4_addr *list, size_t count, struct err *e)
{
	struct l4_service fresh = { .set = ++l4->next_set, .count = (uint32_t)count };
	int rc = 0;
	for (uint32_t i = 0; i < fresh.count && rc == 0; i++) {
		struct l4_slot slot = { .set = fresh.set, .index = i };
		rc = map_put_elem(l4->skel->maps.backends.map_fd, &slot, &list[i], e);
	}
	if (rc == 0)
		rc = map_put_elem(l4->skel->maps.services.map_fd, &s->key, &fresh, e);
	if (rc != 0) {
		clear_set(l4, fresh);
		free(list);
		return rc;
	}
	retire_set(l4, s->service);
	free(s->backends);
	s->backends = list;
	s->service = fresh;
	return 0;
}

static int apply_one(struct l4 *l4, const struct vip *v, struct err *e)
{
	struct l4_vip key = { .ip = htonl(v->ip4), .port = htons(v->port), .proto = v->udp ? IPPROTO_UDP : IPPROTO_TCP };
	struct str key_bytes = str_n((const char *)&key, sizeof(key));
	struct installed *s = map_find(&l4->services, key_bytes);
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->key = key;
		(void)map_put(&l4->services, key_bytes, s);
	}
	s->seen = true;
	struct l4_addr *list = backends_of(v);
	if (unchanged(s, list, v->backend_count)) {
		free(list);
		return 0;
	}
	return install(l4, s, list, v->backend_count, e);
}

static void installed_free(struct installed *s)
{
	free(s->backends);
	free(s);
}

static void remove_unseen(struct l4 *l4)
{
	map_each(&l4->services, entry) {
		struct installed *s = entry->value;
		if (s->seen) {
			s->seen = false;
			continue;
		}
		map_delete_elem(l4->skel->maps.services.map_fd, &s->key);
		retire_set(l4, s->service);
		(void)map_remove(&l4->services, str_n(entry->key, entry->key_len));
		installed_free(s);
	}
}

/* One service that does not fit must not take the others with it: all are tried, the first failure is told. */
static int ebpf_apply(struct l4 *l4, const struct vips *v, struct err *e)
{
	int failure = 0;
	for (const struct vip *vip = v->first; vip; vip = vip->next) {
		int rc = apply_one(l4, vip, failure == 0 ? e : NULL);
		if (failure == 0)
			failure = rc;
	}
	remove_unseen(l4);
	if (!l4->attached) {
		int rc = attach(l4, failure == 0 ? e : NULL);
		if (failure == 0)
			failure = rc;
	}
	return failure;
}

static void ebpf_close(struct l4 *l4)
{
	loop_timer_stop(&l4->old_timer);
	list_each_safe(&l4->old, it)
		free(list_entry(it, struct old_set, link));
	map_each(&l4->services, entry)
		installed_free(entry->value);
	map_fini(&l4->services);
	for (size_t i = 0; i < HOOKS; i++)
		if (l4->links[i] >= 0)
			(void)close(l4->links[i]);
	if (l4->skel)
		l4_bpf__destroy(l4->skel);
	free(l4->cgroup_dir);
	free(l4->pin_dir);
	free(l4);
}

static bool is_on(const char *path, unsigned long fs_magic)
{
	struct statfs fs;
	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == fs_magic;
}

static int load(struct l4 *l4, struct err *e)
{
	l4->skel = l4_bpf__open();
	if (!l4->skel)
		return err_sys(e, "make room for the VIP programs");
	int rc = l4_bpf__load(l4->skel);
	return rc == 0 ? 0 : err_set(e, E_UNSUPPORTED, "the kernel does not load the VIP programs: %s", strerror(-rc));
}

static int ebpf_open(struct loop *l, const struct l4_config *c, struct l4 **out, struct err *e)
{
	struct err why = { 0 };
	if (!is_on(c->cgroup_dir, CGROUP2_SUPER_MAGIC))
		return err_set(e, E_UNSUPPORTED, "'%s' is no cgroup2 directory", c->cgroup_dir);
	struct l4 *l4 = xcalloc(1, sizeof(*l4));
	*l4 = (struct l4){ .loop = l, .cgroup_dir = xstrdup(c->cgroup_dir), .pin_dir = xstrdup(c->pin_dir) };
	for (size_t i = 0; i < HOOKS; i++)
		l4->links[i] = -1;
	list_init(&l4->old);
	int rc = load(l4, e);
	if (rc != 0) {
		ebpf_close(l4);
		return rc;
	}
	if (node_mkdirs(c->pin_dir, 0700, &why) != 0 || !is_on(c->pin_dir, BPF_FS_MAGIC))
		LOG(WARN, "no bpffs for pins", "dir=%s", c->pin_dir);
	*out = l4;
	return 0;
}

const struct l4_type l4_ebpf = { "eBPF", ebpf_open, ebpf_apply, ebpf_close };
