/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing: the key comes from the passphrase by PBKDF2-HMAC-SHA256 (RFC 8018), the seal is AES-256-GCM (NIST SP 800-38D).
 *
 *   layout u8 | rounds u32 little-endian | salt 16 | nonce 12 | tag 16 | the bytes, encrypted
 *
 * Salt and nonce are drawn for each seal, so no key seals twice. Layout, rounds and salt are bound by the seal too.
 */
#include "net/seal.h"

#include <mbedtls/gcm.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/platform_util.h>

#include "net/base/rnd.h"
#include "net/limits.h"

#define SEAL_LAYOUT 1
#define SEAL_ROUNDS 600000               /* what OWASP asks of PBKDF2-HMAC-SHA256 */

struct seal_head {
	uint8_t layout, rounds[4], salt[16], nonce[12], tag[16];
};
static_assert(sizeof(struct seal_head) == 49, "head of a seal");
#define SEAL_BOUND_BYTES offsetof(struct seal_head, tag)

static void key_wipe(uint8_t (*key)[32])
{
	mbedtls_platform_zeroize(*key, sizeof(*key));
}
#define AUTO_KEY __attribute__((cleanup(key_wipe)))

static int derive(struct str passphrase, const struct seal_head *h, uint8_t key[32], struct err *e)
{
	uint32_t rounds;
	memcpy(&rounds, h->rounds, sizeof(rounds));
	int rc = mbedtls_pkcs5_pbkdf2_hmac_ext(MBEDTLS_MD_SHA256, (const uint8_t *)passphrase.p, passphrase.len, h->salt,
					       sizeof(h->salt), rounds, 32, key);
	return rc == 0 ? 0 : err_set(e, E_IO, "derive a key from the passphrase: error %d of the TLS library", rc);
}

/* One of the two directions, with everything that is bound put before. */
static int seal_crypt(bool open, const uint8_t *key, struct seal_head *h, struct str bound, struct str in, uint8_t *out)
{
	AUTO_BUF struct buf all = BUF_INIT;
	mbedtls_gcm_context gcm;
	(void)buf_append(&all, h, SEAL_BOUND_BYTES);
	(void)buf_str(&all, bound);
	mbedtls_gcm_init(&gcm);
	int rc = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, 256);
	if (rc == 0 && open)
		rc = mbedtls_gcm_auth_decrypt(&gcm, in.len, h->nonce, sizeof(h->nonce), all.data, all.len, h->tag, sizeof(h->tag),
					      (const uint8_t *)in.p, out);
	else if (rc == 0)
		rc = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, in.len, h->nonce, sizeof(h->nonce), all.data, all.len,
					       (const uint8_t *)in.p, out, sizeof(h->tag), h->tag);
	mbedtls_gcm_free(&gcm);
	return rc;
}

int seal_write(struct str passphrase, struct str bound, struct str plain, struct buf *out, struct err *e)
{
	struct seal_head h = { .layout = SEAL_LAYOUT };
	uint32_t rounds = SEAL_ROUNDS;
	AUTO_KEY uint8_t key[32];
	memcpy(h.rounds, &rounds, sizeof(rounds));
	rnd_bytes(h.salt, sizeof(h.salt));
	rnd_bytes(h.nonce, sizeof(h.nonce));
	int rc = derive(passphrase, &h, key, e);
	if (rc != 0)
		return rc;
	uint8_t *at = buf_room(out, sizeof(h) + plain.len);
	if (!at)
		return err_set(e, E_TOOBIG, "%zu bytes are too many to seal", plain.len);
	rc = seal_crypt(false, key, &h, bound, plain, at + sizeof(h));
	if (rc != 0)
		return err_set(e, E_IO, "seal %zu bytes: error %d of the TLS library", plain.len, rc);
	memcpy(at, &h, sizeof(h));
	buf_grew(out, sizeof(h) + plain.len);
	return 0;
}

int seal_open(struct str passphrase, struct str bound, struct str sealed, struct buf *out, struct err *e)
{
	struct seal_head h;
	uint32_t rounds;
	AUTO_KEY uint8_t key[32];
	if (sealed.len < sizeof(h))
		return err_set(e, E_MALFORMED, "the sealed part is too short");
	memcpy(&h, sealed.p, sizeof(h));
	memcpy(&rounds, h.rounds, sizeof(rounds));
	if (h.layout > SEAL_LAYOUT)
		return err_set(e, E_NEWER, "the keys were sealed by a newer dcos-node (layout %u, this one reads %u); use the newer one",
			       h.layout, SEAL_LAYOUT);
	if (rounds == 0 || rounds > LIMIT_SEAL_ROUNDS)
		return err_set(e, E_MALFORMED, "the sealed part asks for %u rounds, which is over the limit of %u", rounds,
			       LIMIT_SEAL_ROUNDS);
	int rc = derive(passphrase, &h, key, e);
	if (rc != 0)
		return rc;
	struct str in = str_from(sealed, sizeof(h));
	uint8_t *at = buf_room(out, in.len + 1);
	if (!at)
		return err_set(e, E_TOOBIG, "the sealed part is too long");
	if (seal_crypt(true, key, &h, bound, in, at) != 0)
		return err_set(e, E_DENIED, "the passphrase is not the one it was sealed with");
	buf_grew(out, in.len);
	return 0;
}
