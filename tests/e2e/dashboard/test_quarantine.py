"""The quarantine in Chromium: hostile bytes are shown and do nothing, and only an operator retries or deletes."""

import urllib.parse

import pytest
from playwright.sync_api import Dialog, Page, expect

from edge.access.roles import Role
from tests.e2e.dashboard.accounts import PASSWORD, Accounts, fill
from tests.e2e.dashboard.conftest import PATIENCE_MS, Watched
from tests.e2e.dashboard.stage import Stage
from tests.e2e.dashboard.test_pages import serious

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

TOPIC = "tidegate/v1/hall/pump/reading"
HOSTILE = (
    b"<script>alert(1)</script><img src=x onerror=alert(1)>",
    b"\x00\x1b[31m\xff\xfe",
    "\u202egnp.exe\u2066\u0007 {".encode(),
    b"A" * 9000,
)


def _count(page: Page, query: str = "") -> int:
    return int(page.evaluate(f"fetch('/api/v1/quarantine{query}').then((answer) => answer.json())")["count"])


def test_hostile_bytes_are_shown_and_harmless(scene: Stage, watched: Watched) -> None:
    page, dialogs = watched.page, list[str]()

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    for payload in HOSTILE:
        scene.devices.publish_raw(TOPIC, payload)
    watched.go("/quarantine")
    items = page.locator(".item")
    expect(items).to_have_count(len(HOSTILE), timeout=PATIENCE_MS)
    expect(page.get_by_text("Only an operator may try items again")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    page.get_by_role("button", name="Show item 1").click()
    expect(page.locator("pre.hex")).to_contain_text("000000  3c 73 63 72 69 70 74 3e")
    expect(page.get_by_label("The same as text")).to_have_text(HOSTILE[0].decode())
    page.get_by_role("button", name="Show item 2").click()
    expect(page.locator("pre.hex")).to_contain_text("00 1b 5b 33 31 6d ff fe")
    expect(page.locator("pre")).to_have_count(1)
    expect(items.filter(has_text="gnp.exe").locator(".beginning")).to_have_text("\\u{202e}gnp.exe\\u{2066}\\u{7} {")
    page.get_by_role("button", name="Show item 4").click()
    expect(page.locator(".opened")).to_contain_text("The first 4,096 of 9,000 bytes")
    assert page.locator("pre.hex").inner_text().count("\n") == 4096 // 16 - 1
    assert page.query_selector_all("main script, main img") == []
    assert serious(watched) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert dialogs == []


def test_an_operator_chooses_tries_again_and_deletes_after_a_question(
    scene: Stage, watched: Watched, accounts: Accounts
) -> None:
    page = watched.page
    for at in range(60):
        scene.devices.publish_raw(TOPIC, b"nonsense" if at % 3 else b"[]" + bytes([255]))
    accounts.add("ada", Role.OPERATOR)
    page.goto(f"{scene.gateway.url}/#/quarantine")
    fill(page, "ada", PASSWORD)
    expect(page.get_by_text("60 items")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Older").click()
    expect(page.locator(".item")).to_have_count(10, timeout=PATIENCE_MS)
    page.get_by_role("button", name="Newer").click()
    expect(page.locator(".item")).to_have_count(50, timeout=PATIENCE_MS)
    page.get_by_label("Choose item 60").check()
    page.get_by_label("Choose item 59").check()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".made")).to_contain_text("2 stay here", timeout=PATIENCE_MS)
    page.get_by_label("Choose item 60").check()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete 1 item for good?")
    assert serious(watched) == []
    page.keyboard.press("Escape")
    assert _count(page) == 60
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("59 items")).to_be_visible(timeout=PATIENCE_MS)
    reasons = page.evaluate("fetch('/api/v1/quarantine/reasons').then((answer) => answer.json())")["reasons"]
    page.get_by_label("Only with the reason").select_option(reasons[0]["reason"])
    expect(page.locator(".item")).to_have_count(reasons[0]["count"], timeout=PATIENCE_MS)
    page.get_by_role("button", name="Delete all with this reason").click()
    page.get_by_role("button", name="Delete them all").click()
    expect(page.locator(".made")).to_have_text(f"{reasons[0]['count']} items were deleted.", timeout=PATIENCE_MS)
    assert _count(page) == 59 - reasons[0]["count"]
    chosen = urllib.parse.quote(reasons[0]["reason"])
    asked = f"/api/v1/quarantine?order=newest&reason={chosen}"
    assert page.evaluate(f"fetch('{asked}').then((answer) => answer.json())")["items"] == []
