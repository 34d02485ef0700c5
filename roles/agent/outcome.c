/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a task in words, see outcome.h. What comes first wins: not started, out of memory, killed, exit status. */
#include "roles/agent/outcome.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define MESSAGE_MAX (8 * KIB)

static void say_exit(int status, struct buf *out)
{
	if (status != -1 && WIFEXITED(status))
		buf_printf(out, "Command exited with status %d", WEXITSTATUS(status));
	else if (status != -1 && WIFSIGNALED(status))
		buf_printf(out, "Command terminated with signal %s%s", strsignal(WTERMSIG(status)),
			   WCOREDUMP(status) ? " (core dumped)" : "");
	else
		buf_puts(out, "Command ended, nobody knows how");
}

static void set_reason(struct outcome *o, mesos_v1_TaskStatus_Reason reason)
{
	o->has_reason = true;
	o->reason = reason;
}

void outcome_of(const struct outcome_facts *f, struct outcome *out)
{
	*out = (struct outcome){ .state = mesos_v1_TaskState_TASK_FAILED, .message = { .max = MESSAGE_MAX } };
	if (f->start_error) {
		buf_printf(&out->message, "Failed to launch container: %s", f->start_error);
		set_reason(out, mesos_v1_TaskStatus_Reason_REASON_CONTAINER_LAUNCH_FAILED);
		return;
	}
	if (f->out_of_memory) {
		buf_printf(&out->message, "Memory limit exceeded: Requested: %lldMB Maximum Used: %lldMB\n\nMEMORY STATISTICS: \n",
			   (long long)(f->mem_bytes / MIB), (long long)(f->mem_max_bytes / MIB));
		buf_puts(&out->message, f->memory_stat ? f->memory_stat : "");
		set_reason(out, mesos_v1_TaskStatus_Reason_REASON_CONTAINER_LIMITATION_MEMORY);
		return;
	}
	say_exit(f->wait_status, &out->message);
	if (f->kill_wanted)
		out->state = mesos_v1_TaskState_TASK_KILLED;
	else if (f->wait_status != -1 && WIFEXITED(f->wait_status) && WEXITSTATUS(f->wait_status) == 0)
		out->state = mesos_v1_TaskState_TASK_FINISHED;
}

/* Hexadecimal signal mask of the line "<key>\t<mask>". */
static bool find_mask(struct str text, const char *key, uint64_t *out)
{
	while (text.p && text.len > 0) {
		struct str line = str_cut(&text, '\n');
		struct str name = str_cut(&line, ':');
		if (!str_eq_c(name, key) || !line.p)
			continue;
		*out = 0;
		line = str_trim(line);
		for (size_t i = 0; i < line.len && i < 16; i++) {
			const char *digits = "0123456789abcdef", *at = strchr(digits, line.p[i]);
			*out = *out << 4 | (at ? (uint64_t)(at - digits) : 0);
		}
		return true;
	}
	return false;
}

bool outcome_dies_of_term(struct str proc_status)
{
	const uint64_t term = 1ULL << (SIGTERM - 1);
	uint64_t caught, ignored, blocked;
	return find_mask(proc_status, "SigCgt", &caught) && find_mask(proc_status, "SigIgn", &ignored) &&
	       find_mask(proc_status, "SigBlk", &blocked) && !((caught | ignored | blocked) & term);
}
