/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035, EDNS0 of RFC 6891): parse a query, look at an answer, write an answer with compressed names.
 * Pure. Names are lower-cased text without the trailing dot; a '.' or NUL inside a label, which text cannot hold, reads as '?'.
 */
#pragma once

#include "net/base/err.h"
#include "net/base/str.h"

#define DNS_NAME_MAX 253       /* as text; 255 bytes on the wire */
#define DNS_HEADER 12
#define DNS_UDP_MIN 512
#define DNS_UDP_MAX 4096
#define DNS_TCP_MAX 65535

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33, DNS_OPT = 41, DNS_ANY = 255 };
enum dns_class { DNS_IN = 1 };
enum dns_rcode { DNS_NOERROR = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4, DNS_REFUSED = 5 };

struct dns_name {
	uint8_t len;
	char text[DNS_NAME_MAX + 1];     /* NUL-terminated too; "" is the root */
};

struct dns_query {
	uint16_t id;
	uint8_t opcode;
	bool response;                   /* the QR bit */
	bool recursion_desired;
	uint16_t question_count;
	struct dns_name name;            /* first question */
	uint16_t type, class;
	bool edns;
	uint16_t udp_size;               /* what the sender takes over UDP; 512 without EDNS */
	const uint8_t *question;         /* the first question as it came, letter case kept: borrowed from the message */
	size_t question_len;
};

/* The message is an answer (QR is set), even if nothing else in it can be read. */
bool dns_is_response(const uint8_t *msg, size_t len);
/* E_MALFORMED; q->id is set when at least the id could be read. */
int dns_query_parse(const uint8_t *msg, size_t len, struct dns_query *out, struct err *e);
/* `answer` is a response to `query`: same id, same question (letter case aside). Its records are not looked at. */
bool dns_answers(const uint8_t *answer, size_t answer_len, const uint8_t *query, size_t query_len);
/* The answer was cut to fit (TC). */
bool dns_is_cut(const uint8_t *msg, size_t len);

/* An answer being written. */
struct dns_writer {
	uint8_t *out;
	size_t len, max;                 /* max: the size the asker takes */
	bool full;                       /* the record being written does not fit */
	bool cut;                        /* an answer record did not fit: TC will be set */
	uint16_t names[48];              /* where names begin that a later one may point at */
	size_t name_count;
	uint16_t counts[4];              /* question, answer, authority, additional */
};
enum dns_section { DNS_ANSWER = 1, DNS_AUTHORITY = 2, DNS_ADDITIONAL = 3 };

/* Header and question of an answer to q. `out` has room for `max` bytes, at least 12 + the question. */
void dns_answer_begin(struct dns_writer *w, uint8_t *out, size_t max, const struct dns_query *q);
/* One record; false and nothing written when it does not fit. Sections are written in order. */
bool dns_put_a(struct dns_writer *w, enum dns_section s, const char *name, uint32_t ttl, uint32_t ip4);
bool dns_put_srv(struct dns_writer *w, enum dns_section s, const char *name, uint32_t ttl, uint16_t priority, uint16_t weight, uint16_t port,
		 const char *target);
bool dns_put_name(struct dns_writer *w, enum dns_section s, const char *name, enum dns_type type, uint32_t ttl, const char *target); /* NS, CNAME */
bool dns_put_soa(struct dns_writer *w, enum dns_section s, const char *name, uint32_t ttl, const char *mname, const char *rname,
		 const uint32_t numbers[5]);    /* serial refresh retry expire minimum */
/* Close: counts, flags, OPT when asked for. Returns the length. */
size_t dns_answer_end(struct dns_writer *w, const struct dns_query *q, bool authoritative, bool recursion_available, enum dns_rcode rcode);
/* A query for (name, type) with recursion desired. Returns the length, 0 when the name is not one. */
size_t dns_query_write(uint8_t *out, size_t max, uint16_t id, const char *name, enum dns_type type);
/* An answer without records to a query that may not even parse. Returns the length. */
size_t dns_error_write(uint8_t *out, size_t max, const uint8_t *query, size_t query_len, enum dns_rcode rcode);
