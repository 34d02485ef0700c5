/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a served view, as a follower gets them: refused or applied, never harmful. The input is a row of deltas, each
 * behind two bytes with its length. A last, empty snapshot clears the view again, so that no input depends on the one before.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "net/base/log.h"
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "store/view.h"

static struct view *view;
static struct rpc_peer *up;
static const struct rpc_handlers no_handlers;

static void begin(void)
{
	char dir[] = "/dev/shm/fuzz-view-XXXXXX";
	struct err e;
	int fds[2];
	struct loop *l = loop_new();
	log_set_level(LOG_ERROR);
	if (!mkdtemp(dir) || view_open(l, dir, &view, &e) != 0 || !view_try_lock(view))
		abort();
	AUTO_FREE char *command = xasprintf("rm -r %s", dir);     /* the mapping stays */
	if (system(command) != 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
		abort();
	up = rpc_adopt(l, fds[0], &no_handlers, NULL);
	view_subscribe(view, up, true, "n1", "dns");
}

static bool check_row(void *count, struct str key, struct str value)
{
	assert(key.len > 0 && value.p);
	++*(size_t *)count;
	return true;
}

static size_t count_rows(void)
{
	struct kv_txn *txn;
	struct err e;
	size_t count = 0;
	if (view_flush(view, &e) != 0 || view_begin(view, &txn, &e) != 0)
		abort();
	for (int table = dcos_ViewTable_VIEW_MASTER; table <= dcos_ViewTable_VIEW_TASK; table++)
		if (view_each(txn, table, check_row, &count, &e) != 0)
			abort();
	kv_abort(txn);
	return count;
}

static void clear(void)
{
	AUTO_BUF struct buf b = BUF_INIT;
	dcos_ViewDelta d = {
		.has_term = true, .term = 1, .has_seq = true, .seq = 1,
		.has_snapshot_begin = true, .snapshot_begin = true, .has_snapshot_end = true, .snapshot_end = true,
	};
	if (pb_write(dcos_ViewDelta_fields, &d, &b, NULL) != 0)
		abort();
	view_on_delta(view, up, buf_view(&b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!view)
		begin();
	struct str rest = str_n((const char *)data, size);
	while (rest.len > 2) {
		size_t len = MIN(rest.len - 2, (size_t)(uint8_t)rest.p[0] << 8 | (uint8_t)rest.p[1]);
		rest = str_from(rest, 2);
		view_on_delta(view, up, str_head(rest, len));
		rest = str_from(rest, len);
	}
	(void)count_rows();
	clear();
	size_t left = count_rows();
	assert(left == 0);
	return 0;
}
