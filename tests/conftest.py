"""What every test run shares: hypothesis without wall-clock deadlines, the same examples each time in CI, and coverage
that measures a test worker once.
"""

import os

import pytest
from coverage import Coverage
from hypothesis import settings

settings.register_profile("desk", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.hookimpl(tryfirst=True)  # before pytest-cov starts what it means to measure a worker with
def pytest_sessionstart(session: pytest.Session) -> None:
    """End the measurements that a worker of pytest-xdist begins with, or they go on wherever `no_cover` stops its own.

    One is of coverage's `patch = subprocess`, one of pytest-cov, which takes the worker for the controller at first.
    """
    if hasattr(session.config, "workerinput"):
        while (begun := Coverage.current()) is not None:
            begun.stop()
