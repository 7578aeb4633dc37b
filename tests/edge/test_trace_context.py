"""W3C trace context: what is a traceparent, what is not, and where it goes."""

import asyncio

import httpx
import pytest
import structlog
from fastapi import APIRouter
from hypothesis import given
from hypothesis import strategies as st

from edge.api import make_app
from edge.status import GatewayStatus
from edge.trace_context import TraceParent, parse_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "sampled"), [(GOOD, True), (f"00-{TRACE}-{SPAN}-00", False), (f"cc-{TRACE}-{SPAN}-03-what-comes", True)]
)
def test_a_place_in_a_trace_is_read(header: str, sampled: bool) -> None:
    assert parse_traceparent(header) == TraceParent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "x",
        GOOD.upper(),
        GOOD[:-1],
        GOOD + "-more",
        GOOD + "0",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"01-{TRACE}-{SPAN}-01-" + "x" * 600,
        f"00-{TRACE}-{SPAN}-01\r\nX: y",
        f"00_{TRACE}_{SPAN}_01",
    ],
)
def test_what_is_none_is_nothing(header: str | None) -> None:
    assert parse_traceparent(header) is None


@given(st.text())
def test_no_text_is_an_error(header: str) -> None:
    parse_traceparent(header)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read_again(trace: int, span: int, sampled: bool) -> None:
    parent = TraceParent(f"{trace:032x}", f"{span:016x}", sampled)
    assert parse_traceparent(parent.header()) == parent


def _ask(headers: dict[str, str], path: str = "/log") -> tuple[httpx.Response, dict[str, object]]:
    seen: dict[str, object] = {}
    router = APIRouter()

    @router.get("/log")
    async def log() -> dict[str, str]:
        seen.update(structlog.contextvars.get_contextvars())
        return {}

    async def no_status() -> GatewayStatus:
        raise NotImplementedError

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(no_status, router))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(send()), seen


def test_a_request_is_logged_and_answered_within_its_callers_trace() -> None:
    answer, bound = _ask({"traceparent": GOOD})
    told = parse_traceparent(answer.headers["traceresponse"])
    assert told is not None
    assert (told.trace_id, told.sampled) == (TRACE, True)
    assert told.span_id != SPAN
    assert bound == {"trace_id": TRACE, "span_id": told.span_id}
    assert structlog.contextvars.get_contextvars() == {}


@pytest.mark.parametrize("headers", [{}, {"traceparent": "nonsense"}])
def test_a_request_without_a_trace_begins_one_even_if_it_fails(headers: dict[str, str]) -> None:
    answer, _ = _ask(headers, "/nothing")
    told = parse_traceparent(answer.headers["traceresponse"])
    assert told is not None
    assert not told.sampled
