/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, addresses and routes by rtnetlink (rtnetlink(7)), and named network namespaces. Each call opens a socket, sends one
 * request and waits for the kernel's acknowledgement, which is immediate. A request is built in a fixed buffer by nl_put and
 * its kin; what does not fit is a bug and asserts.
 */
#include "net/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define REQUEST_BYTES 1024
#define TEXT_BYTES 160

struct request {
	union {
		struct nlmsghdr head;
		char bytes[REQUEST_BYTES];
	};
};

/* ---- Building a request ---- */

static void *nl_room(struct request *r, size_t len)
{
	size_t at = NLMSG_ALIGN(r->head.nlmsg_len);
	assert(at + NLMSG_ALIGN(len) <= sizeof r->bytes);
	r->head.nlmsg_len = (uint32_t)(at + len);
	return r->bytes + at;
}

static void *nl_begin(struct request *r, uint16_t type, uint16_t flags, size_t body_len)
{
	memset(r, 0, sizeof *r);
	r->head.nlmsg_len = NLMSG_HDRLEN;
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	return nl_room(r, body_len);
}

static struct rtattr *nl_put(struct request *r, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = nl_room(r, RTA_LENGTH(len));
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	return a;
}

static void nl_put_text(struct request *r, uint16_t type, const char *text) { nl_put(r, type, text, strlen(text) + 1); }
static void nl_put_u32(struct request *r, uint16_t type, uint32_t v) { nl_put(r, type, &v, sizeof v); }
static struct rtattr *nl_nest(struct request *r, uint16_t type) { return nl_put(r, type, NULL, 0); }

static void nl_nest_end(struct request *r, struct rtattr *nest)
{
	nest->rta_len = (uint16_t)(r->bytes + r->head.nlmsg_len - (char *)nest);
}

/* ---- Asking the kernel ---- */

/* 0, or the kernel's answer as a negative errno. */
static int nl_ask(const struct request *r)
{
	AUTO_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd == -1)
		return -errno;
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	if (sendto(fd, r->bytes, r->head.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof kernel) == -1)
		return -errno;
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[REQUEST_BYTES];        /* the request comes back behind an error */
	} answer;
	ssize_t n;
	do
		n = recv(fd, &answer, sizeof answer, 0);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof answer.error.error) || answer.head.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.error.error;
}

/* `fine` is an error number that means: it is so already. */
static int nl_do(const struct request *r, int fine, const char *what, struct err *e)
{
	int rc = nl_ask(r);
	if (rc == 0 || (fine && rc == -fine))
		return 0;
	errno = -rc;
	if (rc == -EPERM)
		return err_set(e, E_DENIED, "%s: not permitted; it takes root (CAP_NET_ADMIN)", what);
	if (rc == -EOPNOTSUPP)
		return err_set(e, E_UNSUPPORTED, "%s: this kernel cannot do that", what);
	if (rc == -ENODEV)
		return err_set(e, E_NOTFOUND, "%s: no such interface", what);
	return err_sys(e, "%s", what);
}

static int nl_index(const char *name, int *out, struct err *e)
{
	unsigned index = if_nametoindex(name);
	if (index == 0)
		return err_set(e, E_NOTFOUND, "there is no network interface '%s'", name);
	*out = (int)index;
	return 0;
}

static int nl_check_name(const char *name, struct err *e)
{
	size_t len = strlen(name);
	if (len == 0 || len >= IFNAMSIZ)
		return err_set(e, E_INVALID, "interface name '%s' must have 1 to %d characters", name, IFNAMSIZ - 1);
	return 0;
}

/* ---- Links ---- */

int nl_link_up(const char *name, struct err *e)
{
	struct request r;
	char what[TEXT_BYTES];
	struct ifinfomsg *link = nl_begin(&r, RTM_NEWLINK, 0, sizeof *link);
	int rc = nl_index(name, &link->ifi_index, e);
	if (rc != 0)
		return rc;
	link->ifi_flags = link->ifi_change = IFF_UP;
	(void)snprintf(what, sizeof what, "bring interface '%s' up", name);
	return nl_do(&r, 0, what, e);
}

