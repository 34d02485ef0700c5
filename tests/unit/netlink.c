/* SPDX-License-Identifier: Apache-2.0 */
/* Links, addresses, routes and namespaces, made in a network and mount namespace of each test's own. Takes root. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "net/netlink.h"
#include "tests/lib/test.h"

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static struct err e;

static void ok(int rc)
{
	if (rc != 0)
		FAIL("%s", e.text);
}

/* false: the test cannot run here. */
static bool begin(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) == -1) {
		(void)printf("skipped: it takes root to make a network namespace\n");
		return false;
	}
	EQ_INT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ok(nl_link_up("lo", &e));
	return true;
}

static const char *ask_ioctl(const char *name, unsigned long what)
{
	static char out[INET_ADDRSTRLEN];
	struct ifreq r = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	r.ifr_addr.sa_family = AF_INET;
	int rc = ioctl(fd, (int)what, &r);
	(void)close(fd);
	if (rc == -1)
		return "none";
	return inet_ntop(AF_INET, &((struct sockaddr_in *)&r.ifr_addr)->sin_addr, out, sizeof out);
}

static const char *address_of(const char *name) { return ask_ioctl(name, SIOCGIFADDR); }
static const char *mask_of(const char *name) { return ask_ioctl(name, SIOCGIFNETMASK); }

/* errno of sending a datagram there, 0 when it left */
static int send_to(uint32_t ip4)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(ip4) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = connect(fd, (struct sockaddr *)&to, sizeof to);
	int error = errno;
	(void)close(fd);
	return rc == 0 ? 0 : error;
}

TEST(netlink, a_bridge_with_an_address_is_made_once_and_deleted)
{
	if (!begin())
		return;
	ok(nl_bridge_add("dcos9", &e));
	ok(nl_bridge_add("dcos9", &e));
	ok(nl_addr_add("dcos9", IP(192, 168, 65, 1), 24, &e));
	ok(nl_addr_add("dcos9", IP(192, 168, 65, 1), 24, &e));
	ok(nl_link_up("dcos9", &e));
	EQ_STR(address_of("dcos9"), "192.168.65.1");
	EQ_STR(mask_of("dcos9"), "255.255.255.0");
	ok(nl_addr_del("dcos9", IP(192, 168, 65, 1), 24, &e));
	ok(nl_addr_del("dcos9", IP(192, 168, 65, 1), 24, &e));
	EQ_STR(address_of("dcos9"), "none");
	ok(nl_link_del("dcos9", &e));
	ok(nl_link_del("dcos9", &e));
	EQ_INT(if_nametoindex("dcos9"), 0);
}

TEST(netlink, an_unreachable_route_comes_and_goes_as_often_as_asked)
{
	if (!begin())
		return;
	ok(nl_addr_add("lo", IP(10, 9, 9, 9), 32, &e));
	ok(nl_route_add(0, 0, 0, "lo", &e));
	EQ_INT(send_to(IP(11, 1, 2, 3)), 0);
	ok(nl_route_unreachable(IP(11, 0, 0, 0), 8, true, &e));
	ok(nl_route_unreachable(IP(11, 0, 0, 0), 8, true, &e));
	EQ_INT(send_to(IP(11, 1, 2, 3)), EHOSTUNREACH);
	EQ_INT(send_to(IP(12, 1, 2, 3)), 0);
	ok(nl_route_unreachable(IP(11, 0, 0, 0), 8, false, &e));
	ok(nl_route_unreachable(IP(11, 0, 0, 0), 8, false, &e));
	EQ_INT(send_to(IP(11, 1, 2, 3)), 0);
}

static int set_up_inside(void *arg, struct err *err)
{
	const char *name = arg;
	int rc = nl_link_up(name, err);
	if (rc == 0)
		rc = nl_addr_add(name, IP(192, 168, 65, 90), 24, err);
	if (rc == 0)
		rc = nl_route_add(0, 0, IP(192, 168, 65, 1), NULL, err);
	if (rc == 0 && send_to(IP(192, 168, 65, 1)) != 0)
		rc = err_set(err, E_IO, "the bridge cannot be reached");
	return rc;
}

