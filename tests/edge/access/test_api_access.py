"""The ways in and out over HTTP: cookies, CSRF, lock-out, the first account, tokens."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from edge.access import gate
from edge.access import service as service_module
from edge.access.desk import LINK_MS
from edge.access.lockout import TRIES
from edge.config import ApiSettings
from tests.edge.access.kit import PASSWORD
from tests.edge.access.web import Web, opened_web, refused

# ---------------------------------------------------------------- sessions in a browser


def test_a_login_gives_a_cookie_that_scripts_and_other_sites_do_not_get(web: Callable[..., None]) -> None:
    async def use(browser: Web) -> None:
        await browser.add()
        answer = await browser.login()
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("tidegate-8080=")
        for wanted in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"):
            assert wanted in cookie, wanted
        assert "Secure" not in cookie
        secret = browser.client.cookies["tidegate-8080"]
        assert secret not in answer.text
        me = (await browser.ask("GET", "/api/v1/me")).json()
        assert (me["name"], me["role"], me["scopes"]) == ("ada", "operator", ["ingest", "operate", "read"])
        again = await browser.login()
        assert browser.client.cookies["tidegate-8080"] != secret, "a login begins a new session"
        assert again.status_code == 200

    web(use)


def test_over_tls_the_cookie_is_secure_and_bound_to_this_host(tmp_path: Path) -> None:
    async def go() -> None:
        async with opened_web(tmp_path, ApiSettings()) as browser:
            await browser.add()
            body = {"name": "ada", "password": PASSWORD}
            headers = {"Origin": "https://localhost", "Host": "localhost"}
            answer = await browser.client.post("https://localhost/api/v1/login", json=body, headers=headers)
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith("__Host-tidegate-")
            assert "Secure" in cookie

    asyncio.run(go())


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": "ü"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:9090"},
        {"Origin": "null"},
    ],
)
def test_a_changing_request_by_cookie_needs_the_token_and_our_own_page(
    web: Callable[..., None], headers: dict[str, str]
) -> None:
    async def use(browser: Web) -> None:
        await browser.add()
        await browser.login()
        assert (await browser.ask("POST", "/api/v1/change")).status_code == 200
        raw = {name: value.encode("latin-1") for name, value in headers.items()}
        refused(await browser.ask("POST", "/api/v1/change", headers=raw), 403)

    web(use)


def test_another_site_cannot_log_a_browser_in_and_no_form_can(web: Callable[..., None]) -> None:
    async def use(browser: Web) -> None:
        await browser.add()
        body = {"name": "ada", "password": PASSWORD}
        cross = {"Sec-Fetch-Site": "cross-site"}
        refused(await browser.ask("POST", "/api/v1/login", json=body, headers=cross), 403)
        refused(await browser.ask("POST", "/api/v1/login", data=body), 415)
        text = {"Content-Type": "text/plain"}
        refused(await browser.ask("POST", "/api/v1/login", content=b"{}", headers=text), 415)

    web(use)


@pytest.mark.parametrize(
    ("body", "status_code"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"name":"ada"}', 400),
        (b'{"name":1,"password":"x"}', 400),
        (b'{"name":"ada","password":"x","role":"operator"}', 400),
        (b'{"name":"ada","password":"' + b"x" * 20_000 + b'"}', 413),
        (b'{"name":"ada","password":"' + b"x" * 9_000 + b'"}', 401),
        (b'{"name":"ada\\u0000","password":"x"}', 401),
        (b'{"name":"ada\\r\\nSet-Cookie: a=b","password":"x"}', 401),
        (b'{"name":"ada","password":"\\ud800"}', 400),
    ],
)
def test_hostile_logins_are_refused_and_say_nothing_of_accounts(
    web: Callable[..., None], body: bytes, status_code: int
) -> None:
    async def use(browser: Web) -> None:
        await browser.add()
        answer = await browser.ask("POST", "/api/v1/login", content=body, headers={"Content-Type": "application/json"})
        told = refused(answer, status_code)
        assert "set-cookie" not in answer.headers
        assert "ada" not in told

    web(use)


def test_a_lock_out_says_how_long_it_is(web: Callable[..., None]) -> None:
    async def use(browser: Web) -> None:
        await browser.add()
        for _ in range(TRIES["address"]):
            assert refused(await browser.login(password="wrong"), 401) == "name and password do not belong together"
        answer = await browser.login()
        assert "in 30 s" in refused(answer, 429)
        assert answer.headers["retry-after"] == "30"
        browser.clock.at_ms += 30_000
        assert (await browser.login()).status_code == 200

    web(use)


def test_logins_that_wait_are_few(web: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "LOGINS_WAITING_MAX", 0)

    async def use(browser: Web) -> None:
        await browser.add()
        assert (await browser.login()).headers["retry-after"] == "1"

    web(use)


def test_a_logout_ends_the_session_and_takes_the_cookie_back(web: Callable[..., None]) -> None:
    async def use(browser: Web) -> None:
        await browser.add()
        await browser.login()
        secret = browser.client.cookies["tidegate-8080"]
        refused(await browser.ask("POST", "/api/v1/logout", headers={"X-CSRF-Token": "no"}), 403)
        answer = await browser.ask("POST", "/api/v1/logout")
        assert 'tidegate-8080=""' in answer.headers["set-cookie"]
        stolen = {"Cookie": f"tidegate-8080={secret}"}
        refused(await browser.ask("GET", "/api/v1/status", headers=stolen), 401)

    web(use)


@pytest.mark.parametrize("cookie", ["", "x", "x" * 5000, "\x80\xff", "' OR 1=1 --", "a; b; c"])
def test_a_cookie_that_is_none_of_ours_is_nobody(web: Callable[..., None], cookie: str) -> None:
    async def use(browser: Web) -> None:
        await browser.add()
        headers = {b"Cookie": f"tidegate-8080={cookie}".encode("latin-1")}
        assert (await browser.client.get("/api/v1/me", headers=headers)).json()["kind"] == "nobody"
        refused(await browser.client.get("/api/v1/status", headers=headers), 401)

    web(use)


def test_a_stream_ends_when_its_session_does(web: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "RECHECK_S", 0.01)

    async def use(browser: Web) -> None:
        await browser.add()
        await browser.login()
        asking = asyncio.create_task(browser.ask("GET", "/api/v1/stream"))
        await asyncio.wait({asking}, timeout=0.1)
        assert not asking.done(), "the stream goes on while the session does"
        await browser.service.ask(browser.service.desk.remove_user, "ada")
        answer = await asyncio.wait_for(asking, 5)
        assert answer.text.startswith("data: 1")

    web(use)


# ---------------------------------------------------------------- the first account


def test_the_set_up_link_is_logged_while_there_is_no_account_and_works_once(
    web: Callable[..., None],
) -> None:
    async def use(browser: Web) -> None:
        with capture_logs() as logged:
            await browser.service.announce("http://127.0.0.1:8080/")
        (link,) = [each["url"].partition("/#/setup/")[2] for each in logged if "url" in each]
        body = {"link": link, "name": "ada", "password": PASSWORD}
        for wrong in ("guess", "", link[:-1]):
            refused(await browser.ask("POST", "/api/v1/setup", json={**body, "link": wrong}), 403)
        refused(await browser.ask("POST", "/api/v1/setup", json={**body, "password": "short"}), 422)
        made = await browser.ask("POST", "/api/v1/setup", json=body)
        assert (made.status_code, made.json()["role"]) == (200, "operator")
        assert (await browser.ask("GET", "/api/v1/status")).status_code == 200
        refused(await browser.ask("POST", "/api/v1/setup", json={**body, "name": "eve"}), 403)
        with capture_logs() as logged:
            await browser.service.announce("http://127.0.0.1:8080/")
        assert not [each for each in logged if "url" in each]

    web(use)


def test_a_set_up_link_that_is_too_old_is_closed(web: Callable[..., None]) -> None:
    async def use(browser: Web) -> None:
        link = await browser.service.ask(browser.service.desk.new_setup_link, browser.clock.wall_ms())
        browser.clock.at_ms += LINK_MS
        body = {"link": link, "name": "ada", "password": PASSWORD}
        assert "too old" in refused(await browser.ask("POST", "/api/v1/setup", json=body), 403)

    web(use)


# ---------------------------------------------------------------- tokens by API


def test_tokens_are_made_listed_and_revoked_by_an_operator_in_person(web: Callable[..., None]) -> None:
    async def use(browser: Web) -> None:
        await browser.add()
        await browser.login()
        wanted = {"name": "prometheus", "scopes": ["read"], "days": 30}
        made = await browser.ask("POST", "/api/v1/tokens", json=wanted)
        assert made.status_code == 201
        token = made.json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert (await browser.client.get("/api/v1/status", headers=headers)).status_code == 200
        listed = await browser.ask("GET", "/api/v1/tokens")
        assert token not in listed.text
        (told,) = listed.json()["tokens"]
        assert (told["name"], told["scopes"], told["made_by"]) == ("prometheus", ["read"], "ada")
        assert told["expires_ms"] - told["created_ms"] == 30 * 86_400_000
        assert (await browser.ask("DELETE", "/api/v1/tokens/prometheus")).json() == {"revoked": "prometheus"}
        refused(await browser.client.get("/api/v1/status", headers=headers), 401)
        refused(await browser.ask("DELETE", "/api/v1/tokens/prometheus"), 404)

    web(use)


@pytest.mark.parametrize(
    ("body", "status_code"),
    [
        ({"name": "x", "scopes": ["root"]}, 400),
        ({"name": "x", "scopes": []}, 422),
        ({"name": "X", "scopes": ["read"]}, 422),
        ({"name": "x", "scopes": ["read"], "days": 0}, 400),
        ({"name": "x\r\ny", "scopes": ["read"]}, 422),
    ],
)
def test_a_token_that_cannot_be_is_not_made(web: Callable[..., None], body: dict[str, Any], status_code: int) -> None:
    async def use(browser: Web) -> None:
        await browser.add()
        await browser.login()
        refused(await browser.ask("POST", "/api/v1/tokens", json=body), status_code)

    web(use)


def test_a_token_file_that_is_gone_is_said(web: Callable[..., None], tmp_path: Path) -> None:
    async def use(browser: Web) -> None:
        answer = await browser.ask("GET", "/api/v1/status", headers={"Authorization": "Bearer x"})
        assert "token_file" in refused(answer, 503)

    web(use, token_file=tmp_path / "absent")
