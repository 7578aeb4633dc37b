"""The ways in and out, in Chromium: first account, login, account, logout; with a gateway that asks for a login."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from edge.access.roles import Role
from edge.access.settings import Login
from tests.e2e.dashboard.accounts import PASSWORD, Accounts, fill
from tests.e2e.dashboard.conftest import Watched
from tests.e2e.dashboard.stage import Stage, stage
from tests.e2e.dashboard.test_pages import serious

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    """The stage, with a gateway that asks for a login."""
    with stage(tmp_path, login=Login.REQUIRED) as opened:
        yield opened


def _forgive(watched: Watched, status: int) -> None:
    """Chromium's own words for an answer that the page asked for and shows."""
    assert any(f"status of {status}" in error for error in watched.errors), watched.errors
    watched.errors[:] = [error for error in watched.errors if f"status of {status}" not in error]


def test_the_first_account_is_made_by_link_and_is_logged_in(watched: Watched, accounts: Accounts) -> None:
    page = watched.page
    page.goto(f"{watched.base}/")
    watched.text_becomes("main h1", "Log in")
    expect(page.locator("main")).to_contain_text("Nobody has an account yet")
    page.goto(f"{watched.base}/#/setup/{accounts.link()}")
    watched.text_becomes("main h1", "Make the first account")
    assert serious(watched) == []
    fill(page, "ada", PASSWORD, "Make it")
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    watched.text_becomes("#who", "ada")
    assert page.url.endswith("/#/"), "the link stays in no history"
    page.reload()
    expect(page.locator("#link")).to_have_attribute("data-state", "live")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_login_shows_the_page_that_was_asked_for(watched: Watched, accounts: Accounts, theme: str) -> None:
    accounts.add("ada", Role.OPERATOR)
    page = watched.page
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.goto(f"{watched.base}/#/store")
    watched.text_becomes("main h1", "Log in")
    assert serious(watched) == []
    assert page.evaluate("document.activeElement.name") == "name"
    fill(page, "ada", "not the password")
    watched.text_becomes(".trouble", "Name and password do not belong together.")
    assert serious(watched) == []
    _forgive(watched, 401)
    page.keyboard.type(PASSWORD)  # the field is selected again
    page.keyboard.press("Enter")
    watched.text_becomes("main h1", "Store")
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    cookies = page.context.cookies()
    assert [(each["httpOnly"], each["sameSite"]) for each in cookies] == [(True, "Strict")]
    assert page.evaluate("document.cookie") == ""


def test_an_operator_makes_and_revokes_a_token_and_logs_out(watched: Watched, accounts: Accounts) -> None:
    accounts.add("ada", Role.OPERATOR)
    page = watched.page
    page.goto(f"{watched.base}/")
    fill(page, "ada", PASSWORD)
    page.get_by_role("link", name="ada").click()
    watched.text_becomes("main h1", "ada")
    page.get_by_label("Name of the program").fill("prometheus")
    page.get_by_label("look (read)", exact=True).check()
    page.get_by_role("button", name="Make token").click()
    token = page.locator(".made code").inner_text()
    assert _status(watched, token)["version"]
    expect(page.locator("tbody th")).to_have_text("prometheus")
    assert serious(watched) == []
    page.get_by_role("button", name="Revoke prometheus").click()
    watched.text_becomes("tbody td", "None yet.")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _status(watched, token)
    page.get_by_role("button", name="Log out").click()
    watched.text_becomes("main h1", "Log in")
    assert page.context.cookies() == []
    assert page.is_hidden("#who")


def test_a_viewer_sees_no_tokens_and_a_removed_account_sees_nothing(watched: Watched, accounts: Accounts) -> None:
    accounts.add("vic", Role.VIEWER)
    accounts.add("ada", Role.OPERATOR)
    page = watched.page
    page.goto(f"{watched.base}/#/account")
    fill(page, "vic", PASSWORD)
    watched.text_becomes(".found", "Viewer: may look.")
    expect(page.locator("#tokens-head")).to_have_count(0)
    watched.go("/")
    accounts.desk.remove_user("vic")
    watched.text_becomes("main h1", "Log in")
    page.goto("about:blank")  # what the page was still asking for is refused, and the browser notes it
    watched.errors[:] = [error for error in watched.errors if "status of 401" not in error]


def test_the_way_in_fits_a_phone(watched: Watched, accounts: Accounts) -> None:
    accounts.add("ada", Role.OPERATOR)
    page = watched.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{watched.base}/")
    watched.text_becomes("main h1", "Log in")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    fill(page, "ada", PASSWORD)
    page.goto(f"{watched.base}/#/account")
    watched.text_becomes("main h1", "ada")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_page_of_another_origin_gets_nothing(watched: Watched, accounts: Accounts, browser: Browser) -> None:
    accounts.add("ada", Role.OPERATOR)
    page = watched.page
    page.goto(f"{watched.base}/")
    fill(page, "ada", PASSWORD)
    watched.text_becomes("#who", "ada")
    other = page.context.new_page()
    other.goto(watched.base.replace("127.0.0.1", "localhost") + "/static/icon.svg")
    told = other.evaluate(
        "base => fetch(`${base}/api/v1/logout`, {method: 'POST', mode: 'no-cors', credentials: 'include'})"
        ".then(() => 'sent', () => 'blocked')",
        watched.base,
    )
    assert told in ("sent", "blocked")
    page.reload()
    watched.text_becomes("#who", "ada")
    other.close()


def test_an_operator_switches_maintenance_mode_and_every_page_says_so(watched: Watched, accounts: Accounts) -> None:
    accounts.add("ada", Role.OPERATOR)
    page = watched.page
    page.goto(f"{watched.base}/#/settings")
    fill(page, "ada", PASSWORD)
    watched.text_becomes("main h1", "Settings")
    expect(page.locator(".sections")).to_contain_text("mqtt.receive_max")
    assert serious(watched) == []
    page.get_by_role("button", name="Begin, for an hour").click()
    expect(page.locator("#maintenance")).to_contain_text("Maintenance mode, begun by ada")
    assert serious(watched) == []
    page.get_by_role("link", name="Devices").click()
    expect(page.locator("#maintenance")).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="End it").click()
    expect(page.locator("#maintenance")).to_be_hidden()
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_api_docs_are_interactive_ask_nobody_else_and_change_things_by_session(
    watched: Watched, accounts: Accounts
) -> None:
    accounts.add("ada", Role.OPERATOR)
    page = watched.page
    page.goto(f"{watched.base}/")
    fill(page, "ada", PASSWORD)
    watched.text_becomes("#who", "ada")
    page.goto(f"{watched.base}/docs")
    block = page.locator(".opblock", has_text="/api/v1/logout")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    assert page.context.cookies() == []


def _status(watched: Watched, token: str) -> Any:
    request = urllib.request.Request(f"{watched.base}/api/v1/status", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
