/* SPDX-License-Identifier: Apache-2.0 */
/* What the master counts, under Mesos' names. Counters go up where it happens; gauges are set by publish_metrics. */
#pragma once

#include "net/base/metrics.h"

#define MASTER_METRICS(X) \
	/* type    name                                            field                     unit         meaning */ \
	X(GAUGE,   "master/elected",                               elected,                  "bool",      "1 while this master leads") \
	X(GAUGE,   "master/uptime_secs",                           uptime_secs,              "seconds",   "since this process started") \
	X(GAUGE,   "master/cpus_total",                            cpus_total,               "cpus",      "of all active agents") \
	X(GAUGE,   "master/cpus_used",                             cpus_used,                "cpus",      "allocated to tasks and executors") \
	X(GAUGE,   "master/cpus_percent",                          cpus_percent,             "fraction",  "used of total, 0 to 1") \
	X(GAUGE,   "master/mem_total",                             mem_total,                "MB",        "of all active agents") \
	X(GAUGE,   "master/mem_used",                              mem_used,                 "MB",        "allocated to tasks and executors") \
	X(GAUGE,   "master/mem_percent",                           mem_percent,              "fraction",  "used of total, 0 to 1") \
	X(GAUGE,   "master/disk_total",                            disk_total,               "MB",        "of all active agents") \
	X(GAUGE,   "master/disk_used",                             disk_used,                "MB",        "allocated to tasks and executors") \
	X(GAUGE,   "master/disk_percent",                          disk_percent,             "fraction",  "used of total, 0 to 1") \
	X(GAUGE,   "master/gpus_total",                            gpus_total,               "gpus",      "of all active agents") \
	X(GAUGE,   "master/gpus_used",                             gpus_used,                "gpus",      "allocated to tasks and executors") \
	X(GAUGE,   "master/gpus_percent",                          gpus_percent,             "fraction",  "used of total, 0 to 1") \
	X(GAUGE,   "master/slaves_active",                         slaves_active,            "agents",    "connected and offered") \
	X(GAUGE,   "master/slaves_inactive",                       slaves_inactive,          "agents",    "registered but not offered") \
	X(GAUGE,   "master/slaves_connected",                      slaves_connected,         "agents",    "with a connection") \
	X(GAUGE,   "master/slaves_disconnected",                   slaves_disconnected,      "agents",    "registered, without a connection") \
	X(GAUGE,   "master/slaves_unreachable",                    slaves_unreachable,       "agents",    "given up until they come back") \
	X(COUNTER, "master/slave_registrations",                   slave_registrations,      "agents",    "registered for the first time") \
	X(COUNTER, "master/slave_reregistrations",                 slave_reregistrations,    "agents",    "came back") \
	X(COUNTER, "master/slave_removals",                        slave_removals,           "agents",    "removed, for whatever reason") \
	X(COUNTER, "master/slave_removals/reason_registered",      slave_removals_registered, "agents",   "replaced by a new agent at the same address") \
	X(COUNTER, "master/slave_removals/reason_unhealthy",       slave_removals_unhealthy, "agents",    "gave no answer to pings") \
	X(COUNTER, "master/slave_unreachable_scheduled",           slave_unreachable_scheduled, "agents", "about to be marked unreachable") \
	X(COUNTER, "master/slave_unreachable_completed",           slave_unreachable_completed, "agents", "marked unreachable") \
	X(COUNTER, "master/recovery_slave_removals",               recovery_slave_removals,  "agents",    "did not come back after a change of leaders") \
	X(GAUGE,   "master/frameworks_active",                     frameworks_active,        "frameworks", "connected and offered") \
	X(GAUGE,   "master/frameworks_inactive",                   frameworks_inactive,      "frameworks", "known but not offered") \
	X(GAUGE,   "master/frameworks_connected",                  frameworks_connected,     "frameworks", "with a session") \
	X(GAUGE,   "master/frameworks_disconnected",               frameworks_disconnected,  "frameworks", "without a session") \
	X(GAUGE,   "master/outstanding_offers",                    outstanding_offers,       "offers",    "neither accepted nor declined nor rescinded") \
	X(GAUGE,   "master/tasks_staging",                         tasks_staging,            "tasks",     "in TASK_STAGING") \
	X(GAUGE,   "master/tasks_starting",                        tasks_starting,           "tasks",     "in TASK_STARTING") \
	X(GAUGE,   "master/tasks_running",                         tasks_running,            "tasks",     "in TASK_RUNNING") \
	X(GAUGE,   "master/tasks_killing",                         tasks_killing,            "tasks",     "in TASK_KILLING") \
	X(GAUGE,   "master/tasks_unreachable",                     tasks_unreachable,        "tasks",     "in TASK_UNREACHABLE") \
	X(COUNTER, "master/tasks_finished",                        tasks_finished,           "tasks",     "ended in TASK_FINISHED") \
	X(COUNTER, "master/tasks_failed",                          tasks_failed,             "tasks",     "ended in TASK_FAILED") \
	X(COUNTER, "master/tasks_killed",                          tasks_killed,             "tasks",     "ended in TASK_KILLED") \
	X(COUNTER, "master/tasks_lost",                            tasks_lost,               "tasks",     "ended in TASK_LOST") \
	X(COUNTER, "master/tasks_error",                           tasks_error,              "tasks",     "ended in TASK_ERROR") \
	X(COUNTER, "master/tasks_dropped",                         tasks_dropped,            "tasks",     "ended in TASK_DROPPED") \
	X(COUNTER, "master/tasks_gone",                            tasks_gone,               "tasks",     "ended in TASK_GONE") \
	X(COUNTER, "master/tasks_gone_by_operator",                tasks_gone_by_operator,   "tasks",     "ended in TASK_GONE_BY_OPERATOR") \
	X(COUNTER, "master/dropped_messages",                      dropped_messages,         "messages",  "undecodable, or from unknown agents") \
	X(COUNTER, "master/messages_register_slave",               messages_register_slave,  "messages",  "from agents without an id") \
	X(COUNTER, "master/messages_reregister_slave",             messages_reregister_slave, "messages", "from agents with an id") \
	X(COUNTER, "master/messages_status_update",                messages_status_update,   "messages",  "from agents") \
	X(COUNTER, "master/valid_status_updates",                  valid_status_updates,     "messages",  "of known frameworks") \
	X(COUNTER, "master/invalid_status_updates",                invalid_status_updates,   "messages",  "of unknown frameworks, or not decodable") \
	X(COUNTER, "master/messages_status_update_acknowledgement", messages_acknowledge,    "calls",     "ACKNOWLEDGE") \
	X(COUNTER, "master/valid_status_update_acknowledgements",  valid_acknowledgements,   "calls",     "ACKNOWLEDGE passed on") \
	X(COUNTER, "master/invalid_status_update_acknowledgements", invalid_acknowledgements, "calls",    "ACKNOWLEDGE for agents that are away") \
	X(COUNTER, "master/messages_register_framework",           messages_register_framework, "calls",  "SUBSCRIBE without an id") \
	X(COUNTER, "master/messages_reregister_framework",         messages_reregister_framework, "calls", "SUBSCRIBE with an id") \
	X(COUNTER, "master/messages_unregister_framework",         messages_teardown,        "calls",     "TEARDOWN") \
	X(COUNTER, "master/messages_launch_tasks",                 messages_accept,          "calls",     "ACCEPT") \
	X(COUNTER, "master/messages_decline_offers",               messages_decline,         "calls",     "DECLINE, or ACCEPT without tasks") \
	X(COUNTER, "master/messages_revive_offers",                messages_revive,          "calls",     "REVIVE") \
	X(COUNTER, "master/messages_suppress_offers",              messages_suppress,        "calls",     "SUPPRESS") \
	X(COUNTER, "master/messages_kill_task",                    messages_kill,            "calls",     "KILL") \
	X(COUNTER, "master/messages_reconcile_tasks",              messages_reconcile,       "calls",     "RECONCILE") \
	X(COUNTER, "master/messages_resource_request",             messages_request,         "calls",     "REQUEST") \
	X(COUNTER, "master/messages_framework_to_executor",        messages_message,         "calls",     "MESSAGE") \
	X(COUNTER, "master/valid_framework_to_executor_messages",  valid_messages,           "calls",     "MESSAGE passed on") \
	X(COUNTER, "master/invalid_framework_to_executor_messages", invalid_messages,        "calls",     "MESSAGE for agents that are away") \
	X(COUNTER, "master/messages_executor_to_framework",        messages_from_executors,  "messages",  "from executors to their framework") \
	X(COUNTER, "allocator/mesos/allocation_runs",              allocation_runs,          "runs",      "of the allocator") \
	X(GAUGE,   "allocator/mesos/offer_filters",                offer_filters,            "filters",   "refusals that still hold")

struct master_metrics { MASTER_METRICS(METRIC_FIELD) };
extern const struct metric master_metric_rows[];
extern const size_t master_metric_count;
