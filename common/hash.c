// SPDX-License-Identifier: Apache-2.0
//
// XXH3-64 through xxHash and SHA-256 through libcrypto's EVP interface. EVP calls on a SHA-256
// context that was set up once fail only on a broken installation, so update and hex return
// nothing; a failed call is remembered and yields a digest of zeros, which matches no file.
#include "common/hash.h"

#include "common/mem.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

struct rq_sha256 {
    EVP_MD_CTX *ctx;
    bool failed;
};

uint64_t rq_xxh3(const void *data, size_t bytes)
{
    return XXH3_64bits(data, bytes);
}

rq_status rq_sha256_create(rq_sha256 **out, rq_err *err)
{
    *out = NULL;
    rq_sha256 *s = rq_calloc(1, sizeof *s);
    if (s == NULL)
        return rq_fail(err, RQ_OOM, "out of memory for a SHA-256 state");
    s->ctx = EVP_MD_CTX_new();
    if (s->ctx == NULL || EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1) {
        rq_sha256_destroy(&s);
        return rq_fail(err, RQ_UNSUPPORTED, "libcrypto offers no SHA-256; reinstall OpenSSL");
    }
    *out = s;
    return RQ_OK;
}

void rq_sha256_update(rq_sha256 *s, const void *data, size_t bytes)
{
    if (bytes > 0 && EVP_DigestUpdate(s->ctx, data, bytes) != 1)
        s->failed = true;
}

void rq_sha256_hex(rq_sha256 *s, char hex[RQ_SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[RQ_SHA256_BYTES];
    if (EVP_DigestFinal_ex(s->ctx, digest, NULL) != 1 || s->failed)
        memset(digest, 0, sizeof digest);
    for (int i = 0; i < RQ_SHA256_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[RQ_SHA256_HEX - 1] = '\0';
    s->failed = EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1;
}

void rq_sha256_destroy(rq_sha256 **s)
{
    if (*s == NULL)
        return;
    EVP_MD_CTX_free((*s)->ctx);
    rq_free(*s);
    *s = NULL;
}
