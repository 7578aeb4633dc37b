"""Imports of libraries that would bring data-science libraries along wherever these happen to be installed.

sqlite-utils imports pandas and influxdb-client NumPy if they can, to know types of which nothing here has a value: on a
machine that has the extra `solar`, half a second of every start and tens of megabytes of every gateway. Promises:
outside the block everybody gets the real ones, whether imported before or after.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_NOT_NEEDED = ("numpy", "pandas")


@contextmanager
def without_data_science() -> Iterator[None]:
    """Within the block, pandas and NumPy cannot be imported, unless they were before."""
    hidden = [name for name in _NOT_NEEDED if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python writes down that an import is to fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with without_data_science():
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

__all__ = ["Database", "Migrations", "without_data_science"]
