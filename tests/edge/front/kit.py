"""What the front's tests share: the whole API over one desk, every route of it, without a socket."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from jsonschema import Draft202012Validator
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

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
TOKEN = "test-only"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Operation(NamedTuple):
    """One operation as it is described."""

    method: str
    path: str
    told: dict[str, Any]
    shared: dict[str, dict[str, Any]]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        return list(self.told.get("parameters", []))

    @property
    def answers(self) -> dict[str, dict[str, Any]]:
        """By status; one that others have, too, in its place."""
        return {
            status: self.shared[told["$ref"].rsplit("/", 1)[1]] if "$ref" in told else told
            for status, told in self.told["responses"].items()
        }

    @property
    def bodies(self) -> dict[str, dict[str, Any]]:
        """By media type."""
        return dict(self.told.get("requestBody", {}).get("content", {}))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations(described: dict[str, Any]) -> list[Operation]:
    """All of them."""
    return [
        Operation(method.upper(), path, told, described["components"]["responses"])
        for path, methods in described["paths"].items()
        for method, told in methods.items()
        if method in METHODS
    ]


def checker(schema: dict[str, Any], described: dict[str, Any]) -> Draft202012Validator:
    """Of values that are to be what a schema of the description says."""
    return Draft202012Validator({**schema, "components": described["components"]})


def closed(schema: Any) -> Any:
    """The same, but that an object may hold nothing that is not described."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(each) for name, each in schema.items()}
    return {"additionalProperties": False, **parts} if isinstance(schema.get("properties"), dict) else parts


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
        self.closed: dict[str, Any] = closed(self.described)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request."""
        return self._runner.run(self._client.request(method, path, **more))