static int nl_link_new(const char *name, const char *kind, int fine, struct err *e)
{
	struct request r;
	char what[TEXT_BYTES];
	int rc = nl_check_name(name, e);
	if (rc != 0)
		return rc;
	(void)nl_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	nl_put_text(&r, IFLA_IFNAME, name);
	struct rtattr *info = nl_nest(&r, IFLA_LINKINFO);
	nl_put_text(&r, IFLA_INFO_KIND, kind);
	nl_nest_end(&r, info);
	(void)snprintf(what, sizeof what, "make %s interface '%s'", kind, name);
	return nl_do(&r, fine, what, e);
}

int nl_bridge_add(const char *name, struct err *e) { return nl_link_new(name, "bridge", EEXIST, e); }
int nl_dummy_add(const char *name, struct err *e) { return nl_link_new(name, "dummy", EEXIST, e); }

int nl_veth_add(const char *name, const char *peer, int peer_netns_fd, const char *peer_final_name, struct err *e)
{
	struct request r;
	char what[TEXT_BYTES];
	const char *peer_name = peer_final_name ? peer_final_name : peer;
	int rc = nl_check_name(name, e);
	if (rc == 0)
		rc = nl_check_name(peer_name, e);
	if (rc != 0)
		return rc;
	/* The peer is born in its namespace under its final name, so nothing has to be moved or renamed. */
	(void)nl_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	nl_put_text(&r, IFLA_IFNAME, name);
	struct rtattr *info = nl_nest(&r, IFLA_LINKINFO);
	nl_put_text(&r, IFLA_INFO_KIND, "veth");
	struct rtattr *data = nl_nest(&r, IFLA_INFO_DATA);
	struct rtattr *other = nl_nest(&r, VETH_INFO_PEER);
	(void)nl_room(&r, sizeof(struct ifinfomsg));
	nl_put_text(&r, IFLA_IFNAME, peer_name);
	if (peer_netns_fd >= 0)
		nl_put_u32(&r, IFLA_NET_NS_FD, (uint32_t)peer_netns_fd);
	nl_nest_end(&r, other);
	nl_nest_end(&r, data);
	nl_nest_end(&r, info);
	(void)snprintf(what, sizeof what, "make interface pair '%s' and '%s'", name, peer_name);
	return nl_do(&r, 0, what, e);
}

int nl_link_master(const char *name, const char *bridge, struct err *e)
{
	struct request r;
	char what[TEXT_BYTES];
	int bridge_index = 0;
	struct ifinfomsg *link = nl_begin(&r, RTM_NEWLINK, 0, sizeof *link);
	int rc = nl_index(name, &link->ifi_index, e);
	if (rc == 0)
		rc = nl_index(bridge, &bridge_index, e);
	if (rc != 0)
		return rc;
	nl_put_u32(&r, IFLA_MASTER, (uint32_t)bridge_index);
	(void)snprintf(what, sizeof what, "put interface '%s' into bridge '%s'", name, bridge);
	return nl_do(&r, 0, what, e);
}

int nl_link_del(const char *name, struct err *e)
{
	struct request r;
	char what[TEXT_BYTES];
	struct ifinfomsg *link = nl_begin(&r, RTM_DELLINK, 0, sizeof *link);
	link->ifi_index = (int)if_nametoindex(name);
	if (link->ifi_index == 0)
		return 0;
	(void)snprintf(what, sizeof what, "delete interface '%s'", name);
	return nl_do(&r, ENODEV, what, e);
}

/* ---- Addresses ---- */

static void ip4_text(uint32_t ip4, int prefix, char out[TEXT_BYTES])
{
	(void)snprintf(out, TEXT_BYTES, "%u.%u.%u.%u/%d", ip4 >> 24, ip4 >> 16 & 255, ip4 >> 8 & 255, ip4 & 255, prefix);
}

