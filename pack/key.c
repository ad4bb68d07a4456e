// SPDX-License-Identifier: Apache-2.0
// Keys of samples: source names made safe for tar, WebDataset and file systems. Unique without
// a table: whatever was altered carries its sample id behind a '+', and no unaltered key has a
// '+', so the two kinds cannot meet.
#include "pack/key.h"

#include <stdio.h>
#include <string.h>

static bool plain_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-';
}

int rq_key_stem(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    const char *dot = strrchr(base, '.');
    return (int)(dot && dot != base ? (size_t)(dot - name) : strlen(name));
}

void rq_key_make(char key[RQ_MAX_KEY_BYTES + 1], const char *name, uint64_t id, bool ambiguous)
{
    char suffix[24];
    const int stem = rq_key_stem(name);
    const int suffix_bytes = snprintf(suffix, sizeof suffix, "+%llu", (unsigned long long)id);
    bool altered = ambiguous;
    int n = 0;
    for (int i = 0; i < stem; i++) {
        const bool slash = name[i] == '/';
        // No leading, doubled or trailing slash: a key is a relative path.
        if (slash && (n == 0 || key[n - 1] == '/' || i + 1 == stem)) {
            altered = true;
            continue;
        }
        if (n == RQ_MAX_KEY_BYTES) {
            altered = true;
            break;
        }
        altered |= !slash && !plain_byte(name[i]);
        key[n++] = slash || plain_byte(name[i]) ? name[i] : '_';
    }
    if (altered || n == 0) {
        if (n > RQ_MAX_KEY_BYTES - suffix_bytes)
            n = RQ_MAX_KEY_BYTES - suffix_bytes;
        // The id must not become a component, or the key of one sample, of its own.
        if (n == 0 || key[n - 1] == '/')
            key[n > 0 ? n - 1 : n++] = '_';
        memcpy(key + n, suffix, (size_t)suffix_bytes);
        n += suffix_bytes;
    }
    key[n] = 0;
}

bool rq_key_valid(const char *key)
{
    const size_t n = strlen(key);
    // "+ID" may end it; a '+' stands nowhere else.
    const size_t plain = strcspn(key, "+");
    if (n == 0 || n > RQ_MAX_KEY_BYTES || key[0] == '/' || key[n - 1] == '/')
        return false;
    if (plain < n && (plain == 0 || key[plain - 1] == '/' || plain + 1 == n ||
                      strspn(key + plain + 1, "0123456789") != n - plain - 1))
        return false;
    for (size_t i = 0; i < plain; i++) {
        if (!plain_byte(key[i]) && key[i] != '/')
            return false;
        if (key[i] == '/' && key[i + 1] == '/')
            return false;
    }
    return true;
}
