"""Imports without what they would bring along, for a start that takes less time and a process that takes less memory.

Promises: outside a block of `hidden` everybody gets the real ones, whether imported before or after; after one of
`uncollected` the garbage collector works as ever.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Within the block these modules cannot be imported, unless they were before: for libraries that do without."""
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python writes down that an import is to fail
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextmanager
def uncollected() -> Iterator[None]:
    """The garbage collector rests within the block: imports make objects by the hundred thousand, and no garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
