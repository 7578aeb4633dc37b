"""Any request that the API's description allows, and many that it does not: no fault of ours, errors as documents.

Every operation of `/openapi.json` is asked with values of its parameters' types, with values that are not, and with
bodies of any kind; by an operator, so that nothing is refused before it is looked at.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from edge.alerts.api import AlertsApi
from edge.api_commands import DownlinkApi
from edge.api_data import DataApi
from edge.api_drill import drill_router
from edge.api_outages import outage_router
from edge.api_settings import settings_router
from edge.config import ApiSettings, EdgeConfig, MqttSettings
from edge.dashboard import Dashboard
from edge.drill import Drills
from edge.front.serve import make_front
from edge.maintenance import Maintenance
from edge.status import GatewayStatus
from edge.topics.api import topics_router
from edge.topics.watch import TopicWatch
from tests.edge.access.kit import access_service
from tests.edge.dashboard.kit import HeldClock, back_on, desk_of_five, files_of, in_this_thread, status

TOKEN = "test-only"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
EXAMPLES = 8  # of each operation; in CI's own run a different dozen each time would be noise, so they are derandomised
STREAMS = {"/api/v1/live"}  # does not end, and has its own tests

TEXTS = st.text(max_size=40) | st.sampled_from(
    ["", "0", "-1", "1e999", "9" * 40, "\x00", "../..", "<script>", "null", "٣"]
)
NUMBERS = st.integers(-2, 3) | st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1])
JSONS = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def _valid(schema: dict[str, Any], parts: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows, roughly: enough to get past the first check."""
    if "$ref" in schema:
        return _valid(parts[schema["$ref"].rsplit("/", 1)[1]], parts)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*(_valid(each, parts) for each in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        needed = set(schema.get("required", ()))
        fields = {name: _valid(each, parts) for name, each in schema["properties"].items()}
        optional = {name: each for name, each in fields.items() if name not in needed}
        return st.fixed_dictionaries({name: fields[name] for name in needed}, optional=optional)
    if kind == "array":
        return st.lists(_valid(schema.get("items", {}), parts), max_size=3)
    kinds: dict[str | None, st.SearchStrategy[Any]] = {
        "integer": st.integers(schema.get("minimum", 0), schema.get("maximum", 10**6)),
        "number": st.floats(0, 1000),
        "boolean": st.booleans(),
        "null": st.none(),
        "string": TEXTS,
    }
    return kinds.get(kind, JSONS)


def _requests(path: str, operation: dict[str, Any], parts: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    where: dict[str, dict[str, st.SearchStrategy[Any]]] = {"path": {}, "query": {}}
    for each in operation.get("parameters", ()):
        if each["in"] in where:
            where[each["in"]][each["name"]] = _valid(each["schema"], parts) | TEXTS | NUMBERS
    for name in (part[1:-1] for part in path.split("/") if part.startswith("{")):
        where["path"].setdefault(name, TEXTS | NUMBERS | st.sampled_from(["1", "office", "d1"]))
    described = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    bodies = _valid(described, parts).map(json.dumps).map(str.encode)
    return st.fixed_dictionaries(
        {
            "path": st.fixed_dictionaries(where["path"]),
            "query": st.fixed_dictionaries({}, optional=where["query"] or {"q": TEXTS}),
            "body": bodies | JSONS.map(json.dumps).map(str.encode) | st.binary(max_size=50),
            "content_type": st.sampled_from(["application/json", "application/senml+cbor", "text/plain", ""]),
        }
    )


class Api:
    """The whole API over one desk, asked in one event loop."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        desk, clock, maintenance = desk_of_five(folder), HeldClock(), Maintenance()
        stack.callback(desk.close)
        (folder / "access").mkdir()
        access = access_service(folder / "access", clock, ApiSettings(token=SecretStr(TOKEN)))

        async def nothing() -> None:
            return

        async def held() -> int:
            return 0

        async def look() -> GatewayStatus:
            return status()

        back = back_on(
            desk,
            look,
            DataApi(desk, in_this_thread, clock, 10_000, lambda _: None).router(),
            DownlinkApi(desk, in_this_thread, clock).router(),
            AlertsApi(desk.alerts.book, in_this_thread, clock).router(),
            topics_router(TopicWatch(MqttSettings(), clock), EdgeConfig(), clock),
            settings_router(EdgeConfig(), maintenance, clock),
            drill_router(Drills(maintenance), ("influx",), clock, held, nothing),
        )
        app = make_front(access, back, Dashboard(back, files_of(desk), clock), outage_router(desk.store.path))
        self._runner = stack.enter_context(asyncio.Runner())
        stack.callback(lambda: self._runner.run(access.close()))
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://localhost", headers=HEADERS
        )
        self.described: dict[str, Any] = self.ask("GET", "/openapi.json").json()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request."""
        return self._runner.run(self._client.request(method, path, **more))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with ExitStack() as stack:
        yield Api(tmp_path_factory.mktemp("api"), stack)


def _methods(api: Api) -> list[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = api.described["paths"]
    return [(method.upper(), path) for path, methods in paths.items() if path not in STREAMS for method in methods]


def _check(method: str, path: str, wanted: dict[str, Any], answer: httpx.Response) -> None:
    said = (method, path, wanted, answer.status_code, answer.text[:300])
    assert answer.status_code < 500, said
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", said
        problem = answer.json()
        assert (problem["status"], problem["type"]) == (answer.status_code, "about:blank"), said
        assert problem["title"], said


def test_no_input_is_answered_with_a_fault_of_ours_and_every_error_is_a_problem_document(api: Api) -> None:
    parts = api.described["components"]["schemas"]
    operations = _methods(api)
    assert len(operations) > 50
    answered_well = set()

    def ask_all(method: str, path: str) -> None:
        @settings(
            max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(_requests(path, api.described["paths"][path][method.lower()], parts))
        def ask(wanted: dict[str, Any]) -> None:
            where = {name: quote(str(value), safe="") for name, value in wanted["path"].items()}
            body = {} if method == "GET" else {"content": wanted["body"]}
            headers = {"content-type": wanted["content_type"]}
            answer = api.ask(method, path.format(**where), params=wanted["query"], headers=headers, **body)
            _check(method, path, wanted, answer)
            if answer.status_code < 400:
                answered_well.add((method, path))

        ask()

    for method, path in operations:
        ask_all(method, path)
    assert len(answered_well) > len(operations) // 2
