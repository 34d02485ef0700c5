/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header (RFC 1035, 4.1.1), big-endian 16-bit words:
 *   id | QR:1 OPCODE:4 AA:1 TC:1 RD:1 RA:1 Z:3 RCODE:4 | questions | answers | authorities | additionals
 * Question: name, type, class. Record: name, type, class, ttl:32, length:16, data.
 * A name is labels (length byte, bytes), ended by 0 or by a pointer (11 + 14-bit offset) to an earlier name.
 * Pointers are written and skipped but never followed while reading: the one name we read, the first question's, has none.
 */
#include "net/dns_wire.h"

#define POINTER 0xc0
#define FLAG_QR 0x8000u
#define FLAG_AA 0x0400u
#define FLAG_TC 0x0200u
#define FLAG_RD 0x0100u
#define FLAG_RA 0x0080u
#define DNS_OPT_BYTES 11          /* an OPT record without options */

/* ---- reading: a cursor whose error sticks ---- */

struct rd {
	const uint8_t *msg;
	size_t len, at;
	bool broken;
};

static uint8_t rd_u8(struct rd *r)
{
	if (r->broken || r->at == r->len) {
		r->broken = true;
		return 0;
	}
	return r->msg[r->at++];
}

static uint16_t rd_u16(struct rd *r)
{
	if (r->broken || r->len - r->at < 2) {
		r->broken = true;
		return 0;
	}
	uint16_t v = (uint16_t)(r->msg[r->at] << 8 | r->msg[r->at + 1]);
	r->at += 2;
	return v;
}

static void rd_skip(struct rd *r, size_t n)
{
	if (r->broken || r->len - r->at < n)
		r->broken = true;
	else
		r->at += n;
}

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c; }

static bool label_append(struct dns_name *out, const uint8_t *label, size_t len)
{
	if (out->len + len + (out->len > 0) > DNS_NAME_MAX)
		return false;
	if (out->len > 0)
		out->text[out->len++] = '.';
	for (size_t i = 0; i < len; i++) {
		uint8_t c = label[i];
		if (c == '.' || c == '\0')
			c = '?';           /* no name of ours has one */
		out->text[out->len++] = (char)lower(c);
	}
	return true;
}

/* The name of a first question: in front of it is nothing that a pointer could lead to. */
static void rd_name(struct rd *r, struct dns_name *out)
{
	out->len = 0;
	for (;;) {
		uint8_t n = rd_u8(r);
		const uint8_t *label = r->msg + r->at;
		rd_skip(r, n);
		if (n == 0 || r->broken)
			break;
		if ((n & POINTER) != 0 || !label_append(out, label, n))
			r->broken = true;
	}
	if (r->broken)
		out->len = 0;
	out->text[out->len] = '\0';
}

/* Past a name, wherever its end stands. */
static void rd_skip_name(struct rd *r)
{
	for (;;) {
		uint8_t n = rd_u8(r);
		if (n == 0 || r->broken)
			return;
		if ((n & POINTER) == POINTER) {
			rd_skip(r, 1);
			return;
		}
		if ((n & POINTER) != 0)
			r->broken = true;
		rd_skip(r, n);
	}
}

/* Looks for OPT among the records behind the question. */
static void rd_edns(struct rd *r, unsigned records, struct dns_query *q)
{
	for (unsigned i = 0; i < records && !r->broken; i++) {
		rd_skip_name(r);
		uint16_t type = rd_u16(r);
		uint16_t class = rd_u16(r);
		rd_skip(r, 4);
		uint16_t len = rd_u16(r);
		rd_skip(r, len);
		if (r->broken || type != DNS_OPT)
			continue;
		q->edns = true;
		q->udp_size = class < DNS_UDP_MIN ? DNS_UDP_MIN : class > DNS_UDP_MAX ? DNS_UDP_MAX : class;
	}
}

bool dns_is_response(const uint8_t *msg, size_t len) { return len > 2 && (msg[2] & FLAG_QR >> 8) != 0; }

bool dns_is_cut(const uint8_t *msg, size_t len) { return len > 2 && (msg[2] & FLAG_TC >> 8) != 0; }

/* Header and first question. */
static int head_read(struct rd *r, struct dns_query *q, unsigned *records, struct err *e)
{
	*q = (struct dns_query){ .udp_size = DNS_UDP_MIN };
	q->id = rd_u16(r);
	uint16_t flags = rd_u16(r);
	q->response = (flags & FLAG_QR) != 0;
	q->opcode = (uint8_t)(flags >> 11 & 0xf);
	q->recursion_desired = (flags & FLAG_RD) != 0;
	q->question_count = rd_u16(r);
	*records = rd_u16(r);
	*records += rd_u16(r);
	*records += rd_u16(r);
	if (r->broken)
		return err_set(e, E_MALFORMED, "a DNS message of %zu bytes has no header", r->len);
	if (q->question_count == 0)
		return err_set(e, E_MALFORMED, "a DNS message without a question");
	rd_name(r, &q->name);
	q->type = rd_u16(r);
	q->class = rd_u16(r);
	if (r->broken)
		return err_set(e, E_MALFORMED, "a DNS question that cannot be decoded");
	q->question = r->msg + DNS_HEADER;
	q->question_len = r->at - DNS_HEADER;
	return 0;
}

