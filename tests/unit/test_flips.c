// SPDX-License-Identifier: Apache-2.0
// Every single one of the 524,288 bits of a 64 KiB shard, flipped: found, and its place named.
#include "verify_fixture.h"

static void every_bit_of_64_kib(void **state)
{
    const char *bin = getenv("RQ_BIN");
    if (bin && strstr(bin, "san/")) {
        print_message("half a million verifications take minutes under a sanitizer; "
                      "test_verify does a smaller shard\n");
        skip();
    }
    char *dir = make_temp_dir();
    flip_every_bit(dir, 64 << 10);
    rm_tree(dir);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_bit_of_64_kib)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
