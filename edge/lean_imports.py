"""Imports of libraries that would bring along what a gateway has no use for: time of every start, and memory of it all.

sqlite-utils imports pandas if it can, to know types of which nothing here has a value. influxdb-client imports a class
for everything that InfluxDB's API knows (400 modules, a fifth of a gateway's memory), NumPy and pandas; the gateway
needs what makes its requests.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec

from sensors.imports import hidden


@contextmanager
def bare(*packages: str) -> Iterator[None]:
    """Within the block, modules of these packages are imported without what the packages import by themselves.

    An outer package comes before its inner ones. Afterwards all of it is forgotten, so that everybody else gets the
    whole package. One that was imported before is taken as it is.
    """
    if packages[0] in sys.modules:
        yield
        return
    for name in packages:
        spec = find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.modules[name] = module_from_spec(spec)
    try:
        yield
    finally:
        for name in [each for each in sys.modules if each.partition(".")[0] == packages[0]]:
            del sys.modules[name]


with hidden("numpy", "pandas"):
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

__all__ = ["Database", "Migrations", "bare"]
