/* SPDX-License-Identifier: Apache-2.0 */
/* The members as programs outside ask for them: where they are, whether they are there, who leads. */
#include "roles/master/quorum_int.h"

size_t quorum_masters(struct quorum *q, struct quorum_master out[STORE_MEMBERS_MAX])
{
	struct store_member all[STORE_MEMBERS_MAX];
	struct master_row self;
	size_t count = store_members(q->m->store, all);
	quorum_self(q, &self);
	for (size_t i = 0; i < count; i++) {
		const struct store_member *m = &all[i];
		const struct link *l = links_find(q, m->address);
		const struct master_row *row = m->self ? &self : l ? &l->is : book_find(quorum_book(q), m->address);
		const char *where = row && row->ip[0] ? row->ip : m->address;    /* let in and never seen: the key is all there is */
		out[i] = (struct quorum_master){ .voter = m->voter, .leads = m->leads, .connected = m->self || l };
		(void)str_put(out[i].host, sizeof(out[i].host), str_of(where));
	}
	return count;
}
