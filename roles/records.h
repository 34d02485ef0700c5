/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of a cluster and the answers to questions about them. Pure: built from rows of the view, asked with parsed queries.
 * dns answers from it, lb shows it. Rules: Mesos-DNS 0.7 (zone mesos) and dcos-net 1.13 (zones below thisdcos.directory, spartan, zk, localhost).
 */
#pragma once

#include "net/base/arena.h"
#include "net/base/buf.h"
#include "net/base/map.h"
#include "net/dns_wire.h"
#include "proto/cluster.pb.h"
#include "roles/vips.h"

#define RECORDS_TTL_MESOS 60     /* seconds; zone mesos */

struct record {
	enum dns_type type;          /* A, SRV */
	uint32_t ip4;                /* A; host byte order */
	uint16_t port;               /* SRV */
	const char *target;          /* SRV */
	struct record *next;
};

struct record_set {
	const char *name;
	struct record *first;
};

struct records {
	struct arena arena;
	struct map names;            /* name -> struct record_set */
	struct vips vips;
	uint32_t serial;             /* of the SOA: unix time of the build */
	uint32_t leader_ip4;         /* 0: none known */
	size_t master_count;
	size_t rows;                 /* how many were added */
};

/* A new, empty set for the node at own_ip4 (thisnode.thisdcos.directory). */
void records_init(struct records *r, uint32_t own_ip4, uint32_t serial);
void records_fini(struct records *r);
void records_add_master(struct records *r, const dcos_ViewMaster *m);
void records_add_agent(struct records *r, const dcos_ViewAgent *a);
void records_add_task(struct records *r, const dcos_ViewName *t);
/* Everything was added: names of VIPs, zk-1.zk … */
void records_finish(struct records *r);

/* The name is in a zone of ours: answer it here rather than asking others. */
bool records_ours(const char *name);
#define RECORDS_TTL_OUTWARD 5    /* seconds; what programs are told: names move with their tasks */
/*
 * Write the answer to q, which is in a zone of ours. rotate: any number, turns the order of several records.
 * ttl_max: RECORDS_TTL_OUTWARD, or UINT32_MAX to answer as Mesos-DNS itself. max: bytes the asker takes. Returns the length.
 */
size_t records_answer(const struct records *r, const struct dns_query *q, uint32_t rotate, uint32_t ttl_max, uint8_t *out,
		      size_t max);
/* name: lower case, without the trailing dot. NULL: nobody has it. */
const struct record_set *records_find(const struct records *r, const char *name);
/* First address among the records of a name, 0 if there is none. */
uint32_t records_address(const struct records *r, const char *name);
/* What a record leads to, as Mesos-DNS' API writes it: "10.0.0.1", "host.:31000". In arena a. */
const char *record_text(struct arena *a, const struct record *rec);

/* "c.b.a" -> "c-b-a": Mesos-DNS' RFC 1123 label. */
void mesos_label(struct buf *out, struct str text);
/* First five characters of zbase32(SHA-1(task id)). */
void mesos_hash(const char *task_id, char out[6]);
