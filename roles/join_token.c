/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/join_token.h"

#include <stdio.h>

#include "net/base/rnd.h"
#include "net/tls.h"

static const char *const prefixes[] = { [JOIN_NODE] = "dcos1.", [JOIN_MASTER] = "dcosm1." };
static const char *const holders[] = { [JOIN_NODE] = "nodes", [JOIN_MASTER] = "masters" };

static int parse(struct str line, enum join_kind kind, struct join_token *out, struct err *e)
{
	struct join_token t = { .text = "" };
	char digest[65], secret_hex[2 * JOIN_SECRET_BYTES + 1];
	uint8_t secret[JOIN_SECRET_BYTES], secret_sha256[32];
	struct str rest = str_from(line, strlen(prefixes[kind]));
	bool ok = str_put(t.text, sizeof(t.text), line) && str_put(digest, sizeof(digest), str_cut(&rest, '.')) &&
		  hex_decode(digest, t.ca_sha256, sizeof(t.ca_sha256)) && rest.p && str_put(secret_hex, sizeof(secret_hex), rest) &&
		  hex_decode(secret_hex, secret, sizeof(secret));
	if (!ok)
		return err_set(e, E_MALFORMED, "the join token of %s is damaged", holders[kind]);
	sha256(secret, sizeof(secret), secret_sha256);
	hex_encode(secret_sha256, sizeof(secret_sha256), t.digest);
	*out = t;
	return 0;
}

int join_token_read(struct str lines, enum join_kind kind, struct join_token *out, struct err *e)
{
	while (lines.p && lines.len > 0) {
		struct str line = str_cut(&lines, '\n');
		while (line.len > 0 && strchr("\r \t", line.p[line.len - 1]))
			line.len--;
		if (str_starts(line, str_of(prefixes[kind])))
			return parse(line, kind, out, e);
	}
	return err_set(e, E_NOTFOUND, "no join token of %s: that begins with '%s'", holders[kind], prefixes[kind]);
}

void join_token_make(enum join_kind kind, const uint8_t ca_sha256[32], struct join_token *out)
{
	uint8_t secret[JOIN_SECRET_BYTES];
	char ca_hex[65], secret_hex[2 * JOIN_SECRET_BYTES + 1], text[160];
	rnd_bytes(secret, sizeof(secret));
	hex_encode(ca_sha256, 32, ca_hex);
	hex_encode(secret, sizeof(secret), secret_hex);
	(void)snprintf(text, sizeof(text), "%s%s.%s", prefixes[kind], ca_hex, secret_hex);
	int rc = parse(str_of(text), kind, out, NULL);
	assert(rc == 0);
	(void)rc;
}
