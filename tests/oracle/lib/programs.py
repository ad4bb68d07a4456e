# SPDX-License-Identifier: Apache-2.0
"""Programs that `make tests` builds for the oracles (tests/oracle/oracle_*.c)."""

import os
import sys


def program(name):
    """Path of oracle_NAME; ends the test as skipped when it is not built."""
    path = os.path.abspath(os.path.join(os.environ["RQ_BIN"], "..", "tests", "oracle_" + name))
    if not os.path.exists(path):
        print(f"oracle_{name} is not built: make tests")
        sys.exit(77)
    return path