bool dns_answers(const uint8_t *answer, size_t answer_len, const uint8_t *query, size_t query_len)
{
	struct rd ra = { .msg = answer, .len = answer_len }, rq = { .msg = query, .len = query_len };
	struct dns_query a, q;
	unsigned records;
	if (head_read(&ra, &a, &records, NULL) != 0 || head_read(&rq, &q, &records, NULL) != 0)
		return false;
	if (!a.response || a.id != q.id || a.question_len != q.question_len)
		return false;
	for (size_t i = 0; i < q.question_len; i++)
		if (lower(a.question[i]) != lower(q.question[i]))
			return false;
	return true;
}

int dns_query_parse(const uint8_t *msg, size_t len, struct dns_query *out, struct err *e)
{
	struct rd r = { .msg = msg, .len = len };
	unsigned records;
	int rc = head_read(&r, out, &records, e);
	if (rc != 0)
		return rc;
	if (out->question_count == 1)
		rd_edns(&r, records, out);
	return r.broken ? err_set(e, E_MALFORMED, "a DNS record that cannot be decoded") : 0;
}

/* ---- writing ---- */

static void put(struct dns_writer *w, const void *data, size_t len)
{
	if (w->full || w->max - w->len < len) {
		w->full = true;
		return;
	}
	if (len > 0)
		memcpy(w->out + w->len, data, len);
	w->len += len;
}

static void put_u8(struct dns_writer *w, unsigned v)
{
	uint8_t b = (uint8_t)v;
	put(w, &b, 1);
}

static void put_u16(struct dns_writer *w, unsigned v)
{
	uint8_t b[2] = { (uint8_t)(v >> 8), (uint8_t)v };
	put(w, b, sizeof(b));
}

static void put_u32(struct dns_writer *w, uint32_t v)
{
	put_u16(w, v >> 16);
	put_u16(w, v & 0xffff);
}

/* The name written at offset `at`, whose pointers we wrote ourselves, is `name`. */
static bool name_is_at(const struct dns_writer *w, size_t at, const char *name)
{
	for (;;) {
		uint8_t n = w->out[at];
		if ((n & POINTER) == POINTER) {
			at = (size_t)(n & 0x3f) << 8 | w->out[at + 1];
			continue;
		}
		if (n == 0 || strcspn(name, ".") != n)
			return n == 0 && *name == '\0';
		for (size_t i = 0; i < n; i++)
			if (lower(w->out[at + 1 + i]) != (uint8_t)name[i])
				return false;
		name += n;
		name += *name == '.';
		at += 1 + (size_t)n;
	}
}

/* Offset of a name written before, or 0. */
static uint16_t known_name(const struct dns_writer *w, const char *name)
{
	for (size_t i = 0; i < w->name_count; i++)
		if (name_is_at(w, w->names[i], name))
			return w->names[i];
	return 0;
}

static void remember_name(struct dns_writer *w, size_t at)
{
	if (at < 0x4000 && w->name_count < ARRAY_LEN(w->names))
		w->names[w->name_count++] = (uint16_t)at;
}

/* The beginnings of a name become known once it is whole, so a search never runs into half a name. */
static void put_labels(struct dns_writer *w, const char *name, bool compress)
{
	uint16_t starts[DNS_NAME_MAX / 2 + 1];
	size_t start_count = 0;
	uint16_t at = 0;
	while (*name) {
		at = compress ? known_name(w, name) : 0;
		if (at != 0)
			break;
		size_t len = strcspn(name, ".");
		if (len == 0 || len > 63 || start_count == ARRAY_LEN(starts)) {
			w->full = true;        /* not a name: the record is left out */
			return;
		}
		starts[start_count++] = (uint16_t)w->len;
		put_u8(w, (unsigned)len);
		put(w, name, len);
		name += len;
		name += *name == '.';
	}
	if (at != 0)
		put_u16(w, (unsigned)POINTER << 8 | at);
	else
		put_u8(w, 0);
	for (size_t i = 0; i < start_count && !w->full; i++)
		remember_name(w, starts[i]);
}

void dns_answer_begin(struct dns_writer *w, uint8_t *out, size_t max, const struct dns_query *q)
{
	*w = (struct dns_writer){ .out = out, .max = max };
	static const uint8_t header[DNS_HEADER];
	put(w, header, sizeof(header));
	put(w, q->question, q->question_len);
	w->counts[0] = 1;
	assert(!w->full);
	for (size_t at = DNS_HEADER; out[at] != 0; at += 1 + (size_t)out[at])
		remember_name(w, at);
	if (q->edns)
		w->max -= DNS_OPT_BYTES;       /* room for it at the end */
}

struct mark { size_t len, names; };

