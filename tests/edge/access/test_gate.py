"""Every request before a route sees it: its Host, whose it is, and what they may."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from edge.access.records import FILE_NAME
from edge.access.roles import Role, Scope
from edge.access.settings import Login
from edge.config import ApiSettings
from tests.edge.access.kit import PASSWORD
from tests.edge.access.web import Web, refused

TOKEN = "configured-token"


# ---------------------------------------------------------------- Host


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("10.0.0.7", True),
        ("gateway.example", True),
        ("gateway.example.:8080", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("localhost:8080:80", False),
        ("[::1", False),
        ("[::1]x", False),
        ("localhost@evil.example", False),
        ("gateway.example:x", False),
    ],
)
def test_only_our_own_names_are_answered(web: Callable[..., None], host: str, taken: bool) -> None:
    async def use(browser: Web) -> None:
        for path in ("/api/v1/status", "/api/v1/me", "/nothing"):
            answer = await browser.ask("GET", path, headers={"Host": host})
            assert (answer.status_code != 421) is taken, path
        assert (await browser.ask("GET", "/livez", headers={"Host": host})).status_code == 200

    web(use, hosts=("Gateway.Example",))


@pytest.mark.parametrize("name", ["http://gateway", "gateway:8080", "", "a b", "x" * 254, "gäteway"])
def test_a_host_that_is_no_name_is_refused_in_the_configuration(name: str) -> None:
    with pytest.raises(ValueError, match="expected a name"):
        ApiSettings(hosts=(name,))


# ---------------------------------------------------------------- who may read, who may change


@pytest.mark.parametrize(
    ("settings", "before", "after"),
    [
        ({}, 200, 401),
        ({"host": "::1"}, 200, 401),
        ({"host": "localhost"}, 200, 401),
        ({"login": Login.OFF}, 200, 200),
        ({"login": Login.REQUIRED}, 401, 401),
        ({"host": "0.0.0.0"}, 401, 401),
        ({"host": "192.0.2.1"}, 401, 401),
        ({"host": "0.0.0.0", "login": Login.OFF}, 200, 200),
    ],
)
def test_reading_is_open_where_the_configuration_leaves_it_open(
    web: Callable[..., None], settings: dict[str, Any], before: int, after: int
) -> None:
    async def use(browser: Web) -> None:
        assert (await browser.ask("GET", "/api/v1/status")).status_code == before
        await browser.add()
        assert (await browser.ask("GET", "/api/v1/status")).status_code == after
        for path in ("/livez", "/readyz", "/api/v1/me"):
            assert (await browser.ask("GET", path)).status_code == 200, path
        for path in ("/api/v1/change", "/api/v1/forgotten", "/api/v1/readings", "/api/v1/me/password", "/nothing"):
            refused(await browser.ask("POST", path), 401)

    web(use, **settings)


@pytest.mark.parametrize(
    ("scope", "read", "ingest", "operate"),
    [(Scope.READ, 200, 403, 403), (Scope.INGEST, 403, 200, 403), (Scope.OPERATE, 200, 403, 200)],
)
def test_a_token_may_what_its_scope_says_and_no_more(
    web: Callable[..., None], scope: Scope, read: int, ingest: int, operate: int
) -> None:
    async def use(browser: Web) -> None:
        headers = await browser.token(scope)
        assert (await browser.ask("GET", "/api/v1/status", headers=headers)).status_code == read
        assert (await browser.ask("POST", "/api/v1/readings", headers=headers)).status_code == ingest
        assert (await browser.ask("POST", "/api/v1/change", headers=headers)).status_code == operate
        refused(
            await browser.ask("POST", "/api/v1/tokens", headers=headers, json={"name": "x", "scopes": ["read"]}), 403
        )
        refused(await browser.ask("POST", "/api/v1/me/password", headers=headers, json={"old": "", "new": ""}), 403)

    web(use, login=Login.REQUIRED)


def test_the_configured_token_does_what_it_always_did(web: Callable[..., None]) -> None:
    async def use(browser: Web) -> None:
        headers = {"Authorization": f"bearer {TOKEN}"}
        for method, path in (("GET", "/api/v1/status"), ("POST", "/api/v1/readings"), ("POST", "/api/v1/change")):
            assert (await browser.ask(method, path, headers=headers)).status_code == 200, path
        assert (await browser.ask("GET", "/api/v1/me", headers=headers)).json()["kind"] == "configured-token"

    web(use, login=Login.REQUIRED, token=SecretStr(TOKEN))


@pytest.mark.parametrize("given", ["Bearer wrong", "Bearer ", "Basic YWRhOmE=", "Bearer a b", TOKEN, "", "Bearer \xff"])
def test_a_bad_token_is_refused_even_where_reading_is_open(web: Callable[..., None], given: str) -> None:
    async def use(browser: Web) -> None:
        headers = {b"Authorization": given.encode("latin-1")}
        answer = await browser.client.get("/api/v1/status", headers=headers)
        refused(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")

    web(use, token=SecretStr(TOKEN))


def test_a_viewer_looks_and_changes_nothing_but_the_own_password(web: Callable[..., None]) -> None:
    async def use(browser: Web) -> None:
        await browser.add("vic", Role.VIEWER)
        await browser.login("vic")
        assert (await browser.ask("GET", "/api/v1/status")).status_code == 200
        for path in ("/api/v1/change", "/api/v1/readings", "/api/v1/forgotten", "/api/v1/tokens"):
            refused(await browser.ask("POST", path), 403)
        refused(await browser.ask("GET", "/api/v1/tokens"), 403)
        changed = await browser.ask("POST", "/api/v1/me/password", json={"old": PASSWORD, "new": "another good horse"})
        assert changed.status_code == 200
        assert (await browser.ask("GET", "/api/v1/me")).json()["role"] == "viewer"

    web(use)


def test_an_unusable_file_of_accounts_opens_nothing(web: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 100)

    async def use(browser: Web) -> None:
        for path in ("/api/v1/status", "/api/v1/me"):
            assert "accounts" in refused(await browser.ask("GET", path), 503)
        assert (await browser.ask("GET", "/livez")).status_code == 200
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert (await browser.ask("GET", "/api/v1/status", headers=headers)).status_code == 200

    web(use, token=SecretStr(TOKEN))
