"""Drills over HTTP: an operator begins and ends them, and everybody may see them."""

import asyncio
from typing import Any

import httpx
import pytest

from edge.access.roles import Role
from edge.api import make_app
from edge.api_drill import drill_router
from edge.drill import Drills
from edge.maintenance import Maintenance
from edge.status import GatewayStatus
from tests.edge.access.kit import signed_in
from tests.edge.dashboard.kit import HeldClock
from tests.edge.kit import T0_MS


class Api:
    """The drills of a gateway in maintenance mode, asked as somebody."""

    def __init__(self) -> None:
        self.clock, self.maintenance, self.changes = HeldClock(), Maintenance(), 0
        self.maintenance.begin("ada", 60, self.clock.monotonic_ms(), self.clock.wall_ms())
        self.drills = Drills(self.maintenance)

        async def no_status() -> GatewayStatus:
            raise NotImplementedError

        router = drill_router(self.drills, ("influx", "archive"), self.clock, self._held, self._changed)
        self._app = make_app(no_status, router)

    async def _held(self) -> int:
        return 12

    async def _changed(self) -> None:
        self.changes += 1

    def ask(self, method: str, body: Any = None, role: Role = Role.OPERATOR) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(signed_in(self._app, role))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, "/api/v1/drill", json=body)

        return asyncio.run(send())


@pytest.fixture
def api() -> Api:
    return Api()


def test_an_operator_begins_a_drill_that_everybody_sees_and_that_ends_by_itself(api: Api) -> None:
    begun = api.ask("POST", {"fault": "reset_peer", "seconds": 30, "destination": "archive"}).json()
    assert begun["running"] == {
        "order": {"fault": "reset_peer", "link": "uplink", "destination": "archive", "latency_ms": 4000},
        "by": "ada",
        "since_ms": T0_MS,
        "until_ms": T0_MS + 30_000,
        "held_before": 12,
    }
    assert api.changes == 1
    assert api.ask("GET", role=Role.VIEWER).json() == begun
    api.clock.at_ms += 30_000
    over = api.ask("GET", role=Role.VIEWER).json()
    assert (over["running"], over["last"]) == (None, begun["running"])


def test_an_operator_ends_it_before_its_time(api: Api) -> None:
    api.ask("POST", {"fault": "down"})
    api.clock.at_ms += 5000
    told = api.ask("DELETE").json()
    assert (told["running"], told["last"]["until_ms"]) == (None, T0_MS + 5000)
    assert api.changes == 2


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_viewer_causes_nothing_and_ends_nothing(api: Api, method: str) -> None:
    assert api.ask(method, {"fault": "down"}, Role.VIEWER).status_code == 403
    assert api.drills.running(api.clock.monotonic_ms(), T0_MS) is None
    assert api.changes == 0


def test_without_maintenance_mode_or_beside_another_it_is_a_conflict(api: Api) -> None:
    api.ask("POST", {"fault": "down"})
    assert "stop it first" in api.ask("POST", {"fault": "down"}).json()["detail"]
    api.maintenance.end()
    answer = api.ask("POST", {"fault": "down"})
    assert (answer.status_code, api.ask("GET").json()["allowed"]) == (409, False)
    assert "maintenance mode" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"fault": "gremlins"}, "fault"),
        ({}, "fault"),
        ({"fault": "down", "seconds": 0}, "seconds"),
        ({"fault": "down", "seconds": 901}, "seconds"),
        ({"fault": "down", "destination": "nowhere"}, "destination"),
        ({"fault": "down", "link": "moon"}, "link"),
        ({"fault": "latency", "link": "devices"}, "fault"),
        ({"fault": "down", "more": 1}, "more"),
    ],
)
def test_what_cannot_be_is_refused_by_field(api: Api, body: Any, field: str) -> None:
    answer = api.ask("POST", body)
    assert answer.status_code == 422
    assert field in str(answer.json()["detail"])
    assert api.changes == 0
