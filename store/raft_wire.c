/* SPDX-License-Identifier: Apache-2.0 */
/* One row for each kind of frame: its name, and what must hold of it. */
#include "store/raft_wire.h"

#include <raft.h>

#include "net/limits.h"
#include "net/pb_util.h"
#include "store/raft_log.h"

#define INDEX_MAX (UINT64_MAX / 4)       /* far beyond any log, and sums of two do not overflow */

/* A position in a log: both zero, or both not, and of no later term than the frame's. */
static bool position_ok(const raft_Frame *f)
{
	return f->index < INDEX_MAX && (f->index == 0) == (f->index_term == 0) && f->index_term <= f->term;
}

static bool change_ok(struct str data)
{
	struct raft_configuration conf;
	struct raft_buffer raw = { (void *)(uintptr_t)data.p, data.len };
	if (raft_configuration_decode(&raw, &conf) != 0)
		return false;
	bool ok = conf.n > 0 && conf.n <= LIMIT_QUORUM_MEMBERS;
	raft_configuration_close(&conf);
	return ok;
}

static bool records_ok(const raft_Frame *f)
{
	struct str rest = pb_bytes_view(f->records);
	struct log_entry entry;
	uint64_t next = f->index + 1, term = f->index_term;
	unsigned count = 0;
	while (log_record_next(&rest, &entry)) {
		bool ok = ++count <= WIRE_ENTRIES_MAX && entry.index == next && entry.term >= term && entry.term > 0 &&
			  entry.term <= f->term && entry.type >= ENTRY_COMMAND && entry.type <= ENTRY_CHANGE &&
			  (entry.type != ENTRY_CHANGE || change_ok(entry.data));
		if (!ok)
			return false;
		term = entry.term;
		next++;
	}
	return rest.len == 0;
}

static bool append_ok(const raft_Frame *f)
{
	return f->term > 0 && position_ok(f) && f->commit < INDEX_MAX && records_ok(f);
}

static bool append_result_ok(const raft_Frame *f)
{
	return f->term > 0 && f->index < INDEX_MAX && (f->rejected == 0 || f->index < f->rejected);
}

static bool vote_ok(const raft_Frame *f) { return f->term > 0 && position_ok(f); }

static bool chunk_ok(const raft_Frame *f)
{
	size_t len = pb_bytes_view(f->data).len;
	return f->term > 0 && f->index > 0 && position_ok(f) && f->total <= LIMIT_SNAPSHOT_BYTES && len <= WIRE_CHUNK_BYTES &&
	       len <= f->total && f->offset <= f->total - len;
}

static bool got_ok(const raft_Frame *f)
{
	return f->term > 0 && f->index > 0 && position_ok(f) && f->offset <= LIMIT_SNAPSHOT_BYTES;
}

static bool round_ok(const raft_Frame *f) { return f->term > 0 && f->round > 0; }
static bool fresh_ok(const raft_Frame *f) { return f->round > 0 && f->index < INDEX_MAX; }

static const struct kind_row {
	const char *name;
	bool (*ok)(const raft_Frame *f);
} kinds[] = {
	[raft_Kind_APPEND]         = { "append",          append_ok },
	[raft_Kind_APPEND_RESULT]  = { "append result",   append_result_ok },
	[raft_Kind_VOTE]           = { "vote request",    vote_ok },
	[raft_Kind_VOTE_RESULT]    = { "vote",            vote_ok },
	[raft_Kind_TIMEOUT_NOW]    = { "timeout now",     vote_ok },
	[raft_Kind_SNAPSHOT_CHUNK] = { "snapshot chunk",  chunk_ok },
	[raft_Kind_SNAPSHOT_GOT]   = { "snapshot answer", got_ok },
	[raft_Kind_ROUND]          = { "round",           round_ok },
	[raft_Kind_ROUND_RESULT]   = { "round result",    round_ok },
	[raft_Kind_FRESH]          = { "fresh read",      fresh_ok },
	[raft_Kind_FRESH_RESULT]   = { "fresh result",    fresh_ok },
};

const char *wire_name(raft_Kind kind)
{
	return (size_t)kind < ARRAY_LEN(kinds) && kinds[kind].name ? kinds[kind].name : "unknown frame";
}

int wire_read(struct arena *a, struct str bytes, raft_Frame *out, struct err *e)
{
	int rc = pb_read(a, raft_Frame_fields, bytes, out, e);
	if (rc != 0)
		return err_wrap(e, "read a frame of another master");
	if ((size_t)out->kind >= ARRAY_LEN(kinds) || !kinds[out->kind].ok)
		return err_set(e, E_MALFORMED, "a frame of another master is of the unknown kind %d", (int)out->kind);
	if (out->from == 0 || out->to == 0 || out->from == out->to || out->term >= INDEX_MAX || !kinds[out->kind].ok(out))
		return err_set(e, E_MALFORMED, "a frame of another master (%s) contradicts itself", wire_name(out->kind));
	return 0;
}

int wire_write(const raft_Frame *f, struct buf *out, struct err *e)
{
	return pb_write(raft_Frame_fields, f, out, e);
}
