/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads between our own processes: the first byte says which message, the rest is its bytes. What is taken is written, and
 * reads back as what it was.
 */
#include "net/pb_util.h"
#include "proto/cluster.pb.h"
#include "proto/records.pb.h"

#define CLUSTER_MESSAGES(X) \
	X(dcos_JoinRequest) X(dcos_JoinReply) X(dcos_Leader) X(dcos_AgentRegister) X(dcos_AgentRegistered) X(dcos_AgentResources) \
	X(dcos_TaskLaunch) X(dcos_TaskKill) X(dcos_TaskUpdate) X(dcos_TaskUpdateAck) X(dcos_FrameworkMessage) \
	X(dcos_FrameworkShutdown) X(dcos_AgentShutdown) X(dcos_ExecutorRegister) X(dcos_ExecutorRegistered) X(dcos_ExecutorLaunch) \
	X(dcos_ViewSubscribe) X(dcos_ViewDelta) X(dcos_ViewMaster) X(dcos_ViewAgent) X(dcos_ViewName) X(dcos_ViewFramework) \
	X(dcos_ViewTask) X(rec_Agent) X(rec_Framework) X(rec_Intents) X(rec_AppsChange) X(rec_Instances) X(rec_Deployment) \
	X(dcos_LeaderAsk) X(dcos_MasterHello) X(dcos_MasterSecrets) X(dcos_MasterName) X(dcos_MasterMembers) \
	X(dcos_MasterTokenRequest) X(dcos_MasterTokenReply) X(rec_MastersChange) X(rec_Master) X(rec_MasterToken) X(rec_CheckpointAgent) X(rec_CheckpointTask)

#define ROW(M) { M##_fields, sizeof(M) },
static const struct {
	const pb_msgdesc_t *fields;
	size_t size;
} messages[] = { CLUSTER_MESSAGES(ROW) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA struct arena a = { .max = 64 * MIB };
	AUTO_BUF struct buf bytes = BUF_INIT;
	struct err e = { 0 };
	if (size == 0)
		return 0;
	size_t which = data[0] % ARRAY_LEN(messages);
	void *once = arena_alloc(&a, messages[which].size), *twice = arena_alloc(&a, messages[which].size);
	int rc = pb_read(&a, messages[which].fields, str_n((const char *)data + 1, size - 1), once, &e);
	if (rc != 0) {
		assert(e.code == rc && e.text[0]);
		return 0;
	}
	rc = pb_write(messages[which].fields, once, &bytes, &e);
	assert(rc == 0);
	rc = pb_read(&a, messages[which].fields, buf_view(&bytes), twice, &e);
	assert(rc == E_TOOBIG || (rc == 0 && pb_equal(messages[which].fields, once, twice)));
	return 0;
}
