/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs, addresses and percent coding: a URL that is taken has a host, a port and nothing that could end a request line; what
 * was encoded decodes to what it was; an address reads back from its own text.
 */
#include "net/http.h"
#include "net/sock.h"

static void parse(const char *text)
{
	struct url u;
	if (!url_parse(text, &u))
		return;
	assert(u.host.len > 0 && u.port > 0);
	assert(u.host.p > text && u.host.p + u.host.len <= text + strlen(text));
	for (size_t i = 0; i < u.path_query.len; i++)
		assert((uint8_t)u.path_query.p[i] > ' ');
	for (size_t i = 0; i < u.host.len; i++)
		assert((uint8_t)u.host.p[i] > ' ');
}

static void address(const char *text)
{
	struct sock_addr a, again;
	struct err e = { 0 };
	char once[SOCK_ADDR_TEXT], twice[SOCK_ADDR_TEXT];
	if (sock_addr_parse_hostport(&a, text, 80, &e) != 0) {
		assert(e.text[0]);
		return;
	}
	sock_addr_text(&a, once);
	int rc = sock_addr_parse_hostport(&again, once, 80, &e);
	assert(rc == 0);
	sock_addr_text(&again, twice);
	assert(strcmp(once, twice) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA struct arena a = ARENA_INIT;
	AUTO_BUF struct buf encoded = BUF_INIT;
	struct str in = str_n((const char *)data, size), out;
	char *text = arena_str(&a, in);
	parse(text);
	address(text);
	(void)url_decode(&a, in, true, &out);
	url_encode(&encoded, in);
	bool ok = url_decode(&a, buf_view(&encoded), false, &out);
	assert(ok && str_eq(out, in));
	return 0;
}
