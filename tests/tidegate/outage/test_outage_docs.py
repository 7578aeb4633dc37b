"""docs/outages.md names what the code has: all that a user can type, and all that the proxy takes and tells."""

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.routing import Route

from edge.outages.events import Cause, End, Link, LinkKind, Quantities, Status, Transition
from edge.outages.recording import Recording, make_header
from tidegate.outage.address import Address
from tidegate.outage.behaviour import Admission
from tidegate.outage.cli import app
from tidegate.outage.generators import GENERATORS
from tidegate.outage.importers import IMPORTERS
from tidegate.outage.proxy import FaultProxy
from tidegate.outage.proxy_api import describe, make_app
from tidegate.outage.toxics import TOXIC_TYPES

PAGE = Path("docs/outages.md").read_text()


def test_every_name_a_user_can_type_is_on_the_page() -> None:
    commands = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    parameters = [field.name for made_by in GENERATORS.values() for field in msgspec.structs.fields(made_by)]
    attributes = [field.name for kind in TOXIC_TYPES.values() for field in msgspec.structs.fields(kind)]
    events = ["transition", "close", "unknown_write", "gap", "sample", "series", "end"]
    names = [*IMPORTERS, *GENERATORS, *parameters, *TOXIC_TYPES, *attributes, *Cause, *Quantities, *events]
    assert [name for name in names if f"`{name}`" not in PAGE] == []
    assert [name for name in commands if f"outage {name}" not in PAGE and f"`{name}`" not in PAGE] == []
    assert len(commands) == 13


@pytest.fixture
def proxy() -> FaultProxy:
    link = Link("uplink", LinkKind.UPLINK)
    recording = Recording(make_header([link]), (Transition(0, link.name, Status.UP), End(1)))
    return FaultProxy(Address("127.0.0.1", 1), Address("127.0.0.1", 2), recording)


def test_every_field_of_the_proxys_status_is_on_the_page_and_no_other(proxy: FaultProxy) -> None:
    status = asyncio.run(_status(proxy))
    table = PAGE.partition("| field of `/status` |")[2].partition("\n\n")[0]
    rows = [row.split("|") for row in table.splitlines()[2:]]
    assert [name for row in rows for name in re.findall("`([a-z_]+)`", row[1])] == list(status)
    said = {row[1].strip(): row[2] for row in rows}
    assert [name for name in status["recording"] if f"`{name}`" not in said["`recording`"]] == []
    assert [name for name in Admission if f"`{name}`" not in said["`admission`"]] == []


def test_what_the_api_shows_of_one_proxy_is_on_the_page(proxy: FaultProxy) -> None:
    words = PAGE.partition("`GET /proxies/uplink` shows ")[2].partition(".")[0]
    assert re.findall("`([a-z]+)`", words) == list(asyncio.run(_described(proxy)))


def test_every_order_that_the_proxy_takes_is_on_the_page(proxy: FaultProxy) -> None:
    table = PAGE.partition("| request | does |\n")[2].partition("\n\n")[0]
    documented = sorted(re.findall("`([A-Z]+) (/[^`]*)`", table))
    names = {"{proxy}": "uplink", "{toxic}": "NAME"}
    taken = []
    for route in make_app({proxy.name: proxy}).routes:
        assert isinstance(route, Route)
        path = re.sub(r"\{[a-z]+\}", lambda found: names[found[0]], route.path)
        taken += [(method, path) for method in route.methods or () if method != "HEAD"]  # answered wherever GET is
    assert documented == sorted(taken)


async def _status(proxy: FaultProxy) -> dict[str, Any]:
    return proxy.status()


async def _described(proxy: FaultProxy) -> dict[str, Any]:
    return describe(proxy)
