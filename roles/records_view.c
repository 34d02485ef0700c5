/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/records_view.h"

#include "net/base/log.h"
#include "net/pb_util.h"

struct load {
	struct records *records;
	int table;
	size_t damaged;
};

static bool load_row(void *arg, struct str key, struct str value)
{
	struct load *l = arg;
	AUTO_ARENA struct arena a = ARENA_INIT;
	struct err e = { 0 };
	union {
		dcos_ViewMaster master;
		dcos_ViewAgent agent;
		dcos_ViewName name;
	} row;
	(void)key;
	switch (l->table) {
	case dcos_ViewTable_VIEW_MASTER:
		if (pb_read(&a, dcos_ViewMaster_fields, value, &row.master, &e) == 0)
			records_add_master(l->records, &row.master);
		break;
	case dcos_ViewTable_VIEW_AGENT:
		if (pb_read(&a, dcos_ViewAgent_fields, value, &row.agent, &e) == 0)
			records_add_agent(l->records, &row.agent);
		break;
	default:
		if (pb_read(&a, dcos_ViewName_fields, value, &row.name, &e) == 0)
			records_add_task(l->records, &row.name);
		break;
	}
	l->damaged += e.code != 0;
	return true;
}

int records_from_view(struct node *n, struct records *out, struct err *e)
{
	static const int tables[] = { dcos_ViewTable_VIEW_MASTER, dcos_ViewTable_VIEW_AGENT, dcos_ViewTable_VIEW_NAME };
	AUTO_TXN struct kv_txn *txn = NULL;
	struct records fresh;
	int rc = view_begin(n->view, &txn, e);
	if (rc != 0)
		return rc;
	records_init(&fresh, n->ip4, (uint32_t)(loop_unix_us(n->loop) / SEC));
	for (size_t i = 0; i < ARRAY_LEN(tables) && rc == 0; i++) {
		struct load l = { .records = &fresh, .table = tables[i] };
		rc = view_each(txn, tables[i], load_row, &l, e);
		if (l.damaged > 0)
			LOG(WARN, "rows of the view left out", "table=%d count=%zu", tables[i], l.damaged);
	}
	if (rc != 0) {
		records_fini(&fresh);
		return rc;
	}
	records_finish(&fresh);
	*out = fresh;
	return 0;
}
