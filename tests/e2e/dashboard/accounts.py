"""Accounts of a gateway on the stage, made as the command line makes them, and how a person logs in."""

from pathlib import Path

from playwright.sync_api import Page

from edge.access.desk import AccessDesk, AccessRules
from edge.access.passwords import standard_hasher
from edge.access.records import FILE_NAME
from edge.access.roles import Role
from sensors.clock import SystemClock

PASSWORD = "a horse in the hall"


class Accounts:
    """The gateway's accounts, changed as the command line changes them."""

    def __init__(self, folder: Path) -> None:
        self.desk = AccessDesk(
            folder / "store" / FILE_NAME, AccessRules(), standard_hasher(), lambda n: bytes(range(n))
        )

    def add(self, name: str, role: Role) -> None:
        """An account with `PASSWORD`."""
        self.desk.add_user(name, role, PASSWORD, SystemClock().wall_ms())

    def link(self) -> str:
        """A new set-up link."""
        return self.desk.new_setup_link(SystemClock().wall_ms())


def fill(page: Page, name: str, password: str, button: str = "Log in") -> None:
    """Fill the form that is shown, and send it."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("password").fill(password)
    page.get_by_role("button", name=button).click()
