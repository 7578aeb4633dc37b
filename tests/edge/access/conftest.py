"""The browser on a gateway, for this folder."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.config import ApiSettings
from tests.edge.access.web import Use, opened_web


@pytest.fixture
def web(tmp_path: Path) -> Callable[..., None]:
    """Runs a test's coroutine with a browser on a gateway whose `[api]` is what is given."""

    def run(use: Use, **settings: Any) -> None:
        async def go() -> None:
            async with opened_web(tmp_path, ApiSettings(**settings)) as opened:
                await use(opened)

        asyncio.run(go())

    return run
