"""How the gateway is set, over HTTP: nothing secret is shown, and only an operator switches."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from edge.access.roles import Role
from edge.api import make_app
from edge.api_settings import settings_router
from edge.config import ApiSettings, EdgeConfig, InfluxSettings, MqttSettings
from edge.maintenance import MINUTES_MAX, Maintenance
from edge.status import GatewayStatus
from tests.edge.access.kit import signed_in
from tests.edge.dashboard.kit import HeldClock
from tests.edge.kit import T0_MS

SECRETS = ("mqtt-secret", "influx-secret", "api-secret", "url-secret")
CONFIG = EdgeConfig(
    mqtt=MqttSettings(password=SecretStr(SECRETS[0])),
    influx=InfluxSettings(token=SecretStr(SECRETS[1]), url="http://user:url-secret@cloud"),
    api=ApiSettings(token=SecretStr(SECRETS[2])),
)


class Api:
    """The settings of a gateway, asked as somebody."""

    def __init__(self) -> None:
        self.clock = HeldClock()
        self.maintenance = Maintenance()

        async def no_status() -> GatewayStatus:
            raise NotImplementedError

        self._app = make_app(no_status, settings_router(CONFIG, self.maintenance, self.clock))

    def ask(self, role: Role, method: str, path: str = "", **request: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(signed_in(self._app, role))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, f"/api/v1/settings{path}", **request)

        return asyncio.run(send())


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


def test_every_key_is_shown_and_no_secret(api: Api) -> None:
    answer = api.ask(Role.VIEWER, "GET")
    told = answer.json()["settings"]
    assert set(told) == set(EdgeConfig.model_fields)
    assert told["store"]["commit_rows_max"] == 4096
    assert told["mqtt"]["password"] == "********"
    for secret in SECRETS:
        assert secret not in json.dumps(answer.json())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PUT", "/log-level", {"level": "debug"}), ("PUT", "/maintenance", {}), ("DELETE", "/maintenance", None)],
)
def test_a_viewer_switches_nothing(api: Api, method: str, path: str, body: Any) -> None:
    before = logging.getLogger().level
    assert api.ask(Role.VIEWER, method, path, json=body).status_code == 403
    assert logging.getLogger().level == before
    assert api.maintenance.active(T0_MS) is None


def test_the_log_level_is_switched(api: Api) -> None:
    for level in ("error", "debug", "info"):
        assert api.ask(Role.OPERATOR, "PUT", "/log-level", json={"level": level}).json()["log_level"] == level
        assert logging.getLogger().level == getattr(logging, level.upper())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/log-level", {"level": "loud"}),
        ("/log-level", {"level": 10}),
        ("/log-level", {}),
        ("/log-level", {"level": "debug", "more": 1}),
        ("/maintenance", {"minutes": 0}),
        ("/maintenance", {"minutes": MINUTES_MAX + 1}),
        ("/maintenance", {"minutes": "soon"}),
    ],
)
def test_what_cannot_be_set_is_refused(api: Api, path: str, body: Any) -> None:
    assert api.ask(Role.OPERATOR, "PUT", path, json=body).status_code == 422
    assert api.maintenance.active(T0_MS) is None


def test_maintenance_mode_ends_by_itself_or_by_hand(api: Api) -> None:
    told = api.ask(Role.OPERATOR, "PUT", "/maintenance", json={"minutes": 5}).json()["maintenance"]
    assert told == {"by": "ada", "since_ms": T0_MS, "until_ms": T0_MS + 300_000}
    api.clock.at_ms += 299_999
    assert api.ask(Role.VIEWER, "GET").json()["maintenance"] == told
    api.clock.at_ms += 1
    assert api.ask(Role.VIEWER, "GET").json()["maintenance"] is None
    api.ask(Role.OPERATOR, "PUT", "/maintenance", json={})
    assert api.maintenance.active(api.clock.at_ms) is not None
    api.ask(Role.OPERATOR, "DELETE", "/maintenance")
    assert api.maintenance.active(api.clock.at_ms) is None


@pytest.mark.parametrize("minutes", [0, -1, MINUTES_MAX + 1])
def test_the_core_takes_no_endless_maintenance(minutes: int) -> None:
    with pytest.raises(ValueError, match="minutes: expected"):
        Maintenance().begin("ada", minutes, 0, 0)