static int nl_addr(uint16_t type, uint16_t flags, const char *name, uint32_t ip4, int prefix, int fine, struct err *e)
{
	struct request r;
	char text[TEXT_BYTES], what[TEXT_BYTES * 2];
	int index = 0;
	assert(prefix >= 0 && prefix <= 32);
	int rc = nl_index(name, &index, e);
	if (rc != 0)
		return rc;
	struct ifaddrmsg *addr = nl_begin(&r, type, flags, sizeof *addr);
	addr->ifa_family = AF_INET;
	addr->ifa_prefixlen = (uint8_t)prefix;
	addr->ifa_index = (uint32_t)index;
	nl_put_u32(&r, IFA_LOCAL, htonl(ip4));
	nl_put_u32(&r, IFA_ADDRESS, htonl(ip4));
	ip4_text(ip4, prefix, text);
	(void)snprintf(what, sizeof what, type == RTM_NEWADDR ? "add address %s to interface '%s'" : "take address %s from interface '%s'",
		       text, name);
	return nl_do(&r, fine, what, e);
}

int nl_addr_add(const char *name, uint32_t ip4, int prefix, struct err *e)
{
	return nl_addr(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, name, ip4, prefix, EEXIST, e);
}

int nl_addr_del(const char *name, uint32_t ip4, int prefix, struct err *e)
{
	return nl_addr(RTM_DELADDR, 0, name, ip4, prefix, EADDRNOTAVAIL, e);
}

int nl_addr_del_within(const char *name, uint32_t net4, int prefix, struct err *e)
{
	struct ifaddrs *all = NULL;
	uint32_t mask = prefix == 0 ? 0 : ~0u << (32 - prefix);
	int rc = 0;
	if (getifaddrs(&all) != 0)
		return err_sys(e, "list the addresses of this machine");
	for (const struct ifaddrs *a = all; a && rc == 0; a = a->ifa_next) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)a->ifa_addr, *own = (const struct sockaddr_in *)a->ifa_netmask;
		if (!in || !own || in->sin_family != AF_INET || strcmp(a->ifa_name, name) != 0)
			continue;
		uint32_t ip4 = ntohl(in->sin_addr.s_addr);
		if ((ip4 & mask) == (net4 & mask))
			rc = nl_addr_del(name, ip4, __builtin_popcount(own->sin_addr.s_addr), e);
	}
	freeifaddrs(all);
	return rc;
}

/* ---- Routes ---- */

static void nl_route_begin(struct request *r, uint16_t type, uint16_t flags, uint32_t ip4, int prefix, uint8_t route_type, uint8_t scope)
{
	assert(prefix >= 0 && prefix <= 32);
	struct rtmsg *route = nl_begin(r, type, flags, sizeof *route);
	route->rtm_family = AF_INET;
	route->rtm_dst_len = (uint8_t)prefix;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_type = route_type;
	route->rtm_scope = scope;
	if (prefix > 0)
		nl_put_u32(r, RTA_DST, htonl(ip4));
}

