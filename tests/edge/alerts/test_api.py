"""The API of alerts, and the page about them: what it says is what there is."""

import asyncio
import re
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.access.roles import Role
from edge.alerts.api import AlertsApi
from edge.alerts.rules import FIELDS, AlertRule, RuleKind
from edge.api import make_app
from edge.config import EdgeConfig
from edge.desk import Desk
from edge.status import GatewayStatus
from sensors.alerts import decode_device_alert, decode_device_alerts
from tests.edge.access.kit import signed_in
from tests.edge.alerts.kit import WARM, desk_with, look, rule, take, warmth
from tests.edge.dashboard.kit import HeldClock, in_this_thread

PAGE = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text(encoding="utf-8")


def ask(desk: Desk, method: str, path: str, role: Role = Role.OPERATOR, **request: Any) -> httpx.Response:

    async def no_status() -> GatewayStatus:
        raise NotImplementedError

    api = AlertsApi(desk.alerts.book, in_this_thread, HeldClock())

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(signed_in(make_app(no_status, api.router()), role))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.request(method, path, **request)

    return asyncio.run(send())


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    info = WARM | {"name": "mild", "above": 1.0, "severity": "info"}
    opened = desk_with(tmp_path, rule(**WARM, severity="critical"), rule(**info))
    look(opened, 0)
    for at in range(3):
        take(opened, warmth(0, 5.0 + 4 * at, device=f"d{at}"))
    yield opened
    opened.close()


def test_alerts_are_chosen_by_state_severity_device_and_page(desk: Desk) -> None:
    page = ask(desk, "GET", "/api/v1/alerts").json()
    assert page["total"] == 4
    newest = [each["id"] for each in page["items"]]
    assert newest == sorted(newest, reverse=True)
    worst = ask(desk, "GET", "/api/v1/alerts?order=worst&limit=1").json()["items"][0]
    assert (worst["rule"], worst["severity"], worst["number"], worst["threshold"]) == ("warm", "critical", 13.0, 10.0)
    assert ask(desk, "GET", "/api/v1/alerts?severity=critical").json()["total"] == 1
    assert ask(desk, "GET", f"/api/v1/alerts?device={worst['device_key']}").json()["total"] == 2
    assert ask(desk, "GET", "/api/v1/alerts?state=closed").json() == {"total": 0, "items": []}
    behind = ask(desk, "GET", f"/api/v1/alerts?before={newest[1]}&limit=2").json()["items"]
    assert [each["id"] for each in behind] == newest[2:]
    assert ask(desk, "GET", "/api/v1/alerts?state=loud").status_code == 422
    assert ask(desk, "GET", "/api/v1/alerts?limit=1&fields=id").json() == {"total": 4, "items": [{"id": newest[0]}]}
    assert ask(desk, "GET", "/api/v1/alerts?fields=id,colour").status_code == 422


def test_acknowledging_needs_the_token_and_counts_once(desk: Desk) -> None:
    path = "/api/v1/alerts/1/acknowledge"
    assert ask(desk, "POST", path, Role.VIEWER).status_code == 403
    assert ask(desk, "GET", "/api/v1/alerts?state=unacknowledged").json()["total"] == 4
    first = ask(desk, "POST", path, json={"by": "Ada"})
    assert (first.status_code, first.json()["acknowledged_by"]) == (200, "Ada")
    assert ask(desk, "POST", path).json()["acknowledged_by"] == "Ada"
    assert ask(desk, "GET", "/api/v1/alerts?state=unacknowledged").json()["total"] == 3
    assert ask(desk, "POST", "/api/v1/alerts/2/acknowledge").json()["acknowledged_by"] == "ada"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("99", b"", 404), ("0", b"", 422), ("1", b"{", 400), ("1", b'{"by":"\\u0000"}', 400), ("1", b'{"who":1}', 400),
     ("1", b'{"by":"' + b"x" * 65 + b'"}', 400), ("1", b" " * 5000, 413)],
)  # fmt: skip
def test_a_bad_acknowledgement_changes_nothing(desk: Desk, path: str, body: bytes, status: int) -> None:
    answer = ask(desk, "POST", f"/api/v1/alerts/{path}/acknowledge", content=body)
    assert answer.status_code == status
    assert ask(desk, "GET", "/api/v1/alerts?state=unacknowledged").json()["total"] == 4


# -- the page


def test_the_pages_rules_load_and_its_table_has_every_key() -> None:
    text = "\n".join(re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL))
    config = EdgeConfig.model_validate(tomllib.loads(text))
    assert {each.kind for each in config.rules} == set(RuleKind)
    for key in AlertRule.model_fields:
        assert f"`{key}`" in PAGE
    for field in FIELDS:
        assert f"`{{{field}}}`" in PAGE


def test_the_pages_messages_are_understood() -> None:
    gateways, devices = (text.encode() for text in re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL))
    assert decode_device_alert(gateways) is None
    assert decode_device_alerts(gateways).active[0].rule == "too-warm"
    said = decode_device_alert(devices)
    assert said is not None
    assert (said.alert, said.state) == ("door-open", "raised")
