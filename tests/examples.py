"""How many examples a dear property test tries: the usual number, or more of them in a long night."""

import os

WIDE = int(os.environ.get("TIDEGATE_TEST_WIDE", "1"))


def examples(usual: int) -> int:
    """`usual`, times `TIDEGATE_TEST_WIDE`."""
    return usual * WIDE