int nl_route_add(uint32_t ip4, int prefix, uint32_t gateway, const char *dev, struct err *e)
{
	struct request r;
	char text[TEXT_BYTES], what[TEXT_BYTES * 2];
	int index = 0;
	nl_route_begin(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, ip4, prefix, RTN_UNICAST, gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
	if (gateway)
		nl_put_u32(&r, RTA_GATEWAY, htonl(gateway));
	if (dev) {
		int rc = nl_index(dev, &index, e);
		if (rc != 0)
			return rc;
		nl_put_u32(&r, RTA_OIF, (uint32_t)index);
	}
	ip4_text(ip4, prefix, text);
	(void)snprintf(what, sizeof what, "add a route to %s", text);
	return nl_do(&r, EEXIST, what, e);
}

int nl_route_unreachable(uint32_t ip4, int prefix, bool add, struct err *e)
{
	struct request r;
	char text[TEXT_BYTES], what[TEXT_BYTES * 2];
	nl_route_begin(&r, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, ip4, prefix, RTN_UNREACHABLE,
		       RT_SCOPE_UNIVERSE);
	ip4_text(ip4, prefix, text);
	(void)snprintf(what, sizeof what, "%s the unreachable route to %s", add ? "add" : "delete", text);
	return nl_do(&r, add ? EEXIST : ESRCH, what, e);
}

/* ---- Namespaces ---- */

/* What the forked child of netns_create and netns_run tells its parent. */
struct verdict {
	int rc;
	struct err err;
};

/* Run fn(arg) in a forked child; its result and error become ours. */
static int in_child(int (*fn)(void *arg, struct err *e), void *arg, const char *what, struct err *e)
{
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC) == -1)
		return err_sys(e, "%s: make a pipe", what);
	pid_t pid = fork();
	if (pid == 0) {
		struct verdict v = { 0 };
		v.rc = fn(arg, &v.err);
		_exit(write(pipe_fds[1], &v, sizeof v) == (ssize_t)sizeof v ? 0 : 1);
	}
	int fork_error = errno;
	(void)close(pipe_fds[1]);
	struct verdict v;
	ssize_t n = -1;
	if (pid > 0) {
		do
			n = read(pipe_fds[0], &v, sizeof v);      /* a whole verdict is less than PIPE_BUF: comes in one piece */
		while (n == -1 && errno == EINTR);
		while (waitpid(pid, NULL, 0) == -1 && errno == EINTR) { }
	}
	(void)close(pipe_fds[0]);
	if (pid == -1) {
		errno = fork_error;
		return err_sys(e, "%s: fork", what);
	}
	if (n != (ssize_t)sizeof v)
		return err_set(e, E_IO, "%s: the helper process died", what);
	if (v.rc != 0 && e)
		*e = v.err;
	return v.rc;
}

static int netns_make_and_pin(void *arg, struct err *e)
{
	const char *path = arg;
	if (unshare(CLONE_NEWNET) == -1) {
		if (errno == EPERM)
			return err_set(e, E_DENIED, "make a network namespace: not permitted; it takes root (CAP_SYS_ADMIN)");
		return err_sys(e, "make a network namespace");
	}
	if (mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) == -1)
		return err_sys(e, "pin a network namespace at '%s'", path);
	return nl_link_up("lo", e);
}

int netns_create(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd == -1 && errno == EEXIST)
		return err_set(e, E_CONFLICT, "network namespace '%s' exists already; delete it first", path);
	if (fd == -1)
		return err_sys(e, "make '%s' to pin a network namespace at", path);
	(void)close(fd);
	int rc = in_child(netns_make_and_pin, (void *)path, "make a network namespace", e);
	if (rc != 0) {
		(void)umount2(path, MNT_DETACH);         /* nothing may be mounted yet */
		(void)unlink(path);
	}
	return rc;
}

int netns_delete(const char *path, struct err *e)
{
	if (umount2(path, MNT_DETACH) == -1 && errno != EINVAL && errno != ENOENT)
		return err_sys(e, "let go of network namespace '%s'", path);
	if (unlink(path) == -1 && errno != ENOENT)
		return err_sys(e, "remove '%s'", path);
	return 0;
}

struct netns_job {
	const char *path;
	int (*fn)(void *arg, struct err *e);
	void *arg;
};

static int netns_enter_and_run(void *arg, struct err *e)
{
	const struct netns_job *job = arg;
	AUTO_FD int fd = open(job->path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(e, "open network namespace '%s'", job->path);
	if (setns(fd, CLONE_NEWNET) == -1)
		return err_sys(e, "enter network namespace '%s'", job->path);
	return job->fn(job->arg, e);
}

int netns_run(const char *path, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	struct netns_job job = { .path = path, .fn = fn, .arg = arg };
	return in_child(netns_enter_and_run, &job, "work in a network namespace", e);
}