static struct mark record_begin(struct dns_writer *w, const char *name, enum dns_type type, uint32_t ttl)
{
	struct mark m = { w->len, w->name_count };
	w->full = false;
	put_labels(w, name, true);
	put_u16(w, type);
	put_u16(w, DNS_IN);
	put_u32(w, ttl);
	put_u16(w, 0);
	return m;
}

static bool record_end(struct dns_writer *w, struct mark m, enum dns_section s, size_t data_at)
{
	if (w->full) {
		w->len = m.len;
		w->name_count = m.names;
		w->cut |= s == DNS_ANSWER;
		return false;
	}
	size_t n = w->len - data_at;
	w->out[data_at - 2] = (uint8_t)(n >> 8);
	w->out[data_at - 1] = (uint8_t)n;
	w->counts[s]++;
	return true;
}

bool dns_put_a(struct dns_writer *w, enum dns_section s, const char *name, uint32_t ttl, uint32_t ip4)
{
	struct mark m = record_begin(w, name, DNS_A, ttl);
	size_t at = w->len;
	put_u32(w, ip4);
	return record_end(w, m, s, at);
}

bool dns_put_srv(struct dns_writer *w, enum dns_section s, const char *name, uint32_t ttl, uint16_t priority, uint16_t weight, uint16_t port,
		 const char *target)
{
	struct mark m = record_begin(w, name, DNS_SRV, ttl);
	size_t at = w->len;
	put_u16(w, priority);
	put_u16(w, weight);
	put_u16(w, port);
	put_labels(w, target, false);      /* RFC 2782: not compressed */
	return record_end(w, m, s, at);
}

bool dns_put_name(struct dns_writer *w, enum dns_section s, const char *name, enum dns_type type, uint32_t ttl, const char *target)
{
	struct mark m = record_begin(w, name, type, ttl);
	size_t at = w->len;
	put_labels(w, target, true);
	return record_end(w, m, s, at);
}

bool dns_put_soa(struct dns_writer *w, enum dns_section s, const char *name, uint32_t ttl, const char *mname, const char *rname,
		 const uint32_t numbers[5])
{
	struct mark m = record_begin(w, name, DNS_SOA, ttl);
	size_t at = w->len;
	put_labels(w, mname, true);
	put_labels(w, rname, true);
	for (int i = 0; i < 5; i++)
		put_u32(w, numbers[i]);
	return record_end(w, m, s, at);
}

static void header_put(uint8_t *out, uint16_t id, unsigned flags, const uint16_t counts[4])
{
	out[0] = (uint8_t)(id >> 8);
	out[1] = (uint8_t)id;
	out[2] = (uint8_t)(flags >> 8);
	out[3] = (uint8_t)flags;
	for (int i = 0; i < 4; i++) {
		out[4 + 2 * i] = (uint8_t)(counts[i] >> 8);
		out[5 + 2 * i] = (uint8_t)counts[i];
	}
}

size_t dns_answer_end(struct dns_writer *w, const struct dns_query *q, bool authoritative, bool recursion_available, enum dns_rcode rcode)
{
	w->full = false;
	if (q->edns) {
		static const uint8_t opt[DNS_OPT_BYTES] = { 0, 0, DNS_OPT, DNS_UDP_MAX >> 8, DNS_UDP_MAX & 0xff };
		w->max += sizeof(opt);
		put(w, opt, sizeof(opt));
		w->counts[DNS_ADDITIONAL]++;
	}
	unsigned flags = FLAG_QR | (unsigned)q->opcode << 11 | (unsigned)rcode;
	flags |= authoritative ? FLAG_AA : 0;
	flags |= w->cut ? FLAG_TC : 0;
	flags |= q->recursion_desired ? FLAG_RD : 0;
	flags |= recursion_available ? FLAG_RA : 0;
	header_put(w->out, q->id, flags, w->counts);
	return w->len;
}

size_t dns_query_write(uint8_t *out, size_t max, uint16_t id, const char *name, enum dns_type type)
{
	struct dns_writer w = { .out = out, .max = max };
	static const uint8_t header[DNS_HEADER];
	static const uint16_t counts[4] = { 1, 0, 0, 0 };
	put(&w, header, sizeof(header));
	put_labels(&w, name, false);
	put_u16(&w, type);
	put_u16(&w, DNS_IN);
	if (w.full)
		return 0;
	header_put(out, id, FLAG_RD, counts);
	return w.len;
}

size_t dns_error_write(uint8_t *out, size_t max, const uint8_t *query, size_t query_len, enum dns_rcode rcode)
{
	struct dns_query q;
	static const uint16_t none[4];
	if (max < DNS_HEADER || query_len < DNS_HEADER)
		return 0;
	bool whole = dns_query_parse(query, query_len, &q, NULL) == 0 && max >= DNS_HEADER + q.question_len + DNS_OPT_BYTES;
	if (!whole) {
		header_put(out, (uint16_t)(query[0] << 8 | query[1]), FLAG_QR | (unsigned)rcode, none);
		return DNS_HEADER;
	}
	struct dns_writer w;
	dns_answer_begin(&w, out, max, &q);
	return dns_answer_end(&w, &q, false, true, rcode);
}
