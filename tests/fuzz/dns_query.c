/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a DNS query: parsed, answered and refused without harm; an answer is a message that parses again. */
#include "net/dns_wire.h"
#include "roles/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct records records;
	static bool made;
	struct dns_query q, again;
	uint8_t out[DNS_UDP_MAX];
	if (!made) {
		records_init(&records, 0x0a000001, 1);
		records_finish(&records);
		made = true;
	}
	size_t n = dns_error_write(out, sizeof(out), data, size, DNS_SERVFAIL);
	assert(n == 0 || n >= 12);
	if (dns_query_parse(data, size, &q, NULL) != 0 || !records_ours(q.name.text))
		return 0;
	n = records_answer(&records, &q, data[0], out, q.udp_size);
	assert(n <= q.udp_size);
	assert(dns_query_parse(out, n, &again, NULL) == 0);
	return 0;
}