TEST(netlink, a_namespace_is_pinned_and_joined_to_a_bridge)
{
	char path[100];
	if (!begin())
		return;
	(void)snprintf(path, sizeof path, "%s/ns", test_dir());
	ok(netns_create(path, &e));
	EQ_INT(netns_create(path, &e), E_CONFLICT);
	ok(nl_bridge_add("dcos9", &e));
	ok(nl_addr_add("dcos9", IP(192, 168, 65, 1), 24, &e));
	ok(nl_link_up("dcos9", &e));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ok(nl_veth_add("vm1", "eth0", fd, "eth0", &e));
	ok(nl_link_master("vm1", "dcos9", &e));
	ok(nl_link_up("vm1", &e));
	EQ_INT(if_nametoindex("eth0"), 0);              /* it was born inside */
	ok(netns_run(path, set_up_inside, (void *)"eth0", &e));
	EQ_STR(address_of("eth0"), "none");
	(void)close(fd);
	ok(netns_delete(path, &e));
	ok(netns_delete(path, &e));
	EQ_INT(access(path, F_OK), -1);
}

static int fail_inside(void *arg UNUSED, struct err *err) { return err_set(err, E_CONFLICT, "as it should"); }

TEST(netlink, what_fails_inside_a_namespace_is_told_outside)
{
	char path[100];
	if (!begin())
		return;
	(void)snprintf(path, sizeof path, "%s/ns", test_dir());
	EQ_INT(netns_run(path, fail_inside, NULL, &e), E_NOTFOUND);
	HAS(e.text, "open network namespace '");
	ok(netns_create(path, &e));
	EQ_INT(netns_run(path, fail_inside, NULL, &e), E_CONFLICT);
	EQ_STR(e.text, "as it should");
	ok(netns_delete(path, &e));
}

TEST(netlink, a_dummy_interface_is_made_or_unsupported)
{
	if (!begin())
		return;
	int rc = nl_dummy_add("spartan", &e);
	TRUE(rc == 0 || rc == E_UNSUPPORTED);
	EQ_INT(if_nametoindex("spartan") != 0, rc == 0);
}

TEST(netlink, errors_name_the_interface)
{
	if (!begin())
		return;
	EQ_INT(nl_link_up("nosuch0", &e), E_NOTFOUND);
	EQ_STR(e.text, "there is no network interface 'nosuch0'");
	EQ_INT(nl_bridge_add("a-name-too-long-x", &e), E_INVALID);
	EQ_STR(e.text, "interface name 'a-name-too-long-x' must have 1 to 15 characters");
	ok(nl_bridge_add("taken0", &e));
	EQ_INT(nl_veth_add("taken0", "peer0", -1, NULL, &e), E_IO);
	EQ_STR(e.text, "make interface pair 'taken0' and 'peer0': File exists");
}

TEST(netlink, all_addresses_of_a_network_are_removed_and_no_others)
{
	if (!begin())
		return;
	ok(nl_addr_add("lo", IP(11, 0, 0, 1), 32, &e));
	ok(nl_addr_add("lo", IP(11, 53, 9, 139), 32, &e));
	ok(nl_addr_add("lo", IP(12, 0, 0, 1), 32, &e));
	ok(nl_addr_del_within("lo", IP(11, 0, 0, 0), 8, &e));
	ok(nl_addr_del_within("lo", IP(11, 0, 0, 0), 8, &e));
	EQ_INT(send_to(IP(11, 0, 0, 1)), ENETUNREACH);
	EQ_INT(send_to(IP(11, 53, 9, 139)), ENETUNREACH);
	EQ_INT(send_to(IP(12, 0, 0, 1)), 0);
	EQ_INT(send_to(IP(127, 0, 0, 1)), 0);
}
